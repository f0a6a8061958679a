"""What tests of deliveries share: an HTTP server that fails as it is told, and a published segment to send."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.experiments import EXPERIMENTS
from quality_assets.contracts.impact import SEGMENT_DAYS, SEGMENT_MEMBERS
from quality_assets.settings import Settings
from quality_assets.stores.snapshots import Snapshot, publish
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse


@dataclass
class Receiver:
    """An HTTP server that answers with `answers` in turn, then 200; it applies what it acknowledges.

    `before` is called with the number of each request before it is applied, `after` once it is, before the answer.
    """

    answers: list[int] = field(default_factory=list)
    loses_replies: int = 0
    rows: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    before: Callable[[int], None] | None = None
    after: Callable[[int], None] | None = None

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, bool]:
        """The status for a request, and whether the answer is lost on its way."""
        self.requests.append((headers, body))
        if self.before is not None:
            self.before(len(self.requests))
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            for row in json.loads(body)["rows"]:
                if row["operation"] == "delete":
                    self.rows.pop(row["key"], None)
                else:
                    self.rows[row["key"]] = row["row"]
        if self.after is not None:
            self.after(len(self.requests))
        is_lost = status == 200 and self.loses_replies > 0
        self.loses_replies -= is_lost
        return status, is_lost


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, is_lost = found.take(dict(self.headers), body)
            if is_lost:
                self.close_connection = True
                self.connection.close()
                return
            self.send_response(status)
            self.send_header("Content-Length", "0")
            if status == 429:
                self.send_header("Retry-After", "7")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests are read by people."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_address[1]}/in"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


_version = 0


def published(settings: Settings, users: dict[str, str]) -> None:
    """Publish a snapshot whose segment `keen` has these users, each since a day."""
    with open_warehouse(settings) as session:
        for table in (SEGMENT_MEMBERS, SEGMENT_DAYS, EXPERIMENTS):
            session.connection.execute(f"delete from {table.qualified_name}")
        for user, since in users.items():
            session.connection.execute(
                "insert into impact.segment_members by name select 'keen' as segment, $u as user_id,"
                " cast($d as date) as entered_on",
                {"u": user, "d": since},
            )
        session.connection.execute(
            "insert into impact.segment_days by name select date '2026-03-01' as event_date, 'keen' as segment,"
            ' 1 as members, 0 as entered, 0 as "left"'
        )
        publish_session(settings, session)


def publish_session(settings: Settings, session: WarehouseSession) -> None:
    """Publish what a warehouse holds, and close it."""
    global _version
    _version += 1
    session.connection.execute("checkpoint")
    session.connection.close()
    snapshot = Snapshot(
        version=f"2026-{_version:04d}",
        folder=settings.published_dir / f"2026-{_version:04d}",
        published_at=datetime(2026, 3, 1, tzinfo=UTC),
        data_through=None,
        run_id="run",
        data_fingerprint=str(_version),
    )
    publish(
        snapshot, warehouse=settings.warehouse_path, data_dir=settings.data_dir,
        lake_files=dict.fromkeys(LAKE_TABLES, ()), keep=3,
    )  # fmt: skip
