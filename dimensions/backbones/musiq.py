"""MUSIQ: how good a picture looks technically, from 0 to 100.

Ke, Wang, Wang, Milanfar, Yang, "MUSIQ: Multi-scale Image Quality Transformer", ICCV 2021.
Published checkpoint: `musiq_spaq_ckpt-358bb6af.pth` (trained on SPAQ: Fang, Zhu, Zeng, Ma, Wang,
"Perceptual Quality Assessment of Smartphone Photography", CVPR 2020), 27 M parameters.

Two savings change no number: the published code fills up its token sequences and masks the
filling, here there is none; and its convolutions standardise their weights at every call, here
that is done once.

Licence: Apache-2.0 by its authors, PolyForm-Noncommercial where the checkpoint is hosted. It is not
part of this package; whoever fetches it does so under those terms.

Never in bfloat16: the head would round a score to three digits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    compiled,
    prepared,
    resized,
    strict_load,
    whole_edges,
)
from vbench_long.errors import VideoError
from vbench_long.video import Frame
from vbench_long.weights.base import Weights


@dataclass(frozen=True, slots=True)
class MusiqSettings:
    """The size of the network, and what it is shown.

    Attributes:
        longest: larger pictures are reduced until their longer side is this.
        scales: longer sides of the two resized copies that are seen beside the picture itself.
        patch: side of the square a token is made from.
        grid: positions are counted on a grid of this many rows and columns.
        width: of a token.
        depth: transformer blocks.
        heads: of the attention.
        inner: width inside the blocks' perceptrons.
    """

    longest: int = 512
    scales: tuple[int, int] = (224, 384)
    patch: int = 32
    grid: int = 10
    width: int = 384
    depth: int = 14
    heads: int = 6
    inner: int = 1152


class MusiqSpaq(TorchBackbone):
    """Technical quality of a frame, 0..1: MUSIQ's score divided by 100.

    The network's own scale, and that of the published lists of clips, is 0..100; published totals
    are made from hundredths of it, and so are our records.
    """

    settings = MusiqSettings()
    gpu_batch = 16
    efficiency = 0.57

    def __init__(self, weights: Weights, compute: Compute) -> None:
        super().__init__(compute)
        with torch.device("meta"):
            net = MusiqNetwork(self.settings)
        self.net = strict_load(net, weights, "musiq_spaq", published_key)
        standardise(self.net)
        # An eighth less time.
        self.net.to(memory_format=torch.channels_last).to(compute.device)
        self._score = compiled(self.net, compute)

    def features(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Items (frame,) of one size -> (N, 1).

        Raises:
            VideoError: frames are over 200 times as long as wide, or the network made no number.
        """
        height, width = items[0][0].rgb.shape[:2]
        if max(height, width) > 200 * min(height, width):
            raise VideoError(
                f"frames of {width}x{height} pixels are too narrow for MUSIQ",
                "",
                "it can measure frames up to 200 times as long as wide",
            )
        return self.scores(items)[:, None] / 100

    def scores(self, items: Sequence[tuple[Frame, ...]]) -> Tensor:
        """Scores on the network's own scale, 0..100: (N,)."""
        images_N3HW = prepared(items, self.compute.device, self.picture)
        scores_N: Tensor = self._score(*tokens(images_N3HW, self.settings))
        return scores_N

    def picture(self, frames_T3HW: Tensor) -> Tensor:
        """What the network is shown: pixels in -1..1, at most 512 on the longer side."""
        height, width = frames_T3HW.shape[-2:]
        longer = max(height, width)
        if longer > self.settings.longest:
            # Cutting, not rounding: the longer side itself may come out as 511.
            scale = self.settings.longest / longer
            size = int(scale * height), int(scale * width)
            frames_T3HW = resized(frames_T3HW, size, "bilinear", antialias=False)
        return (frames_T3HW / 255 - 0.5) * 2


def tokens(images_N3HW: Tensor, settings: MusiqSettings) -> tuple[Tensor, Tensor, Tensor]:
    """Squares of the pictures at all scales, the two resized copies first.

    Returns:
        Squares (N, L, 3, patch, patch); position of each on the grid (L,); scale of each (L,).
    """
    height, width = images_N3HW.shape[-2:]
    copies = []
    for side in settings.scales:
        ratio = side / max(height, width)
        size = round(height * ratio), round(width * ratio)
        copies.append(resized(images_N3HW, size, "bicubic", antialias=False))
    cut = [squares(copy_N3HW, settings) for copy_N3HW in (*copies, images_N3HW)]
    squares_NL3PP = torch.cat([squares_NK3PP for squares_NK3PP, _ in cut], 1)
    positions_L = torch.cat([positions_K for _, positions_K in cut])
    scales_L = torch.cat([torch.full_like(at_K, scale) for scale, (_, at_K) in enumerate(cut)])
    return squares_NL3PP, positions_L, scales_L


def squares(images_N3HW: Tensor, settings: MusiqSettings) -> tuple[Tensor, Tensor]:
    """Squares (N, K, 3, patch, patch), row by row, and their positions on the grid (K,).

    The picture is extended on all sides, in mid-grey, to whole squares.
    """
    patch, grid = settings.patch, settings.grid
    height, width = images_N3HW.shape[-2:]
    rows, columns = ceil(height / patch), ceil(width / patch)
    padded_N3HW = F.pad(images_N3HW, whole_edges(height, width, patch))
    squares_N3RPCP = padded_N3HW.view(-1, 3, rows, patch, columns, patch)
    row_R, column_C = (
        torch.arange(count, device=images_N3HW.device) * grid // count for count in (rows, columns)
    )
    positions_RC = row_R[:, None] * grid + column_C
    return squares_N3RPCP.permute(0, 2, 4, 1, 3, 5).flatten(1, 2), positions_RC.flatten()


