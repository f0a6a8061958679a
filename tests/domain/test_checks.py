"""Each check passes on good data, and fails when the very thing that it guards is broken."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from services import alert_rows

from quality_assets.contracts.events import QUARANTINED_EVENTS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.monitoring import CHECK_RESULTS
from quality_assets.contracts.product import DIM_FEATURE_METADATA, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS, LOG_FILES, WITHOUT_DAYS
from quality_assets.contracts.table import Table
from quality_assets.domain.quality.check import Check
from quality_assets.domain.quality.contract_checks import contract_kept, key_unique
from quality_assets.domain.quality.event_checks import EVENT_CHECKS
from quality_assets.domain.quality.result import CheckResult
from quality_assets.domain.quality.sql_checks import SQL_CHECKS
from quality_assets.settings import Settings
from quality_assets.stores.lake import ROW_GROUP_ROWS
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.run import record_results, run_check, summarize

START, END = date(2026, 1, 1), date(2026, 1, 12)
DAY = date(2026, 1, 11)
FACT = FACT_FEATURE_METRICS.qualified_name
TREND = FEATURE_DAILY_TRENDS.qualified_name
# What twelve simulated days and one undescribed feature cannot pass; each has tests of its own below.
OVER_TIME = {
    "raw.log_files.data_is_fresh",
    "core.quarantined_events.share_as_usual",
    "product.fact_feature_metrics.features_present",
    "product.fact_feature_metrics.volume_as_usual",
    "product.fact_feature_metrics.users_known_as_usual",
    "product.fact_feature_metrics.mix_as_usual",
    "product.feature_daily_trends.features_not_silent",
    "product.dim_feature_metadata.features_described",
}


def name_of(check: Check) -> str:
    return f"{check.subject.name}.{check.name}"


# Those of the tables that the built warehouse has.
CHECKS = [check for check in SQL_CHECKS if check.subject in {each.subject for each in EVENT_CHECKS}]
CHECKS += [check for check in SQL_CHECKS if check.subject.name == FEATURE_DESCRIPTIONS.qualified_name]
BY_NAME = {name_of(check): check for check in CHECKS}


@pytest.fixture(scope="module")
def session(built_warehouse: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarehouseSession]:
    """A copy of the built warehouse that is open, and as it was before after each test."""
    root = tmp_path_factory.mktemp("checked") / "data"
    shutil.copytree(built_warehouse.data_dir, root)
    with open_warehouse(built_warehouse.model_copy(update={"data_dir": root})) as opened:
        yield opened


@contextmanager
def undone(session: WarehouseSession, *statements: str) -> Iterator[None]:
    """The statements in force within, and undone after."""
    session.connection.execute("begin transaction")
    try:
        for statement in statements:
            session.connection.execute(statement)
        yield
    finally:
        session.connection.execute("rollback")


@contextmanager
def rewritten(session: WarehouseSession, table: Table, query: str, day: date = DAY) -> Iterator[None]:
    """The Parquet file of a partition replaced by `query` over its rows (`it`) within, and put back after."""
    (file,) = session.lake.files(table, day, day)
    path = session.settings.data_dir / file.path
    kept = path.read_bytes()
    aside = path.with_suffix(".aside")
    session.connection.execute(f"create or replace temp table it as select * from read_parquet('{path}')")
    session.connection.execute(f"copy ({query}) to '{aside}' (format parquet, row_group_size {ROW_GROUP_ROWS})")
    os.replace(aside, path)
    try:
        yield
    finally:
        path.write_bytes(kept)


def statuses(session: WarehouseSession, name: str, start: date = START, end: date = END) -> dict[str, str]:
    return {result.partition_key: result.status for result in run_check(session, BY_NAME[name], start, end)}


def result_on(session: WarehouseSession, name: str, day: date | None = DAY) -> CheckResult:
    """The one result of a check for a day; the other days that it answers for have passed."""
    results = run_check(session, BY_NAME[name], START, END)
    (mine,) = [r for r in results if r.partition_key == ("" if day is None else day.isoformat())]
    assert {r.status for r in results if r is not mine} <= {"passed"}
    return mine


@pytest.mark.parametrize("name", [name for name in BY_NAME if name not in OVER_TIME])
def test_good_data_passes_for_every_partition(session: WarehouseSession, name: str) -> None:
    found = statuses(session, name)
    assert {result.unexpected_count for result in run_check(session, BY_NAME[name], START, END)} == {0}
    days = [START + timedelta(days=n) for n in range(12)] if BY_NAME[name].subject.partition_column else []
    assert found == dict.fromkeys([day.isoformat() for day in days] or [""], "passed")


BROKEN_TABLES = {
    "raw.raw_logs.rows_accounted": f"update {LOG_FILES.qualified_name} set rows = rows + 2 where file_number = 1",
    "raw.log_files.files_readable": (
        f"update {LOG_FILES.qualified_name} set status = 'rejected', reason = 'is empty' where file_number = 12"
    ),
    "raw.log_files.changed_sources_read_their_logs": (
        f"update {LOG_FILES.qualified_name} set reason = 'source web needs tss; it has ts' where file_number = 12"
    ),
    "raw.log_files.corrections_have_all_days": (
        f"update {LOG_FILES.qualified_name} set status = 'superseded', reason = '{WITHOUT_DAYS} 3 rows of 2026-01-02',"
        f" superseded_by = (select any_value(file_id) from {LOG_FILES.qualified_name} where file_number = 1)"
        " where file_number = 12"
    ),
    "raw.log_files.encodings_are_sure": (
        f"update {LOG_FILES.qualified_name} set encoding = 'cp1252, perhaps cp1250' where file_number = 12"
    ),
    "raw.log_files.columns_still_come": (
        f"update {LOG_FILES.qualified_name} set absent_columns = list_append(absent_columns, 'latency_ms')"
        f" where cast(last_event_time as date) >= date '{DAY}'"
    ),
    "product.dim_feature_metadata.names_distinct": (
        f"insert into {DIM_FEATURE_METADATA.qualified_name} by name select * replace ('\uff33earch\u200b' as feature)"
        f" from {DIM_FEATURE_METADATA.qualified_name} where feature = 'Search'"
    ),
    "product.dim_feature_metadata.names_encoded_once": (
        f"update {DIM_FEATURE_METADATA.qualified_name} set feature = 'SucheÃ¼' where feature = 'Search'"
    ),
    "raw.log_files.contract_kept": f"update {LOG_FILES.qualified_name} set status = 'eaten' where file_number = 1",
    "raw.feature_descriptions.contract_kept": f"update {FEATURE_DESCRIPTIONS.qualified_name} set tier = 9",
    "raw.feature_descriptions.key_unique": (
        f"insert into {FEATURE_DESCRIPTIONS.qualified_name} from {FEATURE_DESCRIPTIONS.qualified_name}"
    ),
    "product.dim_feature_metadata.contract_kept": (
        f"update {DIM_FEATURE_METADATA.qualified_name} set slo_crash_rate = 1.5 where feature = 'Search'"
    ),
    "product.dim_feature_metadata.key_unique": (
        f"insert into {DIM_FEATURE_METADATA.qualified_name} from {DIM_FEATURE_METADATA.qualified_name}"
    ),
}


@pytest.mark.parametrize("name", BROKEN_TABLES)
def test_a_broken_table_fails_its_check_with_examples(session: WarehouseSession, name: str) -> None:
    with undone(session, BROKEN_TABLES[name]):
        result = result_on(session, name, None)
    assert result.status == "failed"
    assert result.unexpected_count
    assert result.unexpected_count > 0
    assert json.loads(result.examples or "[]")


BROKEN_PARTITIONS = {
    "product.fact_feature_metrics.key_unique": f"insert into {FACT} from {FACT} where event_date = '{DAY}' limit 1",
    "product.fact_feature_metrics.events_reconcile": (
        f"delete from {FACT} where event_date = '{DAY}' and feature = 'Search'"
    ),
    "product.fact_feature_metrics.users_reconcile": (
        f"update {FACT} set users = users + 1 where event_date = '{DAY}' and feature = 'Search'"
    ),
    "product.feature_daily_trends.key_unique": f"insert into {TREND} from {TREND} where event_date = '{DAY}' limit 1",
    "product.feature_daily_trends.values_reconcile": (
        f"delete from {TREND} where event_date = '{DAY}' and feature = 'Search' and metric = 'events'"
    ),
}


@pytest.mark.parametrize("name", BROKEN_PARTITIONS)
def test_a_broken_partition_fails_its_check_and_no_other_partition(session: WarehouseSession, name: str) -> None:
    with undone(session, BROKEN_PARTITIONS[name]):
        result = result_on(session, name)
    assert result.status == "failed"
    assert result.unexpected_count
    assert result.unexpected_count > 0


@pytest.mark.parametrize("table", ["fact_feature_metrics", "feature_daily_trends"])
def test_a_day_that_has_vanished_from_a_table_fails_its_reconciliation(session: WarehouseSession, table: str) -> None:
    check = {"fact_feature_metrics": "events_reconcile", "feature_daily_trends": "values_reconcile"}[table]
    with undone(session, f"delete from product.{table} where event_date = '{DAY}'"):
        result = result_on(session, f"product.{table}.{check}")
    assert (result.status, result.observed) == ("failed", 0.0)
    assert result.threshold == result.unexpected_count


def test_a_day_of_facts_without_events_fails_its_reconciliation(session: WarehouseSession) -> None:
    late = END + timedelta(days=1)
    facts = f"insert into {FACT} select * replace (event_date + 1 as event_date) from {FACT} where event_date = '{END}'"
    with undone(session, facts):
        (result,) = run_check(session, BY_NAME["product.fact_feature_metrics.events_reconcile"], late, late)
    assert (result.status, result.threshold) == ("failed", 0)
    assert result.observed == result.unexpected_count > 0


BROKEN_FILES = [
    ("core.valid_events.rows_accounted", VALID_EVENTS, "select * from it limit (select count(*) - 1 from it)", 1),
    ("core.valid_events.rows_accounted", VALID_EVENTS, "from it union all (from it limit 1)", 1),
    (
        "core.valid_events.rows_accounted",
        QUARANTINED_EVENTS,
        "select * from it limit (select count(*) - 2 from it)",
        2,
    ),
    (
        "core.valid_events.event_ids_unique",
        VALID_EVENTS,
        "select * replace (case when row_number() over () < 4 then 'twin' else event_id end as event_id) from it",
        1,
    ),
    (
        "core.quarantined_events.reasons_known",
        QUARANTINED_EVENTS,
        "select * replace (case when row_number() over () = 1 then null else reasons end as reasons) from it",
        1,
    ),
    (
        "core.quarantined_events.reasons_known",
        QUARANTINED_EVENTS,
        "select * replace (case when row_number() over () < 3 then cast([] as varchar[]) else reasons end as reasons)"
        " from it",
        2,
    ),
    (
        "core.quarantined_events.reasons_known",
        QUARANTINED_EVENTS,
        "select * replace (case when row_number() over () = 1 then ['odd'] else reasons end as reasons) from it",
        1,
    ),
    (
        "core.quarantined_events.contract_kept",
        QUARANTINED_EVENTS,
        "select * replace (case when row_number() over () = 1 then null else raw_row end as raw_row) from it",
        1,
    ),
    (
        "core.user_feature_days.contract_kept",
        USER_FEATURE_DAYS,
        "select * replace (case when row_number() over () = 1 then -1 else crashes end as crashes) from it",
        1,
    ),
    (
        "core.user_feature_days.events_reconcile",
        USER_FEATURE_DAYS,
        "select * replace (case when row_number() over () = 1 then events + 3 else events end as events) from it",
        3,
    ),
]


@pytest.mark.parametrize(("name", "table", "query", "unexpected"), BROKEN_FILES)
def test_a_broken_file_of_the_lake_fails_its_check_on_its_date_only(
    session: WarehouseSession, name: str, table: Table, query: str, unexpected: int
) -> None:
    with rewritten(session, table, query):
        result = result_on(session, name)
    assert (result.status, result.unexpected_count) == ("failed", unexpected)
    assert statuses(session, name)[DAY.isoformat()] == "passed"


def test_a_file_that_has_vanished_from_the_lake_fails_the_accounting_of_its_date(session: WarehouseSession) -> None:
    (file,) = session.lake.files(QUARANTINED_EVENTS, DAY, DAY)
    path = session.settings.data_dir / file.path
    aside = path.with_suffix(".aside")
    path.rename(aside)
    try:
        result = result_on(session, "core.valid_events.rows_accounted")
    finally:
        aside.rename(path)
    assert (result.status, result.unexpected_count) == ("failed", file.row_count)


def test_rows_moved_to_another_file_id_fail_though_the_days_total_is_right(session: WarehouseSession) -> None:
    query = "select * replace (case when row_number() over () = 1 then 'x' else file_id end as file_id) from it"
    with rewritten(session, VALID_EVENTS, query):
        result = result_on(session, "core.valid_events.rows_accounted")
    assert (result.status, result.observed == result.threshold) == ("failed", True)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_check_that_cannot_run_is_unknown_and_says_why(session: WarehouseSession, check: Check) -> None:
    (result,) = run_check(session, replace(check, sql=f"select * from ({check.sql}) join nowhere on true"), START, END)
    assert result.status == "unknown"
    assert "nowhere" in result.description
    assert (result.is_blocking, result.severity) == (check.is_blocking, check.severity)


@pytest.mark.parametrize("check", CHECKS, ids=name_of)
def test_a_check_of_partitions_answers_for_the_dates_asked_only(session: WarehouseSession, check: Check) -> None:
    keys = [result.partition_key for result in run_check(session, check, DAY, DAY)]
    assert keys == ([DAY.isoformat()] if check.subject.partition_column else [""])


@pytest.mark.parametrize("rows", [1, 900, 10**9])
def test_a_check_asked_in_parts_answers_as_at_once(session: WarehouseSession, rows: int) -> None:
    check = BY_NAME["core.valid_events.event_ids_unique"]
    with rewritten(session, VALID_EVENTS, "select * from it union all (select * from it limit 2)"):
        whole = run_check(session, replace(check, rows_at_once=None), START, END)
        assert [(r.partition_key, r.unexpected_count) for r in whole if r.status == "failed"] == [(DAY.isoformat(), 2)]
        assert run_check(session, replace(check, rows_at_once=rows), START, END) == whole


def test_a_table_without_rows_breaks_no_rule(session: WarehouseSession) -> None:
    with undone(session, f"delete from {DIM_FEATURE_METADATA.qualified_name}"):
        assert statuses(session, "product.dim_feature_metadata.contract_kept") == {"": "passed"}
        assert statuses(session, "product.dim_feature_metadata.key_unique") == {"": "passed"}


def test_a_null_key_is_no_way_round_uniqueness(session: WarehouseSession) -> None:
    # The contract's NOT NULL stands before; the check must hold without it.
    table = replace(DIM_FEATURE_METADATA, name="loose")
    with undone(
        session, "create table product.loose (feature varchar)", "insert into product.loose values (null), (null)"
    ):
        (result,) = run_check(session, key_unique(table), None, None)
    assert result.status == "failed"


@pytest.mark.parametrize(
    ("column", "value"), [("crash_rate", "1.01"), ("events", "-1"), ("latency_p95_ms", "-0.1"), ("apdex", "'nan'")]
)
def test_the_contracts_ranges_are_checked_on_every_column(session: WarehouseSession, column: str, value: str) -> None:
    check = contract_kept(FACT_FEATURE_METRICS)
    assert {r.status for r in run_check(session, check, START, END)} == {"passed"}
    with undone(session, f"update {FACT} set {column} = {value} where event_date = '{DAY}' and feature = 'Search'"):
        failed = [r for r in run_check(session, check, START, END) if r.status == "failed"]
    assert [(r.partition_key, r.unexpected_count) for r in failed] == [(DAY.isoformat(), 1)]
    assert column in (failed[0].examples or "")


# --- Against the data's own past --------------------------------------------------------------------------------------

PAST = date(2025, 6, 2)  # a Monday


def history(days: int, *, last: str = "events", features: int = 10) -> str:
    """A statement for `days` days of `features` features with 100 events each; `last` is the last day's events."""
    counts = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.type == "BIGINT"]
    zero = ", ".join(f"0 as {name}" for name in counts if name != "events")
    return f"""
insert into {FACT} by name
select cast(date '{PAST}' + cast(d as int) as date) as event_date, 'f' || i as feature, n as events, {zero}
from (
  select d, i, case when d < {days - 1} then events else {last} end as n
  from (select d, i, 100 as events from range({days}) as a(d), range({features}) as b(i))
) where n is not null
"""


