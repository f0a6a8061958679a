"""How the models of feature_risk are trained and chosen."""

from __future__ import annotations

from dataclasses import dataclass

from quality_assets.domain.models.settings import TrainingSettings


@dataclass(frozen=True)
class RiskSettings(TrainingSettings):
    """Those of every use case, and what this one chooses by.

    horizon_days: as the labels'. min_skill_gain: a candidate must have so much more Brier skill than the best baseline,
    or the baseline, which anyone can follow, is the model.
    """

    min_skill_gain: float = 0.01
