"""Alerts: once for one cause, also when the warehouse was not there to take them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from quality_assets.clock import utc_now
from quality_assets.defs.run_tags import run_partition
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.alerts import deliver, outbox, record_alert, report_run_failure

ALERT: dict[str, Any] = {
    "kind": "check_failure",
    "severity": "WARN",
    "subject": "core.valid_events: rows_accounted",
    "partition_key": "2026-01-02",
    "run_id": "run-1",
    "message": "No.",
    "raised_at": datetime(2026, 1, 3, 4),
}
QUERY = "select kind, subject, partition_key, run_id, message from monitoring.alert_events order by all"


def test_one_cause_alerts_once(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        for _ in range(3):
            record_alert(session.connection, **ALERT)
        kept = session.connection.execute("select severity, message, raised_at from monitoring.alert_events").fetchall()
    assert kept == [("WARN", "No.", ALERT["raised_at"])]


@pytest.mark.parametrize(
    "other", [{"kind": "run_failure"}, {"run_id": "run-2"}, {"subject": "x"}, {"partition_key": "2026-01-03"}]
)
def test_another_cause_alerts_again(data_root: Settings, other: dict[str, str]) -> None:
    with open_warehouse(data_root) as session:
        record_alert(session.connection, **ALERT)
        record_alert(session.connection, **(ALERT | other))
        assert session.connection.execute("select count(*) from monitoring.alert_events").fetchall() == [(2,)]


def test_a_failed_run_is_told_by_whoever_works_on_the_warehouse_next(data_root: Settings) -> None:
    message = report_run_failure(
        data_root, job="build", run_id="0123456789", partition_key="2026-01-02", error="  It's broken: ü\n"
    )
    assert message == (
        "Run 01234567 of build for 2026-01-02 failed: It's broken: ü"
        " Open the run in the Dagster UI, mend the cause, then `quality run`."
    )
    assert len(list(outbox(data_root).iterdir())) == 1
    with open_warehouse(data_root) as session:
        deliver(session.connection, data_root)
        kept = session.connection.execute(QUERY).fetchall()
    assert kept == [("run_failure", "build", "2026-01-02", "0123456789", message)]
    assert list(outbox(data_root).iterdir()) == []


def test_a_failed_run_is_told_once_however_often_it_is_reported(data_root: Settings) -> None:
    for _ in range(2):
        report_run_failure(data_root, job="build", run_id="r1", partition_key="", error="broken")
        with open_warehouse(data_root) as session:
            deliver(session.connection, data_root)
            kept = session.connection.execute(QUERY).fetchall()
    assert len(kept) == 1
    assert kept[0][4].startswith("Run r1 of build failed: broken")


def test_letters_are_delivered_together_and_only_they(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        assert deliver(session.connection, data_root) == 0
        for n in range(3):
            report_run_failure(data_root, job="build", run_id=f"r{n}", partition_key="", error="broken")
        (outbox(data_root) / ".r9.json.1").write_text("half a lett")
        assert deliver(session.connection, data_root) == 3
        assert [row[3] for row in session.connection.execute(QUERY).fetchall()] == ["r0", "r1", "r2"]


def test_a_letter_that_cannot_be_read_does_not_lock_the_warehouse(data_root: Settings) -> None:
    report_run_failure(data_root, job="build", run_id="r1", partition_key="", error="broken")
    (outbox(data_root) / "r0.json").write_text("{")
    (outbox(data_root) / "r2.json").write_text(json.dumps({"kind": "run_failure"}))
    with open_warehouse(data_root) as session:
        deliver(session.connection, data_root)
        assert [row[3] for row in session.connection.execute(QUERY).fetchall()] == ["r1"]


def test_a_long_error_is_cut(data_root: Settings) -> None:
    message = report_run_failure(data_root, job="build", run_id="r1", partition_key="", error="x" * 10_000)
    assert len(message) < 2200


@pytest.mark.parametrize(
    ("tags", "partition"),
    [
        ({}, ""),
        ({"dagster/partition": "2026-01-02"}, "2026-01-02"),
        (
            {
                "dagster/asset_partition_range_start": "2026-01-02",
                "dagster/asset_partition_range_end": "2026-01-05",
            },
            "2026-01-02...2026-01-05",
        ),
        (
            {
                "dagster/asset_partition_range_start": "2026-01-02",
                "dagster/asset_partition_range_end": "2026-01-02",
            },
            "2026-01-02",
        ),
    ],
)
def test_the_dates_of_a_run_are_read_from_its_tags(tags: dict[str, str], partition: str) -> None:
    assert run_partition(tags) == partition


def test_the_time_is_utc_without_a_zone() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    assert before <= utc_now() <= datetime.now(UTC).replace(tzinfo=None)
