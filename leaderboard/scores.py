"""From a run's records to dimension scores, and from those to Quality, Semantic and Total."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from vbench_long.errors import RunError
from vbench_long.records import Record, Sample, Status
from vbench_long.registry import unknown
from vbench_long.store import Run

Group = Literal["quality", "semantic"]

MOST_STILL_CLIPS: Final = 5
"""How many clips of a prompt the static filter keeps."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How one dimension enters the totals.

    Attributes:
        group: which of the two group scores it belongs to.
        minimum: raw score that becomes 0.
        maximum: raw score that becomes 1.
        weight: its share within the group.
        legal: lowest and highest raw score there can be; shares and distances lie in 0..1 (imaging
            quality after its division by 100), cosines in -1..1.
    """

    group: Group
    minimum: float = 0.0
    maximum: float = 1.0
    weight: float = 1.0
    legal: tuple[float, float] = (0.0, 1.0)


_COSINE = (-1.0, 1.0)
_FINITE = (-sys.float_info.max, sys.float_info.max)

SCALES: Final[Mapping[str, Scale]] = {
    "subject_consistency": Scale("quality", 0.1462),
    "background_consistency": Scale("quality", 0.2615),
    "temporal_flickering": Scale("quality", 0.6293),
    "motion_smoothness": Scale("quality", 0.706, 0.9975),
    "dynamic_degree": Scale("quality", weight=0.5),
    "aesthetic_quality": Scale("quality"),
    "imaging_quality": Scale("quality"),
    "object_class": Scale("semantic"),
    "multiple_objects": Scale("semantic"),
    "human_action": Scale("semantic"),
    "color": Scale("semantic"),
    "spatial_relationship": Scale("semantic"),
    "scene": Scale("semantic", 0.0, 0.8222),
    "appearance_style": Scale("semantic", 0.0009, 0.2855, legal=_COSINE),
    "temporal_style": Scale("semantic", 0.0, 0.364, legal=_COSINE),
    "overall_consistency": Scale("semantic", 0.0, 0.364, legal=_COSINE),
}
"""The sixteen in VBench's order. Source: VBench's final-score script (`scripts/constant.py`)."""

_PLACES = {name: place for place, name in enumerate(SCALES)}

GROUP_WEIGHTS: Final[Mapping[Group, float]] = {"quality": 4.0, "semantic": 1.0}
"""Shares of Quality and Semantic in Total. Source: as above."""


def group_dimensions(group: Group) -> tuple[str, ...]:
    """The official dimensions of a group, in VBench's order."""
    return tuple(name for name, scale in SCALES.items() if scale.group == group)


AGGREGATES: Final[Mapping[str, tuple[str, ...]]] = {
    "Quality": group_dimensions("quality"),
    "Semantic": group_dimensions("semantic"),
    "Total": tuple(SCALES),
}
"""The official aggregates and the dimensions each is made of."""


@dataclass(frozen=True, slots=True)
class DimensionScore:
    """What one run says of one dimension.

    Attributes:
        dimension: official name with underscores.
        score: mean over all clips of all ok videos, raw; None without an ok video.
        per_video: mean over ok videos of their stored value, raw; None without an ok video.
        clips: clips the score is the mean of.
        videos: ok videos.
        failed: videos that could not be judged.
        missing: planned videos that have no file, or no record yet.
        excluded: videos that the protocol leaves out of the dimension.
    """

    dimension: str
    score: float | None
    per_video: float | None
    clips: int
    videos: int
    failed: int
    missing: int
    excluded: int = 0

    @property
    def complete(self) -> bool:
        """Whether every planned video has a score."""
        return self.score is not None and not self.failed and not self.missing


@dataclass(frozen=True, slots=True)
class Totals:
    """The three official aggregates, 0 at the published minima and 1 at the maxima.

    Attributes:
        quality: weighted mean of the seven normalised quality dimensions, or None.
        semantic: mean of the nine normalised semantic dimensions, or None.
        total: four parts quality, one part semantic, or None.
        missing: official dimensions that are absent, in VBench's order. Aggregates shown in spite
            of an absent dimension are partial.
        incomplete: dimensions that entered a partial aggregate although some of their videos
            have no score.
    """

    quality: float | None
    semantic: float | None
    total: float | None
    missing: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()


TotalsRule = Callable[[Sequence[DimensionScore]], Totals]
"""Which dimension scores may enter the aggregates: `complete_totals` or `available_totals`."""


