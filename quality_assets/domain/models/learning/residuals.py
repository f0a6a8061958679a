"""The interval from p10 to p90: quantiles of the last residuals whose outcome is known.

Residuals are taken relative to the prediction where errors grow with it, apart by its size where they do not grow
evenly. How much of what came later lay within is measured, and told with each answer; a level that is only claimed is
not shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.models.learning.tabular import LearningSettings

METHOD_ROLLING = "rolling_residuals"
METHOD_BY_SIZE = "residuals_by_size"
METHOD_OUTCOMES = "residuals_of_outcomes"
_CENT = 0.01
_SIZES = 5
OFF_BY = 0.08
_LEAST_MEASURED = 50
_SMALL = 1e-9


@dataclass(frozen=True)
class Intervals:
    """Lower and upper residual by size of the prediction (`edges` between sizes), in shares of it where `is_relative`.

    `coverage` is the share of later rows that lay within, None where none were looked at.
    """

    method: str
    is_relative: bool
    edges: Floats
    low: Floats
    high: Floats
    coverage: float | None
    target_coverage: float

    @property
    def status(self) -> str:
        """ok where the measured coverage is about what it should be, off where not, unknown where not measured."""
        if self.coverage is None:
            return "unknown"
        return "ok" if abs(self.coverage - self.target_coverage) <= OFF_BY else "off"

    def around(self, predicted: Floats, is_exact: Bools) -> tuple[Floats, Floats]:
        """p10 and p90 of n predictions; a cent about those that are exact."""
        size = np.searchsorted(self.edges, predicted)
        scale = np.abs(predicted) if self.is_relative else np.ones(len(predicted))
        low, high = predicted + self.low[size] * scale, predicted + self.high[size] * scale
        return np.where(is_exact, predicted - _CENT, low), np.where(is_exact, predicted + _CENT, high)

    def state(self) -> dict[str, Any]:
        """As plain values."""
        return {
            "method": self.method,
            "is_relative": bool(self.is_relative),
            "edges": self.edges,
            "low": self.low,
            "high": self.high,
            "coverage": self.coverage,
            "target_coverage": float(self.target_coverage),
        }

    @staticmethod
    def of(state: Mapping[str, Any]) -> Intervals:
        """Of what `state` gave."""
        arrays = {name: np.asarray(state[name], dtype=float) for name in ("edges", "low", "high")}
        return Intervals(
            state["method"], bool(state["is_relative"]), **arrays,
            coverage=state["coverage"], target_coverage=state["target_coverage"],
        )  # fmt: skip


def learn_intervals(
    y: Floats, predicted: Floats, *, by_size: bool, is_relative: bool, coverage: float | None,
    settings: LearningSettings,
) -> Intervals:  # fmt: skip
    """Intervals of n held-out residuals, the last ones of the window where they are in order of time."""
    residual = _scaled(y, predicted, is_relative)
    if not len(residual):
        edge = np.array([np.nan])
        return Intervals(METHOD_ROLLING, is_relative, np.zeros(0), edge, edge, None, settings.coverage)
    if not by_size:
        lowest, highest = _levels(residual[-settings.window :], settings)
        return Intervals(
            METHOD_ROLLING, is_relative, np.zeros(0), np.array([lowest]), np.array([highest]), coverage,
            settings.coverage,
        )  # fmt: skip
    edges = np.unique(np.quantile(predicted, np.arange(1, _SIZES) / _SIZES))
    size = np.searchsorted(edges, predicted)
    levels = [_levels(residual[size == at], settings) for at in range(len(edges) + 1)]
    low, high = (np.array(each) for each in zip(*levels, strict=True))
    return Intervals(METHOD_BY_SIZE, is_relative, edges, low, high, coverage, settings.coverage)


def recalibrated(
    intervals: Intervals, day: Ints, y: Floats, predicted: Floats, settings: LearningSettings
) -> Intervals | None:
    """Intervals of n predictions whose outcome came, in order of time; None where too few are known to say.

    Their coverage is that of the same made each day from what was known then, and None before there is enough of it.
    """
    if len(y) < _LEAST_MEASURED:
        return None
    inside, is_known = rolling_hits(day, y, predicted, intervals.is_relative, settings)
    coverage = float(inside[is_known].mean()) if is_known.sum() >= _LEAST_MEASURED else None
    by_size = intervals.method != METHOD_ROLLING and len(y) >= _SIZES * _LEAST_MEASURED
    found = learn_intervals(
        y[-settings.window :], predicted[-settings.window :], by_size=by_size, is_relative=intervals.is_relative,
        coverage=coverage, settings=settings,
    )  # fmt: skip
    return replace(found, method=METHOD_OUTCOMES)


def rolling_hits(
    day: Ints, y: Floats, predicted: Floats, is_relative: bool, settings: LearningSettings
) -> tuple[Bools, Bools]:
    """Of n rows in order of days: which lay within the interval that was known on their day, and of which one was.

    The residuals of a day are known `label_delay_days` later; the last `window` of them make the interval.
    """
    residual = _scaled(y, predicted, is_relative)
    inside, is_known = np.zeros(len(y), dtype=bool), np.zeros(len(y), dtype=bool)
    for each in np.unique(day):
        past = residual[: np.searchsorted(day, each - settings.label_delay_days, side="right")][-settings.window :]
        if len(past) < _LEAST_MEASURED:
            continue
        low, high = _levels(past, settings)
        rows = slice(np.searchsorted(day, each), np.searchsorted(day, each, side="right"))
        inside[rows] = (residual[rows] >= low - _SMALL) & (residual[rows] <= high + _SMALL)
        is_known[rows] = True
    return inside, is_known


def fold_hits(fold: Ints, y: Floats, predicted: Floats, is_relative: bool, settings: LearningSettings) -> Bools:
    """Of n held-out rows: which lay within the interval that the residuals of the other folds make."""
    inside = np.zeros(len(y), dtype=bool)
    for each in np.unique(fold):
        is_own = fold == each
        learnt = learn_intervals(
            y[~is_own], predicted[~is_own], by_size=True, is_relative=is_relative, coverage=None, settings=settings
        )
        low, high = learnt.around(predicted[is_own], np.zeros(int(is_own.sum()), dtype=bool))
        inside[is_own] = (y[is_own] >= low) & (y[is_own] <= high)
    return inside


def _scaled(y: Floats, predicted: Floats, is_relative: bool) -> Floats:
    scale = np.maximum(np.abs(predicted), _SMALL) if is_relative else np.ones(len(y))
    return np.asarray((y - predicted) / scale)


def _levels(residual: Floats, settings: LearningSettings) -> tuple[float, float]:
    edge = (1 - settings.coverage) / 2
    if not len(residual):
        return np.nan, np.nan
    # The n+1 of conformal prediction: of few residuals the outermost count for more.
    n = len(residual)
    level = min(1.0, (1 - edge) * (n + 1) / n)
    high = float(np.quantile(residual, level, method="higher"))
    return float(np.quantile(residual, 1 - level, method="lower")), high
