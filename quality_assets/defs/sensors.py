"""What follows from what: files that land are read, dates that they touch are built, what is built is published.

Sensors decide from the landing zone and Dagster's own event log, never from the warehouse, which a run may hold.
"""

import hashlib
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.jobs import (
    build_days,
    build_trends,
    ingest_logs,
    publish,
    report_run,
    score_and_report,
    train_risk_model,
)
from quality_assets.defs.partitions import event_dates
from quality_assets.defs.run_tags import run_partition
from quality_assets.domain.features.trends import HISTORY_DAYS
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.landing import LandingFile, scan, sha256_of
from quality_assets.stores.snapshots import current_snapshot, open_snapshot
from quality_assets.stores.warehouse import WarehouseBusyError, open_warehouse
from quality_assets.tables.alerts import deliver, report_run_failure
from quality_assets.tables.drift import RETRAIN
from quality_assets.tables.staleness import contiguous_ranges

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
MAX_MATERIALIZATIONS_A_TICK = 100
MAX_FILES_HASHED_A_TICK = 500

_RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    target=ingest_logs,
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="Files have landed: once their size is stable, new content is read, the same bytes never twice.",
)
def landing_zone_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    settings = get_settings()
    before = _seen(settings, context.cursor)
    files, _ = scan(settings.landing_dir)
    known_before = before["known"] or _published_stamps()
    stamps = {file.name: f"{file.size_bytes}:{file.modified_ns}" for file in files}
    waiting = [file for file in files if known_before.get(file.name) != stamps[file.name]]
    # Whoever still writes a file changes its size or its time between two looks.
    fresh = [file for file in waiting if before["sizes"].get(file.name) == stamps[file.name]][:MAX_FILES_HASHED_A_TICK]
    contents = _contents(fresh)
    known = {name: stamp for name, stamp in known_before.items() if name in stamps}
    known |= {file.name: stamps[file.name] for file in fresh if file.name in contents}
    sizes = {file.name: stamps[file.name] for file in waiting if file.name not in contents}
    cursor = _remember_seen(settings, {"sizes": sizes, "known": known}, context.cursor)
    if not contents:
        context.update_cursor(cursor)
        return dg.SkipReason(
            f"{len(waiting)} files are waited for until their size is stable." if waiting else "Nothing new has landed."
        )
    key = hashlib.sha256("".join(sorted(set(contents.values()))).encode()).hexdigest()
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=f"landing-{key[:32]}")], cursor=cursor)


def _seen_path(settings: Settings) -> Path:
    return settings.dagster_home / "landing_seen.json"


def _seen(settings: Settings, cursor: str | None) -> dict[str, dict[str, str]]:
    """What the last look left, if the cursor names it: stamps of the files that waited, and of those known.

    Dagster stores the cursor with every look, so it only names the file that has it: ten thousand names a look would
    be gigabytes a day. Where a kill came between file and cursor, or somebody reset the cursor, all is looked at anew.
    """
    try:
        text = _seen_path(settings).read_text(encoding="utf-8")
    except FileNotFoundError:
        text = ""
    if _digest(text) != cursor:
        return {"sizes": {}, "known": {}}
    seen: dict[str, dict[str, str]] = json.loads(text)
    return seen


def _remember_seen(settings: Settings, seen: dict[str, dict[str, str]], before: str | None) -> str:
    text = json.dumps(seen)
    cursor = _digest(text)
    if cursor != before:
        settings.dagster_home.mkdir(parents=True, exist_ok=True)
        write_atomically(_seen_path(settings), text)
    return cursor


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _published_stamps() -> dict[str, str]:
    """What the published snapshot knows of the landing zone: what was read before this sensor first looked."""
    snapshot = current_snapshot(get_settings().published_dir)
    if snapshot is None:
        return {}
    with open_snapshot(snapshot) as connection:
        rows = connection.execute("select path, size_bytes, modified_ns from ops.landing_files").fetchall()
    return {path: f"{size_bytes}:{modified_ns}" for path, size_bytes, modified_ns in rows}


def _contents(files: list[LandingFile]) -> dict[str, str]:
    contents = {}
    for file in files:
        try:
            contents[file.name] = sha256_of(file.path)
        except OSError:
            continue  # It vanished between two looks; if it comes back, it is new.
    return contents


def range_tags(start: date, end: date) -> dict[str, str]:
    """The tags that make a run cover the event dates from `start` to `end`."""
    return {RANGE_START: start.isoformat(), RANGE_END: end.isoformat()}


