"""Faults of the databases that are written beside the warehouse: operations store, the collector's log and state."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import duckdb

from quality_assets.cli.fault import Fault
from quality_assets.contracts.monitoring import ALERTS
from quality_assets.domain.wording import plural
from quality_assets.settings import Settings
from quality_assets.stores.operations.upgrade import known_revisions, revision_of
from quality_assets.stores.snapshots import connect, current_snapshot

MOST_CHECKED_BYTES = 1 << 30
"""What is larger is only opened: reading all of it would take minutes."""

_LEAST_FREE_BYTES = 1 << 20


def is_hindered(folder: Path) -> bool:
    """Whether nothing can be written there, by right or for want of space, which the doctor tells of as such.

    SQLite then does not open what is whole: it keeps files beside it. To set that aside would lose it for nothing.
    """
    return not os.access(folder, os.W_OK) or shutil.disk_usage(folder).free < _LEAST_FREE_BYTES


def _opened(path: Path) -> closing[sqlite3.Connection]:
    """A file of SQLite, for reading; not for long where it is in use."""
    return closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=1))


@dataclass(frozen=True)
class Revision:
    """What an operations store is: of which revision, None where there is none or it cannot be asked."""

    found: str | None = None

    @property
    def is_current(self) -> bool:
        """Whether it is what this code writes."""
        return self.found == known_revisions()[-1]


def operations_faults(settings: Settings) -> Iterator[Fault]:
    """Whether the operations store can be read, and is of a version that this code knows."""
    if settings.operations_url is not None:
        yield from _postgresql_faults(settings)
        return
    path = settings.operations_path
    problem = sqlite_problem(path)
    if problem:
        yield Fault(
            "Operations store",
            f"{path}: {problem}",
            with_its_log(path),
            "`quality doctor --mend` sets it aside and begins a new one: alerts are told anew; channels, silences,"
            " tokens, watched tables and releases come back with a backup (`quality operations backup FILE`) put in"
            " its place",
        )
        return
    found = operations_revision(settings).found
    if found is not None and found not in known_revisions():
        yield Fault(
            "Operations store",
            f"{path} was written by a newer version (revision {found}; known are up to {known_revisions()[-1]})",
            (),
            "install that version or a later one, or put back a backup of before",
        )
        return
    if missing := _missing_alerts(settings):
        yield Fault(
            "Operations store",
            f"{path} is gone, or was begun anew: it has none of the {plural(missing, 'alert')} that readers see",
            (),
            "put back a backup (`quality operations backup FILE`), with its notes, silences, channels, tokens and"
            " releases; without one make these anew, and `quality run` shows what is told since",
        )


def _missing_alerts(settings: Settings) -> int:
    """How many alerts the snapshot in force has where the operations store has none of them, else 0."""
    snapshot = current_snapshot(settings.published_dir)
    if snapshot is None:
        return 0
    try:
        with connect(snapshot) as connection:
            rows = connection.execute(f"select alert_id from {ALERTS.qualified_name}").fetchall()
    except duckdb.Error:  # one of before, without alerts, or broken, which is told elsewhere
        return 0
    told = {alert for (alert,) in rows}
    path = settings.operations_path
    if not path.is_file():
        return len(told)
    try:
        with _opened(path) as store:
            known = {alert for (alert,) in store.execute("select alert_id from alert")}
    except sqlite3.Error:  # in use, or not made yet
        return 0
    return 0 if told & known else len(told)


def operations_revision(settings: Settings) -> Revision:
    """The revision of the operations store, without changing it."""
    if settings.operations_url is not None:
        try:
            return Revision(_postgresql_revision(settings))
        except Exception:  # what the driver raises; told by `operations_faults`
            return Revision()
    path = settings.operations_path
    if not path.is_file():
        return Revision()
    try:
        with _opened(path) as connection:
            row = connection.execute("select version_num from alembic_version").fetchone()
    except sqlite3.Error:
        return Revision()
    return Revision(None if row is None else str(row[0]))


def _why_not_writable(settings: Settings) -> str | None:
    from quality_assets.stores.operations.engine import engine_of, why_not_writable

    engine = engine_of(settings)
    try:
        with engine.connect() as connection:
            return why_not_writable(connection)
    finally:
        engine.dispose()


def _postgresql_revision(settings: Settings) -> str | None:
    from quality_assets.stores.operations.engine import engine_of

    engine = engine_of(settings)
    try:
        return revision_of(engine)
    finally:
        engine.dispose()


def _postgresql_faults(settings: Settings) -> Iterator[Fault]:
    from sqlalchemy.exc import SQLAlchemyError

    from quality_assets.stores.operations.engine import OperationsUrlError

    until_then = "until then nobody is told of anything"
    try:
        if why := _why_not_writable(settings):
            yield Fault(
                "Operations store", f"the PostgreSQL of QUALITY_OPERATIONS_URL cannot be written: {why}", (), until_then
            )
            return
        _postgresql_revision(settings)
    except OperationsUrlError as error:
        yield Fault("Operations store", str(error), (), "correct QUALITY_OPERATIONS_URL")
    except SQLAlchemyError as error:
        why = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        yield Fault(
            "Operations store",
            f"the PostgreSQL of QUALITY_OPERATIONS_URL does not answer: {why}",
            (),
            f"start it, or correct QUALITY_OPERATIONS_URL; {until_then}",
        )


def collector_faults(settings: Settings) -> Iterator[Fault]:
    """Whether the collector's log and state can be read."""
    for name, mend in (
        (
            "log.db",
            "`quality doctor --mend` sets it aside, and the collector begins a new one: what was processed is in"
            " state.db and in landing/; keep it, since what was not is in it alone",
        ),
        (
            "state.db",
            "`quality doctor --mend` sets it aside, and the collector makes it anew from its log, which reaches back"
            " an hour at least and to all that has not landed; online features count from there on",
        ),
    ):
        path = settings.live_dir / name
        problem = live_problem(path)
        if problem:
            yield Fault(f"Collector's {name}", f"{path}: {problem}", with_its_log(path), mend)


