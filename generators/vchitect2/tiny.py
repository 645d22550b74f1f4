"""A tiny Vchitect-2.0 on disk: complete, in the published layout, and never trained.

Its numbers are made up (`seeded_tensor`), its tokenizers are built on the spot. It is for trying
the plumbing: the videos are colourful noise, and every record made from them says `untrained`.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)
from transformers.utils import logging as library_logging

from vbench_long.errors import UsageError, disk_faults
from vbench_long.generators.vchitect2.checkpoint import WEIGHTS
from vbench_long.generators.vchitect2.config import TransformerConfig
from vbench_long.generators.vchitect2.keys import to_published
from vbench_long.generators.vchitect2.transformer import Transformer
from vbench_long.prompts import load_suite
from vbench_long.weights.seeded import seeded_tensor

TINY = TransformerConfig(
    num_layers=3,
    attention_head_dim=16,
    num_attention_heads=4,
    joint_attention_dim=96,
    caption_projection_dim=64,
    pooled_projection_dim=48,
    pos_embed_max_size=64,
)

CLIP_WORDS, T5_WORDS = 1024, 512
CLIP_START, CLIP_END = "<|startoftext|>", "<|endoftext|>"


def write_tiny(folder: Path, config: TransformerConfig = TINY) -> None:
    """Write the checkpoint to `folder`, which must not exist or be empty.

    Raises:
        UsageError: there is something in the folder.
        EnvironmentFault: the disk refuses it.
    """
    with disk_faults("the checkpoint cannot be written", folder, "free or choose a disk"):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise UsageError("the folder is not empty", str(folder), "name a new one")
        library_logging.disable_progress_bar()
        _write_tokenizers(folder)
        _write_text_encoders(folder, config)
        _write_transformer(folder / "transformer", config)
        _write_vae(folder / "vae", config)
        FlowMatchEulerDiscreteScheduler(shift=3.0).save_pretrained(folder / "scheduler")
        # Last: a folder without it was not finished.
        _write_json(folder / "model_index.json", {**_INDEX, "untrained": True})


_INDEX = {
    "_class_name": "VchitectXLPipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_2": ["transformers", "CLIPTextModelWithProjection"],
    "text_encoder_3": ["transformers", "T5EncoderModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "CLIPTokenizer"],
    "tokenizer_3": ["transformers", "T5TokenizerFast"],
    "transformer": ["models", "VchitectXLTransformerModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def _write_transformer(folder: Path, config: TransformerConfig) -> None:
    folder.mkdir()
    _write_json(
        folder / "config.json", {"_class_name": "VchitectXLTransformerModel", **asdict(config)}
    )
    published = to_published(Transformer(config).state_dict())
    positions = {"pos_embed.pos_embed": published.pop("pos_embed.pos_embed")}
    save_file(seeded(published) | positions, folder / f"{WEIGHTS}.safetensors")


def _write_vae(folder: Path, config: TransformerConfig) -> None:
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[16, 16, 32, 32],
        layers_per_block=1,
        latent_channels=config.in_channels,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=1.5305,
        shift_factor=0.0609,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )
    _seed(vae, "vae.")
    vae.save_pretrained(folder)


def _write_text_encoders(folder: Path, config: TransformerConfig) -> None:
    summaries = {"text_encoder": config.pooled_projection_dim // 2}
    summaries["text_encoder_2"] = config.pooled_projection_dim - summaries["text_encoder"]
    for name, summary in summaries.items():
        tower = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=CLIP_WORDS,
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=3,
                num_attention_heads=2,
                projection_dim=summary,
                hidden_act="quick_gelu" if name == "text_encoder" else "gelu",
                bos_token_id=CLIP_WORDS - 2,
                # As published; it means that the end of a text is its token of the largest id.
                eos_token_id=2,
            )
        )
        _seed(tower, f"{name}.")
        tower.save_pretrained(folder / name)
    t5 = T5EncoderModel(
        T5Config(
            vocab_size=T5_WORDS,
            d_model=config.joint_attention_dim,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            feed_forward_proj="gated-gelu",
            is_encoder_decoder=False,
            use_cache=False,
        )
    )
    _seed(t5, "text_encoder_3.")
    t5.save_pretrained(folder / "text_encoder_3", max_shard_size="200KB")  # Published in shards.


def _write_tokenizers(folder: Path) -> None:
    texts = [prompt.text.lower() for prompt in load_suite("long").prompts]
    words = Counter(word for text in texts for word in re.findall(r"[a-z]+", text))
    vocabulary, merges = _byte_pairs(words)
    # The two towers pad differently.
    for name, padding in (("tokenizer", CLIP_END), ("tokenizer_2", "!")):
        clip = CLIPTokenizer(
            vocab=vocabulary, merges=merges, pad_token=padding, model_max_length=77
        )
        clip.save_pretrained(folder / name)
        _write_json(folder / name / "vocab.json", vocabulary)
        lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
        (folder / name / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / name / "tokenizer.json").unlink()  # Not published; it would win over the others.
    t5 = T5TokenizerFast(vocab=_pieces(words), extra_ids=0, model_max_length=512)
    t5.save_pretrained(folder / "tokenizer_3")


def _byte_pairs(words: Counter[str]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's kind of vocabulary: bytes, bytes that end a word, merges, start and end of a text.

    The merges put the commonest words together, letter by letter.
    """
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    singles = [*alphabet, *(f"{byte}</w>" for byte in alphabet)]
    steps = (
        (word[:end], word[end] + ("</w>" if end + 1 == len(word) else ""))
        for word, _ in words.most_common()
        for end in range(1, len(word))
    )
    merges = list(dict.fromkeys(steps))[: CLIP_WORDS - len(singles) - 2]
    entries = [*singles, *(left + right for left, right in merges), CLIP_START, CLIP_END]
    return {entry: number for number, entry in enumerate(entries)}, merges


def _pieces(words: Counter[str]) -> list[tuple[str, float]]:
    """T5's kind of vocabulary: words and letters with the logarithm of how often they occur."""
    letters = [chr(code) for code in range(33, 127)]
    common = words.most_common(T5_WORDS - len(letters) - 4)
    rare = -math.log(2 * words.total())
    return [
        *(("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", rare)),
        *((f"▁{word}", math.log(count / words.total())) for word, count in common),
        *((letter, rare) for letter in letters),
    ]


def _seed(module: nn.Module, prefix: str) -> None:
    module.load_state_dict(seeded(module.state_dict(), prefix))


def seeded(tensors: Mapping[str, Tensor], prefix: str = "") -> dict[str, Tensor]:
    """Made-up numbers for each tensor, by its key."""
    return {
        key: seeded_tensor(prefix + key, tuple(tensor.shape), torch.float32)
        for key, tensor in tensors.items()
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
