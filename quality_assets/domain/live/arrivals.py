"""A day so far against what is usual by now: too few, too many, silent; and what the whole day will come to.

The day's total leans on the day so far as much as that says: so far + rest × (so far + k) / (expected so far + k).
Half of it all is chance: a day lies √(1.25 e + (0.1 e)²) about what is expected of it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

PRIOR_EVENTS = 100.0
SILENT_EVENTS = 6.0
"""Where so many events were usual since the last one, none comes once in four hundred times by chance."""

MOST_BY_FILE = 0.5
"""Of a feature whose events come by file for the most part, nothing can be said before the file."""


def comes_live(collected_share: float) -> bool:
    """Whether a feature's events come through the collector, so that few of them today say something."""
    return collected_share > MOST_BY_FILE


@dataclass(frozen=True)
class SoFar:
    """A feature's day so far against what is usual: `state` is low, high, usual, or unknown without a past."""

    events: int
    expected: float | None
    lower: float | None
    upper: float | None
    total: float | None
    total_lower: float | None
    total_upper: float | None
    state: str


def deviation(expected: float) -> float:
    """How far the events of a usual day lie from `expected`: chance, and a tenth of it."""
    return math.sqrt(1.25 * expected + (0.1 * expected) ** 2)


def judged(
    events: int, expected: float | None, expected_total: float | None, z: tuple[float, float, float] | None
) -> SoFar:
    """Hold the events so far against what is expected by now; `z` is (lower, upper, alarm) in deviations."""
    if expected is None or expected_total is None or z is None:
        return SoFar(events, None, None, None, None, None, None, "unknown")
    lower_z, upper_z, alarm_z = z
    spread = deviation(expected)
    lower, upper = max(0.0, expected + lower_z * spread), expected + upper_z * spread
    rest = max(expected_total - expected, 0.0)
    total = events + rest * (events + PRIOR_EVENTS) / (expected + PRIOR_EVENTS)
    still = deviation(rest)
    state = (
        "low" if events < expected + alarm_z * spread else "high" if events > expected - alarm_z * spread else "usual"
    )
    ends = (max(float(events), total + lower_z * still), total + upper_z * still)
    return SoFar(events, expected, lower, upper, total, ends[0], ends[1], state)


def unexplained_silence(usual_since: float) -> bool:
    """Whether it is no chance that no event has come since so many were usual."""
    return usual_since >= SILENT_EVENTS
