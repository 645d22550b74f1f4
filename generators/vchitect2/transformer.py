"""The Vchitect-2.0 transformer: predicts the velocity of noisy video latents.

Stable Diffusion 3's two-stream transformer, run on every frame, with a cross and a temporal branch
beside the spatial attention of each block. Modules bear the names of the published checkpoint,
except for projections that are fused here (`checkpoint.py` has the map).

Source: Fan et al., "Vchitect-2.0: Parallel Transformer for Scaling Up Video Diffusion Models",
arXiv 2501.08453; checkpoint Vchitect/Vchitect-2.0-2B.

Shapes: F frames, B prompts, L video tokens of a frame, S text tokens, D numbers per token inside.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
import torch.nn.functional as F  # noqa: N812
from diffusers.models.attention import FeedForward
from diffusers.models.embeddings import CombinedTimestepTextProjEmbeddings, PatchEmbed
from diffusers.models.normalization import AdaLayerNormContinuous, AdaLayerNormZero
from torch import Tensor, nn

from vbench_long.generators.vchitect2.attention import (
    Frames,
    ParallelAttention,
    WholeVideo,
    rotation,
)
from vbench_long.generators.vchitect2.config import TransformerConfig


class Block(nn.Module):
    """Attention, then a feed-forward, on video and text tokens; both steered by time and prompt.

    Args:
        dim: numbers per token.
        heads: of each attention branch.
        last: nobody reads the text after this block, so it stays as it is.
    """

    def __init__(self, dim: int, heads: int, last: bool) -> None:
        super().__init__()
        self.norm1 = AdaLayerNormZero(dim)
        self.norm1_context = adaptive_norm(dim) if last else AdaLayerNormZero(dim)
        self.attn = ParallelAttention(dim, heads, last)
        self.ff = FeedForward(dim, dim, activation_fn="gelu-approximate")
        self.ff_context = None if last else FeedForward(dim, dim, activation_fn="gelu-approximate")

    def forward(
        self,
        x_FBLD: Tensor,
        c_FBSD: Tensor,
        temb_BD: Tensor,
        rotation_2F111d: Tensor,
        frames: Frames,
    ) -> tuple[Tensor, Tensor]:
        """Video tokens (F, B, L, D) and text tokens (F, B, S, D) after this block."""
        to_x_FBLD, gate_x, *mlp_x = self.norm1(x_FBLD, emb=temb_BD)
        if self.ff_context is None:
            to_c_FBSD = self.norm1_context(c_FBSD, temb_BD)
            a_x, _ = self.attn(to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
            return feed(x_FBLD + gate_x[:, None] * a_x, self.ff, *mlp_x), c_FBSD
        to_c_FBSD, gate_c, *mlp_c = self.norm1_context(c_FBSD, emb=temb_BD)
        a_x, a_c = self.attn(to_x_FBLD, to_c_FBSD, rotation_2F111d, frames)
        return (
            feed(x_FBLD + gate_x[:, None] * a_x, self.ff, *mlp_x),
            feed(c_FBSD + gate_c[:, None] * a_c, self.ff_context, *mlp_c),
        )


def feed(
    x_FBLD: Tensor, network: nn.Module, shift_BD: Tensor, scale_BD: Tensor, gate_BD: Tensor
) -> Tensor:
    """Tokens plus what a steered feed-forward network makes of them."""
    normed_FBLD = F.layer_norm(x_FBLD, x_FBLD.shape[-1:], eps=1e-6)
    steered_FBLD = normed_FBLD * (1 + scale_BD[:, None]) + shift_BD[:, None]
    added: Tensor = gate_BD[:, None] * network(steered_FBLD)
    return x_FBLD + added


def adaptive_norm(dim: int) -> AdaLayerNormContinuous:
    """A norm whose scale and shift come from the embedding of time and prompt."""
    return AdaLayerNormContinuous(dim, dim, elementwise_affine=False, eps=1e-6)


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
        self.context_embedder = nn.Linear(config.joint_attention_dim, config.dim)
        self.transformer_blocks = nn.ModuleList(
            Block(config.dim, config.num_attention_heads, last=number == config.num_layers - 1)
            for number in range(config.num_layers)
        )
        self.norm_out = adaptive_norm(config.dim)
        self.proj_out = nn.Linear(config.dim, config.patch_size**2 * config.out_channels)

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
        """Video tokens (F, B, L, D), text tokens (F, B, S, D), time and prompt (B, D)."""
        latents_FBCHW = latents_BFCHW.transpose(0, 1)
        count = latents_FBCHW.shape[:2]
        x_FBLD = self.pos_embed(latents_FBCHW.flatten(0, 1)).unflatten(0, count)
        c_FBSD = self.context_embedder(text_BSE).expand(count[0], -1, -1, -1)
        return x_FBLD, c_FBSD, self.time_text_embed(timestep_B, pooled_BP)

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
        out_FBLO: Tensor = self.proj_out(self.norm_out(x_FBLD, temb_BD))
        out_FBhwpqC = out_FBLO.view(*x_FBLD.shape[:2], rows, columns, patch, patch, -1)
        return out_FBhwpqC.permute(1, 0, 6, 2, 4, 3, 5).flatten(5).flatten(3, 4)