def on_last(session: WarehouseSession, name: str, statement: str, days: int) -> CheckResult:
    last = PAST + timedelta(days=days - 1)
    with undone(session, statement):
        (result,) = run_check(session, BY_NAME[name], last, last)
    return result


@pytest.mark.parametrize(
    ("name", "last", "status"),
    [
        ("features_present", "events", "passed"),
        ("features_present", "case when i > 1 then events end", "passed"),
        ("features_present", "case when i > 2 then events end", "failed"),
        ("volume_as_usual", "events", "passed"),
        ("volume_as_usual", "events * 129 // 100", "passed"),
        ("volume_as_usual", "events * 131 // 100", "failed"),
        ("volume_as_usual", "events * 69 // 100", "failed"),
        ("mix_as_usual", "events", "passed"),
        ("mix_as_usual", "events * 5", "passed"),
        ("mix_as_usual", "case when i = 0 then 300 else events end", "failed"),
        ("mix_as_usual", "case when i > 1 then events end", "failed"),
        ("users_known_as_usual", "events", "passed"),
    ],
)
def test_a_day_is_held_against_its_own_past(session: WarehouseSession, name: str, last: str, status: str) -> None:
    result = on_last(session, f"product.fact_feature_metrics.{name}", history(29, last=last), 29)
    assert (result.status, result.severity, result.is_blocking) == (status, "WARN", False)


