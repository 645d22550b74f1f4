"""Figures that papers and the public leaderboard print, so that a model can stand beside others.

`published.csv` holds them as printed, in percent, each row with its source. They come without
samples, seeds or versions: a published row has no interval.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from vbench_long.leaderboard.scores import AGGREGATES, SCALES
from vbench_long.registry import unknown

LONG: Final = "VBench-Long"


@dataclass(frozen=True, slots=True)
class PublishedRow:
    """One model as somebody printed it.

    Attributes:
        model: its name on the leaderboard.
        protocol: "VBench-Long", "VBench" (the one for short videos), or "unstated".
        scores: raw scores by dimension, 0..1, with the digits that were printed; empty, some or
            all sixteen.
        aggregates: the printed Quality, Semantic and Total, 0..1.
        footage: resolution, frames per second, frames and seconds, where known.
        source: where the figures are printed.
        note: what a reader of the figures must know.
    """

    model: str
    protocol: str
    scores: Mapping[str, float]
    aggregates: Mapping[str, float]
    footage: Mapping[str, str]
    source: str
    note: str


@cache
def published_rows() -> tuple[PublishedRow, ...]:
    """All rows, in the file's order."""
    text = files(__package__).joinpath("published.csv").read_text(encoding="utf-8")
    return tuple(_row(line) for line in csv.DictReader(text.splitlines()))


def choose_published(names: Iterable[str]) -> tuple[PublishedRow, ...]:
    """The rows that `names` mean, each once, in the file's order.

    A name means every model it is, or begins up to the end of a word: "OpenSora" is OpenSora V1.1
    and V1.2 and not OpenSoraPlan. "all" means every row.

    Raises:
        UsageError: a name that means none; the message has the nearest.
    """
    rows = published_rows()
    wanted: set[str] = set()
    for name in names:
        begins = re.compile(re.escape(name.strip()) + r"(?![0-9A-Za-z])", re.IGNORECASE)
        found = {r.model for r in rows if name.lower() == "all" or begins.match(r.model)}
        if not found:
            raise unknown("published model", name, tuple(r.model for r in rows))
        wanted |= found
    return tuple(row for row in rows if row.model in wanted)


def _row(line: Mapping[str, str]) -> PublishedRow:
    return PublishedRow(
        model=line["model"],
        protocol=line["protocol"],
        scores={name: _raw(line[name]) for name in SCALES if line[name]},
        aggregates={name: _raw(line[name.lower()]) for name in AGGREGATES},
        footage={k: line[k] for k in ("resolution", "fps", "frames", "seconds") if line[k]},
        source=line["source"],
        note=line["note"],
    )


def _raw(percent: str) -> float:
    """A printed percentage as a share, with no digit that was not printed."""
    return float(f"{percent}e-2")
