"""VBench's own result files: what they say, read strictly.

``NAME_eval_results.json`` maps a dimension to ``[overall, clips]`` or ``[overall, clips, groups]``
and ``NAME_full_info.json`` lists the prompts with the clips made from them. Source: VBench-Long
(`vbench2_beta_long`), `evaluate`, `reorganize_clips_results` and `fuse_inclip_clip2clip`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.interchange.archive import is_shallow
from vbench_long.leaderboard.scores import SCALES
from vbench_long.leaderboard.text import shorten
from vbench_long.registry import unknown

FUSED: Final = ("subject_consistency", "background_consistency")
"""Dimensions with a slow and a fast branch; they have no list of groups."""

BRANCHES: Final = ("inclip_score", "clip2clip_score", "mapped_clip2clip_score")

EXTRAS: Final[Mapping[str, tuple[str, ...]]] = {
    **dict.fromkeys(FUSED, BRANCHES),
    **dict.fromkeys(
        ("object_class", "multiple_objects", "scene"), ("success_frame_count", "frame_count")
    ),
    "color": ("cur_success_frame_rate",),
    "spatial_relationship": ("frame_results",),
    "human_action": ("cor_num_per_video",),
    "appearance_style": ("frame_results", "cur_sim"),
}
"""What an entry may hold besides its path and result."""

VERDICTS: Final = ("dynamic_degree", "human_action")
"""Dimensions whose clips score true or false."""

TOLERANCE: Final = 1e-6
"""How far a stored mean may lie from its clips, and a cosine above 1."""

_POOLED: Final = (*FUSED, "appearance_style")
"""Dimensions whose overall can be pooled over frames instead of averaged over entries."""

PERCENT: Final = "imaging_quality"
"""The dimension whose lists run from 0 to 100; its overall runs from 0 to 1."""

FILTERED: Final = "filtered_clips"
"""The folder the static filter copies still clips to."""


VIDEO = re.compile(r"(?P<stem>.+)\.(?:mp4|gif|png|avi|mov)", re.DOTALL)
_CLIP = re.compile(
    r"(?P<video>.+?)(?:-Scene-(?P<scene>[0-9]{1,6}))?_(?P<clip>[0-9]{3,9}|full)", re.DOTALL
)
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_FORM = "the form is {dimension: [overall, [{video_path, video_results}, ...], ...]}"


@dataclass(frozen=True, slots=True)
class ClipResult:
    """One entry of a dimension's list.

    Attributes:
        video: file name of the video the clip was cut from, without its suffix.
        scene: index of the scene the clip lies in; 0 where no scenes were cut.
        clip: "000", "001", ... or "full"; empty if the whole video was judged (short VBench).
        value: raw score on the scale of the totals (imaging quality too).
        path: as written.
        extras: see `EXTRAS`.
    """

    video: str
    scene: int
    clip: str
    value: float
    path: str
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DimensionResult:
    """What a results file says of one dimension.

    Attributes:
        overall: raw score, as written; None if the dimension was measured on nothing, for which
            VBench-Long writes 0.
        clips: its entries, by video, scene and clip.
        filtered: whether the static filter chose the clips (temporal flickering).
    """

    overall: float | None
    clips: tuple[ClipResult, ...] = ()
    filtered: bool = False

    @property
    def alone(self) -> bool:
        """Whether the file holds the overall and no clips."""
        return self.overall is not None and not self.clips

    @property
    def follows(self) -> bool:
        """Whether the overall is a mean over the clips; true without any.

        It is over clips, or behind the static filter over videos; there the published program
        takes each scene for a video.
        """
        overall = self.overall
        if overall is None or not self.clips:
            return True
        keys = (_scene, _video) if self.filtered else (_name,)
        means = [_mean_of_means(self.clips, key) for key in keys]
        return any(math.isclose(overall, mean, rel_tol=0, abs_tol=TOLERANCE) for mean in means)

    @property
    def whole_videos(self) -> bool:
        """Whether whole videos were judged, as by VBench for short videos."""
        return any(not clip.clip for clip in self.clips)


@dataclass(frozen=True, slots=True)
class PromptEntry:
    """One entry of a full-info file.

    Attributes:
        prompt: `prompt_en` as written; in custom mode the video's name.
        dimensions: official names.
        videos: the videos whose clips are listed, by file name without suffix.
        auxiliary: what dimensions must know of the prompt.
    """

    prompt: str
    dimensions: tuple[str, ...]
    videos: tuple[str, ...]
    auxiliary: Mapping[str, Any]


def parse_results(content: Any, file: str) -> dict[str, DimensionResult]:
    """Read the content of a results file. Groups are not read: they follow from the clips.

    Scores up to `TOLERANCE` outside their legal range are float noise and moved to its end.

    Args:
        content: JSON types.
        file: named in errors.

    Raises:
        UsageError: another form, an unknown dimension, a value that is none or lies outside its
            range, a clip twice, or an overall that does not follow from its clips. The file, the
            dimension and the key are named.
    """
    if not isinstance(content, dict):
        raise UsageError("the results are not an object", file, _FORM)
    results: dict[str, DimensionResult] = {}
    for key, value in content.items():
        dimension = key.replace(" ", "_")
        if dimension not in SCALES:
            fault = unknown("dimension", shorten(key, 80), tuple(SCALES))
            raise UsageError(fault.what, file, fault.fix)
        where = f"{file}, {key}"
        if dimension in results:
            raise UsageError("the dimension occurs twice", where, "keep one of them")
        results[dimension] = _dimension(dimension, value, where)
    return results


def parse_full_info(content: Any, file: str) -> list[PromptEntry]:
    """Read the content of a full-info file.

    Raises:
        UsageError: another form, an unknown dimension, or a clip twice.
    """
    if not isinstance(content, list):
        raise UsageError(
            "the full info is not a list", file, "the form is [{prompt_en, dimension, video_list}]"
        )
    return [_prompt_entry(row, f"{file}, entry {n}") for n, row in enumerate(content, start=1)]


def _dimension(dimension: str, value: Any, where: str) -> DimensionResult:
    if not isinstance(value, list) or not 1 <= len(value) <= 3:
        raise UsageError("not a list of overall, clips and groups", where, _FORM)
    rows = value[1:] or [[]]
    if any(not isinstance(row, list) for row in rows):
        raise UsageError("clips or groups are not a list", where, _FORM)
    overall = _number(value[0], f"{where}, overall")
    if len(value) > 1 and not rows[0] and overall == 0:
        return DimensionResult(None)
    overall = _legal(overall, dimension, f"{where}, overall")
    clips = [_clip(dimension, row, f"{where}, entry {n}") for n, row in enumerate(rows[0], start=1)]
    counts = Counter(map(_name, clips))
    if twice := [clip.path for clip in clips if counts[_name(clip)] > 1]:
        raise UsageError("a clip occurs twice", f"{where}, {shorten(twice[-1], 120)}", "keep one")
    filtered = [FILTERED in parts_of(clip.path) for clip in clips]
    if len(set(filtered)) > 1 or len({not clip.clip for clip in clips}) > 1:
        raise UsageError(
            "some entries are clips, others whole or filtered ones", where, "judge all alike"
        )
    result = DimensionResult(overall, tuple(sorted(clips, key=_name)), any(filtered))
    values = [clip.value for clip in clips]
    may_pool = dimension in _POOLED and len(value) == 2
    if not result.follows and not (may_pool and min(values) <= overall <= max(values)):
        raise UsageError(
            f"the overall {overall!r} is not the mean of its clips",
            where,
            "import the files as VBench wrote them",
        )
    return result


def _clip(dimension: str, row: Any, where: str) -> ClipResult:
    if not isinstance(row, dict):
        raise UsageError("not an object", where, _FORM)
    path = _text(row.get("video_path"), f"{where}, video_path")
    video, scene, clip = clip_name(path, f"{where}, video_path")
    extras = {}
    for key, value in row.items():
        if key in ("video_path", "video_results"):
            continue
        if key not in EXTRAS.get(dimension, ()):
            raise UsageError(f"an unknown key '{shorten(key, 80)}'", where, _FORM)
        listed = key == "frame_results" and isinstance(value, list)
        for number in value if listed else [value]:
            _number(number, f"{where}, {key}")
        extras[key] = value
    there = f"{where}, video_results"
    value = _number(row.get("video_results"), there, verdict=dimension in VERDICTS)
    raw = value / 100 if dimension == PERCENT else value
    return ClipResult(video, scene, clip, _legal(raw, dimension, there), path, extras)


def _prompt_entry(row: Any, where: str) -> PromptEntry:
    if not isinstance(row, dict):
        raise UsageError("not an object", where)
    prompt = row.get("prompt_en")
    if not isinstance(prompt, str):
        raise UsageError(f"{shorten(repr(prompt), 80)} is not a text", f"{where}, prompt_en")
    names = row.get("dimension")
    names = [names] if isinstance(names, str) else names
    if not isinstance(names, list) or not names:
        raise UsageError("no list of dimensions", f"{where}, dimension")
    for name in names:
        if _text(name, f"{where}, dimension") not in SCALES:
            fault = unknown("dimension", shorten(name, 80), tuple(SCALES))
            raise UsageError(fault.what, f"{where}, dimension", fault.fix)
    paths = row.get("video_list")
    if not isinstance(paths, list):
        raise UsageError("no list of clips", f"{where}, video_list")
    clips = [
        clip_name(_text(path, f"{where}, video_list"), f"{where}, video_list") for path in paths
    ]
    if len(set(clips)) < len(clips):
        raise UsageError("a clip is listed twice", f"{where}, video_list", "keep one")
    videos = tuple(dict.fromkeys(video for video, _, _ in clips))
    auxiliary = row.get("auxiliary_info", {})
    if not isinstance(auxiliary, dict) or not is_shallow(auxiliary, 4):
        raise UsageError("not an object of few levels", f"{where}, auxiliary_info")
    return PromptEntry(prompt, tuple(dict.fromkeys(names)), videos, auxiliary)


def clip_name(path: str, where: str = "") -> tuple[str, int, str]:
    """The video, scene and clip that a path of VBench-Long's names.

    ``.../{video}_{k:03d}.mp4``, ``.../{video}_full.mp4``, ``.../{video}-Scene-{s}_{k:03d}.mp4``, or
    one of these as a folder with the video inside, as the fused dimensions write it. Any other
    name is a whole video; its clip is "". The folders before it may be any; no path is opened.

    Raises:
        UsageError: not the path of a video.
    """
    parts = parts_of(path)
    name = parts[-2] if len(parts) > 1 and VIDEO.fullmatch(parts[-2]) else parts[-1]
    found = VIDEO.fullmatch(name)
    if not found:
        raise UsageError(f"'{shorten(path, 120)}' is not the path of a video", where)
    if clip := _CLIP.fullmatch(found["stem"]):
        return clip["video"], int(clip["scene"] or 0), clip["clip"]
    return found["stem"], 0, ""


def _mean_of_means(clips: Sequence[ClipResult], key: Callable[[ClipResult], Hashable]) -> float:
    groups: dict[Hashable, list[float]] = {}
    for clip in clips:
        groups.setdefault(key(clip), []).append(clip.value)
    return fmean([fmean(values) for values in groups.values()])


def _scene(clip: ClipResult) -> tuple[str, int]:
    return clip.video, clip.scene


def _video(clip: ClipResult) -> str:
    return clip.video


def _name(clip: ClipResult) -> tuple[str, int, str]:
    return clip.video, clip.scene, clip.clip


def parts_of(path: str) -> list[str]:
    """A path's folders and its name; both kinds of slash part them."""
    return re.split(r"[/\\]", path)


def _number(value: Any, where: str, verdict: bool = False) -> float:
    if verdict and (isinstance(value, bool) or value in (0, 1)):
        return float(value)
    if verdict:
        raise UsageError(f"{shorten(repr(value), 80)} is neither true nor false", where)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError(f"{shorten(repr(value), 80)} is not a number", where)
    return float(value)


def _legal(value: float, dimension: str, where: str) -> float:
    low, high = SCALES[dimension].legal
    if not low - TOLERANCE <= value <= high + TOLERANCE:
        raise UsageError(
            f"{value!r} lies outside the legal range {low}..{high}",
            where,
            "scores of untrained or broken networks cannot be imported",
        )
    return min(max(value, low), high)


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{shorten(repr(value), 80)} is not a text with words", where)
    if _UNPRINTABLE.search(value):
        raise UsageError("the text has a line end or control character", where)
    return value
