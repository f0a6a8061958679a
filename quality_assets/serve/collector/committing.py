"""Making requests durable: all that waits is committed together, and each is acknowledged after that."""

from __future__ import annotations

import asyncio
import logging
import queue
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

from quality_assets.stores.live.request_log import Log
from quality_assets.stores.live.sqlite import is_full

log = logging.getLogger("quality.collector")

MOST_QUEUED_ITEMS = 50_000
MOST_LOG_BYTES = 8 << 30
_LEAST_FREE_BYTES = 32 << 20
_CLOCK_BACK_US = 60_000_000
_TRIED_AGAIN_AFTER_S = 10.0
_LOOK_AT_DISK_S = 1.0

_Waiting = tuple[int, int, bytes, "asyncio.Future[None]"]


class OverloadedError(RuntimeError):
    """Nothing more can be taken now; the same will go well later. The message says why."""


class ReceivedClock:
    """Times of receipt in µs, each later than the one before, also where the clock is set back a little."""

    def __init__(self, last_us: int = 0) -> None:
        self._last = last_us

    def next(self) -> int:
        """The time now."""
        now = time.time_ns() // 1000
        if now <= self._last and self._last - now < _CLOCK_BACK_US:
            now = self._last + 1
        self._last = now
        return now


class Committer:
    """A thread that appends what is submitted to the log, as much at once as waits."""

    def __init__(self, target: Log, folder: Path, told: Callable[[float, int], None], wake: Callable[[], None]) -> None:
        self._log, self._folder, self._told, self._wake = target, folder, told, wake
        self._queue: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)
        self._disk_looked_at = 0.0
        self._reason: str | None = None
        self.queued = 0
        self.last_failure: str | None = None
        self.failed_at = 0.0

    def start(self) -> None:
        """Begin to take entries; in a thread with an event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def submit(self, received_us: int, n: int, body: bytes) -> asyncio.Future[None]:
        """Queue an encoded entry of `n` items; done when it is durable. Raises OverloadedError, as the future may."""
        reason = self.refusal()
        if reason is not None:
            raise OverloadedError(reason)
        future: asyncio.Future[None] = self._loop.create_future()
        self.queued += n
        self._queue.put((received_us, n, body, future))
        return future

    def failure(self) -> str | None:
        """Why the last that was sent could not be written, or None; for some seconds, then whoever sends may try.

        Who is told that it is not ready is sent nothing, and would never be found to be well again.
        """
        return self.last_failure if time.monotonic() - self.failed_at < _TRIED_AGAIN_AFTER_S else None

    def refusal(self) -> str | None:
        """Why nothing can be taken now, or None."""
        if self.queued > MOST_QUEUED_ITEMS:
            return f"{self.queued} items wait to be written already"
        now = time.monotonic()
        if now - self._disk_looked_at > _LOOK_AT_DISK_S:
            self._disk_looked_at = now
            disk = shutil.disk_usage(self._folder)
            # On a small disk a small part of it is the reserve.
            short = disk.free < min(_LEAST_FREE_BYTES, disk.total // 50)
            long = self._log.size_bytes() > MOST_LOG_BYTES
            self._reason = "the disk is nearly full" if short else "the log is at its longest" if long else None
        return self._reason

    def _run(self) -> None:
        while True:
            first = self._queue.get()
            if first is None:
                return
            waiting = [first]
            ends = False
            while not self._queue.empty() and not ends:
                more = self._queue.get()
                ends = more is None
                if more is not None:
                    waiting.append(more)
            self._commit(waiting)
            if ends:
                return

    def _commit(self, waiting: list[_Waiting]) -> None:
        started = time.perf_counter()
        error: Exception | None = None
        try:
            self._log.append([entry[:3] for entry in waiting])
            self.last_failure = None
        except Exception as failed:
            if not is_full(failed):
                log.exception("the log could not be written")
            error = OverloadedError(f"the log cannot be written: {failed}")
            self.last_failure, self.failed_at = str(error), time.monotonic()
        self._told(time.perf_counter() - started, len(waiting))
        self._loop.call_soon_threadsafe(self._acknowledge, waiting, error)
        if error is None:
            self._wake()

    def _acknowledge(self, waiting: list[_Waiting], error: Exception | None) -> None:
        for _, n, _, future in waiting:
            self.queued -= n
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

    def stop(self) -> None:
        """Commit what waits, and end."""
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()
