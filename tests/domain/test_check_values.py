"""What checks' queries and words come to, whole and word by word, on a few rows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

import duckdb
import pytest

from quality_assets.contracts.events import EVENT_COLUMNS, VALID_EVENTS
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import DEFAULT_SOURCE
from quality_assets.contracts.table import Build, Column, Table
from quality_assets.domain.quality.check import MADE_AGAIN, Answer, Check, Expectation, Subject
from quality_assets.domain.quality.check_queries import (
    built_dates,
    by_date,
    no_offenders,
    no_rows,
    per_date_balance,
    within_dates,
)
from quality_assets.domain.quality.contract_checks import contract_kept, key_unique
from quality_assets.domain.quality.expectations import RULES, SUITES, Rule, expectation_checks, suite_of
from quality_assets.domain.quality.likeness import columns_missed, names_alike, names_encoded_twice
from quality_assets.domain.quality.result import result_of
from quality_assets.domain.quality.score import POINTS_SQL, doubted_cells, share_left

START, END = date(2026, 1, 1), date(2026, 1, 3)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"threads": 1}) as opened:
        yield opened


def _asked(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """The rows of an answer by their keys, examples read."""
    dates = {"start": START, "end": END}
    rows = connection.execute(sql, {n: v for n, v in dates.items() if f"${n}" in sql}).fetchall()
    return sorted((*row[:5], None if row[5] is None else json.loads(row[5])) for row in rows)


# --- Queries that checks are made of ----------------------------------------------------------------------------------


def test_two_counts_by_date_that_must_agree(connection: duckdb.DuckDBPyConnection) -> None:
    left, right = (
        f"select date '2026-01-01' + i as event_date, n from (values {rows}) as v(i, n)"
        for rows in ("(0, 3), (1, 5), (2, null)", "(0, 3), (1, 7), (3, 2)")
    )
    assert _asked(connection, per_date_balance(left, right)) == [
        ("2026-01-01", True, 3, 3, 0, None),
        ("2026-01-02", False, 5, 7, 2, None),
        ("2026-01-03", True, 0, 0, 0, None),
        ("2026-01-04", False, 0, 2, 2, None),
    ]


def test_what_is_counted_by_date(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create table t as select * from (values (date '2025-12-31', 1, true), (date '2026-01-01', 2, true),"
        " (date '2026-01-01', 3, true), (date '2026-01-03', 4, true), (date '2026-01-03', 9, false),"
        " (date '2026-01-04', 5, true)) as v(event_date, x, is_it)"
    )
    dates = {"start": START, "end": END}
    found = connection.execute(by_date("sum(x)", "t", "is_it") + " order by 1", dates).fetchall()
    assert found == [(START, 5), (END, 4)]
    assert connection.execute(by_date("count(*)", "t") + " order by 1", dates).fetchall() == [(START, 2), (END, 2)]
    assert within_dates("a.") == "a.event_date between $start and $end"


def test_offenders_by_date_and_at_all(connection: duckdb.DuckDBPyConnection) -> None:
    offenders = (
        "select date '2026-01-02' as event_date, 'x' || i as example from range(7) as r(i)"
        " union all select date '2026-01-05', 'none asked'"
    )
    days = "select * from (values (date '2026-01-01'), (date '2026-01-02')) as d(event_date)"
    assert _asked(connection, no_rows(offenders, days)) == [
        ("2026-01-01", True, 0, 0, 0, None),
        ("2026-01-02", False, 7, 0, 7, ["x0", "x1", "x2", "x3", "x4"]),
    ]
    assert _asked(connection, no_rows(offenders, days, 2))[1][5] == ["x0", "x1"]
    found = _asked(connection, no_offenders("select 'x' || i as example from range(7) as r(i)"))
    assert found == [("", False, 7, 0, 7, ["x0", "x1", "x2", "x3", "x4"])]
    none = _asked(connection, no_offenders("select 'x' as example where false"))
    assert [row[:5] for row in none] == [("", True, 0, 0, 0)]


def test_dates_that_were_built_in_whole_or_in_parts(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema ops")
    connection.execute(PARTITION_STATE.create_sql())
    name = VALID_EVENTS.qualified_name
    rows = [
        (name, START), (f"{name}:a", END), (f"{name}:b", END), (f"{name}s", START + timedelta(days=1)),
        (name, START - timedelta(days=1)), (name, END + timedelta(days=1)),
    ]  # fmt: skip
    for table_name, day in rows:
        connection.execute(f"insert into {PARTITION_STATE.qualified_name} values (?, ?, 'f', 1)", [table_name, day])
    found = connection.execute(built_dates(VALID_EVENTS), {"start": START, "end": END}).fetchall()
    assert sorted(found) == [(START,), (END,)]


# --- Contracts --------------------------------------------------------------------------------------------------------

COLUMNS = (
    Column("id", "INTEGER", "", nullable=False, minimum=1),
    Column("color", "VARCHAR", "", allowed=("red", "it's")),
    Column("share", "DOUBLE", "", minimum=0, maximum=1),
)
WHOLE = Table("core", "things", "", "one row a thing", ("id", "color"), COLUMNS, build=Build("training"))
DATED = Table(
    "core", "things", "", "one row a thing", ("day", "id"), (Column("day", "DATE", "", False), *COLUMNS),
    partition_column="day", build=Build("days"),
)  # fmt: skip
BROKEN = [(None, "red", 0.5), (0, "red", 0.0), (2, "blue", 1.0), (3, "it's", -0.1), (4, None, 1.1), (0, "blue", None)]
FINE = [(1, "red", 0.0), (5, "it's", 1.0), (6, None, None)]


def _things(connection: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Any, ...]], days: str = "") -> None:
    connection.execute("create schema if not exists core")
    connection.execute(f"create table core.things ({days}id integer, color varchar, share double)")
    for row in rows:
        connection.execute(f"insert into core.things values ({', '.join('?' * len(row))})", list(row))


def test_rows_that_break_their_contract_say_how(connection: duckdb.DuckDBPyConnection) -> None:
    _things(connection, [*FINE, *BROKEN])
    check = contract_kept(WHOLE)
    sql = f"select * from ({check.sql.replace('[1:5]', '')})"
    assert _asked(connection, sql) == [
        (
            "", False, 6, 0, 6,
            [
                '"id" is null', '"id" < 1', '"color" not in (red, its)', '"share" < 0', '"share" > 1',
                '"id" < 1; "color" not in (red, its)',
            ],
        )
    ]  # fmt: skip
    assert (check.question, check.dimension, check.is_blocking, check.finding, check.unit) == (
        "Does every row of things keep its contract?",
        "validity",
        True,
        "{observed} broke the contract of things",
        "row",
    )
    connection.execute("delete from core.things where id <> 1 or id is null or color is null")
    assert [row[:5] for row in _asked(connection, check.sql)] == [("", True, 0, 0, 0)]


def test_a_dated_table_keeps_its_contract_day_by_day(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [(START, 1, "red", 0.5), (START, 0, "red", 0.5), (END, 1, "red", 0.5), (END + timedelta(days=1), 0, "x", 9)]
    _things(connection, rows, "day date, ")
    connection.execute("create schema ops")
    connection.execute(PARTITION_STATE.create_sql())
    for day in (START, END):
        connection.execute(f"insert into {PARTITION_STATE.qualified_name} values ('core.things', ?, 'f', 1)", [day])
    assert _asked(connection, contract_kept(DATED).sql) == [
        ("2026-01-01", False, 1, 0, 1, ['"id" < 1']),
        ("2026-01-03", True, 0, 0, 0, None),
    ]
    assert [row[:5] for row in _asked(connection, key_unique(DATED).sql)] == [
        ("2026-01-01", True, 0, 0, 0),
        ("2026-01-03", True, 0, 0, 0),
    ]
    connection.execute("insert into core.things select * from core.things where share = 0.5 and id = 1")
    assert _asked(connection, key_unique(DATED).sql) == [
        ("2026-01-01", False, 1, 0, 1, [{"day": "2026-01-01", "id": 1}]),
        ("2026-01-03", False, 1, 0, 1, [{"day": "2026-01-03", "id": 1}]),
    ]


def test_a_key_that_comes_again_is_named(connection: duckdb.DuckDBPyConnection) -> None:
    _things(connection, [(1, "red", 0.1), (1, "blue", 0.1), (2, None, 0.1), (2, None, 0.2), (2, None, 0.3)])
    check = key_unique(WHOLE)
    assert _asked(connection, check.sql) == [("", False, 1, 0, 1, [{"id": 2, "color": None}])]
    assert (check.question, check.dimension, check.is_blocking, check.finding, check.unit) == (
        "Is there one row a thing?", "uniqueness", True, "{observed} came more than once in things", "key",
    )  # fmt: skip


# --- Columns that no longer come --------------------------------------------------------------------------------------


def _missed(connection: duckdb.DuckDBPyConnection, *files: tuple[str, int, list[str] | None], **more: Any) -> list[str]:
    """What is missed of files (source, day of March, absent columns); `more` is of the last one."""
    connection.execute("create schema if not exists raw")
    columns = ", ".join(f'"{column.name}" {column.type}' for column in LOG_FILES.columns)
    connection.execute(f"create or replace table {LOG_FILES.qualified_name} ({columns})")
    for number, (source, day, absent) in enumerate(files):
        row: dict[str, Any] = {
            "source": source, "path": f"f{number}", "arrived_at": f"2026-03-{day:02} 12:00", "status": "loaded",
            "last_event_time": f"2026-03-{day:02} 11:00", "absent_columns": absent, "vanished_columns": [],
        }  # fmt: skip
        row |= more if number == len(files) - 1 else {}
        marks = ", ".join("?" for _ in row)
        connection.execute(
            f"insert into {LOG_FILES.qualified_name} ({', '.join(row)}) values ({marks})", list(row.values())
        )
    return sorted(row[0] for row in connection.execute(columns_missed(7)).fetchall())


def test_columns_that_never_came_or_come_no_longer(connection: duckdb.DuckDBPyConnection) -> None:
    assert _missed(connection, ("shop", 1, ["country"]), ("shop", 2, ["country"])) == [
        "shop: country, which none of its files has ever had"
    ]
    assert _missed(connection, (DEFAULT_SOURCE, 1, ["country"])) == []
    lost = [("shop", day, []) for day in (1, 2, 3)]
    assert _missed(connection, *lost, ("shop", 4, ["country"])) == ["shop: country, last on 2026-03-03"]
    assert _missed(connection, *[(DEFAULT_SOURCE, *each[1:]) for each in lost], (DEFAULT_SOURCE, 4, ["country"])) == [
        f"{DEFAULT_SOURCE}: country, last on 2026-03-03"
    ]
    # Another file of that day has it; or the file was refused, or says nothing of its columns.
    assert _missed(connection, *lost, ("shop", 4, []), ("shop", 4, ["country"])) == []
    assert _missed(connection, *lost, ("shop", 4, ["country"]), status="rejected") == []
    assert _missed(connection, *lost, ("shop", 4, None)) == []
    assert _missed(connection, *lost, ("shop", 4, ["country"]), last_event_time=None) == []
    # That another source lacks it says nothing of this one.
    assert _missed(connection, *lost, ("app", 4, ["country"])) == ["app: country, which none of its files has ever had"]


def test_a_column_was_usual_that_came_on_four_of_five_days_of_four_weeks(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    without: list[tuple[str, int, list[str] | None]] = [("s", 1, ["x"])]
    days = [("s", day, list[str]()) for day in (2, 3, 4, 5)]
    assert _missed(connection, *without, *days, ("s", 6, ["x"])) == ["s: x, last on 2026-03-05"]
    assert _missed(connection, *without, *days[:1], *days[2:], ("s", 6, ["x"])) == []
    assert _missed(connection, *without, *days) == []
    # 28 days before its last day count, and none before.
    assert _missed(connection, *without, ("s", 29, []), ("s", 30, ["x"])) == []
    assert _missed(connection, *without, ("s", 30, []), ("s", 31, ["x"])) == ["s: x, last on 2026-03-30"]


def test_columns_that_a_file_loses_midway_are_shown_for_a_week(connection: duckdb.DuckDBPyConnection) -> None:
    files = [("s", 9, []), ("s", 2, [])]
    told = ["s: a, b, only at the beginning of f1"]
    assert _missed(connection, *files, vanished_columns=["a", "b"]) == told
    assert _missed(connection, ("s", 10, []), files[1], vanished_columns=["a", "b"]) == []
    assert _missed(connection, *files) == []


def test_names_that_differ_in_case_are_counted_in_characters(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema product")
    connection.execute("create table product.dim_feature_metadata (feature varchar, first_seen_date date)")
    for name in ("zoom", "Zoom", "ZOOM ", "pan"):
        connection.execute("insert into product.dim_feature_metadata values (?, ?)", [name, START])
    (found,) = connection.execute(names_alike()).fetchall()
    assert found[0] == "ZOOM  (5 characters) and Zoom (4 characters) and zoom (4 characters)"


def test_names_in_letters_that_were_encoded_twice(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema product")
    connection.execute("create table product.dim_feature_metadata (feature varchar, first_seen_date date)")
    right = ("Übersicht", "naïve", "à la carte", "Данные", "Ελλάδα", "“quoted” – x", "AVALIAÇÃO", "SÃO", "â la", "1 €")
    twice = [name.encode().decode("cp1252", "replace") for name in right if not name.isascii()]
    for name in (*right, *twice):
        connection.execute("insert into product.dim_feature_metadata values (?, ?)", [name, START])
    found = {name for (name,) in connection.execute(names_encoded_twice()).fetchall()}
    assert found == set(twice) - {"1 â‚¬"}, "a sign of money alone is no sure sign"


# --- Answers in words -------------------------------------------------------------------------------------------------

CHECK = Check(
    Subject("file", "a.csv"), "c", "Is it so?", "validity", answer=lambda _: Answer(True),
    finding="{observed} of {threshold} differ", finding_unmeasured="Nobody measured it", unit="row",
)  # fmt: skip


def _said(answer: Answer) -> str:
    return result_of(CHECK, answer).description


def test_a_finding_names_up_to_three_and_how_many_are_left() -> None:
    assert _said(Answer(False, 5.0, 0.0, 5, ["a", "b.", "c", "d"])) == (
        f"5 rows of 0 rows differ: a; b; c; and 2 more. {MADE_AGAIN}"
    )
    assert _said(Answer(False, 3.0, 0.0, 3, ["a", "b", "c"])) == f"3 rows of 0 rows differ: a; b; c. {MADE_AGAIN}"
    assert _said(Answer(False, 4.0, 0.0, 5, ["a"])) == f"4 rows of 0 rows differ: a. {MADE_AGAIN}"
    assert _said(Answer(False, 4.0, 0.0, None, ["a"])) == f"4 rows of 0 rows differ: a. {MADE_AGAIN}"
    assert _said(Answer(False, 2000.0, 0.0, 2000, [{"day": 1, "n": 2.5}])) == (
        f"2,000 rows of 0 rows differ: day 1, n 2.5; and 1,999 more. {MADE_AGAIN}"
    )


def test_where_neither_number_is_known_that_is_said() -> None:
    assert _said(Answer(False)) == f"Nobody measured it. {MADE_AGAIN}"
    assert _said(Answer(False, observed=1.0)) == f"1 row of unknown differ. {MADE_AGAIN}"
    assert _said(Answer(False, threshold=0.0)) == f"unknown of 0 rows differ. {MADE_AGAIN}"
    plain = Check(CHECK.subject, "c", "Is it so?", "validity", sql="select 1", remedy="")
    assert result_of(plain, Answer(False)).description == "Is it so? No."
    assert result_of(plain, Answer(None)).description == (
        "Is it so? Unknown: there is not enough history yet to hold it against."
    )
    assert result_of(plain, Answer(False, why="no.")).description.rstrip() == "Is it so? No: no."


def test_a_check_is_as_bad_as_it_says_unless_its_answer_knows_better() -> None:
    blocking = Check(CHECK.subject, "c", "Is it so?", "validity", sql="select 1", is_blocking=True)
    assert (blocking.severity, CHECK.is_blocking) == ("ERROR", False)
    assert result_of(blocking, Answer(True)).is_blocking
    assert not result_of(blocking, Answer(True, is_blocking=False)).is_blocking
    assert result_of(blocking, Answer(True, severity="WARN")).severity == "WARN"


# --- Expectations -----------------------------------------------------------------------------------------------------


def test_the_suite_of_a_contract_whole() -> None:
    rule = Rule("small", "red is small", "share < '{'", ("share", "id"), "accuracy", "WARN", False)
    suite = {each.name: each for each in suite_of(WHOLE, rules=[rule])}
    assert list(suite) == [
        "columns_as_declared", "column_types_as_declared", "has_rows", "id_not_null", "id_in_range", "color_in_set",
        "share_in_range", "key_unique", "small",
    ]  # fmt: skip
    assert suite["columns_as_declared"] == Expectation(
        "columns_as_declared", None, "columns", {"names": ("id", "color", "share")}, "validity"
    )
    assert suite["has_rows"] == Expectation("has_rows", None, "row_count", {"minimum": 1}, "completeness")
    assert suite["id_not_null"] == Expectation("id_not_null", "id", "not_null", {}, "completeness")
    bounds = {"minimum": 1, "maximum": None}
    assert suite["id_in_range"] == Expectation("id_in_range", "id", "in_range", bounds, "validity")
    assert suite["share_in_range"].parameters == {"minimum": 0, "maximum": 1}
    assert suite["key_unique"].parameters == {
        "query": 'select "id", "color", count(*) as copies from {batch} group by "id", "color" having count(*) > 1',
        "statement": "no two rows share id, color",
        "counted": "key",
    }
    assert suite["small"] == Expectation(
        "small",
        None,
        "no_rows",
        {
            "query": 'select "id", "color", "share" from {batch} where not (share < \'{{\')',
            "statement": "red is small",
            "counted": "row",
        },
        "accuracy",
        "WARN",
        False,
    )
    assert [each.statement for each in suite.values()] == [
        "the columns are those of the contract", "the column types are those of the contract",
        "there is at least 1 row", "id is never null", "id is between 1 and ∞", "color is one of red, it's",
        "share is between 0 and 1", "no two rows share id, color", "red is small",
    ]  # fmt: skip


def test_types_that_differ_are_found(connection: duckdb.DuckDBPyConnection) -> None:
    (types,) = (each for each in suite_of(WHOLE) if each.name == "column_types_as_declared")
    connection.execute("create table batch (id bigint, color varchar, share double, more integer)")
    query = types.parameters["query"].format(batch="batch")
    assert connection.execute(query).fetchall() == [("id", "INTEGER", "BIGINT")]
    assert (types.parameters["counted"], types.dimension) == ("column", "validity")


def test_a_float_has_ends_that_keep_out_what_is_no_number() -> None:
    table = Table("a", "b", "", "row", ("x",), (Column("x", "double", "", minimum=2.0),))
    (bounds,) = (each.parameters for each in suite_of(table) if each.kind == "in_range")
    assert bounds == {"minimum": 2.0, "maximum": 1.7976931348623157e308}
    other = Table("a", "b", "", "row", ("x",), (Column("x", "DOUBLE", ""), Column("y", "BIGINT", "", maximum=-1234)))
    found = [each for each in suite_of(other) if each.kind == "in_range"]
    assert [each.parameters for each in found] == [
        {"minimum": -1.7976931348623157e308, "maximum": 1.7976931348623157e308},
        {"minimum": None, "maximum": -1234},
    ]
    assert found[1].statement == "y is between −∞ and −1,234"


def test_a_suite_is_asked_dimension_by_dimension() -> None:
    (first, *_) = expectation_checks(WHOLE, suite_of(WHOLE))
    assert (first.name, first.unit, first.severity, first.question) == (
        "expectations_validity", "expectation", "ERROR",
        "Do the contract's expectations of validity hold? (Great Expectations)",
    )  # fmt: skip
    assert {name: "key_unique" in {each.name for each in suite} for name, suite in SUITES.items()} == {
        "core.valid_events": False, "product.fact_feature_metrics": False,
    }  # fmt: skip


FACTS = {
    "events": 10, "errors": 2, "crashes": 3, "users": 4, "sessions": 6, "all_users": 5, "crashed_users": 2,
    "crashed_sessions": 2, "latency_count": 9, "feedback_count": 3, "apdex_count": 8, "apdex_satisfied": 5,
    "apdex_tolerating": 3, "latency_p50_ms": 2.0, "latency_p95_ms": 2.0, "latency_p99_ms": 2.0, "feedback_mean": 5.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "changes"),
    [
        ("outcomes_within_events", ({"errors": 8}, {"crashes": 9})),
        ("users_within_events", ({"users": 11}, {"sessions": 11})),
        ("users_within_all_users", ({"users": 6}, {"all_users": 3})),
        ("crashed_within_all", ({"crashed_users": 4}, {"crashed_sessions": 4}, {"users": 1}, {"sessions": 1})),
        (
            "judged_within_events",
            ({"latency_count": 11}, {"feedback_count": 11}, {"apdex_count": 11}, {"apdex_satisfied": 6}),
        ),
        ("latency_quantiles_ordered", ({"latency_p50_ms": 2.5}, {"latency_p99_ms": 1.9})),
        ("feedback_mean_on_scale", ({"feedback_mean": 5.001}, {"feedback_mean": 0.999})),
    ],
)
def test_what_several_columns_of_a_fact_satisfy_together(
    connection: duckdb.DuckDBPyConnection, rule: str, changes: Sequence[dict[str, float]]
) -> None:
    (asked,) = (each for each in RULES[FACT_FEATURE_METRICS.qualified_name] if each.name == rule)

    def holds(change: dict[str, Any]) -> bool | None:
        values = {name: "null" if value is None else value for name, value in (FACTS | change).items()}
        columns = ", ".join(f"cast({value} as double) as {name}" for name, value in values.items())
        (row,) = connection.execute(f"select {asked.condition} from (select {columns})").fetchall()
        return row[0]  # type: ignore[no-any-return]

    assert holds({}) is True
    assert [holds(change) for change in changes] == [False] * len(changes)
    if rule in ("users_within_events", "crashed_within_all"):
        assert holds({"users": None, "crashed_users": None}) is True
        assert holds({"sessions": None, "crashed_sessions": None}) is True


# --- Scores -----------------------------------------------------------------------------------------------------------


def test_the_points_of_a_result(connection: duckdb.DuckDBPyConnection) -> None:
    rows = [("passed", "ERROR"), ("passed", "WARN"), ("failed", "WARN"), ("failed", "ERROR"), ("unknown", "WARN")]
    values = ", ".join(f"('{status}', '{severity}')" for status, severity in rows)
    query = f"select {POINTS_SQL} from (values {values}) as v(status, severity)"
    assert [row[0] for row in connection.execute(query).fetchall()] == [1.0, 1.0, 0.5, 0.0, None]


def test_which_cells_a_reason_doubts() -> None:
    n = len(EVENT_COLUMNS)
    assert doubted_cells("duplicate_event_id") == ("uniqueness", 0.9 * n)
    assert doubted_cells("nul_byte") == ("validity", float(n))
    assert doubted_cells("missing_feature") == ("completeness", 1.0)
    assert doubted_cells("invalid_status") == ("validity", 1.0)
    assert share_left(1, 4) == 0.75
