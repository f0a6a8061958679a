"""The pages of funnels: all of them by one sentence each, and one with its steps, splits and what is still open."""

from __future__ import annotations

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages.feature_parts import Component
from dash_app.pages.impact import doubt, incident_note, no_impact
from quality_assets.domain.impact import impact_words as words
from quality_assets.read import impact as queries
from quality_assets.read import links
from quality_assets.read.impact import FunnelPeriod
from quality_assets.read.impact_changes import changes
from quality_assets.read.impact_events import step_meaning
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TITLE = "Funnels"
_PARTS_COUNT = (
    "Once each, by the value at the first entry of either time: the last 28 days whose windows are over, beside the 28"
    " before"
)


def build(reader: Reader, request: Request) -> Component:
    """All funnels, or the one that the address names."""
    name = links.funnel_of(request.path)
    return _one(reader, name) if name else _all(reader)


def _all(reader: Reader) -> Component:
    head = ui.page_head(TITLE, "How many begin, how many finish, and where the others are lost.", [ui.copy_link()])
    found = queries.definitions(reader, "funnel")
    if not found or reader.through is None:
        none = ui.nothing(
            "layers" if found else "history",
            "No funnel is defined",
            "A YAML file in data/funnels names the steps; the next run builds it.",
            ui.command("quality run"),
        )
        return html.Div([head, ui.card(none if reader.through else no_impact(reader))], className="stack")
    return html.Div([head, *(_summary(reader, row) for row in found), doubt(reader)], className="stack")


def _summary(reader: Reader, row: Row) -> Component:
    link = html.A(row["name"], href=links.funnel(row["name"]))
    if row["error"]:
        return ui.card(html.H2(link), _wrong(row), label=row["name"])
    period = queries.funnel_period(reader, row["name"])
    owner = f"{row['said'].get('description') or ''} · {formats.person(row['owner'])}".strip(" ·")
    return ui.card(html.H2(link), html.P(owner, className="note"), html.P(period.sentence), label=row["name"])


def _wrong(row: Row) -> Component:
    lines = [html.P(line) for line in str(row["error"]).removeprefix("waits: ").splitlines()]
    return html.Div([html.P(html.B("It cannot be used: nothing is built of it.")), *lines], className="stack")


def _one(reader: Reader, name: str) -> Component:
    crumbs = html.Nav(
        [html.A(TITLE, href=links.FUNNELS), html.Span("/"), html.Span(name, **{"aria-current": "page"})],
        className="crumbs",
        **{"aria-label": "Breadcrumb"},
    )
    row = next((row for row in queries.definitions(reader, "funnel") if row["name"] == name), None)
    if row is None:
        known = [
            html.A(each["name"], href=links.funnel(each["name"])) for each in queries.definitions(reader, "funnel")
        ]
        text = [f"There is no funnel {name}. ", *(part for link in known for part in (link, " "))]
        return ui.nothing("search", "No such funnel", text, is_page=True)
    head = ui.page_head(name, row["said"].get("description") or "A funnel", [ui.copy_link()], crumbs)
    if row["error"]:
        return html.Div([head, ui.card(_wrong(row))], className="stack")
    period = queries.funnel_period(reader, name)
    return html.Div(
        [
            head,
            _said(reader, name, period),
            _steps(reader, name, period),
            _changed(reader, name),
            _by_day(reader, name),
            doubt(reader),
        ],
        className="stack",
    )


def _said(reader: Reader, name: str, period: FunnelPeriod) -> Component:
    counted = words.counted_sentence(period.unit) if period.steps[0].reached else ""
    still_open = words.open_sentence(period.entries_open, period.entries_recent, period.end)
    notes = (counted, still_open, period.coverage)
    met = next(
        (row for row in changes(reader) if (row["kind"], row["name"]) == ("funnel", name) and row["incident"]), None
    )
    return ui.card(
        html.P(html.B(formats.typeset(period.sentence))),
        *(html.P(formats.typeset(said), className="note") for said in notes if said),
        incident_note(met) if met else None,
        label="In a sentence",
    )


