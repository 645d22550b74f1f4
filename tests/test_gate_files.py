"""What the gate writes: text, JSON, JUnit XML, Markdown and a picture."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from test_gate import FLICKER, finding, several, without
from test_scores import ALL, CLASSICAL, ok

from vbench_long.leaderboard.gate.comparison import Comparison, Rule, compare
from vbench_long.leaderboard.gate.files import (
    compare_json,
    compare_junit,
    compare_markdown,
    compare_summary,
    compare_text,
)
from vbench_long.leaderboard.gate.forest import forest_png


def test_the_json_document_says_everything() -> None:
    found = compare(several(1), without(several(2, change={FLICKER: -0.02}), "3-0"))
    document = json.loads(compare_json(found))
    assert document == json.loads(json.dumps(compare_summary(found)))
    assert (document["schema"], document["exit_code"]) == ("vbench-long/compare/1", 1)
    flicker = document["dimensions"][FLICKER]
    assert flicker["verdict"] == "worse" and flicker["interval"]["method"] == "BCa"
    assert flicker["difference"] == flicker["new"] - flicker["base"]
    assert flicker["detectable_drop"] > 0 and flicker["p"] <= flicker["p_holm"] < 0.05
    assert document["lacking"]["count"] == 6 and len(document["lacking"]["first"]) == 6
    assert (document["design"], document["alpha"], document["seed"]) == ("paired", 0.05, 0)


def test_what_else_differs_is_listed() -> None:
    base, new = several(1), several(2)
    new = replace(
        new,
        manifest=replace(new.manifest, model={"settings": {"steps": 20}}, environment="e"),
        environments={"e": {"packages": {"torch": "2.7"}}},
    )
    found = compare_summary(compare(base, new))["differences"]
    assert "model.settings: None -> {'steps': 20}" in found
    assert any("environment.packages" in line and "2.7" in line for line in found)


def junit(comparison: Comparison) -> Xml.Element:
    (suite,) = Xml.fromstring(compare_junit(comparison))
    return suite


def test_junit_has_a_case_per_dimension_and_counts_right() -> None:
    base, new = several(1), without(several(2, change={FLICKER: -0.02}), "3-0")
    new = replace(new, records=(*new.records, ok("0-0", "scene", 0.5)))
    base = replace(base, records=(*base.records, ok("0-0", "scene", 0.5)))
    suite = junit(compare(base, new))
    cases = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert cases == {
        **{name: [] for name in CLASSICAL if name != FLICKER},
        FLICKER: ["failure"],
        "scene": ["skipped"],
        "videos": ["error"],
    }
    counts = [suite.get(name) for name in ("tests", "failures", "errors", "skipped")]
    assert counts == ["8", "1", "1", "1"]
    clean = junit(compare(several(1), without(several(2), "3-0"), Rule(partial=True)))
    assert (clean.get("failures"), clean.get("errors")) == ("0", "0")


def test_junit_keeps_to_ants_schema() -> None:
    """Order of elements and attributes as the schema of Ant's reports asks (JUnit.xsd)."""
    found = compare(several(1), several(2, change={FLICKER: -0.02}))
    for updated, expected in (
        ("2026-03-01T12:30:00+00:00", "2026-03-01T12:30:00"), ("", "1970-01-01T00:00:00"),
    ):  # fmt: skip
        new = replace(found.new, manifest=replace(found.new.manifest, updated=updated))
        suite = junit(replace(found, new=new))
        assert suite.get("timestamp") == expected
        tags = [child.tag for child in suite]
        assert tags == ["properties", *["testcase"] * 7, "system-out", "system-err"]
        assert {*suite.keys()} == {
            "name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors",
            "skipped", "time",
        }  # fmt: skip
        for case in suite.iter("testcase"):
            assert {*case.keys()} == {"name", "classname", "time"} and len(case) <= 1
        (failure,) = suite.iter("failure")
        assert {*failure.keys()} == {"message", "type"}


HOSTILE = "</td>]]>&\x00\x1b[31m\ud800|`<script>alert(1)</script>\u202e$x$" + "long " * 300


def test_hostile_names_stay_text() -> None:
    base = several(1)
    records = [
        replace(r, dimension=HOSTILE[:80]) if r.dimension == FLICKER else r for r in base.records
    ]
    base = replace(
        base,
        manifest=replace(base.manifest, name=HOSTILE),
        samples=tuple(replace(s, prompt=HOSTILE + s.prompt) for s in base.samples),
        records=tuple(records),
    )
    new = without(replace(base, folder=Path("runs/new")), "3-0")
    found = compare(base, new)
    assert "<script>" not in compare_markdown(found).replace("\\<script", "")
    assert "\x1b" not in compare_text(found) and "\u202e" not in compare_text(found)
    assert junit(found).get("tests") == "7"
    compare_json(found).encode("ascii")
    forest_png(found)


def test_the_summary_stays_small_whatever_the_runs_hold() -> None:
    names = [f"dimension {i} {'x' * 300}" for i in range(60)]
    base = several(1, prompts=40, dimensions=names)
    base = replace(base, samples=tuple(replace(s, prompt=HOSTILE + s.prompt) for s in base.samples))
    new = without(base, *(s.video for s in base.samples[:70]))
    new = replace(
        new,
        records=tuple(replace(r, error="e" * 2000) if r.error else r for r in new.records),
        manifest=replace(new.manifest, model={f"k{i}": "v" * 500 for i in range(500)}),
    )
    found = compare(base, new)
    assert len(compare_markdown(found).encode()) < 100_000
    assert len(compare_summary(found)["lacking"]["first"]) == 1000
    width, height = struct.unpack(">II", forest_png(found)[16:24])
    assert width == 1600 and height < 4000


@pytest.mark.parametrize("rule", [Rule(max_drop=0.01), Rule(dimensions=(FLICKER,))])
def test_the_picture_is_drawn_and_repeats(rule: Rule) -> None:
    base, new = several(1, dimensions=ALL), several(2, dimensions=ALL, change={FLICKER: -0.02})
    found = compare(base, new, rule)
    picture = forest_png(found)
    width, height = struct.unpack(">II", picture[16:24])
    assert width == 1600 and height > 300 + 50 * len(found.findings)
    assert forest_png(compare(base, new, rule)) == picture


def test_the_text_says_first_what_could_be_seen() -> None:
    found = compare(several(1), several(2, change={FLICKER: -0.02}))
    text = compare_text(found)
    header = next(line for line in text.splitlines() if line.startswith("dimension"))
    assert header.split()[:2] == ["dimension", "sees"] and header.split()[-1] == "verdict"
    row = next(line for line in text.splitlines() if line.startswith(FLICKER)).split()
    seen = finding(found, FLICKER).detectable
    assert seen and float(row[1]) == pytest.approx(100 * seen, abs=0.001) and row[-1] == "worse"
    assert max(map(len, text.splitlines())) <= 100
    assert text.rstrip().endswith("worse: temporal_flickering")
