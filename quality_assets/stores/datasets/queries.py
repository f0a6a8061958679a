"""A SELECT on a foreign database as `batch`: streamed, read-only, with a time limit and a row limit.

The address of the database stands in the environment or in a file, never in the store or in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import TYPE_CHECKING, Any

import duckdb

from quality_assets.stores.datasets.loaded import Loaded, insert_texts, unique_names
from quality_assets.stores.readers.faults import FileRejected, FileWaits, first_line
from quality_assets.stores.secret_refs import SecretMissingError, secret_of

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

MOST_ROWS = 10_000_000
TIMEOUT_S = 300
_BATCH_ROWS = 20_000
_STARTS = re.compile(r"\s*(select|with|table|values|from)\b", re.IGNORECASE)
_WRITES = re.compile(
    r"\b(insert|update|delete|merge|drop|alter|create|truncate|grant|revoke|attach|copy|call|pragma|vacuum|replace\s+into|into)\b",
    re.IGNORECASE,
)
_LOCKED = re.compile(r"\block(ed|ing)?\b.*|deadlock|lock timeout", re.IGNORECASE)
# What SQLAlchemy would ask a value for: a text, or a time of day, may hold a colon.
_COLONS = re.compile(r"(?<![:\w\\]):(?=\w+(?!:))")
_TEXTS = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/", re.DOTALL)


def resolve_secret(reference: str) -> str:
    """What `env:NAME` or `file:PATH` refers to. Raises FileRejected where it refers to nothing."""
    try:
        return secret_of(reference)
    except SecretMissingError as error:
        raise FileRejected(f"the dataset's secret leads nowhere: {error}") from None


def check_query(query: str) -> str:
    """A query that only reads, without a semicolon at its end. Raises FileRejected for any other."""
    plain = query.strip().rstrip(";").strip()
    bare = _TEXTS.sub(" ", plain)
    if ";" in bare:
        raise FileRejected("the query has more than one statement; a dataset is one SELECT")
    if not _STARTS.match(bare):
        raise FileRejected("the query is no SELECT")
    if found := _WRITES.search(bare):
        raise FileRejected(f"the query is to {found.group(0).upper()}; a dataset only reads, by one SELECT")
    return plain


def load_query(
    connection: duckdb.DuckDBPyConnection, query: str, secret_ref: str, most_rows: int = MOST_ROWS
) -> Loaded:
    """The result of a query. Raises FileRejected with the driver's words, without the address."""
    with _answered(query, secret_ref) as result:
        names, renamed = unique_names(list(result.keys()))
        rows = insert_texts(connection, len(names), _limited(result, most_rows))
    return Loaded(names, rows, file_format="sql", renamed=renamed)


def try_query(query: str, secret_ref: str) -> None:
    """Ask a query for its first row, to see that it is answered. Raises as `load_query`."""
    with _answered(query, secret_ref) as result:
        result.fetchmany(1)


@contextmanager
def _answered(query: str, secret_ref: str) -> Iterator[Any]:
    """The result of a query, streamed. Raises FileWaits for what is locked just now."""
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

    statement, address = _COLONS.sub(r"\:", check_query(query)), resolve_secret(secret_ref)
    try:
        engine = create_engine(address)
    except (NoSuchModuleError, ImportError) as error:
        kind = address.partition(":")[0]
        hint = "; write postgresql+psycopg://" if kind.startswith("postgres") else ""
        if isinstance(error, ImportError):
            hint = hint or f": `pip install {error.name}`"
        raise FileRejected(f"no driver for {kind}:// is installed where this runs{hint}") from None
    except (ArgumentError, ValueError) as error:
        raise FileRejected(f"the secret is no address of a database: {_without(first_line(error), address)}") from None
    _there(engine.url)
    ended: list[bool] = []
    try:
        with engine.connect() as foreign:
            for command in _read_only(engine.dialect.name):
                foreign.exec_driver_sql(command)
            with _ended_in_time(foreign, ended):
                yield foreign.execution_options(stream_results=True, yield_per=_BATCH_ROWS).execute(text(statement))
            foreign.rollback()
    except SQLAlchemyError as error:
        if ended:
            raise FileRejected(f"the query took longer than {TIMEOUT_S} s and was ended; ask for less") from None
        said = first_line(getattr(error, "orig", None) or error)
        if _LOCKED.search(said):
            raise FileWaits(f"it waits: the database is locked just now ({_without(said, address)})") from None
        raise FileRejected(f"the database did not answer the query: {_without(said, address)}") from None
    finally:
        engine.dispose()


def _there(url: URL) -> None:
    """A database that is a file exists: opened for reading, one that does not would be made, and be empty."""
    is_file = url.get_backend_name() in ("sqlite", "duckdb") and url.database not in (None, "", ":memory:")
    if is_file and not str(url.database).startswith("file:") and not Path(str(url.database)).is_file():
        raise FileRejected("the database that the secret names is a file, and there is none")


@contextmanager
def _ended_in_time(foreign: Connection, ended: list[bool]) -> Iterator[None]:
    """End a query after TIMEOUT_S where its database has no limit of its own; `ended` gets a sign then."""
    driver = foreign.connection.driver_connection
    end = getattr(driver, "interrupt", None) or getattr(driver, "cancel", None)
    if end is None or foreign.dialect.name in ("postgresql", "mysql"):
        yield
        return

    def stop() -> None:
        ended.append(True)
        end()

    timer = Timer(TIMEOUT_S, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _read_only(dialect: str) -> tuple[str, ...]:
    """What makes a session read-only, with a time limit."""
    return {
        "postgresql": ("SET TRANSACTION READ ONLY", f"SET LOCAL statement_timeout = '{TIMEOUT_S}s'"),
        "sqlite": ("PRAGMA query_only = on",),
        # Else a SELECT reads whatever files this process may read.
        "duckdb": ("SET enable_external_access = false", "SET lock_configuration = true"),
        "mysql": ("SET SESSION TRANSACTION READ ONLY", f"SET SESSION max_execution_time = {TIMEOUT_S * 1000}"),
    }.get(dialect, ())


def _limited(result: Any, most_rows: int) -> Iterator[Sequence[Sequence[str | None]]]:
    count = 0
    for part in result.partitions(_BATCH_ROWS):
        count += len(part)
        if count > most_rows:
            raise FileRejected(f"the query gives more than {most_rows:,} rows; say LIMIT, or aggregate")
        yield [[None if value is None else _text(value) for value in row] for row in part]


def _text(value: object) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _without(said: str, address: str) -> str:
    """A message without the address and its password."""
    said = said.replace(address, "(the address)")
    password = re.search(r"://[^:/@]*:([^@]*)@", address)
    return said.replace(password.group(1), "(the password)") if password and password.group(1) else said
