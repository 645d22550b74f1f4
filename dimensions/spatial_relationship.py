"""Spatial relationship: does the one thing stand where it should beside the other?"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.detections import (
    Box,
    Detection,
    detections,
    looked_at,
    seen_things,
    unsayable,
    untold,
)
from vbench_long.dimensions.evidence import Evidence
from vbench_long.video import Clip

DIRECTIONS = {
    "on the left of": (-1, 0),
    "on the right of": (1, 0),
    "on the top of": (0, -1),
    "on the bottom of": (0, 1),
}
"""Where the first thing lies, seen from the second: to the right and downwards is positive."""

TOUCHING = 0.1
"""Intersection over union from which on two boxes are not clearly apart."""


@dataclass(frozen=True, slots=True)
class Relation:
    """What the prompt asks for.

    Attributes:
        first: a thing.
        second: another.
        direction: where the first should be, an entry of `DIRECTIONS`.
    """

    first: str
    second: str
    direction: tuple[int, int]


class SpatialRelationship(Dimension):
    """How clearly two things stand beside, or above, each other as the prompt says.

    A detector names the boxes of sixteen frames of a clip. Two boxes score 1 if their centres are
    further apart along the wanted axis than across it, less (0.1 over their intersection over
    union) if they overlap much, and 0 otherwise. A frame has the score of its best pair, 0 without
    one, and the clip the mean of its frames. Range 0..1, higher is better.

    Source: VBench (Huang et al., CVPR 2024); the detector is GRiT. The published program does not
    do what its paper says. By default this keeps, and strict rules mend:

    * Sides are not told apart: left scores as right does, and top as bottom. A model that
      places things at random along the right axis gets full marks.
    * Two boxes of the same thing are a pair too: two cats side by side, without the dog, score 1.

    Not kept: a relation other than the four scores 0 there, and two boxes of no area end the run.
    """

    name = "spatial_relationship"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "grit/objects"},
    }

    def lacks(self, told: Told) -> str:
        """Two things that the detector can name, and a relation that is known."""
        if wanted := _wanted(told):
            return unsayable([wanted.first, wanted.second])
        return untold(f"two objects and a relationship, one of: {', '.join(DIRECTIONS)}")

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Sixteen frames."""
        return {"frame": looked_at(clip)}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the detections of each frame."""
        wanted = _wanted(video)
        assert wanted
        scores = self._scores(features, wanted)
        best = [max(some, default=0.0) for some in scores]
        parts = {"frame_count": len(best), "frames_with_pair": sum(map(bool, scores))}
        return ClipScore(math.fsum(best) / len(best), parts)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The things in each frame."""
        wanted = _wanted(video)
        assert wanted
        frames = [detections(frame) for frame in features["frame"]]
        best = [max(some, default=0.0) for some in self._scores(features, wanted)]
        names = (wanted.first, wanted.second)
        phrase = next(phrase for phrase, way in DIRECTIONS.items() if way == wanted.direction)
        sought = f"{wanted.first} {phrase} {wanted.second}"
        return seen_things(clip, video, frames, sought, lambda one: one.name in names, best)

    def _scores(self, features: Features, wanted: Relation) -> list[list[float]]:
        """The score of every pair, frame by frame."""
        pairs = strict_scores if self.rules == "strict" else published_scores
        return [list(pairs(detections(frame), wanted)) for frame in features["frame"]]


def _wanted(told: Told) -> Relation | None:
    first, second, relation = (
        told.auxiliary_text("spatial_relationship", "spatial_relationship", key)
        for key in ("object_a", "object_b", "relationship")
    )
    # A part of the phrase will do, as in the published program, if it is of one direction only.
    meant = [direction for phrase, direction in DIRECTIONS.items() if relation in phrase]
    return Relation(first, second, meant[0]) if first and second and len(meant) == 1 else None


def published_scores(things: Sequence[Detection], wanted: Relation) -> Iterator[float]:
    """Of every two boxes of a frame that are called like either thing: how clearly apart."""
    named = [one.box for one in things if one.name in (wanted.first, wanted.second)]
    for one, other in combinations(named, 2):
        yield clearness(one, other, wanted.direction)


def strict_scores(things: Sequence[Detection], wanted: Relation) -> Iterator[float]:
    """Of every box of the one thing with every box of the other: how clearly, and on which side."""
    for one, other in permutations(things, 2):
        if (one.name, other.name) == (wanted.first, wanted.second):
            (x, y), (right, down) = _offset(one.box, other.box), wanted.direction
            on_its_side = x * right + y * down > 0
            yield clearness(one.box, other.box, wanted.direction) if on_its_side else 0.0


def clearness(one: Box, other: Box, direction: tuple[int, int]) -> float:
    """How clearly two boxes lie apart along the axis of a direction, either way: 0..1."""
    x, y = _offset(one, other)
    along, across = (x, y) if direction[0] else (y, x)
    if abs(along) <= abs(across):
        return 0.0
    overlap = intersection_over_union(one, other)
    return 1.0 if overlap < TOUCHING else TOUCHING / overlap


def intersection_over_union(one: Box, other: Box) -> float:
    """What two boxes share, over what they cover together; 0 for two boxes of no area."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    covered = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - shared
    return shared / covered if covered else 0.0


def _offset(one: Box, other: Box) -> tuple[float, float]:
    """From the centre of the other box to that of the one."""
    return (
        (one[0] + one[2] - other[0] - other[2]) / 2,
        (one[1] + one[3] - other[1] - other[3]) / 2,
    )
