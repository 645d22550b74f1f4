"""What two programs did on the same videos, as tables; see `against_vbench.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ALL = "all"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one process did, or several together.

    Attributes:
        overall: per dimension, the score of the whole set of videos.
        clips: per dimension and video, the scores of its clips in order.
        wall: seconds; `cpu`: those of all its threads.
        peak: most memory resident at once, MiB.
        frames: of the videos.
        decoded: frames decoded, of the videos and of clips written on the way.
        encoded: frames encoded; both are None where they were not counted.
        networks: networks built; `flows`: optical flows computed; `processes`: started.
    """

    overall: dict[str, float]
    clips: dict[str, dict[str, list[float]]]
    wall: float
    cpu: float
    peak: float
    decoded: int | None
    encoded: int | None
    networks: int
    flows: int = 0
    frames: int = 0
    processes: int = 1


def together(outcomes: Sequence[Outcome]) -> Outcome:
    """Several processes, one after another, as one."""
    return Outcome(
        overall={d: score for o in outcomes for d, score in o.overall.items()},
        clips={d: clips for o in outcomes for d, clips in o.clips.items()},
        wall=sum(o.wall for o in outcomes),
        cpu=sum(o.cpu for o in outcomes),
        peak=max(o.peak for o in outcomes),
        decoded=sum(o.decoded or 0 for o in outcomes),
        encoded=sum(o.encoded or 0 for o in outcomes),
        networks=sum(o.networks for o in outcomes),
        flows=sum(o.flows for o in outcomes),
        processes=sum(o.processes for o in outcomes),
    )


def largest_difference(
    first: Mapping[str, Sequence[float]], second: Mapping[str, Sequence[float]]
) -> float:
    """Over the clips of all videos; both programs must have the same clips."""
    if {v: len(s) for v, s in first.items()} != {v: len(s) for v, s in second.items()}:
        raise SystemExit(f"the programs cut other clips: {first} and {second}")
    return max(abs(a - b) for v in first for a, b in zip(first[v], second[v], strict=True))


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every column but the first is aligned to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = [header, ["-" * widths[0], *("-" * (w - 1) + ":" for w in widths[1:])], *rows]
    return "\n".join(
        "| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in cells) + " |"
        for cells in (list(enumerate(zip(line, widths, strict=True))) for line in lines)
    )


def dimension_table(found: Mapping[str, Outcome], names: Sequence[str], precision: str) -> str:
    """Per dimension: how far the scores are apart, and what each program's process cost."""
    ours = found[f"ours {precision} {ALL}"]
    rows = []
    for name in names:
        original, single = found[f"original {name}"], found.get(f"ours {precision} {name}")
        cost = ["-"] * 4
        if single:
            cost = [f"{single.wall:.1f}", f"{single.cpu:.1f}"]
            cost += [f"{original.wall / single.wall:.2f}", f"{original.cpu / single.cpu:.2f}"]
        rows.append([
            name,
            f"{largest_difference(original.clips[name], ours.clips[name]):.1e}",
            f"{abs(original.overall[name] - ours.overall[name]):.1e}",
            f"{original.wall:.1f}", f"{original.cpu:.1f}", *cost,
        ])  # fmt: skip
    header = ["dimension", "largest clip difference", "overall difference", "published wall s"]
    return table([*header, "CPU s", "ours wall s", "CPU s", "times faster, wall", "CPU"], rows)


def total_table(original: Outcome, ours: Outcome) -> str:
    """All dimensions together."""

    def row(label: str, first: float, second: float | None, digits: int) -> list[str]:
        if second is None:
            return [label, f"{first:.{digits}f}", "-", "-"]
        ratio = f"{first / second:.2f}" if second else "-"
        return [label, f"{first:.{digits}f}", f"{second:.{digits}f}", ratio]

    per_frame = None if ours.decoded is None else ours.decoded / ours.frames
    rows = [
        row("wall s", original.wall, ours.wall, 1),
        row("CPU s", original.cpu, ours.cpu, 1),
        row("processes", original.processes, ours.processes, 0),
        row("frames decoded per frame", (original.decoded or 0) / ours.frames, per_frame, 2),
        row("frames encoded", original.encoded or 0, ours.encoded, 0),
        row("networks built", original.networks, ours.networks, 0),
        row("flows computed", original.flows, ours.flows, 0),
        row("peak memory MiB", original.peak, ours.peak, 0),
    ]
    return table(["all together", "published", "ours", "published / ours"], rows)
