"""Named defects of the synthetic generator: each spoils a video in one way, by a known amount.

A defect works on the finished frames (`Defect.apply`) or on what stands on the stage
(`Defect.look`). Strength runs from 0, the clean video, to 1 and is linear in the physical quantity
the defect's docstring names. Random draws never depend on the strength, only their size does, so
a stronger video is the same accident, worse.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from vbench_long.video import Image


@dataclass(frozen=True, slots=True)
class Format:
    """Size, rate and length of a video.

    Attributes:
        width: pixels.
        height: pixels.
        fps: frames per second.
        seconds: length.
    """

    width: int = 720
    height: int = 480
    fps: Fraction = Fraction(8)
    seconds: float = 6.0

    @property
    def frames(self) -> int:
        """How many frames, at least 1."""
        return max(1, round(self.seconds * self.fps))


@dataclass(frozen=True, slots=True)
class Look:
    """What stands on the stage at one instant, as shares of a second version of it.

    Attributes:
        subjects: 0 shows the subjects as they are, 1 their other identity.
        background: 0 shows the background as it is, 1 the other place.
    """

    subjects: float = 0.0
    background: float = 0.0


class Staging(Protocol):
    """A defect of the stage: the look of frame `index` of a video."""

    def __call__(self, index: int, strength: float, video: Format) -> Look:
        """Pure: `index` counts frames from 0, `strength` lies in (0, 1]."""
        ...


class Treatment(Protocol):
    """A defect of the pixels: frames in, as many frames of the same size out, lazily."""

    def __call__(
        self, frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
    ) -> Iterator[Image]:
        """Never writes into a frame it got; `strength` lies in (0, 1]."""
        ...


def as_it_is(index: int, strength: float, video: Format) -> Look:
    """The stage without a defect."""
    return Look()


def untouched(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """The frames without a defect."""
    return frames


@dataclass(frozen=True, slots=True)
class Defect:
    """One way to spoil a video; either part may be idle."""

    look: Staging = as_it_is
    apply: Treatment = untouched


def subject_drift(index: int, strength: float, video: Format) -> Look:
    """The subjects slowly become others: outline, colour and pattern morph over the video.

    Strength is the share of the other identity reached in the last frame.
    """
    return Look(subjects=strength * _elapsed(index, video))


def background_swap(index: int, strength: float, video: Format) -> Look:
    """The place slowly becomes another: the background crossfades over the video.

    Strength is the share of the other place reached in the last frame.
    """
    return Look(background=strength * _elapsed(index, video))


def hard_cut(index: int, strength: float, video: Format) -> Look:
    """The video jumps back and forth between two worlds, place and subjects alike.

    A cut every 1.3 s, so that every 2 s clip holds one; one cut half way in videos below 2.6 s.
    Strength is the share of the other world after each odd cut: 1 is a real cut, less a
    double exposure.
    """
    seconds = index / video.fps
    share = strength * (seconds // min(Fraction(13, 10), video.frames / video.fps / 2) % 2)
    return Look(subjects=share, background=share)


def flicker(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Exposure pumps: every frame is brighter or darker than the one before.

    Grey levels are multiplied by a gain that alternates around 1 by a random amount. Strength is
    the amplitude of the gain: at 1 it lies 0.2 to 0.4 above or below 1.
    """
    for index, frame in enumerate(frames):
        swing = rng.uniform(0.2, 0.4) * (-1) ** index
        yield _scaled(frame, 1 + strength * swing)


def overexposure(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Too much light: the picture brightens and its highlights clip to white.

    Strength is exposure in stops, 2 at 1, on light coded with a gamma of 2.2.
    """
    for frame in frames:
        yield _scaled(frame, 2 ** (2 * strength / 2.2))


def jitter(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """The camera shakes: every frame is shifted at random, independently of its neighbours.

    Strength is the reach of the shift along each axis: 3 % of the short side at 1. What comes in
    at the border is the picture mirrored.
    """
    reach = 0.03 * strength * min(video.width, video.height)
    for frame in frames:
        across, down = reach * rng.uniform(-1, 1, 2)
        shift = np.array([[1, 0, across], [0, 1, down]])
        size = (video.width, video.height)
        yield _image(
            cv2.warpAffine(
                frame, shift, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
            )
        )


def blur(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Out of focus: every frame is smoothed with the same Gaussian.

    Strength is the Gaussian's sigma: 1.2 % of the short side at 1 (5.8 pixels at 480). A sigma
    below a quarter of a pixel changes nothing.
    """
    sigma = 0.012 * strength * min(video.width, video.height)
    for frame in frames:
        yield _image(cv2.GaussianBlur(frame, (0, 0), sigma, borderType=cv2.BORDER_REFLECT_101))


def noise(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Sensor noise: independent Gaussian noise in every pixel, channel and frame.

    Strength is the noise's sigma: 40 grey levels at 1.
    """
    for frame in frames:
        grain = rng.standard_normal(frame.shape, dtype=np.float32)
        yield np.rint(np.clip(frame + 40 * strength * grain, 0, 255)).astype(np.uint8)


def freeze(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Frames drop out: a dropped frame shows its predecessor again, time runs on.

    Strength is the share of frames dropped, 0.95 at 1, spread evenly over the video. The first
    frame never is, and a frame dropped at one strength is dropped at every greater one.
    """
    start, golden = rng.uniform(), (5**0.5 - 1) / 2
    shown: Image | None = None
    for index, frame in enumerate(frames):
        # Multiples of the golden ratio, modulo 1, fill every stretch of frames evenly.
        kept = (start + golden * index) % 1 >= 0.95 * strength
        shown = frame if shown is None or kept else shown
        yield shown.copy()


def compression(
    frames: Iterator[Image], strength: float, rng: np.random.Generator, video: Format
) -> Iterator[Image]:
    """Too few bits: 8x8 blocks, ringing and smeared colour of a JPEG coder, frame by frame.

    Strength is the coder's quantiser step, 10 times the standard tables at 1 (JPEG quality 5) and
    5 times at 0.5 (quality 10). The JPEG scale has whole numbers only, so strengths closer than
    0.1 may coincide at the upper end.
    """
    percent = 1000 * strength
    quality = round(5000 / percent if percent > 100 else 100 - percent / 2)
    for frame in frames:
        bgr = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
        _, coded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
        yield _image(cv2.cvtColor(cast(Image, cv2.imdecode(coded, 1)), cv2.COLOR_BGR2RGB))


DEFECTS: dict[str, Defect] = {
    "flicker": Defect(apply=flicker),
    "jitter": Defect(apply=jitter),
    "blur": Defect(apply=blur),
    "noise": Defect(apply=noise),
    "overexposure": Defect(apply=overexposure),
    "compression": Defect(apply=compression),
    "freeze": Defect(apply=freeze),
    "subject_drift": Defect(look=subject_drift),
    "background_swap": Defect(look=background_swap),
    "hard_cut": Defect(look=hard_cut),
}
"""All defects by the name `--model-args defect=NAME` knows."""


def _elapsed(index: int, video: Format) -> float:
    """Share of the video that has passed: 0 in the first frame, 1 in the last."""
    return index / max(video.frames - 1, 1)


def _scaled(frame: Image, gain: float) -> Image:
    """Grey levels times `gain`, rounded and clipped."""
    table = np.rint(np.clip(np.arange(256) * gain, 0, 255)).astype(np.uint8)
    return _image(cv2.LUT(frame, table))


def _image(pixels: NDArray[np.generic]) -> Image:
    return pixels.astype(np.uint8, copy=False)
