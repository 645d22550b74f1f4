"""A run as VBench's own result files and submission zip, named and built as VBench-Long does."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePath
from statistics import fmean
from typing import Any, Final

from vbench_long.errors import RunError, UsageError
from vbench_long.leaderboard.interchange.archive import PROVENANCE, RESULTS, full_info_name
from vbench_long.leaderboard.interchange.listing import NO_VIDEOS
from vbench_long.leaderboard.interchange.submission import (
    BRANCHES,
    EXTRAS,
    FILTERED,
    FUSED,
    PERCENT,
    VERDICTS,
    clip_name,
    parts_of,
)
from vbench_long.leaderboard.scores import (
    MOST_STILL_CLIPS,
    SCALES,
    DimensionScore,
    dimension_scores,
    in_order,
    results,
)
from vbench_long.prompts import prompt_of
from vbench_long.records import Record, Sample, Status
from vbench_long.store import Run

ZIP: Final = "eval_results.zip"
"""What is uploaded."""

_CLIPS: Final = "videos/split_clip"
_STILL: Final = f"videos/temporal_filtered_cilps/filtered_videos/{FILTERED}"
_LONGEST_NAME: Final = 200  # bytes; a clip's number and suffix come behind it, and 255 is the limit
_NO_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff/\\]")
_ENTRY = ("video_path", "video_results")


def submission_files(run: Run) -> dict[str, bytes]:
    """A run as files by name: results, full info, provenance, and the zip of the three.

    Equal runs give equal bytes. Dimensions without a score are left out: the published reader
    takes what is absent for 0, and a score of nothing for 0 too.

    The published names and structure are kept, with three differences. The time in the names has
    no colons, which Windows forbids. A video's name is not cut at its first underscore. A video
    of a single clip is called ``_000`` even where the published program says ``_full``, because
    records do not hold the frame rate that decides.

    Raises:
        UsageError: untrained weights, or no official dimension with a score.
    """
    if run.manifest.protocol.get("untrained"):
        raise UsageError(
            "a run with untrained weights has nothing to submit",
            str(run.folder),
            "evaluate again with published weights",
        )
    scores = {s.dimension: s for s in dimension_scores(run) if s.dimension in SCALES}
    if all(score.score is None for score in scores.values()):
        raise UsageError("no official dimension has a score", str(run.folder))
    stems = video_stems(run.samples)
    time = _time(run)
    name = f"results_{time:%Y-%m-%d-%H-%M-%S}{RESULTS}"
    files = {
        name: _text(results_content(run, scores, stems)),
        full_info_name(name): _text(list(_full_info(run, stems))),
    }
    if provenance := _provenance(run, stems):
        files[PROVENANCE] = (json.dumps(provenance) + "\n").encode()
    return {**files, ZIP: _zip(files, time)}


def results_content(
    run: Run, scores: Mapping[str, DimensionScore], stems: Mapping[str, str]
) -> dict[str, list[Any]]:
    """The content of the results file: per dimension overall, clips, and groups of clips."""
    records: dict[str, list[Record]] = {}
    for record in run.records:
        if record.status is Status.OK:
            records.setdefault(record.dimension, []).append(record)
    filtered = run.manifest.protocol.get("static_filter")
    said = run.manifest.model.get("overall_in_files", {})
    content: dict[str, list[Any]] = {}
    for name, score in scores.items():
        overall, found = said.get(name, score.score), records.get(name, [])
        if [record.video for record in found] == [NO_VIDEOS]:
            content[name] = [overall]
            continue
        if filtered and name == "temporal_flickering":
            rows = [row for r, most in _still(run, found) for row in _rows(r, stems[r.video], most)]
        else:
            rows = [row for r in found for row in _rows(r, stems[r.video])]
        if name in FUSED and not any(row.get(BRANCHES[1]) for row in rows):
            rows = [{key: row[key] for key in _ENTRY} for row in rows]
        whole = any(not clip_name(row["video_path"])[2] for row in rows)
        lists = [rows] if name in FUSED or whole else [rows, _groups(rows)]
        if rows:
            content[name] = [overall, *lists]
    return content


def video_stems(samples: Sequence[Sample]) -> dict[str, str]:
    """Per video the name VBench would know it by, without suffix: ``{prompt}-{index}``.

    The video's own name if it says so, too; a short one with a mark where the prompt cannot be
    part of a file name.
    """
    stems: dict[str, str] = {}
    taken: dict[tuple[str, int], str] = {}  # videos that claim one sample have no scores
    for sample in samples:
        own = PurePath(sample.video).stem
        official = f"{sample.prompt}-{sample.index}"
        if own == sample.video.rpartition(".")[0] and _says(own, sample):
            stem = own
        elif _says(official, sample):
            stem = official
        else:
            slug = re.sub(r"[^a-z0-9]+", "-", sample.prompt.lower()).strip("-")[:80]
            mark = hashlib.sha256(sample.video.encode()).hexdigest()[:12]
            stem = f"{slug}-{mark}-{sample.index}".lstrip("-")
        stems[sample.video] = taken.setdefault((sample.prompt, sample.index), stem)
    return stems


def _says(stem: str, sample: Sample) -> bool:
    """Whether a name is a legal one that tells the sample's prompt and index, and no scene."""
    return (
        prompt_of(stem) == (sample.prompt, sample.index)
        and not _NO_NAME.search(stem)
        and len(stem.encode()) <= _LONGEST_NAME
        and clip_name(f"{stem}_000.mp4") == (stem, 0, "000")
    )


# --- clips -----------------------------------------------------------------------------------


