"""The command that takes back a log which should not have landed: withdraw."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from quality_assets.cli.app import app, root_settings, user_name
from quality_assets.cli.output import fail, out, shown
from quality_assets.cli.rereading import read_files_again
from quality_assets.domain.wording import plural

if TYPE_CHECKING:
    from quality_assets.stores.warehouse import WarehouseSession
    from quality_assets.tables.landed_logs import LandedLog

_MOST_SHOWN = 20


@app.command()
def withdraw(
    paths: Annotated[list[str], typer.Argument(help="Logs, or folders of them, by their paths in the landing zone.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever wonders where the rows are.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do it; otherwise only say what it would come to.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Read again what was withdrawn.")] = False,
) -> None:
    """Take back logs that should not have landed, such as another product's file or a test: their rows count no longer.

    Their files stay in the landing zone, the ledger `raw.log_files` says who withdrew them, when and why, and the same
    content is passed over when it comes again. A log that has grown since is another content, and is read whole.
    """
    from quality_assets.stores.warehouse import open_warehouse

    settings = root_settings()
    if not settings.warehouse_path.exists():
        fail("nothing has been read yet: `quality ingest PATH…`")
    with open_warehouse(settings) as session:
        logs = _asked_for(session, paths, ("withdrawn",) if undo else ("loaded", "rejected", "waiting"))
        if not undo:
            _withdraw(session, logs, reason, is_done=yes)
            return
    gone = [log.path for log in logs if not log.paths]
    if gone:
        fail(f"the landing zone no longer holds {', '.join(gone)}; `quality ingest` it again, and then --undo")
    if not yes:
        out.print(f"{plural(len(logs), 'log')} would be read again. Nothing is changed yet: repeat it with --yes")
        return
    read_files_again(settings, [log.file_id for log in logs])


def _asked_for(session: WarehouseSession, paths: Sequence[str], statuses: Collection[str]) -> list[LandedLog]:
    """The logs at these paths that have one of these statuses, each once."""
    from quality_assets.tables.landed_logs import logs_at, paths_like

    chosen: dict[str, LandedLog] = {}
    for path in paths:
        found = logs_at(session, path)
        if not found:
            near = paths_like(session, path)
            meant = f"; of {', '.join(near)} something was" if near else ""
            every = '`quality sql "select path, status from raw.log_files"` has all logs'
            fail(f"nothing was read of {path}{meant}; {every}", 2)
        fit = [log for log in found if log.status in statuses]
        if not fit and found[0].told_by:
            fail(f"what {path} tells counts by {found[0].told_by}, which has its lines: withdraw that")
        if not fit:
            fail(f"{path} is {found[0].reason if found[0].status == 'withdrawn' else 'not withdrawn'}")
        chosen |= {log.file_id: log for log in fit}
    return list(chosen.values())


def _withdraw(session: WarehouseSession, logs: Sequence[LandedLog], reason: str, *, is_done: bool) -> None:
    from quality_assets.clock import utc_now
    from quality_assets.tables.gone_logs import keep_gone_logs
    from quality_assets.tables.lake_accounts import LakeNotAsWrittenError
    from quality_assets.tables.withdrawals import withdraw as take_back

    for log in logs[:_MOST_SHOWN]:
        span = f", {min(log.dates)} to {max(log.dates)}" if log.dates else ""
        others = [path for path in log.paths if path != log.path]
        also = f", also as {', '.join(others)}" if others and len(log.paths) > 1 else ""
        gone = "" if log.paths else ", gone from the landing zone: it cannot be read again"
        out.print(shown(f"  {log.path}: {plural(log.rows, 'row')}{span}{also}{gone}"))
    if len(logs) > _MOST_SHOWN:
        out.print(f"  … and {len(logs) - _MOST_SHOWN} more")
    rows = sum(log.rows for log in logs)
    what = f"{plural(len(logs), 'log')} with {plural(rows, 'row')}"
    if not is_done:
        out.print(f"{what} would be withdrawn. Nothing is changed yet: repeat it with --yes")
        return
    said = f"withdrawn by {user_name()} on {utc_now():%Y-%m-%d %H:%M} UTC"
    try:
        take_back(session, [log.file_id for log in logs], f"{said}: {reason}" if reason else said)
    except LakeNotAsWrittenError as error:
        fail(str(error))
    keep_gone_logs(session)
    out.print(f"{what} withdrawn. `quality run` builds what has changed; --undo reads them again")