def results(run: Run) -> Iterator[tuple[Sample, Record]]:
    """Every planned (sample, dimension) of a run with its record, in the order of the samples.

    Dimensions come in VBench's order, unknown ones after them by name. Where the store holds
    nothing yet the record says `missing`.
    """
    stored: dict[str, dict[str, Record]] = {}
    for record in run.records:
        stored.setdefault(record.video, {})[record.dimension] = record
    for sample in run.samples:
        known = stored.get(sample.video, {})
        for dimension in in_order({*sample.dimensions, *known}):
            yield (
                sample,
                known.get(dimension)
                or Record(sample.video, dimension, Status.MISSING, error="not evaluated yet"),
            )


def in_order(dimensions: Iterable[str]) -> list[str]:
    """The given names once each: the official ones in VBench's order, others after, by name."""
    return sorted(set(dimensions), key=lambda name: (_PLACES.get(name, len(_PLACES)), name))


def dimension_scores(run: Run) -> list[DimensionScore]:
    """Score every dimension the run was asked for or holds records of.

    `score` weighs each clip the same, so a long video counts more than a short one: that is what
    the published code reports as a dimension's overall. `per_video` weighs each video the same.

    Raises:
        RunError: an ok record has no clip with a value, or one outside its legal range.
    """
    for record in run.records:
        if what := illegal(record, run.manifest.protocol):
            raise RunError(what, record.video, "run its evaluate command again")
    records: dict[str, list[Record]] = {name: [] for name in run.manifest.dimensions}
    for _, record in results(run):
        records.setdefault(record.dimension, []).append(record)
    if run.manifest.protocol.get("static_filter") and "temporal_flickering" in records:
        records["temporal_flickering"] = _capped(run, records["temporal_flickering"])
    return [_dimension_score(name, records[name]) for name in in_order(records)]


def illegal(record: Record, protocol: Mapping[str, Any]) -> str:
    """What is wrong with a record's numbers; empty if they lie in their dimension's legal range.

    Made-up weights keep no range, so records of untrained protocols are never wrong; dimensions
    outside the sixteen need to be finite.
    """
    if record.status is not Status.OK or protocol.get("untrained"):
        return ""
    low, high = SCALES[record.dimension].legal if record.dimension in SCALES else _FINITE
    for value in (record.value, *record.clip_values()):
        if value is None or not low <= value <= high:
            return f"{record.dimension} scored {value}, outside its legal range {low}..{high}"
    return ""


def _capped(run: Run, records: Sequence[Record]) -> list[Record]:
    """The records with at most five still clips per prompt, as the static filter takes them.

    Videos are looked at in the order of their names; a video whose clips all lie behind the cap
    is left out. A dimension's score is the mean over videos then, so each record keeps its mean
    as its only clip.
    """
    prompts = {sample.video: sample.prompt for sample in run.samples}
    room = dict.fromkeys(prompts.values(), MOST_STILL_CLIPS)
    kept = []
    for record in sorted(records, key=lambda record: record.video):
        values = record.clip_values()[: room[prompts[record.video]]]
        room[prompts[record.video]] -= len(values)
        if record.status is Status.OK and not values:
            record = replace(record, status=Status.EXCLUDED, value=None)
        elif record.status is Status.OK:
            value = math.fsum(values) / len(values)
            record = replace(record, value=value, parts={"clips": [{"value": value}]})
        kept.append(record)
    return kept


def _dimension_score(dimension: str, records: Sequence[Record]) -> DimensionScore:
    ok = [record for record in records if record.status is Status.OK]
    clips: list[float] = []
    for record in ok:
        values = record.clip_values()
        if not values:
            raise RunError(
                f"the {dimension} record has a value but no clip with one",
                record.video,
                "evaluate this video again",
            )
        clips += values
    return DimensionScore(
        dimension=dimension,
        score=_mean(clips),
        per_video=_mean([record.value for record in ok if record.value is not None]),
        clips=len(clips),
        videos=len(ok),
        failed=sum(record.status is Status.FAILED for record in records),
        missing=sum(record.status is Status.MISSING for record in records),
        excluded=sum(record.status is Status.EXCLUDED for record in records),
    )


def _mean(values: Sequence[float]) -> float | None:
    """The mean to the last bit, whatever the order of the values: `fsum` rounds once."""
    return math.fsum(values) / len(values) if values else None


def normalise(dimension: str, score: float) -> float:
    """Map a raw score to the official scale: 0 at the minimum, 1 at the maximum, not clipped.

    Raises:
        UsageError: `dimension` is not one of the sixteen.
    """
    if dimension not in SCALES:
        raise unknown("official dimension", dimension, tuple(SCALES))
    scale = SCALES[dimension]
    return (score - scale.minimum) / (scale.maximum - scale.minimum)


