"""Background consistency: does the scene stay the same place?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.slow_fast import SlowFast


class BackgroundConsistency(SlowFast):
    """How much the scene looks the same from frame to frame and from clip to clip.

    Slow branch: consistency of the frames' features inside each clip. Fast branch: the same of
    the first frames of a scene's clips, mapped through the published table. Range 0..1, higher
    is more consistent.

    Source: VBench (Huang et al., CVPR 2024) and VBench-Long (VBench++, 2024); published features
    are CLIP ViT-B/32 inside clips and DreamSim between them. The classical backend uses one
    hand-made descriptor for both.
    """

    name = "background_consistency"
    table = "background"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "clip_vitb32", "clip": "dreamsim"},
        "classical": {"frame": "background_descriptor", "clip": "background_descriptor"},
    }
