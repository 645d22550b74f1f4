"""One decoded frame, and what has been computed from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Image = NDArray[np.uint8]


class Frame:
    """A frame of a video while some clip still needs it.

    Attributes:
        index: position in the video, from 0.
        rgb: pixels, (height, width, 3) uint8, read-only.
    """

    __slots__ = ("_derived", "index", "rgb")

    def __init__(self, index: int, rgb: Image) -> None:
        rgb.flags.writeable = False
        self.index = index
        self.rgb = rgb
        self._derived: dict[Hashable, Any] = {}

    def derive(self, key: Hashable, make: Callable[[Image], T]) -> T:
        """`make(rgb)`, computed once per frame and shared by every backbone that asks for `key`."""
        if key not in self._derived:
            self._derived[key] = make(self.rgb)
        return cast(T, self._derived[key])
