"""Events, tiles and today's figures of a collector: written in steps that either count whole or not at all.

This is SQLite's; `postgres_store.py` has the same of PostgreSQL.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw

from quality_assets.domain.live.compiler import read_sql, segments_sql, upsert_sql
from quality_assets.domain.live.expressions import SQLITE
from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.stores.live.request_log import Record
from quality_assets.stores.live.sqlite import checkpoint, is_full, one_row, opened, roll_back
from quality_assets.stores.live.state_tables import (
    DAY_US,
    EVENT_COLUMNS,
    METRIC_STEPS,
    MOST_SERVED,
    SEEN_DAYS_BEFORE,
    create_tables,
    register_functions,
    seen_table,
    seen_tables,
)
from quality_assets.stores.live.stepping import (
    POISON,
    Answer,
    Step,
    Stepping,
    event_rows,
    new_rows,
    numbered,
    written_letters,
)

__all__ = ["POISON", "Answer", "LiveStore", "Step"]

_KEEP_LETTERS_DAYS, _KEEP_REPLAYED_DAYS = 90, 14
_INSERT = f"insert into events ({', '.join(EVENT_COLUMNS)}) values ({', '.join('?' * len(EVENT_COLUMNS))})"


@dataclass
class LiveStore(Stepping):
    """state.db. `write_batch` is for one thread of one process at a time; `read` uses a connection of its own."""

    path: Path
    features: FeatureSet
    _read_sql: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = opened(self.path, synchronous="NORMAL")
        create_tables(self._writer, self.features)
        self._reader = opened(self.path, synchronous="NORMAL")
        register_functions(self._reader)
        events = "events not indexed where seq between ? and ?"
        self._steps = (
            upsert_sql(self.features, SQLITE, events),
            *(text.format(events=events) for text in METRIC_STEPS),
        )
        self._read_sql = {version: read_sql(self.features, version, SQLITE) for version in self.features.versions}
        self._booleans = {
            version: tuple(at for at, each in enumerate(self.features.view(version)) if each.type == "boolean")
            for version in self.features.versions
        }
        self._names = {version: [each.name for each in self.features.view(version)] for version in self._read_sql}
        self.known_us = self.meta("known_us", 0)
        self._seen_day = -1

    def failed(self, error: Exception) -> bool:
        """End the transaction that failed; whether the same may go well later."""
        roll_back(self._writer)
        self._seen_day = -1
        return is_full(error) or isinstance(error, apsw.BusyError)

    def meta(self, name: str, default: Any) -> Any:
        """What is remembered under a name."""
        row = self._writer.execute("select value from meta where name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def position(self) -> int:
        """Up to where of the log all is in it."""
        return int(self.meta("log_seq", 0))

    def _written(self, records: Sequence[Record], ends: bool) -> Step:
        connection = self._writer
        connection.execute("begin immediate")
        position = self.position()
        fresh = [record for record in records if record.seq > position]
        if not fresh:
            connection.execute("commit")
            return Step(position=position)
        new, total, sources = new_rows(fresh, self._unseen)
        first = int(self.meta("max_seq", 0)) + 1
        if new:
            connection.executemany(_INSERT, numbered(event_rows(new, self.features.tile_us), first))
            last = first + len(new) - 1
            for text in self._steps:
                connection.execute(text, (first, last))
        letters, reasons = self._write_letters(fresh)
        known_us = max(record.received_us for record in fresh)
        self._write_sources(sources)
        connection.executemany(
            "insert into meta values (?, ?) on conflict (name) do update set value = excluded.value",
            (
                ("log_seq", reached := fresh[-1].seq if ends else max(position, fresh[-1].seq - 1)),
                ("known_us", max(known_us, self.known_us)),
                ("max_seq", first + len(new) - 1),
            ),
        )
        connection.execute("commit")
        calls = sum(record.entry.calls for record in fresh)
        return Step(len(new), total - len(new), calls, letters, reached, known_us, reasons)

    def _unseen(self, keys: Sequence[bytes], received_us: int) -> set[bytes]:
        """Those of the keys that were not seen on this day or those before it; seen from now on."""
        if not keys:
            return set()
        # A clock that is set back makes no earlier day of it.
        connection, day = self._writer, max(received_us // DAY_US, self._seen_day)
        if day != self._seen_day:
            self._turn_day(day)
        older = [table for table in self._seen_tables if table != seen_table(day)]
        unless = " and ".join(f"not exists (select 1 from {table} where key = value)" for table in older) or "true"
        rows = connection.execute(
            f"insert or ignore into {seen_table(day)} (key, received_us) select value, ? from carray(?)"
            f" where {unless} returning key",
            (received_us, apsw.carray(tuple(keys))),
        )
        return {row[0] for row in rows}

    def _turn_day(self, day: int) -> None:
        connection = self._writer
        connection.execute(
            f"create table if not exists {seen_table(day)} (key blob primary key, received_us integer) without rowid"
        )
        for table in seen_tables(connection):
            if int(table.partition("_")[2]) < day - SEEN_DAYS_BEFORE:
                connection.execute(f"drop table {table}")
        self._seen_tables = seen_tables(connection)
        self._seen_day = day

    def _write_letters(self, records: Sequence[Record]) -> tuple[int, tuple[str, ...]]:
        rows, reasons, replayed = written_letters(records)
        if rows:
            self._writer.executemany(
                "insert into dead_letters (received_us, source, endpoint, reasons, body) values (?, ?, ?, ?, ?)", rows
            )
        self._writer.executemany(
            "update dead_letters set state = 'replayed', replays = replays + 1 where id = ?",
            [(number,) for number in replayed],
        )
        return len(rows), reasons

    def _write_sources(self, sources: dict[str, list[int]]) -> None:
        self._writer.executemany(
            "insert into live_sources (source, events, duplicates, refused, calls, last_us) values (?, ?, ?, ?, ?, ?)"
            " on conflict (source) do update set events = events + excluded.events,"
            " duplicates = duplicates + excluded.duplicates, refused = refused + excluded.refused,"
            " calls = calls + excluded.calls, last_us = excluded.last_us",
            [(source, *counts) for source, counts in sources.items()],
        )

    def read(self, user_id: str, version: int, as_of_us: int, *, may_be_cached: bool = False) -> Answer:
        """The features of a user as of an instant. Raises KeyError where there is no such version."""
        # There is nothing to cache: a read takes less time than asking a cache.
        del may_be_cached
        text = self._read_sql[version]
        known_us = self.known_us
        asked = {"user_id": user_id, "tile": as_of_us // self.features.tile_us, "as_of_us": as_of_us}
        values = list(one_row(self._reader, text, asked))
        for at in self._booleans[version]:
            if values[at] is not None:
                values[at] = bool(values[at])
        return Answer(user_id, version, dict(zip(self._names[version], values, strict=True)), as_of_us, known_us)

    def segments(self, user_id: str, as_of_us: int) -> dict[str, bool]:
        """Which segments a user is in as of an instant, by name; what cannot be said is no membership."""
        asked = {"user_id": user_id, "tile": as_of_us // self.features.tile_us, "as_of_us": as_of_us}
        found: dict[str, bool] = {}
        for version in sorted({segment.version for segment in self.features.segments.values()}):
            names = [name for name, each in self.features.segments.items() if each.version == version]
            values = one_row(self._reader, segments_sql(self.features, version, SQLITE), asked)
            found |= dict(zip(names, map(bool, values), strict=True))
        return found

    def keep_served(self, answers: Sequence[Answer]) -> None:
        """Remember answers that were given, for them to be computed again from the lake."""
        self._writer.executemany(
            "insert into served values (?, ?, ?, ?, ?)",
            [(a.user_id, a.version, a.as_of_us, a.known_us, json.dumps(a.values)) for a in answers],
        )
        self._writer.execute("delete from served where rowid <= (select max(rowid) from served) - ?", (MOST_SERVED,))

    def checkpoint(self) -> int:
        """Write the WAL into the file; the position up to which all is in it for good, 0 where readers hold it up."""
        position = self.position()
        return position if checkpoint(self._writer) else 0

    def first_unlanded(self) -> int:
        """The number in the log of the oldest event that has not landed; past the position where all have."""
        row = self._writer.execute("select log_seq from events order by seq limit 1").fetchone()
        return self.position() + 1 if row is None else int(row[0])

    def prune(self, now_us: int) -> None:
        """Forget tiles that no window reaches any more, and the users of days that are over, a slice at a time."""
        tile = now_us // self.features.tile_us - self.features.most_tiles - 1
        after = ""
        while True:
            row = self._writer.execute(
                "select user_id from tiles where user_id > ? order by user_id limit 1 offset 20000", (after,)
            ).fetchone()
            upper = row[0] if row else "\U0010ffff"
            self._writer.execute(
                "delete from tiles where user_id > ? and user_id <= ? and tile < ?", (after, upper, tile)
            )
            if row is None:
                break
            after = upper
        day = now_us // DAY_US
        self._writer.execute("delete from live_users where day < ?", (day - 2,))
        self._writer.execute("delete from live_steps where day < ?", (day - 2,))
        self._writer.execute("delete from live_metrics where tile < ?", ((day - 35) * DAY_US // self.features.tile_us,))
        self._writer.execute(
            "delete from dead_letters where received_us < ? or (state = 'replayed' and received_us < ?)",
            (now_us - _KEEP_LETTERS_DAYS * DAY_US, now_us - _KEEP_REPLAYED_DAYS * DAY_US),
        )
        self._writer.execute("delete from live_latency where hour < ?", ((day - 8) * 24,))

    def close(self) -> None:
        """Close both connections; what the WAL holds goes into the file."""
        self._reader.close()
        self._writer.close()
