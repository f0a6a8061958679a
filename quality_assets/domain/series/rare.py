"""Rare bad events, judged over as many days as it takes: a likelihood-ratio CUSUM on counts of days with few events.

A deviation of a single day says nothing where one event in twenty is bad and ten come a day. Here evidence adds up from
day to day until it is enough, and is taken back as fast as good days contradict it.
"""

from __future__ import annotations

from math import ceil, log

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.scale import cut
from quality_assets.domain.series.settings import DEFAULT_RARE, RareSettings


def divergence(p: Floats, q: Floats) -> Floats:
    """Kullback-Leibler divergence from q to p, in nats: what one event that follows p says against q."""
    p, q = cut(p, 1e-9, 1 - 1e-9), cut(q, 1e-9, 1 - 1e-9)
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def failure_rate(usual: Floats, settings: RareSettings = DEFAULT_RARE) -> Floats:
    """The share of bad events that counts as a failure of what usually has `usual`."""
    return np.asarray(np.minimum(np.maximum(settings.multiples[0] * usual, settings.failure_share), 0.95))


def days_to_tell(usual: Floats, a_day: Floats, clumping: Floats, settings: RareSettings = DEFAULT_RARE) -> Floats:
    """Days until a failure is told of what has so many events a day; ∞ where none come."""
    gain = divergence(failure_rate(usual, settings), usual) * a_day / clumping
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(gain > 0, np.ceil(settings.evidence / gain), np.inf))


def events_to_tell(usual: Floats, clumping: Floats, settings: RareSettings = DEFAULT_RARE) -> Floats:
    """Events a day from which on a failure would be told within the longest window."""
    gain = divergence(failure_rate(usual, settings), usual) / clumping
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(gain > 0, settings.evidence / (gain * settings.longest_days), np.nan))


