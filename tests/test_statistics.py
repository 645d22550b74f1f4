"""Intervals and ranks: what they must equal, what must not move them, how often they cover."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_scores import ALL, CLASSICAL, bad, make_run, ok

from vbench_long.leaderboard.bootstrap import (
    FEW,
    RESAMPLES,
    Clusters,
    Statistic,
    cluster_sums,
    combination,
    dimension_statistics,
    interval,
)
from vbench_long.leaderboard.scores import available_totals, dimension_scores, score_run, totals
from vbench_long.leaderboard.statistics import (
    Estimate,
    aggregate_statistics,
    run_estimates,
)
from vbench_long.records import Record, Status
from vbench_long.store import Run

FLICKER = "temporal_flickering"


def table(values: Any, clips: Any = 1.0) -> Clusters:
    """Prompts x dimensions of mean scores, each over so many clips."""
    scores = np.asarray(values, float)
    counts = np.broadcast_to(np.asarray(clips, float), scores.shape)
    return Clusters(tuple(f"d{i}" for i in range(scores.shape[1])), scores * counts, counts)


def one_statistic(values: Any, clips: Any = 1.0, resamples: int = RESAMPLES) -> Statistic:
    column = np.reshape(np.asarray(values, float), (-1, 1))
    counts = np.reshape(np.broadcast_to(np.asarray(clips, float), (column.size,)), (-1, 1))
    (found,) = dimension_statistics([table(column, counts)], [len(column)], 0, resamples)
    return found["d0"]


def several(prompts: int, samples: int = 2, seed: int = 0, shift: float = 0.0, **more: Any) -> Run:
    """A complete run of all sixteen dimensions whose prompts differ."""
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(99).normal(0.5, 0.05, (prompts, len(ALL)))
    records: list[Record] = []
    owner = {}
    for prompt in range(prompts):
        for index in range(samples):
            video = f"v{prompt}-{index}"
            owner[video] = f"prompt {prompt}"
            values = level[prompt] + shift + rng.normal(0, 0.02, len(ALL))
            records += [ok(video, d, float(v)) for d, v in zip(ALL, values, strict=True)]
    return make_run(records, prompts=owner, **more)


# --- intervals -------------------------------------------------------------------------------


def test_few_prompts_get_students_interval() -> None:
    values = [0.2, 0.5, 0.9]
    run = make_run([ok(f"v{i}", "color", v) for i, v in enumerate(values)])
    found = run_estimates(run, confidence=0.9).dimensions["color"]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert found.interval and found.interval.method == "t" and found.interval.confidence == 0.9
    assert (found.interval.low, found.interval.high) == pytest.approx(expected, abs=1e-9)
    assert found.clusters == 3 and found.value == pytest.approx(np.mean(values))


def test_two_prompts_are_enough_for_an_interval_and_a_wide_one() -> None:
    run = make_run([ok("v0", "color", 0.4), ok("v1", "color", 0.6)])
    found = run_estimates(run).dimensions["color"].interval
    expected = stats.ttest_1samp([0.4, 0.6], 0).confidence_interval(0.95)
    assert found and (found.low, found.high) == pytest.approx(expected, abs=1e-9)
    assert found.low < 0 and found.high > 1  # it knows next to nothing, and says so


@pytest.mark.parametrize("prompts", [3, 30])
def test_ends_are_rounded_to_ten_decimals(prompts: int) -> None:
    found = interval(one_statistic(np.random.default_rng(1).uniform(0, 1, prompts)), 0.95)
    assert [round(end, 10) for end in (found.low, found.high)] == [found.low, found.high]


@pytest.mark.parametrize("prompts", [FEW - 1, FEW])
def test_from_eight_prompts_on_it_is_the_bootstrap(prompts: int) -> None:
    run = make_run([ok(f"v{i}", "color", i / 10) for i in range(prompts)])
    found = run_estimates(run).dimensions["color"].interval
    assert found and found.method == ("t" if prompts < FEW else "BCa")
    percentile = run_estimates(run, method="percentile").dimensions["color"].interval
    assert percentile and percentile.method == ("t" if prompts < FEW else "percentile")


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_without_the_widening_it_is_scipys(method: Any) -> None:
    """SciPy's own bootstrap of skewed scores; two sets of 10,000 draws differ a little."""
    values = 1 - np.random.default_rng(5).lognormal(-3, 0.8, 40)
    expected = stats.bootstrap(
        (values,), np.mean, n_resamples=10_000, method=method, rng=np.random.default_rng(1)
    ).confidence_interval
    found = interval(replace(one_statistic(values), degrees=1e9), 0.95, method)
    width = expected.high - expected.low
    assert found.low == pytest.approx(expected.low, abs=0.03 * width)
    assert found.high == pytest.approx(expected.high, abs=0.03 * width)