@pytest.mark.parametrize(
    ("name", "enough"), [("features_present", 8), ("volume_as_usual", 22), ("users_known_as_usual", 8)]
)
def test_without_enough_past_a_check_is_unknown(session: WarehouseSession, name: str, enough: int) -> None:
    check = f"product.fact_feature_metrics.{name}"
    assert on_last(session, check, history(enough - 1), enough - 1).status == "unknown"
    assert on_last(session, check, history(enough), enough).status == "passed"


def test_the_mix_is_unknown_until_that_weekday_has_been_seen(session: WarehouseSession) -> None:
    assert on_last(session, "product.fact_feature_metrics.mix_as_usual", history(7), 7).status == "unknown"


def test_users_that_go_missing_are_noticed(session: WarehouseSession) -> None:
    name = "product.fact_feature_metrics.users_known_as_usual"
    assert result_on_dates(session, name)[END.isoformat()] == "passed"
    with rewritten(session, USER_FEATURE_DAYS, "from it where user_id > 'u' and false", END):
        assert result_on_dates(session, name)[END.isoformat()] == "failed"


def result_on_dates(session: WarehouseSession, name: str) -> dict[str, str]:
    return statuses(session, name, END, END)


def test_more_in_quarantine_than_usual_is_noticed_and_counted(session: WarehouseSession) -> None:
    name = "core.quarantined_events.share_as_usual"
    before = {day: status for day, status in statuses(session, name).items() if day > "2026-01-08"}
    assert set(before.values()) == {"passed"}
    grow = (
        "update ops.partition_state set row_count = 400"
        f" where table_name = 'core.quarantined_events' and event_date = '{DAY}'"
    )
    with undone(session, grow):
        (result,) = run_check(session, BY_NAME[name], DAY, DAY)
    assert (result.status, result.unexpected_count) == ("failed", 400)


