"""Reading a raw log into the staging table, whatever it is: formats, compression, encodings, dialects, accounting.

What a value means and what is wrong with it is not decided here but in `quality_assets.domain.validation`; which
column is which, in `quality_assets.contracts.sources`.

A text file is first brought into a plain form (decompressed and in UTF-8, through a scratch file where it is not so
already) and its line ends are counted. DuckDB then parses it in one pass. The rows that DuckDB accepted and rejected
must add up to the lines of the file. Where they do not, DuckDB's rows are thrown away and a slower reader splits the
file, which takes up again at the next line after every record that it cannot read.
"""

from __future__ import annotations

import codecs
import contextlib
import gzip
import json
import re
import shutil
import tempfile
import uuid
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Literal

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from quality_assets.contracts.events import EVENT_COLUMNS, RAW_LOGS, Reason
from quality_assets.contracts.sources import (
    CsvOptions,
    NoSourceMatches,
    Source,
    Sources,
    find_columns,
    match_source,
    missing_columns,
)
from quality_assets.domain.validation import (
    DERIVED_EVENT_ID,
    RawColumns,
    identifier,
    is_verbatim,
    literal,
    staging_select,
)

Format = Literal["csv", "jsonl", "parquet"]

DELIMITERS = ",;\t|"
HEAD_BYTES = 1 << 16
CHUNK_BYTES = 1 << 20
# A longer line is a malformed row; DuckDB's own limit is about the same.
MAX_LINE_BYTES = 2_000_000
# How much of a malformed line is kept.
KEPT_CHARACTERS = 4096
# How far a quoted value may run before its quote counts as never closed.
MAX_RECORD_LINES = 1000
_TEXT_COLUMNS = tuple(column.name for column in EVENT_COLUMNS if column.type == "VARCHAR")
BATCH_ROWS = 20_000
BATCH_CHARACTERS = 16_000_000
JSON_SAMPLE_LINES = 1000
# No JSON text holds this character, so that a line stays whole when it is the delimiter.
_NO_DELIMITER = "\x01"

_MAGIC = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"SQLite format 3\x00": "an SQLite database",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"BZh": "a bzip2 archive; gzip and zstd are read",
    b"\xfd7zXZ": "an xz archive; gzip and zstd are read",
    b"ARROW1": "an Arrow file; Parquet is read",
    b"Obj\x01": "an Avro file; Parquet is read",
    b"\x7fELF": "a program",
}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_WIDE_BLANKS = "\u00a0\u3000\ufeff"
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\v\x1b\x00"))


