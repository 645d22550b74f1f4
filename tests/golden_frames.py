"""The frames of the reference goldens: a texture that slides, with noise; exact everywhere."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

CELL, BLUR, MARGIN = 8, 9, 64


def golden_frames(seed: int, count: int, height: int, width: int) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3) in integer arithmetic; the texture moves 1 pixel up and 3 left a frame.

    Random cells of 8x8 pixels under a 9x9 box blur, then noise of -4..4 on every value. The first
    frames of a longer call are those of a shorter one. At most 18 frames fit the margin.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    cells = [(side + MARGIN) // CELL + 2 for side in (height, width)]
    texture = rng.integers(0, 256, (*cells, 3), np.int64).repeat(CELL, 0).repeat(CELL, 1)
    for axis in (0, 1):
        texture = sliding_window_view(texture, BLUR, axis).sum(axis=-1)
    texture //= BLUR * BLUR
    frames = []
    for t in range(count):
        noise = rng.integers(-4, 5, (height, width, 3), np.int64)
        frames.append(np.clip(texture[t : t + height, 3 * t : 3 * t + width] + noise, 0, 255))
    return np.stack(frames).astype(np.uint8)
