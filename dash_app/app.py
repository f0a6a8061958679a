"""The app: one ASGI server with the Dash pages, the REST API and the health endpoints.

Start it with `uvicorn dash_app.app:server`. Routes and callbacks are wired here; what they answer is made elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
from dash import Dash, Input, Output
from fastapi import FastAPI, HTTPException, Response
from fastapi import Request as HttpRequest
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse

from dash_app import router
from dash_app.components import shell
from dash_app.pages import collector, feature, live
from dash_app.pages.feature_parts import PARTS_REQUEST
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.serve import logs
from quality_assets.serve.api import docs as api_docs
from quality_assets.serve.api import features as api
from quality_assets.serve.api.alerts import alerts_api
from quality_assets.serve.api.collector import collector_api
from quality_assets.serve.api.datasets import UPLOAD_PATH, datasets_api
from quality_assets.serve.api.experiments import experiments_api
from quality_assets.serve.api.house import house_api
from quality_assets.serve.api.impact import impact_api
from quality_assets.serve.api.model_watch import model_watch_api
from quality_assets.serve.api.models import models_api
from quality_assets.serve.api.problems import add_handlers
from quality_assets.serve.api.user_models import DEPLOY_PATH, MOST_DEPLOY_BYTES, user_models_api
from quality_assets.serve.delivery import Delivery
from quality_assets.serve.guard import MEGABYTE, Guard, rules_of
from quality_assets.serve.theme import THEME_SCRIPT
from quality_assets.serve.watching import keep_looking
from quality_assets.settings import Settings, get_settings
from quality_assets.tables.datasets.uploads import MOST_BYTES
from quality_assets.tables.tokens import house_token, is_known
from quality_assets.version import RELEASED, VERSION

log = logging.getLogger(__name__)

ASSETS = Path(__file__).parent / "assets"

# The theme is set before anything is painted, and the frame is there before any script has run.
INDEX = """<!DOCTYPE html>
<html lang="en"><head>{%metas%}<title>{%title%}</title><link rel="icon" href="/assets/favicon.svg" type="image/svg+xml">
{theme}
<link rel="preload" href="/assets/vendor/inter-latin-wght-normal.woff2" as="font" type="font/woff2" crossorigin>
{%css%}</head><body>{%app_entry%}
{%config%}{%scripts%}{%renderer%}</body></html>""".replace("{theme}", THEME_SCRIPT)

FRAME = """<div id="react-entry-point"><div class="shell">
<header><span class="brand"><span class="logo"></span><span>Feature Quality</span></span></header>
<aside></aside><main><div class="page" aria-busy="true"><div class="bone bone-title"></div>
<div class="figures"><div class="bone bone-figure"></div><div class="bone bone-figure"></div>
<div class="bone bone-figure"></div><div class="bone bone-figure"></div></div>
<div class="bone bone-table"></div></div></main></div></div>"""


class _App(Dash):
    def interpolate_index(self, **parts: Any) -> str:
        return super().interpolate_index(**parts | {"app_entry": FRAME})


async def _warm_up(server: FastAPI, store: SnapshotStore, settings: Settings, token: str | None) -> None:
    """Ask for the index once, and for what it names, so that the first reader finds all of it made and compressed.

    Dash also registers its assets on the first index only: a deep link after a restart would come without them.
    """
    transport = httpx.ASGITransport(app=server)
    headers = {"accept-encoding": "br"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
            index = (await client.get("/")).text
            files = re.findall(r'(?:src|href)="(/(?:assets|_dash-component-suites)/[^"]+)"', index)
            vendored = [f"/assets/vendor/{path.name}" for path in (ASSETS / "vendor").glob("*.js")]
            for path in ["/_dash-layout", "/_dash-dependencies", "/api/v1/search", *files, *vendored]:
                await client.get(path)
        for path in router.PAGES:
            await asyncio.to_thread(router.render, store, Request(path), settings)
    except Exception:
        log.exception("warm-up failed")


def create_server(settings: Settings | None = None) -> FastAPI:
    """The ASGI app over the snapshots of `settings.data_dir`."""
    settings = settings or get_settings()
    logs.configure()
    store = SnapshotStore(settings.published_dir)
    rules = replace(
        rules_of(settings, settings.host, max_body_bytes=MEGABYTE),
        opens=partial(is_known, settings),
        streams={UPLOAD_PATH: MOST_BYTES, DEPLOY_PATH: MOST_DEPLOY_BYTES},
    )

    @asynccontextmanager
    async def lifespan(server: FastAPI) -> AsyncIterator[None]:
        house_token(settings)
        warming = asyncio.create_task(_warm_up(server, store, settings, rules.token))
        looking = asyncio.create_task(keep_looking(settings))
        try:
            yield
        finally:
            warming.cancel()
            looking.cancel()

    server = FastAPI(
        title="Feature Quality",
        description="Which product features got worse, who is hit, and whether the numbers can be trusted.",
        version="1",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    server.state.settings = settings
    add_handlers(server)
    _add_routes(server, store)
    _add_live(server, store, settings)
    _add_dash(server, store, settings)
    server.add_middleware(Guard, rules=rules)
    server.add_middleware(Delivery)
    return server


def _add_routes(server: FastAPI, store: SnapshotStore) -> None:
    server.state.store = store
    server.include_router(api.api)
    server.include_router(alerts_api)
    server.include_router(experiments_api)
    server.include_router(collector_api)
    server.include_router(house_api)
    server.include_router(datasets_api)
    server.include_router(impact_api)
    server.include_router(models_api)
    server.include_router(user_models_api)
    server.include_router(model_watch_api)

    @server.get("/healthz", include_in_schema=False)
    def healthz() -> dict[str, str]:
        return {"status": "ok", "version": VERSION, "released": RELEASED.isoformat()}

    @server.get("/readyz", include_in_schema=False)
    def readyz() -> Response:
        try:
            reader = store.reader()
        except Exception:
            log.exception("snapshot cannot be opened")
            return JSONResponse({"status": "error", "reason": "the snapshot cannot be opened"}, 503)
        if reader is None:
            return JSONResponse({"status": "waiting", "reason": "no snapshot is published yet"}, 503)
        return JSONResponse({"status": "ok", "version": reader.snapshot.version})

    @server.get("/model", include_in_schema=False)
    def moved_model(request: HttpRequest) -> RedirectResponse:
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"/models/feature_risk{query}", 308)

    @server.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_docs.PAGE)

    # Dash answers every other address with its index, which would make a mistyped API call look like a success.
    @server.get("/api/{rest:path}", include_in_schema=False)
    def unknown(rest: str) -> None:
        raise HTTPException(404, f"There is no /api/{rest}; see /api/docs.")


def _part(store: SnapshotStore, build: Callable[..., Any]) -> Callable[[dict[str, Any]], Awaitable[Any]]:
    async def show(asked: dict[str, Any]) -> Any:
        return await asyncio.to_thread(router.render_part, store, Request(asked["path"], asked["query"]), build)

    return show


def _add_dash(server: FastAPI, store: SnapshotStore, settings: Settings) -> None:
    app = _App(
        __name__,
        server=server,
        assets_folder=str(ASSETS),
        assets_ignore=r"(plotly|swagger).*",  # marks.js and api_docs.py load them where they are needed
        index_string=INDEX,
        title="Feature Quality",
        update_title=None,
        suppress_callback_exceptions=True,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = shell.layout()

    # Callbacks are async with their work in a thread: a plain one would run on the event loop and block everybody.
    @app.callback(
        Output(shell.MAIN, "children"),
        Output(shell.SIDEBAR, "children"),
        Output(shell.BELL, "children"),
        Input(shell.URL, "pathname"),
        Input(shell.URL, "search"),
        Input(shell.TOKEN, "data"),
    )
    async def show_page(path: str | None, search: str | None, _token: str | None) -> tuple[Any, Any, Any]:
        root, sidebar = await asyncio.to_thread(router.render, store, Request.parse(path, search), settings)
        return root, sidebar, await asyncio.to_thread(router.bell, settings)

    # What reads events comes after the page, each part as soon as it is there.
    for place, build in feature.PARTS.items():
        app.callback(Output(place, "children"), Input(PARTS_REQUEST, "data"))(_part(store, build))


def _add_live(server: FastAPI, store: SnapshotStore, settings: Settings) -> None:
    """What pages ask of the collector again and again, as HTML; in threads, since it may be slow, or gone."""
    parts: dict[str, Callable[[], Any]] = {
        "today": lambda: live.body(store.reader(), settings),
        "strip": lambda: live.strip(settings),
        "collector": lambda: collector.body(settings),
        "collector-unmasked": lambda: collector.body(settings, unmasked=True),
    }

    @server.get("/parts/{name}", include_in_schema=False)
    def part(name: str) -> HTMLResponse:
        if name not in parts:
            raise HTTPException(404, f"There is no part {name}.")
        return HTMLResponse(router.part_or_failure(parts[name]), headers={"cache-control": "no-store"})


server = create_server()
