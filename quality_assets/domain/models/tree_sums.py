"""Trees as arrays: asked and explained by NumPy alone, without the library that they were learnt with.

A tree that points outside of itself, or back, is refused: every walk ends where children come after their parents.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from math import ceil, inf
from typing import Any, NamedTuple

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints

LEAF = -1
_MOST_AT_ONCE = 1_000_000
"""Rows times inputs of paths that are explained together, which bounds the memory that it takes."""


class TreesError(ValueError):
    """Arrays are no trees, or none of a kind that is read here; says why."""


@dataclass(frozen=True)
class TreeSums:
    """`constant`, and the value of the leaf of each tree added to it, in order.

    Trees lie one after another, each from its place in `roots` on. `left` and `right` are LEAF at leaves. A row goes
    left where its input, at `column`, is at most `threshold`, and where it is unknown and `missing_left`. `weight` is
    that of the rows that came to a node in training.
    """

    constant: float
    roots: Ints
    left: Ints
    right: Ints
    column: Ints
    threshold: Floats
    missing_left: Bools
    value: Floats
    weight: Floats

    def sums(self, x: np.ndarray) -> Floats:
        """Of n x p inputs, n sums: to the last bit what adding the trees one by one gives."""
        out = np.full(len(x), self.constant)
        if not len(x):
            return out
        columns = np.ascontiguousarray(x.T, dtype=np.float64)
        for root in self.roots:
            reached = [(int(root), np.arange(len(x)))]
            while reached:
                node, rows = reached.pop()
                if self.left[node] == LEAF:
                    out[rows] += self.value[node]
                    continue
                given = columns[self.column[node]][rows]
                goes_left = given <= self.threshold[node]
                if self.missing_left[node]:
                    goes_left |= np.isnan(given)
                for child, own in ((self.left[node], rows[goes_left]), (self.right[node], rows[~goes_left])):
                    if len(own):
                        reached.append((int(child), own))
        return out

    @property
    def inputs_asked(self) -> int:
        """How many inputs there must be at least."""
        return int(self.column.max()) + 1

    def first(self, count: int) -> TreeSums:
        """The first trees alone; all where there are no more."""
        end = int(self.roots[count]) if count < len(self.roots) else len(self.left)
        return TreeSums(self.constant, self.roots[:count], *(each[:end] for each in _of_nodes(self)))

    def contributions(self, x: np.ndarray) -> Floats:
        """What each input adds to the sums, n x p: Shapley values where inputs that are not known go each way as often
        as rows of training did (SHAP values by the paths of trees, Lundberg et al. 2020).

        At a leaf that is a product over the inputs of its path: 0 or 1 where an input is known, as it leads there or
        not, and the share of rows that it let pass where it is not. The Shapley value of a product is an integral of
        a polynomial (Owen 1972), which Gauss-Legendre quadrature gives exactly.
        """
        out = np.zeros(x.shape)
        paths = list(self._paths())
        depth = max((len(path.inputs) for path in paths), default=0)
        if not depth:
            return out
        at = _Padded.of(paths, depth)
        points, weights = np.polynomial.legendre.leggauss(ceil(depth / 2))
        step = max(1, _MOST_AT_ONCE // at.share.size)
        for start in range(0, len(x), step):
            leads = at.leads_there(x[start : start + step])
            without = np.zeros(leads.shape)
            for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
                each = (1 - point) * at.share + point * leads
                without += weight * each.prod(axis=2, keepdims=True) / each
            added = at.value[:, None] * (leads - at.share) * without
            for own in np.unique(at.column):
                out[start : start + step, own] = added[:, at.column == own].sum(axis=1)
        return out

    def _paths(self) -> Iterator[_Path]:
        passed: dict[int, dict[int, _Passed]] = {int(root): {} for root in self.roots}
        for node in range(len(self.left)):
            here = passed.pop(node)
            if self.left[node] == LEAF:
                yield _Path(here, float(self.value[node]))
                continue
            column, limit = int(self.column[node]), float(self.threshold[node])
            low, high, may_miss, share = here.get(column, _Passed(-inf, inf, True, 1.0))
            is_left = bool(self.missing_left[node])
            left, right = int(self.left[node]), int(self.right[node])
            shares = [share * float(self.weight[child] / self.weight[node]) for child in (left, right)]
            passed[left] = here | {column: _Passed(low, min(high, limit), may_miss and is_left, shares[0])}
            passed[right] = here | {column: _Passed(max(low, limit), high, may_miss and not is_left, shares[1])}


class _Passed(NamedTuple):
    """What of an input comes along a path: above `low` and up to `high`, or unknown; and the share of rows that do."""

    low: float
    high: float
    may_miss: bool
    share: float


class _Path(NamedTuple):
    inputs: dict[int, _Passed]
    value: float


class _Padded(NamedTuple):
    """Paths as arrays, leaves x inputs of a path; what is beyond a path's own lets everything pass."""

    column: Ints
    low: Floats
    high: Floats
    may_miss: Bools
    share: Floats
    value: Floats

    @classmethod
    def of(cls, paths: Sequence[_Path], depth: int) -> _Padded:
        beyond = (0, _Passed(-inf, inf, True, 1.0))
        rows = [[*path.inputs.items(), *[beyond] * (depth - len(path.inputs))] for path in paths]
        limits = np.array([[passed for _, passed in row] for row in rows], dtype=float)
        return cls(
            np.array([[column for column, _ in row] for row in rows]),
            limits[..., 0],
            limits[..., 1],
            limits[..., 2] > 0,
            limits[..., 3],
            np.array([path.value for path in paths]),
        )

    def leads_there(self, x: np.ndarray) -> Floats:
        """1 where an input of a row leads along the path, else 0: rows x leaves x inputs of a path."""
        given = x[:, self.column]
        return np.where(np.isnan(given), self.may_miss, (given > self.low) & (given <= self.high)).astype(float)


