"""How long Dagster's history is: it has no setting for runs, and each leaves files and rows for ever."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dagster import DagsterInstance

    from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage

MAX_FORGOTTEN_AT_ONCE = 500
ALWAYS_KEPT = 20


def forget_old_runs(instance: DagsterInstance, keep: int, keep_mb: float) -> int:
    """Forget all but the last `keep` runs that have ended, and of these what is beyond `keep_mb` megabytes; how many.

    The oldest go first, the last 20 never. What they built last stays known.

    The tables of the warehouse (`ops.asset_runs`, `monitoring.check_results`, `monitoring.alerts`) keep what they
    say of a run that is forgotten here.
    """
    from dagster import RunsFilter
    from dagster._core.storage.dagster_run import FINISHED_STATUSES

    from quality_assets.dagster_ext.event_log import OpenSqliteEventLogStorage

    log = instance.event_log_storage
    if not isinstance(log, OpenSqliteEventLogStorage):
        return 0
    ended = instance.run_storage.get_run_ids(RunsFilter(statuses=FINISHED_STATUSES))
    old = list(ended[_how_many(log, ended[:keep], keep_mb) :][-MAX_FORGOTTEN_AT_ONCE:])
    if old:
        log.forget(old)
    for run_id in old:
        instance.compute_log_manager.delete_logs(prefix=[run_id])
        # Last, so that what a kill leaves is found again.
        instance.run_storage.delete_run(run_id)
    return len(old)


def _how_many(log: OpenSqliteEventLogStorage, newest_first: Sequence[str], keep_mb: float) -> int:
    """How many of the newest runs fit into so many megabytes; at least 20."""
    room = keep_mb * 1_000_000
    for count, run_id in enumerate(newest_first):
        path = Path(log.path_for_shard(run_id))
        room -= path.stat().st_size if path.exists() else 0
        if room < 0 and count >= ALWAYS_KEPT:
            return count
    return len(newest_first)
