"""Change detection on daily series of any key: has a metric left its own past, and since when.

Here: a panel goes through its days against its baseline, and what was told becomes episodes. What a detection means to
people (incidents, severity, slices) lives in `incidents`; whole distributions and model inputs are watched in `drift`.

Every number of a day is made from that day and days before it: appending days never changes an earlier one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from math import inf, log
from typing import Any, Literal

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.baseline import Baseline, fit_baseline
from quality_assets.domain.series.carrying import KEPT_DAYS, Carried, baseline_of, put_back, taken
from quality_assets.domain.series.dating import date_change, date_end
from quality_assets.domain.series.panel import Family, Panel
from quality_assets.domain.series.rare import (
    RareWatch,
    events_to_tell,
    least_events_a_day,
    silence_days,
)
from quality_assets.domain.series.scale import (
    change_from,
    deviance_residual,
    from_scale,
    normal_score,
    to_scale,
    usable_days,
)
from quality_assets.domain.series.settings import DEFAULT_RARE, DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.silence import SilenceWatch
from quality_assets.domain.series.walk import Switch, Walk


@dataclass(frozen=True)
class Detections:
    """What the detector says of a panel, all S × D; NaN where nothing is known.

    expected: what was normal that day, in the metric's unit. z: how far on the bad side, in the series' own
    deviations. ewma: smoothed winsorised z in its own standard deviations. change: relative, in points for scores.
    silence_log_p: ln P(this run of days without events | normal), 0 outside of runs, counts only.
    noise: the deviation of the metric in its unit that day. is_active: inside an episode. is_start: found that day.
    run_start: index of the day on which the smoothed residual last left normal.
    is_adopted: the episode ended that day because the change has become the new normal.
    is_bad: inside an episode, and the day itself is no calm one. days_pooled: days that the verdict rests upon, ∞ where
    no failure could be told. is_pooled: told by the evidence of several days. events_to_tell: events a day from which
    on one could. The last four are None where a panel was put together by hand.
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
    is_bad: Bools | None = None
    days_pooled: Floats | None = None
    is_pooled: Bools | None = None
    events_to_tell: Floats | None = None


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
    kind: Literal["step", "creep", "spike", "dead", "objective"]
    score: float


def detect(panel: Panel, settings: DetectionSettings = DEFAULT_SETTINGS) -> Detections:
    """Run the detector over a panel; a loop over days that carries vectors over series.

    Working scale: 2√(x + 3/8) for counts, 2 arcsin √((x + 3/8) ÷ (n + 3/4)) for rates (Anscombe 1948: unit binomial
    or Poisson variance, so that a deviation above 1 is overdispersion, as in Laney's p′ chart, 2002), logarithm for
    latencies, as it is for scores. The residual from the lagged, weekday-adjusted baseline is divided by the
    series' own deviation, winsorised and smoothed.
    """
    return detect_on(panel, settings)[0]


def detect_on(
    panel: Panel,
    settings: DetectionSettings = DEFAULT_SETTINGS,
    start: Carried | None = None,
    keep: Collection[date] = (),
) -> tuple[Detections, dict[date, Carried]]:
    """`detect` from the day after `start` on, as it would go on; and what it carries at the end of the days `keep`.

    The panel then begins no later than `start.needs_from`, unless that is before the first day that there is. What is
    said of days up to `start` is as if nothing were known of them.
    """
    tracker = _Tracker(panel, settings)
    first = 0 if start is None else tracker.resume(start)
    kept = {}
    for day in range(first, len(panel.dates)):
        tracker.step(day)
        if panel.dates[day] in keep:
            kept[panel.dates[day]] = tracker.carried(day)
    return tracker.result(), kept


# A level and a deviation were learnt from a baseline's days.
_FITTED = 2


