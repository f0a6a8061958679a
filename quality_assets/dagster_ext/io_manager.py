"""The IO manager for small pandas frames: one transaction, columns by name, types from the contract.

It replaces what dagster-duckdb-pandas does on write, where a failed insert loses the rows it replaced, columns go in
by position and the first write fixes the types. Events never come this way; see `tables/events.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pandas as pd
from dagster import InputContext, OutputContext
from dagster._core.definitions.metadata import TableMetadataSet
from dagster._core.storage.db_io_manager import DbIOManager, DbTypeHandler, TableSlice
from dagster_duckdb import DuckDBIOManager
from dagster_duckdb.io_manager import DuckDbClient
from dagster_duckdb_pandas import DuckDBPandasTypeHandler

from quality_assets.settings import Settings, get_settings
from quality_assets.stores.warehouse import insert_rows, open_warehouse


class ContractFrameHandler(DuckDBPandasTypeHandler):
    """Writes frames into tables that exist as their contracts say; columns match by name, empty frames are written."""

    def handle_output(
        self, context: OutputContext, table_slice: TableSlice, obj: pd.DataFrame, connection: duckdb.DuckDBPyConnection
    ) -> None:
        """Insert the frame; a column that the table lacks, or a value that its type refuses, is an error."""
        insert_rows(connection, f"{table_slice.schema}.{table_slice.table}", obj)
        rows = len(obj)
        counted = (
            TableMetadataSet(partition_row_count=rows, storage_kind="duckdb")
            if context.has_partition_key
            else TableMetadataSet(row_count=rows, storage_kind="duckdb")
        )
        context.add_output_metadata(dict(counted))


class _WarehouseClient(DuckDbClient):
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def connect(  # type: ignore[override]  # the parent's are static, and read a global configuration
        self, context: OutputContext | InputContext, table_slice: TableSlice
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        with open_warehouse(self._settings) as session, session.transaction():
            yield session.connection

    @staticmethod
    def ensure_schema_exists(context: OutputContext, table_slice: TableSlice, connection: object) -> None:
        """Contracts have made every schema and table already."""

    @staticmethod
    def delete_table_slice(
        context: OutputContext, table_slice: TableSlice, connection: duckdb.DuckDBPyConnection
    ) -> None:
        # The parent swallows "no such table", which would go on in an aborted transaction.
        where = DuckDbClient.get_select_statement(table_slice).partition(" WHERE\n")[2]
        connection.execute(
            f"delete from {table_slice.schema}.{table_slice.table}" + (f" where {where}" if where else "")
        )

    @staticmethod
    def get_table_name(table_slice: TableSlice) -> str:
        """schema.table, without the path of the database that the parent would publish."""
        return f"{table_slice.schema}.{table_slice.table}"


class WarehouseFrameIOManager(DuckDBIOManager):
    """Stores small pandas frames as warehouse tables: schema and table from the asset key."""

    database: str = ""

    @staticmethod
    def type_handlers() -> Sequence[DbTypeHandler]:
        """Frames only."""
        return [ContractFrameHandler()]

    @staticmethod
    def default_load_type() -> type | None:
        """Inputs without annotation come as frames."""
        return pd.DataFrame

    def create_io_manager(self, context: object) -> DbIOManager:
        """The manager over the warehouse of the settings in force."""
        return DbIOManager(
            db_client=_WarehouseClient(get_settings()),
            database="",
            schema=None,
            type_handlers=self.type_handlers(),
            default_load_type=self.default_load_type(),
            io_manager_name="WarehouseFrameIOManager",
        )
