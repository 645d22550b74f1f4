"""Look at one video of a run again: what did each dimension see, and is that what is recorded?"""

from __future__ import annotations

import hashlib
import inspect
import logging
import re
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from vbench_long.dimensions import Dimension
from vbench_long.dimensions.base import Rules
from vbench_long.dimensions.evidence import Evidence
from vbench_long.errors import RunError, UsageError, VideoError
from vbench_long.evaluation.choice import choose_dimensions
from vbench_long.evaluation.networks import SEEDED, Networks
from vbench_long.evaluation.plan import VideoPlan, features
from vbench_long.evaluation.runner import Look, Runner
from vbench_long.evaluation.stream import encoded_again
from vbench_long.leaderboard.evidence import Explanation, SeenClip, SeenDimension, shown_frames
from vbench_long.leaderboard.report.media import jpeg, shrunk
from vbench_long.leaderboard.scores import in_order
from vbench_long.provenance import environment
from vbench_long.records import Record, Sample, describe_differences
from vbench_long.registry import unknown
from vbench_long.store import Run, load_run
from vbench_long.video import Clip, Frame, Image, file_sha256, read_frames

LOG = logging.getLogger("vbench_long")

WIDTHS = (480, 400, 320, 240, 160)
"""Pixels across a picture: the first at which all of them fit."""

MOST_BYTES = 2_000_000
"""Of all pictures of a page."""

_CANDIDATES = 8  # names in an error
_SUM_NOISE = 1e-6


@dataclass(frozen=True, slots=True)
class ExplainConfig:
    """What `explain` is asked to do; the command line has the same names.

    Attributes:
        run: the run folder.
        video: a sample's name as `videos.csv` has it, a part of it or of its prompt that no other
            has, or the path of its file.
        dimensions: official names; empty for all that the video was planned for.
        weights: folder of checkpoints; empty for where the run found them.
        device: "cpu", "cuda", "mps", or "auto" for the best there is.
    """

    run: Path
    video: str
    dimensions: tuple[str, ...] = ()
    weights: str = ""
    device: str = "auto"


def explain(config: ExplainConfig) -> tuple[Explanation, dict[int, str]]:
    """Measure one video again, exactly as its run did, and keep what every dimension saw.

    Returns:
        What was seen, and pictures of the frames that are worth a look: frame that backbones saw
        -> JPEG as a `data:` address.

    Raises:
        UsageError: no such video or dimension in the run, or several that are called so.
        RunError: no run there, or one without videos of its own.
        VideoError: the file is gone, or cannot be judged.
        EnvironmentFault: weights are not on this machine.
    """
    run = load_run(config.run)
    if "imported" in run.manifest.model:
        raise RunError(
            "the run was imported: there are scores, but no videos to look at",
            str(config.run),
            "judge the videos here with `vbench-long evaluate`, and explain that run",
        )
    sample = find_sample(run, config.video)
    path = _file(run, sample)
    names = _dimensions(run, sample, config.dimensions)
    networks = networks_of(run, config.weights, config.device)
    dimensions = dimensions_of(run, names)
    networks.require(dimensions)
    protocol = run.manifest.protocol
    rate = Fraction(protocol["image_rate"]) if protocol.get("image_rate") else None
    runner = Runner(dimensions, networks, protocol["clips"], protocol["scenes"], rate)
    sha256 = file_sha256(path)
    LOG.info("%s: looking with %s", sample.video, ", ".join(names))
    missing = {record.dimension: record for record in runner.lacking(sample, names)}
    look = runner.look(sample, path, [name for name in names if name not in missing], "evidence")
    measured = missing | {record.dimension: record for record in look.records}
    recorded = {r.dimension: r for r in run.records if r.video == sample.video}
    facts = environment()
    seen = []
    for dimension in dimensions:
        record = recorded.get(dimension.name)
        doubts = _doubts(run, record, sha256, networks.identity(dimension), facts)
        seen.append(_seen(look, dimension, record, measured[dimension.name], doubts))
    explanation = Explanation(
        run=run,
        sample=sample,
        sha256=sha256,
        width=look.plan.facts.width,
        height=look.plan.facts.height,
        fps=look.plan.facts.fps,
        frames=look.plan.frames,
        dimensions=tuple(seen),
        numbers=_numbers(look.plan),
        environment=facts,
    )
    return explanation, _pictures(look, protocol["clips"], shown_frames(explanation))


