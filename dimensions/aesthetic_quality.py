"""Aesthetic quality: would people call the frames beautiful?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, equal_shares
from vbench_long.video import Clip


class AestheticQuality(Dimension):
    """Mean beauty of the frames, as people rated pictures.

    A tenth of the LAION predictor's score of each frame, averaged. Meant for 0..1; the predictor
    is linear and unbounded, and real footage lies between 0.3 and 0.7. Higher is better.

    Source: VBench (Huang et al., CVPR 2024); LAION aesthetic predictor on CLIP ViT-L/14. There is
    no honest twin without weights. In float32 throughout, where the published program runs CLIP
    in float16 on a GPU (differences up to 3e-4).
    """

    name = "aesthetic_quality"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "aesthetic_clip_l14"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame."""
        return {"frame": [(i,) for i in clip.frames]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the predictor's score of each frame, over ten."""
        scores = [float(feature.flat[0]) for feature in features["frame"]]
        return ClipScore(math.fsum(scores) / len(scores))

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The score of each frame."""
        scores = tuple(float(feature.flat[0]) for feature in features["frame"])
        frames = tuple((i,) for i in clip.frames)
        curve = Curve("Beauty of each frame", frames, {"a tenth of the rating": scores})
        return Evidence(frames=equal_shares(frames, scores), exhibits=(curve,))
