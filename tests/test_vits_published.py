"""The vision transformers at full size, against what the published networks made of frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from timm.layers import QuickGELU
from vit_cases import CPU, GOLDEN, HD, NETWORKS, WIDE, Network, Video, items, pair_cosines, picked

from vbench_long.dimensions.backbones.clip import AestheticClipL14, ClipImage

pytestmark = [pytest.mark.slow, pytest.mark.full]


def consistency(features_TD: NDArray[Any]) -> NDArray[Any]:
    """Per frame but the first: mean similarity to the previous and to the first frame."""
    unit_TD = features_TD / np.linalg.norm(features_TD, axis=1, keepdims=True)
    to_first = unit_TD[1:] @ unit_TD[0]
    return np.asarray((pair_cosines(features_TD).clip(0) + to_first.clip(0)) / 2)


class Built:
    """A full-size network; what it made of a video is kept."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.backbone = network.backbone(network.weights, CPU)
        self._made: dict[Video, NDArray[Any]] = {}

    def features(self, video: Video) -> NDArray[Any]:
        if video not in self._made:
            made = self.backbone(items(video))
            self._made[video] = np.stack(made) * self.network.scale
        return self._made[video]


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest) -> Iterator[Built]:
    """One network at a time: together they are 3 GB."""
    yield Built(NETWORKS[request.param])


every_network = pytest.mark.parametrize("built", NETWORKS, indirect=True)


def only(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("built", [name], indirect=True)


@pytest.mark.shared
@every_network
def test_features_are_the_published_networks(built: Built, shared: Path) -> None:
    with np.load(shared / "reference" / "quality-models" / built.network.golden) as golden:
        for name, video in built.network.videos.items():
            want = golden[name].reshape(video[1], -1)
            assert np.abs(built.features(video) - want).max() <= built.network.tolerance, name


@every_network
def test_features_are_those_kept_with_the_tests(built: Built) -> None:
    want = GOLDEN["full"][built.network.backbone.__name__]
    got = picked(built.features(tuple(GOLDEN["video"])))
    np.testing.assert_allclose(got, want, rtol=0, atol=built.network.tolerance)


@only("dino_vitb16")
def test_dino_consistency(built: Built) -> None:
    score = consistency(built.features((101, 3, 720, 1280))).mean()
    assert score == pytest.approx(0.995026, abs=1e-5)


@only("dreamsim_ensemble")
def test_dreamsim_embeddings(built: Built) -> None:
    embeddings = built.features((501, 3, 480, 720))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(embeddings.mean(axis=1), 0, atol=1e-8)
    np.testing.assert_allclose(embeddings[1:] @ embeddings[0], [0.9919, 0.9815], atol=1e-4)


@only("clip_vitb32")
def test_clip_consistency(built: Built) -> None:
    pairs = consistency(built.features(HD))
    np.testing.assert_allclose(pairs, [0.978430, 0.957465, 0.947418], rtol=0, atol=2e-5)


@only("clip_vitb32")
def test_exact_gelu_would_not_pass(built: Built, monkeypatch: pytest.MonkeyPatch) -> None:
    want = built.features(WIDE)
    monkeypatch.setattr(QuickGELU, "forward", lambda self, x: F.gelu(x))
    assert np.abs(np.stack(built.backbone(items(WIDE))) - want).max() > 1e-2


@pytest.mark.shared
@only("laion_aesthetic_l14")
def test_clip_l14_features(built: Built, shared: Path) -> None:
    assert isinstance(built.backbone, AestheticClipL14)
    with np.load(shared / "reference" / "quality-models" / built.network.golden) as golden:
        want = golden["feat_320x512"]
    with torch.inference_mode():
        got = ClipImage.features(built.backbone, items(WIDE)).numpy()
    assert np.abs(got - want).max() <= 3e-5


@pytest.mark.parametrize(
    ("built", "tolerance"),
    [("dino_vitb16", 1e-4), ("dinov2_vitb14", 1e-4), ("clip_vitb32", 3e-4)],
    indirect=["built"],
)
def test_bfloat16_hardly_moves_similarities(
    built: Built, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    want = pair_cosines(built.features(WIDE))
    monkeypatch.setattr(built.backbone, "compute", replace(CPU, precision="bf16"))
    got = pair_cosines(np.stack(built.backbone(items(WIDE))))
    assert np.abs(got - want).max() <= tolerance
