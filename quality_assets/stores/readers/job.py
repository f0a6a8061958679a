"""One raw log on its way into its table: what its rows are stamped with, and the statements that put them there."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from quality_assets.contracts.sources.events import Source, Sources, match_source, missing_columns
from quality_assets.contracts.sources.model import NoSourceMatches, SourceDisabled
from quality_assets.domain.events.validation import PlainForm, RawColumns, plain_select
from quality_assets.domain.sql_text import identifier
from quality_assets.stores.readers.faults import FileRejected, FileWaits
from quality_assets.stores.readers.records import Record


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

    def source_of(self, header: Sequence[str]) -> Source:
        """The source of a file with this header; FileRejected when there is none."""
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

    def insert_records(self, records: Sequence[Record]) -> None:
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
            self.connection.execute(f"INSERT INTO {self.table} BY NAME SELECT * FROM {identifier(view)}")
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
