"""Networks in the runner: same records however they run, one load, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import moving_frames
from torch import Tensor

from vbench_long.dimensions import DIMENSIONS
from vbench_long.evaluation import Networks, RunConfig, evaluate
from vbench_long.evaluation.runner import Runner
from vbench_long.evaluation.verify import verify
from vbench_long.records import Sample
from vbench_long.store import load_run
from vbench_long.weights.base import SharedWeights
from vbench_long.weights.seeded import SeededWeights

MakeVideo = Callable[..., Path]


@pytest.mark.slow
def test_networks_give_the_same_records_in_any_order_and_after_a_stop(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    """MUSIQ with made-up weights, the smallest network that goes through the whole way."""
    for index in range(2):
        make_video(f"a-{index}.mp4", moving_frames(4, 96, 64, index), folder=tmp_path / "v")
    (tmp_path / "list.csv").write_text("path,prompt,index\nv/a-1.mp4,a,1\nv/a-0.mp4,a,0\n")
    networks = Networks(weights="seeded", device="cpu")
    common = {"backend": "reference", "dimensions": ("imaging_quality",), "networks": networks}

    def values(config: RunConfig) -> dict[int, float | None]:
        run = evaluate(config).run
        indices = {sample.video: sample.index for sample in run.samples}
        return {indices[record.video]: record.value for record in run.records}

    whole = RunConfig(tmp_path / "whole", videos=tmp_path / "v", **common)
    first = replace(whole, output=tmp_path / "stopped", samples=1)
    assert list(values(first)) == [0]
    assert values(replace(first, samples=None)) == values(whole)
    assert values(RunConfig(tmp_path / "turned", videos=tmp_path / "list.csv", **common)) == values(
        whole
    )
    run = load_run(tmp_path / "whole")
    assert run.manifest.protocol["untrained"] is True
    assert {record.identity for record in run.records} == {
        "imaging_quality/reference/1/fp32/seeded"
    }
    assert verify(tmp_path / "whole") == []


def test_out_of_memory_halves_the_call_and_changes_nothing(make_video: MakeVideo) -> None:
    from vbench_long.dimensions.classical.descriptors import SubjectDescriptor
    from vbench_long.evaluation.networks import Networks as Real

    class Tight(Real):
        def build(self, name: str) -> object:
            return _Tight(SubjectDescriptor())

    path = make_video(frames=20)
    dimension = DIMENSIONS.get("subject_consistency")("classical")
    sample = Sample("v", "p", 0, "", dimensions=(dimension.name,))
    roomy = Runner([dimension]).judge(sample, path, sample.dimensions)[0]
    runner = Runner([dimension], Tight())
    tight = runner.judge(sample, path, sample.dimensions)[0]
    assert tight.value == roomy.value
    assert runner.counts.items["subject_descriptor"] == 20


class _Tight:
    """A backbone on a device with room for three items."""

    def __init__(self, inner: Callable) -> None:
        self.inner, self.batch = inner, 16

    def __call__(self, items: list) -> list:
        if len(items) > 3:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20 GiB")
        return self.inner(items)


class _Counted(SeededWeights):
    """Counts how often each checkpoint is read."""

    def __init__(self) -> None:
        self.loads: Counter[str] = Counter()

    def load(
        self, name: str, wanted: Mapping[str, Tensor], ignored: tuple[str, ...] = ()
    ) -> dict[str, Tensor]:
        self.loads[name] += 1
        return super().load(name, wanted, ignored)


def test_a_checkpoint_of_two_networks_is_read_and_kept_once() -> None:
    source = _Counted()
    shared = SharedWeights(source, {"both"})
    whole = {key: torch.empty(3, 4, device="meta") for key in ("a.weight", "b.weight", "c.weight")}
    part = {key: whole[key] for key in ("a.weight", "b.weight")}
    first = {name: shared.load(name, whole) for name in ("both", "alone")}
    second = {name: shared.load(name, part, ("^c",)) for name in ("both", "alone")}
    assert source.loads == {"both": 1, "alone": 2}
    assert second["both"].keys() == part.keys()
    for key in part:
        assert second["both"][key].data_ptr() == first["both"][key].data_ptr()
        assert torch.equal(second["alone"][key], first["alone"][key])


def test_a_shared_checkpoint_is_read_again_for_what_the_first_network_left_out() -> None:
    source = _Counted()
    shared = SharedWeights(source, {"both"})
    part = {"a.weight": torch.empty(3, 4, device="meta")}
    whole = {**part, "b.weight": torch.empty(2, device="meta")}
    shared.load("both", part, ("^b",))
    assert shared.load("both", whole).keys() == whole.keys()
    assert source.loads == {"both": 2}


@pytest.mark.full
def test_dreamsim_lies_on_dino_where_the_adapter_changes_nothing() -> None:
    networks = Networks(weights="seeded", device="cpu")
    dino, dreamsim = (networks.build(name) for name in ("dino_vitb16", "dreamsim"))
    own, shared = (net.state_dict() for net in (dino.vit, dreamsim.dino))
    for key, tensor in shared.items():
        adapted = key.endswith("attn.qkv.weight")
        assert (tensor.data_ptr() == own[key].data_ptr()) != adapted
