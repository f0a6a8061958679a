"""A real collector: what it takes, what it refuses, and in which words."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import re
import time
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from uuid import uuid4

import pytest

from quality_assets.serve.collector import bodies


def _event(**fields: Any) -> dict[str, Any]:
    return {"event_id": str(uuid4()), "user_id": "u1", "event_type": "view", "feature": "Search", **fields}


def _letters(collector: Any) -> int:
    collector.processed()
    return len(collector.client.get("/live/deadletters").json())


def test_one_event_is_acknowledged_and_known(collector: Any) -> None:
    user = str(uuid4())
    answer = collector.client.post("/ingest", json=_event(user_id=user, event_type="purchase", device_type="mobile"))
    assert (answer.status_code, answer.json()) == (200, {"accepted": 1})
    collector.processed()
    found = collector.client.get(f"/features/{user}").json()
    values = {name: each["value"] for name, each in found["features"].items()}
    assert values["activity_count_1h"] == values["purchase_count_7d"] == 1
    assert (values["user_segment"], values["last_device"], values["is_active_session"]) == ("buyer", "mobile", True)
    assert values["engagement_score"] == 17
    assert len(values) == 21
    one = collector.client.get(f"/features/{user}/engagement_score", params={"version": 2}).json()
    assert (one["value"], one["feature"], one["user_id"]) == (21, "engagement_score", user)
    assert one["computed_at"] > one["known_until"]


def test_a_batch_tells_what_it_refused_and_keeps_the_rest(collector: Any) -> None:
    before = _letters(collector)
    batch = [_event(), "no object", _event(status="fine"), _event()]
    answer = collector.client.post("/ingest/batch", json={"batch": batch})
    assert answer.status_code == 200
    assert answer.headers["content-length"] == str(len(answer.content))
    assert answer.json() == {
        "accepted": 2,
        "refused": 2,
        "errors": [{"index": 1, "reasons": ["not_an_object"]}, {"index": 2, "reasons": ["invalid_status"]}],
    }
    assert _letters(collector) == before + 2


def test_a_single_refused_event_is_told_and_kept(collector: Any) -> None:
    before = _letters(collector)
    answer = collector.client.post("/ingest", json=_event(event_id="", latency_ms="x"))
    assert answer.status_code == 422
    assert answer.json()["reasons"] == ["missing_event_id", "invalid_latency"]
    assert _letters(collector) == before + 1


def test_what_is_sent_twice_counts_once(collector: Any) -> None:
    user = str(uuid4())
    event = _event(user_id=user)
    for _ in range(3):
        assert collector.client.post("/ingest/batch", json={"batch": [event, event]}).json()["accepted"] == 2
        collector.processed()
    assert collector.client.get(f"/features/{user}/activity_count_24h").json()["value"] == 1


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/import", "/v1/b"])
def test_segment_batches(collector: Any, path: str) -> None:
    user = str(uuid4())
    batch = [
        {"type": "track", "event": "click", "userId": user, "messageId": str(uuid4())},
        {"type": "identify", "userId": user, "messageId": str(uuid4()), "traits": {"mail": "a@b.c"}},
        {"type": "track", "event": "click", "userId": user},
    ]
    key = base64.b64encode(b"key:").decode()
    answer = collector.client.post(path, json={"batch": batch}, headers={"Authorization": f"Basic {key}"})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    collector.processed()
    assert collector.client.get(f"/features/{user}/activity_count_1h").json()["value"] == 1


@pytest.mark.parametrize("path", ["/v1/t", "/v1/track"])
def test_a_segment_call_as_text_with_its_key_in_the_body(collector: Any, path: str) -> None:
    user = str(uuid4())
    call = {"event": "view", "userId": user, "messageId": str(uuid4()), "writeKey": "key"}
    answer = collector.client.post(path, content=json.dumps(call), headers={"content-type": "text/plain"})
    assert answer.status_code == 200
    collector.processed()
    assert collector.client.get(f"/features/{user}/activity_count_1h").json()["value"] == 1


_DEEP = b'{"event_id": "a", "properties": ' + b'{"a":' * 70 + b"1" + b"}" * 71
_BODIES = {
    "empty": b"",
    "broken": b'{"event_id": ',
    "bad UTF-8": b'{"event_id": "\xff"}',
    "lone surrogate": b'{"event_id": "\\ud800"}',
    "NaN": b'{"event_id": "a", "latency_ms": NaN}',
    "1e400": b'{"event_id": "a", "latency_ms": 1e400}',
    "mark of the byte order": b'\xef\xbb\xbf{"event_id": "a"}',
    "deep": _DEEP,
    "deeper than any stack": b"[" * 100_000,
    "an integer of 9000 digits": b'{"event_id": "a", "user_id": ' + b"9" * 9000 + b"}",
}


@pytest.mark.parametrize("path", ["/ingest", "/ingest/batch", "/v1/batch", "/v1/track"])
@pytest.mark.parametrize("what", _BODIES)
def test_bodies_that_are_no_json(collector: Any, path: str, what: str) -> None:
    answer = collector.client.post(path, content=_BODIES[what])
    assert answer.status_code == 400, answer.text
    assert answer.json()["detail"]


@pytest.mark.parametrize("body", [{"batch": 3}, {"batch": {"a": 1}}, {}, 7, None, "x"])
@pytest.mark.parametrize("path", ["/ingest/batch", "/v1/batch"])
def test_a_batch_that_is_no_list(collector: Any, path: str, body: Any) -> None:
    assert collector.client.post(path, content=json.dumps(body)).status_code == 400


def test_depth_is_that_of_brackets_not_of_texts(collector: Any) -> None:
    event = _event(properties={"text": '"[{' * 200})
    assert collector.client.post("/ingest", json=event).status_code == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no gzip", 400),
        (gzip.compress(b'{"event_id": "cut"}')[:-9], 400),
        (gzip.compress(b'{"event_id": "more"}') + b"more", 400),
        (gzip.compress(b" " * 200_000_000, 1)[:500_000], 413),
        (gzip.compress(json.dumps({"event_id": "packed"}).encode()), 200),
    ],
    ids=["no gzip", "cut", "more behind it", "too large once unpacked", "well packed"],
)
def test_packed_bodies(collector: Any, body: bytes, status: int) -> None:
    answer = collector.client.post("/ingest", content=body, headers={"content-encoding": "gzip"})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "headers", [{"content-encoding": "br"}, {"content-type": "application/json; charset=iso-8859-1"}]
)
def test_encodings_that_are_not_read(collector: Any, headers: dict[str, str]) -> None:
    assert collector.client.post("/ingest", content=b"{}", headers=headers).status_code == 415


def test_too_much_at_once(collector: Any) -> None:
    large = b'{"event_id": "' + b"x" * 600_000 + b'"}'
    assert collector.client.post("/ingest", content=large).status_code == 413
    pieces = iter([large[at : at + 50_000] for at in range(0, len(large), 50_000)])
    assert collector.client.post("/ingest", content=pieces).status_code == 413
    many = {"batch": [_event() for _ in range(501)]}
    assert collector.client.post("/ingest/batch", json=many).status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/ingest", 405), ("PUT", "/v1/batch", 405), ("GET", "/nothing", 404), ("POST", "/v1/x", 404)],
)
def test_other_methods_and_addresses(collector: Any, method: str, path: str, status: int) -> None:
    assert collector.client.request(method, path).status_code == status


def test_a_broken_authorization(collector: Any) -> None:
    answer = collector.client.post("/ingest", json=_event(), headers={"authorization": "Basic ###"})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Basic")


@pytest.mark.parametrize("path", ["/v1/logs", "/v1/traces"])
def test_otlp_that_is_none(collector: Any, path: str) -> None:
    protobuf = {"content-type": "application/x-protobuf"}
    assert collector.client.post(path, content=b"\xff\xff garbage", headers=protobuf).status_code == 400
    assert collector.client.post(path, content=b"x", headers={"content-type": "text/plain"}).status_code == 415
    for body in (
        b"{",
        b"[]",
        b'{"resourceLogs": 3, "resourceSpans": 3}',
        b'{"resourceLogs": [3], "resourceSpans": [3]}',
    ):
        answer = collector.client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400, answer.text
    assert collector.client.post(path, json={}).json() == {}


def test_names_and_origins_of_others(collector: Any) -> None:
    answer = collector.client.post("/ingest", json=_event(), headers={"host": "evil.example"})
    assert answer.status_code == 421
    with closing(HTTPConnection(collector.client.base_url.host, collector.client.base_url.port)) as connection:
        connection.putrequest("GET", "/health", skip_host=True)
        connection.putheader("host", "evil.example")
        connection.putheader("host", "localhost")
        connection.endheaders()
        assert connection.getresponse().status == 421
    answer = collector.client.post("/ingest", json=_event(), headers={"origin": "https://evil.example"})
    assert answer.status_code == 403
    answer = collector.client.options("/v1/batch", headers={"origin": "http://localhost:5173"})
    assert answer.headers["access-control-allow-origin"] == "http://localhost:5173"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/features/u/nothing", 404),
        ("/features/u?version=9", 404),
        ("/features/u?version=x", 422),
        ("/features/u?as_of=soon", 422),
        ("/features/u?as_of=2999-01-01T00:00:00Z", 422),
        ("/features/" + "x" * 300, 422),
        ("/features/a%00b", 422),
        ("/features/never%20seen", 200),
        ("/live/today?day=soon", 422),
    ],
)
def test_questions_about_features(collector: Any, path: str, status: int) -> None:
    assert collector.client.get(path).status_code == status


def test_features_of_several_users(collector: Any) -> None:
    user = str(uuid4())
    collector.client.post("/ingest/batch", json={"batch": [_event(user_id=user) for _ in range(3)]})
    collector.processed()
    asked = {"users": [user, "nobody"], "features": ["activity_count_1h", "user_segment"]}
    users = collector.client.post("/features/batch", json=asked).json()["users"]
    assert [each["user_id"] for each in users] == [user, "nobody"]
    assert [each["features"]["activity_count_1h"]["value"] for each in users] == [3, 0]
    assert [each["features"]["user_segment"]["value"] for each in users] == ["casual", "unseen"]
    # As `curl -d` sends it, which calls everything a form.
    form = {"content-type": "application/x-www-form-urlencoded"}
    as_curl = collector.client.post("/features/batch", content=json.dumps(asked), headers=form).json()["users"]
    assert [each["user_id"] for each in as_curl] == [user, "nobody"]
    assert collector.client.post("/features/batch", json={"users": ["a"], "features": ["x"]}).status_code == 404
    assert collector.client.post("/features/batch", json={"users": "a"}).status_code == 422


def test_today_so_far(collector: Any) -> None:
    feature = str(uuid4())
    events = [
        _event(feature=feature, user_id=user, status=status, latency_ms=latency, event_type=f"step {feature}")
        for user, status, latency in [("a", "ok", 100), ("a", "error", 100), ("b", "crash", 100), ("c", "ok", None)]
    ]
    collector.client.post("/ingest/batch", json={"batch": events})
    collector.processed()
    today = collector.client.get("/live/today").json()
    (row,) = [each for each in today["features"] if each["feature"] == feature]
    assert (row["events"], row["errors"], row["crashes"], row["users"]) == (4, 1, 1, 3)
    # Buckets are 2 % wide.
    assert 98 < row["p95_latency_ms"] < 102
    assert {"event_name": f"step {feature}", "users": 3} in today["steps"]
    assert today["is_provisional"]
    assert today["events"] >= 4
    tiles = collector.client.get("/live/tiles").json()["tiles"]
    assert sum(each["events"] for each in tiles if each["feature"] == feature) == 4


def test_the_collector_tells_of_itself(collector: Any) -> None:
    collector.client.post("/ingest", json=_event(user_id="secret_user"))
    told = collector.processed()
    assert told["last_messages"][0]["feature"] == "Search"
    assert "secret_user" not in json.dumps(told)
    unmasked = collector.client.get("/live/collector", params={"unmasked": True, "messages": 1}).json()
    assert unmasked["last_messages"][0]["user_id"] == "secret_user"
    assert [each["source"] for each in told["sources"]] == ["default"]
    text = collector.client.get("/metrics").text
    assert "events_processed_total" in text
    assert 'events_failed_total{reason="http_400"}' in text
    assert collector.client.get("/ready").json() == {"status": "ok", "reasons": []}
    described = collector.client.get("/openapi.json").json()["paths"]
    assert {"/ingest", "/ingest/batch", "/v1/batch", "/v1/track", "/v1/logs", "/features/{user}"} <= set(described)


def test_the_description_is_a_page_of_this_machine(collector: Any) -> None:
    page = collector.client.get("/docs").text
    parts = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert [part for part in parts if not part.startswith(("/", "data:"))] == []
    for part in parts:
        if part.startswith("/"):
            assert collector.client.get(part).status_code == 200, part
    assert len(parts) == 3


_ITEMS: list[tuple[dict[str, Any], str]] = [
    ({"timestamp": 10**18}, "event_time_too_early"),
    ({"timestamp": -(10**18)}, "invalid_event_time"),
    ({"timestamp": 10**18 + 0.5}, "event_time_too_early"),
    ({"timestamp": "10000-01-01T00:00:00Z"}, "invalid_event_time"),
    ({"timestamp": [1]}, "invalid_event_time"),
    ({"timestamp": "2999-01-01T00:00:00Z"}, "event_time_in_future"),
    ({"status": ["ok"]}, "invalid_status"),
    ({"status": {"a": 1}}, "invalid_status"),
    ({"status": 3}, "invalid_status"),
    ({"feedback_score": "good"}, "invalid_feedback_score"),
    ({"feedback_score": 7}, "feedback_score_out_of_range"),
    ({"latency_ms": -1}, "negative_latency"),
    ({"latency_ms": {"a": 1}}, "invalid_latency"),
    ({"user_id": "a\0b"}, "nul_byte"),
    ({"properties": {"a": ["\0"]}}, "nul_byte"),
    ({"properties": {"a\0": 1}}, "nul_byte"),
    ({"properties": "text"}, "invalid_properties"),
    ({"properties": {"a": "x" * 33_000}}, "properties_too_large"),
    ({"event_id": 5}, "invalid_event_id"),
    ({"event_id": "x" * 256}, "invalid_event_id"),
    ({"event_id": None}, "missing_event_id"),
]


def test_no_item_is_too_odd_to_be_refused_with_its_reason(collector: Any) -> None:
    for more, reason in _ITEMS:
        event = _event(**more)
        alone = collector.client.post("/ingest", json=event)
        assert (alone.status_code, alone.json()["reasons"]) == (422, [reason]), (more, alone.text)
        told = collector.client.post("/ingest/batch", json={"batch": [event, _event()]}).json()
        assert (told["accepted"], told["errors"]) == (1, [{"index": 0, "reasons": [reason]}])
    both = collector.client.post("/ingest", json=_event(status=[1], latency_ms="x", timestamp=10**18)).json()["reasons"]
    assert set(both) == {"invalid_status", "invalid_latency", "event_time_too_early"}
    assert collector.client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "more", [{"timestamp": -(10**18)}, {"userId": "a\0"}, {"properties": {"status": [1]}}, {"type": 7}]
)
def test_no_call_of_segment_is_too_odd_to_be_kept(collector: Any, more: dict[str, Any]) -> None:
    before = _letters(collector)
    call = {"type": "track", "event": "click", "userId": "u", "messageId": str(uuid4()), **more}
    assert collector.client.post("/v1/batch", json={"batch": [call]}).status_code == 200
    assert _letters(collector) - before == (0 if "type" in more else 1)


def test_a_body_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "READ_WITHIN_S", 0.05)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await asyncio.Event().wait()
        raise AssertionError("it never comes")

    with pytest.raises(bodies.RefusedError, match=r"did not come within") as refused:
        asyncio.run(bodies.body_of(receive, {b"content-length": b"100"}))  # type: ignore[arg-type]
    assert refused.value.status == 408


def test_segment_and_otlp_clients_as_they_are(collector: Any) -> None:
    import segment.analytics
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    user = str(uuid4())
    client = segment.analytics.Client("key", host=f"http://127.0.0.1:{collector.port}", gzip=True)
    client.track(user, "click", {"feature": "Cart"})
    client.shutdown()
    url = f"http://127.0.0.1:{collector.port}/v1/traces"
    provider = TracerProvider(resource=Resource({"service.name": "Checkout"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(url, compression=Compression.Gzip)))
    with provider.get_tracer("test").start_as_current_span("pay", attributes={"user.id": user}):
        pass
    provider.shutdown()
    collector.processed()
    assert collector.client.get(f"/features/{user}/activity_count_1h").json()["value"] == 2
    features = {each["feature"] for each in collector.client.get("/live/today").json()["features"]}
    assert {"Cart", "Checkout"} <= features


def test_a_span_without_ids_is_refused_in_part(collector: Any) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
        ExportTraceServiceRequest,
        ExportTraceServiceResponse,
    )

    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    now_ns = time.time_ns()
    spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="good", start_time_unix_nano=now_ns)
    spans.add(name="bad", start_time_unix_nano=now_ns)
    before = _letters(collector)
    answer = collector.client.post(
        "/v1/traces", content=request.SerializeToString(), headers={"content-type": "application/x-protobuf"}
    )
    assert answer.status_code == 200
    told = ExportTraceServiceResponse.FromString(answer.content).partial_success
    assert (told.rejected_spans, told.error_message) == (1, "record 1: missing_event_id")
    assert _letters(collector) == before + 1


@pytest.mark.parametrize("is_packed", [False, True])
def test_otlp_in_json(collector: Any, *, is_packed: bool) -> None:
    user, now_ns = str(uuid4()), time.time_ns()
    attributes = [{"key": "user.id", "value": {"stringValue": user}}]
    spans = [
        {"traceId": uuid4().hex, "spanId": uuid4().hex[:16], "name": "pay", "startTimeUnixNano": str(now_ns)},
        {"traceId": "no hex", "spanId": uuid4().hex[:16], "name": "pay", "startTimeUnixNano": str(now_ns)},
    ]
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [{**span, "attributes": attributes} for span in spans]}]}]}
    body, headers = json.dumps(request).encode(), {"content-type": "application/json; charset=utf-8"}
    if is_packed:
        body, headers = gzip.compress(body), {**headers, "content-encoding": "gzip"}
    before = _letters(collector)
    for _ in range(2):
        answer = collector.client.post("/v1/traces", content=body, headers=headers)
        assert answer.headers["content-type"] == "application/json"
        told = {"rejectedSpans": "1", "errorMessage": "record 1: invalid_record"}
        assert (answer.status_code, answer.json()) == (200, {"partialSuccess": told})
    assert _letters(collector) == before + 2
    assert collector.client.get(f"/features/{user}/activity_count_1h").json()["value"] == 1


def test_the_product_is_served_beside_it(collector: Any) -> None:
    page = collector.client.get("/app/")
    assert page.status_code == 200
    assert "/app/assets/" in page.text
    assert collector.client.get("/app/../settings.py").status_code == 404


def test_a_user_is_in_a_segment_as_soon_as_its_condition_holds(collector: Any) -> None:
    user = str(uuid4())

    def segments() -> dict[str, bool]:
        collector.processed()
        found = collector.client.get(f"/segments/{user}").json()["segments"]
        return {name: each["value"] for name, each in found.items()}

    assert segments() == {"buyers": False, "suspicious_use": False}
    failures = [_event(user_id=user, status="error", device_type="mobile") for _ in range(10)]
    collector.client.post("/ingest/batch", json={"batch": failures})
    assert segments() == {"buyers": False, "suspicious_use": False}
    collector.client.post("/ingest", json=_event(user_id=user, event_type="purchase", device_type="desktop"))
    assert segments() == {"buyers": True, "suspicious_use": True}
