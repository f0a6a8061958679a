"""Who may ask a server, and how much at once: host names, origins, the token, the size of what is sent.

Stands before every server, before anything is read. What the servers answer is made elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from quality_assets.serve.ports import LOOPBACK
from quality_assets.settings import Settings

COOKIE = "quality_token"
SIGN_IN = "/sign-in"
# Two strokes, or a backslash that browsers take for one, would lead to another server.
_PATH = re.compile(r"/(?![/\\])[!-~]*")
_READING = ("GET", "HEAD", "OPTIONS")
OPEN_PATHS = ("/healthz",)
"""What says only that the server lives is told to whoever watches it, without the token."""

MEGABYTE = 1 << 20


class UnguardedError(RuntimeError):
    """A server would be open to strangers. The message says what to set."""


@dataclass(frozen=True)
class Rules:
    """What a server lets in.

    `hosts` are names without port, in small letters. With `token`, every request shows it. `max_body_bytes` is of one
    request. `needs_json`: whatever is sent is JSON by name, which no form and no picture of another site can send.
    """

    hosts: frozenset[str]
    token: str | None
    max_body_bytes: int
    needs_json: bool = False
    # By path, how many bytes are handed on as they come, without waiting for the last.
    streams: Mapping[str, int] = field(default_factory=dict)
    # Whether a token other than `token` opens the server, as those that people were given.
    opens: Callable[[str], bool] | None = None


@dataclass(frozen=True)
class Refusal:
    """Why a request gets no answer: the status, and a sentence."""

    status: int
    sentence: str


def is_loopback(host: str) -> bool:
    """Whether a server that is bound to `host` is reached from this machine alone."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def rules_of(settings: Settings, host: str, *, max_body_bytes: int, needs_json: bool = False) -> Rules:
    """The rules of a server that is bound to `host`. Raises UnguardedError where strangers would need no token."""
    token = settings.token.get_secret_value() if settings.token else None
    if token is None and not is_loopback(host):
        raise UnguardedError(
            f"a server on {host} is reached from other machines and would answer everyone. Set QUALITY_TOKEN to a"
            " secret of 16 or more characters, or bind to 127.0.0.1."
        )
    hosts = frozenset(name.lower() for name in (*LOOPBACK, host, *settings.allowed_hosts))
    return Rules(hosts, token, max_body_bytes, needs_json)


def check_exposure(settings: Settings) -> None:
    """Raise UnguardedError unless both servers are safe where the settings bind them."""
    for host in (settings.host, settings.dagster_host):
        rules_of(settings, host, max_body_bytes=0)


class Guard:
    """ASGI middleware that lets through what `rules` allow, and answers the rest itself."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Judge one request, or one websocket before it is accepted."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        found = next(self._refusals(scope, Headers(scope=scope)), None)
        if found is not None:
            await _refuse(scope, send, found)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        else:
            await self._with_body(scope, receive, send)

    def _refusals(self, scope: Scope, headers: Headers) -> Iterator[Refusal]:
        """What is wrong with a request, the first first."""
        if _host_name(headers) not in self._rules.hosts:
            yield Refusal(421, "This server does not answer to that host name; QUALITY_ALLOWED_HOSTS adds names.")
        is_writing = scope["type"] == "websocket" or scope["method"] not in _READING
        if is_writing and not _is_same_origin(headers):
            yield Refusal(403, "Another website asked for this.")
        if scope["type"] == "http" and is_writing and self._rules.needs_json and not _is_json(headers):
            yield Refusal(415, "What is sent must be application/json.")
        if _stated_size(headers) > self._limit(scope):
            yield self._too_large(self._limit(scope))
        is_open = scope["path"] in (*OPEN_PATHS, SIGN_IN)
        if self._rules.token is not None and not is_open and not self._is_opened(headers, self._rules.token):
            yield Refusal(401, "Send the token: Authorization: Bearer …, or open this address in a browser to sign in.")

    def _is_opened(self, headers: Headers, token: str) -> bool:
        if _shows_token(headers, token):
            return True
        return self._rules.opens is not None and bool(_bearer(headers)) and self._rules.opens(_bearer(headers))

    def _limit(self, scope: Scope) -> int:
        return self._rules.streams.get(scope["path"], self._rules.max_body_bytes)

    @staticmethod
    def _too_large(limit: int) -> Refusal:
        return Refusal(413, f"More than {limit / MEGABYTE:g} MB at once is not taken.")

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on a request with its body, which is read up to the limit and no further."""
        headers = Headers(scope=scope)
        if scope["path"] in self._rules.streams:
            await self._app(scope, receive, send)
            return
        if not _stated_size(headers) and "transfer-encoding" not in headers:
            body = b""
        else:
            read = await _read(receive, self._rules.max_body_bytes)
            if read is None:
                await _refuse(scope, send, self._too_large(self._rules.max_body_bytes))
                return
            body = read
        if scope["path"] == SIGN_IN and self._rules.token is not None:
            await _sign_in(scope, body, send, self._rules.token)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