@dg.sensor(
    target=build_days,
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="Logs were read: the dates that they touched are built, one run a contiguous range.",
)
def touched_dates_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key(RAW_LOGS), after_storage_id=int(context.cursor or 0)),
        limit=MAX_MATERIALIZATIONS_A_TICK,
        ascending=True,
    ).records
    if not records:
        return dg.SkipReason("No logs were read since the last look.")
    last = records[-1].storage_id
    touched = {
        date.fromisoformat(str(day)): record.storage_id
        for record in records
        if record.asset_materialization
        for day in _touched(record.asset_materialization)
    }
    # The command line reads and builds in one go, and its builds are in the same log.
    built = context.instance.get_latest_storage_id_by_partition(
        asset_key(FACT_FEATURE_METRICS), dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    # A day is built when it is over; the next morning's catch-up asks for it.
    today = datetime.now(UTC).date()
    existing = {
        day
        for day, storage_id in touched.items()
        if day < today and event_dates.has_partition_key(day.isoformat()) and built.get(day.isoformat(), 0) < storage_id
    }
    requests = [
        dg.RunRequest(run_key=f"{start}-{end}-{last}", tags=range_tags(start, end))
        for start, end in contiguous_ranges(existing)
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(last))


def _touched(materialization: dg.AssetMaterialization) -> list[object]:
    value = materialization.metadata.get("touched_dates")
    return list(value.value) if value and isinstance(value.value, list) else []


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[build_days],
    request_jobs=[build_trends, score_and_report],
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="Days were built: trends of later days that look back on them are rebuilt, then all is scored.",
)
def built_days_sensor(context: dg.RunStatusSensorContext) -> list[dg.RunRequest]:
    tags = context.dagster_run.tags
    end = date.fromisoformat(tags.get(RANGE_END) or tags["dagster/partition"])
    facts = context.instance.get_materialized_partitions(asset_key(FACT_FEATURE_METRICS))
    later = [day for key in facts if end < (day := date.fromisoformat(key)) <= end + timedelta(days=HISTORY_DAYS)]
    run_id = context.dagster_run.run_id
    requests = [
        dg.RunRequest(run_key=f"{run_id}-{start}", job_name=build_trends.name, tags=range_tags(start, stop))
        for start, stop in contiguous_ranges(later)
    ]
    # One that waits already will see these days too: while much arrives, scoring is not what all else waits for.
    if not _is_queued(context.instance, score_and_report.name):
        requests.append(dg.RunRequest(run_key=f"{run_id}-score", job_name=score_and_report.name))
    return requests


def _is_queued(instance: dg.DagsterInstance, job: str) -> bool:
    return instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.QUEUED])) > 0


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[score_and_report],
    request_job=publish,
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="All is scored and reported: it is published.",
)
def scored_sensor(context: dg.RunStatusSensorContext) -> dg.RunRequest | dg.SkipReason:
    if _is_queued(context.instance, publish.name):
        return dg.SkipReason("A publication waits already.")
    return dg.RunRequest(run_key=f"{context.dagster_run.run_id}-publish")


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.FAILURE,
    monitored_jobs=[score_and_report],
    request_jobs=[report_run, publish],
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="Scoring failed: that is reported, and the facts are published all the same.",
)
def not_scored_sensor(context: dg.RunStatusSensorContext) -> list[dg.RunRequest]:
    run_id = context.dagster_run.run_id
    return [
        dg.RunRequest(run_key=f"{run_id}-report", job_name=report_run.name),
        dg.RunRequest(run_key=f"{run_id}-publish", job_name=publish.name),
    ]


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[train_risk_model],
    request_job=score_and_report,
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="A model was trained: the last day is scored by whichever is in use now.",
)
def trained_sensor(context: dg.RunStatusSensorContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=f"{context.dagster_run.run_id}-score")


@dg.sensor(
    target=train_risk_model,
    minimum_interval_seconds=60,
    default_status=_RUNNING,
    description="Performance has drifted, or the data so far that predictions feel it: a challenger is trained.",
)
def retraining_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    records = context.instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=asset_key(DATA_DRIFT), after_storage_id=int(context.cursor or 0)),
        limit=MAX_MATERIALIZATIONS_A_TICK,
        ascending=True,
    ).records
    if not records:
        return dg.SkipReason("Drift was not looked at since the last look.")
    last = records[-1]
    materialization = last.asset_materialization
    reason = materialization.metadata.get(RETRAIN) if materialization else None
    # Only the newest word counts: what was said before it has been looked at again since.
    requests = [dg.RunRequest(run_key=f"drift-{last.storage_id}")] if reason else []
    return dg.SensorResult(run_requests=requests, cursor=str(last.storage_id))


@dg.run_failure_sensor(
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="A run failed: it is told in monitoring.alert_events and in the log.",
)
def run_failure_alerts(context: dg.RunFailureSensorContext) -> None:
    run, settings = context.dagster_run, get_settings()
    error = context.failure_event.message or "no message"
    context.log.error(
        report_run_failure(
            settings, job=run.job_name, run_id=run.run_id, partition_key=run_partition(run.tags), error=error
        )
    )
    try:
        with open_warehouse(settings, lock_timeout_s=0) as session:
            deliver(session.connection, settings)
    except WarehouseBusyError:
        context.log.info("The warehouse is in use; the alert is delivered by the next step that opens it.")
