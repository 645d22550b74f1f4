"""One run for the report, in columns: every video's scores, the worst ones, and what has none."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vbench_long.leaderboard.report.media import Footage, Media, addresses, present, take
from vbench_long.leaderboard.scores import in_order, results
from vbench_long.records import Record, Status
from vbench_long.store import Run

LOG = logging.getLogger("vbench_long")

STATUSES: Final = tuple(status.value for status in Status)

WORST: Final = 4
"""Lowest videos shown for each run and dimension."""

MOST_POSTERS: Final = 240
"""Posters in one report; with more runs and dimensions each shows fewer, at least one."""


@dataclass(slots=True)
class Table:
    """Texts, each kept once and referred to by its place."""

    texts: list[str] = field(default_factory=list)
    _places: dict[str, int] = field(default_factory=dict)

    def place(self, text: str) -> int:
        """The text's place; a new one is added."""
        if text not in self._places:
            self._places[text] = len(self.texts)
            self.texts.append(text)
        return self._places[text]


def short(value: float) -> float:
    """Six significant digits: more than any table shows, and a third of the characters."""
    return float(f"{value:.6g}")


def run_details(
    run: Run, folder: Path, media: Media, count: int, texts: Table, posters: Table
) -> dict[str, Any]:
    """A run as JSON types, in columns.

    Args:
        run: the run.
        folder: where the report will lie.
        media: whether it shows videos.
        count: worst videos per dimension.
        texts: filled with prompts, names and reasons; the result refers to their places.
        posters: filled with pictures as `data:` addresses.

    Returns:
        `prompts`, `videos` and `indices` of the samples; `values`: per dimension the places of the
        samples that have a score, null if all have, and the scores; `problems`: for what has no
        score, [sample, dimension, place in `STATUSES`, reason]; `worst`: per dimension its lowest
        videos; with media also `base` and `links`: where the samples' videos lie.
    """
    number = {sample.video: i for i, sample in enumerate(run.samples)}
    values: dict[str, dict[int, float]] = {}
    problems: list[list[Any]] = []
    for sample, record in results(run):
        column = values.setdefault(record.dimension, {})
        if record.value is not None:
            column[number[sample.video]] = short(record.value)
        else:
            status = STATUSES.index(record.status.value)
            reason = texts.place(record.error or "no reason recorded")
            problems.append([number[sample.video], record.dimension, status, reason])
    worst = worst_records(run, count)
    found: dict[str, Any] = {
        "prompts": [texts.place(sample.prompt) for sample in run.samples],
        "indices": [sample.index for sample in run.samples],
        "videos": [texts.place(sample.video) for sample in run.samples],
        "values": {
            name: {
                "samples": list(values[name]) if len(values[name]) < len(number) else None,
                "scores": list(values[name].values()),
            }
            for name in in_order(values)
        },
        "problems": problems,
    }
    seen: dict[str, Footage] = {}
    if media == "linked":
        base, rest = addresses(run, folder)
        found["base"] = base
        found["links"] = [None if path is None else texts.place(path) for path in rest]
        seen = _film(run, worst)
    found["worst"] = {
        name: [{"sample": number[r.video]} | _card(r, seen.get(r.video), posters) for r in records]
        for name, records in worst.items()
    }
    return found


def worst_records(run: Run, count: int) -> dict[str, list[Record]]:
    """Per dimension the `count` lowest videos, the lowest first; equal ones in the run's order."""
    known: dict[str, list[Record]] = {}
    for _, record in results(run):
        if record.value is not None:
            known.setdefault(record.dimension, []).append(record)
    return {
        name: sorted(known[name], key=lambda record: record.value or 0.0)[:count]
        for name in in_order(known)
    }


def _film(run: Run, worst: Mapping[str, Sequence[Record]]) -> dict[str, Footage]:
    """Posters of the worst videos, where their files are: one decode for each video."""
    frames: dict[str, set[int]] = {}
    judged: dict[str, str] = {}
    for record in (record for records in worst.values() for record in records):
        frames.setdefault(record.video, set()).add(_first_frame(record))
        judged[record.video] = record.sha256
    paths = {sample.video: run.folder / sample.path for sample in run.samples}
    there = [video for video in frames if present(paths[video])]
    if there:
        LOG.info("frames of the %d lowest videos of %s", len(there), run.manifest.name)
    return {video: take(paths[video], judged[video], frames[video]) for video in there}


def _card(record: Record, footage: Footage | None, posters: Table) -> dict[str, Any]:
    """One of the worst videos: its score, its lowest clip in seconds, a frame of it, a note."""
    clip = _lowest_clip(record)
    picture = footage and footage.posters.get(_first_frame(record))
    return {
        "value": short(record.value or 0.0),
        "span": [round(float(clip[end] / footage.rate), 3) for end in ("start", "stop")]
        if clip and footage and footage.rate
        else None,
        "poster": posters.place(picture) if picture else None,
        "note": footage.note if footage else "",
    }


def _lowest_clip(record: Record) -> Mapping[str, Any] | None:
    """The clip that pulls a video down most; None where nobody recorded where the clips are."""
    clips = [c for c in record.parts.get("clips", ()) if c["value"] is not None and "start" in c]
    return min(clips, key=lambda clip: clip["value"], default=None)


def _first_frame(record: Record) -> int:
    """Where the lowest clip begins."""
    clip = _lowest_clip(record)
    return clip["start"] if clip else 0


def posters_each(runs: Sequence[Run]) -> int:
    """How many worst videos of each run and dimension get a poster."""
    cells = sum(len({record.dimension for record in run.records}) for run in runs)
    return max(1, min(WORST, MOST_POSTERS // max(1, cells)))


def facts(run: Run) -> list[tuple[str, str]]:
    """Where a run's numbers come from, leaf by leaf: (path, value as text), the protocol first."""
    manifest = run.manifest
    about = {
        "protocol id": manifest.protocol_id,
        "command": manifest.command,
        "created": manifest.created,
        "updated": manifest.updated,
        "status": manifest.status,
    }
    said: dict[str, set[str]] = {}
    for key in sorted(run.environments):
        for path, text in _leaves(run.environments[key], "environment"):
            said.setdefault(path, set()).add(text)
    return [
        *_leaves(manifest.protocol, "protocol"),
        *_leaves(manifest.suite, "suite"),
        *_leaves(manifest.model, "model"),
        *((path, " and ".join(sorted(texts))) for path, texts in said.items()),
        *_leaves(about, "run"),
    ]


def _leaves(value: Any, path: str) -> Iterable[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}")
    else:
        empty = value is None or value in ("", {}, [], ())
        yield path, "none" if empty else str(value)
