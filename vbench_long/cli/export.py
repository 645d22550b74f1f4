"""Write a run as VBench's own result files and submission zip, or as Hugging Face eval results.

Examples:
  vbench-long export runs/mine --output submission
  vbench-long export runs/mine --output model_repo --format huggingface --dataset OWNER/NAME
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbench_long.store import Run

HELP = "write VBench's own result files, or Hugging Face eval results"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `export`."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="where to write")
    parser.add_argument(
        "--format", default="vbench", choices=("vbench", "huggingface"),
        help="vbench: NAME_eval_results.json, NAME_full_info.json and the zip of both (default);"
        " huggingface: .eval_results/vbench-long.yaml",
    )  # fmt: skip
    parser.add_argument(
        "--dataset", default="", metavar="OWNER/NAME",
        help="huggingface: the benchmark's dataset on the Hub",
    )  # fmt: skip
    parser.add_argument(
        "--source", default="", metavar="URL", help="huggingface: where the results can be seen"
    )
    parser.add_argument(
        "--partial", action="store_true",
        help="write although videos failed or are missing, and say which dimensions lack some",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the paths as JSON")


def run(args: argparse.Namespace) -> int:
    """Write the files and print their paths."""
    import json

    from vbench_long.leaderboard.interchange import exporting, hub
    from vbench_long.store import load_run

    stored = load_run(args.run_folder)
    _require_complete(stored, args.partial)
    if args.format == "huggingface":
        address = hub.Address(args.dataset, args.source)
        files = {hub.FILE: hub.hub_yaml(stored, address).encode()}
    else:
        _say_absent(stored)
        files = exporting.submission_files(stored)
    paths = [str(path) for path in _write(args.output, files)]
    print(json.dumps(paths, indent=1) if args.json else "\n".join(paths))
    return 0


def _require_complete(stored: Run, partial: bool) -> None:
    from vbench_long.errors import UsageError
    from vbench_long.leaderboard.scores import dimension_scores

    scores = dimension_scores(stored)
    patchy = [s.dimension for s in scores if s.score is not None and not s.complete]
    if patchy and not partial:
        raise UsageError(
            f"videos failed or are missing in {', '.join(patchy)}",
            str(stored.folder),
            "finish the run, or give --partial",
        )
    if patchy:
        logging.getLogger("vbench_long").warning("not over all videos: %s", ", ".join(patchy))


def _say_absent(stored: Run) -> None:
    """Say what the published reader cannot see in the files."""
    from vbench_long.leaderboard.scores import SCALES, dimension_scores

    log = logging.getLogger("vbench_long")
    there = {s.dimension for s in dimension_scores(stored) if s.score is not None}
    if absent := [name for name in SCALES if name not in there]:
        log.warning(
            "without a score, and counted as 0 by the published reader: %s", ", ".join(absent)
        )
    if stored.manifest.protocol.get("backend") != "reference":
        log.warning("these are no published measures; a public leaderboard has no place for them")


def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Replace each file whole; never beside older results, which a reader would mix in."""
    from vbench_long.errors import UsageError, disk_faults
    from vbench_long.leaderboard.interchange.archive import RESULTS
    from vbench_long.store import write_atomically

    written = []
    with disk_faults("the files cannot be written", folder, "choose another --output"):
        folder.mkdir(parents=True, exist_ok=True)
        older = [p.name for p in folder.glob(f"*{RESULTS}") if p.name not in files]
        if older and any(name.endswith(RESULTS) for name in files):
            raise UsageError(
                f"the folder holds other results ({older[0]})", str(folder), "choose an empty one"
            )
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, content)
            written.append(path)
    return written
