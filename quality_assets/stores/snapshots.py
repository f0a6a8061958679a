"""Published snapshots: what readers open. Written whole, then swapped in by one rename of a pointer.

A snapshot is a folder `published/<version>/` with a read-only copy of the warehouse and hard links to the very lake
files it speaks of, so it stays true whatever the graph does next, and readers never lock the writer. `CURRENT` names
the snapshot in force; `ATTEMPT` tells how the last publication went. What may be published is decided elsewhere.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from glob import glob
from pathlib import Path
from typing import Any, Literal

import duckdb
from duckdb import StatementType

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.table import Table
from quality_assets.domain.sql_text import literal
from quality_assets.settings import get_settings
from quality_assets.stores.files import fsync_path, is_same_file, link_or_copy, write_atomically
from quality_assets.stores.lake import is_current_mark, refresh_view, view_marks
from quality_assets.stores.spilling import spill_to

CURRENT = "CURRENT"
ATTEMPT = "ATTEMPT"
WAREHOUSE_FILE = "warehouse.duckdb"

# Not the writer's spill folders, which whoever opens the warehouse next removes.
_SPILLED = "reader-"

# Databases of snapshots, by path, inode and time, whose views this process has found to read what lies beside them.
_in_place: list[tuple[str, int, int]] = []
_LOOKED_AT = 8

_EXPLAIN = re.compile(r"\s*explain\s+(analyze\s+)?", re.IGNORECASE)


@dataclass(frozen=True)
class Snapshot:
    """One published snapshot. Times are UTC, without zone."""

    version: str
    published_at: datetime
    data_through: date | None
    run_id: str
    data_fingerprint: str
    folder: Path

    @property
    def warehouse_path(self) -> Path:
        """The read-only DuckDB file."""
        return self.folder / WAREHOUSE_FILE


@dataclass(frozen=True)
class PublicationAttempt:
    """How the last publication went. `since` is when the first of an unbroken row of failures happened."""

    status: Literal["published", "refused"]
    attempted_at: datetime
    since: datetime
    run_id: str
    reasons: tuple[str, ...]


def current_snapshot(published_dir: Path) -> Snapshot | None:
    """The snapshot in force; None before the first publication, and where `published_fault` says what is wrong."""
    try:
        snapshot = _named_snapshot(published_dir)
    except _UNREADABLE:
        return None
    return snapshot if snapshot is not None and snapshot.warehouse_path.is_file() else None


def last_attempt(published_dir: Path) -> PublicationAttempt | None:
    """How the last publication went; None before the first, and where that cannot be read."""
    try:
        return _recorded_attempt(published_dir)
    except _UNREADABLE:
        return None


def why_none_is_published(published_dir: Path) -> str:
    """What to tell who finds no snapshot, with the way on: that there is none yet, or what is wrong with it."""
    fault = published_fault(published_dir)
    return f"{fault}; `quality run` publishes anew" if fault else "nothing is published yet; `quality run` publishes"


def published_fault(published_dir: Path) -> str | None:
    """Why readers get no snapshot, or nobody can say how the last publication went; None where all is well."""
    try:
        snapshot = _named_snapshot(published_dir)
    except _UNREADABLE as error:
        return f"{published_dir / CURRENT} cannot be read ({error})"
    if snapshot is not None and not snapshot.warehouse_path.is_file():
        return f"{snapshot.warehouse_path}, which {CURRENT} names, is not there"
    try:
        _recorded_attempt(published_dir)
    except _UNREADABLE as error:
        return f"{published_dir / ATTEMPT} cannot be read ({error})"
    return None


# What a file that is not as it was written raises: bytes, JSON, fields, their types and values.
_UNREADABLE = (ValueError, KeyError, TypeError)


def _named_snapshot(published_dir: Path) -> Snapshot | None:
    pointer = _record(published_dir / CURRENT)
    if pointer is None:
        return None
    through = pointer["data_through"]
    return Snapshot(
        version=pointer["version"],
        published_at=datetime.fromisoformat(pointer["published_at"]),
        data_through=date.fromisoformat(through) if through else None,
        run_id=pointer["run_id"],
        data_fingerprint=pointer["data_fingerprint"],
        folder=published_dir / pointer["version"],
    )


def _recorded_attempt(published_dir: Path) -> PublicationAttempt | None:
    record = _record(published_dir / ATTEMPT)
    if record is None:
        return None
    return PublicationAttempt(
        status=record["status"],
        attempted_at=datetime.fromisoformat(record["attempted_at"]),
        since=datetime.fromisoformat(record["since"]),
        run_id=record["run_id"],
        reasons=tuple(record["reasons"]),
    )


def _record(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def record_attempt(
    published_dir: Path,
    status: Literal["published", "refused"],
    *,
    attempted_at: datetime,
    run_id: str,
    reasons: Iterable[str] = (),
) -> PublicationAttempt:
    """Write down how a publication went, keeping since when it has been refused."""
    before = last_attempt(published_dir)
    since = before.since if before and before.status == status == "refused" else attempted_at
    attempt = PublicationAttempt(status, attempted_at, since, run_id, tuple(reasons))
    published_dir.mkdir(parents=True, exist_ok=True)
    write_atomically(published_dir / ATTEMPT, json.dumps(asdict(attempt), default=str, indent=2))
    return attempt


def connect(snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
    """A connection of our own to the snapshot, which may write files elsewhere: memory as the settings say.

    What does not fit goes to the scratch folder, and never beside the snapshot, which is as it was published.
    """
    connection = _opened_where_it_lies(snapshot)
    if not _is_locked(connection):
        settings = get_settings()
        _sweep_spilled(settings.scratch_dir)
        connection.execute("SET memory_limit = ?", [f"{settings.memory_limit_mb}MiB"])
        spill_to(connection, settings.scratch_dir / f"{_SPILLED}{os.getpid()}")
        if _kept_open.is_asked:
            # Not a cursor, which is closed with what it is of.
            _kept_open.keep(duckdb.connect(str(snapshot.warehouse_path), read_only=True))
    return connection


@contextmanager
def keep_snapshot_open() -> Iterator[None]:
    """Keep open what `connect` opens, until it opens another: to open one anew for each of many steps costs more than
    most of what they ask."""
    was_asked, _kept_open.is_asked = _kept_open.is_asked, True
    try:
        yield
    finally:
        _kept_open.keep(None)
        _kept_open.is_asked = was_asked


@dataclass
class _KeptOpen:
    """Whether a connection to the snapshot that was connected to last is to be kept, and which one is."""

    is_asked: bool = False
    connection: duckdb.DuckDBPyConnection | None = None

    def keep(self, connection: duckdb.DuckDBPyConnection | None) -> None:
        """Keep this one instead of the one before."""
        if self.connection is not None:
            self.connection.close()
        self.connection = connection


_kept_open = _KeptOpen()


def _is_locked(connection: duckdb.DuckDBPyConnection) -> bool:
    # Connections of one process to one file share their settings: the first to open it may have locked them.
    return connection.execute("SELECT current_setting('lock_configuration')").fetchall() == [(True,)]


def _sweep_spilled(scratch: Path) -> None:
    """Remove what readers that were killed left behind; DuckDB removes its folder itself when it closes."""
    for folder in scratch.glob(f"{_SPILLED}*"):
        pid = folder.name.removeprefix(_SPILLED)
        try:
            os.kill(int(pid), 0)
        except (ProcessLookupError, ValueError):
            shutil.rmtree(folder, ignore_errors=True)
        except PermissionError:
            continue  # It lives, and is somebody else's.


def open_snapshot(snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
    """A connection that reads the snapshot and no other file, and whose settings cannot be changed.

    The database is read-only; COPY … TO could still write beside it, so SQL of strangers goes through
    `read_only_sql`.
    """
    connection = connect(snapshot)
    if _is_locked(connection):
        return connection
    if _kept_open.is_asked:
        # What is kept for others must not be locked.
        connection.close()
        _kept_open.keep(None)
        connection = _opened_where_it_lies(snapshot)
    connection.execute(f"SET allowed_directories = [{literal(f'{snapshot.folder.resolve()}/')}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection


def _opened_where_it_lies(snapshot: Snapshot) -> duckdb.DuckDBPyConnection:
    """The snapshot's database, whose views read the lake files that lie beside it.

    Views name files by their whole paths, so that any tool can follow them: of a data root that was moved or copied,
    the first to open a snapshot makes another database of it, whose views say where it lies now, and puts it in place.
    """
    _write_out(snapshot.warehouse_path)
    connection = duckdb.connect(str(snapshot.warehouse_path), read_only=True)
    status = snapshot.warehouse_path.stat()
    looked_at = (str(snapshot.warehouse_path), status.st_ino, status.st_mtime_ns)
    if looked_at in _in_place:
        return connection
    lake_dir = snapshot.folder / "lake"
    marks = view_marks(connection)
    views = [table for table in LAKE_TABLES if table.qualified_name in marks]
    if all(is_current_mark(marks[table.qualified_name], table, lake_dir) for table in views):
        _in_place[:] = [*_in_place[1 - _LOOKED_AT :], looked_at]
        return connection
    copy = snapshot.warehouse_path.with_name(f".{WAREHOUSE_FILE}.{os.getpid()}")
    try:
        shutil.copyfile(snapshot.warehouse_path, copy)
    except OSError:
        # Where nothing may be written all but events can be read.
        return connection
    connection.close()
    with duckdb.connect(str(copy)) as moved:
        for table in views:
            refresh_view(moved, table, lake_dir)
    os.replace(copy, snapshot.warehouse_path)
    return duckdb.connect(str(snapshot.warehouse_path), read_only=True)


def read_only_sql(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
    """Execute one SELECT, DESCRIBE or EXPLAIN of a stranger; ValueError when it is anything else."""
    statement = _one_statement(connection, sql)
    kind = statement.type
    if kind == StatementType.EXPLAIN:
        kind = _explained(connection, statement)
    if kind != StatementType.SELECT:
        raise ValueError(f"only SELECT can be run on a published snapshot, not {kind.name}")
    return connection.execute(statement)


def _explained(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> StatementType:
    # EXPLAIN ANALYZE runs what it explains, COPY … TO as well.
    head = _EXPLAIN.match(statement.query)
    try:
        return _one_statement(connection, statement.query[head.end() :]).type if head else statement.type
    except duckdb.ParserException:
        return statement.type


def _one_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.Statement:
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise ValueError(f"expected one statement, found {len(statements)}")
    return statements[0]


def publish(
    snapshot: Snapshot, *, warehouse: Path, data_dir: Path, lake_files: Mapping[Table, Sequence[str]], keep: int
) -> None:
    """Build the snapshot's folder, then make it the one in force and drop all but the last `keep`.

    Nobody may write to `warehouse` meanwhile; `lake_files` gives per lake table its live files, relative to
    `data_dir`. Nobody looks into the folder before the pointer names it, so a kill at any point leaves the snapshot
    before in force.
    """
    published_dir = snapshot.folder.parent
    shutil.rmtree(snapshot.folder, ignore_errors=True)
    _make_folder(snapshot.folder, keep)
    _write_out(warehouse)
    shutil.copyfile(warehouse, snapshot.warehouse_path)
    _link_lake(snapshot.folder, data_dir, [file for files in lake_files.values() for file in files])
    with duckdb.connect(str(snapshot.warehouse_path)) as connection:
        for table in lake_files:
            refresh_view(connection, table, snapshot.folder / "lake")
        connection.execute("checkpoint")
    fsync_path(published_dir)
    pointer = {
        "version": snapshot.version,
        "published_at": snapshot.published_at.isoformat(),
        "data_through": snapshot.data_through.isoformat() if snapshot.data_through else None,
        "run_id": snapshot.run_id,
        "data_fingerprint": snapshot.data_fingerprint,
    }
    write_atomically(published_dir / CURRENT, json.dumps(pointer, indent=2))
    for folder in _outdated(published_dir, keep):
        shutil.rmtree(folder, ignore_errors=True)


def _write_out(warehouse: Path) -> None:
    """Bring what DuckDB still holds in its log beside the file into the file: a copy of the file alone would lack it.

    Closing does so, unless anything in this process holds the database a moment longer.
    """
    if warehouse.with_name(f"{warehouse.name}.wal").exists():
        with duckdb.connect(str(warehouse)) as connection:
            connection.execute("checkpoint")


def _make_folder(folder: Path, keep: int) -> None:
    """Make the folder of a new snapshot from that of one that is to be dropped for it, where there is one.

    All but the last days' links are wanted again, and to make and remove them costs as much as the history is long.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    dropped = _outdated(folder.parent, keep - 1)
    if not dropped:
        folder.mkdir()
        return
    dropped[-1].rename(folder)
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()


def _link_lake(folder: Path, data_dir: Path, relatives: Sequence[str]) -> None:
    """Make the files of the lake under `folder` those with these names under `data_dir`, and no others."""
    for name in set(glob("lake/*/*/*", root_dir=folder)).difference(relatives):
        os.unlink(f"{folder}/{name}")
    for relative in relatives:
        source, target = f"{data_dir}/{relative}", f"{folder}/{relative}"
        # A day that was built anew has another file of the same name.
        if not is_same_file(source, target):
            os.makedirs(os.path.dirname(target), exist_ok=True)
            Path(target).unlink(missing_ok=True)
            link_or_copy(source, target)


def _outdated(published_dir: Path, keep: int) -> list[Path]:
    """The folders of all but the last `keep` snapshots, and never of the one in force; the oldest first."""
    current = current_snapshot(published_dir)
    folders = sorted(path for path in published_dir.iterdir() if path.is_dir())
    outdated = folders[: max(len(folders) - keep, 0)]
    return [folder for folder in outdated if current is None or folder != current.folder]
