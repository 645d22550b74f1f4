"""The bootstrap over prompts: resamples, standard errors, intervals.

A run's prompts are a sample of all prompts one might have asked for, and the videos of one prompt
resemble each other. So whole prompts are drawn with replacement, with all their videos, and every
dimension of every run is computed from the same draw: what moves together stays together (Efron
and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and 14). A dimension's score is
a mean over clips, so a prompt enters as the sum of its clips' scores and their number.

Intervals are BCa: bias-corrected and accelerated (Efron, Better Bootstrap Confidence Intervals,
JASA 1987), with the acceleration from the jackknife over prompts. Any bootstrap is too narrow for
few prompts; its levels are widened by Student's t as Hesterberg (What Teachers Should Know About
the Bootstrap, 2015) does for percentiles. Below `FEW` prompts there is too little to draw from,
and Student's t on the jackknife takes over.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from vbench_long.leaderboard.scores import dimension_scores
from vbench_long.records import Record, Sample
from vbench_long.store import Run

Floats = NDArray[np.float64]
Method = Literal["BCa", "percentile"]

RESAMPLES: Final = 10_000
SEED: Final = 0
"""Every draw starts from this seed, so that one run always has one interval."""

FEW: Final = 8
"""From this many prompts on the bootstrap is used, below it Student's t."""

ROUNDING: Final = 1e-12
"""Scores lie around 1; a spread or difference below this is how a machine adds."""

_BLOCK = 1 << 19  # drawn prompts held at a time: 4 MB as float64


@dataclass(frozen=True, slots=True)
class Interval:
    """Where the truth lies with this confidence.

    Attributes:
        low: lower end, in the unit of the score; may lie outside the score's range.
        high: upper end.
        confidence: 0.95 covers the truth in 95 of 100 runs.
        method: "BCa", "percentile", or "t" for fewer than `FEW` prompts.
    """

    low: float
    high: float
    confidence: float
    method: str


@dataclass(frozen=True, slots=True)
class Clusters:
    """A run by prompts (K) and dimensions (D).

    Attributes:
        dimensions: the columns.
        sums: K x D, sum of the scores of a prompt's clips.
        counts: K x D, number of those clips; 0 where the prompt does not serve the dimension.
    """

    dimensions: tuple[str, ...]
    sums: Floats
    counts: Floats


@dataclass(frozen=True, slots=True)
class Statistic:
    """A number with what is known of its sampling error.

    Attributes:
        value: the number itself.
        draws: the number in each resample; NaN where a resample has no prompt to compute it.
        pulls: how far each prompt pulls it, scaled so that the squares sum to the variance.
        degrees: degrees of freedom of that variance; below 1 it is unknown.
    """

    value: float
    draws: Floats
    pulls: Floats
    degrees: float

    @property
    def error(self) -> float:
        """Its standard error; 0 if all prompts agree."""
        error = math.sqrt(float(self.pulls @ self.pulls))
        return error if error > ROUNDING * max(1.0, abs(self.value)) else 0.0

    def no_interval(self) -> str:
        """Why it has no interval; empty if it has one."""
        if self.degrees < 1:
            return "one prompt says nothing of how others would score"
        if not self.error:
            return "all prompts agree to the last digit, which says nothing of their spread"
        return ""


def cluster_sums(run: Run, prompts: Sequence[str], dimensions: Sequence[str]) -> Clusters:
    """Take a run apart by prompts.

    Each prompt is scored by the code that scores the run, so its rules (clips, the static
    filter's cap) hold here too.

    Args:
        run: read by `load_run`.
        prompts: the rows.
        dimensions: the columns; 0 clips where the run has no score.
    """
    samples: dict[str, list[Sample]] = {}
    for sample in run.samples:
        samples.setdefault(sample.prompt, []).append(sample)
    owner = {sample.video: sample.prompt for sample in run.samples}
    records: dict[str, list[Record]] = {}
    for record in run.records:
        records.setdefault(owner[record.video], []).append(record)
    column = {name: i for i, name in enumerate(dimensions)}
    bare = replace(run, manifest=replace(run.manifest, dimensions=()))
    sums = np.zeros((len(prompts), len(column)))
    counts = np.zeros_like(sums)
    for row, prompt in enumerate(prompts):
        own = tuple(samples.get(prompt, ())), tuple(records.get(prompt, ()))
        for found in dimension_scores(replace(bare, samples=own[0], records=own[1])):
            if found.score is not None and found.dimension in column:
                sums[row, column[found.dimension]] = found.score * found.clips
                counts[row, column[found.dimension]] = found.clips
    return Clusters(tuple(dimensions), sums, counts)


