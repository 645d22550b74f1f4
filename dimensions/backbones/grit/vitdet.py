"""GRiT's image encoder: a plain vision transformer on the pixels' own grid, and five maps of it.

Source: Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection", ECCV 2022;
the pyramid is GRiT's own. `PUBLISHED_NAMES` has what the checkpoint calls the parts.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

STRIDES = (8, 16, 32, 64, 128)
"""Pixels from cell to cell of the five maps."""

CPU_BIASES, GPU_BIASES = 1 << 22, 1 << 27
"""Most numbers of the biases of one call of attention: what stays in a cache, and half a GiB."""


@dataclass(frozen=True, slots=True)
class EncoderShape:
    """The encoder and its pyramid.

    Attributes:
        patch: side of a patch, pixels.
        width: of a token.
        depth: blocks.
        heads: of one block's attention.
        window: side of the squares most blocks look at, patches.
        everywhere: blocks that look at the whole picture.
        side: of the pictures the tables of those blocks were trained on, patches.
        positions: side of the grid the absolute positions were trained on.
        channels: of the pyramid's maps.
    """

    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    window: int = 14
    everywhere: tuple[int, ...] = (2, 5, 8, 11)
    side: int = 64
    positions: int = 14
    channels: int = 256


class Encoder(nn.Module):
    """The transformer: every block keeps one token per patch."""

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        self.side = shape.positions
        self.patches = nn.Conv2d(3, shape.width, shape.patch, shape.patch)
        self.positions = nn.Parameter(torch.empty(1, shape.positions**2 + 1, shape.width))
        self.blocks = nn.ModuleList(
            Block(shape, 0 if index in shape.everywhere else shape.window)
            for index in range(shape.depth)
        )

    def forward(self, images_BCHW: Tensor) -> Tensor:
        """Images whose sides are whole patches -> tokens (B, h, w, D)."""
        x_BhwD: Tensor = self.patches(images_BCHW).permute(0, 2, 3, 1)
        x_BhwD = x_BhwD + self._positions(*x_BhwD.shape[1:3])
        for block in self.blocks:
            x_BhwD = block(x_BhwD)
        return x_BhwD

    def _positions(self, high: int, wide: int) -> Tensor:
        side = self.side
        # The first entry was a class token's.
        table_1DSS = self.positions[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
        if (high, wide) != (side, side):
            table_1DSS = F.interpolate(table_1DSS, (high, wide), mode="bicubic")
        return table_1DSS.permute(0, 2, 3, 1)


class Block(nn.Module):
    """Transformer block, normalised before attention and before the perceptron.

    Args:
        shape: of the encoder.
        window: side of the squares the block looks at; 0 if it looks at everything.
    """

    def __init__(self, shape: EncoderShape, window: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, 1e-6)
        self.attn = Attention(shape.width, shape.heads, window or shape.side, window)
        self.norm2 = nn.LayerNorm(shape.width, 1e-6)
        self.mlp = Perceptron(shape.width, 4 * shape.width)

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """(B, h, w, D) -> the same."""
        x_BhwD = x_BhwD + self.attn(self.norm1(x_BhwD))
        out_BhwD: Tensor = x_BhwD + self.mlp(self.norm2(x_BhwD))
        return out_BhwD


class Perceptron(nn.Module):
    """Two layers with GELU between them."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., D) -> the same."""
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Attention(nn.Module):
    """Every place of a grid looks at every place of it, and minds how far apart they are.

    Logits are ``q k / sqrt(E) + q Th[i - u] + q Tw[j - v]`` from place (i, j) to place (u, v),
    with tables for rows and columns that all heads share.

    Args:
        width: of a token.
        heads: of the attention.
        side: of the grids the tables were trained on.
        window: side of the squares the grid is cut into; 0 leaves it whole.
    """

    def __init__(self, width: int, heads: int, side: int, window: int = 0) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rows = nn.Parameter(torch.empty(2 * side - 1, width // heads))
        self.columns = nn.Parameter(torch.empty(2 * side - 1, width // heads))

    def forward(self, x_BhwD: Tensor) -> Tensor:
        """(B, h, w, D) -> the same."""
        high, wide = x_BhwD.shape[1:3]
        qkv_BhwX = self.qkv(x_BhwD)
        if self.window:
            # Squares at the edges are filled up with zeros, of which this makes the bias. They are
            # attended to like everything else: there is no mask.
            squares_NSSX = windows(qkv_BhwX, self.window, self.qkv.bias)
            seen_BhwD = joined(self._attend(squares_NSSX), high, wide)
        else:
            seen_BhwD = self._attend(qkv_BhwX)
        out_BhwD: Tensor = self.proj(seen_BhwD)
        return out_BhwD

    def _attend(self, qkv_BhwX: Tensor) -> Tensor:
        """Queries, keys and values of grids, one after another (B, h, w, 3 D) -> (B, h, w, D)."""
        count, high, wide, _ = qkv_BhwX.shape
        qkv_BL3AE = qkv_BhwX.reshape(count, high * wide, 3, self.heads, -1)
        q_BALE, k_BALE, v_BALE = qkv_BL3AE.permute(2, 0, 3, 1, 4)
        rows_huE, columns_wvE = relative(self.rows, high), relative(self.columns, wide)
        seen_BLAE = qkv_BL3AE.new_empty(qkv_BL3AE[:, :, 0].shape)
        # The biases of all queries at once would be most of the memory GRiT needs.
        most = CPU_BIASES if qkv_BhwX.device.type == "cpu" else GPU_BIASES
        at_once = max(1, most // (count * self.heads * high * wide**2))
        for top in range(0, high, at_once):
            here = slice(top * wide, (top + at_once) * wide)
            q_BAQE = q_BALE[:, :, here]
            q_BArwE = q_BAQE.reshape(count, self.heads, -1, wide, q_BAQE.shape[-1])
            by_row_BArwu = torch.einsum("barwe,rue->barwu", q_BArwE, rows_huE[top : top + at_once])
            by_column_BArwv = torch.einsum("barwe,wve->barwv", q_BArwE, columns_wvE)
            bias_BArwuv = by_row_BArwu[..., None] + by_column_BArwv[..., None, :]
            bias_BAQL = bias_BArwuv.flatten(4).flatten(2, 3)
            seen_BAQE = F.scaled_dot_product_attention(q_BAQE, k_BALE, v_BALE, bias_BAQL)
            seen_BLAE[:, here] = seen_BAQE.transpose(1, 2)
        return seen_BLAE.view(count, high, wide, -1)


def relative(table_PE: Tensor, size: int) -> Tensor:
    """Entry i - u of a table of relative positions, for all i and u below `size`: (i, u, E).

    A table of another length than ``2 size - 1`` is stretched or shrunk first.
    """
    length = 2 * size - 1
    if len(table_PE) != length:
        table_PE = F.interpolate(table_PE.T[None], length, mode="linear")[0].T
    at_S = torch.arange(size, device=table_PE.device)
    return table_PE[at_S[:, None] - at_S + size - 1]


def windows(x_BhwX: Tensor, side: int, filling_X: Tensor) -> Tensor:
    """Squares of a grid, row by row, those of the first picture first: (N, side, side, X).

    The grid is extended to the right and to the bottom, with `filling_X`, to whole squares.
    """
    count, high, wide, length = x_BhwX.shape
    rows, columns = -(-high // side), -(-wide // side)
    filled_BhwX = filling_X.expand(count, rows * side, columns * side, length).clone()
    filled_BhwX[:, :high, :wide] = x_BhwX
    squares_BrScSX = filled_BhwX.view(count, rows, side, columns, side, length)
    return squares_BrScSX.transpose(2, 3).flatten(0, 2)


def joined(squares_NSSX: Tensor, high: int, wide: int) -> Tensor:
    """The grids (B, high, wide, X) that `windows` cut."""
    _, side, _, length = squares_NSSX.shape
    rows, columns = -(-high // side), -(-wide // side)
    squares_BrcSSX = squares_NSSX.view(-1, rows, columns, side, side, length)
    filled_BhwX = squares_BrcSSX.transpose(2, 3).flatten(3, 4).flatten(1, 2)
    return filled_BhwX[:, :high, :wide]


class Pyramid(nn.Module):
    """The encoder and five maps of what it saw, each half the size of the one before.

    Sizes round up.
    """

    def __init__(self, shape: EncoderShape) -> None:
        super().__init__()
        width, channels = shape.width, shape.channels
        self.encoder = Encoder(shape)
        self.finer = nn.ConvTranspose2d(width, width, 2, 2, bias=False)
        self.lateral8 = Lateral(width, channels)
        self.lateral16 = Lateral(width, channels)
        self.lateral32 = Lateral(width, channels)
        self.p6 = nn.Conv2d(channels, channels, 3, 2, 1)
        self.p7 = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, images_BCHW: Tensor) -> list[Tensor]:
        """Images whose sides are multiples of 32 -> maps (B, C, h, w) of `STRIDES`."""
        seen_BDhw = self.encoder(images_BCHW).permute(0, 3, 1, 2)
        p3_BChw = self.lateral8(self.finer(seen_BDhw))
        p4_BChw = self.lateral16(seen_BDhw)
        p5_BChw = self.lateral32(F.max_pool2d(seen_BDhw, 2))
        p6_BChw = self.p6(p5_BChw)
        p7_BChw = self.p7(p6_BChw.relu())
        return [p3_BChw, p4_BChw, p5_BChw, p6_BChw, p7_BChw]


class Lateral(nn.Module):
    """Two convolutions, each normalised over channels."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, channels, 1, bias=False)
        self.norm1 = nn.LayerNorm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.LayerNorm(channels)

    def forward(self, x_BDhw: Tensor) -> Tensor:
        """(B, D, h, w) -> (B, C, h, w)."""
        y_BhwC = self.norm1(self.conv1(x_BDhw).permute(0, 2, 3, 1))
        y_BhwC = self.norm2(self.conv2(y_BhwC.permute(0, 3, 1, 2)).permute(0, 2, 3, 1))
        map_BChw: Tensor = y_BhwC.permute(0, 3, 1, 2)
        return map_BChw


PUBLISHED_NAMES = (
    ("encoder.", "bottom_up."),
    (".patches.", ".patch_embed.proj."),
    (".positions", ".pos_embed"),
    (".rows", ".rel_pos_h"),
    (".columns", ".rel_pos_w"),
    ("finer.", "fpn_stride_16_8."),
    ("lateral8.", "fpn_stride8_"),
    ("lateral16.", "fpn_stride16_"),
    ("lateral32.", "fpn_stride32_"),
    ("p6.", "top_block.p6."),
    ("p7.", "top_block.p7."),
)
"""Parts of our names and of the checkpoint's, to be replaced in this order."""
