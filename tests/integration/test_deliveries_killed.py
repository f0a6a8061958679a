"""A delivery that is killed at its worst moments, and run again: nothing doubled, nothing lost, nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from receiving import Receiver, published, receiver
from sqlalchemy import select

from quality_assets.settings import Settings
from quality_assets.stores.operations.delivery_tables import DELIVERED_ROW, DELIVERY
from quality_assets.stores.operations.store import fetch, operations_of

__all__ = ["receiver"]

_DEADLINE_S = 60.0
DAY = "2026-03-01"


class Delivery:
    """`quality deliver crm` as a process of its own."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> subprocess.Popen[bytes]:
        """Begin one."""
        environment = {**os.environ, "QUALITY_DATA_DIR": str(self._settings.data_dir)}
        command = [sys.executable, "-m", "quality_assets.cli", "deliver", "crm"]
        self._process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self._process

    def kill(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGKILL)

    def run(self) -> int:
        """Run one to its end; its exit code, -9 where it was killed."""
        return self.start().wait(_DEADLINE_S)


def _define(settings: Settings, text: str) -> None:
    folder = settings.data_dir / "destinations"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "crm.yaml").write_text(
        f"name: crm\nowner: a@example.com\nsend: segment:keen\nmode: mirror\nallow_mass_delete: true\n{text}"
    )


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.02)


def test_a_webhook_has_each_row_once_after_kills(data_root: Settings, receiver: Receiver) -> None:
    _define(data_root, f"kind: webhook\nurl: {receiver.url}\nbatch_rows: 2\n")
    published(data_root, {f"u{n}": DAY for n in range(6)})
    delivery = Delivery(data_root)
    # The second batch is applied, and its answer never read.
    receiver.after = lambda n: delivery.kill() if n == 2 else None
    assert delivery.run() == -signal.SIGKILL
    assert set(receiver.rows) == {"u0", "u1", "u2", "u3"}
    # Of what is in doubt one row is gone by now, and one has changed; the next is killed before anything is applied.
    published(data_root, {"u0": DAY, "u1": DAY, "u3": "2026-03-05", "u4": DAY, "u5": DAY})
    receiver.after, receiver.before = None, lambda n: delivery.kill() if n == 3 else None
    assert delivery.run() == -signal.SIGKILL
    receiver.before = None
    assert delivery.run() == 0
    assert {key: row["entered_on"] for key, row in receiver.rows.items()} == {
        "u0": DAY, "u1": DAY, "u3": "2026-03-05", "u4": DAY, "u5": DAY,
    }  # fmt: skip
    said: dict[tuple[str, str], set[str]] = {}
    for _, body in receiver.requests:
        for row in json.loads(body)["rows"]:
            said.setdefault((row["key"], json.dumps(row.get("row"))), set()).add(row["idempotency_key"])
    assert all(len(keys) == 1 for keys in said.values())
    requests = len(receiver.requests)
    assert delivery.run() == 0
    assert len(receiver.requests) == requests
    with operations_of(data_root).read() as connection:
        batches = fetch(connection, select(DELIVERY.c.status).order_by(DELIVERY.c.started_at))
        rows = fetch(connection, select(DELIVERED_ROW.c.row_hash))
    assert [row["status"] for row in batches].count("started") == 2
    assert len(rows) == 5
    assert all(row["row_hash"] for row in rows)


@contextmanager
def _held(path: Path, how: str = "exclusive") -> Iterator[None]:
    """A SQLite database that nobody else can write meanwhile."""
    with closing(sqlite3.connect(path, timeout=_DEADLINE_S, isolation_level=None)) as connection:
        connection.execute(f"begin {how}")
        yield
        connection.execute("rollback")


@pytest.fixture
def crm(data_root: Settings, tmp_path: Path) -> Path:
    """A SQLite database with an empty table, to which all is delivered in one batch."""
    path = tmp_path / "crm.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table keen (row_key text primary key, segment text, user_id text, entered_on text)")
        connection.commit()
    _define(data_root, f"kind: sql\nurl: sqlite:///{path}\ntable: keen\n")
    return path


def _rows(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path, timeout=_DEADLINE_S)) as connection:
        return connection.execute("select row_key, entered_on from keen order by row_key").fetchall()


def test_a_table_has_each_row_once_after_a_kill_before_and_one_after_its_commit(data_root: Settings, crm: Path) -> None:
    store = operations_of(data_root)
    database = Path(str(store.engine.url.database))

    def begun(batches: int) -> bool:
        with store.read() as connection:
            return len(fetch(connection, select(DELIVERY.c.batch).where(DELIVERY.c.status == "started"))) == batches

    published(data_root, {"u0": DAY, "u1": DAY})
    delivery = Delivery(data_root)
    with _held(crm):
        process = delivery.start()
        _wait_until(lambda: begun(1))
        delivery.kill()
        assert process.wait(_DEADLINE_S) == -signal.SIGKILL
    assert _rows(crm) == []

    with _held(crm):
        process = delivery.start()
        _wait_until(lambda: begun(2))
        ours = _held(database, "immediate")
        ours.__enter__()
    # It commits there, and cannot write here that it has.
    _wait_until(lambda: len(_rows(crm)) == 2)
    delivery.kill()
    assert process.wait(_DEADLINE_S) == -signal.SIGKILL
    ours.__exit__(None, None, None)

    published(data_root, {"u1": "2026-03-07", "u2": DAY})
    assert delivery.run() == 0
    assert _rows(crm) == [("u1", "2026-03-07"), ("u2", DAY)]


def test_two_deliveries_at_once_are_one(data_root: Settings, receiver: Receiver) -> None:
    _define(data_root, f"kind: webhook\nurl: {receiver.url}\n")
    published(data_root, {"u0": DAY})
    delivery, ended = Delivery(data_root), []
    receiver.after = lambda _: ended.append(Delivery(data_root).run())
    assert delivery.run() == 0
    assert ended == [1]
    assert len(receiver.requests) == 1
