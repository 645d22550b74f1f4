"""Making videos: what is planned, resumed, refused and written beside each video."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from conftest import moving_frames
from generation_cases import (
    TINY,
    Register,
    contents,
    fake,
    faked,
    hidden,
    read,
    rows,
    synthetic,
)

from vbench_long.errors import RunError, UsageError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.generation import GenerateConfig, Generated, forecast, generate
from vbench_long.evaluation.making import Making
from vbench_long.evaluation.samples import SEED_STRIDE, from_suite
from vbench_long.evaluation.video_folder import VideoFolder, sidecar_of
from vbench_long.generators import Outline
from vbench_long.prompts import Prompt, Suite, load_suite
from vbench_long.provenance import environment
from vbench_long.video import Encoding, file_sha256

__all__ = ["fake"]
MakeVideo = Callable[..., Path]


# --- what is planned -------------------------------------------------------------------------


def test_samples_and_seeds_are_those_of_the_benchmark() -> None:
    """Five of each prompt, 25 of those for flicker, seeds by position in the whole suite."""
    prompts = (
        Prompt("a", ("color",)),
        Prompt("b", ("temporal_flickering", "scene")),
        Prompt("c", ("color",)),
    )
    suite = Suite("vbench", "0", prompts, 5, {"temporal_flickering": 25})
    planned = from_suite(suite, None, None, None, 7)
    assert [(s.prompt, s.index) for s in planned] == [
        (p, i) for p, n in (("a", 5), ("b", 25), ("c", 5)) for i in range(n)
    ]
    assert all(s.seed == 7 + 100_000 * "abc".index(s.prompt) + s.index for s in planned)
    some = from_suite(suite, ["color"], None, 2, 7)
    assert [(s.prompt, s.seed) for s in some] == [
        ("a", 7), ("a", 8), ("c", 200_007), ("c", 200_008),
    ]  # fmt: skip


def test_the_official_suite_asks_for_its_counts(tmp_path: Path) -> None:
    entry = {"prompt_en": "x", "dimension": ["temporal_flickering"]}
    (tmp_path / "own.json").write_text(json.dumps([entry]))
    own = load_suite(str(tmp_path / "own.json"))
    official = replace(own, samples_per_prompt=5, samples_per_dimension={"temporal_flickering": 25})
    assert len(from_suite(own, None, None, None, 0)) == 1
    assert len(from_suite(official, None, None, None, 0)) == 25


def test_dimensions_choose_prompts_without_moving_seeds(tmp_path: Path) -> None:
    suite = load_suite("long")
    name = next(d for d in suite.dimensions if len(suite.serving(d)) < len(suite.prompts))
    whole = forecast(GenerateConfig(tmp_path, "synthetic", TINY))
    some = forecast(GenerateConfig(tmp_path, "synthetic", TINY, dimensions=(name,)))
    assert (whole.prompts, some.prompts) == (len(suite.prompts), len(suite.serving(name)))
    seeds = {s.prompt: s.seed for s in from_suite(suite, None, None, None, 0)}
    assert all(seeds[s.prompt] == s.seed for s in from_suite(suite, [name], None, None, 0))


# --- what is written -------------------------------------------------------------------------


def test_a_folder_of_videos_says_how_they_were_made(tmp_path: Path) -> None:
    done = generate(synthetic(tmp_path / "out", seed=5, samples=2))
    assert done == Generated(tmp_path / "out" / "manifest.csv", 6, 0, {})
    suite = load_suite("mini")
    expected = [(p.text, i, 5 + SEED_STRIDE * n + i)
                for n, p in enumerate(suite.prompts[:3]) for i in range(2)]  # fmt: skip
    found = rows(tmp_path / "out")
    assert [(r["prompt"], int(r["index"]), int(r["seed"])) for r in found] == expected
    for row, (prompt, index, seed) in zip(found, expected, strict=True):
        video = tmp_path / "out" / row["path"]
        said = read(sidecar_of(video))
        assert said["request"] == {
            "prompt": prompt, "index": index, "seed": seed, "negative_prompt": "", "image": "",
        }  # fmt: skip
        assert said["sha256"] == file_sha256(video)
        assert (said["width"], said["height"], said["frames"], said["fps"]) == (32, 32, 4, "8")
        assert said["generator"] == "synthetic" and said["settings"]["seconds"] == 0.5
        assert said["environment"] == environment() and said["seconds"] > 0
        with av.open(str(video)) as container:
            (stream,) = container.streams.video
            assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
    about = read(tmp_path / "out" / "generation.json")
    assert about["suite"] == {"name": "mini", "sha256": suite.sha256}
    assert about["counts"] == {"made": 6, "failed": 0, "missing": 0}
    assert (about["status"], about["seed"], about["failures"]) == ("complete", 5, [])
    assert hidden(tmp_path / "out") == set()


def test_prompts_of_any_script_and_all_options_reach_the_generator(
    tmp_path: Path, fake: Register
) -> None:
    kind = fake(outline=lambda self: Outline(16, 16, 4, takes_image=True))
    prompts = ("一只猫在雨中行走", "кот под дождём", "../../etc/passwd", "=cmd()", '"a", b')
    picture = moving_frames(1)[0]
    cv2.imwrite(str(tmp_path / "first.png"), picture[..., ::-1])
    generate(
        faked(tmp_path / "out", *prompts, negative_prompt="blur", image=tmp_path / "first.png")
    )
    asked = kind.built[0].asked
    assert [(r.prompt, r.negative_prompt) for r in asked] == [(p, "blur") for p in prompts]
    assert all(np.array_equal(r.image, picture) for r in asked)
    assert [row["prompt"] for row in rows(tmp_path / "out")] == list(prompts)
    assert {f.parent for f in tmp_path.rglob("*.mp4")} == {tmp_path / "out"}
    said = read(sidecar_of(tmp_path / "out" / rows(tmp_path / "out")[0]["path"]))
    assert len(said["request"]["image"]) == 64
    with pytest.raises(UsageError, match=r"\(negative_prompt: 'blur' -> ''"):
        generate(faked(tmp_path / "out", *prompts, image=tmp_path / "first.png"))
    with pytest.raises(UsageError, match=r"\(image: '[0-9a-f]{64}' -> ''"):
        generate(faked(tmp_path / "out", *prompts, negative_prompt="blur"))


# --- again -----------------------------------------------------------------------------------


def test_the_same_call_makes_nothing_twice_and_more_prompts_are_added(
    tmp_path: Path, fake: Register
) -> None:
    kind = fake()
    out = tmp_path / "out"
    generate(GenerateConfig(out, "fake", suite="mini", limit=2))
    before = contents(out)
    again = generate(GenerateConfig(out, "fake", suite="mini", limit=2))
    assert (again.made, again.there) == (0, 2) and contents(out) == before
    more = generate(GenerateConfig(out, "fake", suite="mini", limit=3))
    assert (more.made, more.there) == (1, 2)
    assert [len(g.asked) for g in kind.built] == [2, 0, 1]
    fewer = generate(GenerateConfig(out, "fake", suite="mini", limit=1))
    assert (fewer.made, fewer.there) == (0, 1)
    assert len(rows(out)) == 3, "what earlier calls made stays in the list"
    assert read(out / "generation.json")["counts"]["made"] == 3


def test_own_prompts_can_be_added_to(tmp_path: Path, fake: Register) -> None:
    fake()
    generate(faked(tmp_path, "a"))
    assert generate(faked(tmp_path, "a", "b")).made == 1
    assert [(r["prompt"], r["seed"]) for r in rows(tmp_path)] == [("a", "0"), ("b", "100000")]
    with pytest.raises(UsageError, match=r"request\.seed: 100000 -> 0"):
        generate(faked(tmp_path, "b", "a"))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"model_args": {**TINY, "seconds": "0.25"}}, r"settings\.seconds: 0\.5 -> 0\.25"),
        ({"suite": "long"}, r"suite\.name: 'mini' -> 'long'"),
        ({"negative_prompt": "blur"}, "negative_prompt"),
    ],
)
def test_videos_made_otherwise_are_never_mixed(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    config = synthetic(tmp_path, limit=1)
    generate(config)
    before = contents(tmp_path)
    for call in (generate, forecast):
        with pytest.raises(UsageError, match=says):
            call(replace(config, **change))
    assert contents(tmp_path) == before
    assert read(tmp_path / "generation.json")["status"] == "complete"
    assert generate(config).there == 1, "the lock was given back"


def test_an_encoder_that_changed_is_another_video(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate(synthetic(tmp_path, limit=1))
    monkeypatch.setattr(
        "vbench_long.evaluation.making.Encoding",
        lambda: Encoding(threads=2),
    )
    with pytest.raises(UsageError, match=r"encoding\.threads: 1 -> 2"):
        generate(synthetic(tmp_path, limit=1))


def test_videos_of_unknown_origin_are_left_alone(tmp_path: Path, make_video: MakeVideo) -> None:
    config = synthetic(tmp_path / "out", limit=2)
    generate(config)
    (first, second) = [tmp_path / "out" / row["path"] for row in rows(tmp_path / "out")]
    sidecar_of(second).unlink()
    with pytest.raises(UsageError, match="unknown origin"):
        generate(config)
    second.unlink()
    assert generate(config).made == 1
    said = read(sidecar_of(first))
    sidecar_of(first).write_text(json.dumps(said | {"settings": {}}))
    with pytest.raises(UsageError, match=r"made otherwise \(settings\."):
        generate(config)
    sidecar_of(first).write_text("{")
    with pytest.raises(RunError, match="damaged"):
        generate(config)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.csv").write_text("path,prompt\na.mp4,a\n")
    with pytest.raises(UsageError, match=r"manifest\.csv of unknown origin"):
        generate(synthetic(tmp_path / "mine"))
    assert (tmp_path / "mine" / "manifest.csv").read_text() == "path,prompt\na.mp4,a\n"


def test_a_video_that_was_changed_is_a_failure(tmp_path: Path, make_video: MakeVideo) -> None:
    config = synthetic(tmp_path / "out", limit=2)
    generate(config)
    name = rows(tmp_path / "out")[0]["path"]
    shutil.copyfile(make_video(), tmp_path / "out" / name)
    done = generate(config)
    assert (done.made, done.there) == (0, 1)
    assert "changed since it was made" in done.failures[name]
    assert read(tmp_path / "out" / "generation.json")["counts"] == {
        "made": 1, "failed": 1, "missing": 0,
    }  # fmt: skip
    (tmp_path / "out" / name).unlink()
    assert generate(config).failures == {}


def test_one_process_at_a_time(tmp_path: Path, fake: Register) -> None:
    kind = fake()
    samples = from_suite(load_suite("mini"), None, 1, None, 0)
    with VideoFolder(tmp_path / "videos", Making("fake", kind({}), 0, load_suite("mini")), samples):
        for call in (
            lambda: generate(GenerateConfig(tmp_path / "videos", "fake", suite="mini", limit=1)),
            lambda: evaluate(RunConfig(tmp_path, model="fake", suite="mini", limit=1)),
        ):
            with pytest.raises(RunError, match="another process is making videos here"):
                call()


def test_videos_of_untrained_weights_are_known_by_the_files_beside_them(
    tmp_path: Path, fake: Register
) -> None:
    """Judged by folder, by manifest, or moved elsewhere with or without all that lay beside."""

    def said(videos: Path) -> bool:
        one = ("temporal_flickering",)
        run = evaluate(RunConfig(tmp_path / f"run {videos.name}", videos=videos, dimensions=one))
        return bool(run.run.manifest.protocol["untrained"])

    fake(settings=lambda self: {"untrained": True})
    out = tmp_path / "out"
    generate(faked(out, "a", "b"))
    assert said(out) and said(out / "manifest.csv")
    moved = tmp_path / "moved"
    moved.mkdir()
    for file in [*out.glob("*.mp4"), *out.glob("*-0.json")]:
        (moved / file.name).write_bytes(file.read_bytes())
    assert said(moved)
    for beside in ('{"settings": "mine"}', "no JSON", '["untrained"]'):
        shutil.rmtree(tmp_path / "run moved")
        for file in moved.glob("*.json"):
            file.write_text(beside)
        assert not said(moved)
    fake()
    generate(faked(tmp_path / "trained"))
    assert not said(tmp_path / "trained")
