"""How a file of delimited text is written, and where its rows begin: told by the file, unless its source says so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from quality_assets.contracts.sources.events import DEFAULT_SOURCE, missing_columns
from quality_assets.contracts.sources.model import CsvOptions, find_columns
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.job import Job
from quality_assets.stores.readers.records import (
    MAX_RECORD_LINES,
    BrokenQuoteError,
    Dialect,
    Line,
    OpenQuoteError,
    lines_of,
    split_record,
    with_told_quotes,
)
from quality_assets.stores.readers.text import CHUNK_BYTES

DELIMITERS = ",;\t|"
# So many lines may stand before the names of the columns.
MAX_TITLE_LINES = 20
# DuckDB plans a statement in the square of them: 20,000 take four seconds, 100,000 ten minutes.
MAX_COLUMNS = 20_000
_LOOKED_AT = 200
# What other systems and editors end lines with, and no parser of CSV does.
_OTHER_LINE_END = re.compile("[\x85\u2028\u2029]")
_IS_A_VALUE = re.compile(r"\s*(\d{4}-\d\d-\d\d|[-+]?\d+([.,]\d+)?\s*$|\d{1,2}[/.]\d{1,2}[/.]\d{2,4})")
# The line that names the columns of a W3C extended log (CloudFront, IIS), and of one of Zeek.
_W3C_FIELDS = re.compile(r"#(Fields:|fields\t)")


def dialect_of(path: Path, options: CsvOptions, job: Job) -> Dialect:
    """The dialect of a file, with a backslash or spaces before quotes where its lines show that.

    Its header is the first line that is not blank, or that which `#Fields:` begins; behind titles, comments and a
    `sep=` line, the first that has all columns that the source needs.
    """
    dialect = _told(path, options, job)
    _refuse_header(dialect.header)
    if not dialect.is_standard:
        return dialect
    return with_told_quotes(dialect, islice(lines_of(path, dialect.header_line), _LOOKED_AT))


def _refuse_header(header: Sequence[str]) -> None:
    """Raise FileRejected for a header that is none, or that nothing can be done with."""
    if len(header) > MAX_COLUMNS:
        raise FileRejected(f"its header has {len(header):,} columns; up to {MAX_COLUMNS:,} are read")
    for name in header:
        if found := _OTHER_LINE_END.search(name):
            raise FileRejected(
                f"its lines end in the character U+{ord(found[0]):04X}, so that all of it is one line. End them in \\n"
            )


def _told(path: Path, options: CsvOptions, job: Job) -> Dialect:
    if options.pattern is not None:
        pattern = re.compile(options.pattern)
        made = _without_header(path, options, tuple(pattern.groupindex))
        return replace(made, pattern=pattern)
    if options.header is not None:
        return _without_header(path, options, options.header)
    first = _sniffed(path, options, job)
    if _has_what_it_takes(first.header, job) and options.comment is None:
        return first
    lines = list(islice(lines_of(path), MAX_TITLE_LINES))
    return (
        _w3c(path, lines, options) or _behind_titles(lines, options, job) or _oddly_parted(path, options, job) or first
    )


def _oddly_parted(path: Path, options: CsvOptions, job: Job) -> Dialect | None:
    """The dialect by a delimiter that is hardly ever one, where it parts all columns that are needed from another."""
    if options.delimiter is not None:
        return None
    (text,) = _header(path, "\0", options).header[:1]
    made = (_header(path, sign, options) for sign in dict.fromkeys(re.findall(r"[^\w\"'.:$@-]", text)))
    return next((dialect for dialect in made if _has_what_it_takes(dialect.header, job)), None)


def how_else(dialect: Dialect) -> str:
    """What may help where no source knows the columns of a header."""
    # Where all of a value is JSON, the line is a row of several values.
    if any('{"' in name and not name.startswith("{") for name in dialect.header):
        return "; lines of JSON behind other text are parted by a `pattern` under `csv`"
    if any(map(_IS_A_VALUE.match, dialect.header)):
        return ". Its first line may be a row already: `header` under `csv` names the columns of a file that does not"
    if len(dialect.header) == 1:
        return ". `delimiter` under `csv` says what parts its values, or `pattern` which part of a line is what"
    return ""


def _has_what_it_takes(header: Sequence[str], job: Job) -> bool:
    source = job.claimed or job.sources.by_name.get(DEFAULT_SOURCE)
    return source is None or not missing_columns(source, [*header, *job.path_values])


def _sniffed(path: Path, options: CsvOptions, job: Job) -> Dialect:
    """The dialect of a file from its header, the first line that is not blank.

    The delimiter is the one that splits off most column names that a source knows, then the one with most columns.
    """
    known = {name for source in job.sources for name in source.source_columns}
    best: tuple[tuple[int, int], Dialect] | None = None
    for delimiter in (options.delimiter,) if options.delimiter else tuple(DELIMITERS):
        dialect = _header(path, delimiter, options)
        score = (len(find_columns(known, dialect.header)), len(dialect.header))
        if best is None or score > best[0]:
            best = (score, dialect)
    assert best is not None
    return best[1]


def _header(path: Path, delimiter: str, options: CsvOptions) -> Dialect:
    parts: list[str] = []
    for line in lines_of(path):
        if line.damage is not None or len(parts) > MAX_RECORD_LINES:
            break
        if not parts and not line.text.strip():
            continue
        parts.append(line.text)
        try:
            fields = split_record("".join(parts).rstrip("\r\n"), delimiter, options.quote)
        except OpenQuoteError:
            continue
        except BrokenQuoteError:
            fields = parts[0].rstrip("\r\n").split(delimiter)
        return _made(fields, line.number, delimiter, options, header_is_plain=len(parts) == 1)
    raise FileRejected("the first line, which should name the columns, cannot be read")


def _made(
    header: Sequence[str],
    line: int,
    delimiter: str,
    options: CsvOptions,
    *,
    comment: str | None = None,
    header_is_plain: bool = True,
    repeats_header: bool = True,
) -> Dialect:
    spaced = re.compile(f" +{re.escape(options.quote)}(.*){re.escape(options.quote)} *", re.DOTALL)
    return Dialect(
        delimiter,
        options.quote,
        tuple(match[1] if (match := spaced.fullmatch(name)) else name for name in header),
        line,
        header_is_plain=header_is_plain,
        comment=options.comment or comment,
        brackets=options.brackets,
        ignores_more=options.ignore_more,
        repeats_header=repeats_header,
        escape=options.escape,
    )


def _without_header(path: Path, options: CsvOptions, header: Sequence[str]) -> Dialect:
    """The dialect of a file whose source names the columns: rows begin behind the comments at its top, if any."""
    first, before = _first_row(path, options.comment)
    counts = {delimiter: first.count(delimiter) for delimiter in DELIMITERS}
    delimiter = options.delimiter or max(counts, key=lambda key: counts[key])
    return _made(header, before, delimiter, options, repeats_header=False)


def _first_row(path: Path, comment: str | None) -> tuple[str, int]:
    """The first line that is a row, and how many lines are before it."""
    for line in lines_of(path):
        if line.text.strip() and not (comment and line.text.startswith(comment)):
            return line.text, line.number - 1
    return "", 0


def _w3c(path: Path, lines: Sequence[Line], options: CsvOptions) -> Dialect | None:
    """The dialect of a W3C extended log, which names its columns in a comment and separates values by tab or space."""
    for line in lines:
        if not line.text.startswith("#"):
            return None
        if header := w3c_fields(line.text):
            row, before = _first_row(path, "#")
            is_tabbed = row.count("\t") == len(header) - 1
            delimiter = options.delimiter or ("\t" if is_tabbed else " ")
            begin = max(before, line.number)
            return _made(header, begin, delimiter, options, comment="#", repeats_header=False)
    return None


def w3c_fields(line: str) -> list[str]:
    """The names of the columns in a `#Fields:` line; none in another."""
    found = _W3C_FIELDS.match(line)
    return line[found.end() :].split() if found else []


def _behind_titles(lines: Sequence[Line], options: CsvOptions, job: Job) -> Dialect | None:
    """The dialect by the first of some lines that names all columns that are needed, behind lines that are no rows."""
    separators = [line.text.strip()[4:] for line in lines[:1] if line.text.lower().startswith("sep=")]
    told = options.delimiter or next((text for text in separators if len(text) == 1), None)
    for index, line in enumerate(lines):
        text = line.text.strip("\r\n")
        for delimiter in (told,) if told else tuple(DELIMITERS):
            for header in _splits((text, text.lstrip("# ")), delimiter, options.quote):
                # Where files are put together, a header may have the end of a row before it.
                is_header = _has_what_it_takes(header, job) and not any(map(_IS_A_VALUE.match, header))
                if is_header and not _has_rows(lines[:index], delimiter, options, len(header)):
                    return _made(header, line.number, delimiter, options)
    return None


def _has_rows(lines: Iterable[Line], delimiter: str, options: CsvOptions, width: int) -> bool:
    """Whether some lines may be rows of as many columns, and no titles: a row has a time, a feature and a status."""
    texts = (line.text.strip("\r\n") for line in lines if not _is_comment(line.text, options))
    rows = (fields for text in texts for fields in _splits((text,), delimiter, options.quote))
    return any(len(row) == width and sum(bool(field.strip()) for field in row) >= min(3, width) for row in rows)


def _is_comment(text: str, options: CsvOptions) -> bool:
    return text.startswith(options.comment or "#")


def _splits(texts: Iterable[str], delimiter: str, quote: str) -> Iterator[list[str]]:
    for text in texts:
        try:
            yield split_record(text, delimiter, quote)
        except ValueError:
            continue


def has_comments(path: Path, comment: str, after: int) -> bool:
    """Whether a line behind line `after` begins with the mark of comments."""
    mark = comment.encode()
    with path.open("rb") as stream:
        for _ in range(after):
            stream.readline()
        last = b"\n"
        while chunk := stream.read(CHUNK_BYTES):
            if b"\n" + mark in last + chunk:
                return True
            last = chunk[-len(mark) :]
    return False
