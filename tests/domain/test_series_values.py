"""Months forecast, and users' features as sketches, worked out by hand at every edge."""

from __future__ import annotations

import math
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.drift.sketches import Sketch
from quality_assets.domain.drift.user_features import (
    WATCHED,
    _deviation,
    user_feature_sketch_sql,
    user_feature_sketches,
)
from quality_assets.domain.models.learning.series import (
    ORDERS,
    Graded,
    Series,
    beats,
    errors_of,
    graded,
    interval_of,
    mean_of_all,
    month_after,
    risk_of_drop,
    seasonal_naive,
)

# --- Months -----------------------------------------------------------------------------------------------------------


def series(*values: float) -> Series:
    return Series(
        "sales", tuple(month_after("2024-01", at) for at in range(len(values))), np.array(values, dtype=float)
    )


def test_the_naive_goes_round_the_year() -> None:
    assert seasonal_naive(np.arange(14.0), 14).tolist() == [*range(2, 14), 2, 3]
    assert month_after("2026-11", 14) == "2028-01"
    assert ORDERS == {"sarima_100_010": ((1, 0, 0), (0, 1, 0, 12)), "sarima_011_011": ((0, 1, 1), (0, 1, 1, 12))}


def test_errors_are_of_three_steps_and_of_the_scale_of_their_history() -> None:
    values = [*[10.0] * 12, *[12.0] * 6, 20.0, 30.0, 40.0, 50.0]
    found = errors_of(series(*values), mean_of_all)
    first, second = (120 + 72) / 18, (120 + 72 + 20) / 19
    assert [(round(p, 6), actual) for p, actual, _ in found] == [
        *((round(first, 6), actual) for actual in (20, 30, 40)),
        *((round(second, 6), actual) for actual in (30, 40, 50)),
        *((round((212 + 30) / 20, 6), actual) for actual in (40, 50)), (round((242 + 40) / 21, 6), 50),
    ]  # fmt: skip
    # Six months were two above the year before; then one is ten above, and one twenty.
    scales = [2.0] * 3 + [22 / 7] * 3 + [42 / 8] * 2 + [72 / 9]
    assert [scale for _, _, scale in found] == pytest.approx(scales)


def test_grades_are_in_shares_of_the_scale_and_of_the_total() -> None:
    assert graded([(10.0, 12.0, 4.0), (10.0, 4.0, 2.0)]) == Graded(1.75, 0.5, 2)
    nothing = graded([(1.0, 0.0, 0.0), (1.0, 0.0, 2.0)])
    assert np.isnan([nothing.mase, nothing.wape]).all()
    assert graded([(1.0, -4.0, 1.0)]) == Graded(5.0, 1.25, 1)


def test_a_bad_month_is_below_four_fifths_of_the_year_before() -> None:
    months = series(0, *[10.0] * 6, 20.0, *[10.0] * 4, 1.0, 8.0, 7.9, 8.1, 5.0, 12.0, 10.0)
    assert risk_of_drop(months) == {
        "probability": 2.5 / 7, "months_looked_at": 6, "months_below": 2, "reference": 20.0, "threshold": 16.0,
    }  # fmt: skip
    assert risk_of_drop(series(*months.values[:-1])) == {
        "probability": None, "months_looked_at": 5, "months_below": 2, "reference": 10.0, "threshold": 8.0,
    }  # fmt: skip


def test_an_interval_has_the_tenths_of_ratios_and_the_forecast_itself() -> None:
    ratios = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5]
    errors = [(2.0, 2 * ratio, 1.0) for ratio in ratios]
    low, high = interval_of([*errors, (0.0, 5.0, 1.0), (-1.0, 5.0, 1.0)], np.array([10.0, 20.0]))
    assert low == pytest.approx([6, 12])
    assert high == pytest.approx([14, 28])
    assert np.isnan(interval_of(errors[:5], np.ones(2))).all()
    low, high = interval_of(errors[:6], np.array([10.0]))
    assert (low[0], high[0]) == (pytest.approx(5.5), 10.0)
    low, high = interval_of(errors[5:], np.array([10.0]))
    assert (low[0], high[0]) == (10.0, pytest.approx(14.5))


