"""ViCLIP: what eight frames show and what a text says, in one space."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    centre_crop,
    compiled,
    frames_TCHW,
    resized,
    shorter_side,
    standardised,
    strict_load,
)
from vbench_long.dimensions.backbones.clip import CLIP_MEAN, CLIP_STD, SIDE
from vbench_long.dimensions.backbones.clip_text import (
    ReadingBackbone,
    TextShape,
    TextTower,
    block_key,
    blocks,
    fitted,
    tokens,
)
from vbench_long.video import Frame
from vbench_long.weights.base import Weights

LOG = logging.getLogger("vbench_long")


@dataclass(frozen=True, slots=True)
class VideoShape:
    """The video tower.

    Attributes:
        frames: of one item.
        patch: side of a patch, pixels.
        width: of a token.
        depth: blocks.
        heads: of one block's attention.
        out: length of a feature.
    """

    frames: int = 8
    patch: int = 14
    width: int = 1024
    depth: int = 24
    heads: int = 16
    out: int = 768


class VideoTower(nn.Module):
    """A CLIP tower whose blocks see the patches of all frames at once, and one class token."""

    def __init__(self, shape: VideoShape) -> None:
        super().__init__()
        patches, kernel = (SIDE // shape.patch) ** 2, (1, shape.patch, shape.patch)
        self.conv1 = nn.Conv3d(3, shape.width, kernel, kernel, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(shape.width))
        self.positional_embedding = nn.Parameter(torch.empty(1 + patches, shape.width))
        self.temporal_positional_embedding = nn.Parameter(torch.empty(1, shape.frames, shape.width))
        self.ln_pre = nn.LayerNorm(shape.width)
        self.blocks = blocks(shape.depth, shape.width, shape.heads)
        self.ln_post = nn.LayerNorm(shape.width)
        self.proj = nn.Parameter(torch.empty(shape.width, shape.out))

    def forward(self, clips_BTCHW: Tensor) -> Tensor:
        """Clips (B, T, 3, 224, 224) -> features (B, out)."""
        patches_BTPD = self.conv1(clips_BTCHW.transpose(1, 2)).flatten(3).permute(0, 2, 3, 1)
        in_frame_PD, in_time_T1D = (
            self.positional_embedding[1:],
            self.temporal_positional_embedding[0, :, None],
        )
        patches_BTPD = patches_BTPD + in_frame_PD + in_time_T1D
        class_D = self.class_embedding + self.positional_embedding[0]
        class_B1D = class_D.expand(len(clips_BTCHW), 1, -1)
        tokens_BLD = self.ln_pre(torch.cat([class_B1D, patches_BTPD.flatten(1, 2)], dim=1))
        for block in self.blocks:
            tokens_BLD = block(tokens_BLD)
        feature_BD: Tensor = self.ln_post(tokens_BLD[:, 0]) @ self.proj
        return feature_BD


class ViClipL14(ReadingBackbone):
    """Items of eight frames, and texts -> 768 numbers of norm one; scalar products are cosines.

    Sees the central square of the frames. A text of more than 30 tokens loses its end, as it does
    in the published program.

    Source: Wang et al., "InternVid: A Large-scale Video-Text Dataset for Multimodal Understanding
    and Generation", ICLR 2024; checkpoint ViClip-InternVid-10M-FLT.pth.
    """

    cpu_batch = 1
    gpu_batch = 8
    efficiency = 0.58
    checkpoint: ClassVar[str] = "viclip_l14"
    shape: ClassVar[VideoShape] = VideoShape()
    text_shape: ClassVar[TextShape] = TextShape(width=768, heads=12, out=768, context=32)

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            towers = nn.ModuleDict(
                {
                    "vision_encoder": VideoTower(self.shape),
                    "text_encoder": TextTower(self.text_shape),
                }
            )
        strict_load(towers, weights, self.checkpoint, published_key, ignored=("temp",))
        towers.to(compute.device)
        self.video, self.text = towers["vision_encoder"], towers["text_encoder"]
        self._look = compiled(self.video.forward, compute)
        self._cut = False

    @staticmethod
    def prepare(frames_TCHW: Tensor) -> Tensor:
        """Frames in 0..255 -> (T, 3, 224, 224); whole grey levels, unlike CLIP's own."""
        height, width = frames_TCHW.shape[-2:]
        size = shorter_side(height, width, SIDE)
        images_TCHW = resized(frames_TCHW, size, "bicubic", antialias=False)
        whole_TCHW = centre_crop(images_TCHW, SIDE).clamp(0, 255).round()
        return standardised(whole_TCHW, CLIP_MEAN, CLIP_STD)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Features of clips: (B, out)."""
        clips_BTCHW = torch.stack(
            [
                torch.cat([self.prepare(frames_TCHW([f], self.compute.device)) for f in frames])
                for frames in items
            ]
        )
        return F.normalize(self._look(clips_BTCHW), dim=-1)

    def text_feature(self, text: str) -> Tensor:
        """The feature of a text: (out,)."""
        whole, context = tokens(text), self.text_shape.context
        if len(whole) > context and not self._cut:
            self._cut = True
            LOG.warning(
                "ViCLIP reads %d tokens of a prompt; longer ones lose their end", context - 2
            )
        ids_L = self.ids(fitted(whole, context))
        return F.normalize(self.text(ids_L), dim=-1)


def published_key(key: str) -> str:
    """The published key for one of ours."""
    tower, _, rest = key.partition(".")
    return f"{tower}.{block_key(rest)}"
