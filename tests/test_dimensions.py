"""One tester for every dimension, and the protocol's arithmetic against published values."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vbench_long.dimensions import BACKBONES, DIMENSIONS, ClipScore, Dimension, Feature, VideoFacts
from vbench_long.dimensions.base import Items
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
from vbench_long.dimensions.slow_fast import MappingTable, consistency, fuse, mapping_table
from vbench_long.dimensions.subject_consistency import SubjectConsistency
from vbench_long.dimensions.temporal_flickering import (
    StaticFlickering,
    is_still,
    moving_allowed,
    still_threshold,
)
from vbench_long.errors import UsageError, VideoError
from vbench_long.video import Clip, Frame, Image

GOLDEN = Path(__file__).parent / "golden"
SLOW_FAST = json.loads((GOLDEN / "slow_fast.json").read_text())
DYNAMIC = json.loads((GOLDEN / "dynamic_degree.json").read_text())

CLASSICAL = tuple(n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones)
every_dimension = pytest.mark.parametrize("name", CLASSICAL)


# --- the tester ------------------------------------------------------------------------------


def sliding_texture(count: int, width: int = 96, height: int = 64, step: int = 3) -> list[Image]:
    """Smooth coloured texture that slides to the left by `step` pixels a frame."""
    rng = np.random.default_rng(7)
    wide = rng.normal(0, 1, (height, width + step * count, 3)).astype(np.float32)
    wide = cv2.normalize(cv2.GaussianBlur(wide, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)
    return [
        np.ascontiguousarray(wide[:, step * i : step * i + width], np.uint8) for i in range(count)
    ]


def still(image: Image, count: int) -> list[Image]:
    return [image.copy() for _ in range(count)]


def constant(level: int, width: int = 64, height: int = 48) -> Image:
    return np.full((height, width, 3), level, np.uint8)


def features_of(
    dimension: Dimension, items: Items, images: Sequence[Image], start: int = 0, group: int = 4
) -> dict[str, list[Feature]]:
    """What the backbones make of `items` when called with at most `group` items at a time."""
    frames = {start + i: Frame(start + i, image.copy()) for i, image in enumerate(images)}
    found: dict[str, list[Feature]] = {}
    for role, wanted in items.items():
        backbone = BACKBONES.get(dimension.backbones[dimension.backend][role])()
        size = min(group, backbone.batch)
        found[role] = [
            feature
            for at in range(0, len(wanted), size)
            for feature in backbone([tuple(frames[i] for i in w) for w in wanted[at : at + size]])
        ]
    return found


def score_clip(
    name: str, images: Sequence[Image], fps: int = 8, start: int = 0, group: int = 4
) -> ClipScore:
    """Score `images` as one clip of the classical dimension `name`."""
    dimension = DIMENSIONS.get(name)("classical")
    height, width = images[0].shape[:2]
    video = VideoFacts(width, height, Fraction(fps))
    clip = Clip(start, start + len(images))
    items = dimension.clip_items(clip, video)
    return dimension.score_clip(clip, video, features_of(dimension, items, images, start, group))


CLIPS = {
    "sliding": sliding_texture(9),
    "noise": list(np.random.default_rng(3).integers(0, 256, (7, 48, 80, 3), np.uint8)),
    "black": still(constant(0), 6),
    "white": still(constant(255), 5),
    "flashing": [constant(255 * (i % 2)) for i in range(6)],
    "smallest": sliding_texture(5, width=16, height=16),
    "odd sizes": sliding_texture(5, width=53, height=37),
    "a strip": sliding_texture(5, width=16, height=700),
}


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


# --- slow-fast consistency -------------------------------------------------------------------


def test_consistency_by_hand() -> None:
    right, up, left = np.array([2.0, 0]), np.array([0, 3.0]), np.array([-1.0, 0])
    diagonal = np.array([1.0, 1.0])
    assert consistency([right, right]) == 1
    assert consistency([right, up]) == 0
    assert consistency([right, left]) == 0  # opposite counts as 0, not -1
    # frame 1: both cosines sqrt(1/2); frame 2: sqrt(1/2) to its predecessor, 0 to the first
    assert consistency([right, diagonal, up]) == pytest.approx((2 + 1) * 0.5**0.5 / 4, abs=1e-15)
    assert consistency([right, np.zeros(2), right]) == pytest.approx((0 + 0 + 0 + 1) / 4)


vectors = st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=2, max_size=7).map(
    np.array
)


@given(vectors)
def test_consistency_equals_the_published_loop(stack: np.ndarray) -> None:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a / max(np.linalg.norm(a), 1e-12), b / max(np.linalg.norm(b), 1e-12)
        return max(0.0, float(a @ b))

    total = 0.0
    for i in range(1, len(stack)):
        total += (cosine(stack[i - 1], stack[i]) + cosine(stack[0], stack[i])) / 2
    assert consistency(list(stack)) == pytest.approx(total / (len(stack) - 1), abs=1e-9)
    assert 0 <= consistency(list(stack.astype(np.float32))) <= 1


@pytest.mark.parametrize("name", ["subject", "background"])
def test_mapping_tables(name: str) -> None:
    table = mapping_table(name)
    assert len(table.keys) == len(table.values) == 101
    assert list(table.keys) == sorted(table.keys)
    assert list(table.values) == sorted(table.values)
    assert all(table(key) == value for key, value in zip(table.keys, table.values, strict=True))
    assert (table(-1), table(0), table(1), table(2)) == (0, 0, 1, 1)


def test_a_mapping_table_is_linear_between_its_keys_and_clamped_outside() -> None:
    table = MappingTable((0.2, 0.4, 0.8), (0.1, 0.5, 0.6))
    mapped = [table(score) for score in (0.0, 0.3, 0.4, 0.5, 0.9)]
    assert mapped == pytest.approx([0.1, 0.3, 0.5, 0.525, 0.6])


@pytest.mark.parametrize("row", SLOW_FAST["rows"], ids=lambda r: f"{r[0][:4]}-{r[1]:.3f}-{r[2]}")
def test_fusion_equals_the_published_one(row: list) -> None:
    name, inclip, fast, mapped, fused = row
    score = fuse(inclip, fast, mapping_table(name.removesuffix("_consistency")))
    assert score.value == pytest.approx(fused, abs=1e-12)
    assert score.parts["inclip_score"] == inclip
    assert score.parts["clip2clip_score"] == fast
    assert score.parts["mapped_clip2clip_score"] == pytest.approx(mapped, abs=1e-12)


def test_a_scene_of_several_clips_is_fused_with_its_first_frames() -> None:
    dimension = SubjectConsistency("classical")
    clips = [Clip(10, 14), Clip(14, 18), Clip(15, 19)]
    assert dimension.scene_items(clips) == {"clip": [(10,), (14,), (15,)]}
    slow = [ClipScore(0.9), ClipScore(None, reason="one frame"), ClipScore(0.7)]
    firsts = [np.array([1.0, 0]), np.array([1.0, 1.0]), np.array([1.0, 0])]
    fast = consistency(firsts)
    mapped = mapping_table("subject")(fast)
    first, none, last = dimension.score_scene(slow, {"clip": firsts})
    assert first.value == pytest.approx((0.9 + mapped) / 2)
    assert last.parts == {
        "inclip_score": 0.7,
        "clip2clip_score": fast,
        "mapped_clip2clip_score": mapped,
    }
    assert none is slow[1]


def test_a_scene_of_one_clip_keeps_its_in_clip_score() -> None:
    dimension = SubjectConsistency("classical")
    assert dimension.scene_items([Clip(0, 9)]) == {}
    slow = score_clip("subject_consistency", sliding_texture(5))
    assert dimension.score_scene([slow], {}) == [slow]
    assert slow.parts["clip2clip_score"] is None
    assert slow.value == slow.parts["inclip_score"]


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
    pure, dynamic, runs = (
        json.loads((shared / f"reference/protocol/golden/{name}.json").read_text())
        for name in ("pure_functions", "static_dynamic_sizes", "scores_lossless")
    )
    fused = [[r["dim"], r["inclip"], r["clip2clip"], r["fused"]] for r in pure["fusion"]]
    fused += [
        [name, c["inclip_score"], c["clip2clip_score"] or None, c["video_results"]]
        for name in ("subject_consistency", "background_consistency")
        for c in runs["dimensions"][name]["clips"].values()
    ]
    assert [[r[0], r[1], r[2], r[4]] for r in SLOW_FAST["rows"]] == fused
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
