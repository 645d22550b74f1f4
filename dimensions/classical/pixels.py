"""Plain pixels: differences of frames, and the reductions every classical operator starts from."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vbench_long.dimensions.base import Feature
from vbench_long.errors import VideoError
from vbench_long.video import Frame, Image


class PixelDifference:
    """Mean absolute difference of two frames over pixels and channels, in grey levels 0..255."""

    batch = 1
    weightless = True

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Items (frame, frame) of one size -> arrays of shape ()."""
        return [
            np.asarray(cv2.norm(first.rgb, second.rgb, cv2.NORM_L1) / first.rgb.size)
            for first, second in items
        ]


def grey(rgb: Image) -> Image:
    """Luma (BT.601) of an RGB picture: (H, W, 3) -> (H, W) uint8."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def reduced(image: Image, width: int, height: int) -> Image:
    """`image` averaged down to `width` x `height`, without aliasing.

    Exact halvings come first, which is three times faster than one area resize of a large frame.
    """
    while image.shape[1] >= 4 * width and image.shape[0] >= 4 * height:
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def require_size(frame: Frame, smallest: int, operator: str) -> None:
    """Refuse frames in which `operator` would measure nothing.

    Raises:
        VideoError: a side is shorter than `smallest` pixels.
    """
    height, width = frame.rgb.shape[:2]
    if min(height, width) < smallest:
        raise VideoError(
            f"frames of {width}x{height} pixels are too small for {operator}",
            "",
            f"it can measure frames of {smallest}x{smallest} pixels and more",
        )
