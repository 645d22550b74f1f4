"""The contract every generator keeps, and the table of those there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from vbench_long.registry import Registry
from vbench_long.video import Image


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to generate.

    Attributes:
        prompt: what the video shows.
        negative_prompt: what it must not show; empty where the generator has no such notion.
        seed: all randomness of the sample comes from it.
        index: which sample of the prompt this is.
        image: first frame to start from, (height, width, 3) uint8 RGB, or None.
    """

    prompt: str
    seed: int
    index: int = 0
    negative_prompt: str = ""
    image: Image | None = None


class Generator(Protocol):
    """Turns a request into a video, frame by frame.

    A generator is built once per run from its options (``--model-args width=720,height=480``);
    the same request on the same build gives the same frames.

    Attributes:
        fps: frames per second of every video it makes.
    """

    fps: Fraction

    def settings(self) -> Mapping[str, str | int | float]:
        """Everything that shapes the video besides the request, for the run's record."""
        ...

    def generate(self, request: Request) -> Iterator[Image]:
        """Yield the frames in order, (height, width, 3) uint8 RGB.

        Raises:
            GenerationError: this request cannot be made (the others still can).
        """
        ...


class GeneratorFactory(Protocol):
    """Builds a generator from its options, given as text."""

    def __call__(self, options: Mapping[str, str]) -> Generator:
        """Raise `UsageError` for an unknown option or a value out of range."""
        ...


GENERATORS: Registry[GeneratorFactory] = Registry(
    "generator",
    {
        "synthetic": "vbench_long.generators.synthetic:create",
        "vchitect2": "vbench_long.generators.vchitect2.generator:create",
    },
    group="vbench_long.generators",
)
