"""Whatever came in which steps, product.feature_states is as if the detector had gone once over all days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.drift import EVENT_SKETCH_COUNTS
from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.product import FACT_FEATURE_METRICS
from quality_assets.contracts.raw import FEATURE_DESCRIPTIONS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.series.state_rows import state_rows
from quality_assets.domain.series.states import watch
from quality_assets.settings import Settings
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts
from quality_assets.stores.frames import as_arrow, replace_rows
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables import state_building
from quality_assets.tables.feature_states import read_described
from quality_assets.tables.state_building import build_states
from quality_assets.tables.state_history import read_event_counts, read_platform_counts

DAYS = 170
KEY = ["event_date", "feature", "name", "bin"]


@dataclass(frozen=True)
class World:
    """What is known of each day: facts, and the counts of events and platforms beside them."""

    facts: pd.DataFrame
    counts: pd.DataFrame

    def until(self, day: int) -> World:
        """What is known after so many days."""
        last = pd.Timestamp("2026-01-01") + pd.Timedelta(days=day - 1)
        return World(*(each[pd.to_datetime(each["event_date"]) <= last] for each in (self.facts, self.counts)))

    def without(self, day: int, share: float) -> World:
        """The same before the last part of a day had come: fewer events, crashes and counts."""
        at = pd.Timestamp("2026-01-01") + pd.Timedelta(days=day - 1)
        facts, counts = self.facts.copy(), self.counts.copy()
        own, of_counts = (pd.to_datetime(each["event_date"]) == at for each in (facts, counts))
        for name in ("events", "crashes", "errors"):
            facts.loc[own, name] = (facts.loc[own, name] * share).astype(np.int64)
        counts.loc[of_counts, "n"] = (counts.loc[of_counts, "n"] * share).astype(np.int64)
        return World(facts, counts)


def world(seed: int) -> World:
    """Four features with many faults, each of three events, one of which dies, and two platforms, one that crashes."""
    plan = DailyPlan(4, DAYS, seed=seed, events_per_feature_day=300, incidents_per_feature_quarter=6)
    facts = simulate_daily_facts(plan).facts
    rng = np.random.default_rng(seed)
    day = (pd.to_datetime(facts["event_date"]) - pd.Timestamp("2026-01-01")).dt.days.to_numpy()
    names = sorted(facts["feature"].unique())
    rows = []
    for number, (event, share) in enumerate((("open", 0.6), ("save", 0.3), ("share", 0.02))):
        n = rng.poisson(facts["events"] * share)
        dies = rng.integers(20, DAYS, len(names))
        dead = np.array([dies[names.index(each)] for each in facts["feature"]])
        n = np.where((number == 1) & (day >= dead) & (day < dead + 20), 0, n)
        rows.append(facts[["event_date", "feature"]].assign(name="event_name", bin=event, n=n))
    for platform, share in (("ios", 0.5), ("android", 0.5)):
        events = rng.poisson(facts["events"] * share)
        bad = rng.integers(20, DAYS, len(names))
        since = np.array([bad[names.index(each)] for each in facts["feature"]])
        rate = np.where((platform == "ios") & (day >= since) & (day < since + 15), 0.06, 0.008)
        rows.append(facts[["event_date", "feature"]].assign(name="platform_events", bin=platform, n=events))
        crashes = rng.binomial(events, rate)
        rows.append(facts[["event_date", "feature"]].assign(name="platform_crashes", bin=platform, n=crashes))
    counts = pd.concat(rows, ignore_index=True)
    # What had no event has no row.
    return World(facts, counts[counts["n"] > 0].reset_index(drop=True))


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WarehouseSession]:
    with open_warehouse(Settings(data_dir=tmp_path / "data", threads=1, _env_file=None)) as opened:  # type: ignore[call-arg]
        yield opened


def know(session: WarehouseSession, known: World) -> None:
    absent = [c.name for c in FACT_FEATURE_METRICS.columns if not c.nullable and c.name not in known.facts]
    replace_rows(session, FACT_FEATURE_METRICS, known.facts.assign(**dict.fromkeys(absent, 0)))
    replace_rows(session, EVENT_SKETCH_COUNTS, known.counts)


def built(session: WarehouseSession) -> list[tuple[object, ...]]:
    build_states(session, lambda _: None)
    return digests(session, FEATURE_STATES.qualified_name)


def gone_over_once(session: WarehouseSession) -> list[tuple[object, ...]]:
    """What the detector says of all days, by the functions that know of no steps."""
    connection = session.connection
    watched = watch(
        connection.execute(f"select * from {FACT_FEATURE_METRICS.qualified_name}").df(),
        event_counts=read_event_counts(connection),
        platform_counts=read_platform_counts(connection),
        described=read_described(connection),
        metrics=TREND_METRICS,
    )
    connection.register("once", as_arrow(FEATURE_STATES, state_rows(watched)))
    try:
        return digests(session, "once")
    finally:
        connection.unregister("once")


def digests(session: WarehouseSession, table: str) -> list[tuple[object, ...]]:
    """Of each day and metric the number of rows, and one that differs where any bit of any of them does."""
    return session.connection.execute(
        "select event_date, metric, event_name <> '' as is_event, platform <> '' as is_platform, count(*),"
        f" sum(cast(hash({FEATURE_STATES.select_list()}) as hugeint)) from {table} group by all order by all"
    ).fetchall()


@pytest.fixture
def walks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many days each panel was gone over since it was emptied."""
    days: list[int] = []
    watched_on = state_building.watched_on

    def counted(asked, start=None, keep=()):  # type: ignore[no-untyped-def]
        first = 0 if start is None else int((start.day - asked.grid.dates[0].astype("datetime64[D]")).astype(int)) + 1
        days.append(len(asked.grid.dates) - first)
        return watched_on(asked, start, keep)

    monkeypatch.setattr(state_building, "watched_on", counted)
    return days


