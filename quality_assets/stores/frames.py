"""Frames in and out of warehouse tables whose rows are computed outside of SQL: columns and types as contracts say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from quality_assets.contracts.table import Table
from quality_assets.stores.warehouse import WarehouseSession, insert_rows

if TYPE_CHECKING:
    import pyarrow as pa


def read_frame(session: WarehouseSession, sql: str, parameters: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The rows of a query."""
    return session.connection.execute(sql, dict(parameters or {})).df()


def replace_rows(
    session: WarehouseSession,
    table: Table,
    frame: pd.DataFrame,
    where: str = "true",
    parameters: Mapping[str, Any] | None = None,
) -> int:
    """Put `frame` in the place of the rows of `table` that `where` names, all at once; rows written.

    Columns go by name; one that the frame lacks is null. A value that its column's type refuses raises, and nothing
    has changed then.
    """
    rows = as_arrow(table, frame)
    connection = session.connection
    with session.transaction():
        # In this order: to register, DuckDB wants all rows of the last query fetched, or another begun.
        connection.execute(f"delete from {table.qualified_name} where {where}", dict(parameters or {}))
        insert_rows(connection, table.qualified_name, rows)
    return int(rows.num_rows)


def as_arrow(table: Table, frame: pd.DataFrame) -> pa.Table:
    """The contract's columns of a frame, in the contract's types: left to itself DuckDB guesses them from samples."""
    import pyarrow as pa

    types = {
        "VARCHAR": pa.string(),
        "DATE": pa.date32(),
        "TIMESTAMP": pa.timestamp("us"),
        "DOUBLE": pa.float64(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "BOOLEAN": pa.bool_(),
        "VARCHAR[]": pa.list_(pa.string()),
        "DOUBLE[]": pa.list_(pa.float64()),
    }
    columns = {}
    for column in table.columns:
        if column.name in frame:
            columns[column.name] = _array(frame[column.name], types[column.type])
        else:
            columns[column.name] = pa.nulls(len(frame), types[column.type])
    return pa.table(columns)


def _array(values: pd.Series, wanted: Any) -> Any:
    import pyarrow as pa

    if not len(values):
        # Of no values pandas knows no type.
        return pa.array([], wanted)
    if pa.types.is_date32(wanted):
        values = pd.to_datetime(values)
    if values.dtype == object and not pa.types.is_nested(wanted):
        # NaN and NaT among objects are nulls too.
        return pa.array(
            [None if missing else value for value, missing in zip(values, values.isna(), strict=True)], wanted
        )
    return pa.array(values, type=wanted) if values.dtype == object else pa.Array.from_pandas(values).cast(wanted)
