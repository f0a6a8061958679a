"""When the models that learn from tables are trained, every Monday and when a file is new, and watched: every day."""

import json

import dagster as dg

from quality_assets.defs.jobs import trainings, watch_models
from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.settings import get_settings
from quality_assets.stores.released import manifests
from quality_assets.tables.learning import training_file

_JOBS = dict(zip(TABULAR, trainings, strict=True))


def _weekly(name: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=f"weekly_training_of_{name}",
        target=_JOBS[name],
        cron_schedule="30 4 * * 1",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every Monday: {name} is trained anew, where there is a table to learn from.",
    )
    def weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        settings = get_settings()
        if training_file(settings, TABULAR[name]) is None and not manifests(settings.models_dir, name):
            return dg.SkipReason(f"There is no table to learn from: `quality train {name} --data FILE` brings one.")
        return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())

    return weekly


daily_watch_of_models = dg.ScheduleDefinition(
    name="daily_watch_of_models",
    job=watch_models,
    cron_schedule="45 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every day: what models were asked and answered is read, and judged for drift.",
)
weekly_trainings = [_weekly(name) for name in TABULAR]


@dg.sensor(
    jobs=list(_JOBS.values()),
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="A file in training/ is new or has changed: the model of its name is trained on it.",
)
def training_file_sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
    """One run a content: a file counts by its size and time."""
    settings, seen = get_settings(), json.loads(context.cursor or "{}")
    found = {}
    for name, use_case in TABULAR.items():
        path = training_file(settings, use_case)
        if path is not None:
            status = path.stat()
            found[name] = f"{path.name} {status.st_size} {status.st_mtime_ns}"
    new = [name for name, stamp in found.items() if seen.get(name) != stamp]
    if not new:
        return dg.SkipReason("No file in training/ is new.")
    requests = [
        dg.RunRequest(run_key=f"{name} {found[name]}", job_name=_JOBS[name].name, tags={"use_case": name})
        for name in new
    ]
    return dg.SensorResult(run_requests=requests, cursor=json.dumps(found))
