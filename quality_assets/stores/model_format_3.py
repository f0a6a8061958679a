"""State of format 3, which held scikit-learn's own trees, as the state of today.

This module may go, with its tests and its call in `model_files`, with a release that may have every root train anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from quality_assets.domain.models.tree_sums import of_boosting, of_forest

FORMAT = 3

_TREES = {"random_forest": of_forest, "hist_gradient_boosting": of_boosting}


def with_plain_trees(state: Any) -> Any:
    """The same state in format 4; what is no state of format 3 is given back as it is.

    KeyError, TypeError, AttributeError or ValueError where a part is missing, or trees were never grown.
    """
    return with_estimators(state, FORMAT, _plain)


def _plain(estimator: Mapping[str, Any]) -> Mapping[str, Any]:
    if estimator["kind"] not in _TREES:
        return estimator
    rest = {name: value for name, value in estimator.items() if name != "model"}
    return {**rest, "trees": vars(_TREES[estimator["kind"]](estimator["model"]))}


def with_estimators(state: Any, of_format: int, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Any:
    """A state of a format as one of the next, each of its estimators changed; any other state as it is."""
    if not isinstance(state, dict) or state.get("format") != of_format or "targets" not in state:
        return state

    def changed(fitted: Mapping[str, Any]) -> dict[str, Any]:
        return {**fitted, "estimator": change(fitted["estimator"])}

    targets = {
        name: target and {**changed(target), "members": [changed(member) for member in target["members"]]}
        for name, target in state["targets"].items()
    }
    return {**state, "format": of_format + 1, "targets": targets}
