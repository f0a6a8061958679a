"""The `quality` command: what people and scripts call. Thin: each command parses, calls, prints and sets the exit code.

Exit codes: 0 when it did what it says; 1 when it could not, or found what must not be; 2 for wrong usage.
"""

from __future__ import annotations

import atexit
import csv
import errno
import gc
import json
import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, fields
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import chain
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid

from quality_assets import progress
from quality_assets.domain.wording import plural
from quality_assets.imports import before_imports
from quality_assets.settings import Settings, get_settings
from quality_assets.version import RELEASED, VERSION

if TYPE_CHECKING:
    import pandas as pd

    from quality_assets.runner import RunOutcome
    from quality_assets.warehouse.landing import Ignored

app = typer.Typer(
    name="quality",
    help="Which product features got worse, is it real, and who is hurt: from raw telemetry to checked daily facts.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Where no terminal says how wide it is, as in a pipe, nothing is cut.
_WIDTH = None if sys.stdout.isatty() else 240
out = Console(soft_wrap=True, highlight=False, width=_WIDTH)
err = Console(stderr=True, soft_wrap=True, highlight=False)


_NOT_SCORED = "Incidents, risk, drift and the run report are not of these data yet: `quality run`"


class LogFormat(StrEnum):
    """Formats of simulated logs."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class OutputFormat(StrEnum):
    """How query results are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def _say_version(is_asked: bool) -> None:
    if is_asked:
        out.print(f"quality {VERSION} ({RELEASED})")
        raise typer.Exit


@app.callback()
def main(
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Root of all stores, so that several can live side by side.", envvar="QUALITY_DATA_DIR"),
    ] = None,
    version: Annotated[
        bool,
        typer.Option("--version", help="Say which version this is, and of which date.", callback=_say_version),
    ] = False,
) -> None:
    """Say where the data are, once for all commands."""
    # Not again in a process that has them behind it, such as a test's.
    if not gc.get_freeze_count():
        before_imports()
    # Threads for linear algebra start with the import, and by default wait awake for work, which hardly comes here.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
    if data_dir is not None:
        if data_dir.expanduser().exists() and not data_dir.expanduser().is_dir():
            _fail(f"{data_dir} is not a folder; --data-dir, or QUALITY_DATA_DIR, names the root of all stores", 2)
        os.environ["QUALITY_DATA_DIR"] = str(data_dir.expanduser().resolve())
        get_settings.cache_clear()


def _settings() -> Settings:
    from pydantic import ValidationError

    try:
        return get_settings()
    except ValidationError as error:
        lines = [
            f"QUALITY_{'.'.join(map(str, e['loc'])).upper()}: {e['msg'].removeprefix('Value error, ')}"
            for e in error.errors()
        ]
        _fail("a setting is not valid. " + "; ".join(lines))


def _fail(message: str, code: int = 1) -> NoReturn:
    err.print(f"[red]quality:[/red] {escape(message)}")
    raise typer.Exit(code)


@contextmanager
def _activity(what: str) -> Iterator[None]:
    """Show what is going on while it goes on: a live line on a terminal, a line now and then elsewhere."""
    if err.is_terminal:
        with (
            err.status(escape(what)) as status,
            progress.listening(lambda activity: status.update(escape(f"{what}: {activity}"))),
        ):
            yield
        return
    last = [datetime.now(UTC)]

    def tell(activity: str) -> None:
        if datetime.now(UTC) - last[0] > timedelta(seconds=5):
            last[0] = datetime.now(UTC)
            err.print(escape(f"{what}: {activity}"))

    with progress.listening(tell):
        yield


