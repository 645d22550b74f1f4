"""Beam search: the sentence a decoder finds most likely, word by word.

As transformers 4.33 searches, which VBench pins. Newer versions divide a sentence's score by the
length of what was generated, without the prompt, and end up with other captions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor | None], Tensor]
"""Words (R, L) that come next in R sentences, and the row (R,) of the last call that each goes on
from (None in the first call) -> logits (R, V) of the word that follows."""


@dataclass(frozen=True, slots=True)
class BeamRules:
    """How to search.

    Attributes:
        end: the word that ends a sentence.
        beams: sentences kept at a time.
        shortest: words, prompt included, before which no sentence ends.
        longest: words, prompt included, at which every sentence is cut.
    """

    end: int
    beams: int = 3
    shortest: int = 10
    longest: int = 30


class Sentence(NamedTuple):
    """A sentence and the mean log likelihood of its words, by which sentences compare.

    The prompt counts among the words and the end does not, as published.
    """

    words: list[int]
    score: float


class _Candidate(NamedTuple):
    score: float
    beam: int
    word: int


@dataclass(slots=True)
class _Search:
    """The search for one sentence: what is running, and the best that have ended."""

    rules: BeamRules
    running: list[list[int]]
    scores: list[float]
    ended: list[Sentence] = field(default_factory=list)
    worst: float = 1e9
    done: bool = False

    def advance(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """Take candidates, best first, twice as many as beams; return those that run on."""
        beams, length = self.rules.beams, len(self.running[0])
        kept: list[_Candidate] = []
        for rank, candidate in enumerate(candidates):
            if candidate.word != self.rules.end:
                kept.append(candidate)
            elif rank < beams:  # Ends that rank lower are forgotten.
                self.end(self.running[candidate.beam], candidate.score)
            if len(kept) == beams:
                break
        full, best = len(self.ended) == beams, candidates[0].score
        self.done = full and self.worst >= best / (length + 1)
        self.running = [[*self.running[c.beam], c.word] for c in kept]
        self.scores = [c.score for c in kept]
        return kept

    def end(self, words: list[int], score: float) -> None:
        """Keep a sentence that has ended, if it is among the best."""
        sentence = Sentence(words, score / len(words))
        if len(self.ended) < self.rules.beams:
            self.ended.append(sentence)
            self.worst = min(self.worst, sentence.score)
        elif sentence.score > self.worst:
            self.ended.append(sentence)
            self.ended.remove(min(self.ended, key=_score))
            self.worst = min(map(_score, self.ended))

    def winner(self) -> Sentence:
        """The best sentence, once the search is over."""
        if not self.done:
            for words, score in zip(self.running, self.scores, strict=True):
                self.end(words, score)
        words, score = sorted(self.ended, key=_score)[-1]  # Of equals, the last to end.
        return Sentence(
            [*words, self.rules.end] if len(words) < self.rules.longest else words, score
        )


def _score(sentence: Sentence) -> float:
    return sentence.score


def beam_search(
    step: Step, prompt: Sequence[int], count: int, rules: BeamRules, device: torch.device
) -> list[Sentence]:
    """The likeliest sentences that begin with `prompt`, for each of `count` pictures.

    Args:
        step: the decoder; its first call gets one row per picture, the others `rules.beams` rows
            for each picture whose search is not over.
        prompt: the first words.
        count: of pictures.
        rules: how to search.
        device: of the tensors that `step` gets.
    """
    searches = [_Search(rules, [list(prompt)], [0.0]) for _ in range(count)]
    unfinished = searches
    logits_RV = step(torch.tensor([prompt] * count, device=device), None)
    for length in range(len(prompt), rules.longest):
        likely_RV = logits_RV.float().log_softmax(-1)
        if length < rules.shortest:
            likely_RV[:, rules.end] = -torch.inf
        kept = [
            search.advance(candidates)
            for search, candidates in zip(
                unfinished, _best(likely_RV, unfinished, 2 * rules.beams), strict=True
            )
        ]
        beams = len(likely_RV) // len(unfinished)
        going_on = [
            (place * beams + candidate.beam, candidate.word)
            for place, (search, candidates) in enumerate(zip(unfinished, kept, strict=True))
            if not search.done
            for candidate in candidates
        ]
        unfinished = [search for search in unfinished if not search.done]
        if not unfinished or length + 1 == rules.longest:
            break
        rows_R, words_R = torch.tensor(going_on, device=device).unbind(1)
        logits_RV = step(words_R[:, None], rows_R)
    return [search.winner() for search in searches]


def _best(likely_RV: Tensor, searches: Sequence[_Search], count: int) -> list[list[_Candidate]]:
    """For each search the `count` best words to go on with, best first."""
    scores = [score for search in searches for score in search.scores]
    total_RV = torch.tensor(scores, device=likely_RV.device)[:, None] + likely_RV
    words = likely_RV.shape[1]
    best_NC, place_NC = total_RV.view(len(searches), -1).topk(count)
    return [
        [_Candidate(score, *divmod(place, words)) for score, place in zip(*pair, strict=True)]
        for pair in zip(best_NC.tolist(), place_NC.tolist(), strict=True)
    ]
