"""The classical operators: known motions, drifts and defects move the scores the right way."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from vbench_long.dimensions import BACKBONES, DIMENSIONS, VideoFacts
from vbench_long.dimensions.classical.descriptors import BackgroundDescriptor, SubjectDescriptor
from vbench_long.dimensions.classical.flow import DisFlow, DisInterpolation, flow, in_between
from vbench_long.dimensions.classical.image_defects import ImageDefects
from vbench_long.dimensions.classical.pixels import PixelDifference, grey, reduced
from vbench_long.video import Clip, Frame, Image

GOLDEN = json.loads((Path(__file__).parent / "golden" / "classical.json").read_text())


# --- small worlds ----------------------------------------------------------------------------


@cache
def panorama(seed: int, width: int = 480, height: int = 240) -> Image:
    """A coloured landscape of noise in three octaves around a colour of its own."""
    rng = np.random.default_rng(seed)
    noise = sum(
        weight * cv2.GaussianBlur(rng.normal(0, sigma, (height, width, 3)), (0, 0), sigma)
        for sigma, weight in ((2, 30), (6, 50), (20, 70))
    )
    return np.clip(rng.uniform(40, 215, 3) + noise, 0, 255).astype(np.uint8)


def view(world: Image, left: float, top: float = 0, width: int = 240, height: int = 160) -> Image:
    """The window of `world` whose corner is at (left, top), in parts of pixels too."""
    shift = np.array([[1, 0, -left], [0, 1, -top]], np.float64)
    return cv2.warpAffine(world, shift, (width, height), flags=cv2.INTER_CUBIC)


def with_subject(background: Image, subject: Image, left: int = 80) -> Image:
    """`subject` cut to a soft disc of 90 pixels, in front of `background`."""
    out = background.astype(np.float32)
    disc = cv2.circle(np.zeros((100, 100), np.float32), (50, 50), 45, 1, -1)
    disc = cv2.GaussianBlur(disc, (0, 0), 2)[..., None]
    place = np.s_[30:130, left : left + 100]
    out[place] += disc * (subject[:100, :100].astype(np.float32) - out[place])
    return out.astype(np.uint8)


def mixed(first: Image, second: Image, share: float) -> Image:
    return cv2.addWeighted(first, 1 - share, second, share, 0)


def score(name: str, images: Sequence[Image], fps: int = 8) -> float:
    """The classical score of `images` taken as one clip."""
    dimension = DIMENSIONS.get(name)("classical")
    height, width = images[0].shape[:2]
    clip, video = Clip(0, len(images)), VideoFacts(width, height, Fraction(fps))
    frames = [Frame(i, image.copy()) for i, image in enumerate(images)]
    features = {
        role: BACKBONES.get(dimension.backbones["classical"][role])()(
            [tuple(frames[i] for i in item) for item in items]
        )
        for role, items in dimension.clip_items(clip, video).items()
    }
    value = dimension.score_clip(clip, video, features).value
    assert value is not None
    return value


def cosine(operator: SubjectDescriptor | BackgroundDescriptor, one: Image, other: Image) -> float:
    first, second = operator([(Frame(0, one.copy()),), (Frame(1, other.copy()),)])
    return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))


def defects(image: Image) -> dict[str, float]:
    (feature,) = ImageDefects()([(Frame(0, image.copy()),)])
    names = ("quality", "sharpness", "noise", "exposure", "blockiness")
    return dict(zip(names, map(float, feature), strict=True))


# --- optical flow ----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(240, 160), (900, 600)])
@pytest.mark.parametrize("shift", [(2, 0), (0, 3), (-4, 2), (8, -6), (20, 10)])
def test_flow_finds_known_translations(size: tuple[int, int], shift: tuple[int, int]) -> None:
    scale = size[0] / 240
    world = cv2.resize(panorama(1), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    right, down = shift[0] * scale, shift[1] * scale
    first = grey(view(world, 60 * scale, 30 * scale, *size))
    second = grey(view(world, 60 * scale - right, 30 * scale - down, *size))
    found = np.median(flow(first, second), axis=(0, 1))
    length = float(np.hypot(right, down))
    assert np.hypot(*(found - (right, down))) < 0.05 * length


def test_flow_of_a_still_picture_is_exactly_zero() -> None:
    for image in (panorama(2), np.random.default_rng(0).integers(0, 256, (70, 99, 3), np.uint8)):
        assert not flow(grey(image), grey(image).copy()).any()


@pytest.mark.parametrize("size", [(240, 160), (1200, 800)])
def test_motion_is_counted_in_original_pixels(size: tuple[int, int]) -> None:
    scale = size[0] / 240
    world = cv2.resize(panorama(3), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    frames = [Frame(i, view(world, (40 + 9 * i) * scale, 20 * scale, *size)) for i in (0, 1)]
    ((top5, top2),) = DisFlow()([tuple(frames)])
    assert 0.98 * 9 * scale < top5 < 1.2 * 9 * scale
    assert top2 >= top5


def test_motion_of_a_small_fast_part_is_seen() -> None:
    background, subject = panorama(4)[:160, :240], panorama(5)
    calm = [with_subject(background, subject, 60 + i) for i in (0, 1)]
    fast = [with_subject(background, subject, 60 + 12 * i) for i in (0, 1)]
    ((slow_motion, _), (fast_motion, _)) = DisFlow()(
        [tuple(Frame(i, image) for i, image in enumerate(pair)) for pair in (calm, fast)]
    )
    assert slow_motion < 3
    assert 10 < fast_motion < 15


@pytest.mark.parametrize(("speed", "expected"), [(0.0, 0.0), (2.0, 0.0), (5.0, 1.0)])
def test_dynamic_degree_tells_fast_from_slow(speed: float, expected: float) -> None:
    world = panorama(6)  # threshold at 160 pixels: 3.75 pixels per pair
    assert score("dynamic_degree", [view(world, 10 + speed * i) for i in range(9)]) == expected


# --- interpolation ---------------------------------------------------------------------------


def interpolation_error(images: Sequence[Image]) -> float:
    (error,) = DisInterpolation()([tuple(Frame(i, image.copy()) for i, image in enumerate(images))])
    return float(error)


def averaging_error(images: Sequence[Image]) -> float:
    return float(np.abs((images[0].astype(float) + images[2]) / 2 - images[1]).mean())


def test_prediction_of_frozen_frames_is_exact() -> None:
    rng = np.random.default_rng(0)
    for image in (panorama(7), rng.integers(0, 256, (67, 91, 3), np.uint8)):
        assert interpolation_error([image] * 3) == 0


def test_prediction_truncates_to_whole_grey_levels() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.integers(0, 256, (2, 40, 50, 3), np.uint8)
    no_motion = np.zeros((40, 50, 2), np.float32)
    expected = (first.astype(np.uint16) + second) // 2
    assert np.array_equal(in_between(first, second, no_motion), expected)


@pytest.mark.parametrize("step", [1.5, 4.0, 9.0])
def test_smooth_motion_is_predicted_far_better_than_by_averaging(step: float) -> None:
    world = panorama(8)
    images = [view(world, 20 + step * i, 10) for i in range(3)]
    assert interpolation_error(images) < 0.4 * averaging_error(images)


def test_prediction_loses_little_to_averaging_where_nothing_moves_together() -> None:
    rng = np.random.default_rng(2)
    unrelated = [view(panorama(seed), 0) for seed in (9, 10, 11)]
    noise = [rng.integers(0, 256, (160, 240, 3), np.uint8) for _ in range(3)]
    for images in (unrelated, noise):
        assert interpolation_error(images) < 1.1 * averaging_error(images)


def test_a_still_pattern_on_a_moving_scene_is_not_dragged_along() -> None:
    """Dither, say: moving the frames would cost twelve times what averaging them does."""
    dots = np.tile(np.uint8([[0, 60, 15, 75], [90, 30, 105, 45]] * 2), (40, 60))[..., None]
    images = [view(panorama(9) // 2, 5 * i) + dots for i in range(3)]
    assert interpolation_error(images) < 2.5 * averaging_error(images)


def test_jitter_lowers_motion_smoothness() -> None:
    world, rng = panorama(12), np.random.default_rng(3)
    shake = rng.normal(0, 1, (17, 2))
    scores = [
        score(
            "motion_smoothness",
            [
                view(world, 60 + 2 * i + size * dx, 30 + size * dy)
                for i, (dx, dy) in enumerate(shake)
            ],
        )
        for size in (0, 0.5, 1, 2, 4)
    ]
    assert all(calm > shaken for calm, shaken in pairwise(scores))
    assert scores[0] > 0.99


def test_stutter_lowers_motion_smoothness() -> None:
    world = panorama(13)
    smooth = [view(world, 10 + 4 * i) for i in range(16)]
    stuttering = [view(world, 10 + 4 * (i - (i % 4 == 2))) for i in range(16)]
    assert score("motion_smoothness", smooth) > score("motion_smoothness", stuttering) + 0.01


def test_flicker_is_measured_in_grey_levels() -> None:
    first, second = np.full((2, 9, 7, 3), [[[[10]]], [[[14]]]], np.uint8)
    (change,) = PixelDifference()([(Frame(0, first), Frame(1, second))])
    assert change.shape == () and change == 4


# --- descriptors -----------------------------------------------------------------------------

SUBJECT, BACKGROUND = SubjectDescriptor(), BackgroundDescriptor()
both = pytest.mark.parametrize("operator", [SUBJECT, BACKGROUND], ids=["subject", "background"])


@both
def test_unrelated_pictures_are_unlike_and_one_shot_is_alike(
    operator: SubjectDescriptor | BackgroundDescriptor,
) -> None:
    pictures = [with_subject(view(panorama(s), 0), panorama(s + 50)) for s in range(20, 28)]
    unrelated = [cosine(operator, a, b) for i, a in enumerate(pictures) for b in pictures[:i]]
    assert np.median(unrelated) < 0.45
    for seed, picture in enumerate(pictures, 20):
        neighbour = with_subject(view(panorama(seed), 1), panorama(seed + 50), 82)
        noisy = picture + np.random.default_rng(0).normal(0, 8, picture.shape)
        assert cosine(operator, picture, neighbour) > 0.99
        assert cosine(operator, picture, np.clip(noisy, 0, 255).astype(np.uint8)) > 0.99


@both
def test_a_pan_costs_little_and_more_the_further_it_goes(
    operator: SubjectDescriptor | BackgroundDescriptor,
) -> None:
    world = panorama(30)
    first = view(world, 0)
    likeness = [cosine(operator, first, view(world, shift)) for shift in (0, 5, 15, 40, 120)]
    assert all(near > far for near, far in pairwise(likeness))
    assert likeness[2] > 0.9  # 6 % of the width


def test_each_descriptor_sees_its_own_drift_most() -> None:
    place, other_place = view(panorama(31), 0), view(panorama(32), 0)
    subject, other_subject = panorama(33), panorama(34)
    before = with_subject(place, subject)
    new_subject = with_subject(place, other_subject)
    new_place = with_subject(other_place, subject)
    assert cosine(SUBJECT, before, new_subject) < 0.8 < cosine(BACKGROUND, before, new_subject)
    assert cosine(BACKGROUND, before, new_place) < 0.5 < cosine(SUBJECT, before, new_place)


@pytest.mark.parametrize("name", ["subject_consistency", "background_consistency"])
def test_drift_lowers_consistency(name: str) -> None:
    place, subject = view(panorama(35), 0), panorama(36)
    other_place, other_subject = view(panorama(37), 0), panorama(38)

    def clip(strength: float) -> list[Image]:
        shares = np.linspace(0, strength, 9)
        if name == "subject_consistency":
            return [with_subject(place, mixed(subject, other_subject, s)) for s in shares]
        return [with_subject(mixed(place, other_place, s), subject) for s in shares]

    scores = [score(name, clip(strength)) for strength in (0, 0.25, 0.5, 0.75, 1)]
    assert all(steady > drifting for steady, drifting in pairwise(scores))
    assert scores[0] == pytest.approx(1)


# --- imaging quality -------------------------------------------------------------------------


def blurred(image: Image, sigma: float) -> Image:
    return cv2.GaussianBlur(image, (0, 0), sigma)


def noisy(image: Image, deviation: float) -> Image:
    noise = np.random.default_rng(5).normal(0, deviation, image.shape)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def compressed(image: Image, strength: float) -> Image:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(100 - strength)])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def overexposed(image: Image, gain: float) -> Image:
    return np.clip(image * float(gain), 0, 255).astype(np.uint8)


DEFECTS: dict[str, tuple[Callable[[Image, float], Image], tuple[float, ...], str]] = {
    "blur": (blurred, (0.7, 1.2, 2, 3.5, 6), "sharpness"),
    "noise": (noisy, (3, 6, 12, 24, 48), "noise"),
    "compression": (compressed, (50, 70, 85, 94), "blockiness"),
    "overexposure": (overexposed, (1.3, 1.6, 2, 3), "exposure"),
}
every_defect = pytest.mark.parametrize("defect", DEFECTS)


@every_defect
@pytest.mark.parametrize("seed", [40, 41, 42])
def test_each_defect_lowers_imaging_quality_step_by_step(defect: str, seed: int) -> None:
    spoil, strengths, component = DEFECTS[defect]
    image = with_subject(view(panorama(seed), 0), panorama(seed + 50))
    measured = [defects(image)] + [defects(spoil(image, strength)) for strength in strengths]
    for better, worse in pairwise(measured):
        assert better["quality"] > worse["quality"]
        assert better[component] >= worse[component]
    assert measured[0][component] > measured[-1][component] + 0.2


@pytest.mark.shared
@every_defect
@pytest.mark.parametrize(
    "name", ["camera/bear.mp4", "cogvideox/CogVideo_1.mp4", "ltx2_realweights.mp4"]
)
def test_each_defect_lowers_the_quality_of_real_footage(
    shared: Path, defect: str, name: str
) -> None:
    with av.open(str(shared / "videos" / name)) as container:
        image = next(container.decode(video=0)).to_ndarray(format="rgb24")
    spoil, strengths, _ = DEFECTS[defect]
    qualities = [defects(spoil(image, strength))["quality"] for strength in strengths]
    assert all(
        better > worse for better, worse in pairwise([defects(image)["quality"], *qualities])
    )


@pytest.mark.parametrize("sigma", [1.5, 4.0, 8.0])
def test_noise_does_not_pass_for_sharpness(sigma: float) -> None:
    picture = blurred(panorama(43), sigma)
    clean = defects(picture)
    for deviation in (2, 5, 10):
        spoilt = defects(noisy(picture, deviation))
        assert spoilt["sharpness"] < clean["sharpness"] + 0.03
        assert spoilt["quality"] < clean["quality"]


def test_edges_on_the_block_grid_are_not_coding_blocks() -> None:
    board = np.kron(np.indices((10, 15)).sum(0) % 2, np.ones((24, 24))) * 120 + 60
    assert defects(np.dstack([board] * 3).astype(np.uint8))["blockiness"] > 0.95


def test_blocks_are_looked_for_in_the_original_pixels() -> None:
    world = cv2.resize(panorama(44), (1440, 720), interpolation=cv2.INTER_CUBIC)
    assert defects(compressed(world, 90))["blockiness"] < 0.6 < defects(world)["blockiness"]


def test_crushed_blacks_lower_exposure_by_half_at_most() -> None:
    image = panorama(40)
    exposures = [defects(overexposed(image, gain))["exposure"] for gain in (1, 0.1, 0.03, 0)]
    assert all(lighter > darker for lighter, darker in pairwise(exposures))
    assert exposures[-1] == pytest.approx(0.5)


def test_sharpness_is_seen_at_the_working_size() -> None:
    world = panorama(45, 512, 256)
    large = cv2.resize(world, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
    assert defects(large)["sharpness"] == pytest.approx(defects(world)["sharpness"], abs=0.03)


def test_what_eight_bits_can_hardly_show_is_not_sharp() -> None:
    faint = np.full((96, 128, 3), 128, np.uint8)
    faint[::16, ::16] += 1
    assert defects(faint)["sharpness"] < 0.1


def test_a_featureless_picture_has_no_quality_but_finite_components() -> None:
    for level in (0, 128, 255):
        found = defects(np.full((48, 64, 3), level, np.uint8))
        assert found["quality"] == 0 and found["sharpness"] == 0
        assert all(0 <= value <= 1 for value in found.values())


# --- shared reductions, and values that must not move ----------------------------------------


@pytest.mark.parametrize("size", [(50, 30), (64, 48), (320, 200)])
def test_reduction_keeps_the_mean_and_does_not_alias(size: tuple[int, int]) -> None:
    stripes = np.tile(np.array([0, 200], np.uint8), (480, 360))
    small = reduced(stripes, *size)
    assert small.shape == size[::-1]
    assert abs(float(small.mean()) - 100) < 1.5
    assert small.std() < 40


def golden_frames() -> list[Image]:
    """The video of the recipe in golden/classical.json."""
    place, subject = panorama(60), panorama(61)
    return [with_subject(view(place, 3 * i, i), subject, 40 + 5 * i) for i in range(9)]


@pytest.mark.parametrize("name", GOLDEN["scores"])
def test_values_have_not_moved(name: str) -> None:
    """A change here changes published scores: raise the dimension's `revision` with it."""
    assert score(name, golden_frames()) == pytest.approx(GOLDEN["scores"][name], abs=1e-3)
