"""Sessions, user days and users of one small log, every column by hand."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from small_tables import asked, make

from quality_assets.domain.impact import sessions

DAY = date(2026, 3, 2)
MIDNIGHT = datetime(2026, 3, 2)
COLUMNS = (
    "user_id varchar, session_id varchar, event_time timestamp, feature varchar, status varchar,"
    " feedback_score double, platform varchar, device_type varchar, country varchar, app_version varchar"
)
IOS, WEB, ANDROID = ("ios", "phone", "de", "v1"), ("web", "laptop", "se", "v2"), ("android", "phone", "no", "v3")


def at(hour: int, minute: int = 0, second: int = 0) -> datetime:
    return MIDNIGHT + timedelta(hours=hour, minutes=minute, seconds=second)


def event(
    user: str | None, session: str | None, time: datetime, feature: str = "Cart", status: str = "ok",
    feedback: float | None = None, said: tuple[str, ...] = IOS,
) -> tuple[Any, ...]:  # fmt: skip
    return (user, session, time, feature, status, feedback, *said)


EVENTS = [
    event("ann", "s1", at(9), feedback=4),
    event("ann", "s1", at(9, 10), status="error"),
    event("ann", "s1", at(9, 20), "Search", "crash", 5, WEB),
    # Half an hour apart is still one session, a second more is another.
    event("ann", None, at(12)),
    event("ann", None, at(12, 30), feedback=2),
    event("ann", None, at(13, 0, 1), "Search", said=WEB),
    event("ann", None, at(13, 10), said=ANDROID),
    event("bob", None, at(0, 10)),
    event("cyd", None, at(0, 10, 1)),
    event("dan", "s9", at(8)),
    event("eve", "s8", at(0, 5)),
    event("fay", None, at(0, 5)),
    event("gil", "s5", at(8), feedback=3, said=WEB),
    event("gil", "s5", at(8, 1), "Search"),
    event(None, "s1", at(9), status="crash"),
    event(None, None, at(12)),
]
BEFORE = [
    event("bob", None, at(-1, 31)),
    event("bob", None, at(-1, 40)),
    event("cyd", None, at(-1, 40)),
    event("dan", "s9", at(-1, 50)),
    event("eve", None, at(-1, 55)),
    event("fay", "s7", at(-1, 55)),
    event(None, None, at(-1, 59)),
]


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The log, and what is made of it one after another."""
    with duckdb.connect() as opened:
        make(opened, "events", COLUMNS, EVENTS)
        make(opened, "before", COLUMNS, BEFORE)
        opened.execute(f"create table uses as {sessions.feature_sessions_sql('events')}")
        opened.execute(f"create table said as {sessions.attributes_sql('events')}")
        opened.execute(f"create table sat as {sessions.sat_sql('uses', 'before')}")
        yield opened


def derived(user: str, started: datetime) -> str:
    return f"{user}@{(started - datetime(1970, 1, 1)) // timedelta(microseconds=1)}"


def test_a_session_is_counted_by_feature(connection: duckdb.DuckDBPyConnection) -> None:
    found = asked(
        connection,
        f"select * exclude (first_moment, last_moment), {sessions.moment_at('first_moment')} as first_at,"
        f" {sessions.moment_at('last_moment')} as last_at from uses where user_id in ('ann', 'gil')"
        " order by first_at, feature",
    )
    names = (
        "user_id", "session_key", "is_derived", "feature", "events", "errors", "crashes", "feedback_sum",
        "feedback_count", "first_at", "last_at",
    )  # fmt: skip
    noon, one = derived("ann", at(12)), derived("ann", at(13, 0, 1))
    assert [tuple(row[name] for name in names) for row in found] == [
        ("gil", "s5", False, "Cart", 1, 0, 0, 3.0, 1, at(8), at(8)),
        ("gil", "s5", False, "Search", 1, 0, 0, None, 0, at(8, 1), at(8, 1)),
        ("ann", "s1", False, "Cart", 2, 1, 0, 4.0, 1, at(9), at(9, 10)),
        ("ann", "s1", False, "Search", 1, 0, 1, 5.0, 1, at(9, 20), at(9, 20)),
        ("ann", noon, True, "Cart", 2, 0, 0, 2.0, 1, at(12), at(12, 30)),
        ("ann", one, True, "Search", 1, 0, 0, None, 0, at(13, 0, 1), at(13, 0, 1)),
        ("ann", one, True, "Cart", 1, 0, 0, None, 0, at(13, 10), at(13, 10)),
    ]


