"""The outbox of alerts: who has to be told of what, planned with the change itself, in the same transaction.

A notification is told once: its alert, channel and transition are its key. Sending is done by `telling.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, and_, case, exists, func, insert, or_, select, update

from quality_assets.contracts.owners import TEAM
from quality_assets.domain.quality import alerting
from quality_assets.domain.quality.alerting import AlertPolicy, Change
from quality_assets.stores.operations.alert_tables import (
    ALERT,
    ALERT_EVENT,
    ALERT_SUBJECT,
    CHANNEL,
    NOTIFICATION,
)
from quality_assets.stores.operations.house_tables import SETTING
from quality_assets.stores.operations.store import fetch

PENDING, SENDING, SENT, FAILED, CANCELLED = "pending", "sending", "sent", "failed", "cancelled"
OWNER = "owner:"
"""A channel that is nobody's: the owner's e-mail, where no route takes an alert."""
_TOLD = (SENDING, SENT)
_AFTER_SNOOZE, _AFTER_ACKNOWLEDGEMENT = "snooze_over", "acknowledgement_over"


def follow(
    connection: Connection, alert: Mapping[str, Any], change: Change, now: datetime, policy: AlertPolicy
) -> None:
    """Plan what a change has to tell, and take back what it makes needless."""
    if change.action == "resolved":
        _cancel(connection, alert["alert_id"])
        for channel_id in _told_channels(connection, alert["alert_id"]):
            _add(connection, alert, channel_id, str(change.told), now, now)
    elif change.action == "snoozed":
        _cancel(connection, alert["alert_id"])
        plan(connection, alert, f"{_AFTER_SNOOZE}:{alert['version']}", now, policy, due_at=alert["snoozed_until"])
    elif change.action == "acknowledged":
        # Somebody has it: it asks again only when it was long had.
        _cancel(connection, alert["alert_id"], ("reminder:", "escalated:", f"{_AFTER_SNOOZE}:"))
        again = now + timedelta(days=policy.acknowledged_for_d)
        plan(connection, alert, f"{_AFTER_ACKNOWLEDGEMENT}:{alert['version']}", now, policy, due_at=again)
    elif change.action == "milder":
        due = _due(alert, now, policy)
        for channel_id in _told_channels(connection, alert["alert_id"]):
            _add(connection, alert, channel_id, str(change.told), now, due)
    elif change.told is not None:
        _cancel(connection, alert["alert_id"], (f"{_AFTER_ACKNOWLEDGEMENT}:",))
        plan(connection, alert, change.told, now, policy)
        # Who heard that it opened hears how it goes on, also where their route takes only worse.
        for channel_id in _that_heard(connection, alert["alert_id"]):
            _add(connection, alert, channel_id, change.told, now, _due(alert, now, policy))


def plan(
    connection: Connection,
    alert: Mapping[str, Any],
    transition: str,
    now: datetime,
    policy: AlertPolicy,
    *,
    due_at: datetime | None = None,
) -> int:
    """Put one notification a channel that takes the alert into the outbox; how many are new.

    `due_at` is after the group's wait where not given, and never before a snooze ends.
    """
    due = _due(alert, now, policy, due_at)
    return sum(_add(connection, alert, channel, transition, now, due) for channel in _channels(connection, alert))


def _due(alert: Mapping[str, Any], now: datetime, policy: AlertPolicy, wished: datetime | None = None) -> datetime:
    due = wished or now + timedelta(seconds=policy.group_wait_s)
    return max(due, alert.get("snoozed_until") or due)


def _channels(connection: Connection, alert: Mapping[str, Any]) -> list[str]:
    """The channels that an alert goes to; without one the owner's e-mail. A channel's own failure goes to others."""
    teams = _teams(connection, alert)
    active = select(CHANNEL).where(CHANNEL.c.is_active.is_(True)).order_by(CHANNEL.c.channel_id)
    itself = alert["subject"] if alert["kind"] == "channel" else None
    rows = [row for row in fetch(connection, active) if row["channel_id"] != itself]
    chosen = [row["channel_id"] for row in rows if any(alerting.takes(route, alert, teams) for route in row["routes"])]
    if chosen or not any(row["kind"] == "smtp" for row in rows):
        return chosen
    address = _address_of(connection, alert.get("owner") or "")
    return [f"{OWNER}{address}"] if address else []


def _teams(connection: Connection, alert: Mapping[str, Any]) -> list[str]:
    """Whose an alert is: its owner, and the team of the feature that it is about."""
    of_team = ALERT_SUBJECT.c.alert_id == alert["alert_id"], ALERT_SUBJECT.c.entity_type == "team"
    found = connection.execute(select(ALERT_SUBJECT.c.entity_id).where(*of_team)).scalars()
    return list(filter(None, (alert.get("owner"), *found)))


def _address_of(connection: Connection, owner: str) -> str | None:
    """The e-mail address of an owner: what it is itself, or what the setting `alerts.owners` says of it."""
    if alerting.is_address(owner):
        return owner
    known = connection.execute(select(SETTING.c.value).where(SETTING.c.key == "alerts.owners")).scalar() or {}
    found = known.get(owner) or known.get(owner.removeprefix(TEAM)) or known.get("")
    return found if found and alerting.is_address(found) else None


def _add(
    connection: Connection, alert: Mapping[str, Any], channel_id: str, transition: str, now: datetime, due: datetime
) -> bool:
    key = {"alert_id": alert["alert_id"], "channel_id": channel_id, "transition": transition}
    of_key = and_(*(NOTIFICATION.c[name] == value for name, value in key.items()))
    if connection.execute(select(NOTIFICATION.c.notification_id).where(of_key)).first() is not None:
        return False
    values = {"group_id": alert["group_id"], "severity": alert["severity"], "status": PENDING, "created_at": now}
    connection.execute(
        insert(NOTIFICATION), [{**key, **values, "due_at": due, "message_id": uuid4().hex, "attempts": 0}]
    )
    return True


def _cancel(connection: Connection, alert_id: str, transitions: Iterable[str] = ("",)) -> None:
    for start in transitions:
        connection.execute(
            update(NOTIFICATION)
            .where(
                NOTIFICATION.c.alert_id == alert_id,
                NOTIFICATION.c.status == PENDING,
                NOTIFICATION.c.transition.startswith(start, autoescape=True),
            )
            .values(status=CANCELLED)
        )


def _told_channels(connection: Connection, alert_id: str) -> list[str]:
    """The channels that know of an alert, and not yet that it is over."""
    of_alert = NOTIFICATION.c.alert_id == alert_id
    is_over = NOTIFICATION.c.transition.startswith("resolved:")
    rows = connection.execute(
        select(NOTIFICATION.c.channel_id, NOTIFICATION.c.transition)
        .where(of_alert, NOTIFICATION.c.status.in_(_TOLD))
        .order_by(NOTIFICATION.c.notification_id)
    ).all()
    knows = {channel_id: not transition.startswith("resolved:") for channel_id, transition in rows}
    waiting = set(
        connection.execute(
            select(NOTIFICATION.c.channel_id).where(of_alert, is_over, NOTIFICATION.c.status == PENDING)
        ).scalars()
    )
    return [channel_id for channel_id, is_open in knows.items() if is_open and channel_id not in waiting]


def _that_heard(connection: Connection, alert_id: str) -> list[str]:
    """The channels that were ever told of an alert and are there still, also where they know that it was over."""
    heard = select(NOTIFICATION.c.channel_id).where(
        NOTIFICATION.c.alert_id == alert_id, NOTIFICATION.c.status.in_(_TOLD)
    )
    is_there = exists().where(CHANNEL.c.channel_id == NOTIFICATION.c.channel_id, CHANNEL.c.is_active.is_(True))
    is_owner = NOTIFICATION.c.channel_id.startswith(OWNER, autoescape=True)
    return sorted(set(connection.execute(heard.where(or_(is_there, is_owner))).scalars()))


def told_severity(connection: Connection, notification: Mapping[str, Any]) -> str | None:
    """How bad an alert was when its channel was last told of it; None where it never was."""
    earlier = select(NOTIFICATION.c.severity).where(
        *(NOTIFICATION.c[name] == notification[name] for name in ("alert_id", "channel_id")),
        NOTIFICATION.c.notification_id < notification["notification_id"],
        NOTIFICATION.c.status == SENT,
    )
    return connection.execute(earlier.order_by(NOTIFICATION.c.notification_id.desc()).limit(1)).scalar()


def plan_what_time_brings(connection: Connection, now: datetime, policy: AlertPolicy) -> None:
    """What nobody's action brings: daily reminders, escalation by age, acknowledgements that were long had."""
    _end_acknowledgements(connection, now, policy)
    _tell_untold(connection, now, policy)
    unanswered = select(ALERT).where(ALERT.c.status == alerting.OPEN)
    for alert in fetch(connection, unanswered):
        if alert["snoozed_until"] and alert["snoozed_until"] > now:
            continue
        age = now - alert["opened_at"]
        reminders = int(age / timedelta(hours=policy.reminder_every_h))
        if reminders and _is_known(connection, alert["alert_id"]):
            plan(connection, alert, f"reminder:{alert['reopened']}:{reminders}", now, policy, due_at=now)
        is_old = age >= timedelta(hours=policy.escalate_after_h)
        if is_old and alerting.rank(alert["severity"]) >= alerting.rank("high"):
            worse = alerting.one_worse(alert["severity"])
            if _plan_wider(connection, alert, f"escalated:{alert['reopened']}", now, worse):
                note = f"open for {policy.escalate_after_h:g} h and not acknowledged"
                values = {"at": now, "actor": "graph", "action": "escalated", "note": note}
                connection.execute(insert(ALERT_EVENT), [{"alert_id": alert["alert_id"], **values}])


