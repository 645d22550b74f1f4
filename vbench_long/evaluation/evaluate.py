"""One run: a model on a suite, or a folder of videos, to a folder of records."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from vbench_long.dimensions import DIMENSIONS
from vbench_long.errors import GenerationError, UsageError, VBenchLongError, VideoError
from vbench_long.evaluation.asked import Asked, RunConfig, read_config
from vbench_long.evaluation.costs import (
    Costs,
    peak_device_memory,
    peak_memory,
    seconds_by_dimension,
)
from vbench_long.evaluation.estimate import Estimate
from vbench_long.evaluation.generation import Progress
from vbench_long.evaluation.left import estimate_left
from vbench_long.evaluation.runner import Runner
from vbench_long.evaluation.samples import Problem
from vbench_long.evaluation.stream import Counts
from vbench_long.evaluation.video_folder import VideoFolder, any_untrained
from vbench_long.generators import Report
from vbench_long.generators.base import to_nobody
from vbench_long.leaderboard.scores import illegal
from vbench_long.leaderboard.tables import scores_csv, videos_csv
from vbench_long.provenance import command_line, environment, now
from vbench_long.records import Manifest, Record, Sample, Status, describe_differences, digest
from vbench_long.store import Run, Store, load_run, run_faults, write_atomically
from vbench_long.video import file_sha256

LOG = logging.getLogger("vbench_long")
PROTOCOL_VERSION = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished call of `evaluate`: the run as stored, and what this call's work cost."""

    run: Run
    counts: Counts
    costs: Costs


Told = Callable[[Estimate], None]
"""Is told what a run is about to do, if it is about to do anything."""


def evaluate(
    config: RunConfig,
    progress: Progress | None = None,
    on_step: Report = to_nobody,
    on_plan: Told | None = None,
) -> Outcome:
    """Judge videos and store the results in ``config.output``; go on where an earlier call stopped.

    Only what is planned and not stored is done. A killed run loses the video it was at.

    Args:
        config: what to judge.
        progress: told of each video.
        on_step: told of each step, or frame, of a video that is being made.
        on_plan: told what is about to be done. Networks take seconds to be counted, so nobody does
            that unasked.

    Raises:
        UsageError: the configuration asks for something that does not exist, the videos are not
            those of the suite, or the folder holds another run.
        RunError: the folder's files are damaged, or another process writes them.
        EnvironmentFault: the folder cannot be written.
    """
    asked = read_config(config)
    dimensions, planned = asked.dimensions, asked.planned
    config.networks.require(dimensions)
    for lack in asked.lacks:
        LOG.log(logging.WARNING if lack.wanted else logging.INFO, "%s", lack)
    facts = environment()
    with ExitStack() as stack:
        store = stack.enter_context(Store(config.output))
        manifest = _manifest(config, asked)
        manifest = _continued(store, manifest, digest(facts))
        videos = None
        if asked.making:
            folder = VideoFolder(config.output / "videos", asked.making, planned.samples)
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
        if on_plan:
            on_plan(estimate_left(config, asked, store.records()))
        started = perf_counter()

        def costs() -> Costs:
            return Costs(
                perf_counter() - started,
                sum(runner.counts.loading.values()),
                dict(runner.counts.seconds),
                seconds_by_dimension(work.judged),
                peak_memory(),
                peak_device_memory(),
            )

        earlier = manifest.costs
        try:
            work.do(planned.samples, progress or (lambda done, total, video: None))
        except BaseException:
            with suppress(VBenchLongError):  # What stopped the work is the error to show.
                manifest = replace(manifest, costs=costs().after(earlier))
                _close(store, config.output, manifest, "interrupted")
            raise
        spent = costs()
        manifest = replace(manifest, costs=spent.after(earlier))
        _close(store, config.output, manifest, "complete")
    return Outcome(load_run(config.output), runner.counts, spent)


def forecast(config: RunConfig) -> Estimate:
    """What `evaluate` would do, without doing or writing any of it.

    Raises:
        UsageError: as `evaluate`, of what `config` asks for.
        RunError: the folder's files are damaged.
        EnvironmentFault: there is no such device here.
    """
    there = (config.output / "run.json").exists()
    stored = load_run(config.output).records if there else ()
    return estimate_left(config, read_config(config), stored)


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
    judged: list[Record] = field(default_factory=list)

    def do(self, samples: Sequence[Sample], progress: Progress) -> None:
        stored = {(r.video, r.dimension): r for r in self.store.records()}
        for done, sample in enumerate(samples):
            progress(done, len(samples), sample.video)
            records = self._lacking_records(sample, stored)
            for error in dict.fromkeys(r.error for r in records if r.status is Status.FAILED):
                LOG.warning("%s: %s", sample.video, error)
            if records:
                self.store.put(records)
                self.judged.extend(records)
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


def _manifest(config: RunConfig, asked: Asked) -> Manifest:
    """The run as planned. The protocol names every dimension of the backend, asked for or not."""
    backend, suite = config.backend, asked.suite
    protocol: dict[str, Any] = {
        "version": PROTOCOL_VERSION,
        "backend": backend,
        "clips": config.clips,
        "scenes": config.scenes,
        "suite": f"{suite.name} {suite.sha256}" if suite else "",
        "image_rate": str(config.fps) if config.fps else "",
        "static_filter": asked.static_filter,
        "strict": config.strict,
        "precision": config.networks.precision,
        "untrained": config.networks.untrained,
        "dimensions": {
            name: DIMENSIONS.get(name)(backend, asked.rules).identity
            for name in DIMENSIONS.built_in
            if backend in DIMENSIONS.get(name).backbones
        },
    }
    if asked.making:
        settings = asked.making.maker["settings"]
        protocol["untrained"] = protocol["untrained"] or bool(settings.get("untrained"))
        model = {"generator": config.model, "settings": settings, "seed": config.seed}
        name = config.name or str(config.model)
    else:
        assert config.videos is not None
        made_up = any_untrained(Path(s.path) for s in asked.planned.samples if s.path)
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
        dimensions=tuple(dimension.name for dimension in asked.dimensions),
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
    return replace(planned, created=earlier.created, dimensions=dimensions, costs=earlier.costs)


def _close(store: Store, output: Path, manifest: Manifest, status: str) -> None:
    """Write the tables and the final manifest."""
    records = store.records()
    counts = Counter(record.status.value for record in records)
    store.write_manifest(replace(manifest, status=status, counts=dict(counts), updated=now()))
    run = load_run(output)
    with run_faults(output):
        write_atomically(output / "scores.csv", scores_csv(run))
        write_atomically(output / "videos.csv", videos_csv(run))
