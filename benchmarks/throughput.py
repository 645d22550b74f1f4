"""Frames per second of decoding, of each dimension, and of all together; peak memory; the floor.

Every figure is measured in a process of its own on footage made on the spot:

    python benchmarks/throughput.py                      # 720x480 and 1080p, 6 s at 24 fps
    python benchmarks/throughput.py --videos FILE ...    # your own footage
    python benchmarks/throughput.py --memory             # 6 s against 60 s of 1080p

The machines it runs on are noisy: read the ratios of one run, not the absolute figures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path
from time import perf_counter

SIZES = ((720, 480), (1920, 1080))
RATE = 24


def make_footage(path: Path, width: int, height: int, seconds: int) -> Path:
    """A synthetic scene, encoded as generators do."""
    from vbench_long.generators import GENERATORS, Request
    from vbench_long.video import Encoding, write_video

    options = {
        "width": str(width),
        "height": str(height),
        "fps": str(RATE),
        "seconds": str(seconds),
    }
    generator = GENERATORS.get("synthetic")(options)
    frames = generator.generate(Request("two boats cross a bay at dusk", seed=1))
    encoding = Encoding(options={"crf": "18", "preset": "veryfast"})
    write_video(path, frames, Fraction(RATE), encoding)
    return path


def measure(path: Path, dimensions: list[str]) -> dict[str, float]:
    """Judge one video in this process (or only decode it) and say how fast."""
    from vbench_long.dimensions import DIMENSIONS
    from vbench_long.evaluation.costs import peak_memory
    from vbench_long.evaluation.runner import Runner
    from vbench_long.records import Sample, Status
    from vbench_long.video import probe, read_frames

    if not dimensions:
        started = perf_counter()
        frames = sum(1 for _ in read_frames(probe(path)))
        seconds = perf_counter() - started
    else:
        runner = Runner([DIMENSIONS.get(name)("classical") for name in dimensions])
        sample = Sample("v", "p", 0, str(path), dimensions=tuple(dimensions))
        started = perf_counter()
        records = runner.judge(sample, path, dimensions)
        seconds = perf_counter() - started
        frames = runner.counts.frames["v"]
        assert all(record.status is Status.OK for record in records), records
    return {"frames": frames, "fps": frames / seconds, "peak_mib": peak_memory() / 2**20}


def in_own_process(path: Path, dimensions: list[str]) -> dict[str, float]:
    """`measure` in a fresh interpreter, so that memory and warm caches are its own."""
    command = [sys.executable, __file__, "--one", str(path), *dimensions]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def report(path: Path, label: str) -> None:
    """One line for decoding, each dimension, and all of them."""
    from vbench_long.dimensions import DIMENSIONS

    names = [n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones]
    print(f"\n{label}")
    print(f"{'':28}{'frames/s':>10}{'of decode':>11}{'peak MiB':>10}")
    decode = in_own_process(path, [])
    rows = [("decode alone", decode), *((name, in_own_process(path, [name])) for name in names)]
    rows.append((f"all {len(names)} together", in_own_process(path, names)))
    for name, row in rows:
        share = row["fps"] / decode["fps"]
        print(f"{name:28}{row['fps']:10.1f}{share:11.3f}{row['peak_mib']:10.0f}")
    separate = sum(1 / row["fps"] for _, row in rows[1:-1])
    print(f"one pass instead of {len(names)}: {separate * rows[-1][1]['fps']:.2f} times faster")


def report_memory(folder: Path) -> None:
    """Peak memory of all dimensions on 6 s and on 60 s of the same size."""
    from vbench_long.dimensions import DIMENSIONS

    names = [n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones]
    peaks = {}
    for seconds in (6, 60):
        path = make_footage(folder / f"{seconds}.mp4", 1920, 1080, seconds)
        peaks[seconds] = in_own_process(path, names)["peak_mib"]
        print(f"1920x1080, {seconds:2} s: peak {peaks[seconds]:.0f} MiB")
    print(f"60 s against 6 s: {peaks[60] / peaks[6]:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--videos", type=Path, nargs="+", help="measure on these instead")
    parser.add_argument("--memory", action="store_true", help="only the memory of 6 s and 60 s")
    parser.add_argument("--one", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure(Path(options.one[0]), options.one[1:])))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.memory:
            report_memory(folder)
            return
        for path in options.videos or []:
            report(path, path.name)
        for width, height in () if options.videos else SIZES:
            path = make_footage(folder / f"{height}.mp4", width, height, 6)
            report(path, f"{width}x{height}, 6 s at {RATE} frames/s")


if __name__ == "__main__":
    main()
