"""GRiT's checkpoint: every name of it, every form, and others refused."""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from grit_cases import TINY, Eager
from torch import Tensor

from vbench_long.dimensions.backbones.grit import backbone
from vbench_long.dimensions.backbones.grit.network import (
    IGNORED,
    GritNetwork,
    GritShape,
    load,
    published_key,
)
from vbench_long.errors import EnvironmentFault
from vbench_long.weights.checkpoint import Checkpoint
from vbench_long.weights.stored import StoredWeights

GOLDEN = json.loads((Path(__file__).parent / "golden" / "grit.json").read_text())


def full_size() -> GritNetwork:
    with torch.device("meta"):
        return GritNetwork(GritShape())


def test_names_of_the_published_checkpoint() -> None:
    lines = [f"{published_key(k)} {list(t.shape)}" for k, t in full_size().state_dict().items()]
    assert len(lines) == 355
    assert hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest() == GOLDEN["names_sha256"]


@pytest.mark.shared
def test_every_published_tensor_is_used_or_ignored(shared: Path) -> None:
    path = shared / "reference/grit/state_dict_grit_b.json"
    published = json.loads(path.read_text())["keys"]
    ours = {published_key(k): list(t.shape) for k, t in full_size().state_dict().items()}
    masks = {k: s for k, s in published.items() if k.startswith("roi_heads.mask_head.")}
    assert ours == {k: s for k, s in published.items() if k not in masks}


def checkpoint_file(tmp_path: Path, content: Mapping[str, object]) -> StoredWeights:
    torch.save(content, tmp_path / "grit.pth")
    record = Checkpoint("g", "grit.pth", (), "MIT", True, (), entry="model", prefix="module.")
    return StoredWeights(tmp_path, {"g": record})


def tiny_state() -> dict[str, Tensor]:
    with torch.device("meta"):
        own = GritNetwork(TINY).state_dict()
    state = Eager().load("g", {published_key(key): tensor for key, tensor in own.items()})
    room = "roi_heads.text_decoder.textual"
    return state | {f"{room}.output.weight": state[f"{room}.embedding.words.weight"]}


def test_every_form_of_the_checkpoint_loads(tmp_path: Path) -> None:
    state = tiny_state()
    unused = {
        "roi_heads.mask_head.deconv.bias": torch.zeros(3),
        "roi_heads.text_decoder_det.textual.output.bias": torch.zeros(3),
        "pixel_mean": torch.zeros(3, 1, 1),
    }
    forms = (
        state,
        {"model": state | unused, "iteration": 7},
        {"model": {f"module.{key}": tensor for key, tensor in state.items()}},
    )
    for form in forms:
        net = load(TINY, checkpoint_file(tmp_path, form), "g")
        assert {published_key(k) for k in net.state_dict()} == set(state)
        assert all(torch.equal(t, state[published_key(k)]) for k, t in net.state_dict().items())
        assert net.text.output.weight is net.text.words.weight


def test_another_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    key = "backbone.bottom_up.blocks.3.attn.rel_pos_w"
    state = tiny_state()
    partial = {k: t for k, t in state.items() if k != key}
    with pytest.raises(EnvironmentFault, match=rf"lacks {key}"):
        load(TINY, checkpoint_file(tmp_path, {"model": partial}), "g")
    with pytest.raises(EnvironmentFault, match=rf"has unfit {key}"):
        load(TINY, checkpoint_file(tmp_path, state | {key: torch.zeros(2)}), "g")
    with pytest.raises(EnvironmentFault, match="has unknown stranger"):
        load(TINY, checkpoint_file(tmp_path, state | {"stranger": torch.zeros(2)}), "g")
    with pytest.raises(EnvironmentFault, match="lacks"):
        load(TINY, checkpoint_file(tmp_path, {"net": {"model": state}}), "g")
    untied = {"roi_heads.text_decoder.textual.output.weight": torch.zeros(300, 32)}
    with pytest.raises(EnvironmentFault, match="not the words that are read"):
        load(TINY, checkpoint_file(tmp_path, state | untied), "g")
    assert all(pattern.startswith(("roi_heads", "pixel")) for pattern in IGNORED)


def test_no_package_that_has_to_be_compiled_or_is_not_needed() -> None:
    folder = Path(backbone.__file__).parent
    seen = set()
    for path in [*folder.glob("*.py"), folder.parent / "base.py", folder.parent / "wordpiece.py"]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                seen |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                seen.add(node.module.split(".")[0])
    assert {"torch", "torchvision", "cv2"} <= seen
    assert not seen & {"detectron2", "fvcore", "boto3", "timm", "transformers"}
