"""The raw logs of one load: each read into a table of its own, then judged and counted together."""

from __future__ import annotations

import contextlib
import itertools
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import duckdb

from quality_assets.contracts.events import EVENT_COLUMNS, RAW_LOGS
from quality_assets.contracts.sources.events import Source, Sources, absent_columns
from quality_assets.contracts.sources.model import CsvOptions
from quality_assets.domain.events.json_texts import json_object_sql
from quality_assets.domain.events.validation import (
    ANY_FORM,
    PlainForm,
    RawColumns,
    derived_event_id,
    judged_select,
)
from quality_assets.domain.sql_text import enum_sql, identifier, literal
from quality_assets.stores.file_marks import PARQUET
from quality_assets.stores.readers.delimited import stage_csv
from quality_assets.stores.readers.faults import FileRejected, FileWaits, breaks_database, verdict_on
from quality_assets.stores.readers.job import Job, Staged
from quality_assets.stores.readers.json_lines import as_object_lines, looks_like_json, stage_jsonl
from quality_assets.stores.readers.parquet import parquet_as_json, refuse_joined, stage_parquet
from quality_assets.stores.readers.samples import (
    MAX_DOUBTFUL_SHARE,
    MAX_VALUES,
    RawLog,
    doubtful_share,
    few_valued,
    samples,
)
from quality_assets.stores.readers.text import as_text, head_of, opened, without_wildcards

Format = Literal["csv", "jsonl", "parquet"]

_COLUMNS = {
    "event_date": "DATE",
    "line_number": "BIGINT",
    **{column.name: column.type for column in EVENT_COLUMNS},
    "fields": "VARCHAR[]",
    "raw_row": "VARCHAR",
}


@dataclass(frozen=True)
class StagedFile:
    """What came of one raw log.

    `rows` counts physical records (no header, no blank lines), `good_rows` those without a reason. Event times are
    UTC, over the rows whose time is usable; None when there is none. `dates` are the event dates of its rows, in order.
    `absent_columns` are the contract's that the source maps and the file has not; `vanished_columns` those that it has
    at its beginning only.
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
    absent_columns: tuple[str, ...] = ()
    vanished_columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    """A file whose rows are in its table."""

    file_id: str
    staged: Staged
    format: Format
    compression: str | None
    encoding: str | None
    latest_event_time: datetime
    form: PlainForm

    @property
    def source(self) -> Source:
        return self.staged.source

    @property
    def first_date(self) -> date:
        """Where the rows of a file go of which none has a usable time: never ahead of their arrival."""
        return min(self.source.starts_on, self.latest_event_time.date())

    @property
    def kind(self) -> tuple[str, str, tuple[str, ...], int, int, bool]:
        """What files whose rows are judged alike have in common."""
        columns = self.staged.columns
        ways = len(columns.from_path), columns.within, columns.may_nest
        return self.source.name, self.format, columns.header, *ways


@dataclass
class _Count:
    """What a file's rows add up to."""

    rows: int = 0
    good_rows: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def __add__(self, other: _Count) -> _Count:
        firsts = [time for time in (self.first, other.first) if time is not None]
        lasts = [time for time in (self.last, other.last) if time is not None]
        return _Count(
            self.rows + other.rows,
            self.good_rows + other.good_rows,
            min(firsts, default=None),
            max(lasts, default=None),
        )


