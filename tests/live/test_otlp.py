"""OTLP as protobuf and as JSON: the same records become the same events."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from quality_assets.domain.live.event_rows import ROW_COLUMNS, EventSource
from quality_assets.serve.collector.otlp import received

NOW_US = 1_795_000_000_000_000
TRACE, SPAN = bytes(range(16)), bytes(range(8))


def _taken(kind: str, body: bytes, *, is_json: bool) -> list[dict[str, Any]]:
    found, _ = received(kind, body, EventSource(), NOW_US, is_json=is_json)
    assert found.errors == []
    return [dict(zip(ROW_COLUMNS, row, strict=True)) for row in found.entry.rows]


def _in_json(request: Any) -> bytes:
    """A request in OTLP's JSON: ids in hex, where that of protobuf has base64."""

    def mended(value: Any) -> Any:
        if isinstance(value, list):
            return [mended(each) for each in value]
        if not isinstance(value, dict):
            return value
        return {
            name: base64.b64decode(each).hex() if name in ("traceId", "spanId") else mended(each)
            for name, each in value.items()
        }

    return json.dumps(mended(MessageToDict(request, use_integers_for_enums=True))).encode()


def test_spans_of_either_encoding_are_the_same_events() -> None:
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.add(key="service.name").value.string_value = "Checkout"
    span = of_resource.scope_spans.add().spans.add(
        trace_id=TRACE, span_id=SPAN, name="pay", kind=2,
        start_time_unix_nano=(NOW_US - 1_000_000) * 1000, end_time_unix_nano=(NOW_US - 1_000_000) * 1000 + 2_500_000,
    )  # fmt: skip
    span.status.code = 2
    for name, kind, value in (
        ("user.id", "string_value", "ada"), ("count", "int_value", 2**53 + 1), ("ratio", "double_value", 0.5),
        ("is_new", "bool_value", False), ("raw", "bytes_value", b"\x00\xff"),
    ):  # fmt: skip
        setattr(span.attributes.add(key=name).value, kind, value)
    span.attributes.add(key="list").value.array_value.values.add().string_value = "a"
    nested = span.attributes.add(key="map").value.kvlist_value.values.add(key="b")
    nested.value.int_value = -7
    span.attributes.add(key="nothing")
    (row,) = _taken("traces", request.SerializeToString(), is_json=False)
    assert _taken("traces", _in_json(request), is_json=True) == [row]
    assert row["event_id"] == f"{TRACE.hex()}-{SPAN.hex()}"
    assert (row["feature"], row["event_name"], row["user_id"]) == ("Checkout", "pay", "ada")
    assert (row["status"], row["latency_ms"], row["event_us"]) == ("error", 2.5, NOW_US - 1_000_000)
    assert json.loads(row["properties"]) == {
        "user.id": "ada", "count": 2**53 + 1, "ratio": 0.5, "is_new": False, "raw": "00ff", "list": ["a"],
        "map": {"b": -7}, "nothing": None,
    }  # fmt: skip


def test_log_records_of_either_encoding_are_the_same_but_for_their_ids() -> None:
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for severity, text in ((9, "well"), (17, "bad"), (21, "dead")):
        record = records.add(observed_time_unix_nano=NOW_US * 1000 - 5_000_000, severity_number=severity)
        record.body.string_value = text
    packed = _taken("logs", request.SerializeToString(), is_json=False)
    plain = _taken("logs", _in_json(request), is_json=True)
    assert [row["status"] for row in packed] == ["ok", "error", "crash"]
    assert [json.loads(row["properties"]) for row in packed] == [{"body": text} for text in ("well", "bad", "dead")]
    for row in (*packed, *plain):
        assert row.pop("event_id").startswith("log-")
        assert row.pop("key")
    assert packed == plain


def test_a_log_record_that_is_sent_again_has_its_id_again() -> None:
    def ids(**more: Any) -> set[str]:
        record = {"timeUnixNano": str(NOW_US * 1000), "severityNumber": 9, "body": {"stringValue": "x"}, **more}
        body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [record, dict(reversed(record.items()))]}]}]})
        return {row["event_id"] for row in _taken("logs", body.encode(), is_json=True)}

    assert len(ids()) == len(ids() | ids()) == 1
    assert len(ids() | ids(severityNumber=10)) == 2
    assert ids(attributes=[{"key": "event.id", "value": {"stringValue": "mine"}}]) == {"mine"}


SOUND = {"traceId": TRACE.hex(), "spanId": SPAN.hex(), "name": "pay", "startTimeUnixNano": NOW_US * 1000}


@pytest.mark.parametrize(
    "span",
    [
        {**SOUND, "traceId": base64.b64encode(TRACE).decode()},
        {**SOUND, "name": 5},
        {**SOUND, "startTimeUnixNano": "1_000"},
        {**SOUND, "startTimeUnixNano": str(2**64)},
        {**SOUND, "startTimeUnixNano": -1},
        {**SOUND, "status": {"code": "STATUS_CODE_ERROR"}},
        {**SOUND, "status": "error"},
        {**SOUND, "attributes": {"user.id": "ada"}},
        {**SOUND, "attributes": ["user.id"]},
        {**SOUND, "attributes": [{"key": "a", "value": "plain"}]},
        {**SOUND, "attributes": [{"key": "a", "value": {"intValue": "9" * 30}}]},
        {**SOUND, "attributes": [{"key": "a", "value": {"bytesValue": "no base64"}}]},
        {**SOUND, "attributes": [{"key": "a", "value": {"arrayValue": [1]}}]},
        {**SOUND, "attributes": [{"key": "a", "value": {"boolValue": "yes"}}]},
        "no span",
        None,
    ],
)
def test_a_span_that_is_none_costs_no_other(span: Any) -> None:
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SOUND, span, SOUND]}]}]}).encode()
    found, answer = received("traces", body, EventSource(), NOW_US, is_json=True)
    assert found.errors == [{"index": 1, "reasons": ["invalid_record"]}]
    assert len(found.entry.rows) == 2
    assert json.loads(found.entry.letters[0].body) == {"otlp": span}
    assert json.loads(answer)["partialSuccess"]["rejectedSpans"] == "1"


def test_records_of_a_resource_that_is_none_are_refused() -> None:
    body = json.dumps({"resourceSpans": [{"resource": {"attributes": 3}, "scopeSpans": [{"spans": [SOUND]}]}]}).encode()
    found, _ = received("traces", body, EventSource(), NOW_US, is_json=True)
    assert [each["reasons"] for each in found.errors] == [["invalid_record"]]
