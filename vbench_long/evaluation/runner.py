"""One video: probe, plan, one decode, scores, records."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from time import perf_counter
from typing import Any

from vbench_long.dimensions import Backbone, ClipScore, Dimension, VideoFacts
from vbench_long.dimensions.base import PromptFacts, backbone_and_view
from vbench_long.errors import VideoError
from vbench_long.evaluation.networks import Networks
from vbench_long.evaluation.plan import Purpose, VideoPlan, plan_video, roles_of, score_video
from vbench_long.evaluation.stream import Counts, Pass, ahead, count, encoded_again
from vbench_long.records import Record, Sample, Status
from vbench_long.video import Scene, VideoInfo, probe, read_frames
from vbench_long.video.scenes import find_scenes

LOG = logging.getLogger("vbench_long")


@dataclass(frozen=True, slots=True)
class Look:
    """One pass over one video.

    Attributes:
        info: the file.
        plan: what was asked for.
        done: what was found.
        records: of every dimension.
    """

    info: VideoInfo
    plan: VideoPlan
    done: Pass
    records: list[Record]


class Runner:
    """Judges videos one after another; a backbone is loaded once, at its first use.

    Attributes:
        counts: what the work cost so far.
    """

    def __init__(
        self,
        dimensions: Sequence[Dimension],
        networks: Networks | None = None,
        clips: str = "exact",
        scene_threshold: float | None = None,
        image_rate: Fraction | None = None,
    ) -> None:
        """The options are those of `RunConfig`."""
        self._dimensions = {dimension.name: dimension for dimension in dimensions}
        self._networks = networks or Networks()
        self._encoded = clips == "reference"
        self._scene_threshold = scene_threshold
        self._image_rate = image_rate
        self._backbones: dict[str, Backbone] = {}
        self.counts = Counts()

    def judge(self, sample: Sample, path: Path, names: Sequence[str]) -> list[Record]:
        """Score `sample`, whose file is `path`, on the dimensions `names`: one record for each.

        Where the prompt lacks what a dimension must know, the record says `missing` and what.

        Raises:
            EnvironmentFault: the machine, not the video, is at fault.
        """
        missing = self.lacking(sample, names)
        lacks = {record.dimension for record in missing}
        able = [name for name in names if name not in lacks]
        if not able:
            return missing
        try:
            return missing + self.look(sample, path, able, "scores").records
        except VideoError as error:
            why = _inside(error, path)
            return missing + [Record(sample.video, name, Status.FAILED, error=why) for name in able]

    def lacking(self, sample: Sample, names: Sequence[str]) -> list[Record]:
        """A record for each of the dimensions `names` that cannot judge the sample's prompt."""
        told = PromptFacts(sample.prompt, sample.auxiliary)
        lacks = {name: self._dimensions[name].lacks(told) for name in names}
        return [
            Record(sample.video, name, Status.MISSING, error=why)
            for name, why in lacks.items()
            if why
        ]

    def look(self, sample: Sample, path: Path, names: Sequence[str], purpose: Purpose) -> Look:
        """Score `sample` on dimensions that can judge its prompt, and keep what was found.

        Raises:
            VideoError: the video cannot be judged.
            EnvironmentFault: the machine, not the video, is at fault.
        """
        dimensions = [self._dimensions[name] for name in names]
        before = dict(self.counts.seconds)
        info = probe(path, self._image_rate)
        plan, done, notes = self._measure(sample, info, dimensions, purpose)
        records = [self._record(sample, plan, done, notes, d, before) for d in dimensions]
        return Look(info, plan, done, records)

    def _measure(
        self, sample: Sample, info: VideoInfo, dimensions: Sequence[Dimension], purpose: Purpose
    ) -> tuple[VideoPlan, Pass, list[str]]:
        scenes = self._scenes(sample.video, info)
        notes: list[str] = []
        for _ in range(2):
            before = self.counts.frames[sample.video]
            plan, done = self._one_pass(sample, info, scenes, dimensions, purpose)
            decoded = self.counts.frames[sample.video] - before
            if decoded == plan.frames:
                break
            # The packets promised another number of frames than decode: plan again by those.
            notes = [f"{info.frames} packets, {decoded} frames decode"]
            scenes = [Scene(0, decoded)]
        else:
            what = "the video decodes differently each time"
            raise VideoError(what, str(info.path), "re-encode it")
        if info.declared and info.declared != decoded:
            notes.append(f"the header says {info.declared} frames, {decoded} decode")
        for note in notes:
            LOG.warning("%s: %s; what decodes is judged", sample.video, note)
        return plan, done, notes

    def _scenes(self, video: str, info: VideoInfo) -> list[Scene]:
        if self._scene_threshold is None:
            return [Scene(0, info.frames)]
        counted = count(read_frames(info), self.counts.scene_frames, video)
        return find_scenes(counted, info.fps, self._scene_threshold)

    def _one_pass(
        self,
        sample: Sample,
        info: VideoInfo,
        scenes: list[Scene],
        dimensions: Sequence[Dimension],
        purpose: Purpose,
    ) -> tuple[VideoPlan, Pass]:
        self.counts.decodes[sample.video] += 1
        with ahead(read_frames(info)) as frames:
            first = next(frames, None)
            if first is None:
                raise VideoError(
                    "no frame of the video decodes", str(info.path), "replace the file"
                )
            height, width = first.rgb.shape[:2]
            facts = VideoFacts(width, height, info.fps, sample.prompt, sample.auxiliary)
            plan = plan_video(
                facts, scenes, sample.clip_seconds, dimensions, self._encoded, purpose
            )
            done = Pass(plan, self._backbone, self.counts)
            source = count(chain([first], frames), self.counts.frames, sample.video)
            done.run(encoded_again(source, plan) if self._encoded else source)
            return plan, done

    def _backbone(self, name: str) -> Backbone:
        if name not in self._backbones:
            started = perf_counter()
            self._backbones[name] = self._networks.build(name)
            self.counts.loads[name] += 1
            self.counts.loading[name] = perf_counter() - started
        return self._backbones[name]

    def _record(
        self,
        sample: Sample,
        plan: VideoPlan,
        done: Pass,
        notes: list[str],
        dimension: Dimension,
        before: Mapping[str, float],
    ) -> Record:
        used = {backbone_and_view(name)[0] for name in roles_of(dimension).values()}
        seconds = sum(self.counts.seconds.get(b, 0.0) - before.get(b, 0.0) for b in used)
        record = Record(
            sample.video, dimension.name, Status.FAILED, seconds=seconds, parts={"notes": notes}
        )
        broken = [done.failures[name] for name in sorted(used) if name in done.failures]
        if broken:
            return replace(record, error=broken[0])
        started = perf_counter()
        scores = score_video(plan, dimension, done.found)
        clips = plan.clips()
        parts = {
            "clips": [{**asdict(c), **_as_part(s)} for c, s in zip(clips, scores, strict=True)],
            "frames": plan.frames,
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
            left_out = all(score.excluded for score in scores)
            status = Status.EXCLUDED if left_out else Status.FAILED
            why = scores[0].reason or "no clip of the video has a score"
            return replace(record, status=status, error=why)
        if self._networks.untrained:  # Made-up weights keep no range; the record says untrained.
            return replace(record, status=Status.OK, value=value)
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
