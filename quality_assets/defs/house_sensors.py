"""Sensors of the house: what people asked for becomes runs, and what is due is told. They never open the warehouse."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from quality_assets.defs.datasets.assets import check_dataset_job, watched
from quality_assets.defs.dead_runs import end_dead_runs
from quality_assets.defs.jobs import build_days, build_trends, ingest_logs, publish, score_and_report, train_risk_model
from quality_assets.defs.run_failures import work_of
from quality_assets.settings import get_settings
from quality_assets.stores.operations.requests import WAITING, note_ended, note_started, unended
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.warehouse import is_being_written
from quality_assets.tables.datasets.lateness import watch_datasets
from quality_assets.tables.faults import settle_failed_runs
from quality_assets.tables.house import beat, watch
from quality_assets.tables.shadow_watch import watch_shadows
from quality_assets.tables.telling import tell

REQUESTED_JOBS = [
    ingest_logs,
    build_days,
    build_trends,
    score_and_report,
    train_risk_model,
    publish,
    check_dataset_job,
]
"""The jobs that a server may ask for."""
REQUEST_TAG = "quality/request"


@dg.sensor(
    jobs=REQUESTED_JOBS,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Work that people asked for by page or API: each request becomes one run.",
)
def requests_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    store, known = operations_of(get_settings()), {job.name for job in REQUESTED_JOBS}
    with store.read() as connection:
        rows = unended(connection)
    if not rows:
        return dg.SkipReason("Nobody asked for anything.")
    runs = {row["request_id"]: _run_of(context.instance, row["request_id"]) for row in rows}
    with store.write() as connection:
        for row in rows:
            run = runs[row["request_id"]]
            if row["job"] not in known:
                note_ended(connection, row["request_id"], refused=f"There is no job {row['job']!r} to ask for.")
            elif run is not None and run.is_finished:
                note_ended(connection, row["request_id"], run_id=run.run_id)
            elif run is not None and row["status"] == WAITING:
                note_started(connection, row["request_id"], run.run_id)
    # Asked for until Dagster has a run of it: the run key is the row's, so that there is one.
    asked = [row for row in rows if runs[row["request_id"]] is None and row["job"] in known]
    return dg.SensorResult(
        run_requests=[_run_request(row) for row in asked],
        dynamic_partitions_requests=[watched.build_add_request(names)] if (names := _datasets(asked)) else [],
    )


def _run_of(instance: dg.DagsterInstance, request_id: int) -> dg.DagsterRun | None:
    found = instance.get_runs(dg.RunsFilter(tags={REQUEST_TAG: str(request_id)}), limit=1)
    return found[0] if found else None


def _run_request(row: Mapping[str, Any]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"request-{row['request_id']}",
        job_name=row["job"],
        partition_key=row["partition_key"],
        run_config=row["run_config"],
        tags={**row["tags"], REQUEST_TAG: str(row["request_id"])},
    )


def _datasets(rows: list[dict[str, Any]]) -> list[str]:
    """The watched tables that are asked to be judged: their partitions must be there first."""
    return sorted({str(row["partition_key"]) for row in rows if row["job"] == check_dataset_job.name})


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="People are told what is due; reminders, snoozes that end, and the house itself are looked at.",
)
def telling_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    settings = get_settings()
    beat(settings)
    # A killed command's run keeps its place in the lane, and every run after it would wait for good. Whoever writes
    # holds the lock, also in another container, where the numbers of processes say nothing here.
    if not is_being_written(settings):
        end_dead_runs(context.instance, settings)
    parts = watch(settings)
    watch_shadows(settings)
    settle_failed_runs(settings, _succeeded(context))
    late = watch_datasets(settings)
    told = tell(settings)
    failing = [part.name for part in parts if part.status == "failing"]
    wrong = [f"{', '.join(failing)} failing."] * bool(failing) + [f"{', '.join(late)} late."] * bool(late)
    looked = " ".join(wrong) or "All is well."
    return dg.SkipReason(f"{told.sent} messages sent, {told.refused} not taken. {looked}")


def _succeeded(context: dg.SensorEvaluationContext) -> list[str]:
    """What the newest ended runs did, each work by its newest run, where that succeeded."""
    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    newest: dict[str, dg.DagsterRunStatus] = {}
    for run in context.instance.get_runs(ended, limit=50):
        newest.setdefault(work_of(run), run.status)
    return [work for work, status in newest.items() if status == dg.DagsterRunStatus.SUCCESS]
