"""Commands that read again what was read before: reread, replay."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from quality_assets.cli.app import app, check_order, parse_day, root_settings
from quality_assets.cli.output import fail, out, shown, shown_activity
from quality_assets.cli.refusals import refusal_lines
from quality_assets.domain.wording import plural
from quality_assets.settings import Settings

if TYPE_CHECKING:
    from quality_assets.contracts.sources.events import Sources
    from quality_assets.tables.replays import Replay, Rereading


@app.command()
def reread(
    source: Annotated[str | None, typer.Option(help="Only the logs of this source.")] = None,
    from_date: Annotated[
        str | None, typer.Option("--from", help="Only logs with rows from this event date on.")
    ] = None,
    to_date: Annotated[str | None, typer.Option("--to", help="Only logs with rows up to this event date.")] = None,
) -> None:
    """Read logs of the landing zone anew, by the rules and source files in force, in place of what was read of them.

    `quality run` does so by itself where a source file has changed.
    """
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.replays import files_to_reread

    start, end = parse_day(from_date, "--from"), parse_day(to_date, "--to")
    if (start is None) != (end is None):
        fail("--from and --to go together", 2)
    check_order(start, end)
    settings = root_settings()
    _sources(settings, source)
    with open_warehouse(settings) as session:
        rereading = files_to_reread(session, source, start, end)
    _tell_lost(rereading)
    _tell_off(rereading)
    if not rereading.file_ids:
        fail("no log that can be read is of that source and those dates; `quality status` tells what there is")
    read_files_again(settings, rereading.file_ids)


@app.command()
def replay(
    reason: Annotated[str, typer.Option(help="A reason for quarantine, such as invalid_event_time.")],
    source: Annotated[str | None, typer.Option(help="Only rows of this source.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of the rows.")] = False,
) -> None:
    """Read rows anew that are in quarantine for a reason, by the rules and source files in force.

    The logs that hold them are read again as a whole, in place of what was read of them before.
    """
    from quality_assets.clock import utc_now
    from quality_assets.contracts.events import Reason
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.replays import look_at_replay

    if reason not in {known.value for known in Reason}:
        fail(f"{reason!r} is no reason; there are {', '.join(known.value for known in Reason)}", 2)
    settings = root_settings()
    sources = _sources(settings, source)
    with open_warehouse(settings) as session, shown_activity("reading"):
        found = look_at_replay(session, sources, reason, source, utc_now())
    _tell(found, reason)
    _tell_lost(found.rereading)
    _tell_off(found.rereading)
    if not dry_run and found.rereading.file_ids:
        read_files_again(settings, found.rereading.file_ids)


def _sources(settings: Settings, source: str | None) -> Sources:
    from quality_assets.contracts.sources.events import load_sources
    from quality_assets.contracts.sources.model import NoSourceMatches, SourceError

    if not settings.warehouse_path.exists():
        fail("nothing has been read yet: `quality ingest PATH…`")
    try:
        sources = load_sources(settings.source_folders)
        if source is not None:
            sources[source]
    except (NoSourceMatches, SourceError) as error:
        fail(str(error), 2)
    return sources


def _tell(found: Replay, reason: str) -> None:
    files = len(found.rereading.file_ids)
    out.print(
        f"{plural(found.rows, 'row')} in quarantine for {reason}, {plural(files, 'file')} to read again:"
        f" {found.valid:,} would now be valid"
    )
    for why, count in found.refused.most_common():
        out.print(f"  {count:,} would stay refused: {shown(why)}")


def _tell_lost(rereading: Rereading) -> None:
    _tell_unread(rereading.lost, ", because the landing zone no longer holds what was read")


def _tell_off(rereading: Rereading) -> None:
    why = " before the YAML of their source is mended (`quality status` says what is wrong)"
    _tell_unread(rereading.off, why)


def _tell_unread(files: Sequence[str], why: str) -> None:
    if files:
        named = ", ".join(files[:5]) + (" …" if len(files) > 5 else "")
        out.print(
            f"{plural(len(files), 'file')} cannot be read again{why}; their rows stay as they are: {shown(named)}"
        )


def read_files_again(settings: Settings, file_ids: Sequence[str]) -> None:
    """Read logs anew that stand in the landing zone, and print what came of it."""
    from quality_assets.runner import graph_instance, ingest_waiting
    from quality_assets.stores.warehouse import open_warehouse
    from quality_assets.tables.lake_accounts import LakeNotAsWrittenError
    from quality_assets.tables.refusals import refusals
    from quality_assets.tables.withdrawals import read_again

    with open_warehouse(settings) as session:
        try:
            read_again(session, file_ids)
        except LakeNotAsWrittenError as error:
            fail(str(error))
    with shown_activity("ingesting"), graph_instance(settings) as instance:
        outcome = ingest_waiting(instance, settings)
    if not outcome.succeeded:
        fail(f"reading failed, and the logs wait to be read by the next `quality run`: {outcome.error}")
    with open_warehouse(settings) as session:
        refused = list(refusal_lines(refusals(session.connection, file_ids)))
    metadata = outcome.metadata.get("raw.log_files", {})
    read = outcome.metadata.get("raw.raw_logs", {}).get("rows_read", 0)
    out.print(
        f"{plural(metadata.get('files_loaded', 0), 'file')} read anew, {plural(read, 'row')};"
        f" {metadata.get('files_rejected', 0)} rejected. `quality run` builds what has changed."
    )
    for line in refused:
        out.print(shown(line))
