"""One pass: frames go by once, every backbone sees its items as soon as their frames are there."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

from vbench_long.dimensions import Backbone, Dimension, Feature, Item
from vbench_long.dimensions.base import Reader, Viewer, backbone_and_view
from vbench_long.errors import EnvironmentFault, VBenchLongError
from vbench_long.evaluation.plan import Key, VideoPlan, features, roles_of
from vbench_long.video import Clip, Frame, Image, clip_rate
from vbench_long.video.reencode import Reencoder

LOG = logging.getLogger("vbench_long")
AHEAD = 4
"""Frames that are decoded before they are asked for."""

Entry = tuple[Key, tuple[Frame, ...]]
"""What is asked of a backbone, and the frames of the item."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What the work cost, for reports and for tests.

    Attributes:
        decodes: passes over a video, per video.
        frames: decoded frames, per video.
        scene_frames: frames decoded for finding cuts, per video.
        loads: times a backbone was built.
        calls: calls of a backbone.
        items: items a backbone computed.
        seconds: time inside a backbone, once it is built.
        loading: time to build a backbone.
    """

    decodes: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    scene_frames: Counter[str] = field(default_factory=Counter)
    loads: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)
    loading: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Need:
    """A clip (or, without one, a scene) of one dimension that waits for items."""

    dimension: Dimension
    clip: Clip | None
    settled: bool = False


class Pass:
    """The state of one pass over one video.

    Attributes:
        found: features so far.
        failures: per backbone that failed, why.
        frames: how many frames went by.
    """

    def __init__(
        self, plan: VideoPlan, backbone: Callable[[str], Backbone], counts: Counts
    ) -> None:
        """`backbone` builds or hands out a backbone by name; `counts` is added to."""
        self.found: dict[Key, Feature] = {}
        self.failures: dict[str, str] = {}
        self.frames = 0
        self._plan, self._backbone, self._counts = plan, backbone, counts
        self._waiting: dict[Key, list[_Need]] = {}
        self._texts: list[tuple[str, str]] = []
        self._due: dict[int, list[tuple[str, tuple[int, ...]]]] = {}
        self._last_use: dict[int, int] = {}
        self._expect()

    def run(self, frames: Iterator[Frame]) -> None:
        """Take all frames."""
        for name, text in self._texts:
            self._read(name, text)
        window: dict[int, Frame] = {}
        batches: dict[str, list[Entry]] = {}
        for frame in frames:
            self.frames += 1
            if frame.index in self._last_use:
                window[frame.index] = frame
            for key, item in self._due.pop(frame.index, ()):
                name, _ = backbone_and_view(key)
                if name in self.failures or all(n.settled for n in self._waiting[key, item]):
                    continue
                batch = batches.setdefault(name, [])
                batch.append(((key, item), tuple(window[index] for index in item)))
                if len(batch) >= self._backbone(name).batch:
                    self._compute(name, batch)
            for index in [i for i in window if self._last_use[i] <= frame.index]:
                del window[index]
        for name, batch in batches.items():
            if batch and name not in self.failures:
                self._compute(name, batch)

    def _expect(self) -> None:
        for dimension, clip, backbone, items in self._plan.requests():
            need = _Need(dimension, clip)
            for item in items:
                self._waiting.setdefault((backbone, item), []).append(need)
        self._texts = [(name, item) for name, item in self._waiting if isinstance(item, str)]
        seen = [(name, item) for name, item in self._waiting if not isinstance(item, str)]
        for name, item in sorted(seen, key=lambda key: (max(key[1]), key[1])):
            last = max(item)
            self._due.setdefault(last, []).append((name, item))
            for index in item:
                self._last_use[index] = max(self._last_use.get(index, 0), last)

    def _compute(self, name: str, batch: list[Entry]) -> None:
        keys = [key for key, _ in batch]
        self._work(name, keys, lambda backbone: _in_halves(backbone, batch))
        batch.clear()

    def _read(self, name: str, text: str) -> None:
        self._work(name, [(name, text)], lambda backbone: [_reader(backbone).read(text)])

    def _work(
        self, name: str, keys: Sequence[Key], compute: Callable[[Backbone], list[Feature]]
    ) -> None:
        """Let backbone `name` compute the features of `keys`, and keep them or its failure."""
        started = perf_counter()
        try:
            backbone = self._backbone(name)
            started = perf_counter()
            computed = compute(backbone)
        except EnvironmentFault:
            raise
        except VBenchLongError as error:
            self.failures[name] = str(error)
        except Exception as error:  # A backbone's own failure costs its dimensions on this video.
            LOG.debug("backbone %s", name, exc_info=True)
            self.failures[name] = f"{name} failed ({type(error).__name__}: {error})"
        else:
            self.found.update(zip(keys, computed, strict=True))
            self._settle(keys)
        seconds = self._counts.seconds
        seconds[name] = seconds.get(name, 0.0) + perf_counter() - started
        self._counts.calls[name] += 1
        self._counts.items[name] += len(keys)

    def _settle(self, keys: Sequence[Key]) -> None:
        """Ask the dimensions that can stop early whether what was just found is enough."""
        asked = {id(need): need for key in keys for need in self._waiting[key] if not need.settled}
        for need in asked.values():
            dimension, clip = need.dimension, need.clip
            if clip is None or type(dimension).settled is Dimension.settled:
                continue
            items = dimension.clip_items(clip, self._plan.facts)
            roles = roles_of(dimension)
            so_far = {
                role: list(_until_absent(wanted, roles[role], self.found))
                for role, wanted in items.items()
            }
            need.settled = dimension.settled(
                clip, self._plan.facts, features(dimension, self.found, so_far)
            )


def _until_absent(
    items: Sequence[Item], backbone: str, found: Mapping[Key, Feature]
) -> Iterator[Item]:
    for item in items:
        if (backbone, item) not in found:
            return
        yield item


def _reader(backbone: Backbone) -> Reader:
    if not isinstance(backbone, Reader):
        raise TypeError(f"{type(backbone).__name__} reads no texts")
    return backbone


def _look(backbone: Backbone, entries: Sequence[Entry]) -> list[Feature]:
    items = [frames for _, frames in entries]
    if isinstance(backbone, Viewer):
        return backbone.look(items, [backbone_and_view(key)[1] for (key, _), _ in entries])
    return backbone(items)


def _in_halves(backbone: Backbone, entries: Sequence[Entry]) -> list[Feature]:
    """Features of all entries, in smaller and smaller calls while memory does not suffice.

    Raises:
        EnvironmentFault: not even one item fits.
    """
    try:
        return _look(backbone, entries)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        if len(entries) == 1:
            raise VBenchLongError(
                "out of memory on a single item", type(backbone).__name__, "use a larger device"
            ) from error
    half = len(entries) // 2
    LOG.warning("out of memory with %d items a call; trying %d", len(entries), half)
    backbone.batch = max(1, half)
    return _in_halves(backbone, entries[:half]) + _in_halves(backbone, entries[half:])


def _is_out_of_memory(error: Exception) -> bool:
    """CUDA's own class is a RuntimeError that says so; so do torch's CPU allocator and MPS."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text


