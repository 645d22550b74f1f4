"""Seconds per step of Vchitect-2.0, its share of the machine's matrix products, and its memory.

    python benchmarks/vchitect2.py                         # tiny on the CPU, beside the naive way
    python benchmarks/vchitect2.py --compile               # the same, compiled
    python benchmarks/vchitect2.py --device cuda           # all 2B: 40 and 160 frames of 768x432
    python benchmarks/vchitect2.py --device cuda --frames 80 --naive

A step is what guidance takes: a prediction for the prompt and one for the negative prompt. The
arithmetic counted is that of the published program, whatever is left out here. Weights are made up.
The contestants take turns; a ratio is the median over rounds. On a CPU one thread is used and its
own seconds are counted, not the clock's: other programs then matter little. There the naive way
runs twice: with torch's matrix products, and with the faster ones that are used here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from unittest.mock import patch

import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import vchitect2_naive
from vchitect2_naive import naive_velocity

from vbench_long.dimensions.backbones.rehearsal import Live
from vbench_long.generators.vchitect2 import tiny
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.cost import (
    PLANS,
    TEXT_TOKENS,
    Plan,
    Sizes,
    VideoShape,
    activation_bytes,
    choose_plan,
    flops,
    free_bytes,
)
from vbench_long.generators.vchitect2.keys import to_published
from vbench_long.generators.vchitect2.stacks import in_pieces
from vbench_long.generators.vchitect2.transformer import Transformer
from vbench_long.products import linear

Step = Callable[[], object]
SHAPES = {
    "cpu": (VideoShape(128, 64, 16), VideoShape(192, 128, 16), VideoShape(256, 144, 16)),
    "cuda": (VideoShape(768, 432, 40), VideoShape(768, 432, 160)),
}


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


def with_our_products(step: Step) -> Step:
    def run() -> object:
        with patch.object(vchitect2_naive, "product", linear):
            return step()

    return run


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
    return 2 * size**3 / min(seconds(lambda: linear(left, right), device) for _ in range(8))


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


def plan_for(model: Transformer, shape: VideoShape, options: argparse.Namespace) -> Plan:
    """As `generate` chooses when the text encoders are not on the device."""
    device = model.proj_out.weight.device
    branches = options.branches or ("in-turn" if device.type == "cpu" else None)
    plans = [
        plan
        for plan in PLANS
        if branches in (None, plan.branches)
        and options.blocks in (None, plan.blocks)
        and plan.offload == "none"
    ]
    number = model.proj_out.weight.itemsize
    free = free_bytes(device)
    if free is not None:
        free += bytes_of(model)  # They are there already.
    sizes = Sizes(0, bytes_of(model), 0, 0, number, 0, 1)
    plan = choose_plan(model.config, shape, sizes, plans, free)
    if plan is None:
        sys.exit(f"{shape}: no way of those asked for fits into {(free or 0) / 1e9:.1f} GB")
    return plan


def bytes_of(model: Transformer) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())


def compiled(model: Transformer, steps: list[Step]) -> None:
    started = perf_counter()
    for block in model.transformer_blocks:
        block.compile(dynamic=False)
    for step in steps:
        step()
    print(f"compiling took {perf_counter() - started:.0f} s")


def measure(
    model: Transformer, shape: VideoShape, peak: float, options: argparse.Namespace
) -> None:
    weight = model.proj_out.weight
    device, config = weight.device, model.config
    plan, inputs = plan_for(model, shape, options), draw(config, shape, device, weight.dtype)
    print(f"\n{shape}: branches {plan.branches}, blocks {plan.blocks}")
    ours = step_of(model, inputs, plan)
    if options.compile and plan.blocks == "whole":
        compiled(model, [ours])
    ours()
    used = memory_of(ours, model, device)
    estimate = activation_bytes(config, shape, plan, weight.itemsize)
    steps = {"ours": ours}
    if device.type == "cpu" or options.naive:
        steps["naive"] = naive_step_of(model, inputs)
        if device.type == "cpu":
            steps["naive, our products"] = with_our_products(steps["naive"])
    for step in steps.values():
        step()
    rounds = [
        {name: seconds(step, device) for name, step in steps.items()} for _ in range(options.rounds)
    ]

    print(f"{'':22}{'s/step':>10}{'least':>10}{'over ours':>11}")
    for name in steps:
        times = [taken[name] for taken in rounds]
        ratio = median(taken[name] / taken["ours"] for taken in rounds)
        print(f"{name:22}{median(times):10.4f}{min(times):10.4f}{ratio:11.2f}")
    rate = 2 * flops(config, shape) / median(taken["ours"] for taken in rounds)
    print(f"{rate / 1e12:.4g} TFLOP/s, {rate / peak:.1%} of a matrix product's {peak / 1e12:.4g}")
    print(
        f"activations {used / 1e9:.3f} GB, estimated {estimate / 1e9:.3f} GB"
        f" ({used / estimate:.2f} of it); weights {bytes_of(model) / 1e9:.3f} GB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=tuple(SHAPES), default="cpu")
    parser.add_argument("--size", choices=("tiny", "full"), help="default: full on CUDA")
    parser.add_argument("--width", type=int, default=0)
    parser.add_argument("--height", type=int, default=0)
    parser.add_argument("--frames", type=int, default=0, help="or a side: only one video is timed")
    parser.add_argument("--branches", choices=("together", "in-turn"), help="default: as it fits")
    parser.add_argument("--blocks", choices=("whole", "pieces"), help="default: as it fits")
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, help="blocks; default: on CUDA"
    )
    parser.add_argument("--naive", action="store_true", help="the naive way on CUDA too")
    parser.add_argument("--rounds", type=int, default=9, help="steps that are timed")
    options = parser.parse_args()
    if options.compile is None:
        options.compile = options.device == "cuda"
    shapes = SHAPES[options.device]
    if options.width or options.height or options.frames:
        first = shapes[0]
        width, height = options.width or first.width, options.height or first.height
        shapes = (VideoShape(width, height, options.frames or first.frames),)
    device = torch.device(options.device)
    full = (options.size or ("full" if device.type == "cuda" else "tiny")) == "full"
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(1)
    with torch.inference_mode():
        model = build(TransformerConfig() if full else tiny.TINY, device, dtype)
        print(f"{'2B' if full else 'tiny'}, {dtype}, {device}")
        peak = product_rate(device, dtype)
        for shape in shapes:
            measure(model, shape, peak, options)


if __name__ == "__main__":
    main()
