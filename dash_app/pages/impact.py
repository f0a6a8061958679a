"""The impact page: what changed in how people use the product, in sentences first, then every feature in a table."""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from dash_app import formats
from dash_app.components import ui
from dash_app.pages.feature_parts import Component
from quality_assets.read import impact as queries
from quality_assets.read import links
from quality_assets.read import overview as all_features
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TITLE = "Impact"
_LEAD = "What changed in how people use the product."


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    rows = queries.adoption(reader)
    head = ui.page_head(TITLE, _LEAD, [ui.copy_link()])
    if not rows:
        return html.Div([head, ui.card(no_impact())], className="stack")
    return html.Div(
        [head, _changes(reader, rows), _table(reader, rows), _events(reader)],
        className="stack",
    )


def no_impact() -> Component:
    """What stands where no impact table has rows yet."""
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


def _changes(reader: Reader, rows: Sequence[Row]) -> Component:
    cards = [_change(sentence, href) for _, sentence, href in sorted(_told(reader, rows), key=lambda each: -each[0])]
    if not cards:
        quiet = [ui.icon("circle-check"), "Nobody uses a feature, or finishes a funnel, otherwise than a month ago."]
        return html.Div([html.Div(quiet, className="card calm"), doubt(reader)], className="stack")
    return html.Div(
        [html.H2("What changed"), html.Div(cards[:6], className="grid-2"), doubt(reader)], className="stack"
    )


def _change(sentence: str, href: str) -> Component:
    return html.A(html.P(formats.typeset(sentence)), href=href, className="card")


def _told(reader: Reader, rows: Sequence[Row]) -> list[tuple[float, str, str]]:
    """(people, sentence, address) of every change; the people are how many more or fewer than before."""
    told = []
    for row in rows:
        said = queries.adoption_change(reader, row)
        if said:
            moved = abs(row["adoption"] - row["adoption_before"]) / row["adoption"] if row["adoption"] else 1.0
            told.append((moved * row["mau"], said, links.feature(row["feature"], {"tab": "impact"})))
    for funnel in queries.definitions(reader, "funnel"):
        if funnel["error"] is None:
            told += [
                (split["people"], f"{funnel['name']}: {split['sentence']}.", links.funnel(funnel["name"]))
                for split in queries.funnel_splits(reader, funnel["name"])
                if split["sentence"]
            ]
            change = queries.funnel_change(reader, funnel["name"])
            if change is not None:
                told.append((*change, links.funnel(funnel["name"])))
    return told


def _table(reader: Reader, rows: Sequence[Row]) -> Component:
    statuses = {row["feature"]: row["status"] for row in all_features.features(reader, 28)}
    headers = (
        *("Feature", "Adoption, 28 days", "Trend", "New", "Used again in 7 days", "Stickiness", "Finished"),
        *("Events a session", "Time", "Quality"),
    )
    body = [
        [
            html.A(row["feature"], href=links.feature(row["feature"], {"tab": "impact"})),
            ui.two_lines(formats.share(row["adoption"]), _was(row["adoption_before"])),
            ui.spark(row["spark"] or [], f"Adoption of {row['feature']} in 28 days"),
            formats.count(row["new_adopters"]),
            formats.share(row["second_use_7d"]),
            formats.share(row["stickiness"]),
            formats.share(row["completion_rate"]),
            formats.decimal(row["events_per_session"], 1),
            formats.seconds(row["duration_median_s"]),
            ui.status_badge(statuses[row["feature"]]) if row["feature"] in statuses else formats.UNKNOWN,
        ]
        for row in rows
    ]
    note = html.Span(
        [
            "Of all users of the last 28 days, beside the 28 days before. From ",
            ui.asset_link(queries.ADOPTION),
            " and ",
            ui.asset_link(queries.ENGAGEMENT),
        ]
    )
    return ui.card(
        ui.card_head("Every feature", note, ui.csv_link("adoption")),
        ui.table(headers, body, label="Features by adoption", numeric=(3, 4, 5, 6, 7, 8)),
        label="Every feature",
    )


def _was(before: float | None) -> str:
    return f"{formats.share(before)} before" if before is not None else "before: not known"


def _events(reader: Reader) -> Component:
    rows = [row for row in queries.catalogue(reader) if row["words"]]
    if not rows:
        return None
    body = [
        [
            html.Code(row["event_name"]),
            row["words"],
            row["signal"] or formats.UNKNOWN,
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
        ui.table(("Event", "In words", "Signal", "Events", "Last seen"), body, label="Event catalogue", numeric=(3,)),
        label="What events stand for",
    )