def _plan_wider(connection: Connection, alert: Mapping[str, Any], transition: str, now: datetime, worse: str) -> int:
    """Tell those who would be told only of worse; those who know already are reminded."""
    told = set(
        connection.execute(
            select(NOTIFICATION.c.channel_id).where(NOTIFICATION.c.alert_id == alert["alert_id"])
        ).scalars()
    )
    seen = {**alert, "severity": worse}
    others = [channel for channel in _channels(connection, seen) if channel not in told]
    return sum(_add(connection, alert, channel, transition, now, now) for channel in others)


def _is_known(connection: Connection, alert_id: str) -> bool:
    """Whether anybody was told: who was not is told first, and not reminded."""
    of_alert = and_(NOTIFICATION.c.alert_id == alert_id, NOTIFICATION.c.status == SENT)
    return bool(connection.execute(select(func.count()).select_from(NOTIFICATION).where(of_alert)).scalar())


def _tell_untold(connection: Connection, now: datetime, policy: AlertPolicy) -> None:
    """Tell of open alerts of which nobody knows, nor is about to: their channel came later, is gone or off, or took
    nothing for as long as reminders wait.
    """
    is_any = select(CHANNEL.c.channel_id).where(CHANNEL.c.is_active.is_(True)).limit(1)
    if connection.execute(is_any).first() is None:
        return
    of_alert = NOTIFICATION.c.alert_id == ALERT.c.alert_id
    is_told = exists().where(of_alert, NOTIFICATION.c.status.in_((PENDING, *_TOLD)))
    is_heard = or_(ALERT.c.snoozed_until.is_(None), ALERT.c.snoozed_until <= now)
    for alert in fetch(connection, select(ALERT).where(ALERT.c.status == alerting.OPEN, is_heard, ~is_told)):
        began = f"reopened:{alert['reopened']}" if alert["reopened"] else "opened:0"
        plan(connection, alert, began, now, policy, due_at=now)
        waited = NOTIFICATION.c.due_at <= now - timedelta(hours=policy.reminder_every_h)
        takes = NOTIFICATION.c.channel_id.in_(_channels(connection, alert))
        _try_again(connection, now, NOTIFICATION.c.alert_id == alert["alert_id"], takes, waited)


