"""What videos are made with, and one request to a generator, guarded."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from vbench_long.errors import GenerationError, VBenchLongError
from vbench_long.generators import Generator, Outline, Outlined, Report, Request
from vbench_long.prompts import Suite
from vbench_long.records import Sample
from vbench_long.video import Encoding, Image

LOG = logging.getLogger("vbench_long")


@dataclass(frozen=True)
class Making:
    """Everything that shapes the videos of a folder besides their prompts and seeds.

    Attributes:
        model: the generator's name.
        generator: makes the videos.
        seed: shifts the seeds of all samples.
        suite: where the prompts come from; None for prompts given one by one.
        negative_prompt: what no video must show.
        image: first frame of every video, (height, width, 3) uint8 RGB, or None.
    """

    model: str
    generator: Generator
    seed: int
    suite: Suite | None
    negative_prompt: str = ""
    image: Image | None = None

    @cached_property
    def maker(self) -> dict[str, Any]:
        """What made a video: generator, settings, encoding."""
        return {
            "generator": self.model,
            "settings": dict(self.generator.settings()),
            "encoding": asdict(Encoding()),
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What must stay the same while videos are added to a folder."""
        suite = {"name": self.suite.name, "sha256": self.suite.sha256} if self.suite else {}
        return {
            **self.maker,
            "suite": suite,
            "seed": self.seed,
            "negative_prompt": self.negative_prompt,
            "image": self._image_sha256,
        }

    def ask(self, sample: Sample, report: Report) -> Iterator[Image] | Path:
        """What the generator makes of a sample: checked frames, or a file.

        `report` is told of the generator's steps; if it tells none, of frames as they come.

        Raises:
            GenerationError: at once or while the frames come: the generator failed, or yields
                what is no frame.
        """
        steps = 0

        def on_step(done: int, of: int) -> None:
            nonlocal steps
            steps = of
            report(done, of)

        with _Failures():
            made = self.generator.generate(self._request(sample, on_step))
        if isinstance(made, Path):
            return made

        def images() -> Iterator[Image]:
            source = iter(made)
            for number in count(1):
                with _Failures():
                    image = next(source, None)
                if image is None:
                    return
                _check(image, number - 1)
                yield image
                if self.outline and not steps:
                    report(number, self.outline.frames)

        return images()

    @cached_property
    def outline(self) -> Outline | None:
        """What the generator says of its videos, if it says anything."""
        return self.generator.outline() if isinstance(self.generator, Outlined) else None

    def _request(self, sample: Sample, report: Report) -> Request:
        return Request(
            sample.prompt,
            sample.seed or 0,
            sample.index,
            self.negative_prompt,
            self.image,
            report,
        )

    def facts(self, sample: Sample) -> dict[str, Any]:
        """What must be true of a video that stands for `sample`."""
        request = {
            "prompt": sample.prompt,
            "index": sample.index,
            "seed": sample.seed,
            "negative_prompt": self.negative_prompt,
            "image": self._image_sha256,
        }
        return {"request": request, **self.maker}

    @cached_property
    def _image_sha256(self) -> str:
        """Of the pixels and their shape; empty without a first frame."""
        if self.image is None:
            return ""
        return sha256(repr(self.image.shape).encode() + self.image.tobytes()).hexdigest()


class _Failures:
    """Turns what a generator raises into a `GenerationError`; lets our own errors pass."""

    def __enter__(self) -> None: ...

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        __: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, VBenchLongError):
            LOG.debug("the generator failed", exc_info=error)
            why = f"{type(error).__name__}: {error}"
            raise GenerationError(f"the generator failed ({why})") from error


def _check(image: Image, number: int) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}"
        raise GenerationError(f"frame {number} is {found}, not (height, width, 3) uint8")
