"""Pixels in, pixels out: the only place that knows how a video is stored."""

from vbench_long.video.clips import Clip, Scene, clip_length, clip_rate, split
from vbench_long.video.frame import Frame, Image
from vbench_long.video.writer import Encoding, write_video

__all__ = [
    "Clip",
    "Encoding",
    "Frame",
    "Image",
    "Scene",
    "clip_length",
    "clip_rate",
    "split",
    "write_video",
]
