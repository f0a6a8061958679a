"""`/alerts`: what people must know, told once a fault, grouped by its cause, and answered here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from dash import html
from sqlalchemy import Connection

from dash_app import formats
from dash_app.components import alert_parts, ui
from dash_app.components.forms import actor_field
from dash_app.components.markup import Element, drawn
from quality_assets.clock import utc_now
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.messages import is_root
from quality_assets.read import alerts as queries
from quality_assets.read import links
from quality_assets.read.links import Request

Component = Any
TITLE = "Alerts"
STATE = ("status", "severity", "kind", "subject", "assignee", "q")
_LIVE = (alerting.OPEN, alerting.ACKNOWLEDGED)
_VIEWS = (
    ("", "Live"),
    ("open", "Nobody has it"),
    ("acknowledged", "Acknowledged"),
    ("resolved", "Resolved"),
    ("all", "All"),
)


def build(connection: Connection, request: Request) -> Component:
    """The page."""
    counts, found = queries.open_counts(connection), queries.summary(connection, utc_now())
    rows = queries.worst_first(connection, _asked(request))
    return html.Div(
        [
            ui.page_head(TITLE, _lead(counts), [actor_field(), ui.copy_link()]),
            _figures(counts, found, request),
            ui.card(
                ui.card_head("What needs an answer", _keys_note()),
                _filters(request),
                html.Div(_bulk_buttons(), className="bulk") if rows else None,
                _groups(rows, request) if rows else _none(request, found),
                label="Alerts",
            ),
            html.Div([_weeks(found["weeks"]), _rules(found["rules"])], className="grid-2"),
        ],
        className="stack",
    )


def _asked(request: Request) -> queries.Asked:
    query = request.query
    status = query.get("status", "")
    statuses = _LIVE if not status else alerting.STATUSES if status == "all" else tuple(status.split(","))
    severities = tuple(filter(None, query.get("severity", "").split(",")))
    kinds = tuple(filter(None, query.get("kind", "").split(",")))
    return queries.Asked(statuses, severities, kinds, query.get("subject"), query.get("assignee"), query.get("q"))


def _lead(counts: Mapping[str, int]) -> Component:
    if not counts["live"]:
        return "Nothing is wrong that anybody would have to be told of."
    waiting, live = counts["unacknowledged"], counts["live"]
    if not waiting:
        said = ", each of which somebody has."
    elif waiting == live:
        said = ", which nobody has acknowledged." if live == 1 else ", none of which anybody has acknowledged."
    else:
        said = f", {formats.count(waiting)} of which nobody has acknowledged."
    return [html.B(formats.plural(live, "live alert")), said]


def _figures(counts: Mapping[str, int], found: Mapping[str, Any], request: Request) -> Component:
    to_resolve = found["mean_hours_to_resolve"]
    cards = [
        ui.figure_card(
            alert_parts.WORDS[name],
            alert_parts.ICONS[name],
            formats.count(counts[name]),
            note="live",
            href=Request(request.path, {"severity": name}).url(),
        )
        for name in reversed(alerting.SEVERITIES)
    ]
    cards.append(
        ui.figure_card(
            "Time to acknowledge",
            "clock",
            _hours(found["mean_hours_to_acknowledge"]),
            note="on average" if to_resolve is None else f"to resolve: {_hours(to_resolve)}, on average",
        )
    )
    return html.Div(cards, className="figures")


def _hours(hours: float | None) -> str:
    if hours is None:
        return formats.UNKNOWN
    return "under a minute" if hours * 60 < 1 else formats.seconds(hours * 3600)


def _keys_note() -> Component:
    keys = (
        ("j", "k", "move"),
        ("x", "", "select"),
        ("a", "", "acknowledge"),
        ("r", "", "resolve"),
        ("s", "", "snooze a day"),
    )
    parts: list[Any] = []
    for first, second, word in keys:
        parts += [html.Kbd(first), " ", *([html.Kbd(second), " "] if second else []), f"{word}  "]
    return html.Span(parts, className="keys")


def _bulk_buttons() -> list[Component]:
    def button(action: str, word: str, icon_name: str) -> Component:
        return html.Button([ui.icon(icon_name), word], type="button", className="button quiet", **{"data-bulk": action})

    return [
        html.Span("None selected", className="note", **{"data-chosen": "1"}),
        html.Button("Select all", type="button", className="button quiet", **{"data-select-all": "1"}),
        button("acknowledge", "Acknowledge", "eye"),
        button("resolve", "Resolve", "check"),
        button("snooze", "Snooze", "clock"),
    ]


def _filters(request: Request) -> Component:
    here = request.query.get("status", "")
    views = [
        html.A(word, href=request.url(status=key or None), className="on" if key == here else "")
        for key, word in _VIEWS
    ]
    chosen = [
        html.A([f"{name}: {request.query[name]} ", ui.icon("x")], href=request.url(**{name: None}), className="on")
        for name in STATE[1:]
        if request.query.get(name)
    ]
    return html.Div([*views, *chosen], className="reason-list", role="group", **{"aria-label": "Filter"})


def _none(request: Request, found: Mapping[str, Any]) -> Component:
    if any(request.query.get(name) for name in STATE):
        action = html.A("All that are live", href=request.path, className="button")
        return ui.nothing("bell-ring", "No alert is like that", "Take a filter away.", action)
    ever = any(week["opened"] for week in found["weeks"])
    text = "What fails is told here, once, until it passes or somebody answers."
    return ui.nothing("circle-check", "Nothing is wrong" if ever else "No alert so far", text)


def _groups(rows: Sequence[Mapping[str, Any]], request: Request) -> Component:
    """Alerts under their cause, in the order of the worst of each group."""
    order = {group: at for at, group in enumerate(dict.fromkeys(row["group_id"] for row in rows))}
    ordered = sorted(rows, key=lambda row: order[row["group_id"]])
    items: list[Any] = []
    for _, members in groupby(ordered, key=lambda row: row["group_id"]):
        group = list(members)
        if len(group) > 1:
            # What failed furthest upstream gives the group its name, whatever was seen last.
            group.sort(key=lambda row: not is_root(row))
            said = f"{formats.plural(len(group), 'alert')} of one cause, about {group[0]['subject']}"
            items.append(html.Li(html.H3(said), className="group-head"))
        items += [_row(row, request, is_member=len(group) > 1) for row in group]
    more = [html.P(f"The first {queries.MOST_ROWS}; filter for others.", className="note")]
    return html.Div([drawn(html.Ul(items, className="alert-list")), *(more if len(rows) == queries.MOST_ROWS else [])])


def _row(row: Mapping[str, Any], request: Request, *, is_member: bool) -> Component:
    box = {"type": "checkbox", "data-alert": row["alert_id"], "aria-label": f"Select {row['title']}"}
    return Element(
        "li",
        {
            "className": "alert-row" + (" member" if is_member else ""),
            "tabIndex": "0",
            "data-row": row["alert_id"],
        },
        [
            Element("input", box),
            alert_parts.severity_badge(row["severity"]),
            html.Div(
                [
                    html.A(html.B(row["title"]), href=links.alert(row["alert_id"])),
                    html.Div(row["message"], className="alert-message"),
                    html.Div(_facts(row, request), className="note"),
                ]
            ),
            html.Div([alert_parts.status_badge(row["status"]), _when(row)], className="alert-state"),
        ],
    )


def _facts(row: Mapping[str, Any], request: Request) -> list[Any]:
    def narrowed(name: str, word: str) -> Component:
        return html.A(word, href=request.url(**{name: row[name]}))

    parts: list[Any] = [narrowed("kind", formats.words(row["kind"])), " · ", narrowed("subject", row["subject"])]
    if row["users"]:
        parts.append(f" · {formats.plural(row['users'], 'user')} a day")
    if row["assignee"]:
        parts += [" · ", narrowed("assignee", row["assignee"]), " has it"]
    elif row["owner"]:
        parts.append(f" · of {row['owner']}")
    if row["occurrences"] > 1:
        parts.append(f" · seen {row['occurrences']:,} times")
    if row["snoozed_until"] and row["snoozed_until"] > utc_now():
        parts.append(f" · snoozed until {formats.moment(row['snoozed_until'])}")
    return parts


def _when(row: Mapping[str, Any]) -> Component:
    last: datetime = row["resolved_at"] or row["last_seen"]
    return html.Div(formats.moment(last), className="note", title=f"First seen {formats.moment(row['first_seen'])}")


def _weeks(weeks: Sequence[Mapping[str, Any]]) -> Component:
    rows = [
        [
            formats.day(week["week"]),
            formats.count(week["opened"]),
            formats.count(week["resolved"]),
            formats.count(week["false_alarms"]),
        ]
        for week in reversed(weeks)
        if week["opened"] or week["resolved"]
    ]
    head = ui.card_head("Week by week", "How many alerts began, were over, and were no fault.")
    if not rows:
        return ui.card(head, ui.nothing("history", "No alert yet", "Weeks with alerts are listed here."), label="Weeks")
    headers = ["Week of", "Opened", "Resolved", "No fault"]
    return ui.card(head, ui.table(headers, rows, label="Weeks", numeric=(1, 2, 3)), label="Weeks")


def _rules(rules: Sequence[Mapping[str, Any]]) -> Component:
    head = ui.card_head("Checks by what they told", "A check that is wrong more often than not had better be retired.")
    rows = [
        [
            html.Code(rule["check_name"]),
            formats.words(rule["kind"]),
            formats.count(rule["raised"]),
            formats.share(rule["false_share"]),
            ui.badge("warn", "half", "Retire it?") if alerting.is_mostly_wrong(rule) else "",
        ]
        for rule in rules[:15]
    ]
    if not rows:
        return ui.card(
            head,
            ui.nothing("shield-check", "No check has told of anything", "Their record is kept here."),
            label="Checks",
        )
    headers = ["Check", "Kind", "Told", "No fault", html.Span("Advice", className="unseen")]
    return ui.card(head, ui.table(headers, rows, label="Checks", numeric=(2, 3)), label="Checks")
