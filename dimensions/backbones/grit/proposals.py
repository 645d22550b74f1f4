"""GRiT's proposals: where, on any of five maps, is a thing, and how far do its sides lie away?

Source: Zhou et al., "Probabilistic two-stage detection", 2021 (CenterNet2), with one class.
`PUBLISHED_NAMES` has what the checkpoint calls the parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torchvision.ops import nms  # type: ignore[import-untyped]

from vbench_long.dimensions.backbones.grit.vitdet import STRIDES

SMALLEST_SIDE = 0.01
"""Pixels every proposal is wide and high at least."""


@dataclass(frozen=True, slots=True)
class ProposalRules:
    """Which proposals are kept.

    Attributes:
        probability: that a cell must exceed.
        per_map: most cells of one map.
        overlap: intersection over union above which the less likely of two boxes goes.
        kept: most proposals of one picture; ties with the last one stay too.
    """

    probability: float = 1e-4
    per_map: int = 1000
    overlap: float = 0.9
    kept: int = 256


@dataclass(frozen=True, slots=True)
class Proposals:
    """Boxes of one picture that may hold things.

    Attributes:
        boxes: (N, 4); left, top, right, bottom in pixels; may reach out of the picture.
        scores: (N,); square roots of probabilities, falling.
    """

    boxes: Tensor
    scores: Tensor


class Scale(nn.Module):
    """A learnt factor."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(1))

    def forward(self, x: Tensor) -> Tensor:
        """`x`, scaled."""
        return x * self.scale


class CenterNetHead(nn.Module):
    """Convolutions that look at every map in the same way."""

    def __init__(self, channels: int, maps: int) -> None:
        super().__init__()
        layers = [
            (nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(32, channels), nn.ReLU())
            for _ in range(4)
        ]
        self.tower = nn.Sequential(*(part for layer in layers for part in layer))
        self.centre = nn.Conv2d(channels, 1, 3, padding=1)
        self.distances = nn.Conv2d(channels, 4, 3, padding=1)
        self.scales = nn.ModuleList(Scale() for _ in range(maps))

    def forward(self, maps: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """Per map (B, C, h, w): logits (B, h, w) of a thing's centre, and distances (B, 4, h, w).

        Distances go to the left, upper, right and lower side, in strides, and are not negative.
        """
        found = []
        for map_BChw, scale in zip(maps, self.scales, strict=True):
            tower_BChw = self.tower(map_BChw)
            logits_B1hw = self.centre(tower_BChw)
            found.append((logits_B1hw[:, 0], scale(self.distances(tower_BChw)).relu()))
        return found


def propose(found: Sequence[tuple[Tensor, Tensor]], rules: ProposalRules) -> Proposals:
    """The proposals of one picture, best first.

    Args:
        found: per map, logits (h, w) and distances (4, h, w).
        rules: which are kept.
    """
    candidates = [
        _candidates(logits_hw, distances_4hw, stride, rules)
        for (logits_hw, distances_4hw), stride in zip(found, STRIDES, strict=True)
    ]
    boxes_N4, scores_N = (torch.cat(parts) for parts in zip(*candidates, strict=True))
    best_K = nms(boxes_N4, scores_N, rules.overlap)
    boxes_K4, scores_K = boxes_N4[best_K], scores_N[best_K]
    if len(best_K) > rules.kept:
        count = int((scores_K >= scores_K[rules.kept - 1]).sum())
        boxes_K4, scores_K = boxes_K4[:count], scores_K[:count]
    return Proposals(boxes_K4, scores_K)


def _candidates(
    logits_hw: Tensor, distances_4hw: Tensor, stride: int, rules: ProposalRules
) -> tuple[Tensor, Tensor]:
    """Boxes (N, 4) and scores (N,) of the likely cells of one map."""
    probable_M = logits_hw.sigmoid().flatten()
    (cells_N,) = torch.where(probable_M > rules.probability)
    if len(cells_N) > rules.per_map:
        cells_N = cells_N[probable_M[cells_N].topk(rules.per_map).indices]
    wide = logits_hw.shape[1]
    x_N, y_N = ((at_N * stride + stride // 2) for at_N in (cells_N % wide, cells_N // wide))
    left_N, top_N, right_N, bottom_N = distances_4hw.flatten(1)[:, cells_N] * stride
    x1_N, y1_N = x_N - left_N, y_N - top_N
    x2_N = torch.maximum(x_N + right_N, x1_N + SMALLEST_SIDE)
    y2_N = torch.maximum(y_N + bottom_N, y1_N + SMALLEST_SIDE)
    return torch.stack([x1_N, y1_N, x2_N, y2_N], 1), probable_M[cells_N].sqrt()


PUBLISHED_NAMES = (
    ("tower.", "bbox_tower."),
    ("centre.", "agn_hm."),
    ("distances.", "bbox_pred."),
)
"""Parts of our names and of the checkpoint's, to be replaced in this order."""
