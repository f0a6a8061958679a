"""The live state in PostgreSQL: written by any number of processors, each of its own log or partition.

A step takes the row of its log's position first, so of two that follow the same log the second waits, and then finds
that there is nothing left to do.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import sql

from quality_assets.domain.live.compiler import read_sql, segments_sql, upsert_sql
from quality_assets.domain.live.expressions import POSTGRESQL
from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.stores.live.cache import Cache
from quality_assets.stores.live.postgres import (
    KEPT_COLUMNS,
    METRIC_STEPS,
    NEW,
    connect,
    create_tables,
    prepare_steps,
)
from quality_assets.stores.live.request_log import Record
from quality_assets.stores.live.state_tables import DAY_US, MOST_SERVED, SEEN_DAYS_BEFORE
from quality_assets.stores.live.stepping import Answer, NewRow, Step, Stepping, event_rows, new_rows, written_letters

_KEEP_LETTERS_DAYS, _KEEP_REPLAYED_DAYS = 90, 14
_COPY = f"copy step_events ({', '.join(KEPT_COLUMNS)}) from stdin"
_KEEP = f"insert into events ({', '.join(KEPT_COLUMNS)}) select {', '.join(KEPT_COLUMNS)} from step_events"
_UNSEEN = (
    "insert into seen (day, key, received_us) select %(day)s, key, %(received_us)s"
    " from unnest(%(keys)s::bytea[]) as asked(key) where not exists (select 1 from seen where seen.key = asked.key"
    " and seen.day >= %(day)s - %(before)s and seen.day < %(day)s) order by key on conflict do nothing returning key"
)
_Connection = psycopg.Connection[tuple[Any, ...]]
Committed = Callable[[Sequence[NewRow], Sequence[tuple[Any, ...]]], None]


@dataclass
class PostgresStore(Stepping):
    """What `LiveStore` is on SQLite. `log` names what is followed; `log_of` the log that the events of a user are in.

    `committed` is told the new rows and letters of a step once they are there. Raises psycopg.OperationalError where
    there is no server.
    """

    url: str
    features: FeatureSet
    log: str
    log_of: Callable[[str], str] | None = None
    cache: Cache | None = None
    committed: Committed | None = None
    _connections: dict[str, _Connection] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        with connect(self.url) as connection:
            create_tables(connection, self.features)
        self._steps = (upsert_sql(self.features, POSTGRESQL, NEW), *METRIC_STEPS)
        self._read_sql = {
            version: f"select found.*, (select known_us from positions where log = %(log)s)"
            f" from ({read_sql(self.features, version, POSTGRESQL)}) as found"
            for version in self.features.versions
        }
        self._names = {version: [each.name for each in self.features.view(version)] for version in self._read_sql}
        self._seen_day = -1
        self.known_us = self._position()[1]

    @property
    def _writer(self) -> _Connection:
        return self._connected("writer")

    @property
    def _reader(self) -> _Connection:
        return self._connected("reader")

    def _connected(self, name: str) -> _Connection:
        connection = self._connections.get(name)
        if connection is None or connection.closed or connection.broken:
            connection = connect(self.url)
            if name == "writer":
                prepare_steps(connection)
            self._connections[name] = connection
        return connection

    def failed(self, error: Exception) -> bool:
        """End the transaction that failed; whether the same may go well later."""
        self._seen_day = -1
        # The server is away, its disk is full, two waited for each other, or a partition of keys has been dropped.
        later = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.CheckViolation)
        return isinstance(error, later)

    def position(self) -> int:
        """Up to where of the log all is in it."""
        position, known_us = self._position()
        self.known_us = max(self.known_us, known_us)
        return position

    def _position(self) -> tuple[int, int]:
        row = self._writer.execute("select next, known_us from positions where log = %s", (self.log,)).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def _locked_position(self) -> tuple[int, int]:
        connection = self._writer
        connection.execute("insert into positions values (%s, 0, 0) on conflict do nothing", (self.log,))
        row = connection.execute(
            "select next, known_us from positions where log = %s for update", (self.log,)
        ).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def _written(self, records: Sequence[Record], ends: bool) -> Step:
        self._turn_day(max(record.received_us for record in records) // DAY_US)
        with self._writer.transaction():
            step, new, letters = self._kept(records, ends)
        if self.cache is not None and new:
            self.cache.forget({row[5] for _, _, row in new if row[5] is not None}, self.features.versions)
        if self.committed is not None and (new or letters):
            self.committed(new, letters)
        return step

    def _kept(self, records: Sequence[Record], ends: bool) -> tuple[Step, list[NewRow], list[tuple[Any, ...]]]:
        connection = self._writer
        position, known_us = self._locked_position()
        fresh = [record for record in records if record.seq > position]
        if not fresh:
            return Step(position=position, known_us=known_us), [], []
        self._seen_day = self._day_of_all()
        new, total, sources = new_rows(fresh, self._unseen)
        if new:
            with connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                for row in event_rows(new, self.features.tile_us):
                    copy.write_row(row)
            connection.execute(_KEEP)
            for text in self._steps:
                connection.execute(text)
        letters, reasons, replayed = written_letters(fresh)
        self._keep_letters(letters, replayed)
        self._keep_sources(sources)
        reached = fresh[-1].seq if ends else max(position, fresh[-1].seq - 1)
        known_us = max(known_us, *(record.received_us for record in fresh))
        connection.execute(
            "update positions set next = %s, known_us = %s where log = %s", (reached, known_us, self.log)
        )
        calls = sum(record.entry.calls for record in fresh)
        return Step(len(new), total - len(new), calls, len(letters), reached, known_us, reasons), new, letters

    def _unseen(self, keys: Sequence[bytes], received_us: int) -> set[bytes]:
        """Those of the keys that were not seen on this day or those before it; seen from now on."""
        if not keys:
            return set()
        asked = {"day": self._seen_day, "keys": list(keys), "before": SEEN_DAYS_BEFORE, "received_us": received_us}
        return {bytes(row[0]) for row in self._writer.execute(_UNSEEN, asked)}

    def _day_of_all(self) -> int:
        """The day that all processors keep keys under now: until this step ends none turns it.

        Who is behind would else look for keys before midnight only, and miss what others have taken after it.
        """
        connection = self._writer
        connection.execute("lock table seen in row exclusive mode")
        row = connection.execute(
            "select max(cast(substring(relname from '[0-9]+$') as integer)) from pg_inherits"
            " join pg_class on pg_class.oid = inhrelid where inhparent = 'seen'::regclass"
        ).fetchone()
        return self._seen_day if row is None or row[0] is None else int(row[0])

    def _turn_day(self, received_day: int) -> None:
        """Have a partition for the keys of a day, drop those that are forgotten; days of all processors only rise."""
        if received_day <= self._seen_day:
            return
        connection = self._writer
        with connection.transaction():
            connection.execute("lock table seen in share row exclusive mode")
            rows = connection.execute(
                "select inhrelid::regclass::text from pg_inherits where inhparent = 'seen'::regclass"
            )
            days = [int(row[0].rpartition("_")[2]) for row in rows]
            day = max([received_day, *days])
            if day not in days:
                connection.execute(
                    sql.SQL("create table {} partition of seen for values from ({}) to ({})").format(
                        sql.Identifier(f"seen_{day}"), sql.Literal(day), sql.Literal(day + 1)
                    )
                )
            for old in days:
                if old < day - SEEN_DAYS_BEFORE:
                    connection.execute(sql.SQL("drop table {}").format(sql.Identifier(f"seen_{old}")))
        self._seen_day = day

    def _keep_letters(self, letters: Sequence[tuple[Any, ...]], replayed: Sequence[int]) -> None:
        with self._writer.cursor() as cursor:
            if letters:
                cursor.executemany(
                    "insert into dead_letters (received_us, source, endpoint, reasons, body)"
                    " values (%s, %s, %s, %s, %s)",
                    letters,
                )
            if replayed:
                cursor.execute(
                    "update dead_letters set state = 'replayed', replays = replays + 1 where id = any(%s)",
                    (list(replayed),),
                )

    def _keep_sources(self, sources: dict[str, list[int]]) -> None:
        with self._writer.cursor() as cursor:
            cursor.executemany(
                "insert into live_sources (source, events, duplicates, refused, calls, last_us)"
                " values (%s, %s, %s, %s, %s, %s) on conflict (source) do update set"
                " events = live_sources.events + excluded.events,"
                " duplicates = live_sources.duplicates + excluded.duplicates,"
                " refused = live_sources.refused + excluded.refused, calls = live_sources.calls + excluded.calls,"
                " last_us = greatest(live_sources.last_us, excluded.last_us)",
                [(source, *sources[source]) for source in sorted(sources)],
            )

    def read(self, user_id: str, version: int, as_of_us: int, *, may_be_cached: bool = False) -> Answer:
        """The features of a user as of an instant, or, where that may be, as they were asked for within a minute.

        Raises KeyError where there is no such version.
        """
        text = self._read_sql[version]
        lease = ""
        if self.cache is not None and may_be_cached:
            kept, lease = self.cache.look_up(user_id, version)
            if kept is not None:
                return kept
        log = self.log if self.log_of is None else self.log_of(user_id)
        asked = {"user_id": user_id, "tile": as_of_us // self.features.tile_us, "as_of_us": as_of_us, "log": log}
        with self._lock:
            row = self._reader.execute(text, asked).fetchone()
        assert row is not None
        *values, known_us = row
        answer = Answer(
            user_id, version, dict(zip(self._names[version], values, strict=True)), as_of_us, int(known_us or 0)
        )
        if self.cache is not None and lease:
            self.cache.keep(answer, lease)
        return answer

    def segments(self, user_id: str, as_of_us: int) -> dict[str, bool]:
        """Which segments a user is in as of an instant, by name; what cannot be said is no membership."""
        asked = {"user_id": user_id, "tile": as_of_us // self.features.tile_us, "as_of_us": as_of_us}
        found: dict[str, bool] = {}
        for version in sorted({segment.version for segment in self.features.segments.values()}):
            names = [name for name, each in self.features.segments.items() if each.version == version]
            with self._lock:
                text = segments_sql(self.features, version, POSTGRESQL)
                values = self._reader.execute(text, asked).fetchone()
            found |= dict(zip(names, map(bool, values or ()), strict=True))
        return found

    def keep_served(self, answers: Sequence[Answer]) -> None:
        """Remember answers that were given, for them to be computed again from the lake."""
        with self._writer.cursor() as cursor:
            cursor.executemany(
                "insert into served (user_id, version, as_of_us, known_us, answer) values (%s, %s, %s, %s, %s)",
                [(a.user_id, a.version, a.as_of_us, a.known_us, json.dumps(a.values)) for a in answers],
            )
            cursor.execute("delete from served where id <= (select max(id) from served) - %s", (MOST_SERVED,))

    def checkpoint(self) -> int:
        """The position up to which all is in it for good: a commit of PostgreSQL is."""
        return self.position()

    def first_unlanded(self) -> int:
        """The first number of the log that is still needed: events to land are in PostgreSQL for good."""
        return self.position() + 1

    def prune(self, now_us: int) -> None:
        """Forget tiles that no window reaches any more, and the users of days that are over."""
        tile = now_us // self.features.tile_us - self.features.most_tiles - 1
        day = now_us // DAY_US
        connection = self._writer
        for text, parameters in (
            ("delete from tiles where tile < %s", (tile,)),
            ("delete from live_users where day < %s", (day - 2,)),
            ("delete from live_steps where day < %s", (day - 2,)),
            ("delete from live_metrics where tile < %s", ((day - 35) * DAY_US // self.features.tile_us,)),
            ("delete from live_latency where hour < %s", ((day - 8) * 24,)),
            (
                "delete from dead_letters where received_us < %s or (state = 'replayed' and received_us < %s)",
                (now_us - _KEEP_LETTERS_DAYS * DAY_US, now_us - _KEEP_REPLAYED_DAYS * DAY_US),
            ),
        ):
            connection.execute(text, parameters)

    def close(self) -> None:
        """Close what is open."""
        for connection in self._connections.values():
            connection.close()
        if self.cache is not None:
            self.cache.close()
