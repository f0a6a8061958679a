"""The routes of use: adoption, funnels, retention and segments, as the pages and the command line tell them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Path, Query, Response

from quality_assets.read import impact, impact_changes, impact_events
from quality_assets.serve.api.answers import (
    ASKED,
    EVERYWHERE,
    NO_SNAPSHOT,
    RowsAnswer,
    json_rows,
    problem,
    rows_of,
)
from quality_assets.serve.api.features import Open

_NO_SUCH = problem(404, "Nothing has this name; the nearest names are told")
Named = Annotated[str, Path(description="Its name, as its YAML says", min_length=1)]

impact_api = APIRouter(prefix="/api/v1", responses=EVERYWHERE)


@impact_api.get(
    "/adoption",
    tags=["impact"],
    summary="Every feature: adoption of 28 days, new adopters, second use, stickiness, engagement",
    response_class=RowsAnswer,
    responses=rows_of("adoption") | NO_SNAPSHOT,
)
def adoption(reader: Open) -> Response:
    return json_rows(impact.adoption(reader))


@impact_api.get(
    "/changes",
    tags=["impact"],
    summary="What changed in how people use the product, in sentences, with the open incident that a fall meets",
    response_class=RowsAnswer,
    responses=rows_of("changes") | NO_SNAPSHOT,
)
def changes(reader: Open) -> Response:
    return json_rows(impact_changes.changes(reader))


@impact_api.get(
    "/event_catalogue",
    tags=["impact"],
    summary="Every event in words, the signal that it stands for, and when it was last seen",
    response_class=RowsAnswer,
    responses=rows_of("events") | NO_SNAPSHOT,
)
def events(reader: Open) -> Response:
    return json_rows(impact_events.catalogue(reader))


@impact_api.get(
    "/funnels/{name}",
    tags=["impact"],
    summary="One funnel by day of entry, segment and step, each row with its verdict",
    response_class=RowsAnswer,
    responses=rows_of("funnel") | _NO_SUCH | NO_SNAPSHOT | ASKED,
)
def funnel(reader: Open, name: Named) -> Response:
    try:
        impact.funnel(reader, name)
    except (impact.UnknownNameError, ValueError) as error:
        raise HTTPException(404, str(error)) from error
    return json_rows(impact.funnel_rows(reader, name))


@impact_api.get(
    "/retention/{feature}",
    tags=["impact"],
    summary="Who returned to a feature, by cohort, day and kind; '*' is the product",
    response_class=RowsAnswer,
    responses=rows_of("retention") | _NO_SUCH | NO_SNAPSHOT | ASKED,
)
def retention(
    reader: Open,
    feature: Annotated[str, Path(description="As events name it; '*' is the product", min_length=1)],
    kind: Annotated[
        Literal["exact", "within_30", "on_or_after"] | None, Query(description="What counts as a return; all else")
    ] = None,
) -> Response:
    try:
        impact.known_feature(reader, feature)
    except impact.UnknownNameError as error:
        raise HTTPException(404, str(error)) from error
    return json_rows(impact.retention_rows(reader, feature, kind))


@impact_api.get(
    "/segments",
    tags=["impact"],
    summary="Every segment as of its last day",
    response_class=RowsAnswer,
    responses=rows_of("segments") | NO_SNAPSHOT,
)
def segments(reader: Open) -> Response:
    return json_rows(impact.segments(reader))


@impact_api.get(
    "/segments/{name}",
    tags=["impact"],
    summary="One segment, day by day",
    response_class=RowsAnswer,
    responses=rows_of("segment") | _NO_SUCH | NO_SNAPSHOT | ASKED,
)
def segment(reader: Open, name: Named) -> Response:
    try:
        impact.definition(reader, "segment", name)
    except impact.UnknownNameError as error:
        raise HTTPException(404, str(error)) from error
    return json_rows(impact.segment_rows(reader, name))
