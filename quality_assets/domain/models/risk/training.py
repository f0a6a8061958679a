"""Training the models of feature_risk: as any use case's, and graded by their lead before onsets as well."""

from __future__ import annotations

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.artifact import TrainingResult
from quality_assets.domain.models.risk.settings import RiskSettings
from quality_assets.domain.models.risk.use_case import FEATURE_RISK
from quality_assets.domain.models.settings import TrainingSettings
from quality_assets.domain.models.training import train
from quality_assets.domain.stats.grading import lead_times, top_k

_LEAD_METRICS = ("warned_share", "lead_days_median")


def train_risk_model(
    training_set: pd.DataFrame, settings: RiskSettings | None = None, onsets: pd.DataFrame | None = None
) -> TrainingResult:
    """Train, compare and choose on rows of ml.risk_training_set; see `train`.

    `onsets` (event_date, feature of days with is_onset_today in ml.degradation_labels) adds lead times.
    """
    settings = settings or RiskSettings()
    if onsets is None:
        return train(FEATURE_RISK, training_set, settings)
    return train(FEATURE_RISK, training_set, settings, lambda keys, p: lead_rows(keys, p, onsets, settings))


def lead_rows(keys: pd.DataFrame, p: Floats, onsets: pd.DataFrame, settings: TrainingSettings) -> pd.DataFrame:
    """metric, value, low, high of the share of onsets that the top k of a day had warned of, and of the days before."""
    day = pd.to_datetime(keys["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)
    lead = lead_times(keys, top_k(day, p, settings.capacity_k), onsets, settings.horizon_days)
    rng = np.random.default_rng(settings.seed)
    draws = np.array([])
    if len(lead.lead_days):
        draws = np.median(rng.choice(lead.lead_days, (settings.bootstrap_rounds, len(lead.lead_days))), axis=1)
    share = np.array([])
    if lead.onsets:
        share = rng.binomial(lead.onsets, lead.warned_share, settings.bootstrap_rounds) / lead.onsets
    rows = [
        (name, value, *(np.quantile(drawn, [0.05, 0.95]) if len(drawn) else (np.nan, np.nan)))
        for name, value, drawn in zip(_LEAD_METRICS, (lead.warned_share, lead.median_days), (share, draws), strict=True)
    ]
    return pd.DataFrame(rows, columns=["metric", "value", "low", "high"])
