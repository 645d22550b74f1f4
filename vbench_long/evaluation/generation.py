"""Videos for a suite of prompts: planned, made one by one, resumable."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from vbench_long.errors import EnvironmentFault, GenerationError, UsageError, VideoError
from vbench_long.evaluation.making import Making
from vbench_long.evaluation.samples import from_suite
from vbench_long.evaluation.video_folder import VideoFolder, videos_there
from vbench_long.generators import GENERATORS, Generator, Outline, Report
from vbench_long.generators.base import GeneratorFactory, to_nobody
from vbench_long.manifests import MANIFEST
from vbench_long.prompts import Suite, check_prompt, known_dimensions, load_suite, suite_of
from vbench_long.records import Sample
from vbench_long.registry import unknown
from vbench_long.video import Image, read_image

LOG = logging.getLogger("vbench_long")

Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with videos done, videos in all, and the name of the next one ("" at the end)."""


@dataclass(frozen=True, slots=True)
class GenerateConfig:
    """What `generate` is asked to do; the command line has the same names.

    Attributes:
        output: folder for the videos.
        model: generator that makes them.
        model_args: its options.
        suite: name or path of a suite; "long" if neither a suite nor prompts are given.
        prompts: prompts of your own, instead of a suite.
        dimensions: only prompts of the suite that serve one of these; empty for all.
        seed: shifts the seeds of all samples.
        samples: per prompt; None for what the suite asks for (1 for your own prompts).
        limit: only the first N prompts.
        negative_prompt: what no video must show.
        image: file with the first frame of every video.
    """

    output: Path
    model: str
    model_args: Mapping[str, str] = field(default_factory=dict)
    suite: str | None = None
    prompts: tuple[str, ...] = ()
    dimensions: tuple[str, ...] = ()
    seed: int = 0
    samples: int | None = None
    limit: int | None = None
    negative_prompt: str = ""
    image: Path | None = None


@dataclass(frozen=True, slots=True)
class Generated:
    """What a call of `generate` leaves behind.

    Attributes:
        manifest: lists all videos; `evaluate --videos` reads it.
        made: videos made by this call.
        there: videos that were there.
        failures: videos that could not be made, with the reason.
    """

    manifest: Path
    made: int
    there: int
    failures: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a call of `generate` would make.

    Attributes:
        prompts: how many.
        videos: planned in all.
        there: of them in the folder already.
        fps: frames per second; None if each video has its own.
        outline: what the generator says of each video; None if it says nothing.
        seconds: of work for each video: what the generator says, else the mean of those in the
            folder; None if nobody knows.
        measured: whether `seconds` comes from the videos in the folder.
    """

    prompts: int
    videos: int
    there: int
    fps: float | None
    outline: Outline | None
    seconds: float | None
    measured: bool


def generate(
    config: GenerateConfig, progress: Progress | None = None, on_step: Report = to_nobody
) -> Generated:
    """Make the videos that are planned and not there; go on where an earlier call stopped.

    A killed call loses the video it was at. A video that cannot be made is on record with its
    reason, the others are made, and the next call tries it again.

    Args:
        config: what to make.
        progress: told of each video to be made.
        on_step: told of each step, or frame, of the video at work.

    Raises:
        UsageError: the configuration asks for something that does not exist, or the folder holds
            videos made otherwise.
        RunError: another process writes to the folder, or its files are damaged.
        EnvironmentFault: the folder cannot be written, or the generator cannot work here.
    """
    making, samples = _plan(config)
    tell = progress or (lambda done, total, video: None)
    with VideoFolder(config.output, making, samples) as folder:
        there = [sample for sample in samples if folder.has(sample)]
        lacking = [sample for sample in samples if not folder.has(sample)]
        if there:
            LOG.info("%d of %d videos are there", len(there), len(samples))
        reused = sum(_is_made(folder, sample, on_step) for sample in there)
        made = 0
        for done, sample in enumerate(lacking):
            tell(done, len(lacking), sample.video)
            made += _is_made(folder, sample, on_step)
        tell(len(lacking), len(lacking), "")
        return Generated(config.output / MANIFEST, made, reused, dict(folder.failures))


def forecast(config: GenerateConfig) -> Forecast:
    """What `generate` would make, without making or writing anything.

    Raises:
        UsageError: as `generate`.
        RunError: files of the folder are damaged.
        EnvironmentFault: the generator cannot work here.
    """
    making, samples = _plan(config)
    spent = videos_there(config.output, making, samples)
    told = making.outline.seconds if making.outline else None
    mean = sum(spent.values()) / len(spent) if spent else None
    fps = making.generator.fps
    return Forecast(
        prompts=len({sample.prompt for sample in samples}),
        videos=len(samples),
        there=len(spent),
        fps=None if fps is None else float(fps),
        outline=making.outline,
        seconds=mean if told is None else told,
        measured=told is None and mean is not None,
    )


def build_generator(name: str, options: Mapping[str, str]) -> Generator:
    """The generator called `name`.

    Raises:
        UsageError: there is none, or it has no such options.
        EnvironmentFault: a package that it needs is not installed.
    """
    return find_generator(name)(options)


def find_generator(name: str) -> GeneratorFactory:
    """What builds the generator called `name`.

    Raises:
        UsageError: there is none.
        EnvironmentFault: a package that it needs is not installed.
    """
    try:
        return GENERATORS.get(name)
    except ImportError as error:
        raise EnvironmentFault(
            f"the generator '{name}' cannot be loaded ({error})", "", "install what it needs"
        ) from error


def _is_made(folder: VideoFolder, sample: Sample, on_step: Report) -> bool:
    try:
        folder.make(sample, on_step)
    except (GenerationError, VideoError) as error:
        LOG.warning("%s: %s", sample.video, error)
        return False
    return True


def _plan(config: GenerateConfig) -> tuple[Making, Sequence[Sample]]:
    suite = _suite(config)
    for name in config.dimensions:
        if name not in known_dimensions():
            raise unknown("dimension", name, known_dimensions())
    samples = from_suite(
        suite, config.dimensions or None, config.limit, config.samples, config.seed
    )
    if config.negative_prompt:
        check_prompt(config.negative_prompt, "the negative prompt")
    image = _image(config.image)
    making = Making(
        config.model,
        build_generator(config.model, config.model_args),
        config.seed,
        None if config.prompts else suite,
        config.negative_prompt,
        image,
    )
    if image is not None and making.outline and not making.outline.takes_image:
        raise UsageError(
            f"{config.model} starts from no image",
            str(config.image),
            f"omit --image, or see whether `generate --model {config.model} --help` has a way",
        )
    return making, samples


def _suite(config: GenerateConfig) -> Suite:
    if not config.prompts:
        return load_suite(config.suite or "long")
    if config.suite or config.dimensions:
        extra = "--suite" if config.suite else "--dimensions"
        raise UsageError(f"both --prompt and {extra}", "", "give one of them")
    return suite_of(config.prompts)


def _image(file: Path | None) -> Image | None:
    if file is None:
        return None
    try:
        return read_image(file)
    except VideoError as error:
        raise UsageError(error.what, error.where, error.fix) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise UsageError(f"the image cannot be read ({reason})", str(file)) from error
