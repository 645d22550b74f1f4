"""The samples and records behind VBench's result files, with what they show to be missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any, Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.interchange.submission import ClipResult, DimensionResult, PromptEntry
from vbench_long.leaderboard.scores import in_order
from vbench_long.leaderboard.text import shorten
from vbench_long.prompts import clip_seconds, prompt_of
from vbench_long.records import Record, Sample, Status

NO_VIDEOS: Final = "no videos listed"
"""The one sample of dimensions whose score is all that the files hold."""

_MOST_SAMPLES: Final = 25  # of one prompt, in the published runs


@dataclass(frozen=True, slots=True)
class Listing:
    """The results of one file, and the prompts behind them.

    Attributes:
        results: by dimension.
        entries: of its full-info file; empty without one.
        file: named in errors.
    """

    results: Mapping[str, DimensionResult]
    entries: Sequence[PromptEntry]
    file: str


@dataclass(frozen=True, slots=True)
class _Video:
    """What the files say of one video apart from its scores.

    Attributes:
        prompt: the text it was made from.
        index: which sample of the prompt.
        dimensions: the dimensions its prompt serves; empty if no file lists it.
        custom: whether it was judged on its own, without a suite.
        auxiliary: the suite's auxiliary information.
    """

    prompt: str
    index: int
    dimensions: tuple[str, ...] = ()
    custom: bool = False
    auxiliary: Mapping[str, Any] = field(default_factory=dict)


def rows(
    listings: Sequence[Listing], lost: Mapping[str, Sequence[str]], environment: str
) -> tuple[list[Sample], list[Record]]:
    """The samples, and a record for all that was measured or listed to be.

    Args:
        listings: one per results file; no dimension is in two of them.
        lost: per dimension videos that are known to have failed or to be missing.
        environment: key of the environment, for the records.

    Raises:
        UsageError: a video belongs to two prompts, or two videos claim one sample.
    """
    videos: dict[str, _Video] = {}
    records: dict[str, dict[str, Record]] = {}
    for listing in listings:
        listed = _listed(listing)
        for stem, video in listed.items():
            known = videos.get(stem, video)
            if (known.prompt, known.index) != (video.prompt, video.index):
                raise UsageError(f"'{stem}' belongs to two prompts", listing.file, "keep one")
            dimensions = tuple(dict.fromkeys(known.dimensions + video.dimensions))
            auxiliary = {**known.auxiliary, **video.auxiliary}
            videos[stem] = replace(video, dimensions=dimensions, auxiliary=auxiliary)
        for dimension, result in listing.results.items():
            measured = _by_video(result)
            planned = [stem for stem, video in listed.items() if dimension in video.dimensions]
            for stem in dict.fromkeys([*([] if result.alone else planned), *measured]):
                videos.setdefault(stem, _Video(*prompt_of(stem)))
                if stem in measured:
                    record = _scored(stem, dimension, measured[stem], result)
                else:
                    known_lost = stem in lost.get(dimension, ())
                    record = _unscored(stem, dimension, result, known_lost)
                record = replace(
                    record, identity=f"{dimension}/imported/1", environment=environment
                )
                records.setdefault(stem, {})[dimension] = record
    _require_distinct(videos)
    samples = [_sample(stem, video, records.get(stem, {})) for stem, video in videos.items()]
    return samples, [records[s][name] for s in records for name in in_order(records[s])]


def _listed(listing: Listing) -> dict[str, _Video]:
    """The videos of a full-info file by name, with those that it shows to be missing."""
    found: dict[str, _Video] = {}
    for entry in listing.entries:
        for stem in (*entry.videos, *_absent(entry)):
            prompt, index = prompt_of(stem)
            # In custom mode the published program takes the name of a video for its prompt.
            custom = stem == entry.prompt
            prompt = prompt if custom else entry.prompt
            video = _Video(prompt, index, entry.dimensions, custom, entry.auxiliary)
            if found.setdefault(stem, video) != video:
                raise UsageError(f"'{stem}' is listed twice", listing.file, "keep one")
    return found


def _absent(entry: PromptEntry) -> list[str]:
    """Videos of a prompt that the published program did not find, as far as the list shows.

    It looks for ``{prompt}-0``, ``{prompt}-1``, ... and lists what there is, so a gap is a
    missing video; how many it looked for behind the last one nobody knows.
    """
    there = {prompt_of(stem)[1] for stem in entry.videos}
    if any(stem != f"{entry.prompt}-{prompt_of(stem)[1]}" for stem in entry.videos):
        return []
    last = min(max(there, default=1), _MOST_SAMPLES)
    return [f"{entry.prompt}-{index}" for index in range(last) if index not in there]


def _by_video(result: DimensionResult) -> dict[str, list[ClipResult]]:
    if result.alone and result.overall is not None:
        return {NO_VIDEOS: [ClipResult(NO_VIDEOS, 0, "", result.overall, "")]}
    videos: dict[str, list[ClipResult]] = {}
    for clip in result.clips:
        videos.setdefault(clip.video, []).append(clip)
    return videos


def _scored(
    stem: str, dimension: str, clips: Sequence[ClipResult], result: DimensionResult
) -> Record:
    scenes: dict[int, list[float]] = {}
    for clip in clips:
        scenes.setdefault(clip.scene, []).append(clip.value)
    value = fmean([fmean(values) for values in scenes.values()])
    parts: dict[str, Any] = {
        "clips": [
            {"scene": c.scene, "value": c.value, "video_path": c.path, **c.extras} for c in clips
        ]
    }
    if result.alone:
        parts["notes"] = ["the files hold the dimension's score only"]
    return Record(_file(stem), dimension, Status.OK, value, parts=parts)


def _unscored(stem: str, dimension: str, result: DimensionResult, known_lost: bool) -> Record:
    """A video that is listed and not among the results."""
    error, status = "it is listed, and the results have no entry for it", Status.MISSING
    if result.filtered and not known_lost:
        error, status = "the static filter kept no clip of it", Status.EXCLUDED
    if dimension == "color" and not known_lost:
        error, status = "its object was seen in no clip", Status.EXCLUDED
    return Record(_file(stem), dimension, status, error=error)


def _sample(stem: str, video: _Video, records: Mapping[str, Record]) -> Sample:
    dimensions = tuple(in_order(records))
    seconds = clip_seconds(() if video.custom else video.dimensions or dimensions)
    return Sample(
        _file(stem),
        video.prompt,
        video.index,
        path="",
        dimensions=dimensions,
        clip_seconds=seconds,
        auxiliary=video.auxiliary,
    )


def _file(stem: str) -> str:
    return stem if stem == NO_VIDEOS else f"{stem}.mp4"


def _require_distinct(videos: Mapping[str, _Video]) -> None:
    claims: dict[tuple[str, int], str] = {}
    for stem, video in videos.items():
        other = claims.setdefault((video.prompt, video.index), stem)
        if other != stem:
            raise UsageError(
                f"two videos claim sample {video.index} of one prompt",
                f"{shorten(other, 80)}, {shorten(stem, 80)}",
                "keep one",
            )
