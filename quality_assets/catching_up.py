"""From what has landed to what readers see as one run of the daemon: one process, which starts and imports once.

Within it run the same jobs as by `quality run`, each a run of its own in Dagster's history (docs/adr/0024).
"""

import os
from collections.abc import Sequence

import dagster as dg

from quality_assets.defs.dead_runs import end_dead_runs
from quality_assets.defs.resources import POOL
from quality_assets.defs.run_failures import TOLD
from quality_assets.defs.run_tags import BRING_UP_TO_DATE, PROCESS_TAG
from quality_assets.runner import RunOutcome, bring_up_to_date, ingest_waiting
from quality_assets.settings import get_settings
from quality_assets.stores.failures import record_success
from quality_assets.stores.process_ids import process_name

# What failed may have been a hiccup. A second failure is left to whoever reads of it, and to the next run.
_TRIED_AGAIN_ONCE = {"dagster/max_retries": "1", "dagster/retry_strategy": "ALL_STEPS"}


@dg.op(name="read_build_publish", pool=POOL, description="Read what has landed, build what is stale, publish.")
def read_build_publish(context: dg.OpExecutionContext) -> None:
    """Run what `quality run` runs. Fails where one of these runs did, with what each said."""
    instance, settings = context.instance, get_settings()
    end_dead_runs(instance, settings)
    outcomes = []
    try:
        outcomes.append(ingest_waiting(instance, settings))
        for outcome in bring_up_to_date(instance, settings):
            context.log.info(f"{outcome.job} {outcome.partition_key}: {outcome.error or 'done'}")
            outcomes.append(outcome)
    except KeyboardInterrupt:
        if _was_ended_within(instance):
            # Else it would count as failed, and be tried again.
            instance.report_run_canceling(context.run)
        raise
    failed = [outcome for outcome in outcomes if not outcome.succeeded]
    if not failed:
        # What it failed at itself, outside of these runs, is over.
        record_success(settings.published_dir, context.op.name, None)
        return
    if _is_refusal_alone(failed):
        # The same data would be refused again.
        instance.add_run_tags(context.run_id, {"dagster/max_retries": "0"})
    raise dg.Failure("; ".join(f"{each.job}: {each.error}" for each in failed), metadata={TOLD: True})


def _was_ended_within(instance: dg.DagsterInstance) -> bool:
    """Whether somebody asked that the run ends which this process made last, as in the Dagster UI."""
    newest = instance.get_runs(dg.RunsFilter(tags={PROCESS_TAG: process_name(os.getpid())}), limit=1)
    return any(run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED) for run in newest)


def _is_refusal_alone(failed: Sequence[RunOutcome]) -> bool:
    return all(set(each.failed_steps) == {"publish.published_snapshot"} for each in failed)


@dg.job(name=BRING_UP_TO_DATE, tags=_TRIED_AGAIN_ONCE)
def bring_up_to_date_job() -> None:
    """Read what waits in the landing zone, build what is stale, score, report and publish, as `quality run` does."""
    read_build_publish()
