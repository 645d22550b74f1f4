"""Runs the published VBench-Long (wheel vbench 0.1.5), unchanged, inside its own environment.

`against_vbench.py` starts this file; it is of no use by itself. It prepares a process in which the
published entry point, `vbench2_beta_long.eval_long.main`, works on current libraries, without a GPU
and without a download, counts what it does, and calls it:

    original_vbench.py checkpoints SEEDED        write the checkpoints below $HOME
    original_vbench.py judge DIMENSION --videos DIR --output DIR --tables DIR --clips MODE

Everything is patched from outside; no file of the wheel is changed, no line of it is copied here.

- torchvision no longer has `write_video`: `clip_writer` stands in for it. With `--clips reference`
  it encodes as an installation of 2024 did (libx264, yuv420p, 1,024,000 bits per second, here with
  two threads); with `--clips exact` without loss, so that the program scores the submitted pixels.
- `moviepy.editor` is imported and never used: an empty module stands in for it.
- The device "cuda" is written into the entry point and is DreamSim's default: both become the CPU.
- The wheel lacks its tables and settings: they are written from ours, and named by the program's
  own options.
- `torch.hub` cannot fetch the code of DINO and DINOv2: DINO's is part of the package dreamsim, and
  DINOv2 is DINO with a scale after each branch of a block, which is added to it here.
- The published CLIP files hold float16 numbers, which pass through float16 unharmed; seeded ones
  would be rounded. The conversion is left out, and so is the checksum of the download.

Counted: frames decoded by decord and OpenCV (as many as the program receives), frames encoded,
networks built (the linear head of the aesthetic predictor is none), flows computed by RAFT.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import json
import os
import platform
import runpy
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import decord
import numpy as np
import torch
import torchvision
from torch import Tensor, nn

CACHE = Path.home() / ".cache"
HUB = CACHE / "torch/hub/checkpoints"
VBENCH = CACHE / "vbench"
HUB_FILES = {
    "dino_vitb16": HUB / "dino_vitbase16_pretrain.pth",
    "dinov2_vitb14": HUB / "dinov2_vitb14_pretrain.pth",
}

BUILDERS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "temporal_flickering": (),
    "subject_consistency": (("torch.hub", "load"),),
    "background_consistency": (
        ("clip", "load"),
        ("vbench2_beta_long.background_consistency", "dreamsim"),
    ),
    "aesthetic_quality": (("clip", "load"),),
    "imaging_quality": (("vbench.imaging_quality", "MUSIQ"),),
    "motion_smoothness": (("vbench.motion_smoothness", "build_from_cfg"),),
    "dynamic_degree": (("vbench.dynamic_degree", "RAFT"),),
}
"""Per dimension, the names its module calls to build a network."""

CAPTURE = cv2.VideoCapture
COUNTS: Counter[str] = Counter()


# Stand-ins


class CountingReader(decord.VideoReader):
    """decord's reader; counts the frames that are asked of it."""

    def get_batch(self, indices: Iterable[int]) -> Any:
        """The frames of these indices."""
        indices = list(indices)
        COUNTS["decoded by decord"] += len(indices)
        return super().get_batch(indices)


class CountingCapture:
    """OpenCV's reader; counts the frames it hands out. A subclass of it crashes when freed."""

    def __init__(self, path: str) -> None:
        self._capture = CAPTURE(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._capture, name)

    def read(self) -> Any:
        """Whether there is a next frame, and the frame."""
        found, frame = self._capture.read()
        COUNTS["decoded by OpenCV"] += bool(found)
        return found, frame


def clip_writer(mode: str) -> Callable[..., None]:
    """What torchvision's `write_video` was, for one of the modes "exact" and "reference"."""
    codec, pixels, options = "libx264rgb", "rgb24", {"qp": "0"}
    if mode == "reference":
        codec, pixels, options = "libx264", "yuv420p", {}
        if platform.machine() in ("x86_64", "AMD64"):
            options = {"x264-params": "asm=avx2"}  # With AVX-512 its output varies.

    def write_video(filename: str, video_array: Any, fps: float) -> None:
        frames_THWC = torch.as_tensor(video_array).to(torch.uint8).numpy()
        with av.open(filename, mode="w") as container:
            stream = container.add_stream(codec, rate=round(fps), options=options)
            stream.height, stream.width = frames_THWC.shape[1:3]
            stream.pix_fmt = pixels
            stream.codec_context.thread_count = 2
            if mode == "reference":
                stream.bit_rate = 1_024_000
            for frame_HWC in frames_THWC:
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame_HWC), "rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        COUNTS["encoded"] += len(frames_THWC)

    return write_video


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


def hub_load(repo_or_dir: str, model: str, **_: object) -> nn.Module:
    """`torch.hub.load` for the two networks the program takes from there."""
    from dreamsim.feature_extraction.vision_transformer import vit_base

    published = torch.load(HUB_FILES[model])
    if model == "dino_vitb16":
        network = vit_base(patch_size=16)
        network.load_state_dict(published)
        return network
    network = dinov2()
    network.load_state_dict({key: published[dinov2_key(key)] for key in network.state_dict()})
    return network


