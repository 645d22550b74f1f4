"""Hand-made picture descriptors whose cosine tells how alike two frames look.

Both work on the frame in CIELAB at 72 x 72 pixels (aspect ratio not kept) and join blocks of
the following kinds, each with a fixed share of the squared length:

* colours: a joint Lab histogram with soft bins, in square roots (Arandjelovic and Zisserman,
  "Three things everyone should know", CVPR 2012). It ignores where things are, so a moving
  subject or camera changes it little.
* shapes: orientation histograms of 3 x 3 overlapping cells (Dalal and Triggs, "Histograms of
  oriented gradients", CVPR 2005), each cell in shares of its own energy, in square roots.
* layout (background only): mean Lab colours on a 6 x 6 grid.

Histograms are never negative, so the cosine of any two of them is near 1. Each block is therefore
centred: colours at their mean, shapes at what a directionless cell gives, layout at mid-grey.
With that, two unrelated real videos score about 0.3 (subject) and 0.1 (background) in the median,
neighbouring frames of one shot 0.99 and more, and noise of 12 grey levels costs 0.002.

Unlike DINO, CLIP or DreamSim these know no objects: "subject" means what stands out in colour near
the centre, "background" what lies near the border. A subject that turns around or leaves the
centre costs more than it costs a network; one that is swapped for another of the same colours
costs less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vbench_long.dimensions.base import Feature
from vbench_long.dimensions.classical.pixels import reduced, require_size
from vbench_long.video import Frame, Image

Floats: TypeAlias = NDArray[np.float32]

SIDE = 72
SMALLEST = 8
LIGHTNESS_BINS, CHROMA_BINS = 5, 6
CHROMA_SCALE = 28.0
"""tanh(a / 28) spreads Lab's a and b over the bins: most pixels of real footage are pale."""
CELLS, ORIENTATIONS, LAYOUT_CELLS = 3, 8, 6
EDGE_FLOOR = 0.2
"""Lightness steps per pixel and orientation below which a cell counts as having no direction."""

_Axis: TypeAlias = tuple[int, tuple[tuple[NDArray[np.intp], Floats], ...]]
"""Bins of a histogram axis, and the two (bin, share) each pixel votes for."""


class SubjectDescriptor:
    """Colours and shapes of what stands out near the centre of a frame; see the module.

    Pixels are weighted by a Gaussian around the centre and by how far their colour lies from the
    frame's mean (Achanta et al., "Frequency-tuned salient region detection", CVPR 2009).
    Feature: float32 vector, unit length unless the frame is shapeless.
    """

    batch = 16
    weightless = True

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Items (frame,) -> arrays of shape (252,).

        Raises:
            VideoError: a side is shorter than 8 pixels.
        """
        return [self._describe(_lab(frame)) for (frame,) in items]

    def _describe(self, lab: Floats) -> Feature:
        stands_out = _saliency(lab)
        colours = _unit(_colours(lab, _CENTRE * (0.2 + stands_out)))
        shapes = _shapes(lab, 0.3 + stands_out, _CENTRE)
        return np.concatenate([np.sqrt(0.75) * colours, np.sqrt(0.25) * shapes], dtype=np.float32)


class BackgroundDescriptor:
    """Layout, colours and shapes of a frame with most weight near its border; see the module.

    Feature: float32 vector, unit length unless the frame is shapeless.
    """

    batch = 16
    weightless = True

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        """Items (frame,) -> arrays of shape (360,).

        Raises:
            VideoError: a side is shorter than 8 pixels.
        """
        return [self._describe(_lab(frame)) for (frame,) in items]

    def _describe(self, lab: Floats) -> Feature:
        blocks = [
            np.sqrt(0.35) * _unit(_layout(lab, _BORDER)),
            np.sqrt(0.4) * _unit(_colours(lab, _BORDER)),
            np.sqrt(0.25) * _shapes(lab, np.ones_like(_BORDER), _BORDER),
        ]
        return np.concatenate(blocks, dtype=np.float32)


def _lab(frame: Frame) -> Floats:
    """(72, 72, 3): L 0..100, a and b about -100..100."""
    require_size(frame, SMALLEST, "a picture descriptor")
    lab = frame.derive("descriptors: lab", _small_lab).astype(np.float32)
    lab[..., 0] *= 100 / 255
    lab[..., 1:] -= 128
    return lab


def _small_lab(rgb: Image) -> Image:
    return np.asarray(cv2.cvtColor(reduced(rgb, SIDE, SIDE), cv2.COLOR_RGB2Lab), np.uint8)


def _saliency(lab: Floats) -> Floats:
    """Distance of each blurred pixel from the frame's mean colour, 1 on average; 0 if uniform."""
    mean = lab.mean(axis=(0, 1), dtype=np.float64).astype(np.float32)
    distance = np.linalg.norm(cv2.GaussianBlur(lab, (0, 0), 1.5) - mean, axis=2)
    return np.asarray(distance / (distance.mean() + 1), np.float32)


