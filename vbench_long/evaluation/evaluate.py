"""One run: a model on a suite, or a folder of videos, to a folder of records."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from vbench_long.dimensions import DIMENSIONS, Dimension
from vbench_long.dimensions.base import Rules
from vbench_long.errors import GenerationError, UsageError, VBenchLongError, VideoError
from vbench_long.evaluation.checks import ask, asked_dimensions, require_whole
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.generation import Progress, build_generator
from vbench_long.evaluation.making import Making
from vbench_long.evaluation.networks import Networks
from vbench_long.evaluation.runner import Runner
from vbench_long.evaluation.samples import (
    Planned,
    Problem,
    from_suite,
    from_videos,
    require_counts,
)
from vbench_long.evaluation.stream import Counts
from vbench_long.evaluation.video_folder import VideoFolder, any_untrained
from vbench_long.generators import Report
from vbench_long.generators.base import to_nobody
from vbench_long.leaderboard.scores import illegal
from vbench_long.leaderboard.tables import scores_csv, videos_csv
from vbench_long.prompts import OFFICIAL_DIMENSIONS, Suite, load_suite
from vbench_long.provenance import command_line, environment, now
from vbench_long.records import Manifest, Record, Sample, Status, describe_differences, digest
from vbench_long.registry import unknown
from vbench_long.store import Run, Store, load_run, run_faults, write_atomically
from vbench_long.video import file_sha256

LOG = logging.getLogger("vbench_long")
CLIPS = ("exact", "reference")
PROTOCOL_VERSION = 1


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
class Outcome:
    """A finished call of `evaluate`: the run as stored, and what this call's work cost."""

    run: Run
    counts: Counts


def evaluate(
    config: RunConfig, progress: Progress | None = None, on_step: Report = to_nobody
) -> Outcome:
    """Judge videos and store the results in ``config.output``; go on where an earlier call stopped.

    Only what is planned and not stored is done. A killed run loses the video it was at.

    Args:
        config: what to judge.
        progress: told of each video.
        on_step: told of each step, or frame, of a video that is being made.

    Raises:
        UsageError: the configuration asks for something that does not exist, the videos are not
            those of the suite, or the folder holds another run.
        RunError: the folder's files are damaged, or another process writes them.
        EnvironmentFault: the folder cannot be written.
    """
    suite = _suite(config)
    filtered = _filters_static(config, suite)
    dimensions = choose_dimensions(config.dimensions, config.backend, filtered, _rules(config))
    making = _making(config, suite)
    wanted = plan_samples(config, suite, dimensions)
    planned, lacks = ask(wanted, dimensions, config.dimensions, suite)
    if not config.dimensions:
        dimensions = asked_dimensions(planned, dimensions)
    config.networks.require(dimensions)
    for lack in lacks:
        LOG.log(logging.WARNING if lack.wanted else logging.INFO, "%s", lack)
    names = tuple(dimension.name for dimension in dimensions)
    facts = environment()
    with ExitStack() as stack:
        store = stack.enter_context(Store(config.output))
        manifest = _manifest(config, suite, making, planned, names)
        manifest = _continued(store, manifest, digest(facts))
        videos = None
        if making:
            folder = VideoFolder(config.output / "videos", making, planned.samples)
            videos = stack.enter_context(folder)
        store.write_manifest(manifest)
        store.put_environment(manifest.environment, facts)
        store.put_samples(planned.samples)
        runner = Runner(dimensions, config.networks, config.clips, config.scenes, config.fps)
        work = _Work(
            config.output,
            store,
            runner,
            {d.name: config.networks.identity(d) for d in dimensions},
            videos,
            on_step,
            manifest.environment,
            manifest.protocol,
            planned.problems,
        )
        try:
            work.do(planned.samples, progress or (lambda done, total, video: None))
        except BaseException:
            with suppress(VBenchLongError):  # What stopped the work is the error to show.
                _close(store, config.output, manifest, "interrupted")
            raise
        _close(store, config.output, manifest, "complete")
    return Outcome(load_run(config.output), runner.counts)


