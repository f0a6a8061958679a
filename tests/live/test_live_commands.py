"""Commands that speak to a collector: telemetry that is sent, features of a user, the self-test in words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from running_collector import Collector, environment_of, free_port

from quality_assets.simulate import sending
from quality_assets.simulate.sending import SendingError, send

CLIENT = httpx.Client
Quality = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def quality(collector: Collector) -> Quality:
    """Runs a command on the root of the collector."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", *words],
            env=environment_of(collector.root, QUALITY_COLLECTOR_PORT=str(collector.port)),
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_the_selftest_tells_each_kind_of_question(quality: Quality, monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing listens there: its own collector is asked through no proxy.
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    done = quality("selftest", "--format", "json")
    outcomes = {each["category"]: each for each in json.loads(done.stdout)}
    assert done.returncode == 0, done.stdout
    assert len(outcomes) == 12
    statuses = {name: each["status"] for name, each in outcomes.items()}
    unset = {name for name, status in statuses.items() if status == "not configured"}
    assert unset == {"cache", "topics", "drift detection"}
    assert {status for name, status in statuses.items() if name not in unset} == {"passed"}
    assert all(each["detail"] for each in outcomes.values())


def test_the_selftest_of_nothing_fails(quality: Quality) -> None:
    done = quality("selftest", "--url", f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "does not answer: ConnectError" in done.stdout
    assert "failed" in done.stdout


def test_simulated_telemetry_is_sent(quality: Quality, collector: Collector) -> None:
    before = int(str(collector.processed()["events"]))
    done = quality(
        "simulate", "--to", f"http://127.0.0.1:{collector.port}", "--days", "2", "--features", "3",
        "--events-per-day", "60", "--dirt", "0", "--start-date", "2026-01-01",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    taken = int(done.stdout.partition(" events taken")[0])
    assert int(str(collector.processed()["events"])) - before == taken > 80
    assert quality("simulate").returncode == quality("simulate", "--to", "x", "--out", "y").returncode == 2


def test_of_a_reason_that_no_letter_has_those_that_wait_are_told(quality: Quality, collector: Collector) -> None:
    letters = len(collector.client.get("/live/deadletters?reason=invalid_status").json())
    collector.client.post("/ingest", json={"event_type": "view", "status": "[b]grand[/b]"})
    collector.processed()
    done = quality("deadletters", "list", "--reason", "invalid[state]", "--format", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, [])
    assert done.stderr.startswith("no letter has the reason 'invalid[state]'; those that wait have ")
    assert f"invalid_status ({letters + 1})" in done.stderr


def test_features_of_a_user_are_told(quality: Quality, collector: Collector) -> None:
    collector.client.post("/ingest", json={"event_id": "f1", "user_id": "ada", "event_type": "share"})
    collector.processed()
    told = json.loads(quality("features", "ada", "--version", "2", "--format", "json").stdout)
    assert told["features"]["engagement_score"]["value"] == 11
    assert quality("features", "ada", "--version", "9").returncode == 2


def _events(*minutes: int) -> list[dict[str, Any]]:
    now = datetime.now(UTC)
    return [{"event_id": str(m), "event_time": (now + timedelta(minutes=m)).isoformat()} for m in minutes]


def _answering(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> list[int]:
    """A collector that answers with these statuses, then takes all; the sizes of the batches that it took."""
    waiting, sizes = list(statuses), list[int]()

    def answer(request: httpx.Request) -> httpx.Response:
        if waiting:
            return httpx.Response(waiting.pop(0))
        n = len(json.loads(request.content)["batch"])
        sizes.append(n)
        return httpx.Response(200, json={"accepted": n, "refused": 0})

    transport = httpx.MockTransport(answer)
    monkeypatch.setattr(sending.httpx, "Client", lambda **given: CLIENT(transport=transport, **given))
    return sizes


def test_what_lies_ahead_waits_for_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _answering(monkeypatch)
    sent = send("http://x", _events(-3, -2, -1, 5, 10))
    assert (sent.accepted, sent.ahead, sizes) == (3, 2, [3])
    slept: list[float] = []
    sizes.clear()
    assert send("http://x", _events(-1, 5, 10), is_living=True, sleep=slept.append).accepted == 3
    assert sizes == [1, 1, 1]
    assert [round(seconds / 60) for seconds in slept] == [5, 10]


def test_pace_is_that_of_the_events(monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch)
    slept: list[float] = []
    send("http://x", _events(-20, -10), speed=60, sleep=slept.append)
    assert slept == [pytest.approx(10.0, abs=0.01)]


def test_it_is_sent_again_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _answering(monkeypatch, 503, 429)
    slept: list[float] = []
    assert send("http://x", _events(-1), sleep=slept.append).accepted == 1
    assert (sizes, slept) == ([1], [0.1, 0.2])
    _answering(monkeypatch, 401)
    with pytest.raises(SendingError, match="it answers 401"):
        send("http://x", _events(-1), sleep=slept.append)
