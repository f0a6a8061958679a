"""The checks of what readers get: the snapshot shows the warehouse as it was audited, and each file shows the snapshot.

They come after the swap, and what they find is mended by publishing anew: none blocks, or it would block its own cure.
"""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from glob import glob
from pathlib import Path
from typing import NoReturn

import duckdb

from quality_assets.contracts.catalog import LAKE_TABLES, TABLES
from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK
from quality_assets.contracts.monitoring import ALERT_HISTORY, ALERTS, CHECK_RESULTS
from quality_assets.contracts.product import FEATURE_DAILY_TRENDS
from quality_assets.contracts.table import Table
from quality_assets.contracts.watched import BATCHES, FINDINGS
from quality_assets.domain.quality.check import Answer, Check, Subject
from quality_assets.domain.sql_text import literal
from quality_assets.stores.files import is_same_file
from quality_assets.stores.lake import files_sql
from quality_assets.stores.snapshots import Snapshot, connect, current_snapshot, open_snapshot
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables import report_files
from quality_assets.tables.exports import built_days, checked_part, exported_columns, read_export, record_checked
from quality_assets.tables.staleness import published_fingerprint

MAX_EXAMPLES = 5

Content = Callable[[duckdb.DuckDBPyConnection], str]

# What is written after the snapshot was taken, by these very checks among others.
_GOES_ON = (CHECK_RESULTS, ALERTS, ALERT_HISTORY, BATCHES, FINDINGS)
_SHOWN = tuple(table for table in TABLES if table.schema != "ops" and table not in _GOES_ON)


PUBLISHED_SNAPSHOT = Subject("file", "publish.published_snapshot")


def file_subject(file_name: str) -> Subject:
    """A file for readers as the subject of checks: `metrics.json` is the asset publish.metrics_json."""
    return Subject("file", f"publish.{file_name.replace('.', '_')}")


def _in_force(session: WarehouseSession) -> Snapshot:
    snapshot = current_snapshot(session.settings.published_dir)
    if snapshot is None:
        raise FileNotFoundError("there is no published snapshot")
    return snapshot


def _none_of(offenders: Sequence[str]) -> Answer:
    return Answer(not offenders, float(len(offenders)), 0.0, len(offenders), offenders[:MAX_EXAMPLES])


def snapshot_opens(session: WarehouseSession) -> Answer:
    """Every column of every table is read once, with no more rights than a reader has."""
    try:
        connection = open_snapshot(_in_force(session))
    except (duckdb.Error, FileNotFoundError) as error:
        return Answer(False, unexpected_count=1, why=str(error))
    with connection:
        return _none_of(_unreadable(connection))