@dataclass(frozen=True, slots=True)
class _Work:
    """The loop over samples."""

    output: Path
    store: Store
    runner: Runner
    identities: Mapping[str, str]
    videos: VideoFolder | None
    on_step: Report
    environment: str
    protocol: Mapping[str, Any]
    problems: Mapping[str, Problem]

    def do(self, samples: Sequence[Sample], progress: Progress) -> None:
        stored = {(r.video, r.dimension): r for r in self.store.records()}
        for done, sample in enumerate(samples):
            progress(done, len(samples), sample.video)
            records = self._lacking_records(sample, stored)
            for error in dict.fromkeys(r.error for r in records if r.status is Status.FAILED):
                LOG.warning("%s: %s", sample.video, error)
            if records:
                self.store.put(records)
        progress(len(samples), len(samples), "")

    def _lacking_records(
        self, sample: Sample, stored: Mapping[tuple[str, str], Record]
    ) -> list[Record]:
        if problem := self.problems.get(sample.video):
            return self._without_score(sample, problem.status, problem.error)
        path = self.output / sample.path
        try:
            if self.videos:
                sha256 = self.videos.make(sample, self.on_step).sha256
            elif path.exists():
                sha256 = file_sha256(path)
            else:
                LOG.warning("%s: there is no such file", sample.video)
                return self._without_score(sample, Status.MISSING, "there is no such file")
        except (GenerationError, VideoError) as error:
            return self._without_score(sample, Status.FAILED, str(error))
        lacking = [
            name
            for name in sample.dimensions
            if not self._is_current(stored.get((sample.video, name)), sha256)
        ]
        if not lacking:
            return []
        return [
            replace(
                record,
                sha256=sha256,
                identity=self.identities[record.dimension],
                environment=self.environment,
            )
            for record in self.runner.judge(sample, path, lacking)
        ]

    def _is_current(self, record: Record | None, sha256: str) -> bool:
        """Whether a stored record still says what this video scores; failures are tried again."""
        return (
            record is not None
            and record.status in (Status.OK, Status.EXCLUDED)
            and record.sha256 == sha256
            and record.identity == self.identities[record.dimension]
            and not illegal(record, self.protocol)
        )

    def _without_score(self, sample: Sample, status: Status, error: str) -> list[Record]:
        return [
            Record(
                sample.video, name, status,
                error=error, identity=self.identities[name], environment=self.environment,
            )
            for name in sample.dimensions
        ]  # fmt: skip


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


def _manifest(
    config: RunConfig,
    suite: Suite | None,
    making: Making | None,
    planned: Planned,
    names: tuple[str, ...],
) -> Manifest:
    """The run as planned. The protocol names every dimension of the backend, asked for or not."""
    backend = config.backend
    protocol: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "backend": backend,
        "clips": config.clips,
        "scenes": config.scenes,
        "suite": f"{suite.name} {suite.sha256}" if suite else "",
        "image_rate": str(config.fps) if config.fps else "",
        "static_filter": _filters_static(config, suite),
        "strict": config.strict,
        "precision": config.networks.precision,
        "untrained": config.networks.untrained,
        "dimensions": {
            name: DIMENSIONS.get(name)(backend, _rules(config)).identity
            for name in DIMENSIONS.built_in
            if backend in DIMENSIONS.get(name).backbones
        },
    }
    if making:
        settings = making.maker["settings"]
        protocol["untrained"] = protocol["untrained"] or bool(settings.get("untrained"))
        model = {"generator": config.model, "settings": settings, "seed": config.seed}
        name = config.name or str(config.model)
    else:
        assert config.videos is not None
        made_up = any_untrained(Path(s.path) for s in planned.samples if s.path)
        protocol["untrained"] = protocol["untrained"] or made_up
        model = {"videos": str(config.videos.resolve())}
        name = config.name or config.videos.resolve().stem
    return Manifest(
        name=name,
        model=model,
        protocol=protocol,
        suite={"name": suite.name, "sha256": suite.sha256, "prompts": len(suite.prompts)}
        if suite
        else {},
        dimensions=names,
        status="running",
        command=command_line(),
        created=now(),
        updated=now(),
    )


def _continued(store: Store, planned: Manifest, environment_key: str) -> Manifest:
    """The manifest to go on with: the stored one if there is one and it is of the same run.

    Raises:
        UsageError: the folder holds another protocol or other videos; the message says which.
    """
    planned = replace(planned, environment=environment_key)
    earlier = store.manifest()
    if earlier is None:
        return planned
    differences = describe_differences(
        {"protocol": earlier.protocol, "model": earlier.model},
        {"protocol": planned.protocol, "model": planned.model},
    )
    if differences:
        raise UsageError(
            f"the folder holds another run ({'; '.join(differences)})",
            str(store.folder),
            "choose another --output, or repeat the command that began it",
        )
    if earlier.environment != environment_key:
        LOG.warning("this run began in another environment; each record names its own")
    dimensions = tuple(dict.fromkeys((*earlier.dimensions, *planned.dimensions)))
    return replace(planned, created=earlier.created, dimensions=dimensions)


def _close(store: Store, output: Path, manifest: Manifest, status: str) -> None:
    """Write the tables and the final manifest."""
    records = store.records()
    counts = Counter(record.status.value for record in records)
    store.write_manifest(replace(manifest, status=status, counts=dict(counts), updated=now()))
    run = load_run(output)
    with run_faults(output):
        write_atomically(output / "scores.csv", scores_csv(run))
        write_atomically(output / "videos.csv", videos_csv(run))
