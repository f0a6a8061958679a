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
import pandas as pd

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.baseline import Baseline, fit_baseline
from quality_assets.domain.series.dating import date_change, date_end
from quality_assets.domain.series.panel import MONITORED_METRICS, Panel, panel_from_facts
from quality_assets.domain.series.scale import deviance_residual, from_scale, to_scale, usable_days
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.silence import silence_log_p


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


class _Tracker:
    """The state of the detector between days: vectors over series, and the matrices that it fills."""

    def __init__(self, panel: Panel, settings: DetectionSettings) -> None:
        self.panel, self.settings = panel, settings
        self.limits = settings.limits_of(panel.family)
        count, days = panel.value.shape
        self.weekdays = panel.weekdays
        self.amount, self.sample = usable_days(panel, settings)
        self.scaled = to_scale(panel.family, self.amount, self.sample)
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
        expected = from_scale(self.panel.family, centre, sample)
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = self.scaled[:, day] - centre
            if self.panel.family == "rate":
                # A handful of crashes where one a month is usual is far rarer than its arcsine says.
                gap = deviance_residual(self.amount[:, day], expected * sample) / np.sqrt(sample + 0.5)
            z = self.panel.worse * gap / deviation
        upper = from_scale(self.panel.family, centre + deviation, sample)
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
        expected = from_scale("count", normal.centre("count", weekday, value), value)
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


def detect_all(
    facts: pd.DataFrame,
    metrics: Sequence[str] = MONITORED_METRICS,
    known_dates: Iterable[date] | None = None,
    settings: DetectionSettings = DEFAULT_SETTINGS,
) -> dict[str, Detections]:
    """`detect` for each metric that `facts` has a column for, by metric name."""
    known = None if known_dates is None else list(known_dates)
    return {name: detect(panel_from_facts(facts, name, known), settings) for name in metrics if name in facts}
