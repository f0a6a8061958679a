"""`/feature/<name>`: why it is at risk, since when, where, and whether to believe it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
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
SLICES, PAIRS, KEEPING, PARTS_REQUEST = "slices", "pairs", "keeping", "parts-request"

_DIMENSION_WORDS = {"platform": "Platform", "app_version": "App version", "country": "Country"}
_SOURCE = "product.feature_daily_trends"
_SLICE_ROWS = 8
_PAIR_ROWS = 10
_SLICED_METRICS = ("latency_p95_ms", "crash_rate", "error_rate")
_MOST_DAYS = 28
_WEEKS = 12
_ODD_CHANGE = 0.2
_ODD_EVENTS = 50
_ODD_SHARE = 0.05
_FALSE_ALARMS = 0.05
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
                    html.Div([_risk(reader, row), _trust(reader, request.days)], className="stack side"),
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
                            _incidents(reader, name, incidents),
                            _slices_place(request, filters),
                            _keeping_place(name),
                        ],
                        className="stack",
                    ),
                ],
                className="with-side side-first",
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


def _slices_place(request: Request, filters: Sequence[tuple[str, str]]) -> Component:
    def skeleton() -> Component:
        return html.Div([html.Div(className="bone bone-line") for _ in range(6)], **{"aria-busy": "true"})

    asked = dict(filters)
    is_paired = len(STATE) - len(asked) >= 2
    return ui.card(
        dcc.Store(id=PARTS_REQUEST, data={"path": request.path, "query": dict(request.query)}),
        ui.card_head(
            "Where it happens",
            "Platform, version and country, and their pairs, against the 28 days before",
            ui.csv_link("slices", feature=request.feature, **asked),
        ),
        html.Div(skeleton(), id=SLICES),
        html.Div(skeleton() if is_paired else None, id=PAIRS),
        label="Slices",
    )


@dataclass(frozen=True)
class _Period:
    """What slices compare: the days from `since` on with the 28 days before `until`."""

    since: date
    until: date
    words: str


def _period(reader: Reader, name: str, through: date) -> _Period:
    """The open incident, or the last week where there is none; its last four weeks where it is older than that.

    However old an incident is, what is compared with is the time before it, and no more than 56 days are read.
    """
    starts = [fault["start_date"] for fault in queries.incidents(reader, name) if fault["end_date"] is None]
    if not starts:
        week = through - timedelta(days=6)
        return _Period(week, week, "the last 7 days")
    start = min(starts)
    longest = through - timedelta(days=_MOST_DAYS - 1)
    if start < longest:
        return _Period(longest, start, f"the last {_MOST_DAYS} days of its incident of {formats.day(start)}")
    return _Period(start, start, "since its incident began")


def sliced(reader: Reader, request: Request, *, pairs: bool = False) -> list[Row]:
    """The metrics of a feature's slices, or of their pairs, now and before."""
    name = request.feature
    if name is None or reader.through is None:
        return []
    period = _period(reader, name, reader.through)
    return queries.slices(reader, name, period.since, period.until, slice_filters(request), pairs=pairs)


def slices(reader: Reader, request: Request) -> Component:
    """The tables of slices, asked for after the page is there: they read events, not daily facts."""
    name = request.feature
    if name is None or reader.through is None:
        return None
    rows = sliced(reader, request)
    if not rows:
        return ui.nothing("inbox", "No events to slice", "The snapshot holds no events of this feature in this time.")
    faults = [fault for fault in queries.incidents(reader, name) if fault["end_date"] is None]
    culprits = {
        pair for fault in faults for pair in zip(fault["slice_dimensions"], fault["slice_values"], strict=False)
    }
    period = _period(reader, name, reader.through)
    asked = dict(slice_filters(request))
    comparison = _Comparison(rows)
    if not comparison.now:
        since = f"{formats.span(period.since, reader.through)} ({period.words})"
        return ui.nothing("inbox", "No events to slice", f"There were none {since}, and so none of any slice.")
    blocks = [_slice_table(d, comparison, request, culprits) for d in STATE if d not in asked]
    note = (
        f"{formats.span(period.since, reader.through)} ({period.words}). Select a slice to see its lines above; red is"
        " worse by a fifth and beyond chance, however many slices are compared. What is new stands against all before."
    )
    return html.Div(
        [html.P([note, " From ", ui.asset_link(queries.EVENTS), "."], className="note"), *blocks], className="stack"
    )


