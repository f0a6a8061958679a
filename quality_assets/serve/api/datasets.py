"""The routes of watched tables: upload, lists, one with its quality, batches, thresholds, rules, the summary."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from quality_assets.contracts.sources.datasets import Thresholds, make_dataset
from quality_assets.contracts.sources.model import SourceError
from quality_assets.serve.api.answers import EVERYWHERE, problem
from quality_assets.serve.api.features import Instant
from quality_assets.serve.api.problems import StrictRoute
from quality_assets.serve.api.writing import (
    Administrator,
    House,
    IdempotencyKey,
    IfMatch,
    Writer,
    answered_once,
    json_response,
    settings_of,
    version_of,
)
from quality_assets.stores.datasets.loaded import TooLarge
from quality_assets.stores.datasets.queries import try_query
from quality_assets.stores.operations.requests import ask
from quality_assets.stores.readers.faults import FileRejected, FileWaits
from quality_assets.tables.datasets import ruling
from quality_assets.tables.datasets import uploads as arriving_files
from quality_assets.tables.datasets.reading import (
    MOST_BATCHES,
    batch_details,
    details,
    overview,
    quality_of,
    summary,
    thresholds_effect,
    told_of,
)
from quality_assets.tables.datasets.registering import UnknownDatasetError, datasets, find, hide, register

UPLOAD_PATH = "/api/v1/data-quality/upload"
SOURCES_PATH = "/api/v1/data-quality/sources"
_CHUNK_BYTES = 1 << 20
_WRITING = (
    problem(401, "The token opens nothing here")
    | problem(403, "The right to write is not shown")
    | problem(415, "What is sent is neither JSON nor a form")
    | problem(422, "What is sent cannot be taken; each thing that is wrong is named")
)
_NONE = problem(404, "No dataset has this name")
_READING = problem(422, "What is asked for cannot be; each thing that is wrong is named")
_NO_CURSOR = "This cursor was not given out here; ask without one for the first page."
_QUALITY = ("dataset", "score", "dimensions", "usual_low", "usual_high", "status", "findings")
_HISTORY = ("batch_id", "name", "rows", "score", "dimensions", "checked_at")
_MOST, _MOST_DIGITS = 2**53, 16
Limit = Annotated[int, Query(ge=1, le=500, description="How many at once")]
Cursor = Annotated[str | None, Query(max_length=400, description="As `next_cursor` was given")]


class UploadAnswer(BaseModel):
    """What became of an upload, and where its state is told."""

    dataset: str
    batch_id: str
    name: str
    is_new: bool
    status_url: str


class _Source(BaseModel):
    """A watched table with its last batch."""

    model_config = ConfigDict(extra="allow")

    dataset: str
    kind: str
    owner: str
    batch: str | None
    rows: int | None
    score: float | None
    status: str
    worst_finding: str | None
    checked_at: Instant | None
    version: int


class SourceCard(_Source):
    """A watched table with its last batch, and how many batches it has."""

    batches: int


class SourceDetails(_Source):
    """A watched table with its last batch, and with all that is told of the batches before, oldest first."""

    batches: list[dict[str, Any]]


class SourceList(BaseModel):
    """Watched tables, the worst score first, and the cursor of those that follow."""

    sources: list[SourceCard]
    next_cursor: str | None


class QualityAnswer(BaseModel):
    """The quality of a watched table: of its last batch, with its findings, and the scores before."""

    dataset: str
    score: float | None
    dimensions: dict[str, float | None]
    usual_low: float | None
    usual_high: float | None
    status: str
    history: list[dict[str, Any]]
    next_cursor: str | None
    findings: list[dict[str, Any]]


class WhatIfAnswer(BaseModel):
    """What thresholds would have done to the last batches: how many they fail, and how many those in force do."""

    batches: int
    would_fail: int
    fail_now: int
    sentence: str
    failing: list[dict[str, Any]]
    thresholds: Thresholds


class RuleAnswer(BaseModel):
    """A rule, and what people say of it."""

    dataset: str
    rule: str
    state: str
    version: int


class HiddenAnswer(BaseModel):
    """A dataset that is watched no longer."""

    dataset: str
    is_hidden: bool


class SourceConflict(BaseModel):
    """Why it was not done, and how what was to be changed stands now."""

    detail: str
    present: dict[str, Any] | None = None


class ChangeBody(BaseModel):
    """What is said of a watched table; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[str | None, Field(max_length=2000)] = None
    owner: Annotated[str | None, Field(max_length=200)] = None
    team: Annotated[str | None, Field(max_length=200)] = None
    cadence: Annotated[str | None, Field(max_length=40)] = None
    thresholds: Thresholds | None = None


