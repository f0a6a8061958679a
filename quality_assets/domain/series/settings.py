"""What series are judged by: which past days count, what is worth telling, and how wide a band is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from typing import Literal

import numpy as np

from quality_assets.domain.arrays import Ints
from quality_assets.domain.series.panel import Family

# A weekday that was seen less often says little about itself.
WEEKS_TO_TRUST = 3
# Median absolute deviation to standard deviation, for the normal distribution.
MAD_TO_SIGMA = 1.4826


@dataclass(frozen=True)
class Past:
    """Which days before a day say what is normal on it.

    window_days: so many, of which the newest lies lag_days + 1 days back. minimum_days: below this nothing is claimed.
    """

    window_days: int
    minimum_days: int
    lag_days: int = 0

    def first(self, day: int) -> int:
        """Index of the oldest day that counts for the day at index `day`."""
        return max(0, day - self.lag_days - self.window_days)

    def days(self, day: int) -> Ints:
        """Indices of all days that count for it, the oldest first."""
        return np.arange(self.first(day), max(0, day - self.lag_days))

    @property
    def sql_range(self) -> str:
        """The same days as a window frame of SQL over dates."""
        first, last = self.window_days + self.lag_days, self.lag_days + 1
        return f"range between interval {first} days preceding and interval {last} days preceding"


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
class WalkRules:
    """How a deviation is smoothed over the days, and when an episode begins and ends.

    limits: what begins one. smoothing: weight of a day in the EWMA. winsor_sd, change_limit: no day counts for more.
    is_settled: the EWMA is held against the variance that it has in the long run, not that of the days seen so far.
    calm_sd, calm_change: below either a day is calm. calm_days: so many in a row end an episode; with needs_fading only
    once the EWMA is below half of its limit. hold_days: it also ends after more days on which nothing is known; None =
    never. adopt_after_days: what has lasted longer is the new normal, since the EWMA left normal ("run") or since the
    episode began ("episode"). ends_inside: the day that ends an episode belongs to it, and calm days count from its
    start; else that day is the first after it, and may begin the next.
    """

    limits: Limits
    smoothing: float
    winsor_sd: float
    calm_sd: float
    calm_days: int
    adopt_after_days: int
    change_limit: float = inf
    calm_change: float = -inf
    hold_days: int | None = None
    is_settled: bool = False
    needs_fading: bool = False
    ends_inside: bool = False
    since: Literal["run", "episode"] = "episode"


@dataclass(frozen=True)
class RareSettings:
    """What rare bad events are judged by.

    evidence: natural logarithm of the likelihood ratio from which on a series is worse; the mean time between false
    alarms of a CUSUM is at least its exponential, here 60 years of days. recovery: the same for its end, 1 in 20;
    with 1 in 50 what was over stood open for weeks, and labels with it.
    most_a_day: no day alone tells, as failures come in clumps. multiples, failure_share: the rates that are looked for,
    as multiples of the usual one and as a share of all events. few: where more bad events than this are usual a day, a
    day speaks for itself. prior_variance: bad events' worth of evidence that they do not clump. longest_days: what
    would take longer is not told at all. window_days, minimum_days: the past that says what is usual.
    """

    evidence: float = 10.0
    recovery: float = 3.0
    most_a_day: float = 4.5
    multiples: tuple[float, ...] = (3.0, 10.0)
    failure_share: float = 0.3
    few: float = 1.5
    prior_variance: float = 3.0
    longest_days: int = 28
    window_days: int = 120
    minimum_days: int = 12


DEFAULT_RARE = RareSettings()


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
    minimum_sample: a daily quantile of fewer values is not used. minimum_median_sample: the same for the median, which
        five values place well enough for its noise to be learnt.
    minimum_score_sample: the same for a mean of scores: two count for little, but seven days of two do not.
    rare: how rare bad events are judged over several days; None = a day at a time only.
    limits: with these about half a false episode per series and year on heavy-tailed latencies, .1 elsewhere. Counts
        and rates have lower ones, because the chance in them is known; what lies below the least change that matters is
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
    minimum_median_sample: int = 5
    minimum_score_sample: int = 2
    rare: RareSettings | None = DEFAULT_RARE
    limits: tuple[tuple[Family, Limits], ...] = (
        ("count", Limits(3.5, 4.3, 0.10, 0.25)),
        ("rate", Limits(3.8, 4.6, 0.25, 0.50)),
        ("positive", Limits(4.1, 5.0, 0.05, 0.15)),
        ("score", Limits(4.1, 5.0, 0.10, 0.30)),
    )

    @property
    def past(self) -> Past:
        """The days that a baseline is made of."""
        return Past(self.window_days, self.minimum_days, self.lag_days)

    def least_sample(self, metric: str, family: Family) -> int:
        """The fewest values of a day that its quantile or mean may rest on; 1 where the family needs no more."""
        if family == "score":
            return self.minimum_score_sample
        if family == "positive":
            return self.minimum_median_sample if metric == "latency_p50_ms" else self.minimum_sample
        return 1

    def limits_of(self, family: Family) -> Limits:
        """The limits of a family of metrics."""
        return dict(self.limits)[family]

    @property
    def of_silence(self) -> DetectionSettings:
        """The same, where only silence is told: what single events lose otherwise belongs to their feature's volume."""
        return replace(self, limits=tuple((family, Limits(inf, inf, inf, inf)) for family, _ in self.limits))

    def rules_of(self, family: Family) -> WalkRules:
        """How series of a family of metrics are walked through."""
        return WalkRules(
            limits=self.limits_of(family),
            smoothing=self.smoothing,
            winsor_sd=self.winsor_sd,
            calm_sd=self.calm_sd,
            calm_days=self.calm_days,
            adopt_after_days=self.adopt_after_days,
            change_limit=10.0,
            is_settled=True,
            needs_fading=True,
            ends_inside=True,
            since="run",
        )


