"""Color: has the thing the colour that was asked for?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.detections import (
    Detection,
    detections,
    looked_at,
    seen_things,
    unsayable,
    untold,
)
from vbench_long.dimensions.evidence import Evidence
from vbench_long.video import Clip

COLOURS = (
    "white", "red", "pink", "blue", "silver", "purple",
    "orange", "green", "gray", "yellow", "black", "grey",
)  # fmt: skip
"""The colours that are looked for in captions."""

Frames = Sequence[Sequence[Detection]]


class Color(Dimension):
    """In how many of the frames where the object has a colour is it the right one?

    A detector names and describes the boxes of sixteen frames of a clip. A frame counts if the
    object of the prompt is there and a caption names any colour; it is right if a caption names
    the wanted one. Range 0..1, higher is better. A clip without a frame that counts is excluded,
    which flatters models that often miss the object (published).

    The colour comes from the auxiliary information. So does the object, if there is one; else it
    is what the prompt says besides the colour.

    Source: VBench (Huang et al., CVPR 2024); the detector is GRiT. The published program does not
    quite do what its paper says. By default this keeps, and strict rules mend:

    * Every box of a frame has the name of the best one. So a frame counts only if its best box is
      the object, and then any box may supply the colour: with a bicycle as the best box, a man in
      a red shirt makes it a red bicycle.
    * Colours are found inside words: "covered" and "infrared" are red.
    * "a ", "an " and the colour are deleted from the prompt inside words too: "a red tuna salad"
      asks for a "tunsalad", which nobody sees. The official prompts all come out right.
    """

    name = "color"
    backbones: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "reference": {"frame": "grit/captions"},
    }

    def lacks(self, told: Told) -> str:
        """A colour that is known, and an object."""
        colour = self._colour(told)
        if not colour:
            return untold("color")
        if self.rules == "parity" and colour not in COLOURS:
            return f"'{colour[:60]}' is none of the colours it knows: {', '.join(COLOURS)}"
        thing = self._thing(told)
        return unsayable([colour, thing]) if thing else untold("object, and its text names none")

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Sixteen frames."""
        return {"frame": looked_at(clip)}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the detections of each frame, with captions."""
        frames = [detections(feature) for feature in features["frame"]]
        counted = [right for right in self._verdicts(frames, video) if right is not None]
        if not counted:
            why = f"no '{self._thing(video)}' of any colour is seen"
            return ClipScore(None, reason=why, excluded=True)
        share = sum(counted) / len(counted)
        return ClipScore(share, {"cur_success_frame_rate": share, "frame_count": len(counted)})

    def evidence(self, clip: Clip, video: VideoFacts, features: Features) -> Evidence:
        """The things in each frame, and what is said of them."""
        colour, thing = self._colour(video), self._thing(video)
        frames = [detections(feature) for feature in features["frame"]]
        worth = self._verdicts(frames, video)
        seen = seen_things(
            clip, video, frames, f"{colour} {thing}", lambda one: one.name == thing, worth
        )
        counted = sum(right is not None for right in worth)
        if self.rules == "strict":
            rule = f"the caption of a '{thing}' names a colour"
        else:
            rule = f"box 1 is a '{thing}', and any caption names a colour"
        return replace(seen, said=f"{counted} of {len(frames)} frames count: where {rule}.")

    def _verdicts(self, frames: Frames, video: VideoFacts) -> list[bool | None]:
        """Whether the colour is right in each frame; None where the frame does not count."""
        rule = strict_verdict if self.rules == "strict" else published_verdict
        colour, thing = self._colour(video), self._thing(video)
        return [rule(frame, thing, colour) for frame in frames]

    def _colour(self, told: Told) -> str:
        return told.auxiliary_text("color", "color")

    def _thing(self, told: Told) -> str:
        named = told.auxiliary_text("color", "object")
        rule = strict_object if self.rules == "strict" else published_object
        return named or rule(told.prompt, self._colour(told))


def published_verdict(frame: Sequence[Detection], thing: str, colour: str) -> bool | None:
    """Whether a frame is right, by the published program's rules; None if it does not count."""
    if not frame or frame[0].name != thing:
        return None
    captions = [one.caption for one in frame]
    return _verdict(captions, colour, lambda caption, sought: sought in caption)


def strict_verdict(frame: Sequence[Detection], thing: str, colour: str) -> bool | None:
    """Whether a frame is right, as the paper has it; None if it does not count."""
    captions = [one.caption for one in frame if one.name == thing]
    return _verdict(captions, colour, _has_word)


def _verdict(
    captions: Sequence[str], colour: str, names: Callable[[str, str], bool]
) -> bool | None:
    """Whether any caption names this colour; None where none names any."""
    if any(names(caption, colour) for caption in captions):
        return True
    return False if any(names(c, one) for c in captions for one in COLOURS) else None


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def published_object(prompt: str, colour: str) -> str:
    """What a prompt is about besides a colour: letters are deleted wherever they stand."""
    return prompt.replace("a ", "").replace("an ", "").replace(colour, "").strip()


def strict_object(prompt: str, colour: str) -> str:
    """What a prompt is about besides a colour: whole words are deleted."""
    rest = re.sub(rf"\b(an?|{re.escape(colour)})\b", " ", prompt.lower())
    return " ".join(rest.split()).strip(".")
