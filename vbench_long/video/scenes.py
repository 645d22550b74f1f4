"""Scene cuts, found by PySceneDetect's content detector."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from fractions import Fraction

import cv2
from scenedetect import FrameTimecode
from scenedetect.detectors import ContentDetector

from vbench_long.video.clips import Scene
from vbench_long.video.frame import Frame

SCENE_THRESHOLD = 35.0
_WORKING_SIDE = 256


def find_scenes(
    frames: Iterable[Frame], fps: Fraction, threshold: float = SCENE_THRESHOLD
) -> list[Scene]:
    """The scenes of a video; a single one where nothing is cut.

    Mean change of hue, saturation and brightness between neighbouring frames against `threshold`,
    scenes of at least 15 frames (only the last may be shorter), frames scaled down linearly to a
    long side of 256 pixels, as PySceneDetect's own scene manager does.
    """
    detector = ContentDetector(threshold=threshold)
    cuts: list[int] = []
    count = 0
    for frame in frames:
        bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
        height, width = bgr.shape[:2]
        factor = max(width, height) / _WORKING_SIDE
        if factor > 1:
            size = (max(1, round(width / factor)), max(1, round(height / factor)))
            bgr = cv2.resize(bgr, size, interpolation=cv2.INTER_LINEAR)
        time = FrameTimecode(frame.index, fps)
        cuts += [cut.frame_num for cut in detector.process_frame(time, bgr)]
        count += 1
    cuts += [cut.frame_num for cut in detector.post_process(FrameTimecode(count, fps))]
    edges = [0, *sorted({cut for cut in cuts if 0 < cut < count}), count]
    return [Scene(start, stop) for start, stop in itertools.pairwise(edges)]
