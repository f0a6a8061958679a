"""The page of segments: who is in each, since when that is known, and how many came and went."""

from __future__ import annotations

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.pages.feature_parts import Component
from dash_app.pages.impact import doubt
from quality_assets.read import experiments
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
        return html.Div([head, ui.card(none), _engagement(reader)], className="stack")
    return html.Div([head, *map(_card, rows), _engagement(reader), doubt(reader)], className="stack")


def _card(row: Row) -> Component:
    name = row["segment"]
    about = " · ".join(part for part in (row["description"], formats.person(row["owner"])) if part)
    lines = [html.P(html.B(formats.typeset(line))) for line in str(row["verdict"]).removeprefix("waits: ").splitlines()]
    spark = ui.spark(row["spark"], f"Members of {name} in the last 28 days") if row["spark"] else None
    source = html.Span([about, ". From ", ui.asset_link(queries.SEGMENT_DAYS)])
    return ui.card(
        ui.card_head(name, source, ui.csv_link("segment", named=name)), *lines, spark, label=f"Segment {name}"
    )


def _engagement(reader: Reader) -> Component:
    """Who may stay away for the next 28 days, and what such scores were worth; a share only where it has held."""
    bands, grades = experiments.engagement_bands(reader), experiments.engagement_grades(reader)
    if not bands:
        return None
    held = next((row for row in grades if row["candidate"] == "logistic"), None)
    is_probability = held is not None and held["verdict"] == "probabilities hold"
    said = [
        f"{formats.whole(row['people'])} {row['band']}"
        + (f" ({formats.share(row['p_churn'])} expected)" if is_probability and row["p_churn"] is not None else "")
        for row in bands
    ]
    best = held or next(iter(grades), None)
    worth = (
        f"{formats.day(best['as_of_date'], year=True)}, {best['candidate'].replace('_', ' ')}: {best['reason']}"
        if best
        else ""
    )
    as_of = formats.day(bands[0]["as_of_date"], year=True)
    tables = ("ml.engagement_scores", "ml.engagement_grades")
    return ui.card(
        ui.card_head(
            "Who may stay away",
            f"Users of 28 days, as of {as_of}, by the risk of none of the next 28.",
            ui.csv_link("engagement_grades"),
        ),
        html.P(html.B(", ".join(said) + ".")),
        html.P(formats.typeset(worth) or "No week is graded yet: its 28 days are not over."),
        html.Div([ui.asset_link(tables[0]), " ", ui.asset_link(tables[1])]),
        label="Who may stay away",
    )
