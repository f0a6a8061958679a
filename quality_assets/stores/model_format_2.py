"""State of format 2, which held scikit-learn's logistic regressions, as the state of today.

This module may go, with its tests, its call in `model_files` and its class in `plain_skops`, with a release that may
have every root train anew.
"""

from __future__ import annotations

from typing import Any

FORMAT = 2

_LINEAR = ("logistic_regression", "ewma_chart")


def with_plain_regressions(state: Any) -> Any:
    """The same state in format 3; what is no state of format 2 is given back as it is.

    KeyError, TypeError or AttributeError where a part is missing, or a regression was never fitted.
    """
    if not isinstance(state, dict) or state.get("format") != FORMAT or "targets" not in state:
        return state
    targets = {name: target and _target(target) for name, target in state["targets"].items()}
    return {**state, "format": FORMAT + 1, "targets": targets}


def _target(target: dict[str, Any]) -> dict[str, Any]:
    return {**_fitted(target), "members": [_fitted(member) for member in target["members"]]}


def _fitted(fitted: dict[str, Any]) -> dict[str, Any]:
    estimator = fitted["estimator"]
    if estimator["kind"] not in _LINEAR:
        return fitted
    # Attributes where the file was read without skops, an object of theirs where it was not.
    found = estimator["model"] if isinstance(estimator["model"], dict) else vars(estimator["model"])
    model = {"coefficients": found["coef_"][0], "intercept": float(found["intercept_"][0])}
    c = {"c": found["C"]} if estimator["kind"] == "logistic_regression" else {}
    return {**fitted, "estimator": {**estimator, **c, "model": model}}
