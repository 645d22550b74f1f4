"""Checkpoints are read without trust, and strictly."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from weight_cases import (
    COUNTER,
    TENSORS,
    digest,
    put,
    record,
    saved,
    stored,
    zipped,
)

from vbench_long.errors import EnvironmentFault
from vbench_long.weights import catalog
from vbench_long.weights.base import Weights
from vbench_long.weights.checkpoint import Url
from vbench_long.weights.seeded import SeededWeights
from vbench_long.weights.stored import StoredWeights

pytestmark = pytest.mark.usefixtures("home")


# ------------------------------------------------------------------------------------ reading them


def test_stored_and_seeded_are_weights() -> None:
    sources: list[Weights] = [StoredWeights(), SeededWeights()]
    assert [source.untrained for source in sources] == [False, True]


@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors", "safetensors named .pth"])
def test_every_form_gives_the_same_tensors(tmp_path: Path, form: str) -> None:
    if form.startswith("safetensors"):
        save_file(TENSORS, tmp_path / f"tiny.{'pth' if 'named' in form else 'safetensors'}")
    else:
        saved(tmp_path / "tiny.pth", _use_new_zipfile_serialization=form == "zip")
    own = stored(tmp_path)
    got = own.load("tiny", TENSORS)
    assert list(got) == list(TENSORS)
    assert all(torch.equal(got[key], TENSORS[key]) for key in TENSORS)


def test_dtype_is_the_wanted_one(tmp_path: Path) -> None:
    saved(tmp_path / "tiny.pth", {"x": torch.ones(2).half(), "n": torch.tensor(3)})
    weights = stored(tmp_path)
    got = weights.load("tiny", {"x": torch.empty(2, device="meta"), "n": torch.tensor(0)})
    assert got["x"].dtype == torch.float32 and got["x"].device.type == "cpu"
    with pytest.raises(EnvironmentFault, match=r"unfit n \(\) int64 instead of \(\) float32"):
        weights.load("tiny", {"x": torch.empty(2), "n": torch.tensor(0.0)})


@pytest.mark.filterwarnings("ignore:Validating sparse")
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a.weight": TENSORS["a.weight"]}, "lacks a.bias"),
        (TENSORS | COUNTER | {"m": torch.ones(1)}, "has unknown n, m"),
        (TENSORS | {"a.bias": torch.ones(4)}, r"unfit a.bias \(4,\) float32 instead of \(3,\)"),
        (TENSORS | {"a.bias": [1, 1, 1]}, "unfit a.bias list instead of"),
        (TENSORS | {"a.bias": torch.ones(3).to_sparse()}, "unfit a.bias"),
        ({str(i): torch.ones(1) for i in range(9)}, "lacks a.weight, a.bias; has unknown 0, 1, 2 "),
        ({str(i): torch.ones(1) for i in range(9)}, "and 6 more"),
        ([1, 2], "holds no state dict"),
        (TENSORS | {"a.bias": torch.tensor([1, float("nan"), 1])}, "NaN or infinity in a.bias"),
        (TENSORS | {"a.bias": torch.tensor([1, float("inf"), 1])}, "NaN or infinity in a.bias"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, content: object, message: str) -> None:
    saved(tmp_path / "own.pth", content)
    entry = record(name="own")
    with pytest.raises(EnvironmentFault, match=message):
        StoredWeights(tmp_path, {"own": entry}).load("own", TENSORS)


def test_ignored_keys_are_dropped(tmp_path: Path) -> None:
    saved(tmp_path / "tiny.pth", TENSORS | COUNTER | {"head.n": torch.ones(1)})
    weights = stored(tmp_path)
    assert list(weights.load("tiny", TENSORS, (r"head\..*", "n"))) == list(TENSORS)
    with pytest.raises(EnvironmentFault, match=r"unknown head\.n"):
        weights.load("tiny", TENSORS, ("n", "head"))  # A pattern must match the whole key.


def test_wrappers_and_prefixes_are_removed_where_declared(tmp_path: Path) -> None:
    prefixed = {f"module.{key}": tensor for key, tensor in TENSORS.items()}
    for content, entry, prefix in (
        ({"state_dict": TENSORS, "epoch": 3}, "state_dict", ""),
        (TENSORS, "state_dict", ""),  # A user's conversion holds the state dict alone.
        (prefixed, "", "module."),
        (TENSORS, "", "module."),
        ({"student": prefixed}, "student", "module."),
    ):
        saved(tmp_path / "tiny.pth", content)
        weights = stored(tmp_path, entry=entry, prefix=prefix)
        assert torch.equal(weights.load("tiny", TENSORS)["a.bias"], TENSORS["a.bias"])
    for content in ({"state_dict": TENSORS}, prefixed):
        saved(tmp_path / "tiny.pth", content)
        with pytest.raises(EnvironmentFault, match=r"lacks a\.weight"):
            stored(tmp_path).load("tiny", TENSORS)


class Canary:
    """Creates a file when it is unpickled by a careless reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "legacy", "bare"])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, form: str) -> None:
    canary = tmp_path / "canary"
    content = TENSORS | {"evil": Canary(canary)}
    if form == "bare":
        put(tmp_path / "tiny.pth", pickle.dumps(content["evil"]))
    else:
        saved(tmp_path / "tiny.pth", content, _use_new_zipfile_serialization=form == "zip")
    with pytest.raises(EnvironmentFault, match=r"running code from it \(.*nsupported (op|.*sys)"):
        stored(tmp_path).load("tiny", TENSORS)
    assert not canary.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
