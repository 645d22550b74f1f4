"""The vision transformers under test: at full size, and small enough to take no time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from golden_frames import golden_frames
from numpy.typing import NDArray
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute, TorchBackbone
from vbench_long.dimensions.backbones.clip import AestheticClipL14, ClipVitB32, TowerShape
from vbench_long.dimensions.backbones.dino import DinoV2VitB14, DinoVitB16, VitShape
from vbench_long.dimensions.backbones.dreamsim import DreamSimEnsemble
from vbench_long.video import Frame
from vbench_long.weights.seeded import seeded_tensor

CPU = Compute(torch.device("cpu"))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "vits.json").read_text())
Video = tuple[int, int, int, int]
"""Arguments of `golden_frames`."""


@dataclass(frozen=True)
class Recipe:
    """Seeded weights, some tensors made larger so that a mistake in their use shows.

    Attributes:
        factors: checkpoint -> published key -> what its tensor is multiplied by.
        prefixes: checkpoint -> what precedes the published key when its tensor is seeded.
    """

    factors: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    prefixes: Mapping[str, str] = field(default_factory=dict)
    untrained = True

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        prefix, factors = self.prefixes.get(name, ""), self.factors.get(name, {})
        return {
            key: seeded_tensor(prefix + key, tuple(t.shape), t.dtype) * factors.get(key, 1.0)
            for key, t in wanted.items()
        }


@dataclass(frozen=True)
class Network:
    """One full-size network and what its published version made of some frames.

    Attributes:
        backbone: ours.
        golden: file of the published network's outputs.
        videos: array of that file -> frames it was computed from.
        tolerance: ten times the noise between independent implementations.
        weights: they were made with.
        scale: what our features are multiplied by to be in the file's unit.
    """

    backbone: type[TorchBackbone]
    golden: str
    videos: Mapping[str, Video]
    tolerance: float
    weights: Recipe
    scale: float = 1.0


HD, WIDE = (101, 4, 720, 1280), (103, 2, 320, 512)
POSITIONS = {"pos_embed": 200.0, "cls_token": 20.0}
PLAIN_CLIP = {**POSITIONS, "patch_embed.proj.bias": 0.0}
DINO_RECIPE = Recipe(
    {"dino_vitb16": POSITIONS, "dinov2_vitb14": {"pos_embed": 500.0, "cls_token": 20.0}}
)
DREAMSIM_RECIPE = Recipe(
    {
        "dino_vitb16": POSITIONS,
        "dreamsim_clip_vitb16": PLAIN_CLIP,
        "dreamsim_open_clip_vitb16": PLAIN_CLIP,
    },
    {
        "dino_vitb16": "dino_vitb16.",
        "dreamsim_clip_vitb16": "clip_vitb16.",
        "dreamsim_open_clip_vitb16": "open_clip_vitb16.",
    },
)
NETWORKS = {
    "dino_vitb16": Network(
        DinoVitB16,
        "golden_dino_vitb16.npz",
        {
            "cls_720p": (101, 3, 720, 1280),
            "cls_512sq": (102, 2, 512, 512),
            "cls_320x512": WIDE,
            "cls_640x480": (104, 2, 640, 480),
        },
        2e-5,
        DINO_RECIPE,
    ),
    "dinov2_vitb14": Network(
        DinoV2VitB14,
        "golden_dinov2_vitb14.npz",
        {"cls_720p": (101, 3, 720, 1280), "cls_320x512": WIDE},
        2e-5,
        DINO_RECIPE,
    ),
    "dreamsim_ensemble": Network(
        DreamSimEnsemble,
        "golden_dreamsim_ensemble.npz",
        {"embed_480x720": (501, 3, 480, 720)},
        2e-6,
        DREAMSIM_RECIPE,
    ),
    "clip_vitb32": Network(
        ClipVitB32,
        "golden_clip_vitb32.npz",
        {"feat_720p": HD, "feat_320x512": WIDE},
        3e-5,
        Recipe(),
    ),
    "laion_aesthetic_l14": Network(
        AestheticClipL14,
        "golden_clip_vitl14.npz",
        {"aesthetic_720p_seededhead": HD},
        1e-4,
        Recipe(),
        scale=10.0,
    ),
}


class SmallDino(DinoVitB16):
    shape = VitShape(patch=16, side=224, width=48, depth=2, heads=3)


class SmallDinoV2(DinoV2VitB14):
    shape = VitShape(patch=14, side=518, width=48, depth=2, heads=3, layer_scale=True)


class SmallDreamSim(DreamSimEnsemble):
    dino_shape = SmallDino.shape
    clip_shapes: ClassVar[Mapping[str, TowerShape]] = {
        name: replace(shape, width=48, depth=2, heads=3, out=32)
        for name, shape in DreamSimEnsemble.clip_shapes.items()
    }


class SmallClip(ClipVitB32):
    shape = TowerShape(patch=32, width=48, depth=2, heads=3, out=32)


class SmallAesthetic(AestheticClipL14):
    shape = TowerShape(patch=14, width=48, depth=2, heads=3, out=32)


SMALL: dict[str, tuple[type[TorchBackbone], Recipe]] = {
    "dino_vitb16": (SmallDino, DINO_RECIPE),
    "dinov2_vitb14": (SmallDinoV2, DINO_RECIPE),
    "dreamsim_ensemble": (SmallDreamSim, DREAMSIM_RECIPE),
    "clip_vitb32": (SmallClip, Recipe()),
    "laion_aesthetic_l14": (SmallAesthetic, Recipe()),
}


def items(video: Video) -> list[tuple[Frame, ...]]:
    return [(Frame(i, rgb),) for i, rgb in enumerate(golden_frames(*video))]


def picked(features_TD: NDArray[Any]) -> NDArray[Any]:
    """The dozen numbers of the last frame's feature that are kept as a golden."""
    last_D = features_TD[-1]
    return last_D[:: max(1, len(last_D) // 12)][:12]


def pair_cosines(features_TD: NDArray[Any]) -> NDArray[Any]:
    unit_TD = features_TD / np.linalg.norm(features_TD, axis=1, keepdims=True)
    return np.asarray((unit_TD[1:] * unit_TD[:-1]).sum(axis=1))
