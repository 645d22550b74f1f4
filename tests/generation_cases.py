"""A generator that fails to order, and what a folder of generated videos holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import vbench_long.evaluation.generation as generation
from vbench_long.evaluation.generation import GenerateConfig
from vbench_long.generators import Request
from vbench_long.video import Image

TINY = {"width": "32", "height": "32", "seconds": "0.5", "fps": "8"}


class Fake:
    """Four grey frames that depend on the request; steps, failures and files as asked for."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = dict(options)
        self.fps: Fraction | None = Fraction(8)
        self.asked: list[Request] = []

    def settings(self) -> dict[str, str | int | float]:
        return {"kind": self.options.get("kind", "plain")}

    def act(self, request: Request) -> None:
        """What a test plants."""

    def generate(self, request: Request) -> Iterator[Image] | Path:
        self.asked.append(request)
        self.act(request)
        return self.images(request)

    def images(self, request: Request) -> Iterator[Image]:
        for number in range(4):
            yield np.full((16, 16, 3), (7 * request.seed + 30 * number) % 256, np.uint8)


Register = Callable[..., type[Fake]]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Register:
    """Register a subclass of `Fake` as the generator `fake`."""

    def register(**members: Any) -> type[Fake]:
        kind: type[Fake] = type("Planted", (Fake,), {**members, "built": []})

        def create(options: Mapping[str, str]) -> Fake:
            kind.built.append(kind(options))
            return kind.built[-1]

        monkeypatch.setattr(generation, "GENERATORS", SimpleNamespace(get=lambda name: create))
        return kind

    return register


def synthetic(output: Path, **changes: Any) -> GenerateConfig:
    config = GenerateConfig(output, "synthetic", TINY, suite="mini", limit=3)
    return replace(config, **changes)


def faked(output: Path, *prompts: str, **changes: Any) -> GenerateConfig:
    return replace(GenerateConfig(output, "fake", prompts=prompts or ("a", "b", "c")), **changes)


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    """The videos and the manifest, byte by byte."""
    files = [*folder.glob("*.mp4"), folder / "manifest.csv"]
    return {file.name: file.read_bytes() for file in files}


def hidden(folder: Path) -> set[str]:
    return {file.name for file in folder.glob(".*")} - {".lock"}
