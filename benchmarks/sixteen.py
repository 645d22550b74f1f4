"""One video through all sixteen dimensions: what was foretold, and what it took.

    python benchmarks/sixteen.py VIDEO                # on a machine with nothing else to do
    python benchmarks/sixteen.py VIDEO --clock cpu    # CPU seconds of one thread, on a busy one
    python benchmarks/sixteen.py VIDEO --device cuda --precision tf32

The video is given to `vbench-long evaluate --backend reference` in a manifest, with a prompt and
with what the dimensions must know of it; weights are full-size and seeded. Seeded networks see
everything move, and their captions are as long as captions may be. GRiT, which with such weights
would find 256 things in every frame and say 39 words of each, keeps to ten and ten.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from time import process_time
from typing import Any
from unittest.mock import patch

TOLD = {
    "prompt": "a person is riding a horse",
    "object_class": "horse",
    "multiple_objects": "horse and person",
    "color": "white",
    "spatial_relationship": "person on the top of horse",
    "scene": "desert",
    "appearance_style": "Van Gogh style",
    "human_action": "riding or walking with horse",
}
"""Of the video. Whether it is true changes no cost."""

CLOCKED = ("probes", "runner", "stream", "evaluate")
"""Modules that look at the clock."""


def judge(clock: str, arguments: list[str]) -> int:
    """`vbench-long` with GRiT kept short; with the CPU's clock if that is asked."""
    from vbench_long.cli import main as command
    from vbench_long.dimensions.backbones.grit import Grit
    from vbench_long.dimensions.backbones.grit.heads import CascadeShape
    from vbench_long.dimensions.backbones.grit.network import GritShape
    from vbench_long.dimensions.backbones.grit.text import TextShape

    Grit.shape = GritShape(cascade=CascadeShape(kept=10), text=TextShape(longest=11))
    with ExitStack() as stack:
        for name in CLOCKED if clock == "cpu" else ():
            module = import_module(f"vbench_long.evaluation.{name}")
            stack.enter_context(patch.object(module, "perf_counter", process_time))
        return command(arguments)


def run(video: Path, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Judge the video in a process of its own, and read its report."""
    manifest = folder / "list.csv"
    with manifest.open("w", newline="") as file:
        rows = csv.DictWriter(file, ["path", *TOLD])
        rows.writeheader()
        rows.writerow({"path": str(video.resolve()), **TOLD})
    command = ["evaluate", "--videos", str(manifest), "--backend", "reference"]
    command += ["--weights", "seeded", "--device", options.device]
    command += ["--precision", options.precision, "--output", str(folder / "run")]
    command += ["--report", str(folder / "report.json")]
    if options.dimensions:
        command += ["--dimensions", *options.dimensions]
    print("vbench-long", " ".join(command), flush=True)
    start = [sys.executable, __file__, "--judge", options.clock]
    # Threads that wait for each other burn CPU time, the more the busier the machine.
    threads = {"OMP_NUM_THREADS": "1"} if options.clock == "cpu" else {}
    subprocess.run([*start, *command], check=True, env={**os.environ, **threads})
    report: dict[str, Any] = json.loads((folder / "report.json").read_text())
    return report


def show(report: dict[str, Any], clock: str) -> None:
    """The counters, and every cost beside its estimate."""
    costs, foretold = report["costs"], report["estimate"]
    frames = sum(report["frames"].values())
    print(f"\ndecodes: {sum(report['decodes'].values())}, frames decoded: {frames}", end="; ")
    print(f"loads: {len(report['loads'])} backbones, {max(report['loads'].values())} each at most")
    unit = "CPU s" if clock == "cpu" else "s"
    print(
        f"\n{unit:24}{'items':>7}{'estimate':>10}{'loading':>9}{'took':>9}{'loading':>9}{'ratio':>7}"
    )
    for part in foretold["parts"]:
        name = part["name"]
        took, loading = costs["backbones"][name], report["loading"][name]
        likely, read = part["seconds"] or 0.0, part["loading"] or 0.0
        print(
            f"{name:24}{report['items'][name]:7}{likely:10.1f}{read:9.1f}{took:9.1f}{loading:9.1f}"
            f"{(likely + read) / (took + loading):7.2f}"
        )
    total = foretold["decoding"] + sum(
        (part["seconds"] or 0.0) + (part["loading"] or 0.0) for part in foretold["parts"]
    )
    print(f"{'decoding':31}{foretold['decoding']:10.1f}")
    print(f"{'all':31}{total:10.1f}{costs['seconds']:18.1f}{total / costs['seconds']:16.2f}")
    for what in ("memory", "device_memory"):
        if costs[what]:
            likely, took = foretold[what] / 2**20, costs[what] / 2**20
            print(f"{'peak ' + what + ', MiB':31}{likely:10.0f}{took:18.0f}{likely / took:16.2f}")
    print(f"\n{unit} of each dimension, what several share counted for each:")
    for name, seconds in costs["dimensions"].items():
        print(f"{name:24}{seconds:9.1f}")


def main() -> None:
    if sys.argv[1:2] == ["--judge"]:
        raise SystemExit(judge(sys.argv[2], sys.argv[3:]))
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("video", type=Path)
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--precision", default="fp32", choices=("fp32", "tf32", "bf16"))
    parser.add_argument("--dimensions", nargs="+", metavar="NAME", help="default: all sixteen")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        show(run(options.video, Path(folder), options), options.clock)


if __name__ == "__main__":
    main()
