"""The leaderboard's pictures: what is drawn, what is left out, and that names stay text."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from test_leaderboard import HOSTILE
from test_scores import ALL, CLASSICAL, bad, make_run, ok, spread, whole_run

from vbench_long.errors import UsageError
from vbench_long.leaderboard import drawing, intervals, plots
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.published import choose_published


def png_size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(("runs", "dimensions"), [(1, 1), (3, 2), (1, 6), (8, 16), (12, 16)])
def test_pictures(runs: int, dimensions: int) -> None:
    scores = dict.fromkeys(ALL[:dimensions], 0.9)
    (group,) = build([whole_run(scores, f"model {i}") for i in range(runs)]).groups
    png = plots.radar_png(group)
    width, height = png_size(png)
    assert width == drawing.WIDTH_PIXELS and 400 < height < 2200
    assert len(png) > 10_000
    assert plots.radar_png(group) == png


def test_a_missing_score_is_a_gap_and_not_a_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    plot = PolarAxes.plot

    def spy(self: PolarAxes, angles: list[float], values: list[float], **more: Any) -> Any:
        drawn.append(values)
        return plot(self, angles, values, **more)

    monkeypatch.setattr(PolarAxes, "plot", spy)
    whole = whole_run(dict.fromkeys(CLASSICAL, 0.05), "A")
    lacking = whole_run(dict.fromkeys(CLASSICAL[1:], 1.0), "B")
    plots.radar_png(build([whole, lacking]).groups[0])
    below, gap = drawn
    assert below[:4] == [0, 0, 0, 0] and below[4] == pytest.approx(5)
    assert gap[0] != gap[0] and gap[-1] != gap[-1] and gap[1:6] == [100] * 5


def test_only_official_dimensions_are_drawn() -> None:
    (group,) = build([whole_run({"zoom": 3.0})]).groups
    assert plots.drawable_dimensions(group) == []
    with pytest.raises(UsageError, match="no picture"):
        plots.radar_png(group)


@pytest.mark.filterwarnings("error")  # a glyph that no font has
def test_hostile_names_are_drawn_as_text() -> None:
    runs = [whole_run({"scene": 0.5, "color": 0.4, "human_action": 1.0}, name) for name in HOSTILE]
    for start in (0, 8):
        (group,) = build(runs[start : start + 10]).groups
        for draw in (plots.radar_png, intervals.intervals_png):
            assert draw(group).startswith(b"\x89PNG")


def test_runs_have_the_colours_and_published_figures_fill_what_room_is_left() -> None:
    rows = choose_published(["all"])
    (first, *_) = build([spread(0.1, "mine")], published=rows).groups
    assert [row.label for row in first.rows] == ["mine"]
    published = build([], published=rows).groups[0]
    assert len(plots.radar_png(published)) > 10_000
    shown = plots._drawn_rows(published, ALL)
    assert len(shown) == plots.MOST_RUNS
    assert all(row.cell(name).score is not None for row in shown for name in ALL)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures drawn during a test."""
    figures: list[Figure] = []
    blank = drawing.blank

    def spy(height: float) -> Figure:
        figures.append(blank(height))
        return figures[-1]

    monkeypatch.setattr(intervals, "blank", spy)
    return figures


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_each_score_is_a_dot_within_its_bar(drawn: list[Figure]) -> None:
    (group,) = build([spread(0.5, "low"), spread(0.7, "high")]).groups
    png = intervals.intervals_png(group)
    assert png_size(png)[0] == drawing.WIDTH_PIXELS and intervals.intervals_png(group) == png
    found = panels(drawn[0])
    assert list(found)[:4] == ["Total", "Quality", "Semantic", "Subject consistency"]
    assert len(found) == 19
    for name in ("Total", "scene", "color"):
        lines = found[name.capitalize()].lines
        for place, row in enumerate(group.rows):
            cell = row.cell(name)
            bar, _, dot = lines[3 * place : 3 * place + 3]
            assert cell.interval is not None and cell.score is not None
            assert list(bar.get_xdata()) == [100 * bound for bound in cell.interval]
            assert list(dot.get_xdata()) == [100 * cell.score]
            assert list(dot.get_ydata()) == [place]


def test_what_has_no_interval_is_hollow_and_what_has_no_score_is_said(drawn: list[Figure]) -> None:
    records = [ok("v", "scene", 0.5), bad("v", "color"), ok("w", "color", 0.7), bad("w", "scene")]
    one, other = make_run(records[:2], "A"), make_run(records[2:], "B")
    intervals.intervals_png(build([one, other]).groups[0])
    found = panels(drawn[0])
    assert list(found) == ["Color", "Scene"]
    for axes in found.values():
        (dot,) = axes.lines
        assert dot.get_markerfacecolor() == "white"
        assert [text.get_text() for text in axes.texts][-1] == "no score"
    (group,) = build([], published=choose_published(["Kling", "Mira"])).groups
    intervals.intervals_png(group)
    assert all(dot.get_markerfacecolor() == "white" for dot in drawn[1].axes[0].lines)
    assert any("published, no interval" in text.get_text() for text in drawn[1].texts)


def test_a_picture_of_unknown_dimensions_is_refused() -> None:
    with pytest.raises(UsageError, match="no picture"):
        intervals.intervals_png(build([whole_run({"zoom": 3.0})]).groups[0])


def test_many_rows_fit_and_the_rest_is_counted(drawn: list[Figure]) -> None:
    runs = [whole_run({"scene": 0.5}, f"model {i}") for i in range(intervals.MOST_ROWS + 5)]
    intervals.intervals_png(build(runs).groups[0])
    assert any("40 of 45 rows" in text.get_text() for text in drawn[0].texts)
    assert len(drawn[0].axes[0].lines) == intervals.MOST_ROWS