def test_a_silent_feature_is_named(session: WarehouseSession) -> None:
    silence = (
        f"update {TREND} set value = 0, is_worse = true"
        f" where event_date = '{DAY}' and metric = 'events' and feature = 'Search'"
    )
    with undone(session, silence):
        results = run_check(session, BY_NAME["product.feature_daily_trends.features_not_silent"], START, END)
    failed = {r.partition_key: json.loads(r.examples or "") for r in results if r.status == "failed"}
    # Home feed died on the last of the simulated days.
    assert failed == {DAY.isoformat(): ["Search"], "2026-01-12": ["Home feed"]}
    assert len(results) > len(failed)


def test_features_that_nobody_described_are_named(session: WarehouseSession) -> None:
    name = "product.dim_feature_metadata.features_described"
    result = result_on(session, name, None)
    assert (result.status, json.loads(result.examples or "")) == ("failed", ["Shopping basket"])
    with undone(session, f"update {DIM_FEATURE_METADATA.qualified_name} set is_described = true"):
        assert statuses(session, name) == {"": "passed"}


@pytest.mark.parametrize(("hours", "status"), [(35, "passed"), (37, "failed")])
def test_data_is_fresh_for_a_day_and_a_half(session: WarehouseSession, hours: int, status: str) -> None:
    newest = (
        f"update {LOG_FILES.qualified_name} set last_event_time = (now() at time zone 'UTC') - interval {hours} hours"
        " where file_number = 1"
    )
    with undone(session, newest):
        assert statuses(session, "raw.log_files.data_is_fresh") == {"": status}


