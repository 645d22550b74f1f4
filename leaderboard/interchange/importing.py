"""A run made of VBench's own result files: what they say, and what nobody knows any more."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.interchange.archive import (
    FULL_INFO,
    PROVENANCE,
    ResultFile,
    full_info_name,
    is_shallow,
    read_files,
)
from vbench_long.leaderboard.interchange.listing import Listing, rows
from vbench_long.leaderboard.interchange.submission import (
    BRANCHES,
    FUSED,
    TOLERANCE,
    ClipResult,
    DimensionResult,
    parse_full_info,
    parse_results,
)
from vbench_long.leaderboard.scores import dimension_scores, in_order
from vbench_long.leaderboard.tables import scores_csv, videos_csv
from vbench_long.provenance import command_line, environment, now
from vbench_long.records import Manifest, Record, Sample, digest
from vbench_long.store import Run, Store, load_run, run_faults, write_atomically

LOG = logging.getLogger("vbench_long")

_UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Imported:
    """Result files as a run that is not stored yet."""

    manifest: Manifest
    samples: tuple[Sample, ...]
    records: tuple[Record, ...]
    environment: Mapping[str, Any]


def import_run(source: Path, output: Path, name: str = "") -> Run:
    """Turn official results into a run that tables, comparisons and checks accept.

    Its protocol says what the files tell (see `protocol_of`), "unknown" for the rest, and
    "imported" as its origin, so that it never equals the protocol of a run judged here.

    Args:
        source: a zip, a folder, or one results file.
        output: folder of the new run.
        name: the model's name in tables; if empty, what an export of this package says,
            or the source's name.

    Raises:
        UsageError: the files are broken, hostile or contradict themselves, or `output` holds a
            run; nothing is written then.
        EnvironmentFault: the folder cannot be written.
    """
    found = read_results(source, name)
    key = found.manifest.environment
    if (output / "run.json").exists():
        raise UsageError("the folder holds a run already", str(output), "choose another --output")
    with Store(output) as store:
        store.write_manifest(replace(found.manifest, status="running"))
        store.put_environment(key, found.environment)
        store.put_samples(found.samples)
        store.put(found.records)
        store.write_manifest(found.manifest)
    run = load_run(output)
    with run_faults(output):
        write_atomically(output / "scores.csv", scores_csv(run))
        write_atomically(output / "videos.csv", videos_csv(run))
    return run


def read_results(source: Path, name: str = "") -> Imported:
    """Read official results without storing them.

    Raises:
        UsageError: see `import_run`.
    """
    files = read_files(source)
    contents = {file.name: file for file in files}
    claims = _claims(contents.pop(PROVENANCE, None))
    results: dict[str, DimensionResult] = {}
    said_in: dict[str, str] = {}
    listings: list[Listing] = []
    for file in contents.values():
        if file.name.endswith(FULL_INFO):
            continue
        found = parse_results(file.content, file.name)
        if twice := next((name for name in found if name in results), None):
            raise UsageError(
                f"{twice} has results in two files",
                f"{said_in[twice]}, {file.name}",
                "keep the file whose result counts",
            )
        results |= found
        said_in |= dict.fromkeys(found, file.name)
        partner = contents.get(full_info_name(file.name))
        entries = parse_full_info(partner.content, partner.name) if partner else []
        listings.append(Listing(found, entries, partner.name if partner else file.name))
    if all(result.overall is None for result in results.values()):
        raise UsageError("the files hold no score", str(source), "see what VBench printed")
    facts = {
        "imported": {file.name: file.sha256 for file in files},
        "computed_in": _UNKNOWN,
        "imported_in": environment(),
    }
    samples, records = rows(listings, claims.without_score, digest(facts))
    manifest = Manifest(
        name=name or claims.name or source.resolve().stem,
        model={
            "imported": source.name,
            "mode": _mode(listings),
            "claims": dict(claims.protocol),
        },
        protocol=protocol_of(results, claims.protocol),
        suite={},
        dimensions=tuple(in_order(results)),
        status="complete",
        command=command_line(),
        environment=digest(facts),
        counts=dict(Counter(record.status.value for record in records)),
        created=now(),
        updated=now(),
    )
    return _compared(Imported(manifest, tuple(samples), tuple(records), facts), results)


def protocol_of(
    results: Mapping[str, DimensionResult], claims: Mapping[str, Any]
) -> dict[str, Any]:
    """What result files tell of how they were made; "unknown" or None where they say nothing.

    The program is told by the names of clips, scenes by ``-Scene-`` in them, the static filter by
    the folder of still clips, the weights of both branches by the numbers. The published program
    puts every clip through a lossy encode and judges with its networks, so backend and clips are
    "reference" unless `claims`, which an export of this package adds, say otherwise.
    """
    clips = [clip for result in results.values() for clip in result.clips]
    flickering = results.get("temporal_flickering")
    whole = any(result.whole_videos for result in results.values())
    program = "VBench" if whole else "VBench-Long" if clips else _UNKNOWN
    return {
        "origin": "imported",
        "program": "vbench-long" if claims else program,
        "backend": claims.get("backend", "reference"),
        "clips": claims.get("clips", "exact" if whole else "reference"),
        "scenes": "threshold unknown" if any("-Scene-" in clip.path for clip in clips) else None,
        "static_filter": flickering.filtered if flickering and flickering.clips else None,
        "branches": _branches(results),
        "untrained": bool(claims.get("untrained")),
        **dict.fromkeys(("suite", "precision", "weights", "versions"), _UNKNOWN),
        "dimensions": {},
        "claims": digest(claims) if claims else None,
    }


def _branches(results: Mapping[str, DimensionResult]) -> str | None:
    """How the fused dimensions weigh their two branches, as far as the numbers tell."""
    rows = [clip for name in FUSED if name in results for clip in results[name].clips]
    rows = [clip for clip in rows if clip.extras.get(BRANCHES[2])]
    if not rows:
        return None
    for slow in (0.5, 1.0):
        if all(abs(_fused(clip, slow) - clip.value) <= TOLERANCE for clip in rows):
            return f"{slow} in clips, {1 - slow} between clips"
    return _UNKNOWN


def _fused(clip: ClipResult, slow: float) -> float:
    return float(slow * clip.extras.get(BRANCHES[0], 0) + (1 - slow) * clip.extras[BRANCHES[2]])


@dataclass(frozen=True, slots=True)
class _Claims:
    """What an export of this package says besides VBench's own files; empty without one.

    Attributes:
        name: the model's.
        protocol: the one its numbers were made under.
        without_score: per dimension the videos that failed or were missing.
    """

    name: str = ""
    protocol: Mapping[str, Any] = field(default_factory=dict)
    without_score: Mapping[str, Sequence[str]] = field(default_factory=dict)


def _claims(file: ResultFile | None) -> _Claims:
    if file is None:
        return _Claims()
    content = file.content if isinstance(file.content, dict) else {}
    name, protocol = content.get("name", ""), content.get("protocol")
    lost = content.get("without_score", {})
    if (
        not isinstance(protocol, dict)
        or not all(isinstance(protocol.get(key), str) for key in ("backend", "clips"))
        or not isinstance(lost, dict)
        or not all(isinstance(names, list) for names in lost.values())
        or not is_shallow(protocol, 4)
        or not isinstance(name, str)
    ):
        raise UsageError(
            "the provenance names no protocol", file.name, f"export again, or drop {file.name}"
        )
    return _Claims(name, protocol, lost)


def _mode(listings: Sequence[Listing]) -> str:
    """How VBench-Long found the prompts, where a full-info file shows it."""
    entries = [entry for listing in listings for entry in listing.entries]
    custom = any(entry.prompt in entry.videos for entry in entries)
    return "custom" if custom else "standard" if entries else _UNKNOWN


def _compared(found: Imported, results: Mapping[str, DimensionResult]) -> Imported:
    """The import, knowing and saying where its scores are not the overall the files claim."""
    run = Run(Path(), found.manifest, found.samples, found.records, {})
    said: dict[str, float] = {}
    alone = [name for name, result in results.items() if result.alone]
    empty = [name for name, result in results.items() if result.overall is None]
    for score in dimension_scores(run):
        overall = results[score.dimension].overall
        if overall is None or score.score is None or abs(score.score - overall) <= TOLERANCE:
            continue
        said[score.dimension] = overall
        LOG.warning(
            "%s: the files say %r; the mean over clips, as tables take it, is %r",
            score.dimension, overall, score.score,
        )  # fmt: skip
    if alone:
        LOG.warning("only a score, no videos, so nobody knows its error: %s", ", ".join(alone))
    if empty:
        LOG.warning("measured on no clip, so without a score: %s", ", ".join(empty))
    model = {**found.manifest.model, "overall_in_files": said}
    return replace(found, manifest=replace(found.manifest, model=model))
