"""The feature page's slices: by platform, version, country and device, and their pairs."""

from __future__ import annotations

from collections.abc import Sequence

from dash import dcc, html

from dash_app import formats
from dash_app.components import ui
from dash_app.pages.feature_parts import DIMENSION_WORDS, PAIRS, PARTS_REQUEST, SLICES, STATE, Component
from quality_assets.domain.features.comparison import SLICED_METRICS, SliceComparison
from quality_assets.read import feature as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row
from quality_assets.read.slices import MOST_DAYS, SlicePeriod, slice_filters, slice_period, sliced

_SLICE_ROWS = 8


_PAIR_ROWS = 10


def slices_place(request: Request, filters: Sequence[tuple[str, str]]) -> Component:
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


def _period_words(period: SlicePeriod) -> str:
    if period.incident_start is None:
        return "the last 7 days"
    if period.incident_start < period.since:
        return f"the last {MOST_DAYS} days of its incident of {formats.day(period.incident_start)}"
    return "since its incident began"


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
    period = slice_period(reader, name, reader.through)
    asked = dict(slice_filters(request))
    comparison = SliceComparison(rows)
    days = f"{formats.span(period.since, reader.through)} ({_period_words(period)})"
    if not comparison.now:
        return ui.nothing("inbox", "No events to slice", f"There were none {days}, and so none of any slice.")
    blocks = [_slice_table(d, comparison, request, culprits) for d in STATE if d not in asked]
    note = (
        f"{days}. Select a slice to see its lines above; red is worse by a fifth and beyond chance, however many slices"
        " are compared. What is new stands against all before."
    )
    return html.Div(
        [html.P([note, " From ", ui.asset_link(queries.EVENTS), "."], className="note"), *blocks], className="stack"
    )


def pairs(reader: Reader, request: Request) -> Component:
    """The pairs of slices that stand out, asked for beside the slices."""
    asked = dict(slice_filters(request))
    comparison = SliceComparison(
        [row for row in sliced(reader, request, pairs=True) if not {row["dimension"], row["dimension_2"]} & set(asked)]
    )
    if not comparison.now:
        return None
    worse = [row for row in comparison.now if any(comparison.is_worse(row, metric) for metric in SLICED_METRICS)]
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
            *(_slice_value(row, comparison, metric) for metric in SLICED_METRICS),
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


def _slice_table(dimension: str, found: SliceComparison, request: Request, culprits: set[tuple[str, str]]) -> Component:
    now = [row for row in found.now if row["dimension"] == dimension]
    if all(row["slice"] is None for row in now):
        return html.P(f"{DIMENSION_WORDS[dimension]}: the events do not say.", className="note")
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
                *(_slice_value(row, found, metric) for metric in SLICED_METRICS),
            ]
        )
    title = DIMENSION_WORDS[dimension]
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


def _slice_value(now: Row, found: SliceComparison, metric: str) -> Component:
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
