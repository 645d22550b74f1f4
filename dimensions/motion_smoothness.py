"""Motion smoothness: can the frames in between be foretold from their neighbours?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, equal_shares
from vbench_long.video import Clip


class MotionSmoothness(Dimension):
    """How well every second frame is predicted by interpolating its two neighbours.

    Of a clip's frames 0, 1, 2, ... the even ones are kept, each odd one is predicted from the
    even ones around it, and the score is ``(255 - mean absolute error) / 255`` over all pixels and
    channels at the original size, in whole grey levels. Range 0..1, higher is smoother; a frozen
    clip scores 1. With an even number of frames the last one is not used.

    Source: VBench (Huang et al., CVPR 2024); published predictions come from AMT-S (Li et al.,
    CVPR 2023). The classical backend interpolates along DIS optical flow; on the one video
    with a score by the published weights it comes within 0.001 of it, which says nothing about
    hard motion. A clip of fewer than three frames has no score (published: assertion error).
    """

    name = "motion_smoothness"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"triple": "amt_s"},
        "classical": {"triple": "dis_interpolation"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Each odd frame of the clip between its two neighbours; parity counts from the clip."""
        return {"triple": [(i, i + 1, i + 2) for i in range(clip.start, clip.stop - 2, 2)]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: mean absolute error of each predicted frame, in grey levels."""
        errors = [float(error) for error in features["triple"]]
        if not errors:
            return ClipScore(None, reason="fewer than three frames leave nothing to interpolate")
        return ClipScore((255 - math.fsum(errors) / len(errors)) / 255)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The error of each frame that was foretold."""
        errors = tuple(float(error) for error in features["triple"])
        if not errors:
            return Evidence()
        foretold = tuple((i + 1,) for i in range(clip.start, clip.stop - 2, 2))
        curve = Curve(
            "How far frames are from what their neighbours foretell",
            foretold,
            {"mean error": errors},
            unit="grey levels",
        )
        smooth = tuple((255 - error) / 255 for error in errors)
        return Evidence(frames=equal_shares(foretold, smooth), exhibits=(curve,))
