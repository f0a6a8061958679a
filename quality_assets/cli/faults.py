"""Faults of a data root's stores: finding them, and mending them from what is whole.

Finding changes nothing. Mending deletes nothing either: what is broken is set aside in the data root, and made anew
from the landing zone, which holds all that ever came.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb

from quality_assets.cli.fault import Fault
from quality_assets.cli.store_faults import (
    collector_faults,
    is_hindered,
    operations_faults,
    sqlite_problem,
    with_its_log,
)
from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.ops import LAKE_FILES
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.settings import Settings
from quality_assets.stores.journal import Journal
from quality_assets.stores.lake import view_marks
from quality_assets.stores.landing import scan
from quality_assets.stores.model_files import REGISTRY_FILE
from quality_assets.stores.snapshots import current_snapshot, open_snapshot, published_fault
from quality_assets.stores.warehouse import WarehouseBusyError, looked_into
from quality_assets.tables.lake_accounts import changed_files, footer_rows

MAX_NAMED = 3


def find_faults(settings: Settings) -> list[Fault]:
    """What is broken in the stores of a data root, the most fundamental first; nothing is changed."""
    looks: Sequence[Callable[[Settings], Iterator[Fault]]] = (
        _warehouse,
        _published,
        _registry,
        _dagster,
        operations_faults,
        collector_faults,
    )
    return [fault for look in looks for fault in look(settings)]


def set_aside(settings: Settings, faults: Iterable[Fault], now: datetime | None = None) -> Path | None:
    """Move what is broken to a folder of its own under `set-aside/`; None where nothing was there."""
    folder = settings.data_dir / "set-aside" / f"{now or datetime.now(UTC):%Y%m%dT%H%M%S}"
    moved = False
    for path in dict.fromkeys(path for fault in faults for path in fault.set_aside):
        if path.exists():
            target = folder / path.relative_to(settings.data_dir)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(path, target)
            moved = True
    return folder if moved else None


def _warehouse(settings: Settings) -> Iterator[Fault]:
    path = settings.warehouse_path
    # The lake's transaction log is in the warehouse: neither can be made anew without the other.
    both = (path, path.with_name(f"{path.name}.wal"), settings.lake_dir)
    if not path.exists():
        snapshot = current_snapshot(settings.published_dir)
        if settings.lake_dir.exists() or (snapshot is not None and snapshot.data_through is not None):
            yield Fault("Warehouse", f"{path} is gone, and there were data in it", both)
        return
    try:
        with looked_into(settings) as connection:
            ledgers = _ledgers(connection)
        wrong = _wrong(settings, ledgers)
        if wrong:
            # A run may have replaced these files meanwhile: none does while we have the lock.
            with looked_into(settings) as connection:
                ledgers = _ledgers(connection)
                wrong = _wrong(settings, ledgers)
    except (WarehouseBusyError, OSError):
        # What is said of the lock, and of the data root, is said elsewhere.
        return
    except duckdb.Error as error:
        if "lock" not in str(error).lower():
            yield Fault("Warehouse", f"{path} cannot be read: {str(error).splitlines()[0]}", both)
        return
    snapshot = current_snapshot(settings.published_dir)
    if ledgers.logs == 0 and snapshot is not None and snapshot.data_through is not None:
        yield Fault("Warehouse", f"{path} is empty, and readers have data through {snapshot.data_through}", both)
    if wrong:
        named = "; ".join(wrong[:MAX_NAMED]) + (
            f"; and {len(wrong) - MAX_NAMED} more" if len(wrong) > MAX_NAMED else ""
        )
        yield Fault("Lake", f"{len(wrong)} of {len(ledgers.files)} files are not as they were written: {named}", both)


@dataclass(frozen=True)
class _Ledgers:
    """What the warehouse says of itself: how many logs it has read (None: it has no tables yet), and of each file of
    the lake its table, path and rows, and its SHA-256 where it was written down.
    """

    logs: int | None = None
    files: tuple[tuple[str, str, int], ...] = ()
    hashes: tuple[tuple[str, str | None], ...] = ()


def _ledgers(connection: duckdb.DuckDBPyConnection) -> _Ledgers:
    if not _row_counts(connection, "select count(*) from duckdb_tables() where schema_name = 'ops'"):
        return _Ledgers()
    logs = _row_counts(connection, f"select count(*) from {LOG_FILES.qualified_name}")
    lake = LAKE_FILES.qualified_name
    files = connection.execute(f"select table_name, path, row_count from {lake} order by path").fetchall()
    # A warehouse that was last written by an earlier version has no hashes yet.
    has_hashes = _row_counts(
        connection,
        "select count(*) from duckdb_columns() where schema_name = 'ops' and table_name = 'lake_files'"
        " and column_name = 'sha256'",
    )
    hashes = connection.execute(f"select path, sha256 from {lake} order by path").fetchall() if has_hashes else []
    return _Ledgers(logs, tuple(files), tuple(hashes))


def _wrong(settings: Settings, ledgers: _Ledgers) -> list[str]:
    """What is wrong with files of the lake: missing or cut short, else with other bytes."""
    return list(_wrong_files(settings, ledgers.files)) or list(changed_files(settings.data_dir, ledgers.hashes))


def _row_counts(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(connection.execute(sql).fetchall()[0][0])


def _wrong_files(settings: Settings, files: Sequence[tuple[str, str, int]]) -> Iterator[str]:
    """The lake's files that are gone, cannot be read, or have another number of rows than their log says."""
    root = settings.data_dir
    there = {relative: rows for _, relative, rows in files if (root / relative).is_file()}
    yield from (f"{relative} is gone" for _, relative, _ in files if relative not in there)
    with duckdb.connect(":memory:") as connection:
        for relative, found in footer_rows(connection, root, list(there)):
            if found is None:
                yield f"{relative} is no whole Parquet file"
            elif found != there[relative]:
                yield f"{relative} has {found:,} rows instead of {there[relative]:,}"


