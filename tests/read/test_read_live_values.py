"""Today against the curves of a snapshot at the edges of five minutes, and what the collector answers or does not."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from small_snapshots import snapshot_of

from quality_assets.domain.live.arrivals import SoFar, judged
from quality_assets.read import live
from quality_assets.settings import Settings
from quality_assets.stores.http_client import http_client
from tests.conftest import new_settings

# A Monday.
NOW = datetime(2026, 3, 2, 12, 2)
Z = {"lower_z": -1.0, "upper_z": 2.0, "alarm_z": -3.0}


def _curve(per_tile: float) -> dict[int, dict[str, Any]]:
    return {
        minute: {"expected_so_far": per_tile * minute / 5, "expected_total": per_tile * 288} | Z
        for minute in range(0, 1441, 5)
    }


def _row(events: int, last: str | None = None) -> dict[str, Any]:
    return {"feature": "A", "events": events, "last_event_at": last}


def _today(per_tile: float, events: int, last: str | None, now: datetime = NOW) -> live.FeatureToday:
    return live._feature_today(_row(events, last), _curve(per_tile), now)


def test_a_feature_so_far_in_all_its_numbers() -> None:
    # 12:02 is two fifths of a tile after the 144th.
    found = _today(10, 1440, "2026-03-02T12:00:59+00:00")
    row = _row(1440, "2026-03-02T12:00:59+00:00")
    so_far = judged(1440, 1444.0, 2880.0, (-1.0, 2.0, -3.0))
    # Of ten each five minutes six are usual in three: from 12:05 on, of which 1,450 are expected by then.
    assert found == live.FeatureToday(row, so_far, None, None, 3)


@pytest.mark.parametrize(
    ("last", "silent", "usual"),
    [
        # From the beginning of the five minutes of the last event: 32 minutes at one each five are 6.4.
        ("2026-03-02T11:34:59+00:00", 28, 6.4),
        ("2026-03-02T11:35:00+00:00", None, None),
        ("2026-03-02T13:34:59+02:00", 28, 6.4),
        ("2026-03-01T23:59:00+00:00", 722, 144.4),
        (None, 722, 144.4),
    ],
)
def test_a_silence_is_counted_from_the_five_minutes_of_the_last_event(
    last: str | None, silent: int | None, usual: float | None
) -> None:
    found = _today(1, 140, last)
    assert found.silent_minutes == silent
    assert found.usual_in_silence == (None if usual is None else pytest.approx(usual))


@pytest.mark.parametrize(
    ("per_tile", "now", "minutes"),
    [
        (6, NOW.replace(minute=0), 5),
        (5.9, NOW.replace(minute=0), 10),
        (1, NOW.replace(hour=23, minute=30), 30),
        (1, NOW.replace(hour=23, minute=31), None),
        (100, NOW.replace(hour=23, minute=59), 1),
        (0, NOW, None),
    ],
)
def test_when_a_silence_would_be_told(per_tile: float, now: datetime, minutes: int | None) -> None:
    assert _today(per_tile, 0, None, now).minutes_to_notice == minutes


def test_in_the_days_last_minutes_all_is_expected() -> None:
    found = _today(10, 0, None, NOW.replace(hour=23, minute=59))
    assert found.so_far.expected == pytest.approx(2878)
    gone = live._feature_today(_row(0), {0: _curve(1)[0]}, NOW)
    nothing = SoFar(0, None, None, None, None, None, None, "unknown")
    assert gone == live.FeatureToday(_row(0), nothing, None, None, None)


def _known(feature: str, weekday: int, minute: int, share: float) -> dict[str, Any]:
    return {
        "feature": feature, "weekday": weekday, "minute": minute, "expected_so_far": 1.0, "expected_total": 2.0,
        "collected_share": share, **Z,
    }  # fmt: skip


def test_curves_are_of_the_weekday_and_of_what_comes_live() -> None:
    rows = [_known("A", 0, 0, 0.51), _known("A", 0, 5, 0.51), _known("B", 0, 0, 0.5), _known("C", 1, 0, 1.0)]
    reader = snapshot_of({live.CURVES: rows})
    told = {name: rows[0][name] for name in ("feature", "expected_so_far", "expected_total", "collected_share", *Z)}
    assert live.curves(reader, 0) == {"A": {0: told | {"minute": 0}, 5: told | {"minute": 5}}}
    assert list(live.curves(reader, 1)) == ["C"]
    assert live.curves(snapshot_of({}), 0) == {}


def test_what_is_unusual_stands_first_then_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = {name: _curve(10) for name in ("low", "usual", "silent")} | {"none": _curve(0)}
    monkeypatch.setattr(live, "curves", lambda _, weekday: curves if weekday == 0 else {})
    last = "2026-03-02T12:01:00+00:00"
    rows = [_row(n, last) | {"feature": name} for name, n in (("new", 9), ("usual", 1444), ("low", 700))]
    reader: Any = object()
    found = live.features_today(reader, {"features": rows}, NOW)
    assert [(each.row["feature"], each.so_far.state) for each in found] == [
        ("low", "low"), ("silent", "low"), ("usual", "usual"), ("new", "unknown"),
    ]  # fmt: skip
    assert found[1].row == {
        "feature": "silent", "events": 0, "errors": 0, "crashes": 0, "users": 0, "p95_latency_ms": None,
        "last_event_at": None,
    }  # fmt: skip


def test_what_was_served_and_computed_again() -> None:
    rows = [
        {"feature": "n", "version": 1, "compared": 5, "different": 2, "example": "1 was served"},
        {"feature": "n", "version": 2, "compared": 4, "different": 0, "example": None},
    ]
    assert live.skew(snapshot_of({"ml.online_feature_skew": rows})) == {
        ("n", 1): live.Skew(5, 2, "1 was served"),
        ("n", 2): live.Skew(4, 0, ""),
    }
    assert live.skew(snapshot_of({})) == {}


# --- The collector ----------------------------------------------------------------------------------------------------

Answers = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a collector that is not there answers, or raises; and what it was asked."""
    told: list[Any] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = told.pop(0)
        told.append((request.method, str(request.url), request.headers.get("authorization")))
        if isinstance(answer, Exception):
            raise answer
        return answer

    client = httpx.Client(transport=httpx.MockTransport(handle))
    monkeypatch.setattr(live, "http_client", lambda: client)
    yield told
    client.close()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_settings(tmp_path / "data")