@pytest.mark.parametrize(("minutes", "is_passed"), [(0, True), (1, False)])
def test_data_is_fresh_until_its_36th_hour_is_over(session: WarehouseSession, minutes: int, is_passed: bool) -> None:
    newest = session.connection.execute(f"select max(last_event_time) from {LOG_FILES.qualified_name}").fetchall()[0][0]
    now = newest.replace(second=0, microsecond=0) + timedelta(hours=36, minutes=minutes)
    (row,) = session.connection.execute(BY_NAME["raw.log_files.data_is_fresh"].sql, {"now": now}).fetchall()
    assert row[1:5] == (is_passed, pytest.approx(36 + minutes / 60), 36, int(not is_passed))


def test_how_fresh_nothing_is_cannot_be_known(session: WarehouseSession) -> None:
    with undone(session, f"delete from {LOG_FILES.qualified_name}"):
        assert statuses(session, "raw.log_files.data_is_fresh") == {"": "unknown"}


def shares(*refused: int | None, valid: int = 1000) -> str:
    """A statement for days from PAST on of which so many of 1,000 rows were refused; None for a day without rows."""
    rows = [
        f"('{table}', date '{PAST + timedelta(days=d)}', {n})"
        for d, count in enumerate(refused)
        if count is not None
        for table, n in (("core.valid_events", valid - count), ("core.quarantined_events", count))
    ]
    return (
        "insert into ops.partition_state (table_name, event_date, row_count, inputs_fingerprint)"
        f" select *, 'x' from (values {', '.join(rows)})"
    )


@pytest.mark.parametrize(
    ("before", "refused", "threshold"),
    [
        # Five percent are accepted whatever was usual, and three times what was.
        ((), 50, 0.05),
        ((10,) * 5, 50, 0.05),
        ((100,) * 5, 300, 0.3),
        ((10, 10, 30, 100, 100), 90, 0.09),
        # Of the 29 days before, the first is too long ago.
        ((900, 20, *[None] * 26, 20), 60, 0.06),
        ((900, *[None] * 27), 900, 2.7),
    ],
)
def test_three_times_the_usual_share_in_quarantine_is_accepted(
    session: WarehouseSession, before: tuple[int | None, ...], refused: int, threshold: float
) -> None:
    name = "core.quarantined_events.share_as_usual"
    found = on_last(session, name, shares(*before, refused), len(before) + 1)
    assert (found.status, found.severity, found.unexpected_count) == ("passed", "WARN", 0)
    assert (found.observed, found.threshold) == (pytest.approx(refused / 1000), pytest.approx(threshold))
    if refused < 900:
        found = on_last(session, name, shares(*before, refused + 1), len(before) + 1)
        assert (found.status, found.unexpected_count) == ("failed", refused + 1)


@pytest.mark.parametrize(
    ("name", "last", "observed", "threshold", "is_passed"),
    [
        ("features_present", "case when i > 1 then events end", 8, 8, True),
        ("features_present", "case when i > 2 then events end", 7, 8, False),
        ("volume_as_usual", "events * 129 // 100", 1290, 1000, True),
        ("volume_as_usual", "events * 71 // 100", 710, 1000, True),
        ("volume_as_usual", "events * 131 // 100", 1310, 1000, False),
        ("mix_as_usual", "case when i = 0 then 224 else events end", 224 / 1124 - 0.1, 0.1, True),
        ("mix_as_usual", "case when i = 0 then 226 else events end", 226 / 1126 - 0.1, 0.1, False),
        ("mix_as_usual", "case when i > 0 then events end", 0.1, 0.1, True),
        ("users_known_as_usual", "events", 1, 1.1, True),
    ],
)
def test_what_a_day_was_held_against_is_told(
    session: WarehouseSession, name: str, last: str, observed: float, threshold: float, is_passed: bool
) -> None:
    found = on_last(session, f"product.fact_feature_metrics.{name}", history(29, last=last), 29)
    assert found.status == ("passed" if is_passed else "failed")
    assert (found.observed, found.threshold) == (pytest.approx(observed), pytest.approx(threshold))
    assert found.unexpected_count == int(not is_passed)


def on_days(session: WarehouseSession, name: str, per_day: dict[int, int], last: int) -> CheckResult:
    """A check on the last of days from PAST on, of which each has so many features of 100 events."""
    counts = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.type == "BIGINT"]
    zero = ", ".join(f"0 as {name}" for name in counts if name != "events")
    days = ", ".join(f"({d}, {n})" for d, n in per_day.items())
    statement = (
        f"insert into {FACT} by name select cast(date '{PAST}' + cast(d as int) as date) as event_date,"
        f" 'f' || i as feature, 100 as events, {zero} from (values {days}) as days(d, n), range(20) as f(i) where i < n"
    )
    return on_last(session, f"product.fact_feature_metrics.{name}", statement, last + 1)


