"""Suites of expectations on DuckDB: what of Great Expectations works there, and that each kind sees what it should."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from quality_assets.contracts.catalog import TABLES
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Column, Table
from quality_assets.domain.events.tables import fact_feature_metrics_sql, user_feature_days_sql
from quality_assets.domain.quality.check import Expectation
from quality_assets.domain.quality.expectations import Rule, suite_of
from quality_assets.settings import Settings
from quality_assets.tables.checks.expectations import ExpectationOutcome, push_down, run_suite

ROWS = 1000
EVENTS_SQL = f"""
select date '2025-03-01' as event_date, 'abcdef0123456789' as file_id, cast(i + 2 as bigint) as line_number,
  'evt-' || i as event_id, timestamp '2025-03-01' + to_seconds(i * 60) as event_time,
  case when i % 2 = 0 then 'search' else 'checkout, paid' end as feature, 'use' as event_name, 'u' || i % 60 as user_id,
  's' || i % 90 as session_id, case when i % 10 = 0 then 'error' when i % 25 = 1 then 'crash' else 'ok' end as status,
  case when i % 7 > 0 then cast(100 + i as double) end as latency_ms,
  case when i % 3 = 0 then cast(1 + i % 5 as double) end as feedback_score, 'phone' as device_type, 'ios' as platform,
  '3.1' as app_version, 'DE' as country, cast(null as varchar) as variant, cast(null as varchar) as properties,
  cast(null as timestamp) as received_at
