"""Who stands beside whom: runs and published figures become a leaderboard."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from vbench_long.errors import UsageError
from vbench_long.leaderboard.board import (
    NO_SAMPLES,
    Cell,
    Group,
    Leaderboard,
    Row,
    aggregate_note,
    scored_dimensions,
)
from vbench_long.leaderboard.protocols import (
    compares_with,
    differences,
    gaps_to_published,
    identities,
)
from vbench_long.leaderboard.published import LONG, PublishedRow
from vbench_long.leaderboard.scores import (
    AGGREGATES,
    DimensionScore,
    TotalsRule,
    complete_totals,
    score_run,
)
from vbench_long.leaderboard.statistics import Estimate, rank_intervals, run_estimates
from vbench_long.leaderboard.text import shorten, videos_in_words
from vbench_long.store import Run

_PUBLISHED_TITLES: Final = {
    LONG: "Published under VBench-Long",
    "VBench": "Published under VBench for short videos",
    "unstated": "Published, protocol not stated by the source",
}


@dataclass(frozen=True, slots=True)
class _Entrant:
    """A run on its way to a group."""

    run: Run
    label: str
    gaps: Sequence[str]  # between it and the published rows


def build(
    runs: Sequence[Run],
    rule: TotalsRule = complete_totals,
    published: Sequence[PublishedRow] = (),
) -> Leaderboard:
    """Put runs and published figures side by side.

    Runs share a group if their protocols, code and weights are equal. A run joins the published
    VBench-Long rows if `gaps_to_published` finds none; otherwise its group names them.

    Args:
        runs: read by `load_run`.
        rule: `complete_totals`, or `available_totals` for partial aggregates.
        published: from `choose_published`.

    Raises:
        UsageError: nothing given, the same run twice, untrained weights, or not a single score.
        RunError: a record contradicts itself or lies outside its legal range.
    """
    if not runs and not published:
        raise UsageError("a leaderboard needs at least one run", "", "name run folders")
    for run in runs:
        if run.manifest.protocol.get("untrained"):
            raise UsageError(
                "a run with untrained weights has no place in a table",
                str(run.folder),
                "leave it out, or evaluate again with published weights",
            )
        identities(run)
    long = [row for row in published if row.protocol == LONG]
    entrants = [
        _Entrant(run, label, gaps_to_published(run) if long else ["not asked for"])
        for run, label in zip(runs, _labels(runs), strict=True)
    ]
    groups: list[Group] = []
    for members in _comparable(entrants):
        beside = long if not members[0].gaps else []
        groups.append(_run_group(members, rule, beside, groups, bool(long)))
    joined = any(not entrant.gaps for entrant in entrants)
    for protocol, title in _PUBLISHED_TITLES.items():
        figures = [row for row in published if row.protocol == protocol]
        if figures and not (protocol == LONG and joined):
            groups.append(_published_group(title, figures, bool(groups)))
    if not scored_dimensions([row for group in groups for row in group.rows]):
        raise UsageError("no run has a score", "", "see the errors in its videos.csv")
    return Leaderboard(tuple(groups))


def _comparable(entrants: Sequence[_Entrant]) -> list[list[_Entrant]]:
    """The runs in groups that may share a table, in the order of their first members."""
    groups: list[list[_Entrant]] = []
    for one in entrants:
        for group in groups:
            alike = bool(one.gaps) == bool(group[0].gaps)
            if alike and not any(differences(member.run, one.run) for member in group):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _run_group(
    members: Sequence[_Entrant],
    rule: TotalsRule,
    beside: Sequence[PublishedRow],
    earlier: Sequence[Group],
    explain: bool,
) -> Group:
    """The table of `members` and of the published rows `beside` them."""
    first = members[0].run
    runs = [member.run for member in members]
    ranks = rank_intervals(runs, rule) if len(runs) + len(beside) > 1 else {}
    rows = [
        _run_row(member, rule, {n: r for n, of in ranks.items() if (r := of[i])}, beside)
        for i, member in enumerate(members)
    ]
    about = compares_with(first.manifest.protocol)
    group = Group(
        title=_title(first, earlier),
        about="the whole official suite, judged as published rows were" if beside else about,
        apart=tuple(_apart(first, earlier, members[0].gaps if explain else [])),
        rows=(*rows, *map(_published_row, beside)),
        protocol=first.manifest.protocol,
        protocol_id=first.manifest.protocol_id,
        notes=tuple(_notes(runs)),
    )
    unfair = [name for name in AGGREGATES if not _is_fair(group.rows, name)]
    ranked = [
        replace(row, ranks={name: r for name, r in row.ranks.items() if name not in unfair})
        for row in group.rows
    ]
    return _ordered(replace(group, rows=tuple(ranked)))


def _apart(run: Run, earlier: Sequence[Group], gaps: Sequence[str]) -> Iterator[str]:
    """Why a run begins a group of its own."""
    if earlier:
        first = next(row.run for row in earlier[0].rows if row.run)
        if differ := differences(first, run):
            yield f"another protocol than {earlier[0].title} ({'; '.join(differ)})"
    if gaps:
        yield f"does not compare with published rows ({'; '.join(gaps)})"


def _title(run: Run, earlier: Sequence[Group]) -> str:
    """Backend, clips and suite, and a number where an earlier group has the same."""
    protocol = run.manifest.protocol
    suite = str(protocol.get("suite", "")).split(" ")[0]
    words = ["imported"] if protocol.get("origin") == "imported" else []
    words += [f"{protocol.get(key, 'unknown')} {key}" for key in ("backend", "clips")]
    words += [f"suite {suite}"] if suite not in ("", "unknown") else []
    title = shorten(", ".join(words).capitalize(), 72)
    taken = {group.title for group in earlier}
    numbered = (f"{title} ({n})" for n in range(2, len(taken) + 2))
    return next(one for one in (title, *numbered) if one not in taken)


def _published_group(title: str, figures: Sequence[PublishedRow], others: bool) -> Group:
    apart = ("no run here was judged as these were",)
    return _ordered(
        Group(
            title=title,
            about="as the sources print them, without samples, seeds or versions",
            apart=apart if others else (),
            rows=tuple(map(_published_row, figures)),
        )
    )


def _published_row(figures: PublishedRow) -> Row:
    numbers = {**figures.scores, **figures.aggregates}
    cells = {name: Cell(name, score, unsure=NO_SAMPLES) for name, score in numbers.items()}
    return Row(figures.model, "published", None, cells, published=figures)


def _run_row(
    entrant: _Entrant,
    rule: TotalsRule,
    ranks: Mapping[str, tuple[int, int]],
    beside: Sequence[PublishedRow],
) -> Row:
    scored = score_run(entrant.run, rule, entrant.label)
    estimates = run_estimates(entrant.run, rule)
    cells = {
        s.dimension: _cell(s.dimension, estimates.dimensions[s.dimension], _lacks(s), s)
        for s in scored.scores
    }
    for name in AGGREGATES:
        cells[name] = _cell(name, estimates.aggregates[name], aggregate_note(scored, name))
    places = {name: _among(cells[name], ranks[name], beside) for name in ranks}
    return Row(entrant.label, scored.status, scored.videos, cells, places, run=entrant.run)


def _cell(name: str, known: Estimate, note: str, counts: DimensionScore | None = None) -> Cell:
    interval = (known.interval.low, known.interval.high) if known.interval else None
    unsure = "" if known.value is None else known.reason
    return Cell(name, known.value, interval, unsure, note, counts)


def _among(cell: Cell, rank: tuple[int, int], beside: Sequence[PublishedRow]) -> tuple[int, int]:
    """A run's rank among runs, widened by the published rows above, in or below its interval."""
    printed = [row.scores.get(cell.name, row.aggregates.get(cell.name)) for row in beside]
    figures = [figure for figure in printed if figure is not None]
    low, high = cell.interval or (-math.inf, math.inf)
    above = sum(figure > high for figure in figures)
    return rank[0] + above, rank[1] + sum(figure >= low for figure in figures)


