"""A score outside its legal range is an error wherever it comes from, never a number."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_scores import ALL, make_run, ok, whole_run

from vbench_long.dimensions import DIMENSIONS
from vbench_long.errors import RunError
from vbench_long.evaluation import RunConfig, evaluate
from vbench_long.evaluation.verify import verify
from vbench_long.leaderboard.assembly import build
from vbench_long.leaderboard.scores import SCALES, dimension_scores, illegal, score_run
from vbench_long.records import Record, Status
from vbench_long.store import load_run

MakeVideo = Callable[..., Path]
FLICKER = "temporal_flickering"


def test_the_measures_and_the_tables_know_the_same_ranges() -> None:
    known = [name for name in DIMENSIONS.built_in if name in SCALES]
    assert len(known) >= 7
    for name in known:
        assert DIMENSIONS.get(name).bounds == SCALES[name].legal, name
    for scale in SCALES.values():
        assert scale.legal[0] <= scale.minimum < scale.maximum <= scale.legal[1]


@pytest.mark.parametrize("name", ALL)
def test_the_ends_of_every_range_are_legal_and_nothing_beyond(name: str) -> None:
    low, high = SCALES[name].legal
    for value in (low, high, (low + high) / 2):
        assert dimension_scores(make_run([ok("v", name, value)]))[0].score == value
    for value in (low - 1e-6, high + 1e-6, 323.99, math.inf, -math.inf, math.nan):
        run = make_run([ok("v", name, 0.5), ok("w", name, 0.5, value)])
        with pytest.raises(RunError, match=rf"{name} scored .* legal range .*w"):
            dimension_scores(run)
        with pytest.raises(RunError, match="legal range"):
            build([run])


def test_only_cosines_may_be_negative() -> None:
    negative = {name for name in ALL if not illegal(ok("v", name, -0.5), {})}
    assert negative == {"appearance_style", "temporal_style", "overall_consistency"}


def test_a_value_is_looked_at_beside_its_clips() -> None:
    record = Record("v", "scene", Status.OK, 1.5, parts={"clips": [{"value": 0.5}]})
    assert "scored 1.5" in illegal(record, {})
    assert illegal(Record("v", "scene", Status.FAILED, error="no"), {}) == ""


def test_other_peoples_dimensions_need_to_be_finite() -> None:
    assert illegal(ok("v", "zoom", 31.25), {}) == ""
    assert "zoom scored inf" in illegal(ok("v", "zoom", math.inf), {})


def test_made_up_weights_keep_no_range() -> None:
    run = whole_run({"scene": 7.0}, protocol={"backend": "reference", "untrained": True})
    (score,) = score_run(run).scores
    assert score.score == 7.0


def tamper(folder: Path, value: float) -> None:
    """Write `value` where the store holds the first record's score."""
    database = sqlite3.connect(folder / "records.sqlite")
    video, parts = database.execute("SELECT video, parts FROM records").fetchone()
    told: dict[str, Any] = json.loads(parts)
    for clip in told["clips"]:
        clip["value"] = value
    database.execute(
        "UPDATE records SET value = ?, parts = ? WHERE video = ?", (value, json.dumps(told), video)
    )
    database.commit()
    database.close()


def test_a_stored_score_outside_the_range_is_refused_and_judged_again(
    tmp_path: Path, make_video: MakeVideo
) -> None:
    make_video(folder=tmp_path / "videos")
    config = RunConfig(tmp_path / "run", videos=tmp_path / "videos", dimensions=(FLICKER,))
    whole = evaluate(config).run.records
    tamper(tmp_path / "run", 323.99)
    with pytest.raises(RunError, match=r"scored 323\.99, outside its legal range 0\.0\.\.1\.0"):
        build([load_run(tmp_path / "run")])
    problems = verify(tmp_path / "run")
    assert any(line.startswith("a moving texture-0.mp4, temporal_flickering") for line in problems)
    assert any(line.startswith("scores.csv cannot be recomputed") for line in problems)
    again = evaluate(config).run.records
    assert [record.value for record in again] == [record.value for record in whole]
    assert verify(tmp_path / "run") == []
