"""Pixels out: frames to a video file, written atomically."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from vbench_long.errors import EnvironmentFault, VideoError
from vbench_long.video.frame import Image

_DISK_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM,
    errno.ENOENT, errno.ENOTDIR, errno.EIO,
)  # fmt: skip

# x264's macroblock tree gives other bytes from one call to the next on processors with AVX-512,
# with one thread and equal frames; without it every call gives the same file.
_H264 = {"crf": "12", "preset": "veryfast", "x264-params": "mbtree=0"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a video is encoded. The defaults give visually lossless H.264 every player opens.

    Attributes:
        codec: FFmpeg's encoder name.
        pixel_format: pixels as stored; "yuv420p" needs even sides.
        options: encoder options, recorded with the video.
        threads: fixed, because x264's output depends on it.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: dict(_H264))
    threads: int = 1


def write_video(
    path: Path, frames: Iterable[Image], fps: Fraction, encoding: Encoding | None = None
) -> int:
    """Encode `frames` to `path` and return how many there were.

    The file appears under its name only when it is complete: a killed process leaves a
    ``.partial`` file at most.

    Args:
        path: target; its ending chooses the container (.mp4, .mov, .mkv, .webm, .gif).
        frames: images of one size, (height, width, 3) uint8 RGB.
        fps: frames per second, rational.
        encoding: codec and options; `Encoding()` if not given.

    Raises:
        VideoError: no frame, frames of different size, or a size the codec refuses.
        EnvironmentFault: the disk refuses the file.
    """
    encoding = encoding or Encoding()
    partial = path.with_name(f".{path.stem[:80]}.partial{path.suffix}")
    try:
        count = _encode(partial, frames, fps, encoding)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except av.error.FFmpegError as error:
        if error.errno in _DISK_ERRORS:
            raise EnvironmentFault(
                "the video cannot be written", f"{path}: {error.strerror}", "free or choose a disk"
            ) from error
        raise VideoError(
            f"{encoding.codec} refuses these frames ({error.strerror})",
            str(path),
            "use even sides and at least 16x16 pixels",
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return count


def _encode(path: Path, frames: Iterable[Image], fps: Fraction, encoding: Encoding) -> int:
    count = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoding.codec, rate=fps, options=encoding.options)
        if not isinstance(stream, VideoStream):
            raise VideoError(f"{encoding.codec} encodes no video", str(path), "name another codec")
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.thread_count = encoding.threads
        for rgb in frames:
            height, width = rgb.shape[:2]
            if count == 0:
                stream.width, stream.height = width, height
            elif (stream.width, stream.height) != (width, height):
                raise VideoError(
                    f"frame {count} is {width}x{height}, the first {stream.width}x{stream.height}",
                    str(path),
                    "all frames of a video have one size",
                )
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            container.mux(stream.encode(picture))
            count += 1
        if count == 0:
            raise VideoError("no frame to write", str(path), "generate at least one frame")
        container.mux(stream.encode(None))
    return count
