"""A comparison as text, JSON, JUnit XML and Markdown. A point is 0.01 of a raw score."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any, Final
from xml.etree import ElementTree as Xml

from vbench_long.leaderboard.bootstrap import RESAMPLES, SEED
from vbench_long.leaderboard.gate.comparison import Change, Comparison, Finding, Verdict
from vbench_long.leaderboard.gate.pairing import Lack
from vbench_long.leaderboard.gate.significance import POWER
from vbench_long.leaderboard.protocols import protocol_note
from vbench_long.leaderboard.text import (
    aligned,
    markdown,
    printable,
    shorten,
    videos_in_words,
    wrapped,
)
from vbench_long.records import describe_differences
from vbench_long.store import Run

SCHEMA: Final = "vbench-long/compare/1"
"""Name and version of the JSON document; the version rises when a reader would break."""

_SHOWN = 20  # lines of a list in a document for people
_STORED = 1000  # entries of a list in the JSON document


def headline(comparison: Comparison) -> str:
    """The answer in one sentence."""
    worse, better = (_list(comparison.having(v)) for v in (Verdict.WORSE, Verdict.BETTER))
    if worse:
        return f"worse: {worse}"
    if comparison.exit_code:
        return f"incomplete: NEW lacks {_count(comparison.lacking)}"
    if comparison.same:
        return "not worse: both runs have the same scores"
    if not any(one.detectable for one in comparison.findings) and not better:
        return "no evidence, and none was possible: this comparison can see no drop of any size"
    return f"not worse; better: {better}" if better else "not worse"


def compare_text(comparison: Comparison) -> str:
    """What `compare` prints: what is compared, what could be seen, what was seen."""
    lines = [f"BASE  {_name(comparison.base)}", f"NEW   {_name(comparison.new)}"]
    lines += [line for text in _about(comparison) for line in wrapped(text, _WIDTH)]
    grid = [_HEADER, *(_row(finding) for finding in comparison.findings)]
    grid += [[change.name, "-", *_numbers(change), "", ""] for change in comparison.aggregates]
    lines += ["", *aligned(grid), ""]
    lines += [line for note in _notes(comparison) for line in wrapped(f"* {note}", _WIDTH)]
    return "\n".join([*lines, "", headline(comparison)]) + "\n"


def compare_markdown(comparison: Comparison) -> str:
    """The same for a CI job's summary, far below 100 KB whatever the runs hold."""
    lines = ["## vbench-long compare", "", f"**{markdown(headline(comparison))}**", ""]
    lines += [f"- BASE: {markdown(_name(comparison.base))}"]
    lines += [f"- NEW: {markdown(_name(comparison.new))}", ""]
    lines += [f"{markdown(text)}." for text in _about(comparison)]
    rows = [_row(finding) for finding in comparison.findings]
    rows += [[change.name, "-", *_numbers(change), "", ""] for change in comparison.aggregates]
    lines += ["", f"| {' | '.join(_HEADER)} |", "|---" + "|---:" * 7 + "|---|"]
    for row in rows:
        loud = row[-1] in (Verdict.WORSE, Verdict.BETTER)
        cells = [markdown(shorten(cell, 60)) for cell in row]
        cells[-1] = f"**{cells[-1]}**" if loud else cells[-1]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", *(f"- {markdown(note)}" for note in _notes(comparison))]
    differ = differences(comparison)
    if differ:
        lines += ["", "<details><summary>What else differs between the runs</summary>", ""]
        lines += [f"- {markdown(shorten(line, 240))}" for line in differ[:_SHOWN]]
        lines += [f"- and {len(differ) - _SHOWN} more"] if len(differ) > _SHOWN else []
        lines += ["", "</details>"]
    return "\n".join(lines) + "\n"


def compare_json(comparison: Comparison) -> str:
    """The comparison as JSON text, schema `SCHEMA`; the same runs give the same bytes."""
    return json.dumps(compare_summary(comparison), indent=1, allow_nan=False) + "\n"


