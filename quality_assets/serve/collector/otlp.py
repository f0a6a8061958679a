"""OTLP over HTTP, as protobuf or as JSON: log records and spans, in the contract's names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from quality_assets.domain.live.event_rows import EventSource
from quality_assets.serve.collector import otlp_json
from quality_assets.serve.collector.bodies import MOST_PLAIN_BYTES, RefusedError, decoded
from quality_assets.serve.collector.otlp_records import LogRecord, OtlpRecord, Span, Unread, digest
from quality_assets.serve.collector.receiving import Received, take

INVALID_RECORD = "invalid_record"
_US = 1000
_ERROR_SEVERITY, _FATAL_SEVERITY = 17, 21
_ERROR_CODE = 2
_MOST_ITEMS = 10_000
# What of a request could not be read, as it was sent.
_UNREAD = "otlp"
_REJECTED = {"logs": ("rejectedLogRecords", "rejected_log_records"), "traces": ("rejectedSpans", "rejected_spans")}


def received(kind: str, body: bytes, source: EventSource, received_us: int, *, is_json: bool) -> tuple[Received, bytes]:
    """What was made of a request to /v1/logs or /v1/traces, and the answer that its exporter reads."""
    assert len(body) <= MOST_PLAIN_BYTES
    read = otlp_json.records(kind, decoded(body)) if is_json else _records(kind, body)
    items = [_fields_of(record) for record in read]
    if len(items) > _MOST_ITEMS:
        raise RefusedError(413, f"More than {_MOST_ITEMS} records at once are not taken.")
    found = take(items, source, received_us, f"/v1/{kind}", _or_why_not, may_hold_nul=True)
    message = ""
    if found.errors:
        first = found.errors[0]
        message = f"record {first['index']}: {', '.join(first['reasons'])}"
    return found, _answer(kind, len(found.errors), message, is_json=is_json)


def _or_why_not(item: dict[str, Any]) -> dict[str, Any] | list[str]:
    return [INVALID_RECORD] if item.keys() == {_UNREAD} else item


def _answer(kind: str, rejected: int, message: str, *, is_json: bool) -> bytes:
    in_json, in_protobuf = _REJECTED[kind]
    if is_json:
        # 64-bit integers are texts in the JSON of protobuf.
        told = {"partialSuccess": {in_json: str(rejected), "errorMessage": message}} if rejected else {}
        return msgspec.json.encode(told)
    response = _messages(kind)[1]
    if rejected:
        setattr(response.partial_success, in_protobuf, rejected)
        response.partial_success.error_message = message
    answer: bytes = response.SerializeToString()
    return answer


def _messages(kind: str) -> tuple[Any, Any]:
    # Heavy, and only where somebody speaks OTLP.
    if kind == "logs":
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

        return logs.ExportLogsServiceRequest(), logs.ExportLogsServiceResponse()
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

    return traces.ExportTraceServiceRequest(), traces.ExportTraceServiceResponse()


def _records(kind: str, body: bytes) -> Iterator[OtlpRecord]:
    request = _messages(kind)[0]
    try:
        request.ParseFromString(body)
    except Exception as error:
        raise RefusedError(400, f"The body is no OTLP in protobuf: {error}.") from None
    return _logs(request) if kind == "logs" else _spans(request)


def _logs(request: Any) -> Iterator[LogRecord]:
    for of_resource in request.resource_logs:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                yield LogRecord(
                    record.time_unix_nano or record.observed_time_unix_nano,
                    getattr(record, "event_name", ""),
                    record.severity_number,
                    _value(record.body),
                    _attributes(record.attributes),
                    resource,
                    digest(record.SerializeToString(deterministic=True), resource),
                )


def _spans(request: Any) -> Iterator[Span]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                yield Span(
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.name,
                    span.start_time_unix_nano,
                    span.end_time_unix_nano,
                    span.status.code,
                    _attributes(span.attributes),
                    resource,
                )


def _fields_of(record: OtlpRecord) -> dict[str, Any]:
    if isinstance(record, Unread):
        return {_UNREAD: record.sent}
    fields = _common(record.attributes, record.resource)
    if isinstance(record, Span):
        is_known = len(record.trace_id) == 32 and len(record.span_id) == 16
        fields["event_id"] = f"{record.trace_id}-{record.span_id}" if is_known else None
        fields["event_time"] = _time(record.start_ns)
        fields["event_name"] = record.name or "span"
        fields["status"] = fields["status"] or ("error" if record.status_code == _ERROR_CODE else "ok")
        fields["latency_ms"] = (record.end_ns - record.start_ns) / 1e6 if record.end_ns else None
        fields["properties"] = record.attributes
        return fields
    fields["event_id"] = record.attributes.get("event.id") or f"log-{record.digest}"
    fields["event_time"] = _time(record.time_ns)
    fields["event_name"] = record.name or record.attributes.get("event.name") or "log"
    fields["status"] = fields["status"] or _status_of(record.severity)
    said = {"body": record.body} if record.body not in (None, "") else {}
    fields["properties"] = {**record.attributes, **said}
    return fields


def _common(attributes: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
    latency = attributes.get("duration_ms")
    return {
        "feature": attributes.get("feature") or resource.get("service.name"),
        "user_id": attributes.get("user.id") or attributes.get("enduser.id"),
        "session_id": attributes.get("session.id"),
        "status": attributes.get("status"),
        "latency_ms": latency,
        "device_type": attributes.get("device.type") or resource.get("device.type"),
        "platform": resource.get("os.type") or resource.get("os.name"),
        "app_version": resource.get("service.version"),
        "country": attributes.get("client.geo.country_iso_code"),
        "variant": attributes.get("variant"),
    }


def _time(nanoseconds: int) -> Any:
    # A time that is not stated must not become the time of receipt: exporters state it always.
    return nanoseconds // _US if nanoseconds else "unknown"


def _status_of(severity: int) -> str:
    return "crash" if severity >= _FATAL_SEVERITY else "error" if severity >= _ERROR_SEVERITY else "ok"


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    found = getattr(value, kind)
    if kind == "array_value":
        return [_value(each) for each in found.values]
    if kind == "kvlist_value":
        return _attributes(found.values)
    return found.hex() if kind == "bytes_value" else found
