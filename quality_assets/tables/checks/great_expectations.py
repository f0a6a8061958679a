"""Great Expectations on DuckDB: the dialect that it can work with, and the descriptions of a suite as its expectations.

Importing this module imports Great Expectations, which costs seconds and hundreds of megabytes: only
`expectations.py` imports it, when a suite does not hold. What outcomes are made of is said there.
"""

from __future__ import annotations

import atexit
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, cast

import duckdb

# Before the import, which reads it.
os.environ["GX_ANALYTICS_ENABLED"] = "false"

import great_expectations as gx
import great_expectations.expectations as gxe
from duckdb_sqlalchemy import Dialect
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.datasource.fluent.interfaces import Batch
from great_expectations.datasource.fluent.sql_datasource import SQLDatasourceError
from great_expectations.exceptions import GreatExpectationsError
from great_expectations.expectations.registry import get_expectation_impl
from sqlalchemy.dialects import registry
from sqlalchemy.exc import SQLAlchemyError

from quality_assets.domain.quality.check import Expectation
from quality_assets.tables.checks.expectation_screen import BATCH

DIALECT = "quality_duckdb"
ENGINE_ERRORS = (duckdb.Error, SQLAlchemyError, GreatExpectationsError, SQLDatasourceError, OSError)
"""What data that cannot be read, or an engine that cannot read them, raises; anything else is a mistake of ours."""


class PushDownDialect(Dialect):
    """DuckDB without transactions.

    Great Expectations fetches rows after it has given its connection back, which rolls back, and a rollback drops a
    result that DuckDB has not handed over yet. Suites only read, and nothing is lost by not having transactions.
    """

    supports_statement_cache = True

    def do_begin(self, dbapi_connection: Any) -> None:
        """Begin nothing."""

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll nothing back."""

    def do_commit(self, dbapi_connection: Any) -> None:
        """Commit nothing."""


registry.register(DIALECT, __name__, PushDownDialect.__name__)


class UnexpectedRowsCounted(gxe.UnexpectedRowsExpectation):
    """That a query gives no rows, asking for their number only: the stock expectation runs the query twice."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.row_count",)

    def _validate(self, metrics: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        return super()._validate({**metrics, "unexpected_rows_query.table": []}, *args, **kwargs)


@atexit.register
def _forget_great_expectations() -> None:
    """Let its modules go before the interpreter tears DuckDB's down, which else reports them as leaks on stderr."""
    for name in [name for name in sys.modules if name.partition(".")[0] == gx.__name__]:
        del sys.modules[name]


@contextmanager
def open_batch(prepare: Callable[[duckdb.DuckDBPyConnection], None]) -> Iterator[Batch]:
    """The relation `batch` of a fresh in-memory database, made by `prepare`, as Great Expectations sees it."""
    context = gx.get_context(mode="ephemeral", project_config=_project())
    # Named, so that the two engines Great Expectations makes of one source share it; it lives while one is open.
    source = context.data_sources.add_sql("duckdb", connection_string=f"{DIALECT}:///:memory:{uuid.uuid4().hex}")
    engine = source.get_engine()
    try:
        held = engine.raw_connection()
        try:
            prepare(cast(duckdb.DuckDBPyConnection, held.driver_connection))
            definition: BatchDefinition = source.add_table_asset(
                BATCH, table_name=BATCH
            ).add_batch_definition_whole_table(BATCH)
            yield definition.get_batch()
        finally:
            held.close()
    finally:
        source.get_execution_engine().close()
        engine.dispose()


@contextmanager
def open_frame(frame: Any) -> Iterator[Batch]:
    """A pandas frame as Great Expectations sees it: here it asks what its SQL cannot ask, such as patterns."""
    context = gx.get_context(mode="ephemeral", project_config=_project())
    asset = context.data_sources.add_pandas(BATCH).add_dataframe_asset(BATCH)
    yield asset.add_batch_definition_whole_dataframe(BATCH).get_batch({"dataframe": frame})


def ask(batch: Batch, kind: str, parameters: Mapping[str, Any], examples: int) -> ExpectationValidationResult:
    """What an expectation finds that is named as suites name it. Raises whatever its parameters are wrong by."""
    given = {name: value for name, value in parameters.items() if name not in ("batch_id", "result_format")}
    result_format = {"result_format": "SUMMARY", "partial_unexpected_count": examples}
    found: ExpectationValidationResult = batch.validate(
        get_expectation_impl(kind)(**given), result_format=result_format
    )
    return found


def _project() -> DataContextConfig:
    return DataContextConfig(
        analytics_enabled=False,
        progress_bars=ProgressBarsConfig(globally=False),
        # A documentation site would make a temporary folder, and take it away again.
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
    )


def validate(batch: Batch, expectations: Sequence[Expectation]) -> dict[str, ExpectationValidationResult]:
    """Whether each expectation holds, by name: all that can be are one aggregate query, and no values are fetched."""
    suite = gx.ExpectationSuite(name=BATCH, expectations=[_as_gx(e, is_counted=True) for e in expectations])
    found = batch.validate(suite, result_format="BOOLEAN_ONLY")
    return {
        (result.expectation_config.meta or {})["name"]: result for result in found.results if result.expectation_config
    }


def explain(batch: Batch, expectation: Expectation, examples: int) -> Mapping[str, Any]:
    """The `result` of one expectation with its counts and a few offenders, as Great Expectations names them."""
    # COMPLETE would fetch every offending value of a column; of a query it fetches 200 rows at most.
    detail = "COMPLETE" if expectation.kind == "no_rows" else "SUMMARY"
    result_format = {"result_format": detail, "partial_unexpected_count": examples}
    result: Mapping[str, Any] = batch.validate(_as_gx(expectation), result_format=result_format).result
    return result


def _as_gx(expectation: Expectation, *, is_counted: bool = False) -> gxe.Expectation:
    meta: dict[str, Any] = {"meta": {"name": expectation.name}}
    parameters = expectation.parameters
    column = expectation.column or ""
    match expectation.kind:
        case "columns":
            return gxe.ExpectTableColumnsToMatchSet(column_set=list(parameters["names"]), exact_match=True, **meta)
        case "row_count":
            return gxe.ExpectTableRowCountToBeBetween(min_value=parameters["minimum"], **meta)
        case "not_null":
            return gxe.ExpectColumnValuesToNotBeNull(column=column, **meta)
        case "in_set":
            return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(parameters["allowed"]), **meta)
        case "in_range":
            return gxe.ExpectColumnValuesToBeBetween(
                column=column, min_value=parameters["minimum"], max_value=parameters["maximum"], **meta
            )
        case "no_rows":
            kind = UnexpectedRowsCounted if is_counted else gxe.UnexpectedRowsExpectation
            return kind(unexpected_rows_query=parameters["query"], **meta)
