"""Two lanes: one run holds the warehouse, one judges watched tables, and neither waits for the other's."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter

from quality_assets.definitions import defs as definitions
from quality_assets.settings import REPOSITORY_ROOT

LANES = ("warehouse", "datasets")


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    (tmp_path / "dagster.yaml").write_text((REPOSITORY_ROOT / "dagster.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with dg.DagsterInstance.from_config(str(tmp_path)) as opened:
        yield opened


def _launched(instance: dg.DagsterInstance, queued: list[dg.DagsterRun], most: int) -> list[dg.DagsterRun]:
    """What the daemon would launch of a queue, in its order, by the limits of dagster.yaml."""
    config = instance.get_concurrency_config()
    held = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))
    counter = GlobalOpConcurrencyLimitsCounter(
        instance,
        queued,
        held,
        instance.event_log_storage.get_concurrency_keys(),
        instance.event_log_storage.get_pool_limits(),
        pool_granularity=config.pool_config.pool_granularity,
    )
    found: list[dg.DagsterRun] = []
    for run in queued:
        if len(held) + len(found) < most and not counter.is_blocked(run):
            counter.update_counters_with_launched_item(run)
            found.append(run)
    return found


def test_of_two_runs_of_each_lane_one_of_each_runs_at_once(instance: dg.DagsterInstance) -> None:
    queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    assert queue.should_block_op_concurrency_limited_runs
    graph = definitions()
    for pool in LANES:
        instance.event_log_storage.initialize_concurrency_limit_to_default(pool)
    queued = []
    for name in ("ingest_logs", "publish", "check_dataset", "check_dataset"):
        job = graph.resolve_job_def(name)
        tags = {"dagster/partition": "orders"} if name == "check_dataset" else {}
        queued.append(instance.create_run_for_job(job, tags=tags))
    lanes = [run.run_op_concurrency.all_pools if run.run_op_concurrency else None for run in queued]
    assert lanes == [{"warehouse"}, {"warehouse"}, {"datasets"}, {"datasets"}]
    first = _launched(instance, queued, queue.max_concurrent_runs)
    assert [run.run_id for run in first] == [queued[0].run_id, queued[2].run_id]
