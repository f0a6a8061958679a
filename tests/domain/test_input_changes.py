"""How far the last rows lie from those before, and which periods were predicted worse, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.models.learning.input_changes import change_of, input_changes
from quality_assets.domain.models.learning.performance import _alarms


def test_how_far_names_have_moved() -> None:
    values = np.array(["a", "a", "b", "b"], dtype=object)
    recent = np.array([True, True, True, False])
    found = change_of("x", values, recent, [recent, ~recent, np.array([False, True, False, True])])
    # Two thirds are a and one third b, where all were b.
    wanted = (2 / 3 - 1e-4) * math.log(2 / 3 / 1e-4) + (1 / 3 - 1) * math.log(1 / 3)
    assert found == {
        "input": "x",
        "rows": 3,
        "reference_rows": 1,
        "distance": pytest.approx(2 / 3),
        "psi": pytest.approx(wanted),
        # As far apart are the first two of three draws; the third has one of each on both sides.
        "p_value": 3 / 4,
    }


def test_how_far_numbers_have_moved() -> None:
    recent = np.array([True, True, False, False])
    assert change_of("x", np.array([1.0, 3.0, 2.0, 4.0]), recent, [])["distance"] == 0.5
    assert change_of("x", np.array([1.0, 2.0, 3.0, 4.0]), recent, [])["distance"] == 1.0
    assert change_of("x", np.array([np.nan, 2.0, 2.0, 2.0]), recent, [])["distance"] == 0.5
    assert change_of("x", np.array([np.nan] * 4), recent, [])["distance"] == 0.0
    # Tenths of twenty numbers, of which two lie in each; twenty later ones lie in the last alone.
    values, later = np.array([*range(20), *[100] * 20], dtype=float), np.arange(40) >= 20
    wanted = 9 * (1e-4 - 0.1) * math.log(1e-4 / 0.1) + 0.9 * math.log(10)
    assert change_of("x", values, later, [])["psi"] == pytest.approx(wanted)


def test_the_last_ninety_days_are_held_against_all_before() -> None:
    day = np.array([*range(19), 129, *range(200, 220)])
    columns = {"moved": (day > 129).astype(float), "same": np.zeros(40)}
    moved, same = input_changes(columns, day, np.arange(40))
    assert (moved["rows"], moved["reference_rows"], moved["distance"], moved["is_drifted"]) == (20, 20, 1.0, True)
    assert moved["p_value"] == 1 / 200
    assert (same["distance"], same["p_value"], same["is_drifted"]) == (0.0, 1.0, False)
    assert input_changes(columns, np.arange(40), np.arange(40)) == []
    # A block is recent as a whole: rows of one order are not parted.
    moved, _ = input_changes(columns, day, np.array([*range(19), 20, *range(20, 40)]))
    assert (moved["rows"], moved["reference_rows"]) == (21, 19)


def _period(name: str, rmse: float, low: float, high: float, rows: int = 20) -> dict[str, Any]:
    return {"period": name, "rows": rows, "rmse": rmse, "rmse_low": low, "rmse_high": high, "is_alarm": False}


QUIET = (("q1", 1.0, 0.9, 1.0), ("q2", 1.0, 0.9, 1.2), ("q3", 1.0, 0.9, 1.1))


@pytest.mark.parametrize(
    ("before", "last", "is_alarm"),
    [
        (3, (1.5, 1.3, 1.7, 20), True),
        (3, (1.44, 1.3, 1.7, 20), False),
        (3, (1.5, 1.2, 1.7, 20), False),
        (3, (1.5, 1.3, 1.7, 19), False),
        (2, (1.5, 1.3, 1.7, 20), False),
    ],
)
def test_a_period_is_worse_where_its_error_lies_a_fifth_above_all_before(
    before: int, last: tuple[float, float, float, int], is_alarm: bool
) -> None:
    told = _alarms([*(_period(*each) for each in QUIET[:before]), _period("q4", *last)])
    assert [each["is_alarm"] for each in told] == [*[False] * before, is_alarm]


def test_what_was_told_is_no_usual_error_and_few_rows_are_none_to_go_by() -> None:
    told = _alarms([*(_period(*each) for each in QUIET), _period("q4", 1.5, 1.3, 1.7), _period("q5", 1.6, 1.4, 1.8)])
    assert [each["is_alarm"] for each in told] == [False, False, False, True, True]
    assert told[3]["words"] == ("In q4 the error was 1.5 (at least 1.3), above the 1.2 that no period before exceeded")
    few = [_period(*QUIET[0]), _period(*QUIET[1]), _period(*QUIET[2], rows=19), _period("q4", 9.0, 8.0, 9.9)]
    assert not any(each["is_alarm"] for each in _alarms(few))
