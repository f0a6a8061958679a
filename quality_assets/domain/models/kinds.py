"""The kinds of estimators that any use case may name among its candidates: how each is made, and what of it is stored.

A stored model is read for as long as it is in use anywhere: a kind that changes gets another name in the recipe.
"""

from __future__ import annotations

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.domain.models.decoding import array, imputer, log_odds, number, trees, whole
from quality_assets.domain.models.estimators import Boosting, EstimatorKind, Forest, Logistic
from quality_assets.domain.models.settings import TrainingSettings


def _forest(columns: Ints, settings: TrainingSettings, is_small: bool) -> Forest:
    trees = max(settings.forest_trees // 5, 10) if is_small else settings.forest_trees
    return Forest(columns, settings, trees)


FOREST = EstimatorKind(
    Forest,
    _forest,
    {
        "columns": array(np.integer),
        "imputer": imputer,
        "tree_rows": whole,
        "trees": trees,
    },
)
BOOSTING = EstimatorKind(
    Boosting,
    lambda columns, settings, _: Boosting(columns, settings),
    {
        "columns": array(np.integer),
        "is_known": array(np.bool_),
        "trees": trees,
    },
)
LOGISTIC = EstimatorKind(
    Logistic,
    lambda columns, settings, _: Logistic(columns, settings),
    {
        "columns": array(np.integer),
        "imputer": imputer,
        "mean": array(np.floating),
        "sd": array(np.floating),
        "c": number,
        "model": log_odds,
    },
)
