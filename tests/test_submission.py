"""VBench's own result files: read back as they were written, written as VBench writes them."""

from __future__ import annotations

import json
import logging
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from submission_cases import (
    ENDINGS,
    GOLDEN,
    assert_exports_the_same,
    assert_same,
    clip,
    export,
    grouped,
    in_order,
    plain,
    prompts,
    published,
    run_of,
    unit,
    write_folder,
    write_zip,
)
from test_scores import FINAL

from vbench_long.leaderboard.interchange.exporting import ZIP, submission_files
from vbench_long.leaderboard.scores import SCALES, dimension_scores, score_run
from vbench_long.records import Manifest, Record, Sample, Status
from vbench_long.store import Run


def reread(run: Run) -> Run:
    """A run exported and imported again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "results.zip"
        path.write_bytes(submission_files(run)[ZIP])
        return run_of(path)


# --- the published program's own files ---------------------------------------------------------


@pytest.mark.parametrize("label", GOLDEN["runs"])
@pytest.mark.parametrize("write", [write_zip, write_folder])
def test_real_files_of_the_published_program_come_and_go(
    label: str, write: Any, tmp_path: Path
) -> None:
    files = GOLDEN["runs"][label]
    run = run_of(write(tmp_path / "results.zip", files))
    overall = {d: v[0] for n, c in files.items() if n.endswith(ENDINGS[0]) for d, v in c.items()}
    assert {s.dimension: s.score for s in dimension_scores(run)} == pytest.approx(
        overall, abs=1e-12
    )
    assert all(s.complete for s in dimension_scores(run))
    assert_exports_the_same(run, files)
    listed: dict[str, dict[str, Any]] = {}
    for name, content in files.items():
        for entry in content if name.endswith(ENDINGS[1]) else ():
            one = listed.setdefault(entry["prompt_en"], {**entry, "dimension": []})
            one["dimension"] = [*one["dimension"], *entry["dimension"]]
    assert in_order(export(run)[ENDINGS[1]]) == in_order(list(listed.values()))


def test_what_real_files_tell_of_their_protocol(tmp_path: Path) -> None:
    run = run_of(write_zip(tmp_path / "a.zip", GOLDEN["runs"]["one video of three clips"]))
    protocol = run.manifest.protocol
    assert (protocol["origin"], protocol["program"]) == ("imported", "VBench-Long")
    assert (protocol["backend"], protocol["clips"]) == ("reference", "reference")
    assert (protocol["scenes"], protocol["static_filter"]) == (None, False)
    assert protocol["branches"] == "0.5 in clips, 0.5 between clips"
    assert {protocol[key] for key in ("precision", "weights", "versions")} == {"unknown"}
    assert [(s.video, s.prompt, s.index) for s in run.samples] == [
        ("walking 480p 24fps-0.mp4", "walking 480p 24fps", 0)
    ]


@pytest.mark.shared
def test_the_copied_goldens_are_the_references(shared: Path) -> None:
    folder = shared / "reference/protocol/golden"
    functions = json.loads((folder / "pure_functions.json").read_text())
    for name, value in GOLDEN["reorganize"].items():
        assert functions[name] == value
    modes = json.loads((folder / "modes_and_scores.json").read_text())
    assert modes["zip_reader"] == GOLDEN["zip_reader"]


@pytest.mark.parametrize(("kind", "overall"), [("plain", 0.55), ("filtered", 0.7)])
def test_groups_are_those_of_the_reference(kind: str, overall: float, tmp_path: Path) -> None:
    """Each clip is a group of its own, except behind the static filter."""
    output = GOLDEN["reorganize"][f"reorganize_{kind}"]["output"]
    files = {"r_eval_results.json": {"temporal_flickering": output}}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    assert run.manifest.protocol["static_filter"] is (kind == "filtered")
    (score,) = dimension_scores(run)
    assert score.score == pytest.approx(overall, abs=1e-12)
    assert_same(export(run)[ENDINGS[0]]["temporal_flickering"], output)


def test_imaging_lists_run_to_a_hundred_and_its_overall_to_one(tmp_path: Path) -> None:
    clips = [clip("p-0/p-0_000.mp4", 50.0), clip("p-0/p-0_001.mp4", 60.0)]
    files = {"r_eval_results.json": {"imaging_quality": grouped(clips, scale=100)}}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    assert run.records[0].clip_values() == [0.5, 0.6]
    assert dimension_scores(run)[0].score == GOLDEN["reorganize"]["reorganize_imaging"] == 0.55
    assert_exports_the_same(run, files)


def test_a_dimension_measured_on_nothing_is_missing_and_not_zero(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nothing = GOLDEN["reorganize"]["reorganize_empty"]
    files = {"r_eval_results.json": {"scene": plain(0.5), "color": nothing}}
    with caplog.at_level(logging.WARNING, "vbench_long"):
        run = run_of(write_zip(tmp_path / "r.zip", files))
    by_name = {s.dimension: s for s in dimension_scores(run)}
    assert by_name["color"].score is None and not by_name["color"].complete
    assert "measured on no clip, so without a score: color" in caplog.text
    assert set(export(run)[ENDINGS[0]]) == {"scene"}


def test_the_zip_reader_takes_what_the_published_one_takes(tmp_path: Path) -> None:
    row = GOLDEN["zip_reader"]["upload_data"]
    files = {
        "results_a_eval_results.json": {"subject_consistency": [row["subject consistency"]]},
        "results_a_full_info.json": [],
        "sub/results_b_eval_results.json": {
            "motion smoothness": [row["motion smoothness"]],
            "dynamic_degree": [row["dynamic degree"]],
        },
        "sub/deep/results_c_eval_results.json": {"scene": [0.1], "subject_consistency": [0.2]},
        "__MACOSX/x.json": {"color": [0.3]},
        "__MACOSX/x_eval_results.json": {"color": [0.3]},
        ".hidden_eval_results.json": {"color": [0.3]},
        "readme.txt": b"not JSON",
    }
    run = run_of(write_zip(tmp_path / "r.zip", files))
    scores = {s.dimension.replace("_", " "): s.score for s in dimension_scores(run)}
    assert {name: scores.get(name, 0) for name in row} == row
    assert "scene" not in scores and "color" not in scores


# --- round trips -------------------------------------------------------------------------------


@given(files=published())
@settings(max_examples=60, deadline=None)
def test_an_import_exports_what_it_was_made_of(files: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = run_of(write_zip(Path(folder) / "results.zip", files))
    results, entries = files["results_x_eval_results.json"], files["results_x_full_info.json"]
    assert_exports_the_same(run, files)
    scenes = "-Scene-" in json.dumps(entries)
    for score in dimension_scores(run):
        # Behind the filter the published program takes each scene for a video.
        if not (scenes and run.manifest.protocol["static_filter"]):
            assert score.score == pytest.approx(results[score.dimension][0], abs=1e-9)
        assert score.failed == score.missing == 0
    written = export(run)[ENDINGS[1]]
    assert [entry["prompt_en"] for entry in written] == [entry["prompt_en"] for entry in entries]
    if not run.manifest.protocol["static_filter"]:
        for entry in (*written, *entries):
            entry["dimension"] = set(entry["dimension"])
        assert in_order([{**e, "dimension": sorted(e["dimension"])} for e in written]) == in_order(
            [{**e, "dimension": sorted(e["dimension"])} for e in entries]
        )
    assert run.manifest.protocol_id == reread(run).manifest.protocol_id


names = (
    st.text(max_size=12) | prompts | st.just("x" * 300) | st.sampled_from(["a/b", "a_000", ".."])
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Runs as this package stores them, with prompts no file system would take."""
    filtered, suite = draw(st.booleans()), draw(st.booleans())
    dimensions = draw(
        st.lists(st.sampled_from(tuple(SCALES)[:12]), min_size=1, max_size=4, unique=True)
    )
    samples, records = [], []
    for text in draw(st.lists(names, min_size=1, max_size=3, unique=True)):
        for index in range(draw(st.integers(1, 3))):
            own = draw(st.sampled_from([f"{text}-{index}.mp4", f"v{len(samples)}.mp4"]))
            sample = Sample(own, text, index, f"videos/{own}", dimensions=tuple(dimensions))
            samples.append(sample)
            scenes = draw(st.sampled_from([(0, 0, 0), (0, 0, 1), (0,)]))
            records += [_record(draw, own, name, scenes, filtered) for name in dimensions]
    if not any(record.status is Status.OK for record in records):
        records[0] = _ok(records[0].video, records[0].dimension, [0], [1.0])
    manifest = Manifest(
        "model", {}, {"backend": "classical", "clips": "exact", "static_filter": filtered},
        {"name": "s"} if suite else {}, tuple(dimensions), "complete", "", updated="2026-01-02",
    )  # fmt: skip
    return Run(Path(), manifest, tuple(samples), tuple(records), {"e": {"python": "3.11"}})


