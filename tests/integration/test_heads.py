"""What a request may send before, between and after its body, over a socket as a stranger has it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from quality_assets.serve.heads import MAX_HEAD_BYTES, LimitedHeads

HEAD = b"POST / HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


async def _counting(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with how many bytes the body has."""
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        more = message["more_body"]
    body = str(size).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    config = uvicorn.Config(_counting, port=0, http=LimitedHeads, lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
    thread.start()
    yield listening.getsockname()[1]
    server.should_exit = True
    thread.join(10)


def answers(port: int, *parts: bytes) -> bytes:
    """All that comes back where the parts are sent one after the other, until the server is done."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        came = b""
        try:
            for part in parts:
                connection.sendall(part)
                # What comes at once would be read at once.
                time.sleep(0.005)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                came += piece
        except (BrokenPipeError, ConnectionResetError):
            pass
        return came


@pytest.mark.parametrize(
    "head",
    [HEAD + b"X: ", b"POST /", HEAD + b"X"],
    ids=["a header without end", "an address without end", "a name without end"],
)
def test_what_never_ends_before_the_body_is_refused(port: int, head: bytes) -> None:
    told = answers(port, head, *[b"a" * 10_000] * 7)
    # What is still on its way may cut off the answer.
    assert told.startswith(b"HTTP/1.1 431 ") or told == b""
    assert answers(port, HEAD + b"Content-Length: 3\r\n\r\nabc").endswith(b"\r\n\r\n3")


def test_many_headers_are_one_head(port: int) -> None:
    assert answers(port, HEAD, *[b"X: %s\r\n" % (b"a" * 10_000)] * 7).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("behind", [b"2;", b"2\r\nab\r\n0\r\nX: "], ids=["an extension of a chunk", "a trailer"])
def test_what_stands_between_and_behind_the_parts_of_a_body_has_an_end(port: int, behind: bytes) -> None:
    assert answers(port, CHUNKED, behind, *[b"a" * 10_000] * 7) == b""


def test_long_bodies_and_heads_within_the_limit_pass(port: int) -> None:
    chunk = b"%x\r\n%s\r\n" % (50_000, b"a" * 50_000)
    assert answers(port, CHUNKED, *[chunk] * 10, b"0\r\n\r\n").endswith(b"\r\n\r\n500000")
    long_header = b"X: " + b"a" * (MAX_HEAD_BYTES - 1000)
    again = HEAD + long_header + b"\r\nContent-Length: 2\r\n\r\nab"
    # One connection, of which each request has its own head.
    assert answers(port, *[again] * 5).count(b"\r\n\r\n2") == 5


def test_a_server_that_another_program_starts_has_the_limit_too() -> None:
    code = (
        "import uvicorn; from quality_assets.serve.heads import LimitedHeads, limit_all_heads; limit_all_heads();"
        "config = uvicorn.Config(print); config.load(); print(config.http_protocol_class is LimitedHeads)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
