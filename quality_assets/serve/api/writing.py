"""Who may write by the API, and writing once: tokens, same origin, versions, idempotency keys.

Host names and origins are judged before, by `serve/guard.py`, for every request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any
from urllib.parse import unquote

import orjson
from fastapi import Depends, Header, HTTPException, Request, Response
from sqlalchemy import and_, delete, insert, select

from quality_assets.clock import utc_now
from quality_assets.domain.quality.alerting import actor_name
from quality_assets.settings import Settings
from quality_assets.stores.operations.house_tables import ANSWERED_WRITE
from quality_assets.stores.operations.store import Operations, fetch_one, operations_of
from quality_assets.tables.house_settings import value_of
from quality_assets.tables.tokens import Bearer, bearer_of, note_use

OUR_HEADER = "x-quality"
ACTOR_HEADER = "x-quality-actor"
_TYPES = ("application/json", "multipart/form-data")

IfMatch = Annotated[
    str | None,
    Header(alias="if-match", description="Version that was read; 409 with the present state where it is another now"),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="idempotency-key",
        min_length=1,
        max_length=200,
        description="Of your choice: the same request sent again with it is answered as before, and does nothing",
    ),
]


def settings_of(http: Request) -> Settings:
    """The settings of the server that was asked."""
    found: Settings = http.app.state.settings
    return found


def store_of(http: Request) -> Operations:
    """The operations store of the server that was asked."""
    return operations_of(settings_of(http))


House = Annotated[Operations, Depends(store_of)]


def writer(scope: str) -> Callable[[Request], str]:
    """A dependency: who writes, by name. 401 for a token that opens nothing, 403 where the right is not shown."""

    def actor(http: Request) -> str:
        kind, _, token = http.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            return _of_token(http, token.strip(), scope)
        if http.headers.get(OUR_HEADER) != "1":
            raise HTTPException(
                403,
                "Writing needs `Authorization: Bearer …` (`quality token` prints one), or, from a page of this server,"
                " the header `X-Quality: 1`.",
            )
        media = http.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media and media not in _TYPES:
            raise HTTPException(415, "What is sent is application/json or multipart/form-data.")
        return actor_name(unquote(http.headers.get(ACTOR_HEADER, "")))

    return actor


def _of_token(http: Request, token: str, scope: str) -> str:
    store = store_of(http)
    with store.read() as connection:
        bearer: Bearer | None = bearer_of(settings_of(http), connection, token)
    if bearer is None:
        raise HTTPException(401, "This token opens nothing here.", {"www-authenticate": "Bearer"})
    if not bearer.may(scope):
        raise HTTPException(403, f"The token {bearer.name!r} has not the scope {scope!r}.")
    with store.write() as connection:
        note_use(connection, bearer.name)
    return bearer.name


Writer = Annotated[str, Depends(writer("write"))]
Administrator = Annotated[str, Depends(writer("admin"))]


def version_of(if_match: str | None) -> int | None:
    """The version that `If-Match` names; None where it names none in particular. 422 where it is no version."""
    text = (if_match or "*").strip().removeprefix("W/").strip('"')
    if text == "*":
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise HTTPException(422, f"If-Match is a version, such as {chr(34)}3{chr(34)}.")
    return int(text)


def answered_once(
    http: Request, store: Operations, key: str | None, actor: str, body: Any, act: Callable[[], tuple[int, Any]]
) -> Response:
    """Act, and answer with status and JSON; with a key once: the same request again is answered as it was.

    What is done and that it was are kept together. 422 where a key comes with another request.
    """
    if key is None:
        status, answer = act()
        return json_response(answer, status)
    body_hash = hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode("utf-8", "replace")).hexdigest()
    route = f"{http.method} {http.url.path}"
    with store.write() as connection:
        is_it = and_(*(ANSWERED_WRITE.c[n] == v for n, v in _key(key, route, actor).items()))
        there = fetch_one(connection, select(ANSWERED_WRITE).where(is_it))
        if there is not None and there["body_sha256"] != body_hash:
            raise HTTPException(422, "This Idempotency-Key came with another request before; choose a new one.")
        if there is not None:
            return json_response(there["answer"], there["status"], {"idempotent-replayed": "true"})
        status, answer = act()
        kept = json.loads(orjson.dumps(answer, default=str, option=_OPTIONS))
        row = {"body_sha256": body_hash, "status": status, "answer": kept, "at": utc_now()}
        connection.execute(insert(ANSWERED_WRITE), [{**_key(key, route, actor), **row}])
        old = utc_now() - timedelta(days=float(value_of(connection, "retention.answered_writes_d")))
        connection.execute(delete(ANSWERED_WRITE).where(ANSWERED_WRITE.c.at < old))
    return json_response(answer, status)


def _key(key: str, route: str, actor: str) -> Mapping[str, str]:
    return {"idempotency_key": key, "route": route, "actor": actor}


_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS


def json_response(answer: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer as JSON, instants as UTC; `version` of a row becomes its ETag."""
    more = dict(headers or {})
    if isinstance(answer, dict) and isinstance(answer.get("version"), int):
        more["etag"] = f'"{answer["version"]}"'
    return Response(orjson.dumps(answer, default=str, option=_OPTIONS), status, more, media_type="application/json")
