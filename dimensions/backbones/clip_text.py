"""CLIP's text towers: what a text says, as one vector."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from open_clip import SimpleTokenizer  # type: ignore[import-untyped]
from timm.layers import QuickGELU
from timm.models.vision_transformer import Block
from torch import Tensor, nn

from vbench_long.dimensions.backbones.base import Compute, TorchBackbone, computing
from vbench_long.dimensions.backbones.clip import openai_key
from vbench_long.dimensions.base import Feature

START, END = 49406, 49407
"""What every text begins and ends with."""


@dataclass(frozen=True, slots=True)
class TextShape:
    """A text tower of CLIP.

    Attributes:
        width: of a token.
        heads: of one block's attention.
        out: length of a feature.
        context: most tokens of a text, beginning and end included.
        depth: blocks.
        words: in the vocabulary.
    """

    width: int
    heads: int
    out: int
    context: int
    depth: int = 12
    words: int = END + 1


class TextTower(nn.Module):
    """A transformer whose tokens see themselves and what stands before them."""

    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(shape.words, shape.width)
        self.positional_embedding = nn.Parameter(torch.empty(shape.context, shape.width))
        self.blocks = blocks(shape.depth, shape.width, shape.heads)
        self.ln_final = nn.LayerNorm(shape.width)
        self.text_projection = nn.Parameter(torch.empty(shape.width, shape.out))

    def forward(self, ids_L: Tensor) -> Tensor:
        """The feature (out,) of a text's tokens (L,), the last of which is `END`.

        What would stand behind the end changes nothing, so nothing need stand there.
        """
        length = len(ids_L)
        tokens_1LD = self.token_embedding(ids_L)[None] + self.positional_embedding[:length]
        before_LL = torch.ones(length, length, dtype=torch.bool, device=ids_L.device).tril()
        for block in self.blocks:
            tokens_1LD = block(tokens_1LD, attn_mask=before_LL)
        feature_D: Tensor = self.ln_final(tokens_1LD[0, -1]) @ self.text_projection
        return feature_D


def blocks(depth: int, width: int, heads: int) -> nn.ModuleList:
    """The blocks of any tower in the manner of CLIP."""
    return nn.ModuleList(
        Block(width, heads, qkv_bias=True, act_layer=QuickGELU, norm_layer=nn.LayerNorm)
        for _ in range(depth)
    )


def block_key(key: str) -> str:
    """OpenAI's key for a key of a tower whose `blocks` alone have names of our own."""
    if not key.startswith("blocks."):
        return key
    return openai_key(f"vit.{key}").removeprefix("visual.")


def tokens(text: str) -> list[int]:
    """The token numbers of a text, from `START` to `END`."""
    return [START, *_tokenizer().encode(text), END]


def fitted(tokens: Sequence[int], context: int) -> list[int]:
    """At most `context` tokens, the last of which is `END`; the rest of the text is lost."""
    return [*tokens[: min(context, len(tokens)) - 1], END]


@cache
def _tokenizer() -> SimpleTokenizer:
    return SimpleTokenizer()


class ReadingBackbone(TorchBackbone):
    """A network that reads texts as well as it sees frames. A text is read once."""

    def __init__(self, compute: Compute) -> None:
        super().__init__(compute)
        self._known: dict[str, Feature] = {}

    @abstractmethod
    def text_feature(self, text: str) -> Tensor:
        """The feature of `text`: (D,). Called as `features` is."""

    def read(self, text: str) -> Feature:
        """The float32 feature of `text`; see `Reader`."""
        if text not in self._known:
            with computing(self.compute):
                self._known[text] = np.asarray(self.text_feature(text).float().cpu().numpy())
        return self._known[text]

    def ids(self, tokens: Sequence[int]) -> Tensor:
        """Tokens up to the first `END`, as a tensor (L,) on the device."""
        return torch.tensor(tokens[: tokens.index(END) + 1], device=self.compute.device)
