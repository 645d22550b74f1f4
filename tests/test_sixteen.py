"""All sixteen dimensions in one run, and what the leaderboard makes of it, whole and in parts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from sixteen_cases import AUXILIARY, PROMPTS, SMALL, TEN_SECONDS, SmallNetworks, picture, suite

from vbench_long.cli import main
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.evaluate import Outcome
from vbench_long.evaluation.runner import Runner
from vbench_long.evaluation.verify import verify
from vbench_long.leaderboard.scores import score_run, totals
from vbench_long.leaderboard.tables import run_summary, run_summary_text
from vbench_long.prompts import OFFICIAL_DIMENSIONS
from vbench_long.records import Sample, Status
from vbench_long.store import Store, load_run
from vbench_long.video import Encoding, write_video


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcome]:
    """A complete run: one prompt in two clips of 2 s, one in a clip of 10 s."""
    folder = tmp_path_factory.mktemp("sixteen")
    (folder / "v").mkdir()
    lossless = Encoding("libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"})
    for prompt in PROMPTS:
        write_video(folder / "v" / f"{prompt}-0.mp4", [picture()] * 6, Fraction(2), lossless)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # Nets this small are slower on two, where others compute besides.
    yield evaluate(
        RunConfig(
            folder / "run", videos=folder / "v", suite=str(suite(folder)), backend="reference",
            networks=SmallNetworks(trained=True),
        )
    )  # fmt: skip
    torch.set_num_threads(threads)


@pytest.fixture
def copied(outcome: Outcome, tmp_path: Path) -> Path:
    return Path(shutil.copytree(outcome.run.folder, tmp_path / "run"))


def test_one_command_judges_all_sixteen(outcome: Outcome) -> None:
    run, counts = outcome.run, outcome.counts
    assert run.manifest.status == "complete" and run.manifest.counts == {"ok": 16}
    assert [r.dimension for r in run.records if r.video.startswith(PROMPTS[1])] == sorted(
        TEN_SECONDS
    )
    assert {r.dimension for r in run.records} == {*OFFICIAL_DIMENSIONS}
    assert counts.decodes == {f"{prompt}-0.mp4": 1 for prompt in PROMPTS}
    assert counts.frames == {f"{prompt}-0.mp4": 6 for prompt in PROMPTS}
    assert counts.loads == {**dict.fromkeys(SMALL, 1), "pixel_difference": 1}
    clips = {r.dimension: len(r.parts["clips"]) for r in run.records}
    assert clips == {name: 1 if name in TEN_SECONDS else 2 for name in OFFICIAL_DIMENSIONS}
    assert verify(run.folder) == []


SEMANTIC = OFFICIAL_DIMENSIONS[7:]


@pytest.mark.parametrize(("height", "width"), [(3840, 2160), (160, 128)], ids=["4K", "small"])
def test_two_frames_of_a_tall_video_are_enough(height: int, width: int, tmp_path: Path) -> None:
    """Shorter than every sampling asks for, and higher than wide."""
    rgb = np.full((height, width, 3), 90, np.uint8)
    write_video(tmp_path / "v.mp4", [rgb] * 2, Fraction(8), Encoding())
    sample = Sample("v", "A person is riding a bike", 0, "", auxiliary=AUXILIARY)
    runner = Runner(choose_dimensions(SEMANTIC, "reference"), SmallNetworks(trained=True))
    records = {r.dimension: r for r in runner.judge(sample, tmp_path / "v.mp4", SEMANTIC)}
    assert {r.error for r in records.values() if r.status is Status.FAILED} == set()
    assert {name for name in SEMANTIC if records[name].status is Status.OK} >= {
        *TEN_SECONDS, "object_class", "multiple_objects", "scene", "appearance_style",
    }  # fmt: skip


def test_a_complete_run_has_its_totals(outcome: Outcome) -> None:
    row = score_run(outcome.run)
    assert row.status == "complete"
    expected = totals({s.dimension: s.score for s in row.scores})
    assert row.totals == expected and not expected.missing
    assert None not in (expected.quality, expected.semantic, expected.total)
    assert expected.total == pytest.approx((4 * expected.quality + expected.semantic) / 5)
    text = run_summary_text(outcome.run)
    for name in ("Quality", "Semantic", "Total"):
        assert f"\n{name} " in text
    assert "not shown" not in text


def test_every_command_takes_it(
    outcome: Outcome, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, whole = str(outcome.run.folder), run_summary(outcome.run)
    assert main(["leaderboard", run, "--output", str(tmp_path / "board")]) == 0
    (group,) = json.loads((tmp_path / "board" / "leaderboard.json").read_text())["groups"]
    (row,) = group["rows"]
    for name in ("quality", "semantic", "total"):
        assert row[name]["score"] == whole[name]
    assert "not shown" not in capsys.readouterr().out
    assert main(["compare", run, run, "--output", str(tmp_path / "gate")]) == 0
    assert main(["export", run, "--output", str(tmp_path / "sent")]) == 0
    (sent,) = (tmp_path / "sent").glob("*.zip")
    assert main(["import", str(sent), "--output", str(tmp_path / "theirs")]) == 0
    theirs = run_summary(load_run(tmp_path / "theirs"))
    assert theirs["dimensions"].keys() == whole["dimensions"].keys()
    for name in ("quality", "semantic", "total"):
        assert theirs[name] == pytest.approx(whole[name], abs=1e-9)


@pytest.mark.parametrize(
    ("status", "dimension", "group"),
    [(Status.MISSING, "color", "Semantic"), (Status.FAILED, "dynamic_degree", "Quality")],
)
def test_a_partial_run_has_none(
    copied: Path, status: Status, dimension: str, group: str,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (record,) = (r for r in load_run(copied).records if r.dimension == dimension)
    with Store(copied) as store:
        store.put([replace(record, status=status, value=None, error="planted", parts={})])
    run = load_run(copied)
    text = " ".join(run_summary_text(run).split())
    assert f"{group} not shown: needs all videos of {dimension}" in text
    assert f"Total not shown: needs {group}" in text
    assert run_summary(run)["total"] is None
    assert main(["leaderboard", str(copied), "--output", str(tmp_path / "board")]) == 0
    assert "Total not shown" in " ".join(capsys.readouterr().out.split())
    assert main(["leaderboard", str(copied), "--partial", "--output", str(tmp_path / "part")]) == 0
    assert "partial, 15 of 16" in " ".join(capsys.readouterr().out.split())


def test_made_up_weights_are_named_and_have_no_totals(
    copied: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = load_run(copied).manifest
    with Store(copied) as store:
        store.write_manifest(replace(manifest, protocol={**manifest.protocol, "untrained": True}))
    run = load_run(copied)
    assert "no Quality, Semantic, Total: untrained weights" in run_summary_text(run)
    assert run_summary(run)["total"] is None
    out = ["--output", str(tmp_path / "out")]
    assert main(["leaderboard", str(copied), *out]) == 2
    assert "untrained weights" in capsys.readouterr().err
    assert main(["compare", str(copied), str(copied), *out]) == 0
    told = capsys.readouterr()
    assert "untrained weights" in told.out + told.err
