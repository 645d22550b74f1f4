"""Checkpoint folders: the tiny one is whole, and whatever is wrong with one is said."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
from diffusers import SD3Transformer2DModel
from safetensors.torch import load_file, save_file

from vbench_long.cli import main
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.generators.vchitect2.checkpoint import (
    T5_FOLDERS,
    WEIGHTS,
    empty_transformer,
    empty_vae,
    fill_transformer,
    find_checkpoint,
    is_untrained,
    load_scheduler,
    require_layout,
    weight_files,
)
from vbench_long.generators.vchitect2.loading import load_pipeline
from vbench_long.generators.vchitect2.options import Settings
from vbench_long.generators.vchitect2.text import load_encoder
from vbench_long.generators.vchitect2.tiny import TINY, write_tiny
from vbench_long.generators.vchitect2.transformer import Transformer

CPU = torch.device("cpu")
SMALL = Settings(width=32, height=16, frames=2, steps=1)
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def root(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def load(root: Path) -> Transformer:
    return fill_transformer(empty_transformer(root), root, torch.float32, CPU)


def change_tensors(root: Path, change: Callable[[Tensors], Any]) -> None:
    """Rewrite the transformer's file."""
    file = root / "transformer" / f"{WEIGHTS}.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


def change_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def same(one: Transformer, other: Transformer) -> bool:
    left, right = one.state_dict(), other.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_the_tiny_checkpoint_makes_a_video(tiny_checkpoint: Path) -> None:
    require_layout(tiny_checkpoint)
    assert is_untrained(tiny_checkpoint)
    pipeline = load_pipeline(tiny_checkpoint, SMALL)
    frames = list(pipeline.frames(pipeline.latents(["a cat"], [1])[0]))
    assert [frame.shape for frame in frames] == [(16, 32, 3)] * 2
    assert frames[0].std() > 1


def test_the_tiny_checkpoint_is_the_same_each_time(tiny_checkpoint: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["weights", "seed", "vchitect2", "--tiny", str(again)]) == 0
    files = [
        path.relative_to(tiny_checkpoint) for path in tiny_checkpoint.rglob("*") if path.is_file()
    ]
    assert len(files) > 20
    assert all(
        (tiny_checkpoint / file).read_bytes() == (again / file).read_bytes() for file in files
    )
    with pytest.raises(UsageError, match="not empty"):
        write_tiny(again)


def test_an_interrupted_one_is_not_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("vbench_long.generators.vchitect2.tiny._write_vae", stop)
    with pytest.raises(KeyboardInterrupt):
        write_tiny(tmp_path / "half")
    with pytest.raises(EnvironmentFault, match="lacks vae"):
        require_layout(tmp_path / "half")


def test_shards_and_pickles_hold_the_same(root: Path) -> None:
    whole = load(root)
    folder = root / "transformer"
    file = folder / f"{WEIGHTS}.safetensors"
    tensors = load_file(file)
    file.unlink()
    torch.save(tensors, folder / f"{WEIGHTS}.bin")
    assert same(load(root), whole)

    (folder / f"{WEIGHTS}.bin").unlink()
    shards = {key: f"part-{number % 3}.safetensors" for number, key in enumerate(tensors)}
    for shard in set(shards.values()):
        save_file({k: tensors[k] for k in tensors if shards[k] == shard}, folder / shard)
    (folder / f"{WEIGHTS}.safetensors.index.json").write_text(json.dumps({"weight_map": shards}))
    assert same(load(root), whole)

    (folder / "part-1.safetensors").unlink()
    with pytest.raises(EnvironmentFault, match=r"lacks transformer/part-1\.safetensors"):
        require_layout(root)


def test_an_index_reaches_no_other_folder(root: Path) -> None:
    index = root / "transformer" / f"{WEIGHTS}.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    assert weight_files(root / "transformer") == [root / "transformer" / "secret.safetensors"]


