"""`/feature/<name>`: why it is at risk, since when, where, and whether to believe it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages import feature_impact, states
from dash_app.pages.feature_causes import causes_chart
from dash_app.pages.feature_parts import DIMENSION_WORDS, PAIRS, RETENTION, SLICES, Component
from dash_app.pages.feature_retention import retention_chart, retention_place
from dash_app.pages.feature_risk import risk_panel
from dash_app.pages.feature_slices import pairs, slices, slices_place
from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.features.attention import users_hit
from quality_assets.domain.features.incident_words import end_word
from quality_assets.domain.features.status import Status
from quality_assets.domain.quality import health
from quality_assets.domain.quality.health import CheckState
from quality_assets.read import feature as queries
from quality_assets.read import links
from quality_assets.read import overview as all_features
from quality_assets.read.links import Request
from quality_assets.read.overview import features
from quality_assets.read.reader import Reader, Row
from quality_assets.read.slices import slice_filters

_SOURCE = "product.feature_daily_trends"
_STAGE_WORDS = {"ga": "GA"}
# An incident may be of a metric that has no chart of its own: it is drawn where that shows, as lost events among users.
_KIN = {
    "latency_p95_ms": ("latency", "apdex"),
    "crash_rate": ("crash",),
    "error_rate": ("error",),
    "users": ("events", "users", "sessions"),
    "feedback_mean": ("feedback",),
    "adoption_rate": ("events", "users", "adoption"),
}
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
    row = next((row for row in features(reader, request.days) if row["feature"] == name), None)
    if row is None:
        return states.unknown_feature(name, all_features.descriptions(reader))
    if feature_impact.is_asked(request):
        return html.Div([_head(row, request), feature_impact.build(reader, name)])
    filters = slice_filters(request)
    incidents = queries.incidents(reader, name)
    return html.Div(
        [
            _head(row, request),
            _filter_row(request, filters),
            html.Div(
                [
                    html.Div([risk_panel(reader, row), _trust(reader, request.days)], className="stack side"),
                    html.Div(
                        [
                            html.Div(_charts(reader, row, request, filters, incidents), className="grid-2"),
                            html.Div(
                                [
                                    _legend(bool(filters)),
                                    ui.csv_link("trends", feature=name, window=f"{request.days}d"),
                                ],
                                className="between wrap",
                            ),
                            _incidents(reader, name, incidents, is_judged=row["status"] != Status.UNKNOWN),
                            slices_place(request, filters),
                            retention_place(name),
                        ],
                        className="stack",
                    ),
                ],
                className="with-side side-first",
            ),
        ]
    )


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
    return ui.page_head(
        title, subtitle, [feature_impact.tabs(request), ui.window_links(request), ui.copy_link()], crumbs
    )


def _filter_row(request: Request, filters: Sequence[tuple[str, str]]) -> Component:
    if not filters:
        return None
    chips = [
        html.A(
            [f"{DIMENSION_WORDS[name]} {value}", ui.icon("x")],
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
    # Of each event it is known whether it ended in a crash: without a rate there was none.
    had_events = any(point["value"] is not None for point in trends.get("crash_rate", []))
    return [
        _metric_card(reader, spec, row, days, trends.get(spec.metric, []), incidents, releases, part, had_events)
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
    had_events: bool = True,
) -> Component:
    metric = METRICS_BY_NAME[spec.metric]
    last = points[-1] if points else None
    if last is None or reader.through is None or all(point["value"] is None for point in points):
        empty = ui.nothing("inbox", "No data in this window", _why_empty(spec.metric if had_events else ""))
        return ui.card(ui.card_head(metric.label, spec.note), empty, label=metric.label)
    own = [
        fault
        for fault in incidents
        if fault["kind"] == "dead" or any(name.startswith(_KIN[spec.metric]) for name in fault["metrics"])
    ]
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
    said = f"{formats.metric(spec.metric, last['value'])} on {formats.day(last['event_date'])}"
    return ui.card(
        ui.card_head(metric.label, spec.note, _metric_now(spec.metric, last, said, part if has_part else None)),
        charts.chart(figure, f"{metric.label}, {said}, over {days} days"),
        label=metric.label,
    )


def _metric_now(metric: str, last: Row, said: str, part: Sequence[Row] | None) -> list[Component]:
    """The last value, leading to its asset, with its change; of a slice, the slice's value beside that of the whole."""

    def linked(value: float | None, asset: str) -> Component:
        return html.A(
            formats.metric(metric, value),
            href=links.dagster_asset(asset),
            target="_blank",
            rel="noreferrer",
            className="figure-small",
            title=f"{said}; from {asset} in Dagster",
        )

    if part is not None:
        own = next((row[metric] for row in part if row["event_date"] == last["event_date"]), None)
        return [linked(own, queries.EVENTS), ui.delta(f"all {formats.metric(metric, last['value'])}")]
    shown = [linked(last["value"], _SOURCE)]
    if last["change"] is not None:
        usual = f"Against {formats.metric(metric, last['expected'])}, what is usual of the weekday"
        tone = ui.change_tone(last["is_worse"])
        shown.append(html.Span(ui.delta(formats.change(last["change"]), tone), title=usual))
    return shown


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


