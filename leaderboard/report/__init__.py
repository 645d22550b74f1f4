"""The leaderboard as one HTML file that needs nothing else: no network, no server, no other file.

`data.py` turns the leaderboard into what the page shows, `details.py` a run into columns,
`media.py` takes posters from videos; `templates/report.html.j2` writes the tables, `page/*.js`
make them sort, filter, draw, compare and drill down.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from markupsafe import Markup

from vbench_long.leaderboard.board import Leaderboard
from vbench_long.leaderboard.report import shell
from vbench_long.leaderboard.report.data import BAR_WIDTH, page_data, sections
from vbench_long.leaderboard.report.media import Media

__all__ = ["report_html"]

_SCRIPTS: Final = ("dom", "table", "plots", "compare", "details", "main")


def report_html(board: Leaderboard, folder: Path, media: Media = "linked") -> str:
    """Write a leaderboard as a page; the same leaderboard and videos give the same bytes.

    Names and prompts are text in it, whatever they contain: the template escapes, the scripts
    make text nodes, and the page's own policy lets no other script run and nothing be fetched
    but videos.

    Args:
        board: from `build`.
        folder: where the page will lie; videos are addressed relative to it.
        media: "linked" shows posters of the worst videos inside the page and plays the files
            where they lie; "none" leaves out both.
    """
    shown = sections(board)
    style = shell.style(__package__, "page/report.css")
    script = _script()
    template = shell.environment(__package__).get_template("report.html.j2")
    page = template.render(
        sections=shown,
        models=len(board.rows),
        parts=list(dict.fromkeys(column.part for one in shown for column in one.columns)),
        has_runs=any(row.run for row in board.rows),
        data=page_data(shown, folder, media),
        bar_width=BAR_WIDTH,
        policy=shell.policy(style, script),
        style=Markup(style),
        script=Markup(script),
    )
    return page.encode("utf-8", "replace").decode()  # half a surrogate pair has no UTF-8


def _script() -> str:
    """The page's scripts as one, none of whose names is seen outside."""
    parts = (files(__package__).joinpath(f"page/{name}.js") for name in _SCRIPTS)
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return f'(() => {{\n"use strict";\n{text}}})();\n'
