"""The ledger of raw logs, the paths that hold them, and the journal that the landing zone keeps of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.contracts.events import RAW_LOGS, VALID_EVENTS
from quality_assets.contracts.ops import LANDING_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.contracts.sources.events import Sources
from quality_assets.contracts.table import Table
from quality_assets.domain.sql_text import literal
from quality_assets.stores.journal import JOURNALED, LOST, Journal
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.landing import LandingFile, logical_name
from quality_assets.stores.readers import FileRejected, StagedFile
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.arrivals import Arrival, Plan
from quality_assets.tables.events import EVENTS_LABEL, REFUSED_LABEL
from quality_assets.tables.known_logs import FILE_ID_DIGITS
from quality_assets.tables.withdrawals import mark, without_files

_LEDGER = LOG_FILES.qualified_name


def write_ledger(
    connection: duckdb.DuckDBPyConnection,
    sources: Sources,
    outcomes: Iterable[tuple[Arrival, StagedFile | FileRejected]],
    load_id: str,
    repeated: Mapping[str, str],
) -> None:
    """Write down what came of files; `repeated` has, by file_id, the earlier content that a file tells again."""
    rows = [_ledger_row(arrival, outcome, sources, load_id) for arrival, outcome in outcomes]
    insert_or_replace(connection, LOG_FILES, [row | {"repeats": repeated.get(str(row["file_id"]))} for row in rows])


def _ledger_row(
    arrival: Arrival, outcome: StagedFile | FileRejected, sources: Sources, load_id: str
) -> dict[str, object]:
    loaded = outcome if isinstance(outcome, StagedFile) else None
    last = loaded.last_event_time if loaded else None
    expected = sources.expected(arrival.name, arrival.named_source)
    source = sources[loaded.source] if loaded else expected
    return arrived(arrival) | {
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
        "last_day_ends_at": source.day_ends_at(last) if source and last else None,
        "touched_dates": list(loaded.dates) if loaded else [],
        "load_id": load_id,
        "absent_columns": list(loaded.absent_columns) if loaded else None,
        "vanished_columns": list(loaded.vanished_columns) if loaded else None,
        "source_version": source.version if source else None,
    }


def arrived(arrival: Arrival) -> dict[str, object]:
    """What the ledger says of a content before it is read; the rest is null, or nothing."""
    size, crc = arrival.unpacked or (None, None)
    return dict.fromkeys(LOG_FILES.column_names) | {
        "file_id": arrival.file_id,
        "file_number": arrival.number,
        "sha256": arrival.sha256,
        "path": arrival.name,
        "size_bytes": arrival.size_bytes,
        "arrived_at": arrival.arrived_at,
        "rows": 0,
        "rows_refused": 0,
        "touched_dates": [],
        "precedence": arrival.precedence,
        "moved_to": arrival.moved_to,
        "named_source": arrival.named_source,
        "content_bytes": size,
        "content_crc32": crc,
    }


def remember(connection: duckdb.DuckDBPyConnection, files: Sequence[tuple[LandingFile, str]]) -> None:
    """Write down which path holds which content, by its SHA-256."""
    rows = [(f.name, f.size_bytes, f.modified_ns, digest[:FILE_ID_DIGITS]) for f, digest in files]
    insert_or_replace(
        connection, LANDING_FILES, [dict(zip(LANDING_FILES.column_names, row, strict=True)) for row in rows]
    )


def insert_or_replace(
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


def settle_plan(session: WarehouseSession, plan: Plan, journal: Journal) -> set[date]:
    """Write down what was not read, and why; the dates on which rows went, because a known content has them too."""
    overtaken = {content.file_id: by[:FILE_ID_DIGITS] for content, by in plan.overtaken}
    withdrawal = without_files(session, overtaken.keys())
    ledger = set(_ledger(session))
    journaled = {sha256: row for sha256, row in _journaled_rows(journal).items() if sha256 not in ledger}
    known = {sha256[:FILE_ID_DIGITS] for sha256 in (*ledger, *journaled)}
    superseded = [(a, by) for a, by in plan.superseded if by in known]
    with session.transaction():
        session.lake.remove(RAW_LOGS, withdrawal.removed)
        session.lake.commit(RAW_LOGS, withdrawal.written, ())
        for file_id, by in overtaken.items():
            mark(session, [file_id], "superseded", by=by, reason=_LINES_ELSEWHERE)
        rows = [
            arrived(a) | {"status": "superseded", "superseded_by": by, "reason": _LINES_ELSEWHERE}
            for a, by in superseded
        ]
        # The journal says more of those that it has, and of some nothing else is left.
        rows = [row for row in rows if row["sha256"] not in journaled]
        rows += [row for row in journaled.values() if row["status"] == "withdrawn" or row["superseded_by"] in known]
        insert_or_replace(session.connection, LOG_FILES, rows)
        remember(session.connection, [(a.file, a.sha256) for a, _ in superseded])
        # A copy of a file that could not be read whole just now waits with it.
        noted = ledger | {row["sha256"] for row in rows}
        copies = [(file, digest) for file, digest in plan.copies if digest in noted]
        remember(session.connection, copies)
        _note_moved(session.connection, {digest for _, digest in copies}, session.settings.landing_dir)
    session.lake.sweep(RAW_LOGS, withdrawal.dates)
    return set(withdrawal.dates)


def _note_moved(connection: duckdb.DuckDBPyConnection, contents: Collection[str], landing_dir: Path) -> None:
    """Write down where contents stand that have left their path: what comes there next is no correction of them."""
    rows = connection.execute(
        f"select sha256, coalesce(moved_to, log.path), landing.path from {_LEDGER} as log"
        f" join {LANDING_FILES.qualified_name} as landing using (file_id) where list_contains($contents, sha256)"
        " order by landing.path",
        {"contents": list(contents)},
    ).fetchall()
    places: dict[str, list[str]] = {}
    for sha256, before, path in rows:
        # What no longer is there is remembered under its path as well.
        if (landing_dir / path).exists():
            places.setdefault(sha256, [before]).append(path)
    for sha256, (before, *paths) in places.items():
        if logical_name(before, sha256) not in {logical_name(path, sha256) for path in paths}:
            connection.execute(
                f"update {_LEDGER} set moved_to = $path where sha256 = $sha256", {"path": paths[0], "sha256": sha256}
            )


_LINES_ELSEWHERE = "another file has its lines"


def _ledger(session: WarehouseSession) -> list[str]:
    return [row[0] for row in session.connection.execute(f"select sha256 from {_LEDGER}").fetchall()]


_ONLY_OF_LOADED = (
    "first_event_time",
    "last_event_time",
    "last_day_ends_at",
    "load_id",
    "repeats",
    "absent_columns",
    "vanished_columns",
)


def _journaled_rows(journal: Journal) -> dict[str, dict[str, object]]:
    """The ledger rows of contents that are not to be read, by SHA-256, as the journal has them."""
    return {
        sha256: entry
        | {"file_id": sha256[:FILE_ID_DIGITS], "rows": 0, "rows_refused": 0, "touched_dates": []}
        | dict.fromkeys(_ONLY_OF_LOADED)
        for sha256, entry in journal.entries().items()
        if entry["status"] in ("superseded", "withdrawn")
    }


def forget_gone(session: WarehouseSession, there: Collection[str]) -> None:
    """Forget the paths of the landing zone at which nothing stands any more; `there` are the others."""
    session.connection.execute(
        f"delete from {LANDING_FILES.qualified_name} where path not in (select unnest(cast($there as text[])))",
        {"there": list(there)},
    )


def logs_without_bytes(session: WarehouseSession, there: Collection[str]) -> set[str]:
    """The SHA-256 of each log whose rows count, and whose bytes stand at none of these paths of the landing zone."""
    rows = session.connection.execute(
        f"select sha256 from {_LEDGER} where status = 'loaded' and rows > 0 and file_id not in"
        f" (select file_id from {LANDING_FILES.qualified_name}"
        "  where path in (select unnest(cast($there as text[]))))",
        {"there": list(there)},
    ).fetchall()
    return {sha256 for (sha256,) in rows}


def keep_journal(session: WarehouseSession, journal: Journal, there: Collection[str]) -> None:
    """Bring the journal, and the rows of logs whose bytes are gone, up to the ledger."""
    before = journal.entries()
    lost = logs_without_bytes(session, there)
    names = (*JOURNALED, *LOST)
    rows = session.connection.execute(f"select {', '.join(names)} from {_LEDGER} order by file_number").fetchall()
    entries = []
    for row in rows:
        entry = dict(zip(names, row, strict=True))
        if entry["sha256"] in lost:
            # Where the lake itself is broken, the doctor names both: the rows that are not kept, and the lake.
            with suppress(duckdb.Error):
                _archive(session, journal, entry)
        else:
            entry |= dict.fromkeys(LOST)
        entries.append(entry)
    ledger = {entry["sha256"] for entry in entries}
    journal.write([*(entry for sha256, entry in before.items() if sha256 not in ledger), *entries])
    for sha256 in journal.archived() & (ledger - lost):
        journal.archive_of(sha256).unlink(missing_ok=True)


def _archive(session: WarehouseSession, journal: Journal, entry: Mapping[str, Any]) -> None:
    """Keep the rows of a log as they were judged, beside the journal, unless they are kept."""
    target = journal.archive_of(entry["sha256"])
    if target.exists():
        return
    days = entry["touched_dates"]
    files = [file for file in session.lake.files(RAW_LOGS, min(days), max(days)) if file.event_date in set(days)]
    raw = files_sql(RAW_LOGS, session.lake.absolute(files))
    journal.folder.mkdir(parents=True, exist_ok=True)
    temporary = target.with_suffix(".tmp")
    session.connection.execute(
        f"copy (select * from ({raw}) where file_id = $file_id order by event_date, line_number)"
        f" to {literal(str(temporary))} (format parquet, compression zstd)",
        {"file_id": entry["sha256"][:FILE_ID_DIGITS]},
    )
    temporary.replace(target)


def take_archived(
    session: WarehouseSession, journal: Journal, arrival: Arrival, load_id: str, rows: Counter[date]
) -> None:
    """Take up a log whose bytes are gone, with the rows that were kept of it; `rows` counts them by date."""
    entry = journal.entries()[arrival.sha256]
    kept = files_sql(RAW_LOGS, [str(arrival.archive)])
    days = [date.fromisoformat(str(day)) for day in entry["touched_dates"]]
    parts = {
        EVENTS_LABEL: f"select {VALID_EVENTS.select_list()} from ({kept}) where reasons is null and event_date = $day",
        REFUSED_LABEL: f"select * from ({kept}) where reasons is not null and event_date = $day",
    }
    found: list[LakeFile | None] = [
        session.lake.write(session.connection, RAW_LOGS, day, query, {"day": day}, label=f"{load_id}-{label}")
        for day in days
        for label, query in parts.items()
    ]
    files = [file for file in found if file is not None]
    row = arrived(arrival) | {name: entry[name] for name in (*JOURNALED, *LOST)}
    with session.transaction():
        session.lake.commit(RAW_LOGS, files, ())
        insert_or_replace(session.connection, LOG_FILES, [row | {"file_number": arrival.number, "load_id": load_id}])
    for file in files:
        rows[file.event_date] += file.row_count