def test_a_day_is_held_against_the_median_of_four_weeks_and_of_its_own_weekday(session: WarehouseSession) -> None:
    # Seven days of the 28 before, whose median is 11; what is older or the day itself does not count.
    month = {1: 10, 5: 10, 9: 10, 13: 12, 17: 12, 21: 12, 28: 11} | {0: 20}
    found = on_days(session, "features_present", month | {29: 9}, 29)
    assert (found.status, found.threshold) == ("passed", pytest.approx(8.8))
    found = on_days(session, "features_present", month | {29: 8}, 29)
    assert (found.status, found.observed, found.unexpected_count) == ("failed", 8, 1)
    six = {d: n for d, n in month.items() if d not in (0, 28)}
    unknown = on_days(session, "features_present", six | {29: 1}, 29)
    assert (unknown.status, unknown.threshold, unknown.unexpected_count) == ("unknown", None, 0)
    uneven = {1: 20, 2: 20, 3: 20, 4: 5, 5: 5, 6: 5, 7: 5}
    assert on_days(session, "features_present", uneven | {8: 4}, 8).threshold == 4
    # Of the same weekday 4, 6 and 20 hundred came, and of other days ten.
    weekly = {7: 4, 14: 6, 21: 20} | dict.fromkeys((26, 27), 10)
    found = on_days(session, "volume_as_usual", weekly | {28: 7}, 28)
    assert (found.status, found.observed, found.threshold) == ("passed", 700, 600)
    assert on_days(session, "volume_as_usual", weekly | {28: 8}, 28).status == "failed"
    assert on_days(session, "volume_as_usual", {0: 4, 14: 6, 21: 20, 28: 7}, 28).status == "passed"
    three = on_days(session, "volume_as_usual", {7: 6, 14: 6, 21: 6, 28: 9}, 28)
    assert (three.status, three.unexpected_count) == ("failed", 1)
    two = on_days(session, "volume_as_usual", {14: 6, 21: 20, 28: 1}, 28)
    assert (two.status, two.threshold, two.unexpected_count) == ("unknown", None, 0)


def test_a_mix_names_what_moved_most(session: WarehouseSession) -> None:
    name = "product.fact_feature_metrics.mix_as_usual"
    last = "case when i = 3 then 700 when i = 5 then 300 when i < 8 then events end"
    found = on_last(session, name, history(29, last=last), 29)
    # 700 and 300 of 1,600: .3375 and .0875 more, and two of .1 gone; six of .0375 less.
    assert found.observed == pytest.approx(0.425)
    assert json.loads(found.examples or "")[0] == "f3"
    assert sorted(json.loads(found.examples or "")) == ["f3", "f8", "f9"]
    assert on_last(session, name, history(8), 8).status == "passed"


@pytest.mark.parametrize(
    ("value", "expected", "is_worse", "is_silent"),
    [(0, 19.9, False, False), (0, 20, False, True), (0, 1, True, True), (1, 50, True, False)],
)
def test_a_feature_is_silent_where_twenty_events_were_expected(
    session: WarehouseSession, value: float, expected: float, is_worse: bool, is_silent: bool
) -> None:
    change = (
        f"update {TREND} set value = {value}, expected = {expected}, is_worse = {is_worse}"
        f" where event_date = '{DAY}' and feature = 'Search' and metric = 'events'"
    )
    with undone(session, change):
        (result,) = run_check(session, BY_NAME["product.feature_daily_trends.features_not_silent"], DAY, DAY)
    assert (result.status, result.observed) == (("failed", 1) if is_silent else ("passed", 0))


def test_a_file_that_could_not_be_read_is_shown_for_a_week(session: WarehouseSession) -> None:
    for days, observed in ((7, 1), (8, 0)):
        rejected = (
            f"update {LOG_FILES.qualified_name} set status = 'rejected', reason = 'is empty', arrived_at ="
            f" (select max(arrived_at) from {LOG_FILES.qualified_name}) - interval {days} days where file_number = 1"
        )
        with undone(session, rejected):
            (result,) = run_check(session, BY_NAME["raw.log_files.files_readable"], None, None)
        assert (result.observed, result.status) == (observed, "failed" if observed else "passed")
    assert (result.severity, result.is_blocking) == ("WARN", False)


def test_rows_that_did_not_reach_the_lake_are_counted_by_load(session: WarehouseSession) -> None:
    name = "raw.raw_logs.rows_accounted"
    whole = run_check(session, BY_NAME[name], None, None)[0]
    assert whole.observed == whole.threshold
    assert (
        whole.observed
        == session.connection.execute(
            f"select sum(rows) from {LOG_FILES.qualified_name} where status = 'loaded'"
        ).fetchall()[0][0]
    )
    with undone(session, f"update {LOG_FILES.qualified_name} set rows = rows + 2 where file_number = 1"):
        more = run_check(session, BY_NAME[name], None, None)[0]
    assert (more.threshold, more.observed, more.unexpected_count) == (whole.threshold + 2, whole.observed, 2)
    lost = (
        f"delete from {LOG_FILES.qualified_name} where load_id in (select min(load_id) from {LOG_FILES.qualified_name})"
    )
    with undone(session, lost):
        fewer = run_check(session, BY_NAME[name], None, None)[0]
    assert (fewer.status, fewer.observed) == ("failed", whole.observed)
    assert fewer.unexpected_count == whole.observed - fewer.threshold > 0