@app.command()
def simulate(
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write to; must be empty or absent.")],
    days: Annotated[int, typer.Option(min=1, help="How many days.")] = 30,
    features: Annotated[int, typer.Option(min=1, help="How many product features.")] = 20,
    events_per_day: Annotated[int, typer.Option(min=1, help="How many events a day, about.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    start_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    dirt: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of rows that are dirty.")] = 0.015,
    log_format: Annotated[LogFormat, typer.Option("--format", help="Format of the logs.")] = LogFormat.CSV,
) -> None:
    """Write realistic telemetry with known incidents and known dirt, and the ground truth beside it.

    Logs go to OUT/logs, one file a day; what is wrong in them to OUT/incidents.csv and OUT/dirt.csv.
    """
    from quality_assets.simulate import SimulationPlan
    from quality_assets.simulate import simulate as write_telemetry

    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        _fail(f"{out_dir} is not an empty folder; name another, or empty it", 2)
    chosen: dict[str, Any] = {"start_date": start_date.date()} if start_date else {}
    try:
        plan = SimulationPlan(
            days=days, features=features, events_per_day=events_per_day, seed=seed, dirt_share=dirt, **chosen
        )
    except ValueError as error:
        _fail(str(error), 2)
    with _activity("simulating"):
        result = write_telemetry(
            plan,
            out_dir,
            format=log_format.value,
            on_progress=lambda done, total: progress.report(f"{done} of {total} days"),
        )
    out.print(
        f"{result.rows:,} rows in {len(result.log_files)} files under {out_dir / 'logs'}"
        f" ({result.bytes_written / 1e6:,.1f} MB), {result.dirty_rows:,} of them dirty,"
        f" {len(result.incidents)} incidents"
    )


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files and folders: CSV, JSONL, Parquet, also .gz and .zst.")],
    source: Annotated[str | None, typer.Option(help="The source they are of; found out where not given.")] = None,
) -> None:
    """Put logs into the landing zone and read them.

    Files whose bytes are known already are skipped, under whatever name they come. `quality run` builds the rest.
    """
    from quality_assets.contracts.sources import NoSourceMatches, SourceError, load_sources
    from quality_assets.runner import graph_instance, ingest_waiting
    from quality_assets.warehouse.landing import place

    settings = _settings()
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        _fail(f"{', '.join(missing)}: no such file or folder", 2)
    try:
        sources = load_sources(settings.source_files_dir)
        if source is not None:
            sources[source]
    except (NoSourceMatches, SourceError) as error:
        _fail(str(error), 2)
    with _activity("copying into the landing zone"):
        placed, ignored = place(paths, settings.landing_dir, source or "")
    for item in ignored:
        err.print(f"left out {escape(item.name)}: it {escape(item.reason)}")
    if not placed:
        _fail(f"there is no file to read in {', '.join(map(str, paths))}")
    names = dict.fromkeys(placed, source) if source else {}
    with _activity("ingesting"), graph_instance(settings) as instance:
        outcome = ingest_waiting(instance, settings, names, placed)
    _print_ingestion(outcome, settings, set(placed))


