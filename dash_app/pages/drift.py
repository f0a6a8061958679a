"""`/drift`: what moved, and does the model care. Data, prediction and performance are never mixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from quality_assets.contracts.risk_inputs import INPUTS
from quality_assets.domain.drift.user_features import UNITS as USER_UNITS
from quality_assets.domain.drift.verdicts import drifted_text, is_felt
from quality_assets.domain.wording import MILLISECONDS, capitalised, name_in_words
from quality_assets.read import drift as queries
from quality_assets.read import links
from quality_assets.read.drift import Fold
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

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
_CARDS = 6
_Q = "q value: the share of false alarms to expect among alarms this strong"
_FOLDS = {
    Fold.STEADY: "Steady inputs that the scores do not feel",
    Fold.MISSING: "How often inputs are missing, as usual",
    Fold.UNKNOWN: "Cannot be told",
}
_UNITS = {
    "latency_ms": "ms",
    "feedback_score": "score",
    "risk_probability": "probability",
    **{item.name: item.unit for item in INPUTS},
    **USER_UNITS,
}
_MEANINGS = {item.name: item.description for item in INPUTS}


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
    drifted, tests, unknown = (sum(row[name] for row in counts.values()) for name in ("drifted", "tests", "unknown"))
    beyond = "" if unknown == tests else " Drifted is what went beyond chance and beyond what matters."
    said = [html.B(f"{capitalised(drifted_text(drifted, tests, unknown, f' on {formats.day(day)}'))}."), beyond]
    head = ui.page_head(TITLE, said, [ui.window_links(request), ui.copy_link()])
    return html.Div(
        [
            head,
            html.Div([_kind(kind, counts.get(kind)) for kind in _KINDS], className="figures"),
            _matters(reader, rows),
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


def _matters(reader: Reader, rows: Sequence[Row]) -> Component:
    moved = [row for row in rows if row["status"] == "drifted"]
    if rows and all(row["status"] == "unknown" for row in rows):
        return html.Div(
            [ui.icon("circle-question-mark"), "Whether anything moved cannot be told yet: days or events are too few."],
            className="card calm unsure",
        )
    if not moved:
        judged = " of what could be judged" if any(row["status"] == "unknown" for row in rows) else ""
        said = f"Nothing{judged} moved by more than days differ anyway."
        return html.Div([ui.icon("circle-check"), said], className="card calm")
    pictures = queries.distributions(reader)
    cards = [_moved(row, pictures.get(_key(row))) for row in moved[:_CARDS]]
    more = len(moved) - len(cards)
    head = [html.H2("What moved"), charts.legend(("before", "Reference"), ("now", "Now"))]
    note = html.P(f"{more} more are in the table below.", className="note") if more else None
    return html.Div([html.Div(head, className="between"), html.Div(cards, className="grid-3"), note], className="stack")


def _key(row: Row) -> tuple[str, str, str]:
    return row["kind"], row["feature"], row["name"]


def _moved(row: Row, picture: Row | None) -> Component:
    effect = row["effect_on_predictions"]
    # How far it moves the scores, or that they do not feel it, the verdict says.
    cares = "Not an input of the model." if effect is None else "The model cares." if is_felt(effect) else ""
    return html.Div(
        [
            html.Div([ui.badge(*_LOOKS["drifted"]), html.B(f"rank {row['rank']}")], className="between"),
            html.H3([_name(row), f" · {row['feature']}" if row["feature"] else ""]),
            html.P([html.B(row["verdict"]), ". ", cares]),
            _picture(row, picture, is_large=True),
            html.Div(
                [
                    html.Span(_from_to(row)),
                    html.Span(f"false alarms: {formats.false_alarms(row['q_value'])}", title=_Q),
                ],
                className="between foot",
            ),
        ],
        className="card attention",
    )


def _name(row: Row) -> str:
    return capitalised(name_in_words(row["name"]))


def _from_to(row: Row) -> str:
    if row["reference_value"] is None and row["current_value"] is None:
        return f"{formats.percent(row['observed'])} of it moved" if row["observed"] is not None else formats.UNKNOWN
    window = f" over {row['window_days']} days" if (row.get("window_days") or 1) > 1 else ""
    return f"{_value(row, row['reference_value'])} → {_value(row, row['current_value'])}{window}"


def _value(row: Row, value: float | None) -> str:
    if value is None:
        return formats.UNKNOWN
    unit = "fraction" if row["statistic"] == "binomial_z" else _UNITS.get(row["name"], "")
    if unit in ("fraction", "probability"):
        return formats.percent(value)
    if unit in MILLISECONDS:
        return formats.duration(value * MILLISECONDS[unit])
    if unit == "count":
        return formats.count(value)
    return formats.number(value)


def _picture(row: Row, picture: Row | None, is_large: bool = False) -> Component:
    """Both distributions on one scale; a rate has two numbers, which a line with two dots shows."""
    if picture is None:
        return _dumbbell(row)
    is_mix = picture["labels"][0] is not None
    drawn = _columns if is_mix else _steps
    highest = max(*picture["reference"], *picture["current"]) or 1.0
    sides = [
        html.I(className=side, style={"clipPath": drawn([v / highest for v in picture[column]], side == "now")})
        for side, column in (("before", "reference"), ("now", "current"))
    ]
    label = f"Distribution of {name_in_words(row['name'])}, reference and now: {_from_to(row)}"
    size = "histogram large" if is_large else "histogram"
    graph = html.Div(sides, className=size, role="img", **{"aria-label": label})
    if not is_large:
        return graph
    if is_mix:
        ends = [html.Span(label) for label in picture["labels"]]
    elif picture["low"][0] is None:
        ends = [f"< {_value(row, picture['high'][0])}", f"> {_value(row, picture['low'][-1])}"]
        ends = [html.Span(end) for end in ends]
    else:
        ends = [html.Span(_value(row, picture[end][at])) for end, at in (("low", 0), ("high", -1))]
    axis = html.Div(ends, className="histogram-axis mix" if is_mix else "histogram-axis")
    return html.Div([graph, axis])


def _steps(heights: Sequence[float], is_now: bool) -> str:
    """A histogram as a CSS polygon, in percent of its box."""
    width = 100 / len(heights)
    top = [f"{i * width + x:.4g}% {100 - 100 * h:.3g}%" for i, h in enumerate(heights) for x in (0, width)]
    return f"polygon(0 100%,{','.join(top)},100% 100%)"


def _columns(heights: Sequence[float], is_now: bool) -> str:
    """Columns beside those of the other side."""
    width = 100 / len(heights)
    points = []
    for i, height in enumerate(heights):
        left = (i + (0.5 if is_now else 0.12)) * width
        right = left + 0.38 * width
        top = 100 - 100 * height
        points.append(f"{left:.4g}% 100%,{left:.4g}% {top:.3g}%,{right:.4g}% {top:.3g}%,{right:.4g}% 100%")
    return f"polygon({','.join(points)})"


def _table(reader: Reader, rows: Sequence[Row], request: Request) -> Component:
    kind = request.query.get("show")
    shown = [row for row in rows if kind not in _KINDS or row["kind"] == kind]
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
        html.Div([charts.legend(("before", "Reference"), ("now", "Now")), ui.csv_link("drift")], className="row"),
    )
    nav = html.Nav(chips, className="reason-list", **{"aria-label": "Kind of drift"})
    if not shown:
        none = ui.nothing("search", "Nothing of this kind is watched", "Select another kind.")
        return ui.card(head, nav, none, label="Everything that is watched")
    history, pictures = queries.history(reader), queries.distributions(reader)
    parts: list[Component] = []
    for fold, members in queries.folds(shown).items():
        body = [_row(row, history.get(_key(row)), pictures.get(_key(row))) for row in members]
        title = _FOLDS.get(fold)
        label = title or "Everything that is watched"
        table = ui.table(
            ["Verdict", "What", "Reference and now", "28 days", "Effect on scores", "In words"],
            body,
            label=label,
            numeric=(4,),
            class_name="watched",
        )
        if title is None:
            parts.append(table)
        else:
            parts.append(html.Details([html.Summary(f"{title} ({len(members)})"), table], className="fold"))
    return ui.card(head, nav, *parts, label="Everything that is watched")


def _row(row: Row, history: Mapping[str, Any] | None, picture: Row | None) -> list[Component]:
    where = html.A(row["feature"], href=links.feature(row["feature"])) if row["feature"] else _MEANINGS.get(row["name"])
    effect = row["effect_on_predictions"]
    over = queries.share_of_limit(row)
    limit = f"{formats.decimal(over, 2)} of the limit" if over is not None else formats.UNKNOWN
    spark = ui.spark(history["observed"], f"Statistic of {row['name']} over 28 days") if history else formats.UNKNOWN
    return [
        ui.badge(*_LOOKS[row["status"]]),
        ui.two_lines(html.B(_name(row)), where or "all traffic"),
        ui.two_lines(_picture(row, picture), _from_to(row)),
        html.Div(ui.two_lines(spark, limit), title=_STATISTICS.get(row["statistic"], row["statistic"])),
        html.Span("not an input", className="note") if effect is None else formats.points(effect * 100).lstrip("+"),
        html.Span(row["verdict"], className="note"),
    ]


def _dumbbell(row: Row) -> Component:
    """Reference and current value on one line from zero to the larger of both."""
    before, now = row["reference_value"], row["current_value"]
    if before is None or now is None:
        return None
    low, high = min(before, now, 0), max(before, now, 0) or 1
    width = (high - low) or 1

    def at(value: float) -> dict[str, str]:
        return {"left": f"{4 + 92 * (value - low) / width:.1f}%"}

    dots = [html.I(style=at(before)), html.I(className="now", style=at(now))]
    return html.Span(dots, className="dumbbell", **{"aria-hidden": "true"})


def _by_day(reader: Reader, days: int) -> Component:
    rows = queries.drifted_by_day(reader, days)
    head = ui.card_head("Drifted, day by day", "An alarm that rings every day is no alarm")
    if not rows or reader.through is None:
        return ui.card(
            head, ui.nothing("inbox", "No history yet", "One day has been judged at most."), label="Drifted, day by day"
        )
    if not any(row["drifted"] for row in rows):
        judged = len({row["event_date"] for row in rows if row["unknown"] < row["tests"]})
        if not judged:
            few = ui.nothing("circle-question-mark", "Not known yet", "On none of these days could anything be judged.")
            return ui.card(head, few, label="Drifted, day by day")
        said = f"Nothing drifted on any of {formats.plural(judged, 'judged day')}."
        calm = ui.nothing("circle-check", "No bar to show", said)
        return ui.card(head, calm, label="Drifted, day by day")
    dates = [reader.through - timedelta(days=days - 1 - i) for i in range(days)]
    series = {words[0]: [0] * days for words in _KINDS.values()}
    for row in rows:
        if row["event_date"] in dates:
            series[_KINDS[row["kind"]][0]][dates.index(row["event_date"])] = row["drifted"]
    figure = charts.stacked_bars(dates, series, x_range=charts.day_range(reader.through, days))
    legend = charts.series_legend(series)
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
        ui.csv_link("drift_power"),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("eye", "Not measured yet", "The monitor's power is measured when the model is trained."),
            label="Power",
        )
    sizes = sorted({row["rows_per_day"] for row in rows})
    found: dict[tuple[str, str], dict[int, float]] = {}
    for row in rows:
        found.setdefault((row["statistic"], row["change"]), {})[row["rows_per_day"]] = row["power"]
    body = [
        [_change(statistic, change), *(formats.share(shares.get(size)) for size in sizes)]
        for (statistic, change), shares in found.items()
    ]
    headers = ["Change", *(f"{formats.count(size)} rows a day" for size in sizes)]
    table = ui.table(headers, body, label="Power", numeric=range(1, len(headers)))
    return ui.card(head, table, label="Power")


def _change(statistic: str, change: str) -> Component:
    if change != "no change":
        return formats.words(change)
    return ui.two_lines("No change", f"false alarms, {'rates' if statistic == 'binomial_z' else 'distributions'}")
