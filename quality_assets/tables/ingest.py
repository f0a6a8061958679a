"""From the landing zone to raw.raw_logs and its ledger: every waiting file, read once, split by event date.

Files are read in loads of bounded size. A load is staged in memory, its copies of events are told apart, each event
date gets one file of clean events and one of refused rows, and the ledger and the lake's log are committed together:
killed anywhere, a load is either whole or has never been.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import duckdb

from quality_assets.clock import utc_now
from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS, Reason
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources, load_sources
from quality_assets.domain.events.tables import AS_EVENT_JSON, IS_REPEATED, SOURCE_IDENTITY, later_copies_sql
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.journal import Journal
from quality_assets.stores.lake import LakeFile
from quality_assets.stores.landing import Ignored, LandingFile, names_there, scan, settle
from quality_assets.stores.readers import FileRejected, FileWaits, RawLog, StagedFile, Staging, lacks_room, verdict_on
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import WarehouseSession, empty, open_scratch, refresh_lake_views, side_by_side
from quality_assets.tables.arrivals import Arrival, Plan, identify
from quality_assets.tables.events import EVENTS_LABEL, REFUSED_LABEL
from quality_assets.tables.ledger import (
    forget_gone,
    keep_journal,
    logs_without_bytes,
    remember,
    settle_plan,
    take_archived,
    write_ledger,
)
from quality_assets.tables.repeated_logs import mark_repeated
from quality_assets.tables.second_readings import let_stand, what_stands
from quality_assets.tables.takeovers import Takeover
from quality_assets.tables.withdrawals import outdated_files, read_again, stamp_versions, without_files

MAX_FILES_A_LOAD = 256
# What a compressed log grows to when it is read; only steers how much is read at a time.
COMPRESSED_GROWTH = 6
# From this size on, looking at a sample of a load first pays.
SAMPLED_BYTES = 16 << 20
_COMPRESSED_SUFFIXES = (".gz", ".zst", ".parquet")

Outcome = StagedFile | FileRejected | FileWaits

_COPY = f"'{Reason.DUPLICATE_EVENT_ID}'"


class UnreadableLoadError(Exception):
    """Something in one of the files of a load cannot be read, and it does not show in which."""

    def __init__(self, verdict: FileRejected | FileWaits) -> None:
        super().__init__(verdict.reason)
        self.verdict = verdict


@dataclass
class IngestReport:
    """What one ingestion found and did. `skipped` were known by content, `ignored` are not logs, or not yet.

    `repeated` are loaded files that tell again what another content of their path has told, with their source.
    """

    loaded: list[tuple[str, StagedFile]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Ignored] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    touched_dates: set[date] = field(default_factory=set)
    rows: Counter[date] = field(default_factory=Counter)
    load_ids: set[str] = field(default_factory=set)
    repeated: list[tuple[str, str]] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """Rows of all loaded files."""
        return sum(staged.rows for _, staged in self.loaded)


def waiting_files(session: WarehouseSession) -> tuple[list[LandingFile], list[Ignored]]:
    """Landing files that are to be read, and what is passed over.

    Those are not known under their path, size and time, or were read by what a source's YAML meant before.
    """
    files, unknown, ignored = _look(session)
    return [*unknown, *_to_read_again(session, files, unknown)], ignored


def is_arrival_due(session: WarehouseSession) -> bool:
    """Whether there is anything to read, or rows of logs to keep that were deleted, or to take up that were kept."""
    files, unknown, ignored = _look(session)
    if unknown or _to_read_again(session, files, unknown):
        return True
    journal = Journal(session.settings.landing_dir)
    is_kept = logs_without_bytes(session, names_there(files, ignored)) <= journal.archived()
    return not is_kept or bool(_to_take_up(session, journal))


def _to_read_again(
    session: WarehouseSession, files: Sequence[LandingFile], unknown: Sequence[LandingFile]
) -> list[LandingFile]:
    """Of the landing files, those beside the unknown ones that were read by what a source's YAML meant before."""
    sources = load_sources(session.settings.source_folders, session.settings.earliest_date)
    names = {
        row[0]
        for row in session.connection.execute(
            f"select path from {LANDING_FILES.qualified_name} where list_contains($ids, file_id)",
            {"ids": outdated_files(session, sources)},
        ).fetchall()
    }
    names.difference_update(file.name for file in unknown)
    return [file for file in files if file.name in names]


def _to_take_up(session: WarehouseSession, journal: Journal) -> set[str]:
    """The SHA-256 of logs whose rows are kept, and which the ledger of a root made anew does not know."""
    archived = journal.archived()
    if not archived:
        return set()
    known = session.connection.execute(
        f"select sha256 from {LOG_FILES.qualified_name} where list_contains($archived, sha256)",
        {"archived": list(archived)},
    ).fetchall()
    return archived.difference(sha256 for (sha256,) in known).intersection(journal.entries())


