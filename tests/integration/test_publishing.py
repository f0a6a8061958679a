"""Publication: refused while a blocking check does not pass or dates are half-built, and the last good stays."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta

import duckdb
import pytest
from pydantic import SecretStr

from quality_assets.clock import utc_now
from quality_assets.contracts.catalog import may_refuse_publication
from quality_assets.contracts.events import VALID_EVENTS
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import LOG_FILES
from quality_assets.domain.quality.result import CheckResult
from quality_assets.domain.quality.sql_checks import SQL_CHECKS
from quality_assets.settings import Settings
from quality_assets.stores.failures import record_failure, record_success
from quality_assets.stores.snapshots import Snapshot, current_snapshot, last_attempt, open_snapshot
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import publishing
from quality_assets.tables.checks import run as checking
from quality_assets.tables.checks.known import blocking_checks
from quality_assets.tables.checks.run import record_results, run_check
from quality_assets.tables.exports import export_csv
from quality_assets.tables.failing import DAY_TABLES, failing_dates, must_read_again, must_score_again, must_train_again
from quality_assets.tables.ingest import IngestReport
from quality_assets.tables.operations_copy import copy_operations
from quality_assets.tables.publishing import (
    EXPORTED_TABLES,
    MAX_REASONS,
    Refusal,
    is_published,
    publish_warehouse,
    reasons_against,
)
from quality_assets.tables.staleness import (
    await_audit,
    days_to_build,
    is_arrival_unaudited,
    record_audited,
    trends_to_build,
)

FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)
GOOD = CheckResult(
    "core.valid_events", "rows_accounted", "2026-01-02", "completeness", "passed", "ERROR", True, 1.0, 1.0, 0, "Yes."
)
BAD = replace(GOOD, status="failed", observed=0.0, description="Is every row there? No. Observed 0, against 1.")


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a minute later: versions are named by the second."""
    now = [datetime(2026, 1, 13, 4, 0)]

    def tick() -> datetime:
        now[0] += timedelta(minutes=1)
        return now[0]

    monkeypatch.setattr(publishing, "utc_now", tick)
    monkeypatch.setattr(checking, "utc_now", tick)


def attempt(settings: Settings, run_id: str, *results: CheckResult) -> Snapshot | Refusal:
    with open_warehouse(settings) as session:
        record_results(session, results, run_id)
        return publish_warehouse(session, run_id)


def published(settings: Settings, run_id: str = "run-1") -> Snapshot:
    snapshot = attempt(settings, run_id, GOOD)
    assert isinstance(snapshot, Snapshot)
    for name, table in EXPORTED_TABLES.items():
        export_csv(snapshot, table, settings.processed_dir / name)
    return snapshot


def test_good_data_is_published_with_what_it_is(built_copy: Settings) -> None:
    snapshot = published(built_copy)
    assert (snapshot.run_id, snapshot.data_through) == ("run-1", date(2026, 1, 12))
    assert current_snapshot(built_copy.published_dir) == snapshot
    last = last_attempt(built_copy.published_dir)
    assert last is not None
    assert (last.status, last.run_id, last.reasons) == ("published", "run-1", ())
    with open_snapshot(snapshot) as reader:
        rows = reader.execute("select version, run_id, data_through from ops.publications").fetchall()
        events = reader.execute("select count(*) from core.valid_events").fetchall()
    assert rows == [(snapshot.version, "run-1", date(2026, 1, 12))]
    assert events[0][0] > 0
    with open_warehouse(built_copy) as session:
        assert is_published(session)


def test_facts_do_not_wait_for_an_operations_store_that_does_not_answer(built_copy: Settings) -> None:
    with socket.socket() as probe:
        # Bound and not listening: who asks is refused.
        probe.bind(("127.0.0.1", 0))
        url = SecretStr(f"postgresql://nobody@127.0.0.1:{probe.getsockname()[1]}/operations")
        with open_warehouse(built_copy.model_copy(update={"operations_url": url})) as session:
            record_results(session, [GOOD], "run-1")
            copied = 'insert into monitoring.alert_history (event_id, alert_id, "at", actor, action) values'
            session.connection.execute(f"{copied} (1, 'a', timestamp '2026-01-12', 'ann', 'acknowledged')")
            assert copy_operations(session) is None
            snapshot = publish_warehouse(session, "run-1")
    assert isinstance(snapshot, Snapshot)
    with open_snapshot(snapshot) as reader:
        # What was copied last stays.
        assert reader.execute("select actor from monitoring.alert_history").fetchall() == [("ann",)]