def test_truncated_files_are_refused(tmp_path: Path, form: str) -> None:
    path = tmp_path / "tiny.pth"
    if form == "safetensors":
        save_file(TENSORS, path)
    else:
        saved(path, _use_new_zipfile_serialization=form == "zip")
    whole = path.read_bytes()
    for length in (0, 1, 8, 9, 20, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(EnvironmentFault, match="is damaged"):
            stored(tmp_path).load("tiny", TENSORS)


class Settings:
    """What authors pickle beside their weights."""

    def __init__(self, **values: object) -> None:
        self.values = values

    def __setstate__(self, state: object) -> None:
        raise AssertionError("an object in a checkpoint came to life")


def test_settings_in_a_published_pickle_are_not_looked_at(tmp_path: Path) -> None:
    allowed = torch.serialization.get_safe_globals()
    for extra in (Settings(width=3), Path("a/b"), np.float64(31.5), np.ones(2)):
        path = tmp_path / "tiny.pth"
        content = saved(path, {"state_dict": TENSORS, "best": extra, "epoch": 3})
        with pytest.raises(EnvironmentFault, match="without running code"):
            stored(tmp_path, entry="state_dict").load("tiny", TENSORS)
        got = stored(tmp_path, content=content, entry="state_dict").load("tiny", TENSORS)
        assert torch.equal(got["a.bias"], TENSORS["a.bias"])
    evil = Settings(canary=Canary(tmp_path / "canary"))
    content = saved(path, {"state_dict": TENSORS, "evil": evil})
    with pytest.raises(EnvironmentFault, match=r"unsupported GLOBAL \w+\.system"):
        stored(tmp_path, content=content, entry="state_dict").load("tiny", TENSORS)
    assert not (tmp_path / "canary").exists()
    assert set(torch.serialization.get_safe_globals()) == set(allowed)


class Scripted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.arange(3.0).half())
        self.register_buffer("n", torch.tensor(224))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.weight


def test_torchscript_loads_only_with_the_published_checksum(tmp_path: Path) -> None:
    path = tmp_path / "tiny.pth"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(Scripted()).save(str(path))  # type: ignore[no-untyped-call]
    wanted = {"weight": torch.empty(3, device="meta")}
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = stored(tmp_path, content=content).load("tiny", wanted, ("n",))
    assert got["weight"].tolist() == [0, 1, 2] and got["weight"].dtype == torch.float32
    zip_url = Url("https://example.org/all.zip", ("tiny.pth",))
    put(tmp_path / "zip" / "all.zip", zipped({"tiny.pth": content}))
    inside = stored(tmp_path / "zip", content=content, published=(zip_url,))
    assert inside.load("tiny", wanted, ("n",))["weight"].tolist() == [0, 1, 2]
    for unknown in ({"sha256": digest(content)[:8]}, {"sha256": ""}):
        with pytest.raises(EnvironmentFault, match="TorchScript archive, which runs code"):
            stored(tmp_path, **({"content": content} | unknown)).load("tiny", wanted, ("n",))


def test_the_checksum_is_that_of_what_was_read(tmp_path: Path) -> None:
    content = saved(tmp_path / "own.pth")
    weights = StoredWeights(tmp_path, {"own": record(name="own")})
    assert weights.sha256("own") == digest(content)


@pytest.mark.parametrize("form", ["file", "zip"])
def test_a_checkpoint_trained_in_another_way_is_refused(tmp_path: Path, form: str) -> None:
    entry = record(settings_file="how.json", settings={"r": 16, "lora_alpha": 8}, sha256="", size=0)
    weights = saved(tmp_path / "tiny-v1.pth")

    def read(said: bytes | None) -> dict[str, torch.Tensor]:
        if form == "file":
            (tmp_path / "how.json").unlink(missing_ok=True)
            if said is not None:
                put(tmp_path / "how.json", said)
            return StoredWeights(tmp_path, {"tiny": entry}).load("tiny", TENSORS)
        members = {"in/tiny-v1.pth": weights} | ({} if said is None else {"in/how.json": said})
        (tmp_path / "tiny-v1.pth").unlink(missing_ok=True)
        put(tmp_path / "home/.cache/x/all.zip", zipped(members))
        inside = replace(
            entry,
            published=(Url("https://example.org/all.zip", ("in/tiny-v1.pth",)),),
            cache_paths=(),
        )
        put(catalog.cache_folder() / "all.zip", zipped(members))
        return StoredWeights(tmp_path, {"tiny": inside}).load("tiny", TENSORS)

    for said in (None, b'{"r": 16, "lora_alpha": 8.0, "bias": "none"}'):
        assert read(said).keys() == TENSORS.keys()
    for said, message in (
        (b'{"r": 16, "lora_alpha": 16}', "lora_alpha is 16"),
        (b'{"r": 16}', "lora_alpha is None"),
        (b"[1]", "trained in another way"),
        (b"{", "trained in another way"),
    ):
        with pytest.raises(EnvironmentFault, match=message) as e:
            read(said)
        assert "how.json" in e.value.where