def compare_summary(comparison: Comparison) -> dict[str, Any]:
    """The comparison as JSON types: raw scores and differences, null where unknown."""
    protocol = comparison.base.manifest.protocol
    lacking = [{"prompt": one.prompt, "index": one.index, "dimension": one.dimension,
                "why": one.why} for one in comparison.lacking[:_STORED]]  # fmt: skip
    return {
        "schema": SCHEMA,
        "headline": headline(comparison),
        "exit_code": comparison.exit_code,
        "base": _side(comparison.base),
        "new": _side(comparison.new),
        "protocol_id": comparison.base.manifest.protocol_id,
        "protocol": dict(protocol),
        "about": protocol_note(protocol),
        "untrained": bool(protocol.get("untrained")),
        "design": comparison.design,
        "alpha": comparison.rule.alpha,
        "power": POWER,
        "partial": comparison.rule.partial,
        "resamples": RESAMPLES,
        "seed": SEED,
        "dimensions": {f.dimension: _json_finding(f) for f in comparison.findings},
        "aggregates": {change.name: _json_change(change) for change in comparison.aggregates},
        "lacking": {"count": len(comparison.lacking), "first": lacking},
        "differences": differences(comparison)[:_STORED],
        "notes": list(_notes(comparison)),
    }


def compare_junit(comparison: Comparison) -> str:
    """JUnit XML with one case per dimension, and one that fails if NEW lacks videos.

    A worse dimension is a failure, one that cannot be tested is skipped. The order of elements
    and the attributes are those that Ant's schema asks for, which is the strictest in use.
    """
    protocol = comparison.base.manifest.protocol
    about = protocol_note(protocol)
    cases = [_case(finding, about) for finding in comparison.findings]
    lacks = _xml_case("videos", "vbench-long.compare")
    if comparison.lacking and not comparison.rule.partial:
        text = "\n".join(_lacks(comparison.lacking))
        message = f"NEW lacks {_count(comparison.lacking)}"
        Xml.SubElement(lacks, "error", message=message, type="incomplete").text = _xml(text)
    cases.append(lacks)
    counts = Counter(child.tag for case in cases for child in case)
    updated = comparison.new.manifest.updated[:19]
    known = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", updated)
    suite = Xml.Element(
        "testsuite", name="vbench-long compare", package="vbench-long", id="0",
        timestamp=updated if known else "1970-01-01T00:00:00", hostname="localhost",
        tests=str(len(cases)), failures=str(counts["failure"]), errors=str(counts["error"]),
        skipped=str(counts["skipped"]), time="0",
    )  # fmt: skip
    facts = Xml.SubElement(suite, "properties")
    named = {"base": _name(comparison.base), "new": _name(comparison.new), "about": about}
    for name, value in (named | {"headline": headline(comparison)}).items():
        Xml.SubElement(facts, "property", name=name, value=_xml(value))
    suite.extend(cases)
    Xml.SubElement(suite, "system-out").text = _xml(compare_text(comparison))
    Xml.SubElement(suite, "system-err").text = ""
    root = Xml.Element("testsuites")
    root.append(suite)
    Xml.indent(root, " ")
    return Xml.tostring(root, "unicode", xml_declaration=True) + "\n"


def differences(comparison: Comparison) -> list[str]:
    """What else differs between the runs: how the videos were made, machine and versions."""

    def facts(run: Run) -> dict[str, Any]:
        machine = run.environments.get(run.manifest.environment, {})
        return {"model": run.manifest.model, "environment": machine}

    return describe_differences(facts(comparison.base), facts(comparison.new))


_WIDTH = 100
_HEADER = ["dimension", "sees", "base", "new", "change", "from", "to", "p (Holm)", "verdict"]


def _row(finding: Finding) -> list[str]:
    change = finding.change
    numbers = _numbers(change) if change else ["-"] * 5
    p = "-" if finding.adjusted is None else f"{finding.adjusted:.4f}"
    return [
        shorten(finding.dimension, 40),
        _points(finding.detectable),
        *numbers,
        p,
        finding.verdict,
    ]


def _numbers(change: Change) -> list[str]:
    ends = (change.interval.low, change.interval.high) if change.interval else (None, None)
    shown = [f"{100 * change.base:.2f}", f"{100 * change.new:.2f}"]
    return [*shown, _signed(change.difference), *(_signed(end) for end in ends)]


def _points(raw: float | None) -> str:
    return "-" if raw is None else f"{100 * raw:.3f}"


def _signed(raw: float | None) -> str:
    return "-" if raw is None else f"{round(100 * raw, 3) + 0.0:+.3f}"


def _name(run: Run) -> str:
    videos = videos_in_words(len(run.samples))
    return f"{shorten(run.manifest.name, 60)} ({shorten(str(run.folder), 120)}), {videos}"


