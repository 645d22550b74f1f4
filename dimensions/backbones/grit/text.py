"""GRiT's words: a small transformer says what is in a box, word by word.

A box is 196 tokens, one per cell of its square, which look at each other and never at words. So
they are encoded once per box, and a further word costs a further word, whatever is asked.

Source: Wu et al., "GRiT: A Generative Region-to-text Transformer for Object Understanding",
ECCV 2024. Attributes carry names of their own; `PUBLISHED_NAMES` has the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

NEVER = -10_000.0
"""Logit of a word that must not come."""


@dataclass(frozen=True, slots=True)
class TextShape:
    """The transformer and its language.

    Attributes:
        pooled: side of the square a box is cut out as; each of its cells is a token.
        width: of a token.
        depth: layers.
        heads: of one layer's attention.
        inner: width between a layer's last two products.
        words: in the vocabulary.
        positions: that the network has learnt; sentences are shorter.
        longest: words of a sentence, with the one that begins it.
        end: the word that ends a sentence.
    """

    pooled: int = 14
    width: int = 768
    depth: int = 6
    heads: int = 12
    inner: int = 3072
    words: int = 30522
    positions: int = 1024
    longest: int = 40
    end: int = 102


@dataclass(frozen=True, slots=True)
class Sentence:
    """What was said of one box.

    Attributes:
        words: ids, without those that begin and end it.
        logprob: mean log-probability of the words, the end among them if it came.
    """

    words: tuple[int, ...]
    logprob: float


@dataclass(frozen=True, slots=True)
class Memory:
    """What boxes, and the words said of them so far, hold for the words to come.

    Attributes:
        layers: per layer keys and values, (N, A, tokens + longest, E).
        tokens: how many of them are the box's own; words follow.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    tokens: int

    def __len__(self) -> int:
        return len(self.layers[0][0])

    def of(self, boxes_K: Tensor) -> Memory:
        """Of some of the boxes only."""
        return Memory(tuple((k[boxes_K], v[boxes_K]) for k, v in self.layers), self.tokens)


class Attention(nn.Module):
    """Keys, values and queries of tokens, and what comes of them."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def keys_and_values(self, x_NLD: Tensor) -> tuple[Tensor, Tensor]:
        """Both (N, A, L, E)."""
        return self._in_heads(self.key(x_NLD)), self._in_heads(self.value(x_NLD))

    def forward(self, x_NLD: Tensor, keys_NAME: Tensor, values_NAME: Tensor) -> Tensor:
        """Every token looks at all keys: (N, L, D)."""
        query_NALE = self._in_heads(self.query(x_NLD))
        seen_NALE = F.scaled_dot_product_attention(query_NALE, keys_NAME, values_NAME)
        out_NLD: Tensor = self.out(seen_NALE.transpose(1, 2).flatten(2))
        return out_NLD

    def _in_heads(self, x_NLD: Tensor) -> Tensor:
        count, length, width = x_NLD.shape
        return x_NLD.view(count, length, self.heads, width // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """A layer of BERT: normalised after attention and after the perceptron."""

    def __init__(self, shape: TextShape) -> None:
        super().__init__()
        self.attention = Attention(shape.width, shape.heads)
        self.norm1 = nn.LayerNorm(shape.width, 1e-12)
        self.fc1 = nn.Linear(shape.width, shape.inner)
        self.fc2 = nn.Linear(shape.inner, shape.width)
        self.norm2 = nn.LayerNorm(shape.width, 1e-12)

    def forward(self, x_NLD: Tensor, keys_NAME: Tensor, values_NAME: Tensor) -> Tensor:
        """Tokens (N, L, D), which look at all keys -> the same."""
        x_NLD = self.norm1(x_NLD + self.attention(x_NLD, keys_NAME, values_NAME))
        out_NLD: Tensor = self.norm2(x_NLD + self.fc2(F.gelu(self.fc1(x_NLD))))
        return out_NLD


class TextDecoder(nn.Module):
    """The transformer, its words, and the way from boxes to tokens."""

    def __init__(self, channels: int, shape: TextShape) -> None:
        super().__init__()
        self.shape = shape
        self.boxes = nn.Linear(channels, shape.width)
        self.boxes_norm = nn.LayerNorm(shape.width)
        self.words = nn.Embedding(shape.words, shape.width)
        self.positions = nn.Embedding(shape.positions, shape.width)
        self.words_norm = nn.LayerNorm(shape.width, 1e-8)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.depth))
        self.output = nn.Linear(shape.width, shape.words)

    def encode(self, pooled_NCSS: Tensor) -> Memory:
        """What lies in boxes, cut out as squares -> a memory without words."""
        x_NLD = self.boxes_norm(self.boxes(pooled_NCSS.flatten(2).transpose(1, 2)))
        tokens, kept = x_NLD.shape[1], []
        room = (0, 0, 0, self.shape.longest)
        for layer in self._layers:
            keys_NALE, values_NALE = layer.attention.keys_and_values(x_NLD)
            kept.append((F.pad(keys_NALE, room), F.pad(values_NALE, room)))
            if len(kept) < len(self.layers):  # Nobody asks what the last layer makes of a box.
                x_NLD = layer(x_NLD, keys_NALE, values_NALE)
        return Memory(tuple(kept), tokens)

    def next_word(self, memory: Memory, words_N: Tensor, position: int) -> Tensor:
        """Logits (N, words) of what follows `words_N`, which stand at `position` (0: the first).

        The words' keys and values are written into `memory`.
        """
        at = memory.tokens + position
        x_ND = self.words(words_N) + self.positions.weight[position]
        x_N1D = self.words_norm(x_ND)[:, None]
        for layer, (keys_NAME, values_NAME) in zip(self._layers, memory.layers, strict=True):
            key_NA1E, value_NA1E = layer.attention.keys_and_values(x_N1D)
            keys_NAME[:, :, at : at + 1], values_NAME[:, :, at : at + 1] = key_NA1E, value_NA1E
            x_N1D = layer(x_N1D, keys_NAME[:, :, : at + 1], values_NAME[:, :, : at + 1])
        logits_NV: Tensor = self.output(x_N1D[:, 0])
        return logits_NV

    @property
    def _layers(self) -> Iterable[Layer]:
        return cast(Iterable[Layer], self.layers)

    def say(self, memory: Memory, begin: int) -> list[Sentence]:
        """The sentence about each box that begins with the word `begin`, which names the task."""
        left, left_K = memory, torch.arange(len(memory), device=self.output.weight.device)

        def step(rows_R: Tensor, last_R: Tensor, position: int) -> Tensor:
            nonlocal left, left_K
            if len(rows_R) < len(left_K):
                left, left_K = left.of(torch.searchsorted(left_K, rows_R)), rows_R
            return self.next_word(left, last_R, position)

        return likeliest(step, torch.full_like(left_K, begin), self.shape.longest, self.shape.end)


Step = Callable[[Tensor, Tensor, int], Tensor]
"""Called with rows (R,), rising, the last word of each (R,) and its position: logits (R, words).

