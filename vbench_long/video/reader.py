"""Pixels in: what a video is (`probe`), and its frames in order (`read_frames`)."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.codec.codec import UnknownCodecError
from av.container import InputContainer
from av.stream import Disposition
from av.video.stream import VideoStream

from vbench_long.errors import VideoError
from vbench_long.video.frame import Frame, Image

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".gif")
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")

_DECODER_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video before any frame is decoded.

    Attributes:
        path: a video file, or a folder of images.
        width: pixels as stored; `read_frames` turns what the display matrix turns.
        height: pixels as stored.
        fps: average frame rate, rational.
        frames: frames the packets promise; what decodes decides (see `read_frames`).
        declared: frames the header claims, 0 where it says nothing.
        codec: "h264", "gif", "images", ...
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    frames: int
    declared: int
    codec: str


def is_image_folder(path: Path) -> bool:
    """Whether `path` is a folder that holds images and no videos."""
    if not path.is_dir():
        return False
    suffixes = {entry.suffix.lower() for entry in path.iterdir()}
    return bool(suffixes & set(IMAGE_SUFFIXES)) and not suffixes & set(VIDEO_SUFFIXES)


def probe(path: Path, image_rate: Fraction | None = None) -> VideoInfo:
    """Read what a video is from its packets, without decoding a frame.

    Args:
        path: a video file or a folder of images.
        image_rate: frames per second of folders of images, which have none of their own.

    Raises:
        VideoError: no such video, not a video, no picture in it, no size, or no frame rate.
    """
    if path.is_dir():
        return _probe_images(path, image_rate)
    with _open(path) as (container, stream):
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise VideoError("the video has no frame rate", str(path), "re-encode it")
        frames = sum(
            1 for packet in container.demux(stream) if packet.size and not packet.is_discard
        )
        if not frames or not stream.width or not stream.height:
            size = f"{frames} frames of {stream.width}x{stream.height}"
            raise VideoError(f"the video has no picture ({size})", str(path), "replace the file")
        return VideoInfo(
            path,
            stream.width,
            stream.height,
            rate,
            frames,
            stream.frames,
            stream.codec_context.name,
        )


def read_frames(info: VideoInfo) -> Iterator[Frame]:
    """Decode a video once, from its first frame to its last, as displayed.

    8-bit RGB, equal bit for bit to what OpenCV and decord give; deeper pixels are rounded to 8
    bits by FFmpeg, rotation from the display matrix is applied. Memory does not grow with length.

    Raises:
        VideoError: a damaged frame, or frames of different size.
    """
    if info.codec == "images":
        pictures = ((read_image(file), None) for file in image_files(info.path))
        yield from _number(pictures, info.path)
    else:
        with _open(info.path) as (container, stream):
            yield from _number(_decode(container, stream, info.path), info.path)


def file_sha256(path: Path) -> str:
    """sha256 of a file, or of a folder's images in frame order."""
    files = image_files(path) if path.is_dir() else [path]
    total = hashlib.sha256()
    for file in files:
        with file.open("rb") as handle:
            while block := handle.read(1 << 20):
                total.update(block)
    return total.hexdigest()


def image_files(folder: Path) -> list[Path]:
    """The images of a folder in frame order: by the number their names end in, else by name.

    Raises:
        VideoError: the numbers do not rise in equal steps, so a frame is missing.
    """
    files = sorted(f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES)
    numbers = [re.search(r"(\d+)$", file.stem) for file in files]
    if not all(numbers):
        return files
    numbered = sorted(
        (int(match.group(1)), file) for match, file in zip(numbers, files, strict=True) if match
    )
    steps = {b[0] - a[0] for a, b in itertools.pairwise(numbered)}
    if len(steps) > 1:
        raise VideoError(
            "the images' numbers do not rise in equal steps, so a frame is missing or double",
            str(folder),
            "renumber the images or add the missing one",
        )
    return [file for _, file in numbered]


@contextmanager
def _open(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open a file at its first real video stream (cover art does not count)."""
    if not path.exists():
        raise VideoError("there is no such video", str(path), "check the path")
    if path.stat().st_size == 0:
        raise VideoError("the file is empty", str(path), "generate or copy it again")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            streams = [
                s
                for s in container.streams.video
                if not s.disposition & Disposition.attached_pic and s.codec_context
            ]
            if not streams:
                raise VideoError("the file holds no video stream", str(path), "replace the file")
            stream = streams[0]
            stream.thread_type = "AUTO"
            stream.codec_context.thread_count = _DECODER_THREADS
            yield container, stream
    except UnknownCodecError as error:
        raise VideoError("no decoder for this codec", str(path), "re-encode to H.264") from error
    except av.error.FFmpegError as error:
        raise VideoError(
            f"not a readable video ({error.strerror})", str(path), "generate or copy it again"
        ) from error


def _decode(
    container: InputContainer, stream: VideoStream, path: Path
) -> Iterator[tuple[Image, av.VideoFrame | None]]:
    """Pictures as displayed RGB, and as decoded where that is something else."""
    for index, picture in enumerate(container.decode(stream)):
        if picture.is_corrupt:
            raise VideoError(f"frame {index} is damaged", str(path), "generate or copy it again")
        rgb: Image = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
        # The display matrix counts counter-clockwise, as numpy's rot90 does.
        turns = round(picture.rotation / 90) % 4
        shown = np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb
        yield shown, None if stream.codec_context.name == "gif" else picture


def _number(pictures: Iterator[tuple[Image, av.VideoFrame | None]], path: Path) -> Iterator[Frame]:
    shape: tuple[int, ...] = ()
    for index, (rgb, picture) in enumerate(pictures):
        shape = shape or rgb.shape
        if rgb.shape != shape:
            raise VideoError(
                f"frame {index} is {rgb.shape[1]}x{rgb.shape[0]}, the first {shape[1]}x{shape[0]}",
                str(path),
                "all frames of a video have one size",
            )
        yield Frame(index, rgb, picture)


def _probe_images(folder: Path, image_rate: Fraction | None) -> VideoInfo:
    files = image_files(folder)
    if not files:
        raise VideoError(
            "the folder holds no image", str(folder), "give a video or a folder of images"
        )
    if image_rate is None:
        raise VideoError("a folder of images has no frame rate", str(folder), "add --fps RATE")
    height, width = read_image(files[0]).shape[:2]
    return VideoInfo(folder, width, height, image_rate, len(files), len(files), "images")


def read_image(file: Path) -> Image:
    """An image file as (height, width, 3) uint8 RGB.

    Raises:
        VideoError: it is no image.
    """
    data = np.fromfile(file, np.uint8)
    bgr = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if bgr is None:
        raise VideoError("the image does not decode", str(file), "replace it")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)
