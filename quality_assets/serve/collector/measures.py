"""What the collector counts of itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from quality_assets.stores.live.live_store import Answer, Step

_SECONDS = (0.00001, 0.00002, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Measures:
    """Counters of one collector, in a registry of its own."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        self._events = Counter("events_processed", "Events that were processed, once each", registry=registry)
        self._failed = Counter("events_failed", "Items and requests that were refused", ["reason"], registry=registry)
        self._duplicates = Counter("events_duplicate", "Events that had been sent before", registry=registry)
        self._calls = Counter("calls_without_feature", "Segment calls that are no use of a feature", registry=registry)
        self._reads = Histogram(
            "feature_computation_seconds", "Reading all features of a user", buckets=_SECONDS, registry=registry
        )
        self._steps = Histogram(
            "processor_step_seconds", "A step of the processor", buckets=_SECONDS, registry=registry
        )
        self._syncs = Histogram("log_commit_seconds", "A commit to the log, with its sync", registry=registry)
        self._committed = Counter("log_records", "Requests that were made durable", registry=registry)
        # Features are read from the store itself; a cache stands before PostgreSQL only.
        self.cache_hits = Counter("cache_hits", "Feature reads that the cache answered", registry=registry)
        self.cache_misses = Counter("cache_misses", "Feature reads that the cache did not answer", registry=registry)
        self._variants = Counter(
            "ab_variant_assignments", "Feature reads by the arm of their user", ["variant"], registry=registry
        )
        self._by_reason: dict[str, Counter] = {}
        self._count = 0

    def gauge(self, name: str, description: str, value: Callable[[], float]) -> None:
        """A figure that is looked up when it is asked for."""
        Gauge(name, description, registry=self._registry).set_function(value)

    def processed(self, step: Step, seconds: float) -> None:
        """A step of the processor."""
        self._events.inc(step.events)
        self._count += step.events
        self._duplicates.inc(step.duplicates)
        self._calls.inc(step.calls)
        self._steps.observe(seconds)
        for reason in step.reasons:
            self.failed(reason, 1)

    def failed(self, reason: str, n: int) -> None:
        """Items, or a request, that were refused."""
        counter = self._by_reason.get(reason)
        if counter is None:
            counter = self._by_reason[reason] = self._failed.labels(reason)
        counter.inc(n)

    def committed(self, seconds: float, records: int) -> None:
        """A commit to the log."""
        self._syncs.observe(seconds)
        self._committed.inc(records)

    def read(self, answer: Answer, seconds: float, *, has_cache: bool = False) -> None:
        """A read of features."""
        self._reads.observe(seconds)
        if answer.is_cached:
            self.cache_hits.inc()
        elif has_cache:
            self.cache_misses.inc()
        variant = answer.values.get("ab_variant")
        if variant is not None:
            self._variants.labels(variant).inc()

    def events_processed(self) -> int:
        """Events since the start."""
        return self._count

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
