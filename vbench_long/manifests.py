"""Videos and their prompts: read from a folder's file names or a manifest, written to one."""

from __future__ import annotations

import csv
import io
import json
import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vbench_long.errors import UsageError
from vbench_long.prompts import known_dimensions, prompt_of
from vbench_long.prompts.auxiliary import (
    AUXILIARY_COLUMNS,
    auxiliary_in_words,
    check_auxiliary,
)
from vbench_long.records import Sample
from vbench_long.video import VIDEO_SUFFIXES, is_image_folder

LOG = logging.getLogger("vbench_long")
GENERATION = "generation.json"
"""In a folder of generated videos: how they were made."""
MANIFEST = "manifest.csv"
"""Beside it: which file is which sample."""
MANIFEST_COLUMNS = ("path", "prompt", "index", "seed")


def manifest_csv(samples: Iterable[Sample]) -> str:
    """Samples as a manifest that ``--videos`` reads again, paths beside the manifest."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(MANIFEST_COLUMNS)
    writer.writerows((s.video, s.prompt, s.index, s.seed) for s in samples)
    return out.getvalue()


def list_videos(source: Path) -> list[Sample]:
    """The videos of a folder, a manifest (.csv, .jsonl), or one video, with their prompts.

    A folder that `generate` filled has a manifest, which is read; elsewhere the names of files are
    prompts, ``{prompt}-{i}.mp4``. Whether the files of a manifest exist is not looked at.

    Raises:
        UsageError: no video there, or a manifest that cannot be read.
    """
    if (source / GENERATION).is_file():
        source = source / MANIFEST
    if source.is_file() and source.suffix.lower() in (".csv", ".jsonl"):
        return _read_manifest(source)
    if source.is_file() or is_image_folder(source):
        return [_named(source)]
    if not source.is_dir():
        raise UsageError(
            "there is no such folder, video or manifest", str(source), "check --videos"
        )
    return _in_folder(source)


def list_suite_videos(source: Path) -> list[Sample]:
    """The videos of `source` as `list_videos` has them, also where they lie by dimension.

    The official script wants a folder for every dimension, or for the few that share their
    prompts: ``scene/{prompt}-{i}.mp4``. Such videos keep their folder in their name.

    Raises:
        UsageError: no video there, or a manifest that cannot be read.
    """
    if not source.is_dir() or (source / GENERATION).is_file():
        return list_videos(source)
    folders = [source / name for name in known_dimensions() if _holds_videos(source / name)]
    if not folders:
        return list_videos(source)
    found = _in_folder(source, folders) if _holds_videos(source) else []
    for folder in folders:
        found += [replace(s, video=f"{folder.name}/{s.video}") for s in _in_folder(folder)]
    return found


def _holds_videos(folder: Path) -> bool:
    return folder.is_dir() and any(_is_video(entry) for entry in folder.iterdir())


def _is_video(entry: Path) -> bool:
    return entry.suffix.lower() in VIDEO_SUFFIXES or is_image_folder(entry)


def _in_folder(source: Path, known: Collection[Path] = ()) -> list[Sample]:
    """The videos of a folder; entries that are neither videos nor `known` are named."""
    videos: list[Path] = []
    others: list[Path] = []
    for entry in sorted(source.iterdir()):
        if not entry.name.startswith(".") and entry not in known:
            (videos if _is_video(entry) else others).append(entry)
    if others:
        names = ", ".join(entry.name for entry in others[:3]) + (", ..." if len(others) > 3 else "")
        LOG.warning(
            "%d entries that are no videos are left out [%s]: %s", len(others), source, names
        )
    if not videos:
        fix = f"videos end in {', '.join(VIDEO_SUFFIXES)}"
        if any(entry.name in known_dimensions() for entry in others):
            fix = "folders named like dimensions are read with a --suite"
        raise UsageError("the folder holds no video", str(source), fix)
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
        auxiliary = _auxiliary(row, where)
        samples.append(Sample(file, prompt, index, str(video), seed, auxiliary=auxiliary))
    if not samples:
        raise UsageError("the manifest lists no video", str(path), "add rows")
    twice = {sample.video for sample in samples}
    if len(twice) < len(samples):
        raise UsageError("the manifest lists a path twice", str(path), "keep one row per video")
    return samples


def _auxiliary(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """What a row says of its prompt besides the text: in columns, in VBench's form, or both."""
    told = check_auxiliary(row.get("auxiliary_info") or {}, None, where)
    for name in AUXILIARY_COLUMNS:
        if words := row.get(name):
            if name in told:
                raise UsageError(f"{name} is told twice", where, "keep the column or the other")
            told = told | {name: auxiliary_in_words(name, words, where)}
    return told


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