def _host_name(headers: Headers) -> str | None:
    """The name that was asked for, without port, in small letters; None unless exactly one is given."""
    given = headers.getlist("host")
    if len(given) != 1:
        return None
    try:
        parts = urlsplit(f"//{given[0]}")
        _ = parts.port
    except ValueError:
        return None
    return parts.hostname if parts.netloc == given[0] and "@" not in given[0] else None


def _is_same_origin(headers: Headers) -> bool:
    """Whether a page of this very server asks, or no page at all: scripts send neither header."""
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == headers.get("host") and origin.startswith(("http://", "https://"))
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def _is_json(headers: Headers) -> bool:
    return headers.get("content-type", "").partition(";")[0].strip().lower() == "application/json"


def _stated_size(headers: Headers) -> int:
    stated = headers.get("content-length", "0")
    return int(stated) if stated.isascii() and stated.isdigit() else 0


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body of a request; None as soon as it is longer than `limit`."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(body)
        body += message.get("body", b"")
        if len(body) > limit:
            return None
        if not message.get("more_body"):
            return bytes(body)


def _cookie_value(token: str) -> str:
    # Who reads a cookie does not have the token, which scripts use.
    return hashlib.sha256(f"{COOKIE} {token}".encode()).hexdigest()


def _bearer(headers: Headers) -> str:
    """The token that a request shows; nothing where it shows none."""
    kind, _, shown = headers.get("authorization", "").partition(" ")
    return shown.strip() if kind.lower() == "bearer" else ""


def _shows_token(headers: Headers, token: str) -> bool:
    if hmac.compare_digest(_bearer(headers).encode(), token.encode()):
        return True
    cookies = dict(pair.strip().partition("=")[::2] for pair in headers.get("cookie", "").split(";"))
    return hmac.compare_digest(cookies.get(COOKIE, "").encode(), _cookie_value(token).encode())


async def _refuse(scope: Scope, send: Send, refusal: Refusal) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": refusal.sentence})
        return
    is_person = "text/html" in Headers(scope=scope).get("accept", "") and scope["method"] == "GET"
    if refusal.status == 401 and is_person:
        await _answer(scope, send, 401, _sign_in_page(then=_asked(scope)), "text/html; charset=utf-8")
        return
    more = [(b"www-authenticate", b"Bearer")] if refusal.status == 401 else []
    # What was not read of a body must not be taken for the next request.
    more += [(b"connection", b"close")] if refusal.status == 413 else []
    await _answer(scope, send, refusal.status, json.dumps({"detail": refusal.sentence}), "application/json", more)


async def _answer(
    scope: Scope, send: Send, status: int, text: str, media_type: str, more: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = text.encode()
    headers = [
        (b"content-type", media_type.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        *(more or []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def _sign_in(scope: Scope, body: bytes, send: Send, token: str) -> None:
    """Take the token once from a person's browser, which then shows a cookie."""
    said = parse_qs(body.decode(errors="replace"))
    given, then = said.get("token", [""])[0], _within(said.get("then", [""])[0])
    if scope["method"] != "POST" or not hmac.compare_digest(given.strip().encode(), token.encode()):
        page = _sign_in_page("That is not the token." if given else "", then)
        await _answer(scope, send, 401, page, "text/html; charset=utf-8")
        return
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    cookie = f"{COOKIE}={_cookie_value(token)}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000{secure}"
    more = [(b"set-cookie", cookie.encode()), (b"location", then.encode())]
    await _answer(scope, send, 303, "", "text/plain", more)


def _asked(scope: Scope) -> str:
    """The address of a request within this server, as it was written."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope.get("query_string", b"")
    return _within((path + b"?" * bool(query) + query).decode(errors="replace"))


def _within(address: str) -> str:
    """An address of this server, which somebody is led to after signing in; its first page for any other."""
    return address if _PATH.fullmatch(address) and not address.startswith(SIGN_IN) else "/"


def _sign_in_page(said: str = "", then: str = "/") -> str:
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<style>:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:22rem;"
        "padding:0 1rem}input,button{font:inherit;padding:.4rem .6rem;width:100%;box-sizing:border-box;margin:.3rem 0}"
        "</style></head><body><h1>Feature Quality</h1>"
        f'<form method="post" action="{SIGN_IN}"><input name="then" type="hidden" value="{html.escape(then)}">'
        "<label>Token of this server (QUALITY_TOKEN)"
        '<input name="token" type="password" autocomplete="current-password" autofocus required></label>'
        f'<button>Sign in</button></form><p role="alert">{html.escape(said)}</p></body></html>'
    )
