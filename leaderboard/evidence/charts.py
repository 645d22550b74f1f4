"""Numbers over time as drawings: plain geometry, which the template writes as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vbench_long.dimensions.evidence import Curve, Moment
from vbench_long.leaderboard.evidence.seen import Explanation

WIDE: Final = 1000
HIGH: Final = 100
"""The drawing's own units; it is stretched to the room there is."""

_TICKS = 5
_ROOM = 0.06  # of the range, above and below


@dataclass(frozen=True, slots=True)
class Drawn:
    """One line: its label, and per clip a path."""

    label: str
    paths: tuple[str, ...]
    said: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A level worth a line of its own."""

    label: str
    value: str
    y: float


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing of one or more lines over the whole video.

    Attributes:
        title: what is drawn.
        unit: of the numbers.
        lines: at least one.
        limits: levels.
        bands: (x, width) of every second clip.
        marks: x of the moments that hurt most.
        top: the number at the upper end.
        bottom: the number at the lower end.
        ticks: times below, evenly spread.
        csv: every number there is.
    """

    title: str
    unit: str
    lines: tuple[Drawn, ...]
    limits: tuple[Limit, ...]
    bands: tuple[tuple[float, float], ...]
    marks: tuple[float, ...]
    top: str
    bottom: str
    ticks: tuple[str, ...]
    csv: str


def short(value: float) -> str:
    """Four significant digits, in which 0 and 1 are plain."""
    return f"{value:.4g}"


def frames_text(explanation: Explanation, moment: Moment) -> str:
    """Frame numbers of a moment: "41", "41-42", "3, 9, ... 45"."""
    numbers = [explanation.number(frame) for frame in moment]
    if len(numbers) > 3:
        return f"{numbers[0]} to {numbers[-1]}"
    return "-".join(map(str, numbers))


def chart(
    explanation: Explanation,
    curves: Sequence[tuple[int, Curve]],
    clips: Sequence[tuple[int, int]],
    hurt: Sequence[Moment],
) -> Chart:
    """Draw curves of one title.

    Args:
        explanation: numbers frames and times.
        curves: with the number of the clip each belongs to; 0 for a scene's.
        clips: (first frame, one past the last) of every clip.
        hurt: moments to be marked.
    """
    first = curves[0][1]
    values = [v for _, curve in curves for line in curve.lines.values() for v in line]
    low, high = _range([*values, *(v for _, c in curves for v in c.limits.values())], first.unit)
    last = max(1, explanation.frames - 1)

    def across(frame: float) -> float:
        return round(WIDE * frame / last, 1)

    def middle(moment: Moment) -> float:
        return across(sum(explanation.number(frame) for frame in moment) / len(moment))

    def down(value: float) -> float:
        return round(HIGH * (high - value) / (high - low), 2)

    moments = {moment for _, curve in curves for moment in curve.moments}
    return Chart(
        title=first.title,
        unit=first.unit,
        lines=tuple(
            Drawn(
                label,
                tuple(
                    _path(
                        (middle(m), down(v)) for m, v in zip(c.moments, c.lines[label], strict=True)
                    )
                    for _, c in curves
                ),
                _said([v for _, c in curves for v in c.lines[label]]),
            )
            for label in first.lines
        ),
        limits=tuple(
            Limit(label, short(value), down(value)) for label, value in first.limits.items()
        ),
        bands=tuple(
            (across(start), round(across(stop - 1) - across(start), 1))
            for start, stop in clips[1::2]
        ),
        marks=tuple(middle(moment) for moment in hurt if moment in moments),
        top=short(high),
        bottom=short(low),
        ticks=tuple(
            f"{float(last / explanation.fps) * tick / (_TICKS - 1):.1f} s" for tick in range(_TICKS)
        ),
        csv="\n".join(_csv(explanation, curves)),
    )


def _range(values: Sequence[float], unit: str) -> tuple[float, float]:
    """A little more than the values take, but nothing below 0 or above 1 where they stay inside."""
    low, high = min(values), max(values)
    room = (high - low) * _ROOM or max(abs(high) * _ROOM, 1e-3)
    bottom = max(low - room, 0.0) if low >= 0 else low - room
    return bottom, min(high + room, 1.0) if high <= 1 and not unit else high + room


def _path(points: Iterator[tuple[float, float]]) -> str:
    """A path through the points; of a single one a dot."""
    found = [f"{x:g} {y:g}" for x, y in points]
    return f"M{found[0]}h0" if len(found) == 1 else f"M{'L'.join(found)}"


def _said(values: Sequence[float]) -> str:
    mean = sum(values) / len(values)
    return f"from {short(min(values))} to {short(max(values))}, mean {short(mean)}"


def _csv(explanation: Explanation, curves: Sequence[tuple[int, Curve]]) -> Iterator[str]:
    labels = list(curves[0][1].lines)
    yield ",".join(["frames", "seconds", "clip", *(label.replace(",", "") for label in labels)])
    for clip, curve in curves:
        for place, moment in enumerate(curve.moments):
            numbers = [f"{curve.lines[label][place]:.6g}" for label in labels]
            seconds = f"{explanation.seconds(moment[-1]):.3f}"
            where = str(clip) if clip else "all"
            yield ",".join([frames_text(explanation, moment), seconds, where, *numbers])