def _steps(reader: Reader, name: str, period: FunnelPeriod) -> Component:
    through = reader.through
    assert through is not None
    defined = queries.funnel(reader, name).steps
    entered = period.steps[0].reached
    body = []
    before = entered
    for number, (step, median_s) in enumerate(zip(period.steps, period.median_s, strict=True), start=1):
        unknown = words.unknown_text(step, through, period.unit)
        if unknown:
            cells = [formats.UNKNOWN, html.B(unknown), formats.UNKNOWN]
        else:
            share = step.reached / entered if entered else None
            cells = [
                formats.whole(step.reached),
                _bar(share),
                formats.share(step.reached / before) if before else formats.UNKNOWN,
            ]
        meaning = step_meaning(reader, defined[number - 1])
        body.append(
            [
                str(number),
                ui.two_lines(step.words, meaning) if meaning else step.words,
                *cells,
                words.time_text(median_s) if number > 1 else "",
            ]
        )
        before = step.reached
    note = html.Span(
        [
            "People whose window is over, once each, by their first entry in the period. From ",
            ui.asset_link(queries.ENTRIES),
        ]
    )
    return ui.card(
        ui.card_head("Steps", note, ui.csv_link("funnel", named=name)),
        ui.table(
            ("No.", "Step", "Reached", "Of all who began", "Of the step before", "Median time from the start"),
            body,
            label="Steps of the funnel",
            numeric=(2, 4, 5),
        ),
        label="Steps",
    )


def _bar(share: float | None) -> Component:
    if share is None:
        return formats.UNKNOWN
    filled = html.I(style={"width": f"{100 * share:.1f}%"})
    track = html.Div(filled, className="bar-track", style={"minWidth": "120px"}, **{"aria-hidden": "true"})
    return ui.two_lines(formats.share(share), track)


def _changed(reader: Reader, name: str) -> Component:
    rows = queries.funnel_splits(reader, name)
    if not rows:
        return None
    body = [
        [
            row["segment"],
            row["value"] if row["value"] is not None else "unknown",
            formats.whole(row["entered"]),
            formats.share(row["rate"]),
            ui.two_lines(formats.share(row["rate_before"]), f"of {formats.whole(row['entered_before'])}"),
        ]
        for row in rows
    ]
    table = ui.table(
        ("Split", "Value at entry", "Began", "Finished", "Finished before"),
        body,
        label="Parts of the funnel",
        numeric=(2, 3, 4),
    )
    told = [row["sentence"] for row in rows if row["sentence"]]
    first = html.P(html.B(f"{told[0]}.")) if told else html.P("No part of it changed by more than can be told.")
    return ui.card(
        ui.card_head("Who changed", _PARTS_COUNT),
        first,
        html.Details([html.Summary(f"All {len(body)} parts"), table], className="fold"),
        label="Who changed",
    )


def _by_day(reader: Reader, name: str) -> Component:
    rows = [row for row in queries.funnel_rows(reader, name) if row["segment"] is None]
    last = max((row["step"] for row in rows), default=0)
    days = [row for row in rows if row["step"] == last]
    if not days:
        return None
    series = {
        "Finished": [row["reached"] for row in days],
        "Lost": [row["entered"] - row["reached"] - row["open"] for row in days],
        "Still open": [row["open"] for row in days],
    }
    label = "Entries by day: finished, lost, and still open"
    return ui.card(
        ui.card_head(
            "By day of entry",
            html.Span(["Open entries are neither won nor lost. From ", ui.asset_link(queries.FUNNEL_DAYS)]),
        ),
        charts.chart(charts.stacked_bars([row["entry_date"] for row in days], series), label),
        charts.legend(("s1", "Finished"), ("s2", "Lost"), ("s3", "Still open")),
        label="By day of entry",
    )
