"""OTLP over HTTP (protobuf): log records and spans, in the contract's names."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

from quality_assets.domain.live.event_rows import EventSource
from quality_assets.serve.collector.bodies import MOST_PLAIN_BYTES, RefusedError
from quality_assets.serve.collector.receiving import Received, take

_US = 1000
_ERROR_SEVERITY, _FATAL_SEVERITY = 17, 21
_ERROR_CODE = 2
_MOST_ITEMS = 10_000


def received(kind: str, body: bytes, source: EventSource, received_us: int) -> tuple[Received, bytes]:
    """What was made of a request to /v1/logs or /v1/traces, and the answer that its exporter reads."""
    assert len(body) <= MOST_PLAIN_BYTES
    request, response, rejected = _messages(kind)
    try:
        request.ParseFromString(body)
    except Exception as error:
        raise RefusedError(400, f"The body is no OTLP in protobuf: {error}.") from None
    items = list(_logs(request) if kind == "logs" else _spans(request))
    if len(items) > _MOST_ITEMS:
        raise RefusedError(413, f"More than {_MOST_ITEMS} records at once are not taken.")
    found = take(items, source, received_us, f"/v1/{kind}", dict, may_hold_nul=True)
    if found.errors:
        setattr(response.partial_success, rejected, len(found.errors))
        first = found.errors[0]
        response.partial_success.error_message = f"record {first['index']}: {', '.join(first['reasons'])}"
    return found, response.SerializeToString()


def _messages(kind: str) -> tuple[Any, Any, str]:
    # Heavy, and only where somebody speaks OTLP.
    if kind == "logs":
        from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs

        return logs.ExportLogsServiceRequest(), logs.ExportLogsServiceResponse(), "rejected_log_records"
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

    return traces.ExportTraceServiceRequest(), traces.ExportTraceServiceResponse(), "rejected_spans"


def _logs(request: Any) -> Iterator[dict[str, Any]]:
    for of_resource in request.resource_logs:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_logs:
            for record in of_scope.log_records:
                attributes = _attributes(record.attributes)
                # A record has no id: the same bytes sent again are the same record.
                whole = record.SerializeToString(deterministic=True) + repr(resource).encode()
                fields = _fields(attributes, resource)
                fields["event_id"] = attributes.get("event.id") or f"log-{blake2b(whole, digest_size=16).hexdigest()}"
                fields["event_time"] = _time(record.time_unix_nano or record.observed_time_unix_nano)
                fields["event_name"] = getattr(record, "event_name", "") or attributes.get("event.name") or "log"
                fields["status"] = fields["status"] or _status_of(record.severity_number)
                said = _value(record.body)
                fields["properties"] = {**attributes, **({"body": said} if said not in (None, "") else {})}
                yield fields


def _spans(request: Any) -> Iterator[dict[str, Any]]:
    for of_resource in request.resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            for span in of_scope.spans:
                attributes = _attributes(span.attributes)
                fields = _fields(attributes, resource)
                is_known = len(span.trace_id) == 16 and len(span.span_id) == 8
                fields["event_id"] = f"{span.trace_id.hex()}-{span.span_id.hex()}" if is_known else None
                fields["event_time"] = _time(span.start_time_unix_nano)
                fields["event_name"] = span.name or "span"
                fields["status"] = fields["status"] or ("error" if span.status.code == _ERROR_CODE else "ok")
                took_ns = span.end_time_unix_nano - span.start_time_unix_nano
                fields["latency_ms"] = took_ns / 1e6 if span.end_time_unix_nano else None
                fields["properties"] = attributes
                yield fields


def _fields(attributes: dict[str, Any], resource: dict[str, Any]) -> dict[str, Any]:
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
