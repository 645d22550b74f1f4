"""List the dimensions: what each measures, and which backends can judge it."""

from __future__ import annotations

import argparse

HELP = "list the dimensions and who can judge them"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `dimensions`."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the list."""
    import json

    from vbench_long.dimensions import DIMENSIONS
    from vbench_long.prompts import OFFICIAL_DIMENSIONS

    rows = {}
    for name in dict.fromkeys((*OFFICIAL_DIMENSIONS, *DIMENSIONS)):
        known = DIMENSIONS.get(name) if name in DIMENSIONS else None
        what = (known.__doc__ or "").partition("\n")[0] if known else "needs published weights"
        rows[name] = {"backends": sorted(known.backbones) if known else [], "measures": what}
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for name, row in rows.items():
        print(f"{name:24}{', '.join(row['backends']) or '-':22}{row['measures']}")
    return 0
