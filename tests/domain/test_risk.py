"""Time order, leak canaries, champion rules, calibration, reasons, ledger, and what bad input gets."""

from __future__ import annotations

import inspect
import itertools
import json
from dataclasses import replace
from datetime import date
from functools import cache

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from quality_assets.contracts.ml import CALIBRATION, FEATURE_IMPORTANCE, MODEL_METRICS, RISK_SCORES, SCORE_LEDGER
from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.models import training
from quality_assets.domain.models.artifact import InputsMismatchError, TrainingResult, data_fingerprint
from quality_assets.domain.models.estimators import Sigmoid
from quality_assets.domain.models.leaks import suspected_leaks
from quality_assets.domain.models.promotion import Decision, promotion_decision
from quality_assets.domain.models.risk.inputs import RiskContext, risk_inputs, risk_training_set, with_labels
from quality_assets.domain.models.risk.labels import FeatureStates, degradation_labels, feature_states
from quality_assets.domain.models.risk.reasons import reasons
from quality_assets.domain.models.risk.scoring import grade_scores, score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import train_risk_model
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import target_rows
from quality_assets.domain.models.splits import time_splits
from quality_assets.domain.models.training import permuted_label_lift
from quality_assets.domain.stats.grading import (
    bootstrap_weights,
    calibration_bins,
    lead_times,
    measure,
    measure_with_intervals,
    prepare,
    top_k,
)
from quality_assets.simulate.daily_facts import DailyPlan, simulate_daily_facts

BASELINES, CANDIDATES = FEATURE_RISK.baselines, FEATURE_RISK.candidates
FAST = RiskSettings(
    forest_trees=30, boosting_rounds=25, interval_members=3, bootstrap_rounds=20, importance_repeats=1, folds=3,
    max_fit_rows=3000, max_importance_rows=600, threads=1,
)  # fmt: skip
# Where it does not matter how well is learnt.
QUICK = replace(
    FAST, forest_trees=6, boosting_rounds=5, interval_members=2, bootstrap_rounds=5, folds=2, max_fit_rows=1000,
)  # fmt: skip
SIMULATED = simulate_daily_facts(DailyPlan(30, 140, seed=12, incidents_per_feature_quarter=1.5))


@cache
def states() -> FeatureStates:
    return feature_states(SIMULATED.facts)


@cache
def labels() -> pd.DataFrame:
    return degradation_labels(states())


@cache
def training_rows() -> pd.DataFrame:
    return with_labels(risk_inputs(states(), RiskContext(releases=SIMULATED.releases)), labels())


def today() -> pd.DataFrame:
    return training_rows()[training_rows()["event_date"] == training_rows()["event_date"].max()]


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    return train_risk_model(training_rows(), FAST, labels()[labels()["is_onset_today"]])


@given(first=st.integers(0, 50), days=st.integers(1, 400), folds=st.integers(2, 8), horizon=st.integers(1, 21))
def test_training_always_ends_a_horizon_before_its_test(first: int, days: int, folds: int, horizon: int) -> None:
    splits = time_splits(first, first + days - 1, RiskSettings(folds=folds, horizon_days=horizon))
    for split in splits:
        assert split.train_through + horizon < split.test_from <= split.test_through
    assert all(
        a.test_through < b.test_from and a.train_through < b.train_through for a, b in itertools.pairwise(splits)
    )


def test_no_public_function_lets_folds_be_shuffled() -> None:
    public = [f for name, f in inspect.getmembers(training, inspect.isfunction) if not name.startswith("_")]
    forbidden = {"shuffle", "splits", "folds", "cv", "splitter", "groups"}
    for function in public:
        if function.__module__ == training.__name__:
            assert not forbidden & set(inspect.signature(function).parameters), function.__name__


def test_row_order_does_not_matter() -> None:
    small = FAST
    shuffled = training_rows().sample(frac=1, random_state=1)
    rows, other = target_rows(FEATURE_RISK, training_rows(), "any"), target_rows(FEATURE_RISK, shuffled, "any")
    assert (np.diff(other.day) >= 0).all()
    assert rows.y.sum() == other.y.sum()
    assert time_splits(int(rows.day[0]), int(rows.day[-1]), small) == time_splits(
        int(other.day[0]), int(other.day[-1]), small
    )
    assert data_fingerprint(training_rows()) == data_fingerprint(shuffled)


