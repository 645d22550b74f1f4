"""GRiT at full size against what the published network makes of the same pictures and weights."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from grit_cases import CPU, Eager, cells, picture
from torch import Tensor

from vbench_long.dimensions.backbones.base import Compute, computing
from vbench_long.dimensions.backbones.grit import Grit
from vbench_long.dimensions.backbones.grit.heads import Things, clipped, moved, pooled
from vbench_long.dimensions.backbones.grit.proposals import Proposals, propose
from vbench_long.dimensions.backbones.grit.text import TextDecoder
from vbench_long.dimensions.detections import detections
from vbench_long.video import Frame
from vbench_long.weights.seeded import SeededWeights

pytestmark = [pytest.mark.slow, pytest.mark.full]

KEPT = json.loads((Path(__file__).parent / "golden" / "grit.json").read_text())["things"]
SMALL = (7, 200, 312, 16)
SCORE_NOISE = 2e-5
Arrays = Mapping[str, np.ndarray]


@pytest.fixture(scope="module")
def grit() -> Grit:
    return Grit(Eager(), CPU)


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with computing(CPU):
        yield


def pixels(*recipe: int) -> Tensor:
    return torch.from_numpy(cells(*recipe)).permute(2, 0, 1)[None].float()


def difference(got: Tensor, golden: np.ndarray) -> float:
    return float(np.abs(got.numpy() - golden).max())


def agree(got: Proposals | Things, boxes: np.ndarray, scores: np.ndarray, noise: float) -> bool:
    """Same boxes in the same order, but that those with scores equal up to noise may swap."""
    near = np.abs(got.scores.numpy()[:, None] - scores) <= SCORE_NOISE
    same = near & (np.abs(got.boxes.numpy()[:, None] - boxes).max(-1) <= noise)
    in_order = np.abs(got.scores.numpy() - scores).max() <= SCORE_NOISE
    return bool(in_order and same.any(0).all() and same.any(1).all())


def proposals(grit: Grit, maps: list[Tensor]) -> Proposals:
    found = [(logits[0], distances[0]) for logits, distances in grit.net.centres(maps)]
    return propose(found, grit.net.shape.rules)


def words(rows: np.ndarray) -> list[list[int]]:
    """Published rows of ids, without what begins and ends them."""
    return [row[1 : row.index(102)] if 102 in row else row[1:] for row in rows.tolist()]


# --- a small picture, all the way ---------------------------------------------------------------


@pytest.fixture
def golden(shared: Path) -> Arrays:
    return np.load(shared / "reference/grit/golden_e2e_small.npz")


@pytest.mark.shared
def test_what_is_seen_in_a_small_picture(grit: Grit, golden: Arrays) -> None:
    blocks: dict[int, Tensor] = {}
    encoder = grit.net.pyramid.encoder
    hooks = [
        encoder.blocks[i].register_forward_hook(lambda _, __, out, i=i: blocks.update({i: out}))
        for i in (0, 1, 2, 11)
    ]
    maps = grit.net.maps(pixels(*SMALL))
    for hook in hooks:
        hook.remove()
    for i, out in blocks.items():
        assert difference(out[0, ::3, ::4, ::64], golden[f"block{i}_out[0,::3,::4,::64]"]) <= 1e-4
    for level, (map_1Chw, (logits, distances)) in enumerate(
        zip(maps, grit.net.centres(maps), strict=True), start=3
    ):
        name = f"p{level}[0,[0,1,100,255]]"
        assert difference(map_1Chw[0, [0, 1, 100, 255]], golden[name]) <= 1e-4
        assert difference(logits[0], golden[f"head_agn_hm_logit_p{level}"]) <= 2e-4
        assert difference(distances[0], golden[f"head_reg_p{level}"]) <= 2e-4
    proposed = proposals(grit, maps)
    assert agree(proposed, golden["proposal_boxes"], golden["proposal_scores"], 5e-3)


@pytest.mark.shared
def test_every_stage_on_published_proposals(grit: Grit, golden: Arrays) -> None:
    """On the published proposals, so that equal scores in another order do not matter."""
    net, size = grit.net, SMALL[1:3]
    maps = net.maps(pixels(*SMALL))
    boxes_N4 = torch.from_numpy(golden["proposal_boxes"])
    picture_N = torch.zeros(len(boxes_N4), dtype=torch.long)
    for stage in range(3):
        boxes_N4 = clipped(boxes_N4, size) if stage else boxes_N4
        squares = pooled(maps, boxes_N4, picture_N, 7)
        assert difference(squares[:8, ::32], golden[f"stage{stage}_pool7[:8,::32]"]) <= 2e-4
        logits_N2, deltas_N4 = net.cascade.predictors[stage](net.cascade.heads[stage](squares))
        assert difference(logits_N2, golden[f"stage{stage}_cls_logits"]) <= 2e-4
        assert difference(deltas_N4, golden[f"stage{stage}_deltas"]) <= 2e-4
        boxes_N4 = moved(boxes_N4, deltas_N4, net.cascade.shape.weights[stage])
    assert difference(boxes_N4, golden["final_boxes_before_nms"]) <= 2e-3


@pytest.mark.shared
def test_what_is_said_of_a_small_picture(grit: Grit, golden: Arrays) -> None:
    maps = grit.net.maps(pixels(*SMALL))
    (things,) = grit.net.things(maps, SMALL[1:3])
    assert agree(things, golden["det_boxes"], golden["det_box_scores"], 2e-3)
    squares = pooled(maps, things.boxes, torch.zeros(4, dtype=torch.long), 14)
    name = "object_feat_pool14[:,::32,::3,::3]"
    assert difference(squares[:, ::32, ::3, ::3], golden[name]) <= 2e-4
    memory = grit.net.text.encode(squares)
    for task, begin in (("ObjectDet", 101), ("DenseCap", 104)):
        said = grit.net.text.say(memory, begin)
        assert [list(one.words) for one in said] == words(golden[f"tokens_{task}"])
        logprobs = np.array([one.logprob for one in said])
        assert np.abs(logprobs - golden[f"logprobs_{task}"]).max() <= 1e-4
    final = np.sqrt(things.scores.numpy() * np.exp(logprobs))
    assert np.abs(final - golden["final_scores_DenseCap_mode"]).max() <= 1e-5


WORDS = {
    11052: "moist", 13881: "pseudonym", 14059: "fading",
    21353: "shortlisted", 21952: "stairway", 28616: "mis",
}  # fmt: skip
"""The words that occur, so that no vocabulary is needed."""


@pytest.mark.shared
def test_the_feature_holds_what_the_published_program_returns(
    grit: Grit, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared / "reference/grit/golden_e2e_small.json"
    published = json.loads(path.read_text())["run_caption_tensor"]
    told = [WORDS.get(number, word) for number, word in enumerate(grit.vocabulary)]
    monkeypatch.setattr(grit, "vocabulary", told)
    found = detections(grit([picture(0, *SMALL)])[0])
    assert [(one.caption, list(one.box)) for one in found] == [(t, box) for t, box, _ in published]
    assert [one.name for one in found] == published[0][2]


def test_kept_things(grit: Grit) -> None:
    """For checkouts without the published outputs: the same picture's boxes and words."""
    maps = grit.net.maps(pixels(*SMALL))
    (things,) = grit.net.things(maps, SMALL[1:3])
    assert agree(things, np.array(KEPT["boxes"]), np.array(KEPT["scores"]), 2e-3)
    memory = grit.net.text.encode(pooled(maps, things.boxes, torch.zeros(4, dtype=torch.long), 14))
    for begin, task, logprobs in ((101, "names", "logprobs_names"), (104, "captions", "logprobs")):
        said = grit.net.text.say(memory, begin)
        assert [list(one.words) for one in said] == KEPT[task]
        assert [one.logprob for one in said] == pytest.approx(KEPT[logprobs], abs=1e-4)