class SourceBody(ChangeBody):
    """A table to be watched: where its batches come from, as in a YAML file of `data/datasets/`."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    path: Annotated[str | None, Field(min_length=1, max_length=2000)] = None
    query: Annotated[str | None, Field(min_length=1, max_length=20_000)] = None
    secret: Annotated[str | None, Field(max_length=500, description="env:NAME or file:PATH")] = None
    table: Annotated[str | None, Field(min_length=1, max_length=200)] = None
    key: Annotated[list[str], Field(max_length=20)] = []
    time: Annotated[str | None, Field(max_length=200)] = None


class RuleBody(BaseModel):
    """What becomes of a rule: pinned holds whatever people answer to its alerts, muted is quiet."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["pinned", "muted", "learnt"]


class RequestAnswer(BaseModel):
    """A check that was asked for."""

    request_id: int
    status_url: str


_CONFLICT: dict[int | str, dict[str, Any]] = {
    409: {"model": SourceConflict, "description": "It was changed meanwhile, or its YAML file says it"}
}
datasets_api = APIRouter(
    prefix="/api/v1/data-quality",
    tags=["data quality"],
    responses=EVERYWHERE | problem(503, "The operations store does not answer"),
    route_class=StrictRoute,
)
Name = Annotated[str, Path(max_length=80)]


@datasets_api.post(
    "/upload", summary="A file to be judged", status_code=202, response_model=UploadAnswer,
    responses=_WRITING | {200: {"model": UploadAnswer, "description": "The same bytes are there already"}},
)  # fmt: skip
async def upload(
    http: Request,
    store: House,
    actor: Writer,
    key: IdempotencyKey = None,
    dataset: Annotated[str | None, Query(max_length=80, description="Which table it is a batch of")] = None,
    name: Annotated[
        str | None, Query(max_length=500, description="What the file is called, where it is the body")
    ] = None,
) -> Response:
    settings = settings_of(http)
    try:
        with arriving_files.arriving(settings) as (taken, path):
            file_name = await _received(http, taken) or name or unquote(http.headers.get("x-file-name", "")) or "upload"
            taken.close()
            named = dataset or arriving_files.dataset_name(file_name)

            def accept() -> tuple[int, Any]:
                return _accepted(arriving_files.accept(store, settings, named, file_name, taken, path, actor))

            said = {"dataset": named, "name": file_name, "sha256": taken.sha256}
            return await asyncio.to_thread(answered_once, http, store, key, actor, said, accept)
    except (arriving_files.UploadTooLargeError, TooLarge) as error:
        raise HTTPException(413, str(error)) from None
    except FileRejected as error:
        raise HTTPException(422, error.reason) from None
    except SourceError as error:
        raise HTTPException(422, str(error)) from None


def _accepted(told: arriving_files.Uploaded) -> tuple[int, Any]:
    answer = {
        "dataset": told.dataset, "batch_id": told.batch_id, "name": told.name, "is_new": told.is_new,
        "status_url": f"/api/v1/data-quality/batches/{told.batch_id}",
    }  # fmt: skip
    return (202 if told.is_new else 200), answer


async def _received(http: Request, taken: arriving_files.Arriving) -> str | None:
    """Take the file of a form, or the body as it is; the file's name where a form gives it."""
    if not http.headers.get("content-type", "").startswith("multipart/form-data"):
        async for chunk in http.stream():
            await asyncio.to_thread(taken.write, chunk)
        return None
    async with http.form(max_files=1, max_fields=20) as form:
        file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
        if file is None:
            raise HTTPException(422, "The form has no file.")
        while chunk := await file.read(_CHUNK_BYTES):
            await asyncio.to_thread(taken.write, chunk)
        return file.filename


