"""Pixels out: frames to a video file, written atomically, or to memory."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO

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
        bit_rate: average bits per second, or None for what the options say.
    """

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: dict(_H264))
    threads: int = 1
    bit_rate: int | None = None


class Encoder:
    """Encodes frames one by one into a file or a buffer."""

    def __init__(
        self, target: Path | IO[bytes], fps: Fraction, encoding: Encoding, name: str = ""
    ) -> None:
        """Open `target`; a buffer becomes an mp4. `name` is what errors call it."""
        self._name = name
        if isinstance(target, Path):
            self._container = av.open(str(target), "w")
        else:
            self._container = av.open(target, "w", format="mp4")
        stream = self._container.add_stream(encoding.codec, rate=fps, options=encoding.options)
        if not isinstance(stream, VideoStream):
            raise VideoError(f"{encoding.codec} encodes no video", name, "name another codec")
        stream.pix_fmt = encoding.pixel_format
        stream.codec_context.thread_count = encoding.threads
        if encoding.bit_rate is not None:
            stream.bit_rate = encoding.bit_rate
        self._stream = stream
        self.frames = 0

    def add(self, rgb: Image) -> None:
        """Encode one more frame, (height, width, 3) uint8 RGB.

        Raises:
            VideoError: its size is not that of the first.
        """
        height, width = rgb.shape[:2]
        stream = self._stream
        if self.frames == 0:
            stream.width, stream.height = width, height
        elif (stream.width, stream.height) != (width, height):
            raise VideoError(
                f"frame {self.frames} is {width}x{height}, "
                f"the first {stream.width}x{stream.height}",
                self._name,
                "all frames of a video have one size",
            )
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        self._container.mux(stream.encode(picture))
        self.frames += 1

    def finish(self) -> None:
        """Flush what the encoder holds and write the file's index.

        Raises:
            VideoError: no frame was added.
        """
        if self.frames == 0:
            raise VideoError("no frame to write", self._name, "generate at least one frame")
        self._container.mux(self._stream.encode(None))
        self.close()

    def close(self) -> None:
        """Give the file up, finished or not."""
        self._container.close()


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
        with encoding_errors(encoding, str(path)):
            encoder = Encoder(partial, fps, encoding, str(path))
            try:
                for rgb in frames:
                    encoder.add(rgb)
                encoder.finish()
            finally:
                encoder.close()
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return encoder.frames


@contextmanager
def encoding_errors(encoding: Encoding, where: str) -> Iterator[None]:
    """Turn FFmpeg's errors into ours: the disk's fault, or the frames'."""
    try:
        yield
    except av.error.FFmpegError as error:
        if error.errno in _DISK_ERRORS:
            raise EnvironmentFault(
                "the video cannot be written", f"{where}: {error.strerror}", "free or choose a disk"
            ) from error
        raise VideoError(
            f"{encoding.codec} refuses these frames ({error.strerror})",
            where,
            "use even sides and at least 16x16 pixels",
        ) from error
