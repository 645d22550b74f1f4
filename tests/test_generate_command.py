"""`vbench-long generate` as a user meets it, and the videos of other generators."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_frames
from generation_cases import TINY, Fake, Register, contents, fake, faked, hidden, read, rows

from vbench_long.cli import main, progress
from vbench_long.errors import GenerationError, UsageError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.generation import GenerateConfig, generate
from vbench_long.evaluation.video_folder import sidecar_of
from vbench_long.generators import GENERATORS, Outline, Request
from vbench_long.prompts.words import PROMPT_LIMIT
from vbench_long.records import Status
from vbench_long.video import Image

__all__ = ["fake"]
ROOT = Path(__file__).resolve().parents[1]
MakeVideo = Callable[..., Path]
SMALL = ",".join(f"{name}={value}" for name, value in TINY.items())


def command(output: Path, *more: object) -> list[str]:
    arguments = ("generate", "--model", "synthetic", "--model-args", SMALL, "--output", output)
    return [str(part) for part in (*arguments, *more)]


def call(*arguments: object, **more: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "vbench_long", *map(str, arguments)]
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False, **more)


# --- from prompts to scores ------------------------------------------------------------------


def test_generated_videos_are_judged_as_those_of_evaluate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By folder or manifest, with the suite or without; `evaluate --model` makes the same files."""
    out = tmp_path / "out"
    assert main(command(out, "--suite", "mini", "--limit", "2")) == 0
    printed = capsys.readouterr()
    assert "2 made, 0 there before, 0 failed" in printed.out
    assert f"evaluate --videos {out}" in printed.out
    assert "[1/2] " in printed.err and "[2/2] " in printed.err
    one = {"dimensions": ("temporal_flickering",)}
    suite = {"suite": "mini", "limit": 2}
    made = evaluate(RunConfig(tmp_path / "a", model="synthetic", model_args=TINY, **suite, **one))
    assert contents(tmp_path / "a" / "videos") == contents(out)
    said = [read(sidecar_of(f / rows(out)[0]["path"])) for f in (tmp_path / "a" / "videos", out)]
    assert said[0]["request"] == said[1]["request"]
    by_suite = evaluate(RunConfig(tmp_path / "b", videos=out, **suite, **one))
    by_manifest = evaluate(RunConfig(tmp_path / "c", videos=out / "manifest.csv", **one))
    scores = [(r.video, r.value, r.sha256) for r in made.run.records]
    for other in (by_suite, by_manifest):
        assert [(r.video, r.value, r.sha256) for r in other.run.records] == scores
    again = evaluate(RunConfig(tmp_path / "a", model="synthetic", model_args=TINY, **suite, **one))
    assert not again.counts.decodes


