"""Series that go through their days together: a smoothed deviation, and the hysteresis of an episode.

What a day deviates from is the caller's: any baseline that gives a z and a change a day. Memory is vectors over series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quality_assets.domain.arrays import Bools, Floats, Ints
from quality_assets.domain.series.scale import cut
from quality_assets.domain.series.settings import WalkRules


@dataclass(frozen=True)
class Switch:
    """What a day did to S series.

    is_active: it belongs to an episode. is_start: one was found. is_ended, is_adopted: one is over, calm again or
    taken for the new normal. begin: index of the day since when it has lasted. calm: calm days in a row up to it.
    """

    is_active: Bools
    is_start: Bools
    is_ended: Bools
    is_adopted: Bools
    begin: Ints
    calm: Ints


class Walk:
    """Smoothed deviation and episode of S series from day to day; each day is smoothed first, then switched."""

    CARRIED = ("smooth_z", "smooth_change", "active", "calm", "begin", "_unknown", "_variance")
    DAYS = ("begin",)

    def __init__(self, count: int, rules: WalkRules) -> None:
        self.rules = rules
        self.smooth_z, self.smooth_change = np.zeros(count), np.zeros(count)
        self.active = np.zeros(count, bool)
        self.calm, self.begin, self._unknown = (np.zeros(count, dtype=np.int64) for _ in range(3))
        self._variance = np.full(count, rules.smoothing / (2 - rules.smoothing) if rules.is_settled else 0.0)
        self._sd = np.sqrt(self._variance)

    def smooth(self, day: int, z: Floats, change: Floats) -> Floats:
        """Take in a day, unknown ones passing by: the winsorised EWMA of z in its own standard deviations."""
        rules, known, weight = self.rules, np.isfinite(z), self.rules.smoothing
        z = cut(np.where(known, z, 0.0), -rules.winsor_sd, rules.winsor_sd)
        change = cut(np.where(known, change, 0.0), -rules.change_limit, rules.change_limit)
        self.smooth_z = np.where(known, (1 - weight) * self.smooth_z + weight * z, self.smooth_z)
        self.smooth_change = np.where(known, (1 - weight) * self.smooth_change + weight * change, self.smooth_change)
        if not rules.is_settled:
            self._variance = np.where(known, (1 - weight) ** 2 * self._variance + weight**2, self._variance)
            self._sd = np.sqrt(np.where(self._variance > 0, self._variance, np.nan))
        strength = self.smooth_z / self._sd
        if rules.since == "run":
            self.begin = np.where((strength <= 1) & ~self.active, day + 1, self.begin)
        return strength

    def switch(self, day: int, z: Floats, change: Floats, strength: Floats, is_silent: Bools | None = None) -> Switch:
        """Begin, hold or end episodes by a day that `smooth` has taken in; a silent day is bad whatever its z."""
        rules, was, seen = self.rules, self.active, np.isfinite(z)
        silent = np.zeros(len(z), bool) if is_silent is None else is_silent
        with np.errstate(invalid="ignore"):
            enters = self._enters(z, change, strength) | silent
            calm = ((z < rules.calm_sd) | (change < rules.calm_change)) & ~silent
            is_faded = seen & (strength < rules.limits.ewma / 2) if rules.needs_fading else True
        starts = enters & ~was
        is_broken = (seen & ~calm) | silent
        if rules.ends_inside:
            is_broken |= starts
        self.calm = np.where(is_broken, 0, self.calm + calm)
        self._unknown = np.where(seen, 0, self._unknown + 1)
        ended = was & ((self.calm >= rules.calm_days) & is_faded | self._is_lost())
        active = was | starts if rules.ends_inside else (was & ~ended) | enters
        adopted = active & (day - self.begin >= rules.adopt_after_days)
        goes_on = active & ~adopted
        if rules.ends_inside:
            goes_on &= ~ended
        told = Switch(active if rules.ends_inside else goes_on, starts, ended, adopted, self.begin, self.calm)
        self._carry(day, goes_on, ended | adopted)
        return told

    def forget(self, gone: Bools) -> None:
        """Leave no trace of series that are gone."""
        self.active = self.active & ~gone
        self.smooth_z = np.where(gone, 0.0, self.smooth_z)
        self.smooth_change = np.where(gone, 0.0, self.smooth_change)

    def _enters(self, z: Floats, change: Floats, strength: Floats) -> Bools:
        """A shift that lasts, by the EWMA, or a single day that is far off; each beyond chance and large enough."""
        limits = self.rules.limits
        sustained = (strength > limits.ewma) & (self.smooth_change > limits.sustained) & (z > self.rules.calm_sd)
        return np.asarray(sustained | ((z > limits.spike_sd) & (change > limits.one_day)))

    def _is_lost(self) -> Bools | bool:
        """Whether nothing has been known for too long."""
        return False if self.rules.hold_days is None else self._unknown > self.rules.hold_days

    def _carry(self, day: int, goes_on: Bools, is_done: Bools) -> None:
        self.active = goes_on
        self.smooth_z = np.where(is_done, 0.0, self.smooth_z)
        self.smooth_change = np.where(is_done, 0.0, self.smooth_change)
        self.begin = np.where(is_done if self.rules.since == "run" else ~goes_on, day + 1, self.begin)