def test_permuted_labels_score_like_the_base_rate() -> None:
    assert 0.7 < permuted_label_lift(FEATURE_RISK, training_rows(), FAST) < 1.35


def test_an_input_that_knows_the_label_is_not_learnt_from() -> None:
    label = training_rows()["label_any"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    # What is noisy knows too much as well: ROC-AUC .98.
    noisy = np.nan_to_num(label) + np.random.default_rng(0).normal(0, 0.35, len(label))
    leaked = training_rows().assign(open_days=label, worst_spike_share=noisy)
    quick = replace(QUICK, importance_repeats=0, interval_members=0)
    learnt = train_risk_model(leaked, replace(quick, min_skill_gain=-9.0)).model
    told = [note for note in learnt.notes if note.startswith("leak")]
    assert [note.split()[1] for note in told] == ["worst_spike_share", "open_days"]
    assert "among rows with is_degraded = 0 it alone tells which change (ROC-AUC 1.000" in told[1]
    columns = learnt.targets["any"].estimator.columns
    assert not {INPUT_NAMES.index("open_days"), INPUT_NAMES.index("worst_spike_share")} & set(columns)
    assert INPUT_NAMES.index("worst_slope_z") in columns
    assert suspected_leaks(FEATURE_RISK, training_rows()) == []
    # Days of two features are too alike to tell a leak from what names the feature.
    few = leaked[leaked["feature"].isin(sorted(leaked["feature"].unique())[:2])]
    assert suspected_leaks(FEATURE_RISK, few) == []


def test_forest_beats_the_baselines_and_is_calibrated(trained: TrainingResult) -> None:
    value = trained.metrics[trained.metrics["target"] == "any"].pivot_table(
        index="model", columns="metric", values="value"
    )
    best = value.loc[list(BASELINES), "pr_auc"].max()
    assert value.loc[list(CANDIDATES), "pr_auc"].max() > best
    champion = trained.model.targets["any"]
    assert champion.name in CANDIDATES
    assert value.loc[champion.name, "brier_skill"] > 0.2
    assert value.loc[champion.name, "ece"] < 0.12


def test_evidence_is_complete_and_fits_the_contracts(trained: TrainingResult) -> None:
    metrics = trained.metrics
    assert set(metrics.loc[metrics["target"] == "any", "model"]) == {*CANDIDATES, *BASELINES}
    assert (metrics.loc[metrics["target"] == "any"].groupby("model")["role"].first() == "champion").sum() == 1
    pr_auc = metrics[metrics["metric"] == "pr_auc"]
    assert (pr_auc["low"] <= pr_auc["value"] + 0.02).all()
    assert (pr_auc["value"] - 0.02 <= pr_auc["high"]).all()
    for table, frame in (
        (MODEL_METRICS, metrics),
        (FEATURE_IMPORTANCE, trained.importance),
        (CALIBRATION, trained.calibration),
    ):
        versioned = frame.assign(model_version="1")
        if table is MODEL_METRICS:
            versioned = versioned.rename(columns={"model": "candidate"}).assign(split="time", known="all")
        versioned = versioned.assign(model="feature_risk")
        versioned = versioned[list(table.column_names)]
        assert not versioned.duplicated(list(table.key)).any()
        _insert(table.create_sql(), table.qualified_name, versioned)
    assert trained.importance.loc[trained.importance["target"] == "any", "importance"].max() > 0


def _insert(create: str, name: str, frame: pd.DataFrame) -> None:
    with duckdb.connect() as connection:
        connection.execute("create schema ml")
        connection.execute(create)
        connection.execute(f"insert into {name} select * from frame")
        assert connection.execute(f"select count(*) from {name}").fetchone() == (len(frame),)


def test_training_and_scoring_are_repeatable() -> None:
    once, again = (train_risk_model(training_rows(), QUICK, labels()[labels()["is_onset_today"]]) for _ in range(2))
    pd.testing.assert_frame_equal(again.metrics, once.metrics)
    pd.testing.assert_frame_equal(again.importance, once.importance)
    pd.testing.assert_frame_equal(score_risk(again.model, today(), "1"), score_risk(once.model, today(), "1"))


def test_a_score_recomputed_from_the_state_of_its_day_equals_the_stored_one(trained: TrainingResult) -> None:
    day = pd.Timestamp("2026-04-20")
    stored = score_risk(trained.model, training_rows()[training_rows()["event_date"] == day], "1")
    facts = SIMULATED.facts[SIMULATED.facts["event_date"] <= day]
    releases = SIMULATED.releases[SIMULATED.releases["release_date"] <= day]
    inputs = risk_inputs(feature_states(facts, through=day.date()), RiskContext(releases=releases), day.date())
    pd.testing.assert_frame_equal(score_risk(trained.model, inputs, "1"), stored)


def test_scores_have_interval_rank_users_and_reasons(trained: TrainingResult) -> None:
    scores = score_risk(trained.model, today(), "7")
    known = scores[scores["risk_probability"].notna()]
    assert len(known) > 20
    assert (known["low"] <= known["risk_probability"]).all()
    assert (known["risk_probability"] <= known["high"]).all()
    ranked = known.sort_values("rank")
    assert ranked["expected_users_affected"].is_monotonic_decreasing
    assert ranked["rank"].tolist() == list(range(1, len(known) + 1))
    for text in known["reasons"]:
        found = json.loads(text)
        assert 0 < len(found) <= 3
        assert {"input", "words", "value", "size"} == set(found[0])
        assert [abs(r["size"]) for r in found] == sorted((abs(r["size"]) for r in found), reverse=True)
    degraded = known[known["is_degraded_today"].fillna(False)]
    assert degraded["onset_probability"].isna().all()
    _insert(RISK_SCORES.create_sql(), RISK_SCORES.qualified_name, scores[list(RISK_SCORES.column_names)])


@pytest.mark.parametrize("name", [*CANDIDATES, *BASELINES])
def test_every_model_can_be_explained(name: str) -> None:
    rows = target_rows(FEATURE_RISK, training_rows(), "any")
    proof = training.held_out(FEATURE_RISK, rows, "any", FAST, (name,))
    model = training.fit_target(rows, name, proof, replace(FAST, interval_members=0))
    top = np.argsort(-model.probability(rows.x, rows.entity))[:5]
    texts = reasons(model, rows.x[top], rows.entity[top])
    assert len(texts) == 5
    if name == "base_rate":
        assert texts == ["[]"] * 5  # it looks at nothing
    else:
        assert all(json.loads(text)[0]["size"] > 0 for text in texts)


def test_without_gain_the_best_baseline_is_the_model() -> None:
    # Where nothing is known but what the chart looks at, no candidate can be much better than it.
    unknown = [name for name in INPUT_NAMES if name not in ("worst_ewma_z", "is_degraded")]
    charted = training_rows().assign(**dict.fromkeys(unknown, np.nan))
    result = train_risk_model(charted, replace(FAST, min_skill_gain=0.1, interval_members=0))
    assert result.model.targets["any"].name == "ewma_chart"
    scores = score_risk(result.model, today(), "1")
    assert "baseline" in set(scores["score_kind"])
    assert scores["note"].str.contains("baseline is the model").any()
    # What the best candidate learns from is told beside it.
    worth = result.importance[result.importance["target"] == "any"].set_index("input")
    assert set(worth["candidate_model"]) <= set(CANDIDATES)
    looked_at = worth.index[worth["importance"] != 0].tolist()
    assert looked_at == ["worst_ewma_z"]
    assert set(worth.index[worth["candidate_importance"] > 0]) == {"worst_ewma_z", "is_degraded"}
    assert sorted(worth["candidate_rank"][["worst_ewma_z", "is_degraded"]]) == [1, 2]


def test_without_skill_no_onset_is_shown() -> None:
    shuffled = training_rows().copy()
    known = shuffled["label_onset"].notna().to_numpy()
    shuffled.loc[known, "label_onset"] = shuffled.loc[known, "label_onset"].sample(frac=1, random_state=1).to_numpy()
    result = train_risk_model(shuffled, replace(QUICK, importance_repeats=0, interval_members=0, folds=3))
    assert "onset" not in result.model.targets
    assert any(note.startswith("onset: not shown: ") for note in result.model.notes)
    assert score_risk(result.model, today(), "1")["onset_probability"].isna().all()


def test_too_little_history_one_class_and_nothing() -> None:
    early = training_rows()[training_rows()["event_date"] < "2026-02-05"]
    healthy = training_rows().assign(
        **{
            name: training_rows()[name].mask(training_rows()[name].fillna(False), False)
            for name in ("label_any", "label_onset")
        }
    )
    for frame in (early, healthy, training_rows().head(0)):
        result = train_risk_model(frame, replace(FAST, importance_repeats=0))
        assert result.model.notes
        assert {target.name for target in result.model.targets.values()} <= set(BASELINES)
        assert len(result.metrics) == 0 or "onset" not in result.model.targets
        scores = score_risk(result.model, today(), "1")
        assert scores["note"].notna().all()


def test_before_models_can_be_compared_the_chart_stands_in() -> None:
    positives = training_rows()["label_any"].fillna(False) & training_rows()["has_baseline"]
    few = positives & (positives.cumsum() <= 12)
    result = train_risk_model(
        training_rows()[~training_rows()["label_any"].fillna(False) | few], replace(FAST, importance_repeats=0)
    )
    assert result.model.targets["any"].name == "ewma_chart"
    assert any("control chart stands in" in note for note in result.model.notes)
    hardly = positives & (positives.cumsum() <= 2)
    result = train_risk_model(
        training_rows()[~training_rows()["label_any"].fillna(False) | hardly], replace(FAST, importance_repeats=0)
    )
    assert result.model.targets["any"].name == "feature_base_rate"


def test_no_model_gives_unknown_not_a_number() -> None:
    scores = score_risk(None, today(), "none", why_no_model="no model has been trained yet")
    assert scores["risk_probability"].isna().all()
    assert set(scores["score_kind"]) == {"unknown"}
    assert scores["rank"].isna().all()
    assert set(scores["note"]) == {"no model has been trained yet"}


def test_new_and_gone_features_are_unknown_with_a_reason(trained: TrainingResult) -> None:
    facts = SIMULATED.facts
    day = pd.to_datetime(facts["event_date"])
    gone = (facts["feature"] == "feature_0000") & (day > day.max() - pd.Timedelta(days=60))
    new = (facts["feature"] == "feature_0001") & (day < day.max() - pd.Timedelta(days=5))
    facts = facts[~gone & ~new]
    last = day.max().date()
    inputs = risk_inputs(feature_states(facts, through=last), first_date=last)
    scores = score_risk(trained.model, inputs, "1").set_index("feature")
    assert pd.isna(scores.loc["feature_0000", "risk_probability"])
    assert "no events for" in scores.loc["feature_0000", "note"]
    assert pd.isna(scores.loc["feature_0001", "risk_probability"])
    assert "first seen" in scores.loc["feature_0001", "note"]


def test_metrics_that_are_null_throughout_do_not_stop_training() -> None:
    facts = SIMULATED.facts.assign(latency_p95_ms=np.nan, feedback_sum=np.nan, users=np.nan)
    training = risk_training_set(facts)
    result = train_risk_model(training, replace(QUICK, importance_repeats=0))
    scores = score_risk(result.model, training[training["event_date"] == training["event_date"].max()], "1")
    assert scores["risk_probability"].notna().any()
    assert scores["expected_users_affected"].isna().all()
    assert scores["rank"].notna().any()


def test_other_inputs_are_refused(trained: TrainingResult) -> None:
    foreign = replace(trained.model, input_names=INPUT_NAMES[:-1])
    with pytest.raises(InputsMismatchError):
        score_risk(foreign, today(), "1")
    with pytest.raises(InputsMismatchError):
        train_risk_model(training_rows().drop(columns=["latency_z"]), FAST)


def test_ledger_grades_only_what_is_known(trained: TrainingResult) -> None:
    days = sorted(training_rows()["event_date"].unique())
    scores = score_risk(trained.model, training_rows()[training_rows()["event_date"].isin([days[100], days[-1]])], "3")
    ledger = grade_scores(scores, labels())
    assert len(ledger) == len(scores)
    old, new = (ledger[ledger["event_date"] == day] for day in (days[100], days[-1]))
    assert old["is_graded"].all()
    assert not new["is_graded"].any()
    assert new["squared_error"].isna().all()
    expected = (old["risk_probability"] - old["label_any"].astype(float)) ** 2
    np.testing.assert_allclose(old["squared_error"], expected)
    _insert(SCORE_LEDGER.create_sql(), SCORE_LEDGER.qualified_name, ledger[list(SCORE_LEDGER.column_names)])


def test_a_challenger_must_win_on_later_days(trained: TrainingResult) -> None:
    champion = replace(trained.model, trained_through=date(2026, 3, 20))
    assert promotion_decision(FEATURE_RISK, None, trained, training_rows(), FAST) == Decision(True, "first model")
    recent = promotion_decision(
        FEATURE_RISK, replace(champion, trained_through=date(2026, 5, 19)), trained, training_rows(), FAST
    )
    assert not recent.is_promoted
    assert "known outcome" in recent.reason
    worse = replace(champion, targets={"any": replace(champion.targets["any"], calibrator=Sigmoid(-1.0, 0.0))})
    won = promotion_decision(FEATURE_RISK, worse, trained, training_rows(), FAST)
    assert won.is_promoted
    assert won.difference > 0
    foreign = promotion_decision(FEATURE_RISK, replace(champion, input_names=("x",)), trained, training_rows(), FAST)
    assert foreign.is_promoted
    assert "other inputs" in foreign.reason


def _rows(n: int, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = pd.DataFrame(
        {
            "event_date": pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 60, n), unit="D"),
            "feature": rng.integers(0, 20, n).astype(str),
        }
    )
    score = np.round(rng.random(n), 2)
    return rows, (rng.random(n) < score * 0.5).astype(float), score


