"""What learns the risk of features: candidates and baselines by name, splits by time, and who is chosen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quality_assets.contracts.risk_inputs import INPUT_NAMES, LINEAR_INPUTS
from quality_assets.domain.arrays import Ints
from quality_assets.domain.models.decoding import array, log_odds, number, shares
from quality_assets.domain.models.estimators import EstimatorKind, Logistic
from quality_assets.domain.models.kinds import BOOSTING, FOREST, LOGISTIC
from quality_assets.domain.models.risk.baselines import BaseRate, EwmaChart, FeatureBaseRate, Persistence
from quality_assets.domain.models.risk.choosing import choose
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.splits import by_time
from quality_assets.domain.models.use_case import Recipe

# Three inputs have little to say that is not in the data: they need less shrinkage than dozens that repeat each other.
_LINEAR_C = 0.3


def _logistic(columns: Ints, settings: TrainingSettings, is_small: bool) -> Logistic:
    """A logistic regression on those of `LINEAR_INPUTS` that may be learnt from, on all columns where none may."""
    own = np.intersect1d(columns, [INPUT_NAMES.index(name) for name in LINEAR_INPUTS])
    return Logistic(own if len(own) else columns, replace(settings, logistic_c=_LINEAR_C))


RECIPE = Recipe(
    estimators={
        "random_forest": FOREST,
        "hist_gradient_boosting": BOOSTING,
        "logistic_regression": EstimatorKind(Logistic, _logistic, LOGISTIC.attributes),
        "persistence": EstimatorKind(
            Persistence, lambda *_: Persistence(), {"everyone": number, "share": array(np.floating)}
        ),
        "feature_base_rate": EstimatorKind(
            FeatureBaseRate, lambda *_: FeatureBaseRate(), {"everyone": number, "share": shares}
        ),
        "base_rate": EstimatorKind(BaseRate, lambda *_: BaseRate(), {"everyone": number}),
        "ewma_chart": EstimatorKind(
            EwmaChart,
            lambda *_: EwmaChart(),
            {"everyone": number, "model": log_odds},
        ),
    },
    splits=by_time,
    choose=choose,
)
