"""The arithmetic of Vchitect-2.0 written the simplest way, from the published tensors.

One prompt; every projection by itself; the last block's text computed although nobody reads it;
what depends on the prompt alone computed again for every frame. It checks the fast one, and the
benchmark times it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from vbench_long.generators.vchitect2.config import TransformerConfig

Tensors = Mapping[str, Tensor]
product = F.linear  # The benchmark also puts a faster one here.


def naive_velocity(
    tensors: Tensors,
    config: TransformerConfig,
    latents_FCHW: Tensor,
    timestep: Tensor,
    text_SE: Tensor,
    pooled_P: Tensor,
) -> Tensor:
    """The velocity of one video's latents, (F, C, H, W)."""
    frames, _, height, width = latents_FCHW.shape
    rows, columns = height // 2, width // 2
    x = F.conv2d(latents_FCHW, *pair(tensors, "pos_embed.proj"), stride=2).flatten(2).mT
    side = config.pos_embed_max_size
    table = tensors["pos_embed.pos_embed"].view(side, side, -1)
    top, left = (side - rows) // 2, (side - columns) // 2
    x = x + table[top : top + rows, left : left + columns].flatten(0, 1)
    temb = embed(tensors, "timestep_embedder", sinusoid(timestep)) + embed(
        tensors, "text_embedder", pooled_P
    )
    temb = temb.expand(frames, -1)
    c = linear(tensors, "context_embedder", text_SE).expand(frames, -1, -1)
    for number in range(config.num_layers):
        x, c = block(tensors, f"transformer_blocks.{number}", config, x, c, temb)
    scale, shift = linear(tensors, "norm_out.linear", F.silu(temb)).chunk(2, -1)
    out = linear(tensors, "proj_out", norm(x) * (1 + scale[:, None]) + shift[:, None])
    return torch.einsum("fhwpqc->fchpwq", out.view(frames, rows, columns, 2, 2, -1)).reshape(
        frames, -1, height, width
    )


def block(
    tensors: Tensors, name: str, config: TransformerConfig, x: Tensor, c: Tensor, temb: Tensor
) -> tuple[Tensor, Tensor]:
    last = f"{name}.ff_context.net.2.weight" not in tensors
    parts_x = [
        p[:, None] for p in linear(tensors, f"{name}.norm1.linear", F.silu(temb)).chunk(6, -1)
    ]
    parts_c = [
        p[:, None]
        for p in linear(tensors, f"{name}.norm1_context.linear", F.silu(temb)).chunk(
            2 if last else 6, -1
        )
    ]
    shift, scale = (parts_c[1], parts_c[0]) if last else (parts_c[0], parts_c[1])
    a_x, a_c = attention(
        tensors,
        f"{name}.attn",
        config,
        norm(x) * (1 + parts_x[1]) + parts_x[0],
        norm(c) * (1 + scale) + shift,
    )
    x = x + parts_x[2] * a_x
    x = x + parts_x[5] * feed(tensors, f"{name}.ff", norm(x) * (1 + parts_x[4]) + parts_x[3])
    if last:
        return x, c
    c = c + parts_c[2] * a_c
    c = c + parts_c[5] * feed(
        tensors, f"{name}.ff_context", norm(c) * (1 + parts_c[4]) + parts_c[3]
    )
    return x, c


def attention(
    tensors: Tensors, name: str, config: TransformerConfig, x: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    frames, length, dim = x.shape
    heads = config.num_attention_heads

    def of(projection: str, tokens: Tensor) -> Tensor:
        return linear(tensors, f"{name}.{projection}", tokens)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (t.unflatten(-1, (heads, -1)).transpose(-3, -2) for t in (q, k, v))
        out = F.scaled_dot_product_attention(q, k, v)
        return out.transpose(-3, -2).flatten(-2)

    q_c, k_c, v_c = of("add_q_proj", c), of("add_k_proj", c), of("add_v_proj", c)
    q, k, v = (of(f"to_{part}", x) for part in "qkv")
    space = attend(torch.cat([q, q_c], 1), torch.cat([k, k_c], 1), torch.cat([v, v_c], 1))
    questions = torch.cat([of("to_q_cross", x), q_c], 1).view(1, -1, dim)
    cross = attend(questions, k_c[:1], v_c[:1]).view(frames, -1, dim)
    q, k, v = (of(f"to_{part}_temp", x) for part in "qkv")
    time = attend(
        turn(torch.cat([q, q_c], 1), config).transpose(0, 1),
        turn(torch.cat([k, k_c], 1), config).transpose(0, 1),
        torch.cat([v, v_c], 1).transpose(0, 1),
    ).transpose(0, 1)
    merged = 1.1 * space + of("to_out_context", cross)
    factor = 0 if frames == 1 else 1
    a_x = of("to_out.0", merged[:, :length])
    a_x = a_x + factor * of("to_out_temporal", time[:, :length])
    if f"{name}.to_add_out.weight" not in tensors:
        return a_x, of("to_add_out_temporal", time[:, length:])
    a_c = of("to_add_out", merged[:, length:])
    return a_x, a_c + factor * of("to_add_out_temporal", time[:, length:])


def turn(tokens: Tensor, config: TransformerConfig) -> Tensor:
    """Rotary positions of frames, as products of complex numbers."""
    size = config.attention_head_dim
    rates = 1e6 ** (-torch.arange(0, size, 2, device=tokens.device) / size)
    numbers = torch.arange(len(tokens), device=tokens.device) / config.rope_scaling_factor
    angles = torch.outer(numbers, rates)[:, None, None]
    pairs = tokens.float().view(*tokens.shape[:2], -1, size // 2, 2)
    turned = torch.view_as_complex(pairs) * torch.polar(torch.ones_like(angles), angles)
    return torch.view_as_real(turned).view(tokens.shape).to(tokens)


def feed(tensors: Tensors, name: str, tokens: Tensor) -> Tensor:
    inner = F.gelu(linear(tensors, f"{name}.net.0.proj", tokens), approximate="tanh")
    return linear(tensors, f"{name}.net.2", inner)


def embed(tensors: Tensors, name: str, values: Tensor) -> Tensor:
    inner = F.silu(linear(tensors, f"time_text_embed.{name}.linear_1", values))
    return linear(tensors, f"time_text_embed.{name}.linear_2", inner)


def sinusoid(timestep: Tensor) -> Tensor:
    rates = torch.exp(-math.log(10_000) * torch.arange(128, device=timestep.device) / 128)
    return torch.cat([(timestep * rates).cos(), (timestep * rates).sin()])


def norm(tokens: Tensor) -> Tensor:
    return F.layer_norm(tokens, tokens.shape[-1:], eps=1e-6)


def linear(tensors: Tensors, name: str, tokens: Tensor) -> Tensor:
    return product(tokens, *pair(tensors, name))


def pair(tensors: Tensors, name: str) -> tuple[Tensor, Tensor]:
    return tensors[f"{name}.weight"], tensors[f"{name}.bias"]
