"""Sends what is due of the outbox: one message a channel and group, each told once, whatever is killed meanwhile.

Whoever sends holds a lock, which the sending process inherits: while it works nobody else begins. It writes how each
message went to a journal before the store knows; who comes next reads that first.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

from sqlalchemy import Connection, and_, select, update
from sqlalchemy.exc import SQLAlchemyError

from quality_assets.clock import utc_now
from quality_assets.contracts.owners import HOUSE_OWNER
from quality_assets.domain.quality import alerting, messages
from quality_assets.domain.quality.alerting import Fault
from quality_assets.domain.wording import capitalised
from quality_assets.settings import Settings
from quality_assets.stores import sender
from quality_assets.stores.operations.alert_tables import ALERT, CHANNEL, NOTIFICATION
from quality_assets.stores.operations.store import Operations, fetch, fetch_one, operations_of
from quality_assets.stores.root_copies import original_of, remember_place
from quality_assets.stores.secret_refs import SecretMissingError
from quality_assets.stores.servers import recorded_servers
from quality_assets.tables.alerts import forget_old, policy_of, raise_fault, record_pass
from quality_assets.tables.channels import message_of
from quality_assets.tables.faults import tell_untold_checks
from quality_assets.tables.lost_alerts import raise_lost
from quality_assets.tables.notifications import (
    CANCELLED,
    FAILED,
    OWNER,
    PENDING,
    SENDING,
    SENT,
    plan_what_time_brings,
    retell,
    told_severity,
)
from quality_assets.tables.silences import silenced_until
from quality_assets.tables.times_ahead import move_to_now

log = logging.getLogger(__name__)
_MOST_AT_ONCE = 200
# Who is not told, and what to do.
_OF_CHANNEL = ("People are not told of what goes to it", "Open Settings, mend the channel, and send a test.")
_OF_OWNER = (
    "Who owns what alerts there is not told",
    "Correct the owner of what alerts, or their address in the setting alerts.owners.",
)
_WAIT_S = 40
"""So long a process that sends is waited for; it goes on by itself, and who comes next reads what it wrote."""


@dataclass(frozen=True)
class Delivered:
    """How many messages were sent, and how many were not taken."""

    sent: int = 0
    refused: int = 0


def tell(settings: Settings, now: datetime | None = None, *, wait_s: float = _WAIT_S) -> Delivered:
    """Plan what time brings, and send what is due. Another process that sends just now is left to it, and so is what
    takes longer than `wait_s`, which whoever comes next counts. A copy of a root that is there still tells nobody.
    """
    if original_of(settings) is not None:
        return Delivered()
    remember_place(settings)
    store = operations_of(settings)
    moment = now or utc_now()
    with _one_sender(settings) as lock:
        if lock is None:
            return Delivered()
        journal = _folder(settings) / "sent.jsonl"
        before = _settle(store, journal, moment)
        raise_lost(settings, moment)
        tell_untold_checks(settings)
        with store.write() as connection:
            move_to_now(connection, moment)
            plan_what_time_brings(connection, moment, policy_of(connection))
            forget_old(connection, moment)
            claimed = _claim(connection, moment)
            written, unwritable = _write(connection, settings, claimed, moment)
            _note_failures(connection, unwritable, moment)
        if written and not _send(written, journal, lock, wait_s):
            return Delivered(before.sent, before.refused + len(unwritable))
        sent = _settle(store, journal, moment)
    return Delivered(before.sent + sent.sent, before.refused + sent.refused + len(unwritable))


def tell_of_run(settings: Settings) -> None:
    """Tell at once what a run that has ended found: what would join its groups is known. Never raises.

    Where servers run it is left to them; without any, nobody else would tell.
    """
    if recorded_servers(settings.data_dir) is not None:
        return
    try:
        with operations_of(settings).read() as connection:
            waits = timedelta(seconds=policy_of(connection).group_wait_s)
        tell(settings, utc_now() + waits)
    except (SQLAlchemyError, OSError) as error:
        log.error("nobody was told of the run: %s", str(error).partition("\n")[0])


def _folder(settings: Settings) -> Path:
    folder = settings.outbox_dir
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _one_sender(settings: Settings) -> Iterator[int | None]:
    """The descriptor of the lock, which a process that is started may inherit; None where another has it."""
    descriptor = os.open(_folder(settings) / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield descriptor
    finally:
        os.close(descriptor)


def _claim(connection: Connection, now: datetime) -> list[list[dict[str, Any]]]:
    """The notifications that are due, by channel and group; those that nobody needs any more are taken back."""
    due = (
        select(NOTIFICATION, ALERT.c.status.label("alert_status"))
        .join(ALERT, ALERT.c.alert_id == NOTIFICATION.c.alert_id)
        .where(NOTIFICATION.c.status == PENDING, NOTIFICATION.c.due_at <= now)
        .order_by(NOTIFICATION.c.notification_id)
        .limit(_MOST_AT_ONCE)
    )
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in fetch(connection, due):
        is_over = row["alert_status"] == alerting.RESOLVED
        closed = _closed(connection, row["channel_id"])
        if is_over != row["transition"].startswith("resolved:"):
            _mark(connection, [row["notification_id"]], status=CANCELLED)
        elif not is_over and (until := silenced_until(connection, _alert(connection, row["alert_id"]), now)):
            _mark(connection, [row["notification_id"]], due_at=until)
        elif closed:
            _mark(connection, [row["notification_id"]], status=FAILED, error=closed)
        else:
            groups[row["channel_id"], row["group_id"]].append(row)
    for rows in groups.values():
        _mark(connection, [row["notification_id"] for row in rows], status=SENDING, claimed_at=now)
    return list(groups.values())


def _closed(connection: Connection, channel_id: str) -> str:
    """Why nothing goes out by a channel any more; nothing where it does."""
    channel, to = _channel(connection, channel_id)
    if channel is None:
        return "no channel sends mail" if to else f"there is no channel {channel_id} any more"
    return "" if channel["is_active"] else f"the channel {channel['name']} is switched off"


def _alert(connection: Connection, alert_id: str) -> Mapping[str, Any]:
    (row,) = fetch(connection, select(ALERT).where(ALERT.c.alert_id == alert_id))
    return row


def _as_told(connection: Connection, notification: Mapping[str, Any]) -> Mapping[str, Any]:
    """The alert of a notification, and as `told_severity` how bad its channel knows it to be."""
    alert = _alert(connection, notification["alert_id"])
    return {**alert, "told_severity": told_severity(connection, notification)}


def _mark(connection: Connection, ids: Sequence[int], **values: Any) -> None:
    connection.execute(update(NOTIFICATION).where(NOTIFICATION.c.notification_id.in_(ids)).values(values))


def _write(
    connection: Connection, settings: Settings, claimed: Sequence[list[dict[str, Any]]], now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The messages of what was claimed, and the deliveries whose channel cannot be used, with the reason."""
    written, unwritable = [], []
    for rows in claimed:
        # One message has one name, also when it is sent again.
        delivery = rows[0]["message_id"]
        _mark(connection, [row["notification_id"] for row in rows], message_id=delivery)
        alerts = messages.once([(row["transition"], _as_told(connection, row)) for row in rows])
        channel, to = _channel(connection, rows[0]["channel_id"])
        # What nobody sends any more was not claimed.
        assert channel is not None
        known = _known(connection, rows)
        address = settings.link_address
        body = {
            "title": messages.title_of(alerts),
            "text": messages.text_of(alerts, address, known),
            "document": messages.slack_of(alerts, address, known)
            if channel["kind"] == "slack"
            else messages.document_of(alerts, address, now, delivery),
            "thread": rows[0]["group_id"],
        }
        try:
            written.append(message_of(connection, channel, delivery, body, to))
        except SecretMissingError as error:
            unwritable.append({"delivery": delivery, "error": str(error)})
    return written, unwritable