def _about(comparison: Comparison) -> Iterator[str]:
    """What the numbers are, in a few sentences."""
    base, rule = comparison.base.manifest, comparison.rule
    yield f"{protocol_note(base.protocol)}; protocol {base.protocol_id}"
    tested = sum(finding.tails is not None for finding in comparison.findings)
    if comparison.design == "paired":
        prompts = max((f.prompts[0] for f in comparison.findings), default=0)
        how = f"paired on the samples that both have, up to {prompts} prompts a dimension"
    else:
        how = "two samples: the runs have no prompt and sample in common"
    yield f"{how}; alpha {rule.alpha:g} over {tested} dimensions (Holm)"
    yield (
        "numbers are points, 0.01 of a raw score; 'sees' is the smallest drop that would be called"
        f" worse {POWER:.0%} of the time; from, to: {100 - 100 * rule.alpha:g} % interval"
    )


def _notes(comparison: Comparison) -> Iterator[str]:
    yield from map(printable, comparison.notes)
    drops = {f.dimension: f.max_drop for f in comparison.findings if f.max_drop}
    if drops:
        named = _list(f"{name} {100 * drop:g}" for name, drop in drops.items())
        yield f"tolerated drops in points: {named}; worse is what fell by more"
    reasons: dict[str, list[str]] = {}
    for finding in comparison.findings:
        if finding.reason:
            reasons.setdefault(finding.reason, []).append(finding.dimension)
    for reason, dimensions in reasons.items():
        yield f"{_list(dimensions)}: {reason}"
    yield from _lacks(comparison.lacking)


def _list(names: Iterable[str]) -> str:
    return ", ".join(shorten(name, 40) for name in names)


def _count(lacking: Sequence[Lack]) -> str:
    videos = len({(one.prompt, one.index) for one in lacking})
    return f"{len(lacking)} scores of {videos_in_words(videos)}"


def _lacks(lacking: Sequence[Lack]) -> Iterator[str]:
    """What NEW lacks, video by video."""
    if not lacking:
        return
    yield f"NEW lacks {_count(lacking)}; they are in no number above"
    videos: dict[tuple[str, int, str], list[str]] = {}
    for one in lacking:
        videos.setdefault((one.prompt, one.index, one.why), []).append(one.dimension)
    for prompt, index, why in list(videos)[:_SHOWN]:
        names = videos[prompt, index, why]
        dimensions = _list(names) if len(names) == 1 else f"{len(names)} dimensions"
        yield f"{dimensions} of sample {index} of '{shorten(prompt, 60)}': {shorten(why, 160)}"
    if len(videos) > _SHOWN:
        yield f"and {len(videos) - _SHOWN} more"


def _side(run: Run) -> dict[str, Any]:
    return {
        "model": run.manifest.name,
        "folder": str(run.folder),
        "videos": len(run.samples),
        "status": run.manifest.status,
        "counts": dict(run.manifest.counts),
        "created": run.manifest.created,
        "command": run.manifest.command,
    }


def _json_finding(finding: Finding) -> dict[str, Any]:
    change = finding.change
    return {
        **(_json_change(change) if change else {}),
        "verdict": finding.verdict.value,
        "p": finding.p,
        "p_holm": finding.adjusted,
        "detectable_drop": finding.detectable,
        "max_drop": finding.max_drop,
        "prompts": list(finding.prompts),
        "videos": list(finding.videos),
        "reason": finding.reason or None,
    }


def _json_change(change: Change) -> dict[str, Any]:
    return {
        "base": change.base,
        "new": change.new,
        "difference": change.difference,
        "interval": asdict(change.interval) if change.interval else None,
        "no_interval": change.reason or None,
    }


def _case(finding: Finding, about: str) -> Xml.Element:
    case = _xml_case(_xml(finding.dimension), "vbench-long.compare")
    cells = [f"{name} {cell}" for name, cell in zip(_HEADER, _row(finding), strict=True)]
    text = _xml(f"{about}; in points: {', '.join(cells[1:])}")
    if finding.verdict is Verdict.WORSE and finding.change:
        drop, p = _points(-finding.change.difference), finding.adjusted
        message = f"fell by {drop} points, more than chance explains (p {p:.4f} after Holm)"
        Xml.SubElement(case, "failure", message=message, type="worse").text = text
    elif finding.verdict is Verdict.NOT_TESTED:
        Xml.SubElement(case, "skipped", message=_xml(finding.reason))
    return case


def _xml_case(name: str, group: str) -> Xml.Element:
    return Xml.Element("testcase", name=name, classname=group, time="0")


def _xml(text: str) -> str:
    """Text without the characters that XML cannot hold."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)
