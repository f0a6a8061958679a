"""How an incident ended: recovered, taken for the new normal, silent for good, or not at all.

The detector gives up a change after some weeks and takes it for normal. That is no recovery: what the metric is on its
last days, held against what it was before the incident, says which of the two it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np

from quality_assets.domain.arrays import Floats
from quality_assets.domain.features.incident_findings import Finding

END_COLUMNS = ("end_kind", "adopted_on", "still_off")
_RECENT_DAYS = 7
_STILL_OFF_SHARE = 0.5
_LEAST_DAYS = 4
CHANCE_SD = 1.64
"""Less than so many standard errors may be chance."""


def ending(cluster: Sequence[Finding], is_open: bool) -> dict[str, Any]:
    """`END_COLUMNS` and end_date of an incident that is made of `cluster`, by what is known of its metrics today.

    still_off: value - normal before, in the metric's unit, over the last week; null unless the new level was adopted.
    """
    out: dict[str, Any] = {"end_kind": "open", "adopted_on": None, "still_off": None, "end_date": None}
    if is_open:
        return out
    out |= {"end_kind": "recovered", "end_date": max(f.last_date for f in cluster)}
    given_up = [(f, day) for f in cluster if (day := adopted_day(f)) is not None]
    for finding, day in given_up:
        level = _Level(finding)
        if level.is_silent:
            return out | {"end_kind": "silent", "adopted_on": finding.day(day)}
        if level.is_still_off:
            # The lead's is told where it is one of several.
            return out | {"end_kind": "adopted", "adopted_on": finding.day(day), "still_off": level.off}
        out["end_date"] = max(out["end_date"], level.last_off)
    for finding in cluster:
        off = _off_after(finding) if adopted_day(finding) is None else None
        if off is not None:
            return out | {"end_kind": "adopted", "adopted_on": finding.last_date + timedelta(days=1), "still_off": off}
    return out


def _off_after(finding: Finding) -> float | None:
    """How far off the fortnight after an episode is, where that is beyond chance and more than half of it; else None.

    Some calm days end an episode, and a noisy metric has them in the midst of a fault.
    """
    found, at, panel = finding.detections, finding.episode, finding.detections.panel
    if at.kind == "objective" or at.end_day is None:
        return None
    off = panel.value[at.series] - found.expected[at.series]
    inside, first = off[at.start_day : at.end_day + 1], at.end_day + 1
    stop = first + 2 * _RECENT_DAYS
    after, noise = off[first:stop], found.noise[at.series, first:stop]
    known = np.isfinite(after) & np.isfinite(noise)
    if known.sum() < _LEAST_DAYS:
        return None
    mean, size = float(after[known].mean()), panel.worse * _mean(inside)
    chance = CHANCE_SD * float(noise[known].mean()) / float(np.sqrt(known.sum()))
    is_off = panel.worse * mean > max(_STILL_OFF_SHARE * size, chance) and size > 0
    return mean if is_off else None


def adopted_day(finding: Finding) -> int | None:
    """Index of the day on which the change of an episode became normal; None where it did not."""
    active = finding.detections.is_active[finding.episode.series, finding.episode.detected_day :]
    own = np.flatnonzero(active)
    stop = int(np.flatnonzero(~active)[0]) if not active.all() else len(own)
    days = finding.detections.is_adopted[finding.episode.series, finding.episode.detected_day :][: stop + 1]
    at = np.flatnonzero(days)
    return finding.episode.detected_day + int(at[0]) if len(at) else None


class _Level:
    """Where a metric stands now, against what was normal before its episode."""

    def __init__(self, finding: Finding) -> None:
        found, series, panel = finding.detections, finding.episode.series, finding.detections.panel
        self.finding, self.worse = finding, panel.worse
        day = adopted_day(finding) or finding.episode.last_day
        value, expected = panel.value[series], found.expected[series]
        self.first, inside = day, slice(finding.episode.start_day, day + 1)
        self.normal = _mean(expected[inside][-_RECENT_DAYS * 2 :])
        self.size = self.worse * _mean((value - expected)[inside][np.isfinite(value[inside])][-_RECENT_DAYS:])
        # Of a platform, or of one event, nothing is kept after its episodes: that is no silence.
        kept = np.flatnonzero(np.isfinite(expected))
        recent = value[kept[-_RECENT_DAYS:]]
        self.is_silent = not np.isfinite(recent).any() or (panel.family == "count" and not np.nansum(recent) > 0)
        after = kept[kept >= day]
        days = after if len(after) >= _LEAST_DAYS else kept[-_RECENT_DAYS:]
        known = value[days][np.isfinite(value[days])]
        self.off = _mean(known[-_RECENT_DAYS:]) - self.normal if len(known) else float("nan")
        self.value = value

    @property
    def is_still_off(self) -> bool:
        """Whether it is more than half as far off as it was when its level was taken for normal."""
        return bool(self.worse * self.off > _STILL_OFF_SHARE * self.size) if self.size > 0 else False

    @property
    def last_off(self) -> date:
        """The last day on which it was that far off."""
        off = self.worse * (self.value[self.first :] - self.normal) > _STILL_OFF_SHARE * self.size
        days = np.flatnonzero(off)
        return self.finding.day(self.first + (int(days[-1]) if len(days) else 0))


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
