"""Table contracts: impossible ones are refused, and DuckDB's tables stand as they say."""

from __future__ import annotations

import duckdb
import pytest

from quality_assets.contracts.catalog import LAKE_TABLES, SCHEMAS, TABLES, TABLES_BY_NAME
from quality_assets.contracts.events import EVENT_COLUMNS, QUARANTINED_EVENTS, RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.metrics import ADOPTION_RATE, MEASURES, METRICS, METRICS_BY_NAME, TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Column, Table

WAREHOUSE_TABLES = [table for table in TABLES if table.store == "warehouse"]
every_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.qualified_name)


def table_of(*columns: Column, key: tuple[str, ...] = ("a",), partition_column: str | None = None) -> Table:
    return Table("raw", "t", "A table", "one row", key, columns, partition_column=partition_column)


def test_a_column_cannot_be_declared_twice() -> None:
    with pytest.raises(ValueError, match="declared twice"):
        table_of(Column("a", "VARCHAR", ""), Column("a", "DATE", ""))


@pytest.mark.parametrize("options", [{"key": ("a", "b")}, {"partition_column": "b"}])
def test_key_and_partition_column_must_be_columns(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"raw.t: key or partition column \['b'\]"):
        table_of(Column("a", "VARCHAR", ""), **options)  # type: ignore[arg-type]


def test_a_column_is_found_by_name_or_the_table_is_named() -> None:
    assert VALID_EVENTS.column("latency_ms").unit == "ms"
    with pytest.raises(KeyError, match=r"core.valid_events has no column 'latency'"):
        VALID_EVENTS.column("latency")


def test_columns_are_quoted_for_sql() -> None:
    table = table_of(Column("a", "VARCHAR", ""), Column("order", "BIGINT", "", nullable=False))
    assert table.select_list() == '"a", "order"'
    assert table.select_list(("order",)) == '"order"'
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(table.create_sql())
        with pytest.raises(duckdb.ConstraintException):
            connection.execute("insert into raw.t values ('x', null)")


def test_create_sql_keeps_a_table_that_is_there_unless_told_to_replace_it() -> None:
    table = table_of(Column("a", "VARCHAR", ""))
    with duckdb.connect() as connection:
        connection.execute("create schema raw")
        connection.execute(table.create_sql())
        connection.execute("insert into raw.t values ('x')")
        connection.execute(table.create_sql())
        assert connection.execute("select count(*) from raw.t").fetchall() == [(1,)]
        connection.execute(table.create_sql(or_replace=True))
        assert connection.execute("select count(*) from raw.t").fetchall() == [(0,)]


@pytest.mark.parametrize("table", WAREHOUSE_TABLES, ids=lambda table: table.qualified_name)
def test_warehouse_tables_stand_as_their_contracts_say(table: Table) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"create schema {table.schema}")
        connection.execute(table.create_sql())
        found = connection.execute(
            "select column_name, data_type, is_nullable from duckdb_columns() where table_name = ?"
            " order by column_index",
            [table.name],
        ).fetchall()
        keys = connection.execute(
            "select constraint_column_names from duckdb_constraints() where constraint_type = 'PRIMARY KEY'"
        ).fetchall()
    in_key = set(table.key) if table.is_keyed else set()
    assert found == [(c.name, c.type, c.nullable and c.name not in in_key) for c in table.columns]
    assert [set(names) for (names,) in keys] == ([in_key] if table.is_keyed else [])


@every_table
def test_every_table_and_column_is_described_and_lies_in_a_known_schema(table: Table) -> None:
    assert table.schema in SCHEMAS
    assert table.description
    assert table.grain.startswith("one row per")
    assert [c.name for c in table.columns if not c.description] == []
    assert [name for name in table.key if table.column(name).nullable] == []


@every_table
def test_names_of_columns_say_their_types_and_units(table: Table) -> None:
    numbers = ("DOUBLE",) if table.schema == "ml" else ()  # the inputs of a model
    wrong = [
        column.name
        for column in table.columns
        if (column.name.endswith("_at") and column.type not in ("TIMESTAMP", "TIMESTAMP[]"))
        or (column.name.endswith("_date") and column.type != "DATE")
        or (column.name.startswith(("is_", "has_")) and column.type not in ("BOOLEAN", *numbers))
        or (column.name.endswith("_ms") and column.unit != "ms")
        or (column.name.endswith("_rate") and (column.unit, column.maximum) != ("fraction", 1))
        or (column.type == "TIMESTAMP" and column.unit != "UTC")
    ]
    assert wrong == []


def test_names_of_tables_are_unique_and_lake_tables_are_partitioned_by_event_date() -> None:
    assert len(TABLES_BY_NAME) == len(TABLES)
    assert {table.partition_column for table in LAKE_TABLES} == {"event_date", "entry_date"}
    assert {table.qualified_name for table in LAKE_TABLES} >= {"raw.raw_logs", "core.valid_events"}


def test_valid_events_promise_no_less_than_the_event_contract_and_raw_logs_promise_nothing() -> None:
    assert tuple(VALID_EVENTS.column(column.name) for column in EVENT_COLUMNS) == EVENT_COLUMNS
    assert all(RAW_LOGS.column(column.name).nullable for column in EVENT_COLUMNS)
    assert not QUARANTINED_EVENTS.column("reasons").nullable


def test_facts_have_every_measure_and_metric_and_the_parts_of_every_ratio() -> None:
    names = set(FACT_FEATURE_METRICS.column_names)
    assert names >= {item.name for item in (*MEASURES, *METRICS, ADOPTION_RATE)}
    ratios = [metric for metric in (*METRICS, ADOPTION_RATE) if metric.denominator]
    assert ratios
    assert [m.name for m in ratios if m.numerator not in names or m.denominator not in names] == []
    assert [m.name for m in METRICS if FACT_FEATURE_METRICS.column(m.name).unit != m.unit] == []


def test_trends_follow_known_metrics_that_can_get_worse() -> None:
    assert [name for name in TREND_METRICS if METRICS_BY_NAME[name].bad_direction is None] == []
