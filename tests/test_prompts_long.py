"""Our own prompts: fit to be filmed, named and judged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from prompt_cases import AUXILIARY, GOLDEN, LONG, LONG_CLIPS

from vbench_long.prompts import Prompt, load_suite, prompt_of, suite
from vbench_long.prompts.words import OFFICIAL_DIMENSIONS

QUALITY = OFFICIAL_DIMENSIONS[:7]
COCO, COLOURS = set(GOLDEN["coco"]), set(GOLDEN["colours"])
SIDES = {f"on the {side} of" for side in ("left", "right", "top", "bottom")}
NEEDY = {*AUXILIARY, "human_action"}


def test_the_suite_has_sixty_prompts_for_sixteen_dimensions() -> None:
    assert len(COCO) == 80
    assert len(LONG.prompts) == 60
    assert LONG.dimensions == OFFICIAL_DIMENSIONS
    assert min(len(LONG.serving(d)) for d in OFFICIAL_DIMENSIONS) >= 4
    assert all(LONG.samples(p) == 1 for p in LONG.prompts)
    rows = json.loads(Path(suite.__file__).with_name("long.json").read_text("utf-8"))
    assert len(rows) == 60  # no text twice


def test_mini_is_eight_of_them_with_two_second_clips_and_all_of_quality() -> None:
    mini = load_suite("mini")
    assert (mini.name, mini.sha256, len(mini.prompts)) == ("mini", LONG.sha256, 8)
    assert set(mini.dimensions) >= set(QUALITY)
    for prompt in mini.prompts:
        assert prompt in LONG.prompts
        assert set(prompt.dimensions) >= set(QUALITY)
        assert prompt.clip_seconds == 2.0


@pytest.mark.parametrize("prompt", LONG.prompts, ids=lambda p: p.text[:30])
def test_a_prompt_is_fit_to_be_filmed_named_and_judged(prompt: Prompt) -> None:
    text = prompt.text
    assert 15 <= len(text.split()) <= 60
    assert text.isascii()
    assert not set(text) & set('_/\\:*?"<>|\t')
    # `{prompt}-{index}.mp4` is a legal file name, and gives the prompt back.
    assert len(f"{text}-999.mp4") <= 255
    assert prompt_of(f"{text}-0") == (text, 0)
    assert text[0].isupper()
    assert text == " ".join(text.split())
    # Two-second and ten-second dimensions share a prompt only as in the official suite.
    if LONG_CLIPS & set(prompt.dimensions):
        assert not set(QUALITY[:5]) & set(prompt.dimensions)


@pytest.mark.parametrize(
    "prompt", [p for p in LONG.prompts if set(p.dimensions) & NEEDY], ids=lambda p: p.text[:30]
)
def test_the_auxiliary_information_agrees_with_the_prompt(prompt: Prompt) -> None:
    text, auxiliary = prompt.text.lower(), prompt.auxiliary
    if "object_class" in auxiliary:
        assert auxiliary["object_class"]["object"] in COCO
        assert auxiliary["object_class"]["object"] in text
    if "multiple_objects" in auxiliary:
        first, second = auxiliary["multiple_objects"]["object"].split(" and ")
        assert {first, second} <= COCO
        assert 0 <= text.find(first) < text.find(second)
    if "color" in auxiliary:
        colour, thing = auxiliary["color"]["color"], auxiliary["color"]["object"]
        assert colour in COLOURS
        assert thing in COCO
        assert f"a {colour} {thing}" in text or f"an {colour} {thing}" in text
        assert not (COLOURS - {colour}) & set(text.replace(",", "").split())
    if "spatial_relationship" in auxiliary:
        place = auxiliary["spatial_relationship"]["spatial_relationship"]
        first, second = place["object_a"], place["object_b"]
        assert {first, second} <= COCO
        assert place["relationship"] in SIDES
        assert text.startswith(f"a {first} {place['relationship']} a {second}")
        assert auxiliary["multiple_objects"]["object"] == f"{first} and {second}"
    if "scene" in auxiliary:
        assert auxiliary["scene"]["scene"]["scene"] in text
    if "appearance_style" in auxiliary:
        assert text.endswith(", " + auxiliary["appearance_style"]["appearance_style"].lower())
    if "human_action" in prompt.dimensions:
        # Also the published way, from the file name up to its first '-', finds the action.
        assert text.startswith(f"a person is {auxiliary['human_action']['action']}, ")
        assert "-" not in text


def test_no_object_colour_side_scene_or_style_occurs_twice() -> None:
    def facts(dimension: str) -> set[str]:
        return {json.dumps(p.auxiliary[dimension]) for p in LONG.serving(dimension)}

    places = [p.auxiliary["spatial_relationship"] for p in LONG.serving("spatial_relationship")]
    assert {place["spatial_relationship"]["relationship"] for place in places} == SIDES
    for dimension in AUXILIARY:
        assert len(facts(dimension)) == len(LONG.serving(dimension))