def _unreadable(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The tables that cannot be read, each with why: all are read at once, and one by one only where that fails."""
    firsts = [f"(select hash({table.select_list()}) from {table.qualified_name} limit 1)" for table in TABLES]
    with suppress(duckdb.Error):
        connection.execute(" union all ".join(firsts)).fetchall()
        return []
    unreadable = []
    for table in TABLES:
        try:
            connection.execute(f"select {table.select_list()} from {table.qualified_name} limit 1").fetchall()
        except duckdb.Error as error:
            unreadable.append(f"{table.qualified_name}: {error}")
    return unreadable


def shows_the_data(session: WarehouseSession) -> Answer:
    """Pointer, snapshot and warehouse name the same data."""
    snapshot = _in_force(session)
    with connect(snapshot) as connection:
        within = published_fingerprint(connection)
    found = {"CURRENT": snapshot.data_fingerprint, "the snapshot": within}
    wanted = published_fingerprint(session.connection)
    return _none_of([f"{name} has {value}, the warehouse {wanted}" for name, value in found.items() if value != wanted])


def rows_complete(session: WarehouseSession) -> Answer:
    """Each table has as many rows as in the warehouse."""
    snapshot = _in_force(session)
    with connect(snapshot) as connection:
        shown = _row_counts(connection)
    wanted = _row_counts(session.connection)
    for table in LAKE_TABLES:
        shown[table.qualified_name], wanted[table.qualified_name] = _lake_rows(session, table, snapshot.folder)
    differing = [
        f"{name}: {rows:,} instead of {wanted[name]:,} rows" for name, rows in shown.items() if rows != wanted[name]
    ]
    return Answer(
        not differing, float(sum(shown.values())), float(sum(wanted.values())), len(differing), differing[:MAX_EXAMPLES]
    )


def _row_counts(connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    tables = [table for table in _SHOWN if table not in LAKE_TABLES]
    query = " union all ".join(f"select '{t.qualified_name}', count(*) from {t.qualified_name}" for t in tables)
    return dict(connection.execute(query).fetchall())


def _lake_rows(session: WarehouseSession, table: Table, folder: Path) -> tuple[int, int]:
    """Rows of a lake table that the snapshot in `folder` has, and those that it should have."""
    live = {file.path: file.row_count for file in session.lake.files(table)}
    # Thousands of names: as text, they cost a fraction of what paths do.
    found = set(glob(f"lake/{table.name}/*/*.parquet", root_dir=folder))
    data_dir = session.settings.data_dir
    # Of one and the same file nothing needs to be counted; that the lake has the rows of its log is checked elsewhere.
    same = {name for name in live.keys() & found if is_same_file(f"{data_dir}/{name}", f"{folder}/{name}")}
    rows = sum(live[name] for name in same)
    others = [f"{folder}/{name}" for name in found - same]
    counted = session.connection.execute(f"select count(*) from ({files_sql(table, others)})").fetchall()[0][0]
    return rows + int(counted), sum(live.values())


def _columns_exported(table: Table, name: str) -> Callable[[WarehouseSession], Answer]:
    """The header of the file is the contract's columns, in its order."""

    def answer(session: WarehouseSession) -> Answer:
        with (session.settings.processed_dir / name).open(encoding="utf-8", newline="") as stream:
            header = next(csv.reader(stream), [])
        differing = [
            column for column in (*header, *table.column_names) if (column in header) != (column in table.column_names)
        ]
        if header != list(table.column_names) and not differing:
            differing = [f"the order is {', '.join(header)}"]
        return _none_of(differing)

    return answer


def _rows_exported(table: Table, name: str) -> Callable[[WarehouseSession], Answer]:
    """Every row of the file is one of the snapshot's, and the other way round, value by value.

    What an earlier check has found so, of days that have not been built anew since, is not looked at again.
    """

    def answer(session: WarehouseSession) -> Answer:
        path = session.settings.processed_dir / name
        with connect(_in_force(session)) as connection:
            export = read_export(path)
            known = checked_part(export, built_days(connection, table)) if export else None
            if known is None:
                found = _compared(connection, table, path, "true", has_header=True)
            else:
                with _from_byte(path, known.size_bytes, session.settings.scratch_dir) as rest:
                    is_new = f"event_date > date '{known.last}'"
                    found = _compared(connection, table, rest, is_new, has_header=False)
                    found = _with_known(found, known.rows, _count(connection, _shown(table, f"not {is_new}"))[0])
        if found.is_passed and export is not None:
            record_checked(path, export)
        return found

    return answer


def _compared(
    connection: duckdb.DuckDBPyConnection, table: Table, path: Path, which: str, *, has_header: bool
) -> Answer:
    types = ", ".join(f"'{column.name}': '{column.type}'" for column in table.columns)
    file = (
        f"(select * from read_csv({literal(str(path))}, header = {has_header}, auto_detect = false, delim = ',',"
        f" quote = '\"', escape = '\"', allow_quoted_nulls = false, columns = {{{types}}}))"
    )
    shown = _shown(table, which)
    wanted, wanted_hash = _count(connection, shown)
    try:
        rows, rows_hash = _count(connection, file)
        if (rows, rows_hash) == (wanted, wanted_hash):
            return Answer(True, rows, wanted, 0)
        differing = connection.execute(
            f"(select 'only in the file', * from ({file} except all {shown}))"
            f" union all (select 'not in the file', * from ({shown} except all {file}))"
        ).fetchall()
    except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
        return Answer(False, None, wanted, 1, why=str(error))
    examples = [f"{side}: {', '.join(map(str, key))} …" for side, *key in (row[:4] for row in differing)]
    return Answer(not differing, rows, wanted, len(differing), examples[:MAX_EXAMPLES])


def _shown(table: Table, which: str) -> str:
    # As the file has them: what `spreadsheet_sql` makes of two texts differs where they do.
    return f"(select {exported_columns(table)} from {table.qualified_name} as t where {which})"


def _with_known(found: Answer, rows: int, wanted: float) -> Answer:
    """The answer on the rest of a file, and as many rows of its beginning as there should be."""
    return replace(
        found,
        is_passed=found.is_passed and rows == wanted,
        unexpected_count=(found.unexpected_count or 0) + int(abs(rows - wanted)),
        observed=None if found.observed is None else found.observed + rows,
        threshold=None if found.threshold is None else found.threshold + wanted,
    )


@contextmanager
def _from_byte(path: Path, start: int, scratch: Path) -> Iterator[Path]:
    """The rest of a file as a file."""
    scratch.mkdir(parents=True, exist_ok=True)
    with path.open("rb") as stream, tempfile.NamedTemporaryFile(dir=scratch, suffix=".csv") as rest:
        stream.seek(start)
        shutil.copyfileobj(stream, rest)
        rest.flush()
        yield Path(rest.name)


def _count(connection: duckdb.DuckDBPyConnection, source: str) -> tuple[float, int]:
    """How many rows there are, and the sum of their hashes: the same whatever their order."""
    rows, hashes = connection.execute(f"select count(*), sum(hash(each)) from {source} as each").fetchall()[0]
    return float(rows), int(hashes or 0)


def _shows_snapshot(name: str, content: Content) -> Callable[[WarehouseSession], Answer]:
    """The file holds what its content is when made anew from the snapshot in force."""

    def answer(session: WarehouseSession) -> Answer:
        written = (session.settings.reports_dir / name).read_text(encoding="utf-8")
        with connect(_in_force(session)) as connection:
            wanted = content(connection)
        is_same = written == wanted
        return Answer(is_same, float(len(written)), float(len(wanted)), 0 if is_same else 1)

    return answer


def _is_json(name: str) -> Callable[[WarehouseSession], Answer]:
    """The file parses, and has no NaN or infinity, which JSON does not know."""

    def answer(session: WarehouseSession) -> Answer:
        try:
            json.loads((session.settings.reports_dir / name).read_text(encoding="utf-8"), parse_constant=_no_json)
        except ValueError as error:
            return Answer(False, unexpected_count=1, why=str(error))
        return Answer(True, unexpected_count=0)

    return answer


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _of_export(table: Table, name: str) -> tuple[Check, ...]:
    return (
        Check(
            file_subject(name),
            "columns_exported",
            f"Does {name} have the columns of its contract, in their order?",
            "validity",
            answer=_columns_exported(table, name),
            finding="{observed} came out otherwise than in the contract",
            unit="column",
        ),
        Check(
            file_subject(name),
            "rows_exported",
            f"Does {name} have exactly the rows of the snapshot?",
            "consistency",
            answer=_rows_exported(table, name),
            finding="{observed} in the file, {threshold} in the snapshot",
        ),
    )


def _of_report(name: str, content: Content) -> tuple[Check, ...]:
    shows = Check(
        file_subject(name),
        "shows_snapshot",
        f"Does {name} show the snapshot in force?",
        "consistency",
        answer=_shows_snapshot(name, content),
        finding=f"{name} shows another snapshot than the one in force",
    )
    is_json = Check(file_subject(name), "is_json", f"Can any program read {name}?", "validity", answer=_is_json(name))
    return (shows, is_json) if name.endswith(".json") else (shows,)


PUBLICATION_CHECKS = (
    Check(
        PUBLISHED_SNAPSHOT,
        "snapshot_opens",
        "Can readers open the snapshot and read every table?",
        "validity",
        answer=snapshot_opens,
        finding="{observed} of the snapshot cannot be read",
        unit="table",
    ),
    Check(
        PUBLISHED_SNAPSHOT,
        "shows_the_data",
        "Does the snapshot show the data that the warehouse holds?",
        "consistency",
        answer=shows_the_data,
        finding="The snapshot holds other data than the warehouse",
    ),
    Check(
        PUBLISHED_SNAPSHOT,
        "rows_complete",
        "Is every row of the warehouse in the snapshot?",
        "completeness",
        answer=rows_complete,
        finding="{observed} in the snapshot, {threshold} in the warehouse",
    ),
    *_of_export(FEATURE_METRICS_WITH_RISK, "feature_metrics.csv"),
    *_of_export(FEATURE_DAILY_TRENDS, "feature_daily_trends.csv"),
    *_of_report("metrics.json", report_files.metrics_json),
    *_of_report("feature_importance.csv", report_files.feature_importance_csv),
    *_of_report("baseline_stats.json", report_files.baseline_stats_json),
    *_of_report("data_drift.json", report_files.data_drift_json),
    *_of_report("drift.html", report_files.drift_html),
)
