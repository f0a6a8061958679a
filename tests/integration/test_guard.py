"""Who may ask the servers: host names, origins, tokens, sizes; and Dagster's GraphQL, attacked by another website."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message

from quality_assets.serve.dagster_ui import MAX_BODY_BYTES, guarded
from quality_assets.serve.guard import (
    Guard,
    Rules,
    UnguardedError,
    check_exposure,
    is_loopback,
    rules_of,
)
from quality_assets.settings import Settings

TOKEN = "a-secret-of-some-length"
RULES = Rules(frozenset({"localhost", "127.0.0.1", "::1"}), None, 100)
Ask = Callable[..., httpx.Response]


async def _echo(request: Request) -> Response:
    return PlainTextResponse((await request.body()).decode() or "nothing", headers={"x-reached": "yes"})


ECHO = Starlette(routes=[Route("/{path:path}", _echo, methods=["GET", "POST", "PUT", "DELETE", "OPTIONS"])])


def asking(app: ASGIApp, host: str = "127.0.0.1:8050") -> Ask:
    """Asks an app without a network in between."""

    def ask(method: str, path: str = "/", **how: Any) -> httpx.Response:
        async def request() -> httpx.Response:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url=f"http://{host}") as client:
                return await client.request(method, path, **how)

        # In a thread of its own: the browser tests leave a loop running in this one.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(request())).result()

    return ask


def _settings(**given: Any) -> Settings:
    return Settings(_env_file=None, **given)


def _is_reached(answer: httpx.Response) -> bool:
    return answer.headers.get("x-reached") == "yes"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8050", "127.0.0.1", "127.0.0.1:1", "[::1]:8050", "[::1]"])
def test_own_names_are_answered(host: str) -> None:
    assert _is_reached(asking(Guard(ECHO, RULES))("GET", headers={"host": host}))


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8050",
        "localhost.evil.example",
        "evil.example@localhost",
        "localhost@evil.example",
        "localhost/evil.example",
        "localhost:99999",
        "localhost:x",
        "127.0.0.2",
        "0.0.0.0",
        "[::1",
        "",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
def test_other_names_are_misdirected(host: str, method: str) -> None:
    answer = asking(Guard(ECHO, RULES))(method, headers={"host": host})
    assert (answer.status_code, _is_reached(answer)) == (421, False)


def test_two_host_headers_are_one_too_many() -> None:
    headers = [("host", "localhost"), ("host", "evil.example")]
    assert asking(Guard(ECHO, RULES))("GET", headers=headers).status_code == 421


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E)))
def test_no_name_but_those_of_the_list_passes(host: str) -> None:
    reached = _is_reached(asking(Guard(ECHO, RULES))("GET", headers={"host": host}))
    assert not reached or re.fullmatch(r"(localhost|127\.0\.0\.1|\[::1\])(:\d*)?", host, re.IGNORECASE)


@pytest.mark.parametrize(
    ("headers", "is_let_in"),
    [
        ({}, True),
        ({"origin": "http://127.0.0.1:8050"}, True),
        ({"origin": "https://127.0.0.1:8050"}, True),
        ({"origin": "http://127.0.0.1:3000"}, False),
        ({"origin": "http://localhost:8050"}, False),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"origin": "chrome-extension://127.0.0.1:8050"}, False),
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_only_pages_of_the_server_and_scripts_write(method: str, headers: dict[str, str], is_let_in: bool) -> None:
    answer = asking(Guard(ECHO, RULES))(method, headers=headers)
    assert (_is_reached(answer), answer.status_code) == ((True, 200) if is_let_in else (False, 403))
    assert _is_reached(asking(Guard(ECHO, RULES))("GET", headers=headers)), "reading is up to the browser"


def _websocket(app: ASGIApp, headers: dict[str, str]) -> list[str]:
    """The types of the messages that a websocket gets."""
    sent: list[str] = []

    async def connect() -> None:
        async def receive() -> Message:
            return {"type": "websocket.connect"}

        async def send(message: Message) -> None:
            sent.append(message["type"])

        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await app({"type": "websocket", "path": "/graphql", "query_string": b"", "headers": raw}, receive, send)

    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(lambda: asyncio.run(connect())).result()
    return sent


async def _accept(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:3000"}, "websocket.accept"),
        ({"host": "127.0.0.1:3000"}, "websocket.accept"),
        ({"host": "127.0.0.1:3000", "origin": "http://evil.example"}, "websocket.close"),
        ({"host": "127.0.0.1:3000", "origin": "http://127.0.0.1:8050"}, "websocket.close"),
        ({"host": "127.0.0.1:3000", "origin": "null"}, "websocket.close"),
        ({"host": "evil.example", "origin": "http://evil.example"}, "websocket.close"),
    ],
)
def test_a_websocket_of_another_site_is_closed_before_it_opens(headers: dict[str, str], expected: str) -> None:
    assert _websocket(guarded(_accept, _settings()), headers) == [expected]


def test_a_body_is_limited_by_what_is_stated_and_by_what_comes() -> None:
    ask = asking(Guard(ECHO, RULES))
    read: list[int] = []

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(1000):
            read.append(1)
            yield b"x" * 40

    assert ask("POST", content=b"x" * 100).text == "x" * 100
    assert ask("POST", content=b"x" * 101).status_code == 413
    assert ask("POST", headers={"content-length": "400000000"}).status_code == 413
    answer = ask("POST", content=pieces())
    assert (answer.status_code, _is_reached(answer), answer.headers["connection"]) == (413, False, "close")
    assert len(read) <= 4, "no more is read than tells that it is too long"
    assert ask("GET").text == "nothing"


def test_a_token_is_asked_of_everyone_where_there_is_one() -> None:
    ask = asking(Guard(ECHO, Rules(RULES.hosts, TOKEN, 1000)))
    refused = ask("GET")
    assert (refused.status_code, refused.headers["www-authenticate"]) == (401, "Bearer")
    for shown in ("Bearer", "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"):
        assert ask("GET", headers={"authorization": shown.encode("latin-1")}).status_code == 401, shown
    assert _is_reached(ask("GET", headers={"authorization": f"Bearer {TOKEN}"}))
    assert _is_reached(ask("GET", "/healthz"))
    page = ask("GET", "/drift", headers={"accept": "text/html,*/*"})
    assert page.status_code == 401
    assert 'action="/sign-in"' in page.text
    assert "www-authenticate" not in page.headers, "the browser must not ask on its own"


def test_a_person_signs_in_once() -> None:
    ask = asking(Guard(ECHO, Rules(RULES.hosts, TOKEN, 1000)))
    assert ask("POST", "/sign-in", data={"token": "wrong"}).status_code == 401
    assert ask("GET", "/sign-in", params={"token": TOKEN}).status_code == 401, "a token in an address is in logs"
    assert ask("POST", "/sign-in", content=b"\xff\xfe=").status_code == 401
    assert ask("POST", "/sign-in", data={"token": TOKEN}, headers={"origin": "http://evil.example"}).status_code == 403
    entered = ask("POST", "/sign-in", data={"token": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/"))
    assert TOKEN not in cookie
    assert _is_reached(ask("GET", headers={"cookie": f"a=b; {cookie.split(';')[0]}"}))
    assert ask("GET", headers={"cookie": "quality_token=wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ("/alerts/a1", "/alerts/a1"),
        ("/sources/a%20b?batch=1&x=%3C", "/sources/a%20b?batch=1&x=%3C"),
        ("/sign-in", "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nset-cookie: x=y", "/"),
        ("/ü", "/"),
        ("", "/"),
    ],
)
def test_who_signs_in_is_led_to_what_was_asked_for_and_never_elsewhere(asked: str, then: str) -> None:
    from quality_assets.serve.guard import _asked, _sign_in_page, _within

    assert _within(asked) == then
    path, _, query = asked.encode().partition(b"?")
    assert _asked({"path": "", "raw_path": path, "query_string": query}) == then
    assert 'name="then" type="hidden" value="/a?x=&quot;&gt;"' in _sign_in_page(then='/a?x=">')


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.0.0.9", True), ("::1", True), ("localhost", True)]
    + [(host, False) for host in ("0.0.0.0", "::", "192.168.1.5", "example.com", "")],
)
def test_loopback_is_told_from_the_world(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_no_server_is_open_to_strangers() -> None:
    check_exposure(_settings())
    for open_wide in ({"host": "0.0.0.0"}, {"dagster_host": "192.168.1.5"}):
        with pytest.raises(UnguardedError, match="QUALITY_TOKEN"):
            check_exposure(_settings(**open_wide))
        check_exposure(_settings(**open_wide, token=TOKEN))
    assert _settings(host="0.0.0.0", token=TOKEN).dagster_host == "127.0.0.1", "Dagster is not exposed along with it"
    with pytest.raises(ValidationError):
        _settings(token="short")


def test_hosts_of_the_settings_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUALITY_ALLOWED_HOSTS", "Quality.example, other.example,")
    rules = rules_of(_settings(host="192.168.1.5", token=TOKEN), "192.168.1.5", max_body_bytes=1)
    named = {"quality.example", "other.example", "192.168.1.5"}
    assert rules.hosts == {"localhost", "127.0.0.1", "::1"} | named
    assert TOKEN not in repr(_settings(token=TOKEN))


MUTATION = "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"
AS_JSON = json.dumps({"query": MUTATION})


@pytest.mark.parametrize(
    ("method", "path", "how", "status"),
    [
        ("GET", "/graphql", {"params": {"query": MUTATION}}, 405),
        ("HEAD", "/graphql", {"params": {"query": MUTATION}}, 405),
        ("GET", "/graphql/", {"params": {"query": MUTATION}}, 405),
        ("GET", "/graphql", {"params": {"query": "{ version }"}, "headers": {"accept": "text/html"}}, 405),
        ("POST", "/graphql", {"params": {"query": MUTATION}}, 415),
        ("POST", "/graphql", {"content": AS_JSON, "headers": {"content-type": "text/plain"}}, 415),
        ("POST", "/graphql", {"content": AS_JSON, "headers": {"content-type": "text/plain;application/json"}}, 415),
        ("POST", "/graphql", {"content": AS_JSON, "headers": {"content-type": "application/jsonp"}}, 415),
        ("POST", "/graphql", {"content": MUTATION, "headers": {"content-type": "application/graphql"}}, 415),
        ("POST", "/graphql", {"data": {"query": MUTATION}}, 415),
        ("POST", "/graphql", {"files": {"query": MUTATION.encode()}}, 415),
        ("POST", "/report_asset_materialization/raw/log_files", {}, 415),
        ("POST", "/graphql", {"json": {}, "headers": {"origin": "http://evil.example"}}, 403),
        ("POST", "/graphql", {"json": {}, "headers": {"sec-fetch-site": "cross-site"}}, 403),
        ("POST", "/graphql", {"json": {}, "headers": {"host": "evil.example"}}, 421),
        ("GET", "/runs", {"headers": {"host": "evil.example"}}, 421),
        ("POST", "/graphql", {"json": {"query": "x" * MAX_BODY_BYTES}}, 413),
    ],
)
def test_another_website_makes_dagster_do_nothing(method: str, path: str, how: dict[str, Any], status: int) -> None:
    answer = asking(guarded(ECHO, _settings()), "127.0.0.1:3000")(method, path, **how)
    assert (answer.status_code, _is_reached(answer)) == (status, False)


@pytest.mark.parametrize(
    ("method", "path", "how"),
    [
        ("POST", "/graphql", {"json": {"query": MUTATION}, "headers": {"origin": "http://127.0.0.1:3000"}}),
        ("POST", "/graphql", {"content": AS_JSON, "headers": {"content-type": "application/json; charset=utf-8"}}),
        ("GET", "/graphql", {"headers": {"accept": "text/html"}}),
        ("GET", "/runs", {"params": {"query": "x"}}),
    ],
)
def test_dagsters_own_pages_and_scripts_reach_it(method: str, path: str, how: dict[str, Any]) -> None:
    answer = asking(guarded(ECHO, _settings()), "127.0.0.1:3000")(method, path, **how)
    assert _is_reached(answer)
    policy = answer.headers["content-security-policy"]
    assert "img-src 'self' data: blob:" in policy
    assert "frame-ancestors 'none'" in policy


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Ask:
    """The dashboard over an empty data root."""
    from dash_app.app import create_server

    return asking(create_server(_settings(data_dir=Path(tmp_path_factory.mktemp("empty")))))


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"output": "x.y"}',
        b'{"output": "..main.children...sidebar.children..", "outputs": [], "inputs": [], "changedPropIds": []}',
        b'{"output": {"a": 1}, "outputs": 7, "inputs": "x", "changedPropIds": {}}',
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "text/plain"])
def test_garbage_is_the_askers_fault(dashboard: Ask, body: bytes, media_type: str) -> None:
    answer = dashboard("POST", "/_dash-update-component", content=body, headers={"content-type": media_type})
    assert (answer.status_code, "detail" in answer.json()) == (400, True)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/_dash-component-suites/evil/x.js", 404),
        ("/_dash-component-suites/dash/nope.js", 404),
        ("/_dash-component-suites/dash/..%2f..%2fx", 404),
        ("/_dash-component-suites/os/path.py", 404),
        ("/_dash-nope", 404),
        ("/_dash-update-component", 405),
        ("/_dash-layout", 200),
    ],
)
def test_dashs_files_are_there_or_not(dashboard: Ask, path: str, status: int) -> None:
    assert dashboard("GET", path).status_code == status


def test_the_dashboard_is_guarded(dashboard: Ask) -> None:
    assert dashboard("GET", "/healthz", headers={"host": "evil.example"}).status_code == 421
    assert dashboard("GET", "/api/v1/token", headers={"host": "evil.example"}).status_code == 421
    big = dashboard("POST", "/_dash-update-component", headers={"content-length": "400000000"})
    assert big.status_code == 413
    assert "frame-ancestors 'none'" in big.headers["content-security-policy"]
    foreign = {"origin": "http://evil.example"}
    assert dashboard("POST", "/_dash-update-component", json={}, headers=foreign).status_code == 403