def pairs(reader: Reader, request: Request) -> Component:
    """The pairs of slices that stand out, asked for beside the slices."""
    asked = dict(slice_filters(request))
    comparison = _Comparison(
        [row for row in sliced(reader, request, pairs=True) if not {row["dimension"], row["dimension_2"]} & set(asked)]
    )
    if not comparison.now:
        return None
    worse = [row for row in comparison.now if any(comparison.is_worse(row, metric) for metric in _SLICED_METRICS)]
    worse.sort(key=lambda row: -comparison.harm(row))
    shown = worse[:_PAIR_ROWS] or comparison.now[:5]
    said = (
        f"{formats.plural(len(worse), 'pair')} of {len(comparison.now)} {'is' if len(worse) == 1 else 'are'} worse than"
        " before, beyond chance; most extra failures first."
        if worse
        else f"None of {formats.plural(len(comparison.now), 'pair')} is worse than before beyond chance. The largest:"
    )
    body = [
        [
            _pair_name(row, request),
            formats.share(comparison.share(row)),
            formats.count(row["users"]),
            *(_slice_value(row, comparison, metric) for metric in _SLICED_METRICS),
        ]
        for row in shown
    ]
    table = ui.table(
        ["Pair", "Share", "Users", "p95", "Crash rate", "Error rate"],
        body,
        label="Pairs",
        numeric=(2, 3, 4, 5),
        class_name="slices",
    )
    return html.Div([html.H3("Pairs"), html.P(said, className="note"), table])


def _pair_name(row: Row, request: Request) -> Component:
    chosen = {row["dimension"]: row["slice"], row["dimension_2"]: row["slice_2"]}
    return html.A(f"{row['slice']} · {row['slice_2']}", href=request.url(**chosen), className="strong")