def _still(run: Run, records: Sequence[Record]) -> Iterator[tuple[Record, int]]:
    """How many clips of each record the static filter kept: at most five of a prompt in all.

    Videos are looked at in the order of their names, as where scores are averaged.
    """
    prompts = {sample.video: sample.prompt for sample in run.samples}
    room = dict.fromkeys(prompts.values(), MOST_STILL_CLIPS)
    for record in sorted(records, key=lambda record: record.video):
        count = min(len(record.clip_values()), room[prompts[record.video]])
        room[prompts[record.video]] -= count
        yield record, count


def _rows(record: Record, stem: str, most: int | None = None) -> list[dict[str, Any]]:
    """The entries of one video's clips; the first `most` behind the static filter."""
    name = record.dimension
    unit = 100 if name == PERCENT else 1
    rows = []
    for clip, path in _placed(record, stem, most is not None):
        if clip["value"] is None:
            continue
        value = bool(clip["value"]) if name in VERDICTS else clip["value"] * unit
        extras = {key: clip[key] for key in EXTRAS.get(name, ()) if key in clip}
        if name in FUSED and extras.get(BRANCHES[1], 0) is None:
            extras |= {BRANCHES[1]: 0, BRANCHES[2]: 0.0}
        result = {"video_results": value}
        rows.append({"video_path": path, **(extras | result if name in FUSED else result | extras)})
    return rows[:most]


def _placed(record: Record, stem: str, still: bool) -> Iterator[tuple[Mapping[str, Any], str]]:
    """A record's clips, each with the path under which VBench-Long would have judged it."""
    clips = record.parts.get("clips", ())
    scenes = {clip["scene"] for clip in clips}
    count: Counter[int] = Counter()
    for clip in clips:
        video = f"{stem}-Scene-{clip['scene']}" if len(scenes) > 1 else stem
        name = f"{video}_{count[clip['scene']]:03d}.mp4"
        count[clip["scene"]] += 1
        path = f"{_STILL}/{name}" if still else f"{_CLIPS}/{video}/{name}"
        if record.dimension in FUSED:  # the name of the video joins the two branches there
            path += f"/{video}.mp4"
        yield clip, clip.get("video_path", path)


def _groups(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the published program takes for videos: each clip alone, unless it was filtered."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        path = row["video_path"]
        *folders, file = parts_of(path)
        _, _, clip = clip_name(path)
        video = file.rpartition(".")[0].removesuffix(f"_{clip}") + ".mp4"
        still = FILTERED in folders
        group = path[: path.rindex(FILTERED)] + video if still else f"{path}/{video}"
        groups.setdefault(group, []).append(row["video_results"])
    return [{"video_path": path, "video_results": fmean(all_)} for path, all_ in groups.items()]


# --- prompts ---------------------------------------------------------------------------------


def _full_info(run: Run, stems: Mapping[str, str]) -> list[dict[str, Any]]:
    """The prompts of a suite with their clips; without a suite, one entry per video.

    A video that was never cut is listed with the name its first clip would have, so that a
    reader sees that it was planned.
    """
    clips: dict[str, list[str]] = {}
    for record in run.records:
        if record.video not in clips and record.parts.get("clips"):
            plain = replace(record, dimension="")
            clips[record.video] = [
                _clip_of(path) for _, path in _placed(plain, stems[record.video], still=False)
            ]
    by_prompt = bool(run.manifest.suite) or run.manifest.model.get("mode") == "standard"
    entries: dict[str, dict[str, Any]] = {}
    for sample in run.samples:
        if sample.video == NO_VIDEOS:
            continue
        stem = stems[sample.video]
        named = not by_prompt and prompt_of(stem) == (sample.prompt, sample.index)
        prompt = stem if named else sample.prompt
        entry = entries.setdefault(
            prompt if by_prompt else stem,
            {"prompt_en": prompt, "dimension": [], "video_list": []},
        )
        entry["dimension"] = in_order([*entry["dimension"], *sample.dimensions])
        listed = clips.get(sample.video, [f"{_CLIPS}/{stem}/{stem}_000.mp4"])
        entry["video_list"] += [path for path in listed if path not in entry["video_list"]]
        if sample.auxiliary:
            entry["auxiliary_info"] = dict(sample.auxiliary)
    return list(entries.values())


def _clip_of(path: str) -> str:
    """The clip's own path, where a fused dimension names the video behind it."""
    folder, _, _ = path.rpartition("/")
    return folder if folder.endswith(".mp4") else path


# --- files -----------------------------------------------------------------------------------


def _provenance(run: Run, stems: Mapping[str, str]) -> dict[str, Any] | None:
    """What made the numbers, and what has none; None where nobody knows, as behind imports."""
    protocol = run.manifest.protocol
    imported = protocol.get("origin") == "imported"
    made_under = run.manifest.model.get("claims") if imported else dict(protocol)
    if not made_under:
        return None
    without: dict[str, list[str]] = {}
    for sample, record in results(run):
        if record.status in (Status.FAILED, Status.MISSING):
            without.setdefault(record.dimension, []).append(stems[sample.video])
    return {
        "made_by": "vbench-long",
        "name": run.manifest.name,
        "protocol": made_under,
        "made_in": [] if imported else list(run.environments.values()),
        "without_score": without,
    }


def _time(run: Run) -> datetime:
    try:
        return datetime.fromisoformat(run.manifest.updated)
    except ValueError:
        raise RunError("run.json says no time", str(run.folder), "evaluate again") from None


def _text(content: Any) -> bytes:
    return (json.dumps(content, indent=4, allow_nan=False) + "\n").encode()


def _zip(files: Mapping[str, bytes], time: datetime) -> bytes:
    """The files at the top of a zip whose bytes depend on nothing else."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, time.timetuple()[:6])
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()