def _record(
    draw: st.DrawFn, video: str, name: str, scenes: Sequence[int], filtered: bool
) -> Record:
    verdict = name in ("dynamic_degree", "human_action")
    status = draw(st.sampled_from([Status.OK, Status.OK, Status.FAILED, Status.MISSING]))
    if filtered and name == "temporal_flickering" and draw(st.booleans()):
        status = Status.EXCLUDED
    if status is not Status.OK:
        return Record(video, name, status, error="why")
    values = [draw(st.sampled_from([0.0, 1.0]) if verdict else unit) for _ in scenes]
    if len(values) > 1 and draw(st.booleans()):
        return _ok(video, name, scenes, [None, *values[1:]])
    return _ok(video, name, scenes, values)


def _ok(video: str, name: str, scenes: Sequence[int], values: Sequence[float | None]) -> Record:
    by_scene: dict[int, list[float]] = {}
    clips: list[dict[str, Any]] = []
    for scene, value in zip(scenes, values, strict=True):
        clips.append({"start": 0, "stop": 1, "scene": scene, "value": value})
        if name.endswith("_consistency") and name != "overall_consistency":
            fast = value if len(scenes) > 1 else None
            branches = {"inclip_score": value, "clip2clip_score": fast}
            clips[-1] |= {**branches, "mapped_clip2clip_score": fast or 0.0}
        if value is not None:
            by_scene.setdefault(scene, []).append(value)
    means = [sum(v) / len(v) for v in by_scene.values()]
    return Record(video, name, Status.OK, sum(means) / len(means), parts={"clips": clips})


