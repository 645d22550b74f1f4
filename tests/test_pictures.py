"""The leaderboard's pictures: what is drawn, what is left out, and that names stay text."""

from __future__ import annotations

import struct
from typing import Any

import matplotlib.colors
import pytest
from matplotlib.figure import Figure
from matplotlib.projections.polar import PolarAxes
from test_leaderboard import HOSTILE
from test_scores import ALL, CLASSICAL, bad, make_run, ok, spread, whole_run

from vbench_long.errors import UsageError
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.pictures import drawing, intervals, radar
from vbench_long.leaderboard.published import choose_published


def png_size(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize(("runs", "dimensions"), [(1, 1), (3, 2), (1, 6), (8, 16), (12, 16)])
def test_pictures(runs: int, dimensions: int) -> None:
    scores = dict.fromkeys(ALL[:dimensions], 0.9)
    (group,) = build([whole_run(scores, f"model {i}") for i in range(runs)]).groups
    png = radar.radar_png(group)
    width, height = png_size(png)
    assert width == drawing.WIDTH_PIXELS and 400 < height < 2200
    assert len(png) > 10_000
    assert radar.radar_png(group) == png


def test_a_missing_score_is_a_gap_and_not_a_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[list[float]] = []
    plot = PolarAxes.plot

    def spy(self: PolarAxes, angles: list[float], values: list[float], **more: Any) -> Any:
        drawn.append(values)
        return plot(self, angles, values, **more)

    monkeypatch.setattr(PolarAxes, "plot", spy)
    whole = whole_run(dict.fromkeys(CLASSICAL, 0.05), "A")
    lacking = whole_run(dict.fromkeys(CLASSICAL[1:], 1.0), "B")
    radar.radar_png(build([whole, lacking]).groups[0])
    below, gap = drawn
    assert below[:4] == [0, 0, 0, 0] and below[4] == pytest.approx(5)
    assert gap[0] != gap[0] and gap[-1] != gap[-1] and gap[1:6] == [100] * 5


def test_only_official_dimensions_are_drawn() -> None:
    (group,) = build([whole_run({"zoom": 3.0})]).groups
    assert radar.drawable_dimensions(group) == []
    with pytest.raises(UsageError, match="no picture"):
        radar.radar_png(group)


@pytest.mark.filterwarnings("error")  # a glyph that no font has
def test_hostile_names_are_drawn_as_text() -> None:
    runs = [whole_run({"scene": 0.5, "color": 0.4, "human_action": 1.0}, name) for name in HOSTILE]
    for start in (0, 8):
        (group,) = build(runs[start : start + 10]).groups
        for draw in (radar.radar_png, intervals.intervals_png):
            assert draw(group).startswith(b"\x89PNG")


def test_runs_have_the_colours_and_published_figures_fill_what_room_is_left() -> None:
    rows = choose_published(["all"])
    (first, *_) = build([spread(0.1, "mine")], published=rows).groups
    assert [row.label for row in first.rows] == ["mine"]
    published = build([], published=rows).groups[0]
    assert len(radar.radar_png(published)) > 10_000
    shown = radar._drawn_rows(published, ALL)
    assert len(shown) == radar.MOST_RUNS
    assert all(row.cell(name).score is not None for row in shown for name in ALL)
    few = build([], published=choose_published(["Wan2.1", "Kling"])).groups[0]
    assert [row.label[:5] for row in radar._drawn_rows(few, ALL)] == ["Kling"]


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


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in (*figure.axes[0].texts, *figure.texts)]


def test_each_score_is_a_dot_within_its_bar(drawn: list[Figure]) -> None:
    (group,) = build([spread(0.5, "low"), spread(0.7, "high")]).groups
    png = intervals.intervals_png(group)
    assert png_size(png)[0] == drawing.WIDTH_PIXELS and intervals.intervals_png(group) == png
    (axes,) = drawn[0].axes
    names = intervals.interval_names(group)
    assert names == ["Total", "Quality", "Semantic", *ALL]
    titles = [name.capitalize().replace("_", " ") for name in names]
    assert [text for text in texts(drawn[0]) if text in titles] == titles
    for place, row in enumerate(group.rows):
        look = drawing.LOOKS[place].colour
        (dots,) = (line for line in axes.lines if line.get_markerfacecolor() == look)
        (bars,) = (
            c for c in axes.collections if matplotlib.colors.to_hex(c.get_color()) == look.lower()
        )
        for number, name in enumerate(names):
            cell = row.cell(name)
            (left, y), (right, _) = bars.get_segments()[3 * number]
            x = dots.get_xdata()[number]
            assert dots.get_ydata()[number] == y
            low, high = cell.interval or (0, 0)
            share = ((cell.score or 0) - low) / (high - low)
            assert (x - left) / (right - left) == pytest.approx(share, abs=1e-6)
            assert 0.03 < share < 0.97


def test_a_panel_shows_differences_on_a_scale_with_true_marks(drawn: list[Figure]) -> None:
    (group,) = build([spread(0.5, "low", ["scene"]), spread(0.7, "high", ["scene"])]).groups
    intervals.intervals_png(group)
    (axes,) = drawn[0].axes
    (edges,) = (line.get_xdata() for line in axes.lines if line.get_marker() != "o")
    marks = {float(t.get_text()): t.get_position()[0] for t in axes.texts if t.get_text().isdigit()}
    assert len(marks) >= 2
    (first, x), (last, z) = min(marks.items()), max(marks.items())
    per_percent = (z - x) / (last - first)
    for place, row in enumerate(group.rows):
        (dots,) = (d for d in axes.lines if d.get_markerfacecolor() == drawing.LOOKS[place].colour)
        assert edges[0] < dots.get_xdata()[0] < edges[1]
        found = first + (dots.get_xdata()[0] - x) / per_percent
        assert found == pytest.approx(100 * (row.cell("scene").score or 0), abs=1e-6)


def test_what_has_no_interval_is_hollow_and_what_has_no_score_is_said(drawn: list[Figure]) -> None:
    records = [ok("v", "scene", 0.5), bad("v", "color"), ok("w", "color", 0.7), bad("w", "scene")]
    one, other = make_run(records[:2], "A"), make_run(records[2:], "B")
    intervals.intervals_png(build([one, other]).groups[0])
    assert texts(drawn[0]).count("no score") == 2
    hollow = [line for line in drawn[0].axes[0].lines if line.get_marker() == "o"]
    assert [line.get_markerfacecolor() for line in hollow] == ["white", "white"]
    (group,) = build([], published=choose_published(["Kling", "OpenSora V1.1"])).groups
    intervals.intervals_png(group)
    assert "no score" not in texts(drawn[1]), "a figure nobody printed is just not there"
    assert {x.get_markerfacecolor() for x in drawn[1].axes[0].lines if x.get_marker() == "o"} == {
        "white"
    }
    assert any("published, no interval" in text for text in texts(drawn[1]))


def test_a_picture_of_unknown_dimensions_is_refused() -> None:
    with pytest.raises(UsageError, match="no picture"):
        intervals.intervals_png(build([whole_run({"zoom": 3.0})]).groups[0])


def test_many_rows_fit_and_the_rest_is_counted(drawn: list[Figure]) -> None:
    runs = [whole_run({"scene": 0.5}, f"model {i}") for i in range(intervals.MOST_ROWS + 5)]
    intervals.intervals_png(build(runs).groups[0])
    assert any("40 of 45 rows" in text for text in texts(drawn[0]))
    assert sum(text.startswith("model ") for text in texts(drawn[0])) == intervals.MOST_ROWS