def dimension_statistics(
    tables: Sequence[Clusters], groups: Sequence[int], seed: int, resamples: int
) -> list[dict[str, Statistic]]:
    """The dimensions of several runs under the same resamples of the same prompts.

    Args:
        tables: one per run, with equal rows.
        groups: how many rows belong to each group, in their order; prompts are drawn within
            their group.
        seed: of the resampling.
        resamples: how many.

    Returns:
        Per run, its dimensions that have a score.
    """
    found: list[dict[str, Statistic]] = []
    for table, draws in zip(tables, _draws(tables, groups, seed, resamples), strict=True):
        statistics = {}
        for i, name in enumerate(table.dimensions):
            sums, counts = table.sums[:, i], table.counts[:, i]
            clips, prompts = counts.sum(), int(np.count_nonzero(counts))
            if not prompts:
                continue
            value = sums.sum() / clips
            # Without prompt k the score moves by pull k; a lone prompt leaves nothing behind.
            others = np.where(counts < clips, clips - counts, np.inf)
            pulls = (sums - value * counts) / others * math.sqrt(1 - 1 / prompts)
            statistics[name] = Statistic(float(value), draws[:, i], pulls, prompts - 1)
        found.append(statistics)
    return found


def combination(
    parts: Sequence[Statistic], factors: Sequence[float], value: float, degrees: float
) -> Statistic:
    """A linear function of statistics that share their resamples.

    Args:
        parts: what it is made of, at least one.
        factors: how much of each.
        value: the number itself, constant included.
        degrees: of freedom.
    """
    draws = np.full_like(parts[0].draws, value)
    pulls = np.zeros_like(parts[0].pulls)
    for part, factor in zip(parts, factors, strict=True):
        draws += factor * (part.draws - part.value)
        pulls += factor * part.pulls
    return Statistic(value, draws, pulls, degrees)


def interval(statistic: Statistic, confidence: float, method: Method = "BCa") -> Interval:
    """The interval of a statistic that has one (see `Statistic.no_interval`).

    Its ends are rounded to ten decimals: what lies beyond depends on how a machine adds.
    """
    degrees = statistic.degrees
    reach = -float(special.stdtrit(degrees, (1 - confidence) / 2))
    if degrees < FEW - 1:
        half = reach * statistic.error
        low, high = statistic.value - half, statistic.value + half
        return Interval(round(low, 10), round(high, 10), confidence, "t")
    reach *= math.sqrt(1 + 1 / degrees)  # the bootstrap's variance lacks a factor of n / (n - 1)
    draws = statistic.draws[~np.isnan(statistic.draws)]
    bias, acceleration = _bca(statistic, draws) if method == "BCa" else (0.0, 0.0)
    shifted = bias + np.array([-reach, reach])
    # Where the formula turns over, the interval has already reached the outermost draw.
    levels = special.ndtr(bias + shifted / np.maximum(1 - acceleration * shifted, 1e-3))
    low, high = np.quantile(draws, levels).tolist()
    return Interval(round(low, 10), round(high, 10), confidence, method)


def _bca(statistic: Statistic, draws: Floats) -> tuple[float, float]:
    """Efron's bias correction and acceleration."""
    close = 1e-9 * max(1.0, abs(statistic.value))
    below = np.count_nonzero(draws < statistic.value - close)
    within = np.count_nonzero(draws <= statistic.value + close)
    share = (below + within) / 2 / draws.size  # draws that tie with the value count half
    edge = 0.5 / draws.size
    bias = special.ndtri(min(max(share, edge), 1 - edge))
    acceleration = np.sum(statistic.pulls**3) / (6 * np.sum(statistic.pulls**2) ** 1.5)
    return float(bias), float(acceleration)


def _draws(
    tables: Sequence[Clusters], groups: Sequence[int], seed: int, resamples: int
) -> list[Floats]:
    """Per table the scores in each resample, resamples x dimensions; NaN without a clip."""
    together = np.hstack([np.hstack([table.sums, table.counts]) for table in tables])
    drawn = np.vstack([times @ together for times in _resamples(groups, seed, resamples)])
    found, start = [], 0
    for table in tables:
        middle = start + len(table.dimensions)
        stop = middle + len(table.dimensions)
        counts = drawn[:, middle:stop]
        found.append(drawn[:, start:middle] / np.where(counts > 0, counts, np.nan))
        start = stop
    return found


def _resamples(groups: Sequence[int], seed: int, resamples: int) -> Iterator[Floats]:
    """Blocks of resamples x prompts: how often each prompt is drawn."""
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // max(1, sum(groups)))
    for start in range(0, resamples, block):
        rows = min(block, resamples - start)
        times = [np.zeros((rows, 0), np.int64)]
        for size in filter(None, groups):
            drawn = rng.integers(0, size, (rows, size)) + size * np.arange(rows)[:, None]
            times.append(np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size))
        yield np.hstack(times).astype(np.float64)