def _channel(connection: Connection, channel_id: str) -> tuple[Mapping[str, Any] | None, str | None]:
    """A channel's row, and whom it is for where that is not the channel's own: an owner's mail goes by any server."""
    wanted = CHANNEL.c.channel_id == channel_id
    to = None
    if channel_id.startswith(OWNER):
        to = channel_id.removeprefix(OWNER)
        wanted = and_(CHANNEL.c.kind == "smtp", CHANNEL.c.is_active.is_(True))
    return fetch_one(connection, select(CHANNEL).where(wanted).order_by(CHANNEL.c.channel_id)), to


def _known(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """How many live alerts of a group, other than those of a message, its channel was told of before."""
    row = rows[0]
    told = (
        select(NOTIFICATION.c.alert_id)
        .join(ALERT, ALERT.c.alert_id == NOTIFICATION.c.alert_id)
        .where(
            NOTIFICATION.c.group_id == row["group_id"],
            NOTIFICATION.c.channel_id == row["channel_id"],
            NOTIFICATION.c.status == SENT,
            NOTIFICATION.c.alert_id.not_in([each["alert_id"] for each in rows]),
            ALERT.c.status != alerting.RESOLVED,
        )
        .distinct()
    )
    return len(connection.execute(told).all())


def _send(written: Sequence[dict[str, Any]], journal: Path, lock: int, wait_s: float) -> bool:
    """Have all messages sent by a process that ends its work even where this one is killed; whether it has ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", sender.__name__, str(journal)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock,),
        start_new_session=True,
        text=True,
    )
    try:
        process.communicate("\n".join([*map(json.dumps, written), sender.END]) + "\n", timeout=wait_s)
    except subprocess.TimeoutExpired:
        Thread(target=process.wait, daemon=True).start()
        return False
    return True


def _settle(store: Operations, journal: Path, now: datetime) -> Delivered:
    """Keep in the store how the messages of the journal went; what was claimed and not begun is due again."""
    went = _read(journal)
    with store.read() as connection:
        sending = select(NOTIFICATION.c.notification_id).where(NOTIFICATION.c.status == SENDING)
        if not went and connection.execute(sending.limit(1)).first() is None:
            return Delivered()
    with store.write() as connection:
        for entry in went:
            if not entry["error"]:
                _note_sent(connection, entry["delivery"], entry.get("remark"), now)
        failed = [entry for entry in went if entry["error"]]
        _note_failures(connection, failed, now)
        # Nobody else sends while this process has the lock: these were left by one that was killed before it began.
        connection.execute(update(NOTIFICATION).where(NOTIFICATION.c.status == SENDING).values(status=PENDING))
    journal.unlink(missing_ok=True)
    return Delivered(len(went) - len(failed), len(failed))


def _read(journal: Path) -> list[dict[str, Any]]:
    if not journal.exists():
        return []
    entries = list(_whole(journal.read_text(encoding="utf-8").splitlines()))
    return list({entry["delivery"]: entry for entry in entries}.values())


def _whole(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The entries of a journal; one that a full disk or a kill has cut says nothing."""
    for line in lines:
        with suppress(ValueError):
            yield json.loads(line)


def _of_delivery(connection: Connection, delivery: str) -> list[dict[str, Any]]:
    rows = select(NOTIFICATION).where(NOTIFICATION.c.message_id == delivery, NOTIFICATION.c.status == SENDING)
    return fetch(connection, rows)


def _note_sent(connection: Connection, delivery: str, remark: str | None, now: datetime) -> None:
    """A message was taken; `remark` says who of several recipients did not get it."""
    rows = _of_delivery(connection, delivery)
    if not rows:
        return
    _mark(connection, [row["notification_id"] for row in rows], status=SENT, sent_at=now, error=remark or None)
    channel, _ = _channel(connection, rows[0]["channel_id"])
    if channel is not None:
        is_channel = CHANNEL.c.channel_id == channel["channel_id"]
        values = {"failures": 0, "last_error": None, "last_sent_at": now}
        connection.execute(update(CHANNEL).where(is_channel).values(values))
        if channel["failures"]:
            retell(connection, channel, now)
        for subject in {channel["channel_id"], rows[0]["channel_id"]}:
            record_pass(connection, alerting.fingerprint_of("channel", subject), delivery, now)


def _note_failures(connection: Connection, failed: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Try again later, not before the other side wants it; after the last attempt people are told of the channel."""
    policy = policy_of(connection)
    for entry in failed:
        error, wanted = entry["error"], timedelta(seconds=entry.get("wait_s", 0.0))
        for row in _of_delivery(connection, entry["delivery"]):
            attempts = row["attempts"] + 1
            is_last = attempts >= policy.attempts
            values: dict[str, Any] = {"attempts": attempts, "error": error, "status": FAILED if is_last else PENDING}
            if not is_last:
                values["due_at"] = now + max(policy.retry_after(attempts), wanted)
            _mark(connection, [row["notification_id"]], **values)
            _note_channel(connection, row, error, is_last=is_last, now=now)


def _note_channel(connection: Connection, row: Mapping[str, Any], error: str, *, is_last: bool, now: datetime) -> None:
    channel, to = _channel(connection, row["channel_id"])
    if to is not None and error.startswith(sender.NO_RECIPIENT):
        # The channel delivers; it is the owner's address that is none.
        if is_last:
            _raise_not_told(connection, row["channel_id"], f"No mail reaches {to}", error, _OF_OWNER, now)
        return
    channel_id = channel["channel_id"] if channel is not None else row["channel_id"]
    connection.execute(
        update(CHANNEL)
        .where(CHANNEL.c.channel_id == channel_id)
        .values(failures=CHANNEL.c.failures + 1, last_error=error)
    )
    if is_last and channel is not None:
        _raise_not_told(connection, channel_id, f"Channel {channel['name']} does not deliver", error, _OF_CHANNEL, now)


def _raise_not_told(
    connection: Connection, subject: str, title: str, error: str, words: tuple[str, str], now: datetime
) -> None:
    untold, action = words
    message = f"{capitalised(error)}. {untold}; alerts stay on the page."
    raise_fault(
        connection, Fault("channel", subject, title, message, "high", action=action, owner=HOUSE_OWNER), now=now
    )
