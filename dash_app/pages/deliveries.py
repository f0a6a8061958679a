"""`/pipeline/deliveries`: what was sent to destinations, batch by batch, and what was not delivered, first."""

from __future__ import annotations

from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from quality_assets.contracts.destinations import DELIVERIES
from quality_assets.read import experiments as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Deliveries"
PATH = "/pipeline/deliveries"

_LOOKS = {
    "delivered": ("good", "circle-check", "Delivered"),
    "started": ("warn", "half", "Not over"),
    "stopped": ("bad", "circle-x", "Stopped"),
    "refused": ("bad", "triangle-alert", "Refused"),
}


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    crumbs = html.Div(html.A("Pipeline", href="/pipeline"), className="crumbs")
    rows = queries.deliveries(reader)
    if not rows:
        none = ui.nothing(
            "database",
            "Nothing was sent yet",
            "A YAML file in data/destinations says what goes where; only what differs is sent."
            " What was sent stands here after the next publication.",
            ui.command("quality deliver NAME --dry-run"),
        )
        return html.Div([ui.page_head(TITLE, "What others were given.", [ui.copy_link()], crumbs), ui.card(none)])
    return html.Div([ui.page_head(TITLE, _summary(rows), [ui.copy_link()], crumbs), _batches(rows)], className="stack")


def _summary(rows: list[Row]) -> list[Any]:
    latest = {row["sync"]: row for row in reversed(rows)}
    undone = sorted(sync for sync, row in latest.items() if row["status"] != "delivered")
    said = html.B(formats.plural(len(latest), "destination"))
    if not undone:
        return [said, ", each with all that was sent last."]
    return [said, f"; the last batch of {', '.join(undone[:3])} was not delivered."]


def _batches(rows: list[Row]) -> Component:
    body = [
        [
            row["sync"],
            ui.badge(*_LOOKS[row["status"]]),
            formats.moment(row["started_at"]),
            formats.whole(row["inserts"]),
            formats.whole(row["updates"]),
            formats.whole(row["deletes"]),
            formats.whole(row["attempts"]),
            row["error"] or "",
        ]
        for row in rows
    ]
    head = ui.card_head(
        "Batches",
        html.Span(["As they stood at publication, newest first. From ", html.Code(DELIVERIES.qualified_name), "."]),
        ui.csv_link("deliveries"),
    )
    titles = ("Destination", "Outcome", "Begun", "New", "Changed", "Gone", "Tries", "Why not")
    return ui.card(head, ui.table(titles, body, label="Batches"), label="Batches")
