"""Overall consistency: does the video show what the prompt says?"""

from __future__ import annotations

from vbench_long.dimensions.video_text import VideoText


class OverallConsistency(VideoText):
    """How well a clip fits its prompt.

    The cosine of ViCLIP's features of eight frames and of the prompt. Range -1..1, higher is
    better; good videos lie near 0.25.

    Source: VBench (Huang et al., CVPR 2024). Strict rules change nothing: ViCLIP reads 30 tokens
    of a prompt, which cuts two of the 93 official ones and 48 of the 60 in the suite "long".
    """

    name = "overall_consistency"
