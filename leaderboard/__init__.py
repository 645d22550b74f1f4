"""From records to scores, totals, tables and pictures. Reads runs, knows nothing of torch.

`gate` compares two runs, `interchange` reads and writes the result files of others. `pictures` and
`report` (the HTML page) stay apart: they load matplotlib and jinja2.
"""

from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.board import Cell, Group, Leaderboard, Row, footnotes
from vbench_long.leaderboard.documents import (
    leaderboard_csv,
    leaderboard_json,
    leaderboard_markdown,
    leaderboard_summary,
)
from vbench_long.leaderboard.gate.comparison import Comparison, Rule, Verdict, compare
from vbench_long.leaderboard.interchange.exporting import submission_files
from vbench_long.leaderboard.interchange.hub import Address, hub_yaml
from vbench_long.leaderboard.interchange.importing import import_run
from vbench_long.leaderboard.published import PublishedRow, choose_published, published_rows
from vbench_long.leaderboard.scores import (
    SCALES,
    DimensionScore,
    RunScores,
    Totals,
    available_totals,
    complete_totals,
    dimension_scores,
    normalise,
    partial_totals,
    percent,
    score_run,
    totals,
)
from vbench_long.leaderboard.statistics import (
    Estimate,
    Interval,
    RunEstimates,
    rank_intervals,
    run_estimates,
)
from vbench_long.leaderboard.tables import (
    render_text,
    run_summary,
    run_summary_text,
    scores_csv,
    videos_csv,
)

__all__ = [
    "SCALES",
    "Address",
    "Cell",
    "Comparison",
    "DimensionScore",
    "Estimate",
    "Group",
    "Interval",
    "Leaderboard",
    "PublishedRow",
    "Row",
    "Rule",
    "RunEstimates",
    "RunScores",
    "Totals",
    "Verdict",
    "available_totals",
    "build",
    "choose_published",
    "compare",
    "complete_totals",
    "dimension_scores",
    "footnotes",
    "hub_yaml",
    "import_run",
    "leaderboard_csv",
    "leaderboard_json",
    "leaderboard_markdown",
    "leaderboard_summary",
    "normalise",
    "partial_totals",
    "percent",
    "published_rows",
    "rank_intervals",
    "render_text",
    "run_estimates",
    "run_summary",
    "run_summary_text",
    "score_run",
    "scores_csv",
    "submission_files",
    "totals",
    "videos_csv",
]
