"""A run on disk: `run.json`, written atomically, and `records.sqlite`, with one writer."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from filelock import FileLock, Timeout

from vbench_long.errors import EnvironmentFault, RunError, disk_faults
from vbench_long.records import Manifest, Record, Sample, Status, canonical_json

LOG = logging.getLogger("vbench_long")
SCHEMA = 1

_DISK_TROUBLE = ("SQLITE_FULL", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")
_FREE = (
    "free space or choose another --output; what is stored stays valid, and the same command goes"
    " on from there"
)

_TABLES = """
CREATE TABLE samples(
    position INTEGER NOT NULL, video TEXT PRIMARY KEY, prompt TEXT NOT NULL,
    "index" INTEGER NOT NULL, path TEXT NOT NULL, seed INTEGER, dimensions TEXT NOT NULL,
    clip_seconds REAL NOT NULL,
    auxiliary TEXT NOT NULL);
CREATE TABLE records(
    video TEXT NOT NULL REFERENCES samples(video), dimension TEXT NOT NULL, status TEXT NOT NULL,
    value REAL, error TEXT NOT NULL, parts TEXT NOT NULL, seconds REAL NOT NULL,
    sha256 TEXT NOT NULL, identity TEXT NOT NULL, environment TEXT NOT NULL,
    PRIMARY KEY(video, dimension), CHECK((status = 'ok') = (value IS NOT NULL)));
