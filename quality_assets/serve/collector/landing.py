"""When what came in lands: today's every so often, a day that is over at once, what came late gathered.

Run by name it lands what is due, or all that waits: a process of its own, since Parquet's library is heavy.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta

from filelock import Timeout

from quality_assets.serve.collector.core import CollectorRunningError, processor_lock
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.live.chosen import outbox_of, state_exists, store_of
from quality_assets.stores.live.outbox import Batch, Outbox, Waiting, landing_lock

MODULE = "quality_assets.serve.collector.landing"
MOST_EVENTS_OF_TODAY = 250_000
# A day is closed so long after midnight, UTC: what was on its way then is in.
CLOSES_AFTER_US = 120 * 1_000_000
_CAUGHT_UP_WITHIN_S = 120.0


def due(waiting: list[Waiting], settings: Settings, now_us: int) -> list[Waiting]:
    """What of `waiting` is to land now.

    One late event rebuilds its day, and many later ones of trends: so what comes late is held back, and lands together.
    """
    now = datetime.fromtimestamp(now_us / 1e6, UTC)
    midnight_us = int(datetime(now.year, now.month, now.day, tzinfo=UTC).timestamp()) * 1_000_000
    closed_us = midnight_us + CLOSES_AFTER_US
    open_from = now.date() if now_us >= closed_us else now.date() - timedelta(days=1)
    found = [each for each in waiting if each.event_date >= open_from and _is_due_today(each, settings, now_us)]
    closed = [each for each in waiting if each.event_date < open_from]
    found += [each for each in closed if _closes(each, now.date(), closed_us)]
    late = [each for each in closed if each not in found]
    if any(now_us - each.oldest_us >= settings.land_late_every_s * 1e6 for each in late):
        found += late
    return sorted(found, key=lambda each: each.event_date)


def _is_due_today(waiting: Waiting, settings: Settings, now_us: int) -> bool:
    is_old = now_us - waiting.oldest_us >= settings.land_every_s * 1e6
    return is_old or waiting.rows >= MOST_EVENTS_OF_TODAY


def _closes(waiting: Waiting, today: date, closed_us: int) -> bool:
    return waiting.event_date == today - timedelta(days=1) and waiting.oldest_us < closed_us


def is_due(settings: Settings, outbox: Outbox) -> bool:
    """Whether there is anything to do for a process that lands."""
    return bool(outbox.batches("planned") or due(outbox.waiting(), settings, time.time_ns() // 1000))


def land(settings: Settings, choose: Callable[[list[Waiting]], list[Waiting]]) -> list[Batch]:
    """Bring planned batches to their end, then land what `choose` takes of what waits; what was landed."""
    landed: list[Batch] = []
    outbox = outbox_of(settings.live_state)
    try:
        with outbox.held():
            landed += _landed(settings, outbox, choose)
    finally:
        outbox.close()
    return landed


def _landed(settings: Settings, outbox: Outbox, choose: Callable[[list[Waiting]], list[Waiting]]) -> list[Batch]:
    landed = []
    for batch in outbox.batches("planned"):
        outbox.land(batch, settings.landing_dir, time.time_ns() // 1000)
        landed.append(batch)
    for waiting in choose(outbox.waiting()):
        now_us = time.time_ns() // 1000
        batch = outbox.plan(waiting, now_us)
        outbox.land(batch, settings.landing_dir, now_us)
        landed.append(batch)
    return landed


def land_now(settings: Settings) -> list[Batch]:
    """Process what is in the log, or wait until the collector that runs has, and land all of it, of every date."""
    if not (settings.live_dir / "log.db").exists() and not (settings.live_url and state_exists(settings.live_state)):
        return []
    settings.live_dir.mkdir(parents=True, exist_ok=True)
    if settings.kafka_brokers is not None:
        _wait_for_topic(settings)
        with landing_lock(settings.live_dir):
            return land(settings, lambda waiting: waiting)
    try:
        lock = processor_lock(settings)
    except CollectorRunningError:
        _wait_for_processor(settings)
        with landing_lock(settings.live_dir):
            return land(settings, lambda waiting: waiting)
    try:
        _catch_up(settings)
        with landing_lock(settings.live_dir):
            return land(settings, lambda waiting: waiting)
    finally:
        lock.release()


def _catch_up(settings: Settings) -> None:
    from quality_assets.domain.live.feature_set import load_features
    from quality_assets.serve.collector.processing import Processor
    from quality_assets.stores.live.request_log import RequestLog

    log = RequestLog(settings.live_dir / "log.db")
    store = store_of(settings, load_features(settings.features_path))
    try:
        Processor(log, store, lambda _step, _seconds: None).catch_up()
    finally:
        store.close()
        log.close()


def _wait_for_processor(settings: Settings) -> None:
    from quality_assets.stores.live.chosen import asked_state, own_log
    from quality_assets.stores.live.request_log import last_of

    wanted = last_of(settings.live_dir / "log.db")
    state = asked_state(settings.live_state)
    asked = ("select value from meta where name = ?", ("log_seq",))
    if settings.live_url is not None:
        asked = ("select next from positions where log = ?", (own_log(settings),))
    deadline = time.monotonic() + _CAUGHT_UP_WITHIN_S
    try:
        while True:
            # A state that has processed nothing stands at no position.
            row = state.execute(*asked).fetchone()
            if (row[0] if row else 0) >= wanted:
                return
            if time.monotonic() > deadline:
                raise CollectorRunningError(
                    f"the collector that runs has not processed its log within {_CAUGHT_UP_WITHIN_S:.0f} s; its /health"
                    " says why. Nothing is lost."
                )
            time.sleep(0.05)
    finally:
        state.close()


def _wait_for_topic(settings: Settings) -> None:
    """Wait until processors, wherever they run, have taken what is in the topic now."""
    from quality_assets.stores.live.chosen import asked_state
    from quality_assets.stores.live.kafka import Partition, log_name

    assert settings.kafka_brokers is not None
    state = asked_state(settings.live_state)
    parts = [Partition(settings.kafka_brokers, number) for number in range(settings.kafka_partitions)]
    deadline = time.monotonic() + _CAUGHT_UP_WITHIN_S
    try:
        wanted = {log_name(part.number): part.end() for part in parts}
        while True:
            there = dict(state.execute("select log, next from positions").fetchall())
            behind = [name for name, end in wanted.items() if there.get(name, 0) < end]
            if not behind:
                return
            if time.monotonic() > deadline:
                raise CollectorRunningError(
                    f"{', '.join(behind)} has not been processed within {_CAUGHT_UP_WITHIN_S:.0f} s. Nothing is lost;"
                    " does `quality process` run?"
                )
            time.sleep(0.05)
    finally:
        state.close()
        for part in parts:
            part.close()


def main() -> None:
    """Land what is due; nothing where another process does already."""
    settings = get_settings()
    try:
        with landing_lock(settings.live_dir, 0):
            for batch in land(settings, lambda waiting: due(waiting, settings, time.time_ns() // 1000)):
                sys.stderr.write(f"landed {batch.rows} events of {batch.event_date}: {batch.name}\n")
    except Timeout:
        return


if __name__ == "__main__":
    main()
