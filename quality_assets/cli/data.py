"""Commands that bring data in and build from it: simulate, ingest, run, publish."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table as Grid

from quality_assets import progress
from quality_assets.cli.app import app, check_order, parse_day, root_settings
from quality_assets.cli.output import (
    days_gone_lines,
    err,
    fail,
    fail_if_newer,
    out,
    print_dates_not_over,
    print_files_off,
    print_first,
    print_publication,
    print_state,
    repeated_lines,
    shown,
    shown_activity,
)
from quality_assets.cli.refusals import refusal_lines
from quality_assets.contracts.raw import PERHAPS
from quality_assets.domain.wording import plural
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.runner import RunOutcome
    from quality_assets.simulate import SimulationPlan

_MOST_FILES = 30


class LogFormat(StrEnum):
    """Formats of simulated logs."""

    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


@app.command()
def simulate(
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder to write to; must be empty or absent.")] = None,
    to_url: Annotated[
        str | None, typer.Option("--to", help="Send it to a collector at this address instead of writing it.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.001, help="With --to: how many times as fast as it happened; else at once.")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="With --to: go on with the rest of today, each event when its time has come.")
    ] = False,
    days: Annotated[int, typer.Option(min=1, help="How many days.")] = 30,
    features: Annotated[int, typer.Option(min=1, help="How many product features.")] = 20,
    events_per_day: Annotated[int, typer.Option(min=1, help="How many events a day, about.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    start_date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day.")] = None,
    dirt: Annotated[float, typer.Option(min=0.0, max=0.5, help="Share of rows that are dirty.")] = 0.015,
    log_format: Annotated[LogFormat, typer.Option("--format", help="Format of the logs.")] = LogFormat.CSV,
    users: Annotated[
        int | None,
        typer.Option(min=1, help="So many people with lives, who take up features, do a quiz and see experiments."),
    ] = None,
    lasting: Annotated[int, typer.Option(min=0, help="More faults, which last until the end.")] = 0,
    renames: Annotated[int, typer.Option(min=0, help="Features that are renamed, split or removed.")] = 0,
    mixes: Annotated[int, typer.Option(min=0, help="Features whose users, devices, versions, countries shift.")] = 0,
) -> None:
    """Write realistic telemetry with known incidents and known dirt, and the ground truth beside it.

    Logs go to OUT/logs, one file a day; what is wrong in them to OUT/incidents.csv and OUT/dirt.csv, what changes
    without a fault to OUT/changes.csv. With --to they are sent instead, and end with today. With --users, the truth of
    people and arms, and experiments' files, lie there too.
    """
    from quality_assets.simulate import PeoplePlan, SimulationPlan

    if (out_dir is None) == (to_url is None):
        fail("one of --out and --to says where it goes", 2)
    if to_url is not None and start_date is None:
        start_date = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days - 1)
    if out_dir is not None and out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        fail(f"{out_dir} is not an empty folder; name another, or empty it", 2)
    chosen: dict[str, Any] = {"start_date": start_date.date()} if start_date else {}
    chosen |= {"people": PeoplePlan(users)} if users else {}
    chosen |= {"lasting_faults": lasting, "renames": renames, "mixes": mixes}
    try:
        plan = SimulationPlan(
            days=days, features=features, events_per_day=events_per_day, seed=seed, dirt_share=dirt, **chosen
        )
    except ValueError as error:
        fail(str(error), 2)
    if to_url is not None or out_dir is None:
        _send(plan, to_url or "", speed, live)
        return
    _write_simulated(plan, out_dir, log_format)


def _write_simulated(plan: SimulationPlan, out_dir: Path, log_format: LogFormat) -> None:
    from quality_assets.simulate import simulate as write_telemetry

    with shown_activity("simulating"):
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


def _send(plan: SimulationPlan, url: str, speed: float | None, is_living: bool) -> None:
    from quality_assets.simulate import simulate as write_telemetry
    from quality_assets.simulate.sending import SendingError, events_of, send

    with TemporaryDirectory() as folder, shown_activity("sending"):
        write_telemetry(plan, Path(folder), format="jsonl")
        events, unreadable = events_of(Path(folder) / "logs")
        try:
            sent = send(
                url, events, speed=speed, is_living=is_living,
                on_progress=lambda done, total: progress.report(f"{done} of {total} events"),
            )  # fmt: skip
        except SendingError as error:
            fail(str(error))
    out.print(
        f"{sent.accepted:,} events taken, {sent.refused:,} refused (`quality deadletters list`), {unreadable:,} lines"
        f" were no JSON, {sent.ahead:,} lie ahead of now"
    )


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files and folders: CSV, JSONL, Parquet, also .gz and .zst.")],
    source: Annotated[str | None, typer.Option(help="The source they are of; found out where not given.")] = None,
) -> None:
    """Put logs into the landing zone and read them.

    Files whose bytes are known already are skipped, under whatever name they come. `quality run` builds the rest.
    """
    from quality_assets.contracts.sources.events import load_sources
    from quality_assets.contracts.sources.model import NoSourceMatches
    from quality_assets.runner import graph_instance, ingest_waiting
    from quality_assets.stores.landing import place

    settings = root_settings()
    if not all(paths):
        # As a path it would be the folder that the command is run in, and all in it would be copied and read.
        fail("a path is empty, as where a variable of a script is not set; `.` is the folder that you are in", 2)
    given = list(map(Path, paths))
    missing = [str(path) for path in given if not path.exists()]
    if missing:
        fail(f"{', '.join(missing)}: no such file or folder", 2)
    try:
        sources = load_sources(settings.source_folders, settings.earliest_date)
        if source is not None:
            sources[source]
    except NoSourceMatches as error:
        fail(str(error), 2)
    fail_if_newer(settings)
    print_files_off(settings)
    with shown_activity("copying into the landing zone"):
        placed, ignored = place(given, settings.landing_dir, source or "")
    for item in ignored:
        err.print(f"left out {shown(item.name)}: it {shown(item.reason)}")
    if not placed:
        fail(f"there is no file to read in {', '.join(map(str, given))}")
    names = dict.fromkeys(placed, source) if source else {}
    with shown_activity("ingesting"), graph_instance(settings) as instance:
        outcome = ingest_waiting(instance, settings, names, placed, is_alone=True)
    _print_ingestion(outcome, settings, set(placed))


def _print_ingestion(outcome: RunOutcome, settings: Settings, placed: set[str]) -> None:
    if not outcome.succeeded:
        fail(f"ingestion failed, nothing half-read remains: {outcome.error}")
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.refusals import refusals
    from quality_assets.tables.staleness import dates_not_over

    with open_warehouse(settings) as session:
        files = session.connection.execute(
            "select landing.path, status, source, rows, rows_refused, touched_dates, reason, encoding, log.path,"
            " load_id, file_id"
            " from ops.landing_files as landing join raw.log_files as log using (file_id) order by landing.path"
        ).fetchall()
        wanted = [tuple(row) for *row, _ in files if row[0] in placed]
        asked = {file_id for path, *_, file_id in files if path in placed}
        refused = list(refusal_lines(refusals(session.connection, asked)))
        repeated = repeated_lines(session.connection, [path for path, *_ in wanted])
        gone = days_gone_lines(session.connection, asked)
        unfinished = dates_not_over(session.connection)
    loads = set(outcome.metadata.get("raw.raw_logs", {}).get("loads", []))
    metadata = outcome.metadata.get("raw.log_files", {})
    for left in metadata.get("files_waiting", []):
        err.print(shown(left))
    _print_files(wanted)
    for line in refused:
        out.print(shown(line))
    read = outcome.metadata.get("raw.raw_logs", {}).get("rows_read", 0)
    known = sum(first_path != path or load_id not in loads for path, *_, first_path, load_id in wanted)
    out.print(
        f"{plural(metadata.get('files_loaded', 0), 'file')} read, {plural(read, 'row')};"
        f" {known:,} known before,"
        f" {metadata.get('files_rejected', 0)} rejected"
        + (f". Loads: {', '.join(sorted(loads))}" if len(loads) > 1 else "")
    )
    print_first(repeated)
    print_first(gone)
    today = datetime.now(UTC).date().isoformat()
    touched = outcome.metadata.get("raw.raw_logs", {}).get("touched_dates", [])
    waiting = [day for day in touched if day < today and date.fromisoformat(day) not in unfinished]
    if waiting:
        out.print(f"{plural(len(waiting), 'date waits', 'dates wait')} to be built: `quality run`")
    print_dates_not_over(unfinished)
    _fail_unless_read(placed, {path: status for path, status, *_ in wanted})


def _print_files(files: Sequence[tuple[Any, ...]]) -> None:
    """A line a file: what was read of it, or why not."""
    if not files:
        return
    grid = Grid(box=None, pad_edge=False)
    for heading in ("file", "source", "rows", "refused", "dates"):
        # The last has reasons, which may be long: they take further lines, and no other column's room.
        is_count = heading in ("rows", "refused")
        grid.add_column(heading, justify="right" if is_count else "left", no_wrap=heading != "dates")
    # What was not read is what there is to see; the rest is as expected.
    files = sorted(files, key=lambda file: file[1] != "rejected")
    for file in files[:_MOST_FILES]:
        grid.add_row(*_file_cells(file))
    out.print(grid)
    if len(files) > _MOST_FILES:
        out.print(f"… and {len(files) - _MOST_FILES} more")


def _file_cells(file: tuple[Any, ...]) -> tuple[str, ...]:
    path, status, source, rows, refused, dates, reason, encoding, first_path, _ = file
    unread = (shown(path), "", "", "")
    if status == "withdrawn":
        return *unread, f"skipped: was {shown(reason)}; `quality withdraw --undo` reads it"
    if first_path != path:
        return *unread, f"skipped: has the same content as {shown(first_path)}"
    if status == "rejected":
        return *unread, f"[red]rejected:[/red] {shown(reason)}"
    if status == "superseded":
        return *unread, f"skipped: {shown(reason)}"
    span = f"{min(dates)} to {max(dates)} ({len(dates)})" if dates else "none"
    doubt = f"; read as {encoding}" if PERHAPS in (encoding or "") else ""
    return shown(path), source, f"{rows:,}", f"{refused:,}", span + doubt


def _fail_unless_read(placed: set[str], statuses: Mapping[str, str]) -> None:
    unread = sorted(placed - statuses.keys())
    if unread:
        fail(
            f"{', '.join(unread[:5])}{' …' if len(unread) > 5 else ''}: not read, because it could not be, or was"
            " still changing. Whatever waits in the landing zone is read by the next `quality run`."
        )
    if statuses and set(statuses.values()) == {"rejected"}:
        fail("nothing of what was asked for could be read; the reasons stand above, and in raw.log_files")


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
    start, end = parse_day(from_date, "--from"), parse_day(to_date, "--to")
    if (start is None) != (end is None):
        fail("--from and --to go together", 2)
    check_order(start, end)
    settings = root_settings()
    if not build_and_follow(settings, (start, end) if start and end else None, with_models=not without_models):
        raise typer.Exit(1)


def build_and_follow(settings: Settings, rebuild: tuple[date, date] | None = None, *, with_models: bool = True) -> bool:
    """Run and print; whether all went well."""
    from quality_assets.runner import bring_up_to_date, graph_instance, ingest_waiting
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.champion import import_reader
    from quality_assets.tables.failing import must_read_again
    from quality_assets.tables.gone_logs import gone_logs, said_gone
    from quality_assets.tables.ingest import is_arrival_due
    from quality_assets.tables.staleness import days_to_build, is_arrival_unaudited
    from quality_assets.tables.telling import tell_of_run

    outcomes = []
    fail_if_newer(settings)
    print_files_off(settings)
    if not settings.warehouse_path.exists() and (gone := gone_logs(settings)):
        err.print(f"{shown(said_gone(gone))}; their rows are in no table that is made now", style="red")
    with open_warehouse(settings) as session:
        is_waiting = is_arrival_due(session)
        is_waiting = is_waiting or is_arrival_unaudited(session.connection) or must_read_again(session.connection)
        if with_models and (is_waiting or days_to_build(session.connection)):
            import_reader(settings)
    with graph_instance(settings) as instance:
        if is_waiting:
            with shown_activity("ingesting"):
                outcomes.append(ingest_waiting(instance, settings))
        outcomes += _follow(bring_up_to_date(instance, settings, rebuild, with_models=with_models))
    tell_of_run(settings)
    succeeded = all(outcome.succeeded for outcome in outcomes)
    if not outcomes and rebuild:
        out.print(f"Nothing to do: there is nothing of {rebuild[0]} to {rebuild[1]} to build from.")
    elif not outcomes:
        out.print("Nothing to do: everything that arrived is built and published.")
    print_state(settings)
    return succeeded


def _follow(runs: Iterator[RunOutcome]) -> list[RunOutcome]:
    outcomes: list[RunOutcome] = []
    while True:
        with shown_activity("building"):
            outcome = next(runs, None)
        if outcome is None:
            return outcomes
        outcomes.append(outcome)
        what = outcome.job.replace("_", " ") + (
            f" {outcome.partition_key.replace('...', ' to ')}" if outcome.partition_key else ""
        )
        if outcome.succeeded:
            out.print(f"[green]✓[/green] {what}")
            continue
        if len(outcome.failed_steps) < 2:
            out.print(f"[red]✗ {what}[/red]: {escape(outcome.error or 'see its checks below')}")
            continue
        out.print(f"[red]✗ {what}[/red]:")
        for asset, cause in outcome.failed_steps.items():
            out.print(f"    {escape(asset)}: {escape(cause)}")


SAMPLE_USERS_A_DAY = 40


def put_sample(settings: Settings, days: int) -> None:
    from quality_assets.simulate import PeoplePlan, SimulationPlan
    from quality_assets.simulate import simulate as write_telemetry

    # The sample ends yesterday, so that it is as fresh as real telemetry would be.
    start = datetime.now(UTC).date() - timedelta(days=days)
    people = PeoplePlan(days * SAMPLE_USERS_A_DAY)
    plan = SimulationPlan(days=days, features=24, events_per_day=4_000, seed=7, start_date=start, people=people)
    out.print(f"The landing zone is empty: simulating {days} days of telemetry of {plan.features} features.")
    scratch = settings.scratch_dir / "sample"
    shutil.rmtree(scratch, ignore_errors=True)
    with shown_activity("simulating"):
        write_telemetry(plan, scratch, on_progress=lambda done, total: progress.report(f"{done} of {total} days"))
    settings.landing_dir.mkdir(parents=True, exist_ok=True)
    os.replace(scratch / "logs", settings.landing_dir / "sample")
    # Its experiments are of its own days; whoever has some of their own keeps them.
    own = settings.data_dir / "experiments"
    if not own.exists():
        shutil.copytree(scratch / "definitions" / "experiments", own)
    shutil.rmtree(scratch)


def put_sample_tables(settings: Settings, days: int) -> None:
    """Two watched tables, judged at once, so that they are in what is published; what is known of their faults stays.

    Datasets of these names that a YAML file has are left alone.
    """
    from quality_assets.simulate.daily_tables import write_daily_tables
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.tables.datasets.checking import check_dataset
    from quality_assets.tables.datasets.registering import find

    with shown_activity("judging tables"):
        faults = write_daily_tables(settings.data_dir, datetime.now(UTC).date() - timedelta(days=1), days)
        store = operations_of(settings)
        for name, planted in faults.items():
            batches = list(check_dataset(store, settings, find(store, settings, name), "demo"))
            failed = sum(batch.status != "passed" for batch in batches)
            out.print(
                f"[green]✓[/green] {name}: {plural(len(batches), 'daily file')} judged, {failed} not as usual;"
                f" faults were hidden in {planted}"
            )


@app.command()
def publish() -> None:
    """Publish the warehouse as it stands, if every blocking check passes."""
    from quality_assets.runner import graph_instance, run_job

    settings = root_settings()
    with shown_activity("publishing"), graph_instance(settings) as instance:
        outcome = run_job(instance, settings, "publish")
    if not outcome.succeeded:
        fail(outcome.error or "publication failed")
    print_publication(settings)
