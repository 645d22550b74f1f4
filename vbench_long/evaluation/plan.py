"""What must be computed for one video: its clips, and every item each backbone must see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vbench_long.dimensions import ClipScore, Dimension, Feature, Item, VideoFacts
from vbench_long.dimensions.base import Features, Items
from vbench_long.video import Clip, Scene, split

Key = tuple[str, Item]
"""A backbone and one item it computes."""

Ask = Callable[[Dimension, Clip, VideoFacts], Items]
"""What a dimension wants for a clip of a video."""

Purpose = Literal["scores", "evidence"]
"""What a pass is for: "evidence" is scores and what they are made of, so nothing is cut short."""

Found = Mapping[Key, Feature]
"""The feature of every (backbone, item) that was computed."""


@dataclass(frozen=True, slots=True)
class ScenePlan:
    """One scene.

    Attributes:
        clips: its clips in the video.
        seen: the same clips in the frames that backbones see; equal to `clips` unless each clip
            is encoded again, which gives every clip frames of its own.
        firsts: the first frame of each clip as the fast branch sees it.
    """

    clips: tuple[Clip, ...]
    seen: tuple[Clip, ...]
    firsts: tuple[Clip, ...]


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """One pass over one video.

    Attributes:
        facts: size, rate, prompt.
        frames: how many frames the video has.
        scenes: in order.
        dimensions: what is scored.
        purpose: whether somebody wants to look, too.
    """

    facts: VideoFacts
    frames: int
    scenes: tuple[ScenePlan, ...]
    dimensions: tuple[Dimension, ...]
    purpose: Purpose = "scores"

    def clips(self) -> list[Clip]:
        """All clips, in order."""
        return [clip for scene in self.scenes for clip in scene.clips]

    def requests(
        self, ask: Ask = lambda dimension, *clip: dimension.clip_items(*clip)
    ) -> Iterator[tuple[Dimension, Clip | None, str, Sequence[Item]]]:
        """Everything asked for: (dimension, clip or None for a scene, backbone, items).

        `ask` says what a dimension wants for a clip.
        """
        for dimension in self.dimensions:
            roles = roles_of(dimension)
            for scene in self.scenes:
                for role, items in dimension.scene_items(scene.firsts).items():
                    yield dimension, None, roles[role], items
                for clip in scene.seen:
                    for role, items in ask(dimension, clip, self.facts).items():
                        yield dimension, clip, roles[role], items
                    if self.purpose == "evidence":  # Of no clip: so it is never settled.
                        for role, items in dimension.evidence_items(clip, self.facts).items():
                            yield dimension, None, roles[role], items


def roles_of(dimension: Dimension) -> Mapping[str, str]:
    """The backbone that plays each of a dimension's roles."""
    return dimension.backbones[dimension.backend]


def plan_video(
    facts: VideoFacts,
    scenes: Sequence[Scene],
    seconds: float,
    dimensions: Sequence[Dimension],
    encoded: bool = False,
    purpose: Purpose = "scores",
) -> VideoPlan:
    """Cut the scenes into clips.

    Args:
        facts: of the video.
        scenes: cover it from its first frame to its last.
        seconds: clip length.
        dimensions: what is scored.
        encoded: whether backbones see each clip after an encode of its own.
        purpose: what the pass is for.

    Raises:
        VideoError: the frame rate allows no clip.
    """
    planned: list[ScenePlan] = []
    offset = 0
    for number, scene in enumerate(scenes):
        length = scene.stop - scene.start
        clips = tuple(split(length, facts.fps, seconds, number, scene.start))
        if not encoded:
            planned.append(ScenePlan(clips, clips, clips))
            continue
        seen = []
        for clip in clips:
            seen.append(Clip(offset, offset + len(clip), number))
            offset += len(clip)
        firsts = tuple(Clip(offset + i, offset + i + 1, number) for i in range(len(clips)))
        offset += len(firsts) if len(firsts) > 1 else 0  # One clip has no fast branch.
        planned.append(ScenePlan(clips, tuple(seen), firsts))
    return VideoPlan(facts, scenes[-1].stop, tuple(planned), tuple(dimensions), purpose)


def score_video(plan: VideoPlan, dimension: Dimension, found: Found) -> list[ClipScore]:
    """The scores of all clips of a planned video, in order. Pure."""
    scores: list[ClipScore] = []
    for scene in plan.scenes:
        clip_scores = [
            dimension.score_clip(
                clip, plan.facts, features(dimension, found, dimension.clip_items(clip, plan.facts))
            )
            for clip in scene.seen
        ]
        of_scene = features(dimension, found, dimension.scene_items(scene.firsts))
        scores += dimension.score_scene(clip_scores, of_scene)
    return scores


def features(dimension: Dimension, found: Found, items: Items) -> Features:
    """Per role the features found so far, in the order of the items.

    Items a dimension declared settled may be absent; any other absence is an error of ours that
    `score_clip` sees as too short a list.
    """
    roles = roles_of(dimension)
    return {
        role: [found[roles[role], item] for item in wanted if (roles[role], item) in found]
        for role, wanted in items.items()
    }
