"""From the landing zone to raw.raw_logs and its ledger: every waiting file, read once, split by event date.

Files are read in loads of bounded size. A load is staged in memory, its copies of events are told apart, each event
date gets one file of clean events and one of refused rows, and the ledger and the lake's log are committed together:
killed anywhere, a load is either whole or has never been.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date

import duckdb

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS, Reason
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources
from quality_assets.contracts.table import Table
from quality_assets.domain.events.tables import AS_EVENT_JSON, IS_REPEATED, later_copies_sql
from quality_assets.progress import Progress
from quality_assets.settings import Settings
from quality_assets.stores.lake import LakeFile
from quality_assets.stores.landing import Ignored, LandingFile, scan, settle, sha256_of
from quality_assets.stores.readers import FileRejected, FileWaits, RawLog, StagedFile, Staging, lacks_room, verdict_on
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import WarehouseSession, empty, open_scratch, refresh_lake_views, side_by_side
from quality_assets.tables.events import EVENTS_LABEL, REFUSED_LABEL

FILE_ID_DIGITS = 16
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


@dataclass(frozen=True)
class Arrival:
    """A landing file with its content known, and its place in the order of arrival."""

    file: LandingFile
    sha256: str
    number: int

    @property
    def file_id(self) -> str:
        """The name of the content."""
        return self.sha256[:FILE_ID_DIGITS]


@dataclass
class IngestReport:
    """What one ingestion found and did. `skipped` were known by content, `ignored` are not logs, or not yet."""

    loaded: list[tuple[str, StagedFile]] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[Ignored] = field(default_factory=list)
    ignored: list[Ignored] = field(default_factory=list)
    touched_dates: set[date] = field(default_factory=set)
    rows: Counter[date] = field(default_factory=Counter)
    load_ids: set[str] = field(default_factory=set)

    @property
    def row_count(self) -> int:
        """Rows of all loaded files."""
        return sum(staged.rows for _, staged in self.loaded)


def waiting_files(session: WarehouseSession) -> tuple[list[LandingFile], list[Ignored]]:
    """Landing files that are not known under their path, size and time, and what is passed over."""
    files, ignored = scan(session.settings.landing_dir)
    known = set(
        session.connection.execute(
            f"select path, size_bytes, modified_ns from {LANDING_FILES.qualified_name}"
        ).fetchall()
    )
    return [file for file in files if (file.name, file.size_bytes, file.modified_ns) not in known], ignored


def ingest(
    session: WarehouseSession,
    sources: Sources,
    progress: Progress,
    source_names: dict[str, str] | None = None,
    asked: Collection[str] = (),
) -> IngestReport:
    """Ingest whatever waits. `source_names` says, per landing name, which source a file is of, where one was named.

    Files named in `asked` are read again if they were rejected before: a source may describe them by now.
    """
    report = IngestReport()
    session.lake.sweep(RAW_LOGS)
    session.connection.execute(
        f"delete from {LANDING_FILES.qualified_name} where list_contains($asked, path)"
        f" and file_id in (select file_id from {LOG_FILES.qualified_name} where status = 'rejected')",
        {"asked": list(asked)},
    )
    files, ignored = waiting_files(session)
    files, unsettled = settle(files, session.settings.file_stable_s)
    report.ignored += [*ignored, *unsettled]
    arrivals, copies = _identify(session, files, report, progress, asked)
    known: dict[str, set[str]] = {}
    pending = deque(_loads(arrivals, session.settings.load_batch_mb << 20))
    while pending:
        with open_scratch(session.settings) as scratch:
            while pending:
                load = pending.popleft()
                try:
                    _load(session, scratch, sources, load, report, source_names or {}, known)
                except UnreadableLoadError as error:
                    # The scratch database may be of no use any more; the files are tried one by one in others.
                    if len(load) == 1:
                        _record(session, sources, {0: load[0]}, {0: error.verdict}, [], report, _load_id(load))
                    pending.extendleft([arrival] for arrival in reversed(load) if len(load) > 1)
                    break
                empty(scratch)
                done = len(arrivals) - sum(map(len, pending))
                progress(f"read {done} of {len(arrivals)} files, {report.row_count:,} rows")
    _remember_copies(session, copies)
    refresh_lake_views(session.connection, session.settings)
    return report


def _identify(
    session: WarehouseSession,
    files: Sequence[LandingFile],
    report: IngestReport,
    progress: Progress,
    asked: Collection[str],
) -> tuple[list[Arrival], list[tuple[LandingFile, str]]]:
    """The files whose content is new, numbered; and the others with the hash of what they are copies of, reported."""
    rows = session.connection.execute(
        f"select sha256, path, file_number, status from {LOG_FILES.qualified_name}"
    ).fetchall()
    known = {row[0]: row[1] for row in rows}
    rejected = {row[0] for row in rows if row[3] == "rejected"}
    number = max((row[2] for row in rows), default=0)
    arrivals: list[Arrival] = []
    copies: list[tuple[LandingFile, str]] = []
    for index, file in enumerate(files):
        try:
            digest = sha256_of(file.path)
        except OSError as error:
            report.ignored.append(Ignored(file.name, f"cannot be read: {error.strerror or error}"))
            continue
        if digest in rejected and file.name in asked:
            rejected.discard(digest)
            del known[digest]
        if digest in known:
            copies.append((file, digest))
            report.skipped.append(Ignored(file.name, f"has the same bytes as {known[digest]}"))
            continue
        number += 1
        known[digest] = file.name
        arrivals.append(Arrival(file, digest, number))
        if (index + 1) % 100 == 0:
            progress(f"looked at {index + 1} of {len(files)} files")
    return arrivals, copies


def _remember_copies(session: WarehouseSession, copies: Sequence[tuple[LandingFile, str]]) -> None:
    # A copy of a file that could not be read whole just now waits with it.
    ledger = {row[0] for row in session.connection.execute(f"select sha256 from {LOG_FILES.qualified_name}").fetchall()}
    with session.transaction():
        _remember(session.connection, [(file, digest) for file, digest in copies if digest in ledger])


def _loads(arrivals: Iterable[Arrival], limit_bytes: int) -> Iterator[list[Arrival]]:
    load: list[Arrival] = []
    size = 0
    for arrival in arrivals:
        grows = arrival.file.name.endswith(_COMPRESSED_SUFFIXES)
        weight = arrival.file.size_bytes * (COMPRESSED_GROWTH if grows else 1)
        if load and (size + weight > limit_bytes or len(load) >= MAX_FILES_A_LOAD):
            yield load
            load, size = [], 0
        load.append(arrival)
        size += weight
    if load:
        yield load


def _load_id(load: Sequence[Arrival]) -> str:
    return f"{load[0].number:08d}"


def _load(
    session: WarehouseSession,
    scratch: duckdb.DuckDBPyConnection,
    sources: Sources,
    load: Sequence[Arrival],
    report: IngestReport,
    source_names: dict[str, str],
    known: dict[str, set[str]],
) -> None:
    load_id = _load_id(load)
    # One thread reads a file, in order; several go side by side on cursors of their own.
    scratch.execute("set threads = 1")
    staging = Staging(scratch, sources, session.settings.scratch_dir, known)
    try:
        unread = _read(staging, load, source_names, session.settings)
        # What changed while it was read may have been read in part: it waits for the next time.
        settled = {number: arrival for number, arrival in enumerate(load) if arrival.file.is_unchanged()}
        outcomes: dict[int, Outcome] = {**staging.finish(settled.keys() - unread.keys())}
        files = _write(session, scratch, staging, outcomes, load_id) if outcomes else []
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
        if number not in settled
    ]
    outcomes |= {number: unread[number] for number in settled.keys() & unread.keys()}
    _record(session, sources, settled, outcomes, files, report, load_id)


def _record(
    session: WarehouseSession,
    sources: Sources,
    settled: Mapping[int, Arrival],
    outcomes: Mapping[int, Outcome],
    files: Sequence[LakeFile],
    report: IngestReport,
    load_id: str,
) -> None:
    """Commit what came of the files of a load, and report it; those that wait leave no trace."""
    waiting = {number: o.reason for number, o in outcomes.items() if isinstance(o, FileWaits)}
    report.ignored += [Ignored(settled[number].file.name, reason) for number, reason in waiting.items()]
    settled = {number: arrival for number, arrival in settled.items() if number not in waiting}
    if not settled:
        return
    with session.transaction():
        session.lake.commit(RAW_LOGS, files, ())
        _write_ledger(session.connection, sources, [(settled[n], outcomes[n]) for n in settled], load_id)
        _remember(session.connection, [(a.file, a.sha256) for a in settled.values()])
    for number, arrival in settled.items():
        outcome = outcomes[number]
        if isinstance(outcome, StagedFile):
            report.loaded.append((arrival.file.name, outcome))
            report.touched_dates |= set(outcome.dates)
        else:
            report.rejected.append((arrival.file.name, outcome.reason))
    report.load_ids.add(load_id)
    for file in files:
        report.rows[file.event_date] += file.row_count


def _read(
    staging: Staging, load: Sequence[Arrival], source_names: dict[str, str], settings: Settings
) -> dict[int, FileRejected | FileWaits]:
    """Read the files of a load side by side; those that cannot be read, by their number."""
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)

    logs = [RawLog(a.file.path, a.file_id, a.file.name, a.file.arrived_at, source_names.get(a.file.name)) for a in load]
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
) -> list[LakeFile]:
    """Write the staged rows to the lake: per event date the clean events, and the refused rows and copies."""
    numbers: dict[date, list[int]] = {}
    for number, file in outcomes.items():
        for event_date in file.dates if isinstance(file, StagedFile) else ():
            numbers.setdefault(event_date, []).append(number)
    _find_copies(scratch, staging.events_sql(outcomes, ("file_order", "line_number", "event_date", "event_id")))
    copied = {row[0] for row in scratch.execute("select distinct event_date from copies").fetchall()}
    columns = ("file_order", *VALID_EVENTS.column_names)
    copies = staging.events_sql(outcomes, columns, within="copies")
    is_copy = "(event_date, event_id) in (select event_date, event_id from suspects)"
    scratch.execute(
        f"create table refused as select {RAW_LOGS.select_list()} from (select * replace ("
        f" case when {is_copy} then list_append(reasons, {_COPY}) else reasons end as reasons)"
        " from judged where reasons is not null) union all"
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


def _find_copies(scratch: duckdb.DuckDBPyConnection, events: str) -> None:
    """Make the tables `suspects`, the events that may share their date and id with another row, and `copies`.

    Refused rows are looked at as well: one whose id is that of an event is its copy, besides what else is wrong.
    """
    refused = "select distinct event_date, event_id from judged where reasons is not null and event_id is not null"
    ids = f"(select event_date, event_id from ({events}) union all {refused})"
    find_repeated(scratch, ids)
    scratch.execute(f"create table suspects as select * from ({events}) where {IS_REPEATED}")
    order = "file_order, line_number"
    scratch.execute(f"create table copies as {later_copies_sql('suspects', order, order)}")


def _write_ledger(
    connection: duckdb.DuckDBPyConnection,
    sources: Sources,
    outcomes: Iterable[tuple[Arrival, Outcome]],
    load_id: str,
) -> None:
    _insert_or_replace(connection, LOG_FILES, [_ledger_row(*outcome, sources, load_id) for outcome in outcomes])


def _ledger_row(arrival: Arrival, outcome: Outcome, sources: Sources, load_id: str) -> dict[str, object]:
    loaded = outcome if isinstance(outcome, StagedFile) else None
    last = loaded.last_event_time if loaded else None
    return {
        "file_id": arrival.file_id,
        "file_number": arrival.number,
        "sha256": arrival.sha256,
        "path": arrival.file.name,
        "size_bytes": arrival.file.size_bytes,
        "arrived_at": arrival.file.arrived_at,
        "status": "loaded" if loaded else "rejected",
        "reason": None if loaded else getattr(outcome, "reason", str(outcome)),
        "source": loaded.source if loaded else None,
        "format": loaded.format if loaded else None,
        "compression": loaded.compression if loaded else None,
        "encoding": loaded.encoding if loaded else None,
        "rows": loaded.rows if loaded else 0,
        "rows_refused": loaded.rows - loaded.good_rows if loaded else 0,
        "first_event_time": loaded.first_event_time if loaded else None,
        "last_event_time": last,
        "last_day_ends_at": sources[loaded.source].day_ends_at(last) if loaded and last else None,
        "touched_dates": list(loaded.dates) if loaded else [],
        "load_id": load_id,
        "absent_columns": list(loaded.absent_columns) if loaded else None,
        "vanished_columns": list(loaded.vanished_columns) if loaded else None,
    }


def _remember(connection: duckdb.DuckDBPyConnection, files: Sequence[tuple[LandingFile, str]]) -> None:
    rows = [(f.name, f.size_bytes, f.modified_ns, digest[:FILE_ID_DIGITS]) for f, digest in files]
    _insert_or_replace(
        connection, LANDING_FILES, [dict(zip(LANDING_FILES.column_names, row, strict=True)) for row in rows]
    )


def _insert_or_replace(
    connection: duckdb.DuckDBPyConnection, table: Table, rows: Sequence[Mapping[str, object]]
) -> None:
    """All rows in one statement: one each costs milliseconds, and a load may have hundreds of files."""
    if not rows:
        return
    values = ", ".join(f"unnest(cast(${c.name} as {c.type}[])) as {c.name}" for c in table.columns)
    connection.execute(
        f"insert or replace into {table.qualified_name} by name select {values}",
        {name: [row[name] for row in rows] for name in table.column_names},
    )
