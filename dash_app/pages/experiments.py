"""`/experiments` and `/experiments/<name>`: one sentence, the grade with its reasons, health before results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from dash_app import formats
from dash_app.components import charts, ui
from dash_app.pages import states
from quality_assets.contracts.metric_names import parse_metric_name
from quality_assets.domain.impact.experiment_words import adjusted_note, level, signed
from quality_assets.domain.wording import capitalised
from quality_assets.read import experiments as queries
from quality_assets.read import links
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, Row

Component = Any
TITLE = "Experiments"

_GRADES = {
    "A": ("good", "shield-check", "Grade A"),
    "B": ("good", "circle-check", "Grade B"),
    "C": ("warn", "half", "Grade C"),
    "D": ("bad", "circle-x", "Grade D, void"),
}
_STATES = {
    "planned": ("none", "clock", "Planned"),
    "running": ("none", "activity", "Running"),
    "waiting": ("none", "history", "Ended, windows open"),
    "final": ("none", "check", "Final"),
    "undeclared": ("warn", "circle-question-mark", "Not declared"),
    "invalid": ("bad", "triangle-alert", "Its file is wrong"),
}
_HEALTH = {
    "void": ("bad", "circle-x", "Void"),
    "warning": ("warn", "triangle-alert", "Warning"),
    "unknown": ("none", "circle-question-mark", "Unknown"),
    "info": ("none", "circle-dashed", "To know"),
    "ok": ("good", "circle-check", "Fine"),
}
_VERDICTS = {
    "better": ("good", "arrow-up", "Better"),
    "worse": ("bad", "arrow-down", "Worse"),
    "breached": ("bad", "triangle-alert", "Breached"),
    "within margin": ("good", "circle-check", "Within margin"),
    "void": ("bad", "circle-x", "Void"),
}
_LIFT = {
    "measured by experiment": ("good", "shield-check"),
    "associated (observational)": ("warn", "half"),
    "suggestive (do not quote)": ("warn", "triangle-alert"),
    "not established": ("none", "circle-dashed"),
    "not measured": ("none", "circle-question-mark"),
}


def build(reader: Reader, request: Request) -> Component:
    """The page of all experiments, or that of the one that the address names."""
    name = links.experiment_of(request.path)
    if name is not None:
        return _one(reader, name)
    found = queries.experiments(reader)
    running = sum(row["state"] == "running" for row in found)
    void = sum(row["grade"] == "D" for row in found)
    said = [
        html.B(formats.plural(len(found), "experiment")),
        f", {running} running, {void} void. What is void shows no numbers.",
    ]
    head = ui.page_head(TITLE, said, [ui.copy_link()])
    return html.Div([head, _cards(found), _lift(queries.lift(reader))], className="stack")


def _cards(found: Sequence[Row]) -> Component:
    if not found:
        return ui.card(
            ui.nothing(
                "target",
                "No experiment yet",
                "A file in data/experiments declares one: its arms, its days, its metrics. Arms that events show are"
                " listed by themselves.",
                ui.command("quality experiment NAME"),
            )
        )
    return html.Div([_card(row) for row in found], className="grid-2")


def _card(row: Row) -> Component:
    badges = [ui.badge(*_STATES[row["state"]])]
    if row["grade"] and row["state"] != "undeclared":
        badges.insert(0, ui.badge(*_GRADES[row["grade"]]))
    link = html.A(row["experiment"], href=links.experiment(row["experiment"]))
    people = f"{formats.whole(row['exposed'])} people" if row["exposed"] else "nobody yet"
    about = f"{_dates(row)} · {people}"
    return ui.card(
        html.Div([html.H2(link), html.Div(badges, className="tools")], className="between"),
        html.P(formats.typeset(row["verdict"])),
        html.P(about, className="note"),
        label=row["experiment"],
    )


def _dates(row: Row) -> str:
    if row["start_date"] is None:
        return "no dates"
    return formats.span(row["start_date"], row["end_date"])


def _lift(rows: Sequence[Row]) -> Component:
    if not rows:
        return None
    told = [row for row in rows if row["verdict"] != "not measured"]
    unmeasured = [row for row in rows if row["verdict"] == "not measured"]
    head = ui.card_head(
        "What taking up a feature is associated with",
        "Adopters against similar people of the same day, held against all other features. Once a week."
        + ui.cut_note(unmeasured),
        ui.csv_link("lift"),
    )
    folded = unmeasured and html.Details(
        [html.Summary(f"Not measured: {len(unmeasured)} of {len(rows)}"), lift_table(unmeasured[: ui.MOST_ROWS])],
        className="fold",
    )
    return ui.card(
        head,
        lift_table(told) if told else None,
        folded or None,
        html.Div(ui.asset_link("impact.lift_estimates")),
        label="Lift of features",
    )


def lift_table(rows: Sequence[Row]) -> Component:
    """What may be said of the lift of features: the raw difference only within its sentence."""
    return ui.table(
        ("Feature", "Outcome", "Verdict", "What may be said"),
        [
            (
                html.A(row["feature"], href=links.feature(row["feature"])),
                parse_metric_name(row["outcome"]).label,
                ui.badge(*_LIFT[row["verdict"]], row["verdict"][0].upper() + row["verdict"][1:]),
                html.Div(row["reason"], className="words"),
            )
            for row in rows
        ],
        label="Lift of features",
    )


def _one(reader: Reader, name: str) -> Component:
    row = queries.experiment(reader, name)
    if row is None:
        return states.not_found(links.experiment(name))
    crumbs = html.Div(html.A(TITLE, href="/experiments"), className="crumbs")
    badges = [ui.badge(*_STATES[row["state"]])]
    if row["grade"]:
        badges.insert(0, ui.badge(*_GRADES[row["grade"]]))
    head = ui.page_head(name, formats.typeset(row["verdict"]), [*badges, ui.copy_link()], crumbs)
    parts = [head, _reasons(row), _health(reader, name), _people(reader, name, row), _results(reader, name)]
    return html.Div([part for part in parts if part is not None], className="stack")


def _reasons(row: Row) -> Component:
    if not row["reasons"]:
        return None
    listed = html.Ul([html.Li(reason) for reason in row["reasons"]])
    return ui.card(ui.card_head("Why this grade"), listed, label="Why this grade")


def _health(reader: Reader, name: str) -> Component:
    rows = queries.health(reader, name)
    if not rows:
        return None
    fine = sum(row["status"] == "ok" for row in rows)
    note = f"Asked before results: {fine} of {len(rows)} are fine."
    table = ui.table(
        ("Check", "Status", "In words", "Found", "Threshold"),
        [
            (
                ui.two_lines(capitalised(row["check"].replace("srm", "sample ratio")), row["subject"]),
                ui.badge(*_HEALTH[row["status"]]),
                html.Div(row["detail"], className="words"),
                "" if row["value"] is None else f"{row['value']:.3g}",
                "" if row["threshold"] is None else f"{row['threshold']:.3g}",
            )
            for row in rows
        ],
        label="Health",
        numeric=(3, 4),
    )
    head = ui.card_head("Health", note, ui.csv_link("experiment_health", experiment=name))
    return ui.card(head, table, html.Div(ui.asset_link("impact.experiment_health")), label="Health")


def _people(reader: Reader, name: str, row: Row) -> Component:
    daily = queries.exposures_by_day(reader, name)
    if not daily:
        return None
    days = sorted({each["event_date"] for each in daily})
    counted = {(each["event_date"], each["arm"]): each["people"] for each in daily}
    arms = list(row["arms"] or []) or sorted({each["arm"] for each in daily})
    series = {arm: [counted.get((day, arm), 0) for day in days] for arm in arms}
    picture = charts.chart(charts.line_chart(days, series, "count"), f"New people a day by arm of {name}")
    out = "; ".join(f"{formats.whole(each['people'])} {each['reason']}" for each in queries.left_out(reader, name))
    note = f"{formats.whole(row['exposed'])} people saw an arm" + (
        f"; left out: {out}." if out else "; nobody is left out."
    )
    return ui.card(ui.card_head("Who saw it", note), picture, label="Who saw it")


def _results(reader: Reader, name: str) -> Component:
    rows = queries.results(reader, name)
    if not rows:
        return None
    is_final = all(row["is_final"] for row in rows)
    note = (
        "Intervals hold at the planned end, which is reached."
        if is_final
        else "Intervals are always-valid: they hold however often one looks."
    )
    note = f"{note} {adjusted_note(rows)}".rstrip()
    table = ui.table(
        ("Metric", "Arm", "People", "Value", "Difference", "95 % interval", "Verdict"),
        [_result(row) for row in rows],
        label="Results",
        numeric=(2, 3, 4, 5),
    )
    head = ui.card_head("Results", note, ui.csv_link("experiment_results", experiment=name))
    return ui.card(head, table, html.Div(ui.asset_link("impact.experiment_results")), label="Results")


def _result(row: Row) -> tuple[Any, ...]:
    metric = parse_metric_name(row["metric"])
    low, high = (row["low"], row["high"]) if row["is_final"] else (row["always_low"], row["always_high"])
    people = formats.whole(row["n"]) + (f" (+{formats.whole(row['open'])} open)" if row["open"] else "")
    verdict = "Control" if row["is_control"] else _verdict(row["verdict"])
    return (
        ui.two_lines(metric.label, row["role"]),
        row["arm"],
        people,
        formats.UNKNOWN if row["mean"] is None else level(row["mean"], metric.is_share),
        formats.UNKNOWN if row["diff"] is None else signed(row["diff"], metric.is_share),
        formats.UNKNOWN if low is None else f"{signed(low, metric.is_share)} to {signed(high, metric.is_share)}",
        verdict,
    )


def _verdict(verdict: str | None) -> Component:
    words = verdict or "Unknown"
    looks = _VERDICTS.get(words, ("none", "circle-dashed", words[0].upper() + words[1:]))
    return ui.badge(*looks)
