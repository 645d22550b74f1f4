"""MUSIQ against the published network's outputs, and against itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from golden_frames import golden_frames
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute, prepared
from vbench_long.dimensions.backbones.musiq import MusiqSpaq, published_key, tokens
from vbench_long.errors import VideoError
from vbench_long.video import Frame, probe, read_frames, split
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "musiq.json").read_text())
SIZES = ["720x1280", "480x720", "300x500", "640x360", "96x160", "31x45"]


@dataclass(frozen=True)
class LargePositions:
    """Seeded weights with positions large enough that a mistake in their use shows.

    Attributes:
        handed_out: the tensors of the last call, as they were, and as the network may change them.
    """

    handed_out: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    untrained = True

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = SeededWeights().load(name, wanted, ignored)
        tensors["transformer_encoder.posembed_input.position_emb"] *= 200
        tensors["transformer_encoder.cls"] *= 10
        self.handed_out.update({key: (t.clone(), t) for key, t in tensors.items()})
        return tensors


@pytest.fixture(scope="module")
def musiq() -> MusiqSpaq:
    return MusiqSpaq(LargePositions(), CPU)


def items(seed: int, count: int, height: int, width: int) -> list[tuple[Frame, ...]]:
    return [(Frame(i, rgb),) for i, rgb in enumerate(golden_frames(seed, count, height, width))]


# --- published outputs -----------------------------------------------------------------------


@pytest.mark.shared
def test_every_published_tensor_is_used(shared: Path, musiq: MusiqSpaq) -> None:
    path = shared / "reference/quality-models/keys_musiq_spaq_ckpt-358bb6af.json"
    published = json.loads(path.read_text())["keys"]
    ours = {published_key(k): list(t.shape) for k, t in musiq.net.state_dict().items()}
    assert ours == {key: shape for key, (shape, _) in published.items()}


def test_names_of_the_published_checkpoint(musiq: MusiqSpaq) -> None:
    lines = [f"{published_key(k)} {list(t.shape)}" for k, t in musiq.net.state_dict().items()]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == GOLDEN["names_sha256"]


@pytest.mark.shared
@pytest.mark.parametrize("size", SIZES)
def test_scores_are_the_published_ones(musiq: MusiqSpaq, shared: Path, size: str) -> None:
    path = shared / "reference/quality-models/golden_musiq.json"
    facts = json.loads(path.read_text())[size]
    frames = items(facts["seed"], facts["n"], facts["H"], facts["W"])
    scores = [musiq.scores([item]).item() for item in frames]
    assert scores == pytest.approx(facts["scores"], abs=2e-5)
    features = [musiq([item])[0] for item in frames]
    assert np.stack(features) == pytest.approx(np.array(scores)[:, None] / 100, abs=1e-8)


@pytest.mark.shared
@pytest.mark.parametrize("size", SIZES)
def test_tokens_are_the_published_ones(musiq: MusiqSpaq, shared: Path, size: str) -> None:
    folder = shared / "reference/quality-models"
    facts = json.loads((folder / "golden_musiq.json").read_text())[size]
    arrays = np.load(folder / "golden_musiq.npz")
    golden = {name: arrays[f"{size}_{name}"] for name in ("in_slice", "mask", "spatial", "scale")}
    picture_13HW = musiq.picture(pixels(items(facts["seed"], 1, facts["H"], facts["W"])))
    assert list(picture_13HW.shape[2:]) == facts["resized"]
    unit_34W = (picture_13HW[0, :, :4, :8] / 2 + 0.5).numpy()
    assert np.abs(unit_34W - golden["in_slice"]).max() <= 1e-5

    squares_1L3PP, positions_L, scales_L = tokens(picture_13HW, musiq.settings)
    real = golden["mask"] == 1
    assert np.array_equal(positions_L.numpy(), golden["spatial"][real])
    assert np.array_equal(scales_L.numpy(), golden["scale"][real])
    assert [int((scales_L == scale).sum()) for scale in range(3)] == facts["valid"]
    filled_LX = np.zeros((facts["seq_len"], 6), np.float32)
    filled_LX[real] = squares_1L3PP[0].flatten(1)[:, :6].numpy()
    assert np.abs(filled_LX[::7] - arrays[f"{size}_patch_slice"]).max() <= 1e-5


@pytest.mark.shared
@pytest.mark.slow
def test_score_of_a_published_clip(shared: Path) -> None:
    protocol = shared / "reference/protocol"
    path = protocol / "golden/scores_lossless.json"
    clips = json.loads(path.read_text())["dimensions"]["imaging_quality"]["clips"]
    info = probe(protocol / "videos/golden_set/people are walking-0.mp4")
    clip = split(info.frames, info.fps, 2.0)[2]
    frames = [(frame,) for frame in read_frames(info) if frame.index in clip.frames]
    musiq = MusiqSpaq(SeededWeights(), CPU)
    score = 100 * np.mean([musiq([item])[0] for item in frames])
    assert score == pytest.approx(clips["people are walking-0_002.mp4"]["video_results"], abs=1e-3)


def test_kept_scores(musiq: MusiqSpaq) -> None:
    """For checkouts without the published outputs, which these agreed with when kept."""
    for height, width, score in GOLDEN["scores"]:
        got = musiq.scores(items(GOLDEN["seed"], 1, height, width)).item()
        assert got == pytest.approx(score, abs=2e-5)


# --- itself ----------------------------------------------------------------------------------


def pixels(of: list[tuple[Frame, ...]]) -> Tensor:
    return prepared(of, CPU.device, lambda frames_T3HW: frames_T3HW)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((720, 1280), (288, 512)),
        ((480, 832), (295, 512)),
        ((569, 320), (511, 287)),
        ((512, 512), (512, 512)),
        ((31, 45), (31, 45)),
    ],
)
def test_large_frames_are_reduced(
    musiq: MusiqSpaq, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    picture_13HW = musiq.picture(torch.zeros((1, 3, *size), dtype=torch.uint8))
    assert tuple(picture_13HW.shape[2:]) == expected
    assert picture_13HW.min() == picture_13HW.max() == -1


def test_batch_equals_single(musiq: MusiqSpaq) -> None:
    frames = items(3, 4, 80, 120)
    single = torch.cat([musiq.scores([item]) for item in frames])
    assert (musiq.scores(frames) - single).abs().max() <= 5e-6


def test_leaving_out_equals_masking(musiq: MusiqSpaq, monkeypatch: pytest.MonkeyPatch) -> None:
    """The published network fills the copies up to 49 and 144 tokens and masks the filling."""
    picture_13HW = musiq.picture(pixels(items(4, 1, 90, 200)))
    shown = tokens(picture_13HW, musiq.settings)
    short = musiq.net(*shown)
    counts = [int((shown[2] == scale).sum()) for scale in range(3)]
    missing = [49 - counts[0], 144 - counts[1], 0]
    parts = [torch.split(part, counts, dim) for part, dim in zip(shown, (1, 0, 0), strict=True)]
    squares_1L3PP = torch.cat(
        [F.pad(p, (0, 0, 0, 0, 0, 0, 0, more)) for p, more in zip(parts[0], missing, strict=True)],
        1,
    )
    positions_L, scales_L = (
        torch.cat([F.pad(p, (0, more)) for p, more in zip(kind, missing, strict=True)])
        for kind in parts[1:]
    )
    real = [torch.ones(1)]
    for count, more in zip(counts, missing, strict=True):
        real += [torch.ones(count), torch.zeros(more)]
    real_L = torch.cat(real)
    mask_LL = torch.where(torch.outer(real_L, real_L) > 0, 0.0, -1e3)
    masked = partial(F.scaled_dot_product_attention, attn_mask=mask_LL)
    monkeypatch.setattr(F, "scaled_dot_product_attention", masked)
    assert len(positions_L) == 49 + 144 + counts[2]
    long = musiq.net(squares_1L3PP, positions_L, scales_L)
    assert (short - long).abs().max() <= 5e-6


def test_standardising_leaves_the_checkpoint_alone() -> None:
    """Its tensors may be mapped from the file."""
    weights = LargePositions()
    net = MusiqSpaq(weights, CPU).net
    assert all(torch.equal(before, after) for before, after in weights.handed_out.values())
    for conv in (net.conv_root, net.block1.conv2, net.block1.conv_proj):
        std_O, mean_O = torch.std_mean(conv.weight.flatten(1), 1)
        assert mean_O.abs().max() <= 1e-6 and (std_O - 1).abs().max() <= 1e-3


def test_black_frames_are_finite(musiq: MusiqSpaq) -> None:
    (feature,) = musiq([(Frame(0, np.zeros((48, 64, 3), np.uint8)),)])
    assert feature.shape == (1,) and np.isfinite(feature).all()


def test_narrow_frames(musiq: MusiqSpaq) -> None:
    for height, width in ((1, 200), (800, 4)):
        (feature,) = musiq([(Frame(0, np.full((height, width, 3), 90, np.uint8)),)])
        assert np.isfinite(feature).all()
    with pytest.raises(VideoError, match="1005x5 pixels are too narrow for MUSIQ"):
        musiq([(Frame(0, np.zeros((5, 1005, 3), np.uint8)),)])


def test_no_number_is_an_error(musiq: MusiqSpaq, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(musiq, "_score", lambda *_: torch.tensor([float("nan")]))
    with pytest.raises(VideoError, match="no finite number"):
        musiq(items(5, 1, 32, 32))


def test_runs_in_float32_whatever_is_asked(musiq: MusiqSpaq) -> None:
    frames = items(6, 1, 48, 64)
    asked = MusiqSpaq(LargePositions(), replace(CPU, precision="bf16"))
    assert asked(frames)[0] == musiq(frames)[0]


@pytest.mark.gpu
def test_gpu_equals_cpu(musiq: MusiqSpaq) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    frames = items(7, 3, 96, 160)
    on_gpu = MusiqSpaq(LargePositions(), Compute(torch.device("cuda")))
    assert np.stack(on_gpu(frames)) == pytest.approx(np.stack(musiq(frames)), abs=1e-6)
