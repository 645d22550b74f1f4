"""Importing and exporting runs: what is said, what is missing, what is refused."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from submission_cases import (
    ENDINGS,
    assert_exports_the_same,
    clip,
    export,
    grouped,
    plain,
    run_of,
    write_folder,
    write_zip,
)

from vbench_long.cli import main
from vbench_long.errors import UsageError
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.interchange.exporting import ZIP, submission_files
from vbench_long.leaderboard.interchange.hub import FILE, Address, hub_yaml
from vbench_long.leaderboard.interchange.importing import import_run, read_results
from vbench_long.leaderboard.interchange.listing import NO_VIDEOS
from vbench_long.leaderboard.interchange.submission import clip_name
from vbench_long.leaderboard.scores import SCALES, dimension_scores, score_run
from vbench_long.records import Status


def test_scores_alone_import_and_say_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = {"r_eval_results.json": {"scene": [0.5], "color": plain(0.25, 0.75)}}
    with caplog.at_level(logging.WARNING, "vbench_long"):
        run = import_run(write_zip(tmp_path / "r.zip", files), tmp_path / "run")
    assert "only a score, no videos, so nobody knows its error: scene" in caplog.text
    by_name = {s.dimension: s for s in dimension_scores(run)}
    assert (by_name["scene"].score, by_name["scene"].videos) == (0.5, 1)
    assert [s.dimensions for s in run.samples if s.video == NO_VIDEOS] == [("scene",)]
    assert {r.dimension for r in run.records if r.parts.get("notes")} == {"scene"}
    assert_exports_the_same(run, files)
    assert all("no videos" not in json.dumps(e) for e in export(run)[ENDINGS[1]])


def test_an_overall_pooled_over_frames_is_kept_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [clip("a-0.mp4", 0.9), clip("b-0.mp4", 0.7)]
    for row in rows:
        row["video_path"] = row["video_path"].replace("split_clip/", "")
    files = {"r_eval_results.json": {"subject_consistency": [0.85, rows]}}
    with caplog.at_level(logging.WARNING, "vbench_long"):
        run = run_of(write_zip(tmp_path / "r.zip", files))
    assert "the files say 0.85; the mean over clips, as tables take it, is 0.8" in caplog.text
    assert run.manifest.protocol["program"] == "VBench"
    assert_exports_the_same(run, files)


@pytest.mark.parametrize(("overall", "said"), [(0.65, {"temporal_flickering": 0.65}), (0.625, {})])
def test_behind_the_filter_the_overall_is_over_scenes_or_videos(
    overall: float, said: dict[str, float], tmp_path: Path
) -> None:
    """The published program takes scenes for videos; tables here join them."""
    folder = "videos/temporal_filtered_cilps/filtered_videos/filtered_clips"
    values = {
        "a-0-Scene-0_000": 0.2,
        "a-0-Scene-0_001": 0.4,
        "a-0-Scene-1_000": 0.9,
        "b-0_000": 0.75,
    }
    rows = [{"video_path": f"{folder}/{n}.mp4", "video_results": v} for n, v in values.items()]
    files = {"r_eval_results.json": {"temporal_flickering": [overall, rows, []]}}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    assert run.manifest.model["overall_in_files"] == said
    (score,) = dimension_scores(run)
    assert score.score == pytest.approx((1.5 / 3 + 0.75) / 2)
    assert export(run)["_eval_results.json"]["temporal_flickering"][0] == pytest.approx(overall)


def test_what_full_info_shows_to_be_missing_is_missing(tmp_path: Path) -> None:
    """The published program drops absent videos in silence and averages the rest."""
    there = ["cat-0", "cat-2", "dog-0"]
    clips = [clip(f"{video}/{video}_000.mp4", 0.5) for video in there]
    listed = {"cat": ["cat-0", "cat-2"], "dog": ["dog-0", "dog-1"], "owl": []}
    info = [
        {
            "prompt_en": prompt,
            "dimension": ["scene", "human_action"],
            "video_list": [f"v/split_clip/{v}/{v}_000.mp4" for v in videos],
            "auxiliary_info": {"scene": {"scene": {"scene": "alley"}}},
        }
        for prompt, videos in listed.items()
    ]
    files = {"r_eval_results.json": {"scene": grouped(clips)}, "r_full_info.json": info}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    missing = {r.video for r in run.records if r.status is Status.MISSING}
    assert missing == {"cat-1.mp4", "dog-1.mp4", "owl-0.mp4"}
    assert {s.clip_seconds for s in run.samples} == {10.0}
    assert run.samples[0].auxiliary == info[0]["auxiliary_info"]
    assert score_run(run).status == "incomplete"


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("v/split_clip/a cat-0/a cat-0_000.mp4", ("a cat-0", 0, "000")),
        ("v/split_clip/a cat-0/a cat-0_000.mp4/a cat-0.mp4", ("a cat-0", 0, "000")),
        ("v/a cat-0_full.mp4", ("a cat-0", 0, "full")),
        ("v/a cat-0-Scene-12_003.mp4", ("a cat-0", 12, "003")),
        ("v/a-Scene-1-0-Scene-2_003.mp4", ("a-Scene-1-0", 2, "003")),
        ("v\\split_clip\\my_video-0\\my_video-0_001.mp4", ("my_video-0", 0, "001")),
        ("../v/a cat-0.mp4", ("a cat-0", 0, "")),
    ],
)
def test_the_names_of_clips(path: str, wanted: tuple[str, int, str]) -> None:
    assert clip_name(path) == wanted


def test_a_cosine_a_breath_above_one_is_one(tmp_path: Path) -> None:
    files = {"r_eval_results.json": {"scene": plain(1.0000002)}}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    assert run.records[0].value == 1.0


def test_imported_runs_stand_apart_from_those_judged_here(tmp_path: Path) -> None:
    source = write_zip(tmp_path / "r.zip", {"r_eval_results.json": {"scene": plain(0.5, 0.6)}})
    theirs = import_run(source, tmp_path / "run", "theirs")
    protocol = {
        "version": 1, "backend": "reference", "clips": "reference", "scenes": None,
        "suite": "", "static_filter": False, "precision": "fp32", "untrained": False,
        "dimensions": {},
    }  # fmt: skip
    ours = replace(theirs, manifest=replace(theirs.manifest, protocol=protocol), folder=tmp_path)
    assert len(build([theirs, ours]).groups) == 2
    with pytest.raises(UsageError, match="holds a run already"):
        import_run(source, tmp_path / "run")


def test_untrained_claims_stay_untrained(tmp_path: Path) -> None:
    claims = {"protocol": {"backend": "reference", "clips": "exact", "untrained": True}}
    files = {"r_eval_results.json": {"scene": [0.5]}, "provenance.jsonl": claims}
    run = run_of(write_zip(tmp_path / "r.zip", files))
    with pytest.raises(UsageError, match="untrained weights"):
        submission_files(run)
    with pytest.raises(UsageError, match="untrained weights"):
        build([run])


# --- Hugging Face ------------------------------------------------------------------------------


def test_hub_yaml_says_what_a_reader_needs(tmp_path: Path) -> None:
    results = {name: [score] for name, score in zip(SCALES, [0.5] * 16, strict=True)}
    clips = [clip(f"{name}-0/{name}-0_000.mp4", x) for name, x in [("cat", 0.12346), ("dog", 0.2)]]
    results["scene"] = grouped(clips)
    run = run_of(write_zip(tmp_path / "r.zip", {"r_eval_results.json": results}))
    name = 'a "model": \\ # {x} \u2028 é'
    run = replace(run, manifest=replace(run.manifest, name=name))
    entries = yaml.safe_load(hub_yaml(run, Address("owner/vbench-long", "https://x.org/run")))
    assert [entry["dataset"]["task_id"] for entry in entries] == [
        *SCALES, "quality", "semantic", "total",
    ]  # fmt: skip
    by_task = {entry["dataset"]["task_id"]: entry for entry in entries}
    scene = by_task["scene"]
    assert list(scene) == ["dataset", "value", "date", "source", "notes"]
    assert scene["dataset"]["id"] == "owner/vbench-long"
    assert scene["value"] == 16.17 and "2 videos, 95 % interval over prompts" in scene["notes"]
    assert scene["date"] == run.manifest.updated[:10]
    assert scene["source"]["url"] == "https://x.org/run"
    assert scene["source"]["name"].startswith('a "model": \\ # {x} é')
    totals = score_run(run).totals
    assert by_task["total"]["value"] == pytest.approx(100 * (totals.total or 0), abs=0.005)
    parse = pytest.importorskip("huggingface_hub")
    if not hasattr(parse, "parse_eval_result_entries"):
        pytest.skip("this huggingface_hub does not know the format yet")
    parsed = parse.parse_eval_result_entries(entries)
    assert [e.value for e in parsed] == [e["value"] for e in entries]


@pytest.mark.parametrize(
    ("address", "protocol", "match"),
    [
        (Address("nowhere"), {}, "no dataset of the Hub"),
        (Address("a/b\n- x"), {}, "no dataset of the Hub"),
        (Address("a/b", "javascript:x"), {}, "no https address"),
        (Address("a/b"), {"backend": "classical"}, "only scores of the published networks"),
        (Address("a/b"), {"untrained": True}, "only scores of the published networks"),
    ],
)
def test_hub_yaml_refuses(
    address: Address, protocol: dict[str, Any], match: str, tmp_path: Path
) -> None:
    run = run_of(write_zip(tmp_path / "r.zip", {"r_eval_results.json": {"scene": [0.5]}}))
    manifest = replace(run.manifest, protocol={**run.manifest.protocol, **protocol})
    with pytest.raises(UsageError, match=match):
        hub_yaml(replace(run, manifest=manifest), address)


# --- the command line --------------------------------------------------------------------------


def test_from_videos_to_a_submission_and_back(
    make_video: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index in range(2):
        make_video(f"a {'very ' * 9}moving texture-{index}.mp4", 40, folder=tmp_path / "videos")
    names = ["subject_consistency", "dynamic_degree", "imaging_quality"]
    run, again = str(tmp_path / "run"), str(tmp_path / "again")
    videos = ["--videos", str(tmp_path / "videos"), "--dimensions", *names, "--output", run]
    assert main(["evaluate", *videos]) == 0
    assert main(["export", run, "--output", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert main(["import", str(tmp_path / "out" / ZIP), "--output", again, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert set(summary["dimensions"]) == set(names) and summary["backend"] == "classical"
    assert main(["verify", again]) == 0
    assert main(["import", str(tmp_path / "out"), "--output", str(tmp_path / "third")]) == 0
    assert main(["leaderboard", run, again, "--output", str(tmp_path / "board")]) == 0
    own, read = ((Path(r) / "scores.csv").read_text().splitlines() for r in (run, again))
    for one, other in zip(own[1:], read[1:], strict=True):
        name, *numbers = one.split(",")
        assert other.split(",")[0] == name
        assert [float(x) for x in other.split(",")[1:]] == pytest.approx(
            [float(x) for x in numbers]
        )


def test_export_refuses_what_its_readers_could_not_see(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = [{"prompt_en": "cat", "dimension": ["scene"], "video_list": ["cat-1_000.mp4"]}]
    results = {"scene": grouped([clip("cat-1/cat-1_000.mp4", 0.5)])}
    files = {"r_eval_results.json": results, "r_full_info.json": info}
    run, out = str(tmp_path / "run"), tmp_path / "out"
    assert main(["import", str(write_folder(tmp_path / "in", files)), "--output", run]) == 3
    assert main(["export", run, "--output", str(out)]) == 2
    assert "videos failed or are missing in scene" in capsys.readouterr().err
    assert main(["export", run, "--output", str(out), "--partial"]) == 0
    assert "counted as 0 by the published reader: subject_consistency" in capsys.readouterr().err
    (out / "older_eval_results.json").write_text("{}")
    assert main(["export", run, "--output", str(out), "--partial"]) == 2
    assert "holds other results" in capsys.readouterr().err
    hub = ["--format", "huggingface", "--dataset", "a/b", "--partial"]
    assert main(["export", run, "--output", str(out), *hub]) == 0
    assert "1 of 2 videos, no interval" in (out / FILE).read_text()
    assert read_results(tmp_path / "in").manifest.counts == {"ok": 1, "missing": 1}
