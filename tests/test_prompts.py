"""Suites: names, clip lengths, the loader, and the command."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prompt_cases import (
    AUXILIARY,
    GOLDEN,
    LONG,
    LONG_CLIPS,
    WriteSuite,
    check_names,
    count_clip_seconds,
    entry,
    reference,
    run,
)

from vbench_long.errors import UsageError
from vbench_long.prompts import Prompt, load_suite, prompt_of, suite
from vbench_long.prompts.suite import clip_seconds
from vbench_long.prompts.words import FORM, OFFICIAL_DIMENSIONS

# Clip lengths and names: the golden values


# The source's other column, `vbench_long`, takes the names of clip files apart; no clip is ever
# written to disk here, so there is nothing to compare it with.
@pytest.mark.parametrize(("stem", "prompt"), GOLDEN["prompt_of"])
def test_prompt_of_gives_the_published_prompt(stem: str, prompt: str) -> None:
    assert prompt_of(stem)[0] == prompt


@pytest.mark.parametrize(
    ("stem", "index"),
    [("a cat-12", 12), ("a cat-007", 7), ("a cat", 0), ("-3", 3), ("a-1-2", 2), ("a cat-", 0)]
    + [(f"a cat-{odd}", 0) for odd in ("1\n", "٣", "9" * 5000)],
)
def test_prompt_of_gives_the_index(stem: str, index: int) -> None:
    assert prompt_of(stem)[1] == index


@given(st.text(), st.integers(0, 10**18 - 1))
def test_prompt_of_undoes_naming_a_sample(text: str, index: int) -> None:
    assert prompt_of(f"{text}-{index}") == (text, index)


@given(st.text())
def test_prompt_of_takes_any_text(stem: str) -> None:
    text, index = prompt_of(stem)
    assert stem.startswith(text)
    assert index == 0 or stem.endswith(str(index))


@given(st.lists(st.sampled_from([*OFFICIAL_DIMENSIONS, "someone's own"])))
def test_the_longest_clip_wins(dimensions: list[str]) -> None:
    expected = 10.0 if LONG_CLIPS & set(dimensions) else 2.0
    assert clip_seconds(dimensions) == expected
    assert Prompt("x", tuple(dimensions)).clip_seconds == expected


def test_clip_length_is_found_by_video_name(write_suite: WriteSuite) -> None:
    entries = [
        entry("a person swimming in ocean", "subject_consistency", "motion_smoothness"),
        entry("A person is riding a bike", "human_action"),
        entry("a bird", "object_class"),
        entry("alley", "scene", "background_consistency"),
    ]
    found = load_suite(write_suite(entries))
    check_names(found)
    assert found.sample_named("a bird-03") is None
    assert found.sample_named("a bird-3") == (found.prompts[2], 3)


@pytest.mark.shared
def test_golden_rows_are_the_source(shared: Path) -> None:
    source = reference(shared, "golden/pure_functions")
    names = [[r["name"].removesuffix(".mp4"), r["vbench"]] for r in source["prompt_from_filename"]]
    assert names == GOLDEN["prompt_of"]
    durations = {k.removesuffix(".mp4"): v for k, v in source["duration_examples"].items()}
    assert durations == GOLDEN["clip_seconds_of_name"]


@pytest.mark.shared
def test_clip_seconds_of_a_suite_shaped_like_the_official_one(
    shared: Path, write_suite: WriteSuite
) -> None:
    stats, golden = reference(shared, "full_info_stats"), reference(shared, "golden/pure_functions")
    twice = stats["duplicate_prompts"]
    entries = []
    for group in stats["dimension_combinations"]:
        shares = {"appearance_style", "overall_consistency"} & set(group["dimensions"])
        texts = [f"{group['dimensions'][0]} {i}" for i in range(group["n"] - 2 * bool(shares))]
        entries += [entry(t, *group["dimensions"]) for t in (twice if shares else []) + texts]
    found = load_suite(write_suite(entries))
    assert len(entries) == 946
    assert len(found.prompts) == 944
    assert count_clip_seconds(found) == golden["clip_seconds_by_dimension_standard_mode"]


# Suite files


def test_entries_with_one_text_are_one_prompt(write_suite: WriteSuite) -> None:
    entries = [
        entry("a dog", "color", "color"),
        entry("a cat", "dynamic_degree"),
        entry("a dog", "overall_consistency", "color", "scene"),
    ]
    path = write_suite(entries)
    found = load_suite(path)
    assert found.name == "ours"
    assert found.sha256 == hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert [p.text for p in found.prompts] == ["a dog", "a cat"]
    dog, cat = found.prompts
    assert dog.dimensions == ("color", "overall_consistency", "scene")
    assert dog.auxiliary == {"color": AUXILIARY["color"], "scene": AUXILIARY["scene"]}
    assert (dog.clip_seconds, cat.clip_seconds) == (10.0, 2.0)
    assert found.dimensions == ("dynamic_degree", "color", "scene", "overall_consistency")
    assert found.serving("color") == (dog,)


HOSTILE = {
    **{case: (text.encode("latin-1"), said) for case, (text, said) in GOLDEN["hostile"].items()},
    "too deep": (b"[" * 200_000, "not JSON"),
    "huge number": (b"[" + b"9" * 5000 + b"]", "not JSON"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_file_is_refused(case: str, write_suite: WriteSuite) -> None:
    content, said = HOSTILE[case]
    path = write_suite(content)
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    assert path in str(caught.value)
    assert said in str(caught.value).replace(path, "").replace(FORM, "")


def test_a_large_file_is_refused(write_suite: WriteSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "SIZE_LIMIT", 2**20)
    with pytest.raises(UsageError, match="more than 1 MiB"):
        load_suite(write_suite(b" " * (2**20 + 1)))


KEYS = ["prompt_en", "dimension", "auxiliary_info", "mini", "color"]
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(KEYS)
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(ANY_JSON)
def test_any_json_is_a_suite_or_a_usage_error(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps([content]), encoding="utf-8")
    try:
        found = load_suite(str(path))
    except UsageError:
        return
    assert found.prompts[0].text.strip()
    assert set(found.prompts[0].dimensions) <= set(OFFICIAL_DIMENSIONS)


NO_SUITES = [("mni", "did you mean 'mini'?"), ("no/such.json", "no such suite file")]
NO_SUITES += [(name, "cannot be read") for name in ("", ".", "a\0b")]


@pytest.mark.parametrize(("name", "said"), NO_SUITES)
def test_no_such_suite(name: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_suite(name)
    assert said in str(caught.value)


# The command


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "long", "--dimension", "color") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [text for _, text in rows] == [p.text for p in LONG.serving("color")]
    assert {dimensions for dimensions, _ in rows} == {"color,object_class"}
    with pytest.raises(UsageError, match="did you mean 'color'"):
        run("show", "long", "--dimension", "colour")


def test_show_json_can_be_read_back(
    capsys: pytest.CaptureFixture[str], write_suite: WriteSuite
) -> None:
    assert run("show", "long", "--json") == 0
    assert load_suite(write_suite(capsys.readouterr().out.encode())).prompts == LONG.prompts


def test_the_command_is_cheap_to_describe() -> None:
    code = "import sys, vbench_long.cli.prompts; print('vbench_long.prompts' in sys.modules)"
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": root, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


# Lists of prompts


def test_a_list_of_prompts_is_for_the_quality_dimensions(tmp_path: Path) -> None:
    path = tmp_path / "animal.txt"
    path.write_bytes("\ufeffa cat\r\n\r\n  ein Hund läuft \na cat\n".encode())
    found = load_suite(str(path))
    assert (found.name, found.dimensions) == ("animal", OFFICIAL_DIMENSIONS[:7])
    assert [prompt.text for prompt in found.prompts] == ["a cat", "ein Hund läuft"]
    assert {prompt.clip_seconds for prompt in found.prompts} == {2.0}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\n \n", "no prompt"),
        (b"a cat\nbad \x1b[31m\n", "line 2"),
        (b"a cat\n\xff\n", "not UTF-8"),
        (b"x" * 10_001, "10001 characters"),
    ],
)
def test_bad_lists_are_refused_by_line(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "list.txt").write_bytes(data)
    with pytest.raises(UsageError, match=message):
        load_suite(str(tmp_path / "list.txt"))
