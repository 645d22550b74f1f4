"""DreamSim: how alike two frames look to people, from three vision transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    compiled,
    prepared,
    resized,
    standardised,
    strict_load,
    strict_tensors,
)
from vbench_long.dimensions.backbones.clip import CLIP_MEAN, CLIP_STD, SIDE, Tower, TowerShape
from vbench_long.dimensions.backbones.dino import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    VitShape,
    class_tokens,
)
from vbench_long.video import Frame
from vbench_long.weights.base import Weights


@dataclass(frozen=True, slots=True)
class LoRA:
    """The low-rank change W + alpha / rank * B A of every attention's query-key-value matrix.

    The published adapter was trained with this rank and alpha. Its tensors tell the rank but not
    alpha, so both belong to the network here and are not read from a file.
    """

    checkpoint: str = "dreamsim_lora"
    rank: int = 16
    alpha: float = 8.0

    def key(self, branch: int, block: int, factor: str) -> str:
        """The published key of one factor, "A" or "B"."""
        model = f"base_model.model.extractor_list.{branch}.model"
        return f"{model}.blocks.{block}.attn.qkv.lora_{factor}.weight"


def adapt(branches: Sequence[VisionTransformer], weights: Weights, lora: LoRA) -> None:
    """Add the adapter to the matrices of all blocks of all branches, for good."""
    linears = {
        (i, j): cast(nn.Linear, branch.get_submodule(f"blocks.{j}.attn.qkv"))
        for i, branch in enumerate(branches)
        for j in range(len(branch.blocks))
    }
    wanted: dict[str, Tensor] = {}
    for (i, j), linear in linears.items():
        wanted[lora.key(i, j, "A")] = torch.empty(lora.rank, linear.in_features, device="meta")
        wanted[lora.key(i, j, "B")] = torch.empty(linear.out_features, lora.rank, device="meta")
    factors = strict_tensors(weights, lora.checkpoint, wanted)
    for (i, j), linear in linears.items():
        change = factors[lora.key(i, j, "B")] @ factors[lora.key(i, j, "A")]
        adapted = linear.weight + lora.alpha / lora.rank * change
        linear.weight = nn.Parameter(adapted, requires_grad=False)


def dino_branch(shape: VitShape) -> VisionTransformer:
    """DINO without numbers and without its last norm, which is not part of DreamSim."""
    vit = shape.empty()
    vit.norm = nn.Identity()
    return vit


def clip_branch(shape: TowerShape) -> Tower:
    """A CLIP tower without numbers, its keys those of DreamSim's files up to `published`.

    The files are in DINO's layout, where patches have a bias; CLIP has none, so theirs is zero.
    """
    with torch.device("meta"):
        tower = Tower(shape)
        tower.vit.patch_embed.proj = nn.Conv2d(3, shape.width, shape.patch, shape.patch)
    return tower


def published(key: str) -> str:
    """The key in DreamSim's files for a key of `Tower`."""
    return key.removeprefix("vit.").replace("norm_pre.", "pos_drop.")


class DreamSimEnsemble(TorchBackbone):
    """Items (frame,) -> 1792 numbers of mean zero and norm one; cosines are similarities.

    The frame is squeezed to a square. Always float32 or TF32: no smaller precision was tried.

    Source: Fu et al., "DreamSim: Learning New Dimensions of Human Visual Similarity using
    Synthetic Data", NeurIPS 2023; the ensemble's checkpoints of release v0.2.0, and DINO's own.
    """

    efficiency = 0.77
    dino_checkpoint: ClassVar[str] = "dino_vitb16"
    dino_shape: ClassVar[VitShape] = VitShape(patch=16, side=SIDE)
    clip_shapes: ClassVar[Mapping[str, TowerShape]] = {
        "dreamsim_clip_vitb16": TowerShape(16, 768, 12, 12, out=512),
        "dreamsim_open_clip_vitb16": TowerShape(16, 768, 12, 12, out=512, activation=nn.GELU),
    }
    lora: ClassVar[LoRA] = LoRA()

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        last_norm = r"^norm\.(weight|bias)$"
        self.dino = strict_load(
            dino_branch(self.dino_shape), weights, self.dino_checkpoint, ignored=(last_norm,)
        )
        self.clips = [
            strict_load(clip_branch(shape), weights, checkpoint, published)
            for checkpoint, shape in self.clip_shapes.items()
        ]
        adapt([self.dino, *(clip.vit for clip in self.clips)], weights, self.lora)
        for network in (self.dino, *self.clips):
            network.to(compute.device)
        self._embeddings = compiled(self.embeddings, compute)

    @staticmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 -> (T, 3, 224, 224), still in about 0..255."""
        return resized(frames_TCHW, (SIDE, SIDE), "bicubic", antialias=True)

    def embeddings(self, images_BCHW: Tensor) -> Tensor:
        """Prepared images -> (B, 1792)."""
        assert self.dino.pos_embed is not None, "DINO learns its positions"
        dino_looks_BCHW = standardised(images_BCHW, IMAGENET_MEAN, IMAGENET_STD)
        clip_looks_BCHW = standardised(images_BCHW, CLIP_MEAN, CLIP_STD)
        dino_BD = class_tokens(self.dino, dino_looks_BCHW, self.dino.pos_embed)
        together_BD = torch.cat([dino_BD, *(clip(clip_looks_BCHW) for clip in self.clips)], dim=1)
        return F.normalize(together_BD - together_BD.mean(dim=1, keepdim=True), dim=1)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Embeddings: (B, 1792)."""
        return self._embeddings(prepared(items, self.compute.device, self.prepare))
