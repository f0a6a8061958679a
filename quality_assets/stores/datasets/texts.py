"""Text as `batch`: every column as text, and the rows that are none counted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb

from quality_assets.domain.sql_text import literal
from quality_assets.stores.datasets.json_tables import is_json, load_json
from quality_assets.stores.datasets.loaded import MOST_LINES, Loaded, insert_texts, unique_names
from quality_assets.stores.datasets.titles import lacks_first_name, lines_above_names
from quality_assets.stores.readers.encodings import guessed_encoding
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.headers import DELIMITERS
from quality_assets.stores.readers.records import (
    MAX_LINE_BYTES,
    BrokenQuoteError,
    Dialect,
    Line,
    OpenQuoteError,
    lines_of,
    records_of,
    split_record,
    with_told_quotes,
)
from quality_assets.stores.readers.text import Text, as_text, chunks, refuse_binary

# Signs that stand in texts as well: they part only what they part everywhere alike, into several fields.
_RARE_DELIMITERS = "^~ "
_LEAST_LINES, _LEAST_FIELDS = 5, 3
_SEPARATOR_LINE = re.compile(r"sep=(.)", re.IGNORECASE)
# Servers of pages write so, and browsers have the other signs in their names.
_LOG_LINE = re.compile(r'\S+ \S+ \S+ \[[^\]]+\] "')
_LOOKED_AT = 200
_HIGH_BYTES_LOOKED_AT = 1 << 20
_BATCH_ROWS = 20_000


def load_text(connection: duckdb.DuckDBPyConnection, path: Path, head: bytes, scratch: Path) -> Loaded:
    """A text file as `batch`."""
    guessed = declared_encoding(path)
    if guessed is not None:
        refuse_binary(head)
    text = as_text(path, head, scratch, guessed, is_guess=True)
    first = next((line.text.lstrip("\ufeff \t") for line in lines_of(text.path) if line.text.strip()), "")
    if first.startswith(("{", "[")) and is_json(first):
        return load_json(connection, text, first, scratch)
    return _csv(connection, text)


def declared_encoding(path: Path) -> str | None:
    """The encoding of a file that is neither UTF-8 nor UTF-16; None where the reader tells it itself."""
    import codecs

    decoder = codecs.getincrementaldecoder("utf-8")()
    high = bytearray()
    is_utf8 = True
    with path.open("rb") as stream:
        for number, chunk in enumerate(chunks(stream)):
            if number == 0 and (chunk.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\x00" in chunk[:64]):
                return None
            if chunk.isascii() and is_utf8:
                continue
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                is_utf8 = False
            if len(high) < _HIGH_BYTES_LOOKED_AT:
                high += b"\n".join(line for line in chunk.split(b"\n") if not line.isascii())
    if is_utf8:
        return None
    # One damaged line makes no other encoding.
    kept = bytes(high)
    good = sum(not c.isascii() for c in kept.decode("utf-8", "ignore"))
    broken = kept.decode("utf-8", "replace").count("\ufffd")
    return None if good > broken else guessed_encoding(kept)


def _csv(connection: duckdb.DuckDBPyConnection, text: Text) -> Loaded:
    dialect, has_header, above = _dialect(text.path)
    names, renamed = unique_names(dialect.header if has_header else [None] * len(dialect.header))
    if not has_header:
        renamed = ()
    found = _csv_fast(connection, text, dialect) if dialect.is_standard else None
    refused, lines = _csv_slow(connection, text, dialect) if found is None else found
    rows = int(connection.execute("SELECT count(*) FROM batch").fetchall()[0][0])
    if refused and not rows:
        raise FileRejected(
            f"none of its {refused:,} lines can be read as a row of the columns {', '.join(names)[:200]}"
        )
    return Loaded(names, rows, refused, text.encoding, "csv", renamed, has_header, above, lines)


def _dialect(path: Path) -> tuple[Dialect, bool, int]:
    """How a file is written, by which delimiter parts most lines alike; whether a line names columns, and how many
    stand above it."""
    lines = []
    for line in lines_of(path):
        if line.text.strip():
            lines.append(line)
        if len(lines) >= _LOOKED_AT:
            break
    if not lines and path.stat().st_size >= MAX_LINE_BYTES:
        raise FileRejected(f"no line of it is shorter than {MAX_LINE_BYTES // 1_000_000} MB: it is no table of lines")
    if not lines:
        raise FileRejected("no rows: the file is empty")
    # Excel writes the delimiter above the names.
    told = _SEPARATOR_LINE.fullmatch(lines[0].text.strip())
    if told:
        lines = lines[1:]
    if not lines:
        raise FileRejected("no rows: the file is empty but for its sep= line")
    is_log = _LOG_LINE.match(lines[0].text) is not None
    delimiters = (told[1],) if told else " " if is_log else DELIMITERS
    parted = [_parted(lines, delimiter) for delimiter in delimiters]
    likely = list(filter(_Parted.is_likely, parted))
    if not likely and not told:
        likely = [each for delimiter in _RARE_DELIMITERS if (each := _parted(lines, delimiter)).is_certain()]
    best = max(likely, key=_Parted.rank, default=parted[0])
    above, first, below = best.above, best.rows[0], best.rows[1:]
    has_header = not _is_data(first, below[:49])
    names = ("", *first) if has_header and best.lacks_name else tuple(first)
    at = lines[above].number if has_header else lines[above].number - 1
    dialect = Dialect(best.delimiter, '"', tuple(name.strip() for name in names), at, repeats_header=has_header)
    return with_told_quotes(dialect, lines[above:]), has_header, above


@dataclass(frozen=True)
class _Parted:
    """Lines parted by a delimiter: how many stand above the first that is of the table, and the fields from that on."""

    delimiter: str
    above: int
    rows: Sequence[list[str]]
    lacks_name: bool

    @property
    def _width(self) -> int:
        return len(self.rows[0]) + self.lacks_name

    @cached_property
    def _alike(self) -> float:
        width = self._width
        # A delimiter may end each line as well.
        alike = sum(len(row) == width or (len(row) == width + 1 and not row[-1]) for row in self.rows)
        return alike / len(self.rows)

    def is_likely(self) -> bool:
        """Whether it parts most lines alike."""
        return self._width > 1 and (self._alike > 0.5 or len(self.rows) < 3)

    def is_certain(self) -> bool:
        """Whether it parts each line alike, into a few fields."""
        return self._width >= _LEAST_FIELDS and len(self.rows) >= _LEAST_LINES and self._alike == 1

    def rank(self) -> tuple[float, int, int]:
        """The larger, the likelier."""
        return self._alike, -self.above, self._width


def _parted(lines: Sequence[Line], delimiter: str) -> _Parted:
    rows = [_split(line.text, delimiter) for line in lines]
    above = lines_above_names(rows)
    # By commas a line may have more fields for other reasons.
    lacks_name = delimiter == "\t" and lacks_first_name(rows[above], rows[above + 1 :])
    return _Parted(delimiter, above, rows[above:], lacks_name)


def _split(line: str, delimiter: str) -> list[str]:
    text = line.rstrip("\r\n").replace("\x00", "")
    try:
        return split_record(text, delimiter, '"')
    except (OpenQuoteError, BrokenQuoteError):
        return text.split(delimiter)


def _is_data(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first line holds values: a number where the column holds numbers, and no word over numbers."""
    numbers = [_is_number(field) for field in first]
    if not any(numbers) or not rows or _are_numbered(first):
        return False
    over = [
        index
        for index in range(len(first))
        if sum(_is_number(row[index]) for row in rows if index < len(row)) > 0.8 * len(rows)
    ]
    return (
        bool(over)
        and all(numbers[index] or not first[index] for index in over)
        and not all(_is_year(f) for f in first if _is_number(f))
    )