WEIGHTS = {
    "raw.raw_logs.rows_accounted": "blocks",
    "raw.log_files.files_readable": "WARN",
    "raw.log_files.changed_sources_read_their_logs": "ERROR",
    "raw.log_files.corrections_have_all_days": "WARN",
    "raw.log_files.data_is_fresh": "WARN",
    "raw.log_files.encodings_are_sure": "WARN",
    "raw.log_files.columns_still_come": "WARN",
    "core.valid_events.rows_accounted": "blocks",
    "core.valid_events.event_ids_unique": "blocks",
    "core.quarantined_events.reasons_known": "blocks",
    "core.quarantined_events.share_as_usual": "WARN",
    "core.user_feature_days.events_reconcile": "blocks",
    "product.fact_feature_metrics.events_reconcile": "blocks",
    "product.fact_feature_metrics.users_reconcile": "blocks",
    "product.fact_feature_metrics.features_present": "WARN",
    "product.fact_feature_metrics.volume_as_usual": "WARN",
    "product.fact_feature_metrics.users_known_as_usual": "WARN",
    "product.fact_feature_metrics.mix_as_usual": "WARN",
    "product.feature_daily_trends.values_reconcile": "blocks",
    "product.feature_daily_trends.features_not_silent": "WARN",
    "product.dim_feature_metadata.features_described": "WARN",
    "product.dim_feature_metadata.features_watched": "WARN",
    "product.dim_feature_metadata.names_distinct": "WARN",
    "product.dim_feature_metadata.names_encoded_once": "WARN",
}


def test_what_is_false_stops_publication_and_what_is_unusual_warns() -> None:
    found = {name: "blocks" if check.is_blocking else check.severity for name, check in BY_NAME.items()}
    by_contract = {name for name in found if name.endswith((".contract_kept", ".key_unique"))}
    assert {name: weight for name, weight in found.items() if name not in by_contract} == WEIGHTS
    assert {found[name] for name in by_contract} == {"blocks"}


# --- What becomes of results ------------------------------------------------------------------------------------------


def test_what_blocks_is_an_error_and_what_guards_a_number_blocks() -> None:
    assert {check.severity for check in CHECKS if check.is_blocking} == {"ERROR"}
    blocking = {name_of(check) for check in CHECKS if check.is_blocking}
    assert blocking >= {"core.valid_events.rows_accounted", "product.fact_feature_metrics.events_reconcile"}
    assert len(BY_NAME) == len(CHECKS)
    assert [name_of(check) for check in CHECKS if not check.question.endswith("?")] == []


def test_a_failure_is_told_in_a_sentence_with_its_numbers(session: WarehouseSession) -> None:
    with undone(session, BROKEN_PARTITIONS["product.fact_feature_metrics.users_reconcile"]):
        result = result_on(session, "product.fact_feature_metrics.users_reconcile")
    assert re.fullmatch(
        r"The facts count [\d,]+ users where the user days have [\d,]+ users\. Materialize .*\.", result.description
    )


@pytest.mark.parametrize("check", SQL_CHECKS, ids=name_of)
def test_every_check_says_what_is_wrong_and_what_to_do(check: Check) -> None:
    said = check.finding.format(observed="3 rows", threshold="5 rows")
    assert said
    assert not set("{}.") & set(said.replace(check.subject.name, ""))
    assert check.remedy.endswith(".")
    assert not check.needs.endswith(".")


def test_how_many_are_not_named_is_said(session: WarehouseSession) -> None:
    with undone(session, f"update {DIM_FEATURE_METADATA.qualified_name} set is_described = false"):
        result = run_check(session, BY_NAME["product.dim_feature_metadata.features_described"], None, None)[0]
    count = int(result.observed or 0)
    assert count > 5
    assert f"; and {count - 3} more. Give it a row" in result.description


def test_a_message_says_when_what_and_what_it_holds_up(session: WarehouseSession) -> None:
    wrong = f"update {FACT} set users = users + 5 where feature = 'Search' and event_date >= '{DAY}'"
    with undone(session, wrong):
        results = run_check(session, BY_NAME["product.fact_feature_metrics.users_reconcile"], START, END)
    record_results(session, results, "tells")
    (told,) = (alert["message"] for alert in alert_rows(session.settings, run_id="tells"))
    session.connection.execute(f"delete from {CHECK_RESULTS.qualified_name} where run_id = 'tells'")
    assert told.startswith("On 2 days, the last 12 Jan 2026: The facts count ")
    assert told.endswith("Until it passes nothing new is published; readers keep the last good snapshot.")


def test_results_of_many_dates_are_summed_up_by_the_worst(session: WarehouseSession) -> None:
    wrong = f"update {FACT} set users = users + day(event_date) where feature = 'Search' and event_date >= '{DAY}'"
    with undone(session, wrong):
        results = run_check(session, BY_NAME["product.fact_feature_metrics.users_reconcile"], START, END)
    found = summarize(results)
    assert (found.status, found.unexpected_count, found.partition_key) == ("failed", 23, END.isoformat())
    assert found.description.startswith("2 of 12 dates fail: 2026-01-11, 2026-01-12. ")


