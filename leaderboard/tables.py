"""Runs as text: a run's own CSV files and summary, and the leaderboard for a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vbench_long.leaderboard.board import Cell, Group, Leaderboard, Row, aggregate_note, footnotes
from vbench_long.leaderboard.protocols import UNTRAINED, protocol_note
from vbench_long.leaderboard.scores import (
    AGGREGATES,
    SCALES,
    RunScores,
    TotalsRule,
    complete_totals,
    dimension_scores,
    percent,
    results,
    score_run,
)
from vbench_long.leaderboard.text import aligned, csv_text, shorten, videos_in_words, wrapped
from vbench_long.store import Run

_WIDTH = 80


def scores_csv(run: Run) -> str:
    """The run's `scores.csv`: one line per dimension, raw scores; equal records, equal bytes."""
    header = ["dimension", "score", "per_video", "videos", "clips", "failed", "missing", "excluded"]
    rows = (
        [s.dimension, s.score, s.per_video, s.videos, s.clips, s.failed, s.missing, s.excluded]
        for s in dimension_scores(run)
    )
    return csv_text([header, *rows])


def videos_csv(run: Run) -> str:
    """The run's `videos.csv`: one line per sample and dimension; equal records, equal bytes."""
    header = ["video", "prompt", "index", "dimension", "score", "status", "error"]
    rows: list[list[object]] = [[*header, "clips", "notes"]]
    for sample, record in results(run):
        row = [sample.video, sample.prompt, sample.index, record.dimension, record.value]
        row += [record.status.value, record.error, len(record.clip_values())]
        rows.append([*row, "; ".join(record.parts.get("notes", []))])
    return csv_text(rows)


def run_summary_text(run: Run, rule: TotalsRule = complete_totals) -> str:
    """What `evaluate` prints at its end: the run's dimensions, then its aggregates."""
    row = score_run(run, rule)
    lines = [f"{shorten(row.label, 60)}: {videos_in_words(row.videos)}, {row.status}"]
    lines += [f"{protocol_note(run.manifest.protocol)}; protocol {row.protocol_id}", ""]
    grid = [["dimension", "score", "percent", "videos", "excluded", "failed", "missing"]]
    for s in row.scores:
        score = "-" if s.score is None else f"{s.score:.6f}"
        counts = [str(n) for n in (s.videos, s.excluded, s.failed, s.missing)]
        grid += [[s.dimension, score, number(Cell(s.dimension, s.score)), *counts]]
    lines += [*aligned(grid), ""]
    if run.manifest.protocol.get("untrained"):
        return "\n".join([*lines, f"no Quality, Semantic, Total: {UNTRAINED}"]) + "\n"
    for name in AGGREGATES:
        value, note = row.aggregate(name), aggregate_note(row, name)
        shown = [] if value is None else [percent(value)]
        lines += wrapped(" ".join([name, *shown, note]), 100)
    return "\n".join(lines) + "\n"


def run_summary(run: Run, rule: TotalsRule = complete_totals) -> dict[str, Any]:
    """A run as JSON types: raw scores, aggregates from 0 to 1 or null."""
    row = score_run(run, rule)
    return {
        "protocol_id": run.manifest.protocol_id,
        "protocol": dict(run.manifest.protocol),
        "about": protocol_note(run.manifest.protocol),
        "model": row.label,
        "backend": row.backend,
        "status": row.status,
        "videos": row.videos,
        **{name.lower(): row.aggregate(name) for name in AGGREGATES},
        "without": list(row.totals.missing),
        "incomplete": list(row.totals.incomplete),
        "dimensions": _dimensions(row),
    }


def _dimensions(row: RunScores) -> dict[str, dict[str, Any]]:
    names = ("score", "per_video", "clips", "videos", "failed", "missing", "excluded")
    return {s.dimension: {n: getattr(s, n) for n in names} for s in row.scores}


def number(cell: Cell) -> str:
    """A score in percent, raw where the unit is unknown (outside the sixteen), "-" for none."""
    if cell.score is None:
        return "-"
    known = cell.name in SCALES or cell.name in AGGREGATES
    return percent(cell.score) if known else f"{cell.score:.4f}"


