"""Compare two runs, and fail only if NEW is really worse than BASE.

Examples:
  vbench-long compare runs/main runs/branch
  vbench-long compare runs/main runs/branch --max-drop 0.5 dynamic_degree=5
  vbench-long compare runs/main runs/branch --dimensions motion_smoothness --alpha 0.01

Exit code 1 says that a dimension is worse, by evidence that chance gives a model which did not
change in at most alpha of all comparisons, all dimensions together. Exit code 3 says that NEW
lacks videos that BASE has; --partial judges the others.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path

HELP = "fail if a run is worse than another: a gate for continuous integration"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `compare`."""
    parser.add_argument("base", metavar="BASE", type=Path, help="folder of the run before")
    parser.add_argument("new", metavar="NEW", type=Path, help="folder of the run after")
    parser.add_argument(
        "--output", metavar="DIR", type=Path, default=Path("compare"),
        help="folder for compare.json, compare.xml (JUnit), compare.md and compare.png"
        " (default: compare)",
    )  # fmt: skip
    parser.add_argument(
        "--alpha", type=float, default=0.05, metavar="SHARE",
        help="share of comparisons of unchanged models in which any dimension may be called"
        " better or worse (default: 0.05)",
    )  # fmt: skip
    parser.add_argument(
        "--max-drop", nargs="+", default=[], metavar="POINTS|NAME=POINTS",
        help="tolerated drop in points (0.01 of a raw score), for all dimensions or for one;"
        " worse is what fell by more, beyond chance (default: 0)",
    )  # fmt: skip
    parser.add_argument(
        "--dimensions", nargs="+", default=[], metavar="NAME",
        help="default: all that BASE has a score of",
    )  # fmt: skip
    parser.add_argument(
        "--partial", action="store_true",
        help="judge what both runs have although NEW lacks videos that BASE has",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print compare.json instead of text")


def run(args: argparse.Namespace) -> int:
    """Compare, write the files, print the answer; 1 if a dimension is worse.

    Raises:
        UsageError: the runs follow different protocols, or an option asks for nonsense.
        RunError: a folder is no run, or a damaged one.
        EnvironmentFault: the output folder cannot be written.
    """
    from vbench_long.errors import disk_faults
    from vbench_long.leaderboard.gate.comparison import Rule, compare
    from vbench_long.leaderboard.gate.files import (
        compare_json,
        compare_junit,
        compare_markdown,
        compare_text,
    )
    from vbench_long.leaderboard.gate.forest import forest_png
    from vbench_long.store import load_run, write_atomically

    everywhere, single = parse_drops(args.max_drop)
    rule = Rule(args.alpha, everywhere, single, tuple(args.dimensions), args.partial)
    comparison = compare(load_run(args.base), load_run(args.new), rule)
    text = compare_text(comparison)
    as_json = compare_json(comparison)
    files: dict[str, str | bytes] = {
        "compare.json": as_json,
        "compare.xml": compare_junit(comparison),
        "compare.md": compare_markdown(comparison),
        "compare.png": forest_png(comparison),
    }
    fix = "free space or choose another --output"
    with disk_faults("the comparison cannot be written", args.output, fix):
        args.output.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_atomically(args.output / name, content)
    log = logging.getLogger("vbench_long")
    log.info("wrote %s", ", ".join(str(args.output / name) for name in files))
    print(as_json if args.json else text, end="")
    return comparison.exit_code


def parse_drops(words: Sequence[str]) -> tuple[float, dict[str, float]]:
    """Tolerated drops as raw scores: for all dimensions, and for single ones.

    Raises:
        UsageError: neither POINTS nor NAME=POINTS, or one of them twice.
    """
    from vbench_long.errors import UsageError

    drops: dict[str, float] = {}
    for word in words:
        name, _, points = word.rpartition("=")
        try:
            drop = float(points) / 100
        except ValueError:
            raise UsageError(
                f"--max-drop '{word}' is no drop", "", "write POINTS or NAME=POINTS"
            ) from None
        if name in drops:
            raise UsageError(f"--max-drop says {name or 'POINTS'} twice", "", "say it once")
        drops[name] = drop
    return drops.pop("", 0.0), drops
