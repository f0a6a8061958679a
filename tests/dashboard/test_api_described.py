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
from tests.examples import dear

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
PATHS = (
    "token",
    "search",
    "snapshot",
    "features",
    "checks",
    "incidents",
    "trends",
    "risk",
    "tables/{name}.csv",
    "alerts",
    "alerts/summary",
    "alerts/{alert_id}",
    "dashboard/overview",
    "dashboard/trends",
    "dashboard/recent-activity",
    "dashboard/system-status",
    "settings",
    "channels",
    "silences",
    "tokens",
    "data-quality/sources",
    "data-quality/summary",
    "data-quality/sources/{name}",
    "data-quality/sources/{name}/quality",
    "data-quality/sources/{name}/what-if",
    "data-quality/batches/{batch_id}",
    "experiments",
    "experiments/{name}",
    "lift",
    "crash_costs",
    "engagement_grades",
    "deliveries",
    "adoption",
    "changes",
    "event_catalogue",
    "funnels/{name}",
    "retention/{feature}",
    "segments",
    "segments/{name}",
    "model-monitoring/models",
    "model-monitoring/models/{name}",
    "model-monitoring/models/{name}/performance",
    "model-monitoring/models/{name}/drift",
    "model-monitoring/models/{name}/limits",
    "model-monitoring/models/{name}/shadow",
    "model-monitoring/samples",
    "model-monitoring/samples/{file}",
    "model-monitoring/summary",
)
# What writes, by method: each is asked as a page of the server asks.
WRITES = (
    ("POST", "alerts"),
    ("POST", "alerts/bulk"),
    *(
        ("POST", f"alerts/{{alert_id}}/{each}")
        for each in ("acknowledge", "resolve", "reopen", "snooze", "assign", "note")
    ),
    ("POST", "collector/deadletters/replay"),
    ("PUT", "settings/{key}"),
    ("POST", "channels"),
    ("PUT", "channels/{channel_id}"),
    ("DELETE", "channels/{channel_id}"),
    ("POST", "channels/{channel_id}/test"),
    ("POST", "silences"),
    ("DELETE", "silences/{silence_id}"),
    ("POST", "tokens"),
    ("DELETE", "tokens/{token_id}"),
    ("POST", "data-quality/upload"),
    ("POST", "data-quality/sources"),
    ("POST", "data-quality/sources/{name}/check"),
    ("PUT", "data-quality/sources/{name}"),
    ("DELETE", "data-quality/sources/{name}"),
    ("POST", "data-quality/sources/{name}/rules/{rule}"),
    ("POST", "model-monitoring/deploy"),
    *(
        ("POST", f"model-monitoring/models/{{name}}/{each}")
        for each in ("promote", "rollback", "predict", "outcomes", "drift-check", "shadow", "canary")
    ),
    ("PUT", "model-monitoring/models/{name}/limits"),
)


@pytest.fixture(scope="module")
def described(full_root: Path) -> BaseSchema:
    """The description as the server over a full snapshot gives it."""
    server = create_server(Settings(data_dir=full_root, _env_file=None))  # type: ignore[call-arg]
    return schemathesis.openapi.from_asgi("/api/openapi.json", server, headers=HOST)


def test_every_route_is_asked(described: BaseSchema) -> None:
    assert set(described) == {f"/api/v1/{path}" for path in (*PATHS, *(path for _, path in WRITES))}
    found = {(method, path) for path in described for method in described[path] if method.upper() != "GET"}
    assert {(method.upper(), path) for method, path in found} == {(m, f"/api/v1/{path}") for m, path in WRITES}


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_as_it_is_described(described: BaseSchema, path: str, mode: GenerationMode) -> None:
    operation = described[f"/api/v1/{path}"]["GET"]
    if mode is GenerationMode.NEGATIVE and not operation.query:
        pytest.skip("there is nothing to get wrong")
    answers: list[int] = []

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=dear(25), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        # A list in a query is repeated names: whatever is given once is a list of one.
        checks = CHECKS
        answers.append(case.call_and_validate(headers=HOST, checks=checks).status_code)

    ask()
    assert set(answers) <= ({200, 404} if mode is GenerationMode.POSITIVE else {200, 404, 422})


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_every_write_is_answered_as_it_is_described(described: BaseSchema, method: str, path: str) -> None:
    operation = described[f"/api/v1/{path}"][method]
    answers: list[int] = []

    @given(case=operation.as_strategy())
    @settings(max_examples=dear(12), deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
    def ask(case: Case) -> None:
        case.headers = {**(case.headers or {}), **HOST, "x-quality": "1"}
        case.headers.pop("Authorization", None)
        answers.append(case.call_and_validate(checks=CHECKS[:5]).status_code)

    ask()
    assert answers
