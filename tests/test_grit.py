"""GRiT's eyes against the published network's outputs, against plain loops, and themselves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from grit_cases import CPU, TINY, Eager, TinyGrit, cells, picture
from torch import Tensor

from vbench_long.dimensions.backbones.grit import backbone, heads, vitdet
from vbench_long.dimensions.backbones.grit.heads import CascadeShape
from vbench_long.dimensions.backbones.grit.proposals import ProposalRules, propose
from vbench_long.dimensions.detections import detections
from vbench_long.errors import VideoError
from vbench_long.video import Frame

GOLDEN = json.loads((Path(__file__).parent / "golden" / "grit.json").read_text())
Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def tiny() -> TinyGrit:
    return TinyGrit(Eager(end=1.5), CPU)


@pytest.fixture
def units(shared: Path) -> Arrays:
    return np.load(shared / "reference/grit/golden_units.npz")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, dtype=np.float32))


def tensor(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


# --- units against published outputs ---------------------------------------------------------


def test_boxes_move_as_published() -> None:
    facts = GOLDEN["decode"]
    for weights, expected in zip(CascadeShape().weights, facts["moved"], strict=True):
        moved_N4 = heads.moved(tensor(facts["boxes"]), tensor(facts["deltas"]), weights)
        assert moved_N4.numpy() == pytest.approx(np.array(expected), rel=1e-6, abs=1e-4)


def test_maps_are_chosen_as_published() -> None:
    sides, expected = zip(*GOLDEN["levels"], strict=True)
    boxes_N4 = tensor([[0, 0, side, side] for side in sides])
    assert (heads.levels(boxes_N4) + 3).tolist() == list(expected)


@pytest.mark.shared
def test_proposals_are_the_published_ones(units: Arrays) -> None:
    rng = np.random.default_rng(23)
    shapes = ((60, 80), (30, 40), (15, 20), (8, 10), (4, 5))
    logits = [(rng.standard_normal((1, 1, h, w)) * 3 - 5).astype(np.float32) for h, w in shapes]
    distances = [
        np.maximum(rng.standard_normal((1, 4, h, w)) * 2 + 2, 0).astype(np.float32)
        for h, w in shapes
    ]
    found = [
        (torch.from_numpy(one)[0, 0], torch.from_numpy(other)[0])
        for one, other in zip(logits, distances, strict=True)
    ]
    proposed = propose(found, ProposalRules())
    assert np.abs(proposed.boxes.numpy() - units["prop_boxes"]).max() <= 1e-4
    assert np.abs(proposed.scores.numpy() - units["prop_scores"]).max() <= 1e-6


@pytest.mark.shared
@pytest.mark.parametrize("side", [7, 14])
def test_pooling_is_the_published_one(units: Arrays, side: int) -> None:
    rng = np.random.default_rng(22)
    maps = [
        torch.from_numpy(rng.standard_normal((1, 8, h, w), dtype=np.float32))
        for h, w in ((60, 80), (30, 40), (15, 20))
    ]
    boxes_N4 = torch.from_numpy(units["pool_boxes"])
    squares = heads.pooled(maps, boxes_N4, torch.zeros(len(boxes_N4), dtype=torch.long), side)
    assert np.abs(squares.numpy() - units[f"pool_out_{side}"]).max() <= 1e-5


@pytest.mark.shared
def test_selection_is_the_published_one(units: Arrays) -> None:
    boxes_N4, scores_N = (torch.from_numpy(units[name]) for name in ("sel_boxes", "sel_scores"))
    best = heads.best(boxes_N4, scores_N[:, 0], (480, 640), CascadeShape())
    assert best.boxes.shape == (69, 4)
    assert np.abs(best.boxes.numpy() - units["sel_out_boxes"]).max() <= 1e-5
    assert np.abs(best.scores.numpy() - units["sel_out_scores"]).max() <= 1e-5


def test_which_boxes_are_kept() -> None:
    boxes_N4 = tensor(
        [
            [0, 0, 10, 10],
            [0, 0, 10, 9],  # covers nearly the same
            [20, 0, 30, 10],  # exactly at the threshold
            [40, 0, 50, float("nan")],
            [60, 0, 70, 10],  # score is infinite
            [110, 0, 120, 10],  # beyond the picture
            [-5, 50, 5, 70],  # sticks out
        ]
    )
    scores_N = tensor([0.8, 0.9, 0.5, 0.95, float("inf"), 0.99, 0.6])
    best = heads.best(boxes_N4, scores_N, (60, 100), CascadeShape())
    assert best.boxes.tolist() == [[0, 0, 10, 9], [0, 50, 5, 60]]
    assert best.scores.tolist() == pytest.approx([0.9, 0.6])
    one = heads.best(boxes_N4, scores_N, (60, 100), replace(CascadeShape(), kept=2))
    assert one.boxes.tolist() == [[0, 0, 10, 9]]  # what has no area took one of the two places


def test_ties_with_the_last_proposal_stay() -> None:
    logits_hw = tensor([[3.0, 1.0, 1.0, 1.0, -20.0, 0.0]])
    found = [(logits_hw, torch.full((4, 1, 6), 0.4))]
    found += [(torch.full((1, 1), -20.0), torch.zeros(4, 1, 1))] * 4
    proposed = propose(found, ProposalRules(kept=2))
    assert proposed.boxes[:, 0].tolist() == pytest.approx([0.8, 8.8, 16.8, 24.8])
    assert proposed.scores.square().tolist() == pytest.approx(
        torch.sigmoid(tensor([3.0, 1, 1, 1])).tolist()
    )
    assert len(propose(found, ProposalRules(per_map=2)).scores) == 2


# --- the encoder against plain loops ---------------------------------------------------------


@pytest.mark.parametrize(("high", "wide", "side"), [(3, 3, 3), (4, 6, 5), (1, 2, 3)])
def test_attention_is_what_it_says(high: int, wide: int, side: int) -> None:
    attention = vitdet.Attention(8, 2, side)
    for seed, parameter in enumerate(attention.parameters()):
        parameter.data = 0.3 * noise(*parameter.shape, seed=seed)
    x_1hwD = noise(1, high, wide, 8, seed=9)
    with torch.inference_mode():
        out = attention(x_1hwD)
        q, k, v = attention.qkv(x_1hwD[0]).view(high, wide, 3, 2, 4).permute(2, 3, 0, 1, 4)
        tables = [
            F.interpolate(table.T[None], 2 * size - 1, mode="linear")[0].T
            for table, size in ((attention.rows, high), (attention.columns, wide))
        ]
        expected = torch.zeros(high, wide, 2, 4)
        places = [(i, j) for i in range(high) for j in range(wide)]
        for head in range(2):
            for i, j in places:
                query = q[head, i, j]
                logits = [
                    query @ k[head, u, w] / 2
                    + query @ tables[0][i - u + high - 1]
                    + query @ tables[1][j - w + wide - 1]
                    for u, w in places
                ]
                weights = torch.stack(logits).softmax(0)
                expected[i, j, head] = weights @ v[head].reshape(-1, 4)
        assert (out[0] - attention.proj(expected.flatten(2))).abs().max() <= 1e-5


def test_biases_in_parts_change_nothing(tiny: TinyGrit, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.from_numpy(cells(1, 96, 160, 16)).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        whole = tiny.net.maps(image)
        monkeypatch.setattr(vitdet, "CPU_BIASES", 1)
        parts = tiny.net.maps(image)
    assert max((a - b).abs().max() for a, b in zip(whole, parts, strict=True)) <= 1e-5


@pytest.mark.parametrize(("high", "wide"), [(6, 9), (7, 4), (1, 1)])
def test_windows_join_again(high: int, wide: int) -> None:
    x_2hwD = noise(2, high, wide, 5)
    filling = torch.arange(5.0)
    squares = vitdet.windows(x_2hwD, 3, filling)
    rows, columns = -(-high // 3), -(-wide // 3)
    assert squares.shape == (2 * rows * columns, 3, 3, 5)
    assert torch.equal(vitdet.joined(squares, high, wide), x_2hwD)
    last = squares[rows * columns - 1]  # of the first picture: its lower right corner
    kept = last[: high - 3 * (rows - 1), : wide - 3 * (columns - 1)]
    assert torch.equal(kept, x_2hwD[0, 3 * (rows - 1) :, 3 * (columns - 1) :])
    kept[:] = filling  # a view of `last`
    assert torch.equal(last, filling.expand(3, 3, 5))


# --- the whole, tiny ------------------------------------------------------------------------


def found(features: list) -> list[list[list]]:
    return [[[list(d.box), d.score, d.name, d.caption] for d in detections(f)] for f in features]


def same(got: list[list], expected: list[list]) -> bool:
    """Whether detections are equal up to the noise of their scores."""
    return [[*row[:1], *row[2:]] for row in got] == [[*row[:1], *row[2:]] for row in expected] and [
        row[1] for row in got
    ] == pytest.approx([row[1] for row in expected], abs=2e-5)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_kept_detections(tiny: TinyGrit, seed: int) -> None:
    (got,) = found(tiny([picture(0, seed, 90, 150, 16)]))
    assert len(got) >= 2
    assert same(got, GOLDEN["tiny"][str(seed)])


def test_batch_equals_single_and_an_empty_frame_stays_empty(
    tiny: TinyGrit, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [picture(i, i, 96, 160, 16) for i in range(3)]
    items.insert(1, (Frame(9, np.full((96, 160, 3), 128, np.uint8)),))
    alone = [found(tiny([item]))[0] for item in items]
    assert alone[1] == [] and all(alone[i] for i in (0, 2, 3))
    for pictures, boxes in ((1, 2), (2, 100), (4, 3)):
        monkeypatch.setattr(tiny, "pictures_at_once", pictures)
        monkeypatch.setattr(tiny, "boxes_at_once", boxes)
        together = found(tiny(items))
        assert all(same(got, expected) for got, expected in zip(together, alone, strict=True))


class Blind(TinyGrit):
    shape = replace(TINY, rules=replace(TINY.rules, probability=1.0))


def test_a_picture_without_proposals_is_empty() -> None:
    items = [picture(i, i, 96, 160, 16) for i in range(3)]
    assert found(Blind(Eager(), CPU)(items)) == [[], [], []]


def test_the_views_of_a_frame_share_their_work(tiny: TinyGrit) -> None:
    calls = {"pyramid": 0, "cascade": 0, "boxes": 0}

    def count(name: str, amount: int) -> None:
        calls[name] += amount

    hooks = [
        tiny.net.pyramid.register_forward_hook(lambda _, args, __: count("pyramid", len(args[0]))),
        tiny.net.cascade.register_forward_hook(lambda _, args, __: count("cascade", len(args[1]))),
        tiny.net.text.boxes.register_forward_hook(lambda _, args, __: count("boxes", len(args[0]))),
    ]
    items = [picture(i, i, 96, 160, 16) for i in range(2)]
    both = [item for item in items for _ in range(2)]
    seen = found(tiny.look(both, ["objects", "captions"] * 2))
    for hook in hooks:
        hook.remove()
    things = len(seen[1]) + len(seen[3])
    assert calls == {"pyramid": 2, "cascade": 2, "boxes": things}
    assert things >= 4
    for plain, captioned in (seen[:2], seen[2:]):
        assert [[*row[:3], ""] for row in captioned] == plain
        assert any(row[3] for row in captioned)
    assert found(tiny.look(items, ["objects"] * 2)) == [seen[0], seen[2]]
    assert found(tiny.look(items, ["objects", "captions"])) == [seen[0], seen[3]]
    assert found(tiny(items)) == [seen[1], seen[3]]


def test_odd_sizes(tiny: TinyGrit) -> None:
    for height, width in ((1, 1), (40, 24), (33, 300), (30, 90)):
        for row in found(tiny([picture(0, 3, height, width, 8)]))[0]:
            left, top, right, bottom = row[0]
            assert 0 <= left <= right <= width and 0 <= top <= bottom <= height


def test_no_number_is_an_error() -> None:
    broken = TinyGrit(Eager({"fpn_stride16_conv1": float("nan")}), CPU)
    with pytest.raises(VideoError, match="TinyGrit gave a feature that is no finite number"):
        broken([picture(0, 1, 64, 64, 16)])


def test_runs_in_float32_whatever_is_asked(tiny: TinyGrit) -> None:
    item = picture(0, 1, 96, 160, 16)
    asked = TinyGrit(Eager(end=1.5), replace(CPU, precision="bf16"))
    assert found(asked([item])) == found(tiny([item]))


# --- large frames ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((480, 832), (480, 832)),
        ((768, 1366), (768, 1366)),
        ((769, 769), (720, 720)),
        ((1080, 1920), (720, 1280)),
        ((2160, 3840), (720, 1280)),
        ((1920, 1080), (1280, 720)),
        ((1142, 2000), (719, 1260)),  # cut to whole pixels, not rounded (published)
    ],
)
def test_large_frames_are_shrunk(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert backbone.seen_size(*size) == expected


def test_each_view_shrinks_in_its_own_way() -> None:
    (frame,) = picture(0, 9, 800, 1000, 8)
    plain, captions = (
        backbone.prepare((frame, view), CPU.device)[0].permute(1, 2, 0).numpy()
        for view in ("objects", "captions")
    )
    assert plain.shape == captions.shape == (720, 900, 3)
    assert np.array_equal(captions, cv2.resize(frame.rgb, (900, 720)).astype(np.float32))
    assert 10 < np.abs(plain - captions).max() < 30
    assert plain.mean() == pytest.approx(captions.mean(), abs=0.5)
    assert not np.array_equal(plain, plain.round())  # floats are never rounded


@pytest.mark.shared
def test_shrunk_frames_are_the_published_ones(shared: Path) -> None:
    golden = np.load(shared / "reference/grit/golden_resize.npz")
    (frame,) = picture(0, 9, 800, 1000, 8)
    for view, name, noise in (("objects", "torchvision_float", 1e-3), ("captions", "cv2_uint8", 1)):
        seen = backbone.prepare((frame, view), CPU.device)[0].permute(1, 2, 0).numpy()
        assert np.abs(seen[::90, ::90] - golden[f"{name}[::90,::90]"]).max() <= noise


def test_views_of_a_large_frame_share_nothing_but_the_network(tiny: TinyGrit) -> None:
    (frame,) = picture(0, 5, 784, 800, 16)
    seen = []
    hook = tiny.net.pyramid.register_forward_pre_hook(lambda _, args: seen.append(args[0].shape))
    tiny.look([(frame,), (frame,)], ["objects", "captions"])
    hook.remove()
    assert [tuple(shape) for shape in seen] == [(1, 3, 736, 736)] * 2
