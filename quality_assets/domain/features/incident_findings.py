"""What was found of one series: an episode or a breach with the series it is of. Incidents are made of findings."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from quality_assets.contracts.metrics import METRIC_GROUPS
from quality_assets.domain.arrays import Bools
from quality_assets.domain.series.detection import Detections, Episode, episodes
from quality_assets.domain.series.settings import DEFAULT_SETTINGS, DetectionSettings
from quality_assets.domain.series.states import Watched


@dataclass(frozen=True)
class Finding:
    """One episode with the series it is of, in calendar days."""

    feature: str
    event_name: str | None
    episode: Episode
    detections: Detections
    order: int
    platform: str | None = None

    @property
    def metric(self) -> str:
        return self.episode.metric

    @property
    def group(self) -> str:
        return METRIC_GROUPS.get(self.metric, self.metric)

    def day(self, index: int) -> date:
        return self.detections.panel.dates[index]

    @property
    def detected_on(self) -> date:
        return self.day(self.episode.detected_day)

    @property
    def start_date(self) -> date:
        return self.day(self.episode.start_day)

    @property
    def last_date(self) -> date:
        return self.day(self.episode.last_day)

    @property
    def evidence_since(self) -> date:
        """The first day of the evidence that it was found by, as known then: of pooled days it is days before."""
        found, at = self.detections, (self.episode.series, self.episode.detected_day)
        if found.is_pooled is None or not found.is_pooled[at]:
            return self.detected_on
        return self.day(min(int(found.run_start[at]), self.episode.detected_day))

    def is_active_on(self, day: date) -> bool:
        """Whether its episode was going on."""
        return bool(self._active_by(day).all())

    def _active_by(self, day: date) -> Any:
        """Whether each day from detection to `day` belongs to this episode, and not to a later one."""
        until = _index_by(self.detections.panel.dates, day) + 1
        active = self.detections.is_active[self.episode.series, self.episode.detected_day : until].copy()
        later_starts = self.detections.is_start[self.episode.series, self.episode.detected_day : until].copy()
        later_starts[:1] = False
        return np.logical_and.accumulate(active & ~later_starts)

    def last_worse_by(self, day: date) -> date:
        """The last day of its episode that was worse than normal, as known at the end of `day`."""
        dates, at = self.detections.panel.dates, self.episode
        own = self._active_by(day)
        days = at.detected_day + np.flatnonzero(own)
        is_bad = np.nan_to_num(self.detections.z[at.series, days]) >= DEFAULT_SETTINGS.calm_sd
        is_bad |= self.detections.is_silence[at.series, days]
        worse = days[is_bad]
        return dates[int(worse[-1]) if len(worse) else at.detected_day]

    @property
    def first_evidence(self) -> float:
        """Evidence on the day it was found: known then, so that it may name the incident for good."""
        at = (self.episode.series, self.episode.detected_day)
        return float(np.nanmax([self.detections.z[at], self.detections.ewma[at], -self.detections.silence_log_p[at]]))


def incident_id(feature: str, event_name: str | None, metric: str, detected_on: date) -> str:
    """The id of an incident: what was found first, and when."""
    text = "\x1f".join((feature, event_name or "", metric, detected_on.isoformat()))
    return "inc-" + hashlib.sha256(text.encode()).hexdigest()[:12]


def _index_by(dates: Sequence[date], day: date) -> int:
    return bisect_right(dates, day) - 1


def findings_of(each: Watched, order: int, detection: DetectionSettings) -> list[Finding]:
    """The episodes of what counts; of single events their silences only: other falls belong to the feature's volume."""
    found = [e for e in episodes(each.found, detection) if each.is_counted[e.series]]
    features = each.features
    if each.part == "event_name":
        dead = [e for e in found if e.kind == "dead"]
        return [Finding(features[e.series], _part_of(each, e), e, each.found, order) for e in dead]
    is_platform = each.part == "platform"
    return [
        Finding(features[e.series], None, e, each.found, order, _part_of(each, e) if is_platform else None)
        for e in found
    ]


def _part_of(each: Watched, episode: Episode) -> str:
    """The event or platform of a feature that an episode is of."""
    return str(each.grid.keys[episode.series][1])


