"""The run folder: what is written survives, what is damaged is said."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from vbench_long.errors import EnvironmentFault, RunError
from vbench_long.records import Manifest, Record, Sample, Status, describe_differences, digest
from vbench_long.store import Store, load_run, write_atomically

MANIFEST = Manifest("m", {}, {"backend": "classical"}, {}, ("temporal_flickering",), "running", "c")


def sample(name: str, prompt: str = "p", index: int = 0, **more: object) -> Sample:
    return Sample(name, prompt, index, f"videos/{name}", **{"dimensions": ("a",), **more})


def record(name: str, value: float | None = 0.5, dimension: str = "a") -> Record:
    status = Status.FAILED if value is None else Status.OK
    return Record(name, dimension, status, value, "" if value else "why", {"clips": []}, 1.5, "ff")


def filled(folder: Path) -> Path:
    with Store(folder) as store:
        store.write_manifest(MANIFEST)
        store.put_environment("e", {"python": "3"})
        store.put_samples([sample("b.mp4", index=1, seed=7, auxiliary={"é": [1]}), sample("a.mp4")])
        store.put([record("a.mp4"), record("b.mp4", None)])
    return folder


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    run = load_run(filled(tmp_path / "run"))
    assert run.manifest == MANIFEST
    assert run.samples == (
        sample("b.mp4", index=1, seed=7, auxiliary={"é": [1]}),
        sample("a.mp4"),
    )
    assert run.records == (record("b.mp4", None), record("a.mp4"))  # in the samples' order
    assert run.environments == {"e": {"python": "3"}}


def test_records_are_replaced_not_doubled(tmp_path: Path) -> None:
    with Store(filled(tmp_path)) as store:
        store.put([record("b.mp4", 0.25)])
        assert [r.value for r in store.records()] == [0.25, 0.5]


def test_a_value_without_status_ok_cannot_be_stored(tmp_path: Path) -> None:
    with Store(filled(tmp_path)) as store, pytest.raises(RunError):
        store.put([replace(record("a.mp4"), status=Status.FAILED)])
    with Store(tmp_path) as store, pytest.raises(ValueError, match="JSON"):
        store.put([replace(record("a.mp4"), parts={"x": float("nan")})])


def test_planned_samples_grow_and_keep_their_records(tmp_path: Path) -> None:
    with Store(filled(tmp_path)) as store:
        store.put_samples([sample("c.mp4", "q"), sample("a.mp4", dimensions=("b",))])
        assert [(s.video, s.dimensions) for s in store.samples()] == [
            ("c.mp4", ("a",)), ("a.mp4", ("a", "b")), ("b.mp4", ("a",)),
        ]  # fmt: skip
        assert len(store.records()) == 2


def test_a_sample_that_gets_another_file_loses_the_old_rows(tmp_path: Path) -> None:
    with Store(filled(tmp_path)) as store:
        store.put_samples([sample("a.mp4"), sample("came.mp4", index=1)])
        assert [s.video for s in store.samples()] == ["a.mp4", "came.mp4"]
        assert [r.video for r in store.records()] == ["a.mp4"]


def test_one_writer(tmp_path: Path) -> None:
    with Store(tmp_path), pytest.raises(RunError, match="another process"):
        Store(tmp_path)
    Store(tmp_path).__exit__()


def test_damage_is_named(tmp_path: Path) -> None:
    folder = filled(tmp_path / "run")
    with pytest.raises(RunError, match="not a run folder"):
        load_run(tmp_path)
    database, manifest = folder / "records.sqlite", folder / "run.json"
    whole, text = database.read_bytes(), manifest.read_text()

    database.write_bytes(whole[:100] + b"\x00" * 3000 + whole[3100:])
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)
    database.write_bytes(b"no database at all, but long enough to be looked at" * 30)
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)
    database.write_bytes(whole)

    for broken in (text[: len(text) // 2], "[]", text.replace('"schema": 1', '"schema": 99')):
        manifest.write_text(broken)
        with pytest.raises(RunError):
            load_run(folder)
    data = json.loads(text)
    data["protocol"]["backend"] = "reference"
    manifest.write_text(json.dumps(data))
    with pytest.raises(RunError, match="edited"):
        load_run(folder)


def test_newer_records_are_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "records.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    with pytest.raises(RunError, match="another release"):
        Store(tmp_path)


def test_unwritable_places_are_the_environments_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault):
        Store(tmp_path / "file" / "run")


def test_atomic_write_keeps_the_old_text_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "t"
    write_atomically(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["t"]


def test_digest_is_of_the_value_not_its_spelling() -> None:
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})
    assert describe_differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 1.5}, "c": 2}) == [
        "a.b: 1 -> 1.5"
    ]
