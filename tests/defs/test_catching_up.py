"""The daemon's one run: what has landed is read, built and published within it, each job as a run of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import NoReturn

import dagster as dg
import pytest
from services import alert_rows

from quality_assets import catching_up
from quality_assets.catching_up import bring_up_to_date_job
from quality_assets.clock import utc_now
from quality_assets.defs import sensors
from quality_assets.defs.run_failures import TOLD
from quality_assets.defs.run_tags import PROCESS_TAG
from quality_assets.settings import Settings
from quality_assets.stores.failures import failures, record_failure
from quality_assets.stores.process_ids import is_alive, process_name
from quality_assets.stores.snapshots import current_snapshot
from quality_assets.tables import models as risk_tables

WriteEvents = Callable[..., Path]
FIRST = date(2025, 3, 3)


def _caught_up(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    return bring_up_to_date_job.execute_in_process(instance=instance, raise_on_error=False)


def _jobs_within(instance: dg.DagsterInstance, before: set[str]) -> list[tuple[str, bool]]:
    """The jobs that ran since, in order, but the daemon's own, and whether each succeeded."""
    runs = [run for run in reversed(instance.get_runs()) if run.run_id not in before and PROCESS_TAG in run.tags]
    assert all(is_alive(run.tags[PROCESS_TAG]) for run in runs), "sensors leave alone what this process goes on with"
    return [(run.job_name, run.is_success) for run in runs]


def _known(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def test_one_run_reads_builds_and_publishes_and_the_same_data_once(
    instance: dg.DagsterInstance, write_events: WriteEvents, caught_up: Settings
) -> None:
    before, shown = _known(instance), current_snapshot(caught_up.published_dir)
    assert _caught_up(instance).success
    assert _jobs_within(instance, before) == [("ingest_logs", True)]
    assert current_snapshot(caught_up.published_dir) == shown is not None

    before = _known(instance)
    write_events("late.csv", {FIRST: 2}, prefix="late")
    assert _caught_up(instance).success
    assert _jobs_within(instance, before) == [("ingest_logs", True), ("build_and_report", True), ("publish", True)], (
        "later days are built along: that costs less than a run"
    )
    snapshot = current_snapshot(caught_up.published_dir)
    assert snapshot is not None
    assert snapshot != shown
    assert snapshot.data_through == FIRST + timedelta(days=2)


def test_what_fails_within_is_told_of_once_and_holds_back_no_facts(
    instance: dg.DagsterInstance, write_events: WriteEvents, data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _known(instance)
    write_events("a.csv", {FIRST: 4})
    monkeypatch.setattr(risk_tables, "build_scores", lambda *_: 1 / 0)
    result = _caught_up(instance)
    jobs = [("ingest_logs", True), ("build_and_report", False), ("report_run", True), ("publish", True)]
    assert _jobs_within(instance, before) == jobs
    snapshot = current_snapshot(data_root.published_dir)
    assert snapshot is not None
    assert snapshot.data_through == FIRST
    report = json.loads((data_root.reports_dir / "run_report.json").read_text())
    assert (report["status"], report["steps"]["failed"]) == ("failed", ["ml.risk_scores"])
    (failed,) = result.get_step_failure_events()
    said = failed.step_failure_data.user_failure_data
    assert said is not None
    assert "build_and_report: ZeroDivisionError: division by zero" in (said.description or "")
    assert TOLD in said.metadata
    (alert,) = [each for each in alert_rows(data_root) if each["kind"] == "run"]
    assert (alert["subject"], alert["occurrences"]) == ("build_and_report", 1)
    failure = result.get_run_failure_event()
    context = dg.build_run_status_sensor_context(
        sensor_name=sensors.run_failure_alerts.name, dagster_event=failure, dagster_instance=instance,
        dagster_run=result.dagster_run,
    )  # fmt: skip
    sensors.run_failure_alerts(context.for_run_failure())
    assert [each["occurrences"] for each in alert_rows(data_root) if each["kind"] == "run"] == [1]


def test_facts_that_fail_hold_back_scores_only_within_their_run(
    instance: dg.DagsterInstance, write_events: WriteEvents, caught_up: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Scores are made of the facts that there are; what is half built is not published."""
    shown, before = current_snapshot(caught_up.published_dir), _known(instance)
    write_events("b.csv", {FIRST + timedelta(days=3): 4}, prefix="b")
    monkeypatch.setattr("quality_assets.defs.product.assets.build_facts", lambda *_: 1 / 0)
    assert not _caught_up(instance).success
    assert _jobs_within(instance, before) == [
        ("ingest_logs", True),
        ("build_and_report", False),
        ("score_and_report", True),
        ("publish", False),
    ]
    assert current_snapshot(caught_up.published_dir) == shown is not None


def test_who_ends_a_run_within_ends_the_whole_and_it_is_not_tried_again(
    instance: dg.DagsterInstance, data_root: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = {PROCESS_TAG: process_name(os.getpid())}

    def ended(status: dg.DagsterRunStatus) -> Callable[..., NoReturn]:
        def end(*_: object) -> NoReturn:
            instance.add_run(dg.DagsterRun(job_name="ingest_logs", status=status, tags=mine))
            raise KeyboardInterrupt

        return end

    for within, whole in (("CANCELED", "CANCELED"), ("FAILURE", "FAILURE")):
        monkeypatch.setattr(catching_up, "ingest_waiting", ended(dg.DagsterRunStatus(within)))
        run = instance.get_run_by_id(_caught_up(instance).run_id)
        assert run is not None
        assert run.status.value == whole
    monkeypatch.undo()
    record_failure(data_root.published_dir, "read_build_publish", None, run_id="r", cause="c", failed_at=utc_now())
    assert _caught_up(instance).success
    assert failures(data_root.published_dir) == [], "what it failed at itself is over"
