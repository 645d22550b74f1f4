"""How sure a run's scores are, and which ranks it may have.

Intervals are those of `vbench_long.leaderboard.bootstrap`; `benchmarks/false_alarms.py` measures
how often they cover the truth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from vbench_long.leaderboard.bootstrap import (
    FEW,
    RESAMPLES,
    ROUNDING,
    SEED,
    Interval,
    Method,
    Statistic,
    cluster_sums,
    combination,
    dimension_statistics,
    interval,
)
from vbench_long.leaderboard.scores import (
    AGGREGATES,
    DimensionScore,
    RunScores,
    TotalsRule,
    complete_totals,
    in_order,
    score_run,
)
from vbench_long.store import Run

__all__ = [
    "Estimate",
    "Interval",
    "RunEstimates",
    "aggregate_statistics",
    "rank_intervals",
    "run_estimates",
]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A score and how sure it is.

    Attributes:
        value: as `vbench_long.leaderboard.scores` computes it; None if it has none.
        interval: None if there is none.
        clusters: prompts it rests on; of an aggregate, those of its smallest dimension.
        reason: why there is no interval; empty if there is one.
    """

    value: float | None
    interval: Interval | None
    clusters: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RunEstimates:
    """A run's scores with intervals.

    Attributes:
        dimensions: raw scores, in VBench's order.
        aggregates: "Quality", "Semantic" and "Total", by the rule the run was scored with.
    """

    dimensions: Mapping[str, Estimate]
    aggregates: Mapping[str, Estimate]


def run_estimates(
    run: Run,
    rule: TotalsRule = complete_totals,
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
    method: Method = "BCa",
) -> RunEstimates:
    """Scores of a run with their intervals; the same run always gives the same numbers.

    Args:
        run: read by `load_run`.
        rule: which dimensions may enter the aggregates: `complete_totals` or `available_totals`.
        seed: of the resampling.
        resamples: how many.
        confidence: of the intervals, between 0 and 1.
        method: "BCa", or "percentile", which covers less where scores are skewed.

    Raises:
        RunError: a record contradicts itself.
    """
    scored = score_run(run, rule)
    (statistics,) = _statistics([run], [scored], rule, seed, resamples)

    def estimate(name: str, value: float | None, absent: str) -> Estimate:
        if value is None:
            return Estimate(None, None, 0, absent)
        statistic = statistics[name]
        prompts, reason = int(statistic.degrees) + 1, statistic.no_interval()
        found = None if reason else interval(statistic, confidence, method)
        return Estimate(value, found, prompts, reason)

    absent = "no video has a score"
    untrained = run.manifest.protocol.get("untrained")
    refused = "untrained weights" if untrained else "dimensions are absent or incomplete"
    return RunEstimates(
        {s.dimension: estimate(s.dimension, s.score, absent) for s in scored.scores},
        {name: estimate(name, scored.aggregate(name), refused) for name in AGGREGATES},
    )


def rank_intervals(
    runs: Sequence[Run],
    rule: TotalsRule = complete_totals,
    *,
    seed: int = SEED,
    resamples: int = RESAMPLES,
    confidence: float = 0.95,
) -> dict[str, tuple[tuple[int, int] | None, ...]]:
    """Ranks as ranges: per dimension and aggregate, the best and worst rank each run may have.

    A run ranks behind another only where their difference stands out of its sampling error, which
    the joint bootstrap knows: runs on the same prompts share every resample. The ranges hold for
    all of a run's opponents together, by the largest standardised difference (Mogstad, Romano,
    Shaikh and Wilhelm, Inference for Ranks, Review of Economic Studies 2024). Runs that
    cannot be told apart share their ranks; a run with one prompt may have any.

    Args:
        runs: of one protocol.
        rule: which dimensions may enter the aggregates.
        seed: of the resampling.
        resamples: how many.
        confidence: with which each range holds.

    Returns:
        For each dimension and aggregate, (best, worst) per run from 1 up, in the order of `runs`;
        None for a run without a score, which takes no part in the ranking.

    Raises:
        RunError: a record contradicts itself.
    """
    scored = [score_run(run, rule) for run in runs]
    statistics = _statistics(runs, scored, rule, seed, resamples)
    names = in_order(name for known in statistics for name in known if name not in AGGREGATES)
    names += [name for name in AGGREGATES if any(name in known for known in statistics)]
    return {name: _ranks([known.get(name) for known in statistics], confidence) for name in names}


