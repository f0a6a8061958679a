"""What each input of a row contributes to what a model says of it.

Exact for logistic regression, SHAP values (Lundberg et al. 2020) for trees. shap is imported only when trees are
explained, because that takes seconds.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
        values = _shap(_first_trees(estimator.model), estimator.prepared(x))
        single[:, estimator.columns] = values[..., 1] if values.ndim == 3 else values
        return single, estimator.predict(x, entity), False
    if isinstance(estimator, Boosting):
        single[:, estimator.columns] = _shap(estimator.model, estimator.prepared(x))
        return single, logit(estimator.predict(x, entity)), True
    return None


def _shap(model: Any, x: Floats | NDArray[np.float32]) -> Floats:
    import shap

    # The check recomputes every prediction only to compare floats of two libraries.
    return np.asarray(shap.TreeExplainer(model).shap_values(x, check_additivity=False), dtype=float)


def _first_trees(model: Any) -> Any:
    part = copy.copy(model)
    part.estimators_ = model.estimators_[:MAX_EXPLAINED_TREES]
    part.n_estimators = len(part.estimators_)
    return part