def _are_numbered(names: Sequence[str]) -> bool:
    """Whether names count the columns, as they do where a table had none; the first may be that of an index."""
    counted = [name.strip() for name in (names if names[0].strip() else names[1:])]
    return len(counted) >= _LEAST_FIELDS and counted in (
        [str(n) for n in range(len(counted))],
        [str(n) for n in range(1, len(counted) + 1)],
    )


def _is_year(text: str) -> bool:
    return text.strip().isdigit() and len(text.strip()) == 4


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


Refused = tuple[int, tuple[int, ...]]
"""How many lines were refused, and which the first of them are."""


def _csv_fast(connection: duckdb.DuckDBPyConnection, text: Text, dialect: Dialect) -> Refused | None:
    """The rows by DuckDB's reader; how many lines were refused and the first of them, or None where its rows do not
    account for the lines.
    """
    width = len(dialect.header)
    if text.has_long_line or text.bad_utf8 or text.nul_lines != () or width == 1:
        return None
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(width))
    try:
        connection.execute(
            f"CREATE OR REPLACE TABLE batch AS SELECT * FROM read_csv($path, auto_detect=false, header=false,"
            f" skip={dialect.header_line}, columns={{{columns}}}, delim={literal(dialect.delimiter)}, quote='\"',"
            f" escape='\"', nullstr='', strict_mode=true, compression='none', hive_partitioning=false,"
            f" max_line_size={MAX_LINE_BYTES}, buffer_size={4 * MAX_LINE_BYTES},"
            f" store_rejects=true, rejects_limit=0, rejects_table='rejected',"
            f" rejects_scan='rejected_scan')",
            {"path": str(text.path)},
        )
        refused = int(connection.execute("SELECT count(DISTINCT line) FROM rejected").fetchall()[0][0])
        first = connection.execute(f"SELECT DISTINCT line FROM rejected ORDER BY line LIMIT {MOST_LINES}").fetchall()
    except duckdb.Error:
        return None
    finally:
        for name in ("rejected", "rejected_scan"):
            connection.execute(f"DROP TABLE IF EXISTS {name}")
    rows = int(connection.execute("SELECT count(*) FROM batch").fetchall()[0][0])
    # More lines than rows are line ends within quotes, or a quote that swallowed rows: the slower reader tells which.
    surplus = text.lines - dialect.header_line - rows - refused
    return (refused, tuple(int(line) for (line,) in first)) if surplus == 0 else None


def _csv_slow(connection: duckdb.DuckDBPyConnection, text: Text, dialect: Dialect) -> Refused:
    """The rows by splitting lines in Python, which takes up again behind whatever cannot be split; how many lines were
    refused, and the first of them.
    """
    width, refused = len(dialect.header), 0
    first: list[int] = []

    def is_record(line: str) -> bool:
        return line.count(dialect.delimiter) == width - 1 and line.count('"') % 2 == 0 and width > 1

    def rows() -> Iterator[list[list[str | None]]]:
        nonlocal refused
        batch: list[list[str | None]] = []
        for record in records_of(lines_of(text.path, dialect.header_line), dialect, is_record):
            if record.fields is None:
                refused += 1
                first.extend([record.line][: MOST_LINES - len(first)])
                continue
            batch.append([_clean(field) for field in record.fields])
            if len(batch) >= _BATCH_ROWS:
                yield batch
                batch = []
        if batch:
            yield batch

    insert_texts(connection, width, rows())
    return refused, tuple(first)


def _clean(field: Any) -> str | None:
    return None if field is None else field.replace("\x00", "")
