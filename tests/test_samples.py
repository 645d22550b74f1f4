"""Where the samples of a run come from: folders, manifests, suites."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from vbench_long.dimensions import DIMENSIONS
from vbench_long.errors import UsageError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.samples import file_name, from_videos
from vbench_long.evaluation.verify import verify
from vbench_long.records import Status

ALL = tuple(n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones)
MakeVideo = Callable[..., Path]


def test_manifests_name_prompts_exactly(tmp_path: Path, make_video: MakeVideo) -> None:
    hostile = 'a/b ../c "q" \U0001f600 <script>alert(1)</script> =1+1 ' + "x" * 4000
    make_video("v.mp4", folder=tmp_path / "sub")
    make_video("w.mp4", folder=tmp_path / "sub")
    rows = [
        {"path": "sub/v.mp4", "prompt": hostile, "index": 3, "seed": 12},
        {"path": "sub/w.mp4", "prompt": hostile},
        {"path": "sub/gone.mp4", "prompt": "another"},
    ]
    manifest = tmp_path / "list.jsonl"
    manifest.write_text("\n".join(json.dumps(row) for row in rows))
    config = RunConfig(tmp_path / "run", videos=manifest, dimensions=("temporal_flickering",))
    run = evaluate(config).run
    assert [(s.prompt, s.index, s.seed) for s in run.samples] == [
        (hostile, 3, 12), (hostile, 4, None), ("another", 0, None),
    ]  # fmt: skip
    assert [r.status for r in run.records] == [Status.OK, Status.OK, Status.MISSING]
    assert verify(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("m.csv", "", "lacks the columns"),
        ("m.csv", "file,prompt\na,b\n", "lacks the columns"),
        ("m.csv", "path,prompt\n", "lists no video"),
        ("m.csv", "path,prompt\nv.mp4,\n", "line 2"),
        ("m.csv", "path,prompt,index\nv.mp4,p,one\n", "'one' is not a whole number"),
        ("m.csv", "path,prompt,index\nv.mp4,p,-1\n", "below 0"),
        ("m.csv", "path,prompt\nv.mp4,p\nv.mp4,q\n", "twice"),
        ("m.jsonl", '{"path": "v.mp4", "prompt": "p"}\n{oops\n', "line 2"),
        ("m.jsonl", "[1]\n", "not a JSON object"),
        ("m.jsonl", '{"path": "v.mp4", "prompt": "p", "index": 1.5}\n', "whole number"),
    ],
)
def test_bad_manifests_name_the_line(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        from_videos(tmp_path / name, None, ALL, None, None)


def test_limit_and_samples(tmp_path: Path, make_video: MakeVideo) -> None:
    for prompt in "abc":
        for index in range(3):
            make_video(f"{prompt}-{index}.mp4", 2, folder=tmp_path)
    planned = from_videos(tmp_path, None, ALL, 2, 2)
    assert [s.video for s in planned.samples] == ["a-0.mp4", "a-1.mp4", "b-0.mp4", "b-1.mp4"]


def test_nothing_to_judge_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no video"):
        evaluate(RunConfig(tmp_path / "run", videos=tmp_path))
    with pytest.raises(UsageError, match="no such folder"):
        evaluate(RunConfig(tmp_path / "run", videos=tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()


def test_file_names_are_safe_for_any_prompt() -> None:
    for prompt in ("../../etc/passwd", "a" * 4000, "\U0001f600", "CON", "=cmd()", "x\x00y"):
        name = file_name(prompt, 3)
        assert len(name) <= 110 and name.endswith("-3.mp4")
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") and ".." not in name
    assert file_name("A b", 0) != file_name("a b", 0)