# --- others -------------------------------------------------------------------------------------


@pytest.mark.shared
def test_a_picture_of_usual_size(grit: Grit, shared: Path) -> None:
    golden = np.load(shared / "reference/grit/golden_480p.npz")
    maps = grit.net.maps(pixels(0, 480, 832, 32))
    for level, map_1Chw in enumerate(maps, start=3):
        assert difference(map_1Chw[0, ::64], golden[f"p{level}[0,::64]"]) <= 1e-4
    proposed = proposals(grit, maps)
    assert agree(proposed, golden["proposal_boxes"], golden["proposal_scores"], 5e-3)
    (things,) = grit.net.things(maps, (480, 832))
    assert len(things.scores) == 17
    assert agree(things, golden["det_boxes"], golden["det_box_scores"], 2e-3)


def test_two_pictures_in_one_batch(grit: Grit, monkeypatch: pytest.MonkeyPatch) -> None:
    # At this threshold nothing is found in the picture in the middle.
    monkeypatch.setattr(grit.net.cascade, "shape", replace(grit.net.cascade.shape, score=0.53))
    size = SMALL[1:3]
    items = [picture(0, *SMALL), picture(1, 2, *size, 16), picture(2, 0, *size, 8)]
    alone = [detections(grit([item])[0]) for item in items]
    monkeypatch.setattr(grit, "pictures_at_once", 3)
    together = [detections(feature) for feature in grit(items)]
    assert [len(found) for found in alone] == [2, 0, 2]
    for one, other in zip(alone, together, strict=True):
        assert [d._replace(score=0) for d in one] == [d._replace(score=0) for d in other]
        assert [d.score for d in one] == pytest.approx([d.score for d in other], abs=1e-6)
    images = torch.cat([pixels(*SMALL), pixels(8, *SMALL[1:])])
    both = grit.net.things(grit.net.maps(images), SMALL[1:3])
    for image, things in zip(images, both, strict=True):
        (single,) = grit.net.things(grit.net.maps(image[None]), SMALL[1:3])
        assert (single.boxes - things.boxes).abs().max() <= 1e-3


