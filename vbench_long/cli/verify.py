"""Recompute everything a run claims, and list what does not hold."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "check a run folder"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `verify`."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the problems; 3 if there are any."""
    import json

    from vbench_long.evaluation.verify import verify

    problems = verify(args.run_folder)
    if args.json:
        print(json.dumps({"run": str(args.run_folder), "problems": problems}, indent=1))
    else:
        print("\n".join(problems) or f"{args.run_folder}: every number follows from its records")
    return 3 if problems else 0
