"""DINO ViT-B/16 and DINOv2 ViT-B/14: what a frame shows, as one vector."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

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
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class VitShape:
    """A vision transformer of the DINO family: LayerNorm first, exact GELU, one class token.

    Attributes:
        patch: side of a patch, pixels.
        side: side of the square pictures the published position embeddings belong to, pixels.
        width: of a token.
        depth: blocks.
        heads: of one block's attention.
        layer_scale: whether a learned scale per channel ends each half of a block.
    """

    patch: int
    side: int
    width: int = 768
    depth: int = 12
    heads: int = 12
    layer_scale: bool = False

    def empty(self) -> VisionTransformer:
        """The network without numbers, its keys those of the published checkpoint."""
        with torch.device("meta"):
            return VisionTransformer(
                img_size=self.side,
                patch_size=self.patch,
                embed_dim=self.width,
                depth=self.depth,
                num_heads=self.heads,
                init_values=1.0 if self.layer_scale else None,
                num_classes=0,
            )


def class_tokens(vit: VisionTransformer, images_BCHW: Tensor, positions_1LD: Tensor) -> Tensor:
    """The class token of each image after the last norm: (B, C, H, W) -> (B, D).

    Pixels right of and below the last whole patch are not seen, as in the published networks.
    timm's own forward is not used because it demands whole patches, and because it resamples
    positions in another way: that moves features by 3 %.
    """
    assert vit.cls_token is not None, "networks of this family have a class token"
    patches_BDhw = vit.patch_embed.proj(images_BCHW)
    patches_BLD = patches_BDhw.flatten(2).transpose(1, 2)
    class_B1D = vit.cls_token.expand(len(images_BCHW), 1, -1)
    tokens_BLD = torch.cat([class_B1D, patches_BLD], dim=1) + positions_1LD
    tokens_BLD = vit.blocks(vit.norm_pre(tokens_BLD))
    class_BD: Tensor = vit.norm(tokens_BLD[:, 0])
    return class_BD


def resampled_positions(positions_1LD: Tensor, height: int, width: int, patch: int) -> Tensor:
    """Position embeddings for images of `height` x `width` pixels: (1, 1 + N, D) -> (1, L, D).

    The published code asks for a tenth of a patch more than there is, against rounding, and
    samples at the scale it asked for, not at the ratio of the sizes. Both are kept: they decide
    where the learned grid is sampled.
    """
    rows, columns = height // patch, width // patch
    learned = math.isqrt(positions_1LD.shape[1] - 1)
    if height == width and rows == learned:
        return positions_1LD
    class_11D, grid_1ND = positions_1LD[:, :1], positions_1LD[:, 1:]
    grid_1DNN = grid_1ND.transpose(1, 2).reshape(1, -1, learned, learned)
    scale = ((rows + 0.1) / learned, (columns + 0.1) / learned)
    grid_1Dhw = F.interpolate(grid_1DNN, scale_factor=scale, mode="bicubic", align_corners=False)
    return torch.cat([class_11D, grid_1Dhw.flatten(2).transpose(1, 2)], dim=1)


class DinoBackbone(TorchBackbone):
    """Items (frame,) -> class tokens (D,), not normalised."""

    checkpoint: ClassVar[str]
    shape: ClassVar[VitShape]
    ignored: ClassVar[tuple[str, ...]] = ()
    rounds = True

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        vit = strict_load(self.shape.empty(), weights, self.checkpoint, ignored=self.ignored)
        self.vit = rounded(vit, compute).to(compute.device)
        self._class_tokens = compiled(class_tokens, compute)
        self._positions: dict[tuple[int, int], Tensor] = {}

    @staticmethod
    @abstractmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 of any size -> what the network looks at."""

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Class tokens: (B, D)."""
        images_BCHW = prepared(items, self.compute.device, self.prepare)
        height, width = images_BCHW.shape[-2:]
        positions_1LD = self.positions(height, width)
        with autocast(self.compute):
            return self._class_tokens(self.vit, images_BCHW, positions_1LD)

    def positions(self, height: int, width: int) -> Tensor:
        """Position embeddings for images of `height` x `width` pixels, made once per size."""
        if (height, width) not in self._positions:
            learned_1LD = self.vit.pos_embed
            assert learned_1LD is not None, "networks of this family learn their positions"
            self._positions[height, width] = resampled_positions(
                learned_1LD, height, width, self.shape.patch
            )
        return self._positions[height, width]


class DinoVitB16(DinoBackbone):
    """DINO ViT-B/16, 768 numbers per frame; the whole frame is seen, shorter side 224 pixels.

    Source: Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021;
    checkpoint dino_vitbase16_pretrain.pth.
    """

    efficiency = 0.77
    checkpoint = "dino_vitb16"
    shape = VitShape(patch=16, side=224)

    @staticmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 -> (T, 3, h, w), min(h, w) = 224."""
        height, width = frames_TCHW.shape[-2:]
        size = shorter_side(height, width, 224)
        images_TCHW = resized(frames_TCHW, size, "bilinear", antialias=False)
        return standardised(images_TCHW, IMAGENET_MEAN, IMAGENET_STD)


class DinoV2VitB14(DinoBackbone):
    """DINOv2 ViT-B/14 without registers, 768 numbers per frame; sees the frame's central square.

    Source: Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision", TMLR 2024;
    checkpoint dinov2_vitb14_pretrain.pth.
    """

    efficiency = 0.76
    checkpoint = "dinov2_vitb14"
    shape = VitShape(patch=14, side=518, layer_scale=True)
    ignored = (r"^mask_token$",)

    @staticmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 -> (T, 3, 224, 224)."""
        height, width = frames_TCHW.shape[-2:]
        size = shorter_side(height, width, 256)
        images_TCHW = resized(frames_TCHW, size, "bicubic", antialias=True)
        return standardised(centre_crop(images_TCHW, 224), IMAGENET_MEAN, IMAGENET_STD)
