"""The leaderboard as files: CSV and JSON for machines, Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

from vbench_long import __version__
from vbench_long.leaderboard.board import Cell, Group, Leaderboard, Row, footnotes
from vbench_long.leaderboard.protocols import identities
from vbench_long.leaderboard.scores import AGGREGATES, SCALES, in_order
from vbench_long.leaderboard.tables import half_width, legend, mark, number, place, videos
from vbench_long.leaderboard.text import csv_text, markdown, shorten

SCHEMA: Final = "vbench-long/leaderboard/1"
"""Name and version of the JSON document; the version rises when a reader would break."""


def leaderboard_csv(board: Leaderboard) -> str:
    """One line per row of every group: scores raw and in percent, their intervals, their origin.

    Raw scores have full precision, aggregates run from 0 to 1; `_low` and `_high` have the same
    unit, `_percent` is for people. Empty means unknown, never zero. The sixteen dimensions always
    have their columns, others follow. Aggregates that lack a dimension or a video stand in the
    `partial_` columns only.
    """
    others = (c.name for r in board.rows for c in r.cells.values() if c.name not in AGGREGATES)
    dimensions = in_order([*SCALES, *others])
    lines = [_csv_row(group, row, dimensions) for group in board.groups for row in group.rows]
    return csv_text([list(lines[0]), *(list(line.values()) for line in lines)])


def _csv_row(group: Group, row: Row, dimensions: Sequence[str]) -> dict[str, object]:
    counts = [cell.counts for cell in row.cells.values() if cell.counts]
    best, worst = row.rank or (None, None)
    line: dict[str, object] = {
        "model": row.label,
        "group": group.title,
        "published": "yes" if row.published else "no",
        "status": row.status,
        "ranked_by": group.ranked_by if best else None,
        "rank_best": best,
        "rank_worst": worst,
        "videos": row.videos,
        "failed": sum(c.failed for c in counts) if row.run else None,
        "missing": sum(c.missing for c in counts) if row.run else None,
    }
    for name in AGGREGATES:
        cell = row.cell(name)
        line |= _csv_cell(name.lower(), Cell(name, None) if cell.note else cell)
    for name in AGGREGATES:
        cell = row.cell(name)
        line[f"partial_{name.lower()}"] = cell.score if cell.note else None
        line[f"{name.lower()}_note"] = cell.note or None
    for name in dimensions:
        cell = row.cell(name)
        line |= _csv_cell(name, cell)
        line[f"{name}_videos"] = cell.counts.videos if cell.counts else None
    return line | origin(row)


def _csv_cell(column: str, cell: Cell) -> dict[str, object]:
    low, high = cell.interval or (None, None)
    shown = None if cell.score is None else number(cell)
    return {column: cell.score, f"{column}_percent": shown, f"{column}_low": low,
            f"{column}_high": high}  # fmt: skip


def origin(row: Row) -> dict[str, object]:
    """Where a row's numbers come from; the keys are the same for all rows, None where unknown."""
    run, figures = row.run, row.published
    protocol = run.manifest.protocol if run else {}
    releases = {e.get("vbench-long") for e in run.environments.values()} if run else set()
    return {
        "protocol": run.manifest.protocol_id if run else figures and figures.protocol,
        "backend": protocol.get("backend"),
        "clips": protocol.get("clips"),
        "suite": protocol.get("suite"),
        "vbench_long": " ".join(sorted(map(str, releases))) or None,
        "computed_by": " ".join(sorted(set(identities(run).values()))) if run else None,
        "command": run.manifest.command if run else None,
        "judged": run.manifest.updated if run else None,
        "source": figures.source if figures else None,
        "remark": figures.note if figures else None,
    }


def leaderboard_json(board: Leaderboard) -> str:
    """The leaderboard as JSON text, schema `SCHEMA`; see `leaderboard_summary`."""
    return json.dumps(leaderboard_summary(board), indent=1, allow_nan=False) + "\n"


