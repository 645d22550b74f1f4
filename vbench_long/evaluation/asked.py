"""What a run is asked to do, and what that means: dimensions, videos, and who makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from vbench_long.dimensions import Dimension
from vbench_long.dimensions.base import Rules
from vbench_long.errors import UsageError
from vbench_long.evaluation.checks import Lack, ask, asked_dimensions, require_whole
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.generation import build_generator
from vbench_long.evaluation.making import Making
from vbench_long.evaluation.networks import Networks
from vbench_long.evaluation.samples import Planned, from_suite, from_videos, require_counts
from vbench_long.prompts import OFFICIAL_DIMENSIONS, Suite, load_suite
from vbench_long.registry import unknown

CLIPS = ("exact", "reference")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What `evaluate` is asked to do; the command line has the same names.

    Attributes:
        output: the run folder.
        videos: folder, video or manifest to judge; or None when a model makes the videos.
        model: generator that makes the videos; or None.
        model_args: options of the generator.
        suite: name or path of a suite; needed with a model ("long" if not given).
        dimensions: official names; empty for all the backend can judge.
        backend: "classical" (no weights) or "reference" (the published arithmetic and networks).
        name: the model's name in tables; derived from model or folder if empty.
        seed: shifts the seeds of all generated samples.
        samples: samples per prompt; None for what the suite asks for.
        limit: only the first N prompts.
        clips: "exact": the submitted pixels are judged; "reference": every clip goes through the
            published program's lossy encode first.
        scenes: threshold of the cut detector, or None to leave scenes together.
        fps: frame rate of folders of images.
        static_filter: judge temporal flickering on still clips only; None for what the official
            runs do: yes with the suite "vbench" on the reference backend, else no.
        strict: dimensions do what their papers say, where the published program does not quite;
            scores then compare with no published ones.
        partial: with a suite, judge the videos there are, although some are missing, claimed
            twice or too short.
        networks: where networks get their weights, and how they run.
    """

    output: Path
    videos: Path | None = None
    model: str | None = None
    model_args: Mapping[str, str] = field(default_factory=dict)
    suite: str | None = None
    dimensions: tuple[str, ...] = ()
    backend: str = "classical"
    name: str = ""
    seed: int = 0
    samples: int | None = None
    limit: int | None = None
    clips: str = "exact"
    scenes: float | None = None
    fps: Fraction | None = None
    static_filter: bool | None = None
    strict: bool = False
    partial: bool = False
    networks: Networks = field(default_factory=Networks)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a configuration comes to.

    Attributes:
        suite: where prompts come from, if anywhere.
        making: what makes the videos; None where they are there.
        dimensions: that judge.
        planned: the videos, and what judges each.
        lacks: prompts that too little is known of.
        rules: of the dimensions.
        static_filter: whether temporal flickering is judged on still clips only.
    """

    suite: Suite | None
    making: Making | None
    dimensions: list[Dimension]
    planned: Planned
    lacks: list[Lack]
    rules: Rules
    static_filter: bool


def read_config(config: RunConfig) -> Asked:
    """What `config` comes to, with the videos that are there now.

    Raises:
        UsageError: it asks for something that does not exist, or the videos are not the suite's.
    """
    suite, rules = _suite(config), _rules(config)
    filtered = _filters_static(config, suite)
    dimensions = choose_dimensions(config.dimensions, config.backend, filtered, rules)
    making = _making(config, suite)
    wanted = plan_samples(config, suite, dimensions)
    planned, lacks = ask(wanted, dimensions, config.dimensions, suite)
    if not config.dimensions:
        dimensions = asked_dimensions(planned, dimensions)
    return Asked(suite, making, dimensions, planned, lacks, rules, filtered)


def _suite(config: RunConfig) -> Suite | None:
    if config.model and config.videos:
        raise UsageError("both --model and --videos", "", "give the one that makes the videos")
    if not config.model and not config.videos:
        raise UsageError("nothing to judge", "", "give --videos or --model")
    if config.clips not in CLIPS:
        raise unknown("clips mode", config.clips, CLIPS)
    require_counts(config.limit, config.samples)
    name = config.suite or ("long" if config.model else None)
    return load_suite(name) if name else None


def _making(config: RunConfig, suite: Suite | None) -> Making | None:
    if config.model is None:
        return None
    generator = build_generator(config.model, config.model_args)
    return Making(config.model, generator, config.seed, suite)


def _rules(config: RunConfig) -> Rules:
    if config.strict and config.backend != "reference":
        raise UsageError(
            "there are no published rules to be stricter than",
            "--strict",
            "use --backend reference",
        )
    return "strict" if config.strict else "parity"


def _filters_static(config: RunConfig, suite: Suite | None) -> bool:
    if config.static_filter is not None:
        return config.static_filter
    return suite is not None and suite.name == "vbench" and config.backend == "reference"


def plan_samples(
    config: RunConfig, suite: Suite | None, dimensions: Sequence[Dimension]
) -> Planned:
    """What is to be judged, on what.

    Raises:
        UsageError: nothing, or videos that are not those of the suite.
    """
    names = [dimension.name for dimension in dimensions]
    if suite and not config.dimensions:  # What a package adds is for prompts that ask for it.
        names = [name for name in names if name in {*OFFICIAL_DIMENSIONS, *suite.dimensions}]
    if config.videos:
        planned = from_videos(config.videos, suite, names, config.limit, config.samples)
        if suite:
            require_whole(planned, suite, config.videos, config.fps, config.partial)
        return planned
    assert suite is not None
    samples = from_suite(suite, names, config.limit, config.samples, config.seed)
    return Planned(tuple(samples), {})
