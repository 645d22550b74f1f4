"""The sixteen dimensions: each turns features of a video's frames into a score."""

from vbench_long.dimensions.base import (
    BACKBONES,
    DIMENSIONS,
    Backbone,
    ClipScore,
    Dimension,
    Feature,
    Item,
    VideoFacts,
)

__all__ = [
    "BACKBONES",
    "DIMENSIONS",
    "Backbone",
    "ClipScore",
    "Dimension",
    "Feature",
    "Item",
    "VideoFacts",
]
