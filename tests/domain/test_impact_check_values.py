"""What the checks of the impact tables answer, on a few rows whose answer is plain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from check_tables import Answered, Row, answers_of, tables_of, undone, write
from check_tables import built as have_built

from quality_assets.contracts.events import USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.impact import (
    ADOPTION_CURVE,
    DEFINITIONS,
    ENGAGEMENT_DAYS,
    EVENT_DAYS,
    FEATURE_ADOPTION,
    FUNNEL_DAYS,
    FUNNEL_ENTRIES,
    FUNNEL_STEP_DAYS,
    RETENTION,
    RETENTION_CELLS,
    SEGMENT_DAYS,
    SEGMENT_MEMBERS,
)
from quality_assets.contracts.table import Table
from quality_assets.contracts.users import DIM_USERS, FEATURE_SESSION_DAYS, FIRST_USES, USER_DAYS, USER_SESSIONS
from quality_assets.domain.quality.impact_checks import IMPACT_CHECKS

LAST = date(2026, 3, 10)
D0, D1, D2, OUT = LAST, LAST - timedelta(days=1), LAST - timedelta(days=2), LAST - timedelta(days=9)
BY_NAME = {f"{check.subject.name}.{check.name}": check for check in IMPACT_CHECKS}
READ = (VALID_EVENTS, USER_FEATURE_DAYS, FUNNEL_ENTRIES, SEGMENT_MEMBERS)


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    with tables_of(IMPACT_CHECKS, READ) as connection:
        yield connection


@pytest.fixture
def warehouse(tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with undone(tables) as connection:
        yield connection


def built(connection: duckdb.DuckDBPyConnection, table: Table, *days: date) -> None:
    """Say that a table has partitions of some days, and of one that is asked for nothing."""
    have_built(connection, table, (*days, OUT))


def answers(connection: duckdb.DuckDBPyConnection, name: str) -> list[Answered]:
    return answers_of(connection, BY_NAME[name], D2, D0)


def _days(*rows: tuple[date, dict[str, Any]], column: str = "event_date") -> list[Row]:
    return [{column: day} | row for day, row in rows]


USERS = [{"user_id": "u"}, {"user_id": None}]
# Of each check that adds up: what it reads, by table, and what it answers for each day: observed and threshold.
BALANCES: dict[str, tuple[list[tuple[Table, list[Row]]], dict[date, tuple[int, int]]]] = {
    "impact.event_days.events_accounted": (
        [
            (EVENT_DAYS, _days((D0, {"events": 2}), (D0, {"events": 1}), (D1, {"events": 5}), (OUT, {"events": 9}))),
            (VALID_EVENTS, _days(*[(D0, USERS[0])] * 2, (D0, USERS[1]), *[(D1, USERS[0])] * 4, (D2, USERS[0]))),
        ],
        {D0: (3, 3), D1: (5, 4), D2: (0, 1)},
    ),
    "core.user_sessions.events_accounted": (
        [
            (USER_SESSIONS, _days((D0, {"events": 2}), (D0, {"events": 1}), (D1, {"events": 5}))),
            (VALID_EVENTS, _days(*[(D0, USERS[0])] * 3, (D0, USERS[1]), *[(D1, USERS[0])] * 4, (OUT, USERS[0]))),
        ],
        {D0: (3, 3), D1: (5, 4)},
    ),
    "core.user_days.events_accounted": (
        [
            (USER_DAYS, _days((D0, {"events": 2}), (D0, {"events": 1}), (D2, {"events": 5}))),
            (VALID_EVENTS, _days(*[(D0, USERS[0])] * 3, (D0, USERS[1]), (D1, USERS[0]))),
        ],
        {D0: (3, 3), D1: (0, 1), D2: (5, 0)},
    ),
    "core.user_days.sessions_accounted": (
        [
            (USER_DAYS, _days((D0, {"sessions": 2}), (D0, {"sessions": 1}), (D1, {"sessions": 2}))),
            (
                USER_SESSIONS,
                _days(*[(D0, {"is_continued": False})] * 3, *[(D0, {"is_continued": True})] * 2)
                + _days((D1, {"is_continued": False}), (D1, {"is_continued": True})),
            ),
        ],
        {D0: (3, 3), D1: (2, 1)},
    ),
    "core.feature_session_days.features_there": (
        [
            (FEATURE_SESSION_DAYS, _days((D0, {"feature": "a"}), (D0, {"feature": "b"}), (D1, {"feature": "a"}))),
            (
                USER_FEATURE_DAYS,
                _days(*[(D0, {"feature": "a"})] * 2, (D0, {"feature": "b"}), (D1, {"feature": "a"}))
                + _days((D1, {"feature": "b"})),
            ),
        ],
        {D0: (2, 2), D1: (1, 2)},
    ),
    "impact.feature_adoption.agrees_with_cohorts": (
        [
            (FEATURE_ADOPTION, _days((D0, {"new_adopters": 2}), (D0, {"new_adopters": 1}), (D1, {"new_adopters": 3}))),
            (
                RETENTION_CELLS,
                [
                    {"event_date": D0, "cohort_date": D0, "feature": "a", "users": 2},
                    {"event_date": D0, "cohort_date": D0, "feature": "b", "users": 1},
                    {"event_date": D0, "cohort_date": D1, "feature": "a", "users": 7},
                    {"event_date": D0, "cohort_date": D0, "feature": "*", "users": 3},
                    {"event_date": D1, "cohort_date": D1, "feature": "*", "users": 3},
                    {"event_date": D1, "cohort_date": D1, "feature": "a", "users": 2},
                    {"event_date": D2, "cohort_date": D2, "feature": "a", "users": None},
                ],
            ),
        ],
        {D0: (3, 3), D1: (3, 2), D2: (0, 0)},
    ),
    "impact.funnel_days.entries_accounted": (
        [
            (
                FUNNEL_DAYS,
                [
                    {"entry_date": D0, "step": 1, "segment": None, "reached": 2},
                    {"entry_date": D0, "step": 1, "segment": None, "reached": 1},
                    {"entry_date": D0, "step": 2, "segment": None, "reached": 1},
                    {"entry_date": D0, "step": 1, "segment": "platform", "reached": 2},
                    {"entry_date": D1, "step": 1, "segment": None, "reached": 2},
                ],
            ),
            (FUNNEL_ENTRIES, [{"entry_date": D0}] * 3 + [{"entry_date": D1}] + [{"entry_date": OUT}]),
        ],
        {D0: (3, 3), D1: (2, 1)},
    ),
    "impact.engagement_days.sessions_accounted": (
        [
            (ENGAGEMENT_DAYS, _days((D0, {"sessions": 2}), (D0, {"sessions": 1}), (D1, {"sessions": 2}))),
            (FEATURE_SESSION_DAYS, _days((D0, {"sessions": 3}), (D1, {"sessions": 1}), (D1, {"sessions": 2}))),
        ],
        {D0: (3, 3), D1: (2, 3)},
    ),
}


@pytest.mark.parametrize("name", BALANCES)
def test_what_must_add_up_day_by_day(warehouse: duckdb.DuckDBPyConnection, name: str) -> None:
    given, wanted = BALANCES[name]
    assert answers(warehouse, name) == []
    for table, rows in given:
        write(warehouse, table, rows)
    assert answers(warehouse, name) == [
        (day.isoformat(), observed == threshold, observed, threshold, abs(observed - threshold), [])
        for day, (observed, threshold) in sorted(wanted.items())
    ]


def test_as_many_are_told_as_are_members_at_the_end_of_the_day(warehouse: duckdb.DuckDBPyConnection) -> None:
    built(warehouse, SEGMENT_DAYS, D0, D1, D2)
    write(warehouse, SEGMENT_DAYS, _days((D0, {"members": 2}), (D0, {"members": 1}), (D1, {"members": 2})))
    members = [("a", OUT, None), ("b", D0, None), ("c", D1, D0), ("d", D2, D1), ("e", D1, None)]
    names = ("user_id", "entered_on", "left_on")
    write(warehouse, SEGMENT_MEMBERS, [dict(zip(names, row, strict=True)) for row in members])
    # On D0 a, b and e; on D1 a, c and e; on D2 a and d.
    assert answers(warehouse, "impact.segment_days.members_accounted") == [
        (D2.isoformat(), False, 0, 2, 2, []),
        (D1.isoformat(), False, 2, 3, 1, []),
        (D0.isoformat(), True, 3, 3, 0, []),
    ]


def _offenders(
    connection: duckdb.DuckDBPyConnection, name: str, table: Table, rows: Sequence[Row]
) -> dict[date, list[str]]:
    """By day that is built, the offenders that a check names; its counts are those of them."""
    built(connection, table, D0, D1, D2)
    write(connection, table, rows)
    found = answers(connection, name)
    assert [row[0] for row in found] == [day.isoformat() for day in (D2, D1, D0)]
    for _, is_passed, observed, threshold, unexpected, examples in found:
        assert (is_passed, observed, threshold) == (not examples, unexpected, 0)
        assert unexpected == len(examples)
    return {date.fromisoformat(row[0]): row[5] for row in found if row[5]}


def test_who_makes_too_many_events_is_named(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [("bot", D0, True, 9000), ("ann", D0, False, 5), ("bob", D1, False, 6), ("old", OUT, True, 9000)]
    names = ("user_id", "event_date", "is_automated", "events")
    found = _offenders(
        warehouse, "core.user_days.users_are_people", USER_DAYS, [dict(zip(names, row, strict=True)) for row in rows]
    )
    assert found == {D0: ["bot: 9000 events"]}


def test_nobody_uses_a_feature_before_the_product(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [("a", "u", D0, D0), ("b", "u", D1, D0), ("c", "v", D0, D1), ("d", "w", OUT, D0)]
    names = ("feature", "user_id", "first_use_date", "joined_date")
    found = _offenders(
        warehouse,
        "core.first_uses.product_comes_first",
        FIRST_USES,
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    assert found == {D1: ["b of u"]}


def test_no_more_of_a_cohort_return_than_it_has(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [
        (OUT, OUT, "a", 3), (D0, OUT, "a", 3), (D1, OUT, "a", 4), (D2, D2, "a", 5), (D0, D2, "a", 5),
        (D2, D2, "b", 1), (D0, D2, "b", 2), (D0, D1, "b", 1),
    ]  # fmt: skip
    names = ("event_date", "cohort_date", "feature", "users")
    found = _offenders(
        warehouse,
        "impact.retention_cells.cohorts_never_grow",
        RETENTION_CELLS,
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    # Of b's second cohort nobody was there on its first day.
    assert found == {D1: [f"a of {OUT}"], D0: [f"b of {D2}", f"b of {D1}"]}


@pytest.mark.parametrize(
    ("change", "is_passed"),
    [
        ({}, True),
        ({"users": 3}, False),
        ({"wau": 5, "all_wau": 6}, False),
        ({"mau": 7}, False),
        ({"all_wau": 1, "all_users": 2}, False),
        ({"all_users": 1}, False),
        ({"wau": 2, "mau": 2}, True),
        ({"all_mau": 2, "mau": 2, "all_wau": 2}, True),
        ({"wau": 4, "mau": 5, "all_wau": 3}, False),
    ],
)
def test_a_longer_period_has_no_fewer_users(
    warehouse: duckdb.DuckDBPyConnection, change: dict[str, int], is_passed: bool
) -> None:
    plain = {"users": 2, "wau": 2, "mau": 4, "all_users": 2, "all_wau": 4, "all_mau": 6}
    rows = _days((D0, plain | {"feature": "a"} | change), (D1, plain | {"feature": "b"}))
    found = _offenders(warehouse, "impact.feature_adoption.longer_has_more", FEATURE_ADOPTION, rows)
    assert found == ({} if is_passed else {D0: ["a"]})


def test_whoever_returns_on_a_day_returns_within_its_period(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [
        (D0, "a", 1, "exact", 3), (D0, "a", 1, "within_30", 3), (D0, "a", 1, "on_or_after", 4),
        (D0, "a", 7, "exact", 3), (D0, "a", 7, "within_30", 2), (D0, "a", 7, "on_or_after", 3),
        (D1, "a", 1, "exact", 2), (D1, "b", 1, "within_30", 1), (D1, "a", 7, "within_30", 1),
        (D1, "b", 7, "exact", 5), (D1, "b", 7, "on_or_after", 4), (D2, "a", 1, "within_30", 0),
        (OUT, "c", 7, "exact", 5), (OUT, "c", 7, "on_or_after", 4),
    ]  # fmt: skip
    names = ("cohort_date", "feature", "day_n", "kind", "returned")
    found = _offenders(
        warehouse, "impact.retention.kinds_agree", RETENTION, [dict(zip(names, row, strict=True)) for row in rows]
    )
    assert found == {D0: ["a day 7"], D1: ["b day 7"]}


def test_steps_of_which_more_than_half_are_nobodys(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [("f", 1, D0, 10, 5), ("f", 2, D0, 10, 6), ("g", 1, D1, 3, 1), ("g", 2, D1, 3, 2), ("h", 1, OUT, 1, 1)]
    names = ("funnel", "step", "event_date", "events", "events_without_unit")
    found = _offenders(
        warehouse,
        "impact.funnel_step_days.units_known",
        FUNNEL_STEP_DAYS,
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    assert found == {D0: ["f step 2"], D1: ["g step 2"]}


def test_no_more_reach_a_step_than_the_one_before(warehouse: duckdb.DuckDBPyConnection) -> None:
    rows = [
        (D0, "f", None, None, 1, 5), (D0, "f", None, None, 2, 5), (D0, "f", None, None, 3, 4),
        (D0, "f", "platform", "ios", 2, 3), (D0, "f", "platform", "ios", 1, 2), (D0, "f", "platform", "web", 1, 1),
        (D0, "f", "country", "ios", 1, 1), (D1, "f", None, None, 1, 9), (D1, "g", None, None, 2, 10),
        (D1, "g", None, None, 1, 9), (OUT, "f", None, None, 1, 1), (OUT, "f", None, None, 2, 2),
    ]  # fmt: skip
    names = ("entry_date", "funnel", "segment", "value", "step", "reached")
    found = _offenders(
        warehouse,
        "impact.funnel_days.steps_never_grow",
        FUNNEL_DAYS,
        [dict(zip(names, row, strict=True)) for row in rows],
    )
    assert found == {D0: ["f step 2"], D1: ["g step 2"]}


# --- Asked of the whole -----------------------------------------------------------------------------------------------


def test_curves_of_adoption_only_rise(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "impact.adoption_curve.curves_only_rise"
    names = ("feature", "cohort_month", "day_n", "share")
    rows = [("a", D0, 1, 0.2), ("a", D0, 0, 0.1), ("a", D0, 2, 0.2 - 5e-10), ("a", D1, 3, 0.0), ("b", D0, 0, 0.05)]
    write(warehouse, ADOPTION_CURVE, [dict(zip(names, row, strict=True)) for row in rows])
    assert answers(warehouse, name) == [("", True, 0, 0, 0, [])]
    write(warehouse, ADOPTION_CURVE, [dict(zip(names, ("b", D0, 1, 0.049), strict=True))])
    assert answers(warehouse, name) == [("", False, 1, 0, 1, ["b"])]


def test_definitions_that_cannot_be_used_are_named_and_those_that_wait_are_not(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    name = "impact.definitions.definitions_usable"
    write(warehouse, DEFINITIONS, [{"name": "a", "error": None}, {"name": "b", "error": "waits: no such event yet"}])
    assert answers(warehouse, name) == [("", True, 0, 0, 0, [])]
    write(warehouse, DEFINITIONS, [{"name": "c", "error": "step 2: it waits: "}, {"name": "d", "error": "no steps"}])
    assert answers(warehouse, name) == [("", False, 2, 0, 2, ["no steps", "step 2: it waits: "])]


def test_the_view_of_users_has_its_columns(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "core.dim_users.view_stands"
    assert answers(warehouse, name) == [("", True, 0, 0, 0, [])]
    # User days have both as well.
    warehouse.execute(f"alter table {DIM_USERS.qualified_name} drop column country")
    warehouse.execute(f"alter table {DIM_USERS.qualified_name} drop column version")
    assert answers(warehouse, name) == [("", False, 2, 0, 2, ["country", "version"])]


def test_what_each_asks_and_how_it_weighs() -> None:
    assert {name: check.severity for name, check in BY_NAME.items() if check.severity != "ERROR"} == dict.fromkeys(
        (
            "core.user_days.users_are_people",
            "impact.funnel_step_days.units_known",
            "impact.definitions.definitions_usable",
        ),
        "WARN",
    )
    assert not any(check.is_blocking for check in IMPACT_CHECKS)
    (people,) = (check for check in IMPACT_CHECKS if check.name == "users_are_people")
    assert people.question == "Does every user make at most 2,000 events a day?"
