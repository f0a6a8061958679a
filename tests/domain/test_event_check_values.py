"""What the checks of events and facts answer, on a few rows whose answer is plain."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest
from check_tables import Answered, answers_of, tables_of, undone
from check_tables import built as have_built
from check_tables import write as put

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.ops import LAKE_FILES
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.table import Table
from quality_assets.domain.events.watched import MOST_WATCHED, WATCHED
from quality_assets.domain.quality.event_checks import EVENT_CHECKS

D0 = date(2026, 3, 10)
D1, D2, D3, OUT = (D0 - timedelta(days=days) for days in (1, 2, 3, 9))
BY_NAME = {f"{check.subject.name}.{check.name}": check for check in EVENT_CHECKS}


@pytest.fixture(scope="module")
def tables() -> Iterator[duckdb.DuckDBPyConnection]:
    with tables_of(EVENT_CHECKS, [LAKE_FILES]) as connection:
        yield connection


@pytest.fixture
def warehouse(tables: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    with undone(tables) as connection:
        yield connection


def write(connection: duckdb.DuckDBPyConnection, table: Table, names: str, *rows: Sequence[Any]) -> None:
    """Rows of some columns of a table."""
    put(connection, table, (dict(zip(names.split(", "), row, strict=True)) for row in rows))


def built(connection: duckdb.DuckDBPyConnection, table: Table, *days: date) -> None:
    """Say that a table has partitions of some days, and of one that is asked for nothing."""
    have_built(connection, table, (*days, OUT))


def answers(connection: duckdb.DuckDBPyConnection, name: str, start: date = D3) -> list[Answered]:
    return answers_of(connection, BY_NAME[name], start, D0)


def test_loads_that_differ_between_ledger_and_lake(warehouse: duckdb.DuckDBPyConnection) -> None:
    name = "raw.raw_logs.rows_accounted"
    assert answers(warehouse, name) == [("", True, 0, 0, 0, [])]
    ledger = [("1", 2, "loaded"), ("1", 3, "loaded"), ("1", 9, "rejected"), ("2", 4, "loaded"), ("3", 7, "rejected")]
    write(warehouse, LOG_FILES, "load_id, rows, status", *ledger)
    lake = [("raw.raw_logs", "a/1-csv.parquet", 2), ("raw.raw_logs", "b/1-csv.parquet", 3)]
    write(warehouse, LAKE_FILES, "table_name, path, row_count", *lake, ("core.valid_events", "a/2-csv.parquet", 1))
    write(warehouse, LAKE_FILES, "table_name, path, row_count", ("raw.raw_logs", "a/2-jsonl.parquet", 4))
    assert answers(warehouse, name) == [("", True, 9, 9, 0, [])]
    write(warehouse, LAKE_FILES, "table_name, path, row_count", ("raw.raw_logs", "c/2-csv.parquet", 1))
    write(warehouse, LAKE_FILES, "table_name, path, row_count", ("raw.raw_logs", "c/4-csv.parquet", 2))
    write(warehouse, LOG_FILES, "load_id, rows, status", ("5", 6, "loaded"))
    assert answers(warehouse, name) == [("", False, 12, 15, 9, ["2", "4", "5"])]


def test_every_row_is_valid_or_quarantined_file_by_file(warehouse: duckdb.DuckDBPyConnection) -> None:
    places = "event_date, file_id"
    write(warehouse, RAW_LOGS, places, *[(D0, "f1")] * 2, (D0, "f2"), *[(D1, "f1")] * 2, (D3, "f1"), (OUT, "f1"))
    write(warehouse, VALID_EVENTS, places, (D0, "f1"), (D0, "f2"), (D1, "f1"), (D1, "f2"), (D3, "f1"))
    write(warehouse, QUARANTINED_EVENTS, places, (D0, "f1"))
    lake = [("raw.raw_logs", D0, 2), ("raw.raw_logs", D0, 1), ("core.valid_events", D0, 9), ("raw.raw_logs", D1, 2)]
    lake += [("raw.raw_logs", D2, 4), ("raw.raw_logs", D3, 3), ("raw.raw_logs", OUT, 3)]
    write(warehouse, LAKE_FILES, "table_name, event_date, row_count", *lake)
    assert answers(warehouse, "core.valid_events.rows_accounted") == [
        (str(D3), False, 1, 3, 2, []),
        (str(D2), False, 0, 4, 4, []),
        (str(D1), False, 2, 2, 2, ["f1", "f2"]),
        (str(D0), True, 3, 3, 0, []),
    ]


def test_an_id_is_one_event_of_its_source(warehouse: duckdb.DuckDBPyConnection) -> None:
    built(warehouse, VALID_EVENTS, D0, D1)
    write(warehouse, LOG_FILES, "file_id, source", ("f1", "s"), ("f2", "s"), ("f3", "t"))
    events = [
        (D0, "e1", "f1"), (D0, "e1", "f2"), (D0, "e2", "f1"), (D0, "e2", "f3"), (D0, "e3", "f1"), (D0, "e3", "f1"),
        (D1, "e1", "f1"), (D0, "e4", "gone"), (D0, "e4", "gone"), (D0, "e5", "f1"), (D0, "e5", "f1"),
        (OUT, "e6", "f1"), (OUT, "e6", "f1"),
    ]  # fmt: skip
    write(warehouse, VALID_EVENTS, "event_date, event_id, file_id", *events)
    # Of e5 it was not found that it comes again.
    warehouse.execute(
        "create table repeated_hashes as select distinct hash(event_date, event_id) as id_hash from core.valid_events"
        " where event_id <> 'e5'"
    )
    assert answers(warehouse, "core.valid_events.event_ids_unique") == [
        (str(D1), True, 0, 0, 0, []),
        (str(D0), False, 3, 0, 3, ["e1", "e3", "e4"]),
    ]


def test_refused_rows_say_why_in_known_words(warehouse: duckdb.DuckDBPyConnection) -> None:
    built(warehouse, QUARANTINED_EVENTS, D0, D1)
    reasons = [None, [], ["odd"], ["missing_feature"], ["missing_feature", "odd"], ["nul_byte", "missing_status"]]
    rows = [(D0, "f", n, each) for n, each in enumerate(reasons)]
    write(warehouse, QUARANTINED_EVENTS, "event_date, file_id, line_number, reasons", *rows, (OUT, "f", 9, None))
    assert answers(warehouse, "core.quarantined_events.reasons_known") == [
        (str(D1), True, 0, 0, 0, []),
        (str(D0), False, 4, 0, 4, ["f:0", "f:1", "f:2", "f:4"]),
    ]


def test_what_is_made_of_events_adds_up_to_them(warehouse: duckdb.DuckDBPyConnection) -> None:
    events = [(D0, "u"), (D0, "v"), (D0, None), (D1, "u"), (D1, None), (OUT, "u")]
    write(warehouse, VALID_EVENTS, "event_date, user_id", *events)
    write(warehouse, USER_FEATURE_DAYS, "event_date, events", (D0, 1), (D0, 1), (D1, 4), (D2, 1))
    facts = [(D0, 2, 1), (D0, 1, 1), (D1, 2, 3), (D3, 2, None)]
    write(warehouse, FACT_FEATURE_METRICS, "event_date, events, users", *facts)
    trends = [(D0, "events", 3.0), (D0, "users", 9.0), (D1, "events", 1.0), (D1, "events", 2.0), (OUT, "events", 1.0)]
    write(warehouse, FEATURE_DAILY_TRENDS, "event_date, metric, value", *trends)
    assert answers(warehouse, "core.user_feature_days.events_reconcile") == [
        (str(D2), False, 1, 0, 1, []), (str(D1), False, 4, 1, 3, []), (str(D0), True, 2, 2, 0, []),
    ]  # fmt: skip
    assert answers(warehouse, "product.fact_feature_metrics.events_reconcile") == [
        (str(D3), False, 2, 0, 2, []), (str(D1), True, 2, 2, 0, []), (str(D0), True, 3, 3, 0, []),
    ]  # fmt: skip
    assert answers(warehouse, "product.fact_feature_metrics.users_reconcile") == [
        (str(D3), True, 0, 0, 0, []), (str(D2), False, 0, 1, 1, []), (str(D1), False, 3, 1, 2, []),
        (str(D0), True, 2, 2, 0, []),
    ]  # fmt: skip
    assert answers(warehouse, "product.feature_daily_trends.values_reconcile") == [
        (str(D3), False, 0, 2, 2, []), (str(D1), False, 3, 2, 1, []), (str(D0), True, 3, 3, 0, []),
    ]  # fmt: skip


def test_features_that_fell_silent_and_those_that_nobody_described(warehouse: duckdb.DuckDBPyConnection) -> None:
    built(warehouse, FEATURE_DAILY_TRENDS, D0, D1)
    rows = [
        (D0, "a", "events", 0, True, 1.0), (D0, "b", "events", 0, False, 20.0), (D0, "c", "events", 0, False, 19.9),
        (D0, "d", "events", 1, True, 50.0), (D0, "e", "users", 0, True, 50.0), (OUT, "f", "events", 0, True, 50.0),
        (D1, "g", "events", 0, None, None),
    ]  # fmt: skip
    write(warehouse, FEATURE_DAILY_TRENDS, "event_date, feature, metric, value, is_worse, expected", *rows)
    assert answers(warehouse, "product.feature_daily_trends.features_not_silent") == [
        (str(D1), True, 0, 0, 0, []), (str(D0), False, 2, 0, 2, ["a", "b"]),
    ]  # fmt: skip
    write(warehouse, DIM_FEATURE_METADATA, "feature, is_described", ("a", True), ("b", False), ("c", False))
    assert answers(warehouse, "product.dim_feature_metadata.features_described") == [("", False, 2, 0, 2, ["b", "c"])]


@pytest.mark.parametrize(
    ("orders", "watched"),
    [
        # As many as can be: "search" has the most days, "new" of those of one day the most events.
        (MOST_WATCHED - 2, MOST_WATCHED),
        # One more, and of the orders, which are all alike, none can be told from the others.
        (MOST_WATCHED - 1, 2),
    ],
)
def test_names_that_hold_an_id_take_no_place_from_features(
    warehouse: duckdb.DuckDBPyConnection, orders: int, watched: int
) -> None:
    name = "product.dim_feature_metadata.features_watched"
    assert answers(warehouse, name) == [("", True, 0, 0, 0, [])]
    facts = FACT_FEATURE_METRICS.qualified_name
    write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", (D1, "search", 1), (D0, "search", 1))
    write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", (D0, "new", 2))
    warehouse.execute(
        f"insert into {facts} by name select $day as event_date, 'order ' || unnest(range($n)) as feature, 1 as events",
        {"day": D0, "n": orders},
    )
    warehouse.execute(
        f"insert into {DIM_FEATURE_METADATA.qualified_name} by name"
        f" select feature, max(event_date) as last_seen_date from {facts} group by 1"
    )
    write(warehouse, DIM_FEATURE_METADATA, "feature, last_seen_date", ("never seen", None))
    assert warehouse.execute(f"select count(*) from {WATCHED}").fetchall() == [(watched,)]
    ((_, is_passed, observed, *_),) = answers(warehouse, name)
    assert (is_passed, observed) == (watched > 2, orders + 2 - watched)
    assert warehouse.execute(
        f"select list_sort(list(feature)) from {WATCHED} where not feature like 'order %'"
    ).fetchall() == [(["new", "search"],)]


@pytest.mark.parametrize(("known", "observed", "is_passed"), [(81, 0.19, True), (79, 0.21, False), (None, 1.0, False)])
def test_a_tenth_more_events_without_a_user_than_usual_are_let_pass(
    warehouse: duckdb.DuckDBPyConnection, known: int | None, observed: float, is_passed: bool
) -> None:
    # A tenth of the events has no user on each of seven days, half of them on one that is too long ago.
    days = [(D0 - timedelta(days=n), 90 if n <= 7 else 10) for n in (*range(1, 8), 29)]
    for day, users in [*days, (D0, known)]:
        write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", (day, "a", 60), (day, "b", 40))
        if users is not None:
            write(warehouse, USER_FEATURE_DAYS, "event_date, events", (day, users - 5), (day, 5))
    (found,) = answers(warehouse, "product.fact_feature_metrics.users_known_as_usual", D0)
    assert found == (str(D0), is_passed, pytest.approx(observed), pytest.approx(0.2), int(not is_passed), [])


@pytest.mark.parametrize(("more", "is_passed"), [(29, True), (31, False)])
def test_a_day_is_held_against_the_same_weekday_of_four_weeks(
    warehouse: duckdb.DuckDBPyConnection, more: int, is_passed: bool
) -> None:
    weeks = [(D0 - timedelta(days=7 * n), 100) for n in (1, 2, 3)] + [(D0 - timedelta(days=35), 900)]
    others = [(D0 - timedelta(days=n), 900) for n in (1, 6, 8)]
    write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", *((d, "a", n) for d, n in [*weeks, *others]))
    write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", (D0, "a", 100), (D0, "b", more))
    (volume,) = answers(warehouse, "product.fact_feature_metrics.volume_as_usual", D0)
    assert volume == (str(D0), is_passed, 100 + more, 100, int(not is_passed), [])
    (mix,) = answers(warehouse, "product.fact_feature_metrics.mix_as_usual", D0)
    assert mix == (str(D0), False, pytest.approx(more / (100 + more)), 0.1, 1, ["a", "b"])
    (present,) = answers(warehouse, "product.fact_feature_metrics.features_present", D0)
    assert present == (str(D0), None, 2, None, 0, [])


def test_a_mix_is_held_against_the_mean_of_its_weeks(warehouse: duckdb.DuckDBPyConnection) -> None:
    # Of two weeks a has all and half; c is gone.
    first, second = D0 - timedelta(days=7), D0 - timedelta(days=28)
    rows = [(first, "a", 10), (second, "a", 5), (second, "c", 5), (D0, "a", 82), (D0, "b", 18)]
    write(warehouse, FACT_FEATURE_METRICS, "event_date, feature, events", *rows)
    (found,) = answers(warehouse, "product.fact_feature_metrics.mix_as_usual", D0)
    # .75 a and .25 c were usual: .07 more, .18 more and .25 less, of which half have moved.
    assert found == (str(D0), False, pytest.approx(0.25), 0.1, 1, ["a", "b", "c"])
    sql = BY_NAME["product.fact_feature_metrics.mix_as_usual"].sql
    (row,) = warehouse.execute(sql, {"start": D0, "end": D0}).fetchall()
    assert json.loads(row[5]) == ["c", "b", "a"], "what moved most comes first, whichever way"
