"""The Vchitect-2.0 transformer against the published program's numbers, and against itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from vchitect2_cases import (
    GOLDEN,
    TINY,
    forward_case,
    inputs,
    kept,
    normals,
    seeded_transformer,
)
from vchitect2_naive import naive_velocity

from vbench_long.generators.vchitect2.attention import WholeVideo, rotated, rotation
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.keys import from_published, published_keys, to_published
from vbench_long.generators.vchitect2.transformer import Transformer

FORWARD = 2e-5


pytestmark = pytest.mark.usefixtures("inference")


def largest(tensor: Tensor, expected: Any) -> float:
    """The largest difference."""
    return float((tensor.double() - torch.as_tensor(expected).double()).abs().max())


@pytest.mark.parametrize("name", GOLDEN["forward"])
def test_forward_equals_the_published_program(name: str) -> None:
    model, arguments = forward_case(name)
    assert largest(kept(model(*arguments), 48), GOLDEN["forward"][name]["out"]) < FORWARD


def test_every_block_equals_the_published_program() -> None:
    model, arguments = forward_case("a_f5_t500")
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: Any, __: Any, out: Any) -> None:
            parts = {f"{name}.{i}": part for i, part in enumerate(out)}
            found.update(parts if isinstance(out, tuple) else {name: out})

        return hook

    model.pos_embed.register_forward_hook(keep("patch"))
    model.time_text_embed.register_forward_hook(keep("temb"))
    model.proj_out.register_forward_pre_hook(lambda _, given: found.update(norm_out=given[0]))
    for number, block in enumerate(model.transformer_blocks):
        block.attn.register_forward_hook(keep(f"attn{number}"))
        block.register_forward_hook(keep(f"block{number}"))
    model(*arguments)
    compared = 0
    for name, expected in GOLDEN["intermediates"].items():
        stage, _, part = name.partition(".")
        # A block of the published program gives text first.
        ours = f"{stage}.{1 - int(part)}" if stage.startswith("block") else name
        assert largest(kept(found[ours], 16), expected) < FORWARD, name
        compared += 1
    assert compared == 13


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN["real_heads"])
def test_published_head_and_text_sizes(name: str) -> None:
    case = GOLDEN["real_heads"][name]
    model = seeded_transformer(TransformerConfig.from_published(case["config"]))
    arguments = inputs(case)
    out = model(*arguments)
    assert largest(kept(out, 48), case["out"]) < FORWARD
    low = model.bfloat16()(*(a.bfloat16() if a.ndim > 1 else a for a in arguments)).float()
    assert float((low - out).norm() / out.norm()) < 0.02
    assert float(torch.cosine_similarity(low.flatten(), out.flatten(), 0)) > 0.9999


@pytest.mark.shared
def test_whole_outputs_equal_the_published_program(shared: Path) -> None:
    folder = shared / "reference" / "vchitect2"
    with np.load(folder / "golden_forward.npz") as golden:
        assert set(golden) == set(GOLDEN["forward"])
        for name in golden:
            model, arguments = forward_case(name)
            assert largest(model(*arguments)[0], golden[name]) < FORWARD, name


@pytest.mark.shared
def test_keys_and_shapes_are_the_published_ones(shared: Path) -> None:
    path = shared / "reference" / "vchitect2" / "vchitect2_transformer_state_dict.json"
    published = json.loads(path.read_text())
    assert TransformerConfig.from_published(published["config"]) == TransformerConfig()
    with torch.device("meta"):
        model = Transformer()
    ours = {key: list(tensor.shape) for key, tensor in to_published(model.state_dict()).items()}
    assert ours == published["shapes"]


def test_the_published_size() -> None:
    with torch.device("meta"):
        model = Transformer()
    assert sum(p.numel() for p in model.parameters()) == 2_424_947_776
    assert len(to_published(model.state_dict())) == 1019


def test_published_keys_are_a_bijection() -> None:
    own = seeded_transformer().state_dict()
    names = [name for key in own for name in published_keys(key)]
    assert len(names) == len(set(names))
    back = from_published(to_published(own), own)
    assert own.keys() == back.keys()
    assert all(torch.equal(own[key], back[key]) for key in own)


@pytest.mark.parametrize("frames", [1, 4])
def test_fused_projections_equal_separate_ones(frames: int) -> None:
    """And leaving the last block's text away changes nothing."""
    model = seeded_transformer()
    arguments = normals((7, (1, frames, 16, 6, 8))), *inputs(GOLDEN["forward"]["a_f5_t500"])[1:]
    naive = naive_velocity(to_published(model.state_dict()), TINY, *(a[0] for a in arguments))
    assert largest(model(*arguments)[0], naive) < 1e-5


