"""Sending to real destinations: a server that fails, a database, files; what they have in the end, and what is told."""

from __future__ import annotations

import csv
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text

from quality_assets.contracts.catalog import LAKE_TABLES
from quality_assets.contracts.destinations import Destination
from quality_assets.contracts.experiments import EXPERIMENTS
from quality_assets.contracts.impact import SEGMENT_DAYS, SEGMENT_MEMBERS
from quality_assets.settings import Settings
from quality_assets.stores.operations.alert_tables import ALERT
from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW, DELIVERY
from quality_assets.stores.operations.store import fetch, operations_of
from quality_assets.stores.snapshots import Snapshot, publish
from quality_assets.stores.warehouse import WarehouseSession, open_warehouse
from quality_assets.tables.deliveries import DeliveryOutcome, NothingToSend, deliver
from tests.services import PostgresServer


@dataclass
class Receiver:
    """An HTTP server that answers with `answers` in turn, then 200; it applies what it acknowledges."""

    answers: list[int] = field(default_factory=list)
    loses_replies: int = 0
    rows: dict[str, Any] = field(default_factory=dict)
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""

    def take(self, headers: dict[str, str], body: bytes) -> tuple[int, bool]:
        """The status for a request, and whether the answer is lost on its way."""
        self.requests.append((headers, body))
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            for row in json.loads(body)["rows"]:
                if row["operation"] == "delete":
                    self.rows.pop(row["key"], None)
                else:
                    self.rows[row["key"]] = row["row"]
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
    global _version
    _version += 1
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
        _publish(settings, session)


def _publish(settings: Settings, session: WarehouseSession) -> None:
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


def webhook(receiver: Receiver, **options: Any) -> Destination:
    return Destination(
        name="crm", owner="a@example.com", send="segment:keen", kind="webhook", url=receiver.url, **options
    )  # fmt: skip


def sent(settings: Settings, destination: Destination, **options: Any) -> DeliveryOutcome:
    waits: list[float] = []
    outcome = deliver(settings, destination, wait=waits.append, **options)
    sent.waits = waits  # type: ignore[attr-defined]
    return outcome


