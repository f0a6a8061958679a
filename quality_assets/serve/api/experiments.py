"""The routes of experiments: all of them, one with its health and results, lift of features, deliveries."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Response

from quality_assets.read import experiments as queries
from quality_assets.serve.api.answers import EVERYWHERE, NO_SNAPSHOT, RowsAnswer, json_rows, problem, rows_of
from quality_assets.serve.api.features import Open

experiments_api = APIRouter(prefix="/api/v1", responses=EVERYWHERE, tags=["impact"])
_NO_EXPERIMENT = problem(404, "No experiment has this name")


@experiments_api.get(
    "/experiments",
    summary="Every experiment with its grade and its verdict",
    response_class=RowsAnswer,
    responses=rows_of("experiments") | NO_SNAPSHOT,
)
def experiments(reader: Open) -> Response:
    return json_rows(queries.experiments(reader))


@experiments_api.get(
    "/experiments/{name}",
    summary="One experiment: its verdict and grade, who saw it, its health, each metric by arm",
    response_class=RowsAnswer,
    responses={
        200: {"description": "The experiment", "content": {"application/json": {"schema": {"type": "object"}}}},
        **_NO_EXPERIMENT,
        **NO_SNAPSHOT,
    },
)
def experiment(reader: Open, name: Annotated[str, Path(description="Name of the experiment")]) -> Response:
    found = queries.whole(reader, name)
    if found is None:
        raise HTTPException(404, f"No experiment is called {name!r}.")
    return json_rows(found)


@experiments_api.get(
    "/lift",
    summary="What taking up features is associated with, and whether that may be quoted",
    response_class=RowsAnswer,
    responses=rows_of("lift") | NO_SNAPSHOT,
)
def lift(reader: Open, feature: Annotated[str | None, Query(description="Of one feature only")] = None) -> Response:
    return json_rows(queries.lift(reader, feature))


@experiments_api.get(
    "/crash_costs",
    summary="What meeting a crash is associated with in return, and whether that may be quoted",
    response_class=RowsAnswer,
    responses=rows_of("crash_costs") | NO_SNAPSHOT,
)
def crash_costs(reader: Open) -> Response:
    return json_rows(queries.crash_costs(reader))


@experiments_api.get(
    "/engagement_grades",
    summary="How well each week foretold who stayed away, beside baselines",
    response_class=RowsAnswer,
    responses=rows_of("engagement_grades") | NO_SNAPSHOT,
)
def engagement_grades(reader: Open) -> Response:
    return json_rows(queries.engagement_grades(reader))


@experiments_api.get(
    "/deliveries",
    summary="What was sent to destinations, batch by batch, the newest first",
    response_class=RowsAnswer,
    responses=rows_of("deliveries") | NO_SNAPSHOT,
)
def deliveries(reader: Open) -> Response:
    return json_rows(queries.deliveries(reader))
