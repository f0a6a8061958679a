"""Running checks: each result goes to monitoring.check_results, each failure to monitoring.alert_events.

What a check asks is in `domain/checks.py` and `domain/expectations.py`; what the orchestrator makes of a result is not
known here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

import duckdb

from quality_assets.clock import after, utc_now
from quality_assets.contracts.monitoring import CHECK_RESULTS
from quality_assets.contracts.table import Table
from quality_assets.domain.events.tables import REPEATED
from quality_assets.domain.quality.check import MADE_AGAIN, Check, Dimension, Severity
from quality_assets.domain.wording import measure_texts, spoken
from quality_assets.stores.repeats import find_repeated
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.alerts import record_alert
from quality_assets.tables.staleness import row_counts

MAX_DATES_NAMED = 5
MAX_NAMED = 3
_NOT_PUBLISHED = "Until it passes nothing new is published; readers keep the last good snapshot."


@dataclass(frozen=True)
class CheckResult:
    """What one check found in one partition (`partition_key` empty where there is none)."""

    asset: str
    check_name: str
    partition_key: str
    dimension: str
    status: str
    severity: str
    is_blocking: bool
    observed: float | None
    threshold: float | None
    unexpected_count: int | None
    description: str
    examples: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a computed check found; `is_passed` None means unknown, and `why` then says what is missing."""

    is_passed: bool | None
    observed: float | None = None
    threshold: float | None = None
    unexpected_count: int | None = None
    examples: Sequence[str] = ()
    why: str = ""


@dataclass(frozen=True)
class ComputedCheck:
    """A question about a whole table that takes more than a query. As `Check` otherwise."""

    table: Table
    name: str
    question: str
    dimension: Dimension
    answer: Callable[[WarehouseSession], Answer]
    severity: Severity = "ERROR"
    is_blocking: bool = False
    finding: str = ""
    unit: str = "row"
    remedy: str = MADE_AGAIN
    needs: str = "there is not enough to compute it from"


def run_computed_check(session: WarehouseSession, check: ComputedCheck) -> list[CheckResult]:
    """Ask `check`; that it cannot be answered, for whatever reason, is unknown."""
    try:
        found = check.answer(session)
    except Exception as error:
        found = Answer(None, why=f"The check itself failed: {error}")
    status = {True: "passed", False: "failed", None: "unknown"}[found.is_passed]
    examples = json.dumps(list(found.examples), ensure_ascii=False) if found.examples else None
    text = _sentence(check, status, found.observed, found.threshold, found.unexpected_count, examples)
    if found.why:
        word = {True: "Yes", False: "No", None: "Unknown"}[found.is_passed]
        text = f"{check.question} {word}: {found.why}"
        text = f"{text.rstrip('.')}. {check.remedy}" if status == "failed" else text
    return [
        CheckResult(
            asset=check.table.qualified_name,
            check_name=check.name,
            partition_key="",
            dimension=check.dimension,
            status=status,
            severity=check.severity,
            # That a computation failed says nothing against the facts, which must not wait for it.
            is_blocking=check.is_blocking and found.is_passed is False,
            observed=found.observed,
            threshold=found.threshold,
            unexpected_count=found.unexpected_count,
            description=text,
            examples=examples,
        )
    ]


def run_check(session: WarehouseSession, check: Check, start: date | None, end: date | None) -> list[CheckResult]:
    """Ask `check` for the event dates from `start` to `end`: one result a partition, in order.

    A query that fails gives one result of status unknown with its message: that a check cannot run says nothing about
    the data, and must not pass for a pass.
    """
    now = utc_now()
    try:
        rows = [row for span in _spans(session, check, start, end) for row in _ask(session, check, *span, now)]
    except duckdb.Error as error:
        blank = CheckResult(
            asset=check.table.qualified_name,
            check_name=check.name,
            partition_key="" if start in (None, date.min) else f"{start}",
            dimension=check.dimension,
            status="unknown",
            severity=check.severity,
            is_blocking=check.is_blocking,
            observed=None,
            threshold=None,
            unexpected_count=None,
            description=f"{check.question} Unknown: the check itself failed: {error}",
        )
        return [blank]
    return [_result(check, *row) for row in rows]


def _ask(
    session: WarehouseSession, check: Check, start: date | None, end: date | None, now: datetime
) -> list[tuple[Any, ...]]:
    if REPEATED in check.sql:
        days = f"(from {check.table.qualified_name} where event_date between $start and $end)"
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
    for day, rows in row_counts(session.connection, check.table, start, end).items():
        if spans and size + rows <= check.rows_at_once:
            spans[-1], size = (spans[-1][0], day), size + rows
        else:
            spans, size = [*spans, (day, day)], rows
    return spans


def _result(
    check: Check,
    partition_key: str,
    is_passed: bool | None,
    observed: float | None,
    threshold: float | None,
    unexpected_count: int | None,
    examples: str | None,
) -> CheckResult:
    status = {True: "passed", False: "failed", None: "unknown"}[is_passed]
    return CheckResult(
        asset=check.table.qualified_name,
        check_name=check.name,
        partition_key=partition_key,
        dimension=check.dimension,
        status=status,
        severity=check.severity,
        is_blocking=check.is_blocking,
        observed=observed,
        threshold=threshold,
        unexpected_count=unexpected_count,
        description=_sentence(check, status, observed, threshold, unexpected_count, examples),
        examples=examples,
    )


