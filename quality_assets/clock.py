"""What the clock says, in one place. For monitoring only: data never depends on it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def utc_now() -> datetime:
    """The time, UTC without zone. For monitoring only: data never depends on it."""
    return datetime.now(UTC).replace(tzinfo=None)


def after(previous: datetime | None, now: datetime) -> datetime:
    """The time; where a clock was set back, a second after what was recorded last, since the newest record counts."""
    return now if previous is None or now > previous else previous + timedelta(seconds=1)
