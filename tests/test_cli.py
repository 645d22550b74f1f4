"""The command line as a user meets it: exit codes, streams, kills, full disks."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from conftest import moving_frames

from vbench_long.cli import main
from vbench_long.generators.synthetic import Options
from vbench_long.generators.vchitect2.options import Machine, Settings

ROOT = Path(__file__).resolve().parents[1]
MakeVideo = Callable[..., Path]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vbench_long", *map(str, arguments)]


def call(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False, **more
    )


def small_run(output: Path, limit: int = 2) -> tuple[object, ...]:
    return (
        "evaluate", "--model", "synthetic", "--suite", "long", "--limit", limit,
        "--model-args", "width=64,height=48,seconds=3,fps=8", "--output", output,
    )  # fmt: skip


def tables(run: Path) -> bytes:
    return (run / "scores.csv").read_bytes() + (run / "videos.csv").read_bytes()


def test_the_main_job(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = call(*small_run(run))
    assert done.returncode == 0, done.stderr
    assert "subject_consistency" in done.stdout and "[1/2]" in done.stderr
    assert {p.name for p in run.iterdir()} >= {
        "run.json", "records.sqlite", "scores.csv", "videos.csv", "videos",
    }  # fmt: skip
    summary = json.loads(call(*small_run(run), "--json").stdout)
    assert "classical backend" in summary["about"]
    board = call("leaderboard", run, "--output", tmp_path / "board")
    assert board.returncode == 0, board.stderr
    assert {p.name for p in (tmp_path / "board").iterdir()} >= {
        "leaderboard.csv", "leaderboard.md", "radar.png",
    }  # fmt: skip
    checked = call("verify", run)
    assert (checked.returncode, "every number follows" in checked.stdout) == (0, True)


def test_exit_codes(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("a-0.mp4", folder=tmp_path / "v")
    (tmp_path / "v" / "b-0.mp4").write_bytes(b"")
    some_failed = call("evaluate", "--videos", tmp_path / "v", "--output", tmp_path / "run")
    assert some_failed.returncode == 3 and "the file is empty" in some_failed.stderr
    assert call("verify", tmp_path / "run").returncode == 0
    unknown = call(
        "evaluate", "--videos", tmp_path / "v", "--output", tmp_path / "x", "--dimensions", "scen"
    )
    assert unknown.returncode == 2 and unknown.stderr.count("\n") == 1, unknown.stderr
    assert call("evaluate", "--output", tmp_path / "x").returncode == 2
    assert call("verify", tmp_path / "nowhere").returncode == 3
    (tmp_path / "file").write_text("")
    unwritable = call("evaluate", "--videos", tmp_path / "v", "--output", tmp_path / "file" / "run")
    assert unwritable.returncode == 4 and unwritable.stderr.count("error:") == 1


def test_absent_weights_are_listed_with_one_command(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("a-0.mp4", folder=tmp_path / "v")
    empty = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    empty |= {"HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    done = call(
        "evaluate", "--videos", tmp_path / "v", "--backend", "reference", "--output",
        tmp_path / "run", "--dimensions", *json.loads(call("dimensions", "--json").stdout),
        env=empty,
    )  # fmt: skip
    assert done.returncode == 4 and done.stderr.count("\n") == 1, done.stderr
    command = done.stderr.rpartition("vbench-long weights pull ")[2].split()
    assert set(command) == {
        "dino_vitb16", "dinov2_vitb14", "clip_vitb32", "dreamsim_clip_vitb16", "raft_things",
        "dreamsim_open_clip_vitb16", "dreamsim_lora", "amt_s", "clip_vitl14", "musiq_spaq",
        "laion_aesthetic_l14", "tag2text", "tag2text_tags", "bert_vocabulary", "umt_l16",
        "viclip_l14", "grit_b",
    }  # fmt: skip
    assert not (tmp_path / "run").exists()
    without = call(
        "evaluate", "--videos", tmp_path / "v", "--backend", "reference", "--output",
        tmp_path / "run", "--dimensions", "temporal_flickering", env=empty,
    )  # fmt: skip
    assert without.returncode == 0, without.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_output_is_the_environments_fault(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video("a-0.mp4", folder=tmp_path / "v")
    (tmp_path / "run").mkdir(mode=0o555)
    done = call("evaluate", "--videos", tmp_path / "v", "--output", tmp_path / "run")
    assert done.returncode == 4 and "Traceback" not in done.stderr


def test_interrupted_runs_go_on(tmp_path: Path) -> None:
    call(*small_run(tmp_path / "whole", 6))
    run = tmp_path / "run"
    process = subprocess.Popen(
        command(*small_run(run, 6)),
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background of a script ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    while "[3/6]" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert "the same command goes on" in process.stderr.read()
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert call("verify", run).returncode == 3
    assert call(*small_run(run, 6)).returncode == 0
    assert tables(run) == tables(tmp_path / "whole")
    assert call("verify", run).returncode == 0


def kill_at_random(run: Path, limit: int, rng: random.Random, longest: float) -> int:
    """Start the run again and again, killing it each time, until it ends by itself."""
    kills = 0
    while True:
        process = subprocess.Popen(
            command(*small_run(run, limit)),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            code = process.wait(rng.uniform(0.05, longest))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            continue
        assert code == 0, process.stderr and process.stderr.read()
        return kills


@pytest.mark.slow
def test_kill_9_loses_nothing(tmp_path: Path) -> None:
    """KILLS=50 VIDEOS=40 is the full test; the defaults keep it short."""
    kills, videos = int(os.environ.get("KILLS", "4")), int(os.environ.get("VIDEOS", "12"))
    started = time.monotonic()
    assert call(*small_run(tmp_path / "whole", videos)).returncode == 0
    longest = time.monotonic() - started
    rng, done, round_ = random.Random(0), 0, 0
    while done < kills:
        run = tmp_path / f"run{round_}"
        done += kill_at_random(run, videos, rng, longest * 0.9)
        assert tables(run) == tables(tmp_path / "whole")
        assert call("verify", run).returncode == 0
        round_ += 1


def test_a_full_disk_ends_in_one_error_and_the_run_goes_on(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    folder = tmp_path / "v"
    for index in range(12):
        make_video(f"a-{index}.mp4", moving_frames(40, seed=index), folder=folder)
    arguments = ("evaluate", "--videos", folder, "--output", tmp_path / "run")
    whole = ("evaluate", "--videos", folder, "--output", tmp_path / "whole")
    assert call(*whole).returncode == 0

    def limit_file_size() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))

    full = call(*arguments, preexec_fn=limit_file_size)
    assert full.returncode == 4, full.stderr
    assert full.stderr.count("error:") == 1 and "Traceback" not in full.stderr
    assert call(*arguments).returncode == 0
    assert tables(tmp_path / "run") == tables(tmp_path / "whole")


# --- what a command can be told ----------------------------------------------------------------


def help_of(*arguments: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main([*arguments, "--help"])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", ["generate", "evaluate"])
def test_help_after_a_model_lists_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = help_of(command, capsys=capsys)
    assert "--model NAME --help" in " ".join(plain.split()) and "options of vchitect2" not in plain
    for model, options in {
        "synthetic": Options,
        "vchitect2": (Settings, Machine),
        "folder": (),
    }.items():
        told = help_of(command, "--model", model, capsys=capsys)
        assert told.startswith(plain) and f"options of {model}" in told
        for kind in options if isinstance(options, tuple) else (options,):
            for field in fields(kind):
                (line,) = [
                    i for i, t in enumerate(told.split("\n")) if t.startswith(f"{field.name}=")
                ]
                assert str(field.default) in told.split("\n")[line]
                assert len(told.split("\n")[line + 1].strip()) > 5, field.name
    assert "path=DIR" in help_of(command, "--model", "folder", capsys=capsys)
    assert "checkpoint=DIR" in help_of(command, "--model", "vchitect2", capsys=capsys)
    told = help_of(command, "--model", "vchitekt2", capsys=capsys)
    assert "did you mean 'vchitect2'" in told


@pytest.mark.parametrize("arguments", [("generate",), ("generate", "--model", "nobody's")])
def test_of_the_processes_of_a_torchrun_one_speaks_of_the_command_line(
    arguments: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    line = [*arguments, "--output", str(tmp_path / "out")]

    def said() -> str:
        try:
            code = main(line)
        except SystemExit as end:
            code = int(end.code or 0)
        assert code == 2
        return capsys.readouterr().err

    assert "error: " in said()
    monkeypatch.setenv("RANK", "1")
    assert "error: " in said(), "other launchers set it too"
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert not said()
    monkeypatch.setenv("RANK", "0")
    assert "error: " in said()
    monkeypatch.setenv("RANK", "1")
    assert main(["verify", str(tmp_path / "nothing")]) and "error: " in capsys.readouterr().err
