"""From what was seen to what the page shows: a section per dimension, a card per frame."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vbench_long.dimensions.evidence import Curve, Evidence, Frames, Moment
from vbench_long.leaderboard.evidence.cards import (
    Card,
    Picture,
    cards_of,
    picture,
    score_text,
    some_of,
)
from vbench_long.leaderboard.evidence.charts import Chart, chart, frames_text, short
from vbench_long.leaderboard.evidence.seen import Explanation, SeenClip, SeenDimension
from vbench_long.records import Record

WORST: Final = 4
"""Moments shown for each dimension."""

APART: Final = 0.25
"""Seconds between two of them: the neighbours of a bad frame are bad too."""

MOST_CLIPS: Final = 6
"""Clips whose boxes, words and rankings are shown for each dimension: the lowest."""

FILM: Final = 10
"""Frames of the video that stand at the top of the page."""

HEAT: Final = (0.002, 0.01, 0.05, 0.2)
"""How far below the best clip of its row a clip must lie for each step of colour."""


@dataclass(frozen=True, slots=True)
class Group:
    """The cards of one clip, and how its score follows."""

    title: str
    said: str
    cards: tuple[Card, ...]
    open: bool


@dataclass(frozen=True, slots=True)
class ClipLine:
    """One clip in a table: its number, frames, times, scores, and what is said of it."""

    number: int
    frames: str
    times: str
    recorded: str
    value: str
    said: str
    heat: int


@dataclass(frozen=True, slots=True)
class Section:
    """Everything the page says of one dimension."""

    seen: SeenDimension
    title: str
    about: tuple[str, ...]
    recorded: str
    measured: str
    difference: str
    sought: str
    said: tuple[str, ...]
    clips: tuple[ClipLine, ...]
    charts: tuple[Chart, ...]
    worst: tuple[Card, ...]
    spotless: str
    groups: tuple[Group, ...]
    not_shown: int

    def frames(self) -> Iterator[int]:
        """All frames that stand in it."""
        for cards in (self.worst, *(group.cards for group in self.groups)):
            for card in cards:
                yield from (picture.frame for picture in card.pictures)


def title(name: str) -> str:
    """A dimension's name as people read it."""
    return name.replace("_", " ").capitalize()


def film(explanation: Explanation) -> tuple[Picture, ...]:
    """Frames from the first to the last, evenly spread."""
    back = {number: frame for frame, number in explanation.numbers.items()}
    count = min(FILM, explanation.frames)
    places = [round(k * (explanation.frames - 1) / max(1, count - 1)) for k in range(count)]
    return tuple(picture(explanation, back.get(place, place)) for place in dict.fromkeys(places))


def section(explanation: Explanation, seen: SeenDimension) -> Section:
    """What the page shows of one dimension."""
    worst = _worst(explanation, seen)
    hurt = [moment for _, moment, _ in worst]
    spans = [(clip.start, clip.stop) for clip in seen.clips]
    evidence = [clip.evidence for clip in seen.clips]
    sought = next((one.sought for one in evidence if one.sought), "")
    groups, not_shown = _groups(explanation, seen, opened=not worst)
    return Section(
        seen=seen,
        title=title(seen.name),
        about=tuple(_paragraphs(seen.about)),
        recorded=_result(seen.recorded),
        measured=_result(seen.measured),
        difference=_difference(seen),
        sought=sought,
        said=tuple(scene.said for scene in seen.scenes if scene.said),
        clips=tuple(_clip_lines(explanation, seen)),
        charts=tuple(
            chart(explanation, curves, spans, hurt) for curves in _curves(seen.scenes, evidence)
        ),
        worst=tuple(_worst_card(explanation, seen, *one) for one in worst),
        spotless=_spotless(seen) if not worst else "",
        groups=groups,
        not_shown=not_shown,
    )


def _worst_card(
    explanation: Explanation, seen: SeenDimension, number: int, moment: Moment, value: float
) -> Card:
    """A moment that hurts: the card it has in its clip, or a plain one."""
    clip = f", clip {number}"
    for card in cards_of(explanation, number, seen.clips[number - 1]):
        if [picture.frame for picture in card.pictures] == [*moment]:
            return replace(card, when=card.when + clip)
    frames = f"Frame{'s' if len(moment) > 1 else ''} {frames_text(explanation, moment)}"
    pictures = some_of(explanation, moment)
    when = f"{explanation.seconds(moment[0]):.2f} s{clip}"
    return Card(frames, when, _worth_text(seen, value), pictures=pictures)


def _paragraphs(docstring: str) -> Iterator[str]:
    """The paragraphs and items of a docstring as plain lines."""
    for part in re.split(r"\n\n|\n(?=\* )", docstring):
        if text := " ".join(part.replace("`", "").split()):
            yield f"• {text[2:]}" if text.startswith("* ") else text


