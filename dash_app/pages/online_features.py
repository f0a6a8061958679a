"""`/online-features`: each online feature with its meaning, versions, lineage, freshness and skew."""

from __future__ import annotations

from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from quality_assets.domain.live.describing import lineage
from quality_assets.domain.live.feature_set import FeatureFileError, FeatureSet, OnlineFeature, load_features
from quality_assets.read import live as queries
from quality_assets.read.links import Request
from quality_assets.read.live import Skew
from quality_assets.read.reader import Reader
from quality_assets.settings import get_settings

Component = Any
TITLE = "Online features"


def build(reader: Reader | None, _request: Request) -> Component:
    """The page."""
    settings = get_settings()
    head = ui.page_head(
        TITLE,
        "What is known of a user milliseconds after an event, and the same of any day gone by. Each is defined once.",
        [ui.copy_link()],
    )
    try:
        features = load_features(settings.features_path)
    except FeatureFileError as error:
        return html.Div([head, ui.card(ui.nothing("circle-x", "The definition is wrong", str(error)))])
    skew = queries.skew(reader) if reader is not None else {}
    rows = [_row(features, feature, skew) for feature in sorted(features.features, key=lambda f: (f.name, f.version))]
    headers = ["Feature", "Meaning", "Kind", "Made from", "Columns", "Served against computed"]
    return html.Div(
        [
            head,
            ui.card(
                ui.card_head("All features", _known_until()),
                ui.table(headers, rows, label="Online features"),
                ui.command("quality features USER", f"curl {queries.address(settings, '/features/USER')}"),
                label="Online features",
            ),
        ]
    )


def _known_until() -> str:
    known_until = queries.known_until(get_settings())
    return (
        f"Events until {formats.moment(known_until)} are in them."
        if known_until is not None
        else "How fresh they are cannot be said: no collector answers, or it has had no event yet."
    )


def _row(features: FeatureSet, feature: OnlineFeature, skew: dict[tuple[str, int], Skew]) -> list[Any]:
    found = lineage(features, feature)
    return [
        ui.two_lines(html.Code(feature.name), f"Version {feature.version}, {feature.type}"),
        ui.two_lines(feature.description, html.Code(feature.expression)),
        formats.words(feature.kind),
        ", ".join(features.aggregates[name].description for name in found.aggregates) or "The user or the instant",
        ", ".join(found.columns) or formats.UNKNOWN,
        _skew(skew.get((feature.name, feature.version))),
    ]


def _skew(found: Skew | None) -> Component:
    if found is None or not found.compared:
        return "Not compared yet"
    if found.different:
        return ui.two_lines(
            ui.badge("bad", "circle-x", f"{formats.whole(found.different)} of {formats.whole(found.compared)} differ"),
            found.example,
        )
    return ui.badge("good", "circle-check", f"All {formats.whole(found.compared)} the same")
