"""Commands about watched tables: check, dataset add, list, show, remove."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from quality_assets.cli.app import app, root_settings, user_name
from quality_assets.cli.output import OutputFormat, fail, out, print_datasets_off, print_rows, shown, shown_activity
from quality_assets.domain.escaping import json_text

if TYPE_CHECKING:
    from quality_assets.settings import Settings
    from quality_assets.stores.operations.store import Operations
    from quality_assets.tables.datasets.checking import BatchResult
    from quality_assets.tables.datasets.registering import Registered

dataset_app = typer.Typer(help="Tables that are watched: any file, folder, query or table.", no_args_is_help=True)
app.add_typer(dataset_app, name="dataset")

_MOST_FINDINGS = 12
_PLACES = {"path", "query", "table"}
_LISTED = ("dataset", "owner", "batches", "batch", "score", "status", "rows", "worst_finding", "unreadable", "late")


def _store(settings: Settings) -> Operations:
    from sqlalchemy.exc import OperationalError

    from quality_assets.stores.operations.engine import OperationsUrlError
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.stores.operations.upgrade import OperationsNewerError

    settings.data_dir.mkdir(parents=True, exist_ok=True)
    print_datasets_off(settings)
    try:
        return operations_of(settings)
    except (OperationsUrlError, OperationsNewerError) as error:
        fail(str(error))
    except OperationalError as error:
        fail(f"the operations store does not answer: {error.orig}")


@dataset_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What it is called from now on.")],
    path: Annotated[
        str | None, typer.Option(help="A file, a folder or a glob in quotes; each file is a batch.")
    ] = None,
    key: Annotated[str | None, typer.Option(help="Columns that no two rows share, with commas between them.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of times, by which batches are ordered.")] = None,
    query: Annotated[str | None, typer.Option(help="One SELECT, on the database of --secret.")] = None,
    secret: Annotated[str | None, typer.Option(help="env:NAME or file:PATH that holds the database's address.")] = None,
    table: Annotated[str | None, typer.Option(help="A table of the DuckDB file, or of the snapshot.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who is told.")] = None,
    cadence: Annotated[str | None, typer.Option(help="How often a batch is due: daily, weekly, 6h.")] = None,
    min_score: Annotated[float | None, typer.Option(help="A batch of a lower score fails.")] = None,
) -> None:
    """Watch a table, or say other things of one: what is not given stays. `quality check NAME` judges its batches."""
    from quality_assets.contracts.sources.datasets import make_dataset
    from quality_assets.contracts.sources.model import SourceError
    from quality_assets.stores.datasets.queries import check_query
    from quality_assets.stores.readers.faults import FileRejected
    from quality_assets.tables.datasets.registering import datasets, register

    settings = root_settings()
    store = _store(settings)
    there = datasets(store, settings, with_hidden=True).get(name)
    given = {
        "name": name, "path": _absolute(path), "key": key, "time": time, "query": query, "secret": secret,
        "table": table, "owner": owner, "cadence": cadence,
        "thresholds": None if min_score is None else {"score": min_score},
    }  # fmt: skip
    given = {what: value for what, value in given.items() if value is not None}
    try:
        source = make_dataset(given if there is None else _with_what_was_said(there, given), "dataset")
        if query is not None:
            check_query(query)
    except SourceError as error:
        fail(str(error), 2)
    except FileRejected as error:
        fail(error.reason, 2)
    if there is not None and there.is_hidden and there.yaml_keys:
        register(store, there.source, user_name(), there.yaml_keys)
        out.print(escape(f"{name} is watched again, as its file in {settings.data_dir / 'datasets'} says"))
        return
    if there is not None and there.yaml_keys:
        fail(
            f"{name} is registered by a file in {settings.data_dir / 'datasets'}, which says what is in force;"
            " change it there"
        )
    register(store, source, user_name())
    out.print(
        escape(f"{name} is watched: {source.path or source.query or source.table}. `quality check {name}` judges it")
    )
    if there is not None:
        kept = {what: getattr(source, what) for what in ("owner", "cadence", "key", "time") if what not in given}
        said = ", ".join(f"{what} {', '.join(v) if isinstance(v, tuple) else v}" for what, v in kept.items() if v)
        if said:
            out.print(f"  as before: {shown(said)}")


def _with_what_was_said(there: Registered, given: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a dataset that is there, with what is given instead; it comes from one place."""
    before = there.source.model_dump()
    if given.keys() & _PLACES:
        before |= dict.fromkeys((*_PLACES, "secret"))
    return {**before, **given, "thresholds": {**before["thresholds"], **given.get("thresholds", {})}}


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).expanduser().absolute())


@dataset_app.command("list")
def list_datasets(
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print it.")] = OutputFormat.TABLE,
) -> None:
    """The tables that are watched, and how the last batch of each was."""
    from quality_assets.tables.datasets.reading import overview

    settings = root_settings()
    rows = overview(_store(settings), settings)
    if output is OutputFormat.JSON:
        print(json_text(json.dumps(rows, default=str, ensure_ascii=False)))
        return
    if output is OutputFormat.CSV:
        print_rows(_LISTED, iter([[tuple(row[name] for name in _LISTED) for row in rows]]), output)
        return
    if not rows:
        out.print("No table is watched yet: `quality dataset add NAME --path GLOB`")
        return
    grid = Grid()
    for title in ("dataset", "batches", "last batch", "score", "status", "worst finding"):
        grid.add_column(title)
    for row in rows:
        grid.add_row(
            *(
                shown("" if row[k] is None else f"{row[k]:.4f}" if k == "score" else row[k])
                for k in ("dataset", "batches", "batch", "score", "status", "worst_finding")
            )
        )
    out.print(grid)


