"""The routes of the house: what a dashboard shows first, how its parts are, settings, channels, silences, tokens."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from quality_assets.clock import utc_now
from quality_assets.contracts.house_settings import LEAST_HOURS, MOST_HOURS
from quality_assets.domain.models.learning.release_stack import utc_naive
from quality_assets.domain.quality import health
from quality_assets.read import alerts as reading
from quality_assets.read import overview, quality
from quality_assets.serve.api.alerts import Kind, Severity
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.features import Instant, Store
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
from quality_assets.settings import Settings
from quality_assets.tables import channels as channel_rows
from quality_assets.tables import house, house_settings, silences, tokens

_BUSY = problem(503, "The operations store does not answer")
_WRITING = (
    problem(401, "The token opens nothing here")
    | problem(403, "The right to write is not shown")
    | problem(415, "What is sent is neither JSON nor a form")
    | _BUSY
)
_CONFLICT = problem(409, "It was changed meanwhile")
OfServer = Annotated[Settings, Depends(settings_of)]

house_api = APIRouter(prefix="/api/v1", responses=EVERYWHERE | ASKED | _BUSY, route_class=StrictRoute)


class OverviewAnswer(BaseModel):
    """What a dashboard shows first. What no snapshot tells yet is null."""

    data_through: str | None
    published_at: Instant | None
    features: int | None = Field(description="That have ever sent an event, as the overview page counts them")
    open_incidents: int | None
    failing_checks: int | None
    alerts: dict[str, int]
    parts: dict[str, int] = Field(description="Parts of the house by status")


class TrendDay(BaseModel):
    """One day: alerts that began and ended, and incidents that were found."""

    day: str
    alerts_opened: int
    alerts_resolved: int
    incidents_detected: int | None


class Activity(BaseModel):
    """One thing that happened."""

    at: Instant
    actor: str
    action: str
    entity: Literal["alert", "setting", "channel", "token", "silence", "dataset"]
    entity_id: str
    subject: str
    severity: str | None
    note: str | None


class PartAnswer(BaseModel):
    """How one part of the house is."""

    name: str
    kind: str
    status: Literal["ok", "warning", "failing", "unknown"]
    sentence: str
    since: Instant | None


class SystemStatus(BaseModel):
    """How the house is: the worst of its parts."""

    status: Literal["ok", "warning", "failing", "unknown"]
    parts: list[PartAnswer]


@house_api.get("/dashboard/overview", tags=["dashboard"], summary="What needs a look, in numbers")
def dashboard_overview(store: House, snapshots: Store, settings: OfServer) -> OverviewAnswer:
    reader = snapshots.reader()
    with store.read() as connection:
        counts = reading.open_counts(connection)
    found = [part.status for part in house.parts(settings)]
    return OverviewAnswer(
        data_through=str(reader.through) if reader and reader.through else None,
        published_at=reader.snapshot.published_at if reader else None,
        features=len(overview.seen_features(overview.descriptions(reader).values())) if reader else None,
        open_incidents=len(overview.open_incidents(reader)) if reader else None,
        failing_checks=health.alarms(quality.latest(reader)) if reader else None,
        alerts=counts,
        parts={status: found.count(status) for status in (house.OK, house.WARNING, house.FAILING, house.UNKNOWN)},
    )


@house_api.get("/dashboard/trends", tags=["dashboard"], summary="Day by day: alerts and incidents")
def dashboard_trends(store: House, snapshots: Store, days: Annotated[int, Query(ge=1, le=366)] = 28) -> list[TrendDay]:
    reader, today = snapshots.reader(), utc_now().date()
    with store.read() as connection:
        counted = reading.by_day(connection, today - timedelta(days=days - 1))
    detected = overview.detected_by_day(reader) if reader else {}
    found = [today - timedelta(days=n) for n in reversed(range(days))]
    return [
        TrendDay(
            day=str(day),
            alerts_opened=counted.get(day, (0, 0))[0],
            alerts_resolved=counted.get(day, (0, 0))[1],
            incidents_detected=detected.get(day, 0) if reader else None,
        )
        for day in found
    ]


@house_api.get(
    "/dashboard/recent-activity", tags=["dashboard"], summary="What happened last", response_model=list[Activity]
)
def dashboard_activity(store: House, limit: Annotated[int, Query(ge=1, le=200)] = 30) -> Response:
    with store.read() as connection:
        return json_response(reading.recent_activity(connection, limit))


@house_api.get("/dashboard/system-status", tags=["dashboard"], summary="How processes, stores and disk are")
def dashboard_status(settings: OfServer) -> SystemStatus:
    found = house.parts(settings)
    return SystemStatus(
        status=house.worst(found),
        parts=[PartAnswer.model_validate(part.as_row()) for part in found],
    )


class SettingAnswer(BaseModel):
    """One setting of the house; of version 0 while it is the default."""

    model_config = ConfigDict(extra="allow")

    key: str
    value: Any
    default: Any
    description: str
    unit: str
    version: int


class SettingBody(BaseModel):
    """The new value; null gives the default back."""

    model_config = ConfigDict(extra="forbid")

    value: JsonValue


@house_api.get("/settings", tags=["settings"], summary="Every setting of the house", response_model=list[SettingAnswer])
def list_settings(store: House) -> Response:
    with store.read() as connection:
        return json_response(house_settings.all_settings(connection))


@house_api.put(
    "/settings/{key}", tags=["settings"], summary="Set one", response_model=SettingAnswer,
    responses=_WRITING | _CONFLICT | problem(404, "There is no such setting"),
)  # fmt: skip
def put_setting(
    store: House,
    key: Annotated[str, Path(max_length=100)],
    body: SettingBody,
    actor: Administrator,
    if_match: IfMatch = None,
) -> Response:
    version = version_of(if_match)
    with store.write() as connection:
        found = {row["key"]: row for row in house_settings.all_settings(connection)}
        if key not in found:
            raise HTTPException(404, f"There is no setting {key!r}.")
        if version is not None and version != found[key]["version"]:
            raise HTTPException(409, f"It is of version {found[key]['version']} now. Read it again.")
        try:
            house_settings.change(connection, key, body.value, actor)
        except house_settings.SettingError as error:
            raise HTTPException(422, str(error)) from None
        changed = next(row for row in house_settings.all_settings(connection) if row["key"] == key)
    return json_response(changed)


class Route(BaseModel):
    """Which alerts a channel gets; what is empty says nothing."""

    model_config = ConfigDict(extra="forbid")

    severity: Severity | None = Field(None, description="At least")
    kinds: list[str] = []
    subjects: list[str] = Field([], description="Patterns, such as core.*")
    teams: list[str] = []


class ChannelBody(BaseModel):
    """A way by which people are told. `routes` null: everything."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: Annotated[str, Field(min_length=1, max_length=100)]
    address: Annotated[str, Field(max_length=2000)] = ""
    options: dict[str, JsonValue] = {}
    secret_ref: Annotated[str | None, Field(max_length=1000, description="env:NAME or file:PATH")] = None
    routes: list[Route] | None = None
    is_active: bool = True