@pytest.mark.parametrize(
    ("blocks", "with_gain", "is_beaten"), [(3, 1, False), (4, 2, True), (3, 2, True), (20, 2, False), (6, 2, True)]
)
def test_nine_forecasts_share_their_months(blocks: int, with_gain: int, is_beaten: bool) -> None:
    # None of the blocks with a gain is drawn in (1 − share)^blocks of rounds: .30, .06, .04, .12 and .09.
    theirs = [(0.0, 10.0, 1.0)] * (9 * blocks)
    ours = [(5.0 if at < 9 * with_gain else 0.0, 10.0, 1.0) for at in range(9 * blocks)]
    assert beats(ours, theirs) == is_beaten
    assert not beats(theirs, ours)


# --- Features of users ------------------------------------------------------------------------------------------------

FIRST, SECOND = date(2026, 3, 1), date(2026, 3, 2)


def sketches(*rows: tuple[date, str, str, int]) -> list[Sketch]:
    return user_feature_sketches(pd.DataFrame(rows, columns=["event_date", "name", "bin", "n"]))


def test_counts_stand_at_the_middle_of_their_fifths_of_e() -> None:
    (found,) = sketches(
        (FIRST, "activity_count_7d", "0", 2),
        (FIRST, "activity_count_7d", "8", 1),
        (SECOND, "activity_count_7d", "10", 1),
    )
    assert (found.kind, found.feature, found.name, found.statistic, found.family) == (
        "data", "", "user_features.activity_count_7d", "w1", "user features",
    )  # fmt: skip
    assert (found.dates, found.counts.tolist()) == ((FIRST, SECOND), [[2, 1, 0], [0, 0, 1]])
    assert (found.floor, found.unit, found.is_turnover, found.labels) == (0.1, "count", False, ())
    # Of four the first two are at .1, and three at or below 1.7.
    assert found.position == pytest.approx(np.array([0.1, 1.7, 2.1]) * 1.349 / 1.6)
    # e^1.6 − 1 is 3.95, e² − 1 is 6.39.
    assert found.typical is not None
    assert found.typical.tolist() == [0, 4, 6]
    (hours,) = sketches((FIRST, "hours_since_purchase", "5", 3))
    assert hours.typical == pytest.approx([math.e - 1])
    assert (hours.unit, hours.position.tolist() if hours.position is not None else None) == ("h", [1.1])


@pytest.mark.parametrize(
    ("name", "step", "unit"),
    [
        ("purchase_rate_7d", 0.05, "fraction"), ("click_rate_24h", 0.05, "fraction"),
        ("failure_rate_24h", 0.05, "fraction"), ("mobile_share_7d", 0.05, "fraction"),
        ("engagement_score", 5.0, "score"),
    ],
)  # fmt: skip
def test_shares_stand_in_even_steps(name: str, step: float, unit: str) -> None:
    (found,) = sketches((FIRST, name, "0", 4), (FIRST, name, "2", 4), (FIRST, name, "10", 2))
    assert found.typical == pytest.approx(np.array([0, 2, 10]) * step)
    # A quarter at the first, three quarters at the third.
    assert found.position == pytest.approx(np.array([0.5, 2.5, 10.5]) / 2 * 1.349)
    assert (found.unit, found.floor) == (unit, 0.1)


def test_the_units_of_what_grows() -> None:
    units = {
        name: sketches((FIRST, name, "5", 1))[0].unit
        for name in (
            "activity_count_24h",
            "purchase_count_7d",
            "seconds_since_last",
            "activity_trend",
            "latency_mean_ms_24h",
        )
    }
    assert list(units.values()) == ["count", "count", "s", "ratio", "ms"]
    assert sketches((FIRST, "activity_trend", "3", 1))[0].typical == pytest.approx([math.exp(0.6) - 1])
    assert len(WATCHED) == 15


