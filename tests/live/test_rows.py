"""What one sent event becomes: a row of the contract, or every reason against it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from quality_assets.domain.live.event_rows import MOST_PROPERTY_BYTES, ROW_COLUMNS, EventSource, accept, instant_us
from quality_assets.domain.live.segment import is_usage, segment_fields

NOW_US = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = 60_000_000


def _accepted(fields: dict[str, Any], source: EventSource | None = None) -> dict[str, Any]:
    found = accept(fields, source or EventSource(), NOW_US, may_hold_nul=True)
    assert isinstance(found, tuple), found
    return dict(zip(ROW_COLUMNS, found, strict=True))


def _refused(fields: dict[str, Any], source: EventSource | None = None) -> list[str]:
    found = accept(fields, source or EventSource(), NOW_US, may_hold_nul=True)
    assert isinstance(found, list), found
    return found


def test_the_short_form_of_an_event() -> None:
    row = _accepted(
        {
            "event_id": "evt_001",
            "user_id": "user_alice",
            "event_type": "purchase",
            "device_type": "mobile",
            "timestamp": "2026-01-05T10:30:00Z",
        }
    )
    assert (row["event_name"], row["user_id"], row["device_type"]) == ("purchase", "user_alice", "mobile")
    assert row["event_us"] == 1_767_609_000_000_000
    assert (row["status"], row["feature"], row["properties"]) == ("ok", "app", None)


def test_the_contracts_own_columns() -> None:
    row = _accepted(
        {
            "event_id": "a",
            "event_time": "2026-11-20T10:00:00.25+02:00",
            "feature": " Search ",
            "event_name": "query",
            "user_id": 7,
            "session_id": "7.0",
            "status": "crash",
            "latency_ms": 12,
            "feedback_score": 5,
            "platform": "ios",
            "app_version": "1.2",
            "country": "DE",
            "variant": "x:b",
            "properties": {"a": 1},
            "price": 2.5,
        }
    )
    assert row["event_us"] == NOW_US - 4 * 60 * MINUTE_US + 250_000
    assert (row["feature"], row["user_id"], row["session_id"]) == ("Search", "7", "7")
    assert (row["latency_ms"], row["feedback_score"], row["status"]) == (12.0, 5.0, "crash")
    assert row["properties"] == '{"price":2.5,"a":1}'


def test_one_id_of_two_senders_is_two_events() -> None:
    keys = {_accepted({"event_id": "a"}, EventSource(name))["key"] for name in ("web", "app")}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("2026-11-20T12:00:00Z", NOW_US),
        (NOW_US // 1_000_000, NOW_US),
        (NOW_US // 1_000, NOW_US),
        (NOW_US, NOW_US),
        (NOW_US * 1000, NOW_US),
        (str(NOW_US // 1000), NOW_US),
        (NOW_US / 1e6 + 0.5, NOW_US + 500_000),
        ("2026-11-20T12:00:00", None),
        ("yesterday", None),
        ("10000-01-01T00:00:00Z", None),
        (1e18 * 100, None),
        (-1_000_000_000, None),
        (True, None),
        ([1], None),
    ],
)
def test_times_as_people_write_them(value: Any, wanted: int | None) -> None:
    assert instant_us(value) == wanted


@pytest.mark.parametrize(
    ("fields", "reasons"),
    [
        ({}, ["missing_event_id"]),
        ({"event_id": " "}, ["missing_event_id"]),
        ({"event_id": "null"}, ["missing_event_id"]),
        ({"event_id": 5}, ["invalid_event_id"]),
        ({"event_id": "x" * 256}, ["invalid_event_id"]),
        ({"event_id": "a", "user_id": "x" * 256}, ["invalid_text"]),
        ({"event_id": "a", "user_id": ["b"]}, ["invalid_text"]),
        ({"event_id": "a", "timestamp": "soon"}, ["invalid_event_time"]),
        ({"event_id": "a", "timestamp": 10**18}, ["event_time_too_early"]),
        ({"event_id": "a", "timestamp": -(10**18)}, ["invalid_event_time"]),
        ({"event_id": "a", "timestamp": "2001-01-01T00:00:00Z"}, ["event_time_too_early"]),
        ({"event_id": "a", "timestamp": NOW_US + 6 * MINUTE_US}, ["event_time_in_future"]),
        ({"event_id": "a", "status": "success"}, ["invalid_status"]),
        ({"event_id": "a", "status": ["ok"]}, ["invalid_status"]),
        ({"event_id": "a", "latency_ms": "fast"}, ["invalid_latency"]),
        ({"event_id": "a", "latency_ms": True}, ["invalid_latency"]),
        ({"event_id": "a", "latency_ms": -1}, ["negative_latency"]),
        ({"event_id": "a", "latency_ms": 999999}, ["implausible_latency"]),
        ({"event_id": "a", "latency_ms": 10**30}, ["implausible_latency"]),
        ({"event_id": "a", "feedback_score": 6}, ["feedback_score_out_of_range"]),
        ({"event_id": "a", "feedback_score": "5"}, ["invalid_feedback_score"]),
        ({"event_id": "a", "properties": [1]}, ["invalid_properties"]),
        ({"event_id": "a", "properties": "[1]"}, ["invalid_properties"]),
        ({"event_id": "a", "properties": {"x": "y" * MOST_PROPERTY_BYTES}}, ["properties_too_large"]),
        ({"event_id": "a", "properties": {"x": [{"y\0": 1}]}}, ["nul_byte"]),
        ({"event_id": "a\0"}, ["nul_byte"]),
        (
            {"event_id": 1, "timestamp": "x", "status": 3, "latency_ms": -2, "feedback_score": 0},
            [
                "invalid_event_id",
                "invalid_event_time",
                "invalid_status",
                "negative_latency",
                "feedback_score_out_of_range",
            ],
        ),
    ],
)
def test_every_reason_is_told(fields: dict[str, Any], reasons: list[str]) -> None:
    assert _refused(fields) == reasons


def test_an_event_is_never_after_its_receipt() -> None:
    assert _accepted({"event_id": "a", "timestamp": NOW_US + 4 * MINUTE_US})["event_us"] == NOW_US
    assert _accepted({"event_id": "a"})["event_us"] == NOW_US


def test_a_strict_sender_sends_what_its_catalogue_names() -> None:
    source = EventSource("web", "Shop", frozenset({"view"}))
    assert _accepted({"event_id": "a", "event_type": "view"}, source)["feature"] == "Shop"
    assert _refused({"event_id": "a", "event_type": "wiev"}, source) == ["unknown_event"]


def test_a_track_call_by_its_senders_clock() -> None:
    message = {
        "type": "track",
        "messageId": "m1",
        "event": "Order Completed",
        "anonymousId": "anon",
        "timestamp": "2026-11-20T08:00:00Z",
        "sentAt": "2026-11-20T08:10:00Z",
        "context": {"app": {"name": "Shop", "version": "3"}, "device": {"type": "mobile"}, "ip": "1.2.3.4"},
        "properties": {"duration_ms": 40, "status": "error", "total": 9.5},
    }
    row = _accepted(segment_fields(message, NOW_US))
    # Ten minutes before it was sent, whatever that clock says; and no address of the sender is kept.
    assert row["event_us"] == NOW_US - 10 * MINUTE_US
    assert (row["event_name"], row["feature"], row["user_id"]) == ("Order Completed", "Shop", "anon")
    assert (row["latency_ms"], row["status"], row["app_version"]) == (40.0, "error", "3")
    assert "1.2.3.4" not in str(row)


def test_calls_that_use_no_feature() -> None:
    assert [is_usage({"type": kind}) for kind in ("track", "identify", "page", "screen", "group", "alias")] == [
        True,
        *[False] * 5,
    ]
    page = {"type": "page", "messageId": "p", "userId": "u", "properties": {"feature": "Docs"}}
    assert is_usage(page)
    row = _accepted(segment_fields(page, NOW_US))
    assert (row["event_name"], row["feature"]) == ("page", "Docs")
