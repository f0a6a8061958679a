"""Models as plain state, and back: dicts, lists, numbers, texts, numpy arrays and scikit-learn's own estimators.

What is stored names no class and no module of ours, so that code may move without any installed root losing its model:
an estimator is known by its kind, the short name under which `risk_models.make_estimator` makes it. Bytes are written
in `warehouse.model_files`. Whoever changes what a state holds raises FORMAT and keeps reading the one before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from quality_assets.domain.models.artifact import TARGETS, RiskModel
from quality_assets.domain.models.estimators import (
    Boosting,
    EwmaChart,
    FeatureBaseRate,
    Forest,
    Imputer,
    Logistic,
    Persistence,
    Sigmoid,
    TargetModel,
)

FORMAT = 2
"""Of the state. Format 1 had the classes themselves in the file."""

Decode = Callable[[object, str], Any]


class ModelStateError(ValueError):
    """A state is not that of a model: something is missing, too much, or of another type."""


class _Kind(NamedTuple):
    """The class of an estimator, and how each of its attributes is read from a state."""

    made: type
    attributes: dict[str, Decode]


def to_state(model: RiskModel) -> dict[str, Any]:
    """The plain state of a model; `from_state` makes the same model of it, with the same scores to the last bit."""
    return {
        "format": FORMAT,
        "trained_through": model.trained_through.isoformat(),
        "horizon_days": int(model.horizon_days),
        "input_names": list(model.input_names),
        "base_rate": float(model.base_rate),
        "notes": list(model.notes),
        "targets": {name: _target_state(getattr(model, name)) for name in TARGETS},
    }


def from_state(state: object) -> RiskModel:
    """The model of a state as `to_state` makes it.

    Raises ModelStateError, which names the part, where the state is of another format or is not a model's.
    """
    found = state.get("format") if isinstance(state, dict) else None
    if found != FORMAT:
        raise ModelStateError(f"the state has format {found!r}, and {FORMAT} is what is read here")
    names = ("format", "trained_through", "horizon_days", "input_names", "base_rate", "notes", "targets")
    parts = _parts(state, names, "the model")
    targets = _parts(parts["targets"], TARGETS, "targets")
    try:
        trained_through = date.fromisoformat(_text(parts["trained_through"], "trained_through"))
    except ValueError as error:
        raise ModelStateError(f"trained_through: {error}") from error
    model = RiskModel(
        trained_through=trained_through,
        horizon_days=_whole(parts["horizon_days"], "horizon_days"),
        input_names=_texts(parts["input_names"], "input_names"),
        any=_target(targets["any"], "any"),
        onset=_target(targets["onset"], "onset"),
        base_rate=_number(parts["base_rate"], "base_rate", may_be_unknown=True),
        notes=_texts(parts["notes"], "notes"),
    )
    _check_columns(model)
    return model


def _target_state(target: TargetModel | None) -> dict[str, Any] | None:
    if target is None:
        return None
    return {
        "name": target.name,
        "estimator": _estimator_state(target.estimator),
        "calibrator": _calibrator_state(target.calibrator),
        "members": [
            {"estimator": _estimator_state(estimator), "calibrator": _calibrator_state(calibrator)}
            for estimator, calibrator in target.members
        ],
    }


def _estimator_state(estimator: object) -> dict[str, Any]:
    kind = next((name for name, known in _KINDS.items() if known.made is type(estimator)), None)
    if kind is None:
        raise ModelStateError(f"{type(estimator).__name__} is no kind of estimator that can be stored")
    values = {name: getattr(estimator, name) for name in _KINDS[kind].attributes}
    return {"kind": kind} | {
        name: {"median": value.median} if isinstance(value, Imputer) else value for name, value in values.items()
    }


def _calibrator_state(calibrator: Sigmoid) -> dict[str, float]:
    return {"slope": float(calibrator.slope), "shift": float(calibrator.shift)}


def _target(state: object, where: str) -> TargetModel | None:
    if state is None:
        return None
    parts = _parts(state, ("name", "estimator", "calibrator", "members"), where)
    name = _text(parts["name"], f"{where}.name")
    if name not in _KINDS:
        raise ModelStateError(f"{where}.name: there is no kind of model {name!r}")
    if not isinstance(parts["members"], list):
        raise ModelStateError(f"{where}.members: a list was expected, not {type(parts['members']).__name__}")
    members = [
        _estimator_and_calibrator(member, f"{where}.members[{number}]")
        for number, member in enumerate(parts["members"])
    ]
    fitted = {key: parts[key] for key in ("estimator", "calibrator")}
    return TargetModel(name, *_estimator_and_calibrator(fitted, where), members)


def _estimator_and_calibrator(state: object, where: str) -> tuple[Any, Sigmoid]:
    parts = _parts(state, ("estimator", "calibrator"), where)
    numbers = _parts(parts["calibrator"], ("slope", "shift"), f"{where}.calibrator")
    calibrator = Sigmoid(*(_number(value, f"{where}.calibrator.{name}") for name, value in numbers.items()))
    return _estimator(parts["estimator"], f"{where}.estimator"), calibrator


def _estimator(state: object, where: str) -> object:
    name = state.get("kind") if isinstance(state, dict) else None
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ModelStateError(f"{where}: there is no kind of estimator {name!r}")
    parts = _parts(state, ("kind", *kind.attributes), where)
    # Not through __init__, which makes an unfitted one of settings that nobody remembers.
    estimator: object = object.__new__(kind.made)
    vars(estimator).update({key: decode(parts[key], f"{where}.{key}") for key, decode in kind.attributes.items()})
    return estimator


def _check_columns(model: RiskModel) -> None:
    for target in (model.any, model.onset):
        for estimator, _ in [(target.estimator, None), *target.members] if target is not None else []:
            columns = getattr(estimator, "columns", np.zeros(0, dtype=np.int64))
            if len(columns) and not 0 <= columns.min() <= columns.max() < len(model.input_names):
                raise ModelStateError(f"an estimator learns from columns that {len(model.input_names)} inputs lack")


def _parts(state: object, names: tuple[str, ...], where: str) -> dict[str, Any]:
    """The parts of a dict, in the order of `names`, which must be all that it has."""
    if not isinstance(state, dict):
        raise ModelStateError(f"{where}: a dict was expected, not {type(state).__name__}")
    differing = sorted(set(names) ^ set(state), key=str)
    if differing:
        raise ModelStateError(f"{where}: missing or unknown parts: {', '.join(map(str, differing))}")
    return {name: state[name] for name in names}


def _text(value: object, where: str) -> str:
    if not isinstance(value, str):
        raise ModelStateError(f"{where}: a text was expected, not {type(value).__name__}")
    return value


def _texts(value: object, where: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ModelStateError(f"{where}: a list was expected, not {type(value).__name__}")
    return tuple(_text(item, where) for item in value)


def _whole(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelStateError(f"{where}: a whole number was expected, not {type(value).__name__}")
    return value


def _number(value: object, where: str, *, may_be_unknown: bool = False) -> float:
    if not isinstance(value, float) or not (math.isfinite(value) or (may_be_unknown and math.isnan(value))):
        raise ModelStateError(f"{where}: a number was expected, not {value!r}")
    return value


def _array(dtype: type[Any]) -> Decode:
    def decode(value: object, where: str) -> np.ndarray:
        if not isinstance(value, np.ndarray) or value.ndim != 1 or not np.issubdtype(value.dtype, dtype):
            what = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ModelStateError(f"{where}: a row of {dtype.__name__} was expected, not {what}")
        return value

    return decode


def _imputer(value: object, where: str) -> Imputer:
    parts = _parts(value, ("median",), where)
    return Imputer(_array(np.floating)(parts["median"], f"{where}.median"))


def _fitted(made: type[BaseEstimator]) -> Decode:
    def decode(value: object, where: str) -> BaseEstimator:
        if type(value) is not made or not hasattr(value, "classes_"):
            raise ModelStateError(f"{where}: a fitted {made.__name__} was expected, not {type(value).__name__}")
        return value

    return decode


def _shares(value: object, where: str) -> dict[str, float]:
    if not isinstance(value, dict):
        raise ModelStateError(f"{where}: a dict was expected, not {type(value).__name__}")
    return {_text(name, where): _number(share, f"{where}.{name}") for name, share in value.items()}


_KINDS: Mapping[str, _Kind] = {
    "random_forest": _Kind(
        Forest,
        {
            "columns": _array(np.integer),
            "imputer": _imputer,
            "tree_rows": _whole,
            "model": _fitted(RandomForestClassifier),
        },
    ),
    "hist_gradient_boosting": _Kind(
        Boosting,
        {
            "columns": _array(np.integer),
            "is_known": _array(np.bool_),
            "model": _fitted(HistGradientBoostingClassifier),
        },
    ),
    "logistic_regression": _Kind(
        Logistic,
        {
            "columns": _array(np.integer),
            "imputer": _imputer,
            "mean": _array(np.floating),
            "sd": _array(np.floating),
            "model": _fitted(LogisticRegression),
        },
    ),
    "persistence": _Kind(Persistence, {"everyone": _number, "share": _array(np.floating)}),
    "feature_base_rate": _Kind(FeatureBaseRate, {"everyone": _number, "share": _shares}),
    "ewma_chart": _Kind(EwmaChart, {"everyone": _number, "model": _fitted(LogisticRegression)}),
}
KINDS = tuple(_KINDS)
"""The kinds of estimators that a state can hold: every candidate and every baseline."""
