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
from sqlalchemy import Connection

from dash_app.components import house_parts, mutation_parts, shell
from dash_app.components.markup import markup
from dash_app.components.shell import NavEntry
from dash_app.pages import (
    alert,
    alerts,
    collector,
    data_quality,
    deliveries,
    drift,
    experiments,
    feature,
    feature_impact,
    funnels,
    house_settings,
    impact,
    live,
    model,
    model_watching,
    models,
    online_features,
    overview,
    pipeline,
    retention,
    segments,
    source,
    sources,
    states,
)
from dash_app.pages.feature_parts import STATE
from quality_assets.domain.quality import health
from quality_assets.read import alerts as alert_queries
from quality_assets.read import drift as drift_queries
from quality_assets.read import links, quality
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore, per_snapshot
from quality_assets.read.slices import slice_filters
from quality_assets.read.token import page_token
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.operations.store import operations_of

log = logging.getLogger(__name__)

Component = Any


@dataclass(frozen=True)
class Page:
    """One page. `state` names the parts of the address, besides the window, that its content depends on."""

    title: Callable[[Request], str]
    build: Callable[[Reader, Request], Component]
    state: tuple[str, ...] = ()


@dataclass(frozen=True)
class LivePage:
    """A page of the operations store, as it stands each time that it is asked for; it needs no snapshot."""

    title: Callable[[Request], str]
    build: Callable[[Connection, Request], Component]


@dataclass(frozen=True)
class RootPage(LivePage):
    """A live page of what lies in the data root besides; `build` is given its settings."""

    build: Callable[[Any, Request], Component]


@dataclass(frozen=True)
class CollectorPage(Page):
    """A page that asks the collector by itself, again and again; it needs no snapshot."""

    build: Callable[[Reader | None, Request], Component]


PAGES: dict[str, Page] = {
    "/": Page(lambda _: overview.TITLE, overview.build),
    "/data-quality": Page(lambda _: data_quality.TITLE, data_quality.build, ("reason",)),
    "/drift": Page(lambda _: drift.TITLE, drift.build, ("show",)),
    "/pipeline": Page(lambda _: pipeline.TITLE, pipeline.build, ("asset",)),
    deliveries.PATH: Page(lambda _: deliveries.TITLE, deliveries.build),
    # The old address: the server redirects it, and a link within the app finds it.
    "/model": Page(lambda _: model.TITLE, model.build, ("version",)),
    links.RISK_MODEL: Page(lambda _: model.TITLE, model.build, ("version",)),
    "/experiments": Page(lambda _: experiments.TITLE, experiments.build),
    "/impact": Page(lambda _: impact.TITLE, impact.build),
    "/funnels": Page(lambda _: funnels.TITLE, funnels.build),
    "/retention": Page(lambda _: retention.TITLE, retention.build, ("feature", "kind")),
    "/segments": Page(lambda _: segments.TITLE, segments.build),
    "/live": CollectorPage(lambda _: live.TITLE, live.build),
    "/collector": CollectorPage(lambda _: collector.TITLE, collector.build),
    "/online-features": CollectorPage(lambda _: online_features.TITLE, online_features.build),
}
# What follows the content of a page that is kept with the snapshot, and is made each time.
LIVE_PARTS: dict[str, Callable[[Connection, Settings], Component]] = {
    "/pipeline": house_parts.build,
    "/data-quality": mutation_parts.build,
    links.RISK_MODEL: lambda _, settings: model_watching.limits_of_risk(settings),
}
LIVE_PAGES: dict[str, LivePage] = {
    "/alerts": LivePage(lambda _: alerts.TITLE, alerts.build),
    "/sources": RootPage(lambda _: sources.TITLE, sources.build),
    "/models": RootPage(lambda _: models.TITLE, models.build),
    "/settings": LivePage(lambda _: house_settings.TITLE, house_settings.build),
}
ALERT_PAGE = LivePage(lambda _: "Alert", alert.build)
MODEL_PAGE = RootPage(lambda request: links.model_of(request.path) or models.TITLE, models.build_one)
DATASET_PAGE = RootPage(lambda request: links.dataset_of(request.path) or sources.TITLE, source.build)
EXPERIMENT_PAGE = Page(lambda request: links.experiment_of(request.path) or experiments.TITLE, experiments.build)
FEATURE_PAGE = Page(lambda request: request.feature or "Feature", feature.build, (*STATE, feature_impact.TAB))
FUNNEL_PAGE = Page(lambda request: links.funnel_of(request.path) or funnels.TITLE, funnels.build)