A row that has ended is never asked for again.
"""


def likeliest(step: Step, begin_N: Tensor, longest: int, end: int) -> list[Sentence]:
    """Sentences made of the likeliest word each time, until each has ended or is `longest` long.

    No word follows itself, except that the first may be the one that begins.
    """
    rows_R = torch.arange(len(begin_N), device=begin_N.device)
    last_R = begin_N
    words_NL = begin_N.new_full((len(begin_N), longest - 1), end)
    logprobs_NL = torch.zeros_like(words_NL, dtype=torch.float32)
    for position in range(longest - 1):
        if len(rows_R) == 0:
            break
        logits_RV = step(rows_R, last_R, position).float()
        if position:
            logits_RV = logits_RV.scatter(1, last_R[:, None], NEVER)
        logprob_R, last_R = logits_RV.log_softmax(1).max(1)
        words_NL[rows_R, position], logprobs_NL[rows_R, position] = last_R, logprob_R
        going_R = last_R != end
        rows_R, last_R = rows_R[going_R], last_R[going_R]
    said_N = (words_NL != end).sum(1)
    means_N = logprobs_NL.sum(1) / (said_N + 1).clamp(max=longest - 1)
    return [
        Sentence(tuple(words[:said]), mean)
        for words, said, mean in zip(
            words_NL.tolist(), said_N.tolist(), means_N.tolist(), strict=True
        )
    ]


PUBLISHED_NAMES = (
    ("boxes_norm.", "object_feature_projection.1."),
    ("boxes.", "object_feature_projection.0."),
    ("words_norm.", "embedding.layer_norm."),
    ("words.", "embedding.words."),
    ("positions.", "embedding.positions."),
    ("layers.", "transformer.encoder.layer."),
    (".attention.out.", ".attention.output.dense."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."),
    (".norm1.", ".attention.output.LayerNorm."),
    (".fc1.", ".intermediate.dense."),
    (".fc2.", ".output.dense."),
    (".norm2.", ".output.LayerNorm."),
)
"""Parts of our names and of the checkpoint's, to be replaced in this order."""