def counted(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build`, counted as one network, whose calls are counted if it is RAFT."""

    def call(*args: Any, **options: Any) -> Any:
        COUNTS["networks"] += 1
        network = build(*args, **options)
        if type(network).__name__ == "RAFT":
            network.register_forward_hook(lambda *_: COUNTS.update(["flows"]))
        return network

    return call


# One dimension


def prepare(dimension: str, mode: str) -> None:
    """Put the stand-ins in place; before anything of the wheel is imported."""
    torchvision.io.write_video = clip_writer(mode)
    decord.VideoReader = CountingReader
    cv2.VideoCapture = CountingCapture
    torch.hub.load = hub_load
    editor = types.ModuleType("moviepy.editor")
    editor.VideoFileClip = None
    sys.modules |= {"moviepy": types.ModuleType("moviepy"), "moviepy.editor": editor}

    module = importlib.import_module(f"vbench2_beta_long.{dimension}")
    if "clip" in sys.modules:
        import clip

        clip.model.convert_weights = lambda model: None
        clip.clip._download = lambda url, root: str(Path(root) / url.rpartition("/")[2])
    if hasattr(module, "dreamsim"):
        module.dreamsim = partial(module.dreamsim, device="cpu")
    for name, attribute in BUILDERS[dimension]:
        owner = importlib.import_module(name)
        setattr(owner, attribute, counted(getattr(owner, attribute)))


def write_settings(folder: Path, tables: Path) -> list[str]:
    """The tables the wheel lacks, and the program's options that name them."""
    import vbench

    for name in ("subject", "background"):
        with (tables / f"{name}_mapping.csv").open(encoding="utf-8") as lines:
            rows = list(csv.reader(lines))[1:]
        text = "".join(f"{float(key)}: {float(value)}\n" for key, value in rows)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    weights = "".join(f"w_{b}_{d}: 0.5\n" for b in ("inclip", "clip2clip") for d in ("sb", "bg"))
    (folder / "slow_fast.yaml").write_text(weights, encoding="utf-8")
    lengths = "".join(f"{name}: 2.0\n" for name in BUILDERS)
    (folder / "clip_length.yaml").write_text(lengths, encoding="utf-8")
    return [
        "--full_json_dir", str(Path(vbench.__file__).with_name("VBench_full_info.json")),
        "--subject_mapping_file_path", str(folder.resolve() / "subject.yaml"),
        "--background_mapping_file_path", str(folder.resolve() / "background.yaml"),
        "--slow_fast_eval_config", str(folder.resolve() / "slow_fast.yaml"),
        "--clip_length_config", str(folder.resolve() / "clip_length.yaml"),
    ]  # fmt: skip


def clip_name(path: str) -> str:
    """The clip's file name: of `.../split_clip/VIDEO/CLIP`, or `.../split_clip/VIDEO/CLIP/...`."""
    parts = Path(path).parts
    return parts[parts.index("split_clip") + 2]


def judge(args: argparse.Namespace) -> None:
    """Run the published entry point for one dimension; leave scores and counts in result.json."""
    prepare(args.dimension, args.clips)
    from vbench2_beta_long import eval_long

    eval_long.torch = types.SimpleNamespace(device=lambda _: torch.device("cpu"))
    args.output.mkdir(parents=True, exist_ok=True)
    sys.argv = [
        "eval_long.py", "--videos_path", str(args.videos), "--output_path", str(args.output),
        "--dimension", args.dimension, "--mode", "long_custom_input", "--dev_flag",
        *write_settings(args.output, args.tables),
    ]  # fmt: skip
    eval_long.main()
    (written,) = args.output.glob("*_eval_results.json")
    overall, clips, *_ = json.loads(written.read_text(encoding="utf-8"))[args.dimension]
    scores = {clip_name(clip["video_path"]): float(clip["video_results"]) for clip in clips}
    result = {"overall": float(overall), "clips": scores, "counts": dict(COUNTS)}
    (args.output / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


# Seeded checkpoints


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


def checkpoints(args: argparse.Namespace) -> None:
    """Write every checkpoint the seven dimensions load: published layout, seeded numbers.

    A number depends on its tensor's published name and shape alone; the names come from the
    networks of the wheel and its packages. `args.seeded` is our file with the rule.
    """
    make = runpy.run_path(str(args.seeded))["seeded_tensor"]

    def seeded(state: Mapping[str, Tensor], rename: Callable[[str], str] = str) -> dict[str, Any]:
        names = {rename(key): tensor for key, tensor in state.items()}
        return {name: make(name, tuple(t.shape), t.dtype) for name, t in names.items()}

    prepare("motion_smoothness", "exact")
    save_vits(seeded)
    save_clips(seeded)
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("checkpoints")
    writing.add_argument("seeded", type=Path)
    writing.set_defaults(run=checkpoints)
    judging = commands.add_parser("judge")
    judging.add_argument("dimension", choices=BUILDERS)
    for option in ("--videos", "--output", "--tables"):
        judging.add_argument(option, type=Path, required=True)
    judging.add_argument("--clips", choices=("exact", "reference"), required=True)
    judging.set_defaults(run=judge)
    args = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, and published.
    os.environ["HF_HUB_OFFLINE"] = "1"
    args.run(args)


if __name__ == "__main__":
    main()
