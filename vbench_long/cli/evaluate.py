"""Judge videos, or a model's videos for a suite of prompts, into a run folder.

Examples:
  vbench-long evaluate --model synthetic --suite mini --output runs/demo
  vbench-long evaluate --videos my_videos --output runs/mine
  vbench-long evaluate --videos list.csv --dimensions dynamic_degree --output runs/mine

The same command goes on where an interrupted one stopped.
"""

from __future__ import annotations

import argparse
import logging
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

from vbench_long.cli.model import add_model_arguments, model_args
from vbench_long.cli.progress import shown

HELP = "judge videos into a run folder"
TABLES = ("scores.csv", "videos.csv", "run.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `evaluate`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--videos", type=Path, metavar="DIR|FILE|MANIFEST",
        help="a folder of videos named '{prompt}-{i}.mp4' (with a suite also folders of those named"
        " like dimensions), one video, a folder of images, or a manifest (.csv or .jsonl with"
        " path, prompt, index, seed, and what dimensions must know of the prompt)",
    )  # fmt: skip
    source.add_argument("--model", metavar="NAME", help="generator that makes the videos")
    add_model_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="RUN", help="the run folder")
    parser.add_argument(
        "--dimensions", nargs="+", default=[], metavar="NAME", help="default: all the backend has"
    )
    parser.add_argument(
        "--backend", default="classical", metavar="NAME",
        help="classical (weight-free operators, the default) or reference (the published measure)",
    )  # fmt: skip
    parser.add_argument(
        "--suite", metavar="NAME|FILE",
        help="long, mini, vbench, a file in VBench's schema, or a .txt with a prompt per line;"
        " default: long with --model, none with --videos",
    )  # fmt: skip
    parser.add_argument("--name", default="", help="the model's name in tables")
    parser.add_argument("--seed", type=int, default=0, help="shifts the seeds of generated samples")
    parser.add_argument("--samples", type=int, metavar="N", help="samples per prompt")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N prompts")
    parser.add_argument(
        "--clips", default="exact", metavar="MODE",
        help="exact: judge the submitted pixels (default); reference: put every clip through the"
        " published program's lossy encode first",
    )  # fmt: skip
    parser.add_argument(
        "--scenes", type=float, nargs="?", const=35.0, metavar="THRESHOLD",
        help="cut videos at scene changes first (content change above THRESHOLD, default 35)",
    )  # fmt: skip
    parser.add_argument(
        "--static-filter", action=argparse.BooleanOptionalAction,
        help="judge temporal flickering on still clips only (default: as the official runs do,"
        " with --suite vbench on the reference backend)",
    )  # fmt: skip
    parser.add_argument(
        "--strict", action="store_true",
        help="do what the papers say where the published program does otherwise (color,"
        " human_action, scene, spatial_relationship): another protocol, not comparable with"
        " published scores",
    )  # fmt: skip
    parser.add_argument(
        "--fps", type=Fraction, metavar="RATE", help="frame rate of folders of images"
    )
    parser.add_argument(
        "--weights", default=os.environ.get("VBENCH_LONG_WEIGHTS", ""), metavar="DIR|seeded",
        help="folder of checkpoints; or 'seeded': untrained numbers, to try the plumbing",
    )  # fmt: skip
    parser.add_argument(
        "--device",
        default="auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="where networks run",
    )
    parser.add_argument(
        "--precision", default="fp32", choices=("fp32", "tf32", "bf16"),
        help="of networks; bf16 only where it is harmless (never RAFT, AMT-S, MUSIQ)",
    )  # fmt: skip
    parser.add_argument("--compile", action="store_true", help="torch.compile the networks")
    parser.add_argument(
        "--report", type=Path, metavar="FILE", help="write what the work cost as JSON"
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="judge what there is of the suite's videos, show totals over it, and say so",
    )
    parser.add_argument(
        "--dry-run", action="store_true",
        help="say what would be judged, by which networks, in what time and memory, and stop",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def run(args: argparse.Namespace) -> int:
    """Evaluate and print the table."""
    import json
    from dataclasses import asdict, fields

    from vbench_long.cli.estimates import measured, told
    from vbench_long.errors import UsageError
    from vbench_long.evaluation import Networks, RunConfig, evaluate, forecast
    from vbench_long.evaluation.estimate import Estimate
    from vbench_long.leaderboard.scores import available_totals, complete_totals
    from vbench_long.leaderboard.tables import run_summary, run_summary_text

    options = model_args(args)
    if options and not args.model:
        raise UsageError(f"options of a generator ({', '.join(options)})", "", "give its --model")
    config = RunConfig(
        output=args.output,
        videos=args.videos,
        model=args.model,
        model_args=options,
        suite=args.suite,
        dimensions=tuple(args.dimensions),
        backend=args.backend,
        name=args.name,
        seed=args.seed,
        samples=args.samples,
        limit=args.limit,
        clips=args.clips,
        scenes=args.scenes,
        fps=args.fps,
        static_filter=args.static_filter,
        strict=args.strict,
        partial=args.partial,
        networks=Networks(args.weights, args.device, args.precision, args.compile),
    )
    if args.dry_run:
        print(told(forecast(config)))
        return 0
    log = logging.getLogger("vbench_long")
    plans: list[Estimate] = []

    def on_plan(found: Estimate) -> None:
        plans.append(found)
        log.info("%s", told(found))

    with shown() as progress:
        outcome = evaluate(config, progress.video, progress.step, on_plan)
    if args.report:
        report: dict[str, Any] = {
            f.name: dict(getattr(outcome.counts, f.name)) for f in fields(outcome.counts)
        }
        report["costs"] = asdict(outcome.costs)
        report["estimate"] = asdict(plans[0])
        args.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    log.info("%s", measured(outcome.costs, plans[0]))
    log.info("wrote %s", ", ".join(str(args.output / name) for name in TABLES))
    rule = available_totals if args.partial else complete_totals
    if args.json:
        print(json.dumps(run_summary(outcome.run, rule), indent=1))
    else:
        print(run_summary_text(outcome.run, rule), end="")
    return 0 if set(outcome.run.manifest.counts) <= {"ok", "excluded"} else 3
