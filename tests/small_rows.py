"""A few rows for a table in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import duckdb

# A statement of very many marks takes longer to read than it saves.
ROWS_AT_ONCE = 20


def insert_values(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Sequence[Any]]) -> None:
    """Append rows of all columns of a table: several by one statement, as each takes longer than a row does."""
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = rows[start : start + ROWS_AT_ONCE]
        marks = ", ".join([f"({', '.join('?' * len(part[0]))})"] * len(part))
        connection.execute(f"insert into {table} values {marks}", [value for row in part for value in row])
