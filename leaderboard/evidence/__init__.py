"""One video as a page: what each dimension saw of it, and whether that is what was recorded.

`seen.py` says what is known, `sections.py` and `charts.py` turn it into what the page shows;
`templates/evidence.html.j2` writes it. The page has no scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from markupsafe import Markup

from vbench_long.leaderboard.evidence.sections import HEAT, film, section
from vbench_long.leaderboard.evidence.seen import Explanation, SeenClip, SeenDimension, Verdict
from vbench_long.leaderboard.protocols import protocol_note
from vbench_long.leaderboard.report import shell
from vbench_long.leaderboard.report.details import facts
from vbench_long.leaderboard.text import aligned

__all__ = [
    "Explanation",
    "SeenClip",
    "SeenDimension",
    "evidence_html",
    "evidence_text",
    "shown_frames",
]


def shown_frames(explanation: Explanation) -> set[int]:
    """The frames, as backbones saw them, that stand on the page."""
    sections = [section(explanation, seen) for seen in explanation.dimensions]
    frames = {frame for one in sections for frame in one.frames()}
    return frames | {picture.frame for picture in film(explanation)}


def evidence_text(explanation: Explanation) -> str:
    """The scores for a terminal: as recorded, measured again, and how they agree."""
    grid = [["dimension", "recorded", "again", "agreement"]]
    for seen in explanation.dimensions:
        scores = (seen.recorded.value if seen.recorded else None, seen.measured.value)
        shown = ["-" if score is None else f"{score:.6f}" for score in scores]
        grid.append([seen.name, *shown, seen.verdict])
    return "\n".join(aligned(grid)) + "\n"


def evidence_html(explanation: Explanation, pictures: Mapping[int, str]) -> str:
    """Write what was seen of one video as a page.

    Names, prompts and captions are text in it, whatever they contain: the template escapes, and
    the page's own policy lets no script run and nothing be fetched.

    Args:
        explanation: what was seen.
        pictures: frames of `shown_frames` as `data:` addresses; one that is absent is left out.
    """
    sections = [section(explanation, seen) for seen in explanation.dimensions]
    style = shell.style(__package__, "page/evidence.css")
    verdicts = [seen.verdict for seen in explanation.dimensions]
    run = explanation.run
    page = (
        shell.environment(__package__)
        .get_template("evidence.html.j2")
        .render(
            seen=explanation,
            name=run.manifest.name,
            note=protocol_note(run.manifest.protocol),
            untrained=bool(run.manifest.protocol.get("untrained")),
            seconds=float(explanation.frames / explanation.fps),
            rate=f"{float(explanation.fps):.3f}".rstrip("0").rstrip("."),
            sections=sections,
            heat=HEAT,
            most_clips=max((len(one.clips) for one in sections), default=0),
            verdicts={verdict: verdicts.count(verdict) for verdict in get_args(Verdict)},
            film=film(explanation),
            pictures=pictures,
            facts=facts(run),
            policy=shell.policy(style),
            style=Markup(style),
        )
    )
    return page.encode("utf-8", "replace").decode()  # half a surrogate pair has no UTF-8
