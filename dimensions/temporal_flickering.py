"""Temporal flickering: how little a clip changes from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.video import Clip


class TemporalFlickering(Dimension):
    """Mean absolute change between neighbouring frames, turned so that 1 is a still picture.

    ``(255 - mean over pairs of mean |f_i - f_(i+1)|) / 255`` over all pixels and channels at
    the original size. Range 0..1, higher is calmer; real footage lies near 0.9..1.

    Source: VBench (Huang et al., CVPR 2024), dimension "temporal flickering"; the published code
    reads clips that were re-encoded at about 1 Mbit/s, this reads the submitted pixels. Sums are
    exact integers, where the published code rounds to float32 (differences below 1e-7). The
    static filter, which needs optical flow from a network, is not applied: moving videos are
    scored as they are. A clip of one frame has no score (published: NaN).
    """

    name = "temporal_flickering"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"pair": "pixel_difference"},
        "classical": {"pair": "pixel_difference"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame with its successor."""
        return {"pair": [(i, i + 1) for i in clip.frames[:-1]]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: mean absolute difference of each pair, in grey levels."""
        changes = [float(change) for change in features["pair"]]
        if not changes:
            return ClipScore(None, reason="one frame has nothing to flicker against")
        return ClipScore((255 - math.fsum(changes) / len(changes)) / 255)
