"""Ending runs whose process was killed: Dagster watches those that its daemon launched. Defines no asset."""

from typing import TYPE_CHECKING

from quality_assets.defs.run_failures import PROCESS_GONE, tell_of_failure, unmade
from quality_assets.defs.run_tags import process_of
from quality_assets.settings import Settings
from quality_assets.stores.process_ids import is_alive

if TYPE_CHECKING:
    from dagster import DagsterInstance


def end_dead_runs(instance: "DagsterInstance", settings: Settings) -> None:
    """Report runs of processes that are gone as failed, and free the pool slots that they still hold."""
    from dagster import DagsterRunStatus, RunsFilter

    unended = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
    running = instance.get_runs(RunsFilter(statuses=unended))
    for run in running:
        process = process_of(run)
        if process is None or is_alive(process):
            continue
        instance.report_run_failed(run, PROCESS_GONE)
        tell_of_failure(settings, run, dict.fromkeys(unmade(instance, run), PROCESS_GONE), PROCESS_GONE)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
