"""Figures as plain dicts for plotly.js. Colours are CSS variables, which the browser fills in for its scheme.

plotly.py is not used: building a `Figure` costs more than a page's queries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import cycle
from typing import Any

from dash import html

from dash_app import formats
from quality_assets.read.reader import Row

Figure = dict[str, Any]
Component = Any

SERIES = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)")
_IN_SECONDS_MS = 2_000
# What cannot be negative, or more than all of it, is not offered by an axis either.
_BOUNDS: dict[str, Figure] = {
    **{unit: {"rangemode": "nonnegative"} for unit in ("ms", "s", "count")},
    "fraction": {"rangemode": "nonnegative", "maxallowed": 1.02},
}
_TICKS = {"fraction": ".2~%", "ms": ",.4~r", "s": ".3~r", "count": ".3~s", "score": ".3~r"}


def chart(figure: Figure, label: str, height: int = 210) -> Component:
    """A figure's place on the page; drawn when it comes into view. `label` tells what it shows."""
    return html.Div(
        className="chart",
        role="img",
        style={"height": f"{height}px"},
        **{"data-figure": json.dumps(figure, separators=(",", ":"), default=str), "aria-label": label},
    )


def legend(*entries: tuple[str, str]) -> Component:
    """An HTML legend: pairs of a mark's class and its word."""
    return html.Div(
        [html.Span([html.Span(className=f"mark {mark}"), word]) for mark, word in entries], className="legend"
    )


def series_legend(names: Iterable[str]) -> Component:
    """The legend of series in the order of the palette."""
    return legend(*((f"s{place % len(SERIES) + 1}", name) for place, name in enumerate(names)))


def layout(x_range: Sequence[Any] | None, unit: str, **changes: Any) -> Figure:
    """The layout that every chart shares. Zooming is off: a page scrolls under a finger, the window is a control."""
    axis = {
        "fixedrange": True,
        "zeroline": False,
        "tickfont": {"size": 11, "color": "var(--text-2)"},
        "automargin": False,
    }
    base: Figure = {
        "margin": {"l": 58, "r": 10, "t": 12, "b": 26},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": "Inter, sans-serif", "size": 12, "color": "var(--text)"},
        "showlegend": False,
        "hovermode": "x unified",
        "hoverlabel": {
            "bgcolor": "var(--card)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--text)", "size": 12},
        },
        "dragmode": False,
        "bargap": 0.28,
        "xaxis": axis
        | {"showgrid": False, "tickformat": "%-d %b", "nticks": 6, "hoverformat": "%-d %b %Y"}
        | ({"range": list(x_range)} if x_range else {}),
        "yaxis": axis
        | {"gridcolor": "var(--grid)", "tickformat": _TICKS.get(unit, ""), "nticks": 6}
        | _BOUNDS.get(unit, {})
        | ({"ticksuffix": f"{formats.NARROW}{unit}"} if unit in ("ms", "s") else {}),
        "separators": f".{formats.NARROW}",
    }
    for key, value in changes.items():
        base[key] = base[key] | value if isinstance(base.get(key), dict) else value
    return base


def day_range(through: date, days: int) -> tuple[str, str]:
    """The x range of a window that ends with `through`, half a day wider on either side."""
    return f"{through - timedelta(days=days)} 12:00", f"{through} 12:00"


def _band(rows: Sequence[Row]) -> list[Figure]:
    x = [row["event_date"] for row in rows]
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": x}
    return [
        edge | {"y": [row["expected_high"] for row in rows]},
        edge | {"y": [row["expected_low"] for row in rows], "fill": "tonexty", "fillcolor": "var(--band)"},
    ]


