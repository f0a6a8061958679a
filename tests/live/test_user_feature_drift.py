"""The vectors of users are a subject of the drift monitor: counted by day, judged, and told with the others."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.drift import USER_FEATURE_SKETCHES
from quality_assets.domain.drift.user_features import WATCHED, user_feature_sketch_sql, user_feature_sketches
from quality_assets.domain.drift.verdicts import drift_rows
from quality_assets.settings import Settings
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.live import build_user_features
from quality_assets.tables.user_feature_sketches import build_user_feature_sketches

DAY = date(2026, 3, 2)


def _counted(rows: list[tuple[object, ...]], columns: str) -> dict[tuple[str, str], int]:
    lacking = [name for name in WATCHED if name not in columns.split(", ")]
    with duckdb.connect() as connection:
        connection.execute(
            f"create table vectors as select * from (values {', '.join(map(str, rows))}) as t({columns})"
        )
        for name in lacking:
            connection.execute(f"alter table vectors add column {name} double")
        found = connection.execute(user_feature_sketch_sql("vectors")).fetchall()
    return {(name, bin_): n for _, name, bin_, n in found if name not in lacking}


def test_users_are_counted_by_bin() -> None:
    rows: list[tuple[object, ...]] = [
        (str(DAY), 0, 0.0, "ios"),
        (str(DAY), 0, 0.049, "ios"),
        # ln(8) is 2.08, and a bin is a fifth of one.
        (str(DAY), 7, 0.05, "web"),
    ]
    assert _counted(rows, "event_date, activity_count_24h, failure_rate_24h, last_device") == {
        ("activity_count_24h", "0"): 2,
        ("activity_count_24h", "10"): 1,
        ("failure_rate_24h", "0"): 2,
        ("failure_rate_24h", "1"): 1,
        ("last_device", "ios"): 2,
        ("last_device", "web"): 1,
    }


def _history(last: dict[str, int], usual: dict[str, int], name: str, days: int = 57) -> pd.DataFrame:
    rows = [
        (DAY + timedelta(days=at), name, bin_, n)
        for at in range(days)
        # No two days are alike: one user more or less.
        for bin_, n in {b: c + at % 3 for b, c in (last if at == days - 1 else usual).items()}.items()
    ]
    return pd.DataFrame(rows, columns=list(USER_FEATURE_SKETCHES.column_names))


@pytest.mark.parametrize(
    ("name", "usual", "changed"),
    [
        ("activity_count_7d", {"5": 100, "8": 100}, {"8": 100, "12": 100}),
        ("failure_rate_24h", {"0": 180, "1": 20}, {"0": 60, "4": 140}),
        ("user_segment", {"casual": 150, "buyer": 50}, {"casual": 50, "buyer": 150}),
    ],
)
def test_a_change_is_found_and_none_is_not(name: str, usual: dict[str, int], changed: dict[str, int]) -> None:
    for last, status in ((usual, "ok"), (changed, "drifted")):
        sketches = user_feature_sketches(_history(last, usual, name))
        row = drift_rows(sketches, [sketches[0].dates[-1]]).iloc[0]
        assert (row["name"], row["kind"], row["feature"]) == (f"user_features.{name}", "data", "")
        assert row["status"] == status, row["verdict"]


def test_a_feature_that_dries_up_is_found_by_how_often_it_is_missing() -> None:
    counts = _history({"missing": 150, "10": 50}, {"missing": 50, "10": 150}, "hours_since_purchase")
    sketches = user_feature_sketches(counts)
    rows = drift_rows(sketches, [sketches[0].dates[-1]]).set_index("name")
    assert set(rows.index) == {"user_features.hours_since_purchase", "user_features.hours_since_purchase is missing"}
    missing = rows.loc["user_features.hours_since_purchase is missing"]
    assert missing["status"] == "drifted"
    # 50 of 200 on the eight same weekdays, with one or two more of each on some: a quarter.
    assert missing["reference_value"] == pytest.approx(0.25, abs=0.01)
    assert missing["current_value"] == pytest.approx(0.75, abs=0.01)


@pytest.fixture
def session(built_copy: Settings) -> Iterator[WarehouseSession]:
    """Twelve days of events, of which none was scored yet."""
    with open_warehouse(built_copy) as opened:
        yield opened


def test_days_before_the_first_that_was_scored_are_counted_from_events_as_vectors_would_be(
    session: WarehouseSession,
) -> None:
    assert build_user_feature_sketches(session) == 0
    build_user_features(session)
    assert build_user_feature_sketches(session) > 0
    text = "select event_date, name, sum(n) from monitoring.user_feature_sketches group by all"
    users = session.connection.execute(text).fetchall()
    assert {name for _, name, _ in users} == set(WATCHED)
    days = {day for day, _, _ in users}
    assert len(days) == 12
    for day in days:
        # Everyone who has an event in the eight days up to it, in one bin of each feature.
        (seen,) = session.connection.execute(
            "select count(distinct user_id) from core.valid_events where event_date > $day - 8 and event_date <= $day",
            {"day": day},
        ).fetchone() or (0,)
        assert {n for each, _, n in users if each == day} == {seen}
    before = session.connection.execute("select * from monitoring.user_feature_sketches order by all").fetchall()
    # The newest day was counted from its vectors: from events it is the same.
    session.connection.execute("update product.user_features set version = 2")
    session.connection.execute("delete from monitoring.user_feature_sketches")
    build_user_feature_sketches(session)
    after = session.connection.execute("select * from monitoring.user_feature_sketches order by all").fetchall()
    assert after == before
