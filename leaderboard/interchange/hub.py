"""A run as Hugging Face eval results: the YAML file that shows scores on a model's page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.scores import AGGREGATES, SCALES, percent, score_run
from vbench_long.leaderboard.statistics import Estimate, run_estimates
from vbench_long.leaderboard.text import printable, videos_in_words
from vbench_long.provenance import environment
from vbench_long.store import Run

FILE: Final = ".eval_results/vbench-long.yaml"
"""Its place in the model's repository."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """What the file says besides scores.

    Attributes:
        dataset: id of the benchmark's dataset on the Hub, ``owner/name``; its leaderboard
            collects the scores.
        source: where the results can be looked at, https; may be empty.
    """

    dataset: str
    source: str = ""


def hub_yaml(run: Run, address: Address) -> str:
    """One entry per dimension with a score, then Quality, Semantic and Total where complete.

    A task of the dataset is named after what it measures (``subject_consistency``, ``total``), a
    value is in percent with two decimals as in published tables. The format has no field for the
    protocol, the count of videos or an interval, so `notes` says them. `verifyToken` is absent:
    only an evaluation that Hugging Face runs itself gets one.

    Source: https://huggingface.co/docs/hub/eval-results (fields dataset.id, dataset.task_id,
    value, date, source.url, source.name, notes).

    Args:
        run: read by `load_run`.
        address: where the entries belong.

    Raises:
        UsageError: the run's scores are no published measure (classical backend, untrained
            weights), no official dimension has a score, or the address is malformed.
    """
    if not _REPOSITORY.fullmatch(address.dataset):
        raise UsageError(
            f"'{printable(address.dataset)}' is no dataset of the Hub", "", "give OWNER/NAME"
        )
    if address.source and not re.fullmatch(r"https://[^\s\"'<>\\]+", address.source):
        raise UsageError(
            f"'{printable(address.source)}' is no https address", "", "give https://..."
        )
    protocol = run.manifest.protocol
    if protocol.get("untrained") or protocol.get("backend") != "reference":
        raise UsageError(
            "only scores of the published networks belong on a model's page",
            str(run.folder),
            "evaluate with --backend reference and published weights",
        )
    lines = [line for entry in _entries(run) for line in _lines(entry, run, address)]
    if not lines:
        raise UsageError("no official dimension has a score", str(run.folder))
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class _Entry:
    task: str
    score: float
    note: str


def _entries(run: Run) -> Iterator[_Entry]:
    scored, sure = score_run(run), run_estimates(run)
    for s in scored.scores:
        if s.dimension in SCALES and s.score is not None:
            lost = s.failed + s.missing
            count = f"{s.videos} of {s.videos + lost}" if lost else f"{s.videos}"
            note = f"{count} videos, {_error(sure.dimensions[s.dimension])}"
            yield _Entry(s.dimension, s.score, note)
    for name in AGGREGATES:
        if (value := scored.aggregate(name)) is not None:
            note = f"{videos_in_words(scored.videos)}, {_error(sure.aggregates[name])}"
            yield _Entry(name.lower(), value, note)


def _error(estimate: Estimate) -> str:
    if not estimate.interval:
        return f"no interval ({estimate.reason})"
    low, high = percent(estimate.interval.low), percent(estimate.interval.high)
    return f"95 % interval over prompts {low} to {high}"


def _lines(entry: _Entry, run: Run, address: Address) -> Iterator[str]:
    """YAML whose texts are all double-quoted: `json` escapes what could end them."""
    protocol = run.manifest.protocol
    imported = protocol.get("origin") == "imported"
    made_by = "imported results" if imported else f"vbench-long {environment()['vbench-long']}"
    clips, mark = protocol.get("clips", "unknown"), run.manifest.protocol_id
    notes = f"VBench-Long protocol, {clips} clips, {entry.note}, {made_by}, protocol {mark}"
    yield "- dataset:"
    yield f"    id: {_quoted(address.dataset)}"
    yield f"    task_id: {_quoted(entry.task)}"
    yield f"  value: {percent(entry.score)}"
    yield f"  date: {_quoted(run.manifest.updated[:10])}"
    if address.source:
        yield "  source:"
        yield f"    url: {_quoted(address.source)}"
        yield f"    name: {_quoted(f'{run.manifest.name}: videos and scores')}"
    yield f"  notes: {_quoted(notes)}"


def _quoted(text: str) -> str:
    return json.dumps(printable(text), ensure_ascii=False)