def _incident_shapes(incidents: Sequence[Row], first: date, through: date) -> list[Figure]:
    """A band a fault; its start has a solid edge, and no edge at its end where it is over."""
    shapes: list[Figure] = []
    for incident in incidents:
        end = incident["end_date"] or through
        if end < first:
            continue
        start = max(incident["start_date"], first)
        at = {"xref": "x", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
        is_open = incident["end_date"] is None
        fill = "var(--fault)" if is_open else "var(--fault-past)"
        shapes.append(at | {"type": "rect", "x0": start, "x1": f"{end} 12:00", "line": {"width": 0}, "fillcolor": fill})
        if is_open:
            edge = {"color": "var(--bad)", "width": 1.5}
            shapes.append(at | {"type": "line", "x0": start, "x1": start, "line": edge})
    return shapes


def _releases(releases: Sequence[Row], days: int) -> tuple[list[Figure], list[Figure]]:
    line = {
        "type": "line",
        "xref": "x",
        "yref": "paper",
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "line": {"color": "var(--release)", "width": 1, "dash": "dot"},
    }
    note = {
        "xref": "x",
        "yref": "paper",
        "y": 1,
        "yanchor": "bottom",
        "xanchor": "center",
        "showarrow": False,
        "font": {"size": 10, "color": "var(--text-2)"},
    }
    shapes = [line | {"x0": row["event_date"], "x1": row["event_date"]} for row in releases]
    named: list[Row] = []
    for row in reversed(releases):
        # Names that would run into each other are left to the slices below.
        if not named or (named[-1]["event_date"] - row["event_date"]).days > days / 5:
            named.append(row)
    return shapes, [note | {"x": row["event_date"], "text": _plain(row["app_version"])} for row in named]


def _plain(text: str) -> str:
    # plotly.js reads a subset of HTML in its texts.
    return text.replace("&", "&amp;").replace("<", "&lt;")[:24]


def _slo(value: float | None, said: str) -> tuple[list[Figure], list[Figure]]:
    if value is None:
        return [], []
    line = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": value,
        "y1": value,
        "layer": "below",
        "line": {"color": "var(--text-3)", "width": 1.2, "dash": "dash"},
    }
    note = {
        "xref": "paper",
        "x": 0.01,
        "y": value,
        "yanchor": "bottom",
        "xanchor": "left",
        "showarrow": False,
        "text": f"SLO {said}",
        "font": {"size": 10, "color": "var(--text-2)"},
    }
    return [line], [note]


_LINE: Figure = {"type": "scatter", "mode": "lines", "connectgaps": False}


def _drawn(values: Sequence[float | None]) -> Figure:
    """How a line of values is drawn: a day with no other beside it is a dot, as there is no line to be seen."""
    known = [False, *(value is not None for value in values), False]
    is_lone = [here and not (before or after) for before, here, after in zip(known, known[1:], known[2:], strict=False)]
    if not any(is_lone):
        return {"mode": "lines"}
    return {"mode": "lines+markers", "marker": {"size": [5 if lone else 0 for lone in is_lone]}}


def whole_days(days: Sequence[int]) -> Figure:
    """An x axis of numbers of days: of few of them each has its tick, and none lies between two."""
    is_few = max(days, default=0) - min(days, default=0) < _FEW_DAYS
    return {"tickformat": "d", "hoverformat": "d"} | ({"dtick": 1} if is_few else {})


_FEW_DAYS = 10


def _few_ticks(unit: str, traces: Sequence[Figure]) -> Figure:
    """Few of something are counted one by one; an axis would offer halves."""
    highest = max((y for trace in traces for y in trace["y"] if y is not None), default=0)
    return {"dtick": 1} if unit == "count" and highest < _FEW else {}


_FEW = 6


def _observed(metric: str, rows: Sequence[Row], color: str | None) -> Figure:
    """The line of the whole feature; without a colour it stands behind that of a slice."""
    return _LINE | {
        "x": [row["event_date"] for row in rows],
        "y": [row["value"] for row in rows],
        "customdata": [formats.metric(metric, row["value"]) for row in rows],
        "name": "All",
        **_drawn([row["value"] for row in rows]),
        "hovertemplate": "%{customdata}<extra>Observed</extra>",
        "line": {"color": color or "var(--text-3)", "width": 2 if color else 1.2},
    }


def _outside(rows: Sequence[Row]) -> Figure:
    """A dot on each day outside its band."""
    outside = [row for row in rows if row["is_outside_band"] and row["value"] is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "hoverinfo": "skip",
        "x": [row["event_date"] for row in outside],
        "y": [row["value"] for row in outside],
        "marker": {
            "size": 6,
            "color": ["var(--bad)" if row["is_worse"] else "var(--text-3)" for row in outside],
            "line": {"width": 1, "color": "var(--card)"},
        },
    }


