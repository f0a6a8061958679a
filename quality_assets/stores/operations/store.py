"""The operations store: what people say and what must be told, apart from the warehouse with its one writer.

`operations_of(settings)` gives the store of a data root, open and at this code's revision. Meaning is given elsewhere.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Lock, local
from typing import Any

from sqlalchemy import Connection, Engine, Select, insert, select, update

from quality_assets.settings import Settings
from quality_assets.stores.operations.engine import CHANGED, IS_READER, connect_sqlite, engine_of
from quality_assets.stores.operations.house_tables import CHANGE_COUNT
from quality_assets.stores.operations.tables import METADATA
from quality_assets.stores.operations.upgrade import upgrade

_COUNTER = "operations"
_COPIED_ROWS = 1000


class Operations:
    """One operations store, for any number of threads. `write` and `read` give a connection in a transaction."""

    def __init__(self, engine: Engine, lock_path: Path) -> None:
        self.engine = engine
        self._within = local()
        try:
            upgrade(engine, lock_path)
        except BaseException:
            engine.dispose()
            raise

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction with the store to itself; what it did is kept whole, or not at all where it raises.

        Within another of the same thread it is a part of that one.
        """
        outer = getattr(self._within, "connection", None)
        if outer is not None:
            yield outer
            return
        with self.engine.begin() as connection:
            connection.info[CHANGED] = False
            self._within.connection = connection
            try:
                yield connection
            finally:
                self._within.connection = None
            if not connection.info[CHANGED]:
                return
            count = CHANGE_COUNT.c.value
            changed = connection.execute(
                update(CHANGE_COUNT).where(CHANGE_COUNT.c.name == _COUNTER).values(value=count + 1)
            )
            if not changed.rowcount:
                connection.execute(insert(CHANGE_COUNT).values(name=_COUNTER, value=1))

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state, and waits for nobody."""
        options: dict[str, Any] = {IS_READER: True}
        if self.engine.dialect.name == "postgresql":
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection, connection.begin():
            yield connection

    def change_count(self) -> int:
        """How often the store was written: whoever shows it looks again once this has grown."""
        with self.read() as connection:
            found = connection.execute(select(CHANGE_COUNT.c.value).where(CHANGE_COUNT.c.name == _COUNTER)).scalar()
        return int(found or 0)

    def back_up(self, target: Path) -> None:
        """Write all of one moment into a SQLite file, which can be opened as `operations.db` of a data root.

        Raises FileExistsError where `target` is there.
        """
        if target.exists():
            raise FileExistsError(f"{target} is there already; name a file that is not.")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f".{target.name}.{os.getpid()}")
        partial.unlink(missing_ok=True)
        try:
            if self.engine.dialect.name == "sqlite":
                self._copy_file(partial)
            else:
                self._copy_rows(partial)
            os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)

    def _copy_file(self, target: Path) -> None:
        with (
            closing(sqlite3.connect(str(self.engine.url.database))) as source,
            closing(sqlite3.connect(target)) as copy,
        ):
            source.backup(copy)
            # One file, not three.
            copy.execute("pragma journal_mode = delete")

    def _copy_rows(self, target: Path) -> None:
        copy = Operations(connect_sqlite(target), target.with_name(f"{target.name}.lock"))
        try:
            with self.read() as source, copy.engine.begin() as sink:
                for table in METADATA.sorted_tables:
                    for rows in source.execute(select(table)).mappings().partitions(_COPIED_ROWS):
                        sink.execute(insert(table), [dict(row) for row in rows])
        finally:
            copy.close()
            target.with_name(f"{target.name}.lock").unlink(missing_ok=True)
        with closing(sqlite3.connect(target)) as connection:
            connection.execute("pragma journal_mode = delete")

    def close(self) -> None:
        """Let go of every connection."""
        self.engine.dispose()


def fetch(connection: Connection, statement: Select[*tuple[Any, ...]]) -> list[dict[str, Any]]:
    """All rows of a statement, each by the names of its columns."""
    return [dict(row) for row in connection.execute(statement).mappings()]


def fetch_one(connection: Connection, statement: Select[*tuple[Any, ...]]) -> dict[str, Any] | None:
    """The first row of a statement; None where there is none."""
    row = connection.execute(statement).mappings().first()
    return None if row is None else dict(row)


_open: dict[tuple[int, str], Operations] = {}
_opening = Lock()


def operations_of(settings: Settings) -> Operations:
    """The operations store of a data root, opened once a process.

    Raises OperationsNewerError, OperationsUrlError, or SQLAlchemy's OperationalError where no database answers.
    """
    url = settings.operations_url.get_secret_value() if settings.operations_url else ""
    # A process that was forked must not use its parent's connections.
    key = (os.getpid(), url or str(settings.operations_path))
    with _opening:
        if key not in _open:
            _open[key] = Operations(engine_of(settings), settings.data_dir / ".operations.lock")
        return _open[key]


def close_operations() -> None:
    """Close every store that this process opened."""
    with _opening:
        for key in [key for key in _open if key[0] == os.getpid()]:
            _open.pop(key).close()


atexit.register(close_operations)
