"""What a detector says of a frame, and what the dimensions that ask it have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple
from unicodedata import category, normalize

import numpy as np

from vbench_long.dimensions.base import ClipScore, Feature, Item, VideoFacts
from vbench_long.dimensions.evidence import Boxes, Evidence, Frames, Thing, equal_shares
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.video import Clip

LARGEST, SHRUNK = 768, 720.0
"""Pixels of the shorter side above which a detector sees a frame shrunk, and to what."""

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


def seen_size(height: int, width: int) -> tuple[int, int]:
    """The size (height, width) a frame is seen in; large ones are shrunk."""
    if min(height, width) <= LARGEST:
        return height, width
    scale = SHRUNK / min(height, width)
    return int(scale * height), int(scale * width)


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


def unsayable(names: Iterable[str]) -> str:
    """Why the detector can never say one of `names`: it has neither capitals nor accents."""
    for name in names:
        if name != name.lower() or any(category(c) == "Mn" for c in normalize("NFD", name)):
            return f"the detector's words have no capitals or accents, and cannot be '{name[:60]}'"
    return ""


def seen_things(
    clip: Clip,
    video: VideoFacts,
    frames: Sequence[Sequence[Detection]],
    sought: str,
    is_sought: Callable[[Detection], bool],
    worth: Sequence[float | None],
) -> Evidence:
    """Evidence of a dimension that judges the sixteen frames by the things in them.

    Args:
        clip: that was looked at.
        video: its size.
        frames: the things in each frame.
        sought: what was looked for, in words.
        is_sought: whether a thing is that, or part of it.
        worth: of each frame; None for one that does not count.
    """
    moments = middle_frames(clip, 16)
    height, width = seen_size(video.height, video.width)
    things = {
        moment: tuple(Thing(d.box, d.name, d.score, d.caption, is_sought(d)) for d in seen)
        for moment, seen in zip(moments, frames, strict=True)
    }
    boxes = tuple(Boxes(moment, (width, height), seen) for moment, seen in things.items())
    counted = [(moment, one) for moment, one in zip(moments, worth, strict=True) if one is not None]
    return Evidence(sought, "", _shared(counted), boxes)


def _shared(counted: Sequence[tuple[int, float]]) -> Frames | None:
    if not counted:
        return None
    moments, values = zip(*counted, strict=True)
    return equal_shares(tuple((moment,) for moment in moments), tuple(map(float, values)))