NAVIGATION = (
    NavEntry("/", overview.TITLE, "layout-dashboard", "Product"),
    NavEntry("/alerts", alerts.TITLE, "bell-ring", "Product"),
    NavEntry("/live", live.TITLE, "activity", "Product"),
    NavEntry("/models", models.TITLE, "brain", "Product"),
    NavEntry("/impact", impact.TITLE, "users", "People's use"),
    NavEntry("/funnels", funnels.TITLE, "arrow-down", "People's use"),
    NavEntry("/retention", retention.TITLE, "history", "People's use"),
    NavEntry("/experiments", experiments.TITLE, "square-split-horizontal", "People's use"),
    NavEntry("/segments", segments.TITLE, "link", "People's use"),
    NavEntry("/data-quality", data_quality.TITLE, "shield-check", "Trust"),
    NavEntry("/sources", sources.TITLE, "inbox", "Trust"),
    NavEntry("/drift", drift.TITLE, "chart-scatter", "Trust"),
    NavEntry("/pipeline", pipeline.TITLE, "workflow", "House"),
    NavEntry("/collector", collector.TITLE, "database", "House"),
    NavEntry("/online-features", online_features.TITLE, "users", "House"),
    NavEntry("/settings", house_settings.TITLE, "sliders", "House"),
)


def page_of(request: Request) -> Page | LivePage | None:
    """The page at an address; None where there is none."""
    live = LIVE_PAGES.get(request.path.rstrip("/"))
    if links.alert_of(request.path):
        live = ALERT_PAGE
    elif links.dataset_of(request.path):
        live = DATASET_PAGE
    elif links.model_of(request.path):
        live = MODEL_PAGE
    if live is not None:
        return live
    if links.experiment_of(request.path):
        return EXPERIMENT_PAGE
    if links.funnel_of(request.path):
        return FUNNEL_PAGE
    return FEATURE_PAGE if request.feature else PAGES.get(request.path.rstrip("/") or "/")


def render(
    store: SnapshotStore, request: Request, settings: Settings | None = None
) -> tuple[Component, list[Component]]:
    """What an address shows and the sidebar beside it. Never raises: a failure is a page too, and is logged."""
    page, settings = page_of(request), settings or get_settings()
    token, reader = "", None
    counts: dict[str, int] = {}
    try:
        token, reader = page_token(store, settings), store.reader()
        content = (
            _live(page, request, settings)
            if isinstance(page, LivePage)
            else _content(page, reader, request, store.token())
        )
        counts = (_counts(reader) if reader else {}) | {"/alerts": unacknowledged(settings)}
        banner = _banner(store, reader)
    except Exception:
        reference = uuid.uuid4().hex[:8]
        log.exception("page failed", extra={"reference": reference, "path": request.path})
        content, banner = states.failed(reference), None
    title = page.title(request) if page else "Not found"
    snapshot = reader.snapshot if reader else None
    root = html.Div(
        [banner, content, _live_part(request, settings)],
        className="page",
        **{"data-title": title, "data-token": token, "data-path": request.path},
    )
    return root, shell.sidebar(NAVIGATION, request.path, snapshot, counts, datetime.now(UTC).replace(tzinfo=None))


def _content(page: Page | None, reader: Reader | None, request: Request, token: str) -> Component:
    """A page as it is kept for as long as the snapshot, and what fails beside it, stay as they are."""
    if page is None:
        return states.not_found(request.path)
    if isinstance(page, CollectorPage):
        return page.build(reader, request)
    if reader is None:
        return states.no_snapshot()
    kept = {name: value for name, value in request.query.items() if name in page.state}
    asked = Request(request.path, kept | {"window": f"{request.days}d"})
    key = ("page", token, asked.path, tuple(sorted(asked.query.items())))
    return reader.cache.get(key, lambda: _written(page.build(reader, asked)))


def _live(page: LivePage, request: Request, settings: Settings) -> Component:
    if isinstance(page, RootPage):
        return page.build(settings, request)
    with operations_of(settings).read() as connection:
        return page.build(connection, request)


def _live_part(request: Request, settings: Settings) -> Component:
    """What a page has of the operations store below what is kept; nothing where the store does not answer."""
    build = LIVE_PARTS.get(request.path.rstrip("/"))
    if build is None:
        return None
    try:
        with operations_of(settings).read() as connection:
            return build(connection, settings)
    except Exception:
        log.exception("live part failed", extra={"path": request.path})
        return None


def unacknowledged(settings: Settings) -> int:
    """How many live alerts nobody has acknowledged; none where the store does not answer, which is told elsewhere."""
    try:
        with operations_of(settings).read() as connection:
            return alert_queries.open_counts(connection)["unacknowledged"]
    except Exception:
        log.exception("the operations store does not answer")
        return 0


def bell(settings: Settings) -> Component:
    """The bell of the frame: how many alerts nobody has acknowledged."""
    return shell.bell(unacknowledged(settings))


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


def part_or_failure(build: Callable[[], Component]) -> str:
    """A part that is asked for again and again, as HTML. Never raises: a failure is logged, and said in its place."""
    try:
        return markup(build())
    except Exception:
        reference = uuid.uuid4().hex[:8]
        log.exception("part failed", extra={"reference": reference})
        return markup(states.failed(reference))
