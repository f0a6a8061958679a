"""The routes of alerts: lists, one with its life, what people do to it, in bulk, and the summary."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, JsonValue

from quality_assets.clock import utc_now
from quality_assets.contracts.house_settings import LEAST_HOURS, MOST_HOURS
from quality_assets.domain.models.learning.release_stack import utc_naive
from quality_assets.domain.quality.alerting import KINDS, AlertError, Fault, Resolution
from quality_assets.read import alerts as reading
from quality_assets.serve.api.answers import ASKED, EVERYWHERE, problem
from quality_assets.serve.api.features import Instant
from quality_assets.serve.api.problems import Problem, StrictRoute
from quality_assets.serve.api.writing import (
    House,
    IdempotencyKey,
    IfMatch,
    Writer,
    answered_once,
    json_response,
    version_of,
)
from quality_assets.tables.alerts import AlertBook, ChangedMeanwhileError, NoSuchAlertError

Severity = Literal["low", "medium", "high", "critical"]
Status = Literal["open", "acknowledged", "resolved"]
_LARGEST = 2**63 - 1
_MOST_IN_BULK = 200


def _of_kinds(given: str) -> str:
    if given not in KINDS:
        raise ValueError(f"{given!r} is none of {', '.join(KINDS)}")
    return given


Kind = Annotated[str, AfterValidator(_of_kinds), Field(json_schema_extra={"enum": [*KINDS]})]


def _each(given: object) -> object:
    """Both `status=open&status=acknowledged` and `status=open,acknowledged`."""
    if not isinstance(given, list):
        return given
    return [part for each in given for part in (each.split(",") if isinstance(each, str) else [each])]


class AlertAnswer(BaseModel):
    """One alert as it stands."""

    model_config = ConfigDict(extra="allow")

    alert_id: str
    fingerprint: str
    group_id: str
    kind: str
    subject: str
    check_name: str
    column_name: str
    title: str
    message: str
    severity: Severity
    status: Status
    occurrences: int
    first_seen: Instant
    last_seen: Instant
    assignee: str | None
    resolution: str | None
    version: int


class AlertList(BaseModel):
    """Alerts, the one last seen first, and the cursor of those that follow."""

    alerts: list[AlertAnswer]
    next_cursor: str | None


class Conflict(BaseModel):
    """Why it was not done, and how the alert stands now."""

    detail: str
    present: AlertAnswer | None = None


class RaisedAnswer(BaseModel):
    """What became of a fault."""

    alert_id: str
    action: Literal["opened", "seen", "worse", "milder", "reopened", "taught"]
    alert: AlertAnswer


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


_Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]
_Text = Annotated[str, Field(max_length=4000)]
_Figure = Annotated[float | None, Field(allow_inf_nan=False)]


class RaiseBody(_Body):
    """A fault that somebody, or another program, tells of."""

    subject: _Name
    title: Annotated[str, Field(min_length=1, max_length=300, pattern=r"\S")]
    message: _Text = ""
    severity: Severity = "medium"
    check_name: Annotated[str, Field(max_length=200)] = ""
    column_name: Annotated[str, Field(max_length=200)] = ""
    action: _Text = ""
    owner: Annotated[str, Field(max_length=200)] = ""
    group: Annotated[str, Field(max_length=200)] = ""
    observed: _Figure = None
    expected: _Figure = None
    threshold: _Figure = None
    n: Annotated[int | None, Field(ge=0, le=_LARGEST)] = None
    users: Annotated[int | None, Field(ge=0, le=_LARGEST)] = None
    evidence: dict[str, JsonValue] = {}


class NoteBody(_Body):
    """What somebody says with what they do."""

    note: _Text = ""


class ResolveBody(NoteBody):
    """How it is over. `expected` and `false_alarm` teach: a dataset's rule is quiet from then on, and what checks,
    incidents and drift find unless it gets worse.
    """

    resolution: Resolution = "fixed"


class SnoozeBody(NoteBody):
    """Until when, or for how many hours, nothing is told."""

    until: datetime | None = None
    hours: Annotated[float | None, Field(ge=LEAST_HOURS, le=MOST_HOURS)] = None


class AssignBody(NoteBody):
    """Whose it is; null: nobody's."""

    assignee: Annotated[str | None, Field(max_length=200)]


class RemarkBody(_Body):
    """What is to be said."""

    note: Annotated[str, Field(min_length=1, max_length=4000, pattern=r"\S")]


