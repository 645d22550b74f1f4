"""Seconds that `leaderboard`, `compare` and `verify` take on runs of the official size.

    python benchmarks/leaderboard_speed.py

Two runs are written through the store: 8,310 records of 6,230 videos, as the official suite
plans them, three clips each, without video files. Each command runs in a process of its own, once
before it counts, so that modules are compiled as an installer leaves them; the time an interpreter
takes to start and stop is subtracted. The best of several is the figure, because other programs on
the machine only ever add. Processor time beyond the wall's is a second thread's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from vbench_long.evaluation.runner import video_value
from vbench_long.leaderboard.protocols import PUBLISHED_PROTOCOL
from vbench_long.leaderboard.scores import SCALES
from vbench_long.leaderboard.tables import scores_csv, videos_csv
from vbench_long.provenance import environment, now
from vbench_long.records import Manifest, Record, Sample, Status, digest
from vbench_long.store import Store, load_run

LIMIT = 2.0  # seconds
CLIPS = 3
# Prompts that serve the same dimensions, and samples of each, in the official suite.
SHARED = (
    (72, 5, ("subject_consistency", "dynamic_degree", "motion_smoothness")),
    (86, 5, ("background_consistency", "scene")),
    (93, 5, ("aesthetic_quality", "imaging_quality", "overall_consistency")),
    (75, 25, ("temporal_flickering",)),
    (79, 5, ("object_class",)),
    (82, 5, ("multiple_objects",)),
    (100, 5, ("human_action",)),
    (85, 5, ("color",)),
    (84, 5, ("spatial_relationship",)),
    (90, 5, ("appearance_style",)),
    (100, 5, ("temporal_style",)),
)


def make_run(folder: Path, name: str, level: float, seed: int) -> None:
    """Write a complete run whose scores vary between prompts and samples around `level`.

    Its protocol is that of published rows, so that `--published` has rows to put it among.
    """
    rng = np.random.default_rng(seed)
    facts = environment()
    samples, records = [], []
    for prompts, per_prompt, dimensions in SHARED:
        for prompt in range(prompts):
            text = f"prompt {prompt} of {dimensions[0].replace('_', ' ')}, seen from above"
            hard = rng.normal(0, 0.05)
            for index in range(per_prompt):
                video = f"{text}-{index}.mp4"
                samples.append(Sample(video, text, index, f"videos/{video}", index, dimensions))
                for dimension in dimensions:
                    span = SCALES[dimension].maximum - SCALES[dimension].minimum
                    raw = np.clip(level + hard + rng.normal(0, 0.03, CLIPS), 0, 1)
                    if dimension in ("dynamic_degree", "human_action"):  # yes or no
                        raw = np.round(raw + rng.uniform(-0.5, 0.5, CLIPS))
                    clips = (SCALES[dimension].minimum + span * raw).tolist()
                    records.append(_record(video, dimension, clips, digest(facts)))
    manifest = Manifest(
        name=name,
        model={"videos": str(folder)},
        protocol={**PUBLISHED_PROTOCOL, "dimensions": _identities()},
        suite={},
        dimensions=tuple(SCALES),
        status="complete",
        command="vbench-long evaluate",
        environment=digest(facts),
        counts=dict(Counter(record.status.value for record in records)),
        created=now(),
        updated=now(),
    )
    with Store(folder) as store:
        store.write_manifest(manifest)
        store.put_environment(manifest.environment, facts)
        store.put_samples(samples)
        store.put(records)
    run = load_run(folder)
    (folder / "scores.csv").write_text(scores_csv(run), encoding="utf-8")
    (folder / "videos.csv").write_text(videos_csv(run), encoding="utf-8")


def _record(video: str, dimension: str, clips: list[float], variableskey: str) -> Record:
    parts = [
        {"start": 48 * i, "stop": 48 * i + 48, "scene": 0, "value": value}
        for i, value in enumerate(clips)
    ]
    return Record(
        video,
        dimension,
        Status.OK,
        video_value([clips]),
        parts={"clips": parts, "frames": 144, "notes": []},
        seconds=0.5,
        sha256="0" * 64,
        identity=f"{_identities()[dimension]}/fp32/w:0",
        environment=variableskey,
    )


def _identities() -> dict[str, str]:
    return {name: f"{name}/reference/1" for name in SCALES}


def seconds(command: list[str], repeats: int, compiled: Path) -> tuple[list[float], list[float]]:
    """Wall and processor seconds of a command, several times; it must not fail."""
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(compiled)}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    wall, processor = [], []
    for _ in range(repeats + 1):
        started, before = perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, *command], capture_output=True, text=True, env=variables
        )
        after = os.times()
        wall.append(perf_counter() - started)
        processor.append(sum(after[2:4]) - sum(before[2:4]))
        if done.returncode not in (0, 1):
            raise SystemExit(f"{' '.join(command)} failed: {done.stderr}")
    return wall[1:], processor[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5, help="of each command")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [str(folder / "one"), str(folder / "two")]
        for seed, path in enumerate(runs):
            make_run(Path(path), Path(path).name, 0.8 + 0.002 * seed, seed)
        print(f"{len(load_run(Path(runs[0])).records)} records a run; seconds beyond the start")
        print(f"{'':36}{'wall, best':>12}{'median':>8}{'processor, best':>17}")
        start = [min(times) for times in seconds(["-c", "pass"], options.repeats, folder / "pyc")]
        output = ["--output", str(folder / "out")]
        commands = {
            "verify RUN": ["verify", runs[0]],
            "leaderboard RUN": ["leaderboard", runs[0], *output],
            "leaderboard RUN RUN --published": ["leaderboard", *runs, *output, "--published"],
            "compare RUN RUN": ["compare", *runs, *output],
        }
        slow = []
        for label, command in commands.items():
            wall, processor = seconds(
                ["-m", "vbench_long", *command], options.repeats, folder / "pyc"
            )
            best = min(wall) - start[0]
            print(
                f"{label:36}{best:12.2f}{median(wall) - start[0]:8.2f}"
                f"{min(processor) - start[1]:17.2f}"
            )
            slow += [label] * (best > LIMIT)
    if slow:
        raise SystemExit(f"over {LIMIT} s: {', '.join(slow)}")


if __name__ == "__main__":
    main()
