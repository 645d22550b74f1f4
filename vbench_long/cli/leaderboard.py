"""Put runs side by side, with error bars, and beside published models.

Runs that follow different protocols are tables of their own, and say what differs. Within a table
rows are ranked by Total (else Quality, else Semantic); a rank is a range where the samples cannot
tell. Published figures have no samples and so no interval and no rank; a run stands among them if
it was judged as they were: --backend reference --clips reference --suite vbench, at fp32, with the
static filter, on five videos of every prompt (25 for temporal flickering). Runs with untrained
weights, of a judging network or of the generator, are refused.

Examples:
  vbench-long leaderboard runs/a runs/b --output board
  vbench-long leaderboard runs/a --published Gen-3 Kling OpenSora --output board
  vbench-long leaderboard runs/a --published --output board

Files: index.html, leaderboard.csv, .json, .md and .tex, radar.png, intervals.png; pictures of
further tables with runs are numbered, radar-2.png and so on.
"""

from __future__ import annotations

import argparse
import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vbench_long.leaderboard.board import Leaderboard

_PICTURE = re.compile(r"(radar|intervals)(-\d+)?\.png")
HELP = "put runs side by side, with error bars: HTML, CSV, JSON, Markdown, LaTeX, pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("runs", metavar="RUN", nargs="*", type=Path, help="folder of a run")
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        required=True,
        help="folder for the files",
    )
    parser.add_argument(
        "--published",
        metavar="NAME",
        nargs="*",
        help="put published models beside the runs: names, or how they begin; all without a NAME",
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
        UsageError: the same run twice, untrained weights, no score, or an unknown model.
        RunError: a folder is no run, a damaged one, or has a score outside its legal range.
        EnvironmentFault: the output folder cannot be written.
    """
    from vbench_long.errors import UsageError
    from vbench_long.leaderboard import documents, latex, scores, tables
    from vbench_long.leaderboard.assembly import build
    from vbench_long.leaderboard.published import choose_published
    from vbench_long.leaderboard.report import report_html
    from vbench_long.store import load_run

    log = logging.getLogger("vbench_long")
    for name in args.published or ():
        if (Path(name) / "run.json").exists():
            raise UsageError(
                "a run where a published model belongs", name, "name it before options"
            )
    rule = scores.available_totals if args.partial else scores.complete_totals
    published = () if args.published is None else choose_published(args.published or ["all"])
    board = build([load_run(folder) for folder in args.runs], rule, published)
    files: dict[str, str | bytes | None] = {
        "index.html": report_html(board, args.output, "none" if args.no_media else "linked"),
        "leaderboard.csv": documents.leaderboard_csv(board),
        "leaderboard.json": documents.leaderboard_json(board),
        "leaderboard.md": documents.leaderboard_markdown(board),
        "leaderboard.tex": latex.leaderboard_latex(board),
        **{path.name: None for path in args.output.glob("*.png") if _PICTURE.fullmatch(path.name)},
        **_pictures(board),
    }
    for path in _write(args.output, files):
        log.info("wrote %s", path)
    if not any(name.endswith(".png") for name, content in files.items() if content):
        log.warning("no pictures: none of the official dimensions has a score")
    text = documents.leaderboard_json(board) if args.json else tables.render_text(board)
    print(text, end="")
    return 0


def _pictures(board: Leaderboard) -> dict[str, bytes]:
    """The first group's pictures, and numbered ones of every further group with a run."""
    from vbench_long.leaderboard.pictures import intervals, radar

    found = {}
    for number, group in enumerate(board.groups, 1):
        suffix = f"-{number}" if number > 1 else ""
        if number > 1 and not any(row.run for row in group.rows):
            continue
        if radar.drawable_dimensions(group):
            found[f"radar{suffix}.png"] = radar.radar_png(group)
        if intervals.interval_names(group):
            found[f"intervals{suffix}.png"] = intervals.intervals_png(group)
    return found


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
