"""BERT's vocabulary read backwards: word pieces to a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vbench_long.weights.base import Weights

SPECIAL = {0: "[PAD]", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]"}
"""Pieces with a meaning of their own, which are no part of a sentence."""

_CLOSER = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
"""What loses the spaces around it."""


def vocabulary(weights: Weights) -> list[str]:
    """The 30522 word pieces.

    Raises:
        EnvironmentFault: they are not on this machine, or are others.
    """
    return weights.words("bert_vocabulary", 30522, SPECIAL)


def sentence(ids: Iterable[int], vocabulary: Sequence[str]) -> str:
    """The sentence that word pieces make.

    Source: `BertTokenizer.decode` of transformers 4.33, with its clean-up of spaces. Newer
    versions leave some of the spaces around punctuation.
    """
    pieces = [vocabulary[piece] for piece in ids if piece not in SPECIAL]
    text = " ".join(pieces).replace(" ##", "").strip()
    for spaced in _CLOSER:
        text = text.replace(spaced, spaced.strip())
    return text