def _sliced(metric: str, part: Sequence[Row], color: str) -> Figure:
    """The line of one slice."""
    return _LINE | {
        "x": [row["event_date"] for row in part],
        "y": [row.get(metric) for row in part],
        "customdata": [formats.metric(metric, row.get(metric)) for row in part],
        **_drawn([row.get(metric) for row in part]),
        "hovertemplate": "%{customdata}<extra>Slice</extra>",
        "line": {"color": color, "width": 2},
    }


def metric_chart(
    metric: str,
    unit: str,
    rows: Sequence[Row],
    *,
    through: date,
    days: int,
    incidents: Sequence[Row] = (),
    releases: Sequence[Row] = (),
    slo: float | None = None,
    part: Sequence[Row] | None = None,
    color: str = SERIES[0],
) -> Figure:
    """Observed line, expected band, dots outside it, objective, incidents, releases; `part` is one slice's own line."""
    traces = [*_band(rows), _observed(metric, rows, color if part is None else None)]
    traces.append(_outside(rows) if part is None else _sliced(metric, part, color))
    if unit == "ms" and max((y for trace in traces for y in trace["y"] if y is not None), default=0) >= _IN_SECONDS_MS:
        # The axis counts in the unit in which the numbers above it are said.
        unit, slo_at = "s", None if slo is None else slo / 1000
        for trace in traces:
            trace["y"] = [None if y is None else y / 1000 for y in trace["y"]]
    else:
        slo_at = slo
    release_shapes, release_notes = _releases(releases, days)
    slo_shapes, slo_notes = _slo(slo_at, formats.metric(metric, slo))
    first = through - timedelta(days=days - 1)
    return {
        "data": traces,
        "layout": layout(
            day_range(through, days),
            unit,
            margin={"t": 20 if releases else 12},
            shapes=[*_incident_shapes(incidents, first, through), *release_shapes, *slo_shapes],
            annotations=[*release_notes, *slo_notes],
            yaxis=_few_ticks(unit, traces),
        ),
    }


def line_chart(
    x: Sequence[Any],
    series: Mapping[str, Sequence[float | None]],
    unit: str,
    *,
    x_range: Sequence[Any] | None = None,
    texts: Mapping[str, Sequence[str]] | None = None,
    **changes: Any,
) -> Figure:
    """One line a series, in the order of the palette."""
    traces = [
        {
            "type": "scatter",
            "marker": {"size": 5},
            **({"mode": "lines+markers"} if len(x) < 15 else _drawn(values)),
            "x": list(x),
            "y": list(values),
            "name": name,
            "customdata": list((texts or {}).get(name, [])),
            "line": {"color": color, "width": 2},
            "hovertemplate": f"%{{{'customdata' if texts else 'y'}}}<extra>{_plain(name)}</extra>",
        }
        for (name, values), color in zip(series.items(), cycle(SERIES), strict=False)
    ]
    return {"data": traces, "layout": layout(x_range, unit, **changes)}


