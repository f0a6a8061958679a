"""Write, audit, publish: whether the warehouse may be shown to readers, and showing it.

`snapshots.py` knows how a snapshot is built and swapped in; here it is decided.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from quality_assets.clock import after, utc_now
from quality_assets.contracts.catalog import LAKE_TABLES, may_refuse_publication
from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.facts_with_risk import FEATURE_METRICS_WITH_RISK
from quality_assets.contracts.monitoring import RUN_REPORT
from quality_assets.contracts.ops import PUBLICATIONS
from quality_assets.contracts.pipeline import PIPELINE
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.stores.failures import failures, record_success
from quality_assets.stores.snapshots import Snapshot, current_snapshot, publish, published_fault, record_attempt
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.checks.known import blocking_checks
from quality_assets.tables.checks.run import LATEST_RESULTS_SQL
from quality_assets.tables.exports import is_exported
from quality_assets.tables.failing import NOT_ANSWERED_SINCE
from quality_assets.tables.faults import unless_unreachable
from quality_assets.tables.lake_accounts import lake_faults
from quality_assets.tables.learning import write_releases
from quality_assets.tables.staleness import (
    built_dates,
    contiguous_ranges,
    dates_there,
    is_arrival_unaudited,
    published_fingerprint,
    stale_dates,
    unaudited_by_table,
)

FINGERPRINT_DIGITS = 8
EXPORTED_TABLES = {"feature_metrics.csv": FEATURE_METRICS_WITH_RISK, "feature_daily_trends.csv": FEATURE_DAILY_TRENDS}
MAX_REASONS = 20
MAX_FAULTS_A_TABLE = 3


@dataclass(frozen=True)
class Refusal:
    """Why the warehouse may not be shown as it stands; the last good snapshot stays in force."""

    reasons: tuple[str, ...]


def reasons_against(session: WarehouseSession) -> list[str]:
    """What speaks against publication: half-built dates, and blocking checks that fail or could not be answered.

    Of the facts and of what they are made from only: see `may_refuse_publication`.
    """
    reasons = _losses(session)
    audited = [table for table in PIPELINE.audited if may_refuse_publication(table.qualified_name)]
    for table in audited:
        stale = stale_dates(session.connection, table) if table in PIPELINE.fingerprinted else []
        if stale:
            reasons.append(f"{table.qualified_name} is not built for {_dates_text(stale)}; run `quality run`")
    if is_arrival_unaudited(session.connection):
        reasons.append("what arrived has not been checked since it was read; run `quality run`")
    unaudited = unaudited_by_table(session.connection, audited)
    for name in (table.qualified_name for table in audited):
        if name in unaudited:
            reasons.append(f"{name} has not been checked for {_dates_text(unaudited[name])}; run `quality run`")
    rows = session.connection.execute(
        f"select asset, check_name, count(*), min(nullif(partition_key, '')), any_value(description), any_value(run_id)"
        f" from ({LATEST_RESULTS_SQL} {NOT_ANSWERED_SINCE})"
        " where is_blocking and severity = 'ERROR' and status <> 'passed'"
        " and list_contains($known, [asset, check_name])"
        " group by asset, check_name order by asset, check_name",
        {"known": [list(check) for check in blocking_checks() if may_refuse_publication(check[0])]},
    ).fetchall()
    for asset, check_name, count, first, description, run_id in rows:
        where = f" for {first}" + (f" and {count - 1} more dates" if count > 1 else "") if first else ""
        reasons.append(f"{asset}: {check_name} does not pass{where} (run {run_id[:8]}). {description}")
    return reasons[:MAX_REASONS]


def _losses(session: WarehouseSession) -> list[str]:
    """What readers have, and the warehouse or the lake no longer: to publish would take it from them as well."""
    mend = "`quality doctor --mend` makes it anew from the landing zone"
    shown = current_snapshot(session.settings.published_dir)
    facts = session.connection.execute(f"select count(*) from {FACT_FEATURE_METRICS.qualified_name}").fetchall()[0][0]
    if shown is not None and shown.data_through is not None and not facts:
        return [f"the warehouse is empty, and readers have data through {shown.data_through}; {mend}"]
    reasons = []
    for table in LAKE_TABLES:
        faults = lake_faults(session, table)
        lost = [fault.file for fault in faults if fault.is_gone]
        if lost:
            days = _dates_text(sorted({file.event_date for file in lost}))
            count = len(session.lake.files(table))
            reasons.append(f"{len(lost)} of {count} files of {table.qualified_name} are gone, of {days}; {mend}")
        else:
            reasons += [str(fault) for fault in faults[:MAX_FAULTS_A_TABLE]]
    return reasons


def _dates_text(days: list[date]) -> str:
    ranges = contiguous_ranges(days)
    return ", ".join(_range_text(*each) for each in ranges[:3]) + (" and more" if len(ranges) > 3 else "")


def _range_text(start: date, end: date) -> str:
    return start.isoformat() if start == end else f"{start.isoformat()} to {end.isoformat()}"


def publish_warehouse(session: WarehouseSession, run_id: str) -> Snapshot | Refusal:
    """Publish the warehouse as it stands, or say why not; either way the attempt is recorded.

    The session's connection is checkpointed and closed, since what is copied must not be open: use another one after.
    """
    settings = session.settings
    # The version is named by the second, and two of one name would be one folder.
    now = after(_newest_shown(session), utc_now().replace(microsecond=0))
    reasons = reasons_against(session)
    if reasons:
        record_attempt(settings.published_dir, "refused", attempted_at=now, run_id=run_id, reasons=reasons)
        return Refusal(tuple(reasons))
    connection = session.connection
    fingerprint = published_fingerprint(connection)
    through = connection.execute(f"select max(event_date) from {FACT_FEATURE_METRICS.qualified_name}").fetchone()
    version = f"{now:%Y%m%dT%H%M%S}-{fingerprint[:FINGERPRINT_DIGITS]}"
    snapshot = Snapshot(
        version=version,
        published_at=now,
        data_through=through[0] if through else None,
        run_id=run_id,
        data_fingerprint=fingerprint,
        folder=settings.published_dir / version,
    )
    connection.execute(
        f"insert or replace into {PUBLICATIONS.qualified_name} by name"
        " select $version as version, $now as published_at, $run_id as run_id,"
        " $fingerprint as data_fingerprint, $through as data_through",
        {
            "version": version,
            "now": now,
            "run_id": run_id,
            "fingerprint": fingerprint,
            "through": snapshot.data_through,
        },
    )
    # Where the operations store does not answer, what was copied last stays.
    unless_unreachable(write_releases)(session)
    session.lake.let_go_of_dates(RAW_LOGS, built_dates(connection))
    _forget_failures_of_nothing(session)
    files = {table: [file.path for file in session.lake.files(table)] for table in LAKE_TABLES}
    connection.execute("checkpoint")
    connection.close()
    publish(
        snapshot,
        warehouse=settings.warehouse_path,
        data_dir=settings.data_dir,
        lake_files=files,
        keep=settings.keep_snapshots,
    )
    record_attempt(settings.published_dir, "published", attempted_at=now, run_id=run_id)
    return snapshot


def _forget_failures_of_nothing(session: WarehouseSession) -> None:
    """Of dates that there is nothing of no run succeeds: the failure of one that was asked for them would stay."""
    folder = session.settings.published_dir
    for each in failures(folder):
        if each.start and each.end and not dates_there(session.connection, each.start, each.end):
            record_success(folder, each.asset, (each.start, each.end))


def _newest_shown(session: WarehouseSession) -> datetime | None:
    """When the snapshot in force was published, or what it would show was reported: whichever is later."""
    current = current_snapshot(session.settings.published_dir)
    times = (current.published_at if current else None, _last_reported(session))
    return max((each for each in times if each is not None), default=None)


def is_published(session: WarehouseSession) -> bool:
    """Whether readers have the data that the warehouse holds, and what was last reported of them, as files as well."""
    current = current_snapshot(session.settings.published_dir)
    # A record that was half written is written anew by the next publication.
    if published_fault(session.settings.published_dir) is not None:
        return False
    if current is None or current.data_fingerprint != published_fingerprint(session.connection):
        return False
    # What is written after the swap may have been cut off.
    if not is_exported(current, session.settings.processed_dir, EXPORTED_TABLES):
        return False
    reported_at = _last_reported(session)
    return reported_at is None or reported_at <= current.published_at


def _last_reported(session: WarehouseSession) -> datetime | None:
    row = session.connection.execute(f"select max(reported_at) from {RUN_REPORT.qualified_name}").fetchone()
    return row[0] if row else None
