"""UMT ViT-L/16: what people do in sixteen frames, as one number for each action of Kinetics-400."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import cv2
import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from timm.layers import Attention  # type: ignore[attr-defined]
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    centre_crop,
    compiled,
    shorter_side,
    standardised,
    strict_load,
)
from vbench_long.dimensions.backbones.dino import IMAGENET_MEAN, IMAGENET_STD
from vbench_long.video import Frame, Image
from vbench_long.weights.base import Weights

SIDE = 224


@dataclass(frozen=True, slots=True)
class UmtShape:
    """The network.

    Attributes:
        frames: of one item.
        learned_frames: of the clips that the position table was made for.
        patch: side of a patch, pixels.
        width: of a token.
        depth: blocks.
        heads: of one block's attention.
        classes: actions.
    """

    frames: int = 16
    learned_frames: int = 8
    patch: int = 16
    width: int = 1024
    depth: int = 24
    heads: int = 16
    classes: int = 400


class HalfBiasedAttention(Attention):
    """An attention whose queries and values have a bias and whose keys have none."""

    def __init__(self, dim: int, num_heads: int, **options: object) -> None:
        super().__init__(dim, num_heads)
        self.q_bias = nn.Parameter(torch.empty(dim))
        self.v_bias = nn.Parameter(torch.empty(dim))

    def fold(self) -> None:
        """Make one bias of the published two, for the forward pass of any attention."""
        bias = torch.cat([self.q_bias, torch.zeros_like(self.q_bias), self.v_bias])
        self.qkv.bias = nn.Parameter(bias, requires_grad=False)
        del self.q_bias, self.v_bias


class Umt(nn.Module):
    """A vision transformer that sees the patches of all frames at once, and means them."""

    def __init__(self, shape: UmtShape) -> None:
        super().__init__()
        kernel = (1, shape.patch, shape.patch)
        proj = nn.Conv3d(3, shape.width, kernel, kernel)
        self.patch_embed = nn.Sequential(OrderedDict(proj=proj))
        self.blocks = nn.Sequential(
            *(
                Block(shape.width, shape.heads, attn_layer=HalfBiasedAttention)
                for _ in range(shape.depth)
            )
        )
        self.fc_norm = nn.LayerNorm(shape.width, eps=1e-6)
        self.head = nn.Linear(shape.width, shape.classes)

    def forward(self, clips_BTCHW: Tensor, positions_1LD: Tensor) -> Tensor:
        """Clips (B, T, 3, 224, 224) -> logits (B, classes)."""
        patches_BDThw = self.patch_embed(clips_BTCHW.transpose(1, 2))
        tokens_BLD = self.blocks(patches_BDThw.flatten(2).transpose(1, 2) + positions_1LD)
        logits_BK: Tensor = self.head(self.fc_norm(tokens_BLD.mean(1)))
        return logits_BK


def positions(shape: UmtShape) -> Tensor:
    """The fixed position table, frame by frame and row by row: (1, T * N, D).

    Sines and cosines were counted through the patches of eight frames; for sixteen, the table is
    stretched over time.
    """
    patches = (SIDE // shape.patch) ** 2
    place_L = np.arange(shape.learned_frames * patches, dtype=np.float64)
    channel_D = np.arange(shape.width)
    angle_LD = place_L[:, None] / 10000 ** (2 * (channel_D // 2) / shape.width)
    table_LD = np.where(channel_D % 2, np.cos(angle_LD), np.sin(angle_LD))
    table_TND = torch.from_numpy(table_LD).float().view(shape.learned_frames, patches, -1)
    stretched_NDT = F.interpolate(
        table_TND.permute(1, 2, 0), size=shape.frames, mode="linear", align_corners=False
    )
    return stretched_NDT.permute(2, 0, 1).flatten(0, 1)[None]


class UmtL16(TorchBackbone):
    """Items of sixteen frames -> 400 logits; sees the frames' central square.

    The classes stand in the order of the network's own list (`kinetics_order.csv`). The position
    table is made, not loaded: it was never trained, and the published file has none.

    Source: Li et al., "Unmasked Teacher: Towards Training-Efficient Video Foundation Models", ICCV
    2023; checkpoint l16_ptk710_ftk710_ftk400_f16_res224.pth. Its program goes on with random
    numbers where the file has other names; here that is an error.
    """

    cpu_batch = 1
    gpu_batch = 8
    efficiency = 0.55
    checkpoint: ClassVar[str] = "umt_l16"
    shape: ClassVar[UmtShape] = UmtShape()

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            net = Umt(self.shape)
        self.net = strict_load(net, weights, self.checkpoint, ignored=("pos_embed",))
        for part in self.net.modules():
            if isinstance(part, HalfBiasedAttention):
                part.fold()
        self.net.to(compute.device)
        self.positions = positions(self.shape).to(compute.device)
        self._look = compiled(self.net.forward, compute)

    @staticmethod
    def prepare(rgb: Image) -> Tensor:
        """A frame -> (3, 224, 224), resized as OpenCV does, in whole grey levels."""
        height, width, _ = rgb.shape
        height, width = shorter_side(height, width, 256)
        small = torch.from_numpy(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_LINEAR))
        square_3HW = centre_crop(small.permute(2, 0, 1), SIDE).float()
        return standardised(square_3HW, IMAGENET_MEAN, IMAGENET_STD)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Logits: (B, 400)."""
        clips_BTCHW = torch.stack(
            [torch.stack([self.prepare(frame.rgb) for frame in frames]) for frames in items]
        )
        logits_BK: Tensor = self._look(clips_BTCHW.to(self.compute.device), self.positions)
        return logits_BK
