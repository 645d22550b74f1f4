"""What a run is told to do and cost: counted work, memory, what nobody can tell, and the text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar
from unittest.mock import patch

import numpy as np
import pytest
import torch
from conftest import moving_frames
from grit_cases import Eager, TinyGrit
from semantic_cases import SmallClipStyle, SmallTag2Text, SmallUmt, SmallViClip
from torch.utils.flop_counter import FlopCounterMode
from vit_cases import SmallAesthetic, SmallClip, SmallDino, SmallDinoV2, SmallDreamSim

from vbench_long import products
from vbench_long.cli import main
from vbench_long.cli.estimates import measured, told
from vbench_long.dimensions import BACKBONES, DIMENSIONS, VideoFacts
from vbench_long.dimensions.backbones.amt import AmtS
from vbench_long.dimensions.backbones.base import Compute
from vbench_long.dimensions.backbones.grit.backbone import Expected
from vbench_long.dimensions.backbones.musiq import MusiqSpaq
from vbench_long.dimensions.backbones.raft import Raft
from vbench_long.dimensions.backbones.rehearsal import Live, Rehearsal
from vbench_long.dimensions.base import CHECKPOINTS
from vbench_long.evaluation import Networks, RunConfig, evaluate, forecast
from vbench_long.evaluation.costs import Costs
from vbench_long.evaluation.estimate import Ahead, Estimate, Part, estimate
from vbench_long.store import load_run
from vbench_long.video import Frame
from vbench_long.weights.seeded import SeededWeights

CPU = Compute(torch.device("cpu"))
SIZE = (128, 160)
MakeVideo = Callable[..., Path]


class ShortRaft(Raft):
    settings = replace(Raft.settings, iterations=2)


NETWORKS = {
    SmallDino: 1, SmallDinoV2: 1, SmallDreamSim: 1, SmallClip: 1, SmallAesthetic: 1,
    SmallClipStyle: 1, SmallUmt: 16, SmallViClip: 8, ShortRaft: 2, AmtS: 3, MusiqSpaq: 1,
}  # fmt: skip


def noise(count: int, size: tuple[int, int] = SIZE) -> list[Frame]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8)
    return [Frame(i, rgb) for i, rgb in enumerate(pixels)]


def worked(kind: type, frames: int, weights: SeededWeights) -> tuple[float, int]:
    """What torch counts while the network looks at one call's items: FLOP per item, peak bytes."""
    network = kind(weights, CPU)
    shown = noise(network.batch + frames - 1)
    items = [tuple(shown[i : i + frames]) for i in range(network.batch)]
    parts = [v for v in vars(network).values() if isinstance(v, torch.nn.Module)]
    with (
        Live([t for part in parts for t in part.state_dict(keep_vars=True).values()]) as live,
        FlopCounterMode(display=False) as flop,
        patch.object(products, "_ONEDNN", False),
    ):
        network(items)
    return flop.get_total_flops() / network.batch, live.peak


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_rehearsal_counts_what_a_call_does(kind: type) -> None:
    flop, peak = worked(kind, NETWORKS[kind], SeededWeights())
    cost = Rehearsal(CPU, (), "trained").cost("it", kind, SIZE, NETWORKS[kind], [""])
    assert cost is not None and cost.flop == flop
    assert cost.passing == pytest.approx(peak, rel=0.15)


class ShortTag2Text(SmallTag2Text):
    rules = replace(SmallTag2Text.rules, longest=12)
    cpu_batch = 2


def test_captions_are_taken_to_be_as_long_as_they_may_be() -> None:
    flop, _ = worked(ShortTag2Text, 1, SeededWeights())
    cost = Rehearsal(CPU, (), "trained").cost("it", ShortTag2Text, SIZE, 1, [""])
    assert cost is not None and cost.flop == pytest.approx(flop, rel=0.1)


class OneFrame(TinyGrit):
    def __init__(self, weights: SeededWeights, compute: Compute) -> None:
        super().__init__(weights, compute)
        self.batch = 1


def test_grit_is_taken_to_find_what_it_expects() -> None:
    found = TinyGrit(Eager(), CPU).look([(noise(1)[0],)], ["captions"])[0]
    assert len(found)

    class Told(OneFrame):
        expected = Expected(len(found), 4, 4)

    flop, _ = worked(OneFrame, 1, Eager())
    rehearsal = Rehearsal(CPU, (), "trained")
    names, captions, both = (
        rehearsal.cost("it", Told, SIZE, 1, views)
        for views in (["objects"], ["captions"], ["captions", "objects"])
    )
    assert captions is not None and captions.flop == pytest.approx(flop, rel=0.2)
    assert names is not None and names.flop < both.flop == captions.flop


