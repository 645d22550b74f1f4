"""GRiT's words: the search against published sentences, the memory against no memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from grit_cases import CPU, Eager, TinyGrit
from torch import Tensor

from vbench_long.dimensions.backbones.grit.text import (
    NEVER,
    Memory,
    Sentence,
    TextDecoder,
    likeliest,
)
from vbench_long.dimensions.backbones.wordpiece import sentence, vocabulary
from vbench_long.errors import EnvironmentFault
from vbench_long.weights.seeded import SeededWeights

SEARCH = json.loads((Path(__file__).parent / "golden" / "grit.json").read_text())["search"]
BEGIN, END = 101, 102


@pytest.fixture(scope="module")
def decoder() -> TextDecoder:
    decoder: TextDecoder = TinyGrit(Eager(end=1.5), CPU).net.text
    return decoder


def squares(count: int, seed: int = 0) -> Tensor:
    """What might lie in boxes: (N, 64, 4, 4)."""
    shape = (count, 64, 4, 4)
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


# --- the search ------------------------------------------------------------------------------


def table(name: str) -> Tensor:
    """Logits (rows, length so far, words) of the published sentences."""
    seed, bonus = {"a": (31, 2.5), "b": (32, -9.0), "all ends": (33, 50.0)}[name]
    numbers = np.random.default_rng(seed).standard_normal((6, 41, 110)) * 2
    logits = torch.from_numpy(numbers.astype(np.float32))
    logits[:, :, END] += bonus
    if name == "a":
        logits[2, 0, END] = 50.0
    return logits


def said(logits: Tensor, longest: int = 40) -> list[Sentence]:
    begin_N = torch.full((len(logits),), BEGIN)
    return likeliest(lambda rows, _, position: logits[rows, position], begin_N, longest, END)


@pytest.mark.parametrize("name", SEARCH)
def test_sentences_are_the_published_ones(name: str) -> None:
    got = said(table(name))
    assert [list(one.words) for one in got] == SEARCH[name]["words"]
    assert [one.logprob for one in got] == pytest.approx(SEARCH[name]["logprob"], abs=1e-5)


def test_everything_ends_at_once() -> None:
    assert [one.words for one in said(table("all ends"))] == [()] * 6


def test_no_word_follows_itself_but_the_first_may() -> None:
    logits = torch.zeros(1, 4, 110)
    logits[0, 0, BEGIN], logits[0, 1:, 7], logits[0, 1:, 8] = 9, 9, 8
    (one,) = said(logits, longest=5)
    assert one.words == (BEGIN, 7, 8, 7)
    least = [logits[0, i].clone() for i in range(4)]
    for i, word in ((1, BEGIN), (2, 7), (3, 8)):
        least[i][word] = NEVER
    chosen = zip(least, one.words, strict=True)
    expected = sum(row.log_softmax(0)[word].item() for row, word in chosen) / 4
    assert one.logprob == pytest.approx(expected, abs=1e-6)


def test_who_has_ended_is_not_asked_again() -> None:
    asked: list[list[int]] = []
    logits = table("a")

    def step(rows: Tensor, last: Tensor, position: int) -> Tensor:
        assert len(rows) == len(last)
        asked.append(rows.tolist())
        return logits[rows, position]

    got = likeliest(step, torch.full((6,), BEGIN), 40, END)
    for row, one in enumerate(got):
        assert sum(row in rows for rows in asked) == len(one.words) + 1
    assert likeliest(step, torch.full((0,), BEGIN), 40, END) == []


# --- the memory ------------------------------------------------------------------------------


def logits_at_once(decoder: TextDecoder, pooled_NCSS: Tensor, words: list[int]) -> Tensor:
    """The last word's logits by the published way: all tokens and words through every layer."""
    shape = decoder.shape
    boxes_NLD = decoder.boxes_norm(decoder.boxes(pooled_NCSS.flatten(2).transpose(1, 2)))
    words_WD = decoder.words.weight[words] + decoder.positions.weight[: len(words)]
    words_WD = decoder.words_norm(words_WD)
    count, tokens = boxes_NLD.shape[:2]
    x_NLD = torch.cat([boxes_NLD, words_WD.expand(count, -1, -1)], 1)
    length = x_NLD.shape[1]
    seen_LL = torch.zeros(length, length, dtype=torch.bool)
    seen_LL[:, :tokens] = True  # everybody sees the box
    seen_LL[tokens:, tokens:] = torch.ones(len(words), len(words)).tril().bool()

    def heads(projected: Tensor) -> Tensor:
        return projected.view(count, length, shape.heads, -1).transpose(1, 2)

    for layer in decoder.layers:
        part = layer.attention
        q, k, v = (heads(project(x_NLD)) for project in (part.query, part.key, part.value))
        logits = q @ k.mT / q.shape[-1] ** 0.5
        weights = logits.masked_fill(~seen_LL, float("-inf")).softmax(-1)
        attended = part.out((weights @ v).transpose(1, 2).flatten(2))
        x_NLD = layer.norm1(x_NLD + attended)
        x_NLD = layer.norm2(x_NLD + layer.fc2(F.gelu(layer.fc1(x_NLD))))
    return decoder.output(x_NLD[:, -1])


