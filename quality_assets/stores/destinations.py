"""Sending rows: a file that is whole or not there, a webhook with retries, a table of a database. Bytes, not meaning.

A send either returns, and the destination has the batch, or raises `NotDelivered`, and it may have it or not: to send
it again does no harm.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quality_assets.contracts.destinations import Destination
from quality_assets.domain.escaping import spreadsheet_value
from quality_assets.domain.impact.delivery import Change, Row, idempotency_key, webhook_body
from quality_assets.stores.files import write_atomically
from quality_assets.stores.retry_after import asked_wait_s
from quality_assets.stores.secret_refs import secret_of

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table
    from sqlalchemy.exc import SQLAlchemyError

MOST_ATTEMPTS = 8
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 60.0
TIMEOUT_S = 20.0
_TRY_AGAIN = (408, 429)
_KEY_COLUMN = "row_key"


class NotDelivered(RuntimeError):  # noqa: N818
    """A batch was not acknowledged; `attempts` were made, and the message says what the destination answered.

    `in_doubt`: it may have the batch all the same.
    """

    def __init__(self, message: str, attempts: int, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.attempts = attempts
        self.in_doubt = in_doubt


@dataclass
class Sender:
    """Sends batches to one destination. `send` gives how many attempts it took. `wait` sleeps, in seconds."""

    destination: Destination
    wait: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = field(default=random.random)

    def send(self, found: Sequence[Change], rows: Mapping[str, Row]) -> int:
        """Send changes; `rows` are all rows as they should be afterwards, by key, which a file is made of."""
        if self.destination.kind == "file":
            return self._write_file(rows)
        if self.destination.kind == "sql":
            return self._write_table(found)
        return self._post(found)

    def _write_file(self, rows: Mapping[str, Row]) -> int:
        path = Path(str(self.destination.path)).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = dict(rows)
        if self.destination.mode == "upsert" and path.is_file():
            kept = {key: row for key, row in _file_rows(path).items() if key not in rows} | kept
        ordered = [{_KEY_COLUMN: key, **kept[key]} for key in sorted(kept)]
        try:
            if path.suffix == ".parquet":
                _write_parquet(path, ordered)
            else:
                write_atomically(path, _csv_text(ordered) if path.suffix == ".csv" else _json_lines(ordered))
        except OSError as error:
            raise NotDelivered(f"{path} cannot be written: {error.strerror or error}", 1) from None
        return 1

    def _post(self, found: Sequence[Change]) -> int:
        import httpx

        body = webhook_body(self.destination.name, found)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": idempotency_key(self.destination.name, body),
        }
        if self.destination.secret is not None:
            signed = hmac.new(secret_of(self.destination.secret).encode(), body, hashlib.sha256).hexdigest()
            headers["X-Signature-SHA256"] = signed
        said = ""
        for attempt in range(1, MOST_ATTEMPTS + 1):
            after = None
            try:
                answer = httpx.post(str(self.destination.url), content=body, headers=headers, timeout=TIMEOUT_S)
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    return attempt
                said = f"it answered {answer.status_code} {answer.reason_phrase}".strip()
                if answer.status_code not in _TRY_AGAIN and answer.status_code < 500:
                    # What an earlier attempt has brought, whose answer was lost, is there all the same.
                    refused = f"{said}: {answer.text[:200]}".rstrip(": ")
                    raise NotDelivered(refused, attempt, in_doubt=attempt > 1)
                after = asked_wait_s(answer.headers.get("Retry-After"), LONGEST_WAIT_S)
            if attempt < MOST_ATTEMPTS:
                self.wait(self._pause_s(attempt) if after is None else after)
        raise NotDelivered(f"{said}, {MOST_ATTEMPTS} times", MOST_ATTEMPTS, in_doubt=True)

    def _pause_s(self, attempt: int) -> float:
        return min(FIRST_WAIT_S * 2 ** (attempt - 1), LONGEST_WAIT_S) * (0.5 + self.jitter() / 2)

    def _write_table(self, found: Sequence[Change]) -> int:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with _engine(self.destination) as engine, engine.begin() as connection:
                table = _table(connection, self.destination, found)
                if self.destination.mode == "full" or engine.dialect.name not in ("sqlite", "postgresql"):
                    _replace(connection, table, found)
                else:
                    _upsert(connection, table, found)
                gone = [{"gone": change.key} for change in found if change.operation == "delete"]
                if gone:
                    _delete(connection, table, gone)
        except SQLAlchemyError as error:
            text = str(getattr(error, "orig", None) or error).splitlines()[0]
            # The connection may have been lost while it committed.
            raise NotDelivered(f"table {self.destination.table}: {text}", 1, in_doubt=_is_lost(error)) from None
        return 1


def _is_lost(error: SQLAlchemyError) -> bool:
    return bool(getattr(error, "connection_invalidated", False))


@contextmanager
def _engine(destination: Destination) -> Iterator[Engine]:
    from sqlalchemy import create_engine

    address = destination.url if destination.url is not None else secret_of(str(destination.secret))
    if address.startswith("postgresql://"):
        address = "postgresql+psycopg://" + address.removeprefix("postgresql://")
    engine = create_engine(address)
    try:
        yield engine
    finally:
        engine.dispose()


def _table(connection: Connection, destination: Destination, found: Sequence[Change]) -> Table:
    """The table to write, made where it is not there; columns follow from the rows, the key is text."""
    from sqlalchemy import BigInteger, Boolean, Column, Float, MetaData, String, Table, inspect

    kinds: dict[str, Any] = {}
    for change in found:
        for name, value in (change.row or {}).items():
            if value is not None and kinds.get(name) is not String:
                wanted = {bool: Boolean, int: BigInteger, float: Float}.get(type(value), String)
                kinds[name] = Float if {wanted, kinds.get(name, wanted)} == {Float, BigInteger} else wanted
            kinds.setdefault(name, None)
    name = str(destination.table)
    metadata = MetaData()
    if inspect(connection).has_table(name):
        return Table(name, metadata, autoload_with=connection)
    columns = [Column(column, kind or String) for column, kind in kinds.items()]
    table = Table(name, metadata, Column(_KEY_COLUMN, String(255), primary_key=True), *columns)
    metadata.create_all(connection)
    return table


def _values(change: Change) -> dict[str, Any]:
    row = change.row or {}
    texts = {name: json.dumps(value) if isinstance(value, list | dict) else value for name, value in row.items()}
    return {_KEY_COLUMN: change.key, **texts}


def _upsert(connection: Connection, table: Table, found: Sequence[Change]) -> None:
    from sqlalchemy.dialects import postgresql, sqlite

    rows = [_values(change) for change in found if change.row is not None]
    if not rows:
        return
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(table)
    updated = {column.name: statement.excluded[column.name] for column in table.columns if column.name in rows[0]}
    connection.execute(statement.on_conflict_do_update(index_elements=[_KEY_COLUMN], set_=updated), rows)


def _replace(connection: Connection, table: Table, found: Sequence[Change]) -> None:
    from sqlalchemy import insert

    rows = [_values(change) for change in found if change.row is not None]
    if rows:
        _delete(connection, table, [{"gone": row[_KEY_COLUMN]} for row in rows])
        connection.execute(insert(table), rows)


def _delete(connection: Connection, table: Table, gone: Sequence[dict[str, str]]) -> None:
    from sqlalchemy import bindparam, delete

    connection.execute(delete(table).where(table.c[_KEY_COLUMN] == bindparam("gone")), list(gone))


def _columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row)) or [_KEY_COLUMN]


def _csv_text(rows: Sequence[Row]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    names = _columns(rows)
    writer.writerow(names)
    for row in rows:
        values = (row.get(name) for name in names)
        writer.writerow([spreadsheet_value(json.dumps(v) if isinstance(v, list | dict) else v) for v in values])
    return file.getvalue()


def _json_lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _write_parquet(path: Path, rows: Sequence[Row]) -> None:
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(
        pa.Table.from_pylist(list(rows)) if rows else pa.table({_KEY_COLUMN: pa.array([], pa.string())}), partial
    )
    os.replace(partial, path)


def _file_rows(path: Path) -> dict[str, Row]:
    """What a file holds already, by key; a file that is not ours holds nothing that could be kept."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {
        row[_KEY_COLUMN]: {n: v for n, v in row.items() if n != _KEY_COLUMN} for row in rows if row.get(_KEY_COLUMN)
    }
