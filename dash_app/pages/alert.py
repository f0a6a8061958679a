"""`/alerts/<id>`: one alert: what is wrong, how it stands, what was done, and what can be done."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from dash import html
from sqlalchemy import Connection

from dash_app import formats
from dash_app.components import alert_parts, ui
from dash_app.components.forms import actor_field, area, choice, field, write_button, write_form
from quality_assets.clock import utc_now
from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.contracts.metrics import METRICS_BY_NAME
from quality_assets.domain.features.incident_words import KIND_WORDS
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.messages import FIGURES, figure_of
from quality_assets.domain.wording import change_text, figure_text, row_text
from quality_assets.read import alerts as queries
from quality_assets.read import links
from quality_assets.read.links import Request

Component = Any
_RESOLUTIONS = (
    ("fixed", "Fixed"),
    ("expected", "Expected: not a problem"),
    ("false_alarm", "False alarm: the rule is wrong"),
    ("duplicate", "Told already elsewhere"),
)
_LOUD_AGAIN = "It is told again where it gets half as bad again, or others are hit."
_TEACHES = {
    "dataset": "Expected and false alarm keep the rule quiet.",
    **dict.fromkeys(alerting.TEACHABLE, f"What is expected, or a false alarm, is quiet from then on. {_LOUD_AGAIN}"),
}
_ICONS = {
    "opened": "bell-ring",
    "reopened": "bell-ring",
    "worse": "arrow-up",
    "milder": "arrow-down",
    "acknowledged": "eye",
    "resolved": "circle-check",
    "snoozed": "clock",
    "escalated": "users",
    "noted": "square-terminal",
    "assigned": "users",
}


def build(connection: Connection, request: Request) -> Component:
    """The page."""
    alert = queries.one(connection, links.alert_of(request.path) or "")
    if alert is None:
        action = html.A("All alerts", href="/alerts", className="button")
        return ui.nothing("bell-ring", "No such alert", "It may have been removed with age.", action, is_page=True)
    address = f"/api/v1/alerts/{alert['alert_id']}"
    return html.Div(
        [
            _head(alert),
            html.Div(
                [
                    html.Div([_what(alert), _timeline(alert)], className="stack"),
                    html.Div([_answers(alert, address), _told(alert), _group(alert)], className="stack side"),
                ],
                className="with-side",
            ),
        ],
        className="stack",
    )


def _head(alert: Mapping[str, Any]) -> Component:
    crumbs = html.Div([html.A("Alerts", href="/alerts"), html.Span(alert["subject"])], className="crumbs")
    title = html.Span(
        [alert["title"], alert_parts.severity_badge(alert["severity"]), alert_parts.status_badge(alert["status"])],
        className="title",
    )
    return ui.page_head(title, alert["message"], [actor_field(), ui.copy_link()], crumbs)


def _what(alert: Mapping[str, Any]) -> Component:
    figures = [
        html.Div([html.Div(name, className="note"), html.Div(figure_of(alert, name), className="figure-small")])
        for name in FIGURES
        if alert[name] is not None
    ]
    is_incident = alert["kind"] == "incident"
    facts: dict[str, Any] = {
        "About": _subject(alert),
        ("Incident" if is_incident else "Check"): html.Code(alert["check_name"]) if alert["check_name"] else None,
        **({"Metric": _metric(alert)} if is_incident else {"Column": _code(alert["column_name"])}),
        ("Told first on" if is_incident else "Of"): _date_text(alert["partition_key"]) or alert["batch_id"] or None,
        "Owner": alert["owner"] or "nobody is named",
        "Assigned to": alert["assignee"] or "nobody",
        "First seen": formats.moment(alert["first_seen"]),
        "Last seen": f"{formats.moment(alert['last_seen'])}, {formats.plural(alert['occurrences'], 'time')} in all",
        "Came back": formats.plural(alert["reopened"], "time") if alert["reopened"] else None,
        "Resolved": _resolved(alert),
        "Before": html.A("the last alert of this fault", href=links.alert(alert["previous_alert_id"]))
        if alert["previous_alert_id"]
        else None,
        "Run": ui.run_link(alert["run_id"]) if alert["run_id"] else None,
        "Do": alert["action"] or None,
        "Record": _record(alert),
        "Quiet": _quiet(alert),
    }
    pairs = [part for name, value in facts.items() if value is not None for part in (html.Dt(name), html.Dd(value))]
    evidence = [
        html.Div([html.Span(f"{name.replace('_', ' ')}: ", className="note"), html.Code(_evidence(name, value))])
        for name, value in alert["evidence"].items()
        if name != "unit" and value not in (None, "", [], {}, False)
    ]
    return ui.card(
        ui.card_head("What is wrong"),
        html.Div(figures, className="row base alert-figures") if figures else None,
        html.Dl(pairs, className="facts"),
        html.Div([html.H3("Evidence"), *evidence], className="evidence") if evidence else None,
        label="What is wrong",
    )


def _code(name: str | None) -> Component:
    return html.Code(name) if name else None


def _metric(alert: Mapping[str, Any]) -> str | None:
    metric = METRICS_BY_NAME.get(alert["column_name"])
    return metric.label if metric else alert["column_name"] or None


def _date_text(value: Any) -> str:
    """A text that is a date of ISO 8601 as people say it; any other as it is."""
    text = str(value or "")
    try:
        return formats.day(date.fromisoformat(text), year=True) if len(text) == _LENGTH_OF_A_DATE else text
    except ValueError:
        return text


_LENGTH_OF_A_DATE = 10


def _evidence(name: str, value: Any) -> str:
    if name == "kind" and value in KIND_WORDS:
        return KIND_WORDS[value]
    if value is True:
        return "yes"
    if isinstance(value, str):
        return _date_text(value)
    if isinstance(value, list):
        return "; ".join(map(row_text, value))
    if not isinstance(value, float):
        return row_text(value)
    return change_text(value) if name == "change" else figure_text(value)


def _subject(alert: Mapping[str, Any]) -> Component:
    if alert["kind"] == "incident":
        return html.A(alert["subject"], href=links.feature(alert["subject"]))
    is_late = alert["kind"] == "lateness" and not alert["check_name"].startswith("house ")
    if alert["kind"] == "dataset" or is_late:
        return html.A(alert["subject"], href=links.dataset(alert["subject"]))
    return ui.asset_link(alert["subject"]) if alert["subject"] in TABLES_BY_NAME else html.Span(alert["subject"])


def _resolved(alert: Mapping[str, Any]) -> str | None:
    if not alert["resolved_at"]:
        return None
    return f"{formats.moment(alert['resolved_at'])}: {(alert['resolution'] or '').replace('_', ' ')}"


def _record(alert: Mapping[str, Any]) -> str | None:
    record = alert["record"]
    if not record or record["raised"] <= 1:
        return None
    return f"told {record['raised']:,} times, {record['false_alarms']:,} of them no fault"


def _is_teaching(alert: Mapping[str, Any]) -> bool:
    return alert["kind"] in alerting.TEACHABLE and alert["resolution"] in alerting.FALSE_RESOLUTIONS


def _quiet(alert: Mapping[str, Any]) -> str | None:
    """What became of the word that it is no problem."""
    if not _is_teaching(alert):
        return None
    since = ", and was found again since" if alert["last_seen"] > alert["resolved_at"] else ""
    return f"It is no problem as it was{since}. {_LOUD_AGAIN}"


def _answers(alert: Mapping[str, Any], address: str) -> Component:
    version = alert["version"]
    if alert["status"] == alerting.RESOLVED:
        again = write_button("Reopen", f"{address}/reopen", icon_name="bell-ring", version=version, done="Reopened")
        return ui.card(ui.card_head("Answer", "It is over."), again, label="Answer")
    snoozed = alert["snoozed_until"] and alert["snoozed_until"] > utc_now()
    said = f"Snoozed until {formats.moment(alert['snoozed_until'])}." if snoozed else None
    return ui.card(
        ui.card_head("Answer", said),
        html.Div([*_taking(alert, address), *_snoozing(alert, address)], className="row"),
        *_resolving(alert, address),
        *_assigning(alert, address),
        write_form([area("note", "Note", is_required=True)], f"{address}/note", "Add note", label="Note", done="Noted"),
        label="Answer",
    )


def _taking(alert: Mapping[str, Any], address: str) -> list[Component]:
    if alert["status"] != alerting.OPEN:
        return []
    return [
        write_button(
            "I have it",
            f"{address}/acknowledge",
            icon_name="eye",
            version=alert["version"],
            key="a",
            class_name="button primary",
            done="Acknowledged: no reminders until it is over",
        )
    ]


def _snoozing(alert: Mapping[str, Any], address: str) -> list[Component]:
    return [
        write_button(
            f"Snooze {word}",
            f"{address}/snooze",
            {"hours": hours},
            icon_name="clock",
            version=alert["version"],
            key="s" if hours == 24 else None,
            done=f"Snoozed {word}",
        )
        for hours, word in ((4, "4 h"), (24, "a day"), (168, "a week"))
    ]


def _resolving(alert: Mapping[str, Any], address: str) -> list[Component]:
    form = write_form(
        [choice("resolution", "It is over", _RESOLUTIONS, "fixed"), field("note", "Because", hint="What was done")],
        f"{address}/resolve",
        "Resolve",
        label="Resolve",
        version=alert["version"],
        done="Resolved",
    )
    taught = _TEACHES.get(alert["kind"])
    return [form, html.P(taught, className="note") if taught else None]


def _assigning(alert: Mapping[str, Any], address: str) -> list[Component]:
    place, version = f"{address}/assign", alert["version"]
    whose = field("assignee", "Whose it is", value=alert["assignee"], is_required=True)
    form = write_form([whose], place, "Assign", label="Assign", version=version, done="Assigned")
    if not alert["assignee"]:
        return [form, None]
    return [form, write_button("Nobody's", place, {"assignee": None}, version=version, done="Assigned to nobody")]


def _timeline(alert: Mapping[str, Any]) -> Component:
    items = [
        html.Li(
            [
                ui.icon(_ICONS.get(event["action"], "activity")),
                ui.two_lines(
                    [html.B(event["action"].replace("_", " ").capitalize()), f" by {event['actor']}"],
                    formats.moment(event["at"]),
                ),
                html.Div(event["note"] or "", className="note-text"),
            ]
        )
        for event in reversed(alert["events"])
    ]
    return ui.card(
        ui.card_head("What happened", "Newest first; each time it was only seen again is counted, not listed."),
        html.Ul(items, className="timeline"),
        label="What happened",
    )


def _told(alert: Mapping[str, Any]) -> Component:
    rows = [row for row in alert["notifications"] if row["status"] != "cancelled"]
    head = ui.card_head("Who was told")
    if not rows:
        text = "No channel takes it, and no mail goes out. The bell shows it all the same."
        action = html.A("Channels", href="/settings", className="button")
        return ui.card(head, ui.nothing("bell-ring", "Nobody, but here", text, action), label="Who was told")
    items = [
        html.Li(
            [
                ui.icon("check" if row["status"] == "sent" else "circle-x" if row["error"] else "clock"),
                ui.two_lines(
                    [html.B(row["channel_id"].removeprefix("owner:")), f" · {row['transition'].partition(':')[0]}"],
                    _notification(row),
                ),
            ]
        )
        for row in rows
    ]
    return ui.card(head, html.Ul(items, className="trust"), label="Who was told")


def _notification(row: Mapping[str, Any]) -> str:
    if row["status"] == "sent":
        return f"sent {formats.moment(row['sent_at'])}" + (f"; {row['error']}" if row["error"] else "")
    if row["status"] == "pending":
        return f"due {formats.moment(row['due_at'])}" + (f"; {row['error']}" if row["error"] else "")
    return f"{row['status']}{': ' + row['error'] if row['error'] else ''}"


def _group(alert: Mapping[str, Any]) -> Component:
    if not alert["group"]:
        return None
    items = [
        html.Li(
            [
                alert_parts.severity_icon(other["severity"]),
                ui.two_lines(html.A(other["title"], href=links.alert(other["alert_id"])), other["status"]),
            ]
        )
        for other in alert["group"][:12]
    ]
    return ui.card(ui.card_head("Of the same cause"), html.Ul(items, className="trust"), label="Of the same cause")
