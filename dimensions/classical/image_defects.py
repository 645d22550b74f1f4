"""Four defects a frame can have by itself: blur, noise, wrong exposure, compression blocks.

Each is measured by a published no-reference measure and put on 0..1 (1: none of it) by constants
chosen on real footage: two camera videos, seven generated ones, and the same frames with blur,
noise, gain and JPEG added. The quality is their weighted geometric mean, so any one defect alone
lowers it, and one that is total makes it 0.

Sharpness is seen at a working size, the longer side 512 (the reference's `longer` rule), so a
large frame is judged as a viewer at some distance would. Noise and blockiness need the original
pixels; the same grain costs the same at any frame size.

Unlike MUSIQ (Ke et al., ICCV 2021, trained on SPAQ) nothing here was fitted to opinions: content,
composition and taste do not count, deliberate grain or blurred backgrounds do. Very fine texture
that covers the whole frame counts as noise, more light on a dark scene is no defect until it
clips, and JPEG of quality 80 and more gains by the noise it removes what its blocks cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vbench_long.dimensions.base import Feature
from vbench_long.dimensions.classical.pixels import grey, reduced, require_size
from vbench_long.video import Frame, Image

LONGER_SIDE = 512
SMALLEST = 16
WEIGHTS = {"sharpness": 0.4, "noise": 0.2, "exposure": 0.25, "blockiness": 0.15}
BLOCK = 8

_PERCENTILE_OF_WHITE_NOISE = 0.926
"""The 20th percentile of the blocks over their mean, measured where there is nothing but noise."""

Floats: TypeAlias = NDArray[np.float32]

_SECOND = np.array([1, -2, 1], np.float32)
"""Second difference: across and down, the difference of two Laplacians."""
_GREY_LEVELS = np.arange(256, dtype=np.float64)


class ImageDefects:
    """Technical quality of a frame from its sharpness, noise, exposure and blockiness.

    Feature: (quality, sharpness, noise, exposure, blockiness), each 0..1, higher is better.
    """

    batch = 16
    weightless = True

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Items (frame,) -> arrays of shape (5,).

        Raises:
            VideoError: a side is shorter than 16 pixels.
        """
        return [self._judge(frame) for (frame,) in items]

    def _judge(self, frame: Frame) -> Feature:
        require_size(frame, SMALLEST, "image defects")
        luma = grey(frame.rgb)
        seen = _at_working_size(luma)
        components = np.array(
            [sharpness(seen), cleanness(luma), exposure(frame.rgb, luma), seamlessness(luma)]
        )
        quality = np.prod(components ** np.fromiter(WEIGHTS.values(), np.float64))
        return np.concatenate([[quality], components])


def sharpness(luma: Image) -> float:
    """Share of the local contrast that a further blur takes away, 0..1.

    After the blur effect of Crete et al. (SPIE 2007): a sharp picture loses most of the
    differences between neighbouring pixels to a 9-pixel box filter, a blurred one few. Crisp real
    footage loses 0.6 to 0.8 of their energy, the same under a Gaussian blur of 8 pixels 0.1.

    Changed so that noise, which the filter removes entirely, does not pass for sharpness:
    differences are squared, and the energy that noise of the measured strength adds is taken off;
    the picture is smoothed (sigma 1) first. Both directions are pooled, because lines in one
    direction have no contrast along the other.
    """
    noise = _noise_deviation(luma) ** 2
    smooth = _smoothed(luma.astype(np.float32))
    before = _contrast(smooth, smooth) - noise * _NOISE_BEFORE * luma.size
    after = _contrast(*_blurred(smooth)) - noise * _NOISE_AFTER * luma.size
    # An energy of 0.02 per pixel is below what 8 bits can show: flat pictures count as blurred.
    return max(0.0, before - max(0.0, after)) / (max(0.0, before) + 0.02 * luma.size)


def cleanness(luma: Image) -> float:
    """Freedom from noise, 0..1: one half at a standard deviation of 6 grey levels.

    Clean real footage lies at 0.1 to 0.9 levels, dithered GIFs at 11.
    """
    return 1 / (1 + (_noise_deviation(luma) / 6) ** 2)


def exposure(rgb: Image, luma: Image) -> float:
    """Share of the picture that is neither burnt out nor crushed, 0..1.

    After the well-exposedness of Mertens et al. ("Exposure fusion", Pacific Graphics 2007), with
    a flat top in place of their Gaussian, since a white wall or a night sky is no defect until it
    clips. Each colour channel is burnt from 220 on, wholly at 255; luma is crushed from 16 down,
    at 0 by one half (black areas are common).
    """
    burnt = sum(_histogram(rgb, channel) @ _BURNT for channel in range(3)) / 3
    crushed = _histogram(luma, 0) @ _CRUSHED
    return max(0.0, float(1 - burnt - crushed))