@dataset_app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A dataset.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print it.")] = OutputFormat.TABLE,
) -> None:
    """What a dataset is, its batches, and what was found in the last that was judged."""
    from quality_assets.tables.datasets.reading import details, state_of
    from quality_assets.tables.datasets.registering import UnknownDatasetError

    _refuse_csv(output)
    settings = root_settings()
    try:
        told = details(_store(settings), settings, name)
    except UnknownDatasetError as error:
        fail(str(error))
    if output is OutputFormat.JSON:
        print(json_text(json.dumps(told, default=str, ensure_ascii=False)))
        return
    for key in ("dataset", "path", "query", "table", "key", "time", "owner", "cadence", "unreadable", "late"):
        if told[key]:
            out.print(f"{key}: {shown(', '.join(told[key]) if key == 'key' else told[key])}")
    for batch in told["batches"]:
        score = "–" if batch["score"] is None else f"{batch['score']:.4f}"
        out.print(f"{shown(batch['name'])}: {score}, {batch['rows'] or 0:,} rows, {shown(state_of(batch))}")
        if batch["reason"] and batch["status"] == "refused":
            out.print(f"  {shown(batch['reason'])}")
    for finding in told["findings"]:
        out.print(f"  {shown(finding['kind'])}: {shown(finding['sentence'])}")


@dataset_app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="A dataset.")]) -> None:
    """Watch a table no longer; what was found of it stays."""
    from quality_assets.tables.datasets.registering import UnknownDatasetError, find, hide

    settings = root_settings()
    store = _store(settings)
    try:
        find(store, settings, name)
    except UnknownDatasetError as error:
        fail(str(error))
    hide(store, name, user_name())
    out.print(escape(f"{name} is watched no longer; `quality dataset add {name} …` brings it back with its history"))


@app.command()
def check(
    subject: Annotated[str, typer.Argument(help="A dataset, or a file by itself.", metavar="NAME|FILE")],
    output: Annotated[
        OutputFormat, typer.Option("--format", help="json prints one object a line.")
    ] = OutputFormat.TABLE,
) -> None:
    """Judge the batches of a dataset that were not judged yet, or a file by itself; exit 1 where a threshold fails.

    What was found is told at once, unless servers run, which tell by themselves.
    """
    from quality_assets.stores.readers.faults import FileRejected, FileWaits
    from quality_assets.tables.datasets.checking import check_dataset, check_file
    from quality_assets.tables.telling import tell_of_run

    _refuse_csv(output)
    settings = root_settings()
    dataset = _dataset(settings, subject)
    failed, count = False, 0
    with shown_activity(f"checking {subject}"):
        if dataset is None:
            results = iter([check_file(settings, Path(subject))])
        else:
            results = check_dataset(_store(settings), settings, dataset)
        try:
            for result in results:
                count += 1
                failed = failed or result.status in ("failed", "refused")
                _print(result, output)
        except (FileRejected, FileWaits) as error:
            fail(error.reason)
        finally:
            if dataset is not None:
                tell_of_run(settings)
    if not count and output is not OutputFormat.JSON:
        out.print(escape(_nothing_new(settings, subject, dataset)))
    if failed:
        raise typer.Exit(1)


def _nothing_new(settings: Settings, subject: str, dataset: Registered | None) -> str:
    from quality_assets.tables.datasets.batches import files_of, uploads_of

    path = None if dataset is None else dataset.source.path
    if path is not None and not files_of(settings, path) and not uploads_of(settings, subject):
        return (
            f"{subject} has no batch: no file is at {path}; where it should be, `quality dataset add` says another path"
        )
    return f"{subject} has no batch that was not judged yet; `quality dataset show {subject}` has the last"


def _dataset(settings: Settings, subject: str) -> Registered | None:
    """The dataset of that name; None for a file."""
    from quality_assets.tables.datasets.registering import datasets

    is_known_root = (
        settings.operations_path.exists() or settings.operations_url or (settings.data_dir / "datasets").is_dir()
    )
    known = datasets(_store(settings), settings, with_hidden=True) if is_known_root else {}
    if subject in known:
        return known[subject]
    if not Path(subject).is_file():
        listed = ", ".join(known) or "none yet"
        fail(f"{subject!r} is neither a dataset ({listed}) nor a file")
    return None


def _refuse_csv(output: OutputFormat) -> None:
    if output is OutputFormat.CSV:
        fail("what is found in a batch are no rows of one form; ask for --format table or json", 2)


def _print(result: BatchResult, output: OutputFormat) -> None:
    if output is not OutputFormat.TABLE:
        print(json_text(json.dumps(result.as_dict(), ensure_ascii=False, default=str)), flush=True)
        return
    score = "no score" if result.score is None else f"{result.score:.4f}"
    learning = f" ({result.learning})" if result.learning else ""
    color = {"passed": "green", "failed": "red", "refused": "red", "waiting": "yellow"}[result.status]
    name = shown(result.batch or result.dataset)
    out.print(f"[{color}]{result.status}[/{color}] {name}: {score}, {result.rows:,} rows{learning}")
    for reason in result.reasons:
        out.print(f"  {shown(reason)}")
    for finding in result.findings[:_MOST_FINDINGS]:
        out.print(f"  {'[red]![/red]' if finding.is_alert else '·'} {finding.kind}: {shown(finding.sentence)}")
    if len(result.findings) > _MOST_FINDINGS:
        out.print(f"  … and {len(result.findings) - _MOST_FINDINGS} more; --format json has all")
