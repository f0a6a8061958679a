"""What the server of models counts of itself, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


class Measures:
    """Counters of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._requests = Counter(
            "prediction_requests", "Requests by model, route and status", ["model", "route", "status"],
            registry=registry,
        )  # fmt: skip
        self._rows = Counter("predictions", "Rows that were predicted", ["model"], registry=registry)
        self._outside = Counter(
            "predictions_outside_training", "Rows with a value that training has not seen", ["model"], registry=registry
        )
        self._seconds = Histogram(
            "prediction_seconds", "From the request to its answer", ["model", "route"], buckets=_SECONDS,
            registry=registry,
        )  # fmt: skip
        self.release = Gauge("model_release_seq", "Release that answers", ["model", "version"], registry=registry)
        self.passed_over = Gauge(
            "model_releases_passed_over", "Newer releases that cannot be used", ["model"], registry=registry
        )
        self.refused_busy = Counter("requests_refused_busy", "Requests answered 429", registry=registry)
        self._children: dict[tuple[str, str, int], Counter] = {}
        self._by_route: dict[tuple[str, str], Histogram] = {}
        self._by_model: dict[str, Counter] = {}

    def answered(self, model: str, route: str, status: int, seconds: float) -> None:
        """A request."""
        key = (model, route, status)
        counter = self._children.get(key)
        if counter is None:
            counter = self._children[key] = self._requests.labels(model, route, str(status))
            self._by_route[key[:2]] = self._seconds.labels(model, route)
        counter.inc()
        self._by_route[key[:2]].observe(seconds)

    def predicted(self, model: str, rows: int, outside: int) -> None:
        """Rows that were predicted, and how many of them hold something that training has not seen."""
        counter = self._by_model.get(model)
        if counter is None:
            counter = self._by_model[model] = self._rows.labels(model)
        counter.inc(rows)
        if outside:
            self._outside.labels(model).inc(outside)

    def text(self) -> bytes:
        """All of them, as Prometheus reads them."""
        return generate_latest(self.registry)
