"""The semantic networks at full size, against what the published programs made of frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from semantic_cases import CPU, GOLDEN, MadeUp, coarse, frames, picked, singles, tag2text_weights
from timm.layers import QuickGELU
from torch import nn

from vbench_long.dimensions import DIMENSIONS, VideoFacts
from vbench_long.dimensions.backbones.base import TorchBackbone
from vbench_long.dimensions.backbones.clip_style import ClipStyleB32
from vbench_long.dimensions.backbones.tag2text import PROMPT_IDS, Speaker, Tag2Text
from vbench_long.dimensions.backbones.umt import UmtL16
from vbench_long.dimensions.backbones.viclip import ViClipL14
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.evaluation import Networks
from vbench_long.evaluation.runner import Runner
from vbench_long.records import Sample
from vbench_long.video import Clip, Frame, probe, read_frames

pytestmark = [pytest.mark.slow, pytest.mark.full]
FULL = GOLDEN["full"]
TEXTS = GOLDEN["tokens"]["texts"]


@pytest.fixture(scope="module")
def network(request: pytest.FixtureRequest) -> Iterator[TorchBackbone]:
    """One network at a time: together they are 6 GB."""
    names = {int(tag): name for tag, name in FULL["tag2text"]["names"].items()}
    weights = tag2text_weights(names) if request.param is Tag2Text else MadeUp()
    yield request.param(weights, CPU)


def only(kind: type[TorchBackbone]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("network", [kind], indirect=True, ids=[kind.__name__])


class Golden:
    """The published program's clip and what it made of it."""

    def __init__(self, shared: Path) -> None:
        self.folder = shared / "reference" / "semantic-models"
        self.made: Any = json.loads((self.folder / "e2e_golden.json").read_text())
        self.video = self.folder / "golden_clip.mp4"
        self.frames = list(read_frames(probe(self.video)))

    def middle(self, count: int) -> list[Frame]:
        return [self.frames[i] for i in middle_frames(Clip(0, len(self.frames)), count)]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        with np.load(self.folder / f"{name}_golden.npz") as stored:
            return dict(stored)


@pytest.fixture
def golden(shared: Path) -> Golden:
    return Golden(shared)


# ViCLIP


@only(ViClipL14)
def test_viclip_is_the_kept_one(network: ViClipL14) -> None:
    (video,) = network([tuple(frames(coarse(777, 8, 224, 224)))])
    np.testing.assert_allclose(picked(video), FULL["viclip"]["video"], rtol=0, atol=4e-6)
    for text, want in FULL["viclip"]["texts"].items():
        np.testing.assert_allclose(picked(network.read(text)), want, rtol=0, atol=4e-6)
    likeness = [float(video @ network.read(text)) for text in TEXTS[:5]]
    np.testing.assert_allclose(likeness, FULL["viclip"]["likeness"], rtol=0, atol=1e-5)


@only(ViClipL14)
@pytest.mark.shared
def test_viclip_is_the_published_one(network: ViClipL14, golden: Golden) -> None:
    made = golden.arrays("viclip")
    known = [i for i, text in enumerate(TEXTS) if "<|startoftext|>" not in text]
    with torch.inference_mode():
        texts = np.stack([network.text(_ids(network, TEXTS[i])).numpy() for i in known])
        images = torch.from_numpy(coarse(777, 8, 224, 224).copy()).permute(0, 3, 1, 2)
        video = network.video(network.prepare(images)[None]).numpy()
    assert np.abs(texts - made["text_features"][known]).max() <= 1e-4
    assert np.abs(video - made["video_features"]).max() <= 1e-4
    unit = [network.read(TEXTS[i]) for i in known]
    sims = np.stack(unit) @ (video[0] / np.linalg.norm(video))
    assert np.abs(sims - made["sims"][known]).max() <= 1e-5


def _ids(network: ViClipL14, text: str) -> torch.Tensor:
    from vbench_long.dimensions.backbones.clip_text import fitted, tokens

    return network.ids(fitted(tokens(text), 32))


