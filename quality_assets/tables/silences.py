"""Silences: what nobody is told of for a while, and is told after; who begins one, who ends one, what it covers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select, update

from quality_assets.contracts.house_settings import LEAST_HOURS, MOST_HOURS
from quality_assets.domain.quality import alerting
from quality_assets.stores.operations.alert_tables import NOTIFICATION, SILENCE
from quality_assets.stores.operations.store import fetch, fetch_one
from quality_assets.tables.house_history import remember
from quality_assets.tables.notifications import PENDING

COVERED = ("subject", "kind", "most_severity", "fingerprint")


class SilenceError(ValueError):
    """A silence that would cover nothing, or says what there is not; the message says what is wrong with it."""


def add_silence(
    connection: Connection,
    given: Mapping[str, Any],
    *,
    hours: float,
    reason: str,
    actor: str,
    now: datetime,
    starts_at: datetime | None = None,
) -> dict[str, Any]:
    """Tell nothing for so many hours of what is `given` (kind, subject, fingerprint, most_severity; empty: of all).

    `starts_at` is UTC without zone; now where not given. Raises SilenceError.
    """
    covered = {name: (given.get(name) or "").strip() or None for name in COVERED}
    if covered["kind"] not in (None, *alerting.KINDS):
        raise SilenceError(f"kind {covered['kind']!r} is none of {', '.join(alerting.KINDS)}")
    if covered["most_severity"] not in (None, *alerting.SEVERITIES):
        raise SilenceError(f"severity {covered['most_severity']!r} is none of {', '.join(alerting.SEVERITIES)}")
    if not reason.strip():
        raise SilenceError("a silence says why: others see it, and wonder")
    if not LEAST_HOURS <= hours <= MOST_HOURS:
        raise SilenceError(f"hours is from {LEAST_HOURS:g} to {MOST_HOURS:,}, which is a year")
    try:
        starts = starts_at or now
        ends = starts + timedelta(hours=hours)
    except OverflowError:
        raise SilenceError("starts_at: that is no time that a calendar has") from None
    if ends <= now:
        raise SilenceError("starts_at: the silence would be over already")
    row = covered | {"reason": reason.strip(), "starts_at": starts, "ends_at": ends}
    row |= {"created_at": now, "created_by": actor}
    added = connection.execute(insert(SILENCE).values(row).returning(SILENCE.c.silence_id)).scalar_one()
    remember(connection, "silence", added, "added", covered_words(row), actor, note=reason.strip(), now=now)
    return fetch_one(connection, select(SILENCE).where(SILENCE.c.silence_id == added)) or {}


def covered_words(silence: Mapping[str, Any]) -> str:
    """What a silence covers, in words."""
    said = (f"{name.replace('_', ' ')} {silence[name]}" for name in COVERED if silence[name])
    return ", ".join(said) or "everything"


def end_silence(connection: Connection, silence_id: int, actor: str, now: datetime) -> bool:
    """End a silence, so that what it held back is due; whether there was one in force."""
    is_it = SILENCE.c.silence_id == silence_id, SILENCE.c.ends_at > now
    silence = fetch_one(connection, select(SILENCE).where(*is_it))
    if silence is None:
        return False
    over = silence["ends_at"]
    remember(connection, "silence", silence_id, "ended", covered_words(silence), actor, now=now)
    connection.execute(update(SILENCE).where(*is_it).values(ends_at=now, ended_by=actor))
    # What another silence covers, or waits for the same instant by itself, is put off again when it is looked at.
    held = NOTIFICATION.c.status == PENDING, NOTIFICATION.c.due_at == over
    connection.execute(update(NOTIFICATION).where(*held).values(due_at=now))
    return True


def silenced_until(connection: Connection, alert: Mapping[str, Any], now: datetime) -> datetime | None:
    """Until when a silence covers an alert; None where none does."""
    rows = fetch(connection, select(SILENCE).where(SILENCE.c.starts_at <= now, SILENCE.c.ends_at > now))
    return max((row["ends_at"] for row in rows if alerting.silences(row, alert, now)), default=None)
