"""What a video costs: arithmetic and memory, known before anything is loaded.

Shapes: F frames, L video tokens and S text tokens of a frame, D numbers per token.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import torch

from vbench_long.generators.vchitect2.config import TransformerConfig

TEXT_TOKENS = 77 + 256
PIXELS_PER_LATENT = 8
SLACK = 1.1  # Caching allocators keep more than is asked for; products need work space.
RUNTIME = 600_000_000  # What a device's own libraries take, about.


@dataclass(frozen=True, slots=True)
class VideoShape:
    """A video in pixels and frames, and how many are made at once."""

    width: int
    height: int
    frames: int
    videos: int = 1

    def __str__(self) -> str:
        return f"{self.width}x{self.height}, {self.frames} frames"

    def video_tokens(self, config: TransformerConfig) -> int:
        """Tokens of a frame."""
        side = PIXELS_PER_LATENT * config.patch_size
        return self.width // side * (self.height // side)


@dataclass(frozen=True, slots=True)
class Plan:
    """How to fit a sampling into memory.

    Attributes:
        branches: of guidance, "together" in one batch or one "in-turn" after the other.
        blocks: of the transformer, run "whole" or in "pieces".
        offload: what leaves the device when idle: nothing; the text encoders; every network; and
            of the transformer all blocks but the one at work.
    """

    branches: Literal["together", "in-turn"]
    blocks: Literal["whole", "pieces"]
    offload: Literal["none", "text", "model", "sequential"]


PLANS = tuple(
    Plan(branches, blocks, offload)
    for offloads in (("none", "text", "model"), ("sequential",))
    for blocks in get_args(get_type_hints(Plan)["blocks"])
    for offload in offloads
    for branches in get_args(get_type_hints(Plan)["branches"])
)
"""All there are, from the fastest to the leanest."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes of the networks as they are held.

    Attributes:
        text: the encoders that go to the device.
        transformer: whole.
        block: one of its blocks.
        vae: the autoencoder.
        number: bytes of a number inside the transformer.
        pixel: bytes that decoding holds for each pixel of the frames it decodes at once.
        decoded: frames it decodes at once.
    """

    text: int
    transformer: int
    block: int
    vae: int
    number: int
    pixel: int
    decoded: int


def flops(config: TransformerConfig, shape: VideoShape) -> float:
    """Floating-point operations of one prediction for one prompt, as the published program does it.

    Per layer: ten products and a feed-forward for each video token, six and a feed-forward for each
    text token (the last layer lacks one and the feed-forward), and the three attentions. A
    multiplication with its addition counts two.
    """
    dim, frames = config.dim, shape.frames
    length, text = shape.video_tokens(config), TEXT_TOKENS
    tokens = length + text
    linear = 36 * dim**2 * frames * length + 28 * dim**2 * frames * text
    unread = 18 * dim**2 * frames * text
    spatial = 4 * tokens**2 * dim * frames
    cross = 4 * tokens * frames * text * dim
    temporal = 4 * tokens * frames**2 * dim
    return float(config.num_layers * (linear + spatial + cross + temporal) - unread)


def activation_bytes(config: TransformerConfig, shape: VideoShape, plan: Plan, number: int) -> int:
    """Most that a prediction holds besides weights, in bytes.

    Multiples of all video tokens and of all text tokens, as counted at the fullest moment: when the
    temporal branch turns its keys, or in a small picture when the text is fed forward.
    """
    rows = shape.frames * shape.videos * (2 if plan.branches == "together" else 1)
    video = rows * shape.video_tokens(config) * config.dim * number
    text = rows * TEXT_TOKENS * config.dim * number
    if plan.blocks == "pieces":
        return 6 * video + 7 * text
    return max(18 * video + 6 * text, 12 * video + 14 * text)


def peak_bytes(config: TransformerConfig, shape: VideoShape, plan: Plan, sizes: Sizes) -> int:
    """Most that a sampling holds on the device, from text to pixels."""
    idle_text = sizes.text if plan.offload == "none" else 0
    idle_vae = sizes.vae if plan.offload in ("none", "text") else 0
    transformer = sizes.transformer
    if plan.offload == "sequential":
        transformer -= (config.num_layers - 1) * sizes.block
    idle_transformer = transformer if plan.offload in ("none", "text") else 0
    encoding = sizes.text + idle_transformer + idle_vae
    denoising = transformer + activation_bytes(config, shape, plan, sizes.number)
    pixels = shape.width * shape.height * min(sizes.decoded, shape.frames)
    decoding = sizes.vae + sizes.pixel * pixels
    largest = max(
        encoding, denoising + idle_text + idle_vae, decoding + idle_text + idle_transformer
    )
    return int(SLACK * largest)


def choose_plan(
    config: TransformerConfig,
    shape: VideoShape,
    sizes: Sizes,
    plans: Iterable[Plan],
    free: int | None,
) -> Plan | None:
    """The first of `plans` that fits into `free` bytes; the first if nobody knows what is free."""
    for plan in plans:
        if free is None or peak_bytes(config, shape, plan, sizes) + RUNTIME <= free:
            return plan
    return None


def most_frames(
    config: TransformerConfig,
    shape: VideoShape,
    sizes: Sizes,
    plans: Iterable[Plan],
    free: int,
) -> int:
    """The longest video of this size that one of `plans` fits into `free` bytes; 0 if none."""
    plans, best, step = tuple(plans), 0, 1 << 12
    while step:
        longer = VideoShape(shape.width, shape.height, best + step, shape.videos)
        if choose_plan(config, longer, sizes, plans, free):
            best += step
        step //= 2
    return best


def free_bytes(device: torch.device) -> int | None:
    """Memory of a device that nobody uses, if the device tells."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return None


def stored_numbers(folder: Path) -> int:
    """How many numbers the safetensors files of a folder hold, by their headers alone."""
    count = 0
    for file in folder.glob("*.safetensors"):
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            header = json.loads(opened.read(length))
        header.pop("__metadata__", None)
        count += sum(math.prod(tensor["shape"]) for tensor in header.values())
    return count
