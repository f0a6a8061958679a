"""Degraded states look back, labels look ahead, and neither takes noise, silence or a hole in the data for harm."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.ml import DEGRADATION_LABELS
from quality_assets.domain.models.risk.labels import (
    FeatureStates,
    LabelSettings,
    degradation_labels,
    feature_states,
    states_of,
)
from quality_assets.domain.series import states
from quality_assets.domain.series.states import Watched, watch
from quality_assets.simulate.daily_facts import DailyFacts, DailyPlan, simulate_daily_facts

START = date(2026, 1, 1)


@pytest.fixture(scope="module")
def quiet() -> DailyFacts:
    return simulate_daily_facts(DailyPlan(30, 120, seed=3, incidents_per_feature_quarter=0))


@pytest.fixture(scope="module")
def troubled() -> DailyFacts:
    return simulate_daily_facts(DailyPlan(40, 150, seed=4))


@pytest.fixture(scope="module")
def quiet_states(quiet: DailyFacts) -> FeatureStates:
    return feature_states(quiet.facts)


@pytest.fixture(scope="module")
def troubled_states(troubled: DailyFacts) -> FeatureStates:
    return feature_states(troubled.facts)


def _with(facts: pd.DataFrame, feature: str, first: int, last: int, **factors: float) -> pd.DataFrame:
    out = facts.copy()
    day = (pd.to_datetime(out["event_date"]) - pd.Timestamp(START)).dt.days
    hit = (out["feature"] == feature) & day.between(first, last)
    for column, factor in factors.items():
        out[column] = out[column].astype(float)
        out.loc[hit, column] *= factor
    # What follows from them is made of them.
    return out.drop(columns=[c for c in ("crash_rate", "error_rate", "feedback_mean") if c in out])


def _without(facts: pd.DataFrame, feature: str | None, first: int, last: int) -> pd.DataFrame:
    day = (pd.to_datetime(facts["event_date"]) - pd.Timestamp(START)).dt.days
    hit = day.between(first, last) & ((facts["feature"] == feature) if feature else True)
    return facts[~hit]


def _row(states: FeatureStates, feature: str) -> int:
    return int(np.flatnonzero(states.grid.keys == feature)[0])


def test_noise_alone_is_hardly_ever_a_degradation(quiet_states: FeatureStates) -> None:
    years = quiet_states.is_known.sum() / 365
    assert quiet_states.is_onset.sum() / years < 0.5


SIGNALS = {
    "latency": {"latency_p95_ms": 1.6},
    "crash": {"crashes": 6.0},
    "error": {"errors": 6.0},
    "feedback": {"feedback_sum": 0.75},
    "volume": {"events": 0.3, "latency_count": 0.3, "feedback_count": 1.0},
}


def test_each_signal_is_told_from_the_others(quiet: DailyFacts, quiet_states: FeatureStates) -> None:
    # Each of the largest features that chance leaves alone has a fault of its own.
    sizes = quiet.facts.groupby("feature")["events"].mean().sort_values(ascending=False)
    alone = [str(name) for name in sizes.index if not quiet_states.is_onset[_row(quiet_states, str(name))].any()]
    hit = dict(zip(SIGNALS, alone[: len(SIGNALS)], strict=True))
    facts = quiet.facts
    for signal, feature in hit.items():
        facts = _with(facts, feature, 80, 95, **SIGNALS[signal])
    states = feature_states(facts)
    for signal, feature in hit.items():
        row = _row(states, feature)
        assert states.signals[signal].is_bad[row, 83:95].all(), signal
        assert not states.signals[signal].is_bad[row, :80].any(), signal
        assert states.is_onset[row, :100].sum() == 1, signal


def test_most_injected_incidents_are_found(troubled: DailyFacts, troubled_states: FeatureStates) -> None:
    states = troubled_states
    late = troubled.incidents[troubled.incidents["start_date"] >= pd.Timestamp(START + timedelta(days=30))]
    found = []
    for incident in late.itertuples():
        start, end = ((pd.Timestamp(d) - pd.Timestamp(START)).days for d in (incident.start_date, incident.end_date))
        found.append(states.is_degraded[_row(states, str(incident.feature)), start : end + 4].any())
    assert np.mean(found) > 0.75


def test_states_depend_on_the_past_only(troubled: DailyFacts, troubled_states: FeatureStates) -> None:
    whole = troubled_states
    cut = feature_states(troubled.facts, through=START + timedelta(days=99))
    np.testing.assert_array_equal(cut.is_degraded, whole.is_degraded[:, :100])
    np.testing.assert_array_equal(cut.signals["volume"].z, whole.signals["volume"].z[:, :100])


def test_labels_come_from_the_future_and_wait_for_it(troubled_states: FeatureStates) -> None:
    settings, states = LabelSettings(), troubled_states
    labels = degradation_labels(states, settings)
    h, days = settings.horizon_days, len(states.grid.dates)
    index = (pd.to_datetime(labels["event_date"]) - pd.Timestamp(START)).dt.days.to_numpy()
    assert labels.loc[index + h >= days, "label_any"].isna().all()
    assert (labels.loc[index + h >= days, "unknown_because"] == "future").all()
    known = labels[labels["label_any"].notna()]
    sample = known.sample(200, random_state=0)
    for row in sample.itertuples():
        f, d = _row(states, str(row.feature)), (pd.Timestamp(row.event_date) - pd.Timestamp(START)).days
        assert bool(row.label_any) == states.is_degraded[f, d + 1 : d + h + 1].any()
        if not pd.isna(row.label_onset):
            assert bool(row.label_onset) == states.is_onset[f, d + 1 : d + h + 1].any()
    assert labels.loc[labels["is_degraded_today"].fillna(False), "label_onset"].isna().all()
    positive = known[known["label_any"].astype(bool)]
    assert (positive["degraded_metrics_ahead"] != "").all()
    assert positive["days_to_degradation"].between(1, h).all()


def test_a_silent_feature_is_degraded_until_silence_is_the_new_normal_then_gone(quiet: DailyFacts) -> None:
    states = feature_states(_without(quiet.facts, "feature_0001", 40, 119))
    row = _row(states, "feature_0001")
    assert states.signals["volume"].is_bad[row, 41:80].all()
    assert not states.is_known[row, 90:].any()
    labels = degradation_labels(states)
    late = labels[
        (labels["feature"] == "feature_0001") & (labels["event_date"] >= pd.Timestamp(START) + pd.Timedelta("95D"))
    ]
    assert late["label_any"].isna().all()
    assert "gone" in set(late["unknown_because"])


def test_a_day_without_any_events_is_a_gap_not_harm(quiet: DailyFacts, quiet_states: FeatureStates) -> None:
    states = feature_states(_without(quiet.facts, None, 70, 76))
    assert states.grid.is_gap[70:77].all()
    assert not states.is_known[:, 70:77].any()
    assert not states.is_degraded[:, 70:77].any()
    assert (quiet_states.is_degraded[:, 60:70] == states.is_degraded[:, 60:70]).all()
    labels = degradation_labels(states)
    before = labels[labels["event_date"] == pd.Timestamp(START) + pd.Timedelta("69D")]
    assert set(before["unknown_because"]) == {"clock_gap"}


def test_a_lasting_shift_becomes_the_new_normal(quiet: DailyFacts) -> None:
    big = str(quiet.facts.groupby("feature")["events"].mean().idxmax())
    states = feature_states(_with(quiet.facts, big, 50, 119, latency_p95_ms=1.8))
    row = _row(states, big)
    assert states.is_degraded[row, 52:70].all()
    assert not states.is_degraded[row, 100:].any()


def test_a_metric_that_is_null_throughout_leaves_the_others(quiet: DailyFacts) -> None:
    facts = quiet.facts.assign(latency_p95_ms=np.nan, latency_p50_ms=np.nan, feedback_count=0, feedback_sum=np.nan)
    states = feature_states(facts.drop(columns=["users"]))
    assert not states.signals["latency"].is_known.any()
    assert not states.signals["feedback"].is_known.any()
    assert states.is_known[:, 30:].all()
    labels = degradation_labels(states)
    assert labels["is_latency_degraded"].isna().all()


@pytest.mark.parametrize("days", [1, 5, 11])
def test_too_little_history_is_unknown(quiet: DailyFacts, days: int) -> None:
    labels = degradation_labels(feature_states(quiet.facts, through=START + timedelta(days=days - 1)))
    assert labels["label_any"].isna().all()
    assert labels["is_degraded_today"].isna().all()


def test_what_is_known_is_worked_out_once_a_metric_however_many_features_there_are(
    quiet: DailyFacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = watch(quiet.facts)
    asked: list[str] = []
    words_of = states.words_of

    def counted(each: Watched) -> tuple[np.ndarray, np.ndarray]:
        asked.append(each.metric)
        return words_of(each)

    monkeypatch.setattr(states, "words_of", counted)
    states_of(quiet.facts, watched)
    assert len(asked) == len(set(asked)) > 1


def test_no_facts_at_all_give_no_rows() -> None:
    empty = pd.DataFrame({"event_date": pd.Series(dtype="datetime64[ns]"), "feature": [], "events": []})
    assert len(degradation_labels(feature_states(empty))) == 0
    assert len(degradation_labels(feature_states(empty, through=START))) == 0


def test_rows_fit_the_contract(troubled_states: FeatureStates) -> None:
    labels = degradation_labels(troubled_states)
    assert tuple(labels.columns) == DEGRADATION_LABELS.column_names
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(DEGRADATION_LABELS.create_sql())
        connection.execute("insert into ml.degradation_labels select * from labels")
        assert connection.execute("select count(*) from ml.degradation_labels").fetchone() == (len(labels),)


def test_bad_facts_are_refused(quiet: DailyFacts) -> None:
    with pytest.raises(ValueError, match="lack"):
        feature_states(quiet.facts.drop(columns=["feature"]))
    with pytest.raises(ValueError, match="two rows"):
        feature_states(pd.concat([quiet.facts, quiet.facts.head(1)]))
    with pytest.raises(ValueError, match="min_known_days"):
        LabelSettings(min_known_days=8)