def _print_ingestion(outcome: RunOutcome, settings: Settings, placed: set[str]) -> None:
    if not outcome.succeeded:
        _fail(f"ingestion failed, nothing half-read remains: {outcome.error}")
    from quality_assets.warehouse.database import open_warehouse
    from quality_assets.warehouse.state import dates_not_over

    with open_warehouse(settings) as session:
        files = session.connection.execute(
            "select landing.path, status, source, rows, rows_refused, touched_dates, reason, log.path, load_id"
            " from ops.landing_files as landing join raw.log_files as log using (file_id) order by landing.path"
        ).fetchall()
        unfinished = dates_not_over(session.connection)
    loads = set(outcome.metadata.get("raw.raw_logs", {}).get("loads", []))
    metadata = outcome.metadata.get("raw.log_files", {})
    grid = Grid(box=None, pad_edge=False)
    for heading in ("file", "source", "rows", "refused", "dates"):
        grid.add_column(heading, justify="right" if heading in ("rows", "refused") else "left", no_wrap=True)
    shown = [row for row in files if row[0] in placed]
    for path, status, source, rows, refused, dates, reason, first_path, _ in shown[:30]:
        if first_path != path:
            grid.add_row(escape(path), "", "", "", f"skipped: has the same bytes as {escape(first_path)}")
        elif status == "rejected":
            grid.add_row(escape(path), "", "", "", f"[red]rejected:[/red] {escape(reason)}")
        else:
            span = f"{min(dates)} to {max(dates)} ({len(dates)})" if dates else "none"
            grid.add_row(escape(path), source, f"{rows:,}", f"{refused:,}", span)
    if shown:
        out.print(grid)
    if len(shown) > 30:
        out.print(f"… and {len(shown) - 30} more")
    read = outcome.metadata.get("raw.raw_logs", {}).get("rows_read", 0)
    known = sum(first_path != path or load_id not in loads for path, *_, first_path, load_id in shown)
    out.print(
        f"{plural(metadata.get('files_loaded', 0), 'file')} read, {plural(read, 'row')};"
        f" {known:,} known before,"
        f" {metadata.get('files_rejected', 0)} rejected"
        + (f". Loads: {', '.join(sorted(loads))}" if len(loads) > 1 else "")
    )
    today = datetime.now(UTC).date().isoformat()
    touched = outcome.metadata.get("raw.raw_logs", {}).get("touched_dates", [])
    waiting = [day for day in touched if day < today and date.fromisoformat(day) not in unfinished]
    if waiting:
        out.print(f"{plural(len(waiting), 'date waits', 'dates wait')} to be built: `quality run`")
    _print_dates_not_over(unfinished)
    _fail_unless_read(placed, {path: status for path, status, *_ in shown})


def _fail_unless_read(placed: set[str], statuses: Mapping[str, str]) -> None:
    unread = sorted(placed - statuses.keys())
    if unread:
        _fail(
            f"{', '.join(unread[:5])}{' …' if len(unread) > 5 else ''}: not read, because it could not be, or was"
            " still changing. Whatever waits in the landing zone is read by the next `quality run`."
        )
    if statuses and set(statuses.values()) == {"rejected"}:
        _fail("nothing of what was asked for could be read; the reasons stand above, and in raw.log_files")


def _day(text: str | None, option: str) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        _fail(f"{option} {text!r} is not a date like 2026-01-31", 2)


@app.command()
def run(
    from_date: Annotated[
        str | None, typer.Option("--from", help="Rebuild from this event date, e.g. 2026-01-31.")
    ] = None,
    to_date: Annotated[str | None, typer.Option("--to", help="Rebuild up to this event date, inclusive.")] = None,
    without_models: Annotated[
        bool,
        typer.Option(
            "--without-models",
            help="Only events, facts and trends, checked and published: quicker, for one part of a backfill after"
            " another. Incidents, risk, drift and the report follow with the next run that has them.",
        ),
    ] = False,
) -> None:
    """Bring everything up to date: read what waits, build exactly what is stale, check it, publish it.

    With a range, rebuild the days of that range whether stale or not.
    """
    start, end = _day(from_date, "--from"), _day(to_date, "--to")
    if (start is None) != (end is None):
        _fail("--from and --to go together", 2)
    if start and end and start > end:
        _fail(f"--from {start} is after --to {end}", 2)
    settings = _settings()
    if not _run(settings, (start, end) if start and end else None, with_models=not without_models):
        raise typer.Exit(1)


def _run(settings: Settings, rebuild: tuple[date, date] | None = None, *, with_models: bool = True) -> bool:
    """Run and print; whether all went well."""
    from quality_assets.runner import bring_up_to_date, graph_instance, ingest_waiting
    from quality_assets.warehouse.database import open_warehouse
    from quality_assets.warehouse.ingest import waiting_files
    from quality_assets.warehouse.state import is_arrival_unaudited

    outcomes = []
    with graph_instance(settings) as instance:
        with open_warehouse(settings) as session:
            is_waiting = bool(waiting_files(session)[0]) or is_arrival_unaudited(session.connection)
        if is_waiting:
            with _activity("ingesting"):
                outcomes.append(ingest_waiting(instance, settings))
        outcomes += _follow(bring_up_to_date(instance, settings, rebuild, with_models=with_models))
    succeeded = all(outcome.succeeded for outcome in outcomes)
    if not outcomes:
        out.print("Nothing to do: everything that arrived is built and published.")
    _print_state(settings)
    return succeeded


