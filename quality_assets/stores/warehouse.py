"""Opening the warehouse: one writer at a time, every table as its contract says, limits from the settings.

Servers never come here; they read published snapshots.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
from filelock import FileLock, Timeout

from quality_assets.contracts.catalog import LAKE_TABLES, SCHEMAS, TABLES
from quality_assets.contracts.ml import MODEL_METRICS
from quality_assets.contracts.table import Table
from quality_assets.contracts.users import DIM_USERS
from quality_assets.domain.impact.sessions import DIM_USERS_SQL
from quality_assets.domain.sql_text import identifier
from quality_assets.settings import Settings
from quality_assets.stores.lake import Lake, is_current_mark, refresh_view, view_marks
from quality_assets.stores.locks import is_held
from quality_assets.stores.shared_metrics import name_use_case, share_model_metrics
from quality_assets.stores.spilling import spill_to

LOCK_TIMEOUT_S = 600.0
FOREIGN_TIMEOUT_S = 60.0
_LOOKED_AGAIN_S = 0.2

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class WarehouseBusyError(RuntimeError):
    """Another process held the warehouse for too long. The message says which, and what to do."""


@dataclass(frozen=True)
class WarehouseSession:
    """An open warehouse: its connection, and the lake whose transaction log it holds."""

    connection: duckdb.DuckDBPyConnection
    lake: Lake
    settings: Settings

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All statements within, or none."""
        self.connection.execute("begin transaction")
        try:
            yield
        except BaseException:
            self.connection.execute("rollback")
            raise
        self.connection.execute("commit")


@contextmanager
def open_warehouse(settings: Settings, lock_timeout_s: float = LOCK_TIMEOUT_S) -> Iterator[WarehouseSession]:
    """The warehouse, open for writing and up to its contracts; waits while another process has it.

    Raises WarehouseBusyError when that takes longer than `lock_timeout_s`. Sessions nest within a process.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    lock_path = settings.data_dir / ".writer.lock"
    lock = FileLock(lock_path, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=lock_timeout_s)
    except Timeout as error:
        raise WarehouseBusyError(
            f"another process has been writing to {settings.warehouse_path} for more than {lock_timeout_s:.0f} s;"
            f" wait for its run to end, or stop it (the lock is {lock_path})"
        ) from error
    try:
        if lock.lock_counter == 1:
            _sweep_scratch(settings)
        with _connect_once_free(settings, min(lock_timeout_s, FOREIGN_TIMEOUT_S)) as connection:
            if _kept and _kept[-1].settings == settings:
                # What is kept open has it all but what is a connection's own.
                _set_variables(connection, settings)
            else:
                apply_limits(connection, settings)
                _bootstrap(connection, settings)
            yield WarehouseSession(connection, Lake(connection, settings.data_dir, settings.scratch_dir), settings)
    finally:
        lock.release()


@contextmanager
def looked_into(settings: Settings, lock_timeout_s: float = 0.0) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse's file, opened for reading, with its lock held: a run that finds it open would fail.

    Nothing is made where it is not there. Raises WarehouseBusyError where a run has it.
    """
    with ExitStack() as held:
        try:
            held.enter_context(FileLock(settings.data_dir / ".writer.lock", timeout=lock_timeout_s))
        except Timeout as error:
            raise WarehouseBusyError("a run is writing") from error
        opened = duckdb.connect(str(settings.warehouse_path), read_only=True, config={"custom_user_agent": "dagster"})
        yield held.enter_context(opened)


def is_being_written(settings: Settings) -> bool:
    """Whether another process has the warehouse just now."""
    return is_held(settings.data_dir / ".writer.lock")


@contextmanager
def keep_open(settings: Settings) -> Iterator[None]:
    """Keep the warehouse open, and its lock held, meanwhile: to open it for each of many steps loads its file anew."""
    with open_warehouse(settings) as session:
        _kept.append(session)
        try:
            yield
        finally:
            while _kept:
                _kept.pop().connection.close()


@contextmanager
def open_kept(settings: Settings) -> Iterator[WarehouseSession]:
    """The session that `keep_open` keeps, for what leaves nothing behind on it; else one of its own.

    To open another for each of a hundred steps costs more than most of what they ask.
    """
    if _kept and _kept[-1].settings == settings:
        yield _kept[-1]
        return
    with open_warehouse(settings) as session:
        yield session