def test_bca_leans_towards_the_long_tail() -> None:
    values = 1 - np.random.default_rng(5).lognormal(-3, 0.8, 30)
    statistic = one_statistic(values)
    bca, percentile = interval(statistic, 0.95), interval(statistic, 0.95, "percentile")
    assert bca.low < percentile.low - 0.002 and bca.high < percentile.high


def test_draws_that_tie_with_the_value_lean_to_no_side() -> None:
    """Scores of zeros and ones land on the value itself again and again."""
    draws = np.repeat([0.4, 0.5, 0.6], [400, 200, 400])
    pulls = np.array([-0.1, 0.1] * 10)
    found = interval(Statistic(0.5, draws, pulls, 1e9), 0.5)
    assert (found.low, found.high) == (0.4, 0.6)
    tilted = Statistic(0.5, np.repeat([0.4, 0.5, 0.6], [100, 200, 700]), pulls, 1e9)
    found = interval(tilted, 0.5)  # a fifth of the draws below: the interval moves down
    assert (found.low, found.high) == (0.4, 0.5)


def test_a_value_beyond_all_draws_still_has_an_interval() -> None:
    draws = np.linspace(0.4, 0.5, 1000)
    found = interval(Statistic(0.6, draws, np.array([-0.1, 0.1] * 10), 1e9), 0.95)
    assert 0.499 < found.low <= found.high == 0.5


def test_the_widening_is_students() -> None:
    """Symmetric scores of ten prompts: the interval is Student's up to the shape of the draws."""
    values = stats.norm.ppf((np.arange(10) + 0.5) / 10)
    found = interval(one_statistic(values), 0.9, "percentile")
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert found.high == pytest.approx(expected.high, rel=0.03)
    assert found.low == pytest.approx(expected.low, rel=0.03)


def test_pulls_are_what_leaving_a_prompt_out_does() -> None:
    records = [ok("a", "color", 0.1, 0.3), ok("b", "color", 0.9), ok("c", "color", 0.5, 0.6, 0.7)]
    run = make_run(records)
    clusters = cluster_sums(run, [s.prompt for s in run.samples], ["color"])
    (found,) = dimension_statistics([clusters], [3], 0, 10)
    statistic = found["color"]
    for i in range(3):
        (rest,) = dimension_scores(make_run(records[:i] + records[i + 1 :]))
        assert rest.score is not None
        moved = statistic.value - rest.score
        assert statistic.pulls[i] == pytest.approx(moved * math.sqrt(2 / 3), abs=1e-15)


def test_with_equal_clips_the_error_is_the_textbooks() -> None:
    values = np.random.default_rng(0).normal(0.7, 0.1, 50)
    statistic = one_statistic(values, clips=3.0)
    assert statistic.error == pytest.approx(stats.sem(values), rel=1e-12)
    assert statistic.draws.std() == pytest.approx(stats.sem(values) * math.sqrt(49 / 50), rel=0.03)


def test_samples_of_a_prompt_are_no_new_evidence() -> None:
    """Five copies of every video leave the interval where it was: prompts are what is drawn."""
    values = np.random.default_rng(3).uniform(0.2, 0.9, 12)
    once = [ok(f"v{i}-0", "color", v) for i, v in enumerate(values)]
    often = [replace(r, video=r.video[:-1] + str(j)) for r in once for j in range(5)]
    owner = {r.video: r.video[:-2] for r in often}
    first = run_estimates(make_run(once, prompts=owner)).dimensions["color"].interval
    second = run_estimates(make_run(often, prompts=owner)).dimensions["color"].interval
    assert first and second
    assert (first.low, first.high) == pytest.approx((second.low, second.high), abs=1e-9)


def test_a_prompt_weighs_as_many_clips_as_it_has() -> None:
    values, clips = np.array([0.1] + [0.8] * 5 + [0.9] * 6), np.array([1.0] * 11 + [60.0])
    statistic = one_statistic(values, clips)
    assert statistic.value == pytest.approx((values * clips).sum() / clips.sum())
    assert statistic.draws.max() <= 0.9 and statistic.draws.min() >= 0.1