@datasets_api.get(
    "/sources", summary="Watched tables, the worst first", response_model=SourceList,
    responses=problem(404, "The cursor was not given out here") | _READING,
)  # fmt: skip
def list_sources(http: Request, store: House, limit: Limit = 200, cursor: Cursor = None) -> Response:
    cards = overview(store, settings_of(http))
    names = [card["dataset"] for card in cards]
    first = 0 if cursor is None else _after(cursor, names)
    following = _cursor(names[first + limit - 1]) if len(cards) > first + limit else None
    return json_response({"sources": cards[first : first + limit], "next_cursor": following})


def _cursor(place: str) -> str:
    return base64.urlsafe_b64encode(place.encode()).decode()


def _opened(cursor: str) -> str:
    try:
        return base64.urlsafe_b64decode(cursor.encode()).decode()
    except ValueError:
        raise HTTPException(404, _NO_CURSOR) from None


def _after(cursor: str, names: list[str]) -> int:
    """The place after the one that a cursor names, as things stand now."""
    name = _opened(cursor)
    if name not in names:
        raise HTTPException(404, _NO_CURSOR)
    return names.index(name) + 1


@datasets_api.post(
    "/sources", summary="Watch a table: files, a query, a table", status_code=201, response_model=SourceDetails,
    responses=_WRITING | {409: {"model": SourceConflict, "description": "There is one of this name"}},
)  # fmt: skip
def add_source(
    http: Request, store: House, body: SourceBody, actor: Administrator, key: IdempotencyKey = None
) -> Response:
    settings, given = settings_of(http), body.model_dump(exclude_none=True)

    def act() -> tuple[int, Any]:
        source = make_dataset(given, "dataset")
        if source.query is not None and source.secret is not None:
            try_query(source.query, source.secret)
        there = datasets(store, settings, with_hidden=True).get(source.name)
        if there is not None and not there.is_hidden:
            raise ruling.CannotChangeError(f"There is a dataset {source.name!r} already; change that one.")
        with store.write() as connection:
            register(store, source, actor)
            return 201, told_of(connection, source.name)

    try:
        return _written(http, store, key, actor, given, act, lambda: _found(http, store, body.name))
    except (FileRejected, FileWaits) as error:
        raise HTTPException(422, error.reason) from None


@datasets_api.get("/summary", summary="How many tables are watched, and how they are")
def sources_summary(http: Request, store: House) -> dict[str, Any]:
    return summary(store, settings_of(http))


def _found(http: Request, store: House, name: str) -> dict[str, Any]:
    try:
        return details(store, settings_of(http), name)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None


def _known(http: Request, store: House, name: str) -> None:
    try:
        find(store, settings_of(http), name)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None


@datasets_api.get("/sources/{name}", summary="A watched table", response_model=SourceDetails, responses=_NONE)
def show_source(http: Request, store: House, name: Name) -> Response:
    return json_response(_found(http, store, name))


@datasets_api.get(
    "/sources/{name}/quality", summary="Its quality", response_model=QualityAnswer,
    responses=problem(404, "No dataset has this name, or the cursor was not given out here") | _READING,
)  # fmt: skip
def source_quality(
    http: Request, store: House, name: Name, limit: Limit = MOST_BATCHES, cursor: Cursor = None
) -> Response:
    before = None if cursor is None else _opened(cursor)
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < _MOST_DIGITS):
        raise HTTPException(404, _NO_CURSOR)
    try:
        told, found = quality_of(store, settings_of(http), name, int(before) if before else None, limit + 1)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None
    history = [{key: batch[key] for key in _HISTORY} for batch in found[-limit:]]
    following = _cursor(str(found[-limit]["sequence"])) if len(found) > limit else None
    answer = {key: told[key] for key in _QUALITY}
    return json_response(answer | {"history": history, "next_cursor": following})


@datasets_api.get(
    "/sources/{name}/what-if", summary="What thresholds would have done to the last batches",
    response_model=WhatIfAnswer, responses=_NONE | _READING,
)  # fmt: skip
def source_what_if(
    http: Request,
    store: House,
    name: Name,
    score: Annotated[float | None, Query(ge=0, le=1)] = None,
    alerts: Annotated[int | None, Query(ge=0, le=_MOST)] = None,
    missing_share: Annotated[float | None, Query(ge=0, le=1)] = None,
    rows_at_least: Annotated[int | None, Query(ge=0, le=_MOST)] = None,
) -> Response:
    given = {"score": score, "alerts": alerts, "missing_share": missing_share, "rows_at_least": rows_at_least}
    wanted = {key: value for key, value in given.items() if value is not None}
    try:
        return json_response(thresholds_effect(store, settings_of(http), name, wanted))
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None


