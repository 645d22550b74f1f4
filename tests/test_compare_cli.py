"""`vbench-long compare` from the command line: exit codes, files, refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
from test_gate import FLICKER, several, without

from vbench_long.cli import main
from vbench_long.cli.compare import parse_drops
from vbench_long.errors import UsageError
from vbench_long.store import Run, Store

FILES = ["compare.json", "compare.md", "compare.png", "compare.xml"]


@pytest.fixture
def stored(tmp_path: Path) -> Callable[[str, Run], str]:
    """Write a run to disk and return its folder."""

    def store(name: str, run: Run) -> str:
        with Store(tmp_path / name) as target:
            target.write_manifest(run.manifest)
            target.put_samples(run.samples)
            target.put(run.records)
        return str(tmp_path / name)

    return store


Stored = Callable[[str, Run], str]


def test_an_unchanged_model_passes(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = stored("base", several(1)), stored("new", several(2))
    assert main(["compare", base, new, "--output", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rstrip().endswith("not worse")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    document = json.loads((tmp_path / "out/compare.json").read_text())
    assert document["exit_code"] == 0 and document["base"]["folder"] == base
    Xml.parse(tmp_path / "out/compare.xml")


def test_a_worse_model_fails(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = stored("base", several(1))
    new = stored("new", several(2, change={FLICKER: -0.02}))
    command = ["compare", base, new, "--output", str(tmp_path / "out")]
    assert main([*command, "--json"]) == 1
    printed = capsys.readouterr().out
    assert json.loads(printed)["dimensions"][FLICKER]["verdict"] == "worse"
    assert printed == (tmp_path / "out/compare.json").read_text()
    assert "**worse: temporal_flickering**" in (tmp_path / "out/compare.md").read_text()
    assert main([*command, "--max-drop", "5"]) == 0
    assert main([*command, "--max-drop", "0.1", f"{FLICKER}=5"]) == 0
    assert main([*command, "--dimensions", "dynamic_degree"]) == 0
    assert main([*command, "--alpha", "0.5"]) == 1


def test_the_files_go_to_a_folder_of_their_own_unless_told(
    stored: Stored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["compare", stored("base", several(1)), stored("new", several(2))]) == 0
    assert sorted(path.name for path in Path("compare").iterdir()) == FILES


def test_lacking_videos_are_exit_code_3_unless_partial(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = stored("base", several(1)), stored("new", without(several(2), "3-0"))
    command = ["compare", base, new, "--output", str(tmp_path / "out")]
    assert main(command) == 3
    assert "sample 0 of 'prompt 3': failed: broken file" in capsys.readouterr().out
    assert main([*command, "--partial"]) == 0


def test_different_protocols_are_exit_code_2_and_named(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    protocol = {"backend": "reference", "clips": "exact"}
    base = stored("base", several(1, protocol=protocol))
    new = stored("new", several(2, protocol=protocol | {"clips": "reference"}))
    assert main(["compare", base, new]) == 2
    assert "clips: 'exact' -> 'reference'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--alpha", "2"], "alpha 2"),
        (["--max-drop", "much"], "'much' is no drop"),
        (["--max-drop", "-1"], "a tolerated drop of -1 points"),
        (["--dimensions", "flickering"], "did you mean 'temporal_flickering'"),
    ],
)
def test_bad_options_are_exit_code_2(
    stored: Stored, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base, new = stored("base", several(1)), stored("new", several(2))
    assert main(["compare", base, new, *options]) == 2
    assert message in capsys.readouterr().err


def test_no_run_is_exit_code_3(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", stored("base", several(1)), str(tmp_path / "nothing")]) == 3
    assert "not a run folder" in capsys.readouterr().err


def test_no_room_for_the_files_is_exit_code_4(
    stored: Stored, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").write_text("")
    command = ["compare", stored("base", several(1)), stored("new", several(2))]
    assert main([*command, "--output", str(tmp_path / "taken")]) == 4
    assert "the comparison cannot be written" in capsys.readouterr().err


def test_drops_are_points() -> None:
    assert parse_drops([]) == (0.0, {})
    assert parse_drops(["0.5"]) == (0.005, {})
    assert parse_drops([f"{FLICKER}=1", "2"]) == (0.02, {FLICKER: 0.01})
    for words in (["1", "2"], ["a=1", "a=2"], ["a="], ["a"]):
        with pytest.raises(UsageError):
            parse_drops(words)
