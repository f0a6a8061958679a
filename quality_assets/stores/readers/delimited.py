"""Delimited text: CSV and its kin, parsed by DuckDB, and reconciled with the physical lines of the file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from duckdb.func import PythonUDFType

from quality_assets.contracts.sources.events import Source
from quality_assets.contracts.sources.model import NO_QUOTE, CsvOptions, find_columns
from quality_assets.contracts.sources.paths import steps_of
from quality_assets.domain.events.json_paths import json_text_sql
from quality_assets.domain.events.validation import RawColumns
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.stores.readers.headers import DELIMITERS, dialect_of, has_comments, how_else, w3c_fields
from quality_assets.stores.readers.job import Job, Staged, unique
from quality_assets.stores.readers.records import (
    MAX_LINE_BYTES,
    MAX_RECORD_LINES,
    Dialect,
    Line,
    LineIndex,
    batches,
    lines_of,
    records_of,
)
from quality_assets.stores.readers.text import HEAD_BYTES, MAX_NUL_LINES, Int64Array, Text, head_of


def stage_csv(job: Job, text: Text, options: CsvOptions) -> Staged:
    """Stage a file of delimited text."""
    dialect = dialect_of(text.path, options, job)
    within = _paths_within(job, dialect.header)
    try:
        source = job.source_of([*dialect.header, *within])
    except FileRejected as error:
        raise FileRejected(f"{error}{how_else(dialect)}") from None
    job.refuse_doubtful(source, dialect.header)
    is_usual = dialect.delimiter in DELIMITERS and dialect.quote in ('"', "'", NO_QUOTE)
    columns = job.with_path_columns(
        source,
        RawColumns(
            header=(*dialect.header, *within),
            identifiers=(*(f"c{index}" for index in range(len(dialect.header))), *within.values()),
            may_hold_nul=text.nul_lines is None,
            blanks=text.blanks if is_usual or text.blanks == "any" else "spaces",
            repeats_header=dialect.repeats_header,
            within=len(within),
        ),
    )
    is_record = _record_test(source, dialect)
    suspect = text.has_long_line or text.bad_utf8 or not dialect.header_is_plain or len(dialect.header) == 1
    has_comments_within = dialect.comment and has_comments(text.path, dialect.comment, dialect.header_line)
    if (
        suspect
        or not dialect.is_standard
        or has_comments_within
        or not _stage_csv_fast(job, text, dialect, source, columns, is_record)
    ):
        job.delete_rows()
        lines = _without_comments(lines_of(text.path, dialect.header_line), dialect)
        for batch in batches(records_of(lines, dialect, is_record)):
            job.insert_records(batch, columns)
    if dialect.repeats_header:
        _refuse_other_header(job, text.path, source, dialect.header)
    return Staged(source, columns, frozenset([*dialect.header, *within, *job.path_values]))


def _refuse_other_header(job: Job, path: Path, source: Source, header: Sequence[str]) -> None:
    """Raise FileRejected where a later line names the columns in another order: rows behind it would be misread.

    One of them may have another name.
    """
    time = find_columns(source.columns["event_time"].from_columns, header)
    names = [header[place].encode() for place in time.values()]
    # A query costs more than a look at a small file, which hardly ever names its columns twice.
    if path.stat().st_size <= HEAD_BYTES and any(head_of(path).count(name) < 2 for name in names):
        return
    # Where a time should be stands a name, and it is not the header again.
    found = job.connection.execute(
        f"SELECT line_number, fields FROM {job.table} WHERE event_date IS NULL"
        " AND list_contains($header, fields[$time]) AND fields[:len($header)] <> $header ORDER BY 1 LIMIT 100",
        {"header": list(header), "time": 1 + min(time.values(), default=0)},
    ).fetchall()
    known = set(header)
    for line, fields in found:
        elsewhere = any(field in known and field != name for field, name in zip(fields, header, strict=False))
        if elsewhere and len(known.intersection(fields)) >= len(header) - 1:
            raise FileRejected(f"from line {line} on its columns are in another order; split it there into two files")


def _paths_within(job: Job, header: Sequence[str]) -> dict[str, str]:
    """The paths of the source that lead into JSON in one of these columns, and the SQL of what is there."""
    found = {}
    for name in job.nested_columns:
        steps = steps_of(name)
        place = find_columns([steps[0].key], header).get(steps[0].key)
        if place is not None and not find_columns([name], header):
            text = f"c{place}"
            json = f"CASE WHEN json_valid({text}) THEN json_object({literal(steps[0].key)}, CAST({text} AS JSON)) END"
            found[name] = json_text_sql(json, steps)
    return found


def _without_comments(lines: Iterable[Line], dialect: Dialect) -> Iterator[Line]:
    """The lines that are no comments. Raises FileRejected where a comment names other columns than the header."""
    for line in lines:
        if dialect.comment is None or not line.text.startswith(dialect.comment):
            yield line
        elif (named := w3c_fields(line.text)) and tuple(named) != dialect.header:
            raise FileRejected(f"from line {line.number} on it has other columns; split it there into two files")


def _record_test(source: Source, dialect: Dialect) -> Callable[[str], bool]:
    """Whether a line is a whole record in itself: all columns are there, and digits where its time should be."""
    if dialect.pattern:
        return dialect.fits
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


def _csv_relation(dialect: Dialect, rejects: str) -> str:
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
    job: Job,
    text: Text,
    dialect: Dialect,
    source: Source,
    columns: RawColumns,
    is_record: Callable[[str], bool],
) -> bool:
    """Stage a CSV file with DuckDB's reader; False when its rows do not account for every line of the file."""
    rejects = unique("rejects")
    try:
        accepted = job.insert(source, columns, _csv_relation(dialect, rejects), path=str(text.path))
        rejected = rejected_records(job, rejects)
    except (duckdb.InvalidInputException, duckdb.IOException, duckdb.ConversionException):
        return False
    finally:
        drop_rejects(job, rejects)
    index = LineIndex(text.path, text.newline_offsets)
    surplus = text.lines - dialect.header_line - accepted - len(rejected)
    blanks: list[int] = []
    stretched: list[tuple[int, int]] = []
    if surplus:
        found = _surplus(job, text, index, dialect, rejected, is_record, surplus)
        if found is None:
            return False
        blanks, stretched = found
    skipped = sorted(rejected + blanks)
    numbering = _Renumbering(dialect.header_line, skipped, stretched)
    place = dict(zip(skipped, numbering.skipped_lines, strict=True))
    # DuckDB's own copy of a rejected line is now and then that of its neighbour: the file has the last word.
    rejected_lines = [place[number] for number in rejected]
    if rejected_lines and rejected_lines[-1] > text.lines:
        return False
    lines = [line for line in index.lines(rejected_lines) if not line.is_blank]
    broken = list(records_of(lines, dialect, is_record))
    if len(broken) != len(lines) or any(record.malformed is None for record in broken):
        return False
    _renumber(job, numbering.steps)
    overfull = _overfull(text, index, dialect, accepted)
    # Behind an open quote DuckDB goes on in the midst of the next line, and takes what is left of it for a row.
    behind = {line.number + 1 for line in lines if line.text.count(dialect.quote) % 2 and line.number < text.lines}
    # Rows with NUL bytes are taken up again as they stand, which spares all others the search for them.
    held = sorted((behind | overfull | set(text.nul_lines or ())) - set(rejected_lines))
    if len(held) > MAX_NUL_LINES:
        return False
    taken_up = [line for line in index.lines(held) if not line.is_blank]
    held = [line.number for line in taken_up]
    again = list(records_of(taken_up, dialect, is_record))
    is_clean = all(record.malformed is None or record.line in overfull for record in again)
    if not is_clean or (held and job.delete_rows(held) != len(held)):
        return False
    for batch in batches([*broken, *again]):
        job.insert_records(batch, columns)
    return True


