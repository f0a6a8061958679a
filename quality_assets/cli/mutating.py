"""`quality mutate`: do the checks of datasets, and of the product's own tables, catch faults of known truth?"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, fail, out, shown, shown_activity
from quality_assets.domain.escaping import json_text

if TYPE_CHECKING:
    from quality_assets.settings import Settings
    from quality_assets.stores.operations.store import Operations
    from quality_assets.tables.datasets.mutating import MutationReport


@app.command()
def mutate(
    name: Annotated[
        str | None,
        typer.Argument(
            help="A dataset, core.valid_events or product.fact_feature_metrics; all that have a past where not given."
        ),
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="json prints one object a table.")] = (
        OutputFormat.TABLE
    ),
) -> None:
    """Plant faults in a dataset's last batch, or in yesterday's events and facts, in scratch: which do checks tell of?

    The last report of each table is on the data quality page.
    """
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.stores.readers.faults import FileRejected
    from quality_assets.tables.mutation_reports import keep_report

    settings = root_settings()
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    store = operations_of(settings)
    count = 0
    for subject, report_on in _asked(store, settings, name):
        try:
            with shown_activity(f"planting faults in {subject}"):
                report = report_on()
        except FileRejected as error:
            if name is not None:
                fail(error.reason)
            out.print(escape(error.reason))
            continue
        count += 1
        keep_report(store, report)
        _print(report, output)
    if not count:
        raise typer.Exit(1)


def _asked(
    store: Operations, settings: Settings, name: str | None
) -> Iterator[tuple[str, Callable[[], MutationReport]]]:
    """What is asked for, each with the function that reports on it."""
    from quality_assets.tables.datasets.mutating import mutate as of_dataset
    from quality_assets.tables.datasets.registering import UnknownDatasetError, datasets, find
    from quality_assets.tables.mutated_days import MUTATED, mutate_table

    tables = {table.qualified_name: table for table in MUTATED}
    if name is not None and name not in tables:
        try:
            dataset = find(store, settings, name)
        except UnknownDatasetError as error:
            fail(f"{error}; of the product's own tables: {', '.join(tables)}")
        yield name, partial(of_dataset, store, settings, dataset)
        return
    if name is None:
        known = datasets(store, settings)
        if not known and not settings.published_dir.exists():
            fail("no table is watched yet: `quality dataset add NAME --path GLOB`")
        for each in known.values():
            yield each.dataset_id, partial(of_dataset, store, settings, each)
    for qualified_name, table in tables.items():
        if name in (None, qualified_name):
            yield qualified_name, partial(mutate_table, settings, table)


def _print(report: MutationReport, output: OutputFormat) -> None:
    told = report.as_dict()
    if output is not OutputFormat.TABLE:
        print(json_text(json.dumps(told, ensure_ascii=False)), flush=True)
        return
    out.print(escape(f"{report.dataset}, {report.batch}: {told['killed']} of {told['planted']} faults told"))
    for dimension, (killed, planted) in report.by_dimension.items():
        out.print(f"  {dimension}: {killed} of {planted}")
    out.print(f"  {report.false_alarms} of {report.clean_batches} that nothing was planted in raise an alarm")
    for mutant in told["survivors"]:
        columns = ", ".join(mutant["columns"]) or "rows"
        out.print(
            f"  not told: {mutant['fault']} in {shown(columns)}, {mutant['count']:,}; {shown(mutant['suggestion'])}"
        )
