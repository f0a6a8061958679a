"""What came in today so far, from the live state: provisional, since late events will still add to it."""

from __future__ import annotations

import functools
import math
import threading
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from quality_assets.stores.live.chosen import asked_state
from quality_assets.stores.live.outbox import figures
from quality_assets.stores.live.sqlite import all_rows, one_row
from quality_assets.stores.live.state_tables import DAY_US

_BUCKET = math.log(1.02)
P95 = 0.95
# Counting what waits reads all of it.
_KEPT_S = 2.0
# One sender's many must not hide another's few, and what is looked at every second must not be all that waits.
_LOOKED_THROUGH = 2_000
_EPOCH = date(1970, 1, 1)


P = ParamSpec("P")
R = TypeVar("R")


def _one_at_a_time(method: Callable[Concatenate[Today, P], R]) -> Callable[Concatenate[Today, P], R]:
    """A connection is used by one thread at a time."""

    @functools.wraps(method)
    def locked(self: Today, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked


class Today:
    """Reads the figures of a day by a connection of its own, in any thread: what is long must not hold up events."""

    def __init__(self, state: Path | str, tile_us: int) -> None:
        self._connection = asked_state(state)
        self._tile_us = tile_us
        self.lock = threading.Lock()
        self._landing: tuple[float, dict[str, Any]] | None = None

    @_one_at_a_time
    def day(self, day: date, known_us: int) -> dict[str, Any]:
        """The figures of a day, by feature and in all; users of a step are those who did an event of that name."""
        number = (day - _EPOCH).days
        tiles = (number * DAY_US // self._tile_us, (number + 1) * DAY_US // self._tile_us)
        rows = figures(
            self._connection,
            "select feature, sum(events) as events, sum(errors) as errors, sum(crashes) as crashes, max(tile) as tile"
            " from live_metrics where tile >= ? and tile < ? group by feature order by events desc, feature",
            tiles,
        )
        users: dict[str, int] = dict(
            all_rows(
                self._connection, "select feature, count(*) from live_users where day = ? group by feature", (number,)
            )
        )
        p95 = self._percentiles(number)
        for row in rows:
            row["users"] = users.get(row["feature"], 0)
            row["p95_latency_ms"] = p95.get(row["feature"])
            row["last_event_at"] = instant(row.pop("tile") * self._tile_us)
        steps = figures(
            self._connection,
            "select event_name, count(*) as users from live_steps where day = ? group by event_name"
            " order by users desc, event_name",
            (number,),
        )
        return {
            "date": day.isoformat(),
            "is_provisional": True,
            "known_until": instant(known_us),
            "events": sum(row["events"] for row in rows),
            "errors": sum(row["errors"] for row in rows),
            "crashes": sum(row["crashes"] for row in rows),
            "users": users.get("", 0),
            "features": rows,
            "steps": steps,
        }

    @_one_at_a_time
    def tiles(self, day: date) -> list[dict[str, Any]]:
        """Events by feature and tile of a day; `minute` is that of the day at which the tile begins."""
        number = (day - _EPOCH).days
        first = number * DAY_US // self._tile_us
        rows = self._connection.execute(
            "select feature, tile, events from live_metrics where tile >= ? and tile < ? order by feature, tile",
            (first, (number + 1) * DAY_US // self._tile_us),
        )
        minutes = self._tile_us // 60_000_000
        return [{"feature": f, "minute": (tile - first) * minutes, "events": events} for f, tile, events in rows]

    @_one_at_a_time
    def sources(self) -> list[dict[str, Any]]:
        """What each sender has sent since the state began."""
        rows = figures(self._connection, "select * from live_sources order by source")
        for row in rows:
            row["last_at"] = instant(row.pop("last_us"))
        return rows

    @_one_at_a_time
    def last_messages(self, n: int, *, masked: bool) -> list[dict[str, Any]]:
        """The last events of each sender that have not landed, with what was mapped; values masked unless asked for."""
        rows = figures(
            self._connection,
            "select * from (select *, row_number() over (partition by source order by seq desc) as nth"
            " from (select * from events order by seq desc limit ?) as latest) as numbered"
            " where nth <= ? order by seq desc",
            (_LOOKED_THROUGH, n),
        )
        shown = []
        for row in rows:
            kept = {name: row[name] for name in ("source", "feature", "event_name", "status")}
            kept["received_at"], kept["event_time"] = instant(row["received_us"]), instant(row["event_us"])
            for name in ("event_id", "user_id", "session_id", "device_type", "platform", "app_version", "properties"):
                value = row[name]
                kept[name] = None if value is None else "•••" if masked else value
            shown.append(kept)
        return shown

    @_one_at_a_time
    def landing(self) -> dict[str, Any]:
        """How many events wait to land, since when, and what has landed last."""
        if self._landing is not None and time.monotonic() - self._landing[0] < _KEPT_S:
            return self._landing[1]
        rows, oldest = one_row(self._connection, "select count(*), min(received_us) from events")
        last = figures(
            self._connection,
            "select name, rows, landed_us from exports where state = 'landed' order by batch desc limit 1",
        )
        found = {
            "waiting_events": rows,
            "waiting_since": None if oldest is None else instant(oldest),
            "oldest_us": oldest,
            "last_file": last[0]["name"] if last else None,
            "last_landed_at": instant(last[0]["landed_us"]) if last else None,
        }
        self._landing = (time.monotonic(), found)
        return found

    def _percentiles(self, number: int) -> dict[str, float]:
        """The 95th percentile of the latency (ms) by feature, from the counts of buckets 2 % wide."""
        found: dict[str, list[tuple[int, int]]] = {}
        for feature, bucket, n in self._connection.execute(
            "select feature, bucket, sum(n) from live_latency where hour >= ? and hour < ? group by feature, bucket"
            " order by feature, bucket",
            (number * 24, number * 24 + 24),
        ):
            found.setdefault(feature, []).append((bucket, n))
        return {feature: _percentile(buckets) for feature, buckets in found.items()}

    @_one_at_a_time
    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _percentile(buckets: list[tuple[int, int]]) -> float:
    wanted = P95 * sum(n for _, n in buckets)
    reached = 0
    for bucket, n in buckets:
        reached += n
        if reached >= wanted:
            return round(math.exp((bucket + 0.5) * _BUCKET) / 1000, 3)
    return math.nan


def instant(us: int) -> str | None:
    """A time in µs as ISO 8601; null for nought, which is none."""
    if not us:
        return None
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000).isoformat()
