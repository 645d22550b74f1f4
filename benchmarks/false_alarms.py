"""How often the gate cries wolf, what it sees, and how often intervals cover the truth.

Runs are simulated record by record: seven dimensions that go together, prompts that differ,
samples and clips that scatter, scores squeezed against 1, one dimension of zeros and ones. Every
comparison goes through `vbench_long.leaderboard.gate.comparison.compare`, every interval through
`vbench_long.leaderboard.bootstrap`:

    python benchmarks/false_alarms.py                       # about a quarter of an hour
    python benchmarks/false_alarms.py --repetitions 50      # a first look
    python benchmarks/false_alarms.py --picture docs/power.png
    python benchmarks/false_alarms.py --pixels              # also: videos of the synthetic model

Rates carry the interval of Wilson, because repetitions are few.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vbench_long.leaderboard.bootstrap import Clusters, dimension_statistics, interval
from vbench_long.leaderboard.gate.comparison import Comparison, Verdict, compare
from vbench_long.leaderboard.scores import partial_totals
from vbench_long.leaderboard.statistics import run_estimates
from vbench_long.records import Manifest, Record, Sample, Status
from vbench_long.store import Run

Floats = NDArray[np.float64]

SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "subject_consistency": lambda z: 1 - 0.04 * np.exp(0.7 * z),
    "background_consistency": lambda z: 1 - 0.03 * np.exp(0.5 * z),
    "temporal_flickering": lambda z: 1 - 0.02 * np.exp(0.6 * z),
    "motion_smoothness": lambda z: 1 - 0.01 * np.exp(0.5 * z),
    "dynamic_degree": lambda z: np.where(z < 0.3, 1.0, 0.0),
    "aesthetic_quality": lambda z: 0.55 + 0.06 * z,
    "imaging_quality": lambda z: 0.65 + 0.08 * z,
}
"""From a standard normal to the score of a clip."""

PLANTED = "aesthetic_quality"
DEVIATION = 0.06
"""Standard deviation of the planted dimension's videos."""

PROMPT, SAMPLE, CLIP = 0.55, 0.4, 0.05  # shares of the variance
COMMON = 0.5  # correlation of dimensions
CLIPS = 3


class Design(NamedTuple):
    """Prompts and samples of a run."""

    prompts: int
    samples: int


def noise(rng: np.random.Generator, *shape: int) -> Floats:
    """Standard normals; the last axis, the dimensions, is correlated."""
    own, shared = rng.standard_normal(shape), rng.standard_normal((*shape[:-1], 1))
    return math.sqrt(1 - COMMON) * own + math.sqrt(COMMON) * shared


def simulate(
    design: Design, prompts: Floats, rng: np.random.Generator, drop: float = 0, word: str = "prompt"
) -> Run:
    """One run: `prompts` (prompts x dimensions) are what the suite fixes, the rest is the seed."""
    size, names = (design.prompts, design.samples), tuple(SHAPES)
    z = math.sqrt(PROMPT) * prompts[:, None, None, :]
    z = z + math.sqrt(SAMPLE) * noise(rng, *size, len(names))[:, :, None, :]
    z = z + math.sqrt(CLIP) * noise(rng, *size, CLIPS, len(names))
    scores = np.stack([np.clip(SHAPES[name](z[..., i]), 0, 1) for i, name in enumerate(names)], -1)
    scores[..., names.index(PLANTED)] -= drop
    samples, records = [], []
    for prompt in range(design.prompts):
        for index in range(design.samples):
            video = f"{prompt}-{index}.mp4"
            samples.append(Sample(video, f"{word} {prompt}", index, video, dimensions=names))
            for i, name in enumerate(names):
                values = scores[prompt, index, :, i].tolist()
                parts = {"clips": [{"value": value} for value in values]}
                records.append(Record(video, name, Status.OK, sum(values) / CLIPS, parts=parts))
    manifest = Manifest("model", {}, {"backend": "simulated"}, {}, names, "complete", "")
    return Run(Path(word), manifest, tuple(samples), tuple(records), {})


