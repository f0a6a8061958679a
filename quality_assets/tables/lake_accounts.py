"""Whether the lake holds what was written to it: its files are held against their log, which never trusts itself.

Each time, the sizes of all files are; a file of another size, or whose size was never written down, is asked for the
rows that its footer tells. The hashes of what they hold are for who has the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.ops import LAKE_FILES
from quality_assets.contracts.table import Table
from quality_assets.stores.lake import LakeFile
from quality_assets.stores.landing import sha256_of
from quality_assets.stores.warehouse import WarehouseSession

_FOOTERS_AT_ONCE = 500
_GONE = "is gone"


class LakeNotAsWrittenError(RuntimeError):
    """Lake files are not what was written. The message says which, and how to mend them."""


@dataclass(frozen=True)
class LakeFault:
    """A lake file that is not what was written, and what is wrong with it."""

    table: Table
    file: LakeFile
    problem: str

    @property
    def is_gone(self) -> bool:
        """Whether there is no such file any more."""
        return self.problem == _GONE

    def __str__(self) -> str:
        day = self.file.event_date
        asked = f"--from {day} --to {day}"
        mend = (
            f"`quality reread {asked}` and then `quality run`" if self.table == RAW_LOGS else f"`quality run {asked}`"
        )
        return f"{self.file.path} of {self.table.qualified_name} {self.problem}; {mend} makes the day anew."


def lake_faults(
    session: WarehouseSession, table: Table, start: date | None = None, end: date | None = None
) -> list[LakeFault]:
    """The files of `table` from `start` to `end` that are not what was written, by size and number of rows."""
    root = session.settings.data_dir
    faults: list[LakeFault] = []
    asked: dict[str, LakeFile] = {}
    sizes: dict[str, int] = {}
    for file in session.lake.files(table, start, end):
        try:
            sizes[file.path] = (root / file.path).stat().st_size
        except OSError:
            faults.append(LakeFault(table, file, _GONE))
            continue
        if sizes[file.path] != file.size_bytes:
            asked[file.path] = file
    unmeasured: dict[str, int] = {}
    for path, rows in footer_rows(session.connection, root, list(asked)):
        file = asked[path]
        if rows is None:
            faults.append(LakeFault(table, file, "is no whole Parquet file"))
        elif rows != file.row_count:
            faults.append(LakeFault(table, file, f"has {rows:,} rows instead of {file.row_count:,}"))
        elif file.size_bytes is not None:
            size = f"has {sizes[file.path]:,} bytes instead of {file.size_bytes:,}"
            faults.append(LakeFault(table, file, size))
        else:
            unmeasured[file.path] = sizes[file.path]
    _measure(session, table, unmeasured)
    return sorted(faults, key=lambda fault: fault.file.path)


def changed_files(root: Path, files: Sequence[tuple[str, str | None]]) -> Iterator[str]:
    """Of lake files, given by path and SHA-256, those whose bytes are others than were written; all are read."""
    for path, sha256 in files:
        if sha256 is not None and (root / path).is_file() and sha256_of(root / path) != sha256:
            yield f"{path} has other bytes than were written"


def _measure(session: WarehouseSession, table: Table, sizes: Mapping[str, int]) -> None:
    """Write down the sizes of files that were written before sizes were, once their rows are found to be right."""
    if sizes:
        session.connection.execute(
            f"update {LAKE_FILES.qualified_name} as log set size_bytes = known.size_bytes from"
            " (select unnest($paths) as path, unnest($sizes) as size_bytes) as known"
            " where log.path = known.path and log.table_name = $name",
            {"paths": list(sizes), "sizes": list(sizes.values()), "name": table.qualified_name},
        )


def footer_rows(
    connection: duckdb.DuckDBPyConnection, root: Path, paths: Sequence[str]
) -> Iterator[tuple[str, int | None]]:
    """The number of rows that the footer of each file tells, by its path below `root`; None where it cannot be read."""
    sql = "select file_name, num_rows from parquet_file_metadata($paths)"
    for start in range(0, len(paths), _FOOTERS_AT_ONCE):
        some = {str(root / path): path for path in paths[start : start + _FOOTERS_AT_ONCE]}
        with connection.cursor() as cursor:
            try:
                rows: dict[str, int | None] = dict(cursor.execute(sql, {"paths": list(some)}).fetchall())
            except duckdb.Error:
                rows = {name: _rows_of(cursor, sql, name) for name in some}
        yield from ((path, rows.get(name)) for name, path in some.items())


def _rows_of(cursor: duckdb.DuckDBPyConnection, sql: str, path: str) -> int | None:
    # One that is broken hides the others: each by itself.
    try:
        return int(cursor.execute(sql, {"paths": [path]}).fetchall()[0][1])
    except duckdb.Error:
        return None
