"""The impact page: what changed in how people use the product, in sentences first, then every feature in a table."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.components.markup import drawn
from dash_app.pages.feature_parts import Component
from quality_assets.domain.wording import capitalised
from quality_assets.read import experiments, links
from quality_assets.read import impact as queries
from quality_assets.read import impact_changes as changes
from quality_assets.read import overview as all_features
from quality_assets.read.impact_events import catalogue_by_name
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TITLE = "Impact"
_LEAD = "What changed in how people use the product."
_FIRST = 6


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    rows = queries.adoption(reader)
    head = ui.page_head(TITLE, _LEAD, [ui.copy_link()])
    if not rows:
        return html.Div([head, ui.card(no_impact(reader))], className="stack")
    return html.Div(
        [head, _changes(reader), _table(reader, rows), _events(reader)],
        className="stack",
    )


def no_impact(reader: Reader) -> Component:
    """What stands where no impact table has rows yet."""
    if queries.is_anonymous(reader):
        return ui.nothing(
            "users",
            "No event names its user",
            "Adoption, retention, funnels and segments are of people. A source's file in data/sources says which column"
            " holds user_id; what was read before is read again by it.",
            ui.command("quality reread --source NAME"),
        )
    return ui.nothing(
        "users",
        "Nothing is known of use yet",
        "Adoption, retention and funnels follow from events that name their user; a run builds them.",
        ui.command("quality run"),
    )


def doubt(reader: Reader) -> Component:
    """That numbers of some days stand on data that a blocking check does not pass; nothing where all pass."""
    days = sorted(queries.doubtful_days(reader))
    if not days:
        return None
    said = ", ".join(map(formats.day, days[-3:]))
    return html.P(
        [
            ui.icon("triangle-alert"),
            f" A blocking check fails on {formats.plural(len(days), 'day')} ({said}): what they say may be wrong. ",
            html.A("See the checks", href="/data-quality"),
        ],
        className="note",
    )


def _changes(reader: Reader) -> Component:
    found = changes.changes(reader)
    if not found and not any(row["all_mau_before"] for row in queries.adoption(reader)):
        few = "What changed is not known yet: 28 days are held against the 28 before, and there are not as many."
        return html.Div(
            [html.Div([ui.icon("circle-question-mark"), few], className="card calm unsure"), doubt(reader)],
            className="stack",
        )
    if not found:
        quiet = [ui.icon("circle-check"), "Nobody uses a feature, or finishes a funnel, otherwise than a month ago."]
        return html.Div([html.Div(quiet, className="card calm"), doubt(reader)], className="stack")
    first, rest = found[:_FIRST], found[_FIRST:]
    more = rest and html.Details(
        [
            html.Summary(f"{formats.plural(len(rest), 'more change')}"),
            drawn(html.Div(list(map(_change, rest)), className="grid-2")),
        ],
        className="fold",
    )
    head = html.Div([html.H2("What changed"), ui.csv_link("changes")], className="between")
    return html.Div(
        [head, html.Div(list(map(_change, first)), className="grid-2"), more or None, doubt(reader)], className="stack"
    )


def _change(row: Row) -> Component:
    rest = str(row["sentence"]).removeprefix(row["name"])
    said = html.P([html.B(html.A(row["name"], href=row["href"])), formats.typeset(rest)])
    return ui.card(said, incident_note(row), label=f"{row['kind']} {row['name']}")


def incident_note(row: Row) -> Component:
    """The open incident that a fall of a row of `changes` meets, with the way to it; nothing where it meets none."""
    if row["incident"] is None:
        return None
    link = html.A(row["incident"], href=links.feature(row["incident_feature"]))
    return html.P([ui.icon("triangle-alert"), " Open incident: ", link], className="note")


def _table(reader: Reader, rows: Sequence[Row]) -> Component:
    lifts = {row["feature"]: row["verdict"] for row in experiments.lift(reader) if row["outcome"].startswith("return_")}
    statuses = {row["feature"]: row["status"] for row in all_features.features(reader, 28)}
    headers = (
        *("Feature", "Adoption, 28 days", "Trend", "Quality", "Brings people back", "New", "Again in 7 days"),
        *("Stickiness", "Finished", "Events a session", "Time"),
    )
    body = [
        [
            html.A(row["feature"], href=links.feature(row["feature"], {"tab": "impact"})),
            ui.two_lines(formats.share(row["adoption"]), _was(row["adoption_before"])),
            ui.spark(row["spark"] or [], f"Adoption of {row['feature']} in 28 days"),
            ui.status_badge(statuses[row["feature"]]) if row["feature"] in statuses else formats.UNKNOWN,
            capitalised(lifts[row["feature"]]) if row["feature"] in lifts else formats.UNKNOWN,
            formats.count(row["new_adopters"]),
            formats.share(row["second_use_7d"]),
            formats.share(row["stickiness"]),
            formats.share(row["completion_rate"]),
            formats.decimal(row["events_per_session"], 1),
            formats.seconds(row["duration_median_s"]),
        ]
        for row in rows[: ui.MOST_ROWS]
    ]
    note = html.Span(
        [
            "Of all users of the last 28 days, beside the 28 days before; Finished and sessions are of the last day. ",
            f"{_EVERYBODY_IS_NEW} " if queries.is_young(reader) else "",
            "From ",
            ui.asset_link(queries.ADOPTION),
            " and ",
            ui.asset_link(queries.ENGAGEMENT),
            ui.cut_note(rows),
        ]
    )
    return ui.card(
        ui.card_head("Every feature", note, ui.csv_link("adoption")),
        ui.table(headers, body, label="Features by adoption", numeric=(5, 6, 7, 8, 9, 10)),
        label="Every feature",
    )


_EVERYBODY_IS_NEW = "New counts people who were already there: in the first 28 days of the data everybody is new."


def _was(before: float | None) -> str:
    return f"{formats.share(before)} before" if before is not None else "before: not known"


def _events(reader: Reader) -> Component:
    rows = catalogue_by_name(reader)
    if not rows:
        return None
    body = [
        [
            ui.two_lines(html.Code(row["event_name"]), row["feature"])
            if row["features"] == 1
            else html.Code(row["event_name"]),
            row["words"],
            row["signal"] or formats.UNKNOWN,
            formats.whole(row["features"]),
            formats.count(row["events"]),
            formats.day(row["last_seen_date"], year=True) if row["last_seen_date"] else "never seen",
        ]
        for row in rows
    ]
    return ui.card(
        ui.card_head(
            "What events stand for",
            html.Span(["From events.yaml and ", ui.asset_link(queries.EVENT_DAYS)]),
            ui.csv_link("events"),
        ),
        ui.table(
            ("Event", "In words", "Signal", "Features", "Events", "Last seen"),
            body,
            label="Event catalogue",
            numeric=(3, 4),
        ),
        label="What events stand for",
    )