def _published(settings: Settings) -> Iterator[Fault]:
    published = settings.published_dir
    found = published_fault(published)
    if found is not None:
        yield Fault(
            "Published snapshot", found, (published / "CURRENT", published / "ATTEMPT"), "`quality run` publishes anew"
        )
        return
    snapshot = current_snapshot(published)
    if snapshot is None:
        return
    try:
        with open_snapshot(snapshot) as connection:
            # What was published before a table came to be has none of it, and can be read all the same.
            there = set(view_marks(connection))
            for name in (table.qualified_name for table in LAKE_TABLES if table.qualified_name in there):
                connection.execute(f"select count(*) from {name}").fetchall()
    except duckdb.Error as error:
        if isinstance(error, duckdb.PermissionException) and is_hindered(snapshot.folder):
            moved = f"the data root was moved, and its snapshot {snapshot.version} does not know of that yet"
            yield Fault("Published snapshot", moved, (), f"let {snapshot.folder} be written once, or free some space")
            return
        problem = f"snapshot {snapshot.version} cannot be read: {str(error).splitlines()[0]}"
        yield Fault("Published snapshot", problem, (published / "CURRENT", snapshot.folder))


def _registry(settings: Settings) -> Iterator[Fault]:
    # One for each use case, and the one of roots made before use cases had folders.
    from quality_assets.stores.released import MANIFESTS

    models = settings.models_dir
    for path in (models / REGISTRY_FILE, *sorted(models.glob(f"*/{REGISTRY_FILE}"))):
        problem = sqlite_problem(path)
        if problem and (path.parent / MANIFESTS).is_dir():
            # What is served is told by files of their own: only what MLflow's tools read of it is lost.
            yield Fault(
                "Model registry",
                f"{path}: {problem}",
                with_its_log(path),
                "`quality doctor --mend` sets it aside; versions that were released are served all the same, and the"
                " next training begins MLflow's record anew",
            )
        elif problem:
            yield Fault("Model registry", f"{path}: {problem}", (path.parent,))


def _dagster(settings: Settings) -> Iterator[Fault]:
    home = settings.dagster_home
    for path in sorted(home.rglob("*.db")):
        problem = sqlite_problem(path)
        if problem:
            yield Fault(
                "Dagster's history",
                f"{path}: {problem}",
                (home,),
                "`quality doctor --mend` sets it aside; the history of runs begins anew, no data are lost",
            )
            return


def can_be_made_anew(settings: Settings) -> bool:
    """Whether the landing zone holds anything to make the data from."""
    return bool(scan(settings.landing_dir)[0] or Journal(settings.landing_dir).archived())
