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

    rows = {}
    for name in DIMENSIONS:
        kind = DIMENSIONS.get(name)
        what = (kind.__doc__ or "").partition("\n")[0]
        rows[name] = {
            "backends": sorted(kind.backbones),
            "measures": what,
            "package": DIMENSIONS.package(name),
        }
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    for name, row in rows.items():
        origin = f" ({row['package']})" if row["package"] else ""
        print(f"{name:24}{', '.join(row['backends']):22}{row['measures']}{origin}")
    return 0
