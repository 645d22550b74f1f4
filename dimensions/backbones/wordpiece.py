"""BERT's vocabulary read backwards: word pieces to a sentence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

VOCABULARY = "bert_vocabulary"
"""Name of the checkpoint that holds one word piece a line."""

WORDS = 30522
"""Lines of it."""

SPECIAL = (0, 100, 101, 102, 103)
"""What has a meaning of its own: [PAD], [UNK], [CLS], [SEP], [MASK]."""

_CLOSER = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
"""What loses the spaces around it."""


def sentence(ids: Iterable[int], vocabulary: Sequence[str]) -> str:
    """The sentence that word pieces make; special ones are left out.

    Source: `BertTokenizer.decode` of transformers 4.33, with its clean-up of spaces. Newer
    versions leave some of the spaces around punctuation.
    """
    pieces = [vocabulary[piece] for piece in ids if piece not in SPECIAL]
    text = " ".join(pieces).replace(" ##", "").strip()
    for spaced in _CLOSER:
        text = text.replace(spaced, spaced.strip())
    return text