def _look(session: WarehouseSession) -> tuple[list[LandingFile], list[LandingFile], list[Ignored]]:
    """All landing files, those that are not known as they stand, and what is passed over."""
    files, ignored = scan(session.settings.landing_dir)
    known = set(
        session.connection.execute(
            f"select path, size_bytes, modified_ns from {LANDING_FILES.qualified_name}"
        ).fetchall()
    )
    return files, [file for file in files if (file.name, file.size_bytes, file.modified_ns) not in known], ignored


def ingest(
    session: WarehouseSession,
    sources: Sources,
    progress: Progress,
    source_names: dict[str, str] | None = None,
    asked: Sequence[str] = (),
) -> IngestReport:
    """Ingest whatever waits. `source_names` says, per landing name, which source a file is of, where one was named.

    Files named in `asked` are read again if they were rejected before: a source may describe them by now. Those of one
    path arrive in their order.
    """
    report = IngestReport()
    session.lake.sweep(RAW_LOGS)
    session.connection.execute(
        f"delete from {LANDING_FILES.qualified_name} where list_contains($asked, path)"
        f" and file_id in (select file_id from {LOG_FILES.qualified_name} where status = 'rejected')",
        {"asked": list(asked)},
    )
    stamp_versions(session, sources)
    outdated = outdated_files(session, sources)
    standing = what_stands(session, sources, outdated)
    let_stand(session, sources, standing)
    report.touched_dates |= set(read_again(session, [each for each in outdated if each not in standing]).dates)
    files, waiting, ignored = _look(session)
    waiting, unsettled = settle(waiting, session.settings.file_stable_s)
    report.ignored += [*ignored, *unsettled]
    journal = Journal(session.settings.landing_dir)
    there = names_there(files, ignored)
    forget_gone(session, there)
    if waiting or _to_take_up(session, journal):
        plan = identify(
            session,
            files,
            waiting,
            journal,
            read_at=utc_now(),
            source_names=source_names or {},
            asked=asked,
            progress=progress,
        )
        _read_planned(session, sources, plan, journal, report, progress)
    try:
        keep_journal(session, journal, there)
    except OSError as error:
        report.ignored.append(Ignored(str(journal.folder), f"cannot be written: {error.strerror or error}"))
    refresh_lake_views(session.connection, session.settings)
    return report


def _read_planned(
    session: WarehouseSession,
    sources: Sources,
    plan: Plan,
    journal: Journal,
    report: IngestReport,
    progress: Progress,
) -> None:
    report.skipped += plan.skipped
    report.ignored += plan.unreadable
    known: dict[str, set[str]] = {}
    pending = deque(_loads(plan.arrivals, session.settings.load_batch_mb << 20))
    while pending:
        with open_scratch(session.settings) as scratch:
            while pending:
                load = pending.popleft()
                try:
                    _take(session, scratch, sources, load, report, journal, known)
                except UnreadableLoadError as error:
                    # The scratch database may be of no use any more; the files are tried one by one in others.
                    if len(load) == 1:
                        unread = Read(_load_id(session, load), {0: load[0]}, {0: error.verdict})
                        _record(session, sources, unread, report)
                    pending.extendleft([arrival] for arrival in reversed(load) if len(load) > 1)
                    break
                empty(scratch)
                done = len(plan.arrivals) - sum(map(len, pending))
                progress(f"read {done} of {len(plan.arrivals)} files, {report.row_count:,} rows")
    report.touched_dates |= settle_plan(session, plan, journal)


def _loads(arrivals: Iterable[Arrival], limit_bytes: int) -> Iterator[list[Arrival]]:
    load: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        grows = arrival.file.name.endswith(_COMPRESSED_SUFFIXES)
        weight = arrival.file.size_bytes * (COMPRESSED_GROWTH if grows else 1)
        is_full = size + weight > limit_bytes or len(load) >= MAX_FILES_A_LOAD
        # What a log repeats must lie in the lake by then, and whose place it takes shows once it is read; what is
        # archived is no file. Such are loads of their own.
        is_alone = any(one.rivals or one.archive for one in (arrival, *load[:1]))
        if load and (is_full or is_alone):
            yield load
            load, size = [], 0
        load.append(arrival)
        size += weight
    if load:
        yield load


def _load_id(session: WarehouseSession, load: Sequence[Arrival]) -> str:
    return _next_load(session, min(arrival.number for arrival in load))