class FileRejected(Exception):  # noqa: N818
    """A raw log that cannot be read as a whole. Nothing of it is staged; the message is a plain sentence."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class StagedFile:
    """What came of one raw log.

    `rows` counts physical records (no header, no blank lines), `good_rows` those without a reason. Event times are
    UTC, over the rows whose time is usable; None when there is none. `dates` are the event dates of its rows, in order.
    """

    source: str
    format: Format
    compression: str | None
    encoding: str | None
    rows: int
    good_rows: int
    first_event_time: datetime | None
    last_event_time: datetime | None
    dates: tuple[date, ...]


def create_staging_table(connection: duckdb.DuckDBPyConnection, table: str = "staged") -> None:
    """Create the table that `stage_file` appends to, with the columns of RAW_LOGS and no constraints."""
    columns = ", ".join(f"{identifier(column.name)} {column.type}" for column in RAW_LOGS.columns)
    connection.execute(f"CREATE TABLE {identifier(table)} ({columns})")


def stage_file(
    connection: duckdb.DuckDBPyConnection,
    path: Path,
    *,
    file_id: str,
    sources: Sources,
    landing_path: str,
    arrived_at: datetime,
    table: str = "staged",
    source_name: str | None = None,
    scratch: Path | None = None,
) -> StagedFile:
    """Append the rows of one raw log to the staging table, typed and with all their reasons.

    `landing_path` is the path relative to landing/, which decides the source unless `source_name` does. `arrived_at` is
    UTC without a zone: later event times are in the future. A file with a header and nothing else is no error: it has 0
    rows. Scratch files (decompressed or recoded text) are written below `scratch`, or where the system keeps such.
    Safe to call from several threads on cursors of one database.

    Raises FileRejected when the file cannot be read as a whole; nothing of it is left in the table.
    """
    with tempfile.TemporaryDirectory(prefix="staging-", dir=scratch) as folder:
        job = _Job(
            connection=connection,
            table=identifier(table),
            file_id=file_id,
            sources=sources,
            landing_path=landing_path,
            arrived_at=arrived_at,
            source_name=source_name,
        )
        try:
            return _stage(job, path, Path(folder))
        except FileRejected:
            job.delete_rows()
            raise


@dataclass(frozen=True)
class _Job:
    """One call of `stage_file`: where rows go and what they are stamped with."""

    connection: duckdb.DuckDBPyConnection
    table: str
    file_id: str
    sources: Sources
    landing_path: str
    arrived_at: datetime
    source_name: str | None

    @property
    def claimed(self) -> Source | None:
        """The source that the name or the path decides, before the file is opened."""
        if self.source_name is None:
            return self.sources.by_path(self.landing_path)
        try:
            return self.sources[self.source_name]
        except NoSourceMatches as error:
            raise FileRejected(str(error)) from None

    def source_of(self, header: Sequence[str]) -> Source:
        """The source of a file with this header; FileRejected when there is none."""
        try:
            if self.source_name is None:
                return match_source(self.sources, self.landing_path, header)
            source = self.sources[self.source_name]
        except NoSourceMatches as error:
            raise FileRejected(str(error)) from None
        missing = missing_columns(source, header)
        if missing:
            raise FileRejected(
                f"source {source.name!r} needs columns that the file does not have: {', '.join(missing)}"
            )
        return source

    def insert(self, source: Source, columns: RawColumns, relation: str, **parameters: Any) -> int:
        """Append the rows of a raw relation to the staging table; returns how many."""
        select = staging_select(source, columns, relation, derive_event_id="event_id" not in source.columns)
        latest = self.arrived_at + timedelta(minutes=source.allowed_future_skew_minutes)
        values = {"file_id": self.file_id, "latest_event_time": latest, **parameters}
        return int(self.connection.execute(f"INSERT INTO {self.table} {select}", values).fetchall()[0][0])

    def insert_records(self, source: Source, columns: RawColumns, records: Sequence[_Record]) -> None:
        """Append records that were split in Python."""
        self._insert_malformed([record for record in records if record.malformed is not None])
        records = [record for record in records if record.malformed is None]
        if not records:
            return
        width = len(columns.identifiers)
        blank: list[str | None] = [None] * width
        rows = [record.fields or blank for record in records]
        data: dict[str, Any] = {
            name: pa.array([row[index] for row in rows], pa.string()) for index, name in enumerate(columns.identifiers)
        }
        data["line_number"] = pa.array([record.line for record in records], pa.int64())
        raw = replace(columns, may_hold_nul=True, only_spaces=False)
        view = _unique("records")
        self.connection.register(view, pa.table(data))
        try:
            self.insert(source, raw, view)
        finally:
            self.connection.unregister(view)

    def _insert_malformed(self, records: Sequence[_Record]) -> None:
        """Append records without columns: planning the statement that judges columns costs more than these rows."""
        if records:
            self.connection.execute(
                f"INSERT INTO {self.table} BY NAME SELECT $file_id AS file_id, unnest($lines) AS line_number,"
                f" [{literal(Reason.MALFORMED_ROW.value)}] AS reasons, unnest($texts) AS raw_row",
                {
                    "file_id": self.file_id,
                    "lines": [record.line for record in records],
                    "texts": [record.malformed for record in records],
                },
            )

    def delete_rows(self) -> None:
        """Take back what was staged of the file."""
        self.connection.execute(f"DELETE FROM {self.table} WHERE file_id = ?", [self.file_id])


@dataclass(frozen=True)
class _Record:
    """One physical record: its fields, or the JSON of what stands in their place when it is malformed."""

    line: int
    fields: list[str | None] | None
    malformed: str | None = None


def _stage(job: _Job, path: Path, scratch: Path) -> StagedFile:
    plain, compression = _opened(path, scratch)
    head = _head(plain)
    claimed = job.claimed
    declared = claimed.format if claimed else "auto"
    if head.startswith(b"PAR1"):
        source = _stage_parquet(job, _without_wildcards(plain, scratch))
        return _finish(job, source, "parquet", compression, None)
    if declared == "parquet":
        raise FileRejected("the file is not Parquet, which its source declares")
    text = _as_text(plain, head, scratch, claimed.csv.encoding if claimed else None)
    kind: Format = "jsonl" if declared == "jsonl" or (declared == "auto" and _looks_like_json(text.path)) else "csv"
    source = (
        _stage_jsonl(job, text) if kind == "jsonl" else _stage_csv(job, text, claimed.csv if claimed else CsvOptions())
    )
    return _finish(job, source, kind, compression, text.encoding)


def _finish(job: _Job, source: Source, kind: Format, compression: str | None, encoding: str | None) -> StagedFile:
    """Give a date to the rows without one and an id to those without one, and add up."""
    mine = "WHERE file_id = ?"
    days = job.connection.execute(
        "SELECT event_date, count(*), count(*) - count(reasons), min(event_time), max(event_time),"
        f" count(*) - count(event_id) FROM {job.table} {mine} GROUP BY event_date ORDER BY event_date NULLS LAST",
        [job.file_id],
    ).fetchall()
    dated = [day for day in days if day[0] is not None]
    first = min((day[3] for day in dated), default=None)
    fallback = first.date() if first else source.starts_on
    if any(day[5] for day in days):
        job.connection.execute(
            f"UPDATE {job.table} SET event_id = {DERIVED_EVENT_ID} {mine} AND event_id IS NULL", [job.file_id]
        )
    if len(dated) < len(days):
        job.connection.execute(
            f"UPDATE {job.table} SET event_date = ? {mine} AND event_date IS NULL", [fallback, job.file_id]
        )
    return StagedFile(
        source=source.name,
        format=kind,
        compression=compression,
        encoding=encoding,
        rows=sum(day[1] for day in days),
        good_rows=sum(day[2] for day in days),
        first_event_time=first,
        last_event_time=max((day[4] for day in dated), default=None),
        dates=tuple(sorted({day[0] or fallback for day in days})),
    )


# --- From whatever arrived to plain UTF-8 text -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Text:
    """A plain text file in UTF-8, and what its bytes are like."""

    path: Path
    encoding: str
    lines: int
    has_nul: bool
    has_long_line: bool
    only_spaces: bool
    has_backslash: bool
    bad_utf8: bool


@dataclass
class _Scan:
    """What one pass over the bytes of a file counts; `line_ends` are those of a return and a newline."""

    newlines: int = 0
    returns: int = 0
    line_ends: int = 0
    last: bytes = b""
    has_nul: bool = False
    has_long_line: bool = False
    has_other_blanks: bool = False
    has_backslash: bool = False
    is_ascii: bool = True

    def add(self, chunk: bytes) -> None:
        """Count one chunk of CHUNK_BYTES."""
        codes = np.frombuffer(chunk, np.uint8)
        newlines = int(np.count_nonzero(codes == ord("\n")))
        self.newlines += newlines
        self.has_long_line = self.has_long_line or (newlines == 0 and len(chunk) == CHUNK_BYTES)
        self.is_ascii = self.is_ascii and chunk.isascii()
        self.has_backslash = self.has_backslash or b"\\" in chunk
        before, self.last = self.last, chunk[-1:]
        self.line_ends += before == b"\r" and chunk[:1] == b"\n"
        # Two vector comparisons settle for most files that there is nothing special in them.
        if int(np.count_nonzero(codes < ord(" "))) != newlines:
            self.returns += chunk.count(b"\r")
            self.line_ends += chunk.count(b"\r\n")
            self.has_nul = self.has_nul or b"\0" in chunk
            self.has_other_blanks = self.has_other_blanks or b"\t" in chunk


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _opened(path: Path, scratch: Path) -> tuple[Path, str | None]:
    """The file itself, or decompressed in the scratch folder, and its compression."""
    try:
        if path.is_dir():
            raise FileRejected("it is a folder, not a file")
        head = _head(path)
        if not head:
            raise FileRejected("the file is empty")
        if head.startswith(b"\x1f\x8b"):
            return _decompressed(gzip.open(path, "rb"), scratch), "gzip"
        if head.startswith(b"\x28\xb5\x2f\xfd"):
            return _decompressed(pa.input_stream(str(path), compression="zstd"), scratch), "zstd"
    except FileNotFoundError:
        raise FileRejected("the file is no longer there") from None
    except OSError as error:
        raise FileRejected(f"the file cannot be read: {error.strerror or error}") from None
    return path, None


def _decompressed(stream: Any, scratch: Path) -> Path:
    target = scratch / "decompressed"
    try:
        with stream, target.open("wb") as out:
            shutil.copyfileobj(stream, out, CHUNK_BYTES)
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected(f"the compressed file is truncated or damaged: {error}") from None
    if not _head(target):
        raise FileRejected("the file is empty once decompressed")
    return target


def _head(path: Path) -> bytes:
    with path.open("rb") as stream:
        return stream.read(HEAD_BYTES)


def _as_text(path: Path, head: bytes, scratch: Path, declared: str | None) -> _Text:
    """The file as UTF-8 text, recoded in the scratch folder where it is in another encoding."""
    encoding = _wide_encoding(head) or declared
    if encoding is None:
        _refuse_binary(head)
    elif encoding not in ("utf-8", "utf-8-sig"):
        path = _recoded(path, scratch / "recoded", encoding)
    scan, bad, other = _scanned(path)
    if bad and encoding is None and not other:
        encoding = _single_byte_encoding(path)
        path = _recoded(path, scratch / "recoded", encoding)
        scan, bad, other = _scanned(path)
    if scan.returns and not scan.newlines:
        path = _with_newlines(path, scratch / "newlines")
        scan, bad, other = _scanned(path)
    content = _head(path).removeprefix(codecs.BOM_UTF8)
    if not content.strip() and scan.newlines + len(content) < HEAD_BYTES:
        raise FileRejected("the file is empty")
    return _Text(
        path=_without_wildcards(path, scratch),
        encoding=encoding or "utf-8",
        lines=scan.newlines + (scan.last != b"\n"),
        has_nul=scan.has_nul,
        has_long_line=scan.has_long_line,
        only_spaces=not scan.has_other_blanks and scan.returns == scan.line_ends,
        has_backslash=scan.has_backslash,
        bad_utf8=bad,
    )


def _wide_encoding(head: bytes) -> str | None:
    """An encoding that shows in the first bytes: by its mark, or UTF-16 by where its zero bytes are."""
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return "utf-32"
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    even, odd = head[0::2], head[1::2]
    if len(head) >= 8 and odd.count(0) > 0.4 * len(odd) and even.count(0) < 0.1 * len(even):
        return "utf-16-le"
    if len(head) >= 8 and even.count(0) > 0.4 * len(even) and odd.count(0) < 0.1 * len(odd):
        return "utf-16-be"
    return None


def _refuse_binary(head: bytes) -> None:
    for magic, what in _MAGIC.items():
        if head.startswith(magic):
            raise FileRejected(f"the file is {what}, not CSV, JSON lines or Parquet")
    control = len(head) - len(head.translate(None, _CONTROL))
    if control > 0.05 * len(head) or head.count(0) > 0.2 * len(head):
        raise FileRejected("the file is binary data, not CSV, JSON lines or Parquet")


def _scanned(path: Path) -> tuple[_Scan, bool, bool]:
    """Counts, whether there is a byte that is not UTF-8, and whether the file is UTF-8 all the same.

    The last is so where well-formed characters outnumber the broken ones: one damaged line does not make Latin-1.
    """
    scan = _Scan()
    decoder = codecs.getincrementaldecoder("utf-8")()
    is_valid = True
    with path.open("rb") as stream:
        for chunk in _chunks(stream):
            scan.add(chunk)
            if is_valid and not scan.is_ascii:
                try:
                    text = decoder.decode(chunk)
                except UnicodeDecodeError:
                    is_valid = False
                else:
                    scan.has_other_blanks = scan.has_other_blanks or any(blank in text for blank in _WIDE_BLANKS)
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        is_valid = False
    if is_valid:
        return scan, False, True
    scan.has_other_blanks = True
    return scan, True, _is_mostly_utf8(path)


def _is_mostly_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    good = broken = 0
    with path.open("rb") as stream:
        for chunk in _chunks(stream):
            text = decoder.decode(chunk)
            replaced = max(text.count("\ufffd") - chunk.count(b"\xef\xbf\xbd"), 0)
            broken += replaced
            good += len(text) - replaced - len(text.encode("ascii", "ignore"))
    return good > broken


def _single_byte_encoding(path: Path) -> str:
    """Windows-1252 unless the file has one of the five bytes that it leaves undefined."""
    with path.open("rb") as stream:
        undefined = any(len(chunk) != len(chunk.translate(None, b"\x81\x8d\x8f\x90\x9d")) for chunk in _chunks(stream))
    return "latin-1" if undefined else "cp1252"


def _recoded(path: Path, target: Path, encoding: str) -> Path:
    try:
        with (
            path.open("r", encoding=encoding, newline="") as stream,
            target.open("w", encoding="utf-8", newline="") as out,
        ):
            while text := stream.read(CHUNK_BYTES):
                out.write(text)
    except UnicodeError as error:
        raise FileRejected(f"the file is not in the encoding {encoding}: {getattr(error, 'reason', error)}") from None
    return target


def _with_newlines(path: Path, target: Path) -> Path:
    """A file whose lines end in a carriage return alone, as old Macs wrote them."""
    with path.open("rb") as stream, target.open("wb") as out:
        for chunk in _chunks(stream):
            out.write(chunk.replace(b"\r", b"\n"))
    return target


def _without_wildcards(path: Path, scratch: Path) -> Path:
    """A name for the file that DuckDB does not take for a pattern."""
    if not re.search(r"[*?\[\]{}]", str(path)):
        return path
    link = scratch / "file"
    link.symlink_to(path.absolute())
    return link


# --- Lines and records in Python -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Line:
    """One physical line with its line end; of one that is too long, only the beginning, with its length in bytes."""

    number: int
    text: str
    damage: str | None = None


def _lines(path: Path, after: int = 0) -> Iterator[_Line]:
    """The physical lines behind line `after`."""
    with path.open("rb") as stream:
        number = 0
        while raw := stream.readline(MAX_LINE_BYTES):
            number += 1
            length = len(raw)
            while raw[-1:] != b"\n" and len(raw) == MAX_LINE_BYTES and (more := stream.readline(CHUNK_BYTES)):
                length += len(more)
                if more.endswith(b"\n"):
                    break
            if number > after:
                yield _line(number, raw, length)


def _lines_at(path: Path, numbers: Sequence[int]) -> Iterator[_Line]:
    """The physical lines with these ascending numbers, found without looking at the others one by one."""
    wanted = np.array(numbers, np.int64)
    starts: list[int] = []
    ends_before = offset = 0
    with path.open("rb") as stream:
        for chunk in _chunks(stream) if numbers else ():
            ends = np.flatnonzero(np.frombuffer(chunk, np.uint8) == ord("\n"))
            # Line n begins behind line end n - 1.
            here = wanted[(wanted > ends_before + 1) & (wanted <= ends_before + 1 + len(ends))] - ends_before - 2
            starts += (offset + ends[here] + 1).tolist()
            ends_before += len(ends)
            offset += len(chunk)
        for number, start in zip(numbers, starts, strict=False):
            stream.seek(start)
            yield _line(number, raw := stream.readline(MAX_LINE_BYTES), len(raw))


def _line(number: int, raw: bytes, length: int) -> _Line:
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    if length > MAX_LINE_BYTES:
        return _Line(number, "", _malformed(raw[:KEPT_CHARACTERS].decode("utf-8", "backslashreplace"), length))
    try:
        return _Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError:
        return _Line(number, "", _malformed(raw.decode("utf-8", "backslashreplace")))


def _malformed(text: str, length: int | None = None) -> str:
    """What is kept of a record that cannot be split, as JSON; its length too where it is cut."""
    line = text.rstrip("\r\n")
    if length is None and len(line) <= KEPT_CHARACTERS:
        return json.dumps({"line": line}, ensure_ascii=False)
    return json.dumps({"line": line[:KEPT_CHARACTERS], "length": length or len(line)}, ensure_ascii=False)


class _BrokenQuoteError(ValueError):
    """Something follows a closing quote that is no delimiter."""


class _OpenQuoteError(ValueError):
    """The text ends within a quoted value."""


def _split(text: str, delimiter: str, quote: str) -> list[str]:
    """The fields of one record by RFC 4180; spaces behind a closing quote are let pass, as DuckDB does.

    Raises _OpenQuoteError or _BrokenQuoteError.
    """
    if quote not in text:
        return text.split(delimiter)
    fields = []
    position = 0
    while True:
        if text.startswith(quote, position):
            value, position = _quoted(text, position + 1, quote)
            if delimiter != " ":
                while text.startswith(" ", position):
                    position += 1
        else:
            end = text.find(delimiter, position)
            end = len(text) if end < 0 else end
            value, position = text[position:end], end
        fields.append(value)
        if position >= len(text):
            return fields
        if not text.startswith(delimiter, position):
            raise _BrokenQuoteError
        position += len(delimiter)


def _quoted(text: str, start: int, quote: str) -> tuple[str, int]:
    """The value that begins at `start`, behind its quote, and the position behind its closing quote."""
    parts = []
    while True:
        end = text.find(quote, start)
        if end < 0:
            raise _OpenQuoteError
        parts.append(text[start:end])
        if not text.startswith(quote, end + 1):
            return "".join(parts), end + 1
        parts.append(quote)
        start = end + 2


@dataclass(frozen=True)
class _Dialect:
    """How a CSV file is written, and where its rows begin."""

    delimiter: str
    quote: str
    header: tuple[str, ...]
    header_line: int
    header_is_plain: bool = True

    def split(self, text: str) -> list[str]:
        """The fields of one record; see `_split`."""
        return _split(text, self.delimiter, self.quote)


def _records(lines: Iterable[_Line], dialect: _Dialect, is_record: Callable[[str], bool]) -> Iterator[_Record]:
    """The records of a CSV file; what cannot be read is one malformed record, and the next line is tried anew.

    A quoted value may span lines. Its quote counts as never closed when what follows breaks the quoting, when the
    record has the wrong number of fields, when one of its lines is a whole record in itself (`is_record`), or when it
    does not end within MAX_RECORD_LINES.
    """
    ahead: deque[_Line] = deque()
    source = iter(lines)
    while True:
        line = ahead.popleft() if ahead else next(source, None)
        if line is None:
            return
        text = line.text.rstrip("\r\n")
        if line.damage is not None:
            yield _Record(line.number, None, line.damage)
            continue
        if not text:
            continue
        fields: list[str] | None
        try:
            fields = dialect.split(text)
        except _BrokenQuoteError:
            fields = None
        except _OpenQuoteError:
            fields = _continued(line, ahead, source, dialect, is_record)
        if fields is None or len(fields) != len(dialect.header):
            yield _Record(line.number, None, _malformed(line.text))
        else:
            yield _Record(line.number, list(fields))


def _continued(
    first: _Line, ahead: deque[_Line], source: Iterator[_Line], dialect: _Dialect, is_record: Callable[[str], bool]
) -> list[str] | None:
    """The fields of a record that begins in `first` and ends in a later line; None where there is no such record.

    Lines that it looks at and does not use stay in `ahead`.
    """
    parts = [first.text]
    size = len(first.text)
    for index in range(MAX_RECORD_LINES):
        if index == len(ahead):
            line = next(source, None)
            if line is None:
                return None
            ahead.append(line)
        line = ahead[index]
        size += len(line.text)
        if line.damage is not None or size > MAX_LINE_BYTES or is_record(line.text.rstrip("\r\n")):
            return None
        parts.append(line.text)
        if dialect.quote not in line.text:
            continue
        try:
            fields = dialect.split("".join(parts).rstrip("\r\n"))
        except _OpenQuoteError:
            continue
        except _BrokenQuoteError:
            return None
        if len(fields) != len(dialect.header):
            return None
        for _ in range(index + 1):
            ahead.popleft()
        return fields
    return None


def _batches(records: Iterable[_Record]) -> Iterator[list[_Record]]:
    batch: list[_Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(len(field or "") for field in record.fields or ()) + len(record.malformed or "")
        if len(batch) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


# --- CSV -------------------------------------------------------------------------------------------------------------


def _stage_csv(job: _Job, text: _Text, options: CsvOptions) -> Source:
    dialect = _sniffed(text.path, options, job.sources)
    source = job.source_of(dialect.header)
    columns = RawColumns(
        header=dialect.header,
        identifiers=tuple(f"c{index}" for index in range(len(dialect.header))),
        may_hold_nul=text.has_nul,
        only_spaces=text.only_spaces,
        repeats_header=True,
    )
    is_record = _record_test(source, dialect)
    suspect = text.has_long_line or text.bad_utf8 or not dialect.header_is_plain or len(dialect.header) == 1
    if suspect or not _stage_csv_fast(job, text, dialect, source, columns, is_record):
        job.delete_rows()
        for batch in _batches(_records(_lines(text.path, dialect.header_line), dialect, is_record)):
            job.insert_records(source, columns, batch)
    return source


def _sniffed(path: Path, options: CsvOptions, sources: Sources) -> _Dialect:
    """The dialect of a file from its header, the first line that is not blank.

    The delimiter is the one that splits off most column names that a source knows, then the one with most columns.
    """
    known = {name for source in sources for name in source.source_columns}
    best: tuple[tuple[int, int], _Dialect] | None = None
    for delimiter in (options.delimiter,) if options.delimiter else tuple(DELIMITERS):
        dialect = _header(path, delimiter, options.quote)
        score = (len(find_columns(known, dialect.header)), len(dialect.header))
        if best is None or score > best[0]:
            best = (score, dialect)
    assert best is not None
    return best[1]


def _header(path: Path, delimiter: str, quote: str) -> _Dialect:
    parts: list[str] = []
    for line in _lines(path):
        if line.damage is not None or len(parts) > MAX_RECORD_LINES:
            break
        if not parts and not line.text.strip():
            continue
        parts.append(line.text)
        try:
            fields = _split("".join(parts).rstrip("\r\n"), delimiter, quote)
        except _OpenQuoteError:
            continue
        except _BrokenQuoteError:
            fields = parts[0].rstrip("\r\n").split(delimiter)
        return _Dialect(delimiter, quote, tuple(fields), line.number, header_is_plain=len(parts) == 1)
    raise FileRejected("the first line, which should name the columns, cannot be read")


def _record_test(source: Source, dialect: _Dialect) -> Callable[[str], bool]:
    """Whether a line is a whole record in itself: all columns are there, and digits where its time should be."""
    found = find_columns(source.columns["event_time"].from_columns, dialect.header)

    def is_record(text: str) -> bool:
        # With an odd quote it is rather the end of a value that began in an earlier line.
        if text.count(dialect.delimiter) < len(dialect.header) - 1 or text.count(dialect.quote) % 2:
            return False
        try:
            fields = dialect.split(text)
        except ValueError:
            return False
        return len(fields) == len(dialect.header) and all(fields[i].strip()[:1].isdigit() for i in found.values())

    return is_record


def _csv_relation(dialect: _Dialect, rejects: str) -> str:
    """A FROM item of all columns as text with `line_number`, counted as if every record were one line; $path."""
    columns = ", ".join(f"'c{index}': 'VARCHAR'" for index in range(len(dialect.header)))
    return (
        f"(SELECT *, {dialect.header_line} + row_number() OVER () AS line_number FROM read_csv($path, "
        f"auto_detect=false, header=false, skip={dialect.header_line}, columns={{{columns}}}, "
        f"delim={literal(dialect.delimiter)}, quote={literal(dialect.quote)}, escape={literal(dialect.quote)}, "
        f"nullstr='', strict_mode=true, compression='none', hive_partitioning=false, "
        f"max_line_size={MAX_LINE_BYTES}, store_rejects=true, rejects_limit=0, "
        f"rejects_table={literal(rejects)}, rejects_scan={literal(rejects + '_scan')}))"
    )


def _stage_csv_fast(
    job: _Job,
    text: _Text,
    dialect: _Dialect,
    source: Source,
    columns: RawColumns,
    is_record: Callable[[str], bool],
) -> bool:
    """Stage a CSV file with DuckDB's reader; False when its rows do not account for every line of the file."""
    rejects = _unique("rejects")
    try:
        accepted = job.insert(source, columns, _csv_relation(dialect, rejects), path=str(text.path))
        rejected = _rejected(job, rejects)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException):
        return False
    finally:
        _drop_rejects(job, rejects)
    surplus = text.lines - dialect.header_line - accepted - len(rejected)
    blanks: list[int] = []
    stretched: list[tuple[int, int]] = []
    if surplus:
        found = _surplus(job, text, dialect, source, is_record, surplus)
        if found is None:
            return False
        blanks, stretched = found
    skipped = sorted(rejected + blanks)
    lines = _Renumbering(dialect.header_line, skipped, stretched)
    place = dict(zip(skipped, lines.skipped_lines, strict=True))
    records = _records(_lines_at(text.path, [place[number] for number in rejected]), dialect, is_record)
    broken = list(records)
    # DuckDB's own copy of a rejected line is now and then that of its neighbour: the file has the last word.
    if len(broken) != len(rejected) or any(record.malformed is None for record in broken):
        return False
    _renumber(job, source, lines.steps)
    for batch in _batches(broken):
        job.insert_records(source, columns, batch)
    return True


