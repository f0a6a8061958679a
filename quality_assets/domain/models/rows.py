"""The rows of a training set that a target can be learnt from."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.artifact import Target
from quality_assets.domain.models.estimators import RiskSettings, input_matrix


@dataclass(frozen=True)
class TargetRows:
    """The rows of one target, ordered by day: keys, n x p inputs, n outcomes, day indices of labelled days."""

    keys: pd.DataFrame
    x: Floats
    y: Floats
    day: np.ndarray = field(repr=False)

    @property
    def feature(self) -> np.ndarray:
        return self.keys["feature"].to_numpy()

    def take(self, chosen: np.ndarray) -> TargetRows:
        return TargetRows(self.keys.iloc[chosen], self.x[chosen], self.y[chosen], self.day[chosen])


def target_rows(training_set: pd.DataFrame, target: Target) -> TargetRows:
    label = training_set[f"label_{target}"]
    keep = np.flatnonzero(label.notna() & training_set["has_baseline"].astype(bool))
    day = pd.to_datetime(training_set["event_date"]).to_numpy().astype("datetime64[D]").astype(np.int64)[keep]
    order = np.argsort(day, kind="stable")
    keep = keep[order]
    return TargetRows(
        training_set[["event_date", "feature"]].iloc[keep].reset_index(drop=True),
        input_matrix(training_set, keep),
        label.iloc[keep].astype(bool).to_numpy().astype(np.float64),
        day[order],
    )


def sample_rows(rows: TargetRows, chosen: np.ndarray, settings: RiskSettings) -> TargetRows:
    """The chosen rows, at random no more than max_fit_rows of them."""
    index = np.flatnonzero(chosen)
    if len(index) > settings.max_fit_rows:
        index = np.sort(np.random.default_rng(settings.seed).choice(index, settings.max_fit_rows, replace=False))
    return rows.take(index)


def can_learn(y: Floats, settings: RiskSettings) -> bool:
    return min(float(y.sum()), float(len(y) - y.sum())) >= settings.min_positives
