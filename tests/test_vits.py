"""The vision transformers: what they look at, what they load, how they behave."""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from golden_frames import golden_frames
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv
from vit_cases import (
    CPU,
    DINO_RECIPE,
    DREAMSIM_RECIPE,
    GOLDEN,
    SMALL,
    SmallClip,
    SmallDino,
    SmallDreamSim,
    items,
    pair_cosines,
    picked,
)

from vbench_long.dimensions.backbones.base import (
    Compute,
    TorchBackbone,
    centre_crop,
    frames_TCHW,
    resized,
    shorter_side,
)
from vbench_long.dimensions.backbones.clip import AestheticClipL14, ClipVitB32
from vbench_long.dimensions.backbones.dino import DinoV2VitB14, DinoVitB16, resampled_positions
from vbench_long.dimensions.backbones.dreamsim import DreamSimEnsemble
from vbench_long.errors import EnvironmentFault
from vbench_long.video import Frame
from vbench_long.weights.seeded import SeededWeights, seeded_tensor


@pytest.fixture(params=SMALL)
def small(request: pytest.FixtureRequest) -> TorchBackbone:
    make, weights = SMALL[request.param]
    return make(weights, CPU)


# What they look at.


def test_golden_frames_are_the_kept_ones() -> None:
    made = golden_frames(*GOLDEN["video"])
    assert hashlib.sha256(made.tobytes()).hexdigest() == GOLDEN["video_sha256"]


@pytest.mark.shared
def test_golden_frames_are_the_reference_ones(shared: Path) -> None:
    file = shared / "reference" / "quality-models" / "golden_inputs_sha256.json"
    for call, sha256 in json.loads(file.read_text()).items():
        made = golden_frames(*map(int, re.findall(r"\d+", call)))
        assert hashlib.sha256(made.tobytes()).hexdigest() == sha256, call


@pytest.mark.shared
@pytest.mark.parametrize(
    ("backbone", "golden", "left"),
    [
        (DinoVitB16, "golden_dino_vitb16.npz", 200),
        (DinoV2VitB14, "golden_dinov2_vitb14.npz", 200),
        (ClipVitB32, "golden_clip_vitb32.npz", 100),
        (AestheticClipL14, "golden_clip_vitl14.npz", 100),
    ],
)
def test_preprocessing_is_the_published_one(
    backbone: Any, golden: str, left: int, shared: Path
) -> None:
    def looks(*video: int) -> NDArray[Any]:
        (frame,) = items(video)[-1]  # type: ignore[arg-type]
        return np.asarray(backbone.prepare(frames_TCHW([frame], CPU.device))[0])

    with np.load(shared / "reference" / "quality-models" / golden) as arrays:
        hd = looks(101, 1, 720, 1280)[:, 100:104, left : left + 8]
        assert np.abs(hd - arrays["in_720p_slice"]).max() <= 1e-5
        wide = looks(103, 2, 320, 512)[:, :4, :8]
        assert np.abs(wide - arrays["in_320x512_slice"]).max() <= 1e-5


@pytest.mark.shared
def test_dreamsim_preprocessing_is_the_published_one(shared: Path) -> None:
    (frame,) = items((501, 1, 480, 720))[0]
    looks = DreamSimEnsemble.prepare(frames_TCHW([frame], CPU.device)) / 255
    file = shared / "reference" / "quality-models" / "golden_dreamsim_ensemble.npz"
    with np.load(file) as golden:
        assert np.abs(looks[0, :, :4, :8].numpy() - golden["in_slice"]).max() <= 1e-5


@pytest.mark.parametrize("size", [(48, 72), (72, 48), (50, 50), (45, 101), (256, 455)])
def test_resize_and_crop_are_torchvisions(size: tuple[int, int]) -> None:
    frames = torch.from_numpy(golden_frames(3, 1, *size).transpose(0, 3, 1, 2).copy()).float()
    bilinear, bicubic = tv.InterpolationMode.BILINEAR, tv.InterpolationMode.BICUBIC
    target = shorter_side(*size, 32)
    want = tv.resize(frames, [32], bilinear, antialias=False)
    assert torch.equal(resized(frames, target, "bilinear", antialias=False), want)
    want = tv.center_crop(tv.resize(frames, [32], bicubic, antialias=True), [32, 32])
    got = centre_crop(resized(frames, target, "bicubic", antialias=True), 32)
    assert torch.equal(got, want)


