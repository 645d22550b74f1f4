"""What a run judges: samples found in a folder, listed in a manifest, or planned from a suite."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vbench_long.errors import UsageError
from vbench_long.manifests import list_suite_videos, list_videos
from vbench_long.prompts import OFFICIAL_DIMENSIONS, Suite
from vbench_long.prompts.official import FOLDERS
from vbench_long.records import Sample, Status

SEED_STRIDE = 100_000
SEED_END = 2**63
"""Where seeds end: a signed 64-bit number must hold them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a planned sample cannot be judged at all."""

    status: Status
    error: str


@dataclass(frozen=True, slots=True)
class Planned:
    """What a run is about to judge.

    Attributes:
        samples: of the run.
        problems: by video, why some of them cannot be judged at all.
        extra: videos that were found and belong to no sample of the suite.
    """

    samples: tuple[Sample, ...]
    problems: Mapping[str, Problem]
    extra: tuple[str, ...] = ()


def from_suite(
    suite: Suite,
    dimensions: Sequence[str] | None,
    limit: int | None,
    per_prompt: int | None,
    seed: int,
) -> list[Sample]:
    """The samples a generator has to make for a suite.

    The seed of sample j of prompt i is ``seed + 100000 * i + j``, the benchmark's own rule.
    Without `dimensions`, every prompt counts, whatever it serves. A dimension of another package
    that no prompt of the suite names is for all of them.

    Raises:
        UsageError: no prompt serves these dimensions; no sample, or no possible seed, is left.
    """
    require_counts(limit, per_prompt)
    planned = []
    strange = {*(dimensions or ())} - {*OFFICIAL_DIMENSIONS, *suite.dimensions}
    for position, prompt in enumerate(suite.prompts[:limit]):
        served = {*prompt.dimensions, *strange}
        wanted = tuple(n for n in dimensions if n in served) if dimensions else prompt.dimensions
        if dimensions is not None and not wanted:
            continue
        for index in range(per_prompt or suite.samples(prompt)):
            name = file_name(prompt.text, index)
            planned.append(
                Sample(
                    name,
                    prompt.text,
                    index,
                    path=f"videos/{name}",
                    seed=seed + SEED_STRIDE * position + index,
                    dimensions=wanted,
                    clip_seconds=prompt.clip_seconds,
                    auxiliary=prompt.auxiliary,
                )
            )
    if not planned:
        raise UsageError(
            "no prompt of the suite serves these dimensions", suite.name, "choose other dimensions"
        )
    last = max(sample.seed or 0 for sample in planned)
    if seed < 0 or last >= SEED_END:
        most = SEED_END - 1 - (last - seed)
        raise UsageError(f"--seed {seed} is not possible", "", f"give a number from 0 to {most}")
    return planned


def require_counts(limit: int | None, per_prompt: int | None) -> None:
    """Refuse numbers of prompts or samples that leave nothing, or use the next prompt's seeds.

    Raises:
        UsageError: such a number.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}", "", "give 1 or more")
    if per_prompt is not None and not 1 <= per_prompt <= SEED_STRIDE:
        raise UsageError(f"--samples {per_prompt}", "", f"give a number from 1 to {SEED_STRIDE}")


def from_videos(
    source: Path,
    suite: Suite | None,
    dimensions: Sequence[str],
    limit: int | None,
    per_prompt: int | None,
) -> Planned:
    """The samples behind ``--videos``: a folder, one video, or a manifest.

    With a suite, its prompts decide which dimensions judge a video and which videos are missing;
    without one, every video is judged on everything, in 2 s clips.

    Raises:
        UsageError: nothing there to judge, or a manifest that cannot be read.
    """
    if suite is not None:
        return _match(list_suite_videos(source), suite, dimensions, limit, per_prompt)
    found = list_videos(source)
    problems = _duplicates(found)
    prompts = list(dict.fromkeys(sample.prompt for sample in found))[:limit]
    kept = [
        replace(sample, dimensions=tuple(dimensions))
        for sample in found
        if sample.prompt in prompts and (per_prompt is None or sample.index < per_prompt)
    ]
    return Planned(tuple(kept), problems)


def file_name(prompt: str, index: int) -> str:
    """A safe file name for any prompt: readable start, twelve hex digits, index."""
    slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:80].strip("-")
    mark = hashlib.sha256(prompt.encode()).hexdigest()[:12]
    return f"{slug}-{mark}-{index}.mp4" if slug else f"{mark}-{index}.mp4"


def _duplicates(found: Sequence[Sample]) -> dict[str, Problem]:
    """Videos that claim the same sample: none of them can be trusted to be it."""
    claims: dict[tuple[str, int], list[str]] = {}
    for sample in found:
        claims.setdefault((sample.prompt, sample.index), []).append(sample.video)
    problems: dict[str, Problem] = {}
    for (_, index), videos in claims.items():
        if len(videos) > 1:
            names = ", ".join(videos)
            error = f"{len(videos)} videos claim sample {index} of a prompt ({names}); keep one"
            problems |= {video: Problem(Status.FAILED, error) for video in videos}
    return problems


def _match(
    found: Sequence[Sample],
    suite: Suite,
    dimensions: Sequence[str],
    limit: int | None,
    per_prompt: int | None,
) -> Planned:
    """Give every sample of the suite its video, or say that it is missing."""
    by_sample: dict[tuple[str, int], list[Sample]] = {}
    for sample in found:
        by_sample.setdefault((sample.prompt, sample.index), []).append(sample)
    planned: list[Sample] = []
    problems: dict[str, Problem] = {}
    for sample in from_suite(suite, dimensions, limit, per_prompt, 0):
        videos = by_sample.get((sample.prompt, sample.index), [])
        if not videos:
            problems[sample.video] = Problem(
                Status.MISSING, "no video for this sample of the suite"
            )
            planned.append(replace(sample, seed=None, path=""))
            continue
        shares = _by_folder(videos, sample.dimensions)
        if not shares:
            problems |= _duplicates(videos)
        for video in videos:
            share = shares.get(video.video, ()) if shares else sample.dimensions
            if share:
                planned.append(
                    replace(
                        sample, video=video.video, path=video.path, seed=video.seed,
                        dimensions=share, auxiliary={**video.auxiliary, **sample.auxiliary},
                    )
                )  # fmt: skip
    # Where fewer are asked for on purpose, the others are no surprise.
    asked = {p.text: max(per_prompt or 0, suite.samples(p)) for p in suite.prompts}
    extra = tuple(s.video for s in found if s.index >= asked.get(s.prompt, 0))
    return Planned(tuple(planned), problems, extra)


def _by_folder(
    videos: Sequence[Sample], dimensions: Sequence[str]
) -> Mapping[str, tuple[str, ...]]:
    """What each of a sample's videos is judged on, if they lie in folders named like dimensions.

    Returns:
        Video -> dimensions; nothing if it is not clear which video a dimension is about.
    """
    folders = {Path(video.video).parent.name: video.video for video in videos}
    if len(folders) < len(videos):
        return {}
    shares: dict[str, tuple[str, ...]] = {}
    if len(videos) == 1:
        return {videos[0].video: tuple(dimensions)}
    for name in dimensions:
        video = folders.get(name) or folders.get(FOLDERS.get(name, ""))
        if video is None:
            return {}
        shares[video] = (*shares.get(video, ()), name)
    return shares
