"""The addresses that events are sent to, as plain ASGI: half of what a framework's route would cost an event.

The same addresses are described, and answered for other methods, by the routes of `described.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from quality_assets.domain.live.segment import TYPES
from quality_assets.serve.collector.access import Access, DeniedError, Sender, TooMuchError
from quality_assets.serve.collector.bodies import RefusedError, body_of, decoded
from quality_assets.serve.collector.committing import OverloadedError
from quality_assets.serve.collector.core import Core
from quality_assets.serve.collector.receiving import Received, ingest_batch, ingest_one, segment_batch, segment_one
from quality_assets.serve.ports import LOOPBACK
from quality_assets.stores.live.request_log import encoded

log = logging.getLogger("quality.collector")

_JSON = (b"content-type", b"application/json")
_PROTOBUF = (b"content-type", b"application/x-protobuf")
_FORM = b"application/x-www-form-urlencoded"
_RETRY = (b"retry-after", b"2")
_NUL = b"\\u0000"
_MOST_HOSTS = 1000

Answer = tuple[int, bytes, list[tuple[bytes, bytes]]]
Handler = Callable[[bytes, dict[bytes, bytes]], Awaitable[Answer]]


class Hot:
    """ASGI: takes events, and hands everything else to `app` once the host name is one of ours."""

    def __init__(
        self, app: ASGIApp, core: Core, access: Access, hosts: frozenset[str], origins: tuple[str, ...]
    ) -> None:
        self._app, self._core, self._access = app, core, access
        self._hosts, self._origins = hosts, origins
        self._known_hosts: dict[bytes, bool] = {}
        self._handlers: dict[str, Handler] = {
            "/ingest": self._ingest,
            "/ingest/batch": self._ingest_batch,
            "/v1/logs": lambda body, headers: self._otlp("logs", body, headers),
            "/v1/traces": lambda body, headers: self._otlp("traces", body, headers),
        }
        for name in ("batch", "import", "b"):
            self._handlers[f"/v1/{name}"] = self._segment_batch
        for name in TYPES:
            self._handlers[f"/v1/{name}"] = self._segment_one(name)

    @property
    def paths(self) -> list[str]:
        """The addresses that events are sent to."""
        return list(self._handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        # Of several names no two servers believe the same one.
        is_one = [name for name, _ in scope["headers"]].count(b"host") == 1
        if not is_one or not self._is_our_host(headers.get(b"host", b"")):
            await _send(send, *_said(421, "This server does not answer to that host name; see QUALITY_ALLOWED_HOSTS."))
            return
        handler = self._handlers.get(scope["path"])
        method = scope["method"]
        if scope["path"] == "/features/batch" and headers.get(b"content-type", _FORM) == _FORM:
            # What `curl -d` calls everything that it sends.
            kept = [(name, value) for name, value in scope["headers"] if name != b"content-type"]
            scope = {**scope, "headers": [*kept, _JSON]}
        if handler is None or method not in ("POST", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        origin = headers.get(b"origin")
        more = []
        if origin is not None:
            if not self._may_send(origin, headers.get(b"host", b"")):
                await _send(
                    send, *_said(403, "Pages of that website may not send here; see QUALITY_COLLECTOR_ORIGINS.")
                )
                return
            more = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        if method == "OPTIONS":
            await _send(send, 204, b"", [*more, *_PREFLIGHT])
            return
        status, body, answered = await self._answer(handler, receive, headers)
        await _send(send, status, body, [*answered, *more] if more else answered)

    async def _answer(self, handler: Handler, receive: Receive, headers: dict[bytes, bytes]) -> Answer:
        failed = self._core.measures.failed
        try:
            return await handler(await body_of(receive, headers), headers)
        except RefusedError as refused:
            failed(f"http_{refused.status}", 1)
            # What was not read of a body must not be taken for the next request.
            return _said(refused.status, str(refused), (b"connection", b"close"))
        except DeniedError as denied:
            failed("http_401", 1)
            return _said(401, str(denied), (b"www-authenticate", b"Basic"))
        except TooMuchError as much:
            failed("http_429", 1)
            return _said(429, f"{much}.", (b"retry-after", str(much.retry_after_s).encode()))
        except OverloadedError as overloaded:
            failed("http_503", 1)
            return _said(503, f"Nothing was taken, send it again: {overloaded}.", _RETRY)
        except Exception:
            log.exception("a request failed in a way that was not foreseen")
            return _said(503, "Nothing was taken, send it again.", _RETRY)

    def _is_our_host(self, host: bytes) -> bool:
        found = self._known_hosts.get(host)
        if found is None:
            try:
                name = urlsplit(f"//{host.decode('latin-1')}").hostname
            except ValueError:
                name = None
            found = name in self._hosts
            if len(self._known_hosts) < _MOST_HOSTS:
                self._known_hosts[host] = found
        return found

    def _may_send(self, origin: bytes, host: bytes) -> bool:
        text = origin.decode("latin-1")
        if "*" in self._origins or text in self._origins:
            return True
        try:
            parts = urlsplit(text)
        except ValueError:
            return False
        return parts.netloc.encode() == host or parts.hostname in LOOPBACK

    def _sender(self, headers: dict[bytes, bytes], body: Any = None) -> Sender:
        given = headers.get(b"authorization")
        key = body.get("writeKey") if type(body) is dict else None
        return self._access.sender(
            None if given is None else given.decode("latin-1"), key if type(key) is str else None
        )

    async def _keep(self, received: Received, sender: Sender, received_us: int) -> None:
        """Make what was received durable."""
        entry = received.entry
        if sender.bucket is not None:
            sender.bucket.take(entry.size)
        if entry.size:
            await self._core.committer.submit(received_us, entry.size, encoded(entry))

    async def _ingest(self, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        item = decoded(body)
        sender = self._sender(headers, item)
        received_us = self._core.clock.next()
        received = ingest_one(item, sender.source, received_us, may_hold_nul=_NUL in body)
        await self._keep(received, sender, received_us)
        if received.errors:
            reasons = received.errors[0]["reasons"]
            answer = {"accepted": 0, "reasons": reasons, "detail": f"The event was refused: {', '.join(reasons)}."}
            return 422, json.dumps(answer).encode(), [_JSON]
        return 200, b'{"accepted":1}', [_JSON]

    async def _ingest_batch(self, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        items = decoded(body)
        sender = self._sender(headers, items)
        received_us = self._core.clock.next()
        received = ingest_batch(items, sender.source, received_us, may_hold_nul=_NUL in body)
        await self._keep(received, sender, received_us)
        answer = {
            "accepted": len(received.entry.rows),
            "refused": len(received.errors),
            "errors": received.errors,
        }
        return 200, msgspec.json.encode(answer), [_JSON]

    async def _segment_batch(self, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        items = decoded(body)
        sender = self._sender(headers, items)
        received_us = self._core.clock.next()
        await self._keep(
            segment_batch(items, sender.source, received_us, may_hold_nul=_NUL in body), sender, received_us
        )
        return 200, b'{"success":true}', [_JSON]

    def _segment_one(self, kind: str) -> Handler:
        async def handle(body: bytes, headers: dict[bytes, bytes]) -> Answer:
            item = decoded(body)
            sender = self._sender(headers, item)
            received_us = self._core.clock.next()
            received = segment_one(item, kind, sender.source, received_us, may_hold_nul=_NUL in body)
            await self._keep(received, sender, received_us)
            return 200, b'{"success":true}', [_JSON]

        return handle

    async def _otlp(self, kind: str, body: bytes, headers: dict[bytes, bytes]) -> Answer:
        from quality_assets.serve.collector.otlp import received as otlp_received

        content_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if content_type not in (b"application/x-protobuf", b"application/json"):
            raise RefusedError(415, "OTLP is taken as application/x-protobuf or application/json.")
        is_json = content_type == b"application/json"
        sender = self._sender(headers)
        received_us = self._core.clock.next()
        found, answer = otlp_received(kind, body, sender.source, received_us, is_json=is_json)
        await self._keep(found, sender, received_us)
        return 200, answer, [_JSON if is_json else _PROTOBUF]


_PREFLIGHT = [
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"authorization, content-type, content-encoding"),
    (b"access-control-max-age", b"600"),
]


def _said(status: int, sentence: str, *more: tuple[bytes, bytes]) -> Answer:
    return status, json.dumps({"detail": sentence}).encode(), [_JSON, *more]


async def _send(send: Send, status: int, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