def _lacks(s: DimensionScore) -> str:
    if s.complete:
        return ""
    return f"{videos_in_words(s.videos)} scored, {s.failed} failed, {s.missing} missing"


def _ordered(group: Group) -> Group:
    """The group ordered by the first of Total, Quality, Semantic that ranks it fairly.

    Aggregates rank with each other only if all are made of the same dimensions, complete ones.
    Rows without the aggregate follow unranked.
    """
    leading = [row for row in group.rows if row.run] or group.rows
    fair = [name for name in ("Total", "Quality", "Semantic") if _is_fair(group.rows, name)]
    for name in fair:
        ranked = [row for row in group.rows if row.cell(name).score is not None]
        if len(ranked) > 1 and any(row.cell(name).score is not None for row in leading):
            ranked.sort(key=lambda row: -(row.cell(name).score or 0.0))
            others = [row for row in group.rows if row.cell(name).score is None]
            rows = [replace(row, rank=row.ranks.get(name)) for row in ranked]
            return replace(group, rows=(*rows, *others), ranked_by=name)
    return group


def _is_fair(rows: Sequence[Row], aggregate: str) -> bool:
    """Whether all rows that have the aggregate made it of the same complete dimensions."""
    bases = set()
    for row in rows:
        if row.cell(aggregate).score is None:
            continue
        if row.published:
            bases.add(AGGREGATES[aggregate])
            continue
        counts = [row.cell(name).counts for name in AGGREGATES[aggregate]]
        scored = [c for c in counts if c is not None and c.score is not None]
        if not all(c.complete for c in scored):
            return False
        bases.add(tuple(c.dimension for c in scored))
    return len(bases) == 1


def _labels(runs: Sequence[Run]) -> list[str]:
    """The runs' names; those that look alike get as much of their folder's path as it takes."""
    names = [run.manifest.name for run in runs]
    looks = Counter(shorten(name, 40) for name in names)
    alike = {
        i: run.folder.resolve() for i, run in enumerate(runs) if looks[shorten(names[i], 40)] > 1
    }
    if len(set(alike.values())) < len(alike):
        twice = Counter(alike.values()).most_common(1)[0][0]
        raise UsageError("the same run is given twice", str(twice), "name it once")
    depth = 1
    while len({folder.parts[-depth:] for folder in alike.values()}) < len(alike):
        depth += 1
    for i, folder in alike.items():
        names[i] = f"{names[i]} ({Path(*folder.parts[-depth:]).as_posix()})"
    return names


def _notes(runs: Sequence[Run]) -> Iterator[str]:
    asked = [{(sample.prompt, sample.index) for sample in run.samples} for run in runs]
    if any(one != asked[0] for one in asked):
        yield "the runs were not asked for the same prompts and samples"
