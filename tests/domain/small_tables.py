"""Tables of a few rows in memory, for the SQL that a test asks of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from typing import Any

import duckdb

from tests.small_rows import insert_values


def make(connection: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Iterable[Sequence[Any]]) -> None:
    """Make a table of these columns, as SQL, and rows."""
    if "." in name:
        connection.execute(f"create schema if not exists {name.partition('.')[0]}")
    connection.execute(f"create or replace table {name} ({columns})")
    given = [list(row) for row in rows]
    if given:
        insert_values(connection, name, given)


def asked(connection: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, Any] | None = None) -> list[Any]:
    """The rows of a query, each a dict."""
    found = connection.execute(sql, parameters or {})
    names = [column[0] for column in found.description or ()]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The 95 % score interval of a share."""
    z, n, p = 1.959963984540054, trials, successes / trials
    middle, half = (p + z * z / 2 / n) / (1 + z * z / n), z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / 4 / n**2)
    return max(0.0, middle - half), min(1.0, middle + half)
