"""What drift is judged by: kinds, statistics and limits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["data", "prediction", "performance"]


Statistic = Literal["w1", "binomial_z", "total_variation", "mean_shift"]


@dataclass(frozen=True)
class DriftSettings:
    """Every setting of the drift monitor, with its reason.

    reference_weeks: same weekdays before; fewer are noisy, more trail behind growth and the seasons.
    turnover_days: what changes by design (the mix of app versions) is held against the last days instead.
    null_days: this many earlier days, each against its own reference, are the null.
    minimum_reference_days, minimum_null_days: below these nothing is claimed.
    minimum_rows: a day of fewer rows has no distribution to speak of.
    null_mads: threshold = null median + so many null MADs (2.7 deviations, were the null Gaussian, which it is not).
    w1_floor: smaller shifts do not matter: 5 % of a latency, .05 of a score's spread.
    input_floor: the same for model inputs, in their own robust deviations.
    rate_windows_days: rates are judged over these trailing windows at once, because rare counts say little in a day.
    rate_lean_sd: a longer window counts only while the last day itself leans the same way by so many deviations.
    pooled_discount: what a longer window's deviations count for: three windows are more chances than one.
    rate_floor_z, rate_floor_change: a rate must have moved by this much in deviations, and relative to itself.
    mix_floor: traffic that must have moved between the values of a column.
    shift_floor: in deviations of the earlier days' means.
    false_discovery_rate: Benjamini & Hochberg (1995) over all tests of a day and family; with one test alone it is
        the share of false alarms, to stay below 2 %.
    least_distance: smaller distances of a kind do not matter either: w1, traffic that moved, or of a rate the share of
        itself that it has moved by; 0 leaves it at the floors above.
    thin_above: earlier days with so many times today's rows are thinned to today's number for the null.
    """

    reference_weeks: int = 8
    turnover_days: int = 3
    null_days: int = 56
    minimum_reference_days: int = 2
    minimum_null_days: int = 14
    minimum_rows: int = 20
    null_mads: float = 4.0
    w1_floor: float = 0.05
    input_floor: float = 0.10
    rate_windows_days: tuple[int, ...] = (1, 3, 7)
    rate_lean_sd: float = 1.0
    pooled_discount: float = 0.85
    rate_floor_z: float = 2.5
    rate_floor_change: float = 0.10
    mix_floor: float = 0.03
    shift_floor: float = 3.0
    false_discovery_rate: float = 0.02
    least_distance: float = 0.0
    thin_above: float = 1.5

    def reference_offsets(self, is_turnover: bool) -> tuple[int, ...]:
        """Days back that make up the reference."""
        if is_turnover:
            return tuple(range(1, self.turnover_days + 1))
        return tuple(7 * week for week in range(1, self.reference_weeks + 1))


DEFAULT_DRIFT_SETTINGS = DriftSettings()