def test_failures_end_with_3_and_are_missing_when_judged(
    tmp_path: Path, fake: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    def act(self: Fake, request: Request) -> None:
        if request.prompt == "b":
            raise ValueError("planted")

    fake(act=act)
    line = ["generate", "--model", "fake", "--prompt", "a", "--prompt", "b"]
    assert main([*line, "--output", str(tmp_path / "out")]) == 3
    printed = capsys.readouterr()
    assert "1 made, 0 there before, 1 failed" in printed.out
    assert printed.err.count("ValueError: planted") == 1
    one = ("temporal_flickering",)
    run = evaluate(RunConfig(tmp_path / "run", videos=tmp_path / "out", dimensions=one)).run
    assert [r.status for r in run.records] == [Status.OK, Status.MISSING]
    model = RunConfig(tmp_path / "own", model="fake", suite="mini", limit=1, dimensions=one)
    assert [r.status for r in evaluate(model).run.records] == [Status.OK]


def test_a_dry_run_says_what_would_be_made_and_writes_nothing(
    tmp_path: Path, fake: Register, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    line = command(out, "--suite", "mini", "--limit", "3", "--samples", "2")
    assert main([*line, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "6 videos of 3 prompts with synthetic: 0 are in" in printed and "6 to make" in printed
    assert "each 32x32, 4 frames, 0.5 s at 8 fps" in printed and "time: unknown" in printed
    assert not out.exists()
    assert main([*line[:-1], "1"]) == 0
    capsys.readouterr()
    before = {file: file.read_bytes() for file in out.iterdir()}
    assert main([*line, "--dry-run"]) == 0
    assert (
        "3 are in" in (printed := capsys.readouterr().out) and "as the 3 in the folder" in printed
    )
    assert {file: file.read_bytes() for file in out.iterdir()} == before
    known = Outline(768, 432, 40, seconds=90.0, memory=21_500_000_000)
    fake(outline=lambda self: known)
    assert main(["generate", "--model", "fake", "--output", str(out / "x"), "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "60 videos of 60 prompts" in printed and "each 768x432, 40 frames, 5 s at 8" in printed
    assert "time: 90 min (90 s a video, an estimate)" in printed and "memory: 21.5 GB" in printed


# --- progress --------------------------------------------------------------------------------


def test_steps_are_told_and_frames_where_there_are_none(tmp_path: Path, fake: Register) -> None:
    outline = {"outline": lambda self: Outline(16, 16, 4)}
    told: list[tuple[int, int]] = []
    videos: list[tuple[int, int, str]] = []

    def images(self: Fake, request: Request) -> Iterator[Image]:
        for done in (1, 2, 3):
            request.report(done, 3)
        yield from Fake.images(self, request)

    def make(folder: str) -> list[tuple[int, int]]:
        told.clear()
        videos.clear()
        note = lambda *of: videos.append(of)  # noqa: E731
        generate(faked(tmp_path / folder, "a"), note, lambda *of: told.append(of))
        assert [v[:2] for v in videos] == [(0, 1), (1, 1)]
        return told

    fake(**outline)
    assert make("frames") == [(1, 4), (2, 4), (3, 4), (4, 4)]
    fake(images=images, **outline)
    assert make("steps") == [(1, 3), (2, 3), (3, 3)]
    fake()
    assert make("nothing") == []


def test_a_request_for_another_process_leaves_its_report_behind() -> None:
    picture = moving_frames(1)[0]
    request = Request("a", 1, 2, "b", picture, report=lambda done, steps: None)
    copy = pickle.loads(pickle.dumps(request))
    assert (copy.prompt, copy.seed, copy.index, copy.negative_prompt) == ("a", 1, 2, "b")
    assert np.array_equal(copy.image, picture)
    copy.report(1, 2)


def test_lines_of_progress_come_now_and_then_with_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    with progress.shown() as shown:
        shown.video(0, 2, "first")
        for step in range(1, 101):
            clock[0] += 1
            shown.step(step, 100)
        shown.video(1, 2, "second")
        shown.video(2, 2, "")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "[1/2] first" and lines[-1] == "[2/2] second, about 100 s left"
    assert lines[1] == "  step 10/100, about 90 s left" and len(lines) == 12


def test_bars_on_a_terminal_show_videos_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.shown() as shown:
        shown.video(0, 2, "first")
        for step in range(1, 5):
            shown.step(step, 4)
        shown.video(1, 2, "second")
        shown.video(2, 2, "")
    assert "2/2" in screen.getvalue() and "second" in screen.getvalue()


# --- other generators ------------------------------------------------------------------------


def test_folder_hands_out_the_files_themselves(tmp_path: Path, make_video: MakeVideo) -> None:
    source = tmp_path / "there"
    for index in range(2):
        make_video(f"a cat-{index}.mp4", moving_frames(4, seed=index), folder=source)
    config = GenerateConfig(
        tmp_path / "out", "folder", {"path": str(source)}, prompts=("a cat", "a dog"), samples=2
    )
    done = generate(config)
    assert (done.made, len(done.failures)) == (2, 2)
    assert all("there is no video for sample" in why for why in done.failures.values())
    for row in rows(tmp_path / "out")[:2]:
        file = source / f"a cat-{row['index']}.mp4"
        assert (tmp_path / "out" / row["path"]).read_bytes() == file.read_bytes()
    make_video("a dog-0.mkv", 4, folder=source)
    (source / "a dog-1.mp4").write_bytes(b"no video")
    reasons = " ".join(generate(config).failures.values())
    assert "mp4 files only" in reasons and "not a readable video" in reasons
    assert hidden(tmp_path / "out") == set() and len(list((tmp_path / "out").glob("*.mp4"))) == 2


def test_folder_reads_manifests_and_refuses_what_is_not_clear(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    first, second = (make_video(f"{name}.mp4", folder=tmp_path / "sub") for name in "vw")
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"path,prompt\nsub/{first.name},a/b: long\nsub/{second.name},c\n")
    create = GENERATORS.get("folder")
    assert create({"path": str(manifest)}).generate(Request("a/b: long", 3)) == first
    manifest.write_text("path,prompt,index\nsub/v.mp4,a,0\nsub/w.mp4,a,0\n")
    for options, says in {
        "path": "two videos claim sample 0",
        "pat": "did you mean 'path'",
        "": "say where the videos are",
    }.items():
        with pytest.raises(UsageError, match=says):
            create({options: str(manifest)} if options else {})
    with pytest.raises(UsageError, match="no such folder"):
        create({"path": str(tmp_path / "nowhere")})


def test_generators_of_other_packages_go_the_same_way(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(
        "from fractions import Fraction\nimport numpy as np\n"
        "class Grey:\n"
        "    fps = Fraction(8)\n"
        "    def settings(self): return {'level': 9}\n"
        "    def generate(self, request):\n"
        "        for _ in range(4): yield np.full((16, 16, 3), 9, np.uint8)\n"
        "def create(options): return Grey()\n"
    )
    info = tmp_path / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[vbench_long.generators]\ngrey = other:create\nbroken = no_such_module:create\n"
    )
    paths = os.pathsep.join((str(tmp_path), os.environ.get("PYTHONPATH", "")))
    env = {**os.environ, "PYTHONPATH": paths}
    out = tmp_path / "out"
    done = call("generate", "--model", "grey", "--prompt", "a", "--output", out, env=env)
    assert done.returncode == 0, done.stderr
    assert read(out / "generation.json")["settings"] == {"level": 9}
    done = call("generate", "--model", "broken", "--prompt", "a", "--output", out, env=env)
    assert done.returncode == 4 and done.stderr.count("\n") == 1, done.stderr
    assert "no_such_module" in done.stderr


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (("--prompt", ""), 2, "not a text with words"),
        (("--prompt", " \t"), 2, "not a text with words"),
        (("--prompt", "two\nlines"), 2, "line end or control character"),
        (("--prompt", "x" * (PROMPT_LIMIT + 1)), 2, "10001 characters; 10000 are the most"),
        (("--negative-prompt", "\x1b[31m"), 2, "the negative prompt has a line end or control"),
        (("--prompt", "a", "--suite", "mini"), 2, "both --prompt and --suite"),
        (("--prompt", "a", "--dimensions", "scene"), 2, "both --prompt and --dimensions"),
        (("--dimensions", "scen"), 2, "did you mean 'scene'"),
        (("--model", "syntetic"), 2, "did you mean 'synthetic'"),
        (("--suite", "lng"), 2, "unknown suite 'lng'"),
        (("--suite", "nowhere.json"), 2, "no such suite file"),
        (("--seed", "-1"), 2, "--seed -1 is not possible; give a number from 0 to"),
        (("--seed", 2**63), 2, "is not possible; give a number from 0 to 9223372036848875807"),
        (("--samples", "0"), 2, "--samples 0"),
        (("--samples", "100001"), 2, "--samples 100001; give a number from 1 to 100000"),
        (("--limit", "0"), 2, "--limit 0"),
        (("--model-args", "width"), 2, "'width' has no value"),
        (("--model-args", "width=32,width=64"), 2, "names 'width' twice"),
        (("--model-args", "widht=32"), 2, "did you mean 'width'"),
        (("--model-args", "width=0"), 2, "width=0 is not possible"),
        (("--checkpoint", "somewhere"), 2, "unknown option of synthetic 'checkpoint'"),
        (("--image", "nowhere.png"), 2, "the image cannot be read (No such file or directory)"),
        (("--image", __file__), 2, "the image does not decode"),
    ],
)
def test_bad_input_ends_in_one_error(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[object, ...],
    code: int,
    says: str,
) -> None:
    for dry in ((), ("--dry-run",)):
        assert main(command(tmp_path / "out", *more, *dry)) == code
        printed = capsys.readouterr()
        assert says in printed.err and printed.err.count("\n") == 1 and not printed.out
        assert not (tmp_path / "out").exists()


def test_an_image_needs_a_generator_that_starts_from_one(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "first.png"), moving_frames(1)[0])
    assert main(command(tmp_path / "out", "--image", tmp_path / "first.png")) == 2
    assert "synthetic starts from no image" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    file = make_video("a-0.mp4", folder=tmp_path / "there")
    with pytest.raises(GenerationError, match="folder starts from no image"):
        GENERATORS.get("folder")({"path": str(file)}).generate(
            Request("a", 0, image=moving_frames(1)[0])
        )


def test_checkpoint_is_an_option_of_the_generator(tmp_path: Path, fake: Register) -> None:
    kind = fake()
    line = ["generate", "--model", "fake", "--prompt", "a", "--output", str(tmp_path / "o")]
    assert main([*line, "--checkpoint", "a,b=c", "--model-args", "kind=odd"]) == 0
    assert kind.built[0].options == {"kind": "odd", "checkpoint": "a,b=c"}
    assert main([*line, "--checkpoint", "x", "--model-args", "checkpoint=y"]) == 2
    run = ["evaluate", "--model", "fake", "--suite", "mini", "--limit", "1", "--checkpoint", "d"]
    run += ["--dimensions", "temporal_flickering", "--output", str(tmp_path / "run")]
    assert main(run) == 0 and kind.built[-1].options == {"checkpoint": "d"}
    assert main(["evaluate", "--videos", str(tmp_path / "o"), *run[-2:], "--checkpoint", "d"]) == 2


def test_an_output_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(command(tmp_path / "file" / "out", "--prompt", "a")) == 4
    assert capsys.readouterr().err.count("error:") == 1


def test_a_full_disk_ends_in_one_error_and_the_call_goes_on(tmp_path: Path) -> None:
    def limit_file_size() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    big = "width=128,height=96,seconds=2,fps=8"
    line = ("generate", "--model", "synthetic", "--model-args", big, "--prompt", "a", "--output")
    full = call(*line, tmp_path / "out", preexec_fn=limit_file_size)
    assert full.returncode == 4, full.stderr
    assert full.stderr.count("error:") == 1 and "Traceback" not in full.stderr
    assert not list((tmp_path / "out").glob("*.mp4")) and hidden(tmp_path / "out") == set()
    assert call(*line, tmp_path / "out").returncode == 0


# --- kills -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_kill_9_loses_the_video_it_was_at(tmp_path: Path) -> None:
    more = ("--model-args", "width=128,height=96,seconds=3,fps=8", "--limit", 12)
    assert call(*command(tmp_path / "whole", *more)).returncode == 0
    rng, kills, out = random.Random(0), 0, tmp_path / "out"
    line = [sys.executable, "-m", "vbench_long", *command(out, *more)]
    while True:
        process = subprocess.Popen(line, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        for _ in range(rng.randrange(1, 4)):
            process.stderr.readline()
        try:
            code = process.wait(rng.uniform(0.0, 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            for video in out.glob("*.mp4"):
                if not video.name.startswith("."):
                    assert json.loads(sidecar_of(video).read_text())["video"] == video.name
            continue
        assert code == 0
        break
    assert kills >= 3
    assert contents(out) == contents(tmp_path / "whole") and hidden(out) == set()
    assert read(out / "generation.json")["counts"] == {"made": 12, "failed": 0, "missing": 0}
