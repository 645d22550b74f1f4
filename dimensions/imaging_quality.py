"""Imaging quality: is each frame, looked at alone, technically sound?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, equal_shares
from vbench_long.video import Clip

COMPONENTS = ("sharpness", "noise", "exposure", "blockiness")
"""What a backbone may add behind a frame's quality, in this order."""


class ImagingQuality(Dimension):
    """Mean technical quality of the frames: blur, noise, exposure, compression.

    Range 0..1, higher is better: the scale of the published totals. The published per-clip
    lists hold 0..100.

    Source: VBench (Huang et al., CVPR 2024); the published quality is MUSIQ trained on SPAQ (Ke
    et al., ICCV 2021). The classical backend multiplies four measures of known defects, which
    follow their strength but know nothing of content or taste; their means are kept as parts.
    """

    name = "imaging_quality"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "musiq_spaq"},
        "classical": {"frame": "image_defects"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame."""
        return {"frame": [(i,) for i in clip.frames]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: arrays whose first entry is a frame's quality, 0..1, then any components."""
        quality_NC = np.stack([np.asarray(f, np.float64).ravel() for f in features["frame"]])
        quality, *components = (float(mean) for mean in quality_NC.mean(axis=0))
        return ClipScore(quality, dict(zip(COMPONENTS, components, strict=False)))

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The quality of each frame, and what it is made of, where that is known."""
        quality_NC = np.stack([np.asarray(f, np.float64).ravel() for f in features["frame"]])
        quality, *components = (tuple(column.tolist()) for column in quality_NC.T)
        frames = tuple((i,) for i in clip.frames)
        curves = [Curve("Quality of each frame", frames, {"quality": quality})]
        if components:
            named = dict(zip(COMPONENTS, components, strict=False))
            curves.append(Curve("What quality is the product of", frames, named))
        return Evidence(frames=equal_shares(frames, quality), exhibits=tuple(curves))