def leaderboard_summary(board: Leaderboard) -> dict[str, Any]:
    """The leaderboard as JSON types: raw scores, aggregates from 0 to 1, null where unknown."""
    return {
        "schema": SCHEMA,
        "vbench_long": __version__,
        "confidence": 0.95,
        "groups": [
            {
                "title": group.title,
                "about": group.about,
                "apart": list(group.apart),
                "ranked_by": group.ranked_by or None,
                "protocol_id": group.protocol_id or None,
                "protocol": dict(group.protocol),
                "rows": [_json_row(row) for row in group.rows],
                "notes": footnotes(group),
            }
            for group in board.groups
        ],
    }


def _json_row(row: Row) -> dict[str, Any]:
    return {
        "model": row.label,
        "published": row.published is not None,
        "status": row.status,
        "videos": row.videos,
        "rank": row.rank,
        **{name.lower(): _json_cell(row, row.cell(name)) for name in AGGREGATES},
        "dimensions": {
            c.name: _json_cell(row, c) for c in row.cells.values() if c.name not in AGGREGATES
        },
        "origin": origin(row),
        "footage": dict(row.published.footage) if row.published else None,
    }


def _json_cell(row: Row, cell: Cell) -> dict[str, Any]:
    names = ("per_video", "clips", "videos", "failed", "missing", "excluded")
    counted = {n: getattr(cell.counts, n) for n in names} if cell.counts else {}
    return {
        "score": cell.score,
        "interval": cell.interval,
        "no_interval": cell.unsure or None,
        "rank": row.ranks.get(cell.name),
        "note": cell.note or None,
        **counted,
    }


def leaderboard_markdown(board: Leaderboard) -> str:
    """Tables in percent with two decimals: per group aggregates, dimensions, notes."""
    lines = ["# Leaderboard", ""]
    for group in board.groups:
        lines += _markdown_group(group)
    return "\n".join(lines).rstrip() + "\n"


def _markdown_group(group: Group) -> list[str]:
    about = sentence(markdown(group.about))
    about += f" Protocol `{group.protocol_id}`." if group.protocol_id else ""
    lines = [f"## {markdown(group.title)}", "", about]
    lines += [sentence(markdown(f"apart: {reason}")) for reason in group.apart]
    lines += [sentence(markdown("; ".join(printed_legend(group)))), ""]
    header = ["Rank", "Model", "Videos", *AGGREGATES]
    lines += _markdown_table(header, [_markdown_row(row) for row in group.rows])
    for title, names in sections(group):
        header = ["Model", *(name.replace("_", " ") for name in names)]
        body = [
            [markdown(shorten(r.label, 120)), *(_markdown_cell(r, name) for name in names)]
            for r in group.rows
        ]
        lines += ["", f"### {title}", "", *_markdown_table(header, body)]
    notes = [f"- \\* {markdown(note)}" for note in footnotes(group)]
    return [*lines, "", *(["### Notes", "", *notes, ""] if notes else [])]


def printed_legend(group: Group) -> list[str]:
    """How to read a group's table where type can be bold, one clause each."""
    leaders = any(row.leads(name) for row in group.rows for name in row.cells)
    return [*legend(group), *(["bold leads beyond what the samples leave open"] * leaders)]


def sentence(text: str) -> str:
    """With a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}."


def _markdown_row(row: Row) -> list[str]:
    first = [place(row), shorten(row.label, 120), videos(row)]
    return [*map(markdown, first), *(_markdown_cell(row, name) for name in AGGREGATES)]


def sections(group: Group) -> list[tuple[str, tuple[str, ...]]]:
    """The group's dimensions in the tables they are printed in."""
    present = group.dimensions()
    parts = {name: AGGREGATES[name] for name in ("Quality", "Semantic")}
    parts["Other dimensions (raw scores)"] = tuple(n for n in present if n not in SCALES)
    shown = {t: tuple(n for n in present if n in members) for t, members in parts.items()}
    return [(title, names) for title, names in shown.items() if names]


def _markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    names = header.index("Model") + 1
    rule = ["---"] * names + ["---:"] * (len(header) - names)
    return [f"| {' | '.join(row)} |" for row in (list(map(markdown, header)), rule, *rows)]


def _markdown_cell(row: Row, name: str) -> str:
    cell = row.cell(name)
    half = half_width(cell)
    shown = f"**{number(cell)}**" if row.leads(name) else number(cell)
    return f"{shown}{f' ±{half}' if half else ''}{markdown(mark(cell))}"