def test_a_session_has_its_ends_its_counts_and_what_its_first_event_said(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    found = asked(connection, sessions.user_sessions_sql("sat", "said", f"date '{DAY}'"))
    names = (
        "user_id", "session_key", "started_at", "ended_at", "events", "features", "errors", "crashes", "is_derived",
        "is_continued", "platform", "device", "country", "version",
    )  # fmt: skip
    one, noon = (derived("ann", at(13, 0, 1)), at(13, 0, 1)), (derived("ann", at(12)), at(12))
    assert {row["event_date"] for row in found} == {DAY}
    assert sorted(tuple(row[name] for name in names) for row in found) == sorted(
        [
            ("ann", "s1", at(9), at(9, 20), 3, 2, 1, 1, False, False, *IOS),
            ("ann", *noon, at(12, 30), 2, 1, 0, 0, True, False, *IOS),
            ("ann", *one, at(13, 10), 2, 2, 0, 0, True, False, *WEB),
            # Half an hour after the last event of the day before it goes on, a second later not.
            ("bob", derived("bob", at(0, 10)), at(0, 10), at(0, 10), 1, 1, 0, 0, True, True, *IOS),
            ("cyd", derived("cyd", at(0, 10, 1)), at(0, 10, 1), at(0, 10, 1), 1, 1, 0, 0, True, False, *IOS),
            # A session of a name goes on where it was seen, however long ago, and no other does.
            ("dan", "s9", at(8), at(8), 1, 1, 0, 0, False, True, *IOS),
            ("eve", "s8", at(0, 5), at(0, 5), 1, 1, 0, 0, False, False, *IOS),
            ("fay", derived("fay", at(0, 5)), at(0, 5), at(0, 5), 1, 1, 0, 0, True, False, *IOS),
            ("gil", "s5", at(8), at(8, 1), 2, 2, 0, 0, False, False, *WEB),
        ]
    )


def test_a_users_day_is_all_of_their_sessions(connection: duckdb.DuckDBPyConnection) -> None:
    found = {
        row["user_id"]: row for row in asked(connection, sessions.user_days_sql("uses", "sat", "said", f"date '{DAY}'"))
    }
    assert found["ann"] == {
        "event_date": DAY,
        "user_id": "ann",
        "sessions": 3,
        "events": 7,
        "features": 2,
        # 20 min, 30 min and 9 min 59 s.
        "engaged_s": 3599.0,
        "errors": 1,
        "crashes": 1,
        "feedback": pytest.approx(11 / 3),
        "platform": "android",
        "country": "no",
        "version": "v3",
        "is_automated": False,
    }
    assert found["gil"] == {
        "event_date": DAY,
        "user_id": "gil",
        "sessions": 1,
        "events": 2,
        "features": 2,
        "engaged_s": 60.0,
        "errors": 0,
        "crashes": 0,
        "feedback": 3.0,
        "platform": "ios",
        "country": "de",
        "version": "v1",
        "is_automated": False,
    }
    assert found["bob"]["feedback"] is None
    assert {user: row["sessions"] for user, row in found.items()} == {
        "ann": 3, "bob": 0, "cyd": 1, "dan": 0, "eve": 1, "fay": 1, "gil": 1,
    }  # fmt: skip


def test_two_thousand_events_a_day_are_still_a_persons() -> None:
    with duckdb.connect() as connection:
        moment = "(cast(5000000 as hugeint) << 64) + 7"
        connection.execute(
            f"create table sat as select user_id, false as is_continued, events, 1 as features, 0 as errors,"
            f" 0 as crashes, null as feedback_sum, 0 as feedback_count, {moment} as first_moment,"
            f" {moment} as last_moment from (values ('busy', 2000), ('bot', 2001)) as u(user_id, events)"
        )
        connection.execute(
            "create table said as select cast(7 as ubigint) as attributes, 'ios' as platform, 'de' as country,"
            " 'v1' as app_version"
        )
        connection.execute("create table uses as select 'bot' as user_id, 'Cart' as feature")
        found = asked(connection, sessions.user_days_sql("uses", "sat", "said", f"date '{DAY}'"))
    assert {row["user_id"]: (row["is_automated"], row["features"]) for row in found} == {
        "busy": (False, 1),
        "bot": (True, 1),
    }


def test_how_deep_and_how_long_sessions_went_into_each_feature() -> None:
    rows = [("Cart", events, f"{seconds * 1_000_000}") for events, seconds in ((1, 0), (2, 10), (3, 20), (4, 60))]
    with duckdb.connect() as connection:
        make(connection, "given", "feature varchar, events bigint, lasted varchar", [*rows, ("Search", 1, "0")])
        connection.execute(
            "create table uses as select feature, events, cast(5 as hugeint) << 64 as first_moment,"
            " (cast(5 as hugeint) + cast(lasted as hugeint)) << 64 as last_moment from given"
        )
        found = asked(connection, sessions.feature_session_days_sql("uses", f"date '{DAY}'"))
    assert {row["feature"]: row for row in found} == {
        "Cart": {
            "event_date": DAY,
            "feature": "Cart",
            "sessions": 4,
            "one_event_sessions": 1,
            "events_mean": 2.5,
            "events_median": 2.5,
            "duration_median_s": 20.0,
            # Nine tenths of the way through 10, 20 and 60: four fifths from 20 to 60.
            "duration_p90_s": pytest.approx(52.0),
        },
        "Search": {
            "event_date": DAY,
            "feature": "Search",
            "sessions": 1,
            "one_event_sessions": 1,
            "events_mean": 1.0,
            "events_median": 1.0,
            "duration_median_s": None,
            "duration_p90_s": None,
        },
    }


def test_whoever_was_ever_there() -> None:
    first, second, third = (date(2026, 3, n) for n in (1, 2, 3))
    with duckdb.connect() as connection:
        make(
            connection,
            "core.user_days",
            "event_date date, user_id varchar, sessions bigint, events bigint, country varchar, version varchar,"
            " platform varchar, is_automated boolean",
            [
                (second, "ann", 1, 3, "se", "v2", "ios", True),
                (first, "ann", 2, 5, "de", "v1", "ios", False),
                (third, "ann", 1, 1, "at", "v0", "web", False),
                (first, "bob", 1, 1, "de", "v1", "web", False),
                (second, "bob", 1, 1, "de", "v1", "ios", False),
                (second, "cyd", 4, 9, "de", "v1", None, False),
            ],
        )
        make(
            connection,
            "core.first_uses",
            "feature varchar, user_id varchar",
            [("*", "ann"), ("Cart", "ann"), ("Search", "ann"), ("*", "bob"), ("Cart", "cyd")],
        )
        found = asked(connection, f"select * from ({sessions.DIM_USERS_SQL}) order by user_id")
    names = (
        "user_id", "first_seen_date", "last_seen_date", "active_days", "sessions", "events", "features_used",
        "main_platform", "country", "version", "is_automated",
    )  # fmt: skip
    assert [tuple(row[name] for name in names) for row in found] == [
        ("ann", first, third, 3, 4, 9, 2, "ios", "at", "v0", True),
        # Of as many days on each, one of them is always the same.
        ("bob", first, second, 2, 2, 2, 0, "web", "de", "v1", False),
        ("cyd", second, second, 1, 4, 9, 1, None, "de", "v1", False),
    ]
