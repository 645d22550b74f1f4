"""Checkpoints: found in the right order, downloaded whole or not at all, read without trust."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import vbench_long
from vbench_long import cli
from vbench_long.cli import weights as command
from vbench_long.errors import EnvironmentFault, UsageError
from vbench_long.prompts import OFFICIAL_DIMENSIONS
from vbench_long.weights import catalog, fetch
from vbench_long.weights.base import Weights
from vbench_long.weights.catalog import CATALOG
from vbench_long.weights.checkpoint import Checkpoint, Found, Hub, Url
from vbench_long.weights.seeded import SeededWeights, seeded_tensor
from vbench_long.weights.stored import StoredWeights

GOLDEN = Path(__file__).parent / "golden" / "seeded.json"
BYTES = bytes(range(256)) * 4000
TENSORS = {"a.weight": torch.arange(12.0).reshape(3, 4), "a.bias": torch.ones(3)}
COUNTER = {"n": torch.tensor(7)}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, so that no test meets real checkpoints or settings."""
    for name in (
        *("VBENCH_LONG_WEIGHTS", "VBENCH_CACHE_DIR", "TORCH_HOME", "XDG_CACHE_HOME"),
        *("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY"),
    ):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setattr(fetch, "_PAUSE", 0.0)
    return folder


