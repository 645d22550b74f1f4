"""One video: probe, plan, decode once, features, scores, records."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from vbench_long.dimensions import (
    BACKBONES,
    Backbone,
    ClipScore,
    Dimension,
    Feature,
    Item,
    VideoFacts,
)
from vbench_long.errors import EnvironmentFault, VBenchLongError, VideoError
from vbench_long.evaluation.plan import VideoPlan, plan_video, score_video
from vbench_long.records import Record, Sample, Status
from vbench_long.video import Frame, Scene, VideoInfo, probe, read_frames
from vbench_long.video.scenes import find_scenes

LOG = logging.getLogger("vbench_long")
_AHEAD = 4


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
        seconds: time inside a backbone.
    """

    decodes: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    scene_frames: Counter[str] = field(default_factory=Counter)
    loads: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Pass:
    """What one decode of a video gave."""

    frames: int
    found: Mapping[tuple[str, Item], Feature]
    failures: Mapping[str, str]


class Runner:
    """Judges videos one after another; a backbone is loaded once, at its first use.

    Attributes:
        counts: what the work cost so far.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        scene_threshold: float | None = None,
        image_rate: Fraction | None = None,
    ) -> None:
        self._dimensions = {dimension.name: dimension for dimension in dimensions}
        self._scene_threshold = scene_threshold
        self._image_rate = image_rate
        self._backbones: dict[str, Backbone] = {}
        self.counts = Counts()

    def judge(self, sample: Sample, path: Path, names: Sequence[str]) -> list[Record]:
        """Score `sample`, whose file is `path`, on the dimensions `names`: one record for each.

        Raises:
            EnvironmentFault: the machine, not the video, is at fault.
        """
        dimensions = [self._dimensions[name] for name in names]
        before = dict(self.counts.seconds)
        try:
            plan, done, notes = self._measure(sample, path, dimensions)
        except VideoError as error:
            return [
                Record(sample.video, name, Status.FAILED, error=_inside(error, path))
                for name in names
            ]
        return [self._record(sample, plan, done, notes, d, before) for d in dimensions]

    def _measure(
        self, sample: Sample, path: Path, dimensions: Sequence[Dimension]
    ) -> tuple[VideoPlan, _Pass, list[str]]:
        info = probe(path, self._image_rate)
        scenes = self._scenes(sample.video, info)
        notes: list[str] = []
        for _ in range(2):
            plan, done = self._one_pass(sample, info, scenes, dimensions)
            if done.frames == scenes[-1].stop:
                break
            # The packets promised another number of frames than decode: plan again by what decodes.
            notes = [f"{info.frames} packets, {done.frames} frames decode"]
            scenes = [Scene(0, done.frames)]
        else:
            raise VideoError("the video decodes differently each time", str(path), "re-encode it")
        if info.declared and info.declared != done.frames:
            notes.append(f"the header says {info.declared} frames, {done.frames} decode")
        for note in notes:
            LOG.warning("%s: %s; what decodes is judged", sample.video, note)
        return plan, done, notes

    def _scenes(self, video: str, info: VideoInfo) -> list[Scene]:
        if self._scene_threshold is None:
            return [Scene(0, info.frames)]
        counted = _count(read_frames(info), self.counts.scene_frames, video)
        return find_scenes(counted, info.fps, self._scene_threshold)

    def _one_pass(
        self, sample: Sample, info: VideoInfo, scenes: list[Scene], dimensions: Sequence[Dimension]
    ) -> tuple[VideoPlan, _Pass]:
        self.counts.decodes[sample.video] += 1
        with _ahead(read_frames(info)) as frames:
            first = next(frames, None)
            if first is None:
                raise VideoError(
                    "no frame of the video decodes", str(info.path), "replace the file"
                )
            height, width = first.rgb.shape[:2]
            facts = VideoFacts(width, height, info.fps, sample.prompt, sample.auxiliary)
            plan = plan_video(facts, scenes, sample.clip_seconds, dimensions)
            counted = _count(chain([first], frames), self.counts.frames, sample.video)
            return plan, self._features(counted, plan.items)

    def _features(self, frames: Iterator[Frame], items: Mapping[str, tuple[Item, ...]]) -> _Pass:
        """Let every backbone see its items as soon as their frames are there."""
        due: dict[int, list[tuple[str, Item]]] = {}
        last_use: dict[int, int] = {}
        for backbone, wanted in items.items():
            for item in wanted:
                due.setdefault(max(item), []).append((backbone, item))
                for index in item:
                    last_use[index] = max(last_use.get(index, 0), max(item))
        window: dict[int, Frame] = {}
        batches: dict[str, list[tuple[Item, tuple[Frame, ...]]]] = {name: [] for name in items}
        found: dict[tuple[str, Item], Feature] = {}
        failures: dict[str, str] = {}
        count = 0
        for frame in frames:
            count += 1
            if frame.index in last_use:
                window[frame.index] = frame
            for name, item in due.pop(frame.index, ()):
                if name in failures:
                    continue
                batches[name].append((item, tuple(window[index] for index in item)))
                if len(batches[name]) >= self._backbone(name).batch:
                    self._flush(name, batches[name], found, failures)
            for index in [i for i in window if last_use[i] <= frame.index]:
                del window[index]
        for name, batch in batches.items():
            if batch and name not in failures:
                self._flush(name, batch, found, failures)
        return _Pass(count, found, failures)

    def _flush(
        self,
        name: str,
        batch: list[tuple[Item, tuple[Frame, ...]]],
        found: dict[tuple[str, Item], Feature],
        failures: dict[str, str],
    ) -> None:
        backbone = self._backbone(name)
        started = perf_counter()
        try:
            features = backbone([frames for _, frames in batch])
        except EnvironmentFault:
            raise
        except VBenchLongError as error:
            failures[name] = str(error)
        except Exception as error:  # A backbone's own failure costs its dimensions on this video.
            LOG.debug("backbone %s", name, exc_info=True)
            failures[name] = f"{name} failed ({type(error).__name__}: {error})"
        else:
            found.update(
                ((name, item), feature) for (item, _), feature in zip(batch, features, strict=True)
            )
        self.counts.seconds[name] = self.counts.seconds.get(name, 0.0) + perf_counter() - started
        self.counts.calls[name] += 1
        self.counts.items[name] += len(batch)
        batch.clear()

    def _backbone(self, name: str) -> Backbone:
        if name not in self._backbones:
            self._backbones[name] = BACKBONES.get(name)()
            self.counts.loads[name] += 1
        return self._backbones[name]

    def _record(
        self,
        sample: Sample,
        plan: VideoPlan,
        done: _Pass,
        notes: list[str],
        dimension: Dimension,
        before: Mapping[str, float],
    ) -> Record:
        used = set(dimension.backbones[dimension.backend].values())
        seconds = sum(self.counts.seconds.get(b, 0.0) - before.get(b, 0.0) for b in used)
        record = Record(
            sample.video, dimension.name, Status.FAILED, seconds=seconds, parts={"notes": notes}
        )
        broken = [done.failures[name] for name in sorted(used) if name in done.failures]
        if broken:
            return replace(record, error=broken[0])
        started = perf_counter()
        scores = score_video(plan, dimension, done.found)
        clips = [clip for scene in plan.scenes for clip in scene]
        parts = {
            "clips": [{**asdict(c), **_as_part(s)} for c, s in zip(clips, scores, strict=True)],
            "frames": done.frames,
            "notes": notes,
        }
        record = replace(record, parts=parts, seconds=seconds + perf_counter() - started)
        value = video_value(
            [
                [s.value for s, c in zip(scores, clips, strict=True) if c.scene == n]
                for n in range(len(plan.scenes))
            ]
        )
        if value is None:
            return replace(record, error=scores[0].reason or "no clip of the video has a score")
        low, high = dimension.bounds
        worst = next(
            (s.value for s in scores if s.value is not None and not low <= s.value <= high), None
        )
        if worst is not None:
            return replace(
                record,
                parts={"notes": notes},
                error=f"a clip scored {worst}, outside the legal range {low}..{high}",
            )
        return replace(record, status=Status.OK, value=value)


def video_value(scenes: Sequence[Sequence[float | None]]) -> float | None:
    """Mean over scenes of the mean over their clips, without clips that have no score.

    Returns:
        None where no clip has a score.
    """
    means = []
    for scene in scenes:
        values = [value for value in scene if value is not None]
        if values:
            means.append(math.fsum(values) / len(values))
    return math.fsum(means) / len(means) if means else None


def _as_part(score: ClipScore) -> dict[str, Any]:
    reason = {"reason": score.reason} if score.reason else {}
    return {"value": score.value, **score.parts, **reason}


def _inside(error: VideoError, path: Path) -> str:
    """The error without the path, which the row names already."""
    where = "" if error.where == str(path) else error.where
    return str(VideoError(error.what, where, error.fix))


def _count(frames: Iterator[Frame], counter: Counter[str], key: str) -> Iterator[Frame]:
    for frame in frames:
        counter[key] += 1
        yield frame


@contextmanager
def _ahead(frames: Iterator[Frame]) -> Iterator[Iterator[Frame]]:
    """Decode in a thread, a few frames ahead, while the caller computes."""
    ready: queue.Queue[Callable[[], Frame | None]] = queue.Queue(maxsize=_AHEAD)
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
