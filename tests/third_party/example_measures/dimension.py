"""Do the colours of a clip stay what they are?"""

from typing import ClassVar

from vbench_long.dimensions import ClipScore, Dimension


class PaletteStability(Dimension):
    """Mean likeness of the frames of a clip to its first one, by a small network. Range 0..1."""

    name = "palette_stability"
    backbones: ClassVar = {"reference": {"frame": "palette_net"}}

    def clip_items(self, clip, video):
        """Every frame."""
        return {"frame": [(index,) for index in clip.frames]}

    def score_clip(self, clip, video, features):
        """Features of norm one, without negative numbers."""
        first, *others = features["frame"]
        if not others:
            return ClipScore(None, reason="a clip of one frame")
        return ClipScore(sum(min(1.0, float(first @ one)) for one in others) / len(others))
