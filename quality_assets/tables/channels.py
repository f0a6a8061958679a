"""Channels by which people are told: which kinds there are, what each needs, and the message as the sender takes it.

Secrets are references, looked up when something is sent: see `stores/secret_refs.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select, update

from quality_assets.clock import utc_now
from quality_assets.domain.quality import alerting, messages
from quality_assets.domain.quality.alerting import KINDS, SEVERITIES
from quality_assets.stores import sender
from quality_assets.stores.operations.alert_tables import CHANNEL
from quality_assets.stores.operations.store import Operations, fetch, fetch_one
from quality_assets.stores.secret_refs import SecretMissingError, is_reference, secret_of
from quality_assets.tables.alerts import resolve_fault
from quality_assets.tables.house_history import remember
from quality_assets.tables.house_settings import value_of
from quality_assets.tables.notifications import retell

CHANNEL_KINDS = ("smtp", "webhook", "slack", "apprise")
STARTTLS = ("auto", "always", sender.IMPLICIT, "never")
_EVERYTHING: tuple[dict[str, Any], ...] = ({},)
_MAIL_OPTIONS = {"host", "port", "from", "user", "starttls", "any_certificate"}
_WEB_OPTIONS = {"allow_private_targets", "any_certificate"}
_OPTIONS = {"smtp": _MAIL_OPTIONS, "webhook": _WEB_OPTIONS, "slack": _WEB_OPTIONS, "apprise": set[str]()}
_YES_NO = {"allow_private_targets", "any_certificate"}
_ROUTE_KEYS = {"severity", "kinds", "subjects", "teams"}
_CALLED = {"secret_ref": "secret"}
# Whoever has such an address can write to the room.
_SECRET_HOSTS = ("hooks.slack.com", "discord.com", "outlook.office.com", "chat.googleapis.com")


class ChannelError(ValueError):
    """A channel that could tell nobody; the message says what is wrong with it."""


class NoSuchChannelError(LookupError):
    """No channel has this id."""


def checked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a channel that somebody wishes. Raises ChannelError."""
    kind = given.get("kind")
    if kind not in CHANNEL_KINDS:
        raise ChannelError(f"kind {kind!r} is none of {', '.join(CHANNEL_KINDS)}; the dashboard's bell always tells")
    options = dict(given.get("options") or {})
    unknown = options.keys() - _OPTIONS[kind]
    if unknown:
        known = ", ".join(sorted(_OPTIONS[kind])) or "none"
        raise ChannelError(f"{kind} has no option {', '.join(sorted(unknown))}; there are: {known}")
    _check_options(options)
    secret = given.get("secret_ref") or None
    if secret is not None and not is_reference(secret):
        raise ChannelError("secret_ref is env:NAME or file:PATH; the secret itself is not kept here")
    address = str(given.get("address") or "").strip()
    if _is_broken(address):
        raise ChannelError("address holds a sign that no address has, such as a line's end")
    _check_mail(address, options) if kind == "smtp" else _check_web(kind, address, secret)
    routes = given.get("routes")
    return {
        "kind": kind,
        "name": " ".join(str(given.get("name") or "").split())[:100] or kind,
        "address": address,
        "options": options,
        "secret_ref": secret,
        "routes": [_route(each) for each in (_EVERYTHING if routes is None else routes)],
        "is_active": bool(given.get("is_active", True)),
    }


def _check_options(options: Mapping[str, Any]) -> None:
    """What is no yes or no is none: a text that says `no` would open what it is to close."""
    for name, value in options.items():
        if name in _YES_NO and not isinstance(value, bool):
            raise ChannelError(f"options.{name} is true or false, not {value!r}")
        if name not in {*_YES_NO, "port"} and (not isinstance(value, str | None) or _is_broken(value or "")):
            raise ChannelError(f"options.{name} is a text of one line, not {value!r}")


def _is_broken(text: str) -> bool:
    return any(ord(sign) < 32 or ord(sign) == 127 for sign in text)


