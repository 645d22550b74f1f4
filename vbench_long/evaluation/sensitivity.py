"""Do the dimensions see what they claim to see? Synthetic scenes with known defects tell."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vbench_long.errors import VideoError
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.runner import Runner
from vbench_long.generators import Request
from vbench_long.generators.synthetic import create
from vbench_long.prompts import load_suite
from vbench_long.records import Sample, Status
from vbench_long.video import Encoding, write_video

STRENGTHS = (0.25, 0.5, 1.0)

FALLS, RISES = "falls", "rises"

EXPECTED: Mapping[str, Mapping[str, str]] = {
    "flicker": {"temporal_flickering": FALLS, "motion_smoothness": FALLS},
    "jitter": {"temporal_flickering": FALLS, "motion_smoothness": FALLS},
    "blur": {"imaging_quality": FALLS},
    "noise": {
        "temporal_flickering": FALLS,
        "motion_smoothness": FALLS,
        "imaging_quality": FALLS,
    },
    "freeze": {"temporal_flickering": RISES, "dynamic_degree": FALLS},
    "subject_drift": {"subject_consistency": FALLS},
    "background_swap": {"background_consistency": FALLS},
    "hard_cut": {"subject_consistency": FALLS, "background_consistency": FALLS},
    "compression": {"imaging_quality": FALLS},
    "overexposure": {"imaging_quality": FALLS},
}
"""Where theory says which way a defect moves a dimension. Pairs not named here have no sign that
holds for every scene (blur lowers or raises a consistency, say), and are reported, not judged."""


@dataclass(frozen=True, slots=True)
class Response:
    """How one dimension answers to one defect.

    Attributes:
        defect: name of the generator's defect.
        dimension: official name.
        expected: "falls", "rises", or "" where theory is silent.
        scores: mean raw score over the scenes, at strength 0 and then at each strength.
    """

    defect: str
    dimension: str
    expected: str
    scores: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether the score moves as expected: never back, and away from the clean score."""
        sign = {FALLS: -1, RISES: 1}.get(self.expected, 0)
        steps = [sign * (b - a) for a, b in zip(self.scores, self.scores[1:], strict=False)]
        return sign == 0 or (all(step >= 0 for step in steps) and sum(steps) > 0)


def measure(
    backend: str = "classical",
    options: Mapping[str, str] | None = None,
    scenes: int = 6,
    strengths: Sequence[float] = STRENGTHS,
    defects: Sequence[str] = tuple(EXPECTED),
    progress: Callable[[str], None] = lambda line: None,
) -> list[Response]:
    """Render scenes clean and with every defect at every strength, and score them all.

    Scenes are written losslessly and judged the way any video is.

    Args:
        backend: whose dimensions are tested.
        options: of the `synthetic` generator, its size and length say.
        scenes: how many prompts of the suite "mini" are rendered (1..8).
        strengths: rising, in (0, 1].
        defects: names of the generator's defects.
        progress: told what is being rendered.

    Raises:
        UsageError: unknown backend, option or defect.
        VideoError: a scene could not be scored.
    """
    dimensions = choose_dimensions((), backend)
    runner = Runner(dimensions)
    names = tuple(dimension.name for dimension in dimensions)
    prompts = [prompt.text for prompt in load_suite("mini").prompts[:scenes]]

    def scores(defect: str, strength: float) -> dict[str, float]:
        chosen = {**(options or {}), "defect": defect, "strength": str(strength)}
        return _mean_scores(runner, names, prompts, chosen if defect else dict(options or {}))

    progress("clean")
    clean = scores("", 0.0)
    responses = []
    for defect in defects:
        found = [clean]
        for strength in strengths:
            progress(f"{defect} at {strength:g}")
            found.append(scores(defect, strength))
        responses += [
            Response(
                defect,
                name,
                EXPECTED.get(defect, {}).get(name, ""),
                tuple(one[name] for one in found),
            )
            for name in names
        ]
    return responses


def _mean_scores(
    runner: Runner, names: tuple[str, ...], prompts: Sequence[str], options: Mapping[str, str]
) -> dict[str, float]:
    generator = create(options)
    lossless = Encoding("libx264rgb", "rgb24", {"qp": "0", "preset": "ultrafast"})
    found: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        for index, prompt in enumerate(prompts):
            path = Path(folder) / f"{index}.mp4"
            frames = generator.generate(Request(prompt, seed=index))
            write_video(path, frames, generator.fps, lossless)
            sample = Sample(path.name, prompt, index, str(path), dimensions=names)
            for record in runner.judge(sample, path, names):
                if record.status is not Status.OK or record.value is None:
                    raise VideoError(f"{record.dimension} has no score", prompt, record.error)
                found[record.dimension].append(record.value)
            path.unlink()
    return {name: math.fsum(values) / len(values) for name, values in found.items()}
