"""What happens to every request: HEAD, compression, caching and security headers, a log line. No route lives here."""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict
from typing import Any

import brotli
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger("dash_app.requests")

_TEXTS = ("text/", "application/json", "application/javascript", "image/svg+xml")
_STATIC = ("/assets/", "/_dash-component-suites/")
_MIN_BYTES = 1000
_YEAR = "public, max-age=31536000, immutable"
# The browser itself refuses to talk to anything but this server. Dash needs inline scripts and styles.
_SECURITY = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline';"
        " img-src 'self' data: blob:; frame-ancestors 'none'; base-uri 'self'; form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


class CompressedBodies:
    """Compressed responses by the digest of their plain bytes: what is sent often is compressed once."""

    def __init__(self, entries: int = 256) -> None:
        self._entries = entries
        self._found: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, body: bytes, quality: int) -> bytes:
        """`body` in brotli. Static files deserve a higher quality (0–11) than answers that are sent once."""
        key = hashlib.blake2b(body, digest_size=16).digest()
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        compressed: bytes = brotli.compress(body, quality=quality)
        with self._lock:
            self._found[key] = compressed
            while len(self._found) > self._entries:
                self._found.popitem(last=False)
        return compressed


class Delivery:
    """ASGI middleware around the whole app."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._bodies = CompressedBodies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection; only HTTP is touched."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        answer = _Answer(scope, send, self._bodies)
        started = time.perf_counter()
        try:
            await self._app(_as_routed(scope), receive, answer.send)
        except Exception:
            log.exception("request failed", extra={"path": scope["path"]})
            raise
        finally:
            _log(scope, answer.status, time.perf_counter() - started)


class _Answer:
    """Collects a response so that it can be compressed as a whole and given its headers."""

    def __init__(self, scope: Scope, send: Send, bodies: CompressedBodies) -> None:
        self._scope, self._send, self._bodies = scope, send, bodies
        self._start: Message | None = None
        self._body = bytearray()
        self.status = 500

    async def send(self, message: Message) -> None:
        """Take one message of the app's response; pass on what is complete."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._start = message
        elif message["type"] == "http.response.body":
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish()
        else:
            await self._send(message)

    async def _finish(self) -> None:
        if self._start is None:
            raise RuntimeError("a response body came before its start")
        self._blame_the_request()
        headers = MutableHeaders(raw=list(self._start["headers"]))
        for name, value in (_SECURITY | _caching(self._scope, self.status)).items():
            headers[name] = value
        if self._scope["path"].startswith("/_dash-") and "content-type" not in headers:
            # Dash's callbacks answer JSON without saying so.
            headers["content-type"] = "application/json"
        body = bytes(self._body)
        if self._is_worth_it(headers, len(body)):
            is_static = self._scope["path"].startswith(_STATIC)
            body = self._bodies.get(body, 9 if is_static else 4)
            headers["content-encoding"] = "br"
            headers.add_vary_header("accept-encoding")
        if self.status not in (204, 304):
            headers["content-length"] = str(len(body))
        if self._scope["method"] == "HEAD":
            body = b""
        await self._send({**self._start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})

    def _blame_the_request(self) -> None:
        """Say what is wrong where Dash fails at a request that its own pages never make: ours never raise.

        A file that it does not have, and what no callback asks for, are no errors of the server.
        """
        path = self._scope["path"]
        if self.status != 500 or not path.startswith("/_dash-") or self._start is None:
            return
        is_file = path.startswith(_STATIC)
        log.warning("not a request of the pages", extra={"path": path})
        self.status = 404 if is_file else 400
        said = "There is no such file." if is_file else "This is not what a page of the dashboard asks."
        self._body = bytearray(json.dumps({"detail": said}).encode())
        self._start = {**self._start, "status": self.status, "headers": [(b"content-type", b"application/json")]}

    def _is_worth_it(self, headers: Headers, size: int) -> bool:
        accepted = Headers(scope=self._scope).get("accept-encoding", "")
        is_text = headers.get("content-type", "").startswith(_TEXTS)
        return size >= _MIN_BYTES and is_text and "br" in accepted and "content-encoding" not in headers


def _as_routed(scope: Scope) -> Scope:
    """The request as routes know it.

    HEAD is GET without the body (RFC 9110, 9.3.2), for every route there is and will be. Where a page's path holds the
    end of a line, which no route's pattern matches, a blank stands for it: the browser reads the address itself.
    """
    changed: dict[str, Any] = {"method": "GET"} if scope["method"] == "HEAD" else {}
    if "\n" in scope["path"] and not scope["path"].startswith("/api/"):
        changed["path"] = scope["path"].replace("\n", " ")
    return {**scope, **changed}


def _caching(scope: Scope, status: int) -> dict[str, str]:
    """Files whose address names their version are kept for a year; everything else is asked for again."""
    path, query = scope["path"], scope["query_string"]
    if status == 200 and (
        path.startswith("/assets/vendor/") or (path.startswith("/assets/") and query.startswith(b"m="))
    ):
        return {"cache-control": _YEAR}
    return {} if path.startswith(_STATIC) else {"cache-control": "no-store"}


def _log(scope: Scope, status: int, seconds: float) -> None:
    path = scope["path"]
    is_noise = path.startswith(_STATIC) or path in ("/api/v1/token", "/healthz", "/readyz")
    if status >= 400 or not is_noise:
        entry: dict[str, Any] = {
            "method": scope["method"],
            "path": path,
            "status": status,
            "ms": round(seconds * 1000, 1),
        }
        log.log(logging.ERROR if status >= 500 else logging.INFO, "request", extra=entry)