def _overfull(text: Text, index: LineIndex, dialect: Dialect, accepted: int) -> set[int]:
    """The lines that have a value too many, the last of which is empty.

    DuckDB reads them as if they had none too many: a value with a delimiter in it moves those behind it by one column.
    Where most lines end so, that is how the file is written.
    """
    if dialect.ignores_more or not dialect.delimiter.isascii():
        return set()
    found = index.overfull(dialect.delimiter, dialect.quote, len(dialect.header), dialect.header_line)
    return set() if 2 * len(found) > accepted else set(found.tolist())


def _surplus(
    job: Job,
    text: Text,
    index: LineIndex,
    dialect: Dialect,
    rejected: Sequence[int],
    is_record: Callable[[str], bool],
    surplus: int,
) -> tuple[list[int], list[tuple[int, int]]] | None:
    """Where lines are that are no records: blank ones, or those within quoted values; None when they do not add up."""
    if surplus < 0:
        return None
    inner = index.quoted_ends(dialect.quote)
    if len(inner) == surplus:
        stretched = _stretched_at(index, dialect, rejected, is_record, inner)
        return None if stretched is None else ([], stretched)
    stretched = _stretched(_parsed_values(job, text, dialect), is_record)
    if stretched is None:
        return None
    count = sum(count for _, count in stretched)
    if count == surplus:
        return [], stretched
    blanks = [] if count else _blank_lines(text.path, dialect.header_line)
    return (blanks, []) if len(blanks) == surplus else None


