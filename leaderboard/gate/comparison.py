"""Did NEW become worse than BASE: two runs, dimension by dimension, with a verdict one can trust.

A gate that compares one number with a constant fails by luck. This one asks whether a difference
stands out of what equal models show on the same prompts, for all dimensions together, and says
first how small a difference it could have seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.bootstrap import (
    ROUNDING,
    SEED,
    Interval,
    Statistic,
    interval,
)
from vbench_long.leaderboard.gate.pairing import (
    Design,
    Lack,
    Pair,
    Results,
    by_sample,
    lacking,
    pair_up,
    scored,
    shared,
    whole_scores,
)
from vbench_long.leaderboard.gate.significance import (
    Tails,
    detectable,
    detectable_paired,
    holm,
    paired_tails,
    smallest_paired,
    smallest_unpaired,
    unpaired_tails,
)
from vbench_long.leaderboard.protocols import require_one_protocol
from vbench_long.leaderboard.scores import AGGREGATES, complete_totals, in_order
from vbench_long.leaderboard.statistics import aggregate_statistics, untrained
from vbench_long.records import Status
from vbench_long.registry import unknown
from vbench_long.store import Run

SMALLEST_ALPHA: Final = 1e-4


class Verdict(StrEnum):
    """What the gate says of one dimension."""

    BETTER = "better"
    WORSE = "worse"
    NO_EVIDENCE = "no evidence"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Rule:
    """What the gate is asked.

    Attributes:
        alpha: chance of any verdict "better" or "worse" when nothing changed, over all
            dimensions together.
        max_drop: drop that is tolerated, in raw score (0.01 is one percent point). "worse"
            needs evidence that the score fell by more.
        max_drops: the same for single dimensions, instead of `max_drop`.
        dimensions: what to compare; empty for all that BASE has a score of.
        partial: judge what both runs have although NEW lacks videos that BASE has.

    Raises:
        UsageError: a number out of range.
    """

    alpha: float = 0.05
    max_drop: float = 0.0
    max_drops: Mapping[str, float] = field(default_factory=dict)
    dimensions: tuple[str, ...] = ()
    partial: bool = False

    def __post_init__(self) -> None:
        if not SMALLEST_ALPHA <= self.alpha <= 0.5:
            raise UsageError(f"alpha {self.alpha:g}", "", f"give {SMALLEST_ALPHA} to 0.5")
        for drop in (self.max_drop, *self.max_drops.values()):
            if not 0 <= drop <= 1:
                raise UsageError(
                    f"a tolerated drop of {100 * drop:g} points", "", "give 0 to 100 points"
                )

    def allowed(self, dimension: str) -> float:
        """The tolerated drop of a dimension, raw."""
        return self.max_drops.get(dimension, self.max_drop)


@dataclass(frozen=True, slots=True)
class Change:
    """A score before and after, on what both runs have.

    Attributes:
        name: a dimension (raw scores) or an aggregate (from 0 to 1).
        base: before.
        new: after.
        interval: of new - base, each by itself at 1 - alpha; None if there is none.
        reason: why there is no interval.
    """

    name: str
    base: float
    new: float
    interval: Interval | None = None
    reason: str = ""

    @property
    def difference(self) -> float:
        """New minus base."""
        return self.new - self.base


@dataclass(frozen=True, slots=True)
class Finding:
    """What the gate says of one dimension.

    Attributes:
        dimension: its name.
        change: None if the runs have nothing to compare in it.
        prompts: of base and of new; the same ones if paired.
        videos: of base and of new.
        max_drop: the tolerated drop, raw.
        tails: one-sided p-values: that the drop exceeds `max_drop`, that the score rose.
        adjusted: two-sided p-value after Holm's correction over all tested dimensions.
        detectable: smallest true drop that is called worse in 80 of 100 cases; None if there is
            no such drop, or nothing is known of the noise.
        verdict: see `Verdict`.
        reason: why it was not tested, or why nothing can be detected.
    """

    dimension: str
    change: Change | None
    prompts: tuple[int, int]
    videos: tuple[int, int]
    max_drop: float
    tails: Tails | None = None
    adjusted: float | None = None
    detectable: float | None = None
    verdict: Verdict = Verdict.NOT_TESTED
    reason: str = ""

    @property
    def p(self) -> float | None:
        """The two-sided p-value, twice the smaller tail."""
        return min(1.0, 2 * min(self.tails.worse, self.tails.better)) if self.tails else None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The gate's answer.

    Attributes:
        base: the run before.
        new: the run after.
        rule: what was asked.
        design: "paired" on the samples both runs have, or "two-sample" if they share none.
        findings: per dimension, in VBench's order.
        aggregates: Quality, Semantic, Total where both runs have all of it; they are not tested,
            since the dimensions they are made of are.
        lacking: scores that BASE has and NEW lacks.
        notes: what a reader must know beyond the numbers.
    """

    base: Run
    new: Run
    rule: Rule
    design: Design
    findings: tuple[Finding, ...]
    aggregates: tuple[Change, ...]
    lacking: tuple[Lack, ...]
    notes: tuple[str, ...]

    @property
    def same(self) -> bool:
        """Whether all that is compared is equal."""
        changes = [one.change for one in self.findings if one.change]
        return all(abs(change.difference) <= ROUNDING for change in changes)

    def having(self, verdict: Verdict) -> list[str]:
        """The dimensions with this verdict."""
        return [one.dimension for one in self.findings if one.verdict is verdict]

    @property
    def exit_code(self) -> int:
        """1 if a dimension is worse; 3 if NEW lacks videos; else 0."""
        if self.having(Verdict.WORSE):
            return 1
        return 3 if self.lacking and not self.rule.partial else 0


