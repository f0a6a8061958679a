"""The run report: gathered from the warehouse, kept as a row and as files. What it says is in `domain/reports/run.py`.

A report covers everything since the one before it: reading, building and scoring are runs of their own.
"""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import duckdb
import pandas as pd

from quality_assets.clock import after, utc_now
from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.events import QUARANTINED_EVENTS, VALID_EVENTS
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.ml import MODEL_VERSIONS, RISK_SCORES
from quality_assets.contracts.monitoring import CHECK_RESULTS, RUN_REPORT
from quality_assets.contracts.ops import ASSET_RUNS, PARTITION_STATE
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.reports.run import RunInputs, Step, report_json, report_row, run_report
from quality_assets.domain.reports.run_html import report_html
from quality_assets.settings import Settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.frames import read_frame, replace_rows
from quality_assets.stores.warehouse import WarehouseSession
from quality_assets.tables.drift import last_day
from quality_assets.tables.staleness import data_fingerprint

REPORT_JSON = "run_report.json"
REPORT_HTML = "run_report.html"
_FILES_KNOWN = "files known"
_ALL_TABLES = "all tables"
_BEFORE_ALL = datetime(1970, 1, 1)


def build_run_report(session: WarehouseSession, run_id: str) -> dict[str, Any]:
    """Report on all that happened since the report before: a row of monitoring.run_report, and two files."""
    report = run_report(_inputs(session, run_id))
    replace_rows(session, RUN_REPORT, pd.DataFrame([report_row(report)]), "run_id = $run_id", {"run_id": run_id})
    folder = session.settings.reports_dir
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / REPORT_JSON, report_json(report))
    write_atomically(folder / REPORT_HTML, report_html(report))
    return report


