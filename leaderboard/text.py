"""Names and notes as plain text: nothing a terminal, table or formula could stumble over."""

from __future__ import annotations

import csv
import html
import io
import textwrap
from collections.abc import Iterable, Sequence


def printable(text: str) -> str:
    """One line without control, format or half characters: safe for a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shorten(text: str, length: int) -> str:
    """`printable` text of at most `length` characters; the middle goes, since ends tell apart."""
    plain = printable(text)
    tail = length // 3
    return plain if len(plain) <= length else f"{plain[: length - tail - 3]}...{plain[-tail:]}"


def videos_in_words(number: int) -> str:
    """So many videos, and one video."""
    return f"{number} video" if number == 1 else f"{number} videos"


def wrapped(line: str, width: int = 80) -> list[str]:
    """A line as lines of at most `width` characters, the later ones indented."""
    return textwrap.wrap(line, width, subsequent_indent="  ", break_on_hyphens=False)


def aligned(grid: Sequence[Sequence[str]], least: int = 6) -> list[str]:
    """First column to the left, the others to the right; marks hang over the right edge."""
    widths = [max(len(row[i].rstrip("*")) for row in grid) for i in range(len(grid[0]))]
    lines = []
    for row in grid:
        cells = [row[0].ljust(widths[0])]
        for cell, width in zip(row[1:], widths[1:], strict=True):
            number = cell.rstrip("*")
            cells.append(number.rjust(max(width, least)) + cell[len(number) :].ljust(1))
        lines.append(" ".join(cells).rstrip())
    return lines


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV: floats in full precision, None as an empty cell, no cell a formula."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([_cell(v) for v in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """A value as CSV text that no spreadsheet runs as a formula and no reader stumbles over."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, int):
        return str(value)
    text = str(value).replace("\r\n", "\n").replace("\r", "\n").replace("\0", "")
    text = text.encode("utf-8", "replace").decode("utf-8")  # half a surrogate pair has no UTF-8
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\n")) else text


def markdown(text: str) -> str:
    """Text that stays text, on one line, in a Markdown table."""
    plain = html.escape(printable(text), quote=False)
    return "".join(f"\\{char}" if char in "\\`*[]|~$" else char for char in plain)
