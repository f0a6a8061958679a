"""The replay knows no more than was known, and grades against the baselines."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.risk.backtest import (
    BacktestResult,
    BacktestSettings,
    alerts_per_week,
    as_known_on,
    backtest,
)
from quality_assets.domain.models.risk.inputs import RiskContext, risk_training_set
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts

SIMULATED = simulate_daily_facts(DailyPlan(25, 130, seed=21, incidents_per_feature_quarter=1.5))
FAST = RiskSettings(forest_trees=20, boosting_rounds=15, folds=3, bootstrap_rounds=20, threads=1)
CONTEXT = RiskContext(releases=SIMULATED.releases)


@pytest.fixture(scope="module")
def replayed() -> BacktestResult:
    return backtest(SIMULATED.facts, date(2026, 4, 1), date(2026, 4, 28), FAST, context=CONTEXT)


def test_labels_unknown_on_the_day_are_hidden() -> None:
    training = risk_training_set(SIMULATED.facts)
    then = as_known_on(training, date(2026, 4, 1), 7)
    when = pd.to_datetime(then["event_date"])
    assert when.max() == pd.Timestamp("2026-04-01")
    assert then.loc[when > "2026-03-25", "label_any"].isna().all()
    assert then.loc[when == "2026-03-25", "label_any"].notna().any()


def test_known_then_is_what_a_cut_history_gives() -> None:
    then = as_known_on(risk_training_set(SIMULATED.facts), date(2026, 3, 20), 7)
    cut = risk_training_set(SIMULATED.facts, through=date(2026, 3, 20))
    pd.testing.assert_frame_equal(then.reset_index(drop=True), cut, check_exact=True)


def test_every_day_is_scored_once_by_a_model_of_its_time(replayed: BacktestResult) -> None:
    scores = replayed.scores
    assert not scores.duplicated(["event_date", "feature"]).any()
    assert scores["event_date"].nunique() == 28
    assert (scores["trained_through"] <= scores["event_date"]).all()
    assert (scores["event_date"] - scores["trained_through"] < pd.Timedelta(days=7)).all()


def test_grades_stand_beside_the_baselines(replayed: BacktestResult) -> None:
    grades = replayed.grades.pivot_table(index="model", columns="metric", values="value")
    assert set(grades.index) == {"risk_model", *FEATURE_RISK.baselines}
    wanted = {"pr_auc", "brier_skill", "precision_at_k", "alerts_per_week"}
    assert wanted <= set(grades.columns)
    assert grades.loc["risk_model", "pr_auc"] > grades.loc["feature_base_rate", "pr_auc"]


def test_the_future_beyond_the_replay_changes_no_score(replayed: BacktestResult) -> None:
    facts = SIMULATED.facts[SIMULATED.facts["event_date"] <= "2026-04-30"]
    shorter = backtest(facts, date(2026, 4, 1), date(2026, 4, 28), FAST, context=CONTEXT)
    np.testing.assert_array_equal(shorter.scores["risk_model"], replayed.scores["risk_model"])


def test_too_little_history_is_said() -> None:
    result = backtest(SIMULATED.facts, date(2026, 1, 5), date(2026, 1, 11), FAST)
    assert not len(result.grades)
    assert result.notes
    assert "no model" in result.notes[0]
    with pytest.raises(ValueError, match="before"):
        backtest(SIMULATED.facts, date(2026, 4, 2), date(2026, 4, 1))


def test_alerts_count_crossings_not_days() -> None:
    scores = pd.DataFrame(
        {"feature": "a", "event_date": pd.date_range("2026-01-01", periods=7), "p": [0.1, 0.6, 0.7, 0.2, 0.9, 0.9, 0.1]}
    )
    assert alerts_per_week(scores, "p", BacktestSettings().alert_probability) == 2
