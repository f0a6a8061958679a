"""The body of a request: read within its limits, unpacked, decoded. What cannot be is told with the status it gets."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import msgspec
from starlette.types import Receive

from quality_assets.serve.json_keys import items_with_repeats

MOST_BODY_BYTES = 512 * 1024
MOST_PLAIN_BYTES = 4 << 20
MOST_ITEMS = 500
MOST_DEPTH = 64
READ_WITHIN_S = 10.0
_GZIP = 31
_CHARSETS = ("", "utf-8", "utf8", "us-ascii")


class RefusedError(RuntimeError):
    """A request that is not taken: the status, and a sentence that says what is wrong."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


async def body_of(receive: Receive, headers: dict[bytes, bytes]) -> bytes:
    """The plain body of a request. Raises RefusedError: 400, 408, 413, 415."""
    stated = headers.get(b"content-length")
    if stated is not None and int(stated) > MOST_BODY_BYTES:
        raise RefusedError(413, f"More than {MOST_BODY_BYTES // 1024} kB at once is not taken; send several batches.")
    _check_charset(headers.get(b"content-type", b""))
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in (b"identity", b"", b"gzip"):
        raise RefusedError(415, "Content-Encoding is gzip or none.")
    try:
        async with asyncio.timeout(READ_WITHIN_S):
            body = await _read(receive)
    except TimeoutError:
        raise RefusedError(408, f"The body did not come within {READ_WITHIN_S:.0f} seconds.") from None
    if encoding == b"gzip":
        body = _unpacked(body)
    if not body:
        raise RefusedError(400, "The body is empty.")
    return body


async def _read(receive: Receive) -> bytes:
    message = await receive()
    if not message.get("more_body"):
        # Nearly all bodies come whole.
        whole: bytes = message.get("body", b"")
        if len(whole) <= MOST_BODY_BYTES:
            return whole
    body = bytearray(message.get("body", b""))
    while message.get("more_body") and len(body) <= MOST_BODY_BYTES:
        message = await receive()
        body += message.get("body", b"")
    if message["type"] == "http.disconnect":
        raise RefusedError(400, "The connection ended before the body did.")
    if len(body) > MOST_BODY_BYTES:
        raise RefusedError(413, f"More than {MOST_BODY_BYTES // 1024} kB at once is not taken; send several batches.")
    return bytes(body)


def _check_charset(content_type: bytes) -> None:
    _, _, parameters = content_type.partition(b"charset=")
    charset = parameters.partition(b";")[0].strip(b"\"' ").decode("latin-1").lower()
    if charset not in _CHARSETS:
        raise RefusedError(415, f"The charset is {charset}; only UTF-8 is read.")


def _unpacked(body: bytes) -> bytes:
    reader = zlib.decompressobj(_GZIP)
    try:
        plain = reader.decompress(body, MOST_PLAIN_BYTES + 1)
    except zlib.error as error:
        raise RefusedError(400, f"The body is no gzip: {error}.") from None
    if len(plain) > MOST_PLAIN_BYTES:
        raise RefusedError(413, f"Unpacked, the body is longer than {MOST_PLAIN_BYTES >> 20} MB.")
    if not reader.eof:
        raise RefusedError(400, "The gzip is cut off.")
    if reader.unused_data:
        raise RefusedError(400, "Something follows the gzip.")
    return plain


def decoded(body: bytes) -> Any:
    """What a JSON body says; items that have a key twice are `RepeatedKeys`. Raises RefusedError: 400."""
    if body.count(b"[") + body.count(b"{") > MOST_DEPTH and _depth(body) > MOST_DEPTH:
        raise RefusedError(400, f"The JSON is nested more than {MOST_DEPTH} deep.")
    try:
        return items_with_repeats(body, msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise RefusedError(400, f"The body is no JSON in UTF-8: {error}.") from None


def _depth(body: bytes) -> int:
    """How deep brackets are nested; those within texts count as well where their number cannot mislead."""
    depth = deepest = 0
    for character in body.translate(None, delete=_NO_BRACKETS) if b'"' not in body else _without_texts(body):
        depth += 1 if character in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


_NO_BRACKETS = bytes(code for code in range(256) if code not in b"[]{}")


def _without_texts(body: bytes) -> bytes:
    """The brackets of JSON that are not within texts."""
    plain = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return b"".join(plain.split(b'"')[::2]).translate(None, delete=_NO_BRACKETS)