class BulkBody(NoteBody):
    """One thing done to many alerts."""

    alert_ids: Annotated[list[str], Field(min_length=1, max_length=_MOST_IN_BULK)]
    action: Literal["acknowledge", "resolve", "snooze"]
    resolution: Resolution = "fixed"
    hours: Annotated[float, Field(ge=LEAST_HOURS, le=MOST_HOURS)] = 24


class BulkOutcome(BaseModel):
    """What became of one alert of many."""

    alert_id: str
    done: bool
    detail: str


class BulkAnswer(BaseModel):
    """What became of each."""

    outcomes: list[BulkOutcome]


_WRITING = (
    problem(401, "The token opens nothing here")
    | problem(403, "The right to write is not shown")
    | problem(415, "What is sent is neither JSON nor a form")
    | problem(422, "What is sent cannot be done; each thing that is wrong is named")
    | problem(503, "The operations store does not answer")
)
_OF_ONE = problem(404, "No alert has this id") | {
    409: {"model": Conflict, "description": "It was changed meanwhile, or cannot be done as it stands"}
}
_READING: dict[int | str, dict[str, Any]] = {422: {"model": Problem, "description": "What is asked makes no sense"}}

_LISTING = _READING | problem(404, "The cursor was not given out here")

alerts_api = APIRouter(
    prefix="/api/v1/alerts",
    tags=["alerts"],
    responses=EVERYWHERE | ASKED | problem(503, "The operations store does not answer"),
    route_class=StrictRoute,
)
AlertId = Annotated[str, Path(max_length=64)]


@alerts_api.get("", summary="Alerts, the one last seen first", response_model=AlertList, responses=_LISTING)
def list_alerts(
    store: House,
    status: Annotated[
        list[Status], BeforeValidator(_each), Query(description="Any of these; all where not given")
    ] = [],  # noqa: B006
    severity: Annotated[list[Severity], BeforeValidator(_each), Query()] = [],  # noqa: B006
    kind: Annotated[list[Kind], BeforeValidator(_each), Query(description="Any of these")] = [],  # noqa: B006
    subject: Annotated[str | None, Query(description="Exactly this table, feature, dataset or run")] = None,
    assignee: str | None = None,
    q: Annotated[str | None, Query(max_length=200, description="Words of title, message, subject or check")] = None,
    cursor: str | None = None,
    limit: Annotated[int, Query(ge=1, le=reading.MOST_ROWS)] = 50,
) -> Response:
    asked = reading.Asked(status, severity, kind, subject, assignee, q)
    try:
        with store.read() as connection:
            rows, following = reading.listed(connection, asked, limit=limit, cursor=cursor)
    except reading.CursorError as error:
        raise HTTPException(404, str(error)) from None
    return json_response({"alerts": rows, "next_cursor": following})


@alerts_api.get("/summary", summary="Open by severity, how fast people answer, each rule's record")
def alerts_summary(store: House) -> dict[str, Any]:
    with store.read() as connection:
        return reading.summary(connection, utc_now())


