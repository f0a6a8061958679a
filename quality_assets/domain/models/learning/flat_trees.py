"""Boosted trees as arrays that compiled code walks: the same numbers as scikit-learn's, in a hundredth of its time.

Broken trees are refused: compiled code checks no bounds.
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
from quality_assets.domain.models.tree_sums import TreesError, TreeSums, checked, of_boosting, of_exact_boosting


@dataclass(frozen=True)
class FlatTrees:
    """Boosted trees that compiled code walks.

    `is_narrow`: inputs are rounded to 32 bits first, as the exact kind of scikit-learn does, and have no holes.
    """

    trees: TreeSums
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
        own = self.trees
        found: Floats = _walk()(
            wide, own.constant, own.roots, own.left, own.right, own.column, own.threshold, own.missing_left, own.value
        )
        return found

    def state(self) -> dict[str, Any]:
        """That of what was flattened."""
        return self.original.state()


def flat_trees(learner: Trees, inputs: int) -> FlatTrees:
    """The arrays of fitted trees over so many inputs. Raises ModelFormatError where they are no such trees."""
    try:
        trees = checked(of_boosting(learner.model) if learner.is_binned else of_exact_boosting(learner.model))
    except TreesError as error:
        raise ModelFormatError(str(error)) from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ModelFormatError(f"its trees cannot be read ({type(error).__name__}: {error})") from error
    if trees.inputs_asked > inputs:
        raise ModelFormatError(f"its trees ask for an input that is none of {inputs}")
    return FlatTrees(trees, not learner.is_binned, learner)


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
                    goes_left = missing_left[node] if np.isnan(given) else given <= threshold[node]
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
