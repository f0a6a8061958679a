"""Great Expectations over partitions of a table, as check results: one a dimension of quality and date.

A suite has an expectation a column and rule; people look at a handful of checks, so those of one dimension are one
check, which names whichever fail. It runs over the whole range at once, in one pass; only when something fails it
runs again date by date, so that the failure is laid at the door of its own partition.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import Answer, Check, Expectation
from quality_assets.domain.quality.result import CheckResult, result_of
from quality_assets.domain.wording import capitalised, plural
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.expectations import ExpectationOutcome, run_suite
from quality_assets.tables.staleness import row_counts


def run_expectations(
    session: WarehouseSession, checks: Sequence[Check], start: date | None, end: date | None
) -> dict[str, list[CheckResult]]:
    """By name of check its results for the built dates from `start` to `end`; all `checks` are of one table."""
    if not checks:
        return {}
    table = TABLES_BY_NAME[checks[0].subject.name]
    expectations = [expectation for check in checks for expectation in check.expectations]
    days = [day for day, rows in row_counts(session.connection, table, start, end).items() if rows > 0]
    if not days:
        return {check.name: [] for check in checks}
    whole = _run(session, table, expectations, days[0], days[-1])
    if all(outcome.status == "passed" for outcome in whole):
        by_day = [whole] * len(days)
    else:
        by_day = [_run(session, table, expectations, day, day) for day in days]
    return {
        check.name: [
            result_of(check, _answer(check, outcomes), day.isoformat())
            for outcomes, day in zip(by_day, days, strict=True)
        ]
        for check in checks
    }


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


def _answer(check: Check, outcomes: Sequence[ExpectationOutcome]) -> Answer:
    asked = [outcome for outcome in outcomes if outcome.dimension == check.dimension]
    failed = [outcome for outcome in asked if outcome.status == "failed"]
    unknown = [outcome for outcome in asked if outcome.status == "unknown"]
    named = failed or unknown
    text = "; ".join(outcome.description for outcome in named)
    if not named:
        holding = plural(len(asked), "expectation holds", "expectations hold")
        text = f"{holding}: {check.dimension} is as the contract says."
    elif failed:
        text = f"{capitalised(text)}. {check.remedy}"
    examples = [example for outcome in failed for example in outcome.examples][:5]
    return Answer(
        False if failed else None if unknown else True,
        observed=float(len(asked) - len(named)),
        threshold=float(len(asked)),
        unexpected_count=sum(outcome.unexpected_count or 0 for outcome in failed),
        examples=json.dumps(examples, default=str) if examples else None,
        statement=text,
        severity="ERROR" if any(o.severity == "ERROR" for o in named or asked) else "WARN",
        is_blocking=any(outcome.is_blocking for outcome in named or asked),
    )
