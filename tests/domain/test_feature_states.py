"""States of features: one truth as rows, by value; the same again from the rows; nothing of a day from its future."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.metrics import TREND_METRICS
from quality_assets.contracts.states import FEATURE_STATES
from quality_assets.domain.features.incidents import incidents_of
from quality_assets.domain.models.risk.inputs import risk_inputs
from quality_assets.domain.models.risk.labels import degradation_labels, states_of
from quality_assets.domain.series.state_rows import READ_COLUMNS, state_rows, watched_from
from quality_assets.domain.series.states import Described, watch
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts

START = pd.Timestamp(date(2026, 1, 1))
SIMULATED = simulate_daily_facts(DailyPlan(10, 110, seed=6, incidents_per_feature_quarter=2)).facts


def facts_of(crashes: Sequence[int], events: int = 1000, feature: str = "pay", **more: float) -> pd.DataFrame:
    days = [START + pd.Timedelta(days=d) for d in range(len(crashes))]
    return pd.DataFrame({"event_date": days, "feature": feature, "events": events, "crashes": crashes, **more})


def crash_rows(facts: pd.DataFrame, **how: Described) -> pd.DataFrame:
    rows = state_rows(watch(facts, **how))
    return rows[rows["metric"] == "crash_rate"].reset_index(drop=True)


def counts_of(facts: pd.DataFrame, dead_from: int) -> pd.DataFrame:
    day = (facts["event_date"] - START).dt.days
    kept = pd.concat([facts.assign(event_name=name) for name in ("tap", "view")])
    return kept[(kept["event_name"] == "tap") | (pd.concat([day, day]).to_numpy() < dead_from)]


def test_a_crash_week_is_worse_then_recovering_then_as_usual() -> None:
    rows = crash_rows(facts_of([10] * 40 + [100] * 5 + [10] * 15))
    states = rows["state"].tolist()
    assert states[:12] == ["unknown"] * 12
    assert set(rows["reason_unknown"][:12]) == {"too_little_history"}
    assert states[12:40] == ["ok"] * 28
    assert states[40:45] == ["worse"] * 5
    assert states[45] == "recovering"
    assert states[46:] == sorted(states[46:], reverse=True)
    assert states[-5:] == ["ok"] * 5
    bad = rows[40:45]
    assert bad["is_bad"].all()
    assert bad["is_found"].tolist() == [True] + [False] * 4
    assert set(bad["since"]) == {START + pd.Timedelta(days=40)}
    assert bad["value"].tolist() == [0.1] * 5
    assert bad["size"].tolist() == pytest.approx([0.09] * 5, abs=0.0005)
    assert bad["worst_size"].tolist() == pytest.approx([0.09] * 5, abs=0.0005)
    assert rows["since"][:40].isna().all()


def test_the_worst_day_so_far_is_kept_beside_today() -> None:
    rows = crash_rows(facts_of([10] * 40 + [60, 200, 80, 80, 80]))
    assert (rows["worst_date"][40:] - START).dt.days.tolist() == [40, 41, 41, 41, 41]
    assert rows["worst_size"][44] == pytest.approx(0.19, abs=0.001)
    assert rows["size"][44] == pytest.approx(0.07, abs=0.001)


def test_rows_are_of_the_contract_and_one_a_feature_day_and_metric() -> None:
    rows = state_rows(
        watch(
            SIMULATED, metrics=TREND_METRICS, event_counts=counts_of(SIMULATED[["event_date", "feature", "events"]], 70)
        )
    )
    assert tuple(rows.columns) == FEATURE_STATES.column_names
    assert not rows.duplicated(list(FEATURE_STATES.key)).any()
    whole = rows[rows["event_name"].eq("") & rows["platform"].eq("")]
    assert not whole.duplicated(["event_date", "feature", "metric"]).any()
    # From its first day on a feature has a row for every metric.
    first = whole.groupby("feature")["event_date"].min()
    days = (SIMULATED["event_date"].max() - first).dt.days + 1
    assert len(whole) == int(days.sum()) * whole["metric"].nunique()
    known = rows[rows["state"] != "unknown"]
    assert known["reason_unknown"].isna().all()
    assert rows.loc[rows["state"] == "unknown", "reason_unknown"].notna().all()


def test_what_is_made_of_stored_rows_is_what_is_made_of_the_detector() -> None:
    facts = SIMULATED.assign(users=100.0)
    counts = counts_of(SIMULATED[["event_date", "feature", "events"]], 70)
    watched = watch(facts, event_counts=counts)
    again = watched_from(state_rows(watched)[list(READ_COLUMNS)])
    states, stored = (states_of(facts, each) for each in (watched, again))
    pd.testing.assert_frame_equal(degradation_labels(states), degradation_labels(stored))
    pd.testing.assert_frame_equal(risk_inputs(states), risk_inputs(stored))
    incidents, alike = (incidents_of(each, facts) for each in (watched, again))
    assert len(incidents) > 10
    assert "dead" in set(incidents["kind"])
    pd.testing.assert_frame_equal(incidents, alike)


def test_states_of_a_day_are_the_same_whatever_comes_later() -> None:
    causal = [name for name in FEATURE_STATES.column_names if name not in ("since", "worst_date", "worst_size")]
    cut = START + pd.Timedelta(days=79)
    whole = state_rows(watch(SIMULATED))
    then = state_rows(watch(SIMULATED, through=cut.date()))
    now = whole[whole["event_date"] <= cut].sort_values(list(FEATURE_STATES.key), ignore_index=True)
    pd.testing.assert_frame_equal(then.sort_values(list(FEATURE_STATES.key), ignore_index=True)[causal], now[causal])


def test_a_platform_that_comes_later_changes_nothing_that_was_said_before() -> None:
    """What is usual of a few crashes is drawn towards all series: so nothing may join them in hindsight."""
    rng = np.random.default_rng(0)
    days = pd.date_range(START, periods=100)
    rows = [
        {"event_date": day, "feature": name, "platform": platform, "events": 40, "crashes": int(rng.binomial(40, rate))}
        for name, rate in (("pay", 0.01), ("late", 0.2), ("maps", 0.01))
        for day in days
        for platform in ("ios", "web")
        if not (name == "late" and platform == "web" and day < days[60])
    ]
    counts = pd.DataFrame(rows)
    counts.loc[
        (counts["feature"] == "pay") & (counts["platform"] == "web") & (counts["event_date"] >= days[45]), "crashes"
    ] = 3
    facts = counts.groupby(["event_date", "feature"], as_index=False)[["events", "crashes"]].sum()

    def platforms(through: pd.Timestamp) -> pd.DataFrame:
        known = [each[each["event_date"] <= through] for each in (facts, counts)]
        own = watch(known[0], platform_counts=known[1], through=through.date())[-1]
        assert own.part == "platform"
        frame = own.grid.long_keys(own.grid.is_present)
        return frame.assign(
            drift=own.found.days_pooled.T[own.grid.is_present.T], is_bad=own.is_bad.T[own.grid.is_present.T]
        )

    now, then = platforms(days[-1]), platforms(days[50])
    assert set(then["feature"]) == {"pay", "maps"}
    assert then["is_bad"].any()
    pd.testing.assert_frame_equal(now[now["event_date"] <= days[50]].reset_index(drop=True), then)
    late = now[now["feature"] == "late"]
    assert late["event_date"].min() == days[60]
    assert set(late["platform"]) == {"ios", "web"}


def test_a_day_without_any_data_is_unknown_and_so_is_a_feature_without_events() -> None:
    facts = pd.concat([facts_of([10] * 60), facts_of([10] * 60, feature="cart")])
    day = (facts["event_date"] - START).dt.days
    facts = facts[(day != 30) & ((day != 40) | (facts["feature"] != "pay"))]
    rows = crash_rows(facts)
    pay = rows[rows["feature"] == "pay"].set_index(rows.loc[rows["feature"] == "pay", "event_date"])
    assert pay["reason_unknown"][START + pd.Timedelta(days=30)] == "no_data_that_day"
    assert pay["reason_unknown"][START + pd.Timedelta(days=40)] == "no_events"
    assert pay["state"][START + pd.Timedelta(days=41)] == "ok"


def test_what_does_not_count_is_told_and_makes_nothing() -> None:
    facts = facts_of([10] * 40 + [100] * 5, users=50.0)
    off = Described(uncounted={"pay": frozenset({"crash_rate"})})
    rows = crash_rows(facts, described=off)
    assert rows["state"].tolist()[40:] == ["worse"] * 5
    assert not rows["is_counted"].any()
    assert not rows["is_bad"].any()
    assert len(incidents_of(watch(facts, described=off), facts)) == 0
    assert len(incidents_of(watch(facts), facts)) == 1


def test_no_facts_give_no_states() -> None:
    empty = pd.DataFrame({"event_date": pd.Series(dtype="datetime64[ns]"), "feature": [], "events": []})
    assert len(state_rows(watch(empty))) == 0
    assert watched_from(pd.DataFrame(columns=list(READ_COLUMNS))) == []
    assert np.array_equal(state_rows([]).columns, FEATURE_STATES.column_names)
