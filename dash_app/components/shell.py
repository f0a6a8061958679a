"""The frame around every page: header, navigation, what is shown and since when. Pages are in `dash_app.pages`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dash import dcc, html

from dash_app import formats
from dash_app.components import ui
from quality_assets.domain.quality import health
from quality_assets.read import links
from quality_assets.stores.failures import BuildFailure
from quality_assets.stores.snapshots import PublicationAttempt, Snapshot
from quality_assets.version import RELEASED, VERSION

Component = Any

MAIN = "main"
SIDEBAR = "sidebar"
BELL = "bell"
URL = "url"
TOKEN = "token"  # noqa: S105


@dataclass(frozen=True)
class NavEntry:
    """One entry of the navigation."""

    path: str
    title: str
    icon: str
    group: str


def layout() -> Component:
    """What is there before any page is: the frame and a skeleton."""
    return html.Div(
        [
            dcc.Location(id=URL, refresh=False),
            dcc.Store(id=TOKEN),
            html.A("Skip to content", href="#main", className="skip"),
            _header(),
            html.Aside(html.Nav(className="nav-skeleton"), id=SIDEBAR, **{"aria-label": "Pages and snapshot"}),
            html.Main(_skeleton(), id=MAIN, tabIndex="-1"),
            _foot(),
            html.Div(id="toast", role="status", **{"aria-live": "polite"}),
        ],
        className="shell",
    )


def _header() -> Component:
    search = html.Div(
        [
            ui.icon("search"),
            dcc.Input(
                id="search", type="text", placeholder="Jump to a feature…", autoComplete="off", className="search-input"
            ),
            html.Kbd("/"),
            html.Ul(id="search-results", role="listbox", hidden=True, **{"aria-label": "Features"}),
        ],
        className="search",
        role="search",
    )
    menu = html.Button(
        ui.icon("menu"),
        id="menu",
        type="button",
        className="icon-button only-small",
        **{"aria-label": "Navigation", "aria-expanded": "false", "aria-controls": SIDEBAR},
    )
    theme = html.Button(
        [
            html.Span(className="i i-sun", **{"aria-hidden": "true"}),
            html.Span(className="i i-moon", **{"aria-hidden": "true"}),
        ],
        id="theme",
        type="button",
        className="icon-button",
        **{"aria-label": "Light or dark"},
    )
    return html.Header(
        [
            menu,
            html.A(
                [html.Span(ui.icon("chart-no-axes-column"), className="logo"), html.Span("Feature Quality")],
                href="/",
                className="brand",
                **{"aria-label": "Feature Quality, overview"},
            ),
            search,
            html.Div(bell(0), id=BELL),
            html.A(
                [ui.icon("workflow"), html.Span("Dagster")],
                href=links.dagster(),
                target="_blank",
                rel="noreferrer",
                className="button plain only-large",
                title="Open the Dagster UI in a new tab",
            ),
            theme,
        ]
    )


def bell(waiting: int) -> Component:
    """The way to the alerts, with how many of them nobody has acknowledged."""
    number = html.Span(formats.count(waiting), className="bubble") if waiting else None
    said = f"{formats.plural(waiting, 'alert')} that nobody has acknowledged" if waiting else "Alerts: nothing waits"
    return html.A(
        [ui.icon("bell-ring"), number], href="/alerts", className="icon-button bell", title=said, **{"aria-label": said}
    )


def _foot() -> Component:
    return html.Footer(
        [
            html.Span(f"Feature Quality {VERSION}, {formats.day(RELEASED, year=True)}"),
            html.A("API", href="/api/docs"),
        ],
        className="colophon",
    )


def _skeleton() -> Component:
    def block(name: str) -> Component:
        return html.Div(className=f"bone {name}")

    return html.Div(
        [
            html.H1("Loading…", className="unseen"),
            block("bone-title"),
            html.Div([block("bone-figure") for _ in range(5)], className="figures"),
            html.Div([block("bone-card") for _ in range(3)], className="grid-3"),
            block("bone-table"),
        ],
        className="page",
        **{"aria-busy": "true"},
    )


def sidebar(
    entries: Sequence[NavEntry], path: str, snapshot: Snapshot | None, counts: Mapping[str, int], now: datetime
) -> list[Component]:
    """Navigation with the number of things that need a look, and the snapshot that is shown."""
    groups = list(dict.fromkeys(entry.group for entry in entries))
    nav = html.Nav(
        [
            html.Div(
                [
                    html.Div(group, className="nav-group"),
                    *(_entry(e, path, counts) for e in entries if e.group == group),
                ]
            )
            for group in groups
        ],
        **{"aria-label": "Pages"},
    )
    return [nav, _snapshot(snapshot, now)]


def _entry(entry: NavEntry, path: str, counts: Mapping[str, int]) -> Component:
    is_here = path == entry.path or (entry.path == "/" and path.startswith(links.FEATURE_PREFIX))
    number = counts.get(entry.path, 0)
    bubble = html.Span([formats.count(number), html.Span(" need a look", className="unseen")], className="bubble")
    return html.A(
        [ui.icon(entry.icon), html.Span(entry.title), bubble if number else None],
        href=entry.path,
        className="nav-entry" + (" on" if is_here else ""),
        **({"aria-current": "page"} if path == entry.path else {}),
    )


def _snapshot(snapshot: Snapshot | None, now: datetime) -> Component:
    if snapshot is None:
        return html.Div(html.Div([ui.icon("database"), "No snapshot published yet"]), className="snapshot")
    through, published = snapshot.data_through, f"Published {formats.moment(snapshot.published_at)}"
    lines: list[Component] = [
        html.Div(
            [ui.icon("database"), html.Span(["Data through ", html.B(formats.day(snapshot.data_through, year=True))])]
        )
    ]
    if through and health.is_silent(through, now.date()):
        lines.append(_stale(f"No event since: {formats.ago((now.date() - through).days)}"))
    if health.is_stale(snapshot.published_at, now):
        lines.append(_stale(f"{published}, {formats.ago((now - snapshot.published_at).days)}"))
    else:
        lines.append(html.Div(published))
    lines.append(html.Code(snapshot.version, title="Version of the snapshot that is shown"))
    return html.Div(lines, className="snapshot")


def _stale(text: str) -> Component:
    return html.Div([ui.icon("half"), html.Span(text)], className="stale")


def failures_banner(found: Sequence[BuildFailure]) -> Component:
    """Says what fails to be built though the last publication was a good one: which dates, since when, why."""
    said = [html.Li([failure.sentence, " ", ui.run_link(failure.run_id, "See the run")]) for failure in found[:5]]
    more = [html.Li(f"and {len(found) - 5} more: `quality status`")] if len(found) > 5 else []
    return html.Div(
        [ui.icon("circle-x"), html.Div([html.B("Not all of this could be built. "), html.Ul(said + more)])],
        className="banner bad",
        role="alert",
    )


def refused_banner(attempt: PublicationAttempt, snapshot: Snapshot | None) -> Component:
    """Says that newer data exists and was not published, since when, and why."""
    shown = (
        f"What you see is the snapshot of {formats.moment(snapshot.published_at)}."
        if snapshot
        else "Nothing was published before, so there is nothing to show."
    )
    reasons = [html.Li(reason) for reason in attempt.reasons[:5]] or [html.Li("No reason was recorded.")]
    return html.Div(
        [
            ui.icon("circle-x"),
            html.Div(
                [
                    html.B(
                        f"The last publication was refused; none has succeeded since {formats.moment(attempt.since)}. "
                    ),
                    shown,
                    html.Ul(reasons),
                ]
            ),
            ui.run_link(attempt.run_id, "See the run"),
        ],
        className="banner bad",
        role="alert",
    )
