"""Vchitect-2.0 as a generator among others: requests in, frames out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cached_property

from vbench_long.errors import GenerationError
from vbench_long.generators.base import Request
from vbench_long.generators.vchitect2.checkpoint import (
    find_checkpoint,
    is_untrained,
    require_layout,
    weight_files,
)
from vbench_long.generators.vchitect2.loading import (
    find_device,
    load_pipeline,
    log_peak,
    network_dtype,
)
from vbench_long.generators.vchitect2.options import FPS, Options, parse_options
from vbench_long.generators.vchitect2.pipeline import Pipeline
from vbench_long.generators.vchitect2.sampling import OnStep
from vbench_long.video import Image, file_sha256

REVISION = 1  # Raised when the same request gives other pixels beyond rounding.


def create(options: Mapping[str, str]) -> Vchitect2:
    """Build the generator from text: ``checkpoint=DIR,aspect=16:9,seconds=10,steps=50``.

    The options are those of `Settings` and `Machine` and three more, see `parse_options`. Nothing
    is loaded before the first video.

    Raises:
        UsageError: an unknown option, or a value out of range.
        EnvironmentFault: no checkpoint where it should be, or an incomplete one; no such device.
    """
    return Vchitect2(parse_options(options))


class Vchitect2:
    """Generator of videos by the Vchitect-2.0 model.

    Args:
        options: what was asked for.

    Attributes:
        fps: frames per second of every video.
        on_step: called after each step of sampling, with its number and the latents.
    """

    fps = FPS

    def __init__(self, options: Options) -> None:
        self._options = options
        self._root = find_checkpoint(options.checkpoint)
        require_layout(self._root)
        self._device = find_device(options.machine.device)
        self._measured = False
        self.on_step: OnStep | None = None

    def settings(self) -> dict[str, str | int | float]:
        """What shapes the videos, the weights included; made-up ones are said to be `untrained`."""
        settings = self._options.settings
        dtype = str(network_dtype(settings, self._device)).removeprefix("torch.")
        found: dict[str, str | int | float] = {**asdict(settings), "dtype": dtype}
        found |= {"weights": self._weights_sha256, "revision": REVISION}
        return found | ({"untrained": True} if is_untrained(self._root) else {})

    def generate(self, request: Request) -> Iterator[Image]:
        """Yield the frames, each (height, width, 3) uint8 RGB.

        Raises:
            GenerationError: the request gives a first frame to start from, or a seed out of range;
                or nothing comes of it.
            EnvironmentFault: the checkpoint cannot be loaded, or the memory does not suffice.
        """
        if request.image is not None:
            raise GenerationError("vchitect2 starts from no image", request.prompt, "give no image")
        negatives = [request.negative_prompt] if request.negative_prompt else []
        pipeline = self._pipeline
        (latents_FCHW,) = pipeline.latents(
            [request.prompt], [request.seed], negatives, self.on_step
        )
        yield from pipeline.frames(latents_FCHW)
        if not self._measured:
            self._measured = True
            log_peak(pipeline)

    @cached_property
    def _pipeline(self) -> Pipeline:
        return load_pipeline(self._root, self._options.settings, self._options.machine)

    @cached_property
    def _weights_sha256(self) -> str:
        """Of the transformer's files; the other networks are those of Stable Diffusion 3."""
        return "+".join(file_sha256(file) for file in weight_files(self._root / "transformer"))
