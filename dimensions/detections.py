"""What a detector says of a frame, and what the dimensions that ask it have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from vbench_long.dimensions.base import ClipScore, Feature, Item
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.video import Clip

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the picture the detector saw, cut to whole ones."""


class Detection(NamedTuple):
    """One thing in a frame.

    Attributes:
        box: where.
        score: how sure the detector is, 0..1.
        name: what it is: "dog".
        caption: what can be said of it: "a brown dog on grass"; empty where nobody asked.
    """

    box: Box
    score: float
    name: str
    caption: str = ""


_ROW = np.dtype([("box", np.int32, 4), ("score", np.float32), ("name", "O"), ("caption", "O")])


def as_feature(detections: Iterable[Detection]) -> Feature:
    """The detections of a frame, best first, as one array with a row for each."""
    return np.array([tuple(detection) for detection in detections], _ROW)


def detections(feature: Feature) -> list[Detection]:
    """The detections in a feature, best first."""
    return [
        Detection(tuple(row["box"].tolist()), float(row["score"]), row["name"], row["caption"])
        for row in feature
    ]


def looked_at(clip: Clip) -> list[Item]:
    """The sixteen frames of a clip that are looked at; one that is there twice counts twice."""
    return [(index,) for index in middle_frames(clip, 16)]


def share_of_frames(hits: Iterable[bool]) -> ClipScore:
    """The score of a clip of which some frames are right: their share."""
    verdicts = list(hits)
    parts = {"success_frame_count": sum(verdicts), "frame_count": len(verdicts)}
    return ClipScore(sum(verdicts) / len(verdicts), parts)


def untold(what: str) -> str:
    """What is said of a prompt that does not say what to look for."""
    return f"the prompt's auxiliary information has no {what}"
