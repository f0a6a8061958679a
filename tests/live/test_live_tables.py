"""A day of the collector in the graph's tables: what landed is what facts have, what was served is computed again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quality_assets.contracts.sources.events import load_sources
from quality_assets.domain.live.arrivals import deviation, judged
from quality_assets.domain.live.curves import arrival_curves
from quality_assets.domain.live.event_rows import EventSource, accept
from quality_assets.domain.live.feature_set import load_features
from quality_assets.read.reader import arrow
from quality_assets.read.training_set import AskedFileError, training_set
from quality_assets.serve.collector.landing import land
from quality_assets.settings import Settings
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.request_log import Entry, Record
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.checks.collected import COLLECTED_CHECKS
from quality_assets.tables.events import build_events, build_facts, build_user_feature_days
from quality_assets.tables.ingest import ingest
from quality_assets.tables.live import (
    build_arrival_curves,
    build_collected_batches,
    build_live_reconciliation,
    build_online_feature_skew,
    build_user_features,
)

DAY = datetime.now(UTC).date() - timedelta(days=1)
NOON_US = int(datetime(DAY.year, DAY.month, DAY.day, 12, tzinfo=UTC).timestamp()) * 1_000_000
STATUSES = ("ok", "ok", "ok", "error", "crash")
FIRST, LAST = date(2000, 1, 1), date(2100, 1, 1)


def _rows(numbers: range) -> list[Any]:
    return [
        accept(
            {
                "event_id": f"e{n}",
                "user_id": f"u{n % 5}",
                "event_name": ("view", "click", "purchase")[n % 3],
                "feature": ("Search", "Cart")[n % 2],
                "status": STATUSES[n % 5],
                "latency_ms": n + 0.25,
                "event_time": NOON_US + n * 1_000_000,
            },
            EventSource(),
            NOON_US + 3_600_000_000,
            may_hold_nul=False,
        )
        for n in numbers
    ]


def _ingest_and_build(session: WarehouseSession) -> None:
    ingest(session, load_sources(session.settings.source_files_dir), lambda _: None)
    for build in (build_events, build_user_feature_days, build_facts):
        build(session, FIRST, LAST, lambda _: None)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A root of which the collector took a hundred events yesterday, served answers, and landed them all."""
    data_dir: Path = tmp_path_factory.mktemp("collected") / "data"
    settings = Settings(data_dir=data_dir, file_stable_s=0, threads=2, _env_file=None)  # type: ignore[call-arg]
    store = LiveStore(settings.live_dir / "state.db", load_features(settings.features_path))
    for seq, numbers in enumerate((range(60), range(60, 100)), 1):
        received_us = NOON_US + 1_000_000 * numbers.stop
        store.write_batch([Record(seq, received_us, Entry("default", _rows(numbers)))])
        for user in ("u0", "u1", "nobody"):
            store.keep_served([store.read(user, version, received_us + 500_000) for version in (1, 2)])
        land(settings, lambda waiting: waiting)
    store.close()
    # A copy of one event comes as a file too, as some other system may send it, and is there first by its name.
    (settings.landing_dir / "a.csv").write_text(
        "event_id,event_time,feature,status\n"
        f"e3,{datetime.fromtimestamp(NOON_US / 1e6 + 3, UTC).isoformat()},Cart,error\n"
    )
    with open_warehouse(settings) as session:
        _ingest_and_build(session)
        assert build_collected_batches(session) == 2
    return settings


@pytest.fixture
def session(root: Settings) -> Iterator[WarehouseSession]:
    """The root's warehouse."""
    with open_warehouse(root) as opened:
        yield opened


def _select(session: WarehouseSession, text: str) -> list[Any]:
    return session.connection.execute(text).fetchall()


def test_what_landed_is_known_with_what_was_read_of_it(session: WarehouseSession) -> None:
    found = _select(
        session, "select event_date, accepted, rows_read, rows_refused from raw.collected_batches order by 2"
    )
    assert found == [(DAY, 40, 40, 0), (DAY, 60, 60, 0)]
    assert build_collected_batches(session) == 2, "told again, it is the same"


