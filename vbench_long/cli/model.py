"""Options that name a generator's own options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence


class Help(argparse.Action):
    """`--help`; after `--model NAME`, with the options of that generator."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(
            option_strings, argparse.SUPPRESS, nargs=0, help="show this help message and exit"
        )

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Print and exit."""
        parser.print_help()
        if name := getattr(namespace, "model", None):
            print(f"\noptions of {name}, --model-args NAME=VALUE,...:\n{_model_help(name)}")
        parser.exit()


def _model_help(name: str) -> str:
    from vbench_long.errors import VBenchLongError
    from vbench_long.evaluation.generation import find_generator
    from vbench_long.generators.options import described

    try:
        return described(find_generator(name))
    except VBenchLongError as error:
        return f"error: {error}"


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `--model-args` and `--checkpoint`."""
    parser.add_argument(
        "--model-args", default="", metavar="K=V,...",
        help="options of the generator; `--model NAME --help` lists them",
    )  # fmt: skip
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
