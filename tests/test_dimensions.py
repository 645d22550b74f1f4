"""One tester for every dimension, and the protocol's arithmetic against published values."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from dimension_cases import CLIPS, score_clip, sliding_texture, still

from vbench_long.dimensions import BACKBONES, DIMENSIONS, ClipScore, VideoFacts
from vbench_long.dimensions.dynamic_degree import (
    DynamicDegree,
    is_dynamic,
    motion_threshold,
    pairs_needed,
    sampling_interval,
    top_motion,
)
from vbench_long.dimensions.imaging_quality import ImagingQuality
from vbench_long.dimensions.motion_smoothness import MotionSmoothness
from vbench_long.dimensions.temporal_flickering import (
    StaticFlickering,
    is_still,
    moving_allowed,
    still_threshold,
)
from vbench_long.errors import UsageError, VideoError
from vbench_long.video import Clip

GOLDEN = Path(__file__).parent / "golden"
DYNAMIC = json.loads((GOLDEN / "dynamic_degree.json").read_text())

CLASSICAL = tuple(n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones)
every_dimension = pytest.mark.parametrize("name", CLASSICAL)


@every_dimension
@pytest.mark.parametrize("clip", CLIPS)
def test_scores_stay_within_bounds(name: str, clip: str) -> None:
    score = score_clip(name, CLIPS[clip])
    low, high = DIMENSIONS.get(name).bounds
    assert score.value is not None
    assert low <= score.value <= high
    assert all(math.isfinite(part) for part in score.parts.values() if part is not None)


@every_dimension
def test_scores_do_not_depend_on_grouping_place_or_repetition(name: str) -> None:
    images = sliding_texture(9)
    one_by_one = score_clip(name, images, group=1)
    assert score_clip(name, images, group=99) == one_by_one
    assert score_clip(name, images, start=31) == one_by_one
    assert score_clip(name, images) == one_by_one


@every_dimension
def test_features_do_not_depend_on_opencv_threads(name: str) -> None:
    images, before = sliding_texture(5, width=400, height=300), cv2.getNumThreads()
    scores = []
    for count in (1, 2, 5, before):  # the last puts it back
        cv2.setNumThreads(count)
        scores.append(score_clip(name, images))
    assert all(score == scores[0] for score in scores)


IDEAL = {**dict.fromkeys(CLASSICAL, 1.0), "dynamic_degree": 0.0}
del IDEAL["imaging_quality"]


@pytest.mark.parametrize("name", IDEAL)
@pytest.mark.parametrize("picture", ["sliding", "noise", "black"])
def test_a_frozen_clip_gets_the_ideal_value(name: str, picture: str) -> None:
    score = score_clip(name, still(CLIPS[picture][0], 8))
    assert score.value == pytest.approx(IDEAL[name], abs=1e-12)


def test_a_frozen_clip_has_the_imaging_quality_of_its_frame() -> None:
    image = sliding_texture(1)[0]
    one, many = (score_clip("imaging_quality", still(image, n)) for n in (1, 6))
    assert many.value == pytest.approx(one.value, abs=1e-12)
    assert set(many.parts) == {"sharpness", "noise", "exposure", "blockiness"}


SHORTEST = {  # name: (one frame, two frames), None where there is no score
    "subject_consistency": (None, 1.0),
    "background_consistency": (None, 1.0),
    "temporal_flickering": (None, 1.0),
    "motion_smoothness": (None, None),
    "dynamic_degree": (0.0, 1.0),  # published quirk: one pair needs no motion at all
    "imaging_quality": ("a score", "a score"),
}


@every_dimension
@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_clips(name: str, count: int) -> None:
    score = score_clip(name, still(sliding_texture(1)[0], count))
    expected = SHORTEST[name][count - 1]
    if expected is None:
        assert score.value is None and score.reason
    elif isinstance(expected, float):
        assert score.value == pytest.approx(expected, abs=1e-12)
    else:
        assert score.value is not None and score.value > 0


@every_dimension
@pytest.mark.parametrize("size", [(1, 64), (64, 1), (7, 7)])
def test_frames_too_small_are_refused_by_name(name: str, size: tuple[int, int]) -> None:
    height, width = size
    images = [np.full((height, width, 3), 9 * i, np.uint8) for i in range(4)]
    if name == "temporal_flickering":  # a difference needs no neighbourhood
        assert score_clip(name, images).value is not None
        return
    with pytest.raises(VideoError, match=rf"{width}x{height} pixels are too small .* \d+x\d+ "):
        score_clip(name, images)


@every_dimension
def test_declarations_hold(name: str) -> None:
    dimension_type = DIMENSIONS.get(name)
    dimension = dimension_type("classical")
    assert dimension.name == name
    assert dimension_type.__doc__ and "Source:" in dimension_type.__doc__
    video = VideoFacts(64, 48, Fraction(8))
    clips = [Clip(0, 16), Clip(16, 32)]
    roles = {*dimension.clip_items(clips[0], video), *dimension.scene_items(clips)}
    for backbones in dimension_type.backbones.values():
        assert set(backbones) == roles
        assert set(backbones.values()) <= set(BACKBONES)
    with pytest.raises(UsageError, match=f"{name} has no 'cloud' version"):
        dimension_type("cloud")


# --- motion smoothness -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "stop", "middles"),
    [
        (0, 2, []),
        (0, 3, [1]),
        (0, 4, [1]),  # the last of an even number of frames is not used
        (0, 7, [1, 3, 5]),
        (5, 10, [6, 8]),  # parity counts from the clip, not from the video
    ],
)
def test_every_odd_frame_of_a_clip_is_predicted(start: int, stop: int, middles: list[int]) -> None:
    video = VideoFacts(64, 48, Fraction(8))
    triples = MotionSmoothness("classical").clip_items(Clip(start, stop), video)["triple"]
    assert list(triples) == [(i - 1, i, i + 1) for i in middles]
    frames = stop - start
    assert len(middles) == max(0, math.ceil(frames / 2) - 1)


def test_motion_smoothness_is_the_mean_error_turned_around() -> None:
    dimension, video = MotionSmoothness("classical"), VideoFacts(64, 48, Fraction(8))
    errors = {"triple": [np.asarray(2.0), np.asarray(5.0)]}
    assert dimension.score_clip(Clip(0, 5), video, errors).value == (255 - 3.5) / 255


# --- dynamic degree --------------------------------------------------------------------------


def test_dynamic_degree_decides_as_published() -> None:
    for height, width, kept, threshold, count in DYNAMIC["params"]:
        assert (motion_threshold(height, width), pairs_needed(kept)) == (threshold, count)
    for side, kept, motions, verdict in DYNAMIC["verdicts"]:
        assert is_dynamic(motions, motion_threshold(side, side), pairs_needed(kept)) is verdict
    for rate, interval in DYNAMIC["intervals"]:
        assert sampling_interval(rate) == interval
    drawn = np.random.default_rng(0).standard_normal((1, 2, 64, 96)).astype(np.float32) * 5
    for share, expected in DYNAMIC["top_motion"]:
        assert top_motion(drawn[0].transpose(1, 2, 0), share) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("fps", "pairs"),
    [
        (Fraction(8), [(3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9)]),
        (Fraction(24), [(3, 6), (6, 9)]),
        (Fraction("11.988"), [(3, 4), (4, 5), (5, 6), (6, 7), (7, 8), (8, 9)]),  # counted as 11
        (Fraction(60), []),
    ],
)
def test_pairs_are_about_an_eighth_of_a_second_apart(fps: Fraction, pairs: list) -> None:
    video = VideoFacts(64, 48, fps)
    assert DynamicDegree("classical").clip_items(Clip(3, 10), video)["pair"] == pairs


def test_dynamic_degree_explains_itself() -> None:
    dimension, video = DynamicDegree("classical"), VideoFacts(512, 256, Fraction(8))
    motions = [np.array([m, 0.0]) for m in (6.1, 6.0, 7.0, 0.0, 9.0, 0, 0)]
    score = dimension.score_clip(Clip(0, 8), video, {"pair": motions})
    assert score == ClipScore(
        1.0, {"pairs": 7, "seen": 3, "above": 2, "needed": 2, "threshold": 6.0}
    )
    still = dimension.score_clip(Clip(0, 8), video, {"pair": [np.zeros(2)] * 7})
    assert still.value == 0.0


# --- imaging quality and flicker -------------------------------------------------------------


def test_imaging_quality_is_the_mean_over_frames() -> None:
    dimension, video = ImagingQuality("classical"), VideoFacts(64, 48, Fraction(8))
    frames = [np.array([0.25, 0.5, 1, 1, 0.5]), np.array([0.75, 1, 1, 0.5, 0.5])]
    score = dimension.score_clip(Clip(0, 2), video, {"frame": frames})
    parts = {"sharpness": 0.75, "noise": 1.0, "exposure": 0.75, "blockiness": 0.5}
    assert score == ClipScore(0.5, parts)
    bare = dimension.score_clip(Clip(0, 2), video, {"frame": [np.float32(0.25), np.float32(0.5)]})
    assert bare == ClipScore(0.375)


@pytest.mark.shared
def test_the_goldens_are_the_shared_ones(shared: Path) -> None:
    golden = shared / "reference/protocol/golden/static_dynamic_sizes.json"
    dynamic = json.loads(golden.read_text())
    params = [[r["h"], r["w"], r["n_frames"], *r["dynamic"].values()] for r in dynamic["params"]]
    assert DYNAMIC["params"] == params
    verdicts = [list(r.values())[1:] for r in dynamic["verdicts"] if "dynamic" in r]
    assert DYNAMIC["verdicts"] == verdicts
    assert DYNAMIC["intervals"] == [list(r.values()) for r in dynamic["sampling_interval"]]


@pytest.mark.shared
def test_flicker_equals_the_published_scores(shared: Path) -> None:
    protocol = shared / "reference/protocol"
    golden = json.loads((protocol / "golden/scores_lossless.json").read_text())
    clips = golden["dimensions"]["temporal_flickering"]["clips"]
    assert len(clips) == 9
    for clip_name, expected in clips.items():
        video = protocol / "videos/golden_set" / f"{clip_name.rpartition('_')[0]}.mp4"
        with av.open(str(video)) as container:
            images = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        first, last = golden["_about"]["clip_frames_inclusive"][clip_name]
        score = score_clip("temporal_flickering", images[first : last + 1])
        assert score.value == pytest.approx(expected["video_results"], abs=1e-7)


# --- the static filter -----------------------------------------------------------------------


def flickering(motions: list[float], frames: int) -> ClipScore:
    dimension, video = StaticFlickering("classical"), VideoFacts(256, 256, Fraction(8))
    clip = Clip(0, frames)
    flows = [np.array([99.0, motion]) for motion in motions]
    pairs = [np.asarray(2.55)] * (frames - 1)
    assert len(dimension.clip_items(clip, video)["flow"]) == frames + 1
    return dimension.score_clip(clip, video, {"pair": pairs, "flow": flows})


def test_the_static_filter_keeps_still_clips() -> None:
    assert flickering([0.0] * 13, 12).value == pytest.approx(0.99)
    moving = flickering([4.0] * 3, 12)  # enough to know, the rest is not computed
    assert moving.value is None and moving.excluded and "moves" in moving.reason
    one = StaticFlickering("classical").score_clip(
        Clip(0, 1), VideoFacts(256, 256, Fraction(8)), {"pair": [], "flow": []}
    )
    assert one.value is None and not one.excluded
    with pytest.raises(ValueError, match="do not decide"):
        flickering([0.0] * 5, 12)


@pytest.mark.shared
def test_the_static_filter_decides_as_published(shared: Path) -> None:
    golden = json.loads(
        (shared / "reference/protocol/golden/static_dynamic_sizes.json").read_text()
    )
    for row in golden["params"]:
        assert still_threshold(row["h"], row["w"]) == row["static"]["thres"]
        assert moving_allowed(row["n_frames"]) == row["static"]["count_num"]
    verdicts = [row for row in golden["verdicts"] if "static" in row]
    assert len(verdicts) >= 5
    for row in verdicts:
        *neighbours, there, back = row["scores"]
        threshold = still_threshold(row["min_side"], row["min_side"])
        assert (
            is_still(neighbours, [there, back], threshold, moving_allowed(row["n"]))
            is row["static"]
        )