def find_sample(run: Run, video: str) -> Sample:
    """The sample of `run` that is meant by `video`; see `ExplainConfig`.

    Raises:
        UsageError: none or several; the message has the names to choose from.
    """
    exact = [sample for sample in run.samples if sample.video == video]
    at_path = [s for s in run.samples if s.path and _same_file(run.folder / s.path, Path(video))]
    stem = [s for s in run.samples if Path(s.video).stem == video]
    sought = video.casefold()
    part = [s for s in run.samples if sought in s.video.casefold() or sought in s.prompt.casefold()]
    found = next((found for found in (exact, at_path, stem, part) if found), [])
    if len(found) == 1:
        return found[0]
    names = [sample.video for sample in found or run.samples]
    some = ", ".join(f"'{name}'" for name in names[:_CANDIDATES])
    more = f" and {len(names) - _CANDIDATES} more" if len(names) > _CANDIDATES else ""
    what = f"{len(found)} videos of the run fit" if found else "no video of the run is called"
    raise UsageError(f"{what} '{video}'", str(run.folder), f"choose from {some}{more}")


def page_name(sample: Sample) -> str:
    """A safe name for the page of any sample: its own where it is plain."""
    stem = Path(sample.video).stem
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.,()'-]{0,119}", stem) and "/" not in sample.video:
        return f"{stem}.html"
    slug = re.sub(r"[^A-Za-z0-9]+", "-", stem)[:80].strip("-")
    mark = hashlib.sha256(sample.video.encode("utf-8", "replace")).hexdigest()[:12]
    return f"{slug}-{mark}.html" if slug else f"{mark}.html"


def networks_of(run: Run, weights: str = "", device: str = "auto") -> Networks:
    """Networks as the run had them; `weights` names a folder if checkpoints have moved."""
    protocol = run.manifest.protocol
    made_up = any(record.identity.endswith(f"/{SEEDED}") for record in run.records)
    if made_up or (protocol.get("untrained") and "videos" in run.manifest.model):
        weights = SEEDED
    return Networks(weights or _weights(run), device, protocol.get("precision", "fp32"))


def dimensions_of(run: Run, names: Sequence[str]) -> list[Dimension]:
    """The dimensions called `names`, as the run judged by them."""
    protocol = run.manifest.protocol
    rules: Rules = "strict" if protocol.get("strict") else "parity"
    filtered = bool(protocol.get("static_filter"))
    return choose_dimensions(names, protocol["backend"], filtered, rules)


def _weights(run: Run) -> str:
    """The folder of checkpoints that the run's command named; empty if it named none."""
    try:
        words = shlex.split(run.manifest.command)
    except ValueError:
        return ""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == "--weights" or word.startswith("--weights="):
            folder = word.partition("=")[2] or following
            return folder if Path(folder).is_dir() else ""
    return ""


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.resolve() == other.resolve()
    except (OSError, ValueError):  # A name that the system refuses.
        return False


def _file(run: Run, sample: Sample) -> Path:
    path = run.folder / sample.path
    if sample.path and path.exists():
        return path
    if not sample.path:
        raise VideoError("the run has no video of this sample", sample.video, "choose another")
    raise VideoError(
        f"the file of '{sample.video}' is gone",
        str(path),
        "put it back, or judge it where it is now with `vbench-long evaluate` and explain that run",
    )


def _dimensions(run: Run, sample: Sample, wanted: Sequence[str]) -> tuple[str, ...]:
    recorded = (record.dimension for record in run.records if record.video == sample.video)
    planned = in_order({*sample.dimensions, *recorded})
    for name in wanted:
        if name not in planned:
            error = unknown("dimension", name, tuple(planned))
            what = f"the video is not judged on '{name}'"
            raise UsageError(what, run.manifest.name, error.fix)
    return tuple(name for name in planned if name in wanted or not wanted)


