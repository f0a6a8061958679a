"""The REST API: what the pages show, for scripts and other tools. Read-only; the same queries as the pages."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi import Request as HttpRequest
from pydantic import BaseModel, BeforeValidator, Field

from quality_assets.read import feature as feature_queries
from quality_assets.read import links, quality
from quality_assets.read import overview as overview_queries
from quality_assets.read import rows as exports
from quality_assets.read.links import Request
from quality_assets.read.reader import Reader, SnapshotStore

Window = Annotated[
    Literal[7, 28, 90], BeforeValidator(int), Query(description="How many days, ending with the last day with events")
]


class Attempt(BaseModel):
    """How the last publication went."""

    status: Literal["published", "refused"]
    attempted_at: datetime
    since: datetime = Field(description="Beginning of an unbroken row of refusals")
    run_id: str
    reasons: list[str]


class SnapshotAnswer(BaseModel):
    """The snapshot in force. Times are UTC."""

    version: str
    published_at: datetime
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


def _json(rows: Any) -> Response:
    # orjson straight away: FastAPI would walk every row again to validate what DuckDB has typed already.
    return Response(orjson.dumps(rows, default=str, option=orjson.OPT_NAIVE_UTC), media_type="application/json")


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

api = APIRouter(prefix="/api/v1")


def _request(days: int, **query: str | None) -> Request:
    return Request("/", {"window": f"{days}d"} | {k: v for k, v in query.items() if v is not None})


def _known(reader: Reader, feature: str) -> str:
    if feature not in overview_queries.descriptions(reader):
        raise HTTPException(404, f"No feature is called {feature!r}.")
    return feature


@api.get("/token", tags=["snapshot"], summary="What to compare to see that there is news")
def token(store: Store) -> TokenAnswer:
    return TokenAnswer(token=store.token())


@api.get("/snapshot", tags=["snapshot"], summary="The snapshot in force and the last publication")
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


@api.get("/features", tags=["features"], summary="Every feature: status, risk, metrics, use")
def features(reader: Open, window: Window = 28) -> Response:
    return _json(exports.features(reader, _request(window)))


@api.get("/trends", tags=["features"], summary="One feature's metrics, day by day, with expected bands")
def trends(reader: Open, feature: str, window: Window = 28) -> Response:
    return _json(exports.trends(reader, _request(window, feature=_known(reader, feature))))


@api.get("/incidents", tags=["features"], summary="Open incidents, or all of one feature")
def incidents(reader: Open, feature: str | None = None) -> Response:
    if feature is None:
        return _json(overview_queries.open_incidents(reader))
    return _json(feature_queries.incidents(reader, _known(reader, feature)))


@api.get("/checks", tags=["quality"], summary="The result that stands for each check")
def checks(reader: Open) -> Response:
    return _json(quality.latest(reader))


@api.get("/tables/{name}.csv", tags=["tables"], summary=f"A table as CSV: {', '.join(exports.TABLES)}")
def table(reader: Open, http: HttpRequest, name: str) -> Response:
    if name not in exports.TABLES:
        raise HTTPException(404, f"No table is called {name!r}; there are {', '.join(exports.TABLES)}.")
    asked = Request("/", dict(http.query_params))
    text = exports.to_csv(exports.TABLES[name](reader, asked), exports.COLUMNS[name])
    file_name = f"{name}-{reader.snapshot.version}.csv"
    headers = {"content-disposition": f'attachment; filename="{file_name}"'}
    return Response(text, media_type="text/csv; charset=utf-8", headers=headers)
