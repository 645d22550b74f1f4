"""Seconds per step of Vchitect-2.0, its share of the machine's matrix products, and its memory.

    python benchmarks/vchitect2.py                      # tiny, CPU, beside the naive arithmetic
    python benchmarks/vchitect2.py --compile            # the same, compiled
    python benchmarks/vchitect2.py --full               # all 2B, made-up weights, bf16, CUDA
    python benchmarks/vchitect2.py --full --frames 160 --blocks pieces

A step is what guidance takes: a prediction for the prompt and one for the negative prompt. The
arithmetic counted is that of the published program, whatever is left out here. On a CPU one thread
is used and its own seconds are counted, not the clock's: other programs then matter little.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from live_memory import Live
from vchitect2_naive import naive_velocity

from vbench_long.generators.vchitect2 import tiny
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.cost import (
    TEXT_TOKENS,
    Plan,
    VideoShape,
    activation_bytes,
    flops,
)
from vbench_long.generators.vchitect2.keys import to_published
from vbench_long.generators.vchitect2.stacks import in_pieces
from vbench_long.generators.vchitect2.transformer import Transformer

Step = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Inputs:
    """Arguments of two predictions: negative prompt, prompt."""

    latents: Tensor
    time: Tensor
    text: Tensor
    pooled: Tensor

    def of(self, rows: slice) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of some predictions."""
        return self.latents[rows], self.time[rows], self.text[rows], self.pooled[rows]


def build(config: TransformerConfig, device: torch.device, dtype: torch.dtype) -> Transformer:
    """A transformer of made-up numbers; drawn on the device, which takes seconds, not minutes."""
    with torch.device("meta"):
        model = Transformer(config).to(dtype)
    model.to_empty(device=device).eval().requires_grad_(False)
    generator = torch.Generator(device).manual_seed(0)
    for tensor in model.state_dict().values():
        fan_in = tensor[0].numel() if tensor.ndim > 1 else 2500
        tensor.normal_(0, fan_in**-0.5, generator=generator)
    return model


def draw(
    config: TransformerConfig, shape: VideoShape, device: torch.device, dtype: torch.dtype
) -> Inputs:
    def normals(*size: int) -> Tensor:
        return torch.randn(size, device=device, dtype=dtype)

    return Inputs(
        normals(1, shape.frames, config.in_channels, shape.height // 8, shape.width // 8).expand(
            2, -1, -1, -1, -1
        ),
        torch.full((2,), 500.0, device=device),
        normals(2, TEXT_TOKENS, config.joint_attention_dim),
        normals(2, config.pooled_projection_dim),
    )


def step_of(model: Transformer, inputs: Inputs, plan: Plan) -> Step:
    """What `plan` does in a step."""
    stack = in_pieces if plan.blocks == "pieces" else None
    rows = [slice(0, 2)] if plan.branches == "together" else [slice(0, 1), slice(1, 2)]
    return lambda: [model(*inputs.of(part), stack=stack) for part in rows]


def naive_step_of(model: Transformer, inputs: Inputs) -> Step:
    published = {k: t.contiguous() for k, t in to_published(model.state_dict()).items()}

    def one(row: int) -> Tensor:
        latents, time, text, pooled = inputs.of(slice(row, row + 1))
        return naive_velocity(published, model.config, latents[0], time, text[0], pooled[0])

    return lambda: [one(0), one(1)]


def seconds(step: Step, device: torch.device) -> float:
    if device.type == "cpu":
        started = process_time()
        step()
        return process_time() - started
    torch.cuda.synchronize(device)
    started = perf_counter()
    step()
    torch.cuda.synchronize(device)
    return perf_counter() - started


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a large matrix product; the best of several."""
    size = 2048 if device.type == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: left @ right, device) for _ in range(8))


def memory_of(step: Step, model: Transformer, device: torch.device) -> int:
    """Most bytes that a step holds besides weights: as CUDA's allocator says; counted on a CPU."""
    if device.type == "cpu":
        with Live(model.state_dict().values()) as live:
            step()
        return live.peak
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    return torch.cuda.max_memory_allocated(device) - before


def run(options: argparse.Namespace) -> None:
    config = TransformerConfig() if options.full else tiny.TINY
    device = torch.device("cuda" if options.full else "cpu")
    dtype = torch.bfloat16 if options.full else torch.float32
    shape = VideoShape(options.width, options.height, options.frames)
    branches = options.branches or ("together" if options.full else "in-turn")
    plan = Plan(branches, options.blocks, "none")
    model, inputs = build(config, device, dtype), draw(config, shape, device, dtype)
    weights = sum(t.numel() * t.element_size() for t in model.state_dict().values())
    print(f"{shape}, {'2B' if options.full else 'tiny'}, {dtype}, {device}, {plan}")

    steps = {"ours": step_of(model, inputs, plan)}
    used, estimate = (
        memory_of(steps["ours"], model, device),
        activation_bytes(config, shape, plan, dtype.itemsize),
    )
    if options.compile:
        for block in model.transformer_blocks:
            block.compile(dynamic=False)
        started = perf_counter()
        steps["ours"]()
        print(f"compiling took {perf_counter() - started:.0f} s")
        if device.type == "cuda":
            used = memory_of(steps["ours"], model, device)
    steps["ours"]()
    if not options.full or options.naive:
        steps["naive"] = naive_step_of(model, inputs)
        steps["naive"]()
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(options.rounds):
        for name, step in steps.items():
            taken[name].append(seconds(step, device))

    rate, peak = 2 * flops(config, shape) / median(taken["ours"]), product_rate(device, dtype)
    print(f"{'':8}{'s/step':>10}{'least':>10}")
    for name, times in taken.items():
        print(f"{name:8}{median(times):10.4f}{min(times):10.4f}")
    if "naive" in taken:
        ratio = median(taken["naive"]) / median(taken["ours"])
        print(f"naive / ours: {ratio:.2f}")
    print(f"{rate / 1e12:.4g} TFLOP/s, {rate / peak:.1%} of a matrix product's {peak / 1e12:.4g}")
    print(
        f"activations {used / 1e9:.3f} GB, estimated {estimate / 1e9:.3f} GB;"
        f" weights {weights / 1e9:.3f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the published size, on CUDA")
    parser.add_argument("--width", type=int)
    parser.add_argument("--height", type=int)
    parser.add_argument("--frames", type=int)
    parser.add_argument("--branches", choices=("together", "in-turn"))
    parser.add_argument("--blocks", choices=("whole", "pieces"), default="whole")
    parser.add_argument("--compile", action="store_true", help="torch.compile the blocks")
    parser.add_argument("--naive", action="store_true", help="the naive one on CUDA too")
    parser.add_argument("--rounds", type=int, default=9, help="steps that are timed")
    options = parser.parse_args()
    width, height, frames = (768, 432, 40) if options.full else (128, 64, 16)
    options.width = options.width or width
    options.height = options.height or height
    options.frames = options.frames or frames
    if not options.full:
        torch.set_num_threads(1)
    with torch.inference_mode():
        run(options)


if __name__ == "__main__":
    main()
