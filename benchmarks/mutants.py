"""Do the tests notice when the arithmetic of scores and statistics is broken?

mutmut breaks one thing at a time in a copy of the package and runs the tests that should see it:

    pip install mutmut                                   # 3.8; not among the development tools
    python benchmarks/mutants.py WORK [--children 2]     # half an hour on one core
    python benchmarks/mutants.py WORK --survivors        # what no test saw, as differences

WORK is a folder outside the repository. A run that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MUTATED = ("scores", "statistics", "bootstrap", "gate/significance")
TESTS = ("scores", "statistics", "ranks", "leaderboard", "significance", "gate", "legal_range")
SETTINGS = """
[tool.pytest.ini_options]
addopts = "--strict-markers -m 'not slow and not shared' -p no:cacheprovider"
markers = ["slow: -", "full: -", "gpu: -", "weights: -", "shared: -"]

[tool.mutmut]
source_paths = ["vbench_long"]
only_mutate = {mutated}
pytest_add_cli_args = ["-x", "-q"]
pytest_add_cli_args_test_selection = {tests}
timeout_constant = 30.0
use_git_change_detection = false
track_dependencies = false
"""


def copy(work: Path) -> None:
    """The package as it is installed, with the tests that mutants must fail."""
    (work / "tests").mkdir(parents=True)
    build = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(work)]
    subprocess.run(build, cwd=ROOT, check=True)
    shutil.copytree(ROOT / "tests" / "golden", work / "tests" / "golden")
    tests = [f"tests/test_{name}.py" for name in TESTS]
    for name in ("tests/conftest.py", *tests):
        shutil.copy(ROOT / name, work / name)
    mutated = [f"vbench_long/leaderboard/{name}.py" for name in MUTATED]
    settings = SETTINGS.format(mutated=json.dumps(mutated), tests=json.dumps(tests))
    (work / "pyproject.toml").write_text(settings)


def verdicts(work: Path) -> dict[str, str]:
    """What became of each mutant."""
    from mutmut.stats import status_by_exit_code

    found = {}
    for meta in work.glob("mutants/**/*.meta"):
        codes = json.loads(meta.read_text())["exit_code_by_key"]
        found |= {name: status_by_exit_code[code] for name, code in codes.items()}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--children", type=int, default=1, help="mutants tried side by side")
    parser.add_argument("--survivors", action="store_true", help="print them, run nothing")
    args = parser.parse_args()
    mutmut = [sys.executable, "-m", "mutmut"]
    if not args.survivors:
        if not (args.work / "pyproject.toml").exists():
            copy(args.work)
        run = [*mutmut, "run", "--max-children", str(args.children)]
        subprocess.run(run, cwd=args.work, check=True)
    found = verdicts(args.work)
    print(dict(Counter(found.values())), f"of {len(found)}")
    if args.survivors:
        for name in sorted(name for name, verdict in found.items() if verdict == "survived"):
            shown = subprocess.run(
                [*mutmut, "show", name], cwd=args.work, capture_output=True, text=True, check=True
            )
            changed = [line for line in shown.stdout.splitlines() if line[:1] in ("-", "+")]
            print(f"## {name}", *changed[2:], sep="\n")


if __name__ == "__main__":
    main()