class ChannelChange(BaseModel):
    """What is to be otherwise; the rest stays. `secret_ref` null: none; `routes` null: everything."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    address: Annotated[str, Field(max_length=2000)] | None = None
    options: dict[str, JsonValue] | None = None
    secret_ref: Annotated[str, Field(max_length=1000)] | None = None
    routes: list[Route] | None = None
    is_active: bool | None = None


class ChannelAnswer(BaseModel):
    """A channel, without any secret."""

    model_config = ConfigDict(extra="allow")

    channel_id: str
    kind: str
    name: str
    version: int


class TestAnswer(BaseModel):
    """How a test went."""

    delivered: bool
    reason: str


_NO_CHANNEL = problem(404, "No channel has this id")
ChannelId = Annotated[str, Path(max_length=120)]


@house_api.get("/channels", tags=["settings"], summary="Channels", response_model=list[ChannelAnswer])
def list_channels(store: House) -> Response:
    with store.read() as connection:
        return json_response(channel_rows.channels(connection))


@house_api.post(
    "/channels", tags=["settings"], summary="Add a channel", status_code=201, response_model=ChannelAnswer,
    responses=_WRITING,
)  # fmt: skip
def post_channel(
    http: Request, store: House, body: ChannelBody, actor: Administrator, idempotency_key: IdempotencyKey = None
) -> Response:
    given = body.model_dump(exclude_none=True)

    def act() -> tuple[int, Any]:
        with store.write() as connection:
            return 201, channel_rows.add_channel(connection, given, actor)

    try:
        return answered_once(http, store, idempotency_key, actor, body.model_dump(mode="json"), act)
    except channel_rows.ChannelError as error:
        raise HTTPException(422, f"{error}.") from None


@house_api.put(
    "/channels/{channel_id}", tags=["settings"], summary="Change a channel", response_model=ChannelAnswer,
    responses=_WRITING | _NO_CHANNEL | _CONFLICT,
)  # fmt: skip
def put_channel(
    store: House, channel_id: ChannelId, body: ChannelChange, actor: Administrator, if_match: IfMatch = None
) -> Response:
    version = version_of(if_match)
    said = body.model_dump(exclude_unset=True).items()
    given = {name: value for name, value in said if value is not None or name in ("secret_ref", "routes")}
    try:
        with store.write() as connection:
            found = channel_rows.channel(connection, channel_id)
            if version is not None and version != found["version"]:
                raise HTTPException(409, f"It is of version {found['version']} now. Read it again.")
            changed = channel_rows.change_channel(connection, channel_id, given, actor)
    except channel_rows.NoSuchChannelError as error:
        raise HTTPException(404, str(error)) from None
    except channel_rows.ChannelError as error:
        raise HTTPException(422, f"{error}.") from None
    return json_response(changed)


@house_api.delete(
    "/channels/{channel_id}", tags=["settings"], summary="Take a channel away", status_code=204,
    response_class=Response, responses=_WRITING | _NO_CHANNEL,
)  # fmt: skip
def delete_channel(store: House, channel_id: ChannelId, actor: Administrator) -> Response:
    try:
        with store.write() as connection:
            channel_rows.remove_channel(connection, channel_id, actor)
    except channel_rows.NoSuchChannelError as error:
        raise HTTPException(404, str(error)) from None
    return Response(status_code=204)


@house_api.post(
    "/channels/{channel_id}/test", tags=["settings"], summary="Send a test", responses=_WRITING | _NO_CHANNEL
)
def test_channel(store: House, settings: OfServer, channel_id: ChannelId, actor: Writer) -> TestAnswer:
    try:
        why = channel_rows.send_test(store, channel_id, settings.link_address)
    except channel_rows.NoSuchChannelError as error:
        raise HTTPException(404, str(error)) from None
    return TestAnswer(delivered=not why, reason=why)


class SilenceBody(BaseModel):
    """What nothing is told of, and for how long; what it does not say, it says of all."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    subject: Annotated[str | None, Field(max_length=200, description="A pattern, such as core.*")] = None
    fingerprint: Annotated[str | None, Field(max_length=64)] = None
    most_severity: Severity | None = None
    starts_at: datetime | None = None
    hours: Annotated[float, Field(ge=LEAST_HOURS, le=MOST_HOURS)]
    reason: Annotated[str, Field(min_length=1, max_length=1000, pattern=r"\S")]


