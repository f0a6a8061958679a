"""Sending what was published to where it is used: a job with a button, and every morning after publication."""

from typing import Any

import dagster as dg

from quality_assets.contracts.destinations import load_destinations
from quality_assets.settings import get_settings
from quality_assets.stores.failures import record_success
from quality_assets.tables.deliveries import DeliveryRunningError, NothingToSend, deliver


@dg.op(
    config_schema={
        "names": dg.Field([str], is_required=False, default_value=[], description="Which; all where none is named."),
        "dry_run": dg.Field(bool, is_required=False, default_value=False, description="Only say what would be sent."),
    },
    description="Send each destination what it lacks of the published snapshot.",
)
def deliver_all(context: dg.OpExecutionContext) -> None:
    """One destination that does not take it stops none of the others; the run fails at the end."""
    settings = get_settings()
    config: dict[str, Any] = context.op_config
    known = load_destinations(settings.defined("destinations"))
    failed = list(known.errors)
    for name, destination in known.by_name.items():
        if config["names"] and name not in config["names"]:
            continue
        try:
            outcome = deliver(settings, destination, dry_run=config["dry_run"])
        except (NothingToSend, DeliveryRunningError) as error:
            context.log.info(f"{name}: {error}")
            continue
        context.log.info(
            f"{name}: {outcome.status}, {outcome.inserts} inserts, {outcome.updates} updates, {outcome.deletes} deletes"
        )
        if outcome.error is not None:
            failed.append(f"{name}: {outcome.error}")
    if failed:
        raise dg.Failure("; ".join(failed), allow_retries=False)
    record_success(settings.published_dir, context.op.name, None)


@dg.job(
    name="deliver", description="Send segments, scores and insights to their destinations: what they lack, no more."
)
def deliver_job() -> None:
    """Send what was published."""
    deliver_all()


@dg.schedule(
    target=deliver_job,
    cron_schedule="0 8 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every morning, after the day's publication: destinations get what has changed.",
)
def daily_delivery(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())
