"""A comparison as a forest plot: each difference with its interval, beside what could be seen."""

from __future__ import annotations

from typing import Final, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from vbench_long.leaderboard.gate.comparison import Change, Comparison, Finding, Verdict
from vbench_long.leaderboard.gate.files import headline
from vbench_long.leaderboard.pictures.drawing import (
    INK,
    LINE,
    PALE,
    WIDTH,
    blank,
    caption,
    picture,
    write_below,
)
from vbench_long.leaderboard.protocols import protocol_note
from vbench_long.leaderboard.text import shorten

MOST_ROWS: Final = 40
"""Dimensions and aggregates that one picture has room for."""

_ROW = 0.27  # inches
_TOP = 1.0
_LEFT, _PLOT = 1.95, 3.0  # inches: names, then differences, then numbers
_BAND = "#ececec"


class _Mark(NamedTuple):
    colour: str
    marker: str
    fill: bool = True


# Colours of Okabe and Ito; the markers tell the verdicts apart without colour.
_MARKS: Final = {
    Verdict.WORSE: _Mark("#D55E00", "v"),
    Verdict.BETTER: _Mark("#009E73", "^"),
    Verdict.NO_EVIDENCE: _Mark("#555555", "o"),
    Verdict.NOT_TESTED: _Mark("#999999", "o", fill=False),
}
_AGGREGATE: Final = _Mark("#0072B2", "D")


def forest_png(comparison: Comparison) -> bytes:
    """Draw new minus base per dimension, in points, as a PNG 1600 pixels wide.

    Zero is common to all rows, the scale is each row's own, because dimensions differ a
    hundredfold in how much they vary. The same comparison gives the same bytes as long as
    matplotlib and its fonts stay the same.
    """
    return picture(lambda: _draw(comparison))


def _draw(comparison: Comparison) -> Figure:
    findings = comparison.findings[: MOST_ROWS - len(comparison.aggregates)]
    rows: list[Finding | Change] = [*findings, *comparison.aggregates]
    footnote, plot = _footnote(comparison), _ROW * len(rows)
    below = 0.4 + LINE * len(footnote)
    figure = blank(_TOP + plot + below)
    height = figure.get_figheight()
    box = (_LEFT / WIDTH, below / height, _PLOT / WIDTH, plot / height)
    axes = figure.add_axes(box, xlim=(-1.04, 1.04), ylim=(len(rows) - 0.5, -0.5))
    axes.set_axis_off()
    axes.axvline(0, color="#888888", linewidth=0.8, zorder=1)
    if findings and comparison.aggregates:
        axes.axhline(len(findings) - 0.5, color="#cccccc", linewidth=0.7, clip_on=False)
    for place, row in enumerate(rows):
        if isinstance(row, Finding):
            _finding(axes, place, row)
        else:
            _change(axes, place, row, _AGGREGATE, _reach(row))
    _headings(figure, axes, comparison)
    write_below(figure, footnote)
    return figure


def _finding(axes: Axes, place: int, finding: Finding) -> None:
    """One dimension: the blind zone, the difference, numbers and verdict."""
    mark = _MARKS[finding.verdict]
    if finding.change is None:
        _words(axes, place, finding.dimension, "", "", finding.verdict, mark)
        return
    seen, drop = finding.detectable, finding.max_drop
    reach = max(_reach(finding.change), 1.04 * (seen or drop))
    if seen is not None:
        left, right = -seen / reach, (seen - drop) / reach
        band = Rectangle((left, place - 0.32), right - left, 0.64, color=_BAND, zorder=0)
        axes.add_patch(band)
    if drop:
        ends = [place - 0.32, place + 0.32]
        axes.plot([-drop / reach] * 2, ends, color=PALE, linewidth=0.9, dashes=(2, 1.5))
    _change(axes, place, finding.change, mark, reach, finding.verdict)


