"""The route by which people bring a model, and what the routes of models say of such: a card, a prediction, drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, HTTPException, Path, Response, UploadFile
from fastapi.responses import FileResponse

from quality_assets.domain.models.learning.release_stack import NoEarlierReleaseError, ReleaseConflictError
from quality_assets.domain.models.learning.requests import RefusedRowError
from quality_assets.read import brought_models as reading
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.writing import Writer, json_response, settings_of
from quality_assets.settings import Settings
from quality_assets.simulate.brought_models import FOLDER as SAMPLES_FOLDER
from quality_assets.simulate.brought_models import SAMPLES
from quality_assets.stores import user_models as store
from quality_assets.stores.outcomes import OtherOutcomeError
from quality_assets.tables import brought_models
from quality_assets.tables.drift_reports import read_report

DEPLOY_PATH = "/api/v1/model-monitoring/deploy"
MOST_DEPLOY_BYTES = store.MOST_MODEL_BYTES + store.MOST_SAMPLE_BYTES + (1 << 20)
Answer = dict[str, Any]
_FILE: dict[int | str, Answer] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}

user_models_api = APIRouter(prefix="/api/v1/model-monitoring", tags=["models"], responses=EVERYWHERE | ASKED)


@user_models_api.post(
    "/deploy",
    summary="Bring a model: a skops file and a sample of its rows; the contract that was learnt is the answer",
    status_code=201,
    responses=problem(400, "The form cannot be read")
    | problem(401, "The token opens nothing")
    | problem(403, "Writing is not allowed")
    | problem(409, "A model of ours has this name")
    | problem(413, "It is too large")
    | problem(415, "Not a form")
    | problem(429, "It is busy")
    | problem(503, "What was kept is broken"),
)
def deploy(
    settings: Annotated[Settings, Depends(settings_of)],
    actor: Writer,
    name: Annotated[str, Form(pattern=store.NAME, description="By which it is asked")],
    kind: Annotated[Literal["classification", "regression"], Form()],
    model: Annotated[UploadFile, File(description="A skops file; pickle and joblib are refused")],
    sample: Annotated[UploadFile, File(description="CSV or Parquet: its inputs, and the target if there is one")],
    target: Annotated[str | None, Form(max_length=200, description="Which column of the sample is the target")] = None,
    only_check: Annotated[bool, Form(description="Show the contract, keep nothing")] = False,
    contract_sha256: Annotated[
        str | None, Form(max_length=64, description="Of the contract that was confirmed; 422 where another is learnt")
    ] = None,
) -> Response:
    if name in brought_models.OURS:
        raise HTTPException(409, f"{name} is a model of this product; choose another name.")
    brought = store.Brought(
        name, kind, _content(model, store.MOST_MODEL_BYTES), _content(sample, store.MOST_SAMPLE_BYTES),
        model.filename or "", target or None,
    )  # fmt: skip
    confirmed = contract_sha256 or None
    told = _told(
        lambda: brought_models.bring(settings, brought, actor, only_check=only_check, contract_sha256=confirmed)
    )
    return json_response(told, 200 if only_check else 201)


@user_models_api.get("/samples", summary="Models that are shipped to try deployment with, and samples of their rows")
def samples() -> list[Answer]:
    base = "/api/v1/model-monitoring/samples"
    return [
        {"name": name, "kind": kind, "model": f"{base}/{name}.skops", "sample": f"{base}/{name}.csv"}
        for kind, name in SAMPLES.items()
    ]


@user_models_api.get(
    "/samples/{file}",
    summary="A file of these",
    response_class=FileResponse,
    responses=_FILE | problem(404, "No sample has this name"),
)
def sample_file(file: Annotated[str, Path(description="NAME.skops or NAME.csv", max_length=80)]) -> FileResponse:
    if file not in {f"{name}.{ending}" for name in SAMPLES.values() for ending in ("skops", "csv")}:
        raise HTTPException(404, f"There is no such sample; there are: {', '.join(SAMPLES.values())}.")
    return FileResponse(SAMPLES_FOLDER / file, filename=file, media_type="application/octet-stream")


def _content(file: UploadFile, most_bytes: int) -> bytes:
    content = file.file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise HTTPException(413, f"{file.filename or 'A file'} has more than {most_bytes >> 20} MB.")
    return content


def _told(act: Callable[[], Answer]) -> Answer:
    """What was done, or why not, by status."""
    try:
        return act()
    except store.RefusedModelError as error:
        raise HTTPException(422, str(error)) from None
    except store.UnknownModelError as error:
        raise HTTPException(404, str(error)) from None
    except (NoEarlierReleaseError, ReleaseConflictError) as error:
        raise HTTPException(409, f"{error}.") from None
    except store.BusyError as error:
        raise HTTPException(429, str(error)) from None
    except store.AlteredModelError as error:
        raise HTTPException(503, str(error)) from None


def is_brought(settings: Settings, name: str) -> bool:
    """Whether somebody brought a model of this name, and it is none of ours."""
    return brought_models.is_brought(settings, name)


def brought_cards(settings: Settings) -> list[Answer]:
    """A card of every model that was brought, like those of ours; what is unknown of it is null."""
    return reading.cards(settings)


def brought_model(settings: Settings, name: str) -> Answer:
    """All that is told of one."""
    return _told(lambda: reading.told_of(settings, name))


def brought_prediction(settings: Settings, name: str, row: dict[str, Any]) -> Response:
    """What it says of a row."""
    try:
        return json_response(_told(lambda: brought_models.predict(settings, name, row)))
    except RefusedRowError as error:
        errors = [{"where": ["body", each["field"]], "what": each["why"]} for each in error.problems]
        return json_response({"detail": str(error), "errors": errors}, 422)


def brought_outcome(settings: Settings, name: str, request_id: str, y: Any) -> Answer:
    """Keep what came of a prediction."""
    try:
        return _told(lambda: brought_models.take_outcome(settings, name, request_id, y))
    except brought_models.UnknownRequestError as error:
        raise HTTPException(404, str(error)) from None
    except OtherOutcomeError as error:
        raise HTTPException(409, f"{str(error).capitalize()}.") from None


def brought_drift(settings: Settings, name: str) -> Answer:
    """Look whether what it was asked has moved from its sample."""
    return _told(lambda: brought_models.look_for_drift(settings, name).content)


def promote_brought(
    settings: Settings, name: str, version: str, actor: str, reason: str, expected_seq: int | None
) -> Answer:
    """Put a version in use."""

    def act() -> Answer:
        done = brought_models.put_in_use(settings, name, version, actor=actor, reason=reason, expected_seq=expected_seq)
        return reading.card(settings, name) | {"changed": done is not None}

    return _released(act)


def roll_back_brought(settings: Settings, name: str, actor: str, reason: str, expected_seq: int | None) -> Answer:
    """Put the version before in use again."""

    def act() -> Answer:
        brought_models.take_back(settings, name, actor=actor, reason=reason, expected_seq=expected_seq)
        return reading.card(settings, name) | {"changed": True}

    return _released(act)


def _released(act: Callable[[], Answer]) -> Answer:
    """A version that is not there or not whole is one that cannot be released."""
    try:
        return _told(act)
    except HTTPException as error:
        raise HTTPException(409, error.detail) if error.status_code in (404, 503) else error from None


def brought_report(settings: Settings, name: str) -> Answer | None:
    """What the last look found; None where nobody has looked."""
    return read_report(settings, name)
