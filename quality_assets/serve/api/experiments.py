"""The routes of experiments: all of them, one with its health and results, lift of features, deliveries."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, HTTPException, Path, Query, Response

from quality_assets.read import experiments as queries
from quality_assets.read.rows import COLUMNS
from quality_assets.serve.api.features import EVERYWHERE, Answers, Open, problem

experiments_api = APIRouter(prefix="/api/v1", responses=EVERYWHERE, tags=["impact"])
_NO_SNAPSHOT = problem(503, "No snapshot is published yet")
_NO_EXPERIMENT = problem(404, "No experiment has this name")


class _Rows(Response):
    media_type = "application/json"


def _as_json(rows: Any) -> Response:
    written = orjson.dumps(rows, default=str, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z)
    return Response(written, media_type="application/json")


def _rows(table: str) -> Answers:
    """What is said of an answer that is the rows of a table: the names of its columns."""
    columns: dict[str, dict[str, Any]] = {name: {} for name in COLUMNS[table]}
    schema = {"type": "array", "items": {"type": "object", "properties": columns}}
    return {200: {"description": "Rows; instants are UTC", "content": {"application/json": {"schema": schema}}}}


@experiments_api.get(
    "/experiments",
    summary="Every experiment with its grade and its verdict",
    response_class=_Rows,
    responses=_rows("experiments") | _NO_SNAPSHOT,
)
def experiments(reader: Open) -> Response:
    return _as_json(queries.experiments(reader))


@experiments_api.get(
    "/experiments/{name}",
    summary="One experiment: its verdict and grade, who saw it, its health, each metric by arm",
    response_class=_Rows,
    responses={
        200: {"description": "The experiment", "content": {"application/json": {"schema": {"type": "object"}}}},
        **_NO_EXPERIMENT,
        **_NO_SNAPSHOT,
    },
)
def experiment(reader: Open, name: Annotated[str, Path(description="Name of the experiment")]) -> Response:
    found = queries.whole(reader, name)
    if found is None:
        raise HTTPException(404, f"No experiment is called {name!r}.")
    return _as_json(found)


@experiments_api.get(
    "/lift",
    summary="What taking up features is associated with, and whether that may be quoted",
    response_class=_Rows,
    responses=_rows("lift") | _NO_SNAPSHOT,
)
def lift(reader: Open, feature: Annotated[str | None, Query(description="Of one feature only")] = None) -> Response:
    return _as_json(queries.lift(reader, feature))


@experiments_api.get(
    "/crash_costs",
    summary="What meeting a crash is associated with in return, and whether that may be quoted",
    response_class=_Rows,
    responses=_rows("crash_costs") | _NO_SNAPSHOT,
)
def crash_costs(reader: Open) -> Response:
    return _as_json(queries.crash_costs(reader))


@experiments_api.get(
    "/engagement_grades",
    summary="How well each week foretold who stayed away, beside baselines",
    response_class=_Rows,
    responses=_rows("engagement_grades") | _NO_SNAPSHOT,
)
def engagement_grades(reader: Open) -> Response:
    return _as_json(queries.engagement_grades(reader))


@experiments_api.get(
    "/deliveries",
    summary="What was sent to destinations, batch by batch, the newest first",
    response_class=_Rows,
    responses=_rows("deliveries") | _NO_SNAPSHOT,
)
def deliveries(reader: Open) -> Response:
    return _as_json(queries.deliveries(reader))
