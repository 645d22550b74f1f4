"""How fast each network runs, and how far that is from what the processor can do.

    python benchmarks/networks.py                                    # this machine's best device
    python benchmarks/networks.py --device cpu --threads 1 --precision bf16
    python benchmarks/networks.py --device cuda --size 1280x720 --precision tf32 --video 10

Each network judges noise of one size with seeded weights, in batches of its own choice, once to
warm up and then at least three times; the fastest counts. Work is that of matrix products and
convolutions as torch counts them; the floor is that work at the rate of one large product, measured
beside it in the network's precision. `--video` adds the dimensions of one synthetic video of so
many seconds at 24 frames/s: decoded, judged and scored, once cold and twice warm.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from time import perf_counter, process_time
from unittest.mock import patch

import numpy as np
import torch

from vbench_long.dimensions import BACKBONES, DIMENSIONS, Backbone
from vbench_long.dimensions.backbones.rehearsal import flop_counter
from vbench_long.dimensions.base import CHECKPOINTS
from vbench_long.evaluation import probes
from vbench_long.evaluation.costs import peak_memory
from vbench_long.evaluation.networks import Networks
from vbench_long.evaluation.runner import Runner
from vbench_long.generators import GENERATORS, Request
from vbench_long.records import Sample, Status
from vbench_long.video import Encoding, Frame, write_video

FRAMES_PER_ITEM = {"raft": 2, "amt_s": 3, "umt_l16": 16, "viclip_l14": 8}


def fastest(action: Callable[[], object], device: torch.device, seconds: float = 2.0) -> float:
    """Seconds of the fastest of at least three calls; CPU time on a CPU, wall time elsewhere."""
    clock = process_time if device.type == "cpu" else perf_counter
    best, began, calls = float("inf"), perf_counter(), 0
    while calls < 3 or perf_counter() - began < seconds:
        wait(device)
        started = clock()
        action()
        wait(device)
        best, calls = min(best, clock() - started), calls + 1
    return best


def wait(device: torch.device) -> None:
    """Until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def rate(device: torch.device, precision: str) -> float:
    """Floating point operations per second of one large product, by the clock of `fastest`."""
    with patch.object(
        probes, "perf_counter", process_time if device.type == "cpu" else perf_counter
    ):
        return probes.product_rate(device, precision)


def measure(backbone: Backbone, name: str, options: argparse.Namespace) -> tuple[int, float, float]:
    """Batch, FLOP per item and seconds per item."""
    width, height = options.size
    device = torch.device(options.device)
    each = FRAMES_PER_ITEM.get(name, 1)
    shape = (backbone.batch + each - 1, height, width, 3)
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def call() -> None:
        frames = [Frame(i, rgb) for i, rgb in enumerate(noise)]  # Nothing is on the device yet.
        backbone([tuple(frames[i : i + each]) for i in range(backbone.batch)])

    call()
    with flop_counter() as counter:
        call()
    seconds = fastest(call, device)
    return backbone.batch, counter.get_total_flops() / backbone.batch, seconds / backbone.batch


def table(options: argparse.Namespace) -> None:
    """One line per network."""
    device = torch.device(options.device)
    rates = {p: rate(device, p) for p in {"fp32", options.precision}}
    for precision, speed in sorted(rates.items()):
        print(f"one large product in {precision}: {speed / 1e12:.3f} TFLOP/s")
    seconds = "CPU s" if device.type == "cpu" else "s"
    titles = ("batch", "GFLOP", seconds, "floor s", "of floor", "items/s", "TFLOP/s")
    print(f"\n{'per item':20}" + "".join(f"{title:>10}" for title in titles))
    networks = Networks("seeded", options.device, options.precision, options.compile)
    for name in options.networks or CHECKPOINTS:
        batch, work, spent = measure(networks.build(name), name, options)
        rounded = options.precision == "tf32" or BACKBONES.get(name).rounds
        floor = work / rates[options.precision if rounded else "fp32"]
        print(
            f"{name:20}{batch:10}{work / 1e9:10.1f}{spent:10.4f}{floor:10.4f}"
            f"{floor / spent:10.2f}{1 / spent:10.2f}{work / spent / 1e12:10.3f}"
        )


def whole_video(options: argparse.Namespace) -> None:
    """The quality dimensions of a synthetic video, the first time and warm."""
    width, height = options.size
    settings = {"width": width, "height": height, "fps": 24, "seconds": options.video}
    generator = GENERATORS.get("synthetic")({key: str(value) for key, value in settings.items()})
    names = DIMENSIONS.built_in[:7]
    networks = Networks("seeded", options.device, options.precision, options.compile)
    runner = Runner([DIMENSIONS.get(name)("reference") for name in names], networks)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.mp4"
        frames = generator.generate(Request("two boats cross a bay at dusk", seed=1))
        write_video(path, frames, Fraction(24), Encoding(options={"preset": "veryfast"}))
        sample = Sample("v", "p", 0, str(path), dimensions=tuple(names))
        for turn in ("first", "warm", "warm"):
            before = dict(runner.counts.seconds)
            started = perf_counter()
            records = runner.judge(sample, path, names)
            seconds = perf_counter() - started
            assert all(record.status is Status.OK for record in records), records
            spent = {n: s - before.get(n, 0.0) for n, s in runner.counts.seconds.items()}
            print(
                f"{turn}: {seconds:.2f} s, of these "
                + ", ".join(f"{n} {s:.2f}" for n, s in spent.items())
            )
    print(f"peak memory of the process: {peak_memory() / 2**20:.0f} MiB")
    if torch.cuda.is_available():
        print(f"peak memory of the device: {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    best = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda", "mps"), default=best)
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--size", default="854x480", help="of the frames")
    parser.add_argument("--threads", type=int, default=0, help="of torch; default: its own choice")
    parser.add_argument("--networks", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--video", type=float, help="seconds of a video to judge as a whole")
    options = parser.parse_args()
    options.size = tuple(int(side) for side in options.size.split("x"))
    if options.threads:
        torch.set_num_threads(options.threads)
    table(options)
    if options.video:
        whole_video(options)


if __name__ == "__main__":
    main()
