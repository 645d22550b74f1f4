"""From a checkpoint folder to a pipeline, in the fastest way that fits into memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import nn

from vbench_long.errors import EnvironmentFault
from vbench_long.generators.vchitect2.checkpoint import (
    T5_FOLDERS,
    empty_transformer,
    empty_vae,
    fill_transformer,
    fill_vae,
    load_scheduler,
    require_layout,
)
from vbench_long.generators.vchitect2.config import TransformerConfig
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
from vbench_long.generators.vchitect2.parallel import ALONE, Team
from vbench_long.generators.vchitect2.pipeline import CPU, Parts, Pipeline
from vbench_long.generators.vchitect2.text import load_encoder
from vbench_long.generators.vchitect2.transformer import Transformer

LOG = logging.getLogger("vbench_long")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class Blueprint:
    """A pipeline before its weights are read.

    Attributes:
        transformer: without numbers.
        vae: without numbers.
        device: where it is going to run.
        dtype: of the transformer and the text encoders.
        decode_dtype: of the autoencoder.
        plan: how it fits.
        estimate: bytes it takes at most on the device.
        leaner: options that take less, and how much; empty if none do.
    """

    transformer: Transformer
    vae: AutoencoderKL
    device: torch.device
    dtype: torch.dtype
    decode_dtype: torch.dtype
    plan: Plan
    estimate: int
    leaner: str


def draw_up(root: Path, settings: Settings, machine: Machine, team: Team = ALONE) -> Blueprint:
    """What `load_pipeline` is going to build; only the headers of files are read.

    Raises:
        EnvironmentFault: the folder is incomplete, damaged or of another model; there is no such
            device; or not enough memory in any way that `machine` leaves open.
        UsageError: frames larger than the model's table of positions.
    """
    device = find_device(machine.device)
    require_layout(root, unread(settings))
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
    shape = VideoShape(settings.width, settings.height, team.most_frames(settings.frames))
    plan = _plan(config, shape, sizes, machine, device, team)
    estimate = peak_bytes(config, shape, plan, sizes)
    leaner = _leaner(config, shape, sizes, estimate)
    return Blueprint(transformer, vae, device, dtype, decode_dtype, plan, estimate, leaner)


def load_pipeline(
    root: Path, settings: Settings, machine: Machine | None = None, team: Team = ALONE
) -> Pipeline:
    """The pipeline of a checkpoint folder, in every process of `team`.

    Raises:
        EnvironmentFault, UsageError: see `draw_up`.
    """
    machine = machine or Machine()
    drawn = draw_up(root, settings, machine, team)
    transformer, plan, dtype = drawn.transformer, drawn.plan, drawn.dtype
    LOG.info(
        "Vchitect-2.0 on %s: %dx%d, %d frames, branches %s, blocks %s, offload %s; about %.1f GB",
        drawn.device, settings.width, settings.height, settings.frames,
        plan.branches, plan.blocks, plan.offload, drawn.estimate / 1e9,
    )  # fmt: skip
    home = CPU if plan.offload in ("model", "sequential") else drawn.device
    text_home = drawn.device if plan.offload == "none" else CPU
    parts = Parts(
        fill_transformer(transformer, root, dtype, home),
        fill_vae(drawn.vae, root, drawn.decode_dtype, home),
        load_scheduler(root),
        load_encoder(root, transformer.config, dtype, text_home, settings.t5),
    )
    if _compiles(machine, plan, drawn.device):
        for block in transformer.transformer_blocks:
            block.compile(dynamic=False)
    frames = machine.decode_frames
    return Pipeline(parts, settings, plan, drawn.device, frames, drawn.estimate, team, drawn.leaner)


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


def unread(settings: Settings) -> tuple[str, ...]:
    """Folders of a checkpoint that these settings need nothing of."""
    return T5_FOLDERS if settings.t5 == "none" else ()


def network_dtype(settings: Settings, device: torch.device) -> torch.dtype:
    """Of the transformer and the text encoders."""
    if settings.dtype == "auto":
        return torch.float32 if device.type == "cpu" else torch.bfloat16
    return DTYPES[settings.dtype]


def _plan(
    config: TransformerConfig,
    shape: VideoShape,
    sizes: Sizes,
    machine: Machine,
    device: torch.device,
    team: Team,
) -> Plan:
    """The first plan that `machine` leaves open and that fits."""
    branches = machine.branches
    if team.branches or (branches == "auto" and device.type == "cpu"):
        branches = "in-turn"  # What one prompt needs stays in the caches, of two it does not.
    plans = [
        plan
        for plan in PLANS
        if branches in ("auto", plan.branches)
        and machine.blocks in ("auto", plan.blocks)
        and machine.offload in ("auto", plan.offload)
    ]
    free = free_bytes(device)
    if free is not None:  # Processes that share a video run it in the same way.
        free = team.least(free, device)
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
    return plan


def _leaner(config: TransformerConfig, shape: VideoShape, sizes: Sizes, estimate: int) -> str:
    """What takes less than `estimate` bytes: the fastest way, the leanest, half the frames."""
    ways = [
        (peak_bytes(config, shape, plan, sizes), plan)
        for plan in PLANS
        if peak_bytes(config, shape, plan, sizes) < 0.9 * estimate
    ]
    options = [
        f"branches={plan.branches},blocks={plan.blocks},offload={plan.offload}"
        f" takes about {used / 1e9:.1f} GB"
        for used, plan in dict.fromkeys(
            [ways[0], min(ways, key=lambda way: way[0])] if ways else []
        )
    ]
    if shape.frames > 1:
        half = replace(shape, frames=shape.frames // 2)
        used = min(peak_bytes(config, half, plan, sizes) for plan in PLANS)
        options.append(f"{half.frames} frames take {used / 1e9:.1f} GB at least")
    return ", ".join(options)


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
