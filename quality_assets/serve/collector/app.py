"""The collector as one ASGI application: events in, online features, today so far, its own condition."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import AsyncIterator
from functools import partial

from fastapi import FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from quality_assets.serve.api.docs import FOLDER, SCRIPT, STYLE
from quality_assets.serve.collector.access import Access
from quality_assets.serve.collector.core import Core
from quality_assets.serve.collector.described import described_routes
from quality_assets.serve.collector.hot import Hot
from quality_assets.serve.collector.landing import MODULE, is_due
from quality_assets.serve.collector.online import online_routes
from quality_assets.serve.collector.operations import operations_routes
from quality_assets.serve.collector.today import Today
from quality_assets.serve.ports import LOOPBACK
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.live.chosen import outbox_of
from quality_assets.version import VERSION

log = logging.getLogger("quality.collector")

_LOOK_WHAT_IS_DUE_S = 10.0
# A small product that sends its events here; what is built is kept in the repository.
_PRODUCT = REPOSITORY_ROOT / "configurator" / "dist"


def create_app(settings: Settings) -> ASGIApp:
    """The application of one root.

    Raises CollectorRunningError, UnguardedError, KeyFileError or FeatureFileError before anything starts.
    """
    access = Access(settings)
    core = Core(settings)
    today = Today(settings.live_state, core.features.tile_us)
    app = FastAPI(
        title="Feature Quality: collector",
        version=VERSION,
        description="Events in, online features of users, today so far.",
        lifespan=partial(_lifespan, core, today),
        docs_url=None,
        redoc_url=None,
    )
    _add_docs(app)
    if settings.live_url is not None:
        _answer_while_away(app)
    app.include_router(online_routes(core, access))
    app.include_router(operations_routes(core, access, today))
    app.include_router(described_routes())
    if _PRODUCT.is_dir():
        app.mount("/app", StaticFiles(directory=_PRODUCT, html=True), name="product")
    _gauges(core, today)
    hosts = frozenset(name.lower() for name in (*LOOPBACK, settings.collector_host, *settings.allowed_hosts))
    return Hot(app, core, access, hosts, settings.collector_origins)


def _add_docs(app: FastAPI) -> None:
    """The description as a page, whose parts come from this machine."""
    if FOLDER.is_dir():
        app.mount("/docs/parts", StaticFiles(directory=FOLDER), name="docs-parts")

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title=app.title,
            swagger_js_url=f"/docs/parts/{SCRIPT}",
            swagger_css_url=f"/docs/parts/{STYLE}",
            swagger_favicon_url="data:,",
        )


@contextlib.asynccontextmanager
async def _lifespan(core: Core, today: Today, _: FastAPI) -> AsyncIterator[None]:
    core.start()
    landing = asyncio.create_task(_land_what_is_due(core.settings))
    if not core.settings.collector_lands:
        landing.cancel()
    try:
        yield
    finally:
        landing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await landing
        today.close()
        await asyncio.to_thread(core.stop)


async def _land_what_is_due(settings: Settings) -> None:
    """Start a process that lands, whenever something is due; what it has begun, the next one ends."""
    outbox = outbox_of(settings.live_state)
    process: asyncio.subprocess.Process | None = None
    try:
        while True:
            try:
                if await asyncio.to_thread(is_due, settings, outbox):
                    environment = {**os.environ, "QUALITY_DATA_DIR": str(settings.data_dir)}
                    process = await asyncio.create_subprocess_exec(sys.executable, "-m", MODULE, env=environment)
                    if await process.wait():
                        log.error("landing failed with code %s, and is tried again", process.returncode)
            except Exception:
                log.exception("what is due to land could not be looked up, and is tried again")
            await asyncio.sleep(_LOOK_WHAT_IS_DUE_S)
    finally:
        if process is not None and process.returncode is None:
            await process.wait()
        outbox.close()


def _gauges(core: Core, today: Today) -> None:
    gauge = core.measures.gauge
    gauge("collector_queue_items", "Items that wait to be committed", lambda: core.committer.queued)
    gauge("collector_log_lag_records", "Requests in the log that are not processed", core.processor.lag)
    gauge("collector_log_bytes", "Size of the log and its WAL", core.log.size_bytes)
    gauge("collector_lag_seconds", "For how long the processor has been behind", core.processor.behind_s)
    gauge("collector_disk_free_bytes", "Free space where the log is", lambda: core.condition()["disk_free_bytes"])
    gauge("drift_alerts_open", "Distributions that have drifted, by the last report", DriftAlerts(core.settings).count)
    gauge("collector_landing_age_seconds", "Age of the oldest event that has not landed", partial(_landing_age, today))


def _answer_while_away(app: FastAPI) -> None:
    """503 while PostgreSQL is away, which is no fault of who asks; events are taken all the while."""
    from psycopg import InterfaceError, OperationalError

    async def unavailable(_request: Request, error: Exception) -> JSONResponse:
        log.warning("PostgreSQL does not answer: %s", error)
        return JSONResponse({"detail": "The live state cannot be read just now."}, 503, {"Retry-After": "5"})

    for kind in (OperationalError, InterfaceError):
        app.add_exception_handler(kind, unavailable)


class DriftAlerts:
    """How many distributions the graph's last report says have drifted; its file is read again when it changes."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.reports_dir / "data_drift.json"
        self._read_at_ns, self._count = 0, 0

    def count(self) -> float:
        """The number; 0 where nothing is reported yet."""
        try:
            changed_ns = self._path.stat().st_mtime_ns
            if changed_ns != self._read_at_ns:
                rows = json.loads(self._path.read_text(encoding="utf-8"))
                self._count = sum(row.get("status") == "drifted" for row in rows)
                self._read_at_ns = changed_ns
        except (OSError, ValueError, AttributeError):
            return float(self._count)
        return float(self._count)


def _landing_age(today: Today) -> float:
    oldest = today.landing()["oldest_us"]
    return 0.0 if oldest is None else time.time() - oldest / 1e6
