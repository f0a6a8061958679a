"""`/pipeline`: how the numbers are made: lineage with health, last runs, run reports, what people were told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import alert_parts, charts, lineage, ui
from quality_assets.domain.quality.health import CheckState, asset_states
from quality_assets.read import links, quality
from quality_assets.read import pipeline as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Pipeline"

_RUN_LOOKS = {
    "ok": ("good", "circle-check", "Fine"),
    "attention": ("warn", "half", "Attention"),
    "failed": ("bad", "circle-x", "Failed"),
    "unknown": ("none", "circle-question-mark", "Unknown"),
}


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    graph = queries.graph(reader)
    if not graph:
        none = ui.nothing(
            "workflow",
            "This snapshot does not say how it was made",
            "The asset graph is written at each publication. Publish once more, or look at it in Dagster.",
            ui.dagster_link("Open Dagster", links.dagster(), "button"),
        )
        head = ui.page_head(TITLE, "How the numbers are made.", [ui.copy_link()])
        return html.Div(
            [head, ui.card(none), _reports(reader), _alerts(reader), _publications(reader)], className="stack"
        )
    runs = queries.runs(reader)
    states = asset_states(
        graph,
        quality.latest(reader),
        runs,
        queries.last_partitions(reader),
        reader.through,
        queries.unbuilt(reader),
    )
    upstream = {row["asset"]: tuple(row["upstream"] or ()) for row in graph}
    chosen = request.query.get("asset")
    detail = next((row for row in graph if row["asset"] == chosen), None)
    return html.Div(
        [
            ui.page_head(
                TITLE,
                _summary(states, queries.downstream(reader)),
                [
                    html.A("Deliveries", href="/pipeline/deliveries", className="button"),
                    ui.copy_link(),
                    ui.dagster_link("Open Dagster", links.dagster("/assets"), "button"),
                ],
            ),
            ui.card(
                ui.card_head(
                    "Lineage",
                    "Health is the worst of last run, freshness and checks. Select an asset to see it below.",
                    [
                        charts.legend(("w0", "Healthy"), ("w2", "Warning"), ("w3", "Failing"), ("w1", "Unknown")),
                        ui.csv_link("assets"),
                    ],
                ),
                lineage.picture(
                    upstream, states, chosen, lambda asset: request.url(asset=asset), upstream.keys() - runs
                ),
                label="Lineage",
            ),
            _detail(detail, states, runs, upstream, request) if detail else _no_detail(chosen),
            _reports(reader),
            _runs(graph, runs, states),
            html.Div([_alerts(reader), _publications(reader)], className="grid-2"),
        ],
        className="stack",
    )


def _summary(states: Mapping[str, tuple[CheckState, str]], downstream: Mapping[str, set[str]]) -> list[Any]:
    failing = {asset for asset, (state, _) in states.items() if state == CheckState.FAILING}
    if not failing:
        return [html.B(formats.plural(len(states), "asset")), ", none of them failing."]
    behind = set().union(*(downstream[asset] for asset in failing)) - failing
    names = ", ".join(sorted(failing)[:3])
    return [
        html.B(f"{formats.plural(len(failing), 'asset')} failing"),
        f" ({names}); {formats.plural(len(behind), 'asset')} are made from them.",
    ]


def _detail(
    row: Row,
    states: Mapping[str, tuple[CheckState, str]],
    runs: Mapping[str, Row],
    upstream: Mapping[str, Sequence[str]],
    request: Request,
) -> Component:
    asset = row["asset"]
    state, words = states[asset]
    below = sorted(other for other, parents in upstream.items() if asset in parents)

    def names(assets: Sequence[str]) -> Component:
        if not assets:
            return html.Span("nothing", className="note")
        return html.Span(
            [html.A(html.Code(a), href=request.url(asset=a), style={"marginRight": "10px"}) for a in assets]
        )

    run = runs.get(asset)
    facts = {
        "Health": html.Span([ui.check_badge(state), f" {words}"]),
        "Owner": row["owner"] or "nobody is named",
        "Kind": ", ".join(row["kinds"] or ()) or formats.UNKNOWN,
        "Made from": names(list(row["upstream"] or ())),
        "Goes into": names(below),
        "Last run": _last_run(run) if run else "not recorded",
    }
    pairs = [part for name, value in facts.items() for part in (html.Dt(name), html.Dd(value))]
    close = html.A([ui.icon("x"), "Close"], href=request.url(asset=None), className="button quiet")
    tools = html.Div(
        [ui.dagster_link("Open in Dagster", links.dagster_asset(asset), "button"), close], className="tools"
    )
    return ui.card(
        ui.card_head(asset, row["description"], tools), html.Dl(pairs, className="facts"), label=f"Asset {asset}"
    )


def _no_detail(chosen: str | None) -> Component:
    """What to say where the address names an asset that the graph does not have."""
    if chosen is None:
        return None
    return html.P([ui.icon("circle-question-mark"), f"The graph has no asset {chosen}."], className="hint")


def _last_run(run: Row) -> Component:
    part = f", {_days_of(run['partition_key'])}" if run["partition_key"] else ""
    words = f"{formats.moment(run['started_at'])}, {run['status']}{part}, {formats.seconds(run['duration_s'])} "
    return html.Span([words, ui.run_link(run["run_id"])])


def _reports(reader: Reader) -> Component:
    rows = queries.reports(reader)
    head = ui.card_head(
        "Run report",
        html.Span(["What came in, what was refused, what failed. From ", ui.asset_link("monitoring.run_report"), "."]),
        ui.csv_link("run_reports"),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("inbox", "No run has reported yet", "A report is written at the end of each run."),
            label="Run report",
        )
    last = rows[0]
    figures = {
        "Rows in": formats.count(last["rows_in"]),
        "Kept": formats.count(last["rows_valid"]),
        "Quarantined": formats.count(last["rows_quarantined"]),
        "Checks failed": formats.count(last["checks_failed"]),
        "Could not run": formats.count(last["checks_unknown"]),
        "Partitions": formats.count(last["partitions_built"]),
        "Drifted": formats.count(last["inputs_drifted"]),
        "Open incidents": formats.count(last["incidents_open"]),
    }
    cells = [
        html.Div([html.Div(name, className="note"), html.Div(value, className="figure-small")])
        for name, value in figures.items()
    ]
    body = [
        [
            formats.moment(row["reported_at"]),
            ui.badge(*_RUN_LOOKS[row["status"]]),
            row["headline"],
            formats.count(row["rows_in"]),
            formats.count(row["rows_quarantined"]),
            ui.run_link(row["run_id"]),
        ]
        for row in rows
    ]
    table = ui.table(
        ["Reported", "Verdict", "In a sentence", "Rows in", "Refused", "Run"], body, label="Run reports", numeric=(3, 4)
    )
    headline = html.P([ui.badge(*_RUN_LOOKS[last["status"]]), html.B(last["headline"])], className="row")
    return ui.card(head, headline, html.Div(cells, className="figures report"), table, label="Run report")


def _runs(graph: Sequence[Row], runs: Mapping[str, Row], states: Mapping[str, tuple[CheckState, str]]) -> Component:
    head = ui.card_head(
        "Last runs",
        html.Span(["Of every asset, slowest first. From ", html.Code(queries.RUNS), "."]),
        ui.csv_link("runs"),
    )
    if not runs:
        return ui.card(
            head,
            ui.nothing("inbox", "No run is recorded", "Durations are recorded from the next publication on."),
            label="Last runs",
        )
    known = sorted(
        (row["asset"] for row in graph if row["asset"] in runs), key=lambda asset: -(runs[asset]["duration_s"] or 0)
    )
    body = [_run_row(asset, runs[asset], states[asset]) for asset in known]
    table = ui.table(
        ["Asset", "Health", "Started", "Took", "Usually", "Last runs", "Rows written", "Run"],
        body,
        label="Last runs",
        numeric=(3, 4, 6),
        class_name="runs",
    )
    return ui.card(head, table, label="Last runs")


def _run_row(asset: str, run: Row, state: tuple[CheckState, str]) -> list[Component]:
    durations = list(reversed(run["durations"] or []))
    part = _days_of(run["partition_key"])
    return [
        ui.asset_link(asset),
        ui.two_lines(ui.check_badge(state[0]), state[1]),
        ui.two_lines(formats.moment(run["started_at"]), part),
        formats.seconds(run["duration_s"]),
        formats.seconds(run["usual_duration_s"]),
        ui.spark(durations, f"Durations of {asset}", class_name="wide")
        if len(durations) > 1
        else html.Span("one run", className="note"),
        formats.count(run["row_count"]),
        ui.run_link(run["run_id"]),
    ]


def _alerts(reader: Reader) -> Component:
    rows = queries.alerts(reader)
    head = ui.card_head(
        "What people were told",
        html.Span(
            [
                "As it stood at publication, newest first. From ",
                html.Code("monitoring.alerts"),
                "; how it stands now: ",
                html.A("Alerts", href="/alerts"),
                ".",
            ]
        ),
        ui.csv_link("alerts"),
    )
    if not rows:
        return ui.card(
            head, ui.nothing("bell-ring", "No alert so far", "No run and no check has failed."), label="Alerts"
        )
    items = [
        html.Li(
            [
                alert_parts.severity_icon(row["severity"]),
                ui.two_lines(
                    [html.A(html.B(row["title"]), href=links.alert(row["alert_id"])), " ", row["message"]],
                    f"{formats.moment(row['last_seen'])} · {formats.words(row['status'])}{_partition(row)}",
                ),
                ui.run_link(row["run_id"], "Run") if row["run_id"] else None,
            ]
        )
        for row in rows
    ]
    return ui.card(head, html.Ul(items, className="incidents"), label="Alerts")


def _partition(row: Row) -> str:
    return f" · {_days_of(row['partition_key'])}" if row["partition_key"] else ""


def _days_of(partition_key: str) -> str:
    """The event dates of a run, `2026-11-18...2026-11-20`, as people write them; what is no range of dates as it is."""
    start, _, end = partition_key.partition("...")
    try:
        return f"of {formats.span(date.fromisoformat(start), date.fromisoformat(end or start))}"
    except ValueError:
        return f"of {partition_key}" if partition_key else ""


def _publications(reader: Reader) -> Component:
    rows = queries.publications(reader)
    head = ui.card_head(
        "Published snapshots",
        html.Span(["What readers were given, newest first. From ", html.Code("ops.publications"), "."]),
        ui.csv_link("publications"),
    )
    if not rows:
        return ui.card(
            head,
            ui.nothing("database", "Not recorded", "The snapshot does not list its own publication yet."),
            label="Publications",
        )
    body = [
        [
            html.Code(row["version"]),
            formats.moment(row["published_at"]),
            formats.day(row["data_through"], year=True),
            ui.run_link(row["run_id"], "Run"),
        ]
        for row in rows
    ]
    return ui.card(
        head,
        ui.table(["Version", "Published", "Data through", "Run"], body, label="Publications"),
        label="Publications",
    )
