"""What the routes answer alike: rows of tables as JSON, and what is said of answers that tell of a problem."""

from __future__ import annotations

from typing import Any

import orjson
from fastapi import Response

from quality_assets.read.rows import COLUMNS
from quality_assets.serve.api.problems import Problem

Answers = dict[int | str, dict[str, Any]]


def problem(status: int, description: str) -> Answers:
    """What is said of an answer that tells of a problem."""
    # Whatever the route gives, what it says of a problem is JSON.
    content = {"application/json": {"schema": Problem.model_json_schema()}}
    return {status: {"description": description, "content": content}}


EVERYWHERE: Answers = (
    problem(401, "The server has a token, and the request does not show it")
    | problem(413, "More is sent than is taken at once")
    | problem(421, "The server does not answer to this host name")
)
ASKED = problem(422, "What is asked makes no sense; each thing that is wrong is named")
NO_SNAPSHOT = problem(503, "No snapshot is published yet")


class RowsAnswer(Response):
    """Rows as JSON."""

    media_type = "application/json"


def rows_of(table: str) -> Answers:
    """What is said of an answer that is the rows of a table: the names of its columns."""
    columns: dict[str, dict[str, Any]] = {name: {} for name in COLUMNS[table]}
    schema = {"type": "array", "items": {"type": "object", "properties": columns}}
    return {200: {"description": "Rows; instants are UTC", "content": {"application/json": {"schema": schema}}}}


def json_rows(rows: Any) -> RowsAnswer:
    """Rows as an answer."""
    # orjson straight away: FastAPI would walk every row again to validate what DuckDB has typed already.
    return RowsAnswer(orjson.dumps(rows, default=str, option=orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z))
