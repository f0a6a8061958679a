"""How a check becomes a Dagster asset check: one op an asset, one result a check. Defines no check itself."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import dagster as dg

from quality_assets.clock import utc_now
from quality_assets.contracts.catalog import TABLES_BY_NAME
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.resources import POOL, WarehouseResource
from quality_assets.domain.escaping import markdown_text, terminal_text
from quality_assets.domain.quality.check import Check, Subject
from quality_assets.domain.quality.result import CheckResult
from quality_assets.domain.wording import plural
from quality_assets.stores.run_log import RunStep, append_step
from quality_assets.tables.checks.run import failing_dates, record_results, run_checks, summarize
from quality_assets.tables.faults import named
from quality_assets.tables.staleness import record_audited, unaudited_dates

MAX_FAILING_SHOWN = 20


def subject_checks(subject: Subject, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """All checks of one subject as one op, so that the warehouse and Great Expectations are opened once.

    Each can be executed by itself as well, as the UI offers.
    """
    specs = [
        dg.AssetCheckSpec(c.name, asset=asset_key(subject), description=c.question, blocking=c.is_blocking)
        for c in checks
    ]

    @dg.multi_asset_check(name=f"check_{subject.name.replace('.', '_')}", specs=specs, pool=POOL, can_subset=True)
    def run(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
        start, end = _date_range(context, subject)
        started_at = utc_now()
        asked = [c for c in checks if dg.AssetCheckKey(asset_key(subject), c.name) in context.selected_asset_check_keys]
        with warehouse.open_kept() as session:
            table = TABLES_BY_NAME.get(subject.name)
            is_built = True
            if table is not None and table.catches_up:
                # No run has its dates: it is asked of those that were built since it was asked.
                due = [day for day in unaudited_dates(session.connection, table) if day != date.min]
                start, end, is_built = min(due, default=None), max(due, default=None), bool(due)
            results = run_checks(session, asked, start, end) if is_built else []
            record_results(session, [r for group in results for r in group], context.run.run_id)
            # What was built counts as checked once all that is asked of it was.
            if table is not None and len(asked) == len(checks):
                record_audited(session.connection, table, start or date.min, end or date.max)
            failing = failing_dates(session, subject.name) if subject.partition_column else {}
        step = checks_step(context.run.run_id, context.run.job_name, subject.name, results, started_at)
        append_step(warehouse.settings.logs_dir, step)
        for group in results:
            if group:
                yield _asset_check_result(context, subject, group, failing.get(group[0].check_name, {}))
        answered = [group[0].check_name for group in results if group]
        yield from _nothing_to_check(subject, [c.name for c in asked], answered, is_built=is_built)

    return run


def checks_step(
    run_id: str, job: str, what: str, results: Sequence[Sequence[CheckResult]], started_at: datetime
) -> RunStep:
    """The checks of one subject as a line of the log of runs: failed where one of them fails, with what these found."""
    found = [summarize(group) for group in results if group]
    failed = [each for each in found if each.status == "failed"]
    dates = sorted({r.partition_key for group in results for r in group if r.partition_key})
    return RunStep(
        run_id=run_id,
        job=job,
        kind="checks",
        what=what,
        dates=(date.fromisoformat(dates[0]), date.fromisoformat(dates[-1])) if dates else None,
        rows=None,
        started_at=started_at,
        finished_at=utc_now(),
        outcome="failed" if failed else "succeeded",
        cause="; ".join(f"{each.check_name}: {each.description}" for each in failed),
    )


def _date_range(context: dg.AssetCheckExecutionContext, subject: Subject) -> tuple[date | None, date | None]:
    if subject.partition_column is None:
        return None, None
    table = TABLES_BY_NAME.get(subject.name)
    # The dates of a run are those of its tables that are built by date; others are made, and checked, whole.
    if table is not None and not table.is_built_by_date:
        return date.min, date.max
    tags = context.run.tags
    start = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    end = tags.get("dagster/asset_partition_range_end") or start
    return (date.fromisoformat(start) if start else date.min, date.fromisoformat(end) if end else date.max)


def _asset_check_result(
    context: dg.AssetCheckExecutionContext, subject: Subject, group: Sequence[CheckResult], standing: Mapping[str, int]
) -> dg.AssetCheckResult:
    """The answer to a check for the dates of this run. `standing`: all dates that fail as the data stand, of this run
    and of others: another date's pass says nothing of theirs, and Dagster shows the last answer only."""
    found = summarize(group)
    failing = [result for result in group if result.status == "failed"]
    others = {day: n for day, n in standing.items() if day not in {result.partition_key for result in group}}
    metadata: dict[str, Any] = {
        "status": found.status,
        "observed": found.observed,
        "threshold": found.threshold,
        "unexpected_count": found.unexpected_count or 0,
        "partitions_checked": len(group),
    }
    if (failing or others) and subject.partition_column:
        metadata["failing"] = _failing_table(failing, others)
    elif found.examples:
        metadata["examples"] = found.examples
    description = found.description
    if others:
        description += f" Failing still, of other runs: {plural(len(others), 'date')}: {named(list(others))}."
    # Unknown never passes for a pass: it shows as a warning, unless not knowing is itself a reason to stop.
    is_unknown_stop = found.status == "unknown" and found.is_blocking
    severity = found.severity if found.status == "failed" or is_unknown_stop else "WARN"
    if found.status == "failed":
        context.log.warning(terminal_text(f"{found.asset}, {found.check_name}: {found.description}"))
    return dg.AssetCheckResult(
        asset_key=asset_key(subject),
        check_name=found.check_name,
        passed=found.status == "passed" and not others,
        severity=dg.AssetCheckSeverity(severity),
        # The page of a check draws its description as Markdown.
        description=markdown_text(description),
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _failing_table(failing: Sequence[CheckResult], others: Mapping[str, int]) -> dg.TableMetadataValue:
    rows: list[dict[str, str | int | float | bool | None]] = [
        {"event_date": r.partition_key, "unexpected": r.unexpected_count or 0, "examples": r.examples or ""}
        for r in failing
    ]
    rows += [{"event_date": day, "unexpected": n, "examples": ""} for day, n in others.items()]
    return dg.MetadataValue.table(
        [dg.TableRecord(row) for row in rows[:MAX_FAILING_SHOWN]],
        schema=dg.TableSchema(
            [dg.TableColumn("event_date"), dg.TableColumn("unexpected", "int"), dg.TableColumn("examples")]
        ),
    )


def _nothing_to_check(
    subject: Subject, names: Iterable[str], answered: Sequence[str], *, is_built: bool
) -> Iterator[dg.AssetCheckResult]:
    for name in names:
        if name not in answered:
            yield dg.AssetCheckResult(
                asset_key=asset_key(subject),
                check_name=name,
                passed=not is_built,
                severity=dg.AssetCheckSeverity.WARN,
                description="Unknown: there is no data in these partitions."
                if is_built
                else "Nothing was built since it was last asked.",
                metadata={"status": "unknown", "partitions_checked": 0},
            )
