"""From a checkpoint folder to a pipeline, in the fastest way that fits into memory."""

from __future__ import annotations

import logging
from pathlib import Path

import torch
from torch import nn

from vbench_long.errors import EnvironmentFault
from vbench_long.generators.vchitect2.checkpoint import (
    empty_transformer,
    empty_vae,
    fill_transformer,
    fill_vae,
    load_scheduler,
    require_layout,
)
from vbench_long.generators.vchitect2.cost import (
    PLANS,
    RUNTIME,
    Plan,
    Sizes,
    VideoShape,
    choose_plan,
    free_bytes,
    most_frames,
    peak_bytes,
    stored_numbers,
)
from vbench_long.generators.vchitect2.options import MULTIPLE, Machine, Settings, require_size
from vbench_long.generators.vchitect2.pipeline import CPU, Parts, Pipeline
from vbench_long.generators.vchitect2.text import load_encoder
from vbench_long.generators.vchitect2.transformer import Transformer

LOG = logging.getLogger("vbench_long")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def load_pipeline(root: Path, settings: Settings, machine: Machine | None = None) -> Pipeline:
    """The pipeline of a checkpoint folder.

    Raises:
        EnvironmentFault: the folder is incomplete, damaged or of another model; there is no such
            device; or not enough memory in any way that `machine` leaves open.
        UsageError: frames larger than the model's table of positions.
    """
    machine = machine or Machine()
    device = find_device(machine.device)
    require_layout(root)
    scaling = settings.rope_scaling_factor
    transformer = empty_transformer(root, {"rope_scaling_factor": scaling} if scaling else {})
    config = transformer.config
    require_size(settings.width, settings.height, config.pos_embed_max_size * MULTIPLE)
    vae = empty_vae(root, config)
    dtype, decode_dtype = network_dtype(settings, device), DTYPES[settings.decode_dtype]
    sizes = Sizes(
        text=_text_bytes(root, settings, dtype),
        transformer=_bytes(transformer, dtype),
        block=_bytes(transformer.transformer_blocks[0], dtype),
        vae=_bytes(vae, decode_dtype),
        number=dtype.itemsize,
        # The last stage's input, twice the last width, is there normed and activated too.
        pixel=3 * vae.config.block_out_channels[1] * decode_dtype.itemsize,
        decoded=machine.decode_frames,
    )
    plan, estimate = _plan(transformer, settings, sizes, machine, device)
    home = CPU if plan.offload in ("model", "sequential") else device
    text_home = device if plan.offload == "none" else CPU
    parts = Parts(
        fill_transformer(transformer, root, dtype, home),
        fill_vae(vae, root, decode_dtype, home),
        load_scheduler(root),
        load_encoder(root, config, dtype, text_home, settings.t5),
    )
    if _compiles(machine, plan, device):
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)
    return Pipeline(parts, settings, plan, device, machine.decode_frames, estimate)


def find_device(name: str) -> torch.device:
    """The device called `name`, or the best there is for "auto".

    Raises:
        EnvironmentFault: it is not here.
    """
    here = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    found = next(device for device, present in here.items() if present)
    if name != "auto" and not here[name]:
        raise EnvironmentFault(f"there is no device '{name}' here", "", f"use device={found}")
    return torch.device(found if name == "auto" else name)


def network_dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """Of the transformer and the text encoders."""
    if settings.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return DTYPES[settings.dtype]


def _plan(
    transformer: Transformer,
    settings: Settings,
    sizes: Sizes,
    machine: Machine,
    device: torch.device,
) -> tuple[Plan, int]:
    """The first plan that `machine` leaves open and that fits, and its bytes; both announced."""
    config = transformer.config
    shape = VideoShape(settings.width, settings.height, settings.frames)
    branches = machine.branches
    if branches == "auto" and device.type == "cpu":
        branches = "in-turn"  # What one prompt needs stays in the caches, of two it does not.
    plans = [
        plan
        for plan in PLANS
        if branches in ("auto", plan.branches)
        and machine.blocks in ("auto", plan.blocks)
        and machine.offload in ("auto", plan.offload)
    ]
    free = free_bytes(device)
    plan = choose_plan(config, shape, sizes, plans, free)
    if plan is None:
        assert free is not None
        least = RUNTIME + min(peak_bytes(config, shape, plan, sizes) for plan in plans)
        most = most_frames(config, shape, sizes, plans, free)
        raise EnvironmentFault(
            f"{shape} needs {least / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            str(device),
            f"{most} frames of this size would fit" if most else "try a smaller size, or t5=int8",
        )
    peak = peak_bytes(config, shape, plan, sizes)
    LOG.info(
        "Vchitect-2.0 on %s: %s, branches %s, blocks %s, offload %s; about %.1f GB%s",
        device, shape, plan.branches, plan.blocks, plan.offload, peak / 1e9,
        f" of {free / 1e9:.1f} GB free" if free else "",
    )  # fmt: skip
    return plan, peak


def log_peak(pipeline: Pipeline) -> None:
    """Say how much memory was used at most, and that the estimate was wrong if it was."""
    if pipeline.device.type != "cuda":
        return
    used = torch.cuda.max_memory_allocated(pipeline.device)
    level = logging.WARNING if used > 1.3 * pipeline.estimate else logging.INFO
    LOG.log(level, "peak memory %.1f GB, estimated %.1f GB", used / 1e9, pipeline.estimate / 1e9)


def _compiles(machine: Machine, plan: Plan, device: torch.device) -> bool:
    """Blocks in pieces, or fetched one by one, run past what is compiled."""
    wanted = machine.compile == "on" or (machine.compile == "auto" and device.type == "cuda")
    return wanted and plan.blocks == "whole" and plan.offload != "sequential"


def _bytes(module: nn.Module, dtype: torch.dtype) -> int:
    numbers: int = sum(tensor.numel() for tensor in module.state_dict().values())
    return numbers * dtype.itemsize


def _text_bytes(root: Path, settings: Settings, dtype: torch.dtype) -> int:
    """Of the text encoders that go to the device."""
    clips = sum(stored_numbers(root / f"text_encoder{number}") for number in ("", "_2"))
    t5_number = {"device": dtype.itemsize, "int8": 1, "cpu": 0, "none": 0}[settings.t5]
    return clips * dtype.itemsize + stored_numbers(root / "text_encoder_3") * t5_number
