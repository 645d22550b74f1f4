"""Frames of another size, resized the way the programs do that networks were published with."""

from __future__ import annotations

import av
import av.filter
import numpy as np
import PIL.Image
from numpy.typing import NDArray


def scaled_picture(picture: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    """A decoded picture as RGB of this size, as displayed: (height, width, 3).

    FFmpeg's bilinear scaler goes straight from the decoder's pixels to RGB; equal bit for bit to
    what decord gives when it is asked for a size.
    """
    turns = round(picture.rotation / 90) % 4
    wide, high = (height, width) if turns % 2 else (width, height)
    graph = av.filter.Graph()
    graph.link_nodes(
        graph.add_buffer(
            width=picture.width,
            height=picture.height,
            format=picture.format,
            time_base=picture.time_base,
        ),
        graph.add("scale", f"{wide}:{high}:flags=bilinear"),
        graph.add("format", "rgb24"),
        graph.add("buffersink"),
    ).configure()
    graph.push(picture)
    rgb = np.asarray(graph.vpull().to_ndarray(), np.uint8)
    return np.ascontiguousarray(np.rot90(rgb, turns)) if turns else rgb


def scaled_rgb(
    rgb: NDArray[np.uint8],
    width: int,
    height: int,
    resampling: PIL.Image.Resampling = PIL.Image.Resampling.BILINEAR,
) -> NDArray[np.uint8]:
    """An RGB image of this size, antialiased, equal bit for bit to what Pillow gives."""
    return np.array(PIL.Image.fromarray(rgb).resize((width, height), resampling))
