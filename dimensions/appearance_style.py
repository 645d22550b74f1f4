"""Appearance style: does the video look the way that was asked for?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, equal_shares
from vbench_long.video import Clip


class AppearanceStyle(Dimension):
    """Mean likeness of the frames to the name of a style, such as "Van Gogh style".

    The cosine of CLIP's features of each frame and of the style in the auxiliary information,
    averaged over all frames of a clip. Range -1..1, higher is better; videos in the style asked for
    lie near 0.25.

    Source: VBench (Huang et al., CVPR 2024); CLIP ViT-B/32. Strict rules change nothing. In
    float32, where the published program runs in float16 on a GPU: about a thousandth of the score.
    """

    name = "appearance_style"
    bounds = (-1.0, 1.0)
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "clip_style_b32", "text": "clip_style_b32"},
    }

    def lacks(self, told: Told) -> str:
        """The style."""
        return "" if _wanted(told) else "the prompt's auxiliary information names no style"

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame, and the style."""
        return {"frame": [(index,) for index in clip.frames], "text": [_wanted(video)]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features whose scalar products are similarities."""
        likeness = _likeness(features)
        return ClipScore(math.fsum(likeness) / len(likeness))

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The likeness of each frame."""
        likeness = _likeness(features)
        frames = tuple((i,) for i in clip.frames)
        curve = Curve("Likeness of each frame to the style", frames, {"cosine": likeness})
        return Evidence(_wanted(video), "", equal_shares(frames, likeness), (curve,))


def _likeness(features: Features) -> tuple[float, ...]:
    (style,) = features["text"]
    return tuple(float(frame @ style) for frame in features["frame"])


def _wanted(told: Told) -> str:
    return told.auxiliary_text("appearance_style", "appearance_style")
