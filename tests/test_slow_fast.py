"""The slow and the fast branch of consistency, against published values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from dimension_cases import score_clip, sliding_texture
from hypothesis import given
from hypothesis import strategies as st

from vbench_long.dimensions import ClipScore
from vbench_long.dimensions.slow_fast import MappingTable, consistency, fuse, mapping_table
from vbench_long.dimensions.subject_consistency import SubjectConsistency
from vbench_long.video import Clip

GOLDEN = Path(__file__).parent / "golden"
SLOW_FAST = json.loads((GOLDEN / "slow_fast.json").read_text())


def test_consistency_by_hand() -> None:
    right, up, left = np.array([2.0, 0]), np.array([0, 3.0]), np.array([-1.0, 0])
    diagonal = np.array([1.0, 1.0])
    assert consistency([right, right]) == 1
    assert consistency([right, up]) == 0
    assert consistency([right, left]) == 0  # opposite counts as 0, not -1
    # frame 1: both cosines sqrt(1/2); frame 2: sqrt(1/2) to its predecessor, 0 to the first
    assert consistency([right, diagonal, up]) == pytest.approx((2 + 1) * 0.5**0.5 / 4, abs=1e-15)
    assert consistency([right, np.zeros(2), right]) == pytest.approx((0 + 0 + 0 + 1) / 4)


vectors = st.lists(st.lists(st.floats(-9, 9), min_size=3, max_size=3), min_size=2, max_size=7).map(
    np.array
)


@given(vectors)
def test_consistency_equals_the_published_loop(stack: np.ndarray) -> None:
    def cosine(a: np.ndarray, b: np.ndarray) -> float:
        a, b = a / max(np.linalg.norm(a), 1e-12), b / max(np.linalg.norm(b), 1e-12)
        return max(0.0, float(a @ b))

    total = 0.0
    for i in range(1, len(stack)):
        total += (cosine(stack[i - 1], stack[i]) + cosine(stack[0], stack[i])) / 2
    assert consistency(list(stack)) == pytest.approx(total / (len(stack) - 1), abs=1e-9)
    assert 0 <= consistency(list(stack.astype(np.float32))) <= 1


@pytest.mark.parametrize("name", ["subject", "background"])
def test_mapping_tables(name: str) -> None:
    table = mapping_table(name)
    assert len(table.keys) == len(table.values) == 101
    assert list(table.keys) == sorted(table.keys)
    assert list(table.values) == sorted(table.values)
    assert all(table(key) == value for key, value in zip(table.keys, table.values, strict=True))
    assert (table(-1), table(0), table(1), table(2)) == (0, 0, 1, 1)


def test_a_mapping_table_is_linear_between_its_keys_and_clamped_outside() -> None:
    table = MappingTable((0.2, 0.4, 0.8), (0.1, 0.5, 0.6))
    mapped = [table(score) for score in (0.0, 0.3, 0.4, 0.5, 0.9)]
    assert mapped == pytest.approx([0.1, 0.3, 0.5, 0.525, 0.6])


@pytest.mark.parametrize("row", SLOW_FAST["rows"], ids=lambda r: f"{r[0][:4]}-{r[1]:.3f}-{r[2]}")
def test_fusion_equals_the_published_one(row: list) -> None:
    name, inclip, fast, mapped, fused = row
    score = fuse(inclip, fast, mapping_table(name.removesuffix("_consistency")))
    assert score.value == pytest.approx(fused, abs=1e-12)
    assert score.parts["inclip_score"] == inclip
    assert score.parts["clip2clip_score"] == fast
    assert score.parts["mapped_clip2clip_score"] == pytest.approx(mapped, abs=1e-12)


def test_a_scene_of_several_clips_is_fused_with_its_first_frames() -> None:
    dimension = SubjectConsistency("classical")
    clips = [Clip(10, 14), Clip(14, 18), Clip(15, 19)]
    assert dimension.scene_items(clips) == {"clip": [(10,), (14,), (15,)]}
    slow = [ClipScore(0.9), ClipScore(None, reason="one frame"), ClipScore(0.7)]
    firsts = [np.array([1.0, 0]), np.array([1.0, 1.0]), np.array([1.0, 0])]
    fast = consistency(firsts)
    mapped = mapping_table("subject")(fast)
    first, none, last = dimension.score_scene(slow, {"clip": firsts})
    assert first.value == pytest.approx((0.9 + mapped) / 2)
    assert last.parts == {
        "inclip_score": 0.7,
        "clip2clip_score": fast,
        "mapped_clip2clip_score": mapped,
    }
    assert none is slow[1]


def test_a_scene_of_one_clip_keeps_its_in_clip_score() -> None:
    dimension = SubjectConsistency("classical")
    assert dimension.scene_items([Clip(0, 9)]) == {}
    slow = score_clip("subject_consistency", sliding_texture(5))
    assert dimension.score_scene([slow], {}) == [slow]
    assert slow.parts["clip2clip_score"] is None
    assert slow.value == slow.parts["inclip_score"]


@pytest.mark.shared
def test_the_goldens_are_the_shared_ones(shared: Path) -> None:
    pure, runs = (
        json.loads((shared / f"reference/protocol/golden/{name}.json").read_text())
        for name in ("pure_functions", "scores_lossless")
    )
    fused = [[r["dim"], r["inclip"], r["clip2clip"], r["fused"]] for r in pure["fusion"]]
    fused += [
        [name, c["inclip_score"], c["clip2clip_score"] or None, c["video_results"]]
        for name in ("subject_consistency", "background_consistency")
        for c in runs["dimensions"][name]["clips"].values()
    ]
    assert [[r[0], r[1], r[2], r[4]] for r in SLOW_FAST["rows"]] == fused