def _follow(runs: Iterator[RunOutcome]) -> list[RunOutcome]:
    outcomes: list[RunOutcome] = []
    while True:
        with _activity("building"):
            outcome = next(runs, None)
        if outcome is None:
            return outcomes
        outcomes.append(outcome)
        what = outcome.job.replace("_", " ") + (
            f" {outcome.partition_key.replace('...', ' to ')}" if outcome.partition_key else ""
        )
        if outcome.succeeded:
            out.print(f"[green]✓[/green] {what}")
        else:
            out.print(f"[red]✗ {what}[/red]: {escape(outcome.error or 'see its checks below')}")


def _print_state(settings: Settings) -> None:
    from quality_assets.overview import summary_lines
    from quality_assets.runner import is_up_to_date
    from quality_assets.warehouse.database import open_warehouse
    from quality_assets.warehouse.ingest import waiting_files
    from quality_assets.warehouse.snapshots import current_snapshot
    from quality_assets.warehouse.state import dates_not_over

    with open_warehouse(settings) as session:
        for line in summary_lines(session.connection):
            out.print(escape(line))
        if not is_up_to_date(session):
            out.print(_NOT_SCORED)
        unfinished = dates_not_over(session.connection)
        passed_over = waiting_files(session)[1]
    _print_dates_not_over(unfinished)
    _print_passed_over(passed_over)
    snapshot = current_snapshot(settings.published_dir)
    if snapshot:
        out.print(f"Published snapshot {snapshot.version}, data through {snapshot.data_through}")


@app.command()
def status() -> None:
    """What is fresh, stale, failing and quarantined, and what readers see. Exit code 1 when something is wrong."""
    from quality_assets.overview import accounting, checks_run, failing_checks, quarantine_reasons
    from quality_assets.runner import is_up_to_date
    from quality_assets.warehouse.database import WarehouseBusyError, open_warehouse
    from quality_assets.warehouse.ingest import waiting_files
    from quality_assets.warehouse.publishing import reasons_against
    from quality_assets.warehouse.state import contiguous_ranges, dates_not_over, days_to_build

    settings = _settings()
    is_good = _print_publication(settings)
    if not settings.warehouse_path.exists():
        out.print("Nothing has been ingested yet: `quality ingest PATH…`, or `quality demo` for a sample.")
        return
    try:
        with open_warehouse(settings, lock_timeout_s=1) as session:
            connection = session.connection
            totals = accounting(connection)
            out.print(
                f"Rows: {totals.rows:,} in {plural(totals.files, 'file')} = {totals.valid:,} valid +"
                f" {totals.quarantined:,} quarantined"
                + (f" + {totals.unaccounted:,} not built yet" if totals.unaccounted else "")
            )
            if totals.last_date:
                out.print(f"Data: {totals.first_date} to {totals.last_date}")
            reasons = quarantine_reasons(connection)
            if reasons:
                out.print("Quarantine: " + ", ".join(f"{name} {count:,}" for name, count in reasons))
            waiting, passed_over = waiting_files(session)
            stale = contiguous_ranges(days_to_build(connection))
            out.print(
                f"Waiting: {plural(len(waiting), 'file')}, {plural(len(stale), 'range')} of dates" + _spans(stale)
            )
            if not is_up_to_date(session):
                out.print(_NOT_SCORED)
            _print_dates_not_over(dates_not_over(connection))
            _print_passed_over(passed_over)
            passed, failed, unknown = checks_run(connection)
            out.print(f"Checks: {passed:,} passed, {failed:,} failed, {unknown:,} unknown")
            failing = failing_checks(connection)
            for severity, asset, name, count, description in failing:
                out.print(escape(f"  {severity} {asset} {name} ({count}): {description}"))
            is_good = is_good and not reasons_against(session) and not waiting
    except WarehouseBusyError:
        out.print("A run is writing to the warehouse just now; ask again when it has ended.")
    if not is_good:
        raise typer.Exit(1)


