"""From a checkpoint to scores with the tiny Vchitect-2.0, as a user runs it: killed, resumed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from vbench_long.evaluation.video_folder import sidecar_of
from vbench_long.video import file_sha256, probe

ROOT = Path(__file__).resolve().parents[1]
SUITE = ("--suite", "mini", "--limit", "4")
SMALL = "width=192,height=128,seconds=2,steps=4"
# One thread: otherwise sums, and so pixels, could depend on how many cores are free.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
NETWORKS = ("motion_smoothness", "dynamic_degree", "imaging_quality")

pytestmark = pytest.mark.slow


def line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vbench_long", *map(str, arguments)]


def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        line(*arguments), cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT, check=False
    )
    assert done.returncode == code, done.stderr
    return done


def generation(checkpoint: Path, output: Path) -> tuple[object, ...]:
    model = ("--model", "vchitect2", "--checkpoint", checkpoint, "--model-args", SMALL)
    return ("generate", *model, *SUITE, "--output", output)


def killed_at(video: int, *arguments: object) -> None:
    """Run until the middle of a video, and kill it as the kernel would."""
    process = subprocess.Popen(
        line(*arguments), cwd=ROOT, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    assert process.stderr
    said = []
    for text in process.stderr:
        said.append(text)
        if text.startswith(f"[{video}/"):
            break
    else:
        pytest.fail("".join(said))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()


def made(folder: Path) -> dict[str, tuple[int, str]]:
    """The videos that are there, with when they were written; whole, and as their sidecars say."""
    found = {}
    for path in folder.glob("*.mp4"):
        if path.name.startswith("."):
            continue
        info, said = probe(path), json.loads(sidecar_of(path).read_text(encoding="utf-8"))
        assert (info.width, info.height, info.frames, info.fps) == (192, 128, 16, 8)
        assert said["settings"]["untrained"] is True
        found[path.name] = path.stat().st_mtime_ns, file_sha256(path)
        assert said["sha256"] == found[path.name][1]
    return found


def scores(run: Path) -> dict[str, dict[str, str]]:
    with (run / "scores.csv").open(newline="", encoding="utf-8") as file:
        return {row["dimension"]: row for row in csv.DictReader(file)}


def test_the_whole_chain(tmp_path: Path) -> None:
    checkpoint, out, whole = tmp_path / "tiny", tmp_path / "out", tmp_path / "whole"
    call("weights", "seed", "vchitect2", "--tiny", checkpoint)

    killed_at(3, *generation(checkpoint, out))
    before = made(out)
    assert len(before) == 2
    assert not [file for file in out.glob("*.json") if file.stem.endswith("-0")][2:]
    assert json.loads((out / "generation.json").read_text())["status"] == "running"

    assert "2 made, 2 there before, 0 failed" in call(*generation(checkpoint, out)).stdout
    after = made(out)
    assert len(after) == 4 and {name: after[name] for name in before} == before
    assert not list(out.glob(".*.partial*"))
    call(*generation(checkpoint, whole))
    assert {name: sha for name, (_, sha) in made(whole).items()} == {
        name: sha for name, (_, sha) in after.items()
    }
    assert (out / "manifest.csv").read_bytes() == (whole / "manifest.csv").read_bytes()

    classical, reference = tmp_path / "classical", tmp_path / "reference"
    judge = ("evaluate", "--videos", out, *SUITE)
    done = call(*judge, "--output", classical)
    assert "untrained weights, the numbers mean nothing" in done.stdout
    seeded = ("--backend", "reference", "--weights", "seeded", "--dimensions", *NETWORKS)
    done = call(*judge, *seeded, "--output", reference)
    assert "untrained weights, the numbers mean nothing" in done.stdout
    assert set(scores(reference)) == set(NETWORKS) and len(scores(classical)) > len(NETWORKS)
    for run in (classical, reference):
        assert {(row["videos"], row["failed"]) for row in scores(run).values()} == {("4", "0")}
        assert json.loads((run / "run.json").read_text())["protocol"]["untrained"] is True
        call("verify", run)
        board = call("leaderboard", run, "--output", tmp_path / "board", code=2)
        assert board.stderr.startswith(
            "error: a run with untrained weights has no place in a table"
        )
        assert not (tmp_path / "board").exists()
