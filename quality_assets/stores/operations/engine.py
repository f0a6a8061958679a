"""Connections to the operations store: SQLite in the data root, or PostgreSQL; what one transaction is on both.

A writer has the store to itself until it commits, on both dialects: whoever reads first and writes then acts on what is
true. Readers never wait.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError

from quality_assets.settings import Settings

BUSY_TIMEOUT_S = 10
IS_READER = "is_reader"
CHANGED = "is_changed"
"""In the `info` of a connection: whether its transaction has written a row."""
# Any number, the same in every process: writers of PostgreSQL queue for it.
_WRITERS_LOCK = 7_304_115


class OperationsUrlError(ValueError):
    """QUALITY_OPERATIONS_URL names no database that can be used; the message has neither user nor password."""


def engine_of(settings: Settings) -> Engine:
    """An engine over the database that the operations store of a data root is in. Raises OperationsUrlError."""
    if not settings.operations_url:
        return connect_sqlite(settings.operations_path)
    return connect_postgresql(parse_url(settings.operations_url.get_secret_value()))


def parse_url(address: str) -> URL:
    """The address of a PostgreSQL. Raises OperationsUrlError where it is something else."""
    try:
        url = make_url(address)
    except ArgumentError:
        raise OperationsUrlError("QUALITY_OPERATIONS_URL is no address; write postgresql://host/database.") from None
    if url.get_backend_name() != "postgresql":
        raise OperationsUrlError(
            f"QUALITY_OPERATIONS_URL names {url.get_backend_name()}; only postgresql://… is known. Without it, the"
            " store is operations.db in the data root."
        )
    return url.set(drivername="postgresql+psycopg")


def connect_sqlite(path: Path) -> Engine:
    """An engine over a SQLite file, which is made at the first connection."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        json_serializer=json_text,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        # The driver would begin by itself, and only at the first write: see `_begin`.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("pragma foreign_keys = on")
        cursor.execute("pragma synchronous = full")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        is_reader = connection.get_execution_options().get(IS_READER, False)
        connection.exec_driver_sql("begin" if is_reader else "begin immediate")

    _note_changes(engine)
    return engine


def connect_postgresql(url: URL) -> Engine:
    """An engine over a PostgreSQL database."""
    options = f"-c lock_timeout={BUSY_TIMEOUT_S}s -c timezone=UTC"
    engine = create_engine(
        url, connect_args={"options": options, "connect_timeout": 5}, pool_pre_ping=True, json_serializer=json_text
    )

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(IS_READER, False):
            connection.exec_driver_sql(f"select pg_advisory_xact_lock({_WRITERS_LOCK})")

    _note_changes(engine)
    return engine


# Of each table that is ours, and of what counts its ids.
_LACKING = """
with ours as (
  select oid, relname from pg_class where relnamespace = current_schema()::regnamespace and relname = any(:tables)
)
select current_user, string_agg(distinct privilege, ', ' order by privilege), min(relname), count(distinct relname)
from (
  select relname, privilege
  from ours cross join unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as needed (privilege)
  where not has_table_privilege(ours.oid, privilege)
  union all
  select ours.relname, 'USAGE' from ours join pg_depend on refobjid = ours.oid and deptype in ('a', 'i')
  join pg_class as counter on counter.oid = objid
  where case when counter.relkind = 'S' then not has_sequence_privilege(counter.oid, 'USAGE') else false end
) as lacking
"""


def why_not_writable(connection: Connection) -> str | None:
    """What keeps a PostgreSQL that answers from being written, with the way on; None where nothing does."""
    from quality_assets.stores.operations.tables import METADATA

    if connection.dialect.name != "postgresql":
        return None
    if connection.exec_driver_sql("show default_transaction_read_only").scalar() == "on":
        return "its role only reads: set default_transaction_read_only = off for it, or name another role"
    if connection.exec_driver_sql("select pg_is_in_recovery()").scalar():
        return "it is a standby, which only reads: QUALITY_OPERATIONS_URL is to name the primary server"
    role, privileges, table, count = connection.execute(text(_LACKING), {"tables": list(METADATA.tables)}).one()
    if not privileges:
        return None
    more = f" and {count - 1} more tables" if count > 1 else ""
    return (
        f"the role {role!r} has no {privileges} on {table}{more}: `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"
        f" IN SCHEMA public TO {role}` and `GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}`, or name the role"
        " that made them in QUALITY_OPERATIONS_URL"
    )


def _note_changes(engine: Engine) -> None:
    @event.listens_for(engine, "after_cursor_execute")
    def _note(connection: Connection, cursor: Any, _sql: str, _values: Any, context: Any, _many: bool) -> None:
        # SQLite counts the rows of an insert that returns some only once they are fetched.
        if context.isinsert or ((context.isupdate or context.isdelete) and cursor.rowcount != 0):
            connection.info[CHANGED] = True


def json_text(value: object) -> str:
    """A document as JSON that both dialects take: no NaN, no infinity, no NUL; numbers of numpy are plain numbers."""
    return json.dumps(_plain(value), allow_nan=False, default=str, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {_plain(str(key)): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    if hasattr(value, "item") and not isinstance(value, float):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value
