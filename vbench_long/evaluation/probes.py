"""How fast this machine multiplies, decodes, reads and measures; a fraction of a second each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from vbench_long.dimensions import Backbone
from vbench_long.errors import VideoError
from vbench_long.video import Frame, Image, VideoInfo, read_frames
from vbench_long.video.reencode import Reencoder

if TYPE_CHECKING:
    import torch

_DECODED = 24
_ROUNDS = 3
_READ = 1 << 25
_NUMBERS = 1 << 20


def product_rate(device: torch.device, precision: str) -> float:
    """Floating point operations per second of one large matrix product."""
    import torch

    from vbench_long.products import linear

    side = 1024 if device.type == "cpu" else 8192
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    first, second = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))

    def multiply() -> None:
        linear(first, second)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    try:
        return 2 * side**3 / fastest(multiply, 0.3)
    finally:
        torch.backends.cuda.matmul.allow_tf32 = allowed


def fastest(action: Callable[[], object], seconds: float) -> float:
    """Seconds of the fastest call of those that fit into `seconds`; at least three."""
    best, began, calls = float("inf"), perf_counter(), 0
    while calls < 3 or perf_counter() - began < seconds:
        started = perf_counter()
        action()
        best, calls = min(best, perf_counter() - started), calls + 1
    return best


def first_frames(info: VideoInfo) -> tuple[list[Frame], float]:
    """The first frames of a video, and seconds for each.

    Raises:
        VideoError: they do not decode.
    """
    started = perf_counter()
    frames = list(islice(read_frames(info), _DECODED))
    return frames, (perf_counter() - started) / max(1, len(frames))


def made_up_frames(width: int, height: int) -> list[Frame]:
    """Frames of coarse noise that slides, for operators whose speed depends on what they see."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16) + 4, 3), np.uint8)
    wide: Image = coarse.repeat(16, 0).repeat(16, 1)[:height]
    shown = (np.ascontiguousarray(wide[:, 2 * i : 2 * i + width]) for i in range(_DECODED))
    return [Frame(i, rgb) for i, rgb in enumerate(shown)]


def operator_seconds(
    operators: Mapping[str, tuple[Backbone, int]], frames: Sequence[Frame]
) -> dict[str, float]:
    """Seconds operators take for an item, of those that can measure these frames.

    What they derive from a frame is made once for all of them, as in a run. The fastest of a few
    rounds counts: the first one sets everything up.

    Args:
        operators: by name, with the frames of an item.
        frames: to try them on.
    """
    best: dict[str, float] = {}
    for _ in range(_ROUNDS):
        fresh = [Frame(frame.index, frame.rgb, frame.picture) for frame in frames]
        for name, (operator, each) in operators.items():
            items = [tuple(fresh[i : i + each]) for i in range(max(1, len(fresh) - each + 1))]
            started = perf_counter()
            with suppress(VideoError):
                for start in range(0, len(items), operator.batch):
                    operator(items[start : start + operator.batch])
                seconds = (perf_counter() - started) / len(items)
                best[name] = min(seconds, best.get(name, seconds))
    return best


def encode_seconds(frames: Sequence[Frame], rate: int) -> float:
    """Seconds for each frame that goes through the published encode.

    Raises:
        VideoError: the encoder refuses the size.
    """
    started = perf_counter()
    encoder = Reencoder(rate)
    for frame in frames:
        encoder.add(frame.rgb)
    list(encoder.frames())
    return (perf_counter() - started) / max(1, len(frames))


def bytes_per_second(files: Sequence[Path]) -> float | None:
    """How fast checkpoints are read and looked through; None if there is no large file."""
    large = [file for file in files if file.stat().st_size >= _READ]
    if not large:
        return None
    started = perf_counter()
    numbers = np.fromfile(large[0], np.float32, _READ // 4)
    np.isfinite(numbers).all()
    return _READ / (perf_counter() - started)


def seeded_bytes_per_second() -> float:
    """How fast made-up weights are made."""
    import torch

    from vbench_long.weights.seeded import seeded_tensor

    started = perf_counter()
    seeded_tensor("probe.weight", (_NUMBERS // 1024, 1024), torch.float32)
    return 4 * _NUMBERS / (perf_counter() - started)
