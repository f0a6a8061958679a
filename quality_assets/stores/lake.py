"""The lake: event-level tables as immutable Parquet files, a folder per event date.

`ops.lake_files` in the warehouse is the transaction log: a file counts once its row is committed there, and a
partition is replaced by swapping rows, not bytes. Files are written to the scratch folder, synced and renamed into
place, so a kill leaves at worst files that nobody counts; `sweep` removes those. Files are never changed once named,
which lets a snapshot, or a table that keeps all rows of another's file, share it by a hard link.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path

import duckdb

from quality_assets.contracts.ops import LAKE_FILES
from quality_assets.contracts.table import Table
from quality_assets.domain.sql_text import literal
from quality_assets.stores.files import fsync_path, link_or_copy
from quality_assets.stores.landing import sha256_of

ROW_GROUP_ROWS = 122_880
# Ids are not worth a dictionary, and trying to make one is what writing them costs most.
DICTIONARY_VALUES = 2_000
# In the mark of a view over files that do not all have the same columns.
_GROWN = "files of several contracts"


@dataclass(frozen=True)
class LakeFile:
    """One Parquet file of a lake partition, as it was written. `path` is relative to the data root."""

    event_date: date
    path: str
    row_count: int
    size_bytes: int | None = field(default=None, compare=False)
    sha256: str | None = field(default=None, compare=False)


def files_sql(table: Table, paths: Sequence[str]) -> str:
    """A query for the contract's columns over Parquet files or patterns; no rows where there are none.

    A column that the files lack is null: not every file has every column, as when the contract has grown since.
    """
    nothing = _no_rows(table)
    if not paths:
        return nothing
    listed = ", ".join(map(literal, paths))
    return (
        f"select {table.select_list()} from ({nothing} union all by name"
        f" select * from read_parquet([{listed}], hive_partitioning = false, union_by_name = true))"
    )


def lake_view_sql(table: Table, lake_dir: Path, *, has_grown: bool = False) -> str:
    """The statement that makes `table` a view over all its files under `lake_dir`.

    The date comes from the folder's name, so that a query over a few dates opens the files of those dates only. Files
    of one kind have the same columns, so that none need be opened to know them, unless the contract `has_grown` since
    the first of them was written: then all are asked for theirs.
    """
    return f"create or replace view {table.qualified_name} as {_view_query(table, lake_dir, has_grown)}"


def is_current_view(connection: duckdb.DuckDBPyConnection, table: Table, lake_dir: Path) -> bool:
    """Whether the view of `table` reads what is under `lake_dir`: it is made anew only when a kind of file appears."""
    return is_current_mark(_mark_of(connection, table), table, lake_dir)


def is_current_mark(mark: str | None, table: Table, lake_dir: Path) -> bool:
    """As `is_current_view`, by the comment on the view of `table`; None where there is no view, or no comment."""
    return mark is not None and mark == _view_mark(table, lake_dir, _has_grown(mark, table))


def refresh_view(connection: duckdb.DuckDBPyConnection, table: Table, lake_dir: Path) -> None:
    """Make the view of `table` read what is under `lake_dir`, unless it does."""
    before = _mark_of(connection, table)
    if not is_current_mark(before, table, lake_dir):
        has_grown = _has_grown(before, table)
        mark = literal(_view_mark(table, lake_dir, has_grown))
        # A view that is killed before its mark would forget that its files are of several contracts.
        connection.execute(
            f"begin transaction; {lake_view_sql(table, lake_dir, has_grown=has_grown)};"
            f" comment on view {table.qualified_name} is {mark}; commit"
        )


def view_marks(connection: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """The comments on all views, by their qualified names."""
    sql = "select schema_name || '.' || view_name, comment from duckdb_views() where not internal"
    return dict(connection.execute(sql).fetchall())


def _mark_of(connection: duckdb.DuckDBPyConnection, table: Table) -> str | None:
    return view_marks(connection).get(table.qualified_name)


def _has_grown(mark: str | None, table: Table) -> bool:
    """Whether files may lack columns of the contract: the view with this mark was made by another, and has files."""
    columns, *rest = (mark or "").split("|")
    return rest[:1] == [_GROWN] or bool(rest and columns != ",".join(table.column_names))


def _view_mark(table: Table, lake_dir: Path, has_grown: bool) -> str:
    grown = (_GROWN,) if has_grown else ()
    return "|".join((",".join(table.column_names), *grown, *_patterns(table, lake_dir)))


def _patterns(table: Table, lake_dir: Path) -> list[str]:
    folder = lake_dir / table.name
    kinds = [f"*{kind}.parquet" for kind in table.file_kinds]
    # The name of a data root may hold what is a wildcard in a pattern.
    escaped = re.sub(r"([\[*?])", r"[\1]", str(folder))
    return [f"{escaped}/*/{kind}" for kind in kinds if next(folder.glob(f"*/{kind}"), None) is not None]


def _view_query(table: Table, lake_dir: Path, has_grown: bool) -> str:
    parts = [_no_rows(table)]
    for pattern in _patterns(table, lake_dir):
        options = "hive_partitioning = true" + (", union_by_name = true" if has_grown else "")
        if table.partition_column:
            options += f", hive_types = {{'{table.partition_column}': DATE}}"
        parts.append(f"select * from read_parquet({literal(pattern)}, {options})")
    return f"select {table.select_list()} from ({' union all by name '.join(parts)})"


def _no_rows(table: Table) -> str:
    typed = ", ".join(f'cast(null as {column.type}) as "{column.name}"' for column in table.columns)
    return f"select {typed} where false"


def _partition(table: Table) -> str:
    return table.partition_column or "event_date"


def first_date_there(table: Table, lake_dir: Path) -> date | None:
    """The first date that a table has a folder of; None where it has none.

    For who must not wait for the warehouse, which one process has to itself. The folder of a date whose rows are all
    taken back stays until nothing is built of it any more (`Lake.let_go_of_dates`): what was has to be built once more.
    """
    prefix = f"{_partition(table)}="
    folder = lake_dir / table.name
    names = os.listdir(folder) if folder.is_dir() else []
    dates = (date.fromisoformat(name.removeprefix(prefix)) for name in names if name.startswith(prefix))
    return min(dates, default=None)


class Lake:
    """The lake of one data root, through an open warehouse connection that holds its transaction log."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, data_dir: Path, scratch_dir: Path) -> None:
        self._connection = connection
        self._data_dir = data_dir
        self._scratch_dir = scratch_dir

    def files(self, table: Table, start: date | None = None, end: date | None = None) -> list[LakeFile]:
        """The live files of `table` for event dates from `start` to `end`, both inclusive, in name order."""
        rows = self._connection.execute(
            f"select event_date, path, row_count, size_bytes, sha256 from {LAKE_FILES.qualified_name}"
            " where table_name = $name and event_date >= coalesce($start, event_date)"
            " and event_date <= coalesce($end, event_date) order by event_date, path",
            {"name": table.qualified_name, "start": start, "end": end},
        ).fetchall()
        return [LakeFile(*row) for row in rows]

    def absolute(self, files: Iterable[LakeFile]) -> list[str]:
        """The files as paths that DuckDB can read from anywhere."""
        return [str(self._data_dir / file.path) for file in files]

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        table: Table,
        event_date: date,
        query: str,
        parameters: Mapping[str, object] | Sequence[object] | None = None,
        *,
        label: str,
    ) -> LakeFile | None:
        """Write the rows of `query` as one new file of a partition; None when there are none.

        `connection` runs the query and may be another database. The name ends in `label`; it is not counted before
        `commit`.
        """
        self._scratch_dir.mkdir(parents=True, exist_ok=True)
        scratch = self._scratch_dir / f"{uuid.uuid4().hex}.parquet"
        row = connection.execute(
            f"copy ({query}) to {literal(str(scratch))}"
            # Zstandard would halve the files, but writing and reading them costs more.
            f" (format parquet, parquet_version v2, compression snappy,"
            f" row_group_size {ROW_GROUP_ROWS}, dictionary_size_limit {DICTIONARY_VALUES})",
            parameters,
        ).fetchone()
        rows = int(row[0]) if row else 0
        if rows == 0:
            scratch.unlink(missing_ok=True)
            return None
        fsync_path(scratch)
        path = self._place(table, event_date, label)
        size, digest = scratch.stat().st_size, sha256_of(scratch)
        os.replace(scratch, self._data_dir / path)
        return LakeFile(event_date, path, rows, size, digest)

    def share(self, table: Table, file: LakeFile, *, label: str) -> LakeFile:
        """Make `file` of another table a file of this one too, without copying its bytes."""
        path = self._place(table, file.event_date, label)
        source, target = self._data_dir / file.path, self._data_dir / path
        # Renaming one name of a file onto another name of the same file does nothing, and leaves both.
        if not (target.exists() and target.samefile(source)):
            self._scratch_dir.mkdir(parents=True, exist_ok=True)
            scratch = self._scratch_dir / f"{uuid.uuid4().hex}.parquet"
            link_or_copy(source, scratch)
            os.replace(scratch, target)
        return replace(file, path=path)

    def commit(self, table: Table, files: Sequence[LakeFile], replaced_dates: Iterable[date]) -> None:
        """Make `files` the live ones of `replaced_dates`; call within a transaction.

        Dates that are not replaced keep theirs and are added to.
        """
        for event_date in {file.event_date for file in files}:
            fsync_path((self._data_dir / self._place(table, event_date, "")).parent)
        name = table.qualified_name
        dates = list(replaced_dates)
        if dates:
            self._connection.execute(
                f"delete from {LAKE_FILES.qualified_name}"
                " where table_name = $name and list_contains($dates, event_date)",
                {"name": name, "dates": dates},
            )
        if files:
            self._connection.execute(
                f"insert or replace into {LAKE_FILES.qualified_name} by name"
                " select $name as table_name, unnest($dates) as event_date, unnest($paths) as path,"
                " unnest($rows) as row_count, unnest(cast($sizes as bigint[])) as size_bytes,"
                " unnest(cast($hashes as varchar[])) as sha256",
                {
                    "name": name,
                    "dates": [file.event_date for file in files],
                    "paths": [file.path for file in files],
                    "rows": [file.row_count for file in files],
                    "sizes": [file.size_bytes for file in files],
                    "hashes": [file.sha256 for file in files],
                },
            )

    def remove(self, table: Table, paths: Collection[str]) -> None:
        """Make files of `table` count no more; call within a transaction."""
        if paths:
            self._connection.execute(
                f"delete from {LAKE_FILES.qualified_name} where table_name = $name and list_contains($paths, path)",
                {"name": table.qualified_name, "paths": list(paths)},
            )

    def sweep(self, table: Table, dates: Collection[date] | None = None) -> int:
        """Remove the files of `table` that do not count, in the partitions `dates` or in all; returns how many."""
        folder = self._data_dir / "lake" / table.name
        folders = (
            [folder / f"{_partition(table)}={day.isoformat()}" for day in dates]
            if dates is not None
            else folder.glob(f"{_partition(table)}=*")
        )
        known = self.files(table, min(dates), max(dates)) if dates else self.files(table)
        live = {self._data_dir / file.path for file in known}
        swept = 0
        for path in (path for partition in folders for path in partition.glob("*")):
            if path not in live:
                path.unlink(missing_ok=True)
                swept += 1
        return swept

    def let_go_of_dates(self, table: Table, built: Collection[date]) -> None:
        """Remove the empty folders of `table`, but those of dates that something is built of."""
        prefix = f"{_partition(table)}="
        for folder in (self._data_dir / "lake" / table.name).glob(f"{prefix}*"):
            if date.fromisoformat(folder.name.removeprefix(prefix)) not in built and not any(folder.iterdir()):
                folder.rmdir()

    def _place(self, table: Table, event_date: date, label: str) -> str:
        relative = Path("lake") / table.name / f"{_partition(table)}={event_date.isoformat()}"
        (self._data_dir / relative).mkdir(parents=True, exist_ok=True)
        return str(relative / f"{label}.parquet")
