"""The gate: what makes it fail, what must not, and what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from test_scores import ALL, CLASSICAL, bad, make_run, ok

from vbench_long.errors import UsageError
from vbench_long.leaderboard.gate.comparison import Comparison, Finding, Rule, Verdict, compare
from vbench_long.leaderboard.gate.files import (
    compare_json,
    compare_junit,
    compare_markdown,
    compare_text,
    headline,
)
from vbench_long.leaderboard.scores import score_run
from vbench_long.records import Status
from vbench_long.store import Run

FLICKER = "temporal_flickering"


def indexed(run: Run) -> Run:
    """The run with sample indices taken from the ends of its videos' names."""
    samples = tuple(replace(s, index=int(s.video.rpartition("-")[2])) for s in run.samples)
    return replace(run, samples=samples)


def several(
    seed: int,
    prompts: int = 20,
    samples: int = 2,
    dimensions: Sequence[str] = CLASSICAL,
    change: Mapping[str, float] | None = None,
    **more: Any,
) -> Run:
    """A run whose prompts differ by 0.05 and whose samples by 0.01; `change` is added."""
    rng = np.random.default_rng(seed)
    level = np.random.default_rng(99).normal(0.5, 0.05, (prompts, len(dimensions)))
    records, owner = [], {}
    for prompt in range(prompts):
        for index in range(samples):
            video = f"{prompt}-{index}"
            owner[video] = f"prompt {prompt}"
            for i, name in enumerate(dimensions):
                values = level[prompt, i] + (change or {}).get(name, 0) + rng.normal(0, 0.01, 2)
                records.append(ok(video, name, *values.tolist()))
    return indexed(make_run(records, prompts=owner, **more))


def finding(comparison: Comparison, dimension: str) -> Finding:
    (found,) = (f for f in comparison.findings if f.dimension == dimension)
    return found


def without(run: Run, *videos: str, status: Status = Status.FAILED) -> Run:
    """The run with these videos failed."""
    records = [bad(r.video, r.dimension, status) if r.video in videos else r for r in run.records]
    return replace(run, records=tuple(records))


# --- verdicts --------------------------------------------------------------------------------


def test_a_planted_drop_fails_the_gate_and_nothing_else_does() -> None:
    found = compare(several(1), several(2, change={"imaging_quality": -0.02}))
    assert found.having(Verdict.WORSE) == ["imaging_quality"] and found.exit_code == 1
    assert found.having(Verdict.NO_EVIDENCE) == list(CLASSICAL[:5])
    worse = finding(found, "imaging_quality")
    assert worse.change and worse.change.interval and worse.adjusted is not None
    assert worse.change.difference == pytest.approx(-0.02, abs=0.005)
    assert worse.change.interval.low < worse.change.difference < worse.change.interval.high < 0
    assert worse.tails and worse.tails.worse < 0.001 < 0.99 < worse.tails.better
    assert (worse.prompts, worse.videos) == ((20, 20), (40, 40))
    assert headline(found) == "worse: imaging_quality"


def test_a_rise_passes_and_is_said() -> None:
    found = compare(several(1), several(2, change={"dynamic_degree": 0.02}))
    assert found.having(Verdict.BETTER) == ["dynamic_degree"] and found.exit_code == 0
    assert "better: dynamic_degree" in headline(found)


def test_turning_the_runs_round_turns_the_answer_round() -> None:
    base, new = several(1), several(2, change={"dynamic_degree": 0.02, FLICKER: -0.02})
    there, back = compare(base, new), compare(new, base)
    assert there.having(Verdict.BETTER) == back.having(Verdict.WORSE) == ["dynamic_degree"]
    for one, two in zip(there.findings, back.findings, strict=True):
        assert one.change and two.change and one.p == two.p
        assert one.change.difference == pytest.approx(-two.change.difference, abs=1e-15)
        assert one.detectable == pytest.approx(two.detectable, rel=1e-12)


def test_a_run_equals_itself() -> None:
    run = several(1)
    found = compare(run, run)
    assert {f.verdict for f in found.findings} == {Verdict.NO_EVIDENCE} and found.exit_code == 0
    assert {f.p for f in found.findings} == {1.0}
    assert {f.detectable for f in found.findings} == {None}
    assert headline(found) == "not worse: both runs have the same scores"


