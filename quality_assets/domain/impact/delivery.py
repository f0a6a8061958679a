"""What a destination lacks: new, changed and vanished rows by their keys, and whether so much may be deleted.

Rows are plain dicts of what JSON can hold. Nothing is sent here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal

from quality_assets.contracts.destinations import MOST_DELETED_SHARE

Row = dict[str, Any]
Operation = Literal["insert", "update", "delete"]
EXAMPLES = 5
IN_DOUBT = ""
"""In place of a row's fingerprint where it was sent and nobody knows whether it arrived: no row has it."""


class MassDeleteError(RuntimeError):
    """So many rows would be deleted that it is more likely a mistake; the message says how many, and what to do."""


@dataclass(frozen=True)
class Change:
    """One row to be sent: its key, what is to be done, and the row itself; of a delete, no row."""

    operation: Operation
    key: str
    row: Row | None = None

    @property
    def row_hash(self) -> str:
        """The fingerprint of the row; empty of a delete."""
        return row_hash(self.row) if self.row is not None else ""


def key_of(row: Mapping[str, Any], columns: Sequence[str]) -> str:
    """The key of a row as text: one value as it is, several as a JSON array."""
    values = [row[column] for column in columns]
    return str(values[0]) if len(values) == 1 else json.dumps(values, default=str, ensure_ascii=False)


def row_hash(row: Mapping[str, Any]) -> str:
    """A fingerprint of a row, whatever the order of its columns."""
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()[:32]


def plain_row(row: Mapping[str, Any]) -> Row:
    """A row as JSON can hold it: dates and times in ISO 8601."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def changes(rows: Mapping[str, Row], delivered: Mapping[str, str], mode: str) -> list[Change]:
    """What brings a destination that has `delivered` (key to fingerprint) to `rows`, by key; `full` sends every row.

    `upsert` deletes nothing; `mirror` and `full` delete what is gone.
    """
    found = []
    for key in sorted(rows):
        known = delivered.get(key)
        if known is None:
            found.append(Change("insert", key, rows[key]))
        elif mode == "full" or known != row_hash(rows[key]):
            found.append(Change("update", key, rows[key]))
    if mode != "upsert":
        found += [Change("delete", key) for key in sorted(set(delivered) - set(rows))]
    return found


def refuse_mass_delete(found: Sequence[Change], delivered: int, is_allowed: bool) -> None:
    """Raise MassDeleteError where over 30 % of what a destination has would go, unless allowed."""
    deletes = sum(change.operation == "delete" for change in found)
    if deletes and not is_allowed and deletes > MOST_DELETED_SHARE * delivered:
        raise MassDeleteError(
            f"{deletes:,} of {delivered:,} delivered rows would be deleted, more than 30 %: nothing was sent. If that"
            " is meant, set allow_mass_delete: true in its file"
        )


def batches(found: Sequence[Change], size: int) -> Iterator[Sequence[Change]]:
    """The changes in batches of at most `size`."""
    for start in range(0, len(found), size):
        yield found[start : start + size]


def counts(found: Sequence[Change]) -> dict[str, int]:
    """How many of each operation: inserts, updates, deletes."""
    return {f"{name}s": sum(c.operation == name for c in found) for name in ("insert", "update", "delete")}


def idempotency_key(sync: str, body: bytes) -> str:
    """The same for the same body to the same destination, however often it is sent."""
    return hashlib.sha256(sync.encode() + b"\0" + body).hexdigest()


def webhook_body(sync: str, found: Sequence[Change]) -> bytes:
    """What a webhook gets: each row with a key of its own, since the borders of batches move after a kill."""
    rows = [
        {
            "operation": "delete" if change.operation == "delete" else "upsert",
            "key": change.key,
            "idempotency_key": idempotency_key(sync, f"{change.key}\0{change.row_hash}".encode()),
            **({"row": change.row} if change.row is not None else {}),
        }
        for change in found
    ]
    return json.dumps({"sync": sync, "rows": rows}, ensure_ascii=False, sort_keys=True).encode()
