"""End to end against the published program's scores on the shared golden videos."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from vbench_long.errors import EnvironmentFault
from vbench_long.evaluation import Networks, RunConfig, evaluate
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.leaderboard.scores import dimension_scores
from vbench_long.store import Run
from vbench_long.video import Encoding, probe, read_frames, write_video

TOLERANCE = 1e-6


def golden(shared: Path, name: str) -> dict:
    path = shared / "reference/protocol/golden" / f"scores_{name}.json"
    return json.loads(path.read_text())["dimensions"]["temporal_flickering"]


def flicker(videos: Path, output: Path, backend: str = "reference") -> Run:
    config = RunConfig(output, videos=videos, dimensions=("temporal_flickering",), backend=backend)
    return evaluate(config).run


def clip_scores(run: Run) -> dict[str, float]:
    """Per clip, under the name the published program gives it."""
    scores = {}
    for record in run.records:
        clips, stem = record.parts["clips"], Path(record.video).stem
        whole = len(clips) == 1
        for number, clip in enumerate(clips):
            scores[f"{stem}_{'full' if whole else f'{number:03d}'}.mp4"] = clip["value"]
    return scores


@pytest.mark.shared
@pytest.mark.parametrize("backend", ["reference", "classical"])
def test_submitted_pixels(shared: Path, tmp_path: Path, backend: str) -> None:
    expected = golden(shared, "lossless")
    videos = shared / "reference/protocol/videos/golden_set"
    run = flicker(videos, tmp_path / "run", backend)
    ours = clip_scores(run)
    theirs = {name: clip["video_results"] for name, clip in expected["clips"].items()}
    assert ours == pytest.approx(theirs, abs=TOLERANCE)
    per_video = {Path(r.video).stem: r.value for r in run.records}
    assert per_video == pytest.approx(expected["per_video_mean"], abs=TOLERANCE)
    (score,) = dimension_scores(run)
    assert score.score == pytest.approx(expected["reference_overall"], abs=TOLERANCE)
    assert score.per_video == pytest.approx(expected["mean_over_videos"], abs=TOLERANCE)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "folder"), [("abr_1024k", "abr_clips"), ("abr_480p", "abr_clips_480p")]
)
def test_stored_clips_of_the_published_encoder(
    shared: Path, tmp_path: Path, name: str, folder: str
) -> None:
    """Each stored file is one clip already, so it must come out as one clip again."""
    run = flicker(shared / "reference/protocol/videos" / folder, tmp_path / "run")
    ours = {r.video: r.value for r in run.records if not r.video.startswith("fastbranch")}
    assert all(len(r.parts["clips"]) == 1 for r in run.records)
    theirs = {n: clip["video_results"] for n, clip in golden(shared, name)["clips"].items()}
    assert ours == pytest.approx(theirs, abs=TOLERANCE)


@pytest.mark.shared
def test_clips_written_at_crf_23(shared: Path, tmp_path: Path) -> None:
    """The clips are not stored; encoded here, they agree as far as the x264 builds do."""
    theirs = golden(shared, "crf23")["clips"]
    folder = tmp_path / "clips"
    folder.mkdir()
    plan = json.loads((shared / "reference/protocol/golden/scores_crf23.json").read_text())
    for name, (first, last) in plan["_about"]["clip_frames_inclusive"].items():
        stem = name.rsplit("_", 1)[0]
        info = probe(shared / "reference/protocol/videos/golden_set" / f"{stem}.mp4")
        frames = [frame.rgb for frame in read_frames(info)][first : last + 1]
        encoding = Encoding("libx264", "yuv420p", options={}, threads=2)
        write_video(folder / name, frames, Fraction(int(info.fps)), encoding)
    ours = {r.video: r.value for r in flicker(folder, tmp_path / "run").records}
    assert ours == pytest.approx({n: c["video_results"] for n, c in theirs.items()}, abs=1e-4)


TOLERANCES = {  # PROTOCOL's, between independent implementations in float32
    "subject_consistency": 2e-6,
    "background_consistency": 2e-6,
    "temporal_flickering": 1e-7,
    "motion_smoothness": 2e-4,  # truncation to whole grey levels can flip pixels
    "dynamic_degree": 0.0,
    "aesthetic_quality": 2e-6,
    "imaging_quality": 1e-5,
}
SEEDED = Networks(weights="seeded", device="cpu")


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize(
    ("clips", "golden_name", "name"),
    [
        ("exact", "lossless", "a portrait walk-0.mp4"),
        ("reference", "abr_1024k", "people are walking-0.mp4"),
    ],
)
def test_all_seven_dimensions_with_seeded_networks(
    shared: Path, tmp_path: Path, clips: str, golden_name: str, name: str
) -> None:
    """The whole way, slow and fast branch, encoder included; two minutes of matrix products."""
    path = shared / "reference/protocol/golden" / f"scores_{golden_name}.json"
    theirs = json.loads(path.read_text())["dimensions"]
    video = shared / "reference/protocol/videos/golden_set" / name
    run = evaluate(
        RunConfig(tmp_path / "run", videos=video, backend="reference", clips=clips, networks=SEEDED)
    ).run
    assert run.manifest.protocol["untrained"] is True
    compared = set()
    for record in run.records:
        expected = theirs.get(record.dimension, {"clips": {}})["clips"]
        for number, clip in enumerate(record.parts["clips"]):
            facts = expected.get(f"{video.stem}_{number:03d}.mp4")
            if facts is None:
                continue
            scale = 100 if record.dimension == "imaging_quality" else 1
            tolerance = TOLERANCES[record.dimension]
            value = float(facts.pop("video_results")) / scale
            assert clip["value"] == pytest.approx(value, abs=tolerance), record.dimension
            for part, number_there in facts.items():
                assert clip[part] == pytest.approx(number_there, abs=tolerance), part
            compared.add(record.dimension)
    assert compared >= set(theirs) - {"aesthetic_quality", "dynamic_degree"}


@pytest.mark.shared
def test_a_real_clip_scored_with_real_weights_elsewhere(shared: Path, tmp_path: Path) -> None:
    facts = json.loads((shared / "anchors/realweights_golden.json").read_text())
    run = flicker(shared / "videos/ltx2_realweights.mp4", tmp_path / "run")
    (record,) = run.records
    pairs = [(c["start"], c["stop"]) for c in record.parts["clips"]]
    assert pairs == [(0, 48), (48, 96), (72, 120)]
    # The published figure is that of the short protocol, one clip of all frames.
    whole = evaluate(
        RunConfig(tmp_path / "whole", videos=_one_clip_manifest(shared, tmp_path),
                  suite=str(_ten_second_suite(tmp_path)), dimensions=("temporal_flickering",))
    ).run  # fmt: skip
    assert whole.records[0].value == pytest.approx(
        facts["our_check_x86_64"]["temporal_flickering"], abs=TOLERANCE
    )
    assert whole.records[0].value == pytest.approx(facts["scores"]["temporal_flickering"], abs=5e-5)


@pytest.mark.weights
@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.full
def test_real_weights_give_the_published_scores(shared: Path, tmp_path: Path) -> None:
    """Scores of one video by the published program, short protocol: the whole video is one clip."""
    facts = json.loads((shared / "anchors/realweights_golden.json").read_text())
    theirs = {n: facts["scores"][n] for n in TOLERANCES}
    dimensions = choose_dimensions(tuple(theirs), "reference")
    networks = Networks()
    try:
        networks.require(dimensions)
    except EnvironmentFault as error:
        pytest.skip(str(error))
    suite = _ten_second_suite(tmp_path, tuple(theirs))
    videos = _one_clip_manifest(shared, tmp_path)
    config = RunConfig(
        tmp_path / "run", videos=videos, suite=str(suite), backend="reference", networks=networks
    )
    ours = {r.dimension: r.value for r in evaluate(config).run.records}
    assert ours == pytest.approx(theirs, abs=0.01)


def _one_clip_manifest(shared: Path, folder: Path) -> Path:
    path = folder / "list.csv"
    path.write_text(f"path,prompt\n{shared / 'videos/ltx2_realweights.mp4'},two people talk\n")
    return path


def _ten_second_suite(folder: Path, dimensions: tuple[str, ...] = ("temporal_flickering",)) -> Path:
    """temporal_style asks for 10 s clips, so a shorter video is one clip."""
    path = folder / "suite.json"
    entry = {"prompt_en": "two people talk", "dimension": [*dimensions, "temporal_style"]}
    path.write_text(json.dumps([entry]))
    return path