def _stretched_at(
    index: LineIndex, dialect: Dialect, rejected: Sequence[int], is_record: Callable[[str], bool], inner: Int64Array
) -> list[tuple[int, int]] | None:
    """As `_stretched`, from the numbers of the lines that end within quotes."""
    for line in index.lines((inner + 1).tolist()):
        # A value that ends in a blank which the plain test does not know, or one that swallows a record.
        rest = line.text.strip()
        ends_in_blank = rest.startswith(dialect.quote) and not rest.startswith(2 * dialect.quote)
        if line.damage is not None or ends_in_blank or is_record(line.text.rstrip("\r\n")):
            return None
    numbers, counts = np.unique(inner - np.arange(len(inner)), return_counts=True)
    before = np.searchsorted(np.array(rejected, np.int64), numbers)
    is_accepted = not np.isin(numbers, rejected).any() and numbers[0] > dialect.header_line
    if not is_accepted or counts.max() > MAX_RECORD_LINES:
        return None
    accepted = numbers - dialect.header_line - before
    return list(zip(accepted.tolist(), counts.tolist(), strict=True))


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


def _parsed_values(job: Job, text: Text, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """The number and the values of the accepted records that hold line ends, read from the file again."""
    rejects = unique("rejects")
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
        drop_rejects(job, rejects)


def _swallows(value: str, is_record: Callable[[str], bool]) -> bool:
    return any(is_record(line.rstrip("\r")) for line in value.split("\n")[1:])


def _blank_lines(path: Path, after: int) -> list[int]:
    with path.open("rb") as stream:
        return [number for number, line in enumerate(stream, 1) if number > after and not line.strip(b"\r\n")]


def rejected_records(job: Job, rejects: str) -> list[int]:
    """The numbers of the rejected records, counted from the first line of the file as if each were one line."""
    # A record may be rejected for several reasons.
    return sorted({line for (line,) in job.connection.execute(f"SELECT line FROM {identifier(rejects)}").fetchall()})


def drop_rejects(job: Job, rejects: str) -> None:
    """Drop the tables that DuckDB made for rejected records."""
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


def _renumber(job: Job, steps: Sequence[tuple[int, int]]) -> None:
    """Add to each line number what the last step at or before it says."""
    if not steps:
        return
    firsts = np.array([first for first, _ in steps])
    shifts = np.array([0, *(add for _, add in steps)])

    def shifted(lines: pa.ChunkedArray) -> pa.Array:
        numbers = lines.to_numpy()
        return pa.array(numbers + shifts[np.searchsorted(firsts, numbers, side="right")])

    # A binary search per row: a quarter of the cost of joining the steps.
    name = unique("shifted")
    job.connection.create_function(name, shifted, ["BIGINT"], "BIGINT", type=PythonUDFType.ARROW)
    try:
        job.connection.execute(
            f"UPDATE {job.table} SET line_number = {name}(line_number) WHERE line_number >= ?", [steps[0][0]]
        )
    finally:
        job.connection.remove_function(name)
