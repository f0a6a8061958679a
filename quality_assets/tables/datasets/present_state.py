"""The present state of a table that is no file: a query's result, a table of a DuckDB file or the snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from duckdb import DuckDBPyConnection

from quality_assets.clock import utc_now
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.settings import Settings
from quality_assets.stores.datasets.loaded import Loaded
from quality_assets.stores.datasets.loading import load_duckdb, scratch_database
from quality_assets.stores.datasets.queries import load_query
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.snapshots import current_snapshot, why_none_is_published
from quality_assets.tables.datasets.batches import place_of
from quality_assets.tables.datasets.registering import Registered


@contextmanager
def state_file(settings: Settings, dataset: Registered) -> Iterator[tuple[Path, str]]:
    """A file with the rows as they are now, in an order that the same rows always have, and a name for the batch."""
    source = dataset.source
    with scratch_database(settings) as (connection, scratch):
        if source.query is not None:
            assert source.secret is not None
            loaded = load_query(connection, source.query, source.secret)
        elif source.path is not None:
            loaded = load_duckdb(connection, place_of(settings, source.path), source.table)
        else:
            snapshot = current_snapshot(settings.published_dir)
            if snapshot is None:
                raise FileRejected(why_none_is_published(settings.published_dir))
            loaded = load_duckdb(connection, snapshot.warehouse_path, source.table, beside=snapshot.folder)
        target = scratch / "state.parquet"
        connection.execute(
            f"COPY (SELECT {_named(loaded)} FROM batch ORDER BY {_in_order(connection)}) TO {literal(str(target))}"
            " (FORMAT parquet)"
        )
        yield target, f"{source.name} {utc_now():%Y-%m-%dT%H:%M:%S}"


def _named(loaded: Loaded) -> str:
    return ", ".join(f"c{index} AS {identifier(name)}" for index, name in enumerate(loaded.columns))


def _in_order(connection: DuckDBPyConnection) -> str:
    """All columns, numbers that are texts by what they count first: as 1, 10, 100, 2 their neighbours would be odd."""
    keys: list[str] = []
    for name, type_, *_ in connection.execute("DESCRIBE batch").fetchall():
        keys += [f"TRY_CAST({name} AS DOUBLE)", name] if type_ == "VARCHAR" else [name]
    return ", ".join(keys)
