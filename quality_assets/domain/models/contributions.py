"""What each input of a row contributes to what a model says of it.

Exact for logistic regression, SHAP values (Lundberg et al. 2020) for trees.
"""

from __future__ import annotations

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.estimators import Boosting, Forest, Logistic, TargetModel, logit

MAX_EXPLAINED_TREES = 40


def contributions(model: TargetModel, x: Floats, entity: np.ndarray) -> tuple[Floats, Floats, bool] | None:
    """Contribution of each input (n x p), the raw output they lead up to (n), and whether both are log-odds.

    A forest is explained by its first trees, whose mean estimates that of all. None for an estimator of a use case's
    own, which explains it itself.
    """
    estimator = model.estimator
    single = np.zeros(x.shape)
    if isinstance(estimator, Logistic):
        single[:, estimator.columns] = estimator.prepared(x) * estimator.model.coefficients
        return single, logit(estimator.predict(x, entity)), True
    if isinstance(estimator, Forest):
        trees = estimator.trees.first(MAX_EXPLAINED_TREES)
        single[:, estimator.columns] = trees.contributions(estimator.prepared(x)) / len(trees.roots)
        return single, estimator.predict(x, entity), False
    if isinstance(estimator, Boosting):
        single[:, estimator.columns] = estimator.trees.contributions(estimator.prepared(x))
        return single, logit(estimator.predict(x, entity)), True
    return None
