"""Runs as text: CSV for machines, Markdown and plain text for people."""

from __future__ import annotations

import csv
import html
import io
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vbench_long.errors import UsageError
from vbench_long.leaderboard.scores import (
    AGGREGATES,
    SCALES,
    DimensionScore,
    RunScores,
    TotalsRule,
    complete_totals,
    dimension_scores,
    in_order,
    percent,
    require_one_protocol,
    results,
    score_run,
)
from vbench_long.store import Run

_RUNS_PER_BLOCK = 6  # keeps the text table within 80 columns
_UNTRAINED = "untrained weights, the numbers mean nothing"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """Runs of one protocol, side by side, in the order they were given.

    Attributes:
        rows: one per run.
        protocol: what they share.
        notes: what a reader must know beyond the rows.
    """

    rows: tuple[RunScores, ...]
    protocol: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    def dimensions(self) -> list[str]:
        """Dimensions with a score in at least one run, in VBench's order."""
        return in_order(s.dimension for r in self.rows for s in r.scores if s.score is not None)


def build(runs: Sequence[Run], rule: TotalsRule = complete_totals) -> Leaderboard:
    """Put runs side by side.

    Args:
        runs: read by `load_run`; their order is kept, because no ranking is honest while some
            of them lack dimensions.
        rule: `complete_totals`, or `available_totals` for partial aggregates.

    Raises:
        UsageError: no run, the same run twice, different protocols (the message names the keys
            and both values), untrained weights, or not a single score.
        RunError: a record contradicts itself.
    """
    if not runs:
        raise UsageError("a leaderboard needs at least one run", "", "name run folders")
    for run in runs:
        if run.manifest.protocol.get("untrained"):
            raise UsageError(
                "a run with untrained weights has no place in a table",
                str(run.folder),
                "leave it out, or evaluate again with published weights",
            )
    require_one_protocol(runs)
    labels = _labels(runs)
    rows = tuple(score_run(run, rule, label) for run, label in zip(runs, labels, strict=True))
    board = Leaderboard(rows, runs[0].manifest.protocol, tuple(_notes(runs)))
    if not board.dimensions():
        raise UsageError("no run has a score", "", "see the errors in its videos.csv")
    return board


def protocol_note(protocol: Mapping[str, Any]) -> str:
    """One line for the reader of a table or picture: what its numbers compare with."""
    if protocol.get("untrained"):
        return _UNTRAINED
    backend, clips = protocol.get("backend", "unknown"), protocol.get("clips", "unknown")
    note = f"{backend} backend, {clips} clips"
    if backend != "reference":
        return printable(f"{note}: not comparable with published scores")
    if clips != "reference":
        return printable(f"{note}: published scores were taken on re-encoded clips")
    return printable(note)


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' names; those that look alike get as much of their folder's path as it takes."""
    names = [run.manifest.name for run in runs]
    looks = Counter(shorten(name, 40) for name in names)
    alike = {
        i: run.folder.resolve() for i, run in enumerate(runs) if looks[shorten(names[i], 40)] > 1
    }
    if len(set(alike.values())) < len(alike):
        twice = Counter(alike.values()).most_common(1)[0][0]
        raise UsageError("the same run is given twice", str(twice), "name it once")
    depth = 1
    while len({folder.parts[-depth:] for folder in alike.values()}) < len(alike):
        depth += 1
    for i, folder in alike.items():
        names[i] = f"{names[i]} ({Path(*folder.parts[-depth:]).as_posix()})"
    return names


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    asked = [{(sample.prompt, sample.index) for sample in run.samples} for run in runs]
    if any(one != asked[0] for one in asked):
        yield "the runs were not asked for the same prompts and samples"


def _footnotes(board: Leaderboard) -> list[str]:
    """What the numbers alone would hide, each once, with the runs it holds for."""
    holds: dict[str, list[str]] = {}
    for row in board.rows:
        for note in _row_notes(row):
            holds.setdefault(note, []).append(shorten(row.label, 60))
    notes = list(board.notes)
    for note, labels in holds.items():
        everyone = len(labels) == len(board.rows) > 1
        notes.append(f"{'all runs' if everyone else ', '.join(labels)}: {note}")
    return notes


def _row_notes(row: RunScores) -> Iterator[str]:
    if row.status not in ("complete", "incomplete"):
        yield f"the run is {row.status}"
    for s in row.scores:
        if not s.complete:
            counts = f"{s.videos} videos scored, {s.failed} failed, {s.missing} missing"
            yield f"{s.dimension}: {counts}"
    for name in AGGREGATES:
        if note := _aggregate_note(row, name):
            yield f"{name} {note}"


def _aggregate_note(row: RunScores, name: str) -> str:
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


def _videos_cell(row: RunScores) -> str:
    return f"{row.videos}{'' if row.status == 'complete' else '*'}"


def _aggregate_cell(row: RunScores, name: str) -> str:
    value = row.aggregate(name)
    return "-" if value is None else percent(value) + ("*" if _aggregate_note(row, name) else "")


def _dimension_cell(row: RunScores, dimension: str) -> str:
    found = row.score_of(dimension)
    return "-" if found is None else _score_text(found) + ("" if found.complete else "*")


def _score_text(s: DimensionScore) -> str:
    """Percent; raw where the unit is unknown, which is the case outside the sixteen."""
    if s.score is None:
        return "-"
    return percent(s.score) if s.dimension in SCALES else f"{s.score:.4f}"


def leaderboard_csv(board: Leaderboard) -> str:
    """One line per run: raw scores in full precision, aggregates from 0 to 1, empty if not shown.

    The sixteen dimensions always have their columns, others follow; aggregates that lack a
    dimension or a video stand in the `partial_` columns only.
    """
    dimensions = in_order([*SCALES, *(s.dimension for r in board.rows for s in r.scores)])
    names = [name.lower() for name in AGGREGATES]
    header = ["model", "protocol", "backend", "status", "videos", "failed", "missing", *names]
    header += [*(f"partial_{name}" for name in names), "partial_without", "partial_incomplete"]
    for dimension in dimensions:
        header += [dimension, f"{dimension}_videos"]
    return _csv([header, *(_csv_row(row, dimensions) for row in board.rows)])


def _csv_row(row: RunScores, dimensions: Sequence[str]) -> list[object]:
    whole: list[object] = []
    partial: list[object] = []
    for name in AGGREGATES:
        flawed = bool(_aggregate_note(row, name))
        whole.append(None if flawed else row.aggregate(name))
        partial.append(row.aggregate(name) if flawed else None)
    shown = any(value is not None for value in partial)
    without = [" ".join(row.totals.missing), " ".join(row.totals.incomplete)] if shown else ["", ""]
    failed, missing = sum(s.failed for s in row.scores), sum(s.missing for s in row.scores)
    cells: list[object] = [row.label, row.protocol_id, row.backend, row.status]
    cells += [row.videos, failed, missing, *whole, *partial, *without]
    for dimension in dimensions:
        found = row.score_of(dimension)
        cells += [found.score, found.videos] if found else [None, None]
    return cells


def scores_csv(run: Run) -> str:
    """The run's `scores.csv`: one line per dimension, raw scores; equal records, equal bytes."""
    header = ["dimension", "score", "per_video", "videos", "clips", "failed", "missing", "excluded"]
    rows = (
        [s.dimension, s.score, s.per_video, s.videos, s.clips, s.failed, s.missing, s.excluded]
        for s in dimension_scores(run)
    )
    return _csv([header, *rows])