def _surplus(
    job: _Job, text: _Text, dialect: _Dialect, source: Source, is_record: Callable[[str], bool], surplus: int
) -> tuple[list[int], list[tuple[int, int]]] | None:
    """Where lines are that are no records: blank ones, or those within quoted values; None when they do not add up."""
    if surplus < 0:
        return None
    stretched = _stretched(_staged_values(job, dialect), is_record) if is_verbatim(source) else []
    if stretched is None:
        return None
    if sum(count for _, count in stretched) != surplus:
        # Not every value is staged as it stands in the file.
        stretched = _stretched(_parsed_values(job, text, dialect), is_record)
    if stretched is None:
        return None
    inner = sum(count for _, count in stretched)
    if inner == surplus:
        return [], stretched
    blanks = [] if inner else _blank_lines(text.path, dialect.header_line)
    return (blanks, []) if len(blanks) == surplus else None


def _stretched(
    records: Iterable[tuple[int, list[str]]], is_record: Callable[[str], bool]
) -> list[tuple[int, int]] | None:
    """Which accepted records (counted from 1) hold line ends, and how many; None when one seems to swallow others."""
    found = []
    for number, values in records:
        broken = [value for value in values if "\n" in value]
        count = sum(value.count("\n") for value in broken)
        if count > MAX_RECORD_LINES or any(_swallows(value, is_record) for value in broken):
            return None
        # A blank that the shortened trim of the fast path does not know.
        if any(value[-1] in "\r\n" for value in broken):
            return None
        if count:
            found.append((number, count))
    return found