@torch.inference_mode()
def test_memory_equals_no_memory(decoder: TextDecoder) -> None:
    pooled_NCSS, words = squares(3), [104, 7, 7, 250, 12]
    memory = decoder.encode(pooled_NCSS)
    for position, word in enumerate(words):
        got = decoder.next_word(memory, torch.full((3,), word), position)
        expected = logits_at_once(decoder, pooled_NCSS, words[: position + 1])
        assert (got - expected).abs().max() <= 2e-5


def say_without_memory(decoder: TextDecoder, pooled_NCSS: Tensor, begin: int) -> list[Sentence]:
    spoken: dict[int, list[int]] = {}

    def step(rows: Tensor, last: Tensor, position: int) -> Tensor:
        found = []
        for row, word in zip(rows.tolist(), last.tolist(), strict=True):
            spoken.setdefault(row, []).append(word)
            found.append(logits_at_once(decoder, pooled_NCSS[[row]], spoken[row]))
        return torch.cat(found)

    shape = decoder.shape
    begin_N = torch.full((len(pooled_NCSS),), begin)
    return likeliest(step, begin_N, shape.longest, shape.end)


@torch.inference_mode()
def test_both_tasks_speak_from_one_memory(decoder: TextDecoder) -> None:
    pooled_NCSS = squares(12)
    memory = decoder.encode(pooled_NCSS)
    for begin in (101, 104, 101):  # what was said before leaves no trace
        got = decoder.say(memory, begin)
        expected = say_without_memory(decoder, pooled_NCSS, begin)
        assert [one.words for one in got] == [one.words for one in expected]
        means = [one.logprob for one in expected]
        assert [one.logprob for one in got] == pytest.approx(means, abs=1e-5)
    lengths = {len(one.words) for one in got}
    assert len(lengths) >= 3  # rows left one by one


@torch.inference_mode()
def test_a_memory_of_some_boxes(decoder: TextDecoder) -> None:
    pooled_NCSS = squares(6, seed=1)
    memory = decoder.encode(pooled_NCSS)
    some_K = torch.tensor([1, 4])
    assert len(memory.of(some_K)) == 2
    whole = decoder.say(memory, 104)
    part = decoder.say(memory.of(some_K), 104)
    assert [one.words for one in part] == [whole[1].words, whole[4].words]
    none = decoder.encode(pooled_NCSS[:0])
    assert isinstance(none, Memory) and decoder.say(none, 101) == []


# --- words to sentences ----------------------------------------------------------------------

PIECES = {
    1: "a", 2: "t", 3: "##able", 4: "##s", 5: ".", 6: "don", 7: "'", 8: "man", 9: ",", 10: "-",
    11: "n't", 100: "[UNK]", 101: "[CLS]", 102: "[SEP]", 103: "[MASK]", 0: "[PAD]",
}  # fmt: skip


@pytest.mark.parametrize(
    ("ids", "text"),
    [
        ([], ""),
        ([1, 2, 3, 4], "a tables"),
        ([101, 1, 100, 8, 0, 103, 102], "a man"),
        ([1, 8, 9, 1, 8, 5], "a man, a man."),
        ([8, 7, 1], "man'a"),
        ([2, 10, 8], "t - man"),
        ([6, 11], "donn't"),
        ([3], "##able"),
    ],
)
def test_pieces_join_as_published(ids: list[int], text: str) -> None:
    assert sentence(ids, [PIECES.get(i, "?") for i in range(104)]) == text


def test_another_vocabulary_is_refused() -> None:
    words = vocabulary(SeededWeights())
    assert len(words) == 30522 and words[102] == "[SEP]"

    class Other(SeededWeights):
        def words(self, name: str, count: int, known: object) -> list[str]:
            raise EnvironmentFault("not the vocabulary", name)

    with pytest.raises(EnvironmentFault):
        TinyGrit(Other(), CPU)
