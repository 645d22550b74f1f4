"""Appearance style: the pixels CLIP sees, the styles it reads, the weights it shares."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from semantic_cases import CPU, GOLDEN, MadeUp, SmallClipStyle, coarse, frames, picked, singles
from torch import Tensor

from vbench_long.dimensions import VideoFacts
from vbench_long.dimensions.appearance_style import AppearanceStyle
from vbench_long.dimensions.backbones.clip import ClipVitB32
from vbench_long.dimensions.backbones.clip_style import Clip as Both
from vbench_long.dimensions.backbones.clip_style import ClipStyleB32, published_key
from vbench_long.errors import VideoError
from vbench_long.video import Clip
from vbench_long.weights.base import SharedWeights

SMALL = GOLDEN["small"]["clip_style"]


@pytest.fixture(scope="module")
def small() -> ClipStyleB32:
    return SmallClipStyle(MadeUp(), CPU)


@pytest.mark.parametrize("row", GOLDEN["looks"], ids=lambda row: f"{row[1]}x{row[0]}")
def test_frames_are_resized_as_published(row: list) -> None:
    height, width, seed, sums = row
    look = ClipStyleB32.prepare(frames(coarse(seed, 1, height, width, 8))[0].rgb)
    assert look.shape == (3, 224, 224)
    assert look.double().sum().item() == pytest.approx(sums["clipimg"], abs=0.02)


@pytest.mark.shared
def test_frames_look_as_published(shared: Path) -> None:
    with np.load(shared / "reference" / "semantic-models" / "preprocess_golden.npz") as golden:
        for i, (height, width, seed, _) in enumerate(GOLDEN["looks"]):
            look = ClipStyleB32.prepare(frames(coarse(seed, 1, height, width, 8))[0].rgb)
            assert np.abs(look[..., ::16, ::16].numpy() - golden[f"clipimg_{i}"]).max() <= 1e-5


def test_the_pixels_are_not_those_of_background_consistency() -> None:
    (frame,) = frames(coarse(3, 1, 480, 720, 1))
    theirs = ClipVitB32.prepare(torch.from_numpy(frame.rgb.copy()).permute(2, 0, 1)[None])[0]
    assert (ClipStyleB32.prepare(frame.rgb) - theirs).abs().max() > 0.5


def test_small_features_are_the_kept_ones(small: ClipStyleB32) -> None:
    features = small(singles(coarse(9, 2, 96, 128)))
    np.testing.assert_allclose(picked(features[1]), SMALL["frame"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(picked(small.read("oil painting")), SMALL["text"], atol=2e-6)


def test_frames_do_not_depend_on_their_neighbours(small: ClipStyleB32) -> None:
    items = singles(coarse(9, 5, 40, 60))
    alone = np.concatenate([small([item]) for item in items])
    np.testing.assert_allclose(np.stack(small(items)), alone, rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)


def test_likeness_is_the_cosine_times_the_trained_scale() -> None:
    trained = SmallClipStyle(MadeUp(numbers={"logit_scale": {(): 4.6052}}), CPU)
    assert np.linalg.norm(trained.read("pixel art")) == pytest.approx(1, abs=1e-4)


def test_a_style_that_is_too_long_is_refused(small: ClipStyleB32) -> None:
    small.read("very " * 75)
    with pytest.raises(VideoError, match="a style of 76 tokens, CLIP reads 75"):
        small.read("very " * 76)


def test_both_measures_lie_on_one_set_of_weights() -> None:
    class Counted(MadeUp):
        loads: ClassVar[Counter[str]] = Counter()

        def load(
            self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
        ) -> dict[str, Tensor]:
            self.loads[name] += 1
            return super().load(name, wanted, ignored)

    class SmallBackground(ClipVitB32):
        shape = SmallClipStyle.shape

    for first, second in ((SmallBackground, SmallClipStyle), (SmallClipStyle, SmallBackground)):
        source = Counted()
        source.loads.clear()
        shared = SharedWeights(source, {"clip_vitb32"})
        made = {kind: kind(shared, CPU) for kind in (first, second)}
        tower = made[SmallBackground].tower.state_dict()
        for key, tensor in made[SmallClipStyle].clip.visual.state_dict().items():
            assert tensor.data_ptr() == tower[key].data_ptr(), key
        assert source.loads["clip_vitb32"] == (2 if first is SmallBackground else 1)


@pytest.mark.shared
def test_every_published_key_is_loaded(shared: Path) -> None:
    file = shared / "reference" / "semantic-models" / "clip_vit_b32_keys.json"
    published = json.loads(file.read_text())
    with torch.device("meta"):
        own = Both(ClipStyleB32.shape, ClipStyleB32.text_shape).state_dict()
    loaded = {published_key(key): list(tensor.shape) for key, tensor in own.items()}
    assert loaded == {key: shape for key, (shape, _) in published.items()}


# The dimension.

STYLED = VideoFacts(
    64, 48, Fraction(8), "a cat", {"appearance_style": {"appearance_style": "pixel art"}}
)


def test_every_frame_is_compared_with_the_style_not_with_the_prompt() -> None:
    items = AppearanceStyle("reference").clip_items(Clip(3, 6), STYLED)
    assert items == {"frame": [(3,), (4,), (5,)], "text": ["pixel art"]}


def test_the_score_is_the_mean_likeness() -> None:
    seen = [np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([-1.0, 0.0])]
    said = [np.array([0.3, 0.6])]
    score = AppearanceStyle("reference").score_clip(
        Clip(0, 3), STYLED, {"frame": seen, "text": said}
    )
    assert score.value == pytest.approx((0.3 + 0.6 - 0.3) / 3)
