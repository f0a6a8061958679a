"""The REST API over a snapshot of a few rows: what each address answers, and what it says of what is not there."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from small_snapshots import THROUGH, Cells, ago, snapshot_of

from quality_assets.read import rows as exports
from quality_assets.read.reader import Reader
from quality_assets.serve.api.answers import json_rows
from quality_assets.serve.api.features import api
from quality_assets.settings import Settings
from quality_assets.stores.operations.store import operations_of
from quality_assets.stores.snapshots import PublicationAttempt
from quality_assets.tables.house_settings import change

NOON = datetime(2026, 4, 1, 12)
REFUSED = PublicationAttempt("refused", NOON, NOON.replace(hour=6), "run-2", ("Keys are there twice.", "Stale."))
Get = Callable[..., httpx.Response]


class Store:
    """A store of this reader and this attempt."""

    def __init__(self, reader: Reader | None, attempt: PublicationAttempt | None = None) -> None:
        self._reader, self._attempt = reader, attempt

    def reader(self) -> Reader | None:
        return self._reader

    def attempt(self) -> PublicationAttempt | None:
        return self._attempt

    def token(self) -> str:
        return "v1|"


def _asking(store: Store, settings: Settings | None = None) -> Get:
    """Asks the API without a network in between."""
    server = FastAPI()
    server.include_router(api)
    server.state.store, server.state.settings = store, settings

    def get(path: str, **query: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=server)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/api/v1") as client:
                return await client.get(path, params=query)

        # In a thread of its own: the browser tests leave a loop running in this one.
        with ThreadPoolExecutor(max_workers=1) as thread:
            return thread.submit(lambda: asyncio.run(ask())).result()

    return get


def _trend(feature: str, days: int, metric: str = "crash_rate") -> Cells:
    return {"event_date": ago(days), "feature": feature, "metric": metric, "value": 0.5}


@pytest.fixture(scope="module")
def reader() -> Reader:
    """Two features, one with an open incident and one that has ended."""
    return snapshot_of(
        {
            "product.dim_feature_metadata": [
                {"feature": "a/b", "display_name": "A or B", "team": "Places"},
                {"feature": "pay"},
            ],
            "product.feature_daily_trends": [_trend("pay", days) for days in (0, 6, 7, 27, 28, 89, 90)],
            "product.fact_feature_metrics": [
                {"event_date": ago(days), "feature": "pay", "users": users}
                for days, users in ((0, 10), (27, 20), (89, 60))
            ],
            "product.incidents": [
                {"incident_id": "open", "feature": "pay", "severity": "low"},
                {"incident_id": "ended", "feature": "pay", "severity": "low", "end_date": THROUGH},
                {"incident_id": "other", "feature": "a/b", "severity": "high"},
            ],
            "monitoring.check_results": [
                {"run_id": "r1", "asset": "core.a", "check_name": "keys", "status": "failed", "severity": "WARN"}
            ],
        }
    )


@pytest.fixture(scope="module")
def get(reader: Reader) -> Get:
    return _asking(Store(reader, REFUSED))


def test_the_token_is_of_the_snapshot_and_of_the_operations_store(reader: Reader, data_root: Settings) -> None:
    get = _asking(Store(reader, REFUSED), data_root)
    assert get("/token").json() == {"token": "v1|#0"}
    with operations_of(data_root).write() as connection:
        change(connection, "alerts.attempts", 3, "ann")
    assert get("/token").json() == {"token": "v1|#1"}


def test_the_snapshot_and_how_the_last_publication_went(get: Get, reader: Reader) -> None:
    told = {
        "version": "20260401T060000",
        "published_at": "2026-04-01T06:00:00Z",
        "data_through": "2026-03-31",
        "run_id": "run-1",
        "data_fingerprint": "fingerprint",
    }
    assert get("/snapshot").json() == told | {
        "last_attempt": {
            "status": "refused",
            "attempted_at": "2026-04-01T12:00:00Z",
            "since": "2026-04-01T06:00:00Z",
            "run_id": "run-2",
            "reasons": ["Keys are there twice.", "Stale."],
        }
    }
    assert _asking(Store(reader))("/snapshot").json() == told | {"last_attempt": None}
    published = replace(REFUSED, status="published", reasons=())
    attempt = _asking(Store(reader, published))("/snapshot").json()["last_attempt"]
    assert (attempt["status"], attempt["reasons"]) == ("published", [])


def test_search_names_every_feature_its_team_and_its_page(get: Get) -> None:
    assert get("/search").json() == [
        {"name": "A or B", "team": "Places", "href": "/feature/a%2Fb"},
        {"name": "pay", "team": "", "href": "/feature/pay"},
    ]
    assert _asking(Store(None))("/search").json() == []


@pytest.mark.parametrize(
    ("query", "users"), [({"window": 7}, 10.0), ({}, 15.0), ({"window": 28}, 15.0), ({"window": 90}, 30.0)]
)
def test_features_are_of_the_window_asked_for(get: Get, query: dict[str, int], users: float) -> None:
    found = get("/features", **query).json()
    assert [(row["feature"], row["status"], row["users_a_day"]) for row in found] == [
        ("a/b", "degraded", None),
        ("pay", "degraded", users),
    ]


@pytest.mark.parametrize(
    ("query", "days"), [({"window": 7}, [6, 0]), ({}, [27, 7, 6, 0]), ({"window": 90}, [89, 28, 27, 7, 6, 0])]
)
def test_trends_are_of_the_feature_and_window_asked_for(get: Get, query: dict[str, int], days: list[int]) -> None:
    found = get("/trends", feature="pay", **query).json()
    assert [(row["event_date"], row["value"]) for row in found] == [(ago(n).isoformat(), 0.5) for n in days]
    assert get("/trends", feature="a/b", **query).json() == []


def test_incidents_are_the_open_ones_or_all_of_a_feature(get: Get) -> None:
    assert [row["incident_id"] for row in get("/incidents").json()] == ["other", "open"]
    assert [row["incident_id"] for row in get("/incidents", feature="pay").json()] == ["open", "ended"]


def test_checks_are_the_results_that_stand(get: Get) -> None:
    (row,) = get("/checks").json()
    assert (row["asset"], row["check_name"], row["points"]) == ("core.a", "keys", 50.0)


def test_a_table_is_given_as_csv_under_its_name_and_version(get: Get) -> None:
    answer = get("/tables/feature_incidents.csv", feature="pay")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    expected = 'attachment; filename="feature_incidents-20260401T060000.csv"'
    assert answer.headers["content-disposition"] == expected
    assert [row["incident_id"] for row in csv.DictReader(io.StringIO(answer.text))] == ["open", "ended"]
    trends = get("/tables/trends.csv", feature="pay", window="7d").text
    assert [row["event_date"] for row in csv.DictReader(io.StringIO(trends))] == [
        ago(6).isoformat(),
        ago(0).isoformat(),
    ]


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/trends", {"feature": "nope"}, "No feature is called 'nope'."),
        ("/incidents", {"feature": "nope"}, "No feature is called 'nope'."),
        ("/tables/nope.csv", {}, "No table is called 'nope'; there are features, incidents, trends,"),
    ],
)
def test_what_is_not_there_is_named(get: Get, path: str, query: dict[str, str], said: str) -> None:
    answer = get(path, **query)
    assert answer.status_code == 404
    assert answer.json()["detail"].startswith(said)


@pytest.mark.parametrize(
    "query", [{"window": 8}, {"window": "week"}, {"window": "7 "}, {"window": "٧"}, {"window": "7dd"}]
)
def test_another_window_is_refused(get: Get, query: dict[str, Any]) -> None:
    assert get("/features", **query).status_code == 422
    assert get("/trends", feature="pay", **query).status_code == 422
    assert get("/trends").status_code == 422
    assert get("/tables/drift.csv", **query).status_code == 422


def test_instants_carry_their_zone(reader: Reader) -> None:
    moment = datetime(2026, 4, 1, 6, 30, 0, 5)
    for value in (moment, moment.replace(tzinfo=UTC)):
        assert json.loads(json_rows([{"at": value}]).body) == [{"at": "2026-04-01T06:30:00.000005Z"}]
    rows = [{"at": moment, "list": [moment], "day": moment.date()}]
    text = exports.to_csv(rows, ("at", "list", "day"))
    assert list(csv.reader(io.StringIO(text)))[1] == [
        "2026-04-01T06:30:00.000005Z",
        '["2026-04-01T06:30:00.000005Z"]',
        "2026-04-01",
    ]


def test_the_description_tells_every_answer(get: Get) -> None:
    server = FastAPI()
    server.include_router(api)
    paths = server.openapi()["paths"]
    found = {path.removeprefix("/api/v1"): set(paths[path]["get"]["responses"]) for path in paths}
    always = {"200", "401", "413", "421"}
    assert found == {
        "/token": always,
        "/search": always,
        "/snapshot": always | {"503"},
        "/features": always | {"422", "503"},
        "/checks": always | {"503"},
        "/incidents": always | {"404", "422", "503"},
        "/trends": always | {"404", "422", "503"},
        "/risk": always | {"404", "422", "503"},
        "/tables/{name}.csv": always | {"404", "422", "503"},
    }
    table = paths["/api/v1/tables/{name}.csv"]["get"]
    assert set(table["responses"]["200"]["content"]) == {"text/csv"}
    named = {parameter["name"]: parameter for parameter in table["parameters"]}
    of_one = {"feature", "version", "reason", "experiment", "kind", "named"}
    assert set(named) == {"name", "window", *of_one, "platform", "app_version", "country"}
    assert named["name"]["schema"]["enum"] == list(exports.TABLES)
    rows = paths["/api/v1/features"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert list(rows["items"]["properties"]) == list(exports.COLUMNS["features"])


@pytest.mark.parametrize("path", ["/snapshot", "/features", "/incidents", "/checks", "/tables/drift.csv"])
def test_before_the_first_publication_it_says_what_to_do(path: str) -> None:
    answer = _asking(Store(None))(path)
    assert (answer.status_code, answer.json()["detail"]) == (
        503,
        "No snapshot is published yet: run `quality run` once.",
    )
