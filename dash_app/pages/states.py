"""Pages that stand in for a page: no snapshot, unknown address, unknown feature, error."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from quality_assets.read import links

Component = Any


def no_snapshot() -> Component:
    """Nothing was ever published: what publishes something."""
    return ui.nothing(
        "database",
        "No data published yet",
        "Run the demo on a sample, or ingest your own logs and run the asset graph. This page fills by itself.",
        html.Div(
            [
                ui.command(
                    "quality demo          # a sample, from raw logs to this page",
                    "quality ingest LOGS   # or logs of your own …",
                    "quality run           # … built, checked and published",
                ),
                ui.dagster_link("Open Dagster", links.dagster(), "button"),
            ],
            className="stack",
        ),
        is_page=True,
    )


def no_events(described: int) -> Component:
    """A snapshot is there, and no feature in it ever had an event."""
    said = (
        f"The snapshot describes {formats.plural(described, 'feature')}, and none has sent an event. "
        if described
        else "The snapshot holds no feature. "
    )
    return ui.nothing(
        "inbox",
        "No events yet",
        said + "Put raw logs into data/landing and run the asset graph.",
        ui.command("quality run"),
        is_page=True,
    )


def not_found(path: str) -> Component:
    """No page has this address."""
    return ui.nothing(
        "circle-question-mark",
        "There is no such page",
        ["Nothing lives at ", html.Code(path), ". Features are found with ", html.Kbd("/"), "."],
        html.A("To the overview", href="/", className="button"),
        is_page=True,
    )


def unknown_feature(name: str, known: Iterable[str]) -> Component:
    """No feature has this name; the nearest names that some have."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.4)
    return ui.nothing(
        "search",
        "No feature of this name",
        ["The snapshot has no events and no description of ", html.Code(name), "."],
        html.Div(
            [html.A(other, href=links.feature(other), className="button") for other in close]
            + [html.A("All features", href="/", className="button")],
            className="row",
        ),
        is_page=True,
    )


def failed(reference: str) -> Component:
    """The page could not be made: a bug, with the reference under which the log has it."""
    return ui.nothing(
        "circle-x",
        "This page could not be made",
        ["That is a fault of the dashboard, not of your data. The log has it under ", html.Code(reference), "."],
        html.Div(
            [
                html.Button("Try again", type="button", className="button", **{"data-reload": ""}),
                html.A("To the overview", href="/", className="button"),
            ],
            className="row",
        ),
        is_page=True,
    )
