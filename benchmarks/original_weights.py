"""Seeded checkpoints in the layout of the published VBench-Long; see `original_vbench.py`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CACHE = Path.home() / ".cache"
HUB = CACHE / "torch/hub/checkpoints"
VBENCH = CACHE / "vbench"
HUB_FILES = {
    "dino_vitb16": HUB / "dino_vitbase16_pretrain.pth",
    "dinov2_vitb14": HUB / "dinov2_vitb14_pretrain.pth",
}


class LayerScale(nn.Module):
    """DINOv2's scale of a branch; `inner` is the branch (attention answers with a pair)."""

    def __init__(self, inner: nn.Module, width: int) -> None:
        super().__init__()
        self.inner = inner
        self.gamma = nn.Parameter(torch.empty(width))

    def forward(self, tokens_BLD: Tensor) -> Any:
        """The branch's answer, scaled."""
        found = self.inner(tokens_BLD)
        if isinstance(found, tuple):
            return found[0] * self.gamma, found[1]
        return found * self.gamma


def dinov2() -> nn.Module:
    """DINOv2 ViT-B/14: DINO's transformer with scaled branches, on a grid of 37 x 37."""
    from dreamsim.feature_extraction.vision_transformer import vit_base

    vit = vit_base(patch_size=14, img_size=[518])
    for block in vit.blocks:
        block.attn = LayerScale(block.attn, vit.embed_dim)
        block.mlp = LayerScale(block.mlp, vit.embed_dim)
    return vit


def dinov2_key(key: str) -> str:
    """The published key for a key of `dinov2`."""
    key = key.replace(".attn.gamma", ".ls1.gamma").replace(".mlp.gamma", ".ls2.gamma")
    return key.replace(".inner.", ".")


def save(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)


def save_archive(path: Path, state: Mapping[str, Tensor]) -> None:
    """A TorchScript archive with this state dict, the form CLIP is published in."""
    root = nn.Module()
    for key, tensor in state.items():
        module = root
        *parents, leaf = key.split(".")
        for name in parents:
            if not hasattr(module, name):
                module.add_module(name, nn.Module())
            module = getattr(module, name)
        module.register_buffer(leaf, tensor)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(root).save(str(path))


def checkpoints(make: Callable[..., Tensor]) -> None:
    """Write every checkpoint the dimensions load: published layout, seeded numbers.

    A number depends on its tensor's published name and shape alone, which `make` takes; the names
    come from the networks of the wheel and its packages.
    """

    def seeded(state: Mapping[str, Tensor], rename: Callable[[str], str] = str) -> dict[str, Any]:
        names = {rename(key): tensor for key, tensor in state.items()}
        return {name: make(name, tuple(t.shape), t.dtype) for name, t in names.items()}

    save_vits(seeded)
    save_clips(seeded)
    save_video_networks(seeded)
    from easydict import EasyDict
    from omegaconf import OmegaConf
    from pyiqa.archs.musiq_arch import MUSIQ
    from vbench import motion_smoothness
    from vbench.third_party.RAFT.core.raft import RAFT

    settings = Path(motion_smoothness.__file__).with_name("third_party") / "amt/cfgs/AMT-S.yaml"
    amt = motion_smoothness.build_from_cfg(OmegaConf.load(settings).network)
    save(VBENCH / "amt_model/amt-s.pth", {"state_dict": seeded(amt.state_dict())})
    raft = RAFT(EasyDict(small=False, mixed_precision=False, alternate_corr=False))
    raft_file = VBENCH / "raft_model/models/raft-things.pth"
    save(raft_file, seeded(raft.state_dict(), "module.{}".format))
    musiq = MUSIQ(pretrained=False).state_dict()
    save(VBENCH / "pyiqa_model/musiq_spaq_ckpt-358bb6af.pth", seeded(musiq))
    head = VBENCH / "aesthetic_model/emb_reader/sa_0_4_vit_l_14_linear.pth"
    save(head, seeded(nn.Linear(768, 1).state_dict()))


