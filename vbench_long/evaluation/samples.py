"""What a run judges: samples found in a folder, listed in a manifest, or planned from a suite."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vbench_long.errors import UsageError
from vbench_long.prompts import Prompt, Suite, prompt_of
from vbench_long.records import Sample, Status
from vbench_long.video import VIDEO_SUFFIXES, is_image_folder

LOG = logging.getLogger("vbench_long")
MANIFEST_COLUMNS = ("path", "prompt", "index", "seed")
SEED_STRIDE = 100_000


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a planned sample cannot be judged at all."""

    status: Status
    error: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The samples of a run, and those of them that are known to have no video."""

    samples: tuple[Sample, ...]
    problems: Mapping[str, Problem]


def from_suite(
    suite: Suite, dimensions: Sequence[str], limit: int | None, per_prompt: int | None, seed: int
) -> list[Sample]:
    """The samples a generator has to make for a suite.

    The seed of sample j of prompt i is ``seed + 100000 * i + j``, the benchmark's own rule.
    """
    planned = []
    for position, prompt in enumerate(suite.prompts[:limit]):
        wanted = _wanted(prompt, dimensions)
        if not wanted:
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
    return planned


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
    found = _list(source)
    problems = _duplicates(found)
    if suite is None:
        prompts = list(dict.fromkeys(sample.prompt for sample in found))[:limit]
        kept = [
            replace(sample, dimensions=tuple(dimensions))
            for sample in found
            if sample.prompt in prompts and (per_prompt is None or sample.index < per_prompt)
        ]
        return Planned(tuple(kept), problems)
    return _match(found, suite, dimensions, limit, per_prompt, problems)


def file_name(prompt: str, index: int) -> str:
    """A safe file name for any prompt: readable start, twelve hex digits, index."""
    slug = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")[:80].strip("-")
    mark = hashlib.sha256(prompt.encode()).hexdigest()[:12]
    return f"{slug}-{mark}-{index}.mp4" if slug else f"{mark}-{index}.mp4"


def manifest_csv(samples: Iterable[Sample]) -> str:
    """Samples as a manifest that ``--videos`` reads again, paths beside the manifest."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(MANIFEST_COLUMNS)
    writer.writerows((s.video, s.prompt, s.index, s.seed) for s in samples)
    return out.getvalue()


def _wanted(prompt: Prompt, dimensions: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in dimensions if name in prompt.dimensions)


def _list(source: Path) -> list[Sample]:
    if source.is_file() and source.suffix.lower() in (".csv", ".jsonl"):
        return _read_manifest(source)
    if source.is_file() or is_image_folder(source):
        return [_named(source)]
    if not source.is_dir():
        raise UsageError(
            "there is no such folder, video or manifest", str(source), "check --videos"
        )
    videos: list[Path] = []
    others: list[Path] = []
    for entry in sorted(source.iterdir()):
        if entry.name.startswith("."):
            continue
        is_video = entry.suffix.lower() in VIDEO_SUFFIXES or is_image_folder(entry)
        (videos if is_video else others).append(entry)
    if others:
        names = ", ".join(entry.name for entry in others[:3]) + (", ..." if len(others) > 3 else "")
        LOG.warning(
            "%d entries that are no videos are left out [%s]: %s", len(others), source, names
        )
    if not videos:
        raise UsageError(
            "the folder holds no video", str(source), f"videos end in {', '.join(VIDEO_SUFFIXES)}"
        )
    return [_named(video) for video in videos]


def _named(video: Path) -> Sample:
    prompt, index = prompt_of(video.name if video.is_dir() else video.stem)
    return Sample(video.name, prompt, index, str(video.resolve()))


def _read_manifest(path: Path) -> list[Sample]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the manifest cannot be read ({error})", str(path), "save it as UTF-8"
        ) from error
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _jsonl_rows(path, text)
    samples: list[Sample] = []
    counts: dict[str, int] = {}
    for line, row in rows:
        where = f"{path}, line {line}"
        file, prompt = row.get("path"), row.get("prompt")
        if not isinstance(file, str) or not file or not isinstance(prompt, str) or not prompt:
            raise UsageError("a manifest row needs a path and a prompt", where, "fill both in")
        index = _whole(row.get("index"), "index", where)
        if index is None:
            index = counts.get(prompt, 0)
        if index < 0:
            raise UsageError("a sample index below 0", where, "count samples from 0")
        counts[prompt] = index + 1
        seed = _whole(row.get("seed"), "seed", where)
        video = (path.parent / file).resolve()
        samples.append(Sample(file, prompt, index, str(video), seed))
    if not samples:
        raise UsageError("the manifest lists no video", str(path), "add rows")
    twice = {sample.video for sample in samples}
    if len(twice) < len(samples):
        raise UsageError("the manifest lists a path twice", str(path), "keep one row per video")
    return samples


def _csv_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    if "path" not in columns or "prompt" not in columns:
        raise UsageError(
            "the manifest lacks the columns path and prompt",
            str(path),
            f"the first line names the columns: {','.join(MANIFEST_COLUMNS)}",
        )
    return [(reader.line_num, row) for row in reader]


def _jsonl_rows(path: Path, text: str) -> list[tuple[int, dict[str, Any]]]:
    rows = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UsageError(
                f"not JSON ({error})", f"{path}, line {number}", "one object a line"
            ) from error
        if not isinstance(row, dict):
            raise UsageError("not a JSON object", f"{path}, line {number}", "one object a line")
        rows.append((number, row))
    return rows


def _whole(value: Any, name: str, where: str) -> int | None:
    if value is None or value == "":
        return None
    try:
        if isinstance(value, bool | float):
            raise ValueError
        return int(value)
    except (TypeError, ValueError):
        raise UsageError(
            f"the {name} {value!r} is not a whole number", where, "correct it"
        ) from None


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
    problems: dict[str, Problem],
) -> Planned:
    """Give every sample of the suite its video, or say that it is missing."""
    known = {prompt.text for prompt in suite.prompts}
    by_sample: dict[tuple[str, int], list[Sample]] = {}
    for sample in found:
        by_sample.setdefault((sample.prompt, sample.index), []).append(sample)
    foreign = [sample.video for sample in found if sample.prompt not in known]
    if foreign:
        names = ", ".join(foreign[:3]) + (", ..." if len(foreign) > 3 else "")
        LOG.warning(
            "%d videos belong to no prompt of suite %s: %s", len(foreign), suite.name, names
        )
    planned: list[Sample] = []
    for sample in from_suite(suite, dimensions, limit, per_prompt, 0):
        videos = by_sample.get((sample.prompt, sample.index))
        if videos is None:
            problems[sample.video] = Problem(
                Status.MISSING, "no video for this sample of the suite"
            )
            planned.append(replace(sample, seed=None, path=""))
            continue
        planned += [replace(sample, video=v.video, path=v.path, seed=v.seed) for v in videos]
    absent = [s for s in planned if s.video in problems and not s.path]
    if absent:
        first = f"sample {absent[0].index} of '{absent[0].prompt[:60]}'"
        LOG.warning("%d of %d samples have no video, %s first", len(absent), len(planned), first)
    return Planned(tuple(planned), problems)