@given(seed=st.integers(0, 1000))
def test_areas_agree_with_scikit_learn_under_ties_and_weights(seed: int) -> None:
    rows, y, score = _rows(300, seed)
    if 0 < y.sum() < len(y):
        graded = prepare(rows, y, score, 3, 14)
        weight = bootstrap_weights(graded.block, graded.blocks, 1, seed)[0]
        found, weighted = measure(graded), measure(graded, weight)
        assert found["pr_auc"] == pytest.approx(average_precision_score(y, score))
        assert found["roc_auc"] == pytest.approx(roc_auc_score(y, score))
        if 0 < (weight * graded.outcome).sum() < weight.sum():
            expected = average_precision_score(graded.outcome, graded.score, sample_weight=weight)
            assert weighted["pr_auc"] == pytest.approx(expected)


def test_block_intervals_are_wider_than_row_intervals() -> None:
    days = np.tile(np.arange(60), 20)
    feature = np.repeat(np.arange(20), 60).astype(str)
    rng = np.random.default_rng(0)
    y = np.repeat((rng.random(20 * 5) < 0.3).astype(float), 12)
    score = np.clip(0.3 + 0.3 * (y - 0.3) + np.repeat(rng.normal(0, 0.2, 100), 12), 0, 1)
    rows = pd.DataFrame(
        {"event_date": pd.Timestamp("2026-01-01") + pd.to_timedelta(days, unit="D"), "feature": feature}
    )
    width = {}
    for block_days in (1, 14):
        frame = measure_with_intervals(prepare(rows, y, score, 3, block_days), 200, 0).set_index("metric")
        width[block_days] = frame.loc["pr_auc", "high"] - frame.loc["pr_auc", "low"]
    assert width[14] > 1.5 * width[1]


