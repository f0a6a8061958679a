"""What has to be built anew because its checks do not pass: what `quality run` does beside what is stale."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

import duckdb

from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import Subject
from quality_assets.stores.failures import failures
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.known import blocking_checks
from quality_assets.tables.checks.run import LATEST_RESULTS_SQL
from quality_assets.tables.models import RISK_MODEL
from quality_assets.tables.staleness import dates_not_over, dates_there

ARRIVAL_TABLES = PIPELINE.of_stages("arrival")
DAY_TABLES = PIPELINE.of_stages("days")
SCORING_TABLES = PIPELINE.of_stages("model_inputs", "scoring", "report")
TRAINING_TABLES: tuple[Table | Subject, ...] = (*PIPELINE.of_stages("training"), RISK_MODEL)

# That a check could not be answered for a whole table is answered by its next run for any date.
NOT_ANSWERED_SINCE = """
qualify partition_key <> '' or max(checked_at) = max(max(checked_at)) over (partition by asset, check_name)
"""


def failing_partitions(
    connection: duckdb.DuckDBPyConnection, tables: Collection[Table | Subject]
) -> set[tuple[str, str]]:
    """Table and partition of every blocking check that does not pass as the data stand; '' where it has none."""
    names = _names(tables)
    known = [list(check) for check in blocking_checks() if check[0] in names]
    rows = connection.execute(
        f"select distinct asset, partition_key from ({LATEST_RESULTS_SQL} {NOT_ANSWERED_SINCE})"
        " where is_blocking and severity = 'ERROR' and status <> 'passed'"
        " and list_contains($known, [asset, check_name])",
        {"known": known},
    ).fetchall()
    return set(rows)


def failing_dates(connection: duckdb.DuckDBPyConnection, tables: Collection[Table | Subject]) -> list[date]:
    """The event dates on which a blocking check of one of `tables` does not pass, ascending; those that wait left out.

    Of a check that is of no date, the last date with facts: whatever date is built asks it again.
    """
    found = failing_partitions(connection, tables)
    days = {date.fromisoformat(key) for _, key in found if key}
    if any(not key for _, key in found):
        (last,) = connection.execute(f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}").fetchall()[0]
        days |= {last} if last else set()
    return sorted(days - dates_not_over(connection).keys())


def dates_to_build_anew(session: WarehouseSession, tables: Collection[Table | Subject]) -> set[date]:
    """The event dates for which one of `tables` fails a blocking check, or ended with an error when it was built."""
    return {*failing_dates(session.connection, tables), *_failed_dates(session, tables)}


def _failed_dates(session: WarehouseSession, tables: Collection[Table | Subject]) -> set[date]:
    """The event dates for which one of `tables` ended with an error when it was last built, however it stands now."""
    names = _names(tables)
    failed = [each for each in failures(session.settings.published_dir) if each.asset in names]
    return {
        day
        for each in failed
        if each.start is not None and each.end is not None
        for day in dates_there(session.connection, each.start, each.end)
    } - dates_not_over(session.connection).keys()


def _has_failed(session: WarehouseSession, tables: Collection[Table | Subject]) -> bool:
    names = _names(tables)
    return any(failure.asset in names for failure in failures(session.settings.published_dir))


def _names(tables: Collection[Table | Subject]) -> set[str]:
    return {table.qualified_name if isinstance(table, Table) else table.name for table in tables}


def must_score_again(session: WarehouseSession) -> bool:
    """Whether something fails that scoring makes (incidents, labels, scores, drift, the report), or training."""
    fails = _has_failed(session, SCORING_TABLES) or failing_partitions(session.connection, SCORING_TABLES)
    return bool(fails) or must_train_again(session)


def must_train_again(session: WarehouseSession) -> bool:
    """Whether training ended with an error when it was last tried, or a check on what it makes fails."""
    return _has_failed(session, TRAINING_TABLES) or bool(failing_partitions(session.connection, TRAINING_TABLES))


def must_read_again(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether the checks on what arrived fail, so that reading is to be tried, and checked, again."""
    return bool(failing_partitions(connection, ARRIVAL_TABLES))
