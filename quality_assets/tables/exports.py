"""Tables of the published snapshot as CSV, for people and scripts: whole or not at all, and only the new is written.

Beside each file lies what it was made of: the fingerprint of each day that is in it, and how much of it was checked.
What follows the last day that is as it was is appended to a copy of the beginning, which then takes the file's place.
Late events change the last days, most days; a change further back, or of the contract or the file itself, means that
all is written anew. No text in these files is one that a spreadsheet would run.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import duckdb

from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.table import Table
from quality_assets.domain.escaping import spreadsheet_sql
from quality_assets.domain.sql_text import literal
from quality_assets.stores.files import write_atomically
from quality_assets.stores.snapshots import Snapshot, connect

# So far back it is known where in the file the days end; a day gets nearly all that comes late within it.
SETTLED_AFTER = timedelta(days=14)

# How values are written. A file of another form is written anew: it would be no beginning of one of this form.
FORM = "text that no spreadsheet runs"


@dataclass(frozen=True)
class Part:
    """The beginning of a file, up to and with an event date."""

    last: str
    size_bytes: int
    rows: int


@dataclass(frozen=True)
class Export:
    """A file as it was written. `days` maps event dates (ISO) to the fingerprints of the partitions in it.

    `checked` is the beginning of it that was held against a snapshot, value by value; `settled` ends SETTLED_AFTER
    before the last day, when it was written, or earlier.
    """

    columns: tuple[str, ...]
    size_bytes: int
    modified_ns: int
    rows: int
    days: Mapping[str, str]
    checked: Part | None = None
    settled: Part | None = None
    form: str = ""

    @property
    def whole(self) -> Part:
        """All of the file."""
        return Part(max(self.days, default=""), self.size_bytes, self.rows)


def read_export(target: Path) -> Export | None:
    """What `target` was made of; None where it was not made here, is of another form, or was changed since."""
    try:
        status = target.stat()
        record = json.loads(_record_path(target).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    parts = {name: Part(**record[name]) for name in ("checked", "settled") if record.get(name)}
    export = Export(**{**record, "columns": tuple(record["columns"]), **parts})
    is_it = (export.size_bytes, export.modified_ns) == (status.st_size, status.st_mtime_ns)
    return export if is_it and export.form == FORM else None


def export_csv(snapshot: Snapshot, table: Table, target: Path) -> int:
    """Write a daily table of the snapshot to `target`, in the order of its key, the date first; how many rows."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f".{target.name}.[0-9]*"):
        left.unlink()  # by one that was killed: there is one writer
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with connect(snapshot) as connection:
        days = built_days(connection, table)
        there = read_export(target)
        before = checked_part(there, days) if there and there.columns == table.column_names else None
        if there is not None and before == there.whole and there.days == days:
            return there.rows
        made = before or Part("", 0, 0)
        if before:
            shutil.copyfile(target, temporary)
            os.truncate(temporary, before.size_bytes)
        settled = there.settled if there and before and _covers(before, there.settled) else None
        last = max(days, default="")
        border = (date.fromisoformat(last) - SETTLED_AFTER).isoformat() if last else ""
        if any(made.last < day <= border for day in days):
            made = settled = _append(connection, table, temporary, made, border)
        made = _append(connection, table, temporary, made)
    os.replace(temporary, target)
    status = target.stat()
    _write_record(
        target, Export(table.column_names, status.st_size, status.st_mtime_ns, made.rows, days, before, settled, FORM)
    )
    return made.rows


def _append(
    connection: duckdb.DuckDBPyConnection, table: Table, path: Path, made: Part, last: str = "9999-12-31"
) -> Part:
    """Append to the part of a file that is made the days that follow, up to and with `last`; a header comes first."""
    rest = path.with_name(f"{path.name}.rest")
    after = f"event_date > date '{made.last}' and" if made.last else ""
    order = ", ".join(f't."{name}"' for name in table.key)
    row = connection.execute(
        f"copy (select {exported_columns(table)} from {table.qualified_name} as t"
        f" where {after} event_date <= date '{last}' order by {order}) to {literal(str(rest))}"
        f" (format csv, header {made.size_bytes == 0})"
    ).fetchone()
    with path.open("ab") as out, rest.open("rb") as stream:
        shutil.copyfileobj(stream, out, 1 << 20)
    rest.unlink()
    return Part(last, path.stat().st_size, made.rows + (int(row[0]) if row else 0))


def exported_columns(table: Table) -> str:
    """The columns of `table`, which the statement calls `t`, for SELECT: as its file has them."""
    values = [f't."{column.name}"' for column in table.columns]
    shown = [
        spreadsheet_sql(value) if column.type == "VARCHAR" else value
        for value, column in zip(values, table.columns, strict=True)
    ]
    return ", ".join(f'{value} as "{name}"' for value, name in zip(shown, table.column_names, strict=True))


def checked_part(export: Export, days: Mapping[str, str]) -> Part | None:
    """The longest part of a file that was checked and whose days are still built from what they were, and no others."""
    for part in (export.checked, export.settled):
        if part is None or not part.last or not _covers(export.checked, part):
            continue
        of_part = {day: mark for day, mark in export.days.items() if day <= part.last}
        if of_part == {day: mark for day, mark in days.items() if day <= part.last}:
            return part
    return None


def _covers(part: Part | None, other: Part | None) -> bool:
    return part is not None and other is not None and other.size_bytes <= part.size_bytes


def record_checked(target: Path, export: Export) -> None:
    """Remember that all of `target` was found to be the snapshot's: the next check, and export, begin where it ends."""
    if export.checked != export.whole:
        _write_record(target, replace(export, checked=export.whole))


def is_exported(snapshot: Snapshot, processed_dir: Path, tables: Mapping[str, Table]) -> bool:
    """Whether the files of all tables, by the names of the files, are of the snapshot; a kill may leave them behind."""
    with connect(snapshot) as connection:
        wanted = {name: built_days(connection, table) for name, table in tables.items()}
    made = {name: read_export(processed_dir / name) for name in tables}
    return all(export is not None and dict(export.days) == wanted[name] for name, export in made.items())


def built_days(connection: duckdb.DuckDBPyConnection, table: Table) -> dict[str, str]:
    """The fingerprint of each event date (ISO) of `table` that is built."""
    rows = connection.execute(
        f"select cast(event_date as varchar), inputs_fingerprint from {PARTITION_STATE.qualified_name}"
        " where table_name = $name order by event_date",
        {"name": table.qualified_name},
    ).fetchall()
    return dict(rows)


def _record_path(target: Path) -> Path:
    return target.with_name(f".{target.name}.json")


def _write_record(target: Path, export: Export) -> None:
    write_atomically(_record_path(target), json.dumps(asdict(export)))
