"""What counts as a sitting, a person, a month: each number with its reason."""

from __future__ import annotations

IDLE_MINUTES = 30
"""Longer without an event ends a session that events do not name (Google Analytics, OpenTelemetry)."""

MOST_EVENTS_A_DAY = 2_000
"""More events of one user a day are no person's: one in 40 s, day and night."""

LEFT_TRUNCATED_DAYS = 28
"""Whoever is first seen in so many first days of the data may have been there before."""

LAST_RETENTION_DAY = 30
LATER_RETENTION_DAYS = (60, 90)

FRESH_DAYS = 28
"""A step whose event nobody made for so long is dead: its rate is unknown, not nought."""

MOST_WITHOUT_UNIT = 0.5
"""Of more events of a step without a user or session, what those with one do says nothing of the rest."""
