"""Change detection on daily series: has a metric of a product feature left its own past, and since when.

Here: panels (feature × day matrices of one metric), the causal baseline, the EWMA, spike and silence rules, and the
dating of a change. What a detection means to people (incidents, severity, slices) lives in `incidents`; whole
distributions and model inputs are watched in `drift`.

Every number of a day is made from that day and days before it: appending days never changes an earlier one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from math import inf, log
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from quality_assets.domain.metrics import METRICS_BY_NAME, Metric

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Family = Literal["count", "rate", "positive", "score"]

# Each shows a fault of its own; crash-free sessions, apdex and p99 follow from these and would only repeat them.
MONITORED_METRICS = ("events", "crash_rate", "error_rate", "latency_p95_ms", "latency_p50_ms", "feedback_mean")

_SAMPLE_SIZES = {
    "latency_p50_ms": "latency_count",
    "latency_p95_ms": "latency_count",
    "latency_p99_ms": "latency_count",
    "latency_mean_ms": "latency_count",
    "apdex": "apdex_count",
    "feedback_mean": "feedback_count",
}
_WEEKDAYS = 7


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


@dataclass(frozen=True)
class Panel:
    """One metric of S series over D consecutive days.

    value: S × D, NaN = unknown. amount: S × D, the numerator of a rate, else equal to value. sample: S × D, the
    denominator of a rate or the number of values behind a quantile or mean; NaN where not known (treated as ample).
    worse: +1 where up hurts, −1 where down does.
    """

    metric: str
    family: Family
    worse: int
    series: tuple[str, ...]
    dates: tuple[date, ...]
    value: Floats
    amount: Floats
    sample: Floats

    @property
    def weekdays(self) -> Ints:
        """Weekday of each day, Monday = 0; length D."""
        return np.array([day.weekday() for day in self.dates], dtype=np.int64)


@dataclass(frozen=True)
class Detections:
    """What the detector says of a panel, all S × D; NaN where nothing is known.

    expected: what was normal that day, in the metric's unit. z: how far on the bad side, in the series' own
    deviations. ewma: smoothed winsorised z in its own standard deviations. change: relative, in points for scores.
    silence_log_p: ln P(this run of days without events | normal), 0 outside of runs, counts only.
    noise: the deviation of the metric in its unit that day. is_active: inside an episode. is_start: found that day.
    run_start: index of the day on which the smoothed residual last left normal.
    is_adopted: the episode ended that day because the change has become the new normal.
    """

    panel: Panel
    expected: Floats
    z: Floats
    ewma: Floats
    change: Floats
    noise: Floats
    silence_log_p: Floats
    is_active: Bools
    is_start: Bools
    is_silence: Bools
    is_adopted: Bools
    run_start: Ints


@dataclass(frozen=True)
class Episode:
    """One uninterrupted deviation of one series; the day fields are indices into `panel.dates`.

    start_day is dated by the better of a step and a ramp (`date_change`); end_day is None while it is open.
    """

    series: int
    metric: str
    detected_day: int
    start_day: int
    end_day: int | None
    last_day: int
    kind: Literal["step", "creep", "spike", "dead"]
    score: float


def metric_family(metric: Metric) -> Family:
    """How the noise of a metric behaves: Poisson, binomial, multiplicative, or additive."""
    if metric.denominator is not None and metric.unit == "fraction":
        return "rate"
    if metric.unit == "ms":
        return "positive"
    return "score" if metric.unit == "score" else "count"


def panel_from_facts(
    facts: pd.DataFrame, metric_name: str, known_dates: Iterable[date] | None = None, key: str = "feature"
) -> Panel:
    """The panel of one metric from rows of `product.fact_feature_metrics`.

    `facts` has `event_date`, `key`, the metric and its measures, one row per series and day. Days are made
    consecutive. A series without a row on a known day had no events: its counts are 0 from its first row on, and its
    other metrics are unknown. A day that is not known (by default: on which no series has a row) is unknown for all:
    a gap in the data is not a death. Raises KeyError for an unknown metric or a missing column.
    """
    metric = METRICS_BY_NAME[metric_name]
    family = metric_family(metric)
    days = pd.to_datetime(facts["event_date"])
    known = pd.DatetimeIndex(pd.to_datetime(list(known_dates if known_dates is not None else days.unique())))
    every = known.union(pd.DatetimeIndex(days.unique()))
    if not len(every):
        empty = np.empty((0, 0))
        return Panel(metric_name, family, _worse(metric), (), (), empty, empty, empty)
    index = pd.date_range(every.min(), every.max())
    names = sorted(facts[key].unique())
    rows, columns = pd.Index(names).get_indexer(pd.Index(facts[key])), index.get_indexer(pd.DatetimeIndex(days))

    def matrix(column: str) -> Floats:
        filled = np.full((len(names), len(index)), np.nan)
        filled[rows, columns] = facts[column].to_numpy(dtype=float, na_value=np.nan)
        return filled

    value = matrix(metric_name)
    amount, sample = value, np.full_like(value, np.nan)
    if family == "rate":
        amount, sample = matrix(str(metric.numerator)), matrix(str(metric.denominator))
    elif metric_name in _SAMPLE_SIZES and _SAMPLE_SIZES[metric_name] in facts:
        sample = matrix(_SAMPLE_SIZES[metric_name])
    if family == "count":
        seen = np.zeros(value.shape, bool)
        seen[rows, columns] = True
        is_silent = np.maximum.accumulate(seen, axis=1) & ~seen & index.isin(known)[None, :]
        value = amount = np.where(is_silent, 0.0, value)
    # A complement (crash-free …) is watched through its numerator, which is what hurts.
    worse = 1 if metric.complement else _worse(metric)
    if metric.complement:
        value = 1 - value
    return Panel(metric_name, family, worse, tuple(names), tuple(d.date() for d in index), value, amount, sample)


def _worse(metric: Metric) -> int:
    return -1 if metric.bad_direction == "down" else 1


def detect(panel: Panel, settings: DetectionSettings = DEFAULT_SETTINGS) -> Detections:
    """Run the detector over a panel; a loop over days that carries vectors over series.

    Working scale: 2√(x + 3/8) for counts, 2 arcsin √((x + 3/8) ÷ (n + 3/4)) for rates (Anscombe 1948: unit binomial
    or Poisson variance, so that a deviation above 1 is overdispersion, as in Laney's p′ chart, 2002), logarithm for
    latencies, as it is for scores. The residual from the lagged, weekday-adjusted baseline is divided by the
    series' own deviation, winsorised and smoothed.
    """
    tracker = _Tracker(panel, settings)
    for day in range(len(panel.dates)):
        tracker.step(day)
    return tracker.result()


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
        return np.asarray(_centre(family, self.level, known) + self.effect[:, weekday])

    def deviation_on(self, family: Family, weekday: int, sample: Floats) -> Floats:
        """How far it may lie from there."""
        known = np.where(np.isfinite(sample), sample, self.typical)
        return np.asarray(self.deviation[:, weekday] * _spread(family, known, self.typical))


class _Tracker:
    """The state of the detector between days: vectors over series, and the matrices that it fills."""

    def __init__(self, panel: Panel, settings: DetectionSettings) -> None:
        self.panel, self.settings = panel, settings
        self.limits = settings.limits_of(panel.family)
        count, days = panel.value.shape
        self.weekdays = panel.weekdays
        self.amount, self.sample = _usable(panel, settings)
        self.scaled = _to_scale(panel.family, self.amount, self.sample)
        self.is_kept = np.isfinite(self.scaled)
        self.out = {name: np.full((count, days), np.nan) for name in ("expected", "z", "ewma", "change", "noise")}
        self.flags = {name: np.zeros((count, days), bool) for name in ("active", "start", "silence", "adopted")}
        self.silence_log_p = np.zeros((count, days))
        self.run_starts = np.zeros((count, days), dtype=np.int64)
        self.smooth_z, self.smooth_change, self.log_p = np.zeros(count), np.zeros(count), np.zeros(count)
        self.active = np.zeros(count, bool)
        self.calm, self.run_start = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        self.history_start = np.zeros(count, dtype=np.int64)
        unknown = np.full(count, np.nan)
        self.baseline = Baseline(unknown, np.full((count, 7), np.nan), np.full((count, 7), np.nan), unknown, unknown)
        self.before_silence, self.exposure = self.baseline, np.zeros(count)

    def step(self, day: int) -> None:
        """Judge one day."""
        # An episode is held against what was normal before it, however long it lasts.
        self.baseline = self.baseline.where(self.active, self._fit(day))
        weekday, sample = int(self.weekdays[day]), self.sample[:, day]
        centre = self.baseline.centre(self.panel.family, weekday, sample)
        deviation = self.baseline.deviation_on(self.panel.family, weekday, sample)
        expected = _from_scale(self.panel.family, centre, sample)
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = self.scaled[:, day] - centre
            if self.panel.family == "rate":
                # A handful of crashes where one a month is usual is far rarer than its arcsine says.
                gap = _deviance_residual(self.amount[:, day], expected * sample) / np.sqrt(sample + 0.5)
            z = self.panel.worse * gap / deviation
        upper = _from_scale(self.panel.family, centre + deviation, sample)
        change = self.panel.worse * self._change(self.panel.value[:, day], expected)
        self.out["expected"][:, day], self.out["z"][:, day] = expected, z
        self.out["change"][:, day], self.out["noise"][:, day] = change, np.abs(upper - expected)
        self._smooth(day, z, change)
        self._listen(day, weekday)
        self._switch(day, z, change)

    def result(self) -> Detections:
        """All that was found."""
        return Detections(
            panel=self.panel,
            silence_log_p=self.silence_log_p,
            is_active=self.flags["active"],
            is_start=self.flags["start"],
            is_silence=self.flags["silence"],
            is_adopted=self.flags["adopted"],
            run_start=self.run_starts,
            **self.out,
        )

    def _change(self, value: Floats, expected: Floats) -> Floats:
        if self.panel.family == "score":
            return value - expected
        with np.errstate(invalid="ignore", divide="ignore"):
            relative = value / expected - 1
        return np.where((expected <= 0) & (value > 0), inf, np.where(expected > 0, relative, 0.0 * value))

    def _fit(self, day: int) -> Baseline:
        first = max(0, day - self.settings.window_days - self.settings.lag_days)
        window = slice(first, day)
        days = np.arange(first, day)
        usable = self.is_kept[:, window] & (days >= self.history_start[:, None])
        lagged = usable & (days < day - self.settings.lag_days)
        # A young series uses its newest days too: better a baseline that may creep than none.
        is_young = lagged.sum(axis=1) < self.settings.minimum_days
        return fit_baseline(
            self.panel.family,
            self.amount[:, window],
            self.sample[:, window],
            np.where(is_young[:, None], usable, lagged),
            self.weekdays[window],
            self.settings.minimum_days,
        )

    def _smooth(self, day: int, z: Floats, change: Floats) -> None:
        weight, limit = self.settings.smoothing, self.settings.winsor_sd
        known = np.isfinite(z)
        clipped = np.clip(np.where(known, z, 0.0), -limit, limit)
        self.smooth_z = np.where(known, (1 - weight) * self.smooth_z + weight * clipped, self.smooth_z)
        bounded = np.clip(np.where(known, change, 0.0), -10.0, 10.0)
        self.smooth_change = np.where(known, (1 - weight) * self.smooth_change + weight * bounded, self.smooth_change)
        ewma = self.smooth_z / np.sqrt(weight / (2 - weight))
        self.out["ewma"][:, day] = np.where(known, ewma, np.nan)
        self.run_start = np.where((ewma <= 1) & ~self.active, day + 1, self.run_start)
        self.run_starts[:, day] = np.minimum(self.run_start, day)

    def _listen(self, day: int, weekday: int) -> None:
        """ln P(this run of days without events), against what was normal before the run."""
        if self.panel.family != "count":
            return
        value = self.amount[:, day]
        self.before_silence = self.before_silence.where(self.exposure > 0, self.baseline)
        normal = self.before_silence
        expected = _from_scale("count", normal.centre("count", weekday, value), value)
        added = np.where((value == 0) & np.isfinite(expected), expected, 0.0)
        self.exposure = np.where(value > 0, 0.0, self.exposure + added)
        seen = np.nan_to_num(normal.level * normal.days)
        self.log_p = silence_log_p(self.exposure, seen, normal.deviation[:, weekday])
        self.silence_log_p[:, day] = self.log_p

    def _switch(self, day: int, z: Floats, change: Floats) -> None:
        settings, limits, out = self.settings, self.limits, self.out
        with np.errstate(invalid="ignore"):
            sustained = (out["ewma"][:, day] > limits.ewma) & (self.smooth_change > limits.sustained)
            sustained &= z > settings.calm_sd
            spike = (z > limits.spike_sd) & (change > limits.one_day)
            is_calm = z < settings.calm_sd
        silent = self.log_p < log(settings.silence_alpha)
        self.flags["silence"][:, day] = silent
        start = ~self.active & (sustained | spike | silent)
        self.active |= start
        self.calm = np.where(start | (np.isfinite(z) & ~is_calm) | silent, 0, self.calm + (is_calm & ~silent))
        faded = self.out["ewma"][:, day] < limits.ewma / 2
        ended = self.active & (self.calm >= settings.calm_days) & faded
        adopted = self.active & (day - self.run_start >= settings.adopt_after_days)
        self.flags["active"][:, day], self.flags["start"][:, day] = self.active, start
        self.flags["adopted"][:, day] = adopted
        self._mask(day, start)
        self._close(day, ended, adopted)

    def _mask(self, day: int, start: Bools) -> None:
        """Keep abnormal days out of later baselines, those just before the alarm included."""
        self.is_kept[self.active & (self.calm == 0), day] = False
        for series in np.flatnonzero(start):
            self.is_kept[series, self.run_start[series] : day + 1] = False

    def _close(self, day: int, ended: Bools, adopted: Bools) -> None:
        for series in np.flatnonzero(adopted):
            begin = int(self.run_start[series])
            self.history_start[series] = begin
            self.is_kept[series, begin : day + 1] = np.isfinite(self.scaled[series, begin : day + 1])
        done = ended | adopted
        self.active &= ~done
        self.calm[done] = 0
        self.smooth_z[done] = 0.0
        self.smooth_change[done] = 0.0
        self.exposure[adopted] = 0.0
        self.run_start[done] = day + 1


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


def _deviance_residual(observed: Floats, expected: Floats) -> Floats:
    """Signed root of the Poisson deviance, √2(x ln(x ÷ μ) − x + μ): normal far into the tails of the smallest counts,
    where variance-stabilised ones are not (Pierce & Schafer 1986). Half an event is taken off above μ, for continuity.
    """
    above = observed > expected
    x = np.where(above, np.maximum(observed - 0.5, expected), observed)
    mu = np.maximum(expected, 1e-3)
    deviance = np.where(x > 0, x * np.log(np.maximum(x, 1e-9) / mu), 0.0) - x + mu
    return np.asarray(np.where(above, 1, -1) * np.sqrt(2 * np.maximum(deviance, 0.0)))


def _usable(panel: Panel, settings: DetectionSettings) -> tuple[Floats, Floats]:
    """The amounts and sample sizes that may be used: too few values behind a number make it unknown."""
    amount, sample = panel.amount.astype(float), panel.sample.astype(float)
    with np.errstate(invalid="ignore"):
        if panel.family == "rate":
            bad = ~(sample > 0) | (amount > sample) | (amount < 0)
        elif panel.family == "count":
            bad = amount < 0
        else:
            least = settings.minimum_score_sample if panel.family == "score" else settings.minimum_sample
            bad = (sample < least) | ((panel.family == "positive") & ~(amount > 0))
    amount = np.where(bad | ~np.isfinite(amount), np.nan, amount)
    return amount, np.where(np.isfinite(sample), sample, np.nan)


def _to_scale(family: Family, amount: Floats, sample: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        if family == "count":
            return np.asarray(2 * np.sqrt(amount + 0.375))
        if family == "rate":
            return np.asarray(2 * np.arcsin(np.sqrt(np.clip((amount + 0.375) / (sample + 0.75), 0, 1))))
        return np.asarray(np.log(amount)) if family == "positive" else amount


def _from_scale(family: Family, scaled: Floats, sample: Floats) -> Floats:
    if family == "count":
        return np.asarray(np.maximum((np.maximum(scaled, 0) / 2) ** 2 - 0.375, 0.0))
    if family == "rate":
        share = np.sin(np.clip(scaled, 0, np.pi) / 2) ** 2
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(np.clip(((sample + 0.75) * share - 0.375) / sample, 0, 1))
    return np.asarray(np.exp(scaled)) if family == "positive" else scaled


def _spread(family: Family, sample: Floats, typical: Floats) -> Floats:
    """Standard deviation of the working scale up to the series' own factor.

    Binomial for rates. A quantile or mean of fewer values than usual counts for less; more values than usual do not
    make it count for more, because most of the noise of a large sample is between days, not within them.
    """
    if family == "count":
        return np.ones_like(sample)
    if family == "rate":
        return np.asarray(1 / np.sqrt(sample + 0.5))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sqrt(np.maximum(1.0, typical / sample))
    return np.where(np.isfinite(ratio), ratio, 1.0)


_LEAST_DEVIATION: dict[Family, float] = {"count": 1.0, "rate": 1.0, "positive": 0.004, "score": 0.01}


def fit_baseline(
    family: Family, amount: Floats, sample: Floats, usable: Bools, weekdays: Ints, minimum_days: int
) -> Baseline:
    """What is normal for each series, from a window of W days.

    amount, sample, usable: S × W; weekdays: W. Two passes: level and deviation, then again without the days that lie
    more than four deviations away. Weekday levels are shrunk towards the common level by James & Stein (1961), so that
    a series without a weekly shape pays nothing for the question. The deviation is that of a new day: it allows for
    the estimated level.
    """
    typical = _nan_median(np.where(usable, sample, np.nan))
    spread = _spread(family, sample, typical[:, None])
    one_hot = (weekdays[:, None] == np.arange(_WEEKDAYS)).astype(float)
    residual, level = _residuals(family, amount, sample, usable)
    effect, shrink, deviation, own = _weekday_effects(residual, spread, usable, one_hot)
    with np.errstate(invalid="ignore"):
        standard = np.abs(residual - effect @ one_hot.T) / spread
        kept = usable & (standard <= 4 * np.maximum(deviation, _LEAST_DEVIATION[family])[:, None])
    residual, level = _residuals(family, amount, sample, kept)
    effect, shrink, deviation, own = _weekday_effects(residual, spread, kept, one_hot)
    days = kept.sum(axis=1)
    prediction = np.sqrt(1 + 1 / np.maximum(days, 1)[:, None] + shrink[:, None] / np.maximum(own, 1))
    is_known = days >= minimum_days
    return Baseline(
        level=np.where(is_known, level, np.nan),
        effect=effect,
        deviation=np.maximum(deviation[:, None] * prediction, _LEAST_DEVIATION[family]),
        typical=typical,
        days=days.astype(float),
    )


def _centre(family: Family, level: Floats, sample: Floats) -> Floats:
    """The working scale of a day that is exactly at its level: pooled events or rate, mean logarithm or score."""
    if family == "count":
        return _to_scale("count", level, sample)
    if family == "rate":
        return _to_scale("rate", level * sample, sample)
    return level


def _residuals(family: Family, amount: Floats, sample: Floats, kept: Bools) -> tuple[Floats, Floats]:
    days = kept.sum(axis=1)
    total = np.where(kept, amount, 0.0).sum(axis=1)
    scaled = _to_scale(family, amount, sample)
    with np.errstate(divide="ignore", invalid="ignore"):
        if family == "count":
            level = total / days
        elif family == "rate":
            level = total / np.where(kept, sample, 0.0).sum(axis=1)
        else:
            level = np.where(kept, scaled, 0.0).sum(axis=1) / days
    return scaled - _centre(family, level[:, None], sample), level


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
        shrink = np.clip(1 - np.maximum(present - 3, 0) * mean_error / size, 0.0, 1.0)
    # Weekday levels that were seen once or twice are noise however they compare.
    shrink = np.where((size > 0) & (days >= 2 * present), shrink, 0.0)
    effect = raw * shrink[:, None]
    standard = np.where(kept, (residual - effect @ one_hot.T) / spread, np.nan)
    return effect, shrink, _deviation(standard, days, shrink * present), own


def _deviation(standard: Floats, days: Ints, parameters: Floats) -> Floats:
    """Root mean square after cutting at 3.5 robust deviations, for the degrees of freedom that are left."""
    robust = 1.4826 * _nan_median(np.abs(standard))
    limit = np.where(robust > 0, 3.5 * robust, inf)[:, None]
    bounded = np.where(np.isfinite(standard), np.clip(standard, -limit, limit), 0.0)
    free = np.maximum(days - np.minimum(parameters, days - 2) - 1, 1)
    return np.asarray(np.sqrt((bounded**2).sum(axis=1) / free))


def _nan_median(values: Floats) -> Floats:
    """Median along the last axis without NaN; NaN where there is nothing. Faster than numpy's and without warnings."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low = ordered[rows, np.maximum((count - 1) // 2, 0)]
    high = ordered[rows, np.minimum(count // 2, values.shape[1] - 1)]
    return np.where(count > 0, (low + high) / 2, np.nan)


def episodes(detections: Detections, settings: DetectionSettings = DEFAULT_SETTINGS) -> list[Episode]:
    """The episodes of a panel, ordered by detection day and series.

    The id-giving fields (series, metric, detected_day) never change when days are appended; start, end and kind of
    an episode may, as long as it is open.
    """
    starts = np.argwhere(detections.is_start.T)
    return [_episode(detections, int(series), int(day), settings) for day, series in starts]


def _episode(detections: Detections, series: int, detected: int, settings: DetectionSettings) -> Episode:
    active = detections.is_active[series]
    total = len(active)
    off = np.flatnonzero(~active[detected:] | _restarts(detections, series, detected))
    stop = detected + int(off[0]) if len(off) else total
    z = detections.z[series]
    silent = detections.is_silence[series]
    inside = np.arange(detected, stop)
    with np.errstate(invalid="ignore"):
        bad = inside[(z[inside] >= settings.calm_sd) | silent[inside]]
    last_bad = int(bad[-1]) if len(bad) else detected
    adopted = bool(detections.is_adopted[series, stop - 1])
    closed = stop < total or adopted or _has_calmed(z, last_bad, stop, settings)
    start, shape = _dated(detections, series, detected, last_bad)
    if closed and not adopted:
        last_bad = max(detected, start + date_end(z[start : last_bad + 1]))
    kind: Literal["step", "creep", "spike", "dead"]
    last_silent = int(inside[silent[inside]][-1]) if silent[inside].any() else -1
    if last_silent >= 0:
        kind = "dead"
        # What fell first and was found then, and is silent now, began with the fall.
        silence = _silence_start(detections, series, detected, last_bad)
        start = silence if silence <= detected else start
        last_bad = max(start, last_silent) if closed else last_bad
    elif last_bad == start and (closed or z[start] > settings.limits_of(detections.panel.family).spike_sd):
        kind = "spike"
    else:
        kind = shape
    peak = np.nanmax(np.where(np.isfinite(z[start : last_bad + 1]), z[start : last_bad + 1], -inf))
    score = float(max(peak, _finite(detections.ewma[series, detected])))
    end = last_bad if closed else None
    return Episode(series, detections.panel.metric, detected, start, end, last_bad, kind, score)


def _restarts(detections: Detections, series: int, detected: int) -> Bools:
    later = detections.is_start[series, detected:].copy()
    later[0] = False
    return np.asarray(later)


def _has_calmed(z: Floats, last_bad: int, stop: int, settings: DetectionSettings) -> bool:
    return int(np.isfinite(z[last_bad + 1 : stop]).sum()) >= settings.calm_days


def _finite(value: float) -> float:
    return float(value) if np.isfinite(value) else 0.0


def _silence_start(detections: Detections, series: int, detected: int, last: int) -> int:
    """First day of the silence that was told: back over days without events, and over unknown ones between them."""
    value = detections.panel.value[series]
    silent = np.flatnonzero(detections.is_silence[series, detected : last + 1])
    day = start = detected + int(silent[0])
    while day >= 0 and not value[day] > 0:
        start = day if value[day] == 0 else start
        day -= 1
    return start


def _dated(detections: Detections, series: int, detected: int, last: int) -> tuple[int, Literal["step", "creep"]]:
    first = max(0, min(int(detections.run_start[series, detected]), detected) - 6)
    z = np.nan_to_num(detections.z[series, first : last + 1], nan=0.0)
    offset, shape = date_change(z, detected - first)
    return first + offset, shape


def date_change(z: Floats, detected: int) -> tuple[int, Literal["step", "creep"]]:
    """When a change began that was found at index `detected` of a standardised residual, and its shape.

    Compares, over every beginning up to `detected`, the likelihood gain of a step, (Σ z)² ÷ m, with that of a ramp
    that starts at zero, (Σ i z)² ÷ Σ i², both with the level before known (a split test; Hinkley 1970). A creep must
    have grown for five days at least. Returns the index of the first changed day and the better shape.
    """
    z = np.clip(z, -10.0, 10.0)[: detected + 15]
    length = len(z)
    begins = np.arange(detected + 1)
    position = np.arange(length)[None, :] - begins[:, None] + 1.0
    after = position > 0
    step_sum = np.where(after, z, 0.0).sum(axis=1)
    step = np.where(step_sum > 0, step_sum**2 / after.sum(axis=1), -inf)
    ramp_at = np.where(after, position, 0.0)
    ramp_sum = (ramp_at * z).sum(axis=1)
    ramp = np.where(ramp_sum > 0, ramp_sum**2 / (ramp_at**2).sum(axis=1), -inf)
    best_step, best_ramp = int(np.argmax(step)), int(np.argmax(ramp))
    if ramp[best_ramp] > step[best_step] + 2 and length - best_ramp >= 5:
        return best_ramp, "creep"
    return best_step, "step"


def date_end(z: Floats) -> int:
    """Index of the last changed day of a standardised residual that begins changed and ends normal.

    The split that fits two levels best, the change's own median and zero: the largest sum of z less half the change.
    A single noisy day long after the recovery does not prolong it.
    """
    known = np.clip(np.nan_to_num(z, nan=0.0), -10.0, 10.0)
    half = max(float(np.median(known)) / 2, 0.75)
    return int(np.argmax(np.cumsum(known - half)))


def detect_all(
    facts: pd.DataFrame,
    metrics: Sequence[str] = MONITORED_METRICS,
    known_dates: Iterable[date] | None = None,
    settings: DetectionSettings = DEFAULT_SETTINGS,
) -> dict[str, Detections]:
    """`detect` for each metric that `facts` has a column for, by metric name."""
    known = None if known_dates is None else list(known_dates)
    return {name: detect(panel_from_facts(facts, name, known), settings) for name in metrics if name in facts}
