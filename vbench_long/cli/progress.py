"""Progress on stderr: videos, and the steps of the one at work."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_EVERY = 10.0  # Seconds between two lines about steps.


@dataclass(frozen=True, slots=True)
class Shown:
    """Where progress is told.

    Attributes:
        video: takes videos done, videos in all, and the name of the next one ("" at the end).
        step: takes steps done and steps in all, of the video at work.
    """

    video: Callable[[int, int, str], None]
    step: Callable[[int, int], None]


@contextmanager
def shown() -> Iterator[Shown]:
    """Bars with ETA on a terminal, plain lines with ETA elsewhere."""
    if sys.stderr.isatty():
        with _bars() as bars:
            yield bars
    else:
        yield _lines()


@contextmanager
def _bars() -> Iterator[Shown]:
    from tqdm import tqdm
    from tqdm.contrib.logging import logging_redirect_tqdm

    with (
        tqdm(unit="video", dynamic_ncols=True, file=sys.stderr) as videos,
        tqdm(unit="step", dynamic_ncols=True, file=sys.stderr, leave=False) as steps,
        logging_redirect_tqdm([logging.getLogger("vbench_long")]),
    ):

        def video(done: int, total: int, name: str) -> None:
            videos.total = total
            videos.set_postfix_str(name[:40], refresh=False)
            videos.update(done - videos.n)
            videos.refresh()
            steps.reset()

        def step(done: int, total: int) -> None:
            steps.total = total
            steps.update(done - steps.n)

        yield Shown(video, step)


def _lines() -> Shown:
    started = time.monotonic()
    begun = told = started

    def video(done: int, total: int, name: str) -> None:
        nonlocal begun, told
        begun = told = time.monotonic()
        if name:
            _say(f"[{done + 1}/{total}] {name}{_left(begun - started, done, total)}")

    def step(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _EVERY:
            told = now
            _say(f"  step {done}/{total}{_left(now - begun, done, total)}")

    return Shown(video, step)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _left(spent: float, done: int, total: int) -> str:
    return f", about {spent / done * (total - done):.0f} s left" if done else ""
