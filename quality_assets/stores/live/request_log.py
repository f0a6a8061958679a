"""log.db: one row a request, appended and synced before it is acknowledged; nothing is ever changed in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec

from quality_assets.stores.live.sqlite import one_row, opened, roll_back

_DDL = (
    "create table if not exists log (seq integer primary key autoincrement, received_us integer, n integer, body blob)"
)


class Letter(NamedTuple):
    """An item that was refused: where it was sent to, why, and as it was sent (JSON, or base64 of what is none)."""

    endpoint: str
    reasons: list[str]
    body: str


class Entry(msgspec.Struct, array_like=True):
    """What one request brought: rows of events, refused items, how many calls are no events, letters replayed.

    `received` has the times (µs) of the rows where they are not that of the record: letters keep their own.
    """

    source: str
    rows: list[Any]
    letters: list[Any] = []
    calls: int = 0
    replayed: list[int] = []
    received: list[int] = []

    @property
    def size(self) -> int:
        """How many items it has."""
        return len(self.rows) + len(self.letters) + self.calls


@dataclass(frozen=True)
class Record:
    """An entry in the log: its number, and when it was received (µs since 1970)."""

    seq: int
    received_us: int
    entry: Entry


class Log(Protocol):
    """Where requests are kept in order; a broker's partition is another."""

    def append(self, entries: Sequence[tuple[int, int, bytes]]) -> int:
        """Keep (received_us, n, body) durably, all or none; the number of the last."""

    def read_after(self, seq: int, most_items: int) -> list[Record]:
        """What follows `seq`, as far as `most_items` items, at least one record where there is one."""

    def size_bytes(self) -> int:
        """What it takes on the disk."""


@dataclass
class RequestLog:
    """The log of one collector. One thread appends; another reads by a connection of its own."""

    path: Path
    _decoder: Any = field(default_factory=lambda: msgspec.msgpack.Decoder(Entry))

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = opened(self.path, synchronous="FULL")
        self._writer.execute(_DDL)
        self._reader = opened(self.path, synchronous="FULL")

    def append(self, entries: Sequence[tuple[int, int, bytes]]) -> int:
        """Keep (received_us, n, body) durably, all or none; the number of the last."""
        connection = self._writer
        try:
            connection.execute("begin immediate")
            connection.executemany("insert into log (received_us, n, body) values (?, ?, ?)", entries)
            connection.execute("commit")
        except Exception:
            roll_back(connection)
            raise
        return connection.last_insert_rowid()

    def append_as(self, seq: int, received_us: int, body: bytes) -> None:
        """Keep an empty entry under a number, from which the next are numbered."""
        self._writer.execute("insert into log values (?, ?, 0, ?)", (seq, received_us, body))

    def read_after(self, seq: int, most_items: int) -> list[Record]:
        """What follows `seq`, as far as `most_items` items, at least one record where there is one."""
        found: list[Record] = []
        items = 0
        rows = self._reader.execute("select seq, received_us, n, body from log where seq > ? order by seq", (seq,))
        for number, received_us, n, body in rows:
            items += n
            if found and items > most_items:
                break
            found.append(Record(number, received_us, self._decoder.decode(body)))
        rows.close()
        return found

    def last(self) -> tuple[int, int]:
        """The number and the time (µs) of the last record; zeros where there is none."""
        row = self._reader.execute("select seq, received_us from log order by seq desc limit 1").fetchone()
        return (row[0], row[1]) if row else (0, 0)

    def end(self) -> int:
        """The number of the newest record, also of one that another process wrote; from any thread."""
        return last_of(self.path)

    def prune(self, before_seq: int, before_us: int) -> int:
        """Forget records that are older than both, a slice at a time; how many."""
        connection = self._reader
        connection.execute(
            "delete from log where seq in"
            " (select seq from log where seq < ? and received_us < ? order by seq limit 5000)",
            (before_seq, before_us),
        )
        return connection.changes()

    def size_bytes(self) -> int:
        """What the file and its WAL take on the disk."""
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close both connections; what the WAL holds goes into the file."""
        self._writer.close()
        self._reader.close()


def encoded(entry: Entry) -> bytes:
    """An entry as it is kept."""
    return msgspec.msgpack.encode(entry)


def last_of(path: Path) -> int:
    """The number of the last record of a log that another process writes; 0 where there is none."""
    if not path.exists():
        return 0
    connection = opened(path, synchronous="FULL", read_only=True)
    try:
        row = one_row(connection, "select max(seq) from log")
        return int(row[0] or 0)
    finally:
        connection.close()
