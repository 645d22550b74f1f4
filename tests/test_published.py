"""Published rows: the package's own figures, and with whom they may stand."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_scores import ALL, check_printed_row, make_run, ok, spread

from vbench_long.errors import UsageError
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.board import Leaderboard, footnotes
from vbench_long.leaderboard.documents import leaderboard_csv, leaderboard_summary
from vbench_long.leaderboard.protocols import PUBLISHED_PROTOCOL, gaps_to_published
from vbench_long.leaderboard.published import LONG, choose_published, published_rows
from vbench_long.leaderboard.scores import AGGREGATES
from vbench_long.records import Sample
from vbench_long.store import Run

ROWS = published_rows()
COMPLETE = [row for row in ROWS if len(row.scores) == len(ALL)]


def test_there_are_31_rows_with_sources_24_of_them_complete() -> None:
    assert (len(ROWS), len(COMPLETE)) == (31, 24)
    assert all(row.source and row.model and set(row.aggregates) == set(AGGREGATES) for row in ROWS)
    assert {row.protocol for row in ROWS} == {LONG, "VBench", "unstated"}
    assert len({row.model for row in ROWS}) == len(ROWS)
    for name in ("Gen-3", "Kling", "OpenSora", "CogVideoX", "Vchitect-2.0"):
        assert choose_published([name]), name
    assert all(0 < v < 1 for row in ROWS for v in (*row.scores.values(), *row.aggregates.values()))


@pytest.mark.parametrize("row", COMPLETE, ids=[row.model for row in COMPLETE])
def test_every_complete_row_recomputes_within_a_hundredth(row: Any) -> None:
    printed = {name.lower(): 100 * value for name, value in row.aggregates.items()}
    check_printed_row(row.model, printed, {name: 100 * v for name, v in row.scores.items()})
    assert ("misprint" in row.note) == (row.model == "Allegro")


@pytest.mark.shared
def test_the_figures_are_those_of_the_shared_table(shared: Path) -> None:
    with (shared / "anchors/published.csv").open(encoding="utf-8", newline="") as file:
        theirs = list(csv.DictReader(file))
    assert len(theirs) == len(ROWS)
    printed = {f"{100 * v:.2f}" for row in ROWS for v in row.scores.values()}
    assert printed <= {line[name] for line in theirs for name in ALL}
    for line, row in zip(theirs, ROWS, strict=True):
        assert line["model"].startswith(row.model) and line["source"] == row.source
        known = {name: float(f"{line[name]}e-2") for name in ALL if line[name]}
        assert known == row.scores
        totals = {name: float(f"{line[name.lower()]}e-2") for name in AGGREGATES}
        assert totals == row.aggregates


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("Gen-3", ["Gen-3 (2024-07)"]),
        ("kling", ["Kling (2024-07 high-performance mode)"]),
        ("OpenSora", ["OpenSora V1.2 (8s)", "OpenSora V1.2", "OpenSora V1.1"]),
        ("Sora", ["Sora"]),
        ("Vidu", ["Vidu", "Vidu Q1 (2025-04-17)"]),
        ("Vchitect-2.0 (VEnhancer)", ["Vchitect-2.0 (VEnhancer)"]),
    ],
)
def test_a_name_means_what_it_begins(name: str, found: list[str]) -> None:
    assert [row.model for row in choose_published([name])] == found
    assert choose_published(["all"]) == ROWS == choose_published([name, "ALL"])


@pytest.mark.parametrize("name", ["Klingon", "", "(2024", "Hunyuan"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError, match="unknown published model"):
        choose_published(["Gen-3", name])
    with pytest.raises(UsageError, match="did you mean 'HunyuanVideo"):
        choose_published(["HunyuanVideos (Open-Source)"])


# --- beside runs -----------------------------------------------------------------------------


def official(run: Run, dimensions: Sequence[str] = ("scene",), per_prompt: int = 5) -> Run:
    """The run as if it had planned the official suite's 86 prompts of `scene`."""
    videos = list(dict.fromkeys(record.video for record in run.records))
    more = [f"more {i}" for i in range(86 * per_prompt - len(videos))]
    samples = [
        Sample(video, f"p{i // per_prompt}", i, f"videos/{video}", dimensions=tuple(dimensions))
        for i, video in enumerate([*videos, *more])
    ]
    manifest = replace(run.manifest, protocol=dict(PUBLISHED_PROTOCOL), dimensions=("scene",))
    records = [
        ok(video, "scene", 0.503 + 0.1 * (i % 7) / 7) for i, video in enumerate(videos + more)
    ]
    return replace(run, manifest=manifest, samples=tuple(samples), records=tuple(records))


def comparable(name: str = "mine", **more: Any) -> Run:
    return official(make_run([ok("v", "scene", 0.5)], name), **more)


def beside(run: Run, names: Sequence[str] = ("Gen-3", "Kling", "OpenSora")) -> Leaderboard:
    return build([run], published=choose_published(names))


def test_a_run_judged_as_the_published_rows_stands_among_them() -> None:
    board = beside(comparable())
    long, short = board.groups
    assert {row.label for row in long.rows if row.run} == {"mine"}
    assert sum(row.published is not None for row in long.rows) == 4
    assert "judged as published rows were" in long.about and long.apart == ()
    assert short.title == "Published under VBench for short videos" and short.apart
    mine = next(row for row in long.rows if row.run)
    low, high = mine.cell("scene").interval or (0, 0)
    assert 0.5086 < low < 0.5457 < high, "Kling's 50.86 lies below it, Gen-3's 54.57 within it"
    assert mine.ranks["scene"] == (1, 2)


