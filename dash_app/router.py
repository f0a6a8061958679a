"""From an address to a page: which pages there are, what the navigation shows, and what to say when one fails."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from dash import html
from plotly.io.json import to_json_plotly

from dash_app.components import shell
from dash_app.components.shell import NavEntry
from dash_app.pages import data_quality, drift, feature, model, overview, pipeline, states
from dash_app.pages.feature_parts import STATE
from quality_assets.domain.quality import health
from quality_assets.read import drift as drift_queries
from quality_assets.read import quality
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore, per_snapshot
from quality_assets.read.slices import slice_filters

log = logging.getLogger(__name__)

Component = Any


@dataclass(frozen=True)
class Page:
    """One page. `state` names the parts of the address, besides the window, that its content depends on."""

    title: Callable[[Request], str]
    build: Callable[[Reader, Request], Component]
    state: tuple[str, ...] = ()


PAGES: dict[str, Page] = {
    "/": Page(lambda _: overview.TITLE, overview.build),
    "/data-quality": Page(lambda _: data_quality.TITLE, data_quality.build, ("reason",)),
    "/drift": Page(lambda _: drift.TITLE, drift.build, ("show",)),
    "/pipeline": Page(lambda _: pipeline.TITLE, pipeline.build, ("asset",)),
    "/model": Page(lambda _: model.TITLE, model.build, ("version",)),
}
FEATURE_PAGE = Page(lambda request: request.feature or "Feature", feature.build, STATE)

NAVIGATION = (
    NavEntry("/", overview.TITLE, "layout-dashboard", "Product"),
    NavEntry("/model", model.TITLE, "brain", "Product"),
    NavEntry("/data-quality", data_quality.TITLE, "shield-check", "Trust"),
    NavEntry("/drift", drift.TITLE, "chart-scatter", "Trust"),
    NavEntry("/pipeline", pipeline.TITLE, "workflow", "Trust"),
)


def page_of(request: Request) -> Page | None:
    """The page at an address; None where there is none."""
    return FEATURE_PAGE if request.feature else PAGES.get(request.path.rstrip("/") or "/")


def render(store: SnapshotStore, request: Request) -> tuple[Component, list[Component]]:
    """What an address shows and the sidebar beside it. Never raises: a failure is a page too, and is logged."""
    page = page_of(request)
    token, reader = "", None
    counts: dict[str, int] = {}
    try:
        token, reader = store.token(), store.reader()
        content = _content(page, reader, request)
        counts = _counts(reader) if reader else {}
        banner = _banner(store, reader)
    except Exception:
        reference = uuid.uuid4().hex[:8]
        log.exception("page failed", extra={"reference": reference, "path": request.path})
        content, banner = states.failed(reference), None
    title = page.title(request) if page else "Not found"
    snapshot = reader.snapshot if reader else None
    root = html.Div(
        [banner, content], className="page", **{"data-title": title, "data-token": token, "data-path": request.path}
    )
    return root, shell.sidebar(NAVIGATION, request.path, snapshot, counts, datetime.now(UTC).replace(tzinfo=None))


def _content(page: Page | None, reader: Reader | None, request: Request) -> Component:
    if page is None:
        return states.not_found(request.path)
    if reader is None:
        return states.no_snapshot()
    kept = {name: value for name, value in request.query.items() if name in page.state}
    asked = Request(request.path, kept | {"window": f"{request.days}d"})
    key = ("page", asked.path, tuple(sorted(asked.query.items())))
    return reader.cache.get(key, lambda: _written(page.build(reader, asked)))


def _written(component: Component) -> orjson.Fragment:
    """A component as the JSON that it is sent as. Writing it takes longer than all else that a kept page needs."""
    return orjson.Fragment(to_json_plotly(component, engine="orjson"))


def _banner(store: SnapshotStore, reader: Reader | None) -> Component:
    attempt = store.attempt()
    if attempt is None or attempt.status != "refused":
        failing = store.failures()
        return shell.failures_banner(failing) if failing else None
    return shell.refused_banner(attempt, reader.snapshot if reader else None)


@per_snapshot
def _counts(reader: Reader) -> dict[str, int]:
    """How many things need a look, by page."""
    return {
        "/data-quality": health.alarms(quality.latest(reader)),
        "/drift": sum(row["drifted"] for row in drift_queries.counts(reader).values()),
    }


def render_part(store: SnapshotStore, request: Request, build: Callable[[Reader, Request], Component]) -> Component:
    """A part of a feature's page that is asked for after it, kept with the snapshot. Never raises, as `render`."""
    try:
        reader = store.reader()
        if reader is None:
            return None
        key = ("part", build.__name__, request.path, slice_filters(request), request.days)
        return reader.cache.get(key, lambda: _written(build(reader, request)))
    except Exception:
        reference = uuid.uuid4().hex[:8]
        log.exception("part failed", extra={"reference": reference, "path": request.path, "part": build.__name__})
        return states.failed(reference)
