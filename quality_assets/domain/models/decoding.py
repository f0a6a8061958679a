"""Parts of a state, read as what they must be; ModelStateError names the part that is not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from quality_assets.domain.models.estimators import Decode, Imputer, LogOdds
from quality_assets.domain.models.tree_sums import TreesError, TreeSums, checked


class ModelStateError(ValueError):
    """A state is not that of a model: something is missing, too much, or of another type."""


def parts(state: object, names: tuple[str, ...], where: str) -> dict[str, Any]:
    """The parts of a dict, in the order of `names`, which must be all that it has."""
    if not isinstance(state, dict):
        raise ModelStateError(f"{where}: a dict was expected, not {type(state).__name__}")
    differing = sorted(set(names) ^ set(state), key=str)
    if differing:
        raise ModelStateError(f"{where}: missing or unknown parts: {', '.join(map(str, differing))}")
    return {name: state[name] for name in names}


def text(value: object, where: str) -> str:
    """A text."""
    if not isinstance(value, str):
        raise ModelStateError(f"{where}: a text was expected, not {type(value).__name__}")
    return value


def texts(value: object, where: str) -> tuple[str, ...]:
    """A list of texts."""
    if not isinstance(value, list):
        raise ModelStateError(f"{where}: a list was expected, not {type(value).__name__}")
    return tuple(text(item, where) for item in value)


def whole(value: object, where: str) -> int:
    """A whole number."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise ModelStateError(f"{where}: a whole number was expected, not {type(value).__name__}")
    return value


def number(value: object, where: str, *, may_be_unknown: bool = False) -> float:
    """A finite number, or NaN where it may be unknown."""
    if not isinstance(value, float) or not (math.isfinite(value) or (may_be_unknown and math.isnan(value))):
        raise ModelStateError(f"{where}: a number was expected, not {value!r}")
    return value


def array(dtype: type[Any]) -> Decode:
    """A one-dimensional array of a kind of number."""

    def decode(value: object, where: str) -> np.ndarray:
        if not isinstance(value, np.ndarray) or value.ndim != 1 or not np.issubdtype(value.dtype, dtype):
            what = f"{value.dtype}{value.shape}" if isinstance(value, np.ndarray) else type(value).__name__
            raise ModelStateError(f"{where}: a row of {dtype.__name__} was expected, not {what}")
        return value

    return decode


def imputer(value: object, where: str) -> Imputer:
    """The medians that an imputer fills with."""
    found = parts(value, ("median",), where)
    return Imputer(array(np.floating)(found["median"], f"{where}.median"))


def log_odds(value: object, where: str) -> LogOdds:
    """The coefficients and the intercept of log-odds."""
    found = parts(value, ("coefficients", "intercept"), where)
    coefficients = array(np.floating)(found["coefficients"], f"{where}.coefficients")
    return LogOdds(coefficients, number(found["intercept"], f"{where}.intercept"))


def trees(value: object, where: str) -> TreeSums:
    """Trees whose every walk ends at a number; of which inputs they may ask is for who knows them."""
    kinds = {
        "roots": np.integer, "left": np.integer, "right": np.integer, "column": np.integer, "threshold": np.floating,
        "missing_left": np.bool_, "value": np.floating, "weight": np.floating,
    }  # fmt: skip
    found = parts(value, ("constant", *kinds), where)
    arrays = {name: array(kind)(found[name], f"{where}.{name}") for name, kind in kinds.items()}
    try:
        return checked(TreeSums(constant=number(found["constant"], f"{where}.constant"), **arrays))
    except TreesError as error:
        raise ModelStateError(f"{where}: {error}") from error


def shares(value: object, where: str) -> dict[str, float]:
    """A number for each name."""
    if not isinstance(value, dict):
        raise ModelStateError(f"{where}: a dict was expected, not {type(value).__name__}")
    return {text(name, where): number(share, f"{where}.{name}") for name, share in value.items()}
