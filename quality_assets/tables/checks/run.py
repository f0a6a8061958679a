"""Running checks: each result goes to monitoring.check_results, each failure to the book of alerts.

What a check asks, and what becomes a result, is said in `domain/quality/`; what the orchestrator makes of a result is
not known here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

import duckdb

from quality_assets.clock import after, utc_now
from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.contracts.monitoring import CHECK_RESULTS
from quality_assets.domain.events.tables import REPEATED
from quality_assets.domain.quality.check import Answer, Check
from quality_assets.domain.quality.result import CheckResult, result_of
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.expectation_runs import run_expectations
from quality_assets.tables.faults import named, tell_of_checks
from quality_assets.tables.staleness import row_counts


def run_checks(
    session: WarehouseSession, checks: Sequence[Check], start: date | None, end: date | None
) -> list[list[CheckResult]]:
    """Ask `checks`, all of one subject, for the event dates from `start` to `end`: of each its results, in order.

    What is expected is asked in one pass over the data. That a check cannot be answered, for whatever reason, is a
    result of status unknown with its message: it says nothing about the data, and must not pass for a pass.
    """
    expected = run_expectations(session, [check for check in checks if check.expectations], start, end)
    return [expected[c.name] if c.expectations else run_check(session, c, start, end) for c in checks]


def run_check(
    session: WarehouseSession, check: Check, start: date | None = None, end: date | None = None
) -> list[CheckResult]:
    """Ask one check; as `run_checks` otherwise."""
    if check.expectations:
        return run_expectations(session, [check], start, end)[check.name]
    if check.answer is not None:
        return [result_of(check, _computed(session, check, check.answer))]
    now = utc_now()
    try:
        rows = [row for span in _spans(session, check, start, end) for row in _ask(session, check, *span, now)]
    except duckdb.Error as error:
        failed = Answer(None, why=f"the check itself failed: {error}")
        return [result_of(check, failed, "" if start in (None, date.min) else f"{start}")]
    return [result_of(check, Answer(*found), partition_key) for partition_key, *found in rows]


def _computed(session: WarehouseSession, check: Check, answer: Callable[[WarehouseSession], Answer]) -> Answer:
    try:
        found = answer(session)
    except Exception as error:
        found = Answer(None, why=f"the check itself failed: {error}")
    # That a computation failed says nothing against the facts, which must not wait for it.
    return replace(found, is_blocking=check.is_blocking and found.is_passed is False)


def _ask(
    session: WarehouseSession, check: Check, start: date | None, end: date | None, now: datetime
) -> list[tuple[Any, ...]]:
    if REPEATED in check.sql:
        days = f"(from {check.subject.name} where event_date between $start and $end)"
        find_repeated(session.connection, days, {"start": start, "end": end})
    parameters = {"start": start, "end": end, "now": now}
    return session.connection.execute(
        "select partition_key, is_passed, observed, threshold, unexpected_count, examples"
        f" from ({check.sql}) order by partition_key",
        {name: value for name, value in parameters.items() if f"${name}" in check.sql},
    ).fetchall()


def _spans(
    session: WarehouseSession, check: Check, start: date | None, end: date | None
) -> list[tuple[date | None, date | None]]:
    """The event dates from `start` to `end` in parts of about as many rows as `check` wants at once."""
    if check.rows_at_once is None:
        return [(start, end)]
    spans: list[tuple[date | None, date | None]] = []
    size = 0
    for day, rows in row_counts(session.connection, TABLES_BY_NAME[check.subject.name], start, end).items():
        if spans and size + rows <= check.rows_at_once:
            spans[-1], size = (spans[-1][0], day), size + rows
        else:
            spans, size = [*spans, (day, day)], rows
    return spans


def record_results(session: WarehouseSession, results: Sequence[CheckResult], run_id: str) -> None:
    """Keep the results, in place of those of the same checks in the same run, and tell of what fails."""
    if not results:
        return
    asked = {"run_id": run_id, "checks": sorted({f"{r.asset} {r.check_name}" for r in results})}
    is_before = "run_id = $run_id and list_contains($checks, asset || ' ' || check_name)"
    newest, before = session.connection.execute(
        f"select max(checked_at) filter (run_id <> $run_id), count(*) filter ({is_before})"
        f" from {CHECK_RESULTS.qualified_name}",
        asked,
    ).fetchall()[0]
    now = after(newest, utc_now())
    columns = CHECK_RESULTS.column_names
    rows = [
        [run_id if c == "run_id" else now if c == "checked_at" else getattr(result, c) for c in columns]
        for result in results
    ]
    frame = {name: [row[index] for row in rows] for index, name in enumerate(columns)}
    connection = session.connection
    with session.transaction():
        if before:
            connection.execute(f"delete from {CHECK_RESULTS.qualified_name} where {is_before}", asked)
        _insert(connection, CHECK_RESULTS.qualified_name, frame)
        # Told before it is kept: a kill between the two tells again, of the same run, which counts once.
        standing = _standing_failures(connection, {result.asset for result in results})
        tell_of_checks(session.settings, results, standing, run_id)


def _standing_failures(connection: duckdb.DuckDBPyConnection, assets: Collection[str]) -> dict[tuple[str, str], int]:
    """How many partitions of each check fail as the data stand."""
    rows = connection.execute(
        f"select asset, check_name from {CHECK_RESULTS.qualified_name} where list_contains($assets, asset)"
        " group by asset, check_name, partition_key having arg_max(status, checked_at) = 'failed'",
        {"assets": list(assets)},
    ).fetchall()
    return dict(Counter(rows))


def failing_dates(session: WarehouseSession, asset: str) -> dict[str, dict[str, int]]:
    """The partitions of an asset that fail as the data stand, by check: of each, how much of it is not as expected."""
    rows = session.connection.execute(
        "select check_name, partition_key, coalesce(arg_max(unexpected_count, checked_at), 0)"
        f" from {CHECK_RESULTS.qualified_name} where asset = $asset and partition_key <> ''"
        " group by check_name, partition_key having arg_max(status, checked_at) = 'failed' order by partition_key",
        {"asset": asset},
    ).fetchall()
    found: dict[str, dict[str, int]] = {}
    for check_name, partition_key, unexpected_count in rows:
        found.setdefault(check_name, {})[partition_key] = unexpected_count
    return found


def _insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, list[object]]) -> None:
    unnested = ", ".join(f'unnest(${name}) as "{name}"' for name in columns)
    connection.execute(f"insert into {table} by name select {unnested}", columns)


def summarize(results: Sequence[CheckResult]) -> CheckResult:
    """The results of one check over several partitions as one: failed if any failed, unknown if nothing is known."""
    failed = [result for result in results if result.status == "failed"]
    passed = [result for result in results if result.status == "passed"]
    worst = max(failed, key=lambda r: r.unexpected_count or 0) if failed else (passed or list(results))[-1]
    if len(results) == 1:
        return worst
    if failed:
        dates = named([result.partition_key for result in failed])
        text = f"{len(failed)} of {len(results)} dates fail: {dates}. {worst.description}"
    else:
        text = worst.description
    return replace(worst, description=text, unexpected_count=sum(r.unexpected_count or 0 for r in results))


LATEST_RESULTS_SQL = f"""
select asset, check_name, partition_key, max(checked_at) as checked_at,
  arg_max(dimension, checked_at) as dimension, arg_max(status, checked_at) as status,
  arg_max(severity, checked_at) as severity, arg_max(is_blocking, checked_at) as is_blocking,
  arg_max(unexpected_count, checked_at) as unexpected_count, arg_max(description, checked_at) as description,
  arg_max(run_id, checked_at) as run_id
from {CHECK_RESULTS.qualified_name} group by asset, check_name, partition_key
"""
"""The newest result of each check in each partition: how the data stands now."""
