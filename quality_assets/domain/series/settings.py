"""What change detection is tuned by."""

from __future__ import annotations

from dataclasses import dataclass

from quality_assets.domain.series.panel import Family


@dataclass(frozen=True)
class Limits:
    """When a family of metrics is worth telling: beyond chance, and large enough.

    ewma, spike_sd: in standard deviations of the smoothed and of a single day's residual. sustained, one_day: the
    smallest change that matters; relative, for scores in points.
    """

    ewma: float
    spike_sd: float
    sustained: float
    one_day: float


@dataclass(frozen=True)
class DetectionSettings:
    """Every setting of the detector, with its reason.

    window_days: five of each weekday; longer windows trail behind growth, shorter ones make noisy weekday levels.
    lag_days: the newest days stay out of the baseline, so that a creep does not become its own normal.
    minimum_days: below this no deviation is known and nothing is claimed.
    smoothing: EWMA weight, the usual compromise between steps of 1 and of 3 deviations (Lucas & Saccucci 1990).
    winsor_sd: one wild day must not carry the EWMA over its limit on its own: .3 × 4 ÷ .42 = 2.9 < limits.
    silence_alpha: P(no event | normal) below which silence is news; 365 chances a year make .04 false ones.
    calm_sd, calm_days: an episode ends after this many days in a row that look normal.
    adopt_after_days: a change that has lasted this long is the new normal, and history starts over with it.
    minimum_sample: a daily quantile of fewer values is not used.
    minimum_score_sample: the same for a mean of scores: two count for little, but seven days of two do not.
    limits: with these about one false episode per series and year on heavy-tailed latencies, .1 elsewhere. Counts and
        rates have lower ones, because the chance in them is known; what lies below the least change that matters is
        real at best, never important.
    """

    window_days: int = 35
    lag_days: int = 8
    minimum_days: int = 12
    smoothing: float = 0.3
    winsor_sd: float = 4.0
    silence_alpha: float = 1e-4
    calm_sd: float = 1.5
    calm_days: int = 3
    adopt_after_days: int = 42
    minimum_sample: int = 20
    minimum_score_sample: int = 2
    limits: tuple[tuple[Family, Limits], ...] = (
        ("count", Limits(3.5, 4.3, 0.10, 0.25)),
        ("rate", Limits(3.8, 4.6, 0.25, 0.50)),
        ("positive", Limits(4.1, 5.0, 0.05, 0.15)),
        ("score", Limits(4.1, 5.0, 0.10, 0.30)),
    )

    def limits_of(self, family: Family) -> Limits:
        """The limits of a family of metrics."""
        return dict(self.limits)[family]


DEFAULT_SETTINGS = DetectionSettings()
