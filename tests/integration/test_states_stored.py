"""product.feature_states in the warehouse: only days that differ are written, and probes are known by their source."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.domain.series.panel import MONITORED_METRICS
from quality_assets.domain.series.state_rows import watched_from
from quality_assets.domain.series.states import Watched
from quality_assets.settings import Settings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.stores.frames import replace_rows
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import feature_states
from quality_assets.tables.feature_states import probe_sources, read_watched
from quality_assets.tables.state_building import build_states

FACTS = simulate_daily_facts(DailyPlan(4, 60, seed=2)).facts
LAST = FACTS["event_date"].max()


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    with open_warehouse(Settings(data_dir=tmp_path / "data", threads=2, _env_file=None)) as opened:  # type: ignore[call-arg]
        yield opened


def know(session: WarehouseSession, facts: pd.DataFrame) -> str:
    """The facts as they stand, and what was said of making states of them."""
    absent = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.name not in facts]
    replace_rows(session, FACT_FEATURE_METRICS, facts.assign(**dict.fromkeys(absent, 0)))
    said: list[str] = []
    build_states(session, said.append)
    return said[-1]


def test_only_days_that_differ_are_written(session: WarehouseSession) -> None:
    before = FACTS[FACTS["event_date"] < LAST]
    assert know(session, before) == "states of 59 days"
    assert know(session, before) == "states of 0 days"
    assert know(session, FACTS) == "states of 1 days"
    # A day that is corrected changes itself, and what looks back on it.
    day = LAST - pd.Timedelta(days=2)
    corrected = FACTS.assign(crashes=FACTS["crashes"].where(FACTS["event_date"] != day, FACTS["crashes"] + 1))
    assert know(session, corrected) == "states of 3 days"
    assert know(session, FACTS.iloc[:0]) == "states of 60 days"
    assert session.connection.execute("select count(*) from product.feature_states").fetchall() == [(0,)]


def test_states_that_stop_short_of_the_facts_are_made_anew_for_who_asks(session: WarehouseSession) -> None:
    know(session, FACTS[FACTS["event_date"] < LAST])
    replace_rows(
        session,
        FACT_FEATURE_METRICS,
        FACTS.assign(
            **dict.fromkeys([c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.name not in FACTS], 0)
        ),
    )
    assert len(read_watched(session.connection)[0].grid.dates) == 60
    assert len(read_watched(session.connection, (LAST - pd.Timedelta(days=1)).date())[0].grid.dates) == 59


def test_objectives_and_switches_of_the_metadata_reach_the_table(session: WarehouseSession) -> None:
    name = str(FACTS["feature"].iloc[0])
    described = pd.DataFrame({"feature": [name], "tier": [1], "slo_crash_rate": [0.5], "uncounted_metrics": ["events"]})
    replace_rows(session, FEATURE_DESCRIPTIONS, described)
    know(session, FACTS)
    rows = session.connection.execute(
        "select metric, is_counted, objective, objective_source from product.feature_states"
        " where feature = $name and event_date = $day and metric in ('events', 'crash_rate') order by metric",
        {"name": name, "day": LAST},
    ).fetchall()
    assert rows == [("crash_rate", True, 0.5, "given"), ("events", False, None, None)]


def test_a_source_is_a_probe_where_its_file_says_so(session: WarehouseSession) -> None:
    folder = session.settings.data_dir / "sources"
    folder.mkdir(parents=True, exist_ok=True)
    common = "owner: sre\ndescription: Pings\nstarts_on: 2026-01-01\ncolumns: {event_time: t, feature: f, status: s}\n"
    (folder / "pings.yaml").write_text(f"name: pings\nkind: probe\n{common}")
    (folder / "people.yaml").write_text(f"name: people\n{common}")
    assert probe_sources(session.settings) == ["pings"]


def test_what_is_stored_is_read_once_while_it_is_the_same(
    session: WarehouseSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []

    def counted(rows: pd.DataFrame, *rest: Any) -> list[Watched]:
        reads.append(len(rows))
        return watched_from(rows, *rest)

    monkeypatch.setattr(feature_states, "watched_from", counted)
    know(session, FACTS)
    first = read_watched(session.connection)
    assert {each.metric for each in first} == set(MONITORED_METRICS)
    assert read_watched(session.connection, LAST.date())[0] is first[0], "cut at the last day, the rows are the same"
    assert len(reads) == 1
    shorter = read_watched(session.connection, LAST.date() - timedelta(days=1))
    assert (len(reads), len(shorter[0].grid.dates)) == (2, 59)
    assert len(read_watched(session.connection, metrics=["events"])) == 1
    session.connection.execute("update product.feature_states set z = z + 1")
    read_watched(session.connection, metrics=["events"])
    assert len(reads) == 4
    monkeypatch.setattr(feature_states, "MAX_KEPT", 10)
    for _ in range(2):
        read_watched(session.connection)
    assert len(reads) == 6, "of many nothing is kept"