def test_unknown_config_keys_are_ignored_and_extra_tensors_said(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = load(root)
    change_json(root / "transformer" / "config.json", tp_size=1, colour="blue")
    change_tensors(root, lambda tensors: tensors.update(extra=torch.zeros(1)))
    with caplog.at_level(logging.WARNING):
        assert same(load(root), whole)
    assert "extra" in caplog.text


def test_numbers_come_in_the_dtype_asked_for(root: Path) -> None:
    model = fill_transformer(empty_transformer(root), root, torch.bfloat16, CPU)
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.bfloat16}
    assert not any(p.requires_grad for p in model.parameters()) and not model.training


BLOCK = "transformer_blocks.1.attn"


def replaced(key: str, tensor: torch.Tensor) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors.update({key: tensor})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.pop("proj_out.bias"), "lacks proj_out.bias"),
        (lambda t: t.pop(f"{BLOCK}.to_q_temp.weight"), "image model.*to_q_temp"),
        (replaced(f"{BLOCK}.to_k.weight", torch.zeros(64, 32)), "shapes of .*to_k.weight"),
        (
            replaced("proj_out.bias", torch.zeros(64, dtype=torch.int8)),
            "floating point .* proj_out.bias",
        ),
        (replaced("proj_out.bias", torch.full((64,), float("nan"))), "proj_out.bias holds NaN"),
    ],
    ids=["missing", "no video branch", "misshapen", "integers", "nan"],
)
def test_tensors_that_do_not_fit(root: Path, change: Callable[[Tensors], Any], says: str) -> None:
    change_tensors(root, change)
    with pytest.raises(EnvironmentFault, match=says):
        load(root)


def test_an_image_model_is_refused(root: Path) -> None:
    """Stable Diffusion 3's class would load our file with a warning; we do not load its."""
    config = {**json.loads((root / "transformer" / "config.json").read_text())}
    keys = ("num_layers", "attention_head_dim", "num_attention_heads", "joint_attention_dim")
    keys += ("caption_projection_dim", "pooled_projection_dim", "pos_embed_max_size")
    image = SD3Transformer2DModel(**{key: config[key] for key in keys}, out_channels=16)
    save_file(image.state_dict(), root / "transformer" / f"{WEIGHTS}.safetensors")
    with pytest.raises(EnvironmentFault, match="image model"):
        load(root)


@pytest.mark.parametrize("bytes_", [b"", b"junk" * 100, b"\x08\0\0\0\0\0\0\0{}      "])
def test_damaged_files(root: Path, bytes_: bytes) -> None:
    (root / "transformer" / f"{WEIGHTS}.safetensors").write_bytes(bytes_)
    with pytest.raises(EnvironmentFault, match=r"damaged|lacks"):
        load(root)


def test_a_pickle_that_would_run_code_is_refused(root: Path) -> None:
    (root / "transformer" / f"{WEIGHTS}.safetensors").unlink()
    torch.save({"a": Path("x")}, root / "transformer" / f"{WEIGHTS}.bin")
    with pytest.raises(EnvironmentFault, match="damaged"):
        load(root)


def test_everything_that_is_absent_is_named(root: Path) -> None:
    shutil.rmtree(root / "tokenizer_2")
    (root / "text_encoder" / "config.json").unlink()
    with pytest.raises(EnvironmentFault, match=r"text_encoder/config\.json.*tokenizer_2.*hf down"):
        require_layout(root)


def test_absent_tensors_are_named_before_any_is_read(root: Path) -> None:
    (root / "text_encoder" / "model.safetensors").unlink()
    shard = min((root / "text_encoder_3").glob("model-*.safetensors"))
    shard.unlink()
    both = rf"text_encoder/model\.safetensors, text_encoder_3/{shard.name}"
    with pytest.raises(EnvironmentFault, match=both):
        require_layout(root)


def test_a_text_encoder_that_is_not_wanted_may_be_absent(tiny_checkpoint: Path, root: Path) -> None:
    for folder in T5_FOLDERS:
        shutil.rmtree(root / folder)
    with pytest.raises(EnvironmentFault, match="lacks text_encoder_3"):
        load_pipeline(root, SMALL)
    without = replace(SMALL, t5="none")
    one, other = (load_pipeline(r, without).latents(["a"], [1]) for r in (root, tiny_checkpoint))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("transformer/config.json", "{", "cannot be read"),
        ("transformer/config.json", "[1]", "no JSON object"),
        ("transformer/config.json", '{"num_layers": -1}', "another model"),
        ("vae/config.json", '{"latent_channels": 4}', "latents are not"),
        ("scheduler/scheduler_config.json", '{"_class_name": "DDIMScheduler"}', "scheduler"),
    ],
)
def test_configs_of_other_models(root: Path, file: str, content: str, says: str) -> None:
    (root / file).write_text(content)
    with pytest.raises(EnvironmentFault, match=says):
        load_scheduler(root)
        empty_vae(root, TINY)
        load(root)


