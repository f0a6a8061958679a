"""What is expected of each day of a series: level and weekday, from its own past."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.panel import Family
from quality_assets.domain.series.scale import (
    LEAST_DEVIATION,
    cut,
    nan_median,
    robust_centre,
    robust_spread,
    to_scale,
)
from quality_assets.domain.series.settings import MAD_TO_SIGMA

_WEEKDAYS = 7


@dataclass(frozen=True)
class Baseline:
    """What is normal for S series, in the working scale of their family; NaN where too little is known.

    level: S, pooled count or rate, or mean of the working scale. effect: S × 7, added on each weekday. deviation:
    S × 7, of a new day, where its sample is of the typical size. typical: S, median sample. days: S, days behind it.
    """

    level: Floats
    effect: Floats
    deviation: Floats
    typical: Floats
    days: Floats

    @classmethod
    def unknown(cls, count: int) -> Baseline:
        """Of series of which nothing is known yet."""
        level, effect = np.full(count, np.nan), np.full((count, _WEEKDAYS), np.nan)
        return cls(level, effect, effect, level, level)

    def where(self, condition: Bools, other: Baseline) -> Baseline:
        """This baseline where the condition holds, the other elsewhere."""
        wide = condition[:, None]
        return Baseline(
            np.where(condition, self.level, other.level),
            np.where(wide, self.effect, other.effect),
            np.where(wide, self.deviation, other.deviation),
            np.where(condition, self.typical, other.typical),
            np.where(condition, self.days, other.days),
        )

    def centre(self, family: Family, weekday: int, sample: Floats) -> Floats:
        """Where the working scale is expected on a weekday with these samples."""
        known = np.where(np.isfinite(sample), sample, self.typical)
        return np.asarray(robust_centre(family, self.level, known) + self.effect[:, weekday])

    def deviation_on(self, family: Family, weekday: int, sample: Floats) -> Floats:
        """How far it may lie from there."""
        known = np.where(np.isfinite(sample), sample, self.typical)
        return np.asarray(self.deviation[:, weekday] * robust_spread(family, known, self.typical))


def fit_baseline(
    family: Family, amount: Floats, sample: Floats, usable: Bools, weekdays: Ints, minimum_days: int
) -> Baseline:
    """What is normal for each series, from a window of W days.

    amount, sample, usable: S × W; weekdays: W. Two passes: level and deviation, then again without the days that lie
    more than four deviations away. Weekday levels are shrunk towards the common level by James & Stein (1961), so that
    a series without a weekly shape pays nothing for the question. The deviation is that of a new day: it allows for
    the estimated level.
    """
    typical = nan_median(np.where(usable, sample, np.nan))
    spread = robust_spread(family, sample, typical[:, None])
    one_hot = (weekdays[:, None] == np.arange(_WEEKDAYS)).astype(float)
    scaled = to_scale(family, amount, sample)
    residual, level = _residuals(family, amount, sample, scaled, usable)
    effect, shrink, deviation, own = _weekday_effects(residual, spread, usable, one_hot)
    with np.errstate(invalid="ignore"):
        standard = np.abs(residual - effect @ one_hot.T) / spread
        kept = usable & (standard <= 4 * np.maximum(deviation, LEAST_DEVIATION[family])[:, None])
    residual, level = _residuals(family, amount, sample, scaled, kept)
    effect, shrink, deviation, own = _weekday_effects(residual, spread, kept, one_hot)
    days = kept.sum(axis=1)
    prediction = np.sqrt(1 + 1 / np.maximum(days, 1)[:, None] + shrink[:, None] / np.maximum(own, 1))
    is_known = days >= minimum_days
    return Baseline(
        level=np.where(is_known, level, np.nan),
        effect=effect,
        deviation=np.maximum(deviation[:, None] * prediction, LEAST_DEVIATION[family]),
        typical=typical,
        days=days.astype(float),
    )


def _residuals(family: Family, amount: Floats, sample: Floats, scaled: Floats, kept: Bools) -> tuple[Floats, Floats]:
    days = kept.sum(axis=1)
    total = np.where(kept, amount, 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if family == "count":
            level = total / days
        elif family == "rate":
            level = total / np.where(kept, sample, 0.0).sum(axis=1)
        else:
            level = np.where(kept, scaled, 0.0).sum(axis=1) / days
    return scaled - robust_centre(family, level[:, None], sample), level


def _weekday_effects(
    residual: Floats, spread: Floats, kept: Bools, one_hot: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Shrunk weekday effects (S × 7), how little they were shrunk, the deviation, and days per weekday (S × 7)."""
    weight = np.where(kept, 1 / spread**2, 0.0)
    clean = np.where(kept, residual, 0.0)
    per_day = weight @ one_hot
    own = kept.astype(float) @ one_hot
    days = kept.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        raw = np.where(per_day > 0, ((weight * clean) @ one_hot) / per_day, 0.0)
        present = (per_day > 0).sum(axis=1)
        standard = np.where(kept, (residual - raw @ one_hot.T) / spread, 0.0)
        within = (standard**2).sum(axis=1) / np.maximum(days - present, 1)
        mean_error = within * np.where(per_day > 0, 1 / per_day, 0.0).sum(axis=1) / np.maximum(present, 1)
        size = (raw**2).sum(axis=1)
        shrink = cut(1 - np.maximum(present - 3, 0) * mean_error / size, 0.0, 1.0)
    # Weekday levels that were seen once or twice are noise however they compare.
    shrink = np.where((size > 0) & (days >= 2 * present), shrink, 0.0)
    effect = raw * shrink[:, None]
    standard = np.where(kept, (residual - effect @ one_hot.T) / spread, np.nan)
    return effect, shrink, _deviation(standard, days, shrink * present), own


def _deviation(standard: Floats, days: Ints, parameters: Floats) -> Floats:
    """Root mean square after cutting at 3.5 robust deviations, for the degrees of freedom that are left."""
    robust = MAD_TO_SIGMA * nan_median(np.abs(standard))
    limit = np.where(robust > 0, 3.5 * robust, inf)[:, None]
    bounded = np.where(np.isfinite(standard), cut(standard, -limit, limit), 0.0)
    free = np.maximum(days - np.minimum(parameters, days - 2) - 1, 1)
    return np.asarray(np.sqrt((bounded**2).sum(axis=1) / free))