def _check_mail(address: str, options: Mapping[str, Any]) -> None:
    recipients = [each.strip() for each in address.split(",") if each.strip()]
    if not recipients or not all(map(alerting.is_address, recipients)):
        raise ChannelError("address holds one e-mail address or several, with commas between them")
    if not options.get("host"):
        raise ChannelError("options.host names the mail server")
    if options.get("from") and not alerting.is_address(parseaddr(options["from"])[1]):
        raise ChannelError("options.from is an e-mail address, or a name and one: Quality <quality@example.com>")
    port = options.get("port", 587)
    if not isinstance(port, int) or isinstance(port, bool) or not 0 < port < 65536:
        raise ChannelError("options.port is a number between 1 and 65535")
    if options.get("starttls", "auto") not in STARTTLS:
        raise ChannelError(f"options.starttls is one of {', '.join(STARTTLS)}")


def _check_web(kind: str, address: str, secret: str | None) -> None:
    if not address:
        # A signed webhook's secret is its key; elsewhere the address is what is secret.
        if kind == "webhook" or secret is None:
            raise ChannelError("address is missing" + ("" if kind == "webhook" else "; or secret_ref that leads to it"))
        return
    if kind == "apprise":
        raise ChannelError("Apprise's addresses hold secrets: give secret_ref that leads to it, and no address")
    try:
        parts = urlsplit(address)
        _ = parts.port
    except ValueError:
        raise ChannelError(f"{address!r} is no address") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or " " in address:
        raise ChannelError("address is http:// or https:// and a host")
    if parts.username or parts.password or parts.hostname.endswith(_SECRET_HOSTS):
        raise ChannelError("this address is a secret by itself: give secret_ref that leads to it, and no address")


def _route(given: Mapping[str, Any]) -> dict[str, Any]:
    unknown = given.keys() - _ROUTE_KEYS
    if unknown:
        raise ChannelError(f"a route has no {', '.join(sorted(unknown))}; it has {', '.join(sorted(_ROUTE_KEYS))}")
    if given.get("severity") not in (None, "", *SEVERITIES):
        raise ChannelError(f"a route's severity is one of {', '.join(SEVERITIES)}")
    strange = [each for each in given.get("kinds") or () if each not in KINDS]
    if strange:
        raise ChannelError(f"a route's kinds are of {', '.join(KINDS)}; {', '.join(map(str, strange))} is none")
    return {name: value for name, value in given.items() if value}


def add_channel(connection: Connection, given: Mapping[str, Any], actor: str) -> dict[str, Any]:
    """A new channel. Raises ChannelError."""
    row = checked(given)
    slug = re.sub(r"[^a-z0-9]+", "-", row["name"].lower()).strip("-") or row["kind"]
    taken = set(connection.execute(select(CHANNEL.c.channel_id)).scalars())
    channel_id = slug if slug not in taken else f"{slug}-{uuid4().hex[:6]}"
    new = {"channel_id": channel_id, "failures": 0, "created_at": utc_now(), "created_by": actor, "version": 1}
    connection.execute(insert(CHANNEL), [{**row, **new}])
    remember(connection, "channel", channel_id, "added", row["name"], actor, note=row["kind"])
    return channel(connection, channel_id)


def channel(connection: Connection, channel_id: str) -> dict[str, Any]:
    """One channel. Raises NoSuchChannelError."""
    row = fetch_one(connection, select(CHANNEL).where(CHANNEL.c.channel_id == channel_id))
    if row is None:
        raise NoSuchChannelError(f"No channel has the id {channel_id!r}.")
    return row


def channels(connection: Connection) -> list[dict[str, Any]]:
    """All channels, by name."""
    return fetch(connection, select(CHANNEL).order_by(CHANNEL.c.name))


def change_channel(connection: Connection, channel_id: str, given: Mapping[str, Any], actor: str) -> dict[str, Any]:
    """A channel with what is given changed, and the rest as it was. Raises ChannelError, NoSuchChannelError."""
    before = channel(connection, channel_id)
    row = checked({**before, **given})
    connection.execute(
        update(CHANNEL).where(CHANNEL.c.channel_id == channel_id).values({**row, "version": before["version"] + 1})
    )
    after = channel(connection, channel_id)
    # Names alone: what stands in them may be a secret.
    changed = [_CALLED.get(name, name) for name, value in row.items() if value != before[name]]
    if before["is_active"] != after["is_active"]:
        changed = ["switched on" if after["is_active"] else "switched off", *changed]
    if changed:
        said = ", ".join(each for each in changed if each != "is_active")
        remember(connection, "channel", channel_id, "changed", after["name"], actor, note=said)
    if after["is_active"]:
        # It may be what was wrong with it that was changed.
        retell(connection, after, utc_now())
    else:
        _settle(connection, channel_id, "The channel was switched off.")
    return after