def test_a_rank_among_published_rows_spans_those_within_the_interval() -> None:
    mine = next(row for row in beside(comparable(), ["all"]).groups[0].rows if row.run)
    low, high = mine.cell("scene").interval or (0, 0)
    figures = [r.scores["scene"] for r in ROWS if r.protocol == LONG and "scene" in r.scores]
    above, within = sum(f > high for f in figures), sum(low <= f <= high for f in figures)
    assert within > 0 and mine.ranks["scene"] == (1 + above, 1 + above + within)
    assert not any(row.ranks or row.rank for row in beside(comparable()).rows if row.published)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": "classical"}, "backend: classical instead of reference"),
        ({"clips": "exact"}, "clips: exact instead of reference"),
        ({"static_filter": False}, "static_filter: off instead of on"),
        ({"precision": "bf16"}, "precision: bf16 instead of fp32"),
        ({"scenes": 35.0}, "scenes: 35.0 instead of none"),
        ({"suite": "vbench 0123"}, "suite: vbench 0123 instead of vbench 5dd2de80ee43"),
        ({"suite": ""}, "suite: none instead of vbench"),
    ],
)
def test_another_protocol_stands_apart_and_says_why(change: Mapping[str, Any], said: str) -> None:
    run = comparable()
    protocol = {**run.manifest.protocol, **change}
    run = replace(run, manifest=replace(run.manifest, protocol=protocol))
    first, *others = beside(run).groups
    assert [row.label for row in first.rows] == ["mine"] and said in first.apart[0]
    assert first.rows[0].rank is None and len(others) == 2
    assert others[0].title == "Published under VBench-Long"


def test_part_of_the_suite_is_not_the_suite() -> None:
    assert gaps_to_published(comparable()) == []
    four = comparable(per_prompt=4)
    assert gaps_to_published(four) == ["344 of 430 videos planned for scene"]
    wide = comparable(dimensions=("scene", "color", "temporal_flickering"))
    (gap,) = gaps_to_published(wide)
    assert gap == "430 of 1875 videos planned for temporal_flickering"
    whole, part = comparable("whole"), four
    groups = build([part, whole], published=choose_published(["Gen-3"])).groups
    assert [[row.label for row in g.rows if row.run] for g in groups] == [["mine"], ["whole"]]
    assert len(build([part, whole]).groups) == 1


def imported(**protocol: Any) -> Run:
    """Official results of the published program, read from its files."""
    run = comparable()
    told = {"origin": "imported", "program": "VBench-Long", "scenes": None, "suite": "unknown"}
    manifest = replace(run.manifest, protocol={**told, "backend": "reference", **protocol})
    return replace(run, manifest=manifest)


def test_results_of_the_published_program_stand_among_its_rows() -> None:
    assert gaps_to_published(imported()) == []
    short = gaps_to_published(imported(program="VBench", scenes="threshold unknown"))
    assert short == [
        "program: VBench instead of VBench-Long",
        "scenes: threshold unknown instead of none",
    ]
    run = imported(branches="1.0 in clips, 0.0 between clips")
    dimensions = ("subject_consistency", "temporal_flickering")
    run = replace(run, manifest=replace(run.manifest, dimensions=dimensions))
    assert [gap.split(":")[0] for gap in gaps_to_published(run)] == ["branches", "static_filter"]
    claims = {**PUBLISHED_PROTOCOL, "clips": "exact"}
    exported = replace(run, manifest=replace(run.manifest, model={"claims": claims}))
    assert gaps_to_published(exported) == ["clips: exact instead of reference"]


def test_without_being_asked_nothing_is_published() -> None:
    board = build([comparable()])
    assert len(board.rows) == 1 and not board.groups[0].apart
    with pytest.raises(UsageError, match="at least one run"):
        build([])


def test_a_published_row_has_no_interval_and_says_so() -> None:
    board = build([spread(0.5, "mine")], published=choose_published(["Allegro", "Mira"]))
    (_, long, unstated) = board.groups
    assert long.ranked_by == "" and unstated.title.startswith("Published, protocol not stated")
    for group in (long, unstated):
        (row,) = group.rows
        assert (row.status, row.videos, row.run, row.rank) == ("published", None, None, None)
        assert all(c.interval is None and "published" in c.unsure for c in row.cells.values())
        assert any("no interval" in note for note in footnotes(group))
    assert any(note.startswith("Allegro: misprint") for note in footnotes(unstated))
    lines = list(csv.DictReader(leaderboard_csv(board).splitlines()))
    assert [line["published"] for line in lines] == ["no", "yes", "yes"]
    assert lines[1]["source"] == "Goku README (2502.04896)" and lines[1]["total_low"] == ""
    assert (lines[1]["total"], lines[1]["total_percent"]) == ("0.7187", "71.87")
    rows = leaderboard_summary(board)["groups"][1]["rows"]
    assert rows[0]["footage"]["resolution"] == "384x240" and rows[0]["origin"]["source"]


def test_published_rows_alone_are_ordered_by_total() -> None:
    (group,) = build([], published=choose_published(["Gen-3", "Kling", "Mira"])).groups
    assert [row.label[:5] for row in group.rows] == ["Gen-3", "Kling", "Mira"]
    assert group.ranked_by == "Total" and group.apart == ()
