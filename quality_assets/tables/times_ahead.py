"""What was noted in the operations store while the clock was ahead of time, moved to where it belongs once it is right.

Else nothing would be told for as long as the clock was ahead: what waits would not be due, what is snoozed or silenced
for an hour would be so for months, and what is open would have no age to escalate by.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, select, update

from quality_assets.clock import MOST_AHEAD
from quality_assets.domain.quality import alerting
from quality_assets.stores.operations.alert_tables import ALERT, ALERT_EVENT, NOTIFICATION, SILENCE
from quality_assets.stores.operations.store import fetch

_OF_LIVE = ("first_seen", "opened_at", "last_seen", "acknowledged_at")
_UNSENT = ("pending", "sending")


def move_to_now(connection: Connection, now: datetime) -> None:
    """Take what was noted at times to come for noted now; how long it was meant to last stays."""
    ahead = now + MOST_AHEAD
    _move_snoozes(connection, now, ahead)
    for name in _OF_LIVE:
        column = ALERT.c[name]
        connection.execute(update(ALERT).where(ALERT.c.status != alerting.RESOLVED, column > ahead).values({name: now}))
    noted = NOTIFICATION.c.status.in_(_UNSENT), NOTIFICATION.c.created_at > ahead
    for row in fetch(connection, select(NOTIFICATION).where(*noted)):
        values = {"created_at": now, "due_at": row["due_at"] - (row["created_at"] - now)}
        is_it = NOTIFICATION.c.notification_id == row["notification_id"]
        connection.execute(update(NOTIFICATION).where(is_it).values(values))
    for row in fetch(connection, select(SILENCE).where(SILENCE.c.created_at > ahead, SILENCE.c.ends_at > now)):
        moved = row["created_at"] - now
        # A beginning that somebody named is a time of the calendar.
        begins = row["starts_at"] - moved if row["starts_at"] == row["created_at"] else row["starts_at"]
        values = {"created_at": now, "starts_at": begins, "ends_at": begins + (row["ends_at"] - row["starts_at"])}
        connection.execute(update(SILENCE).where(SILENCE.c.silence_id == row["silence_id"]).values(values))


def _move_snoozes(connection: Connection, now: datetime, ahead: datetime) -> None:
    """The alert does not keep when it was snoozed: its history does."""
    snoozed_at = select(func.max(ALERT_EVENT.c.at)).where(
        ALERT_EVENT.c.alert_id == ALERT.c.alert_id, ALERT_EVENT.c.action == "snoozed"
    )
    rows = select(ALERT.c.alert_id, ALERT.c.snoozed_until, snoozed_at.scalar_subquery().label("at"))
    for row in fetch(connection, rows.where(ALERT.c.status != alerting.RESOLVED, ALERT.c.snoozed_until > ahead)):
        if row["at"] is None or row["at"] <= ahead:
            continue
        until = row["snoozed_until"] - (row["at"] - now)
        of_alert = ALERT.c.alert_id == row["alert_id"]
        connection.execute(update(ALERT).where(of_alert).values(snoozed_until=until))
        is_it = ALERT_EVENT.c.alert_id == row["alert_id"], ALERT_EVENT.c.action == "snoozed", ALERT_EVENT.c.at > ahead
        connection.execute(update(ALERT_EVENT).where(*is_it).values(at=now))