def test_equal_runs_give_equal_numbers_whatever_their_order() -> None:
    run = several(10)
    first = run_estimates(run)
    assert run_estimates(run) == first
    turned = replace(run, samples=run.samples[::-1], records=run.records[::-1])
    assert run_estimates(turned) == first
    assert run_estimates(run, seed=1) != first


def test_no_interval_and_why() -> None:
    def color(*records: Record) -> Estimate:
        return run_estimates(make_run(records)).dimensions["color"]

    alone = color(ok("a", "color", 0.2, 0.4))
    assert (alone.interval, alone.clusters) == (None, 1)
    assert alone.value == pytest.approx(0.3)
    assert alone.reason == "one prompt says nothing of how others would score"
    equal = color(*(ok(f"v{i}", "color", 0.3) for i in range(20)))
    assert (equal.value, equal.interval, equal.clusters) == (0.3, None, 20)
    assert equal.reason == (
        "all prompts agree to the last digit, which says nothing of their spread"
    )
    none = color(bad("a", "color"), bad("b", "color", Status.MISSING))
    assert (none.value, none.interval, none.clusters) == (None, None, 0)
    assert none.reason == "no video has a score"


def test_failed_videos_take_no_part() -> None:
    records = [ok(f"v{i}", "color", i / 12) for i in range(12)]
    with_failure = make_run([*records, bad("w", "color")])
    found, expected = (
        run_estimates(r).dimensions["color"] for r in (with_failure, make_run(records))
    )
    assert found.clusters == expected.clusters == 12 and found.value == expected.value


# --- aggregates ------------------------------------------------------------------------------


def test_aggregates_are_computed_in_every_resample() -> None:
    run = several(9)
    scored = score_run(run)
    clusters = cluster_sums(run, sorted({s.prompt for s in run.samples}), ALL)
    (known,) = dimension_statistics([clusters], [9], 0, 50)
    found = aggregate_statistics(known, scored, available_totals)
    for i in range(50):
        expected = totals({name: float(known[name].draws[i]) for name in ALL})
        assert found["Quality"].draws[i] == pytest.approx(expected.quality, abs=1e-12)
        assert found["Semantic"].draws[i] == pytest.approx(expected.semantic, abs=1e-12)
        assert found["Total"].draws[i] == pytest.approx(expected.total, abs=1e-12)


def test_aggregates_have_the_scores_value_and_an_interval_around_it() -> None:
    run = several(30)
    scored, found = score_run(run), run_estimates(run)
    for name, estimate in found.aggregates.items():
        assert estimate.value == scored.aggregate(name) and estimate.clusters == 30
        assert estimate.interval and estimate.value
        assert estimate.interval.low < estimate.value < estimate.interval.high
    for one in scored.scores:
        assert found.dimensions[one.dimension].value == one.score


def test_aggregates_follow_the_rule_for_totals() -> None:
    records = [ok(f"v{i}", d, 0.5 + i / 30) for i in range(10) for d in CLASSICAL]
    strict = run_estimates(make_run(records)).aggregates["Quality"]
    assert (strict.value, strict.interval) == (None, None)
    assert strict.reason == "dimensions are absent or incomplete"
    partial = run_estimates(make_run(records), available_totals).aggregates
    assert partial["Quality"].interval and partial["Total"].value is None
    untrained = several(10, protocol={"backend": "reference", "untrained": True})
    assert run_estimates(untrained).aggregates["Total"].reason == "untrained weights"


def test_other_peoples_dimensions_take_no_part_in_an_aggregate() -> None:
    """Not even by resting on a single prompt."""
    run = several(10)
    more = replace(run, records=(*run.records, ok("v0-0", "zoom", 0.5)))
    found, expected = run_estimates(more).aggregates, run_estimates(run).aggregates
    assert found == expected and found["Quality"].interval


def test_one_lonely_prompt_in_a_dimension_takes_the_aggregates_interval() -> None:
    run = several(10)
    kept = [r for r in run.records if r.dimension != "scene" or r.video.startswith("v3")]
    found = run_estimates(replace(run, records=tuple(kept)), available_totals).aggregates
    assert found["Quality"].interval and found["Semantic"].value is not None
    assert found["Semantic"].interval is None and found["Semantic"].clusters == 1


