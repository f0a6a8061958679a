"""Boosted trees as arrays that compiled code walks: the same numbers as scikit-learn's, in a hundredth of its time.

A tree that points outside of itself, or back, is refused: compiled code checks no bounds, and ends with every walk only
where children come after their parents.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats, Ints
from quality_assets.domain.models.learning.learners import Learner, Trees
from quality_assets.domain.models.learning.tabular_model import ModelFormatError, TabularModel

_LEAF = -1


@dataclass(frozen=True)
class FlatTrees:
    """Trees one after another. `left` is -1 at leaves; The value of each tree is added to `constant`, in order.

    `is_narrow`: inputs are rounded to 32 bits first, as the exact kind of scikit-learn does, and have no holes.
    """

    constant: float
    roots: Ints
    left: Ints
    right: Ints
    feature: Ints
    threshold: Floats
    missing_left: np.ndarray
    value: Floats
    is_narrow: bool
    original: Learner

    def fit(self, x: Floats, y: Floats, sizes: Ints) -> None:
        """Not again: what learns is scikit-learn's."""
        raise TypeError("flat trees have learnt")

    def predict(self, x: Floats) -> Floats:
        """Of n rows."""
        if self.is_narrow:
            x = np.where(np.isfinite(x), x, -1.0).astype(np.float32)
        wide = np.ascontiguousarray(x, dtype=np.float64)
        found: Floats = _walk()(
            wide, self.constant, self.roots, self.left, self.right, self.feature, self.threshold, self.missing_left,
            self.value,
        )  # fmt: skip
        return found

    def state(self) -> dict[str, Any]:
        """That of what was flattened."""
        return self.original.state()


def flat_trees(learner: Trees, inputs: int) -> FlatTrees:
    """The arrays of fitted trees over so many inputs. Raises ModelFormatError where they are no such trees."""
    try:
        parts, constant = _binned(learner.model) if learner.is_binned else _exact(learner.model)
        found = _joined(learner, parts, constant)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFormatError(f"its trees cannot be read ({type(error).__name__}: {error})") from error
    _check(found, inputs)
    return found


_Part = dict[str, Any]


def _binned(model: Any) -> tuple[list[_Part], float]:
    parts = []
    for (predictor,) in model._predictors:
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise ModelFormatError("its trees split by sets of categories, which none that is trained here does")
        is_leaf = nodes["is_leaf"].astype(bool)
        parts.append(
            {
                "left": np.where(is_leaf, _LEAF, nodes["left"].astype(np.int64)),
                "right": np.where(is_leaf, _LEAF, nodes["right"].astype(np.int64)),
                "feature": nodes["feature_idx"],
                "threshold": nodes["num_threshold"],
                "missing_left": nodes["missing_go_to_left"],
                "value": nodes["value"],
            }
        )
    return parts, float(np.ravel(model._baseline_prediction)[0])


def _exact(model: Any) -> tuple[list[_Part], float]:
    parts = []
    for (estimator,) in model.estimators_:
        tree = estimator.tree_
        parts.append(
            {
                "left": tree.children_left,
                "right": tree.children_right,
                "feature": tree.feature,
                "threshold": tree.threshold,
                "missing_left": np.zeros(tree.node_count, dtype=np.uint8),
                "value": model.learning_rate * tree.value[:, 0, 0],
            }
        )
    return parts, float(np.ravel(model.init_.constant_)[0])


def _joined(learner: Trees, parts: list[_Part], constant: float) -> FlatTrees:
    sizes = np.array([len(part["value"]) for part in parts], dtype=np.int64)
    roots = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes)])
    for part, root in zip(parts, roots, strict=False):
        _check_part(part)
        for name in ("left", "right"):
            part[name] = np.where(part[name] < 0, _LEAF, part[name] + root)
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return FlatTrees(
        constant=constant,
        roots=roots[:-1],
        left=joined["left"].astype(np.int64),
        right=joined["right"].astype(np.int64),
        feature=np.where(joined["left"] < 0, 0, joined["feature"]).astype(np.int64),
        threshold=joined["threshold"].astype(np.float64),
        missing_left=joined["missing_left"].astype(np.uint8),
        value=joined["value"].astype(np.float64),
        is_narrow=not learner.is_binned,
        original=learner,
    )


def _check_part(part: _Part) -> None:
    """Both children of a node lie after it, and within its tree."""
    size, here = len(part["value"]), np.arange(len(part["value"]))
    is_leaf = part["left"] < 0
    for name in ("left", "right"):
        child = np.asarray(part[name], dtype=np.int64)
        is_wrong = ((child <= here) | (child >= size)) & ~is_leaf
        if is_wrong.any() or not size:
            raise ModelFormatError(f"node {int(np.flatnonzero(is_wrong)[0]) if size else 0} of a tree leads nowhere")


def _check(trees: FlatTrees, inputs: int) -> None:
    if ((trees.feature < 0) | (trees.feature >= inputs)).any():
        raise ModelFormatError(f"a tree asks for an input that is none of {inputs}")
    if not (np.isfinite(trees.value).all() and np.isfinite(trees.constant)):
        raise ModelFormatError("a tree has a leaf that is no finite number")


@lru_cache(maxsize=1)
def _walk() -> Callable[..., Floats]:
    # Half a second to import and compile, which only who serves has to wait for.
    from numba import njit

    def walk(x, constant, roots, left, right, feature, threshold, missing_left, value):  # type: ignore[no-untyped-def]
        out = np.empty(x.shape[0])
        for row in range(x.shape[0]):
            total = constant
            for root in roots:
                node = root
                while left[node] >= 0:
                    given = x[row, feature[node]]
                    goes_left = missing_left[node] != 0 if np.isnan(given) else given <= threshold[node]
                    node = left[node] if goes_left else right[node]
                total += value[node]
            out[row] = total
        return out

    try:
        compiled: Callable[..., Floats] = njit(nogil=True, cache=True)(walk)
    except RuntimeError:
        # There is no folder in which what was compiled could be kept.
        compiled = njit(nogil=True)(walk)
    return compiled


def quick(model: TabularModel) -> TabularModel:
    """The same model with its trees as arrays. Raises ModelFormatError where a tree is broken."""
    return replace(model, views=tuple(replace(view, fitted=_quick(view.fitted)) for view in model.views))


def _quick(fitted: Any) -> Any:
    if not isinstance(fitted.learner, Trees):
        return fitted
    return replace(fitted, learner=flat_trees(fitted.learner, len(fitted.inputs)))
