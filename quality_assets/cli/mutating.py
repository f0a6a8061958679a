"""`quality mutate`: do the checks of a dataset catch faults of known truth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, fail, out, shown, shown_activity
from quality_assets.domain.escaping import json_text

if TYPE_CHECKING:
    from quality_assets.tables.datasets.mutating import MutationReport


@app.command()
def mutate(
    name: Annotated[str | None, typer.Argument(help="A dataset; all that have a past where not given.")] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="json prints one object a dataset.")] = (
        OutputFormat.TABLE
    ),
) -> None:
    """Plant faults in the last batch of a dataset, in memory, and say which of them the checks tell of."""
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.stores.readers.faults import FileRejected
    from quality_assets.tables.datasets.mutating import mutate as report_on
    from quality_assets.tables.datasets.registering import UnknownDatasetError, datasets, find

    settings = root_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = operations_of(settings)
    try:
        chosen = list(datasets(store, settings).values()) if name is None else [find(store, settings, name)]
    except UnknownDatasetError as error:
        fail(str(error))
    if not chosen:
        fail("no table is watched yet: `quality dataset add NAME --path GLOB`")
    count = 0
    for dataset in chosen:
        try:
            with shown_activity(f"planting faults in {dataset.dataset_id}"):
                report = report_on(store, settings, dataset)
        except FileRejected as error:
            if name is not None:
                fail(error.reason)
            out.print(escape(error.reason))
            continue
        count += 1
        _print(report, output)
    if not count:
        raise typer.Exit(1)


def _print(report: MutationReport, output: OutputFormat) -> None:
    told = report.as_dict()
    if output is not OutputFormat.TABLE:
        print(json_text(json.dumps(told, ensure_ascii=False)), flush=True)
        return
    out.print(escape(f"{report.dataset}: {told['killed']} of {told['planted']} faults told"))
    for dimension, (killed, planted) in report.by_dimension.items():
        out.print(f"  {dimension}: {killed} of {planted}")
    out.print(f"  {report.false_alarms} of {report.clean_batches} batches that nothing was planted in raise an alert")
    for mutant in told["survivors"]:
        columns = ", ".join(mutant["columns"]) or "rows"
        out.print(
            f"  not told: {mutant['fault']} in {shown(columns)}, {mutant['count']:,}; {shown(mutant['suggestion'])}"
        )
