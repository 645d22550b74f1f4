"""The four dimensions that ask a detector: published rules, strict ones, and the way there."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from grit_cases import Eager, TinyGrit, cells

from vbench_long.dimensions import DIMENSIONS, ClipScore, VideoFacts
from vbench_long.dimensions.base import Rules
from vbench_long.dimensions.color import published_object, strict_object
from vbench_long.dimensions.detections import Detection, as_feature, detections
from vbench_long.dimensions.spatial_relationship import (
    DIRECTIONS,
    clearness,
    intersection_over_union,
)
from vbench_long.evaluation import Networks
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.runner import Runner
from vbench_long.records import Record, Sample, Status
from vbench_long.video import Clip

RULES = json.loads((Path(__file__).parent / "golden" / "grit.json").read_text())["rules"]
NAMES = ("object_class", "multiple_objects", "color", "spatial_relationship")
Frames = Sequence[Sequence[Detection]]

FRAMES = [
    [Detection(tuple(box), 0.9, name, caption) for caption, box, name in frame]
    for frame in RULES["frames"]
]
"""What the published rules were asked about."""


def facts(name: str, prompt: str = "", **auxiliary: Any) -> VideoFacts:
    return VideoFacts(640, 360, Fraction(8), prompt, {name: auxiliary})


def related(first: str, second: str, relation: str) -> dict[str, Any]:
    told = {"object_a": first, "object_b": second, "relationship": relation}
    return {"spatial_relationship": told}


def judged(name: str, frames: Frames, video: VideoFacts, rules: Rules = "parity") -> ClipScore:
    """The score of a clip whose frames hold these things."""
    dimension = DIMENSIONS.get(name)("reference", rules)
    clip = Clip(10, 10 + len(frames))
    items = dimension.clip_items(clip, video)
    features = {
        role: [as_feature(frames[i - 10]) for (i,) in asked] for role, asked in items.items()
    }
    return dimension.score_clip(clip, video, features)


def thing(name: str, box: Sequence[int] = (0, 0, 9, 9), caption: str = "") -> Detection:
    return Detection(tuple(box), 0.8, name, caption)


# --- features -----------------------------------------------------------------------------------


def test_detections_survive_as_a_feature() -> None:
    for frame in FRAMES:
        feature = as_feature(frame)
        assert feature.shape == (len(frame),)
        assert [d._replace(score=0.9) for d in detections(feature)] == frame


# --- the published rules ------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", RULES["object_class_count"])
def test_object_class_counts_as_published(wanted: str) -> None:
    score = judged("object_class", FRAMES, facts("object_class", object=wanted))
    # Six frames: the last one is there eleven times. The published count has each once.
    hits = [any(d.name == wanted for d in frame) for frame in FRAMES]
    assert sum(hits) == RULES["object_class_count"][wanted]
    assert score.value == (sum(hits[:5]) + 11 * hits[5]) / 16
    assert score.parts == {"success_frame_count": sum(hits[:5]) + 11 * hits[5], "frame_count": 16}


def test_names_are_compared_as_a_whole() -> None:
    frame = [thing("caterpillar"), thing("hot dog"), thing("Cat")]
    assert judged("object_class", [frame], facts("object_class", object="cat")).value == 0
    both = facts("multiple_objects", object="caterpillar and dog")
    assert judged("multiple_objects", [frame], both).value == 0


@pytest.mark.parametrize("wanted", RULES["multiple_objects_count"])
def test_multiple_objects_counts_as_published(wanted: str) -> None:
    score = judged("multiple_objects", FRAMES, facts("multiple_objects", object=wanted))
    hits = [set(wanted.split(" and ")) <= {d.name for d in frame} for frame in FRAMES]
    assert sum(hits) == RULES["multiple_objects_count"][wanted]
    assert score.value == (sum(hits[:5]) + 11 * hits[5]) / 16


@pytest.mark.parametrize("case", RULES["color_counts"])
def test_color_counts_as_published(case: str) -> None:
    colour, name = case.split("|")
    # The last frame has a person and no colour, so repeating it changes nothing.
    score = judged("color", FRAMES, facts("color", f"a {colour} {name}", color=colour))
    coloured, right = RULES["color_counts"][case]
    if not coloured:
        assert score.value is None and score.excluded
        assert score.reason == f"no '{name}' of any colour is seen"
    else:
        assert score.value == right / coloured
        assert score.parts["frame_count"] == coloured


@pytest.mark.parametrize("row", RULES["position_score"], ids=lambda r: f"{r['rel']}-{r['b']}")
def test_two_boxes_score_as_published(row: dict[str, Any]) -> None:
    score = clearness(row["a"], row["b"], DIRECTIONS[row["rel"]])
    assert score == pytest.approx(row["score"], abs=1e-12)


@pytest.mark.parametrize("relation", RULES["spatial_frame_scores"])
def test_frames_score_as_published(relation: str) -> None:
    video = facts("spatial_relationship", **related("bicycle", "person", relation))
    for frame, expected in zip(FRAMES, RULES["spatial_frame_scores"][relation], strict=True):
        assert judged("spatial_relationship", [frame], video).value == expected


def test_quirks_of_the_published_color() -> None:
    video = facts("color", "a red bicycle", color="red")
    bicycle = thing("bicycle", caption="a bicycle")
    somebody = thing("person", caption="a man in a red shirt")
    assert judged("color", [[bicycle, somebody]], video).value == 1  # any box's caption
    assert judged("color", [[somebody, bicycle]], video).excluded  # the best box names the frame
    assert judged("color", [[thing("bicycle", caption="a covered bicycle")]], video).value == 1
    blue = thing("bicycle", caption="a blue bicycle")
    red = thing("bicycle", caption="a red bicycle")
    assert judged("color", [[blue], [red], [red]], video).value == 15 / 16  # the last one 14 times
    assert judged("color", [[]] * 16, video).excluded


def test_what_a_prompt_is_about() -> None:
    assert published_object("a red bicycle", "red") == "bicycle"
    assert published_object("an orange airplane", "orange") == "airplane"
    assert published_object("a red tuna salad", "red") == "tunsalad"
    assert strict_object("a red tuna salad", "red") == "tuna salad"
    assert strict_object("A light blue bird.", "light blue") == "bird"
    assert strict_object("eine rote Ampel", "rote") == "eine ampel"


@pytest.mark.shared
def test_the_official_prompts_name_their_objects(shared: Path) -> None:
    stats = json.loads((shared / "reference/protocol/full_info_stats.json").read_text())
    prompts = [p for p in _texts(stats) if p.startswith(("a ", "an ")) and len(p.split()) == 3]
    for prompt in prompts:
        _, colour, name = prompt.split()
        if colour in ("red", "green", "blue", "yellow", "orange", "purple", "pink"):
            assert published_object(prompt, colour) == strict_object(prompt, colour) == name


def _texts(node: object) -> list[str]:
    if isinstance(node, str):
        return [node]
    parts = node.values() if isinstance(node, dict) else node if isinstance(node, list) else []
    return [text for part in parts for text in _texts(part)]


def test_quirks_of_the_published_relation() -> None:
    cats = [thing("cat", (0, 0, 10, 10)), thing("cat", (50, 0, 60, 10))]
    dog = thing("dog", (100, 0, 110, 10))
    for relation in ("on the left of", "on the right of", "on the left"):
        video = facts("spatial_relationship", **related("cat", "dog", relation))
        assert judged("spatial_relationship", [cats], video).value == 1  # no dog needed
        assert judged("spatial_relationship", [[cats[0], dog]], video).value == 1  # either side
    assert judged("spatial_relationship", [[dog], []], video).value == 0
    overlapping = clearness((0, 0, 23, 10), (17, 0, 40, 10), (1, 0))  # 60 of 400 pixels
    assert overlapping == pytest.approx(0.1 / 0.15)
    assert clearness((0, 0, 21, 10), (19, 0, 40, 10), (1, 0)) == 1  # 20 of 400
    assert intersection_over_union((5, 5, 5, 5), (7, 7, 7, 7)) == 0
    assert intersection_over_union((0, 0, 4, 4), (2, 0, 6, 4)) == pytest.approx(1 / 3)


# --- strict rules -------------------------------------------------------------------------------


def test_strict_color_asks_the_thing_itself_in_whole_words() -> None:
    video = facts("color", "a red bicycle", color="red")

    def score(*frame: Detection) -> float | None:
        return judged("color", [frame], video, "strict").value

    bicycle = thing("bicycle", caption="a blue bicycle")
    assert score(thing("person", caption="a red shirt"), bicycle) == 0
    assert score(bicycle, thing("bicycle", caption="red, parked")) == 1
    assert score(thing("bicycle", caption="a covered bicycle")) is None
    assert score(thing("person", caption="a red shirt")) is None
    teal = facts("color", "a teal bicycle", color="teal")
    frame = [thing("bicycle", caption="a teal bicycle")]
    assert judged("color", [frame], teal, "strict").value == 1
    assert "'teal' is none of" in DIMENSIONS.get("color")("reference").lacks(teal)
    assert not DIMENSIONS.get("color")("reference", "strict").lacks(teal)


def test_strict_relation_tells_sides_and_things_apart() -> None:
    cat, dog = thing("cat", (0, 0, 10, 10)), thing("dog", (100, 0, 110, 10))
    below = thing("dog", (0, 50, 10, 60))

    def score(relation: str, *frame: Detection) -> float | None:
        video = facts("spatial_relationship", **related("cat", "dog", relation))
        return judged("spatial_relationship", [frame], video, "strict").value

    assert score("on the left of", cat, dog) == 1
    assert score("on the left of", dog, cat) == 1
    assert score("on the right of", cat, dog) == 0
    assert score("on the top of", cat, below) == 1
    assert score("on the bottom of", cat, below) == 0
    assert score("on the left of", cat, cat._replace(box=(50, 0, 60, 10))) == 0


@pytest.mark.parametrize("name", NAMES)
def test_strict_scores_have_another_identity(name: str) -> None:
    built = [
        choose_dimensions([name], "reference", rules=rules)[0] for rules in ("parity", "strict")
    ]
    assert built[0].identity != built[1].identity


# --- what the prompt does not say ---------------------------------------------------------------

UNTOLD = {
    "object_class": [{}, {"object": ""}, {"object": 7}],
    "multiple_objects": [{}, {"object": "cat"}, {"object": "a and b and c"}, {"object": " and b"}],
    "color": [{}, {"color": " "}, {"color": "red", "prompt": "a red"}],
    "spatial_relationship": [
        {},
        related("cat", "", "on the left of"),
        related("cat", "dog", "near"),
        related("cat", "dog", "on the"),
        {"spatial_relationship": "left"},
    ],
}


@pytest.mark.parametrize(
    ("name", "auxiliary"), [(name, one) for name, many in UNTOLD.items() for one in many]
)
@pytest.mark.parametrize("rules", ["parity", "strict"])
def test_no_information_is_a_reason(name: str, auxiliary: dict[str, Any], rules: Rules) -> None:
    told = {key: value for key, value in auxiliary.items() if key != "prompt"}
    video = facts(name, auxiliary.get("prompt", "a red bicycle"), **told)
    dimension = DIMENSIONS.get(name)("reference", rules)
    assert "the prompt's auxiliary information has no" in dimension.lacks(video)


UNSAYABLE = {
    "object_class": {"object": "Dog"},
    "multiple_objects": {"object": "dog and café"},
    "color": {"color": "red", "object": "Bicycle"},
    "spatial_relationship": related("cat", "Dog", "on the left of"),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rules", ["parity", "strict"])
def test_a_name_that_is_never_said_is_a_reason_and_no_zero(name: str, rules: Rules) -> None:
    dimension = DIMENSIONS.get(name)("reference", rules)
    assert "cannot be" in dimension.lacks(facts(name, "a red bicycle", **UNSAYABLE[name]))


def test_any_letters_without_capitals_may_be_said() -> None:
    for word in ("犬", "собака", "개", "hot dog", "t - shirt", "flux capacitor"):
        assert not DIMENSIONS.get("object_class")("reference").lacks(
            facts("object_class", object=word)
        )


def test_the_object_of_a_colour_may_be_told() -> None:
    frame = [thing("тунец", caption="a red fish")]
    video = facts("color", "Красный тунец плывёт", color="red", object="тунец")
    assert judged("color", [frame], video).value == 1
    assert judged("color", [frame], video, "strict").value == 1


# --- the way there ------------------------------------------------------------------------------


class Tiny(Networks):
    """Networks whose GRiT is tiny."""

    def build(self, name: str) -> Any:
        assert name == "grit"
        return TinyGrit(Eager(end=1.5), self.compute)


AUXILIARY = {
    "object_class": {"object": "word77 word247"},
    "multiple_objects": {"object": "word77 word247 and word184 word247"},
    "color": {"color": "red"},
    "spatial_relationship": related("word77 word247", "word184 word247", "on the left of"),
}


@pytest.fixture
def video(make_video: Callable[..., Path]) -> Path:
    """Fourteen frames at 8 per second: a clip of less than 2 s, in which one picture stays."""
    return make_video(frames=[np.ascontiguousarray(cells(1, 96, 160, 16))] * 14)


def records(runner: Runner, video: Path, **auxiliary: Any) -> dict[str, Record]:
    sample = Sample("v.mp4", "a red word77 word247", 0, "", dimensions=NAMES, auxiliary=auxiliary)
    return {record.dimension: record for record in runner.judge(sample, video, NAMES)}


def test_four_dimensions_in_one_pass_of_one_network(video: Path) -> None:
    runner = Runner(choose_dimensions(NAMES, "reference"), Tiny("seeded", "cpu"))
    found = records(runner, video, **AUXILIARY)
    assert found["object_class"].value == 1
    assert found["multiple_objects"].value == 1
    assert found["color"].status is Status.EXCLUDED
    assert found["color"].error == "no 'word77 word247' of any colour is seen"
    assert 0 < found["spatial_relationship"].value <= 1
    assert runner.counts.loads == {"grit": 1}
    assert runner.counts.decodes == {"v.mp4": 1} and runner.counts.frames == {"v.mp4": 14}
    assert runner.counts.items == {"grit": 28}  # each frame as objects and with captions
    assert runner.counts.calls == {"grit": 4}
    assert set(runner.counts.seconds) == {"grit"}
    assert all(record.seconds > 0 for record in found.values())
    strict = Runner(choose_dimensions(["color"], "reference", rules="strict"), runner._networks)
    sample = Sample(
        "v", "", 0, "", auxiliary={"color": {"color": "word104", "object": "word77 word247"}}
    )
    (record,) = strict.judge(sample, video, ["color"])
    assert record.value == 1  # captions came


def test_a_prompt_that_says_nothing_costs_only_its_own_rows(video: Path) -> None:
    runner = Runner(choose_dimensions(NAMES, "reference"), Tiny("seeded", "cpu"))
    found = records(runner, video, object_class=AUXILIARY["object_class"])
    assert found["object_class"].value == 1
    for name in NAMES[1:]:
        assert found[name].status is Status.MISSING and found[name].value is None
        assert "auxiliary information has no" in found[name].error
    assert runner.counts.items == {"grit": 14}


def test_a_broken_network_costs_all_four_and_says_so(video: Path) -> None:
    class Broken(Tiny):
        def build(self, name: str) -> Any:
            factors = {"fpn_stride16_conv1": float("nan")}
            return TinyGrit(Eager(factors), self.compute)

    runner = Runner(choose_dimensions(NAMES, "reference"), Broken("seeded", "cpu"))
    found = records(runner, video, **AUXILIARY)
    assert {record.status for record in found.values()} == {Status.FAILED}
    assert all("no finite number" in record.error for record in found.values())
