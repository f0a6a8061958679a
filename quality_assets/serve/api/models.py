"""The routes of models: which there are, what is in use, how they do; release and roll back, predict, look for drift.

Predictions are those of the server of models, which is asked; a look for drift is a process of its own, since it opens
the warehouse.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from typing import Annotated, Any

import httpx
from fastapi import APIRouter, Body, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.release_stack import (
    NoEarlierReleaseError,
    ReleaseConflictError,
    given_back,
    newest,
)
from quality_assets.read import models as reading
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.user_models import (
    brought_cards,
    brought_drift,
    brought_model,
    brought_outcome,
    brought_prediction,
    brought_report,
    is_brought,
    promote_brought,
    roll_back_brought,
)
from quality_assets.serve.api.writing import Writer, json_response, settings_of
from quality_assets.serve.ports import address
from quality_assets.settings import Settings
from quality_assets.stores.http_client import http_client
from quality_assets.stores.released import VersionUnavailableError, gates, load_version
from quality_assets.stores.releases import release_log
from quality_assets.tables import brought_models

_WITHIN_S = 60.0
_ASKED_WITHIN_S = 10.0
_PROBLEM = 400
_NO_SUCH = problem(404, "No model has this name")
_CONFLICT = problem(409, "It cannot be released, or somebody else has released meanwhile")
_NOT_ALLOWED = (
    problem(401, "The token opens nothing") | problem(403, "Writing is not allowed") | problem(415, "Not JSON")
)
_DOWN = problem(502, "The server of models answered with no JSON") | problem(503, "It does not answer, and what to do")

OfServer = Annotated[Settings, Depends(settings_of)]
Name = Annotated[str, Path(description="Of the model", min_length=1, max_length=80)]
Answer = dict[str, Any]

models_api = APIRouter(prefix="/api/v1/model-monitoring", tags=["models"], responses=EVERYWHERE | ASKED)


class PromoteBody(BaseModel):
    """Which version to put in use, and why."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: str = Field(min_length=1, max_length=40)
    reason: str = Field("promoted by hand", max_length=500)
    expected_seq: int | None = Field(
        None, strict=False, ge=0, le=2**53, description="Release that was seen last; 409 where it is another"
    )


class RollbackBody(BaseModel):
    """Why the version before is put in use again."""

    model_config = ConfigDict(strict=True, extra="forbid")

    reason: str = Field("rolled back by hand", max_length=500)
    expected_seq: int | None = Field(
        None, strict=False, ge=0, le=2**53, description="Release that was seen last; 409 where it is another"
    )


