"""AMT-S against the published network's outputs, and against itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from golden_frames import golden_frames
from torch import Tensor

from vbench_long.dimensions.backbones.amt import AmtS, AmtSettings, Correlations
from vbench_long.dimensions.backbones.base import Compute
from vbench_long.dimensions.base import VideoFacts
from vbench_long.dimensions.motion_smoothness import MotionSmoothness
from vbench_long.errors import VideoError
from vbench_long.video import Clip, Frame, probe, read_frames, split
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))
GOLDEN = json.loads((Path(__file__).parent / "golden" / "amt.json").read_text())


@dataclass(frozen=True)
class TameWeights:
    """Seeded weights made small where plain ones would blow up and hide mistakes.

    Attributes:
        bias: of the last convolution; anything but None replaces it.
    """

    bias: float | None = None
    untrained = True

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        tensors = SeededWeights().load(name, wanted, ignored)
        for key, tensor in tensors.items():
            if tensor.ndim == 1 and key.endswith("weight"):
                tensor.mul_(0.25)
            if key.startswith(("decoder1.convblock.2.", "comb_block.2.")):
                tensor.mul_(0.1)
            if key == "comb_block.2.bias" and self.bias is not None:
                tensor.fill_(self.bias)
        return tensors


class ThreeLevels(AmtS):
    """The published network with a shorter pyramid, which allows frames of 64 pixels."""

    settings = replace(AmtSettings(), levels=3)


@pytest.fixture(scope="module")
def amt() -> AmtS:
    return AmtS(TameWeights(), CPU)


def frames(seed: int, count: int, height: int, width: int) -> list[Frame]:
    return [Frame(i, rgb) for i, rgb in enumerate(golden_frames(seed, count, height, width))]


def whole_levels(image_N3HW: Tensor | np.ndarray) -> np.ndarray:
    return (np.asarray(image_N3HW) * 255).astype(np.uint8)


def smoothness(amt: AmtS, clip_frames: Sequence[Frame]) -> float | None:
    """The dimension's score of one clip."""
    height, width = clip_frames[0].rgb.shape[:2]
    facts = VideoFacts(width, height, Fraction(8))
    clip = Clip(0, len(clip_frames), 0)
    dimension = MotionSmoothness("classical")
    items = dimension.clip_items(clip, facts)["triple"]
    errors = [amt([tuple(clip_frames[i] for i in item)])[0] for item in items]
    return dimension.score_clip(clip, facts, {"triple": errors}).value


# --- published outputs -----------------------------------------------------------------------


@pytest.mark.shared
def test_every_published_tensor_is_used(shared: Path, amt: AmtS) -> None:
    path = shared / "reference/quality-models/keys_amt-s.json"
    published = json.loads(path.read_text())["keys"]
    ours = {key: list(tensor.shape) for key, tensor in amt.net.state_dict().items()}
    assert ours == {key: shape for key, (shape, _) in published.items()}


def test_names_of_the_published_checkpoint(amt: AmtS) -> None:
    lines = [f"{key} {list(tensor.shape)}" for key, tensor in amt.net.state_dict().items()]
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == GOLDEN["names_sha256"]


def golden_case(shared: Path, tag: str) -> tuple[Mapping[str, Any], Mapping[str, np.ndarray]]:
    folder = shared / "reference/quality-models"
    facts = json.loads((folder / "golden_amt_s.json").read_text())[tag]
    arrays = np.load(folder / "golden_amt_s.npz")
    return facts, {
        name.removeprefix(f"{tag}_"): arrays[name] for name in arrays if name.startswith(tag)
    }


# The published golden "d" is computed at half size, which no published run ever did.
@pytest.mark.shared
@pytest.mark.parametrize(
    "tag",
    [
        "a_64x96_lvl3",
        "b_128x192",
        "c_130x200",
        "e_320x512",
        pytest.param("f_480x720", marks=[pytest.mark.slow, pytest.mark.full]),
    ],
)
def test_frame_is_the_published_one(amt: AmtS, shared: Path, tag: str) -> None:
    facts, golden = golden_case(shared, tag)
    model = amt if facts["corr_lvls"] == 4 else ThreeLevels(TameWeights(), CPU)
    before, middle, after = frames(facts["seed"], 3, facts["H"], facts["W"])
    predicted_13HW = model.predict([before], [after])
    if "imgt" in golden:
        assert np.abs(predicted_13HW.numpy() - golden["imgt"]).max() <= 1e-4
        apart = np.abs(whole_levels(predicted_13HW).astype(int) - whole_levels(golden["imgt"]))
        assert apart.max() <= 1 and (apart > 0).mean() < 1e-3
    else:
        assert np.abs(predicted_13HW.numpy()[..., ::8, ::8] - golden["imgt_s8"]).max() <= 1e-4
    levels = whole_levels(predicted_13HW)
    assert levels.sum(dtype=np.int64) == pytest.approx(facts["uint8_sum"], rel=1e-4)
    (error,) = model([(before, middle, after)])
    assert error == pytest.approx(facts["uint8_absdiff_to_middle"], abs=2e-3)