@pytest.mark.parametrize("name", EXPORTED_TABLES)
def test_files_that_a_kill_or_a_full_disk_kept_from_readers_are_made_up_for(built_copy: Settings, name: str) -> None:
    published(built_copy)
    (built_copy.processed_dir / name).unlink()
    with open_warehouse(built_copy) as session:
        assert not is_published(session)


def test_all_checks_of_good_data_let_it_be_published(built_copy: Settings) -> None:
    with open_warehouse(built_copy) as session:
        results = [r for check in SQL_CHECKS for r in run_check(session, check, FIRST, LAST)]
        record_results(session, results, "run-1")
        assert any(result.status == "failed" for result in results)
        assert reasons_against(session) == []


@pytest.mark.parametrize("status", ["failed", "unknown"])
def test_a_blocking_check_that_does_not_pass_refuses_and_the_last_good_stays(built_copy: Settings, status: str) -> None:
    good = published(built_copy)
    outcome = attempt(built_copy, "run-2-of-today", replace(BAD, status=status))
    assert isinstance(outcome, Refusal)
    assert outcome.reasons == (
        "core.valid_events: rows_accounted does not pass for 2026-01-02 (run run-2-of)."
        " Is every row there? No. Observed 0, against 1.",
    )
    assert current_snapshot(built_copy.published_dir) == good
    last = last_attempt(built_copy.published_dir)
    assert last is not None
    assert (last.status, last.reasons) == ("refused", outcome.reasons)
    with open_snapshot(good) as reader:
        assert reader.execute("select count(*) from ops.publications").fetchall() == [(1,)]


def test_since_when_it_is_refused_is_kept_until_it_is_published_again(built_copy: Settings) -> None:
    published(built_copy)
    attempt(built_copy, "run-2", BAD)
    first = last_attempt(built_copy.published_dir)
    attempt(built_copy, "run-3")
    second = last_attempt(built_copy.published_dir)
    assert first is not None
    assert second is not None
    assert first.since == first.attempted_at == second.since < second.attempted_at
    assert isinstance(attempt(built_copy, "run-4", GOOD), Snapshot)
    last = last_attempt(built_copy.published_dir)
    assert last is not None
    assert last.since == last.attempted_at


@pytest.mark.parametrize(
    "harmless",
    [replace(BAD, severity="WARN"), replace(BAD, is_blocking=False), replace(BAD, severity="WARN", status="unknown")],
)
def test_what_does_not_block_does_not_refuse(built_copy: Settings, harmless: CheckResult) -> None:
    assert isinstance(attempt(built_copy, "run-1", harmless), Snapshot)


@pytest.mark.parametrize(
    "asset", [name for name, _ in sorted(blocking_checks()) if name.partition(".")[0] not in ("raw", "core")]
)
def test_of_what_lies_behind_the_events_only_facts_refuse(asset: str) -> None:
    assert may_refuse_publication(asset) is (asset == "product.fact_feature_metrics")


def test_what_fails_behind_the_facts_is_published_beside_them_and_built_again(built_copy: Settings) -> None:
    behind = sorted(check for check in blocking_checks() if not may_refuse_publication(check[0]))
    bad = [replace(BAD, asset=asset, check_name=name, partition_key="") for asset, name in behind]
    assert {"product.incidents", "ml.risk_scores", "monitoring.data_drift"} <= {asset for asset, _ in behind}
    assert isinstance(attempt(built_copy, "run-1", *bad), Snapshot)
    with open_warehouse(built_copy) as session:
        assert must_score_again(session)
        record_results(session, [replace(result, status="passed") for result in bad], "run-2")
        assert not must_score_again(session)


