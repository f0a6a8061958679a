"""The snapshot in force, opened once, with the results that were computed from it. No SQL and no components here.

Everything that a page shows comes from one `Reader`. A new snapshot is a new reader with an empty cache, so nothing
that was computed from an old one can be served again.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from quality_assets.stores.failures import BuildFailure, failures
from quality_assets.stores.snapshots import PublicationAttempt, Snapshot, current_snapshot, last_attempt, open_snapshot

log = logging.getLogger(__name__)

Row = dict[str, Any]
P = ParamSpec("P")
R = TypeVar("R")

CACHE_ENTRIES = 600


class Cache:
    """A least-recently-used cache whose entries are computed once, however many threads ask at the same time."""

    def __init__(self, entries: int = CACHE_ENTRIES) -> None:
        self._entries = entries
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._guard = threading.Lock()

    def get(self, key: Hashable, compute: Callable[[], R]) -> R:
        """The value under `key`, computed when it is not there. An exception of `compute` is not kept."""
        with self._guard:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            with self._guard:
                if key in self._values:
                    return self._values[key]
            value = compute()
            with self._guard:
                self._values[key] = value
                self._locks.pop(key, None)
                while len(self._values) > self._entries:
                    self._values.popitem(last=False)
            return value


def arrow(connection: Any, sql: str, tables: Mapping[str, Any]) -> Any:
    """The rows of one query as an Arrow table; `tables` are Arrow tables that it may name. Raises duckdb.Error."""
    for name, table in tables.items():
        connection.register(name, table)
    return connection.sql(sql).to_arrow_table()


class Reader:
    """One published snapshot, open for reading from any thread."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self.cache = Cache()
        self._connection = open_snapshot(snapshot)
        found = self.rows(
            "select table_schema || '.' || table_name as name, list(column_name) as columns"
            " from information_schema.columns group by all"
        )
        self._columns = {row["name"]: frozenset(row["columns"]) for row in found}

    def rows(self, sql: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> list[Row]:
        """The rows of one query, each a dict. Raises duckdb.Error."""
        cursor = self._connection.cursor()
        try:
            cursor.execute(sql, parameters)
            names = [column[0] for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        finally:
            cursor.close()

    def arrow(self, sql: str, **tables: Any) -> Any:
        """The rows of one query as an Arrow table; `tables` are Arrow tables that it may name. Raises duckdb.Error."""
        cursor = self._connection.cursor()
        try:
            return arrow(cursor, sql, tables)
        finally:
            cursor.close()

    def has(self, *tables: str) -> bool:
        """Whether the snapshot has all of these tables, named `schema.table`."""
        return all(table in self._columns for table in tables)

    def columns(self, table: str) -> frozenset[str]:
        """The columns of a table; none where the snapshot does not have it."""
        return self._columns.get(table, frozenset())

    @property
    def through(self) -> date | None:
        """The last day with events."""
        return self.snapshot.data_through


_open_readers: WeakValueDictionary[Path, Reader] = WeakValueDictionary()
_open_lock = threading.Lock()


def open_reader(snapshot: Snapshot) -> Reader:
    """The one reader of a snapshot in this process: DuckDB shares instances by path, and their settings are locked."""
    with _open_lock:
        reader = _open_readers.get(snapshot.folder)
        if reader is None:
            reader = _open_readers[snapshot.folder] = Reader(snapshot)
            log.info("snapshot opened", extra={"version": snapshot.version})
        return reader


class SnapshotStore:
    """Gives the reader of the snapshot in force, and follows the pointer when it moves."""

    def __init__(self, published_dir: Path) -> None:
        self._published_dir = published_dir
        self._lock = threading.Lock()
        self._reader: Reader | None = None

    def reader(self) -> Reader | None:
        """The reader of the snapshot in force; None before the first publication."""
        snapshot = current_snapshot(self._published_dir)
        if snapshot is None:
            return None
        with self._lock:
            if self._reader is None or self._reader.snapshot.version != snapshot.version:
                # The old connection is left to the requests that still use it and closes with the last of them.
                self._reader = open_reader(snapshot)
            return self._reader

    def attempt(self) -> PublicationAttempt | None:
        """How the last publication went; None before the first."""
        return last_attempt(self._published_dir)

    def failures(self) -> list[BuildFailure]:
        """What fails to be built just now."""
        return failures(self._published_dir)

    def token(self) -> str:
        """Changes whenever a page would have to say something else: a new snapshot, attempt or failure."""
        snapshot, attempt = current_snapshot(self._published_dir), self.attempt()
        refused = attempt.attempted_at.isoformat() if attempt and attempt.status == "refused" else ""
        failing = "".join(f"|{each.asset} {each.failed_at.isoformat()}" for each in self.failures())
        return f"{snapshot.version if snapshot else ''}|{refused}{failing}"


def per_snapshot(function: Callable[Concatenate[Reader, P], R]) -> Callable[Concatenate[Reader, P], R]:
    """Keep what `function(reader, …)` returns for as long as the reader lives. Arguments must be hashable."""

    @functools.wraps(function)
    def cached(reader: Reader, *args: P.args, **kwargs: P.kwargs) -> R:
        key = (function.__module__, function.__qualname__, args, tuple(sorted(kwargs.items())))
        return reader.cache.get(key, lambda: function(reader, *args, **kwargs))

    return cached
