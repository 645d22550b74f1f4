"""A folder of generated videos: each beside a file that says how it was made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any, Literal, Self

from vbench_long.errors import (
    GenerationError,
    RunError,
    UsageError,
    VBenchLongError,
    VideoError,
)
from vbench_long.evaluation.making import Making
from vbench_long.generators import Report
from vbench_long.manifests import GENERATION, MANIFEST, list_videos, manifest_csv
from vbench_long.provenance import command_line, environment, now
from vbench_long.records import Sample, describe_differences
from vbench_long.store import lock, run_faults, write_atomically
from vbench_long.video import VideoInfo, file_sha256, probe, write_video

SCHEMA = "vbench-long/generation/1"
VIDEO_SCHEMA = "vbench-long/video/1"
_STAGED = ".video.partial.mp4"


@dataclass(frozen=True, slots=True)
class Video:
    """A generated video.

    Attributes:
        path: the file.
        sha256: of the file.
        seconds: that making it took; None if it was there.
    """

    path: Path
    sha256: str
    seconds: float | None


class VideoFolder:
    """A folder of generated videos, open for writing by this process alone.

    A video and its sidecar, ``NAME.mp4`` and ``NAME.json``, are there together or the video is not
    there: the video appears last, whole, under its name. ``manifest.csv`` lists all planned
    samples, made or not; ``generation.json`` says how they are made, and what failed.
    """

    def __init__(self, folder: Path, making: Making, samples: Sequence[Sample]) -> None:
        """Open or create `folder` for `samples`.

        Raises:
            UsageError: it holds videos made otherwise, or of unknown origin; what differs is said.
            RunError: another process writes to it, or its files are damaged.
            EnvironmentFault: it cannot be written.
        """
        self._folder, self._making = folder, making
        self._failures: dict[str, str] = {}
        self._command, self._environment, self._begun = command_line(), environment(), now()
        with run_faults(folder):
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = lock(folder, "making videos here")
            try:
                self._there = {*videos_there(folder, making, samples)}
                for leftover in folder.glob(".*.partial*"):  # of a call that was killed
                    leftover.unlink()
                if earlier := _read_json(folder / GENERATION):
                    self._begun = earlier.get("created", self._begun)
                others = _earlier_samples(folder, samples)
                self._there |= {s.video for s in others if (folder / s.video).exists()}
                self._planned = len(samples) + len(others)
                self._write("running")
                write_atomically(folder / MANIFEST, manifest_csv([*samples, *others]))
            except BaseException:
                self._lock.release()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._write("complete")
            else:
                with suppress(VBenchLongError):  # What stopped the work is the error to show.
                    self._write("interrupted")
        finally:
            self._lock.release()

    def has(self, sample: Sample) -> bool:
        """Whether its video is there; `make` looks whether it is unchanged."""
        return sample.video in self._there

    @property
    def failures(self) -> Mapping[str, str]:
        """Videos that could not be made in this call, with the reason."""
        return self._failures

    def make(self, sample: Sample, report: Report) -> Video:
        """The video of `sample`: the one that is there, or a new one.

        Args:
            sample: one of the planned ones.
            report: told of each step, or of each frame if the generator does not work in steps.

        Raises:
            GenerationError: it cannot be made, or was changed since. That is on record, and the
                next call tries again.
            VideoError: likewise, the frames cannot be encoded.
            EnvironmentFault: the disk is full, or the machine cannot do it at all.
        """
        try:
            with run_faults(self._folder):
                path = self._folder / sample.video
                return _unchanged(path) if path.exists() else self._make(sample, path, report)
        except (GenerationError, VideoError) as error:
            self._failures[sample.video] = str(error)
            self._write("running")
            raise

    def _make(self, sample: Sample, path: Path, report: Report) -> Video:
        started = perf_counter()
        staged = self._folder / _STAGED
        try:
            info = self._stage(sample, staged, report)
            video = Video(path, file_sha256(staged), round(perf_counter() - started, 3))
            sidecar = {
                "schema": VIDEO_SCHEMA,
                "video": sample.video,
                "sha256": video.sha256,
                "width": info.width,
                "height": info.height,
                "frames": info.frames,
                "fps": str(info.fps),
                **self._making.facts(sample),
                "seconds": video.seconds,
                "made": now(),
                "environment": self._environment,
            }
            write_atomically(sidecar_of(path), _json(sidecar))
            staged.replace(path)
        finally:
            staged.unlink(missing_ok=True)
        self._there.add(sample.video)
        return video

    def _stage(self, sample: Sample, staged: Path, report: Report) -> VideoInfo:
        """Have the video under another name, whole and readable."""
        fps = self._making.generator.fps
        try:
            made = self._making.ask(sample, report)
            if isinstance(made, Path):
                _copy(made, staged)
            elif fps is None:
                raise GenerationError(f"{self._making.model} yields frames but says no rate")
            else:
                write_video(staged, made, fps)
            return probe(staged)
        except VideoError as error:  # The name of the staged file says nothing to anybody.
            raise VideoError(error.what, sample.video, error.fix) from error

    def _write(self, status: Literal["running", "interrupted", "complete"]) -> None:
        """Replace `generation.json`."""
        made, failed = len(self._there - self._failures.keys()), len(self._failures)
        content = {
            "schema": SCHEMA,
            **self._making.identity,
            "status": status,
            "counts": {
                "made": made,
                "failed": failed,
                "missing": self._planned - made - failed,
            },
            "failures": [{"video": v, "reason": why} for v, why in self._failures.items()],
            "command": self._command,
            "environment": self._environment,
            "created": self._begun,
            "updated": now(),
        }
        with run_faults(self._folder):
            write_atomically(self._folder / GENERATION, _json(content))


def videos_there(folder: Path, making: Making, samples: Sequence[Sample]) -> dict[str, float]:
    """Which of `samples` have a video in `folder`, and the seconds that making each took.

    Raises:
        UsageError: the folder holds videos made otherwise, or of unknown origin.
        RunError: its files are damaged.
    """
    _require_same(folder, making)
    found: dict[str, float] = {}
    for sample in samples:
        path = folder / sample.video
        if not path.exists():
            continue
        stored = _read_json(sidecar_of(path))
        if stored is None:
            raise UsageError(
                "a video of unknown origin has the name of one to be made",
                str(path),
                "move it away; --videos judges it as it is",
            )
        wanted = making.facts(sample)
        differences = describe_differences({key: stored.get(key) for key in wanted}, wanted)
        if differences:
            raise UsageError(
                f"the video was made otherwise ({'; '.join(differences)})",
                str(path),
                "choose another --output, or move it away",
            )
        found[sample.video] = float(stored.get("seconds", 0))
    return found


def sidecar_of(video: Path) -> Path:
    """The file beside a video that says how it was made."""
    return video.with_suffix(".json")


def any_untrained(videos: Iterable[Path]) -> bool:
    """Whether a generator with untrained weights made one of `videos`, by the files beside them."""
    beside = {file for path in videos for file in (sidecar_of(path), path.with_name(GENERATION))}
    return any(_says_untrained(file) for file in beside)


def _says_untrained(file: Path) -> bool:
    try:
        settings = (_read_json(file) or {}).get("settings")
    except (OSError, RunError):  # People keep files of their own beside their videos.
        return False
    return isinstance(settings, dict) and settings.get("untrained") is True


def _require_same(folder: Path, making: Making) -> None:
    earlier = _read_json(folder / GENERATION)
    if earlier is None:
        if (folder / MANIFEST).exists():
            raise UsageError(
                f"the folder has a {MANIFEST} of unknown origin",
                str(folder),
                "choose another --output",
            )
        return
    wanted = making.identity
    differences = describe_differences({key: earlier.get(key) for key in wanted}, wanted)
    if differences:
        raise UsageError(
            f"the folder holds videos made otherwise ({'; '.join(differences)})",
            str(folder),
            "choose another --output, or repeat the command that began it",
        )


def _earlier_samples(folder: Path, planned: Sequence[Sample]) -> list[Sample]:
    """Samples of earlier calls that are not in this plan; they stay in the list."""
    if not (folder / MANIFEST).exists():
        return []
    names = {sample.video for sample in planned}
    return [sample for sample in list_videos(folder / MANIFEST) if sample.video not in names]


def _unchanged(path: Path) -> Video:
    """The video that is there, if it is the one its sidecar tells of."""
    stored = _read_json(sidecar_of(path)) or {}
    found = file_sha256(path)
    if found != stored.get("sha256"):
        raise GenerationError(
            "the video was changed since it was made", str(path), "delete it to have it made again"
        )
    return Video(path, found, None)


def _copy(source: Path, target: Path) -> None:
    try:
        source.open("rb").close()
    except OSError as error:
        raise GenerationError(f"the file cannot be read ({error.strerror})", str(source)) from error
    shutil.copyfile(source, target)


def _read_json(path: Path) -> dict[str, Any] | None:
    """The object in a file; None if there is no file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise RunError(f"the file is damaged ({error})", str(path), "restore it") from error
    if not isinstance(content, dict):
        raise RunError("the file is damaged (no JSON object)", str(path), "restore it")
    return content


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
