"""Messages of Segment's HTTP API, in the contract's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quality_assets.domain.live.event_rows import instant_us

TYPES = {
    "t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias",
    **{name: name for name in ("track", "identify", "page", "screen", "group", "alias")},
}  # fmt: skip
"""The last part of an address of one call, short or long, and the type that it stands for."""

STATUS_WORDS = {"success": "ok", "failed": "error", "failure": "error"}
"""What products say of how a use ended, beside the contract's own words; as in the source for Segment's exports."""

# By name of the contract, where it is found in the properties.
_OF_PROPERTIES = {
    "session_id": ("session_id", "sessionId"),
    "status": ("status",),
    "latency_ms": ("latency_ms", "duration_ms"),
    "feedback_score": ("feedback_score",),
    "variant": ("variant",),
    "country": ("country",),
}


def segment_fields(message: Mapping[str, Any], received_us: int, sent_at: Any = None) -> dict[str, Any]:
    """A message as fields of an event; the context is dropped but for what is mapped.

    The time is that of receipt less how long before sending it happened, by the sender's own clock. Calls that are no
    use of a feature (identify, page, screen, group, alias) have no feature unless their properties name one; the field
    `is_usage` says so.
    """
    kind = message.get("type")
    given = message.get("properties")
    properties = given if isinstance(given, dict) else {}
    context = _object(message.get("context"))
    is_track = kind == "track" or kind is None
    feature = properties.get("feature")
    fields: dict[str, Any] = {
        "event_id": message.get("messageId"),
        "event_name": message.get("event") if is_track else kind,
        "feature": feature if feature is not None else _object(context.get("app")).get("name"),
        "user_id": message.get("userId") or message.get("anonymousId"),
        "event_time": _corrected_time(message.get("timestamp"), message.get("sentAt") or sent_at, received_us),
        "device_type": _object(context.get("device")).get("type") or properties.get("device_type"),
        "platform": _object(context.get("os")).get("name"),
        "app_version": _object(context.get("app")).get("version"),
        "properties": given,
    }
    for name, places in _OF_PROPERTIES.items():
        fields[name] = next((properties[place] for place in places if place in properties), None)
    if isinstance(fields["status"], str):
        fields["status"] = STATUS_WORDS.get(fields["status"].strip(), fields["status"])
    if fields["country"] is None:
        fields["country"] = _object(context.get("location")).get("country")
    return fields


def is_usage(message: Mapping[str, Any]) -> bool:
    """Whether a message tells of the use of a feature: a track call, or one whose properties name a feature."""
    return message.get("type") in ("track", None) or bool(_object(message.get("properties")).get("feature"))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _corrected_time(timestamp: Any, sent_at: Any, received_us: int) -> Any:
    """The time in µs by our clock; as it was given where it cannot be read, for the rules of rows to refuse."""
    if sent_at is None or timestamp is None:
        return timestamp
    happened, sent = instant_us(timestamp), instant_us(sent_at)
    if happened is None or sent is None:
        return timestamp
    return min(received_us - (sent - happened), received_us)
