"""What the tests of GRiT have in common: pictures, weights that find something, a tiny network."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute
from vbench_long.dimensions.backbones.grit import Grit
from vbench_long.dimensions.backbones.grit.heads import CascadeShape
from vbench_long.dimensions.backbones.grit.network import GritShape
from vbench_long.dimensions.backbones.grit.proposals import ProposalRules
from vbench_long.dimensions.backbones.grit.text import TextShape
from vbench_long.dimensions.backbones.grit.vitdet import EncoderShape
from vbench_long.video import Frame, Image
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))

TINY = GritShape(
    EncoderShape(
        width=32, depth=4, heads=2, window=3, everywhere=(1, 3), side=5, positions=4, channels=64
    ),
    ProposalRules(per_map=60, kept=40),
    CascadeShape(inner=32, score=0.36),
    TextShape(pooled=4, width=32, depth=3, heads=2, inner=64, words=300, positions=50, longest=12),
)


class TinyGrit(Grit):
    shape = TINY


def cells(seed: int, height: int, width: int, cell: int) -> Image:
    """Random cells of `cell` x `cell` pixels: (H, W, 3), exact everywhere."""
    rng = np.random.default_rng(seed)
    grid = rng.integers(0, 256, (-(-height // cell), -(-width // cell), 3), dtype=np.uint8)
    return np.kron(grid, np.ones((cell, cell, 1), np.uint8))[:height, :width]


def picture(index: int, *recipe: int) -> tuple[Frame]:
    """An item: a frame of `cells`."""
    return (Frame(index, cells(*recipe)),)


class Eager(SeededWeights):
    """Seeded weights, changed so that a picture has a few things, called by a few words each.

    The changes are those of the published outputs' recipe, and `factors` on top: part of a
    published key -> what tensors whose key holds it are multiplied by.
    """

    def __init__(self, factors: Mapping[str, float] | None = None, end: float = 3.7) -> None:
        self.factors, self.end = factors or {}, end

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = super().load(name, wanted, ignored)
        for key, tensor in tensors.items():
            if key.endswith(".scale"):
                tensor.fill_(1.0)
            elif key.endswith("centernet_head.bbox_pred.bias"):
                tensor.fill_(3.0)
            elif key.endswith("agn_hm.bias"):
                tensor.fill_(-2.0)
            elif key.endswith("cls_score.bias"):
                tensor.copy_(torch.tensor([-0.8, 0.8]))
            elif key.endswith("textual.output.bias"):
                tensor[102] = self.end
            for part, factor in (_FACTORS | dict(self.factors)).items():
                if part in key:
                    tensor.mul_(factor)
        return tensors


_FACTORS = {
    "centernet_head.bbox_pred.weight": 3.0,
    "agn_hm.weight": 4.0,
    "cls_score.weight": 3.0,
}
