"""Training, evidence, promotion and state take all that they know of a use case from it: one of parcels shows it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from quality_assets.domain.models.artifact import InputsMismatchError, TrainingResult
from quality_assets.domain.models.decoding import ModelStateError, number
from quality_assets.domain.models.estimators import EstimatorKind
from quality_assets.domain.models.evidence import Evidence
from quality_assets.domain.models.kinds import FOREST, LOGISTIC
from quality_assets.domain.models.leaks import SuspectedLeakError
from quality_assets.domain.models.promotion import promotion_decision
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.rows import TargetRows, target_rows
from quality_assets.domain.models.selection import best_baseline, best_candidate
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.splits import by_time
from quality_assets.domain.models.state import from_state, to_state
from quality_assets.domain.models.training import fit_baselines, permuted_label_lift, refit_model, train
from quality_assets.domain.models.use_case import (
    Choice,
    PrimaryMetric,
    PromotionRule,
    Recipe,
    Target,
    UseCase,
    inputs_fingerprint,
)
from quality_assets.domain.stats.grading import calibration_bins, prepare

MODELS = Path(__file__).parents[2] / "quality_assets" / "domain" / "models"


@dataclass(frozen=True)
class _Input:
    name: str
    description: str = "what it says"
    low: float = -10
    high: float = 10
    is_learnt: bool = True


class _Average:
    """Says the training share of everyone."""

    def __init__(self) -> None:
        self.share = 0.0

    def fit(self, x: np.ndarray, y: np.ndarray, entity: np.ndarray) -> None:
        self.share = float(y.mean())

    def predict(self, x: np.ndarray, entity: np.ndarray) -> np.ndarray:
        return np.full(len(x), self.share)


def _choose(rows: TargetRows, proof: Evidence, settings: TrainingSettings) -> Choice:
    if not proof.can_compare:
        return Choice("average", "late: nothing to compare on", is_stand_in=True)
    scores = {name: proof.score(name, settings) for name in proof.p}
    candidate, baseline = best_candidate(proof, scores, settings), best_baseline(proof, scores)
    return Choice(candidate if scores[candidate] > scores[baseline] else baseline)


RECIPE = Recipe(
    {"ridge": LOGISTIC, "average": EstimatorKind(_Average, lambda *_: _Average(), {"share": number})},
    by_time,
    _choose,
)
PARCELS = UseCase(
    name="parcels",
    registry_name="parcels",
    kind="classification",
    entity="depot",
    time_column="sent_on",
    asked_column=None,
    inputs=(_Input("distance"), _Input("weight", is_learnt=False), _Input("queue")),
    targets=(Target("late", "was_late"),),
    candidates=("ridge",),
    baselines=("average",),
    primary_metric=PrimaryMetric("roc_auc", "area under the curve"),
    promotion=PromotionRule(lambda p, y: float(np.abs(p - y).mean()), "absolute error"),
    settings=TrainingSettings(
        horizon_days=3, folds=4, bootstrap_rounds=20, interval_members=2, importance_repeats=2, min_judged_days=5
    ),
    recipe=lambda: RECIPE,
)


def _parcels(days: int = 60, seed: int = 0) -> pd.DataFrame:
    """Eight depots a day; the longer the queue, the later; weight says nothing."""
    rng = np.random.default_rng(seed)
    n = 8 * days
    queue = rng.normal(size=n)
    return pd.DataFrame(
        {
            "sent_on": np.repeat(pd.date_range("2026-01-01", periods=days), 8),
            "depot": [f"d{i % 8}" for i in range(n)],
            "distance": rng.normal(size=n),
            "weight": rng.normal(size=n),
            "queue": queue,
            "was_late": pd.array(rng.random(n) < 1 / (1 + np.exp(-2 * queue)), dtype="boolean"),
        }
    )


@pytest.fixture(scope="module")
def trained() -> TrainingResult:
    return train(PARCELS, _parcels())


def test_evidence_has_the_names_and_the_metric_of_the_use_case(trained: TrainingResult) -> None:
    model, metrics = trained.model, trained.metrics
    assert (model.trained_through, model.horizon_days) == (date(2026, 3, 1), 3)
    assert model.input_names == ("distance", "weight", "queue")
    assert {name: target.name for name, target in model.targets.items()} == {"late": "ridge"}
    assert set(metrics["target"]) == {"late"}
    assert metrics.groupby("model")["role"].first().to_dict() == {"average": "baseline", "ridge": "champion"}
    value = metrics[metrics["metric"] == "roc_auc"].set_index("model")["value"]
    assert value["ridge"] > 0.8
    assert trained.held_out.columns.tolist() == ["sent_on", "depot", "target", "outcome", "ridge", "average"]
    worth = trained.importance.set_index("input")["importance"]
    assert worth.idxmax() == "queue"
    # What candidates may not learn from is worth nothing.
    assert worth["weight"] == 0
    assert model.targets["late"].estimator.columns.tolist() == [0, 2]


def test_inputs_are_those_of_the_use_case() -> None:
    with pytest.raises(InputsMismatchError, match="absent \\['queue'\\]"):
        train(PARCELS, _parcels().drop(columns="queue"))
    leaked = _parcels().assign(distance=lambda rows: rows["was_late"].astype(float))
    with pytest.raises(SuspectedLeakError, match="distance"):
        train(PARCELS, leaked)
    assert PARCELS.inputs_fingerprint == inputs_fingerprint(["distance", "weight", "queue"])
    assert PARCELS.inputs_fingerprint == sha256(b"distance|weight|queue").hexdigest()


def test_the_fingerprint_of_feature_risk_is_that_of_installed_models() -> None:
    """Another one makes every champion that is in use unusable: to be changed with the inputs only."""
    assert FEATURE_RISK.inputs_fingerprint == "1158f71147a32fee8a97c9654fe775217adfba52a74e592bf8bde5ca61ff384b"


def test_a_promotion_is_told_in_the_words_of_the_use_case(trained: TrainingResult) -> None:
    before = replace(trained.model, trained_through=date(2026, 2, 5))
    target = before.targets["late"]
    wrong = replace(target, calibrator=replace(target.calibrator, slope=-1.0, shift=0.0))
    won = promotion_decision(PARCELS, replace(before, targets={"late": wrong}), trained, _parcels())
    # Of the days after 5 February those from the fourth on: 9 February to 1 March.
    assert won.reason.startswith("challenger wins on 21 later days: absolute error -0.")
    assert ", area under the curve +0." in won.reason
    same = promotion_decision(PARCELS, before, trained, _parcels())
    assert not same.is_promoted
    assert same.reason.startswith("challenger does not win on 21 later days: absolute error +0.")
    assert promotion_decision(PARCELS, replace(before, targets={}), trained, _parcels()).is_promoted


def test_a_state_is_of_its_use_case(trained: TrainingResult) -> None:
    state = to_state(PARCELS, trained.model)
    assert list(state["targets"]) == ["late"]
    x, depot = np.array([[0.5, 1.0, -0.5]]), np.array(["d1"])
    again = from_state(PARCELS, state).targets["late"]
    assert again.probability(x, depot).tobytes() == trained.model.targets["late"].probability(x, depot).tobytes()
    with pytest.raises(ModelStateError, match="targets: missing or unknown parts: any, late, onset"):
        from_state(FEATURE_RISK, state)
    foreign: dict[str, Any] = state | {"targets": {"late": state["targets"]["late"] | {"name": "random_forest"}}}
    with pytest.raises(ModelStateError, match=r"late\.name: there is no kind of model 'random_forest'"):
        from_state(PARCELS, foreign)


def test_what_cannot_be_compared_is_stood_in_for() -> None:
    few = _parcels(days=10)
    result = train(PARCELS, few)
    assert result.model.notes == ("late: nothing to compare on",)
    target = result.model.targets["late"]
    assert (target.name, target.members) == ("average", [])
    assert target.estimator.share == pytest.approx(few["was_late"].mean())
    baselines = fit_baselines(PARCELS, few)
    assert baselines["average"].estimator.share == pytest.approx(few["was_late"].mean())
    later = refit_model(PARCELS, result.model, _parcels(days=30))
    assert later.trained_through == date(2026, 1, 30)
    assert later.targets["late"].estimator.share == pytest.approx(_parcels(days=30)["was_late"].mean())
    assert later.targets["late"].calibrator == target.calibrator


def test_permuted_labels_are_worth_chance() -> None:
    # ROC-AUC .5 of a share of about .5 that is late.
    lift = permuted_label_lift(PARCELS, _parcels(days=120))
    assert lift == pytest.approx(1.0, abs=0.25)


def test_rows_without_time_are_all_of_one_day() -> None:
    timeless = replace(PARCELS, time_column=None)
    rows = target_rows(timeless, _parcels(days=2), "late")
    assert rows.keys.columns.tolist() == ["depot"]
    assert rows.day.tolist() == [0] * 16
    assert (timeless.keys, PARCELS.keys) == (["depot"], ["sent_on", "depot"])
    graded = prepare(rows.keys, rows.y, np.linspace(0, 1, 16), 3, 6, timeless.grading_keys)
    assert graded.blocks == 8
    # The three highest of all rows, as there are no days.
    assert graded.is_selected.tolist() == [1.0] * 3 + [0.0] * 13
    bins = calibration_bins(rows.y, np.linspace(0, 1, 16), rows.keys, 6, 5, 0, timeless.grading_keys)
    assert bins["rows"].sum() == 16
    assert not any(math.isnan(v) for v in bins["low"])


def test_rows_that_may_not_be_asked_about_are_not_learnt_from() -> None:
    asked = replace(PARCELS, asked_column="is_open")
    frame = _parcels(days=2).assign(is_open=[True, False] * 8)
    assert target_rows(asked, frame, "late").entity.tolist() == ["d0", "d2", "d4", "d6"] * 2
    with pytest.raises(KeyError, match="early"):
        target_rows(asked, frame, "early")


def test_the_recipe_of_feature_risk_has_its_candidates_and_baselines() -> None:
    names = [*FEATURE_RISK.candidates, *FEATURE_RISK.baselines]
    assert sorted(FEATURE_RISK.recipe().estimators) == sorted(names)
    assert len(set(names)) == len(names)
    assert (FEATURE_RISK.candidates[0], FEATURE_RISK.main_target.label) == ("random_forest", "label_any")


# When to train anew is told from the table of drift, whatever the model.
SHARED = sorted({*MODELS.glob("*.py")} - {MODELS / "retraining.py"})


@pytest.mark.parametrize("path", SHARED, ids=lambda path: path.stem)
def test_what_all_use_cases_share_names_none(path: Path) -> None:
    # scikit-learn's trees have their own word for an input.
    text = path.read_text(encoding="utf-8").replace("tree.feature", "")
    found = re.findall(r"(?i:risk|pr.auc|random_forest|degrad|onset|event_date|\bfeature\b)|INPUT_NAMES", text)
    assert found == []


@pytest.mark.parametrize(("trees", "small"), [(400, 80), (55, 11), (30, 10)])
def test_forests_that_only_give_intervals_are_a_fifth_and_ten_trees_at_least(trees: int, small: int) -> None:
    settings = TrainingSettings(forest_trees=trees)
    made: list[Any] = [FOREST.make(np.arange(2), settings, is_small) for is_small in (False, True)]
    assert [forest.learner.n_estimators for forest in made] == [trees, small]
