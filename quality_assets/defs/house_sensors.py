"""Sensors of the house: what people asked for becomes runs, and what is due is told. They never open the warehouse."""

import dagster as dg

from quality_assets.defs.jobs import build_days, build_trends, ingest_logs, publish, score_and_report, train_risk_model
from quality_assets.settings import get_settings
from quality_assets.stores.operations.requests import note_ended, note_started, waiting
from quality_assets.stores.operations.store import operations_of
from quality_assets.tables.faults import settle_failed_runs
from quality_assets.tables.house import beat, watch
from quality_assets.tables.telling import tell

REQUESTED_JOBS = [ingest_logs, build_days, build_trends, score_and_report, train_risk_model, publish]
"""The jobs that a server may ask for."""


@dg.sensor(
    jobs=REQUESTED_JOBS,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Work that people asked for by page or API: each request becomes one run.",
)
def requests_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    store, known = operations_of(get_settings()), {job.name for job in REQUESTED_JOBS}
    with store.read() as connection:
        rows = waiting(connection)
    if not rows:
        return dg.SkipReason("Nobody asked for anything.")
    asked = [row for row in rows if row["job"] in known]
    with store.write() as connection:
        for row in rows:
            if row["job"] not in known:
                note_ended(connection, row["request_id"], refused=f"There is no job {row['job']!r} to ask for.")
        note_started(connection, [row["request_id"] for row in asked])
    # A kill before Dagster has them asks again by nobody: the run key is the row's, and the row says started.
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"request-{row['request_id']}",
                job_name=row["job"],
                partition_key=row["partition_key"],
                run_config=row["run_config"],
                tags={**row["tags"], "quality/request": str(row["request_id"])},
            )
            for row in asked
        ]
    )


@dg.sensor(
    minimum_interval_seconds=15,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="People are told what is due; reminders, snoozes that end, and the house itself are looked at.",
)
def telling_sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    settings = get_settings()
    beat(settings)
    parts = watch(settings)
    settle_failed_runs(settings, _succeeded(context))
    told = tell(settings)
    failing = [part.name for part in parts if part.status == "failing"]
    looked = f"{', '.join(failing)} failing." if failing else "All is well."
    return dg.SkipReason(f"{told.sent} messages sent, {told.refused} not taken. {looked}")


def _succeeded(context: dg.SensorEvaluationContext) -> list[str]:
    """The jobs whose newest ended run succeeded."""
    ended = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE])
    newest: dict[str, dg.DagsterRunStatus] = {}
    for run in context.instance.get_runs(ended, limit=50):
        newest.setdefault(run.job_name, run.status)
    return [job for job, status in newest.items() if status == dg.DagsterRunStatus.SUCCESS]
