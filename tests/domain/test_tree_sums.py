"""Trees as arrays say and explain what scikit-learn and SHAP do; by hand on one tree; broken ones are refused."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier, RandomForestClassifier

from quality_assets.domain.models import tree_sums
from quality_assets.domain.models.tree_sums import (
    LEAF,
    TreesError,
    TreeSums,
    checked,
    joined,
    of_boosting,
    of_exact_boosting,
    of_forest,
)

NAN = float("nan")

#            x0 <= 2, unknown left
#           /                     \
#     10 (6 rows)             x1 <= 1, unknown right (2 rows)
#                             /        \
#                       20 (1 row)   40 (1 row)
PART = {
    "left": np.array([1, LEAF, 3, LEAF, LEAF]),
    "right": np.array([2, LEAF, 4, LEAF, LEAF]),
    "column": np.array([0, -2, 1, -2, -2]),
    "threshold": np.array([2.0, -2.0, 1.0, -2.0, -2.0]),
    "missing_left": np.array([True, False, False, False, False]),
    "value": np.array([0.0, 10.0, 0.0, 20.0, 40.0]),
    "weight": np.array([8.0, 6.0, 2.0, 1.0, 1.0]),
}
ONE = checked(joined([PART], 0.5))
ASKED = np.array([[2.0, 5.0], [3.0, 1.0], [3.0, 2.0], [NAN, 0.0], [3.0, NAN]])


def test_a_row_goes_left_up_to_the_threshold_and_where_it_is_unknown_as_told() -> None:
    assert ONE.sums(ASKED).tolist() == [10.5, 20.5, 40.5, 10.5, 40.5]
    assert ONE.sums(ASKED[:0]).tolist() == []
    two = joined([PART, PART], 0.5)
    assert two.sums(ASKED).tolist() == [20.5, 40.5, 80.5, 20.5, 80.5]
    assert two.first(1).sums(ASKED).tolist() == ONE.sums(ASKED).tolist()
    assert two.first(2).sums(ASKED).tolist() == two.sums(ASKED).tolist()
    assert ONE.inputs_asked == 2


def test_the_contributions_of_one_tree_by_hand() -> None:
    # Nothing known: 6/8 of 10, 1/8 of 20, 1/8 of 40 = 15. x0 = 3 alone: 30; x1 = 1 alone: 7.5 + 5 = 12.5; both: 20.
    # x0: ((30 - 15) + (20 - 12.5)) / 2 = 11.25; x1: ((12.5 - 15) + (20 - 30)) / 2 = -6.25.
    assert ONE.contributions(np.array([[3.0, 1.0]])).tolist() == [[pytest.approx(11.25), pytest.approx(-6.25)]]
    # What no tree asks for adds nothing.
    assert ONE.contributions(np.array([[3.0, 1.0, 7.0]]))[0, 2] == 0
    leaf = {name: values[1:2] for name, values in PART.items()}
    assert checked(joined([leaf, leaf], 0.0)).contributions(ASKED).tolist() == [[0.0, 0.0]] * 5


def _expected(trees: TreeSums, row: np.ndarray, known: frozenset[int]) -> float:
    """The sum where only some inputs are known: each unknown goes both ways, by the weight of rows."""

    def below(node: int) -> float:
        if trees.left[node] == LEAF:
            return float(trees.value[node])
        left, right, given = int(trees.left[node]), int(trees.right[node]), row[trees.column[node]]
        if trees.column[node] in known:
            is_left = trees.missing_left[node] if np.isnan(given) else given <= trees.threshold[node]
            return below(left if is_left else right)
        share = trees.weight[left] / trees.weight[node]
        return float(share * below(left) + (1 - share) * below(right))

    return trees.constant + sum(below(int(root)) for root in trees.roots)


def _shapley(trees: TreeSums, row: np.ndarray) -> list[float]:
    """By its definition: over every set of the other inputs."""
    count = len(row)
    out = []
    for own in range(count):
        others, total = [each for each in range(count) if each != own], 0.0
        for size in range(count):
            weight = factorial(size) * factorial(count - 1 - size) / factorial(count)
            for chosen in combinations(others, size):
                with_own = _expected(trees, row, frozenset({*chosen, own}))
                total += weight * (with_own - _expected(trees, row, frozenset(chosen)))
        out.append(total)
    return out


@st.composite
def _parts(draw: st.DrawFn, inputs: int) -> dict[str, np.ndarray]:
    """A tree of up to fifteen nodes over so many inputs, which may come again on a path."""
    nodes: list[dict[str, Any]] = []

    def grow(weight: int, depth: int) -> int:
        at = len(nodes)
        own = {"left": LEAF, "right": LEAF, "column": 0, "threshold": 0.0, "missing_left": False, "value": 0.0}
        nodes.append(own | {"weight": float(weight)})
        if depth == 3 or weight < 2 or draw(st.booleans()):
            nodes[at]["value"] = draw(st.integers(-8, 8)) / 4
            return at
        nodes[at]["column"] = draw(st.integers(0, inputs - 1))
        nodes[at]["threshold"] = draw(st.sampled_from([-np.inf, -1.0, 0.0, 1.0, np.inf]))
        nodes[at]["missing_left"] = draw(st.booleans())
        left = draw(st.integers(1, weight - 1))
        nodes[at]["left"], nodes[at]["right"] = grow(left, depth + 1), grow(weight - left, depth + 1)
        return at

    grow(draw(st.integers(2, 40)), 0)
    return {name: np.array([node[name] for node in nodes]) for name in nodes[0]}


@given(st.data())
def test_contributions_are_shapley_values_and_add_up(data: st.DataObject) -> None:
    trees = checked(joined(data.draw(st.lists(_parts(3), min_size=1, max_size=3)), 0.25))
    x = np.array(
        data.draw(st.lists(st.tuples(*[st.sampled_from([-2.0, 0.0, 0.5, 2.0, NAN])] * 3), min_size=1, max_size=3))
    )
    found = trees.contributions(x)
    for row, own in zip(x, found, strict=True):
        np.testing.assert_allclose(own, _shapley(trees, row), rtol=0, atol=1e-12)
        assert trees.sums(row[None, :])[0] == pytest.approx(_expected(trees, row, frozenset({0, 1, 2})))
    missing = np.array([_expected(trees, row, frozenset()) for row in x])
    np.testing.assert_allclose(missing + found.sum(axis=1), trees.sums(x), rtol=0, atol=1e-12)


def _rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6))
    y = (x[:, 0] * x[:, 1] + np.abs(x[:, 2]) > 0.7).astype(float)
    x[rng.random(x.shape) < 0.1] = NAN
    return x, y


def _by_shap(model: object, asked: np.ndarray) -> np.ndarray:
    # Here: every process of tests reads this file, and the import takes seconds.
    import shap

    return shap.TreeExplainer(model).shap_values(asked, check_additivity=False)


def test_boosted_trees_say_and_explain_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = _rows(700, 1)
    model = HistGradientBoostingClassifier(max_iter=25, max_leaf_nodes=12, random_state=0).fit(x, y)
    trees, (asked, _) = checked(of_boosting(model)), _rows(300, 2)
    assert trees.sums(asked).tobytes() == model.decision_function(asked).tobytes()
    # In several goes, as many rows are.
    monkeypatch.setattr(tree_sums, "_MOST_AT_ONCE", 100 * 12 * 25)
    by_shap = _by_shap(model, asked)
    np.testing.assert_allclose(trees.contributions(asked), by_shap, rtol=0, atol=1e-12)


def test_a_forest_says_and_explains_the_same() -> None:
    x, y = _rows(700, 1)
    x = np.nan_to_num(x).astype(np.float32)
    model = RandomForestClassifier(20, max_depth=10, min_samples_leaf=3, random_state=0).fit(x, y)
    trees, asked = checked(of_forest(model)), np.nan_to_num(_rows(300, 2)[0]).astype(np.float32)
    assert (trees.sums(asked) / 20).tobytes() == model.predict_proba(asked)[:, 1].tobytes()
    by_shap = _by_shap(model, asked)[..., 1]
    np.testing.assert_allclose(trees.contributions(asked) / 20, by_shap, rtol=0, atol=1e-9)


def test_exactly_boosted_trees_say_the_same() -> None:
    x, y = _rows(400, 1)
    x = np.nan_to_num(x).astype(np.float32)
    model = GradientBoostingRegressor(n_estimators=15, subsample=0.7, random_state=0).fit(x, y)
    assert checked(of_exact_boosting(model)).sums(x).tobytes() == model.predict(x).tobytes()


def _other(**changes: object) -> TreeSums:
    return replace(ONE, **{name: np.array(value) for name, value in changes.items()})


@pytest.mark.parametrize(
    ("trees", "words"),
    [
        (_other(value=[1.0]), "parts of different length"),
        (_other(roots=np.zeros(0, dtype=int)), "do not lie one after another"),
        (_other(roots=[1]), "do not lie one after another"),
        (_other(roots=[0, 0]), "do not lie one after another"),
        (_other(roots=[0, 5]), "do not lie one after another"),
        (_other(left=[0, -1, 3, -1, -1]), "node 0 of its trees leads nowhere"),
        (_other(left=[1, -1, 1, -1, -1]), "node 2 of its trees leads nowhere"),
        (_other(right=[2, -1, 5, -1, -1]), "node 2 of its trees leads nowhere"),
        (_other(right=[2, 4, 4, -1, -1]), "node 1 of its trees leads nowhere"),
        (_other(left=[1, -1, -2, -1, -1]), "node 2 of its trees leads nowhere"),
        (_other(roots=[0, 3]), "node 2 of its trees leads nowhere"),
        (_other(left=[2, -1, 3, -1, -1]), "lead two ways, or none"),
        (_other(column=[0, 0, -1, 0, 0]), "an input that is none"),
        (_other(value=[0.0, np.inf, 0.0, 1.0, 1.0]), "a leaf that is no finite number"),
        (replace(ONE, constant=NAN), "a leaf that is no finite number"),
        (_other(threshold=[NAN, 0.0, 0.0, 0.0, 0.0]), "split at no number"),
        (_other(weight=[8.0, 6.0, 2.0, 0.0, 1.0]), "where no row was"),
        (_other(weight=[8.0, 6.0, np.inf, 1.0, 1.0]), "where no row was"),
    ],
)
def test_what_are_no_trees_is_refused(trees: TreeSums, words: str) -> None:
    with pytest.raises(TreesError, match=words):
        checked(trees)
