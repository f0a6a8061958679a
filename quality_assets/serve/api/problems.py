"""What the API says of a request that it cannot serve: one format, `{"detail": sentence}`, whatever went wrong."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError
from starlette.requests import ClientDisconnect

log = logging.getLogger(__name__)


class Wrong(BaseModel):
    """One thing that is wrong with what was sent."""

    where: list[str | int] = Field(description="The way to it: body, query or path, then names")
    what: str


class Problem(BaseModel):
    """Why there is no such answer, and what to do; of what was sent, each thing that is wrong with it."""

    detail: str
    errors: list[Wrong] = []


class _StrictRequest(Request):
    """A request whose body is JSON as its standard says: no NaN, no infinity, no number that is none."""

    async def json(self) -> Any:
        if not hasattr(self, "_strict"):
            try:
                text = (await self.body()).decode("utf-8")
            except UnicodeDecodeError as error:
                raise json.JSONDecodeError("it is not UTF-8", "", error.start) from None

            def refuse(word: str) -> float:
                raise json.JSONDecodeError(f"{word} is no JSON", text, max(text.find(word), 0))

            def number(word: str) -> float:
                value = float(word)
                return value if math.isfinite(value) else refuse(word)

            try:
                self._strict = json.loads(text, parse_constant=refuse, parse_float=number)
            except RecursionError:
                raise json.JSONDecodeError("it is nested too deeply", text, 0) from None
            except json.JSONDecodeError:
                raise
            except ValueError:
                raise json.JSONDecodeError("a number has too many digits", text, 0) from None
        return self._strict


class StrictRoute(APIRoute):
    """A route that takes JSON strictly: what Python's reader takes beyond it, no answer could say again."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler, over a strict request."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(_StrictRequest(request.scope, request.receive))

        return strict


def add_handlers(server: FastAPI) -> None:
    """Have the server say what is wrong in one format; what was sent is never sent back."""

    @server.exception_handler(RequestValidationError)
    async def unprocessable(_request: Request, error: RequestValidationError) -> JSONResponse:
        found = [
            {"where": list(each["loc"]), "what": str(each.get("ctx", {}).get("error") or each["msg"])[:500]}
            for each in error.errors()
        ]
        first = found[0] if found else {"where": ["body"], "what": "it cannot be read"}
        where = ".".join(map(str, first["where"]))
        sentence = f"{where}: {first['what']}" + (f" (and {len(found) - 1} more)" if len(found) > 1 else "")
        return JSONResponse(_writable({"detail": sentence, "errors": found}), 422)

    @server.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> Response:
        # Nobody reads the answer; that somebody left is nothing that went wrong here.
        return Response(status_code=400)

    @server.exception_handler(DBAPIError)
    async def no_store(_request: Request, error: DBAPIError) -> JSONResponse:
        log.error("the operations store failed: %s", error.orig)
        return JSONResponse({"detail": "The operations store does not answer; try again in a moment."}, 503)


def _writable(value: Any) -> Any:
    """The same without halves of characters, which no answer can hold."""
    return json.loads(json.dumps(value).encode("ascii", "replace")) if _is_writable(value) else _plain(value)


def _is_writable(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value
