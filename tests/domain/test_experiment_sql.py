"""SQL of experiments against plain Python on small random logs: ties, half-open windows, people without a past."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.metric_names import parse_metric_name
from quality_assets.domain.impact import experiment_sql as sql
from quality_assets.domain.impact.metrics_by_name import BEFORE_DAYS, EventsOfMetric, user_metric

START = date(2026, 3, 1)
ZERO = datetime(2026, 2, 20)
ARMS = ("control", "test")
METRICS = ("events", "crash_rate", "return_2d", "uses:quiz", "count:share", "sum:properties.price", "sessions")
WINDOW_DAYS = 2


@dataclass(frozen=True)
class Event:
    user: str | None
    at: datetime
    feature: str
    name: str
    variant: str | None
    status: str
    price: int | None
    session: str


event = st.builds(
    Event,
    user=st.sampled_from(["a", "b", "c", None]),
    # Few instants, so that there are ties, and some exactly a window apart.
    at=st.integers(0, 36).map(lambda n: ZERO + timedelta(hours=12 * n)),
    feature=st.sampled_from(["quiz", "search"]),
    name=st.sampled_from(["begin", "share", "end"]),
    variant=st.sampled_from([None, None, "x:control", "x:test", "y:test", "alone", "x:other"]),
    status=st.sampled_from(["ok", "crash"]),
    price=st.sampled_from([None, 3, 5]),
    session=st.sampled_from(["s", "t"]),
)


@pytest.fixture(scope="module")
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    """Tables without rows. To make a database for each log would be most of the work."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(
            "create table events (event_date date, event_time timestamp, user_id varchar, session_id varchar,"
            " feature varchar, event_name varchar, variant varchar, status varchar, properties varchar,"
            " latency_ms double, feedback_score double, platform varchar, app_version varchar, country varchar)"
        )
        connection.execute(
            "create view days as select event_date, feature, user_id, count(*) as events from events"
            " where user_id is not null group by all"
        )
        connection.execute(
            "create table described (feature varchar, apdex_threshold_ms double, slo_latency_p95_ms double)"
        )
        connection.execute("create table people (user_id varchar, arm varchar, exposed_at timestamp)")
        yield connection