def _print_dates_not_over(days: Mapping[date, str]) -> None:
    for day, why in days.items():
        out.print(f"{day} {why}: what has come of it is read, and is built when it is whole")


def _print_passed_over(items: Sequence[Ignored]) -> None:
    for item in items[:5]:
        out.print(f"Passed over in the landing zone: {escape(item.name)}, which {escape(item.reason)}")
    if len(items) > 5:
        out.print(f"… and {len(items) - 5} more")


def _spans(ranges: list[tuple[date, date]]) -> str:
    shown = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in ranges[:5])
    return f": {shown}{' …' if len(ranges) > 5 else ''}" if ranges else ""


def _print_publication(settings: Settings) -> bool:
    from quality_assets.warehouse.snapshots import current_snapshot, last_attempt

    snapshot = current_snapshot(settings.published_dir)
    attempt = last_attempt(settings.published_dir)
    if snapshot is None:
        out.print("Snapshot: none published yet")
    else:
        out.print(
            f"Snapshot: {snapshot.version}, published {snapshot.published_at:%Y-%m-%d %H:%M} UTC,"
            f" data through {snapshot.data_through}"
        )
    if attempt is None or attempt.status == "published":
        return True
    out.print(f"[red]Publication refused[/red] since {attempt.since:%Y-%m-%d %H:%M} UTC, run {attempt.run_id[:8]}:")
    for reason in attempt.reasons:
        out.print(f"  {escape(reason)}")
    return False


@app.command()
def report(
    output: Annotated[OutputFormat, typer.Option("--format", help="table or json.")] = OutputFormat.TABLE,
) -> None:
    """Print the latest run report: what came in, what failed, what moved, what needs attention."""
    from quality_assets.domain.run_report import report_json, report_text
    from quality_assets.warehouse.run_reports import REPORT_HTML, latest_report

    settings = _settings()
    if output is OutputFormat.CSV:
        _fail("a report has no rows; ask for --format table or json", 2)
    found = latest_report(settings)
    if found is None:
        _fail("no report has been made yet; `quality run` makes one")
    if output is OutputFormat.JSON:
        print(report_json(found))
        return
    out.print(escape(report_text(found)))
    out.print(f"As a page: {settings.reports_dir / REPORT_HTML}")


@app.command()
def backtest(
    from_date: Annotated[str, typer.Option("--from", help="First day to replay, e.g. 2026-01-31.")],
    to_date: Annotated[str, typer.Option("--to", help="Last day to replay, inclusive.")],
) -> None:
    """Replay history day by day as it was known then, and grade the risk scores against the baselines."""
    from quality_assets.warehouse.snapshots import current_snapshot, open_snapshot

    start, end = _day(from_date, "--from"), _day(to_date, "--to")
    assert start is not None  # both are required
    assert end is not None
    if start > end:
        _fail(f"--from {start} is after --to {end}", 2)
    snapshot = current_snapshot(_settings().published_dir)
    if snapshot is None:
        _fail("nothing is published yet; `quality run` publishes")
    # What learns takes seconds to import.
    from quality_assets.domain.backtest import backtest as replay
    from quality_assets.warehouse.risk_tables import read_facts, risk_context

    with _activity("replaying"), open_snapshot(snapshot) as connection:
        result = replay(read_facts(connection), start, end, context=risk_context(connection))
    for note in result.notes:
        err.print(escape(note))
    if not len(result.grades):
        _fail("nothing could be graded in these days")
    _print_grades(result.grades)


_GRADES = ("pr_auc", "brier_skill", "ece", "precision_at_k", "lead_days_median", "warned_share", "alerts_per_week")


def _print_grades(grades: pd.DataFrame) -> None:
    first = grades.iloc[0]
    out.print(
        f"{int(first['rows']):,} feature-days with a known outcome, {int(first['positives']):,} of them degraded within"
        f" a week ({first['base_rate']:.1%})"
    )
    grid = Grid(box=None, pad_edge=False)
    grid.add_column("model")
    for name in _GRADES:
        grid.add_column(name.replace("_", " "), justify="right")
    for model, rows in grades.groupby("model", sort=False):
        by_metric = rows.set_index("metric")
        grid.add_row(str(model).replace("_", " "), *(_grade(by_metric, name) for name in _GRADES))
    out.print(grid)


