"""Ranks as ranges: ties look like ties, and what stands apart does so for a reason."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_scores import ALL, make_run, ok
from test_statistics import several, table

from vbench_long.leaderboard.bootstrap import FEW, Statistic, dimension_statistics
from vbench_long.leaderboard.scores import available_totals
from vbench_long.leaderboard.statistics import _rank, rank_intervals
from vbench_long.store import Run


def test_equal_models_share_their_ranks_and_a_better_one_stands_alone() -> None:
    runs = [several(30, seed=1), several(30, seed=2), several(30, seed=3, shift=0.1)]
    found = rank_intervals(runs)
    assert found["Total"] == ((2, 3), (2, 3), (1, 1))
    assert list(found)[:16] == list(ALL) and list(found)[16:] == ["Quality", "Semantic", "Total"]
    assert found["color"] == ((2, 3), (2, 3), (1, 1))


def test_the_same_run_twice_is_a_tie() -> None:
    assert rank_intervals([several(10), several(10)])["Total"] == ((1, 2), (1, 2))


def test_a_run_without_a_score_takes_no_part_and_one_prompt_may_have_any_rank() -> None:
    def color(*values: float) -> Run:
        return make_run([ok(f"v{i}", "color", v) for i, v in enumerate(values)])

    high, low = color(*np.linspace(0.8, 0.9, 20)), color(*np.linspace(0.1, 0.2, 20))
    found = rank_intervals([low, whole_run_of("scene"), high, color(0.0)])
    assert found["color"] == ((2, 3), None, (1, 2), (1, 3))
    assert found["scene"] == (None, (1, 1), None, None)


@pytest.mark.parametrize(
    ("prompts", "expected"), [(FEW - 1, ((1, 2),) * 2), (FEW, ((2, 2), (1, 1)))]
)
def test_equal_steps_on_enough_prompts_part_two_runs(prompts: int, expected: Any) -> None:
    values = np.linspace(0.3, 0.4, prompts)
    runs = [
        make_run([ok(f"v{i}", "color", v + step) for i, v in enumerate(values)])
        for step in (0.0, 0.5)
    ]
    assert rank_intervals(runs)["color"] == expected


def whole_run_of(dimension: str) -> Run:
    return make_run([ok(f"v{i}", dimension, 0.5 + i / 100) for i in range(9)])


def test_shared_prompts_sharpen_a_ranking() -> None:
    """Prompts differ far more than the models; on the same prompts the difference is plain."""
    same = [several(20, seed=1), several(20, seed=2, shift=0.02)]
    apart = replace(
        same[1], samples=tuple(replace(s, prompt="other " + s.prompt) for s in same[1].samples)
    )
    assert rank_intervals(same)["color"] == ((2, 2), (1, 1))
    assert rank_intervals([same[0], apart])["color"] == ((1, 2), (1, 2))


def normal_statistic(value: float, seed: int, degrees: float = 1e9) -> Statistic:
    """A run whose draws scatter by exactly 1 around its value."""
    draws = np.random.default_rng(seed).standard_normal(20_000)
    return Statistic(value, value + (draws - draws.mean()) / draws.std(), np.ones(1), degrees)


def fixed_statistic(value: float, degrees: float = 1e9) -> Statistic:
    return Statistic(value, np.full(20_000, value), np.zeros(1), degrees)


@pytest.mark.parametrize(("degrees", "reach"), [(1e9, 1.96), (9, 2.262 * math.sqrt(10 / 9))])
def test_a_gap_must_be_as_wide_as_students_interval(degrees: float, reach: float) -> None:
    for gap, expected in ((0.97 * reach, (1, 2)), (1.03 * reach, (1, 1))):
        pair = [normal_statistic(gap, 1, degrees), fixed_statistic(0, degrees)]
        assert _rank(0, pair, 0.95) == expected
        assert _rank(1, pair, 0.95) == (expected[1] and 3 - expected[1], 2)


def test_many_opponents_must_be_left_further_behind() -> None:
    """Nine opponents with noise of their own: 95 % for all of them needs 2.7 errors, not 2."""
    leader = fixed_statistic(2.3)
    others = [normal_statistic(0.0, seed) for seed in range(9)]
    assert _rank(0, [leader, others[0]], 0.95) == (1, 1)
    assert _rank(0, [leader, *others], 0.95) == (1, 10)
    assert _rank(0, [fixed_statistic(3.0), *others], 0.95) == (1, 1)


def test_steady_and_noisy_differences_add_up() -> None:
    middle = fixed_statistic(0.0)
    runs = [middle, fixed_statistic(5.0), fixed_statistic(-5.0), fixed_statistic(0.0)]
    assert _rank(0, runs, 0.95) == (2, 3)
    noisy = [normal_statistic(9.0, 1), normal_statistic(-9.0, 2)]
    assert _rank(0, [*runs, *noisy], 0.95) == (3, 4)


def test_ranks_follow_the_rule_and_repeat() -> None:
    runs = [several(9, samples=1, seed=seed) for seed in range(3)]
    kept = [replace(run, records=run.records[:-1]) for run in runs]
    assert "Total" not in rank_intervals(kept) and "Total" in rank_intervals(kept, available_totals)
    first = rank_intervals(runs, resamples=15)
    assert all(rank_intervals(runs, resamples=15) == first for _ in range(5))
    assert any(rank_intervals(runs, resamples=15, seed=seed) != first for seed in range(1, 9))


def test_ranks_of_equal_models_rarely_part() -> None:
    """Five equal models: any of them stands apart in at most 5 % of cases, give or take."""
    rng = np.random.default_rng(7)
    scores = rng.normal(0.5, 0.1, (5, 20, 200))
    statistics = dimension_statistics([table(s) for s in scores], [20], 0, 1000)
    apart = [_rank(0, [known[f"d{i}"] for known in statistics], 0.95) != (1, 5) for i in range(200)]
    assert np.mean(apart) <= 0.09