def _colours(lab: Floats, weight: Floats) -> Floats:
    """Square roots of the weighted soft Lab histogram, centred: (180,)."""
    pale = 0.5 + 0.5 * np.tanh(lab[..., 1:] / CHROMA_SCALE)
    axes = [
        _axis(lab[..., 0] / 100, LIGHTNESS_BINS),
        _axis(pale[..., 0], CHROMA_BINS),
        _axis(pale[..., 1], CHROMA_BINS),
    ]
    roots = np.sqrt(_soft_histogram(axes, weight) / weight.sum())
    return np.asarray(roots - roots.mean(), np.float32)


def _shapes(lab: Floats, weight: Floats, window: Floats) -> Floats:
    """Orientation shares of each cell, in square roots, centred, `window`-weighted: (72,).

    Length 1 where cells have clear directions, less for a picture without edges, so that the
    direction of faint noise does not count.
    """
    lightness = cv2.GaussianBlur(lab[..., 0], (0, 0), 1)
    right = cv2.Sobel(lightness, cv2.CV_32F, 1, 0, scale=1 / 8)
    down = cv2.Sobel(lightness, cv2.CV_32F, 0, 1, scale=1 / 8)
    turn = np.arctan2(down, right) / np.pi % 1 * ORIENTATIONS
    axes = [_CELL_ROW, _CELL_COLUMN, _circular_axis(turn, ORIENTATIONS)]
    energy = _soft_histogram(axes, np.hypot(right, down) * weight / weight.mean())
    energy_CO = energy.reshape(-1, ORIENTATIONS) / (SIDE / CELLS) ** 2 + EDGE_FLOOR
    shares_CO = energy_CO / energy_CO.sum(axis=1, keepdims=True)
    window_C1 = cv2.resize(window, (CELLS, CELLS), interpolation=cv2.INTER_AREA).reshape(-1, 1)
    shapes = (np.sqrt(shares_CO) - ORIENTATIONS**-0.5) * np.sqrt(window_C1 / window_C1.mean())
    return np.asarray(shapes.ravel() / np.sqrt((shapes**2).sum() + 0.01), np.float32)


def _layout(lab: Floats, window: Floats) -> Floats:
    """Mean colours on a 6 x 6 grid relative to mid-grey, `window`-weighted: (108,)."""
    smooth = cv2.GaussianBlur(lab, (0, 0), SIDE / LAYOUT_CELLS / 3)
    coarse = cv2.resize(smooth, (LAYOUT_CELLS, LAYOUT_CELLS), interpolation=cv2.INTER_AREA)
    weight = cv2.resize(window, (LAYOUT_CELLS, LAYOUT_CELLS), interpolation=cv2.INTER_AREA)
    scaled = np.tanh((coarse - (50, 0, 0)) / (25, 24, 24))
    return np.asarray(scaled * weight[..., None], np.float32).ravel()


def _soft_histogram(axes: Sequence[_Axis], weight: Floats) -> NDArray[np.float64]:
    """Joint histogram, flat, in which each pixel's weight is split over its neighbouring bins."""
    size = int(np.prod([bins for bins, _ in axes]))
    total = np.zeros(size)
    for corner in product(*(votes for _, votes in axes)):
        index, share = np.zeros(weight.shape, np.intp), weight
        for (bins, _), (chosen, part) in zip(axes, corner, strict=True):
            index, share = index * bins + chosen, share * part
        total += np.bincount(index.ravel(), share.ravel(), size)
    return total


def _axis(value: NDArray[np.floating], bins: int) -> _Axis:
    """0..1 -> the two nearest of `bins` bin centres, the first at 0 and the last at 1."""
    place = np.clip(value, 0, 1) * (bins - 1)
    lower = np.minimum(place.astype(np.intp), bins - 2)
    above = np.asarray(place - lower, np.float32)
    return bins, ((lower, 1 - above), (lower + 1, above))


def _circular_axis(place: NDArray[np.floating], bins: int) -> _Axis:
    """0..bins -> the bins below and above, the last being followed by the first."""
    lower = place.astype(np.intp)
    above = np.asarray(place - lower, np.float32)
    return bins, ((lower % bins, 1 - above), ((lower + 1) % bins, above))


def _unit(vector: Floats) -> Floats:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)


def _gaussian(sigma: float) -> Floats:
    """1 at the centre of the frame; `sigma` counts half a side as 1."""
    place = (np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * 2 - 1
    return np.exp(-(place[:, None] ** 2 + place**2) / (2 * sigma**2)).astype(np.float32)


_CENTRE = _gaussian(0.4)
_BORDER = 1 - 0.9 * _gaussian(0.55)
_CELL_PLACE = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE * CELLS - 0.5) / (CELLS - 1)
_CELL_ROW = _axis(np.repeat(_CELL_PLACE[:, None], SIDE, axis=1), CELLS)
_CELL_COLUMN = _axis(np.repeat(_CELL_PLACE[None], SIDE, axis=0), CELLS)
