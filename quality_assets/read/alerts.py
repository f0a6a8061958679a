"""Queries of the book of alerts, for pages, API and commands: lists, one alert with its life, counts, the feed.

Of the operations store as it stands just now, never of a snapshot.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, and_, case, exists, func, literal, null, or_, select

from quality_assets.domain.quality import alerting
from quality_assets.stores.operations.alert_tables import (
    ALERT,
    ALERT_EVENT,
    ALERT_SUBJECT,
    CHANNEL,
    NOTIFICATION,
    SILENCE,
)
from quality_assets.stores.operations.house_tables import HOUSE_EVENT, SETTING_HISTORY
from quality_assets.stores.operations.store import fetch, fetch_one

MOST_ROWS = 200
_WEEKS = 12
_RANK = case({name: rank for rank, name in enumerate(alerting.SEVERITIES)}, value=ALERT.c.severity, else_=0)


class CursorError(ValueError):
    """A cursor that was not given out here."""


@dataclass(frozen=True)
class Asked:
    """Which alerts are asked for; what is None or empty says nothing."""

    statuses: Sequence[str] = ()
    severities: Sequence[str] = ()
    kinds: Sequence[str] = ()
    subject: str | None = None
    assignee: str | None = None
    q: str | None = None

    @property
    def _conditions(self) -> list[Any]:
        found: list[Any] = []
        for column, values in (("status", self.statuses), ("severity", self.severities), ("kind", self.kinds)):
            if values:
                found.append(ALERT.c[column].in_(values))
        if self.subject:
            named = and_(ALERT_SUBJECT.c.alert_id == ALERT.c.alert_id, ALERT_SUBJECT.c.entity_id == self.subject)
            found.append(or_(ALERT.c.subject == self.subject, exists().where(named)))
        if self.assignee:
            found.append(ALERT.c.assignee == self.assignee)
        if self.q:
            texts = (ALERT.c.title, ALERT.c.message, ALERT.c.subject, ALERT.c.check_name, ALERT.c.column_name)
            found.append(or_(*(func.lower(text).contains(self.q.lower(), autoescape=True) for text in texts)))
        return found


def listed(
    connection: Connection, asked: Asked, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Alerts, the one last seen first, and the cursor of those that follow (None: no more). Raises CursorError."""
    statement = select(ALERT).where(*asked._conditions)
    if cursor:
        seen, last_id = _opened_cursor(cursor)
        follows = or_(ALERT.c.last_seen < seen, and_(ALERT.c.last_seen == seen, ALERT.c.alert_id > last_id))
        statement = statement.where(follows)
    limit = max(1, min(limit, MOST_ROWS))
    rows = fetch(connection, statement.order_by(ALERT.c.last_seen.desc(), ALERT.c.alert_id).limit(limit + 1))
    more = _cursor(rows[limit - 1]) if len(rows) > limit else None
    return rows[:limit], more


