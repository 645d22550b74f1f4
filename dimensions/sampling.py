"""Which frames of a clip a network sees that takes a fixed number of them."""

from __future__ import annotations

from itertools import pairwise

from vbench_long.video import Clip


def middle_frames(clip: Clip, count: int) -> tuple[int, ...]:
    """The middle frames of `count` equal stretches of the clip, indices in the video.

    A clip of fewer frames gives all it has, and its last one again until there are `count`.
    Where a stretch has no middle frame, the earlier of the two around it.

    Source: VBench, `get_frame_indices` with "middle".
    """
    stretches = min(count, len(clip))
    bounds = [clip.start + k * len(clip) // stretches for k in range(stretches + 1)]
    middles = [(first + stop - 1) // 2 for first, stop in pairwise(bounds)]
    return tuple(middles + middles[-1:] * (count - stretches))