def test_equal_runs_give_equal_bytes_whatever_their_order() -> None:
    base, new = several(1), several(2, change={FLICKER: -0.005})
    turned = replace(new, samples=new.samples[::-1], records=new.records[::-1])
    first, second = compare(base, new), compare(base, turned)
    assert first.findings == second.findings
    assert compare_json(first) == compare_json(compare(base, new))


def test_the_same_prompts_sharpen_the_comparison() -> None:
    """Prompts differ five times as much as the drop: only side by side it is plain."""
    base, new = several(1), several(2, change={"imaging_quality": -0.01})
    apart = replace(new, samples=tuple(replace(s, prompt=f"not {s.prompt}") for s in new.samples))
    paired, unpaired = compare(base, new), compare(base, apart)
    assert (paired.design, unpaired.design) == ("paired", "two-sample")
    assert paired.exit_code == 1 and unpaired.exit_code == 0
    one, two = finding(paired, "imaging_quality"), finding(unpaired, "imaging_quality")
    assert one.change and two.change and one.detectable and two.detectable
    assert one.change.difference == pytest.approx(two.change.difference)
    assert one.detectable * 3 < two.detectable
    assert any("two samples" in note for note in unpaired.notes)


def test_two_samples_of_different_size() -> None:
    base = several(1, prompts=12)
    new = several(2, prompts=30, change={FLICKER: -0.2})
    new = replace(new, samples=tuple(replace(s, prompt=f"not {s.prompt}") for s in new.samples))
    found = compare(base, new)
    assert found.having(Verdict.WORSE) == [FLICKER]
    one = finding(found, FLICKER)
    assert (one.prompts, one.videos) == ((12, 30), (24, 60))
    assert one.change and one.change.interval and one.change.interval.high < -0.1


def test_a_difference_in_the_number_of_clips_is_no_difference() -> None:
    """New videos are longer: more clips of the same scores, on every other prompt."""
    base = several(1)
    new = several(1)
    longer = []
    for record in new.records:
        clips = record.parts["clips"] * (2 if int(record.video.split("-")[0]) % 2 else 1)
        longer.append(replace(record, parts={"clips": clips}))
    found = compare(base, replace(new, records=tuple(longer)))
    assert found.exit_code == 0 and not found.having(Verdict.BETTER)


# --- what is asked ---------------------------------------------------------------------------


def test_a_tolerated_drop_is_tolerated() -> None:
    base, new = several(1), several(2, change={"imaging_quality": -0.02, FLICKER: -0.02})
    assert compare(base, new, Rule(max_drop=0.05)).exit_code == 0
    assert compare(base, new, Rule(max_drop=0.005)).having(Verdict.WORSE) == [
        FLICKER, "imaging_quality",
    ]  # fmt: skip
    found = compare(base, new, Rule(max_drops={FLICKER: 0.05}))
    assert found.having(Verdict.WORSE) == ["imaging_quality"]
    tolerant, strict = finding(found, FLICKER), finding(compare(base, new), FLICKER)
    assert tolerant.detectable and strict.detectable
    assert tolerant.detectable == pytest.approx(strict.detectable + 0.05)
    assert tolerant.change == strict.change and tolerant.max_drop == 0.05


def test_a_drop_just_as_large_as_tolerated_is_no_evidence() -> None:
    base, new = several(1), several(2, change={FLICKER: -0.02})
    assert finding(compare(base, new, Rule(max_drop=0.02)), FLICKER).verdict is Verdict.NO_EVIDENCE


def test_a_rise_is_better_whatever_drop_is_tolerated() -> None:
    found = compare(several(1), several(2, change={FLICKER: 0.02}), Rule(max_drop=0.5))
    assert found.having(Verdict.BETTER) == [FLICKER]


def test_fewer_dimensions_need_less_correction() -> None:
    base, new = several(1), several(2)
    everything, alone = compare(base, new), compare(base, new, Rule(dimensions=(FLICKER,)))
    assert [f.dimension for f in alone.findings] == [FLICKER]
    one, all_six = finding(alone, FLICKER), finding(everything, FLICKER)
    assert one.p == all_six.p == one.adjusted
    assert one.detectable and all_six.detectable and one.detectable < all_six.detectable