def _cursor(row: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(f"{row['last_seen'].isoformat()}|{row['alert_id']}".encode()).decode()


def _opened_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        seen, _, alert_id = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
        found = datetime.fromisoformat(seen)
    except (ValueError, binascii.Error):
        raise CursorError("This cursor was not given out here; ask without one for the first page.") from None
    if found.tzinfo is not None or not alert_id:
        raise CursorError("This cursor was not given out here; ask without one for the first page.")
    return found, alert_id


def one(connection: Connection, alert_id: str) -> dict[str, Any] | None:
    """An alert with its subjects, events and notifications, oldest first, and how it was told; None where none is."""
    row = fetch_one(connection, select(ALERT).where(ALERT.c.alert_id == alert_id))
    if row is None:
        return None
    of_alert = {table: table.c.alert_id == alert_id for table in (ALERT_SUBJECT, ALERT_EVENT, NOTIFICATION)}
    subjects = fetch(connection, select(ALERT_SUBJECT).where(of_alert[ALERT_SUBJECT]))
    events = select(ALERT_EVENT).where(of_alert[ALERT_EVENT]).order_by(ALERT_EVENT.c.event_id)
    told = select(NOTIFICATION).where(of_alert[NOTIFICATION]).order_by(NOTIFICATION.c.notification_id)
    group = select(ALERT.c.alert_id, ALERT.c.title, ALERT.c.status, ALERT.c.severity, ALERT.c.subject).where(
        ALERT.c.group_id == row["group_id"], ALERT.c.alert_id != alert_id
    )
    return row | {
        "subjects": [{"type": each["entity_type"], "id": each["entity_id"]} for each in subjects],
        "events": fetch(connection, events),
        "notifications": fetch(connection, told),
        "group": fetch(connection, group.order_by(ALERT.c.last_seen.desc()).limit(50)),
        "record": record_of(connection, row["kind"], row["check_name"]),
    }


def record_of(connection: Connection, kind: str, check_name: str) -> dict[str, int] | None:
    """How often a rule was told of, and how often that was no fault; None of what is no rule."""
    if not check_name:
        return None
    is_false = ALERT.c.resolution.in_(alerting.FALSE_RESOLUTIONS)
    counts = select(func.count().label("raised"), func.sum(case((is_false, 1), else_=0)).label("false_alarms"))
    row = fetch_one(connection, counts.where(ALERT.c.kind == kind, ALERT.c.check_name == check_name)) or {}
    return {"raised": int(row["raised"] or 0), "false_alarms": int(row["false_alarms"] or 0)}


def open_counts(connection: Connection) -> dict[str, int]:
    """How many alerts are live by severity, how many of them nobody has acknowledged (`unacknowledged`), and in all."""
    live = select(ALERT.c.severity, ALERT.c.status, func.count().label("n")).where(ALERT.c.status != alerting.RESOLVED)
    rows = fetch(connection, live.group_by(ALERT.c.severity, ALERT.c.status))
    counts = {name: sum(row["n"] for row in rows if row["severity"] == name) for name in alerting.SEVERITIES}
    waiting = sum(row["n"] for row in rows if row["status"] == alerting.OPEN)
    return counts | {"live": sum(counts.values()), "unacknowledged": waiting}


def summary(connection: Connection, now: datetime) -> dict[str, Any]:
    """Live alerts by severity, mean hours to acknowledge and to resolve, each week's, and each rule's record."""
    rows = fetch(connection, select(ALERT.c.first_seen, ALERT.c.resolved_at, ALERT.c.resolution))
    first_acknowledged = (
        select(ALERT_EVENT.c.alert_id, func.min(ALERT_EVENT.c.at).label("at"), ALERT.c.first_seen)
        .join(ALERT, ALERT.c.alert_id == ALERT_EVENT.c.alert_id)
        .where(ALERT_EVENT.c.action == "acknowledged")
        .group_by(ALERT_EVENT.c.alert_id, ALERT.c.first_seen)
    )
    waited = [row["at"] - row["first_seen"] for row in fetch(connection, first_acknowledged)]
    lasted = [row["resolved_at"] - row["first_seen"] for row in rows if row["resolved_at"]]
    return {
        "open": open_counts(connection),
        "mean_hours_to_acknowledge": _mean_hours(waited),
        "mean_hours_to_resolve": _mean_hours(lasted),
        "weeks": _weeks(rows, now),
        "rules": _rules(connection),
    }


def _mean_hours(spans: Sequence[timedelta]) -> float | None:
    return sum(span.total_seconds() for span in spans) / len(spans) / 3600 if spans else None


def _weeks(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """Of each of the last weeks, which begin on Mondays: how many were opened, resolved, and no fault."""
    this = now.date() - timedelta(days=now.weekday())
    weeks = [this - timedelta(weeks=n) for n in reversed(range(_WEEKS))]
    found: dict[Any, dict[str, Any]] = {
        week: {"week": week, "opened": 0, "resolved": 0, "false_alarms": 0} for week in weeks
    }
    for row in rows:
        for at, name in ((row["first_seen"], "opened"), (row["resolved_at"], "resolved")):
            week = at.date() - timedelta(days=at.weekday()) if at else None
            if week in found:
                found[week][name] += 1
                if name == "resolved" and row["resolution"] in alerting.FALSE_RESOLUTIONS:
                    found[week]["false_alarms"] += 1
    return list(found.values())


def _rules(connection: Connection) -> list[dict[str, Any]]:
    is_false = ALERT.c.resolution.in_(alerting.FALSE_RESOLUTIONS)
    counted = (
        select(
            ALERT.c.kind,
            ALERT.c.check_name,
            func.count().label("raised"),
            func.sum(case((is_false, 1), else_=0)).label("false_alarms"),
        )
        # Each incident is a check of its own.
        .where(ALERT.c.check_name != "", ALERT.c.kind != "incident")
        .group_by(ALERT.c.kind, ALERT.c.check_name)
        .order_by(func.count().desc(), ALERT.c.check_name)
        .limit(50)
    )
    rows = fetch(connection, counted)
    return [row | {"false_share": int(row["false_alarms"] or 0) / row["raised"]} for row in rows]


def by_day(connection: Connection, since: date) -> dict[date, tuple[int, int]]:
    """How many alerts began and how many ended on each day from `since`; days without either are left out."""
    start = datetime(since.year, since.month, since.day)
    spans = select(ALERT.c.first_seen, ALERT.c.resolved_at).where(
        or_(ALERT.c.first_seen >= start, ALERT.c.resolved_at >= start)
    )
    found: dict[date, tuple[int, int]] = {}
    for began, ended in connection.execute(spans):
        for at, (opened, resolved) in ((began, (1, 0)), (ended, (0, 1))):
            if at is not None and at >= start:
                before = found.get(at.date(), (0, 0))
                found[at.date()] = (before[0] + opened, before[1] + resolved)
    return found


def worst_first(connection: Connection, asked: Asked, limit: int = MOST_ROWS) -> list[dict[str, Any]]:
    """Alerts as a page shows them: the worst severity first, then the one that was last seen."""
    order = (_RANK.desc(), ALERT.c.last_seen.desc(), ALERT.c.alert_id)
    return fetch(connection, select(ALERT).where(*asked._conditions).order_by(*order).limit(limit))


def recent_activity(connection: Connection, limit: int = 30) -> list[dict[str, Any]]:
    """What happened last, newest first: to alerts, settings, channels, tokens, silences and datasets; each with when,
    who, what and of which.
    """
    found = [*_of_alerts(connection, limit), *_of_settings(connection, limit), *_of_the_house(connection, limit)]
    return sorted(found, key=lambda row: row["at"], reverse=True)[:limit]


def _of_alerts(connection: Connection, limit: int) -> list[dict[str, Any]]:
    happened = (
        select(
            literal("alert").label("entity"),
            ALERT.c.alert_id.label("entity_id"),
            ALERT.c.title.label("subject"),
            ALERT.c.severity,
            ALERT_EVENT.c.at,
            ALERT_EVENT.c.actor,
            ALERT_EVENT.c.action,
            ALERT_EVENT.c.note,
        )
        .join(ALERT, ALERT.c.alert_id == ALERT_EVENT.c.alert_id)
        .where(ALERT_EVENT.c.action != "passed")
    )
    return fetch(connection, happened.order_by(ALERT_EVENT.c.event_id.desc()).limit(limit))


def _of_settings(connection: Connection, limit: int) -> list[dict[str, Any]]:
    changed = select(
        literal("setting").label("entity"),
        SETTING_HISTORY.c.key.label("entity_id"),
        SETTING_HISTORY.c.key.label("subject"),
        null().label("severity"),
        SETTING_HISTORY.c.at,
        SETTING_HISTORY.c.actor,
        literal("set").label("action"),
        SETTING_HISTORY.c.new_value.label("note"),
    )
    rows = fetch(connection, changed.order_by(SETTING_HISTORY.c.history_id.desc()).limit(limit))
    return [row | {"note": _said(row["note"])} for row in rows]


def _of_the_house(connection: Connection, limit: int) -> list[dict[str, Any]]:
    done = select(
        HOUSE_EVENT.c.entity_type.label("entity"),
        HOUSE_EVENT.c.entity_id,
        HOUSE_EVENT.c.subject,
        null().label("severity"),
        HOUSE_EVENT.c.at,
        HOUSE_EVENT.c.actor,
        HOUSE_EVENT.c.action,
        HOUSE_EVENT.c.note,
    )
    return fetch(connection, done.order_by(HOUSE_EVENT.c.event_id.desc()).limit(limit))


def _said(value: object) -> str:
    # SQLite gives a whole number for 24.0, PostgreSQL does not.
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def silences(connection: Connection, now: datetime) -> list[dict[str, Any]]:
    """Silences that are in force or to come, the one that ends first first."""
    return fetch(connection, select(SILENCE).where(SILENCE.c.ends_at > now).order_by(SILENCE.c.ends_at))


def outbox(connection: Connection) -> dict[str, int]:
    """How many notifications are in each state, and how many channels do not deliver (`broken_channels`)."""
    statement = select(NOTIFICATION.c.status, func.count().label("n")).group_by(NOTIFICATION.c.status)
    counts = {row["status"]: row["n"] for row in fetch(connection, statement)}
    broken = select(func.count()).select_from(CHANNEL).where(CHANNEL.c.last_error.is_not(None))
    return counts | {"broken_channels": int(connection.execute(broken).scalar() or 0)}