@only(ViClipL14)
@pytest.mark.shared
def test_a_clip_and_its_prompt_are_as_alike_as_published(
    network: ViClipL14, golden: Golden
) -> None:
    made = golden.made["temporal_style_and_overall_consistency"]
    features = {
        "clip": network([tuple(golden.middle(8))]), "text": [network.read(made["prompt"])],
    }  # fmt: skip
    facts = VideoFacts(480, 272, probe(golden.video).fps, made["prompt"])
    for name in ("temporal_style", "overall_consistency"):
        score = DIMENSIONS.get(name)("reference").score_clip(Clip(0, 21), facts, features)
        assert score.value == pytest.approx(made["score"], abs=1e-5)


@only(ViClipL14)
def test_exact_gelu_would_not_pass(network: ViClipL14, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QuickGELU, "forward", lambda self, x: nn.functional.gelu(x))
    network._known.clear()
    text, want = next(iter(FULL["viclip"]["texts"].items()))
    assert np.abs(np.array(picked(network.read(text))) - want).max() > 1e-4


# UMT


@only(UmtL16)
def test_umt_is_the_kept_one(network: UmtL16) -> None:
    images = coarse(4242, 16, 224, 224)

    class Unresized(UmtL16):
        @staticmethod
        def prepare(rgb: np.ndarray) -> torch.Tensor:
            from vbench_long.dimensions.backbones.base import standardised
            from vbench_long.dimensions.backbones.dino import IMAGENET_MEAN, IMAGENET_STD

            picture = torch.from_numpy(rgb.copy()).permute(2, 0, 1).float()
            return standardised(picture, IMAGENET_MEAN, IMAGENET_STD)

    network.__class__ = Unresized
    (logits,) = network([tuple(frames(images))])
    network.__class__ = UmtL16
    np.testing.assert_allclose(picked(logits), FULL["umt"]["logits"], rtol=0, atol=2e-5)
    assert np.argsort(-logits)[:5].tolist() == FULL["umt"]["best"]


@only(UmtL16)
@pytest.mark.shared
def test_a_clip_is_recognised_as_published(network: UmtL16, golden: Golden) -> None:
    seen = golden.middle(16)
    looks = torch.stack([network.prepare(frame.rgb) for frame in seen], 1).numpy()
    assert hashlib.sha256(looks.tobytes()).hexdigest() == golden.made["human_action_input_sha256"]
    (logits,) = network([tuple(seen)])
    likely = 1 / (1 + np.exp(-logits.astype(float)))
    best = np.argsort(-likely)[:5]
    assert best.tolist() == golden.made["human_action"]["top5_index"]
    assert np.abs(likely[best] - golden.made["human_action"]["top5_sigmoid"]).max() <= 1e-4


# CLIP B/32


@only(ClipStyleB32)
def test_clip_is_the_kept_one(network: ClipStyleB32) -> None:
    seen = np.stack(network(singles(coarse(555, 2, 224, 224))))
    said = np.stack([network.read(style) for style in FULL["clip_style"]["styles"]])
    want = FULL["clip_style"]["likeness"]
    np.testing.assert_allclose(said @ seen.T, want, rtol=0, atol=1e-7)


@only(ClipStyleB32)
@pytest.mark.shared
def test_frames_are_as_alike_to_a_style_as_published(network: ClipStyleB32, golden: Golden) -> None:
    made = golden.made["appearance_style"]
    seen = np.stack(network([(frame,) for frame in golden.frames]))
    likeness = seen @ network.read(made["prompt"])
    assert np.abs(likeness - made["frame_results"]).max() <= 1e-5 / 100
    assert likeness.mean() == pytest.approx(made["video_results"], abs=1e-7)


# Tag2Text


