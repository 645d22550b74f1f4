"""LaTeX tables: every cell in its column, names inert, and the whole compiles."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_leaderboard import HOSTILE
from test_scores import ALL, bad, make_run, ok, spread, whole_run

from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.latex import latex, leaderboard_latex
from vbench_long.leaderboard.published import choose_published

COMMANDS = re.compile(
    r"\\(?:[{}$&#%_]|text(?:backslash|asciicircum|asciitilde|less|greater|bar|asciigrave)\{\}"
    r"|anyscript\{.\}\{\?\})|\$\\pm\$|\{[\[*]\}"
)


@given(st.one_of(st.text(max_size=40), st.sampled_from(HOSTILE)))
def test_no_character_of_a_name_does_anything(name: str) -> None:
    shown = latex(name)
    assert not set(COMMANDS.sub("", shown)) & set('\\{}$&#%_^~<>|`"\n')
    assert latex("Wan2.1 1.3B, Grün-é") == "Wan2.1 1.3B, Grün-é"
    assert latex("a_b 50% ±1 混") == r"a\_b 50\% $\pm$1 \anyscript{混}{?}"


def tables(text: str) -> list[list[list[str]]]:
    """The cells of every table: header, then rows."""
    found = []
    for body in re.findall(r"\\toprule\n(.*?)\\bottomrule", text, re.DOTALL):
        lines = [x for x in body.replace("\\midrule\n", "").split(" \\\\\n") if x]
        found.append([re.split(r" & ", line) for line in lines])
    return found


def test_every_cell_stands_in_its_column() -> None:
    board = build([spread(0.5, "low"), spread(0.7, "high")], published=choose_published(["Gen-3"]))
    text = leaderboard_latex(board)
    totals, quality, semantic, *published = tables(text)
    assert totals[0] == ["Rank", "Model", "Videos", "Quality", "Semantic", "Total"]
    assert [row[:3] for row in totals[1:]] == [["1", "high", "12"], ["2", "low", "12"]]
    assert [len(row) for row in quality] == [8] * 3 and [len(row) for row in semantic] == [10] * 3
    for row in board.groups[0].rows:
        for table, first in ((quality, 0), (semantic, 7)):
            (line,) = (line for line in table if line[0] == row.label)
            for cell, name in zip(line[1:], ALL[first : first + 9], strict=False):
                low, high = row.cell(name).interval or (0, 0)
                value = f"{100 * (row.cell(name).score or 0):.2f}"
                value = rf"\textbf{{{value}}}" if row.label == "high" else value
                assert cell == rf"{value}{{\tiny\,$\pm${50 * (high - low):.2f}}}"
    assert published[0][1] == ["--", "Gen-3 (2024-07)", "published", "84.11", "75.17", "82.32"]
    assert r"\caption{Published under VBench-Long: as the sources print them" in text


def test_what_is_missing_is_a_dash_and_explained() -> None:
    records = [ok("v", "scene", 0.5), bad("v", "color"), ok("w", "scene", 0.7), ok("w", "color", 1)]
    text = leaderboard_latex(build([make_run(records, "poor")]))
    assert tables(text)[0][1] == ["--", "poor", "2*", "--", "--", "--"]
    assert tables(text)[1][1][1] == "100.00*"
    assert r"\item[*] poor: color: 1 video scored, 1 failed, 0 missing" in text
    ranks = tables(leaderboard_latex(build([spread(0.7, "a"), spread(0.7, "b")])))[0][1:]
    assert [row[0] for row in ranks] == ["1--2", "1--2"]


@pytest.mark.parametrize("program", ["pdflatex", "xelatex"])
def test_it_compiles(tmp_path: Path, program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"needs {program}")
    runs = [spread(0.5, "plain"), *(whole_run({"scene": 0.5}, name) for name in HOSTILE)]
    board = build(runs, published=choose_published(["all"]))
    (tmp_path / "leaderboard.tex").write_text(leaderboard_latex(board), encoding="utf-8")
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx}"
        r"\begin{document}\input{leaderboard}\end{document}"
    )
    done = subprocess.run(
        [program, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "paper.tex"],
        cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout and (tmp_path / "paper.pdf").stat().st_size > 20_000
