"""Any table into a scratch database, as the table or view `batch` with columns c0, c1 and so on.

What cannot be read as a row is counted; what cannot be read at all raises FileRejected.
"""

from __future__ import annotations

import gzip
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from quality_assets.domain.sql_text import identifier, literal
from quality_assets.settings import Settings
from quality_assets.stores.datasets.loaded import MOST_COLUMNS, Loaded, TooLarge, unique_names
from quality_assets.stores.datasets.texts import load_text
from quality_assets.stores.file_marks import GZIP, OLE, PARQUET, ZIP, ZSTD
from quality_assets.stores.readers.faults import WAITS, FileRejected, FileWaits, first_line
from quality_assets.stores.readers.text import CHUNK_BYTES, head_of, without_wildcards

# What DuckDB may take to load, and to read what it has loaded block by block, beside what Python holds of a block. More
# where the file says that it needs more.
_LOADING_MB, _OWN_PAGES_MB = 80, 60
_MOST_MEMORY_MB = "most_memory_mb"
MOST_RATIO, LEAST_BOMB_BYTES = 100, 50_000_000
_DUCKDB_AT, _DUCKDB = 8, b"DUCK"
# What DuckDB says of a file that another process writes; who does, it says on some systems only.
_HELD = re.compile(r"Could not set lock on file(?:.*PID (\d+))?", re.DOTALL)


@contextmanager
def scratch_database(settings: Settings) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A database on disk for one batch, with a folder for files, both gone afterwards.

    Arrow takes memory from the system meanwhile: its own pool keeps what blocks of rows gave back.
    """
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with _scratch_database(settings) as opened:
            yield opened
    finally:
        pa.set_memory_pool(pool)


@contextmanager
def _scratch_database(settings: Settings) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    settings.scratch_dir.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="batch-", dir=settings.scratch_dir) as folder:
        place = Path(folder)
        config: dict[str, Any] = {
            "memory_limit": f"{min(settings.memory_limit_mb, _LOADING_MB)}MB",
            "threads": 1,
            "temp_directory": str(place / "spill"),
        }
        with duckdb.connect(str(place / "batch.duckdb"), config=config) as connection:
            connection.execute(f"SET VARIABLE {_MOST_MEMORY_MB} = {settings.memory_limit_mb}")
            yield connection, place


@contextmanager
def block_by_block(connection: duckdb.DuckDBPyConnection, loaded: Loaded) -> Iterator[None]:
    """For a scan of all rows: of our own pages it needs none but the next ones, and would keep all that it may."""
    if loaded.is_elsewhere:
        yield
        return
    before = connection.execute("SELECT current_setting('memory_limit')").fetchall()[0][0]
    connection.execute(f"SET memory_limit = '{_OWN_PAGES_MB}MB'")
    try:
        yield
    finally:
        connection.execute(f"SET memory_limit = '{before}'")


def load_file(connection: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> Loaded:
    """A file as `batch`, whatever it is called: by its first bytes."""
    if path.is_dir():
        raise FileRejected("it is a folder, not a file")
    try:
        head = head_of(path)
    except FileNotFoundError:
        raise FileRejected("the file is no longer there") from None
    if not head:
        raise FileRejected("no rows: the file is empty")
    if head.startswith((GZIP, *ZSTD)):
        path = _unpacked(path, head, scratch)
        head = head_of(path)
        if not head:
            raise FileRejected("no rows: the file is empty once unpacked")
    if head.startswith(PARQUET):
        return _parquet(connection, path, scratch)
    if head.startswith((ZIP, OLE)):
        from quality_assets.stores.datasets.workbooks import load_workbook

        check_ratio(path)
        return load_workbook(connection, path)
    if head[_DUCKDB_AT : _DUCKDB_AT + 4] == _DUCKDB:
        return load_duckdb(connection, path)
    return load_text(connection, path, head, scratch)


def _unpacked(path: Path, head: bytes, scratch: Path) -> Path:
    """The file without its compression; TooLarge as soon as it is many times as large as it came."""
    target, limit, size = scratch / "unpacked", max(MOST_RATIO * path.stat().st_size, LEAST_BOMB_BYTES), 0
    stream: Any = gzip.open(path, "rb") if head.startswith(GZIP) else pa.input_stream(str(path), compression="zstd")  # noqa: SIM115
    try:
        with stream, target.open("wb") as out:
            while chunk := stream.read(CHUNK_BYTES):
                size += len(chunk)
                if size > limit:
                    raise TooLarge(
                        f"it unpacks to more than {MOST_RATIO} times its size; unpack it first if it is meant so"
                    )
                out.write(chunk)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected(f"the compressed file is truncated or damaged: {first_line(error)}") from None
    return target


def check_ratio(path: Path) -> None:
    """Raise TooLarge for a compressed file that unpacks to many times its size, without keeping what it holds."""
    head = head_of(path)
    if head.startswith((GZIP, *ZSTD)):
        with TemporaryDirectory(prefix="unpack-") as folder:
            _unpacked(path, head, Path(folder))
    if head.startswith(ZIP):
        check_archive(path)


def check_archive(path: Path) -> None:
    """Raise TooLarge for a workbook whose parts are together many times its size."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(part.file_size for part in archive.infolist())
    except (zipfile.BadZipFile, OSError):
        return
    if size > max(MOST_RATIO * path.stat().st_size, LEAST_BOMB_BYTES):
        raise TooLarge(f"it unpacks to more than {MOST_RATIO} times its size; save its sheet as CSV if it is meant so")


