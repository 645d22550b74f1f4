"""A leaderboard as dots with error bars: one small panel per dimension and aggregate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vbench_long.errors import UsageError
from vbench_long.leaderboard.board import Cell, Group, Row
from vbench_long.leaderboard.drawing import (
    INK,
    LINE,
    LOOKS,
    PALE,
    WIDTH,
    blank,
    caption,
    picture,
    write_below,
)
from vbench_long.leaderboard.scores import AGGREGATES, SCALES
from vbench_long.leaderboard.text import shorten

MOST_ROWS: Final = 40
"""Rows one picture has room for."""

_COLUMNS = 4
_LEFT, _RIGHT, _GAP = 1.75, 0.2, 0.22  # inches beside and between panels
_TITLE, _TICKS = 0.32, 0.3  # above and under a panel
_PUBLISHED = "#8a8a8a"


def interval_names(group: Group) -> list[str]:
    """What the picture has a panel for: aggregates and official dimensions with a score."""
    names = [*("Total", "Quality", "Semantic"), *group.dimensions()]
    known = (name for name in names if name in AGGREGATES or name in SCALES)
    return [n for n in known if any(row.cell(n).score is not None for row in group.rows)]


def intervals_png(group: Group) -> bytes:
    """Draw each score in percent with its 95 % interval, as a PNG 1600 pixels wide.

    Every panel has its own scale, so that differences can be seen; published figures are hollow,
    for they have no interval. The same leaderboard gives the same bytes as long as matplotlib and
    its fonts stay the same.

    Raises:
        UsageError: nothing in the group has a score that reads as percent.
    """
    names = interval_names(group)
    if not names:
        raise UsageError("none of the official dimensions has a score", "", "there is no picture")
    return picture(lambda: _draw(group, names))


def _draw(group: Group, names: Sequence[str]) -> Figure:
    rows = group.rows[:MOST_ROWS]
    plot = max(0.45, (0.21 if len(rows) <= 12 else 0.15) * len(rows) + 0.12)
    panel = _TITLE + plot + _TICKS
    lines = math.ceil(len(names) / _COLUMNS)
    below = caption(f"{group.title}: {group.about}", "; ".join(_facts(group, rows)))
    figure = blank(0.15 + lines * panel + 0.35 + LINE * len(below))
    height = figure.get_figheight()
    width = (WIDTH - _LEFT - _RIGHT - _GAP * (_COLUMNS - 1)) / _COLUMNS
    for number, name in enumerate(names):
        line, column = divmod(number, _COLUMNS)
        left = _LEFT + column * (width + _GAP)
        bottom = height - 0.15 - line * panel - _TITLE - plot
        axes = figure.add_axes((left / WIDTH, bottom / height, width / WIDTH, plot / height))
        _scale(axes, name)
        _name_rows(axes, rows if column == 0 else [None] * len(rows))
        runs = [row for row in rows if row.run]
        for place, row in enumerate(rows):
            _dot(axes, place, row.cell(name), runs.index(row) if row.run else None)
    write_below(figure, below)
    return figure


def _facts(group: Group, rows: Sequence[Row]) -> Iterator[str]:
    """What the picture's numbers are."""
    yield "dot: percent"
    yield "bar: 95 % interval over prompts"
    yield "each panel has its own scale"
    if any(row.published for row in rows):
        yield "hollow: published, no interval"
    if len(rows) < len(group.rows):
        yield f"{len(rows)} of {len(group.rows)} rows"


def _scale(axes: Axes, name: str) -> None:
    weight = "bold" if name in AGGREGATES else "normal"
    title = name.capitalize().replace("_", " ")
    axes.set_title(title, fontsize=8.5, color=INK, loc="left", pad=4, fontweight=weight)
    axes.margins(x=0.08)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10], min_n_ticks=2))
    axes.tick_params(axis="x", labelsize=7.5, labelcolor=PALE, length=2, color="#bbbbbb", pad=2)
    axes.grid(axis="x", color="#e4e4e4", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")


def _name_rows(axes: Axes, rows: Sequence[Row | None]) -> None:
    size = 8 if len(rows) <= 12 else 7
    beside = axes.get_yaxis_transform()
    for place, row in enumerate(rows):
        if row:  # Text of its own: a tick's label is set again when it is drawn.
            colour = INK if row.run else PALE
            label = axes.text(-0.04, place, shorten(row.label, 26), transform=beside, color=colour)
            label.set(ha="right", va="center", fontsize=size)
    axes.set_yticks(range(len(rows)), [""] * len(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color="#f1f1f1", linewidth=0.7)


def _dot(axes: Axes, place: int, cell: Cell, run: int | None) -> None:
    """One score with its bar; a run has its colour, a published figure is hollow."""
    if cell.score is None:
        if run is not None:
            axes.text(0.02, place, "no score", transform=axes.get_yaxis_transform(), va="center",
                      fontsize=7, color=PALE, fontstyle="italic")  # fmt: skip
        return
    colour = _PUBLISHED if run is None else LOOKS[run % len(LOOKS)].colour
    if cell.interval:
        bounds = [100 * bound for bound in cell.interval]
        axes.plot(bounds, [place, place], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot(bounds, [place, place], "|", color=colour, markersize=6, markeredgewidth=1.2)
    fill = colour if cell.interval else "white"
    axes.plot(100 * cell.score, place, "o", markersize=4, markeredgewidth=1, zorder=3,
              markerfacecolor=fill, markeredgecolor=colour)  # fmt: skip
