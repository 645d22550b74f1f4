"""Vchitect-2.0 shared out to several processes makes the video that one makes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from vchitect2_cases import TINY, seeded_transformer
from vchitect2_processes import WORDS, forward, inputs, latents, videos, world

from vbench_long.errors import EnvironmentFault, GenerationError, UsageError
from vbench_long.generators import GENERATORS, Request
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import Settings
from vbench_long.generators.vchitect2.parallel import Line, SharedFrames, Team, layout, shares
from vbench_long.generators.vchitect2.stacks import in_pieces
from vbench_long.generators.vchitect2.transformer import Stack, in_order

SETTINGS = Settings(width=64, height=32, frames=5, steps=4)
SMALL = {"width": "32", "height": "16", "frames": "3", "steps": "1"}


@given(st.integers(0, 500), st.integers(1, 16))
def test_things_are_dealt_out_evenly(count: int, parts: int) -> None:
    dealt = shares(count, parts)
    assert sum(dealt) == count and len(dealt) == parts
    assert max(dealt) - min(dealt) <= 1 and list(dealt) == sorted(dealt, reverse=True)


@given(st.integers(1, 8), st.integers(0, 40))
def test_every_frame_is_in_one_place(parts: int, more: int) -> None:
    total, ranks = parts + more, tuple(range(parts))
    places = [SharedFrames(total, Line(ranks, place)) for place in ranks]
    assert [number for frames in places for number in frames.numbers] == list(range(total))
    assert max(len(frames.numbers) for frames in places) == Team(places[0].line).most_frames(total)


@pytest.mark.parametrize(
    ("parallel", "processes", "frames", "guidance", "expected"),
    [
        ("frames", 3, 5, 1.0, (3, 1)),
        ("frames", 1, 5, 7.5, (1, 1)),
        ("guidance", 2, 1, 7.5, (1, 2)),
        ("both", 6, 3, 7.5, (3, 2)),
        ("frames", 6, 5, 7.5, "too many for 5 frames.*start 5 at most"),
        ("both", 8, 3, 7.5, "too many for 3 frames.*start 6 at most"),
        ("guidance", 4, 5, 7.5, "4 processes for two branches.*parallel=both"),
        ("guidance", 1, 5, 7.5, "no pairs"),
        ("both", 3, 5, 7.5, "3 processes are no pairs"),
        ("both", 2, 5, 1.0, "guidance=1 has one branch.*parallel=frames"),
    ],
)
def test_how_processes_share(
    parallel: Any, processes: int, frames: int, guidance: float, expected: Any
) -> None:
    if isinstance(expected, tuple):
        assert layout(parallel, processes, frames, guidance) == expected
        return
    with pytest.raises(UsageError, match=expected):
        layout(parallel, processes, frames, guidance)


def test_one_process_shares_nothing(tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(UsageError, match=r"this is one process.*torchrun"):
        GENERATORS.get("vchitect2")({"checkpoint": str(tiny_checkpoint), "parallel": "frames"})
    with pytest.raises(UsageError, match="parallel of vchitect2"):
        GENERATORS.get("vchitect2")({"checkpoint": str(tiny_checkpoint), "parallel": "tensors"})


def largest(one: Tensor, other: Tensor) -> float:
    return float((one - other).abs().max())


def sent_bytes(frames: int, processes: int, place: int, stack: Stack) -> int:
    """What `parallel.py` says a process sends for a prediction for two prompts, in float32."""
    prompts, length, dim = 2, 2 * 3, TINY.dim
    here, others = shares(frames, processes)[place], processes - 1
    numbers = 0
    for block in range(TINY.num_layers):
        numbers += 0 if place else others * 2 * prompts * WORDS * dim
        moving = [prompts * length]
        # In pieces, the first block takes its text frame by frame; the last never needs it.
        if block < TINY.num_layers - 1 and (block > 0 or stack is in_pieces):
            moving.append(prompts * WORDS)
        for slots in moving:
            sizes = [slots] if stack is in_order else piece_sizes(slots // prompts, prompts)
            for size in sizes:
                mine = shares(size, processes)[place]
                numbers += 3 * here * (size - mine) * dim + (frames - here) * mine * dim
    return 4 * (numbers + others * prompts * here * 16 * 4 * 6)


def piece_sizes(length: int, prompts: int) -> list[int]:
    return [prompts] * length  # Eight pieces of up to eight slots are single slots.


def check_forwards(size: int, cases: list[tuple[int, Stack]], folder: Path) -> None:
    found = world(size, [partial(forward, frames, stack) for frames, stack in cases], folder)
    model = seeded_transformer()
    for number, (frames, stack) in enumerate(cases):
        with torch.inference_mode():
            expected = model(*inputs(frames))
        for place in range(size):
            velocity, sent = found[place][number]
            assert largest(velocity, expected) <= 1e-5, (frames, place)
            assert torch.equal(velocity, found[0][number][0])
            assert sent == sent_bytes(frames, size, place, stack), (frames, place)


def test_two_processes_predict_what_one_does(tmp_path: Path) -> None:
    cases = [(4, in_order), (5, in_order), (2, in_order), (5, in_pieces)]
    check_forwards(2, cases, tmp_path / "world")


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 4])
def test_more_processes_predict_what_one_does(size: int, tmp_path: Path) -> None:
    """Uneven shares, one frame each, and fewer token slots in a piece than processes."""
    cases = [(5, in_order), (size, in_order), (7, in_pieces)]
    check_forwards(size, cases, tmp_path / "world")


def check_latents(
    size: int, cases: list[tuple[Any, Settings]], tiny_checkpoint: Path, folder: Path
) -> None:
    found = world(size, [partial(latents, tiny_checkpoint, *case) for case in cases], folder)
    for number, (parallel, settings) in enumerate(cases):
        expected = load_pipeline(tiny_checkpoint, settings).latents(["a cat"], [3], ["blurry"])
        for of_process in found:
            assert largest(of_process[number], expected) <= 1e-4, (parallel, settings)
            assert torch.equal(of_process[number], found[0][number])


REUSING = replace(SETTINGS, steps=6, guidance=2.0, guidance_schedule="constant", reuse=1.0)


@pytest.mark.slow
def test_two_processes_make_the_same_latents(tiny_checkpoint: Path, tmp_path: Path) -> None:
    cases = [("guidance", SETTINGS), ("frames", SETTINGS), ("both", SETTINGS), ("frames", REUSING)]
    check_latents(2, cases, tiny_checkpoint, tmp_path / "world")
    plain = load_pipeline(tiny_checkpoint, replace(REUSING, reuse=0.0)).latents(
        ["a cat"], [3], ["blurry"]
    )
    reused = load_pipeline(tiny_checkpoint, REUSING).latents(["a cat"], [3], ["blurry"])
    assert largest(plain, reused) > 1e-2  # Something was reused.


@pytest.mark.slow
def test_four_processes_share_frames_and_guidance(tiny_checkpoint: Path, tmp_path: Path) -> None:
    check_latents(4, [("both", SETTINGS), ("both", REUSING)], tiny_checkpoint, tmp_path / "world")


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 2])
def test_processes_fail_and_go_on_together(
    failing: int, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    options = {"checkpoint": str(tiny_checkpoint), **SMALL, "parallel": "frames"}
    refused = {**options, "parallel": "both"}
    jobs = [partial(videos, options, failing), partial(videos, refused, failing)]
    first, *helpers = world(3, jobs, tmp_path / "world")
    alone = GENERATORS.get("vchitect2")({"checkpoint": str(tiny_checkpoint), **SMALL})
    expected = np.stack(list(alone.generate(Request("a cat", 3))))
    whole, unmade, failed, again = first[0]
    assert np.abs(whole.astype(int) - expected).max() <= 1
    assert isinstance(unmade, GenerationError) and "seed -1" in str(unmade)
    assert isinstance(failed, EnvironmentFault) and "out of memory" in str(failed)
    assert (f"process {failing}" in str(failed)) == (failing > 0)  # The first says "I".
    assert np.array_equal(again, whole)
    assert isinstance(first[1], UsageError) and "no pairs" in str(first[1])
    for helper in helpers:  # They say nothing, and end well.
        assert [type(end) for end in helper] == [SystemExit] * 2
        assert [end.code for end in helper] == [0, 0]


@pytest.mark.slow
def test_torchrun_writes_each_video_once(tiny_checkpoint: Path, tmp_path: Path) -> None:
    options = f"checkpoint={tiny_checkpoint},width=64,height=48,frames=16,steps=1,parallel=guidance"
    run = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run += ["-m", "vbench_long", "evaluate", "--model", "vchitect2", "--model-args", options]
    run += ["--suite", "mini", "--limit", "1", "--dimensions", "temporal_flickering"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def done(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*run, "--output", str(tmp_path / "run"), *more]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    first = done()
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("1 video, complete") == 1
    (video,) = (tmp_path / "run" / "videos").glob("*.mp4")
    written = video.stat().st_mtime_ns
    assert done().returncode == 0 and video.stat().st_mtime_ns == written
    other = done("--model-args", options.replace("frames=16", "frames=24"))
    assert other.returncode != 0 and other.stderr.count("error: ") == 1, other.stderr
