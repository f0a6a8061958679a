"""What was acknowledged lands once, over kills and full disks, and the lake refuses none of it."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from running_collector import Collector, collecting, environment_of, free_port, land_now, wait_for

from quality_assets.contracts.sources.events import load_sources
from quality_assets.serve.collector.landing import due
from quality_assets.serve.processes import check_ports, collector_runs
from quality_assets.settings import Settings
from quality_assets.stores.live.outbox import Outbox, Waiting
from quality_assets.stores.warehouse import open_warehouse
from quality_assets.tables.ingest import ingest

KILLS = 3


def _landed(root: Path) -> list[dict[str, Any]]:
    files = sorted((root / "landing" / "collector").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def _event(number: int, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": f"u{number % 7}", "event_type": "view", "feature": "Search", **fields}


def _send_until_acknowledged(port: int, events: list[dict[str, Any]], ends: threading.Event, done: list[str]) -> None:
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10)
    for at in range(0, len(events), 5):
        while not ends.is_set():
            try:
                answer = client.post("/ingest/batch", json={"batch": events[at : at + 5]})
            except httpx.TransportError:
                ends.wait(0.05)
                continue
            if answer.status_code == 200:
                done += [event["event_id"] for event in events[at : at + 5]]
                break
    client.close()


def test_kills_lose_nothing_and_double_nothing(data_root: Settings) -> None:
    root, port, ends = data_root.data_dir, free_port(), threading.Event()
    acknowledged: list[list[str]] = [[] for _ in range(3)]
    senders = [
        threading.Thread(
            target=_send_until_acknowledged,
            args=(port, [_event(n, event_id=f"s{at}-{n}") for n in range(20_000)], ends, acknowledged[at]),
        )
        for at in range(3)
    ]
    for sender in senders:
        sender.start()
    try:
        for turn in range(KILLS):
            collector = Collector(root, port)
            reached = len(acknowledged[0]) + 50
            wait_for(lambda: len(acknowledged[0]) > reached)  # noqa: B023  it is asked at once
            if turn == 1:
                # While one lands beside it.
                landing = subprocess.Popen(
                    [sys.executable, "-m", "quality_assets.cli", "collect", "--land-now"],
                    env=environment_of(root),
                    stdout=subprocess.DEVNULL,
                )
                wait_for(lambda: any((root / "landing").rglob("*")))
                landing.kill()
                landing.wait()
            collector.kill()
    finally:
        ends.set()
        for sender in senders:
            sender.join()
    land_now(root)
    ids = [row["event_id"] for row in _landed(root)]
    assert len(ids) == len(set(ids))
    assert set().union(*acknowledged) - set(ids) == set()
    assert land_now(root) == "Nothing waits to land.\n"


def test_a_drained_collector_ends_as_terminated(data_root: Settings) -> None:
    with collecting(data_root.data_dir) as collector:
        answer = collector.client.post("/ingest/batch", json={"batch": [_event(n) for n in range(300)]})
        assert answer.json()["accepted"] == 300
        assert collector.stop() == 143
    assert "300 events" in land_now(data_root.data_dir)


def test_what_lands_is_taken_like_any_log(data_root: Settings) -> None:
    root = data_root.data_dir
    yesterday = datetime.now(UTC) - timedelta(days=1)
    edge = [
        _event(0, timestamp="2026-01-05T10:30:00Z", latency_ms=0, feedback_score=1, properties={"a": "ü\n"}),
        _event(1, timestamp=yesterday.isoformat(), status="crash", latency_ms=86_400_000, feature="  Böse  "),
        _event(2, user_id="anonymous", session_id=12, variant="x:b", country="DE", price=1e300),
        _event(3, event_id="x" * 255, properties='{"b": [1, {"c": null}]}', app_version="1.0", user_id=None),
    ]
    with collecting(root) as collector:
        assert land_now(root) == "Nothing waits to land.\n"
        assert collector.client.post("/ingest/batch", json={"batch": edge}).json()["accepted"] == 4
        # By a process beside the one that collects, and what comes after it by the next.
        words = land_now(root)
        assert [line.partition(" events of ")[0] for line in words.splitlines()] == ["1", "1", "2"]
        assert collector.client.post("/ingest", json=_event(4)).status_code == 200
        collector.processed()
        wait_for(lambda: collector.client.get("/live/today").json()["landing"]["waiting_events"] == 1)
    land_now(root)
    assert len(_landed(root)) == 5
    with open_warehouse(data_root) as session:
        report = ingest(session, load_sources(data_root.source_files_dir), lambda _: None)
        loaded = session.connection.execute(
            "select sum(rows), sum(rows_refused), count(*) from raw.log_files where status = 'loaded'"
        ).fetchone()
    assert report is not None
    assert loaded == (5, 0, 4)


def test_letters_are_mended_and_count_once(data_root: Settings) -> None:
    root = data_root.data_dir

    def quality(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", "deadletters", *words, "--format", "json"],
            env=environment_of(root), capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(done.stdout)

    with collecting(root) as collector:
        events = [_event(n, status="success") for n in range(60)]
        collector.client.post("/ingest/batch", json={"batch": [*events, _event(99, latency_ms=-1)]})
        received_at = collector.processed()["sources"][0]["last_at"]  # type: ignore[index]
        listed = quality("list", "--reason", "invalid_status")
        assert len(listed) == 60
        assert quality("show", str(listed[0]["id"]))["body"]["status"] == "success"
        assert quality("replay", "--dry-run")["accepted"] == 0
        dry = quality("replay", "--dry-run", "--map", "status.success=ok")
        assert (dry["accepted"], dry["refused_by_reason"]) == (60, {"negative_latency": 1})
        assert len(collector.client.get("/live/deadletters").json()) == 61
        for _ in range(2):
            quality("replay", "--map", "status.success=ok")
        wait_for(lambda: len(collector.client.get("/live/deadletters").json()) == 1)
        # Events that come again as letters do, and as themselves, are one.
        collector.client.post("/ingest/batch", json={"batch": [_event(n) for n in range(60)]})
        collector.processed()
    land_now(root)
    rows = _landed(root)
    assert sorted(row["event_id"] for row in rows) == sorted(f"e{n}" for n in range(60))
    assert {row["received_at"].replace(tzinfo=UTC).isoformat() for row in rows} == {received_at}


def test_a_plan_is_ended_wherever_it_was_left(data_root: Settings) -> None:
    root = data_root.data_dir
    with collecting(root) as collector:
        collector.client.post("/ingest/batch", json={"batch": [_event(n) for n in range(10)]})
    outbox = Outbox(data_root.live_dir / "state.db")
    (waiting,) = outbox.waiting()
    batch = outbox.plan(waiting, 1)
    # As if it died between the rename and the mark.
    outbox._write(batch, data_root.landing_dir / batch.name)
    written = (data_root.landing_dir / batch.name).stat().st_mtime_ns
    outbox.close()
    assert land_now(root) == f"10 events of {batch.event_date}: landing/{batch.name}\n"
    assert (data_root.landing_dir / batch.name).stat().st_mtime_ns == written
    assert len(_landed(root)) == 10


def _us(*when: int) -> int:
    return int(datetime(*when, tzinfo=UTC).timestamp()) * 1_000_000  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("now", "event_date", "oldest", "rows", "is_due"),
    [
        ((2026, 3, 10, 12), date(2026, 3, 10), (2026, 3, 10, 11, 50), 5, False),
        ((2026, 3, 10, 12), date(2026, 3, 10), (2026, 3, 10, 11, 45), 5, True),
        ((2026, 3, 10, 12), date(2026, 3, 10), (2026, 3, 10, 11, 59), 250_000, True),
        # Yesterday is open for two minutes more, and lands at once after that.
        ((2026, 3, 10, 0, 1), date(2026, 3, 9), (2026, 3, 9, 23, 59), 5, False),
        ((2026, 3, 10, 0, 2), date(2026, 3, 9), (2026, 3, 9, 23, 59), 5, True),
        # What comes later than that is late, and so is all of earlier days.
        ((2026, 3, 10, 0, 30), date(2026, 3, 9), (2026, 3, 10, 0, 2), 5, False),
        ((2026, 3, 10, 6, 2), date(2026, 3, 9), (2026, 3, 10, 0, 2), 5, True),
        ((2026, 3, 10, 12), date(2026, 3, 2), (2026, 3, 10, 11), 5, False),
        ((2026, 3, 10, 17), date(2026, 3, 2), (2026, 3, 10, 11), 5, True),
    ],
)
def test_what_is_due(
    data_root: Settings, now: tuple[int, ...], event_date: date, oldest: tuple[int, ...], rows: int, is_due: bool
) -> None:
    waiting = Waiting(event_date, rows, 1, rows, _us(*oldest))
    assert due([waiting], data_root, _us(*now)) == ([waiting] if is_due else [])


def test_late_days_land_together(data_root: Settings) -> None:
    old = Waiting(date(2026, 3, 1), 1, 1, 1, _us(2026, 3, 10, 5))
    new = Waiting(date(2026, 3, 5), 1, 2, 2, _us(2026, 3, 10, 11))
    assert due([old, new], data_root, _us(2026, 3, 10, 12)) == [old, new]


def test_two_collectors_of_a_root(data_root: Settings) -> None:
    with collecting(data_root.data_dir) as first:
        with pytest.raises(RuntimeError, match=r"runs already\. Stop it"):
            Collector(data_root.data_dir, free_port())
        ended = subprocess.run(
            [sys.executable, "-m", "quality_assets.cli", "collect", "--port", str(first.port)],
            env=environment_of(data_root.data_dir / "other"),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert f"port {first.port} of 127.0.0.1 is taken" in ended.stderr


def test_beyond_loopback_keys_are_needed(data_root: Settings) -> None:
    with pytest.raises(RuntimeError, match=r"Write keys into .*write_keys\.yaml"):
        Collector(data_root.data_dir, free_port(), QUALITY_COLLECTOR_HOST="0.0.0.0")


def test_a_collector_that_runs_already_is_not_started_again(data_root: Settings) -> None:
    assert not collector_runs(data_root)
    with collecting(data_root.data_dir) as running:
        assert collector_runs(data_root)
        check_ports(data_root.model_copy(update={"collector_port": running.port, **_free()}))
    assert not collector_runs(data_root)


def _free() -> dict[str, int]:
    return {"dagster_port": free_port(), "dashboard_port": free_port()}
