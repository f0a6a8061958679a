"""Opening SQLite by apsw: the SQLite of Python here has the WAL-reset bug, also for those who only read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw

BUSY_MS = 10_000
# A checkpoint every 16 MB: the WAL is written over from its start then, unless somebody reads for long.
_CHECKPOINT_PAGES = 4000


def opened(path: Path, *, synchronous: str, read_only: bool = False) -> apsw.Connection:
    """A connection in WAL mode; `synchronous` is FULL (a commit survives a power cut) or NORMAL."""
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(str(path), flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    if not read_only:
        connection.execute("pragma journal_mode = wal")
        connection.execute(f"pragma wal_autocheckpoint = {_CHECKPOINT_PAGES}")
        connection.execute("pragma synchronous = full" if synchronous == "FULL" else "pragma synchronous = normal")
    return connection


def roll_back(connection: apsw.Connection) -> None:
    """End a transaction that failed; SQLite has ended it already where the disk was full."""
    if connection.in_transaction:
        connection.execute("rollback")


def is_full(error: BaseException) -> bool:
    """Whether the disk is what failed, so that the same may go well later."""
    return isinstance(error, apsw.FullError | apsw.IOError | apsw.CantOpenError)


def all_rows(connection: apsw.Connection, text: str, parameters: Any = ()) -> list[Any]:
    """All rows of a query."""
    return connection.execute(text, parameters).fetchall()


def one_row(connection: apsw.Connection, text: str, parameters: Any = ()) -> Any:
    """The first row of a query; None where there is none."""
    return connection.execute(text, parameters).fetchone()


def checkpoint(connection: apsw.Connection) -> bool:
    """Write the WAL into the database as far as readers allow; whether all of it was."""
    # A connection that has never read does nothing and says (-1, -1).
    all_rows(connection, "select count(*) from sqlite_master")
    _, pages, done = one_row(connection, "pragma wal_checkpoint(passive)")
    return bool(pages == done)
