"""Hyper-parameters of the Vchitect-2.0 transformer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """The keys of the published `transformer/config.json`; the defaults are the 2B model's.

    Attributes:
        sample_size: side of the training latents; positions are spread as if pictures had it.
        patch_size: side of the square of latents that becomes one token.
        in_channels: of a latent.
        num_layers: blocks.
        attention_head_dim: numbers per head.
        num_attention_heads: heads of every branch.
        joint_attention_dim: numbers per text token.
        caption_projection_dim: numbers per token inside; heads times head size.
        pooled_projection_dim: numbers that sum up a prompt.
        out_channels: of the predicted velocity.
        pos_embed_max_size: patches per side that the stored table of positions covers.
        rope_scaling_factor: frame numbers are divided by it before they rotate; 1 as trained.

    Raises:
        ValueError: numbers that no transformer can have.
    """

    sample_size: int = 128
    patch_size: int = 2
    in_channels: int = 16
    num_layers: int = 24
    attention_head_dim: int = 64
    num_attention_heads: int = 24
    joint_attention_dim: int = 4096
    caption_projection_dim: int = 1536
    pooled_projection_dim: int = 2048
    out_channels: int = 16
    pos_embed_max_size: int = 192
    rope_scaling_factor: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            kinds = (int, float) if field.name == "rope_scaling_factor" else int
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < 1e9:
                raise ValueError(f"{field.name} {value!r} is not possible")
        if self.caption_projection_dim != self.dim:
            raise ValueError(
                f"caption_projection_dim {self.caption_projection_dim} is not"
                f" {self.num_attention_heads} heads of {self.attention_head_dim}"
            )
        if self.dim % 4 or self.attention_head_dim % 2:
            raise ValueError("positions need channels in fours, rotation needs pairs in a head")

    @property
    def dim(self) -> int:
        """Numbers per token inside."""
        return self.num_attention_heads * self.attention_head_dim

    @classmethod
    def from_published(cls, published: Mapping[str, Any]) -> Self:
        """The config of a `config.json`: unknown keys are ignored, absent ones are the 2B model's.

        Raises:
            ValueError: a value no transformer can have.
        """
        known = {field.name for field in fields(cls)}
        return cls(**{key: value for key, value in published.items() if key in known})
