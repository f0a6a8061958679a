"""The baselines of feature_risk: rules that anyone would think of, which a model must beat to be worth its trouble."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from quality_assets.contracts.risk_inputs import INPUT_NAMES, INPUTS_BY_NAME
from quality_assets.domain.arrays import Floats
from quality_assets.domain.models.estimators import LogOdds

_SMOOTHING_ROWS = 30.0


class Persistence:
    """Tomorrow as today: the training share of degraded weeks after degraded and after healthy days."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.share = np.zeros(2)

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.everyone = float(y.mean())
        now = self._now(x)
        self.share = np.array([(y[now == s].sum() + 1) / ((now == s).sum() + 2) for s in (0, 1)])

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        return np.asarray(self.share[self._now(x)])

    @staticmethod
    def _now(x: Floats) -> NDArray[np.int64]:
        return np.asarray(np.nan_to_num(x[:, INPUT_NAMES.index("is_degraded")]) > 0.5).astype(np.int64)


class FeatureBaseRate:
    """Each feature's own training share, shrunk by thirty rows towards that of all; features unseen get that of all."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.share: dict[str, float] = {}

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.everyone = float((y.sum() + 1) / (len(y) + 2))
        grouped = pd.Series(y).groupby(entity).agg(["sum", "count"])
        share = (grouped["sum"] + _SMOOTHING_ROWS * self.everyone) / (grouped["count"] + _SMOOTHING_ROWS)
        self.share = {str(name): float(value) for name, value in share.items()}

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        return np.array([self.share.get(str(name), self.everyone) for name in entity], dtype=np.float64)


class BaseRate:
    """The training share of all."""

    def __init__(self) -> None:
        self.everyone = 0.0

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.everyone = float((y.sum() + 1) / (len(y) + 2))

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        return np.full(len(x), self.everyone)


class EwmaChart:
    """The control-chart rule: the worst EWMA of the five signals, turned into a probability."""

    def __init__(self) -> None:
        self.everyone = 0.0
        self.model = LogOdds()

    def fit(self, x: Floats, y: Floats, entity: np.ndarray) -> None:
        self.everyone = float(y.mean())
        self.model.fit(self._drift(x), y, c=1.0)

    def predict(self, x: Floats, entity: np.ndarray) -> Floats:
        return self.model.probability(self._drift(x))

    @staticmethod
    def _drift(x: Floats) -> Floats:
        column = INPUT_NAMES.index("worst_ewma_z")
        return np.nan_to_num(x[:, [column]], nan=INPUTS_BY_NAME["worst_ewma_z"].low)