def remove_channel(connection: Connection, channel_id: str, actor: str) -> None:
    """Take a channel away; what it has told stays in the history. Raises NoSuchChannelError."""
    gone = channel(connection, channel_id)
    remember(connection, "channel", channel_id, "removed", gone["name"], actor, note=gone["kind"])
    _settle(connection, channel_id, "The channel was taken away.")
    connection.execute(delete(CHANNEL).where(CHANNEL.c.channel_id == channel_id))


def _settle(connection: Connection, channel_id: str, note: str) -> None:
    """That a channel does not deliver is over."""
    resolve_fault(connection, alerting.fingerprint_of("channel", channel_id), note=note)


def message_of(
    connection: Connection, row: Mapping[str, Any], delivery: str, body: Mapping[str, Any], to: str | None = None
) -> dict[str, Any]:
    """A message as `stores/sender.py` takes it; `to` is another recipient. Raises SecretMissingError."""
    options, secret = row["options"], secret_of(row["secret_ref"]) if row["secret_ref"] else None
    common = {"kind": row["kind"], "delivery": delivery, "title": body["title"], "text": body["text"], "secret": secret}
    if row["kind"] == "smtp":
        recipients = [to] if to else [each.strip() for each in row["address"].split(",") if each.strip()]
        return common | {
            "to": recipients,
            "from": options.get("from") or "Feature Quality <quality@localhost>",
            "host": options["host"],
            "port": options.get("port", 587),
            "user": options.get("user"),
            "starttls": options.get("starttls", "auto"),
            "any_certificate": bool(options.get("any_certificate")),
            "thread": body.get("thread"),
        }
    may_be_private = options.get("allow_private_targets") or value_of(connection, "channels.allow_private_targets")
    return common | {
        "address": row["address"] or secret,
        "secret": secret if row["address"] or row["kind"] == "apprise" else None,
        "document": body["document"],
        "allow_private_targets": bool(may_be_private),
        "any_certificate": bool(options.get("any_certificate")),
    }


def send_test(store: Operations, channel_id: str, address: str) -> str:
    """Send a test by a channel here and now; the reason why it was not taken, or nothing. NoSuchChannelError."""
    delivery = uuid4().hex
    alert = _TEST | {"first_seen": utc_now()}
    try:
        with store.read() as connection:
            row = channel(connection, channel_id)
            alerts = [("opened", alert)]
            is_chat = row["kind"] == "slack"
            body = {
                "title": "[test] " + alert["title"],
                "text": messages.text_of(alerts, address),
                "document": messages.slack_of(alerts, address)
                if is_chat
                else messages.document_of(alerts, address, utc_now(), delivery) | {"is_test": True},
            }
            message = message_of(connection, row, delivery, body)
        sender.send(message)
    except (SecretMissingError, sender.RefusedError) as error:
        why = str(error)
    else:
        why = ""
    with store.write() as connection:
        values: dict[str, Any] = {"last_error": why or None}
        if not why:
            values |= {"failures": 0, "last_sent_at": utc_now()}
        connection.execute(update(CHANNEL).where(CHANNEL.c.channel_id == channel_id).values(values))
        if not why:
            _settle(connection, channel_id, "It took a test.")
            retell(connection, row, utc_now())
    return why


_TEST: dict[str, Any] = {
    **dict.fromkeys(("observed", "expected", "threshold", "n", "users", "assignee", "resolution", "batch_id")),
    **dict.fromkeys(("check_name", "column_name", "partition_key", "run_id", "owner", "group_id", "fingerprint"), ""),
    "alert_id": "test",
    "kind": "manual",
    "subject": "this channel",
    "title": "A test of this channel",
    "message": "Somebody pressed “send a test”. Nothing is wrong.",
    "action": "Nothing.",
    "severity": "low",
    "status": "open",
    "occurrences": 1,
}
