"""The route by which people bring a model, and what the routes of models say of such: a card, a prediction, drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, File, Form, HTTPException, Response, UploadFile

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.requests import RefusedRowError
from quality_assets.domain.models.learning.served_drift import DriftLimits
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.writing import Writer, json_response, settings_of
from quality_assets.settings import Settings
from quality_assets.stores import user_models as store

DEPLOY_PATH = "/api/v1/model-monitoring/deploy"
MOST_DEPLOY_BYTES = store.MOST_MODEL_BYTES + store.MOST_SAMPLE_BYTES + (1 << 20)
_OURS = (*TABULAR, "feature_risk")
Answer = dict[str, Any]

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
) -> Response:
    if name in _OURS:
        raise HTTPException(409, f"{name} is a model of this product; choose another name.")
    brought = store.Brought(
        name, kind, _content(model, store.MOST_MODEL_BYTES), _content(sample, store.MOST_SAMPLE_BYTES),
        model.filename or "", target or None,
    )  # fmt: skip
    told = _told(lambda: store.deploy(settings.models_dir, brought, actor, only_check=only_check))
    return json_response(told, 200 if only_check else 201)


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
    except store.BusyError as error:
        raise HTTPException(429, str(error)) from None
    except store.AlteredModelError as error:
        raise HTTPException(503, str(error)) from None


def is_brought(settings: Settings, name: str) -> bool:
    """Whether somebody brought a model of this name, and it is none of ours."""
    return name not in _OURS and name in store.names(settings.models_dir)


def brought_cards(settings: Settings) -> list[Answer]:
    """A card of every model that was brought, like those of ours; what is unknown of it is null."""
    return [_card(settings, name) for name in store.names(settings.models_dir) if name not in _OURS]


def _card(settings: Settings, name: str) -> Answer:
    unknown = {"of": "rows of its sample", "unit": None, "release_seq": None, "split": None, "coverage_last_30d": None}
    shared = {"name": name, "brought": True, "drift": "unknown", "drift_words": None, **unknown}
    try:
        about = store.about_model(settings.models_dir, name)
    except store.AlteredModelError as error:
        nothing = dict.fromkeys(("predicts", "kind", "version", "since", "candidate"))
        return {**shared, **nothing, "versions": 0, "figures": {}, "drift_words": str(error)}
    return {
        **shared, "predicts": about["contract"]["target"] or "what it learnt", "kind": about["kind"],
        "versions": about["versions"], "version": about["version"], "since": about["deployed_at"],
        "candidate": about["learner"], "figures": {}, "on_sample": about["on_sample"],
    }  # fmt: skip


def brought_model(settings: Settings, name: str) -> Answer:
    """All that is told of one."""
    about = _told(lambda: store.about_model(settings.models_dir, name))
    return {**_card(settings, name), "contract": about["contract"], "inputs": about["contract"]["inputs"]}


def brought_prediction(settings: Settings, name: str, row: dict[str, Any]) -> Response:
    """What it says of a row."""
    try:
        return json_response(_told(lambda: store.predict(settings.models_dir, name, row)))
    except RefusedRowError as error:
        errors = [{"where": ["body", each["field"]], "what": each["why"]} for each in error.problems]
        return json_response({"detail": str(error), "errors": errors}, 422)


def brought_drift(settings: Settings, name: str) -> Answer:
    """Whether what it was asked has moved from its sample."""
    return _told(lambda: store.drift(settings.models_dir, name, DriftLimits().least_rows))
