"""How a check becomes a Dagster asset check: one op an asset, one result a check. Defines no check itself."""

from collections.abc import Iterable, Iterator, Sequence
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
from quality_assets.stores.run_log import RunStep, append_step
from quality_assets.tables.checks.run import record_results, run_checks, summarize
from quality_assets.tables.staleness import record_audited, unaudited_dates


def subject_checks(subject: Subject, checks: Sequence[Check]) -> dg.AssetChecksDefinition:
    """All checks of one subject as one op, so that the warehouse and Great Expectations are opened once."""
    specs = [
        dg.AssetCheckSpec(c.name, asset=asset_key(subject), description=c.question, blocking=c.is_blocking)
        for c in checks
    ]

    @dg.multi_asset_check(name=f"check_{subject.name.replace('.', '_')}", specs=specs, pool=POOL)
    def run(context: dg.AssetCheckExecutionContext, warehouse: WarehouseResource) -> Iterator[dg.AssetCheckResult]:
        start, end = _date_range(context, subject)
        started_at = utc_now()
        with warehouse.open() as session:
            table = TABLES_BY_NAME.get(subject.name)
            is_built = True
            if table is not None and table.catches_up:
                # No run has its dates: it is asked of those that were built since it was asked.
                due = [day for day in unaudited_dates(session.connection, table) if day != date.min]
                start, end, is_built = min(due, default=None), max(due, default=None), bool(due)
            results = run_checks(session, checks, start, end) if is_built else []
            record_results(session, [r for group in results for r in group], context.run.run_id)
            if table is not None:
                record_audited(session.connection, table, start or date.min, end or date.max)
        step = checks_step(context.run.run_id, context.run.job_name, subject.name, results, started_at)
        append_step(warehouse.settings.logs_dir, step)
        for group in results:
            if group:
                yield _asset_check_result(context, subject, group)
        answered = [group[0].check_name for group in results if group]
        yield from _nothing_to_check(subject, specs, answered, is_built=is_built)

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
    tags = context.run.tags
    start = tags.get("dagster/asset_partition_range_start") or tags.get("dagster/partition")
    end = tags.get("dagster/asset_partition_range_end") or start
    return (date.fromisoformat(start) if start else date.min, date.fromisoformat(end) if end else date.max)


def _asset_check_result(
    context: dg.AssetCheckExecutionContext, subject: Subject, group: Sequence[CheckResult]
) -> dg.AssetCheckResult:
    found = summarize(group)
    failing = [result for result in group if result.status == "failed"]
    metadata: dict[str, Any] = {
        "status": found.status,
        "observed": found.observed,
        "threshold": found.threshold,
        "unexpected_count": found.unexpected_count or 0,
        "partitions_checked": len(group),
    }
    if failing and subject.partition_column:
        metadata["failing"] = dg.MetadataValue.table(
            [
                dg.TableRecord(
                    {"event_date": r.partition_key, "unexpected": r.unexpected_count or 0, "examples": r.examples or ""}
                )
                for r in failing[:20]
            ],
            schema=dg.TableSchema(
                [dg.TableColumn("event_date"), dg.TableColumn("unexpected", "int"), dg.TableColumn("examples")]
            ),
        )
    elif found.examples:
        metadata["examples"] = found.examples
    # Unknown never passes for a pass: it shows as a warning, unless not knowing is itself a reason to stop.
    is_unknown_stop = found.status == "unknown" and found.is_blocking
    severity = found.severity if found.status == "failed" or is_unknown_stop else "WARN"
    if found.status == "failed":
        context.log.warning(terminal_text(f"{found.asset}, {found.check_name}: {found.description}"))
    return dg.AssetCheckResult(
        asset_key=asset_key(subject),
        check_name=found.check_name,
        passed=found.status == "passed",
        severity=dg.AssetCheckSeverity(severity),
        # The page of a check draws its description as Markdown.
        description=markdown_text(found.description),
        metadata={name: value for name, value in metadata.items() if value is not None},
    )


def _nothing_to_check(
    subject: Subject, specs: Iterable[dg.AssetCheckSpec], answered: Sequence[str], *, is_built: bool
) -> Iterator[dg.AssetCheckResult]:
    for spec in specs:
        if spec.name not in answered:
            yield dg.AssetCheckResult(
                asset_key=asset_key(subject),
                check_name=spec.name,
                passed=not is_built,
                severity=dg.AssetCheckSeverity.WARN,
                description="Unknown: there is no data in these partitions."
                if is_built
                else "Nothing was built since it was last asked.",
                metadata={"status": "unknown", "partitions_checked": 0},
            )