def comparisons(
    design: Design, repetitions: int, drop: float = 0, paired: bool = True
) -> Iterator[Comparison]:
    """Two seeds of one model on one suite, or on two suites; NEW has the drop planted."""
    rng = np.random.default_rng([design.prompts, design.samples, round(1e6 * drop), paired])
    for _ in range(repetitions):
        prompts = noise(rng, 2, design.prompts, len(SHAPES))
        base = simulate(design, prompts[0], rng)
        other = simulate(
            design, prompts[0 if paired else 1], rng, drop, "prompt" if paired else "other"
        )
        yield compare(base, other)


def rate(hits: int, tries: int) -> str:
    """A share in percent with Wilson's 95 % interval."""
    z, share = 1.96, hits / tries
    middle = (share + z * z / 2 / tries) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * math.sqrt(share * (1 - share) / tries + (z / 2 / tries) ** 2)
    low, high = max(0.0, middle - half), min(1.0, middle + half)  # either end may miss by 1e-17
    return f"{100 * share:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def false_alarms(repetitions: int) -> None:
    print("\n## Two seeds of one model, alpha 0.05: percent of comparisons with a verdict\n")
    print("| design | prompts | samples | better or worse | exit code 1 | sees, in sd |")
    print("|---|---|---|---|---|---|")
    for paired in (True, False):
        for design in (Design(12, 1), Design(20, 2), Design(60, 2), Design(100, 5)):
            loud = worse = 0
            seen = []
            for found in comparisons(design, repetitions, paired=paired):
                loud += bool(found.having(Verdict.WORSE) or found.having(Verdict.BETTER))
                worse += found.exit_code == 1
                (planted,) = (f for f in found.findings if f.dimension == PLANTED)
                seen.append((planted.detectable or math.nan) / DEVIATION)
            cells = ["paired" if paired else "two-sample", *map(str, design)]
            cells += [rate(loud, repetitions), rate(worse, repetitions)]
            print(f"| {' | '.join([*cells, f'{np.nanmedian(seen):.2f}'])} |", flush=True)


def power(design: Design, repetitions: int, drop: float) -> int:
    """How often a drop (in standard deviations) of one dimension is called worse."""
    found = comparisons(design, repetitions, drop * DEVIATION)
    return sum(PLANTED in comparison.having(Verdict.WORSE) for comparison in found)


