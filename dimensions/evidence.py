"""What a dimension saw of a clip: plain data that a page can show, and the score can follow from.

A dimension that gives evidence takes it from the features its score is made of, by the functions
that make the score. Moments are tuples of frame indices, as in items: (i,) is a frame, (i, j) a
pair. A third party's dimension uses the same few kinds, or gives none and is shown by its clips.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

Moment = tuple[int, ...]
"""The frames one number, name or box is about."""


@dataclass(frozen=True, slots=True)
class Curve:
    """Numbers over time.

    Attributes:
        title: what they measure.
        moments: what each was measured on, in order of time.
        lines: per line its label and a number for each moment.
        limits: levels worth a line of their own: "a pair moves above" -> 8.4.
        unit: of the numbers; empty for shares and cosines.
    """

    title: str
    moments: tuple[Moment, ...]
    lines: Mapping[str, tuple[float, ...]]
    limits: Mapping[str, float] = field(default_factory=dict)
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something in a frame.

    Attributes:
        box: left, top, right, bottom in pixels of the picture that was looked at.
        name: what it was called.
        sure: how sure the detector is, 0..1.
        caption: what else was said of it.
        sought: whether it is what was looked for.
    """

    box: tuple[int, int, int, int]
    name: str
    sure: float
    caption: str = ""
    sought: bool = False


@dataclass(frozen=True, slots=True)
class Boxes:
    """The things in one frame, best first.

    Attributes:
        frame: which.
        size: width and height of the picture that boxes are counted in.
        things: all of them.
    """

    frame: int
    size: tuple[int, int]
    things: tuple[Thing, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """What was said of one frame: a sentence, and tags where there are any."""

    frame: int
    text: str
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """What was taken for likeliest.

    Attributes:
        title: what the numbers are.
        moment: the frames that were looked at together.
        entries: names and numbers, best first.
        sought: the name that was looked for, among the entries or not.
        limit: what its number must reach.
    """

    title: str
    moment: Moment
    entries: tuple[tuple[str, float], ...]
    sought: str = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """How good each moment was by itself, and how much it counts.

    Attributes:
        moments: what was judged; one that is there twice counts twice.
        values: higher is better; the lowest moments hurt most.
        shares: of the clip's score, which is the sum of values times shares; empty where the score
            is no such sum (a verdict by a threshold, say).
    """

    moments: tuple[Moment, ...]
    values: tuple[float, ...]
    shares: tuple[float, ...] = ()

    @property
    def score(self) -> float | None:
        """What they add up to; None where the score is no sum of them."""
        if not self.shares:
            return None
        return math.fsum(v * s for v, s in zip(self.values, self.shares, strict=True))


Exhibit = Curve | Boxes | Words | Ranking


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a dimension saw of one clip, or of the clips of a scene side by side.

    Attributes:
        sought: what it looked for, in words: "a red bicycle"; empty for nothing in particular.
        said: how the score follows, a sentence; empty where that is plain.
        frames: what each moment is worth; None where single moments are worth nothing.
        exhibits: what there is to look at.
    """

    sought: str = ""
    said: str = ""
    frames: Frames | None = None
    exhibits: tuple[Exhibit, ...] = ()


def equal_shares(moments: tuple[Moment, ...], values: tuple[float, ...]) -> Frames:
    """Moments whose mean is the clip's score."""
    return Frames(moments, values, (1 / len(values),) * len(values))