DEFAULT_SETTINGS = DetectionSettings()


@dataclass(frozen=True)
class BandSettings:
    """What the daily band around each metric is made by.

    past: four of each weekday, up to the day before. min_same_weekdays: until there are so many, all days speak for the
    weekday. sigmas: half of the band's width, in robust standard deviations of the past; with fewer, one feature-day in
    ten of a product without any fault was called worse. relative_floor: below this share of the expectation nothing is
    called a change of a quantile or score; a sigma of it.
    """

    past: Past = Past(window_days=28, minimum_days=7)
    min_same_weekdays: int = WEEKS_TO_TRUST
    sigmas: float = 4.0
    relative_floor: float = 0.01

    @property
    def history_days(self) -> int:
        """Days before the first one that are read: its band needs the expectations of its past, and those theirs."""
        return 2 * self.past.window_days


DEFAULT_BAND = BandSettings()


@dataclass(frozen=True)
class ObjectiveSettings:
    """What objectives are judged by, and which hold by tier where feature_metadata.csv gives none.

    short_days, long_days: the windows of the burn rate: still going on, and enough to matter. chance_sd: the long
    window's excess over what is allowed, in deviations of chance. allowed_days: an objective for a quantile or a mean
    holds on all but so many days. least_allowed: an objective of no failure at all allows one in a million.
    by_tier: the most (of feedback the least) that is allowed by tier 1, 2 and 3; what has no tier goes by 3. Latency
    has no default: whether what is timed is a click or a flight, no tier says.
    """

    short_days: int = 3
    long_days: int = 28
    chance_sd: float = 3.0
    allowed_days: float = 0.05
    least_allowed: float = 1e-6
    by_tier: Mapping[str, tuple[float, float, float]] = field(
        default_factory=lambda: {
            "crash_rate": (0.02, 0.05, 0.10),
            "error_rate": (0.10, 0.20, 0.30),
            "feedback_mean": (3.0, 2.5, 2.0),
        }
    )


DEFAULT_OBJECTIVES = ObjectiveSettings()
