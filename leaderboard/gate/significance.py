"""Is a difference more than chance: permutation tests, Holm's correction, what can be detected.

Two runs on the same prompts are compared prompt by prompt: if nothing changed, it is a coin's
toss which run a prompt's videos belong to, so the runs are swapped prompt by prompt. Two runs on
different prompts are compared by handing the prompts out anew. Either way the null distribution
is the data's own: the test is exact for equal models, whatever the scores' shape, bounds or
clumps (Fisher, The Design of Experiments, 1935). For models of equal mean but unequal spread it
holds approximately, because the statistic is studentised (Janssen, Studentized Permutation Tests,
Statistics and Probability Letters 1997; swapping signs leaves the squares as they are).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vbench_long.leaderboard.bootstrap import ROUNDING, Floats

POWER: Final = 0.8
"""Chance of seeing the smallest effect that is called detectable."""

_PERMUTATIONS = 10_000  # at least so many, or all there are
_BLOCK = 1 << 20  # prompts handed out at a time


@dataclass(frozen=True, slots=True)
class Scores:
    """One run's prompts in one dimension.

    Attributes:
        sums: sum of the scores of each prompt's clips.
        counts: number of those clips, above 0.
    """

    sums: Floats
    counts: Floats

    @property
    def mean(self) -> float:
        """The run's score."""
        return float(self.sums.sum() / self.counts.sum())

    def raised(self, amount: float) -> Scores:
        """The same with every clip's score higher by `amount`."""
        return Scores(self.sums + amount * self.counts, self.counts)


@dataclass(frozen=True, slots=True)
class Tails:
    """One-sided p-values of new against base.

    Attributes:
        worse: of a drop as large as this, or larger, by chance.
        better: of a rise as large as this, or larger, by chance.
    """

    worse: float
    better: float


def paired_tails(base: Scores, new: Scores, alpha: float, seed: int) -> Tails:
    """Swap the runs prompt by prompt; the rows of `base` and `new` are the same prompts.

    All swaps are tried up to 13 prompts, enough random ones beyond.

    Args:
        base: scores before.
        new: scores after.
        alpha: level at which the p-values will be looked at; the smaller, the more swaps.
        seed: of the random swaps.
    """
    change = np.stack([new.sums - base.sums, new.counts - base.counts], 1)
    lower = higher = tried = 0
    observed = new.mean - base.mean
    for swaps in _swaps(len(base.sums), _enough(alpha), seed):
        moved = swaps @ change
        before = base.sums.sum() + moved[:, 0], base.counts.sum() + moved[:, 1]
        after = new.sums.sum() - moved[:, 0], new.counts.sum() - moved[:, 1]
        difference = after[0] / after[1] - before[0] / before[1]
        lower += int(np.count_nonzero(difference <= observed + ROUNDING))
        higher += int(np.count_nonzero(difference >= observed - ROUNDING))
        tried += len(difference)
    return Tails(lower / tried, higher / tried)


def unpaired_tails(base: Scores, new: Scores, alpha: float, seed: int) -> Tails:
    """Hand the prompts of both runs out anew; their rows are different prompts.

    All ways to do so are tried if they are few. The statistic is Welch's, on prompts.

    Args:
        base: scores before.
        new: scores after.
        alpha: level at which the p-values will be looked at; the smaller, the more deals.
        seed: of the random deals.
    """
    sums, counts = np.hstack([base.sums, new.sums]), np.hstack([base.counts, new.counts])
    sums = sums - sums.sum() / counts.sum() * counts  # small numbers keep their digits
    columns = np.stack([sums, counts, sums * sums, sums * counts, counts * counts], 1)
    observed = _welch(columns[len(base.sums) :].sum(0), columns.sum(0), len(new.sums), len(sums))
    close = 1e-9 * max(1.0, abs(float(observed)))
    lower = higher = tried = 0
    for dealt in _deals(len(base.sums), len(new.sums), _enough(alpha), seed):
        found = _welch(dealt @ columns, columns.sum(0), len(new.sums), len(sums))
        lower += int(np.count_nonzero(found <= observed + close))
        higher += int(np.count_nonzero(found >= observed - close))
        tried += len(found)
    return Tails(lower / tried, higher / tried)