def totals(scores: Mapping[str, float]) -> Totals:
    """The official aggregates; each is None unless all its dimensions are there.

    The published script counts an absent dimension as raw 0 instead, which makes its normalised
    score negative for four of them; such a Total measures what was left out.

    Args:
        scores: raw scores by official name; other names take no part.
    """
    partial = partial_totals(scores)
    quality = None if _lacks("quality", partial.missing) else partial.quality
    semantic = None if _lacks("semantic", partial.missing) else partial.semantic
    return Totals(quality, semantic, _total(quality, semantic), partial.missing)


def partial_totals(scores: Mapping[str, float]) -> Totals:
    """The same weighted means over the dimensions that are there; `missing` names the others.

    A group without any dimension is None, and so is Total then: it would only repeat the other
    group under a grander name.
    """
    quality, semantic = _group_mean("quality", scores), _group_mean("semantic", scores)
    missing = tuple(name for name in SCALES if name not in scores)
    return Totals(quality, semantic, _total(quality, semantic), missing)


def complete_totals(scores: Sequence[DimensionScore]) -> Totals:
    """A run's aggregates from its complete dimensions, None where one of them is wanting."""
    return totals({s.dimension: s.score for s in scores if s.complete and s.score is not None})


def available_totals(scores: Sequence[DimensionScore]) -> Totals:
    """A run's partial aggregates from every dimension that has a score at all."""
    found = partial_totals({s.dimension: s.score for s in scores if s.score is not None})
    used = (s for s in scores if s.dimension in SCALES and s.score is not None)
    return Totals(
        found.quality,
        found.semantic,
        found.total,
        found.missing,
        tuple(s.dimension for s in used if not s.complete),
    )


def percent(score: float) -> str:
    """A raw or normalised score as percent with two decimals; for people, never for storage."""
    return f"{round(100 * score, 2) + 0.0:.2f}"  # + 0.0 turns -0.0 into 0.0


@dataclass(frozen=True, slots=True)
class RunScores:
    """One run, scored: a line of a leaderboard.

    Attributes:
        label: the model's name; in a leaderboard unique, with the folder's name where needed.
        protocol_id: twelve hex digits.
        backend: "reference" or "classical".
        status: "complete", "incomplete" (a video failed or is missing), or the manifest's
            "running" or "interrupted".
        videos: videos with a score in at least one dimension.
        scores: its dimensions in VBench's order.
        totals: its aggregates, by the rule it was scored with.
    """

    label: str
    protocol_id: str
    backend: str
    status: str
    videos: int
    scores: tuple[DimensionScore, ...]
    totals: Totals

    def score_of(self, dimension: str) -> DimensionScore | None:
        """What the run says of `dimension`, or None where it was never asked."""
        return next((s for s in self.scores if s.dimension == dimension), None)

    def aggregate(self, name: str) -> float | None:
        """Quality, Semantic or Total."""
        values = (self.totals.quality, self.totals.semantic, self.totals.total)
        return dict(zip(AGGREGATES, values, strict=True))[name]


def score_run(run: Run, rule: TotalsRule = complete_totals, label: str = "") -> RunScores:
    """Score a run; without aggregates if its weights are untrained.

    Args:
        run: read by `load_run`.
        rule: `complete_totals`, or `available_totals` for partial aggregates.
        label: instead of the model's name.

    Raises:
        RunError: a record contradicts itself.
    """
    scores = tuple(dimension_scores(run))
    untrained = run.manifest.protocol.get("untrained")
    status = run.manifest.status
    if status == "complete" and not all(s.complete for s in scores):
        status = "incomplete"
    return RunScores(
        label=label or run.manifest.name,
        protocol_id=run.manifest.protocol_id,
        backend=str(run.manifest.protocol.get("backend", "unknown")),
        status=status,
        videos=len({r.video for _, r in results(run) if r.status is Status.OK}),
        scores=scores,
        totals=Totals(None, None, None) if untrained else rule(scores),
    )


def _group_mean(group: Group, scores: Mapping[str, float]) -> float | None:
    names = [name for name in group_dimensions(group) if name in scores]
    if not names:
        return None
    weighted = (SCALES[name].weight * normalise(name, scores[name]) for name in names)
    return math.fsum(weighted) / math.fsum(SCALES[name].weight for name in names)


def _total(quality: float | None, semantic: float | None) -> float | None:
    if quality is None or semantic is None:
        return None
    share = GROUP_WEIGHTS
    weighted = share["quality"] * quality + share["semantic"] * semantic
    return weighted / (share["quality"] + share["semantic"])


def _lacks(group: Group, missing: Iterable[str]) -> bool:
    return any(SCALES[name].group == group for name in missing)
