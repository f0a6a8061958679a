"""`/live`: today so far, asked of the collector every second; and the strip of it on the overview.

Today is shown and never built: nothing of it is in facts, incidents or risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import ui
from quality_assets.clock import utc_now
from quality_assets.read import links
from quality_assets.read import live as queries
from quality_assets.read.links import Request
from quality_assets.read.live import Down, FeatureToday
from quality_assets.read.reader import Reader
from quality_assets.settings import Settings

Component = Any
TITLE = "Today so far"
BODY = "live-body"
_EACH_MS, _STRIP_EACH_MS = 1_000, 5_000
_STEPS = 12

_STATES = {
    "low": ("bad", "triangle-alert", "Fewer than usual"),
    "high": ("watch", "eye", "More than usual"),
    "usual": ("good", "circle-check", "As usual"),
    "unknown": ("none", "circle-question-mark", "No past yet"),
}


def build(_reader: Reader | None, _request: Request) -> Component:
    """The page, whose content comes after it."""
    return html.Div(
        [
            ui.page_head(
                TITLE,
                "What has come in since midnight UTC, as the collector counts it. Provisional: late events still add to"
                " it. A day is final when it is over and built; only then it counts in metrics, incidents and risk.",
                [ui.copy_link()],
            ),
            ui.asked_again(BODY, "/parts/today", _EACH_MS),
        ]
    )


def body(reader: Reader | None, settings: Settings) -> Component:
    """What has come in by now."""
    today = queries.ask(settings, "/live/today")
    if isinstance(today, Down):
        return _down(today)
    now = utc_now()
    found = queries.features_today(reader, today, now)
    return html.Div(
        [
            _figures(today, found),
            _silences(found),
            _features(found) if found else _nothing_yet(),
            _steps(today["steps"]),
            html.P(_how_current(today, now), className="note"),
        ],
        className="stack",
    )


def strip_place() -> Component:
    """Where the overview shows today so far, in a line."""
    return ui.asked_again("live-strip", "/parts/strip", _STRIP_EACH_MS)


def strip(settings: Settings) -> Component:
    """Today in a line; nothing where there was never a collector."""
    today = queries.ask(settings, "/live/today")
    if isinstance(today, Down):
        if today.since is None:
            return None
        said: list[Any] = [ui.badge("warn", "half", "Collector down"), f" since {formats.moment(today.since)}"]
    else:
        said = [
            html.B("Today so far: "),
            f"{formats.whole(today['events'])} events of {formats.whole(today['users'])} users,"
            f" {formats.whole(today['errors'])} errors, {formats.whole(today['crashes'])} crashes (provisional)",
        ]
    return html.A(said, href="/live", className="card live-strip")


def _down(down: Down) -> Component:
    if down.since is None:
        return ui.card(
            ui.nothing(
                "activity",
                "No collector has run here yet",
                "Events that are sent over HTTP are shown here seconds later.",
                ui.command("quality collect"),
            )
        )
    return ui.card(
        ui.nothing(
            "circle-x",
            f"Collector down since {formats.moment(down.since)}",
            f"Nothing can be said of today until it runs ({down.reason}). What it had acknowledged is kept, and senders"
            " that repeat lose nothing.",
            ui.command("quality collect"),
        )
    )


def _figures(today: Mapping[str, Any], found: Sequence[FeatureToday]) -> Component:
    known = [each.so_far for each in found if each.so_far.total is not None]
    expected = sum(each.expected or 0.0 for each in known)
    total = sum(each.total or 0.0 for each in known)
    usual = f"{formats.whole(round(expected))} usual by now" if known else "What is usual is not known yet"
    unusual = sum(each.so_far.state in ("low", "high") for each in found)
    return html.Div(
        [
            ui.figure_card("Events", "activity", formats.whole(today["events"]), note=usual),
            ui.figure_card("Users", "users", formats.whole(today["users"]), note="Who used any feature today"),
            ui.figure_card("Errors", "triangle-alert", formats.whole(today["errors"]), note=_of(today, "errors")),
            ui.figure_card("Crashes", "flame", formats.whole(today["crashes"]), note=_of(today, "crashes")),
            ui.figure_card(
                "The whole day",
                "gauge",
                formats.whole(round(total)) if known else formats.UNKNOWN,
                note=f"Expected in all; {formats.plural(unusual, 'feature')} not as usual",
            ),
        ],
        className="figures",
    )


def _of(today: Mapping[str, Any], name: str) -> str:
    return f"{formats.percent(today[name] / today['events'])} of events" if today["events"] else "No event yet"


def _silences(found: Sequence[FeatureToday]) -> Component:
    silent = [each for each in found if each.silent_minutes is not None]
    if not silent:
        return None
    lines = [
        html.Li(
            f"{each.row['feature']}: nothing for {formats.plural(each.silent_minutes or 0, 'minute')}, in which"
            f" {formats.whole(round(each.usual_in_silence or 0))} events are usual"
        )
        for each in silent
    ]
    return html.Div(
        [ui.icon("circle-x"), html.Div([html.B("Silent beyond chance. "), html.Ul(lines)])],
        className="banner bad",
        role="alert",
    )


def _features(found: Sequence[FeatureToday]) -> Component:
    numbers = ["Events", "Usual by now", "Whole day", "Users", "Errors", "Crashes", "p95"]
    headers = ["Feature", "State", *numbers, "Last event"]
    return ui.card(
        ui.card_head(
            "By feature",
            "Usual by now is the mean of the last four same weekdays; nine days in ten lie in its band. The whole day"
            " is what has come, and the rest as much as today says.",
        ),
        ui.table(headers, [_row(each) for each in found], label="Features today", numeric=(2, 3, 4, 5, 6, 7, 8)),
        label="By feature",
    )


def _row(each: FeatureToday) -> list[Any]:
    row, so_far = each.row, each.so_far
    name = row["feature"]
    return [
        html.A(name, href=links.feature(name)),
        ui.badge(*_STATES[so_far.state]),
        formats.whole(row["events"]),
        _with_band(so_far.expected, so_far.lower, so_far.upper),
        _with_band(so_far.total, so_far.total_lower, so_far.total_upper),
        formats.whole(row["users"]),
        formats.whole(row["errors"]),
        formats.whole(row["crashes"]),
        formats.duration(row["p95_latency_ms"]),
        _last(each),
    ]


def _with_band(value: float | None, lower: float | None, upper: float | None) -> Any:
    if value is None or lower is None or upper is None:
        return formats.UNKNOWN
    return ui.two_lines(formats.whole(round(value)), f"{formats.whole(round(lower))} to {formats.whole(round(upper))}")


def _last(each: FeatureToday) -> Any:
    last = each.row["last_event_at"]
    said = formats.moment(datetime.fromisoformat(last)) if last else "None today"
    if each.minutes_to_notice is None:
        return said
    return ui.two_lines(said, f"Silence would be noticed after {formats.plural(each.minutes_to_notice, 'minute')}")


def _steps(steps: Sequence[Mapping[str, Any]]) -> Component:
    if not steps:
        return None
    rows = [[step["event_name"], formats.whole(step["users"])] for step in steps[:_STEPS]]
    return ui.card(
        ui.card_head("Users by step", "How many users did each event today; funnels are made of these steps."),
        ui.table(["Event", "Users"], rows, label="Users by step", numeric=(1,)),
        label="Users by step",
    )


def _nothing_yet() -> Component:
    return ui.card(
        ui.nothing("activity", "No event yet today", "The collector runs, and nothing has come since midnight UTC.")
    )


def _how_current(today: Mapping[str, Any], now: datetime) -> str:
    landing = today["landing"]
    known = today["known_until"]
    last = f"The last event was processed at {formats.moment(datetime.fromisoformat(known))}. " if known else ""
    return f"{last}Asked at {now:%H:%M:%S} UTC. {formats.plural(landing['waiting_events'], 'event')} not landed yet."
