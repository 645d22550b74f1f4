"""Fixtures: small videos made on the spot, and the shared reference material where it exists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vbench_long.video import Encoding, Image, write_video

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture
def shared() -> Path:
    """The folder of reference material beside the checkout."""
    if not (SHARED / "reference").is_dir():
        pytest.skip("needs ../shared, which is not beside this checkout")
    return SHARED


def moving_frames(count: int, width: int = 64, height: int = 48, seed: int = 0) -> list[Image]:
    """A blurred noise texture that slides by two pixels a frame."""
    rng = np.random.default_rng(seed)
    wide = rng.integers(0, 256, (height // 4, width // 4 + count, 3), np.uint8)
    wide = wide.repeat(4, 0).repeat(4, 1)
    return [np.ascontiguousarray(wide[:height, 2 * i : 2 * i + width]) for i in range(count)]


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Write a small lossless video and return its path."""

    def make(
        name: str = "a moving texture-0.mp4",
        frames: list[Image] | int = 24,
        fps: Fraction | int = 8,
        folder: Path = tmp_path,
        encoding: Encoding | None = None,
    ) -> Path:
        images = moving_frames(frames) if isinstance(frames, int) else frames
        folder.mkdir(parents=True, exist_ok=True)
        lossless = Encoding("libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"})
        write_video(folder / name, images, Fraction(fps), encoding or lossless)
        return folder / name

    return make


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that no test meets real checkpoints or settings."""
    for name in (
        *("VBENCH_LONG_WEIGHTS", "VBENCH_CACHE_DIR", "TORCH_HOME", "XDG_CACHE_HOME"),
        *("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"),
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr("vbench_long.weights.fetch._PAUSE", 0.0)
    return folder


@pytest.fixture
def write_suite(tmp_path: Path) -> Callable[[Any], str]:
    """Write a suite file, from JSON values or bytes, and return its path."""

    def write(content: Any) -> str:
        path = tmp_path / "ours.json"
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
        return str(path)

    return write


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Vchitect-2.0 in small, to be read only."""
    from vbench_long.generators.vchitect2.tiny import write_tiny

    folder = tmp_path_factory.mktemp("tiny") / "checkpoint"
    write_tiny(folder)
    return folder


@pytest.fixture
def inference() -> Iterator[None]:
    """No gradients while the test runs."""
    import torch

    with torch.inference_mode():
        yield


@pytest.fixture
def classical_run(tmp_path: Path, make_video: Callable[..., Path]) -> Path:
    """A classical run of one video of three clips, the last of which overlaps."""
    from vbench_long.evaluation import RunConfig, evaluate

    make_video(frames=40, folder=tmp_path / "v")
    evaluate(RunConfig(tmp_path / "run", videos=tmp_path / "v"))
    return tmp_path / "run"
