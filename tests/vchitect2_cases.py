"""Vchitect-2.0 in small: networks with seeded weights, golden numbers, and inputs to them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.keys import from_published, to_published
from vbench_long.generators.vchitect2.tiny import seeded
from vbench_long.generators.vchitect2.transformer import Transformer

GOLDEN = json.loads((Path(__file__).parent / "golden" / "vchitect2.json").read_text())
TINY = TransformerConfig.from_published(GOLDEN["tiny"])


def normals(recipe: Sequence[Any]) -> Tensor:
    """A golden's input: [seed, shape]."""
    seed, shape = recipe
    numbers = np.random.Generator(np.random.PCG64(seed)).standard_normal(shape, np.float32)
    return torch.from_numpy(numbers)


def kept(tensor: Tensor, count: int) -> Tensor:
    """The numbers of an output that a golden keeps."""
    flat = tensor.flatten()
    return flat[:: max(1, len(flat) // count)].float()


def seeded_transformer(config: TransformerConfig = TINY, positions: bool = False) -> Transformer:
    """A transformer with seeded weights; its table of positions too, if `positions`."""
    model = Transformer(config).eval().requires_grad_(False)
    published = to_published(model.state_dict())
    numbers = seeded(published)
    if not positions:
        numbers["pos_embed.pos_embed"] = published["pos_embed.pos_embed"]
    model.load_state_dict(from_published(numbers, model.state_dict()))
    return model


def seeded_vae() -> AutoencoderKL:
    """The autoencoder of the goldens."""
    vae = AutoencoderKL(**GOLDEN["vae"]["config"]).eval().requires_grad_(False)
    vae.load_state_dict(seeded(vae.state_dict(), "vae."))
    return vae


def inputs(case: Mapping[str, Any]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arguments of a forward: latents, time, text, pooled."""
    latents, text, pooled = (normals(case[name]) for name in ("x", "text", "pooled"))
    return latents, torch.tensor([case["timestep"]]), text, pooled


def forward_case(name: str) -> tuple[Transformer, tuple[Tensor, Tensor, Tensor, Tensor]]:
    """A network of the goldens and its arguments."""
    case = GOLDEN["forward"][name]
    config = replace(TINY, rope_scaling_factor=case["rope"])
    return seeded_transformer(config, case["seeded_positions"]), inputs(case)
