"""From what was seen to what the page shows: a section per dimension, a card per frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vbench_long.dimensions.evidence import Boxes, Curve, Evidence, Frames, Moment, Ranking, Words
from vbench_long.leaderboard.evidence.charts import Chart, chart, frames_text, short
from vbench_long.leaderboard.evidence.seen import Explanation, SeenClip, SeenDimension

WORST: Final = 4
"""Moments shown for each dimension."""

APART: Final = 0.25
"""Seconds between two of them: the neighbours of a bad frame are bad too."""

MOST_CLIPS: Final = 6
"""Clips whose boxes, words and rankings are shown for each dimension: the lowest."""

MOST_THINGS: Final = 12
"""Boxes drawn in a frame, those that were looked for and then the surest."""

FILM: Final = 10
"""Frames of the video that stand at the top of the page."""

_STRIP = 8  # frames of those that were looked at together


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame, and the boxes over it.

    Attributes:
        frame: as backbones saw it.
        said: which it is, for those who do not see it.
        size: width and height that boxes are counted in; None without boxes.
        things: number, box, and whether it is what was looked for.
    """

    frame: int
    said: str
    size: tuple[int, int] | None = None
    things: tuple[tuple[int, tuple[int, int, int, int], bool], ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """What stands below a picture for one of its boxes."""

    number: int
    name: str
    sure: str
    caption: str
    sought: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of a ranking."""

    name: str
    value: str
    width: float
    sought: bool


@dataclass(frozen=True, slots=True)
class Card:
    """One moment.

    Attributes:
        title: "Frame 41-42".
        when: "1.71 s, clip 1".
        value: its number; empty for none.
        good: whether it counts in full, in part or not; None where that is no question.
        pictures: of its frames.
        names: of the boxes.
        left_out: boxes that are not drawn.
        text: what was said.
        tags: what was said, in single words.
        bars: what was taken for likeliest.
        limit: what its first must reach, as a share of a bar's room.
    """

    title: str
    when: str
    value: str = ""
    good: bool | None = None
    pictures: tuple[Picture, ...] = ()
    names: tuple[Named, ...] = ()
    left_out: int = 0
    text: str = ""
    tags: tuple[str, ...] = ()
    bars: tuple[Bar, ...] = ()
    limit: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """The cards of one clip."""

    title: str
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
    heat: int | None


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
    spotless: bool
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
    back = {number: frame for frame, number in reversed(explanation.numbers.items())}
    count = min(FILM, explanation.frames)
    places = [round(k * (explanation.frames - 1) / max(1, count - 1)) for k in range(count)]
    return tuple(_picture(explanation, back.get(place, place)) for place in dict.fromkeys(places))


def section(explanation: Explanation, seen: SeenDimension) -> Section:
    """What the page shows of one dimension."""
    worst = _worst(explanation, seen)
    hurt = [moment for _, moment, _ in worst]
    spans = [(clip.start, clip.stop) for clip in seen.clips]
    evidence = [clip.evidence for clip in seen.clips]
    sought = next((one.sought for one in evidence if one.sought), "")
    groups, not_shown = _groups(explanation, seen)
    return Section(
        seen=seen,
        title=title(seen.name),
        about=tuple(" ".join(part.split()) for part in seen.about.split("\n\n") if part),
        recorded=_score(seen.recorded.value if seen.recorded else None),
        measured=_score(seen.measured.value),
        difference=_difference(seen),
        sought=sought,
        said=tuple(scene.said for scene in seen.scenes if scene.said),
        clips=tuple(_clip_lines(explanation, seen)),
        charts=tuple(
            chart(explanation, curves, spans, hurt) for curves in _curves(seen.scenes, evidence)
        ),
        worst=tuple(
            Card(
                f"Frame{'s' if len(m) > 1 else ''} {frames_text(explanation, m)}",
                f"{explanation.seconds(m[0]):.2f} s, clip {number}",
                short(value),
                pictures=tuple(_picture(explanation, frame) for frame in _some(m)),
            )
            for number, m, value in worst
        ),
        spotless=bool(seen.clips) and not worst and seen.measured.value is not None,
        groups=groups,
        not_shown=not_shown,
    )


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _difference(seen: SeenDimension) -> str:
    old = seen.recorded.value if seen.recorded else None
    new = seen.measured.value
    if old is None or new is None or old == new:
        return ""
    return f"{abs(new - old):.2g} {'more' if new > old else 'less'}"


def _clip_lines(explanation: Explanation, seen: SeenDimension) -> Iterator[ClipLine]:
    values = [clip.value for clip in seen.clips if clip.value is not None]
    low, high = min(values, default=0.0), max(values, default=0.0)
    for number, clip in enumerate(seen.clips, 1):
        start, stop = (float(frame / explanation.fps) for frame in (clip.start, clip.stop))
        heat = None
        if clip.value is not None and high - low > 1e-6:
            heat = min(4, int(5 * (high - clip.value) / (high - low)))
        yield ClipLine(
            number,
            f"{clip.start}–{clip.stop - 1}",
            f"{start:.2f}–{stop:.2f} s",
            _score(clip.recorded),
            _score(clip.value),
            clip.reason or clip.evidence.said,
            heat,
        )


def _curves(
    scenes: Sequence[Evidence], clips: Sequence[Evidence]
) -> Iterator[list[tuple[int, Curve]]]:
    """Curves of one title together, with the numbers of their clips."""
    titled: dict[str, list[tuple[int, Curve]]] = {}
    numbered = [*enumerate(clips, 1), *((0, scene) for scene in scenes)]
    for number, evidence in numbered:
        for exhibit in evidence.exhibits:
            if isinstance(exhibit, Curve) and exhibit.moments:
                titled.setdefault(exhibit.title, []).append((number, exhibit))
    yield from titled.values()


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


def _worth(clip: SeenClip) -> Frames | None:
    """What moments are worth; where nobody knows, the clip's middle frame stands for it."""
    evidence = clip.evidence
    if evidence.frames or evidence.exhibits or clip.value is None:
        return evidence.frames
    return Frames((((clip.start + clip.stop - 1) // 2,),), (clip.value,), (1.0,))


def _groups(explanation: Explanation, seen: SeenDimension) -> tuple[tuple[Group, ...], int]:
    """The lowest clips with their cards in order of time, and how many clips are left out."""
    cards = {n: _cards(explanation, n, clip) for n, clip in enumerate(seen.clips, 1)}
    there = [number for number, some in cards.items() if some]

    def value(number: int) -> float:
        score = seen.clips[number - 1].value
        return float("inf") if score is None else score

    lowest = sorted(there, key=value)[:MOST_CLIPS]
    groups = []
    for number in sorted(lowest):
        clip = seen.clips[number - 1]
        said = clip.reason or f"score {_score(clip.value)}"
        start, stop = (float(frame / explanation.fps) for frame in (clip.start, clip.stop))
        name = f"Clip {number}, {start:.2f} to {stop:.2f} s: {said}"
        groups.append(Group(name, tuple(cards[number]), number == lowest[0]))
    return tuple(groups), len(there) - len(lowest)


def _cards(explanation: Explanation, number: int, clip: SeenClip) -> list[Card]:
    evidence, worth = clip.evidence, clip.evidence.frames
    told = dict(zip(worth.moments, worth.values, strict=True)) if worth else {}
    times = {m: worth.moments.count(m) for m in told} if worth else {}
    shares = dict(zip(worth.moments, worth.shares, strict=False)) if worth else {}
    cards = []
    for exhibit in evidence.exhibits:
        if isinstance(exhibit, Boxes | Words):
            moment = (exhibit.frame,)
            value, good = "", None
            if moment in told:
                good = {0.0: False, 1.0: True}.get(told[moment])
                value = _counts(told[moment], shares.get(moment, 0.0) * times[moment])
            elif worth or isinstance(exhibit, Boxes):
                value = "does not count"
            cards.append(_frame_card(explanation, number, exhibit, value, good))
        elif isinstance(exhibit, Ranking):
            cards.append(_ranking_card(explanation, number, exhibit))
    if not cards and worth and len(worth.moments[0]) > 3:
        for moment, one in zip(worth.moments, worth.values, strict=True):
            cards.append(
                Card(
                    "Looked at together",
                    f"frames {frames_text(explanation, moment)}, clip {number}",
                    short(one),
                    pictures=tuple(_picture(explanation, frame) for frame in _some(moment)),
                )
            )
    return cards


def _counts(value: float, share: float) -> str:
    said = {0.0: "no", 1.0: "yes"}.get(value, short(value))
    return f"{said}, counts {100 * share:.3g} %"


def _frame_card(
    explanation: Explanation, number: int, exhibit: Boxes | Words, value: str, good: bool | None
) -> Card:
    name = f"Frame {explanation.number(exhibit.frame)}"
    when = f"{explanation.seconds(exhibit.frame):.2f} s"
    if isinstance(exhibit, Words):
        picture = _picture(explanation, exhibit.frame)
        return Card(
            name, when, value, good, (picture,), text=exhibit.text or "(nothing)", tags=exhibit.tags
        )
    order = sorted(exhibit.things, key=lambda thing: not thing.sought)[:MOST_THINGS]
    picture = Picture(
        exhibit.frame,
        _told(explanation, exhibit.frame),
        exhibit.size,
        tuple((place, thing.box, thing.sought) for place, thing in enumerate(order, 1)),
    )
    names = tuple(
        Named(place, thing.name or "(no name)", f"{thing.sure:.2f}", thing.caption, thing.sought)
        for place, thing in enumerate(order, 1)
    )
    return Card(
        name, when, value, good, (picture,), names, len(exhibit.things) - len(order),
        text="" if exhibit.things else "Nothing was found in this frame.",
    )  # fmt: skip


def _ranking_card(explanation: Explanation, number: int, ranking: Ranking) -> Card:
    most = max(1.0, *(value for _, value in ranking.entries))
    return Card(
        ranking.title,
        f"frames {frames_text(explanation, ranking.moment)}, clip {number}",
        pictures=tuple(_picture(explanation, frame) for frame in _some(ranking.moment)),
        bars=tuple(
            Bar(name, f"{value:.4f}", round(100 * value / most, 1), name == ranking.sought)
            for name, value in ranking.entries
        ),
        limit="" if ranking.limit is None else short(ranking.limit),
    )


def _some(moment: Moment) -> Moment:
    """At most eight of a moment's frames, evenly spread; each once."""
    frames = tuple(dict.fromkeys(moment))
    if len(frames) <= _STRIP:
        return frames
    return tuple(frames[round(k * (len(frames) - 1) / (_STRIP - 1))] for k in range(_STRIP))


def _told(explanation: Explanation, frame: int) -> str:
    return f"Frame {explanation.number(frame)} at {explanation.seconds(frame):.2f} s"


def _picture(explanation: Explanation, frame: int) -> Picture:
    return Picture(frame, _told(explanation, frame))
