"""A generator of videos that fade."""

from fractions import Fraction

import numpy as np


class Fade:
    """One colour, darker from frame to frame."""

    fps = Fraction(8)

    def __init__(self, frames):
        self.frames = frames

    def settings(self):
        """What shapes the videos."""
        return {"frames": self.frames}

    def generate(self, request):
        """Frames of 64x48 pixels."""
        colour = np.random.default_rng(request.seed).integers(128, 256, 3)
        for index in range(self.frames):
            light = 1 - index / (2 * self.frames)
            yield np.full((48, 64, 3), colour * light, np.uint8)


def create(options):
    """`--model fade --model-args frames=20`."""
    return Fade(int(options.get("frames", 20)))
