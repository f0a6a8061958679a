"""The REST API: what the pages show, for scripts and other tools. Read-only; the same queries as the pages."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi import Request as HttpRequest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from quality_assets.read import feature as feature_queries
from quality_assets.read import links, quality
from quality_assets.read import overview as overview_queries
from quality_assets.read import rows as exports
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore
from quality_assets.read.token import page_token
from quality_assets.serve.api.answers import (
    ASKED,
    EVERYWHERE,
    NO_SNAPSHOT,
    RowsAnswer,
    json_rows,
    problem,
    rows_of,
)

# As the addresses of pages have it too: 7d.
_WINDOWS = {f"{days}{unit}": days for days in links.WINDOWS for unit in ("", "d")}
Window = Annotated[
    Literal[7, 28, 90],
    BeforeValidator(lambda given: _WINDOWS.get(str(given), given)),
    Query(description="How many days, ending with the last day with events"),
]
OfSlice = Annotated[str | None, Query(description="Of slices: those within this one")]
# Instants in data are UTC without zone; what leaves says so.
Instant = Annotated[datetime, AfterValidator(lambda given: given.replace(tzinfo=given.tzinfo or UTC))]


class Attempt(BaseModel):
    """How the last publication went."""

    status: Literal["published", "refused"]
    attempted_at: Instant
    since: Instant = Field(description="Beginning of an unbroken row of refusals")
    run_id: str
    reasons: list[str]


class SnapshotAnswer(BaseModel):
    """The snapshot in force."""

    version: str
    published_at: Instant
    data_through: date | None
    run_id: str
    data_fingerprint: str
    last_attempt: Attempt | None


class TokenAnswer(BaseModel):
    """Changes whenever a page would have to say something else."""

    token: str


class SearchEntry(BaseModel):
    """One feature that can be jumped to."""

    name: str
    team: str
    href: str


def _store(http: HttpRequest) -> SnapshotStore:
    store: SnapshotStore = http.app.state.store
    return store


def _reader(store: Annotated[SnapshotStore, Depends(_store)]) -> Reader:
    reader = store.reader()
    if reader is None:
        raise HTTPException(503, "No snapshot is published yet: run `quality run` once.")
    return reader


Store = Annotated[SnapshotStore, Depends(_store)]
Open = Annotated[Reader, Depends(_reader)]

_NO_FEATURE = problem(404, "No feature has this name")

api = APIRouter(prefix="/api/v1", responses=EVERYWHERE)


class _Csv(Response):
    media_type = "text/csv"


def _request(days: int, **query: str | None) -> Request:
    return Request("/", {"window": f"{days}d"} | {k: v for k, v in query.items() if v is not None})


def _known(reader: Reader, feature: str) -> str:
    if feature not in overview_queries.descriptions(reader):
        raise HTTPException(404, f"No feature is called {feature!r}.")
    return feature


@api.get("/token", tags=["snapshot"], summary="What to compare to see that there is news")
def token(http: HttpRequest, store: Store) -> TokenAnswer:
    return TokenAnswer(token=page_token(store, http.app.state.settings))


@api.get(
    "/snapshot", tags=["snapshot"], summary="The snapshot in force and the last publication", responses=NO_SNAPSHOT
)
def snapshot(reader: Open, store: Store) -> SnapshotAnswer:
    shown, attempt = reader.snapshot, store.attempt()
    return SnapshotAnswer(
        version=shown.version,
        published_at=shown.published_at,
        data_through=shown.data_through,
        run_id=shown.run_id,
        data_fingerprint=shown.data_fingerprint,
        last_attempt=Attempt.model_validate(vars(attempt) | {"reasons": list(attempt.reasons)}) if attempt else None,
    )


@api.get("/search", tags=["features"], summary="Names of all features")
def search(store: Store) -> list[SearchEntry]:
    found = store.reader()
    described = overview_queries.descriptions(found) if found else {}
    return [
        SearchEntry(name=row["display_name"], team=row["team"] or "", href=links.feature(name))
        for name, row in described.items()
    ]


@api.get(
    "/features",
    tags=["features"],
    summary="Every feature: status, risk, metrics, use",
    response_class=RowsAnswer,
    responses=rows_of("features") | NO_SNAPSHOT | ASKED,
)
def features(reader: Open, window: Window = 28) -> Response:
    return json_rows(exports.features(reader, _request(window)))


@api.get(
    "/trends",
    tags=["features"],
    summary="One feature's metrics, day by day, with expected bands",
    response_class=RowsAnswer,
    responses=rows_of("trends") | _NO_FEATURE | NO_SNAPSHOT | ASKED,
)
def trends(reader: Open, feature: str, window: Window = 28) -> Response:
    return json_rows(exports.trends(reader, _request(window, feature=_known(reader, feature))))


@api.get(
    "/risk",
    tags=["features"],
    summary="One feature's risk, day by day, beside what then came",
    response_class=RowsAnswer,
    responses=rows_of("risk_past") | _NO_FEATURE | NO_SNAPSHOT | ASKED,
)
def risk(reader: Open, feature: str) -> Response:
    return json_rows(exports.risk_past(reader, _request(28, feature=_known(reader, feature))))


@api.get(
    "/incidents",
    tags=["features"],
    summary="Open incidents, or all of one feature",
    response_class=RowsAnswer,
    responses=rows_of("incidents") | _NO_FEATURE | NO_SNAPSHOT | ASKED,
)
def incidents(reader: Open, feature: str | None = None) -> Response:
    if feature is None:
        return json_rows(overview_queries.open_incidents(reader))
    return json_rows(feature_queries.incidents(reader, _known(reader, feature)))


@api.get(
    "/checks",
    tags=["quality"],
    summary="The result that stands for each check",
    response_class=RowsAnswer,
    responses=rows_of("checks") | NO_SNAPSHOT,
)
def checks(reader: Open) -> Response:
    return json_rows(quality.latest(reader))


@api.get(
    "/tables/{name}.csv",
    tags=["tables"],
    summary=f"A table as CSV: {', '.join(exports.TABLES)}",
    response_class=_Csv,
    responses=problem(404, "No table has this name") | NO_SNAPSHOT | ASKED,
)
def table(
    reader: Open,
    name: Annotated[str, Path(json_schema_extra={"enum": list(exports.TABLES)})],
    window: Window = 28,
    feature: Annotated[str | None, Query(description="Of tables of one feature: which")] = None,
    version: Annotated[str | None, Query(description="Of tables of one model: which; the champion else")] = None,
    reason: Annotated[str | None, Query(description="Of quarantined rows: those with this reason")] = None,
    experiment: Annotated[str | None, Query(description="Of tables of one experiment: which")] = None,
    named: Annotated[str | None, Query(description="Of a funnel or a segment: which")] = None,
    kind: Annotated[str | None, Query(description="Of retention: what counts as a return; all else")] = None,
    platform: OfSlice = None,
    app_version: OfSlice = None,
    country: OfSlice = None,
) -> Response:
    if name not in exports.TABLES:
        raise HTTPException(404, f"No table is called {name!r}; there are {', '.join(exports.TABLES)}.")
    of_slice = {"platform": platform, "app_version": app_version, "country": country}
    asked = _request(
        window,
        feature=feature,
        version=version,
        reason=reason,
        experiment=experiment,
        named=named,
        kind=kind,
        **of_slice,
    )
    text = exports.to_csv(exports.TABLES[name](reader, asked), exports.COLUMNS[name])
    file_name = f"{name}-{reader.snapshot.version}.csv"
    headers = {"content-disposition": f'attachment; filename="{file_name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