def _change(
    axes: Axes, place: int, change: Change, mark: _Mark, reach: float, verdict: str = ""
) -> None:
    """A difference with its interval, and both in words."""
    words = _signed(change.difference)
    ends = ""
    if change.interval:
        low, high = change.interval.low, change.interval.high
        axes.plot([low / reach, high / reach], [place] * 2, color=mark.colour, linewidth=1.8,
                  solid_capstyle="butt")  # fmt: skip
        axes.plot([low / reach, high / reach], [place] * 2, "|", color=mark.colour, markersize=6)
        ends = f"{_signed(low)} to {_signed(high)}"
    axes.plot(change.difference / reach, place, mark.marker, markersize=6, zorder=3,
              markerfacecolor=mark.colour if mark.fill else "white",
              markeredgecolor=mark.colour)  # fmt: skip
    _words(axes, place, change.name, words, ends, verdict, mark)


def _signed(raw: float) -> str:
    points = 100 * raw
    decimals = 3 if abs(points) < 10 else 1
    return f"{round(points, decimals) + 0.0:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _reach(change: Change) -> float:
    """How far a row's scale must reach to either side."""
    reach = max(abs(change.difference), 1e-9)
    if change.interval:
        reach = max(reach, abs(change.interval.low), abs(change.interval.high))
    return 1.04 * reach


def _words(
    axes: Axes, place: int, name: str, difference: str, ends: str, verdict: str, mark: _Mark
) -> None:
    strong = "bold" if verdict in (Verdict.WORSE, Verdict.BETTER) else "normal"
    title = shorten(name.replace("_", " ").capitalize(), 26)
    columns = (
        (-0.12, title, "right", INK, strong),
        (_PLOT + 0.72, difference, "right", INK, strong),
        (_PLOT + 1.98, ends, "right", PALE, "normal"),
        (_PLOT + 2.15, verdict, "left", mark.colour, strong),
    )
    for inches, text, side, colour, weight in columns:
        axes.annotate(text, (inches / _PLOT, place), xycoords=("axes fraction", "data"),
                      ha=side, va="center", fontsize=8.5, color=colour, fontweight=weight,
                      annotation_clip=False)  # fmt: skip


def _headings(figure: Figure, axes: Axes, comparison: Comparison) -> None:
    names = [shorten(run.manifest.name, 40) for run in (comparison.base, comparison.new)]
    if names[0] == names[1]:
        names = [shorten(str(run.folder), 40) for run in (comparison.base, comparison.new)]
    height = figure.get_figheight()
    figure.text(0.15 / WIDTH, 1 - 0.2 / height, f"{names[1]} against {names[0]}", va="top",
                fontsize=11, color=INK, fontweight="bold")  # fmt: skip
    figure.text(0.15 / WIDTH, 1 - 0.44 / height, shorten(headline(comparison), 110), va="top",
                fontsize=9, color=PALE)  # fmt: skip
    confidence = f"{100 - 100 * comparison.rule.alpha:g} % interval"
    columns = (
        (0.0, "\N{LEFTWARDS ARROW} lower", "left"),
        (_PLOT, "higher \N{RIGHTWARDS ARROW}", "right"),
        (_PLOT + 0.72, "points", "right"),
        (_PLOT + 1.98, confidence, "right"),
        (_PLOT + 2.15, "verdict", "left"),
    )
    for inches, text, side in columns:
        axes.annotate(text, (inches / _PLOT, 1), (0, 5), xycoords="axes fraction",
                      textcoords="offset points", ha=side, va="bottom", fontsize=8,
                      color=PALE, annotation_clip=False)  # fmt: skip


def _footnote(comparison: Comparison) -> list[str]:
    """What the picture's marks mean, and what its numbers are."""
    facts = []
    if any(finding.detectable for finding in comparison.findings):
        facts += ["grey: true differences that go unseen in over 20 of 100 cases"]
    if any(finding.max_drop for finding in comparison.findings):
        facts += ["dashed: tolerated drop"]
    facts += [
        "zero is common, every row has its own scale",
        f"verdicts hold for all rows together (alpha {comparison.rule.alpha:g}, Holm), "
        "intervals each for itself",
    ]
    if len(comparison.findings) + len(comparison.aggregates) > MOST_ROWS:
        facts.append(f"{len(comparison.findings)} dimensions, not all are shown")
    about = protocol_note(comparison.base.manifest.protocol)
    return caption(f"{comparison.design}; {about}", "; ".join(facts))