def videos_csv(run: Run) -> str:
    """The run's `videos.csv`: one line per sample and dimension; equal records, equal bytes."""
    header = ["video", "prompt", "index", "dimension", "score", "status", "error"]
    rows: list[list[object]] = [[*header, "clips", "notes"]]
    for sample, record in results(run):
        row = [sample.video, sample.prompt, sample.index, record.dimension, record.value]
        row += [record.status.value, record.error, len(record.clip_values())]
        rows.append([*row, "; ".join(record.parts.get("notes", []))])
    return _csv(rows)


def _csv(rows: Iterable[Sequence[object]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(v) for v in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A value as CSV text that no spreadsheet runs as a formula and no reader stumbles over."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair has no UTF-8
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def leaderboard_markdown(board: Leaderboard) -> str:
    """Tables in percent with two decimals: aggregates, then dimensions by group, then notes."""
    present = board.dimensions()
    others = tuple(name for name in present if name not in SCALES)
    sections = [(group, AGGREGATES[group]) for group in ("Quality", "Semantic")]
    sections += [("Other dimensions (raw scores)", others)]
    lines = ["# Leaderboard", "", _markdown(protocol_note(board.protocol)) + "."]
    lines += [f"Protocol `{board.rows[0].protocol_id}`. Scores are percent; rows keep the given"]
    lines += ["order and are not ranked. \\* is explained below.", ""]
    totals = [
        [row.label, _videos_cell(row), *(_aggregate_cell(row, name) for name in AGGREGATES)]
        for row in board.rows
    ]
    lines += _markdown_table(["Model", "Videos", *AGGREGATES], totals)
    for title, members in sections:
        shown = [name for name in present if name in members]
        if shown:
            body = [[r.label, *(_dimension_cell(r, name) for name in shown)] for r in board.rows]
            lines += ["", f"## {title}", ""]
            lines += _markdown_table(["Model", *(name.replace("_", " ") for name in shown)], body)
    notes = [f"- \\* {_markdown(note)}" for note in _footnotes(board)]
    return "\n".join([*lines, *(["", "## Notes", "", *notes] if notes else [])]) + "\n"


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *["---:"] * (len(header) - 1)]
    cells = [[_markdown(shorten(cell, 120)) for cell in row] for row in (header, *rows)]
    return [f"| {' | '.join(row)} |" for row in (cells[0], rule, *cells[1:])]


def _markdown(text: str) -> str:
    """Text that stays text, on one line, in a Markdown table."""
    plain = html.escape(printable(text), quote=False)
    return "".join(f"\\{char}" if char in "\\`*[]|~$" else char for char in plain)


def render_text(board: Leaderboard) -> str:
    """The leaderboard for a terminal: dimensions down, numbered runs across, percent."""
    lines = [f"{protocol_note(board.protocol)}; protocol {board.rows[0].protocol_id}"]
    lines += ["percent; runs keep the given order and are not ranked; * is explained below", ""]
    for number, row in enumerate(board.rows, 1):
        lines += [f"{number:4}  {shorten(row.label, 60)}, {row.videos} videos, {row.status}"]
    present = board.dimensions()
    for start in range(0, len(board.rows), _RUNS_PER_BLOCK):
        rows = board.rows[start : start + _RUNS_PER_BLOCK]
        grid = [["", *(str(start + column) for column, _ in enumerate(rows, 1))]]
        for name in present:
            unit = "" if name in SCALES else " (raw)"
            grid += [[name + unit, *(_dimension_cell(row, name) for row in rows)]]
        grid += [[name, *(_aggregate_cell(row, name) for row in rows)] for name in AGGREGATES]
        lines += ["", *_aligned(grid)]
    notes = [line for note in _footnotes(board) for line in _wrapped(f"* {note}")]
    return "\n".join([*lines, *(["", *notes] if notes else [])]) + "\n"


def run_summary_text(run: Run, rule: TotalsRule = complete_totals) -> str:
    """What `evaluate` prints at its end: the run's dimensions, then its aggregates."""
    row = score_run(run, rule)
    lines = [f"{shorten(row.label, 60)}: {row.videos} videos, {row.status}"]
    lines += [f"{protocol_note(run.manifest.protocol)}; protocol {row.protocol_id}", ""]
    grid = [["dimension", "score", "percent", "videos", "excluded", "failed", "missing"]]
    for s in row.scores:
        score = "-" if s.score is None else f"{s.score:.6f}"
        counts = [str(n) for n in (s.videos, s.excluded, s.failed, s.missing)]
        grid += [[s.dimension, score, _score_text(s), *counts]]
    lines += [*_aligned(grid), ""]
    if run.manifest.protocol.get("untrained"):
        return "\n".join([*lines, f"no Quality, Semantic, Total: {_UNTRAINED}"]) + "\n"
    for name in AGGREGATES:
        value, note = row.aggregate(name), _aggregate_note(row, name)
        shown = [] if value is None else [percent(value)]
        lines += _wrapped(" ".join([name, *shown, note]))
    return "\n".join(lines) + "\n"


def _aligned(grid: Sequence[Sequence[str]]) -> list[str]:
    """First column to the left, the others to the right; marks hang over the right edge."""
    widths = [max(len(row[i].rstrip("*")) for row in grid) for i in range(len(grid[0]))]
    lines = []
    for row in grid:
        cells = [row[0].ljust(widths[0])]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            number = cell.rstrip("*")
            cells.append(number.rjust(max(width, 6)) + cell[len(number) :].ljust(1))
        lines.append(" ".join(cells).rstrip())
    return lines


def _wrapped(line: str) -> list[str]:
    return textwrap.wrap(line, 100, subsequent_indent="  ", break_on_hyphens=False)


def printable(text: str) -> str:
    """One line without control, format or half characters: safe for a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shorten(text: str, length: int) -> str:
    """`printable` text of at most `length` characters; the middle goes, since ends tell apart."""
    plain = printable(text)
    tail = length // 3
    return plain if len(plain) <= length else f"{plain[: length - tail - 3]}...{plain[-tail:]}"


def leaderboard_summary(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard as JSON types: raw scores, aggregates from 0 to 1 or null."""
    return {
        "protocol_id": board.rows[0].protocol_id,
        "protocol": dict(board.protocol),
        "about": protocol_note(board.protocol),
        "runs": [_summary(row) for row in board.rows],
        "notes": _footnotes(board),
    }


def run_summary(run: Run, rule: TotalsRule = complete_totals) -> dict[str, Any]:
    """A run as JSON types: raw scores, aggregates from 0 to 1 or null."""
    return {
        "protocol_id": run.manifest.protocol_id,
        "protocol": dict(run.manifest.protocol),
        "about": protocol_note(run.manifest.protocol),
        **_summary(score_run(run, rule)),
    }


def _summary(row: RunScores) -> dict[str, Any]:
    names = ("score", "per_video", "clips", "videos", "failed", "missing", "excluded")
    return {
        "model": row.label,
        "backend": row.backend,
        "status": row.status,
        "videos": row.videos,
        **{name.lower(): row.aggregate(name) for name in AGGREGATES},
        "without": list(row.totals.missing),
        "incomplete": list(row.totals.incomplete),
        "dimensions": {s.dimension: {n: getattr(s, n) for n in names} for s in row.scores},
    }