def live_problem(path: Path) -> str | None:
    """What is wrong with a file of the collector; None where it is whole, absent, or in use."""
    if not path.is_file():
        return None
    import apsw

    from quality_assets.stores.live.sqlite import opened

    try:
        connection = opened(path, synchronous="NORMAL", read_only=True)
        try:
            is_small = path.stat().st_size <= MOST_CHECKED_BYTES
            query = "pragma quick_check(1)" if is_small else "select 'ok' from sqlite_master limit 1"
            row = connection.execute(query).fetchone()
        finally:
            connection.close()
    except (apsw.BusyError, apsw.LockedError, apsw.CantOpenError):
        return None
    except (apsw.IOError, apsw.FullError, apsw.ReadOnlyError) as error:
        return None if is_hindered(path.parent) else str(error)
    except apsw.Error as error:
        return str(error)
    return None if row is None or row[0] == "ok" else str(row[0])


def with_its_log(path: Path) -> tuple[Path, ...]:
    """A file of SQLite, and what it keeps beside itself."""
    return (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm"))


def sqlite_problem(path: Path) -> str | None:
    """What is wrong with a SQLite file; None where it is whole, absent, or in use."""
    if not path.is_file():
        return None
    try:
        with _opened(path) as connection:
            (answer,) = connection.execute("pragma quick_check(1)").fetchone()
            if answer != "ok":
                return str(answer)
            tables = {name for (name,) in connection.execute("select name from sqlite_master where type = 'table'")}
            heads = (
                connection.execute("select count(*) from alembic_version").fetchone()[0]
                if ("alembic_version" in tables)
                else 1
            )
            return None if heads <= 1 else f"it was prepared by two at once ({heads} heads)"
    except sqlite3.OperationalError as error:
        is_in_use = "locked" in str(error) or "busy" in str(error)
        return None if is_in_use or is_hindered(path.parent) else str(error)
    except sqlite3.DatabaseError as error:
        return str(error)
