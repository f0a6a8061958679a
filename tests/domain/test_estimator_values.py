"""Estimators, their evidence, past scores and leads by value: settings, shares, calibration, each column of a frame."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.risk_inputs import INPUT_NAMES, LINEAR_INPUTS
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.contributions import MAX_EXPLAINED_TREES, contributions
from quality_assets.domain.models.estimators import Boosting, Forest, Logistic, Sigmoid, TargetModel, logit
from quality_assets.domain.models.evidence import (
    Evidence,
    _ranked,
    beside_candidate,
    calibration_frame,
    held_out_frame,
    importance_frame,
    metrics_frame,
)
from quality_assets.domain.models.kinds import BOOSTING, FOREST, LOGISTIC
from quality_assets.domain.models.leaks import suspected_leaks
from quality_assets.domain.models.risk.backtest import BacktestSettings, _grade
from quality_assets.domain.models.risk.history import HistorySettings, backfilled_scores
from quality_assets.domain.models.risk.recipe import RECIPE
from quality_assets.domain.models.risk.scoring import score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.training import lead_rows
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.stats.grading import (
    calibration_bins,
    lead_times,
    measure,
    measure_with_intervals,
    prepare,
    top_k,
)

NAN = math.nan
START = date(2026, 1, 1)
QUICK = RiskSettings(bootstrap_rounds=20, threads=1)


def day(number: int) -> date:
    return START + timedelta(days=number)


def inputs(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Inputs that are 0 where nothing is said."""
    plain = dict.fromkeys(INPUT_NAMES, 0.0) | {"event_date": day(0), "feature": "pay", "usual_users": NAN}
    return pd.DataFrame([plain | {"has_baseline": True} | row for row in rows])


# --- Estimators -------------------------------------------------------------------------------------------------------


def params(estimator: Any, *names: str) -> dict[str, Any]:
    found = estimator.learner.get_params()
    return {name: found[name] for name in names}


def test_estimators_are_made_with_the_settings_that_were_published() -> None:
    columns, settings = np.arange(3), TrainingSettings(seed=4, threads=1)
    forest, boosting = FOREST.make(columns, settings, False), BOOSTING.make(columns, settings, True)
    assert params(forest, "n_estimators", "min_samples_leaf", "max_depth", "max_features", "n_jobs") == {
        "n_estimators": 150, "min_samples_leaf": 10, "max_depth": 10, "max_features": 0.3, "n_jobs": 1,
    }  # fmt: skip
    assert params(forest, "random_state", "class_weight") == {"random_state": 4, "class_weight": None}
    assert isinstance(forest, Forest)
    assert (forest.tree_rows, forest.columns.tolist()) == (8_000, [0, 1, 2])
    assert params(
        boosting, "max_iter", "learning_rate", "max_leaf_nodes", "min_samples_leaf", "l2_regularization",
        "max_features", "early_stopping", "random_state",
    ) == {
        "max_iter": 80, "learning_rate": 0.06, "max_leaf_nodes": 8, "min_samples_leaf": 40, "l2_regularization": 5.0,
        "max_features": 0.4, "early_stopping": False, "random_state": 4,
    }  # fmt: skip
    line = LOGISTIC.make(columns, settings, False)
    assert isinstance(line, Logistic)
    assert line.c == 0.02


def test_the_line_of_feature_risk_has_three_inputs_and_less_shrinkage() -> None:
    make = RECIPE.estimators["logistic_regression"].make
    linear = sorted(INPUT_NAMES.index(name) for name in LINEAR_INPUTS)
    line = make(FEATURE_RISK.learnt_columns, RiskSettings(), False)
    assert isinstance(line, Logistic)
    assert (line.columns.tolist(), line.c) == (linear, 0.3)
    others = np.array([at for at in range(9) if at not in linear])
    without = make(others, RiskSettings(), False)
    assert isinstance(without, Logistic)
    assert without.columns.tolist() == others.tolist()