@datasets_api.post(
    "/sources/{name}/check", summary="Judge it now", status_code=202, response_model=RequestAnswer,
    responses=_WRITING | _NONE,
)  # fmt: skip
def check_source(http: Request, store: House, name: Name, actor: Writer, key: IdempotencyKey = None) -> Response:
    _known(http, store, name)

    def act() -> tuple[int, Any]:
        with store.write() as connection:
            request_id = ask(connection, "check_dataset", actor=actor, partition_key=name, subject=f"dataset {name}")
        return 202, {"request_id": request_id, "status_url": f"/api/v1/data-quality/sources/{name}"}

    return answered_once(http, store, key, actor, None, act)


@datasets_api.put(
    "/sources/{name}", summary="Thresholds, cadence, owner", response_model=SourceDetails,
    responses=_WRITING | _NONE | _CONFLICT,
)  # fmt: skip
def change_source(
    http: Request, store: House, name: Name, body: ChangeBody, actor: Writer, if_match: IfMatch = None,
    key: IdempotencyKey = None,
) -> Response:  # fmt: skip
    settings, version, given = settings_of(http), version_of(if_match), body.model_dump(exclude_unset=True)

    def act() -> tuple[int, Any]:
        with store.write() as connection:
            ruling.change(store, find(store, settings, name), given, version, actor)
            # As it is within this transaction: to whoever reads beside it nothing has happened yet.
            return 200, told_of(connection, name)

    return _written(http, store, key, actor, given | {"if-match": version}, act, lambda: _found(http, store, name))


@datasets_api.post(
    "/sources/{name}/rules/{rule}", summary="Pin or mute a rule", response_model=RuleAnswer,
    responses=_WRITING | _NONE | _CONFLICT,
)  # fmt: skip
def set_rule(
    http: Request, store: House, name: Name, rule: Annotated[str, Path(max_length=500)], body: RuleBody, actor: Writer,
    if_match: IfMatch = None, key: IdempotencyKey = None,
) -> Response:  # fmt: skip
    version = version_of(if_match)

    def act() -> tuple[int, Any]:
        find(store, settings_of(http), name)
        return 200, ruling.set_state(store, name, rule, body.state, actor, version)

    said = {"state": body.state, "if-match": version}
    return _written(http, store, key, actor, said, act, lambda: ruling.rule_of(store, name, rule))


@datasets_api.delete(
    "/sources/{name}", summary="Watch it no longer; its history stays", response_model=HiddenAnswer,
    responses=_WRITING | _NONE | _CONFLICT,
)  # fmt: skip
def remove_source(
    http: Request, store: House, name: Name, actor: Writer, if_match: IfMatch = None, key: IdempotencyKey = None
) -> Response:
    settings, version = settings_of(http), version_of(if_match)

    def act() -> tuple[int, Any]:
        with store.write():
            ruling.check_version(find(store, settings, name).version, version)
            hide(store, name, actor)
        return 200, {"dataset": name, "is_hidden": True}

    return _written(http, store, key, actor, {"if-match": version}, act, lambda: _found(http, store, name))


def _written(
    http: Request, store: House, key: str | None, actor: str, body: Any, act: Callable[[], tuple[int, Any]],
    present: Callable[[], Any],
) -> Response:  # fmt: skip
    """The answer to a write: once by its key; where it cannot be done, how things stand now."""
    try:
        return answered_once(http, store, key, actor, body, act)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None
    except ruling.CannotChangeError as error:
        return json_response({"detail": str(error), "present": present()}, 409)
    except SourceError as error:
        raise HTTPException(422, str(error)) from None


@datasets_api.get("/batches/{batch_id}", summary="A batch with its findings", responses=problem(404, "No such batch"))
def show_batch(store: House, batch_id: Annotated[str, Path(max_length=64)]) -> Response:
    found = batch_details(store, batch_id)
    if found is None:
        raise HTTPException(404, f"No batch has the id {batch_id!r}.")
    return json_response(found)
