"""State of format 3, which held scikit-learn's own trees, as the state of today.

This module may go, with its tests and its call in `model_files`, with a release that may have every root train anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quality_assets.domain.models.tree_sums import of_boosting, of_forest

FORMAT = 3

_TREES = {"random_forest": of_forest, "hist_gradient_boosting": of_boosting}


def with_plain_trees(state: Any) -> Any:
    """The same state in format 4; what is no state of format 3 is given back as it is.

    KeyError, TypeError, AttributeError or ValueError where a part is missing, or trees were never grown.
    """
    if not isinstance(state, dict) or state.get("format") != FORMAT or "targets" not in state:
        return state
    targets = {name: target and _target(target) for name, target in state["targets"].items()}
    return {**state, "format": FORMAT + 1, "targets": targets}


def _target(target: Mapping[str, Any]) -> dict[str, Any]:
    return {**_fitted(target), "members": [_fitted(member) for member in target["members"]]}


def _fitted(fitted: Mapping[str, Any]) -> dict[str, Any]:
    estimator = dict(fitted["estimator"])
    if estimator["kind"] in _TREES:
        estimator["trees"] = vars(_TREES[estimator["kind"]](estimator.pop("model")))
    return {**fitted, "estimator": estimator}
