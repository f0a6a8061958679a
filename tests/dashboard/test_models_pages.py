"""The pages of models and their routes, as readers and scripts see them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from plotly.io.json import to_json_plotly

from dash_app import router
from dash_app.app import create_server
from quality_assets.read.links import Request
from quality_assets.read.reader import SnapshotStore
from quality_assets.settings import Settings
from tests.live.running_collector import free_port


@pytest.fixture
def root(sales_root: Settings) -> Settings:
    """A root with two versions of sales, to be changed at will, whose server of models does not run."""
    return sales_root.model_copy(update={"predict_port": free_port()})


def _ask(settings: Settings, method: str, path: str, body: Any = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        transport = httpx.ASGITransport(app=create_server(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.request(method, path, json=body, headers={"x-quality": "1"})

    return asyncio.run(asked())


def _shown(settings: Settings, path: str) -> str:
    content, _ = router.render(SnapshotStore(settings.published_dir), Request(path), settings)
    return json.dumps(json.loads(to_json_plotly(content)), ensure_ascii=False)


def test_the_pages_tell_of_every_model(root: Settings) -> None:
    page = _shown(root, "/models")
    assert "/models/feature_risk" in page
    assert "version 1 since" in page
    assert "no version is in use" in page
    one = _shown(root, "/models/sales")
    for part in ("Try it", "QUANTITYORDERED", "Beside its baselines", "DEALSIZE", "refused", "2004-11", "Put in use"):
        assert part in one
    assert "quality train housing --data FILE" in _shown(root, "/models/housing")
    assert "/models/cheese" in _shown(root, "/models/cheese")
    assert "Try it" not in _shown(root, "/models/cheese")


def test_the_old_address_leads_to_the_new_one(root: Settings) -> None:
    moved = _ask(root, "GET", "/model?version=3")
    assert (moved.status_code, moved.headers["location"]) == (308, "/models/feature_risk?version=3")


def test_a_release_by_a_route_and_back(root: Settings) -> None:
    api = "/api/v1/model-monitoring"
    assert _ask(root, "POST", f"{api}/models/sales/promote", {"version": "9"}).status_code == 409
    assert _ask(root, "POST", f"{api}/models/cheese/promote", {"version": "1"}).status_code == 404
    stale = {"version": "2", "expected_seq": 7}
    assert "release 1, and 7 was expected" in _ask(root, "POST", f"{api}/models/sales/promote", stale).json()["detail"]
    done = _ask(root, "POST", f"{api}/models/sales/promote", {"version": "2", "expected_seq": 1}).json()
    assert (done["version"], done["changed"]) == ("2", True)
    assert _ask(root, "POST", f"{api}/models/sales/rollback", {}).json()["version"] == "1"
    assert _ask(root, "POST", f"{api}/models/sales/rollback", {}).status_code == 409
    told = _ask(root, "GET", f"{api}/models/sales?live_at=2000-01-01T00:00:00").json()
    assert [each["action"] for each in told["releases"]] == ["promote", "promote", "rollback"]
    assert told["live_at"]["version"] is None
    assert _ask(root, "GET", f"{api}/summary").json() == {"models": 2, "in_use": 1, "versions": 2, "drifted": []}
    performance = _ask(root, "GET", f"{api}/models/sales/performance").json()
    assert {"r2", "rmse", "mae"} <= {each["metric"] for each in performance["metrics"]}
    assert _ask(root, "GET", f"{api}/models/sales/drift").json()["status"] == "unknown"
    refused = _ask(root, "POST", f"{api}/models/sales/predict", {"MSRP": 1})
    assert refused.status_code == 503
    assert "quality serve-model" in refused.json()["detail"]
