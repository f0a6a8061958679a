"""What came of predictions: one outcome each, kept at once, for the graph to join with the log of predictions."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Literal

Taken = Literal["new", "same"]

Value = Literal["real", "text"]

_TABLES: dict[Value, str] = {
    kind: f"create table if not exists outcome (request_id text primary key, model text not null, y {kind} not null,"
    " at_us integer not null) without rowid"
    for kind in ("real", "text")
}


class OtherOutcomeError(ValueError):
    """Another outcome of the same prediction is known."""


class Outcomes:
    """Outcomes in a file of SQLite: numbers of our models, and texts of those that people brought."""

    def __init__(self, folder: Path, value: Value = "real") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "outcomes.db"
        with self._connection() as connection:
            connection.execute("pragma journal_mode = wal")
            connection.execute(_TABLES[value])

    def take(self, request_id: str, model: str, y: float | str) -> Taken:
        """Keep an outcome; `same` where it is known already. Raises OtherOutcomeError."""
        with self._connection() as connection:
            done = connection.execute(
                "insert into outcome values (?, ?, ?, ?) on conflict do nothing",
                (request_id, model, y, int(time.time() * 1e6)),
            )
            if done.rowcount:
                return "new"
            (known,) = connection.execute("select y from outcome where request_id = ?", (request_id,)).fetchone()
        if known != y:
            raise OtherOutcomeError("another outcome of this prediction is known; what was said first stays")
        return "same"

    def rows(self) -> list[tuple[str, str, Any, int]]:
        """All of them: request_id, model, y, when in microseconds of UTC."""
        with self._connection() as connection:
            return connection.execute("select request_id, model, y, at_us from outcome").fetchall()

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self._path, timeout=10)) as connection, connection:
            yield connection
