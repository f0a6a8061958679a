"""What came of predictions of a model that somebody brought: its error beside that of the month before, by hand."""

from __future__ import annotations

import pytest

from quality_assets.domain.models.learning.outcome_grades import is_outcome_of, outcome_grades
from quality_assets.domain.models.learning.served_drift import DriftLimits

LIMITS = DriftLimits(least_rows=50)


def test_an_error_that_grows_beyond_chance_is_told() -> None:
    before = [(10.0, 11.0)] * 60
    late = [(10.0, 13.0), (10, 9)] * 30
    found = outcome_grades("regression", late, before, {"r2": 0.9, "mae": 0.5}, LIMITS)
    # 3 and 1 by turns, against 1: the interval of 60 lies above 1.2.
    assert (found["mae"], found["mae_before"], found["mae_on_sample"], found["outcomes"]) == (2.0, 1.0, 0.5, 60)
    assert 1.7 < found["mae_low"] < 2 < found["mae_high"] < 2.3
    assert (found["is_drifted"], found["words"]) == (True, "the mean error is 2, and was 1 in the month before")
    same = outcome_grades("regression", before, before, None, LIMITS)
    assert (same["mae"], same["is_drifted"], same["words"]) == (1.0, False, None)


def test_of_classes_the_share_of_wrong_ones_is_told() -> None:
    right, wrong = [(1, True), ("1", 1), ("b", "b")] * 20, [(0, 1), ("a", "b")]
    found = outcome_grades("classification", right + wrong * 15, right, {"accuracy": 0.75}, LIMITS)
    # 30 of 90; before, none.
    assert found["error_share"] == pytest.approx(1 / 3)
    assert (found["error_share_before"], found["error_share_on_sample"], found["mae"]) == (0.0, 0.25, None)
    assert found["is_drifted"]


def test_without_a_month_before_nothing_is_promised_and_without_enough_nothing_is_known() -> None:
    few = [(1.0, 5.0)] * 49
    found = outcome_grades("regression", few, [], {"mae": 0.1}, LIMITS)
    assert (found["mae"], found["words"]) == (None, "49 outcomes are known, and 50 are needed")
    found = outcome_grades("regression", [*few, *few], few, {"mae": 0.1}, LIMITS)
    assert (found["mae"], found["mae_before"], found["is_drifted"]) == (4.0, None, False)


def test_what_can_have_come() -> None:
    assert [is_outcome_of("regression", each) for each in (1, 1.5, True, "1", float("nan"))] == [
        True, True, False, False, False,
    ]  # fmt: skip
    assert [is_outcome_of("classification", each) for each in ("a", 1, True, None)] == [True, True, True, False]