CREATE TABLE environments(id TEXT PRIMARY KEY, facts TEXT NOT NULL);
"""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace `path` by `content`: a reader, or a crash, finds the old or the new, never half."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if os.name == "posix":
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def run_faults(where: Path) -> Iterator[None]:
    """Turn what the disk and SQLite say into one clear error."""
    try:
        with disk_faults("the run cannot be written", where, _FREE):
            yield
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(_DISK_TROUBLE):
            what = f"the run cannot be written ({error})"
            raise EnvironmentFault(what, str(where), _FREE) from error
        raise RunError(
            f"the run's records are damaged ({error})", str(where), "restore or delete the folder"
        ) from error


def lock(folder: Path, doing: str) -> FileLock:
    """The lock of `folder`, held by this process until it is released.

    Raises:
        RunError: another process holds it, and is `doing` something with the folder.
    """
    held = FileLock(folder / ".lock")
    try:
        held.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"another process is {doing}", str(folder), "wait for it to end") from error
    return held


class Store:
    """The records of one run, open for writing by this process alone.

    Every call is one transaction: after a crash a video's rows are there together or not at all.
    """

    def __init__(self, folder: Path) -> None:
        """Open or create the run in `folder`.

        Raises:
            RunError: another process writes this run, or its files are damaged.
            EnvironmentFault: the folder cannot be written.
        """
        self.folder = folder
        with run_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder, "writing this run")
            self._db = _connect(folder / "records.sqlite")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()
        self._lock.release()

    def manifest(self) -> Manifest | None:
        """The stored manifest, or None for a new run."""
        return read_manifest(self.folder) if (self.folder / "run.json").exists() else None

    def write_manifest(self, manifest: Manifest) -> None:
        """Replace `run.json`."""
        text = json.dumps(
            {"schema": SCHEMA, "protocol_id": manifest.protocol_id, **asdict(manifest)},
            indent=1,
            ensure_ascii=False,
            allow_nan=False,
        )
        with run_faults(self.folder):
            write_atomically(self.folder / "run.json", text + "\n")

    def put_samples(self, planned: Sequence[Sample]) -> None:
        """Make `planned` the run's samples, and keep what earlier calls planned besides.

        A stored sample of the same prompt and index under another file name is replaced, with its
        records: a missing video that came, a duplicate that went. So is one that was judged by
        another prompt or other auxiliary information. Dimensions add up.
        """
        names = {sample.video for sample in planned}
        claimed = {(sample.prompt, sample.index) for sample in planned}
        earlier = {sample.video: sample for sample in self.samples()}
        others = [sample for video, sample in earlier.items() if video not in names]
        gone = [sample for sample in others if (sample.prompt, sample.index) in claimed]
        kept = [sample for sample in others if sample not in gone]
        gone += [s for s in planned if s.video in earlier and _told(s) != _told(earlier[s.video])]
        if kept:
            LOG.warning("%d samples of earlier calls are not in this plan; they stay", len(kept))
        merged = [
            replace(s, dimensions=_union(earlier[s.video].dimensions, s.dimensions))
            if s.video in earlier
            else s
            for s in planned
        ]
        rows = [
            (
                position, s.video, s.prompt, s.index, s.path, s.seed, canonical_json(s.dimensions),
                s.clip_seconds, canonical_json(s.auxiliary),
            )
            for position, s in enumerate([*merged, *kept])
        ]  # fmt: skip
        with run_faults(self.folder), self._db:
            self._db.execute("DELETE FROM samples")
            self._db.executemany(f"INSERT INTO samples VALUES ({','.join('?' * 9)})", rows)
            self._db.executemany("DELETE FROM records WHERE video = ?", [(s.video,) for s in gone])

    def put_environment(self, key: str, facts: Mapping[str, Any]) -> None:
        """Remember the machine and versions that records refer to."""
        with run_faults(self.folder), self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO environments VALUES (?, ?)", (key, canonical_json(facts))
            )

    def put(self, records: Iterable[Record]) -> None:
        """Store the records of one video, replacing earlier ones."""
        rows = [
            (
                r.video, r.dimension, r.status.value, r.value, r.error, canonical_json(r.parts),
                r.seconds, r.sha256, r.identity, r.environment,
            )
            for r in records
        ]  # fmt: skip
        sql = f"INSERT OR REPLACE INTO records VALUES ({','.join('?' * 10)})"
        with run_faults(self.folder), self._db:
            self._db.executemany(sql, rows)

    def records(self) -> list[Record]:
        """All stored records, by sample and dimension."""
        with run_faults(self.folder):
            return _read_records(self._db)

    def samples(self) -> list[Sample]:
        """All planned samples, in their order."""
        with run_faults(self.folder):
            return _read_samples(self._db)


@dataclass(frozen=True, slots=True)
class Run:
    """A stored run, read into memory.

    Attributes:
        folder: where it lies.
        manifest: what `run.json` says.
        samples: planned samples in order.
        records: what is stored, in the order of samples and dimensions.
        environments: per key, the machine and versions.
    """

    folder: Path
    manifest: Manifest
    samples: tuple[Sample, ...]
    records: tuple[Record, ...]
    environments: Mapping[str, Mapping[str, Any]]


def read_manifest(folder: Path) -> Manifest:
    """Read `run.json`.

    Raises:
        RunError: not a run folder, damaged, or written by a newer release.
    """
    path = folder / "run.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if data.pop("schema") != SCHEMA:
            raise RunError("the run was written by another release", str(path), "use that release")
        said = data.pop("protocol_id")
        manifest = Manifest(**{**data, "dimensions": tuple(data["dimensions"])})
    except FileNotFoundError:
        raise RunError(
            "not a run folder: it has no run.json", str(folder), "give the --output of an evaluate"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise RunError(f"run.json is damaged ({error})", str(path), "restore it") from error
    if manifest.protocol_id != said:
        raise RunError(
            "run.json was edited: its protocol does not match its id", str(path), "restore it"
        )
    return manifest


def load_run(folder: Path) -> Run:
    """Read a run without locking it.

    Raises:
        RunError: no run there, or its files are damaged.
    """
    manifest = read_manifest(folder)
    path = folder / "records.sqlite"
    if not path.exists():
        raise RunError("the run has no records.sqlite", str(folder), "evaluate again")
    with run_faults(path):
        database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            environments = {
                key: json.loads(facts)
                for key, facts in database.execute("SELECT id, facts FROM environments")
            }
            return Run(
                folder,
                manifest,
                tuple(_read_samples(database)),
                tuple(_read_records(database)),
                environments,
            )
        finally:
            database.close()


def _told(sample: Sample) -> tuple[str, str, float]:
    return sample.prompt, canonical_json(sample.auxiliary), sample.clip_seconds


def _union(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path)
    database.execute("PRAGMA synchronous = FULL")
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if version == 0:
        database.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
    elif version != SCHEMA:
        raise RunError("the records were written by another release", str(path), "use that release")
    return database


def _read_samples(database: sqlite3.Connection) -> list[Sample]:
    columns = ",".join(f'"{f.name}"' for f in fields(Sample))
    return [
        Sample(
            video=row[0], prompt=row[1], index=row[2], path=row[3], seed=row[4],
            dimensions=tuple(json.loads(row[5])), clip_seconds=row[6], auxiliary=json.loads(row[7]),
        )
        for row in database.execute(f"SELECT {columns} FROM samples ORDER BY position")
    ]  # fmt: skip


def _read_records(database: sqlite3.Connection) -> list[Record]:
    columns = ",".join(f"r.{f.name}" for f in fields(Record))
    order = "FROM records r JOIN samples s USING (video) ORDER BY s.position, r.dimension"
    return [
        Record(
            video=row[0], dimension=row[1], status=Status(row[2]), value=row[3], error=row[4],
            parts=json.loads(row[5]), seconds=row[6], sha256=row[7], identity=row[8],
            environment=row[9],
        )
        for row in database.execute(f"SELECT {columns} {order}")
    ]  # fmt: skip
