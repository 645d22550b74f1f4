"""What can be asked of Vchitect-2.0: what a video is like, and how the machine makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from fractions import Fraction
from types import MappingProxyType
from typing import Any, Literal, get_args, get_type_hints

from vbench_long.errors import UsageError
from vbench_long.generators.vchitect2.cost import PIXELS_PER_LATENT
from vbench_long.registry import unknown

FPS = Fraction(8)
MULTIPLE = 2 * PIXELS_PER_LATENT  # A patch is two latents wide.
LARGEST_SIDE = 192 * MULTIPLE
MOST_FRAMES = 4096

ASPECTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "16:9": (768, 432),
        "9:16": (432, 768),
        "3:2": (720, 480),
        "2:3": (480, 720),
        "4:3": (640, 480),
        "3:4": (480, 640),
        "1:1": (576, 576),
    }
)
"""Width and height for an aspect, near the largest area that the model was trained for."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What shapes a video besides its prompt and seed. The defaults made the published scores.

    Attributes:
        width: pixels; a multiple of 16 up to 3072.
        height: pixels; likewise.
        frames: 8 a second; published videos have 40.
        steps: from noise to picture.
        guidance: strength of the prompt; 1 or less asks the prompt alone, in half the time.
        guidance_schedule: over the steps; "reference" is the published program's, which is erratic
            and takes 100 steps to be what it was.
        negative_prompt: what videos must not show, where a request does not say.
        rope_scaling_factor: frames are placed in time as if the video were this much shorter;
            0 for what the checkpoint says. frames / 40 is worth a try for longer videos.
        latents: "float32", or "model" to round them after each step as the published program does.
        noise: "cpu" for the same noise on every machine, "device" for the published program's.
        reuse: change of the first block below which the others' work is reused; 0 never does.
        dtype: of the networks; "auto" is bfloat16 on accelerators and float32 on CPUs.
        decode_dtype: of the autoencoder.
        t5: the large text encoder: on the "device", there in 8 bits ("int8"), on the "cpu", "none".
        image: "experimental" lets a request give the first frame; the model was not trained for it.

    Raises:
        UsageError: a value that no video can have; the nearest possible size is named.
    """

    width: int = 768
    height: int = 432
    frames: int = 40
    steps: int = 100
    guidance: float = 7.5
    guidance_schedule: Literal["reference", "constant", "cosine"] = "reference"
    negative_prompt: str = ""
    rope_scaling_factor: float = 0.0
    latents: Literal["float32", "model"] = "float32"
    noise: Literal["cpu", "device"] = "cpu"
    reuse: float = 0.0
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    decode_dtype: Literal["fp32", "bf16", "fp16"] = "fp32"
    t5: Literal["device", "int8", "cpu", "none"] = "device"
    image: Literal["none", "experimental"] = "none"

    def __post_init__(self) -> None:
        require_size(self.width, self.height, LARGEST_SIDE)
        _require_range("frames", self.frames, 1, MOST_FRAMES)
        _require_range("steps", self.steps, 1, 1000)
        _require_range("guidance", self.guidance, 0, 100)
        _require_range("rope_scaling_factor", self.rope_scaling_factor, 0, 1000)
        _require_range("reuse", self.reuse, 0, 1)
        if self.negative_prompt and self.guidance <= 1:
            raise UsageError(*negative_in_vain(self.guidance))


def negative_in_vain(guidance: float) -> tuple[str, str, str]:
    """What, where and how to mend it, where a negative prompt would go unheard."""
    return (
        f"guidance={guidance} asks the prompt alone",
        "the negative prompt",
        "omit it, or raise guidance above 1",
    )


@dataclass(frozen=True, slots=True)
class Machine:
    """How the machine makes a video; the video is the same up to rounding.

    Attributes:
        device: "auto" for the best there is.
        branches: prompt and negative prompt "together" or "in-turn"; "auto" by memory.
        blocks: of the transformer, run "whole" or in "pieces"; "auto" by memory.
        offload: what leaves the device when idle: nothing; the "text" encoders; every network, with
            "model"; and all blocks but the one at work, with "sequential"; "auto" by memory.
        compile: the transformer's blocks, which takes a minute once; "auto" on CUDA.
        decode_frames: frames decoded at once.
        parallel: what the processes of a `torchrun` share out: "frames", "guidance" or "both".
    """

    device: Literal["auto", "cuda", "mps", "cpu"] = "auto"
    branches: Literal["auto", "together", "in-turn"] = "auto"
    blocks: Literal["auto", "whole", "pieces"] = "auto"
    offload: Literal["auto", "none", "text", "model", "sequential"] = "auto"
    compile: Literal["auto", "on", "off"] = "auto"
    decode_frames: int = 4
    parallel: Literal["none", "frames", "guidance", "both"] = "none"

    def __post_init__(self) -> None:
        _require_range("decode_frames", self.decode_frames, 1, MOST_FRAMES)


@dataclass(frozen=True, slots=True)
class Options:
    """Everything that was asked.

    Attributes:
        checkpoint: the folder; empty for the Hugging Face cache.
        settings: what shapes videos.
        machine: how they are made.
    """

    checkpoint: str
    settings: Settings
    machine: Machine


def parse_options(options: Mapping[str, str]) -> Options:
    """Options as text: the fields of `Settings` and `Machine`, and three more.

    `checkpoint` names the folder, `aspect` stands for a width and height of `ASPECTS`, `seconds`
    for frames.

    Raises:
        UsageError: an unknown option, or a value that does not fit.
    """
    texts = dict(options)
    checkpoint = texts.pop("checkpoint", "")
    if "aspect" in texts:
        aspect = texts.pop("aspect")
        if aspect not in ASPECTS:
            raise unknown("aspect", aspect, tuple(ASPECTS))
        width, height = ASPECTS[aspect]
        texts = {"width": str(width), "height": str(height), **texts}
    if "seconds" in texts:
        seconds = _value("seconds", texts.pop("seconds"), float)
        _require_range("seconds", seconds, 1 / 8, MOST_FRAMES / 8)
        texts = {"frames": str(round(seconds * FPS)), **texts}
    kinds = {**get_type_hints(Settings), **get_type_hints(Machine)}
    for name in texts:
        if name not in kinds:
            known = ("checkpoint", "aspect", "seconds", *kinds)
            raise unknown("option of vchitect2", name, known)
    values = {name: _value(name, text, kinds[name]) for name, text in texts.items()}
    ours = {field.name for field in fields(Settings)}
    settings = Settings(**{name: value for name, value in values.items() if name in ours})
    machine = Machine(**{name: value for name, value in values.items() if name not in ours})
    return Options(checkpoint, settings, machine)


def _value(name: str, text: str, kind: Any) -> Any:
    """`text` as a field of type `kind` has it: text, a number, or one of a few words."""
    if choices := get_args(kind):
        if text not in choices:
            raise unknown(f"{name} of vchitect2", text, choices)
        return text
    try:
        return kind(text)
    except ValueError as error:
        fix = "give a whole number" if kind is int else "give a number"
        raise _bad(name, text, fix) from error


def _require_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise _bad(name, value, f"give a number from {low} to {high}")


def _bad(name: str, value: object, fix: str) -> UsageError:
    return UsageError(f"{name}={value} is not possible", "options of vchitect2", fix)


def require_size(width: int, height: int, largest: int) -> None:
    """Refuse sides that are no multiples of 16 or larger than `largest`, naming the nearest size.

    Raises:
        UsageError: such a side.
    """
    near_width, near_height = (
        min(max(MULTIPLE, round(side / MULTIPLE) * MULTIPLE), largest) for side in (width, height)
    )
    if (width, height) != (near_width, near_height):
        raise UsageError(
            f"{width}x{height} is not possible",
            "options of vchitect2",
            f"sides are multiples of {MULTIPLE} up to {largest}; the nearest size is"
            f" {near_width}x{near_height}",
        )
