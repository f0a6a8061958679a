"""Intervals of residuals, and the verdict on a shadow, worked out by hand at every edge."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from quality_assets.domain.models.learning.paired import PairedResult, always_valid_p, paired_losses
from quality_assets.domain.models.learning.residuals import (
    METHOD_BY_SIZE,
    METHOD_OUTCOMES,
    METHOD_ROLLING,
    Intervals,
    fold_hits,
    learn_intervals,
    recalibrated,
    rolling_hits,
)
from quality_assets.domain.models.learning.tabular import LearningSettings

SETTINGS = LearningSettings()
NO_EDGES = np.zeros(0)
ABSOLUTE = Intervals("m", False, np.array([10.0]), np.array([-1.0, -2.0]), np.array([3.0, 5.0]), 0.75, 0.8)
# Ten numbers in each fifth: the fifth's hundred and 0 to 9.
FIFTHS = np.array([100.0 * (at // 10) + at % 10 for at in range(50)])


def learnt(y: list[float], predicted: list[float], window: int = 400, coverage: float = 0.8) -> tuple[float, float]:
    settings = replace(SETTINGS, window=window, coverage=coverage)
    found = learn_intervals(
        np.array(y), np.array(predicted), by_size=False, is_relative=False, coverage=None, settings=settings
    )
    return float(found.low[0]), float(found.high[0])


def test_levels_are_the_outermost_that_n_plus_one_residuals_bear() -> None:
    # .9 · 40 ÷ 39 of 38 steps is 35.08: the 36th, and the same from below.
    assert learnt(list(range(39)), [0.0] * 39) == (2.0, 36.0)
    # Of nine tenths within, .95 · 40 ÷ 39 of 38 steps is 37.03.
    assert learnt(list(range(39)), [0.0] * 39, coverage=0.9) == (0.0, 38.0)
    # Of 99: .9 · 100 ÷ 99 of 98 steps is 89.09.
    assert learnt(list(range(99)), [0.0] * 99) == (8.0, 90.0)
    # Few residuals are the interval themselves.
    assert learnt([3.0, 5.0, 9.0, 4.0, 8.0], [1.0] * 5) == (2.0, 8.0)
    assert learnt([3.0], [1.0]) == (2.0, 2.0)


def test_the_last_residuals_of_the_window_make_the_interval_in_shares_of_the_prediction() -> None:
    residual = np.array([1000.0] * 11 + list(range(39)))
    settings = replace(SETTINGS, window=39)
    found = learn_intervals(
        -10 + 10 * residual, np.full(50, -10.0), by_size=False, is_relative=True, coverage=0.75, settings=settings
    )
    np.testing.assert_equal(
        found.state(),
        {
            "method": "rolling_residuals", "is_relative": True, "edges": NO_EDGES, "low": np.array([2.0]),
            "high": np.array([36.0]), "coverage": 0.75, "target_coverage": 0.8,
        },
    )  # fmt: skip
    nought = learn_intervals(
        np.full(9, 3e-9), np.zeros(9), by_size=False, is_relative=True, coverage=None, settings=SETTINGS
    )
    assert (nought.low[0], nought.high[0]) == (pytest.approx(3.0), pytest.approx(3.0))


def test_without_residuals_there_is_no_interval() -> None:
    for by_size in (False, True):
        found = learn_intervals(
            NO_EDGES,
            NO_EDGES,
            by_size=by_size,
            is_relative=False,
            coverage=0.5,
            settings=replace(SETTINGS, coverage=0.9),
        )
        np.testing.assert_equal(
            found.state(),
            {
                "method": METHOD_ROLLING, "is_relative": False, "edges": NO_EDGES, "low": np.array([np.nan]),
                "high": np.array([np.nan]), "coverage": None, "target_coverage": 0.9,
            },
        )  # fmt: skip


def test_intervals_by_size_are_of_fifths_of_the_predictions() -> None:
    predicted = np.arange(50.0)
    found = learn_intervals(
        predicted + FIFTHS, predicted, by_size=True, is_relative=False, coverage=0.7, settings=SETTINGS
    )
    assert found.edges == pytest.approx([9.8, 19.6, 29.4, 39.2])
    assert found.low.tolist() == [0, 100, 200, 300, 400]
    assert found.high.tolist() == [9, 109, 209, 309, 409]
    assert (found.method, found.is_relative, found.coverage, found.target_coverage) == (METHOD_BY_SIZE, False, 0.7, 0.8)
    # All alike are of one size, and those above it of none.
    alike = learn_intervals(
        np.arange(5.0), np.zeros(5), by_size=True, is_relative=False, coverage=None, settings=SETTINGS
    )
    assert (alike.edges.tolist(), alike.low[0], alike.high[0]) == ([0.0], 0.0, 4.0)
    assert np.isnan([alike.low[1], alike.high[1]]).all()


def test_an_interval_stands_around_its_prediction() -> None:
    predicted, exact = np.array([-10.0, 10.0, 20.0, 7.0]), np.array([False, False, False, True])
    low, high = ABSOLUTE.around(predicted, exact)
    assert low.tolist() == [-11, 9, 18, 6.99]
    assert high.tolist() == [-7, 13, 25, 7.01]
    low, high = replace(ABSOLUTE, is_relative=True).around(predicted, exact)
    assert low.tolist() == [-20, 0, -20, 6.99]
    assert high.tolist() == [20, 40, 120, 7.01]


@pytest.mark.parametrize(
    ("coverage", "target", "status"),
    [
        (0.08, 0.0, "ok"), (0.0801, 0.0, "off"), (0.0, 0.08, "ok"), (0.0, 0.0801, "off"), (0.8, 0.8, "ok"),
        (0.9, 0.8, "off"), (0.7, 0.8, "off"), (None, 0.8, "unknown"), (0.0, 0.8, "off"),
    ],
)  # fmt: skip
def test_a_coverage_is_off_by_eight_points(coverage: float | None, target: float, status: str) -> None:
    assert replace(ABSOLUTE, coverage=coverage, target_coverage=target).status == status


def test_intervals_come_back_from_their_state() -> None:
    state = ABSOLUTE.state()
    again = Intervals.of({**state, "edges": [10]})
    np.testing.assert_equal(again.state(), state)
    assert again.edges.dtype == float


# --- What was known when ----------------------------------------------------------------------------------------------


def test_a_day_is_held_against_residuals_that_were_known_on_it() -> None:
    # Fifty residuals of day 1: .9 · 51 ÷ 50 of 49 steps is 44.98, so that 4 to 45 is the interval a delay later.
    day = np.array([0] * 30 + [1] * 50 + [30] * 2 + [31] * 6)
    least = 1e-9
    last = [4 - least, 4 - 1.5 * least, 45 + least, 45 + 1.5 * least, 20.0, 46.0]
    y = np.array([1000.0] * 30 + list(range(50)) + [20.0, 20.0] + last)
    inside, is_known = rolling_hits(day, y, np.zeros(88), False, replace(SETTINGS, window=50))
    assert is_known.tolist() == [False] * 82 + [True] * 6
    assert inside.tolist() == [False] * 82 + [True, False, True, False, True, False]
    # One less is too few; a shorter delay lets the next day know.
    inside, is_known = rolling_hits(day, y, np.zeros(88), False, replace(SETTINGS, window=49))
    assert not is_known.any()
    inside, is_known = rolling_hits(day, y, np.zeros(88), False, replace(SETTINGS, window=50, label_delay_days=29))
    assert is_known.tolist() == [False] * 80 + [True] * 8
    assert inside[80:82].tolist() == [True, True]


def test_residuals_are_shares_where_errors_grow() -> None:
    day = np.array([0] * 50 + [30] * 2)
    predicted = np.array([2.0] * 50 + [-4.0, 4.0])
    y = predicted + np.abs(predicted) * np.array([*range(50), 45.0, 46.0])
    inside, is_known = rolling_hits(day, y, predicted, True, SETTINGS)
    assert (inside[50:].tolist(), is_known[50:].tolist()) == ([True, False], [True, True])


def test_the_rows_of_a_fold_are_held_against_the_intervals_of_the_others() -> None:
    predicted = np.concatenate([np.arange(50.0), np.arange(50.0)])
    own = np.tile([-1.0, 0.0, 9.0, 10.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0], 5) + np.repeat(np.arange(5.0) * 100, 10)
    y = predicted + np.concatenate([FIFTHS, own])
    fold = np.repeat([3, 7], 50)
    found = fold_hits(fold, y, predicted, False, SETTINGS)
    assert found[:50].all()
    assert found[50:].tolist() == [False, True, True, False, True, True, True, True, True, True] * 5
    # In shares of the prediction: the same residuals, times it.
    predicted = predicted + 1
    y = predicted * (1 + np.concatenate([FIFTHS, own]))
    assert fold_hits(fold, y, predicted, True, SETTINGS).tolist() == found.tolist()


def of_outcomes(second: int, method: str = METHOD_ROLLING, window: int = 400) -> Intervals | None:
    """Fifty outcomes of a day, and more of a month later: two fifths of these outside of 4 to 45."""
    day = np.array([0] * 50 + [30] * second)
    later = [3.0, 46.0, 4.0, 45.0, 20.0] * 50
    y = np.array([*range(50), *later[:second]], dtype=float)
    before = replace(ABSOLUTE, method=method)
    return recalibrated(before, day, y, np.zeros(len(y)), replace(SETTINGS, window=window))


def test_fifty_outcomes_make_an_interval_and_fifty_more_tell_its_coverage() -> None:
    few = replace(ABSOLUTE, method=METHOD_ROLLING)
    assert recalibrated(few, np.zeros(49, dtype=int), np.zeros(49), np.zeros(49), SETTINGS) is None
    first = of_outcomes(0)
    assert first is not None
    np.testing.assert_equal(
        first.state(),
        {
            "method": METHOD_OUTCOMES, "is_relative": False, "edges": NO_EDGES, "low": np.array([4.0]),
            "high": np.array([45.0]), "coverage": None, "target_coverage": 0.8,
        },
    )  # fmt: skip
    almost, enough = of_outcomes(49), of_outcomes(50)
    assert almost is not None
    assert almost.coverage is None
    assert enough is not None
    assert enough.coverage == pytest.approx(0.6)
    recent = of_outcomes(50, window=50)
    assert recent is not None
    assert (recent.low[0], recent.high[0]) == (3.0, 46.0)


@pytest.mark.parametrize(
    ("method", "rows", "edges"),
    [
        (METHOD_ROLLING, 300, 0), (METHOD_BY_SIZE, 249, 0), (METHOD_BY_SIZE, 250, 4), (METHOD_OUTCOMES, 250, 4),
        (METHOD_OUTCOMES, 249, 0),
    ],
)  # fmt: skip
def test_outcomes_of_fifty_a_size_are_told_by_size_again(method: str, rows: int, edges: int) -> None:
    predicted = np.arange(rows, dtype=float)
    found = recalibrated(replace(ABSOLUTE, method=method), np.arange(rows), predicted + 1, predicted, SETTINGS)
    assert found is not None
    assert (len(found.edges), found.method) == (edges, METHOD_OUTCOMES)
    recent = recalibrated(
        replace(ABSOLUTE, method=method), np.arange(rows), predicted + 1, predicted, replace(SETTINGS, window=100)
    )
    assert recent is not None
    # Of the last hundred alone.
    assert not edges or recent.edges[0] == pytest.approx(rows - 100 + 0.2 * 99)


# --- A shadow beside what is in use -----------------------------------------------------------------------------------


def plain_p(difference: np.ndarray) -> float:
    found = 1.0
    for n in range(50, len(difference) + 1):
        mean, variance = float(np.mean(difference[:n])), float(np.var(difference[:n]))
        if variance > 0:
            shrunk = 1 + 0.04 * n
            evidence = math.exp(0.04 * n**2 * mean**2 / variance / 2 / shrunk) / math.sqrt(shrunk)
            found = min(found, 1 / evidence)
    return found


def by_turns(mean: float, n: int, width: float = 1.0) -> np.ndarray:
    return mean + width * np.where(np.arange(n) % 2 == 0, 1.0, -1.0)


def test_the_p_value_is_that_of_the_strongest_look_from_fifty_pairs_on() -> None:
    rng = np.random.default_rng(3)
    for difference in (
        rng.normal(0.3, 1, 120),
        np.concatenate([rng.normal(0.7, 1, 70), rng.normal(-2, 1, 80)]),  # strongest in the middle
        np.concatenate([rng.normal(3, 1, 10), rng.normal(0, 1, 45)]),  # stronger before the first look
        by_turns(-0.44, 50),
    ):
        assert always_valid_p(difference) == pytest.approx(plain_p(difference), rel=1e-9)
    assert always_valid_p(by_turns(0.44, 50)) == pytest.approx(0.0688, abs=0.0001)
    assert always_valid_p(by_turns(9.0, 49)) == 1.0
    assert always_valid_p(np.ones(60)) == 1.0
    assert always_valid_p(by_turns(0.0, 80)) == 1.0


def test_a_verdict_has_its_pairs_gain_chance_and_words() -> None:
    in_use, d = np.full(60, 2.0), by_turns(0.75, 60, 0.25)
    p = plain_p(d)
    assert paired_losses(in_use, in_use - d) == PairedResult(
        "better",
        60,
        pytest.approx(0.75),
        pytest.approx(p),
        "the shadow has 38 % less squared error (p 0.000, 60 outcomes)",
    )
    assert paired_losses(in_use, in_use + d) == PairedResult(
        "worse",
        60,
        pytest.approx(-0.75),
        pytest.approx(p),
        "the shadow has 38 % more squared error (p 0.000, 60 outcomes)",
    )
    two = np.full(50, 2.0)
    assert paired_losses(two, two - by_turns(0.44, 50)) == PairedResult(
        "undecided", 50, pytest.approx(0.44), pytest.approx(0.0688, abs=0.0001),
        "after 50 outcomes the difference may be chance (p 0.069); that of two like models stays so",
    )  # fmt: skip
    assert paired_losses(two, two - by_turns(0.47, 50)).verdict == "better"
    assert paired_losses(two[:49], two[:49] - by_turns(9.0, 49)) == PairedResult(
        "unknown", 49, None, None, "49 outcomes are known, and 50 are needed"
    )