def _of_nodes(trees: TreeSums) -> list[np.ndarray]:
    return [getattr(trees, each.name) for each in fields(trees)[2:]]


def checked(trees: TreeSums) -> TreeSums:
    """The same trees. Raises TreesError where a walk would not end, or end in no number."""
    size = len(trees.left)
    if any(len(each) != size for each in _of_nodes(trees)):
        raise TreesError("its trees have parts of different length")
    ends = np.append(trees.roots[1:], size)
    if not len(trees.roots) or trees.roots[0] != 0 or (ends <= trees.roots).any():
        raise TreesError("its trees do not lie one after another")
    is_leaf, nodes = trees.left == LEAF, np.arange(size)
    end = np.repeat(ends, ends - trees.roots)
    for child in (trees.left, trees.right):
        is_wrong = np.where(is_leaf, child != LEAF, (child <= nodes) | (child >= end))
        if is_wrong.any():
            raise TreesError(f"node {int(np.argmax(is_wrong))} of its trees leads nowhere")
    children = np.concatenate([trees.left[~is_leaf], trees.right[~is_leaf]])
    if len(np.unique(children)) < len(children) or len(children) + len(trees.roots) != size:
        raise TreesError("to some node of its trees lead two ways, or none")
    if (trees.column < 0).any():
        raise TreesError("its trees ask for an input that is none")
    if not (np.isfinite(trees.value).all() and np.isfinite(trees.constant)):
        raise TreesError("its trees have a leaf that is no finite number")
    if np.isnan(trees.threshold).any() or not (np.isfinite(trees.weight) & (trees.weight > 0)).all():
        raise TreesError("its trees split at no number, or where no row was")
    return trees


def of_forest(model: Any) -> TreeSums:
    """The trees of a fitted RandomForestClassifier of two classes: their sum over their number is the probability of
    the second."""
    trees = [estimator.tree_ for estimator in model.estimators_]
    return joined([_exact(tree, tree.value[:, 0, 1]) for tree in trees], 0.0)


def of_boosting(model: Any) -> TreeSums:
    """The trees of fitted histogram gradient boosting of one output: their sum is what `_raw_predict` gives, the
    log-odds of the second class, or the prediction of a regressor of squared error."""
    return joined([_binned(predictor.nodes) for (predictor,) in model._predictors], _only(model._baseline_prediction))


def of_exact_boosting(model: Any) -> TreeSums:
    """The trees of a fitted GradientBoostingRegressor, whose sum is its prediction."""
    trees = [estimator.tree_ for (estimator,) in model.estimators_]
    parts = [_exact(tree, model.learning_rate * tree.value[:, 0, 0]) for tree in trees]
    return joined(parts, _only(model.init_.constant_))


Part = dict[str, np.ndarray]
"""One tree: the arrays of TreeSums, whose children are counted from its root."""


def _only(values: Any) -> float:
    (value,) = np.ravel(values)
    return float(value)


def _exact(tree: Any, value: np.ndarray) -> Part:
    return {
        "left": tree.children_left,
        "right": tree.children_right,
        "column": tree.feature,
        "threshold": tree.threshold,
        "missing_left": np.zeros(tree.node_count, dtype=bool),
        "value": value,
        "weight": tree.weighted_n_node_samples,
    }


def _binned(nodes: np.ndarray) -> Part:
    if nodes["is_categorical"].any():
        raise TreesError("its trees split by sets of categories, which none that is trained here does")
    is_leaf = nodes["is_leaf"].astype(bool)
    return {
        "left": np.where(is_leaf, LEAF, nodes["left"].astype(np.int64)),
        "right": np.where(is_leaf, LEAF, nodes["right"].astype(np.int64)),
        "column": nodes["feature_idx"],
        "threshold": nodes["num_threshold"],
        "missing_left": nodes["missing_go_to_left"].astype(bool),
        "value": nodes["value"],
        "weight": nodes["count"].astype(np.float64),
    }


def joined(parts: Sequence[Part], constant: float) -> TreeSums:
    """Trees one after another."""
    sizes = [len(part["value"]) for part in parts]
    roots = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(sizes, dtype=np.int64)])[:-1]
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    shift = np.repeat(roots, sizes)
    is_leaf = together["left"] == LEAF
    return TreeSums(
        constant=constant,
        roots=roots,
        left=np.where(is_leaf, LEAF, together["left"] + shift),
        right=np.where(is_leaf, LEAF, together["right"] + shift),
        column=np.where(is_leaf, 0, together["column"]).astype(np.int64),
        threshold=np.where(is_leaf, 0.0, together["threshold"]),
        missing_left=together["missing_left"],
        value=together["value"].astype(np.float64),
        weight=together["weight"].astype(np.float64),
    )
