"""The GitHub action and the examples of docs/ci.md: they run, and say only what exists."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_gate import FLICKER, several, without

from vbench_long.cli import main
from vbench_long.store import Run, Store

ROOT = Path(__file__).resolve().parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
EXAMPLES = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)

Act = Callable[..., tuple[int, str, str, str]]


def stored(folder: Path, run: Run) -> str:
    with Store(folder) as target:
        target.write_manifest(run.manifest)
        target.put_samples(run.samples)
        target.put(run.records)
    return str(folder)


@pytest.fixture
def act(tmp_path: Path) -> Act:
    """Run the action's compare step as GitHub does: exit code, log, outputs, summary."""
    (step,) = (one for one in ACTION["runs"]["steps"] if one.get("id") == "compare")

    def run(**given: str) -> tuple[int, str, str, str]:
        inputs = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        inputs |= {name.replace("_", "-"): value for name, value in given.items()}
        inputs["python"] = sys.executable
        environment = dict(os.environ)
        for name, value in step["env"].items():
            (key,) = re.fullmatch(r"\$\{\{ inputs\.([a-z-]+) \}\}", value).groups()  # type: ignore[union-attr]
            environment[name] = inputs[key]
        files = [tmp_path / name for name in ("outputs", "summary")]
        for path in files:
            path.write_text("")
        environment |= {"GITHUB_OUTPUT": str(files[0]), "GITHUB_STEP_SUMMARY": str(files[1])}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=tmp_path, env=environment, capture_output=True, text=True,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr, *(path.read_text() for path in files)

    return run


def test_every_input_is_used_and_none_is_read_as_code() -> None:
    scripts = [step["run"] for step in ACTION["runs"]["steps"]]
    assert not any("${{" in script for script in scripts)
    used = re.findall(r"inputs\.([a-z-]+)", (ROOT / "action.yml").read_text())
    assert set(used) == set(ACTION["inputs"])


@pytest.mark.slow
def test_the_action_passes_and_writes_the_summary(act: Act, tmp_path: Path) -> None:
    base, new = stored(tmp_path / "a b", several(1)), stored(tmp_path / "new", several(2))
    code, _, outputs, summary = act(base=base, new=new)
    assert code == 0 and outputs.splitlines() == ["exit-code=0", "headline=not worse"]
    assert summary == (tmp_path / "compare/compare.md").read_text()


@pytest.mark.slow
def test_the_action_fails_where_the_gate_does(act: Act, tmp_path: Path) -> None:
    base = stored(tmp_path / "base", several(1))
    worse = stored(tmp_path / "worse", several(2, change={FLICKER: -0.02}))
    code, log, outputs, summary = act(base=base, new=worse)
    assert (code, outputs.splitlines()[0]) == (1, "exit-code=1")
    assert "worse: temporal_flickering" in log and "**worse" in summary
    assert act(base=base, new=worse, max_drop=f"0.1 {FLICKER}=5", alpha="0.1")[0] == 0
    assert act(base=base, new=worse, dimensions="dynamic_degree imaging_quality")[0] == 0
    fewer = stored(tmp_path / "fewer", without(several(2), "3-0"))
    assert act(base=base, new=fewer)[0] == 3
    assert act(base=base, new=fewer, partial="true")[0] == 0


@pytest.mark.slow
def test_the_action_shows_no_answer_of_an_earlier_call(act: Act, tmp_path: Path) -> None:
    base = stored(tmp_path / "base", several(1))
    assert act(base=base, new=base)[0] == 0
    code, log, outputs, summary = act(base=base, new=str(tmp_path / "nothing"))
    assert (code, outputs, summary) == (3, "exit-code=3\n", "")
    assert "not a run folder" in log and not (tmp_path / "compare/compare.xml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ["$(touch taken)", "; touch taken"])
def test_inputs_are_never_commands(act: Act, tmp_path: Path, hostile: str) -> None:
    base = stored(tmp_path / "base", several(1))
    for name in ("new", "output", "max_drop"):
        act(**{"base": base, "new": base, name: hostile})
    assert not list(tmp_path.rglob("taken"))


def test_the_examples_are_yaml_and_use_what_exists(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(EXAMPLES) == 2
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    commands = re.findall(r"^(?:\s*- |\s*run: )?(vbench-long [^`]*?)$", text, re.MULTILINE)
    assert len(commands) >= 6
    for command in commands:
        _, name, *words = shlex.split(command, comments=True)
        with pytest.raises(SystemExit):
            main([name, "--help"])
        known = capsys.readouterr().out
        for option in (word for word in words if word.startswith("--")):
            assert f"{option} " in known, command


def test_the_github_example_gives_the_action_its_own_inputs() -> None:
    github: Any = yaml.safe_load(EXAMPLES[0])
    steps = github["jobs"]["gate"]["steps"]
    (compare,) = (step for step in steps if "vbench-long@" in step.get("uses", ""))
    assert set(compare["with"]) <= set(ACTION["inputs"])
    gitlab: Any = yaml.safe_load(EXAMPLES[1])
    assert gitlab["video quality"]["artifacts"]["reports"]["junit"] == "compare/compare.xml"
    assert all(isinstance(line, str) for job in gitlab.values() for line in job["script"])
    json.dumps(github, default=str)