def test_what_is_asked_and_answered(settings: Settings, answers: list[Any]) -> None:
    answers.append(httpx.Response(200, json={"a": 1}))
    assert live.ask(settings, "/live/today", minutes=5, whole=True) == {"a": 1}
    assert answers == [("GET", "http://127.0.0.1:8080/live/today?minutes=5&whole=true", None)]
    for answer, reason in (
        (httpx.Response(503), "it answers 503"),
        (httpx.Response(302), "it answers 302"),
        (httpx.ReadTimeout("slow"), "it does not answer in time"),
        (httpx.ReadError("cut"), "the connection broke: ReadError"),
    ):
        answers[:] = [answer]
        assert live.ask(settings, "/live/today") == live.Down(None, reason)


def test_what_is_sent_again(settings: Settings, answers: list[Any]) -> None:
    address = "http://127.0.0.1:8080/live/deadletters/replay"
    answers.append(httpx.Response(200, json={"replayed": 2}))
    assert live.replay(settings, "nul_byte", ["a=b", "c=d"], dry_run=True) == {"replayed": 2}
    assert answers == [("POST", f"{address}?dry_run=true&map=a%3Db&map=c%3Dd&reason=nul_byte", None)]
    answers[:] = [httpx.Response(422, json={"detail": "a is no column"})]
    assert live.replay(settings, None, [], dry_run=False) == "a is no column"
    assert answers == [("POST", f"{address}?dry_run=false", None)]
    answers[:] = [httpx.Response(500)]
    assert live.replay(settings, None, [], dry_run=False) == live.Down(None, "it answers 500")
    answers[:] = [httpx.ConnectError("gone")]
    assert live.replay(settings, None, [], dry_run=False) == live.Down(None, "nothing listens there")


def test_up_to_when_all_is_known(settings: Settings, answers: list[Any]) -> None:
    found = []
    for body in ({"known_until": "2026-03-02T13:00:00+01:00"}, {"known_until": None}):
        answers[:] = [httpx.Response(200, json=body)]
        found.append(live.known_until(settings))
    answers[:] = [httpx.Response(404)]
    assert [*found, live.known_until(settings)] == [datetime(2026, 3, 2, 12), None, None]


def test_it_was_last_there_when_the_newest_of_its_files_was_written(settings: Settings, answers: list[Any]) -> None:
    settings.live_dir.mkdir(parents=True)
    for name, hour in (("log.db", 3), ("log.db-wal", 5), ("state.db", 4), ("outbox.db", 9)):
        (settings.live_dir / name).write_bytes(b"")
        at = datetime(2026, 3, 1, hour, tzinfo=UTC).timestamp()
        os.utime(settings.live_dir / name, (at, at))
    answers.append(httpx.Response(500))
    assert live.ask(settings, "/live/today") == live.Down(datetime(2026, 3, 1, 5), "it answers 500")


@pytest.mark.parametrize(
    ("host", "address"),
    [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "[::1]"), ("box", "box")],
)
def test_where_a_collector_answers(settings: Settings, host: str, address: str) -> None:
    asked = settings.model_copy(update={"collector_host": host, "collector_port": 99})
    assert live.address(asked, "/x") == f"http://{address}:99/x"


def test_what_opens_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from pydantic import SecretStr

    secret, own = "s" * 32, "o" * 32
    monkeypatch.setattr(live, "_hour", lambda: 500_000)
    monkeypatch.setattr(live, "known_key", lambda folder: own if folder == settings.live_dir else None)

    def of(**update: Any) -> str:
        headers = live.headers_of(settings.model_copy(update=update))
        return headers.get("authorization", "")

    signed, public = {"collector_jwt_secret": SecretStr(secret)}, {"collector_jwt_public_key": Path("key.pem")}
    assert of() == ""
    assert of(token=SecretStr("t"), **signed, **public) == "Bearer t"
    for told, by in ((of(**signed, **public), secret), (of(**public), own)):
        kind, _, token = told.partition(" ")
        options: Any = {"verify_exp": False, "verify_aud": False}
        found = jwt.decode(token, by, ["HS256"], options=options)
        assert (kind, found) == ("Bearer", {"aud": live.FEATURES_AUDIENCE, "exp": 500_002 * 3600})
    monkeypatch.setattr(live, "known_key", lambda _: None)
    assert of(**public) == ""


def test_hours_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live.time, "time", lambda: 7199.9)
    assert live._hour() == 1


def test_one_client_asks_all_and_waits_two_seconds() -> None:
    client = http_client()
    assert http_client() is client
    assert client.timeout == httpx.Timeout(2.0)


def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    http_client.cache_clear()
    with HTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        assert http_client().head(f"http://127.0.0.1:{server.server_port}/no-such-file").status_code == 404
    http_client.cache_clear()