@alerts_api.post(
    "", summary="Tell of a fault", status_code=201, response_model=RaisedAnswer,
    responses=_WRITING | {200: {"model": RaisedAnswer, "description": "The fault has a live alert already"}},
)  # fmt: skip
def raise_alert(
    http: Request, store: House, body: RaiseBody, actor: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    def act() -> tuple[int, Any]:
        given = body.model_dump()
        with store.write() as connection:
            given["message"] = body.message or body.title
            raised = AlertBook(store).raise_fault(Fault(kind="manual", **given), actor=actor)
            alert = reading.one(connection, raised.alert_id)
        status = 201 if raised.action == "opened" else 200
        return status, {"alert_id": raised.alert_id, "action": raised.action, "alert": alert}

    return answered_once(http, store, idempotency_key, actor, body.model_dump(mode="json"), act)


@alerts_api.post("/bulk", summary="Acknowledge, resolve or snooze many", response_model=BulkAnswer, responses=_WRITING)
def bulk(
    http: Request, store: House, body: BulkBody, actor: Writer, idempotency_key: IdempotencyKey = None
) -> Response:
    book, until = AlertBook(store), utc_now() + timedelta(hours=body.hours)

    def one(alert_id: str) -> dict[str, Any]:
        try:
            if body.action == "acknowledge":
                book.acknowledge(alert_id, actor, note=body.note)
            elif body.action == "resolve":
                book.resolve(alert_id, actor, body.resolution, note=body.note)
            else:
                book.snooze(alert_id, actor, until, note=body.note)
        except (AlertError, NoSuchAlertError) as error:
            return {"alert_id": alert_id, "done": False, "detail": str(error)}
        return {"alert_id": alert_id, "done": True, "detail": ""}

    def act() -> tuple[int, Any]:
        with store.write():
            return 200, {"outcomes": [one(alert_id) for alert_id in dict.fromkeys(body.alert_ids)]}

    return answered_once(http, store, idempotency_key, actor, body.model_dump(mode="json"), act)


@alerts_api.get(
    "/{alert_id}", summary="One alert with its life", response_model=AlertAnswer,
    responses=problem(404, "No alert has this id") | _READING,
)  # fmt: skip
def show_alert(store: House, alert_id: AlertId) -> Response:
    with store.read() as connection:
        found = reading.one(connection, alert_id)
    if found is None:
        raise HTTPException(404, f"No alert has the id {alert_id!r}.")
    return json_response(found)


def _done(
    http: Request, store: House, alert_id: str, key: str | None, actor: str, body: BaseModel, act: Any
) -> Response:
    """The alert as it stands after `act`; 404, 409 or 422 where that cannot be."""
    try:
        return answered_once(http, store, key, actor, body.model_dump(mode="json"), lambda: (200, act()))
    except NoSuchAlertError as error:
        raise HTTPException(404, str(error)) from None
    except ChangedMeanwhileError as error:
        return json_response({"detail": str(error), "present": error.present}, 409)
    except AlertError as error:
        with store.read() as connection:
            present = reading.one(connection, alert_id)
        return json_response({"detail": str(error), "present": present}, 409)


@alerts_api.post(
    "/{alert_id}/acknowledge", summary="Somebody has it", response_model=AlertAnswer, responses=_WRITING | _OF_ONE
)
def acknowledge(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: NoteBody | None = None,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    said, version = body or NoteBody(), version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, said,
        lambda: AlertBook(store).acknowledge(alert_id, actor, note=said.note, version=version),
    )  # fmt: skip


@alerts_api.post("/{alert_id}/resolve", summary="It is over", response_model=AlertAnswer, responses=_WRITING | _OF_ONE)
def resolve(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: ResolveBody | None = None,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    said, version = body or ResolveBody(), version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, said,
        lambda: AlertBook(store).resolve(alert_id, actor, said.resolution, note=said.note, version=version),
    )  # fmt: skip


@alerts_api.post(
    "/{alert_id}/reopen", summary="It is not over after all", response_model=AlertAnswer, responses=_WRITING | _OF_ONE
)
def reopen(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: NoteBody | None = None,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    said, version = body or NoteBody(), version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, said,
        lambda: AlertBook(store).reopen(alert_id, actor, note=said.note, version=version),
    )  # fmt: skip


@alerts_api.post(
    "/{alert_id}/snooze", summary="Tell nothing of it until then", response_model=AlertAnswer,
    responses=_WRITING | _OF_ONE,
)  # fmt: skip
def snooze(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: SnoozeBody,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    until, version = _until(body), version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, body,
        lambda: AlertBook(store).snooze(alert_id, actor, until, note=body.note, version=version),
    )  # fmt: skip


def _until(body: SnoozeBody) -> datetime:
    if (body.until is None) == (body.hours is None):
        raise HTTPException(422, "Give either `until`, a time, or `hours`.")
    if body.hours is not None:
        return utc_now() + timedelta(hours=body.hours)
    assert body.until is not None
    try:
        until = utc_naive(body.until)
    except OverflowError:
        raise HTTPException(422, "until: that is no time that a calendar has.") from None
    if not utc_now() < until <= utc_now() + timedelta(hours=MOST_HOURS):
        raise HTTPException(422, "until: a time to come, within a year.")
    return until


@alerts_api.post("/{alert_id}/assign", summary="Whose it is", response_model=AlertAnswer, responses=_WRITING | _OF_ONE)
def assign(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: AssignBody,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    version = version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, body,
        lambda: AlertBook(store).assign(alert_id, actor, body.assignee, note=body.note, version=version),
    )  # fmt: skip


@alerts_api.post(
    "/{alert_id}/note", summary="Say something about it", response_model=AlertAnswer, responses=_WRITING | _OF_ONE
)
def note(
    http: Request,
    store: House,
    alert_id: AlertId,
    actor: Writer,
    body: RemarkBody,
    if_match: IfMatch = None,
    idempotency_key: IdempotencyKey = None,
) -> Response:
    version = version_of(if_match)
    return _done(
        http, store, alert_id, idempotency_key, actor, body,
        lambda: AlertBook(store).note(alert_id, actor, body.note, version=version),
    )  # fmt: skip