class _Comparison:
    """Slices of now beside the same slices before, and how far chance alone would go over that many comparisons."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.now = sorted((row for row in rows if row["is_now"]), key=lambda row: -row["events"])
        before = [row for row in rows if not row["is_now"]]
        self._before = {self._key(row): row for row in before}
        self._all_before = {kind: _pooled([row for row in before if _kind(row) == kind]) for kind in map(_kind, before)}
        self._totals: dict[tuple[Any, ...], int] = {}
        for row in rows:
            self._totals[row["is_now"], *_kind(row)] = self._totals.get((row["is_now"], *_kind(row)), 0) + row["events"]
        compared = max(len(_SLICED_METRICS) * len(self.now), 1)
        self._limit = NormalDist().inv_cdf(1 - _FALSE_ALARMS / compared)

    @staticmethod
    def _key(row: Row) -> tuple[Any, ...]:
        return row["dimension"], row["slice"], row["dimension_2"], row["slice_2"]

    def is_new(self, row: Row) -> bool:
        """Whether the slice had hardly an event before, as a version that was just rolled out."""
        past = self._before.get(self._key(row))
        return past is None or past["events"] < row["events"] / 2

    def before(self, row: Row) -> Row | None:
        """The same slice in the time before; of a new one, all slices of its kind; None where there was no event."""
        return self._all_before.get(_kind(row)) if self.is_new(row) else self._before[self._key(row)]

    def share(self, row: Row) -> float:
        """Share of the events of its dimension in its time."""
        return float(row["events"]) / (self._totals[row["is_now"], *_kind(row)] or 1)

    def share_before(self, row: Row) -> float | None:
        """What was its share before, where that was clearly another: who left shows in who is left."""
        past = self._before.get(self._key(row))
        was = self.share(past) if past else None
        return was if was is not None and abs(was - self.share(row)) >= _ODD_SHARE else None

    def gone(self, dimension: str) -> list[tuple[str, float]]:
        """The slices that had a share before and have no event now, and that share."""
        here = {self._key(row) for row in self.now}
        found = [row for key, row in self._before.items() if row["dimension"] == dimension and key not in here]
        return [(row["slice"], self.share(row)) for row in found if row["slice"] and self.share(row) >= _ODD_SHARE]

    def is_worse(self, row: Row, metric: str) -> bool:
        """Worse by a fifth, and beyond chance at 5 % over all that is compared (Bonferroni)."""
        past = self.before(row)
        if not past or None in (row[metric], past[metric]) or min(row["events"], past["events"]) < _ODD_EVENTS:
            return False
        spread = math.hypot(_standard_error(row, past, metric), _standard_error(past, row, metric))
        difference = row[metric] - past[metric]
        return bool(difference > _ODD_CHANGE * past[metric] and spread > 0 and difference / spread > self._limit)

    def harm(self, row: Row) -> float:
        """Failed events beyond what the time before would have given; slower ones count at a twentieth."""
        past = self.before(row) or {}
        rates = [row[m] - past[m] for m in ("crash_rate", "error_rate") if self.is_worse(row, m)]
        slow = 0.05 if self.is_worse(row, "latency_p95_ms") else 0.0
        return float(row["events"]) * (sum(rates) + slow)


def _kind(row: Row) -> tuple[str, str | None]:
    return row["dimension"], row["dimension_2"]


def _pooled(rows: Sequence[Row]) -> Row:
    """Slices taken together. A quantile of the whole does not follow from those of its parts."""
    events = sum(row["events"] for row in rows)
    rates = {m: sum((row[m] or 0) * row["events"] for row in rows) / events for m in ("crash_rate", "error_rate")}
    return {"events": events, "latency_p95_ms": None, "latency_p99_ms": None} | rates


def _standard_error(row: Row, other: Row, metric: str) -> float:
    """Standard error of a rate, pooled over both samples, or of a p95 latency.

    Of a quantile it is sqrt(p (1 - p) / n) / f, with f the density there (Cramér 1946, 28.5), taken as the mean density
    between p95 and p99: too low where the density falls, so the error is rather too large.
    """
    if metric == "latency_p95_ms":
        return float(math.sqrt(0.95 * 0.05 / row["events"]) * (row["latency_p99_ms"] - row[metric]) / 0.04)
    pooled = (row[metric] * row["events"] + other[metric] * other["events"]) / (row["events"] + other["events"])
    return math.sqrt(pooled * (1 - pooled) / row["events"])


def _slice_table(dimension: str, found: _Comparison, request: Request, culprits: set[tuple[str, str]]) -> Component:
    now = [row for row in found.now if row["dimension"] == dimension]
    if all(row["slice"] is None for row in now):
        return html.P(f"{_DIMENSION_WORDS[dimension]}: the events do not say.", className="note")
    body = []
    for row in now[:_SLICE_ROWS]:
        share, was = found.share(row), found.share_before(row)
        bar = html.Span(
            [html.Span(className="share-bar", style={"width": f"{60 * share:.1f}px"}), formats.share(share)],
            className="share",
        )
        body.append(
            [
                _slice_name(dimension, row["slice"], request, culprits),
                bar if was is None else ui.two_lines(bar, f"was {formats.share(was)}"),
                formats.count(row["users"]),
                *(_slice_value(row, found, metric) for metric in _SLICED_METRICS),
            ]
        )
    title = _DIMENSION_WORDS[dimension]
    more = len(now) - _SLICE_ROWS
    left = f"{formats.plural(more, 'smaller one')} {'is' if more == 1 else 'are'} left out; the CSV has the largest 40."
    gone = ", ".join(f"{value} (was {formats.share(was)})" for value, was in found.gone(dimension))
    table = ui.table(
        [title, "Share", "Users", "p95", "Crash rate", "Error rate"],
        body,
        label=title,
        numeric=(2, 3, 4, 5),
        class_name="slices",
    )
    return html.Div(
        [
            table,
            html.P(f"No event now of {gone}.", className="note") if gone else None,
            html.P(left, className="note") if more > 0 else None,
        ]
    )


def _slice_name(dimension: str, value: str | None, request: Request, culprits: set[tuple[str, str]]) -> Component:
    if value is None:
        return html.Span("not stated", className="note")
    mark = html.Span([ui.icon("flame"), "incident"], className="culprit") if (dimension, value) in culprits else None
    return html.Span(
        [html.A(value, href=request.url(**{dimension: value}), className="strong"), mark], className="row tight"
    )


def _slice_value(now: Row, found: _Comparison, metric: str) -> Component:
    value, past = now[metric], found.before(now)
    usual = past[metric] if past else None
    if usual is None:
        return ui.two_lines(formats.metric(metric, value), "new")
    # Where nothing failed now or before there is no ratio to tell.
    is_ratio = bool(value and usual)
    said = formats.change(value / usual - 1) if is_ratio else f"was {formats.metric(metric, usual)}"
    if found.is_new(now):
        said = f"new, {said}" if is_ratio else "new"
    return ui.two_lines(formats.metric(metric, value), ui.delta(said, "bad" if found.is_worse(now, metric) else ""))


def _keeping_place(name: str) -> Component:
    return ui.card(
        ui.card_head(
            "Does it keep people?",
            html.Span(["Its users by week, the last twelve. From ", ui.asset_link(queries.USER_DAYS)]),
            ui.csv_link("feature_weeks", feature=name),
        ),
        html.Div(html.Div(className="bone bone-line", **{"aria-busy": "true"}), id=KEEPING),
        label="Retention",
    )


def keeping(reader: Reader, request: Request) -> Component:
    """Who of a feature's users came again the week after, beside who came to the product at all."""
    name = request.feature or ""
    rows = queries.weeks(reader, name)
    if len(rows) < 2 or reader.through is None:
        return ui.nothing("history", "Not known yet", "That takes three weeks of events that name their user.")
    by_ago = {row["ago"]: row for row in rows}
    shown = rows[-_WEEKS:]
    ends = [reader.through - timedelta(days=7 * row["ago"]) for row in shown]
    series = {
        "Kept": [row["kept"] for row in shown],
        "Came back": [row["came_back"] for row in shown],
        "New": [row["new"] for row in shown],
    }
    figure = charts.stacked_bars(ends, series)
    words = _keeping_words(by_ago, queries.still_there(reader, name))
    legend = charts.legend(("s1", "Kept from the week before"), ("s2", "Came back after a pause"), ("s3", "New to it"))
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


