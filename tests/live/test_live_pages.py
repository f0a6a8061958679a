"""What the pages of today and of the collector say, of answers that a collector gives, and of none."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from dash._utils import to_json

from dash_app.pages import collector, live, online_features
from dash_app.router import PAGES, CollectorPage, part_or_failure
from quality_assets.clock import utc_now
from quality_assets.read import live as queries
from quality_assets.read.links import Request
from quality_assets.read.live import Down
from quality_assets.settings import Settings

LANDING = {"waiting_events": 3, "waiting_since": None, "oldest_us": None, "last_file": None, "last_landed_at": None}


def _feature(name: str, **more: Any) -> dict[str, Any]:
    last = datetime.now(UTC).isoformat()
    base = {"feature": name, "events": 7, "errors": 1, "crashes": 0, "users": 4, "p95_latency_ms": 250.0}
    return {**base, "last_event_at": last, **more}


def _today(**more: Any) -> dict[str, Any]:
    base = {
        "date": "2026-11-20", "as_of": "2026-11-20T12:00:00+00:00", "is_provisional": True, "events": 7, "errors": 1,
        "crashes": 0, "users": 4, "known_until": "2026-11-20T11:59:00+00:00", "features": [_feature("Search")],
        "steps": [{"event_name": "view", "users": 4}], "landing": LANDING,
    }  # fmt: skip
    return {**base, **more}


def _told(**more: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "started_at": "2026-11-20T10:00:00+00:00", "queued_items": 0, "log_lag_records": 2, "behind_s": 0.25,
        "log_bytes": 5_000_000, "disk_free_bytes": 9_000_000_000, "reasons": [], "events": 12, "sources": [],
        "last_messages": [], "landing": LANDING, "dead_letters": [], "topics": [],
    }  # fmt: skip
    return {**base, **more}


def _said(component: Any) -> str:
    """All words of a component, in their order."""

    def words(node: Any) -> str:
        if isinstance(node, dict):
            props = node.get("props", {})
            drawn = unescape(re.sub("<[^>]*>", " ", props.get("data-markup", "")))
            return words(props.get("children")) + drawn
        return " ".join(map(words, node)) if isinstance(node, list) else "" if node is None else str(node)

    return " ".join(words(json.loads(to_json(component))).replace("\u202f", " ").split())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the collector answers, whatever it is asked: the last of the list."""
    given: list[Any] = []
    monkeypatch.setattr(queries, "ask", lambda *_, **__: given[-1])
    return given


def test_today_in_words(answers: list[Any], data_root: Settings) -> None:
    answers.append(_today())
    said = _said(live.body(None, data_root))
    for words in (
        "What is usual is not known yet", "14.3 % of events", "Search No past yet 7 – – 4 1 0 250 ms",
        "view 4", "The last event was processed at 20 Nov, 11:59 UTC", "3 events not landed yet",
    ):  # fmt: skip
        assert words in said
    answers.append(_today(features=[], events=0, steps=[], known_until=None))
    assert "No event yet today" in _said(live.body(None, data_root))


def test_today_against_what_is_usual(answers: list[Any], data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    now = utc_now().replace(hour=12, minute=0)
    monkeypatch.setattr(live, "utc_now", lambda: now)
    curve = {
        minute: {"expected_so_far": float(minute), "expected_total": 1440.0, "lower_z": -2, "upper_z": 2, "alarm_z": -3}
        for minute in range(0, 1441, 5)
    }
    monkeypatch.setattr(queries, "curves", lambda *_: {"Search": curve, "Pay": curve})
    last = (now - timedelta(minutes=5)).replace(tzinfo=UTC).isoformat()
    answers.append(_today(features=[_feature("Search", events=715, last_event_at=last)]))
    said = _said(live.body(object(), data_root))  # type: ignore[arg-type]
    assert "Pay: nothing for 720 minutes, in which 720 events are usual" in said
    assert "Search As usual 715 720 564 to 876" in said
    assert "Silence would be noticed after 10 minutes" in said


def test_a_collector_that_is_gone(answers: list[Any], data_root: Settings) -> None:
    answers.append(Down(datetime(2026, 11, 20, 9, 30), "ConnectError"))
    assert "Collector down since 20 Nov, 09:30 UTC" in _said(live.body(None, data_root))
    assert _said(live.strip(data_root)) == "Collector down since 20 Nov, 09:30 UTC"
    assert "Collector down since 20 Nov, 09:30 UTC" in _said(collector.body(data_root))
    answers.append(Down(None, "ConnectError"))
    assert "No collector has run here yet" in _said(live.body(None, data_root))
    assert live.strip(data_root) is None


def test_the_strip_is_today_in_a_line(answers: list[Any], data_root: Settings) -> None:
    answers.append(_today())
    assert _said(live.strip(data_root)) == "Today so far: 7 events of 4 users, 1 errors, 0 crashes (provisional)"


def test_the_collector_in_words(answers: list[Any], data_root: Settings) -> None:
    source = {
        "source": "web",
        "events": 12,
        "duplicates": 1,
        "refused": 2,
        "calls": 3,
        "last_at": "2026-11-20T11:00:00+00:00",
    }
    message = {
        "received_at": "2026-11-20T11:00:00+00:00", "source": "web", "feature": "Search", "event_name": "view",
        "status": "ok", "user_id": "•••", "device_type": None, "properties": None,
    }  # fmt: skip
    answers.append(
        _told(
            sources=[source],
            last_messages=[message],
            dead_letters=[{"reason": "invalid_status", "endpoint": "/ingest", "letters": 2}],
            reasons=["the processor fails: x"],
            topics=[
                {
                    "topic": "raw-events",
                    "partition": 1,
                    "end": 900,
                    "position": 890,
                    "lag": 10,
                    "is_followed_here": False,
                }
            ],
        )
    )
    said = _said(collector.body(data_root))
    for words in (
        "Not well. the processor fails: x", "2 requests not processed yet", "web 12 1 2 3 20 Nov, 11:00 UTC",
        "Invalid status /ingest 2", "raw-events 1 900 890 10 Elsewhere", "Search view ok ••• – –", "5.0 MB",
        "Nothing has landed yet",
    ):  # fmt: skip
        assert words in said
    answers.append(_told())
    said = _said(collector.body(data_root))
    assert "Nothing has been sent yet" in said
    assert "Nothing waits to be mended." in said


def test_each_online_feature_is_told(answers: list[Any], data_root: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.append(_today())
    monkeypatch.setattr(
        queries,
        "skew",
        lambda _: {("ab_variant", 1): queries.Skew(9, 0, ""), ("click_rate_24h", 1): queries.Skew(9, 2, "1 and 2")},
    )
    said = _said(online_features.build(object(), Request("/online-features")))  # type: ignore[arg-type]
    assert "Events until 20 Nov, 11:59 UTC are in them." in said
    assert f"curl http://{data_root.collector_host}:{data_root.collector_port}/features/USER" in said
    assert "ab('quality') Categorical The user or the instant – All 9 the same" in said
    assert "Clicks, Views event_name 2 of 9 differ 1 and 2" in said
    assert said.count("Version 2") == 4
    data_root.data_dir.mkdir()
    (data_root.data_dir / "features.yaml").write_text("features: []")
    assert "The definition is wrong" in _said(online_features.build(None, Request("/online-features")))


def test_pages_are_there_without_a_snapshot_and_never_raise() -> None:
    for path in ("/live", "/collector"):
        page = PAGES[path]
        assert isinstance(page, CollectorPage)
        assert page.title(Request(path)) in _said(page.build(None, Request(path)))
    assert "could not be made" in part_or_failure(lambda: 1 / 0)
