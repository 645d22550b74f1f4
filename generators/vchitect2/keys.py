"""Our names of the transformer's tensors and the published ones.

They are the same, except that projections of the same tokens are one tensor here, and that some
layers are not called by their places in a list.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

PUBLISHED = {
    "to_video": ("to_q", "to_k", "to_v", "to_q_temp", "to_k_temp", "to_v_temp", "to_q_cross"),
    "to_text": ("add_q_proj", "add_k_proj", "add_v_proj"),
    "to_out": ("to_out.0",),
    "widen": ("net.0.proj",),
    "narrow": ("net.2",),
}
"""A layer of ours that is called otherwise -> the published ones whose rows it stacks."""

VIDEO_PROJECTIONS = (
    *("to_q_temp", "to_k_temp", "to_v_temp", "to_out_temporal", "to_add_out_temporal"),
    *("to_q_cross", "to_out_context"),
)
"""Published projections that Stable Diffusion 3, the image model it grew from, does not have."""


def published_keys(key: str) -> tuple[str, ...]:
    """The published keys whose tensors, stacked by rows, are tensor `key` of `Transformer`."""
    module, _, tensor = key.rpartition(".")
    parent, _, name = module.rpartition(".")
    if name not in PUBLISHED:
        return (key,)
    return tuple(f"{parent}.{part}.{tensor}" for part in PUBLISHED[name])


def to_published(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state dict of `Transformer` under the published keys; the tensors are views."""
    published: dict[str, Tensor] = {}
    for key, tensor in state.items():
        names = published_keys(key)
        published.update(zip(names, tensor.chunk(len(names)), strict=True))
    return published


def from_published(published: Mapping[str, Tensor], own: Mapping[str, object]) -> dict[str, Tensor]:
    """The tensors under our keys, which are those of `own`."""
    return {key: stacked([published[name] for name in published_keys(key)]) for key in own}


def stacked(parts: list[Tensor]) -> Tensor:
    """Parts of a tensor, by rows; the part itself if it is one."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def is_video_projection(key: str) -> bool:
    """Whether a published key is of a projection that image models lack."""
    return key.split(".")[-2] in VIDEO_PROJECTIONS if "." in key else False
