"""What the tests of checkpoints share: a small one, and a home of its own."""

from __future__ import annotations

import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from vbench_long.weights.checkpoint import Checkpoint, Url
from vbench_long.weights.stored import StoredWeights

BYTES = bytes(range(256)) * 4000
TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3)}
COUNTER = {"n": torch.tensor(7)}


def put(path: Path, content: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record(content: bytes = BYTES, **changes: Any) -> Checkpoint:
    plain = Checkpoint(
        name="tiny",
        file="tiny-v1.pth",
        published=(Url("https://example.org/tiny-v1.pth"),),
        licence="MIT",
        commercial=True,
        dimensions=("dynamic_degree",),
        sha256=digest(content),
        size=len(content),
        cache_paths=("vbench/tiny_model/tiny-v1.pth", "torch/hub/checkpoints/tiny-v1.pth"),
    )
    return replace(plain, **changes)


def stored(folder: Path, **changes: Any) -> StoredWeights:
    return StoredWeights(folder, {"tiny": record(**changes)})


def load(folder: Path, wanted: dict[str, torch.Tensor] = TENSORS) -> dict[str, torch.Tensor]:
    return stored(folder).load("tiny", wanted)


def saved(path: Path, content: object = TENSORS, **options: Any) -> bytes:
    torch.save(content, path, **options)
    return path.read_bytes()


def zipped(members: dict[str, bytes]) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()
