"""`vbench-long leaderboard`: which files it writes, replaces and takes away."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from test_leaderboard import read
from test_scores import CLASSICAL, spread, whole_run

from vbench_long.cli import leaderboard as command
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.published import choose_published
from vbench_long.leaderboard.tables import render_text
from vbench_long.store import Run, Store


def store(run: Run, folder: Path) -> Path:
    with Store(folder) as target:
        target.write_manifest(run.manifest)
        target.put_samples([replace(s, dimensions=run.manifest.dimensions) for s in run.samples])
        target.put(run.records)
    return folder


def call(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(a) for a in arguments]))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = store(whole_run(dict.fromkeys(CLASSICAL, 0.9), "A"), tmp_path / "a")
    other = store(whole_run(dict.fromkeys(CLASSICAL, 0.8), "B"), tmp_path / "b")
    out = tmp_path / "new" / "out"
    assert call(run, other, "--output", out) == 0
    assert sorted(p.name for p in out.iterdir()) == [
        "index.html",
        "intervals.png",
        "leaderboard.csv",
        "leaderboard.json",
        "leaderboard.md",
        "leaderboard.tex",
        "radar.png",
    ]
    assert re.search(r"^  1 +- +A +1 +- +- +-$", capsys.readouterr().out, re.MULTILINE)
    assert call(run, other, "--output", out, "--partial", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    rows = summary["groups"][0]["rows"]
    assert [r["model"] for r in rows] == ["A", "B"]
    assert rows[0]["quality"]["score"] > rows[1]["quality"]["score"]
    assert json.loads((out / "leaderboard.json").read_text()) == summary
    assert read((out / "leaderboard.csv").read_text()).partial_quality.all()


def test_each_table_with_a_run_has_pictures_and_none_are_stale(tmp_path: Path) -> None:
    folders = []
    for name, backend, dimension in (("a", "classical", "scene"), ("b", "reference", "color")):
        run = whole_run({dimension: 0.5}, name, protocol={"backend": backend})
        folders.append(store(run, tmp_path / name))
    out = tmp_path / "out"
    assert call(*folders, "--output", out, "--published") == 0
    pictures = {"radar.png", "radar-2.png", "intervals.png", "intervals-2.png"}
    assert {path.name for path in out.glob("*.png")} == pictures
    with pytest.raises(UsageError, match="name it before options"):
        call("--output", out, "--published", *folders)
    (out / "mine-2.png").write_bytes(b"")
    unknown = store(whole_run({"zoom": 2.0}, "A"), tmp_path / "c")
    assert call(unknown, "--output", out) == 0
    assert {path.name for path in out.glob("*.png")} == {"mine-2.png"}


def test_an_unwritable_output_is_the_environments_fault(tmp_path: Path) -> None:
    run = store(whole_run({"scene": 0.5}, "A"), tmp_path / "a")
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="cannot be written"):
        call(run, "--output", tmp_path / "file" / "out")
    (tmp_path / "out" / "radar.png").mkdir(parents=True)
    with pytest.raises(EnvironmentFault):
        call(run, "--output", tmp_path / "out")
    assert not list((tmp_path / "out").glob(".*"))


def test_the_terminal_table_stays_within_80_columns() -> None:
    runs = [spread(0.5 + i / 40, f"a model with quite a long name, number {i}") for i in range(12)]
    crooked = whole_run(dict.fromkeys(CLASSICAL, 0.5), "z" * 300, protocol={"backend": "x" * 300})
    board = build([*runs, crooked], published=choose_published(["all"]))
    text = render_text(board)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("published rows have no interval") == 3
