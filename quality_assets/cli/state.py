"""Commands that say how things stand: status, report, sql, doctor."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from quality_assets.cli.app import app, root_settings
from quality_assets.cli.output import (
    NOT_SCORED,
    OutputFormat,
    fail,
    out,
    print_dates_not_over,
    print_failures,
    print_files_off,
    print_first,
    print_passed_over,
    print_publication,
    print_rows,
    repeated_lines,
    shown,
)
from quality_assets.domain.escaping import json_text
from quality_assets.domain.wording import plural
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from quality_assets.cli.fault import Fault
    from quality_assets.stores.warehouse import WarehouseSession


@app.command()
def status() -> None:
    """What is fresh, stale, failing and quarantined, and what readers see. Exit code 1 when something is wrong."""
    from quality_assets.cli.summary import NOTHING_INGESTED
    from quality_assets.stores.warehouse import WarehouseBusyError, open_warehouse

    settings = root_settings()
    # All of them are told, whichever is wrong.
    is_good = all([not print_files_off(settings), print_publication(settings), print_failures(settings)])
    if not settings.warehouse_path.exists():
        out.print(NOTHING_INGESTED)
        return
    try:
        with open_warehouse(settings, lock_timeout_s=1) as session:
            is_good = _print_warehouse(session) and is_good
    except WarehouseBusyError:
        out.print("A run is writing to the warehouse just now; ask again when it has ended.")
    if not is_good:
        raise typer.Exit(1)


def _print_warehouse(session: WarehouseSession) -> bool:
    """Print what the warehouse holds and what it waits for; whether nothing waits, or stands against publication."""
    from quality_assets.cli.summary import checks_line, failing_checks
    from quality_assets.domain.features.descriptions import FeatureDescriptionsError
    from quality_assets.runner import is_up_to_date
    from quality_assets.tables.descriptions import are_descriptions_stale
    from quality_assets.tables.ingest import waiting_files
    from quality_assets.tables.publishing import reasons_against
    from quality_assets.tables.staleness import contiguous_ranges, dates_not_over, days_to_build

    connection = session.connection
    waiting, passed_over = waiting_files(session)
    _print_rows(connection, is_waiting=bool(waiting))
    stale = contiguous_ranges(days_to_build(connection))
    way_on = ": `quality run` reads and builds them" if waiting else ""
    out.print(f"Waiting: {plural(len(waiting), 'file')}, {plural(len(stale), 'range')} of dates{_spans(stale)}{way_on}")
    with suppress(FeatureDescriptionsError):
        if are_descriptions_stale(session):
            path = session.settings.feature_metadata_path
            out.print(f"{shown(path)} says something else than was read of it: `quality run` reads it again")
    if not is_up_to_date(session):
        out.print(NOT_SCORED)
    print_dates_not_over(dates_not_over(connection))
    print_first(repeated_lines(connection))
    print_passed_over(passed_over)
    out.print(checks_line(connection))
    for severity, asset, name, count, description in failing_checks(connection):
        out.print(shown(f"  {severity} {asset} {name} ({count}): {description}"))
    return not reasons_against(session) and not waiting


def _print_rows(connection: DuckDBPyConnection, *, is_waiting: bool) -> None:
    from quality_assets.cli.summary import NOTHING_INGESTED, accounting, is_without_logs, quarantine_reasons

    totals = accounting(connection)
    if is_without_logs(connection) and not is_waiting:
        out.print(NOTHING_INGESTED)
    out.print(
        f"Rows: {totals.rows:,} in {plural(totals.files, 'file')} = {totals.valid:,} valid +"
        f" {totals.quarantined:,} quarantined{totals.not_built}"
    )
    if totals.last_date:
        out.print(f"Data: {totals.first_date} to {totals.last_date}")
    reasons = quarantine_reasons(connection)
    if reasons:
        out.print("Quarantine: " + ", ".join(f"{name} {count:,}" for name, count in reasons))


def _spans(ranges: list[tuple[date, date]]) -> str:
    shown = ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in ranges[:5])
    return f": {shown}{' …' if len(ranges) > 5 else ''}" if ranges else ""


@app.command()
def report(
    output: Annotated[OutputFormat, typer.Option("--format", help="table or json.")] = OutputFormat.TABLE,
) -> None:
    """Print the latest run report: what came in, what failed, what moved, what needs attention."""
    from quality_assets.domain.reports.run import report_json, report_text
    from quality_assets.tables.reports import REPORT_HTML, latest_report

    settings = root_settings()
    if output is OutputFormat.CSV:
        fail("a report has no rows; ask for --format table or json", 2)
    found = latest_report(settings)
    if found is None:
        fail("no report has been made yet; `quality run` makes one of what was ingested")
    if output is OutputFormat.JSON:
        print(json_text(report_json(found)))
        return
    out.print(escape(report_text(found)))
    out.print(f"As a page: {settings.reports_dir / REPORT_HTML}")


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="One SELECT. Schemas: raw, core, product, impact, ml, monitoring, ops.")],
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")] = OutputFormat.TABLE,
) -> None:
    """Ask the published snapshot, read-only.

    For example: quality sql "select feature, users from product.fact_feature_metrics limit 5"
    """
    import duckdb

    from quality_assets.stores.snapshots import current_snapshot, open_snapshot, read_only_sql, why_none_is_published

    published_dir = root_settings().published_dir
    snapshot = current_snapshot(published_dir)
    if snapshot is None:
        fail(why_none_is_published(published_dir))
    with open_snapshot(snapshot) as connection:
        try:
            result = read_only_sql(connection, query)
            names = [column[0] for column in result.description or []]
            print_rows(names, iter(lambda: result.fetchmany(10_000), []), output)
        except (duckdb.Error, ValueError) as error:
            fail(str(error))


@app.command()
def doctor(
    mend: Annotated[
        bool, typer.Option("--mend", help="Set aside what is broken of the stores, and make it anew from landing/.")
    ] = False,
    without_gone: Annotated[
        bool,
        typer.Option(
            "--without-gone", help="With --mend: go on without rows of logs that are gone, or no longer readable."
        ),
    ] = False,
) -> None:
    """Check versions, ports, paths, locks, disk, settings and stores, and say how to mend each."""
    from quality_assets.cli.doctor import examine

    settings = root_settings()
    if mend:
        _mend(settings, without_gone=without_gone)
    is_well = True
    for finding in examine(settings):
        is_well = is_well and finding.is_ok
        mark = "[green]✓[/green]" if finding.is_ok else "[red]✗[/red]"
        out.print(f"{mark} {finding.subject}: {escape(finding.detail)}")
        if not finding.is_ok and finding.mend:
            out.print(f"    → {escape(finding.mend)}")
    if not is_well:
        raise typer.Exit(1)


_WRITING = "a run is writing: stop it, and what serves this data root, and mend then"


def _mend(settings: Settings, *, without_gone: bool) -> None:
    from quality_assets.cli.data import build_and_follow
    from quality_assets.cli.faults import can_be_made_anew, find_faults
    from quality_assets.stores.warehouse import is_being_written

    if is_being_written(settings):
        fail(_WRITING)
    faults = find_faults(settings)
    if not faults:
        out.print("There is nothing to mend.")
        return
    for fault in faults:
        out.print(f"[red]✗[/red] {fault.subject}: {escape(fault.detail)}")
    needs_logs = any(settings.warehouse_path in fault.set_aside for fault in faults)
    if needs_logs and not can_be_made_anew(settings):
        fail(f"{settings.landing_dir} is empty: put the raw logs there, since all is made anew from them")
    if needs_logs and not without_gone:
        _refuse_to_lose(settings, faults)
    folder = _moved_away(settings, faults)
    if folder:
        out.print(f"Set aside: {escape(str(folder))}; delete it once all is well again")
    if not build_and_follow(settings):
        raise typer.Exit(1)


def _refuse_to_lose(settings: Settings, faults: Sequence[Fault]) -> None:
    """Keep what the lake has of logs that are gone from landing/; end where making all anew would lose rows."""
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.gone_logs import gone_logs, keep_gone_logs, said_gone, standing_logs

    if standing := standing_logs(settings):
        fail(
            f"{plural(len(standing), 'log')} stay as they were read before the YAML of their source changed, such as"
            f" {standing[0]}: made anew, no row of theirs would be valid. Mend the YAML first, or let go of these"
            " rows: `quality doctor --mend --without-gone`"
        )
    if not gone_logs(settings):
        return
    _fail_if_served(settings)
    if all(fault.subject != "Warehouse" for fault in faults):
        with open_warehouse(settings) as session:
            keep_gone_logs(session)
    if gone := gone_logs(settings):
        fail(
            f"{said_gone(gone)}, and all is made anew from there. Put them back from a backup, or let go of their rows:"
            " `quality doctor --mend --without-gone`"
        )


def _fail_if_served(settings: Settings) -> None:
    from quality_assets.serve.processes import collector_runs, is_served

    if is_served(settings) or collector_runs(settings):
        fail("servers of this data root run and have its files open: stop them (Ctrl-C, or SIGTERM), and mend then")


def _moved_away(settings: Settings, faults: Sequence[Fault]) -> Path | None:
    """Set aside what is broken, while nobody has it open; the folder where it is."""
    from filelock import FileLock, Timeout

    from quality_assets.cli.faults import set_aside

    _fail_if_served(settings)
    try:
        with FileLock(settings.data_dir / ".writer.lock", timeout=0):
            return set_aside(settings, faults)
    except Timeout:
        fail(_WRITING)


@app.command()
def licenses(
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the rows.")] = OutputFormat.TABLE,
) -> None:
    """List what the product brings along, installed or vendored, with each one's version and licence.

    The product itself is under the MIT licence; the text is in LICENSE.
    """
    from quality_assets.cli.licenses import Licensed, third_party

    names = [field.name for field in fields(Licensed)]
    print_rows(names, iter([[astuple(item) for item in third_party()]]), output)
