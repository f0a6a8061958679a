"""`/`: which features get worse, who is hit, what first."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.pages import live, states
from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.features import status as states_of
from quality_assets.domain.features.attention import DEGRADED_TODAY, raising_reasons
from quality_assets.domain.features.incident_words import told_sentence
from quality_assets.domain.features.status import STATUS_ORDER, Outlook, Status
from quality_assets.domain.quality import health
from quality_assets.domain.wording import capitalised
from quality_assets.read import links, quality
from quality_assets.read import overview as queries
from quality_assets.read.links import Request
from quality_assets.read.overview import features, seen_features
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Overview"
CARDS = 3


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    days = request.days
    known = features(reader, days)
    rows = seen_features(known)
    if not rows:
        return states.no_events(len(known))
    return html.Div(
        [
            ui.page_head(
                TITLE,
                "Which product features are degrading, who is affected, and what to do first.",
                [ui.window_links(request), ui.copy_link()],
            ),
            live.strip_place(),
            _figures(reader, rows, days),
            _attention(reader, rows),
            _table(reader, rows, days, len(known) - len(rows)),
        ]
    )


def _figures(reader: Reader, rows: Sequence[Row], days: int) -> Component:
    return html.Div(
        [
            _risk_figure(reader, days),
            _incident_figure(reader, rows, days),
            *_total_figures(reader, days),
            _quality_figure(reader, days),
        ],
        className="figures",
    )


def _risk_figure(reader: Reader, days: int) -> Component:
    found = queries.at_risk(reader, days)
    if not found.scored:
        return ui.figure_card(
            "Features at risk", "gauge", formats.UNKNOWN, note="No model has scored yet", href=links.RISK_MODEL
        )
    change = _count_change(found.now, found.before)
    note = f"of {formats.whole(found.scored)} scored · risk at least {formats.share(states_of.AT_RISK)}"
    spark = ui.spark(found.by_day, f"Features at risk over {days} days")
    return ui.figure_card(
        "Features at risk",
        "gauge",
        formats.whole(found.now),
        change=change,
        note=note,
        spark=spark,
        href=links.RISK_MODEL,
    )


def _count_change(now: int, before: int | None) -> Component:
    if before is None or now == before:
        return None
    return ui.delta(f"{'+' if now > before else formats.MINUS}{abs(now - before)}", "bad" if now > before else "good")


def _incident_figure(reader: Reader, rows: Sequence[Row], days: int) -> Component:
    incidents = queries.open_incidents(reader)
    if not reader.has(queries.INCIDENTS):
        return ui.figure_card("Open incidents", "bell-ring", formats.UNKNOWN, note="Incidents are not detected yet")
    if not incidents and _is_nothing_judged(rows):
        return ui.figure_card("Open incidents", "bell-ring", formats.UNKNOWN, note="Too short a past to tell yet")
    history = [row["open"] for row in queries.incidents_by_day(reader, days)]
    spark = ui.spark(history, f"Open incidents over {days} days")
    asset = links.dagster_asset(queries.INCIDENTS)
    if not incidents or reader.through is None:
        return ui.figure_card("Open incidents", "bell-ring", "0", note="None is open", spark=spark, href=asset)
    severe = states_of.severe_incidents(incidents)
    oldest = max((reader.through - incident["start_date"]).days for incident in incidents)
    note = f"{severe} critical or high · oldest {formats.plural(oldest + 1, 'day')}"
    return ui.figure_card(
        "Open incidents", "bell-ring", formats.whole(len(incidents)), note=note, spark=spark, href=asset
    )


def _total_figures(reader: Reader, days: int) -> list[Component]:
    p95, crashed = queries.total(reader, days, "p95_ms"), queries.total(reader, days, "crashed_users")
    compared = (
        f"{days} days against {days} before"
        if p95.is_comparable
        else f"mean of {formats.plural(len(p95.values), 'day')}"
    )
    return [
        _total_figure(p95, days, "p95, user-weighted", "activity", formats.duration, compared),
        _total_figure(crashed, days, "Users hit by a crash", "users", formats.count, "a day, summed over features"),
    ]


def _total_figure(total: queries.Total, days: int, label: str, icon: str, text: Any, note: str) -> Component:
    tone = {True: "bad", False: "good", None: ""}[states_of.is_worse_total(total.change)]
    change = None if total.change is None else ui.delta(formats.change(total.change), tone)
    spark = ui.spark(total.values, f"{label} over {days} days") if total.mean is not None else None
    asset = links.dagster_asset(queries.FACTS)
    return ui.figure_card(label, icon, text(total.mean), change=change, note=note, spark=spark, href=asset)


def _checks_note(alarms: int, unknown: int) -> str:
    """As many need a look as the navigation says; what could not be answered stands beside them."""
    look = f"{formats.plural(alarms, 'check')} {'needs' if alarms == 1 else 'need'} a look" if alarms else ""
    open_ = f"{formats.whole(unknown)} {health.UNANSWERED}" if unknown else ""
    return ", ".join(filter(None, (look, open_))) or "All checks pass"


def _quality_figure(reader: Reader, days: int) -> Component:
    scores = [row["score"] for row in quality.score_by_day(reader, days)]
    known = [score for score in scores if score is not None]
    now = quality.score_now(reader)
    if now is None:
        return ui.figure_card(
            "Data quality", "shield-check", formats.UNKNOWN, note="No event has come", href="/data-quality"
        )
    latest = quality.latest(reader)
    change = round(known[-1] - known[0], 4) if known else 0.0
    said = f"{change:+.4f}".replace("-", "−")
    moved = ui.delta(said, "bad" if change < 0 else "good") if change else None
    note = _checks_note(health.alarms(latest), health.tally(latest).unknown)
    spark = ui.spark(scores, f"Quality score over {days} days")
    return ui.figure_card(
        "Data quality",
        "shield-check",
        formats.share_of_cells(now),
        change=moved,
        note=note,
        spark=spark,
        href="/data-quality",
    )


def _attention(reader: Reader, rows: Sequence[Row]) -> Component:
    urgent = [row for row in rows if row["needs_attention"]]
    if not urgent:
        return html.Div([html.H2("Needs attention first"), _calm(reader, rows)], className="section")
    more = len(urgent) - CARDS
    rest = html.Span(f"{more} more in the table below", className="note") if more > 0 else None
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H2("Needs attention first"),
                            html.P(
                                "What goes on by severity, then by the harm done today: users, by how bad it is",
                                className="note",
                            ),
                        ]
                    ),
                    rest,
                ],
                className="section-head",
            ),
            html.Div(
                [_attention_card(row, queries.passes_were_right(reader)) for row in urgent[:CARDS]], className="grid-3"
            ),
        ],
        className="section",
    )


def _is_nothing_judged(rows: Sequence[Row]) -> bool:
    return bool(rows) and all(row["status"] == Status.UNKNOWN for row in rows)


def _calm(reader: Reader, rows: Sequence[Row]) -> Component:
    """Says that all is well only as far as somebody looked."""
    has_incidents = reader.has(queries.INCIDENTS)
    has_risk = any(row["risk"] and row["risk"]["risk_probability"] is not None for row in rows)
    if has_incidents and _is_nothing_judged(rows):
        return html.Div([ui.icon("circle-question-mark"), states_of.NOTHING_JUDGED], className="card calm unsure")
    if has_incidents and has_risk:
        return html.Div(
            [ui.icon("circle-check"), "Nothing is degraded, and no feature is at risk."], className="card calm"
        )
    if has_incidents:
        return html.Div(
            [ui.icon("circle-check"), "Nothing is degraded. What is at risk is not known: there is no model yet."],
            className="card calm",
        )
    worse = sum(row["status"] == Status.WATCH for row in rows)
    said = f"{formats.plural(worse, 'feature')} of {len(rows)} {'is' if worse == 1 else 'are'} worse"
    said += " on the last day than the weekday usually is."
    why = "Incidents are not detected in this snapshot yet, so nobody can say that nothing is degraded. "
    return html.Div([ui.icon("circle-question-mark"), html.Span([why, said])], className="card calm unsure")


def _attention_card(row: Row, was_right: float | None) -> Component:
    risk = row["risk"]
    is_scored = risk is not None and risk["risk_probability"] is not None
    is_hit = any(fault["affected_users"] is not None for fault in row["incidents"])
    if row["impact"] is None:
        who = "users unknown"
    else:
        who = f"{formats.count(row['impact'])} users {'hit on the last day' if is_hit else 'a day expected to be hit'}"
    return html.A(
        [
            html.Div(
                [
                    ui.status_badge(row["status"]),
                    html.B(f"{formats.probability(risk['risk_probability'])} risk") if is_scored else None,
                ],
                className="between",
            ),
            html.H3(row["display_name"]),
            html.P(_sentence(row, was_right)),
            html.Div(
                [
                    html.Span([ui.icon("users"), who]),
                    html.Span(ui.owner_line(row["team"], row["owner"])),
                ],
                className="between foot",
            ),
        ],
        href=links.feature(row["feature"]),
        className="card attention",
    )


def _sentence(row: Row, was_right: float | None) -> list[Any]:
    """What changed, since when, where, and what the model makes of it and why."""
    if row["incidents"]:
        incident = row["incidents"][0]
        # The card is headed by the feature already; the bold part says what changed, the rest since when and for whom.
        sentence = told_sentence(incident).removeprefix(f"{row['feature']}: ")
        what, since, rest = sentence.partition(" since ")
        more = len(row["incidents"]) - 1
        return [
            html.B(capitalised(what)),
            f"{since}{rest}",
            f" {formats.plural(more, 'more incident')} open." if more else "",
            _outlook(row["risk"], was_right),
        ]
    reasons = raising_reasons(row["risk"])
    if DEGRADED_TODAY in row["attention"]["reasons"]:
        return [f"{capitalised(DEGRADED_TODAY)}."]
    if not reasons:
        return [html.B("May degrade"), f" within {row['risk']['horizon_days']} days; the model gives no reason."]
    words = "; ".join(reasons[:2])
    return [html.B("May degrade"), f" within {row['risk']['horizon_days']} days: {words}."]


def _outlook(risk: Row | None, was_right: float | None) -> str:
    """Whether the model thinks that what is degraded already will stay so, and why."""
    expected = states_of.outlook(risk["risk_probability"] if risk else None, was_right)
    if expected == Outlook.UNKNOWN:
        return ""
    if expected == Outlook.UNDECIDED:
        return " The model is undecided whether it lasts."
    if expected == Outlook.PASSES:
        # What speaks for that is that little moves, which in the words of single inputs reads like a contradiction.
        return f" The model expects it to pass, which was right on {formats.share(was_right)} of such days."
    reasons = raising_reasons(risk)[:2]
    why = f": {'; '.join(reasons)}" if reasons else ""
    return f" The model expects it to stay or come back{why}."


def _table(reader: Reader, rows: Sequence[Row], days: int, never_seen: int) -> Component:
    sparks = queries.sparks(reader, days)
    counts = {status.value: sum(row["status"] == status for row in rows) for status in Status}
    teams = sorted({row["team"] for row in rows if row["team"]})
    data = {
        "looks": ui.status_looks(),
        "columns": _COLUMNS,
        "rows": [_cells(row, sparks) for row in rows[: ui.MOST_ROWS]],
        "counts": counts,
        "teams": teams,
        "days": days,
    }
    through = formats.day(reader.through)
    note = (
        f"{formats.plural(len(rows), 'feature')} · latency and crash rate of {through} against what the weekday"
        f" usually is; users and adoption are means of {days} days"
    )
    note += ui.cut_note(rows)
    if never_seen:
        note += (
            f" · {formats.plural(never_seen, 'described feature')}"
            f" {'has' if never_seen == 1 else 'have'} never sent an event (in the CSV)"
        )
    return ui.card(
        html.Div(
            [
                html.Div([html.H2("All features"), html.P(note, className="note")]),
                html.Div(
                    [html.Div(className="filters", **{"data-filters": ""}), ui.csv_link("features", window=f"{days}d")],
                    className="tools",
                ),
            ],
            className="head",
        ),
        html.Div(className="data-table", **{"data-table": json.dumps(data, separators=(",", ":"), ensure_ascii=False)}),
        html.P(_sources(), className="note source"),
        label="All features",
        class_name="flush",
    )


def _sources() -> list[Component]:
    assets = [queries.TRENDS, queries.FACTS, queries.SCORES, queries.INCIDENTS]
    parts = [part for asset in assets for part in (ui.asset_link(asset), ", ")]
    return ["From ", *parts[:-1], "."]


_COLUMNS = [
    {"key": "feature", "title": "Feature", "kind": "feature"},
    {"key": "status", "title": "Status", "kind": "status"},
    {"key": "risk", "title": "Risk, next 7 days", "kind": "risk"},
    {"key": "p95", "title": "p95 latency", "kind": "spark"},
    {"key": "crash", "title": "Crash rate", "kind": "spark"},
    {"key": "users", "title": "Users / day", "kind": "number"},
    {"key": "adoption", "title": "Adoption", "kind": "number"},
    {"key": "impact", "title": "Impact", "kind": "number"},
]


def _cells(row: Row, sparks: Mapping[tuple[str, str], Row]) -> dict[str, Any]:
    risk = row["risk"] or {}
    return {
        "feature": {
            "t": row["display_name"],
            "s": ui.owner_line(row["team"], row["owner"]),
            "h": links.feature(row["feature"]),
            "q": f"{row['display_name']} {row['feature']} {row['team'] or ''} {row['owner'] or ''}".lower(),
            "m": row["team"],
        },
        "status": {"k": row["status"].value, "v": -STATUS_ORDER[row["status"]]},
        "risk": {
            "t": formats.probability(risk.get("risk_probability")),
            "v": _short(risk.get("risk_probability")),
            "l": _short(risk.get("low")),
            "u": _short(risk.get("high")),
            "k": states_of.risk_status(risk.get("risk_probability")).value,
        },
        "p95": _metric_cell(row, "latency_p95_ms", sparks),
        "crash": _metric_cell(row, "crash_rate", sparks),
        "users": {
            "t": formats.count(row["users"]),
            "s": "" if row["users_change"] is None else formats.change(row["users_change"]),
            "v": _short(row["users"]),
        },
        "adoption": {"t": formats.share(row["adoption"]), "v": _short(row["adoption"])},
        "impact": {
            "t": formats.count(row["impact"]),
            "s": "" if row["impact"] is None else "users / day",
            "v": _short(row["impact"]),
        },
    }


def _metric_cell(row: Row, metric: str, sparks: Mapping[tuple[str, str], Row]) -> dict[str, Any]:
    current = row["metrics"].get(metric, {})
    spark = sparks.get((row["feature"], metric))
    # That a rate of zero is 100 % below the usual says nothing that the zero does not.
    change = current.get("change") if current.get("value") else None
    return {
        "t": formats.metric(metric, current.get("value")),
        "s": "" if change is None else formats.change(change),
        "b": bool(current.get("is_worse")),
        "v": _short(current.get("value")),
        "p": [spark["line"], spark["low"] or "", spark["high"] or ""] if spark and spark["line"] else None,
        "l": METRICS_BY_NAME[metric].label,
    }


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