@pytest.mark.shared
def test_dinov2_positions_are_the_published_ones(shared: Path) -> None:
    learned = seeded_tensor("pos_embed", (1, 1370, 768), torch.float32) * 500
    got = resampled_positions(learned, 224, 224, 14)[0, :20, :8].numpy()
    file = shared / "reference" / "quality-models" / "golden_dinov2_vitb14.npz"
    with np.load(file) as golden:
        assert np.abs(got - golden["pos16_slice"]).max() <= 1e-5


def test_positions_of_the_learned_size_are_the_learned_ones() -> None:
    learned = torch.randn(1, 197, 4)
    assert resampled_positions(learned, 224, 224, 16) is learned
    # Fourteen patches each way, but not square: the published code samples this one anew.
    assert not torch.equal(resampled_positions(learned, 224, 230, 16), learned)
    assert resampled_positions(learned, 224, 398, 16).shape == (1, 1 + 14 * 24, 4)


# Checkpoints.


class KeepsWhatIsWanted:
    """Zeros for everything; remembers what was asked for."""

    untrained = True

    def __init__(self) -> None:
        self.wanted: dict[str, dict[str, tuple[list[int], str]]] = {}
        self.ignored: dict[str, tuple[str, ...]] = {}

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        self.wanted[name] = {
            key: (list(t.shape), str(t.dtype).removeprefix("torch.")) for key, t in wanted.items()
        }
        self.ignored[name] = ignored
        return {key: torch.zeros(t.shape, dtype=t.dtype) for key, t in wanted.items()}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("backbone", "checkpoints", "unused"),
    [
        (DinoVitB16, {"dino_vitb16": "dino_vitbase16_pretrain"}, set()),
        (DinoV2VitB14, {"dinov2_vitb14": "dinov2_vitb14_pretrain"}, {"mask_token"}),
        (
            DreamSimEnsemble,
            {
                "dino_vitb16": "dino_vitbase16_pretrain",
                "dreamsim_clip_vitb16": "dreamsim_clip_vitb16_pretrain",
                "dreamsim_open_clip_vitb16": "dreamsim_clip_vitb16_pretrain",
                "dreamsim_lora": "dreamsim_ensemble_lora",
            },
            {"norm.weight", "norm.bias"},
        ),
        (ClipVitB32, {"clip_vitb32": "ViTB32_openai_clip"}, None),
        (AestheticClipL14, {"clip_vitl14": "ViTL14_openai_clip"}, None),
    ],
)
def test_every_published_key_has_its_place(
    backbone: type[TorchBackbone],
    checkpoints: dict[str, str],
    unused: set[str] | None,
    shared: Path,
) -> None:
    weights = KeepsWhatIsWanted()
    backbone(weights, CPU)
    head = weights.wanted.pop("laion_aesthetic_l14", None)
    assert head in (None, {"weight": ([1, 768], "float32"), "bias": ([1], "float32")})
    assert weights.wanted.keys() == checkpoints.keys()
    dropped: set[str] = set()
    for name, file in checkpoints.items():
        path = shared / "reference" / "quality-models" / f"keys_{file}.json"
        listed = json.loads(path.read_text())
        published = listed.get("keys") or {key: [s, "float32"] for key, s in listed.items()}
        drop = {key for key in published if any(re.search(p, key) for p in weights.ignored[name])}
        keep = {key: tuple(entry) for key, entry in published.items() if key not in drop}
        assert weights.wanted[name] == keep, name
        dropped |= drop
    if unused is None:  # A whole CLIP: its text half is not ours.
        assert dropped and not any(key.startswith("visual.") for key in dropped)
    else:
        assert dropped == unused


