"""Whether the checks catch anything, below the data quality page: what `quality mutate` said last of each table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dash import html
from sqlalchemy import Connection

from dash_app import formats
from dash_app.components import ui
from quality_assets.settings import Settings
from quality_assets.tables.mutation_reports import last_reports

Component = Any
_TITLE = "Do the checks catch anything?"


def build(connection: Connection, _settings: Settings) -> Component:
    """The card: planted faults that were told of by table and dimension, and those that were not."""
    reports = last_reports(connection)
    note = "Faults of known truth, planted in a clean day or batch, in scratch; what the checks tell of is killed."
    head = ui.card_head(_TITLE, note)
    if not reports:
        none = ui.nothing(
            "circle-dashed", "Nothing was planted yet", "It takes a minute, and changes nothing.",
            ui.command("quality mutate"),
        )  # fmt: skip
        return ui.card(head, none, label=_TITLE)
    rows = [_row(report) for report in reports]
    headers = ["Table", "Killed", "By dimension", "False alarms", "Asked"]
    survivors = [(report, mutant) for report in reports for mutant in report["mutants"] if not mutant["is_killed"]]
    return ui.card(
        head, ui.table(headers, rows, label="Planted faults by table", numeric=(1, 3)), _survivors(survivors),
        label=_TITLE,
    )  # fmt: skip


def _row(report: Mapping[str, Any]) -> list[Component]:
    killed, planted = report["killed"], report["planted"]
    return [
        ui.two_lines(html.Code(report["subject"]), report["batch"]),
        ui.two_lines(f"{killed} of {planted}", formats.percent(killed / planted) if planted else formats.UNKNOWN),
        html.Ul([html.Li(_of_dimension(name, found)) for name, found in _by_dimension(report["mutants"]).items()]),
        f"{report['false_alarms']} of {report['clean_batches']}",
        formats.moment(report["made_at"]),
    ]


def _by_dimension(mutants: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for mutant in mutants:
        killed, planted = found.get(mutant["dimension"], (0, 0))
        found[mutant["dimension"]] = (killed + mutant["is_killed"], planted + 1)
    return found


def _of_dimension(name: str, found: tuple[int, int]) -> str:
    return f"{formats.words(name)}: {found[0]} of {found[1]}"


def _survivors(found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> Component:
    if not found:
        return html.P("Every planted fault is told of.", className="hint")
    rows = [
        [
            ui.two_lines(html.Code(report["subject"]), formats.words(mutant["dimension"])),
            ui.two_lines(formats.words(mutant["fault"]), mutant["columns"]),
            formats.percent(mutant["share"]),
            mutant["suggestion"] or "",
        ]
        for report, mutant in found
    ]
    table = ui.table(["Table", "Fault", "Share", "What would tell of it"], rows, label="Survivors", numeric=(2,))
    return html.Div([html.H3("What nothing tells of"), table], className="section")
