"""Ways to run the transformer's blocks: in little memory, from the CPU's memory, with less work.

Shapes: F frames, B prompts, L video tokens of a frame, S text tokens, D numbers per token.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import cast

import torch
from torch import Tensor, nn

from vbench_long.generators.vchitect2.attention import Frames, ParallelAttention, attend
from vbench_long.generators.vchitect2.transformer import Block, Stack, feed, in_order, steered
from vbench_long.products import linear

PIECES = 8


def in_pieces(
    blocks: Iterable[nn.Module],
    x_FBLD: Tensor,
    c_FBSD: Tensor,
    temb_BD: Tensor,
    rotation_2F111d: Tensor,
    frames: Frames,
) -> tuple[Tensor, Tensor]:
    """A `Stack` that takes a few frames, or token slots, at a time: the same in less memory."""
    c_FBSD = c_FBSD.expand(len(x_FBLD), -1, -1, -1)
    for block in blocks:
        x_FBLD, c_FBSD = _block(
            cast(Block, block), x_FBLD, c_FBSD, temb_BD, rotation_2F111d, frames
        )
    return x_FBLD, c_FBSD


def _block(
    block: Block,
    x_FBLD: Tensor,
    c_FBSD: Tensor,
    temb_BD: Tensor,
    rotation_2F111d: Tensor,
    frames: Frames,
) -> tuple[Tensor, Tensor]:
    """What `Block.forward` does."""
    shift_x, scale_x, gate_x, *mlp_x = block.norm1(temb_BD)
    to_x_FBLD = steered(x_FBLD, shift_x, scale_x)
    if block.ff_context is None:
        scale_c, shift_c = block.norm1_context(temb_BD)
        to_c_FBSD = steered(c_FBSD, shift_c, scale_c)
        a_x, _ = _attention(block.attn, to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
    else:
        shift_c, scale_c, gate_c, *mlp_c = block.norm1_context(temb_BD)
        to_c_FBSD = steered(c_FBSD, shift_c, scale_c)
        a_x, a_c = _attention(block.attn, to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
        c_FBSD = torch.addcmul(c_FBSD, gate_c, cast(Tensor, a_c))
        for part in _pieces(len(c_FBSD)):
            c_FBSD[part] = feed(block.ff_context, c_FBSD[part], *mlp_c)
    del to_x_FBLD
    x_FBLD = torch.addcmul(x_FBLD, gate_x, a_x)
    for part in _pieces(len(x_FBLD)):
        x_FBLD[part] = feed(block.ff, x_FBLD[part], *mlp_x)
    return x_FBLD, c_FBSD


def _attention(
    attn: ParallelAttention,
    x_FBLD: Tensor,
    c_FBSD: Tensor,
    rotation_2F111d: Tensor,
    frames: Frames,
) -> tuple[Tensor, Tensor | None]:
    """What `ParallelAttention.forward` does."""
    count, length = len(x_FBLD), x_FBLD.shape[2]
    q_c, k_c, v_c = attn.split(attn.to_text(c_FBSD), 3)
    first = frames.of_first(k_c), frames.of_first(v_c)
    a_x = torch.empty_like(x_FBLD)
    a_c = None if attn.to_add_out is None else torch.empty_like(c_FBSD)

    for part in _pieces(count):
        q_x, k_x, v_x = _projected(attn, x_FBLD[part], 0, 3)
        (cross_q_x,) = _projected(attn, x_FBLD[part], 6, 7)
        space_FBND = attend(
            q_x if attn.to_add_out is None else torch.cat([q_x, q_c[part]], 2),
            torch.cat([k_x, k_c[part]], 2),
            torch.cat([v_x, v_c[part]], 2),
        )
        a_x[part] = attn.to_out(attn.still(space_FBND[:, :, :length], cross_q_x, *first))
        if a_c is not None and attn.to_add_out is not None:
            still_c = attn.still(space_FBND[:, :, length:], q_c[part], *first)
            a_c[part] = attn.to_add_out(still_c)

    if frames.total == 1:
        return a_x, a_c
    for part in _pieces(length):
        qkv_x = _projected(attn, x_FBLD[:, :, part], 3, 6)
        a_x[:, :, part] += attn.to_out_temporal(attn.moving(rotation_2F111d, frames, *qkv_x))
    if a_c is not None:
        for part in _pieces(a_c.shape[2]):
            qkv_c = (text[:, :, part] for text in (q_c, k_c, v_c))
            moving_c = attn.moving(rotation_2F111d, frames, *qkv_c)
            a_c[:, :, part] += attn.to_add_out_temporal(moving_c)
    return a_x, a_c


def _projected(
    attn: ParallelAttention, x_FBLD: Tensor, first: int, last: int
) -> tuple[Tensor, ...]:
    """Some of the seven projections of video tokens."""
    rows = slice(first * x_FBLD.shape[-1], last * x_FBLD.shape[-1])
    out_FBLD = linear(x_FBLD, attn.to_video.weight[rows], attn.to_video.bias[rows])
    return attn.split(out_FBLD, last - first)


def _pieces(length: int) -> list[slice]:
    """`PIECES` parts of a length, or fewer."""
    size = -(-length // PIECES)
    return [slice(start, min(start + size, length)) for start in range(0, length, size)]


class Fetched:
    """A `Stack` for blocks in the CPU's memory: each is on the device only while it works.

    Args:
        device: where blocks work.
        inner: how they are run there.
    """

    def __init__(self, device: torch.device, inner: Stack = in_order) -> None:
        self._device, self._inner = device, inner

    def __call__(
        self,
        blocks: Iterable[nn.Module],
        x_FBLD: Tensor,
        c_FBSD: Tensor,
        temb_BD: Tensor,
        rotation_2F111d: Tensor,
        frames: Frames,
    ) -> tuple[Tensor, Tensor]:
        """See `Stack`."""

        def fetched() -> Iterator[nn.Module]:
            for block in blocks:
                with visiting(block, self._device):
                    yield block

        return self._inner(fetched(), x_FBLD, c_FBSD, temb_BD, rotation_2F111d, frames)


class FirstBlockReuse:
    """A `Stack` that reuses what later blocks added, while the first adds much the same.

    It skips work and changes the video. One object serves one branch of guidance of one video.

    Args:
        threshold: largest change of what the first block adds, relative to its size, at which the
            rest is reused.
        inner: how blocks are run.

    Attributes:
        reused: how often the rest was.
    """

    def __init__(self, threshold: float, inner: Stack = in_order) -> None:
        self._threshold, self._inner = threshold, inner
        self._kept: tuple[Tensor, Tensor] | None = None  # Added by the first block; by the rest.
        self.reused = 0

    def __call__(
        self,
        blocks: Iterable[nn.Module],
        x_FBLD: Tensor,
        c_FBSD: Tensor,
        temb_BD: Tensor,
        rotation_2F111d: Tensor,
        frames: Frames,
    ) -> tuple[Tensor, Tensor]:
        """See `Stack`; the text tokens are those after the first block where the rest is reused."""
        first, *rest = blocks
        others = temb_BD, rotation_2F111d, frames
        first_x, first_c = self._inner([first], x_FBLD, c_FBSD, *others)
        added = first_x - x_FBLD
        if self._kept and _change(self._kept[0], added, frames) < self._threshold:
            self.reused += 1
            return first_x + self._kept[1], first_c
        last_x, last_c = self._inner(rest, first_x, first_c, *others)
        self._kept = added, last_x - first_x
        return last_x, last_c


def _change(before: Tensor, now: Tensor, frames: Frames) -> float:
    """The same in all processes that share the video: they reuse together."""
    sizes = [tensor.abs().sum(dtype=torch.float32) for tensor in (now - before, before)]
    change, size = frames.summed(torch.stack(sizes))
    return float(change / size)


@contextmanager
def visiting(module: nn.Module, device: torch.device) -> Iterator[None]:
    """Have `module` on `device` for a while; its numbers stay where they are, so none come back."""
    tensors = list(chain(module.parameters(), module.buffers()))
    homes = [tensor.data for tensor in tensors]
    try:
        for tensor, home in zip(tensors, homes, strict=True):
            tensor.data = home.to(device, non_blocking=True)
        yield
    finally:
        for tensor, home in zip(tensors, homes, strict=True):
            tensor.data = home
