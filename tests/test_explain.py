"""Explaining a video: the evidence gives the recorded scores, and what does not is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import moving_frames
from explain_cases import (
    ACTION,
    LOSSLESS,
    NAME,
    THINGS,
    build,
    look,
    of,
    page,
    semantic_suite,
)
from semantic_cases import CPU, TAG2TEXT_FACTORS, MadeUp, SmallTag2Text, coarse, singles

from vbench_long.cli import main
from vbench_long.dimensions import DIMENSIONS, Dimension, VideoFacts
from vbench_long.dimensions.dynamic_degree import DynamicDegree
from vbench_long.dimensions.evidence import Boxes, Curve, Evidence, Ranking, Words
from vbench_long.dimensions.motion_smoothness import MotionSmoothness
from vbench_long.errors import EnvironmentFault, RunError, UsageError, VideoError
from vbench_long.evaluation import Networks, RunConfig, evaluate
from vbench_long.evaluation.explaining import ExplainConfig, explain, find_sample
from vbench_long.leaderboard.evidence import (
    SeenDimension,
    evidence_html,
    shown_frames,
)
from vbench_long.records import Status
from vbench_long.store import Store, load_run
from vbench_long.video import Clip, write_video

MakeVideo = Callable[..., Path]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of all sixteen dimensions with stand-ins for networks."""
    folder = tmp_path_factory.mktemp("semantic")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Networks, "build", build)
        videos, suite = semantic_suite(folder)
        config = RunConfig(
            folder / "run", videos=videos, suite=str(suite), backend="reference",
            networks=Networks("seeded", "cpu"),
        )  # fmt: skip
        evaluate(config)
    return folder / "run"