@pytest.mark.shared
@pytest.mark.parametrize("tag", ["a_64x96_lvl3", "b_128x192"])
def test_motion_is_the_published_one(amt: AmtS, shared: Path, tag: str) -> None:
    facts, golden = golden_case(shared, tag)
    net = (amt if facts["corr_lvls"] == 4 else ThreeLevels(TameWeights(), CPU)).net
    raw = golden_frames(facts["seed"], 3, facts["H"], facts["W"])[::2]
    images_23HW = torch.from_numpy(raw).permute(0, 3, 1, 2) / 255
    images_23HW = images_23HW - images_23HW.mean()
    pictures = net.pictures(images_23HW)
    eighth, quarter, half = net.motions(images_23HW, pictures)
    recipes = net.recipes(half, pictures[0])
    flows = {
        "4": eighth[0],
        "3": quarter[0],
        "2": half[0][..., ::2, ::2],
    }
    for level, flow_N4HW in flows.items():
        for way, flow_N2HW in enumerate(flow_N4HW.chunk(2, 1)):
            assert np.abs(flow_N2HW.numpy() - golden[f"flow{way}_{level}"]).max() <= 5e-3
    for way in (0, 1):
        flow_NK2HW = torch.stack([recipe[way] for recipe in recipes], 1)[..., ::4, ::4]
        assert np.abs(flow_NK2HW.numpy() - golden[f"flow{way}_1"]).max() <= 5e-3
    assert np.abs(eighth[1][:, :8].numpy() - golden["ft3"]).max() <= 1e-4


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("n7_136x200_seed311", (311, 7, 136, 200)),
        ("n8_136x200_seed311", (311, 8, 136, 200)),
        ("n3_144x160_seed312", (312, 3, 144, 160)),
    ],
)
def test_motion_smoothness_is_the_published_one(
    amt: AmtS, shared: Path, name: str, video: tuple[int, int, int, int]
) -> None:
    path = shared / "reference/quality-models/golden_motion_smoothness.json"
    expected = json.loads(path.read_text())["scores"][name]
    assert smoothness(amt, frames(*video)) == pytest.approx(expected, abs=2e-5)


@pytest.mark.shared
@pytest.mark.slow
@pytest.mark.full
def test_score_of_a_published_clip(shared: Path) -> None:
    protocol = shared / "reference/protocol"
    path = protocol / "golden/scores_lossless.json"
    clips = json.loads(path.read_text())["dimensions"]["motion_smoothness"]["clips"]
    expected = clips["people are walking-0_002.mp4"]["video_results"]
    info = probe(protocol / "videos/golden_set/people are walking-0.mp4")
    clip = split(info.frames, info.fps, 2.0)[2]
    clip_frames = [frame for frame in read_frames(info) if frame.index in clip.frames]
    score = smoothness(AmtS(SeededWeights(), CPU), clip_frames)
    assert score == pytest.approx(expected, abs=2e-4)


def test_kept_feature(amt: AmtS) -> None:
    """For checkouts without the published outputs, which these agreed with when kept."""
    seed, height, width = GOLDEN["frames"]
    triple = tuple(frames(seed, 3, height, width))
    assert amt([triple])[0] == pytest.approx(GOLDEN["error"], abs=2e-3)
    predicted_13HW = amt.predict(triple[:1], triple[2:])
    corner = predicted_13HW[0, :, 40, 60:64].flatten().tolist()
    assert corner == pytest.approx(GOLDEN["colours"], abs=1e-4)


# --- itself ----------------------------------------------------------------------------------


def test_last_frame_of_an_even_clip_is_not_used(amt: AmtS) -> None:
    clip_frames = frames(1, 4, 128, 128)
    assert smoothness(amt, clip_frames) == smoothness(amt, clip_frames[:3])
    assert smoothness(amt, clip_frames[:2]) is None


