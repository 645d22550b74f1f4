"""Object class: is the thing there that was asked for?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.detections import (
    detections,
    looked_at,
    seen_things,
    share_of_frames,
    unsayable,
    untold,
)
from vbench_long.dimensions.evidence import Evidence
from vbench_long.video import Clip


class ObjectClass(Dimension):
    """Share of frames in which a detector names the object of the prompt.

    Of sixteen frames of a clip, those count in which any box is called exactly like the object in
    the prompt's auxiliary information. Range 0..1, higher is better.

    Source: VBench (Huang et al., CVPR 2024); the detector is GRiT. Kept from the published program:
    a clip of fewer than sixteen frames counts its last one several times. Not kept: every failure
    of the detector, such as lack of memory, silently counts as a frame without objects there.
    """

    name = "object_class"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "grit/objects"},
    }

    def lacks(self, told: Told) -> str:
        """An object that the detector can name."""
        wanted = _wanted(told)
        return unsayable([wanted]) if wanted else untold("object")

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Sixteen frames."""
        return {"frame": looked_at(clip)}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the detections of each frame."""
        return share_of_frames(_hits(features, _wanted(video)))

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The things in each frame."""
        wanted = _wanted(video)
        frames = [detections(frame) for frame in features["frame"]]
        hits = _hits(features, wanted)
        return seen_things(clip, video, frames, wanted, lambda thing: thing.name == wanted, hits)


def _hits(features: Features, wanted: str) -> list[bool]:
    """Whether the object is in each frame."""
    return [any(thing.name == wanted for thing in detections(frame)) for frame in features["frame"]]


def _wanted(told: Told) -> str:
    return told.auxiliary_text("object_class", "object")