@pytest.mark.parametrize("asset", ["ml.risk_model", "ml.model_versions"])
def test_training_that_ended_with_an_error_is_tried_again(built_copy: Settings, asset: str) -> None:
    folder = built_copy.published_dir
    record_failure(folder, "product.trends", None, run_id="r", cause="disk", failed_at=utc_now())
    with open_warehouse(built_copy) as session:
        assert not must_train_again(session)
        record_failure(folder, asset, None, run_id="r", cause="disk", failed_at=utc_now())
        assert must_train_again(session)
        assert must_score_again(session)
        record_success(folder, asset, None)
        assert not must_train_again(session)


def test_dates_whose_checks_fail_are_built_again(built_copy: Settings) -> None:
    described = replace(BAD, asset="raw.feature_descriptions", check_name="contract_kept", partition_key="")
    attempt(built_copy, "run-1", BAD, described)
    with open_warehouse(built_copy) as session:
        # What is of no date is asked again with the last one.
        assert failing_dates(session.connection, DAY_TABLES) == [date(2026, 1, 2), date(2026, 1, 12)]
        assert failing_dates(session.connection, [FEATURE_DAILY_TRENDS]) == []
        assert not must_read_again(session.connection)
        record_results(session, [replace(BAD, asset="raw.raw_logs", partition_key="")], "run-2")
        assert must_read_again(session.connection)


@pytest.mark.parametrize("change", [{"check_name": "rows_counted"}, {"asset": "core.all_events"}])
def test_a_check_that_is_no_more_does_not_refuse(built_copy: Settings, change: dict[str, str]) -> None:
    assert isinstance(attempt(built_copy, "run-1", replace(BAD, **change)), Snapshot)  # type: ignore[arg-type]


def test_the_newest_result_of_a_partition_counts_and_other_partitions_are_not_forgotten(built_copy: Settings) -> None:
    other = replace(BAD, partition_key="2026-01-03")
    assert isinstance(attempt(built_copy, "run-1", BAD, other), Refusal)
    outcome = attempt(built_copy, "run-2", GOOD)
    assert isinstance(outcome, Refusal)
    assert "for 2026-01-03 (run run-1)" in outcome.reasons[0]
    assert isinstance(attempt(built_copy, "run-3", replace(GOOD, partition_key="2026-01-03")), Snapshot)


def test_many_failing_dates_are_one_reason_and_many_reasons_are_cut(built_copy: Settings) -> None:
    dates = [replace(BAD, partition_key=f"2026-01-{n:02}") for n in range(1, 13)]
    others = sorted(blocking_checks() - {(BAD.asset, BAD.check_name)})
    assert len(others) >= MAX_REASONS
    checks = [replace(BAD, asset=asset, check_name=name) for asset, name in others]
    outcome = attempt(built_copy, "run-1", *dates, *checks)
    assert isinstance(outcome, Refusal)
    assert len(outcome.reasons) == MAX_REASONS
    with open_warehouse(built_copy) as session:
        session.connection.execute(
            "delete from monitoring.check_results where asset <> $1 or check_name <> $2", [BAD.asset, BAD.check_name]
        )
        (reason,) = reasons_against(session)
    assert "for 2026-01-01 and 11 more dates" in reason


def test_what_was_built_and_not_checked_refuses_and_is_built_again(built_copy: Settings) -> None:
    day, others = date(2026, 1, 3), (date(2026, 1, 5), date(2026, 1, 9))
    with open_warehouse(built_copy) as session:
        await_audit(session.connection, LOG_FILES, date.min, date.min)
        await_audit(session.connection, VALID_EVENTS, day, day)
        await_audit(session.connection, FEATURE_DAILY_TRENDS, *others)
        assert days_to_build(session.connection) == [day]
        assert trends_to_build(session.connection) == [others[0] + timedelta(days=n) for n in range(5)]
        assert is_arrival_unaudited(session.connection)
    outcome = attempt(built_copy, "run-1")
    assert isinstance(outcome, Refusal)
    assert outcome.reasons == (
        "what arrived has not been checked since it was read; run `quality run`",
        f"{VALID_EVENTS.qualified_name} has not been checked for 2026-01-03; run `quality run`",
    )
    with open_warehouse(built_copy) as session:
        record_audited(session.connection, LOG_FILES, date.min, date.max)
        record_audited(session.connection, VALID_EVENTS, day, day)
        record_audited(session.connection, FEATURE_DAILY_TRENDS, *others)
        assert reasons_against(session) == []