def _sentence(
    check: Check | ComputedCheck,
    status: str,
    observed: float | None,
    threshold: float | None,
    unexpected_count: int | None,
    examples: str | None,
) -> str:
    """What was found, in words: of a no what is wrong and what to do about it."""
    if status == "passed":
        return f"{check.question} Yes."
    if status == "unknown":
        return f"{check.question} Unknown: {check.needs}."
    seen, limit = measure_texts(observed, threshold, check.unit)
    found = check.finding.format(observed=seen, threshold=limit) or f"{check.question} No"
    named = [spoken(item).rstrip(".") for item in json.loads(examples)[:MAX_NAMED]] if examples else []
    # Where offenders are what was counted, it can be said how many are not named.
    if named and unexpected_count is not None and observed == unexpected_count > len(named):
        named.append(f"and {unexpected_count - len(named):,} more")
    return f"{found}{': ' if named else ''}{'; '.join(named)}. {check.remedy}".strip()


def record_results(session: WarehouseSession, results: Sequence[CheckResult], run_id: str) -> None:
    """Keep the results, in place of those of the same checks in the same run, and tell about what newly fails."""
    if not results:
        return
    newest = session.connection.execute(
        f"select max(checked_at) from {CHECK_RESULTS.qualified_name} where run_id <> $run_id", {"run_id": run_id}
    ).fetchone()
    now = after(newest[0] if newest else None, utc_now())
    columns = CHECK_RESULTS.column_names
    rows = [
        [run_id if c == "run_id" else now if c == "checked_at" else getattr(result, c) for c in columns]
        for result in results
    ]
    frame = {name: [row[index] for row in rows] for index, name in enumerate(columns)}
    connection = session.connection
    with session.transaction():
        known = _known_failures(connection, run_id, {result.asset for result in results})
        connection.execute(
            f"delete from {CHECK_RESULTS.qualified_name} where run_id = $run_id"
            " and list_contains($checks, asset || ' ' || check_name)",
            {"run_id": run_id, "checks": sorted({f"{r.asset} {r.check_name}" for r in results})},
        )
        _insert(connection, CHECK_RESULTS.qualified_name, frame)
        for alert in _alerts(r for r in results if (r.asset, r.check_name, r.partition_key) not in known):
            record_alert(connection, run_id=run_id, raised_at=now, **alert)


def _known_failures(
    connection: duckdb.DuckDBPyConnection, run_id: str, assets: Collection[str]
) -> set[tuple[str, str, str]]:
    """What failed when another run last asked: people were told then, and are told again once it has passed."""
    rows = connection.execute(
        "select asset, check_name, partition_key"
        f" from {CHECK_RESULTS.qualified_name} where list_contains($assets, asset) and run_id <> $run_id"
        " group by asset, check_name, partition_key having arg_max(status, checked_at) = 'failed'",
        {"run_id": run_id, "assets": list(assets)},
    ).fetchall()
    return set(rows)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, list[object]]) -> None:
    unnested = ", ".join(f'unnest(${name}) as "{name}"' for name in columns)
    connection.execute(f"insert into {table} by name select {unnested}", columns)


def _alerts(results: Iterable[CheckResult]) -> list[dict[str, str]]:
    failing: dict[tuple[str, str], list[CheckResult]] = {}
    for result in results:
        if result.status == "failed":
            failing.setdefault((result.asset, result.check_name), []).append(result)
    return [
        {
            "kind": "check_failure",
            "severity": found[0].severity,
            "subject": f"{asset}: {name}",
            "partition_key": _named([r.partition_key for r in found]),
            "message": _told(found),
        }
        for (asset, name), found in failing.items()
    ]


def _told(found: Sequence[CheckResult]) -> str:
    """The failures of one check as a message: when, what, what to do, what it holds up."""
    last = found[-1]
    when = f"{date.fromisoformat(last.partition_key):%-d %b %Y}: " if last.partition_key else ""
    if len(found) > 1:
        when = f"On {len(found)} days, the last {when}"
    return f"{when}{last.description}{f' {_NOT_PUBLISHED}' if last.is_blocking and last.severity == 'ERROR' else ''}"


def _named(partitions: Sequence[str]) -> str:
    named = ", ".join(sorted(p for p in partitions if p)[:MAX_DATES_NAMED])
    return named + (f" and {len(partitions) - MAX_DATES_NAMED} more" if len(partitions) > MAX_DATES_NAMED else "")


def summarize(results: Sequence[CheckResult]) -> CheckResult:
    """The results of one check over several partitions as one: failed if any failed, unknown if nothing is known."""
    failed = [result for result in results if result.status == "failed"]
    passed = [result for result in results if result.status == "passed"]
    worst = max(failed, key=lambda r: r.unexpected_count or 0) if failed else (passed or list(results))[-1]
    if len(results) == 1:
        return worst
    if failed:
        dates = _named([result.partition_key for result in failed])
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
