"""What the tests of suites share: entries, a machine without the official file."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vbench_long.cli import prompts as command
from vbench_long.prompts import Suite, load_suite

GOLDEN = json.loads((Path(__file__).parent / "golden" / "prompts.json").read_text("utf-8"))
LONG_CLIPS = {"human_action", "temporal_style", "overall_consistency"}
LONG = load_suite("long")
PLACE = {"object_a": "dog", "object_b": "cat", "relationship": "on the left of"}
AUXILIARY: dict[str, dict[str, Any]] = {
    "object_class": {"object": "dog"},
    "multiple_objects": {"object": "dog and cat"},
    "color": {"color": "red"},
    "spatial_relationship": {"spatial_relationship": PLACE},
    "scene": {"scene": {"scene": "alley"}},
    "appearance_style": {"appearance_style": "oil painting"},
}

WriteSuite = Callable[[Any], str]


def entry(text: str, *dimensions: str) -> dict[str, Any]:
    """An entry in the official form, with the auxiliary information its dimensions need."""
    auxiliary = {d: AUXILIARY[d] for d in dimensions if d in AUXILIARY}
    more = {"auxiliary_info": auxiliary} if auxiliary else {}
    return {"prompt_en": text, "dimension": list(dimensions), **more}


def reference(shared: Path, name: str) -> Any:
    return json.loads((shared / "reference/protocol" / f"{name}.json").read_text("utf-8"))


def count_clip_seconds(found: Suite) -> dict[str, dict[str, int]]:
    return {
        d: {str(k): n for k, n in Counter(p.clip_seconds for p in found.serving(d)).items()}
        for d in found.dimensions
    }


def check_names(found: Suite) -> None:
    for stem, seconds in GOLDEN["clip_seconds_of_name"].items():
        sample = found.sample_named(stem)
        assert (sample and sample[0].clip_seconds) == seconds, stem


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))
