"""Great Expectations over partitions of a table, as check results: one a dimension of quality and date.

A suite has an expectation a column and rule; people look at a handful of checks, so those of one dimension are one
check, which names whichever fail. It runs over the whole range at once, in one pass; only when something fails it
runs again date by date, so that the failure is laid at the door of its own partition.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import MADE_AGAIN
from quality_assets.domain.quality.expectations import Expectation
from quality_assets.domain.wording import plural
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.expectations import ExpectationOutcome, run_suite
from quality_assets.tables.checks.run import CheckResult
from quality_assets.tables.staleness import row_counts


def check_name(dimension: str) -> str:
    """The name of the check that stands for all expectations of a dimension."""
    return f"expectations_{dimension}"


def dimensions(expectations: Sequence[Expectation]) -> list[str]:
    """The dimensions that a suite speaks of, in order of first mention."""
    return list(dict.fromkeys(expectation.dimension for expectation in expectations))


def run_expectations(
    session: WarehouseSession, table: Table, expectations: Sequence[Expectation], start: date | None, end: date | None
) -> list[list[CheckResult]]:
    """Per dimension of the suite its results for the built dates of `table` from `start` to `end`."""
    if not expectations:
        return []
    days = [day for day, rows in row_counts(session.connection, table, start, end).items() if rows > 0]
    if not days:
        return [[] for _ in dimensions(expectations)]
    whole = _run(session, table, expectations, days[0], days[-1])
    if all(outcome.status == "passed" for outcome in whole):
        by_day = [whole] * len(days)
    else:
        by_day = [_run(session, table, expectations, day, day) for day in days]
    return [
        [_result(table, dimension, outcomes, day) for outcomes, day in zip(by_day, days, strict=True)]
        for dimension in dimensions(expectations)
    ]


def _run(
    session: WarehouseSession, table: Table, expectations: Sequence[Expectation], start: date, end: date
) -> list[ExpectationOutcome]:
    if table.store == "lake":
        files = session.lake.absolute(session.lake.files(table, start, end))
        return run_suite(expectations, table=table, settings=session.settings, parquet_files=files)
    frame = session.connection.sql(
        f"select * from {table.qualified_name} where event_date between $start and $end",
        params={"start": start, "end": end},
    ).to_arrow_table()
    return run_suite(expectations, table=table, settings=session.settings, frame=frame)


def _result(table: Table, dimension: str, outcomes: Sequence[ExpectationOutcome], day: date) -> CheckResult:
    asked = [outcome for outcome in outcomes if outcome.dimension == dimension]
    failed = [outcome for outcome in asked if outcome.status == "failed"]
    unknown = [outcome for outcome in asked if outcome.status == "unknown"]
    status = "failed" if failed else "unknown" if unknown else "passed"
    named = failed or unknown
    text = "; ".join(outcome.description for outcome in named)
    if not named:
        text = f"{plural(len(asked), 'expectation holds', 'expectations hold')}: {dimension} is as the contract says."
    elif failed:
        text = f"{text[:1].upper()}{text[1:]}. {MADE_AGAIN}"
    examples = [example for outcome in failed for example in outcome.examples][:5]
    return CheckResult(
        asset=table.qualified_name,
        check_name=check_name(dimension),
        partition_key=day.isoformat(),
        dimension=dimension,
        status=status,
        severity="ERROR" if any(o.severity == "ERROR" for o in named or asked) else "WARN",
        is_blocking=any(outcome.is_blocking for outcome in named or asked),
        observed=float(len(asked) - len(named)),
        threshold=float(len(asked)),
        unexpected_count=sum(outcome.unexpected_count or 0 for outcome in failed),
        description=text,
        examples=json.dumps(examples, default=str) if examples else None,
    )