@contextmanager
def holding(database: duckdb.DuckDBPyConnection, events: list[Event]) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database with these events, which are gone afterwards."""
    database.execute("begin transaction")
    try:
        rows = [
            (
                *(each.at.date(), each.at, each.user, each.session, each.feature, each.name, each.variant, each.status),
                None if each.price is None else f'{{"price": {each.price}}}',
            )
            for each in events
        ]
        if rows:
            marks = ", ".join(["(?, ?, ?, ?, ?, ?, ?, ?, ?, null, null, null, null, null)"] * len(rows))
            database.execute(f"insert into events values {marks}", [value for row in rows for value in row])
        yield database
    finally:
        database.execute("rollback")


def arm_of(variant: str | None) -> str | None:
    return variant.partition(":")[2] if variant and variant.startswith("x:") else None


def reference_exposures(events: list[Event]) -> dict[str, tuple[Any, ...]]:
    found: dict[str, tuple[Any, ...]] = {}
    for user in {e.user for e in events if e.user}:
        shown = [(e.at, arm) for e in events if e.user == user and (arm := arm_of(e.variant)) and e.at.date() >= START]
        if not shown:
            continue
        at, arm = min(shown)
        seen = {arm for _, arm in shown}
        reason = "several arms" if len(seen) > 1 else "arm not declared" if arm not in ARMS else None
        first = START - timedelta(days=BEFORE_DAYS)
        is_existing = any(
            e.user == user and first <= e.at.date() < at.date() <= e.at.date() + timedelta(days=BEFORE_DAYS)
            for e in events
        )
        found[user] = (arm, at, len(seen), reason, is_existing)
    return found


def exposed(connection: duckdb.DuckDBPyConnection) -> dict[str, tuple[Any, ...]]:
    rows = connection.execute(
        f"select user_id, arm, exposed_at, arms_seen, reason_excluded, is_existing"
        f" from ({sql.exposures_sql('events', 'days', False)})",
        {"experiment": "x", "arms": list(ARMS), "start": START, "end": date(2026, 3, 20)},
    ).fetchall()
    return {user: tuple(rest) for user, *rest in rows}


@given(events=st.lists(event, max_size=25))
def test_exposures_are_those_of_plain_python(database: duckdb.DuckDBPyConnection, events: list[Event]) -> None:
    with holding(database, events) as connection:
        assert exposed(connection) == reference_exposures(events)


def reference_values(events: list[Event], user: str, at: datetime) -> list[Any]:
    own = [e for e in events if e.user == user]
    end, past = at + timedelta(days=WINDOW_DAYS), at - timedelta(days=BEFORE_DAYS)
    inside, before = [e for e in own if at <= e.at < end], [e for e in own if past <= e.at < at]
    back = any(timedelta(0) < e.at.date() - at.date() <= timedelta(days=2) for e in own)

    def both(count: Any) -> list[Any]:
        return [count(inside), count(before)]

    return [
        *both(len),
        *both(lambda some: sum(e.status == "crash" for e in some)), *both(len),
        int(back), len({e.at.date() for e in before}),
        int(any(e.feature == "quiz" for e in inside)), sum(e.feature == "quiz" for e in before),
        *both(lambda some: sum(e.name == "share" for e in some)),
        *both(lambda some: sum(e.price or 0 for e in some)),
        *both(lambda some: len({e.session for e in some})),
    ]  # fmt: skip


@given(events=st.lists(event, max_size=25))
def test_what_people_did_is_that_of_plain_python(database: duckdb.DuckDBPyConnection, events: list[Event]) -> None:
    metrics = [user_metric(parse_metric_name(name), n, WINDOW_DAYS) for n, name in enumerate(METRICS)]
    with holding(database, events) as connection:
        people = {user: row for user, row in exposed(connection).items() if row[3] is None}
        for user, row in people.items():
            connection.execute("insert into people values ($u, $arm, $at)", {"u": user, "arm": row[0], "at": row[1]})
        parameters = {
            "window_days": WINDOW_DAYS,
            "start": START,
            "through": date(2026, 3, 20),
            "apdex_threshold_ms": 1.0,
        }
        for metric in metrics:
            parameters |= metric.parameters
        rows = connection.execute(sql.user_values_sql("people", "events", "described", metrics), parameters).fetchall()
    assert {row[0] for row in rows} == set(people)
    for user, arm, exposed_on, *found in rows:
        assert (arm, exposed_on) == (people[user][0], people[user][1].date())
        assert found == reference_values(events, user, people[user][1])


STEPS = [
    {"event_name": "begin"},
    {"feature": "quiz", "event_name": "share"},
    {"where": {"price": "5"}, "feature": "quiz"},
]


def reference_converted(events: list[Event], user: str, at: datetime, hours: int) -> int:
    end = at + timedelta(days=WINDOW_DAYS)
    own = [e for e in events if e.user == user]
    entries = [e.at for e in own if e.name == "begin" and at <= e.at < end]
    if not entries:
        return 0
    entry = min(entries)
    last = min(end, entry + timedelta(hours=hours))
    shares = [e.at for e in own if e.feature == "quiz" and e.name == "share" and entry <= e.at < last]
    return int(bool(shares) and any(e.feature == "quiz" and e.price == 5 and min(shares) <= e.at < last for e in own))


@given(events=st.lists(event, max_size=30), hours=st.sampled_from([12, 36]))
def test_conversion_is_that_of_plain_python(
    database: duckdb.DuckDBPyConnection, events: list[Event], hours: int
) -> None:
    at = ZERO + timedelta(hours=12 * 10)
    with holding(database, events) as connection:
        connection.execute("insert into people values ('a', null, $at), ('b', null, $at)", {"at": at})
        rows = connection.execute(
            sql.conversions_sql("people", "events", STEPS),
            {
                "window_days": WINDOW_DAYS, "funnel_seconds": hours * 3600, "start": ZERO.date(),
                "through": date(2026, 3, 20), **sql.step_parameters(STEPS),
            },
        ).fetchall()  # fmt: skip
    assert rows == [(user, reference_converted(events, user, at, hours)) for user in ("a", "b")]


def test_the_arm_of_a_refused_row_is_its_users_else_what_it_shows() -> None:
    with duckdb.connect() as connection:
        connection.execute("create table people as select * from (values ('a', 'test')) as p(user_id, arm)")
        connection.execute(
            "create table refused as select * from (values"
            " (date '2026-03-02', ['invalid_status'], 'quiz', 'end', 'a', 'x:control', null),"
            " (date '2026-03-02', ['invalid_status'], 'quiz', 'end', 'z', 'x:control', null),"
            " (date '2026-03-02', ['invalid_status'], 'quiz', 'end', 'z', 'x:stray', null),"
            " (date '2026-03-02', ['duplicate_event_id'], 'quiz', 'end', 'a', 'x:test', null),"
            " (date '2026-03-02', ['invalid_status'], 'quiz', 'begin', 'a', 'x:test', null))"
            " as r(event_date, reasons, feature, event_name, user_id, variant, properties)"
        )
        query = sql.lost_sql("people", "refused", False, EventsOfMetric(event_name="end"))
        rows = connection.execute(
            query,
            {
                "experiment": "x",
                "arms": list(ARMS),
                "start": START,
                "through": START + timedelta(days=5),
                "asked_event": "end",
            },
        ).fetchall()
    assert dict(rows) == {"test": 1, "control": 1, None: 1}
