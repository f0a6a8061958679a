"""Trends look back only: every column against plain Python, silence, bands, and flags on the side that hurts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from statistics import mean, median
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.domain.features.trends import HISTORY_DAYS, trends_sql
from tests.examples import dear

DAY_0 = date(2026, 1, 1)
Trend = dict[str, Any]
# Per feature and day: None where the feature has no event, else its facts.
Series = Sequence[Mapping[str, float | None] | None]

CONNECTION = duckdb.connect(config={"threads": 1})
CONNECTION.execute("create schema product")
CONNECTION.execute(FACT_FEATURE_METRICS.create_sql())


def on(day: int) -> date:
    return DAY_0 + timedelta(days=day)


def facts(events: int, *, crash_rate: float = 0.0, latency_p95_ms: float | None = None) -> dict[str, float | None]:
    """One day of a feature, as far as these tests look at it."""
    zero = {c.name: 0.0 for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.type == "BIGINT"}
    return zero | {"events": events, "crash_rate": crash_rate, "latency_p95_ms": latency_p95_ms}


def trends_of(features: Mapping[str, Series], start: int = 0, end: int = 10_000) -> dict[tuple[date, str, str], Trend]:
    """The trends of facts that begin at DAY_0, by date, feature and metric."""
    CONNECTION.execute(f"delete from {FACT_FEATURE_METRICS.qualified_name}")
    rows = [
        {"event_date": on(day), "feature": feature, **row}
        for feature, series in features.items()
        for day, row in enumerate(series)
        if row is not None
    ]
    if rows:
        types = {"event_date": pa.date32(), "feature": pa.string()}
        schema = pa.schema([(name, types.get(name, pa.float64())) for name in rows[0]])
        CONNECTION.register("facts", pa.Table.from_pylist(rows, schema))
        CONNECTION.execute(f"insert into {FACT_FEATURE_METRICS.qualified_name} by name from facts")
    cursor = CONNECTION.execute(trends_sql(), {"start": on(start), "end": on(end)})
    columns = [column[0] for column in cursor.description or ()]
    assert columns == list(FEATURE_DAILY_TRENDS.column_names)
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    trends = {(row["event_date"], row["feature"], row["metric"]): row for row in found}
    assert len(trends) == len(found)
    return trends


def steady(days: int, events: int = 100) -> list[dict[str, float | None]]:
    """Days that differ a little, by weekday."""
    return [facts(events + day % 7, crash_rate=0.01, latency_p95_ms=400.0 + day % 7) for day in range(days)]


def expected_of(values: Sequence[float | None]) -> list[float | None]:
    """Per day: the median of the same weekday in the 28 days before, of all those days until there are three."""
    expected: list[float | None] = []
    for day in range(len(values)):
        past = [v for v in values[max(0, day - 28) : day] if v is not None]
        same = [values[d] for d in (day - 28, day - 21, day - 14, day - 7) if d >= 0]
        known = [v for v in same if v is not None]
        expected.append(median(known) if len(known) >= 3 else median(past) if past else None)
    return expected


def usual_and_chance(
    metric: str, values: Sequence[float | None], sizes: Sequence[float | None], day: int, wanted: float
) -> tuple[float, float | None]:
    """What is usual of a metric, and how far four deviations of chance take it."""
    size = sizes[day]
    if metric == "events":
        return wanted, max(4 * math.sqrt(max(wanted, 0) + 0.375) + 4, 0.04 * wanted)
    if metric == "latency_p95_ms":
        # How many values are behind it, these facts do not say.
        return wanted, 0.04 * wanted
    past = [(v, n) for v, n in zip(values[max(0, day - 28) : day], sizes[max(0, day - 28) : day], strict=True)]
    told = [(v * n, n) for v, n in past if v is not None and n]
    usual = sum(bad for bad, _ in told) / sum(n for _, n in told) if told else wanted
    chance = (4 * math.sqrt(usual * size + 0.375) + 4) / size if size else 0.0
    return usual, max(chance, 0.04 * usual)


def by_hand(metric: str, values: Sequence[float | None], sizes: Sequence[float | None]) -> list[Trend]:
    """The trends of one feature and metric, the plain way."""
    expected = expected_of(values)
    rows = []
    for day, value in enumerate(values):
        past = [v for v in values[max(0, day - 28) : day] if v is not None]
        week = [v for v in values[max(0, day - 7) : day] if v is not None]
        wanted, low, high = expected[day], None, None
        if len(past) >= 7 and wanted is not None:
            misses = [
                abs(v - e)
                for v, e in zip(values[max(0, day - 28) : day], expected[max(0, day - 28) : day], strict=True)
                if v is not None and e is not None
            ]
            spread = 4 * 1.4826 * median(misses) if misses else None
            usual, chance = usual_and_chance(metric, values, sizes, day, wanted)
            margins = [(wanted, spread), (usual, chance)]
            low = max(min(centre - m for centre, m in margins if m is not None), 0)
            high = max(centre + m for centre, m in margins if m is not None)
        rows.append(
            {
                "value": value,
                "baseline_7d": mean(week) if week else None,
                "baseline_28d": mean(past) if past else None,
                "days_observed": len(past),
                "expected": wanted,
                "expected_low": low,
                "expected_high": high,
                "change": value / wanted - 1 if value is not None and wanted else None,
            }
        )
    return rows


def same(found: float | None, wanted: float | None) -> bool:
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-9)


days = st.builds(
    facts,
    st.integers(1, 60),
    crash_rate=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    latency_p95_ms=st.one_of(st.none(), st.sampled_from([90.0, 100.0, 250.0])),
)
series = st.lists(st.one_of(days, days, days, st.none()), min_size=1, max_size=45)
# Two months of whose days none is like another, with a week, some days missing, and a latency that hardly moves.
UNEVEN: Series = [
    None if day % 11 == 5 else facts(20 + day * 7919 % 41, crash_rate=day * 31 % 7 / 50, latency_p95_ms=100.0 + day % 2)
    for day in range(62)
]


@given(watched=series)
@example(watched=UNEVEN)
def test_every_column_is_what_plain_python_computes(watched: Series) -> None:
    trends = trends_of({"watched": watched, "other": [facts(1)] * len(watched)})
    first = next((day for day, row in enumerate(watched) if row is not None), len(watched))
    for metric in ("events", "crash_rate", "latency_p95_ms"):
        silent = 0.0 if metric == "events" else None
        values = [row[metric] if row is not None else silent for row in watched[first:]]
        sizes = [row["events"] if row is not None else 0.0 for row in watched[first:]]
        for day, wanted in enumerate(by_hand(metric, values, sizes), start=first):
            found = trends[on(day), "watched", metric]
            assert {n: (found[n], wanted[n]) for n in wanted if not same(found[n], wanted[n])} == {}, (day, metric)
    mine = {day for day, feature, _ in trends if feature == "watched"}
    assert mine == {on(day) for day in range(first, len(watched))}


# To plan the query is most of its work: an example has several features.
some_series = st.lists(series, min_size=1, max_size=6)


@settings(max_examples=dear(8))
@given(pasts=some_series, futures=some_series)
def test_days_to_come_never_change_days_gone(pasts: list[Series], futures: list[Series]) -> None:
    last = max(map(len, pasts))
    gone = {f"watched {n}": [*past, *[None] * (last - len(past))] for n, past in enumerate(pasts)}
    to_come = {f"watched {n}": future for n, future in enumerate(futures)}
    days = last + max(map(len, futures))
    before = trends_of({**gone, "other": [facts(1)] * last})
    whole = {name: [*gone.get(name, [None] * last), *to_come.get(name, [])] for name in gone | to_come}
    after = trends_of({**whole, "other": [facts(1)] * days})
    assert {key: row for key, row in after.items() if key[0] < on(last)} == before


@settings(max_examples=dear(8))
@given(watched=some_series, cut=st.integers(0, 45))
def test_a_range_built_in_pieces_is_the_range_built_at_once(watched: list[Series], cut: int) -> None:
    features = {f"watched {n}": one for n, one in enumerate(watched)} | {"other": [facts(1)] * max(map(len, watched))}
    pieces = trends_of(features, end=cut) | trends_of(features, start=cut + 1)
    assert pieces == trends_of(features)


def test_history_reaches_as_far_back_as_a_days_band_depends_on() -> None:
    wild = [facts(100 + 37 * (day * day % 11)) for day in range(120)]
    whole = trends_of({"watched": wild}, start=119)
    shortened: Series = [None] * (119 - HISTORY_DAYS) + wild[119 - HISTORY_DAYS :]
    assert trends_of({"watched": shortened}, start=119) == whole
    too_short: Series = [None] * (119 - HISTORY_DAYS // 2 + 5) + wild[119 - HISTORY_DAYS // 2 + 5 :]
    assert trends_of({"watched": too_short}, start=119) != whole


def test_a_silent_day_has_zero_events_and_nothing_else() -> None:
    trends = trends_of({"watched": [*steady(20), None, *steady(1)], "other": steady(22)})
    silent = {metric: trends[on(20), "watched", metric]["value"] for metric in TREND_METRICS}
    assert silent == dict.fromkeys(TREND_METRICS) | {"events": 0.0}
    assert trends[on(20), "watched", "events"]["is_worse"] is True
    assert trends[on(20), "watched", "crash_rate"]["is_worse"] is None
    assert trends[on(21), "watched", "crash_rate"]["days_observed"] == 20


def test_a_day_on_which_nothing_at_all_arrived_is_no_silence_of_a_feature() -> None:
    trends = trends_of({"watched": [*steady(3), None, *steady(1)]})
    assert {day for day, _, _ in trends} == {on(0), on(1), on(2), on(4)}


def test_a_feature_has_no_rows_before_it_was_first_seen() -> None:
    trends = trends_of({"new": [None] * 5 + steady(2), "other": steady(7)})
    assert {day for day, feature, _ in trends if feature == "new"} == {on(5), on(6)}


def test_without_a_week_of_past_there_is_no_band_and_nothing_is_flagged() -> None:
    trends = trends_of({"watched": [*steady(6), facts(10_000)]})
    row = trends[on(6), "watched", "events"]
    assert (row["days_observed"], row["expected_low"], row["expected_high"]) == (6, None, None)
    assert (row["is_outside_band"], row["is_worse"]) == (None, None)
    assert row["expected"] is not None


def test_with_a_week_of_past_there_is_a_band() -> None:
    row = trends_of({"watched": steady(8)})[on(7), "watched", "events"]
    assert row["expected_low"] < row["value"] < row["expected_high"]
    assert (row["is_outside_band"], row["is_worse"]) == (False, False)


@pytest.mark.parametrize(
    ("metric", "last", "is_outside", "is_worse"),
    [
        ("crash_rate", facts(100, crash_rate=0.5), True, True),
        ("crash_rate", facts(100, crash_rate=0.02), False, False),
        ("latency_p95_ms", facts(100, latency_p95_ms=900.0), True, True),
        ("latency_p95_ms", facts(100, latency_p95_ms=90.0), True, False),
        ("events", facts(10), True, True),
        ("events", facts(1000), True, False),
    ],
)
def test_worse_is_only_what_lies_outside_the_band_on_the_side_that_hurts(
    metric: str, last: Mapping[str, float | None], is_outside: bool, is_worse: bool
) -> None:
    row = trends_of({"watched": [*steady(35), last]})[on(35), "watched", metric]
    assert (row["is_outside_band"], row["is_worse"]) == (is_outside, is_worse)


def test_the_same_weekday_is_what_a_day_is_held_against() -> None:
    weekly = [facts(1000 if day % 7 == 0 else 100) for day in range(36)]
    trends = trends_of({"watched": weekly})
    assert trends[on(35), "watched", "events"]["expected"] == 1000
    assert trends[on(34), "watched", "events"]["expected"] == 100
    assert trends[on(35), "watched", "events"]["is_outside_band"] is False
    assert trends[on(35), "watched", "events"]["baseline_7d"] == pytest.approx((1000 + 6 * 100) / 7)


def test_no_expected_value_and_no_events_give_no_change_rather_than_an_error() -> None:
    trends = trends_of({"watched": [facts(5), None, None, facts(5)], "other": [facts(1)] * 4})
    assert trends[on(0), "watched", "events"]["change"] is None
    assert trends[on(3), "watched", "events"]["expected"] == 0
    assert trends[on(3), "watched", "events"]["change"] is None


def test_every_trend_metric_has_a_row_for_every_day_of_a_feature() -> None:
    trends = trends_of({"watched": steady(3)})
    assert set(trends) == {(on(day), "watched", metric) for day in range(3) for metric in TREND_METRICS}


def test_no_facts_give_no_trends() -> None:
    assert trends_of({}) == {}


def test_on_the_very_edge_of_its_band_a_day_is_not_worse_and_without_a_value_it_is_unknown() -> None:
    trends = trends_of({"watched": [*(facts(9) for _ in range(20)), None], "other": [facts(1)] * 21})
    crashes = trends[on(19), "watched", "crash_rate"]
    # Of nine events of which none ever crashed chance may take six: (√⅜ + 2)² − ⅜ = 4 √⅜ + 4.
    assert crashes["expected_high"] == pytest.approx((4 * math.sqrt(0.375) + 4) / 9)
    assert (crashes["value"], crashes["is_outside_band"], crashes["is_worse"]) == (0, False, False)
    silent = trends[on(20), "watched", "crash_rate"]
    assert (silent["value"], silent["is_worse"]) == (None, None)
    early = trends[on(3), "watched", "crash_rate"]
    assert (early["value"], early["expected_low"], early["is_worse"]) == (0, None, None)
