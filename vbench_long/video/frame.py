"""One decoded frame, and what has been computed from it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from vbench_long.video.scaling import scaled_picture, scaled_rgb

if TYPE_CHECKING:
    import av

T = TypeVar("T")
Image = NDArray[np.uint8]


class Frame:
    """A frame of a video while some clip still needs it.

    Attributes:
        index: position in the video, from 0.
        rgb: pixels, (height, width, 3) uint8, read-only.
        picture: what the decoder gave, for those who need it before it became RGB; None where
            frames never were anything else (images, GIF).
    """

    __slots__ = ("_derived", "index", "picture", "rgb")

    def __init__(self, index: int, rgb: Image, picture: av.VideoFrame | None = None) -> None:
        rgb.flags.writeable = False
        self.index = index
        self.rgb = rgb
        self.picture = picture
        self._derived: dict[Hashable, Any] = {}

    def derive(self, key: Hashable, make: Callable[[Image], T]) -> T:
        """`make(rgb)`, computed once per frame and shared by every backbone that asks for `key`."""
        if key not in self._derived:
            self._derived[key] = make(self.rgb)
        return cast(T, self._derived[key])

    def scaled(self, width: int, height: int) -> Image:
        """The frame at this size, whatever that does to its aspect ratio: (height, width, 3).

        As decord resizes while it decodes: bilinear, before the pixels become RGB, which is up
        to 26 grey levels from resizing `rgb`. Images and GIFs are resized as Pillow does it.
        """
        if self.picture is None:
            return scaled_rgb(self.rgb, width, height)
        return scaled_picture(self.picture, width, height)
