"""The dimensions react to known defects the way theory says."""

from __future__ import annotations

import pytest

from vbench_long.dimensions import DIMENSIONS
from vbench_long.evaluation.sensitivity import EXPECTED, FALLS, RISES, Response, measure
from vbench_long.generators.defects import DEFECTS

CLASSICAL = {n for n in DIMENSIONS.built_in if "classical" in DIMENSIONS.get(n).backbones}
SMALL = {"width": "192", "height": "128", "seconds": "5"}


def test_every_defect_and_every_dimension_has_an_expectation() -> None:
    assert set(EXPECTED) == set(DEFECTS)
    judged = {dimension for row in EXPECTED.values() for dimension in row}
    assert judged == CLASSICAL


@pytest.mark.parametrize(
    ("expected", "scores", "holds"),
    [
        (FALLS, (0.9, 0.8, 0.8, 0.7), True),
        (FALLS, (0.9, 0.8, 0.81, 0.7), False),
        (FALLS, (0.9, 0.9, 0.9, 0.9), False),
        (RISES, (0.1, 0.2, 0.3, 0.4), True),
        (RISES, (0.9, 0.8, 0.7, 0.6), False),
        ("", (0.9, 0.1, 0.7, 0.6), True),
    ],
)
def test_what_holds(expected: str, scores: tuple[float, ...], holds: bool) -> None:
    assert Response("blur", "imaging_quality", expected, scores).holds is holds


def test_blur_is_seen() -> None:
    responses = measure(options=SMALL, scenes=1, strengths=(1.0,), defects=("blur",))
    assert {r.dimension for r in responses} == CLASSICAL
    (imaging,) = [r for r in responses if r.dimension == "imaging_quality"]
    assert imaging.expected == FALLS and imaging.holds


@pytest.mark.slow
def test_the_whole_table_holds_at_three_strengths() -> None:
    responses = measure(options=SMALL, scenes=3)
    wrong = [r for r in responses if not r.holds]
    assert not wrong
    assert sum(bool(r.expected) for r in responses) >= 15
