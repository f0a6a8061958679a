"""`/data-quality`: which checks fail, what they block, what is quarantined and why, and whether all of it arrived."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.components.markup import drawn
from quality_assets.domain.quality import health
from quality_assets.domain.quality.health import STATE_ORDER, CheckState
from quality_assets.domain.quality.sql_checks import SQL_CHECKS
from quality_assets.domain.wording import measure_texts
from quality_assets.read import pipeline
from quality_assets.read import quality as queries
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Data quality"
DIMENSIONS = ("completeness", "uniqueness", "validity", "consistency", "timeliness", "volume", "accuracy")

_MAX_REASONS = 5
_EXAMPLES = 10
_UNITS = {(check.subject.name, check.name): check.unit for check in SQL_CHECKS}


def build(reader: Reader, request: Request) -> Component:
    """The page."""
    results = queries.latest(reader)
    days = request.days
    head = ui.page_head(TITLE, _summary(results), [ui.window_links(request), ui.copy_link()])
    if not results:
        none = ui.nothing(
            "shield-check",
            "No check has run yet",
            "Nothing is known of the quality of this data, so no score is shown. "
            "Checks run with their assets: materialize one.",
            ui.command("quality run"),
        )
        return html.Div([head, ui.card(none), *_arrivals(reader, request)], className="stack")
    return html.Div(
        [
            head,
            _dimensions(reader, results, days),
            _needs_look(reader, results, days),
            _heat(reader, results, days),
            *_arrivals(reader, request),
        ],
        className="stack",
    )


def _summary(results: Sequence[Row]) -> list[Any]:
    failing, warning, unknown, passing = health.tally(results)
    if not results:
        return ["Which checks fail, what they block, and what is quarantined."]
    parts = [f"{formats.plural(failing, 'check')} failing"] * bool(failing) + [
        formats.plural(warning, "warning")
    ] * bool(warning)
    said = ", ".join(parts) or "No check is failing"
    also = f", {formats.whole(unknown)} {health.UNANSWERED}" if unknown else ""
    return [
        html.B(said),
        f" by the last result of each. {formats.whole(passing)} of {formats.whole(len(results))} passed{also}.",
    ]


def _arrivals(reader: Reader, request: Request) -> list[Component]:
    score, quarantine = _score(reader, request.days), _quarantine_chart(reader, request.days)
    return [
        html.Div([score, quarantine], className="grid-2"),
        _quarantine_rows(reader, request),
        _volume(reader),
        _files(reader),
    ]


def _dimensions(reader: Reader, results: Sequence[Row], days: int) -> Component:
    history: dict[str, dict[date, int]] = {}
    for row in queries.worst_by_dimension(reader, days):
        history.setdefault(row["dimension"], {})[row["day"]] = row["worst"]
    known = [d for d in DIMENSIONS if any(row["dimension"] == d for row in results)]
    other = sorted({row["dimension"] for row in results} - set(DIMENSIONS))
    missing = [d for d in DIMENSIONS if d not in known and d != "accuracy"]
    cards = [
        _dimension(d, [row for row in results if row["dimension"] == d], history.get(d, {}), reader.through, days)
        for d in (*known, *other, *missing)
    ]
    return html.Div(cards, className="figures narrow")


def _dimension(
    name: str, results: Sequence[Row], history: Mapping[date, int], through: date | None, days: int
) -> Component:
    failing, warning, unknown, _ = health.tally(results)
    score = queries.mean_points(results)
    if score is None:
        value, said, tone = formats.UNKNOWN, health.UNANSWERED if results else "not checked", ""
    else:
        value = formats.score(score)
        if failing or warning:
            said, tone = (f"{failing} failing", "bad") if failing else (formats.plural(warning, "warning"), "warn")
        else:
            said, tone = (f"{unknown} {health.UNANSWERED}", "") if unknown else ("passing", "good")
    shown = min(days, 28)
    cells = [history.get(through - timedelta(days=shown - 1 - i), -1) for i in range(shown)] if through else []
    return html.Div(
        [
            html.Div(
                [html.Span(formats.words(name), className="figure-label"), html.Span(value, className="figure-small")],
                className="between",
            ),
            ui.strip(cells, f"{formats.words(name)}, day by day"),
            html.Div(
                [
                    html.Span(formats.plural(len(results), "check") if results else "no check", className="note"),
                    ui.delta(said, tone),
                ],
                className="between",
            ),
        ],
        className="card figure-card",
    )


def _needs_look(reader: Reader, results: Sequence[Row], days: int) -> Component:
    bad = health.needing_a_look(results)
    head = ui.card_head(
        "Needs a look", "Checks whose last result is not a pass, failing ones first", ui.csv_link("checks")
    )
    if not bad:
        calm = ui.nothing("circle-check", "All checks pass", "Every check that ran last passed.")
        return ui.card(head, calm, label="Needs a look")
    history: dict[tuple[str, str], list[int]] = {}
    for row in queries.worst_by_check(reader, max(days, 28)):
        history.setdefault((row["asset"], row["check_name"]), []).append(row["worst"])
    downstream = pipeline.downstream(reader)
    rows = [_check_row(row, history.get((row["asset"], row["check_name"]), []), downstream) for row in bad[:40]]
    table = ui.table(
        ["State", "Check and finding", "Dimension", "Last results", "Observed", "For", "Blocks", "Run"],
        rows,
        label="Checks that need a look",
        numeric=(4,),
    )
    more = html.P(f"{len(bad) - 40} more are in the CSV.", className="note") if len(bad) > 40 else None
    return ui.card(head, table, more, label="Needs a look")


def _check_row(row: Row, history: Sequence[int], downstream: Mapping[str, set[str]]) -> list[Component]:
    recent = list(history)[-28:]
    name = html.Div(
        [
            html.Div([html.B(formats.words(row["check_name"])), " ", ui.asset_link(row["asset"])]),
            html.Div(row["description"], className="note"),
            _examples(row["examples"]),
        ]
    )
    return [
        ui.check_badge(health.check_state(row)),
        name,
        formats.words(row["dimension"]),
        ui.strip(recent, "Last results"),
        _measured(row),
        html.Span(formats.plural(health.days_bad(recent), "day"), className="nowrap"),
        _blocks(row, downstream.get(row["asset"], set())),
        ui.run_link(row["run_id"]),
    ]


def _measured(row: Row) -> Component:
    if row["observed"] is None:
        return formats.UNKNOWN
    unit = "expectation" if row["check_name"].startswith("expectations_") else ""
    seen, held = measure_texts(row["observed"], row["threshold"], _UNITS.get((row["asset"], row["check_name"]), unit))
    return ui.two_lines(seen, f"against {held}" if row["threshold"] is not None else "")


def _examples(text: str | None) -> Component:
    if not text or text in ("[]", "null"):
        return None
    return html.Details(
        [html.Summary("Examples", className="note"), html.Code(text[:600], className="raw", tabIndex="0")]
    )


def _blocks(row: Row, below: set[str]) -> Component:
    if not row["is_blocking"]:
        return html.Span("nothing", className="note")
    if row["status"] == "passed":
        return html.Span("nothing now", className="note")
    listed = ", ".join(sorted(below)) or "publication"
    return html.Span(f"publication and {formats.plural(len(below), 'asset')}" if below else "publication", title=listed)


def _heat(reader: Reader, results: Sequence[Row], days: int) -> Component:
    if reader.through is None:
        return None
    by_asset: dict[str, dict[date, Row]] = {}
    for row in queries.worst_by_asset(reader, days):
        by_asset.setdefault(row["asset"], {})[row["day"]] = row
    dates = [reader.through - timedelta(days=days - 1 - i) for i in range(days)]
    now = {
        asset: health.worst(health.check_state(r) for r in results if r["asset"] == asset)
        for asset in {r["asset"] for r in results}
    }
    order = sorted(now, key=lambda asset: (STATE_ORDER[now[asset]], asset))
    legend = charts.legend(
        ("w0", "Passed"), ("w2", "Warned"), ("w3", "Failed"), ("w1", "Could not run"), ("wx", "No check")
    )
    grid = [
        html.Div("Asset", className="note"),
        html.Div(
            [html.Span(formats.day(dates[0])), html.Span(formats.day(dates[-1]))], className="note ends wide-only"
        ),
        html.Div("Points", className="note num wide-only"),
        html.Div("Now", className="note"),
    ]
    for asset in order:
        grid += _heat_row(asset, by_asset.get(asset, {}), dates, now[asset])
    return ui.card(
        ui.card_head(
            "Every asset, every day",
            html.Span(["One square a day: the worst check of that day's partition. From ", html.Code(queries.CHECKS)]),
            [legend, ui.csv_link("checks_by_day", window=f"{days}d")],
        ),
        html.Div(
            drawn(html.Div(grid, className="heat")),
            className="scroll-x",
            tabIndex="0",
            role="region",
            **{"aria-label": "Results by asset and day"},
        ),
        label="Every asset, every day",
    )


def _heat_row(asset: str, found: Mapping[date, Row], dates: Sequence[date], now: CheckState) -> list[Component]:
    score = queries.mean_score([found[day] for day in dates if day in found])
    words = {3: "failed", 2: "warned", 1: health.UNANSWERED, 0: "passed"}
    cells = []
    for day in dates:
        row = found.get(day)
        worst = row["worst"] if row else -1
        cells.append(
            html.Span(
                className=f"cell w{worst if worst >= 0 else 'x'}",
                title=f"{formats.day(day)}: {words.get(worst, 'no check')}",
            )
        )
    failed = sum(1 for day in dates if day in found and found[day]["worst"] == 3)
    label = f"{asset}: failed on {failed} of {len(dates)} days"
    return [
        ui.asset_link(asset),
        html.Div(
            cells, className="heat-cells" + (" dense" if len(dates) > 40 else ""), role="img", **{"aria-label": label}
        ),
        html.Div(formats.score(score), className="num wide-only"),
        ui.check_badge(now),
    ]


def _score(reader: Reader, days: int) -> Component:
    rows = queries.score_by_day(reader, days)
    now = queries.score_now(reader)
    note = "The share of cells of a day's events that nothing doubts, as of datasets. Below, by dimension."
    if not any(row["score"] is not None for row in rows) or reader.through is None:
        empty = ui.nothing("circle-question-mark", "No score", "Where no event came there is no score.")
        return ui.card(ui.card_head("Quality score", note), empty, label="Quality score")
    lowest = min(row["score"] for row in rows if row["score"] is not None)
    room = max((1 - lowest) * 0.1, 1e-5)
    figure = charts.line_chart(
        [row["day"] for row in rows],
        {"Score": [row["score"] for row in rows]},
        "score",
        x_range=charts.day_range(reader.through, days),
        texts={"Score": [formats.share_of_cells(row["score"]) for row in rows]},
        # No score is above 1, and a straight line has no scale of its own.
        yaxis={"range": [max(0.0, lowest - room), 1 + room], "tickformat": ".4f"},
    )
    said = [f"{formats.words(name)} {formats.share_of_cells(v)}" for name, v in rows[-1]["dimensions"].items()]
    head = ui.card_head("Quality score", note, html.Span(formats.share_of_cells(now), className="figure-small"))
    label = f"Quality score, now {formats.share_of_cells(now)}, over {days} days"
    return ui.card(head, charts.chart(figure, label), html.P(" · ".join(said), className="note"), label="Quality score")


def _quarantine_chart(reader: Reader, days: int) -> Component:
    rows = queries.quarantine_by_day(reader, days)
    note = html.Span(["Held back with a reason, replayable · ", ui.asset_link(queries.QUARANTINE)])
    if not rows or reader.through is None:
        has_table = reader.has(queries.QUARANTINE)
        text = (
            f"No row of the last {days} days broke the contract."
            if has_table
            else "The snapshot has no quarantine yet."
        )
        return ui.card(
            ui.card_head("Quarantined rows", note),
            ui.nothing("circle-check" if has_table else "inbox", "Nothing is quarantined", text),
            label="Quarantined rows",
        )
    totals: dict[str, int] = {}
    for row in rows:
        totals[row["reason"]] = totals.get(row["reason"], 0) + row["rows"]
    top = sorted(totals, key=lambda reason: -totals[reason])[
        : _MAX_REASONS - 1 if len(totals) > _MAX_REASONS else _MAX_REASONS
    ]
    dates = [reader.through - timedelta(days=days - 1 - i) for i in range(days)]
    series = {formats.words(reason): [0] * days for reason in top} | (
        {"Other reasons": [0] * days} if len(top) < len(totals) else {}
    )
    for row in rows:
        name = formats.words(row["reason"]) if row["reason"] in top else "Other reasons"
        series[name][dates.index(row["event_date"])] += row["rows"]
    last = sum(values[-1] for values in series.values())
    figure = charts.stacked_bars(dates, series, x_range=charts.day_range(reader.through, days))
    head = ui.card_head(
        "Quarantined rows",
        note,
        [
            html.Span(formats.count(last), className="figure-small"),
            html.Span(f"on {formats.day(reader.through)}", className="note"),
        ],
    )
    legend = charts.series_legend(series)
    label = f"Quarantined rows by first reason, {formats.whole(sum(totals.values()))} in {days} days"
    return ui.card(head, charts.chart(figure, label), legend, label="Quarantine by day")


def _quarantine_rows(reader: Reader, request: Request) -> Component:
    reasons = queries.quarantine_reasons(reader, request.days)
    if not reasons:
        return None
    asked = request.query.get("reason")
    chips = [html.A("All reasons", href=request.url(reason=None), className="" if asked else "on")]
    chips += [
        html.A(
            f"{formats.words(row['reason'])} {formats.count(row['rows'])}",
            href=request.url(reason=row["reason"]),
            className="on" if row["reason"] == asked else "",
        )
        for row in reasons
    ]
    found = queries.quarantine_rows(reader, request.days, asked, _EXAMPLES)
    body = [
        [
            formats.day(row["event_date"]),
            ui.two_lines(html.Code(row["path"] or row["file_id"]), f"line {formats.whole(row['line_number'])}"),
            ui.two_lines(", ".join(formats.words(reason) for reason in row["reasons"]), row["feature"] or "no feature"),
            html.Code(_raw(row["raw_row"]), className="raw", tabIndex="0"),
        ]
        for row in found
    ]
    rows = (
        ui.table(["Day", "File and line", "Reasons", "As it arrived"], body, label="Quarantined rows")
        if found
        else ui.nothing("search", "No row has this reason", "Select another reason, or a longer window.")
    )
    note = f"The newest {len(found)}, as they arrived. The CSV has up to 10{formats.NARROW}000."
    note += " A row counts under each of its reasons."
    return ui.card(
        ui.card_head("What was refused", note, ui.csv_link("quarantine", window=f"{request.days}d", reason=asked)),
        html.Nav(chips, className="reason-list", **{"aria-label": "Reasons"}),
        rows,
        label="What was refused",
    )


def _raw(text: str | None) -> str:
    try:
        return json.dumps(json.loads(text or ""), ensure_ascii=False)[:800]
    except ValueError:
        return (text or "")[:800]


def _volume(reader: Reader) -> Component:
    rows = queries.volume(reader)
    head = ui.card_head(
        "Freshness and volume",
        "The last partition of each table, its rows against the same weekday's median",
        ui.csv_link("volume"),
    )
    if not rows or reader.through is None:
        return ui.card(
            head,
            ui.nothing("inbox", "No partition yet", "Nothing has been built by event date."),
            label="Freshness and volume",
        )
    body = []
    for row in rows:
        late = health.days_behind(row["last_date"], reader.through)
        usual = row["usual_rows"] if row["usual_rows"] > 0 else None
        change = health.volume_change(row["last_rows"], usual)
        is_odd = health.is_unusual_volume(change, is_less_welcome=row["table_name"] == queries.QUARANTINE)
        fresh = (
            ui.badge("good", "circle-check", "Fresh")
            if not late
            else ui.badge("warn", "clock", f"{formats.plural(late, 'day')} behind")
        )
        body.append(
            [
                ui.asset_link(row["table_name"]),
                fresh,
                formats.day(row["last_date"]),
                formats.whole(row["last_rows"]),
                formats.whole(usual),
                ui.delta(formats.change(change), "bad" if is_odd else "")
                if change is not None
                else html.Span("too little history", className="note"),
                ui.spark(row["history"] or [], f"Rows of {row['table_name']} over 28 days", class_name="wide"),
            ]
        )
    table = ui.table(
        ["Table", "Freshness", "Through", "Rows", "Usual", "Change", "28 days"],
        body,
        label="Freshness and volume",
        numeric=(3, 4, 5),
    )
    return ui.card(head, table, label="Freshness and volume")


def _files(reader: Reader) -> Component:
    ledger = queries.files(reader)
    if ledger is None or not ledger["files"] or reader.through is None:
        return None
    rejected = queries.rejected_files(reader)
    said = (
        f"{formats.plural(ledger['files'], 'file')} with {formats.plural(ledger['rows'], 'row')},"
        f" the last on {formats.moment(ledger['last_arrival'])}. From "
    )
    scores = queries.source_scores(reader)
    sources = [
        _source_row(row | {"score": scores.get(row["source"])}, reader.through) for row in queries.sources(reader)
    ]
    headers = ["Source", "Score", "Arrival", "Last event", "Last file came", "Files", "Rows", "Refused"]
    table = ui.table(headers, sources, label="Sources", numeric=(1, 5, 6, 7)) if sources else None
    return ui.card(
        ui.card_head(
            "Raw logs by source", html.Span([said, ui.asset_link("raw.log_files"), "."]), ui.csv_link("sources")
        ),
        table,
        _rejected(rejected),
        label="Raw logs",
    )


def _source_row(row: Row, through: date) -> list[Component]:
    # A file without one good row has no last event: it arrived, and brought nothing.
    late = health.days_behind(row["last_event"].date(), through) if row["last_event"] else None
    refused = row["rows_refused"] / row["rows"] if row["rows"] else None
    return [
        html.B(row["source"] or "not recognised"),
        formats.share_of_cells(row["score"]),
        ui.badge("none", "circle-question-mark", "No event")
        if late is None
        else ui.badge("warn", "clock", f"{formats.plural(late, 'day')} behind the others")
        if late
        else ui.badge("good", "circle-check", "On time"),
        formats.moment(row["last_event"]),
        ui.two_lines(formats.moment(row["last_arrival"]), html.Code(row["last_path"])),
        formats.whole(row["files"]),
        formats.whole(row["rows"]),
        ui.two_lines(formats.whole(row["rows_refused"]), formats.percent(refused)),
    ]


def _rejected(rejected: Sequence[Row]) -> Component:
    if not rejected:
        return html.P([ui.state_icon(CheckState.PASSING), " No file was rejected as a whole."], className="hint")
    body = [
        [html.Code(row["path"]), row["reason"] or formats.UNKNOWN, formats.moment(row["arrived_at"])]
        for row in rejected
    ]
    head = html.Div([html.H3("Rejected as a whole"), ui.csv_link("rejected_files")], className="between")
    table = ui.table(["File", "Why it was rejected", "Arrived"], body, label="Rejected files")
    return html.Div([head, table], className="section")