def seamlessness(luma: Image) -> float:
    """Freedom from 8 x 8 coding blocks, 0..1: one half at an excess of 1.5.

    After the blockiness of Wang, Sheikh and Bovik (ICIP 2002): differences across block borders
    relative to those inside blocks (their activity), in both directions. The excess is the median
    over border lines, since coding blocks show along nearly all of them and picture edges along
    few. JPEG at quality 70 has an excess of 0.2 to 0.4, at 50 of 0.5, at 15 of 1.3; H.264 up to
    0.4 in key frames. Sees only a grid that starts at the frame's corner and was not rescaled.
    """
    excess = [_border_excess(luma[1:], luma[:-1], 1), _border_excess(luma[:, 1:], luma[:, :-1], 0)]
    return 1 / (1 + (sum(excess) / len(excess) / 1.5) ** 2)


def _border_excess(first: Image, second: Image, along: int) -> float:
    """How much more differs across a block border than around it, 0 upwards.

    Args:
        first: the picture without its first row (or column).
        second: the picture without its last one.
        along: the axis that lines run along.
    """
    step = cv2.absdiff(first, second)
    line = cv2.reduce(step, along, cv2.REDUCE_SUM, dtype=cv2.CV_64F).ravel() / step.shape[along]
    border = np.arange(BLOCK - 1, line.size - 3, BLOCK)
    around = np.mean([line[border + shift] for shift in (-3, -2, -1, 1, 2, 3)], axis=0)
    inside = np.delete(line, border).mean()
    return max(0.0, float(np.median(line[border] - around))) / (float(inside) + 0.5)


def _histogram(image: Image, channel: int) -> NDArray[np.float64]:
    """Share of the pixels at each of 256 levels."""
    counts = cv2.calcHist([image], [channel], None, [256], [0, 256]).ravel()
    return np.asarray(counts / (image.shape[0] * image.shape[1]), np.float64)


def _noise_deviation(luma: Image) -> float:
    """Standard deviation of the noise, in grey levels.

    Fast noise variance estimation (Immerkaer, CVIU 1996): the difference of two Laplacians, blind
    to planes and edges, averaged. Textures are not noise, so it is averaged per block of 16 x 16
    pixels and the 20th percentile taken (block methods: Olsen, CVGIP 1993); blocks near black or
    white, where noise is clipped, do not count.
    """
    rows, columns = luma.shape[0] // 16, luma.shape[1] // 16
    whole = np.s_[: rows * 16, : columns * 16]
    response = np.abs(cv2.sepFilter2D(luma, cv2.CV_32F, _SECOND, _SECOND)[whole])
    mean = cv2.resize(response, (columns, rows), interpolation=cv2.INTER_AREA)
    level = cv2.resize(luma[whole], (columns, rows), interpolation=cv2.INTER_AREA)
    deviation = mean * (np.pi / 2) ** 0.5 / 6 / _PERCENTILE_OF_WHITE_NOISE
    unclipped = deviation[(level > 8) & (level < 247)]
    return float(np.percentile(unclipped, 20)) if unclipped.size else 0.0


def _smoothed(luma: Floats) -> Floats:
    return np.asarray(cv2.GaussianBlur(luma, (0, 0), 1), np.float32)


def _blurred(smooth: Floats) -> tuple[Floats, Floats]:
    """The picture under a 9-pixel box filter down and right."""
    down, right = cv2.blur(smooth, (1, 9)), cv2.blur(smooth, (9, 1))
    return np.asarray(down, np.float32), np.asarray(right, np.float32)


def _contrast(down: Floats, right: Floats) -> float:
    """Energy of the differences of neighbours: in `down` along columns, in `right` along rows."""
    return sum(
        cv2.norm(first, second, cv2.NORM_L2SQR)
        for first, second in ((down[1:], down[:-1]), (right[:, 1:], right[:, :-1]))
    )


def _at_working_size(luma: Image) -> Image:
    height, width = luma.shape
    scale = LONGER_SIDE / max(height, width)
    if scale >= 1:
        return luma
    return reduced(luma, max(SMALLEST, int(scale * width)), max(SMALLEST, int(scale * height)))


def _noise_gains() -> tuple[float, float]:
    """Energy per pixel that white noise of variance 1 leaves in `_contrast`, before and after."""
    impulse = np.zeros((65, 65), np.float32)
    impulse[32, 32] = 1
    smooth = _smoothed(impulse)
    return _contrast(smooth, smooth), _contrast(*_blurred(smooth))


_NOISE_BEFORE, _NOISE_AFTER = _noise_gains()
_BURNT: NDArray[np.float64] = np.interp(_GREY_LEVELS, [220, 255], [0, 1])
_CRUSHED: NDArray[np.float64] = np.interp(_GREY_LEVELS, [0, 16], [0.5, 0])
