"""What is stale: exactly the partitions whose inputs differ from those that they were built from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality_assets.contracts.catalog import TABLES as CATALOG
from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.events import QUARANTINED_EVENTS, RAW_LOGS, USER_FEATURE_DAYS, VALID_EVENTS
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.pipeline import Pipeline
from quality_assets.contracts.product import FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.table import Build, Table
from quality_assets.domain.features.trends import HISTORY_DAYS
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import events as event_tables
from quality_assets.tables.date_ranges import joined_ranges, to_the_end
from quality_assets.tables.events import build_events, build_facts, build_trends, build_user_feature_days
from quality_assets.tables.ingest import IngestReport
from quality_assets.tables.staleness import (
    contiguous_ranges,
    data_fingerprint,
    days_to_build,
    record_asset_run,
    row_counts,
    stale_dates,
    wanted_fingerprints,
    wanted_sql,
)

TABLES = (VALID_EVENTS, USER_FEATURE_DAYS, FACT_FEATURE_METRICS, FEATURE_DAILY_TRENDS)
FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)
DAY = date(2026, 1, 5)
DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(12)]
Ingest = Callable[[WarehouseSession], IngestReport]


@pytest.fixture
def session(built_copy: Settings) -> Iterator[WarehouseSession]:
    """The built warehouse, open, to be changed at will."""
    with open_warehouse(built_copy) as opened:
        yield opened


@pytest.fixture
def empty(data_root: Settings) -> Iterator[WarehouseSession]:
    """An empty warehouse, open."""
    with open_warehouse(data_root) as opened:
        yield opened


def arrive(session: WarehouseSession, name: str, feature: str, days: Sequence[date]) -> None:
    lines = [f"{name}-{n},{day}T10:00:00Z,{feature},ok,u{n % 3}" for n, day in enumerate(days)]
    session.settings.landing_dir.mkdir(parents=True, exist_ok=True)
    text = "\n".join(["event_id,event_time,feature,status,user_id", *lines])
    (session.settings.landing_dir / f"{name}.csv").write_text(f"{text}\n")


def stale(session: WarehouseSession, table: Table) -> list[date]:
    return stale_dates(session.connection, table)


def test_nothing_is_stale_once_everything_is_built(session: WarehouseSession) -> None:
    assert {table.name: stale(session, table) for table in TABLES} == {table.name: [] for table in TABLES}
    assert days_to_build(session.connection) == []
    assert list(wanted_fingerprints(session.connection, VALID_EVENTS)) == DAYS


def test_an_empty_warehouse_wants_nothing_built(empty: WarehouseSession) -> None:
    assert days_to_build(empty.connection) == []
    assert [wanted_fingerprints(empty.connection, table) for table in TABLES] == [{}] * 4


def test_a_late_file_makes_its_day_stale_and_what_hangs_on_it_as_it_is_rebuilt(
    session: WarehouseSession, ingest_all: Ingest
) -> None:
    arrive(session, "late", "Search", [DAY])
    ingest_all(session)
    assert days_to_build(session.connection) == [DAY]
    assert (stale(session, VALID_EVENTS), stale(session, USER_FEATURE_DAYS)) == ([DAY], [])
    build_events(session, DAY, DAY)
    assert (stale(session, VALID_EVENTS), stale(session, USER_FEATURE_DAYS)) == ([], [DAY])
    build_user_feature_days(session, DAY, DAY)
    assert (stale(session, USER_FEATURE_DAYS), stale(session, FACT_FEATURE_METRICS)) == ([], [DAY])
    build_facts(session, DAY, DAY)
    assert stale(session, FACT_FEATURE_METRICS) == []
    assert stale(session, FEATURE_DAILY_TRENDS) == [day for day in DAYS if day >= DAY]
    build_trends(session, FIRST, LAST)
    assert stale(session, FEATURE_DAILY_TRENDS) == []


def test_facts_built_before_their_user_days_are_built_again_after_them(
    empty: WarehouseSession, ingest_all: Ingest
) -> None:
    arrive(empty, "a", "Search", [DAY, DAY])
    ingest_all(empty)
    build_events(empty, FIRST, LAST)
    build_facts(empty, FIRST, LAST)
    build_user_feature_days(empty, FIRST, LAST)
    assert stale(empty, FACT_FEATURE_METRICS) == [DAY]
    build_facts(empty, FIRST, LAST)
    users = empty.connection.execute("select users, all_users from product.fact_feature_metrics").fetchall()
    assert users == [(2, 2)]
    assert stale(empty, FACT_FEATURE_METRICS) == []


def test_a_new_apdex_threshold_makes_facts_stale_and_other_words_do_not(session: WarehouseSession) -> None:
    change = f"update {FEATURE_DESCRIPTIONS.qualified_name} set"
    session.connection.execute(f"{change} owner = 'somebody else'")
    assert stale(session, FACT_FEATURE_METRICS) == []
    session.connection.execute(f"{change} apdex_threshold_ms = 1 where feature = 'Search'")
    assert stale(session, FACT_FEATURE_METRICS) == DAYS
    assert stale(session, VALID_EVENTS) == stale(session, USER_FEATURE_DAYS) == []


def test_new_rules_make_every_partition_of_their_table_stale(session: WarehouseSession) -> None:
    assert VALID_EVENTS.build is not None
    raised = replace(VALID_EVENTS, build=replace(VALID_EVENTS.build, version=2))
    pipeline = Pipeline(raised if table == VALID_EVENTS else table for table in CATALOG)
    assert stale_dates(session.connection, raised, pipeline) == DAYS
    assert stale_dates(session.connection, USER_FEATURE_DAYS, pipeline) == []


# --- What fingerprints are: a change of one would have every installed root build all of its days again ---------------


def md5(*parts: str) -> str:
    return hashlib.md5("".join(parts).encode(), usedforsecurity=False).hexdigest()


def built(session: WarehouseSession, table: Table) -> dict[date, str]:
    return dict(
        session.connection.execute(
            f"select event_date, inputs_fingerprint from {PARTITION_STATE.qualified_name} where table_name = ?",
            [table.qualified_name],
        ).fetchall()
    )


def test_the_fingerprint_of_events_is_that_of_their_files(session: WarehouseSession) -> None:
    files: dict[date, list[str]] = {}
    for file in session.lake.files(RAW_LOGS):
        files.setdefault(file.event_date, []).append(f"{file.path}:{file.row_count}")
    wanted = {day: md5(md5(",".join(sorted(names))), "1") for day, names in files.items()}
    assert wanted_fingerprints(session.connection, VALID_EVENTS) == wanted


def test_the_fingerprint_of_a_day_is_that_of_what_it_was_made_from_and_the_number_of_its_rules(
    session: WarehouseSession,
) -> None:
    events, users = built(session, VALID_EVENTS), built(session, USER_FEATURE_DAYS)
    connection = session.connection
    assert wanted_fingerprints(connection, USER_FEATURE_DAYS) == {day: md5(of, "1") for day, of in events.items()}
    assert wanted_fingerprints(connection, EVENT_SKETCH_COUNTS) == {day: md5(of, "2") for day, of in events.items()}
    assert wanted_fingerprints(connection, QUARANTINED_EVENTS) == wanted_fingerprints(connection, VALID_EVENTS)
    connection.execute(
        f"update {FEATURE_DESCRIPTIONS.qualified_name} set apdex_threshold_ms = case when feature < 'M' then 250 end"
    )
    described = connection.execute(
        f"select feature, apdex_threshold_ms from {FEATURE_DESCRIPTIONS.qualified_name}"
        " where apdex_threshold_ms is not null order by feature"
    ).fetchall()
    assert len(described) > 1
    thresholds = md5(",".join(f"{feature}={ms}" for feature, ms in described))
    default = str(connection.execute("select getvariable('apdex_threshold_ms')").fetchall()[0][0])
    assert wanted_fingerprints(connection, FACT_FEATURE_METRICS) == {
        day: md5(of, thresholds, " ", default, "1") for day, of in users.items()
    }


def test_the_fingerprint_of_a_trend_is_that_of_its_history_and_of_when_features_were_seen(
    session: WarehouseSession,
) -> None:
    facts = built(session, FACT_FEATURE_METRICS)
    first: dict[date, list[str]] = {}
    for feature, day in session.connection.execute(
        f"select feature, min(event_date) from {FACT_FEATURE_METRICS.qualified_name} group by feature order by feature"
    ).fetchall():
        first.setdefault(day, []).append(feature)
    wanted = {}
    for day in facts:
        history = ",".join(facts[each] for each in sorted(facts) if day - timedelta(days=56) <= each <= day)
        cohorts = [md5(",".join(first[each])) for each in sorted(first) if each <= day]
        wanted[day] = md5(history, md5(",".join(cohorts)), str(FEATURE_DAILY_TRENDS.build.version))
    assert wanted_fingerprints(session.connection, FEATURE_DAILY_TRENDS) == wanted


def test_a_day_of_two_inputs_waits_for_both_and_is_of_both(session: WarehouseSession) -> None:
    joined = Table(
        schema="product",
        name="joined",
        description="",
        grain="",
        key=("event_date",),
        columns=(FACT_FEATURE_METRICS.column("event_date"),),
        partition_column="event_date",
        build=Build(
            "days",
            # The user days cover the events, which therefore count once.
            inputs=("core.valid_events", "core.user_feature_days", "monitoring.event_sketch_counts"),
            version=3,
        ),
    )
    sketches, users = built(session, EVENT_SKETCH_COUNTS), built(session, USER_FEATURE_DAYS)
    session.connection.execute(
        f"delete from {PARTITION_STATE.qualified_name} where table_name = ? and event_date = ?",
        [EVENT_SKETCH_COUNTS.qualified_name, DAY],
    )
    found = dict(session.connection.execute(wanted_sql(joined, Pipeline((*CATALOG, joined)))).fetchall())
    assert found == {day: md5(users[day], ",", sketches[day], "3") for day in DAYS if day != DAY}


def test_a_feature_first_seen_long_ago_by_a_late_file_has_trends_on_all_days_since(
    empty: WarehouseSession, ingest_all: Ingest
) -> None:
    days = [date(2026, 1, 1) + timedelta(days=n) for n in range(HISTORY_DAYS + 10)]

    def build(start: date, end: date) -> None:
        for each in (build_events, build_user_feature_days, build_facts):
            each(empty, start, end)
        for first, last in contiguous_ranges(stale(empty, FEATURE_DAILY_TRENDS)):
            build_trends(empty, first, last)

    def trends() -> list[tuple[object, ...]]:
        return empty.connection.execute("from product.feature_daily_trends order by all").fetchall()

    arrive(empty, "old", "Search", days)
    ingest_all(empty)
    build(FIRST, LAST)
    arrive(empty, "late", "Forgotten", days[:1])
    ingest_all(empty)
    build(days[0], days[0])
    rebuilt = trends()
    assert stale(empty, FEATURE_DAILY_TRENDS) == []
    build_trends(empty, FIRST, LAST)
    assert rebuilt == trends()
    assert ("Forgotten", days[-1]) in {(row[1], row[0]) for row in rebuilt}


def test_a_fingerprint_knows_no_clock_and_no_order_of_building(
    data_root: Settings, ingest_all: Ingest, build_all: Callable[..., None]
) -> None:
    fingerprints = []
    for name, order in (("forward", DAYS[:4]), ("backward", DAYS[3::-1])):
        with open_warehouse(data_root.model_copy(update={"data_dir": data_root.data_dir / name})) as opened:
            arrive(opened, "a", "Search", DAYS[:4])
            ingest_all(opened)
            for day in order:
                build_events(opened, day, day)
            build_all(opened)
            fingerprints.append(data_fingerprint(opened.connection))
    assert fingerprints[0] == fingerprints[1]


def test_other_data_has_another_fingerprint(session: WarehouseSession, ingest_all: Ingest) -> None:
    before = data_fingerprint(session.connection)
    arrive(session, "late", "Search", [DAY])
    ingest_all(session)
    build_events(session, DAY, DAY)
    assert data_fingerprint(session.connection) != before


def test_building_a_range_leaves_the_days_outside_as_they_are(empty: WarehouseSession, ingest_all: Ingest) -> None:
    arrive(empty, "a", "Search", DAYS)
    ingest_all(empty)
    rows = build_events(empty, DAYS[2], DAYS[4])
    assert rows == {
        VALID_EVENTS.qualified_name: dict.fromkeys(DAYS[2:5], 1),
        QUARANTINED_EVENTS.qualified_name: dict.fromkeys(DAYS[2:5], 0),
    }
    assert stale(empty, VALID_EVENTS) == [*DAYS[:2], *DAYS[5:]]
    assert row_counts(empty.connection, VALID_EVENTS) == dict.fromkeys(DAYS[2:5], 1)
    assert row_counts(empty.connection, VALID_EVENTS, DAYS[3], DAYS[3]) == {DAYS[3]: 1}


def test_a_build_that_fails_half_way_leaves_what_was_there(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = f"select * from {FACT_FEATURE_METRICS.qualified_name} order by event_date, feature"
    before = session.connection.execute(query).fetchall()

    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(event_tables, "record_built", fail)
    with pytest.raises(OSError, match="no space left"):
        build_facts(session, FIRST, LAST)
    assert session.connection.execute(query).fetchall() == before
    assert stale(session, FACT_FEATURE_METRICS) == []


@pytest.mark.parametrize("batch", [1, 500, 10**9])
def test_facts_are_the_same_however_many_events_are_read_at_once(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    query = f"select * from {FACT_FEATURE_METRICS.qualified_name} order by event_date, feature"
    before = session.connection.execute(query).fetchall()
    monkeypatch.setattr(event_tables, "MAX_EVENTS_AT_ONCE", batch)
    build_facts(session, FIRST, LAST)
    assert session.connection.execute(query).fetchall() == before


def test_runs_of_assets_are_kept_and_repeated_ones_replaced(empty: WarehouseSession) -> None:
    start = datetime(2026, 1, 1, 10)
    for seconds, status in ((5, "failed"), (8, "succeeded")):
        record_asset_run(
            empty.connection,
            asset="core.valid_events",
            run_id="run-1",
            partition_key="2026-01-01",
            started_at=start,
            finished_at=start + timedelta(seconds=seconds),
            row_count=None if status == "failed" else 3,
            status=status,
        )
    kept = empty.connection.execute("select duration_s, row_count, status from ops.asset_runs").fetchall()
    assert kept == [(8.0, 3, "succeeded")]


@given(st.lists(st.dates(date(2025, 12, 20), date(2026, 1, 12)), max_size=30))
def test_ranges_cover_the_days_given_and_no_other_without_touching(days: list[date]) -> None:
    ranges = contiguous_ranges(days)
    covered = [start + timedelta(days=n) for start, end in ranges for n in range((end - start).days + 1)]
    assert covered == sorted(set(days))
    assert all(later[0] - earlier[1] > timedelta(days=1) for earlier, later in pairwise(ranges))


def test_days_between_are_built_along_where_another_run_would_cost_more() -> None:
    first = date(2026, 1, 1)

    def ranges(*days: int) -> list[tuple[date, date]]:
        return contiguous_ranges(first + timedelta(days=n) for n in days)

    # A day costs 5,000 rows beside its own, a run 150,000: of three such days that makes 45,000 each.
    rows = {first + timedelta(days=n): 45_000 for n in range(20)}
    assert joined_ranges(ranges(0, 4, 5, 10), rows) == [*ranges(*range(6)), *ranges(10)]
    assert joined_ranges(ranges(0, 4), rows | {first: 10**9}) == ranges(*range(5)), "what is stale is built anyway"
    rows[first + timedelta(days=2)] += 1
    assert joined_ranges(ranges(0, 4), rows) == ranges(0, 4)
    del rows[first + timedelta(days=2)]
    assert joined_ranges(ranges(1, 3), rows) == ranges(1, 3), "of a day without data nothing is built"
    assert joined_ranges([], rows) == []


def test_the_last_range_reaches_to_the_last_day_where_what_follows_would_cost_more() -> None:
    first, last = date(2026, 1, 1), date(2026, 1, 10)
    rows = {first + timedelta(days=n): 45_000 for n in range(10)}
    assert to_the_end([(first, first)], rows) == [(first, last)], "nine days cost what three runs do"
    assert to_the_end([(first, first)], rows | {last: 45_001}) == [(first, first)]
    assert to_the_end([(last, last)], rows) == [(last, last)]
    assert to_the_end([], rows) == []
