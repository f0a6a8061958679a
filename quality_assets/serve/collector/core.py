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
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.request_log import Entry, RequestLog, encoded

MOST_LAG_S = 30.0


class CollectorRunningError(RuntimeError):
    """Another collector serves this root. The message says what to do."""


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
            self.log = RequestLog(folder / "log.db")
            self.store = LiveStore(folder / "state.db", self.features)
            _pass_over_lost(self.log, self.store)
            self.clock = ReceivedClock(max(self.log.last()[1], int(self.store.known_us)))
            self.processor = Processor(self.log, self.store, self.measures.processed)
            self.committer = Committer(self.log, folder, self.measures.committed, self.processor.wake)
        except BaseException:
            self._lock.release()
            raise
        self.started = time.time()

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
        """Why nothing should be sent now; empty where all is well."""
        found = self.failures()
        for reason in (self.committer.last_failure, self.committer.refusal()):
            if reason:
                found.append(reason)
        return found

    def condition(self) -> dict[str, Any]:
        """Figures of the collector itself."""
        disk = shutil.disk_usage(self.settings.live_dir)
        return {
            "started_at": self.started,
            "queued_items": self.committer.queued,
            "log_lag_records": max(self.committer.last_seq - self.processor.position, 0),
            "behind_s": round(self.processor.behind_s(), 3),
            "log_bytes": self.log.size_bytes(),
            "disk_free_bytes": disk.free,
        }


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
