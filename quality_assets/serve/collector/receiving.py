"""What each address takes: a decoded body becomes an entry of the log, item by item."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from quality_assets.domain.live.event_rows import NOT_AN_OBJECT, REPEATED_KEY, EventSource, accept
from quality_assets.domain.live.segment import TYPES, is_usage, segment_fields
from quality_assets.serve.collector.bodies import MOST_ITEMS, RefusedError
from quality_assets.serve.json_keys import RepeatedKeys
from quality_assets.stores.live.request_log import Entry, Letter

log = logging.getLogger("quality.collector")

UNFORESEEN = "unforeseen"


@dataclass
class Received:
    """What was made of a request: the entry for the log, and what is wrong with which item."""

    entry: Entry
    errors: list[dict[str, Any]] = field(default_factory=list)


Fields = Callable[[Any], dict[str, Any] | list[str] | None]


def take(
    items: Sequence[Any], source: EventSource, received_us: int, endpoint: str, fields_of: Fields, *, may_hold_nul: bool
) -> Received:
    """Judge items one by one: rows, dead letters, and calls that are no events.

    `fields_of` gives the fields of an item in the contract's names, None of a call, or reasons against it.
    """
    rows: list[Any] = []
    letters: list[Any] = []
    errors: list[dict[str, Any]] = []
    calls = 0
    for at, item in enumerate(items):
        if type(item) is RepeatedKeys:
            found: Any = [REPEATED_KEY]
        elif type(item) is not dict:
            found = [NOT_AN_OBJECT]
        else:
            try:
                fields = fields_of(item)
                if fields is None:
                    calls += 1
                    continue
                if isinstance(fields, list):
                    found = fields
                else:
                    found = accept(fields, source, received_us, may_hold_nul=may_hold_nul)
            except Exception:
                # No item may cost the others, or be lost without a word.
                log.exception("an item could not be judged")
                found = [UNFORESEEN]
        if type(found) is tuple:
            rows.append(found)
        else:
            letters.append(Letter(endpoint, found, _as_text(item)))
            errors.append({"index": at, "reasons": found})
    return Received(Entry(source.name, rows, letters, calls), errors)


def _as_text(item: Any) -> str:
    if type(item) is RepeatedKeys:
        # As it was sent: which of the two was meant is seen in both.
        return f"{{{','.join(f'{_as_text(name)}:{_as_text(value)}' for name, value in item.pairs)}}}"
    try:
        return msgspec.json.encode(item).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return json.dumps(item, default=str)


def ingest_one(body: Any, source: EventSource, received_us: int, *, may_hold_nul: bool) -> Received:
    """`/ingest`: one event."""
    return take([body], source, received_us, "/ingest", _as_it_is, may_hold_nul=may_hold_nul)


def ingest_batch(body: Any, source: EventSource, received_us: int, *, may_hold_nul: bool) -> Received:
    """`/ingest/batch`: {"batch": [event, …]}."""
    items = items_of(body)
    return take(items, source, received_us, "/ingest/batch", _as_it_is, may_hold_nul=may_hold_nul)


def _as_it_is(item: dict[str, Any]) -> dict[str, Any]:
    return item


def items_of(body: Any) -> list[Any]:
    """The list in {"batch": […]}. Raises RefusedError: 400, 413."""
    if type(body) is RepeatedKeys:
        raise RefusedError(400, f"{body.first!r} is in the body twice.")
    items = body.get("batch") if type(body) is dict else body
    if type(items) is not list:
        raise RefusedError(400, 'The body is {"batch": […]}, a list of events.')
    if len(items) > MOST_ITEMS:
        raise RefusedError(413, f"More than {MOST_ITEMS} items at once are not taken; send several batches.")
    return items


def segment_batch(body: Any, source: EventSource, received_us: int, *, may_hold_nul: bool) -> Received:
    """`/v1/batch`: messages of Segment's SDKs."""
    items = items_of(body)
    sent_at = body.get("sentAt") if type(body) is dict else None
    return _segment(items, sent_at, source, received_us, "/v1/batch", may_hold_nul)


def segment_one(body: Any, kind: str, source: EventSource, received_us: int, *, may_hold_nul: bool) -> Received:
    """`/v1/track` and its like: one message, whose type is the address's."""
    if not isinstance(body, dict):
        raise RefusedError(400, "The body is one message, a JSON object.")
    message = body if type(body) is RepeatedKeys else {**body, "type": TYPES[kind]}
    return _segment([message], None, source, received_us, "/v1/batch", may_hold_nul)


def _segment(
    items: list[Any], sent_at: Any, source: EventSource, received_us: int, endpoint: str, may_hold_nul: bool
) -> Received:
    if sent_at is not None:
        items = [{"sentAt": sent_at, **item} if type(item) is dict else item for item in items]

    def fields_of(message: dict[str, Any]) -> dict[str, Any] | None:
        return segment_fields(message, received_us) if is_usage(message) else None

    return take(items, source, received_us, endpoint, fields_of, may_hold_nul=may_hold_nul)


def sent_again(endpoint: str, item: Any, source: EventSource, received_us: int) -> Received:
    """A dead letter's item, judged as if it came again to the address that refused it."""
    if endpoint == "/v1/batch":
        return _segment([item], None, source, received_us, endpoint, True)
    return take([item], source, received_us, endpoint, _as_it_is, may_hold_nul=True)