def test_the_static_filters_cap_holds_in_every_prompt() -> None:
    prompts = {f"{p}-{i}": p for p in "abcdefghij" for i in range(3)}
    level = {p: 0.8 + 0.01 * i for i, p in enumerate("abcdefghij")}
    records = [ok(v, FLICKER, *[level[p]] * 3) for v, p in prompts.items()]
    protocol = {"backend": "reference", "static_filter": True}
    run = make_run(records, prompts=prompts, protocol=protocol)
    # The third video's clips lie behind the cap of five: what they score is not looked at.
    late = [
        replace(r, parts={"clips": [{"value": 0.1}]}) if r.video[-1] == "2" else r for r in records
    ]
    capped = make_run(late, prompts=prompts, protocol=protocol)
    clusters = cluster_sums(capped, list(level), [FLICKER])
    assert clusters.counts[:, 0].tolist() == [2] * 10  # two videos each, each its mean
    assert run_estimates(capped) == run_estimates(run)
    (score,) = dimension_scores(capped)
    assert clusters.sums.sum() / clusters.counts.sum() == pytest.approx(score.score, abs=1e-15)


@given(
    clips=st.lists(
        st.lists(st.lists(st.floats(0, 1), min_size=1, max_size=3), min_size=1, max_size=3),
        min_size=1,
        max_size=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_prompts_add_up_to_the_score(clips: list[list[list[float]]]) -> None:
    records = [
        ok(f"v{p}-{i}", "color", *values)
        for p, own in enumerate(clips)
        for i, values in enumerate(own)
    ]
    run = make_run(records, prompts={r.video: r.video.split("-")[0] for r in records})
    found = run_estimates(run, resamples=200).dimensions["color"]
    clusters = cluster_sums(run, [f"v{p}" for p in range(len(clips))], ["color"])
    assert found.value is not None and found.clusters == len(clips)
    assert clusters.sums.sum() / clusters.counts.sum() == pytest.approx(found.value, abs=1e-12)
    if found.interval and found.interval.method == "BCa":
        assert 0 <= found.interval.low <= found.interval.high <= 1


# --- coverage --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "truth"), [("normal", 0.5), ("skewed", 8 / 9), ("five binary samples", 2 / 3)]
)
@pytest.mark.parametrize("prompts", [FEW, 20])
def test_intervals_cover_the_truth(name: str, truth: float, prompts: int) -> None:
    rng = np.random.default_rng(prompts)
    size = (prompts, 600)
    values = {
        "normal": lambda: rng.normal(0.5, 0.1, size),
        "skewed": lambda: rng.beta(8, 1, size),
        "five binary samples": lambda: rng.binomial(5, rng.beta(3, 1.5, size)) / 5,
    }[name]()
    (found,) = dimension_statistics([table(values)], [prompts], 0, 2000)
    ends = [interval(s, 0.95) for s in found.values() if not s.no_interval()]
    covered = np.mean([one.low <= truth <= one.high for one in ends])
    assert (0.905 if prompts == FEW else 0.925) <= covered <= 0.98


def test_a_dimension_that_few_prompts_serve_covers_too() -> None:
    """All prompts are drawn together; the twelve that serve the dimension come in any number."""
    rng = np.random.default_rng(4)
    values = np.vstack([rng.normal(0.5, 0.1, (12, 600)), np.zeros((48, 600))])
    counts = np.vstack([np.ones((12, 600)), np.zeros((48, 600))])
    (found,) = dimension_statistics([table(values, counts)], [60], 0, 2000)
    ends = [interval(s, 0.95) for s in found.values()]
    assert 0.93 <= np.mean([one.low <= 0.5 <= one.high for one in ends]) <= 0.985
    assert {s.degrees for s in found.values()} == {11}


def test_a_difference_is_a_statistic_too() -> None:
    rng = np.random.default_rng(6)
    first, second = rng.normal(0, 1, (2, 40))
    one, two = (
        dimension_statistics([table(v[:, None])], [40], 0, 4000)[0] for v in (first, second)
    )
    gap = combination([two["d0"], one["d0"]], [1, -1], second.mean() - first.mean(), 39)
    assert gap.error == pytest.approx(stats.sem(second - first), rel=1e-9)
    assert gap.draws.std() == pytest.approx(gap.error, rel=0.05)
    assert gap.pulls == pytest.approx(two["d0"].pulls - one["d0"].pulls)
    (alone,) = (combination([one["d0"]], [2.0], 1.0, 39),)
    assert alone.error == pytest.approx(2 * one["d0"].error)
