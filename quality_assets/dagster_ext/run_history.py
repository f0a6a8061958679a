"""How long Dagster's history is: it has no setting for runs, and each leaves files and rows for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dagster import DagsterInstance

MAX_FORGOTTEN_AT_ONCE = 500


def forget_old_runs(instance: DagsterInstance, keep: int) -> int:
    """Forget all but the last `keep` runs that have ended, oldest first; how many. What they built last stays known.

    The tables of the warehouse (`ops.asset_runs`, `monitoring.check_results`, `monitoring.alert_events`) keep what they
    say of a run that is forgotten here.
    """
    from dagster import RunsFilter
    from dagster._core.storage.dagster_run import FINISHED_STATUSES

    from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage

    log = instance.event_log_storage
    if not isinstance(log, OpenSqliteEventLogStorage):
        return 0
    ended = instance.run_storage.get_run_ids(RunsFilter(statuses=FINISHED_STATUSES))
    old = list(ended[keep:][-MAX_FORGOTTEN_AT_ONCE:])
    if old:
        log.forget(old)
    for run_id in old:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        # Last, so that what a kill leaves is found again.
        instance.run_storage.delete_run(run_id)
    return len(old)
