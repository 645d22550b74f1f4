"""Runs the published VBench-Long (wheel vbench 0.1.5), unchanged, inside its own environment.

`against_vbench.py` starts this file; it is of no use by itself. It prepares a process in which the
published entry point, `vbench2_beta_long.eval_long.main`, works on current libraries, without a GPU
and without a download, counts what it does, and calls it:

    original_vbench.py checkpoints SEEDED        write the checkpoints below $HOME
    original_vbench.py judge DIMENSION --videos DIR --output DIR --tables DIR --clips MODE \
        --style TEXT

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
- `numpy.lib.function_base` is gone; what UMT's code imports from it, and never uses, is put there.
- timm's `create_model` hands on options that UMT's code does not take: its own function is called.
- The folder mode has prompts with the index at their end ("a dog-0") and no auxiliary information:
  the list of videos that the program writes for itself is corrected in both.
- The published CLIP files hold float16 numbers, which pass through float16 unharmed; seeded ones
  would be rounded. The conversion is left out, and so is the checksum of the download.

Seeded weights recognise no action; what is compared of human_action is the probability that the
network gives the action of the prompt, taken from its output.

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
    "human_action": (("vbench.human_action", "create_model"),),
    "temporal_style": (("vbench.temporal_style", "ViCLIP"),),
    "overall_consistency": (("vbench.overall_consistency", "ViCLIP"),),
    "appearance_style": (("clip", "load"),),
}
"""Per dimension, the names its module calls to build a network."""

CAPTURE = cv2.VideoCapture
COUNTS: Counter[str] = Counter()
LIKELY: list[list[float]] = []
"""What UMT gave every action, clip after clip."""


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


def hub_load(repo_or_dir: str, model: str, **_: object) -> nn.Module:
    """`torch.hub.load` for the two networks the program takes from there."""
    from dreamsim.feature_extraction.vision_transformer import vit_base
    from original_weights import HUB_FILES, dinov2, dinov2_key

    published = torch.load(HUB_FILES[model])
    if model == "dino_vitb16":
        network = vit_base(patch_size=16)
        network.load_state_dict(published)
        return network
    network = dinov2()
    network.load_state_dict({key: published[dinov2_key(key)] for key in network.state_dict()})
    return network


def counted(build: Callable[..., Any]) -> Callable[..., Any]:
    """`build`, counted as one network; RAFT's calls are counted, and UMT's answers kept."""

    def keep(module: nn.Module, _: object, logits_BC: Tensor) -> None:
        LIKELY.extend(torch.sigmoid(logits_BC).tolist())

    def call(*args: Any, **options: Any) -> Any:
        COUNTS["networks"] += 1
        network = build(*args, **options)
        if type(network).__name__ == "RAFT":
            network.register_forward_hook(lambda *_: COUNTS.update(["flows"]))
        if "umt" in type(network).__module__:
            network.register_forward_hook(keep)
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
    unused = types.ModuleType("numpy.lib.function_base")
    unused.disp = print
    sys.modules["numpy.lib.function_base"] = unused

    module = importlib.import_module(f"vbench2_beta_long.{dimension}")
    if "clip" in sys.modules:
        import clip

        clip.model.convert_weights = lambda model: None
        clip.clip._download = lambda url, root: str(Path(root) / url.rpartition("/")[2])
    if dimension == "human_action":
        umt = importlib.import_module("vbench.human_action")
        umt.create_model = lambda name, **options: getattr(umt, name)(
            **{key: value for key, value in options.items() if value is not None}
        )
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


def told_more(build: Callable[..., str], style: str) -> Callable[..., str]:
    """`build_full_info_json`, whose prompts are without index and have auxiliary information."""

    def call(*args: Any, **options: Any) -> str:
        path = build(*args, **options)
        entries = json.loads(Path(path).read_text(encoding="utf-8"))
        for entry in entries:
            entry["prompt_en"] = entry["prompt_en"].rpartition("-")[0]
            entry["auxiliary_info"] = {"appearance_style": {"appearance_style": style}}
        Path(path).write_text(json.dumps(entries), encoding="utf-8")
        return path

    return call


def likelihoods(clips: list[dict[str, Any]]) -> list[float]:
    """What UMT gave the action of each clip's prompt."""
    from vbench.human_action import build_dict

    places = {name: int(number) for number, name in build_dict().items()}
    actions = [clip_name(c["video_path"]).lower().partition("-")[0] for c in clips]
    wanted = [action.rpartition("person is ")[2] for action in actions]
    return [likely[places[name]] for likely, name in zip(LIKELY, wanted, strict=True)]


def clip_name(path: str) -> str:
    """The clip's file name: of `.../split_clip/VIDEO/CLIP`, or `.../split_clip/VIDEO/CLIP/...`."""
    parts = Path(path).parts
    return parts[parts.index("split_clip") + 2]


def judge(args: argparse.Namespace) -> None:
    """Run the published entry point for one dimension; leave scores and counts in result.json."""
    prepare(args.dimension, args.clips)
    from vbench2_beta_long import eval_long

    kind = eval_long.VBenchLong
    kind.build_full_info_json = told_more(kind.build_full_info_json, args.style)
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
    values = [clip["video_results"] for clip in clips]
    if args.dimension == "human_action":
        values = likelihoods(clips)
    names = [clip_name(clip["video_path"]) for clip in clips]
    scores = {name: float(value) for name, value in zip(names, values, strict=True)}
    result = {"overall": float(overall), "clips": scores, "counts": dict(COUNTS)}
    (args.output / "result.json").write_text(json.dumps(result, indent=1), encoding="utf-8")


def write_checkpoints(args: argparse.Namespace) -> None:
    """Write every checkpoint the dimensions load; `args.seeded` is our file with the rule."""
    from original_weights import checkpoints

    prepare("human_action", "exact")
    prepare("motion_smoothness", "exact")
    checkpoints(runpy.run_path(str(args.seeded))["seeded_tensor"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    writing = commands.add_parser("checkpoints")
    writing.add_argument("seeded", type=Path)
    writing.set_defaults(run=write_checkpoints)
    judging = commands.add_parser("judge")
    judging.add_argument("dimension", choices=BUILDERS)
    for option in ("--videos", "--output", "--tables"):
        judging.add_argument(option, type=Path, required=True)
    judging.add_argument("--style", required=True)
    judging.add_argument("--clips", choices=("exact", "reference"), required=True)
    judging.set_defaults(run=judge)
    args = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated, and published.
    os.environ["HF_HUB_OFFLINE"] = "1"
    args.run(args)


if __name__ == "__main__":
    main()
