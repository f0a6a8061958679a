"""Whether a trained model replaces the one in use: both graded on the same later days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from quality_assets.contracts.risk_inputs import INPUT_NAMES
from quality_assets.domain.models.artifact import RiskModel, TrainingResult
from quality_assets.domain.models.estimators import RiskSettings, input_matrix
from quality_assets.domain.stats.grading import pr_auc_difference


@dataclass(frozen=True)
class Decision:
    """Whether a challenger replaces the champion, why, and the PR-AUC difference with its 90 % interval."""

    is_promoted: bool
    reason: str
    difference: float = np.nan
    low: float = np.nan
    high: float = np.nan


def promotion_decision(
    champion: RiskModel | None,
    challenger: TrainingResult,
    training_set: pd.DataFrame,
    settings: RiskSettings | None = None,
) -> Decision:
    """Whether the challenger replaces the champion: only by winning on the same later days.

    Judged are labelled days more than a horizon after the champion's last day. The challenger is represented by its
    walk-forward predictions, each made by the same recipe without having seen that day's future.
    """
    settings = settings or RiskSettings()
    if champion is None:
        return Decision(True, "first model")
    if tuple(champion.input_names) != INPUT_NAMES:
        return Decision(True, "the champion was made for other inputs and cannot score")
    if champion.any is None:
        return Decision(challenger.model.any is not None, "the champion could not score")
    if challenger.model.any is None:
        return Decision(False, "the challenger cannot score")
    held = challenger.held_out[challenger.held_out["target"] == "any"]
    since = pd.Timestamp(champion.trained_through) + pd.Timedelta(days=settings.horizon_days)
    held = held[pd.to_datetime(held["event_date"]) > since] if len(held) else held
    days = held["event_date"].nunique() if len(held) else 0
    if days < settings.min_judged_days:
        return Decision(
            False,
            f"only {days} days since the champion was trained have a known outcome, {settings.min_judged_days} needed",
        )
    rows = held[["event_date", "feature"]].merge(training_set, on=["event_date", "feature"], how="left")
    old = champion.any.probability(input_matrix(rows), rows["feature"].to_numpy())
    new = held[challenger.model.any.name].to_numpy(dtype=float)
    outcome = held["outcome"].to_numpy(dtype=float)
    if not 0 < outcome.sum() < len(outcome):
        return Decision(False, f"nothing to tell them apart: one outcome only in {days} days")
    value, low, high = pr_auc_difference(
        rows, outcome, new, old, 2 * settings.horizon_days, settings.bootstrap_rounds, settings.seed
    )
    better = value > 0 and float(((new - outcome) ** 2).mean()) <= float(((old - outcome) ** 2).mean())
    verb = "wins" if better else "does not win in both PR-AUC and Brier score"
    interval = f"(90 % interval {low:+.3f} to {high:+.3f})"
    return Decision(better, f"challenger {verb} on {days} later days: PR-AUC {value:+.3f} {interval}", value, low, high)
