"""The published program's hidden encode, reproduced in memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_frames

from vbench_long.dimensions import VideoFacts
from vbench_long.dimensions.subject_consistency import SubjectConsistency
from vbench_long.errors import UsageError, VideoError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.plan import plan_video
from vbench_long.evaluation.stream import encoded_again
from vbench_long.leaderboard.protocols import require_one_protocol
from vbench_long.video import Frame, Scene, probe, read_frames
from vbench_long.video.reencode import Reencoder


def reencoded(frames: list[np.ndarray], rate: int) -> list[np.ndarray]:
    encoder = Reencoder(rate)
    for frame in frames:
        encoder.add(frame)
    return [frame.rgb for frame in encoder.frames()]


@pytest.mark.shared
def test_clips_equal_the_stored_ones_bit_for_bit(shared: Path) -> None:
    folder = shared / "reference/protocol"
    plan = json.loads((folder / "golden/scores_abr_1024k.json").read_text())["_about"]
    compared = 0
    for stored in sorted((folder / "videos/abr_clips").glob("*_[0-9f]*.mp4")):
        first, last = plan["clip_frames_inclusive"][stored.name]
        stem = stored.stem.rsplit("_", 1)[0]
        source = probe(folder / "videos/golden_set" / f"{stem}.mp4")
        frames = [f.rgb for f in read_frames(source)][first : last + 1]
        theirs = [f.rgb for f in read_frames(probe(stored))]
        ours = reencoded(frames, int(source.fps))
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)), stored.name
        compared += 1
    assert compared == 4


def test_it_is_lossy_and_the_same_every_time() -> None:
    frames = moving_frames(16, 320, 240)
    once = reencoded(frames, 8)
    assert len(once) == 16
    assert any(not np.array_equal(a, b) for a, b in zip(once, frames, strict=True))
    for _ in range(5):
        again = reencoded(frames, 8)
        assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))


def test_odd_sides_are_refused() -> None:
    with pytest.raises(VideoError, match="even sides"):
        reencoded(moving_frames(3, 65, 48), 8)


def test_every_clip_has_an_encode_of_its_own_and_every_scene_a_fast_branch() -> None:
    frames = moving_frames(52, 64, 48)
    scenes = [Scene(0, 20), Scene(20, 30), Scene(30, 52)]  # the middle one is a single clip
    facts = VideoFacts(64, 48, Fraction(8))
    dimension = SubjectConsistency("classical")
    plan = plan_video(facts, scenes, 2, [dimension], encoded=True)
    stream = list(encoded_again((Frame(i, f) for i, f in enumerate(frames)), plan))
    assert [frame.index for frame in stream] == list(range(len(stream)))
    assert len(stream) == (32 + 2) + 10 + (32 + 2)
    for scene in plan.scenes:
        firsts = []
        for clip, seen in zip(scene.clips, scene.seen, strict=True):
            alone = reencoded(frames[clip.start : clip.stop], 8)
            firsts.append(alone[0])
            ours = [stream[i].rgb for i in seen.frames]
            assert all(np.array_equal(a, b) for a, b in zip(ours, alone, strict=True))
        if len(firsts) > 1:
            ours = [stream[first.start].rgb for first in scene.firsts]
            again = reencoded(firsts, 8)
            assert all(np.array_equal(a, b) for a, b in zip(ours, again, strict=True))


def test_the_mode_changes_scores_and_is_another_protocol(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    rng = np.random.default_rng(0)
    noise = [rng.integers(0, 256, (96, 128, 3), np.uint8) for _ in range(20)]
    path = make_video(frames=noise)
    exact = evaluate(RunConfig(tmp_path / "exact", videos=path)).run
    encoded = evaluate(RunConfig(tmp_path / "encoded", videos=path, clips="reference")).run
    values = [{r.dimension: r.value for r in run.records} for run in (exact, encoded)]
    assert values[1]["temporal_flickering"] > values[0]["temporal_flickering"]
    starts = [[c["start"] for c in run.records[0].parts["clips"]] for run in (exact, encoded)]
    assert starts == [[0, 4], [0, 4]]
    with pytest.raises(UsageError, match="clips: 'exact' -> 'reference'"):
        require_one_protocol([exact, encoded])
