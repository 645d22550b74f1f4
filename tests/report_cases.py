"""Runs for the report's tests: scores drawn once, hostile names, small videos beside them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
from conftest import moving_frames
from test_scores import make_run, ok

from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.board import Leaderboard
from vbench_long.leaderboard.published import choose_published
from vbench_long.leaderboard.scores import available_totals
from vbench_long.records import Record, Sample, Status
from vbench_long.store import Run
from vbench_long.video import Encoding, file_sha256, write_video

MEANS = {"subject_consistency": 0.95, "motion_smoothness": 0.97, "imaging_quality": 0.6}

HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "</script><script>document.title='owned'</script>",
    "<!--<script>",
    "\"'><svg onload=document.title='owned'>",
    "{{ 7 * 7 }} {% raw %}",
    "javascript:document.title='owned'",
    "&lt;b&gt; &amp; \u2028 \u2029 \ufeff \x00 \x1b[31m \x7f \ud800",
    "right \u202e to left \u202c שלום عربي",
    "word " * 300,
    "x" * 3000,
    "🎬 混元 长视频",
    "",
]


def scored_run(
    name: str,
    folder: Path,
    *,
    prompts: Sequence[str] | int = 40,
    means: Mapping[str, float] = MEANS,
    protocol: str = "exact",
    seed: int = 0,
) -> Run:
    """A run with two samples of each prompt; a video without a file is beside nothing."""
    rng = np.random.default_rng(seed)
    texts = [f"Prompt {i:03}" for i in range(prompts)] if isinstance(prompts, int) else prompts
    records: list[Record] = []
    samples: list[Sample] = []
    for k, text in enumerate(texts):
        for index in range(2):
            video = f"{k:03}-{index}.webm"
            samples.append(Sample(video, text, index, f"videos/{video}", dimensions=tuple(means)))
            for dimension, mean in means.items():
                clips = np.clip(mean + 0.02 * rng.standard_normal(2), 0, 1).round(6)
                records.append(ok(video, dimension, *clips.tolist()))
    run = make_run(records, name, protocol={"backend": "classical", "clips": protocol})
    return replace(run, samples=tuple(samples), folder=folder)


def without(run: Run, video: str, status: Status, reason: str) -> Run:
    """The run with one video that has no score."""
    records = [
        replace(r, status=status, value=None, error=reason, parts={}) if r.video == video else r
        for r in run.records
    ]
    return replace(run, records=tuple(records))


def with_videos(run: Run) -> Run:
    """The run with its files: one small VP9 video, which every Chromium plays, under all names."""
    folder = run.folder / "videos"
    folder.mkdir(parents=True)
    original = folder / run.samples[0].video
    vp9 = Encoding("libvpx-vp9", "yuv420p", {"crf": "40", "deadline": "realtime"})
    write_video(original, moving_frames(32, 128, 96), Fraction(16), vp9)
    for sample in run.samples[1:]:
        shutil.copy(original, run.folder / sample.path)
    sha256 = file_sha256(original)
    return replace(run, records=tuple(replace(r, sha256=sha256) for r in run.records))


def mixed_board(folder: Path) -> Leaderboard:
    """Two protocols, published rows, hostile names, failures, and a dimension of a third party."""
    raw = {**MEANS, "zoom": 2.5}
    alpha = with_videos(scored_run("Alpha", folder / "alpha #1 %41"))
    smooth = {**MEANS, "motion_smoothness": 0.99, "subject_consistency": 0.92}
    beta = scored_run("Beta", folder / "beta", means=smooth, seed=1)
    beta = without(beta, "002-0.webm", Status.FAILED, "broken <b>file</b>")
    beta = without(beta, "003-1.webm", Status.MISSING, "there is no such file")
    unlike = {**MEANS, "subject_consistency": 0.9}
    evil = scored_run(HOSTILE[0], folder / "evil", prompts=HOSTILE, means=unlike, seed=2)
    evil = without(evil, "001-0.webm", Status.FAILED, HOSTILE[1])
    gamma = scored_run("Gamma", folder / "gamma", protocol="reference", means=raw, seed=3)
    published = choose_published(["Gen-3", "Kling", "Mira"])
    return build([alpha, beta, evil, gamma], available_totals, published)


def beside_board() -> Leaderboard:
    """A run in one table with published rows, as only a run of the whole official suite is."""
    published = choose_published(["Kling", "Gen-3", "Mira", "Vidu", "Mochi", "Veo 3", "Luma"])
    board = build([scored_run("Alpha", Path("alpha"))], available_totals, published)
    rows = tuple(row for group in board.groups[:2] for row in group.rows)
    return Leaderboard((replace(board.groups[0], rows=rows, apart=()),))
