"""RAFT against the published network's outputs, against torchvision's forward, and itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_frames import golden_frames
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute
from vbench_long.dimensions.backbones.raft import (
    Raft,
    RaftSettings,
    published_key,
    top_lengths,
    upsampled,
)
from vbench_long.dimensions.dynamic_degree import top_motion
from vbench_long.errors import VideoError
from vbench_long.video import Frame, probe, read_frames, split
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "raft.json").read_text())
NOISE = 1e-4
"""Pixels by which two runs of one network differ at flows of a hundred pixels."""


@dataclass(frozen=True)
class Scaled:
    """Seeded weights, some of them multiplied.

    Attributes:
        factors: part of a published key -> what tensors whose key holds it are multiplied by.
    """

    factors: Mapping[str, float] = field(default_factory=dict)
    untrained = True

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = SeededWeights().load(name, wanted, ignored)
        for key, tensor in tensors.items():
            for part, factor in self.factors.items():
                if part in key:
                    tensor.mul_(factor)
        return tensors


@pytest.fixture(scope="module")
def raft() -> Raft:
    return Raft(SeededWeights(), CPU)


class QuickRaft(Raft):
    """Where the number of iterations proves nothing."""

    settings = replace(RaftSettings(), iterations=2)


@pytest.fixture(scope="module")
def quick() -> Raft:
    return QuickRaft(SeededWeights(), CPU)


def pair(seed: int, height: int, width: int) -> tuple[Frame, ...]:
    return tuple(Frame(i, rgb) for i, rgb in enumerate(golden_frames(seed, 2, height, width)))


def fresh(frames: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """The same pixels with nothing derived from them yet."""
    return tuple(Frame(frame.index, frame.rgb) for frame in frames)


def published_network(shared: Path) -> Mapping[str, np.ndarray]:
    return np.load(shared / "reference/quality-models/golden_raft_things.npz")


# --- names -----------------------------------------------------------------------------------


@pytest.mark.shared
def test_every_published_tensor_is_used_or_dropped_by_name(shared: Path, raft: Raft) -> None:
    folder = shared / "reference/quality-models"
    renamed = json.loads((folder / "raft_rename_to_torchvision.json").read_text())
    ours = {published_key(key): key for key in raft.net.state_dict()}
    assert ours == {key: name for key, name in renamed.items() if name is not None}
    assert all(".norm3." in key for key, name in renamed.items() if name is None)
    published = json.loads((folder / "keys_raft_things.json").read_text())["keys"]
    assert published.keys() == renamed.keys()
    for key, name in ours.items():
        assert list(raft.net.state_dict()[name].shape) == published[key][0]


def test_names_of_the_published_checkpoint(raft: Raft) -> None:
    keys = [published_key(key) for key in raft.net.state_dict()]
    assert len(keys) == len(set(keys)) == 169
    assert all(key.startswith("module.") for key in keys)
    assert {
        "module.fnet.conv1.weight",
        "module.cnet.conv2.bias",
        "module.cnet.layer2.0.norm2.running_var",
        "module.update_block.encoder.convf2.weight",
        "module.update_block.gru.convq1.bias",
        "module.update_block.mask.2.weight",
    } <= set(keys)


# --- published outputs -----------------------------------------------------------------------


@pytest.mark.shared
@pytest.mark.parametrize(
    ("seed", "height", "width"),
    [
        (201, 128, 160),
        (202, 130, 171),
        pytest.param(203, 320, 512, marks=[pytest.mark.slow, pytest.mark.full]),
    ],
)
def test_flow_is_the_published_one(
    raft: Raft, shared: Path, seed: int, height: int, width: int
) -> None:
    golden = published_network(shared)
    frames = pair(seed, height, width)
    size = f"{height}x{width}"
    coarse_N2hw, state_NChw = raft.coarse_flow([frames])
    flow_N2HW = upsampled(coarse_N2hw, raft.net.mask_predictor(state_NChw))
    parts = {
        f"low_{size}": coarse_N2hw,
        f"flow_{size}": flow_N2HW,
        f"flow_{size}_slice": flow_N2HW[..., ::4, ::4],
    }
    kept = [name for name in parts if name in golden]
    assert kept
    for name in kept:
        assert np.abs(parts[name].numpy() - golden[name]).max() <= 2e-2
    longest = top_lengths(flow_N2HW, (0.05,)).item()
    assert longest == pytest.approx(float(golden[f"max_rad_{size}"]), rel=1e-4)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.full
def test_scores_of_a_published_clip(shared: Path) -> None:
    protocol = shared / "reference/protocol"
    goldens = json.loads((protocol / "golden/flow_scores.json").read_text())["clips"]
    expected = goldens["people are walking-0_002.mp4"]
    info = probe(protocol / "videos/golden_set/people are walking-0.mp4")
    clip = split(info.frames, info.fps, 2.0)[2]
    frames = [frame for frame in read_frames(info) if frame.index in clip.frames]
    ends = [(frames[0], frames[-1]), (frames[-1], frames[0])]
    raft = Raft(Scaled({".flow_head.conv2.": 0.03}), CPU)
    lengths = np.stack([raft([item])[0] for item in [*pairwise(frames), *ends]])
    assert lengths[:-2, 0] == pytest.approx(expected["dynamic_scores"], rel=1e-5)
    assert lengths[:, 1] == pytest.approx(expected["static_scores"], rel=1e-5)


def test_kept_features(raft: Raft) -> None:
    """For checkouts without the published outputs, which these agreed with when kept."""
    (lengths,) = raft([pair(*GOLDEN["frames"])])
    assert lengths == pytest.approx(GOLDEN["lengths"], rel=1e-4)


# --- the savings change nothing --------------------------------------------------------------


def test_equals_torchvision(raft: Raft) -> None:
    raw = golden_frames(5, 2, 128, 144)
    first, second = (2 * (torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255) - 1 for rgb in raw)
    plain_N2HW = raft.net(first, second, num_flow_updates=20)[-1]
    ours_N2HW = raft.flow([(Frame(0, raw[0]), Frame(1, raw[1]))])
    assert (plain_N2HW - ours_N2HW).abs().max() <= NOISE


def test_each_frame_is_encoded_once_and_each_flow_enlarged_once(quick: Raft) -> None:
    calls = {"feature_encoder": 0, "mask_predictor": 0, "update_block": 0}

    def count(name: str) -> None:
        calls[name] += 1

    hooks = [
        getattr(quick.net, name).register_forward_hook(lambda *_, name=name: count(name))
        for name in calls
    ]
    frames = [Frame(i, rgb) for i, rgb in enumerate(golden_frames(3, 3, 128, 128))]
    quick(list(pairwise(frames)))
    quick([(frames[2], frames[0])])
    for hook in hooks:
        hook.remove()
    assert calls == {"feature_encoder": 3, "mask_predictor": 2, "update_block": 4}


def test_two_networks_share_no_features(quick: Raft) -> None:
    frames = pair(4, 128, 128)
    (before,) = quick([frames])
    (other,) = QuickRaft(Scaled({".fnet.conv1.": 2.0}), CPU)([frames])
    (after,) = quick([frames])
    assert (before == after).all() and (before != other).all()


def test_batch_equals_single(quick: Raft) -> None:
    frames = [Frame(i, rgb) for i, rgb in enumerate(golden_frames(6, 4, 128, 136))]
    items = [(frames[0], frames[1]), (frames[1], frames[2]), (frames[3], frames[0])]
    together = np.stack(quick(items))
    alone = np.stack([quick([fresh(item)])[0] for item in items])
    assert np.abs(together - alone).max() <= NOISE


def test_memory_limit_changes_nothing(quick: Raft) -> None:
    frames = [Frame(i, rgb) for i, rgb in enumerate(golden_frames(8, 3, 128, 128))]
    items = list(pairwise(frames))

    class Narrow(QuickRaft):
        settings = replace(QuickRaft.settings, volume_bytes=1)

    narrow = np.stack(Narrow(SeededWeights(), CPU)(items))
    assert np.abs(narrow - np.stack(quick(items))).max() <= NOISE


def test_correlations_are_not_kept(quick: Raft) -> None:
    quick([pair(9, 128, 128)])
    assert quick.net.corr_block.corr_pyramid == []


# --- numbers and refusals --------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.05, 0.02, 1e-9])
def test_top_lengths_are_those_of_the_dimension(share: float) -> None:
    flow_HW2 = np.random.default_rng(0).normal(0, 9, (37, 53, 2)).astype(np.float32)
    flow_12HW = torch.from_numpy(flow_HW2).permute(2, 0, 1)[None]
    expected = top_motion(flow_HW2, share)
    assert top_lengths(flow_12HW, (share,)).item() == pytest.approx(expected, rel=1e-6)


def test_black_frames_are_finite(quick: Raft) -> None:
    black = tuple(Frame(i, np.zeros((128, 128, 3), np.uint8)) for i in range(2))
    (lengths,) = quick([black])
    assert lengths.shape == (2,) and np.isfinite(lengths).all()


def test_smallest_frames(quick: Raft) -> None:
    (lengths,) = quick([pair(1, 121, 123)])
    assert np.isfinite(lengths).all()
    with pytest.raises(VideoError, match=r"160x120 pixels are too small.*121x121"):
        quick([pair(1, 120, 160)])


def test_no_number_is_an_error() -> None:
    broken = QuickRaft(Scaled({".flow_head.conv2.bias": float("nan")}), CPU)
    with pytest.raises(VideoError, match="no finite number"):
        broken([pair(1, 128, 128)])


def test_runs_in_float32_whatever_is_asked() -> None:
    frames = pair(2, 128, 128)
    (exact,) = QuickRaft(SeededWeights(), CPU)([frames])
    (asked,) = QuickRaft(SeededWeights(), replace(CPU, precision="bf16"))([frames])
    assert (exact == asked).all()


@pytest.mark.gpu
def test_gpu_equals_cpu(raft: Raft) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    frames = [Frame(i, rgb) for i, rgb in enumerate(golden_frames(2, 3, 128, 160))]
    items = list(pairwise(frames))
    on_gpu = Raft(SeededWeights(), Compute(torch.device("cuda")))
    assert np.stack(on_gpu(items)) == pytest.approx(np.stack(raft(items)), rel=1e-4)
