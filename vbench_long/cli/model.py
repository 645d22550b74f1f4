"""Options that name a generator's own options."""

from __future__ import annotations

import argparse


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--model-args` and `--checkpoint`."""
    parser.add_argument(
        "--model-args", default="", metavar="K=V,...", help="options of the generator"
    )
    parser.add_argument(
        "--checkpoint", default="", metavar="DIR",
        help="the generator's checkpoint; the same as --model-args checkpoint=DIR",
    )  # fmt: skip


def model_args(args: argparse.Namespace) -> dict[str, str]:
    """The generator's options, the checkpoint among them.

    Raises:
        UsageError: a part without '=', or the same option twice.
    """
    from vbench_long.errors import UsageError

    options = parse_model_args(args.model_args)
    if args.checkpoint and "checkpoint" in options:
        raise UsageError("the checkpoint is given twice", "", "leave it out of --model-args")
    return options | ({"checkpoint": args.checkpoint} if args.checkpoint else {})


def parse_model_args(text: str) -> dict[str, str]:
    """``a=1,b=2`` to a mapping.

    Raises:
        UsageError: a part without '=', or the same option twice.
    """
    from vbench_long.errors import UsageError

    options: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals:
            raise UsageError(f"--model-args '{part}' has no value", "", "write name=value")
        if key in options:
            raise UsageError(f"--model-args names '{key}' twice", "", "give it once")
        options[key] = value
    return options