def _next_load(session: WarehouseSession, number: int) -> str:
    """The name of a load, which no load has had: that of its first file, but for files that are read again."""
    row = session.connection.execute(f"select max(cast(load_id as bigint)) from {LOG_FILES.qualified_name}").fetchone()
    last = row[0] if row and row[0] is not None else 0
    return f"{max(number, last + 1):08d}"


@dataclass
class Read:
    """What came of the files of a load, by their numbers in it, and what is to be written of it."""

    load_id: str
    settled: Mapping[int, Arrival]
    outcomes: dict[int, Outcome]
    files: Sequence[LakeFile] = ()
    takeover: Takeover = field(default_factory=Takeover)


def _take(
    session: WarehouseSession,
    scratch: duckdb.DuckDBPyConnection,
    sources: Sources,
    load: Sequence[Arrival],
    report: IngestReport,
    journal: Journal,
    known: dict[str, set[str]],
) -> None:
    if load[0].archive is not None:
        take_archived(session, journal, load[0], _next_load(session, load[0].number), report.rows)
        report.touched_dates |= set(report.rows)
        return
    # A file that has taken over the lines of another stands where that stood.
    load = sorted(load, key=lambda arrival: (arrival.precedence or arrival.number, arrival.number))
    try:
        read = _load(session, scratch, sources, load, known)
    except (OSError, duckdb.IOException):
        # Neither the disk nor the lake is a fault of the files.
        raise
    except Exception as error:
        if lacks_room(error):
            raise
        raise UnreadableLoadError(verdict_on(error)) from error
    report.ignored += [
        Ignored(arrival.file.name, "changed while it was read")
        for number, arrival in enumerate(load)
        if number not in read.settled
    ]
    report.skipped += [
        Ignored(read.settled[number].file.name, f"has the rows of file {file_id}, which has no ids")
        for number, file_id in read.takeover.same.items()
    ]
    _record(session, sources, read, report)


def _load(
    session: WarehouseSession,
    scratch: duckdb.DuckDBPyConnection,
    sources: Sources,
    load: Sequence[Arrival],
    known: dict[str, set[str]],
) -> Read:
    load_id = _load_id(session, load)
    # One thread reads a file, in order; several go side by side on cursors of their own.
    scratch.execute("set threads = 1")
    staging = Staging(scratch, sources, session.settings.scratch_dir, known)
    unread = _read(staging, load, session.settings)
    # What changed while it was read may have been read in part: it waits for the next time.
    settled = {number: arrival for number, arrival in enumerate(load) if arrival.file.is_unchanged()}
    outcomes: dict[int, Outcome] = {**staging.finish(settled.keys() - unread.keys())}
    takeover = Takeover.of(session, scratch, staging, sources, settled, outcomes)
    for number in takeover.same:
        del outcomes[number]
    files = _write(session, scratch, staging, outcomes, load_id, takeover) if outcomes else []
    outcomes |= {number: unread[number] for number in settled.keys() & unread.keys()}
    return Read(load_id, settled, outcomes, files, takeover)


def _record(session: WarehouseSession, sources: Sources, read: Read, report: IngestReport) -> None:
    """Commit what came of the files of a load, and report it; those that wait leave no trace."""
    waiting = {number: o.reason for number, o in read.outcomes.items() if isinstance(o, FileWaits)}
    report.ignored += [Ignored(read.settled[number].file.name, reason) for number, reason in waiting.items()]
    settled = {number: arrival for number, arrival in read.settled.items() if number not in waiting}
    if not settled:
        return
    withdrawal = without_files(session, read.takeover.superseded.keys())
    with session.transaction():
        session.lake.remove(RAW_LOGS, withdrawal.removed)
        session.lake.commit(RAW_LOGS, [*read.files, *withdrawal.written], ())
        judged = [(settled[n], o) for n, o in read.outcomes.items() if not isinstance(o, FileWaits)]
        write_ledger(session.connection, sources, judged, read.load_id, read.takeover.repeated)
        read.takeover.record(session, settled)
        remember(session.connection, [(a.file, a.sha256) for a in settled.values()])
    session.lake.sweep(RAW_LOGS, withdrawal.dates)
    _tell(report, settled, read.outcomes, read.takeover)
    report.touched_dates |= set(withdrawal.dates)
    report.load_ids.add(read.load_id)
    for file in read.files:
        report.rows[file.event_date] += file.row_count


def _tell(
    report: IngestReport,
    settled: Mapping[int, Arrival],
    outcomes: Mapping[int, Outcome],
    takeover: Takeover,
) -> None:
    for number, arrival in settled.items():
        outcome = outcomes.get(number)
        if isinstance(outcome, StagedFile):
            report.loaded.append((arrival.file.name, outcome))
            report.touched_dates |= set(outcome.dates)
            if number in takeover.earlier:
                report.repeated.append((arrival.file.name, outcome.source))
        elif outcome is not None:
            report.rejected.append((arrival.file.name, outcome.reason))


