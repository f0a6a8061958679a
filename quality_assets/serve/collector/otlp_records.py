"""What a request of OTLP holds, in either of its encodings."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any


@dataclass(frozen=True)
class LogRecord:
    """A log record of either encoding; its time in ns since 1970, 0 where there is none; `digest` is its identity."""

    time_ns: int
    name: str
    severity: int
    body: Any
    attributes: dict[str, Any]
    resource: dict[str, Any]
    digest: str


@dataclass(frozen=True)
class Span:
    """A span of either encoding; ids in hex, empty where they have not their length; times in ns since 1970."""

    trace_id: str
    span_id: str
    name: str
    start_ns: int
    end_ns: int
    status_code: int
    attributes: dict[str, Any]
    resource: dict[str, Any]


@dataclass(frozen=True)
class Unread:
    """A record that is none: what was sent."""

    sent: Any


OtlpRecord = LogRecord | Span | Unread


def digest(record: bytes, resource: dict[str, Any]) -> str:
    """What tells a log record from others, which has no id: the same bytes sent again are the same record."""
    return blake2b(record + repr(resource).encode(), digest_size=16).hexdigest()
