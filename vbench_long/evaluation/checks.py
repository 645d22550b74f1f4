"""Before the first video is judged: are all of them there, and is enough known of each?"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from vbench_long.dimensions import Dimension
from vbench_long.dimensions.base import PromptFacts
from vbench_long.errors import UsageError, VideoError
from vbench_long.evaluation.samples import Planned
from vbench_long.prompts import Suite, clip_seconds
from vbench_long.records import Sample
from vbench_long.video import clip_length, probe

LOG = logging.getLogger("vbench_long")
LONG = 5.0
"""Seconds from which on a video is a long one, as VBench-Long's authors have it."""

_CLIP = clip_seconds(())
_FIX = (
    "mend the folder; or judge what there is with --partial, or ask for less with --limit,"
    " --samples or --dimensions"
)


def require_whole(
    planned: Planned, suite: Suite, source: Path, fps: Fraction | None, partial: bool
) -> None:
    """Compare the videos with what `suite` asks for, by names, numbers and lengths.

    Refused are samples without a video or with several and, with the official suite, videos
    shorter than one clip, which its static filter never keeps. Only named are videos that belong
    to no sample, and those that are no long ones. Files that cannot be read are left to the run,
    which records why.

    Args:
        planned: from `source`.
        suite: what was asked for.
        source: the folder or manifest.
        fps: frame rate of folders of images.
        partial: go on, and only say what is wrong.

    Raises:
        UsageError: something is refused; says how many of each, with examples.
    """
    samples = planned.samples
    absent = [s for s in samples if not s.path or not Path(s.path).exists()]
    claimed = [s.video for s in samples if s.video in planned.problems and s.path]
    short, shortish = _short(samples, fps)
    whats = [f"sample {s.index} of '{s.prompt[:60]}'" for s in absent]
    faults = [
        *_told("samples without a video", whats, len(samples)),
        *_told("videos that claim a sample which another claims too", claimed),
    ]
    others = _told("videos that belong to no sample of it", planned.extra)
    too_short = _told(f"videos shorter than a clip of {_CLIP:g} s", short)
    (faults if suite.name == "vbench" else others).extend(too_short)
    others += _told(f"videos shorter than the {LONG:g} s that make a long one", shortish)
    if faults or others:
        what = f"the videos are not those of suite {suite.name}: {'; '.join([*faults, *others])}"
        if faults and not partial:
            raise UsageError(what, str(source), _FIX)
        LOG.warning("%s", what)


@dataclass(frozen=True, slots=True)
class Lack:
    """Prompts that a dimension is told too little of.

    Attributes:
        dimension: its name.
        wanted: whether somebody wants it to judge them, so that records say what is missing.
        prompts: theirs, with the reason for each.
        of: how many prompts there are in all.
    """

    dimension: str
    wanted: bool
    prompts: Mapping[str, str]
    of: int

    def __str__(self) -> str:
        prompt, reason = next(iter(self.prompts.items()))
        what = "cannot be judged, and is recorded as missing," if self.wanted else "is not judged"
        example = f"'{prompt[:60]}': " if len(self.prompts) < self.of else ""
        count = f"{len(self.prompts)} of {self.of} prompts"
        return f"{self.dimension} {what} for {count}: {example}{reason}"


def ask(
    planned: Planned, dimensions: Sequence[Dimension], named: Collection[str], suite: Suite | None
) -> tuple[Planned, list[Lack]]:
    """What every sample can be asked, and what not because too little is known of its prompt.

    If somebody wants a dimension to judge a prompt that it is told too little of (the user by
    name, the suite, the prompt's own information), that stays planned, and its record says what
    is missing; otherwise it is not asked at all.
    """
    kinds = {dimension.name: dimension for dimension in dimensions}
    lacking: dict[tuple[str, bool], dict[str, str]] = {}
    samples = []
    for sample in planned.samples:
        told = PromptFacts(sample.prompt, sample.auxiliary)
        kept = []
        for name in sample.dimensions:
            wanted = suite is not None or name in named or name in sample.auxiliary
            if reason := kinds[name].lacks(told):
                lacking.setdefault((name, wanted), {})[sample.prompt] = reason
            if wanted or not reason:
                kept.append(name)
        samples.append(replace(sample, dimensions=tuple(kept)))
    count = len({sample.prompt for sample in samples})
    lacks = [Lack(name, wanted, prompts, count) for (name, wanted), prompts in lacking.items()]
    return replace(planned, samples=tuple(samples)), lacks


def asked_dimensions(planned: Planned, dimensions: Sequence[Dimension]) -> list[Dimension]:
    """Those of `dimensions` that some sample is judged on."""
    asked = {name for sample in planned.samples for name in sample.dimensions}
    return [dimension for dimension in dimensions if dimension.name in asked]


def _short(samples: Sequence[Sample], fps: Fraction | None) -> tuple[list[str], list[str]]:
    """Videos that are shorter than a clip, and others that are shorter than `LONG`."""
    short, shortish = [], []
    for sample in samples:
        if not sample.path:
            continue
        try:
            info = probe(Path(sample.path), fps)
            least = clip_length(info.fps, _CLIP)
        except VideoError:
            continue
        if info.frames < least:
            short.append(sample.video)
        elif info.frames < LONG * info.fps:
            shortish.append(sample.video)
    return short, shortish


def _told(what: str, examples: Sequence[str], of: int = 0) -> list[str]:
    """How many there are and the first three, as one clause; nothing if there are none."""
    if not examples:
        return []
    more = ", ..." if len(examples) > 3 else ""
    number = f"{len(examples)} of {of}" if of else f"{len(examples)}"
    return [f"{what}: {number} ({', '.join(examples[:3])}{more})"]
