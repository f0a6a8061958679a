"""Risk by value: splits, grades, promotion, scores, notes and reasons, with estimators that say what they are told."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS_BY_NAME, SIGNALS
from quality_assets.domain.models.artifact import InputsMismatchError, TrainedModel, TrainingResult, check_inputs
from quality_assets.domain.models.contributions import contributions
from quality_assets.domain.models.estimators import (
    Imputer,
    Logistic,
    LogOdds,
    Sigmoid,
    TargetModel,
    expit,
    logit,
    make_estimator,
)
from quality_assets.domain.models.evidence import Evidence, grading_rounds
from quality_assets.domain.models.leaks import (
    SuspectedLeakError,
    _auc_within,
    can_show_a_leak,
    single_input_aucs,
    suspected_leaks,
    without_leaks,
)
from quality_assets.domain.models.promotion import Decision, promotion_decision
from quality_assets.domain.models.risk.backtest import BacktestSettings, alerts_per_week, as_known_on
from quality_assets.domain.models.risk.baselines import EwmaChart, FeatureBaseRate, Persistence
from quality_assets.domain.models.risk.choosing import choose
from quality_assets.domain.models.risk.reasons import reasons
from quality_assets.domain.models.risk.scoring import grade_scores, score_risk
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import TargetRows, can_learn, input_matrix, target_rows
from quality_assets.domain.models.selection import best_by_skill, best_candidate, brier_skills
from quality_assets.domain.models.splits import TimeSplit, time_splits
from quality_assets.domain.models.training import fit_baselines
from quality_assets.domain.models.use_case import Choice
from quality_assets.domain.stats.grading import (
    Lead,
    bootstrap_weights,
    calibration_bins,
    lead_times,
    measure,
    measure_with_intervals,
    metric_difference,
    prepare,
    top_k,
)

START = date(2026, 1, 1)
NAN = math.nan
SAY = "active_days_28d"  # an input of which any value will do
BASELINES, CANDIDATES = FEATURE_RISK.baselines, FEATURE_RISK.candidates
QUICK = RiskSettings(bootstrap_rounds=20, threads=1)


def day(number: int) -> date:
    return START + timedelta(days=number)


@dataclass
class Told:
    """Predicts the probability whose log-odds `SAY` holds."""

    everyone: float = 0.25

    def predict(self, x: np.ndarray, feature: np.ndarray) -> np.ndarray:
        return expit(x[:, INPUT_NAMES.index(SAY)])


def saying(p: float, **row: Any) -> dict[str, Any]:
    """An input of which `Told` makes the probability p."""
    return row | {SAY: math.log(p / (1 - p))}


def inputs(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Inputs that are 0 where nothing is said."""
    plain = dict.fromkeys(INPUT_NAMES, 0.0) | {"event_date": day(0), "feature": "pay", "usual_users": NAN}
    plain |= {"has_baseline": True}
    return pd.DataFrame([plain | row for row in rows])


def model_of(name: str = "random_forest", onset: bool = False, **more: Any) -> TrainedModel:
    told = TargetModel(name, Told(), Sigmoid()) if name in BASELINES else linear(**{SAY: 1.0})
    targets = {"any": told} | ({"onset": TargetModel(name, Told(), Sigmoid(1.0, 1.0))} if onset else {})
    values = {"trained_through": day(-1), "horizon_days": 7, "input_names": INPUT_NAMES, "targets": targets}
    return TrainedModel(**(values | {"base_rate": 0.1} | more))


def test_the_settings_are_those_that_the_published_grades_were_made_with() -> None:
    assert RiskSettings() == RiskSettings(
        horizon_days=7, folds=6, min_train_days=14, first_train_share=0.4, min_positives=30, capacity_k=5,
        min_skill_gain=0.01, max_fit_rows=40_000, forest_trees=150,
        forest_tree_rows=8_000, forest_min_leaf=10, forest_max_depth=10, boosting_rounds=80, logistic_c=0.02,
        interval_members=8, bootstrap_rounds=200, importance_repeats=5, max_importance_rows=10_000,
        min_judged_days=14, threads=2, seed=0,
    )  # fmt: skip
    assert BacktestSettings() == BacktestSettings(retrain_every_days=7, reselect_every=4, alert_probability=0.5)
    for wrong in ({"horizon_days": 0}, {"folds": 1}, {"min_train_days": 0}):
        with pytest.raises(ValueError, match="positive"):
            RiskSettings(**wrong)  # type: ignore[arg-type]
    assert RiskSettings(horizon_days=1, folds=2, min_train_days=1)


# --- Splits -----------------------------------------------------------------------------------------------------------


def test_splits_begin_after_their_share_and_cover_what_is_left() -> None:
    # 100 days: .4 of them and a week, so that tests begin on day 47; 53 days in three parts.
    assert time_splits(0, 99, RiskSettings(folds=3)) == [
        TimeSplit(39, 47, 63), TimeSplit(56, 64, 81), TimeSplit(74, 82, 99),
    ]  # fmt: skip
    assert time_splits(10, 109, RiskSettings(folds=3))[0] == TimeSplit(49, 57, 73)
    # Fourteen days where that is more than the share: 14 + 7 = 21, and 3 days are left of 24.
    assert [s.test_from for s in time_splits(0, 23, RiskSettings(folds=3))] == [21, 22, 23]
    assert time_splits(0, 22, RiskSettings(folds=3)) == []


def test_a_target_has_its_known_rows_with_a_baseline_in_order_of_days() -> None:
    frame = inputs(
        [
            {"event_date": day(2), "feature": "a", "tier": 1},
            {"event_date": day(0), "feature": "b", "tier": 2},
            {"event_date": day(1), "feature": "c", "has_baseline": False},
            {"event_date": day(1), "feature": "d"},
            {"event_date": day(0), "feature": "e", "tier": 3},
        ]
    ).assign(label_any=pd.array([True, False, True, None, True], dtype="boolean"), label_onset=pd.NA)
    rows = target_rows(FEATURE_RISK, frame, "any")
    assert rows.keys["feature"].tolist() == ["b", "e", "a"]
    assert rows.y.tolist() == [0, 1, 1]
    assert np.diff(rows.day).tolist() == [0, 2]
    assert rows.x[:, INPUT_NAMES.index("tier")].tolist() == [2, 3, 1]
    assert len(target_rows(FEATURE_RISK, frame, "onset").y) == 0