def test_batch_equals_single(amt: AmtS) -> None:
    video = frames(2, 5, 128, 136)
    together = amt.predict(video[0:3], video[2:5])
    for number in range(3):
        alone = amt.predict(video[number : number + 1], video[number + 2 : number + 3])
        assert (together[number] - alone[0]).abs().max() <= 2e-5  # of 1; thread counts differ
    items = [tuple(video[i : i + 3]) for i in range(3)]
    singles = [amt([item])[0] for item in items]
    assert np.stack(amt(items)) == pytest.approx(np.stack(singles), abs=1e-3)


def test_correlations_in_parts_equal_the_whole_pyramid() -> None:
    rng = torch.Generator().manual_seed(0)
    first_NCHW, second_NCHW = torch.randn(2, 2, 5, 16, 20, generator=rng)
    flow_N4HW = 9 * torch.randn(2, 4, 16, 20, generator=rng)
    parts = replace(AmtSettings(), cpu_part_bytes=1)
    read_NCHW = Correlations((first_NCHW, second_NCHW), parts).along(flow_N4HW)
    whole_NCHW = Correlations((first_NCHW, second_NCHW), AmtSettings()).along(flow_N4HW)
    assert (read_NCHW - whole_NCHW).abs().max() <= 1e-5

    volume = torch.einsum("cp,cq->pq", first_NCHW[1].flatten(1), second_NCHW[1].flatten(1))
    pyramid = [(volume / 5**0.5).view(16 * 20, 1, 16, 20)]
    for _ in range(3):
        pyramid.append(torch.nn.functional.avg_pool2d(pyramid[-1], 2))
    y, x, level, right, down = 7, 12, 2, -3, 1
    place = torch.tensor([x, y]) + 2 * flow_N4HW[1, 2:, y, x]
    column, row = (place / 2**level + torch.tensor([right, down])).tolist()
    expected = bilinear(pyramid[level][y * 20 + x, 0].numpy(), row, column)
    channel = level * 49 + (right + 3) * 7 + (down + 3)
    assert read_NCHW[1, channel, y, x].item() == pytest.approx(expected, abs=1e-5)


def bilinear(image: np.ndarray, row: float, column: float) -> float:
    top, left = int(np.floor(row)), int(np.floor(column))
    total = 0.0
    for r in (top, top + 1):
        for c in (left, left + 1):
            inside = 0 <= r < image.shape[0] and 0 <= c < image.shape[1]
            total += (1 - abs(row - r)) * (1 - abs(column - c)) * image[r, c] if inside else 0.0
    return float(total)


def test_levels_are_cut_not_rounded(amt: AmtS, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = [Frame(i, np.full((128, 128, 3), 10, np.uint8)) for i in range(3)]
    monkeypatch.setattr(amt, "predict", lambda *_: torch.full((1, 3, 128, 128), 10.9 / 255))
    assert amt([tuple(grey)])[0] == 0


def test_black_frames_are_finite(amt: AmtS) -> None:
    black = [Frame(i, np.zeros((128, 128, 3), np.uint8)) for i in range(3)]
    assert 0 <= amt([tuple(black)])[0] < 255


def test_smallest_frames(amt: AmtS) -> None:
    assert np.isfinite(amt([tuple(frames(3, 3, 113, 115))])[0])
    for height, width in ((100, 160), (160, 112)):
        with pytest.raises(VideoError, match=r"are too small for AMT-S.*113x113"):
            amt([tuple(frames(3, 3, height, width))])


def test_no_number_is_an_error() -> None:
    broken = AmtS(TameWeights(bias=float("nan")), CPU)
    with pytest.raises(VideoError, match="no finite frame"):
        broken([tuple(frames(4, 3, 128, 128))])


def test_runs_in_float32_whatever_is_asked(amt: AmtS) -> None:
    triple = tuple(frames(5, 3, 128, 128))
    asked = AmtS(TameWeights(), replace(CPU, precision="bf16"))
    assert asked([triple])[0] == amt([triple])[0]


@pytest.mark.gpu
def test_gpu_equals_cpu(amt: AmtS) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    video = frames(6, 4, 128, 192)
    items = [tuple(video[:3]), tuple(video[1:])]
    on_gpu = AmtS(TameWeights(), Compute(torch.device("cuda")))
    assert np.stack(on_gpu(items)) == pytest.approx(np.stack(amt(items)), abs=2e-3)
