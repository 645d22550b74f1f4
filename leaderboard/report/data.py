"""A leaderboard as the page needs it: what the template writes, and the JSON its scripts read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from vbench_long.leaderboard.board import Group, Leaderboard, Row, footnotes
from vbench_long.leaderboard.report import details
from vbench_long.leaderboard.report.media import Media
from vbench_long.leaderboard.scores import SCALES, in_order, percent
from vbench_long.store import Run

TOTALS: Final = ("Total", "Quality", "Semantic")
"""The aggregates as a reader wants them: the sum first."""

BAR_WIDTH: Final = 76
"""Pixels across the picture of an interval in a table cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of every table: an aggregate or a dimension.

    Attributes:
        name: as in the leaderboard.
        title: as people write it.
        part: "totals", "quality", "semantic" or "other".
        percent: whether its scores read as percent; raw otherwise.
    """

    name: str
    title: str
    part: str
    percent: bool

    def show(self, score: float) -> str:
        """The score as text."""
        return percent(score) if self.percent else f"{score:.4f}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A cell ready for the template.

    Attributes:
        column: its column.
        score: for sorting; None where there is none.
        text: the score as people read it.
        bounds: the interval as text, or that there is none; empty for published figures, where
            that goes without saying.
        marked: whether a footnote explains it.
        leads: whether it is the best of its group beyond what the samples leave open.
        point: where the score lies on the bar, in pixels; None without a score.
        span: left end and width of the interval on the bar; None without one.
    """

    column: Column
    score: float | None
    text: str
    bounds: str
    marked: bool
    leads: bool
    point: float | None
    span: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Line:
    """A row ready for the template.

    Attributes:
        row: as in the leaderboard.
        model: its place in the page's data.
        rank: "1", or "2–4" where the samples do not tell; "–" without one.
        cells: one per column.
        run: which run of the page's data shows its details; None for published rows.
        facts: where its numbers come from.
    """

    row: Row
    model: int
    rank: str
    cells: tuple[Shown, ...]
    run: int | None
    facts: tuple[tuple[str, str], ...]

    @property
    def kind(self) -> str:
        """What the filter calls it."""
        return "published" if self.row.published else "run"


@dataclass(frozen=True, slots=True)
class Section:
    """A group ready for the template.

    Attributes:
        group: as in the leaderboard.
        columns: those it has scores in.
        lines: its rows.
        ranked: whether a row has a rank.
        mixed: whether runs stand beside published rows.
        notes: what the asterisks stand for, and what else a reader must know.
    """

    group: Group
    columns: tuple[Column, ...]
    lines: tuple[Line, ...]
    ranked: bool
    mixed: bool
    notes: tuple[str, ...]


def columns_of(names: Sequence[str]) -> list[Column]:
    """Columns for these aggregates and dimensions."""
    return [_column(name) for name in names]


def _column(name: str) -> Column:
    if name in TOTALS:
        return Column(name, name, "totals", True)
    title = name.replace("_", " ")
    part = SCALES[name].group if name in SCALES else "other"
    return Column(name, title[:1].upper() + title[1:], part, name in SCALES)


def sections(board: Leaderboard) -> list[Section]:
    """The groups of a leaderboard, each with the columns it has scores in."""
    found: list[Section] = []
    models = runs = 0
    for group in board.groups:
        shown = [name for name in TOTALS if any(_scored(row, name) for row in group.rows)]
        columns = columns_of([*shown, *group.dimensions()])
        scales = {column.name: _scale(group, column.name) for column in columns}
        lines = []
        for row in group.rows:
            cells = tuple(_shown(row, c, *scales[c.name]) for c in columns)
            facts = tuple(details.facts(row.run) if row.run else _published_facts(row))
            lines.append(
                Line(row, models, _place(row.rank), cells, runs if row.run else None, facts)
            )
            runs += row.run is not None
            models += 1
        found.append(
            Section(
                group=group,
                columns=tuple(columns),
                lines=tuple(lines),
                ranked=any(row.rank for row in group.rows),
                mixed=len({line.kind for line in lines}) > 1,
                notes=tuple(footnotes(group)),
            )
        )
    return found


