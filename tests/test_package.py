"""The house itself: what a wheel installs, who imports whom, what `--help` loads."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("dimensions", "generators", "leaderboard", "prompts")
FLOORS = {
    "cli": 5,
    "evaluation": 4,
    "leaderboard": 4,
    "dimensions": 3,
    "generators": 3,
    "prompts": 2,
    "weights": 2,
    "manifests": 2,
    "records": 2,
    "store": 2,
    "video": 1,
    "products": 1,
    "registry": 0,
    "errors": 0,
    "provenance": 0,
}
STRANGERS = {("dimensions", "generators"), ("generators", "dimensions")}


def sources() -> list[tuple[str, Path]]:
    """Every module of the package with the room it belongs to."""
    found = [
        (path.relative_to(ROOT).parts[0], path)
        for room in ROOMS
        for path in (ROOT / room).rglob("*.py")
    ]
    for path in (ROOT / "vbench_long").rglob("*.py"):
        found.append((path.relative_to(ROOT / "vbench_long").parts[0].removesuffix(".py"), path))
    return found


def imports(path: Path) -> set[str]:
    """The rooms a module imports, anywhere in it."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {n.split(".")[1] for n in names if n.startswith("vbench_long.")}
    return rooms - {"__version__"}


def test_every_floor_imports_only_from_itself_or_below() -> None:
    seen = 0
    for room, path in sources():
        if room in ("__init__", "__main__"):
            continue
        for other in imports(path):
            seen += 1
            assert FLOORS[other] <= FLOORS[room], f"{path} imports {other}"
            assert (room, other) not in STRANGERS, f"{path} imports {other}"
    assert seen > 30


def test_no_file_is_over_400_lines() -> None:
    long = {str(p): n for _, p in sources() if (n := len(p.read_text().splitlines())) > 400}
    assert not long


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from vbench_long.cli import main\n"
        "try: main(['evaluate', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'cv2', 'av', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--videos" in done.stdout


@pytest.mark.slow
def test_a_wheel_installs_nothing_outside_the_package(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False
    ).stdout.decode()
    if not tracked:
        pytest.skip("needs a git checkout to know which files belong to it")
    for name in filter(None, tracked.split("\0")):
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(source)],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    outside = [n for n in names if not n.startswith(("vbench_long/", "vbench_long-"))]
    assert not outside
    modules = [name for name in tracked.split("\0") if name.endswith(".py")]
    for path in [
        *(f"vbench_long/{name}" for name in modules if name.startswith(ROOMS)),
        *(name for name in modules if name.startswith("vbench_long/")),
        "vbench_long/py.typed",
        "vbench_long/prompts/long.json",
        "vbench_long/dimensions/tables/subject_mapping.csv",
    ]:
        assert path in names, path
    metadata = zipfile.ZipFile(wheel).read(next(n for n in names if n.endswith("METADATA")))
    assert b"License-Expression: Apache-2.0" in metadata
