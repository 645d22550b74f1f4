"""Look at one video of a run: what did each dimension see, and which frames hurt most?

The video is measured again, exactly as the run did, and one HTML page shows what the scores are
made of: boxes and captions on frames, tags, likeliest actions, motion, similarity and quality over
time. It also says whether that gives the recorded scores.

Examples:
  vbench-long explain runs/mine --video "a lighthouse at dusk-0.mp4"
  vbench-long explain runs/mine --video lighthouse --dimensions color scene
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

HELP = "show what each dimension saw of one video: one HTML page"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `explain`."""
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run folder")
    parser.add_argument(
        "--video", required=True, metavar="V",
        help="a name as in videos.csv, a part of a name or prompt that no other has, or a path",
    )  # fmt: skip
    parser.add_argument(
        "--dimensions", nargs="+", default=[], metavar="NAME",
        help="default: all that the video was judged on",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, metavar="PAGE", help="default: RUN/explain/<name>.html"
    )
    parser.add_argument(
        "--weights", default=os.environ.get("VBENCH_LONG_WEIGHTS", ""), metavar="DIR",
        help="folder of checkpoints; default: where the run found them",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="auto", choices=("auto", "cpu", "cuda", "mps"),
        help="where networks run",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Write the page, print the scores; 3 if one came out otherwise than recorded."""
    from vbench_long.errors import disk_faults
    from vbench_long.evaluation.explaining import ExplainConfig, explain, page_name
    from vbench_long.leaderboard.evidence import evidence_html, evidence_text
    from vbench_long.store import write_atomically

    config = ExplainConfig(
        args.run_folder, args.video, tuple(args.dimensions), args.weights, args.device
    )
    explanation, pictures = explain(config)
    page = args.output or args.run_folder / "explain" / page_name(explanation.sample)
    with disk_faults("the page cannot be written", page, "choose another --output"):
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, evidence_html(explanation, pictures))
    logging.getLogger("vbench_long").info("wrote %s", page)
    print(evidence_text(explanation), end="")
    return 3 if any(seen.verdict == "differs" for seen in explanation.dimensions) else 0
