"""The table `batch` of a scratch database as people speak of it: by names of columns, with numbers and times."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from quality_assets.domain.quality.datasets.time_formats import ISO
from quality_assets.domain.quality.datasets.values import Block, ColumnForm
from quality_assets.domain.sql_text import identifier, literal
from quality_assets.stores.datasets.loaded import Loaded

NAMED = "batch_named"
"""The view."""
# Beyond it a whole number is not told apart from its neighbour.
_EXACT = float(1 << 53)


def typed_view(connection: duckdb.DuckDBPyConnection, loaded: Loaded, sample: Block) -> str:
    """Make the view of all rows, and return its name.

    A column of numbers is BIGINT where all of them are whole, else DOUBLE; one of times is TIMESTAMP; what is no number
    or no time in such a column, and what stands for nothing, is null.
    """
    types = [row[1] for row in connection.execute("DESCRIBE batch").fetchall()]
    parts = [_typed(f"c{index}", types[index], sample.columns[name].form) for index, name in enumerate(loaded.columns)]
    numbers = [
        index
        for index, name in enumerate(loaded.columns)
        if types[index] == "VARCHAR" and sample.columns[name].form.kind == "number"
    ]
    whole = _whole(connection, parts, numbers)
    columns = [
        f"{f'CAST({part} AS BIGINT)' if index in whole else part} AS {identifier(name)}"
        for index, (name, part) in enumerate(zip(loaded.columns, parts, strict=True))
    ]
    connection.execute(f"CREATE OR REPLACE VIEW {NAMED} AS SELECT {', '.join(columns)} FROM batch")
    return NAMED


def _typed(column: str, physical: str, form: ColumnForm) -> str:
    if physical != "VARCHAR":
        return column
    tokens = ", ".join(literal(token) for token in sorted(form.missing_tokens))
    text = f"CASE WHEN lower(trim({column})) IN ({tokens}) THEN NULL ELSE {column} END"
    if form.kind == "number":
        return number_sql(column, form)
    if form.kind != "time" or form.time_format is None:
        return text
    times = ", ".join(_time_sql(column, each) for each in (form.time_format, *form.other_time_formats))
    return f"coalesce({times})" if form.other_time_formats else times


def number_sql(column: str, form: ColumnForm) -> str:
    """An expression for the numbers of a column of texts, as the checks read them."""
    text = f"trim({column})"
    return f"TRY_CAST({text} AS DOUBLE)" if form.number_format is None else form.number_format.sql(text)


def _time_sql(column: str, time_format: str) -> str:
    if time_format == ISO:
        return f"TRY_CAST(trim({column}) AS TIMESTAMP)"
    return f"CAST(TRY_STRPTIME(trim({column}), {literal(time_format)}) AS TIMESTAMP)"


def _whole(connection: duckdb.DuckDBPyConnection, parts: list[str], numbers: Sequence[int]) -> set[int]:
    """The places of numbers read from text that are all whole."""
    if not numbers:
        return set()
    asked = ", ".join(f"count(*) FILTER (x{i} <> round(x{i}) OR abs(x{i}) > {_EXACT:.0f})" for i in numbers)
    given = ", ".join(f"{parts[i]} AS x{i}" for i in numbers)
    row = connection.execute(f"SELECT {asked} FROM (SELECT {given} FROM batch)").fetchone()
    assert row is not None  # an aggregate without GROUP BY has one row
    return {index for index, others in zip(numbers, row, strict=True) if not others}
