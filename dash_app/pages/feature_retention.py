"""The feature page's retention: who used it again in the weeks after."""

from __future__ import annotations

from datetime import timedelta

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages.feature_parts import RETENTION, Component
from quality_assets.domain.features.retention import Retention, retention
from quality_assets.read import feature as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader

_WEEKS = 12


def retention_place(name: str) -> Component:
    return ui.card(
        ui.card_head(
            "Does it keep people?",
            html.Span(["Its users by week, the last twelve. From ", ui.asset_link(queries.USER_DAYS)]),
            ui.csv_link("feature_weeks", feature=name),
        ),
        html.Div(html.Div(className="bone bone-line", **{"aria-busy": "true"}), id=RETENTION),
        label="Retention",
    )


def retention_chart(reader: Reader, request: Request) -> Component:
    """Who of a feature's users came again the week after, beside who came to the product at all."""
    name = request.feature or ""
    rows = queries.weeks(reader, name)
    if len(rows) < 2 or reader.through is None:
        return ui.nothing("history", "Not known yet", "That takes three weeks of events that name their user.")
    by_ago = {row["ago"]: row for row in rows}
    shown = rows[-_WEEKS:]
    ends = [reader.through - timedelta(days=7 * row["ago"]) for row in shown]
    series = {
        "Retained": [row["retained"] for row in shown],
        "Resurrected": [row["resurrected"] for row in shown],
        "New": [row["new"] for row in shown],
    }
    figure = charts.stacked_bars(ends, series)
    words = _retention_words(retention(by_ago, queries.still_active(reader, name)))
    legend = charts.legend(
        ("s1", "Retained from the week before"), ("s2", "Resurrected after a pause"), ("s3", "New to it")
    )
    note = (
        "A bar is the seven days that end with its date. Who comes again is not shown to come because of the feature:"
        " people who like the product use more of it anyway."
    )
    label = f"Users by week: {' '.join(words)}"
    return html.Div(
        [
            html.P([html.B(words[0]), *(f" {part}" for part in words[1:])]),
            charts.chart(figure, label, height=170),
            legend,
            html.P(note, className="note"),
        ],
        className="stack",
    )


def _retention_words(found: Retention | None) -> list[str]:
    if found is None:
        return ["Nobody used it in the week before the last,", "so nothing can be said of who came again."]
    words = [
        f"{formats.share(found.share)} of the {formats.count(found.users)} users of the week before came again",
        f"(90{formats.NARROW}% interval {formats.share(found.low)} to {formats.share(found.high)});",
        f"{formats.share(found.still_active)} of them used anything of the product.",
    ]
    if found.past:
        least, most = found.past
        words.append(f"In the weeks before that, {formats.share(least)} to {formats.share(most)} came again.")
    return words
