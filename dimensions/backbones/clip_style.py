"""CLIP ViT-B/32 with both its towers: how far frames look like a style."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import torch
import torch.nn.functional as F  # noqa: N812
from PIL.Image import Resampling
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    centre_crop,
    compiled,
    shorter_side,
    standardised,
    strict_load,
)
from vbench_long.dimensions.backbones.clip import (
    CLIP_MEAN,
    CLIP_STD,
    SIDE,
    ClipVitB32,
    TowerShape,
    openai_key,
    openai_tower,
)
from vbench_long.dimensions.backbones.clip_text import (
    ReadingBackbone,
    TextShape,
    TextTower,
    block_key,
    tokens,
)
from vbench_long.errors import VideoError
from vbench_long.video import Frame, Image
from vbench_long.video.scaling import scaled_rgb
from vbench_long.weights.base import Weights


class Clip(nn.Module):
    """Both towers, and what the published similarities are multiplied by."""

    def __init__(self, shape: TowerShape, text_shape: TextShape) -> None:
        super().__init__()
        self.visual = openai_tower(shape)
        self.text = TextTower(text_shape)
        self.logit_scale = nn.Parameter(torch.empty(()))


class ClipStyleB32(ReadingBackbone):
    """Frames and texts -> 512 numbers each, whose scalar product says how alike they are.

    Frames have norm one, texts a hundredth of the network's trained scale of 100: one as well, up
    to rounding, so that the product is the cosine. Sees the central square of a frame.

    The weights are those of `ClipVitB32`, the pixels are not: frames are resized as Pillow does,
    antialiased and in whole grey levels, which moves features by some per cent.

    Source: as `ClipVitB32`. In float32, where the published program runs in float16 on a GPU.
    """

    cpu_batch = 8
    efficiency = 0.74
    checkpoint: ClassVar[str] = ClipVitB32.checkpoint
    shape: ClassVar[TowerShape] = ClipVitB32.shape
    text_shape: ClassVar[TextShape] = TextShape(width=512, heads=8, out=512, context=77)

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            clip = Clip(self.shape, self.text_shape)
        sizes = ("input_resolution", "context_length", "vocab_size")
        self.clip = strict_load(clip, weights, self.checkpoint, published_key, ignored=sizes)
        self.clip.to(compute.device)
        self._look = compiled(self.clip.visual.forward, compute)

    @staticmethod
    def prepare(rgb: Image) -> Tensor:
        """A frame -> (3, 224, 224)."""
        height, width, _ = rgb.shape
        height, width = shorter_side(height, width, SIDE)
        small = torch.from_numpy(scaled_rgb(rgb, width, height, Resampling.BICUBIC))
        square_3HW = centre_crop(small.permute(2, 0, 1), SIDE).float()
        return standardised(square_3HW, CLIP_MEAN, CLIP_STD)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Features of frames: (B, 512)."""
        with ThreadPoolExecutor() as threads:
            images = list(threads.map(self.prepare, [frame.rgb for (frame,) in items]))
        return F.normalize(self._look(torch.stack(images).to(self.compute.device)), dim=-1)

    def text_feature(self, text: str) -> Tensor:
        """The feature of a text: (512,).

        Raises:
            VideoError: the text has more than 75 tokens.
        """
        ids = tokens(text)
        if len(ids) > self.text_shape.context:
            raise VideoError(
                f"a style of {len(ids) - 2} tokens, CLIP reads {self.text_shape.context - 2}",
                f"{text[:60]}...",
                "shorten the style",
            )
        feature_D = F.normalize(self.clip.text(self.ids(ids)), dim=-1)
        return feature_D * self.clip.logit_scale.exp() / 100


def published_key(key: str) -> str:
    """OpenAI's key for one of ours."""
    part, _, rest = key.partition(".")
    if part == "visual":
        return openai_key(rest)
    return block_key(rest) if part == "text" else key
