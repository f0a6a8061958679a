"""One sent event becomes a row of the contract, or all reasons why it cannot.

The rules are those of the lake (`domain.events.validation`), so that nothing that was accepted here is refused there.
Plain Python, since it is asked once an event while somebody waits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any

import msgspec

from quality_assets.contracts.events import DEFAULT_EVENT_NAME, STATUSES, Reason
from quality_assets.contracts.sources.columns import MAX_LATENCY_MS
from quality_assets.domain.events.texts import BLANKS, NULL_LIKE_IDS, ZERO_UUIDS
from quality_assets.domain.events.validation import LARGEST_INTEGERS, NINES

Row = tuple[
    bytes, str, int, str | None, str, str | None, str | None, str, float | None, float | None,
    str | None, str | None, str | None, str | None, str | None, str | None,
]  # fmt: skip
"""key, event_id, event_us, feature, event_name, user_id, session_id, status, latency_ms, feedback_score, device_type,
platform, app_version, country, variant, properties; times in µs since 1970, UTC."""

ROW_COLUMNS = (
    "key", "event_id", "event_us", "feature", "event_name", "user_id", "session_id", "status", "latency_ms",
    "feedback_score", "device_type", "platform", "app_version", "country", "variant", "properties",
)  # fmt: skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FUTURE_US = 5 * 60 * 1_000_000
EARLIEST_US = int(datetime(2013, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
MOST_ID_CHARACTERS = 255
MOST_TEXT_CHARACTERS = 1024
MOST_PROPERTY_BYTES = 32 * 1024
# An epoch in seconds, ms, µs or ns shows in its number of digits; see domain.events.times.
_EPOCH_UNITS = ((10**8, 10**11, 1_000_000.0), (10**11, 10**14, 1_000.0), (10**14, 10**17, 1.0), (10**17, 10**19, 1e-3))
_NO_MEASUREMENT = frozenset((*LARGEST_INTEGERS, *NINES))
_NO_ID = frozenset((*NULL_LIKE_IDS, *ZERO_UUIDS))
_TEXTS = ("feature", "event_name", "device_type", "platform", "app_version", "country", "variant")
_FIELDS = frozenset(
    ("event_id", "event_time", "user_id", "session_id", "status", "latency_ms", "feedback_score", "properties",
     "received_at", "event_type", "timestamp", *_TEXTS)
)  # fmt: skip

# What the contract has no word for, since a line of a file is told as a whole.
NOT_AN_OBJECT = "not_an_object"
REPEATED_KEY = "repeated_key"
MISSING_ID, INVALID_ID = "missing_event_id", "invalid_event_id"
INVALID_TEXT = "invalid_text"
UNKNOWN_EVENT = "unknown_event"
PROPERTIES_TOO_LARGE = "properties_too_large"


@dataclass(frozen=True)
class EventSource:
    """Who sends: its name, the feature of events that name none, and the events that it may send (None: any)."""

    name: str = "default"
    feature: str = "app"
    events: frozenset[str] | None = None


def instant_us(value: Any) -> int | None:
    """Microseconds since 1970 of ISO 8601 with an offset, or of an epoch whose unit shows in its digits; else None."""
    if type(value) is str:
        text = value.strip(BLANKS)
        if text.isascii() and text.isdigit() and 9 <= len(text) <= 19:
            return _epoch_us(int(text))
        try:
            delta = datetime.fromisoformat(text) - EPOCH
        except (ValueError, TypeError, OverflowError):
            return None
        return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
    if type(value) is int or (type(value) is float and math.isfinite(value)):
        return _epoch_us(value)
    return None


def _epoch_us(number: float) -> int | None:
    for least, below, factor in _EPOCH_UNITS:
        if least <= number < below:
            return int(number * factor) if type(number) is float or factor < 1 else int(number) * int(factor)
    return None


def accept(fields: Mapping[str, Any], source: EventSource, received_us: int, *, may_hold_nul: bool) -> Row | list[str]:
    """The row of an event in the contract's names, or every reason against it.

    `event_type` stands for event_name and `timestamp` for event_time. What the contract does not know goes into the
    properties. An event is never after it was received. `may_hold_nul` is whether the request had a NUL in it at all.
    """
    reasons: list[str] = []
    event_id = _event_id(fields.get("event_id"), reasons)
    if may_hold_nul and holds_nul(fields):
        reasons.append(Reason.NUL_BYTE)
    event_us = _event_us(fields, received_us, reasons)
    user_id = _other_id(fields.get("user_id"), reasons)
    session_id = _other_id(fields.get("session_id"), reasons)
    get = fields.get
    named = get("event_name")
    event_name = _text(get("event_type") if named is None else named, reasons) or DEFAULT_EVENT_NAME
    feature = _text(get("feature"), reasons) or source.feature
    rest = [_text(get(name), reasons) for name in ("device_type", "platform", "app_version", "country", "variant")]
    if source.events is not None and event_name not in source.events:
        reasons.append(UNKNOWN_EVENT)
    status = get("status")
    if status is None or status == "":
        status = "ok"
    elif type(status) is not str or status.strip(BLANKS) not in STATUSES:
        reasons.append(Reason.INVALID_STATUS)
    else:
        status = status.strip(BLANKS)
    latency = _latency(get("latency_ms"), reasons)
    feedback = _feedback(get("feedback_score"), reasons)
    properties = _properties(fields, reasons)
    if reasons:
        return list(dict.fromkeys(map(str, reasons)))
    key = blake2b(event_id.encode(), digest_size=16, key=source.name.encode()[:64]).digest()
    device, platform, version, country, variant = rest
    return (
        key, event_id, event_us, feature, event_name, user_id, session_id, status, latency, feedback,
        device, platform, version, country, variant, properties,
    )  # fmt: skip


def _event_id(value: Any, reasons: list[str]) -> str:
    if value is None:
        reasons.append(MISSING_ID)
        return ""
    if type(value) is not str:
        reasons.append(INVALID_ID)
        return ""
    text = value.strip(BLANKS)
    if not text or text.lower() in _NO_ID:
        reasons.append(MISSING_ID)
    elif len(text) > MOST_ID_CHARACTERS:
        reasons.append(INVALID_ID)
    return _without_point(text)


def _without_point(text: str) -> str:
    # pandas makes 7.0 of a 7 that stands in a column with gaps, and the lake makes it a 7 again.
    return text[:-2] if text.endswith(".0") and text[:-2].isascii() and text[:-2].isdigit() else text


def _other_id(value: Any, reasons: list[str]) -> str | None:
    if value is None:
        return None
    if type(value) is int:
        value = str(value)
    elif type(value) is not str:
        reasons.append(INVALID_TEXT)
        return None
    text = value.strip(BLANKS)
    if len(text) > MOST_ID_CHARACTERS:
        reasons.append(INVALID_TEXT)
    return None if not text or text.lower() in _NO_ID else _without_point(text)


def _text(value: Any, reasons: list[str]) -> str | None:
    if value is None:
        return None
    if type(value) is not str or len(value) > MOST_TEXT_CHARACTERS:
        reasons.append(INVALID_TEXT)
        return None
    return value.strip(BLANKS) or None


def _event_us(fields: Mapping[str, Any], received_us: int, reasons: list[str]) -> int:
    value = fields.get("event_time")
    if value is None:
        value = fields.get("timestamp")
    if value is None or value == "":
        return received_us
    event_us = instant_us(value)
    if event_us is None:
        reasons.append(Reason.INVALID_EVENT_TIME)
        return received_us
    if event_us > received_us + FUTURE_US:
        reasons.append(Reason.EVENT_TIME_IN_FUTURE)
    elif event_us < EARLIEST_US:
        reasons.append(Reason.EVENT_TIME_TOO_EARLY)
    return min(event_us, received_us)


def _latency(value: Any, reasons: list[str]) -> float | None:
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        reasons.append(Reason.INVALID_LATENCY)
        return None
    if value < 0:
        reasons.append(Reason.NEGATIVE_LATENCY)
    elif value > MAX_LATENCY_MS or value in _NO_MEASUREMENT:
        reasons.append(Reason.IMPLAUSIBLE_LATENCY)
    else:
        return float(value)
    return None


def _feedback(value: Any, reasons: list[str]) -> float | None:
    if value is None:
        return None
    if type(value) is not int and type(value) is not float:
        reasons.append(Reason.INVALID_FEEDBACK_SCORE)
        return None
    if not 1 <= value <= 5:
        reasons.append(Reason.FEEDBACK_SCORE_OUT_OF_RANGE)
        return None
    return float(value)


def _properties(fields: Mapping[str, Any], reasons: list[str]) -> str | None:
    """The properties as a JSON object, with what else was sent; null where there is nothing."""
    given = fields.get("properties")
    if type(given) is str and given:
        try:
            given = msgspec.json.decode(given)
        except (msgspec.DecodeError, RecursionError, ValueError):
            reasons.append(Reason.INVALID_PROPERTIES)
            return None
    if given is not None and given != "" and type(given) is not dict:
        reasons.append(Reason.INVALID_PROPERTIES)
        return None
    others = fields.keys() - _FIELDS
    if others:
        given = {**{name: fields[name] for name in fields if name in others}, **(given or {})}
    if not given:
        return None
    encoded = msgspec.json.encode(given)
    if len(encoded) > MOST_PROPERTY_BYTES:
        reasons.append(PROPERTIES_TOO_LARGE)
        return None
    return encoded.decode()


def holds_nul(value: Any) -> bool:
    """Whether a NUL character stands anywhere in a decoded value, in keys too."""
    if type(value) is str:
        return "\0" in value
    if isinstance(value, Mapping):
        return any(holds_nul(key) or holds_nul(each) for key, each in value.items())
    return any(map(holds_nul, value)) if type(value) is list else False