def latest_report(settings: Settings) -> dict[str, Any] | None:
    """The report made last, published or not; None before the first."""
    try:
        found: dict[str, Any] = json.loads((settings.reports_dir / REPORT_JSON).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return found


def is_reported(session: WarehouseSession) -> bool:
    """Whether the newest report speaks of the data as they stand; where there are no data, none need."""
    row = session.connection.execute(
        f"select report from {RUN_REPORT.qualified_name} order by reported_at desc limit 1"
    ).fetchone()
    if row is None:
        return last_day(session) is None
    return bool(json.loads(row[0])["versions"]["data"].get(_ALL_TABLES) == data_fingerprint(session.connection))


def _inputs(session: WarehouseSession, run_id: str) -> RunInputs:
    from quality_assets.tables.champion import code_version

    since, files_before = _last_report(session, run_id)
    ranges = _built_ranges(session, since)
    files = read_frame(
        session,
        "select path, status, reason, source, rows, rows_refused, file_number from"
        f" {LOG_FILES.qualified_name} where file_number > $before order by file_number",
        {"before": files_before},
    )
    known = session.connection.execute(
        f"select coalesce(max(file_number), 0) from {LOG_FILES.qualified_name}"
    ).fetchone()
    return RunInputs(
        run_id=run_id,
        reported_at=after(since, utc_now()),
        data_through=last_day(session),
        files=files,
        valid_rows=_rows_of(session, VALID_EVENTS.qualified_name, ranges),
        quarantined_rows=_rows_of(session, QUARANTINED_EVENTS.qualified_name, ranges),
        reasons=_reasons(session, ranges),
        checks=_checks(session, since),
        steps=_steps(session, since),
        drift=_latest_day(session.connection, DATA_DRIFT.qualified_name),
        incidents=read_frame(session, f"select * from {INCIDENTS.qualified_name}"),
        scores=newest_scores(session.connection),
        model=_model(session),
        data_versions={_ALL_TABLES: data_fingerprint(session.connection), _FILES_KNOWN: str(known[0] if known else 0)},
        code_version=code_version(),
    )


def _last_report(session: WarehouseSession, run_id: str) -> tuple[datetime, int]:
    """When the last report of another run was made, and how many files were known then."""
    row = session.connection.execute(
        f"select reported_at, report from {RUN_REPORT.qualified_name} where run_id <> $run_id"
        " order by reported_at desc limit 1",
        {"run_id": run_id},
    ).fetchone()
    if row is None:
        return _BEFORE_ALL, 0
    return row[0], int(json.loads(row[1])["versions"]["data"].get(_FILES_KNOWN, 0))


def _asset_runs(session: WarehouseSession, since: datetime) -> pd.DataFrame:
    return read_frame(
        session,
        f"select * from {ASSET_RUNS.qualified_name} where started_at > $since order by started_at, asset",
        {"since": since},
    )


def _steps(session: WarehouseSession, since: datetime) -> list[Step]:
    """One a computation: tables made together took their time once. What was repeated ended as it did last."""
    steps: dict[tuple[str, str], Step] = {}
    for _, rows in _asset_runs(session, since).groupby(["run_id", "started_at", "partition_key"], sort=False):
        name, key = ", ".join(rows["asset"]), str(rows["partition_key"].iloc[0])
        steps[name, key] = Step(
            name=name,
            seconds=float(rows["duration_s"].max()),
            is_success=bool((rows["status"] == "succeeded").all()),
            partitions=[day.isoformat() for day in _days(key)],
        )
    return list(steps.values())


def _days(partition_key: str) -> list[date]:
    if not partition_key:
        return []
    start, _, end = partition_key.partition("...")
    first, last = date.fromisoformat(start), date.fromisoformat(end or start)
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def _built_ranges(session: WarehouseSession, since: datetime) -> list[date]:
    """The event dates whose events were built."""
    runs = _asset_runs(session, since)
    built = runs[(runs["asset"] == VALID_EVENTS.qualified_name) & (runs["status"] == "succeeded")]
    return sorted({day for key in built["partition_key"] for day in _days(key)})


def _rows_of(session: WarehouseSession, table: str, days: list[date]) -> int:
    row = session.connection.execute(
        f"select coalesce(sum(row_count), 0) from {PARTITION_STATE.qualified_name}"
        " where table_name = $table and list_contains($days, event_date)",
        {"table": table, "days": days},
    ).fetchone()
    return int(row[0]) if row else 0


def _reasons(session: WarehouseSession, days: list[date]) -> pd.DataFrame:
    if not days:
        return pd.DataFrame({"reason": [], "rows": []})
    return read_frame(
        session,
        "select reason, count(*) as rows from (select unnest(reasons) as reason from"
        f" {QUARANTINED_EVENTS.qualified_name} where event_date between $first and $last"
        " and list_contains($days, event_date)) group by all",
        {"first": days[0], "last": days[-1], "days": days},
    )


def _checks(session: WarehouseSession, since: datetime) -> pd.DataFrame:
    """One row a check: failed where it failed on any date, unknown only where nothing is known."""
    rows = read_frame(
        session,
        f"""
with latest as (
  select * from {CHECK_RESULTS.qualified_name} where checked_at > $since
  qualify row_number() over (partition by asset, check_name, partition_key order by checked_at desc) = 1
)
select asset, check_name,
  case when bool_or(status = 'failed') then 'failed' when bool_or(status = 'passed') then 'passed' else 'unknown' end
    as status,
  any_value(severity) as severity, any_value(is_blocking) as is_blocking,
  count(*) filter (where status = 'failed') as failed_dates,
  min(partition_key) filter (where status = 'failed') as first_date,
  max(partition_key) filter (where status = 'failed') as last_date,
  arg_max(observed, told) as observed, arg_max(threshold, told) as threshold, arg_max(description, told) as description
from (select *, concat_ws(' ', status = 'failed', partition_key) as told from latest)
group by asset, check_name order by asset, check_name
""",
        {"since": since},
    )
    rows["partition_key"] = [
        "" if not n or not first else first if n == 1 else f"{n} dates, {first} to {last}"
        for n, first, last in zip(rows["failed_dates"], rows["first_date"].fillna(""), rows["last_date"], strict=True)
    ]
    return rows


def _latest_day(connection: duckdb.DuckDBPyConnection, table: str) -> pd.DataFrame:
    rows = connection.execute(f"select * from {table} where event_date = (select max(event_date) from {table})").df()
    return rows.assign(event_date=rows["event_date"].dt.date)


def newest_scores(connection: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    """The scores of the last scored day by the newest model; no rows before the first."""
    scores = _latest_day(connection, RISK_SCORES.qualified_name)
    order = pd.to_numeric(scores["model_version"], errors="coerce").fillna(-1)
    return scores[order == order.max()] if len(scores) else scores


def _model(session: WarehouseSession) -> dict[str, Any] | None:
    rows = read_frame(
        session,
        "select model_version, champion_model, is_baseline, trained_through, pr_auc, best_baseline_pr_auc, decision,"
        f" data_fingerprint from {MODEL_VERSIONS.qualified_name} where alias = 'champion'",
    )
    return None if not len(rows) else {str(name): value for name, value in rows.iloc[0].items()}
