"""Scene: does the video show the place that was asked for?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.evidence import Evidence, Frames, Words
from vbench_long.dimensions.sampling import middle_frames
from vbench_long.video import Clip

FRAMES = 16
"""Frames of a clip that the published program takes."""

PUBLISHED_SHARES = (3, 3, 3, 3, 3, 1)
"""How many of the sixteen captions are about each of the first frames; none are about others."""


class Scene(Dimension):
    """Share of frames whose caption names the place of the prompt.

    Sixteen frames of a clip are captioned. A caption is right if it has every word of the scene's
    name in it, as the auxiliary information gives it ("train station platform"). Range 0..1,
    higher is better.

    Source: VBench (Huang et al., CVPR 2024); captions are Tag2Text's. What the published program
    does otherwise than its paper, each kept by default and mended by strict rules:

    * Caption j is about frame j // 3: the program repeats what it knows of a frame once for each
      of three beams, and so does the library version it pins. So only frames 0 to 5 of the sixteen
      count, the first 37 % of the clip, and frame 5 a third as much as the others. A scene that
      comes or goes later changes nothing.
    * Words are looked for inside words: "bar" is found in "barn", "sky" in "skyscraper".
    * Capitals count, though captions have none. No official name has any.

    Not kept: a name that no caption can hold, in capitals or other letters than a to z, has no
    score and a reason, not a silent 0.
    """

    name = "scene"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "tag2text", "tags": "tag2text/tags"},
    }

    def lacks(self, told: Told) -> str:
        """The name of a scene that a caption can hold."""
        name = self._wanted(told)
        if not name:
            return "the prompt's auxiliary information names no scene"
        if not re.fullmatch("[ -@a-z]*[0-9a-z][ -@a-z]*", name):
            return f"captions are of lower case letters, and cannot hold '{name[:60]}'"
        return ""

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The frames whose captions count."""
        return {"frame": [(i,) for i in middle_frames(clip, FRAMES)[: len(self._shares())]]}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the caption of each frame."""
        shares = self._shares()
        named = self._named(video, features)
        right = sum(share * is_named for share, is_named in zip(shares, named, strict=True))
        return ClipScore(right / FRAMES, {"success_frame_count": right, "frame_count": sum(shares)})

    def evidence_items(self, clip: Clip, video: VideoFacts) -> Items:
        """The same frames, and their tags."""
        items = self.clip_items(clip, video)
        return {**items, "tags": items["frame"]}

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The captions, and the tags that led to them."""
        frames = middle_frames(clip, FRAMES)[: len(self._shares())]
        told = zip(frames, features["frame"], features["tags"], strict=True)
        said = {
            frame: Words(frame, str(caption), tuple(map(str, tags)))
            for frame, caption, tags in told
        }  # A frame that is there twice has one caption.
        named = tuple(map(float, self._named(video, features)))
        shares = tuple(share / FRAMES for share in self._shares())
        worth = Frames(tuple((frame,) for frame in frames), named, shares)
        return Evidence(self._wanted(video), "", worth, tuple(said.values()))

    def _named(self, video: VideoFacts, features: Features) -> list[bool]:
        """Whether each caption names the scene."""
        wanted = self._wanted(video)
        names = names_strictly if self.rules == "strict" else names_as_published
        return [names(str(caption), wanted) for caption in features["frame"]]

    def _wanted(self, told: Told) -> str:
        name = told.auxiliary_text("scene", "scene", "scene")
        return name.lower() if self.rules == "strict" else name

    def _shares(self) -> Sequence[int]:
        return (1,) * FRAMES if self.rules == "strict" else PUBLISHED_SHARES


def names_as_published(caption: str, scene: str) -> bool:
    """Whether every word of the scene's name occurs in the caption, in other words too."""
    return all(word in caption for word in scene.split(" "))


def names_strictly(caption: str, scene: str) -> bool:
    """Whether every word of the scene's name is a word of the caption."""
    return set(re.findall(r"\w+", scene)) <= set(re.findall(r"\w+", caption))