def test_a_batch_equals_its_prompts_one_by_one() -> None:
    model = seeded_transformer()
    latents, text = normals((1, (2, 3, 16, 8, 12))), normals((2, (2, 7, 96)))
    pooled, time = normals((3, (2, 48))), torch.tensor([500.0, 20.0])
    both = model(latents, time, text, pooled)
    for i in (0, 1):
        alone = model(*(a[i : i + 1] for a in (latents, time, text, pooled)))
        assert largest(both[i], alone[0]) < 1e-5
    assert largest(both[0], both[1]) > 0.1


def perturbed(model: Transformer, *parts: str) -> Transformer:
    """`model` with other numbers in the published tensors whose names hold one of `parts`."""
    own = model.state_dict()
    published = {
        key: tensor + 1 if any(part in key for part in parts) else tensor
        for key, tensor in to_published(own).items()
    }
    assert any(part in key for key in published for part in parts)
    other = Transformer(model.config).eval()
    other.load_state_dict(from_published(published, own))
    return other


def test_one_frame_ignores_the_temporal_branch() -> None:
    model, arguments = forward_case("b_f1_t500")
    temporal = perturbed(model, "_temp")
    assert torch.equal(model(*arguments), temporal(*arguments))
    _, arguments = forward_case("a_f5_t500")
    assert not torch.equal(model(*arguments), temporal(*arguments))


def test_the_last_block_ignores_its_temporal_text() -> None:
    model, arguments = forward_case("a_f5_t500")
    out = model(*arguments)
    last = TINY.num_layers - 1
    unread = f"blocks.{last}.attn.to_add_out_temporal"
    assert torch.equal(perturbed(model, unread)(*arguments), out)
    assert not torch.equal(perturbed(model, unread.replace(str(last), "0"))(*arguments), out)


def test_frames_are_placed_by_number_and_scaling() -> None:
    """Attention between two frames depends on how far apart they are, over the scaling."""
    q, k = normals((1, (1, 1, 1, 1, 16))), normals((2, (1, 1, 1, 1, 16)))

    def score(first: int, second: int, scaling: float = 1.0) -> float:
        turned = [
            rotated(t, rotation(range(n, n + 1), scaling, 16, torch.device("cpu")))
            for t, n in ((q, first), (k, second))
        ]
        return float((turned[0] * turned[1]).sum())

    assert score(3, 8) == pytest.approx(score(103, 108), abs=1e-4)
    assert score(3, 8) == pytest.approx(score(6, 16, scaling=2.0), abs=1e-5)
    assert abs(score(3, 8) - score(3, 9)) > 1e-3
    assert torch.equal(rotated(q, rotation(range(1), 1.0, 16, torch.device("cpu"))), q)


def test_no_table_of_a_million_frames() -> None:
    """The reference builds one; ours is as long as the video."""
    made = rotation(range(160), 1.0, 64, torch.device("meta"))
    assert made.numel() == 2 * 160 * 32
    assert not [b for b in seeded_transformer().buffers() if b.shape[0] > 1000]


@pytest.mark.parametrize(
    "shape",
    [(1, 0, 16, 8, 8), (1, 2, 16, 7, 8), (1, 2, 16, 8, 9), (1, 2, 16, 8, 26), (1, 2, 16, 0, 8)],
    ids=["no frame", "odd height", "odd width", "beyond the table", "nothing"],
)
def test_impossible_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with torch.device("meta"):
        model = Transformer(TINY)
        arguments = torch.empty(shape), torch.empty(1), torch.empty(1, 7, 96), torch.empty(1, 48)
        with pytest.raises(ValueError, match=r"frame|patches"):
            model(*arguments)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_layers", 0),
        ("num_layers", True),
        ("num_layers", "24"),
        ("caption_projection_dim", 65),
        ("rope_scaling_factor", float("nan")),
        ("attention_head_dim", 15),
    ],
)
def test_impossible_configs_are_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"possible|heads|pairs"):
        TransformerConfig.from_published({**GOLDEN["tiny"], name: value})


def test_unknown_config_keys_are_ignored_and_absent_ones_published() -> None:
    config = TransformerConfig.from_published({"tp_size": 1, "_class_name": "x", "num_layers": 2})
    assert config == replace(TransformerConfig(), num_layers=2)


def test_the_whole_video_says_which_frames_it_has() -> None:
    frames = WholeVideo(3)
    assert (frames.total, list(frames.numbers)) == (3, [0, 1, 2])