def test_a_webhook_gets_what_it_lacks_and_no_more(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01", "u3": "2026-03-01", "u4": "2026-03-01"})
    planned = sent(data_root, webhook(receiver), dry_run=True)
    assert (planned.status, planned.inserts, len(planned.examples)) == ("planned", 4, 4)
    assert receiver.requests == []
    first = sent(data_root, webhook(receiver, mode="mirror", batch_rows=2))
    assert (first.status, first.inserts, first.batches) == ("delivered", 4, 2)
    assert set(receiver.rows) == {"u1", "u2", "u3", "u4"}
    again = sent(data_root, webhook(receiver, mode="mirror"))
    assert (again.inserts, again.updates, again.deletes, len(receiver.requests)) == (0, 0, 0, 2)
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-05", "u4": "2026-03-01"})
    changed = sent(data_root, webhook(receiver, mode="mirror"))
    assert (changed.inserts, changed.updates, changed.deletes) == (0, 1, 1)
    assert {key: row["entered_on"] for key, row in receiver.rows.items()} == {
        "u1": "2026-03-01",
        "u2": "2026-03-05",
        "u4": "2026-03-01",
    }


def test_failures_are_tried_again_and_lost_replies_do_no_harm(
    data_root: Settings, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRM_KEY", "shared")
    published(data_root, {f"u{n}": "2026-03-01" for n in range(5)})
    receiver.answers, receiver.loses_replies = [503, 429, 500], 1
    outcome = sent(data_root, webhook(receiver, secret="env:CRM_KEY"))
    assert (outcome.status, outcome.attempts) == ("delivered", 5)
    assert sent.waits[1] == 7  # type: ignore[attr-defined]
    keys = {headers["Idempotency-Key"] for headers, _ in receiver.requests}
    assert len(keys) == 1
    headers, body = receiver.requests[-1]
    assert headers["X-Signature-SHA256"] == hmac.new(b"shared", body, hashlib.sha256).hexdigest()
    assert len(receiver.rows) == 5


def test_what_it_refuses_stops_and_is_told_and_goes_on_where_it_stopped(
    data_root: Settings, receiver: Receiver
) -> None:
    published(data_root, {f"u{n}": "2026-03-01" for n in range(6)})
    receiver.answers = [200, 422]
    stopped = sent(data_root, webhook(receiver, batch_rows=2))
    assert (stopped.status, stopped.batches) == ("stopped", 1)
    assert stopped.error is not None
    assert "422" in stopped.error
    store = operations_of(data_root)
    with store.read() as connection:
        told = fetch(connection, select(ALERT.c.status, ALERT.c.title))
        batches = fetch(connection, select(DELIVERY.c.status).order_by(DELIVERY.c.batch))
    assert told == [{"status": "open", "title": "crm does not take what it is sent"}]
    assert [row["status"] for row in batches] == ["delivered", "stopped"]
    rest = sent(data_root, webhook(receiver, batch_rows=2))
    assert (rest.status, rest.inserts) == ("delivered", 4)
    assert len(receiver.rows) == 6
    with store.read() as connection:
        assert len(fetch(connection, select(DELIVERED_ROW.c.row_key))) == 6


def test_a_destination_that_never_answers_is_given_up(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {"u1": "2026-03-01"})
    receiver.answers = [500] * 20
    outcome = sent(data_root, webhook(receiver))
    assert (outcome.status, outcome.attempts, len(receiver.requests)) == ("stopped", 8, 8)


def test_a_mass_delete_is_refused(data_root: Settings, receiver: Receiver) -> None:
    published(data_root, {f"u{n}": "2026-03-01" for n in range(10)})
    sent(data_root, webhook(receiver, mode="mirror"))
    published(data_root, {"u1": "2026-03-01"})
    refused = sent(data_root, webhook(receiver, mode="mirror"))
    assert refused.status == "refused"
    assert len(receiver.rows) == 10
    allowed = sent(data_root, webhook(receiver, mode="mirror", allow_mass_delete=True))
    assert (allowed.deletes, set(receiver.rows)) == (9, {"u1"})


def test_a_table_of_postgresql_mirrors_the_segment(data_root: Settings, postgresql: PostgresServer) -> None:
    address = postgresql.new_database()
    _check_table(data_root, address)


def test_a_table_of_sqlite_mirrors_the_segment(data_root: Settings, tmp_path: Path) -> None:
    _check_table(data_root, f"sqlite:///{tmp_path / 'crm.db'}")


def _check_table(data_root: Settings, address: str) -> None:
    destination = Destination(
        name="db", owner="a@example.com", send="segment:keen", kind="sql", mode="mirror", url=address, table="keen",
        batch_rows=2, allow_mass_delete=True,
    )  # fmt: skip
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01", "u3": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    published(data_root, {"u2": "2026-03-09", "u3": "2026-03-01", "u4": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    engine = create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        rows = connection.execute(text("select row_key, entered_on from keen order by row_key")).fetchall()
    engine.dispose()
    assert [tuple(row) for row in rows] == [("u2", "2026-03-09"), ("u3", "2026-03-01"), ("u4", "2026-03-01")]


def test_a_database_that_is_not_there_stops_with_its_words(data_root: Settings, tmp_path: Path) -> None:
    published(data_root, {"u1": "2026-03-01"})
    destination = Destination(
        name="db", owner="a@example.com", send="segment:keen", kind="sql", table="keen",
        url=f"sqlite:///{tmp_path / 'nowhere' / 'crm.db'}",
    )  # fmt: skip
    outcome = sent(data_root, destination)
    assert outcome.status == "stopped"
    assert "unable to open database file" in str(outcome.error)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_file_is_whole_and_an_upsert_keeps_what_is_gone(data_root: Settings, tmp_path: Path, ending: str) -> None:
    path = tmp_path / "out" / f"keen.{ending}"
    destination = Destination(
        name="file", owner="a@example.com", send="segment:keen", kind="file", path=str(path), mode="upsert"
    )
    published(data_root, {"u1": "2026-03-01", "u2": "2026-03-01"})
    assert sent(data_root, destination).status == "delivered"
    published(data_root, {"u2": "2026-03-04", "u3": "2026-03-01"})
    outcome = sent(data_root, destination)
    assert (outcome.inserts, outcome.updates, outcome.deletes) == (1, 1, 0)
    assert _file(path) == {"u1": "2026-03-01", "u2": "2026-03-04", "u3": "2026-03-01"}
    mirror = destination.model_copy(update={"mode": "mirror", "allow_mass_delete": True})
    assert sent(data_root, mirror).deletes == 1
    assert _file(path) == {"u2": "2026-03-04", "u3": "2026-03-01"}


def _file(path: Path) -> dict[str, str]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        rows = pq.read_table(path).to_pylist()
    elif path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    else:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["row_key"]: row["entered_on"] for row in rows}


def test_nothing_published_and_no_such_segment_say_so(data_root: Settings, receiver: Receiver) -> None:
    with pytest.raises(NothingToSend, match="nothing is published yet"):
        deliver(data_root, webhook(receiver))
    published(data_root, {"u1": "2026-03-01"})
    other = webhook(receiver).model_copy(update={"send": "segment:none"})
    with pytest.raises(NothingToSend, match="no segment is called 'none'"):
        deliver(data_root, other)
