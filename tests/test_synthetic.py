"""The synthetic generator: repeatable worlds, and defects that grow with their strength."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vbench_long.errors import GenerationError, UsageError
from vbench_long.generators import GENERATORS, Request
from vbench_long.generators.defects import DEFECTS
from vbench_long.generators.synthetic import Options, create
from vbench_long.video import Image

SMALL = {"width": "96", "height": "64", "seconds": "3"}
WALK = Request("a person walking", seed=1)


def frames(request: Request = WALK, **options: str) -> list[Image]:
    return list(create({**SMALL, **options}).generate(request))


def digest(images: Iterable[Image]) -> str:
    return hashlib.sha256(b"".join(image.tobytes() for image in images)).hexdigest()


def distance(first: Iterable[Image], second: Iterable[Image]) -> float:
    pairs = zip(first, second, strict=True)
    return float(np.mean([np.abs(a.astype(int) - b.astype(int)).mean() for a, b in pairs]))


def fastest_motion(images: list[Image]) -> list[float]:
    """Per pair of neighbours, the mean motion of the fastest 5 % of pixels in pixels."""
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    speeds = []
    for first, second in pairwise(grey):
        speed = np.sort(np.linalg.norm(flow.calc(first, second, None), axis=-1), axis=None)
        speeds.append(float(speed[-speed.size // 20 :].mean()))
    return speeds


def test_registered_under_its_name() -> None:
    generator = GENERATORS.get("synthetic")({})
    assert generator.fps == 8
    images = list(generator.generate(WALK))
    assert len(images) == 48
    assert {(image.shape, image.dtype.name) for image in images} == {((480, 720, 3), "uint8")}


def test_same_request_gives_same_bytes() -> None:
    assert digest(frames()) == digest(frames())


@pytest.mark.parametrize("defect", ["", *DEFECTS])
def test_frames_do_not_depend_on_how_many_are_taken(defect: str) -> None:
    options = {"defect": defect, "strength": "0.7" if defect else "0"}
    generator = create({**SMALL, **options})
    few = list(islice(generator.generate(WALK), 5))
    assert digest(few) == digest(list(generator.generate(WALK))[:5])


def test_frames_are_arrays_of_their_own() -> None:
    for defect in DEFECTS:
        images = frames(defect=defect, strength="1", seconds="1")
        assert all(not np.shares_memory(a, b) for a, b in pairwise(images))
        before = digest(images[1:])
        images[0][:] = 0
        assert digest(images[1:]) == before


def test_prompt_seed_and_index_each_change_the_world() -> None:
    requests = [
        WALK,
        Request("a person running", seed=1),
        Request(WALK.prompt, seed=2),
        Request(WALK.prompt, seed=1, index=1),
    ]
    worlds = [frames(request) for request in requests]
    for number, world in enumerate(worlds):
        assert all(distance(world, other) > 8 for other in worlds[:number])


def test_another_size_shows_the_same_world() -> None:
    small = frames(width="240", height="160", seconds="1")
    for scale, least in ((2, 0.98), (3, 0.98)):
        width, height = 240 * scale, 160 * scale
        large = frames(width=str(width), height=str(height), seconds="1")
        shrunk = [cv2.resize(f, (240, 160), interpolation=cv2.INTER_AREA) for f in large]
        for a, b in zip(small, shrunk, strict=True):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > least


def test_another_rate_shows_the_same_instants() -> None:
    assert digest(frames(fps="24")[::3]) == digest(frames(fps="8"))


@pytest.mark.parametrize("seed", range(3))
def test_colour_words_paint_the_subject(seed: int) -> None:
    """Places are never as saturated as a subject."""
    for word, channel in (("red", 0), ("blue", 2)):
        rgb = frames(Request(f"a {word} ball", seed), seconds="0.1")[0].astype(int)
        others = np.delete(rgb, channel, axis=-1).max(axis=-1)
        assert np.mean(rgb[..., channel] > 1.7 * others + 10) > 0.03


@pytest.mark.parametrize(("width", "height"), [(384, 256), (256, 256), (256, 384)])
def test_default_worlds_move_and_still_ones_do_not(width: int, height: int) -> None:
    size = {"width": str(width), "height": str(height), "seconds": "2"}
    for seed in range(2):
        speeds = fastest_motion(frames(Request("a dog running", seed=seed), **size))
        assert np.mean(np.array(speeds) > 6) > 0.8
        still = fastest_motion(frames(Request("a dog, locked-off camera", seed=seed), **size))
        assert max(still) < 2


def test_pictures_have_natural_statistics() -> None:
    """Amplitude falls about as 1/f; contrast and detail are those of a picture, not of a plate."""
    for seed in range(3):
        picture = frames(Request("a scene", seed=seed), width="256", height="256", seconds="0.1")
        grey = picture[0].mean(-1)
        window = np.outer(np.hanning(256), np.hanning(256))
        spectrum = np.abs(np.fft.fft2((grey - grey.mean()) * window))
        cycles = np.hypot(*np.meshgrid(*[np.fft.fftfreq(256, 1 / 256)] * 2))
        bands = np.array([4, 8, 16, 32, 64, 100])
        level = [spectrum[(cycles > 0.8 * b) & (cycles < 1.2 * b)].mean() for b in bands]
        slope = np.polyfit(np.log(bands), np.log(level), 1)[0]
        assert -1.8 < slope < -1.0
        assert grey.std() > 20
        assert np.mean((grey < 2) | (grey > 253)) < 0.05


@pytest.mark.parametrize("defect", DEFECTS)
def test_strength_zero_is_the_clean_video(defect: str) -> None:
    assert digest(frames(defect=defect, strength="0")) == digest(frames())


@pytest.mark.parametrize("defect", DEFECTS)
@pytest.mark.parametrize("prompt", ["a red dog in a park", "still life"])
def test_defects_grow_with_their_strength(defect: str, prompt: str) -> None:
    request = Request(prompt, seed=4)
    size = {"width": "192", "height": "128", "seconds": "2"}
    clean = frames(request, **size)
    steps = ["0.2", "0.4", "0.6", "0.8", "1"]
    away = [distance(clean, frames(request, defect=defect, strength=s, **size)) for s in steps]
    assert away[0] > 0
    assert all(low < high for low, high in pairwise(away)), away


@pytest.mark.parametrize("defect", DEFECTS)
def test_defects_keep_the_format(defect: str) -> None:
    for seconds in ("0.1", "0.3", "1"):
        images = frames(defect=defect, strength="1", seconds=seconds, width="17", height="31")
        assert len(images) == max(1, round(float(seconds) * 8))
        assert {image.shape for image in images} == {(31, 17, 3)}


def test_freeze_repeats_nearly_all_frames() -> None:
    images = frames(defect="freeze", strength="1", seconds="20")
    repeats = [np.array_equal(a, b) for a, b in pairwise(images)]
    assert 0.88 < np.mean(repeats) < 1


def test_hard_cut_jumps_at_its_instants_only() -> None:
    images = frames(defect="hard_cut", strength="1", seconds="6", fps="10")
    change = [distance([a], [b]) for a, b in pairwise(images)]
    cuts = [13, 26, 39, 52]
    usual = max(c for index, c in enumerate(change, start=1) if index not in cuts)
    assert min(change[cut - 1] for cut in cuts) > 1.5 * usual


@given(
    width=st.integers(16, 200),
    height=st.integers(16, 200),
    fps=st.fractions(1, 30, max_denominator=1001),
    prompt=st.text(max_size=20),
    seed=st.integers(-(2**70), 2**70),
)
@settings(max_examples=25, deadline=None)
def test_any_request_at_any_size(
    width: int, height: int, fps: Fraction, prompt: str, seed: int
) -> None:
    generator = create({"width": str(width), "height": str(height), "fps": str(fps)})
    image = next(generator.generate(Request(prompt, seed)))
    assert image.shape == (height, width, 3)
    assert image.std() > 5


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (1080, 1920), (1920, 16), (16, 1920)])
def test_extreme_sizes(width: int, height: int) -> None:
    images = frames(width=str(width), height=str(height), seconds="0.1")
    assert [image.shape for image in images] == [(height, width, 3)]


def test_a_minute_is_made_frame_by_frame() -> None:
    generator = create({"width": "320", "height": "192", "seconds": "60"})
    stream = generator.generate(WALK)
    next(stream)
    tracemalloc.start()
    count = 1 + sum(1 for _ in stream)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 480
    assert peak < 40 * 320 * 192 * 3


def test_settings_are_what_shapes_the_video() -> None:
    generator = create({"fps": "30000/1001", "seconds": " 5.5", "defect": "blur", "strength": "1"})
    assert generator.fps == Fraction(30000, 1001)
    assert json.loads(json.dumps(generator.settings())) == {
        "width": 720,
        "height": 480,
        "fps": "30000/1001",
        "seconds": 5.5,
        "defect": "blur",
        "strength": 1.0,
        "revision": 1,
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"widht": "720"}, "did you mean 'width'"),
        ({"width": "wide"}, "whole number"),
        ({"width": "15"}, "16 to 1920"),
        ({"height": "1921"}, "16 to 1920"),
        ({"fps": "31"}, "1 to 30"),
        ({"fps": "24/0"}, "number"),
        ({"fps": "1e999999999"}, "number"),
        ({"fps": "-8"}, "number"),
        ({"seconds": "nan"}, "0.1 to 60"),
        ({"seconds": "61"}, "0.1 to 60"),
        ({"defect": "flikker", "strength": "1"}, "did you mean 'flicker'"),
        ({"defect": "flicker"}, "strength=0..1"),
        ({"defect": "flicker", "strength": "1.1"}, "0 to 1"),
        ({"strength": "0.5"}, "name a defect"),
    ],
)
def test_bad_options_are_refused_with_the_fix(options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        create(options)
    assert message in str(caught.value)


def test_options_built_in_code_are_checked_too() -> None:
    with pytest.raises(UsageError):
        Options(width=4)


def test_a_first_frame_is_refused() -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(GenerationError):
        create(SMALL).generate(Request("a dog", seed=0, image=image))