def _grade(rows: pd.DataFrame, name: str) -> str:
    if name not in rows.index:
        return "–"
    value, low, high = rows[["value", "low", "high"]].astype(float).to_numpy()[list(rows.index).index(name)]
    if isnan(value):
        return "–"
    return f"{value:.2f}" + ("" if isnan(low) else f" ({low:.2f}–{high:.2f})")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT. Schemas: raw, core, product, ml, monitoring, ops.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")] = OutputFormat.TABLE,
) -> None:
    """Ask the published snapshot, read-only.

    For example: quality sql "select feature, users from product.fact_feature_metrics limit 5"
    """
    import duckdb

    from quality_assets.warehouse.snapshots import current_snapshot, open_snapshot, read_only_sql

    snapshot = current_snapshot(_settings().published_dir)
    if snapshot is None:
        _fail("nothing is published yet; `quality run` publishes")
    with open_snapshot(snapshot) as connection:
        try:
            result = read_only_sql(connection, query)
            names = [column[0] for column in result.description or []]
            _print_rows(names, iter(lambda: result.fetchmany(10_000), []), output)
        except (duckdb.Error, ValueError) as error:
            _fail(str(error))


def _print_rows(names: Sequence[str], batches: Iterator[list[tuple[Any, ...]]], output: OutputFormat) -> None:
    if output is OutputFormat.TABLE:
        grid = Grid()
        for name in names:
            grid.add_column(escape(name))
        for row in chain.from_iterable(batches):
            grid.add_row(*("" if value is None else escape(str(value)) for value in row))
        out.print(grid)
        return
    if output is OutputFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        for batch in batches:
            writer.writerows(batch)
        return
    print("[", end="")
    for at, row in enumerate(chain.from_iterable(batches)):
        record = json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False)
        print((",\n" if at else "\n") + record, end="")
    print("\n]")


@app.command()
def serve() -> None:
    """Start the Dagster UI with its daemon, and the dashboard; Ctrl-C stops both."""
    _serve(_settings())


def _serve(settings: Settings) -> None:
    from quality_assets.runner import prepare_home
    from quality_assets.serving import PortTakenError, ServerDiedError
    from quality_assets.serving import serve as run_servers

    prepare_home(settings)
    environment = {**os.environ, "QUALITY_DATA_DIR": str(settings.data_dir)}
    try:
        run_servers(settings, environment, lambda line: out.print(escape(line)))
    except (PortTakenError, ServerDiedError) as error:
        _fail(str(error))


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, help="Days of the sample.")] = 120,
    serving: Annotated[bool, typer.Option("--serve/--no-serve", help="Start the servers at the end.")] = True,
) -> None:
    """Put a sample into an empty landing zone, run the graph, say what it found, and start the servers."""
    from quality_assets.serving import PortTakenError, check_ports
    from quality_assets.warehouse.landing import scan

    settings = _settings()
    if serving:
        try:
            check_ports(settings)
        except PortTakenError as error:
            _fail(str(error))
    if not scan(settings.landing_dir)[0]:
        _put_sample(settings, days)
    succeeded = _run(settings)
    if serving:
        # A process of its own: what building needed, Great Expectations and Dagster among it, goes with this one.
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-m", "quality_assets.cli", "serve"])  # noqa: S606
    if not succeeded:
        raise typer.Exit(1)


