"""Products that are not as the textbook has them: a stated verdict or a stated unknown, never a traceback."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.features.incidents import incidents_of
from quality_assets.domain.models.risk.backtest import backtest
from quality_assets.domain.models.risk.inputs import risk_inputs
from quality_assets.domain.models.risk.labels import degradation_labels, states_of
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.series.state_rows import state_rows
from quality_assets.domain.series.states import watch

START = pd.Timestamp(date(2026, 1, 1))
NAN = np.nan
UNTIMED = {"latency_count": 0, "latency_p50_ms": NAN, "latency_p95_ms": NAN}
UNRATED = {"feedback_count": 0, "feedback_sum": NAN}
FAST = RiskSettings(forest_trees=10, boosting_rounds=10, folds=2, bootstrap_rounds=10, threads=1)


def product(days: int = 80, features: int = 4, seed: int = 0, **columns: Any) -> pd.DataFrame:
    """Facts of features without any fault, of which `columns` replace some."""
    rng = np.random.default_rng(seed)
    size = days * features
    events = rng.poisson(400, size)
    facts = pd.DataFrame(
        {
            "event_date": np.repeat(pd.date_range(START, periods=days), features),
            "feature": [f"feature_{n}" for n in range(features)] * days,
            "events": events,
            "users": events // 4,
            "all_users": 500,
            "errors": rng.binomial(events, 0.02),
            "crashes": rng.binomial(events, 0.01),
            "latency_count": events,
            "latency_p50_ms": 100 * np.exp(0.04 * rng.standard_normal(size)),
            "latency_p95_ms": 300 * np.exp(0.04 * rng.standard_normal(size)),
            "feedback_count": 40,
            "feedback_sum": 40 * (4.2 + 0.1 * rng.standard_normal(size)),
        }
    )
    return facts.assign(**columns)


def told(facts: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """States, incidents and labels; inputs are made too, and hold nothing infinite."""
    watched = watch(facts)
    states = states_of(facts, watched)
    inputs = risk_inputs(states)
    assert not np.isinf(inputs.select_dtypes("number").to_numpy(float)).any()
    rows, incidents = state_rows(watched), incidents_of(watched, facts)
    assert rows.loc[rows["state"] == "unknown", "reason_unknown"].notna().all()
    assert np.isfinite(incidents["score"].astype(float)).all()
    assert not incidents["sentence"].str.contains(r"e\+|nan|inf\b|\d{9}", regex=True).any()
    return rows, incidents, degradation_labels(states)


def last_states(rows: pd.DataFrame, metric: str) -> list[str]:
    return rows[(rows["metric"] == metric) & (rows["event_date"] == rows["event_date"].max())]["state"].tolist()


def reasons(rows: pd.DataFrame, metric: str) -> set[str]:
    own = rows[(rows["metric"] == metric) & (rows["event_date"] >= START + pd.Timedelta(days=20))]
    return set(own["reason_unknown"].dropna())


def test_a_feature_that_is_always_down_is_told_from_its_birth_and_stays_bad() -> None:
    facts = product()
    down = facts["feature"] == "feature_0"
    facts.loc[down, "crashes"] = facts.loc[down, "events"]
    rows, incidents, labels = told(facts)
    assert last_states(rows, "crash_rate") == ["breached", "ok", "ok", "ok"]
    (row,) = incidents[incidents["feature"] == "feature_0"].to_dict("records")
    assert (row["kind"], row["end_date"], row["current_value"]) == ("objective", None, 1.0)
    assert row["severity"] in ("high", "critical")
    own = labels[labels["feature"] == "feature_0"]
    assert own["is_degraded_today"].iloc[12:].all()
    assert own["label_any"].iloc[12:-7].all()


def test_one_event_a_day_is_judged_over_weeks_or_unknown_with_the_volume_that_it_takes() -> None:
    facts = product(days=120, events=1, users=1, errors=0, crashes=0, **UNTIMED, **UNRATED)
    rows, incidents, labels = told(facts)
    assert len(incidents) == 0
    crash = rows[rows["metric"] == "crash_rate"].iloc[-4:]
    assert set(crash["state"]) == {"ok"}
    assert crash["days_pooled"].between(2, 28).all()
    assert labels["label_any"].dropna().eq(False).all()
    assert labels["label_any"].notna().mean() > 0.7
    # Then it fails each day.
    failing = facts.assign(crashes=(facts["event_date"] >= START + pd.Timedelta(days=100)).astype(int))
    after, found, _ = told(failing)
    assert set(last_states(after, "crash_rate")) <= {"worse", "breached"}
    assert set(found["feature"]) == set(facts["feature"])
    assert found["end_date"].isna().all()
    day = pd.to_datetime(found["detected_on"]).max()
    assert day <= START + pd.Timedelta(days=106)


def test_rates_without_latency_and_latency_alone_are_judged_by_what_there_is() -> None:
    rates, _, labels = told(product(**UNTIMED, **UNRATED, users=NAN, all_users=NAN))
    assert last_states(rates, "error_rate") == ["ok"] * 4
    assert reasons(rates, "latency_p95_ms") == {"no_values"}
    assert labels["label_any"].iloc[100:-28].notna().all()
    alone, _, labels = told(product().drop(columns=["errors", "crashes", "feedback_count", "feedback_sum"]))
    assert set(alone["metric"]) == {"events", "latency_p50_ms", "latency_p95_ms"}
    assert last_states(alone, "latency_p95_ms") == ["ok"] * 4
    assert labels["label_any"].iloc[100:-28].notna().all()


def test_without_users_severity_and_incidents_are_told_without_them() -> None:
    facts = product().drop(columns=["users", "all_users"])
    hit = (facts["feature"] == "feature_1") & (facts["event_date"] >= START + pd.Timedelta(days=70))
    facts.loc[hit, "crashes"] *= 12
    _, incidents, _ = told(facts)
    (row,) = incidents[incidents["feature"] == "feature_1"].to_dict("records")
    assert pd.isna(row["affected_users"])
    assert row["severity"] == "medium"
    assert "user" not in row["sentence"]


def test_series_that_end_on_different_days_are_silent_then_gone() -> None:
    facts = product(days=140)
    last = START + pd.to_timedelta(facts["feature"].map({f"feature_{n}": 139 - 30 * n for n in range(4)}), unit="D")
    rows, incidents, _ = told(facts[facts["event_date"] <= last])
    assert last_states(rows, "events") == ["ok", "worse", "unknown", "unknown"]
    assert reasons(rows, "events") == {"gone"}
    dead = incidents[incidents["kind"] == "dead"].set_index("feature")
    assert dead["end_date"].isna().to_dict() == {"feature_1": True, "feature_2": False, "feature_3": False}
    assert last_states(rows, "crash_rate") == ["ok", *["unknown"] * 3]


def test_eleven_days_of_history_say_nothing_yet() -> None:
    rows, incidents, labels = told(product(days=11))
    assert set(rows.loc[rows["reason_unknown"].notna(), "reason_unknown"]) == {"too_little_history"}
    assert not (rows["state"] == "worse").any()
    assert len(incidents) == 0
    assert labels["label_any"].isna().all()
    assert set(labels["unknown_because"]) == {"future", "no_baseline"}


def test_a_month_without_any_data_is_a_hole_and_no_fault() -> None:
    facts = product(days=110)
    hole = facts["event_date"].between(START + pd.Timedelta(days=40), START + pd.Timedelta(days=70))
    rows, incidents, labels = told(facts[~hole])
    inside = rows[rows["event_date"].between(START + pd.Timedelta(days=40), START + pd.Timedelta(days=70))]
    assert set(inside["reason_unknown"]) == {"no_data_that_day"}
    assert not incidents["kind"].eq("dead").any()
    assert labels.loc[labels["event_date"] == START + pd.Timedelta(days=50), "unknown_because"].eq("clock_gap").all()


def test_a_metric_that_is_constant_is_as_usual_until_it_moves() -> None:
    facts = product(latency_p95_ms=300.0, latency_p50_ms=100.0)
    rows, incidents, _ = told(facts)
    assert last_states(rows, "latency_p95_ms") == ["ok"] * 4
    assert not incidents["metric"].str.startswith("latency").any()
    hit = (facts["feature"] == "feature_2") & (facts["event_date"] >= START + pd.Timedelta(days=76))
    facts.loc[hit, "latency_p95_ms"] = 600.0
    rows, incidents, _ = told(facts)
    assert last_states(rows, "latency_p95_ms") == ["ok", "ok", "worse", "ok"]
    assert incidents["metric"].eq("latency_p95_ms").sum() == 1


def test_all_features_renamed_at_once_are_silent_as_a_product_and_the_new_ones_unknown() -> None:
    facts = product(days=90)
    late = facts["event_date"] >= START + pd.Timedelta(days=80)
    facts.loc[late, "feature"] = facts.loc[late, "feature"] + " 2"
    twin = facts[facts["feature"].str.startswith("feature_0")]
    five = pd.concat([facts, twin.assign(feature=twin["feature"] + "b")])
    rows, incidents, labels = told(five)
    dead = incidents[incidents["kind"] == "dead"]
    # One event of the product, which names its features.
    assert dead["scope"].tolist() == ["product"]
    assert len(dead["features"].iloc[0]) == 5
    new = rows[rows["feature"].str.contains(" 2")]
    assert set(new["reason_unknown"]) == {"too_little_history"}
    assert labels[labels["feature"].isin(new["feature"])]["label_any"].isna().all()


def _slow(facts: pd.DataFrame) -> pd.DataFrame:
    """The same, feature_3 being slow for ten days of each month."""
    day = (facts["event_date"] - START).dt.days
    hit = (facts["feature"] == "feature_3") & (day % 30 >= 20)
    return facts.assign(latency_p95_ms=facts["latency_p95_ms"].where(~hit, 900.0))


def _down() -> pd.DataFrame:
    facts = _slow(product(100))
    return facts.assign(crashes=facts["crashes"].where(facts["feature"] != "feature_0", facts["events"]))


def _ending() -> pd.DataFrame:
    facts = _slow(product(100))
    last = START + pd.to_timedelta(facts["feature"].map({f"feature_{n}": 99 - 15 * n for n in range(4)}), unit="D")
    return facts[facts["event_date"] <= last]


def _with_a_hole() -> pd.DataFrame:
    facts = _slow(product(130))
    return facts[~facts["event_date"].between(START + pd.Timedelta(days=40), START + pd.Timedelta(days=70))]


def _renamed() -> pd.DataFrame:
    facts = _slow(product(100))
    late = facts["event_date"] >= START + pd.Timedelta(days=80)
    return facts.assign(feature=facts["feature"].where(~late, facts["feature"] + " 2"))


ODD = {
    "a feature that is always down": _down,
    "one event a day": lambda: product(100, events=1, users=1, errors=0, crashes=0, **UNTIMED, **UNRATED),
    "rates alone": lambda: product(100, **UNTIMED, **UNRATED),
    "latency alone": lambda: _slow(product(100)).drop(columns=["errors", "crashes", "feedback_count", "feedback_sum"]),
    "no users": lambda: _slow(product(100)).drop(columns=["users", "all_users"]),
    "series that end on different days": _ending,
    "eleven days": lambda: product(11),
    "a month without events": _with_a_hole,
    "a metric that is constant": lambda: product(100, latency_p95_ms=300.0, latency_p50_ms=100.0),
    "all renamed at once": _renamed,
}


@pytest.mark.parametrize("kind", ODD)
def test_history_is_replayed_and_graded_or_it_is_said_why_not(kind: str) -> None:
    facts = ODD[kind]()
    last = facts["event_date"].max()
    found = backtest(facts, (last - pd.Timedelta(days=20)).date(), (last - pd.Timedelta(days=7)).date(), FAST)
    assert len(found.notes) or len(found.grades)
    assert all(": no model: " in note for note in found.notes)
    if len(found.grades):
        said = found.scores[["risk_model", "persistence", "base_rate"]].to_numpy(float)
        assert ((said >= 0) & (said <= 1)).all()
        assert found.scores["event_date"].min() >= last - pd.Timedelta(days=20)
        assert found.grades["rows"].gt(0).all()
    learnt = {"a feature that is always down", "latency alone", "no users", "a month without events"}
    assert (len(found.grades) > 0) >= (kind in learnt)


@pytest.mark.parametrize("column", ["errors", "crashes"])
def test_more_bad_events_than_events_are_no_rate(column: str) -> None:
    facts = product()
    facts.loc[(facts["event_date"] == START + pd.Timedelta(days=60)), column] = 10_000
    rows, _, _ = told(facts)
    metric = {"errors": "error_rate", "crashes": "crash_rate"}[column]
    day = rows[(rows["metric"] == metric) & (rows["event_date"] == START + pd.Timedelta(days=60))]
    assert not (day["state"] == "ok").any()
