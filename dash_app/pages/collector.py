"""`/collector`: whether the collector is well, who sends what, what was refused and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import forms, ui
from quality_assets.domain.wording import capitalised
from quality_assets.read import live as queries
from quality_assets.read.links import Request
from quality_assets.read.live import Down
from quality_assets.read.reader import Reader
from quality_assets.settings import Settings

Component = Any
TITLE = "Collector"
BODY = "collector-body"
_EACH_MS = 2_000
_MESSAGES = 5
_VALUES = "values"


def build(_reader: Reader | None, request: Request) -> Component:
    """The page, whose content comes after it. Values are masked unless the address asks for them."""
    is_unmasked = request.query.get(_VALUES) == "shown"
    return html.Div(
        [
            ui.page_head(
                TITLE,
                [
                    "Events over HTTP: how many come, how far behind it is, what was refused. Values are masked unless"
                    " they are asked for; ",
                    html.Code("quality deadletters show"),
                    " tells what was sent.",
                ],
                [_values_link(is_unmasked=is_unmasked), ui.copy_link()],
            ),
            ui.asked_again(BODY, "/parts/collector-unmasked" if is_unmasked else "/parts/collector", _EACH_MS),
        ]
    )


def _values_link(*, is_unmasked: bool) -> Component:
    if is_unmasked:
        return html.A("Mask values", href="/collector", className="button")
    return html.A("Show values", href=f"/collector?{_VALUES}=shown", className="button")


def body(settings: Settings, *, unmasked: bool = False) -> Component:
    """The collector as it is now."""
    told = queries.ask(settings, "/live/collector", messages=_MESSAGES, unmasked=unmasked)
    if isinstance(told, Down):
        since = f"since {formats.moment(told.since)}" if told.since else ""
        words = f"Collector down {since}".strip() if told.since else "No collector has run here yet"
        return ui.card(ui.nothing("circle-x", words, f"{capitalised(told.reason)}.", ui.command("quality collect")))
    return html.Div(
        [
            _condition(told["reasons"]),
            _figures(told),
            _sources(told["sources"]),
            _topics(told["topics"]),
            _letters(told["dead_letters"]),
            _messages(told["last_messages"]),
        ],
        className="stack",
    )


def _condition(reasons: Sequence[str]) -> Component:
    if not reasons:
        return None
    return html.Div(
        [ui.icon("circle-x"), html.Div([html.B("Not well. "), html.Ul([html.Li(reason) for reason in reasons])])],
        className="banner bad",
        role="alert",
    )


def _figures(told: Mapping[str, Any]) -> Component:
    landing = told["landing"]
    last = landing["last_landed_at"]
    return html.Div(
        [
            ui.figure_card(
                "Events", "activity", formats.whole(told["events"]), note=f"Since {_moment(told['started_at'])}"
            ),
            ui.figure_card("Queue", "database", formats.whole(told["queued_items"]), note="Items not durable yet"),
            ui.figure_card(
                "Behind", "gauge", formats.seconds(told["behind_s"]),
                note=f"{formats.plural(told['log_lag_records'], 'request')} not processed yet",
            ),
            ui.figure_card(
                "To land", "workflow", formats.whole(landing["waiting_events"]),
                note=f"Landed last at {_moment(last)}" if last else "Nothing has landed yet",
            ),
            ui.figure_card(
                "Log", "database", f"{formats.decimal(told['log_bytes'] / 1e6, 1)} MB",
                note=f"{formats.decimal(told['disk_free_bytes'] / 1e9, 1)} GB of the disk are free",
            ),
        ],
        className="figures",
    )  # fmt: skip


def _sources(rows: Sequence[Mapping[str, Any]]) -> Component:
    if not rows:
        return ui.card(
            ui.nothing("activity", "Nothing has been sent yet", "See docs: curl, Segment and OpenTelemetry.")
        )
    shown = [
        [
            row["source"],
            *(formats.whole(row[name]) for name in ("events", "duplicates", "refused", "calls")),
            _moment(row["last_at"]),
        ]
        for row in rows
    ]  # fmt: skip
    headers = ["Sender", "Events", "Sent again", "Refused", "No use of a feature", "Last"]
    return ui.card(
        ui.card_head("Senders", "By write key; without keys all are one."),
        ui.table(headers, shown, label="Senders", numeric=(1, 2, 3, 4)),
        label="Senders",
    )


def _letters(rows: Sequence[Mapping[str, Any]]) -> Component:
    if not rows:
        return ui.card(ui.card_head("Refused", "Nothing waits to be mended."), label="Refused")
    shown = [[formats.words(row["reason"]), row["endpoint"], formats.whole(row["letters"])] for row in rows]
    return ui.card(
        ui.card_head(
            "Refused",
            "What was sent and could not be taken, by reason. Sent again it counts once, with its time of receipt; a"
            " dry run only says what would be accepted.",
        ),
        ui.table(["Reason", "Sent to", "Items"], shown, label="Dead letters", numeric=(2,)),
        _replay_form(sorted({row["reason"] for row in rows})),
        ui.command("quality deadletters list", "quality deadletters replay --dry-run --map status.success=ok"),
        label="Refused",
    )


def _replay_form(reasons: Sequence[str]) -> Component:
    """Sends letters again; the page leaves what is being filled in as it is while the reasons are the same."""
    options = [("", "Any"), *((reason, formats.words(reason)) for reason in reasons)]
    form = forms.write_form(
        [
            forms.choice("reason", "Reason", options),
            forms.field("mapping[]", "Mended by", hint="status.success=ok, status.fail=error"),
            forms.field("dry_run", "Dry run", kind="checkbox", value=True),
        ],
        "/api/v1/collector/deadletters/replay",
        "Send again",
        label="Send refused items again",
    )
    return html.Div(form, **{"data-keep": " ".join(reasons)})


def _topics(rows: Sequence[Mapping[str, Any]]) -> Component:
    if not rows:
        return None
    shown = [
        [
            row["topic"],
            *(formats.whole(row[name]) for name in ("partition", "end", "position", "lag")),
            "Here" if row["is_followed_here"] else "Elsewhere",
        ]
        for row in rows
    ]
    return ui.card(
        ui.card_head("Topics", "How far what was acknowledged is processed, by partition of the broker's topic."),
        ui.table(
            ["Topic", "Partition", "Records", "Processed", "Behind", "Processor"],
            shown, label="Topics", numeric=(1, 2, 3, 4),
        ),
        label="Topics",
    )  # fmt: skip


def _messages(rows: Sequence[Mapping[str, Any]]) -> Component:
    if not rows:
        return None
    names = ("source", "feature", "event_name", "status", "user_id", "device_type", "properties")
    shown = [[_moment(row["received_at"]), *(row[name] or formats.UNKNOWN for name in names)] for row in rows]
    headers = ["Received", "Sender", "Feature", "Event", "Status", "User", "Device", "Properties"]
    return ui.card(
        ui.card_head("Last events", "Of each sender, with what was mapped; what has landed is not shown any more."),
        ui.table(headers, shown, label="Last events"),
        label="Last events",
    )


def _moment(text: str | None) -> str:
    return formats.moment(datetime.fromisoformat(text)) if text else formats.UNKNOWN