def test_top_k_lead_and_one_class() -> None:
    day = np.array([0, 0, 0, 1, 1])
    assert top_k(day, np.array([0.1, 0.9, 0.5, 0.2, 0.1]), 1).tolist() == [False, True, False, True, False]
    rows = pd.DataFrame({"event_date": pd.date_range("2026-01-01", periods=8), "feature": "a"})
    onsets = pd.DataFrame({"event_date": [pd.Timestamp("2026-01-08")], "feature": ["a"]})
    lead = lead_times(rows, np.array([False, False, True, False, True, True, False, False]), onsets, 7)
    assert lead.onsets == 1
    assert lead.lead_days.tolist() == [5]
    assert lead.warned_share == 1
    rows, _, score = _rows(50)
    found = measure(prepare(rows, np.zeros(50), score, 3, 14))
    assert np.isnan(found["pr_auc"])
    assert np.isnan(found["brier_skill"])
    assert found["brier"] > 0


def test_calibration_bins_rise_and_cover() -> None:
    rows, y, score = _rows(4000)
    bins = calibration_bins(y, score * 0.5, rows, 14, 50, 0)
    assert bins["predicted"].is_monotonic_increasing
    assert bins["rows"].sum() == 4000
    assert ((bins["low"] <= bins["predicted"]) & (bins["predicted"] <= bins["high"])).mean() >= 0.6


def test_sigmoid_recovers_a_known_distortion() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0.02, 0.6, 20000)
    raw = 1 / (1 + np.exp(-(2 * np.log(true / (1 - true)) + 1)))
    y = (rng.random(20000) < true).astype(float)
    assert np.abs(Sigmoid().fit(raw, y).apply(raw) - true).mean() < 0.01
    assert Sigmoid().fit(raw[:5], y[:5]) == Sigmoid()
