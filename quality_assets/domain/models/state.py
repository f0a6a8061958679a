"""Models as plain state, and back: dicts, lists, numbers, texts and numpy arrays.

What is stored names no class and no module of ours, so that code may move without any installed root losing its model:
an estimator is known by its kind, the short name that its use case has for it. Bytes are written in
`stores.model_files`. Whoever changes what a state holds raises FORMAT and keeps reading the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np

from quality_assets.domain.models.artifact import TrainedModel
from quality_assets.domain.models.decoding import ModelStateError, number, parts, text, texts, whole
from quality_assets.domain.models.estimators import EstimatorKind, Imputer, LogOdds, Sigmoid, TargetModel
from quality_assets.domain.models.tree_sums import TreeSums
from quality_assets.domain.models.use_case import UseCase

FORMAT = 4
"""Of the state. Format 1 had the classes themselves in the file, format 2 scikit-learn's logistic regressions, format 3
its trees."""

Kinds = Mapping[str, EstimatorKind]


def to_state(use_case: UseCase, model: TrainedModel) -> dict[str, Any]:
    """The plain state of a model; `from_state` makes the same model of it, with the same scores to the last bit."""
    kinds = use_case.recipe().estimators
    return {
        "format": FORMAT,
        "trained_through": model.trained_through.isoformat(),
        "horizon_days": int(model.horizon_days),
        "input_names": list(model.input_names),
        "base_rate": float(model.base_rate),
        "notes": list(model.notes),
        "targets": {target.name: _target_state(kinds, model.targets.get(target.name)) for target in use_case.targets},
    }


def from_state(use_case: UseCase, state: object) -> TrainedModel:
    """The model of a state as `to_state` makes it.

    Raises ModelStateError, which names the part, where the state is of another format or is not that of a model of the
    use case.
    """
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ModelStateError(f"the state has format {found!r}, and {FORMAT} is what is read here")
    names = ("format", "trained_through", "horizon_days", "input_names", "base_rate", "notes", "targets")
    top = parts(state, names, "the model")
    states = parts(top["targets"], tuple(target.name for target in use_case.targets), "targets")
    kinds = use_case.recipe().estimators
    try:
        trained_through = date.fromisoformat(text(top["trained_through"], "trained_through"))
    except ValueError as error:
        raise ModelStateError(f"trained_through: {error}") from error
    model = TrainedModel(
        trained_through=trained_through,
        horizon_days=whole(top["horizon_days"], "horizon_days"),
        input_names=texts(top["input_names"], "input_names"),
        targets={name: _target(kinds, part, name) for name, part in states.items() if part is not None},
        base_rate=number(top["base_rate"], "base_rate", may_be_unknown=True),
        notes=texts(top["notes"], "notes"),
    )
    _check_columns(model)
    return model


def _target_state(kinds: Kinds, target: TargetModel | None) -> dict[str, Any] | None:
    if target is None:
        return None
    return {
        "name": target.name,
        **_fitted_state(kinds, target.estimator, target.calibrator),
        "members": [_fitted_state(kinds, estimator, calibrator) for estimator, calibrator in target.members],
    }


def _fitted_state(kinds: Kinds, estimator: object, calibrator: Sigmoid) -> dict[str, Any]:
    return {
        "estimator": _estimator_state(kinds, estimator),
        "calibrator": {"slope": float(calibrator.slope), "shift": float(calibrator.shift)},
    }


def _estimator_state(kinds: Kinds, estimator: object) -> dict[str, Any]:
    kind = next((name for name, known in kinds.items() if known.made is type(estimator)), None)
    if kind is None:
        raise ModelStateError(f"{type(estimator).__name__} is no kind of estimator that can be stored")
    values = {name: getattr(estimator, name) for name in kinds[kind].attributes}
    plain = (Imputer, LogOdds, TreeSums)
    return {"kind": kind} | {
        name: dict(vars(value)) if isinstance(value, plain) else value for name, value in values.items()
    }


def _target(kinds: Kinds, state: object, where: str) -> TargetModel:
    found = parts(state, ("name", "estimator", "calibrator", "members"), where)
    name = text(found["name"], f"{where}.name")
    if name not in kinds:
        raise ModelStateError(f"{where}.name: there is no kind of model {name!r}")
    if not isinstance(found["members"], list):
        raise ModelStateError(f"{where}.members: a list was expected, not {type(found['members']).__name__}")
    members = [
        _fitted(kinds, member, f"{where}.members[{position}]") for position, member in enumerate(found["members"])
    ]
    own = {key: found[key] for key in ("estimator", "calibrator")}
    return TargetModel(name, *_fitted(kinds, own, where), members)


def _fitted(kinds: Kinds, state: object, where: str) -> tuple[Any, Sigmoid]:
    found = parts(state, ("estimator", "calibrator"), where)
    numbers = parts(found["calibrator"], ("slope", "shift"), f"{where}.calibrator")
    calibrator = Sigmoid(*(number(value, f"{where}.calibrator.{name}") for name, value in numbers.items()))
    return _estimator(kinds, found["estimator"], f"{where}.estimator"), calibrator


def _estimator(kinds: Kinds, state: object, where: str) -> object:
    name = state.get("kind") if isinstance(state, dict) else None
    kind = kinds.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ModelStateError(f"{where}: there is no kind of estimator {name!r}")
    found = parts(state, ("kind", *kind.attributes), where)
    # Not through __init__, which makes an unfitted one of settings that nobody remembers.
    estimator: object = object.__new__(kind.made)
    vars(estimator).update({key: decode(found[key], f"{where}.{key}") for key, decode in kind.attributes.items()})
    return estimator


def _check_columns(model: TrainedModel) -> None:
    for target in model.targets.values():
        for estimator, _ in [(target.estimator, None), *target.members]:
            columns = getattr(estimator, "columns", np.zeros(0, dtype=np.int64))
            if len(columns) and not 0 <= columns.min() <= columns.max() < len(model.input_names):
                raise ModelStateError(f"an estimator learns from columns that {len(model.input_names)} inputs lack")
            trees = getattr(estimator, "trees", None)
            if trees is not None and trees.inputs_asked > len(columns):
                raise ModelStateError(f"the trees of an estimator ask for inputs that its {len(columns)} columns lack")
