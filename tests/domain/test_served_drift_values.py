"""What a model is asked beside what it learnt from, worked out by hand: distances, chances, effects, errors, words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from quality_assets.domain.models.learning import drift_replay
from quality_assets.domain.models.learning.columns_of import Columns
from quality_assets.domain.models.learning.drift_replay import alternatives, looks, replayed
from quality_assets.domain.models.learning.input_changes import change_of, input_changes
from quality_assets.domain.models.learning.outcome_grades import outcome_grades
from quality_assets.domain.models.learning.served_drift import (
    BLOCK,
    DriftLimits,
    _drawn,
    _marks,
    decided,
    histogram,
    moved,
    performance,
)
from quality_assets.domain.stats.intervals import wilson_interval
from quality_assets.domain.wording import share_text

LIMITS = DriftLimits()
NAN = math.nan


class Sum:
    """x plus twice z."""

    inputs = ("x", "z", "c")

    def predictions(self, columns: Columns) -> tuple[np.ndarray, ...]:
        said = np.asarray(columns["x"], dtype=float) + 2 * np.asarray(columns["z"], dtype=float)
        return said, said - 1, said + 1


def names(*values: str | None) -> np.ndarray:
    return np.array(values, dtype=object)


def test_the_usual_limits() -> None:
    assert DriftLimits(
        false_share=0.05, least_distance=0.1, least_rows=50, most_rows=5_000, rounds=199, worse_by=1.2,
        coverage_off_by=0.08,
    ) == LIMITS  # fmt: skip


# --- Inputs and predictions -------------------------------------------------------------------------------------------


def test_what_moved_stands_first_with_all_that_is_known_of_it() -> None:
    n = 60
    reference = {"x": np.zeros(n), "z": np.ones(n), "c": names(*["a"] * n)}
    current = {"x": np.full(n, -3.0), "z": np.ones(n), "c": names(*["a"] * n)}
    found = moved(Sum(), reference, current, np.full(n, -1.0), LIMITS)
    # All sixty lie apart from all sixty: no draw of two hundred does, and of four tests two are like that.
    apart = 2 * (1 - 1e-4) * math.log(1e4)
    common = {"rows": n, "reference_rows": n}
    assert found == [
        {
            "input": "x", **common, "psi": pytest.approx(apart), "distance": 1.0, "p_value": 1 / 200,
            "histogram": {"bins": [0.0], "reference": [1.0, 0.0], "current": [1.0, 0.0]}, "kind": "data",
            "effect": -3.0, "q_value": 0.01, "is_drifted": True,
        },
        {
            "input": "prediction", **common, "psi": pytest.approx(apart), "distance": 1.0, "p_value": 1 / 200,
            "histogram": {"bins": [2.0], "reference": [1.0, 0.0], "current": [1.0, 0.0]}, "kind": "prediction",
            "effect": -3.0, "q_value": 0.01, "is_drifted": True,
        },
        {
            "input": "z", **common, "psi": 0.0, "distance": 0.0, "p_value": 1.0,
            "histogram": {"bins": [1.0], "reference": [1.0, 0.0], "current": [1.0, 0.0]}, "kind": "data",
            "effect": 0.0, "q_value": 1.0, "is_drifted": False,
        },
        {
            "input": "c", **common, "psi": 0.0, "distance": 0.0, "p_value": 1.0,
            "histogram": {"bins": ["a"], "reference": [1.0], "current": [1.0]}, "kind": "data",
            "effect": 0.0, "q_value": 1.0, "is_drifted": False,
        },
    ]  # fmt: skip


def test_the_larger_effect_stands_first_whatever_its_sign_and_who_is_passed_is_not_judged() -> None:
    n = 60
    reference = {"x": np.zeros(n), "z": np.zeros(n), "c": names(*["a"] * n)}
    current = {"x": np.ones(n), "z": np.full(n, -4.0), "c": names(*["b"] * n)}
    found = moved(Sum(), reference, current, np.full(n, -7.0), LIMITS)
    assert [(each["input"], each["effect"]) for each in found] == [
        ("z", -8.0), ("prediction", -7.0), ("x", 1.0), ("c", 0.0),
    ]  # fmt: skip
    found = moved(Sum(), reference, current, np.full(n, 0.5), LIMITS, passed=("z",))
    assert [(each["input"], each["effect"]) for each in found] == [("x", 1.0), ("prediction", 0.5), ("c", 0.0)]


def test_an_effect_is_of_values_drawn_from_what_is_asked_now() -> None:
    n = 200
    reference = {"x": np.zeros(n), "z": np.zeros(n), "c": names(*["a"] * n)}
    current = {"x": np.repeat([0.0, 4.0], n // 2), "z": np.zeros(n), "c": names(*["a"] * n)}
    (row,) = [each for each in moved(Sum(), reference, current, current["x"], LIMITS) if each["input"] == "x"]
    assert row["effect"] == pytest.approx(2.0, abs=0.5)
    again = [each for each in moved(Sum(), reference, current, current["x"], LIMITS, seed=1) if each["input"] == "x"]
    assert again[0]["effect"] != row["effect"]


@pytest.mark.parametrize(
    ("q", "distance", "is_drifted"), [(0.05, 0.1, True), (0.051, 0.1, False), (0.05, 0.099, False), (0.001, 0.9, True)]
)
def test_beyond_chance_and_large_enough_has_moved(q: float, distance: float, is_drifted: bool) -> None:
    (found,) = decided([{"input": "x", "p_value": q, "distance": distance}], LIMITS)
    assert found == {"input": "x", "p_value": q, "distance": distance, "q_value": q, "is_drifted": is_drifted}
    assert decided([], LIMITS) == []


def test_chance_is_drawn_often_enough_for_one_of_many_to_be_told() -> None:
    before, now = {"x": np.arange(3.0)}, {"x": np.arange(2.0)}

    def drawn(tests: int, limits: DriftLimits = LIMITS) -> list[np.ndarray]:
        return _marks(before, now, limits, tests, np.random.default_rng(0))

    # 1.1 · 9 ÷ .05 is 198, and 1.1 · 10 ÷ .05 is 220.
    assert [len(drawn(tests)) - 1 for tests in (1, 9, 10, 80, 91)] == [199, 199, 220, 1760, 1999]
    assert len(drawn(3, DriftLimits(rounds=7))) - 1 == 66
    assert len(drawn(100, DriftLimits(rounds=3_000))) - 1 == 3_000
    marks = drawn(1)
    assert marks[0].tolist() == [False, False, False, True, True]
    assert {int(mark.sum()) for mark in marks} == {2}
    assert len({tuple(mark.tolist()) for mark in marks}) == 10


def test_rows_of_a_block_are_drawn_together() -> None:
    before = {"x": np.zeros(4), BLOCK: np.array([7, 7, 8, 9])}
    now = {"x": np.zeros(3), BLOCK: np.array([5, 5, 9])}
    marks = _marks(before, now, LIMITS, 1, np.random.default_rng(0))
    # Block 9 is asked now, and so it is before: two of four blocks are those of now.
    assert marks[0].tolist() == [False, False, False, False, True, True, True]
    for mark in marks[1:]:
        assert mark[0] == mark[1]
        assert mark[4] == mark[5]
        assert mark[3] == mark[6]
        assert mark[[0, 2, 3, 4]].sum() == 2
    # Where one side has no blocks, rows stand alone.
    alone = _marks(before, {"x": np.zeros(3)}, LIMITS, 1, np.random.default_rng(0))
    assert any(mark[0] != mark[1] for mark in alone)


def test_of_many_rows_some_are_drawn_in_their_order() -> None:
    columns = {"x": np.arange(10.0), "c": names(*"abcdefghij")}
    limits = DriftLimits(most_rows=10)
    assert _drawn(columns, limits, np.random.default_rng(0))["x"].tolist() == list(range(10))
    some = _drawn(columns, DriftLimits(most_rows=9), np.random.default_rng(0))
    assert len(set(some["x"])) == 9
    assert some["x"].tolist() == sorted(some["x"])
    assert some["c"].tolist() == ["abcdefghij"[int(x)] for x in some["x"]]


def test_histograms_have_the_same_bins_on_both_sides() -> None:
    assert histogram(names("a", "b", None, "b"), names("c", None)) == {
        "bins": ["a", "b", "c"], "reference": [0.25, 0.5, 0.0], "current": [0.0, 0.0, 0.5],
    }  # fmt: skip
    assert histogram(names("a"), names()) == {"bins": ["a"], "reference": [1.0], "current": [0.0]}
    found = histogram(np.arange(11.0), np.array([1.0, 1.5, 9.0, 9.5, NAN, -5.0]))
    assert found["bins"] == pytest.approx([1, 2, 3, 4, 5, 6, 7, 8, 9])
    assert found["reference"] == pytest.approx([2 / 11] + [1 / 11] * 9)
    # What is unknown is counted on neither side.
    assert found["current"] == pytest.approx([0.4, 0.2, 0, 0, 0, 0, 0, 0, 0.2, 0.2])
    unknown = histogram(np.array([NAN, NAN]), np.array([1.0]))
    assert unknown == {"bins": [], "reference": [0.0], "current": [1.0]}


def test_the_last_day_of_ninety_and_one_in_twenty() -> None:
    day = np.array([0] * 30 + [91] * 30)
    columns = {"x": np.repeat([0.0, 1.0], 30)}
    (found,) = input_changes(columns, day, np.arange(60))
    assert found == {
        "input": "x", "rows": 30, "reference_rows": 30, "psi": pytest.approx(2 * (1 - 1e-4) * math.log(1e4)),
        "distance": 1.0, "p_value": 1 / 200, "is_drifted": True,
    }  # fmt: skip
    # Ninety days with today: the first of them counts as recent, and then nothing is before.
    assert input_changes(columns, np.array([0] * 30 + [89] * 30), np.arange(60)) == []
    (found,) = input_changes(columns, np.array([0] * 30 + [90] * 30), np.arange(60))
    assert found["rows"] == 30


def test_the_index_is_of_tenths_where_there_are_more_than_ten_values() -> None:
    # Ten values: each is a bin of its own, and one of ten goes from the first to the last.
    recent = np.array([False] * 10 + [True] * 10)
    values = np.array([*range(10), *range(1, 10), 9], dtype=float)
    wanted = (1e-4 - 0.1) * math.log(1e-3) + 0.1 * math.log(2)
    assert change_of("x", values, recent, [])["psi"] == pytest.approx(wanted)
    # What is unknown is a bin of its own beside the tenths, and counts as a value.
    recent = np.array([False] * 20 + [True] * 20)
    values = np.array([*range(20), *range(10), *[NAN] * 10], dtype=float)
    tenths = 5 * (0.1 - 0.1) + 5 * (1e-4 - 0.1) * math.log(1e-3) + (0.5 - 1e-4) * math.log(0.5 / 1e-4)
    assert change_of("x", values, recent, [])["psi"] == pytest.approx(tenths)


# --- Errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "n"), [(0.5, 100), (0.0, 60), (0.0, 95), (1.0, 53), (0.83, 321)])
def test_wilsons_interval_ends_where_the_share_is_as_far_as_chance_goes(share: float, n: int) -> None:
    z = NormalDist().inv_cdf(0.95)
    low, high = wilson_interval(share, n)
    assert 0 <= low <= share + 1e-12
    assert share - 1e-12 <= high <= 1
    for end in (low, high):
        assert abs(share - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-9)
    assert high - low > 0.01


def graded(error: Sequence[float], inside: float = 0.8, n: int = 100, **more: Any) -> dict[str, Any]:
    """Outcomes off by `error` by turns, of which a share lies within."""
    y = np.array([error[at % len(error)] for at in range(n)])
    within = np.arange(n) < round(inside * n)
    low, high = np.where(within, y, y + 1), np.where(within, y, y + 2)
    values = {"told": {"mae": 1.0}, "coverage": 0.8, "limits": LIMITS} | more
    return performance(y, np.zeros(n), low, high, **values)


def test_performance_has_its_error_its_coverage_and_what_was_promised() -> None:
    found = graded([2.0, -4.0], told={"mae": 2.5}, n=80)
    rng = np.random.default_rng(0)
    error = np.array([2.0, 4.0] * 40)
    means = [error[rng.integers(0, 80, 80)].mean() for _ in range(400)]
    low, high = wilson_interval(0.8, 80)
    assert found == {
        "outcomes": 80, "mae": 3.0, "mae_low": pytest.approx(float(np.quantile(means, 0.05))),
        "mae_high": pytest.approx(float(np.quantile(means, 0.95))), "mae_held_out": 2.5, "coverage": 0.8,
        "coverage_low": low, "coverage_high": high, "coverage_wanted": 0.8, "is_drifted": False, "words": None,
    }  # fmt: skip
    assert graded(list(range(80)), n=80, seed=1)["mae_low"] != graded(list(range(80)), n=80)["mae_low"]
    few = graded([9.0], n=49, told={})
    assert few == {
        "outcomes": 49, "mae": None, "mae_low": None, "mae_high": None, "mae_held_out": None, "coverage": None,
        "coverage_low": None, "coverage_high": None, "coverage_wanted": 0.8, "is_drifted": False,
        "words": "49 outcomes are known, and 50 are needed",
    }  # fmt: skip
    assert graded([9.0], n=50)["mae"] == 9.0


def test_an_error_above_its_promise_is_told_and_at_it_not() -> None:
    half = DriftLimits(worse_by=1.5)
    assert graded([3.0], told={"mae": 2.0}, limits=half)["words"] is None
    told = graded([3.5], told={"mae": 2.0}, limits=half)
    assert (told["is_drifted"], told["words"]) == (True, "the mean error is 3.5, and 2 was promised")
    assert graded([3.5], told={}, limits=half)["words"] is None
    # Its lower end counts, not the error itself.
    assert graded([0.0, 0.0, 0.0, 9.6], told={"mae": 2.0})["words"] is None
    both = graded([12_345.6], inside=0.0)
    assert both["words"] == (
        "the mean error is 12,346, and 1 was promised; 0 % of outcomes lay between p10 and p90, and 80 % should"
    )


def test_a_coverage_beyond_its_tolerance_is_told_on_either_side() -> None:
    exact = DriftLimits(coverage_off_by=0.0)
    lowest, _ = wilson_interval(1.0, 100)
    _, highest = wilson_interval(0.0, 100)
    for inside, edge, way in ((1.0, lowest, -0.001), (0.0, highest, 0.001)):
        assert graded([1.0], inside, coverage=edge, limits=exact)["words"] is None
        told = graded([1.0], inside, coverage=edge + way, limits=exact)
        assert told["words"] == (
            f"{share_text(inside)} of outcomes lay between p10 and p90, and {share_text(edge + way)} should"
        )
        assert graded([1.0], inside, coverage=edge + way, limits=DriftLimits(coverage_off_by=0.01))["words"] is None
        assert graded([1.0], inside, coverage=edge + 9 * way, limits=DriftLimits(coverage_off_by=0.01))["words"] is None
        assert graded([1.0], inside, coverage=edge + 11 * way, limits=DriftLimits(coverage_off_by=0.01))["is_drifted"]


def test_outcomes_have_all_figures_of_their_kind() -> None:
    late = [(10.0, 13.0), (10.0, 9.0)] * 30
    before = [(10.0, 11.5)] * 50
    rng = np.random.default_rng(0)
    error = np.array([3.0, 1.0] * 30)
    means = [error[rng.integers(0, 60, 60)].mean() for _ in range(400)]
    empty = {"coverage": None, "coverage_low": None, "coverage_high": None, "coverage_wanted": None}
    assert outcome_grades("regression", late, before, {"mae": 0.5}, LIMITS) == {
        "outcomes": 60, **empty, "mae": 2.0, "mae_low": pytest.approx(float(np.quantile(means, 0.05))),
        "mae_high": pytest.approx(float(np.quantile(means, 0.95))), "mae_held_out": None, "error_share": None,
        "error_share_low": None, "error_share_high": None, "outcomes_before": 50, "mae_before": 1.5,
        "mae_on_sample": 0.5, "is_drifted": False, "words": None,
    }  # fmt: skip
    wrong, right = [("a", "b")] * 50, [("a", "a")] * 49
    assert outcome_grades("classification", wrong, right, None, LIMITS) == {
        "outcomes": 50, **empty, "mae": None, "mae_low": None, "mae_high": None, "mae_held_out": None,
        "error_share": 1.0, "error_share_low": 1.0, "error_share_high": 1.0, "outcomes_before": 49,
        "error_share_before": None, "error_share_on_sample": None, "is_drifted": False, "words": None,
    }  # fmt: skip
    told = outcome_grades("classification", wrong, [*right, ("a", "b")], {}, LIMITS)
    assert (told["error_share_before"], told["is_drifted"]) == (0.02, True)
    assert told["words"] == "the share of wrong classes is 100 %, and was 2 % in the month before"
    assert told["error_share_on_sample"] is None
    few = outcome_grades("classification", wrong[:49], [], {"accuracy": 0.75}, LIMITS)
    assert (few["error_share"], few["error_share_on_sample"], few["is_drifted"]) == (None, 0.25, False)
    # At so many times the error before nothing is told.
    half = DriftLimits(worse_by=1.5)
    threes, twos, more = [(0.0, 3.0)] * 50, [(0.0, 2.0)] * 50, [(0.0, 3.5)] * 50
    assert not outcome_grades("regression", threes, twos, None, half)["is_drifted"]
    assert outcome_grades("regression", more, twos, None, half)["is_drifted"]
    spread = [(0.0, float(at)) for at in range(60)]
    lows = [outcome_grades("regression", spread, [], None, LIMITS, seed=seed)["mae_low"] for seed in (0, 1)]
    assert lows[0] != lows[1]


def test_classes_are_the_same_by_whatever_type_they_come() -> None:
    for said, came, is_wrong in ((1, "1", 0), (1.0, True, 0), (1.5, "1.5", 0), (0, False, 0), (1, 2, 1), ("1.0", 1, 1)):
        found = outcome_grades("classification", [(said, came)] * 50, [], None, LIMITS)
        assert found["error_share"] == is_wrong, (said, came)


# --- Other limits -----------------------------------------------------------------------------------------------------


def looked(day: str, *found: dict[str, Any]) -> dict[str, Any]:
    return {"day": day, "rows": 60, "found": list(found)}


@pytest.mark.parametrize(
    ("is_beyond", "q", "distance", "is_told"),
    [(True, 0.05, 0.1, True), (False, 0.05, 0.1, False), (True, 0.06, 0.1, False), (True, 0.05, 0.09, False)],
)
def test_what_was_judged_among_others_keeps_its_chance(
    is_beyond: bool, q: float, distance: float, is_told: bool
) -> None:
    judged = {"input": "b", "kind": "data", "distance": distance, "q_value": q, "is_beyond": is_beyond}
    own = {"input": "a", "kind": "data", "distance": 0.5, "p_value": 0.04}
    # Beside one that is judged already, the other is one test alone.
    assert replayed([looked("2026-01-01", judged, own)], LIMITS) == [
        {"day": "2026-01-01", "rows": 60, "moved": ["a", "b"] if is_told else ["a"]}
    ]


def test_alternatives_are_summed_over_the_days_that_told_something() -> None:
    def one(name: str, p: float, distance: float) -> dict[str, Any]:
        return {"input": name, "kind": "data", "distance": distance, "p_value": p}

    days = [
        looked("2026-01-01", one("a", 0.3, 0.9)),
        looked("2026-01-02", one("b", 0.04, 0.2)),
        looked("2026-01-03", one("a", 0.001, 0.3), one("c", 0.9, 0.9)),
        looked("2026-01-04", one("a", 0.15, 0.05)),
    ]
    found = alternatives(days, DriftLimits(false_share=0.3, least_distance=0.5))
    assert found[0] == {
        "false_share": 0.3, "least_distance": 0.5, "days_looked": 4, "days_told": 1, "first_told": "2026-01-01",
        "inputs": ["a"],
    }  # fmt: skip
    by_limits = {(each["false_share"], each["least_distance"]): each for each in found}
    assert list(by_limits)[1:] == [
        (0.3, 0.05), (0.3, 0.1), (0.3, 0.2), (0.3, 0.3),
        *((s, d) for s in (0.01, 0.05, 0.1, 0.2) for d in (0.5, 0.05, 0.1, 0.2, 0.3)),
    ]  # fmt: skip
    assert by_limits[0.05, 0.2] == {
        "false_share": 0.05, "least_distance": 0.2, "days_looked": 4, "days_told": 2, "first_told": "2026-01-02",
        "inputs": ["a", "b"],
    }  # fmt: skip
    assert by_limits[0.2, 0.05]["days_told"] == 3
    assert by_limits[0.01, 0.5] == {
        "false_share": 0.01, "least_distance": 0.5, "days_looked": 4, "days_told": 0, "first_told": None, "inputs": [],
    }  # fmt: skip


def test_a_look_is_made_of_fewer_rows_and_kept_where_its_rows_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    asked_with: list[tuple[DriftLimits, int, list[float]]] = []

    def told(model: Any, reference: Columns, current: Columns, answered: np.ndarray, limits: DriftLimits) -> list[Any]:
        asked_with.append((limits, len(current["x"]), answered.tolist()))
        return [{"input": "x", "kind": "data", "distance": 0.25, "p_value": 0.5, "psi": 9.0, "effect": 1.0}]

    monkeypatch.setattr(drift_replay, "moved", told)
    last, limits = date(2026, 3, 31), DriftLimits(least_rows=2, worse_by=7.0)
    days = [last - timedelta(days=back) for back in (30, 1, 0)]
    x = np.arange(3.0)
    found = looks(Sum(), {"x": x}, {"x": x}, 10 * x, days, last, limits)
    kept = [{"input": "x", "kind": "data", "distance": 0.25, "p_value": 0.5}]
    # The day before the last has the row of 29 days before it too.
    assert found == [
        {"day": "2026-03-30", "rows": 2, "found": kept},
        {"day": "2026-03-31", "rows": 2, "found": kept},
    ]
    assert asked_with == [
        (DriftLimits(least_rows=2, worse_by=7.0, most_rows=500, false_share=0.02), 2, [0.0, 10.0]),
        (DriftLimits(least_rows=2, worse_by=7.0, most_rows=500, false_share=0.02), 2, [10.0, 20.0]),
    ]
    known = [{"day": "2026-03-30", "rows": 2, "found": []}, {"day": "2026-03-31", "rows": 3, "found": []}]
    again = looks(Sum(), {"x": x}, {"x": x}, 10 * x, days, last, limits, known=known)
    assert [len(each["found"]) for each in again] == [0, 1]
    assert looks(Sum(), {"x": x}, {"x": x}, x, days, last, DriftLimits(least_rows=3)) == []
