"""Figures of a day from a few rows of the live state, and what records of OTLP become field by field."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import apsw
import pytest

from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector import otlp, otlp_json, today
from quality_assets.serve.collector.otlp_records import LogRecord, Span, Unread, digest
from quality_assets.serve.collector.today import Today, instant
from quality_assets.settings import REPOSITORY_ROOT
from quality_assets.stores.live.state_tables import create_tables

FEATURES = load_features(REPOSITORY_ROOT / "data" / "features.yaml")
TILE_US = 300_000_000
DAY = date(2026, 3, 4)
NUMBER = (DAY - date(1970, 1, 1)).days
FIRST = NUMBER * 288


def _us(hour: int, minute: int = 0) -> int:
    return int(datetime(2026, 3, 4, hour, minute, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Any]:
    """An empty state that is written to by hand, and the figures that are read of it."""
    path = tmp_path / "state.db"
    writer = apsw.Connection(str(path))
    create_tables(writer, FEATURES)
    figures = Today(path, TILE_US)
    yield writer, figures
    figures.close()
    writer.close()


def _insert(writer: Any, table: str, *rows: tuple[Any, ...]) -> None:
    for row in rows:
        writer.execute(f"insert into {table} values ({', '.join('?' * len(row))})", row)


def test_a_day_in_all_its_figures(state: Any) -> None:
    writer, figures = state
    _insert(
        writer, "live_metrics",
        ("pay", FIRST - 1, 900, 90, 9, 0, 0), ("pay", FIRST, 5, 2, 1, 0, 0), ("pay", FIRST + 287, 4, 0, 1, 0, 0),
        ("maps", FIRST + 12, 20, 1, 0, 0, 0), ("chat", FIRST + 13, 9, 0, 0, 0, 0),
        ("pay", FIRST + 288, 900, 90, 9, 0, 0),
    )  # fmt: skip
    _insert(
        writer, "live_users",
        (NUMBER, "pay", "u1"), (NUMBER, "pay", "u2"), (NUMBER, "maps", "u1"), (NUMBER, "", "u1"), (NUMBER, "", "u2"),
        (NUMBER - 1, "pay", "u3"), (NUMBER + 1, "", "u3"),
    )  # fmt: skip
    _insert(
        writer, "live_steps",
        (NUMBER, "see", "u1"), (NUMBER, "buy", "u1"), (NUMBER, "buy", "u2"), (NUMBER, "ask", "u2"),
        (NUMBER - 1, "see", "u3"),
    )  # fmt: skip
    hour = NUMBER * 24
    _insert(
        writer, "live_latency",
        (hour - 1, "pay", 700, 900), (hour, "pay", 300, 94), (hour + 23, "pay", 400, 1), (hour + 5, "pay", 500, 5),
        (hour + 24, "pay", 700, 900), (hour, "maps", 300, 94), (hour, "maps", 350, 6),
    )  # fmt: skip
    found = figures.day(DAY, _us(13, 30) + 5)
    pay = round(math.exp(400.5 * math.log(1.02)) / 1000, 3)
    maps = round(math.exp(350.5 * math.log(1.02)) / 1000, 3)
    shared = {"errors": 0, "crashes": 0, "users": 0, "p95_latency_ms": None}
    assert found == {
        "date": "2026-03-04", "is_provisional": True, "known_until": "2026-03-04T13:30:00.000005+00:00",
        "events": 38, "errors": 3, "crashes": 2, "users": 2,
        "features": [
            {"feature": "maps", "events": 20, "errors": 1, "crashes": 0, "users": 1, "p95_latency_ms": maps,
             "last_event_at": "2026-03-04T01:00:00+00:00"},
            {"feature": "chat", "events": 9, "last_event_at": "2026-03-04T01:05:00+00:00"} | shared,
            {"feature": "pay", "events": 9, "errors": 2, "crashes": 2, "users": 2, "p95_latency_ms": pay,
             "last_event_at": "2026-03-04T23:55:00+00:00"},
        ],
        "steps": [{"event_name": "buy", "users": 2}, {"event_name": "ask", "users": 1},
                  {"event_name": "see", "users": 1}],
    }  # fmt: skip
    assert figures.tiles(DAY) == [
        {"feature": "chat", "minute": 65, "events": 9}, {"feature": "maps", "minute": 60, "events": 20},
        {"feature": "pay", "minute": 0, "events": 5}, {"feature": "pay", "minute": 1435, "events": 4},
    ]  # fmt: skip


def test_percentiles_and_instants() -> None:
    def ms(bucket: float) -> float:
        return round(1.02 ** (bucket + 0.5) / 1000, 3)

    assert today._percentile([(100, 19), (200, 1)]) == ms(100)
    assert today._percentile([(100, 18), (200, 1)]) == ms(200)
    assert today._percentile([(500, 1)]) == ms(500)
    assert math.isnan(today._percentile([]))
    assert instant(0) is None
    assert instant(1_000_001) == "1970-01-01T00:00:01.000001+00:00"


def test_senders_and_their_last_messages(state: Any) -> None:
    writer, figures = state
    _insert(writer, "live_sources", ("web", 5, 1, 2, 3, _us(9)), ("app", 4, 0, 0, 1, 0))
    assert figures.sources() == [
        {"source": "app", "events": 4, "duplicates": 0, "refused": 0, "calls": 1, "last_at": None},
        {"source": "web", "events": 5, "duplicates": 1, "refused": 2, "calls": 3,
         "last_at": "2026-03-04T09:00:00+00:00"},
    ]  # fmt: skip
    for seq, source in ((1, "app"), (2, "web"), (3, "web"), (4, "web")):
        writer.execute(
            "insert into events (seq, source, feature, event_name, status, received_us, event_us, event_id, user_id,"
            " platform) values (?, ?, 'pay', 'buy', 'ok', ?, ?, ?, 'u', 'ios')",
            (seq, source, _us(10, seq), _us(9, seq), f"e{seq}"),
        )
    hidden = {"session_id": None, "device_type": None, "app_version": None, "properties": None}
    plain = figures.last_messages(2, masked=False)
    assert [row["event_id"] for row in plain] == ["e4", "e3", "e1"]
    assert plain[2] == hidden | {
        "source": "app", "feature": "pay", "event_name": "buy", "status": "ok", "event_id": "e1", "user_id": "u",
        "platform": "ios", "received_at": "2026-03-04T10:01:00+00:00", "event_time": "2026-03-04T09:01:00+00:00",
    }  # fmt: skip
    assert figures.last_messages(1, masked=True) == [
        row | {"event_id": "•••", "user_id": "•••", "platform": "•••"} for row in (plain[0], plain[2])
    ]


def test_what_waits_to_land_is_counted_every_two_seconds(state: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, figures = state
    clock = [100.0]
    monkeypatch.setattr(today.time, "monotonic", lambda: clock[0])
    nothing = dict.fromkeys(("waiting_since", "oldest_us", "last_file", "last_landed_at"))
    assert figures.landing() == nothing | {"waiting_events": 0}
    for seq in (2, 1):
        writer.execute("insert into events (seq, received_us) values (?, ?)", (seq, _us(10, seq)))
    for batch, name, at in ((1, "a", "landed"), (2, "b", "landed"), (3, "c", "planned")):
        writer.execute(
            "insert into exports (batch, name, state, landed_us) values (?, ?, ?, ?)", (batch, name, at, _us(batch))
        )
    clock[0] = 101.9
    assert figures.landing()["waiting_events"] == 0
    clock[0] = 102.0
    assert figures.landing() == {
        "waiting_events": 2, "waiting_since": "2026-03-04T10:01:00+00:00", "oldest_us": _us(10, 1), "last_file": "b",
        "last_landed_at": "2026-03-04T02:00:00+00:00",
    }  # fmt: skip


# --- OTLP -------------------------------------------------------------------------------------------------------------

COMMON = dict.fromkeys(
    ("feature", "user_id", "session_id", "status", "latency_ms", "device_type", "platform", "app_version", "country",
     "variant")
)  # fmt: skip


def test_attributes_go_before_those_of_the_resource() -> None:
    attributes = {
        "feature": "pay", "user.id": "u", "enduser.id": "not this", "session.id": "s", "status": "crash",
        "duration_ms": 7, "device.type": "phone", "client.geo.country_iso_code": "DE", "variant": "x:a",
    }  # fmt: skip
    resource = {
        "service.name": "Shop", "device.type": "tablet", "os.type": "linux", "os.name": "not this",
        "service.version": "1.2",
    }  # fmt: skip
    assert otlp._common(attributes, resource) == {
        "feature": "pay", "user_id": "u", "session_id": "s", "status": "crash", "latency_ms": 7,
        "device_type": "phone", "platform": "linux", "app_version": "1.2", "country": "DE", "variant": "x:a",
    }  # fmt: skip
    second = otlp._common({"enduser.id": "e"}, {"service.name": "Shop", "device.type": "tablet", "os.name": "Linux"})
    assert second == COMMON | {"feature": "Shop", "user_id": "e", "device_type": "tablet", "platform": "Linux"}
    assert otlp._common({}, {}) == COMMON


def _span(**more: Any) -> dict[str, Any]:
    known = {
        "trace_id": "a" * 32, "span_id": "b" * 16, "name": "pay", "start_ns": 5_000_000, "end_ns": 7_500_000,
        "status_code": 0, "attributes": {}, "resource": {},
    }  # fmt: skip
    return otlp._fields_of(Span(**(known | more)))


def test_a_span_becomes_an_event() -> None:
    event_id = f"{'a' * 32}-{'b' * 16}"
    wanted = COMMON | {
        "event_id": event_id, "event_time": 5000, "event_name": "pay", "status": "ok", "latency_ms": 2.5,
        "properties": {},
    }  # fmt: skip
    assert _span() == wanted
    assert _span(name="", status_code=2, end_ns=0, start_ns=0) == wanted | {
        "event_name": "span", "status": "error", "latency_ms": None, "event_time": "unknown",
    }  # fmt: skip
    assert [_span(status_code=code)["status"] for code in (1, 2, 3)] == ["ok", "error", "ok"]
    assert _span(attributes={"status": "crash"}, status_code=2)["status"] == "crash"
    for wrong in ({"trace_id": "a" * 31}, {"trace_id": "a" * 33}, {"span_id": "b" * 15}, {"span_id": ""}):
        assert _span(**wrong)["event_id"] is None


def _log(**more: Any) -> dict[str, Any]:
    known = {
        "time_ns": 5_999, "name": "", "severity": 0, "body": None, "attributes": {}, "resource": {}, "digest": "d",
    }  # fmt: skip
    return otlp._fields_of(LogRecord(**(known | more)))


def test_a_log_record_becomes_an_event() -> None:
    wanted = COMMON | {"event_id": "log-d", "event_time": 5, "event_name": "log", "status": "ok", "properties": {}}
    assert _log() == wanted
    said = {"event.id": "i", "event.name": "n"}
    assert _log(attributes=said, body="b") == wanted | {
        "event_id": "i", "event_name": "n", "properties": said | {"body": "b"},
    }  # fmt: skip
    assert _log(attributes=said, name="own")["event_name"] == "own"
    assert [_log(body=body)["properties"] for body in ("", 0, {"a": 1})] == [{}, {"body": 0}, {"body": {"a": 1}}]
    statuses = [_log(severity=severity)["status"] for severity in (0, 16, 17, 20, 21, 24)]
    assert statuses == ["ok", "ok", "error", "error", "crash", "crash"]
    assert otlp._or_why_not(otlp._fields_of(Unread({"x": 1}))) == ["invalid_record"]
    assert otlp._or_why_not({"otlp": 1, "more": 2}) == {"otlp": 1, "more": 2}


def test_answers_of_either_encoding() -> None:
    assert otlp._answer("logs", 0, "", is_json=True) == b"{}"
    assert otlp._answer("traces", 3, "m", is_json=True) == (
        b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"m"}}'
    )
    for kind in ("logs", "traces"):
        assert otlp._answer(kind, 0, "", is_json=False) == b""
        response = otlp._messages(kind)[1]
        response.ParseFromString(otlp._answer(kind, 2, "m", is_json=False))
        told = response.partial_success
        rejected = told.rejected_log_records if kind == "logs" else told.rejected_spans
        assert (rejected, told.error_message) == (2, "m")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ({"stringValue": ""}, ""), ({"intValue": "-7"}, -7), ({"intValue": 7.0}, 7),
        ({"intValue": 2**63 - 1}, 2**63 - 1),
        ({"intValue": -(2**63)}, -(2**63)), ({"intValue": 2**63}, ValueError), ({"intValue": -(2**63) - 1}, ValueError),
        ({"intValue": 7.5}, TypeError), ({"intValue": True}, TypeError), ({"doubleValue": "0.5"}, 0.5),
        ({"doubleValue": True}, TypeError), ({"boolValue": False}, False), ({"boolValue": 0}, TypeError),
        ({"bytesValue": "AP8="}, "00ff"), ({"arrayValue": {}}, []), ({"other": 1}, None), ({}, None), (None, None),
        ("text", TypeError),
        ({"arrayValue": {"values": [{"intValue": 1}, None]}}, [1, None]),
        ({"kvlistValue": {"values": [{"key": "k", "value": {"boolValue": True}}]}}, {"k": True}),
    ],
)  # fmt: skip
def test_values_of_otlp_in_json(value: Any, wanted: Any) -> None:
    if isinstance(wanted, type):
        with pytest.raises(wanted):
            otlp_json._value(value)
    else:
        assert otlp_json._value(value) == wanted


def test_times_and_ids_of_otlp_in_json() -> None:
    assert [otlp_json._unsigned(value) for value in (None, 0, "18446744073709551615")] == [0, 0, 2**64 - 1]
    for wrong in (-1, 2**64):
        with pytest.raises(ValueError, match="64 bits"):
            otlp_json._unsigned(wrong)
    assert (otlp_json._hex("AbC0"), otlp_json._hex(None)) == ("abc0", "")
    assert (otlp_json._number(None), otlp_json._number(2)) == (0, 2)
    record = {"timeUnixNano": 0, "observedTimeUnixNano": "7", "eventName": "n", "severityNumber": 9, "body": {}}
    found = otlp_json._log(record, {"r": 1})
    assert (found.time_ns, found.name, found.severity, found.body, found.resource) == (7, "n", 9, None, {"r": 1})
    assert otlp_json._log(record | {"timeUnixNano": 5}, {}).time_ns == 5
    assert digest(b"a", {"r": 1}) != digest(b"a", {}) == digest(b"a", {})
