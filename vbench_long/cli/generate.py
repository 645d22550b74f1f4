"""Make a generator's videos for a suite of prompts, or for prompts of your own.

Examples:
  vbench-long generate --model synthetic --suite mini --output out
  vbench-long generate --model synthetic --prompt "a cat in the rain" --samples 3 --output out
  vbench-long generate --model synthetic --suite long --output out --dry-run

The same command goes on where an interrupted one stopped. `vbench-long evaluate --videos out`
judges what it made.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from vbench_long.cli.model import add_model_arguments, model_args
from vbench_long.cli.progress import shown

if TYPE_CHECKING:
    from vbench_long.evaluation.generation import Forecast, GenerateConfig

HELP = "make a generator's videos"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `generate`."""
    parser.add_argument(
        "--model", required=True, metavar="NAME",
        help="the generator: vchitect2, synthetic, folder (hands out videos that are there;"
        " --model-args path=DIR), or one that another package brings",
    )  # fmt: skip
    add_model_arguments(parser)
    parser.add_argument(
        "--suite", metavar="NAME|FILE",
        help="long (the default), mini, vbench, a file in VBench's schema, or a .txt with a prompt"
        " per line",
    )  # fmt: skip
    parser.add_argument(
        "--prompt", action="append", default=[], dest="prompts", metavar="TEXT",
        help="a prompt of your own instead of a suite; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=Path, required=True, metavar="DIR", help="folder for the videos"
    )
    parser.add_argument(
        "--dimensions", nargs="+", default=[], metavar="NAME",
        help="only prompts of the suite that serve one of these",
    )  # fmt: skip
    parser.add_argument(
        "--samples", type=int, metavar="N", help="per prompt; default: what the suite asks for"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N prompts")
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N",
        help="sample j of prompt i gets the seed N + 100000 i + j (default 0)",
    )  # fmt: skip
    parser.add_argument(
        "--negative-prompt", default="", metavar="TEXT", help="what no video must show"
    )
    parser.add_argument(
        "--image", type=Path, metavar="FILE",
        help="first frame of every video, for generators that start from one (vchitect2 does so"
        " with --model-args image=experimental; it was not trained for it)",
    )  # fmt: skip
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be made, and make nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Generate, and say what there is now."""
    from vbench_long.evaluation.generation import GenerateConfig, forecast, generate

    config = GenerateConfig(
        output=args.output,
        model=args.model,
        model_args=model_args(args),
        suite=args.suite,
        prompts=tuple(args.prompts),
        dimensions=tuple(args.dimensions),
        seed=args.seed,
        samples=args.samples,
        limit=args.limit,
        negative_prompt=args.negative_prompt,
        image=args.image,
    )
    if args.dry_run:
        print(_told(config, forecast(config)))
        return 0
    with shown() as progress:
        done = generate(config, progress.video, progress.step)
    print(f"{done.made} made, {done.there} there before, {len(done.failures)} failed")
    print(f"wrote {done.manifest}; judge them with: vbench-long evaluate --videos {args.output}")
    return 3 if done.failures else 0


def _told(config: GenerateConfig, found: Forecast) -> str:
    """A forecast for people."""
    left = found.videos - found.there
    lines = [
        f"{found.videos} videos of {found.prompts} prompts with {config.model}:"
        f" {found.there} are in {config.output}, {left} to make"
    ]
    if look := found.outline:
        length = f", {look.frames / found.fps:.4g} s at {found.fps:.4g} fps" if found.fps else ""
        lines.append(f"each {look.width}x{look.height}, {look.frames} frames{length}")
    else:
        lines.append(f"size and length: {config.model} does not say")
    if found.seconds is None:
        lines.append("time: unknown until the first video is made")
    else:
        source = f"as the {found.there} in the folder took" if found.measured else "an estimate"
        total = _duration(found.seconds * left)
        lines.append(f"time: {total} ({_duration(found.seconds)} a video, {source})")
    memory = found.outline.memory if found.outline else None
    told = "unknown" if memory is None else f"{memory / 1e9:.1f} GB at most (an estimate)"
    lines.append(f"memory: {told}")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
