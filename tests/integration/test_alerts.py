"""Faults of the graph in the book of alerts: runs, publications, incidents, drift; and the copy that SQL sees."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

import numpy as np
import pytest
from pydantic import SecretStr
from services import alert_rows
from sqlalchemy import select

from quality_assets.clock import utc_now
from quality_assets.contracts.drift import DATA_DRIFT
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.defs.run_tags import run_partition
from quality_assets.domain.quality.alerting import Fault, group_of
from quality_assets.domain.quality.check import Severity
from quality_assets.domain.quality.model_checks import NOT_TOLD
from quality_assets.domain.quality.result import CheckResult
from quality_assets.settings import Settings, get_settings
from quality_assets.stores.failures import record_failure, record_success
from quality_assets.stores.operations.alert_tables import ALERT_SUBJECT
from quality_assets.stores.operations.store import close_operations, operations_of
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import faults
from quality_assets.tables.alerts import AlertBook, raise_fault
from quality_assets.tables.checks.known import checks_by_subject
from quality_assets.tables.drift_limits import USUAL, limits_to_look_by, set_limits
from quality_assets.tables.faults import (
    report_run_failure,
    settle_failed_runs,
    tell_of_checks,
    tell_of_drift,
    tell_of_incidents,
    tell_untold_checks,
)
from quality_assets.tables.house_settings import change
from quality_assets.tables.operations_copy import copy_operations

DAY = date(2026, 3, 2)
INCIDENT: dict[str, Any] = {
    "incident_id": "i1",
    "feature": "Search",
    "metric": "crash_rate",
    "metrics": ["crash_rate"],
    "kind": "step",
    "scope": "feature",
    "start_date": DAY,
    "detected_on": DAY,
    "unit": "fraction",
    "baseline_value": 0.01,
    "peak_value": 0.05,
    "score": 9.0,
    "affected_users": 1200,
    "events": 5000,
    "slice_status": "found",
    "slice_dimensions": ["platform"],
    "slice_values": ["ios"],
    "severity": "high",
    "sentence": "Search crashes five times as often on ios.",
}
DRIFT: dict[str, Any] = {
    "event_date": DAY,
    "kind": "data",
    "feature": "",
    "name": "worst_slope_z",
    "statistic": "psi",
    "observed": 0.4,
    "threshold": 0.2,
    "is_drifted": True,
    "n_reference": 100,
    "n_current": 40,
    "reference_days": 28,
    "effect_on_predictions": 0.06,
    "rank": 1,
    "status": "drifted",
    "verdict": "It moved.",
}


def insert(session: WarehouseSession, table: str, **row: Any) -> None:
    marks = ", ".join(f"${name} as {name}" for name in row)
    session.connection.execute(f"insert into {table} by name select {marks}", row)


def fail(settings: Settings, run_id: str = "0123456789", **other: Any) -> str:
    given = {"job": "build", "partition_key": "2026-01-02", "error": "  It's broken: ü\n", **other}
    return report_run_failure(settings, run_id=run_id, **given)


def test_a_failed_run_says_what_to_do(data_root: Settings) -> None:
    message = fail(data_root, assets=["core.valid_events"])
    assert message == (
        "Run 01234567 of build for 2026-01-02 failed: It's broken: ü."
        " Open the run in the Dagster UI, mend the cause, then `quality run`."
    )
    (alert,) = alert_rows(data_root)
    assert (alert["kind"], alert["subject"], alert["severity"], alert["message"]) == ("run", "build", "high", message)
    assert (alert["run_id"], alert["partition_key"]) == ("0123456789", "2026-01-02")
    assert alert["evidence"] == {"assets": ["core.valid_events"]}


def test_a_failed_run_is_one_fault_however_often_it_is_reported_and_tried(data_root: Settings) -> None:
    for run_id in ("r1", "r1", "r2"):
        fail(data_root, run_id)
    assert [(alert["occurrences"], alert["run_id"]) for alert in alert_rows(data_root)] == [(2, "r2")]


@pytest.mark.parametrize(
    ("description", "title"),
    [
        (
            "3 features with events but without a description: Search; Feed; Pay. Give it a row in data/x.csv.",
            "product.dim_feature_metadata: 3 features with events but without a description: Search; Feed; Pay",
        ),
        (f"3 features: {'Search; ' * 40}. Mend it.", f"product.dim_feature_metadata: 3 features:{' Search;' * 18} …"),
        ("", "product.dim_feature_metadata: features described"),
    ],
)
def test_a_failed_check_is_titled_by_what_it_found(data_root: Settings, description: str, title: str) -> None:
    found = CheckResult(
        "product.dim_feature_metadata", "features_described", "", "completeness", "failed", "WARN", False, 3.0, 0.0, 3,
        description,
    )  # fmt: skip
    tell_of_checks(data_root, [found], {}, "r1")
    (alert,) = alert_rows(data_root)
    assert (alert["title"], alert["message"], alert["check_name"]) == (title, description, "features_described")
    said = description.partition(". ")[2]
    assert alert["action"] == (said or "Open the asset in Dagster, mend the cause, then `quality run`.")


@pytest.mark.parametrize(("severity", "root"), [("WARN", "product.dim_feature_metadata"), ("ERROR", "raw.log_files")])
def test_what_fails_upstream_is_the_cause_and_what_is_merely_worth_a_look_is_not(
    data_root: Settings, severity: Literal["WARN", "ERROR"], root: str
) -> None:
    results = [
        CheckResult(asset, name, "", "volume", "failed", how, False, 1.0, 0.0, 1, "One is.")
        for asset, name, how in (
            ("product.dim_feature_metadata", "features_described", "WARN"),
            ("raw.log_files", "data_is_fresh", severity),
        )
    ]
    tell_of_checks(data_root, results, {}, "r1")
    groups = {alert["subject"]: alert["group_id"] for alert in alert_rows(data_root)}
    assert groups == {"raw.log_files": group_of("raw.log_files"), "product.dim_feature_metadata": group_of(root)}


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_said", {})


def test_what_checks_find_while_the_store_is_away_is_told_once_it_answers(
    data_root: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def of(asset: str, name: str, status: str, day: str = "") -> CheckResult:
        n: Any = np.int64(1)
        return CheckResult(asset, name, day, "volume", status, "WARN", False, 1.0, 0.0, n, f"{status}.", "[1]")

    away = data_root.model_copy(update={"operations_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    days = ("2026-03-01", "2026-03-02")
    tell_of_checks(away, [of("core.a", "is_usual", "failed", days[0]), of("core.a", "is_true", "failed")], {}, "r1")
    tell_of_checks(away, [of("core.b", "is_usual", "failed")], {}, "r1")
    # The same was asked again: of one the newer answer is that all is well, of the other another day was asked.
    later = [of("core.a", "is_usual", "passed", days[1]), of("core.a", "is_true", "passed")]
    tell_of_checks(away, later, {("core.a", "is_usual"): 1}, "r2")
    tell_untold_checks(away)
    said = [record.message for record in caplog.records if "nobody is told" in record.message]
    assert len(said) == 1, "a run asks some sixty times"
    assert alert_rows(data_root) == []

    tell_of_checks(data_root, [of("core.c", "is_usual", "failed")], {}, "r3")
    told = [(a["subject"], a["check_name"], a["run_id"], a["occurrences"]) for a in alert_rows(data_root)]
    assert sorted(told) == [
        ("core.a", "is_usual", "r2", 1),
        ("core.b", "is_usual", "r1", 1),
        ("core.c", "is_usual", "r3", 1),
    ]
    tell_untold_checks(data_root)
    assert len(alert_rows(data_root)) == 3
    assert {alert["occurrences"] for alert in alert_rows(data_root)} == {1}


def test_drift_is_looked_at_by_the_usual_limits_while_the_store_is_away(data_root: Settings) -> None:
    set_limits(data_root, "feature_risk", {"false_share": 0.01, "least_distance": None}, "ann")
    assert limits_to_look_by(data_root, "feature_risk").false_share == 0.01
    away = data_root.model_copy(update={"operations_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    assert limits_to_look_by(away, "feature_risk") == USUAL["feature_risk"]


def test_what_counts_incidents_or_drift_tells_nobody_what_they_are_told_one_by_one(data_root: Settings) -> None:
    known = {(check.subject.name, check.name): check for checks in checks_by_subject().values() for check in checks}
    assert set(known) >= NOT_TOLD
    results = [
        CheckResult(asset, name, "", known[asset, name].dimension, "failed", "WARN", False, 1.0, 0.0, 1, "One is.")
        for asset, name in sorted(NOT_TOLD)
    ]
    tell_of_checks(data_root, results, dict.fromkeys(NOT_TOLD, 1), "r1")
    assert alert_rows(data_root) == []
    # What was told by code of before is over, though the check still fails.
    with operations_of(data_root).write() as connection:
        for asset, name in NOT_TOLD:
            raise_fault(connection, Fault("check", asset, "title", "message", "medium", name))
    for run in ("r2", "r3"):
        tell_of_checks(data_root, results, dict.fromkeys(NOT_TOLD, 1), run)
    assert [alert["status"] for alert in alert_rows(data_root)] == ["resolved"] * len(NOT_TOLD)


def test_a_warning_of_a_day_long_before_the_newest_is_history(data_root: Settings) -> None:
    def of(day: date, status: str, name: str = "mix_as_usual", severity: Severity = "WARN") -> CheckResult:
        return CheckResult(
            "core.a", name, str(day), "validity", status, severity, False, 1.0, 0.0, 1, f"Odd on {day:%-d %b}."
        )

    newest = date(2026, 3, 30)
    old, recent = newest - timedelta(days=14), newest - timedelta(days=13)
    tell_of_checks(data_root, [of(old, "failed"), of(newest, "passed")], {("core.a", "mix_as_usual"): 1}, "r1")
    assert alert_rows(data_root) == []
    results = [of(old, "failed"), of(recent, "failed"), of(newest, "passed"), of(old, "failed", "is_true", "ERROR")]
    tell_of_checks(data_root, results, {}, "r2")
    # A number that is false is told however old it is.
    assert sorted((row["check_name"], row["message"]) for row in alert_rows(data_root)) == [
        ("is_true", "16 Mar 2026: Odd on 16 Mar."),
        ("mix_as_usual", "17 Mar 2026: Odd on 17 Mar."),
    ]
    # Where the old day itself is what came, it is the news.
    tell_of_checks(data_root, [of(old, "failed", "volume_as_usual")], {}, "r3")
    assert "volume_as_usual" in {row["check_name"] for row in alert_rows(data_root)}


def test_a_refused_publication_is_critical(data_root: Settings) -> None:
    fail(data_root, job="publish", assets=["publish.published_snapshot"])
    (alert,) = alert_rows(data_root)
    assert (alert["kind"], alert["severity"], alert["title"]) == ("publication", "critical", "Nothing new is published")


def test_a_failed_run_is_over_when_what_it_could_not_make_is_made(data_root: Settings) -> None:
    folder = data_root.published_dir
    record_failure(folder, "core.valid_events", (DAY, DAY), run_id="r1", cause="disk", failed_at=utc_now())
    fail(data_root, assets=["core.valid_events"])
    settle_failed_runs(data_root, ["build"])
    assert [alert["status"] for alert in alert_rows(data_root)] == ["open"], "its dates are not made"
    record_success(folder, "core.valid_events", (DAY, DAY))
    settle_failed_runs(data_root)
    assert [alert["resolution"] for alert in alert_rows(data_root)] == ["auto"]


def test_a_run_that_names_no_asset_is_over_when_its_job_succeeds(data_root: Settings) -> None:
    fail(data_root)
    settle_failed_runs(data_root, ["another"])
    assert [alert["status"] for alert in alert_rows(data_root)] == ["open"]
    settle_failed_runs(data_root, ["build"])
    assert [alert["status"] for alert in alert_rows(data_root)] == ["resolved"]


def test_a_long_error_is_cut(data_root: Settings) -> None:
    assert len(fail(data_root, error="x" * 10_000)) < 2200


def test_incidents_are_told_with_severity_and_users_and_end_with_themselves(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        insert(session, INCIDENTS.qualified_name, **INCIDENT)
        old = {**INCIDENT, "incident_id": "i0", "detected_on": date(2025, 1, 1), "feature": "Feed"}
        insert(session, INCIDENTS.qualified_name, **{**old, "severity": "medium"})
        tell_of_incidents(session, "run-1")
        (alert,) = alert_rows(data_root)
        assert (alert["subject"], alert["severity"], alert["users"]) == ("Search", "high", 1200)
        assert (alert["expected"], alert["observed"], alert["message"]) == (0.01, 0.05, INCIDENT["sentence"])
        assert alert["evidence"]["slice"] == {"platform": "ios"}
        AlertBook(operations_of(data_root)).acknowledge(alert["alert_id"], "ann")
        tell_of_incidents(session, "run-2")
        assert [each["status"] for each in alert_rows(data_root)] == ["acknowledged"]
        session.connection.execute(f"update {INCIDENTS.qualified_name} set end_date = $d", {"d": DAY})
        tell_of_incidents(session, "run-3")
    assert [each["resolution"] for each in alert_rows(data_root)] == ["auto"]


def test_what_is_taken_for_normal_is_not_resolved(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        insert(session, INCIDENTS.qualified_name, **INCIDENT)
        gone = {**INCIDENT, "incident_id": "i2", "feature": "Feed", "end_date": DAY, "end_kind": "silent"}
        insert(session, INCIDENTS.qualified_name, **gone)
        tell_of_incidents(session, "run-1")
        table = INCIDENTS.qualified_name
        session.connection.execute(
            f"update {table} set end_date = $d, end_kind = 'adopted', sentence = 'New.' where incident_id = 'i1'",
            {"d": DAY},
        )
        tell_of_incidents(session, "run-2")
        # What had ended before it was ever told is not told now.
        (alert,) = alert_rows(data_root)
        assert (alert["subject"], alert["status"], alert["message"]) == ("Search", "open", "New.")
        session.connection.execute(f"update {table} set end_kind = 'recovered' where incident_id = 'i1'")
        tell_of_incidents(session, "run-3")
    assert [each["resolution"] for each in alert_rows(data_root)] == ["auto"]


def test_what_hurts_people_badly_today_is_told_however_long_ago_it_was_found(data_root: Settings) -> None:
    old = {**INCIDENT, "detected_on": date(2025, 1, 1)}
    with open_warehouse(data_root) as session:
        for severity in ("low", "medium", "high", "critical"):
            more = {"incident_id": severity, "feature": severity, "severity": severity}
            insert(session, INCIDENTS.qualified_name, **{**old, **more})
        insert(session, INCIDENTS.qualified_name, **INCIDENT)
        tell_of_incidents(session, "run-1")
    assert {alert["subject"] for alert in alert_rows(data_root)} == {"high", "critical", "Search"}


def test_users_of_the_last_day_and_the_verdict_are_told_and_all_features_at_once_as_one(data_root: Settings) -> None:
    more = {
        "users_today": 7, "current_value": 0.03, "verdict_sentence": "Real.", "verdict": "real",
        "features": ["Feed", "Maps", "Search"],
    }  # fmt: skip
    with open_warehouse(data_root) as session:
        insert(session, INCIDENTS.qualified_name, **{**INCIDENT, **more})
        tell_of_incidents(session, "run-1")
    (alert,) = alert_rows(data_root)
    assert (alert["users"], alert["observed"], alert["evidence"]["verdict"]) == (7, 0.03, "real")
    assert alert["message"] == f"{INCIDENT['sentence']} Real."
    assert alert["title"] == "3 features at once: crash rate worse than usual"


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, [("drift", "worst_slope_z", "high")]),
        ({"effect_on_predictions": 0.03}, [("drift", "worst_slope_z", "medium")]),
        ({"effect_on_predictions": 0.01}, []),
        ({"effect_on_predictions": None}, []),
        ({"status": "ok", "is_drifted": False}, []),
        ({"kind": "performance", "name": "brier_score"}, [("model", "ml.risk_model", "high")]),
    ],
)
def test_only_drift_that_predictions_feel_is_told(
    data_root: Settings, other: dict[str, Any], told: list[tuple[str, str, str]]
) -> None:
    with open_warehouse(data_root) as session:
        insert(session, DATA_DRIFT.qualified_name, **{**DRIFT, **other})
        tell_of_drift(session, "run-1")
        assert [(each["kind"], each["subject"], each["severity"]) for each in alert_rows(data_root)] == told
        session.connection.execute(f"delete from {DATA_DRIFT.qualified_name}")
        for n in range(2):
            tell_of_drift(session, f"run-{n + 2}")
    assert {each["status"] for each in alert_rows(data_root)} == ({"resolved"} if told else set())


def test_each_alert_has_the_owner_of_what_it_is_about_and_a_feature_its_team(data_root: Settings) -> None:
    check = CheckResult(
        "core.valid_events", "rows_accounted", "", "completeness", "failed", "ERROR", True, 1.0, 0.0, 1, "One is lost."
    )  # fmt: skip
    tell_of_checks(data_root, [check], {}, "r1")
    fail(data_root)
    fail(data_root, job="learn", assets=["ml.risk_model"])
    with open_warehouse(data_root) as session:
        insert(session, DATA_DRIFT.qualified_name, **DRIFT)
        tell_of_drift(session, "r1")
        # As soon as it is read: the table of readers is made last.
        described = {"feature": "Search", "owner": "ines@example.com", "team": "Discovery"}
        insert(session, FEATURE_DESCRIPTIONS.qualified_name, **described)
        insert(session, INCIDENTS.qualified_name, **INCIDENT)
        tell_of_incidents(session, "r1")
    assert {(each["kind"], each["subject"]): each["owner"] for each in alert_rows(data_root)} == {
        ("check", "core.valid_events"): "team:data-platform",
        ("run", "build"): "team:data-platform",
        ("run", "learn"): "team:ml-platform",
        ("drift", "worst_slope_z"): "team:ml-platform",
        ("incident", "Search"): "ines@example.com",
    }
    with operations_of(data_root).read() as connection:
        of_team = select(ALERT_SUBJECT.c.entity_id).where(ALERT_SUBJECT.c.entity_type == "team")
        assert list(connection.execute(of_team).scalars()) == ["Discovery"]


def test_a_severity_that_people_set_counts(data_root: Settings) -> None:
    with operations_of(data_root).write() as connection:
        change(connection, "alerts.severity", {"build": "low"}, "ann")
    fail(data_root)
    assert [alert["severity"] for alert in alert_rows(data_root)] == ["low"]


def test_sql_sees_the_alerts_as_they_stood_at_publication(data_root: Settings) -> None:
    fail(data_root)
    book = AlertBook(operations_of(data_root))
    book.resolve(alert_rows(data_root)[0]["alert_id"], "ann", "fixed", note="Restarted.")
    with open_warehouse(data_root) as session:
        for _ in range(2):
            counts = copy_operations(session)
        alerts = session.connection.execute(
            "select kind, subject, severity, status, occurrences, resolution, resolved_at is not null, users"
            " from monitoring.alerts"
        ).fetchall()
        history = session.connection.execute(
            "select actor, action, to_state, note from monitoring.alert_history order by event_id"
        ).fetchall()
    assert (counts["monitoring.alerts"], counts["monitoring.alert_history"]) == (1, 2)
    assert alerts == [("run", "build", "high", "resolved", 1, "fixed", True, None)]
    assert [row[:3] for row in history] == [("graph", "opened", "open"), ("ann", "resolved", "resolved")]
    assert history[1][3] == "Restarted."


def test_a_run_goes_on_where_the_store_does_not_answer(
    data_root: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("QUALITY_OPERATIONS_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    get_settings.cache_clear()
    assert "broken" in fail(get_settings())
    close_operations()
    assert "the operations store does not answer" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("tags", "partition"),
    [
        ({}, ""),
        ({"dagster/partition": "2026-01-02"}, "2026-01-02"),
        (
            {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-05"},
            "2026-01-02...2026-01-05",
        ),
        (
            {"dagster/asset_partition_range_start": "2026-01-02", "dagster/asset_partition_range_end": "2026-01-02"},
            "2026-01-02",
        ),
    ],
)
def test_the_dates_of_a_run_are_read_from_its_tags(tags: dict[str, str], partition: str) -> None:
    assert run_partition(tags) == partition


def test_the_time_is_utc_without_a_zone() -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    assert before <= utc_now() <= datetime.now(UTC).replace(tzinfo=None)