def put(path: Path, content: bytes = BYTES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def record(content: bytes = BYTES, **changes: Any) -> Checkpoint:
    plain = Checkpoint(
        name="tiny",
        file="tiny-v1.pth",
        published=(Url("https://example.org/tiny-v1.pth"),),
        licence="MIT",
        commercial=True,
        dimensions=("dynamic_degree",),
        sha256=digest(content),
        size=len(content),
        cache_paths=("vbench/tiny_model/tiny-v1.pth", "torch/hub/checkpoints/tiny-v1.pth"),
    )
    return replace(plain, **changes)


def stored(folder: Path, **changes: Any) -> StoredWeights:
    return StoredWeights(folder, {"tiny": record(**changes)})


def load(folder: Path, wanted: dict[str, torch.Tensor] = TENSORS) -> dict[str, torch.Tensor]:
    return stored(folder).load("tiny", wanted)


def saved(path: Path, content: object = TENSORS, **options: Any) -> bytes:
    torch.save(content, path, **options)
    return path.read_bytes()


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


# -------------------------------------------------------------------------------------- downloads


@dataclass
class Server:
    """A file server that can misbehave; `ranges` are the requests it saw, "" for a whole file."""

    base: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: list[str] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    knows_ranges: bool = True

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range", "")
        self.ranges.append(wanted)
        content = self.files.get(handler.path)
        if handler.path == "/redirect":
            handler.send_response(302)
            handler.send_header("Location", "ftp://127.0.0.1/tiny-v1.pth")
            handler.end_headers()
            return
        if content is None:
            handler.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.knows_ranges else 0
        if start >= len(content):
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        sent = content[start:]
        if self.cuts:
            sent = sent[: self.cuts.pop(0)]
            handler.close_connection = True
        with suppress(ConnectionError):  # A client that refuses the file hangs up.
            handler.wfile.write(sent)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.answer(self)

        def log_message(self, *_: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.base = f"http://127.0.0.1:{http.server_port}"
    monkeypatch.setattr(fetch, "_SECURE", ("https://", told.base))
    thread = threading.Thread(target=http.serve_forever, args=(0.01,))
    thread.start()
    yield told
    http.shutdown()
    thread.join()
    http.server_close()


def at(server: Server, content: bytes = BYTES, **changes: Any) -> Checkpoint:
    server.files["/tiny-v1.pth"] = content
    return record(published=(Url(f"{server.base}/tiny-v1.pth"),), **changes)


def left_behind() -> list[str]:
    store = catalog.cache_folder()
    return sorted(p.name for p in store.iterdir() if p.name != ".lock") if store.exists() else []


def test_pull_downloads_once(server: Server) -> None:
    entry = at(server)
    found = fetch.pull(entry)
    assert found.path == catalog.cache_folder() / "tiny-v1.pth"
    assert found.path.read_bytes() == BYTES
    assert fetch.pull(entry) == fetch.locate(entry) == found
    assert server.ranges == [""] and left_behind() == ["tiny-v1.pth"]


def test_a_cut_download_goes_on_where_it_stopped(server: Server) -> None:
    entry = at(server)
    server.cuts = [300_000, 1, 500_000]
    assert fetch.pull(entry).path.read_bytes() == BYTES
    assert server.ranges == ["", "bytes=300000-", "bytes=300001-", "bytes=800001-"]


def test_a_later_call_goes_on_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = at(server)
    monkeypatch.setattr(fetch, "_ATTEMPTS", 1)
    server.cuts = [300_000]
    with pytest.raises(EnvironmentFault, match="ended after 300000 of 1024000 bytes"):
        fetch.pull(entry)
    assert left_behind() == ["tiny-v1.pth.partial"]
    assert fetch.pull(entry).path.read_bytes() == BYTES
    assert server.ranges == ["", "bytes=300000-"]


@pytest.mark.parametrize("stale", [b"other bytes", b"x" * len(BYTES), b"x" * (len(BYTES) + 9)])
def test_a_stale_partial_file_costs_one_more_download(server: Server, stale: bytes) -> None:
    put(catalog.cache_folder() / "tiny-v1.pth.partial", stale)
    assert fetch.pull(at(server)).path.read_bytes() == BYTES
    assert server.ranges[-1] == "" and left_behind() == ["tiny-v1.pth"]


def test_a_complete_partial_file_is_only_checked_and_named(server: Server) -> None:
    put(catalog.cache_folder() / "tiny-v1.pth.partial")
    assert fetch.pull(at(server)).path.read_bytes() == BYTES
    assert server.ranges == [f"bytes={len(BYTES)}-"]


def test_a_server_without_ranges_sends_all_again(server: Server) -> None:
    server.knows_ranges = False
    server.cuts = [300_000]
    assert fetch.pull(at(server)).path.read_bytes() == BYTES


def test_a_wrong_checksum_leaves_nothing(server: Server) -> None:
    with pytest.raises(EnvironmentFault, match="its sha256 is"):
        fetch.pull(at(server, b"x" * len(BYTES)))
    assert left_behind() == []


def test_a_wrong_size_is_refused_before_it_is_downloaded(server: Server) -> None:
    with pytest.raises(EnvironmentFault, match="2000000 bytes instead of 1024000"):
        fetch.pull(at(server, b"x" * 2_000_000))
    assert left_behind() == []


def test_nothing_larger_than_the_limit(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_LIMIT", 1000)
    with pytest.raises(EnvironmentFault, match="1024000 bytes instead of 1000 at most"):
        fetch.pull(at(server, sha256="", size=0))
    assert left_behind() == []


def test_the_next_place_is_tried(server: Server) -> None:
    good = at(server)
    entry = replace(good, published=(Url(f"{server.base}/gone.pth"), *good.published))
    assert fetch.pull(entry).path.read_bytes() == BYTES
    assert len(server.ranges) == 2  # A 404 is final: no further attempts.


@pytest.mark.parametrize("address", ["http://example.org/t", "file:///etc/passwd", "/redirect"])
def test_only_https(server: Server, address: str) -> None:
    address = server.base + address if address.startswith("/") else address
    with pytest.raises(EnvironmentFault, match="not an https address"):
        fetch.pull(record(published=(Url(address),)))


def test_the_shipped_rule_is_https_alone() -> None:
    assert fetch._SECURE == ("https://",)


def test_offline_downloads_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EnvironmentFault, match="HF_HUB_OFFLINE forbids"):
        fetch.pull(at(server))
    assert server.ranges == [] and not catalog.cache_folder().exists()
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    assert fetch.pull(at(server))


def test_threads_download_once(server: Server) -> None:
    entry = at(server)
    results: list[Path] = []
    threads = [
        threading.Thread(target=lambda: results.append(fetch.pull(entry).path)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [catalog.cache_folder() / "tiny-v1.pth"] * 4
    assert server.ranges == [""]


def test_processes_download_once(server: Server) -> None:
    at(server)
    code = f"""
from vbench_long.weights import fetch
from vbench_long.weights.checkpoint import Checkpoint, Url
fetch._SECURE = ("{server.base}",)
print(fetch.pull(Checkpoint("tiny", "tiny-v1.pth", (Url("{server.base}/tiny-v1.pth"),), "MIT", True,
    ("dynamic_degree",), "{digest(BYTES)}")))
import sys
assert "torch" not in sys.modules
"""
    root = Path(vbench_long.__file__).parents[1]
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate()[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert set(outputs) == {str(catalog.cache_folder() / "tiny-v1.pth")}
    assert server.ranges == [""]


def test_a_cache_that_cannot_be_written(home: Path, server: Server) -> None:
    put(home / ".cache", b"a file, where a folder should be")
    with pytest.raises(EnvironmentFault, match="cannot be stored"):
        fetch.pull(at(server))


def test_a_full_disk_is_told_before_it_fills(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(total=1 << 40, used=1 << 40, free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    with pytest.raises(EnvironmentFault, match="do not fit on the disk"):
        fetch.pull(at(server))
    assert left_behind() == []


def test_the_hub_is_asked_through_its_library(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download(repo: str, file: str, revision: str) -> str:
        asked.append((repo, file, revision))
        if repo == "owner/gone":
            raise OSError("no such repository")
        return str(put(home / "hub" / file))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    entry = record(published=(Hub("owner/gone", "tiny-v1.pth"), Hub("owner/name", "tiny-v1.pth")))
    assert fetch.pull(entry).path == home / "hub" / "tiny-v1.pth"
    assert asked[1] == ("owner/name", "tiny-v1.pth", "main")
    with pytest.raises(EnvironmentFault, match=r"no such repository.*its sha256 is"):
        fetch.pull(replace(entry, sha256="0" * 64))


# ------------------------------------------------------------------------------------------- zips


def zipped(members: dict[str, bytes]) -> bytes:
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def test_a_zip_serves_all_its_members(server: Server, tmp_path: Path) -> None:
    first, second = saved(tmp_path / "1.pth"), saved(tmp_path / "2.pth", COUNTER)
    server.files["/all.zip"] = zipped({"models/first.pth": first, "second.pth": second})
    url = f"{server.base}/all.zip"
    one = record(first, published=(Url(url, ("models/first.pth",)),), size=0)
    two = record(
        second, published=(Url(url, ("second.bin", "second.pth")),), name="two", file="two.pth"
    )
    assert str(fetch.pull(one)).endswith("all.zip, models/first.pth")
    assert fetch.pull(two).member == "second.pth"
    assert server.ranges == [""] and left_behind() == ["all.zip"]
    weights = StoredWeights(None, {"one": one, "two": two})
    assert torch.equal(weights.load("one", TENSORS)["a.weight"], TENSORS["a.weight"])
    assert weights.load("two", COUNTER)["n"] == 7
    assert weights.sha256("one") == digest(first)


def test_a_zip_without_the_member_or_with_another_content_is_not_kept(server: Server) -> None:
    url = Url(f"{server.base}/all.zip", ("tiny.pth",))
    for content, reason in (
        (zipped({"../tiny.pth": BYTES}), "holds no tiny.pth"),
        (zipped({"tiny.pth": b"other"}), "its sha256 is"),
        (zipped({"tiny.pth": BYTES})[:-40], "cannot be read"),
        (b"<html>a login page</html>", "cannot be read"),
    ):
        server.files["/all.zip"] = content
        with pytest.raises(EnvironmentFault, match=reason):
            fetch.pull(record(published=(url,)))
        assert left_behind() == []


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "_LIMIT", 1 << 20)
    put(tmp_path / "all.zip", zipped({"tiny.pth": bytes(8 << 20)}))
    entry = record(published=(Url("https://example.org/all.zip", ("tiny.pth",)),), sha256="")
    with pytest.raises(EnvironmentFault, match="would unpack to 8388608 bytes"):
        fetch.locate(entry, tmp_path)


def test_a_compressed_checkpoint_bomb_is_refused(tmp_path: Path) -> None:
    put(tmp_path / "tiny.pth", zipped({"tiny/data.pkl": b"N.", "tiny/data/0": bytes(8 << 20)}))
    with pytest.raises(EnvironmentFault, match="would unpack to"):
        stored(tmp_path, sha256="", size=0).load("tiny", TENSORS)


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


def test_pull_shows_the_licence_first_and_prints_the_path(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], server: Server
) -> None:
    monkeypatch.setitem(catalog.CATALOG, "tiny", at(server, commercial=False))
    assert run(monkeypatch, "pull", "tiny") == 0
    told = capsys.readouterr()
    assert told.out.strip() == str(catalog.cache_folder() / "tiny-v1.pth")
    assert told.err.index("MIT (non-commercial)") < told.err.index("downloading http")
    assert run(monkeypatch, "pull") == run(monkeypatch, "pull", "--all", "tiny") == 2
    assert run(monkeypatch, "pull", "unheard_of") == 2
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert run(monkeypatch, "pull", "raft_things", "tiny") == 4
    told = capsys.readouterr()
    assert "HF_HUB_OFFLINE" in told.err and told.out.endswith("tiny-v1.pth\n")


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


# ------------------------------------------------------------------------------------------- words

SOURCE = b"""tags = ["short"]\ntag_list = ["one", "two words", 'three']\n"""


@pytest.mark.parametrize(
    ("file", "content"), [("w.txt", b"one\ntwo words\nthree\n"), ("w.py", SOURCE)]
)
def test_words_are_read_strictly(tmp_path: Path, file: str, content: bytes) -> None:
    put(tmp_path / file, content)
    facts = {"file": file, "sha256": digest(content), "size": len(content)}
    weights = stored(tmp_path, **facts)
    assert weights.words("tiny", 3, {2: "three"}) == ["one", "two words", "three"]
    for count, known in ((4, {}), (3, {0: "two"}), (3, {7: "seven"})):
        with pytest.raises(EnvironmentFault, match="not the vocabulary tiny"):
            weights.words("tiny", count, known)
    put(tmp_path / file, content.replace(b"one", b"two"))
    with pytest.raises(EnvironmentFault, match="is damaged"):
        weights.words("tiny", 3, {})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"nothing = 1", b"((((", b"[x for x in y]"])
def test_words_in_a_program_are_never_run(tmp_path: Path, content: bytes) -> None:
    put(tmp_path / "w.py", content)
    weights = stored(tmp_path, file="w.py", sha256=digest(content), size=len(content))
    with pytest.raises(EnvironmentFault, match="not a list of words"):
        weights.words("tiny", 3, {})


def test_seeded_words_are_all_different_and_known_ones_stay() -> None:
    words = SeededWeights().words("any", 3000, {5: "[SEP]"})
    assert words[:3] == ["aa", "ba", "ca"] and words[5] == "[SEP]"
    assert len(set(words)) == len(words) == 3000
