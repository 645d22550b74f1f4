"""Subject consistency: does the subject keep its looks?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vbench_long.dimensions.slow_fast import SlowFast


class SubjectConsistency(SlowFast):
    """How much the subject looks the same from frame to frame and from clip to clip.

    Slow branch: consistency of the frames' features inside each clip. Fast branch: the same of
    the first frames of a scene's clips, mapped through the published table. Range 0..1, higher
    is more consistent.

    Source: VBench (Huang et al., CVPR 2024) and VBench-Long (VBench++, 2024); published features
    are DINO ViT-B/16 inside clips and DINOv2 ViT-B/14 between them. The classical backend uses
    one hand-made descriptor for both.
    """

    name = "subject_consistency"
    table = "subject"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "dino_vitb16", "clip": "dinov2_vitb14"},
        "classical": {"frame": "subject_descriptor", "clip": "subject_descriptor"},
    }
