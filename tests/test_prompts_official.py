"""The official suite: where it is looked for, pulled from, and what is in it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from prompt_cases import check_names, count_clip_seconds, entry, reference, run

from vbench_long.errors import EnvironmentFault
from vbench_long.prompts import load_suite, official, suite_names
from vbench_long.prompts.words import OFFICIAL_DIMENSIONS


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without the official file, and without pip."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("VBENCH_CACHE_DIR", raising=False)
    monkeypatch.setattr(official, "find_spec", lambda name: None)
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("pip must not run"))
    return tmp_path


@pytest.mark.shared
def test_the_official_suite(shared: Path) -> None:
    path = official.locate()
    if path is None:
        pytest.skip(f"needs the official file: {official.PULL}")
    stats, golden = reference(shared, "full_info_stats"), reference(shared, "golden/pure_functions")
    found = load_suite("vbench")
    assert load_suite(str(path)) == found  # the same bytes are the same suite
    assert (found.name, found.sha256, len(found.prompts)) == ("vbench", official.SHA256, 944)
    assert sum(found.samples(p) for p in found.prompts) == 75 * 25 + (944 - 75) * 5
    counts = {d: len(found.serving(d)) for d in OFFICIAL_DIMENSIONS}
    assert counts == stats["prompts_per_dimension"]
    assert count_clip_seconds(found) == golden["clip_seconds_by_dimension_standard_mode"]
    check_names(found)
    for text in stats["duplicate_prompts"]:
        (prompt,) = (p for p in found.prompts if p.text == text)
        assert set(prompt.dimensions) == {
            "appearance_style", "overall_consistency", "aesthetic_quality", "imaging_quality",
        }  # fmt: skip
        assert "appearance_style" in prompt.auxiliary


def put(path: Path, data: bytes = b"[]") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_where_the_official_file_is_looked_for(
    empty_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert official.locate() is None
    monkeypatch.setattr(official, "find_spec", find_spec)
    package = tmp_path / "site" / "vbench"
    put(package / "__init__.py", b"raise RuntimeError('imported')")
    installed = put(package / official.FILE)
    monkeypatch.syspath_prepend(str(package.parent))
    assert official.locate() == installed
    theirs = put(empty_home / ".cache" / "vbench" / official.FILE)
    assert official.locate() == theirs
    monkeypatch.setenv("VBENCH_CACHE_DIR", str(tmp_path / "elsewhere"))
    assert official.locate() == installed
    moved = put(tmp_path / "elsewhere" / official.FILE)
    assert official.locate() == moved
    ours = put(empty_home / ".cache" / "vbench-long" / official.FILE)
    assert official.locate() == ours
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert official.locate() == ours
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert official.locate() == moved
    assert "vbench" not in sys.modules


def test_the_official_suite_is_missing_or_another(empty_home: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"full_info\.json is not on this") as e:
        load_suite("vbench")
    assert "vbench-long prompts pull" in str(e.value)
    path = put(official.cache_path(), json.dumps([entry("a dog", "dynamic_degree")]).encode())
    with pytest.raises(EnvironmentFault, match=official.SHA256) as e:
        load_suite("vbench")
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(e.value)
    assert load_suite(str(path)).name == "VBench_full_info"


@dataclass
class Pip:
    """A pip that delivers a wheel with `data` as `member`, or the file `wheel`, or fails."""

    data: bytes = b"[]"
    member: str = official.MEMBER
    wheel: bytes | None = None
    stderr: str = ""
    fault: Exception | None = None
    calls: int = 0

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        self.calls += 1
        assert (command[0], command[-1]) == (sys.executable, "vbench==0.1.5")
        assert {"--only-binary", "--no-deps"} <= set(command)
        if self.fault:
            raise self.fault
        path = Path(command[command.index("--dest") + 1]) / "vbench-0.1.5-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(self.member, self.data)
            wheel.writestr("../outside", b"never unpacked")
        if self.wheel is not None:
            path.write_bytes(self.wheel)
        return subprocess.CompletedProcess(command, int(bool(self.stderr)), "", self.stderr)


@pytest.fixture
def pip(empty_home: Path, monkeypatch: pytest.MonkeyPatch) -> Pip:
    fake = Pip()
    monkeypatch.setattr(subprocess, "run", fake.run)
    return fake


def trust(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official, "SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(official, "SIZE", len(data))


def test_pull(
    pip: Pip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    entries = [entry("é — a lake", "temporal_flickering", "scene"), entry("a dog", "color")]
    pip.data = json.dumps(entries, ensure_ascii=False, indent=4).encode().replace(b"\n", b"\r\n")
    trust(pip.data, monkeypatch)
    assert run("pull") == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == official.cache_path() == official.locate()
    assert path.read_bytes() == pip.data
    assert [p.name for p in path.parent.iterdir()] == [official.FILE]
    found = load_suite("vbench")
    assert (found.name, [found.samples(p) for p in found.prompts]) == ("vbench", [25, 5])
    official.pull()
    assert pip.calls == 1  # a right file is not fetched again
    path.write_bytes(b"damaged")
    official.pull()
    assert path.read_bytes() == pip.data


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, official.SHA256),
        ({}, hashlib.sha256(b"[]").hexdigest()),
        ({"data": b" " * 50_000_000}, f"{official.SIZE + 1} bytes"),  # 50 kB in the wheel
        ({"wheel": b"not a zip"}, "does not hold"),
        ({"member": "vbench/other.json"}, "does not hold"),
        ({"stderr": "WARNING: x\n\nERROR: No matching distribution\n"}, "No matching distribution"),
        ({"stderr": "ERROR: offline"}, f"copy {official.MEMBER} from that wheel to"),
        ({"fault": FileNotFoundError(2, "gone")}, "pip could not download"),
        ({"fault": subprocess.TimeoutExpired("pip", 600)}, "pip could not download"),
    ],
)
def test_pull_refuses(pip: Pip, changes: dict[str, Any], said: str) -> None:
    for name, value in changes.items():
        setattr(pip, name, value)
    with pytest.raises(EnvironmentFault) as caught:
        official.pull()
    assert said in str(caught.value)
    assert not official.cache_path().exists()


def test_pull_into_a_place_that_cannot_be_written(
    pip: Pip, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(pip.data, monkeypatch)
    put(empty_home / ".cache")  # a file where the folder should be
    with pytest.raises(EnvironmentFault, match="cannot be stored"):
        official.pull()


def test_list_names_every_suite(
    empty_home: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    assert run("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(suite_names())
    assert lines[1].split()[:4] == ["long", "60", "60", "16"]
    assert lines[2].split()[:4] == ["mini", "8", "8", "7"]
    assert "vbench-long prompts pull" in caplog.text