def _statistics(
    runs: Sequence[Run], scored: Sequence[RunScores], rule: TotalsRule, seed: int, resamples: int
) -> list[dict[str, Statistic]]:
    """Dimensions and aggregates of runs, jointly resampled over all their prompts."""
    # Sorted, so that the order in which a run was planned changes nothing.
    prompts = sorted({sample.prompt for run in runs for sample in run.samples})
    dimensions = in_order(s.dimension for row in scored for s in row.scores if s.score is not None)
    tables = [cluster_sums(run, prompts, dimensions) for run in runs]
    found = dimension_statistics(tables, [len(prompts)], seed, resamples)
    return [
        known | aggregate_statistics(known, row, rule)
        for known, row in zip(found, scored, strict=True)
    ]


def aggregate_statistics(
    known: Mapping[str, Statistic], row: RunScores, rule: TotalsRule
) -> dict[str, Statistic]:
    """Quality, Semantic and Total of a scored run, where its rule allows them."""
    found = {}
    for name in AGGREGATES:
        value = row.aggregate(name)
        if value is not None:
            slopes = _slopes(name, row.scores, rule)
            parts = [known[dimension] for dimension in slopes]
            degrees = min(part.degrees for part in parts)
            found[name] = combination(parts, list(slopes.values()), value, degrees)
    return found


def _slopes(aggregate: str, scores: Sequence[DimensionScore], rule: TotalsRule) -> dict[str, float]:
    """How much an aggregate rises per unit of each raw score, asked of the rule: it is linear."""

    def at(bumped: Sequence[DimensionScore]) -> float:
        found = rule(bumped)
        values = (found.quality, found.semantic, found.total)
        return dict(zip(AGGREGATES, values, strict=True))[aggregate] or 0.0

    level, slopes = at(scores), {}
    for i, one in enumerate(scores):
        if one.dimension in AGGREGATES[aggregate] and one.score is not None:
            raised = replace(one, score=one.score + 1)
            slopes[one.dimension] = at([*scores[:i], raised, *scores[i + 1 :]]) - level
    return slopes


def _ranks(
    statistics: Sequence[Statistic | None], confidence: float
) -> tuple[tuple[int, int] | None, ...]:
    """The range of each run's rank for one dimension."""
    present = [s for s in statistics if s is not None]
    ranges = (_rank(i, present, confidence) for i in range(len(present)))
    return tuple(None if s is None else next(ranges) for s in statistics)


def _rank(own: int, runs: Sequence[Statistic], confidence: float) -> tuple[int, int]:
    """The range of one run's rank: who stands clearly above it, and who clearly below."""
    one, above, below = runs[own], 0, 0
    gaps, errors, standardised = [], [], []
    for other in (run for i, run in enumerate(runs) if i != own):
        degrees = min(one.degrees, other.degrees)
        gap, drawn = one.value - other.value, one.draws - other.draws
        error = float(np.nanstd(drawn))
        if degrees >= 1 and error > ROUNDING:
            tail = (1 - confidence) / 2
            few = special.stdtrit(degrees, tail) / special.ndtri(tail) * math.sqrt(1 + 1 / degrees)
            gaps.append(gap)
            errors.append(error * float(few))
            standardised.append(np.abs(drawn - gap) / error)
        elif degrees >= FEW - 1 and abs(gap) > ROUNDING:
            # All prompts differ by the same amount: no scale, but enough of them to believe it.
            above, below = above + (gap < 0), below + (gap > 0)
    if gaps:
        largest = np.max(standardised, axis=0)
        reach = np.nanquantile(largest, confidence) * np.array(errors)
        above += int(np.count_nonzero(gaps < -reach))
        below += int(np.count_nonzero(gaps > reach))
    return 1 + above, len(runs) - below
