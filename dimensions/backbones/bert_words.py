"""BERT's word pieces, there and back: texts to numbers and numbers to texts."""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import BertWordPieceTokenizer

from vbench_long.dimensions.backbones.wordpiece import sentence, vocabulary
from vbench_long.weights.base import Weights


class WordPieces:
    """The uncased word pieces of BERT, and a network's own special words behind them."""

    def __init__(self, weights: Weights, special: Sequence[str] = ()) -> None:
        """`special` words get the numbers after those of the vocabulary.

        Raises:
            EnvironmentFault: the vocabulary is not on this machine, or is another one.
        """
        self._pieces = vocabulary(weights)
        numbers = {piece: number for number, piece in enumerate(self._pieces)}
        self._encoder = BertWordPieceTokenizer(numbers, lowercase=True)
        self._encoder.add_special_tokens(list(special))

    def encode(self, text: str, length: int) -> tuple[list[int], list[int]]:
        """`length` numbers that stand for `text`, and 1 for each that is no padding.

        [CLS] stands before the text and [SEP] behind; a text that is too long loses its end.
        """
        self._encoder.enable_truncation(length)
        self._encoder.enable_padding(length=length)
        encoded = self._encoder.encode(text)
        return encoded.ids, encoded.attention_mask

    def decode(self, ids: Sequence[int]) -> str:
        """The text that numbers stand for, without special words."""
        return sentence([number for number in ids if number < len(self._pieces)], self._pieces)
