"""A package of other people: its dimension, network, checkpoint and generator are found and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from vbench_long.records import Status
from vbench_long.store import load_run
from vbench_long.weights.seeded import seeded_tensor

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "tests" / "third_party"
OURS = "palette_stability"
Call = Callable[..., list[dict[str, Any]]]

# Commands one after another in one process: torch is imported once.
DRIVER = """
import contextlib, io, json, sys
from vbench_long.cli import main
told = []
for command in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(command)
    told.append({"code": code, "out": out.getvalue(), "err": err.getvalue()})
print(json.dumps(told))
"""


def install(folder: Path, **changes: str) -> Path:
    """What pip leaves of the package's pyproject.toml; `changes` are entry points by name."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    about = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(about)
    lines = []
    for group, entries in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{n} = {changes.get(n, value)}" for n, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder


@pytest.fixture
def call(tmp_path: Path) -> Call:
    """Run commands where the package is installed."""

    def run(*commands: list[object], site: Path | None = None) -> list[dict[str, Any]]:
        site = site or install(tmp_path / "site")
        path = os.pathsep.join(map(str, (site, PACKAGE, ROOT)))
        written = json.dumps([[str(word) for word in command] for command in commands])
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, written],
            env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_from_its_videos_to_the_tables(tmp_path: Path, call: Call) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    shapes = {"0.weight": (16, 3, 8, 8), "0.bias": (16,)}
    numbers = {key: seeded_tensor(key, shape, torch.float32) for key, shape in shapes.items()}
    save_file(numbers, weights / "palette_net_v1.safetensors")
    suite = tmp_path / "ours.json"
    suite.write_text(
        json.dumps(
            [
                {"prompt_en": "a red dusk", "dimension": [OURS, "temporal_flickering"]},
                {"prompt_en": "a blue dusk", "dimension": ["temporal_flickering"]},
            ]
        )
    )
    judge = ["evaluate", "--backend", "reference", "--weights", weights, "--suite"]
    make = ["--model", "fade", "--model-args", "frames=20"]
    listed, stored, made, named, again, everywhere, board, gate, sent, seeded = call(
        ["dimensions", "--json"],
        ["weights", "path", "palette_net_v1", "--weights", weights],
        ["generate", *make, "--suite", suite, "--output", "videos"],
        [*judge, suite, "--videos", "videos", "--output", "run", "--dimensions", OURS,
         "temporal_flickering"],
        [*judge, suite, "--videos", "videos", "--output", "run", "--dimensions", OURS],
        [*judge, "mini", *make, "--limit", "2", "--output", "mini", "--dimensions", OURS],
        ["leaderboard", "run", "--output", "board"],
        ["compare", "run", "run", "--output", "gate"],
        ["export", "run", "--output", "sent"],
        ["evaluate", "--backend", "reference", "--weights", "seeded", "--json", "--videos",
         "videos", "--output", "seeded", "--dimensions", OURS],
    )  # fmt: skip
    assert json.loads(listed["out"])[OURS]["package"] == "example-measures 1.0"
    assert "palette_net_v1.safetensors" in stored["out"]
    codes = [one["code"] for one in (made, named, again, everywhere, board, gate, sent)]
    assert codes == [0] * 7, [one["err"] for one in (named, everywhere, board, gate, sent)]

    run = load_run(tmp_path / "run")
    found = {(r.dimension, run.samples[0].video == r.video): r for r in run.records}
    assert set(found) == {
        (OURS, True),
        ("temporal_flickering", True),
        ("temporal_flickering", False),
    }
    record = found[OURS, True]
    assert record.status is Status.OK and 0 < record.value < 1
    assert re.fullmatch(rf"{OURS}/reference/1/fp32/palette_net_v1:[0-9a-f]{{12}}", record.identity)
    assert OURS not in run.manifest.protocol["dimensions"], "other runs stay comparable"
    assert f"{record.value:.6f}" in named["out"] and "Total not shown" in named["out"]

    told = json.loads(seeded["out"])
    assert told["protocol"]["untrained"] and told["dimensions"][OURS]["videos"] == 2

    asked = load_run(tmp_path / "mini")
    assert [r.dimension for r in asked.records] == [OURS] * 2, "no prompt of mini names it"

    assert f"{OURS} (raw)" in board["out"]
    (row,) = json.loads((tmp_path / "board/leaderboard.json").read_text())["groups"][0]["rows"]
    assert OURS in json.dumps(row)
    assert OURS in (tmp_path / "board/leaderboard.csv").read_text()
    assert OURS in (tmp_path / "board/index.html").read_text()


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({OURS: "example_measures.gone:X"}, 4, "repair or uninstall example-measures 1.0"),
        ({OURS: "example_measures.network:PaletteNet"}, 2, "is no dimension"),
        ({"palette_net": "example_measures.gone:X"}, 4, "the backbone 'palette_net' cannot be"),
        ({"palette_net_v1": "example_measures.gone:X"}, 4, "the checkpoint 'palette_net_v1'"),
    ],
)
def test_a_broken_package_is_named(
    tmp_path: Path, call: Call, changes: dict[str, str], code: int, said: str
) -> None:
    site = install(tmp_path / "site", **changes)
    videos = ["generate", "--model", "fade", "--prompt", "dusk", "--output", "videos"]
    judge = ["evaluate", "--videos", "videos", "--backend", "reference", "--weights", tmp_path]
    _, broken, others = call(
        videos,
        [*judge, "--output", "run", "--dimensions", OURS],
        [*judge, "--output", "other", "--dimensions", "temporal_flickering"],
        site=site,
    )
    assert broken["code"] == code and said in broken["err"], broken["err"]
    assert others["code"] == 0, others["err"]


def test_the_documentation_shows_these_files() -> None:
    text = (ROOT / "docs" / "extending.md").read_text()
    assert len(text.splitlines()) <= 80
    shown = re.findall(r"`([\w/.]+)`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in shown] == [
        "pyproject.toml", "example_measures/dimension.py", "example_measures/network.py",
    ]  # fmt: skip
    for name, code in shown:
        assert code in (PACKAGE / name).read_text(), name