def compare(base: Run, new: Run, rule: Rule | None = None) -> Comparison:
    """Compare two runs; the same runs always give the same answer.

    With samples in common (prompt and index) the runs are compared on those, prompt by prompt;
    with none, as two samples of prompts.

    Args:
        base: the run before.
        new: the run after.
        rule: what to ask; the defaults of `Rule` if None.

    Raises:
        UsageError: different protocols or weights (the message names what differs), a dimension
            that BASE has no score of.
        RunError: a record contradicts itself.
    """
    rule = rule or Rule()
    require_one_protocol([base, new])
    before, after = by_sample(base), by_sample(new)
    dimensions = _dimensions(base, before, rule)
    pair = pair_up(base, before, new, after)
    statistics = pair.statistics()
    return Comparison(
        base,
        new,
        rule,
        pair.design,
        tuple(_findings(dimensions, pair, statistics, rule)),
        () if rule.dimensions else tuple(_aggregates(pair, statistics, rule)),
        tuple(lacking(before, after, dimensions)),
        tuple(_notes(base, before, new, after)),
    )


def _dimensions(base: Run, before: Results, rule: Rule) -> list[str]:
    """What to compare.

    Raises:
        UsageError: BASE has no score at all, or none of a dimension that is asked for.
    """
    known = scored(before)
    if not known:
        raise UsageError("BASE has no score", str(base.folder), "see the errors in its videos.csv")
    for name in (*rule.dimensions, *rule.max_drops):
        if name not in known:
            raise unknown("dimension of BASE", name, tuple(known))
    return in_order(rule.dimensions or known)


def _findings(
    dimensions: Sequence[str],
    pair: Pair,
    statistics: Sequence[Mapping[str, Statistic]],
    rule: Rule,
) -> list[Finding]:
    """Compare every dimension, and judge them together."""
    findings = [_untested(name, pair, statistics, rule) for name in dimensions]
    tests = sum(not finding.reason for finding in findings)
    findings = [f if f.reason else _tested(f, pair, statistics, rule, tests) for f in findings]
    adjusted = iter(holm([finding.p for finding in findings if finding.p is not None]))
    judged = []
    for finding in findings:
        if finding.tails:
            p = next(adjusted)
            sides = finding.tails.worse, finding.tails.better
            loud = Verdict.WORSE if sides[0] < sides[1] else Verdict.BETTER
            verdict = loud if p <= rule.alpha else Verdict.NO_EVIDENCE
            finding = replace(finding, adjusted=p, verdict=verdict)
        judged.append(finding)
    return judged


