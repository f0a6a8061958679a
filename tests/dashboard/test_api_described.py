"""The REST API held against its own description, by requests that nobody would write by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import BaseSchema, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from dash_app.app import create_server
from quality_assets.settings import Settings

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    positive_data_acceptance,
    unsupported_method,
]


HOST = {"host": "127.0.0.1"}
PATHS = ("token", "search", "snapshot", "features", "checks", "incidents", "trends", "tables/{name}.csv")


@pytest.fixture(scope="module")
def described(full_root: Path) -> BaseSchema:
    """The description as the server over a full snapshot gives it."""
    server = create_server(Settings(data_dir=full_root, _env_file=None))  # type: ignore[call-arg]
    return schemathesis.openapi.from_asgi("/api/openapi.json", server, headers=HOST)


def test_every_route_is_asked(described: BaseSchema) -> None:
    assert set(described) == {f"/api/v1/{path}" for path in PATHS}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_as_it_is_described(described: BaseSchema, path: str, mode: GenerationMode) -> None:
    operation = described[f"/api/v1/{path}"]["GET"]
    if mode is GenerationMode.NEGATIVE and not operation.query:
        pytest.skip("there is nothing to get wrong")
    answers: list[int] = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        answers.append(case.call_and_validate(headers=HOST, checks=CHECKS).status_code)

    ask()
    assert set(answers) <= ({200, 404} if mode is GenerationMode.POSITIVE else {200, 404, 422})
