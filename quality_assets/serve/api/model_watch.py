"""The routes by which models are watched: limits of drift with what others would have told, shadows, the canary."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field

from quality_assets.domain.models.learning.known_use_cases import TABULAR
from quality_assets.domain.models.learning.tabular import TabularUseCase
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.models import Name, OfServer
from quality_assets.serve.api.writing import Writer
from quality_assets.settings import Settings
from quality_assets.stores.canaries import end_canary, start_canary
from quality_assets.stores.released import VersionUnavailableError
from quality_assets.stores.shadows import start_shadow, stop_shadow
from quality_assets.tables import brought_models, drift_limits
from quality_assets.tables.shadow_verdicts import canary_verdict, verdicts

_WRITES = problem(401, "The token opens nothing") | problem(403, "Writing is not allowed") | problem(415, "Not JSON")
_CANNOT = problem(409, "The version cannot be used so")
_NO_SUCH = problem(404, "No model has this name")
Answer = dict[str, Any]

model_watch_api = APIRouter(prefix="/api/v1/model-monitoring", tags=["models"], responses=EVERYWHERE | ASKED)


class LimitsBody(BaseModel):
    """When drift of a model is told; what is left out stays as it is."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    false_share: float | None = Field(None, ge=0.001, le=0.5, description="Of what is told, how much may be false")
    least_distance: float | None = Field(None, ge=0, le=1, description="The smallest distance that matters")


def _known(settings: Settings, name: str) -> str:
    if name not in brought_models.OURS and not brought_models.is_brought(settings, name):
        known = ", ".join((*brought_models.OURS, *brought_models.names(settings)))
        raise HTTPException(404, f"There is no model of this name; there are: {known}.")
    return name


@model_watch_api.get(
    "/models/{name}/limits",
    summary="When its drift is told, and what that and other limits would have told in the last 30 days",
    responses=_NO_SUCH,
)
def limits(settings: OfServer, name: Name) -> Answer:
    return drift_limits.tried(settings, _known(settings, name))


@model_watch_api.put(
    "/models/{name}/limits",
    summary="Set when its drift is told; the answer says what that would have told",
    responses=_NO_SUCH | _WRITES,
)
def set_limits(settings: OfServer, name: Name, body: LimitsBody, actor: Writer) -> Answer:
    drift_limits.set_limits(settings, _known(settings, name), body.model_dump(), actor)
    return drift_limits.tried(settings, name)


class ShadowBody(BaseModel):
    """Which version is asked beside the one in use, or no longer."""

    model_config = ConfigDict(strict=True, extra="forbid")

    version: str = Field(min_length=1, max_length=40)
    action: Literal["start", "stop"] = "start"


class CanaryBody(BaseModel):
    """Which version answers which share of the keys; with action stop the canary answers no longer."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    version: str | None = Field(None, min_length=1, max_length=40, description="Needed to start one")
    share: float = Field(0.1, gt=0, le=1, description="Of the keys")
    action: Literal["start", "stop"] = "start"
    reason: str = Field("by hand", max_length=500)


def _ours(name: str) -> TabularUseCase:
    if name not in TABULAR:
        raise HTTPException(404, f"There is no model of this name that is served; there are: {', '.join(TABULAR)}.")
    return TABULAR[name]


def _beside(settings: Settings, name: str) -> Answer:
    return {"model": name, "shadows": verdicts(settings, name), "canary": canary_verdict(settings, name)}


@model_watch_api.get(
    "/models/{name}/shadow",
    summary="Which versions are asked beside the one in use, or for some keys, and the verdict on each",
    responses=_NO_SUCH,
)
def beside(settings: OfServer, name: Name) -> Answer:
    return _beside(settings, _ours(name).name)


@model_watch_api.post(
    "/models/{name}/shadow",
    summary="Ask a version beside the one in use, or no longer",
    responses=_NO_SUCH | _CANNOT | _WRITES,
)
def shadow(settings: OfServer, name: Name, body: ShadowBody, actor: Writer) -> Answer:
    use_case = _ours(name)
    try:
        if body.action == "start":
            start_shadow(settings.models_dir, use_case, body.version)
        elif not stop_shadow(settings.models_dir, name, body.version):
            raise VersionUnavailableError(f"version {body.version} of {name} is no shadow")
    except VersionUnavailableError as error:
        raise HTTPException(409, f"{error}.") from None
    return _beside(settings, name)


@model_watch_api.post(
    "/models/{name}/canary",
    summary="Have a version answer a share of the keys, or no longer",
    responses=_NO_SUCH | _CANNOT | _WRITES,
)
def canary(settings: OfServer, name: Name, body: CanaryBody, actor: Writer) -> Answer:
    use_case = _ours(name)
    try:
        if body.action == "stop":
            if end_canary(settings, name, actor=actor, reason=body.reason) is None:
                raise VersionUnavailableError(f"no version of {name} is a canary")
        elif body.version is None:
            raise HTTPException(422, "version: say which version is to answer.")
        else:
            start_canary(settings, use_case, body.version, body.share, actor=actor, reason=body.reason)
    except VersionUnavailableError as error:
        raise HTTPException(409, f"{error}.") from None
    return _beside(settings, name)
