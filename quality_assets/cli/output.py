"""What commands print: tables, progress, errors with what to do next."""

from __future__ import annotations

import csv
import errno
import json
import re
import shutil
import sys
import traceback
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table as Grid

from quality_assets import progress
from quality_assets.domain.escaping import json_text, spreadsheet_value, terminal_text, visible_text
from quality_assets.domain.wording import figure_text
from quality_assets.settings import Settings, get_settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from quality_assets.stores.landing import Ignored


class PlainConsole(Console):
    """A console to which no text brings a control character, whoever prints it; styles are Rich's own and stay.

    Nor is `:x:` a picture: it may be of a log, or of a file of passwords.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """What is printed, piece by piece."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible_text(segment.text))


# Where no terminal says how wide it is, as in a pipe, nothing is cut.
_WIDTH = None if sys.stdout.isatty() else 240


out = PlainConsole(soft_wrap=True, highlight=False, width=_WIDTH)


err = PlainConsole(stderr=True, soft_wrap=True, highlight=False)


TERMINATED = 143
"""How a server ends that was asked to by SIGTERM, as a shell says it."""

NOT_SCORED = "Incidents, risk, drift and the run report are not of these data yet: `quality run`"


class OutputFormat(StrEnum):
    """How query results are printed."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def fail(message: str, code: int = 1) -> NoReturn:
    err.print(f"[red]quality:[/red] {escape(message)}")
    raise typer.Exit(code)


@contextmanager
def shown_activity(what: str) -> Iterator[None]:
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


def print_state(settings: Settings) -> None:
    from quality_assets.cli.summary import summary_lines
    from quality_assets.runner import is_up_to_date
    from quality_assets.stores.snapshots import current_snapshot
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.impact.defined import definitions_off
    from quality_assets.tables.ingest import waiting_files
    from quality_assets.tables.staleness import dates_not_over

    with open_warehouse(settings) as session:
        for line in summary_lines(session.connection):
            out.print(escape(line))
        if not is_up_to_date(session):
            out.print(NOT_SCORED)
        unfinished = dates_not_over(session.connection)
        passed_over = waiting_files(session)[1]
        wrong = definitions_off(session)
        repeated = repeated_lines(session.connection)
    print_dates_not_over(unfinished)
    for reason in wrong:
        err.print(f"[red]Definition not used:[/red] {escape(reason)}")
    print_first(repeated)
    print_passed_over(passed_over)
    snapshot = current_snapshot(settings.published_dir)
    if snapshot:
        out.print(f"Published snapshot {snapshot.version}, {data_text(snapshot.data_through)}")


def data_text(through: date | None) -> str:
    """How far the data of a snapshot reach."""
    return "no data yet" if through is None else f"data through {through}"


def print_dates_not_over(days: Mapping[date, str]) -> None:
    for day, why in days.items():
        out.print(f"{day} {why}: what has come of it is read, and is built when it is whole")


def print_passed_over(items: Sequence[Ignored]) -> None:
    print_first(f"Passed over in the landing zone: {shown(item.name)}, which {shown(item.reason)}" for item in items)


def print_first(lines: Iterable[str]) -> None:
    """Print the first few lines, and how many more there are."""
    lines = list(lines)
    for line in lines[:_FIRST]:
        out.print(line)
    if len(lines) > _FIRST:
        out.print(f"… and {len(lines) - _FIRST} more")


_FIRST = 5


def repeated_lines(connection: DuckDBPyConnection, paths: Sequence[str] | None = None) -> list[str]:
    """Of which logs an earlier content stays in force, of some or of all, and how the newer one would be."""
    rows = connection.execute(
        "select path, source from raw.log_files where repeats is not null and status = 'loaded'"
        " and ($paths is null or list_contains($paths, path)) order by file_number desc",
        {"paths": list(paths) if paths is not None else None},
    ).fetchall()
    return [
        f"{shown(path)} has come in place of an earlier file of its name, with the same dates: both count, and what"
        " both tell counts once, as the earlier one tells it; if it corrects the earlier one, `on_repeat: replace`"
        f" in the YAML of source {shown(source)} makes it count instead"
        for path, source in rows
    ]


def days_gone_lines(connection: DuckDBPyConnection, file_ids: Collection[str]) -> list[str]:
    """Of which logs days went, as some have taken their place that have none of these."""
    from quality_assets.contracts.raw import WITHOUT_DAYS

    rows = connection.execute(
        "select path, reason from raw.log_files where status = 'superseded' and starts_with(reason, $gone)"
        " and list_contains($ids, superseded_by) order by file_number desc",
        {"gone": WITHOUT_DAYS, "ids": list(file_ids)},
    ).fetchall()
    return [
        f"{shown(path)} has taken the place of an earlier file of its name, and has no day for"
        f" {shown(reason.removeprefix(WITHOUT_DAYS).strip())}: they are gone. If it holds the last days and moves on"
        " with them, `on_repeat: keep` in the YAML of its source keeps them"
        for path, reason in rows
    ]


def print_publication(settings: Settings) -> bool:
    from quality_assets.clock import ahead_of_clock, utc_now
    from quality_assets.stores.snapshots import current_snapshot, last_attempt, published_fault

    snapshot = current_snapshot(settings.published_dir)
    attempt = last_attempt(settings.published_dir)
    fault = published_fault(settings.published_dir)
    if snapshot is None:
        out.print(
            f"Snapshot: {shown(fault)}; `quality run` publishes anew" if fault else "Snapshot: none published yet"
        )
    else:
        out.print(
            f"Snapshot: {snapshot.version}, published {snapshot.published_at:%Y-%m-%d %H:%M} UTC,"
            f" {data_text(snapshot.data_through)}"
        )
        if wrong := ahead_of_clock(snapshot.published_at, utc_now()):
            out.print(f"[red]Clock[/red]: {wrong}")
    if attempt is None or attempt.status == "published":
        return fault is None
    out.print(f"[red]Publication refused[/red] since {attempt.since:%Y-%m-%d %H:%M} UTC, run {attempt.run_id[:8]}:")
    for reason in attempt.reasons:
        out.print(f"  {shown(reason)}")
    return False


def print_failures(settings: Settings) -> bool:
    """What fails to be built, each with the address of its run; whether nothing does."""
    from quality_assets.stores.failures import failures

    found = failures(settings.published_dir)
    for failure in found:
        out.print(f"[red]✗[/red] {escape(failure.sentence)}")
        out.print(f"    http://{settings.host}:{settings.dagster_port}/runs/{failure.run_id}")
    return not found


def print_rows(names: Sequence[str], batches: Iterator[list[tuple[Any, ...]]], output: OutputFormat) -> None:
    if output is OutputFormat.TABLE:
        grid = Grid()
        for name in names:
            grid.add_column(shown(name))
        for row in chain.from_iterable(batches):
            grid.add_row(*("" if value is None else shown(_told(value)) for value in row))
        out.print(grid)
        return
    if output is OutputFormat.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_csv_cells(names))
        for batch in batches:
            writer.writerows(map(_csv_cells, batch))
        return
    print("[", end="")
    for at, row in enumerate(chain.from_iterable(batches)):
        record = json.dumps(dict(zip(names, row, strict=True)), default=str, ensure_ascii=False)
        print((",\n" if at else "\n") + json_text(record), end="")
    print("\n]")


def _told(value: object) -> object:
    """A value as a table for people has it: six digits of a float; JSON and CSV are exact."""
    if isinstance(value, float) and isfinite(value):
        return figure_text(value).replace("−", "-")
    return value


# Backslashes that Rich would take for escapes of the bracket, or of the markup, that follows them.
_BEFORE_MARKUP = re.compile(r"(\\+)(?=\[|$)")


def shown(value: object) -> str:
    """A value, or a text from data, on one line of a terminal, where Rich reads it as text and not as markup."""
    pieces = _BEFORE_MARKUP.split(terminal_text(str(value)))
    # Doubled, and followed by a style that is none, backslashes are themselves.
    return "".join(f"{piece * 2}[none][/none]" if n % 2 else escape(piece) for n, piece in enumerate(pieces))


def _csv_cells(row: Sequence[Any]) -> list[Any]:
    # What runs nowhere: neither in a spreadsheet nor in the terminal that it may be printed to. JSON is exact.
    return [spreadsheet_value(visible_text(value) if isinstance(value, str) else value) for value in row]


def what_next(error: Exception) -> str:
    """What to do about what went wrong on the way to the disk; else where the details are."""
    number, root = getattr(error, "errno", None), get_settings().data_dir
    if number in (errno.ENOSPC, errno.EDQUOT) or any(words in str(error) for words in _FULL) or _is_full(root):
        return "The disk is full. Free some space and run the command again: whatever was half written does not count."
    if "readonly database" in str(error):
        return f"A database under {root} is not yours to write: `quality doctor` names what belongs to others."
    if number in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT) or "read-only" in str(error):
        return (
            f"The data root is {root}. Make what is named above writable for you, or name another root: --data-dir, or"
            " QUALITY_DATA_DIR."
        )
    if number == errno.EMFILE:
        return "Too many files are open: `ulimit -n 1024`, or more, in this shell, and run the command again."
    if "(psycopg." in str(error):
        return (
            "That is what the PostgreSQL of QUALITY_OPERATIONS_URL says: `quality doctor` knows whether it answers, and"
            " what its role may not do."
        )
    if any(words in str(error) for words in _BROKEN):
        return (
            f"A database under {root} is broken. `quality doctor` says which, and `quality doctor --mend` sets it aside"
            f" and goes on without it. {_log_unforeseen()}."
        )
    return f"This was not foreseen. {_log_unforeseen()}; `quality doctor` may know what is wrong."


# As SQLite and DuckDB say it.
_FULL = ("No space left on device", "disk is full")
_BROKEN = (
    "file is not a database",
    "database disk image is malformed",
    "not a valid DuckDB database file",
    "No magic bytes",
)


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
                visible_text(
                    f"{datetime.now(UTC).isoformat()} quality {' '.join(sys.argv[1:])}\n{traceback.format_exc()}\n"
                )
            )
    except OSError as unwritable:
        return f"Its details could not be kept: {unwritable}"
    return f"Details are in {log}"


def fail_if_newer(settings: Settings) -> None:
    """Fail where a newer version has written the operations store: each check of a run would, one after the other.

    One that does not answer stops nothing: what is found again is told once it does.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from quality_assets.stores.operations.engine import OperationsUrlError
    from quality_assets.stores.operations.store import operations_of
    from quality_assets.stores.operations.upgrade import OperationsNewerError

    if not (settings.operations_path.exists() or settings.operations_url):
        return
    with suppress(SQLAlchemyError, OSError):
        try:
            operations_of(settings)
        except (OperationsNewerError, OperationsUrlError) as error:
            fail(str(error))


def print_files_off(settings: Settings) -> bool:
    """Say which files of sources and watched tables are wrong, and what holds meanwhile; whether any is."""
    from quality_assets.tables.own_files import wrong_sources

    wrong = wrong_sources(settings)
    for sentence in wrong:
        err.print(shown(sentence), style="red")
    return print_datasets_off(settings) or bool(wrong)


def print_datasets_off(settings: Settings) -> bool:
    """As `print_files_off`, of watched tables alone."""
    from quality_assets.tables.own_files import wrong_datasets

    wrong = wrong_datasets(settings)
    for sentence in wrong:
        err.print(shown(sentence), style="red")
    return bool(wrong)