def test_accepted_is_valid_and_copies(session: WarehouseSession) -> None:
    assert build_live_reconciliation(session) == 1
    (row,) = _select(
        session,
        "select event_date, accepted, valid, duplicates, refused, live_events, live_errors, errors, live_crashes,"
        " crashes, state from monitoring.live_reconciliation",
    )
    assert row[0] == DAY
    assert row[1] == row[2] + row[3] == row[5] == 100
    assert row[4] == 0
    assert row[6:] == (20, 20, 20, 20, "balanced")


def test_an_event_that_is_lost_is_told(session: WarehouseSession) -> None:
    session.connection.execute("begin")
    session.connection.execute("update raw.collected_batches set accepted = 61 where accepted = 60")
    read, agree, _ = COLLECTED_CHECKS
    (answer,) = _select(session, read.sql)
    assert (answer[1], answer[2]) == (False, 1.0)
    assert "has 61 events, 60 were read" in str(answer[5])
    session.connection.execute("rollback")
    build_live_reconciliation(session)
    assert [check.is_blocking for check in COLLECTED_CHECKS] == [True, False, False]
    assert [_select(session, check.sql)[0][1] for check in (read, agree)] == [True, True]


def test_what_was_served_is_computed_again(session: WarehouseSession) -> None:
    assert build_online_feature_skew(session) == 21 + 24
    rows = _select(session, "select sum(compared), sum(different), max(example) from ml.online_feature_skew")
    assert rows == [(6 * 21 + 6 * 24, 0, None)]


def test_a_value_that_differs_is_told(session: WarehouseSession, root: Settings) -> None:
    from quality_assets.stores.live.sqlite import opened

    state = opened(root.live_dir / "state.db", synchronous="NORMAL")
    state.execute(
        "update served set answer = replace(answer, '\"activity_count_1h\": 12', '\"activity_count_1h\": 13')"
    )
    assert state.changes() > 0
    build_online_feature_skew(session)
    rows = _select(
        session, "select feature, version, example from ml.online_feature_skew where different > 0 order by 2"
    )
    assert rows == [("activity_count_1h", version, "13 was served, 12 is computed") for version in (1, 2)]
    (answer,) = _select(session, COLLECTED_CHECKS[2].sql)
    assert answer[1] is False
    state.execute(
        "update served set answer = replace(answer, '\"activity_count_1h\": 13', '\"activity_count_1h\": 12')"
    )
    state.close()


def test_vectors_of_users_at_the_end_of_the_day(session: WarehouseSession) -> None:
    assert build_user_features(session) == 5
    rows = _select(
        session,
        "select user_id, event_date, activity_count_24h, purchase_count_7d, user_segment, hour_of_day, as_of"
        " from product.user_features where user_id = 'u2'",
    )
    end = datetime(DAY.year, DAY.month, DAY.day, 23, 59, 59, 999999)
    purchases = len([n for n in range(100) if n % 5 == 2 and n % 3 == 2])
    assert rows == [("u2", DAY, 20, purchases, "buyer", 23, end)]
    assert build_user_features(session) == 5, "made again, they are the same"


def _known(session: WarehouseSession, text: str, path: Path, version: int = 1) -> list[dict[str, Any]]:
    path.write_text(text)
    features = load_features(session.settings.features_path)
    found = training_set(lambda sql, **tables: arrow(session.connection, sql, tables), path, features, version)
    return list(found.to_pylist())


