"""Permutation tests against counting by hand and against SciPy, Holm, and what can be seen."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from vbench_long.leaderboard.gate.significance import (
    Scores,
    Tails,
    _welch,
    detectable,
    detectable_paired,
    holm,
    paired_tails,
    smallest_paired,
    smallest_unpaired,
    unpaired_tails,
)


def scores(values: Any, clips: Any = 1.0) -> Scores:
    """Prompts with these mean scores over so many clips."""
    means = np.asarray(values, float)
    counts = np.broadcast_to(np.asarray(clips, float), means.shape)
    return Scores(means * counts, counts)


def test_three_prompts_by_hand() -> None:
    """Eight ways to swap; all three fell, which one of eight does; all but the smallest, two."""
    base, new = scores([0.5, 0.6, 0.7]), scores([0.4, 0.4, 0.4])
    assert paired_tails(base, new, 0.05, 0) == Tails(worse=1 / 8, better=1.0)
    assert paired_tails(new, base, 0.05, 0) == Tails(worse=1.0, better=1 / 8)
    mixed = scores([0.6, 0.4, 0.4])  # +0.1, -0.2, -0.3: also -0.1, -0.2, -0.3 is as low
    assert paired_tails(base, mixed, 0.05, 0).worse == 2 / 8


@pytest.mark.parametrize("prompts", [5, 9, 13])
def test_paired_is_scipys(prompts: int) -> None:
    rng = np.random.default_rng(prompts)
    base, new = rng.uniform(0, 1, (2, prompts))
    found = paired_tails(scores(base, 3), scores(new, 3), 0.05, 0)
    for side, tail in (("less", found.worse), ("greater", found.better)):
        expected = stats.permutation_test(
            (new - base,), np.mean, permutation_type="samples", alternative=side, n_resamples=np.inf
        )
        assert tail == pytest.approx(expected.pvalue, abs=1e-12)


def test_swaps_move_a_prompts_clips_with_its_scores() -> None:
    """Unequal clips: every way to swap, counted by hand."""
    rng = np.random.default_rng(3)
    base = Scores(rng.uniform(0, 2, 6), rng.integers(1, 4, 6).astype(float))
    new = Scores(rng.uniform(0, 2, 6), rng.integers(1, 4, 6).astype(float))
    found = []
    for swaps in itertools.product((False, True), repeat=6):
        one = [np.where(swaps, n, b) for b, n in ((base.sums, new.sums), (base.counts, new.counts))]
        two = [np.where(swaps, b, n) for b, n in ((base.sums, new.sums), (base.counts, new.counts))]
        found.append(two[0].sum() / two[1].sum() - one[0].sum() / one[1].sum())
    tails = paired_tails(base, new, 0.05, 0)
    assert tails.worse == pytest.approx(np.mean(np.array(found) <= found[0] + 1e-12))
    assert tails.better == pytest.approx(np.mean(np.array(found) >= found[0] - 1e-12))


@pytest.mark.parametrize("sizes", [(2, 3), (5, 4), (7, 6)])
def test_unpaired_is_scipys_with_welchs_statistic(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(sum(sizes))
    base, new = rng.uniform(0, 1, sizes[0]), rng.uniform(0.2, 1, sizes[1])

    def welch(one: Any, two: Any, axis: int) -> Any:
        return stats.ttest_ind(one, two, axis=axis, equal_var=False).statistic

    found = unpaired_tails(scores(base, 2), scores(new, 2), 0.05, 0)
    for side, tail in (("less", found.worse), ("greater", found.better)):
        expected = stats.permutation_test(
            (new, base), welch, vectorized=True, alternative=side, n_resamples=np.inf
        )
        assert tail == pytest.approx(expected.pvalue, abs=1e-12)


@pytest.mark.parametrize("seed", range(4, 12))
def test_unpaired_counts_clips_and_prompts_as_welch_would(seed: int) -> None:
    """Unequal clips: every way to deal, with the statistic written out."""
    rng = np.random.default_rng(seed)
    base = Scores(rng.uniform(0, 2, 4), rng.integers(1, 5, 4).astype(float))
    new = Scores(rng.uniform(0, 2, 5), rng.integers(1, 5, 5).astype(float)).raised(0.3)
    sums, counts = np.hstack([base.sums, new.sums]), np.hstack([base.counts, new.counts])

    def part(rows: list[int]) -> tuple[float, float]:
        mean = sums[rows].sum() / counts[rows].sum()
        pulls = (sums[rows] - mean * counts[rows]) / counts[rows].sum()
        return mean, (pulls**2).sum() * len(rows) / (len(rows) - 1)

    found = []
    for dealt in itertools.combinations(range(9), 5):
        one = part(list(dealt))
        two = part([i for i in range(9) if i not in dealt])
        found.append((one[0] - two[0]) / math.sqrt(one[1] + two[1]))
        if dealt == (4, 5, 6, 7, 8):
            real = found[-1]
    tails = unpaired_tails(base, new, 0.05, 0)
    assert tails.worse == pytest.approx(np.mean(np.array(found) <= real + 1e-9), abs=1e-12)
    assert tails.better == pytest.approx(np.mean(np.array(found) >= real - 1e-9), abs=1e-12)


def test_the_statistic_is_welchs_on_prompts() -> None:
    rng = np.random.default_rng(9)
    sums, counts = rng.uniform(0, 2, 12), rng.integers(1, 5, 12).astype(float)
    columns = np.stack([sums, counts, sums * sums, sums * counts, counts * counts], 1)
    found = _welch(columns[7:].sum(0), columns.sum(0), 5, 12)
    means, variances = [], []
    for rows in (slice(7, 12), slice(0, 7)):
        mean = sums[rows].sum() / counts[rows].sum()
        pulls = (sums[rows] - mean * counts[rows]) / counts[rows].sum()
        means.append(mean)
        variances.append((pulls**2).sum() * len(pulls) / (len(pulls) - 1))
    assert found == pytest.approx((means[0] - means[1]) / math.sqrt(sum(variances)), rel=1e-12)


def test_small_differences_between_large_scores_keep_their_digits() -> None:
    rng = np.random.default_rng(6)
    base, new = rng.uniform(0, 1, 6), rng.uniform(0.2, 1, 6)
    plain = unpaired_tails(scores(base), scores(new), 0.05, 0)
    tiny = unpaired_tails(scores(0.99 + 1e-8 * base), scores(0.99 + 1e-8 * new), 0.05, 0)
    assert plain == tiny


def test_many_prompts_agree_with_students_test() -> None:
    rng = np.random.default_rng(8)
    base = rng.normal(0.5, 0.1, 60)
    new = base + rng.normal(-0.012, 0.05, 60)
    paired = paired_tails(scores(base), scores(new), 0.05, 0)
    assert paired.worse == pytest.approx(
        stats.ttest_rel(new, base, alternative="less").pvalue, abs=0.01
    )
    assert paired.worse + paired.better == pytest.approx(1, abs=0.01)
    other = rng.normal(0.46, 0.2, 45)
    unpaired = unpaired_tails(scores(base), scores(other), 0.05, 0)
    expected = stats.ttest_ind(other, base, equal_var=False, alternative="less").pvalue
    assert unpaired.worse == pytest.approx(expected, abs=0.01)
    assert unpaired.worse + unpaired.better == pytest.approx(1, abs=0.01)


def test_random_permutations_repeat_and_can_go_below_any_level() -> None:
    base, new = scores(np.linspace(0.5, 0.9, 40)), scores(np.linspace(0.4, 0.7, 40))
    first = paired_tails(base, new, 0.05, 0)
    assert first == paired_tails(base, new, 0.05, 0)
    assert first.worse == 1 / 10_000  # the real assignment is one of them: never zero
    assert paired_tails(base, new, 1e-4, 0).worse == 1 / 200_000
    other = scores(np.linspace(0.45, 0.85, 40))
    dealt = unpaired_tails(base, other, 0.05, 0)
    assert dealt == unpaired_tails(base, other, 0.05, 0) != unpaired_tails(base, other, 0.05, 1)
    assert unpaired_tails(base, scores([0.1] * 20 + [0.11] * 20), 0.05, 0).worse == 1 / 10_000


def test_unequal_spread_is_no_difference() -> None:
    """Scores that scatter four times as much around the same mean are no evidence."""
    rng = np.random.default_rng(0)
    loud = 0
    for _ in range(60):
        base, new = rng.normal(0, 1, 30), rng.normal(0, 4, 12)
        found = unpaired_tails(scores(base), scores(new), 0.2, 0)
        loud += 2 * min(found.worse, found.better) <= 0.05
    assert loud <= 4  # a test of the plain difference has 7


def test_no_spread_at_all() -> None:
    same = unpaired_tails(scores([1.0] * 4), scores([1.0] * 4), 0.05, 0)
    assert same == Tails(1.0, 1.0)
    apart = unpaired_tails(scores([1.0] * 4), scores([0.5] * 4), 0.05, 0)
    assert apart.worse == 1 / math.comb(8, 4) and apart.better == 1.0
    assert paired_tails(scores([1.0] * 4), scores([1.0] * 4), 0.05, 0) == Tails(1.0, 1.0)


def test_raised_scores_are_a_tolerated_drop() -> None:
    base, new = scores([0.5, 0.6, 0.7, 0.8], 3), scores([0.48, 0.59, 0.68, 0.79], 3)
    assert paired_tails(base, new, 0.05, 0).worse == 1 / 16
    assert new.raised(0.1).mean == pytest.approx(new.mean + 0.1)
    assert paired_tails(base, new.raised(0.03), 0.05, 0).better == 1 / 16


def test_the_smallest_p_values_are_reached() -> None:
    low, high = scores([0.1, 0.2, 0.3, 0.4]), scores([0.6, 0.7, 0.8, 0.9])
    paired, unpaired = (test(high, low, 0.05, 0) for test in (paired_tails, unpaired_tails))
    assert 2 * paired.worse == smallest_paired(4) == 1 / 8
    assert 2 * unpaired.worse == smallest_unpaired(4, 4) == 2 / 70
    assert smallest_unpaired(1, 1) == 1.0 and smallest_paired(1) == 1.0


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_only_raises_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(one >= raw for one, raw in zip(adjusted, values, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
    if values:
        assert min(adjusted) == min(1.0, min(values) * len(values))


def test_what_can_be_seen_is_the_textbooks() -> None:
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert detectable(0.3, 1e6, 0.05) == pytest.approx(0.3 * z, rel=1e-3)
    assert detectable(1, 9, 0.05) > detectable(1, 99, 0.05) > z
    assert detectable(1, 19, 0.005) > detectable(1, 19, 0.05)
    assert detectable_paired(2, 50, 0.05) == pytest.approx(2 * detectable(1, 49, 0.05))


@pytest.mark.parametrize(("prompts", "level"), [(6, 0.05), (9, 0.05 / 7), (13, 0.05)])
def test_of_few_prompts_the_power_is_the_tests_own(prompts: int, level: float) -> None:
    """Drops as large as is said to be seen: 80 of 100 are."""
    rng = np.random.default_rng(prompts)
    effect = detectable_paired(0.1 / math.sqrt(prompts), prompts, level)
    seen = 0
    for _ in range(400):
        drops = rng.normal(-effect, 0.1, prompts)
        found = paired_tails(scores(np.full(prompts, 0.5)), scores(0.5 + drops), level, 0)
        seen += 2 * found.worse <= level
    assert 0.74 <= seen / 400 <= 0.86


def test_equal_models_are_told_apart_as_rarely_as_is_said() -> None:
    """Ten prompts, seven dimensions that go together, one of zeros and ones, Holm: 5 %."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(300):
        shared = rng.normal(0, 1, (2, 10, 1))
        z = 0.7 * shared + 0.7 * rng.normal(0, 1, (2, 10, 7))
        z[..., 0] = z[..., 0] > 0
        z[..., 1] = -np.exp(z[..., 1])
        tails = [paired_tails(scores(z[0, :, i]), scores(z[1, :, i]), 0.01, 0) for i in range(7)]
        alarms += min(holm([min(1.0, 2 * min(t.worse, t.better)) for t in tails])) <= 0.05
    assert 0.01 <= alarms / 300 <= 0.08
