"""Dagster's SQLite event log with connections that stay open, batches stored as such, and an end. See dagster.yaml.

Dagster opens an engine and a file for every statement, and stores the events of a batch one by one, each in two files
and several transactions. A run over a year of dates writes thousands of events, two and more a partition, and spent
more time on that than on the data. What a step says between its start and its end is stored with what follows it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from dagster._core.events import (
    ASSET_CHECK_EVENTS,
    ASSET_EVENTS,
    EVENT_TYPE_TO_PIPELINE_RUN_STATUS,
    DagsterEventType,
)
from dagster._core.storage.event_log.schema import (
    AssetCheckExecutionsTable,
    AssetEventTagsTable,
    SqlEventLogStorageTable,
)
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage
from dagster._core.storage.event_log.sqlite.sqlite_event_log import INDEX_SHARD_NAME
from dagster._serdes import ConfigurableClassData
from dagster.version import __version__ as dagster_version
from dagster_shared.record import copy
from sqlalchemy import Connection, Engine, and_, create_engine, func, or_, select
from sqlalchemy import event as engine_event
from sqlalchemy.pool import StaticPool

if TYPE_CHECKING:
    from dagster._core.events.log import EventLogEntry

BATCH_SIZE = 1000
"""At most so many events are handed over together."""

_BUSY_TIMEOUT_S = 60
_MAX_OPEN = 8

_OF_ASSETS = ASSET_EVENTS | ASSET_CHECK_EVENTS
# What a step says is stored with the start of the next step, or the end of the run, which follows at once. Whoever
# looks sees which step runs, and what has failed, as soon as it happens.
_CAN_WAIT = {
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
    DagsterEventType.STEP_INPUT,
    DagsterEventType.LOADED_INPUT,
    DagsterEventType.STEP_OUTPUT,
    DagsterEventType.HANDLED_OUTPUT,
    DagsterEventType.STEP_SUCCESS,
}


class OpenSqliteEventLogStorage(SqliteEventLogStorage):
    """SqliteEventLogStorage that keeps the engines of the shards used last, each with its one connection."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        self._engines: dict[str, Engine] = {}
        self._in_use: dict[str, Connection] = {}
        self._waiting: list[EventLogEntry] = []
        self._tables: set[str] = set()
        self._indexes: set[str] = set()
        super().__init__(base_dir, inst_data)
        self._db_lock = threading.RLock()  # type: ignore[assignment]  # one that its holder can take again
        # Without this Dagster takes its batches apart again.
        os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from dagster.yaml."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            # Within a transaction on the shard, what is asked of it belongs to that transaction.
            if shard in self._in_use:
                yield self._in_use[shard]
                return
            self._store_waiting()
            engine = self._engine(shard)
            with engine.connect() as connection, connection.begin():
                self._in_use[shard] = connection
                try:
                    yield connection
                finally:
                    del self._in_use[shard]

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, or let it wait for the next one where that follows at once: one transaction a step."""
        with self._db_lock:
            if self._waiting and self._waiting[0].run_id != event.run_id:
                self._store_waiting()
            self._waiting.append(event)
            if not _can_wait(event) or len(self._waiting) >= BATCH_SIZE:
                self._store_waiting()

    def _store_waiting(self) -> None:
        """Store the events that wait, all of one run: whatever is asked of the log, they are in it."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.store_event_batch(waiting)

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of one run, in their order: all, or on an error none."""
        rows = [self._event_to_row(each) for each in events]
        # Across runs, assets and their checks, and how each run went, are known from the index.
        indexed = [(each, row) for each, row in zip(events, rows, strict=True) if _is_indexed(each)]
        with self.run_connection(events[0].run_id) as run:
            run.execute(SqlEventLogStorageTable.insert(), rows)
            if indexed:
                self._index(indexed)

    def _index(self, events: Sequence[tuple[EventLogEntry, Mapping[str, Any]]]) -> None:
        table = SqlEventLogStorageTable
        with self.index_connection() as index:
            ids = index.execute(
                table.insert().returning(table.c.id, sort_by_parameter_order=True), [row for _, row in events]
            ).scalars()
            stored = [(each, id_) for (each, _), id_ in zip(events, ids, strict=True)]
            assets = [(each, id_) for each, id_ in stored if each.dagster_event_type in ASSET_EVENTS]
            if assets:
                self._store_asset_event_tags(index, [each for each, _ in assets], [id_ for _, id_ in assets])
            # An asset's own row tells of its last event of a kind only.
            for each, id_ in {(each.dagster_event_type, _asset_of(each)): (each, id_) for each, id_ in assets}.values():
                self._store_asset_event(index, each, id_)
            for each, id_ in stored:
                if each.dagster_event_type in ASSET_CHECK_EVENTS:
                    self.store_asset_check_event(each, id_)

    def forget(self, run_ids: Sequence[str]) -> None:
        """Forget runs that have ended, the oldest that there are; but of each partition the last that was built stays.

        Dagster's `delete_events` forgets that too: its pages and this project's sensors would take days for not built.
        """
        log, checks = SqlEventLogStorageTable.c, AssetCheckExecutionsTable.c
        is_built = log.dagster_event_type == DagsterEventType.ASSET_MATERIALIZATION.value
        newest = select(func.max(log.id)).where(is_built).group_by(log.asset_key, log.partition)
        newest_checks = select(func.max(checks.id)).group_by(checks.asset_key, checks.check_name, checks.partition)
        is_of_them = log.run_id.in_(run_ids)
        with self.index_connection() as index:
            last = index.execute(select(func.max(log.id)).where(is_of_them)).scalar() or 0
            # What an earlier call has left, as the last of its partition, and is not the last any more, goes as well.
            is_passed = or_(is_of_them, and_(is_built, log.id <= last))
            index.execute(SqlEventLogStorageTable.delete().where(is_passed, log.id.not_in(newest)))
            tags = AssetEventTagsTable
            index.execute(tags.delete().where(tags.c.event_id <= last, tags.c.event_id.not_in(select(log.id))))
            last_check = index.execute(select(func.max(checks.id)).where(checks.run_id.in_(run_ids))).scalar() or 0
            index.execute(
                AssetCheckExecutionsTable.delete().where(checks.id <= last_check, checks.id.not_in(newest_checks))
            )
        for run_id in run_ids:
            self.free_concurrency_slots_for_run(run_id)
            with self._db_lock:
                if run_id in self._engines:
                    self._engines.pop(run_id).dispose()
                self._initialized_dbs.discard(run_id)
            for ending in ("", "-wal", "-shm"):
                Path(self.path_for_shard(run_id) + ending).unlink(missing_ok=True)

    def _store_asset_check_evaluation_planned(self, event: EventLogEntry, event_id: int | None) -> None:
        # Dagster plans a check for every date of the run's range, also one that answers once for all: those plans are
        # never met, and one by one they outgrow everything else in the index.
        planned = event.get_dagster_event()
        once = planned._replace(event_specific_data=copy(planned.event_specific_data, partitions_subset=None))
        super()._store_asset_check_evaluation_planned(event._replace(dagster_event=once), event_id)

    def _has_asset_key_index_cols_on_connection(self, conn: Connection) -> bool:
        # Dagster looks this up for every event; no storage of this project is older than the columns.
        return True

    def has_asset_key_col(self, column_name: str) -> bool:
        # Likewise, for every asset that is read.
        return True

    def has_table(self, table_name: str) -> bool:
        # Dagster asks this for every event of a check, by a connection made for it. No table is ever taken away.
        if table_name not in self._tables and super().has_table(table_name):
            self._tables.add(table_name)
        return table_name in self._tables

    def has_secondary_index(self, name: str) -> bool:
        # Likewise: a migration that is done stays done.
        if name not in self._indexes and super().has_secondary_index(name):
            self._indexes.add(name)
        return name in self._indexes

    def _copy_empty(self, shard: str) -> bool:
        """Begin the file of a run as a copy of an empty one, if there is one: to make it takes alembic a while."""
        path, empty = Path(self.path_for_shard(shard)), self._empty_shard
        if shard == INDEX_SHARD_NAME or path.exists() or not empty.exists():
            return False
        copied = path.with_name(f".{path.name}.{os.getpid()}")
        shutil.copyfile(empty, copied)
        # Another process may make it at the same moment: whoever is first has made it.
        with suppress(OSError):
            os.link(copied, path)
        copied.unlink()
        return path.exists()

    def _keep_empty(self, shard: str, engine: Engine) -> None:
        """Keep the file of a run that has just been made, before anything is in it, for those that follow."""
        if shard == INDEX_SHARD_NAME or self._empty_shard.exists():
            return
        copied = self._empty_shard.with_name(f"{self._empty_shard.name}.{os.getpid()}")
        with engine.connect() as connection:
            if connection.execute(select(func.count()).select_from(SqlEventLogStorageTable)).scalar():
                return
            connection.exec_driver_sql("vacuum into ?", (str(copied),))
        with closing(sqlite3.connect(copied)) as kept:
            # The copy would have the other kind of journal.
            kept.execute("pragma journal_mode = wal")
        os.replace(copied, self._empty_shard)

    @property
    def _empty_shard(self) -> Path:
        # What Dagster expects of one may differ from version to version. Files that begin with a dot are no runs.
        return Path(self._base_dir) / f".empty-{dagster_version}"

    def _engine(self, shard: str) -> Engine:
        engine = self._engines.pop(shard, None)
        if engine is None:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                poolclass=StaticPool,
                connect_args={"timeout": _BUSY_TIMEOUT_S, "check_same_thread": False},
            )
            # With a write-ahead log this loses at most the last events in a power cut, and never the file; what is
            # built is known from the warehouse.
            engine_event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous = NORMAL"))
            if shard not in self._initialized_dbs:
                if not self._copy_empty(shard):
                    self._initdb(engine)
                    self._keep_empty(shard, engine)
                self._initialized_dbs.add(shard)
        self._engines[shard] = engine
        while len(self._engines) > _MAX_OPEN:
            self._engines.pop(next(iter(self._engines))).dispose()
        return engine

    def dispose(self) -> None:
        """Close everything."""
        with self._db_lock:
            self._store_waiting()
        while self._engines:
            self._engines.popitem()[1].dispose()
        super().dispose()


def _can_wait(event: EventLogEntry) -> bool:
    # What people report by hand is of no step, and nothing follows it.
    said = event.dagster_event
    return said is not None and said.step_key is not None and said.event_type in _CAN_WAIT


def _is_indexed(event: EventLogEntry) -> bool:
    kind = event.dagster_event_type if event.is_dagster_event else None
    return kind in _OF_ASSETS or kind in EVENT_TYPE_TO_PIPELINE_RUN_STATUS


def _asset_of(entry: EventLogEntry) -> str:
    key = entry.dagster_event.asset_key if entry.dagster_event else None
    return key.to_string() if key else ""