def save_vits(seeded: Callable[..., dict[str, Any]]) -> None:
    """DINO, DINOv2, and the files of DreamSim."""
    from dreamsim.feature_extraction.vision_transformer import DINOHead, vit_base
    from safetensors.torch import save_file

    vit = vit_base(patch_size=16)
    save(HUB_FILES["dino_vitb16"], seeded(vit.state_dict()))
    save(HUB_FILES["dinov2_vitb14"], seeded(dinov2().state_dict(), dinov2_key))

    head = {
        f"module.head.{k}": v for k, v in DINOHead(768, 2048).mlp.state_dict(prefix="mlp.").items()
    }
    head["module.head.last_layer.weight"] = torch.zeros(2048, 256)  # Loaded, and never used.
    save(CACHE / "dino_vitb16_pretrain.pth", {"student": head})
    vit.pos_drop = nn.LayerNorm(vit.embed_dim)
    tower = seeded({**vit.state_dict(), "proj": torch.empty(vit.embed_dim, 512)})
    for name in ("clip_vitb16", "open_clip_vitb16"):
        save(CACHE / f"{name}_pretrain.pth.tar", {"state_dict": tower})

    adapter = CACHE / "ensemble_lora"
    adapter.mkdir(exist_ok=True)
    settings = {"r": 16, "lora_alpha": 8, "lora_dropout": 0.0, "bias": "none"}
    settings |= {"peft_type": "LORA", "target_modules": ["qkv"]}
    (adapter / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    shapes = {"A": (16, 768), "B": (2304, 16)}
    factors = {
        f"base_model.model.extractor_list.{i}.model.blocks.{j}.attn.qkv.lora_{f}.weight": shape
        for i in range(3) for j in range(12) for f, shape in shapes.items()
    }  # fmt: skip
    save_file(
        seeded({key: torch.empty(shape) for key, shape in factors.items()}),
        adapter / "adapter_model.safetensors",
    )


def save_clips(seeded: Callable[..., dict[str, Any]]) -> None:
    """CLIP ViT-B/32 and ViT-L/14, text towers included."""
    from clip.model import CLIP

    text = {"context_length": 77, "vocab_size": 49408, "transformer_layers": 12}
    picture = {"image_resolution": 224}
    base = CLIP(
        embed_dim=512, vision_layers=12, vision_width=768, vision_patch_size=32,
        transformer_width=512, transformer_heads=8, **text, **picture,
    )  # fmt: skip
    save_archive(CACHE / "clip/ViT-B-32.pt", seeded(base.state_dict()))
    large = CLIP(
        embed_dim=768, vision_layers=24, vision_width=1024, vision_patch_size=14,
        transformer_width=768, transformer_heads=12, **text, **picture,
    )  # fmt: skip
    save_archive(CACHE / "clip/ViT-L-14.pt", seeded(large.state_dict()))


def save_video_networks(seeded: Callable[..., dict[str, Any]]) -> None:
    """UMT, whose table of positions is computed, and ViCLIP with its tokenizer's words."""
    import clip
    from vbench import human_action
    from vbench.third_party.ViCLIP import viclip

    umt = human_action.vit_large_patch16_224(
        num_classes=400, all_frames=16, tubelet_size=1, use_mean_pooling=True
    )
    state = umt.state_dict()
    known = seeded({key: tensor for key, tensor in state.items() if key != "pos_embed"})
    file = VBENCH / "umt_model/l16_ptk710_ftk710_ftk400_f16_res224.pth"
    save(file, {**known, "pos_embed": state["pos_embed"]})
    folder = VBENCH / "ViCLIP"
    folder.mkdir(parents=True, exist_ok=True)
    words = "bpe_simple_vocab_16e6.txt.gz"
    shutil.copy(Path(clip.__file__).with_name(words), folder)
    tokenizer = viclip._Tokenizer(str(folder / words))
    both = viclip.ViCLIP(tokenizer=tokenizer, pretrain=None)
    save(folder / "ViClip-InternVid-10M-FLT.pth", {"model": seeded(both.state_dict())})
