"""`/feature/<name>`: why it is at risk, since when, where, and whether to believe it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dash import dcc, html

from dash_app import formats, health, links
from dash_app.components import charts, ui
from dash_app.health import CheckState
from dash_app.links import Request
from dash_app.pages import overview, states
from dash_app.queries import feature as queries
from dash_app.queries import overview as all_features
from dash_app.snapshots import Reader, Row
from quality_assets.domain.metrics import METRICS_BY_NAME

Component = Any
STATE = queries.SLICE_DIMENSIONS
SLICES, SLICES_REQUEST = "slices", "slices-request"

_DIMENSION_WORDS = {"platform": "Platform", "app_version": "App version", "country": "Country"}
_SOURCE = "product.feature_daily_trends"
_SLICE_ROWS = 8
_ODD_Z = 3.0
_ODD_CHANGE = 0.2
_ODD_EVENTS = 200
_STAGE_WORDS = {"ga": "GA"}
_SLO_COLUMNS = {
    "latency_p95_ms": "slo_latency_p95_ms",
    "crash_rate": "slo_crash_rate",
    "error_rate": "slo_error_rate",
}


@dataclass(frozen=True)
class _Chart:
    metric: str
    note: str
    color: str


_CHARTS = (
    _Chart("latency_p95_ms", "What one in twenty waits longer than", charts.SERIES[0]),
    _Chart("crash_rate", "Events that end in a crash", charts.SERIES[1]),
    _Chart("error_rate", "Events that end in an error", charts.SERIES[4]),
    _Chart("users", "Distinct users of the feature", charts.SERIES[0]),
    _Chart("feedback_mean", "Mean rating, 1–5", charts.SERIES[2]),
    _Chart("adoption_rate", "Share of the product's users who use it", charts.SERIES[3]),
)


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    name = request.feature or ""
    row = next((row for row in overview.features(reader, request.days) if row["feature"] == name), None)
    if row is None:
        return states.unknown_feature(name, all_features.descriptions(reader))
    filters = slice_filters(request)
    incidents = queries.incidents(reader, name)
    return html.Div(
        [
            _head(row, request),
            _filter_row(request, filters),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(_charts(reader, row, request, filters, incidents), className="grid-2"),
                            _legend(bool(filters)),
                            _slices_place(request, filters),
                            _incidents(reader, incidents),
                        ],
                        className="stack",
                    ),
                    html.Div([_risk(reader, row), _trust(reader, request.days)], className="stack side"),
                ],
                className="with-side",
            ),
        ]
    )


def slice_filters(request: Request) -> tuple[tuple[str, str], ...]:
    """The slice that the address narrows to, as pairs of dimension and value."""
    return tuple((name, request.query[name]) for name in STATE if request.query.get(name))


def _head(row: Row, request: Request) -> Component:
    stage = row["lifecycle_stage"]
    chips = [ui.status_badge(row["status"])]
    if stage:
        chips.append(html.Span(_STAGE_WORDS.get(stage, formats.words(stage)), className="chip"))
    if not row["is_described"]:
        chips.append(html.Span("Not in feature_metadata.csv", className="chip"))
    crumbs = html.Nav(
        [html.A("Overview", href="/"), html.Span("/")]
        + ([html.A(row["team"], href=f"/?team={row['team']}"), html.Span("/")] if row["team"] else [])
        + [html.Span(row["display_name"], **{"aria-current": "page"})],
        className="crumbs",
        **{"aria-label": "Breadcrumb"},
    )
    facts = [
        f"owned by {formats.person(row['owner'])}" if row["owner"] else "nobody is named as its owner",
        f"tier {row['tier']}" if row["tier"] else None,
        f"launched {formats.day(row['launched_on'], year=True)}" if row["launched_on"] else None,
    ]
    subtitle = " · ".join(fact for fact in (row["team"], *facts) if fact)
    title = html.Span([row["display_name"], *chips], className="title")
    return ui.page_head(title, subtitle, [ui.window_links(request), ui.copy_link()], crumbs)


def _filter_row(request: Request, filters: Sequence[tuple[str, str]]) -> Component:
    if not filters:
        return None
    chips = [
        html.A(
            [f"{_DIMENSION_WORDS[name]} {value}", ui.icon("x")],
            href=request.url(**{name: None}),
            className="chip-filter",
            title="Take this filter out",
        )
        for name, value in filters
    ]
    note = html.Span("Lines are this slice alone; grey lines and bands are the whole feature.", className="note")
    return html.Div([html.Span("Only"), *chips, note], className="filter-row")


def _charts(
    reader: Reader, row: Row, request: Request, filters: tuple[tuple[str, str], ...], incidents: Sequence[Row]
) -> list[Component]:
    name, days = row["feature"], request.days
    trends = queries.trends(reader, name, days)
    releases = queries.releases(reader, name, days)
    part = queries.slice_by_day(reader, name, days, filters) if filters else None
    return [
        _metric_card(reader, spec, row, days, trends.get(spec.metric, []), incidents, releases, part)
        for spec in _CHARTS
    ]


def _metric_card(
    reader: Reader,
    spec: _Chart,
    row: Row,
    days: int,
    points: Sequence[Row],
    incidents: Sequence[Row],
    releases: Sequence[Row],
    part: Sequence[Row] | None,
) -> Component:
    metric = METRICS_BY_NAME[spec.metric]
    last = points[-1] if points else None
    if last is None or reader.through is None or all(point["value"] is None for point in points):
        empty = ui.nothing("inbox", "No data in this window", _why_empty(spec.metric))
        return ui.card(ui.card_head(metric.label, spec.note), empty, label=metric.label)
    own = [fault for fault in incidents if spec.metric in fault["metrics"] or fault["kind"] == "dead"]
    has_part = part is not None and spec.metric != "adoption_rate"
    figure = charts.metric_chart(
        spec.metric,
        metric.unit,
        points,
        through=reader.through,
        days=days,
        incidents=own,
        releases=releases,
        slo=row.get(_SLO_COLUMNS.get(spec.metric, "")),
        part=part if has_part else None,
        color=spec.color,
    )
    change = last["change"]
    said = f"{formats.metric(spec.metric, last['value'])} on {formats.day(last['event_date'])}"
    figure_now = [
        html.A(
            formats.metric(spec.metric, last["value"]),
            href=links.dagster_asset(_SOURCE),
            target="_blank",
            rel="noreferrer",
            className="figure-small",
            title=f"{said}; from {_SOURCE} in Dagster",
        ),
        ui.delta(formats.change(change), ui.change_tone(last["is_worse"])) if change is not None else None,
    ]
    return ui.card(
        ui.card_head(metric.label, spec.note, figure_now),
        charts.chart(figure, f"{metric.label}, {said}, over {days} days"),
        label=metric.label,
    )


def _why_empty(metric: str) -> str:
    needs = {
        "users": "a user_id",
        "adoption_rate": "a user_id",
        "feedback_mean": "a feedback_score",
        "latency_p95_ms": "a latency",
    }
    need = needs.get(metric)
    return f"Events of this feature carry no {need.split(' ', 1)[1]} here." if need else "The feature had no events."


def _legend(is_filtered: bool) -> Component:
    marks = [("line", "Slice"), ("line grey", "Whole feature")] if is_filtered else [("line", "Observed")]
    outside = [] if is_filtered else [("dot", "Outside, and worse")]
    return charts.legend(
        *marks,
        ("band", "Expected of the weekday"),
        *outside,
        ("fault", "Incident"),
        ("release", "Release"),
        ("dash", "SLO"),
    )


def _slices_place(request: Request, filters: Sequence[tuple[str, str]]) -> Component:
    skeleton = html.Div([html.Div(className="bone bone-line") for _ in range(6)], **{"aria-busy": "true"})
    return ui.card(
        dcc.Store(id=SLICES_REQUEST, data={"path": request.path, "query": dict(request.query)}),
        ui.card_head("Where it happens", "Platform, version and country, now against the 28 days before"),
        html.Div(skeleton, id=SLICES),
        label="Slices",
    )


def slices(reader: Reader, request: Request) -> Component:
    """The tables of slices, asked for after the page is there: they read events, not daily facts."""
    name = request.feature
    if name is None or reader.through is None:
        return None
    filters = slice_filters(request)
    faults = [fault for fault in queries.incidents(reader, name) if fault["end_date"] is None]
    since = min((fault["start_date"] for fault in faults), default=reader.through - timedelta(days=6))
    since = max(since, reader.through - timedelta(days=89))
    rows = queries.slices(reader, name, since, filters)
    if not rows:
        return ui.nothing("inbox", "No events to slice", "The snapshot holds no events of this feature in this time.")
    culprits = {
        pair for fault in faults for pair in zip(fault["slice_dimensions"], fault["slice_values"], strict=False)
    }
    asked = dict(filters)
    blocks = [_slice_table(d, rows, request, culprits) for d in STATE if d not in asked]
    why = "since its incident began" if faults else "the last 7 days"
    note = f"{formats.span(since, reader.through)} ({why}). Select a slice to see its lines above."
    return html.Div(
        [html.P([note, " From ", ui.asset_link(queries.EVENTS), "."], className="note"), *blocks], className="stack"
    )


def _slice_table(dimension: str, rows: Sequence[Row], request: Request, culprits: set[tuple[str, str]]) -> Component:
    now = [row for row in rows if row["dimension"] == dimension and row["is_now"]]
    before = {row["slice"]: row for row in rows if row["dimension"] == dimension and not row["is_now"]}
    total = sum(row["events"] for row in now) or 1
    if all(row["slice"] is None for row in now):
        return html.P(f"{_DIMENSION_WORDS[dimension]}: the events do not say.", className="note")
    body = []
    for row in now[:_SLICE_ROWS]:
        past = before.get(row["slice"])
        share = row["events"] / total
        body.append(
            [
                _slice_name(dimension, row["slice"], request, culprits),
                html.Span(
                    [html.Span(className="share-bar", style={"width": f"{60 * share:.1f}px"}), formats.share(share)],
                    className="share",
                ),
                formats.count(row["users"]),
                _slice_value(row, past, "latency_p95_ms"),
                _slice_value(row, past, "crash_rate"),
                _slice_value(row, past, "error_rate"),
            ]
        )
    title = _DIMENSION_WORDS[dimension]
    more = len(now) - _SLICE_ROWS
    table = ui.table(
        [title, "Share", "Users", "p95", "Crash rate", "Error rate"],
        body,
        label=title,
        numeric=(2, 3, 4, 5),
        class_name="slices",
    )
    return html.Div([table, html.P(f"{more} smaller ones are left out.", className="note") if more > 0 else None])


def _slice_name(dimension: str, value: str | None, request: Request, culprits: set[tuple[str, str]]) -> Component:
    if value is None:
        return html.Span("not stated", className="note")
    mark = html.Span([ui.icon("flame"), "incident"], className="culprit") if (dimension, value) in culprits else None
    return html.Span(
        [html.A(value, href=request.url(**{dimension: value}), className="strong"), mark], className="row tight"
    )


def _slice_value(now: Row, before: Row | None, metric: str) -> Component:
    value, past = now[metric], before[metric] if before else None
    if value is None or not past:
        return ui.two_lines(formats.metric(metric, value), "new" if before is None else "")
    change = value / past - 1
    is_odd = change > _ODD_CHANGE and now["events"] >= _ODD_EVENTS and _is_beyond_chance(now, before or {}, metric)
    return ui.two_lines(formats.metric(metric, value), ui.delta(formats.change(change), "bad" if is_odd else ""))


def _is_beyond_chance(now: Row, before: Row, metric: str) -> bool:
    """Two-proportion z test for rates; latencies are judged by size alone."""
    if METRICS_BY_NAME[metric].unit != "fraction":
        return True
    n, m = now["events"], before["events"]
    pooled = (now[metric] * n + before[metric] * m) / (n + m)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    return spread > 0 and (now[metric] - before[metric]) / spread > _ODD_Z


def _incidents(reader: Reader, incidents: Sequence[Row]) -> Component:
    if not reader.has("product.incidents"):
        unknown = ui.nothing(
            "circle-question-mark",
            "Not detected yet",
            "This snapshot has no incident detection, so whether there was one is not known.",
        )
        return ui.card(ui.card_head("Incidents"), unknown, label="Incidents")
    is_open = [fault for fault in incidents if fault["end_date"] is None]
    if not incidents:
        calm = ui.nothing(
            "circle-check",
            "No incident so far",
            "Nothing of this feature was ever worse than its own past by more than noise.",
        )
        return ui.card(ui.card_head("Incidents"), calm, label="Incidents")
    aside = html.Span(f"{len(is_open)} open · {len(incidents) - len(is_open)} resolved", className="note")
    return ui.card(
        ui.card_head("Incidents", ["From ", ui.asset_link("product.incidents")], aside),
        html.Ul([_incident(fault) for fault in incidents[:10]], className="incidents"),
        label="Incidents",
    )


def _incident(fault: Row) -> Component:
    is_open = fault["end_date"] is None
    where = ", ".join(
        f"{_DIMENSION_WORDS.get(d, d).lower()} {v}"
        for d, v in zip(fault["slice_dimensions"], fault["slice_values"], strict=False)
    )
    found = (
        f"{where}: {formats.share(fault['slice_share'])} of it,"
        f" with {formats.share(fault['slice_traffic_share'])} of the traffic"
        if where
        else None
    )
    users = f"{formats.count(fault['affected_users'])} users a day" if fault["affected_users"] is not None else None
    line = [formats.words(fault["severity"]), formats.span(fault["start_date"], fault["end_date"]), users, found]
    return html.Li(
        [
            html.Span(className="incident-dot" + (" open" if is_open else "")),
            ui.two_lines(html.B(fault["sentence"]), " · ".join(part for part in line if part)),
            html.Span("Open" if is_open else "Resolved", className="note"),
        ]
    )


def _risk(reader: Reader, row: Row) -> Component:
    risk = row["risk"]
    if risk is None:
        return ui.card(ui.card_head("Risk of degradation"), no_model(), label="Risk of degradation")
    probability = risk["risk_probability"]
    head = ui.card_head(
        "Risk of degradation",
        html.Span(
            [f"Next {risk['horizon_days']} days · version {risk['model_version']} · ", ui.asset_link("ml.risk_scores")]
        ),
        ui.status_badge(health.risk_status(probability)),
    )
    if probability is None:
        why = risk["note"] or "Too little is known of this feature."
        return ui.card(head, ui.nothing("circle-question-mark", "Unknown", why), label="Risk of degradation")
    has_interval = risk["low"] is not None and risk["high"] is not None
    interval = (
        f"90{formats.NARROW}% interval {formats.share(risk['low'])} to {formats.share(risk['high'])}"
        if has_interval
        else "no interval"
    )
    is_degraded = html.P(
        [ui.icon("triangle-alert"), "Degraded today: the score says it will stay or come back."], className="hint warn"
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
        html.P([ui.icon("circle-question-mark"), risk["note"]], className="hint") if risk["note"] else None,
        _reasons(risk),
        _ledger(reader, row["feature"]),
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


def _gauge(probability: float, low: float | None, high: float | None) -> Component:
    def at(value: float) -> str:
        return f"{100 * min(max(value, 0), 1):.1f}%"

    interval = []
    if low is not None and high is not None:
        interval = [html.Span(className="gauge-interval", style={"left": at(low), "width": at(high - low)})]
    zones = [
        html.Span(className=f"zone {tone}", style={"width": at(width)})
        for tone, width in (
            ("good", health.WATCH),
            ("watch", health.AT_RISK - health.WATCH),
            ("risk", 1 - health.AT_RISK),
        )
    ]
    words = html.Div(
        [
            html.Span("Healthy", style={"width": at(health.WATCH)}),
            html.Span("Watch", style={"width": at(health.AT_RISK - health.WATCH)}),
            html.Span("At risk"),
        ],
        className="gauge-words",
    )
    dot = html.Span(className="gauge-dot", style={"left": at(probability)})
    return html.Div([html.Div([*zones, *interval, dot], className="gauge"), words], **{"aria-hidden": "true"})


def _reasons(risk: Row) -> Component:
    reasons = overview.model_reasons(risk)
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


def _ledger(reader: Reader, name: str) -> Component:
    scores = list(reversed(queries.ledger(reader, name)))
    graded = [
        score
        for score in scores
        if score["is_graded"] and score["label_any"] is not None and score["risk_probability"] is not None
    ]
    heading = html.H3("How its past scores turned out")
    if not graded:
        return html.Div(
            [
                heading,
                html.P(
                    "None is graded yet: the outcome of a score is known when its days have passed.", className="note"
                ),
            ]
        )
    said = sum(score["risk_probability"] for score in graded) / len(graded)
    was = sum(score["label_any"] for score in graded) / len(graded)
    figure = charts.line_chart(
        [score["event_date"] for score in scores],
        {"Risk": [score["risk_probability"] for score in scores]},
        "fraction",
        texts={"Risk": [formats.probability(score["risk_probability"]) for score in scores]},
        margin={"t": 6, "l": 40, "b": 22},
        yaxis={"range": [-0.06, 1.06], "tickformat": ".0%", "dtick": 0.5},
        xaxis={"nticks": 4},
    )
    hit = [score for score in graded if score["label_any"]]
    figure["data"].append(
        {
            "type": "scatter",
            "mode": "markers",
            "x": [s["event_date"] for s in hit],
            "y": [s["risk_probability"] for s in hit],
            "marker": {"size": 7, "color": "var(--bad)"},
            "hovertemplate": "degraded after<extra></extra>",
        }
    )
    words = f"Of {formats.plural(len(graded), 'graded score')}, the mean said {formats.probability(said)};"
    words += f" it degraded after {formats.share(was)}."
    return html.Div(
        [
            heading,
            charts.chart(figure, words, height=120),
            charts.legend(("line", "Risk"), ("dot", "Degraded within its days")),
            html.P([words, " From ", ui.asset_link("ml.score_ledger"), "."], className="note"),
        ]
    )


def _trust(reader: Reader, days: int) -> Component:
    found = queries.trust(reader, days)
    link = html.A(["Data quality", ui.icon("chevron-right")], href="/data-quality", className="more")
    if not found:
        empty = ui.nothing("circle-question-mark", "Unknown", "No check has run on what these numbers are made from.")
        return ui.card(ui.card_head("Can you trust these numbers?", None, link), empty, label="Trust")
    items = [_trust_item(asset, found.get(asset)) for asset in queries.TRUST_ASSETS]
    note = f"Latest result of every check, for the partitions of the last {days} days"
    head = ui.card_head("Can you trust these numbers?", None, link)
    return ui.card(
        head, _verdict(found), html.P(note, className="note"), html.Ul(items, className="trust"), label="Trust"
    )


def _verdict(found: Mapping[str, Row]) -> Component:
    errors = sum(row["errors"] for row in found.values())
    failed = sum(row["failed"] for row in found.values())
    unknown = [asset for asset in queries.TRUST_ASSETS if asset not in found or found[asset]["unknown"]]
    if errors:
        said = f"Not fully: {formats.plural(errors, 'result')} say that a number of this window is false."
        return html.P([ui.state_icon(CheckState.FAILING), said], className="hint")
    if failed:
        said = f"Mostly: nothing is false, but {formats.plural(failed, 'result')} deserve a look."
        return html.P([ui.state_icon(CheckState.WARNING), said], className="hint")
    if unknown:
        said = f"As far as is known: {formats.plural(len(unknown), 'table')} could not be checked in full."
        return html.P([ui.state_icon(CheckState.UNKNOWN), said], className="hint")
    return html.P([ui.state_icon(CheckState.PASSING), "Yes: every check of this window passed."], className="hint")


def _trust_item(asset: str, row: Row | None) -> Component:
    if row is None:
        state, words, when = CheckState.UNKNOWN, "no check has run", ""
    elif row["failed"]:
        results = row["failed"] + row["passed"] + row["unknown"]
        state = CheckState.FAILING if row["errors"] else CheckState.WARNING
        words = f"{formats.whole(row['failed'])} of {formats.whole(results)} results failing: " + ", ".join(
            formats.words(name).lower() for name in sorted(row["failing"])[:3]
        )
        when = formats.moment(row["checked_at"])
    else:
        state = CheckState.UNKNOWN if row["unknown"] else CheckState.PASSING
        unknown = f", {formats.whole(row['unknown'])} could not run" if row["unknown"] else ""
        words, when = f"{formats.plural(row['checks'], 'check')} passed{unknown}", formats.moment(row["checked_at"])
    return html.Li([ui.state_icon(state), ui.two_lines(ui.asset_link(asset), f"{words} · {when}" if when else words)])
