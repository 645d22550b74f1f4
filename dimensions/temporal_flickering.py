"""Temporal flickering: how little a clip changes from frame to frame."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, equal_shares
from vbench_long.video import Clip


class TemporalFlickering(Dimension):
    """Mean absolute change between neighbouring frames, turned so that 1 is a still picture.

    ``(255 - mean over pairs of mean |f_i - f_(i+1)|) / 255`` over all pixels and channels at
    the original size. Range 0..1, higher is calmer; real footage lies near 0.9..1.

    Source: VBench (Huang et al., CVPR 2024), dimension "temporal flickering"; the published code
    reads clips that were re-encoded at about 1 Mbit/s, this reads the submitted pixels. Sums are
    exact integers, where the published code rounds to float32 (differences below 1e-7). Moving
    videos are scored as they are; `StaticFlickering` leaves them out. A clip of one frame has no
    score (published: NaN).
    """

    name = "temporal_flickering"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"pair": "pixel_difference"},
        "classical": {"pair": "pixel_difference"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Every frame with its successor."""
        return {"pair": [(i, i + 1) for i in clip.frames[:-1]]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: mean absolute difference of each pair, in grey levels."""
        changes = [float(change) for change in features["pair"]]
        if not changes:
            return ClipScore(None, reason="one frame has nothing to flicker against")
        return ClipScore((255 - math.fsum(changes) / len(changes)) / 255)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The change of each pair."""
        changes = tuple(float(change) for change in features["pair"])
        if not changes:
            return Evidence()
        pairs = tuple((i, i + 1) for i in clip.frames[:-1])
        curve = Curve("Change from frame to frame", pairs, {"change": changes}, unit="grey levels")
        calm = tuple((255 - change) / 255 for change in changes)
        return Evidence(frames=equal_shares(pairs, calm), exhibits=(curve,))


def still_threshold(height: int, width: int) -> float:
    """Pixels of motion between neighbouring frames above which a pair moves."""
    return 3.0 * min(height, width) / 256


def moving_allowed(frames: int) -> int:
    """How many pairs of a still clip may move; halves round to even."""
    return round(2 * frames / 16)


def is_still(
    neighbours: Sequence[float], ends: Sequence[float], threshold: float, allowed: int
) -> bool:
    """The published static filter.

    Args:
        neighbours: motion of each pair of neighbouring frames, in pixels.
        ends: motion from the first to the last frame, and back.
        threshold: see `still_threshold`.
        allowed: see `moving_allowed`.
    """
    moving = sum(motion > threshold for motion in neighbours)
    return moving <= allowed and all(motion <= threshold * allowed * 2 for motion in ends)


class StaticFlickering(TemporalFlickering):
    """Temporal flickering of still clips only, as the official runs of the suite take it.

    A clip is still if at most an eighth of its pairs of neighbouring frames move (mean length of
    the longest 2 % of flow vectors above 3 pixels at a short side of 256), and the first and last
    frame lie close together. The others are excluded. Flow: RAFT, or DIS on the classical backend.

    Differs from the published filter: clips of videos shorter than one clip take part (there
    their file names never match), and so do videos of prompts outside the suite. The published
    cap of five still clips per prompt is applied where scores are averaged.
    """

    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"pair": "pixel_difference", "flow": "raft"},
        "classical": {"pair": "pixel_difference", "flow": "dis_flow"},
    }

    @property
    def identity(self) -> str:
        """Another measure than without the filter."""
        return f"{super().identity}/static"

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Neighbours for both roles, and for the flow the two ends, both ways."""
        pairs = [(i, i + 1) for i in clip.frames[:-1]]
        first, last = clip.start, clip.stop - 1
        return {"pair": pairs, "flow": [*pairs, (first, last), (last, first)] if pairs else []}

    def settled(self, clip: Clip, video: VideoFacts, features: Features) -> bool:
        """More pairs move than a still clip may have."""
        neighbours = [float(flow.flat[1]) for flow in features["flow"][: len(clip) - 1]]
        threshold = still_threshold(video.height, video.width)
        return sum(motion > threshold for motion in neighbours) > moving_allowed(len(clip))

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features of "flow": arrays whose second entry is the top 2 % motion in pixels."""
        if len(clip) < 2 or self.settled(clip, video, features):
            return _moving(len(clip))
        motions = [float(flow.flat[1]) for flow in features["flow"]]
        threshold, allowed = still_threshold(video.height, video.width), moving_allowed(len(clip))
        if len(motions) != len(clip) + 1:
            raise ValueError(f"{len(motions)} flows do not decide whether a clip is still")
        if not is_still(motions[:-2], motions[-2:], threshold, allowed):
            return _moving(len(clip))
        return super().score_clip(clip, video, features)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The change of each pair, and the motion by which still clips are told."""
        seen = super().evidence(clip, video, features)
        if not seen.exhibits:
            return seen
        motions = [float(flow.flat[1]) for flow in features["flow"]]
        threshold, allowed = still_threshold(video.height, video.width), moving_allowed(len(clip))
        neighbours, ends = motions[:-2], motions[-2:]
        moving = sum(motion > threshold for motion in neighbours)
        still = is_still(neighbours, ends, threshold, allowed)
        said = (
            f"{moving} of {len(neighbours)} pairs move, a still clip may have {allowed}; its ends"
            f" lie {max(ends):.1f} pixels apart, allowed are {threshold * allowed * 2:.1f}."
        )
        curve = Curve(
            "Motion from frame to frame, by which still clips are told",
            tuple((i, i + 1) for i in clip.frames[:-1]),
            {"longest 2 % of the flow": tuple(neighbours)},
            {"a pair moves above": threshold},
            "pixels",
        )
        exhibits = (*seen.exhibits, curve)
        return replace(seen, said=said, exhibits=exhibits, frames=seen.frames if still else None)


def _moving(frames: int) -> ClipScore:
    if frames < 2:
        return ClipScore(None, reason="one frame has nothing to flicker against")
    return ClipScore(
        None, reason="the clip moves; the static filter keeps still ones", excluded=True
    )