def count(frames: Iterator[Frame], counter: Counter[str], key: str) -> Iterator[Frame]:
    """The same frames, counted."""
    for frame in frames:
        counter[key] += 1
        yield frame


@contextmanager
def ahead(frames: Iterator[Frame]) -> Iterator[Iterator[Frame]]:
    """Decode in a thread, a few frames ahead, while the caller computes."""
    ready: queue.Queue[Callable[[], Frame | None]] = queue.Queue(maxsize=AHEAD)
    stop = threading.Event()

    def hand_over(result: Callable[[], Frame | None]) -> None:
        while not stop.is_set():
            try:
                return ready.put(result, timeout=0.1)
            except queue.Full:
                continue

    def decode() -> None:
        try:
            for frame in frames:
                hand_over(lambda frame=frame: frame)  # type: ignore[misc]
                if stop.is_set():
                    return
            hand_over(lambda: None)
        except BaseException as error:  # Raised again where the frames are consumed.
            hand_over(lambda error=error: _raise(error))  # type: ignore[misc]

    def consume() -> Iterator[Frame]:
        while (frame := ready.get()()) is not None:
            yield frame

    thread = threading.Thread(target=decode, name="decode", daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        thread.join()


def _raise(error: BaseException) -> None:
    raise error


def encoded_again(source: Iterator[Frame], plan: VideoPlan) -> Iterator[Frame]:
    """The frames backbones see where every clip goes through the published encode first.

    Clips follow one another in order, each with frames of its own, and behind the clips of a
    scene come their first frames, encoded once more as a video of their own (the fast branch).
    At most two clips are open at a time, because only the last one overlaps.
    """
    rate = clip_rate(plan.facts.fps)
    scenes = iter(plan.scenes)
    scene = next(scenes)
    waiting = list(scene.clips)
    open_clips: list[tuple[Clip, Reencoder]] = []
    firsts: list[Image] = []
    index = 0
    for frame in source:
        while waiting and waiting[0].start == frame.index:
            open_clips.append((waiting.pop(0), Reencoder(rate)))
        for _, encoder in open_clips:
            encoder.add(frame.rgb)
        while open_clips and open_clips[0][0].stop == frame.index + 1:
            for seen in open_clips.pop(0)[1].frames():
                if seen.index == 0:
                    firsts.append(seen.rgb.copy())
                yield Frame(index, seen.rgb, seen.picture)
                index += 1
        if not waiting and not open_clips and len(firsts) == len(scene.clips):
            for seen in _fast_branch(firsts, rate):
                yield Frame(index, seen.rgb, seen.picture)
                index += 1
            following = next(scenes, None)
            waiting, firsts = list(following.clips) if following else [], []
            scene = following or scene


def _fast_branch(firsts: Sequence[Image], rate: int) -> Iterator[Frame]:
    if len(firsts) < 2:
        return
    encoder = Reencoder(rate)
    for rgb in firsts:
        encoder.add(rgb)
    yield from encoder.frames()
