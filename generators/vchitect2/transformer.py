"""The Vchitect-2.0 transformer: predicts the velocity of noisy video latents.

Stable Diffusion 3's two-stream transformer, run on every frame, with a cross and a temporal branch
beside the spatial attention of each block. Modules bear the names of the published checkpoint,
except for layers that are fused or renamed here (`checkpoint.py` has the map).

Source: Fan et al., "Vchitect-2.0: Parallel Transformer for Scaling Up Video Diffusion Models",
arXiv 2501.08453; checkpoint Vchitect/Vchitect-2.0-2B.

Shapes: F frames, B prompts, L video tokens of a frame, S text tokens, D numbers per token inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.embeddings import CombinedTimestepTextProjEmbeddings, PatchEmbed
from torch import Tensor, nn

from vbench_long.generators.vchitect2.attention import (
    Frames,
    ParallelAttention,
    WholeVideo,
    rotation,
)
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.products import Linear, linear_gelu


class Steering(nn.Module):
    """What time and prompt have to say about tokens: shifts, scales and gates, each (B, 1, D)."""

    def __init__(self, dim: int, parts: int) -> None:
        super().__init__()
        self.parts = parts
        self.linear = Linear(dim, parts * dim)

    def forward(self, temb_BD: Tensor) -> tuple[Tensor, ...]:
        """The parts, in the order of the published weights."""
        out: Tensor = self.linear(F.silu(temb_BD))
        return out[:, None].chunk(self.parts, -1)


class FeedForward(nn.Module):
    """Each token by itself: widened to four times its numbers, bent, narrowed."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.widen = Linear(dim, 4 * dim)
        self.narrow = Linear(4 * dim, dim)

    def forward(self, x_FBLD: Tensor) -> Tensor:
        """Tokens -> what is added to them, (F, B, L, D)."""
        out_FBLD: Tensor = self.narrow(linear_gelu(x_FBLD, self.widen.weight, self.widen.bias))
        return out_FBLD


