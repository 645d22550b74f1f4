"""What is left to do of a run, and what that will cost."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from vbench_long.dimensions import VideoFacts
from vbench_long.errors import VideoError
from vbench_long.evaluation.asked import Asked, RunConfig
from vbench_long.evaluation.estimate import Ahead, Estimate, estimate
from vbench_long.records import Record, Status
from vbench_long.video import probe

_ESTIMATED = 8
"""Videos that stand for all in an estimate."""


def estimate_left(config: RunConfig, asked: Asked, stored: Iterable[Record]) -> Estimate:
    """What is left to do; whether stored values are still current is not looked at."""
    making, planned = asked.making, asked.planned
    done = {(r.video, r.dimension) for r in stored if r.status in (Status.OK, Status.EXCLUDED)}
    lacking = {
        sample.video: tuple(
            d for d in asked.dimensions
            if d.name in sample.dimensions and (sample.video, d.name) not in done
        )
        for sample in planned.samples
        if sample.video not in planned.problems
    }  # fmt: skip
    samples = [sample for sample in planned.samples if lacking.get(sample.video)]
    ahead = []
    for sample in samples[:: max(1, len(samples) // _ESTIMATED)][:_ESTIMATED]:
        with suppress(VideoError):  # It will fail when its turn comes, and say why.
            info = probe(config.output / sample.path, config.fps)
            facts = VideoFacts(info.width, info.height, info.fps, sample.prompt, sample.auxiliary)
            ahead.append(
                Ahead(facts, info.frames, sample.clip_seconds, lacking[sample.video], info)
            )
            continue
        if making and (look := making.outline) and (fps := making.generator.fps):
            facts = VideoFacts(look.width, look.height, fps, sample.prompt, sample.auxiliary)
            ahead.append(Ahead(facts, look.frames, sample.clip_seconds, lacking[sample.video]))
    return estimate(ahead, len(samples), config.networks, config.clips == "reference")
