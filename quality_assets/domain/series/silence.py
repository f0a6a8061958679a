"""How unlikely a silent day is, and after how many days a silence is told from chance."""

from __future__ import annotations

from math import log

import numpy as np
import numpy.typing as npt

from quality_assets.domain.arrays import Bools, Floats
from quality_assets.domain.series.baseline import Baseline
from quality_assets.domain.series.scale import from_scale


def silence_log_p(exposure: Floats, seen: Floats, deviation: Floats) -> Floats:
    """ln P(no event in a time in which `exposure` events were to be expected), after `seen` events before it.

    −g n ln(1 + E ÷ n): the predictive distribution of a Poisson count whose rate was estimated from n events, which is
    −E once n is large. g = ln φ² ÷ (φ² − 1) ≤ 1 is the negative binomial's allowance for overdispersion φ: both make
    silence less surprising. 0 where nothing was seen or expected. Arrays broadcast.
    """
    exposure, seen = np.asarray(exposure, dtype=float), np.asarray(seen, dtype=float)
    excess = np.maximum(np.nan_to_num(np.asarray(deviation, dtype=float), nan=1.0) ** 2, 1 + 1e-9) - 1
    allowance = np.log1p(excess) / excess
    with np.errstate(divide="ignore", invalid="ignore"):
        log_p = -allowance * seen * np.log1p(exposure / seen)
    return np.asarray(np.where((seen > 0) & (exposure > 0), log_p, 0.0))


def silent_days_to_tell(
    expected_per_day: npt.ArrayLike,
    deviation: npt.ArrayLike = 1.0,
    days_observed: float = 35.0,
    alpha: float = 1e-4,
) -> Floats:
    """Days without any event until silence is beyond chance, P(0) < alpha; NaN where nothing is expected.

    The inverse of `silence_log_p` for a rate that was measured over `days_observed` days.
    """
    expected = np.asarray(expected_per_day, dtype=float)
    excess = np.maximum(np.asarray(deviation, dtype=float) ** 2, 1 + 1e-9) - 1
    allowance = np.log1p(excess) / excess
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        days = np.floor(days_observed * np.expm1(-log(alpha) / (allowance * expected * days_observed))) + 1
    return np.where((expected > 0) & np.isfinite(days), days, np.nan)


class SilenceWatch:
    """How surprising the silence of S series of counts is, day after day, against what was normal before it began."""

    CARRIED = ("_exposure",)
    DAYS: tuple[str, ...] = ()

    def __init__(self, count: int) -> None:
        self.before, self._exposure = Baseline.unknown(count), np.zeros(count)

    def listen(self, baseline: Baseline, weekday: int, amount: Floats) -> Floats:
        """ln P(this run of days without events); 0 where events came, NaN days are passed by."""
        self.before = self.before.where(self._exposure > 0, baseline)
        expected = from_scale("count", self.before.centre("count", weekday, amount), amount)
        added = np.where((amount == 0) & np.isfinite(expected), expected, 0.0)
        self._exposure = np.where(amount > 0, 0.0, self._exposure + added)
        seen = np.nan_to_num(self.before.level * self.before.days)
        return silence_log_p(self._exposure, seen, self.before.deviation[:, weekday])

    def restart(self, where: Bools) -> None:
        """Forget the silence of series for which it has become normal."""
        self._exposure[where] = 0.0
