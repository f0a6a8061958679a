"""What is known beside the facts: releases and mixes, as of a day and not later."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import pandas as pd
import pytest

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.ops import PARTITION_STATE
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.tables.model_inputs import NEW_VERSION_DAYS, risk_context

FIRST = date(2026, 1, 1)
RELEASED = FIRST + timedelta(days=20)
DAYS = 40


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    """Version 1 for ever, version 2 from day 20 on with a quarter of the events, and Search mostly on the web."""
    made = duckdb.connect()
    for table in (EVENT_SKETCH_COUNTS, PARTITION_STATE, FEATURE_DESCRIPTIONS):
        made.execute(f"create schema if not exists {table.schema}")
        made.execute(table.create_sql())
    for number in range(DAYS):
        day = FIRST + timedelta(days=number)
        versions = {"1.0": 300, "2.0": 100} if day >= RELEASED else {"1.0": 400}
        rows = [("", "app_version", version, n) for version, n in versions.items()]
        rows += [("Search", "platform_events", "Web", 60), ("Search", "platform_events", "iOS", 40)]
        made.executemany(
            f"insert into {EVENT_SKETCH_COUNTS.qualified_name} values (?, ?, ?, ?, ?)", [[day, *row] for row in rows]
        )
    return made


def mix_of(connection: duckdb.DuckDBPyConnection, through: date | None = None) -> pd.DataFrame:
    mix = risk_context(connection, through).mix
    assert mix is not None
    assert set(mix["feature"]) == {"Search"}
    return mix.set_index(pd.to_datetime(mix["event_date"]).dt.date).sort_index()


def test_a_version_is_new_for_two_weeks_from_its_release(connection: duckdb.DuckDBPyConnection) -> None:
    newest = mix_of(connection)["newest_version_share"]
    assert newest[: FIRST + timedelta(days=NEW_VERSION_DAYS - 1)].isna().all()
    assert (newest[FIRST + timedelta(days=NEW_VERSION_DAYS) : RELEASED - timedelta(days=1)] == 0).all()
    new = newest[RELEASED : RELEASED + timedelta(days=NEW_VERSION_DAYS - 1)]
    assert (new == 0.25).all()
    assert len(new) == NEW_VERSION_DAYS
    assert (newest[RELEASED + timedelta(days=NEW_VERSION_DAYS) :] == 0).all()


def test_the_top_platform_is_that_of_the_feature(connection: duckdb.DuckDBPyConnection) -> None:
    assert (mix_of(connection)["top_platform_share"] == 0.6).all()


@pytest.mark.parametrize("number", [10, 19, 20, 27, 39])
def test_a_day_knows_nothing_of_later_days(connection: duckdb.DuckDBPyConnection, number: int) -> None:
    day = FIRST + timedelta(days=number)
    pd.testing.assert_frame_equal(mix_of(connection, day), mix_of(connection)[:day])
    context = risk_context(connection, day)
    assert context.releases is not None
    assert len(context.releases) == (day >= RELEASED)
