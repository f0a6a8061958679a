"""Scores of days before there was a model: by models of what was known then, and of nothing later."""

from __future__ import annotations

from datetime import date, timedelta
from functools import cache

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.risk.backtest import as_known_on
from quality_assets.domain.models.risk.history import TOO_EARLY, HistorySettings, backfilled_scores
from quality_assets.domain.models.risk.inputs import risk_training_set
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts

QUICK = RiskSettings(threads=1)


@cache
def training_rows() -> pd.DataFrame:
    return risk_training_set(simulate_daily_facts(DailyPlan(15, 110, seed=5, incidents_per_feature_quarter=2)).facts)


@cache
def days() -> list[date]:
    return [day.date() for day in pd.to_datetime(training_rows()["event_date"]).drop_duplicates()]


def scored(
    estimator: str, training: pd.DataFrame | None = None, wanted: list[date] | None = None, **more: int
) -> pd.DataFrame:
    rows, asked = training_rows() if training is None else training, days() if wanted is None else wanted
    return backfilled_scores(rows, estimator, asked, "rolling-1", QUICK, HistorySettings(**more))


@pytest.fixture(scope="module")
def past() -> pd.DataFrame:
    return scored("logistic_regression")


def test_every_feature_day_has_a_row_marked_as_filled_in(past: pd.DataFrame) -> None:
    assert len(past) == len(training_rows())
    assert not past.duplicated(["event_date", "feature"]).any()
    assert past["is_backfilled"].all()
    assert set(past["model_version"]) == {"rolling-1"}
    assert set(past["reasons"]) == {"[]"}
    known = past[past["risk_probability"].notna()]
    age = (pd.to_datetime(known["event_date"]) - pd.to_datetime(known["trained_through"])).dt.days
    assert age.between(1, 14).all()
    # Fourteen days apart, beginning before the first day.
    origins = sorted(pd.to_datetime(known["trained_through"]).dt.date.unique())
    assert {(origin - days()[0]).days % 14 for origin in origins} == {13}
    # Base rates stand in before the chart, the chart before the model.
    kinds = past.sort_values("event_date").drop_duplicates("score_kind")["score_kind"].tolist()
    assert kinds == ["unknown", "baseline", "model"]
    early = past[pd.to_datetime(past["event_date"]).dt.date < origins[0]]
    assert early["risk_probability"].isna().all()
    assert TOO_EARLY in set(early["note"])


def test_no_model_knows_a_day_after_its_origin(past: pd.DataFrame) -> None:
    day = days()[90]
    then = as_known_on(training_rows(), day, QUICK.horizon_days)
    again = scored("logistic_regression", then, days()[:91])
    before = past[pd.to_datetime(past["event_date"]).dt.date <= day].reset_index(drop=True)
    pd.testing.assert_frame_equal(again.reset_index(drop=True), before)
    # Nor does it matter what came after the origin: every label that was unknown by then is turned round.
    turned = training_rows().copy()
    unknown = (
        pd.to_datetime(turned["event_date"]).dt.date > days()[83] - timedelta(days=QUICK.horizon_days)
    ).to_numpy()
    turned["label_any"] = turned["label_any"].mask(unknown, ~turned["label_any"].astype("boolean"))
    other = scored("logistic_regression", turned, days()[84:98])
    same = past[pd.to_datetime(past["event_date"]).dt.date.isin(days()[84:98])].reset_index(drop=True)
    pd.testing.assert_frame_equal(other.reset_index(drop=True), same)


def test_it_says_more_than_the_share_of_all(past: pd.DataFrame) -> None:
    known = past.merge(training_rows()[["event_date", "feature", "label_any"]], on=["event_date", "feature"])
    known = known[(known["score_kind"] == "model") & known["label_any"].notna()]
    outcome = known["label_any"].astype(float)
    brier = ((known["risk_probability"] - outcome) ** 2).mean()
    assert 1 - brier / (outcome.mean() * (1 - outcome.mean())) > 0.1


def test_only_what_is_wanted_is_scored_and_a_long_history_has_few_origins() -> None:
    two = scored("base_rate", wanted=[days()[60], days()[109]])
    assert sorted(pd.to_datetime(two["event_date"]).dt.date.unique()) == [days()[60], days()[109]]
    few = scored("base_rate", most_origins=3)
    # 110 days in three parts of 37: the models of days 36 and 73 know something.
    assert sorted(pd.to_datetime(few["trained_through"].dropna()).dt.date.unique()) == [days()[36], days()[73]]
    shares = few.groupby("trained_through")["risk_probability"].nunique()
    assert shares.tolist() == [1, 1]
    labels = as_known_on(training_rows(), days()[73], QUICK.horizon_days)
    labels = labels[labels["has_baseline"] & labels["label_any"].notna()]["label_any"].astype(float)
    said = few.loc[pd.to_datetime(few["event_date"]).dt.date == days()[100], "risk_probability"].dropna().unique()
    assert said == pytest.approx([(labels.sum() + 1) / (len(labels) + 2)], rel=1e-9)


def test_nothing_to_learn_from_is_unknown() -> None:
    healthy = training_rows().assign(label_any=pd.array(np.zeros(len(training_rows()), bool), dtype="boolean"))
    assert scored("random_forest", healthy)["risk_probability"].isna().all()
    assert not len(scored("random_forest", training_rows().head(0)))
    assert not len(scored("random_forest", wanted=[]))
    # What is withheld from candidates is so here.
    bare = FEATURE_RISK.without(set(FEATURE_RISK.input_names) - {"is_degraded"})
    rows = backfilled_scores(training_rows(), "logistic_regression", days()[-3:], "rolling-1", QUICK, use_case=bare)
    told = rows.dropna(subset="risk_probability").groupby(["event_date", "is_degraded_today"])["risk_probability"]
    assert told.nunique().eq(1).all()
