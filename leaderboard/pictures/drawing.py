"""What every picture shares: colours that tell apart, names that stay text, equal bytes."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from matplotlib import font_manager, rc_context, rcParamsDefault
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vbench_long.leaderboard.text import shorten

WIDTH_PIXELS: Final = 1600
INK: Final = "#333333"
PALE: Final = "#666666"

LINE: Final = 0.18  # inches, one line of small text

_DPI = 200
WIDTH: Final = WIDTH_PIXELS / _DPI
"""Of every picture, in inches."""


class Look(NamedTuple):
    """How one model is drawn."""

    colour: str
    dash: tuple[float, ...]
    marker: str


# Okabe and Ito's palette (without its yellow, too pale on white) and three of Paul Tol's: all
# tell apart under the common colour blindnesses, and dash and marker do without colour at all.
LOOKS: Final = (
    Look("#0072B2", (), "o"),
    Look("#D55E00", (5, 1.5), "s"),
    Look("#009E73", (1.5, 1), "^"),
    Look("#CC79A7", (5, 1.5, 1, 1.5), "D"),
    Look("#000000", (), "v"),
    Look("#E69F00", (5, 1.5), "p"),
    Look("#56B4E9", (1.5, 1), "d"),
    Look("#882255", (5, 1.5, 1, 1.5), "<"),
    Look("#999933", (), ">"),
    Look("#332288", (5, 1.5), "h"),
)

_WIDE_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Source Han Sans SC", "WenQuanYi Zen Hei",
               "PingFang SC", "Microsoft YaHei")  # fmt: skip


def picture(draw: Callable[[], Figure]) -> bytes:
    """What `draw` draws, as a PNG 1600 pixels wide, free of the caller's matplotlib settings.

    The same figure gives the same bytes as long as matplotlib and its fonts stay the same.
    """
    with rc_context(rcParamsDefault):
        figure = draw()
        _harden(figure)
        png = io.BytesIO()
        quick = {"compress_level": 3}  # half the time for a few percent of the size
        figure.savefig(png, dpi=_DPI, metadata={"Software": None}, pil_kwargs=quick)
    return png.getvalue()


def blank(height: float) -> Figure:
    """An empty white figure of this height in inches."""
    figure = Figure(figsize=(WIDTH, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def caption(about: str, facts: str) -> list[str]:
    """The lines that say on the picture itself what its numbers are."""
    return [*textwrap.wrap(shorten(about, 200), 110), *textwrap.wrap(facts, 110)]


def write_below(figure: Figure, lines: Sequence[str]) -> None:
    """Set lines of small text on the figure's lower edge; they take 0.15 inches and `LINE` each."""
    for number, line in enumerate(lines[::-1]):
        bottom = (0.15 + number * LINE) / figure.get_figheight()
        figure.text(0.5, bottom, line, ha="center", va="bottom", fontsize=9, color=PALE)


def _harden(figure: Figure) -> None:
    """Names are text, never formulas, and every character is one that some font can draw."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    families = ["DejaVu Sans", *(name for name in _WIDE_FONTS if name in installed)]
    fonts = [font_manager.get_font(font_manager.findfont(family)) for family in families]
    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_parse_math(False)
        text.set_fontfamily(families)
        text.set_text(
            "".join(
                c if c == "\n" or any(font.get_char_index(ord(c)) for font in fonts) else "?"
                for c in text.get_text()
            )
        )
