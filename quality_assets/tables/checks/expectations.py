"""Running a suite of expectations on Parquet files or a small frame, inside DuckDB, and saying what was found.

What is expected is said in `domain/quality/expectations.py`; how Great Expectations is made to run on DuckDB in
`great_expectations.py`, imported where plain SQL (`expectation_screen.py`) cannot say that the whole suite holds.
Data are read from an in-memory database, never from the warehouse: partitions can be validated before they count, and
no lock is taken.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import Dimension, Expectation, Severity
from quality_assets.domain.sql_text import literal
from quality_assets.domain.wording import row_text
from quality_assets.imports import after_imports, before_imports
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import apply_limits
from quality_assets.tables.checks.expectation_screen import BATCH, rows_where_all_hold

if TYPE_CHECKING:
    from types import ModuleType

    import pandas as pd
    import pyarrow as pa

Status = Literal["passed", "failed", "unknown"]

MAX_EXAMPLES = 5
MAX_MESSAGE = 300
_ROWS = Expectation("rows", None, "row_count", {"minimum": 0}, "volume")


@dataclass(frozen=True)
class ExpectationOutcome:
    """What one expectation found. `unknown` means that it could not be evaluated, and says nothing about the data.

    `observed` is the number of rows for `row_count` and of offenders for all else, and `threshold` what it is held
    against; both null where unknown. `unexpected_percent` is of all rows, null where offenders are not rows.
    `examples` are offending values, or records of offending rows: plain JSON types, at most MAX_EXAMPLES.
    """

    name: str
    column: str | None
    status: Status
    observed: float | None
    threshold: float | None
    unexpected_count: int | None
    unexpected_percent: float | None
    examples: tuple[Any, ...]
    description: str
    dimension: Dimension
    severity: Severity
    is_blocking: bool


def run_suite(
    expectations: Sequence[Expectation],
    *,
    table: Table,
    settings: Settings,
    parquet_files: Sequence[str] | None = None,
    frame: pd.DataFrame | pa.Table | None = None,
    query: str | None = None,
) -> list[ExpectationOutcome]:
    """What each of `expectations` finds in `parquet_files` or in `frame`, in their order.

    Exactly one of the two must be given (ValueError else); no files at all means a table without rows. `query` is a
    SELECT over the relation `data` that narrows what is validated. Nothing is cast: columns and types are those that
    the data have. A pandas frame has lost some (dates, and integers with nulls; its NaN are nulls), an Arrow table has
    not. DuckDB keeps within the limits of `settings`. What cannot be evaluated is `unknown` with the reason.
    """
    if (parquet_files is None) == (frame is None):
        raise ValueError("give either parquet_files or frame")

    def prepare(connection: duckdb.DuckDBPyConnection) -> None:
        apply_limits(connection, settings)
        if frame is not None:
            connection.register("frame", frame)
            connection.execute("create table data as select * from frame")
        else:
            connection.execute(f"create view data as {_files_sql(table, parquet_files or ())}")
        connection.execute(f"create view {BATCH} as {query or 'select * from data'}")

    rows_held = _rows_where_all_hold(prepare, expectations)
    if rows_held is not None:
        return [_known(expectation, "passed", 0, (), rows_held) for expectation in expectations]
    gx = push_down()
    try:
        with gx.open_batch(prepare) as batch:
            found = gx.validate(batch, expectations)
            rows = int(gx.explain(batch, _ROWS, 0)["observed_value"])
            return [_outcome(gx, batch, expectation, found.get(expectation.name), rows) for expectation in expectations]
    except gx.ENGINE_ERRORS as error:
        return [_unknown(expectation, str(error)) for expectation in expectations]


def _rows_where_all_hold(
    prepare: Callable[[duckdb.DuckDBPyConnection], None], expectations: Sequence[Expectation]
) -> int | None:
    with duckdb.connect() as connection:
        try:
            prepare(connection)
        except duckdb.Error:
            return None
        return rows_where_all_hold(connection, BATCH, expectations)


@cache
def push_down() -> ModuleType:
    """The module that imports Great Expectations, imported once, when a suite asks for it."""
    # A third of what importing it costs, for distances between distributions that no suite asks for.
    _load_when_used("scipy", "stats")
    before_imports()
    with warnings.catch_warnings():
        # It imports modules that Python 3.11 deprecates.
        warnings.filterwarnings("ignore", message="module 'sre_(constants|parse)'", category=DeprecationWarning)
        from quality_assets.tables.checks import great_expectations as gx_push_down
    after_imports()
    return gx_push_down


def _load_when_used(package: str, module: str) -> None:
    """Let what is imported by `from package import module` from now on be loaded when something of it is asked for."""
    name = f"{package}.{module}"
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None or spec.loader is None:
        return
    spec.loader = importlib.util.LazyLoader(spec.loader)
    waiting = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(waiting)
    setattr(sys.modules[package], module, waiting)


def _files_sql(table: Table, paths: Sequence[str]) -> str:
    if not paths:
        nothing = ", ".join(f'cast(null as {c.type}) as "{c.name}"' for c in table.columns)
        return f"select {nothing} limit 0"
    listed = ", ".join(map(literal, paths))
    return f"select * from read_parquet([{listed}], hive_partitioning = false, union_by_name = true)"


def _outcome(gx: ModuleType, batch: Any, expectation: Expectation, found: Any, rows: int) -> ExpectationOutcome:
    if found is None:
        return _unknown(expectation, "it gave no result")
    problem = _problem(found.exception_info)
    if problem is not None:
        return _unknown(expectation, problem)
    if found.success:
        return _known(expectation, "passed", 0, (), rows)
    offenders, examples = _offenders(expectation, gx.explain(batch, expectation, MAX_EXAMPLES))
    return _known(expectation, "failed", offenders, examples, rows)


def _problem(exception_info: Mapping[str, Any] | None) -> str | None:
    """The message of what was raised, or None: Great Expectations keeps one record, or one per metric."""
    info = exception_info or {}
    records = [info] if "raised_exception" in info else list(info.values())
    return next((str(record["exception_message"]) for record in records if record["raised_exception"]), None)


def _offenders(expectation: Expectation, result: Mapping[str, Any]) -> tuple[int | None, tuple[Any, ...]]:
    """How many offend, and examples. The number is None where the second look failed."""
    match expectation.kind:
        case "row_count":
            return None, ()
        case "columns":
            mismatched = result.get("details", {}).get("mismatched", {})
            names = [f"{how}: {name}" for how, some in mismatched.items() for name in sorted(some)]
            return len(names) or None, tuple(names[:MAX_EXAMPLES])
        case "no_rows":
            records = result.get("details", {}).get("unexpected_rows", [])[:MAX_EXAMPLES]
            return result.get("observed_value"), tuple(_plain(record) for record in records)
    values = [_plain(value) for value in result.get("partial_unexpected_list", []) if value is not None]
    return result.get("unexpected_count"), tuple(dict.fromkeys(values))


def _known(
    expectation: Expectation, status: Status, offenders: int | None, examples: tuple[Any, ...], rows: int
) -> ExpectationOutcome:
    is_row_count = expectation.kind == "row_count"
    is_share = _counted(expectation) == "row" and not is_row_count and rows > 0
    return ExpectationOutcome(
        name=expectation.name,
        column=expectation.column,
        status=status,
        observed=_float(rows if is_row_count else offenders),
        threshold=float(expectation.parameters["minimum"]) if is_row_count else 0.0,
        unexpected_count=offenders,
        unexpected_percent=100 * offenders / rows if is_share and offenders is not None else None,
        examples=examples,
        description=_sentence(expectation, status, offenders, examples, rows),
        dimension=expectation.dimension,
        severity=expectation.severity,
        is_blocking=expectation.is_blocking,
    )


def _unknown(expectation: Expectation, problem: str) -> ExpectationOutcome:
    # The rest of a database's message is the statement, at length.
    reason = problem.strip().partition("\n")[0][:MAX_MESSAGE]
    return ExpectationOutcome(
        name=expectation.name,
        column=expectation.column,
        status="unknown",
        observed=None,
        threshold=None,
        unexpected_count=None,
        unexpected_percent=None,
        examples=(),
        description=f"{expectation.statement}: unknown, it could not be evaluated: {reason}",
        dimension=expectation.dimension,
        severity=expectation.severity,
        is_blocking=expectation.is_blocking,
    )


def _counted(expectation: Expectation) -> str:
    """What an offender is: a row, a key, or a column."""
    return "column" if expectation.kind == "columns" else str(expectation.parameters.get("counted", "row"))


def _sentence(
    expectation: Expectation, status: Status, offenders: int | None, examples: tuple[Any, ...], rows: int
) -> str:
    total = f"{rows:,} row{'' if rows == 1 else 's'}"
    if expectation.kind == "row_count":
        return f"{expectation.statement}: there {'is' if rows == 1 else 'are'} {f'{rows:,}' if rows else 'none'}"
    if status == "passed":
        return f"{expectation.statement}: true of {total}"
    counted = _counted(expectation)
    some = "some" if offenders is None else f"{offenders:,}"
    where = f"in {some} of {total}" if counted == "row" else f"for {some} {counted}{'' if offenders == 1 else 's'}"
    return f"{expectation.statement}: not so {where}{f', e.g. {row_text(examples[0])}' if examples else ''}"


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: what is not a number, text or truth becomes text."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _float(value: int | None) -> float | None:
    return None if value is None else float(value)
