"""`quality process`: processors of a topic by themselves, with their health and measures at a port of their own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI, Request, Response

from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector.access import Access
from quality_assets.serve.collector.core import MOST_LAG_S, CollectorRunningError, topics_of
from quality_assets.serve.collector.measures import Measures
from quality_assets.serve.collector.online import require_reader
from quality_assets.serve.collector.partitions import Partitions
from quality_assets.settings import Settings
from quality_assets.stores.live.chosen import store_of


def create_processor_app(settings: Settings, most: int | None) -> FastAPI:
    """The application of processors. Raises CollectorRunningError, UnguardedError, KeyFileError, FeatureFileError."""
    if settings.kafka_brokers is None:
        raise CollectorRunningError(
            "processors follow a Kafka topic, and QUALITY_KAFKA_BROKERS names no broker; without one `quality collect`"
            " processes what it takes by itself."
        )
    access, measures = Access(settings), Measures()
    features = load_features(settings.features_path)
    topics_of(settings).close()
    store = store_of(settings, features, "none")
    partitions = Partitions(settings, features, store, measures.processed, most)
    measures.gauge("collector_log_lag_records", "Records of the topic that nobody has processed", partitions.lag)
    measures.gauge("collector_lag_seconds", "For how long a processor has been behind", partitions.behind_s)
    measures.gauge("processor_partitions", "Partitions that are followed here", lambda: len(partitions.partitions()))

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        partitions.start()
        try:
            yield
        finally:
            await asyncio.to_thread(partitions.stop)
            store.close()

    app = FastAPI(title="Feature Quality: processors", lifespan=lifespan)

    @app.get("/health")
    async def health(response: Response) -> dict[str, Any]:
        """Whether all threads run and keep up."""
        reasons = [] if partitions.is_alive else ["a processor has ended"]
        if partitions.last_failure:
            reasons.append(f"a processor fails: {partitions.last_failure}")
        if partitions.behind_s() > MOST_LAG_S:
            reasons.append(f"a processor is {partitions.behind_s():.0f} s behind its partition")
        response.status_code = 503 if reasons else 200
        return {"status": "failing" if reasons else "ok", "reasons": reasons, "partitions": partitions.partitions()}

    @app.get("/healthz")
    async def alive(response: Response) -> dict[str, Any]:
        """Whether it goes on by itself: 503 where only a restart would help, and not while a service is away."""
        response.status_code = 200 if partitions.is_alive else 503
        return {"status": "ok" if partitions.is_alive else "ended"}

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        """Counters, as Prometheus reads them."""
        require_reader(access, request)
        return Response(await asyncio.to_thread(measures.text), media_type="text/plain; version=0.0.4; charset=utf-8")

    return app
