"""One raw log on its way into its table: what its rows are stamped with, and the statements that put them there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa

from quality_assets.contracts.sources.events import DEFAULT_SOURCE, Source, Sources, match_source, missing_columns
from quality_assets.contracts.sources.model import (
    NoSourceMatches,
    SourceDisabled,
    find_columns,
    listed,
    repeated_columns,
)
from quality_assets.contracts.sources.paths import is_nested
from quality_assets.domain.events.validation import PlainForm, RawColumns, plain_select
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.readers.faults import FileRejected, FileWaits
from quality_assets.stores.readers.records import Record

# What Hive and Spark write for a null.
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True)
class Staged:
    """What a reader found: the source, the columns of the rows, and which columns the file has at all.

    `present` has column names as the file or its path writes them, and paths that lead somewhere; `vanished` source
    columns that the file has at its beginning only.
    """

    source: Source
    columns: RawColumns
    present: frozenset[str]
    vanished: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One raw log. `landing_path` is relative to landing/, `arrived_at` UTC without a zone.

    The table has the columns of `plain_select` for rows of `form`.
    """

    connection: duckdb.DuckDBPyConnection
    table: str
    file_id: str
    sources: Sources
    landing_path: str
    arrived_at: datetime
    source_name: str | None
    form: PlainForm

    @property
    def claimed(self) -> Source | None:
        """The source that the name or the path decides, before the file is opened."""
        try:
            if self.source_name is None:
                return self.sources.by_path(self.landing_path)
            return self.sources[self.source_name]
        except SourceDisabled as error:
            raise FileWaits(str(error)) from None
        except NoSourceMatches as error:
            raise FileRejected(str(error)) from None

    @property
    def nested_columns(self) -> tuple[str, ...]:
        """The source columns that may be paths into nested values."""
        source = self.claimed or self.sources.by_name.get(DEFAULT_SOURCE)
        return tuple(name for name in (source.source_columns if source else ()) if is_nested(name))

    @cached_property
    def path_values(self) -> dict[str, str | None]:
        """The columns that the folders of the file say, as in `country=DE/`."""
        folders = [part.partition("=") for part in self.landing_path.split("/")[:-1]]
        values = {unquote(name): unquote(value) for name, is_pair, value in folders if name and is_pair}
        return {name: None if value in ("", HIVE_NULL) else value for name, value in values.items()}

    def has_in_path(self, name: str) -> bool:
        """Whether the folders say a column."""
        return bool(find_columns([name], tuple(self.path_values)))

    def with_path_columns(self, source: Source, columns: RawColumns) -> RawColumns:
        """The columns of a file, and those that its folders say, that its source maps and that it lacks itself."""
        wanted = set(find_columns(source.source_columns, tuple(self.path_values)).values())
        added = {
            name: value
            for index, (name, value) in enumerate(self.path_values.items())
            if index in wanted and not find_columns([name], columns.header)
        }
        if not added:
            return columns
        constants = tuple(f"CAST({'NULL' if v is None else literal(v)} AS VARCHAR)" for v in added.values())
        return replace(
            columns,
            header=(*columns.header, *added),
            identifiers=(*columns.identifiers, *constants),
            from_path=tuple(added.values()),
        )

    def source_of(self, names: Sequence[str]) -> Source:
        """The source of a file with these columns; FileRejected when there is none."""
        return self._source_with([*names, *(name for name in self.path_values if name not in names)])

    @staticmethod
    def refuse_doubtful(source: Source, names: Sequence[str]) -> None:
        """Raise FileRejected where two columns of a file could be the one that the source maps."""
        for name, places in repeated_columns(source.source_columns, names).items():
            raise FileRejected(
                f"two of its columns could be {name!r} of source {source.name!r}: "
                f"{' and '.join(f'number {index + 1} ({listed([names[index]])})' for index in places)}. "
                "Give each a name of its own, and say in the source which is meant"
            )

    def _source_with(self, header: Sequence[str]) -> Source:
        try:
            if self.source_name is None:
                return match_source(self.sources, self.landing_path, header)
            source = self.sources[self.source_name]
        except SourceDisabled as error:
            raise FileWaits(str(error)) from None
        except NoSourceMatches as error:
            raise FileRejected(str(error)) from None
        missing = missing_columns(source, header)
        if missing:
            raise FileRejected(
                f"source {source.name!r} needs columns that the file does not have: {', '.join(missing)}"
            )
        return source

    def latest_event_time(self, source: Source) -> datetime:
        """Later event times are in the future."""
        return self.arrived_at + timedelta(minutes=source.allowed_future_skew_minutes)

    def insert(self, source: Source, columns: RawColumns, relation: str, **parameters: Any) -> int:
        """Append the rows of a raw relation; returns how many."""
        values = {"latest_event_time": self.latest_event_time(source), **parameters}
        statement = f"INSERT INTO {self.table} {plain_select(source, columns, relation, self.form)}"
        return int(self.connection.execute(statement, values).fetchall()[0][0])

    def insert_records(self, records: Sequence[Record], columns: RawColumns) -> None:
        """Append records that were split in Python, to be judged with the rows that are not plain."""
        if not records:
            return
        data = pa.table(
            {
                "line_number": pa.array([record.line for record in records], pa.int64()),
                "fields": pa.array([record.fields for record in records], pa.list_(pa.string())),
                "raw_row": pa.array([record.malformed for record in records], pa.string()),
            }
        )
        view = unique("records")
        self.connection.register(view, data)
        try:
            fields = "fields"
            if added := columns.identifiers[columns.own :]:
                fields = f"CASE WHEN fields IS NOT NULL THEN list_concat(fields, [{', '.join(added)}]) END AS fields"
            named = "".join(f", fields[{n}] AS {name}" for n, name in enumerate(columns.identifiers[: columns.own], 1))
            self.connection.execute(
                f"INSERT INTO {self.table} BY NAME SELECT line_number, {fields}, raw_row"
                f" FROM (SELECT *{named if columns.within else ''} FROM {identifier(view)})"
            )
        finally:
            self.connection.unregister(view)

    def delete_rows(self, lines: Sequence[int] | None = None) -> int:
        """Take back what was staged, or the rows of some lines; returns how many."""
        where = "" if lines is None else " WHERE list_contains($lines, line_number)"
        parameters = {} if lines is None else {"lines": list(lines)}
        return int(self.connection.execute(f"DELETE FROM {self.table}{where}", parameters).fetchall()[0][0])


def unique(what: str) -> str:
    """A name that no other call uses."""
    return f"{what}_{uuid.uuid4().hex}"
