"""SQL of experiments by hand: who saw which arm, what one person did in each metric, what was lost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pytest
from small_tables import asked, make

from quality_assets.contracts.metric_names import parse_metric_name
from quality_assets.domain.impact import experiment_sql as sql
from quality_assets.domain.impact.metrics_by_name import EventsOfMetric, UserMetric, user_metric

D0 = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12)
ARMS = ["control", "test"]
SHOWN = (
    "event_date date, event_time timestamp, user_id varchar, variant varchar, properties varchar, platform varchar,"
    " app_version varchar, country varchar"
)


def day(n: int) -> date:
    return D0 + timedelta(days=n)


def noon(n: int, seconds: int = 0) -> datetime:
    return NOON + timedelta(days=n, seconds=seconds)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database of its own."""
    with duckdb.connect() as opened:
        yield opened


def shown(user: str | None, n: int, variant: str | None, said: tuple[str, str, str] = ("ios", "v1", "de")) -> Any:
    properties = None if variant is None else f'{{"arm": "{variant.partition(":")[2]}"}}'
    return (day(n), noon(n), user, variant, properties, *said)


SEEN = [
    shown("ann", 1, "x:test", ("web", "v2", "se")),
    shown("ann", 0, "x:test"),
    shown("bob", 1, "x:control"),
    shown("cyd", 1, "x:control"),
    shown("dan", 0, "x:other"),
    shown("eve", 2, "x:test"),
    shown("eve", 1, "x:control"),
    shown("fay", 1, "x:control"),
    shown("gus", 1, "x:control"),
    shown("hal", 1, "y:test"),
    shown("ivy", 1, "alone"),
    shown("jon", 1, "x:"),
    shown("kim", -1, "x:test"),
    shown("kim", 6, "x:test"),
    shown("lou", 5, "x:test"),
    shown("mia", 1, "x:test"),
    shown("mia", 1, "x:control"),
    shown("nia", 1, "x:a:b"),
    shown("ola", 1, None),
    shown(None, 0, "x:test"),
    shown(None, 5, "x:control"),
    shown(None, 6, "x:control"),
    shown(None, -1, "x:control"),
    shown(None, 1, "x:"),
    shown(None, 1, None),
    shown(None, 1, "y:test"),
]
# (user, day, feature, events)
LIVED = [
    ("ann", -14, "a", 1),
    ("bob", -13, "a", 1),
    ("cyd", -14, "a", 1),
    ("dan", 0, "a", 1),
    ("dan", 1, "a", 1),
    ("fay", 5, "a", 1_500),
    ("fay", 5, "b", 501),
    ("gus", 3, "a", 1_500),
    ("gus", 3, "b", 500),
    ("gus", 6, "a", 3_000),
    ("gus", -15, "a", 3_000),
    ("gus", 0, "a", 5),
]


def exposed(
    connection: duckdb.DuckDBPyConnection, experiment: str = "x", arms: list[str] | None = None, *,
    in_property: bool = False,
) -> list[dict[str, Any]]:  # fmt: skip
    make(connection, "events", SHOWN, SEEN)
    make(
        connection,
        "lived",
        "user_id varchar, event_date date, feature varchar, events bigint",
        [(user, day(n), feature, events) for user, n, feature, events in LIVED],
    )
    of_arm = {"arm_path": "$.arm"} if in_property else {"experiment": experiment}
    return asked(
        connection,
        sql.exposures_sql("events", "lived", in_property),
        {**of_arm, "arms": arms, "start": D0, "end": day(5)},
    )


