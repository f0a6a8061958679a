"""Trees as arrays say what scikit-learn's say, to the last bit; broken ones are refused."""

from __future__ import annotations

import numpy as np
import pytest

from quality_assets.domain.models.learning.flat_trees import flat_trees
from quality_assets.domain.models.learning.learners import Trees, make_learner
from quality_assets.domain.models.learning.tabular_model import ModelFormatError


def _rows(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x[:, 2] = rng.integers(0, 4, n)
    y = np.sin(3 * x[:, 0]) + x[:, 1] ** 2 + x[:, 2]
    x[rng.random((n, 3)) < 0.1] = np.nan
    return x, y


def _fitted(kind: str) -> Trees:
    more = {"n_estimators": 20} if kind == "gradient_boosting" else {"max_iter": 20}
    learner = make_learner(kind, more)
    learner.fit(*_rows(400, 1), np.zeros(3, dtype=np.int64))
    assert isinstance(learner, Trees)
    return learner


@pytest.mark.parametrize("kind", ["gradient_boosting", "hist_gradient_boosting"])
def test_the_same_to_the_last_bit(kind: str) -> None:
    learner = _fitted(kind)
    x, _ = _rows(500, 2)
    assert np.array_equal(flat_trees(learner, 3).predict(x), learner.predict(x))


def test_trees_that_split_by_sets_of_categories_are_refused() -> None:
    learner = _fitted("hist_gradient_boosting")
    nodes = learner.model._predictors[7][0].nodes
    # Leaves split by nothing.
    nodes["is_categorical"][0] = 1
    with pytest.raises(ModelFormatError, match="sets of categories"):
        flat_trees(learner, 3)


def test_a_tree_that_leads_out_of_itself_or_back_is_refused() -> None:
    learner = _fitted("hist_gradient_boosting")
    with pytest.raises(ModelFormatError, match="none of 2"):
        flat_trees(learner, 2)
    nodes = learner.model._predictors[3][0].nodes
    for child in (0, len(nodes)):
        kept = nodes["left"][0]
        nodes["left"][0] = child
        with pytest.raises(ModelFormatError, match=r"node \d+ of its trees leads nowhere"):
            flat_trees(learner, 3)
        nodes["left"][0] = kept
    nodes["value"][:] = np.inf
    with pytest.raises(ModelFormatError, match="no finite number"):
        flat_trees(learner, 3)
