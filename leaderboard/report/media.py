"""Pictures and addresses of videos: what a report shows of files that lie beside it."""

from __future__ import annotations

import base64
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, Literal

from vbench_long.errors import VideoError
from vbench_long.store import Run

if TYPE_CHECKING:
    from vbench_long.video import Image

Media = Literal["linked", "none"]
"""Whether a report shows frames of videos and plays the files where they lie."""

POSTER_WIDTH: Final = 320
"""Pixels across a poster; smaller videos keep their size."""

_QUALITY = 60  # of the JPEG; about 10 KB a poster


@dataclass(frozen=True, slots=True)
class Footage:
    """What could be taken from one video file.

    Attributes:
        rate: frames per second; None where the file told nothing.
        posters: JPEG pictures as `data:` addresses, by frame.
        note: why there is less than was asked for; empty if there is not.
    """

    rate: Fraction | None
    posters: Mapping[int, str]
    note: str = ""


def take(path: Path, sha256: str, frames: Collection[int]) -> Footage:
    """Take frames of a judged video as posters, decoding it once and no further than needed.

    Args:
        path: a video file or a folder of images.
        sha256: of the file that was judged; any other file gives no picture, so that a run from
            elsewhere cannot put private videos into a report.
        frames: frame numbers from 0.
    """
    # Loaded here: a report without media, or of a run without files, needs no decoder.
    from vbench_long.video import file_sha256, probe, read_frames

    try:
        if file_sha256(path) != sha256:
            return Footage(None, {}, "the file has changed since it was judged")
        # Frames are asked for by number, so the rate of a folder of images is of no concern.
        info = probe(path, Fraction(1))
        wanted, last = set(frames), max(frames, default=-1)
        posters: dict[int, str] = {}
        for frame in read_frames(info):
            if frame.index in wanted:
                posters[frame.index] = jpeg(frame.rgb, POSTER_WIDTH)
            if frame.index >= last:
                break
        return Footage(None if info.codec == "images" else info.fps, posters)
    except (VideoError, OSError):
        return Footage(None, {}, "the file cannot be read any more")


def shrunk(rgb: Image, width: int) -> Image:
    """A picture of at most `width` pixels across; smaller ones keep their size."""
    import cv2

    height, across = rgb.shape[:2]
    if across <= width:
        return rgb
    size = (width, max(1, round(height * width / across)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA).astype(rgb.dtype)


def jpeg(rgb: Image, width: int) -> str:
    """A picture of at most `width` pixels across as a `data:` address."""
    import cv2

    bgr = cv2.cvtColor(shrunk(rgb, width), cv2.COLOR_RGB2BGR)
    _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return f"data:image/jpeg;base64,{base64.b64encode(coded.tobytes()).decode()}"


def present(path: Path) -> bool:
    """Whether there is such a file or folder; a name the system refuses is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def addresses(run: Run, folder: Path) -> tuple[str, list[str | None]]:
    """Where a run's video files lie, seen from `folder`.

    Returns:
        A relative path to the folder that holds them all, beginning and ending so that it is read
        as a path whatever follows; and per sample the rest of its path, None for a file that is
        not there, or that no relative path leads to. Neither is escaped for an address yet.
    """
    paths = [_relative(run.folder / sample.path, folder) for sample in run.samples]
    folders = [path.parent for path in paths if path is not None]
    base = PurePosixPath(os.path.commonpath(folders)) if folders else PurePosixPath()
    rest = [None if path is None else path.relative_to(base).as_posix() for path in paths]
    return f"{base}/" if base.parts[:1] == ("..",) else f"./{base}/".replace("/./", "/"), rest


def _relative(path: Path, folder: Path) -> PurePosixPath | None:
    if not present(path) or path.is_dir():
        return None
    try:
        relative = Path(os.path.relpath(path, folder)).as_posix()
        relative.encode()
    except ValueError:  # another drive, or a name that is no text
        return None
    return PurePosixPath(relative)
