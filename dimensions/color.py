"""Color: has the thing the colour that was asked for?"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from vbench_long.dimensions.base import ClipScore, Dimension, Features, Items, Told, VideoFacts
from vbench_long.dimensions.detections import Detection, detections, looked_at, untold
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
        return "" if self._thing(told) else untold("object, and its text names none")

    def clip_items(self, clip: Clip, video: VideoFacts) -> Items:
        """Sixteen frames."""
        return {"frame": looked_at(clip)}

    def score_clip(self, clip: Clip, video: VideoFacts, features: Features) -> ClipScore:
        """Features: the detections of each frame, with captions."""
        colour, thing = self._colour(video), self._thing(video)
        frames = [detections(feature) for feature in features["frame"]]
        if self.rules == "strict":
            coloured, right = strict_counts(frames, thing, colour)
        else:
            coloured, right = published_counts(frames, thing, colour)
        if not coloured:
            return ClipScore(None, reason=f"no '{thing}' of any colour is seen", excluded=True)
        share = right / coloured
        return ClipScore(share, {"cur_success_frame_rate": share, "frame_count": coloured})

    def _colour(self, told: Told) -> str:
        return told.auxiliary_text("color", "color")

    def _thing(self, told: Told) -> str:
        named = told.auxiliary_text("color", "object")
        rule = strict_object if self.rules == "strict" else published_object
        return named or rule(told.prompt, self._colour(told))


def published_counts(frames: Frames, thing: str, colour: str) -> tuple[int, int]:
    """How many frames count and how many are right, by the published program's rules."""
    said = [[one.caption for one in frame] for frame in frames if frame and frame[0].name == thing]
    return _counts(said, colour, lambda caption, sought: sought in caption)


def strict_counts(frames: Frames, thing: str, colour: str) -> tuple[int, int]:
    """How many frames count and how many are right, as the paper has it."""
    said = [[one.caption for one in frame if one.name == thing] for frame in frames]
    return _counts(said, colour, _has_word)


def _counts(
    said: Sequence[Sequence[str]], colour: str, names: Callable[[str, str], bool]
) -> tuple[int, int]:
    """Frames in whose captions there is any colour, and those in which there is this one."""
    known = {*COLOURS, colour}
    coloured = [any(names(caption, one) for caption in some for one in known) for some in said]
    right = [any(names(caption, colour) for caption in some) for some in said]
    return sum(coloured), sum(right)


def _has_word(text: str, word: str) -> bool:
    return re.search(rf"\b{re.escape(word)}\b", text) is not None


def published_object(prompt: str, colour: str) -> str:
    """What a prompt is about besides a colour: letters are deleted wherever they stand."""
    return prompt.replace("a ", "").replace("an ", "").replace(colour, "").strip()


def strict_object(prompt: str, colour: str) -> str:
    """What a prompt is about besides a colour: whole words are deleted."""
    rest = re.sub(rf"\b(an?|{re.escape(colour)})\b", " ", prompt.lower())
    return " ".join(rest.split()).strip(".")
