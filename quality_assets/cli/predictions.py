"""Commands that ask a model: predict, explain, eda, forecast, repro, and the group `metrics`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import OutputFormat, err, fail, out, print_rows, shown_activity
from quality_assets.cli.use_cases import AskedName, FormatOption, TableName, is_brought, tabular, told_errors
from quality_assets.domain.wording import probability_text
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.domain.models.learning.tabular import TabularUseCase
    from quality_assets.stores.released import Released

RowOption = Annotated[str | None, typer.Option("--row", help='One row as JSON, e.g. {"MSRP": 95, …}.')]
DataOption = Annotated[Path | None, typer.Option("--data", help="A JSON file with a row or a list of rows.")]

metrics = typer.Typer(name="metrics", help="How good versions are, and how two of them differ.", no_args_is_help=True)
app.add_typer(metrics)


@app.command()
def predict(use_case: AskedName, row: RowOption = None, data: DataOption = None) -> None:
    """What the model in use says of rows, with p10 and p90, as JSON; of its reference row where none is given."""
    from quality_assets.domain.models.learning.columns_of import columns_of_rows

    if is_brought(use_case):
        from quality_assets.cli.user_models import predict_by_brought

        if (row is None) == (data is None):
            fail(f"give --row or --data: which rows {use_case} is asked for", 2)
        said = predict_by_brought(root_settings(), use_case, _parsed(row, data))
        print(json.dumps(said[0] if len(said) == 1 else said, indent=1))
        return
    case = tabular(use_case)
    released = _released(root_settings(), case)
    rows = _checked(case, released, row, data)
    answers = released.model.answers(columns_of_rows(case.contract.inputs, rows))
    about = {"model": case.name, "version": released.release.version, "release_seq": released.release.seq}
    told = [{**answer, **about} for answer in answers]
    print(json.dumps(told[0] if len(told) == 1 else told, indent=1))


@app.command()
def explain(use_case: TableName, row: RowOption = None, data: DataOption = None) -> None:
    """What each input contributes to a prediction, as JSON: contributions and base add up to it."""
    from quality_assets.domain.models.learning.columns_of import columns_of_rows
    from quality_assets.domain.models.learning.shapley import NotExplainableError, explained

    case = tabular(use_case)
    released = _released(root_settings(), case)
    told = []
    for each in _checked(case, released, row, data):
        try:
            found = explained(released.model, columns_of_rows(case.contract.inputs, [each]))
        except NotExplainableError as error:
            fail(str(error))
        told.append({**found, "model": case.name, "version": released.release.version})
    print(json.dumps(told[0] if len(told) == 1 else told, indent=1))


def _released(settings: Settings, use_case: TabularUseCase) -> Released:
    """The model in use; the command ends where none is."""
    from quality_assets.stores.released import load_released
    from quality_assets.stores.releases import release_log

    with told_errors():
        released = load_released(settings.models_dir, use_case, release_log(settings).of(use_case.name))
    for problem in released.problems:
        err.print(escape(f"{problem}; version {released.release.version} answers"))
    return released


def _checked(use_case: TabularUseCase, released: Released, row: str | None, data: Path | None) -> list[dict[str, Any]]:
    """The rows that were given, as the contract has them; the command ends where one is not."""
    from quality_assets.domain.models.learning.requests import RefusedRowError, checked_row
    from quality_assets.serve.prediction.asked_rows import MOST_ROWS

    if row is not None and data is not None:
        fail("give --row or --data, not both", 2)
    if row is None and data is None:
        return [dict(released.model.reference["row"])]
    given = _parsed(row, data)
    if not 0 < len(given) <= MOST_ROWS:
        fail(f"{len(given)} rows were given; from 1 to {MOST_ROWS} can be asked for at once")
    found = []
    for at, each in enumerate(given, start=1):
        try:
            found.append(checked_row(use_case.contract, released.model.inputs, each))
        except RefusedRowError as error:
            fail(f"row {at} is refused: {error}")
    return found


def _parsed(row: str | None, data: Path | None) -> list[Any]:
    try:
        text = row if row is not None else data.read_text(encoding="utf-8") if data else ""
        given = json.loads(text)
    except OSError as error:
        fail(f"{data} cannot be read: {error.strerror}")
    except ValueError as error:
        fail(f"that is no JSON: {error}")
    return given if isinstance(given, list) else [given]


@app.command()
def eda(
    use_case: TableName,
    data: Annotated[Path | None, typer.Option(help="A CSV file to look at instead of the training set.")] = None,
) -> None:
    """Report on a table to learn from: reports/eda/NAME/, the same bytes for the same data."""
    from quality_assets.stores.table_files import read_table
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.exploration import write_exploration
    from quality_assets.tables.learning import NothingToLearnError, check_contract, training_set

    settings, case = root_settings(), tabular(use_case)
    with told_errors(), shown_activity(f"looking at {case.name}"):
        if data is not None:
            from quality_assets.domain.models.learning.learnable import check_learnable

            frame = read_table(case.contract, data)
            check_learnable(case, frame)
            check_contract(settings, case, frame)
        else:
            with open_warehouse(settings) as session:
                try:
                    frame = training_set(session, case)
                except NothingToLearnError as error:
                    fail(str(error))
        folder = write_exploration(settings, case, frame)
    out.print(escape(str(folder)))


@app.command()
def forecast(
    use_case: TableName,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE, may be repeated.")] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Forecast the next months: seasonal naive against SARIMA on rolling origins, and the odds of a bad month."""
    from quality_assets.domain.models.learning.series import TooShortError
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables import forecasts

    settings, case = root_settings(), tabular(use_case)
    try:
        with shown_activity(f"forecasting {case.name}"):
            with open_warehouse(settings) as session:
                series = forecasts.monthly_series(session, case, _conditions(where or []))
            told = forecasts.forecast(series)
    except (forecasts.NoSeriesError, TooShortError) as error:
        fail(str(error))
    folder = forecasts.write_forecast(settings, case, told)
    if output is OutputFormat.JSON:
        print(json.dumps(told, indent=1))
        return
    out.print(escape(told["words"]))
    names = ["month", "value", "p10", "p90"]
    print_rows(names, iter([[tuple(each[name] for name in names) for each in told["forecast"]]]), output)
    odds = told["risk"]["probability"]
    odds_words = "unknown" if odds is None else probability_text(odds)
    out.print(f"Odds that {told['risk']['month']} stays below 80 % of the month a year before: {odds_words}")
    out.print(escape(f"As files: {folder}"))


