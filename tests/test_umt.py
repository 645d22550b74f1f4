"""UMT: what it sees, what it loads, and its table of positions."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from semantic_cases import CPU, GOLDEN, MadeUp, SmallUmt, coarse, frames
from torch import Tensor

from vbench_long.dimensions.backbones.umt import Umt, UmtL16, UmtShape, positions
from vbench_long.errors import EnvironmentFault
from vbench_long.weights.catalog import CATALOG
from vbench_long.weights.seeded import seeded_tensor
from vbench_long.weights.stored import StoredWeights

IMAGES = coarse(7, 16, 96, 128)


@pytest.fixture(scope="module")
def small() -> UmtL16:
    return SmallUmt(MadeUp(), CPU)


@pytest.mark.parametrize("row", GOLDEN["looks"], ids=lambda row: f"{row[1]}x{row[0]}")
def test_frames_are_resized_as_published(row: list) -> None:
    height, width, seed, sums = row
    looks = [UmtL16.prepare(frame.rgb) for frame in frames(coarse(seed, 2, height, width, 8))]
    assert {look.shape for look in looks} == {(3, 224, 224)}
    assert sum(look.double().sum().item() for look in looks) == pytest.approx(sums["umt"], abs=0.02)


@pytest.mark.shared
def test_frames_look_as_published(shared: Path) -> None:
    folder = shared / "reference" / "semantic-models"
    with np.load(folder / "preprocess_golden.npz") as golden:
        for i, (height, width, seed, _) in enumerate(GOLDEN["looks"]):
            made = frames(coarse(seed, 2, height, width, 8))
            looks = torch.stack([UmtL16.prepare(frame.rgb) for frame in made], 1)
            assert np.abs(looks[..., ::16, ::16].numpy() - golden[f"umt_{i}"]).max() <= 1e-5


def test_small_logits_are_the_published_networks(small: UmtL16) -> None:
    (logits,) = small([tuple(frames(IMAGES))])
    np.testing.assert_allclose(logits, GOLDEN["small"]["umt"], rtol=0, atol=2e-6)


def test_clips_do_not_depend_on_their_neighbours(small: UmtL16) -> None:
    clips = [tuple(frames(IMAGES)), tuple(reversed(frames(IMAGES)))]
    alone = np.concatenate([small([clip]) for clip in clips])
    np.testing.assert_allclose(np.stack(small(clips)), alone, rtol=0, atol=2e-6)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3  # It knows what comes first.


def test_frames_of_any_size_can_be_seen(small: UmtL16) -> None:
    for size in ((8, 8), (2160, 40), (31, 900)):
        (logits,) = small([tuple(frames(np.zeros((16, *size, 3), np.uint8)))])
        assert np.isfinite(logits).all()


# Positions.


def test_positions_of_eight_frames_are_plain_sines() -> None:
    shape = UmtShape(frames=8, width=6)
    table = positions(shape)[0]
    assert table.shape == (8 * 196, 6)
    place = 3 * 196 + 5
    angles = [place / 10000 ** (2 * (j // 2) / 6) for j in range(6)]
    want = [np.cos(a) if j % 2 else np.sin(a) for j, a in enumerate(angles)]
    np.testing.assert_allclose(table[place], want, rtol=0, atol=1e-6)


def test_positions_are_stretched_over_time_alone() -> None:
    eight = positions(UmtShape(frames=8, width=6))[0].view(8, 196, 6)
    sixteen = positions(UmtShape(frames=16, width=6))[0].view(16, 196, 6)
    torch.testing.assert_close(sixteen[0], eight[0])
    torch.testing.assert_close(sixteen[1], 0.75 * eight[0] + 0.25 * eight[1], rtol=0, atol=1e-6)
    torch.testing.assert_close(sixteen[15], eight[7])


@pytest.mark.shared
def test_positions_are_the_published_ones(shared: Path) -> None:
    table = positions(UmtL16.shape)
    with np.load(shared / "reference" / "semantic-models" / "umt_golden.npz") as golden:
        assert np.abs(table[0, ::49, ::32].numpy() - golden["pos_embed_slice"]).max() <= 1e-6
        assert table.double().sum().item() == pytest.approx(float(golden["pos_embed_sum"]))


# Checkpoints.


@pytest.mark.shared
def test_every_published_key_is_loaded_or_known(shared: Path) -> None:
    file = shared / "reference" / "semantic-models" / "umt_keys.json"
    published = json.loads(file.read_text())
    with torch.device("meta"):
        own = {key: list(t.shape) for key, t in Umt(UmtL16.shape).state_dict().items()}
    assert own == {key: shape for key, (shape, _) in published.items() if key != "pos_embed"}


def checkpoint(folder: Path, wrap: object = None, **changes: Tensor) -> StoredWeights:
    with torch.device("meta"):
        wanted = Umt(SmallUmt.shape).state_dict()
    state = {k: seeded_tensor(k, tuple(t.shape), t.dtype).half() for k, t in wanted.items()}
    record = replace(CATALOG["umt_l16"], sha256="", size=0)
    nested = {str(wrap): state | changes} if wrap else state | changes
    torch.save(nested, folder / record.file)
    return StoredWeights(folder, {record.name: record})


@pytest.mark.parametrize("wrap", [None, "model"])
def test_a_published_file_is_loaded_in_float32(wrap: str | None, tmp_path: Path) -> None:
    net = SmallUmt(checkpoint(tmp_path, wrap, pos_embed=torch.zeros(1, 3136, 48)), CPU).net
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    bias = net.blocks[0].attn.qkv.bias
    query, value = (seeded_tensor(f"blocks.0.attn.{k}_bias", (48,), torch.float32) for k in "qv")
    torch.testing.assert_close(bias, torch.cat([query, torch.zeros(48), value]), rtol=0, atol=1e-4)


@pytest.mark.parametrize("wrap", ["state_dict", "net"])
def test_a_nested_file_is_refused_by_name(wrap: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"lacks .*patch_embed\.proj\.weight"):
        SmallUmt(checkpoint(tmp_path, wrap), CPU)


def test_a_file_of_another_network_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"unknown blocks\.2\.norm1\.weight"):
        SmallUmt(checkpoint(tmp_path, None, **{"blocks.2.norm1.weight": torch.zeros(48)}), CPU)
