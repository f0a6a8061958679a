"""Every metric, against a computation of the same by plain Python over the events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.metrics import METRICS, METRICS_BY_NAME
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.domain.events.metrics_sql import metrics_sql
from quality_assets.domain.events.tables import fact_feature_metrics_sql, user_feature_days_sql

CONNECTION = duckdb.connect(config={"threads": 1})
DAYS = (date(2026, 1, 1), date(2026, 1, 2))
DEFAULT_T = 500.0
SCHEMA = pa.schema(
    [
        ("event_date", pa.date32()),
        ("feature", pa.string()),
        ("user_id", pa.string()),
        ("session_id", pa.string()),
        ("status", pa.string()),
        ("latency_ms", pa.float64()),
        ("feedback_score", pa.float64()),
    ]
)
Event = dict[str, Any]

names = st.one_of(
    st.sampled_from(["Search", "Café, \"finder'", "検索", "Search "]),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=4),
)
latencies = st.one_of(
    st.sampled_from([0.0, 100.0, 400.0, 500.0, 500.5, 2000.0, 2000.5]), st.floats(0, 1e5, allow_subnormal=False)
)
events = st.fixed_dictionaries(
    {
        "event_date": st.sampled_from(DAYS),
        "feature": names,
        "user_id": st.one_of(st.none(), st.sampled_from(["u1", "u2", "u3"])),
        "session_id": st.one_of(st.none(), st.sampled_from(["s1", "s2", "s3"])),
        "status": st.sampled_from(["ok", "error", "crash"]),
        "latency_ms": st.one_of(st.none(), latencies),
        "feedback_score": st.one_of(st.none(), st.integers(1, 5).map(float)),
    }
)


def facts_of(rows: Sequence[Event], thresholds: dict[str, float]) -> dict[tuple[date, str], Event]:
    """The facts as the product computes them."""
    CONNECTION.register("events", pa.Table.from_pylist(list(rows), SCHEMA))
    described = [{"feature": f, "apdex_threshold_ms": t} for f, t in thresholds.items()]
    schema = pa.schema([("feature", pa.string()), ("apdex_threshold_ms", pa.float64())])
    CONNECTION.register("described", pa.Table.from_pylist(described, schema))
    sql = fact_feature_metrics_sql("events", f"({user_feature_days_sql('events')})", "described")
    cursor = CONNECTION.execute(sql, {"apdex_threshold_ms": DEFAULT_T})
    columns = [column[0] for column in cursor.description or ()]
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    facts = {(row["event_date"], row["feature"]): row for row in found}
    assert len(facts) == len(found)
    return facts


def ratio(numerator: float, denominator: float) -> float | None:
    return numerator / denominator if denominator else None


def quantile(values: Iterable[float], q: float) -> float | None:
    """Linear interpolation between order statistics: type 7 of Hyndman and Fan (1996)."""
    ordered = sorted(values)
    if not ordered:
        return None
    position = q * (len(ordered) - 1)
    low, high = ordered[math.floor(position)], ordered[math.ceil(position)]
    return low + (high - low) * (position - math.floor(position))


def crash_free(rows: Sequence[Event], who: str) -> tuple[int | None, int | None, float | None]:
    """Everyone, those with a crash, and the share of those without."""
    everyone = {row[who] for row in rows if row[who] is not None}
    crashed = {row[who] for row in rows if row[who] is not None and row["status"] == "crash"}
    if not everyone:
        return None, None, None
    return len(everyone), len(crashed), 1 - len(crashed) / len(everyone)


def by_hand(rows: Sequence[Event], threshold: float, all_users: int) -> Event:
    """The facts of one feature on one day, the plain way."""
    errors = sum(row["status"] == "error" for row in rows)
    crashes = sum(row["status"] == "crash" for row in rows)
    timed = [row["latency_ms"] for row in rows if row["latency_ms"] is not None]
    scores = [row["feedback_score"] for row in rows if row["feedback_score"] is not None]
    good = [row["latency_ms"] for row in rows if row["status"] == "ok" and row["latency_ms"] is not None]
    satisfied = sum(latency <= threshold for latency in good)
    tolerating = sum(threshold < latency <= 4 * threshold for latency in good)
    judged = sum(row["status"] != "ok" or row["latency_ms"] is not None for row in rows)
    users, crashed_users, crash_free_users = crash_free(rows, "user_id")
    sessions, crashed_sessions, crash_free_sessions = crash_free(rows, "session_id")
    return {
        "events": len(rows),
        "users": users,
        "sessions": sessions,
        "errors": errors,
        "crashes": crashes,
        "crashed_users": crashed_users,
        "crashed_sessions": crashed_sessions,
        "latency_count": len(timed),
        "latency_sum_ms": sum(timed) if timed else None,
        "apdex_satisfied": satisfied,
        "apdex_tolerating": tolerating,
        "apdex_count": judged,
        "feedback_count": len(scores),
        "feedback_sum": sum(scores) if scores else None,
        "error_rate": ratio(errors, len(rows)),
        "crash_rate": ratio(crashes, len(rows)),
        "crash_free_sessions": crash_free_sessions,
        "crash_free_users": crash_free_users,
        "latency_p50_ms": quantile(timed, 0.5),
        "latency_p95_ms": quantile(timed, 0.95),
        "latency_p99_ms": quantile(timed, 0.99),
        "latency_mean_ms": ratio(sum(timed), len(timed)),
        "apdex": ratio(satisfied + tolerating / 2, judged) if timed or judged == len(rows) else None,
        "feedback_mean": ratio(sum(scores), len(scores)),
        "all_users": all_users or None,
        "adoption_rate": ratio(users, all_users) if users is not None else None,
    }


def same(name: str, found: float | None, wanted: float | None) -> bool:
    """Equal but for rounding: latencies are added up to the nanosecond, scores to the millionth."""
    if found is None or wanted is None:
        return found is wanted
    return math.isclose(found, wanted, rel_tol=1e-9, abs_tol=1e-4 if name.startswith(("latency", "feedback")) else 1e-9)


@given(
    rows=st.lists(events, max_size=25),
    thresholds=st.dictionaries(st.sampled_from(["Search", "検索", "nobody uses it"]), st.sampled_from([100.0, 400.0])),
)
def test_every_metric_is_what_plain_python_computes(rows: list[Event], thresholds: dict[str, float]) -> None:
    facts = facts_of(rows, thresholds)
    assert set(facts) == {(row["event_date"], row["feature"]) for row in rows}
    for (day, feature), found in facts.items():
        of_day = [row for row in rows if row["event_date"] == day]
        all_users = len({row["user_id"] for row in of_day if row["user_id"] is not None})
        mine = [row for row in of_day if row["feature"] == feature]
        wanted = by_hand(mine, thresholds.get(feature, DEFAULT_T), all_users)
        assert set(wanted) == set(FACT_FEATURE_METRICS.column_names) - {"event_date", "feature"}
        assert {n: (found[n], wanted[n]) for n in wanted if not same(n, found[n], wanted[n])} == {}


@given(
    rows=st.lists(events, min_size=2, max_size=25),
    values=st.lists(st.tuples(st.floats(0, 1e9), st.floats(1, 5)), min_size=25, max_size=25),
    order=st.randoms(use_true_random=False),
)
def test_the_order_of_events_does_not_change_a_bit(
    rows: list[Event], values: list[tuple[float, float]], order: Any
) -> None:
    fine = [
        row | {"latency_ms": latency, "feedback_score": score}
        for row, (latency, score) in zip(rows, values, strict=False)
    ]
    assert facts_of(order.sample(fine, len(fine)), {}) == facts_of(fine, {})


@pytest.mark.parametrize("latency_ms", [1e-300, 1e15, 1e25, 1.7e308])
def test_no_latency_is_too_small_or_too_large_to_be_counted(latency_ms: float) -> None:
    event = dict.fromkeys(SCHEMA.names) | {"event_date": DAYS[0], "feature": "Search", "status": "ok"}
    ((_, found),) = facts_of([event | {"latency_ms": latency_ms}] * 3, {}).items()
    assert found["latency_count"] == 3
    assert 0 <= found["latency_mean_ms"] <= latency_ms
    assert found["latency_p50_ms"] == latency_ms


@given(rows=st.lists(events, min_size=1, max_size=25))
def test_facts_keep_the_ranges_of_their_contract(rows: list[Event]) -> None:
    outside = [
        (column.name, row[column.name])
        for row in facts_of(rows, {}).values()
        for column in FACT_FEATURE_METRICS.columns
        if (row[column.name] is None and not column.nullable)
        or (row[column.name] is not None and column.minimum is not None and row[column.name] < column.minimum)
        or (row[column.name] is not None and column.maximum is not None and row[column.name] > column.maximum)
    ]
    assert outside == []


def test_without_users_sessions_latency_or_feedback_their_metrics_are_null_not_zero() -> None:
    event = dict.fromkeys(SCHEMA.names) | {"event_date": DAYS[0], "feature": "Search", "status": "crash"}
    ((_, found),) = facts_of([event], {}).items()
    unknown = {name for name, value in found.items() if value is None}
    assert unknown == {
        "users", "sessions", "crashed_users", "crashed_sessions", "crash_free_users", "crash_free_sessions",
        "latency_sum_ms", "latency_mean_ms", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms", "feedback_sum",
        "feedback_mean", "all_users", "adoption_rate",
    }  # fmt: skip
    assert (found["crash_rate"], found["apdex"], found["feedback_count"]) == (1.0, 0.0, 0)


def test_an_event_that_is_ok_and_not_timed_is_not_judged_by_apdex() -> None:
    event = dict.fromkeys(SCHEMA.names) | {"event_date": DAYS[0], "feature": "Search", "status": "ok"}
    ((_, found),) = facts_of([event], {}).items()
    assert (found["apdex_count"], found["apdex"]) == (0, None)


def test_where_successes_are_not_timed_failures_alone_make_no_apdex() -> None:
    event = dict.fromkeys(SCHEMA.names) | {"event_date": DAYS[0], "feature": "Search"}
    failed, untimed, timed = (event | cells for cells in ({"status": "error"}, {"status": "ok"}, {"status": "ok"}))
    ((_, found),) = facts_of([failed, untimed], {}).items()
    assert (found["apdex_count"], found["apdex"], found["error_rate"]) == (1, None, 0.5)
    ((_, found),) = facts_of([failed, untimed, timed | {"latency_ms": 1.0}], {}).items()
    assert (found["apdex_count"], found["apdex"]) == (2, 0.5)


@pytest.mark.parametrize(("latency_ms", "apdex"), [(500.0, 1.0), (500.1, 0.5), (2000.0, 0.5), (2000.1, 0.0)])
def test_apdex_satisfies_up_to_t_and_tolerates_up_to_four_t(latency_ms: float, apdex: float) -> None:
    event = dict.fromkeys(SCHEMA.names) | {"event_date": DAYS[0], "feature": "Search", "status": "ok"}
    ((_, found),) = facts_of([event | {"latency_ms": latency_ms}], {}).items()
    assert found["apdex"] == apdex


def test_groups_may_be_expressions_and_metrics_chosen() -> None:
    rows = [
        dict.fromkeys(SCHEMA.names) | {"event_date": day, "feature": "f", "status": "error", "latency_ms": 7.0}
        for day in (DAYS[0], DAYS[0], DAYS[1])
    ]
    CONNECTION.register("events", pa.Table.from_pylist(rows, SCHEMA))
    sql = metrics_sql(
        "(select *, null as apdex_threshold_ms from events)",
        ["day(event_date) as day_of_month", "feature"],
        [METRICS_BY_NAME["error_rate"], METRICS_BY_NAME["latency_p50_ms"]],
    )
    cursor = CONNECTION.execute(f"select * from ({sql}) order by 1")
    columns = [column[0] for column in cursor.description or ()]
    found = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    assert [(r["day_of_month"], r["events"], r["error_rate"], r["latency_p50_ms"]) for r in found] == [
        (1, 2, 1.0, 7.0),
        (2, 1, 1.0, 7.0),
    ]
    assert "crash_rate" not in columns


def test_each_metric_is_registered_once_and_can_be_read() -> None:
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    assert [m.name for m in METRICS if not m.label or not m.description] == []
    assert METRICS_BY_NAME["crash_free_users"].expression == "1 - crashed_users / nullif(cast(users as double), 0)"
    assert METRICS_BY_NAME["users"].expression == "users"
