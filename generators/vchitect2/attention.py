"""Attention of a Vchitect-2.0 block: three branches side by side over one set of tokens.

Shapes: F frames, B prompts, L video tokens of a frame, S text tokens, H heads, d numbers per head,
D = H d. Frames come first: a frame with its prompt (F B) and a token slot with its prompt (B L)
are then both batches that need no copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from vbench_long.products import Linear

ROPE_BASE = 1e6
SPATIAL_GAIN = 1.1  # The published model was trained with it.


class Frames(Protocol):
    """Where the frames of a video are, and how those that are here meet the others.

    Attributes:
        total: frames of the whole video.
        numbers: of the frames that are here, in their order.
    """

    @property
    def total(self) -> int: ...  # noqa: D102

    @property
    def numbers(self) -> range: ...  # noqa: D102

    def of_first(self, tensor_FBSHd: Tensor) -> Tensor:
        """What the video's first frame has: (F, B, S, H, d) of the frames here -> (B, S, H, d)."""
        ...

    def attend(self, q_FBLHd: Tensor, k_FBLHd: Tensor, v_FBLHd: Tensor) -> Tensor:
        """Every token slot attends over all frames of the video: (F, B, L, D) of those here."""
        ...

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum of what each part of the video has."""
        ...


@dataclass(frozen=True, slots=True)
class WholeVideo:
    """All frames are here."""

    total: int

    @property
    def numbers(self) -> range:
        """Of the frames here: all."""
        return range(self.total)

    def of_first(self, tensor_FBSHd: Tensor) -> Tensor:
        """What the first frame has."""
        return tensor_FBSHd[0]

    def attend(self, q_FBLHd: Tensor, k_FBLHd: Tensor, v_FBLHd: Tensor) -> Tensor:
        """Attention over frames, a token slot being a batch."""
        q_THFd, k_THFd, v_THFd = (
            tensor.flatten(1, 2).permute(1, 2, 0, 3) for tensor in (q_FBLHd, k_FBLHd, v_FBLHd)
        )
        out_THFd = F.scaled_dot_product_attention(q_THFd, k_THFd, v_THFd)
        return out_THFd.permute(2, 0, 1, 3).reshape(*q_FBLHd.shape[:3], -1)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over the only part."""
        return tensor


def rotation(numbers: range, scaling: float, head_dim: int, device: torch.device) -> Tensor:
    """Cosines and sines that place frames in time: (2, F, 1, 1, 1, d / 2), float32."""
    frames_F = torch.arange(numbers.start, numbers.stop, device=device, dtype=torch.float32)
    pairs = torch.arange(0, head_dim, 2, device=device, dtype=torch.float32)
    angles = torch.outer(frames_F / scaling, ROPE_BASE ** (-pairs / head_dim))
    return torch.stack([angles.cos(), angles.sin()])[:, :, None, None, None]


def rotated(tensor_FBLHd: Tensor, rotation_2F111d: Tensor) -> Tensor:
    """Turn each pair of neighbouring numbers by its frame's angle, computed in float32."""
    cos, sin = rotation_2F111d
    pairs = tensor_FBLHd.float().view(*tensor_FBLHd.shape[:-1], -1, 2)
    if torch.compiler.is_compiling():  # Compilers fuse real numbers, and leave complex ones.
        even, odd = pairs.unbind(-1)
        turned = torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1)
    else:
        turned = torch.view_as_real(torch.view_as_complex(pairs) * torch.complex(cos, sin))
    return turned.flatten(-2).to(tensor_FBLHd.dtype)


def attend(q_FBLHd: Tensor, k_FBSHd: Tensor, v_FBSHd: Tensor) -> Tensor:
    """Attention within each frame: (F, B, L, D)."""
    q_NHLd, k_NHSd, v_NHSd = (
        tensor.flatten(0, 1).transpose(1, 2) for tensor in (q_FBLHd, k_FBSHd, v_FBSHd)
    )
    out_NHLd = F.scaled_dot_product_attention(q_NHLd, k_NHSd, v_NHSd)
    return out_NHLd.transpose(1, 2).reshape(*q_FBLHd.shape[:3], -1)


