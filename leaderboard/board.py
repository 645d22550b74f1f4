"""A leaderboard: groups of rows that compare, each row a run or a published model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vbench_long.leaderboard.published import PublishedRow
from vbench_long.leaderboard.scores import AGGREGATES, DimensionScore, RunScores, in_order
from vbench_long.leaderboard.text import shorten
from vbench_long.store import Run

NO_SAMPLES: Final = "published without samples, so its error is unknown"


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a row.

    Attributes:
        name: a dimension, or "Quality", "Semantic", "Total".
        score: raw for a dimension, 0..1 on the official scale for an aggregate; None if there is
            none to show.
        interval: (low, high) in the score's unit; None where it is unknown.
        unsure: why the interval is unknown; empty if it is known or there is no score.
        note: why the score is absent, partial, or not over all videos; empty if it is whole.
        counts: clips and videos behind a dimension's score; None for aggregates and published
            figures.
    """

    name: str
    score: float | None
    interval: tuple[float, float] | None = None
    unsure: str = ""
    note: str = ""
    counts: DimensionScore | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line: a run, or a model as somebody published it. Exactly one of the two is not None.

    Attributes:
        label: the model's name, unique among the runs, with the folder's name where needed.
        status: "complete", "incomplete" (a video failed or is missing), "running",
            "interrupted", or "published".
        videos: videos with a score in at least one dimension; None where nobody says.
        cells: by name; what the row was never asked for has none.
        ranks: per dimension and aggregate the (best, worst) place in the group, 1 is the top;
            rows that cannot be told apart share their places. Published rows have none.
        rank: the one of `ranks` that orders the group; None if the row is not ranked.
        run: the run with all its records, for those who look closer.
        published: the published figures, with their source.
    """

    label: str
    status: str
    videos: int | None
    cells: Mapping[str, Cell]
    ranks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rank: tuple[int, int] | None = None
    run: Run | None = None
    published: PublishedRow | None = None

    def cell(self, name: str) -> Cell:
        """What the row says of a dimension or aggregate, an empty cell if nothing."""
        return self.cells.get(name) or Cell(name, None)

    def leads(self, name: str) -> bool:
        """Whether the row is the best of its group beyond doubt, on all its videos."""
        return self.ranks.get(name) == (1, 1) and not self.cell(name).note


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that compare: one table, ranked among themselves and with nobody else.

    Attributes:
        title: a few words; unique in the leaderboard.
        about: one line saying what its numbers compare with.
        apart: why it is a table of its own; empty for the first.
        rows: ranked ones from the top, others after them in the given order.
        ranked_by: the aggregate that orders the rows; empty if they keep the given order.
        protocol: what its runs share; empty if they are published figures only.
        protocol_id: twelve hex digits, or empty.
        notes: what a reader must know beyond the numbers.
    """

    title: str
    about: str
    apart: tuple[str, ...]
    rows: tuple[Row, ...]
    ranked_by: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    protocol_id: str = ""
    notes: tuple[str, ...] = ()

    def dimensions(self) -> list[str]:
        """Dimensions with a score in at least one row, in VBench's order."""
        return scored_dimensions(self.rows)


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """All groups; the user's first run is in the first."""

    groups: tuple[Group, ...]

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows, group after group."""
        return tuple(row for group in self.groups for row in group.rows)

    def dimensions(self) -> list[str]:
        """Dimensions with a score in at least one row, in VBench's order."""
        return scored_dimensions(self.rows)


def footnotes(group: Group) -> list[str]:
    """What the numbers alone would hide, each once, with the rows it holds for."""
    holds: dict[str, list[str]] = {}
    for row in group.rows:
        for note in _row_notes(row):
            holds.setdefault(note, []).append(shorten(row.label, 60))
    runs = [row for row in group.rows if row.run]
    notes = list(group.notes)
    for note, labels in holds.items():
        everyone = len(labels) == len(runs) > 1
        notes.append(f"{'all runs' if everyone else ', '.join(labels)}: {note}")
    if any(row.published for row in group.rows):
        notes.append(f"published rows have no interval: {NO_SAMPLES}")
    return notes


def _row_notes(row: Row) -> Iterator[str]:
    if row.published:
        if row.published.note:
            yield row.published.note
        return
    if row.status not in ("complete", "incomplete"):
        yield f"the run is {row.status}"
    said: dict[str, list[str]] = {}
    unsure: dict[str, list[str]] = {}
    for cell in row.cells.values():
        if cell.note and cell.name not in AGGREGATES:
            said.setdefault(cell.note, []).append(cell.name)
        if cell.unsure:
            unsure.setdefault(cell.unsure, []).append(cell.name)
    for note, names in said.items():
        yield f"{', '.join(names)}: {note}"
    scored = [cell.name for cell in row.cells.values() if cell.score is not None]
    for reason, names in unsure.items():
        which = "" if names == scored else f" for {', '.join(names)}"
        yield f"no interval{which}: {reason}"
    for name in AGGREGATES:
        if note := row.cell(name).note:
            yield f"{name} {note}"


def aggregate_note(row: RunScores, name: str) -> str:
    """Why an aggregate is partial or not shown; empty if it is the official one."""
    absent = [d for d in AGGREGATES[name] if d in row.totals.missing]
    patchy = [d for d in AGGREGATES[name] if d in row.totals.incomplete]
    if row.aggregate(name) is None and name == "Total":
        groups = [group for group in ("Quality", "Semantic") if row.aggregate(group) is None]
        return f"not shown: needs {' and '.join(groups)}"
    if row.aggregate(name) is None:
        needs = (d if row.score_of(d) is None else f"all videos of {d}" for d in absent)
        return f"not shown: needs {', '.join(needs)}"
    if not absent and not patchy:
        return ""
    have = f"partial, {len(AGGREGATES[name]) - len(absent)} of {len(AGGREGATES[name])}"
    without = f"; without {', '.join(absent)}" if absent else ""
    videos = f"; not all videos in {', '.join(patchy)}" if patchy else ""
    return f"({have}{without}{videos})"


def scored_dimensions(rows: Iterable[Row]) -> list[str]:
    """Dimensions with a score in at least one row, in VBench's order."""
    return in_order(
        cell.name
        for row in rows
        for cell in row.cells.values()
        if cell.score is not None and cell.name not in AGGREGATES
    )