class RareWatch:
    """Evidence, day after day, that S series of rates have more bad events than is usual for them.

    Page's CUSUM (1954) of the binomial log-likelihood ratio against each of a few higher rates, by quasi-likelihood:
    divided by how much the daily counts clump. The usual rate is each series' own, drawn towards that of all where it
    has seen little, and never taken for lower than what it may be.
    """

    CARRIED = ("usual", "clumping", "is_active", "begin", "_evidence", "_since", "_recovery", "_run")
    DAYS = ("begin", "_since")

    def __init__(self, amount: Floats, sample: Floats, settings: RareSettings = DEFAULT_RARE) -> None:
        known = np.isfinite(amount) & (sample > 0)
        self.settings, self.known = settings, known
        self.amount, self.sample = np.where(known, amount, 0.0), np.where(known, sample, 0.0)
        count = len(amount)
        self.usual, self.clumping, self.a_day = (np.full(count, np.nan) for _ in range(3))
        self.is_active, self.begin = np.zeros(count, bool), np.zeros(count, dtype=np.int64)
        self._evidence = np.zeros((len(settings.multiples) + 1, count))
        self._since = np.zeros(self._evidence.shape, dtype=np.int64)
        self._recovery, self._run = np.zeros(count), np.zeros((2, count))

    def listen(self, day: int, is_kept: Bools, lag_days: int, history_start: Ints) -> Bools:
        """Whether each series is worse than usual by what came until `day`; `is_kept`: days that say what is usual."""
        self._learn(day, is_kept, lag_days, history_start)
        x, n = self.amount[:, day], self.sample[:, day]
        usual = np.where(np.isfinite(self.usual), self.usual, 0.5)
        judged = (n > 0) & np.isfinite(self.usual) & (self.usual * self.a_day < self.settings.few)
        for number, other in enumerate(self._alternatives(usual)):
            gain = np.minimum(_log_ratio(x, n, other, usual) / self.clumping, self.settings.most_a_day)
            grown = np.maximum(self._evidence[number] + np.where(judged, gain, 0.0), 0.0)
            self._evidence[number] = np.minimum(grown, 1.5 * self.settings.evidence)
            self._since[number] = np.where(grown > 0, self._since[number], day + 1)
        best = np.argmax(self._evidence, axis=0)
        rows = np.arange(len(x))
        starts = judged & ~self.is_active & (self._evidence[best, rows] > self.settings.evidence) & (x > 0)
        self.begin = np.where(starts, np.minimum(self._since[best, rows], day), self.begin)
        for series in np.flatnonzero(starts):
            run = slice(int(self.begin[series]), day)
            self._run[:, series] = self.amount[series, run].sum(), self.sample[series, run].sum()
        self._recover(x, n, usual, starts)
        return self.is_active.copy()

    def days(self, day: int) -> Floats:
        """Days that the verdict of a day rests upon: those of the evidence, else those that a failure would take."""
        needed = np.maximum(days_to_tell(self.usual, self.a_day, self.clumping, self.settings), 1.0)
        is_few = self.usual * self.a_day < self.settings.few
        return np.where(self.is_active, day - self.begin + 1.0, np.where(is_few, needed, 1.0))

    def restart(self, where: Bools) -> None:
        """Forget the evidence of series for which it has become normal."""
        self.is_active = self.is_active & ~where
        self._evidence[:, where] = 0.0
        self._recovery[where] = 0.0

    def _learn(self, day: int, is_kept: Bools, lag_days: int, history_start: Ints) -> None:
        first, last = max(0, day - self.settings.window_days), max(0, day - lag_days)
        days = np.arange(first, last)
        kept = is_kept[:, first:last] & self.known[:, first:last] & (days >= history_start[:, None])
        x, n = np.where(kept, self.amount[:, first:last], 0.0), np.where(kept, self.sample[:, first:last], 0.0)
        bad, events, count = x.sum(axis=1), n.sum(axis=1), kept.sum(axis=1)
        everyone = max(float(bad.sum()) / max(float(events.sum()), 1.0), 1e-4)
        with np.errstate(divide="ignore", invalid="ignore"):
            own = (bad + np.sqrt(bad)) / events
        usual = np.maximum((bad + 0.5) / (events + 0.5 / everyone), np.nan_to_num(own))
        usual = cut(usual, 1e-6, 0.95)
        expected = n * usual[:, None]
        surprise = np.where(kept, (x - expected) ** 2, 0.0).sum(axis=1)
        chance = (expected * (1 - usual[:, None])).sum(axis=1)
        clumping = np.maximum((surprise + self.settings.prior_variance) / (chance + self.settings.prior_variance), 1.0)
        is_known = count >= self.settings.minimum_days
        hold = self.is_active & np.isfinite(self.usual)
        self.usual = np.where(hold, self.usual, np.where(is_known, usual, np.nan))
        self.clumping = np.where(hold, self.clumping, clumping)
        recent = slice(max(0, day - 27), day + 1)
        self.a_day = self.sample[:, recent].mean(axis=1)

    def _alternatives(self, usual: Floats) -> list[Floats]:
        higher = [np.minimum(multiple * usual, 0.95) for multiple in self.settings.multiples]
        return [*(np.maximum(each, usual) for each in higher), failure_rate(usual, self.settings)]

    def _recover(self, x: Floats, n: Floats, usual: Floats, starts: Bools) -> None:
        """An episode ends once the usual rate explains what came since so much better than the run's own does."""
        active = self.is_active | starts
        bad, events = self._run[0] + np.where(active, x, 0.0), self._run[1] + np.where(active, n, 0.0)
        run_rate = np.maximum((bad + 0.5) / (events + 1.0), usual)
        gain = _log_ratio(x, n, usual, run_rate) / self.clumping
        self._recovery = np.where(active, np.maximum(self._recovery + np.where(n > 0, gain, 0.0), 0.0), 0.0)
        over = active & (self._recovery > self.settings.recovery)
        self.is_active = active & ~over
        self._run = np.where(self.is_active, np.stack([bad, events]), 0.0)
        self._evidence[:, over] = 0.0
        self._recovery[over] = 0.0


def _log_ratio(x: Floats, n: Floats, p: Floats, q: Floats) -> Floats:
    p, q = cut(p, 1e-9, 1 - 1e-9), cut(q, 1e-9, 1 - 1e-9)
    return np.asarray(x * np.log(p / q) + (n - x) * np.log((1 - p) / (1 - q)))


def silence_days(expected_a_day: Floats, alpha: float) -> Floats:
    """Days without events until that is told from chance, were the rate known; ∞ where nothing is expected."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(expected_a_day > 0, np.ceil(-log(alpha) / expected_a_day), np.inf))


def least_events_a_day(alpha: float, longest_days: int) -> float:
    """Events a day from which on silence would be told within `longest_days`."""
    return ceil(-log(alpha) / longest_days * 100) / 100
