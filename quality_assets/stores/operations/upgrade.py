"""Brings an operations store to the revision of this code, once, whoever opens it first.

Alembic is imported only where there is something to do.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from quality_assets.version import VERSION

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parent / "migrations"
_PREFIX = "revision_"


class OperationsNewerError(RuntimeError):
    """The store was written by a newer version of this product. The message says what to do."""


def known_revisions() -> list[str]:
    """The revisions that this code has, oldest first: their numbers count up."""
    return sorted(path.stem.removeprefix(_PREFIX) for path in (MIGRATIONS / "versions").glob(f"{_PREFIX}*.py"))


def upgrade(engine: Engine, lock_path: Path) -> None:
    """Bring the store behind `engine` to the newest known revision, one process at a time.

    Raises OperationsNewerError where it is newer than this code.
    """
    with _locked(lock_path):
        if engine.dialect.name == "sqlite":
            _use_write_ahead_log(engine)
        if _needs_upgrade(revision_of(engine)):
            _run(engine)


def _needs_upgrade(found: str | None) -> bool:
    known = known_revisions()
    if found is not None and found not in known:
        raise OperationsNewerError(
            f"The operations store is of revision {found}, and version {VERSION} knows revisions up to {known[-1]}: a"
            " newer version wrote it. Install that version or a later one (`pip install -U feature-quality`), or"
            " restore a backup of before."
        )
    return found != known[-1]


def revision_of(engine: Engine) -> str | None:
    """The revision of a store as it stands; None of an empty one."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found = connection.execute(text("select version_num from alembic_version")).scalar()
        return None if found is None else str(found)


def _use_write_ahead_log(engine: Engine) -> None:
    # Of the file, so once is enough; it cannot be changed within a transaction.
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("pragma journal_mode = wal").close()
    finally:
        raw.close()


def _run(engine: Engine) -> None:
    from alembic.command import upgrade as run_upgrade

    # The lock file is of one machine; the transaction's lock, of the database.
    with engine.begin() as connection:
        run_upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration over a connection that is in a transaction."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
