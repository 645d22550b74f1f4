"""Two runs side by side: which prompts and samples they share, and what one of them lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from vbench_long.leaderboard.bootstrap import (
    RESAMPLES,
    SEED,
    Clusters,
    Statistic,
    cluster_sums,
    combination,
    dimension_statistics,
)
from vbench_long.leaderboard.gate.significance import Scores
from vbench_long.leaderboard.scores import DimensionScore, in_order, results
from vbench_long.records import Record, Status
from vbench_long.store import Run

Design = Literal["paired", "two-sample"]
Key = tuple[str, int]
"""A sample: prompt and index."""

Results = Mapping[tuple[Key, str], Record]
"""What is known of every planned sample and dimension."""


@dataclass(frozen=True, slots=True)
class Lack:
    """A score that BASE has and NEW lacks.

    Attributes:
        prompt: of the sample.
        index: of the sample.
        dimension: what NEW has no score of.
        why: the error, or what became of it.
    """

    prompt: str
    index: int
    dimension: str
    why: str


@dataclass(frozen=True, slots=True)
class Pair:
    """What is compared: both runs by prompts.

    Attributes:
        base: the run before; of a paired design what it shares with the other.
        new: the run after, likewise.
        design: "paired" if the rows of both tables are one and the same prompt, "two-sample" if
            every row belongs to one run and is empty in the other's table.
        tables: base and new by prompts.
        groups: how many rows are drawn among themselves, in their order.
    """

    base: Run
    new: Run
    design: Design
    tables: tuple[Clusters, Clusters]
    groups: tuple[int, ...]

    def statistics(self) -> list[dict[str, Statistic]]:
        """The dimensions of base and of new, under the same resamples."""
        return dimension_statistics(self.tables, self.groups, SEED, RESAMPLES)

    def scores(self, dimension: str) -> tuple[Scores, Scores]:
        """The prompts of either run that have a score; the same ones if they are paired."""
        column = self.tables[0].dimensions.index(dimension)
        rows = [table.counts[:, column] > 0 for table in self.tables]
        if self.design == "paired":
            rows = [rows[0] & rows[1]] * 2
        base, new = (
            Scores(table.sums[row, column], table.counts[row, column])
            for table, row in zip(self.tables, rows, strict=True)
        )
        return base, new

    def difference(self, base: Statistic, new: Statistic) -> Statistic:
        """New minus base; of two samples with the degrees of freedom of Welch and Satterthwaite."""
        degrees = min(base.degrees, new.degrees)
        if self.design == "two-sample" and degrees >= 1 and (base.error or new.error):
            one, two = base.error**2, new.error**2
            degrees = (one + two) ** 2 / (one**2 / base.degrees + two**2 / new.degrees)
        return combination([new, base], [1, -1], new.value - base.value, degrees)


def pair_up(base: Run, before: Results, new: Run, after: Results) -> Pair:
    """Pair two runs on the samples they share, or set them apart if they share none.

    Args:
        base: the run before.
        before: its `by_sample`.
        new: the run after.
        after: its `by_sample`.
    """
    dimensions = in_order(name for known in (before, after) for name in scored(known))
    common = shared(before, after)
    if common:
        base, new = _only(base, after, common), _only(new, before, common)
        prompts = sorted({prompt for prompt, _ in common})
        tables = [cluster_sums(run, prompts, dimensions) for run in (base, new)]
        return Pair(base, new, "paired", (tables[0], tables[1]), (len(prompts),))
    asked = [sorted({sample.prompt for sample in run.samples}) for run in (base, new)]
    first, second = (
        cluster_sums(run, own, dimensions) for run, own in zip((base, new), asked, strict=True)
    )
    none = [np.zeros_like(table.sums) for table in (first, second)]
    first = replace(
        first, sums=np.vstack([first.sums, none[1]]), counts=np.vstack([first.counts, none[1]])
    )
    second = replace(
        second, sums=np.vstack([none[0], second.sums]), counts=np.vstack([none[0], second.counts])
    )
    return Pair(base, new, "two-sample", (first, second), (len(asked[0]), len(asked[1])))


def shared(before: Results, after: Results) -> set[Key]:
    """The samples that both runs were asked for."""
    return {key for key, _ in before} & {key for key, _ in after}


def by_sample(run: Run) -> dict[tuple[Key, str], Record]:
    """Every planned sample and dimension of a run with its record."""
    found: dict[tuple[Key, str], Record] = {}
    for sample, record in results(run):
        key = (sample.prompt, sample.index), record.dimension
        if key not in found or record.status is Status.OK:
            found[key] = record
    return found


def scored(known: Results) -> list[str]:
    """The dimensions that have a score."""
    return in_order(name for (_, name), record in known.items() if record.status is Status.OK)


def whole_scores(run: Run, known: Mapping[str, Statistic]) -> Iterator[DimensionScore]:
    """The dimensions of a run of which every planned video has a score or is left out."""
    planned = Counter(name for sample in run.samples for name in sample.dimensions)
    found = Counter((record.dimension, record.status) for record in run.records)
    for name, statistic in known.items():
        ok, excluded, failed, missing = (
            found[name, status]
            for status in (Status.OK, Status.EXCLUDED, Status.FAILED, Status.MISSING)
        )
        if not failed and not missing and ok + excluded >= planned[name]:
            yield DimensionScore(name, statistic.value, None, 0, ok, 0, 0, excluded)


def lacking(before: Results, after: Results, dimensions: Sequence[str]) -> Iterator[Lack]:
    """Scores that BASE has and NEW lacks; if they share no sample, those NEW was asked for.

    A video that the protocol leaves out of a dimension is no lack.
    """
    if not shared(before, after):
        before = after
    for (key, dimension), record in before.items():
        match = after.get((key, dimension))
        if dimension not in dimensions or (before is not after and record.status is not Status.OK):
            continue
        if match is None:
            yield Lack(*key, dimension, "NEW was not asked for it")
        elif match.status in (Status.FAILED, Status.MISSING):
            yield Lack(*key, dimension, f"{match.status}: {match.error}")


def _only(run: Run, theirs: Results, common: set[Key]) -> Run:
    """The run's samples that both have, and those of their scores that both have.

    A score of a video that the protocol leaves out in the other run is left out here too.
    """
    keys = {s.video: (s.prompt, s.index) for s in run.samples if (s.prompt, s.index) in common}
    records = []
    for record in (r for r in run.records if r.video in keys):
        match = theirs.get((keys[record.video], record.dimension))
        if record.status is Status.OK and match and match.status is Status.EXCLUDED:
            records.append(replace(record, status=Status.EXCLUDED, value=None))
        elif record.status is not Status.OK or (match and match.status is Status.OK):
            records.append(record)
    samples = tuple(s for s in run.samples if s.video in keys)
    return replace(run, samples=samples, records=tuple(records))