def _kept_share(by_ago: Mapping[int, Row], ago: int) -> float | None:
    """Of the users of the week before, the share who used it again; a week without any user kept none of them."""
    before = by_ago.get(ago + 1)
    return (by_ago[ago]["kept"] if ago in by_ago else 0) / before["users"] if before else None


def _keeping_words(by_ago: Mapping[int, Row], still_there: int) -> list[str]:
    share = _kept_share(by_ago, 0)
    if share is None:
        return ["Nobody used it in the week before the last,", "so nothing can be said of who came again."]
    users = by_ago[1]["users"]
    low, high = _wilson(share, users)
    words = [
        f"{formats.share(share)} of the {formats.count(users)} users of the week before came again",
        f"(90{formats.NARROW}% interval {formats.share(low)} to {formats.share(high)});",
        f"{formats.share(still_there / users)} of them used anything of the product.",
    ]
    past = [kept for ago in range(1, 5) if (kept := _kept_share(by_ago, ago)) is not None]
    if past:
        words.append(f"In the weeks before that, {formats.share(min(past))} to {formats.share(max(past))} came again.")
    return words


def _wilson(share: float, n: int) -> tuple[float, float]:
    """90 % score interval of a share of `n` (Wilson 1927)."""
    z = NormalDist().inv_cdf(0.95)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return middle - half, middle + half


PARTS = {SLICES: slices, PAIRS: pairs, KEEPING: keeping}


def _incidents(reader: Reader, name: str, incidents: Sequence[Row]) -> Component:
    if not reader.has("product.incidents"):
        unknown = ui.nothing(
            "circle-question-mark",
            "Not detected yet",
            "This snapshot has no incident detection, so whether there was one is not known.",
        )
        return ui.card(ui.card_head("Incidents"), unknown, label="Incidents")
    is_open = [fault for fault in incidents if fault["end_date"] is None]
    silence = html.P(
        [_silence_words(queries.silent_days_to_tell(reader, name)), " From ", ui.asset_link(queries.BASELINES), "."],
        className="note",
    )
    if not incidents:
        calm = ui.nothing(
            "circle-check",
            "No incident so far",
            "Nothing of this feature was ever worse than its own past by more than noise.",
        )
        return ui.card(ui.card_head("Incidents"), calm, silence, label="Incidents")
    aside = [
        html.Span(f"{len(is_open)} open · {len(incidents) - len(is_open)} resolved", className="note"),
        ui.csv_link("feature_incidents", feature=name),
    ]
    return ui.card(
        ui.card_head("Incidents", ["From ", ui.asset_link("product.incidents")], aside),
        html.Ul([_incident(fault) for fault in incidents[:10]], className="incidents"),
        silence,
        label="Incidents",
    )


def _silence_words(days: int | None) -> str:
    """After how many days without any event it is no chance that there is none."""
    if days is None:
        return "Whether it went silent could not be told from chance: too little is known of its usual events."
    return f"If it went silent, that would be told from chance after {formats.plural(days, 'day')} without events."


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
            html.Div(
                [
                    html.P([words, " From ", ui.asset_link("ml.score_ledger"), "."], className="note"),
                    ui.csv_link("feature_scores", feature=name),
                ],
                className="between",
            ),
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