def power_curve(repetitions: int, picture: Path | None) -> None:
    drops = (0.0, 0.125, 0.25, 0.375, 0.5, 0.75, 1.0)
    designs = (Design(10, 1), Design(20, 1), Design(20, 2), Design(60, 2))
    print("\n## A drop planted in one of seven dimensions: percent of comparisons that say so\n")
    print(f"| prompts | samples | {' | '.join(f'{drop} sd' for drop in drops)} |")
    print("|---" * (2 + len(drops)) + "|")
    curves = {}
    for design in designs:
        hits = [power(design, repetitions, drop) for drop in drops]
        curves[design] = [hit / repetitions for hit in hits]
        cells = [*map(str, design), *(rate(hit, repetitions) for hit in hits)]
        print(f"| {' | '.join(cells)} |", flush=True)
    print("\n## Is what the gate says it sees what it sees? 80 percent are claimed\n")
    print("| prompts | samples | says it sees, in sd | percent seen of that drop |")
    print("|---|---|---|---|")
    for design in designs:
        known = [
            one.detectable / DEVIATION
            for found in comparisons(design, max(20, repetitions // 5))
            for one in found.findings
            if one.dimension == PLANTED and one.detectable
        ]
        drop = float(np.median(known))
        seen = rate(power(design, repetitions, drop), repetitions)
        print(f"| {design.prompts} | {design.samples} | {drop:.2f} | {seen} |", flush=True)
    if picture:
        draw(picture, drops, curves)


def draw(path: Path, drops: tuple[float, ...], curves: dict[Design, list[float]]) -> None:
    """The power curves as a picture."""
    from vbench_long.leaderboard.pictures.drawing import INK, LOOKS, PALE, blank, picture

    def figure() -> Any:
        drawn = blank(4.3)
        axes = drawn.add_axes((0.09, 0.2, 0.88, 0.7), xlim=(0, max(drops) + 0.02), ylim=(0, 104))
        for (design, shares), look in zip(curves.items(), LOOKS, strict=False):
            axes.plot(drops, [100 * share for share in shares], color=look.colour,
                      marker=look.marker, linewidth=1.8,
                      label=f"{design.prompts} prompts x {design.samples}")  # fmt: skip
        axes.axhline(90, color=PALE, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.text(0.012, 91, "90 %", fontsize=8, color=PALE)
        axes.set_xlabel("drop of one of seven dimensions, in standard deviations of its videos",
                        fontsize=9, color=INK)  # fmt: skip
        axes.set_ylabel("percent of comparisons that call it worse", fontsize=9, color=INK)
        axes.set_title("What compare sees (alpha 0.05 over all dimensions)", fontsize=11,
                       color=INK, loc="left")  # fmt: skip
        axes.grid(color="#e4e4e4", linewidth=0.7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.13),
                    ncols=len(curves), labelcolor=INK)  # fmt: skip
        return drawn

    path.write_bytes(picture(figure))


def coverage(repetitions: int) -> None:
    shapes: dict[str, tuple[Callable[[np.random.Generator, tuple[int, int]], Floats], float]] = {
        "normal": (lambda r, s: r.normal(0.5, 0.1, s), 0.5),
        "bounded, skewed: beta(8, 1)": (lambda r, s: r.beta(8, 1, s), 8 / 9),
        "bounded, very skewed: beta(2, 0.3)": (lambda r, s: r.beta(2, 0.3, s), 2 / 2.3),
        "1 - lognormal, sd 0.5": (
            lambda r, s: 1 - 0.05 * r.lognormal(0, 0.5, s), 1 - 0.05 * math.exp(0.125),
        ),
        "1 - lognormal, sd 0.8": (
            lambda r, s: 1 - 0.05 * r.lognormal(0, 0.8, s), 1 - 0.05 * math.exp(0.32),
        ),
        "5 binary samples, 67 %": (lambda r, s: r.binomial(5, r.beta(3, 1.5, s)) / 5, 2 / 3),
        "5 binary samples, 90 %": (lambda r, s: r.binomial(5, r.beta(9, 1, s)) / 5, 0.9),
        "1 binary sample, 60 %": (lambda r, s: r.binomial(1, 0.6, s).astype(float), 0.6),
        "1 binary sample, 90 %": (lambda r, s: r.binomial(1, 0.9, s).astype(float), 0.9),
    }  # fmt: skip
    sizes = (5, 8, 20, 100, 900)
    print("\n## Coverage of the 95 % interval of a dimension, in percent: BCa (percentile)\n")
    print(f"| scores of prompts | {' | '.join(f'{size} prompts' for size in sizes)} |")
    print("|---" * (1 + len(sizes)) + "|")
    for name, (draw_scores, truth) in shapes.items():
        cells = []
        for size in sizes:
            hits, none = {"BCa": 0, "percentile": 0}, 0
            for chunk in range(0, repetitions, 250):
                rng = np.random.default_rng([size, chunk])
                scores = draw_scores(rng, (size, min(250, repetitions - chunk)))
                columns = tuple(str(i) for i in range(scores.shape[1]))
                table = Clusters(columns, scores, np.ones_like(scores))
                (known,) = dimension_statistics([table], [size], 0, 10_000)
                for statistic in known.values():
                    if statistic.no_interval():
                        none += 1
                        continue
                    for method in ("BCa", "percentile"):
                        ends = interval(statistic, 0.95, method)
                        hits[method] += ends.low - 1e-9 <= truth <= ends.high + 1e-9
            tries = repetitions - none
            cell = f"{100 * hits['BCa'] / tries:.1f} ({100 * hits['percentile'] / tries:.1f})"
            cells.append(cell + (f", no interval {100 * none / repetitions:.1f}" if none else ""))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def quality_coverage(repetitions: int) -> None:
    rng = np.random.default_rng(0)
    many = simulate(Design(20_000, 1), noise(rng, 20_000, len(SHAPES)), rng)
    truth = {name: [] for name in SHAPES}
    for record in many.records:
        truth[record.dimension].append(record.value)
    scores = {name: float(np.mean(values)) for name, values in truth.items()}
    quality = partial_totals(scores).quality or math.nan
    print("\n## Coverage of the 95 % interval of simulated runs, 2 samples a prompt, in percent\n")
    print(f"| prompts | {' | '.join(SHAPES)} | Quality |")
    print("|---" * (2 + len(SHAPES)) + "|")
    for prompts in (20, 100):
        hits = dict.fromkeys([*SHAPES, "Quality"], 0)
        for _ in range(repetitions):
            run = simulate(Design(prompts, 2), noise(rng, prompts, len(SHAPES)), rng)
            found = run_estimates(run)
            for name, estimate in (found.dimensions | found.aggregates).items():
                if name in hits and estimate.interval:
                    value = scores.get(name, quality)
                    hits[name] += estimate.interval.low <= value <= estimate.interval.high
        cells = [rate(hit, repetitions) for hit in hits.values()]
        print(f"| {prompts} | {' | '.join(cells)} |", flush=True)


def pixels(repetitions: int, prompts: int = 20, samples: int = 6) -> None:
    """Videos of the synthetic generator, judged once; each repetition picks two of a prompt."""
    import contextlib
    import io

    from vbench_long.evaluation import RunConfig, evaluate

    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        options = {"width": "160", "height": "96", "seconds": "4"}
        config = RunConfig(
            Path(folder) / "run", model="synthetic", model_args=options, suite="long",
            limit=prompts, samples=samples,
        )  # fmt: skip
        run = evaluate(config).run
    rng = np.random.default_rng(0)
    loud = worse = 0
    for _ in range(repetitions):
        base, new = set(), set()
        for prompt in {sample.prompt for sample in run.samples}:
            videos = [sample.video for sample in run.samples if sample.prompt == prompt]
            first, second = rng.choice(videos, 2, replace=False)
            base.add(first)
            new.add(second)
        found = compare(*(_picked(run, chosen) for chosen in (base, new)))
        loud += bool(found.having(Verdict.WORSE) or found.having(Verdict.BETTER))
        worse += found.exit_code == 1
    print("\n## Videos of the synthetic generator, two samples of each prompt, classical backend\n")
    print("| prompts | dimensions | better or worse | exit code 1 |\n|---|---|---|---|")
    print(f"| {len({s.prompt for s in run.samples})} | {len(found.findings)} |"
          f" {rate(loud, repetitions)} | {rate(worse, repetitions)} |")  # fmt: skip


def _picked(run: Run, videos: set[str]) -> Run:
    """One video a prompt, as its sample 0."""
    samples = tuple(replace(s, index=0) for s in run.samples if s.video in videos)
    return replace(run, samples=samples, records=tuple(r for r in run.records if r.video in videos))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--picture", type=Path, help="draw the power curves as a PNG")
    parser.add_argument("--pixels", action="store_true", help="also judge generated videos")
    args = parser.parse_args()
    print(f"{args.repetitions} repetitions; coverage of a dimension: {4 * args.repetitions}")
    coverage(4 * args.repetitions)
    quality_coverage(args.repetitions)
    false_alarms(args.repetitions)
    power_curve(max(20, 2 * args.repetitions // 5), args.picture)
    if args.pixels:
        pixels(args.repetitions)


if __name__ == "__main__":
    main()
