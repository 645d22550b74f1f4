"""ViCLIP: what it reads, sees and loads."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from semantic_cases import CPU, GOLDEN, MadeUp, SmallViClip, coarse, frames, picked
from torch import nn

from vbench_long.dimensions.backbones.clip_text import END, START, TextTower, fitted, tokens
from vbench_long.dimensions.backbones.viclip import ViClipL14, VideoTower, published_key

TEXTS = GOLDEN["tokens"]["texts"]
SMALL = GOLDEN["small"]["viclip"]
FOREIGN = 15
"""A text with the vocabulary's own marks in it, which the tokenizer's makers renamed."""


@pytest.fixture(scope="module")
def small() -> ViClipL14:
    return SmallViClip(MadeUp(), CPU)


@pytest.mark.parametrize("number", range(len(TEXTS)))
def test_tokens_are_the_published_ones(number: int) -> None:
    if number == FOREIGN:
        assert "<|startoftext|>" in TEXTS[number]
        return
    whole = tokens(TEXTS[number])
    assert whole == GOLDEN["tokens"]["ids"][number]
    assert fitted(whole, 32) == GOLDEN["tokens"]["short"][number]


@pytest.mark.parametrize("length", [2, 31, 32, 33, 400])
def test_long_texts_lose_their_end(length: int) -> None:
    whole = [START, *range(length - 2), END]
    cut = fitted(whole, 32)
    assert len(cut) == min(length, 32) and cut[-1] == END
    assert cut[:-1] == whole[: len(cut) - 1]


def test_a_cut_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    small = SmallViClip(MadeUp(), CPU)
    with caplog.at_level(logging.WARNING, logger="vbench_long"):
        small.read("a dog")
        assert not caplog.records
        for animal in ("cat", "cow"):
            small.read(f"a {animal} " * 100)
    assert len(caplog.records) == 1 and "30 tokens" in caplog.text


@pytest.mark.parametrize("text", SMALL["texts"], ids=lambda text: text[:10] or "nothing")
def test_small_texts_are_the_published_networks(text: str, small: ViClipL14) -> None:
    np.testing.assert_allclose(picked(small.read(text)), SMALL["texts"][text], rtol=0, atol=2e-6)


def test_small_clips_are_the_published_networks(small: ViClipL14) -> None:
    (feature,) = small([tuple(frames(coarse(8, 8, 96, 128)))])
    np.testing.assert_allclose(picked(feature), SMALL["video"], rtol=0, atol=2e-6)


def test_nothing_is_read_behind_the_first_end(small: ViClipL14) -> None:
    assert small.ids([START, 320, END, 1929, END]).tolist() == [START, 320, END]
    assert small.ids([START, END]).tolist() == [START, END]


def test_features_have_norm_one_and_a_text_is_read_once(small: ViClipL14) -> None:
    feature = small.read("A waterfall, 日本語, 😀")
    assert feature.dtype == np.float32 and np.linalg.norm(feature) == pytest.approx(1, abs=1e-6)
    assert small.read("A waterfall, 日本語, 😀") is feature
    assert np.abs(feature - small.read("A waterfall")).max() > 1e-3


def test_clips_do_not_depend_on_their_neighbours(small: ViClipL14) -> None:
    made = frames(coarse(8, 8, 96, 128))
    clips = [tuple(made), tuple(reversed(made)), (made[0],) * 8]
    alone = np.concatenate([small([clip]) for clip in clips])
    np.testing.assert_allclose(np.stack(small(clips)), alone, rtol=0, atol=2e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-4  # It knows what comes first.


@pytest.mark.parametrize("row", GOLDEN["looks"], ids=lambda row: f"{row[1]}x{row[0]}")
def test_frames_are_resized_as_published(row: list) -> None:
    height, width, seed, sums = row
    images = torch.from_numpy(coarse(seed, 2, height, width, 8).copy()).permute(0, 3, 1, 2)
    looks = ViClipL14.prepare(images)
    assert looks.shape == (2, 3, 224, 224)
    assert looks.double().sum().item() == pytest.approx(sums["viclip"], abs=0.02)


@pytest.mark.shared
def test_frames_look_as_published(shared: Path) -> None:
    with np.load(shared / "reference" / "semantic-models" / "preprocess_golden.npz") as golden:
        for i, (height, width, seed, _) in enumerate(GOLDEN["looks"]):
            images = torch.from_numpy(coarse(seed, 2, height, width, 8).copy()).permute(0, 3, 1, 2)
            looks = ViClipL14.prepare(images)[..., ::16, ::16].numpy()
            assert np.abs(looks - golden[f"viclip_{i}"]).max() <= 1e-5


@pytest.mark.shared
def test_every_published_key_is_loaded_or_known(shared: Path) -> None:
    file = shared / "reference" / "semantic-models" / "viclip_keys.json"
    published = json.loads(file.read_text())
    with torch.device("meta"):
        own = nn.ModuleDict(
            {
                "vision_encoder": VideoTower(ViClipL14.shape),
                "text_encoder": TextTower(ViClipL14.text_shape),
            }
        ).state_dict()
    loaded = {published_key(key): list(tensor.shape) for key, tensor in own.items()}
    assert loaded == {key: shape for key, (shape, _) in published.items() if key != "temp"}