def page_data(shown: Sequence[Section], folder: Path, media: Media) -> dict[str, Any]:
    """What the page's scripts read, as JSON types.

    Args:
        shown: from `sections`.
        folder: where the page will lie.
        media: whether it shows videos.
    """
    lines = [(number, line) for number, part in enumerate(shown) for line in part.lines]
    runs = [(line.model, line.row.run) for _, line in lines if line.row.run]
    names = {name for _, run in runs for name in (*run.manifest.dimensions, *_recorded(run))}
    names |= {column.name for part in shown for column in part.columns}
    ordered = [*(n for n in TOTALS if n in names), *in_order(names - {*TOTALS})]
    texts, posters = details.Table(), details.Table()
    each = details.posters_each([run for _, run in runs])
    return {
        "columns": [_column_data(column) for column in columns_of(ordered)],
        "groups": [
            {"title": part.group.title, "models": [line.model for line in part.lines]}
            for part in shown
        ],
        "models": [_model_data(number, line) for number, line in lines],
        "runs": [
            {"model": model} | details.run_details(run, folder, media, each, texts, posters)
            for model, run in runs
        ],
        "statuses": details.STATUSES,
        "texts": texts.texts,
        "posters": posters.texts,
    }


def _scored(row: Row, name: str) -> bool:
    return row.cell(name).score is not None


def _place(rank: tuple[int, int] | None) -> str:
    best, worst = rank or ("–", "–")
    return str(best) if best == worst else f"{best}–{worst}"


def _recorded(run: Run) -> Iterator[str]:
    return (record.dimension for record in run.records)


def _scale(group: Group, name: str) -> tuple[float, float]:
    """The ends of a column's bars: from the lowest bound of the group to its highest."""
    cells = [row.cell(name) for row in group.rows]
    ends = [c.score for c in cells if c.score is not None]
    ends += [end for c in cells if c.interval for end in c.interval]
    return (min(ends), max(ends)) if ends else (0.0, 0.0)


def _shown(row: Row, column: Column, low: float, high: float) -> Shown:
    cell = row.cell(column.name)
    if cell.score is None:
        return Shown(column, None, "–", "", bool(cell.note), False, None, None)

    def place(score: float) -> float:
        share = (score - low) / (high - low) if high > low else 0.5
        return round(2 + share * (BAR_WIDTH - 4), 1)

    span, bounds = None, "no interval" if row.run else ""
    if cell.interval:
        left, right = map(place, cell.interval)
        span = left, round(max(right - left, 1.0), 1)
        bounds = "–".join(column.show(end) for end in cell.interval)
    return Shown(
        column=column,
        score=cell.score,
        text=column.show(cell.score),
        bounds=bounds,
        marked=bool(cell.note),
        leads=row.leads(column.name),
        point=place(cell.score),
        span=span,
    )


def _published_facts(row: Row) -> Iterator[tuple[str, str]]:
    figures = row.published
    assert figures is not None  # a row is a run or published
    yield "published.protocol", figures.protocol
    yield "published.source", figures.source
    if figures.note:
        yield "published.note", figures.note
    yield from ((f"published.{key}", value) for key, value in figures.footage.items())


def _column_data(column: Column) -> dict[str, Any]:
    scale = SCALES.get(column.name)
    return {
        "name": column.name,
        "title": column.title,
        "percent": column.percent,
        "minimum": scale and scale.minimum,
        "maximum": scale and scale.maximum,
    }


def _model_data(group: int, line: Line) -> dict[str, Any]:
    return {
        "label": line.row.label,
        "group": group,
        "published": line.row.published is not None,
        "cells": {n: _cell_data(line.row, n) for n in line.row.cells if _scored(line.row, n)},
        "facts": line.facts,
    }


def _cell_data(row: Row, name: str) -> dict[str, Any]:
    cell = row.cell(name)
    found: dict[str, Any] = {"value": details.short(cell.score or 0.0)}
    if cell.interval:
        found |= {"low": details.short(cell.interval[0]), "high": details.short(cell.interval[1])}
    if name in row.ranks:
        found["rank"] = row.ranks[name]
    if cell.unsure and row.run:
        found["unsure"] = cell.unsure
    return found
