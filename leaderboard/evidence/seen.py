"""What one video's scores are made of, as plain data: what the page shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Literal

from vbench_long.dimensions.evidence import Evidence
from vbench_long.records import Record, Sample
from vbench_long.store import Run

Verdict = Literal["same", "close", "differs", "new"]
"""Of a score that was measured again: the record's, but for float noise; next to it; another one;
or the first there is."""

NOISE: Final = 1e-5
"""A score that moves by no more is the same: networks see other groups of frames."""

CLOSE: Final = 1e-3
"""A score that moves by no more may come from another device or library."""


@dataclass(frozen=True, slots=True)
class SeenClip:
    """One clip, as a dimension saw it.

    Attributes:
        start: first frame, in the video's own count.
        stop: one past the last.
        recorded: the stored score; None for none.
        value: the score measured again; None for none.
        reason: why there is none.
        evidence: what was seen, in the frames that backbones see.
    """

    start: int
    stop: int
    recorded: float | None
    value: float | None
    reason: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SeenDimension:
    """One dimension's look at the video.

    Attributes:
        name: official name with underscores, or a third party's.
        about: what it measures, a paragraph.
        recorded: the stored result; None where there is none yet.
        measured: the result of looking again.
        clips: in order; empty where nothing could be measured.
        scenes: per scene, what was seen of its clips side by side.
        doubts: what is not as it was when the result was stored, or does not add up.
    """

    name: str
    about: str
    recorded: Record | None
    measured: Record
    clips: tuple[SeenClip, ...]
    scenes: tuple[Evidence, ...] = ()
    doubts: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """Whether the evidence is that of the stored score."""
        if self.recorded is None:
            return "new"
        old, new = self.recorded.value, self.measured.value
        if old is None or new is None:
            same = self.recorded.status == self.measured.status and old == new
            return "same" if same else "differs"
        distances = [abs(new - old)]
        for clip in self.clips:
            if (clip.recorded is None) != (clip.value is None):
                return "differs"
            distances.append(abs((clip.value or 0.0) - (clip.recorded or 0.0)))
        most = max(distances)
        return "same" if most <= NOISE else "close" if most <= CLOSE else "differs"


@dataclass(frozen=True, slots=True)
class Explanation:
    """One video of a run, looked at again.

    Attributes:
        run: the run.
        sample: the video.
        sha256: of the file as it is now.
        width: pixels, as displayed.
        height: pixels, as displayed.
        fps: frames per second.
        frames: how many there are.
        dimensions: in the official order.
        numbers: frame that backbones saw -> frame of the video, where they differ.
        environment: versions and machine it was looked at with.
    """

    run: Run
    sample: Sample
    sha256: str
    width: int
    height: int
    fps: Fraction
    frames: int
    dimensions: tuple[SeenDimension, ...]
    numbers: Mapping[int, int] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)

    def number(self, frame: int) -> int:
        """The place in the video of a frame that backbones saw."""
        return self.numbers.get(frame, frame)

    def seconds(self, frame: int) -> float:
        """When it is shown."""
        return float(self.number(frame) / self.fps)
