"""The semantic networks under test: their made-up weights and words, and small shapes of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute
from vbench_long.dimensions.backbones.clip import TowerShape
from vbench_long.dimensions.backbones.clip_style import ClipStyleB32
from vbench_long.dimensions.backbones.clip_text import TextShape
from vbench_long.dimensions.backbones.tag2text import Tag2Text, Tag2TextShape
from vbench_long.dimensions.backbones.umt import UmtL16, UmtShape
from vbench_long.dimensions.backbones.viclip import ViClipL14, VideoShape
from vbench_long.video import Frame
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "semantic.json").read_text())

TAG2TEXT_FACTORS = {
    "fc.W": 16.0,
    "text_decoder.bert.embeddings.position_embeddings.weight": 4.0,
}
"""Without these no tag is sure of itself, and all captions are alike."""


@dataclass(frozen=True)
class MadeUp(SeededWeights):
    """Seeded weights, some made larger or set; and words, some of them real.

    Attributes:
        factors: published key -> what its tensor is multiplied by.
        numbers: published key -> position -> number.
        real: vocabulary -> position -> word.
    """

    factors: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, Mapping[Any, float]] = field(default_factory=dict)
    real: Mapping[str, Mapping[int, str]] = field(default_factory=dict)

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = super().load(name, wanted, ignored)
        for key, tensor in tensors.items():
            tensor *= self.factors.get(key, 1.0)
            for position, number in self.numbers.get(key, {}).items():
                tensor[position] = number
        return tensors

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        words = super().words(name, count, known)
        for position, word in self.real.get(name, {}).items():
            words[position] = word
        return words


def pieces() -> dict[int, str]:
    """Some of BERT's word pieces, at their places."""
    return {int(number): piece for number, piece in GOLDEN["bert"]["pieces"].items()}


def tag2text_weights(tags: Mapping[int, str]) -> MadeUp:
    """What the published program's outputs were made with; `tags` are real."""
    return MadeUp(
        TAG2TEXT_FACTORS,
        {"text_decoder.cls.predictions.decoder.bias": {102: 5.0}},
        {"bert_vocabulary": pieces(), "tag2text_tags": tags},
    )


class SmallTag2Text(Tag2Text):
    shape = Tag2TextShape(
        side=96, embed=8, depths=(1, 1), swin_heads=(2, 4), window=6,
        width=32, heads=4, layers=2, inner=64, tags=30, tag_layers=2, tag_heads=2,
    )  # fmt: skip


class SmallUmt(UmtL16):
    shape = UmtShape(width=48, depth=2, heads=3, classes=7)


class SmallViClip(ViClipL14):
    shape = VideoShape(width=48, depth=2, heads=3, out=32)
    text_shape = TextShape(width=24, heads=3, out=32, context=32, depth=2)


class SmallClipStyle(ClipStyleB32):
    shape = TowerShape(patch=32, width=48, depth=2, heads=3, out=32)
    text_shape = TextShape(width=24, heads=3, out=32, context=77, depth=2)


def coarse(seed: int, count: int, height: int, width: int, cell: int = 16) -> NDArray[np.uint8]:
    """Frames (T, H, W, 3) of random cells, as the reference's goldens use them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    cells = rng.integers(0, 256, (count, -(-height // cell), -(-width // cell), 3), np.uint8)
    return cells.repeat(cell, 1).repeat(cell, 2)[:, :height, :width]


def frames(images: NDArray[np.uint8]) -> list[Frame]:
    return [Frame(i, np.ascontiguousarray(rgb)) for i, rgb in enumerate(images)]


def singles(images: NDArray[np.uint8]) -> list[tuple[Frame, ...]]:
    return [(frame,) for frame in frames(images)]


def picked(numbers: NDArray[Any], count: int = 12) -> Sequence[float]:
    """The few numbers of a feature that are kept as a golden."""
    flat = numbers.ravel()
    return [float(number) for number in flat[:: max(1, flat.size // count)][:count]]
