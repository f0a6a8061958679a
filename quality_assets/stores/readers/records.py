"""Lines and records split in Python: for the lines that DuckDB's reader cannot be trusted with."""

from __future__ import annotations

import codecs
import json
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quality_assets.contracts.sources.model import NO_QUOTE
from quality_assets.stores.readers.text import CHUNK_BYTES, Int64Array, chunks

# A longer line is a malformed row; DuckDB's own limit is about the same.
MAX_LINE_BYTES = 2_000_000
# How much of a malformed line is kept.
KEPT_CHARACTERS = 4096
# How far a quoted value may run before its quote counts as never closed.
MAX_RECORD_LINES = 1000
# So much is looked at at a time: what is made of it stays in the cache, and costs a third.
_BLOCK_BYTES = 1 << 18
BATCH_ROWS = 20_000
BATCH_CHARACTERS = 16_000_000


@dataclass(frozen=True)
class Record:
    """One physical record: its fields, or the JSON of what stands in their place when it is malformed."""

    line: int
    fields: list[str | None] | None
    malformed: str | None = None


@dataclass(frozen=True)
class Line:
    """One physical line with its line end; of one that is too long, only the beginning, with its length in bytes."""

    number: int
    text: str
    damage: str | None = None

    @property
    def is_blank(self) -> bool:
        """Whether it holds spaces at most."""
        return self.damage is None and not self.text.strip(" \r\n")


def lines_of(path: Path, after: int = 0) -> Iterator[Line]:
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


class LineIndex:
    """The lines of a file, from the offsets of their ends; where these are not given, they are found when needed."""

    def __init__(self, path: Path, ends: Int64Array | None) -> None:
        self._path = path
        if ends is not None:
            self._ends = ends

    @cached_property
    def _ends(self) -> Int64Array:
        return self._offsets("\n")

    def _offsets(self, character: str) -> Int64Array:
        code = ord(character)
        with self._path.open("rb") as stream:
            return np.concatenate(
                [np.zeros(0, np.int64)]
                + [
                    np.flatnonzero(np.frombuffer(chunk, np.uint8) == code) + number * CHUNK_BYTES
                    for number, chunk in enumerate(chunks(stream))
                ]
            )

    def lines(self, numbers: Sequence[int]) -> Iterator[Line]:
        """The lines with these ascending numbers, from 1."""
        if not numbers:
            return
        with self._path.open("rb") as stream:
            for number in numbers:
                stream.seek(int(self._ends[number - 2]) + 1 if number > 1 else 0)
                raw = stream.readline(MAX_LINE_BYTES)
                yield _line(number, raw, len(raw))

    def quoted_ends(self, quote: str) -> Int64Array:
        """The numbers of the lines that end within quotes, where quotes are used for nothing but values."""
        # Quotes are fewer than lines: they are placed among the line ends, and counted from the first line on.
        quotes = np.bincount(np.searchsorted(self._ends, self._offsets(quote)), minlength=len(self._ends))
        return np.flatnonzero(np.cumsum(quotes)[: len(self._ends)] & 1) + 1

    def overfull(self, delimiter: str, quote: str, columns: int, after: int) -> Int64Array:
        """The numbers of the lines behind line `after` that end in a delimiter and have as many of them as columns.

        Those within quotes do not count. A line that begins within quotes is counted as if it did not.
        """
        found = [np.zeros(0, np.int64)]
        number = 0
        for block, ends in self._blocks():
            starts = np.concatenate(([0], ends[:-1] + 1))
            last = np.maximum(ends - 1, 0)
            last = np.where(block[last] == ord("\r"), np.maximum(last - 1, 0), last)
            ending = (block[last] == ord(delimiter)) & (last >= starts)
            ending[: max(after - number, 0)] = False
            if ending.any():
                ending &= _may_have(block, delimiter, starts, columns)
            if ending.any():
                ending[ending] = _outside_quotes(block, starts[ending], ends[ending], delimiter, quote) >= columns
            found.append(np.flatnonzero(ending) + number + 1)
            number += len(ends)
        return np.concatenate(found)

    def _blocks(self) -> Iterator[tuple[npt.NDArray[np.uint8], Int64Array]]:
        """Some whole lines at a time, with where in them each ends; the last need not end in a newline."""
        with self._path.open("rb") as stream:
            start = first = 0
            while first < len(self._ends):
                behind = max(int(np.searchsorted(self._ends, start + _BLOCK_BYTES)), first + 1)
                stop = int(self._ends[behind - 1]) + 1
                yield np.frombuffer(stream.read(stop - start), np.uint8), self._ends[first:behind] - start
                start, first = stop, behind
            if rest := stream.read():
                yield np.frombuffer(rest, np.uint8), np.array([len(rest)])


