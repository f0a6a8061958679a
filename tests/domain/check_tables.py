"""The tables that checks ask, in memory with a few rows each, and what the checks answer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

import duckdb

from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import Check

Row = Mapping[str, Any]
Answered = tuple[str, bool | None, float, float, int, list[str]]
"""A partition's key, passed, observed, threshold, unexpected count, and the examples by name."""


@contextmanager
def tables_of(
    checks: Iterable[Check], read: Iterable[Table], *, keeps_contract: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The subjects of `checks` and what else they read; without what their contracts demand, unless it is kept."""
    every = {check.subject.name: TABLES_BY_NAME[check.subject.name] for check in checks}
    every |= {table.qualified_name: table for table in (*read, PARTITION_STATE)}
    with duckdb.connect(config={"threads": 1}) as connection:
        for schema in sorted({table.schema for table in every.values()}):
            connection.execute(f"create schema {schema}")
        for table in every.values():
            columns = ", ".join(f'"{column.name}" {column.type}' for column in table.columns)
            plain = f"create table {table.qualified_name} ({columns})"
            connection.execute(table.create_sql() if keeps_contract else plain)
        yield connection


@contextmanager
def undone(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """The connection, on which nothing that was written meanwhile stays."""
    connection.execute("begin transaction")
    try:
        yield connection
    finally:
        connection.execute("rollback")


def write(connection: duckdb.DuckDBPyConnection, table: Table, rows: Iterable[Row]) -> None:
    """Rows of a table, of which what a check reads is given."""
    for row in rows:
        marks = ", ".join("?" for _ in row)
        connection.execute(
            f"insert into {table.qualified_name} ({table.select_list(list(row))}) values ({marks})", [*row.values()]
        )


def built(connection: duckdb.DuckDBPyConnection, table: Table, days: Iterable[date]) -> None:
    """Say that a table has partitions of some days."""
    write(connection, PARTITION_STATE, ({"table_name": table.qualified_name, "event_date": day} for day in days))


def rows_of(connection: duckdb.DuckDBPyConnection, check: Check, start: date, end: date) -> list[tuple[Any, ...]]:
    """What the SQL of a check gives for the days of a range."""
    dates = {"start": start, "end": end}
    return connection.execute(check.sql, {n: v for n, v in dates.items() if f"${n}" in check.sql}).fetchall()


def answers_of(connection: duckdb.DuckDBPyConnection, check: Check, start: date, end: date) -> list[Answered]:
    """Each partition, by its key."""
    rows = rows_of(connection, check, start, end)
    return sorted((*row[:5], sorted(json.loads(row[5] or "[]") or [])) for row in rows)  # type: ignore[arg-type]
