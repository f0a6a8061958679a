"""Snapshots of a few rows, in memory: a test names the tables that there are and the cells that it speaks of.

What a test does not name is null, or an empty value where the contract forbids null.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import duckdb

from quality_assets.contracts.catalog import TABLES_BY_NAME as TABLES
from quality_assets.contracts.table import Column, Table
from quality_assets.read.reader import Reader
from quality_assets.stores.snapshots import Snapshot
from tests.small_rows import insert_values

# A Tuesday.
THROUGH = date(2026, 3, 31)

Cells = dict[str, Any]

_EMPTY = {"VARCHAR": "", "BOOLEAN": False, "DATE": date(1999, 1, 1), "TIMESTAMP": datetime(1999, 1, 1)}


def ago(days: int) -> date:
    """So many days before the last day with events."""
    return THROUGH - timedelta(days=days)


def at(days: int, hour: int = 6) -> datetime:
    """An hour of the day that is so many days before the last one with events."""
    return datetime.combine(ago(days), datetime.min.time()) + timedelta(hours=hour)


def snapshot_of(
    tables: Mapping[str, Sequence[Cells]], *, through: date | None = THROUGH, version: str = "20260401T060000"
) -> Reader:
    """A reader of a snapshot that holds these tables with these rows, and no other table."""
    connection = _FREE.pop() if _FREE else duckdb.connect(":memory:")
    for name, rows in tables.items():
        _fill(connection, TABLES[name], rows)
    snapshot = Snapshot(version, datetime(2026, 4, 1, 6), through, "run-1", "fingerprint", Path("nowhere"))
    with patch.dict(Reader.__init__.__globals__, open_snapshot=lambda _: connection):
        reader = Reader(snapshot)
    weakref.finalize(reader, _free, connection, {TABLES[name].schema for name in tables})
    return reader


# To make a database takes longer than most of what a test asks of it: one that nobody reads any more serves again.
_FREE: list[duckdb.DuckDBPyConnection] = []


def _free(connection: duckdb.DuckDBPyConnection, schemas: Iterable[str]) -> None:
    for schema in schemas:
        connection.execute(f"drop schema {schema} cascade")
    _FREE.append(connection)


def _fill(connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Cells]) -> None:
    connection.execute(f"create schema if not exists {table.schema}")
    connection.execute(table.create_sql())
    for row in rows:
        unknown = row.keys() - set(table.column_names)
        assert not unknown, f"{table.qualified_name} has no column {unknown}"
    if rows:
        insert_values(
            connection, table.qualified_name, [[row.get(c.name, _empty(c)) for c in table.columns] for row in rows]
        )


def _empty(column: Column) -> Any:
    if column.nullable:
        return None
    return [] if column.type.endswith("[]") else _EMPTY.get(column.type, 0)
