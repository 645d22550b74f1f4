"""CLIP's image towers, and the aesthetic score read off one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import QuickGELU
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    autocast,
    centre_crop,
    compiled,
    prepared,
    resized,
    rounded,
    shorter_side,
    standardised,
    strict_load,
)
from vbench_long.dimensions.backbones.dino import class_tokens
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
SIDE = 224


@dataclass(frozen=True, slots=True)
class TowerShape:
    """An image tower of CLIP.

    Attributes:
        patch: side of a patch, pixels.
        width: of a token.
        depth: blocks.
        heads: of one block's attention.
        out: length of a feature.
        activation: of the blocks. OpenAI trained with x * sigmoid(1.702 x); the exact GELU loads
            as well and is wrong by 4 %.
    """

    patch: int
    width: int
    depth: int
    heads: int
    out: int
    activation: type[nn.Module] = QuickGELU


class Tower(nn.Module):
    """A vision transformer with a norm before its blocks, and a projection of its class token."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.vit = VisionTransformer(
            img_size=SIDE,
            patch_size=shape.patch,
            embed_dim=shape.width,
            depth=shape.depth,
            num_heads=shape.heads,
            num_classes=0,
            pre_norm=True,
            norm_layer=nn.LayerNorm,
            act_layer=shape.activation,
        )
        self.proj = nn.Parameter(torch.empty(shape.width, shape.out))

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Images (B, 3, 224, 224) -> features (B, out)."""
        assert self.vit.pos_embed is not None, "towers learn their positions"
        class_BD = class_tokens(self.vit, images_BCHW, self.vit.pos_embed)
        with torch.autocast(class_BD.device.type, enabled=False):
            # Rounded here, features would be rounded to three digits whatever came before.
            return class_BD.float() @ self.proj


def openai_tower(shape: TowerShape) -> Tower:
    """A tower without numbers, its tensors of the shapes OpenAI published."""
    with torch.device("meta"):
        tower = Tower(shape)
        tower.vit.cls_token = nn.Parameter(torch.empty(shape.width))
        tower.vit.pos_embed = nn.Parameter(torch.empty((SIDE // shape.patch) ** 2 + 1, shape.width))
    return tower


OPENAI_NAMES = (
    ("vit.cls_token", "class_embedding"),
    ("vit.pos_embed", "positional_embedding"),
    ("vit.patch_embed.proj", "conv1"),
    ("vit.norm_pre", "ln_pre"),
    ("vit.norm", "ln_post"),
    ("vit.blocks", "transformer.resblocks"),
    (".norm1", ".ln_1"),
    (".norm2", ".ln_2"),
    (".attn.qkv.", ".attn.in_proj_"),
    (".attn.proj", ".attn.out_proj"),
    (".mlp.fc1", ".mlp.c_fc"),
    (".mlp.fc2", ".mlp.c_proj"),
)
"""Parts of our keys and of OpenAI's, to be replaced in this order."""


def openai_key(key: str) -> str:
    """OpenAI's key for a key of `Tower`."""
    for ours, theirs in OPENAI_NAMES:
        key = key.replace(ours, theirs)
    return f"visual.{key}"


class ClipImage(TorchBackbone):
    """Items (frame,) -> CLIP image features, not normalised; sees the frame's central square."""

    checkpoint: ClassVar[str]
    shape: ClassVar[TowerShape]
    rounds = True

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        text = r"^(?!visual\.).+$"
        tower = strict_load(
            openai_tower(self.shape), weights, self.checkpoint, openai_key, ignored=(text,)
        )
        self.tower = compiled(rounded(tower, compute).to(compute.device), compute)

    @staticmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 -> (T, 3, 224, 224)."""
        height, width = frames_TCHW.shape[-2:]
        size = shorter_side(height, width, SIDE)
        images_TCHW = resized(frames_TCHW, size, "bicubic", antialias=False)
        return standardised(centre_crop(images_TCHW, SIDE), CLIP_MEAN, CLIP_STD)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Image features: (B, D)."""
        images_BCHW = prepared(items, self.compute.device, self.prepare)
        with autocast(self.compute):
            features_BD: Tensor = self.tower(images_BCHW)
        return features_BD


class ClipVitB32(ClipImage):
    """CLIP ViT-B/32, 512 numbers per frame.

    Source: Radford et al., "Learning Transferable Visual Models From Natural Language
    Supervision", ICML 2021; checkpoint ViT-B-32.pt of OpenAI.
    """

    cpu_batch = 8
    efficiency = 0.74
    checkpoint = "clip_vitb32"
    shape = TowerShape(patch=32, width=768, depth=12, heads=12, out=512)


class AestheticClipL14(ClipImage):
    """How beautiful a frame is: one number per frame, about 0..1, higher is better.

    A linear head on the normalised feature of CLIP ViT-L/14 gives 0..10; the feature is a tenth.

    Source: CLIP as above, checkpoint ViT-L-14.pt of OpenAI; LAION aesthetic predictor v1,
    checkpoint sa_0_4_vit_l_14_linear.pth.
    """

    efficiency = 0.72
    checkpoint = "clip_vitl14"
    head_checkpoint: ClassVar[str] = "laion_aesthetic_l14"
    shape = TowerShape(patch=14, width=1024, depth=24, heads=16, out=768)

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(weights, compute)
        with torch.device("meta"):
            head = nn.Linear(self.shape.out, 1)
        self.head = strict_load(head, weights, self.head_checkpoint).to(compute.device)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Aesthetic scores: (B, 1)."""
        unit_BD = F.normalize(super().features(items).float(), dim=-1)
        score_B1: Tensor = self.head(unit_BD)
        return score_B1 / 10
