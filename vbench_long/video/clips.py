"""The clip rule: how a video is cut into the clips that are scored."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import floor

from vbench_long.errors import UsageError, VideoError


@dataclass(frozen=True, slots=True)
class Clip:
    """A half-open range of frames of one video.

    Attributes:
        start: first frame, in the video's own count.
        stop: one past the last frame.
        scene: index of the scene the clip lies in; 0 where scenes are not cut.
    """

    start: int
    stop: int
    scene: int = 0

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def frames(self) -> range:
        """The clip's frame indices in the video."""
        return range(self.start, self.stop)


@dataclass(frozen=True, slots=True)
class Scene:
    """A half-open range of frames between two cuts."""

    start: int
    stop: int


def clip_rate(fps: Fraction) -> int:
    """The integer frame rate clips are counted in: the average rate, truncated (29.97 -> 29).

    Raises:
        VideoError: the rate is below 1 frame per second.
    """
    if fps < 1:
        raise VideoError(
            f"{float(fps):.3f} frames per second is below 1, so no clip has a length",
            "",
            "re-encode the video with its real frame rate",
        )
    return floor(fps)


def clip_length(fps: Fraction, seconds: float) -> int:
    """Frames in one clip of `seconds` (at least 1): ``int(fps) * int(seconds)``.

    Fractional seconds, on which the published code divides by zero, count
    ``round(int(fps) * seconds)`` frames instead.

    Raises:
        UsageError: `seconds` is not positive.
    """
    if seconds <= 0:
        raise UsageError(f"a clip of {seconds} seconds", "", "give a positive length")
    rate = clip_rate(fps)
    whole = int(seconds)
    return rate * whole if whole == seconds else max(1, round(rate * seconds))


def split(frames: int, fps: Fraction, seconds: float, scene: int = 0, start: int = 0) -> list[Clip]:
    """Cut `frames` frames that begin at `start` into clips (VBench-Long, ``clip_length_mix``).

    Shorter than one clip: a single clip of all frames. Otherwise consecutive clips; frames left
    over are covered by one more clip made of the last full length, which overlaps the one before.

    Args:
        frames: how many frames the video or scene has; at least 1.
        fps: average frame rate as the container gives it.
        seconds: clip length.
        scene: index stored in each clip.
        start: first frame of the scene in the video.
    """
    length = clip_length(fps, seconds)
    if frames < length:
        return [Clip(start, start + frames, scene)]
    clips = [
        Clip(start + first, start + first + length, scene)
        for first in range(0, frames - length + 1, length)
    ]
    if frames % length:
        clips.append(Clip(start + frames - length, start + frames, scene))
    return clips