def test_a_mix_has_labels_and_what_is_missing_a_rate() -> None:
    (mix,) = sketches(
        (FIRST, "last_device", "web", 3), (FIRST, "last_device", "missing", 1), (SECOND, "last_device", "ios", 2)
    )
    assert (mix.statistic, mix.labels, mix.counts.tolist(), mix.floor) == (
        "total_variation", ("ios", "missing", "web"), [[0, 1, 3], [2, 0, 0]], 0.03,
    )  # fmt: skip
    number, rate = sketches(
        (FIRST, "hours_since_purchase", "missing", 3), (FIRST, "hours_since_purchase", "4", 5),
        (SECOND, "hours_since_purchase", "4", 6),
    )  # fmt: skip
    assert number.counts.tolist() == [[5], [6]]
    assert (rate.name, rate.statistic, rate.counts.tolist(), rate.floor, rate.unit, rate.position, rate.family) == (
        "user_features.hours_since_purchase is missing", "binomial_z", [[3, 5], [0, 6]], 2.5, "fraction", None,
        "user features",
    )  # fmt: skip
    (only,) = sketches((FIRST, "hours_since_purchase", "missing", 3))
    assert (only.statistic, only.counts.tolist()) == ("binomial_z", [[3, 0]])
    assert user_feature_sketches(pd.DataFrame({"event_date": [], "name": [], "bin": [], "n": []})) == []
    two = sketches((FIRST, "user_segment", "b", 1), (SECOND, "ab_variant", "a", 1))
    assert [(each.name, each.counts.tolist()) for each in two] == [
        ("user_features.ab_variant", [[0], [1]]), ("user_features.user_segment", [[1], [0]]),
    ]  # fmt: skip


def test_a_deviation_is_of_the_middle_half_of_users() -> None:
    at = np.array([1.0, 2.0, 3.0, 4.0])
    assert _deviation(at, np.array([1.0, 1, 1, 1])) == pytest.approx(2 / 1.349)
    assert _deviation(at, np.array([1.0, 2, 2, 2])) == pytest.approx(2 / 1.349)
    assert _deviation(at, np.array([8.0, 1, 1, 0])) == pytest.approx(math.sqrt(0.41))
    assert _deviation(at, np.array([0.0, 5, 0, 0])) == 1.0


def test_users_are_counted_in_the_bins_of_their_days() -> None:
    steps = {"purchase_rate_7d": 0.05, "click_rate_24h": 0.05, "failure_rate_24h": 0.05, "mobile_share_7d": 0.05}
    steps["engagement_score"] = 5.0
    growing = [
        name for name in WATCHED if name not in steps and name not in ("last_device", "user_segment", "ab_variant")
    ]
    with duckdb.connect() as connection:
        connection.execute("create table v (event_date date)")
        for name in WATCHED:
            kind = "double" if name in steps or name in growing else "varchar"
            connection.execute(f"alter table v add column {name} {kind}")
        for day, times, sample in ((FIRST, 2, 2.5), (SECOND, 1, None)):
            row = {name: sample * step if sample else None for name, step in steps.items()}
            # e^.9 − 1 lies in the fifth bin, the one from .8 to 1.
            row |= {name: math.exp(0.9) - 1 if sample else -0.5 for name in growing}
            row |= dict.fromkeys(("last_device", "user_segment", "ab_variant"), "a" if sample else None)  # type: ignore[dict-item]
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            for _ in range(times):
                connection.execute(f"insert into v (event_date, {names}) values (?, {marks})", [day, *row.values()])
        found = set(connection.execute(user_feature_sketch_sql("v")).fetchall())
        some = set(connection.execute(user_feature_sketch_sql("v", ("ab_variant", "hour_of_day"))).fetchall())
    assert found == {
        *((FIRST, name, "2", 2) for name in steps), *((SECOND, name, "missing", 1) for name in steps),
        *((FIRST, name, "4", 2) for name in growing), *((SECOND, name, "0", 1) for name in growing),
        *((FIRST, name, "a", 2) for name in ("last_device", "user_segment", "ab_variant")),
        *((SECOND, name, "missing", 1) for name in ("last_device", "user_segment", "ab_variant")),
    }  # fmt: skip
    assert some == {(FIRST, "ab_variant", "a", 2), (SECOND, "ab_variant", "missing", 1)}
