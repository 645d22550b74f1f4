"""Dynamic degree: does anything move?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, VideoFacts
from vbench_long.dimensions.evidence import Curve, Evidence, Frames
from vbench_long.video import Clip, clip_rate


def sampling_interval(rate: int) -> int:
    """Frames from one kept frame to the next, so that about 8 are kept per second."""
    return max(1, round(rate / 8))


def motion_threshold(height: int, width: int) -> float:
    """Pixels of motion between kept frames above which a pair counts: 6 at a short side of 256."""
    return 6.0 * min(height, width) / 256


def pairs_needed(kept: int) -> int:
    """How many pairs must move for a clip of `kept` frames to be dynamic: a quarter, rounded.

    Halves round to even. Up to two frames need none, so any pair makes them dynamic (published).
    """
    return round(4 * kept / 16)


def top_motion(flow_HW2: NDArray[np.floating[Any]], share: float) -> float:
    """Mean length of the longest `share` of the flow vectors, in the flow's own unit.

    The published share is 0.05 for dynamic degree and 0.02 for the static filter.
    """
    length_HW = np.hypot(flow_HW2[..., 0], flow_HW2[..., 1]).ravel()
    count = max(1, int(share * length_HW.size))
    return float(np.partition(length_HW, -count)[-count:].mean(dtype=np.float64))


def is_dynamic(motions: Sequence[float], threshold: float, needed: int) -> bool:
    """Whether at least `needed` of the pairs moved more than `threshold`; never without pairs."""
    return bool(motions) and sum(motion > threshold for motion in motions) >= needed


def pairs_until_certain(
    motions: Sequence[float], pairs: int, threshold: float, needed: int
) -> int | None:
    """How many pairs must be seen, in order, until nothing can change the verdict any more.

    Args:
        motions: of the first pairs, all of them or fewer.
        pairs: how many there are in all.
        threshold: above which a pair moves.
        needed: how many must move.

    Returns:
        None if `motions` do not decide.
    """
    above = 0
    for seen, motion in enumerate(motions, start=1):
        above += motion > threshold
        if above >= needed or above + pairs - seen < needed:
            return seen
    return None if pairs else 0


class DynamicDegree(Dimension):
    """Whether a clip moves: 1 or 0.

    About 8 frames per second are kept, from the clip's first on. A pair of neighbouring kept
    frames moves if the mean length of its longest 5 % of flow vectors exceeds 6 pixels (at a
    short side of 256, in proportion otherwise). A clip is dynamic if a quarter as many pairs
    move as frames were kept. One pair alone is always dynamic, no pair never (published quirks).
    Pairs are seen in order and only until the verdict is certain; `seen` of `pairs` says how far.

    Source: VBench (Huang et al., CVPR 2024); published flow is RAFT (Teed and Deng, ECCV 2020).
    The classical backend uses DIS flow. The interval follows the truncated frame rate that
    clips are counted in.
    """

    name = "dynamic_degree"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"pair": "raft"},
        "classical": {"pair": "dis_flow"},
    }

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Neighbours among the kept frames."""
        kept = self._kept(clip, video)
        return {"pair": list(pairwise(kept))}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: arrays whose first entry is a pair's top 5 % motion in pixels."""
        seen = self._seen(clip, video, features)
        if seen is None:
            raise ValueError(f"{len(features['pair'])} pairs do not decide whether a clip moves")
        motions = [float(feature.flat[0]) for feature in features["pair"][:seen]]
        threshold = motion_threshold(video.height, video.width)
        needed = pairs_needed(len(self._kept(clip, video)))
        parts = {
            "pairs": len(self.clip_items(clip, video)["pair"]),
            "seen": seen,
            "above": sum(motion > threshold for motion in motions),
            "needed": needed,
            "threshold": threshold,
        }
        return ClipScore(float(is_dynamic(motions, threshold, needed)), parts)

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The motion of all pairs, those behind the verdict too."""
        pairs = tuple(pairwise(self._kept(clip, video)))
        if not pairs:
            return Evidence()
        motions = tuple(float(feature.flat[0]) for feature in features["pair"])
        threshold = motion_threshold(video.height, video.width)
        needed = pairs_needed(len(self._kept(clip, video)))
        above = sum(motion > threshold for motion in motions)
        said = f"{above} of {len(pairs)} pairs move; {needed} must, for a clip to be dynamic."
        curve = Curve(
            "Motion between kept frames",
            pairs,
            {"longest 5 % of the flow": motions},
            {"a pair moves above": threshold},
            "pixels",
        )
        return Evidence(said=said, frames=Frames(pairs, motions), exhibits=(curve,))

    def settled(self, clip: Clip, video: VideoFacts, features: Features) -> bool:
        """Enough pairs moved, or too few are left."""
        return self._seen(clip, video, features) is not None

    def expected_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The pairs that must be seen of a clip that moves; one at rest takes about three times."""
        needed = max(1, pairs_needed(len(self._kept(clip, video))))
        return {"pair": self.clip_items(clip, video)["pair"][:needed]}

    def _seen(self, clip: Clip, video: VideoFacts, features: Features) -> int | None:
        return pairs_until_certain(
            [float(feature.flat[0]) for feature in features["pair"]],
            len(self.clip_items(clip, video)["pair"]),
            motion_threshold(video.height, video.width),
            pairs_needed(len(self._kept(clip, video))),
        )

    def _kept(self, clip: Clip, video: VideoFacts) -> range:
        return clip.frames[:: sampling_interval(clip_rate(video.fps))]
