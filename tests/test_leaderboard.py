"""Tables and pictures: nothing mixed, nothing hidden, nothing a hostile name can do."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_scores import ALL, CLASSICAL, bad, make_run, ok, spread, whole_run

from vbench_long.errors import UsageError
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.documents import (
    leaderboard_csv,
    leaderboard_json,
    leaderboard_markdown,
)
from vbench_long.leaderboard.protocols import require_one_protocol
from vbench_long.leaderboard.scores import SCALES, available_totals, score_run
from vbench_long.leaderboard.tables import (
    render_text,
    run_summary,
    run_summary_text,
    scores_csv,
    videos_csv,
)
from vbench_long.records import Status
from vbench_long.store import Run

HOSTILE = [
    "=cmd()",
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "<script>alert(1)</script>",
    "a|b",
    "two\nlines",
    "`code`",
    "[link](javascript:alert(1))",
    'quo"te, comma',
    "$\\frac{$",
    "_hidden",
    "\x1b[31mred",
    "right\u202eleft",
    "🎬 混元",
    "x" * 4000,
]


def read(text: str) -> pd.DataFrame:
    return pd.read_csv(io.StringIO(text), keep_default_na=False, dtype=str)


def at(name: str, run: Run, folder: str) -> Run:
    return replace(run, folder=Path(folder), manifest=replace(run.manifest, name=name))


def test_scores_csv() -> None:
    run = make_run([ok("p", "scene", 0.25, 0.5), ok("q", "scene", 1.0), bad("r", "scene")])
    assert scores_csv(run) == (
        "dimension,score,per_video,videos,clips,failed,missing,excluded\n"
        "scene,0.5833333333333334,0.6875,2,3,1,0,0\n"
    )
    assert scores_csv(make_run([bad("p", "scene")])).endswith("\nscene,,,0,0,1,0,0\n")


def test_videos_csv_keeps_the_order_of_samples_and_says_what_is_missing() -> None:
    records = [
        ok("q", "scene", 0.5, None, notes=["29.97 fps", "odd size"]),
        ok("q", "color", 0.25),
        ok("q", "zoom", 3.0),
        bad("p", "color", Status.MISSING),
        ok("p", "scene", 1.0),
    ]
    assert videos_csv(make_run(records)) == (
        "video,prompt,index,dimension,score,status,error,clips,notes\n"
        "q,prompt of q,0,color,0.25,ok,,1,\n"
        "q,prompt of q,0,scene,0.5,ok,,1,29.97 fps; odd size\n"
        "q,prompt of q,0,zoom,3.0,ok,,1,\n"
        "p,prompt of p,0,color,,missing,broken file,0,\n"
        "p,prompt of p,0,scene,1.0,ok,,1,\n"
        "p,prompt of p,0,zoom,,missing,not evaluated yet,0,\n"
    )


def test_the_files_depend_on_nothing_but_scores() -> None:
    records = [ok("p", "scene", 0.5), ok("q", "scene", 0.7)]
    slow = [replace(r, seconds=9.0, environment="other") for r in reversed(records)]
    one, other = make_run(records), make_run(slow)
    other = replace(other, samples=one.samples)
    assert scores_csv(one) == scores_csv(other)
    assert videos_csv(one) == videos_csv(other)


numbers = st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x + 0.0)  # no -0.0
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))


@given(values=st.lists(numbers, min_size=1, max_size=4), prompt=texts)
def test_csv_round_trip(values: list[float], prompt: str) -> None:
    records = [ok(f"v{i}", "scene", v) for i, v in enumerate(values)]
    run = make_run(records, prompts={r.video: prompt for r in records})
    table = read(videos_csv(run))
    assert list(table.score) == [repr(v) for v in values]
    assert [float(v) for v in table.score] == values
    safe = prompt.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    assert set(table.prompt) == {f"'{safe}" if safe[:1] in {*"=+-@\t\n"} and safe else safe}


@given(name=texts, prompt=texts)
@settings(max_examples=60, deadline=None)
def test_no_cell_of_any_csv_is_a_formula(name: str, prompt: str) -> None:
    run = make_run([ok("=v", "scene", 0.5)], name or "x", prompts={"=v": prompt})
    for text in (scores_csv(run), videos_csv(run), leaderboard_csv(build([run]))):
        for cell in read(text).to_numpy().ravel():
            assert not str(cell).startswith(("=", "+", "@", "\t", "\r", "\n"))
            assert not str(cell).startswith("-") or float(cell) < 0


def test_leaderboard_csv() -> None:
    board = build([whole_run(dict.fromkeys(ALL, 0.9), "A"), whole_run({"scene": 0.5}, "B")])
    table = read(leaderboard_csv(board)).set_index("model")
    assert [c for c in table.columns if c in SCALES] == list(SCALES)
    assert float(table.total["A"]) == board.rows[0].cell("Total").score
    assert (table.quality["B"], table.semantic["B"], table.total["B"]) == ("", "", "")
    assert (table.scene["B"], table.scene_percent["B"], table.scene_videos["B"]) == (
        "0.5", "50.00", "1",
    )  # fmt: skip
    assert (table.color["B"], table.color_percent["B"], table.color_videos["B"]) == ("", "", "")
    assert set(table.partial_semantic) == {""} and set(table.published) == {"no"}


def test_partial_aggregates_have_columns_of_their_own() -> None:
    runs = [whole_run(dict.fromkeys(ALL, 0.9), "A"), whole_run(dict.fromkeys(CLASSICAL, 0.9), "B")]
    table = read(leaderboard_csv(build(runs, available_totals))).set_index("model")
    assert table.total["A"] and not table.partial_total["A"]
    assert table.partial_quality["B"] and not table.quality["B"] and not table.partial_total["B"]
    assert table.quality_note["B"] == "(partial, 6 of 7; without aesthetic_quality)"
    assert not table.quality_note["A"] and not table.quality_low["B"]


def test_runs_are_ranked_by_total_and_ties_share_their_ranks() -> None:
    board = build([spread(0.5, "low"), spread(0.7, "high"), spread(0.7, "also high")])
    (group,) = board.groups
    assert [row.label for row in group.rows] == ["high", "also high", "low"]
    assert [row.rank for row in group.rows] == [(1, 2), (1, 2), (3, 3)]
    assert group.ranked_by == "Total"
    lines = render_text(board).splitlines()
    assert [line.split()[1] for line in lines if line.startswith(("  1 ", "  2 ", "  3 "))] == [
        "1-2", "1-2", "3",
    ]  # fmt: skip
    table = read(leaderboard_csv(board)).set_index("model")
    assert (table.rank_best["high"], table.rank_worst["high"]) == ("1", "2")
    assert (
        float(table.total_low["low"]) < float(table.total["low"]) < float(table.total_high["low"])
    )


def test_without_an_aggregate_the_given_order_is_kept() -> None:
    board = build([whole_run({"scene": score}, name) for name, score in (("b", 0.1), ("a", 0.9))])
    assert [row.label for row in board.rows] == ["b", "a"]
    assert {row.rank for row in board.rows} == {None}
    assert "not ranked" in leaderboard_markdown(board) and "not ranked" in render_text(board)


def test_aggregates_of_different_dimensions_are_never_ranked() -> None:
    full, part = spread(0.6, "full", ALL[:7]), spread(0.9, "part", ALL[:6])
    board = build([full, part], available_totals)
    assert (board.groups[0].ranked_by, board.rows[0].label) == ("", "full")
    assert not any("Quality" in row.ranks for row in board.rows)
    lacking = spread(0.9, "lacking", ALL[:7])
    lacking = replace(lacking, records=lacking.records[1:])
    assert build([full, lacking], available_totals).groups[0].ranked_by == ""
    alike = build([full, spread(0.9, "other", ALL[:7])], available_totals)
    assert (alike.groups[0].ranked_by, alike.rows[0].label) == ("Quality", "other")


def test_markdown_is_percent_with_two_decimals() -> None:
    best = {name: scale.maximum for name, scale in SCALES.items()}
    text = leaderboard_markdown(build([whole_run(best, "A")]))
    assert "| - | A | 1 | 100.00 | 100.00 | 100.00 |" in text
    assert "| A | 100.00 | 100.00 | 100.00 | 99.75 | 100.00 | 100.00 | 100.00 |" in text
    assert " 82.22 | 28.55 | 36.40 | 36.40 |" in text
    assert text.endswith("A: no interval: one prompt says nothing of how others would score\n")
    assert "Notes" not in leaderboard_markdown(build([spread(0.5, "A")]))


def test_only_a_lead_beyond_the_samples_is_bold() -> None:
    text = leaderboard_markdown(build([spread(0.5, "low"), spread(0.7, "high")]))
    assert re.search(r"\| high \| \*\*70.00\*\* ±\d", text) and "| low | 50.00 ±" in text
    tie = leaderboard_markdown(build([spread(0.7, "one"), spread(0.7, "two")]))
    assert "**" not in tie and "| one | 70.00 ±" in tie


def test_incomplete_runs_are_marked_and_explained() -> None:
    records = [ok(v, d, 0.9) for v in "pq" for d in CLASSICAL]
    broken = [
        bad("p", "motion_smoothness"),
        *(r for r in records[1:] if r.dimension != "motion_smoothness"),
    ]
    board = build(
        [make_run(records, "good"), make_run(broken, "poor", CLASSICAL, status="interrupted")]
    )
    text, markdown = render_text(board), leaderboard_markdown(board)
    needs = "Quality not shown: needs all videos of motion_smoothness, aesthetic_quality"
    broken_counts = "motion_smoothness: 0 videos scored, 1 failed, 1 missing"
    for shown in (" ".join(text.split()), markdown):
        assert "poor: the run is interrupted" in shown
        assert f"poor: {broken_counts}" in shown and f"poor: {needs}" not in shown
        assert "good: no interval: all prompts agree" in shown
        assert "all runs: Total not shown: needs Quality and Semantic" in shown
    assert "| - | poor | 2\\* | - | - | - |" in markdown
    assert "-\\*" in markdown and "all videos of" in markdown


def test_what_is_said_of_one_run() -> None:
    records = [ok(v, d, 0.9) for v in "pq" for d in CLASSICAL]
    run = make_run([bad("p", CLASSICAL[0]), *records[1:]], "poor")
    text = run_summary_text(run)
    assert "Quality not shown: needs all videos of subject_consistency, aesthetic_quality" in text
    assert "Total not shown: needs Quality and Semantic" in text
    assert "not comparable with published scores" in text
    (line,) = (line for line in text.splitlines() if line.startswith("subject_consistency"))
    assert line.split()[1:] == ["0.900000", "90.00", "1", "0", "1", "0"]
    partial = " ".join(run_summary_text(run, available_totals).split())
    assert (
        "(partial, 6 of 7; without aesthetic_quality; not all videos in subject_consistency)"
        in partial
    )
    summary = json.loads(json.dumps(run_summary(run, available_totals), allow_nan=False))
    assert summary["dimensions"]["subject_consistency"]["failed"] == 1
    assert summary["protocol"]["backend"] == "classical"
    assert summary["quality"] == score_run(run, available_totals).totals.quality
    assert summary["total"] is None and "scene" in summary["without"]


def test_a_complete_run_shows_its_totals() -> None:
    lines = run_summary_text(whole_run(dict.fromkeys(ALL, 0.9))).splitlines()
    assert lines[-3:] == ["Quality 82.97", "Semantic 152.21", "Total 96.82"]


def test_unknown_dimensions_are_shown_raw() -> None:
    board = build([make_run([ok("v", "zoom", 31.25), ok("v", "scene", 0.5)], "A")])
    assert "zoom (raw)" in render_text(board) and "31.2500" in render_text(board)
    assert "## Other dimensions (raw scores)" in leaderboard_markdown(board)
    assert ",zoom,zoom_percent,zoom_low,zoom_high,zoom_videos," in leaderboard_csv(board)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"backend": "reference"}, "backend: 'classical' -> 'reference'"),
        ({"clips": "reference"}, "clips: 'exact' -> 'reference'"),
        ({"dimensions": {"scene": "scene/2"}}, "dimensions.scene: 'scene/1' -> 'scene/2'"),
        ({"seed": None}, " -> "),
    ],
)
def test_different_protocols_stand_apart_and_are_never_ranked_together(
    change: dict[str, Any], said: str
) -> None:
    protocol = {"backend": "classical", "clips": "exact", "dimensions": {"scene": "scene/1"}}
    runs = [
        spread(0.5, "A", protocol=protocol),
        spread(0.9, "B", protocol={**protocol, **change}),
        spread(0.7, "C", protocol=protocol),
    ]
    board = build(runs)
    assert [[row.label for row in group.rows] for group in board.groups] == [["C", "A"], ["B"]]
    assert board.groups[0].apart == () and said in "".join(board.groups[1].apart)
    assert board.rows[2].rank is None and not board.rows[2].leads("Total")
    assert len({group.title for group in board.groups}) == 2
    for text in (render_text(board), leaderboard_markdown(board)):
        assert "part: " in text
    with pytest.raises(UsageError) as caught:
        require_one_protocol(runs)
    assert said in str(caught.value) and "runs/A -> runs/B" in str(caught.value)


def test_untrained_weights_and_empty_tables_are_refused() -> None:
    untrained = {"backend": "reference", "untrained": ["dino"]}
    run = whole_run({"scene": 0.5}, "A", protocol=untrained)
    with pytest.raises(UsageError, match="untrained"):
        build([run])
    assert "no Quality, Semantic, Total: untrained" in run_summary_text(run)
    with pytest.raises(UsageError, match="at least one run"):
        build([])
    with pytest.raises(UsageError, match="no run has a score"):
        build([make_run([bad("p", "scene")])])
    with pytest.raises(UsageError, match="given twice"):
        build([whole_run({"scene": 0.5})] * 2)


def test_runs_of_other_prompts_are_pointed_out() -> None:
    runs = [
        make_run([ok("v", "scene", 0.5)], name, prompts={"v": prompt})
        for name, prompt in (("A", "a cat"), ("B", "a dog"))
    ]
    assert "not asked for the same prompts" in leaderboard_markdown(build(runs))
    assert "not asked" not in render_text(build(runs[:1]))


def test_equal_names_are_told_apart_by_their_folders() -> None:
    run = whole_run({"scene": 0.5})
    runs = [at("M", run, "x/one"), at("M", run, "y/one"), at("M", run, "y/two"), at("N", run, "z")]
    labels = [row.label for row in build(runs).rows]
    assert labels == ["M (x/one)", "M (y/one)", "M (y/two)", "N"]
    twins = [at(c * 50 + "m" * 4000 + "e" * 50, run, c) for c in "ab"]
    assert [
        row.label[0]
        for row in build([replace(t, folder=Path(f"r{i}")) for i, t in enumerate(twins)]).rows
    ] == ["a", "b"]
    alike = [at("m" * 2000 + c + "m" * 2000, run, f"r{c}") for c in "ab"]
    assert {row.label[-4:] for row in build(alike).rows} == {"(ra)", "(rb)"}


def test_hostile_names_are_inert_everywhere() -> None:
    runs = [whole_run({"scene": 0.5, "color": 0.4, "human_action": 1.0}, name) for name in HOSTILE]
    board = build(runs)
    markdown, text = leaderboard_markdown(board), render_text(board)
    rows = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert all(line.replace("\\|", "").count("|") in (4, 5, 7) for line in rows)
    assert "<" not in markdown and "[link]" not in markdown and "`code`" not in markdown
    for shown in (markdown, text):
        assert all(c.isprintable() for c in shown.replace("\n", ""))
        assert max(map(len, shown.splitlines())) < 300
    assert list(read(leaderboard_csv(board)).model[:2]) == ["'=cmd()", "'+1"]
    json.loads(leaderboard_json(board))


def test_runs_with_other_weights_stand_apart() -> None:
    one = make_run([replace(ok("p", "scene", 0.5), identity="scene/reference/1/w:aaa")], "one")
    two = make_run([replace(ok("p", "scene", 0.5), identity="scene/reference/1/w:bbb")], "two")
    assert len(build([one, one_more(one)]).groups) == 1
    (_, apart) = build([one, two]).groups
    assert "w:aaa and by scene/reference/1/w:bbb" in apart.apart[0]
    mixed = make_run([*one.records, replace(two.records[0], video="q")], "mixed")
    with pytest.raises(UsageError, match="w:aaa and by scene/reference/1/w:bbb"):
        build([mixed])


def one_more(run: Run) -> Run:
    return at("other", run, "elsewhere")
