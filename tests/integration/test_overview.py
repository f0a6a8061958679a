"""How things stand, in numbers that agree with the tables and sentences that people can read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import Any

import duckdb
import pandas as pd
import pytest

from quality_assets.cli.summary import (
    NOTHING_INGESTED,
    accounting,
    checks_line,
    failing_checks,
    first_to_look_at,
    quarantine_reasons,
    summary_lines,
    worse_features,
)
from quality_assets.contracts.incidents import INCIDENTS
from quality_assets.domain.quality.result import CheckResult
from quality_assets.settings import Settings
from quality_assets.simulate import SimulationResult
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.run import record_results
from quality_assets.tables.ingest import IngestReport

PASSED = CheckResult(
    "core.valid_events", "rows_accounted", "2026-01-02", "completeness", "passed", "ERROR", True, 1.0, 1.0, 0, "Yes."
)


@pytest.fixture
def connection(built_warehouse: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The built warehouse, to be read."""
    with duckdb.connect(str(built_warehouse.warehouse_path), read_only=True) as opened:
        yield opened


@pytest.fixture
def session(built_copy: Settings) -> Iterator[WarehouseSession]:
    """A copy of the built warehouse, to be changed at will."""
    with open_warehouse(built_copy) as opened:
        yield opened


@pytest.fixture
def empty(data_root: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse."""
    with open_warehouse(data_root) as opened:
        yield opened.connection


def worsen(session: WarehouseSession, feature: str, metric: str, value: float, expected: float | None) -> None:
    """Make a metric of a feature worse than expected on the last day."""
    change = None if not expected else value / expected - 1
    session.connection.execute(
        "update product.feature_daily_trends set is_worse = true, value = $value, expected = $expected,"
        " change = $change where feature = $feature and metric = $metric and event_date = '2026-01-12'",
        {"feature": feature, "metric": metric, "value": value, "expected": expected, "change": change},
    )


def insert_incidents(session: WarehouseSession, incidents: list[dict[str, Any]]) -> None:
    """Incidents of which only some columns matter; what may not be null is empty."""
    empty: dict[str, Any] = {"VARCHAR": "", "BOOLEAN": False, "DATE": date(2026, 1, 12), "VARCHAR[]": []}
    blank = {c.name: None if c.nullable else empty.get(c.type, 0) for c in INCIDENTS.columns}
    frame = pd.DataFrame([blank | {"incident_id": str(n)} | told for n, told in enumerate(incidents)])
    replace_rows(session, INCIDENTS, frame)


def all_well(session: WarehouseSession) -> None:
    session.connection.execute("update product.feature_daily_trends set is_worse = false")


def test_rows_in_are_valid_and_quarantined(
    connection: duckdb.DuckDBPyConnection, simulated_logs: SimulationResult
) -> None:
    totals = accounting(connection)
    counts = [
        connection.execute(f"select count(*) from core.{name}").fetchall()[0][0]
        for name in ("valid_events", "quarantined_events")
    ]
    assert [totals.valid, totals.quarantined] == counts
    assert (totals.files, totals.rejected_files, totals.rows) == (12, 0, simulated_logs.rows)
    assert totals.unaccounted == 0
    assert (totals.first_date, totals.last_date) == (date(2026, 1, 1), date(2026, 1, 12))


def test_rows_of_days_that_are_not_built_are_told(
    session: WarehouseSession, ingest_all: Callable[[WarehouseSession], IngestReport]
) -> None:
    path = session.settings.landing_dir / "late.csv"
    path.write_text("event_id,event_time,feature,status\nlate,2026-01-20T10:00:00Z,Search,ok\n")
    (session.settings.landing_dir / "bad.csv").write_text("")
    ingest_all(session)
    assert accounting(session.connection).unaccounted == 1
    first, *others = summary_lines(session.connection)
    assert first.endswith(" + 1 not built yet; 1 file rejected")
    assert others[0] == "  bad.csv: the file is empty"


def test_the_commonest_reasons_come_first(connection: duckdb.DuckDBPyConnection) -> None:
    rows = connection.execute("select reasons from core.quarantined_events").fetchall()
    counted = Counter(reason for (reasons,) in rows for reason in reasons)
    found = quarantine_reasons(connection, 100)
    assert dict(found) == counted
    assert found == sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    assert quarantine_reasons(connection, 2) == found[:2]


def test_checks_are_counted_as_they_stand_now(empty: duckdb.DuckDBPyConnection, data_root: Settings) -> None:
    failed = replace(PASSED, status="failed", description="No.")
    with open_warehouse(data_root) as session:
        record_results(session, [failed, replace(failed, partition_key="2026-01-03", description="No 3.")], "run-1")
        record_results(session, [PASSED, replace(PASSED, check_name="volume", status="unknown")], "run-2")
        warning = replace(failed, asset="raw.log_files", check_name="fresh", severity="WARN", partition_key="")
        record_results(session, [warning], "run-3")
        assert checks_line(session.connection).endswith(": 1 passed, 2 failed, 1 unknown")
        assert failing_checks(session.connection) == [
            ("ERROR", "core.valid_events", "rows_accounted", 1, "No 3."),
            ("WARN", "raw.log_files", "fresh", 1, "No."),
        ]


def test_a_crash_spike_of_the_last_day_is_told_with_what_was_expected(connection: duckdb.DuckDBPyConnection) -> None:
    (line,) = [line for line in worse_features(connection, 10) if line.startswith("Search: ")]
    assert line.startswith("Search: crash rate 40 %, expected ")
    assert "users that day" in line


def test_nothing_worse_is_told_as_such(session: WarehouseSession) -> None:
    all_well(session)
    assert worse_features(session.connection) == []
    assert list(summary_lines(session.connection))[-1] == "No feature was worse than its own past on the last day."


def test_where_no_past_is_known_nothing_is_said_to_be_well(session: WarehouseSession) -> None:
    session.connection.execute("update product.feature_daily_trends set is_worse = null")
    session.connection.execute("update product.feature_states set state = 'unknown'")
    assert list(summary_lines(session.connection))[-1] == (
        "Whether anything is degraded is not known yet: no feature has a past that its last day is held against."
    )


def test_a_feature_is_told_once_by_what_hurts_most_and_most_users_come_first(session: WarehouseSession) -> None:
    all_well(session)
    worsen(session, "Search", "feedback_mean", 2.5, 4.0)
    worsen(session, "Search", "latency_p95_ms", 1234.0, 1000.0)
    worsen(session, "Visual search", "crash_rate", 0.5, None)
    worsen(session, "Search", "apdex", 0.1, 0.9)
    found = worse_features(session.connection)
    assert [line.split(",")[0] for line in found] == ["Search: latency p95 1.23 s", "Visual search: crash rate 50 %"]
    assert found[0].startswith("Search: latency p95 1.23 s, expected 1.00 s (+23 %), ")
    assert worse_features(session.connection, 1) == found[:1]


def test_what_the_run_report_ranks_comes_before_what_was_merely_worse(session: WarehouseSession) -> None:
    all_well(session)
    worsen(session, "Search", "latency_p95_ms", 1234.0, 1000.0)
    worsen(session, "Home feed", "latency_p95_ms", 1234.0, 1000.0)
    told = {"feature": "Search", "severity": "low", "affected_users": 9, "sentence": "Search: crash rate rose."}
    worst = {"feature": "Chat", "severity": "high", "affected_users": 1, "sentence": "Chat: fell silent."}
    past = told | {"feature": "Visual search", "severity": "critical", "end_date": date(2026, 1, 11)}
    insert_incidents(session, [told, worst, past])
    assert first_to_look_at(session.connection) == [
        ("Chat", ["Chat: fell silent."]),
        ("Search", ["Search: crash rate rose."]),
    ]
    lines = list(summary_lines(session.connection))
    start = lines.index("Needs attention first:")
    assert lines[start + 1 : start + 3] == ["  Chat: fell silent.", "  Search: crash rate rose."]
    assert lines[start + 3] == "Worse than their own past on the last day:"
    assert [line.split(":")[0] for line in lines[start + 4 :]] == ["  Home feed"]


def test_what_was_worse_on_an_earlier_day_is_not_told(session: WarehouseSession) -> None:
    all_well(session)
    session.connection.execute(
        "update product.feature_daily_trends set is_worse = true where event_date < '2026-01-12'"
    )
    assert worse_features(session.connection) == []


def test_a_fall_is_written_with_a_minus_and_a_silent_feature_without_users(session: WarehouseSession) -> None:
    all_well(session)
    worsen(session, "Home feed", "events", 0.0, 50.0)
    assert worse_features(session.connection) == ["Home feed: events 0, expected 50 (−100 %)"]


def test_the_summary_is_a_dozen_lines_that_agree_with_the_tables(connection: duckdb.DuckDBPyConnection) -> None:
    totals = accounting(connection)
    lines = list(summary_lines(connection))
    assert lines[0] == (f"12 files, {totals.rows:,} rows = {totals.valid:,} valid + {totals.quarantined:,} quarantined")
    assert lines[1] == "8 features on 12 days, 2026-01-01 to 2026-01-12"
    assert lines[2].startswith("Quarantined most for: ")
    assert lines[2].count("(") == 4
    assert "Worse than their own past on the last day:" in lines
    assert len(lines) <= 16


def test_failing_checks_are_in_the_summary_errors_first(session: WarehouseSession) -> None:
    failed = [replace(PASSED, status="failed", partition_key=f"2026-01-0{n}", description=f"No {n}.") for n in (2, 3)]
    warning = replace(failed[0], asset="a.first", severity="WARN", description="Hm.")
    record_results(session, [*failed, warning], "run-1")
    lines = list(summary_lines(session.connection))
    start = lines.index("Check results, one a check and date: 0 passed, 3 failed, 0 unknown")
    assert lines[start + 1 : start + 3] == [
        "  ERROR core.valid_events rows_accounted on 2 dates: No 3.",
        "  WARN a.first rows_accounted: Hm.",
    ]


def test_what_fails_in_the_logs_comes_before_what_follows_from_it(session: WarehouseSession) -> None:
    failed = replace(PASSED, status="failed", severity="WARN", description="Hm.")
    assets = (
        "ml.risk_scores",
        "monitoring.data_drift",
        "raw.log_files",
        "product.incidents",
        "core.valid_events",
        "ops.x",
    )
    record_results(session, [replace(failed, asset=asset) for asset in assets], "run-1")
    lines = list(summary_lines(session.connection))
    start = lines.index("Check results, one a check and date: 0 passed, 6 failed, 0 unknown")
    order = ("raw.log_files", "core.valid_events", "product.incidents")
    assert lines[start + 1 : start + 5] == [
        *(f"  WARN {asset} rows_accounted: Hm." for asset in order),
        "  … and 3 other checks: `quality status`",
    ]


def test_an_empty_warehouse_has_a_summary_too(empty: duckdb.DuckDBPyConnection) -> None:
    assert list(summary_lines(empty)) == [
        "0 files, 0 rows = 0 valid + 0 quarantined",
        "Check results, one a check and date: 0 passed, 0 failed, 0 unknown",
        NOTHING_INGESTED,
    ]