PARTS = {SLICES: slices, PAIRS: pairs, RETENTION: retention_chart}


def _incidents(reader: Reader, name: str, incidents: Sequence[Row], *, is_judged: bool) -> Component:
    if not reader.has("product.incidents"):
        unknown = ui.nothing(
            "circle-question-mark",
            "Not detected yet",
            "This snapshot has no incident detection, so whether there was one is not known.",
        )
        return ui.card(ui.card_head("Incidents"), unknown, label="Incidents")
    # Of what is silent for good it was told, and nothing is usual of it any more.
    is_silent = any(fault.get("end_kind") == "silent" for fault in incidents)
    silence = None if is_silent else _silence_note(reader, name)
    if not incidents:
        calm = (
            ui.nothing(
                "circle-check",
                "No incident so far",
                "Nothing of this feature was ever worse than its own past by more than noise.",
            )
            if is_judged
            else ui.nothing(
                "circle-question-mark",
                "Not known yet",
                "It has no past yet that its days could be held against: that takes a week or two.",
            )
        )
        return ui.card(ui.card_head("Incidents"), calm, silence, label="Incidents")
    causes = queries.causes(reader, name)
    aside = [
        html.Span(_standing(incidents), className="note"),
        ui.csv_link("feature_incidents", feature=name),
    ]
    return ui.card(
        ui.card_head("Incidents", ["From ", ui.asset_link("product.incidents")], aside),
        html.Ul(
            [_incident(fault, causes.get(fault["incident_id"], [])) for fault in incidents[:10]], className="incidents"
        ),
        silence,
        label="Incidents",
    )


def _standing(incidents: Sequence[Row]) -> str:
    """How many incidents stand how: `1 open · 2 resolved · 1 new normal, not recovered`."""
    counts = Counter(end_word(fault) for fault in incidents)
    counts.setdefault("Open", 0)
    order = ["Open", "Resolved", *sorted(counts)]
    return " · ".join(f"{counts[word]} {word.lower()}" for word in dict.fromkeys(order) if word in counts)


def _silence_note(reader: Reader, name: str) -> Component:
    said = _silence_words(queries.silent_days_to_tell(reader, name))
    return html.P([said, " From ", ui.asset_link(queries.BASELINES), "."], className="note")


def _silence_words(days: int | None) -> str:
    """After how many days without any event it is no chance that there is none."""
    if days is None:
        return "Whether it went silent could not be told from chance: too little is known of its usual events."
    return f"If it went silent, that would be told from chance after {formats.plural(days, 'day')} without events."


def _incident(fault: Row, parts: Sequence[Row]) -> Component:
    is_open = fault["end_date"] is None
    where = ", ".join(
        f"{DIMENSION_WORDS.get(d, d).lower()} {v}"
        for d, v in zip(fault["slice_dimensions"], fault["slice_values"], strict=False)
    )
    found = (
        f"{where}: {formats.share(fault['slice_share'])} of it,"
        f" with {formats.share(fault['slice_traffic_share'])} of the traffic"
        if where
        else None
    )
    hit = users_hit(fault) if is_open else fault["affected_users"]
    users = f"{formats.count(hit)} users {'on the last day' if is_open else 'a day'}" if hit is not None else None
    line = [formats.words(fault["severity"]), formats.span(fault["start_date"], fault["end_date"]), users, found]
    return html.Li(
        [
            html.Span(className="incident-dot" + (" open" if is_open else "")),
            html.Div(
                [
                    ui.two_lines(html.B(fault["sentence"]), " · ".join(part for part in line if part)),
                    causes_chart(fault, parts),
                ]
            ),
            html.Span(end_word(fault), className="note"),
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
    state, against = health.trust(found, queries.TRUST_ASSETS)
    results = formats.plural(against, "result")
    ending = "s" if against == 1 else ""
    words = {
        CheckState.FAILING: f"Not fully: {results} say{ending} that a number of this window is false.",
        CheckState.WARNING: f"Mostly: nothing is false, but {results} deserve{ending} a look.",
        CheckState.UNKNOWN: f"As far as is known: {formats.plural(against, 'table')} could not be checked in full.",
        CheckState.PASSING: "Yes: every check of this window passed.",
    }
    return html.P([ui.state_icon(state), words[state]], className="hint")


def _trust_item(asset: str, row: Row | None) -> Component:
    state = health.asset_trust(row)
    if row is None:
        words, when = "no check has run", ""
    elif row["failed"]:
        results = row["failed"] + row["passed"] + row["unknown"]
        words = f"{formats.whole(row['failed'])} of {formats.whole(results)} results failing: " + ", ".join(
            formats.words(name).lower() for name in sorted(row["failing"])[:3]
        )
        when = formats.moment(row["checked_at"])
    else:
        unknown = f", {formats.whole(row['unknown'])} {health.UNANSWERED}" if row["unknown"] else ""
        words, when = f"{formats.plural(row['checks'], 'check')} passed{unknown}", formats.moment(row["checked_at"])
    return html.Li([ui.state_icon(state), ui.two_lines(ui.asset_link(asset), f"{words} · {when}" if when else words)])
