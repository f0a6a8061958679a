"""What follows from what: files that land are read, dates that they touch are built, what is built is published.

Sensors decide from the landing zone and Dagster's own event log, never from the warehouse, which a run may hold.
"""

import hashlib
import json
import time
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.events import RAW_LOGS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.defs.contract_metadata import asset_key
from quality_assets.defs.following import (
    follow_ups,
    is_queued,
    is_under_way,
    newest,
    queued_days,
    reading_was_ended,
    succeeded,
    touched_dates,
    why_reading_waits,
)
from quality_assets.defs.jobs import (
    build_days,
    build_impact,
    build_trends,
    ingest_logs,
    publish,
    report_run,
    score_and_report,
    train_risk_model,
)
from quality_assets.defs.partitions import begin_with_data, event_dates
from quality_assets.defs.run_failures import TOLD, asset_of_step, run_cause, step_cause, tell_of_failure, unmade
from quality_assets.defs.run_tags import BRING_UP_TO_DATE, RANGE_START, process_of, range_tags
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.files import write_atomically
from quality_assets.stores.landing import LandingFile, scan, sha256_of
from quality_assets.stores.process_ids import is_alive
from quality_assets.stores.snapshots import current_snapshot, last_attempt, open_snapshot
from quality_assets.tables.drift import RETRAIN
from quality_assets.tables.staleness import contiguous_ranges

MAX_MATERIALIZATIONS_A_TICK = 100
MAX_FILES_HASHED_A_TICK = 500
LANDING_LOOKED_AT_EVERY_S = 6
"""A file whose size is the same at two looks is whole: whoever writes slower is read again when it has grown."""

_RUNNING = dg.DefaultSensorStatus.RUNNING


@dg.sensor(
    job_name=BRING_UP_TO_DATE,
    minimum_interval_seconds=LANDING_LOOKED_AT_EVERY_S,
    default_status=_RUNNING,
    description="Files have landed: once their size is stable, new content is read, built and published by one run.",
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
    if not contents:
        context.update_cursor(_remember_seen(settings, {"sizes": sizes, "known": known}, context.cursor))
        if waiting:
            return dg.SkipReason(f"{len(waiting)} files are waited for until their size is stable.")
        return dg.SkipReason(f"Nothing new has landed.{reading_was_ended(context.instance)}")
    why = why_reading_waits(context.instance, _last_publication(settings), time.time())
    if why:
        return dg.SkipReason(f"{len(contents)} files have landed. {why}")
    key = hashlib.sha256("".join(sorted(set(contents.values()))).encode()).hexdigest()
    cursor = _remember_seen(settings, {"sizes": sizes, "known": known}, context.cursor)
    # Whoever waits to read will read these as well.
    is_asked = is_queued(context.instance, BRING_UP_TO_DATE)
    requests = [] if is_asked else [dg.RunRequest(run_key=f"landing-{key[:32]}")]
    return dg.SensorResult(run_requests=requests, cursor=cursor)


def _last_publication(settings: Settings) -> float | None:
    last = last_attempt(settings.published_dir)
    return last.attempted_at.replace(tzinfo=UTC).timestamp() if last else None


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
    if _is_followed_up(context.instance, records[-1].run_id):
        return dg.SkipReason("Whoever read them builds what they touched.")
    last = records[-1].storage_id
    touched = {
        date.fromisoformat(day): record.storage_id
        for record in records
        for day in touched_dates(record.asset_materialization)
    }
    # The command line reads and builds in one go, and its builds are in the same log.
    built = context.instance.get_latest_storage_id_by_partition(
        asset_key(FACT_FEATURE_METRICS), dg.DagsterEventType.ASSET_MATERIALIZATION
    )
    begin_with_data(get_settings())
    # A day is built when it is over; the next morning's catch-up asks for it.
    today = datetime.now(UTC).date()
    existing = {
        day
        for day, storage_id in touched.items()
        if day < today and event_dates.has_partition_key(day.isoformat()) and built.get(day.isoformat(), 0) < storage_id
    }
    # A run that waits already builds them of all that was read.
    asked = existing - queued_days(context.instance, build_days.name)
    requests = [
        dg.RunRequest(run_key=f"{start}-{end}-{last}", tags=range_tags(start, end))
        for start, end in contiguous_ranges(asked)
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(last))


def _is_followed_up(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether a run belongs to a process that goes on with what follows from it, and lives."""
    run = instance.get_run_by_id(run_id)
    process = process_of(run) if run else None
    return process is not None and is_alive(process)


@dg.sensor(
    jobs=[ingest_logs, build_days, build_trends, build_impact, score_and_report, publish],
    minimum_interval_seconds=15,
    default_status=_RUNNING,
    description="Something was made, whoever asked for it: what is made from it is built, scored and published.",
)
def follow_up_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    instance, after = context.instance, int(context.cursor or 0)
    news = {table: made for table, made in newest(instance).items() if made.storage_id > after}
    if not news:
        return dg.SkipReason("Nothing was made since the last look.")
    if is_under_way(instance, news.values()):
        return dg.SkipReason("A run that makes more has not ended.")
    requests = [
        request
        for request in follow_ups(instance, succeeded(instance, news), after)
        # One that waits already will see what was made just now.
        if request.tags.get(RANGE_START) or not is_queued(instance, str(request.job_name))
    ]
    return dg.SensorResult(run_requests=requests, cursor=str(max(made.storage_id for made in news.values())))


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
    # The command line reports and publishes by itself.
    if process_of(context.dagster_run):
        return []
    return [
        dg.RunRequest(run_key=f"{run_id}-report", job_name=report_run.name),
        dg.RunRequest(run_key=f"{run_id}-publish", job_name=publish.name),
    ]


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
    description="A run failed: an alert is raised, and the log says why.",
)
def run_failure_alerts(context: dg.RunFailureSensorContext) -> None:
    run, settings = context.dagster_run, get_settings()
    # The command line tells of its own runs at once.
    if process_of(run) or any(map(_is_told_of, context.get_step_failure_events())):
        return
    failed = {asset_of_step(str(event.step_key)): step_cause(event) for event in context.get_step_failure_events()}
    error = run_cause(context.failure_event.message)
    told = tell_of_failure(settings, run, failed or dict.fromkeys(unmade(context.instance, run), error), error)
    if told is None:
        context.log.info("It is told of already, or is tried again.")
        return
    context.log.error(told)


def _is_told_of(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because of runs that were told of when they failed."""
    said = event.step_failure_data.user_failure_data
    return said is not None and TOLD in said.metadata
