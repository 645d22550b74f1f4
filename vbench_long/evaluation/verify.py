"""Recompute what a run claims: its tables, values, ranges, files and completeness."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from vbench_long.dimensions import DIMENSIONS
from vbench_long.errors import RunError, VideoError
from vbench_long.evaluation.runner import video_value
from vbench_long.leaderboard.scores import SCALES, illegal
from vbench_long.leaderboard.tables import scores_csv, videos_csv
from vbench_long.records import Record, Status
from vbench_long.store import Run, load_run, run_faults
from vbench_long.video import file_sha256


def verify(folder: Path) -> list[str]:
    """What is wrong with a run; nothing if every number in it follows from its records.

    Checked: the database's own integrity, `run.json` against its protocol id, counts, every
    value against its clips and its legal range, video files against their sha256, the two tables
    byte for byte, and that every planned (video, dimension) has a record. The scores themselves
    are not computed again from pixels.

    Raises:
        RunError: the folder is no run, or so damaged that it cannot be read.
    """
    path = folder / "records.sqlite"
    run = load_run(folder)
    with run_faults(path):
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        answer = [row[0] for row in database.execute("PRAGMA integrity_check")]
        database.close()
    problems = [] if answer == ["ok"] else [f"records.sqlite: {line}" for line in answer]
    problems += _completeness(run)
    for record in run.records:
        problems += [f"{record.video}, {record.dimension}: {text}" for text in _record(run, record)]
    problems += _files(run)
    for name, table in (("scores.csv", scores_csv), ("videos.csv", videos_csv)):
        file = folder / name
        try:
            text = table(run)
        except RunError as error:
            problems.append(f"{name} cannot be recomputed: {error}")
            continue
        if not file.exists():
            problems.append(f"{name} is missing; run the evaluate command again")
        elif file.read_bytes() != text.encode():
            problems.append(f"{name} is not what the records say; run the evaluate command again")
    return problems


def _completeness(run: Run) -> Iterator[str]:
    if run.manifest.status != "complete":
        yield f"the run is {run.manifest.status}; its command goes on where it stopped"
    stored = {(record.video, record.dimension) for record in run.records}
    planned = {(s.video, name) for s in run.samples for name in s.dimensions}
    if lacking := planned - stored:
        example = min(lacking)
        yield f"{len(lacking)} planned records are not there, {' '.join(example)} among them"
    if foreign := stored - planned:
        yield f"{len(foreign)} records were never planned, {' '.join(min(foreign))} among them"
    counts = Counter(record.status.value for record in run.records)
    if dict(counts) != dict(run.manifest.counts):
        yield f"run.json counts {dict(run.manifest.counts)}, the records are {dict(counts)}"


def _record(run: Run, record: Record) -> Iterator[str]:
    if record.environment not in run.environments:
        yield f"its environment {record.environment or '(none)'} is not stored"
    claimed = run.manifest.protocol["dimensions"].get(record.dimension, record.identity)
    if f"{record.identity}/".removeprefix(f"{claimed}/") == f"{record.identity}/":
        yield f"computed by {record.identity}, the protocol says {claimed}"
    if record.status is not Status.OK:
        if not record.error:
            yield "has no score and no reason"
        return
    clips = record.parts.get("clips", [])
    scenes: dict[int, list[float | None]] = {}
    for clip in clips:
        scenes.setdefault(clip["scene"], []).append(clip["value"])
    value = video_value(list(scenes.values()))
    if value != record.value:
        yield f"its value {record.value} is not the mean {value} of its clips"
    if what := illegal(record, run.manifest.protocol):
        yield what
    elif record.dimension not in SCALES and record.dimension in DIMENSIONS:
        low, high = DIMENSIONS.get(record.dimension).bounds
        tied = not run.manifest.protocol.get("untrained")  # made-up weights keep no range
        if tied and any(not low <= v <= high for v in record.clip_values()):
            yield f"a clip lies outside the legal range {low}..{high}"


def _files(run: Run) -> Iterator[str]:
    judged: dict[str, set[str]] = {}
    for record in run.records:
        if record.sha256:
            judged.setdefault(record.video, set()).add(record.sha256)
    for sample in run.samples:
        hashes = judged.get(sample.video, set())
        if len(hashes) > 1:
            yield f"{sample.video}: its records speak of {len(hashes)} different files"
        path = run.folder / sample.path
        if not hashes or not path.exists():
            continue
        try:
            if file_sha256(path) not in hashes:
                yield f"{sample.video}: the file has changed since it was judged"
        except VideoError as error:
            yield str(error)