def test_made_up_weights_find_and_say_as_much_as_they_may() -> None:
    most, usual = (
        Rehearsal(CPU, (), weights).cost("it", OneFrame, SIZE, 1, ["captions"])
        for weights in ("made up", "trained")
    )
    assert most is not None and usual is not None and most.flop > 2 * usual.flop


def test_weights_of_two_networks_count_once() -> None:
    rehearsal = Rehearsal(CPU, {"clip_vitb32"}, "trained")
    first = rehearsal.cost("clip", SmallClip, SIZE, 1, [""])
    second = rehearsal.cost("style", SmallClipStyle, SIZE, 1, [""])
    again = rehearsal.cost("clip", SmallClip, (96, 96), 1, [""])
    alone = Rehearsal(CPU, (), "trained").cost("style", SmallClipStyle, SIZE, 1, [""])
    own = SmallClip(SeededWeights(), CPU).tower.state_dict().values()
    assert first.weights == first.read == sum(tensor.nbytes for tensor in own)
    assert second.weights == alone.weights - first.weights
    assert again.weights == again.read == 0


def test_frames_keep_what_raft_leaves_with_them() -> None:
    cost = Rehearsal(CPU, (), "trained").cost("raft", ShortRaft, SIZE, 2, [""])
    pixels = SIZE[0] * SIZE[1]
    assert cost.kept == pytest.approx(3 * pixels + 4 * 256 * pixels / 64, rel=0.05)


class _Own:
    """A backbone of another package, which says nothing of what it costs."""

    batch = 4

    def __call__(self, items: Sequence[tuple[Frame, ...]]) -> list[np.ndarray]:
        return [np.zeros(2) for _ in items]


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    entry = EntryPoint(name, value, "vbench_long.backbones")
    monkeypatch.setitem(BACKBONES._entries, name, entry)


def ahead(names: Sequence[str], backend: str, frames: int = 24) -> Ahead:
    facts = VideoFacts(SIZE[1], SIZE[0], Fraction(8), "a cat")
    return Ahead(facts, frames, 2.0, tuple(DIMENSIONS.get(name)(backend) for name in names))


def test_backbones_nobody_can_estimate_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "own", f"{__name__}:_Own")

    class Flickering(DIMENSIONS.get("temporal_flickering")):
        backbones: ClassVar = {"classical": {"pair": "own"}}

    video = ahead(["imaging_quality"], "classical")
    video = replace(video, dimensions=(*video.dimensions, Flickering("classical")))
    found = estimate([video], 3, Networks())
    assert found.unknown == ["own"]
    assert "not estimated: own" in told(found)
    known, own = found.parts
    assert (known.items, own.items, own.seen) == (3 * 24, 3 * 23, 3 * 24)
    assert known.seconds > 0 and own.seconds is None


def test_networks_cost_their_work_over_their_share_of_the_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stand_in(monkeypatch, "clip_vitb32", "vit_cases:SmallClip")
    stand_in(monkeypatch, "dreamsim", "vit_cases:SmallDreamSim")
    monkeypatch.setattr("vbench_long.evaluation.probes.product_rate", lambda *_: 1e9)
    monkeypatch.setattr("vbench_long.evaluation.probes.seeded_bytes_per_second", lambda: 1e6)
    networks = Networks("seeded", "cpu")
    found = estimate([ahead(["background_consistency"], "reference")], 2, networks)
    dreamsim, clip = found.parts
    cost = Rehearsal(CPU, (), "trained").cost("clip", SmallClip, SIZE, 1, [""])
    assert (clip.items, dreamsim.items) == (2 * 24, 2 * 2)
    assert clip.seconds == pytest.approx(48 * cost.flop / 1e9 / SmallClip.efficiency)
    assert clip.loading == pytest.approx(cost.read / 1e6)
    monkeypatch.setattr("vbench_long.evaluation.probes.product_rate", lambda *_: 2e9)
    faster = estimate([ahead(["background_consistency"], "reference")], 2, networks)
    assert faster.parts[1].seconds == pytest.approx(clip.seconds / 2)
    assert found.device == "cpu" and found.memory > clip.weights + clip.passing


def test_every_network_says_what_share_of_the_rate_it_reaches() -> None:
    for name in CHECKPOINTS:
        assert 0 < BACKBONES.get(name).efficiency <= 1, name


