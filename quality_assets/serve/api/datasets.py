"""The routes of watched tables: upload, lists, one with its quality, batches, thresholds, rules, the summary."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import UploadFile

from quality_assets.contracts.sources.datasets import Thresholds
from quality_assets.contracts.sources.model import SourceError
from quality_assets.serve.api.answers import EVERYWHERE, problem
from quality_assets.serve.api.features import Instant
from quality_assets.serve.api.problems import StrictRoute
from quality_assets.serve.api.writing import House, IfMatch, Writer, json_response, settings_of, version_of
from quality_assets.stores.datasets.loading import TooLarge
from quality_assets.stores.operations.requests import ask
from quality_assets.stores.readers.faults import FileRejected
from quality_assets.tables.datasets import ruling
from quality_assets.tables.datasets import uploads as arriving_files
from quality_assets.tables.datasets.reading import batch_details, details, overview, summary
from quality_assets.tables.datasets.registering import UnknownDatasetError, find, hide

UPLOAD_PATH = "/api/v1/data-quality/upload"
_CHUNK_BYTES = 1 << 20
_WRITING = (
    problem(401, "The token opens nothing here")
    | problem(403, "The right to write is not shown")
    | problem(415, "What is sent is neither JSON nor a form")
    | problem(422, "What is sent cannot be taken; each thing that is wrong is named")
)
_NONE = problem(404, "No dataset has this name")


class UploadAnswer(BaseModel):
    """What became of an upload, and where its state is told."""

    dataset: str
    batch_id: str
    name: str
    is_new: bool
    status_url: str


class SourceCard(BaseModel):
    """A watched table with its last batch."""

    model_config = ConfigDict(extra="allow")

    dataset: str
    kind: str
    owner: str
    batches: int
    batch: str | None
    rows: int | None
    score: float | None
    status: str
    worst_finding: str | None
    checked_at: Instant | None
    version: int


class SourceList(BaseModel):
    """Watched tables, the worst score first."""

    sources: list[SourceCard]


class QualityAnswer(BaseModel):
    """The quality of a watched table: of its last batch, with its findings, and the scores before."""

    dataset: str
    score: float | None
    dimensions: dict[str, float | None]
    usual_low: float | None
    usual_high: float | None
    status: str
    history: list[dict[str, Any]]
    findings: list[dict[str, Any]]


class ChangeBody(BaseModel):
    """What is said of a watched table; what is not given stays."""

    model_config = ConfigDict(extra="forbid")

    description: Annotated[str | None, Field(max_length=2000)] = None
    owner: Annotated[str | None, Field(max_length=200)] = None
    team: Annotated[str | None, Field(max_length=200)] = None
    cadence: Annotated[str | None, Field(max_length=40)] = None
    thresholds: Thresholds | None = None


class RuleBody(BaseModel):
    """What becomes of a rule: pinned holds whatever people answer to its alerts, muted is quiet."""

    model_config = ConfigDict(extra="forbid")

    state: Literal["pinned", "muted", "learnt"]


class RequestAnswer(BaseModel):
    """A check that was asked for."""

    request_id: int
    status_url: str


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
            told = await asyncio.to_thread(
                arriving_files.accept, store, settings, dataset or arriving_files.dataset_name(file_name), file_name,
                taken, path, actor,
            )  # fmt: skip
    except (arriving_files.UploadTooLargeError, TooLarge) as error:
        raise HTTPException(413, str(error)) from None
    except FileRejected as error:
        raise HTTPException(422, error.reason) from None
    except SourceError as error:
        raise HTTPException(422, str(error)) from None
    answer = {
        "dataset": told.dataset, "batch_id": told.batch_id, "name": told.name, "is_new": told.is_new,
        "status_url": f"/api/v1/data-quality/batches/{told.batch_id}",
    }  # fmt: skip
    return json_response(answer, 202 if told.is_new else 200)


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


@datasets_api.get("/sources", summary="Watched tables, the worst first", response_model=SourceList)
def list_sources(http: Request, store: House) -> Response:
    return json_response({"sources": overview(store, settings_of(http))})


@datasets_api.get("/summary", summary="How many tables are watched, and how they are")
def sources_summary(http: Request, store: House) -> dict[str, Any]:
    return summary(store, settings_of(http))


def _found(http: Request, store: House, name: str) -> dict[str, Any]:
    try:
        return details(store, settings_of(http), name)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None


@datasets_api.get("/sources/{name}", summary="A watched table", response_model=SourceCard, responses=_NONE)
def show_source(http: Request, store: House, name: Name) -> Response:
    return json_response(_found(http, store, name))


@datasets_api.get("/sources/{name}/quality", summary="Its quality", response_model=QualityAnswer, responses=_NONE)
def source_quality(http: Request, store: House, name: Name) -> Response:
    told = _found(http, store, name)
    judged = [batch for batch in told["batches"] if batch["status"] == "checked"]
    history = [
        {key: batch[key] for key in ("batch_id", "name", "rows", "score", "dimensions", "checked_at")}
        for batch in judged
    ]
    answer = {key: told[key] for key in ("dataset", "score", "usual_low", "usual_high", "status", "findings")}
    return json_response(answer | {"dimensions": judged[-1]["dimensions"] if judged else {}, "history": history})


@datasets_api.post(
    "/sources/{name}/check", summary="Judge it now", status_code=202, response_model=RequestAnswer,
    responses=_WRITING | _NONE,
)  # fmt: skip
def check_source(http: Request, store: House, name: Name, actor: Writer) -> Response:
    _found(http, store, name)
    with store.write() as connection:
        request_id = ask(connection, "check_dataset", actor=actor, partition_key=name, subject=f"dataset {name}")
    return json_response({"request_id": request_id, "status_url": f"/api/v1/data-quality/sources/{name}"}, 202)


@datasets_api.put(
    "/sources/{name}", summary="Thresholds, cadence, owner", response_model=SourceCard,
    responses=_WRITING | _NONE | problem(409, "It was changed meanwhile, or its YAML file says it"),
)  # fmt: skip
def change_source(
    http: Request, store: House, name: Name, body: ChangeBody, actor: Writer, if_match: IfMatch = None
) -> Response:
    settings = settings_of(http)
    try:
        there = find(store, settings, name)
        ruling.change(store, there, body.model_dump(exclude_unset=True), version_of(if_match), actor)
    except UnknownDatasetError as error:
        raise HTTPException(404, str(error)) from None
    except ruling.CannotChangeError as error:
        raise HTTPException(409, str(error)) from None
    except SourceError as error:
        raise HTTPException(422, str(error)) from None
    return json_response(details(store, settings, name))


@datasets_api.post("/sources/{name}/rules/{rule}", summary="Pin or mute a rule", responses=_WRITING | _NONE)
def set_rule(
    http: Request, store: House, name: Name, rule: Annotated[str, Path(max_length=500)], body: RuleBody, actor: Writer
) -> dict[str, Any]:
    _found(http, store, name)
    return ruling.set_state(store, name, rule, body.state, actor)


@datasets_api.delete("/sources/{name}", summary="Watch it no longer; its history stays", responses=_WRITING | _NONE)
def remove_source(http: Request, store: House, name: Name, actor: Writer) -> dict[str, Any]:
    _found(http, store, name)
    hide(store, name)
    return {"dataset": name, "is_hidden": True}


@datasets_api.get("/batches/{batch_id}", summary="A batch with its findings", responses=problem(404, "No such batch"))
def show_batch(store: House, batch_id: Annotated[str, Path(max_length=64)]) -> Response:
    found = batch_details(store, batch_id)
    if found is None:
        raise HTTPException(404, f"No batch has the id {batch_id!r}.")
    return json_response(found)
