"""What must be computed for one video: its clips, and every item each backbone must see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vbench_long.dimensions import ClipScore, Dimension, Feature, Item, VideoFacts
from vbench_long.video import Clip, Scene, split

Found = Mapping[tuple[str, Item], Feature]
"""The feature of every (backbone, item) that was computed."""


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """One pass over one video.

    Attributes:
        facts: size, rate, prompt.
        scenes: per scene its clips, in order.
        items: per backbone, the distinct items it must see, by last and then first frame.
    """

    facts: VideoFacts
    scenes: tuple[tuple[Clip, ...], ...]
    items: Mapping[str, tuple[Item, ...]]


def plan_video(
    facts: VideoFacts, scenes: Sequence[Scene], seconds: float, dimensions: Sequence[Dimension]
) -> VideoPlan:
    """Cut the scenes into clips and unite what the dimensions need.

    Raises:
        VideoError: the frame rate allows no clip.
    """
    clips = tuple(
        tuple(split(scene.stop - scene.start, facts.fps, seconds, number, scene.start))
        for number, scene in enumerate(scenes)
    )
    wanted: dict[str, set[Item]] = {}
    for dimension in dimensions:
        roles = dimension.backbones[dimension.backend]
        for scene in clips:
            requests = [dimension.scene_items(scene)]
            requests += [dimension.clip_items(clip, facts) for clip in scene]
            for request in requests:
                for role, items in request.items():
                    wanted.setdefault(roles[role], set()).update(items)
    ordered = {
        backbone: tuple(sorted(items, key=lambda item: (max(item), item)))
        for backbone, items in wanted.items()
    }
    return VideoPlan(facts, clips, ordered)


def score_video(plan: VideoPlan, dimension: Dimension, found: Found) -> list[ClipScore]:
    """The scores of all clips of a planned video, in order. Pure."""
    roles = dimension.backbones[dimension.backend]
    scores: list[ClipScore] = []
    for scene in plan.scenes:
        clip_scores = [
            dimension.score_clip(
                clip,
                plan.facts,
                {
                    role: [found[roles[role], item] for item in items]
                    for role, items in dimension.clip_items(clip, plan.facts).items()
                },
            )
            for clip in scene
        ]
        features = {
            role: [found[roles[role], item] for item in items]
            for role, items in dimension.scene_items(scene).items()
        }
        scores += dimension.score_scene(clip_scores, features)
    return scores
