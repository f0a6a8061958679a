"""How the models of feature_risk are trained and chosen."""

from __future__ import annotations

from dataclasses import dataclass

from quality_assets.domain.models.settings import TrainingSettings


@dataclass(frozen=True)
class RiskSettings(TrainingSettings):
    """Those of every use case, and what this one chooses by.

    horizon_days: as the labels'. min_gain: a candidate must beat the best baseline's PR-AUC by a tenth, or the baseline
    is the model. min_onset_lift: the onset probability is shown from 1.3 times the base rate; max_onset_lift: above 3
    times it is more than an oracle could know, so a leak is suspected.
    """

    min_gain: float = 1.10
    min_onset_lift: float = 1.3
    max_onset_lift: float = 3.0
