"""What is known of a sample, of one stored result, and of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """What became of one (video, dimension)."""

    OK = "ok"
    FAILED = "failed"
    MISSING = "missing"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class Sample:
    """One planned video: a prompt, which of its samples, and where the file is.

    Attributes:
        video: name within the run, unique; a file name, never a path outside the run's videos.
        prompt: the text the video was (or will be) made from.
        index: which sample of the prompt, from 0.
        path: the file as given; relative paths are relative to the run folder.
        seed: what the generator was seeded with, if known.
        dimensions: what this sample is judged on.
        clip_seconds: length of its clips.
        auxiliary: the suite's auxiliary information.
    """

    video: str
    prompt: str
    index: int
    path: str
    seed: int | None = None
    dimensions: tuple[str, ...] = ()
    clip_seconds: float = 2.0
    auxiliary: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One stored result: what one dimension says of one video.

    Attributes:
        video: the sample's name.
        dimension: official name with underscores.
        status: ok, failed, missing, or excluded (the protocol leaves this video out of the
            dimension); only ok has a value.
        value: raw score of the video (mean over its scenes of the mean over their clips).
        error: why there is no value; empty when ok.
        parts: the clips with their scores, notes on the video, and what explains the value.
        seconds: time spent in the dimension's own backbones and scoring.
        sha256: of the video file that was judged; empty when missing.
        identity: what computed the value (dimension and backbones with their revisions).
        environment: key of the environment it was computed in.
    """

    video: str
    dimension: str
    status: Status
    value: float | None = None
    error: str = ""
    parts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float = 0.0
    sha256: str = ""
    identity: str = ""
    environment: str = ""

    def clip_values(self) -> list[float]:
        """Scores of the video's clips, without those that have none."""
        return [c["value"] for c in self.parts.get("clips", ()) if c["value"] is not None]


@dataclass(frozen=True, slots=True)
class Manifest:
    """What `run.json` says of a run.

    Attributes:
        name: the model's name in tables.
        model: where the videos come from: generator and settings, or the folder judged.
        protocol: everything that can change a number; two runs compare only if it is equal.
        suite: name, sha256 and size of the set of prompts; empty for a plain folder.
        dimensions: what was asked for.
        status: running, interrupted, or complete.
        command: the command line.
        environment: key of the newest environment in the store.
        counts: records by status.
        created: UTC, ISO 8601.
        updated: UTC, ISO 8601.
        costs: seconds and memory that all calls took, as `evaluation.costs.Costs` names them;
            empty for runs that were not judged here.
    """

    name: str
    model: Mapping[str, Any]
    protocol: Mapping[str, Any]
    suite: Mapping[str, Any]
    dimensions: tuple[str, ...]
    status: str
    command: str
    environment: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    created: str = ""
    updated: str = ""
    costs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def protocol_id(self) -> str:
        """Twelve hex digits that stand for the protocol."""
        return digest(self.protocol)


def canonical_json(value: Any) -> str:
    """JSON with one spelling per value: sorted keys, no spaces, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """The first twelve hex digits of the sha256 of a JSON value."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:12]


def describe_differences(old: Any, new: Any, path: str = "") -> list[str]:
    """Where two JSON values differ, one "path: old -> new" per leaf."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            line
            for key in sorted({*old, *new})
            for line in describe_differences(
                old.get(key), new.get(key), f"{path}.{key}" if path else str(key)
            )
        ]
    same = canonical_json(old) == canonical_json(new)
    return [] if same else [f"{path}: {old!r} -> {new!r}"]
