"""What happens every day, whether or not anything arrives."""

import dagster as dg

from quality_assets.defs.jobs import ingest_logs, train_risk_model


@dg.schedule(
    target=ingest_logs,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning: read what was missed, request every day not yet built, and notice if nothing has come.",
)
def daily_catch_up(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
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