def test_trees_of_a_forest_see_so_many_rows_at_most() -> None:
    x, y = np.arange(40.0).reshape(-1, 1), (np.arange(40) % 2).astype(float)
    for tree_rows, share in ((10, 0.25), (40, 1.0), (60, 1.0)):
        forest = Forest(np.array([0]), TrainingSettings(forest_tree_rows=tree_rows, threads=2), 2)
        forest.fit(x, y, y)
        assert (forest.learner.max_samples, forest.learner.n_jobs) == (share, 1)
    assert forest.prepared(np.array([[NAN], [3.0]])).tolist() == [[19.5], [3.0]]
    # The second class is what is told.
    assert forest.predict(x, y).tolist() == forest.learner.predict_proba(x.astype(np.float32))[:, 1].tolist()


def test_what_was_never_known_is_nothing_to_boosted_trees() -> None:
    x = np.column_stack([np.full(90, NAN), np.where(np.arange(90) % 3, np.arange(90.0), NAN), np.arange(90.0)])
    boosting = Boosting(np.array([0, 1]), TrainingSettings(boosting_rounds=2))
    boosting.fit(x, (np.arange(90) > 45).astype(float), x)
    assert boosting.is_known.tolist() == [False, True]
    np.testing.assert_equal(boosting.prepared(np.array([[7.0, NAN, 1.0]])), np.array([[0.0, NAN]]))


def test_a_line_sees_deviations_up_to_eight() -> None:
    x = np.column_stack([np.tile([1.0, 3.0], 20), np.full(40, 5.0), np.full(40, NAN), np.tile([2.0, NAN], 20)])
    line = Logistic(np.array([0, 1, 3]), TrainingSettings())
    line.fit(x, (np.arange(40) % 2).astype(float), x)
    assert (line.mean.tolist(), line.sd.tolist()) == ([2, 5, 2], [1, 1, 1])
    asked = np.array([[9.0, 6.0, 0.0, NAN], [11.0, 4.0, 0.0, 1.5], [-7.0, NAN, 0.0, 2.0]])
    assert line.prepared(asked).tolist() == [[7, 1, 0], [8, -1, -0.5], [-8, 0, 0]]
    model = TargetModel("line", line, Sigmoid())
    found = contributions(model, asked, asked)
    assert found is not None
    weight = line.model.coefficients
    assert found[0][:, [0, 1, 3]] == pytest.approx(line.prepared(asked) * weight)
    assert found[0][:, 2].tolist() == [0, 0, 0]
    assert found[1] == pytest.approx(logit(line.predict(asked, asked)))
    assert found[2] is True


def _by_shap(model: object, asked: np.ndarray) -> np.ndarray:
    # Here: every process of tests reads this file, and the import takes seconds.
    import shap

    return shap.TreeExplainer(model).shap_values(asked, check_additivity=False)


def test_a_forest_is_explained_by_its_first_forty_trees() -> None:
    x, y = np.random.default_rng(0).normal(size=(60, 3)), (np.arange(60) % 2).astype(float)
    forest = Forest(np.array([0, 2]), TrainingSettings(forest_min_leaf=5, threads=1), 43)
    forest.fit(x, y, y)
    found = contributions(TargetModel("forest", forest, Sigmoid()), x, y)
    assert found is not None
    first = copy.copy(forest.learner)
    first.estimators_, first.n_estimators = forest.learner.estimators_[:40], 40
    by_shap = _by_shap(first, forest.prepared(x))[..., 1]
    np.testing.assert_allclose(found[0][:, [0, 2]], by_shap, rtol=0, atol=1e-12)
    assert found[0][:, 1].tolist() == [0.0] * 60
    assert found[1].tolist() == forest.predict(x, y).tolist()
    assert found[2] is False
    assert MAX_EXPLAINED_TREES == 40


