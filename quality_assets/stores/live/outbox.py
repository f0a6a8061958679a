"""From the outbox of state.db into the landing zone: planned, written, renamed, done; each exactly once over kills.

A batch is all waiting events of one event date up to a number. Its plan is on the disk before its file is there. What
was planned when a process died is finished by the next: where the file is there already it is not written again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import apsw
from filelock import FileLock

from quality_assets.contracts.events import EVENT_COLUMNS
from quality_assets.stores.files import fsync_path
from quality_assets.stores.live.sqlite import all_rows, one_row, opened

COLLECTOR_FOLDER = "collector"
_EPOCH = date(1970, 1, 1)
# One source may use the ids of another; in the lake they stand side by side.
_EVENT_ID = "case source when 'default' then event_id else source || '/' || event_id end"
COLUMNS = ", ".join(
    {"event_time": "event_us", "received_at": "received_us", "event_id": _EVENT_ID}.get(column.name, column.name)
    for column in EVENT_COLUMNS
)


@dataclass(frozen=True)
class Waiting:
    """Events of one date that have not landed: how many, from and to which number, and since when (µs)."""

    event_date: date
    rows: int
    first_seq: int
    last_seq: int
    oldest_us: int


@dataclass(frozen=True)
class Batch:
    """A file of events of one date, planned or landed; `name` is relative to the landing zone."""

    batch: int
    event_date: date
    first_seq: int
    last_seq: int
    rows: int
    name: str
    state: str


class Outbox:
    """The events of a state.db that have not landed, for one process at a time (see `landing_lock`)."""

    _WAITING = "from events"

    def __init__(self, path: Path) -> None:
        # FULL: a plan is on the disk before its file has its name, and with it all events that it speaks of.
        self._connection = opened(path, synchronous="FULL")

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it against other hosts; there are none for a file."""
        yield

    def waiting(self) -> list[Waiting]:
        """What waits, by date, without what is planned."""
        rows = all_rows(
            self._connection,
            f"select event_date, count(*), min(seq), max(seq), min(received_us) {self._WAITING} group by event_date"
            " order by event_date",
        )
        return [Waiting(_date(day), n, first, last, oldest) for day, n, first, last, oldest in rows]

    def plan(self, waiting: Waiting, now_us: int) -> Batch:
        """Decide on a batch of all that waits of a date, for good."""
        connection = self._connection
        (store,) = one_row(connection, "select value from meta where name = 'store'")
        name = name_of(waiting.event_date, store, waiting.first_seq, waiting.last_seq)
        connection.execute(
            "insert into exports (event_date, first_seq, last_seq, rows, name, state, planned_us)"
            " values (?, ?, ?, ?, ?, 'planned', ?)",
            (day_of(waiting.event_date), waiting.first_seq, waiting.last_seq, waiting.rows, name, now_us),
        )
        return self.batches("planned")[-1]

    def batches(self, state: str) -> list[Batch]:
        """The batches that are `planned` or `landed`, in the order of their plans."""
        rows = all_rows(
            self._connection,
            "select batch, event_date, first_seq, last_seq, rows, name, state from exports where state = ?"
            " order by batch",
            (state,),
        )
        return [Batch(row[0], _date(row[1]), *row[2:]) for row in rows]

    def land(self, batch: Batch, landing_dir: Path, now_us: int) -> None:
        """Bring a planned batch to its end, from wherever it was left."""
        target = landing_dir / batch.name
        if not target.exists():
            self._write(batch, target)
        self._done(batch, now_us)

    def _done(self, batch: Batch, now_us: int) -> None:
        connection = self._connection
        with connection:
            connection.execute(
                "update exports set state = 'landed', landed_us = ? where batch = ?", (now_us, batch.batch)
            )
            connection.execute(
                "delete from events where event_date = ? and seq between ? and ?",
                (day_of(batch.event_date), batch.first_seq, batch.last_seq),
            )

    def _write(self, batch: Batch, target: Path) -> None:
        # Heavy, and only whoever lands needs them.
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(column.name, _arrow_type(pa, column.type)) for column in EVENT_COLUMNS])
        rows = self._rows(batch)
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.tmp")
        with unfinished.open("wb") as stream:
            with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
                for part in _parts(rows):
                    arrays = [
                        pa.array(values, type_)
                        for values, type_ in zip(zip(*part, strict=True), schema.types, strict=True)
                    ]
                    writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            stream.flush()
            os.fsync(stream.fileno())
        unfinished.rename(target)
        fsync_path(target.parent)

    def _rows(self, batch: Batch) -> Any:
        return self._connection.execute(
            f"select {COLUMNS} from events where event_date = ? and seq between ? and ? order by seq",
            (day_of(batch.event_date), batch.first_seq, batch.last_seq),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _parts(rows: Any, size: int = 50_000) -> Iterator[list[Any]]:
    part: list[Any] = []
    for row in rows:
        part.append(row)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part


def _arrow_type(pa: Any, type_: str) -> Any:
    return pa.timestamp("us") if type_ == "TIMESTAMP" else pa.float64() if type_ == "DOUBLE" else pa.string()


def _date(day: int) -> date:
    return _EPOCH + timedelta(days=day)


def day_of(day: date) -> int:
    """A date, counted from 1970."""
    return (day - _EPOCH).days


def name_of(event_date: date, store: str, first_seq: int, last_seq: int) -> str:
    """The file of a batch, relative to the landing zone."""
    return f"{COLLECTOR_FOLDER}/events_{event_date}_{store}_{first_seq:012d}_{last_seq:012d}.parquet"


@contextmanager
def landing_lock(live_dir: Path, timeout_s: float = -1) -> Iterator[None]:
    """Hold the outbox of a root; raises filelock.Timeout where another process lands longer than `timeout_s`."""
    with FileLock(live_dir / ".landing.lock", timeout=timeout_s):
        yield


def figures(connection: apsw.Connection, text: str, parameters: Any = ()) -> list[dict[str, Any]]:
    """Rows of a query as dicts."""
    cursor = connection.execute(text, parameters)
    try:
        names = [column[0] for column in cursor.getdescription()]
    except apsw.ExecutionCompleteError:
        return []
    return [dict(zip(names, row, strict=True)) for row in cursor]