def test_alpha_decides() -> None:
    base, new = several(1), several(2, change={FLICKER: -0.0065})
    p = finding(compare(base, new), FLICKER).adjusted
    assert p is not None and 0.002 < p < 0.05
    assert compare(base, new, Rule(alpha=0.05)).exit_code == 1
    strict = compare(base, new, Rule(alpha=0.002))
    assert strict.exit_code == 0
    change = finding(strict, FLICKER).change
    assert change and change.interval and change.interval.confidence == 0.998


@pytest.mark.parametrize(
    "bad_rule",
    [{"alpha": 0.0}, {"alpha": 0.6}, {"alpha": float("nan")}, {"max_drop": -0.1},
     {"max_drop": float("nan")}, {"max_drops": {FLICKER: 2.0}}],
)  # fmt: skip
def test_nonsense_is_refused(bad_rule: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Rule(**bad_rule)


@pytest.mark.parametrize("rule", [Rule(dimensions=("flickering",)), Rule(max_drops={"flicker": 0})])
def test_a_dimension_that_base_lacks_is_refused(rule: Rule) -> None:
    with pytest.raises(UsageError, match="did you mean 'temporal_flickering'"):
        compare(several(1), several(2), rule)


def test_a_base_without_scores_is_refused() -> None:
    with pytest.raises(UsageError, match="BASE has no score"):
        compare(make_run([bad("v-0", "color")]), several(1))


@pytest.mark.parametrize(
    ("key", "value"), [("suite", "mini 123"), ("clips", "reference"), ("static_filter", True)]
)
def test_different_protocols_are_refused_by_name(key: str, value: Any) -> None:
    protocol = {"backend": "classical", "clips": "exact", "suite": "", "static_filter": False}
    base, new = (several(1, protocol=p) for p in (protocol, protocol | {key: value}))
    with pytest.raises(UsageError, match=rf"{key}: .* -> {value!r}"):
        compare(base, new)


def test_other_weights_are_refused() -> None:
    base, new = several(1), several(2)
    base, new = (
        replace(
            run, records=tuple(replace(r, identity=f"{r.dimension}/w:{w}") for r in run.records)
        )
        for run, w in ((base, "ab12"), (new, "cd34"))
    )
    with pytest.raises(UsageError, match=r"w:ab12 and by .*w:cd34"):
        compare(base, new)


def test_untrained_runs_compare_with_untrained_runs_only_and_say_so() -> None:
    trained = {"backend": "reference", "untrained": False}
    runs = [several(seed, protocol=trained | {"untrained": True}) for seed in (1, 2)]
    found = compare(*runs)
    assert "untrained" in found.notes[0]
    for text in (compare_text(found), compare_markdown(found), compare_junit(found)):
        assert "untrained" in text
    assert json.loads(compare_json(found))["untrained"] is True
    with pytest.raises(UsageError, match="untrained: False -> True"):
        compare(several(1, protocol=trained), runs[1])


# --- what is there and what is not -----------------------------------------------------------


def test_a_failed_video_of_new_is_never_passed_over() -> None:
    base, new = several(1), without(several(2), "3-0", "7-1")
    found = compare(base, new)
    assert found.exit_code == 3 and not found.having(Verdict.WORSE)
    assert len(found.lacking) == 2 * len(CLASSICAL)
    assert {(lack.prompt, lack.index) for lack in found.lacking} == {
        ("prompt 3", 0),
        ("prompt 7", 1),
    }
    assert "broken file" in found.lacking[0].why
    assert finding(found, FLICKER).videos == (38, 38)
    assert headline(found).startswith("incomplete: NEW lacks 12 scores of 2 videos")
    assert compare(base, new, Rule(partial=True)).exit_code == 0


def test_losing_the_worst_videos_does_not_help() -> None:
    """NEW is worse everywhere and fails on its low prompts: what both have decides."""
    base, new = several(1, prompts=30), several(2, prompts=30, change={FLICKER: -0.01})
    low = sorted(new.records, key=lambda r: (r.dimension != FLICKER, r.value or 0))[:20]
    found = compare(base, without(new, *(record.video for record in low)))
    assert found.having(Verdict.WORSE) == [FLICKER] and found.exit_code == 1
    worse = finding(found, FLICKER)
    assert worse.change and worse.change.difference == pytest.approx(-0.01, abs=0.005)
    full = score_run(base).score_of(FLICKER)
    assert full and full.score and worse.change.base > full.score + 0.01  # over what both have


@pytest.mark.parametrize("status", [Status.FAILED, Status.MISSING])
def test_what_base_lacks_is_no_fault_of_new(status: Status) -> None:
    found = compare(without(several(1), "3-0", status=status), several(2))
    assert found.exit_code == 0 and not found.lacking
    assert any("6 scores of NEW are left out" in note for note in found.notes)


def test_samples_and_dimensions_that_new_was_not_asked_for() -> None:
    base, fewer = several(1), several(2, samples=1)
    found = compare(base, fewer)
    assert found.exit_code == 3 and found.design == "paired"
    assert {lack.why for lack in found.lacking} == {"NEW was not asked for it"}
    assert compare(base, fewer, Rule(partial=True)).exit_code == 0
    narrow = several(2, dimensions=[FLICKER])
    assert compare(base, narrow).exit_code == 3
    assert compare(base, narrow, Rule(dimensions=(FLICKER,))).exit_code == 0
    untested = finding(compare(base, narrow), "imaging_quality")
    assert untested.verdict is Verdict.NOT_TESTED and "no video has a score" in untested.reason
    assert any("imaging_quality" in note for note in compare(narrow, base).notes)


def test_two_samples_with_failures_are_incomplete_too() -> None:
    new = without(several(2), "3-0")
    new = replace(new, samples=tuple(replace(s, prompt=f"not {s.prompt}") for s in new.samples))
    assert compare(several(1), new).exit_code == 3
    assert len(compare(several(1), new).lacking) == len(CLASSICAL)


def test_an_interrupted_run_is_said() -> None:
    found = compare(several(1), several(2, status="interrupted"))
    assert "NEW is interrupted" in found.notes


def test_videos_that_the_protocol_leaves_out_are_no_lack() -> None:
    protocol = {"backend": "reference", "static_filter": True}
    base = several(1, dimensions=[FLICKER], protocol=protocol)
    new = without(several(2, dimensions=[FLICKER], protocol=protocol), "3-0", "4-0", "4-1",
                  status=Status.EXCLUDED)  # fmt: skip
    found = compare(base, new)
    assert found.exit_code == 0 and not found.lacking
    assert any("3 scores are left out: the protocol" in note for note in found.notes)
    assert finding(found, FLICKER).prompts == (19, 19)
    assert finding(found, FLICKER).videos == (37, 37)


def test_one_prompt_is_not_tested_and_few_are_said_to_show_nothing() -> None:
    found = compare(several(1, prompts=1), several(2, prompts=1))
    assert {f.verdict for f in found.findings} == {Verdict.NOT_TESTED}
    assert found.findings[0].change and found.findings[0].change.interval is None
    assert "one prompt" in found.findings[0].reason
    few = compare(several(1, prompts=4), several(2, prompts=4, change={FLICKER: -0.3}))
    assert few.exit_code == 0 and {f.detectable for f in few.findings} == {None}
    assert "too few prompts" in few.findings[0].reason
    assert "none was possible" in headline(few)


def test_untestable_dimensions_cost_the_others_nothing() -> None:
    records = [ok("0-0", "scene", 0.5)]
    base, new = (replace(run, records=(*run.records, *records)) for run in (several(1), several(2)))
    found = compare(base, new)
    assert finding(found, "scene").verdict is Verdict.NOT_TESTED
    plain = compare(several(1), several(2))
    assert finding(found, FLICKER) == finding(plain, FLICKER)


def test_aggregates_stand_below_where_both_runs_are_whole() -> None:
    base = several(1, dimensions=ALL)
    new = several(2, dimensions=ALL, change=dict.fromkeys(ALL[:7], -0.01))
    found = compare(base, new)
    assert [change.name for change in found.aggregates] == ["Quality", "Semantic", "Total"]
    quality = found.aggregates[0]
    assert quality.base == pytest.approx(score_run(base).totals.quality, abs=1e-12)
    assert quality.new == pytest.approx(score_run(new).totals.quality, abs=1e-12)
    assert quality.interval and quality.interval.high < 0
    assert found.aggregates[1].interval and found.aggregates[1].interval.high > -0.005
    assert compare(base, new, Rule(dimensions=ALL)).aggregates == ()
    assert compare(base, without(new, "3-0")).aggregates == ()
    assert compare(several(1), several(2)).aggregates == ()
