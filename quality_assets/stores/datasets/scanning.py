"""The table `batch` of a scratch database as the checks see it: a sample, all rows block by block, repeated rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from quality_assets.domain.quality.datasets.values import Block, Cells, ColumnForm, cells_of
from quality_assets.stores.datasets.loaded import Loaded
from quality_assets.stores.datasets.loading import block_by_block
from quality_assets.stores.datasets.typed_views import number_sql

SMALL_ROWS = 60_000
"""A table of so many rows is its own sample, and its numbers are looked at as they are written."""
SAMPLE_ROWS = 24_000
_BLOCK_ROWS = 8_000
# A column of numbers that takes more values is not looked at value by value in a large table.
_MOST_WRITTEN = 1_000

_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INTEGER",
    "BIGINT",
    "UTINYINT",
    "USMALLINT",
    "UINTEGER",
    "UBIGINT",
    "HUGEINT",
    "FLOAT",
    "DOUBLE",
)


class Scan:
    """One loaded batch. `forms` are how its columns are read, once the sample is drawn."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, loaded: Loaded, known: Mapping[str, ColumnForm]) -> None:
        self._connection = connection
        self.loaded = loaded
        self._types = [row[1] for row in connection.execute("DESCRIBE batch").fetchall()]
        self._known = known
        self.sample = self._drawn()

    @property
    def is_small(self) -> bool:
        """Whether the sample is the table."""
        return _is_small(self.loaded)

    def _drawn(self) -> Block:
        table = _sample(self._connection, self.loaded, "*")
        cells = {
            name: cells_of(table.column(index), self._form_of(name)) for index, name in enumerate(self.loaded.columns)
        }
        if not self.is_small:
            for each in cells.values():
                is_written = each.form.kind == "text" or each.form.number_format is not None
                each.has_text = is_written or len(each.uniques) <= _MOST_WRITTEN
        return Block(table.num_rows, cells)

    def _form_of(self, name: str) -> ColumnForm | None:
        return self._known.get(name)

    def blocks(self) -> Iterator[Block]:
        """All rows."""
        if self.is_small:
            yield self.sample
            return
        columns = self.sample.columns
        selected = []
        for index, name in enumerate(self.loaded.columns):
            cells = columns[name]
            if cells.has_text or cells.form.kind != "number":
                selected.append(f"c{index}")
            else:
                selected += self._number_sql(index, cells.form)
        with block_by_block(self._connection, self.loaded):
            reader = self._connection.sql(f"SELECT {', '.join(selected)} FROM batch").to_arrow_reader(_BLOCK_ROWS)
            for batch in reader:
                yield self._block(batch)

    def _number_sql(self, index: int, form: ColumnForm) -> list[str]:
        name = f"c{index}"
        if self._types[index] in _NUMBERS or self._types[index].startswith("DECIMAL"):
            return [f"CAST({name} AS DOUBLE) AS n{index}", f"NULL::VARCHAR AS t{index}"]
        number = number_sql(name, form)
        return [f"{number} AS n{index}", f"CASE WHEN {number} IS NULL THEN {name} END AS t{index}"]

    def _block(self, batch: pa.RecordBatch) -> Block:
        cells = {}
        for index, name in enumerate(self.loaded.columns):
            form = self.sample.columns[name].form
            if f"c{index}" in batch.schema.names:
                cells[name] = cells_of(batch.column(f"c{index}"), form)
                cells[name].has_text = self.sample.columns[name].has_text
            else:
                cells[name] = _numbers(batch.column(f"n{index}"), batch.column(f"t{index}"), form)
        return Block(batch.num_rows, cells)

    def copied_rows(self) -> int:
        """How many rows say the same as an earlier one."""
        if not self.loaded.rows:
            return 0
        every = ", ".join(f"c{index}" for index in range(len(self.loaded.columns)))
        found = self._connection.execute(
            "SELECT coalesce(sum(n - 1), 0)"
            f" FROM (SELECT count(*) AS n FROM batch GROUP BY hash({every}) HAVING count(*) > 1)"
        ).fetchall()
        return int(found[0][0])

    def repeats(self, key: Sequence[str]) -> int:
        """How many rows have a key that an earlier one has; those without a key are none."""
        places = [f"c{self.loaded.columns.index(name)}" for name in key]
        there = " AND ".join(f"{place} IS NOT NULL" for place in places)
        found = self._connection.execute(
            f"SELECT count(*) - count(DISTINCT ({', '.join(places)})) FROM batch WHERE {there}"
            if len(places) > 1
            else f"SELECT count({places[0]}) - count(DISTINCT {places[0]}) FROM batch"
        ).fetchall()
        return int(found[0][0])


def sampled_column(connection: duckdb.DuckDBPyConnection, loaded: Loaded, name: str) -> Cells | None:
    """The cells of one column in the sample of a loaded batch; None where there is no such column."""
    if name not in loaded.columns:
        return None
    return cells_of(_sample(connection, loaded, f"c{loaded.columns.index(name)}").column(0), None)


def _is_small(loaded: Loaded) -> bool:
    return loaded.rows <= SMALL_ROWS


def _sample(connection: duckdb.DuckDBPyConnection, loaded: Loaded, columns: str) -> pa.Table:
    part = "" if _is_small(loaded) else f" USING SAMPLE reservoir({SAMPLE_ROWS} ROWS) REPEATABLE (1)"
    return connection.sql(f"SELECT {columns} FROM batch{part}").to_arrow_table()


def _numbers(numbers: pa.Array, others: pa.Array, form: ColumnForm) -> Cells:
    """A column of numbers of a large table: the numbers, and the texts of what is none."""
    values = numbers.to_numpy(zero_copy_only=False).astype(float)
    values = np.where(np.isfinite(values), values, np.nan)
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(pc.fill_null(others, "")))
    is_token = pc.is_in(texts, pa.array(sorted(form.missing_tokens))).to_numpy(zero_copy_only=False)
    codes = np.where(np.isnan(values) & is_token, -1, 0)
    cells = Cells(form, codes, [""], np.array([np.nan]), has_text=False)
    cells.__dict__["numbers"] = values
    return cells