@contextmanager
def let_go(settings: Settings) -> Iterator[None]:
    """Meanwhile, keep open nothing that `keep_open` does: what is copied must not be open. The lock stays held."""
    is_kept = bool(_kept)
    while _kept:
        _kept.pop().connection.close()
    yield
    if is_kept:
        connection = _connect_once_free(settings, FOREIGN_TIMEOUT_S)
        apply_limits(connection, settings)
        _kept.append(WarehouseSession(connection, Lake(connection, settings.data_dir, settings.scratch_dir), settings))


# What is kept open, by this process.
_kept: list[WarehouseSession] = []


def _connect_once_free(settings: Settings, timeout_s: float) -> duckdb.DuckDBPyConnection:
    """The warehouse's file, opened for writing; raises WarehouseBusyError where a program that knows nothing of our
    lock, such as one that shows databases, has it open for longer.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _connect(settings)
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise
            if time.monotonic() > deadline:
                raise _opened_elsewhere(settings, str(error)) from error
        time.sleep(_LOOKED_AGAIN_S)


def _connect(settings: Settings) -> duckdb.DuckDBPyConnection:
    # Dagster's own DuckDB resource opens with this agent, and one process must open one file in one way.
    return duckdb.connect(str(settings.warehouse_path), config={"custom_user_agent": "dagster"})


def _opened_elsewhere(settings: Settings, said: str) -> WarehouseBusyError:
    holder = re.search(r"held in (\S+) \(PID (\d+)\)", said)
    who = f"process {holder[2]}, {Path(holder[1]).name}" if holder else "which one, DuckDB does not say"
    return WarehouseBusyError(
        f"another program has {settings.warehouse_path} open ({who}); close it there: `quality sql`, and the file that"
        " published/CURRENT names, read beside runs"
    )


def _sweep_scratch(settings: Settings) -> None:
    """Remove what killed processes have left half-written; call where nobody else can be writing."""
    for left in settings.scratch_dir.glob("*.parquet"):
        left.unlink(missing_ok=True)
    for kind in ("spill-*", "staging-*"):
        for folder in settings.scratch_dir.glob(kind):
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def open_scratch(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database for work in progress that spills to the scratch folder.

    One that is left in peace and has not spilled is emptied and serves again: to make one takes longer than much of
    what is done in it.
    """
    try:
        connection = _idle.pop()
    except IndexError:
        connection = duckdb.connect(":memory:")
    try:
        apply_limits(connection, settings)
        yield connection
        if not _idle and not _spill_folder(settings).exists():
            _clear(connection)
            _idle.append(connection)
    finally:
        if connection not in _idle:
            connection.close()


# A scratch database that is done with, of this process.
_idle: list[duckdb.DuckDBPyConnection] = []


@atexit.register
def _close_idle() -> None:
    # What is left open when the interpreter ends DuckDB reports as leaks.
    while _idle:
        _idle.pop().close()


def _clear(scratch: duckdb.DuckDBPyConnection) -> None:
    """Leave nothing in a scratch database of what was made in it, and no setting."""
    scratch.execute("reset threads")
    for (name,) in scratch.execute(
        "select schema_name from duckdb_schemas() where not internal and database_name = current_database()"
    ).fetchall():
        scratch.execute(f"drop schema {identifier(name)} cascade")
    empty(scratch)
    for kind in ("view", "type"):
        for (name,) in scratch.execute(f"select {kind}_name from duckdb_{kind}s() where not internal").fetchall():
            scratch.execute(f"drop {kind} {identifier(name)}")


def empty(scratch: duckdb.DuckDBPyConnection) -> None:
    """Drop all tables of a scratch database, whose memory serves again; a new one would ask the system for its own."""
    for (name,) in scratch.execute("select table_name from duckdb_tables()").fetchall():
        scratch.execute(f"drop table {identifier(name)}")


def insert_rows(connection: duckdb.DuckDBPyConnection, table: str, rows: object) -> None:
    """Append a frame or an Arrow table to a table: columns go by name, and one that the rows lack is null."""
    connection.register("rows_to_write", rows)
    # What is left unread would be in the way of the next registration.
    connection.execute(f"insert into {table} by name from rows_to_write").fetchall()
    # Not where it has failed: in the failed transaction this would fail too, and hide why.
    connection.unregister("rows_to_write")