def test_steps_of_any_size_give_what_one_gives(session: WarehouseSession, walks: list[int]) -> None:
    whole, rng = world(1), np.random.default_rng(1)
    day = 84
    for late in (1, 0, 2):
        known = whole.until(day)
        # The last day had not come to its end, or more of an earlier one was still to come.
        know(session, known.without(day - (0, 2, 16)[late], float(rng.choice([0.0, 0.5, 0.97]))))
        build_states(session, lambda _: None)
        know(session, known)
        walks.clear()
        assert built(session) == gone_over_once(session)
        assert min(walks) < 30
        day += int(rng.integers(1, 9))


def test_a_small_day_goes_over_few_days(session: WarehouseSession, walks: list[int]) -> None:
    whole, days = world(4), 100
    know(session, whole.until(days - 1))
    built(session)
    assert set(walks) == {days - 1}
    walks.clear()
    know(session, whole.until(days))
    built(session)
    assert walks[: len(TREND_METRICS)] == [2] * len(TREND_METRICS)
    assert max(walks) < days - 1
    walks.clear()
    built(session)
    assert walks[: len(TREND_METRICS)] == [1] * len(TREND_METRICS)


def test_other_series_descriptions_code_and_rows_are_gone_over_whole(
    session: WarehouseSession, walks: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    days = 36
    whole = world(5).until(days)
    know(session, whole)
    wanted = gone_over_once(session)
    assert built(session) == wanted

    def is_gone_over_whole() -> bool:
        walks.clear()
        assert built(session) == wanted
        return set(walks) == {days}

    assert not is_gone_over_whole()
    session.connection.execute("update product.feature_states set z = z + 1 where event_date = '2026-02-01'")
    assert is_gone_over_whole()
    assert not is_gone_over_whole()
    name = str(whole.facts["feature"].iloc[0])
    replace_rows(session, FEATURE_DESCRIPTIONS, pd.DataFrame({"feature": [name], "slo_crash_rate": [0.001]}))
    before, wanted = wanted, gone_over_once(session)
    assert wanted != before
    assert is_gone_over_whole()
    session.connection.execute(
        "update product.fact_feature_metrics set crashes = crashes + 1 where event_date = '2026-01-01'"
    )
    wanted = gone_over_once(session)
    assert is_gone_over_whole()
    new = whole.facts[pd.to_datetime(whole.facts["event_date"]) == whole.facts["event_date"].max()].head(1)
    know(session, World(pd.concat([whole.facts, new.assign(feature="A new one")]), whole.counts))
    walks.clear()
    wanted = gone_over_once(session)
    assert built(session) == wanted
    assert walks[: len(TREND_METRICS)] == [days] * len(TREND_METRICS)
    monkeypatch.setattr(state_building, "_code", lambda: "other code")
    assert is_gone_over_whole()
    for path in session.settings.detector_dir.glob("*.checkpoint"):
        path.write_bytes(path.read_bytes()[:-9])
    assert is_gone_over_whole()


def test_a_gap_that_is_filled_later_is_as_if_it_had_never_been(session: WarehouseSession) -> None:
    whole = world(6).until(90)
    gap = pd.Timestamp("2026-03-26")
    know(session, World(*(each[pd.to_datetime(each["event_date"]) != gap] for each in (whole.facts, whole.counts))))
    assert built(session) == gone_over_once(session)
    know(session, whole)
    assert built(session) == gone_over_once(session)
    know(session, World(whole.facts.iloc[:0], whole.counts.iloc[:0]))
    assert built(session) == []