@only(Tag2Text)
def test_tag2text_is_the_kept_one(network: Tag2Text) -> None:
    """Captions of the first frames; the published ones are of frame j // 3."""
    images = coarse(20240, 7, 384, 384)[:3]
    with torch.inference_mode():
        pictures = torch.stack([network.prepare(frame) for frame in frames(images)])
        logits = network.net.tag_logits(network.net.image(pictures))
        assert network.tags(logits) == FULL["tag2text"]["tags"][:3]
        ids = network.features(singles(images))
    spoken = [np.trim_zeros(row.numpy(), "b").tolist() for row in ids]
    assert [spoken[j // 3] for j in range(7)] == FULL["tag2text"]["captions"]


@only(Tag2Text)
@pytest.mark.shared
def test_tag2text_is_the_published_one(network: Tag2Text, golden: Golden) -> None:
    made = golden.arrays("tag2text")
    images = coarse(20240, 7, 384, 384)
    with torch.inference_mode():
        pictures = torch.stack([network.prepare(frame) for frame in frames(images)])
        assert np.abs(pictures[..., ::64, ::64].numpy() - made["input_slice"]).max() <= 1e-5
        image = network.net.image(pictures)
        slices = image[:, [0, 1, 73, 144], ::16].numpy()
        assert np.abs(slices - made["image_embeds_slice"]).max() <= 1e-4
        logits = network.net.tag_logits(image)
        assert np.abs(logits.numpy() - made["tag_logits"]).max() <= 1e-5
        tags = network.tags(logits)
        assert tags == FULL["tag2text"]["tags"]
        ids, mask = torch.tensor([network.encoded(some) for some in tags]).unbind(1)
        assert np.array_equal(ids, made["tag_ids"]) and np.array_equal(mask, made["tag_mask"])
        told = network.net.told(ids, mask, image)
        slices = told[:, [0, 1, 5, 39], ::16].numpy()
        assert np.abs(slices - made["tag_encoder_slice"]).max() <= 1e-4
        speaker = Speaker(network.net.text_decoder, told[:3])
        first = speaker(torch.tensor([PROMPT_IDS] * 3), None)[:, ::16].numpy()
        assert np.abs(first - made["first_step_logits_rows_0_9_18"]).max() <= 1e-4


@only(Tag2Text)
@pytest.mark.shared
def test_a_clip_is_captioned_as_published(network: Tag2Text, golden: Golden) -> None:
    """The names of three tags have pieces that are not kept here; the captions do not mind."""
    made = golden.made["scene"]
    six = golden.middle(16)[:6]
    with torch.inference_mode():
        pictures = torch.stack([network.prepare(frame) for frame in six])
        image = network.net.image(pictures)
        tags = network.tags(network.net.tag_logits(image))
        assert tags == made["tags_per_image"][:6]
        spoken = network.features([(frame,) for frame in six])
    ids = [np.trim_zeros(row.numpy(), "b").tolist() for row in spoken]
    assert [ids[j // 3] for j in range(16)] == made["caption_ids"]


# Through the whole house.


@pytest.mark.shared
def test_five_dimensions_in_one_pass(golden: Golden) -> None:
    names = ("human_action", "scene", "appearance_style", "temporal_style", "overall_consistency")
    dimensions = [DIMENSIONS.get(name)("reference") for name in names]
    runner = Runner(dimensions, Networks(weights="seeded", device="cpu"))
    style = golden.made["appearance_style"]
    prompt = "A person is riding a bike"
    auxiliary = {
        "scene": {"scene": {"scene": "alley"}},
        "appearance_style": {"appearance_style": style["prompt"]},
    }
    sample = Sample(
        "v", prompt, 0, "", dimensions=names, clip_seconds=10.0, auxiliary=auxiliary
    )  # fmt: skip
    records = {r.dimension: r for r in runner.judge(sample, golden.video, names)}
    assert {r.status for r in records.values()} == {"ok"}
    assert records["appearance_style"].value == pytest.approx(style["video_results"], abs=1e-7)
    assert records["temporal_style"].value == records["overall_consistency"].value
    assert records["human_action"].parts["clips"][0]["rank"] > 5
    counts = runner.counts
    assert counts.decodes == {"v": 1} and set(counts.loads.values()) == {1}
    assert counts.items == {"tag2text": 6, "umt_l16": 1, "viclip_l14": 2, "clip_style_b32": 22}
    print(json.dumps({name: round(took, 2) for name, took in counts.seconds.items()}))
