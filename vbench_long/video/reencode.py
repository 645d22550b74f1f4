"""The lossy encode that the published program puts every clip through before scoring it.

VBench-Long writes each clip with torchvision's `write_video` and reads it back. In the
installations its leaderboard was made with, that is libx264 at an average of 1,024,000 bits per
second, whatever the size of the picture. Reproduced here in memory, bit for bit.
"""

from __future__ import annotations

import io
import platform
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np

from vbench_long.errors import VideoError
from vbench_long.video.frame import Frame, Image
from vbench_long.video.writer import Encoder, Encoding, encoding_errors

THREADS = 2
"""The published program takes as many as the machine has cores, and its pictures follow."""

# The macroblock tree of x264 gives other bytes from call to call where it uses AVX-512.
_ASSEMBLY = {"x264-params": "asm=avx2"} if platform.machine() in ("x86_64", "AMD64") else {}

PUBLISHED = Encoding("libx264", "yuv420p", dict(_ASSEMBLY), THREADS, bit_rate=1_024_000)


class Reencoder:
    """One clip on its way through the encoder; nothing touches the disk."""

    def __init__(self, rate: int) -> None:
        """`rate`: the clip's frames per second, whole as the published program writes it."""
        self._buffer = io.BytesIO()
        self._encoder = Encoder(self._buffer, Fraction(rate), PUBLISHED, "clips=reference")

    def add(self, rgb: Image) -> None:
        """Encode one more frame of the clip.

        Raises:
            VideoError: libx264 refuses the size (odd sides).
        """
        with encoding_errors(PUBLISHED, "clips=reference"):
            self._encoder.add(rgb)

    def frames(self) -> Iterator[Frame]:
        """The clip's frames as the published program reads them back, counted from 0.

        Raises:
            VideoError: another number of frames comes out than went in.
        """
        with encoding_errors(PUBLISHED, "clips=reference"):
            self._encoder.finish()
        self._buffer.seek(0)
        count = 0
        with av.open(self._buffer, "r") as container:
            for picture in container.decode(video=0):
                rgb = np.asarray(picture.to_ndarray(format="rgb24"), np.uint8)
                yield Frame(count, rgb, picture)
                count += 1
        if count != self._encoder.frames:
            raise VideoError(
                f"{self._encoder.frames} frames went into the encoder, {count} came out",
                "clips=reference",
                "judge with --clips exact",
            )