def retell(connection: Connection, channel: Mapping[str, Any], now: datetime) -> None:
    """Make due again what a channel did not take, now that it does: of what is open, and of ends; each once more."""
    is_of = NOTIFICATION.c.channel_id == channel["channel_id"]
    if channel["kind"] == "smtp":
        is_of = or_(is_of, NOTIFICATION.c.channel_id.startswith(OWNER, autoescape=True))
    later = NOTIFICATION.alias()
    is_overtaken = exists().where(
        later.c.alert_id == NOTIFICATION.c.alert_id,
        later.c.channel_id == NOTIFICATION.c.channel_id,
        later.c.notification_id > NOTIFICATION.c.notification_id,
        later.c.status.in_(_TOLD),
    )
    is_end = NOTIFICATION.c.transition.startswith("resolved:")
    stands = exists().where(
        ALERT.c.alert_id == NOTIFICATION.c.alert_id,
        or_(
            and_(is_end, ALERT.c.status == alerting.RESOLVED),
            and_(~is_end, ALERT.c.status == alerting.OPEN),
        ),
    )
    _try_again(connection, now, is_of, ~is_overtaken, stands)


def _try_again(connection: Connection, now: datetime, *which: ColumnElement[bool]) -> None:
    """One more attempt for each of these that failed, and none before its alert's snooze is over."""
    ids = select(NOTIFICATION.c.notification_id).where(NOTIFICATION.c.status == FAILED, *which)
    snoozed = select(ALERT.c.snoozed_until).where(ALERT.c.alert_id == NOTIFICATION.c.alert_id).scalar_subquery()
    attempts = case((NOTIFICATION.c.attempts > 0, NOTIFICATION.c.attempts - 1), else_=0)
    values = {"status": PENDING, "attempts": attempts, "due_at": case((snoozed > now, snoozed), else_=now)}
    connection.execute(update(NOTIFICATION).where(NOTIFICATION.c.notification_id.in_(ids)).values(values))


def _end_acknowledgements(connection: Connection, now: datetime, policy: AlertPolicy) -> None:
    """What was acknowledged long ago and still fails is open again, and asks again."""
    since = now - timedelta(days=policy.acknowledged_for_d)
    old = select(ALERT.c.alert_id).where(ALERT.c.status == alerting.ACKNOWLEDGED, ALERT.c.acknowledged_at <= since)
    for alert_id in connection.execute(old).scalars().all():
        values = {"status": alerting.OPEN, "acknowledged_at": None, "acknowledged_by": None}
        connection.execute(
            update(ALERT).where(ALERT.c.alert_id == alert_id).values(**values, version=ALERT.c.version + 1)
        )
        note = f"acknowledged for {policy.acknowledged_for_d:g} days and still failing"
        event = {"at": now, "actor": "graph", "action": "acknowledgement_over", "note": note}
        states = {"from_state": alerting.ACKNOWLEDGED, "to_state": alerting.OPEN}
        connection.execute(insert(ALERT_EVENT), [{"alert_id": alert_id, **event, **states}])
