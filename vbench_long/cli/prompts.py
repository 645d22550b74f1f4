"""``vbench-long prompts``: which suites there are, what is in them, and the official one."""

from __future__ import annotations

import argparse
import json
import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vbench_long.prompts import Prompt

HELP = "list and show the suites of prompts, or get the official one"

_log = logging.getLogger("vbench_long")

_ABOUT = {
    "long": "ours: events in stages, camera moves, persistence, change of light and season",
    "mini": "eight prompts of long, all seven quality dimensions: a first look",
    "vbench": "the official suite",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-actions `list`, `show` and `pull`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    actions.add_parser("list", help="the suites, with the number of prompts, samples, dimensions")
    show = actions.add_parser("show", help="the prompts of a suite: dimensions, a tab, the prompt")
    show.add_argument(
        "suite", metavar="SUITE", help="long, mini, vbench, or a JSON file in the official form"
    )
    show.add_argument(
        "--dimension", metavar="D", help="only the prompts whose videos are judged on this"
    )
    show.add_argument(
        "--json", action="store_true", help="print a suite file: what SUITE may be read from again"
    )
    actions.add_parser("pull", help="get the official suite's file through pip; print its path")


def run(args: argparse.Namespace) -> int:
    """Do the action and return the exit code.

    Raises:
        UsageError: no such suite or dimension, or a damaged suite file.
        EnvironmentFault: the official file is not here, or cannot be had.
    """
    if args.action == "pull":
        from vbench_long.prompts import official

        print(official.pull())
    elif args.action == "list":
        _list()
    else:
        _show(args.suite, args.dimension, args.json)
    return 0


def _list() -> None:
    from vbench_long.errors import EnvironmentFault
    from vbench_long.prompts import load_suite, suite_names

    print(f"{'suite':8}{'prompts':>8}{'samples':>9}{'dimensions':>12}  about")
    for name in suite_names():
        try:
            suite = load_suite(name)
        except EnvironmentFault as fault:
            _log.warning("%s", fault)
            print(f"{name:8}{'-':>8}{'-':>9}{'-':>12}  {_ABOUT[name]}; cannot be read here")
            continue
        samples = sum(suite.samples(prompt) for prompt in suite.prompts)
        counts = f"{len(suite.prompts):8}{samples:9}{len(suite.dimensions):12}"
        print(f"{name:8}{counts}  {_ABOUT[name]}")


def _show(name: str, dimension: str | None, as_json: bool) -> None:
    from vbench_long.prompts import known_dimensions, load_suite
    from vbench_long.registry import unknown

    if dimension is not None and dimension not in known_dimensions():
        raise unknown("dimension", dimension, known_dimensions())
    suite = load_suite(name)
    prompts = suite.prompts if dimension is None else suite.serving(dimension)
    if not prompts:
        _log.warning("no prompt of %s serves %s", suite.name, dimension)
    if as_json:
        print(_suite_file(prompts))
        return
    for prompt in prompts:
        print(f"{','.join(prompt.dimensions)}\t{prompt.text}")


def _suite_file(prompts: Iterable[Prompt]) -> str:
    entries = []
    for prompt in prompts:
        entry: dict[str, object] = {"prompt_en": prompt.text, "dimension": prompt.dimensions}
        if prompt.auxiliary:
            entry["auxiliary_info"] = prompt.auxiliary
        entries.append(entry)
    return json.dumps(entries, indent=1, ensure_ascii=False)
