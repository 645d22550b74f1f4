"""The leaderboard as LaTeX tables for a paper."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

from vbench_long.leaderboard.board import Group, Leaderboard, Row, footnotes
from vbench_long.leaderboard.documents import printed_legend, sections, sentence
from vbench_long.leaderboard.scores import AGGREGATES
from vbench_long.leaderboard.tables import half_width, mark, number, place, videos
from vbench_long.leaderboard.text import printable, shorten

_HEAD: Final = r"""% Include with \input{leaderboard}; needs \usepackage{booktabs,graphicx}.
% XeLaTeX and LuaLaTeX set names in any script, given a font that has it; pdfLaTeX shows ? there.
\providecommand{\anyscript}[2]{\ifdefined\Umathchar#1\else#2\fi}
"""

_SPECIAL: Final = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': "''",
    "[": "{[}",  # after a line's end it would open an argument,
    "*": "{*}",  # and this one would be swallowed
    "±": r"$\pm$",
}
_ACCENTS: Final = frozenset("\u0300\u0301\u0302\u0303\u0308\u030a\u0327\u030c")


def leaderboard_latex(board: Leaderboard) -> str:
    """Tables with booktabs rules: per group the aggregates, then the dimensions."""
    return _HEAD + "".join(line + "\n" for group in board.groups for line in _group(group))


def _group(group: Group) -> list[str]:
    about = [f"{group.title}: {group.about}", *(f"apart: {reason}" for reason in group.apart)]
    caption = latex(" ".join(map(sentence, [*about, "; ".join(printed_legend(group))])))
    body = [
        [place(row).replace("-", "--") if row.rank else "--", _name(row), videos(row),
         *(_number(row, name) for name in AGGREGATES)]
        for row in group.rows
    ]  # fmt: skip
    lines = ["", *_table(caption, ["Rank", "Model", "Videos", *AGGREGATES], "rlrrrr", body)]
    notes = [rf"\item[*] {latex(note)}" for note in footnotes(group)]
    if notes:
        found = [r"\begin{itemize}\footnotesize", *notes, r"\end{itemize}"]
        lines[-1:-1] = found
    for title, names in sections(group):
        header = ["Model", *(r"\shortstack{" + n.replace("_", r"\\") + "}" for n in names)]
        body = [[_name(row), *(_number(row, name) for name in names)] for row in group.rows]
        caption = latex(sentence(f"{group.title}: {title}"))
        lines += ["", *_table(caption, header, "l" + "r" * len(names), body)]
    return lines


def _table(
    caption: str, header: Sequence[str], columns: str, body: Iterable[Sequence[str]]
) -> list[str]:
    return [
        r"\begin{table*}[tp]",
        r"\centering\small",
        rf"\caption{{{caption}}}\smallskip",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
        *(" & ".join(row) + r" \\" for row in body),
        r"\bottomrule",
        r"\end{tabular}}",
        r"\end{table*}",
    ]


def _name(row: Row) -> str:
    return latex(shorten(row.label, 60))


def _number(row: Row, name: str) -> str:
    cell = row.cell(name)
    half = half_width(cell)
    shown = "--" if cell.score is None else number(cell)
    bold = rf"\textbf{{{shown}}}" if row.leads(name) else shown
    return bold + (rf"{{\tiny\,$\pm${half}}}" if half else "") + mark(cell)


def latex(text: str) -> str:
    """Text that stays text in LaTeX, on one line, whatever it contains."""
    return "".join(map(_character, printable(text)))


def _character(char: str) -> str:
    if char in _SPECIAL:
        return _SPECIAL[char]
    parts = unicodedata.normalize("NFD", char)
    accented = ord(char) < 0x180 and parts[0].isascii() and set(parts[1:]) <= _ACCENTS
    return char if char.isascii() or accented else rf"\anyscript{{{char}}}{{?}}"
