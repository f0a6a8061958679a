"""What a failed run tells: which asset, which dates, why; once."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import dagster as dg
import pytest
from services import alert_rows

from quality_assets.defs.run_failures import asset_of_step, run_cause, tell_of_failure, unmade, work_of
from quality_assets.defs.run_tags import range_tags
from quality_assets.settings import Settings
from quality_assets.stores.failures import failures, record_failure, record_success
from quality_assets.stores.snapshots import record_attempt
from quality_assets.tables.faults import settle_failed_runs

FIRST, LAST = date(2025, 3, 3), date(2025, 3, 5)
BROKEN = {"core.valid_events": "disk on fire", "product.fact_feature_metrics": "no such column"}


def _run(run_id: str = "run-1", **tags: str) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="build_days", run_id=run_id, tags={**range_tags(FIRST, LAST), **tags})


def _told(settings: Settings) -> list[dict[str, Any]]:
    return alert_rows(settings)


@pytest.mark.parametrize(
    ("step", "asset"),
    [
        ("check_core_valid_events", "checks of core.valid_events"),
        ("core__user_feature_days", "core.user_feature_days"),
        ("publish__published_snapshot", "publish.published_snapshot"),
        ("valid_events", "core.valid_events"),
        ("raw_logs", "raw.raw_logs"),
        ("labels_and_inputs", "labels_and_inputs"),
    ],
)
def test_steps_are_named_by_what_they_make(step: str, asset: str) -> None:
    assert asset_of_step(step) == asset


def test_a_failed_run_names_every_step_its_dates_and_its_cause_in_one_alert(data_root: Settings) -> None:
    tell_of_failure(data_root, _run(), BROKEN, "Steps failed")
    (alert,) = _told(data_root)
    assert (alert["subject"], alert["partition_key"]) == ("build_days", "2025-03-03...2025-03-05")
    assert "core.valid_events: disk on fire; product.fact_feature_metrics: no such column" in alert["message"]
    assert "Steps failed" not in alert["message"]
    found = [(each.asset, each.dates, each.cause) for each in failures(data_root.published_dir)]
    assert found == [(asset, "2025-03-03 to 2025-03-05", cause) for asset, cause in BROKEN.items()]


def test_a_run_that_is_tried_again_is_told_of_when_the_last_try_failed(data_root: Settings) -> None:
    assert tell_of_failure(data_root, _run("run-1", **{"dagster/will_retry": "true"}), BROKEN, "") is None
    assert _told(data_root) == []
    assert len(failures(data_root.published_dir)) == 2, "it is seen at once"
    again = {"dagster/root_run_id": "run-1", "dagster/will_retry": "false"}
    assert tell_of_failure(data_root, _run("run-2", **again), BROKEN, "")
    assert [alert["run_id"] for alert in _told(data_root)] == ["run-1"]


def test_checks_that_fail_have_their_own_alerts(data_root: Settings) -> None:
    failed = {"checks of core.valid_events": "1 blocking asset check failed"}
    assert tell_of_failure(data_root, _run(), failed, "Steps failed") is None
    assert failures(data_root.published_dir) == []


def test_a_refusal_for_what_was_told_is_not_told_again(data_root: Settings) -> None:
    refused = {"publish.published_snapshot": "Not published."}
    folder, noon = data_root.published_dir, datetime(2026, 3, 1, 12)
    record_attempt(folder, "refused", attempted_at=noon, run_id="run-0", reasons=["core.valid_events is not built"])
    dates = (FIRST, LAST)
    record_failure(folder, "core.valid_events", dates, run_id="run-0", cause="disk on fire", failed_at=noon)
    publication = dg.DagsterRun(job_name="publish", run_id="run-1")
    assert tell_of_failure(data_root, publication, refused, "") is None
    record_success(folder, "core.valid_events", dates)
    assert tell_of_failure(data_root, publication, refused, "")
    record_attempt(folder, "refused", attempted_at=noon.replace(hour=13), run_id="run-1", reasons=["still not built"])
    assert tell_of_failure(data_root, dg.DagsterRun(job_name="publish", run_id="run-2"), refused, "") is None


def test_of_a_killed_run_what_it_was_to_make_and_did_not_has_failed() -> None:
    @dg.asset
    def made() -> None: ...

    @dg.asset(deps=[made])
    def killed() -> None:
        raise RuntimeError

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([made, killed], instance=instance, raise_on_error=False)
        assert unmade(instance, result.dagster_run) == ["killed"]


def test_a_run_for_a_watched_table_that_fails_is_told_and_settled_by_its_own_next_run(data_root: Settings) -> None:
    def run(table: str, run_id: str) -> dg.DagsterRun:
        return dg.DagsterRun(job_name="check_dataset", run_id=run_id, tags={"dagster/partition": table})

    failed = {"datasets.dataset_checks": "No space left on device"}
    for table, run_id in (("orders", "r1"), ("2026-sales", "r2"), ("orders", "r3")):
        tell_of_failure(data_root, run(table, run_id), failed, "Steps failed")
    orders, sales = _told(data_root)
    assert [(each["title"], each["occurrences"]) for each in (orders, sales)] == [
        ("check_dataset of orders failed", 2),
        ("check_dataset of 2026-sales failed", 1),
    ]
    assert "No space left on device. Open the run" in orders["message"]
    assert failures(data_root.published_dir) == [], "no build of a date waits for it"
    settle_failed_runs(data_root, [work_of(run("2026-sales", "r4"))])
    assert [each["status"] for each in _told(data_root)] == ["open", "resolved"]
    assert work_of(_run()) == "build_days"


def test_a_process_that_is_gone_is_said_in_words() -> None:
    assert run_cause("This run has been marked as failed from outside the execution context.") == (
        "The process that ran it was killed."
    )
    assert (run_cause("disk on fire"), run_cause(None)) == ("disk on fire", "no message")