def test_boosted_trees_are_explained_in_log_odds() -> None:
    x, y = np.random.default_rng(1).normal(size=(300, 3)), (np.arange(300) % 3 == 0).astype(float)
    x[::7, 2] = NAN
    boosting = Boosting(np.array([0, 2]), TrainingSettings(boosting_rounds=9))
    boosting.fit(x, y + (x[:, 0] > 1) > 0, x)
    found = contributions(TargetModel("boosting", boosting, Sigmoid()), x, y)
    assert found is not None
    by_shap = _by_shap(boosting.learner, boosting.prepared(x))
    np.testing.assert_allclose(found[0][:, [0, 2]], by_shap, rtol=0, atol=1e-12)
    assert np.abs(found[0][:, [0, 2]]).max() > 0.1
    assert (found[0][:, 1].tolist(), found[2]) == ([0.0] * 300, True)
    assert found[1] == pytest.approx(boosting.learner.decision_function(boosting.prepared(x)))


# --- Evidence ---------------------------------------------------------------------------------------------------------


def proof(champion: str | None = "random_forest") -> Evidence:
    """Sixty rows of six features, the last forty of them graded, under a candidate and a baseline."""
    rng = np.random.default_rng(5)
    keys = pd.DataFrame(
        {"event_date": [day(at // 6) for at in range(60)], "feature": [f"f{at % 6}" for at in range(60)]}
    )
    y = (np.arange(60) % 3 == 0).astype(float)
    p = {"random_forest": 0.3 * y + 0.6 * rng.random(60), "base_rate": np.full(60, 0.3)}
    return Evidence(FEATURE_RISK, "any", keys, y, p, p, np.arange(60) >= 20, champion)


MODEL = TrainedModel(day(9), 7, INPUT_NAMES, {}, 0.3)


def test_all_metrics_of_all_models_have_their_rows_and_roles() -> None:
    found = metrics_frame(FEATURE_RISK, [proof()], MODEL, QUICK, None)
    assert found.columns.tolist() == [
        "trained_through", "target", "model", "role", "metric", "value", "low", "high", "rows", "positives",
        "base_rate", "k",
    ]  # fmt: skip
    some = proof()
    for name, role in (("random_forest", "champion"), ("base_rate", "baseline")):
        own = found[found["model"] == name]
        graded = prepare(some.keys.iloc[20:], some.y[20:], some.p[name][20:], 5, 14)
        wanted = measure_with_intervals(graded, 20, 0)
        pd.testing.assert_frame_equal(own[["metric", "value", "low", "high"]].reset_index(drop=True), wanted)
        assert own.drop(columns=["metric", "value", "low", "high"]).drop_duplicates().to_numpy().tolist() == [
            [pd.Timestamp(day(9)), "any", name, role, 40, 13, 13 / 40, 5]
        ]
    other = metrics_frame(FEATURE_RISK, [proof("base_rate")], MODEL, QUICK, None)
    assert other[["model", "role"]].drop_duplicates().to_numpy().tolist() == [
        ["random_forest", "candidate"], ["base_rate", "champion"],
    ]  # fmt: skip

    def more(keys: pd.DataFrame, p: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame({"metric": ["rows_told"], "value": [len(keys) + p[0]], "low": [1.0], "high": [2.0]})

    with_more = metrics_frame(FEATURE_RISK, [proof()], MODEL, QUICK, more)
    assert with_more.loc[with_more["metric"] == "rows_told", "value"].tolist() == pytest.approx(
        [40 + some.p["random_forest"][20], 40.3]
    )
    ungraded = replace(proof(), is_graded=np.zeros(60, dtype=bool))
    assert len(metrics_frame(FEATURE_RISK, [ungraded], MODEL, QUICK, None)) == 0
    assert metrics_frame(FEATURE_RISK, [], MODEL, QUICK, None).columns.tolist() == found.columns.tolist()


def test_evidence_compares_where_both_outcomes_were_graded() -> None:
    some = proof()
    assert some.can_compare
    assert not replace(some, is_graded=np.zeros(60, dtype=bool)).can_compare
    assert not replace(some, y=np.zeros(60)).can_compare
    assert not replace(some, y=np.ones(60)).can_compare
    assert not replace(some, y=(np.arange(60) < 20).astype(float)).can_compare
    one = prepare(some.keys.iloc[20:], some.y[20:], some.p["random_forest"][20:], 1, 14)
    assert some.score("random_forest", QUICK) == pytest.approx(measure(one)["pr_auc"])
    assert some.rounds(QUICK) == 20
    assert some.lead("random_forest", "base_rate", QUICK)[0] == pytest.approx(
        measure(one)["pr_auc"] - some.score("base_rate", QUICK)
    )


def test_calibration_and_held_out_rows_are_of_what_was_graded() -> None:
    some = proof()
    wanted = calibration_bins(some.y[20:], some.p["random_forest"][20:], some.keys.iloc[20:], 14, 20, 0)
    found = calibration_frame([some], QUICK)
    assert found.columns.tolist() == ["target", "bin", "predicted", "observed", "low", "high", "rows"]
    assert found["target"].unique().tolist() == ["any"]
    pd.testing.assert_frame_equal(found.drop(columns="target"), wanted[found.columns[1:]].reset_index(drop=True))
    for none in (proof(None), replace(some, is_graded=np.zeros(60, dtype=bool))):
        assert calibration_frame([none], QUICK).empty
    rows = held_out_frame([some, replace(some, target="onset")])
    assert rows.columns.tolist() == ["event_date", "feature", "target", "outcome", "random_forest", "base_rate"]
    assert (len(rows), rows["target"].tolist()) == (80, ["any"] * 40 + ["onset"] * 40)
    assert rows["outcome"].tolist()[:40] == (some.y[20:] > 0).tolist()
    assert rows["random_forest"].tolist()[40:] == some.p["random_forest"][20:].tolist()


def test_inputs_are_ranked_by_what_they_are_worth() -> None:
    loss = np.zeros((len(INPUT_NAMES), 3))
    loss[4], loss[7] = [0.1, 0.2, 0.6], [0.5, 0.4, 0.3]
    found = _ranked(FEATURE_RISK, loss)
    top = found.iloc[:2].to_dict("records")
    assert top == [
        {
            "input": INPUT_NAMES[at], "description": FEATURE_RISK.inputs[at].description,
            "importance": pytest.approx(mean), "low": pytest.approx(low), "high": pytest.approx(high), "rank": rank,
        }
        for at, mean, low, high, rank in ((7, 0.4, 0.31, 0.49, 1), (4, 0.3, 0.11, 0.56, 2))
    ]  # fmt: skip
    assert found["rank"].tolist() == list(range(1, len(INPUT_NAMES) + 1))
    assert found["input"].tolist()[2:5] == list(INPUT_NAMES[:3])
    other = _ranked(FEATURE_RISK, loss[::-1])
    both = beside_candidate(found.assign(target="any"), other, "random_forest").set_index("input")
    assert both.loc[INPUT_NAMES[7], ["candidate_importance", "candidate_low"]].tolist() == [0, 0]
    best = INPUT_NAMES[len(INPUT_NAMES) - 8]
    assert both.loc[best, ["candidate_importance", "candidate_rank", "importance"]].tolist() == pytest.approx(
        [0.4, 1, 0]
    )
    assert both["candidate_model"].unique().tolist() == ["random_forest"]
    frame = importance_frame([both.reset_index(), both.reset_index().assign(target="onset")])
    assert frame.columns.tolist() == [
        "target", "input", "description", "importance", "low", "high", "rank", "candidate_model",
        "candidate_importance", "candidate_low", "candidate_high", "candidate_rank",
    ]  # fmt: skip
    assert len(frame) == 2 * len(INPUT_NAMES)
    assert importance_frame([]).columns.tolist() == frame.columns.tolist()


# --- Scores -----------------------------------------------------------------------------------------------------------


class Half:
    """Says a half of everything."""

    everyone = 0.5

    def predict(self, x: np.ndarray, feature: np.ndarray) -> np.ndarray:
        return np.full(len(x), 0.5)


def test_a_day_is_degraded_from_more_than_half_on() -> None:
    model = replace(MODEL, targets={name: TargetModel("base_rate", Half(), Sigmoid()) for name in ("any", "onset")})
    frame = inputs([{"feature": f"f{at}", "is_degraded": v} for at, v in enumerate((0.49, 0.5, 0.51, 0.99, NAN))])
    found = score_risk(model, frame, "3")
    assert found["is_degraded_today"].tolist() == [False, False, True, True, pd.NA]
    assert found["onset_probability"].isna().tolist() == [False, True, True, True, True]
    members = [(Half(), Sigmoid(1.0, shift)) for shift in (-1.0, 1.0)]
    told = replace(MODEL, horizon_days=5, targets={"any": TargetModel("base_rate", Half(), Sigmoid(), members)})
    (row,) = score_risk(told, inputs([{"usual_users": 30.0, "event_date": day(3)}]), "v7").to_dict("records")
    half = 1.645 * math.sqrt(2)
    assert row == {
        "event_date": day(3), "feature": "pay", "model_version": "v7", "horizon_days": 5, "score_kind": "baseline",
        "risk_probability": 0.5, "low": pytest.approx(1 / (1 + math.exp(half))),
        "high": pytest.approx(1 / (1 + math.exp(-half))), "onset_probability": pytest.approx(NAN, nan_ok=True),
        "is_degraded_today": False, "rank": 1, "expected_users_affected": 15.0, "reasons": "[]",
        "is_backfilled": False, "trained_through": day(9), "note": None,
    }  # fmt: skip


def past(days: int, bad: int = 1, **columns: Any) -> pd.DataFrame:
    """Four features a day, of which so many degrade on every day."""
    frame = inputs([{"event_date": day(at), "feature": f"f{f}"} for at in range(days) for f in range(4)])
    return frame.assign(label_any=pd.array([at % 4 < bad for at in range(4 * days)], dtype="boolean"), **columns)


def scored(training: pd.DataFrame, estimator: str, settings: RiskSettings = QUICK, **more: Any) -> pd.DataFrame:
    wanted = more.pop("wanted", sorted(set(training["event_date"])))
    return backfilled_scores(training, estimator, wanted, "5", settings, **more)


def test_a_past_day_is_scored_by_what_was_known_a_fortnight_before_at_most() -> None:
    found = scored(past(41), "base_rate")
    by_origin = found.groupby("trained_through", sort=True, dropna=False)
    # Days 0 to 6 are known by the end of day 13, and days 0 to 20 by the end of day 27.
    shares = [(key, len(own), own["risk_probability"].unique().tolist()) for key, own in by_origin]
    assert shares[:2] == [
        (day(13), 4 * 14, [pytest.approx(8 / 30)]), (day(27), 4 * 13, [pytest.approx(22 / 86)]),
    ]  # fmt: skip
    first = found[found["trained_through"].isna()]
    assert first["event_date"].nunique() == 14
    assert first["risk_probability"].isna().all()
    assert first["note"].unique().tolist() == ["too few outcomes were known by then to learn from"]
    assert (found["is_backfilled"].all(), found["model_version"].unique().tolist()) == (True, ["5"])
    assert found.loc[found["trained_through"].notna(), "note"].isna().all()
    assert set(found["reasons"]) == {"[]"}
    some = scored(past(41), "base_rate", wanted=[day(20), day(99)])
    assert (some["event_date"].nunique(), len(some), some["trained_through"].unique().tolist()) == (1, 4, [day(13)])
    assert len(scored(past(41), "base_rate", wanted=[])) == 0
    assert len(scored(past(41).iloc[:0], "base_rate", wanted=[day(1)])) == 0


def test_a_long_history_has_twelve_origins() -> None:
    for days, step in ((168, 14), (169, 15), (205, 18)):
        found = scored(past(days), "base_rate", wanted=[day(days - 1), day(2 * step)])
        assert found["trained_through"].min() == day(2 * step - 1)
        assert found["trained_through"].max() == day((days - 1) // step * step - 1)
    often = scored(past(30), "base_rate", history=HistorySettings(origin_every_days=5, most_origins=99))
    assert sorted(set(often["trained_through"].dropna())) == [day(9), day(14), day(19), day(24)]


def test_what_cannot_be_learnt_yet_is_stood_in_for() -> None:
    def notes(training: pd.DataFrame, **settings: int) -> list[Any]:
        found = scored(training, "persistence", replace(QUICK, **settings), wanted=[day(20)])  # type: ignore[arg-type]
        return [found["note"].iloc[0], found["score_kind"].iloc[0]]

    known = past(41)
    assert notes(known, min_positives=7) == [None, "baseline"]
    words = "any: {} stands in: too few outcomes were known by then to learn from"
    assert notes(known, min_positives=8) == [words.format("ewma_chart"), "baseline"]
    few = known.assign(label_any=pd.array((np.arange(164) % 4 == 0) & (np.arange(164) < 20), dtype="boolean"))
    assert notes(few, min_positives=8)[0] == words.format("ewma_chart")
    fewer = known.assign(label_any=pd.array((np.arange(164) % 4 == 0) & (np.arange(164) < 16), dtype="boolean"))
    assert notes(fewer, min_positives=8)[0] == words.format("feature_base_rate")
    assert notes(past(41, bad=0))[1] == notes(past(41, bad=4))[1] == "unknown"


def test_a_score_is_calibrated_by_what_was_said_before_of_days_that_are_known_since() -> None:
    bad = np.arange(164) % 8 == 0
    down = (np.arange(164) % 4 < 2).astype(float)
    training = past(41, is_degraded=down).assign(label_any=pd.array(bad, dtype="boolean"))
    found = scored(training, "persistence", replace(QUICK, min_positives=3)).set_index(["event_date", "feature"])

    def shares(days: int) -> np.ndarray:
        y, now = bad[: 4 * days], down[: 4 * days]
        return np.array([(y[now == s].sum() + 1) / ((now == s).sum() + 2) for s in (0, 1)])

    early, late = shares(7), shares(21)
    assert found.loc[(day(14), "f0"), "risk_probability"] == pytest.approx(early[1])
    assert found.loc[(day(27), "f3"), "risk_probability"] == pytest.approx(early[0])
    # Days 14 to 20 were said something of, and are known by day 27.
    rows = slice(4 * 14, 4 * 21)
    map_ = Sigmoid().fit(early[down[rows].astype(int)], bad[rows].astype(float))
    assert map_ != Sigmoid()
    assert found.loc[(day(30), "f0"), "risk_probability"] == pytest.approx(float(map_.apply(late[[1]])[0]))
    assert found.loc[(day(40), "f2"), "risk_probability"] == pytest.approx(float(map_.apply(late[[0]])[0]))


# --- Leads ------------------------------------------------------------------------------------------------------------


def graded_days() -> tuple[pd.DataFrame, np.ndarray, pd.DataFrame]:
    rng = np.random.default_rng(1)
    keys = pd.DataFrame(
        {"event_date": [day(at // 6) for at in range(180)], "feature": [f"f{at % 6}" for at in range(180)]}
    )
    onsets = keys.iloc[rng.choice(180, 12, replace=False)].reset_index(drop=True)
    return keys, rng.random(180), onsets


def test_leads_have_the_middle_nine_tenths_of_their_draws() -> None:
    keys, p, onsets = graded_days()
    settings = replace(QUICK, capacity_k=2, seed=3)
    lead = lead_times(keys, top_k(np.arange(180) // 6, p, 2), onsets, 7)
    rng = np.random.default_rng(3)
    draws = np.median(rng.choice(lead.lead_days, (20, len(lead.lead_days))), axis=1)
    share = rng.binomial(lead.onsets, lead.warned_share, 20) / lead.onsets
    found = lead_rows(keys, p, onsets, settings)
    assert found.columns.tolist() == ["metric", "value", "low", "high"]
    assert found["metric"].tolist() == ["warned_share", "lead_days_median"]
    assert found[["value", "low", "high"]].to_numpy().tolist() == [
        pytest.approx([lead.warned_share, *np.quantile(share, [0.05, 0.95])]),
        pytest.approx([lead.median_days, *np.quantile(draws, [0.05, 0.95])]),
    ]
    assert lead_rows(keys, p, onsets.iloc[:0], settings)[["value", "low", "high"]].isna().all(axis=None)


def test_a_replay_is_graded_beside_its_baselines() -> None:
    keys, p, onsets = graded_days()
    y = (np.arange(180) % 5 == 0).astype(float)
    label = pd.array([None if at >= 174 else bool(y[at]) for at in range(180)], dtype="boolean")
    scores = keys.assign(label_any=label, risk_model=p, base_rate=0.2)
    labels = pd.concat([onsets.assign(is_onset_today=True), keys.iloc[:3].assign(is_onset_today=False)])
    found = _grade(scores, labels, replace(QUICK, capacity_k=2), BacktestSettings(alert_probability=0.4))
    assert found["model"].unique().tolist() == ["risk_model", "base_rate"]
    own = found[found["model"] == "risk_model"].set_index("metric")
    known = keys.iloc[:174]
    wanted = measure_with_intervals(prepare(known, y[:174], p[:174], 2, 14), 20, 0).set_index("metric")
    pd.testing.assert_frame_equal(own.loc[wanted.index, ["value", "low", "high"]], wanted)
    lead = lead_times(known, top_k(np.arange(174) // 6, p[:174], 2), onsets, 7)
    above = p.reshape(30, 6) >= 0.4
    crossings = above[0].sum() + (above[1:] & ~above[:-1]).sum()
    assert own["value"].tolist()[-3:] == pytest.approx([lead.median_days, lead.warned_share, crossings * 7 / 30])
    assert own.index.tolist()[-3:] == ["lead_days_median", "warned_share", "alerts_per_week"]
    assert own[["rows", "positives", "base_rate"]].drop_duplicates().to_numpy().tolist() == [[174, 35, 35 / 174]]
    assert len(_grade(scores.assign(label_any=pd.NA), labels, QUICK, BacktestSettings())) == 0


# --- Leaks ------------------------------------------------------------------------------------------------------------


def of_one_state(state: float, positives: int, entities: int, wrong: int = 0) -> pd.DataFrame:
    """Sixty days of one state; `tier` tells the first positives of each entity, but for some."""
    rows = [{"event_date": day(d), "feature": f"f{f}"} for d in range(60) for f in range(entities)]
    outcome = (np.arange(len(rows)) * 7) % len(rows) < positives
    tier = outcome.astype(float)
    tier[np.flatnonzero(outcome)[:wrong]] = 0.0
    told = outcome if state == 0 else ~outcome
    return inputs(rows).assign(is_degraded=state, tier=tier, label_any=pd.array(told, dtype="boolean"))


@pytest.mark.parametrize(
    ("state", "positives", "entities", "wrong", "is_told"),
    [
        (0.0, 20, 4, 0, True), (0.0, 19, 4, 0, False), (1.0, 20, 4, 0, True), (1.0, 19, 4, 0, False),
        (0.0, 60, 2, 0, False),
        # One of ten that are missed costs half of that: .95 is a leak of what changes, and none of what recovers.
        (0.0, 60, 4, 5, True), (0.0, 60, 4, 9, False), (1.0, 60, 4, 5, False),
    ],
)  # fmt: skip
def test_a_leak_needs_twenty_changes_of_three_entities(
    state: float, positives: int, entities: int, wrong: int, is_told: bool
) -> None:
    found = suspected_leaks(FEATURE_RISK, of_one_state(state, positives, entities, wrong))
    assert [each.name for each in found] == (["tier"] if is_told else [])
