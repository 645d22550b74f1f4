"""From videos to a run folder: samples, one decode, resume, failures."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_frames

from vbench_long.dimensions import DIMENSIONS
from vbench_long.errors import UsageError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.runner import Runner, video_value
from vbench_long.evaluation.verify import verify
from vbench_long.records import Sample, Status
from vbench_long.store import load_run
from vbench_long.video import Encoding, Frame, VideoInfo, read_frames

ALL = tuple(n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones)
MakeVideo = Callable[..., Path]


@pytest.fixture
def videos(tmp_path: Path, make_video: MakeVideo) -> Path:
    folder = tmp_path / "videos"
    for index in range(3):
        make_video(f"a cat-{index}.mp4", moving_frames(20, seed=index), folder=folder)
    return folder


def tables(run: Path) -> bytes:
    return (run / "scores.csv").read_bytes() + (run / "videos.csv").read_bytes()


# --- one decode ------------------------------------------------------------------------------


@pytest.mark.parametrize(("frames", "pairs"), [(16, 15), (40, 15 + 15 + 8), (49, 3 * 15 + 1)])
def test_each_frame_is_decoded_once_and_each_item_computed_once(
    make_video: MakeVideo, frames: int, pairs: int
) -> None:
    """Clips of 16 frames; the last one overlaps, and what it shares is not computed again."""
    path = make_video(frames=frames)
    runner = Runner([DIMENSIONS.get(name)("classical") for name in ALL])
    for name in ("one", "two"):
        records = runner.judge(Sample(name, "p", 0, "", dimensions=ALL), path, ALL)
        assert [r.status for r in records] == [Status.OK] * len(ALL)
    counts = runner.counts
    assert counts.decodes == {"one": 1, "two": 1}
    assert counts.frames == {"one": frames, "two": frames}
    assert set(counts.loads.values()) == {1}
    assert counts.items["pixel_difference"] == 2 * pairs
    assert counts.items["subject_descriptor"] == 2 * frames


def test_memory_does_not_grow_with_length(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vbench_long.evaluation.runner as module

    def most_alive(frames: int) -> int:
        path = make_video(f"{frames}.mp4", moving_frames(frames, 32, 32))
        alive: set[int] = set()
        peaks = [0]

        def watched(info: VideoInfo) -> Iterator[Frame]:
            for frame in read_frames(info):
                alive.add(frame.index)
                weakref.finalize(frame.rgb, alive.discard, frame.index)
                peaks.append(len(alive))
                yield frame

        monkeypatch.setattr(module, "read_frames", watched)
        runner = Runner([DIMENSIONS.get(name)("classical") for name in ALL])
        records = runner.judge(Sample("v", "p", 0, "", dimensions=ALL), path, ALL)
        assert all(r.status is Status.OK for r in records)
        return max(peaks)

    assert most_alive(480) <= most_alive(48) + 4


def test_a_header_that_lies_costs_a_second_decode_and_a_note(
    make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    import vbench_long.evaluation.runner as module

    path = make_video(frames=40)
    true = module.probe(path)
    honest = Runner([DIMENSIONS.get("temporal_flickering")("classical")])
    sample = Sample("v", "p", 0, "", dimensions=("temporal_flickering",))
    expected = honest.judge(sample, path, sample.dimensions)[0]
    for lie in (39, 41, 90):
        monkeypatch.setattr(module, "probe", lambda *_, n=lie: replace(true, frames=n, declared=n))
        runner = Runner([DIMENSIONS.get("temporal_flickering")("classical")])
        record = runner.judge(sample, path, sample.dimensions)[0]
        assert record.value == expected.value
        assert runner.counts.decodes == {"v": 2}
        assert f"the header says {lie} frames, 40 decode" in record.parts["notes"]


def test_scenes_are_joined_back(make_video: MakeVideo) -> None:
    frames = moving_frames(20, seed=1) + [255 - f for f in moving_frames(36, seed=2)]
    path = make_video(frames=frames)
    dimensions = [
        DIMENSIONS.get(n)("classical") for n in ("temporal_flickering", "subject_consistency")
    ]
    names = tuple(d.name for d in dimensions)
    sample = Sample("v", "p", 0, "", dimensions=names)
    whole = Runner(dimensions).judge(sample, path, names)
    runner = Runner(dimensions, scene_threshold=35.0)
    cut = runner.judge(sample, path, names)
    clips = [(c["start"], c["stop"], c["scene"]) for c in cut[0].parts["clips"]]
    assert clips == [(0, 16, 0), (4, 20, 0), (20, 36, 1), (36, 52, 1), (40, 56, 1)]
    assert all(a.value < b.value for a, b in zip(whole, cut, strict=True))
    values = [c["value"] for c in cut[0].parts["clips"]]
    assert cut[0].value == pytest.approx((np.mean(values[:2]) + np.mean(values[2:])) / 2, abs=1e-15)
    assert runner.counts.frames == runner.counts.scene_frames == {"v": 56}
    fast = {c["clip2clip_score"] for c in cut[1].parts["clips"]}
    assert len(fast) == 2, "each scene has its own fast branch"


def test_video_value_is_the_mean_of_scene_means() -> None:
    assert video_value([[1.0, 0.0], [0.0, None], [None]]) == 0.25
    assert video_value([[None], []]) is None


# --- a run -----------------------------------------------------------------------------------


def test_a_folder_of_videos(tmp_path: Path, videos: Path) -> None:
    outcome = evaluate(RunConfig(tmp_path / "run", videos=videos))
    assert outcome.run.manifest.status == "complete"
    assert outcome.run.manifest.counts == {"ok": 3 * len(ALL)}
    assert {r.dimension for r in outcome.run.records} == set(ALL)
    assert [(s.prompt, s.index) for s in outcome.run.samples] == [("a cat", i) for i in range(3)]
    assert verify(tmp_path / "run") == []
    head, first, *_ = (tmp_path / "run" / "scores.csv").read_text().splitlines()
    assert head.startswith("dimension,score,") and first.startswith("subject_consistency,0.")


def test_the_same_command_again_does_nothing_and_a_changed_video_is_judged_again(
    tmp_path: Path, videos: Path, make_video: MakeVideo
) -> None:
    config = RunConfig(tmp_path / "run", videos=videos)
    evaluate(config)
    before = tables(tmp_path / "run")
    again = evaluate(config)
    assert not again.counts.decodes
    assert tables(tmp_path / "run") == before
    make_video("a cat-1.mp4", moving_frames(20, seed=9), folder=videos)
    assert verify(tmp_path / "run") == ["a cat-1.mp4: the file has changed since it was judged"]
    assert evaluate(config).counts.decodes == {"a cat-1.mp4": 1}
    assert tables(tmp_path / "run") != before


def test_dimensions_can_be_added_later(tmp_path: Path, videos: Path) -> None:
    evaluate(RunConfig(tmp_path / "a", videos=videos, dimensions=("temporal_flickering",)))
    second = evaluate(RunConfig(tmp_path / "a", videos=videos))
    assert second.counts.items.get("pixel_difference") is None
    evaluate(RunConfig(tmp_path / "b", videos=videos))
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def test_another_protocol_needs_another_folder(tmp_path: Path, videos: Path) -> None:
    evaluate(RunConfig(tmp_path / "run", videos=videos, dimensions=("temporal_flickering",)))
    with pytest.raises(UsageError, match=r"protocol\.scenes: None -> 35\.0"):
        evaluate(RunConfig(tmp_path / "run", videos=videos, scenes=35.0))
    with pytest.raises(UsageError, match=r"protocol\.backend"):
        evaluate(
            RunConfig(
                tmp_path / "run",
                videos=videos,
                backend="reference",
                dimensions=("temporal_flickering",),
            )
        )
    with pytest.raises(UsageError, match=r"model\.videos"):
        evaluate(RunConfig(tmp_path / "run", videos=videos / "a cat-0.mp4"))


def test_bad_videos_cost_their_own_rows_only(
    tmp_path: Path, videos: Path, make_video: MakeVideo
) -> None:
    (videos / "empty-0.mp4").write_bytes(b"")
    (videos / "text-0.mp4").write_text("not a video")
    whole = (videos / "a cat-0.mp4").read_bytes()
    (videos / "cut-0.mp4").write_bytes(whole[: len(whole) // 2])
    (videos / "notes.txt").write_text("left out")
    make_video("one-0.mp4", 1, folder=videos)
    make_video("two-0.mp4", 2, folder=videos)
    make_video("flat-0.mp4", [f[:2] for f in moving_frames(16)], folder=videos)
    thin = Encoding("ffv1", "bgr0", {})
    make_video("thin-0.mkv", [f[:1] for f in moving_frames(16)], folder=videos, encoding=thin)
    make_video("a cat-0.mkv", 20, folder=videos)  # a second claim to sample 0 of "a cat"
    run = evaluate(RunConfig(tmp_path / "run", videos=videos)).run
    status = {(r.video, r.dimension): r.status for r in run.records}
    errors = {(r.video, r.dimension): r.error for r in run.records}
    for video, word in {
        "empty-0.mp4": "empty",
        "text-0.mp4": "not a readable video",
        "cut-0.mp4": "not a readable video",
        "a cat-0.mp4": "2 videos claim sample 0",
        "a cat-0.mkv": "2 videos claim sample 0",
    }.items():
        assert all(status[video, name] is Status.FAILED for name in ALL)
        assert all(word in errors[video, name] for name in ALL)
    assert all(status["a cat-1.mp4", name] is Status.OK for name in ALL)
    assert status["one-0.mp4", "temporal_flickering"] is Status.FAILED
    assert status["one-0.mp4", "imaging_quality"] is Status.OK
    assert status["two-0.mp4", "temporal_flickering"] is Status.OK
    assert status["two-0.mp4", "motion_smoothness"] is Status.FAILED
    assert status["flat-0.mp4", "temporal_flickering"] is Status.OK
    assert status["thin-0.mkv", "temporal_flickering"] is Status.OK
    assert "too small" in errors["thin-0.mkv", "imaging_quality"]
    assert all(errors[key] for key in status if status[key] is Status.FAILED)
    assert verify(tmp_path / "run") == []
    (videos / "a cat-0.mkv").unlink()
    healed = evaluate(RunConfig(tmp_path / "run", videos=videos)).run
    assert {r.status for r in healed.records if r.video == "a cat-0.mp4"} == {Status.OK}
    assert not [r for r in healed.records if r.video == "a cat-0.mkv"]


def test_a_backbone_that_breaks_costs_its_own_dimensions_only(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vbench_long.dimensions.classical.pixels import PixelDifference

    def explode(self: object, items: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(PixelDifference, "__call__", explode)
    run = evaluate(RunConfig(tmp_path / "run", videos=videos)).run
    failed = {r.dimension for r in run.records if r.status is Status.FAILED}
    assert failed == {"temporal_flickering"}
    assert "ZeroDivisionError: planted" in run.records[-1].error or failed


def test_a_score_outside_its_range_is_an_error(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from vbench_long.dimensions.classical.pixels import PixelDifference

    monkeypatch.setattr(
        PixelDifference, "__call__", lambda self, items: [np.asarray(300.0) for _ in items]
    )
    config = RunConfig(tmp_path / "run", videos=videos, dimensions=("temporal_flickering",))
    assert all("legal range" in r.error for r in evaluate(config).run.records)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dimensions": ("subject_consistancy",)}, "did you mean 'subject_consistency'"),
        ({"dimensions": ("scene",)}, "no 'classical' version"),
        ({"dimensions": ("aesthetic_quality",)}, "no 'classical' version"),
        ({"backend": "clasical"}, "did you mean 'classical'"),
        ({"suite": "lng"}, "long"),
        ({"model": "synthetic"}, "both --model and --videos"),
        ({"limit": 0}, "--limit 0"),
        ({"clips": "approximate"}, "unknown clips mode"),
    ],
)
def test_wrong_words_get_the_nearest_right_one(
    tmp_path: Path, videos: Path, change: dict, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(replace(RunConfig(tmp_path / "run", videos=videos), **change))


# --- generated videos ------------------------------------------------------------------------


def test_a_generator_fills_the_run(tmp_path: Path) -> None:
    config = RunConfig(
        tmp_path / "run",
        model="synthetic",
        model_args={"width": "64", "height": "48", "seconds": "2", "fps": "8"},
        suite="mini",
        limit=2,
        samples=2,
        dimensions=("temporal_flickering",),
    )
    run = evaluate(config).run
    assert [s.seed for s in run.samples] == [0, 1, 100_000, 100_001]
    assert run.manifest.counts == {"ok": 4}
    assert len({r.sha256 for r in run.records}) == 4
    again = RunConfig(
        tmp_path / "again",
        videos=tmp_path / "run" / "videos" / "manifest.csv",
        suite="mini",
        limit=2,
        samples=2,
        dimensions=("temporal_flickering",),
    )
    assert tables(evaluate(again).run.folder) == tables(run.folder)
    with pytest.raises(UsageError, match=r"model\.seed: 0 -> 5"):
        evaluate(replace(config, seed=5))
    assert load_run(tmp_path / "run").manifest.name == "synthetic"
    assert Fraction(run.manifest.model["settings"]["fps"]) == 8