class ParallelAttention(nn.Module):
    """Spatial, cross and temporal attention in parallel.

    One product gives all seven projections of the video tokens, another the three of the text
    tokens, which every branch shares. In the order of the outputs:

    `to_video`: query, key, value of the spatial branch, of the temporal branch, cross query;
    `to_text`: query, key, value.

    Args:
        dim: numbers per token.
        heads: of each branch.
        first: text comes as one frame that stands for all, which saves work.
        last: nobody reads the text after this block, so it is not computed.
    """

    def __init__(self, dim: int, heads: int, first: bool, last: bool) -> None:
        super().__init__()
        self.heads, self.first = heads, first
        self.to_video = Linear(dim, 7 * dim)
        self.to_text = Linear(dim, 3 * dim)
        self.to_out = Linear(dim, dim)
        self.to_out_context = Linear(dim, dim)
        self.to_out_temporal = Linear(dim, dim)
        self.to_add_out = None if last else Linear(dim, dim)
        # The published file has it in the last block too, where nothing comes of it.
        self.to_add_out_temporal = Linear(dim, dim)

    def forward(
        self, x_FBLD: Tensor, c_FBSD: Tensor, rotation_2F111d: Tensor, frames: Frames
    ) -> tuple[Tensor, Tensor | None]:
        """What attention adds to video tokens (F, B, L, D) and text tokens (F, B, S, D)."""
        count, _, length, _ = x_FBLD.shape
        q_x, k_x, v_x, *time_x, cross_q_x = self.split(self.to_video(x_FBLD), 7)
        q_c, k_c, v_c = self.split(self.to_text(c_FBSD), 3)

        def joint(video_FBLHd: Tensor, text_FBSHd: Tensor) -> Tensor:
            return torch.cat([video_FBLHd, text_FBSHd.expand(count, -1, -1, -1, -1)], 2)

        space_FBND = attend(
            q_x if self.to_add_out is None else joint(q_x, q_c), joint(k_x, k_c), joint(v_x, v_c)
        )
        # The trained model asks the text as the first frame sees it, whichever frame is asking.
        asked = frames.of_first(k_c), frames.of_first(v_c)

        a_x: Tensor = self.to_out(self.still(space_FBND[:, :, :length], cross_q_x, *asked))
        if frames.total > 1:
            a_x = a_x + self.to_out_temporal(self.moving(rotation_2F111d, frames, *time_x))
        if self.to_add_out is None:
            return a_x, None

        a_c: Tensor = self.to_add_out(self.still(space_FBND[:, :, length:], q_c, *asked))
        if frames.total > 1:
            # What attends over equal values gets that value.
            time_c = (
                v_c.flatten(-2)
                if self.first
                else self.moving(rotation_2F111d, frames, q_c, k_c, v_c)
            )
            a_c = a_c + self.to_add_out_temporal(time_c)
        return a_x, a_c

    def split(self, tensor_FBLD: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(F, B, L, parts D) -> parts of (F, B, L, H, d)."""
        return tensor_FBLD.view(*tensor_FBLD.shape[:3], parts, self.heads, -1).unbind(3)

    def still(
        self, space_FBLD: Tensor, q_FBLHd: Tensor, first_k_BSHd: Tensor, first_v_BSHd: Tensor
    ) -> Tensor:
        """The spatial branch and, of its queries, the cross branch: (F, B, L, D)."""
        k_FBSHd, v_FBSHd = (
            first.expand(len(q_FBLHd), *first.shape) for first in (first_k_BSHd, first_v_BSHd)
        )
        cross_FBLD: Tensor = self.to_out_context(attend(q_FBLHd, k_FBSHd, v_FBSHd))
        return torch.add(cross_FBLD, space_FBLD, alpha=SPATIAL_GAIN)

    def moving(
        self,
        rotation_2F111d: Tensor,
        frames: Frames,
        q_FBLHd: Tensor,
        k_FBLHd: Tensor,
        v_FBLHd: Tensor,
    ) -> Tensor:
        """The temporal branch: (F, B, L, D)."""
        q_FBLHd, k_FBLHd = rotated(q_FBLHd, rotation_2F111d), rotated(k_FBLHd, rotation_2F111d)
        return frames.attend(q_FBLHd, k_FBLHd, v_FBLHd)
