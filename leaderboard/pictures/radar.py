"""A leaderboard as a picture: a radar of the normalised dimensions, or bars where there are few."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from typing import Final

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.projections.polar import PolarAxes

from vbench_long.errors import UsageError
from vbench_long.leaderboard.board import Group, Row
from vbench_long.leaderboard.pictures.drawing import (
    INK,
    LOOKS,
    WIDTH,
    blank,
    caption,
    picture,
    write_below,
)
from vbench_long.leaderboard.scores import SCALES, normalise
from vbench_long.leaderboard.text import shorten

MOST_RUNS: Final = 10
"""Runs one picture can tell apart; the first ones are drawn and the picture says so."""

_MARGIN = 0.25
_LINE = 0.2  # inches, one line of small text


def drawable_dimensions(group: Group) -> list[str]:
    """The dimensions a picture can show: scored in some run, and with an official scale."""
    return [name for name in group.dimensions() if name in SCALES]


def radar_png(group: Group) -> bytes:
    """Draw up to ten rows on the official scale, 0 to 100 percent, as a PNG 1600 pixels wide.

    One polygon per row, runs before published figures; a missing score is a gap. Values beyond the
    scale are drawn on its edge. With fewer than three dimensions there is no polygon, and bars are
    drawn instead.

    Raises:
        UsageError: none of the official dimensions has a score.
    """
    dimensions = drawable_dimensions(group)
    if not dimensions:
        raise UsageError("none of the official dimensions has a score", "", "there is no picture")
    rows = _drawn_rows(group, dimensions)

    def draw() -> Figure:
        figure = _bars(rows, dimensions) if len(dimensions) < 3 else _radar(rows, dimensions)
        facts = "; ".join(_facts(group, rows, dimensions))
        write_below(figure, caption(f"{group.title}: {group.about}", facts)[-3:])
        return figure

    return picture(draw)


def _drawn_rows(group: Group, dimensions: Sequence[str]) -> list[Row]:
    """The rows a picture has room for: runs, then published figures that have most to show."""

    def known(row: Row) -> int:
        return sum(row.cell(name).score is not None for name in dimensions)

    runs = [row for row in group.rows if row.run]
    published = [row for row in group.rows if row.published and known(row)]
    return [*runs, *sorted(published, key=known, reverse=True)][:MOST_RUNS]


def _radar(rows: Sequence[Row], dimensions: Sequence[str]) -> Figure:
    labels, legend_height = _legend_labels(rows)
    below = 0.8 + legend_height
    figure = blank(6.75 + below)
    height = figure.get_figheight()
    side = 5.2
    left, bottom = (WIDTH - side) / 2 / WIDTH, (below + 0.75) / height
    axes = figure.add_axes((left, bottom, side / WIDTH, side / height), projection="polar")
    assert isinstance(axes, PolarAxes)
    angles = [2 * math.pi * i / len(dimensions) for i in range(len(dimensions))]
    _radar_grid(axes, angles, dimensions)
    handles: list[Artist] = []
    for row, look in zip(rows, LOOKS, strict=False):
        values = [_drawn(_percent(row, name)) for name in dimensions]
        (line,) = axes.plot(
            [*angles, angles[0]],
            [*values, values[0]],
            color=look.colour,
            linewidth=1.8 if row.run else 1.0,
            alpha=1.0 if row.run else 0.75,
            marker=look.marker,
            markersize=5 if row.run else 3.5,
            markeredgecolor="white",
            markeredgewidth=0.5,
            clip_on=False,
            zorder=4 if row.run else 3,
        )
        if look.dash:
            line.set_dashes(look.dash)
        if len(rows) == 1 and not any(map(math.isnan, values)):
            axes.fill(angles, values, color=look.colour, alpha=0.08, linewidth=0)
        handles.append(line)
    _legend(figure, handles, labels, 0.75 + legend_height)
    return figure


def _radar_grid(axes: PolarAxes, angles: Sequence[float], dimensions: Sequence[str]) -> None:
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set_ylim(0, 100)
    axes.set_xticks(angles, [""] * len(angles))
    axes.set_yticks([20, 40, 60, 80, 100], [""] * 5)
    for ring in (20, 40, 60, 80):
        axes.annotate(
            str(ring),
            (0, ring),
            (-3, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=8,
            color="#666666",
            zorder=5,
            path_effects=[withStroke(linewidth=2, foreground="white")],
        )
    axes.grid(color="#cccccc", linewidth=0.7)
    axes.spines["polar"].set_color("#999999")
    for angle, name in zip(angles, dimensions, strict=True):
        side, rise = round(math.sin(angle), 6), round(math.cos(angle), 6)
        axes.text(
            angle,
            105,
            _title(name),
            ha="center" if abs(side) < 0.1 else "left" if side > 0 else "right",
            va="center" if abs(rise) < 0.9 else "bottom" if rise > 0 else "top",
            fontsize=10,
            color=INK,
        )


def _bars(rows: Sequence[Row], dimensions: Sequence[str]) -> Figure:
    labels, legend_height = _legend_labels(rows)
    below = 1.35 + legend_height
    plot = 0.34 * len(dimensions) * (len(rows) + 1)
    figure = blank(below + plot + _MARGIN)
    height = figure.get_figheight()
    axes = figure.add_axes((0.2, below / height, 0.72, plot / height))
    thickness = 1 / (len(rows) + 1)
    handles: list[Artist] = []
    for number, (row, look) in enumerate(zip(rows, LOOKS, strict=False)):
        offset = (number - (len(rows) - 1) / 2) * thickness
        places = [i + offset for i in range(len(dimensions))]
        values = [_percent(row, name) for name in dimensions]
        widths = [0.0 if math.isnan(value) else _drawn(value) for value in values]
        axes.barh(places, widths, thickness * 0.86, color=look.colour)
        handles.append(Patch(color=look.colour))
        _bar_values(axes, places, values)
    axes.set_yticks(range(len(dimensions)), [_title(name) for name in dimensions], color=INK)
    axes.invert_yaxis()
    axes.set_xlim(0, 109)
    axes.set_xticks(range(0, 101, 20))
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_bounds(0, 100)
    axes.tick_params(axis="y", length=0)
    _legend(figure, handles, labels, 0.75 + legend_height)
    return figure


def _bar_values(axes: Axes, places: Sequence[float], values: Sequence[float]) -> None:
    for place, value in zip(places, values, strict=True):
        known = not math.isnan(value)
        text = f"{value:.1f}" if known else "no score"
        label = axes.text((_drawn(value) if known else 0) + 1, place, text, va="center", fontsize=9)
        label.set_path_effects([withStroke(linewidth=3, foreground="white")])


def _percent(row: Row, dimension: str) -> float:
    """The normalised score in percent; NaN where there is none."""
    score = row.cell(dimension).score
    return math.nan if score is None else 100 * normalise(dimension, score)


def _drawn(percent: float) -> float:
    """The value within the picture; what lies beyond it is drawn on its edge."""
    return percent if math.isnan(percent) else min(100.0, max(0.0, percent))


def _title(dimension: str) -> str:
    """A dimension's name on two lines."""
    return dimension.capitalize().replace("_", "\n", 1)


