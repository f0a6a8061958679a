"""The form of the collector's page, by what it sends: a dry run, then the items again, mended; once each."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest
from running_collector import Collector, free_port

from dash_app.app import create_server
from dash_app.pages import collector as page
from quality_assets.settings import Settings

ADDRESS = "/api/v1/collector/deadletters/replay"


@pytest.fixture
def settings(collector: Collector) -> Settings:
    """Those of the collector's root."""
    return Settings(data_dir=collector.root, collector_port=collector.port, _env_file=None)  # type: ignore[call-arg]


def _post(settings: Settings, body: dict[str, Any], **headers: str) -> httpx.Response:
    async def sent() -> httpx.Response:
        transport = httpx.ASGITransport(create_server(settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post(ADDRESS, json=body, headers={"x-quality": "1", **headers})

    return asyncio.run(sent())


def test_refused_items_are_looked_at_and_sent_again(collector: Collector, settings: Settings) -> None:
    user = str(uuid4())
    for status in ("success", "success", "wrong"):
        event = {"event_id": str(uuid4()), "user_id": user, "status": status}
        assert collector.client.post("/ingest", json=event).status_code == 422
    collector.processed()
    asked = {"reason": "invalid_status", "mapping": ["status.success=ok"]}

    def known() -> int:
        collector.processed()
        return int(collector.client.get(f"/features/{user}/activity_count_1h").json()["value"])

    dry = _post(settings, asked)
    assert dry.status_code == 200, dry.text
    assert dry.json()["said"] == "2 of 3 would be accepted; 1 not: invalid_status 1."
    assert known() == 0
    done = _post(settings, {**asked, "dry_run": False}).json()
    assert (done["accepted"], done["refused"], done["dry_run"]) == (2, 1, False)
    assert done["said"] == "2 of 3 were sent again and accepted; 1 not: invalid_status 1."
    assert known() == 2
    assert _post(settings, {**asked, "dry_run": False}).json()["letters"] == 1
    assert _post(settings, {"reason": "no_such"}).json()["said"] == "No refused item waits with this reason."


def test_what_is_asked_wrongly_is_told(settings: Settings) -> None:
    wrong = _post(settings, {"mapping": ["status"]})
    assert wrong.status_code == 422
    assert "status.success=ok" in wrong.json()["detail"]
    assert _post(settings, {}, **{"x-quality": "0"}).status_code == 403
    away = settings.model_copy(update={"collector_port": free_port()})
    assert _post(away, {}).status_code == 409


def test_messages_of_each_sender_are_masked_until_they_are_asked_for(collector: Collector, settings: Settings) -> None:
    collector.client.post("/ingest", json={"event_id": str(uuid4()), "user_id": "ada lovelace"})
    collector.client.post("/ingest", json={"event_id": str(uuid4()), "status": "nothing"})
    collector.processed()
    masked, plain = (str(page.body(settings, unmasked=unmasked)) for unmasked in (False, True))
    assert "ada lovelace" not in masked
    assert "•••" in masked
    assert "ada lovelace" in plain
    assert ADDRESS in masked
