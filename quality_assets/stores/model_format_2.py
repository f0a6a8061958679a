"""State of format 2, which held scikit-learn's logistic regressions, as the state of today.

This module may go, with its tests, its call in `model_files` and its class in `plain_skops`, with a release that may
have every root train anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quality_assets.stores.model_format_3 import with_estimators

FORMAT = 2

_LINEAR = ("logistic_regression", "ewma_chart")


def with_plain_regressions(state: Any) -> Any:
    """The same state in format 3; what is no state of format 2 is given back as it is.

    KeyError, TypeError or AttributeError where a part is missing, or a regression was never fitted.
    """
    return with_estimators(state, FORMAT, _plain)


def _plain(estimator: Mapping[str, Any]) -> Mapping[str, Any]:
    if estimator["kind"] not in _LINEAR:
        return estimator
    # Attributes where the file was read without skops, an object of theirs where it was not.
    found = estimator["model"] if isinstance(estimator["model"], dict) else vars(estimator["model"])
    model = {"coefficients": found["coef_"][0], "intercept": float(found["intercept_"][0])}
    c = {"c": found["C"]} if estimator["kind"] == "logistic_regression" else {}
    return {**estimator, **c, "model": model}
