"""Runs to be explained: small videos, and stand-ins for the networks of all sixteen dimensions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from conftest import moving_frames
from grit_cases import cells

from vbench_long.dimensions.base import BACKBONES, Feature
from vbench_long.dimensions.classical.pixels import PixelDifference
from vbench_long.dimensions.detections import Detection, as_feature
from vbench_long.dimensions.human_action import actions
from vbench_long.evaluation import Networks
from vbench_long.video import Encoding, Frame, Image, write_video

LOSSLESS = Encoding("libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"})
THINGS = "a red car"
ACTION = "A person is riding a bike"


class StandIn:
    """A backbone that measures something simple, in the form its namesake has."""

    batch = 4

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        return self.look(items, [""] * len(items))

    def look(self, items: Sequence[tuple[Frame, ...]], views: Sequence[str]) -> list[Feature]:
        return [self._feature(item, view) for item, view in zip(items, views, strict=True)]

    def read(self, text: str) -> Feature:
        return np.array([len(text), 8.0]) / np.hypot(len(text), 8.0)

    def _feature(self, item: tuple[Frame, ...], view: str) -> Feature:
        bright = float(item[0].rgb.mean()) / 255
        dark = item[0].index < 12
        match self.name:
            case "aesthetic_clip_l14" | "musiq_spaq":
                return np.array([bright])
            case "raft":
                change = float(PixelDifference()([(item[0], item[1])])[0])
                return np.array([2 * change, change])
            case "amt_s":
                return np.asarray(PixelDifference()([(item[0], item[1])])[0])
            case "viclip_l14" | "clip_style_b32":
                return np.array([bright, 1 - bright]) / np.hypot(bright, 1 - bright)
            case "umt_l16":
                logits = np.linspace(-9, 3, 400, dtype=np.float32)
                logits[actions()["riding a bike"]] = 2.9
                return logits
            case "tag2text":
                tags = ["street", "car"] if dark else []
                said = "a car on a street" if dark else "a wall"
                return np.array(tags, object) if view == "tags" else np.asarray(said)
            case "grit":
                return as_feature(things(dark, captioned=view == "captions"))
            case _:
                return item[0].rgb[::16, ::16].astype(np.float32).ravel() - 100


def things(dark: bool, captioned: bool) -> list[Detection]:
    """What the stand-in for the detector sees: a car, left of a dog that is there at first."""
    car = Detection((4, 30, 60, 80), 0.9, "car", "a red car" if dark else "a blue car")
    dog = Detection((90, 40, 140, 90), 0.6, "dog", "a dog")
    found = [car, dog] if dark else [car]
    return found if captioned else [one._replace(caption="") for one in found]


def build(networks: Networks, name: str) -> Any:
    """In place of `Networks.build`."""
    return BACKBONES.get(name)() if name == "pixel_difference" else StandIn(name)


def changing(count: int) -> list[Image]:
    """One picture, and another from the half on."""
    halves = [np.ascontiguousarray(cells(seed, 96, 160, 16)) for seed in (1, 2)]
    return [halves[2 * i // count].copy() for i in range(count)]


def semantic_suite(folder: Path) -> tuple[Path, Path]:
    """A folder with a video for each of two prompts that serve all dimensions, and their suite."""
    videos = folder / "videos"
    videos.mkdir()
    write_video(videos / f"{THINGS}-0.mp4", changing(24), Fraction(8), LOSSLESS)
    write_video(videos / f"{ACTION}-0.mp4", moving_frames(40, 96, 64), Fraction(8), LOSSLESS)
    related = {"object_a": "car", "object_b": "dog", "relationship": "on the left of"}
    told = {
        "object_class": {"object": "dog"},
        "multiple_objects": {"object": "car and dog"},
        "color": {"color": "red"},
        "spatial_relationship": {"spatial_relationship": related},
        "scene": {"scene": {"scene": "street"}},
        "appearance_style": {"appearance_style": "oil painting"},
    }
    quality = [
        *("subject_consistency", "background_consistency", "temporal_flickering"),
        *("motion_smoothness", "dynamic_degree", "aesthetic_quality", "imaging_quality"),
    ]
    actions = ["human_action", "temporal_style", "overall_consistency"]
    entries = [
        {"prompt_en": THINGS, "dimension": [*quality, *told], "auxiliary_info": told},
        {"prompt_en": ACTION, "dimension": actions, "auxiliary_info": {}},
    ]
    suite = folder / "own.json"
    suite.write_text(json.dumps(entries))
    return videos, suite
