"""Turn VBench's own result files into a run: a zip, a folder, or one NAME_eval_results.json.

Examples:
  vbench-long import eval_results.zip --output runs/theirs --name "Their model"
  vbench-long import evaluation_results --output runs/theirs

Nothing is unpacked to disk. What the files do not tell of their protocol stays unknown, so imported
runs never mix with runs judged here.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

HELP = "turn VBench's own result files into a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `import`."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a zip, folder or file")
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run folder")
    parser.add_argument("--name", default="", help="the model's name in tables")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Import and print the table; 3 if videos are missing."""
    import json

    from vbench_long.leaderboard.interchange.importing import import_run
    from vbench_long.leaderboard.tables import run_summary, run_summary_text

    imported = import_run(args.results, args.output, args.name)
    logging.getLogger("vbench_long").info("wrote %s", args.output)
    if args.json:
        print(json.dumps(run_summary(imported), indent=1))
    else:
        print(run_summary_text(imported), end="")
    return 0 if set(imported.manifest.counts) <= {"ok", "excluded"} else 3
