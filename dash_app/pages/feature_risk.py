"""The feature page's risk: how likely, why, and what came of earlier scores."""

from __future__ import annotations

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages.feature_parts import Component
from quality_assets.domain.features import status as states_of
from quality_assets.domain.features.attention import model_reasons
from quality_assets.read import feature as queries
from quality_assets.read.reader import Reader, Row

_PAST_DAYS = 180


def risk_panel(reader: Reader, row: Row) -> Component:
    risk = row["risk"]
    if risk is None:
        return ui.card(ui.card_head("Risk of degradation"), no_model(), label="Risk of degradation")
    probability = risk["risk_probability"]
    head = ui.card_head(
        "Risk of degradation",
        html.Span(
            [f"Next {risk['horizon_days']} days · version {risk['model_version']} · ", ui.asset_link("ml.risk_scores")]
        ),
        ui.badge(*_looks(states_of.risk_status(probability))),
    )
    if probability is None:
        why = formats.about_models(risk["note"] or "") or "Too little is known of this feature."
        return ui.card(head, ui.nothing("circle-question-mark", "Unknown", why), label="Risk of degradation")
    has_interval = risk["low"] is not None and risk["high"] is not None
    interval = (
        f"90{formats.NARROW}% interval {formats.share(risk['low'])} to {formats.share(risk['high'])}"
        if has_interval
        else "no interval"
    )
    is_degraded = html.P(
        [ui.icon("triangle-alert"), "Degraded today: this is the probability that it stays so or comes back."],
        className="hint warn",
    )
    onset = risk["onset_probability"]
    return ui.card(
        head,
        html.Div(
            [
                html.Span(formats.probability(probability), className="figure-large"),
                html.Span(interval, className="note"),
            ],
            className="row base",
        ),
        _gauge(probability, risk["low"], risk["high"]),
        is_degraded if risk["is_degraded_today"] else None,
        html.P(f"A new degradation: {formats.probability(onset)}", className="note") if onset is not None else None,
        html.P([ui.icon("circle-question-mark"), formats.about_models(risk["note"])], className="hint")
        if risk["note"]
        else None,
        _reasons(risk),
        _past(reader, row["feature"]),
        label="Risk of degradation",
    )


def no_model() -> Component:
    """There is no score: what makes one."""
    return ui.nothing(
        "brain",
        "No model yet",
        [
            "The risk model needs about eight weeks of history with some degradations in it. ",
            html.Code("quality run"),
            " trains it as soon as that is there.",
        ],
    )


def _looks(status: states_of.Status) -> tuple[str, str, str]:
    """How a risk looks. A low one is of a feature that may be ill: it is not called healthy."""
    tone, icon, word = ui.status_looks()[status]
    return tone, icon, "Low" if status == states_of.Status.HEALTHY else word


def _gauge(probability: float, low: float | None, high: float | None) -> Component:
    def at(value: float) -> str:
        return f"{100 * min(max(value, 0), 1):.1f}%"

    interval = []
    if low is not None and high is not None:
        interval = [html.Span(className="gauge-interval", style={"left": at(low), "width": at(high - low)})]
    bands = [(*_looks(status), end - start) for status, start, end in states_of.risk_bands()]
    zones = [html.Span(className=f"zone {tone}", style={"width": at(width)}) for tone, _, _, width in bands]
    words = html.Div(
        [html.Span(word, style={"width": at(width)}) for _, _, word, width in bands], className="gauge-words"
    )
    dot = html.Span(className="gauge-dot", style={"left": at(probability)})
    return html.Div([html.Div([*zones, *interval, dot], className="gauge"), words], **{"aria-hidden": "true"})


def _reasons(risk: Row) -> Component:
    reasons = model_reasons(risk)
    if not reasons:
        return None
    largest = max(abs(reason["size"]) for reason in reasons) or 1
    rows = []
    for reason in reasons:
        size = reason["size"]
        bar = {"width": f"{46 * abs(size) / largest:.1f}%", "left" if size >= 0 else "right": "50%"}
        rows.append(
            html.Li(
                [
                    html.Span(formats.words(reason["words"])),
                    html.Span(
                        html.Span(className="force " + ("up" if size >= 0 else "down"), style=bar),
                        className="force-track",
                    ),
                    html.Span(formats.points(size), className="num"),
                ]
            )
        )
    note = html.P(
        "Change of the probability in percentage points. Right raises the risk, left lowers it.", className="note"
    )
    return html.Div([html.H3("What drives it"), html.Ul(rows, className="forces"), note])


def _past(reader: Reader, name: str) -> Component:
    """Risk over time and what came of it: what was said that day, and what a model of its time would have said."""
    scores = [row for row in queries.risk_past(reader, name, _PAST_DAYS) if row["risk_probability"] is not None]
    record = queries.track_record(scores)
    heading = html.H3("Its past, and what came")
    if record is None:
        wait = "None is graded yet: the outcome of a score is known when its days have passed."
        return html.Div([heading, html.P(wait, className="note")])
    series = {
        label: [score["risk_probability"] if score["is_backfilled"] == is_backfilled else None for score in scores]
        for label, is_backfilled in (("Said that day", False), ("Filled in later", True))
    }
    figure = charts.line_chart(
        [score["event_date"] for score in scores],
        series,
        "fraction",
        texts={label: [formats.probability(value) for value in values] for label, values in series.items()},
        margin={"t": 6, "l": 40, "b": 22},
        yaxis={"range": [-0.06, 1.06], "tickformat": ".0%", "dtick": 0.5},
        xaxis={"nticks": 4},
    )
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [s["event_date"] for s in record.degraded],
            "y": [s["risk_probability"] for s in record.degraded],
            "marker": {"size": 6, "color": "var(--bad)"},
            "hovertemplate": "degraded after<extra></extra>",
        }
    )
    words = (
        f"Of {formats.plural(record.graded, 'day')} whose outcome is known, the mean risk was"
        f" {formats.probability(record.predicted)}; it degraded after {formats.share(record.observed)}."
    )
    later = sum(score["is_backfilled"] for score in scores)
    if later:
        words += f" On {formats.plural(later, 'day')} nobody was told: models of what was known by then filled them in."
    return html.Div(
        [
            heading,
            charts.chart(figure, words, height=120),
            charts.legend(
                ("line", "Said that day"),
                *((("s2", "Filled in later"),) if later else ()),
                ("dot", "Degraded within its days"),
            ),
            html.Div(
                [
                    html.P([words, " From ", ui.asset_link(queries.RISK_PAST), "."], className="note"),
                    ui.csv_link("risk_past", feature=name),
                ],
                className="between",
            ),
        ]
    )
