"""Scene, human action, the two of ViCLIP: rules, what is asked for, what is missing."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from semantic_cases import CPU, GOLDEN, MadeUp, SmallClipStyle, SmallTag2Text, SmallViClip

from vbench_long.dimensions import DIMENSIONS, Backbone, Dimension, Feature, VideoFacts
from vbench_long.dimensions.base import PromptFacts
from vbench_long.dimensions.human_action import HumanAction, action_of, actions
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.dimensions.scene import Scene, names_as_published, names_strictly
from vbench_long.errors import VideoError
from vbench_long.evaluation import Networks
from vbench_long.evaluation.runner import Runner
from vbench_long.records import Record, Sample, Status
from vbench_long.video import Clip, Frame

MakeVideo = Callable[..., Path]
SEMANTIC = ("human_action", "scene", "appearance_style", "temporal_style", "overall_consistency")
CLIP = Clip(10, 58)


def facts(prompt: str = "", **auxiliary: Any) -> VideoFacts:
    return VideoFacts(64, 48, Fraction(24), prompt, auxiliary)


# Which frames.


@pytest.mark.parametrize("case", GOLDEN["middle_frames"])
def test_middle_frames_are_the_published_ones(case: str) -> None:
    count, length = (int(number) for number in case[1:].split("_len"))
    want = GOLDEN["middle_frames"][case]
    assert list(middle_frames(Clip(0, length), count)) == want
    assert list(middle_frames(Clip(31, 31 + length), count)) == [31 + index for index in want]


# Scene.

LIGHTHOUSE = facts("a house", scene={"scene": {"scene": "house"}})


@pytest.mark.parametrize("scene", GOLDEN["scene"]["right"])
def test_a_scene_is_named_as_published(scene: str) -> None:
    right = GOLDEN["scene"]["right"][scene]
    named = [names_as_published(caption, scene) for caption in GOLDEN["scene"]["captions"]]
    assert named == [bool(one) for one in right]


def test_strict_rules_want_whole_words() -> None:
    assert names_as_published("a barn in a field", "bar")
    assert not names_strictly("a barn in a field", "bar")
    assert names_strictly("a man standing in a bar", "bar")
    assert names_strictly("a platform of the train station.", "train station platform")
    assert not names_strictly("a platform of the train", "train station platform")


def captions(*said: str) -> dict[str, list[Feature]]:
    return {"frame": [np.asarray(one) for one in said]}


def test_the_published_scene_looks_at_the_first_six_frames_of_sixteen() -> None:
    dimension = Scene("reference")
    sixteen = [(index,) for index in middle_frames(CLIP, 16)]
    assert dimension.clip_items(CLIP, LIGHTHOUSE) == {"frame": sixteen[:6]}
    yes, no = "a house", "a dog"
    for position, share in enumerate((3, 3, 3, 3, 3, 1)):
        said = [no] * 6
        said[position] = yes
        score = dimension.score_clip(CLIP, LIGHTHOUSE, captions(*said))
        assert score.value == share / 16
        assert score.parts == {"success_frame_count": share, "frame_count": 16}
    assert dimension.score_clip(CLIP, LIGHTHOUSE, captions(*[yes] * 6)).value == 1
    assert dimension.score_clip(CLIP, LIGHTHOUSE, captions(*["a lighthouse"] * 6)).value == 1


def test_the_strict_scene_looks_at_all_sixteen() -> None:
    dimension = Scene("reference", rules="strict")
    items = dimension.clip_items(CLIP, LIGHTHOUSE)["frame"]
    assert items == [(index,) for index in middle_frames(CLIP, 16)]
    said = ["a lighthouse"] * 8 + ["a house"] * 8
    assert dimension.score_clip(CLIP, LIGHTHOUSE, captions(*said)).value == 0.5


@pytest.mark.parametrize("name", ["Alley", "小巷", "café", "!?", "alley\u200b"])
def test_a_name_that_no_caption_can_hold_is_no_zero(name: str) -> None:
    told = PromptFacts("", {"scene": {"scene": {"scene": name}}})
    assert "cannot hold" in Scene("reference").lacks(told)
    assert bool(Scene("reference", rules="strict").lacks(told)) == (name != "Alley")


def test_a_short_clip_counts_its_last_frame_again() -> None:
    items = Scene("reference").clip_items(Clip(0, 3), LIGHTHOUSE)["frame"]
    assert items == [(0,), (1,), (2,), (2,), (2,), (2,)]


# Human action.


@pytest.mark.parametrize("name", GOLDEN["actions"])
def test_the_action_is_found_as_published(name: str) -> None:
    assert action_of(name, cut=True) == GOLDEN["actions"][name]


def test_strict_rules_cut_no_action() -> None:
    assert action_of("A person is hand-washing dishes.", cut=False) == "hand-washing dishes"
    assert action_of("A person is hand-washing dishes", cut=True) == "hand"


def test_the_actions_are_all_there_once() -> None:
    assert len(actions()) == 400
    assert sorted(actions().values()) == list(range(400))
    assert [actions()[a] for a in ("riding a bike", "marching", "playing badminton")] == [0, 1, 399]


@pytest.mark.shared
def test_the_order_of_actions_is_the_published_one(shared: Path) -> None:
    from torchvision.models.video import R3D_18_Weights

    file = shared / "reference" / "semantic-models" / "umt_k400_perm.json"
    names = R3D_18_Weights.KINETICS400_V1.meta["categories"]
    order = [names[place].lower() for place in json.loads(file.read_text())["perm"]]
    assert {name: place for place, name in enumerate(order)} == actions()


def logits(**said: float) -> dict[str, list[Feature]]:
    """Probabilities of some actions; all others are unlikely."""
    made = np.full(400, -9.0, np.float32)
    for name, probability in said.items():
        made[actions()[name.replace("_", " ")]] = math.log(probability / (1 - probability))
    return {"clip": [made]}


MARCHING = facts("A person is marching")
FOUR_BETTER = {"yoga": 0.99, "zumba": 0.98, "archery": 0.97, "bowling": 0.96}


def judged(said: Mapping[str, float], rules: Any = "parity") -> float | None:
    return HumanAction("reference", rules).score_clip(CLIP, MARCHING, logits(**said)).value


def test_an_action_is_recognised_if_it_is_likely_and_among_the_five_best() -> None:
    assert judged({"marching": 0.86}) == 1
    assert judged({"marching": 0.84}) == 0
    assert judged({"yoga": 0.99}) == 0
    assert judged({**FOUR_BETTER, "marching": 0.9}) == 1
    assert judged({**FOUR_BETTER, "riding_a_bike": 0.95, "marching": 0.9}) == 0


def test_published_probabilities_are_rounded_first() -> None:
    assert judged({"marching": 0.84996}) == 1
    assert judged({"marching": 0.84994}) == 0
    assert judged({"marching": 0.84996}, "strict") == 0
    assert judged({"marching": 0.85001}, "strict") == 1


def test_huge_logits_are_no_trouble() -> None:
    features: dict[str, list[Feature]] = {"clip": [np.full(400, -2000.0, np.float32)]}
    assert HumanAction("reference").score_clip(CLIP, MARCHING, features).value == 0


def test_the_action_may_be_told() -> None:
    told = facts("Two friends, out of breath", human_action={"action": "Riding a bike"})
    dimension = HumanAction("reference")
    assert dimension.clip_items(CLIP, told) == {"clip": [middle_frames(CLIP, 16)]}
    assert dimension.score_clip(CLIP, told, logits(riding_a_bike=0.9)).value == 1


# What is missing.


@pytest.mark.parametrize("name", SEMANTIC)
@pytest.mark.parametrize("auxiliary", [{}, {"scene": "alley"}, {"scene": {"scene": {"scene": 7}}}])
def test_a_prompt_that_says_too_little_has_a_reason(name: str, auxiliary: dict[str, Any]) -> None:
    assert DIMENSIONS.get(name)("reference").lacks(PromptFacts("", auxiliary))


@pytest.mark.parametrize("prompt", ["A person is juggling plates", "日本語", "x " * 300])
def test_an_unknown_action_is_no_zero(prompt: str) -> None:
    reason = HumanAction("reference").lacks(PromptFacts(prompt))
    assert "none of the actions" in reason and len(reason) < 120


@pytest.mark.parametrize("name", SEMANTIC)
def test_declarations_hold(name: str) -> None:
    kind = DIMENSIONS.get(name)
    assert kind.__doc__ and "Source:" in kind.__doc__
    assert kind("reference").identity == f"{name}/reference/1"
    assert kind("reference", rules="strict").identity == f"{name}/reference/1/strict"


# On the way through the house, with small networks.


class Small(Networks):
    """Small networks that count what they are asked."""

    def __init__(self) -> None:
        super().__init__(weights="seeded", device="cpu")
        object.__setattr__(self, "asked", Counter())

    def build(self, name: str) -> Backbone:
        kinds = {
            "tag2text": SmallTag2Text, "viclip_l14": SmallViClip, "clip_style_b32": SmallClipStyle,
        }  # fmt: skip
        return _Counted(kinds[name](MadeUp(), CPU), name, self.asked)


class _Counted:
    def __init__(self, inner: Any, name: str, asked: Counter[str]) -> None:
        self.inner, self.name, self.asked, self.batch = inner, name, asked, inner.batch

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[Feature]:
        self.asked[f"{self.name} frames"] += len(items)
        return self.inner(items)

    def read(self, text: str) -> Feature:
        self.asked[f"{self.name} texts"] += 1
        if text == "unreadable":
            raise VideoError("cannot read this")
        return self.inner.read(text)


def judge(
    path: Path, networks: Networks, names: Sequence[str], prompt: str, auxiliary: Mapping[str, Any]
) -> dict[str, Record]:
    dimensions: list[Dimension] = [DIMENSIONS.get(name)("reference") for name in names]
    sample = Sample("v", prompt, 0, "", dimensions=tuple(names), auxiliary=auxiliary)
    records = Runner(dimensions, networks).judge(sample, path, names)
    return {record.dimension: record for record in records}


INFO = {
    "scene": {"scene": {"scene": "alley"}},
    "appearance_style": {"appearance_style": "oil painting"},
}


def test_one_pass_and_one_reading_serve_two_dimensions(make_video: MakeVideo) -> None:
    networks = Small()
    names = ("temporal_style", "overall_consistency", "appearance_style", "scene")
    records = judge(make_video(frames=20), networks, names, "an alley", INFO)
    assert {record.status for record in records.values()} == {Status.OK}
    assert records["temporal_style"].value == records["overall_consistency"].value
    assert networks.asked == {
        "viclip_l14 frames": 2,  # Two clips, the second of which overlaps the first.
        "viclip_l14 texts": 1,
        "clip_style_b32 frames": 20,
        "clip_style_b32 texts": 1,
        "tag2text frames": 12 - len({*range(6)} & {*range(4, 10)}),
    }


def test_a_text_that_cannot_be_read_costs_its_own_dimensions(make_video: MakeVideo) -> None:
    networks = Small()
    names = ("temporal_style", "appearance_style")
    records = judge(make_video(frames=8), networks, names, "unreadable", INFO)
    assert records["temporal_style"].status is Status.FAILED
    assert "cannot read this" in records["temporal_style"].error
    assert records["appearance_style"].status is Status.OK
    assert not networks.asked["viclip_l14 frames"]


def test_what_is_missing_is_said_and_the_rest_runs(make_video: MakeVideo) -> None:
    networks = Small()
    records = judge(make_video(frames=8), networks, SEMANTIC, "an alley", {})
    assert records["temporal_style"].status is Status.OK
    for name in ("scene", "appearance_style", "human_action"):
        assert records[name].status is Status.MISSING and records[name].value is None
        assert "names no" in records[name].error or "none of the actions" in records[name].error
    assert set(networks.asked) == {"viclip_l14 frames", "viclip_l14 texts"}


def test_a_backbone_that_reads_nothing_is_said(make_video: MakeVideo) -> None:
    class Blind(Small):
        def build(self, name: str) -> Any:
            return type("OnlyFrames", (), {"batch": 1, "__call__": lambda self, items: []})()

    records = judge(make_video(frames=8), Blind(), ("temporal_style",), "an alley", {})
    assert "reads no texts" in records["temporal_style"].error
