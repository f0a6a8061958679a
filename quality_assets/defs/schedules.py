"""What happens every day, whether or not anything arrives."""

import dagster as dg

from quality_assets.dagster_ext.run_history import forget_old_runs
from quality_assets.defs.jobs import train_risk_model
from quality_assets.defs.run_tags import BRING_UP_TO_DATE
from quality_assets.settings import get_settings


@dg.schedule(
    job_name=BRING_UP_TO_DATE,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: read what was missed, build every day not yet built, and notice if nothing has come.",
)
def daily_catch_up(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    # Whoever leaves the servers running for months never comes by the command line, which does this as well.
    settings = get_settings()
    forgotten = forget_old_runs(context.instance, settings.keep_runs, settings.keep_history_mb)
    context.log.info(f"{forgotten} runs of long ago were forgotten (QUALITY_KEEP_RUNS, QUALITY_KEEP_HISTORY_MB).")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())


@dg.schedule(
    target=train_risk_model,
    cron_schedule="0 5 * * 1",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every Monday, before the day's scores: a challenger is trained on a week more of outcomes.",
)
def weekly_training(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())
