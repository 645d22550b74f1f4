"""Vchitect-2.0 as a generator among others: requests in, frames out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import cached_property

from torch import Tensor

from vbench_long.errors import GenerationError, VBenchLongError
from vbench_long.generators.base import Outline, Request
from vbench_long.generators.vchitect2.checkpoint import (
    find_checkpoint,
    is_untrained,
    require_layout,
    weight_files,
)
from vbench_long.generators.vchitect2.crew import Crew, join_crew
from vbench_long.generators.vchitect2.loading import (
    draw_up,
    find_device,
    load_pipeline,
    log_peak,
    network_dtype,
    unread,
)
from vbench_long.generators.vchitect2.options import (
    FPS,
    Machine,
    Options,
    Settings,
    negative_in_vain,
    parse_options,
)
from vbench_long.generators.vchitect2.parallel import ALONE
from vbench_long.generators.vchitect2.pipeline import Pipeline
from vbench_long.video import Image, file_sha256

LOG = logging.getLogger("vbench_long")
OPTIONS = (Settings, Machine)
REVISION = 1  # Raised when the same request gives other pixels beyond rounding.


def create(options: Mapping[str, str]) -> Vchitect2:
    """Build the generator from text: ``checkpoint=DIR,aspect=16:9,seconds=10,steps=50``.

    `checkpoint` names the folder; without it, the Hugging Face cache is looked at. `aspect` (16:9,
    9:16, 3:2, 2:3, 4:3, 3:4, 1:1) stands for a width and height, `seconds` for frames. The others
    are the fields of `Settings`, which shape a video, and of `Machine`, which do not.

    With ``parallel=...`` only the first process of a `torchrun` comes back from here. The others
    stay to help it with each video, and end with it. Nothing is loaded before the first video.

    Raises:
        UsageError: an unknown option, or a value out of range; or `parallel` does not suit the
            processes there are.
        EnvironmentFault: no checkpoint where it should be, or an incomplete one; no such device.
    """
    if options.get("parallel", "none") == "none":
        return Vchitect2(parse_options(options))
    crew = join_crew()
    if crew.rank:
        _help(crew, options)
        raise SystemExit(0)
    with crew.together():
        return Vchitect2(parse_options(options), crew)


def _help(crew: Crew, options: Mapping[str, str]) -> None:
    """Do what the first process does, until it ends; it says what goes wrong."""
    LOG.setLevel(logging.ERROR)
    with suppress(VBenchLongError), crew.together():
        generator = Vchitect2(parse_options(options), crew)
    for request in crew.requests():
        with suppress(VBenchLongError), crew.together():
            generator.latents(request)


class Vchitect2:
    """Generator of videos by the Vchitect-2.0 model.

    Args:
        options: what was asked for.
        crew: processes that make its videos together; None for this one alone.

    Attributes:
        fps: frames per second of every video.
    """

    fps = FPS

    def __init__(self, options: Options, crew: Crew | None = None) -> None:
        self._options, self._crew = options, crew
        self._root = find_checkpoint(options.checkpoint)
        require_layout(self._root, unread(options.settings))
        self._device = find_device(options.machine.device)
        asked, shared = options.settings, options.machine.parallel
        self._team = (
            crew.team(shared, asked.frames, asked.guidance, self._device) if crew else ALONE
        )
        self._measured = False

    def settings(self) -> dict[str, str | int | float]:
        """What shapes the videos, the weights included; made-up ones are said to be `untrained`."""
        settings = self._options.settings
        dtype = str(network_dtype(settings, self._device)).removeprefix("torch.")
        found: dict[str, str | int | float] = {**asdict(settings), "dtype": dtype}
        found |= {"weights": self._weights_sha256, "revision": REVISION}
        return found | ({"untrained": True} if is_untrained(self._root) else {})

    def outline(self) -> Outline:
        """Size and memory of a video; nobody knows how fast a device is before it is tried.

        Raises:
            EnvironmentFault, UsageError: no video of this size can be made here.
        """
        asked = self._options.settings
        memory = None  # Processes that share a video would have to be asked.
        if not self._crew:
            memory = draw_up(self._root, asked, self._options.machine).estimate
        takes_image = asked.image == "experimental"
        return Outline(asked.width, asked.height, asked.frames, None, memory, takes_image)

    def generate(self, request: Request) -> Iterator[Image]:
        """Yield the frames, each (height, width, 3) uint8 RGB.

        Raises:
            GenerationError: the request gives a first frame, which only ``image=experimental``
                allows, a negative prompt that goes unheard, or a seed out of range; or nothing
                comes of it.
            EnvironmentFault: the checkpoint cannot be loaded, or the memory does not suffice; or
                another process fails.
        """
        with self._crew.asked(request) if self._crew else nullcontext():
            latents_FCHW = self.latents(request)
        yield from self._pipeline.frames(latents_FCHW)
        if not self._measured:
            self._measured = True
            log_peak(self._pipeline)

    def latents(self, request: Request) -> Tensor:
        """The video before it is decoded, (frames, channels, height / 8, width / 8) float32.

        Raises:
            VBenchLongError: see `generate`.
        """
        if request.image is not None and self._options.settings.image == "none":
            raise GenerationError(
                "vchitect2 was not trained to start from an image",
                request.prompt,
                "give none, or try image=experimental",
            )
        if request.negative_prompt and self._options.settings.guidance <= 1:
            raise GenerationError(*negative_in_vain(self._options.settings.guidance))
        negatives = [request.negative_prompt] if request.negative_prompt else []
        images = [] if request.image is None else [request.image]
        steps = self._options.settings.steps
        latents_BFCHW = self._pipeline.latents(
            [request.prompt],
            [request.seed],
            negatives,
            lambda step, _: request.report(step + 1, steps),
            images,
        )
        return latents_BFCHW[0]

    @cached_property
    def _pipeline(self) -> Pipeline:
        settings, machine = self._options.settings, self._options.machine
        return load_pipeline(self._root, settings, machine, self._team)

    @cached_property
    def _weights_sha256(self) -> str:
        """Of the transformer's files; the other networks are those of Stable Diffusion 3."""
        return "+".join(file_sha256(file) for file in weight_files(self._root / "transformer"))
