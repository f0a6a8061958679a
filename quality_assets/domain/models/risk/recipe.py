"""What learns the risk of features: candidates and baselines by name, splits by time, and who is chosen."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression

from quality_assets.domain.models.decoding import array, fitted, number, shares
from quality_assets.domain.models.estimators import EstimatorKind
from quality_assets.domain.models.kinds import BOOSTING, FOREST, LOGISTIC
from quality_assets.domain.models.risk.baselines import BaseRate, EwmaChart, FeatureBaseRate, Persistence
from quality_assets.domain.models.risk.choosing import choose
from quality_assets.domain.models.splits import by_time
from quality_assets.domain.models.use_case import Recipe

RECIPE = Recipe(
    estimators={
        "random_forest": FOREST,
        "hist_gradient_boosting": BOOSTING,
        "logistic_regression": LOGISTIC,
        "persistence": EstimatorKind(
            Persistence, lambda *_: Persistence(), {"everyone": number, "share": array(np.floating)}
        ),
        "feature_base_rate": EstimatorKind(
            FeatureBaseRate, lambda *_: FeatureBaseRate(), {"everyone": number, "share": shares}
        ),
        "base_rate": EstimatorKind(BaseRate, lambda *_: BaseRate(), {"everyone": number}),
        "ewma_chart": EstimatorKind(
            EwmaChart, lambda *_: EwmaChart(), {"everyone": number, "model": fitted(LogisticRegression)}
        ),
    },
    splits=by_time,
    choose=choose,
)
