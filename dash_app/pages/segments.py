"""The page of segments: who is in each, since when that is known, and how many came and went."""

from __future__ import annotations

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.pages.feature_parts import Component
from dash_app.pages.impact import doubt
from quality_assets.read import impact as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TITLE = "Segments"


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    head = ui.page_head(TITLE, "Groups of people by what they do, as of the last day.", [ui.copy_link()])
    rows = queries.segments(reader)
    if not rows:
        none = ui.nothing(
            "users",
            "No segment is defined",
            "A YAML file in data/segments says whom it holds; the next run builds it.",
            ui.command("quality run"),
        )
        return html.Div([head, ui.card(none)], className="stack")
    return html.Div([head, *map(_card, rows), doubt(reader)], className="stack")


def _card(row: Row) -> Component:
    name = row["segment"]
    about = " · ".join(part for part in (row["description"], formats.person(row["owner"])) if part)
    lines = [html.P(html.B(formats.typeset(line))) for line in str(row["verdict"]).removeprefix("waits: ").splitlines()]
    spark = ui.spark(row["spark"], f"Members of {name} in the last 28 days") if row["spark"] else None
    source = html.Span([about, ". From ", ui.asset_link(queries.SEGMENT_DAYS)])
    return ui.card(
        ui.card_head(name, source, ui.csv_link("segment", named=name)), *lines, spark, label=f"Segment {name}"
    )
