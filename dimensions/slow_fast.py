"""Slow-fast consistency: inside each clip, and between the clips of a long video."""

from __future__ import annotations

import csv
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from vbench_long.dimensions.base import (
    ClipScore,
    Dimension,
    Feature,
    Features,
    Items,
    VideoFacts,
)
from vbench_long.dimensions.evidence import Curve, Evidence, Moment, equal_shares
from vbench_long.video import Clip


def consistency(features: Sequence[Feature]) -> float:
    """How alike a sequence of features stays.

    Mean over i = 1..n-1 of ``(max(0, cos(f_(i-1), f_i)) + max(0, cos(f_0, f_i))) / 2``: every
    frame is compared with its predecessor and with the first. Range 0..1; 1 means identical
    directions. A feature of length zero is like nothing: its cosines are 0.

    Args:
        features: at least two vectors of one length.
    """
    to_previous, to_first = likenesses(features)
    return float((to_previous + to_first).mean() / 2)


def likenesses(features: Sequence[Feature]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of each feature but the first: how like its predecessor it is, and how like the first.

    Both (n - 1,), 0..1; see `consistency`.
    """
    stack = np.stack([np.asarray(feature, np.float64).ravel() for feature in features])
    lengths = np.linalg.norm(stack, axis=1, keepdims=True)
    unit_ND = stack / np.maximum(lengths, 1e-12)
    to_previous = np.einsum("nd,nd->n", unit_ND[:-1], unit_ND[1:])
    to_first = np.einsum("nd,d->n", unit_ND[1:], unit_ND[0])
    # Rounding can push the cosine of two equal vectors past 1, and a score past its legal range.
    return np.clip(to_previous, 0, 1), np.clip(to_first, 0, 1)


@dataclass(frozen=True, slots=True)
class MappingTable:
    """The published map from a clip-to-clip score onto the scale of in-clip scores.

    Piecewise linear and monotone through 101 points; (0, 0) and (1, 1) are among them, yet 0.01
    already maps to 0.66 (subject) or 0.87 (background), so the fast branch has little leverage.

    Source: ``{subject,background}_mapping_table.csv`` of VBench-Long.

    Attributes:
        keys: clip-to-clip scores, ascending.
        values: the mapped scores.
    """

    keys: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, score: float) -> float:
        """The mapped score; outside the keys, the nearest end's."""
        above = bisect_left(self.keys, score)
        if above == len(self.keys):
            return self.values[-1]
        if above == 0 or self.keys[above] == score:
            return self.values[above]
        left, right = self.keys[above - 1], self.keys[above]
        low, high = self.values[above - 1], self.values[above]
        return low + (high - low) * (score - left) / (right - left)


@cache
def mapping_table(name: str) -> MappingTable:
    """The table called `name` ("subject", "background") that is shipped with the package."""
    path = files("vbench_long.dimensions") / "tables" / f"{name}_mapping.csv"
    with path.open(encoding="utf-8") as lines:
        rows = [(float(key), float(value)) for key, value in list(csv.reader(lines))[1:]]
    keys, values = zip(*rows, strict=True)
    return MappingTable(keys, values)


def fuse(inclip: float, fast: float | None, table: MappingTable) -> ClipScore:
    """One clip's score from both branches: the mean of `inclip` and the mapped `fast` score.

    Without a fast score, or where it maps to 0, the in-clip score stands alone, as published:
    a video of one clip pays no penalty for drifting.

    Args:
        inclip: consistency of the clip's frames.
        fast: consistency of the first frames of the scene's clips; None if there is one clip.
        table: puts `fast` on the scale of `inclip`.
    """
    mapped = 0.0 if fast is None else table(fast)
    fused = inclip if mapped == 0 else 0.5 * inclip + 0.5 * mapped
    parts = {
        "inclip_score": inclip,
        "clip2clip_score": fast,
        "mapped_clip2clip_score": mapped,
    }
    return ClipScore(fused, parts)


class SlowFast(Dimension):
    """A dimension scored by the consistency of features inside and between clips.

    Roles: "frame" (every frame of a clip) and "clip" (the first frame of each clip of a scene,
    where the scene has at least two clips).

    Class attributes:
        table: name of the mapping table.
    """

    table: ClassVar[str]

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame."""
        return {"frame": [(i,) for i in clip.frames]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """The in-clip score."""
        if len(features["frame"]) < 2:
            return ClipScore(None, reason="one frame has nothing to be consistent with")
        return fuse(consistency(features["frame"]), None, mapping_table(self.table))

    def scene_items(self, clips: Sequence[Clip]) -> Items:
        """The first frame of each clip, if there are clips to compare."""
        return {"clip": [(clip.start,) for clip in clips]} if len(clips) > 1 else {}

    def score_scene(self, scores: Sequence[ClipScore], features: Features) -> list[ClipScore]:
        """Fuse every clip's in-clip score with the scene's clip-to-clip score."""
        firsts = features.get("clip", ())
        if len(firsts) < 2:
            return list(scores)
        fast = consistency(firsts)
        table = mapping_table(self.table)
        return [
            score if score.value is None else fuse(score.value, fast, table) for score in scores
        ]

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """How like its predecessor, and the first, each frame of the clip is."""
        moments = tuple((index,) for index in clip.frames)
        return _side_by_side("Likeness of frames", moments, features["frame"], "its clip")

    def scene_evidence(self, clips: Sequence[Clip], features: Features) -> Evidence:
        """The same of the clips' first frames."""
        moments = tuple((clip.start,) for clip in clips)
        firsts = features.get("clip", ())
        seen = _side_by_side("Likeness of the clips' first frames", moments, firsts, "the scene")
        if seen.frames is None or seen.frames.score is None:
            return seen
        fast = seen.frames.score
        mapped = mapping_table(self.table)(fast)
        said = f"From clip to clip it stays {fast:.4f} alike, which maps to {mapped:.4f}"
        half = "half of every clip's score" if mapped else "which counts for nothing"
        return replace(seen, said=f"{said}: {half}.")


def _side_by_side(
    title: str, moments: tuple[Moment, ...], features: Sequence[Feature], whole: str
) -> Evidence:
    if len(features) < 2:
        return Evidence()
    to_previous, to_first = likenesses(features)
    lines = {
        "to the one before": tuple(to_previous.tolist()),
        f"to the first of {whole}": tuple(to_first.tolist()),
    }
    worth = tuple(((to_previous + to_first) / 2).tolist())
    curve = Curve(title, moments[1:], lines)
    return Evidence(frames=equal_shares(moments[1:], worth), exhibits=(curve,))