def test_half_built_dates_refuse_and_are_named(
    built_copy: Settings,
    ingest_all: Callable[[WarehouseSession], IngestReport],
    build_all: Callable[..., None],
) -> None:
    good = published(built_copy)
    lines = [f"late-{day},2026-01-0{day}T10:00:00Z,Search,ok" for day in (3, 4, 8)]
    (built_copy.landing_dir / "late.csv").write_text("\n".join(["event_id,event_time,feature,status", *lines]))
    with open_warehouse(built_copy) as session:
        ingest_all(session)
        assert not reasons_against(session)[0].startswith(FACT_FEATURE_METRICS.qualified_name)
    outcome = attempt(built_copy, "run-2")
    assert isinstance(outcome, Refusal)
    assert outcome.reasons == (
        f"{VALID_EVENTS.qualified_name} is not built for 2026-01-03 to 2026-01-04, 2026-01-08; run `quality run`",
    )
    assert current_snapshot(built_copy.published_dir) == good
    with open_warehouse(built_copy) as session:
        build_all(session, FIRST, LAST)
        assert reasons_against(session) == []
        assert not is_published(session)
    newer = published(built_copy, "run-3")
    assert newer.data_fingerprint != good.data_fingerprint
    with open_snapshot(good) as old, open_snapshot(newer) as new:
        count = "select count(*) from core.valid_events"
        assert new.execute(count).fetchall()[0][0] == old.execute(count).fetchall()[0][0] + 3


def test_an_empty_warehouse_can_be_published(data_root: Settings) -> None:
    with open_warehouse(data_root) as session:
        assert not is_published(session)
        snapshot = publish_warehouse(session, "run-1")
    assert isinstance(snapshot, Snapshot)
    assert snapshot.data_through is None
    with open_snapshot(snapshot) as reader:
        assert reader.execute("select count(*) from core.valid_events").fetchall() == [(0,)]


def test_the_same_data_published_again_has_the_same_fingerprint_and_another_version(built_copy: Settings) -> None:
    first, second = published(built_copy, "run-1"), published(built_copy, "run-2")
    assert first.data_fingerprint == second.data_fingerprint
    assert first.version != second.version
    with open_snapshot(second) as reader:
        assert reader.execute("select run_id from ops.publications order by 1").fetchall() == [("run-1",), ("run-2",)]


def test_a_clock_that_was_set_back_makes_no_old_answer_the_newest(
    built_copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = published(built_copy)
    for module in (publishing, checking):
        monkeypatch.setattr(module, "utc_now", lambda: datetime(2020, 1, 1))
    assert isinstance(attempt(built_copy, "run-2", BAD), Refusal), "the failure is newer than the success"
    second, third = published(built_copy, "run-3"), published(built_copy, "run-4")
    assert first.version < second.version < third.version
    assert current_snapshot(built_copy.published_dir) == third
    with open_warehouse(built_copy) as session:
        assert is_published(session)


def test_as_many_snapshots_stay_as_the_settings_say(built_copy: Settings) -> None:
    settings = built_copy.model_copy(update={"keep_snapshots": 2})
    versions = [published(settings, f"run-{n}").version for n in range(3)]
    kept = sorted(path.name for path in settings.published_dir.iterdir() if path.is_dir())
    assert kept == versions[1:]


def test_the_session_is_closed_by_a_publication(built_copy: Settings) -> None:
    with open_warehouse(built_copy) as session:
        publish_warehouse(session, "run-1")
        with pytest.raises(duckdb.ConnectionException):
            session.connection.execute("select 1")