def breach_findings(watched: Sequence[Watched], order: int) -> list[Finding]:
    """Breaches of objectives where nothing is worse than its own past: what was bad from its birth, or is adopted.

    A breach is found on its first day on which no metric of its kind is in an episode; the values of such a finding are
    held against the objective. One that an episode covers whole is part of that.
    """
    findings = []
    for each in watched:
        if each.objective is None or not each.is_breached.any():
            continue
        covered = _covered(watched, each)
        found = _beyond_objective(each, covered)
        for series, day in np.argwhere(found.is_start):
            run = np.flatnonzero(~found.is_active[series, day:])
            last = (day + int(run[0]) if len(run) else found.is_active.shape[1]) - 1
            is_open = not len(run)
            begin = int(each.objective.begin[series, day])
            score = float(np.nanmax(found.z[series, day : last + 1]))
            episode = Episode(
                int(series), each.metric, int(day), begin, None if is_open else int(last), int(last), "objective", score
            )
            findings.append(Finding(each.features[series], None, episode, found, order))
    return findings


def _covered(watched: Sequence[Watched], own: Watched) -> Bools:
    """S × D: whether any metric of the same kind is in an episode, of the feature of each series of `own`."""
    group = METRIC_GROUPS.get(own.metric)
    out = np.zeros(own.found.is_active.shape, bool)
    row_of = {feature: row for row, feature in enumerate(own.features)}
    for other in watched:
        if METRIC_GROUPS.get(other.metric) != group or not len(other.grid.dates):
            continue
        first = int((other.grid.dates[0] - own.grid.dates[0]).astype(np.int64))
        for series, feature in enumerate(other.features):
            if feature in row_of and other.is_counted[series]:
                days = slice(first, first + len(other.grid.dates))
                out[row_of[feature], days] |= other.found.is_active[series]
    return out


def _beyond_objective(each: Watched, covered: Bools) -> Detections:
    """The breaches of a metric as the detector would tell them, the objective in the place of what is expected."""
    own, found = each.objective, each.found
    assert own is not None  # only of metrics that have one
    breach = own.is_breach & each.is_counted[:, None]
    bare = breach & ~covered
    told = np.zeros(breach.shape, bool)
    for series in np.flatnonzero(bare.any(axis=1)):
        is_told = False
        for day in np.flatnonzero(breach[series]):
            is_told = is_told and bool(breach[series, day - 1])
            if bare[series, day] and not is_told:
                told[series, day] = is_told = True
    active = np.zeros(breach.shape, bool)
    for series, day in np.argwhere(told):
        rest = np.flatnonzero(~breach[series, day:])
        active[series, day : day + (int(rest[0]) if len(rest) else breach.shape[1])] = True
    limit = np.broadcast_to(own.limit[:, None], breach.shape)
    burn = np.nan_to_num(own.burn_short)
    return replace(
        found,
        expected=np.where(np.isfinite(found.panel.value), limit, np.nan),
        z=np.where(active, DEFAULT_SETTINGS.calm_sd + np.log1p(burn), 0.0),
        ewma=np.where(active, burn, 0.0),
        noise=np.zeros(breach.shape),
        is_active=active,
        is_start=told,
        is_silence=np.zeros(breach.shape, bool),
        is_adopted=np.zeros(breach.shape, bool),
        is_bad=active,
        run_start=own.begin,
    )


def objective_on(watched: Sequence[Watched], finding: Finding, is_open: bool, last: date) -> dict[str, Any]:
    """The objective of a finding's metric, whose it is, and whether it is breached on its last day."""
    out: dict[str, Any] = dict.fromkeys(("objective", "objective_source", "is_objective_breach", "burn_rate_28d"))
    each = next((w for w in watched if w.metric == finding.metric and w.part == "" and w.objective is not None), None)
    if each is None or finding.feature not in each.features or each.objective is None:
        return out
    own, series = each.objective, each.features.index(finding.feature)
    if not np.isfinite(own.limit[series]):
        return out
    day = len(each.grid.dates) - 1 if is_open else int((np.datetime64(last) - each.grid.dates[0]).astype(np.int64))
    burn = own.burn_long[series, day]
    return {
        "objective": float(own.limit[series]),
        "objective_source": "default" if own.is_default[series] else "given",
        "is_objective_breach": bool(own.is_breach[series, day]),
        "burn_rate_28d": float(burn) if np.isfinite(burn) else None,
    }
