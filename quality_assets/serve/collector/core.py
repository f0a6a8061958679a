"""The parts of a running collector: clock, committer, log, state, processor, measures; how they start and stop."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from typing import Any

from filelock import FileLock, Timeout

from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector.committing import Committer, ReceivedClock
from quality_assets.serve.collector.measures import Measures
from quality_assets.serve.collector.processing import Processor
from quality_assets.settings import Settings
from quality_assets.stores.live.chosen import store_of
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.request_log import Entry, RequestLog, encoded

MOST_LAG_S = 30.0


class CollectorRunningError(RuntimeError):
    """Another collector serves this root, or a service that it needs is away. The message says what to do."""


@dataclass
class Core:
    """One collector of one data root. Raises CollectorRunningError where another has it."""

    settings: Settings
    measures: Measures = field(default_factory=Measures)

    def __post_init__(self) -> None:
        folder = self.settings.live_dir
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = processor_lock(self.settings)
        try:
            self.features = load_features(self.settings.features_path)
            self._open()
            self.clock = ReceivedClock(max(self.log.last()[1], int(self.store.known_us)))
            self.committer = Committer(self.log, folder, self.measures.committed, self.processor.wake)
        except BaseException as error:
            self._lock.release()
            if type(error).__module__.startswith("psycopg"):
                raise CollectorRunningError(
                    f"PostgreSQL, which QUALITY_LIVE_URL names, cannot be used: {error}."
                    " Start it, or correct the address."
                ) from error
            raise
        self.started = time.time()

    def _open(self) -> None:
        if self.settings.kafka_brokers is None:
            self.log: Any = RequestLog(self.settings.live_dir / "log.db")
            self.store = store_of(self.settings, self.features)
            _pass_over_lost(self.log, self.store)
            self.processor: Any = Processor(self.log, self.store, self.measures.processed)
            return
        from quality_assets.serve.collector.partitions import Partitions

        self.log = topics_of(self.settings)
        self.store = store_of(self.settings, self.features, "none")
        most = None if self.settings.collector_processes else 0
        self.processor = Partitions(self.settings, self.features, self.store, self.measures.processed, most)

    def start(self) -> None:
        """Start both threads, within an event loop."""
        self.committer.start()
        self.processor.start()

    def stop(self) -> None:
        """Drain: commit what was submitted, process what is in the log, close."""
        self.committer.stop()
        self.processor.stop()
        self.store.close()
        self.log.close()
        self._lock.release()

    def failures(self) -> list[str]:
        """Why the collector is not well; empty where it is."""
        found = []
        if not self.processor.is_alive:
            found.append("the processor has ended: what comes in is durable, and nothing is made of it")
        if self.processor.last_failure:
            found.append(f"the processor fails: {self.processor.last_failure}")
        if self.processor.behind_s() > MOST_LAG_S:
            found.append(f"the processor is {self.processor.behind_s():.0f} s behind the log")
        return found

    def unready(self) -> list[str]:
        """Why nothing should be sent now; empty where it would be taken.

        What fails behind the log holds nobody up: whoever sends elsewhere for it finds the same there, or nobody.
        """
        return [reason for reason in (self.committer.failure(), self.committer.refusal()) if reason]

    def condition(self) -> dict[str, Any]:
        """Figures of the collector itself."""
        disk = shutil.disk_usage(self.settings.live_dir)
        return {
            "started_at": self.started,
            "queued_items": self.committer.queued,
            "log_lag_records": self.processor.lag(),
            "behind_s": round(self.processor.behind_s(), 3),
            "log_bytes": self.log.size_bytes(),
            "disk_free_bytes": disk.free,
        }


def topics_of(settings: Settings) -> Any:
    """The log in the topics of a broker. Raises CollectorRunningError where it cannot be had."""
    from confluent_kafka import KafkaException

    from quality_assets.stores.live.kafka import KafkaLog, TopicError

    assert settings.kafka_brokers is not None
    if settings.live_url is None:
        raise CollectorRunningError(
            "QUALITY_KAFKA_BROKERS needs QUALITY_LIVE_URL: what was processed of a partition stands in PostgreSQL, with"
            " what came of it."
        )
    try:
        return KafkaLog(settings.kafka_brokers, settings.kafka_partitions)
    except KafkaException as error:
        raise CollectorRunningError(
            f"the brokers of QUALITY_KAFKA_BROKERS ({settings.kafka_brokers}) do not answer: {error}"
        ) from error
    except TopicError as error:
        raise CollectorRunningError(str(error)) from error


def processor_lock(settings: Settings) -> FileLock:
    """Hold the processor of a root for this process. Raises CollectorRunningError."""
    lock = FileLock(settings.live_dir / ".processor.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise CollectorRunningError(
            f"a collector of {settings.data_dir} runs already. Stop it (Ctrl-C, or SIGTERM), or name another root:"
            " --data-dir."
        ) from None
    return lock


def _pass_over_lost(log: RequestLog, store: LiveStore) -> None:
    """Where the log was taken away, number what comes from where the state stands, which would else pass it over."""
    position = store.position()
    if log.last()[0] < position:
        log.append_as(position, time.time_ns() // 1000, encoded(Entry("default", [])))
