"""Before a run: the videos of a suite are all there, and enough is known of every prompt."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import moving_frames
from prompt_cases import AUXILIARY, entry

from vbench_long.dimensions.temporal_flickering import TemporalFlickering
from vbench_long.errors import UsageError
from vbench_long.evaluation import Networks, RunConfig, evaluate
from vbench_long.evaluation.asked import plan_samples
from vbench_long.evaluation.checks import ask, require_whole
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.samples import Planned, file_name, from_videos
from vbench_long.manifests import list_suite_videos, list_videos
from vbench_long.prompts import Prompt, Suite
from vbench_long.prompts.auxiliary import AUXILIARY_COLUMNS
from vbench_long.records import Sample, Status

MakeVideo = Callable[..., Path]
FLICKER = "temporal_flickering"


def suite_of(name: str, samples: int = 2, **prompts: tuple[str, ...]) -> Suite:
    return Suite(name, "", tuple(Prompt(t, d) for t, d in prompts.items()), samples)


def check(folder: Path, suite: Suite, partial: bool = False) -> Planned:
    planned = from_videos(folder, suite, suite.dimensions, None, None)
    require_whole(planned, suite, folder, None, partial)
    return planned


# The videos of a suite.


@pytest.fixture
def whole(tmp_path: Path, make_video: MakeVideo) -> Path:
    """Two videos of 6 s for each of the prompts "cat" and "dog"."""
    for name in ("cat-0", "cat-1", "dog-0", "dog-1"):
        make_video(f"{name}.mp4", moving_frames(12, 32, 32), fps=2, folder=tmp_path / "v")
    return tmp_path / "v"


PETS = suite_of("vbench", cat=(FLICKER,), dog=(FLICKER,))


def test_a_whole_suite_says_nothing(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(check(whole, PETS).samples) == 4
    assert not caplog.messages


def test_everything_wrong_is_one_error(
    whole: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    (whole / "cat-1.mp4").unlink()
    (whole / "cat-0.mp4").rename(whole / "Cat-0.mp4")
    make_video("dog-0.mkv", moving_frames(12, 32, 32), fps=2, folder=whole)
    make_video("dog-1.mp4", moving_frames(3, 32, 32), fps=2, folder=whole)
    make_video("dog-2.mp4", moving_frames(12, 32, 32), fps=2, folder=whole)
    with pytest.raises(UsageError) as caught:
        check(whole, PETS)
    said = str(caught.value)
    for part in (
        "samples without a video: 2 of 5 (sample 0 of 'cat', sample 1 of 'cat')",
        "videos that claim a sample which another claims too: 2 (dog-0.mkv, dog-0.mp4)",
        "videos shorter than a clip of 2 s: 1 (dog-1.mp4)",
        "videos that belong to no sample of it: 2 (Cat-0.mp4, dog-2.mp4)",
        "--partial",
        str(whole),
    ):
        assert part in said, said
    planned = check(whole, PETS, partial=True)
    assert caplog.messages == [caught.value.what]
    problems = [planned.problems[s.video].status for s in planned.samples[:4]]
    assert problems == [Status.MISSING, Status.MISSING, Status.FAILED, Status.FAILED]


def test_what_changes_no_score_stops_nothing(
    whole: Path, make_video: MakeVideo, caplog: pytest.LogCaptureFixture
) -> None:
    make_video("dog-1.mp4", moving_frames(9, 32, 32), fps=2, folder=whole)
    (whole / "cat-1.mp4").write_bytes(b"no video")
    (whole / "foreign-0.mp4").write_bytes(b"no video")
    check(whole, PETS)
    (said,) = caplog.messages
    assert "videos that belong to no sample of it: 1 (foreign-0.mp4)" in said
    assert "videos shorter than the 5 s that make a long one: 1 (" in said


def test_a_suite_of_ones_own_may_have_short_videos(whole: Path, make_video: MakeVideo) -> None:
    make_video("dog-1.mp4", moving_frames(3, 32, 32), fps=2, folder=whole)
    check(whole, suite_of("ours", cat=(FLICKER,), dog=(FLICKER,)))
    with pytest.raises(UsageError, match="shorter than a clip"):
        check(whole, PETS)


def test_less_may_be_asked_for(whole: Path, caplog: pytest.LogCaptureFixture) -> None:
    (whole / "dog-1.mp4").unlink()
    for limit, samples, count in ((1, None, 2), (None, 1, 2)):
        planned = from_videos(whole, PETS, [FLICKER], limit, samples)
        require_whole(planned, PETS, whole, None, False)
        assert len(planned.samples) == count
    assert not caplog.messages


def test_what_a_package_adds_judges_a_suite_only_if_it_is_named() -> None:
    added = type("Added", (TemporalFlickering,), {"name": "added"})
    dimensions = [added("classical"), TemporalFlickering("classical")]
    suite = suite_of("ours", 1, cat=("scene",), dog=(FLICKER,))
    for named, expected in (
        ((), {"dog": (FLICKER,)}),
        (("added", FLICKER), {"cat": ("added",), "dog": ("added", FLICKER)}),
    ):
        config = RunConfig(Path("run"), model="synthetic", dimensions=named)
        samples = plan_samples(config, suite, dimensions).samples
        assert {s.prompt: s.dimensions for s in samples} == expected


def test_a_suite_decides_what_is_judged_and_what_is_missing(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    suite = tmp_path / "suite.json"
    suite.write_text(
        json.dumps(
            [
                {"prompt_en": "a cat", "dimension": ["temporal_flickering", "scene"],
                 "auxiliary_info": {"scene": {"scene": {"scene": "alley"}}}},
                {"prompt_en": "a dog", "dimension": ["imaging_quality"]},
            ]
        )
    )  # fmt: skip
    make_video("a cat-0.mp4", folder=tmp_path / "v")
    make_video("a bird-0.mp4", folder=tmp_path / "v")
    config = RunConfig(tmp_path / "run", videos=tmp_path / "v", suite=str(suite))
    with pytest.raises(UsageError, match="samples without a video: 1 of 2"):
        evaluate(config)
    run = evaluate(replace(config, partial=True)).run
    found = [
        (s.video, r.dimension, r.status)
        for s in run.samples
        for r in run.records
        if r.video == s.video
    ]
    assert found == [
        ("a cat-0.mp4", "temporal_flickering", Status.OK),
        (file_name("a dog", 0), "imaging_quality", Status.MISSING),
    ]
    make_video("a dog-0.mp4", folder=tmp_path / "v")
    run = evaluate(config).run
    assert [(r.video, r.status) for r in run.records] == [
        ("a cat-0.mp4", Status.OK), ("a dog-0.mp4", Status.OK),
    ]  # fmt: skip


# A folder for every dimension.


def test_the_official_folders(tmp_path: Path, make_video: MakeVideo) -> None:
    """In two folders a prompt has two videos, each judged on what its folder is for."""
    for name in ("scene/alley", "overall_consistency/bund", "appearance_style/bund", "top"):
        make_video(f"{Path(name).name}-0.mp4", 2, folder=tmp_path / Path(name).parent)
    (tmp_path / "scene" / "notes.txt").write_text("left out")
    suite = suite_of(
        "vbench", 1,
        alley=("background_consistency", "scene"),
        bund=("imaging_quality", "appearance_style", "overall_consistency"),
        top=("imaging_quality",),
    )  # fmt: skip
    planned = from_videos(tmp_path, suite, suite.dimensions, None, None)
    assert not planned.problems and not planned.extra
    assert {s.video: s.dimensions for s in planned.samples} == {
        "scene/alley-0.mp4": ("background_consistency", "scene"),
        "overall_consistency/bund-0.mp4": ("imaging_quality", "overall_consistency"),
        "appearance_style/bund-0.mp4": ("appearance_style",),
        "top-0.mp4": ("imaging_quality",),
    }
    assert all(Path(s.path).is_file() for s in planned.samples)


def test_a_folder_of_its_own_goes_before_the_shared_one(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    for folder in ("scene", "background_consistency"):
        make_video("alley-0.mp4", 2, folder=tmp_path / folder)
    suite = suite_of("vbench", 1, alley=("background_consistency", "scene"))
    planned = from_videos(tmp_path, suite, suite.dimensions, None, None)
    assert {s.video: s.dimensions for s in planned.samples} == {
        "background_consistency/alley-0.mp4": ("background_consistency",),
        "scene/alley-0.mp4": ("scene",),
    }
    make_video("alley-0.mkv", 2, folder=tmp_path / "scene")
    planned = from_videos(tmp_path, suite, suite.dimensions, None, None)
    assert len(planned.problems) == 3, "which one is meant is not clear"


def test_such_folders_need_a_suite(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("alley-0.mp4", 2, folder=tmp_path / "scene")
    assert [s.video for s in list_suite_videos(tmp_path)] == ["scene/alley-0.mp4"]
    with pytest.raises(UsageError, match="read with a --suite"):
        list_videos(tmp_path)


def test_a_run_of_the_official_folders(tmp_path: Path, make_video: MakeVideo) -> None:
    entries = [entry("alley", "scene", "background_consistency"), entry("dog", FLICKER)]
    (tmp_path / "ours.json").write_text(json.dumps(entries))
    make_video("alley-0.mp4", folder=tmp_path / "v" / "scene")
    make_video("dog-0.mp4", folder=tmp_path / "v" / FLICKER)
    config = RunConfig(tmp_path / "run", videos=tmp_path / "v", suite=str(tmp_path / "ours.json"))
    run = evaluate(config).run
    assert {(r.video, r.dimension): r.status for r in run.records} == {
        ("scene/alley-0.mp4", "background_consistency"): Status.OK,
        (f"{FLICKER}/dog-0.mp4", FLICKER): Status.OK,
    }


# What must be known of a prompt.

TOLD = {
    "object_class": "dog",
    "multiple_objects": "dog and cat",
    "color": "red",
    "spatial_relationship": "dog on the left of cat",
    "scene": "alley",
    "appearance_style": "oil painting",
    "human_action": "Riding a bike",
}


def manifest(folder: Path, form: str, *rows: dict[str, Any]) -> Path:
    path = folder / f"list.{form}"
    if form == "jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
        return path
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "prompt", *AUXILIARY_COLUMNS])
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_manifest_tells_all_in_columns_or_in_the_official_form(tmp_path: Path) -> None:
    assert set(TOLD) == set(AUXILIARY_COLUMNS)
    row = {"path": "v.mp4", "prompt": "a dog"}
    (flat,) = list_videos(manifest(tmp_path, "csv", row | TOLD))
    official = AUXILIARY | {"human_action": {"action": "Riding a bike"}}
    assert flat.auxiliary == official
    (nested,) = list_videos(manifest(tmp_path, "jsonl", row | {"auxiliary_info": official}))
    assert nested.auxiliary == official
    (bare,) = list_videos(manifest(tmp_path, "csv", row))
    assert bare.auxiliary == {}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"spatial_relationship": "dog near cat"}, "is no relation.*'bicycle on the left of car'"),
        ({"scene": "two\nlines"}, "line end"),
        ({"color": 7}, "color is not a text"),
        ({"auxiliary_info": []}, ""),
        ({"auxiliary_info": "red"}, "not an object"),
        ({"auxiliary_info": {"colour": {"color": "red"}}}, "did you mean 'color'"),
        ({"auxiliary_info": {"color": {"colour": "red"}}}, r"needs auxiliary_info color\.color"),
        ({"auxiliary_info": {"color": {"color": "red"}}, "color": "red"}, "told twice"),
    ],
)
def test_what_a_manifest_tells_wrongly_is_named(
    tmp_path: Path, told: dict[str, Any], said: str
) -> None:
    path = manifest(
        tmp_path, "jsonl", {"path": "v.mp4", "prompt": "p"}, {"path": "w", "prompt": "q"} | told
    )
    if not said:
        assert list_videos(path)[1].auxiliary == {}
        return
    with pytest.raises(UsageError, match=said) as caught:
        list_videos(path)
    assert "line 2" in str(caught.value)


SEMANTIC = (*TOLD, "temporal_style", "overall_consistency")


def asked(*samples: Sample, named: tuple[str, ...] = (), suite: Suite | None = None) -> Any:
    dimensions = choose_dimensions(SEMANTIC, "reference")
    planned, lacks = ask(Planned(samples, {}), dimensions, named, suite)
    return [set(sample.dimensions) for sample in planned.samples], lacks


@pytest.mark.parametrize("prompt", ["a quiet street", "静かな通り", "word " * 300])
def test_who_is_told_nothing_is_not_asked(prompt: str) -> None:
    told = Sample("a", prompt, 0, "", dimensions=SEMANTIC, auxiliary=AUXILIARY)
    bare = Sample("b", prompt + "!", 0, "", dimensions=SEMANTIC)
    (all_but_one, two), lacks = asked(told, bare)
    assert all_but_one == {*SEMANTIC} - {"human_action"}
    assert two == {"temporal_style", "overall_consistency"}
    assert not any(lack.wanted for lack in lacks)
    assert {lack.dimension: len(lack.prompts) for lack in lacks} == {
        **dict.fromkeys(AUXILIARY, 1), "human_action": 2,
    }  # fmt: skip
    lines = {lack.dimension: str(lack) for lack in lacks}
    assert lines["color"].startswith("color is not judged for 1 of 2 prompts: '")
    assert lines["color"].endswith("the prompt's auxiliary information has no color")


def test_who_is_wanted_stays_and_is_recorded() -> None:
    bare = Sample("b", "a street", 0, "", dimensions=SEMANTIC)
    for names, suite in (("color", "scene"), None), ((), suite_of("ours")):
        ((kept,), lacks) = asked(bare, named=names, suite=suite)
        wanted = {*names} or {*TOLD}
        assert kept == {*wanted, "temporal_style", "overall_consistency"}
        assert {lack.dimension for lack in lacks if lack.wanted} == wanted
        assert "recorded as missing, for 1 of 1 prompts" in str(lacks[-1]) or names
    teal = Sample(
        "b", "a teal street", 0, "", dimensions=SEMANTIC, auxiliary={"color": {"color": "teal"}}
    )
    ((kept,), lacks) = asked(teal)
    assert "color" in kept, "who tells a colour wants it judged"
    assert "'teal' is none of the colours" in next(str(one) for one in lacks if one.wanted)


def test_what_is_missing_is_recorded_prompt_by_prompt(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    """Nothing of the video is computed for it."""
    make_video("a street-0.mp4", folder=tmp_path / "v")
    config = RunConfig(
        tmp_path / "run", videos=tmp_path / "v", backend="reference",
        dimensions=(FLICKER, "color"), networks=Networks("seeded", "cpu"),
    )  # fmt: skip
    outcome = evaluate(config)
    records = {r.dimension: r for r in outcome.run.records}
    assert records[FLICKER].status is Status.OK
    assert records["color"].status is Status.MISSING and "has no color" in records["color"].error
    assert not outcome.counts.loads.get("grit")
    scores = (tmp_path / "run" / "scores.csv").read_text()
    assert "color,,,0,0,0,1,0" in scores


def test_other_words_about_a_video_are_another_question(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video("v.mp4", folder=tmp_path)
    config = RunConfig(tmp_path / "run", videos=tmp_path / "list.csv", dimensions=(FLICKER,))
    row = {"path": "v.mp4", "prompt": "a dog", "color": "red"}
    for changed, judged in (({}, 1), ({}, 0), ({"color": "blue"}, 1), ({"prompt": "a cat"}, 1)):
        row |= changed
        manifest(tmp_path, "csv", row)
        outcome = evaluate(config)
        assert sum(outcome.counts.decodes.values()) == judged
    (sample,) = outcome.run.samples
    assert (sample.prompt, sample.auxiliary) == ("a cat", {"color": {"color": "blue"}})
