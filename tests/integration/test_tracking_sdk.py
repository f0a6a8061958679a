"""The Python helper for product events, against a server that takes what Segment's own client sends."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "sdk" / "python"))

from quality_tracking import SESSION_IDLE_S, Tracking, UnknownEventError  # noqa: E402  (found through the line above)

EVENTS = {"paid": {"amount"}, "refunded": set[str]()}


@pytest.fixture
def collector() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """An address that takes batches, and the messages that it took. The first request is refused for now."""
    messages: list[dict[str, Any]] = []
    refusals = [503]

    class Taker(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            status = refusals.pop() if refusals else 200
            if status == 200:
                messages.extend(json.loads(body)["batch"])
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", messages
    server.shutdown()
    thread.join()
    server.server_close()


def test_events_arrive_once_with_feature_session_and_app(collector: tuple[str, list[dict[str, Any]]]) -> None:
    url, messages = collector
    tracking = Tracking(url, feature="Checkout", events=EVENTS, app=("shop", "1.2"))
    tracking.track("ada", "paid", amount=12.5)
    tracking.track("bob", "refunded")
    session = tracking.session_id("ada")
    tracking.close()
    assert [(m["type"], m["userId"], m["event"]) for m in messages] == [
        ("track", "ada", "paid"),
        ("track", "bob", "refunded"),
    ]
    assert messages[0]["properties"] == {"feature": "Checkout", "session_id": session, "amount": 12.5}
    assert messages[0]["context"]["app"] == {"name": "shop", "version": "1.2"}
    assert len({m["messageId"] for m in messages}) == 2


def test_thirty_idle_minutes_end_a_session(collector: tuple[str, list[dict[str, Any]]]) -> None:
    clock = [0.0]
    tracking = Tracking(collector[0], feature="Checkout", now=lambda: clock[0])
    first = tracking.session_id("ada")
    clock[0] += SESSION_IDLE_S - 1
    assert tracking.session_id("ada") == first
    assert tracking.session_id("bob") != first
    clock[0] += SESSION_IDLE_S
    assert tracking.session_id("ada") != first
    tracking.close()


@pytest.mark.parametrize(
    ("event", "properties", "words"),
    [
        ("payed", {}, "'payed' is no event of Checkout; near: paid"),
        ("zzz", {}, "'zzz' is no event of Checkout$"),
        ("paid", {"sum": 1}, "paid has no property sum; it has amount"),
        ("refunded", {"sum": 1}, "refunded has no property sum; it has none"),
    ],
)
def test_what_the_catalogue_does_not_have_is_named(
    collector: tuple[str, list[dict[str, Any]]], event: str, properties: dict[str, Any], words: str
) -> None:
    tracking = Tracking(collector[0], feature="Checkout", events=EVENTS)
    with pytest.raises(UnknownEventError, match=words):
        tracking.track("ada", event, **properties)
    tracking.close()
    assert collector[1] == []
