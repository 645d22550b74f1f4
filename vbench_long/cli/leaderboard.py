"""`vbench-long leaderboard`: put finished runs side by side."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

HELP = "put runs side by side: CSV, Markdown, an HTML page and a radar picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", metavar="RUN", nargs="*", type=Path, help="folder of a run")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for index.html, leaderboard.csv, .json, .md and the pictures",
    )
    parser.add_argument(
        "--published",
        metavar="NAME",
        nargs="*",
        help="put published models beside the runs: names or their beginnings, or all (default)",
    )
    parser.add_argument(
        "--partial",
        action="store_true",
        help="show Quality, Semantic and Total although dimensions or videos are missing, and say"
        " which",
    )
    parser.add_argument(
        "--no-media",
        action="store_true",
        help="index.html without frames of the worst videos and without paths to them",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the leaderboard as JSON instead of text"
    )


def run(args: argparse.Namespace) -> int:
    """Read the runs, write the files, print the table.

    Raises:
        UsageError: the runs cannot share a table.
        RunError: a folder is no run, or a damaged one.
        EnvironmentFault: the output folder cannot be written.
    """
    from vbench_long.leaderboard import documents, plots, scores, tables
    from vbench_long.leaderboard.assembly import build
    from vbench_long.leaderboard.published import choose_published
    from vbench_long.leaderboard.report import report_html
    from vbench_long.store import load_run

    log = logging.getLogger("vbench_long")
    rule = scores.available_totals if args.partial else scores.complete_totals
    published = () if args.published is None else choose_published(args.published or ["all"])
    board = build([load_run(folder) for folder in args.runs], rule, published)
    first = board.groups[0]
    files: dict[str, str | bytes | None] = {
        "leaderboard.csv": documents.leaderboard_csv(board),
        "leaderboard.json": documents.leaderboard_json(board),
        "leaderboard.md": documents.leaderboard_markdown(board),
        "index.html": report_html(board, args.output, "none" if args.no_media else "linked"),
        "radar.png": plots.radar_png(first) if plots.drawable_dimensions(first) else None,
    }
    for path in _write(args.output, files):
        log.info("wrote %s", path)
    if files["radar.png"] is None:
        log.warning("no radar.png: none of the official dimensions has a score")
    if len(first.rows) > plots.MOST_RUNS:
        log.warning("radar.png shows %d of %d rows", plots.MOST_RUNS, len(first.rows))
    text = documents.leaderboard_json(board) if args.json else tables.render_text(board)
    print(text, end="")
    return 0


def _write(folder: Path, files: Mapping[str, str | bytes | None]) -> list[Path]:
    """Replace each file whole; None removes what an earlier call left there."""
    from vbench_long.errors import disk_faults
    from vbench_long.store import write_atomically

    written = []
    fix = "free space or choose another --output"
    with disk_faults("the leaderboard cannot be written", folder, fix):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            path = folder / name
            if content is None:
                path.unlink(missing_ok=True)
                continue
            write_atomically(path, content)
            written.append(path)
    return written
