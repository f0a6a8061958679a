"""Taking the rows of a log out of raw.raw_logs: because another log has its lines, it is to be read again, or somebody
takes it back.

Lake files are never changed: those that hold its rows are replaced by others without them. A row that was refused only
for being a copy of a row that goes is an event again.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS, Reason
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.landing import scan
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.events import EVENTS_LABEL, REFUSED_LABEL, load_of
from quality_assets.tables.lake_accounts import LakeNotAsWrittenError, lake_faults

_COPY = f"'{Reason.DUPLICATE_EVENT_ID}'"
_FILES = f"(select file_id, source, coalesce(precedence, file_number) as place from {LOG_FILES.qualified_name})"


@dataclass(frozen=True)
class Withdrawal:
    """The lake files that go, by path, and those that take their place; the dates on which rows go."""

    removed: tuple[str, ...] = ()
    written: tuple[LakeFile, ...] = ()
    dates: tuple[date, ...] = ()


def without_files(session: WarehouseSession, file_ids: Collection[str]) -> Withdrawal:
    """Write what remains of the lake files that hold rows of these logs. Nothing counts before it is committed."""
    if not file_ids:
        return Withdrawal()
    sharing = _sharing(session, file_ids)
    touched = {key: files for key, files in sharing.items() if not files.isdisjoint(file_ids)}
    if not touched:
        return Withdrawal()
    days = [day for _, day in touched]
    grouped: dict[tuple[str, date], list[LakeFile]] = {}
    for file in session.lake.files(RAW_LOGS, min(days), max(days)):
        grouped.setdefault((load_of(file), file.event_date), []).append(file)
    removed: list[str] = []
    written: list[LakeFile] = []
    for key, files in touched.items():
        removed += [file.path for file in grouped.get(key, ())]
        if not files <= set(file_ids):
            written += _remains(session, key[0], key[1], grouped.get(key, ()), file_ids)
    return Withdrawal(tuple(removed), tuple(written), tuple(sorted(set(days))))


def _sharing(session: WarehouseSession, file_ids: Collection[str]) -> dict[tuple[str, date], set[str]]:
    """The logs of each load that one of these was read with, by date."""
    rows = session.connection.execute(
        "select load_id, event_date, list(file_id) from"
        f" (select load_id, file_id, unnest(touched_dates) as event_date from {LOG_FILES.qualified_name}"
        f" where status = 'loaded' and load_id in"
        f" (select load_id from {LOG_FILES.qualified_name} where list_contains($ids, file_id))) group by all",
        {"ids": list(file_ids)},
    ).fetchall()
    return {(load, day): set(files) for load, day, files in rows}


def _with_those_in_broken_files(session: WarehouseSession, file_ids: Collection[str]) -> set[str]:
    """The logs, and those whose rows lie in the same broken lake files: what remains of these cannot be told."""
    found = set(file_ids)
    faults = {(load_of(fault.file), fault.file.event_date): fault for fault in lake_faults(session, RAW_LOGS)}
    while faults:
        sharing = {key: files for key, files in _sharing(session, found).items() if key in faults}
        more = {file_id for files in sharing.values() if not files.isdisjoint(found) for file_id in files} - found
        if not more:
            break
        if not more <= standing_files(session):
            raise LakeNotAsWrittenError(
                f"{next(iter(faults.values()))}; but a log with rows in it is no longer in the landing zone as it was"
                " read. `quality doctor --mend` makes all anew from the landing zone and its archive."
            )
        found |= more
    return found


def _remains(
    session: WarehouseSession, load: str, day: date, files: Sequence[LakeFile], file_ids: Collection[str]
) -> list[LakeFile]:
    connection = session.connection
    raw = files_sql(RAW_LOGS, session.lake.absolute(files))
    parameters = {"ids": list(file_ids)}
    connection.execute(
        f"create or replace temp table rest as select * from ({raw}) join {_FILES} using (file_id)"
        " where not list_contains($ids, file_id)",
        parameters,
    )
    # The ids of events that go, and that no event of the load has besides.
    connection.execute(
        f"create or replace temp table freed as select source, event_id from ({raw}) join {_FILES} using (file_id)"
        " where list_contains($ids, file_id) and reasons is null"
        " except select source, event_id from rest where reasons is null",
        parameters,
    )
    is_freed = f"list_contains(reasons, {_COPY}) and (source, event_id) in (from freed)"
    connection.execute(
        f"create or replace temp table promoted as select file_id, line_number, source, event_id from rest"
        f" where {is_freed} and len(reasons) = 1"
        " qualify row_number() over (partition by source, event_id order by place, line_number) = 1"
    )
    events = (
        f"select {VALID_EVENTS.select_list()} from rest where reasons is null"
        " or (file_id, line_number) in (select file_id, line_number from promoted)"
    )
    still_copy = "(source, event_id) in (select source, event_id from promoted)"
    reasons = (
        f"case when {is_freed} and not {still_copy} then list_filter(reasons, lambda r: r <> {_COPY}) else reasons end"
    )
    refused = (
        f"select {RAW_LOGS.select_list()} from (select * replace ({reasons} as reasons) from rest"
        " where reasons is not null and (file_id, line_number) not in (select file_id, line_number from promoted))"
        " order by file_id, line_number"
    )
    prefix = f"{uuid.uuid4().hex[:8]}_{load}"
    found = [
        session.lake.write(connection, RAW_LOGS, day, query, label=f"{prefix}-{label}")
        for label, query in {EVENTS_LABEL: events, REFUSED_LABEL: refused}.items()
    ]
    return [file for file in found if file is not None]


def mark(
    session: WarehouseSession, file_ids: Iterable[str], status: str, *, by: str | None = None, reason: str | None = None
) -> None:
    """Say in the ledger that logs have no rows any more; call in the transaction that withdraws them."""
    session.connection.execute(
        f"update {LOG_FILES.qualified_name} set status = $status, superseded_by = $by, reason = $reason, rows = 0,"
        " rows_refused = 0, first_event_time = null, last_event_time = null, last_day_ends_at = null,"
        " touched_dates = [], absent_columns = null, vanished_columns = null, repeats = null"
        " where list_contains($ids, file_id)",
        {"ids": list(file_ids), "status": status, "by": by, "reason": reason},
    )


def read_again(session: WarehouseSession, file_ids: Collection[str]) -> Withdrawal:
    """Withdraw logs that still stand in the landing zone, so that they wait to be read again as they did at first.

    Those that share with them a lake file that is not as it was written go along; LakeNotAsWrittenError where one of
    these stands no longer.
    """
    return _take_out(session, file_ids, (), None) if file_ids else Withdrawal()


def withdraw(session: WarehouseSession, file_ids: Collection[str], said: str) -> Withdrawal:
    """Take logs back for good, as they stand; `said` is who did so, when and why.

    Logs whose place they had taken, or that were held to tell again what they tell, wait to be read again.
    """
    rows = session.connection.execute(
        f"select file_id from {LOG_FILES.qualified_name} where status in ('loaded', 'superseded')"
        " and (list_contains($ids, superseded_by) or list_contains($ids, repeats))",
        {"ids": list(file_ids)},
    ).fetchall()
    again = standing_files(session).intersection(file_id for (file_id,) in rows).difference(file_ids)
    return _take_out(session, again, file_ids, said)


def _take_out(
    session: WarehouseSession, again: Collection[str], withdrawn: Collection[str], said: str | None
) -> Withdrawal:
    every = _with_those_in_broken_files(session, {*again, *withdrawn})
    again = every.difference(withdrawn)
    withdrawal = without_files(session, every)
    with session.transaction():
        session.lake.remove(RAW_LOGS, withdrawal.removed)
        session.lake.commit(RAW_LOGS, withdrawal.written, ())
        mark(session, withdrawn, "withdrawn", reason=said)
        mark(session, again, "waiting")
        session.connection.execute(
            f"delete from {LANDING_FILES.qualified_name} where list_contains($ids, file_id)", {"ids": list(again)}
        )
    session.lake.sweep(RAW_LOGS, withdrawal.dates)
    return withdrawal


def standing_files(session: WarehouseSession) -> set[str]:
    """The file_id of each content that stands in the landing zone, as it was when it was read."""
    held = {
        row[:3]: row[3]
        for row in session.connection.execute(
            f"select path, size_bytes, modified_ns, file_id from {LANDING_FILES.qualified_name}"
        ).fetchall()
    }
    files, _ = scan(session.settings.landing_dir)
    found = (held.get((file.name, file.size_bytes, file.modified_ns)) for file in files)
    return {file_id for file_id in found if file_id is not None}


def outdated_files(session: WarehouseSession, sources: Sources) -> list[str]:
    """The logs that were read by what a source's YAML meant then, where it means something else by now."""
    rows = session.connection.execute(
        f"select file_id, path, named_source, source_version from {LOG_FILES.qualified_name}"
        " where status in ('loaded', 'rejected') and source_version is not null order by file_number"
    ).fetchall()
    outdated = [
        file_id
        for file_id, path, named, version in rows
        if (source := sources.expected(path, named)) is not None and source.version != version
    ]
    if not outdated:
        return []
    standing = standing_files(session)
    return [file_id for file_id in outdated if file_id in standing]


def stamp_versions(session: WarehouseSession, sources: Sources) -> None:
    """Take logs that were read before versions were written down as read by what the sources mean now."""
    rows = session.connection.execute(
        f"select file_id, path, named_source from {LOG_FILES.qualified_name}"
        " where source_version is null and status in ('loaded', 'rejected')"
    ).fetchall()
    versions = {
        file_id: source.version
        for file_id, path, named in rows
        if (source := sources.expected(path, named)) is not None
    }
    if versions:
        session.connection.execute(
            f"update {LOG_FILES.qualified_name} as log set source_version = known.version from"
            " (select unnest($ids) as file_id, unnest($versions) as version) as known"
            " where log.file_id = known.file_id",
            {"ids": list(versions), "versions": list(versions.values())},
        )
