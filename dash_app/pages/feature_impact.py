"""The impact tab of a feature's page: how many use it, take it up, finish it and come back to it."""

from __future__ import annotations

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages.experiments import lift_table
from dash_app.pages.feature_parts import Component
from dash_app.pages.impact import doubt, incident_note, no_impact
from dash_app.pages.retention import triangle
from quality_assets.read import experiments
from quality_assets.read import impact as queries
from quality_assets.read.impact_changes import adoption_changes, changes
from quality_assets.read.impact_events import changed_events, events_of
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

TAB = "tab"
IMPACT = "impact"


def is_asked(request: Request) -> bool:
    """Whether the address asks for this tab."""
    return request.query.get(TAB) == IMPACT


def tabs(request: Request) -> Component:
    """The choice between a feature's quality and its impact."""
    chosen = is_asked(request)
    return html.Nav(
        [
            html.A(
                name,
                href=request.url(tab=tab),
                className="on" if on else "",
                **({"aria-current": "page"} if on else {}),
            )
            for name, tab, on in (("Quality", None, not chosen), ("Impact", IMPACT, chosen))
        ],
        className="segments",
        **{"aria-label": "Of this feature"},
    )


def build(reader: Reader, name: str) -> Component:
    """The tab's content."""
    row = next((row for row in queries.adoption(reader) if row["feature"] == name), None)
    if row is None:
        return ui.card(no_impact(reader))
    return html.Div(
        [
            _said(reader, row),
            _lift(reader, name),
            _engagement(reader, row),
            html.Div([_adoption(reader, name), _curve(reader, name)], className="grid-2"),
            triangle(reader, name, queries.retention_kind(None)),
            doubt(reader),
        ],
        className="stack",
    )


def _said(reader: Reader, row: Row) -> Component:
    name = row["feature"]
    changed = adoption_changes(reader).get(name)
    met = next((each for each in changes(reader) if (each["kind"], each["name"]) == ("adoption", name)), None)
    lines = [
        changed or f"{formats.share(row['adoption'])} of all users used it in the last 28 days.",
        queries.retention_sentence(reader, name, "exact"),
    ]
    if row["completion_rate"] is not None:
        lines.append(
            f"{formats.share(row['completion_rate'])} of those who began finished it, on the last day that is over."
        )
    if row["k_factor"] is not None:
        lines.append(
            f"{row['k_factor']:.2f} new users came by invitation of each who shared (K), on the last day that is over."
        )
    said = (html.P(html.B(formats.typeset(line))) for line in lines)
    return ui.card(*said, incident_note(met) if met else None, label="In a sentence")


def _engagement(reader: Reader, row: Row) -> Component:
    """How deep a session goes, beside the events that make it up: a new event makes it longer, and nobody keener."""
    name = row["feature"]
    events = events_of(reader, name)
    body = [
        [
            html.Code(each["event_name"]),
            each["words"] or formats.UNKNOWN,
            each["signal"] or formats.UNKNOWN,
            formats.count(each["events"]),
            formats.day(each["last_seen_date"], year=True) if each["last_seen_date"] else "never seen",
        ]
        for each in events
    ]
    depth = f"{formats.decimal(row['events_per_session'], 1)} events a session"
    if row["duration_median_s"] is not None:
        lasted = formats.seconds(row["duration_median_s"])
        depth += f", {lasted} from its first to its last (median of those with two or more)"
    changed = changed_events(reader, name)
    note = f"{'; '.join(changed)}: figures of sessions move with that, not with people." if changed else ""
    return ui.card(
        ui.card_head("Engagement", html.Span(["On the last day. From ", ui.asset_link(queries.ENGAGEMENT)])),
        html.P(html.B(f"{depth}.")),
        html.P(formats.typeset(note), className="note") if note else None,
        ui.table(("Event", "In words", "Signal", "Events", "Last seen"), body, label="Its events", numeric=(3,)),
        label="Engagement",
    )


def _lift(reader: Reader, name: str) -> Component:
    rows, crashes = experiments.lift(reader, name), experiments.crash_costs(reader)
    if not rows and not crashes:
        return None
    head = ui.card_head(
        "Does it bring people back?",
        "Those who took it up against similar people of the same day, held against all other features. Once a week.",
    )
    said = [html.P([html.B("Crashes of the whole product. "), row["reason"]]) for row in crashes]
    sources = [ui.asset_link(table) for table in ("impact.lift_estimates", "impact.crash_costs")]
    return ui.card(
        head,
        lift_table(rows) if rows else None,
        *said,
        html.Div([sources[0], " ", sources[1]]),
        label="Lift",
    )


def _adoption(reader: Reader, name: str) -> Component:
    rows = queries.adoption_days(reader, name)
    series = {
        "28 days": [row["mau"] / row["all_mau"] if row["all_mau"] else None for row in rows],
        "the day": [row["users"] / row["all_users"] if row["all_users"] else None for row in rows],
    }
    figure = charts.line_chart([row["event_date"] for row in rows], series, "fraction")
    return ui.card(
        ui.card_head("Adoption", html.Span(["Share of all users. From ", ui.asset_link(queries.ADOPTION)])),
        charts.chart(figure, f"Adoption of {name} by day"),
        charts.legend(("s1", "In 28 days"), ("s2", "On the day")),
        label="Adoption",
    )


def _curve(reader: Reader, name: str) -> Component:
    rows = queries.adoption_curve(reader, name)
    months = sorted({row["cohort_month"] for row in rows})[-3:]
    days = sorted({row["day_n"] for row in rows})
    series = {}
    for month in months:
        by_day = {row["day_n"]: row["share"] for row in rows if row["cohort_month"] == month}
        series[f"{month:%b %Y}"] = [by_day.get(day) for day in days]
    note = html.Span(
        [
            "Who has taken it up so many days after joining, or after its launch. From ",
            ui.asset_link("impact.adoption_curve"),
        ]
    )
    return ui.card(
        ui.card_head("Time to adopt", note),
        charts.chart(
            charts.line_chart(days, series, "fraction", xaxis=charts.whole_days(days)),
            f"Share that has adopted {name} by days since joining",
        ),
        charts.legend(*((f"s{n}", month) for n, month in enumerate(series, start=1))),
        label="Time to adopt",
    )
