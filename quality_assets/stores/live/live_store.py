"""Events, tiles and today's figures of a collector: written in steps that either count whole or not at all.

`OnlineStore` is what the processor writes to and what is read from; PostgreSQL may stand behind it as well.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import apsw

from quality_assets.domain.live.compiler import read_sql, segments_sql, upsert_sql
from quality_assets.domain.live.expressions import SQLITE
from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.stores.live.request_log import Entry, Letter, Record
from quality_assets.stores.live.sqlite import checkpoint, is_full, one_row, opened, roll_back
from quality_assets.stores.live.state_tables import (
    DAY_US,
    EVENT_COLUMNS,
    METRIC_STEPS,
    SEEN_DAYS_BEFORE,
    create_tables,
    register_functions,
    seen_table,
    seen_tables,
)

log = logging.getLogger("quality.collector")

POISON = "database_error"
_KEEP_LETTERS_DAYS, _KEEP_REPLAYED_DAYS = 90, 14
_INSERT = f"insert into events ({', '.join(EVENT_COLUMNS)}) values ({', '.join('?' * len(EVENT_COLUMNS))})"
_NEW = "from events not indexed where seq between ? and ?"


@dataclass(frozen=True)
class Step:
    """What a step of the processor made of records: counts, and up to where of the log they reach."""

    events: int = 0
    duplicates: int = 0
    calls: int = 0
    letters: int = 0
    position: int = 0
    known_us: int = 0
    reasons: tuple[str, ...] = ()

    def __add__(self, other: Step) -> Step:
        """Both, one after the other."""
        return Step(
            self.events + other.events,
            self.duplicates + other.duplicates,
            self.calls + other.calls,
            self.letters + other.letters,
            max(self.position, other.position),
            max(self.known_us, other.known_us),
            self.reasons + other.reasons,
        )


@dataclass(frozen=True)
class Answer:
    """Features of one user: values by name, the instant that they are of, and up to when all is known (µs)."""

    user_id: str
    version: int
    values: dict[str, Any]
    as_of_us: int
    known_us: int


class OnlineStore(Protocol):
    """Where a processor writes and features are read from."""

    def position(self) -> int:
        """Up to where of the log all is in it."""

    def write_batch(self, records: Sequence[Record]) -> Step:
        """Take records, in one transaction with their position: repeated records change nothing."""

    def read(self, user_id: str, version: int, as_of_us: int) -> Answer:
        """The features of a user as of an instant."""


@dataclass
class LiveStore:
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

    def meta(self, name: str, default: Any) -> Any:
        """What is remembered under a name."""
        row = self._writer.execute("select value from meta where name = ?", (name,)).fetchone()
        return default if row is None else row[0]

    def position(self) -> int:
        """Up to where of the log all is in it."""
        return int(self.meta("log_seq", 0))

    def write_batch(self, records: Sequence[Record], *, ends: bool = True) -> Step:
        """Take records, in one transaction with their position: repeated records change nothing.

        Without `ends`, more of the last record follows, and its position is not passed yet. A record at which the
        database itself fails is found by halving, and its row becomes a dead letter; a full disk raises, and nothing
        of the step is kept.
        """
        try:
            step = self._written(records, ends)
        except Exception as error:
            roll_back(self._writer)
            self._seen_day = -1
            if is_full(error) or isinstance(error, apsw.BusyError):
                raise
            log.exception("a step failed; looking for the record that it fails at")
            return self._halved(records, error, ends)
        self.known_us = max(self.known_us, step.known_us)
        return step

    def _halved(self, records: Sequence[Record], error: Exception, ends: bool) -> Step:
        if len(records) > 1:
            middle = len(records) // 2
            return self.write_batch(records[:middle]) + self.write_batch(records[middle:], ends=ends)
        (record,) = records
        rows = record.entry.rows
        if len(rows) > 1:
            # The position stands with the last part; a kill in between repeats the first, which changes nothing.
            first = Entry(record.entry.source, rows[: len(rows) // 2])
            rest = Entry(record.entry.source, rows[len(rows) // 2 :], record.entry.letters, record.entry.calls)
            rest.replayed = record.entry.replayed
            received = record.entry.received
            first.received, rest.received = received[: len(first.rows)], received[len(first.rows) :]
            before = self.write_batch([replace(record, entry=first)], ends=False)
            return before + self.write_batch([replace(record, entry=rest)], ends=ends)
        if not rows:
            raise error
        body = json.dumps([str(value) for value in rows[0]])
        letter = Letter("processor", [POISON], body)
        entry = Entry(record.entry.source, [], [*record.entry.letters, letter], record.entry.calls)
        return self.write_batch([replace(record, entry=entry)], ends=ends)

    def _written(self, records: Sequence[Record], ends: bool) -> Step:
        connection = self._writer
        connection.execute("begin immediate")
        position = self.position()
        fresh = [record for record in records if record.seq > position]
        if not fresh:
            connection.execute("commit")
            return Step(position=position)
        new, total, sources = self._new_rows(fresh)
        first = int(self.meta("max_seq", 0)) + 1
        if new:
            connection.executemany(_INSERT, _event_rows(new, first, self.features.tile_us))
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

    def _new_rows(self, records: Sequence[Record]) -> tuple[list[tuple[Record, int, Any]], int, dict[str, list[int]]]:
        """The rows whose keys were not seen before, each once; how many rows there were; counts by source."""
        by_key: dict[bytes, tuple[Record, int, Any]] = {}
        total = 0
        sources: dict[str, list[int]] = {}
        for record in records:
            entry = record.entry
            counts = sources.setdefault(entry.source, [0, 0, 0, 0, 0])
            total += len(entry.rows)
            counts[1] += len(entry.rows)
            counts[2] += len(entry.letters)
            counts[3] += entry.calls
            counts[4] = record.received_us
            for at, row in enumerate(entry.rows):
                received = entry.received[at] if entry.received else record.received_us
                by_key.setdefault(row[0], (record, received, row))
        unseen = self._unseen(sorted(by_key), records[-1].received_us)
        new = [found for key, found in by_key.items() if key in unseen]
        for record, _, _ in new:
            counts = sources[record.entry.source]
            counts[0] += 1
            counts[1] -= 1
        return new, total, sources

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
        rows = []
        reasons: list[str] = []
        replayed: list[int] = []
        for record in records:
            for endpoint, why, body in record.entry.letters:
                rows.append((record.received_us, record.entry.source, endpoint, json.dumps(why), body))
                reasons += why[:1]
            replayed += record.entry.replayed
        if rows:
            self._writer.executemany(
                "insert into dead_letters (received_us, source, endpoint, reasons, body) values (?, ?, ?, ?, ?)", rows
            )
        self._writer.executemany(
            "update dead_letters set state = 'replayed', replays = replays + 1 where id = ?",
            [(number,) for number in replayed],
        )
        return len(rows), tuple(reasons)

    def _write_sources(self, sources: dict[str, list[int]]) -> None:
        self._writer.executemany(
            "insert into live_sources (source, events, duplicates, refused, calls, last_us) values (?, ?, ?, ?, ?, ?)"
            " on conflict (source) do update set events = events + excluded.events,"
            " duplicates = duplicates + excluded.duplicates, refused = refused + excluded.refused,"
            " calls = calls + excluded.calls, last_us = excluded.last_us",
            [(source, *counts) for source, counts in sources.items()],
        )

    def read(self, user_id: str, version: int, as_of_us: int) -> Answer:
        """The features of a user as of an instant. Raises KeyError where there is no such version."""
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

    def keep_served(self, answers: Sequence[Answer], most: int = 5_000) -> None:
        """Remember answers that were given, for them to be computed again from the lake."""
        self._writer.executemany(
            "insert into served values (?, ?, ?, ?, ?)",
            [(a.user_id, a.version, a.as_of_us, a.known_us, json.dumps(a.values)) for a in answers],
        )
        self._writer.execute(
            "delete from served where rowid <= (select max(rowid) from served) - ?",
            (most,),
        )

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


def _event_rows(new: Sequence[tuple[Record, int, Any]], first: int, tile_us: int) -> Iterator[tuple[Any, ...]]:
    for seq, (record, received_us, row) in enumerate(new, first):
        (_, event_id, event_us, feature, event_name, user_id, session_id, status, latency_ms, feedback, *rest) = row
        yield (
            seq, record.seq, record.entry.source, event_us // DAY_US, event_us // tile_us, received_us, event_id,
            event_us, feature, event_name, user_id, session_id, status, latency_ms,
            None if latency_ms is None else int(latency_ms * 1000.0 + 0.5), feedback, *rest,
        )  # fmt: skip