class Broken(SeededWeights):
    """Seeded weights with one thing wrong."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = super().load(name, wanted, ignored)
        key = min(tensors)
        if self.fault == "lacks":
            del tensors[key]
        elif self.fault == "unknown":
            tensors["head.weight"] = torch.zeros(2, 2)
        else:
            tensors[key] = tensors[key][None]
        return tensors


@pytest.mark.parametrize("fault", ["lacks", "unknown", "misshapen"])
@pytest.mark.parametrize("name", SMALL)
def test_a_checkpoint_that_does_not_fit_is_refused(name: str, fault: str) -> None:
    with pytest.raises(EnvironmentFault, match=fault):
        SMALL[name][0](Broken(fault), CPU)


def test_half_precision_checkpoints_are_computed_in_float32() -> None:
    class Half(SeededWeights):
        def load(
            self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
        ) -> dict[str, Tensor]:
            return {k: t.half() for k, t in super().load(name, wanted, ignored).items()}

    backbone = SmallClip(Half(), CPU)
    assert {p.dtype for p in backbone.tower.parameters()} == {torch.float32}


def test_the_adapter_is_added_at_half_its_product() -> None:
    clips = SmallDreamSim(DREAMSIM_RECIPE, CPU).clips
    key = "blocks.1.attn.qkv"
    plain = seeded_tensor(f"clip_vitb16.{key}.weight", (144, 48), torch.float32)
    adapter = f"base_model.model.extractor_list.1.model.{key}"
    a = seeded_tensor(f"{adapter}.lora_A.weight", (16, 48), torch.float32)
    b = seeded_tensor(f"{adapter}.lora_B.weight", (144, 16), torch.float32)
    linear = clips[0].vit.get_submodule(key)
    assert isinstance(linear, nn.Linear)
    torch.testing.assert_close(linear.weight, plain + 0.5 * b @ a)


# The same code at a small size, so that it takes no time.


def test_small_features_are_the_kept_ones(small: TorchBackbone) -> None:
    want = GOLDEN["small"][type(small).__name__]
    got = picked(np.stack(small(items(tuple(GOLDEN["video"])))))
    np.testing.assert_allclose(got, want, rtol=0, atol=2e-5)


def test_features_are_float32_vectors(small: TorchBackbone) -> None:
    features = small(items((5, 2, 40, 60)))
    assert len(features) == 2
    assert {f.dtype for f in features} == {np.dtype(np.float32)}
    assert {f.shape for f in features} <= {(48,), (48 + 32 + 32,), (32,), (1,)}


def test_batches_do_not_change_features(small: TorchBackbone) -> None:
    frames = items((5, 5, 40, 60))
    alone = np.concatenate([small([item]) for item in frames])
    np.testing.assert_allclose(np.stack(small(frames)), alone, rtol=0, atol=2e-6)


def test_black_frames_have_features(small: TorchBackbone) -> None:
    black = [(Frame(i, np.zeros((30, 50, 3), np.uint8)),) for i in range(2)]
    assert np.isfinite(np.stack(small(black))).all()


def test_bfloat16_is_for_dino_and_clip(small: TorchBackbone) -> None:
    make, weights = next(entry for entry in SMALL.values() if entry[0] is type(small))
    want = np.stack(small(items((5, 3, 40, 60))))
    got = np.stack(make(weights, replace(CPU, precision="bf16"))(items((5, 3, 40, 60))))
    if isinstance(small, DreamSimEnsemble):
        assert np.array_equal(got, want)
        return
    small.compute = replace(CPU, precision="bf16")  # Rounds at every call, not once.
    assert np.array_equal(got, np.stack(small(items((5, 3, 40, 60)))))
    assert not np.array_equal(got, want)
    assert got.dtype == np.float32
    if isinstance(small, AestheticClipL14):
        assert np.abs(got - want).max() <= 2e-3
    else:
        assert np.abs(pair_cosines(got) - pair_cosines(want)).max() <= 5e-4


def test_one_network_takes_videos_of_several_sizes() -> None:
    backbone = SmallDino(DINO_RECIPE, CPU)
    videos = [(5, 1, 40, 60), (5, 1, 60, 40), (5, 1, 50, 50)]
    first = [backbone(items(video))[0] for video in videos]
    again = [backbone(items(video))[0] for video in reversed(videos)]
    assert all(np.array_equal(a, b) for a, b in zip(first, reversed(again), strict=True))


def test_a_frame_becomes_a_tensor_once() -> None:
    (frame,) = items((5, 1, 40, 60))[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = frames_TCHW([frame], CPU.device)
    assert np.array_equal(pixels[0].permute(1, 2, 0).numpy(), frame.rgb)

    def never(_: object) -> Tensor:
        raise AssertionError("the frame crossed twice")

    assert torch.equal(frame.derive(("tensor", "cpu"), never), pixels[0])


@pytest.mark.gpu
def test_a_gpu_agrees(small: TorchBackbone) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    make, weights = next(entry for entry in SMALL.values() if entry[0] is type(small))
    on_gpu = make(weights, Compute(torch.device("cuda")))
    frames = items((5, 3, 40, 60))
    flags = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    np.testing.assert_allclose(np.stack(on_gpu(frames)), np.stack(small(frames)), atol=2e-5)
    assert flags == (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
    assert on_gpu.batch == on_gpu.gpu_batch


def test_seeded_positions_matter() -> None:
    """The recipe's factors do what they are for: without positions, features differ."""
    plain = SmallDino(SeededWeights(), CPU)(items((5, 1, 40, 60)))[0]
    amplified = SmallDino(DINO_RECIPE, CPU)(items((5, 1, 40, 60)))[0]
    assert 1 - float(F.cosine_similarity(torch.tensor(plain), torch.tensor(amplified), 0)) > 1e-3
