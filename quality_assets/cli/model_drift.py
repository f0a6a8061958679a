"""The command `quality model drift`: has a model in use drifted; exit code 1 where it has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import root_settings, user_name
from quality_assets.cli.output import OutputFormat, out, print_rows, shown_activity
from quality_assets.cli.use_cases import (
    RISK,
    AnyModelName,
    FormatOption,
    TableName,
    checked_name,
    is_brought,
    models,
    tabular,
    told_errors,
)
from quality_assets.domain.wording import share_text
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.tables.drift_reports import DriftReport


FalseShare = Annotated[
    float | None, typer.Option(min=0.001, max=0.5, help="Of the inputs told to have moved, how many may not have.")
]
Least = Annotated[float | None, typer.Option(min=0, max=1, help="The smallest distance that matters.")]


@models.command()
def drift(
    use_case: AnyModelName,
    false_share: FalseShare = None,
    least: Least = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Judge what a model is asked, what it answers, and how well: reports/drift/NAME.json and .html.

    By the limits of the model (`quality model limits`), but for those that are given. Exit code 1 on an alert.
    """
    settings = root_settings()
    name = checked_name(use_case, brought=True)
    with told_errors(), shown_activity(f"looking at {name}"):
        report = _report(settings, name, false_share, least)
    if output is OutputFormat.JSON:
        from quality_assets.domain.plain import plain_value

        print(json.dumps(report.content, indent=1, default=plain_value))
    else:
        out.print(escape(f"{name}, version {report.version}: {report.status}. {report.words}"))
        out.print(escape(f"As files: {settings.reports_dir / 'drift' / name}.json, .html"))
    if report.status == "alert":
        raise typer.Exit(1)


def _report(settings: Settings, name: str, false_share: float | None, least: float | None) -> DriftReport:
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.brought_models import look_for_drift
    from quality_assets.tables.drift_limits import changed, limits_of
    from quality_assets.tables.model_drift import check_drift
    from quality_assets.tables.risk_drift import risk_report

    limits = changed(limits_of(settings, name), {"false_share": false_share, "least_distance": least})
    if is_brought(name):
        return look_for_drift(settings, name, limits)
    with open_warehouse(settings) as session:
        if name == RISK:
            return risk_report(session, limits)
        return check_drift(session, tabular(name), limits)


@models.command()
def limits(
    use_case: AnyModelName,
    false_share: FalseShare = None,
    least: Least = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """When drift of a model is told, and what that and other limits would have told in the last 30 days.

    With an option the limit is set, for every look from then on.
    """
    from quality_assets.tables.drift_limits import set_limits, tried

    settings = root_settings()
    name = checked_name(use_case, brought=True)
    set_limits(settings, name, {"false_share": false_share, "least_distance": least}, user_name())
    told = tried(settings, name)
    if output is OutputFormat.JSON:
        print(json.dumps(told, indent=1))
        return
    out.print(escape(told["words"]))
    if not told["days"]:
        return
    names = ["false_share", "least_distance", "days_looked", "days_told", "first_told", "inputs"]
    shown = [tuple(", ".join(v) if isinstance(v, list) else v for v in (r[n] for n in names)) for r in told["replay"]]
    print_rows(names, iter([shown]), output)


@models.command("recalibrate")
def recalibrate_intervals(use_case: TableName) -> None:
    """Learn p10 and p90 of the version in use from what came of its predictions: what is done every night."""
    from quality_assets.tables.recalibration import recalibrate

    with told_errors():
        found = recalibrate(root_settings(), tabular(use_case))
    for known, each in found.items():
        share = "not measured yet" if each.coverage is None else f"{share_text(each.coverage)} of later ones lay within"
        out.print(escape(f"{use_case}, {known}: learnt from outcomes; {share}"))
    if not found:
        out.print(escape(f"{use_case}: too few outcomes are known; the intervals stay as they were learnt"))
