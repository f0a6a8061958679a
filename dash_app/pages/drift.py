"""`/drift`: what moved, and does the model care. Data, prediction and performance are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dash import html

from dash_app import formats, links
from dash_app.components import charts, ui
from dash_app.links import Request
from dash_app.queries import drift as queries
from dash_app.snapshots import Reader, Row

Component = Any
TITLE = "Drift"

_KINDS = {
    "data": ("Data", "waypoints", "What comes in"),
    "prediction": ("Prediction", "target", "What the model says"),
    "performance": ("Performance", "gauge", "How right it was, on labels that have matured"),
}
_LOOKS = {
    "drifted": ("bad", "triangle-alert", "Drifted"),
    "ok": ("good", "circle-check", "Steady"),
    "unknown": ("none", "circle-question-mark", "Unknown"),
}
_STATISTICS = {
    "w1": "distance between distributions ÷ usual size",
    "binomial_z": "z of the rate, overdispersion removed",
    "total_variation": "share of the mix that moved",
}
_SHOWN = 60


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    counts = queries.counts(reader)
    if not counts:
        head = ui.page_head(TITLE, "What moved, and does the model care?", [ui.copy_link()])
        none = ui.nothing(
            "chart-scatter",
            "Drift was not measured yet",
            "A day is held against the same weekdays of a reference of four weeks; it is measured once they are there.",
            ui.command("quality run"),
        )
        return html.Div([head, ui.card(none)])
    rows = queries.latest(reader)
    day = next(iter(counts.values()))["event_date"]
    drifted = sum(row["drifted"] for row in counts.values())
    tests = sum(row["tests"] for row in counts.values())
    said = [
        html.B(f"{formats.whole(drifted)} of {formats.whole(tests)} drifted"),
        f" on {formats.day(day)}, beyond chance and beyond what matters.",
    ]
    head = ui.page_head(TITLE, said, [ui.window_links(request), ui.copy_link()])
    return html.Div(
        [
            head,
            html.Div([_kind(kind, counts.get(kind)) for kind in _KINDS], className="figures"),
            _matters(rows),
            _table(reader, rows, request),
            html.Div([_by_day(reader, request.days), _power(reader)], className="grid-2"),
        ],
        className="stack",
    )


def _kind(kind: str, row: Row | None) -> Component:
    label, icon, note = _KINDS[kind]
    if row is None:
        return ui.figure_card(f"{label} drift", icon, formats.UNKNOWN, note=f"{note}: not measured")
    if row["unknown"] == row["tests"]:
        return ui.figure_card(f"{label} drift", icon, "Unknown", note=f"{note}: too little to tell yet")
    tone = "bad" if row["drifted"] else "good"
    unknown = f", {row['unknown']} unknown" if row["unknown"] else ""
    change = ui.delta(f"of {formats.plural(row['tests'], 'test')}{unknown}", tone if row["drifted"] else "")
    return ui.figure_card(f"{label} drift", icon, formats.whole(row["drifted"]), change=change, note=note)


def _matters(rows: Sequence[Row]) -> Component:
    moved = [row for row in rows if row["status"] == "drifted"][:3]
    if not moved:
        return html.Div(
            [ui.icon("circle-check"), "Nothing moved by more than days differ anyway."], className="card calm"
        )
    return html.Div(
        [html.H2("What moved"), html.Div([_moved(row) for row in moved], className="grid-3")], className="stack"
    )


def _moved(row: Row) -> Component:
    effect = row["effect_on_predictions"]
    cares = (
        "Not an input of the model."
        if effect is None
        else "The model cares: swapped in alone it moves scores by"
        f" {formats.points(effect * 100).lstrip('+')} on average."
    )
    return html.Div(
        [
            html.Div([ui.badge(*_LOOKS["drifted"]), html.B(f"rank {row['rank']}")], className="between"),
            html.H3([formats.words(row["name"]), f" · {row['feature']}" if row["feature"] else ""]),
            html.P([html.B(row["verdict"]), " ", cares]),
            html.Div(
                [
                    html.Span(f"{_value(row['reference_value'])} → {_value(row['current_value'])}"),
                    html.Span(f"q = {formats.decimal(row['q_value'], 4)}"),
                ],
                className="between foot",
            ),
        ],
        className="card attention",
    )


def _value(value: float | None) -> str:
    if value is None:
        return formats.UNKNOWN
    return formats.count(value) if abs(value) >= 1000 else formats.decimal(value, 3 if abs(value) < 10 else 1)


def _table(reader: Reader, rows: Sequence[Row], request: Request) -> Component:
    kind = request.query.get("show")
    shown = [row for row in rows if kind not in _KINDS or row["kind"] == kind]
    history = queries.history(reader)
    chips = [html.A("All", href=request.url(show=None), className="" if kind in _KINDS else "on")]
    chips += [
        html.A(words[0], href=request.url(show=name), className="on" if name == kind else "")
        for name, words in _KINDS.items()
    ]
    head = ui.card_head(
        "Everything that is watched",
        html.Span(
            ["What matters most first: drifted, then by effect on the model. From ", ui.asset_link(queries.DRIFT), "."]
        ),
        ui.csv_link("drift"),
    )
    nav = html.Nav(chips, className="reason-list", **{"aria-label": "Kind of drift"})
    if not shown:
        return ui.card(
            head,
            nav,
            ui.nothing("search", "Nothing of this kind is watched", "Select another kind."),
            label="Everything that is watched",
        )
    body = [_row(row, history.get((row["kind"], row["feature"], row["name"]))) for row in shown[:_SHOWN]]
    table = ui.table(
        ["Verdict", "What", "Reference → now", "Statistic", "28 days", "Effect on scores", "In words"],
        body,
        label="Everything that is watched",
        numeric=(3, 5),
    )
    more = len(shown) - _SHOWN
    return ui.card(
        head,
        nav,
        table,
        html.P(f"{more} more are in the CSV.", className="note") if more > 0 else None,
        label="Everything that is watched",
    )


def _row(row: Row, history: Mapping[str, Any] | None) -> list[Component]:
    where = html.A(row["feature"], href=links.feature(row["feature"])) if row["feature"] else "all traffic"
    effect = row["effect_on_predictions"]
    statistic = ui.two_lines(formats.decimal(row["observed"], 3), f"limit {formats.decimal(row['threshold'], 3)}")
    return [
        ui.badge(*_LOOKS[row["status"]]),
        ui.two_lines(html.B(formats.words(row["name"])), where),
        ui.two_lines(
            _dumbbell(row), f"{formats.count(row['n_reference'])} against {formats.count(row['n_current'])} rows"
        ),
        html.Div(statistic, title=_STATISTICS.get(row["statistic"], row["statistic"])),
        ui.spark(history["observed"], f"Statistic of {row['name']} over 28 days", class_name="wide")
        if history
        else formats.UNKNOWN,
        html.Span("not an input", className="note") if effect is None else formats.points(effect * 100).lstrip("+"),
        html.Span(row["verdict"], className="note"),
    ]


def _dumbbell(row: Row) -> Component:
    """Reference and current value on one line from zero to the larger of both."""
    before, now = row["reference_value"], row["current_value"]
    if before is None or now is None:
        return html.Span(f"{_value(before)} → {_value(now)}")
    low, high = min(before, now, 0), max(before, now, 0) or 1
    width = (high - low) or 1

    def at(value: float) -> dict[str, str]:
        return {"left": f"{4 + 92 * (value - low) / width:.1f}%"}

    dots = html.Span(
        [html.I(style=at(before)), html.I(className="now", style=at(now))],
        className="dumbbell",
        **{"aria-hidden": "true"},
    )
    return html.Span([dots, f" {_value(before)} → {_value(now)}"], className="row tight")


def _by_day(reader: Reader, days: int) -> Component:
    rows = queries.drifted_by_day(reader, days)
    head = ui.card_head("Drifted, day by day", "An alarm that rings every day is no alarm")
    if not rows or reader.through is None:
        return ui.card(
            head, ui.nothing("inbox", "No history yet", "One day has been judged at most."), label="Drifted, day by day"
        )
    dates = [reader.through - timedelta(days=days - 1 - i) for i in range(days)]
    series = {words[0]: [0] * days for words in _KINDS.values()}
    for row in rows:
        if row["event_date"] in dates:
            series[_KINDS[row["kind"]][0]][dates.index(row["event_date"])] = row["drifted"]
    figure = charts.stacked_bars(dates, series, x_range=charts.day_range(reader.through, days))
    legend = charts.legend(*((f"s{i + 1}", name) for i, name in enumerate(series)))
    return ui.card(
        head, charts.chart(figure, f"Drifted things per day over {days} days"), legend, label="Drifted, day by day"
    )


def _power(reader: Reader) -> Component:
    rows = queries.power(reader)
    head = ui.card_head(
        "What this monitor can see",
        html.Span(
            ["Share of simulated days on which a change was found. From ", ui.asset_link("monitoring.drift_power"), "."]
        ),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("eye", "Not measured yet", "The monitor's power is measured when the model is trained."),
            label="Power",
        )
    body = [
        [
            formats.words(row["change"]),
            html.Span(row["statistic"], title=_STATISTICS.get(row["statistic"], "")),
            formats.count(row["rows_per_day"]),
            _power_cell(row),
        ]
        for row in rows[:24]
    ]
    return ui.card(
        head,
        ui.table(["Change", "Statistic", "Rows a day", "Found"], body, label="Power", numeric=(2, 3)),
        label="Power",
    )


def _power_cell(row: Row) -> Component:
    is_null = row["change"] in ("none", "no change")
    return ui.two_lines(formats.share(row["power"]), "false alarms" if is_null else "")