class OutcomeBody(BaseModel):
    """What came of a prediction: a number, or of a classification the class."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    request_id: str = Field(min_length=1, max_length=200, description="As the prediction gave it")
    y: float | int | str | bool = Field(description="What it was, in the unit of the target")


def _time(given: object) -> object:
    """An instant as ISO 8601 writes it; numbers are none."""
    return datetime.fromisoformat(given) if isinstance(given, str) else given


def _known(settings: Settings, name: str) -> str:
    if name not in TABULAR:
        known = ", ".join((*TABULAR, *brought_models.names(settings)))
        raise HTTPException(404, f"There is no model of this name; there are: {known}.")
    return name


@models_api.get("/models", summary="Every model: what is in use since when, how well it does, whether it has drifted")
def list_models(settings: OfServer) -> list[Answer]:
    return reading.cards(settings) + brought_cards(settings)


@models_api.get(
    "/models/{name}",
    summary="One model: inputs, versions, releases, what was live when",
    responses=_NO_SUCH | problem(503, "What was kept of it is broken"),
)
def one_model(
    settings: OfServer,
    name: Name,
    live_at: Annotated[
        datetime | None, BeforeValidator(_time), Query(description="UTC where it has no zone: what was live then")
    ] = None,
) -> Answer:
    is_theirs = is_brought(settings, name)
    told = brought_model(settings, name) if is_theirs else reading.told_of(settings, _known(settings, name))
    return told | ({"live_at": reading.live(settings, name, live_at)} if live_at is not None else {})


@models_api.get(
    "/models/{name}/performance", summary="How well the version in use does, period by period", responses=_NO_SUCH
)
def performance(settings: OfServer, name: Name) -> Answer:
    if is_brought(settings, name):
        told = brought_model(settings, name)
        report = brought_report(settings, name)
        return {
            "model": name, "version": told["version"], "metrics": [], "periods": [],
            "served": _served(report, told["version"]), "on_sample": told["on_sample"],
        }  # fmt: skip
    version = reading.card(settings, _known(settings, name))["version"]
    found = reading.drift_report(settings, name)
    metrics, periods = (
        reading.evidence(settings, name, version, what) if version is not None else []
        for what in ("metrics", "performance")
    )
    answer = {"model": name, "version": version, "metrics": metrics, "periods": periods}
    return json.loads(json.dumps(answer | {"served": _served(found, version)}, default=str))


def _served(report: Answer | None, version: str | None) -> Any:
    """How a version does on what came; None where the last look was at another one."""
    return report["performance"] if report and reading.is_of(report, version) else None


@models_api.get("/models/{name}/drift", summary="What the last look for drift found", responses=_NO_SUCH)
def drift(settings: OfServer, name: Name) -> Answer:
    is_theirs = is_brought(settings, name)
    found = brought_report(settings, name) if is_theirs else reading.drift_report(settings, _known(settings, name))
    return found or {"model": name, "status": "unknown", "alert": False, "words": "nobody has looked yet"}


@models_api.get("/summary", summary="All models in numbers")
def summary(settings: OfServer) -> Answer:
    found = reading.cards(settings) + brought_cards(settings)
    return {
        "models": len(found),
        "in_use": sum(each["version"] is not None for each in found),
        "versions": sum(each["versions"] for each in found),
        "drifted": [each["name"] for each in found if each["drift"] == "alert"],
    }


@models_api.post(
    "/models/{name}/promote",
    summary="Put a version in use that passes its gates",
    responses=_NO_SUCH | _CONFLICT | _NOT_ALLOWED,
)
def promote(settings: OfServer, name: Name, body: PromoteBody, actor: Writer) -> Answer:
    if is_brought(settings, name):
        return promote_brought(settings, name, body.version, actor, body.reason, body.expected_seq)
    use_case = TABULAR[_known(settings, name)]
    try:
        evidence = gates(settings.models_dir, use_case, body.version)
        done = release_log(settings).promote(
            name, body.version, actor=actor, reason=body.reason, evidence=evidence["sha256"],
            expected_seq=body.expected_seq,
        )  # fmt: skip
    except (VersionUnavailableError, ReleaseConflictError) as error:
        raise HTTPException(409, f"{error}.") from None
    return reading.card(settings, name) | {"changed": done is not None}


@models_api.post(
    "/models/{name}/rollback",
    summary="Put the version before in use again",
    responses=_NO_SUCH | _CONFLICT | _NOT_ALLOWED,
)
def rollback(settings: OfServer, name: Name, body: RollbackBody, actor: Writer) -> Answer:
    if is_brought(settings, name):
        return roll_back_brought(settings, name, actor, body.reason, body.expected_seq)
    use_case, log = TABULAR[_known(settings, name)], release_log(settings)
    try:
        before = log.of(name)
        back, last = given_back(before), newest(before)
        load_version(settings.models_dir, use_case, back.version, back.evidence)
        seen = body.expected_seq if body.expected_seq is not None else last.seq if last is not None else None
        log.rollback(name, actor=actor, reason=body.reason, expected_seq=seen)
    except (VersionUnavailableError, ReleaseConflictError, NoEarlierReleaseError) as error:
        raise HTTPException(409, f"{error}.") from None
    return reading.card(settings, name) | {"changed": True}


@models_api.post(
    "/models/{name}/predict",
    summary="Predict one row, by the server of models",
    responses={200: {"description": "As that server answers", "content": {"application/json": {"schema": {}}}}}
    | _NO_SUCH | _NOT_ALLOWED | _DOWN | problem(429, "It is busy"),
)  # fmt: skip
def predict(
    settings: OfServer, name: Name, row: Annotated[dict[str, Any], Body()], actor: Writer,
    explain: Annotated[bool, Query(description="With base and contributions")] = False,
) -> Response:  # fmt: skip
    if is_brought(settings, name):
        return brought_prediction(settings, name, row)
    status, told = _asked(settings, f"/models/{_known(settings, name)}/predict", row)
    if status >= _PROBLEM:
        errors = [{"where": ["body", each["field"]], "what": each["why"]} for each in told.get("errors", [])]
        return json_response({"detail": told.get("detail", ""), "errors": errors}, status)
    if explain:
        why, found = _asked(settings, f"/models/{name}/explain", row)
        told |= {each: found[each] for each in ("base", "contributions")} if why < _PROBLEM else {}
    return json_response(told)


@models_api.post(
    "/models/{name}/outcomes",
    summary="Tell what came of a prediction; of our models the server of models takes it",
    responses=_NO_SUCH | _NOT_ALLOWED | _DOWN | problem(409, "Another outcome is known") | problem(429, "It is busy"),
)
def outcomes(settings: OfServer, name: Name, body: OutcomeBody, actor: Writer) -> Response:
    if is_brought(settings, name):
        return json_response(brought_outcome(settings, name, body.request_id, body.y))
    status, told = _asked(settings, f"/models/{_known(settings, name)}/outcomes", body.model_dump())
    return json_response(told if status < _PROBLEM else {"detail": told.get("detail", ""), "errors": []}, status)


def _asked(settings: Settings, path: str, row: dict[str, Any]) -> tuple[int, Answer]:
    """What the server of models answers, and with which status."""
    where = address(settings.host, settings.predict_port)
    token = {"authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
    try:
        answer = http_client().post(f"{where}{path}", json=row, headers=token, timeout=_ASKED_WITHIN_S)
        told: Answer = answer.json()
    except httpx.HTTPError:
        raise HTTPException(
            503, f"The server of models does not answer at {where}; `quality serve-model` starts it."
        ) from None
    except ValueError:
        raise HTTPException(502, f"What answers at {where} is no server of models.") from None
    return answer.status_code, told


@models_api.post(
    "/models/{name}/drift-check",
    summary="Look for drift now: the report, as it is kept",
    responses=_NO_SUCH | _CONFLICT | _NOT_ALLOWED | problem(429, "It is busy") | problem(503, "It took too long"),
)
def drift_check(settings: OfServer, name: Name, actor: Writer) -> Answer:
    if is_brought(settings, name):
        return brought_drift(settings, name)
    command = [sys.executable, "-m", "quality_assets.cli", "model", "drift", _known(settings, name), "--format", "json"]
    environment = {**os.environ, "QUALITY_DATA_DIR": str(settings.data_dir)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
    except subprocess.TimeoutExpired:
        raise HTTPException(503, f"It took more than {_WITHIN_S:g} seconds; try again later.") from None
    try:
        found: Answer = json.loads(done.stdout)
    except ValueError:
        words = " ".join(done.stderr.split())[-300:]
        raise HTTPException(409, words or "It could not be looked for.") from None
    return found
