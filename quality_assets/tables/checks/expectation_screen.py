"""Whether a suite holds altogether, asked in one pass of plain SQL.

Nearly every partition keeps its contract, and Great Expectations costs seconds to import: it is asked only where this
cannot say that all holds, and then says what does not, of how many rows, with examples.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import duckdb

from quality_assets.domain.quality.check import Expectation

BATCH = "batch"
"""The relation that a suite is asked of, in a database of its own."""


def rows_where_all_hold(
    connection: duckdb.DuckDBPyConnection, relation: str, expectations: Sequence[Expectation]
) -> int | None:
    """The number of rows of `relation` where every expectation holds; None where one does not, or cannot be asked."""
    try:
        found = [row[0] for row in connection.execute(f"describe {relation}").fetchall()]
        if any(set(e.parameters["names"]) != set(found) for e in expectations if e.kind == "columns"):
            return None
        questions = ["count(*)", *(text for each in expectations for text in _offending(each, relation))]
        row = connection.execute(f"select {', '.join(questions)} from {relation}", _values(expectations)).fetchone()
    except duckdb.Error:
        return None
    assert row is not None  # an aggregate without GROUP BY has one row
    rows, *offending = row
    is_long_enough = all(rows >= e.parameters["minimum"] for e in expectations if e.kind == "row_count")
    return int(rows) if is_long_enough and not any(offending) else None


def _offending(expectation: Expectation, relation: str) -> Iterator[str]:
    """SQL for the number of offenders, of those kinds that have any; its values are named after the expectation."""
    column, name = f'"{expectation.column}"', expectation.name
    match expectation.kind:
        case "not_null":
            yield f"count(*) filter ({column} is null)"
        case "in_set":
            yield f"count(*) filter (not list_contains(${name}_allowed, {column}))"
        case "in_range":
            for bound, sign in (("minimum", "<"), ("maximum", ">")):
                if expectation.parameters[bound] is not None:
                    yield f"count(*) filter ({column} {sign} ${name}_{bound})"
        case "no_rows":
            yield f"(select count(*) from ({expectation.parameters['query'].format(batch=relation)}))"


def _values(expectations: Sequence[Expectation]) -> dict[str, object]:
    values: dict[str, object] = {}
    for expectation in expectations:
        if expectation.kind == "in_set":
            values[f"{expectation.name}_allowed"] = list(expectation.parameters["allowed"])
        elif expectation.kind == "in_range":
            for bound in ("minimum", "maximum"):
                if expectation.parameters[bound] is not None:
                    values[f"{expectation.name}_{bound}"] = expectation.parameters[bound]
    return values
