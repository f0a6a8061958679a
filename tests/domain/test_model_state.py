"""A model becomes plain state and comes back the same; what is no state of a model is refused, part by part."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.decoding import ModelStateError
from quality_assets.domain.models.estimators import (
    Sigmoid,
    TargetModel,
    make_estimator,
)
from quality_assets.domain.models.risk.baselines import FeatureBaseRate, Persistence
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.state import from_state, to_state

KINDS = tuple(FEATURE_RISK.recipe().estimators)
RNG = np.random.default_rng(3)
X = np.where(RNG.random((200, len(INPUT_NAMES))) < 0.05, np.nan, RNG.normal(size=(200, len(INPUT_NAMES))))
Y = (RNG.random(200) < 0.3).astype(float)
FEATURE = np.array(["search", "checkout"] * 100)


def _model(target: TargetModel | None, base_rate: float = 0.25) -> TrainedModel:
    targets = {"any": target} if target is not None else {}
    return TrainedModel(date(2026, 5, 1), 7, INPUT_NAMES, targets, base_rate, ("any: a note",))


def _base_rates() -> FeatureBaseRate:
    estimator = FeatureBaseRate()
    estimator.everyone, estimator.share = 0.5, {"search": 0.25}
    return estimator


def _fitted(kind: str) -> TargetModel:
    settings = RiskSettings(forest_trees=3, boosting_rounds=3, threads=1)
    estimators = [make_estimator(FEATURE_RISK, kind, settings) for _ in range(2)]
    for estimator in estimators:
        estimator.fit(X, Y, FEATURE)
    return TargetModel(kind, estimators[0], Sigmoid(1.25, -0.5), [(estimators[1], Sigmoid(0.75, 0.125))])


def test_the_state_of_a_small_model_is_this() -> None:
    model = _model(TargetModel("feature_base_rate", _base_rates(), Sigmoid(1.5, -0.25), [(_base_rates(), Sigmoid())]))
    rates = {"kind": "feature_base_rate", "everyone": 0.5, "share": {"search": 0.25}}
    assert to_state(FEATURE_RISK, model) == {
        "format": 4,
        "trained_through": "2026-05-01",
        "horizon_days": 7,
        "input_names": list(INPUT_NAMES),
        "base_rate": 0.25,
        "notes": ["any: a note"],
        "targets": {
            "any": {
                "name": "feature_base_rate",
                "estimator": rates,
                "calibrator": {"slope": 1.5, "shift": -0.25},
                "members": [{"estimator": rates, "calibrator": {"slope": 1.0, "shift": 0.0}}],
            },
            "onset": None,
        },
    }


def test_a_model_comes_back_with_all_that_it_had() -> None:
    made = _model(TargetModel("feature_base_rate", _base_rates(), Sigmoid(1.5, -0.25)))
    model = from_state(FEATURE_RISK, to_state(FEATURE_RISK, made))
    assert (model.trained_through, model.horizon_days, model.input_names) == (date(2026, 5, 1), 7, INPUT_NAMES)
    assert (model.base_rate, model.notes, list(model.targets)) == (0.25, ("any: a note",), ["any"])
    target = model.targets["any"]
    assert (target.name, target.calibrator, target.members) == ("feature_base_rate", Sigmoid(1.5, -0.25), [])
    assert target.estimator.predict(X[:2], np.array(["search", "unseen"])).tolist() == [0.25, 0.5]


def test_every_candidate_and_baseline_has_a_kind() -> None:
    assert set(KINDS) == {*FEATURE_RISK.candidates, *FEATURE_RISK.baselines}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_predicts_the_same_to_the_last_bit(kind: str) -> None:
    target = _fitted(kind)
    again = from_state(FEATURE_RISK, to_state(FEATURE_RISK, _model(target))).targets["any"]
    p = target.probability(X, FEATURE)
    assert again.probability(X, FEATURE).tobytes() == p.tobytes()
    assert [e.predict(X, FEATURE).tobytes() for e, _ in again.members] == [
        e.predict(X, FEATURE).tobytes() for e, _ in target.members
    ]
    # scikit-learn's own stays with the process that has fitted it.
    assert vars(again.estimator).keys() == vars(target.estimator).keys() - {"learner"}


def test_a_base_rate_that_nobody_knows_stays_unknown() -> None:
    assert math.isnan(from_state(FEATURE_RISK, to_state(FEATURE_RISK, _model(None, np.nan))).base_rate)


def _set(*path: str | int, to: object) -> Callable[[dict[str, Any]], None]:
    def change(state: Any) -> None:
        for step in path[:-1]:
            state = state[step]
        state[path[-1]] = to

    return change


def _trees(state: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = state["targets"]["any"]["estimator"]["trees"]
    return found


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("persistence", _set("format", to=1), "format 1, and 4 is what is read"),
        ("persistence", lambda state: state.pop("format"), "format None"),
        ("persistence", lambda state: state.pop("notes"), "the model: missing or unknown parts: notes"),
        ("persistence", _set("extra", to=1), "missing or unknown parts: extra"),
        ("persistence", _set("trained_through", to="yesterday"), "trained_through"),
        ("persistence", _set("trained_through", to=20260501), "trained_through: a text was expected, not int"),
        ("persistence", _set("horizon_days", to="7"), "horizon_days: a whole number was expected, not str"),
        ("persistence", _set("horizon_days", to=True), "horizon_days: a whole number was expected, not bool"),
        ("persistence", _set("input_names", to="latency_z"), "input_names: a list was expected, not str"),
        ("persistence", _set("base_rate", to=None), "base_rate: a number was expected, not None"),
        ("persistence", _set("targets", to={"any": None}), "targets: missing or unknown parts: onset"),
        ("persistence", _set("targets", "any", to="persistence"), "any: a dict was expected, not str"),
        ("persistence", _set("targets", "any", "name", to="oracle"), "any.name: there is no kind of model 'oracle'"),
        ("persistence", _set("targets", "any", "members", to=None), "any.members: a list was expected"),
        ("persistence", _set("targets", "any", "members", 0, to=[]), r"any.members\[0\]: a dict was expected"),
        ("persistence", _set("targets", "any", "estimator", "kind", to="oracle"), "no kind of estimator 'oracle'"),
        ("persistence", _set("targets", "any", "estimator", "kind", to=[]), "no kind of estimator"),
        ("persistence", _set("targets", "any", "estimator", "kind", to="ewma_chart"), "missing or unknown parts"),
        ("persistence", _set("targets", "any", "estimator", "share", to=[0.1, 0.2]), "a row of floating was expected"),
        ("persistence", _set("targets", "any", "estimator", "share", to=np.ones((2, 2))), r"not float64\(2, 2\)"),
        ("persistence", _set("targets", "any", "calibrator", "slope", to=np.nan), "slope: a number was expected"),
        ("persistence", _set("targets", "any", "calibrator", "shift", to=1), "shift: a number was expected, not 1"),
        ("feature_base_rate", _set("targets", "any", "estimator", "share", to={1: 0.5}), "a text was expected"),
        ("feature_base_rate", _set("targets", "any", "estimator", "share", to=[]), "share: a dict was expected"),
        (
            "ewma_chart",
            _set("targets", "any", "estimator", "model", to=LogisticRegression()),
            "a dict was expected, not",
        ),
        ("ewma_chart", _set("targets", "any", "estimator", "model", "intercept", to=None), "intercept: a number was"),
        ("ewma_chart", _set("targets", "any", "estimator", "model", "coefficients", to=1.0), "a row of floating"),
        (
            "random_forest",
            _set("targets", "any", "estimator", "trees", to=LogisticRegression()),
            "trees: a dict was expected, not LogisticRegression",
        ),
        ("random_forest", lambda state: _trees(state).pop("weight"), "trees: missing or unknown parts: weight"),
        ("hist_gradient_boosting", lambda state: _trees(state).update(left=[1]), r"trees\.left: a row of integer was"),
        ("hist_gradient_boosting", lambda state: _trees(state)["left"].fill(0), "trees: node 0 of its trees leads"),
        (
            "random_forest",
            lambda state: _trees(state)["column"].fill(999),
            "trees of an estimator ask for inputs that",
        ),
        (
            "random_forest",
            _set("targets", "any", "estimator", "imputer", to=np.ones(3)),
            "imputer: a dict was expected",
        ),
        (
            "random_forest",
            _set("targets", "any", "estimator", "columns", to=np.ones(3)),
            "a row of integer was expected",
        ),
        ("random_forest", _set("targets", "any", "estimator", "columns", to=np.array([0, 999])), "columns that"),
        ("random_forest", _set("targets", "any", "estimator", "columns", to=np.array([-1])), "columns that"),
    ],
)
def test_what_is_no_state_of_a_model_is_refused_with_its_part(
    kind: str, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    state = to_state(FEATURE_RISK, _model(_fitted(kind)))
    change(state)
    with pytest.raises(ModelStateError, match=words):
        from_state(FEATURE_RISK, state)


@pytest.mark.parametrize("state", [None, [], "model", 2, {}])
def test_what_is_no_dict_of_a_format_is_refused(state: object) -> None:
    with pytest.raises(ModelStateError, match="format None"):
        from_state(FEATURE_RISK, state)


def test_an_estimator_of_no_known_kind_is_not_stored() -> None:
    class Oracle(Persistence):
        pass

    with pytest.raises(ModelStateError, match="Oracle is no kind of estimator that can be stored"):
        to_state(FEATURE_RISK, _model(TargetModel("persistence", Oracle(), Sigmoid())))