@given(run=runs())
@settings(max_examples=80, deadline=None)
def test_an_export_imports_with_the_same_scores(run: Run) -> None:
    again = reread(run)
    found = {s.dimension: s for s in dimension_scores(again)}
    for score in dimension_scores(run):
        if score.score is None:  # left out of the files
            continue
        other = found[score.dimension]
        assert other.score == pytest.approx(score.score, rel=1e-12, abs=1e-12)
        assert (other.clips, other.videos) == (score.clips, score.videos)
        assert other.per_video == pytest.approx(score.per_video, rel=1e-12, abs=1e-12)
        assert other.missing == score.failed + score.missing
        assert other.excluded == score.excluded
    assert {(s.prompt, s.index) for s in again.samples} == {
        (s.prompt, s.index) for s in run.samples
    }
    assert again.manifest.protocol_id != run.manifest.protocol_id
    assert again.manifest.protocol["backend"] == "classical"
    assert again.manifest.name == "model"
    assert submission_files(run) == submission_files(run)
    assert reread(again).manifest.protocol_id == again.manifest.protocol_id


def test_five_still_clips_of_a_prompt_go_into_the_files() -> None:
    name = "temporal_flickering"
    records = [_ok(f"P-{i}.mp4", name, [0, 0], [0.1 * i, 0.2]) for i in (2, 0, 1, 3)]
    samples = tuple(Sample(r.video, "P", int(r.video[2]), "", dimensions=(name,)) for r in records)
    protocol = {"backend": "classical", "clips": "exact", "static_filter": True}
    manifest = Manifest("m", {}, protocol, {}, (name,), "complete", "", updated="2026-01-02")
    run = Run(Path(), manifest, samples, tuple(records), {})
    overall, clips, videos = export(run)[ENDINGS[0]][name]
    folder = "videos/temporal_filtered_cilps/filtered_videos"
    assert [row["video_path"].removeprefix(f"{folder}/filtered_clips/") for row in clips] == [
        "P-0_000.mp4", "P-0_001.mp4", "P-1_000.mp4", "P-1_001.mp4", "P-2_000.mp4",
    ]  # fmt: skip
    assert [row["video_path"] for row in videos] == [f"{folder}/P-{i}.mp4" for i in range(3)]
    assert overall == pytest.approx((0.1 + 0.15 + 0.2) / 3)
    assert dimension_scores(reread(run))[0].score == pytest.approx(overall)


def test_videos_that_claim_one_sample_are_listed_once() -> None:
    record = _ok("b-0.mp4", "scene", [0], [0.5])
    lost = [Record(video, "scene", Status.FAILED, error="why") for video in ("a.mp4", "a-0.mp4")]
    samples = [
        Sample(v, v[0], 0, "", dimensions=("scene",)) for v in ("a.mp4", "a-0.mp4", "b-0.mp4")
    ]
    protocol = {"backend": "classical", "clips": "exact"}
    manifest = Manifest("m", {}, protocol, {}, ("scene",), "complete", "", updated="2026-01-02")
    again = reread(Run(Path(), manifest, tuple(samples), (*lost, record), {}))
    assert [(s.prompt, s.index) for s in again.samples] == [("a", 0), ("b", 0)]
    assert again.manifest.counts == {"missing": 1, "ok": 1}


@pytest.mark.parametrize("row", FINAL, ids=[row["name"] for row in FINAL])
def test_a_reader_by_the_published_rule_gets_the_published_totals(
    row: Mapping[str, Any], tmp_path: Path
) -> None:
    """Its rule: the first element of every value of every object in the zip's JSON files."""
    results = {name.replace(" ", "_"): [score] for name, score in row["upload"].items()}
    run = run_of(write_zip(tmp_path / "r.zip", {"r_eval_results.json": results}))
    assert score_run(run).totals.total == pytest.approx(row["total"], abs=1e-12)
    taken: dict[str, float] = {}
    (tmp_path / "out.zip").write_bytes(export(run)[ZIP])
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        for name in archive.namelist():
            content = json.loads(archive.read(name)) if name.endswith("json") else []
            if isinstance(content, dict):
                taken |= {key.replace("_", " "): value[0] for key, value in content.items()}
    assert taken == row["upload"]