def _worth_text(seen: SeenDimension, value: float) -> str:
    """What a moment is worth: in the score's unit, or in its curve's where the score is another."""
    exhibits = [exhibit for clip in seen.clips for exhibit in clip.evidence.exhibits]
    unit = next((one.unit for one in exhibits if isinstance(one, Curve)), "")
    summed = any(clip.evidence.frames and clip.evidence.frames.shares for clip in seen.clips)
    return f"{value:.4f}" if summed or not unit else f"{short(value)} {unit}"


def _result(record: Record | None) -> str:
    """A record's score, or what became of it."""
    if record is None:
        return "–"
    return record.status.value if record.value is None else score_text(record.value)


def _difference(seen: SeenDimension) -> str:
    old = seen.recorded.value if seen.recorded else None
    new = seen.measured.value
    if old is None or new is None or old == new:
        return ""
    return f"{abs(new - old):.2g} {'more' if new > old else 'less'}"


def _clip_lines(explanation: Explanation, seen: SeenDimension) -> Iterator[ClipLine]:
    best = max((clip.value for clip in seen.clips if clip.value is not None), default=0.0)
    for number, clip in enumerate(seen.clips, 1):
        start, stop = (float(frame / explanation.fps) for frame in (clip.start, clip.stop))
        below = best - clip.value if clip.value is not None else 0.0
        yield ClipLine(
            number,
            f"{clip.start}–{clip.stop - 1}",
            f"{start:.2f}–{stop:.2f} s",
            score_text(clip.recorded),
            score_text(clip.value),
            clip.reason or clip.evidence.said,
            sum(below >= step for step in HEAT),
        )


def _curves(
    scenes: Sequence[Evidence], clips: Sequence[Evidence]
) -> Iterator[list[tuple[int, Curve]]]:
    """Curves of one title together, with the numbers of their clips; a single point is none."""
    titled: dict[str, list[tuple[int, Curve]]] = {}
    numbered = [*enumerate(clips, 1), *((0, scene) for scene in scenes)]
    for number, evidence in numbered:
        for exhibit in evidence.exhibits:
            if isinstance(exhibit, Curve) and exhibit.moments:
                titled.setdefault(exhibit.title, []).append((number, exhibit))
    for curves in titled.values():
        if sum(len(curve.moments) for _, curve in curves) > 1:
            yield curves


def _worst(explanation: Explanation, seen: SeenDimension) -> list[tuple[int, Moment, float]]:
    """The moments that cost most, the worst first: (clip, moment, value)."""
    found: list[tuple[float, int, Moment, float]] = []
    worth = [_worth(clip) for clip in seen.clips]
    top = max((v for frames in worth if frames for v in frames.values), default=0.0)
    for number, (clip, frames) in enumerate(zip(seen.clips, worth, strict=True), 1):
        if frames is None or (not frames.shares and clip.value is not None and clip.value >= 1):
            continue  # A verdict that could not be better has no worst moment.
        shares = frames.shares or (1.0,) * len(frames.values)
        for moment, value, share in zip(frames.moments, frames.values, shares, strict=True):
            loss = (top - value) * share
            # A verdict is one on all moments together, the best of which may not suffice.
            if loss > 1e-9 or not frames.shares:
                found.append((-loss, number, moment, value))
    kept: list[tuple[int, Moment, float]] = []
    for _, number, moment, value in sorted(found):
        at = explanation.seconds(moment[0])
        if all(abs(at - explanation.seconds(other[0])) >= APART for _, other, _ in kept):
            kept.append((number, moment, value))
        if len(kept) == WORST:
            break
    return kept


def _spotless(seen: SeenDimension) -> str:
    """Why no moment hurts; empty where there is no score."""
    if seen.measured.value is None:
        return ""
    full = all(clip.value is None or clip.value >= 1 for clip in seen.clips)
    return "Nothing hurts: full marks." if full else "No moment is worse than another."


def _worth(clip: SeenClip) -> Frames | None:
    """What moments are worth; where nobody knows, the clip's middle frame stands for it."""
    evidence = clip.evidence
    if evidence.frames or evidence.exhibits or clip.value is None:
        return evidence.frames
    return Frames((((clip.start + clip.stop - 1) // 2,),), (clip.value,), (1.0,))


def _groups(
    explanation: Explanation, seen: SeenDimension, opened: bool
) -> tuple[tuple[Group, ...], int]:
    """The lowest clips with their cards in order of time, and how many clips are left out."""
    cards = {n: cards_of(explanation, n, clip) for n, clip in enumerate(seen.clips, 1)}
    there = [number for number, some in cards.items() if some]

    def value(number: int) -> float:
        score = seen.clips[number - 1].value
        return float("inf") if score is None else score

    lowest = sorted(there, key=value)[:MOST_CLIPS]
    groups = []
    for number in sorted(lowest):
        clip = seen.clips[number - 1]
        said = clip.reason or f"score {score_text(clip.value)}"
        start, stop = (float(frame / explanation.fps) for frame in (clip.start, clip.stop))
        name = f"Clip {number}, {start:.2f} to {stop:.2f} s: {said}"
        first = opened and number == lowest[0]
        groups.append(Group(name, clip.evidence.said, tuple(cards[number]), first))
    return tuple(groups), len(there) - len(lowest)