def test_who_saw_which_arm_first_and_who_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    def row(
        user: str, arm: str, n: int, reason: str | None = None, *, arms_seen: int = 1, is_existing: bool = False
    ) -> dict[str, Any]:
        return {
            "user_id": user,
            "arm": arm,
            "exposed_at": noon(n),
            "arms_seen": arms_seen,
            "reason_excluded": reason,
            "platform": "ios",
            "app_version": "v1",
            "country": "de",
            "is_existing": is_existing,
        }

    found = exposed(connection, arms=ARMS)
    assert found == [
        # Seen 14 days before, on the first and on the last of them; 15 days before is not looked at.
        row("ann", "test", 0, is_existing=True),
        row("bob", "control", 1, is_existing=True),
        row("cyd", "control", 1),
        row("dan", "other", 0, "arm not declared"),
        row("eve", "control", 1, "several arms", arms_seen=2),
        row("fay", "control", 1, "automated"),
        row("gus", "control", 1, is_existing=True),
        row("lou", "test", 5),
        row("mia", "control", 1, "several arms", arms_seen=2),
        row("nia", "a:b", 1, "arm not declared"),
    ]
    any_arm = {each["user_id"]: each["reason_excluded"] for each in exposed(connection)}
    assert any_arm == {
        "ann": None, "bob": None, "cyd": None, "dan": None, "eve": "several arms", "fay": "automated", "gus": None,
        "lou": None, "mia": "several arms", "nia": None,
    }  # fmt: skip
    assert [(each["user_id"], each["arm"]) for each in exposed(connection, sql.UNNAMED)] == [("ivy", "alone")]


def test_an_arm_may_stand_in_a_property(connection: duckdb.DuckDBPyConnection) -> None:
    found = {each["user_id"]: each["arm"] for each in exposed(connection, in_property=True)}
    assert found == {
        "ann": "test", "bob": "control", "cyd": "control", "dan": "other", "eve": "control", "fay": "control",
        "gus": "control", "hal": "test", "lou": "test", "mia": "control", "nia": "a:b",
    }  # fmt: skip


def test_arms_that_nobody_saw_and_experiments_that_no_file_names(connection: duckdb.DuckDBPyConnection) -> None:
    make(connection, "events", SHOWN, SEEN)
    span = {"start": D0, "end": day(5)}
    by_variant = connection.execute(sql.without_user_sql("events", False), {**span, "experiment": "x"}).fetchall()
    assert by_variant == [(2,)]
    by_property = connection.execute(sql.without_user_sql("events", True), {**span, "arm_path": "$.arm"}).fetchall()
    assert by_property == [(3,)]
    assert connection.execute(sql.undeclared_sql("events"), span).fetchall() == [
        ("unnamed", day(1), day(1)),
        ("x", day(0), day(5)),
        ("y", day(1), day(1)),
    ]


# (user, time, session, feature, event, status, latency, feedback, properties)
Happened = tuple[str, datetime, str, str, str, str, float | None, float | None, str | None]
HAPPENED: list[Happened] = [
    # Fourteen days before exposure at noon of day 10, and a second earlier, which is not looked at.
    ("ann", noon(-4, -1), "s0", "quiz", "share", "ok", 100, 5, '{"price": 100}'),
    ("ann", noon(-4), "s1", "quiz", "share", "error", 300, 4, '{"price": 2}'),
    ("ann", noon(10, -1), "s1", "search", "begin", "crash", None, None, None),
    # The window of two days.
    ("ann", noon(10), "s2", "quiz", "share", "ok", 100, 2, '{"price": 3}'),
    ("ann", noon(11, 1), "s2", "quiz", "end", "ok", 250, None, '{"price": "4.5"}'),
    ("ann", noon(11, 2), "s3", "quiz", "begin", "error", 900, 3, '{"price": "x"}'),
    ("ann", noon(12, -1), "s3", "search", "share", "crash", None, None, None),
    ("ann", noon(11, 3), "s4", "search", "end", "ok", 401, None, None),
    ("ann", noon(11, 4), "s2", "quiz", "look", "ok", 400, None, None),
    ("ann", noon(11, 5), "s2", "quiz", "look", "ok", 401, None, None),
    ("ann", noon(11, 6), "s4", "search", "look", "ok", None, None, None),
    # And after it.
    ("ann", noon(12), "s5", "quiz", "share", "ok", 100, 1, '{"price": 50}'),
    ("bob", noon(13, 3_600), "s6", "quiz", "end", "ok", 10, None, None),
    ("cyd", noon(14), "s7", "quiz", "end", "ok", 10, None, None),
    ("dan", noon(10, 60), "s8", "search", "end", "ok", 201, None, None),
    ("dan", noon(10, 120), "s8", "search", "end", "ok", 800, None, None),
    ("zoe", noon(10, 60), "s9", "quiz", "end", "crash", 10, 5, None),
]
PEOPLE = {"ann": "test", "bob": "test", "cyd": "control", "dan": "control", "eve": "control"}
COMPLETIONS = (("quiz", "end"), ("search", "begin"), ("quiz", "finish"))


