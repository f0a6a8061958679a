"""What loading a table comes to, and what its ways have in common: names of columns, rows of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from quality_assets.stores.readers.faults import FileRejected

MOST_COLUMNS = 2_000
MOST_LINES = 3
"""So many of the lines that were refused are named."""


class TooLarge(FileRejected):
    """A file beyond what is taken in: too many columns, or one that unpacks to many times its size."""


@dataclass(frozen=True)
class Loaded:
    """A table that was read: its columns in the order of c0, c1 and so on, and what was noticed on the way."""

    columns: tuple[str, ...]
    rows: int
    refused_rows: int = 0
    encoding: str | None = None
    file_format: str = "csv"
    renamed: tuple[str, ...] = ()
    """The names as they stood where they were empty or stood twice."""
    has_names: bool = True
    """Whether the file says what its columns are called."""
    lines_above: int = 0
    """How many lines stand above the names of columns: titles, comments."""
    refused_lines: tuple[int, ...] = ()
    """Which lines the first of those refused are, counted from 1."""
    other_sheets: tuple[str, ...] = ()
    """The sheets of a workbook that hold tables as well, and were not read."""
    is_elsewhere: bool = False
    """Whether it is read where it lies, instead of from the scratch database."""


def insert_texts(
    connection: duckdb.DuckDBPyConnection, width: int, batches: Iterator[Sequence[Sequence[str | None]]]
) -> int:
    """Make `batch` of rows of texts; returns how many there were."""
    columns = ", ".join(f"c{index} VARCHAR" for index in range(width))
    connection.execute(f"CREATE OR REPLACE TABLE batch ({columns})")
    count = 0
    for rows in batches:
        table = pa.table({f"c{i}": pa.array([row[i] for row in rows], pa.string()) for i in range(width)})
        connection.register("arriving", table)
        connection.execute("INSERT INTO batch SELECT * FROM arriving")
        connection.unregister("arriving")
        count += len(rows)
    return count


def unique_names(names: Sequence[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of columns, none empty and none twice, and those that had to be changed, as they stood."""
    if len(names) > MOST_COLUMNS:
        raise TooLarge(f"it has {len(names):,} columns; {MOST_COLUMNS:,} are the most that are looked at")
    found: dict[str, None] = {}
    changed = []
    for index, name in enumerate(names):
        plain = " ".join((name or "").replace("\x00", "").split())[:200]
        made, number = plain or f"column_{index + 1}", 2
        while made in found:
            made, number = f"{plain or 'column'}_{number}", number + 1
        if made != plain:
            changed.append(plain)
        found[made] = None
    return tuple(found), tuple(changed)
