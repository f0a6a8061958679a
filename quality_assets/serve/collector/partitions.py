"""Processors of a Kafka topic: one for each partition that this process could take, each with a store of its own.

A partition is taken by an advisory lock of PostgreSQL, which goes with the process. Where two have it all the same (the
connection that held the lock was cut), the second waits at the partition's position and finds nothing left to do.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from quality_assets.domain.live.feature_set import FeatureSet
from quality_assets.serve.collector.processing import SERVED_SHARE, Processor
from quality_assets.serve.collector.today import instant
from quality_assets.settings import Settings
from quality_assets.stores.live.chosen import store_of
from quality_assets.stores.live.kafka import RAW_EVENTS, Announcer, Partition, log_name
from quality_assets.stores.live.postgres import PARTITION_LOCK, connect
from quality_assets.stores.live.stepping import Answer, NewRow, Step

log = logging.getLogger("quality.collector")

_LOOK_S = 0.2
_TAKE_EVERY_S = 2.0
_MOST_SERVED = 1_000


@dataclass
class Partitions:
    """What `Processor` is for a file: follows what it can take of a topic's partitions, at most `most`, until stopped.

    With `most` 0 it takes none, and only says how far others are.
    """

    settings: Settings
    features: FeatureSet
    store: Any
    told: Callable[[Step, float], None]
    most: int | None = None
    position: int = 0
    _held: dict[int, Processor] = field(default_factory=dict)
    _parts: dict[int, Partition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.settings.kafka_brokers is not None
        assert self.settings.live_url is not None
        self._brokers, self._count = self.settings.kafka_brokers, self.settings.kafka_partitions
        self._url = self.settings.live_url.get_secret_value()
        self._announcer = Announcer(self._brokers, self._count)
        self._watched = [Partition(self._brokers, number) for number in range(self._count)]
        self._thread = threading.Thread(target=self._run, name="partitions", daemon=True)
        self._ending = threading.Event()
        self._locks: Any = None
        self._failure: str | None = None
        self._far: list[tuple[int, int, int]] = []
        self._served: list[Answer] = []
        self._reads = 0
        self._take_at = 0.0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Nothing: what follows a topic hears of it from the broker."""

    def lag(self) -> int:
        """Records of the topic that nobody has processed, as of a moment ago."""
        return sum(max(end - position, 0) for _, end, position in self._far)

    def topics(self) -> list[dict[str, Any]]:
        """How far each partition of the topic is, and who follows it is behind; as of a moment ago."""
        here = self.partitions()
        return [
            {
                "topic": RAW_EVENTS,
                "partition": number,
                "end": end,
                "position": position,
                "lag": max(end - position, 0),
                "is_followed_here": number in here,
            }
            for number, end, position in self._far
        ]

    def partitions(self) -> list[int]:
        """The partitions that are followed here."""
        return sorted(self._held)

    @property
    def is_alive(self) -> bool:
        """Whether all threads run."""
        return self._thread.is_alive() and all(processor.is_alive for processor in list(self._held.values()))

    @property
    def last_failure(self) -> str | None:
        """What fails, if anything does."""
        found = [self._failure, *(processor.last_failure for processor in list(self._held.values()))]
        return next((failure for failure in found if failure), None)

    def behind_s(self) -> float:
        """For how long there has been more than was processed in any partition that is followed here."""
        return max((processor.behind_s() for processor in list(self._held.values())), default=0.0)

    def served(self, answer: Answer) -> None:
        """Remember one of so many answers that were given."""
        self._reads += 1
        if self._reads % SERVED_SHARE == 1 and len(self._served) < _MOST_SERVED:
            self._served.append(answer)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._look()
                self._failure = None
            except Exception as error:
                self._failure = f"{type(error).__name__}: {error}"
                log.warning("partitions could not be looked at, and are again: %s", self._failure)
                self._ending.wait(1.0)
            self._ending.wait(_LOOK_S)

    def _look(self) -> None:
        if time.monotonic() >= self._take_at:
            self._take()
            self._take_at = time.monotonic() + _TAKE_EVERY_S
        rows = self._locks.execute("select log, next from positions").fetchall()
        positions = {name: int(next_) for name, next_ in rows}
        self._far = [(part.number, part.end(), positions.get(log_name(part.number), 0)) for part in self._watched]
        served, self._served = self._served, []
        if served:
            self.store.keep_served(served)

    def _take(self) -> None:
        if self._locks is None or self._locks.closed or self._locks.broken:
            self._locks = connect(self._url)
            for number in list(self._held):
                if not self._lock(number):
                    self._let_go(number)
        most = self._count if self.most is None else self.most
        for number in range(self._count):
            if len(self._held) >= most:
                return
            if number not in self._held and self._lock(number):
                self._follow(number)

    def _lock(self, number: int) -> bool:
        row = self._locks.execute("select pg_try_advisory_lock(%s, %s)", (PARTITION_LOCK, number)).fetchone()
        return bool(row[0])

    def _follow(self, number: int) -> None:
        store: Any = None

        def committed(new: Sequence[NewRow], letters: Sequence[tuple[Any, ...]]) -> None:
            try:
                self._announce(store, new, letters)
            except Exception as error:
                log.warning("what was committed could not be told to the topics: %s", error)

        store = store_of(self.settings, self.features, log_name(number), committed)
        part = Partition(self._brokers, number, lambda: store.known_us)
        part.begin_after(store.known_us)
        # A read from the broker waits by itself.
        processor = Processor(part, store, self.told, look_s=0.0)
        processor.start()
        # Only now: whoever asks for its health meanwhile would take it for one that has ended.
        self._parts[number], self._held[number] = part, processor
        log.info("partition %s is followed from %s on", number, processor.position)

    def _announce(self, store: Any, new: Sequence[NewRow], letters: Sequence[tuple[Any, ...]]) -> None:
        now_us = time.time_ns() // 1000
        for user in sorted({row[5] for _, _, row in new if row[5] is not None}):
            answer = store.read(user, 1, now_us)
            self._announcer.features(
                user,
                {
                    "user_id": user,
                    "version": answer.version,
                    "computed_at": instant(answer.as_of_us),
                    "known_until": instant(answer.known_us),
                    "features": answer.values,
                },
            )
        for received_us, source, endpoint, reasons, body in letters:
            told = {"received_at": instant(received_us), "source": source, "endpoint": endpoint}
            self._announcer.letter(source, {**told, "reasons": json.loads(reasons), "body": body})

    def _let_go(self, number: int) -> None:
        processor = self._held.pop(number)
        processor.stop()
        processor.store.close()
        self._parts.pop(number).close()

    def stop(self) -> None:
        """Process what is in the partitions that are followed here, and end."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        for number in list(self._held):
            self._let_go(number)
        for part in self._watched:
            part.close()
        self._announcer.close()
        if self._locks is not None:
            self._locks.close()
