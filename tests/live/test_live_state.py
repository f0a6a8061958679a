"""The collector's parts by themselves: keys and tokens, the log, steps that fail, what is forgotten."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from quality_assets.domain.live.event_rows import EventSource, accept
from quality_assets.domain.live.feature_set import load_features
from quality_assets.serve.collector.access import Access, DeniedError, KeyFileError, TooMuchError, load_keys
from quality_assets.serve.collector.app import DriftAlerts
from quality_assets.serve.collector.committing import Committer, OverloadedError, ReceivedClock
from quality_assets.serve.collector.core import Core
from quality_assets.serve.collector.operations import operations_routes
from quality_assets.serve.collector.processing import Processor
from quality_assets.serve.collector.today import Today
from quality_assets.settings import REPOSITORY_ROOT, Settings
from quality_assets.stores.live.chosen import append_entries
from quality_assets.stores.live.live_store import LiveStore
from quality_assets.stores.live.outbox import Outbox
from quality_assets.stores.live.request_log import Entry, Record, RequestLog, encoded
from quality_assets.stores.live.state_tables import DAY_US, seen_tables

FEATURES = load_features(REPOSITORY_ROOT / "data" / "features.yaml")
NOW_US = 1_795_000_000_000_000


def _rows(*ids: str, received_us: int = NOW_US, **fields: Any) -> list[Any]:
    made = [
        accept({"event_id": each, "user_id": "u", **fields}, EventSource(), received_us, may_hold_nul=False)
        for each in ids
    ]
    assert all(isinstance(row, tuple) for row in made)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LiveStore]:
    """An empty state."""
    made = LiveStore(tmp_path / "state.db", FEATURES)
    yield made
    made.close()


def _count(store: LiveStore, what: str) -> int:
    row = store._writer.execute(f"select count(*) from {what}").fetchone()
    assert row is not None
    return int(row[0])


def test_records_that_are_read_again_change_nothing(store: LiveStore) -> None:
    records = [
        Record(1, NOW_US, Entry("default", _rows("a", "b"))),
        Record(2, NOW_US + 1, Entry("default", _rows("b"))),
    ]
    step = store.write_batch(records)
    assert (step.events, step.duplicates, step.position) == (2, 1, 2)
    assert store.write_batch(records).events == 0
    again = store.write_batch([Record(3, NOW_US + 2, Entry("default", _rows("a")))])
    assert (again.events, again.duplicates, store.position()) == (0, 1, 3)
    assert store.read("u", 1, NOW_US).values["activity_count_24h"] == 2


def test_keys_are_known_for_two_days_and_then_forgotten(store: LiveStore) -> None:
    for seq, day in enumerate((0, 2, 3), 1):
        received_us = NOW_US + day * DAY_US
        store.write_batch([Record(seq, received_us, Entry("default", _rows("a", received_us=received_us)))])
    # The third is as late as it takes to forget the first; the lake tells copies of all times.
    assert _count(store, "events") == 2
    assert len(seen_tables(store._writer)) == 2


def test_tiles_that_no_window_reaches_are_forgotten(store: LiveStore) -> None:
    old_us = NOW_US - 8 * DAY_US
    store.write_batch([Record(1, NOW_US, Entry("default", [*_rows("a", event_time=old_us), *_rows("b")]))])
    assert _count(store, "tiles") == 2
    store.prune(NOW_US)
    assert _count(store, "tiles") == 1
    assert _count(store, "events") == 2, "what has not landed stays"


def test_a_new_aggregate_gets_a_column(tmp_path: Path) -> None:
    older = FEATURES.model_copy(
        update={
            "aggregates": {name: each for name, each in FEATURES.aggregates.items() if name != "session_starts"},
            "features": tuple(each for each in FEATURES.features if each.name != "session_count_7d"),
        }
    )
    store = LiveStore(tmp_path / "state.db", older)
    store.write_batch([Record(1, NOW_US, Entry("default", _rows("a", event_type="session_start")))])
    store.close()
    store = LiveStore(tmp_path / "state.db", FEATURES)
    assert store.read("u", 2, NOW_US).values["session_count_7d"] == 0
    store.write_batch([Record(2, NOW_US + 1, Entry("default", _rows("b", event_type="session_start")))])
    assert store.read("u", 2, NOW_US + 1).values["session_count_7d"] == 1
    store.close()


def test_the_log_forgets_what_is_safe_elsewhere(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "log.db")
    log.append([(NOW_US + n, 1, encoded(Entry("default", _rows(str(n))))) for n in range(10)])
    assert log.prune(6, NOW_US + 3) == 3
    assert [record.seq for record in log.read_after(0, 3)] == [4, 5, 6]
    assert log.last() == (10, NOW_US + 9)
    log.close()


def test_what_another_process_appends_is_waited_for_as_well(data_root: Settings) -> None:
    core = Core(data_root)
    append_entries(data_root, [(NOW_US + n, 1, encoded(Entry("default", _rows(str(n))))) for n in range(3)])
    assert (core.processor.lag(), core.condition()["log_lag_records"]) == (3, 3)
    core.processor.catch_up()
    assert core.processor.lag() == 0
    core.store.close()
    core.log.close()
    core._lock.release()


def test_a_collector_whose_database_is_away_takes_events_and_is_not_restarted(data_root: Settings) -> None:
    core = Core(data_root)
    app = FastAPI()
    app.include_router(operations_routes(core, Access(data_root), Today(data_root.live_state, FEATURES.tile_us)))

    def ask(path: str) -> httpx.Response:
        async def answer() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
                return await client.get(path)

        return asyncio.run(answer())

    core.processor = SimpleNamespace(is_alive=True, last_failure="the database is away", behind_s=lambda: 0.0)
    told = [ask(path).status_code for path in ("/health", "/ready", "/healthz")]
    assert told == [503, 200, 200]
    core.committer.last_failure, core.committer.failed_at = "the disk is full", time.monotonic()
    assert ask("/ready").json() == {"status": "not ready", "reasons": ["the disk is full"]}
    # Nobody sends to what is not ready: unless it is tried again, it would be so for ever.
    core.committer.failed_at -= 11
    assert ask("/ready").status_code == 200
    core.processor.is_alive = False
    assert ask("/healthz").status_code == 503
    core.store.close()
    core.log.close()
    core._lock.release()


def test_a_log_that_was_taken_away_is_numbered_on(data_root: Settings) -> None:
    core = Core(data_root)
    core.log.append([(NOW_US, 1, encoded(Entry("default", _rows("a"))))])
    core.processor.catch_up()
    core.store.close()
    core.log.close()
    core._lock.release()
    for file in data_root.live_dir.glob("log.db*"):
        file.unlink()
    core = Core(data_root)
    core.log.append([(NOW_US + 1, 1, encoded(Entry("default", _rows("b"))))])
    assert core.processor.catch_up().events == 1
    core.store.close()
    core.log.close()
    core._lock.release()


def test_times_of_receipt_go_forward_when_the_clock_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ReceivedClock()
    times = iter([1_000_000_000, 990_000_000, 990_001_000, 1_000_009_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(times))
    assert [clock.next() for _ in range(4)] == [1_000_000, 1_000_001, 1_000_002, 1_000_009]


def test_a_full_disk_is_told_and_gone_on_from(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        asyncio.run(_fill(disk))
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def _fill(disk: Path) -> None:
    log = RequestLog(disk / "log.db")
    store = LiveStore(disk / "state.db", FEATURES)
    steps: list[Any] = []
    processor = Processor(log, store, lambda step, _: steps.append(step))
    committer = Committer(log, disk, lambda *_: None, processor.wake)
    committer.start()
    processor.start()
    acknowledged = 0

    async def send(n: int) -> None:
        nonlocal acknowledged
        for _ in range(n):
            acknowledged += 1
            body = encoded(Entry("default", _rows(str(acknowledged), properties={"x": "y" * 2000})))
            await committer.submit(NOW_US + acknowledged, 1, body)

    await send(20)
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    with pytest.raises(OverloadedError):
        await send(3000)
    acknowledged -= 1
    assert committer.queued == 0
    assert processor.is_alive
    ballast.unlink()
    os.sync()
    deadline = time.monotonic() + 30
    while committer.refusal() or store_position(store) < log_last(disk):
        assert time.monotonic() < deadline, processor.last_failure
        await asyncio.sleep(0.05)
    await send(5)
    committer.stop()
    processor.stop()
    assert processor.last_failure is None
    assert sum(step.events for step in steps) == acknowledged
    store.close()
    log.close()


def store_position(store: LiveStore) -> int:
    """Where a state stands, by a connection that no thread uses."""
    row = store._reader.execute("select value from meta where name = 'log_seq'").fetchone()
    return 0 if row is None else int(row[0])


def log_last(disk: Path) -> int:
    """The last number of a log, by a connection of its own."""
    from quality_assets.stores.live.request_log import last_of

    return last_of(disk / "log.db")


def _with_keys(settings: Settings, **more: Any) -> Settings:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    key = {"name": "web", "sha256": hashlib.sha256(b"open sesame").hexdigest(), "feature": "Shop", **more}
    settings.collector_keys_path.write_text(yaml.safe_dump({"write_keys": [key]}))
    return settings


def _basic(key: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{key}:".encode()).decode()


def test_write_keys(data_root: Settings) -> None:
    access = Access(_with_keys(data_root, events={"view": None}, strict=True))
    for _ in range(2):
        assert access.sender(_basic("open sesame")).source == EventSource("web", "Shop", frozenset({"view"}))
    assert access.sender(None, "open sesame").source.name == "web"
    for shown in (None, _basic("other"), "Basic ###", "Digest x", "Bearer nobody"):
        with pytest.raises(DeniedError):
            access.sender(shown)


def test_a_key_sends_so_much_a_second(data_root: Settings) -> None:
    sender = Access(_with_keys(data_root, events_per_s=10)).sender(_basic("open sesame"))
    assert sender.bucket is not None
    sender.bucket.take(100)
    with pytest.raises(TooMuchError) as much:
        sender.bucket.take(50)
    assert much.value.retry_after_s == 5


@pytest.mark.parametrize("text", ["write_keys: 3", "write_keys: [{name: A}]", ": :"])
def test_a_key_file_that_is_wrong(tmp_path: Path, text: str) -> None:
    (tmp_path / "keys.yaml").write_text(text)
    with pytest.raises(KeyFileError, match=r"keys\.yaml"):
        load_keys(tmp_path / "keys.yaml")


def test_ids_of_several_senders_land_apart(data_root: Settings, store: LiveStore) -> None:
    made = [
        Record(seq, NOW_US, Entry(name, [accept({"event_id": "a"}, EventSource(name), NOW_US, may_hold_nul=False)]))
        for seq, name in enumerate(("default", "web"), 1)
    ]
    store.write_batch(made)
    outbox = Outbox(store.path)
    (waiting,) = outbox.waiting()
    outbox.land(outbox.plan(waiting, NOW_US), data_root.landing_dir, NOW_US)
    assert outbox.waiting() == []
    (batch,) = outbox.batches("landed")
    outbox.close()
    import pyarrow.parquet as pq

    assert pq.read_table(data_root.landing_dir / batch.name).column("event_id").to_pylist() == ["a", "web/a"]


def test_drift_that_the_graph_reported_is_counted(data_root: Settings) -> None:
    alerts = DriftAlerts(data_root)
    assert alerts.count() == 0
    data_root.reports_dir.mkdir(parents=True)
    report = data_root.reports_dir / "data_drift.json"
    report.write_text('[{"status": "drifted"}, {"status": "ok"}, {"status": "drifted"}]')
    assert alerts.count() == 2
    report.write_text("[")
    os.utime(report, ns=(1, 1))
    assert alerts.count() == 2, "what cannot be read says nothing new"
