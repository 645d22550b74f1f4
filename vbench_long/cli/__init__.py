"""The command line: one file per command, nothing heavy imported before a command needs it."""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stderr
from importlib import import_module
from keyword import iskeyword

from vbench_long import __version__
from vbench_long.cli.model import Help
from vbench_long.errors import UsageError, VBenchLongError

COMMANDS = (
    "evaluate",
    "generate",
    "leaderboard",
    "compare",
    "explain",
    "verify",
    "import",
    "export",
    "dimensions",
    "prompts",
    "weights",
    "sensitivity",
)
EXIT_CODES = (
    "exit codes: 0 fine, 1 a gate failed, 2 usage, 3 some videos failed (the rest is stored), "
    "4 environment (disk, weights, device), 130 interrupted"
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(
        prog="vbench-long",
        description="Judge long generated videos, and rank the models that made them.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"vbench-long {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="show debugging messages")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in COMMANDS:
        file = f"{name}_" if iskeyword(name) else name  # `import` is no name for a module
        module = import_module(f"vbench_long.cli.{file}")
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            add_help=False,
        )
        command.add_argument("-h", "--help", action=Help)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    with redirect_stderr(io.StringIO()) if _echoes() else nullcontext():
        options = parser.parse_args(arguments)
    _log_to_stderr(logging.DEBUG if options.verbose else logging.INFO)
    try:
        return int(options.run(options))
    except VBenchLongError as error:
        if not (isinstance(error, UsageError) and _echoes()):
            print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where this one stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of stdout went away; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _echoes() -> bool:
    """Whether the first process of a `torchrun` says the same about the command line as this one.

    Other launchers start processes that need not have the same command line.
    """
    return "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("RANK", "0") != "0"


class _Format(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno == logging.INFO else f"{record.levelname.lower()}: {text}"


def _log_to_stderr(level: int) -> None:
    log = logging.getLogger("vbench_long")
    log.handlers.clear()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Format("%(message)s"))
    log.addHandler(handler)
    log.setLevel(level)
