"""Building the partitioned tables over the lake and the warehouse, for given event dates.

Each function rebuilds whole partitions, in one transaction each, and is safe to repeat and to kill. What the rows are
is said in `domain/events/tables.py` and `domain/features/trends.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date

import duckdb
import pyarrow as pa

from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES
from quality_assets.contracts.table import Table
from quality_assets.domain.events import tables as sql
from quality_assets.domain.features.trends import trends_sql
from quality_assets.progress import Progress, no_progress
from quality_assets.stores.lake import LakeFile, files_sql
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import (
    WarehouseSession,
    insert_rows,
    open_scratch,
    refresh_lake_views,
    side_by_side,
)
from quality_assets.tables.lake_accounts import LakeNotAsWrittenError, lake_faults
from quality_assets.tables.staleness import emptied_dates, forget_built, record_built, wanted_fingerprints

EVENTS_LABEL = "events"
REFUSED_LABEL = "refused"
# Beyond so many files a day's events are merged into one: each file costs every later query an open.
MAX_FILES_A_DAY = 8
MAX_FAULTS_NAMED = 3
# Distinct users and sessions are exact: their hash tables fill the memory, and beyond this the cache long before.
MAX_EVENTS_AT_ONCE = 1_000_000


def build_events(
    session: WarehouseSession, start: date, end: date, progress: Progress = no_progress
) -> dict[str, dict[date, int]]:
    """Rebuild valid_events and quarantined_events from `start` to `end`; rows per table and date.

    Raises LakeNotAsWrittenError where raw logs are not what was written, once all other dates are built.
    """
    fingerprints = wanted_fingerprints(session.connection, VALID_EVENTS, start, end)
    faults = lake_faults(session, RAW_LOGS, start, end)
    for fault in faults:
        fingerprints.pop(fault.file.event_date, None)
    raw = _by_date(session.lake.files(RAW_LOGS, start, end))
    valid: list[LakeFile] = []
    quarantined: list[LakeFile] = []
    for event_date in fingerprints:
        events, refused = _build_day(session, event_date, raw.get(event_date, []))
        valid += events
        quarantined += refused
        progress(f"valid_events {event_date}")
    rows = {
        VALID_EVENTS.qualified_name: _rows_by_date(valid, fingerprints),
        QUARANTINED_EVENTS.qualified_name: _rows_by_date(quarantined, fingerprints),
    }
    emptied = emptied_dates(session.connection, VALID_EVENTS, start, end)
    with session.transaction():
        for table, files in ((VALID_EVENTS, valid), (QUARANTINED_EVENTS, quarantined)):
            session.lake.commit(table, files, [*fingerprints, *emptied])
            record_built(session.connection, table, fingerprints, rows[table.qualified_name])
            forget_built(session.connection, table, emptied)
    for table in (VALID_EVENTS, QUARANTINED_EVENTS):
        session.lake.sweep(table, [*fingerprints, *emptied])
    refresh_lake_views(session.connection, session.settings)
    if faults:
        raise LakeNotAsWrittenError("; ".join(map(str, faults[:MAX_FAULTS_NAMED])))
    return rows


def build_user_feature_days(
    session: WarehouseSession, start: date, end: date, progress: Progress = no_progress
) -> dict[date, int]:
    """Rebuild user_feature_days from `start` to `end`; rows per date."""
    fingerprints = wanted_fingerprints(session.connection, USER_FEATURE_DAYS, start, end)
    events = _by_date(session.lake.files(VALID_EVENTS, start, end))
    files: list[LakeFile] = []

    def write(cursor: duckdb.DuckDBPyConnection, event_date: date) -> LakeFile | None:
        query = sql.user_feature_days_sql(_parquet(session, VALID_EVENTS, events.get(event_date, [])))
        return session.lake.write(cursor, USER_FEATURE_DAYS, event_date, query, label="user-days")

    with open_scratch(session.settings) as scratch:
        written = side_by_side(scratch, session.settings, write, fingerprints)
        for event_date, file in zip(fingerprints, written, strict=True):
            files += [file] if file else []
            progress(f"user_feature_days {event_date}")
    rows = _rows_by_date(files, fingerprints)
    emptied = emptied_dates(session.connection, USER_FEATURE_DAYS, start, end)
    with session.transaction():
        session.lake.commit(USER_FEATURE_DAYS, files, [*fingerprints, *emptied])
        record_built(session.connection, USER_FEATURE_DAYS, fingerprints, rows)
        forget_built(session.connection, USER_FEATURE_DAYS, emptied)
    session.lake.sweep(USER_FEATURE_DAYS, [*fingerprints, *emptied])
    refresh_lake_views(session.connection, session.settings)
    return rows


def build_facts(session: WarehouseSession, start: date, end: date, progress: Progress = no_progress) -> dict[date, int]:
    """Rebuild fact_feature_metrics from `start` to `end`; rows per date."""
    connection = session.connection
    fingerprints = wanted_fingerprints(connection, FACT_FEATURE_METRICS, start, end)
    emptied = emptied_dates(connection, FACT_FEATURE_METRICS, start, end)
    events = _by_date(session.lake.files(VALID_EVENTS, start, end))
    user_days = _by_date(session.lake.files(USER_FEATURE_DAYS, start, end))
    descriptions = connection.sql(f"select feature, apdex_threshold_ms from {FEATURE_DESCRIPTIONS.qualified_name}")
    sizes = {day: sum(file.row_count for file in files) for day, files in events.items()}
    batches = list(_batches(list(fingerprints), sizes))

    def facts_of(cursor: duckdb.DuckDBPyConnection, days: Sequence[date]) -> pa.Table:
        query = sql.fact_feature_metrics_sql(
            _parquet(session, VALID_EVENTS, [f for day in days for f in events.get(day, [])]),
            _parquet(session, USER_FEATURE_DAYS, [f for day in days for f in user_days.get(day, [])]),
            "descriptions",
        )
        return cursor.sql(query, params={"apdex_threshold_ms": session.settings.apdex_threshold_ms}).to_arrow_table()

    with open_scratch(session.settings) as scratch, session.transaction():
        scratch.register("described", descriptions.to_arrow_table())
        scratch.execute("create table descriptions as from described")
        _delete_days(session, FACT_FEATURE_METRICS, [*fingerprints, *emptied])
        for days, facts in zip(batches, side_by_side(scratch, session.settings, facts_of, batches), strict=True):
            insert_rows(connection, FACT_FEATURE_METRICS.qualified_name, facts)
            progress(f"fact_feature_metrics {days[0]} to {days[-1]}")
        rows = _count_days(session, FACT_FEATURE_METRICS, start, end)
        record_built(connection, FACT_FEATURE_METRICS, fingerprints, rows)
        forget_built(connection, FACT_FEATURE_METRICS, emptied)
    return {day: rows.get(day, 0) for day in fingerprints}


def build_trends(
    session: WarehouseSession, start: date, end: date, progress: Progress = no_progress
) -> dict[date, int]:
    """Rebuild feature_daily_trends from `start` to `end`; rows per date."""
    connection = session.connection
    fingerprints = wanted_fingerprints(connection, FEATURE_DAILY_TRENDS, start, end)
    emptied = emptied_dates(connection, FEATURE_DAILY_TRENDS, start, end)
    with session.transaction():
        _delete_days(session, FEATURE_DAILY_TRENDS, [*fingerprints, *emptied])
        connection.execute(
            f"insert into {FEATURE_DAILY_TRENDS.qualified_name} by name"
            f" select * from ({trends_sql()}) where list_contains($days, event_date)"
            " order by event_date, feature, metric",
            {"start": start, "end": end, "days": list(fingerprints)},
        )
        rows = _count_days(session, FEATURE_DAILY_TRENDS, start, end)
        record_built(connection, FEATURE_DAILY_TRENDS, fingerprints, rows)
        forget_built(connection, FEATURE_DAILY_TRENDS, emptied)
    progress(f"feature_daily_trends {start} to {end}")
    return {day: rows.get(day, 0) for day in fingerprints}


def _build_day(
    session: WarehouseSession, event_date: date, raw: Sequence[LakeFile]
) -> tuple[list[LakeFile], list[LakeFile]]:
    clean = [file for file in raw if file.path.endswith(f"-{EVENTS_LABEL}.parquet")]
    refused = [file for file in raw if file.path.endswith(f"-{REFUSED_LABEL}.parquet")]
    connection = session.connection
    copies = "(select cast(null as varchar) as file_id, cast(null as bigint) as line_number limit 0)"
    # A load tells copies among its own rows: a day that only one has touched is stored as it came.
    if len(clean) > 1:
        numbered = f"{_parquet(session, VALID_EVENTS, clean)} join raw.log_files using (file_id)"
        order = "coalesce(precedence, file_number), file_number, line_number"
        source = (
            "(select file_id, line_number, event_date, event_id, log_files.source, precedence, file_number"
            f" from {numbered})"
        )
        copies = "later_copies"
        find_repeated(connection, source)
        query = sql.later_copies_sql(source, "file_id, line_number", order, sql.SOURCE_IDENTITY)
        connection.execute(f"create or replace temp table {copies} as {query}")
    changed = _files_with_copies(session, clean) if copies == "later_copies" else set()
    if len(clean) > MAX_FILES_A_DAY:
        query = f"select * from {_without(session, clean, copies)}"
        merged = session.lake.write(connection, VALID_EVENTS, event_date, query, label="merged")
        events = [merged] if merged else []
    else:
        events = [
            kept
            for file in clean
            if (kept := _keep(session, file, copies if file.path in changed else None)) is not None
        ]
    if len({load_of(file) for file in raw}) < 2:
        return events, [session.lake.share(QUARANTINED_EVENTS, file, label="quarantined") for file in refused]
    quarantine = sql.quarantine_sql(
        _parquet(session, RAW_LOGS, refused),
        f"(select events.* from {_parquet(session, VALID_EVENTS, [f for f in clean if f.path in changed])} as events"
        f" semi join {copies} as copies using (file_id, line_number))",
        _parquet(session, VALID_EVENTS, events),
        f"(select file_id, source from {LOG_FILES.qualified_name})",
    )
    file = session.lake.write(connection, QUARANTINED_EVENTS, event_date, quarantine, label="quarantined")
    return events, [file] if file else []


def load_of(file: LakeFile) -> str:
    """The load that the rows of a file of raw.raw_logs came with."""
    # A file that was written anew without the rows of a log is of the load that it was of before.
    return file.path.rsplit("/", 1)[-1].rsplit("-", 1)[0].rsplit("_", 1)[-1]


def _files_with_copies(session: WarehouseSession, clean: Sequence[LakeFile]) -> set[str]:
    if session.connection.execute("select count(*) from later_copies").fetchone() == (0,):
        return set()
    paths = dict(zip(session.lake.absolute(clean), (file.path for file in clean), strict=True))
    rows = session.connection.execute(
        "select distinct filename from read_parquet($paths, hive_partitioning = false, filename = true)"
        " semi join later_copies using (file_id, line_number)",
        {"paths": list(paths)},
    ).fetchall()
    return {paths[name] for (name,) in rows}


def _keep(session: WarehouseSession, file: LakeFile, copies: str | None) -> LakeFile | None:
    label = file.path.rsplit("/", 1)[-1].removesuffix(".parquet")
    if copies is None:
        return session.lake.share(VALID_EVENTS, file, label=label)
    query = f"select * from {_without(session, [file], copies)}"
    return session.lake.write(session.connection, VALID_EVENTS, file.event_date, query, label=label)


def _without(session: WarehouseSession, files: Sequence[LakeFile], copies: str) -> str:
    return (
        f"(select events.* from {_parquet(session, VALID_EVENTS, files)} as events"
        f" anti join {copies} as copies using (file_id, line_number))"
    )


def _parquet(session: WarehouseSession, table: Table, files: Sequence[LakeFile]) -> str:
    """A relation with the contract's columns over the given files, empty where there are none."""
    return f"({files_sql(table, session.lake.absolute(files))})"