from range({ROWS}) as numbers(i)
"""


@pytest.fixture(scope="module")
def gx_push_down() -> Any:
    return push_down()


@pytest.fixture(scope="module")
def events() -> pa.Table:
    with duckdb.connect() as connection:
        return connection.sql(EVENTS_SQL).to_arrow_table()


@pytest.fixture(scope="module")
def facts() -> pa.Table:
    with duckdb.connect() as connection:
        connection.execute(f"create table events as {EVENTS_SQL}")
        connection.execute(f"create table user_days as {user_feature_days_sql('events')}")
        connection.execute(
            "create table described as select 'search' as feature, cast(400 as double) as apdex_threshold_ms"
        )
        query = fact_feature_metrics_sql("events", "user_days", "described")
        return connection.sql(query, params={"apdex_threshold_ms": 500.0}).to_arrow_table()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, memory_limit_mb=500)


def changed(frame: pa.Table, cells: Mapping[str, str], *, rows: str = "row_number = 3") -> pa.Table:
    """`frame` with the SQL values of `cells` in the rows that `rows` picks."""
    replaced = ", ".join(
        f'case when {rows} then {value} else "{name}" end as "{name}"' for name, value in cells.items()
    )
    with duckdb.connect() as connection:
        connection.register("frame", frame)
        numbered = "(select *, row_number() over () as row_number from frame)"
        return connection.sql(f"select * exclude row_number replace ({replaced}) from {numbered}").to_arrow_table()


def run(frame: pa.Table, table: Table, settings: Settings, **options: Any) -> dict[str, ExpectationOutcome]:
    return {
        outcome.name: outcome
        for outcome in run_suite(suite_of(table, **options), table=table, settings=settings, frame=frame)
    }


def failed(outcomes: Mapping[str, ExpectationOutcome]) -> set[str]:
    assert not [o.description for o in outcomes.values() if o.status == "unknown"]
    return {name for name, outcome in outcomes.items() if outcome.status == "failed"}


# --- the suite, generated


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.qualified_name)
def test_every_contract_gives_a_suite_of_distinctly_named_expectations(table: Table) -> None:
    suite = suite_of(table)
    names = [expectation.name for expectation in suite]
    assert len(set(names)) == len(names)
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in names)
    assert {e.column for e in suite if e.kind == "not_null"} == {c.name for c in table.columns if not c.nullable}
    assert {e.column for e in suite if e.kind == "in_set"} == {c.name for c in table.columns if c.allowed}


def test_the_key_and_the_rows_can_be_left_out() -> None:
    names = {e.name for e in suite_of(VALID_EVENTS)}
    assert names - {e.name for e in suite_of(VALID_EVENTS, check_key=False, may_be_empty=True)} == {
        "key_unique",
        "has_rows",
    }


def test_statements_are_plain() -> None:
    statements = {e.name: e.statement for e in suite_of(VALID_EVENTS)}
    assert statements["latency_ms_in_range"] == "latency_ms is between 0 and ∞"
    assert statements["status_in_set"] == "status is one of ok, error, crash"
    table = Table("a", "b", "", "row", ("x",), (Column("x", "DOUBLE", ""), Column("y", "DOUBLE", "", maximum=-1)))
    assert [e.statement for e in suite_of(table) if e.kind == "in_range"] == [
        "x is a finite number",
        "y is between −∞ and −1",
    ]


# --- good data


def test_good_events_in_parquet_pass(events: pa.Table, settings: Settings, tmp_path: Path) -> None:
    files = []
    for half, where in enumerate(("line_number < 500", "line_number >= 500")):
        path = tmp_path / "event_date=1999-01-01" / f"it's {half}.parquet"
        path.parent.mkdir(exist_ok=True)
        with duckdb.connect() as connection:
            connection.register("frame", events)
            target = str(path).replace("'", "''")
            connection.execute(f"copy (select * from frame where {where}) to '{target}' (format parquet)")
        files.append(str(path))
    outcomes = run_suite(suite_of(VALID_EVENTS), table=VALID_EVENTS, settings=settings, parquet_files=files)
    assert [o.name for o in outcomes] == [e.name for e in suite_of(VALID_EVENTS)]
    assert {o.status for o in outcomes} == {"passed"}
    assert {o.unexpected_count for o in outcomes} == {0}
    rows = next(o for o in outcomes if o.name == "has_rows")
    assert (rows.observed, rows.threshold) == (ROWS, 1)
    assert rows.description == "there is at least 1 row: there are 1,000"


def test_good_facts_pass(facts: pa.Table, settings: Settings) -> None:
    assert failed(run(facts, FACT_FEATURE_METRICS, settings)) == set()


def test_no_files_are_a_table_without_rows(settings: Settings) -> None:
    outcomes = run_suite(suite_of(VALID_EVENTS), table=VALID_EVENTS, settings=settings, parquet_files=[])
    assert failed({o.name: o for o in outcomes}) == {"has_rows"}
    assert next(o for o in outcomes if o.status == "failed").description == "there is at least 1 row: there are none"


def test_a_query_narrows_what_is_validated(events: pa.Table, settings: Settings) -> None:
    bad = changed(events, {"status": "'bad'"})
    suite = suite_of(VALID_EVENTS)
    kept = run_suite(
        suite, table=VALID_EVENTS, settings=settings, frame=bad, query="select * from data where status <> 'bad'"
    )
    assert failed({o.name: o for o in kept}) == set()
    assert next(o for o in kept if o.name == "has_rows").observed == ROWS - 1


# --- sensitivity: one change, and exactly what it breaks

EVENT_CHANGES: list[tuple[dict[str, str], str, list[Any]]] = [
    *(({c.name: "null"}, f"{c.name}_not_null", []) for c in VALID_EVENTS.columns if not c.nullable),
    ({"line_number": "0"}, "line_number_in_range", [0]),
    ({"status": "'timeout'"}, "status_in_set", ["timeout"]),
    ({"latency_ms": "-4"}, "latency_ms_in_range", [-4.0]),
    ({"latency_ms": "cast('nan' as double)"}, "latency_ms_in_range", ["nan"]),
    ({"latency_ms": "cast('inf' as double)"}, "latency_ms_in_range", ["inf"]),
    ({"feedback_score": "5.5"}, "feedback_score_in_range", [5.5]),
    ({"line_number": "2"}, "key_unique", [{"file_id": "abcdef0123456789", "line_number": 2, "copies": 2}]),
    (
        {"event_time": "timestamp '2025-03-02 00:00:00'"},
        "event_date_of_event_time",
        [{"file_id": "abcdef0123456789", "line_number": 4, "event_time": "2025-03-02 00:00:00"}],
    ),
    ({"feature": "'  '"}, "feature_not_blank", [{"file_id": "abcdef0123456789", "line_number": 4, "feature": "  "}]),
]


@pytest.mark.parametrize(("cells", "name", "examples"), EVENT_CHANGES, ids=[f"{c[1]}-{c[0]}" for c in EVENT_CHANGES])
def test_one_bad_cell_of_an_event_fails_one_expectation(
    cells: dict[str, str], name: str, examples: list[Any], events: pa.Table, settings: Settings
) -> None:
    outcomes = run(changed(events, cells), VALID_EVENTS, settings)
    assert failed(outcomes) == {name}
    found = outcomes[name]
    assert (found.observed, found.threshold, found.unexpected_count) == (1, 0, 1)
    assert json.loads(json.dumps(found.examples)) == examples
    assert found.unexpected_percent == (None if name == "key_unique" else pytest.approx(0.1))
    assert found.is_blocking
    assert found.severity == "ERROR"


def test_every_expectation_of_events_is_seen_to_fail() -> None:
    about_the_whole = {"columns_as_declared", "column_types_as_declared", "has_rows"}
    assert {name for _, name, _ in EVENT_CHANGES} | about_the_whole == {e.name for e in suite_of(VALID_EVENTS)}


def test_counts_and_examples_of_many(events: pa.Table, settings: Settings) -> None:
    found = run(changed(events, {"latency_ms": "-row_number"}, rows="row_number <= 12"), VALID_EVENTS, settings)[
        "latency_ms_in_range"
    ]
    assert found.unexpected_count == 12
    assert found.unexpected_percent == pytest.approx(1.2)
    assert len(found.examples) == 5
    assert set(found.examples) <= {float(-n) for n in range(1, 13)}
    same = run(changed(events, {"latency_ms": "-4"}, rows="row_number <= 3"), VALID_EVENTS, settings)[
        "latency_ms_in_range"
    ]
    assert same.description == "latency_ms is between 0 and ∞: not so in 3 of 1,000 rows, e.g. −4"
    assert same.examples == (-4.0,)


def test_columns_that_the_contract_has_not(events: pa.Table, settings: Settings) -> None:
    extra = events.append_column("surprise", pa.nulls(ROWS, pa.string()))
    found = run(extra, VALID_EVENTS, settings)
    assert failed(found) == {"columns_as_declared"}
    assert found["columns_as_declared"].examples == ("unexpected: surprise",)
    assert found["columns_as_declared"].unexpected_percent is None


def test_a_column_of_another_type(events: pa.Table, settings: Settings) -> None:
    position = events.column_names.index("line_number")
    narrow = events.set_column(position, "line_number", events["line_number"].cast(pa.int32()))
    found = run(narrow, VALID_EVENTS, settings)
    assert failed(found) == {"column_types_as_declared"}
    assert found["column_types_as_declared"].examples == (
        {"column_name": "line_number", "declared_type": "BIGINT", "found_type": "INTEGER"},
    )
    assert found["column_types_as_declared"].description.startswith(
        "the column types are those of the contract: not so for 1 column, e.g. column_name line_number"
    )


FACT_CHANGES: list[tuple[dict[str, str], set[str]]] = [
    ({"events": "null"}, {"events_not_null", "ratios_agree_with_parts"}),
    ({"apdex": "1.5"}, {"apdex_in_range"}),
    ({"latency_p99_ms": "cast('inf' as double)"}, {"latency_p99_ms_in_range"}),
    ({"errors": "events", "error_rate": "1"}, {"outcomes_within_events"}),
    (
        {
            "users": "events + 1",
            "all_users": "events + 1",
            "adoption_rate": "1",
            "crash_free_users": "1 - crashed_users / (events + 1)",
        },
        {"users_within_events"},
    ),
    ({"all_users": "1"}, {"users_within_all_users", "ratios_agree_with_parts"}),
    (
        {"crashed_users": "crashes + 1", "crash_free_users": "1 - (crashes + 1) / users"},
        {"crashed_within_all"},
    ),
    ({"apdex_count": "events + 1"}, {"judged_within_events"}),
    ({"latency_p50_ms": "latency_p99_ms + 1"}, {"latency_quantiles_ordered"}),
    ({"feedback_mean": "5.5", "feedback_sum": "5.5 * feedback_count"}, {"feedback_mean_on_scale"}),
    ({"error_rate": "error_rate + 0.1"}, {"ratios_agree_with_parts"}),
    ({"crash_rate": "null"}, {"ratios_agree_with_parts"}),
]


@pytest.mark.parametrize(("cells", "names"), FACT_CHANGES, ids=[str(sorted(c[1])) for c in FACT_CHANGES])
def test_facts_that_contradict_themselves(
    cells: dict[str, str], names: set[str], facts: pa.Table, settings: Settings
) -> None:
    outcomes = run(changed(facts, cells, rows="row_number = 1"), FACT_FEATURE_METRICS, settings)
    assert failed(outcomes) == names
    assert {outcomes[name].unexpected_count for name in names} == {1}


def test_every_rule_of_facts_is_seen_to_fail() -> None:
    rules = {e.name for e in suite_of(FACT_FEATURE_METRICS)} - {
        e.name for e in suite_of(FACT_FEATURE_METRICS, rules=())
    }
    assert rules <= {name for _, names in FACT_CHANGES for name in names}


def test_a_rule_of_ones_own_with_braces(events: pa.Table, settings: Settings) -> None:
    rule = Rule(
        "ids_look_right",
        "event_id looks right",
        "regexp_full_match(event_id, 'evt-[0-9]{1,3}')",
        ("event_id",),
        severity="WARN",
        is_blocking=False,
    )
    good = run(events, VALID_EVENTS, settings, rules=[rule])
    assert failed(good) == set()
    bad = run(changed(events, {"event_id": "'evt-1234'"}), VALID_EVENTS, settings, rules=[rule])
    assert failed(bad) == {"ids_look_right"}
    assert (bad["ids_look_right"].severity, bad["ids_look_right"].is_blocking) == ("WARN", False)


# --- unknown is never passed


def test_what_cannot_be_evaluated_is_unknown(events: pa.Table, settings: Settings) -> None:
    outcomes = run(events.drop_columns(["status"]), VALID_EVENTS, settings)
    assert {name for name, o in outcomes.items() if o.status == "failed"} == {"columns_as_declared"}
    assert outcomes["columns_as_declared"].examples == ("missing: status",)
    unknown = {name: o for name, o in outcomes.items() if o.status == "unknown"}
    assert set(unknown) == {"status_not_null", "status_in_set"}
    assert {(o.observed, o.threshold, o.unexpected_count) for o in unknown.values()} == {(None, None, None)}
    assert all("status" in o.description and "could not be evaluated" in o.description for o in unknown.values())


def test_text_where_numbers_belong(events: pa.Table, settings: Settings) -> None:
    position = events.column_names.index("latency_ms")
    texts = pa.array(["slow"] * ROWS, pa.string())
    outcomes = run(events.set_column(position, "latency_ms", texts), VALID_EVENTS, settings)
    assert {name: o.status for name, o in outcomes.items() if o.status != "passed"} == {
        "column_types_as_declared": "failed",
        "latency_ms_in_range": "unknown",
    }


@pytest.mark.parametrize("content", [None, b"", b"PAR1 but not really PAR1"], ids=["absent", "empty", "torn"])
def test_files_that_cannot_be_read_leave_all_unknown(content: bytes | None, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "events.parquet"
    if content is not None:
        path.write_bytes(content)
    outcomes = run_suite(suite_of(VALID_EVENTS), table=VALID_EVENTS, settings=settings, parquet_files=[str(path)])
    assert {o.status for o in outcomes} == {"unknown"}
    assert "events.parquet" in outcomes[0].description


def test_a_broken_rule_is_unknown_and_the_others_are_not(events: pa.Table, settings: Settings) -> None:
    rule = Rule("broken", "nothing", "no_such_column > 0", ("event_id",))
    outcomes = run(events, VALID_EVENTS, settings, rules=[rule])
    assert {name for name, o in outcomes.items() if o.status == "unknown"} == {"broken"}
    assert {name for name, o in outcomes.items() if o.status == "failed"} == set()


def test_data_must_be_given_once(events: pa.Table, settings: Settings) -> None:
    with pytest.raises(ValueError, match="either"):
        run_suite((), table=VALID_EVENTS, settings=settings)
    with pytest.raises(ValueError, match="either"):
        run_suite((), table=VALID_EVENTS, settings=settings, frame=events, parquet_files=[])


# --- Great Expectations itself on this DuckDB

# (class, arguments that hold of the matrix table, arguments that do not)
WORKING: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "ExpectTableColumnsToMatchSet",
        {"column_set": ["n", "x", "t", "d"], "exact_match": True},
        {"column_set": ["n"], "exact_match": True},
    ),
    ("ExpectTableRowCountToBeBetween", {"min_value": 1}, {"min_value": 11}),
    ("ExpectColumnValuesToNotBeNull", {"column": "n"}, {"column": "x"}),
    ("ExpectColumnValuesToBeInSet", {"column": "t", "value_set": ["a", "b"]}, {"column": "t", "value_set": ["a"]}),
    ("ExpectColumnValuesToBeBetween", {"column": "x", "min_value": 0}, {"column": "x", "max_value": 3}),
    (
        "UnexpectedRowsExpectation",
        {"unexpected_rows_query": "select * from {batch} where n < 0"},
        {"unexpected_rows_query": "select * from {batch} where n = 0"},
    ),
    ("ExpectColumnToExist", {"column": "n"}, {"column": "m"}),
    ("ExpectColumnValuesToBeUnique", {"column": "n"}, {"column": "t"}),
    ("ExpectCompoundColumnsToBeUnique", {"column_list": ["n", "t"]}, {"column_list": ["t", "d"]}),
    (
        "ExpectColumnPairValuesAToBeGreaterThanB",
        {"column_A": "x", "column_B": "n", "or_equal": True},
        {"column_A": "x", "column_B": "n"},
    ),
    ("ExpectColumnMeanToBeBetween", {"column": "n", "min_value": 4, "max_value": 5}, {"column": "n", "max_value": 4}),
    ("ExpectColumnMedianToBeBetween", {"column": "n", "min_value": 4, "max_value": 5}, {"column": "n", "max_value": 4}),
    ("ExpectColumnUniqueValueCountToBeBetween", {"column": "t", "max_value": 2}, {"column": "t", "max_value": 1}),
    (
        "ExpectColumnProportionOfNonNullValuesToBeBetween",
        {"column": "x", "min_value": 0.9},
        {"column": "x", "min_value": 0.95},
    ),
]
# Not used by any suite of ours; a rule says the same. Where one of these begins to work, it moves up.
NOT_WORKING: list[tuple[str, dict[str, Any]]] = [
    ("ExpectColumnValuesToMatchRegex", {"column": "t", "regex": "[ab]"}),
    ("ExpectColumnValuesToMatchLikePattern", {"column": "t", "like_pattern": "%"}),
]
MATRIX_SQL = """
select cast(i as bigint) as n, case when i <> 7 then cast(i as double) end as x,
  case when i % 2 = 0 then 'a' else 'b' end as t, date '2025-03-01' as d