def test_nothing_known_sums_up_to_unknown_and_one_known_pass_to_passed() -> None:
    passed = CheckResult("a", "c", "2026-01-01", "volume", "passed", "WARN", False, None, None, 0, "Yes.")
    unknown = replace(passed, status="unknown", partition_key="2026-01-02")
    assert summarize([unknown, replace(unknown, partition_key="2026-01-03")]).status == "unknown"
    assert summarize([passed, unknown]).status == "passed"
    assert summarize([unknown]) is unknown


def test_results_are_kept_and_a_failure_is_told_once_until_it_has_passed_again(data_root: Settings) -> None:
    passed = CheckResult("core.t", "c", "2026-01-01", "volume", "passed", "ERROR", True, 1.0, 2.0, 0, "Yes.")
    failed = [
        replace(passed, status="failed", partition_key=f"2026-01-0{n}", description=f"No {n}.") for n in range(2, 9)
    ]
    unknown = replace(passed, check_name="d", status="unknown", severity="WARN", is_blocking=False)
    mended = [replace(result, status="passed") for result in failed]
    with open_warehouse(data_root) as opened:
        record_results(opened, [], "run-0")
        record_results(opened, [passed, *failed, unknown], "run-1")
        told = next((each["partition_key"], each["message"]) for each in alert_rows(data_root))
        record_results(opened, failed, "run-2")
        record_results(opened, [*mended[:-1], failed[-1]], "run-3")
        record_results(opened, failed[:1], "run-4")
        query = f"select run_id, status, count(*) from {CHECK_RESULTS.qualified_name} group by all order by all"
        kept = opened.connection.execute(query).fetchall()
    assert kept == [
        ("run-1", "failed", 7),
        ("run-1", "passed", 1),
        ("run-1", "unknown", 1),
        ("run-2", "failed", 7),
        ("run-3", "failed", 1),
        ("run-3", "passed", 6),
        ("run-4", "failed", 1),
    ]
    dates = ", ".join(f"2026-01-0{n}" for n in range(2, 7)) + " and 2 more"
    waits = "Until it passes nothing new is published; readers keep the last good snapshot."
    (alert,) = alert_rows(data_root)
    assert (alert["kind"], alert["subject"], alert["check_name"]) == ("check", "core.t", "c")
    assert (alert["occurrences"], alert["passes"], alert["status"]) == (4, 0, "open")
    assert alert["message"] == f"2 Jan 2026: No 2. {waits}"
    assert told == (dates, f"On 7 days, the last 8 Jan 2026: No 8. {waits}")


def test_a_check_asked_again_in_a_run_replaces_its_answer_and_alerts_no_second_time(data_root: Settings) -> None:
    failed = CheckResult("core.t", "c", "2026-01-01", "volume", "failed", "ERROR", True, 1.0, 2.0, 1, "No.")
    with open_warehouse(data_root) as opened:
        record_results(opened, [failed], "run-1")
        record_results(opened, [replace(failed, observed=3.0)], "run-1")
        kept = opened.connection.execute(f"select observed from {CHECK_RESULTS.qualified_name}").fetchall()
    assert kept == [(3.0,)]
    assert [alert["occurrences"] for alert in alert_rows(data_root)] == [1]


def test_a_check_has_passed_only_when_no_day_fails_any_more(data_root: Settings) -> None:
    passed = CheckResult("core.t", "c", "2026-01-01", "volume", "passed", "WARN", False, None, None, 0, "Yes.")
    failed = replace(passed, status="failed", partition_key="2026-01-02", description="No.")
    with open_warehouse(data_root) as opened:
        record_results(opened, [failed], "run-1")
        for n in range(3):
            record_results(opened, [replace(passed, partition_key=f"2026-01-0{3 + n}")], f"run-{2 + n}")
        assert [(each["status"], each["passes"]) for each in alert_rows(data_root)] == [("open", 0)]
        record_results(opened, [replace(failed, status="passed")], "run-5")
        record_results(opened, [passed], "run-6")
    (alert,) = alert_rows(data_root)
    assert (alert["status"], alert["resolution"], alert["severity"]) == ("resolved", "auto", "medium")


def test_what_is_made_from_what_fails_is_told_with_it(data_root: Settings) -> None:
    first = CheckResult("core.valid_events", "c", "", "volume", "failed", "ERROR", True, 3.0, 0.0, 3, "No.")
    behind = replace(first, asset="product.incidents", severity="WARN", is_blocking=False)
    with open_warehouse(data_root) as opened:
        record_results(opened, [behind, first], "run-1")
        record_results(opened, [replace(behind, check_name="d")], "run-2")
        record_results(opened, [replace(first, asset="raw.raw_logs")], "run-3")
    found = alert_rows(data_root)
    groups = {(each["subject"], each["check_name"]): each["group_id"] for each in found}
    assert groups["product.incidents", "c"] == groups["core.valid_events", "c"] == groups["product.incidents", "d"]
    assert groups["raw.raw_logs", "c"] != groups["core.valid_events", "c"], "who was told already stays in its group"
    assert {each["severity"] for each in found} == {"critical", "medium"}


def test_the_copy_that_is_checked_lies_apart_from_the_shared_warehouse(
    session: WarehouseSession, built_warehouse: Settings
) -> None:
    paths = [Path(path) for path in session.lake.absolute(session.lake.files(VALID_EVENTS))]
    assert paths
    assert not any(path.is_relative_to(built_warehouse.data_dir) for path in paths)