def check_width(path: Path) -> None:
    """Raise TooLarge for a file whose first line, or Parquet schema, has more columns than are looked at."""
    head = head_of(path)
    if head.startswith((GZIP, *ZSTD, ZIP, OLE)):
        return
    if head.startswith(PARQUET):
        try:
            columns = len(pq.read_schema(path))
        except (pa.ArrowException, OSError):
            return
    else:
        with path.open("rb") as stream:
            first = stream.readline(CHUNK_BYTES)
        columns = 1 + max(first.count(sign) for sign in (b",", b";", b"\t", b"|"))
    if columns > MOST_COLUMNS and not head.lstrip().startswith((b"{", b"[")):
        raise TooLarge(f"it has {columns:,} columns; {MOST_COLUMNS:,} are the most that are looked at")


def _parquet(connection: duckdb.DuckDBPyConnection, path: Path, scratch: Path) -> Loaded:
    plain = literal(str(without_wildcards(path, scratch)))
    try:
        _make_room_for_row_groups(connection, path)
        loaded = _viewed(connection, f"read_parquet({plain}, hive_partitioning=false)", "parquet")
        # DuckDB gives a name that comes twice another one, and does not say so.
        columns, renamed = unique_names(pq.read_schema(path).names)
        is_same_width = len(columns) == len(loaded.columns)
        return replace(loaded, columns=columns, renamed=renamed) if renamed and is_same_width else loaded
    except duckdb.Error as error:
        raise FileRejected(f"it is a Parquet file that is damaged or cut short: {first_line(error)}") from None