@pytest.fixture
def semantic(judged: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, while the stand-ins are there."""
    monkeypatch.setattr(Networks, "build", build)
    return judged


# The evidence is that of the score.


def adds_up(seen: SeenDimension) -> None:
    """Every clip's evidence gives its score; what was shown of the measure is all there."""
    assert seen.verdict == "same" and seen.doubts == ()
    assert seen.recorded and seen.recorded.value == seen.measured.value
    stored = seen.recorded.parts["clips"]
    assert [(c["start"], c["stop"], c["value"]) for c in stored] == [
        (clip.start, clip.stop, clip.value) for clip in seen.clips
    ]
    for clip, part in zip(seen.clips, stored, strict=True):
        frames = clip.evidence.frames
        assert frames, seen.name
        if frames.shares:
            assert sum(frames.shares) == pytest.approx(1)
            expected = part.get("inclip_score", clip.value)
            assert frames.score == pytest.approx(expected, abs=1e-9)


def test_classical_evidence_gives_the_recorded_scores(classical_run: Path) -> None:
    explanation = look(classical_run, NAME)
    assert [seen.name for seen in explanation.dimensions] == [
        name for name in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(name).backbones
    ]
    for seen in explanation.dimensions:
        adds_up(seen)
        assert len(seen.clips) == 3
        assert any(isinstance(e, Curve) for e in seen.clips[0].evidence.exhibits)


@pytest.mark.parametrize("prompt", [THINGS, ACTION])
def test_reference_evidence_gives_the_recorded_scores(semantic: Path, prompt: str) -> None:
    explanation = look(semantic, f"{prompt}-0.mp4")
    assert len(explanation.dimensions) == (13 if prompt == THINGS else 3)
    for seen in explanation.dimensions:
        adds_up(seen)
    assert evidence_html(explanation, {})


def test_boxes_are_those_of_the_frames_that_count(semantic: Path) -> None:
    seen = of(look(semantic, THINGS, dimensions=("object_class",)), "object_class")
    for clip in seen.clips:
        frames = clip.evidence.frames
        assert frames
        worth = dict(zip(frames.moments, frames.values, strict=True))
        boxes = [e for e in clip.evidence.exhibits if isinstance(e, Boxes)]
        assert {(e.frame,) for e in boxes} == set(worth) and boxes[0].size == (160, 96)
        for exhibit in boxes:
            assert worth[exhibit.frame,] == any(t.name == "dog" for t in exhibit.things)
            assert all(t.sought == (t.name == "dog") for t in exhibit.things)
    assert seen.clips[0].value == 12 / 16 and seen.clips[1].value == 4 / 16


def test_captions_come_with_their_tags(semantic: Path) -> None:
    seen = of(look(semantic, THINGS, dimensions=("scene",)), "scene")
    words = [e for e in seen.clips[0].evidence.exhibits if isinstance(e, Words)]
    assert [e.frame for e in words] == [0, 1, 2, 3, 4, 5]
    assert {(e.text, e.tags) for e in words} == {("a car on a street", ("street", "car"))}
    text = page(evidence_html(look(semantic, THINGS, dimensions=("scene",)), {})).text
    assert "Frame 0 0.00 s, counts 18.8 % right a car on a street street car" in text
    assert "Frame 5 0.62 s, counts 6.25 % right" in text
    assert "Frame 12 1.50 s, counts 18.8 %, clip 2 wrong a wall" in text
    assert "Frame 13 1.62 s, counts 6.25 % wrong a wall" in text


def test_a_frame_that_counts_twice_has_one_card() -> None:
    scene, clip = DIMENSIONS.get("scene")("reference"), Clip(0, 3)
    facts = VideoFacts(64, 48, Fraction(8), "", {"scene": {"scene": {"scene": "hall"}}})
    said = [np.asarray("a hall")] * 6
    evidence = scene.evidence(clip, facts, {"frame": said, "tags": [np.array([])] * 6})
    assert [words.frame for words in evidence.exhibits if isinstance(words, Words)] == [0, 1, 2]
    assert evidence.frames and len(evidence.frames.moments) == 6 and evidence.frames.score == 1


def test_tag2text_tells_the_tags_its_captions_are_made_of() -> None:
    network = SmallTag2Text(MadeUp(TAG2TEXT_FACTORS), CPU)
    items = singles(coarse(3, 2, 96, 96))
    looked = network.look([*items, *items], [""] * 2 + ["tags"] * 2)
    assert [str(said) for said in looked[:2]] == [str(said) for said in network(items)]
    tags = network.look(items, ["tags"] * 2)
    assert [list(some) for some in tags] == [list(some) for some in looked[2:]]
    assert any(len(some) for some in tags)
    assert all(tag in network.names for some in tags for tag in some)


def test_the_five_likeliest_actions(semantic: Path) -> None:
    seen = of(look(semantic, ACTION, dimensions=("human_action",)), "human_action")
    (ranking,) = seen.clips[0].evidence.exhibits
    assert isinstance(ranking, Ranking) and ranking.sought == "riding a bike"
    shares = [share for _, share in ranking.entries]
    assert len(shares) == 5 and shares == sorted(shares, reverse=True)
    part = seen.measured.parts["clips"][0]
    named = dict(ranking.entries)
    assert (part["rank"] <= 5) == ("riding a bike" in named)
    assert f"comes {part['rank']} of 400" in seen.clips[0].evidence.said


def test_motion_is_shown_to_the_end_though_the_verdict_was_certain_before(
    classical_run: Path,
) -> None:
    seen = of(look(classical_run, NAME, dimensions=("dynamic_degree",)), "dynamic_degree")
    assert any(c["seen"] < c["pairs"] for c in seen.measured.parts["clips"])
    for clip, part in zip(seen.clips, seen.measured.parts["clips"], strict=True):
        (curve,) = clip.evidence.exhibits
        assert isinstance(curve, Curve) and len(curve.moments) == part["pairs"]
        assert list(curve.limits.values()) == [part["threshold"]]
        assert (
            part
            == of(look(classical_run, NAME), "dynamic_degree").recorded.parts["clips"][  # type: ignore[union-attr]
                seen.clips.index(clip)
            ]
        )


@pytest.mark.parametrize("change", ["still", "moving"])
def test_the_static_filter_shows_by_what_it_decides(
    tmp_path: Path, make_video: MakeVideo, change: str
) -> None:
    images = moving_frames(16)
    make_video(NAME, images if change == "moving" else images[:1] * 16, folder=tmp_path / "v")
    names = ("temporal_flickering",)
    evaluate(RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=names, static_filter=True))
    seen = of(look(tmp_path / "r", NAME), "temporal_flickering")
    evidence = seen.clips[0].evidence
    assert seen.verdict == "same" and len(evidence.exhibits) == 2 and "pairs move" in evidence.said
    assert (evidence.frames is None) == (seen.measured.status is Status.EXCLUDED)
    assert (change == "moving") == (seen.measured.status is Status.EXCLUDED)