def _put_sample(settings: Settings, days: int) -> None:
    from quality_assets.simulate import SimulationPlan
    from quality_assets.simulate import simulate as write_telemetry

    # The sample ends yesterday, so that it is as fresh as real telemetry would be.
    start = datetime.now(UTC).date() - timedelta(days=days)
    plan = SimulationPlan(days=days, features=24, events_per_day=4_000, seed=7, start_date=start)
    out.print(f"The landing zone is empty: simulating {days} days of telemetry of {plan.features} features.")
    scratch = settings.scratch_dir / "sample"
    shutil.rmtree(scratch, ignore_errors=True)
    with _activity("simulating"):
        write_telemetry(plan, scratch, on_progress=lambda done, total: progress.report(f"{done} of {total} days"))
    settings.landing_dir.mkdir(parents=True, exist_ok=True)
    os.replace(scratch / "logs", settings.landing_dir / "sample")
    shutil.rmtree(scratch)


@app.command()
def publish() -> None:
    """Publish the warehouse as it stands, if every blocking check passes."""
    from quality_assets.runner import graph_instance, run_job

    settings = _settings()
    with _activity("publishing"), graph_instance(settings) as instance:
        outcome = run_job(instance, settings, "publish")
    if not outcome.succeeded:
        _fail(outcome.error or "publication failed")
    _print_publication(settings)


@app.command()
def doctor() -> None:
    """Check versions, ports, paths, locks, disk and settings, and say how to mend each."""
    from quality_assets.doctor import examine

    settings = _settings()
    is_well = True
    for finding in examine(settings):
        is_well = is_well and finding.is_ok
        mark = "[green]✓[/green]" if finding.is_ok else "[red]✗[/red]"
        out.print(f"{mark} {finding.subject}: {escape(finding.detail)}")
        if not finding.is_ok and finding.mend:
            out.print(f"    → {escape(finding.mend)}")
    if not is_well:
        raise typer.Exit(1)


@app.command()
def licenses(
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")] = OutputFormat.TABLE,
) -> None:
    """List what the product brings along, installed or vendored, with each one's version and licence.

    The product itself is under the MIT licence; the text is in LICENSE.
    """
    from quality_assets.licenses import Licensed, third_party

    names = [field.name for field in fields(Licensed)]
    _print_rows(names, iter([[astuple(item) for item in third_party()]]), output)


def entry() -> NoReturn:
    """Run the command; what nobody foresaw becomes a sentence, and its traceback goes to data/logs/quality.log."""
    code: object = 0
    try:
        app()
    except SystemExit as end:
        code = end.code
    except Exception as error:
        code = 1
        err.print(f"[red]quality:[/red] {escape(str(error).partition(chr(10))[0] or type(error).__name__)}")
        err.print(escape(_what_next(error)))
    # What Dagster and Great Expectations hold on to keeps DuckDB's objects alive until the interpreter tears itself
    # down, which DuckDB then reports in a screenful of leaks. Everything is closed by now: leave without the tearing.
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _what_next(error: Exception) -> str:
    """What to do about what went wrong on the way to the disk; else where the details are."""
    number, root = getattr(error, "errno", None), get_settings().data_dir
    if number in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in _FULL) or _is_full(root):
        return "The disk is full. Free some space and run the command again: whatever was half written does not count."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT) or "read-only" in str(error):
        return (
            f"The data root is {root}. Make what is named above writable for you, or name another root: --data-dir, or"
            " QUALITY_DATA_DIR."
        )
    if number == errno.EMFILE:
        return "Too many files are open: `ulimit -n 1024`, or more, in this shell, and run the command again."
    return f"This was not foreseen. {_log_unforeseen()}; `quality doctor` may know what is wrong."


# As SQLite and DuckDB say it.
_FULL = ("No space left on device", "disk is full")


def _is_full(folder: Path) -> bool:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return shutil.disk_usage(there).free < 1 << 20


def _log_unforeseen() -> str:
    """Keep the traceback, and say where; the data root itself may be what is wrong."""
    log = get_settings().data_dir / "logs" / "quality.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as stream:
            stream.write(
                f"{datetime.now(UTC).isoformat()} quality {' '.join(sys.argv[1:])}\n{traceback.format_exc()}\n"
            )
    except OSError as unwritable:
        return f"Its details could not be kept: {unwritable}"
    return f"Details are in {log}"


if __name__ == "__main__":
    entry()