class MusiqNetwork(nn.Module):
    """The network; `published_key` tells what its parts are called in the checkpoint."""

    def __init__(self, settings: MusiqSettings) -> None:
        super().__init__()
        width, heads, inner = settings.width, settings.heads, settings.inner
        self.conv_root = nn.Conv2d(3, 64, 7, 2, bias=False)
        self.gn_root = nn.GroupNorm(32, 64, 1e-6)
        self.block1 = Bottleneck(64)
        self.embedding = nn.Linear(256 * (settings.patch // 4) ** 2, width)
        self.position_emb = nn.Parameter(torch.empty(1, settings.grid**2, width))
        self.scale_emb = nn.Parameter(torch.empty(len(settings.scales) + 1, width))
        self.cls = nn.Parameter(torch.empty(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, heads, inner) for _ in range(settings.depth))
        self.encoder_norm = nn.LayerNorm(width, 1e-6)
        self.head = nn.Linear(width, 1)

    def forward(self, squares_NL3PP: Tensor, positions_L: Tensor, scales_L: Tensor) -> Tensor:
        """What `tokens` gives -> scores (N,)."""
        count, length = squares_NL3PP.shape[:2]
        # Paddings are TensorFlow's "SAME": the smaller half first.
        x_MCHW = F.pad(squares_NL3PP.flatten(0, 1), (2, 3, 2, 3))
        x_MCHW = self.gn_root(self.conv_root(x_MCHW)).relu()
        x_MCHW = F.max_pool2d(F.pad(x_MCHW, (0, 1, 0, 1)), 3, 2)
        x_MHWC = self.block1(x_MCHW).permute(0, 2, 3, 1)
        x_NLD = self.embedding(x_MHWC.flatten(1)).view(count, length, -1)
        x_NLD = x_NLD + self.position_emb[:, positions_L] + self.scale_emb[scales_L]
        x_NLD = torch.cat([self.cls.expand(count, -1, -1), x_NLD], 1)
        for block in self.blocks:
            x_NLD = block(x_NLD)
        scores_N1: Tensor = self.head(self.encoder_norm(x_NLD[:, 0]))
        return scores_N1[:, 0]


class Bottleneck(nn.Module):
    """Residual block of 1x1, 3x3 and 1x1 convolutions that makes four times the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 1, bias=False)
        self.gn1 = nn.GroupNorm(32, channels, 1e-4)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.gn2 = nn.GroupNorm(32, channels, 1e-4)
        self.conv3 = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.gn3 = nn.GroupNorm(32, 4 * channels, 1e-4)
        self.conv_proj = nn.Conv2d(channels, 4 * channels, 1, bias=False)
        self.gn_proj = nn.GroupNorm(32, 4 * channels, 1e-4)

    def forward(self, x_MCHW: Tensor) -> Tensor:
        """(M, C, H, W) -> (M, 4 C, H, W)."""
        y_MCHW = self.gn1(self.conv1(x_MCHW)).relu()
        y_MCHW = self.gn2(self.conv2(y_MCHW)).relu()
        y_MCHW = self.gn3(self.conv3(y_MCHW))
        sum_MCHW: Tensor = y_MCHW + self.gn_proj(self.conv_proj(x_MCHW))
        return sum_MCHW.relu()


class Block(nn.Module):
    """Transformer block, normalised before attention and before the perceptron."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, 1e-6)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, 1e-6)
        self.mlp = nn.Sequential(
            OrderedDict(fc1=nn.Linear(width, inner), gelu=nn.GELU(), fc2=nn.Linear(inner, width))
        )

    def forward(self, x_NLD: Tensor) -> Tensor:
        """(N, L, D) -> the same."""
        x_NLD = x_NLD + self.attention(self.norm1(x_NLD))
        x_NLD = x_NLD + self.mlp(self.norm2(x_NLD))
        return x_NLD


class Attention(nn.Module):
    """Every token looks at every token."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x_NLD: Tensor) -> Tensor:
        """(N, L, D) -> the same."""
        count, length, _ = x_NLD.shape
        query_NALE, key_NALE, value_NALE = (
            project(x_NLD).view(count, length, self.heads, -1).transpose(1, 2)
            for project in (self.query, self.key, self.value)
        )
        seen_NALE = F.scaled_dot_product_attention(query_NALE, key_NALE, value_NALE)
        out_NLD: Tensor = self.out(seen_NALE.transpose(1, 2).flatten(2))
        return out_NLD


def standardise(net: nn.Module) -> None:
    """Give the weights of every output channel of every convolution mean 0 and deviation 1."""
    for part in net.modules():
        if isinstance(part, nn.Conv2d):
            std_O111, mean_O111 = torch.std_mean(part.weight, (1, 2, 3), keepdim=True)
            # Not in place: the checkpoint's file may be mapped.
            scaled_OIHW = (part.weight - mean_O111) / (std_O111 + 1e-5)
            part.weight = nn.Parameter(scaled_OIHW, requires_grad=False)


_PUBLISHED = {
    "cls": "transformer_encoder.cls",
    "position_emb": "transformer_encoder.posembed_input.position_emb",
    "scale_emb": "transformer_encoder.scaleembed_input.scale_emb",
    "encoder_norm.": "transformer_encoder.encoder_norm.",
    "blocks.": "transformer_encoder.transformer.encoderblock_",
}
"""What our names begin with, and the published ones where they differ."""


def published_key(key: str) -> str:
    """Key of the network's state dict -> key of the published checkpoint."""
    for ours, theirs in _PUBLISHED.items():
        if key.startswith(ours):
            return theirs + key.removeprefix(ours)
    return key
