"""What temporal style and overall consistency share: a video and its prompt in one space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.evidence import Evidence, Frames
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.video import Clip

FRAMES = 8


class VideoText(Dimension):
    """A dimension scored by the cosine of a clip's feature and its prompt's.

    Roles: "clip" (eight frames together) and "text" (the prompt as it is). Two dimensions that ask
    the same of the same clip cost one pass.
    """

    bounds = (-1.0, 1.0)
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"clip": "viclip_l14", "text": "viclip_l14"},
    }

    def lacks(self, told: Told) -> str:
        """Any words."""
        return "" if told.prompt else "the video has no prompt to be compared with"

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Eight frames, and the prompt."""
        return {"clip": [middle_frames(clip, FRAMES)], "text": [video.prompt]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features of norm one."""
        return ClipScore(_cosine(features))

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The eight frames, which have one number together."""
        together = middle_frames(clip, FRAMES)
        return Evidence(video.prompt, frames=Frames((together,), (_cosine(features),), (1.0,)))


def _cosine(features: Features) -> float:
    (seen,), (said,) = features["clip"], features["text"]
    # Rounding can push the cosine of two equal vectors past 1.
    return max(-1.0, min(1.0, float(seen @ said)))