@pytest.mark.parametrize(("height", "width", "count"), [(1, 1, 0), (40, 24, 0), (33, 300, 3)])
def test_odd_sizes(grit: Grit, height: int, width: int, count: int) -> None:
    (feature,) = grit([(Frame(0, cells(3, height, width, 8)),)])
    assert len(detections(feature)) == count


@pytest.mark.shared
def test_logits_of_given_words(shared: Path) -> None:
    golden = np.load(shared / "reference/grit/golden_units.npz")
    stats = json.loads((shared / "reference/grit/golden_text_stats.json").read_text())["text"]
    text: TextDecoder = Grit(SeededWeights(), CPU).net.text
    features = torch.from_numpy(
        np.random.default_rng(11).standard_normal((2, 196, 256), dtype=np.float32)
    )
    memory = text.encode(features.transpose(1, 2).reshape(2, 256, 14, 14))
    for name, facts in stats.items():
        for position, word in enumerate(map(int, name.split("_"))):
            logits_NV = text.next_word(memory, torch.full((2,), word), position)
        assert difference(logits_NV[:, ::509], golden[f"text_logits_{name}[:,::509]"]) <= 5e-5
        assert logits_NV.topk(5).indices.tolist() == facts["top5"]
        assert logits_NV.logsumexp(1).tolist() == pytest.approx(facts["lse"], abs=5e-5)
        assert logits_NV.mean().item() == pytest.approx(facts["mean"], abs=1e-5)


@pytest.mark.gpu
def test_gpu_equals_cpu(grit: Grit) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    on_gpu = Grit(Eager(), Compute(torch.device("cuda")))
    items = [picture(0, *SMALL)]
    one, other = (detections(of(items)[0]) for of in (grit, on_gpu))
    assert [d._replace(score=0) for d in one] == [d._replace(score=0) for d in other]
    assert math.isclose(one[0].score, other[0].score, abs_tol=1e-4)
