"""List, get and check the published checkpoints of the reference backbones.

Examples:
  vbench-long weights list
  vbench-long weights pull dino_vitb16 raft_things
  vbench-long weights verify
  vbench-long weights seed vchitect2 --tiny checkpoints/tiny

Looked up in this order: --weights DIR (or VBENCH_LONG_WEIGHTS), VBench's cache, our cache, the
Hugging Face cache. Nothing but `pull` downloads, and never with HF_HUB_OFFLINE=1.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbench_long.weights.checkpoint import Checkpoint

HELP = "list, get and check checkpoints"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the sub-actions `list`, `pull`, `verify`, `path` and `seed`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="the checkpoints: size, licence, use, whether here")
    listing.add_argument("--json", action="store_true", help="print JSON")
    pull = actions.add_parser("pull", help="download what is not on this machine; print its path")
    pull.add_argument("names", nargs="*", metavar="NAME", help="checkpoints, as `list` names them")
    pull.add_argument("--all", action="store_true", help="every checkpoint there is")
    verify = actions.add_parser("verify", help="compare checksums; exit code 4 if one is wrong")
    verify.add_argument("names", nargs="*", metavar="NAME", help="default: all that are here")
    path = actions.add_parser("path", help="where checkpoints lie on this machine")
    path.add_argument("names", nargs="*", metavar="NAME", help="default: all that are here")
    for action in (listing, pull, verify, path):
        action.add_argument(
            "--weights", type=Path, metavar="DIR", help="a folder to look in before the caches"
        )
    seed = actions.add_parser("seed", help="write a made-up, untrained checkpoint to try things on")
    seed.add_argument("model", choices=("vchitect2",), help="whose checkpoint")
    seed.add_argument(
        "--tiny", type=Path, required=True, metavar="DIR", help="folder for a model of a few MB"
    )


def run(args: argparse.Namespace) -> int:
    """Do the action and return the exit code.

    Raises:
        UsageError: no such checkpoint or folder, or nothing is named; a folder to be written to
            is not empty.
        EnvironmentFault: a checkpoint that is named is not here, or damaged; the disk is full.
    """
    if args.action == "seed":
        from vbench_long.generators.vchitect2.tiny import write_tiny

        write_tiny(args.tiny)
        print(args.tiny)
    elif args.action == "list":
        _list(args.weights, args.json)
    elif args.action == "pull":
        return _pull(args.names, args.all, args.weights)
    elif args.action == "verify":
        return _verify(args.names, args.weights)
    else:
        _path(args.names, args.weights)
    return 0


def _list(folder: Path | None, as_json: bool) -> None:
    import json
    from dataclasses import asdict

    from vbench_long.weights.catalog import all_checkpoints

    rows = [(record, *_state(record, folder)) for record in all_checkpoints().values()]
    if as_json:
        print(json.dumps([asdict(r) | {"state": s, "path": p} for r, s, p in rows], indent=1))
        return
    print(f"{'checkpoint':27}{'size':>9}  {'state':9}{'dimensions':42}licence")
    for record, state, _ in rows:
        print(
            f"{record.name:27}{_amount(record.size):>9}  {state:9}"
            f"{', '.join(record.dimensions):42}{_licence(record)}"
        )


def _state(record: Checkpoint, folder: Path | None) -> tuple[str, str]:
    """Whether it is here, by names and sizes alone: reading gigabytes is for `verify`."""
    from vbench_long.weights.catalog import candidates
    from vbench_long.weights.fetch import is_there

    here = [place for place in candidates(record, folder) if is_there(place)]
    whole = [p for p in here if p.size in (0, p.path.stat().st_size)]
    if whole:
        return "here", str(whole[0])
    return ("damaged", str(here[0])) if here else ("absent", "")


def _pull(names: Sequence[str], every: bool, folder: Path | None) -> int:
    import sys

    from vbench_long.errors import EnvironmentFault, UsageError
    from vbench_long.weights.catalog import all_checkpoints, checkpoint
    from vbench_long.weights.fetch import pull

    if bool(names) == every:
        raise UsageError("name checkpoints, or say --all", "", "`vbench-long weights list`")
    code = 0
    for record in [checkpoint(name) for name in (all_checkpoints() if every else names)]:
        about = f"{record.name}: {_amount(record.size)}, licence {_licence(record)}"
        print(f"{about}; {record.note}" if record.note else about, file=sys.stderr)
        try:
            print(pull(record, folder), flush=True)
        except EnvironmentFault as fault:  # The others may come from elsewhere.
            print(f"error: {fault}", file=sys.stderr)
            code = fault.exit_code
    return code


def _verify(names: Sequence[str], folder: Path | None) -> int:
    from vbench_long.weights.catalog import candidates
    from vbench_long.weights.fetch import damage, is_there, locate, sha256

    wrong = False
    for record in _named_or_all(names):
        places = dict.fromkeys(p for p in candidates(record, folder) if is_there(p))
        if names and not places:
            locate(record, folder)
        for place in places:
            why = damage(place)
            wrong = wrong or bool(why)
            known = "right" if place.sha256 else "no published checksum"
            print(f"{record.name}: {place}: {why or f'{known}, sha256 {sha256(place)}'}")
    return 4 if wrong else 0


def _path(names: Sequence[str], folder: Path | None) -> None:
    from vbench_long.weights.fetch import locate

    for record in _named_or_all(names):
        if names or _state(record, folder)[0] != "absent":
            print(f"{record.name}\t{locate(record, folder)}")


def _named_or_all(names: Sequence[str]) -> list[Checkpoint]:
    from vbench_long.weights.catalog import all_checkpoints, checkpoint

    return [checkpoint(name) for name in (names or all_checkpoints())]


def _licence(record: Checkpoint) -> str:
    return record.licence if record.commercial else f"{record.licence} (non-commercial)"


def _amount(size: int) -> str:
    if size == 0:
        return "?"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
