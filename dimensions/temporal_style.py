"""Temporal style: does the camera, or time, do what was asked for?"""

from __future__ import annotations

from vbench_long.dimensions.video_text import VideoText


class TemporalStyle(VideoText):
    """How well a clip fits its prompt, which ends in a style such as "in super slow motion".

    The cosine of ViCLIP's features of eight frames and of the whole prompt. Range -1..1, higher is
    better; good videos lie near 0.25.

    Source: VBench (Huang et al., CVPR 2024). The arithmetic is that of overall consistency on other
    prompts; the content of the prompt counts as much as its style. Strict rules change nothing:
    ViCLIP reads 30 tokens, and ten of the hundred official prompts lose their style to that.
    """

    name = "temporal_style"
