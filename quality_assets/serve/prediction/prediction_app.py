"""The server of models as one ASGI application, for those who ask for predictions.

A prediction is made where the request came in: it takes less time than handing it to a thread. What takes longer,
batches and contributions, is done in threads, and never more of it at once than can be answered soon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.requests import request_model
from quality_assets.serve.guard import MEGABYTE, Guard, rules_of
from quality_assets.serve.prediction.asked_rows import MOST_ROWS, RefusedError
from quality_assets.serve.prediction.service import OutcomeBody, Service
from quality_assets.settings import Settings
from quality_assets.version import VERSION

log = logging.getLogger("quality.prediction")

LOOK_EVERY_S = 0.5
MOST_IN_THREADS = 8
MOST_WAITING = 256
_BUSY = {"retry-after": "1"}
KEY_HEADER = "x-row-key"
"""Of what is asked for, such as an order: the same version answers for it as long as a canary has the same share."""

Backlog = Callable[[], int]
"""How many requests wait for their answer."""


def create_app(
    settings: Settings, names: Sequence[str] | None = None, *, backlog: Backlog = lambda: 0
) -> tuple[ASGIApp, Service]:
    """The application for the models named, or all there are, and what it does.

    Raises UnguardedError where strangers could ask. Where nothing is released yet it answers 503 until something is.
    """
    rules = rules_of(settings, settings.host, max_body_bytes=4 * MEGABYTE, needs_json=True)
    service = Service(settings, list(TABULAR) if names is None else names)
    service.look()
    app = FastAPI(
        title="Feature Quality: models",
        version=VERSION,
        description="Predictions with p10 and p90, what contributes to them, and what came of them.",
        lifespan=partial(_lifespan, service),
    )
    _Routes(app, service, backlog).add()
    return Guard(app, rules), service


@contextlib.asynccontextmanager
async def _lifespan(service: Service, _: FastAPI) -> AsyncIterator[None]:
    service.log.start()
    looking = asyncio.create_task(_keep_looking(service))
    try:
        yield
    finally:
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
        await asyncio.to_thread(service.log.stop)


async def _keep_looking(service: Service) -> None:
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        try:
            await asyncio.to_thread(_look, service)
        except Exception:
            log.exception("releases could not be looked up, and are tried again")


def _look(service: Service) -> None:
    service.look()
    service.judge_canaries()


class _Routes:
    """The routes of one application."""

    def __init__(self, app: FastAPI, service: Service, backlog: Backlog) -> None:
        self._app, self._service, self._backlog = app, service, backlog
        self._in_threads = 0

    def add(self) -> None:
        """Under /models/NAME for each model, and plain for the only one."""
        for name in (*self._service.shelf.names, None):
            self._add_of(name)
        self._get("/models", self._models, "Which models answer")
        self._get("/healthz", self._alive, "That the server lives")
        self._get("/metrics", self._metrics, "Figures for Prometheus", PlainTextResponse)

    def _add_of(self, name: str | None) -> None:
        prefix = f"/models/{name}" if name is not None else ""
        row = _row_schema(name, self._service)
        batch = {"type": "array", "minItems": 1, "maxItems": MOST_ROWS, "items": row}
        service = self._service
        predict = self._quick("predict", service.predict, name)
        # What is asked most goes the short way; the route below is for the description of the API.
        self._app.router.routes.insert(0, Route(f"{prefix}/predict", predict, methods=["POST"]))
        self._post(f"{prefix}/predict", predict, row, "Predict one row")
        self._post(
            f"{prefix}/predict/batch", self._slow("batch", service.predict_batch, name), batch, "Predict up to 1,000"
        )
        self._post(f"{prefix}/explain", self._slow("explain", service.explain, name), row, "What contributes")
        self._post(
            f"{prefix}/outcomes", self._slow("outcomes", service.take_outcome, name), OutcomeBody.model_json_schema(),
            "Tell what came",
        )  # fmt: skip
        self._get(f"{prefix}/health", self._quick("health", self._health, name), "What answers, and since when")
        if name is not None:
            self._get(f"{prefix}/metrics", self._metrics, "Figures for Prometheus", PlainTextResponse)
            return
        # Whatever name there is none of is answered by the same words on every route.
        for path, method in _EVERY.items():
            self._app.add_api_route(
                f"/models/{{name}}/{path}", self._unknown, methods=[method], include_in_schema=False
            )

    def _post(self, path: str, act: Any, schema: dict[str, Any], summary: str) -> None:
        body = {"required": True, "content": {"application/json": {"schema": schema}}}
        self._app.add_api_route(
            path, act, methods=["POST"], summary=summary, openapi_extra={"requestBody": body}, responses=_RESPONSES,
            response_model=None,
        )  # fmt: skip

    def _get(self, path: str, act: Any, summary: str, kind: type[Response] = JSONResponse) -> None:
        self._app.add_api_route(
            path, act, methods=["GET"], summary=summary, responses=_RESPONSES, response_model=None, response_class=kind
        )

    def _health(self, name: str | None, _: bytes) -> Any:
        return self._service.health(name) if name is not None else self._service.all_health()

    def _quick(self, route: str, act: Callable[..., Any], name: str | None) -> Any:
        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            if self._backlog() > MOST_WAITING:
                return self._busy()
            body = await request.body() if request.method == "POST" else b""
            key = request.headers.get(KEY_HEADER) if route == "predict" else None
            act_of = act if key is None else partial(act, key=key.encode())
            return self._told(route, name, _unasked(request, act_of), body, started)

        return answer

    def _slow(self, route: str, act: Callable[..., Any], name: str | None) -> Any:
        async def answer(request: Request) -> Response:
            started = time.perf_counter()
            if self._backlog() > MOST_WAITING or self._in_threads >= MOST_IN_THREADS:
                return self._busy()
            body = await request.body()
            self._in_threads += 1
            try:
                return await asyncio.to_thread(self._told, route, name, _unasked(request, act), body, started)
            finally:
                self._in_threads -= 1

        return answer

    def _told(self, route: str, name: str | None, act: Callable[..., Any], body: bytes, started: float) -> Response:
        status = 200
        try:
            if name is None:
                name = self._meant(route)
            response = _json(act(name, body))
        except RefusedError as error:
            status = error.status
            response = _json({"detail": error.detail, "errors": error.errors}, status)
        self._service.measures.answered(name or "", route, status, time.perf_counter() - started)
        return response

    def _meant(self, route: str) -> str | None:
        """The only model, where none is named; health is told of all of them."""
        try:
            return self._service.only_one()
        except RefusedError:
            if route != "health":
                raise
            return None

    def _busy(self) -> Response:
        self._service.measures.refused_busy.inc()
        return _json({"detail": "Too many requests wait already; try again in a second.", "errors": []}, 429, _BUSY)

    async def _unknown(self, name: str) -> Response:
        # Names that people make up are no label of a figure.
        return self._told("unknown", "", lambda _, __: self._service.in_use(name), b"", time.perf_counter())

    async def _models(self) -> Response:
        return _json(self._service.all_health())

    async def _alive(self) -> Response:
        return _json({"status": "ok", "version": VERSION})

    async def _metrics(self) -> Response:
        return Response(self._service.measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _unasked(request: Request, act: Callable[..., Any]) -> Callable[..., Any]:
    """`act`, or a refusal of what stands behind the question mark of a question: no route takes anything there.

    Whoever asks for `?version=3` would be answered by another version, and would not know.
    """
    if request.method != "POST" or not request.scope["query_string"]:
        return act
    names = ", ".join(dict.fromkeys(request.query_params)) or "?"
    detail = f"{names[:200]}: not known in an address. The version in use answers; `quality model promote` changes it."

    def refuse(_: str, __: bytes) -> Any:
        raise RefusedError(422, detail)

    return refuse


_EVERY = {
    "predict": "POST",
    "predict/batch": "POST",
    "explain": "POST",
    "outcomes": "POST",
    "health": "GET",
    "metrics": "GET",
}
_PROBLEM = {
    "type": "object",
    "required": ["detail", "errors"],
    "properties": {"detail": {"type": "string"}, "errors": {"type": "array", "items": {"type": "object"}}},
}
_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": words, "content": {"application/json": {"schema": _PROBLEM}}}
    for status, words in {
        403: "Another website asked",
        404: "No such model, or no such prediction",
        409: "Another outcome is known",
        413: "Too much at once",
        415: "Not JSON",
        422: "Not what the contract asks for: field, bound, class of value",
        429: "Busy; see Retry-After",
        501: "Not for this model, and why",
        503: "Nothing is released",
    }.items()
}


def _row_schema(name: str | None, service: Service) -> dict[str, Any]:
    """A row in OpenAPI: of the model in use, or of the whole contract where none is."""
    if name is None:
        if len(service.shelf.names) != 1:
            return {"type": "object"}
        name = service.shelf.names[0]
    use_case = TABULAR[name]
    if name in service.shelf.served():
        return service.shelf.of(name).row_type.model_json_schema()
    return request_model(use_case.contract, tuple(each.name for each in use_case.contract.inputs)).model_json_schema()


def _json(answer: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(answer), status, headers, media_type="application/json")