def happened(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the tables: all were exposed at noon of day 10, and search has no thresholds of its own."""
    make(
        connection,
        "events",
        "event_date date, user_id varchar, event_time timestamp, session_id varchar, feature varchar,"
        " event_name varchar, status varchar, latency_ms double, feedback_score double, properties varchar",
        [(row[1].date(), *row) for row in HAPPENED],
    )
    make(
        connection,
        "people",
        "user_id varchar, arm varchar, exposed_at timestamp",
        [(user, arm, noon(10)) for user, arm in PEOPLE.items()],
    )
    make(
        connection,
        "described",
        "feature varchar, apdex_threshold_ms double, slo_latency_p95_ms double",
        [("quiz", 100, 250), ("search", None, None)],
    )


def did(connection: duckdb.DuckDBPyConnection, *names: str) -> dict[str, dict[str, Any]]:
    """What each person did, by metrics."""
    happened(connection)
    metrics = [user_metric(parse_metric_name(name), n, 2, COMPLETIONS) for n, name in enumerate(names)]
    parameters = {"window_days": 2, "start": day(10), "through": day(13), "apdex_threshold_ms": 200.0}
    for metric in metrics:
        parameters |= metric.parameters
    found = asked(connection, sql.user_values_sql("people", "events", "described", metrics), parameters)
    return {row["user_id"]: row for row in found}


# Of ann: value and the same before, of a ratio the numerators, then the denominators.
DID = {
    "events": (8, 2),
    "errors": (1, 1),
    "crashes": (1, 1),
    "feedback_count": (2, 1),
    "sessions": (3, 1),
    "crash_free_users": (0, 0),
    "error_rate": (1, 1, 8, 2),
    "crash_rate": (1, 1, 8, 2),
    "crash_free_sessions": (2, 0, 3, 1),
    "latency_mean_ms": (2_452, 300, 6, 1),
    "feedback_mean": (5, 4, 2, 1),
    # One of the quiz is fast, two are slower, but not by four times; one of the search is held against 200.
    "apdex": (2.5, 0, 7, 2),
    "slow_share": (3, 1, 5, 1),
    "return_3d": (1, 2),
    "uses:quiz": (1, 1),
    "count:share": (2, 1),
    "completed:quiz": (1, 0),
    "sum:properties.price": (7.5, 2),
}
# Of people who did nothing at all.
NOTHING = {name: (0,) * len(values) for name, values in DID.items()} | {"crash_free_users": (1, 1)}
DAN = NOTHING | {
    "events": (2, 0),
    "sessions": (1, 0),
    "error_rate": (0, 0, 2, 0),
    "crash_rate": (0, 0, 2, 0),
    "crash_free_sessions": (1, 0, 1, 0),
    "latency_mean_ms": (1_001, 0, 2, 0),
    # Four times the threshold is still tolerated.
    "apdex": (1, 0, 2, 0),
}


@pytest.mark.parametrize("name", DID)
def test_what_each_person_did_by_each_metric(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    # In second place, so that its number counts.
    found = did(connection, "latency_p95_ms", name)
    columns = ("value_1", "before_1", "below_1", "below_before_1")[: len(DID[name])]

    def row(user: str, values: tuple[float, ...]) -> dict[str, Any]:
        told = dict(zip(columns, values, strict=True))
        return {"user_id": user, "arm": PEOPLE[user], "exposed_on": day(10), **told}

    # bob came back on the third day after, cyd on the fourth, dan on the same day only.
    bob = NOTHING | {"return_3d": (1, 0)}
    assert found == {
        "ann": row("ann", DID[name]),
        "bob": row("bob", bob[name]),
        "cyd": row("cyd", NOTHING[name]),
        "dan": row("dan", DAN[name]),
        "eve": row("eve", NOTHING[name]),
    }


def test_a_metric_says_when_it_is_whole_and_of_which_events_it_is_made() -> None:
    def of(name: str, window: int = 5) -> UserMetric:
        return user_metric(parse_metric_name(name), 3, window, COMPLETIONS)

    assert (of("return_7d").horizon_days, of("return_3d").horizon_days, of("errors").horizon_days) == (7, 5, 5)
    assert (of("error_rate").is_ratio, of("errors").is_ratio, of("return_7d").is_ratio) == (True, False, False)
    assert of("return_7d").denominator == ""
    for name in ("latency_p95_ms", "converted:buy"):
        assert of(name) == UserMetric(parse_metric_name(name), 5)
    used = of("uses:quiz")
    assert (used.parameters, used.events) == ({"argument_3": "quiz"}, (EventsOfMetric(feature="quiz"),))
    counted = of("count:share")
    assert (counted.parameters, counted.events) == ({"argument_3": "share"}, (EventsOfMetric(event_name="share"),))
    done = of("completed:quiz")
    assert done.parameters == {"argument_3": "quiz", "argument_3_events": ["end", "finish"]}
    assert done.events == (EventsOfMetric("quiz", "end"), EventsOfMetric("quiz", "finish"))
    summed = of('sum:properties.a "b"')
    assert (summed.parameters, summed.events) == ({"argument_3": '$."a \\"b\\""'}, (EventsOfMetric(),))


@pytest.mark.parametrize(
    ("events", "text"),
    [
        (EventsOfMetric(), "all events"),
        (EventsOfMetric("Quiz"), "Quiz"),
        (EventsOfMetric(event_name="end"), "end"),
        (EventsOfMetric("Quiz", "end"), "end of Quiz"),
    ],
)
def test_events_of_a_metric_in_words(events: EventsOfMetric, text: str) -> None:
    assert events.text == text


def test_a_quantile_is_of_the_events_of_an_arms_people_in_their_windows(connection: duckdb.DuckDBPyConnection) -> None:
    happened(connection)
    query = sql.quantiles_sql("people", "events", 0.5)
    # ann's six in the window: 100, 250, 400, 401, 401, 900; dan's two.
    parameters = {"window_days": 2, "start": day(10), "through": day(12)}
    assert dict(connection.execute(query, parameters).fetchall()) == {"test": 400.5, "control": 500.5}
    # From the eleventh to the eleventh: 250, 400, 401, 401, 900.
    narrow = {"window_days": 2, "start": day(11), "through": day(11)}
    assert dict(connection.execute(query, narrow).fetchall()) == {"test": 401.0}
    high = sql.quantiles_sql("people", "events", 1.0)
    assert dict(connection.execute(high, {**parameters, "window_days": 1}).fetchall()) == {
        "test": 100.0,
        "control": 800.0,
    }


def test_events_that_arrived_are_those_of_exposed_people_of_the_kind_asked(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    happened(connection)

    def arrived(asked_for: EventsOfMetric, first: int = -4, last: int = 14) -> dict[str, int]:
        query, parameters = sql.arrived_sql("people", "events", asked_for)
        span = {"start": day(first), "through": day(last)}
        return dict(connection.execute(query, {**parameters, **span}).fetchall())

    assert arrived(EventsOfMetric()) == {"test": 13, "control": 3}
    assert arrived(EventsOfMetric(), 10, 13) == {"test": 11, "control": 2}
    assert arrived(EventsOfMetric("quiz")) == {"test": 9, "control": 1}
    assert arrived(EventsOfMetric("quiz", "share"), 10, 12) == {"test": 2}
    assert sql.arrived_sql("people", "events", EventsOfMetric("q", "e"))[1] == {
        "asked_feature": "q",
        "asked_event": "e",
    }


def test_refused_rows_are_lost_by_arm_on_the_days_asked(connection: duckdb.DuckDBPyConnection) -> None:
    make(connection, "people", "user_id varchar, arm varchar", [("a", "test"), ("b", "control")])
    broken, twice = ["invalid_status"], ["duplicate_event_id"]
    make(
        connection,
        "refused",
        "event_date date, reasons varchar[], feature varchar, event_name varchar, user_id varchar, variant varchar,"
        " properties varchar",
        [
            (day(0), broken, "quiz", "end", "a", "x:control", None),
            (day(5), broken, "quiz", "end", "b", None, None),
            (day(2), [*twice, *broken], "quiz", "end", "b", None, None),
            (day(2), twice, "quiz", "end", "b", None, None),
            (day(2), broken, "search", "end", "a", "x:test", None),
            (day(2), broken, "quiz", "end", "z", "x:control", '{"arm": "test"}'),
            (day(2), broken, "quiz", "end", None, "x:stray", None),
            (day(2), broken, "quiz", "end", None, "y:test", None),
            (day(-1), broken, "quiz", "end", "a", None, None),
            (day(6), broken, "quiz", "end", "a", None, None),
        ],
    )

    def lost(asked_for: EventsOfMetric, *, in_property: bool = False) -> dict[str | None, int]:
        given = {"asked_feature": asked_for.feature} if asked_for.feature else {}
        of_arm = {"arm_path": "$.arm"} if in_property else {"experiment": "x"}
        query = sql.lost_sql("people", "refused", in_property, asked_for)
        parameters = {**given, **of_arm, "arms": ARMS, "start": D0, "through": day(5)}
        return dict(connection.execute(query, parameters).fetchall())

    assert lost(EventsOfMetric()) == {"test": 2, "control": 3, None: 2}
    assert lost(EventsOfMetric("quiz")) == {"test": 1, "control": 3, None: 2}
    assert lost(EventsOfMetric("quiz"), in_property=True) == {"test": 2, "control": 2, None: 2}


def test_steps_of_a_funnel_are_bound_under_their_numbers() -> None:
    steps: list[dict[str, Any]] = [
        {"event_name": "begin"},
        {"feature": "quiz", "event_name": None, "where": {'a "b"': 5, "by": "me"}},
        {"feature": "quiz", "event_name": "end", "where": None},
    ]
    assert sql.step_parameters(steps) == {
        "step_0_event_name": "begin",
        "step_1_feature": "quiz",
        "step_1_path_0": '$."a \\"b\\""',
        "step_1_value_0": "5",
        "step_1_path_1": '$."by"',
        "step_1_value_1": "me",
        "step_2_feature": "quiz",
        "step_2_event_name": "end",
    }


def test_a_conversion_takes_its_steps_within_both_windows(connection: duckdb.DuckDBPyConnection) -> None:
    times = {
        # The first step as the window begins, the last a second before the funnel's hour is over.
        "in": (noon(0), noon(0), noon(0, 3_599)),
        "late": (noon(0), noon(0), noon(0, 3_600)),
        "early": (noon(0, -1), noon(0, 1), noon(0, 2)),
        "back": (noon(0, 10), noon(0, 9), noon(0, 20)),
        # The experiment's window of a day ends before the funnel's.
        "last": (noon(1, -60), noon(1, -59), noon(1, -1)),
        "over": (noon(1, -60), noon(1, -59), noon(1)),
        "outside": (noon(1), noon(1), noon(1)),
    }
    make(
        connection,
        "events",
        "event_date date, user_id varchar, event_time timestamp, feature varchar, event_name varchar,"
        " properties varchar",
        [
            (time.date(), user, time, "quiz", name, '{"kind": "card"}' if name == "end" else None)
            for user, each in times.items()
            for name, time in zip(("begin", "go", "end"), each, strict=True)
        ],
    )
    make(connection, "people", "user_id varchar, exposed_at timestamp", [(u, noon(0)) for u in (*times, "none")])
    steps: list[dict[str, Any]] = [
        {"event_name": "begin"},
        {"event_name": "go", "feature": "quiz"},
        {"event_name": "end", "where": {"kind": "card"}},
    ]

    def converted(first: int, last: int, given: list[dict[str, Any]]) -> list[str]:
        parameters = {"window_days": 1, "funnel_seconds": 3_600, "start": day(first), "through": day(last)}
        query = sql.conversions_sql("people", "events", given)
        rows = connection.execute(query, {**parameters, **sql.step_parameters(given)}).fetchall()
        assert [user for user, _ in rows] == sorted([*times, "none"])
        return [user for user, is_converted in rows if is_converted]

    assert converted(0, 1, steps) == ["in", "last"]
    assert converted(0, 0, steps) == ["in"]
    assert converted(1, 1, steps) == ["last"]
    other = [*steps[:2], {"event_name": "end", "where": {"kind": "cash"}}]
    assert converted(0, 1, other) == []
    # A step that names nothing is no event at all.
    assert converted(0, 1, [steps[0], {}]) == []