def _may_have(block: npt.NDArray[np.uint8], character: str, starts: Int64Array, least: int) -> npt.NDArray[np.bool_]:
    """Whether each line of a block has a character so often, or is so long that it may; none is empty."""
    lengths = np.diff(starts, append=len(block))
    # Added up in bytes a sum costs a quarter.
    counts = np.add.reduceat((block == ord(character)).view(np.uint8), starts, dtype=np.uint8)
    return (counts >= least) | (lengths > np.iinfo(np.uint8).max)


def _outside_quotes(
    block: npt.NDArray[np.uint8], starts: Int64Array, ends: Int64Array, character: str, quote: str
) -> Int64Array:
    """How often a character is in each of these lines of a block, but for what stands within quotes."""
    lengths = ends - starts
    line = np.repeat(np.arange(len(starts)), lengths)
    first = np.cumsum(lengths) - lengths
    text = block[np.arange(len(line)) + (starts - first)[line]]
    quotes = np.flatnonzero(text == ord(quote))
    places = np.flatnonzero(text == ord(character))
    own = line[places]
    before = np.searchsorted(quotes, places) - np.searchsorted(quotes, first)[own]
    return np.bincount(own[before % 2 == 0], minlength=len(starts))


def _line(number: int, raw: bytes, length: int) -> Line:
    while number == 1 and raw.startswith(codecs.BOM_UTF8):
        raw = raw.removeprefix(codecs.BOM_UTF8)
    if length > MAX_LINE_BYTES:
        return Line(number, "", _malformed(raw[:KEPT_CHARACTERS].decode("utf-8", "backslashreplace"), length))
    try:
        return Line(number, raw.decode("utf-8"))
    except UnicodeDecodeError:
        return Line(number, "", _malformed(raw.decode("utf-8", "backslashreplace")))


def _malformed(text: str, length: int | None = None) -> str:
    """What is kept of a record that cannot be split, as JSON; its length too where it is cut."""
    line = text.rstrip("\r\n")
    if length is None and len(line) <= KEPT_CHARACTERS:
        return json.dumps({"line": line}, ensure_ascii=False)
    return json.dumps({"line": line[:KEPT_CHARACTERS], "length": length or len(line)}, ensure_ascii=False)


