"""One clip through one classical dimension, and clips to put through."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import cv2
import numpy as np

from vbench_long.dimensions import BACKBONES, DIMENSIONS, ClipScore, Dimension, Feature, VideoFacts
from vbench_long.dimensions.base import Items
from vbench_long.video import Clip, Frame, Image


def sliding_texture(count: int, width: int = 96, height: int = 64, step: int = 3) -> list[Image]:
    """Smooth coloured texture that slides to the left by `step` pixels a frame."""
    rng = np.random.default_rng(7)
    wide = rng.normal(0, 1, (height, width + step * count, 3)).astype(np.float32)
    wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    return [
        np.ascontiguousarray(wide[:, step * i : step * i + width], np.uint8) for i in range(count)
    ]


def still(image: Image, count: int) -> list[Image]:
    return [image.copy() for _ in range(count)]


def constant(level: int, width: int = 64, height: int = 48) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def features_of(
    dimension: Dimension, items: Items, images: Sequence[Image], start: int = 0, group: int = 4
) -> dict[str, list[Feature]]:
    """What the backbones make of `items` when called with at most `group` items at a time."""
    frames = {start + i: Frame(start + i, image.copy()) for i, image in enumerate(images)}
    found: dict[str, list[Feature]] = {}
    for role, wanted in items.items():
        backbone = BACKBONES.get(dimension.backbones[dimension.backend][role])()
        size = min(group, backbone.batch)
        found[role] = [
            feature
            for at in range(0, len(wanted), size)
            for feature in backbone([tuple(frames[i] for i in w) for w in wanted[at : at + size]])
        ]
    return found


def score_clip(
    name: str, images: Sequence[Image], fps: int = 8, start: int = 0, group: int = 4
) -> ClipScore:
    """Score `images` as one clip of the classical dimension `name`."""
    dimension = DIMENSIONS.get(name)("classical")
    height, width = images[0].shape[:2]
    video = VideoFacts(width, height, Fraction(fps))
    clip = Clip(start, start + len(images))
    items = dimension.clip_items(clip, video)
    return dimension.score_clip(clip, video, features_of(dimension, items, images, start, group))


CLIPS = {
    "sliding": sliding_texture(9),
    "noise": list(np.random.default_rng(3).integers(0, 256, (7, 48, 80, 3), np.uint8)),
    "black": still(constant(0), 6),
    "white": still(constant(255), 5),
    "flashing": [constant(255 * (i % 2)) for i in range(6)],
    "smallest": sliding_texture(5, width=16, height=16),
    "odd sizes": sliding_texture(5, width=53, height=37),
    "a strip": sliding_texture(5, width=16, height=700),
}
