"""What happens every day, whether or not anything arrives."""

import dagster as dg

from quality_assets.defs.jobs import ingest_logs


@dg.schedule(
    target=ingest_logs,
    cron_schedule="0 6 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def daily_catch_up(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every morning: read what was missed, request every day that is not built, and notice if nothing has come."""
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())
