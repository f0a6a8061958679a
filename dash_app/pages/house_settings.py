"""`/settings`: by which channels people are told, what is silenced, thresholds, retention, tokens."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from sqlalchemy import Connection

from dash_app import formats
from dash_app.components import ui
from dash_app.components.forms import actor_field, choice, field, write_button, write_form
from dash_app.components.markup import Element
from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import KINDS, SEVERITIES
from quality_assets.read import alerts as queries
from quality_assets.read.links import Request
from quality_assets.tables import channels as channel_rows
from quality_assets.tables import house_settings, tokens

Component = Any
TITLE = "Settings"
_SECTIONS = {
    "alerts": ("Alerts", "How long things last, and how often people are told."),
    "channels": ("What channels may do", ""),
    "house": ("The house itself", "When its own processes, disk and snapshots are an alert."),
    "retention": ("Retention", "How long what is over stays."),
    "datasets": ("Datasets", "When a batch is an alert."),
}
_KINDS = (("webhook", "Webhook"), ("smtp", "E-mail"), ("slack", "Slack, or alike"), ("apprise", "Apprise"))
_ENCRYPTIONS = (
    ("auto", "STARTTLS, if offered"),
    ("always", "STARTTLS always"),
    ("implicit", "from the first byte, as on 465"),
    ("never", "none"),
)
# A column of buttons needs a name for whoever hears the table.
_DO = html.Span("Do", className="unseen")
_OF_KIND = (("", "any"), *((name, name) for name in KINDS))
_OF_SEVERITY = (("", "any"), *((name, name) for name in SEVERITIES))


def build(connection: Connection, _request: Request) -> Component:
    """The page."""
    found = house_settings.all_settings(connection)
    sections = list(dict.fromkeys(row["key"].partition(".")[0] for row in found))
    return html.Div(
        [
            ui.page_head(TITLE, "What people may change while the house runs; each change is kept.", [actor_field()]),
            _channels(channel_rows.channels(connection), queries.outbox(connection)),
            _silences(queries.silences(connection, utc_now())),
            *(_section(name, [row for row in found if row["key"].startswith(f"{name}.")]) for name in sections),
            _tokens(tokens.tokens(connection)),
        ],
        className="stack",
    )


def _channels(rows: Sequence[Mapping[str, Any]], outbox: Mapping[str, int]) -> Component:
    waiting = outbox.get("pending", 0) + outbox.get("sending", 0)
    note = f"{formats.plural(outbox.get('sent', 0), 'message')} sent, {formats.count(waiting)} waiting."
    if rows:
        shown = ui.table(
            ["Channel", "Kind", "To", "Takes", "How it goes", _DO],
            [_channel(row) for row in rows],
            label="Channels",
        )
    else:
        text = "Alerts show in the bell. Add a channel, and people are told where they are."
        shown = ui.nothing("bell-ring", "No channel yet", text)
    return ui.card(ui.card_head("Channels", note), shown, _fold("Add a channel", _new_channel()), label="Channels")


def _channel(row: Mapping[str, Any]) -> list[Any]:
    address = f"/api/v1/channels/{row['channel_id']}"
    if not row["is_active"]:
        state: Any = ui.badge("none", "circle-dashed", "Off")
    elif row["last_error"]:
        state = ui.two_lines(ui.badge("bad", "circle-x", "Not taken"), row["last_error"])
    elif row["last_sent_at"]:
        state = ui.two_lines(ui.badge("good", "circle-check", "Delivers"), formats.moment(row["last_sent_at"]))
    else:
        state = ui.badge("none", "circle-question-mark", "Not tried yet")
    buttons = [
        write_button("Send a test", f"{address}/test", icon_name="bell-ring", class_name="button quiet", done="Taken"),
        write_button(
            "Switch off" if row["is_active"] else "Switch on",
            address,
            {"is_active": not row["is_active"]},
            method="PUT",
            version=row["version"],
            class_name="button quiet",
        ),
        write_button("Remove", address, method="DELETE", class_name="button quiet", done="Removed"),
    ]
    where = row["address"] or f"by {row['secret_ref']}"
    return [
        html.B(row["name"]),
        row["kind"],
        html.Code(where),
        "; ".join(map(_route, row["routes"])) or "what owners get",
        state,
        html.Div(buttons, className="row tight"),
    ]


def _route(route: Mapping[str, Any]) -> str:
    parts = [f"{route['severity']} and worse"] if route.get("severity") else []
    parts += [", ".join(route[name]) for name in ("kinds", "subjects", "teams") if route.get(name)]
    return " · ".join(parts) or "everything"


def _fold(title: str, body: Component) -> Component:
    return html.Details([html.Summary(title), body], className="fold")


def _part(kinds: str, *fields: Any) -> Element:
    return Element("div", {"className": "form-part", "data-for": kinds}, list(fields))


def _new_channel() -> Component:
    kind = Element(
        "select",
        {"name": "kind", "data-kind-of": "1"},
        [Element("option", {"value": key}, word) for key, word in _KINDS],
    )
    private = field("options.allow_private_targets", "May be an address of this network", kind="checkbox")
    any_certificate = field("options.any_certificate", "Takes any certificate", kind="checkbox")
    return write_form(
        [
            Element("label", {"className": "field"}, [html.Span("Kind"), kind]),
            field("name", "Name", is_required=True),
            _part("webhook slack", field("address", "Address", hint="https://…"), private, any_certificate),
            _part(
                "smtp",
                field("address", "To", hint="a@example.com, b@example.com"),
                field("options.host", "Mail server", hint="mail.example.com"),
                field("options.port", "Port", kind="number", value=587),
                field("options.user", "User"),
                field("options.from", "From", hint="Quality <quality@example.com>"),
                choice("options.starttls", "Encryption", _ENCRYPTIONS),
                any_certificate,
            ),
            field("secret_ref", "Secret", hint="env:NAME or file:PATH"),
            choice("routes.0.severity", "Severity at least", _OF_SEVERITY),
            field("routes.0.kinds[]", "Kinds", hint="check, incident"),
            field("routes.0.subjects[]", "Subjects", hint="core.*, Search"),
            field("routes.0.teams[]", "Teams", hint="team:search"),
        ],
        "/api/v1/channels",
        "Add",
        label="Add a channel",
        done="Added: send a test",
    )


def _silences(rows: Sequence[Mapping[str, Any]]) -> Component:
    head = ui.card_head(
        "Silences", "Nothing is told of what they cover; it shows here all the same, and is told after."
    )
    body = [
        [
            html.Code(row["subject"] or "everything")
            if not row["fingerprint"]
            else html.Span(["one fault: ", html.Code(row["fingerprint"])]),
            row["kind"] or "any kind",
            f"up to {row['most_severity']}" if row["most_severity"] else "any severity",
            f"{formats.moment(row['starts_at'])} to {formats.moment(row['ends_at'])}",
            ui.two_lines(row["reason"], row["created_by"]),
            write_button(
                "End it",
                f"/api/v1/silences/{row['silence_id']}",
                method="DELETE",
                class_name="button quiet",
                done="Ended",
            ),
        ]
        for row in rows
    ]
    table = ui.table(["Subject", "Kind", "Severity", "When", "Why", _DO], body, label="Silences") if body else None
    form = write_form(
        [
            field("subject", "Subject", hint="core.*; empty: everything"),
            choice("kind", "Kind", _OF_KIND),
            choice("most_severity", "Up to severity", _OF_SEVERITY),
            field("hours", "For hours", kind="number", value=4, is_required=True),
            field("reason", "Why", is_required=True),
        ],
        "/api/v1/silences",
        "Silence",
        label="Add a silence",
        done="Silenced",
    )
    return ui.card(head, table, _fold("Add a silence", form), label="Silences")


def _section(name: str, rows: Sequence[Mapping[str, Any]]) -> Component:
    title, note = _SECTIONS.get(name, (formats.words(name).capitalize(), ""))
    items = [html.Div([_words_of(row), _setting_form(row)], className="setting") for row in rows]
    return ui.card(ui.card_head(title, note), html.Div(items, className="settings"), label=title)


def _words_of(row: Mapping[str, Any]) -> Component:
    bounds = ""
    if row["minimum"] is not None:
        bounds = f" {row['minimum']:g} to {row['maximum']:,.0f} {row['unit']}".rstrip() + "."
    changed = f" Set by {row['updated_by']}, {formats.moment(row['updated_at'])}." if row["version"] else ""
    return ui.two_lines(html.B(row["description"]), f"{row['key']}.{bounds}{changed}")


def _setting_form(row: Mapping[str, Any]) -> Component:
    address = f"/api/v1/settings/{row['key']}"
    if row["type"] == "yes_no":
        shown = field("value", "Yes", kind="checkbox", value=row["value"])
    elif row["type"] == "map":
        attributes = {"name": "value", "data-json": "1", "rows": 2, "aria-label": row["description"]}
        shown = Element("textarea", attributes, json.dumps(row["value"], ensure_ascii=False))
    else:
        attributes = {"name": "value", "type": "number", "step": "any", "value": f"{row['value']:g}"}
        attributes |= {"min": row["minimum"], "max": row["maximum"], "aria-label": row["description"]}
        shown = Element("label", {"className": "field number"}, [Element("input", attributes), html.Span(row["unit"])])
    return write_form(
        [shown], address, "Set", label=row["key"], method="PUT", version=row["version"] or None, done="Set"
    )


def _tokens(rows: Sequence[Mapping[str, Any]]) -> Component:
    head = ui.card_head(
        "Tokens", html.Span(["For scripts: ", html.Code("Authorization: Bearer …"), ". Shown once, when made."])
    )
    body = [
        [
            html.B(row["name"]),
            ", ".join(row["scopes"]),
            ui.two_lines(formats.moment(row["created_at"]), row["created_by"]),
            formats.moment(row["last_used_at"]) if row["last_used_at"] else "never used",
            formats.moment(row["expires_at"]) if row["expires_at"] else "does not expire",
            write_button("Revoke", f"/api/v1/tokens/{row['token_id']}", method="DELETE", class_name="button quiet"),
        ]
        for row in rows
    ]
    headers = ["Name", "May", "Made", "Last used", "Until", _DO]
    table = ui.table(headers, body, label="Tokens") if body else None
    form = write_form(
        [
            field("name", "Name", is_required=True),
            field("scopes[]", "May", value="read", hint="read, write, admin"),
            field("days", "For days", kind="number", hint="without end"),
        ],
        "/api/v1/tokens",
        "Make a token",
        label="Make a token",
    )
    return ui.card(head, table, _fold("Make a token", form), label="Tokens")