def _staged_values(job: _Job, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    """The number and the values of the staged records that hold line ends, for a source that takes them as they are."""
    holds = " OR ".join(f"contains({name}, chr(10))" for name in _TEXT_COLUMNS)
    rows = job.connection.execute(
        f"SELECT line_number, raw_row, {', '.join(_TEXT_COLUMNS)} FROM {job.table}"
        f" WHERE file_id = ? AND CASE WHEN raw_row IS NULL THEN {holds} ELSE contains(raw_row, '\\n') END"
        " ORDER BY line_number",
        [job.file_id],
    ).fetchall()
    for line, raw_row, *values in rows:
        held = values if raw_row is None else json.loads(raw_row).values()
        yield line - dialect.header_line, [value for value in held if value]


def _parsed_values(job: _Job, text: _Text, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    """The number and the values of the accepted records that hold line ends, read from the file again."""
    rejects = _unique("rejects")
    relation = _csv_relation(dialect, rejects)
    # Every column stays in the projection: what is rejected depends on it.
    holds = " OR ".join(f"contains(c{index}, chr(10))" for index in range(len(dialect.header)))
    try:
        cursor = job.connection.execute(
            f"SELECT * FROM {relation} WHERE {holds} ORDER BY line_number", {"path": str(text.path)}
        )
        while rows := cursor.fetchmany(1000):
            for row in rows:
                yield row[-1] - dialect.header_line, [value for value in row[:-1] if value]
    finally:
        _drop_rejects(job, rejects)


def _swallows(value: str, is_record: Callable[[str], bool]) -> bool:
    return any(is_record(line.rstrip("\r")) for line in value.split("\n")[1:])


def _blank_lines(path: Path, after: int) -> list[int]:
    with path.open("rb") as stream:
        return [number for number, line in enumerate(stream, 1) if number > after and not line.strip(b"\r\n")]


def _rejected(job: _Job, rejects: str) -> list[int]:
    """The numbers of the rejected records, counted from the first line of the file as if each were one line."""
    rows = job.connection.execute(f"SELECT DISTINCT line FROM {identifier(rejects)} ORDER BY line").fetchall()
    return [row[0] for row in rows]


def _drop_rejects(job: _Job, rejects: str) -> None:
    for name in (rejects, f"{rejects}_scan"):
        job.connection.execute(f"DROP TABLE IF EXISTS {identifier(name)}")


class _Renumbering:
    """From counted records to physical lines.

    DuckDB's row number counts accepted records only. `skipped` are the numbers of the records that are not among them,
    counted from the first line of the file as if every record were one line; `stretched` the accepted records, from 1,
    that go on over further lines, and how many. `steps` are (first accepted record, lines to add), and
    `skipped_lines` the physical lines of `skipped`.
    """

    def __init__(self, header_line: int, skipped: Sequence[int], stretched: Sequence[tuple[int, int]]) -> None:
        before = [(number - header_line - 1 - index, 1, 1) for index, number in enumerate(skipped)]
        within = [(record, 0, count) for record, count in stretched]
        shift = 0
        self.skipped_lines: list[int] = []
        steps: dict[int, int] = {}
        for record, is_skipped, count in sorted(before + within):
            if is_skipped:
                self.skipped_lines.append(header_line + record + 1 + shift)
            shift += count
            steps[record + 1] = shift
        self.steps = [(record + header_line, add) for record, add in steps.items()]


def _renumber(job: _Job, source: Source, steps: Sequence[tuple[int, int]]) -> None:
    """Add to each line number what the last step at or before it says."""
    if not steps:
        return
    firsts = np.array([first for first, _ in steps])
    shifts = np.array([0, *(add for _, add in steps)])

    def shifted(lines: pa.ChunkedArray) -> pa.Array:
        numbers = lines.to_numpy()
        return pa.array(numbers + shifts[np.searchsorted(firsts, numbers, side="right")])

    # A binary search per row: a quarter of the cost of joining the steps.
    name = _unique("shifted")
    job.connection.create_function(name, shifted, ["BIGINT"], "BIGINT", type=PythonUDFType.ARROW)
    moved = f"line_number = {name}(line_number)"
    if "event_id" not in source.columns:
        moved += f", event_id = {DERIVED_EVENT_ID.replace('line_number', f'{name}(line_number)')}"
    try:
        job.connection.execute(
            f"UPDATE {job.table} SET {moved} WHERE file_id = ? AND line_number >= ?", [job.file_id, steps[0][0]]
        )
    finally:
        job.connection.remove_function(name)


# --- JSON lines ------------------------------------------------------------------------------------------------------


def _looks_like_json(path: Path) -> bool:
    return _head(path).removeprefix(codecs.BOM_UTF8).lstrip()[:1] in (b"{", b"[")


def _stage_jsonl(job: _Job, text: _Text) -> Source:
    keys = _sampled_keys(text.path)
    source = job.source_of(keys)
    # A key that only later lines have is read as well.
    header = tuple(dict.fromkeys([*keys, *source.source_columns]))
    columns = RawColumns(
        header=header,
        identifiers=tuple(f"c{index}" for index in range(len(header))),
        # Escapes such as \\n and \\u0000 become characters.
        may_hold_nul=text.has_nul or text.has_backslash,
        only_spaces=text.only_spaces and not text.has_backslash,
    )
    paths = ", ".join(literal(_json_path(name)) for name in header)
    # A comparison is nearly free, a trim copies the line.
    is_object = (
        f"CASE WHEN line >= '{{' AND line < '|' THEN json_valid(line) "
        f"ELSE starts_with(ltrim(line, {literal(_JSON_BLANKS)}), '{{') AND json_valid(line) END"
    )
    extracted = ", ".join(f"fields[{index + 1}] AS {name}" for index, name in enumerate(columns.identifiers))
    objects = (
        "(SELECT *, fields IS NULL AS is_broken, "
        f"{extracted} FROM (SELECT *, CASE WHEN {is_object} THEN json_extract_string(line, [{paths}]) END AS fields "
        f"FROM {_LINES}))"
    )
    kept = f"json_object('line', line[:{KEPT_CHARACTERS}])"
    cut = f"json_object('line', line[:{KEPT_CHARACTERS}], 'length', length(line))"
    broken = f"CASE WHEN length(line) > {KEPT_CHARACTERS} THEN {cut} ELSE {kept} END"
    raw = replace(
        columns,
        malformed="is_broken",
        raw_row=f"CASE WHEN malformed IS NOT NULL THEN malformed WHEN is_broken THEN {broken} ELSE line END",
    )
    if text.has_long_line or text.bad_utf8 or not _stage_jsonl_fast(job, text, source, raw, objects):
        job.delete_rows()
        for lines in _batched_lines(_lines(text.path)):
            _insert_json_lines(job, source, raw, objects, lines)
    return source


_JSON_BLANKS = " \t\r\n\ufeff"
# Stands for the FROM item of the lines in the SQL that takes them apart.
_LINES = "/* lines */"


def _json_path(name: str) -> str:
    """The JSONPath of a top-level key."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'$."{escaped}"'


def _sampled_keys(path: Path) -> tuple[str, ...]:
    """The keys of the first lines that are JSON objects, in order of appearance."""
    keys: dict[str, None] = {}
    for number, line in enumerate(_lines(path)):
        if number >= JSON_SAMPLE_LINES:
            break
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(line.text or "null")
            keys.update(dict.fromkeys(value if isinstance(value, dict) else ()))
    if not keys:
        raise FileRejected(f"none of the first {JSON_SAMPLE_LINES} lines is a JSON object")
    return tuple(keys)


def _stage_jsonl_fast(job: _Job, text: _Text, source: Source, columns: RawColumns, objects: str) -> bool:
    """Stage JSON lines with DuckDB's reader of lines; False when the rows do not account for every line."""
    rejects = _unique("rejects")
    lines = (
        "(SELECT line, row_number() OVER () AS line_number, CAST(NULL AS VARCHAR) AS malformed FROM read_csv($path, "
        f"auto_detect=false, header=false, delim={literal(_NO_DELIMITER)}, quote='', escape='', "
        "columns={'line': 'VARCHAR'}, strict_mode=false, compression='none', hive_partitioning=false, "
        f"max_line_size={MAX_LINE_BYTES}, store_rejects=true, rejects_limit=0, "
        f"rejects_table={literal(rejects)}, rejects_scan={literal(rejects + '_scan')}))"
    )
    not_blank = f"(SELECT * FROM {lines} WHERE line >= '!' OR trim(line, {literal(_JSON_BLANKS)}) <> '')"
    try:
        accepted = job.insert(source, columns, objects.replace(_LINES, not_blank), path=str(text.path))
        rejected = _rejected(job, rejects)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException):
        return False
    finally:
        _drop_rejects(job, rejects)
    if rejected:
        return False
    missing = text.lines - accepted
    return missing == 0 or (missing > 0 and missing == _count_blank_lines(text.path))


def _count_blank_lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(not line.strip() for line in stream)


def _batched_lines(lines: Iterable[_Line]) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = 0
    for line in lines:
        if line.damage is None and not line.text.strip():
            continue
        batch.append(line)
        size += len(line.text)
        if len(batch) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _insert_json_lines(job: _Job, source: Source, columns: RawColumns, objects: str, lines: Sequence[_Line]) -> None:
    view = _unique("lines")
    data = pa.table(
        {
            "line": pa.array([None if line.damage else line.text.rstrip("\r\n") for line in lines], pa.string()),
            "line_number": pa.array([line.number for line in lines], pa.int64()),
            "malformed": pa.array([line.damage for line in lines], pa.string()),
        }
    )
    job.connection.register(view, data)
    try:
        job.insert(source, columns, objects.replace(_LINES, view))
    finally:
        job.connection.unregister(view)


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _stage_parquet(job: _Job, path: Path) -> Source:
    try:
        described = job.connection.execute(
            "SELECT column_name, column_type "
            "FROM (DESCRIBE SELECT * FROM read_parquet($path, hive_partitioning=false))",
            {"path": str(path)},
        ).fetchall()
        source = job.source_of([name for name, _ in described])
        header = tuple(name for name, _ in described)
        zones = _zones(source, header)
        columns = RawColumns(header=header, identifiers=tuple(f"c{index}" for index in range(len(header))))
        texts = ", ".join(
            f"{_parquet_text(identifier(name), kind, zones.get(name))} AS c{index}"
            for index, (name, kind) in enumerate(described)
        )
        relation = (
            f"(SELECT {texts}, row_number() OVER () AS line_number FROM read_parquet($path, hive_partitioning=false))"
        )
        job.insert(source, columns, relation, path=str(path))
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.SerializationException) as error:
        raise FileRejected(f"the Parquet file is truncated or damaged: {str(error).splitlines()[0]}") from None
    return source


def _zones(source: Source, header: Sequence[str]) -> dict[str, str]:
    """The declared zone of each column that holds local times."""
    zoned = {c: m.zone for m in source.columns.values() if m.zone is not None for c in m.from_columns}
    return {header[index]: zoned[name] for name, index in find_columns(zoned, header).items()}


def _parquet_text(column: str, kind: str, zone: str | None) -> str:
    """A typed column as the text that a CSV would hold; a time without a zone is of its source's zone, else UTC."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return _zulu(f"timezone('UTC', {column})")
    if kind.startswith("TIMESTAMP"):
        local = f"CAST({column} AS TIMESTAMP)"
        return _zulu(local if zone is None else f"timezone('UTC', timezone({literal(zone)}, {local}))")
    if kind.startswith(("STRUCT", "MAP")) or kind.endswith("]"):
        return f"CAST(to_json({column}) AS VARCHAR)"
    return f"CAST({column} AS VARCHAR)"


def _zulu(utc: str) -> str:
    return f"strftime({utc}, '%Y-%m-%dT%H:%M:%S.%fZ')"


# --- Names -----------------------------------------------------------------------------------------------------------


def _unique(what: str) -> str:
    """A name that no other call uses."""
    return f"{what}_{uuid.uuid4().hex}"