@pytest.mark.parametrize(
    ("positives", "rows", "can"), [(30, 60, True), (29, 90, False), (60, 89, False), (60, 90, True)]
)
def test_thirty_of_each_kind_can_be_learnt_from(positives: int, rows: int, can: bool) -> None:
    assert can_learn(np.arange(rows) < positives, RiskSettings()) == can


@pytest.mark.parametrize(("rows", "rounds"), [(0, 200), (50_000, 200), (100_000, 100), (250_000, 40), (9_000_000, 40)])
def test_many_rows_need_fewer_rounds(rows: int, rounds: int) -> None:
    assert grading_rounds(rows, RiskSettings()) == rounds


# --- Choosing ---------------------------------------------------------------------------------------------------------


def evidence(target: str = "any", rows: int = 200, **ranks: float) -> tuple[TargetRows, Evidence]:
    """Held-out rows, a quarter of them positive; each model puts so many of the ten highest scores on positives."""
    rng = np.random.default_rng(3)
    y = (np.arange(rows) % 4 == 0).astype(float)
    keys = pd.DataFrame(
        {"event_date": [day(i // 10) for i in range(rows)], "feature": [f"f{i % 10}" for i in range(rows)]}
    )
    p = {}
    for name in (*CANDIDATES, *BASELINES):
        weight = ranks.get(name, 0.0)
        p[name] = np.clip(weight * y + (1 - weight) * rng.random(rows), 0.001, 0.999)
    x = np.zeros((rows, len(INPUT_NAMES)))
    x[:, INPUT_NAMES.index("worst_ewma_z")] = y * 3 + rng.random(rows)
    x[:, INPUT_NAMES.index("is_degraded")] = y
    days = np.arange(rows) // 10
    proof = Evidence(FEATURE_RISK, target, keys, y, p, p, np.ones(rows, bool))
    return TargetRows(keys, keys["feature"].to_numpy(), x, y, days), proof


CHOOSING = RiskSettings(
    interval_members=0, bootstrap_rounds=40, forest_trees=5, boosting_rounds=3, threads=1, min_positives=30
)


def said(**p: np.ndarray) -> Evidence:
    """Evidence in which some models say what is given, and all others something that is further off than base rates."""
    _, proof = evidence()
    others = {name: np.where(proof.y > 0, 0.001, 0.999) for name in proof.p}
    return replace(proof, p=others | p)


def test_the_flagship_stays_unless_another_is_better_beyond_chance() -> None:
    _, proof = evidence(random_forest=0.3, logistic_regression=0.3001)
    better = {name: proof.score(name, CHOOSING) for name in proof.p}
    better["logistic_regression"] = better["random_forest"] + 0.001
    assert best_candidate(proof, better, CHOOSING) == "random_forest"
    _, clear = evidence(random_forest=0.0, logistic_regression=0.6)
    assert best_candidate(clear, {n: clear.score(n, CHOOSING) for n in clear.p}, CHOOSING) == "logistic_regression"
    assert best_candidate(clear, dict.fromkeys(clear.p, 0.5), CHOOSING) == "random_forest"


def test_the_model_has_the_most_skill_of_those_that_rank_as_well() -> None:
    # Both rank perfectly; who says .9 and .1 is nearer to what comes than who says .6 and .4.
    y = evidence()[1].y
    proof = said(random_forest=np.where(y > 0, 0.6, 0.4), logistic_regression=np.where(y > 0, 0.9, 0.1))
    skills = brier_skills(proof, CHOOSING)
    # Of .25 · .75 is left .16 and .01.
    assert skills["random_forest"] == pytest.approx(1 - 0.16 / 0.1875)
    assert skills["logistic_regression"] == pytest.approx(1 - 0.01 / 0.1875)
    assert best_by_skill(proof, skills, CHOOSING) == "logistic_regression"
    # A better Brier score does not make up for a ranking that is clearly worse: a third of positives is missed.
    missed = np.where(np.arange(len(y)) % 3 == 0, 0.1, np.where(y > 0, 0.99, 0.1))
    blunt = said(random_forest=np.where(y > 0, 0.45, 0.35), logistic_regression=missed)
    skills = brier_skills(blunt, CHOOSING)
    assert skills["logistic_regression"] > skills["random_forest"] > 0
    assert best_by_skill(blunt, skills, CHOOSING) == "random_forest"
    # A baseline that is as good by less than is asked for is easier to explain.
    alike = said(random_forest=np.where(y > 0, 0.9, 0.1), ewma_chart=np.where(y > 0, 0.895, 0.105))
    skills = brier_skills(alike, CHOOSING)
    gain = skills["random_forest"] - skills["ewma_chart"]
    assert best_by_skill(alike, skills, CHOOSING, gain * 1.01) == "ewma_chart"
    assert best_by_skill(alike, skills, CHOOSING, gain * 0.99) == "random_forest"
    # What says no more than base rates has no skill.
    assert best_by_skill(alike, dict.fromkeys(alike.p, 0.0), CHOOSING) is None


def test_trees_must_be_ahead_of_the_line_beyond_chance() -> None:
    rows, proof = evidence()
    y = proof.y
    line = np.where(y > 0, 0.79, 0.21)
    # Both rank perfectly. Trees are nearer to what comes in six features of ten, and further off in four.
    off = np.where(np.arange(len(y)) % 10 < 6, 0.1, 0.3)
    close = said(random_forest=np.where(y > 0, 1 - off, off), logistic_regression=line)
    skills = brier_skills(close, CHOOSING)
    # Of .1875 is left .6 · .01 + .4 · .09 = .042, and .0441.
    assert skills["random_forest"] == pytest.approx(1 - 0.042 / 0.1875)
    assert skills["logistic_regression"] == pytest.approx(1 - 0.0441 / 0.1875)
    assert close.lead("random_forest", "logistic_regression", CHOOSING, "brier_skill")[1] < 0
    assert best_by_skill(close, skills, CHOOSING) == "random_forest"
    assert best_by_skill(close, skills, CHOOSING, plainest="logistic_regression") == "logistic_regression"
    assert choose(rows, close, CHOOSING) == Choice("logistic_regression")
    # Nearer in every feature.
    clear = said(random_forest=np.where(y > 0, 0.9, 0.1), logistic_regression=line)
    assert choose(rows, clear, CHOOSING) == Choice("random_forest")
    # Who has no skill is no model, however plain.
    alone = said(random_forest=np.where(y > 0, 1 - off, off))
    assert choose(rows, alone, CHOOSING) == Choice("random_forest")
    # A baseline does not give way: it is plainer.
    chart = said(ewma_chart=np.where(y > 0, 1 - off, off), logistic_regression=line)
    assert choose(rows, chart, CHOOSING).name == "ewma_chart"


def test_no_model_with_less_skill_than_base_rates_is_used() -> None:
    # All rank well, and say of everything that it is likely: further from what comes than a quarter for all.
    y = evidence()[1].y
    proof = said(random_forest=np.where(y > 0, 0.95, 0.85), base_rate=np.full(len(y), 0.26))
    rows, _ = evidence()
    choice = choose(rows, proof, CHOOSING)
    assert (choice.name, choice.is_stand_in) == ("base_rate", False)
    skill = 1 - (0.25 * 0.05**2 + 0.75 * 0.85**2) / 0.1875
    assert choice.note == (
        "any: no model is better than base rates on later days (the best, random_forest, has a Brier skill of"
        f" {skill:.2f}): base rates are shown"
    )
    onset = choose(rows, replace(proof, target="onset"), CHOOSING)
    assert onset.name is None
    assert onset.note.startswith("onset: not shown: no model is better than base rates on later days")


def test_an_onset_needs_skill_beyond_chance() -> None:
    y = evidence()[1].y
    rng = np.random.default_rng(1)
    sure = said(random_forest=np.where(y > 0, 0.7, 0.2))
    rows, _ = evidence()
    assert choose(rows, replace(sure, target="onset"), CHOOSING) == Choice("random_forest")
    # A hair better than the base rate, in rows that differ by chance: that may be none.
    faint = said(random_forest=0.25 + 0.02 * (y - 0.25) + rng.normal(0, 0.03, len(y)))
    skills = brier_skills(faint, CHOOSING)
    assert 0 < skills["random_forest"] < 0.05
    choice = choose(rows, replace(faint, target="onset"), CHOOSING)
    assert choice.name is None
    assert "onset: not shown: the skill of random_forest may be chance" in choice.note
    chart = said(ewma_chart=np.where(y > 0, 0.7, 0.2))
    assert choose(rows, replace(chart, target="onset"), CHOOSING) == Choice(
        "ewma_chart", "onset: no candidate beats ewma_chart: the baseline is the model"
    )


def test_what_stands_in_before_anything_can_be_learnt() -> None:
    rows, proof = evidence()

    def fallback(target: str, positives: int, of: int = 100) -> tuple[str | None, str]:
        few = replace(rows.take(np.arange(of)), y=(np.arange(of) < positives).astype(float))
        choice = choose(few, replace(proof, target=target), RiskSettings())
        assert choice.is_stand_in == (choice.name is not None)
        return choice.name, choice.note

    why = "{} of 100 known feature-days degraded, 30 of each kind needed"
    assert fallback("any", 5) == ("ewma_chart", f"any: control chart stands in: {why.format(5)}")
    assert fallback("any", 4) == ("feature_base_rate", f"any: base rate per feature stands in: {why.format(4)}")
    assert fallback("any", 96) == ("feature_base_rate", f"any: base rate per feature stands in: {why.format(96)}")
    assert fallback("any", 95)[0] == "ewma_chart"
    assert fallback("any", 0) == (None, f"any: no model and no base rate: {why.format(0)}")
    assert fallback("any", 100) == (None, f"any: no model and no base rate: {why.format(100)}")
    assert fallback("onset", 5) == (None, f"onset: not shown: {why.format(5)}")


def test_baselines_are_fitted_where_both_outcomes_are_known() -> None:
    frame = inputs([{"feature": f"f{i % 3}", "worst_ewma_z": i % 2 * 5.0} for i in range(40)])
    labelled = frame.assign(label_any=pd.array([i % 2 == 1 for i in range(40)], dtype="boolean"))
    assert set(fit_baselines(FEATURE_RISK, labelled)) == set(BASELINES)
    assert fit_baselines(FEATURE_RISK, labelled.assign(label_any=pd.array([True] * 40, dtype="boolean"))) == {}


# --- Promotion --------------------------------------------------------------------------------------------------------


def contest(
    new: tuple[float, float], old: tuple[float, float], days: int = 20, trained: int = -8, **more: Any
) -> Decision:
    """A contest in which each says so much of what degrades and of what does not, on four features a day."""
    outcome = [f == 0 for _ in range(days) for f in range(4)]
    keys = [{"event_date": day(d), "feature": f"f{f}"} for d in range(days) for f in range(4)]
    training = inputs([saying(old[0] if y else old[1], **key) for key, y in zip(keys, outcome, strict=True)])
    held = pd.DataFrame(keys).assign(target="any", outcome=more.pop("outcome", outcome))
    held["logistic_regression"] = [new[0] if y else new[1] for y in outcome]
    empty = pd.DataFrame()
    result = TrainingResult(more.pop("challenger", model_of()), empty, empty, empty, held, "")
    champion = more.pop("champion", model_of(trained_through=day(trained)))
    return promotion_decision(FEATURE_RISK, champion, result, training, replace(QUICK, **more))


def test_a_challenger_wins_by_less_squared_error_unless_it_clearly_ranks_worse() -> None:
    won = contest(new=(0.9, 0.1), old=(0.1, 0.3))
    assert won.is_promoted
    # It ranks all positives first, the champion all last, where a quarter of all is right.
    assert won.difference == pytest.approx(1 - 0.25)
    # On a quarter of the rows .9 and else .1 off before, now .1 and .1: .25 · .81 + .75 · .09 − .01 less.
    assert won.reason.startswith("challenger wins on 20 later days: Brier score -0.2600, PR-AUC +0.750 (90 % interval")
    assert won.low <= won.difference <= won.high
    # It ranks as well as can be, but what it says is further from what happens.
    worse = contest(new=(0.60, 0.59), old=(0.10, 0.11))
    assert worse.difference > 0
    assert not worse.is_promoted
    assert worse.reason.startswith("challenger does not win on 20 later days: Brier score +0.")
    # So is one that says too little of everything.
    assert not contest(new=(0.05, 0.04), old=(0.30, 0.31)).is_promoted
    # As good a ranking, and nearer to what comes.
    assert contest(new=(0.9, 0.1), old=(0.6, 0.4)).is_promoted
    # Nearer to what comes, as it says the base rate of all; but what ranked right is not given up for that.
    level = contest(new=(0.25, 0.25), old=(0.95, 0.85))
    assert level.high < 0
    assert not level.is_promoted
    assert level.reason.startswith("challenger ranks clearly worse on 20 later days: Brier score -0.")
    same = contest(new=(0.9, 0.1), old=(0.9, 0.1))
    assert (same.difference, same.is_promoted) == (0.0, False)


def test_only_days_beyond_the_champions_horizon_are_judged() -> None:
    # It saw day 2, whose outcome shows until day 9: of 24 days those from the tenth on count, which are 14.
    assert contest((0.9, 0.1), (0.1, 0.3), days=24, trained=2).is_promoted
    short = contest((0.9, 0.1), (0.1, 0.3), days=23, trained=2)
    assert not short.is_promoted
    assert short.reason == "only 13 days since the champion was trained have a known outcome, 14 needed"
    assert contest((0.9, 0.1), (0.1, 0.3), days=24, trained=3).reason.startswith("only 13 days")


def test_who_cannot_score_cannot_win() -> None:
    better = ((0.9, 0.1), (0.1, 0.3))
    dumb = model_of(targets={})
    assert contest(*better, champion=None) == Decision(True, "first model")
    assert contest(*better, champion=dumb) == Decision(True, "the champion could not score")
    assert contest(*better, champion=dumb, challenger=dumb).is_promoted is False
    assert contest(*better, challenger=dumb) == Decision(False, "the challenger cannot score")
    foreign = contest(*better, champion=model_of(input_names=("x",)))
    assert foreign == Decision(True, "the champion was made for other inputs and cannot score")
    alike = contest(*better, outcome=False)
    assert alike == Decision(False, "nothing to tell them apart: one outcome only in 20 days")


# --- Scores -----------------------------------------------------------------------------------------------------------


def test_scores_are_ranked_within_a_day_by_users_hit_and_then_by_risk() -> None:
    rows = [
        saying(0.2, feature="a", usual_users=100.0),
        saying(0.1, feature="b", usual_users=900.0),
        saying(0.6, feature="c"),
        saying(0.7, feature="d"),
        {"feature": "e", "has_baseline": False},
        saying(0.1, feature="f", event_date=day(1)),
    ]
    found = score_risk(model_of(onset=True), inputs(rows), "3").set_index("feature")
    assert found["risk_probability"].tolist()[:4] == pytest.approx([0.2, 0.1, 0.6, 0.7])
    assert found["expected_users_affected"].tolist()[:2] == pytest.approx([20.0, 90.0])
    assert found["rank"].tolist() == [2, 1, 4, 3, pd.NA, 1]
    assert found["score_kind"].tolist() == ["model"] * 4 + ["unknown", "model"]
    assert found["onset_probability"].tolist()[:2] == pytest.approx([1 / (1 + 4 / math.e), 1 / (1 + 9 / math.e)])
    assert found.loc["e", ["risk_probability", "onset_probability", "low", "high"]].isna().all()
    assert found["model_version"].unique().tolist() == ["3"]
    assert found["horizon_days"].unique().tolist() == [7]
    assert found["note"].tolist() == [None] * 4 + ["first seen 0 days ago: no baseline yet", None]


def test_a_feature_that_is_degraded_has_no_onset_to_come() -> None:
    rows = [saying(0.2, feature=f, is_degraded=value) for f, value in (("a", 1.0), ("b", 0.0), ("c", NAN))]
    found = score_risk(model_of(onset=True), inputs(rows), "3").set_index("feature")
    assert found["onset_probability"].isna().tolist() == [True, False, True]
    assert found["is_degraded_today"].tolist() == [True, False, pd.NA]
    assert score_risk(model_of(), inputs(rows), "3")["onset_probability"].isna().all()


@pytest.mark.parametrize(
    ("row", "note"),
    [
        ({}, "first seen 0 days ago: no baseline yet"),
        ({"age_days": 23}, "first seen 23 days ago: no baseline yet"),
        ({"age_days": 24}, "too few events to tell"),
        ({"age_days": 24, "silent_days": 1}, "no events for 1 days"),
        ({"age_days": 5, "silent_days": 27}, "no events for 27 days"),
        ({"age_days": 90, "silent_days": INPUTS_BY_NAME["silent_days"].high}, "no events for 28 days or more"),
    ],
)
def test_a_note_says_why_there_is_no_score(row: dict[str, float], note: str) -> None:
    (said,) = score_risk(model_of(), inputs([{"has_baseline": False} | row]), "3")["note"]
    assert said == note


def test_notes_of_the_model_stand_beside_its_scores() -> None:
    noted = model_of("ewma_chart", notes=("any: a stands in", "onset: not shown", "any: b"))
    found = score_risk(noted, inputs([{}]), "3")
    assert found["note"].tolist() == ["any: a stands in; any: b"]
    assert found["score_kind"].tolist() == ["baseline"]
    none = score_risk(None, inputs([{}]), "none")
    assert (none["note"].tolist(), none["horizon_days"].tolist()) == (["no model yet"], [7])
    dumb = score_risk(replace(noted, targets={}), inputs([{}]), "3")
    assert dumb["note"].tolist() == ["any: a stands in; any: b"]
    assert dumb["score_kind"].tolist() == ["unknown"]
    with pytest.raises(InputsMismatchError, match="absent \\['tier'\\]"):
        check_inputs(FEATURE_RISK, inputs([{}]).drop(columns="tier"), INPUT_NAMES)


def test_a_ledger_row_has_the_day_and_the_error_of_its_outcome() -> None:
    scores = score_risk(model_of(), inputs([saying(0.2, feature="a"), saying(0.9, feature="b")]), "3")
    labels = pd.DataFrame(
        {"event_date": [day(0)] * 3, "feature": ["a", "b", "a"], "horizon_days": [7, 7, 3]}
        | {"label_any": [True, None, False], "label_onset": [None, None, True], "days_to_degradation": [2, None, 1]}
        | {"degraded_metrics_ahead": ["crash", None, ""]}
    )
    ledger = grade_scores(scores, labels).set_index("feature")
    assert ledger["squared_error"]["a"] == pytest.approx(0.64)
    assert ledger["graded_date"].tolist() == [pd.Timestamp(day(7))] * 2
    assert ledger["is_graded"].tolist() == [True, False]
    assert ledger["label_any"].tolist() == [True, pd.NA]
    assert ledger["degraded_metrics_ahead"]["a"] == "crash"
    assert math.isnan(ledger["squared_error"]["b"])


# --- Leaks ------------------------------------------------------------------------------------------------------------


def leaking(positives: int, features: int, value: float = 1.0) -> pd.DataFrame:
    """Rows whose `tier` is 1 where it degrades; positives and as many negatives on each of some features."""
    rows = [{"feature": f"f{i % features}", "tier": value * (i < positives)} for i in range(2 * positives)]
    return inputs(rows).assign(label_any=pd.array([i < positives for i in range(2 * positives)], dtype="boolean"))


def test_a_leak_shows_in_fifty_positives_on_three_features() -> None:
    assert can_show_a_leak(FEATURE_RISK, leaking(50, 3))
    assert not can_show_a_leak(FEATURE_RISK, leaking(49, 3))
    assert not can_show_a_leak(FEATURE_RISK, leaking(50, 2))
    # Without a state that persists nothing explains it.
    stateless = replace(FEATURE_RISK, state_input=None)
    with pytest.raises(SuspectedLeakError, match="tier"):
        without_leaks(stateless, leaking(50, 3))
    assert without_leaks(stateless, leaking(49, 3)) == (stateless, ())


def of_one_state(state: float, **columns: np.ndarray) -> pd.DataFrame:
    """Four features over 60 days in one state; the outcome is true on every third day, another one of each."""
    frame = inputs([{"event_date": day(d), "feature": f"f{f}"} for d in range(60) for f in range(4)])
    outcome = (np.arange(len(frame)) // 4 + np.arange(len(frame)) % 4) % 3 == 0
    known = {name: np.where(outcome, values, 0.0) for name, values in columns.items()}
    return frame.assign(**known, is_degraded=state, label_any=pd.array(outcome, dtype="boolean"))


def test_a_leak_is_what_tells_rows_of_the_same_state_apart() -> None:
    healthy = of_one_state(0.0, tier=np.ones(240))
    (found,) = suspected_leaks(FEATURE_RISK, healthy)
    assert (found.name, found.auc, found.rows, found.positives) == ("tier", 1.0, 240, 80)
    assert found.sentence == (
        "tier is not learnt from: a leak is suspected, since among rows with is_degraded = 0 it alone tells which"
        " change (ROC-AUC 1.000, 80 of 240 rows)"
    )
    case, leaks = without_leaks(FEATURE_RISK, healthy)
    assert [leak.name for leak in leaks] == ["tier"]
    assert set(FEATURE_RISK.without(["worst_slope_z"]).learnt_columns) == set(FEATURE_RISK.learnt_columns) - {
        INPUT_NAMES.index("worst_slope_z")
    }
    assert case.withheld == {"tier"}
    # Of rows that are degraded the one question is which recover.
    degraded = of_one_state(1.0, tier=np.ones(240))
    (found,) = suspected_leaks(FEATURE_RISK, degraded)
    assert (found.state, found.positives) == ("is_degraded = 1", 160)


def test_a_state_that_persists_is_no_leak() -> None:
    # Three features are down on every day, three on none: the state, and whatever follows it, tells all.
    rows = [
        {"event_date": day(d), "feature": f"f{f}", "is_degraded": float(f < 3), "days_in_state": float(d * (f < 3))}
        for d in range(60)
        for f in range(6)
    ]
    frame = inputs(rows)
    frame["label_any"] = pd.array(frame["is_degraded"] > 0, dtype="boolean")
    assert single_input_aucs(FEATURE_RISK, frame)["is_degraded"] == 1.0
    assert suspected_leaks(FEATURE_RISK, frame) == []


def test_what_names_features_or_times_is_no_leak() -> None:
    # Three healthy features flap and one does not: their tier tells the four apart, and no day of any from another.
    flapping = of_one_state(0.0)
    flaps = flapping["feature"].isin(["f0", "f1", "f2"]).to_numpy()
    named = flapping.assign(tier=flaps.astype(float), label_any=pd.array(flaps, dtype="boolean"))
    named = pd.concat([named, named.assign(feature=named["feature"] + "x")], ignore_index=True)
    assert single_input_aucs(FEATURE_RISK, named)["tier"] == 1.0
    assert suspected_leaks(FEATURE_RISK, named) == []
    # Everything breaks in the last fortnight: that is one event, which the age of a feature tells.
    late = flapping.assign(age_days=np.arange(240) // 4, label_any=pd.array(np.arange(240) >= 184, dtype="boolean"))
    assert single_input_aucs(FEATURE_RISK, late)["age_days"] == 1.0
    assert suspected_leaks(FEATURE_RISK, late) == []


@pytest.mark.parametrize(
    ("y", "stratum", "expected"),
    [
        ((0, 0, 1, 1), (0, 0, 0, 0), 1.0),
        ((1, 1, 0, 0), (0, 0, 0, 0), 1.0),
        # Of four pairs 2 > 1, 4 > 1 and 4 > 3 are right; within (1, 2) and (3, 4) both are.
        ((0, 1, 0, 1), (0, 0, 0, 0), 0.75),
        ((0, 1, 0, 1), (0, 0, 1, 1), 1.0),
        ((0, 1, 1, 0), (0, 0, 1, 1), 0.5),
        ((1, 1, 0, 0), (0, 0, 1, 1), 0.0),
    ],
)
def test_pairs_within_a_stratum_are_told_apart_in_the_better_direction(
    y: tuple[int, ...], stratum: tuple[int, ...], expected: float
) -> None:
    assert _auc_within(np.array([1.0, 2, 3, 4]), np.array(y, bool), np.array(stratum)) == expected


def test_an_input_alone_is_measured_by_its_ranks_in_either_direction() -> None:
    frame = inputs([{"feature": "a", "tier": t, "age_days": -t, "latency_z": 0.0} for t in (1, 2, 2, 3, NAN, 9)])
    labels = pd.array([False, False, True, True, True, None], dtype="boolean")
    found = single_input_aucs(FEATURE_RISK, frame.assign(label_any=labels))
    # Of four pairs three are right and one is a tie.
    assert found["tier"] == found["age_days"] == pytest.approx(0.875)
    assert found["latency_z"] == 0.5
    assert math.isnan(
        single_input_aucs(FEATURE_RISK, frame.assign(label_any=pd.array([True] * 6, dtype="boolean")))["tier"]
    )


# --- Grades -----------------------------------------------------------------------------------------------------------

ROWS = pd.DataFrame({"event_date": [day(d) for d in (0, 0, 1, 1)], "feature": ["a", "b", "a", "b"]})
OUTCOME, SCORE = np.array([1.0, 0, 0, 1]), np.array([0.8, 0.6, 0.4, 0.2])


def test_grades_by_hand() -> None:
    found = measure(prepare(ROWS, OUTCOME, SCORE, 1, 14))
    assert found == pytest.approx(
        {
            "pr_auc": (1 + 0.5) / 2,
            "pr_auc_lift": 1.5,
            "roc_auc": 0.5,
            "brier": (0.04 + 0.36 + 0.16 + 0.64) / 4,
            "brier_skill": 1 - 0.3 / 0.25,
            "ece": (0.2 + 0.6 + 0.4 + 0.8) / 4,
            "precision_at_k": 0.5,
            "recall_at_k": 0.5,
        }
    )
    weighted = measure(prepare(ROWS, OUTCOME, SCORE, 1, 14), np.array([2.0, 1, 0, 1]))
    # Two of three above, one of one below: (2·1 + 1·3⁄4) ÷ 3 by precision, 2 of 3 pairs right.
    assert weighted["pr_auc"] == pytest.approx((2 * 1 + 0.75) / 3)
    assert weighted["roc_auc"] == pytest.approx(2 / 3)
    assert weighted["brier"] == pytest.approx((2 * 0.04 + 0.36 + 0.64) / 4)
    assert weighted["precision_at_k"] == 1.0
    assert weighted["recall_at_k"] == pytest.approx(2 / 3)
    assert weighted["ece"] == pytest.approx((2 * 0.2 + 0.6 + 0.8) / 4)
    tied = measure(prepare(ROWS, OUTCOME, np.full(4, 0.5), 2, 14))
    assert (tied["pr_auc"], tied["roc_auc"], tied["precision_at_k"]) == (0.5, 0.5, 0.5)
    nothing = measure(prepare(ROWS, OUTCOME, SCORE, 1, 14), np.zeros(4))
    assert all(math.isnan(v) for v in nothing.values())
    healthy = measure(prepare(ROWS, np.zeros(4), SCORE, 1, 14))
    assert {name for name, v in healthy.items() if math.isnan(v)} == {
        "pr_auc", "pr_auc_lift", "roc_auc", "brier_skill", "recall_at_k",
    }  # fmt: skip
    assert math.isnan(measure(prepare(ROWS, np.ones(4), SCORE, 1, 14))["roc_auc"])


def test_rows_are_sorted_binned_and_blocked() -> None:
    n = 25
    rows = pd.DataFrame({"event_date": [day(d) for d in range(n)], "feature": "a"})
    graded = prepare(rows, np.zeros(n), np.arange(n) / n, 1, 14)
    assert graded.score.tolist() == (np.arange(n)[::-1] / n).tolist()
    assert graded.bin.tolist() == [i * 10 // 25 for i in range(n)]
    assert graded.edge.tolist() == list(range(n))
    # Blocks of 14 days from 1 January 1970: 1 January 2026 is day 20,454 = 1,461 × 14.
    assert graded.blocks == 2
    assert np.bincount(graded.block).tolist() == [14, 11]
    two = prepare(pd.concat([rows, rows.assign(feature="b")]), np.zeros(2 * n), np.zeros(2 * n), 1, 14)
    assert (two.blocks, two.edge.tolist()) == (4, [49])
    assert prepare(rows.iloc[:0], np.zeros(0), np.zeros(0), 1, 14).blocks == 0


def test_the_k_highest_of_each_day_are_chosen() -> None:
    days = np.array([5, 4, 5, 4, 5, 5])
    score = np.array([0.1, 0.9, 0.3, 0.2, 0.2, 0.4])
    assert top_k(days, score, 2).tolist() == [False, True, True, True, False, True]
    assert top_k(days, score, 1).tolist() == [False, True, False, False, False, True]
    assert top_k(days, np.zeros(6), 1).sum() == 2
    assert top_k(np.zeros(0, dtype=int), np.zeros(0), 1).tolist() == []


def test_samples_draw_whole_blocks() -> None:
    block = np.array([0, 0, 1, 2, 2, 2])
    drawn = bootstrap_weights(block, 3, 50, 1)
    assert len(drawn) == 50
    for w in drawn:
        assert w[0] == w[1]
        assert w[3] == w[4] == w[5]
        assert w[[0, 2, 3]].sum() == 3
    assert np.mean([w[0] for w in drawn]) == pytest.approx(1, abs=0.35)
    assert bootstrap_weights(np.zeros(0, dtype=int), 0, 5, 1) == []


def test_intervals_are_the_middle_nine_tenths_of_the_draws() -> None:
    n = 120
    rows = pd.DataFrame({"event_date": [day(d % 30) for d in range(n)], "feature": [f"f{d % 9}" for d in range(n)]})
    rng = np.random.default_rng(1)
    y, p = (rng.random(n) < 0.4).astype(float), rng.random(n)
    graded = prepare(rows, y, p, 2, 7)
    found = measure_with_intervals(graded, 60, 4).set_index("metric")
    draws = [measure(graded, w)["brier"] for w in bootstrap_weights(graded.block, graded.blocks, 60, 4)]
    low, high = np.quantile(draws, [0.05, 0.95])
    assert found.loc["brier", ["low", "high"]].tolist() == pytest.approx([low, high])
    assert found.loc["brier", "value"] == pytest.approx(((p - y) ** 2).mean())
    q = np.clip(p + 0.2 * y, 0, 1)
    value, low, high = metric_difference("pr_auc", rows, y, q, p, 7, 60, 4)
    one, two = prepare(rows, y, q, 1, 7), prepare(rows, y, p, 1, 7)
    paired = [
        measure(one, a)["pr_auc"] - measure(two, b)["pr_auc"]
        for a, b in zip(
            bootstrap_weights(one.block, one.blocks, 60, 4),
            bootstrap_weights(two.block, two.blocks, 60, 4),
            strict=True,
        )
    ]
    assert value == pytest.approx(measure(one)["pr_auc"] - measure(two)["pr_auc"])
    assert [low, high] == pytest.approx(list(np.quantile(paired, [0.05, 0.95])))
    assert math.isnan(metric_difference("pr_auc", rows, np.zeros(n), q, p, 7, 5, 4)[1])


def test_calibration_is_read_from_the_lowest_tenth_up() -> None:
    n = 20
    rows = pd.DataFrame({"event_date": [day(14 * d) for d in range(n)], "feature": "a"})
    p = np.arange(n) / n
    y = (np.arange(n) % 4 == 3).astype(float)
    bins = calibration_bins(y, p, rows, 14, 30, 0)
    assert bins["bin"].tolist() == list(range(1, 11))
    assert bins["predicted"].tolist() == pytest.approx([(4 * i + 1) / 40 for i in range(10)])
    assert bins["observed"].tolist() == [0.0, 0.5] * 5
    assert bins["rows"].tolist() == [2] * 10
    assert (bins["low"].iloc[0], bins["high"].iloc[0]) == (0, 0)
    assert (bins["low"].iloc[1], bins["high"].iloc[1]) == (0, 1)
    few = calibration_bins(y[:3], p[:3], rows.iloc[:3], 14, 30, 0)
    assert few["bin"].tolist() == [1, 2, 3]
    assert few["predicted"].tolist() == pytest.approx([0, 0.05, 0.1])


def test_a_warning_counts_from_one_to_seven_days_before() -> None:
    rows = pd.DataFrame({"event_date": [day(d) for d in (0, 2, 3, 9, 10)], "feature": "a"})
    onsets = pd.DataFrame({"event_date": [day(10), day(60), day(10)], "feature": ["a", "a", "b"]})

    def lead(*warned: int) -> Lead:
        return lead_times(rows, np.isin([0, 2, 3, 9, 10], warned), onsets, 7)

    assert (lead(3, 9).onsets, lead(3, 9).lead_days.tolist(), lead(3, 9).warned_share) == (1, [7], 1.0)
    assert lead(9).lead_days.tolist() == [1]
    assert (lead(0, 2, 10).lead_days.tolist(), lead(0, 2, 10).warned_share) == ([], 0.0)
    assert Lead(4, np.array([2, 7, 3])).warned_share == 0.75
    assert Lead(4, np.array([2, 7, 3])).median_days == 3
    assert math.isnan(Lead(0, np.array([])).warned_share)
    assert math.isnan(Lead(2, np.array([])).median_days)


# --- Replay -----------------------------------------------------------------------------------------------------------


def test_a_day_knows_the_labels_whose_horizon_has_passed() -> None:
    frame = pd.DataFrame({"event_date": [day(d) for d in range(12)], "label_any": True, "label_onset": False})
    then = as_known_on(frame, day(10), 7)
    assert len(then) == 11
    assert then["label_any"].tolist() == [True] * 4 + [pd.NA] * 7
    assert then["label_onset"].tolist() == [False] * 4 + [pd.NA] * 7


def test_alerts_are_crossings_per_week_of_each_feature() -> None:
    scores = pd.DataFrame(
        {"feature": ["b"] * 3 + ["a"] * 3, "event_date": [day(d) for d in (2, 0, 1)] * 2}
        | {"p": [0.6, 0.5, 0.49, 0.9, 0.1, 0.8]}
    )
    # b: .5 .49 .6 crosses twice; a: .1 .8 .9 once; in three days.
    assert alerts_per_week(scores, "p", 0.5) == pytest.approx(3 * 7 / 3)
    assert alerts_per_week(scores.iloc[:0], "p", 0.5) == 0


# --- Models -----------------------------------------------------------------------------------------------------------


def matrix(**columns: list[float]) -> np.ndarray:
    return input_matrix(
        FEATURE_RISK, inputs([dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])
    )


def test_baselines_learn_shares() -> None:
    x = matrix(is_degraded=[1, 1, 1, 0, 0, 0, NAN], worst_ewma_z=[9, 8, 7, 0, 1, -1, NAN])
    y = np.array([1.0, 1, 0, 0, 0, 1, 0])
    names = np.array(list("aaabbbb"))
    persistence = Persistence()
    persistence.fit(x, y, names)
    assert persistence.predict(x, names)[[0, 3, 6]].tolist() == pytest.approx([3 / 5, 2 / 6, 2 / 6])
    assert persistence.everyone == pytest.approx(3 / 7)
    base = FeatureBaseRate()
    base.fit(x, y, names)
    everyone = 4 / 9
    assert base.predict(x[:3], np.array(["a", "b", "new"])).tolist() == pytest.approx(
        [(2 + 30 * everyone) / 33, (1 + 30 * everyone) / 34, everyone]
    )
    chart = EwmaChart()
    chart.fit(x, y, names)
    assert chart.predict(x, names)[0] > chart.predict(x, names)[3]
    assert chart.predict(x, names)[6] < chart.predict(x, names)[5]


def test_holes_are_filled_with_medians_and_inputs_clipped() -> None:
    x = np.array([[1.0, NAN], [3.0, NAN], [8.0, NAN], [NAN, NAN]])
    assert Imputer().fit(x).apply(x).tolist() == [[1, 0], [3, 0], [8, 0], [3, 0]]
    assert matrix(latency_change=[-9.0, 9.0, 0.5])[:, INPUT_NAMES.index("latency_change")].tolist() == [-2, 4, 0.5]
    frame = inputs([{"tier": t} for t in (1, 2, 3)])
    assert input_matrix(FEATURE_RISK, frame, np.array([2, 0]))[:, INPUT_NAMES.index("tier")].tolist() == [3, 1]


def test_logistic_inputs_are_in_deviations_from_their_mean_and_bounded() -> None:
    model = Logistic(FEATURE_RISK.learnt_columns, RiskSettings())
    model.fit(matrix(open_days=[0.0, 2.0, 4.0, 6.0]), np.array([0.0, 0, 1, 1]), np.array(list("aabb")))
    at = list(model.columns).index(INPUT_NAMES.index("open_days"))
    found = model.prepared(matrix(open_days=[3.0, 3.0 + math.sqrt(5), NAN, 28.0]))[:, at]
    assert found.tolist() == pytest.approx([0, 1, 0, 8])
    raised = model.predict(matrix(open_days=[0.0, 6.0]), np.array(["a", "b"]))
    assert raised[0] < 0.5 < raised[1]


def test_log_odds_are_bounded_and_invert() -> None:
    assert logit(np.array([0.5, 0.8])).tolist() == pytest.approx([0, math.log(4)])
    assert logit(np.array([0.0, 1.0])).tolist() == pytest.approx([-math.log(9999), math.log(9999)])
    assert expit(np.array([0.0, math.log(4)])).tolist() == pytest.approx([0.5, 0.8])
    assert Sigmoid(2.0, -1.0).apply(np.array([0.8])).tolist() == pytest.approx(
        [1 / (1 + math.exp(1 - 2 * math.log(4)))]
    )


def test_a_calibration_moves_from_the_identity_as_far_as_outcomes_bear_it() -> None:
    assert Sigmoid().fit(np.linspace(0.1, 0.9, 30), np.zeros(30)) == Sigmoid()

    def of_a_tenth(rows: int) -> Sigmoid:
        """Half of the rows are said to be .2, half .8; a tenth of what is said comes."""
        p = np.repeat([0.2, 0.8], rows // 2)
        return Sigmoid().fit(p, (np.arange(rows) % 50 < 50 * p / 10).astype(float))

    few, many = of_a_tenth(100), of_a_tenth(100_000)
    # .02 and .08 in log-odds: logit(.08) − logit(.02) over logit(.8) − logit(.2), and level with that slope.
    slope = (math.log(0.08 / 0.92) - math.log(0.02 / 0.98)) / (2 * math.log(4))
    assert many.slope == pytest.approx(slope, abs=0.02)
    assert many.apply(np.array([0.2, 0.8])).tolist() == pytest.approx([0.02, 0.08], abs=0.003)
    assert many.slope < few.slope < 1
    assert many.shift < few.shift < 0
    # Weights are as good as rows.
    p, y = np.array([0.2, 0.8, 0.8]), np.array([0.0, 1.0, 0.0])
    weighted, repeated = (
        Sigmoid().fit(p, y, np.array([2.0, 3, 1])),
        Sigmoid().fit(p[[0, 0, 1, 1, 1, 2]], y[[0, 0, 1, 1, 1, 2]]),
    )
    assert (weighted.slope, weighted.shift) == pytest.approx((repeated.slope, repeated.shift))
    # What ranks backwards is no reason to turn it round.
    backwards = Sigmoid().fit(np.linspace(0.1, 0.9, 3000), (np.arange(3000) < 1500).astype(float))
    assert backwards.slope == 0.05


def test_an_interval_is_the_spread_of_the_members_on_the_log_odds() -> None:
    told = TargetModel("random_forest", Told(), Sigmoid(), [(Told(), Sigmoid(1.0, s)) for s in (-2.0, 0.0, 2.0)])
    x = matrix(**{SAY: [0.0]})
    low, high = told.interval(x, np.array(["a"]), np.array([0.5]))
    assert (low[0], high[0]) == (pytest.approx(1 / (1 + math.exp(3.29))), pytest.approx(1 / (1 + math.exp(-3.29))))
    one = replace(told, members=told.members[:1])
    assert np.isnan(one.interval(x, np.array(["a"]), np.array([0.5]))).all()
    assert make_estimator(FEATURE_RISK, "random_forest", RiskSettings(), is_small=True).learner.n_estimators == 30  # type: ignore[attr-defined]
    assert make_estimator(FEATURE_RISK, "random_forest", RiskSettings()).learner.n_estimators == 150  # type: ignore[attr-defined]


# --- Reasons ----------------------------------------------------------------------------------------------------------


def linear(**weights: float) -> TargetModel:
    """A logistic model with these weights on inputs in their own units, and log-odds 0 at 0."""
    columns = np.arange(len(INPUT_NAMES))
    model = Logistic(columns, RiskSettings())
    model.mean, model.sd = np.zeros(len(columns)), np.ones(len(columns))
    model.imputer.median = np.zeros(len(columns))
    model.model = LogOdds(np.array([weights.get(name, 0.0) for name in INPUT_NAMES]))
    return TargetModel("logistic_regression", model, Sigmoid())


def told_reasons(model: TargetModel, **row: float) -> list[tuple[str, float | None, float]]:
    (text,) = reasons(model, input_matrix(FEATURE_RISK, inputs([row])), np.array(["pay"]))
    return [(reason["input"], reason["value"], reason["size"]) for reason in json.loads(text)]


def points(total: float, without: float) -> float:
    return round(100 * (1 / (1 + math.exp(-total)) - 1 / (1 + math.exp(-total + without))), 1)


def test_reasons_are_what_a_score_would_lose_without_a_group() -> None:
    model = linear(
        latency_z=0.5, latency_change=0.25, days_since_release=-0.5, releases_14d=0.1, log_events=0.02, open_days=0.01,
        tier=0.001,
    )  # fmt: skip
    found = told_reasons(
        model,
        latency_z=2.00044,
        latency_change=1.0,
        days_since_release=4.0,
        releases_14d=5.0,
        log_events=1.0,
        open_days=1.0,
    )
    total = 1.0 + 0.25 - 2.0 + 0.5 + 0.02 + 0.01
    assert found == [
        ("days_since_release", 4.0, points(total, -1.5)),
        ("latency_z", 2.0004, points(total, 1.25)),
        ("log_events", 1.0, points(total, 0.02)),
    ]
    assert told_reasons(model, tier=1.0) == []
    assert told_reasons(model, tier=3.0) == [("tier", 3.0, 0.1)]
    assert reasons(model, np.zeros((0, len(INPUT_NAMES))), np.zeros(0)) == []


def test_the_worst_of_the_signals_is_told_of_the_signal_that_it_is_of() -> None:
    model = linear(worst_ewma_z=0.5, worst_run_days=0.1)
    found = told_reasons(model, worst_ewma_z=4.0, crash_ewma_z=4.0, latency_ewma_z=1.0, worst_run_days=2.0)
    assert found == [("crash_ewma_z", 4.0, points(2.2, 2.0)), ("worst_run_days", 2.0, points(2.2, 0.2))]
    # With the signal's own input it is one reason, told by what weighs more.
    both = linear(worst_spike_share=0.5, error_change=0.9)
    assert told_reasons(both, worst_spike_share=1.0, error_z=3.0, error_change=1.0) == [
        ("error_change", 1.0, points(1.4, 1.4))
    ]
    assert len(SIGNALS) == 5


def test_a_baseline_is_explained_by_the_one_input_it_has() -> None:
    for name, column in (("persistence", "is_degraded"), ("feature_base_rate", "own_degraded_share")):
        model = TargetModel(name, Told(), Sigmoid())
        assert contributions(model, matrix(**{column: [1.0]}), np.array(["a"])) is None
        assert told_reasons(model, **saying(0.4), **{column: 1.0}) == [(column, 1.0, 15.0)]
    chart = TargetModel("ewma_chart", Told(), Sigmoid())
    # The worst of the signals is told of the signal that it is of.
    row = saying(0.4) | {"worst_ewma_z": 2.0, "crash_ewma_z": 2.0}
    assert told_reasons(chart, **row) == [("crash_ewma_z", 2.0, 15.0)]
