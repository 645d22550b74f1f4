"""From records to scores, totals, tables and pictures. Reads runs, knows nothing of torch.

Pictures live in `vbench_long.leaderboard.plots`, apart because they load matplotlib.
"""

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
from vbench_long.leaderboard.tables import (
    Leaderboard,
    build,
    leaderboard_csv,
    leaderboard_markdown,
    leaderboard_summary,
    render_text,
    run_summary,
    run_summary_text,
    scores_csv,
    videos_csv,
)

__all__ = [
    "SCALES",
    "DimensionScore",
    "Leaderboard",
    "RunScores",
    "Totals",
    "available_totals",
    "build",
    "complete_totals",
    "dimension_scores",
    "leaderboard_csv",
    "leaderboard_markdown",
    "leaderboard_summary",
    "normalise",
    "partial_totals",
    "percent",
    "render_text",
    "run_summary",
    "run_summary_text",
    "score_run",
    "scores_csv",
    "totals",
    "videos_csv",
]
