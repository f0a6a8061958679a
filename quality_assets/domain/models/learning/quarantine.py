"""Windows of time in which a table is broken: rows outside a band that all others keep, so many that chance is no word.

The band is that of the quiet months: lowest and highest ratio, once the months that spread far more than usual are left
out. The window is the stretch of days with most rows outside against all that lies inside (Kadane's maximum sum).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints

_SPREAD_LIMIT = 1.25
_LEAST_OUTSIDE = 10
_INSIDE_COSTS = 0.05
_MOST_WINDOWS = 5
_LEAST_MONTH_ROWS = 10


@dataclass(frozen=True)
class Window:
    """A stretch of days that is broken, with the band that it breaks: rows within, and how many of them lie outside."""

    first_day: int
    last_day: int
    rows: int
    outside: int
    rows_elsewhere: int
    outside_elsewhere: int
    low: float
    high: float

    def words(self, what: str) -> str:
        """The finding in a sentence."""
        first, last = (str(np.datetime64(day, "D")) for day in (self.first_day, self.last_day))
        others = self.rows_elsewhere - self.outside_elsewhere
        kept = "all" if not self.outside_elsewhere else f"{others:,} of"
        return (
            f"{first} to {last}: {what} lies outside {self.low:.3f} to {self.high:.3f} in {self.outside:,} of"
            f" {self.rows:,} rows, and within it in {kept} {self.rows_elsewhere:,} others"
        )


def broken_windows(day: Ints, ratio: Floats) -> list[Window]:
    """The broken windows of n rows by day, earliest first; empty where all keep one band."""
    is_known = np.isfinite(ratio)
    band = _band(day[is_known], ratio[is_known])
    if band is None:
        return []
    low, high = band
    outside = is_known & ((ratio < low) | (ratio > high))
    is_free = np.ones(len(day), dtype=bool)
    found: list[tuple[int, int]] = []
    while len(found) < _MOST_WINDOWS:
        window = _densest(day, outside & is_free, is_free)
        if window is None:
            break
        found.append(window)
        is_free &= ~_within(day, window)
    everywhere = np.zeros(len(day), dtype=bool)
    for window in found:
        everywhere |= _within(day, window)
    return [
        Window(
            *window,
            int(_within(day, window).sum()),
            int((outside & _within(day, window)).sum()),
            int((~everywhere).sum()),
            int((outside & ~everywhere).sum()),
            low,
            high,
        )
        for window in sorted(found)
    ]


def _within(day: Ints, window: tuple[int, int]) -> Bools:
    return (day >= window[0]) & (day <= window[1])


def _band(day: Ints, ratio: Floats) -> tuple[float, float] | None:
    """Lowest and highest ratio of the months that spread as usual; None where there are too few months to tell."""
    months = day.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    found = [month for month in np.unique(months) if (months == month).sum() >= _LEAST_MONTH_ROWS]
    if len(found) < 3:
        return None
    lows = np.array([ratio[months == month].min() for month in found])
    highs = np.array([ratio[months == month].max() for month in found])
    spread = highs / np.maximum(lows, 1e-12)
    is_quiet = spread <= np.median(spread) * _SPREAD_LIMIT
    return (float(lows[is_quiet].min()), float(highs[is_quiet].max())) if is_quiet.any() else None


def _densest(day: Ints, outside: Bools, is_free: Bools) -> tuple[int, int] | None:
    """First and last day of the stretch with most rows outside, a row inside costing a twentieth of one outside."""
    if not outside.any():
        return None
    days = np.unique(day[is_free])
    gains = np.array(
        [(outside & (day == each)).sum() - _INSIDE_COSTS * ((day == each) & is_free & ~outside).sum() for each in days]
    )
    total = np.concatenate([[0.0], np.cumsum(gains)])
    lowest = np.minimum.accumulate(total)
    end = int(np.argmax(total - lowest))
    start = int(np.flatnonzero(total[: end + 1] == lowest[end])[-1])
    has_any = np.array([outside[day == each].any() for each in days])
    inside = np.flatnonzero(has_any[start:end])
    if not len(inside):
        return None
    first, last = int(days[start + inside[0]]), int(days[start + inside[-1]])
    rows = _within(day, (first, last)) & is_free
    is_dense = (outside & rows).sum() >= max(_LEAST_OUTSIDE, 0.1 * rows.sum())
    return (first, last) if is_dense else None
