"""Inputs of a day are the same whether or not later days are known."""

from __future__ import annotations

from datetime import date, timedelta

import duckdb
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quality_assets.contracts.ml import RISK_TRAINING_SET
from quality_assets.domain.labels import feature_states
from quality_assets.domain.risk_input_registry import INPUT_NAMES, INPUTS
from quality_assets.domain.risk_inputs import RiskContext, risk_inputs, risk_training_set
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts

START = date(2026, 1, 1)
SIMULATED = simulate_daily_facts(DailyPlan(12, 120, seed=8, incidents_per_feature_quarter=2))
DAYS = pd.date_range(START, periods=120)


def _context(through: pd.Timestamp | None = None) -> RiskContext:
    """Everything optional, cut at a day as a warehouse of that day would be."""
    rng = np.random.default_rng(0)
    keys = SIMULATED.facts[["event_date", "feature"]]
    mix = keys.assign(newest_version_share=rng.random(len(keys)), top_platform_share=rng.random(len(keys)))
    quality = pd.DataFrame({"event_date": DAYS, "quarantined_share": rng.random(len(DAYS)) / 50})
    metadata = pd.DataFrame(
        {"feature": ["feature_0000", "feature_0001"], "lifecycle_stage": ["beta", "ga"], "tier": [1, 3]}
    )
    releases = SIMULATED.releases
    if through is not None:
        mix, quality = mix[mix["event_date"] <= through], quality[quality["event_date"] <= through]
        releases = releases[releases["release_date"] <= through]
    return RiskContext(releases, metadata, mix, quality)


WHOLE = risk_inputs(feature_states(SIMULATED.facts), _context())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(day=st.integers(0, 119))
def test_inputs_of_a_day_equal_those_of_facts_cut_at_that_day(day: int) -> None:
    cut = DAYS[day]
    facts = SIMULATED.facts[SIMULATED.facts["event_date"] <= cut]
    then = risk_inputs(feature_states(facts, through=cut.date()), _context(cut), first_date=cut.date())
    now = WHOLE[WHOLE["event_date"] == cut].reset_index(drop=True)
    pd.testing.assert_frame_equal(then, now, check_exact=True)


def test_what_is_absent_is_null_and_nothing_else_is_infinite() -> None:
    inputs = risk_inputs(feature_states(SIMULATED.facts.drop(columns=["users", "latency_p50_ms"])))
    optional = [item.name for item in INPUTS if item.is_optional]
    assert inputs[optional].isna().all().all()
    assert inputs["usual_users"].isna().all()
    values = inputs[list(INPUT_NAMES)].to_numpy()
    assert not np.isinf(values).any()
    late = inputs[inputs["event_date"] >= DAYS[40]]
    required = [item.name for item in INPUTS if not item.is_optional and not item.name.startswith("feedback")]
    assert late[required].notna().mean().min() > 0.9


def test_baseline_flag_follows_history() -> None:
    first = WHOLE.groupby("feature")["event_date"].min()
    young = WHOLE[WHOLE["event_date"] < WHOLE["feature"].map(first) + pd.Timedelta(days=20)]
    assert not young["has_baseline"].any()
    assert WHOLE.loc[WHOLE["event_date"] > DAYS[30], "has_baseline"].mean() > 0.95


def test_releases_and_metadata_arrive_where_they_belong() -> None:
    row = WHOLE[(WHOLE["feature"] == "feature_0000") & (WHOLE["event_date"] == DAYS[60])].iloc[0]
    released = SIMULATED.releases["release_date"]
    expected = (DAYS[60] - released[released <= DAYS[60]].max()).days
    assert row["days_since_release"] == expected
    assert row["is_early_stage"] == 1
    assert row["tier"] == 1


def test_rows_fit_the_contract() -> None:
    training = risk_training_set(SIMULATED.facts, context=_context(), through=START + timedelta(days=119))
    assert tuple(training.columns) == RISK_TRAINING_SET.column_names
    assert not training.duplicated(["event_date", "feature"]).any()
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(RISK_TRAINING_SET.create_sql())
        connection.execute("insert into ml.risk_training_set select * from training")
        assert connection.execute("select count(*) from ml.risk_training_set").fetchone() == (len(training),)


def test_every_input_can_be_worded() -> None:
    for item in INPUTS:
        assert item.phrase(0.25)
        assert "{" not in item.phrase(1.0)
        assert "unknown" in item.phrase(float("nan"))