def side_by_side(
    scratch: duckdb.DuckDBPyConnection,
    settings: Settings,
    task: Callable[[duckdb.DuckDBPyConnection, Item], Outcome],
    items: Collection[Item],
) -> Iterator[Outcome]:
    """What `task` makes of each item, in their order: several at a time, each on a cursor of `scratch`.

    What is of the size of a day takes less CPU and less time with one thread for each; where there are fewer items than
    threads, they share them.
    """
    if not items:
        return
    workers = min(settings.workers, len(items))
    scratch.execute("SET threads = ?", [settings.workers // workers])

    def run(item: Item) -> Outcome:
        with scratch.cursor() as cursor:
            return task(cursor, item)

    with ThreadPoolExecutor(max_workers=workers) as pool:
        yield from pool.map(run, items)


def _spill_folder(settings: Settings) -> Path:
    return settings.scratch_dir / f"spill-{os.getpid()}"


def apply_limits(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Memory, threads and spill folder as the settings say; UTC, so that no result depends on the machine's zone."""
    connection.execute("SET memory_limit = ?", [f"{settings.memory_limit_mb}MiB"])
    spill_to(connection, _spill_folder(settings))
    _set_variables(connection, settings)
    if settings.threads is not None:
        connection.execute("SET threads = ?", [settings.threads])


def _set_variables(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """What each connection to an open database has for itself."""
    # What facts are built from, beside their tables; fingerprints speak of it.
    connection.execute(f"SET TimeZone = 'UTC'; SET VARIABLE apdex_threshold_ms = '{settings.apdex_threshold_ms!r}'")


def create_tables(connection: duckdb.DuckDBPyConnection, tables: tuple[Table, ...] = TABLES) -> None:
    """Make every warehouse table stand as its contract says, adding columns that the contract has gained."""
    for schema in SCHEMAS:
        connection.execute(f"create schema if not exists {schema}")
    # What is a table by now was a view in roots that were made before.
    names = {table.qualified_name for table in tables if table.store == "warehouse"}
    views = connection.execute(
        "select schema_name || '.' || view_name from duckdb_views() where not internal"
    ).fetchall()
    for (name,) in views:
        if name in names:
            connection.execute(f"drop view {name}")
    present = _present_columns(connection)
    if share_model_metrics(connection, present.get(MODEL_METRICS.qualified_name)):
        present[MODEL_METRICS.qualified_name] = set(MODEL_METRICS.column_names)
    for table in tables:
        if table.store != "warehouse":
            continue
        columns = present.get(table.qualified_name)
        if columns is None:
            connection.execute(table.create_sql())
            continue
        _add_columns(connection, table, columns)


def _add_columns(connection: duckdb.DuckDBPyConnection, table: Table, present: Collection[str]) -> None:
    for column in table.columns:
        if column.name not in present:
            connection.execute(f'alter table {table.qualified_name} add column "{column.name}" {column.type}')
            if column.name == "model":
                name_use_case(connection, table.qualified_name)


def _present_columns(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    present: dict[str, set[str]] = {}
    for name, column in connection.execute(
        "select schema_name || '.' || table_name, column_name from duckdb_columns() where not internal"
    ).fetchall():
        present.setdefault(name, set()).add(column)
    return present


def refresh_lake_views(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Point the views over the lake at the files that are there."""
    marks = view_marks(connection)
    for table in LAKE_TABLES:
        if not is_current_mark(marks.get(table.qualified_name), table, settings.lake_dir):
            refresh_view(connection, table, settings.lake_dir)


# The databases that this process has found, or made, as the contracts say: file and inode.
_prepared: set[tuple[str, int]] = set()


def _bootstrap(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    database = (str(settings.warehouse_path), settings.warehouse_path.stat().st_ino)
    # A new file may have the number of one that was deleted.
    is_new = not connection.execute("select 1 from duckdb_schemas() where schema_name = 'ops'").fetchall()
    if is_new or database not in _prepared:
        create_tables(connection)
        refresh_lake_views(connection, settings)
        connection.execute(f"create or replace view {DIM_USERS.qualified_name} as {DIM_USERS_SQL}")
        _prepared.add(database)
