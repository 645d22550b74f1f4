"""The contract every generator keeps, and the table of those there are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

from vbench_long.registry import Registry
from vbench_long.video import Image

Report: TypeAlias = Callable[[int, int], None]
"""Called with steps done and steps in all."""


def to_nobody(done: int, steps: int) -> None:
    """Report nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """One sample to generate.

    Attributes:
        prompt: what the video shows.
        negative_prompt: what it must not show; empty where the generator has no such notion.
        seed: all randomness of the sample comes from it.
        index: which sample of the prompt this is.
        image: first frame to start from, (height, width, 3) uint8 RGB, or None.
        report: to be called after each step of the work on this video, by generators that work in
            steps; where nothing is reported, the frames are counted as they come.
    """

    prompt: str
    seed: int
    index: int = 0
    negative_prompt: str = ""
    image: Image | None = None
    report: Report = field(default=to_nobody, compare=False, repr=False)

    def __reduce__(self) -> tuple[type[Request], tuple[object, ...]]:
        """A copy that another process gets reports to nobody."""
        parts = (self.prompt, self.seed, self.index, self.negative_prompt, self.image)
        return Request, parts


class Generator(Protocol):
    """Turns a request into a video: frame by frame, or as a file.

    A generator is built once per run from its options (``--model-args width=720,height=480``);
    the same request on the same build gives the same frames.

    Attributes:
        fps: frames per second of every video it makes; None if it hands out files only.
    """

    @property
    def fps(self) -> Fraction | None:
        """See above; an attribute will do."""
        ...

    def settings(self) -> Mapping[str, str | int | float]:
        """Everything that shapes the video besides the request, for the run's record."""
        ...

    def generate(self, request: Request) -> Iterator[Image] | Path:
        """Yield the frames in order, (height, width, 3) uint8 RGB; or name an mp4 file.

        A file is copied as it is.

        Raises:
            GenerationError: this request cannot be made (the others still can).
        """
        ...


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a generator's videos before one is made.

    Attributes:
        width: pixels.
        height: pixels.
        frames: of each video.
        seconds: of work for each video on this machine; None if nobody knows.
        memory: bytes it takes at most; None if nobody knows.
        takes_image: whether a request may give a first frame.
    """

    width: int
    height: int
    frames: int
    seconds: float | None = None
    memory: int | None = None
    takes_image: bool = False


@runtime_checkable
class Outlined(Protocol):
    """A generator that can say what it is about to make. None has to."""

    def outline(self) -> Outline:
        """What is known of its videos, without loading a network."""
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
        "folder": "vbench_long.generators.folder:create",
        "vchitect2": "vbench_long.generators.vchitect2.generator:create",
    },
    group="vbench_long.generators",
)
