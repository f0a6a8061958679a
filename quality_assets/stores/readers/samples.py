"""A few percent of the logs of a load, and which of their text columns take few values.

Such columns are staged as ENUMs. An ENUM goes to Parquet as the dictionary that it is, where the text of each row has
to be looked up first: it halves the cost of writing events.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import duckdb

from quality_assets.contracts.events import DEFAULT_EVENT_NAME
from quality_assets.stores.readers.text import head_of, is_plain_text

SAMPLE_BYTES = 2 << 20
PIECE_BYTES = 1 << 15
# Rows with a value that the sample lacks take the long way, which costs three times as much.
MAX_UNSEEN_SHARE = 0.002
MAX_VALUES = 4096
MAX_DOUBTFUL_SHARE = 1 / 8
_COLUMNS = ("feature", "event_name", "device_type", "platform", "app_version", "country", "variant")


@dataclass(frozen=True)
class RawLog:
    """A file to read.

    `landing_path` is relative to landing/ and decides the source unless `source_name` does. `arrived_at` is UTC
    without a zone: later event times are in the future.
    """

    path: Path
    file_id: str
    landing_path: str
    arrived_at: datetime
    source_name: str | None = None


def samples(logs: Sequence[RawLog]) -> Iterator[tuple[RawLog, bytes]]:
    """For every header among the plain text files: the first log that has it, and whole lines from all that do."""
    groups: dict[tuple[bytes, str | None], list[RawLog]] = {}
    for log in logs:
        head = head_of(log.path)
        if is_plain_text(head):
            header = b"" if head.lstrip().startswith(b"{") else head.partition(b"\n")[0] + b"\n"
            groups.setdefault((header, log.source_name), []).append(log)
    for (header, _), group in groups.items():
        pieces = max(SAMPLE_BYTES // PIECE_BYTES // len(group), 1)
        arrived_at = max(log.arrived_at for log in group)
        yield (
            replace(group[0], arrived_at=arrived_at),
            header + b"".join(piece for log in group for piece in _pieces(log.path, pieces)),
        )


def _pieces(path: Path, count: int) -> Iterator[bytes]:
    size = path.stat().st_size
    count = max(min(count, size // PIECE_BYTES), 1)
    with path.open("rb") as stream:
        for index in range(count):
            yield _lines_at(stream, size * (2 * index + 1) // (2 * count))


def _lines_at(stream: BinaryIO, offset: int) -> bytes:
    """The whole lines within PIECE_BYTES from an offset."""
    stream.seek(offset)
    piece = stream.read(PIECE_BYTES)
    return piece[piece.find(b"\n") + 1 : piece.rfind(b"\n") + 1]


def doubtful_share(connection: duckdb.DuckDBPyConnection, staged: str) -> float:
    """The share of rows that are not plain in a relation of staged rows."""
    rows, plain = connection.execute(f"SELECT count(*), count(event_date) FROM {staged}").fetchall()[0]
    return float(rows - plain) / max(rows, 1)


def few_valued(connection: duckdb.DuckDBPyConnection, tables: Collection[str]) -> Mapping[str, Set[str]]:
    """The values of the text columns that take few, by column, in tables of staged samples."""
    if not tables:
        return {}
    rows = " UNION ALL ".join(f"SELECT event_date, {', '.join(_COLUMNS)} FROM {table}" for table in tables)
    if doubtful_share(connection, f"({rows})") > MAX_DOUBTFUL_SHARE:
        return {}
    values = {}
    for name in _COLUMNS:
        found = dict(
            connection.execute(
                f"SELECT {name}, count(*) FROM ({rows}) WHERE event_date IS NOT NULL AND {name} IS NOT NULL GROUP BY 1"
            ).fetchall()
        )
        # Good and Turing: what the values take that a sample lacks is about what those take that it has once.
        unseen = sum(count == 1 for count in found.values()) / max(sum(found.values()), 1)
        if found and len(found) <= MAX_VALUES and unseen <= MAX_UNSEEN_SHARE:
            values[name] = found.keys() | ({DEFAULT_EVENT_NAME} if name == "event_name" else set())
    return values