def _doubts(
    run: Run, record: Record | None, sha256: str, identity: str, facts: Mapping[str, Any]
) -> tuple[str, ...]:
    """What is not as it was when the record was stored."""
    if record is None:
        return ()
    doubts = []
    if record.sha256 and record.sha256 != sha256:
        was, now = record.sha256[:12], sha256[:12]
        doubts.append(f"the file has changed: its sha256 began with {was} and does with {now}")
    if record.identity and record.identity != identity:
        doubts.append(f"it was computed by {record.identity}, and now by {identity}")
    earlier = run.environments.get(record.environment)
    if earlier is not None:
        doubts += [f"environment {line}" for line in describe_differences(earlier, facts)]
    return tuple(doubts)


def _seen(
    look: Look,
    dimension: Dimension,
    recorded: Record | None,
    measured: Record,
    doubts: tuple[str, ...],
) -> SeenDimension:
    clips: list[SeenClip] = []
    scenes: list[Evidence] = []
    again = measured.parts.get("clips", ())
    stored = {(c.get("start"), c.get("stop")): c for c in _clips(recorded)}
    numbered = iter(again)
    for scene in look.plan.scenes if again else ():
        wanted = dimension.scene_items(scene.firsts)
        found = features(dimension, look.done.found, wanted)
        scenes.append(dimension.scene_evidence(scene.firsts, found))
        for clip, seen in zip(scene.clips, scene.seen, strict=True):
            evidence, doubt = _evidence(look, dimension, seen)
            doubts += doubt
            new = next(numbered)
            old = stored.get((clip.start, clip.stop), {})
            clips.append(
                SeenClip(
                    clip.start,
                    clip.stop,
                    old.get("value"),
                    new["value"],
                    new.get("reason", ""),
                    evidence,
                )
            )
    kept = tuple(scene for scene in scenes if scene.exhibits or scene.said)
    return SeenDimension(
        dimension.name,
        _about(dimension),
        recorded,
        measured,
        tuple(clips),
        kept,
        doubts,
    )


def _clips(record: Record | None) -> Sequence[Mapping[str, Any]]:
    return record.parts.get("clips", ()) if record else ()


def _evidence(look: Look, dimension: Dimension, clip: Clip) -> tuple[Evidence, tuple[str, ...]]:
    """What was seen of a clip, and what of it does not add up to the clip's score."""
    facts, found = look.plan.facts, look.done.found
    items = dimension.evidence_items(clip, facts)
    evidence = dimension.evidence(clip, facts, features(dimension, found, items))
    scored = features(dimension, found, dimension.clip_items(clip, facts))
    value = dimension.score_clip(clip, facts, scored).value
    total = evidence.frames.score if evidence.frames else None
    if total is None or value is None or abs(total - value) <= _SUM_NOISE:
        return evidence, ()
    where = f"frames {clip.start} to {clip.stop - 1}"
    return evidence, (f"what is shown of {where} adds up to {total}, their score is {value}",)


def _about(dimension: Dimension) -> str:
    """The first paragraphs of the class's own docstring, up to its source."""
    text = inspect.cleandoc(type(dimension).__doc__ or "")
    return text.partition("\n\nSource:")[0].strip()


def _numbers(plan: VideoPlan) -> dict[int, int]:
    """Frame that backbones see -> frame of the video, where every clip has frames of its own."""
    numbers: dict[int, int] = {}
    for scene in plan.scenes:
        for clip, seen in zip(scene.clips, scene.seen, strict=True):
            numbers |= dict(zip(seen.frames, clip.frames, strict=True))
        if scene.firsts != scene.seen:
            numbers |= {
                f.start: clip.start for f, clip in zip(scene.firsts, scene.clips, strict=True)
            }
    return {seen: frame for seen, frame in numbers.items() if seen != frame}


def _pictures(look: Look, clips: str, wanted: Collection[int]) -> dict[int, str]:
    """Frames as backbones saw them, in one more decode that goes no further than needed."""
    images: dict[int, Image] = {}
    for frame in _frames(look, clips):
        if frame.index in wanted:
            images[frame.index] = shrunk(frame.rgb, WIDTHS[0])
        if len(images) == len(wanted):
            break
    for width in WIDTHS:
        pictures = {index: jpeg(rgb, width) for index, rgb in images.items()}
        if sum(map(len, pictures.values())) <= MOST_BYTES:
            break
    return pictures


def _frames(look: Look, clips: str) -> Iterator[Frame]:
    frames = read_frames(look.info)
    return encoded_again(frames, look.plan) if clips == "reference" else frames
