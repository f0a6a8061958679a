"""What is normal by means, and by deviations in units of chance that the series share; weekdays by their own weeks.

The plainer sibling of `baseline`: a series with little history leans on what is usual among all, and no deviation is
smaller than chance gives. Labels of degradation are made with it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.settings import WEEKS_TO_TRUST, Past

_SEASON_WEEKS = 8


def own_week_effect(x: Floats, weeks: int = _SEASON_WEEKS) -> Floats:
    """S × D: what the weekday adds, as known before the day: the median over the weeks of day minus its own week.

    The week around a day is complete three days later, so the latest value used is seven days old.
    """
    n, days = x.shape
    if days < 8:
        return np.zeros((n, days))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (3, 3)), constant_values=np.nan), 7, axis=1)
    deviation = x - around.mean(axis=2)
    past = np.full((weeks, n, days), np.nan)
    for week in range(1, weeks + 1):
        if 7 * week < days:
            past[week - 1, :, 7 * week :] = deviation[:, : days - 7 * week]
    past.sort(axis=0)
    count = np.isfinite(past).sum(axis=0)
    low = np.take_along_axis(past, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    high = np.take_along_axis(past, (count // 2)[None] % weeks, axis=0)[0]
    # One or two weeks say little about a weekday, and an unseen week says nothing.
    trust = np.minimum(count, WEEKS_TO_TRUST) / WEEKS_TO_TRUST
    return np.where(count > 0, trust * (low + high) / 2, 0.0)


class PooledBaseline:
    """Level and deviation of S series on an additive scale, day after day; NaN where too little is known.

    x: S × D, NaN where it says nothing. chance_sd: from W days and the levels found on them (S), S × W standard
    deviations that chance alone gives the values. pooled_days: so many days of what is usual among the series are added
    to what each shows itself. least_deviation: in units of chance; below it is luck.
    """

    def __init__(
        self,
        x: Floats,
        chance_sd: Callable[[Ints, Floats], Floats],
        past: Past,
        pooled_days: float,
        least_deviation: float = 1.0,
    ) -> None:
        self.x, self.season, self.past = x, own_week_effect(x), past
        self.level, self.deviation = np.full(len(x), np.nan), np.full(len(x), np.nan)
        self.is_masked = np.zeros(x.shape, bool)
        self._chance_sd, self._pooled_days, self._least = chance_sd, pooled_days, least_deviation

    def expected(self, day: int) -> Floats:
        """Where each series is expected on a day that has been learnt for."""
        return np.asarray(self.level + self.season[:, day])

    def learn(self, day: int, is_held: Bools) -> None:
        """Level and deviation for a day, by its past; series that are held keep theirs where the past is short."""
        days = self.past.days(day)[::-1]
        if len(days) < self.past.minimum_days:
            return
        adjusted = self.x[:, days] - self.season[:, day - (day - days) % 7]
        usable = np.isfinite(adjusted) & ~self.is_masked[:, days]
        count = usable.sum(axis=1)
        level = np.where(usable, adjusted, 0).sum(axis=1) / np.maximum(count, 1)
        chance = self._chance_sd(days, level)
        spread = np.where(usable, np.abs(adjusted - level[:, None]) / chance, 0).sum(axis=1)
        # Mean absolute deviation of a normal is √(2/π) sd; (n − 1) corrects for the fitted level.
        own = np.sqrt(np.pi / 2) * spread / np.sqrt(np.maximum(count * (count - 1), 1))
        is_enough = count >= self.past.minimum_days
        usual = np.median(own[is_enough]) if is_enough.any() else np.nan
        both = np.sqrt((count * own**2 + self._pooled_days * usual**2) / (count + self._pooled_days))
        self.level = np.where(is_enough, level, np.where(is_held, self.level, np.nan))
        self.deviation = np.where(is_enough, np.maximum(both, self._least), np.where(is_held, self.deviation, np.nan))

    def mask(self, day: int, is_abnormal: Bools, is_adopted: Bools, adopted_days: int) -> None:
        """Keep abnormal days out of later pasts; where a change is adopted, let in its days and those before it."""
        if is_adopted.any():
            self.is_masked[is_adopted, max(0, day - adopted_days) : day] = False
        self.is_masked[:, day] = is_abnormal