class _Tracker:
    """The detector between days: what is normal, the walk, the silence, and the matrices that it fills."""

    def __init__(self, panel: Panel, settings: DetectionSettings) -> None:
        self.panel, self.settings = panel, settings
        count, days = panel.value.shape
        self.weekdays = panel.weekdays
        self.amount, self.sample = usable_days(panel, settings)
        self.scaled = to_scale(panel.family, self.amount, self.sample)
        self.memory = _Memory(panel.family, self.amount, self.sample, np.isfinite(self.scaled), self.weekdays, settings)
        self.walk, self.silence = Walk(count, settings.rules_of(panel.family)), SilenceWatch(count)
        self.out = {name: np.full((count, days), np.nan) for name in ("expected", "z", "ewma", "change", "noise")}
        self.rare = (
            RareWatch(self.amount, self.sample, settings.rare) if settings.rare and panel.family == "rate" else None
        )
        self.flags = {
            name: np.zeros((count, days), bool) for name in ("active", "start", "silence", "adopted", "bad", "pooled")
        }
        self.days_pooled, self.events_to_tell = np.ones((count, days)), np.full((count, days), np.nan)
        self.silence_log_p = np.zeros((count, days))
        self.run_starts = np.zeros((count, days), dtype=np.int64)
        self.baseline = Baseline.unknown(count)

    @property
    def _parts(self) -> dict[str, Any]:
        return {"walk": self.walk, "silence": self.silence, "rare": self.rare, "memory": self.memory}

    @property
    def _first(self) -> int:
        return int(np.datetime64(self.panel.dates[0], "D").astype(np.int64))

    def carried(self, day: int) -> Carried:
        """All that a later day is judged by, at the end of a day."""
        baselines = {"baseline": self.baseline, "before": self.silence.before}
        values = taken(self._parts, baselines, self._first)
        values["is_kept"] = self.memory.is_kept[:, max(0, day + 1 - KEPT_DAYS) : day + 1].copy()
        return Carried(np.datetime64(self.panel.dates[day], "D"), values)

    def resume(self, start: Carried) -> int:
        """Take up what was carried; the index of the day to go on with."""
        put_back(self._parts, start.values, self._first)
        self.baseline = baseline_of(start.values, "baseline")
        self.silence.before = baseline_of(start.values, "before")
        day = int(start.day.astype(np.int64)) - self._first
        is_kept = start.values["is_kept"][:, -(day + 1) :]
        self.memory.is_kept[:, day + 1 - is_kept.shape[1] : day + 1] = is_kept
        return day + 1

    def step(self, day: int) -> None:
        """Judge one day."""
        # An episode is held against what was normal before it, however long it lasts.
        self.baseline = self.baseline.where(self.walk.active, self.memory.baseline(day))
        z, change = self._deviation(day)
        strength = self.walk.smooth(day, z, change)
        self.out["ewma"][:, day] = np.where(np.isfinite(z), strength, np.nan)
        if self.panel.family == "count":
            self.silence_log_p[:, day] = self.silence.listen(
                self.baseline, int(self.weekdays[day]), self.amount[:, day]
            )
        is_silent = self.silence_log_p[:, day] < log(self.settings.silence_alpha)
        is_pooled = self._pool(day)
        begin = np.minimum(self.walk.begin, day)
        told = self.walk.switch(day, z, change, strength, is_silent | is_pooled)
        self.flags["active"][:, day], self.flags["start"][:, day] = told.is_active, told.is_start
        self.flags["silence"][:, day], self.flags["adopted"][:, day] = is_silent, told.is_adopted
        self.flags["pooled"][:, day] = is_pooled
        self.run_starts[:, day] = begin
        self.flags["bad"][:, day] = told.is_active & (told.calm == 0) & (np.isfinite(z) | is_silent)
        self.memory.take(day, told)
        self.silence.restart(told.is_adopted)
        if self.rare is not None:
            self.rare.restart(told.is_adopted)

    def _pool(self, day: int) -> Bools:
        """What the evidence of several days tells, and how many days it takes."""
        if self.rare is None:
            if self.panel.family == "count":
                expected = self.out["expected"][:, day]
                self.days_pooled[:, day] = silence_days(expected, self.settings.silence_alpha)
                self.events_to_tell[:, day] = least_events_a_day(self.settings.silence_alpha, DEFAULT_RARE.longest_days)
            else:
                least = self.settings.least_sample(self.panel.metric, self.panel.family)
                self.events_to_tell[:, day] = least
            return np.zeros(len(self.amount), bool)
        told = self.rare.listen(day, self.memory.is_kept, self.settings.lag_days, self.memory.history_start)
        self.days_pooled[:, day] = self.rare.days(day)
        self.events_to_tell[:, day] = events_to_tell(self.rare.usual, self.rare.clumping)
        # What began with the evidence is not normal from then on.
        begins = told & ~self.walk.active
        self.walk.begin = np.where(begins, np.minimum(self.walk.begin, self.rare.begin), self.walk.begin)
        return told

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
            is_bad=self.flags["bad"],
            days_pooled=self.days_pooled,
            is_pooled=self.flags["pooled"],
            events_to_tell=self.events_to_tell,
            **self.out,
        )

    def _deviation(self, day: int) -> tuple[Floats, Floats]:
        """How far the day lies on the bad side, in deviations and as a change of the metric."""
        family, worse, weekday = self.panel.family, self.panel.worse, int(self.weekdays[day])
        sample = self.sample[:, day]
        centre = self.baseline.centre(family, weekday, sample)
        deviation = self.baseline.deviation_on(family, weekday, sample)
        expected = from_scale(family, centre, sample)
        with np.errstate(invalid="ignore", divide="ignore"):
            gap = self.scaled[:, day] - centre
            if family == "rate":
                # A handful of crashes where one a month is usual is far rarer than its arcsine says.
                gap = deviance_residual(self.amount[:, day], expected * sample) / np.sqrt(sample + 0.5)
            z = worse * gap / deviation
        if family in ("positive", "score"):
            # What chance does to counts and rates is known; the noise of these was learnt from a few weeks.
            z = normal_score(z, self.baseline.days - _FITTED)
        upper = from_scale(family, centre + deviation, sample)
        change = worse * change_from(family, self.panel.value[:, day], expected)
        self.out["expected"][:, day], self.out["z"][:, day] = expected, z
        self.out["change"][:, day], self.out["noise"][:, day] = change, np.abs(upper - expected)
        return z, change


