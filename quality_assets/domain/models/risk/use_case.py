"""The use case feature_risk: will a product feature degrade within the next week, and will a healthy one?"""

from __future__ import annotations

from quality_assets.contracts.risk_inputs import INPUTS, RISK
from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.use_case import PrimaryMetric, PromotionRule, Recipe, Target, UseCase


def _brier_score(probability: Floats, outcome: Floats) -> float:
    return float(((probability - outcome) ** 2).mean())


def _recipe() -> Recipe:
    # It imports scikit-learn, which takes a second.
    from quality_assets.domain.models.risk.recipe import RECIPE

    return RECIPE


BASE_RATES = ("feature_base_rate", "base_rate")
"""What is said where nothing is known to be better: shares of the past."""

FEATURE_RISK = UseCase(
    name=RISK,
    registry_name="risk_model",
    kind="classification",
    entity="feature",
    time_column="event_date",
    asked_column="has_baseline",
    inputs=INPUTS,
    targets=(Target("any", "label_any"), Target("onset", "label_onset")),
    candidates=("random_forest", "hist_gradient_boosting", "logistic_regression"),
    baselines=("persistence", *BASE_RATES, "ewma_chart"),
    primary_metric=PrimaryMetric("pr_auc", "PR-AUC"),
    promotion=PromotionRule(_brier_score, "Brier score"),
    settings=RiskSettings(),
    recipe=_recipe,
    is_first=True,
    state_input="is_degraded",
)
