"""Runs that a process of ours makes itself end where the Dagster UI asks for it, as launched ones do."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import dagster as dg
import pytest

from quality_assets.dagster_ext import termination
from quality_assets.dagster_ext.termination import HouseRunLauncher, ending_when_asked
from quality_assets.defs.run_tags import PROCESS_TAG
from quality_assets.stores.process_ids import process_name


@pytest.fixture(autouse=True)
def _interrupted_as_by_a_person(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(termination, "LOOKED_AT_EVERY_S", 0.02)
    # Who runs tests in the background ignores SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_the_launcher_has_not_launched_is_asked_to_end_and_does() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        launcher = HouseRunLauncher()
        launcher.register_instance(instance)
        status, tags = dg.DagsterRunStatus.STARTED, {PROCESS_TAG: process_name(os.getpid())}
        run_id = instance.add_run(dg.DagsterRun(job_name="ingest_logs", status=status, tags=tags)).run_id
        with ending_when_asked(instance, run_id):
            time.sleep(0.1)
        # Before anybody looks: who is interrupted while the run's row is written leaves its table locked.
        assert launcher.terminate(run_id)
        with pytest.raises(KeyboardInterrupt), ending_when_asked(instance, run_id):
            time.sleep(10)
        run = instance.get_run_by_id(run_id)
        assert run is not None
        assert run.status == dg.DagsterRunStatus.CANCELING
        instance.report_run_canceled(run)
        assert not launcher.terminate(run_id), "it has ended"