def half_width(cell: Cell) -> str:
    """Half the interval, in the unit of `number`; empty where there is none."""
    if cell.score is None or cell.interval is None:
        return ""
    return number(Cell(cell.name, (cell.interval[1] - cell.interval[0]) / 2))


def mark(cell: Cell) -> str:
    """A star where a footnote explains a number, or why a dimension has none."""
    return "*" if cell.note and (cell.counts or cell.score is not None) else ""


def place(row: Row) -> str:
    """The row's rank: "3", or "2-4" where the samples do not tell; "-" for none."""
    if row.rank is None:
        return "-"
    best, worst = row.rank
    return str(best) if best == worst else f"{best}-{worst}"


def legend(group: Group) -> list[str]:
    """How to read a group's table, one clause each."""
    cells = [cell for row in group.rows for cell in row.cells.values()]
    clauses = ["percent"]
    if not group.ranked_by:
        clauses.append("rows keep the given order and are not ranked")
    elif not any(row.rank for row in group.rows):
        clauses.append(f"ordered by {group.ranked_by}; without intervals there are no ranks")
    else:
        clauses.append(f"ranked by {group.ranked_by}; a rank is a range where samples cannot tell")
    if any(cell.interval for cell in cells):
        clauses.append("± is half the 95 % interval over prompts")
    if any(map(mark, cells)):
        clauses.append("* is explained below")
    return clauses


def render_text(board: Leaderboard) -> str:
    """The leaderboard for a terminal, in percent: models down, then dimensions down."""
    return "\n".join(line for group in board.groups for line in [*_terminal(group), ""])


def _terminal(group: Group) -> list[str]:
    lines = [group.title, "=" * len(group.title)]
    protocol = f"; protocol {group.protocol_id}" if group.protocol_id else ""
    for line in (f"{group.about}{protocol}", *(f"apart: {reason}" for reason in group.apart)):
        lines += wrapped(line)
    lines += [*wrapped("; ".join(legend(group))), "", *_models(group), *_dimensions_down(group)]
    notes = [line for note in footnotes(group) for line in wrapped(f"* {note}")]
    return [*lines, *(["", *notes] if notes else [])]


def _models(group: Group) -> list[str]:
    """Numbered rows with rank, name, videos and aggregates."""
    header = ["", "rank", "model", "videos", *AGGREGATES]
    grid = [
        [f"{n:3}", place(row), "", videos(row), *(_cell(row.cell(name)) for name in AGGREGATES)]
        for n, row in enumerate(group.rows, 1)
    ]
    others = aligned([header, *grid], least=0)
    room = max(16, _WIDTH - max(map(len, others)) + len("model") - 1)
    names = [shorten(row.label, room) for row in group.rows]
    longest = max(map(len, ["model", *names]))
    header[2] = header[2].ljust(longest)
    for line, name in zip(grid, names, strict=True):
        line[2] = name.ljust(longest)
    return aligned([header, *grid], least=0)


def _dimensions_down(group: Group) -> Iterator[str]:
    """Dimensions down, the numbered rows across, in as many blocks as the width asks for."""
    names = group.dimensions()
    header = ["", *map(_unit, names)]
    columns = [
        [str(n), *(_cell(row.cell(name)) for name in names)] for n, row in enumerate(group.rows, 1)
    ]
    while columns and names:
        block: list[list[str]] = [header]
        while columns and len(block) < 9:
            wider = aligned(list(zip(*block, columns[0], strict=True)))
            if len(block) > 1 and max(map(len, wider)) > _WIDTH:
                break
            block.append(columns.pop(0))
        yield from ["", *aligned(list(zip(*block, strict=True)))]


def videos(row: Row) -> str:
    """How many videos a row rests on; starred if some of them lack a score."""
    if row.videos is None:
        return "published"
    return f"{row.videos}{'' if row.status == 'complete' else '*'}"


def _unit(name: str) -> str:
    return name if name in SCALES else f"{name} (raw)"


def _cell(cell: Cell) -> str:
    half = half_width(cell)
    return f"{number(cell)}{'±' if half else ''}{half}{mark(cell)}"