def _conditions(where: list[str]) -> dict[str, str]:
    found = {}
    for each in where:
        name, sign, value = each.partition("=")
        if not sign or not name:
            fail(f"--where {each!r} is not of the form COLUMN=VALUE", 2)
        found[name.strip()] = value
    return found


@app.command()
def repro(
    use_case: Annotated[str | None, typer.Argument(metavar="[USE_CASE]", help="All where none is named.")] = None,
) -> None:
    """Make anew what is stale: a model of other data or code than there are, a report of other data."""
    from quality_assets.domain.models.learning.known_use_cases import TABULAR
    from quality_assets.progress import report
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.reproduction import reproduce

    settings = root_settings()
    cases = [tabular(use_case)] if use_case else list(TABULAR.values())
    for case in cases:
        with told_errors(), shown_activity(f"looking at {case.name}"), open_warehouse(settings) as session:
            done = reproduce(session, case, report)
        for line in done:
            out.print(escape(f"{case.name}: {line}"))


@metrics.command("show")
def show_metrics(
    use_case: TableName,
    version: Annotated[str | None, typer.Argument(help="The newest where none is named.")] = None,
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """Every metric of a version, on every split, with its interval."""
    from quality_assets.tables.reproduction import COLUMNS, metric_rows

    with told_errors():
        rows = metric_rows(root_settings(), tabular(use_case), version)
    print_rows(list(COLUMNS), iter([[tuple(row[name] for name in COLUMNS) for row in rows]]), output)


@metrics.command()
def diff(
    first: Annotated[str, typer.Argument(help="USE_CASE@VERSION, e.g. sales@1.")],
    second: Annotated[str, typer.Argument(help="USE_CASE@VERSION, or VERSION of the same use case.")],
    output: FormatOption = OutputFormat.TABLE,
) -> None:
    """How the metrics of two versions differ, of what each predicts with."""
    from quality_assets.tables.reproduction import metric_changes

    name, sign, one = first.partition("@")
    if not sign:
        fail(f"{first!r} is not of the form USE_CASE@VERSION", 2)
    other_name, sign, other = second.rpartition("@")
    if sign and other_name != name:
        fail("versions of two use cases have no metrics in common", 2)
    with told_errors():
        rows = metric_changes(root_settings(), tabular(name), one, other)
    names = ["known", "split", "metric", "first", "second", "change"]
    print_rows(names, iter([[tuple(row[each] for each in names) for row in rows]]), output)
