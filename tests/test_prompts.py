"""Suites: the loader, the official file, our own prompts, and the command."""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vbench_long.cli import prompts as command
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.prompts import Prompt, Suite, load_suite, official, prompt_of, suite
from vbench_long.prompts.suite import OFFICIAL_DIMENSIONS, clip_seconds

GOLDEN = json.loads((Path(__file__).parent / "golden" / "prompts.json").read_text("utf-8"))
LONG_CLIPS = {"human_action", "temporal_style", "overall_consistency"}
QUALITY = OFFICIAL_DIMENSIONS[:7]
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


@pytest.fixture
def write(tmp_path: Path) -> WriteSuite:
    def write_suite(content: Any) -> str:
        path = tmp_path / "ours.json"
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        path.write_bytes(data)
        return str(path)

    return write_suite


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the official file, and without pip."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("VBENCH_CACHE_DIR", raising=False)
    monkeypatch.setattr(official, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip must not run"))
    return tmp_path


def entry(text: str, *dimensions: str) -> dict[str, Any]:
    """An entry in the official form, with the auxiliary information its dimensions need."""
    auxiliary = {d: AUXILIARY[d] for d in dimensions if d in AUXILIARY}
    more = {"auxiliary_info": auxiliary} if auxiliary else {}
    return {"prompt_en": text, "dimension": list(dimensions), **more}


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


def check_names(found: Suite) -> None:
    for stem, seconds in GOLDEN["clip_seconds_of_name"].items():
        sample = found.sample_named(stem)
        assert (sample and sample[0].clip_seconds) == seconds, stem


def test_clip_length_is_found_by_video_name(write: WriteSuite) -> None:
    entries = [
        entry("a person swimming in ocean", "subject_consistency", "motion_smoothness"),
        entry("A person is riding a bike", "human_action"),
        entry("a bird", "object_class"),
        entry("alley", "scene", "background_consistency"),
    ]
    found = load_suite(write(entries))
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


def reference(shared: Path, name: str) -> Any:
    return json.loads((shared / "reference/protocol" / f"{name}.json").read_text("utf-8"))


def count_clip_seconds(found: Suite) -> dict[str, dict[str, int]]:
    return {
        d: {str(k): n for k, n in Counter(p.clip_seconds for p in found.serving(d)).items()}
        for d in found.dimensions
    }


@pytest.mark.shared
def test_clip_seconds_of_a_suite_shaped_like_the_official_one(
    shared: Path, write: WriteSuite
) -> None:
    stats, golden = reference(shared, "full_info_stats"), reference(shared, "golden/pure_functions")
    twice = stats["duplicate_prompts"]
    entries = []
    for group in stats["dimension_combinations"]:
        shares = {"appearance_style", "overall_consistency"} & set(group["dimensions"])
        texts = [f"{group['dimensions'][0]} {i}" for i in range(group["n"] - 2 * bool(shares))]
        entries += [entry(t, *group["dimensions"]) for t in (twice if shares else []) + texts]
    found = load_suite(write(entries))
    assert len(entries) == 946
    assert len(found.prompts) == 944
    assert count_clip_seconds(found) == golden["clip_seconds_by_dimension_standard_mode"]


@pytest.mark.shared
def test_the_official_suite(shared: Path) -> None:
    path = official.locate()
    if path is None:
        pytest.skip(f"needs the official file: {official.PULL}")
    stats, golden = reference(shared, "full_info_stats"), reference(shared, "golden/pure_functions")
    found = load_suite("vbench")
    assert load_suite(str(path)) == found  # the same bytes are the same suite
    assert (found.name, found.sha256, len(found.prompts)) == ("vbench", official.SHA256, 944)
    assert sum(found.samples(p) for p in found.prompts) == 75 * 25 + (944 - 75) * 5
    counts = {d: len(found.serving(d)) for d in OFFICIAL_DIMENSIONS}
    assert counts == stats["prompts_per_dimension"]
    assert count_clip_seconds(found) == golden["clip_seconds_by_dimension_standard_mode"]
    check_names(found)
    for text in stats["duplicate_prompts"]:
        (prompt,) = (p for p in found.prompts if p.text == text)
        assert set(prompt.dimensions) == {
            "appearance_style", "overall_consistency", "aesthetic_quality", "imaging_quality",
        }  # fmt: skip
        assert "appearance_style" in prompt.auxiliary


# Suite files


def test_entries_with_one_text_are_one_prompt(write: WriteSuite) -> None:
    entries = [
        entry("a dog", "color", "color"),
        entry("a cat", "dynamic_degree"),
        entry("a dog", "overall_consistency", "color", "scene"),
    ]
    path = write(entries)
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
def test_a_bad_file_is_refused(case: str, write: WriteSuite) -> None:
    content, said = HOSTILE[case]
    path = write(content)
    with pytest.raises(UsageError) as caught:
        load_suite(path)
    assert path in str(caught.value)
    assert said in str(caught.value).replace(path, "").replace(suite._FORM, "")


def test_a_large_file_is_refused(write: WriteSuite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "SIZE_LIMIT", 2**20)
    with pytest.raises(UsageError, match="more than 1 MiB"):
        load_suite(write(b" " * (2**20 + 1)))


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


# The official file


def put(path: Path, data: bytes = b"[]") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_where_the_official_file_is_looked_for(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert official.locate() is None
    monkeypatch.setattr(official, "find_spec", find_spec)
    package = tmp_path / "site" / "vbench"
    put(package / "__init__.py", b"raise RuntimeError('imported')")
    installed = put(package / official.FILE)
    monkeypatch.syspath_prepend(str(package.parent))
    assert official.locate() == installed
    theirs = put(empty_home / ".cache" / "vbench" / official.FILE)
    assert official.locate() == theirs
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert official.locate() == installed
    moved = put(tmp_path / "elsewhere" / official.FILE)
    assert official.locate() == moved
    ours = put(empty_home / ".cache" / "vbench-long" / official.FILE)
    assert official.locate() == ours
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert official.locate() == ours
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert official.locate() == moved
    assert "vbench" not in sys.modules


def test_the_official_suite_is_missing_or_another(empty_home: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"full_info\.json is not on this") as e:
        load_suite("vbench")
    assert "vbench-long prompts pull" in str(e.value)
    path = put(official.cache_path(), json.dumps([entry("a dog", "dynamic_degree")]).encode())
    with pytest.raises(EnvironmentFault, match=official.SHA256) as e:
        load_suite("vbench")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(e.value)
    assert load_suite(str(path)).name == "VBench_full_info"


@dataclass
class Pip:
    """A pip that delivers a wheel with `data` as `member`, or the file `wheel`, or fails."""

    data: bytes = b"[]"
    member: str = official.MEMBER
    wheel: bytes | None = None
    stderr: str = ""
    fault: Exception | None = None
    calls: int = 0

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        assert (command[0], command[-1]) == (sys.executable, "vbench==0.1.5")
        assert {"--only-binary", "--no-deps"} <= set(command)
        if self.fault:
            raise self.fault
        path = Path(command[command.index("--dest") + 1]) / "vbench-0.1.5-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(self.member, self.data)
            wheel.writestr("../outside", b"never unpacked")
        if self.wheel is not None:
            path.write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, int(bool(self.stderr)), "", self.stderr)


@pytest.fixture
def pip(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    fake = Pip()
    monkeypatch.setattr(subprocess, "run", fake.run)
    return fake


def trust(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(official, "SIZE", len(data))


def test_pull(
    pip: Pip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [entry("é — a lake", "temporal_flickering", "scene"), entry("a dog", "color")]
    pip.data = json.dumps(entries, ensure_ascii=False, indent=4).encode().replace(b"\n", b"\r\n")
    trust(pip.data, monkeypatch)
    assert run("pull") == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == official.cache_path() == official.locate()
    assert path.read_bytes() == pip.data
    assert [p.name for p in path.parent.iterdir()] == [official.FILE]
    found = load_suite("vbench")
    assert (found.name, [found.samples(p) for p in found.prompts]) == ("vbench", [25, 5])
    official.pull()
    assert pip.calls == 1  # a right file is not fetched again
    path.write_bytes(b"damaged")
    official.pull()
    assert path.read_bytes() == pip.data


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, official.SHA256),
        ({}, hashlib.sha256(b"[]").hexdigest()),
        ({"data": b" " * 50_000_000}, f"{official.SIZE + 1} bytes"),  # 50 kB in the wheel
        ({"wheel": b"not a zip"}, "does not hold"),
        ({"member": "vbench/other.json"}, "does not hold"),
        ({"stderr": "WARNING: x\n\nERROR: No matching distribution\n"}, "No matching distribution"),
        ({"stderr": "ERROR: offline"}, f"copy {official.MEMBER} from that wheel to"),
        ({"fault": FileNotFoundError(2, "gone")}, "pip could not download"),
        ({"fault": subprocess.TimeoutExpired("pip", 600)}, "pip could not download"),
    ],
)
def test_pull_refuses(pip: Pip, changes: dict[str, Any], said: str) -> None:
    for name, value in changes.items():
        setattr(pip, name, value)
    with pytest.raises(EnvironmentFault) as caught:
        official.pull()
    assert said in str(caught.value)
    assert not official.cache_path().exists()


def test_pull_into_a_place_that_cannot_be_written(
    pip: Pip, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(pip.data, monkeypatch)
    put(empty_home / ".cache")  # a file where the folder should be
    with pytest.raises(EnvironmentFault, match="cannot be stored"):
        official.pull()


# Our own prompts

COCO, COLOURS = set(GOLDEN["coco"]), set(GOLDEN["colours"])
SIDES = {f"on the {side} of" for side in ("left", "right", "top", "bottom")}
LONG = load_suite("long")
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


# The command


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(arguments))


def test_list_names_every_suite(
    empty_home: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(suite.suite_names())
    assert lines[1].split()[:4] == ["long", "60", "60", "16"]
    assert lines[2].split()[:4] == ["mini", "8", "8", "7"]
    assert "vbench-long prompts pull" in caplog.text


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("show", "long", "--dimension", "color") == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [text for _, text in rows] == [p.text for p in LONG.serving("color")]
    assert {dimensions for dimensions, _ in rows} == {"color,object_class"}
    with pytest.raises(UsageError, match="did you mean 'color'"):
        run("show", "long", "--dimension", "colour")


def test_show_json_can_be_read_back(capsys: pytest.CaptureFixture[str], write: WriteSuite) -> None:
    assert run("show", "long", "--json") == 0
    assert load_suite(write(capsys.readouterr().out.encode())).prompts == LONG.prompts


def test_the_command_is_cheap_to_describe() -> None:
    code = "import sys, vbench_long.cli.prompts; print('vbench_long.prompts' in sys.modules)"
    root = str(Path(__file__).parents[1])
    environment = {"PYTHONPATH": root, "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
