"""A leaderboard as dots with error bars: one small panel per dimension and aggregate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from vbench_long.errors import UsageError
from vbench_long.leaderboard.board import Group, Row
from vbench_long.leaderboard.pictures.drawing import (
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
_TITLE, _TICKS = 0.42, 0.3  # above and under a panel
_PUBLISHED = "#8a8a8a"


@dataclass(frozen=True, slots=True)
class _Panel:
    """Where one dimension or aggregate is drawn, in inches from the figure's upper left corner.

    Attributes:
        name: of the dimension or aggregate.
        left: edge.
        top: edge.
        width: across.
        rows: height of a row.
        low: percent at the left edge.
        high: percent at the right edge.
    """

    name: str
    left: float
    top: float
    width: float
    rows: float
    low: float
    high: float

    def x(self, score: float) -> float:
        """Where a score lies."""
        return self.left + self.width * (100 * score - self.low) / (self.high - self.low)

    def y(self, place: int) -> float:
        """Where the row with this number lies."""
        return self.top + self.rows * (place + 0.5)


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
    each = 0.22 if len(rows) <= 12 else 0.15
    step = _TITLE + each * len(rows) + _TICKS
    below = caption(f"{group.title}: {group.about}", "; ".join(_facts(group, rows)))
    height = math.ceil(len(names) / _COLUMNS) * step + 0.45 + LINE * len(below)
    figure = blank(height)
    # One pair of axes in inches: a pair for each panel would take ten times as long.
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH), ylim=(height, 0))
    axes.axis("off")
    width = (WIDTH - _LEFT - _RIGHT - _GAP * (_COLUMNS - 1)) / _COLUMNS
    panels = []
    for number, name in enumerate(names):
        line, column = divmod(number, _COLUMNS)
        left, top = _LEFT + column * (width + _GAP), line * step + _TITLE
        panels.append(_Panel(name, left, top, width, each, *_reach(rows, name)))
        _frame(axes, panels[-1], len(rows))
        if column == 0:
            _names(axes, panels[-1], rows)
    runs = 0
    for place, row in enumerate(rows):
        _scores(axes, panels, place, row, LOOKS[runs % len(LOOKS)].colour if row.run else None)
        runs += row.run is not None
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


def _reach(rows: Sequence[Row], name: str) -> tuple[float, float]:
    """The percent at a panel's edges: all scores and intervals, and a little air."""
    cells = [cell for cell in (row.cell(name) for row in rows) if cell.score is not None]
    ends = [100 * end for cell in cells for end in (cell.score or 0.0, *(cell.interval or ()))]
    air = 0.08 * (max(ends, default=1.0) - min(ends, default=0.0)) or 0.5
    return min(ends, default=0.0) - air, max(ends, default=1.0) + air


def _frame(axes: Axes, panel: _Panel, rows: int) -> None:
    """Title, grid and scale."""
    weight = "bold" if panel.name in AGGREGATES else "normal"
    title = panel.name.capitalize().replace("_", " ")
    axes.text(panel.left, panel.top - 0.06, title, fontsize=8.5, color=INK, fontweight=weight)
    left, right, bottom = panel.left, panel.left + panel.width, panel.top + panel.rows * rows
    across = [[(left, panel.y(place)), (right, panel.y(place))] for place in range(rows)]
    axes.add_collection(LineCollection(across, colors="#f1f1f1", linewidths=0.7, zorder=1))
    found = MaxNLocator(3, steps=[1, 2, 5, 10], min_n_ticks=2).tick_values(panel.low, panel.high)
    ticks = [float(tick) for tick in found if panel.low <= tick <= panel.high]
    gap = float(found[1] - found[0])
    for tick in ticks:
        text = f"{tick:.{max(0, -math.floor(math.log10(gap) + 1e-9))}f}"
        axes.text(panel.x(tick / 100), bottom + 0.05, text, fontsize=7.5, color=PALE,
                  ha="center", va="top")  # fmt: skip
    down = [[(panel.x(tick / 100), panel.top), (panel.x(tick / 100), bottom)] for tick in ticks]
    axes.add_collection(LineCollection(down, colors="#e4e4e4", linewidths=0.7, zorder=1))
    axes.plot([left, right], [bottom, bottom], color="#bbbbbb", linewidth=0.8, zorder=1)


def _names(axes: Axes, panel: _Panel, rows: Sequence[Row]) -> None:
    size = 8 if len(rows) <= 12 else 7
    for place, row in enumerate(rows):
        colour = INK if row.run else PALE
        label = axes.text(panel.left - 0.07, panel.y(place), shorten(row.label, 26), color=colour)
        label.set(ha="right", va="center_baseline", fontsize=size)


def _scores(axes: Axes, panels: Sequence[_Panel], place: int, row: Row, colour: str | None) -> None:
    """One row in all panels; a run has its colour, what has no interval is hollow."""
    shade = colour or _PUBLISHED
    bars: list[list[tuple[float, float]]] = []
    dots: list[tuple[float, float]] = []
    hollow: list[tuple[float, float]] = []
    for panel in panels:
        cell, y = row.cell(panel.name), panel.y(place)
        if cell.score is None:
            if row.run:
                axes.text(panel.left + 0.03, y, "no score", va="center_baseline", fontsize=7,
                          color=PALE, fontstyle="italic")  # fmt: skip
            continue
        (dots if cell.interval else hollow).append((panel.x(cell.score), y))
        if cell.interval:
            low, high = map(panel.x, cell.interval)
            bars += [[(low, y), (high, y)]]
            bars += [[(end, y - 0.04), (end, y + 0.04)] for end in (low, high)]
    axes.add_collection(LineCollection(bars, colors=shade, linewidths=1.4, zorder=2))
    for places, fill in ((dots, shade), (hollow, "white")):
        if places:
            axes.plot(*zip(*places, strict=True), "o", markersize=4, markeredgewidth=1, zorder=3,
                      markerfacecolor=fill, markeredgecolor=shade)  # fmt: skip
