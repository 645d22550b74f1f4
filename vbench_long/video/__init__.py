"""Pixels in, pixels out: the only place that knows how a video is stored."""

from vbench_long.video.clips import Clip, Scene, clip_length, clip_rate, split
from vbench_long.video.frame import Frame, Image
from vbench_long.video.reader import (
    VIDEO_SUFFIXES,
    VideoInfo,
    file_sha256,
    is_image_folder,
    probe,
    read_frames,
    read_image,
)
from vbench_long.video.writer import Encoding, write_video

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "Encoding",
    "Frame",
    "Image",
    "Scene",
    "VideoInfo",
    "clip_length",
    "clip_rate",
    "file_sha256",
    "is_image_folder",
    "probe",
    "read_frames",
    "read_image",
    "split",
    "write_video",
]