def _make_room_for_row_groups(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Allow what a scan keeps of a Parquet file: a row group of all columns as it is stored, and as much for pages."""
    try:
        file = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        # DuckDB says what is wrong with it.
        return
    groups = (file.row_group(index) for index in range(file.num_row_groups))
    stored = (sum(each.column(at).total_compressed_size for at in range(each.num_columns)) for each in groups)
    needed_mb = _LOADING_MB + 2 * max(stored, default=0) // 1_000_000
    most_mb = connection.execute(f"SELECT coalesce(getvariable('{_MOST_MEMORY_MB}'), {needed_mb})").fetchall()[0][0]
    connection.execute(f"SET memory_limit = '{min(needed_mb, most_mb)}MB'")


def load_duckdb(
    connection: duckdb.DuckDBPyConnection, path: Path, table: str | None = None, beside: Path | None = None
) -> Loaded:
    """A table of a DuckDB file, opened for reading only; its only table where none is named.

    A view in it is asked here, and would read whatever this process may read: from here on nothing else is opened, but
    what lies `beside` it, as the lake files of a snapshot do.
    """
    try:
        connection.execute(f"ATTACH {literal(str(path))} AS outside (READ_ONLY)")
    except duckdb.Error as error:
        if held := _HELD.search(str(error)):
            who = f" (process {held.group(1)})" if held.group(1) else ""
            raise FileWaits(f"{WAITS} another program has the DuckDB file open for writing{who}") from None
        raise FileRejected(f"the DuckDB file cannot be opened: {first_line(error)}") from None
    found = connection.execute(
        "select schema_name, table_name from duckdb_tables() where database_name = 'outside'"
        " union all select schema_name, view_name from duckdb_views() where database_name = 'outside' and not internal"
        " order by all"
    ).fetchall()
    names = {f"{schema}.{name}": (schema, name) for schema, name in found}
    names |= {name: (schema, name) for schema, name in found if schema == "main"}
    if table is None and len(found) == 1:
        table = ".".join(found[0])
    if table is None or table not in names:
        listed = ", ".join(f"{schema}.{name}" for schema, name in found[:20]) or "none"
        raise FileRejected(f"the DuckDB file has {len(found)} tables; name one: {listed}")
    relation = ".".join(identifier(part) for part in ("outside", *names[table]))
    _open_nothing_but(connection, beside)
    try:
        return _viewed(connection, relation, "duckdb")
    except duckdb.PermissionException:
        raise FileRejected(f"its view {table} reads other files, which are not opened; save it as a table") from None


def _open_nothing_but(connection: duckdb.DuckDBPyConnection, folder: Path | None) -> None:
    """Keep a database to what it has open, to its own folder and to `folder`: for good, as DuckDB has it."""
    spilled = connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0]
    folders = [Path(spilled).parent, *([folder] if folder else [])]
    allowed = ", ".join(literal(f"{each.resolve()}/") for each in folders)
    connection.execute(f"SET allowed_directories = [{allowed}]")
    connection.execute("SET enable_external_access = false")


def _viewed(connection: duckdb.DuckDBPyConnection, relation: str, file_format: str) -> Loaded:
    """A relation as the view `batch`; what its structures hold are columns, and other nested values their text."""
    given = connection.sql(f"SELECT * FROM {relation}")
    _, renamed = unique_names(given.columns)
    fields = [(name, identifier(name), kind) for name, kind in zip(given.columns, given.types, strict=True)]
    spread = [part for field in fields for part in _spread(*field)]
    parted = spread if len(spread) <= MOST_COLUMNS else fields
    names, _ = unique_names([name for name, _, _ in parted])
    parts = [
        f"{sql}{'::VARCHAR' if _is_nested(str(kind)) else ''} AS c{index}"
        for index, (_, sql, kind) in enumerate(parted)
    ]
    connection.execute(f"CREATE OR REPLACE VIEW batch AS SELECT {', '.join(parts)} FROM {relation}")
    rows = int(connection.execute("SELECT count(*) FROM batch").fetchall()[0][0])
    return Loaded(names, rows, file_format=file_format, renamed=renamed, is_elsewhere=True)


def _spread(name: str, sql: str, kind: Any) -> Iterator[tuple[str, str, Any]]:
    """A column, or the columns that a structure holds, by their ways in it: name, expression and type of each."""
    if kind.id != "struct":
        yield name, sql, kind
        return
    for field, inner in kind.children:
        yield from _spread(f"{name}.{field}", f"struct_extract({sql}, {literal(field)})", inner)


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(
        ("STRUCT", "MAP", "UNION", "JSON", "VARIANT", "BLOB", "INTERVAL", "UUID", "ENUM")
    )
