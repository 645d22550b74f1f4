"""Checkpoints: the catalog, the order of places, seeded numbers, the command."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from weight_cases import (
    BYTES,
    digest,
    put,
    record,
)

import vbench_long
from vbench_long import cli
from vbench_long.cli import weights as command
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.prompts import OFFICIAL_DIMENSIONS
from vbench_long.weights import catalog, fetch
from vbench_long.weights.catalog import CATALOG
from vbench_long.weights.checkpoint import Found, Hub, Url
from vbench_long.weights.seeded import SeededWeights, seeded_tensor
from vbench_long.weights.stored import StoredWeights

pytestmark = pytest.mark.usefixtures("home")


GOLDEN = Path(__file__).parent / "golden" / "seeded.json"


# ---------------------------------------------------------------------------------------- catalog


@pytest.mark.parametrize("name", CATALOG)
def test_every_record_is_sound(name: str) -> None:
    entry = CATALOG[name]
    assert entry.name == name
    assert entry.dimensions and set(entry.dimensions) <= set(OFFICIAL_DIMENSIONS)
    assert re.fullmatch("[0-9a-f]{64}|", entry.sha256)
    # These two names are the user's own, and no checksum binds them.
    assert entry.file not in (f"{name}.pth", f"{name}.safetensors")
    assert all(path.split("/")[0] in ("vbench", "torch", "cache") for path in entry.cache_paths)
    for place in entry.published:
        if isinstance(place, Url):
            assert place.address.startswith("https://")
            assert place.members or place.file == entry.file
            if "openaipublic" in place.address:
                assert entry.sha256 in place.address


def test_records_say_what_users_must_know() -> None:
    assert CATALOG["amt_s"].licence == "CC-BY-NC-4.0" and not CATALOG["amt_s"].commercial
    assert CATALOG["musiq_spaq"].sha256[:8] in CATALOG["musiq_spaq"].file
    assert CATALOG["laion_aesthetic_l14"].size == 4071
    with pytest.raises(UsageError, match="did you mean 'raft_things'"):
        catalog.checkpoint("raft_thing")


# ----------------------------------------------------------------------------------------- lookup


def test_lookup_order(home: Path, tmp_path: Path) -> None:
    entry = record(published=(Hub("owner/name", "tiny-v1.pth"),))
    snapshot = home / "hub" / "models--owner--name"
    put(snapshot / "refs" / "main", b"c0ffee")
    order = [
        tmp_path / "mine" / "tiny-v1.pth",
        tmp_path / "mine" / "tiny_model" / "tiny-v1.pth",
        tmp_path / "mine" / "tiny.safetensors",
        home / ".cache" / "vbench" / "tiny_model" / "tiny-v1.pth",
        home / ".cache" / "torch" / "hub" / "checkpoints" / "tiny-v1.pth",
        home / ".cache" / "vbench-long" / "weights" / "tiny-v1.pth",
        snapshot / "snapshots" / "c0ffee" / "tiny-v1.pth",
    ]
    for path in order:
        put(path)
    for path in order:
        assert fetch.locate(entry, tmp_path / "mine").path == path
        path.unlink()
    with pytest.raises(EnvironmentFault):
        fetch.locate(entry, tmp_path / "mine")


def test_environment_moves_the_places(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "theirs"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/counts/as/unset")
    assert catalog.cache_folder() == home / ".cache" / "vbench-long" / "weights"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert catalog.cache_folder() == tmp_path / "xdg" / "vbench-long" / "weights"
    paths = [place.path for place in catalog.candidates(record())]
    assert paths[0] == tmp_path / "theirs" / "tiny_model" / "tiny-v1.pth"
    assert paths[1] == tmp_path / "torch" / "hub" / "checkpoints" / "tiny-v1.pth"
    monkeypatch.setenv("VBENCH_LONG_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(UsageError, match="does not exist"):
        fetch.locate(record())
    mine = put(tmp_path / "mine" / "tiny-v1.pth")
    assert fetch.locate(record()).path == mine


def test_an_absent_checkpoint_is_one_helpful_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault) as caught:
        StoredWeights(tmp_path).load("raft_things", {})
    text = str(caught.value)
    for part in (
        *("raft-things.pth", "dynamic_degree", "vbench-long weights pull raft_things"),
        *(str(tmp_path / "raft-things.pth"), "vbench/raft_model/models", "VBENCH_LONG_WEIGHTS"),
    ):
        assert part in text
    assert caught.value.exit_code == 4


def test_damaged_copies_are_passed_over(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path / "tiny-v1.pth", BYTES[:-1])
    put(home / ".cache" / "vbench" / "tiny_model" / "tiny-v1.pth", b"x" * len(BYTES))
    with pytest.raises(EnvironmentFault, match=r"damaged .*bytes instead of.*sha256 is"):
        fetch.locate(record(), tmp_path)
    whole = put(catalog.cache_folder() / "tiny-v1.pth")
    with caplog.at_level(logging.WARNING):
        assert fetch.locate(record(), tmp_path).path == whole
    assert f"passed over {tmp_path / 'tiny-v1.pth'}" in caplog.text


def test_a_prefix_of_the_checksum_is_enough_to_tell(tmp_path: Path) -> None:
    put(tmp_path / "tiny-v1.pth")
    right = digest(BYTES)[:8]
    assert fetch.locate(record(sha256=right), tmp_path)
    with pytest.raises(EnvironmentFault):
        fetch.locate(record(sha256="0" * 8), tmp_path)


def test_a_changed_file_is_hashed_again(tmp_path: Path) -> None:
    path = put(tmp_path / "tiny-v1.pth")
    assert fetch.sha256(Found(path)) == digest(BYTES)
    put(path, b"other")
    assert fetch.sha256(Found(path)) == digest(b"other")


# ----------------------------------------------------------------------------------------- seeded


def test_seeded_numbers_are_the_committed_ones() -> None:
    for row in json.loads(GOLDEN.read_text())["tensors"]:
        tensor = seeded_tensor(row["key"], tuple(row["shape"]), getattr(torch, row["dtype"]))
        assert list(tensor.shape) == row["shape"]
        assert tensor.flatten()[:4].double().tolist() == pytest.approx(row["first"], rel=1e-6)
        assert tensor.double().sum().item() == pytest.approx(row["sum"], rel=1e-5)


@pytest.mark.shared
def test_the_seeded_rule_is_the_shared_one(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(shared / "tools"))
    import seeded_weights  # type: ignore[import-not-found]

    listed = json.loads((shared / "reference/quality-models/keys_raft_things.json").read_text())
    assert listed["count"] == 179
    wanted = {
        key: torch.empty(shape, dtype=getattr(torch, dtype))
        for key, (shape, dtype) in listed["keys"].items()
    }
    ours = SeededWeights().load("raft_things", wanted)
    for key, tensor in wanted.items():
        theirs = seeded_weights.seeded_tensor(key, tuple(tensor.shape), tensor.dtype)
        assert torch.equal(ours[key], theirs), key


# ----------------------------------------------------------------------------------- command line


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(cli, "COMMANDS", ("weights",))
    return cli.main(["weights", *arguments])


def test_list_shows_licences_and_states(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    put(tmp_path / "amt-s.pth", b"too short")
    put(tmp_path / "dreamsim_lora.pth")
    assert run(monkeypatch, "list", "--weights", str(tmp_path)) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert list(lines)[1:] == list(CATALOG)
    assert "4.1 kB" in lines["laion_aesthetic_l14"]
    assert "12.0 MB" in lines["amt_s"] and "damaged" in lines["amt_s"]
    assert "motion_smoothness" in lines["amt_s"]
    assert lines["amt_s"].endswith("CC-BY-NC-4.0 (non-commercial)")
    assert " here " in lines["dreamsim_lora"] and " absent " in lines["raft_things"]
    assert run(monkeypatch, "list", "--json", "--weights", str(tmp_path)) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["amt_s"]["state"] == "damaged" and not rows["amt_s"]["commercial"]
    assert rows["raft_things"]["published"][0]["members"] == ["models/raft-things.pth"]


def test_verify_and_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setitem(catalog.CATALOG, "tiny", record())
    folder = ("--weights", str(tmp_path))
    assert run(monkeypatch, "verify", *folder) == 0 and run(monkeypatch, "path", *folder) == 0
    assert capsys.readouterr().out == ""
    assert run(monkeypatch, "verify", "tiny", *folder) == 4
    assert run(monkeypatch, "path", "tiny", *folder) == 4
    path = put(tmp_path / "tiny-v1.pth")
    own = put(tmp_path / "dreamsim_lora.pth", b"mine")
    capsys.readouterr()
    assert run(monkeypatch, "path", *folder) == 0
    assert f"tiny\t{path}" in capsys.readouterr().out.splitlines()
    assert run(monkeypatch, "verify", *folder) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"tiny: {path}: right, sha256 {digest(BYTES)}" in lines
    assert f"dreamsim_lora: {own}: no published checksum, sha256 {digest(b'mine')}" in lines
    path.write_bytes(b"x" * len(BYTES))
    assert run(monkeypatch, "verify", *folder) == 4
    assert "its sha256 is" in capsys.readouterr().out


def test_the_command_file_imports_nothing_heavy() -> None:
    code = (
        "import sys, vbench_long.cli.weights, vbench_long.weights.fetch;"
        "assert not {'torch', 'huggingface_hub', 'numpy'} & set(sys.modules)"
    )
    root = Path(vbench_long.__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True)
    assert command.HELP