def _untested(
    name: str, pair: Pair, statistics: Sequence[Mapping[str, Statistic]], rule: Rule
) -> Finding:
    """Both scores and their difference; a reason where that is all there can be."""
    base, new = pair.scores(name)
    prompts = len(base.sums), len(new.sums)
    videos = _videos(pair.base, name), _videos(pair.new, name)
    finding = Finding(name, None, prompts, videos, rule.allowed(name))
    if not all(prompts):
        return replace(finding, reason="no video has a score in both runs")
    parts = [known[name] for known in statistics]
    change = _change(name, parts[0].value, parts[1].value, pair.difference(*parts), rule)
    reason = "one prompt says nothing of chance" if min(prompts) < 2 else ""
    return replace(finding, change=change, reason=reason)


def _tested(
    finding: Finding,
    pair: Pair,
    statistics: Sequence[Mapping[str, Statistic]],
    rule: Rule,
    tests: int,
) -> Finding:
    """Both p-values, and how small a difference would have been seen among so many tests."""
    base, new = pair.scores(finding.dimension)
    level = rule.alpha / tests  # what Holm asks of the most striking of them
    if pair.design == "paired":
        test, smallest = paired_tails, smallest_paired(len(base.sums))
    else:
        test, smallest = unpaired_tails, smallest_unpaired(len(base.sums), len(new.sums))
    risen = test(base, new, level, SEED)
    drop = finding.max_drop
    fallen = test(base, new.raised(drop), level, SEED) if drop else risen
    finding = replace(finding, tails=Tails(fallen.worse, risen.better))
    difference = pair.difference(*(known[finding.dimension] for known in statistics))
    if smallest > level:
        return replace(finding, reason="too few prompts to show anything, whatever the difference")
    if not difference.error:
        return replace(finding, reason=_why_flat(difference))
    if pair.design == "paired":
        seen = detectable_paired(difference.error, len(base.sums), level)
    else:
        seen = detectable(difference.error, difference.degrees, level)
    return replace(finding, detectable=drop + seen)


def _change(name: str, base: float, new: float, difference: Statistic, rule: Rule) -> Change:
    if difference.degrees < 1 or not difference.error:
        one = "one prompt says nothing of chance"
        return Change(
            name, base, new, None, one if difference.degrees < 1 else _why_flat(difference)
        )
    return Change(name, base, new, interval(difference, 1 - rule.alpha))


def _why_flat(difference: Statistic) -> str:
    if abs(difference.value) <= ROUNDING:
        return "the runs agree on every prompt"
    return "every prompt differs by the same amount, which says nothing of chance"


def _aggregates(
    pair: Pair, statistics: Sequence[Mapping[str, Statistic]], rule: Rule
) -> Iterator[Change]:
    """Quality, Semantic and Total where nothing was left out."""
    if untrained(pair.base):
        return
    base, new = (
        aggregate_statistics(known, list(whole_scores(run, known)), complete_totals)
        for known, run in zip(statistics, (pair.base, pair.new), strict=True)
    )
    for name in AGGREGATES:
        if name in base and name in new:
            difference = pair.difference(base[name], new[name])
            yield _change(name, base[name].value, new[name].value, difference, rule)


def _videos(run: Run, dimension: str) -> int:
    return sum(r.dimension == dimension and r.status is Status.OK for r in run.records)


def _notes(base: Run, before: Results, new: Run, after: Results) -> Iterator[str]:
    """What a reader must know beyond the numbers."""
    if untrained(base):
        yield "untrained weights: this tries the plumbing, the numbers mean nothing"
    for name, run in (("BASE", base), ("NEW", new)):
        if run.manifest.status != "complete":
            yield f"{name} is {run.manifest.status}"
    others = [name for name in scored(after) if name not in scored(before)]
    if others:
        yield f"not compared, since BASE has no score of it: {', '.join(others)}"
    if not shared(before, after):
        yield "no sample in common: the runs are compared as two samples of prompts"
        return
    more = sum(
        (record.status is Status.OK and key not in before) or before[key].status is not Status.OK
        for key, record in after.items()
    )
    if more:
        yield f"{more} scores of NEW are left out: BASE has none for the same sample"
    apart = sum(
        Status.EXCLUDED in (record.status, after[key].status) and record.status != after[key].status
        for key, record in before.items()
        if key in after
    )
    if apart:
        yield f"{apart} scores are left out: the protocol takes the video in one run only"