class Staging:
    """Files of one load in a scratch database, by the number that each was given; copies are told by these numbers.

    Scratch files (decompressed or recoded text) are written below `scratch`, or where the system keeps such. `known`
    has the values of text columns that took few of them in earlier loads, and is added to.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        sources: Sources,
        scratch: Path | None = None,
        known: dict[str, set[str]] | None = None,
    ) -> None:
        self._connection = connection
        self._sources = sources
        self._scratch = scratch
        self._known = {} if known is None else known
        self._read: dict[int, _Read] = {}
        self._form = ANY_FORM
        self._unlisted: dict[date, set[str]] = {}

    def sample(self, logs: Sequence[RawLog]) -> None:
        """Learn from a sample of the logs what form their rows have, which makes them cheaper to read and to write.

        Worth it for large loads; to be called before they are read. What cannot be read does not matter here.
        """
        with self._workplace() as (cursor, folder), contextlib.suppress(OSError):
            paths = []
            for number, (log, content) in enumerate(samples(logs)):
                paths.append((log, folder / f"sample-{number}"))
                paths[-1][1].write_bytes(content)
            form = replace(ANY_FORM, has_zulu_times=True)
            tables = self._sampled(cursor, paths, form)
            if any(doubtful_share(cursor, table) > MAX_DOUBTFUL_SHARE for table in tables):
                form = ANY_FORM
                _drop(cursor, tables)
                tables = self._sampled(cursor, paths, form)
            values = few_valued(cursor, tables)
            for name, found in values.items():
                # A sample lacks what has become rare.
                both = found | self._known.get(name, set())
                self._known[name] = set(both if len(both) <= MAX_VALUES else found)
            # By a name, which every statement would else have to read the values for.
            types = {name: f"few_{name}" for name in values}
            for name, type_ in types.items():
                cursor.execute(f"CREATE OR REPLACE TYPE {type_} AS {enum_sql(sorted(self._known[name]))}")
            self._form = replace(form, encoded={**form.encoded, **types})
            _drop(cursor, tables)

    def _sampled(
        self, cursor: duckdb.DuckDBPyConnection, paths: Iterable[tuple[RawLog, Path]], form: PlainForm
    ) -> list[str]:
        """The tables of those samples that can be read."""
        tables = []
        for number, (log, path) in enumerate(paths):
            job = self._job(cursor, f"sample_{number}", log, form)
            with contextlib.suppress(FileRejected, FileWaits):
                _stage(job, path, path.parent)
                tables.append(job.table)
        return tables

    def read(self, number: int, log: RawLog) -> None:
        """Read one raw log into its table. Several may be read side by side.

        A file with a header and nothing else is no error: it has 0 rows.

        Raises FileRejected when the file cannot be read as a whole, and FileWaits when that is no fault of its own;
        nothing of it is kept.
        """
        with self._workplace() as (cursor, folder):
            job = self._job(cursor, f"rows_{number}", log, self._form)
            self._read[number] = _stage(job, log.path, folder)
            if self._form != ANY_FORM and doubtful_share(cursor, job.table) > MAX_DOUBTFUL_SHARE:
                # It may hold what the sample did not.
                _drop(cursor, [job.table])
                self._read[number] = _stage(self._job(cursor, job.table, log, ANY_FORM), log.path, folder)

    @contextlib.contextmanager
    def _workplace(self) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
        with (
            self._connection.cursor() as cursor,
            tempfile.TemporaryDirectory(prefix="staging-", dir=self._scratch) as folder,
        ):
            yield cursor, Path(folder)

    def _job(self, cursor: duckdb.DuckDBPyConnection, table: str, log: RawLog, form: PlainForm) -> Job:
        """A job with its table made."""
        columns = ", ".join(f"{identifier(name)} {type_}" for name, type_ in {**_COLUMNS, **form.encoded}.items())
        cursor.execute(f"CREATE TABLE {table} ({columns})")
        return Job(cursor, table, log.file_id, self._sources, log.landing_path, log.arrived_at, log.source_name, form)

    def finish(self, numbers: Collection[int] | None = None) -> dict[int, StagedFile]:
        """Judge the rows that are not plain, of all files or of some; what came of each file."""
        chosen = {number: self._read[number] for number in sorted(self._read if numbers is None else numbers)}
        judged = ", ".join(f"{identifier(column.name)} {column.type}" for column in RAW_LOGS.columns)
        self._connection.execute(f"CREATE OR REPLACE TABLE judged (file_order INTEGER, {judged})")
        plain = self._count_plain(chosen)
        doubtful = [number for number in chosen if (number, None) in plain]
        groups: dict[tuple[str, str, tuple[str, ...], int, int, bool], list[int]] = {}
        for number in doubtful:
            groups.setdefault(chosen[number].kind, []).append(number)
        for group in groups.values():
            self._judge(group)
        counts = {key: count for key, count in plain.items() if key[1] is not None}
        for key, count in self._count_judged().items():
            counts[key] = counts.get(key, _Count()) + count
        by_file: dict[int, dict[date | None, _Count]] = {number: {} for number in chosen}
        for (number, day), count in counts.items():
            by_file[number][day] = count
        # A row without a usable time goes with the first day of its file.
        fallbacks = {
            number: min((day for day in days if day is not None), default=chosen[number].first_date)
            for number, days in by_file.items()
        }
        self._connection.execute(
            "UPDATE judged SET event_date = fallback.event_date FROM"
            " (SELECT unnest($numbers) AS file_order, unnest($dates) AS event_date) AS fallback"
            " WHERE judged.file_order = fallback.file_order AND judged.event_date IS NULL",
            {"numbers": list(fallbacks), "dates": list(fallbacks.values())},
        )
        self._unlisted = self._find_unlisted()
        self._remember_unlisted()
        return {number: _staged_file(read, by_file[number], fallbacks[number]) for number, read in chosen.items()}

    def events_sql(
        self,
        numbers: Iterable[int],
        columns: Sequence[str],
        *,
        within: str | None = None,
        day: date | None = None,
    ) -> str:
        """A query for columns of the good rows of some files; `file_order` gives the file's number.

        `within` is a table of few (file_order, line_number) to which it is confined, without reading all columns.
        `day` confines it to an event date, and text of few values comes as ENUM where that holds all of the day's.
        """
        numbers = list(numbers)
        types = {} if day is None else self._types_on(day, numbers)
        # The date goes into the text, where DuckDB can skip the row groups that lack it.
        of_day = "" if day is None else f" AND event_date = DATE '{day.isoformat()}'"
        parts = [
            f"SELECT {', '.join(self._stamped(number, column, types) for column in columns)} FROM rows_{number}"
            f" WHERE event_date IS NOT NULL{of_day}{self._confined(number, within)}"
            for number in numbers
        ]
        listed = ", ".join(map(str, numbers)) or "NULL"
        selected = ", ".join(_as_type(column, types.get(column)) for column in columns)
        judged = f"SELECT {selected} FROM judged WHERE reasons IS NULL AND file_order IN ({listed}){of_day}"
        if within is not None:
            judged += f" AND (file_order, line_number) IN (SELECT file_order, line_number FROM {within})"
        return " UNION ALL ".join([*parts, judged])

    def _types_on(self, day: date, numbers: Iterable[int]) -> dict[str, str]:
        """The ENUM types of the columns that can be given as such on a day, for the rows of some files."""
        reads = [self._read[number] for number in numbers]
        unlisted = self._unlisted.get(day, set())
        types = {
            name: type_
            for name, type_ in self._form.encoded.items()
            if name not in unlisted and all(name in read.form.encoded for read in reads)
        }
        return {**types, "file_id": enum_sql(sorted({read.file_id for read in reads}))}

    def _find_unlisted(self) -> dict[date, set[str]]:
        """The columns in which a good row of a day has a value that the ENUM lacks."""
        tests = [
            f"bool_or({name} IS NOT NULL AND try_cast({name} AS {type_}) IS NULL)"
            for name, type_ in self._form.encoded.items()
        ]
        rows = self._connection.execute(
            f"SELECT event_date, {', '.join(tests)} FROM judged WHERE reasons IS NULL GROUP BY event_date"
        ).fetchall()
        return {day: set(itertools.compress(self._form.encoded, found)) for day, *found in rows}

    def _remember_unlisted(self) -> None:
        """Add the values that the ENUMs lack to those that later loads know."""
        for name in self._known.keys() & set().union(*self._unlisted.values()):
            values = self._connection.execute(f"SELECT DISTINCT {name} FROM judged WHERE reasons IS NULL").fetchall()
            self._known[name].update(value for (value,) in values if value is not None)

    @staticmethod
    def _confined(number: int, within: str | None) -> str:
        if within is None:
            return ""
        return f" AND line_number IN (SELECT line_number FROM {within} WHERE file_order = {number})"

    def _stamped(self, number: int, column: str, types: Mapping[str, str]) -> str:
        """The SQL of a column in the table of a file, which does not repeat what is the same for all its rows."""
        read = self._read[number]
        file_id = literal(read.file_id)
        special = {
            "file_order": str(number),
            "file_id": _as_type(file_id, types.get("file_id")),
            "event_id": f"coalesce(event_id, {derived_event_id(file_id)})",
        }
        if column in special:
            return f"{special[column]} AS {column}"
        is_text = column not in types and column in read.form.encoded
        return f"{_as_type(column, 'VARCHAR' if is_text else None)} AS {column}"

    def _count_plain(self, chosen: Iterable[int]) -> dict[tuple[int, date | None], _Count]:
        """Per file and event date; None for the rows that are not plain."""
        parts = [
            f"SELECT {number}, event_date, count(*), min(event_time), max(event_time) FROM rows_{number}"
            " GROUP BY event_date"
            for number in chosen
        ]
        rows = self._connection.execute(" UNION ALL ".join(parts)).fetchall() if parts else []
        return {(number, day): _Count(count, count, first, last) for number, day, count, first, last in rows}

    def _count_judged(self) -> dict[tuple[int, date | None], _Count]:
        rows = self._connection.execute(
            "SELECT file_order, event_date, count(*), count(*) - count(reasons), min(event_time), max(event_time)"
            " FROM judged GROUP BY file_order, event_date"
        ).fetchall()
        return {
            (number, day): _Count(count, good, *((first, last) if day else (None, None)))
            for number, day, count, good, first, last in rows
        }

    def _judge(self, numbers: Sequence[int]) -> None:
        """Judge the rows that are not plain of files with the same source and columns."""
        read = self._read[numbers[0]]
        header = read.staged.columns.header
        names = tuple(f"c{index}" for index in range(len(header)))
        arrived = [n for n in range(len(header)) if not 0 <= n - read.staged.columns.own < read.staged.columns.within]
        row = json_object_sql([header[n] for n in arrived], [names[n] for n in arrived])
        columns = RawColumns(
            header=header,
            identifiers=names,
            raw_row=f"coalesce(kept_row, CAST({row} AS VARCHAR))",
            malformed="is_lost",
            repeats_header=read.staged.columns.repeats_header,
            from_path=read.staged.columns.from_path,
            within=read.staged.columns.within,
            may_nest=read.staged.columns.may_nest,
        )
        parts = " UNION ALL ".join(
            f"SELECT {number} AS file_order, {literal(self._read[number].file_id)} AS file_id,"
            f" TIMESTAMP {literal(self._read[number].latest_event_time.isoformat(' '))} AS latest_event_time,"
            f" line_number, fields, raw_row FROM rows_{number} WHERE event_date IS NULL"
            for number in numbers
        )
        fields = ", ".join(f"fields[{index}] AS {name}" for index, name in enumerate(names, 1))
        relation = (
            "(SELECT file_order, file_id, latest_event_time, line_number, raw_row AS kept_row,"
            f" fields IS NULL AS is_lost, {fields} FROM doubtful)"
        )
        query = judged_select(read.source, columns, relation, also=("file_order",))
        # A scan that finds a few rows here and there hands them on a few at a time; the rules cost by the handful.
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE doubtful AS {parts}")
        self._connection.execute(f"INSERT INTO judged BY NAME {query}")


def _drop(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    for table in tables:
        connection.execute(f"DROP TABLE {table}")


def _as_type(sql: str, type_: str | None) -> str:
    return sql if type_ is None else f"CAST({sql} AS {type_})"


def _staged_file(read: _Read, days: dict[date | None, _Count], fallback: date) -> StagedFile:
    total = sum(days.values(), _Count())
    gone = set(read.staged.vanished)
    return StagedFile(
        source=read.source.name,
        format=read.format,
        compression=read.compression,
        encoding=read.encoding,
        rows=total.rows,
        good_rows=total.good_rows,
        first_event_time=total.first,
        last_event_time=total.last,
        dates=tuple(sorted({day or fallback for day in days})),
        absent_columns=absent_columns(read.source, read.staged.present),
        vanished_columns=tuple(
            name
            for name, mapping in read.source.columns.items()
            if set(mapping.from_columns) & gone and gone >= set(mapping.or_from)
        ),
    )


def _stage(job: Job, path: Path, scratch: Path) -> _Read:
    """Read a file into the table of a job, which is dropped if the file is not read.

    Whatever goes wrong is a verdict on this file alone, unless the database went with it.
    """
    try:
        return _read(job, path, scratch)
    except Exception as error:
        if breaks_database(error):
            raise
        _drop(job.connection, [job.table])
        raise verdict_on(error) from error


def _read(job: Job, path: Path, scratch: Path) -> _Read:
    plain, compression = opened(path, scratch)
    head = head_of(plain)
    claimed = job.claimed
    declared = claimed.format if claimed else "auto"
    kind: Format
    encoding = None
    if head.startswith(PARQUET):
        kind = "parquet"
        refuse_joined(plain)
        plain = without_wildcards(plain, scratch)
        if claimed and claimed.explode:
            parquet_as_json(job, plain, scratch / "rows")
            text = as_text(scratch / "rows", head_of(scratch / "rows"), scratch, "utf-8")
            staged = stage_jsonl(job, as_object_lines(text, scratch, claimed))
        else:
            staged = stage_parquet(job, plain)
    elif declared == "parquet":
        raise FileRejected("the file is not Parquet, which its source declares")
    else:
        options = claimed.csv if claimed else CsvOptions()
        text = as_text(plain, head, scratch, options.encoding, options.delimiter)
        encoding = text.encoding
        is_delimited = declared == "csv" or bool(options.pattern)
        if declared == "jsonl" or (not is_delimited and looks_like_json(text.path)):
            kind = "jsonl"
            staged = stage_jsonl(job, as_object_lines(text, scratch, claimed), options.comment)
        else:
            kind = "csv"
            staged = stage_csv(job, text, options)
    latest = job.latest_event_time(staged.source)
    return _Read(job.file_id, staged, kind, compression, encoding, latest, job.form)
