"""Online features by HTTP: of a user, one of them, of many users."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from quality_assets.domain.live.event_rows import instant_us
from quality_assets.serve.collector.access import Access, DeniedError
from quality_assets.serve.collector.core import Core
from quality_assets.serve.collector.today import instant
from quality_assets.stores.live.live_store import Answer

_MOST_USERS = 1000
_MOST_CHARACTERS = 255


class FeatureBatch(BaseModel):
    """Users whose features are asked for, and which of them; all where none are named."""

    users: list[str] = Field(max_length=_MOST_USERS, description="Users")
    features: list[str] | None = Field(None, description="Names of features; all where not given")
    version: int = Field(1, description="Version of the features")


def require_reader(access: Access, request: Request) -> None:
    """Raise 401 unless the request shows what readers show."""
    try:
        access.check_reader(request.headers.get("authorization"))
    except DeniedError as denied:
        raise HTTPException(401, str(denied), {"WWW-Authenticate": "Bearer"}) from None


def online_routes(core: Core, access: Access) -> APIRouter:
    """The routes."""
    routes = APIRouter(tags=["features"])
    read = partial(_read, core)

    @routes.post("/features/batch")
    async def features_of_users(request: Request, asked: FeatureBatch) -> dict[str, Any]:
        """Features of several users, in the order of the question."""
        require_reader(access, request)
        _check_names(core, asked.features, asked.version)
        answers = [read(user, asked.version, None) for user in asked.users]
        return {"version": asked.version, "users": [_shown(answer, asked.features) for answer in answers]}

    @routes.get("/features/{user}")
    async def features_of_user(
        request: Request, user: str, version: int = 1, as_of: str | None = None
    ) -> dict[str, Any]:
        """All features of a user. A user who was never seen has the features of one without events."""
        require_reader(access, request)
        return _shown(read(user, version, as_of), None)

    @routes.get("/features/{user}/{feature}")
    async def feature_of_user(
        request: Request, user: str, feature: str, version: int = 1, as_of: str | None = None
    ) -> dict[str, Any]:
        """One feature of a user."""
        require_reader(access, request)
        answer = read(user, version, as_of)
        _check_names(core, [feature], version)
        shown = _shown(answer, [feature])
        return {
            "user_id": user,
            "feature": feature,
            **shown["features"][feature],
            "version": version,
            "known_until": shown["known_until"],
        }

    _segments_route(routes, core, access)
    return routes


def _read(core: Core, user: str, version: int, as_of: str | None) -> Answer:
    """The features of a user, now or as they were at an instant that is past."""
    _check_user(user)
    if version not in core.features.versions:
        raise HTTPException(404, f"There is no version {version}; there are {list(core.features.versions)}.")
    now_us = time.time_ns() // 1000
    as_of_us = now_us if as_of is None else _instant(as_of, now_us)
    started = time.perf_counter()
    answer = core.store.read(user, version, as_of_us, may_be_cached=as_of is None)
    has_cache = as_of is None and core.settings.redis_url is not None and core.settings.live_url is not None
    core.measures.read(answer, time.perf_counter() - started, has_cache=has_cache)
    if as_of is None and not answer.is_cached:
        core.processor.served(answer)
    return answer


def _segments_route(routes: APIRouter, core: Core, access: Access) -> None:
    @routes.get("/segments/{user}")
    async def segments_of_user(request: Request, user: str) -> dict[str, Any]:
        """Which segments a user is in just now."""
        require_reader(access, request)
        _check_user(user)
        now_us = time.time_ns() // 1000
        found = core.store.segments(user, now_us)
        computed_at = instant(now_us)
        return {
            "user_id": user,
            "known_until": instant(core.store.known_us),
            "segments": {name: {"value": is_in, "computed_at": computed_at} for name, is_in in found.items()},
        }


def _check_user(user: str) -> None:
    if not user or len(user) > _MOST_CHARACTERS or "\0" in user:
        raise HTTPException(422, f"A user is named by 1 to {_MOST_CHARACTERS} characters.")


def _check_names(core: Core, names: list[str] | None, version: int) -> None:
    if version not in core.features.versions:
        raise HTTPException(404, f"There is no version {version}; there are {list(core.features.versions)}.")
    known = [feature.name for feature in core.features.view(version)]
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise HTTPException(404, f"There is no feature {', '.join(unknown)}; there are {', '.join(known)}.")


def _instant(text: str, now_us: int) -> int:
    found = instant_us(text.replace(" ", "+"))
    if found is None or not 0 <= found <= now_us:
        raise HTTPException(422, "as_of is an instant of the past in ISO 8601 with an offset, as 2026-01-31T12:00:00Z.")
    return found


def _shown(answer: Answer, names: list[str] | None) -> dict[str, Any]:
    computed_at = instant(answer.as_of_us)
    wanted = answer.values if names is None else {name: answer.values[name] for name in names}
    return {
        "user_id": answer.user_id,
        "version": answer.version,
        "known_until": instant(answer.known_us),
        "features": {name: {"value": value, "computed_at": computed_at} for name, value in wanted.items()},
    }