def _read(staging: Staging, load: Sequence[Arrival], settings: Settings) -> dict[int, FileRejected | FileWaits]:
    """Read the files of a load side by side; those that cannot be read, by their number."""
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)

    logs = [RawLog(a.file.path, a.file_id, a.name, a.arrived_at, a.named_source) for a in load]
    if sum(arrival.file.size_bytes for arrival in load) >= SAMPLED_BYTES:
        staging.sample(logs)

    def read(number: int) -> FileRejected | FileWaits | None:
        try:
            staging.read(number, logs[number])
        except (FileRejected, FileWaits) as verdict:
            return verdict
        return None

    with ThreadPoolExecutor(max_workers=settings.workers) as pool:
        outcomes = enumerate(pool.map(read, range(len(load))))
        return {number: verdict for number, verdict in outcomes if verdict is not None}


def _write(
    session: WarehouseSession,
    scratch: duckdb.DuckDBPyConnection,
    staging: Staging,
    outcomes: Mapping[int, Outcome],
    load_id: str,
    takeover: Takeover,
) -> list[LakeFile]:
    """Write the staged rows to the lake: per event date the clean events, and the refused rows and copies."""
    numbers: dict[date, list[int]] = {}
    for number, file in outcomes.items():
        for event_date in file.dates if isinstance(file, StagedFile) else ():
            numbers.setdefault(event_date, []).append(number)
    _name_sources(scratch, outcomes)
    _find_copies(scratch, staging.events_sql(outcomes, ("file_order", "line_number", "event_date", "event_id")))
    mark_repeated(session, scratch, staging, takeover.earlier)
    copied = {row[0] for row in scratch.execute("select distinct event_date from copies").fetchall()}
    columns = ("file_order", *VALID_EVENTS.column_names)
    copies = staging.events_sql(outcomes, columns, within="copies")
    is_copy = f"({SOURCE_IDENTITY}) in (select {SOURCE_IDENTITY} from suspects)"
    scratch.execute(
        f"create table refused as select {RAW_LOGS.select_list()} from (select * replace ("
        f" case when {is_copy} then list_append(reasons, {_COPY}) else reasons end as reasons)"
        " from judged join file_sources using (file_order) where reasons is not null) union all"
        f" select {RAW_LOGS.select_list()} from (select *, [{_COPY}] as reasons, {AS_EVENT_JSON} as raw_row"
        f" from ({copies}))"
    )

    def write(cursor: duckdb.DuckDBPyConnection, event_date: date) -> list[LakeFile]:
        # The date comes from a DATE column; in the text, it lets DuckDB skip the row groups that lack it.
        day = f"event_date = date '{event_date.isoformat()}'"
        refused = f"select {RAW_LOGS.select_list()} from refused where {day} order by file_id, line_number"
        events = staging.events_sql(numbers[event_date], columns, day=event_date)
        clean = f"select {VALID_EVENTS.select_list()} from ({events})"
        if event_date in copied:
            clean += f" anti join (select * from copies where {day}) using (file_order, line_number)"
        files = [
            session.lake.write(cursor, RAW_LOGS, event_date, query, label=f"{load_id}-{label}")
            for label, query in {REFUSED_LABEL: refused, EVENTS_LABEL: clean}.items()
        ]
        return [file for file in files if file]

    written = side_by_side(scratch, session.settings, write, sorted(numbers))
    return [file for files in written for file in files]


def _name_sources(scratch: duckdb.DuckDBPyConnection, outcomes: Mapping[int, Outcome]) -> None:
    """Make the table `file_sources`: two sources may use the same ids for events of their own."""
    sources = {number: file.source for number, file in outcomes.items() if isinstance(file, StagedFile)}
    scratch.execute(
        "create table file_sources as select unnest($numbers) as file_order, unnest($sources) as source",
        {"numbers": list(sources), "sources": list(sources.values())},
    )


def _find_copies(scratch: duckdb.DuckDBPyConnection, events: str) -> None:
    """Make the tables `suspects`, the events that may share their date and id with another row, and `copies`.

    Refused rows are looked at as well: one whose id is that of an event is its copy, besides what else is wrong.
    """
    refused = "select distinct event_date, event_id from judged where reasons is not null and event_id is not null"
    ids = f"(select event_date, event_id from ({events}) union all {refused})"
    find_repeated(scratch, ids)
    scratch.execute(
        f"create table suspects as select * from ({events}) join file_sources using (file_order) where {IS_REPEATED}"
    )
    order = "file_order, line_number"
    scratch.execute(f"create table copies as {later_copies_sql('suspects', order, order, SOURCE_IDENTITY)}")
