"""The published program's hidden encode, reproduced in memory."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import moving_frames

from vbench_long.errors import VideoError
from vbench_long.video import probe, read_frames
from vbench_long.video.reencode import Reencoder


def reencoded(frames: list[np.ndarray], rate: int) -> list[np.ndarray]:
    encoder = Reencoder(rate)
    for frame in frames:
        encoder.add(frame)
    return list(encoder.frames())


@pytest.mark.shared
def test_clips_equal_the_stored_ones_bit_for_bit(shared: Path) -> None:
    folder = shared / "reference/protocol"
    plan = json.loads((folder / "golden/scores_abr_1024k.json").read_text())["_about"]
    compared = 0
    for stored in sorted((folder / "videos/abr_clips").glob("*_[0-9f]*.mp4")):
        first, last = plan["clip_frames_inclusive"][stored.name]
        stem = stored.stem.rsplit("_", 1)[0]
        source = probe(folder / "videos/golden_set" / f"{stem}.mp4")
        frames = [f.rgb for f in read_frames(source)][first : last + 1]
        theirs = [f.rgb for f in read_frames(probe(stored))]
        ours = reencoded(frames, int(source.fps))
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)), stored.name
        compared += 1
    assert compared == 4


def test_it_is_lossy_and_the_same_every_time() -> None:
    frames = moving_frames(16, 320, 240)
    once = reencoded(frames, 8)
    assert len(once) == 16
    assert any(not np.array_equal(a, b) for a, b in zip(once, frames, strict=True))
    for _ in range(5):
        again = reencoded(frames, 8)
        assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))


def test_odd_sides_are_refused() -> None:
    with pytest.raises(VideoError, match="even sides"):
        reencoded(moving_frames(3, 65, 48), 8)
