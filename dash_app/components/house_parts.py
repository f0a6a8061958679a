"""How the house is and what happened last, for the pipeline page: as they stand each time it is asked for."""

from __future__ import annotations

from typing import Any

from dash import html
from sqlalchemy import Connection

from dash_app import formats
from dash_app.components import alert_parts, ui
from quality_assets.read import alerts as queries
from quality_assets.read import links
from quality_assets.settings import Settings
from quality_assets.tables import house

Component = Any
_LOOKS = {
    house.OK: ("good", "circle-check", "Well"),
    house.WARNING: ("warn", "half", "Attention"),
    house.FAILING: ("bad", "circle-x", "Failing"),
    house.UNKNOWN: ("none", "circle-question-mark", "Unknown"),
}


def build(connection: Connection, settings: Settings) -> Component:
    """Both cards."""
    return html.Div([_health(settings), _activity(connection)], className="grid-2 live-parts")


def _health(settings: Settings) -> Component:
    rows = [[html.B(part.name), ui.badge(*_LOOKS[part.status]), part.sentence] for part in house.parts(settings)]
    head = ui.card_head("Processes, stores and disk", "As they are just now.")
    return ui.card(head, ui.table(["Part", "Is", "How"], rows, label="Health of the house"), label="Health")


def _activity(connection: Connection) -> Component:
    rows = queries.recent_activity(connection, 15)
    head = ui.card_head("Recent activity", "What happened to alerts and to the house itself, newest first.")
    if not rows:
        return ui.card(head, ui.nothing("activity", "Nothing yet", "Alerts and changes show here."), label="Activity")
    items = [html.Li([_icon(row), ui.two_lines(_what(row), _who(row))]) for row in rows]
    return ui.card(head, html.Ul(items, className="trust"), label="Activity")


def _icon(row: dict[str, Any]) -> Component:
    return alert_parts.severity_icon(row["severity"]) if row["severity"] else ui.icon("sliders")


def _what(row: dict[str, Any]) -> Component:
    if row["entity"] == "alert":
        return html.A(row["subject"], href=links.alert(row["entity_id"]))
    if row["entity"] == "setting":
        return html.A([html.Code(row["subject"]), f" is {row['note']}"], href="/settings")
    remark = f" ({row['note']})" if row["note"] else ""
    address = links.dataset(row["entity_id"]) if row["entity"] == "dataset" else "/settings"
    return html.A(f"{row['entity'].capitalize()} {row['subject']}{remark}", href=address)


def _who(row: dict[str, Any]) -> str:
    return f"{row['action'].replace('_', ' ')} by {row['actor']}, {formats.moment(row['at'])}"
