"""Test the dimensions on synthetic scenes with known defects, and print how each score moves.

Every defect is rendered at three strengths. Where theory says which way a score must go, it has
to go that way at every step; the command ends with 1 if one does not.
"""

from __future__ import annotations

import argparse

HELP = "test the dimensions on videos with known defects"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `sensitivity`."""
    parser.add_argument("--backend", default="classical", metavar="NAME", help="whose dimensions")
    parser.add_argument("--defects", nargs="+", metavar="NAME", help="default: all")
    parser.add_argument("--scenes", type=int, default=6, metavar="N", help="1 to 8, default 6")
    parser.add_argument(
        "--model-args", default="width=360,height=240", metavar="K=V,...",
        help="options of the synthetic generator (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure and print the table; 1 if a dimension moves the wrong way."""
    import json
    import logging
    from dataclasses import asdict

    from vbench_long.cli.model import parse_model_args
    from vbench_long.evaluation.sensitivity import EXPECTED, STRENGTHS, measure

    responses = measure(
        args.backend,
        parse_model_args(args.model_args),
        args.scenes,
        defects=args.defects or tuple(EXPECTED),
        progress=logging.getLogger("vbench_long").info,
    )
    if args.json:
        print(json.dumps([{**asdict(r), "holds": r.holds} for r in responses], indent=1))
    else:
        head = ["defect", "dimension", "clean", *(f"{s:g}" for s in STRENGTHS), "expected", "holds"]
        rows = [
            [r.defect, r.dimension, *(f"{s:.4f}" for s in r.scores)]
            + ([r.expected, "yes" if r.holds else "NO"] if r.expected else ["", ""])
            for r in responses
        ]
        _print_table(head, rows, args.markdown)
    return 0 if all(r.holds for r in responses) else 1


def _print_table(head: list[str], rows: list[list[str]], markdown: bool) -> None:
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    edge, gap = ("| ", " | ") if markdown else ("", "  ")
    lines = [[*head], *([["-" * w for w in widths]] if markdown else []), *rows]
    for row in lines:
        cells = gap.join(cell.ljust(w) for cell, w in zip(row, widths, strict=True))
        print((edge + cells + edge[::-1]).rstrip())
