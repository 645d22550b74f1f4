"""What the published program's hidden encode does to scores, on real footage.

    python benchmarks/reencode_effect.py VIDEO... --picture docs/reencode.png > table.md

Every video is judged twice, as submitted (`clips=exact`) and with each clip put through the encode
that VBench-Long's clips go through (`clips=reference`), by every measure that needs no weights.
Temporal flickering is the published measure itself; the others are the classical twins, whose
changes show the direction, not the size, of what the networks would see.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from vbench_long.dimensions import DIMENSIONS
from vbench_long.evaluation.runner import Runner
from vbench_long.leaderboard.scores import SCALES
from vbench_long.records import Sample
from vbench_long.video import Image, clip_length, probe, read_frames
from vbench_long.video.reencode import Reencoder

NAMES = tuple(n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones)
SHORT = ("subject", "background", "flickering", "smoothness", "dynamic", "imaging")


@dataclass(frozen=True, slots=True)
class Row:
    """One video: its size, rate, and change of every score (reference minus exact)."""

    name: str
    size: str
    fps: Fraction
    psnr: float
    change: dict[str, float]


def judge(path: Path, clips: str) -> dict[str, float]:
    """Scores of one video."""
    runner = Runner([DIMENSIONS.get(name)("classical") for name in NAMES], clips=clips)
    sample = Sample(path.name, "", 0, str(path), dimensions=NAMES)
    records = runner.judge(sample, path, NAMES)
    assert all(r.value is not None for r in records), [r.error for r in records]
    return {r.dimension: float(r.value or 0) for r in records}


def first_clip(path: Path) -> tuple[list[Image], list[Image]]:
    """The first clip's frames as submitted, and as they come out of the encode."""
    info = probe(path)
    length = clip_length(info.fps, 2)
    frames = [f.rgb for f, _ in zip(read_frames(info), range(length), strict=False)]
    encoder = Reencoder(int(info.fps))
    for rgb in frames:
        encoder.add(rgb)
    return frames, [frame.rgb for frame in encoder.frames()]


def measure(path: Path) -> Row:
    """Both judgements of one video."""
    exact, reference = judge(path, "exact"), judge(path, "reference")
    before, after = first_clip(path)
    error = np.mean(
        [np.mean((a.astype(float) - b) ** 2) for a, b in zip(before, after, strict=True)]
    )
    info = probe(path)
    return Row(
        path.stem,
        f"{info.width}x{info.height}",
        info.fps,
        float(10 * np.log10(255**2 / error)),
        {name: reference[name] - exact[name] for name in NAMES},
    )


def print_table(rows: list[Row]) -> None:
    """A Markdown table, and what the flicker change means for a Total."""
    heads = ["video", "size", "frames/s", "PSNR dB", *SHORT, "Total points by flickering"]
    print("| " + " | ".join(heads) + " |")
    print("| --- | --- |" + " ---: |" * (len(heads) - 2))
    for row in rows:
        changes = [f"{row.change[name]:+.4f}" for name in NAMES]
        cells = [row.name, row.size, f"{float(row.fps):.3g}", f"{row.psnr:.1f}", *changes]
        cells.append(f"{points(row):+.2f}")
        print("| " + " | ".join(cells) + " |")


def draw(rows: list[Row], target: Path) -> None:
    """Bars: what the encode adds to each video's flickering score, in points of a Total."""
    ordered = sorted(rows, key=points)
    figure = Figure(figsize=(9, 0.42 * len(rows) + 1.4), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    labels = [
        f"{row.name}  {row.size}, {float(row.fps):.3g}/s, {row.psnr:.0f} dB" for row in ordered
    ]
    bars = axes.barh(labels, [points(row) for row in ordered], color="#0072b2", height=0.65)
    axes.bar_label(bars, fmt="%+.2f", padding=4, fontsize=9)
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.margins(x=0.14)
    axes.set_title(
        "Points of Total the encode adds, through temporal flickering alone", fontsize=11
    )
    axes.xaxis.set_major_locator(MultipleLocator(0.05))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    figure.tight_layout()
    figure.savefig(target, metadata={"Software": None})


def points(row: Row) -> float:
    """Points of Total (0..100) behind a row's change of temporal flickering."""
    scale = SCALES["temporal_flickering"]
    normalised = row.change["temporal_flickering"] / (scale.maximum - scale.minimum)
    return normalised / 6.5 * 0.8 * 100


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("videos", type=Path, nargs="+")
    parser.add_argument("--picture", type=Path, help="draw the changes here")
    options = parser.parse_args()
    rows = [measure(path) for path in options.videos]
    print_table(rows)
    if options.picture:
        draw(rows, options.picture)


if __name__ == "__main__":
    main()