def _welch(new: Floats, both: Floats, prompts: int, all_prompts: int) -> Floats:
    """Difference of the two means in standard errors, from sums over the new run's prompts."""
    means, variances = [], []
    for part, size in ((new, prompts), (both - new, all_prompts - prompts)):
        sums, counts, squares, products, clips = np.moveaxis(part, -1, 0)
        mean = sums / counts
        residual = squares - 2 * mean * products + mean * mean * clips
        means.append(mean)
        variances.append(np.maximum(residual, 0) / counts**2 * size / (size - 1))
    difference = means[0] - means[1]
    error = np.sqrt(variances[0] + variances[1])
    # Without any spread the sign is all there is: it counts as far out as can be.
    flat = np.where(np.abs(difference) > ROUNDING, np.copysign(1e100, difference), 0.0)
    return np.where(error > ROUNDING, difference / np.where(error > ROUNDING, error, 1), flat)


def smallest_paired(prompts: int) -> float:
    """The smallest two-sided p-value that swapping so many prompts can give."""
    return 2.0 ** (1 - prompts)


def smallest_unpaired(base: int, new: int) -> float:
    """The smallest two-sided p-value that dealing so many prompts can give."""
    return 2 / math.comb(base + new, new)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Scandinavian Journal of Statistics 1979), in the given order.

    Rejecting what is below alpha keeps the chance of any false rejection below alpha, however
    the tests depend on each other.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def detectable(error: float, degrees: float, level: float) -> float:
    """The smallest true difference that a test sees in 80 of 100 cases.

    From the non-central t distribution, which permutation tests of many prompts follow closely.

    Args:
        error: standard error of the difference, above 0.
        degrees: its degrees of freedom.
        level: two-sided level of this one test.
    """
    threshold = -special.stdtrit(degrees, level / 2)
    return error * float(special.nctdtrinc(degrees, 1 - POWER, threshold))


def detectable_paired(error: float, prompts: int, level: float) -> float:
    """The same for a paired test: few prompts have few swaps, and see less than Student's t.

    Args:
        error: standard error of the difference, above 0.
        prompts: how many, with `smallest_paired` not above `level`.
        level: two-sided level of this one test.
    """
    if 2**prompts > _enough(level):
        return detectable(error, prompts - 1, level)
    return error * _seen_by_swaps(prompts, level)


@cache
def _seen_by_swaps(prompts: int, level: float) -> float:
    """What trying all swaps sees in 80 of 100 cases, in standard errors, by simulation.

    The prompts' differences are taken to be normal; the draws are the same in every call.
    """
    noise = np.random.default_rng(0).standard_normal((prompts, 500))
    swaps = np.vstack(list(_swaps(prompts, 2**prompts, 0)))[1:]  # the first swaps nothing
    # A swap is as extreme as what was seen up to the effect where both sums meet. The test
    # allows for so many swaps that are, the real assignment included.
    meet = -(swaps @ noise) * math.sqrt(prompts) / swaps.sum(1, keepdims=True)
    last = len(swaps) - math.floor(level / 2 * 2**prompts)
    return float(np.quantile(np.partition(meet, last, axis=0)[last], POWER))


def _enough(alpha: float) -> int:
    """So many permutations that the smallest p-value lies well below alpha."""
    return max(_PERMUTATIONS, math.ceil(20 / alpha))


def _swaps(prompts: int, wanted: int, seed: int) -> Iterator[Floats]:
    """Blocks of permutations x prompts, 1 where the runs are swapped; the first is none."""
    if 2**prompts <= wanted:
        bits = np.arange(2**prompts)[:, None] >> np.arange(prompts) & 1
        yield bits.astype(np.float64)
        return
    rng = np.random.default_rng(seed)
    yield np.zeros((1, prompts))
    for rows in _blocks(wanted - 1, prompts):
        yield rng.integers(0, 2, (rows, prompts), np.uint8).astype(np.float64)


def _deals(base: int, new: int, wanted: int, seed: int) -> Iterator[Floats]:
    """Blocks of permutations x prompts, 1 where a prompt falls to the new run."""
    if math.comb(base + new, new) <= wanted:
        chosen = np.array(list(itertools.combinations(range(base + new), new)))
        yield _marks(chosen, base + new)
        return
    rng = np.random.default_rng(seed)
    yield np.hstack([np.zeros((1, base)), np.ones((1, new))])
    for rows in _blocks(wanted - 1, base + new):
        order = rng.random((rows, base + new)).argsort(1)
        yield _marks(order[:, :new], base + new)


def _marks(chosen: NDArray[np.intp], prompts: int) -> Floats:
    marks = np.zeros((len(chosen), prompts))
    np.put_along_axis(marks, chosen, 1, 1)
    return marks


def _blocks(rows: int, columns: int) -> Iterator[int]:
    block = max(1, _BLOCK // columns)
    for start in range(0, rows, block):
        yield min(block, rows - start)