def _by_date(files: Sequence[LakeFile]) -> dict[date, list[LakeFile]]:
    grouped: dict[date, list[LakeFile]] = {}
    for file in files:
        grouped.setdefault(file.event_date, []).append(file)
    return grouped


def _rows_by_date(files: Sequence[LakeFile], days: Sequence[date] | dict[date, str]) -> dict[date, int]:
    rows = dict.fromkeys(days, 0)
    for file in files:
        rows[file.event_date] += file.row_count
    return rows


def _batches(days: Sequence[date], events: dict[date, int]) -> Iterator[list[date]]:
    batch: list[date] = []
    size = 0
    for day in days:
        if batch and size + events.get(day, 0) > MAX_EVENTS_AT_ONCE:
            yield batch
            batch, size = [], 0
        batch.append(day)
        size += events.get(day, 0)
    if batch:
        yield batch


def _delete_days(session: WarehouseSession, table: Table, days: Sequence[date]) -> None:
    session.connection.execute(
        f"delete from {table.qualified_name} where list_contains($days, event_date)", {"days": list(days)}
    )


def _count_days(session: WarehouseSession, table: Table, start: date, end: date) -> dict[date, int]:
    return dict(
        session.connection.execute(
            f"select event_date, count(*) from {table.qualified_name}"
            " where event_date between $start and $end group by 1",
            {"start": start, "end": end},
        ).fetchall()
    )
