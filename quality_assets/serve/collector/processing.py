"""The processor: a thread that turns the log into events to land, tiles, figures of today and dead letters."""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from quality_assets.stores.live.live_store import Answer, LiveStore, Step
from quality_assets.stores.live.request_log import Record

if TYPE_CHECKING:
    from quality_assets.stores.live.postgres_store import PostgresStore

log = logging.getLogger("quality.collector")

CADENCE_S = 0.010
MOST_ITEMS = 5_000
# Another process may append to the log: letters that are sent again.
LOOK_S = 0.5
KEEP_LOG_US = 3600 * 1_000_000
_HOUSEKEEPING_S = 60.0
_LONGEST_WAIT_S = 5.0
_PRUNE_S = 6 * 3600.0
SERVED_SHARE = 50


class Followed(Protocol):
    """A log that is followed: that of this root, or a partition."""

    def read_after(self, seq: int, most_items: int) -> list[Record]:
        """What follows `seq`."""

    def end(self) -> int:
        """The number of the newest record, whoever wrote it."""

    def prune(self, before_seq: int, before_us: int) -> int:
        """Forget what is older than both; how many."""


@dataclass
class Processor:
    """Follows `source` and writes to `store`, a step each ten milliseconds at most, until it is stopped."""

    source: Followed
    store: LiveStore | PostgresStore
    told: Callable[[Step, float], None]
    look_s: float = LOOK_S

    def __post_init__(self) -> None:
        self._woken = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="processor", daemon=True)
        self._served: collections.deque[Answer] = collections.deque(maxlen=1_000)
        self._reads = 0
        self.position = self.store.position()
        self.behind_since: float | None = None
        self.last_failure: str | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is more."""
        self._woken.set()

    def served(self, answer: Answer) -> None:
        """Remember one of so many answers that were given."""
        self._reads += 1
        if self._reads % SERVED_SHARE == 1:
            self._served.append(answer)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def behind_s(self) -> float:
        """For how long there has been more than was processed; 0 where all is."""
        since = self.behind_since
        return 0.0 if since is None else time.monotonic() - since

    def lag(self) -> int:
        """How many records are not processed."""
        return max(self.source.end() - self.position, 0)

    def topics(self) -> list[dict[str, Any]]:
        """How far each topic is read: none, where the log is a file."""
        return []

    def catch_up(self) -> Step:
        """Process all that is in the log, in the caller's thread."""
        done = Step()
        while True:
            step = self._step()
            if step is None:
                return done
            done += step

    def _step(self) -> Step | None:
        records = self.source.read_after(self.position, MOST_ITEMS)
        if not records:
            self.behind_since = None
            return None
        if self.behind_since is None:
            self.behind_since = time.monotonic()
        started = time.perf_counter()
        step = self.store.write_batch(records)
        self.position = step.position
        self.told(step, time.perf_counter() - started)
        return step

    def _run(self) -> None:
        pause = 0.0
        housekeeping_at, prune_at = time.monotonic() + _HOUSEKEEPING_S, time.monotonic() + 60.0
        while True:
            stopping = self._stopping
            self._woken.clear()
            started = time.monotonic()
            try:
                if self.last_failure:
                    # Somebody may have said where to go on.
                    self.position = self.store.position()
                is_idle = self._step() is None
                if started > housekeeping_at:
                    housekeeping_at = started + _HOUSEKEEPING_S
                    self._keep_house()
                if is_idle and started > prune_at:
                    prune_at = started + _PRUNE_S
                    self.store.prune(time.time_ns() // 1000)
                self.last_failure, pause = None, 0.0
            except Exception as error:
                # A full disk, mostly: nothing of the step was kept, and it is tried again, less and less often.
                self.last_failure = f"{type(error).__name__}: {error}"
                log.warning("a step of the processor failed and is tried again: %s", self.last_failure)
                is_idle, pause = True, min(max(2 * pause, 0.1), _LONGEST_WAIT_S)
            if stopping and (is_idle or self.last_failure):
                return
            self._wait(started, is_idle, pause)

    def _wait(self, started: float, is_idle: bool, pause: float) -> None:
        if pause and not self._stopping:
            time.sleep(pause)
        elif is_idle and not self._stopping:
            self._woken.wait(self.look_s)
        left = CADENCE_S - (time.monotonic() - started)
        if left > 0:
            time.sleep(left)

    def _keep_house(self) -> None:
        kept = []
        while self._served:
            kept.append(self._served.popleft())
        if kept:
            self.store.keep_served(kept)
        durable = self.store.checkpoint()
        if durable:
            # What the state has for good, and what has landed, need not be in the log; but an hour of it stays.
            self.source.prune(min(durable, self.store.first_unlanded()), time.time_ns() // 1000 - KEEP_LOG_US)

    def stop(self) -> None:
        """Process what is in the log, and end."""
        self._stopping = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._served and self.last_failure is None:
            self.store.keep_served(list(self._served))
