"""Runs of processes that were killed: ended by the daemon itself, so that none waits for them."""

from __future__ import annotations

import os

import dagster as dg
from filelock import FileLock

from quality_assets.defs.house_sensors import telling_sensor
from quality_assets.defs.run_tags import PROCESS_TAG
from quality_assets.settings import Settings
from quality_assets.stores.process_ids import process_name

GONE = f"{os.getpid()}:1"
"""The number of a process that lives, and the start of another that had it before."""


def _run(instance: dg.DagsterInstance, status: dg.DagsterRunStatus, **tags: str) -> str:
    return instance.add_run(dg.DagsterRun(job_name="ingest_logs", status=status, tags=tags)).run_id


def _again(instance: dg.DagsterInstance, **tags: str) -> str:
    """A run that the UI has launched of one that failed, whose tags it has."""
    failed = _run(instance, dg.DagsterRunStatus.FAILURE, **tags)
    status = dg.DagsterRunStatus.STARTED
    return instance.add_run(
        dg.DagsterRun(job_name="ingest_logs", status=status, tags=tags, parent_run_id=failed, root_run_id=failed)
    ).run_id


def _status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


def test_the_daemon_ends_runs_of_killed_commands_and_no_others(data_root: Settings) -> None:
    status, mine = dg.DagsterRunStatus, process_name(os.getpid())
    data_root.data_dir.mkdir()
    with dg.DagsterInstance.ephemeral() as instance:
        runs = {
            "killed": _run(instance, status.STARTED, **{PROCESS_TAG: GONE}),
            "killed while it was cancelled": _run(instance, status.CANCELING, **{PROCESS_TAG: GONE}),
            "alive": _run(instance, status.STARTED, **{PROCESS_TAG: mine}),
            "launched": _run(instance, status.STARTED),
            "executed again": _again(instance, **{PROCESS_TAG: GONE}),
        }
        with FileLock(data_root.data_dir / ".writer.lock"):
            telling_sensor(dg.build_sensor_context(instance=instance))
            assert _status(instance, runs["killed"]) == "STARTED", "one that writes may be of another container"
        telling_sensor(dg.build_sensor_context(instance=instance))
        assert {what: _status(instance, run) for what, run in runs.items()} == {
            "killed": "FAILURE",
            "killed while it was cancelled": "FAILURE",
            "alive": "STARTED",
            "launched": "STARTED",
            "executed again": "STARTED",
        }