def test_what_was_known_at_an_instant_of_the_past(session: WarehouseSession, tmp_path: Path) -> None:
    noon = datetime.fromtimestamp(NOON_US / 1e6, UTC)
    # Events 0 to 59 were received a minute after noon, the others forty seconds later.
    asked = "user_id,as_of,label\n" + "".join(
        f"u2,{(noon + timedelta(seconds=after)).isoformat()},{label}\n" for after, label in ((59, 0), (61, 1), (101, 1))
    )
    rows = _known(session, asked + f"nobody,{noon.isoformat()},0\n", tmp_path / "asked.csv")
    by_label = [(row["user_id"], row["label"], row["activity_count_24h"], row["purchase_count_24h"]) for row in rows]
    purchases = [len([n for n in range(until) if n % 5 == 2 and n % 3 == 2]) for until in (60, 100)]
    assert by_label == [
        ("nobody", 0, 0, 0), ("u2", 0, 0, 0), ("u2", 1, 12, purchases[0]), ("u2", 1, 20, purchases[1])
    ]  # fmt: skip
    assert "session_count_7d" in _known(session, asked, tmp_path / "asked.csv", 2)[0]


@pytest.mark.parametrize("text", ["user_id,label\nu2,1\n", "user_id,as_of\nu2,soon\n", ""])
def test_a_file_that_asks_for_nothing_is_told(session: WarehouseSession, tmp_path: Path, text: str) -> None:
    with pytest.raises(AskedFileError, match=r"asked\.csv: it needs the columns user_id and as_of"):
        _known(session, text, tmp_path / "asked.csv")
    with pytest.raises(AskedFileError, match=r"\.csv or \.parquet is read"):
        _known(session, text, tmp_path / "asked.json")


def test_curves_of_the_root(session: WarehouseSession) -> None:
    assert build_arrival_curves(session) == 2 * 289
    rows = _select(
        session,
        "select minute, expected_so_far, expected_total from product.arrival_curves where feature = 'Cart'"
        f" and weekday = {DAY.weekday()} and minute in (0, 720, 725, 1440) order by minute",
    )
    assert rows == [(0, 0, 50), (720, 0, 50), (725, 50, 50), (1440, 50, 50)]


def test_a_root_without_a_collector_has_nothing_of_it(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data", _env_file=None)  # type: ignore[call-arg]
    with open_warehouse(settings) as session:
        for build in (
            build_collected_batches,
            build_live_reconciliation,
            build_arrival_curves,
            build_user_features,
            build_online_feature_skew,
        ):
            assert build(session) == 0


def test_expected_is_the_mean_of_the_last_four_same_weekdays() -> None:
    monday = date(2026, 3, 2)
    counts = pd.DataFrame(
        [
            {"feature": "A", "event_date": monday + timedelta(weeks=week), "tile": 144, "events": events}
            for week, events in enumerate([1000, 10, 20, 30, 40])
        ]
    )
    curves = arrival_curves(counts)
    (row,) = curves[(curves["weekday"] == 0) & (curves["minute"] == 725)].to_dict("records")
    assert (row["expected_so_far"], row["expected_total"], row["days"]) == (25, 25, 4)
    # Too few days for quantiles: those of the normal distribution.
    assert (row["lower_z"], row["upper_z"], row["alarm_z"]) == (-1.645, 1.645, -2.807)
    quiet = curves[(curves["weekday"] == 1) & (curves["minute"] == 1440)].to_dict("records")
    assert [each["expected_total"] for each in quiet] == [0]


def test_a_day_so_far_leans_on_what_came() -> None:
    z = (-1.645, 1.645, -2.807)
    assert deviation(100) == 15
    usual = judged(100, 100.0, 300.0, z)
    assert (usual.state, usual.total, usual.lower, usual.upper) == ("usual", 300.0, 75.325, 124.675)
    # Half of what is expected, and a hundred of the past: three quarters of what is left.
    low = judged(50, 100.0, 300.0, z)
    assert (low.state, low.total) == ("low", 50 + 200 * 0.75)
    assert judged(143, 100.0, 300.0, z).state == "high"
    assert low.total_lower == pytest.approx(200 - 1.645 * 650**0.5)
    assert judged(5, None, None, None).state == "unknown"
