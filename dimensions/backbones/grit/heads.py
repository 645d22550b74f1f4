"""GRiT's cascade: three heads that each look into the boxes of the one before and mend them.

Source: Cai and Vasconcelos, "Cascade R-CNN", CVPR 2018, with the one class that CenterNet2 and
GRiT (Wu et al., ECCV 2024) give it. `PUBLISHED_NAMES` has what the checkpoint calls the parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import nms, roi_align  # type: ignore[import-untyped]

from vbench_long.dimensions.backbones.grit.proposals import Proposals

LARGEST_GROWTH = math.log(1000 / 16)
"""Logarithm of the factor by which one head may at most enlarge a box."""

POOLED_STRIDES = (8, 16, 32)
"""Of the maps that boxes are cut out of."""


@dataclass(frozen=True, slots=True)
class CascadeShape:
    """The heads, and which boxes are kept in the end.

    Attributes:
        pooled: side of the square a box is cut out as.
        inner: width of the heads' layers.
        weights: per head, what its deltas of centres and of sizes are divided by.
        score: that a box must exceed.
        overlap: intersection over union above which the worse of two boxes goes.
        kept: most boxes of one picture.
    """

    pooled: int = 7
    inner: int = 1024
    weights: tuple[tuple[float, float], ...] = ((10, 5), (20, 10), (30, 15))
    score: float = 0.5
    overlap: float = 0.5
    kept: int = 256


@dataclass(frozen=True, slots=True)
class Things:
    """What was found in one picture, best first.

    Attributes:
        boxes: (N, 4); left, top, right, bottom in pixels, inside the picture.
        scores: (N,); 0..1.
    """

    boxes: Tensor
    scores: Tensor


class BoxHead(nn.Module):
    """Two layers on what a box holds."""

    def __init__(self, channels: int, shape: CascadeShape) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels * shape.pooled**2, shape.inner)
        self.fc2 = nn.Linear(shape.inner, shape.inner)

    def forward(self, pooled_NCSS: Tensor) -> Tensor:
        """(N, C, side, side) -> (N, D)."""
        hidden_ND: Tensor = self.fc2(self.fc1(pooled_NCSS.flatten(1)).relu())
        return hidden_ND.relu()


class BoxPredictor(nn.Module):
    """Whether a box holds a thing, and how it should be moved."""

    def __init__(self, inner: int) -> None:
        super().__init__()
        self.thing = nn.Linear(inner, 2)
        self.deltas = nn.Sequential(nn.Linear(inner, inner), nn.ReLU(), nn.Linear(inner, 4))

    def forward(self, hidden_ND: Tensor) -> tuple[Tensor, Tensor]:
        """(N, D) -> logits of thing and background (N, 2), deltas (N, 4)."""
        return self.thing(hidden_ND), self.deltas(hidden_ND)


class Cascade(nn.Module):
    """The heads, one after another."""

    def __init__(self, channels: int, shape: CascadeShape) -> None:
        super().__init__()
        self.shape = shape
        self.heads = nn.ModuleList(BoxHead(channels, shape) for _ in shape.weights)
        self.predictors = nn.ModuleList(BoxPredictor(shape.inner) for _ in shape.weights)

    def forward(
        self, maps: Sequence[Tensor], proposals: Sequence[Proposals], size: tuple[int, int]
    ) -> list[Things]:
        """The things in every picture of a batch.

        Args:
            maps: of the whole batch, (B, C, h, w), with `POOLED_STRIDES`; more are not looked at.
            proposals: per picture.
            size: height and width of the pictures, without padding.
        """
        counts = [len(one.scores) for one in proposals]
        boxes_N4 = torch.cat([one.boxes for one in proposals])
        picture_N = picture_numbers(counts, boxes_N4.device)
        probable_N = torch.zeros_like(boxes_N4[:, 0])
        for stage, (head, predictor) in enumerate(zip(self.heads, self.predictors, strict=True)):
            if stage:  # The first head gets proposals as they are, also beyond the picture.
                boxes_N4 = clipped(boxes_N4, size)
            hidden_ND = head(pooled(maps, boxes_N4, picture_N, self.shape.pooled))
            logits_N2, deltas_N4 = predictor(hidden_ND)
            boxes_N4 = moved(boxes_N4, deltas_N4, self.shape.weights[stage])
            probable_N = probable_N + logits_N2.softmax(1)[:, 0] / len(self.heads)
        scores_N = (probable_N * torch.cat([one.scores for one in proposals])).sqrt()
        return [
            best(boxes_K4, scores_K, size, self.shape)
            for boxes_K4, scores_K in zip(
                torch.split(boxes_N4, counts), torch.split(scores_N, counts), strict=True
            )
        ]


def picture_numbers(counts: Sequence[int], device: torch.device) -> Tensor:
    """For `counts` boxes of each picture, one after another, the picture of each box: (N,)."""
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts)).to(device)


def clipped(boxes_N4: Tensor, size: tuple[int, int]) -> Tensor:
    """Boxes cut to a picture of `size` (height, width)."""
    height, width = size
    return boxes_N4.clamp(min=0).minimum(boxes_N4.new_tensor([width, height, width, height]))


def levels(boxes_N4: Tensor) -> Tensor:
    """Which of the three maps each box is cut out of, (N,).

    The second from 224 x 224 pixels on, the third from 448 x 448.
    """
    sides_N = ((boxes_N4[:, 2] - boxes_N4[:, 0]) * (boxes_N4[:, 3] - boxes_N4[:, 1])).sqrt()
    # Counted from 4, as published: a sum of another size is rounded in another way.
    return (4 + (sides_N / 224 + 1e-8).log2()).floor().clamp(3, 5).long() - 3


def pooled(maps: Sequence[Tensor], boxes_N4: Tensor, picture_N: Tensor, side: int) -> Tensor:
    """What lies in each box: (N, C, side, side).

    Args:
        maps: (B, C, h, w) with `POOLED_STRIDES`.
        boxes_N4: in pixels; zeros are pooled beyond the picture.
        picture_N: the picture of the batch each box belongs to.
        side: of the squares.
    """
    rois_N5 = torch.cat([picture_N[:, None].to(boxes_N4.dtype), boxes_N4], 1)
    levels_N = levels(boxes_N4)
    out_NCSS = boxes_N4.new_zeros(len(boxes_N4), maps[0].shape[1], side, side)
    for level, stride in enumerate(POOLED_STRIDES):
        (here_K,) = torch.where(levels_N == level)
        out_NCSS[here_K] = roi_align(
            maps[level], rois_N5[here_K], side, 1 / stride, sampling_ratio=0, aligned=True
        )
    return out_NCSS


def moved(boxes_N4: Tensor, deltas_N4: Tensor, weights: tuple[float, float]) -> Tensor:
    """Boxes whose centre and size are changed, in parts of their own size, by deltas."""
    corner_N2, size_N2 = boxes_N4[:, :2], boxes_N4[:, 2:] - boxes_N4[:, :2]
    shift_N2, growth_N2 = deltas_N4[:, :2] / weights[0], deltas_N4[:, 2:] / weights[1]
    centre_N2 = corner_N2 + size_N2 / 2 + shift_N2 * size_N2
    half_N2 = growth_N2.clamp(max=LARGEST_GROWTH).exp() * size_N2 / 2
    return torch.cat([centre_N2 - half_N2, centre_N2 + half_N2], 1)


def best(boxes_N4: Tensor, scores_N: Tensor, size: tuple[int, int], shape: CascadeShape) -> Things:
    """The boxes of one picture that are good enough and not of one thing twice.

    A box of no width or height takes part, and goes in the end.
    """
    finite_N = boxes_N4.isfinite().all(1) & scores_N.isfinite()
    (good_K,) = torch.where(finite_N & (scores_N > shape.score))
    boxes_K4, scores_K = clipped(boxes_N4[good_K], size), scores_N[good_K]
    kept_M = nms(boxes_K4, scores_K, shape.overlap)[: shape.kept]
    flat_M = (boxes_K4[kept_M, 2:] <= boxes_K4[kept_M, :2]).any(1)
    return Things(boxes_K4[kept_M[~flat_M]], scores_K[kept_M[~flat_M]])


PUBLISHED_NAMES = (
    ("heads.", "box_head."),
    ("predictors.", "box_predictor."),
    (".thing.", ".cls_score."),
    (".deltas.", ".bbox_pred."),
)
"""Parts of our names and of the checkpoint's, to be replaced in this order."""