from range(10) as numbers(i)
"""


@pytest.fixture(scope="module")
def matrix_batch(gx_push_down: Any) -> Any:
    with gx_push_down.open_batch(lambda connection: connection.execute(f"create table batch as {MATRIX_SQL}")) as batch:
        yield batch


def validated(gx_push_down: Any, batch: Any, name: str, arguments: Mapping[str, Any]) -> Any:
    return batch.validate(getattr(gx_push_down.gxe, name)(**arguments), result_format="SUMMARY")


def is_raised(result: Any) -> bool:
    info = result.exception_info
    return any(r["raised_exception"] for r in ([info] if "raised_exception" in info else info.values()))


@pytest.mark.parametrize(("name", "holds", "does_not"), WORKING, ids=[row[0] for row in WORKING])
def test_it_works_on_duckdb(
    name: str, holds: dict[str, Any], does_not: dict[str, Any], gx_push_down: Any, matrix_batch: Any
) -> None:
    for arguments, is_success in ((holds, True), (does_not, False)):
        result = validated(gx_push_down, matrix_batch, name, arguments)
        assert not is_raised(result)
        assert result.success is is_success


@pytest.mark.parametrize(("name", "arguments"), NOT_WORKING, ids=[row[0] for row in NOT_WORKING])
def test_it_does_not_work_on_duckdb(name: str, arguments: dict[str, Any], gx_push_down: Any, matrix_batch: Any) -> None:
    assert is_raised(validated(gx_push_down, matrix_batch, name, arguments))


def test_the_stock_dialect_does_not_do(gx_push_down: Any, tmp_path: Path) -> None:
    path = tmp_path / "matrix.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(f"create table batch as {MATRIX_SQL}")
    source = gx_push_down.gx.get_context(mode="ephemeral").data_sources.add_sql(
        "stock", connection_string=f"duckdb:///{path}"
    )
    batch = source.add_table_asset("batch", table_name="batch").add_batch_definition_whole_table("batch").get_batch()
    assert is_raised(validated(gx_push_down, batch, "ExpectColumnValuesToNotBeNull", {"column": "n"}))
    source.get_execution_engine().close()
    source.get_engine().dispose()


@pytest.mark.parametrize(
    "row",
    [row for row in WORKING if row[0].startswith("ExpectColumnV") or row[0].startswith("ExpectTable")],
    ids=lambda row: row[0],
)
def test_the_pandas_engine_agrees(
    row: tuple[str, dict[str, Any], dict[str, Any]], gx_push_down: Any, matrix_batch: Any
) -> None:
    name, *both = row
    with duckdb.connect() as connection:
        frame = connection.execute(MATRIX_SQL).df()
    context = gx_push_down.gx.get_context(mode="ephemeral")
    context.variables.progress_bars = gx_push_down.ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas("pandas")
        .add_dataframe_asset("m")
        .add_batch_definition_whole_dataframe("m")
        .get_batch({"dataframe": frame})
    )
    for arguments in both:
        ours, theirs = (validated(gx_push_down, b, name, arguments) for b in (matrix_batch, batch))
        assert ours.success is theirs.success
        for figure in ("unexpected_count", "element_count", "missing_count"):
            assert ours.result.get(figure) == theirs.result.get(figure)


# --- good manners


def test_a_failure_without_details_is_still_a_failure(
    events: pa.Table, settings: Settings, gx_push_down: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = gx_push_down.explain
    monkeypatch.setattr(gx_push_down, "explain", lambda batch, e, n: real(batch, e, n) if e.name == "rows" else {})
    bad = changed(events, {"status": "'bad'", "line_number": "2"})
    outcomes = run(bad.append_column("surprise", bad["feature"]), VALID_EVENTS, settings)
    assert failed(outcomes) == {"status_in_set", "key_unique", "columns_as_declared"}
    assert outcomes["status_in_set"].unexpected_count is None
    assert outcomes["status_in_set"].description.endswith("not so in some of 1,000 rows")


def test_nothing_is_written_and_nobody_is_called(
    events: pa.Table,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    assert failed(run(changed(events, {"status": "'bad'"}), VALID_EVENTS, settings)) == {"status_in_set"}
    assert list(tmp_path.rglob("*")) == []
    assert capfd.readouterr() == ("", "")


def test_it_is_imported_late_and_leaves_in_silence(tmp_path: Path) -> None:
    program = """
import sys
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.quality.expectations import suite_of
from quality_assets.settings import Settings
from quality_assets.tables.checks.expectations import run_suite
assert "great_expectations" not in sys.modules and "sqlalchemy" not in sys.modules
outcomes = run_suite(suite_of(LOG_FILES), table=LOG_FILES, settings=Settings(), parquet_files=[])
assert {o.name for o in outcomes if o.status != "passed"} == {"has_rows"}, outcomes
assert run_suite(suite_of(LOG_FILES), table=LOG_FILES, settings=Settings(), parquet_files=[]) == outcomes
assert "scipy.stats.distributions" not in sys.modules
from scipy.stats import entropy
assert entropy([1, 1], base=2) == 1
"""
    environment = {**os.environ, "QUALITY_DATA_DIR": str(tmp_path / "data"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_expectations_describe_themselves_finitely() -> None:
    for table in TABLES:
        for expectation in suite_of(table):
            assert isinstance(expectation, Expectation)
            assert not re.search(r"\binf\b", expectation.statement)
            assert all(math.isfinite(v) for v in expectation.parameters.values() if isinstance(v, float))
