"""What the clock says, in one place. For monitoring only: data never depends on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The time, UTC without zone. For monitoring only: data never depends on it."""
    return datetime.now(UTC).replace(tzinfo=None)


def after(previous: datetime | None, now: datetime) -> datetime:
    """The time; where a clock was set back, a second after what was recorded last, since the newest record counts."""
    return now if previous is None or now > previous else previous + timedelta(seconds=1)


MOST_AHEAD = timedelta(minutes=10)
"""So far what was recorded may lie ahead of the clock, as where records follow upon each other within a second."""


def ahead_of_clock(recorded: datetime | None, now: datetime) -> str | None:
    """What is wrong where something was recorded at a time that the clock has not reached; None where nothing is."""
    if recorded is None or recorded <= now + MOST_AHEAD:
        return None
    return (
        f"the last publication is of {recorded:%Y-%m-%d %H:%M} UTC, and this machine's clock says"
        f" {now:%Y-%m-%d %H:%M}: it is set back, or was ahead"
    )
