"""Multiple objects: are both things there that were asked for?"""

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


class MultipleObjects(Dimension):
    """Share of frames in which a detector names both objects of the prompt.

    The auxiliary information says "bird and cat". Of sixteen frames of a clip, those count in
    which some box is called exactly like the one and some box like the other. Range 0..1, higher
    is better.

    Source: VBench (Huang et al., CVPR 2024); the detector is GRiT. Kept from the published program:
    a clip of fewer than sixteen frames counts its last one several times. An object twice ("cat
    and cat") is found in one box.
    """

    name = "multiple_objects"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "grit/objects"},
    }

    def lacks(self, told: Told) -> str:
        """Two objects that the detector can name."""
        wanted = _wanted(told)
        return unsayable(sorted(wanted)) if wanted else untold('two objects, as in "bird and cat"')

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
        sought, hits = " and ".join(sorted(wanted)), _hits(features, wanted)
        return seen_things(clip, video, frames, sought, lambda thing: thing.name in wanted, hits)


def _hits(features: Features, wanted: set[str]) -> list[bool]:
    """Whether both objects are in each frame."""
    return [wanted <= {thing.name for thing in detections(frame)} for frame in features["frame"]]


def _wanted(told: Told) -> set[str]:
    """The two objects; empty where there are none, one or three."""
    parts = told.auxiliary_text("multiple_objects", "object").split(" and ")
    objects = [part.strip() for part in parts]
    return set(objects) if len(objects) == 2 and all(objects) else set()