class SilenceAnswer(BaseModel):
    """A silence."""

    silence_id: int
    kind: str | None
    subject: str | None
    fingerprint: str | None
    most_severity: str | None
    starts_at: Instant
    ends_at: Instant
    reason: str
    created_by: str


@house_api.get("/silences", tags=["settings"], summary="Silences", response_model=list[SilenceAnswer])
def list_silences(store: House) -> Response:
    with store.read() as connection:
        return json_response(reading.silences(connection, utc_now()))


@house_api.post(
    "/silences", tags=["settings"], summary="Tell nothing for a while", status_code=201, response_model=SilenceAnswer,
    responses=_WRITING,
)  # fmt: skip
def post_silence(
    http: Request, store: House, body: SilenceBody, actor: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    given, now = body.model_dump(exclude={"hours", "starts_at", "reason"}), utc_now()

    def act() -> tuple[int, Any]:
        with store.write() as connection:
            return 201, silences.add_silence(
                connection, given, hours=body.hours, reason=body.reason, actor=actor, now=now, starts_at=starts
            )

    try:
        starts = utc_naive(body.starts_at) if body.starts_at else None
        return answered_once(http, store, idempotency_key, actor, body.model_dump(mode="json"), act)
    except OverflowError:
        raise HTTPException(422, "starts_at: that is no time that a calendar has.") from None
    except silences.SilenceError as error:
        raise HTTPException(422, f"{error}.") from None


@house_api.delete(
    "/silences/{silence_id}", tags=["settings"], summary="End a silence", status_code=204, response_class=Response,
    responses=_WRITING | problem(404, "There is no such silence in force"),
)  # fmt: skip
def delete_silence(store: House, silence_id: Annotated[int, Path(ge=1, le=2**31 - 1)], actor: Writer) -> Response:
    with store.write() as connection:
        was_in_force = silences.end_silence(connection, silence_id, actor, utc_now())
    if not was_in_force:
        raise HTTPException(404, f"There is no silence {silence_id} in force.")
    return Response(status_code=204)


class TokenBody(BaseModel):
    """A token for a script or a person."""

    model_config = ConfigDict(extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100, pattern=r"\S")]
    scopes: list[Literal["read", "write", "admin"]] = ["read"]
    days: Annotated[float | None, Field(gt=0, le=3650)] = None


class TokenAnswer(BaseModel):
    """A token without itself."""

    model_config = ConfigDict(extra="allow")

    token_id: str
    name: str
    scopes: list[str]


class NewToken(TokenAnswer):
    """A token, told this once."""

    token: str


@house_api.get("/tokens", tags=["settings"], summary="Tokens, without themselves", response_model=list[TokenAnswer])
def list_tokens(store: House) -> Response:
    with store.read() as connection:
        return json_response(tokens.tokens(connection))


@house_api.post(
    "/tokens", tags=["settings"], summary="Make a token, which is told once", status_code=201, response_model=NewToken,
    responses=_WRITING,
)  # fmt: skip
def post_token(store: House, body: TokenBody, actor: Administrator) -> Response:
    try:
        with store.write() as connection:
            token, row = tokens.create_token(connection, body.name, body.scopes, actor, days=body.days)
    except tokens.TokenError as error:
        raise HTTPException(422, f"{error}.") from None
    return json_response(row | {"token": token}, 201)


@house_api.delete(
    "/tokens/{token_id}", tags=["settings"], summary="Revoke a token", status_code=204, response_class=Response,
    responses=_WRITING | problem(404, "There is no such token in force"),
)  # fmt: skip
def delete_token(store: House, token_id: Annotated[str, Path(max_length=64)], actor: Administrator) -> Response:
    try:
        with store.write() as connection:
            tokens.revoke_token(connection, token_id, actor)
    except tokens.TokenError as error:
        raise HTTPException(404, str(error)) from None
    return Response(status_code=204)