def test_one_error_is_all_that_is_said(
    root: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would print a table of what does not fit."""
    # A command that ran here before leaves a handler behind that writes to its own stderr.
    monkeypatch.setattr(logging.getLogger("vbench_long"), "handlers", [])
    change_json(root / "text_encoder" / "config.json", hidden_size=48)
    with pytest.raises(EnvironmentFault, match=r"lacks .* of the right shape \([0-9]+ in all\)"):
        load_pipeline(root, SMALL)
    assert capfd.readouterr().err == ""


def test_text_encoders_that_do_not_fit(root: Path) -> None:
    config = root / "text_encoder" / "config.json"
    before = config.read_text()
    change_json(config, architectures=["CLIPTextModel"])
    with pytest.raises(EnvironmentFault, match="no CLIPTextModelWithProjection"):
        load_pipeline(root, SMALL)
    config.write_text(before)

    file = root / "text_encoder" / "model.safetensors"
    tensors = load_file(file)
    del tensors["text_projection.weight"]
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(EnvironmentFault, match="lacks text_projection"):
        load_pipeline(root, SMALL)

    shutil.copytree(root / "text_encoder_2", root / "text_encoder", dirs_exist_ok=True)
    change_json(root / "transformer" / "config.json", pooled_projection_dim=50)
    change_tensors(
        root,
        lambda t: t.update({"time_text_embed.text_embedder.linear_1.weight": torch.zeros(64, 50)}),
    )
    with pytest.raises(EnvironmentFault, match="do not fit the transformer"):
        load_pipeline(root, SMALL)


def test_a_sentencepiece_model_serves_as_tokenizer(root: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("a cat runs over the street\nthe quick brown fox jumps\n" * 20)
    options = {
        "vocab_size": 30,
        "hard_vocab_limit": False,
        "pad_id": 0,
        "eos_id": 1,
        "unk_id": 2,
        "bos_id": -1,
    }
    options |= {"model_prefix": str(root / "tokenizer_3" / "spiece"), "minloglevel": 2}
    sentencepiece.SentencePieceTrainer.train(input=str(text), **options)
    (root / "tokenizer_3" / "tokenizer.json").unlink()
    encoder = load_encoder(root, TINY, torch.float32, CPU, "device")
    pieces = sentencepiece.SentencePieceProcessor(str(root / "tokenizer_3" / "spiece.model"))
    assert encoder.t5
    expected = [*pieces.encode("the brown cat"), 1]
    assert encoder.t5.tokenizer("the brown cat").input_ids == expected
    (root / "tokenizer_3" / "spiece.model").unlink()
    with pytest.raises(EnvironmentFault, match="not the text encoder's"):
        load_encoder(root, TINY, torch.float32, CPU, "device")


def test_a_tokenizer_of_another_model(root: Path) -> None:
    change_json(root / "tokenizer" / "vocab.json", **{f"word{i}": 1024 + i for i in range(9)})
    with pytest.raises(EnvironmentFault, match="not the text encoder's"):
        load_encoder(root, TINY, torch.float32, CPU, "device")


def test_a_tokenizer_that_is_junk(root: Path) -> None:
    (root / "tokenizer_3" / "tokenizer.json").write_text("junk")
    with pytest.raises(EnvironmentFault, match="tokenizer cannot be read"):
        load_pipeline(root, SMALL)


def test_no_checkpoint_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match="no such checkpoint"):
        find_checkpoint(str(tmp_path / "nowhere"))
    assert find_checkpoint(str(tmp_path)) == tmp_path
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="hf download Vchitect"):
        find_checkpoint("")
