"""Cards: one moment each, with its pictures, boxes, words and numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from vbench_long.dimensions.evidence import Boxes, Frames, Moment, Ranking, Words
from vbench_long.leaderboard.evidence.charts import frames_text, short
from vbench_long.leaderboard.evidence.seen import Explanation, SeenClip

MOST_THINGS: Final = 12
"""Boxes drawn in a frame, those that were looked for and then the surest."""

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
        limit: what the number looked for must reach.
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


def score_text(value: float | None) -> str:
    """A score with four digits; a dash for none."""
    return "–" if value is None else f"{value:.4f}"


def cards_of(explanation: Explanation, number: int, clip: SeenClip) -> list[Card]:
    """What there is to look at of clip `number`: a card per frame, or one for frames together."""
    evidence, worth = clip.evidence, clip.evidence.frames
    cards = []
    for exhibit in evidence.exhibits:
        if isinstance(exhibit, Boxes):
            cards.append(_judged(_boxes_card(explanation, exhibit), worth, exhibit.frame))
        elif isinstance(exhibit, Words):
            cards.append(_judged(_words_card(explanation, exhibit), worth, exhibit.frame))
        elif isinstance(exhibit, Ranking):
            cards.append(_ranking_card(explanation, number, exhibit))
    if cards or not worth or len(worth.moments[0]) <= 3:
        return cards
    return [
        Card(
            "Looked at together",
            f"frames {frames_text(explanation, moment)}, clip {number}",
            score_text(value),
            pictures=some_of(explanation, moment),
        )
        for moment, value in zip(worth.moments, worth.values, strict=True)
    ]


def some_of(explanation: Explanation, moment: Moment) -> tuple[Picture, ...]:
    """Pictures of at most eight of a moment's frames, evenly spread; each frame once."""
    frames: Moment = tuple(dict.fromkeys(moment))
    if len(frames) > _STRIP:
        frames = tuple(frames[round(k * (len(frames) - 1) / (_STRIP - 1))] for k in range(_STRIP))
    return tuple(picture(explanation, frame) for frame in frames)


def picture(explanation: Explanation, frame: int) -> Picture:
    """A frame without boxes."""
    said = f"Frame {explanation.number(frame)} at {explanation.seconds(frame):.2f} s"
    return Picture(frame, said)


def _judged(card: Card, worth: Frames | None, frame: int) -> Card:
    """A frame's card with its verdict, and how much of the clip's score that is.

    A frame that is there several times, as the last of a short clip, counts several times.
    """
    places = [k for k, moment in enumerate(worth.moments) if moment == (frame,)] if worth else []
    if worth is None or not places:
        return replace(card, value="does not count")
    value = worth.values[places[0]]
    said = {0.0: "wrong", 1.0: "right"}.get(value, short(value))
    share = f", counts {100 * sum(worth.shares[k] for k in places):.3g} %" if worth.shares else ""
    good = {0.0: False, 1.0: True}.get(value)
    return replace(card, when=card.when + share, value=said, good=good)


def _words_card(explanation: Explanation, words: Words) -> Card:
    seen = picture(explanation, words.frame)
    name, when = seen.said.split(" at ")
    text = words.text or "(nothing)"
    return Card(name, when, pictures=(seen,), text=text, tags=words.tags)


def _boxes_card(explanation: Explanation, boxes: Boxes) -> Card:
    numbered = list(enumerate(boxes.things, 1))
    # Numbers are ranks: where the surest box decides, it can be told.
    shown = sorted(
        sorted(numbered, key=lambda one: not one[1].sought)[:MOST_THINGS], key=lambda one: one[0]
    )
    places = tuple((place, one.box, one.sought) for place, one in shown)
    seen = replace(picture(explanation, boxes.frame), size=boxes.size, things=places)
    name, when = seen.said.split(" at ")
    return Card(
        name,
        when,
        pictures=(seen,),
        names=tuple(
            Named(place, one.name or "(no name)", f"{one.sure:.2f}", one.caption, one.sought)
            for place, one in shown
        ),
        left_out=len(boxes.things) - len(shown),
        text="" if boxes.things else "Nothing was found in this frame.",
    )


def _ranking_card(explanation: Explanation, number: int, ranking: Ranking) -> Card:
    most = max(1.0, *(value for _, value in ranking.entries))
    return Card(
        ranking.title,
        f"frames {frames_text(explanation, ranking.moment)}, clip {number}",
        pictures=some_of(explanation, ranking.moment),
        bars=tuple(
            Bar(name, f"{value:.4f}", round(100 * value / most, 1), name == ranking.sought)
            for name, value in ranking.entries
        ),
        limit="" if ranking.limit is None else short(ranking.limit),
    )