def _legend_labels(rows: Sequence[Row]) -> tuple[list[str], float]:
    """The runs' names, wrapped, and the height of their legend in inches."""
    columns = _legend_columns(len(rows))
    width = 80 if columns == 1 else 38
    labels = []
    for row in rows:
        state = "" if row.status == "complete" else f" ({row.status})"
        name = textwrap.wrap(shorten(row.label, 96) + state, width, break_on_hyphens=False)
        labels.append("\n".join(name) or "?")
    rest = len(labels) % columns
    tallest, start = 0, 0
    for column in range(columns):
        stop = start + len(labels) // columns + (column < rest)
        tallest = max(tallest, sum(1 + label.count("\n") for label in labels[start:stop]))
        start = stop
    return labels, tallest * _LINE + 0.1


def _legend_columns(runs: int) -> int:
    return 1 if runs <= 3 else 2


def _legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], top: float) -> None:
    """Place the legend with its upper edge `top` inches above the figure's lower edge."""
    figure.legend(
        handles,
        labels,
        loc="upper center",
        bbox_to_anchor=(0.5, top / figure.get_figheight()),
        ncols=_legend_columns(len(labels)),
        frameon=False,
        fontsize=10 if len(labels) <= 3 else 9,
        labelspacing=0.35,
        handlelength=3.2,
        columnspacing=2.5,
        labelcolor=INK,
    )


def _facts(group: Group, rows: Sequence[Row], dimensions: Sequence[str]) -> Iterator[str]:
    """What the picture's numbers are."""
    round_picture = len(dimensions) >= 3
    yield "percent of the official range" + (": 0 at the centre, 100 at the rim" * round_picture)
    if round_picture and any(
        math.isnan(_percent(row, name)) for row in rows for name in dimensions
    ):
        yield "a gap is a missing score"
    if len(rows) < len(group.rows):
        yield f"{len(rows)} of {len(group.rows)} rows"
