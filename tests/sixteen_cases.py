"""All sixteen dimensions in seconds: small networks, one prompt each can judge, a short video."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from grit_cases import Eager, TinyGrit, cells
from semantic_cases import MadeUp, SmallClipStyle, SmallTag2Text, SmallViClip
from vit_cases import SmallAesthetic, SmallClip, SmallDino, SmallDinoV2, SmallDreamSim

from vbench_long.dimensions import Dimension
from vbench_long.dimensions.backbones.amt import AmtS
from vbench_long.dimensions.backbones.musiq import MusiqSettings, MusiqSpaq
from vbench_long.dimensions.backbones.raft import Raft, RaftSettings
from vbench_long.dimensions.backbones.umt import UmtL16, UmtShape
from vbench_long.evaluation import Networks
from vbench_long.prompts import OFFICIAL_DIMENSIONS
from vbench_long.video import Image
from vbench_long.weights.base import Weights
from vbench_long.weights.seeded import SeededWeights

PROMPTS = ("A red thing in an alley", "A person is riding a bike")
TEN_SECONDS = ("human_action", "temporal_style", "overall_consistency")
TWO_SECONDS = tuple(name for name in OFFICIAL_DIMENSIONS if name not in TEN_SECONDS)
THING = "word77 word247"
AUXILIARY: Mapping[str, dict[str, Any]] = {
    "object_class": {"object": THING},
    "multiple_objects": {"object": f"{THING} and word184 word247"},
    "color": {"color": "red", "object": THING},
    "spatial_relationship": {
        "spatial_relationship": {
            "object_a": THING, "object_b": "word184 word247", "relationship": "on the left of",
        },
    },
    "scene": {"scene": {"scene": "alley"}},
    "appearance_style": {"appearance_style": "oil painting"},
}  # fmt: skip
"""With these, made-up weights see things: the words are those of `TinyGrit`."""


class Worded(Eager):
    """`Eager` weights, and a colour among the words that are said."""

    def words(self, name: str, count: int, known: Mapping[int, str]) -> list[str]:
        words = super().words(name, count, known)
        words[104] = "red"
        return words


class SmallRaft(Raft):
    settings = RaftSettings(iterations=2)


class SmallUmt(UmtL16):
    shape = UmtShape(width=48, depth=2, heads=3)


class SmallMusiq(MusiqSpaq):
    settings = MusiqSettings(scales=(64, 96), width=48, depth=2, heads=3, inner=48)


SMALL: Mapping[str, tuple[Callable[..., Any], Weights]] = {
    "dino_vitb16": (SmallDino, SeededWeights()),
    "dinov2_vitb14": (SmallDinoV2, SeededWeights()),
    "dreamsim": (SmallDreamSim, SeededWeights()),
    "clip_vitb32": (SmallClip, SeededWeights()),
    "aesthetic_clip_l14": (SmallAesthetic, SeededWeights()),
    "raft": (SmallRaft, SeededWeights()),
    "amt_s": (AmtS, SeededWeights()),
    "musiq_spaq": (SmallMusiq, MadeUp(numbers={"head.bias": {0: 50.0}})),
    "tag2text": (SmallTag2Text, SeededWeights()),
    "umt_l16": (SmallUmt, SeededWeights()),
    "viclip_l14": (SmallViClip, SeededWeights()),
    "clip_style_b32": (SmallClipStyle, SeededWeights()),
    "grit": (TinyGrit, Worded(end=1.5)),
}


@dataclass(frozen=True)
class SmallNetworks(Networks):
    """Small networks, which pass as trained ones where a test asks what those would give."""

    weights: str = "seeded"
    device: str = "cpu"
    trained: bool = field(default=False, kw_only=True)

    @property
    def untrained(self) -> bool:
        return not self.trained

    def build(self, name: str) -> Any:
        if name not in SMALL:
            return super().build(name)
        kind, weights = SMALL[name]
        return kind(weights, self.compute)

    def identity(self, dimension: Dimension) -> str:
        return f"{dimension.identity}/small"

    def require(self, dimensions: object) -> None:
        """Nothing is read from files."""


def picture() -> Image:
    """One in which `TinyGrit` sees the thing."""
    return np.ascontiguousarray(cells(1, 128, 160, 16))


def suite(folder: Path) -> Path:
    """Two prompts that serve sixteen dimensions between them: in clips of 2 s, and of 10 s."""
    entries = [
        {"prompt_en": PROMPTS[0], "dimension": TWO_SECONDS, "auxiliary_info": AUXILIARY},
        {"prompt_en": PROMPTS[1], "dimension": TEN_SECONDS},
    ]
    path = folder / "sixteen.json"
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path
