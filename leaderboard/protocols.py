"""What may stand in one table: equal protocols and weights, and what published rows ask."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.text import printable
from vbench_long.prompts.official import SHA256 as OFFICIAL_SUITE
from vbench_long.records import Status, describe_differences
from vbench_long.store import Run

UNTRAINED: Final = "untrained weights, the numbers mean nothing"

PUBLISHED_PROTOCOL: Final[Mapping[str, Any]] = {
    "backend": "reference",
    "clips": "reference",
    "scenes": None,
    "static_filter": True,
    "strict": False,
    "precision": "fp32",
    "suite": f"vbench {OFFICIAL_SUITE}",
}
"""What a run's protocol must say so that it compares with published VBench-Long rows.

Source: VBench-Long's evaluation script: networks, hidden encode, static filter, no cut detection,
the program's own rules, the official prompts. It computed CLIP's cosines in fp16 on CUDA; fp32 is
nearest.
"""

_FLICKERING: Final = "temporal_flickering"

_PROMPTS: Final[Mapping[str, int]] = {
    "subject_consistency": 72,
    "background_consistency": 86,
    "temporal_flickering": 75,
    "motion_smoothness": 72,
    "dynamic_degree": 72,
    "aesthetic_quality": 93,
    "imaging_quality": 93,
    "object_class": 79,
    "multiple_objects": 82,
    "human_action": 100,
    "color": 85,
    "spatial_relationship": 84,
    "scene": 86,
    "appearance_style": 90,
    "temporal_style": 100,
    "overall_consistency": 93,
}
"""Prompts of the official suite per dimension (`VBench_full_info.json`)."""


def differences(first: Run, other: Run) -> list[str]:
    """Why two runs cannot share a table; empty if they can.

    Protocols must be equal, and what both measured must have been computed by the same code and
    weights.
    """
    if first.manifest.protocol_id != other.manifest.protocol_id:
        differ = describe_differences(first.manifest.protocol, other.manifest.protocol)
        # A key whose value is null on one side and absent on the other shows no difference.
        differ = differ or [f"{first.manifest.protocol_id} -> {other.manifest.protocol_id}"]
        differ.sort(key=lambda line: line.startswith("dimensions."))
        return differ[:8] + ([f"and {len(differ) - 8} more"] if len(differ) > 8 else [])
    seen = identities(first)
    return [
        f"{dimension} was computed by {seen[dimension]} and by {identity}"
        for dimension, identity in identities(other).items()
        if seen.get(dimension, identity) != identity
    ]


def identities(run: Run) -> dict[str, str]:
    """Per dimension with a score, what computed it.

    Raises:
        UsageError: two releases or weights within the run.
    """
    seen: dict[str, str] = {}
    for record in run.records:
        if record.status is not Status.OK:
            continue
        first = seen.setdefault(record.dimension, record.identity)
        if first != record.identity:
            raise UsageError(
                f"{record.dimension} was computed by {first} and by {record.identity}",
                str(run.folder),
                "run its evaluate command again, with one release and the same weights",
            )
    return seen


def require_one_protocol(runs: Sequence[Run]) -> None:
    """Make sure that the runs' numbers may be compared, each with each.

    Raises:
        UsageError: two protocols or weights; the message names what differs and both values.
    """
    for number, run in enumerate(runs):
        identities(run)
        for earlier in runs[:number]:
            differ = differences(earlier, run)
            if differ:
                raise UsageError(
                    f"these runs follow different protocols ({'; '.join(differ)})",
                    f"{earlier.folder} -> {run.folder}",
                    "put only runs of one protocol together, of one release and its weights",
                )


def gaps_to_published(run: Run) -> list[str]:
    """Why a run's scores do not compare with published VBench-Long rows; empty if they do.

    They do if the run was judged as those were: by `PUBLISHED_PROTOCOL`, on videos planned for
    every prompt of the official suite that serves its dimensions, five each (25 for temporal
    flickering). Of imported results of the published program only what its files can tell is
    asked: the program, no scenes, both branches, the static filter, the videos.
    """
    protocol, wanted = _told(run)
    gaps = [
        f"{key}: {_say(protocol.get(key))} instead of {_say(value)}"
        for key, value in wanted.items()
        if protocol.get(key) != value
    ]
    asked = Counter(dimension for sample in run.samples for dimension in sample.dimensions)
    if "precision" not in wanted:  # Imported: files list the still clips only.
        del asked[_FLICKERING]
    short = [
        f"{asked[name]} of {videos} videos planned for {name}"
        for name, prompts in _PROMPTS.items()
        if 0 < asked[name] < (videos := prompts * (25 if name == _FLICKERING else 5))
    ]
    if short and not gaps:
        more = f", and {len(short) - 1} more dimensions short" if len(short) > 1 else ""
        gaps.append(short[0] + more)
    return gaps


def _told(run: Run) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The protocol a run's numbers were made under, and what it must be to be as published."""
    protocol = run.manifest.protocol
    if protocol.get("origin") != "imported":
        return protocol, PUBLISHED_PROTOCOL
    if claims := run.manifest.model.get("claims"):
        return claims, PUBLISHED_PROTOCOL
    wanted: dict[str, Any] = {"program": "VBench-Long", "scenes": None}
    if {"subject_consistency", "background_consistency"} & {*run.manifest.dimensions}:
        wanted["branches"] = "0.5 in clips, 0.5 between clips"
    if _FLICKERING in run.manifest.dimensions:
        wanted["static_filter"] = True
    return protocol, wanted


def _say(value: object) -> str:
    words = {"": "none", "None": "none", "True": "on", "False": "off"}
    text = re.sub(r"([0-9a-f]{12})[0-9a-f]{20,}", r"\1", str(value))  # twelve digits of a hash do
    return printable(words.get(text) or text[:40])


def protocol_note(protocol: Mapping[str, Any]) -> str:
    """One line for the reader of a table or picture: backend, clips, what its numbers compare with.

    Published rows want more than a protocol can say, see `gaps_to_published`.
    """
    if protocol.get("untrained"):
        return UNTRAINED
    backend, clips = protocol.get("backend", "unknown"), protocol.get("clips", "unknown")
    return printable(f"{backend} backend, {clips} clips: {compares_with(protocol)}")


def compares_with(protocol: Mapping[str, Any]) -> str:
    """What the numbers of a protocol compare with."""
    if protocol.get("backend") != "reference":
        return "not comparable with published scores"
    if protocol.get("clips") != "reference":
        return "published scores were taken on re-encoded clips"
    return "comparable with published scores where the whole official suite was judged"