def test_frames_of_the_reference_encode_are_those_that_were_judged(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video(frames=20, folder=tmp_path / "v")
    names = ("subject_consistency", "temporal_flickering")
    config = RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=names, clips="reference")
    evaluate(config)
    explanation, pictures = explain(ExplainConfig(tmp_path / "r", NAME))
    for seen in explanation.dimensions:
        adds_up(seen)
    second = of(explanation, "temporal_flickering").clips[1]
    assert (second.start, second.stop) == (4, 20)
    (curve,) = second.evidence.exhibits
    assert isinstance(curve, Curve) and curve.moments[0] == (16, 17)
    assert [explanation.number(frame) for frame in curve.moments[0]] == [4, 5]
    assert set(pictures) == shown_frames(explanation)
    assert any(frame > 19 for frame in pictures)


# What is not as it was.


def test_another_file_is_said_and_fails(
    classical_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(tmp_path / "v" / NAME, moving_frames(40, seed=5), Fraction(8), LOSSLESS)
    explanation = look(classical_run, NAME)
    assert all("file has changed" in seen.doubts[0] for seen in explanation.dimensions)
    assert of(explanation, "imaging_quality").verdict == "differs"
    text = page(evidence_html(explanation, {})).text
    assert "came out otherwise than recorded" in text and "the file has changed" in text
    assert (
        main(["explain", str(classical_run), "--video", NAME, "--output", str(tmp_path / "p.html")])
        == 3
    )
    assert "differs" in capsys.readouterr().out


def test_other_arithmetic_and_versions_are_said(
    classical_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MotionSmoothness, "revision", 9)
    seen = of(look(classical_run, NAME), "motion_smoothness")
    assert seen.verdict == "same"
    assert seen.doubts == (
        "it was computed by motion_smoothness/classical/1, and now by"
        " motion_smoothness/classical/9",
    )
    elsewhere = {"python": "2.7"}
    monkeypatch.setattr("vbench_long.evaluation.explaining.environment", lambda: elsewhere)
    explanation = look(classical_run, NAME, dimensions=("motion_smoothness",))
    assert any("environment python" in doubt for doubt in explanation.dimensions[0].doubts)
    assert "although something has changed" in page(evidence_html(explanation, {})).text


def test_evidence_that_does_not_add_up_is_said(
    classical_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = MotionSmoothness.evidence

    def wrong(self: MotionSmoothness, *about: Any) -> Evidence:
        evidence = given(self, *about)
        assert evidence.frames
        values = (0.5, *evidence.frames.values[1:])
        return replace(evidence, frames=replace(evidence.frames, values=values))

    monkeypatch.setattr(MotionSmoothness, "evidence", wrong)
    seen = of(look(classical_run, NAME), "motion_smoothness")
    assert len(seen.doubts) == 3 and "adds up to" in seen.doubts[0]


def test_what_is_not_recorded_yet_is_measured(classical_run: Path) -> None:
    (sample,) = load_run(classical_run).samples
    with Store(classical_run) as store:
        store._db.execute("DELETE FROM records WHERE dimension = 'motion_smoothness'")
        store._db.commit()
    explanation = look(classical_run, sample.video)
    assert of(explanation, "motion_smoothness").verdict == "new"
    assert of(explanation, "imaging_quality").verdict == "same"
    assert "not recorded yet" in page(evidence_html(explanation, {})).text


def test_a_prompt_that_says_nothing_is_explained_by_the_reason(
    tmp_path: Path, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Networks, "build", build)
    make_video(frames=16, folder=tmp_path / "v")
    config = RunConfig(
        tmp_path / "r", videos=tmp_path / "v", dimensions=("scene", "human_action"),
        backend="reference", networks=Networks("seeded", "cpu"),
    )  # fmt: skip
    evaluate(config)
    explanation = look(tmp_path / "r", NAME)
    assert [seen.verdict for seen in explanation.dimensions] == ["same", "same"]
    text = page(evidence_html(explanation, {})).text
    assert "Recorded as missing: the prompt's auxiliary information names no scene" in text


# Errors.


def test_videos_by_name_part_and_path(tmp_path: Path, make_video: MakeVideo) -> None:
    for name in ("a red car-0.mp4", "a red car-1.mp4", "a RED carpet-0.mp4", "ein Haus-0.mp4"):
        make_video(name, 3, folder=tmp_path / "v")
    names = ("temporal_flickering",)
    run = evaluate(RunConfig(tmp_path / "r", videos=tmp_path / "v", dimensions=names)).run

    def found(text: str) -> str:
        return find_sample(run, text).video

    assert found("a red car-0.mp4") == found("a red car-0") == "a red car-0.mp4"
    assert found("HAUS") == "ein Haus-0.mp4" and found("carpet") == "a RED carpet-0.mp4"
    assert found(str(tmp_path / "v" / "a red car-1.mp4")) == "a red car-1.mp4"
    with pytest.raises(UsageError, match="2 videos of the run fit 'red car-'") as error:
        found("red car-")
    assert "'a red car-0.mp4', 'a red car-1.mp4'" in str(error.value)
    with pytest.raises(UsageError, match=r"no video of the run is called 'dog'.*'ein Haus-0.mp4'"):
        found("dog")
    assert find_sample(replace(run, samples=run.samples[:1]), "").video  # a run of one video


def test_a_file_that_is_gone_is_named(classical_run: Path, tmp_path: Path) -> None:
    (tmp_path / "v" / NAME).unlink()
    with pytest.raises(VideoError, match=r"is gone.*put it back"):
        look(classical_run, NAME)
    assert main(["explain", str(classical_run), "--video", NAME]) == 3
    assert not (classical_run / "explain").exists()


def test_a_dimension_that_was_not_asked_for(classical_run: Path) -> None:
    with pytest.raises(UsageError, match=r"not judged on 'imaging'.*'imaging_quality'"):
        look(classical_run, NAME, dimensions=("imaging",))
    with pytest.raises(UsageError, match="not judged on 'scene'"):
        look(classical_run, NAME, dimensions=("scene",))


def test_an_imported_run_has_nothing_to_look_at(classical_run: Path, tmp_path: Path) -> None:
    text = (classical_run / "run.json").read_text()
    data = json.loads(text)
    (classical_run / "run.json").write_text(
        json.dumps({**data, "model": {"imported": "results.zip"}})
    )
    with pytest.raises(RunError, match="imported: there are scores, but no videos"):
        look(classical_run, NAME)


def test_weights_that_are_not_here_are_named(classical_run: Path, home: Path) -> None:
    data = json.loads((classical_run / "run.json").read_text())
    data["protocol"] |= {"backend": "reference", "untrained": False}
    data.pop("protocol_id")
    from vbench_long.records import digest

    (classical_run / "run.json").write_text(
        json.dumps({**data, "protocol_id": digest(data["protocol"])})
    )
    with pytest.raises(EnvironmentFault, match=r"musiq_spaq.*vbench-long weights pull musiq_spaq"):
        look(classical_run, NAME, dimensions=("imaging_quality",))


def test_early_stops_are_only_for_scores() -> None:
    assert DynamicDegree.evidence_items is Dimension.evidence_items