class Block(nn.Module):
    """Attention, then a feed-forward, on video and text tokens; both steered by time and prompt.

    Args:
        dim: numbers per token.
        heads: of each attention branch.
        first: text comes as one frame that stands for all.
        last: nobody reads the text after this block, so it stays as it is.
    """

    def __init__(self, dim: int, heads: int, first: bool, last: bool) -> None:
        super().__init__()
        self.norm1 = Steering(dim, 6)
        self.norm1_context = Steering(dim, 2 if last else 6)
        self.attn = ParallelAttention(dim, heads, first, last)
        self.ff = FeedForward(dim)
        self.ff_context = None if last else FeedForward(dim)

    def forward(
        self,
        x_FBLD: Tensor,
        c_FBSD: Tensor,
        temb_BD: Tensor,
        rotation_2F111d: Tensor,
        frames: Frames,
    ) -> tuple[Tensor, Tensor]:
        """Video tokens (F, B, L, D) and text tokens (F, B, S, D) after this block."""
        shift_x, scale_x, gate_x, *mlp_x = self.norm1(temb_BD)
        to_x_FBLD = steered(x_FBLD, shift_x, scale_x)
        if self.ff_context is None:
            scale_c, shift_c = self.norm1_context(temb_BD)  # The other way round than elsewhere.
            to_c_FBSD = steered(c_FBSD, shift_c, scale_c)
            a_x, _ = self.attn(to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
            x_FBLD = torch.addcmul(x_FBLD, gate_x, a_x)
            return feed(self.ff, x_FBLD, *mlp_x), c_FBSD
        shift_c, scale_c, gate_c, *mlp_c = self.norm1_context(temb_BD)
        to_c_FBSD = steered(c_FBSD, shift_c, scale_c)
        a_x, a_c = self.attn(to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
        x_FBLD = torch.addcmul(x_FBLD, gate_x, a_x)
        c_FBSD = torch.addcmul(c_FBSD, gate_c, a_c)
        return feed(self.ff, x_FBLD, *mlp_x), feed(self.ff_context, c_FBSD, *mlp_c)


def steered(x_FBLD: Tensor, shift_B1D: Tensor, scale_B1D: Tensor) -> Tensor:
    """Normed tokens, scaled and shifted."""
    normed_FBLD = F.layer_norm(x_FBLD, x_FBLD.shape[-1:], eps=1e-6)
    return torch.addcmul(shift_B1D, normed_FBLD, 1 + scale_B1D)


def feed(
    network: nn.Module, x_FBLD: Tensor, shift_B1D: Tensor, scale_B1D: Tensor, gate_B1D: Tensor
) -> Tensor:
    """Tokens and what a feed-forward network adds to them."""
    return torch.addcmul(x_FBLD, gate_B1D, network(steered(x_FBLD, shift_B1D, scale_B1D)))


class Stack(Protocol):
    """A way to run blocks: in pieces, from slow memory, or not all of them."""

    def __call__(
        self,
        blocks: Iterable[nn.Module],
        x_FBLD: Tensor,
        c_FBSD: Tensor,
        temb_BD: Tensor,
        rotation_2F111d: Tensor,
        frames: Frames,
        /,
    ) -> tuple[Tensor, Tensor]:
        """Video tokens (F, B, L, D) and text tokens (F, B, S, D) after all `blocks`."""
        ...


def in_order(
    blocks: Iterable[nn.Module],
    x_FBLD: Tensor,
    c_FBSD: Tensor,
    temb_BD: Tensor,
    rotation_2F111d: Tensor,
    frames: Frames,
) -> tuple[Tensor, Tensor]:
    """The plain way: one block after the other."""
    for block in blocks:
        x_FBLD, c_FBSD = block(x_FBLD, c_FBSD, temb_BD, rotation_2F111d, frames)
    return x_FBLD, c_FBSD


class Transformer(nn.Module):
    """Noisy latents, time and prompt -> velocity (noise less data).

    Args:
        config: its size; the default is the published 2B model's.
    """

    def __init__(self, config: TransformerConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or TransformerConfig()
        self.pos_embed = PatchEmbed(
            height=config.sample_size,
            width=config.sample_size,
            patch_size=config.patch_size,
            in_channels=config.in_channels,
            embed_dim=config.dim,
            pos_embed_max_size=config.pos_embed_max_size,
        )
        self.time_text_embed = CombinedTimestepTextProjEmbeddings(
            config.dim, config.pooled_projection_dim
        )
        self.context_embedder = Linear(config.joint_attention_dim, config.dim)
        last = config.num_layers - 1
        self.transformer_blocks = nn.ModuleList(
            Block(config.dim, config.num_attention_heads, number == 0, number == last)
            for number in range(config.num_layers)
        )
        self.norm_out = Steering(config.dim, 2)
        self.proj_out = Linear(config.dim, config.patch_size**2 * config.out_channels)

    def forward(
        self,
        latents_BFCHW: Tensor,
        timestep_B: Tensor,
        text_BSE: Tensor,
        pooled_BP: Tensor,
        frames: Frames | None = None,
        stack: Stack | None = None,
    ) -> Tensor:
        """Velocity of the latents, (B, F, C, H, W).

        Args:
            latents_BFCHW: noisy latents; H and W in latents, an eighth of the pixels.
            timestep_B: 1000 (noise) .. 0 (data).
            text_BSE: token features of the prompts.
            pooled_BP: summaries of the prompts.
            frames: where the frames of the video are, if not all here.
            stack: how the blocks are run, if not simply one after the other.

        Raises:
            ValueError: no frames, or sides that do not fit patches or the table of positions.
        """
        self.require_fit(latents_BFCHW)
        frames = frames or WholeVideo(latents_BFCHW.shape[1])
        x_FBLD, c_FBSD, temb_BD = self.embed(latents_BFCHW, timestep_B, text_BSE, pooled_BP)
        rotation_2F111d = self.rotation(frames, x_FBLD.device)
        run = stack or in_order
        x_FBLD, _ = run(self.transformer_blocks, x_FBLD, c_FBSD, temb_BD, rotation_2F111d, frames)
        return self.unembed(x_FBLD, temb_BD, latents_BFCHW.shape[-2:])

    def require_fit(self, latents_BFCHW: Tensor) -> None:
        """Refuse shapes that the reference would cut or crash on."""
        patch, most = self.config.patch_size, self.config.pos_embed_max_size
        _, frames, _, *sides = latents_BFCHW.shape
        if frames < 1:
            raise ValueError("a video needs a frame")
        for side in sides:
            if side < patch or side % patch or side // patch > most:
                raise ValueError(f"{side} latents are not 1..{most} patches of {patch}")

    def embed(
        self, latents_BFCHW: Tensor, timestep_B: Tensor, text_BSE: Tensor, pooled_BP: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Video tokens (F, B, L, D), text tokens (1, B, S, D), time and prompt (B, D)."""
        latents_FBCHW = latents_BFCHW.transpose(0, 1)
        count = latents_FBCHW.shape[:2]
        x_FBLD = self.pos_embed(latents_FBCHW.flatten(0, 1)).unflatten(0, count)
        c_1BSD = self.context_embedder(text_BSE)[None]
        return x_FBLD, c_1BSD, self.time_text_embed(timestep_B, pooled_BP)

    def rotation(self, frames: Frames, device: torch.device) -> Tensor:
        """What places the frames that are here in time."""
        config = self.config
        return rotation(
            frames.numbers, config.rope_scaling_factor, config.attention_head_dim, device
        )

    def unembed(self, x_FBLD: Tensor, temb_BD: Tensor, size: torch.Size) -> Tensor:
        """Video tokens -> velocity (B, F, C, H, W)."""
        patch = self.config.patch_size
        rows, columns = size[0] // patch, size[1] // patch
        scale_x, shift_x = self.norm_out(temb_BD)
        out_FBLO: Tensor = self.proj_out(steered(x_FBLD, shift_x, scale_x))
        out_FBhwpqC = out_FBLO.view(*x_FBLD.shape[:2], rows, columns, patch, patch, -1)
        return out_FBhwpqC.permute(1, 0, 6, 2, 4, 3, 5).flatten(5).flatten(3, 4)
