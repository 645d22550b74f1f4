"""Checkpoints are downloaded whole or not at all."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from weight_cases import (
    BYTES,
    COUNTER,
    TENSORS,
    digest,
    put,
    record,
    saved,
    stored,
    zipped,
)

import vbench_long
from vbench_long import cli
from vbench_long.errors import EnvironmentFault
from vbench_long.weights import catalog, fetch
from vbench_long.weights.checkpoint import Checkpoint, Hub, Url
from vbench_long.weights.stored import StoredWeights

pytestmark = pytest.mark.usefixtures("home")


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


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(cli, "COMMANDS", ("weights",))
    return cli.main(["weights", *arguments])


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
