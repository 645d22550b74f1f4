"""Plain pixel differences."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vbench_long.dimensions.base import Feature
from vbench_long.video import Frame


class PixelDifference:
    """Mean absolute difference of two frames over all pixels and channels, in grey levels 0..255."""

    batch = 1

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Items (frame, frame) of one size -> arrays of shape ()."""
        return [
            np.asarray(cv2.norm(first.rgb, second.rgb, cv2.NORM_L1) / first.rgb.size)
            for first, second in items
        ]