# What letters stand for behind the sign before a delimiter, where nothing is in quotes.
_ESCAPED = {"0": "\0", "Z": "\x1a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


class BrokenQuoteError(ValueError):
    """Something follows a closing quote that is no delimiter."""


class OpenQuoteError(ValueError):
    """The text ends within a quoted value."""


def split_record(
    text: str, delimiter: str, quote: str, escape: str | None = None, *, spaced: bool = False
) -> list[str]:
    """The fields of one record by RFC 4180; spaces behind a closing quote are let pass, as DuckDB does.

    With `escape`, a quote behind that sign is one of the value, and two of the sign are one. With `spaced`, so are
    spaces before an opening quote. Raises OpenQuoteError or BrokenQuoteError.
    """
    if quote not in text:
        return text.split(delimiter)
    fields = []
    position = 0
    while True:
        if spaced and text.startswith(" ", position):
            begin = next((at for at in range(position, len(text)) if text[at] != " "), position)
            position = begin if text.startswith(quote, begin) else position
        if text.startswith(quote, position):
            value, position = _quoted(text, position + 1, quote, escape)
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
            raise BrokenQuoteError
        position += len(delimiter)


def _quoted(text: str, start: int, quote: str, escape: str | None) -> tuple[str, int]:
    """The value that begins at `start`, behind its quote, and the position behind its closing quote."""
    parts = []
    while True:
        end = text.find(quote, start)
        if end < 0:
            raise OpenQuoteError
        part = text[start:end]
        if escape and (len(part) - len(part.rstrip(escape))) % 2:
            parts += [part[:-1], quote]
            start = end + 1
            continue
        parts.append(part)
        if not text.startswith(quote, end + 1):
            value = "".join(parts)
            return value.replace(2 * escape, escape) if escape else value, end + 1
        parts.append(quote)
        start = end + 2


def split_escaped(text: str, delimiter: str, escape: str) -> list[str]:
    """The fields of one record without quotes, in which a sign stands before each delimiter and line end of a value.

    As databases unload tables (`COPY … TO` of PostgreSQL, `INTO OUTFILE` of MySQL, Redshift, Hive) and data feeds of
    Adobe come: the sign twice is itself, before a letter it may be a control character, and `\\N` is no value. Raises
    OpenQuoteError where the sign stands last.
    """
    fields: list[str] = []
    parts: list[str] = []
    start = 0
    while (place := text.find(escape, start)) >= 0:
        if place + 1 == len(text):
            raise OpenQuoteError
        *whole, begun = text[start:place].split(delimiter)
        for part in whole:
            fields.append("".join((*parts, part)))
            parts = []
        sign, start = text[place + 1], place + 2
        is_none = sign == "N" and not parts and not begun and text[start : start + 1] in ("", delimiter)
        parts += [begun, "" if is_none else _ESCAPED.get(sign, sign)]
    first, *others = text[start:].split(delimiter)
    return [*fields, "".join((*parts, first)), *others]


def split_bracketed(text: str, delimiter: str, quote: str) -> list[str]:
    """The fields of one line of a web server's log: plain, in quotes that a backslash escapes, or in brackets.

    Raises BrokenQuoteError.
    """
    fields = []
    position = 0
    while True:
        opening = text[position : position + 1]
        if opening in ("[", quote) and opening:
            closing = "]" if opening == "[" else quote
            end = text.find(closing, position + 1)
            while end > 0 and opening == quote and text[end - 1] == "\\":
                end = text.find(closing, end + 1)
            if end < 0:
                raise BrokenQuoteError
            fields.append(text[position + 1 : end].replace("\\" + quote, quote))
            position = end + 1
        else:
            end = text.find(delimiter, position)
            end = len(text) if end < 0 else end
            fields.append(text[position:end])
            position = end
        if position >= len(text):
            return fields
        if not text.startswith(delimiter, position):
            raise BrokenQuoteError
        position += len(delimiter)


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written, and where its rows begin."""

    delimiter: str
    quote: str
    header: tuple[str, ...]
    header_line: int
    header_is_plain: bool = True
    comment: str | None = None
    brackets: bool = False
    ignores_more: bool = False
    repeats_header: bool = True
    escape: str | None = None
    """The sign before a quote that is one of the value, where not the quote itself stands there twice; or before a
    delimiter or a line end of the value, where nothing is in quotes."""
    pattern: re.Pattern[str] | None = None
    """What parts a line into its columns, instead of a delimiter."""
    spaced: bool = False
    """Whether spaces stand before opening quotes, as in `"a", "b"`."""

    @property
    def is_standard(self) -> bool:
        """Whether records are split by RFC 4180 alone, as DuckDB splits them too."""
        return not (self.brackets or self.pattern or self.escape or self.spaced)

    @property
    def is_unquoted(self) -> bool:
        """Whether a sign stands before delimiters and line ends in values, and quotes are nothing else."""
        return self.quote == NO_QUOTE and self.escape is not None

    def split(self, text: str) -> list[str]:
        """The fields of one record; see `split_record`, `split_bracketed` and `split_escaped`."""
        if self.pattern is not None:
            match = self.pattern.fullmatch(text)
            return [match[name] or "" for name in self.header] if match else []
        if self.is_unquoted:
            fields = split_escaped(text, self.delimiter, self.escape or "")
        elif self.brackets:
            fields = split_bracketed(text, self.delimiter, self.quote)
        else:
            fields = split_record(text, self.delimiter, self.quote, self.escape, spaced=self.spaced)
        return fields[: len(self.header)] if self.ignores_more else fields

    def fits(self, text: str) -> bool:
        """Whether a line is a record of all columns."""
        try:
            return len(self.split(text)) == len(self.header)
        except ValueError:
            return False


def with_told_quotes(dialect: Dialect, lines: Iterable[Line]) -> Dialect:
    """The dialect with a backslash before quotes within values, as databases export them, or spaces before opening
    quotes, as people write them, where by that some lines tell so."""
    texts = [line.text.rstrip("\r\n") for line in lines if line.damage is None]
    escaped = replace(dialect, escape="\\")
    told = [text for text in texts if "\\" + dialect.quote in text]
    if sum(map(escaped.fits, told)) > sum(map(dialect.fits, told)):
        return escaped
    spaced = replace(dialect, spaced=True)
    told = [text for text in texts if dialect.delimiter != " " and f"{dialect.delimiter} " in text]
    read_otherwise = [text for text in told if spaced.fits(text) and not _is_split_alike(text, spaced, dialect)]
    read_no_more = [text for text in told if dialect.fits(text) and not spaced.fits(text)]
    return spaced if len(read_otherwise) > len(read_no_more) else dialect


def _is_split_alike(text: str, one: Dialect, other: Dialect) -> bool:
    try:
        return one.split(text) == other.split(text)
    except ValueError:
        return False


def records_of(lines: Iterable[Line], dialect: Dialect, is_record: Callable[[str], bool]) -> Iterator[Record]:
    """The records of a CSV file; what cannot be read is one malformed record, and the next line is tried anew.

    A quoted value may span lines. Its quote counts as never closed when what follows breaks the quoting, when the
    record has the wrong number of fields, when one of its lines is a whole record in itself (`is_record`), or when it
    does not end within MAX_RECORD_LINES.
    """
    ahead: deque[Line] = deque()
    source = iter(lines)
    while True:
        line = ahead.popleft() if ahead else next(source, None)
        if line is None:
            return
        text = line.text.rstrip("\r\n")
        if line.damage is not None:
            yield Record(line.number, None, line.damage)
            continue
        if line.is_blank:
            continue
        fields: list[str] | None
        try:
            fields = dialect.split(text)
        except BrokenQuoteError:
            fields = None
        except OpenQuoteError:
            fields = _continued(line, ahead, source, dialect, is_record)
        if fields is None or len(fields) != len(dialect.header):
            yield Record(line.number, None, _malformed(line.text))
        else:
            yield Record(line.number, [field or None for field in fields])


def _continued(
    first: Line, ahead: deque[Line], source: Iterator[Line], dialect: Dialect, is_record: Callable[[str], bool]
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
        if dialect.quote not in line.text and not dialect.is_unquoted:
            continue
        try:
            fields = dialect.split("".join(parts).rstrip("\r\n"))
        except OpenQuoteError:
            continue
        except BrokenQuoteError:
            return None
        if len(fields) != len(dialect.header):
            return None
        for _ in range(index + 1):
            ahead.popleft()
        return fields
    return None


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += sum(len(field or "") for field in record.fields or ()) + len(record.malformed or "")
        if len(batch) >= BATCH_ROWS or size >= BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
