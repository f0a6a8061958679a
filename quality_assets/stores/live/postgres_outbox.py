"""The outbox in PostgreSQL: a plan marks its rows, since processors may commit lower numbers later than higher ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from quality_assets.stores.live.outbox import COLUMNS, Batch, Outbox, Waiting, day_of, name_of
from quality_assets.stores.live.postgres import LANDING_LOCK, Asked, connect


class PostgresOutbox(Outbox):
    """The events of the live schema that have not landed; `held` keeps other hosts from landing meanwhile."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = Asked(url)

    _WAITING = "from events where batch is null"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Wait until nobody else lands, and hold that."""
        with connect(self._url) as connection:
            connection.execute("set statement_timeout = 0")
            connection.execute("select pg_advisory_lock(%s)", (LANDING_LOCK,))
            yield

    def plan(self, waiting: Waiting, now_us: int) -> Batch:
        """Decide on a batch of what waits of a date, for good: its rows bear its number from now on."""
        with connect(self._url) as connection, connection.transaction():
            store = connection.execute("select value from meta where name = 'store'").fetchone()
            number = connection.execute(
                "insert into exports (event_date, state, planned_us) values (%s, 'planned', %s) returning batch",
                (day_of(waiting.event_date), now_us),
            ).fetchone()
            assert store is not None
            assert number is not None
            taken = connection.execute(
                "with taken as (update events set batch = %s where event_date = %s and batch is null returning seq)"
                " select min(seq), max(seq), count(*) from taken",
                (number[0], day_of(waiting.event_date)),
            ).fetchone()
            assert taken is not None
            first, last, rows = taken
            name = name_of(waiting.event_date, store[0], first, last)
            connection.execute(
                "update exports set first_seq = %s, last_seq = %s, rows = %s, name = %s where batch = %s",
                (first, last, rows, name, number[0]),
            )
        return Batch(number[0], waiting.event_date, first, last, rows, name, "planned")

    def _rows(self, batch: Batch) -> Any:
        return self._connection.execute(f"select {COLUMNS} from events where batch = ? order by seq", (batch.batch,))

    def _done(self, batch: Batch, now_us: int) -> None:
        with connect(self._url) as connection, connection.transaction():
            connection.execute(
                "update exports set state = 'landed', landed_us = %s where batch = %s", (now_us, batch.batch)
            )
            connection.execute("delete from events where batch = %s", (batch.batch,))