class _Memory:
    """Which days of each series its baseline may be made of."""

    CARRIED = ("history_start",)
    DAYS = ("history_start",)

    def __init__(
        self, family: Family, amount: Floats, sample: Floats, known: Bools, weekdays: Ints, settings: DetectionSettings
    ) -> None:
        self.family, self.amount, self.sample, self.weekdays = family, amount, sample, weekdays
        self.past = settings.past
        self.is_known, self.is_kept = known, known.copy()
        self.history_start = np.zeros(len(known), dtype=np.int64)

    def baseline(self, day: int) -> Baseline:
        """What is normal for a day, by the days before it."""
        first = self.past.first(day)
        window = slice(first, day)
        days = np.arange(first, day)
        usable = self.is_kept[:, window] & (days >= self.history_start[:, None])
        lagged = usable & (days < day - self.past.lag_days)
        # A young series uses its newest days too: better a baseline that may creep than none.
        is_young = lagged.sum(axis=1) < self.past.minimum_days
        return fit_baseline(
            self.family,
            self.amount[:, window],
            self.sample[:, window],
            np.where(is_young[:, None], usable, lagged),
            self.weekdays[window],
            self.past.minimum_days,
        )

    def take(self, day: int, told: Switch) -> None:
        """Leave out abnormal days, those just before the alarm included; a change that is adopted begins history."""
        self.is_kept[told.is_active & (told.calm == 0), day] = False
        for series in np.flatnonzero(told.is_start):
            # What began before the window did is out of sight.
            self.is_kept[series, max(0, told.begin[series]) : day + 1] = False
        for series in np.flatnonzero(told.is_adopted):
            self.history_start[series] = told.begin[series]
            begin = max(0, int(told.begin[series]))
            self.is_kept[series, begin : day + 1] = self.is_known[series, begin : day + 1]


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
    pooled = detections.is_pooled[series] if detections.is_pooled is not None else np.zeros(total, bool)
    inside = np.arange(detected, stop)
    with np.errstate(invalid="ignore"):
        bad = inside[(z[inside] >= settings.calm_sd) | silent[inside] | pooled[inside]]
    last_bad = int(bad[-1]) if len(bad) else detected
    adopted = bool(detections.is_adopted[series, stop - 1])
    closed = stop < total or adopted or _has_calmed(z, last_bad, stop, settings)
    start, shape = _dated(detections, series, detected, last_bad)
    if pooled[detected]:
        start, shape = min(int(detections.run_start[series, detected]), detected), "step"
    if closed and not adopted and not pooled[inside].any():
        last_bad = max(detected, start + date_end(z[start : last_bad + 1]))
    kind: Literal["step", "creep", "spike", "dead"]
    last_silent = int(inside[silent[inside]][-1]) if silent[inside].any() else -1
    if last_silent >= 0:
        kind = "dead"
        # What fell first and was found then, and is silent now, began with the fall.
        silence = _silence_start(detections, series, detected, last_silent)
        start = silence if silence <= detected else start
        last_bad = last_silent if closed else last_bad
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