def test_a_clip_that_moves_is_settled_early() -> None:
    part = estimate([ahead(["dynamic_degree"], "classical", 48)], 1, Networks()).parts[0]
    assert (part.items, part.most) == (3 * 4, 3 * 15)


def test_the_plan_says_what_the_run_then_does(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("a-0.mp4", 40, folder=tmp_path / "v")
    make_video("a-1.mp4", moving_frames(33, seed=1), folder=tmp_path / "v")
    config = RunConfig(tmp_path / "run", videos=tmp_path / "v")
    plans: list[Estimate] = []
    dry = forecast(config)
    assert not config.output.exists()
    outcome = evaluate(replace(config, samples=1), on_plan=plans.append)
    assert plans[0].videos == 1 and plans[0].frames == 40
    for part in plans[0].parts:
        done = outcome.counts.items[part.name]
        assert part.items <= done <= part.most if part.name == "dis_flow" else part.items == done
    assert (dry.videos, dry.frames) == (2, 73) and dry.unknown == []

    costs = load_run(config.output).manifest.costs
    assert costs["backbones"].keys() == {part.name for part in plans[0].parts}
    assert costs["dimensions"].keys() == set(load_run(config.output).manifest.dimensions)
    evaluate(config, on_plan=plans.append)
    assert (plans[1].videos, plans[1].frames) == (1, 33)
    both = load_run(config.output).manifest.costs
    assert both["seconds"] > costs["seconds"] and both["memory"] >= costs["memory"]
    evaluate(config, on_plan=plans.append)
    assert told(plans[2]) == "plan: nothing is left to do"


def test_a_run_stored_before_costs_were_is_read(tmp_path: Path, make_video: MakeVideo) -> None:
    make_video("a-0.mp4", folder=tmp_path / "v")
    config = RunConfig(tmp_path / "run", videos=tmp_path / "v", dimensions=("imaging_quality",))
    evaluate(config)
    path = config.output / "run.json"
    stored = json.loads(path.read_text())
    del stored["costs"]
    path.write_text(json.dumps(stored))
    assert load_run(config.output).manifest.costs == {}
    evaluate(config)
    assert load_run(config.output).manifest.costs["seconds"] > 0


TEXT = """\
plan: 2 videos, 98 frames, 720x480; networks on cpu
  raft                  26 frames, 24 x 2        21 MB     72 s  dynamic_degree
  grit                  32 frames               824 MB        ?  object_class, color
not estimated: grit
estimate: 72 s (up to 4.2 min if nothing in the videos moves); memory 2.5 GB"""


def test_the_text_of_a_plan() -> None:
    raft = Part("raft", ("dynamic_degree",), 26, 24, 2, 96, 60.0, 12.0, 21_000_000)
    grit = Part("grit", ("object_class", "color"), 32, 32, 1, 32, weights=824_000_000)
    found = Estimate(2, 98, (480, 720), "cpu", 4e11, (raft, grit), 0.4, 2_500_000_000)
    assert told(found) == TEXT
    assert measured(Costs(80.0, memory=2_400_000_000), found) == (
        "took 80 s; memory 2.4 GB (estimate: 72 s; memory 2.5 GB)"
    )
    on_gpu = told(replace(found, device="cuda", device_memory=3_000_000_000))
    assert "memory 2.5 GB, 3.0 GB on the device" in on_gpu


def test_the_command_tells_before_and_after(
    tmp_path: Path, make_video: MakeVideo, capsys: pytest.CaptureFixture[str]
) -> None:
    make_video("a-0.mp4", folder=tmp_path / "v")
    command = ["evaluate", "--videos", str(tmp_path / "v"), "--output", str(tmp_path / "run")]
    command += ["--dimensions", "imaging_quality", "--report", str(tmp_path / "report.json")]
    assert main([*command, "--dry-run"]) == 0
    plan = capsys.readouterr().out
    assert plan.startswith("plan: 1 video, 24 frames, 64x48\n  image_defects         24 frames")
    assert not (tmp_path / "run").exists() and not (tmp_path / "report.json").exists()
    assert main(command) == 0
    told = capsys.readouterr().err
    assert told.index("plan: 1 video") < told.index("[1/1] a-0.mp4") < told.index("took ")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["estimate"]["parts"][0]["items"] == report["items"]["image_defects"] == 24
    assert report["costs"]["backbones"] == report["seconds"]