def score_chart(batches: Sequence[Mapping[str, Any]], lowest: float) -> Figure:
    """Scores batch by batch, before the band of those that were usual then; the dots are batches that failed."""
    x = list(range(1, len(batches) + 1))
    said = [f"{_plain(str(batch['name']))}: {batch['score']:.4f}" for batch in batches]
    edge = {"type": "scatter", "mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "x": x}
    failed = [(place, batch["score"]) for place, batch in zip(x, batches, strict=True) if batch["reason"]]
    line = {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": [batch["score"] for batch in batches],
        "customdata": said,
        "line": {"color": SERIES[0], "width": 2},
        "hovertemplate": "%{customdata}<extra></extra>",
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "x": [place for place, _ in failed],
        "y": [score for _, score in failed],
        "marker": {"color": "var(--bad)", "size": 8},
        "hoverinfo": "skip",
    }
    band = [
        edge | {"y": [batch["usual_high"] for batch in batches]},
        edge | {"y": [batch["usual_low"] for batch in batches], "fill": "tonexty", "fillcolor": "var(--band)"},
    ]
    room = max((1 - lowest) * 0.1, 1e-5)
    axes = {
        "xaxis": {"tickformat": "d", "hoverformat": "d", "range": [0.5, len(batches) + 0.5]},
        "yaxis": {"range": [lowest - room, 1 + room], "tickformat": ".4f"},
    }
    return {"data": [*band, line, dots], "layout": layout(None, "score", hovermode="closest", **axes)}


def stacked_shares(names: Sequence[str], series: Mapping[str, Sequence[float]]) -> Figure:
    """One bar a name, stacked by series in the order of the palette; shares, with as many digits as they need."""
    x = list(range(1, len(names) + 1))
    traces = [
        {
            "type": "bar",
            "x": x,
            "y": list(values),
            "name": name,
            "customdata": [_plain(str(each)) for each in names],
            "marker": {"color": color, "line": {"width": 0}},
            "hovertemplate": f"%{{customdata}}: %{{y:.5f}}<extra>{_plain(name)}</extra>",
        }
        for (name, values), color in zip(series.items(), cycle(SERIES), strict=False)
    ]
    axes = {
        "xaxis": {"tickformat": "d", "hoverformat": "d", "range": [0.5, len(names) + 0.5]},
        "yaxis": {"tickformat": ".4f", "rangemode": "tozero", "nticks": 3},
    }
    return {"data": traces, "layout": layout(None, "score", barmode="stack", hovermode="closest", **axes)}


def stacked_bars(
    x: Sequence[Any], series: Mapping[str, Sequence[int]], *, x_range: Sequence[Any] | None = None
) -> Figure:
    """One bar a day, stacked by series in the order of the palette."""
    traces = [
        {
            "type": "bar",
            "x": list(x),
            "y": list(values),
            "name": name,
            "marker": {"color": color, "line": {"width": 0}},
            "hovertemplate": f"%{{y:,}}<extra>{_plain(name)}</extra>",
        }
        for (name, values), color in zip(series.items(), cycle(SERIES), strict=False)
    ]
    highest = max(map(sum, zip(*series.values(), strict=True)), default=0)
    ticks = {"dtick": 1, "rangemode": "tozero"} if highest < _FEW else {}
    return {"data": traces, "layout": layout(x_range, "count", barmode="stack", yaxis=ticks)}


def calibration_chart(rows: Sequence[Row]) -> Figure:
    """Observed against predicted share with intervals, beside the diagonal of a perfect model."""
    x, y = [row["predicted"] for row in rows], [row["observed"] for row in rows]
    said = [
        f"said {formats.share(row['predicted'])}, was {formats.share(row['observed'])} of {formats.whole(row['rows'])}"
        for row in rows
    ]
    above = [
        max(0.0, (row["high"] or row["observed"]) - row["observed"]) if row["observed"] is not None else None
        for row in rows
    ]
    below = [max(0.0, row["observed"] - (row["low"] or 0.0)) if row["observed"] is not None else None for row in rows]
    axis = {"range": [0, 1.02], "tickformat": ".0%", "dtick": 0.25}
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [0, 1],
                "y": [0, 1],
                "hoverinfo": "skip",
                "line": {"color": "var(--text-3)", "width": 1, "dash": "dash"},
            },
            {
                "type": "scatter",
                "mode": "markers+lines",
                "x": x,
                "y": y,
                "customdata": said,
                "line": {"color": SERIES[0], "width": 1.5},
                "marker": {"size": 7, "color": SERIES[0]},
                "hovertemplate": "%{customdata}<extra></extra>",
                "error_y": {
                    "type": "data",
                    "symmetric": False,
                    "array": above,
                    "arrayminus": below,
                    "color": SERIES[0],
                    "thickness": 1,
                    "width": 0,
                },
            },
        ],
        "layout": layout(
            None, "fraction", hovermode="closest", xaxis=axis | {"showgrid": False, "hoverformat": ".0%"}, yaxis=axis
        ),
    }
