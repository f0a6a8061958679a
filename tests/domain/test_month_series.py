"""Months forecast: the naive by hand, errors by rolling origins, and who is the model."""

from __future__ import annotations

import numpy as np
import pytest

from quality_assets.domain.models.learning.series import (
    Series,
    TooShortError,
    beats,
    errors_of,
    graded,
    interval_of,
    mean_of_all,
    month_after,
    risk_of_drop,
    sarima,
    seasonal_naive,
)
from quality_assets.tables.forecasts import forecast


def series(values: np.ndarray, name: str = "sales") -> Series:
    months = np.arange(np.datetime64("2003-01"), np.datetime64("2003-01") + len(values)).astype(str)
    return Series(name, tuple(months.tolist()), values.astype(float))


def test_the_naive_is_the_same_month_a_year_before() -> None:
    assert list(seasonal_naive(np.arange(30.0), 3)) == [18.0, 19.0, 20.0]
    assert list(mean_of_all(np.array([1.0, 3.0]), 2)) == [2.0, 2.0]
    assert month_after("2004-12", 1) == "2005-01"


def test_errors_are_of_each_origin_and_step() -> None:
    errors = errors_of(series(np.arange(20.0)), seasonal_naive)
    # Origin 18 has two months after it, origin 19 one; each is 12 below, as each within the history was.
    assert errors == [(6.0, 18.0, 12.0), (7.0, 19.0, 12.0), (7.0, 19.0, 12.0)]
    found = graded(errors)
    assert (found.mase, found.wape, found.forecasts) == (1.0, pytest.approx(36 / 56), 3)
    with pytest.raises(TooShortError, match="has 18 months; more than 18 are needed"):
        errors_of(series(np.arange(18.0)), seasonal_naive)


def test_the_odds_of_a_bad_month_are_the_share_of_such_months() -> None:
    values = np.concatenate([np.full(12, 100.0), np.full(9, 100.0), np.full(3, 70.0), np.full(3, 70.0)])
    found = risk_of_drop(series(values))
    assert (found["months_looked_at"], found["months_below"]) == (15, 6)
    assert found["probability"] == pytest.approx(6.5 / 16)
    assert (found["reference"], found["threshold"]) == (100.0, 80.0)
    assert risk_of_drop(series(np.full(17, 5.0)))["probability"] is None


def test_an_interval_holds_what_is_forecast() -> None:
    errors = [(100.0, 150.0, 1.0)] * 10
    low, high = interval_of(errors, np.array([10.0]))
    assert (low[0], high[0]) == (10.0, 15.0)
    assert np.isnan(interval_of(errors[:3], np.array([10.0]))[0]).all()


def test_who_is_better_by_chance_is_not_the_model() -> None:
    worse = [(0.0, 10.0, 1.0)] * 40
    assert beats([(9.0, 10.0, 1.0)] * 40, worse)
    assert not beats(worse, worse)
    rng = np.random.default_rng(0)
    draws = [[(float(each), 0.0, 1.0) for each in rng.normal(0, 1, 90)] for _ in range(120)]
    by_chance = [beats(one, other) for one, other in zip(draws[::2], draws[1::2], strict=True)]
    assert sum(by_chance) <= 13  # of 60, one in ten being 6


def test_with_a_season_the_naive_is_in_force_and_the_report_says_so() -> None:
    season = 100 + 50 * np.sin(np.arange(29) * np.pi / 6)
    told = forecast(series(season + np.random.default_rng(0).normal(0, 1, 29)))
    assert told["model"] == "seasonal_naive"
    assert told["words"].startswith("The seasonal naive is the model, which nothing that was tried beats beyond chance")
    assert [each["month"] for each in told["forecast"]] == ["2005-06", "2005-07", "2005-08"]
    assert {"sarima_100_010", "sarima_011_011", "mean"} < set(told["grades"])


def test_without_a_season_the_mean_beats_it() -> None:
    told = forecast(series(np.random.default_rng(3).normal(100, 30, 40)))
    assert told["model"] != "seasonal_naive"
    assert "since it beats the seasonal naive beyond chance" in told["words"]


def test_sarima_forecasts_a_season() -> None:
    season = 100 + 50 * np.sin(np.arange(36) * np.pi / 6)
    assert np.allclose(sarima("sarima_100_010")(season, 2), season[:2], atol=5)
